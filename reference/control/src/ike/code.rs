//! Stable codes of what phase 1 refuses. Octets that do not decode carry the codes of the wire formats.

use hallmark_core::Code;
use hallmark_wire::isakmp::NotifyType;

macro_rules! codes {
    ($($name:ident = $code:literal, $notify:expr, $sentence:literal;)*) => {
        $(#[doc = $sentence] pub const $name: Code = Code($code);)*

        /// Every code of phase 1 with a sentence on it.
        pub const ALL: &[(Code, &str)] = &[$(($name, $sentence),)*];

        /// Gives the notify that would tell a peer about a rejection.
        #[must_use]
        pub fn notify(code: Code) -> Option<NotifyType> {
            let number: u16 = match code.as_str() {
                $($code => $notify,)*
                text if text.ends_with(".too-many") => 0,
                "isakmp.length-mismatch" => 30,
                "isakmp.proposal.spi-size" => 11,
                text if text.starts_with("isakmp.proposal") || text.starts_with("isakmp.transform") => 15,
                text if text.starts_with("isakmp.attribute") => 15,
                text if text.starts_with("isakmp.payload") => 16,
                text if text.starts_with("crypto.dh") => 17,
                text if text.starts_with("crypto.signature") => 25,
                text if text.starts_with("crypto.cert") => 20,
                _ => 0,
            };
            (number != 0).then_some(NotifyType(number))
        }
    };
}

codes! {
    SOURCE = "ike.datagram.source", 0, "Source or destination address cannot be answered.";
    TOO_LARGE = "ike.datagram.too-large", 0, "The datagram is larger than the limit.";
    MARKER = "ike.natt.no-marker", 0, "A datagram on the NAT-T port does not start with the non-ESP marker.";
    STALE_PORT = "ike.natt.stale-port", 0, "A phase 1 message came on the port that the exchange has left.";
    DEAF = "ike.deaf", 0, "The endpoint has stopped working (a switched-on defect).";
    COOKIE_ZERO = "ike.cookie.zero", 0, "The initiator cookie is zero.";
    COOKIE_UNKNOWN = "ike.cookie.unknown", 4, "No exchange or SA has these cookies.";
    COOKIE_REFLECTED = "ike.cookie.reflected", 0, "Our own message came back.";
    VERSION_MAJOR = "ike.header.major-version", 5, "The major version is not 1.";
    VERSION_MINOR = "ike.header.minor-version", 6, "The minor version is not 0.";
    EXCHANGE = "ike.header.exchange", 29, "The exchange type is not served, or not in this state.";
    FLAGS = "ike.header.flags", 8, "A flag is undefined, or not allowed in this state.";
    AUTH_ONLY = "ike.header.auth-only", 0, "The authentication-only flag is set.";
    MESSAGE_ID = "ike.header.message-id", 9, "The message ID is wrong for the exchange.";
    NOT_ESTABLISHED = "ike.state.not-established", 0, "The exchange needs an established SA.";
    OUT_OF_STATE = "ike.state.out-of-order", 0, "The message is not the one that is due.";
    NOT_SERVED = "ike.state.not-served", 0, "This node answers no first messages.";
    AGGRESSIVE_OFF = "ike.aggressive.off", 29, "Aggressive Mode is switched off.";
    SUPERSEDED = "ike.duplicate.superseded", 0, "A duplicate of a message that a later one has superseded.";
    DUPLICATE = "ike.duplicate.repeated", 0, "A duplicate that needs no answer.";
    MODIFIED = "ike.duplicate.modified", 0, "Another message for a step that was already taken.";
    PEER_ADDRESS = "ike.peer.address", 0, "The message comes from another address than the peer's.";
    PEER_UNKNOWN = "ike.peer.unknown", 0, "No rule covers the source address.";
    RATE = "ike.peer.rate", 0, "The source leaves too many key exchanges unfinished.";
    BLOCK = "ike.cipher.block", 0, "The ciphertext is empty or no multiple of the block.";
    FIRST_PAYLOAD = "ike.payload.first", 1, "The first payload is not the one that must come first.";
    SA_NOT_FIRST = "ike.payload.sa-not-first", 0, "Another payload stands before the SA.";
    PAYLOAD_TYPE = "ike.payload.type", 1, "A payload is reserved, or not allowed in this message.";
    PAYLOAD_MISSING = "ike.payload.missing", 16, "A payload that the message must hold is missing.";
    PAYLOAD_DUPLICATE = "ike.payload.duplicate", 16, "A payload that may occur once occurs twice.";
    TRAILING = "ike.payload.trailing", 0, "Octets other than padding follow the last payload.";
    DOI = "ike.sa.doi", 2, "The DOI of the SA is not supported.";
    SITUATION = "ike.sa.situation", 3, "The situation of the SA is not supported.";
    PROPOSALS = "ike.sa.proposals", 15, "The SA does not hold exactly one proposal.";
    PROTOCOL = "ike.sa.protocol", 10, "The proposal is not for ISAKMP.";
    NO_TRANSFORM = "ike.sa.no-transform", 15, "The proposal holds no transform.";
    NO_PROPOSAL_CHOSEN = "ike.sa.no-proposal-chosen", 14, "No offered transform is acceptable.";
    TOO_MANY_TRANSFORMS = "ike.sa.too-many-transforms", 0, "No transform that was looked at is acceptable.";
    ANSWER = "ike.sa.answer", 14, "The answer is not one transform of the offer, unchanged.";
    KE_LENGTH = "ike.ke.length", 17, "The public value does not have the width of the group.";
    NONCE_LENGTH = "ike.nonce.length", 16, "The nonce is not 8 to 256 octets long.";
    ID_TYPE = "ike.id.type", 18, "The identity type is not supported.";
    ID_PORT = "ike.id.port", 18, "Protocol and port of the identity are neither 0/0 nor 17/500.";
    ID_MALFORMED = "ike.id.malformed", 18, "The identity does not have the form of its type.";
    IDENTITY = "ike.auth.identity", 24, "The identity is not one that may use this key.";
    HASH_LENGTH = "ike.auth.hash-length", 23, "The HASH does not have the length of the prf.";
    HASH = "ike.auth.hash", 23, "The HASH does not verify.";
    METHOD = "ike.auth.method", 24, "The message authenticates by another method than the negotiated one.";
    SIGNATURE = "ike.auth.signature", 25, "The signature does not verify.";
    NO_CERTIFICATE = "ike.auth.no-certificate", 28, "No certificate shows whose the signature is.";
    CERTIFICATE = "ike.auth.certificate", 20, "The certificate chain does not lead to a trust anchor.";
    WEAK_KEY = "ike.auth.weak-key", 20, "The peer's RSA key is too short.";
    CERTIFICATE_ID = "ike.auth.certificate-identity", 18, "The certificate does not name the identity.";
    NO_PSK = "ike.auth.no-psk", 24, "No pre-shared key is configured for the peer.";
    SIGNING = "ike.auth.signing", 0, "Our own signature could not be made.";
    CLEAR_INFORMATIONAL = "ike.informational.clear", 0, "A clear Informational under an established SA.";
    EARLY_INFORMATIONAL = "ike.informational.early", 0, "A protected Informational before the SA is up.";
    INFORMATIONAL_HASH = "ike.informational.hash", 0, "HASH(1) is missing or does not verify.";
    REPLAY = "ike.informational.replay", 0, "The message ID was used before under this SA.";
    FOREIGN_SPI = "ike.informational.foreign-spi", 0, "The SPI names an SA of someone else.";
    DPD_SPI = "ike.dpd.spi", 0, "The cookies in a DPD notify are not those of the SA.";
    DPD_SEQUENCE = "ike.dpd.sequence", 0, "The DPD sequence number is not the expected one.";
    DPD_FORM = "ike.dpd.form", 0, "The DPD notify does not hold a sequence number.";
    FRAGMENT_UNKNOWN = "ike.fragment.not-negotiated", 0, "A fragment, and the extension was not offered.";
    FRAGMENT_FORM = "ike.fragment.form", 0, "A fragment is not the only payload of a clear message.";
    FRAGMENT_LIMIT = "ike.fragment.limit", 0, "A set of fragments exceeds a limit.";
    FRAGMENT_SET = "ike.fragment.set", 0, "The fragments of a set contradict each other.";
    FRAGMENT_INNER = "ike.fragment.inner", 0, "The reassembled message has other cookies, or is a fragment again.";
    FRAGMENT_TIMEOUT = "ike.fragment.timeout", 0, "A set of fragments was not completed in time.";
    EVICTED = "ike.half-open.evicted", 0, "A half-open exchange made room for a newer one.";
    TIMEOUT = "ike.timeout", 0, "The peer did not answer.";
    ABANDONED = "ike.abandoned", 0, "The exchange was given up by its own node.";
    COMMIT = "ike.commit", 0, "The exchange waits for CONNECTED (a switched-on defect).";
    NOTIFIED = "ike.notified", 0, "A notify of the peer ended the exchange (a switched-on defect).";
}
