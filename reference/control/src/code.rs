//! Stable codes of what GROUPKEY-PULL, GROUPKEY-PUSH and GROUPKEY-PUSH-ACK refuse. Octets that do not decode carry
//! the codes of the wire formats, keys and signatures those of the cryptography, phase 1 those of [`crate::ike::code`].

use hallmark_core::Code;

macro_rules! codes {
    ($($name:ident = $code:literal, $sentence:literal;)*) => {
        $(#[doc = $sentence] pub const $name: Code = Code($code);)*

        /// Every code of this module with a sentence on it.
        pub const ALL: &[(Code, &str)] = &[$(($name, $sentence),)*];
    };
}

codes! {
    PULL_DOI = "gdoi.pull.doi", "The phase 1 SA was not negotiated with the DOI of GDOI.";
    PULL_CIPHER = "gdoi.pull.cipher", "The message does not decrypt to whole blocks.";
    PULL_PAYLOADS = "gdoi.pull.payloads", "The payloads are not the ones of this message, in this order.";
    PULL_TRAILING = "gdoi.pull.trailing", "More than the padding of one block follows the last payload.";
    PULL_HASH_LENGTH = "gdoi.pull.hash-length", "The HASH does not have the length of the prf.";
    PULL_HASH1 = "gdoi.pull.hash1", "HASH(1) does not verify.";
    PULL_HASH2 = "gdoi.pull.hash2", "HASH(2) does not verify.";
    PULL_HASH3 = "gdoi.pull.hash3", "HASH(3) does not verify.";
    PULL_HASH4 = "gdoi.pull.hash4", "HASH(4) does not verify.";
    PULL_NONCE = "gdoi.pull.nonce-length", "The nonce is not 8 to 128 octets long.";
    PULL_ID_TYPE = "gdoi.pull.id-type", "The group identifier is not of type ID_KEY_ID.";
    PULL_ID_LENGTH = "gdoi.pull.id-length", "The group identifier is not 4 octets long.";
    PULL_ID_OCTETS = "gdoi.pull.id-octets", "The DOI-specific octets of the group identifier are not 0.";
    PULL_GROUP = "gdoi.pull.group-unknown", "The group is not served here.";
    PULL_UNAUTHORIZED = "gdoi.pull.unauthorized", "The phase 1 identity may not join the group.";
    PULL_VERSION = "gdoi.pull.member-version", "The member is too old for the policy of the group.";
    PULL_MESSAGE_ID = "gdoi.pull.message-id", "The message id was used before under this phase 1 SA.";
    PULL_STATE = "gdoi.pull.out-of-state", "The message does not fit the state of its exchange.";
    PULL_MEMBERS = "gdoi.pull.members-full", "The group has as many members as the limit allows.";
    PULL_GAP_UNKNOWN = "gdoi.pull.gap-attribute", "A GAP attribute of the member is not understood.";
    PULL_GAP_FORM = "gdoi.pull.gap-form", "A GAP attribute of the member has the wrong form or occurs twice.";
    PULL_SID_REQUEST = "gdoi.pull.sid-request", "The member asks for more sender ids than one member may have.";
    PULL_POLICY_MOVED = "gdoi.pull.policy-moved", "The keys that M2 announced were replaced before M3 came.";
    PULL_TIMEOUT = "gdoi.pull.timeout", "The other side did not answer.";
    PULL_EVICTED = "gdoi.pull.evicted", "The exchange made room for a newer one under the same phase 1 SA.";
    SA_DOI = "gdoi.sa.doi", "The DOI of the SA payload is not 2.";
    SA_SITUATION = "gdoi.sa.situation", "The situation of the SA payload is not 0.";
    SA_KEY_MISSING = "gdoi.sa.key-missing", "The KD payload lacks keys for the policy of the SA payload.";
    SAK_PROTOCOL = "gdoi.sak.protocol", "PUSH messages would not come over UDP.";
    SAK_SPI = "gdoi.sak.spi", "The KEK SPI is zero.";
    SAK_SPI_KEPT = "gdoi.sak.spi-kept", "A PUSH repeats the SPI of the current KEK.";
    SAK_ATTRIBUTE = "gdoi.sak.attribute-unknown", "A KEK attribute is not understood.";
    SAK_REPEATED = "gdoi.sak.attribute-repeated", "A KEK attribute occurs twice.";
    SAK_FORM = "gdoi.sak.attribute-form", "A KEK attribute has the wrong form.";
    SAK_ALGORITHM = "gdoi.sak.algorithm", "KEK_ALGORITHM is missing or not understood.";
    SAK_KEY_LENGTH = "gdoi.sak.key-length", "KEK_KEY_LENGTH does not go with the cipher.";
    SAK_LIFETIME = "gdoi.sak.lifetime", "KEK_KEY_LIFETIME is 0 or not 4 octets long.";
    SAK_SIG_ALGORITHM = "gdoi.sak.sig-algorithm", "SIG_ALGORITHM is missing or not understood.";
    SAK_SIG_HASH = "gdoi.sak.sig-hash", "SIG_HASH_ALGORITHM is missing, not understood or contradicts SIG_ALGORITHM.";
    SAK_SELECTOR = "gdoi.sak.selector", "Source or destination of PUSH messages is no address.";
    SAT_PROTOCOL = "gdoi.sat.protocol", "The protocol of a SAT is not understood.";
    SAT_TRANSFORM = "gdoi.sat.transform", "The transform of a SAT is not understood or contradicts itself.";
    SAT_ATTRIBUTE = "gdoi.sat.attribute-unknown", "An attribute of a SAT is not understood.";
    SAT_VALUE = "gdoi.sat.attribute-value", "An attribute of a SAT has a value that is not understood.";
    SAT_SPI = "gdoi.sat.spi", "The SPI of a SAT is reserved.";
    SAT_CONFLICT = "gdoi.sat.conflict", "Two SATs with one SPI contradict each other.";
    SAT_SELECTOR = "gdoi.sat.selector", "A selector of a SAT does not have the form of its type.";
    SAT_LIFETIME = "gdoi.sat.lifetime", "The lifetime of a SAT has no type, is 0 or stands in front of its type.";
    SAT_TOO_MANY = "gdoi.sat.too-many", "The policy has more SAs than the limit allows.";
    GAP_ATTRIBUTE = "gdoi.gap.attribute-unknown", "A GAP attribute of the server is not understood.";
    GAP_FORM = "gdoi.gap.attribute-form", "A GAP attribute of the server has the wrong form or occurs twice.";
    GAP_REPLAY = "gdoi.gap.replay", "The replay protection of the policy is not understood or contradicts itself.";
    GAP_PSEUDOTIME = "gdoi.gap.pseudotime-missing", "A registration announces time-based replay protection without a pseudotime.";
    POLICY_KEK_CIPHER = "gdoi.policy.kek-cipher", "The cipher of the KEK is not acceptable here.";
    POLICY_SIG_HASH = "gdoi.policy.sig-hash", "The hash of the signature is not acceptable here.";
    POLICY_TRANSFORM = "gdoi.policy.transform", "The transform of a SAT is not acceptable here.";
    KD_MISSING = "gdoi.kd.missing", "The KD payload is missing.";
    KD_TYPE = "gdoi.kd.type", "The type of a key packet is not understood.";
    KD_ATTRIBUTE = "gdoi.kd.attribute-unknown", "An attribute of a key packet is not understood.";
    KD_REPEATED = "gdoi.kd.attribute-repeated", "A key occurs twice in a key packet.";
    KD_KEY = "gdoi.kd.key", "A key is missing or does not have the length that its algorithm needs.";
    KD_KEK = "gdoi.kd.kek", "The KEK packet is missing or unusable.";
    KD_KEK_SPI = "gdoi.kd.kek-spi", "The SPI of the KEK packet is not the one of the SAK.";
    KD_TEK_SPI = "gdoi.kd.tek-spi", "The SPI of a TEK packet is not 4 octets long or in no SAT.";
    KD_SIG_KEY = "gdoi.kd.sig-key", "The signature key is missing, unusable or not of the announced size.";
    KD_SID = "gdoi.kd.sid", "The sender ids are missing or malformed.";
    KD_SID_PUSH = "gdoi.kd.sid-in-push", "A PUSH carries sender ids.";
    KD_LKH = "gdoi.kd.lkh", "An LKH packet is malformed or of no use to this member.";
    KD_LKH_PUSH = "gdoi.kd.lkh-download-in-push", "A PUSH carries an LKH_DOWNLOAD_ARRAY.";
    SEQ_MISSING = "gdoi.seq.missing", "M4 has no SEQ although the policy has a KEK.";
    PUSH_KEK = "gdoi.push.unknown-kek", "No KEK has these cookies.";
    PUSH_EXPIRED = "gdoi.push.kek-expired", "The KEK is past its lifetime.";
    PUSH_REPLACED = "gdoi.push.kek-replaced", "The KEK was replaced.";
    PUSH_FLAGS = "gdoi.push.flags", "The flags are not exactly E.";
    PUSH_MESSAGE_ID = "gdoi.push.message-id", "The message id is not 0.";
    PUSH_CIPHER = "gdoi.push.cipher", "The message does not decrypt to whole blocks.";
    PUSH_PAYLOADS = "gdoi.push.payloads", "The payloads are not SEQ, D, SA, KD, SIG in this order.";
    PUSH_TRAILING = "gdoi.push.trailing", "More than the padding of one block follows the last payload.";
    PUSH_SEQUENCE = "gdoi.push.seq-not-newer", "The sequence number is not above the last accepted one.";
    PUSH_SIGNATURE = "gdoi.push.signature", "The signature does not verify.";
    PUSH_NO_KEY = "gdoi.push.no-signature-key", "No signature key was ever delivered for this KEK.";
    PUSH_DELETE = "gdoi.push.delete", "A Delete names another DOI, an unknown protocol or SPIs of the wrong size.";
    PUSH_DUPLICATE = "gdoi.push.duplicate", "An older PUSH came again.";
    PUSH_NO_SENDER_ID = "gdoi.push.no-sender-id", "A counter-mode SA came, and the member has no sender id.";
    PUSH_PSEUDOTIME = "gdoi.push.pseudotime-too-old", "The pseudotime is older than the member's own by more than the skew.";
    PUSH_ROLE = "gdoi.push.role", "A key server takes no PUSH.";
    ACK_KEK = "gdoi.ack.unknown-kek", "No KEK has these cookies.";
    ACK_UNREQUESTED = "gdoi.ack.not-requested", "The group asks for no acknowledgement of this form.";
    ACK_HEADER = "gdoi.ack.header", "Flags or message id of the acknowledgement are wrong.";
    ACK_PAYLOADS = "gdoi.ack.payloads", "The payloads are not HASH, SEQ, ID.";
    ACK_IDENTITY = "gdoi.ack.identity", "The identity is no address, or its protocol and port are not 0.";
    ACK_MEMBER = "gdoi.ack.not-member", "The identity is not a member of the group.";
    ACK_SEQUENCE = "gdoi.ack.sequence", "The sequence number was not sent to this member lately.";
    ACK_HASH = "gdoi.ack.hash", "The HASH verifies under no reading.";
    ACK_DUPLICATE = "gdoi.ack.duplicate", "The acknowledgement was credited before.";
    ACK_ROLE = "gdoi.ack.role", "A group member takes no acknowledgement.";
    DELETE_PHASE1 = "gdoi.delete.under-phase1", "Data SAs are deleted by PUSH only.";
    DEAF = "gdoi.deaf", "The machine has stopped working (a switched-on defect).";
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    #[test]
    fn codes_are_unique_and_well_formed() {
        let mut seen = BTreeSet::new();
        for (code, sentence) in super::ALL {
            assert!(seen.insert(code.as_str()), "{code} is used twice");
            assert!(code.as_str().starts_with("gdoi."), "{code}");
            assert!(sentence.ends_with('.'), "{code}");
        }
    }
}
