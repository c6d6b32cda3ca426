//! GROUPKEY-PUSH at the group member, and its acknowledgement.

use std::net::SocketAddr;

use hallmark_core::{Code, Duration, Now};
use hallmark_crypto::{CipherAlg, HashAlg, KeyKind, VerifyingKey};
use hallmark_wire::gdoi::DOI;
use hallmark_wire::isakmp::{Delete, ExchangeType, Flags, Header, Identification, Notify, NotifyType, PayloadType};

use super::keys::{Keys, RekeySa, SequenceRules, read_kd};
use super::policy::{Policy, Rules, read_sa};
use super::pull::build_sas;
use super::{GroupMember, LatestAck, Timer};
use crate::ack::{self, AckKey, AckParts, Envelope, requested_type};
use crate::behaviour::{Defect, Variant};
use crate::code;
use crate::config::{AckPolicy, Compat};
use crate::event::{EventKind, Kept};
use crate::ike::{Path, UnboundMessage};
use crate::push::{self, FormRules, ReceivedPush};
use crate::sadb::{Rollover, Sa};

/// Is everything that a PUSH asks for, judged and ready to be done.
struct Plan {
    deletes: Vec<Delete>,
    policy: Option<Policy>,
    new_kek: Option<RekeySa>,
    sas: Vec<Sa>,
    /// Counter-mode SAs that cannot be installed because the member has no sender id.
    left_out: bool,
    sids: Option<super::keys::Sids>,
}

impl GroupMember {
    /// Takes a message of exchange type 33, the cheapest checks first.
    // REQ GDOI-PUSH-036
    pub(super) fn push_message(&mut self, now: Now, message: &UnboundMessage<'_>) {
        let peer = message.path.peer;
        match self.check_push(now, message) {
            Ok((kek, push)) => self.accept_push(now, message, &kek, push),
            Err(code::PUSH_DUPLICATE) => self.repeated_push(now, message),
            Err(code) => {
                self.journal.reject(now.mono, Some(peer), code, "", Kept::StateKept);
                self.bad_push(now, message, code);
            }
        }
    }

    fn check_push(&mut self, now: Now, message: &UnboundMessage<'_>) -> Result<(RekeySa, ReceivedPush), Code> {
        let header = message.header;
        let kek = self.find_kek(header)?;
        if self.behaviour.has(Defect::GmPushSourcePinned)
            && self.home.and_then(|home| self.config.servers.get(home)).map(|home| home.address)
                != Some(message.path.peer)
        {
            return Err(code::PUSH_KEK);
        }
        // REQ GDOI-PL-024: the source port of the SAK may be 0, which is no port to compare with.
        if self.behaviour.has(Defect::GmPushPortPinned)
            && self.home.and_then(|home| self.config.servers.get(home)).map(|home| home.address.port())
                != Some(message.path.peer.port())
        {
            return Err(code::PUSH_KEK);
        }
        // REQ GDOI-PUSH-043 GDOI-NEG-142
        if !self.behaviour.has(Defect::GmNoSeqcheck) && self.recent.place(message.message).is_some() {
            return Err(code::PUSH_DUPLICATE);
        }
        let current = self.kek.as_ref().is_some_and(|current| current.spi == kek.spi);
        // REQ GDOI-PUSH-046
        if !current && !self.behaviour.has(Defect::GmOldKekAccepted) {
            return Err(code::PUSH_REPLACED);
        }
        // REQ GDOI-PUSH-056
        let expired = kek.expires.is_some_and(|expires| expires <= now.mono);
        if expired && !self.behaviour.has(Defect::GmNoKekTimer) {
            return Err(code::PUSH_EXPIRED);
        }
        self.check_push_header(header)?;
        let push = self.open_push(&kek, message)?;
        let rules = SequenceRules {
            off: self.behaviour.has(Defect::GmNoSeqcheck),
            equal: self.behaviour.has(Defect::GmSeqEqualAccepted),
            window: self.behaviour.has(Defect::GmSeqWindow),
            wraps: self.behaviour.has(Defect::GmSeqWraps),
        };
        let mut judged = kek.clone();
        if self.behaviour.has(Defect::GmSeqGlobal) {
            // One counter for every KEK, as old as the member.
            judged.sequence = judged.sequence.max(self.previous.as_ref().map_or(0, |previous| previous.sequence));
        }
        let gap = self.behaviour.has(Defect::GmSeqGapRefused) && push.sequence > judged.sequence.saturating_add(1);
        if gap || !judged.takes(push.sequence, self.home_compat(), rules) {
            return Err(code::PUSH_SEQUENCE);
        }
        let unicast = !message.path.local.ip().is_multicast() && kek.destination.is_some_and(|ip| ip.is_multicast());
        if unicast && push.sequence.is_multiple_of(2) && self.behaviour.has(Defect::GmUnicastEveryOther) {
            return Err(code::PUSH_SEQUENCE);
        }
        if self.behaviour.has(Defect::GmSeqBeforeSig)
            && let Some(kek) = &mut self.kek
        {
            kek.accept(push.sequence);
        }
        self.check_signature(&kek, &push)?;
        Ok((kek, push))
    }

    // REQ GDOI-PUSH-035 GDOI-NEG-131 GDOI-NEG-132
    fn find_kek(&self, header: Header) -> Result<RekeySa, Code> {
        let spi = header.cookies();
        let half = self.behaviour.has(Defect::GmCookiePrefixMatch);
        let fits = |kek: &&RekeySa| kek.spi == spi || (half && kek.spi.get(..8) == spi.get(..8));
        let found = self.kek.iter().chain(&self.previous).find(fits).cloned();
        let only = self.kek.clone().filter(|_| self.behaviour.has(Defect::GmCookiesIgnored));
        found.or(only).ok_or(code::PUSH_KEK)
    }

    // REQ GDOI-NEG-133 GDOI-NEG-134 GDOI-PUSH-059
    fn check_push_header(&self, header: Header) -> Result<(), Code> {
        let clear = header.flags == Flags::NONE && self.behaviour.has(Defect::GmPushClearAccepted);
        if header.flags != Flags::ENCRYPTION && !clear && !self.behaviour.has(Defect::GmPushFlagsIgnored) {
            return Err(code::PUSH_FLAGS);
        }
        if header.message_id != 0 && !self.behaviour.has(Defect::GmPushMessageIdIgnored) {
            return Err(code::PUSH_MESSAGE_ID);
        }
        Ok(())
    }

    fn open_push(&self, kek: &RekeySa, message: &UnboundMessage<'_>) -> Result<ReceivedPush, Code> {
        let rules = FormRules {
            signature_optional: self.behaviour.has(Defect::GmUnsignedAccepted),
            payload_after_signature: self.behaviour.has(Defect::GmPayloadAfterSigAccepted),
            parts_unpaired: self.behaviour.has(Defect::GmSaWithoutKdAccepted),
            delete_unchecked: self.behaviour.has(Defect::GmDeleteUnchecked),
            seq_anywhere: self.behaviour.has(Defect::GmSeqAnywhere),
            seq_length_ignored: self.behaviour.has(Defect::GmSeqLengthIgnored),
            unknown_skipped: self.behaviour.has(Defect::GmUnknownPayloadSkipped),
            late_delete_lost: self.behaviour.has(Defect::GmLateDeleteLost),
        };
        let (iv, key) = kek.iv_and_key();
        if message.header.flags == Flags::NONE && self.behaviour.has(Defect::GmPushClearAccepted) {
            return push::read(message.header, message.body(), kek.cipher.block_len(), &self.limits, rules);
        }
        push::open(kek.cipher, iv, key, message.header, message.body(), &self.limits, rules)
    }

    // REQ GDOI-PUSH-041 GDOI-NEG-117 GDOI-SEC-004
    fn check_signature(&self, kek: &RekeySa, push: &ReceivedPush) -> Result<(), Code> {
        if self.behaviour.has(Defect::GmNoSigCheck)
            || (push.signature.is_none() && self.behaviour.has(Defect::GmUnsignedAccepted))
        {
            return Ok(());
        }
        let Some(key) = &kek.verifying else { return Err(code::PUSH_NO_KEY) };
        let hash = if self.behaviour.has(Defect::SighashDefaultOnly) { HashAlg::Sha1 } else { kek.hash };
        let bare = self.home_compat().has(Compat::SIG_BARE_DIGEST);
        let checked = push.verify(key, hash, bare);
        if self.spoils_signature(key) {
            return Err(code::PUSH_SIGNATURE);
        }
        if checked.is_err() && self.takes_signature_anyway(key, kek.hash, push) {
            return Ok(());
        }
        // REQ GDOI-NEG-155
        if checked.is_err() && self.behaviour.has(Defect::GmBareDigestAccepted) {
            return push.verify(key, hash, true);
        }
        checked
    }

    /// Tells whether a faulty member fails to verify what is right.
    fn spoils_signature(&self, key: &VerifyingKey) -> bool {
        let rsa = key.kind() == KeyKind::Rsa;
        (!rsa && self.behaviour.has(Defect::GmNoEcdsa))
            || (rsa && key.bits() > 2_048 && self.behaviour.has(Defect::GmShortSignatureKeysOnly))
    }

    /// Tells whether a faulty member verifies what is wrong.
    // REQ GDOI-NEG-152 GDOI-NEG-153 GDOI-NEG-154
    fn takes_signature_anyway(&self, key: &VerifyingKey, hash: HashAlg, push: &ReceivedPush) -> bool {
        let hashes = [HashAlg::Md5, HashAlg::Sha1, HashAlg::Sha256, HashAlg::Sha384, HashAlg::Sha512];
        (self.behaviour.has(Defect::GmAnySignatureHash)
            && hashes.iter().any(|hash| push.verify(key, *hash, false).is_ok()))
            || (self.behaviour.has(Defect::GmSignaturePrefixOptional) && push.verifies_over(key, hash, false, true))
            || (self.behaviour.has(Defect::GmSignatureHeaderOptional) && push.verifies_over(key, hash, true, false))
    }

    /// Does what a PUSH asks for that passed every check: completely or not at all.
    fn accept_push(&mut self, now: Now, message: &UnboundMessage<'_>, kek: &RekeySa, push: ReceivedPush) {
        let sequence = push.sequence;
        let judged = self.plan(now, kek, push).and_then(|plan| {
            let policy = plan.policy.as_ref();
            policy.map_or(Ok(()), |policy| self.judge_pseudotime(now.mono, policy)).map_err(|old| {
                self.pseudotime_refused(now, &old);
                code::PUSH_PSEUDOTIME
            })?;
            if policy.is_some_and(|policy| self.lacks_pseudotime(policy)) {
                return Err(code::GAP_PSEUDOTIME);
            }
            Ok(plan)
        });
        let plan = match judged {
            Ok(plan) => plan,
            Err(code) => {
                self.bad_message(code);
                self.journal.reject(now.mono, Some(message.path.peer), code, "", Kept::StateKept);
                return self.bad_push(now, message, code);
            }
        };
        // REQ GDOI-PUSH-042: the counter moves only now.
        for held in self.kek.iter_mut().chain(&mut self.previous).filter(|held| held.spi == kek.spi) {
            held.accept(sequence);
        }
        self.recent.remember(message.message);
        self.counters.rekeys += 1;
        self.counters.rekeys_since_registration += 1;
        let left_out = plan.left_out;
        let kind = self.carry_out(now, kek, sequence, plan);
        self.journal.tell(now.mono, Some(message.path.peer), kind);
        if left_out {
            // REQ GDOI-SID-027 GDOI-SID-028
            self.journal.reject(now.mono, Some(message.path.peer), code::PUSH_NO_SENDER_ID, "", Kept::StateKept);
            self.plan_by_lifetime(now);
            return self.plan_registration(now, now.mono, "no-sender-id");
        }
        self.acknowledge(now, message, kek, sequence);
        self.plan_by_lifetime(now);
        if self.kek.is_none() && self.sadb.is_empty() {
            self.register_after_delete(now);
        }
    }

    fn plan(&self, now: Now, kek: &RekeySa, push: ReceivedPush) -> Result<Plan, Code> {
        let mut plan =
            Plan { deletes: push.deletes, policy: None, new_kek: None, sas: Vec::new(), left_out: false, sids: None };
        let rules = self.rules(self.home.unwrap_or(0), false);
        if rules.has(Defect::GmUnknownDeleteRefused) && plan.deletes.iter().any(|delete| self.deletes_stranger(delete))
        {
            return Err(code::PUSH_DELETE);
        }
        let (Some(sa), Some(kd)) = (push.sa.as_deref(), push.kd.as_deref()) else {
            if plan.deletes.is_empty() && self.behaviour.has(Defect::GmEmptyPushDeletes) {
                plan.deletes.push(Delete { doi: DOI, protocol: 0, spi_size: 16, spis: vec![vec![0; 16]] });
            }
            // A faulty member takes a policy without keys for one that changes nothing.
            return Ok(plan);
        };
        let policy = read_sa(sa, rules)?;
        if policy.kek.is_some() && policy.teks.is_empty() && rules.has(Defect::GmKekOnlyRefused) {
            return Err(code::KD_MISSING);
        }
        let keys = read_kd(kd, &policy, Some(kek), now, rules)?;
        plan.new_kek = self.planned_kek(kek, &policy, &keys, now, rules)?;
        plan.sids.clone_from(&keys.sids);
        let held = self.sids.is_some() || plan.sids.is_some();
        let mut sas = build_sas(&policy, &keys.teks, now, held);
        // REQ GDOI-SID-027
        if !held && !rules.has(Defect::GmInstallsCounterWithoutSid) {
            let before = sas.len();
            sas.retain(|sa| !sa.transform.is_counter_mode());
            plan.left_out = sas.len() != before;
        }
        // REQ GDOI-NEG-167: an SPI that is in use with other keys is no update of the SA.
        let clash = sas.iter().any(|sa| {
            self.sadb
                .get(sa.spi)
                .is_some_and(|old| old.encryption_key != sa.encryption_key || old.integrity_key != sa.integrity_key)
        });
        if clash {
            return Err(code::SAT_CONFLICT);
        }
        if self.sadb.len() + sas.len() > self.limits.teks {
            return Err(code::SAT_TOO_MANY);
        }
        plan.sas = sas;
        plan.policy = Some(policy);
        Ok(plan)
    }

    /// Judges the Rekey SA of a PUSH; `None` when the current one stays.
    // REQ GDOI-PUSH-045 GDOI-PUSH-047 GDOI-PUSH-049 GDOI-NEG-165
    fn planned_kek(
        &self,
        kek: &RekeySa,
        policy: &Policy,
        keys: &Keys,
        now: Now,
        rules: Rules<'_>,
    ) -> Result<Option<RekeySa>, Code> {
        let Some((kek_policy, material)) = policy.kek.as_ref().zip(keys.kek.clone()) else { return Ok(None) };
        if kek_policy.spi == kek.spi {
            let same = same_key(kek.cipher, kek.iv_and_key.expose(), material.iv_and_key.expose());
            let tolerated = rules.compat.has(Compat::SAK_IN_TEK_PUSH) && same;
            if same || !rules.has(Defect::GmSameSpiRekeyed) {
                return if tolerated { Ok(None) } else { Err(code::SAK_SPI_KEPT) };
            }
        }
        let mut sequence = 0;
        let old_clock = rules.has(Defect::GmOldKekClock);
        if rules.has(Defect::GmSeqGlobal) {
            sequence = kek.sequence;
        }
        let mut new = RekeySa::new(kek_policy, material, sequence, now.mono);
        new.window = 0;
        if old_clock {
            new.expires = kek.expires;
        }
        if rules.has(Defect::GmKeepsSigningKey) {
            new.verifying.clone_from(&kek.verifying);
        }
        Ok(Some(new))
    }

    fn carry_out(&mut self, now: Now, kek: &RekeySa, sequence: u32, plan: Plan) -> EventKind {
        let had_kek = self.kek.is_some();
        // REQ GDOI-PUSH-054: first what goes, then what comes.
        let late = self.behaviour.has(Defect::GmDeletesAfterInstalling);
        let mut deleted = if late { Vec::new() } else { self.delete(now, kek, &plan.deletes) };
        // REQ GDOI-SID-021: a PUSH brings no sender ids, those of the registration serve its SAs too.
        if let Some(sids) = plan.sids {
            self.sids = Some(sids);
        }
        if self.behaviour.has(Defect::GmSidChangesOnPush)
            && let Some(sids) = &mut self.sids
        {
            sids.values.iter_mut().for_each(|id| *id = id.wrapping_add(1));
        }
        let new_kek = plan.new_kek.as_ref().map(|kek| hex::encode(kek.spi));
        if let Some(new) = plan.new_kek {
            if let Some(mut old) = self.kek.take() {
                old.accept(sequence);
                self.retire_kek(now, old);
            }
            self.set_kek(now, new);
        }
        let mut installed = Vec::new();
        if let Some(policy) = &plan.policy {
            let rollover =
                Rollover { activation: policy.activation, deactivation: policy.deactivation, registration: false };
            installed = self.sadb.install(plan.sas, rollover, now.mono);
            if self.behaviour.has(Defect::GmNewSaInactive) {
                self.sadb.forget_new(&installed);
            }
            self.follow_data(now, policy);
        }
        for spi in &installed {
            self.announce_sa(now, *spi);
        }
        if late {
            deleted = self.delete(now, kek, &plan.deletes);
        }
        if plan.policy.as_ref().is_some_and(|policy| policy.kek.is_none())
            && self.behaviour.has(Defect::GmForgetsKekWithoutSak)
        {
            self.remove_kek(now, "replaced");
        }
        // The KEK alone was deleted: the SAs live on for a shortened time, in which the member registers again.
        if had_kek && self.kek.is_none() && !self.sadb.is_empty() && !self.behaviour.has(Defect::GmDeleteNotShortened) {
            self.sadb.shorten(now.mono);
        }
        EventKind::PushAccepted { kek_spi: hex::encode(kek.spi), sequence, teks: installed, new_kek, deleted }
    }

    /// Carries out Delete payloads and gives the SPIs of the SAs that are gone.
    // REQ GDOI-PUSH-050 GDOI-PUSH-051 GDOI-PUSH-052 GDOI-PUSH-053 GDOI-PUSH-054
    fn delete(&mut self, now: Now, kek: &RekeySa, deletes: &[Delete]) -> Vec<u32> {
        let mut gone = Vec::new();
        for delete in deletes {
            for spi in &delete.spis {
                let all = spi.iter().all(|octet| *octet == 0);
                if all && self.behaviour.has(Defect::GmDeleteZeroIgnored) {
                    continue;
                }
                match delete.protocol {
                    0 if (all || *spi == kek.spi) && !self.behaviour.has(Defect::GmDeleteKekIgnored) => {
                        self.remove_kek(now, "deleted");
                    }
                    0 => {}
                    protocol if all || self.behaviour.has(Defect::GmDeleteListedRemovesAll) => {
                        gone.extend(self.sadb.remove_protocol(protocol));
                    }
                    // REQ GDOI-NEG-178: an SPI that is not held changes nothing.
                    protocol => gone.extend(self.delete_one(protocol, spi)),
                }
            }
        }
        for spi in &gone {
            self.journal.tell(now.mono, None, EventKind::SaRemoved { spi: *spi, reason: "deleted" });
        }
        gone
    }

    /// Tells whether a Delete names an SA that is not held.
    fn deletes_stranger(&self, delete: &Delete) -> bool {
        let held = |spi: &Vec<u8>| match spi.as_slice().try_into() {
            Ok(spi) => self.sadb.get(u32::from_be_bytes(spi)).is_some(),
            Err(_) => true,
        };
        delete.protocol != 0 && !delete.spis.iter().all(|spi| spi.iter().all(|octet| *octet == 0) || held(spi))
    }

    fn delete_one(&mut self, protocol: u8, spi: &[u8]) -> Option<u32> {
        let spi = u32::from_be_bytes(spi.try_into().ok()?);
        let fits = self.sadb.get(spi)?.transform.to_wire().protocol_id == protocol;
        (fits || self.behaviour.has(Defect::GmDeleteUnchecked)).then(|| self.sadb.remove(spi).map(|sa| sa.spi))?
    }

    /// What only a faulty member does: it believes a Delete under phase 1.
    // REQ GDOI-NEG-180
    pub(super) fn delete_under_phase1(&mut self, now: Now, protocol: u8, spis: &[Vec<u8>]) {
        // ESP is protocol 3 of the IPsec DOI and protocol 1 of GDOI.
        let protocol = if protocol == 3 { 1 } else { protocol };
        let delete = Delete { doi: DOI, protocol, spi_size: 4, spis: spis.to_vec() };
        if let Some(kek) = self.kek.clone() {
            self.delete(now, &kek, &[delete]);
        }
        self.plan_by_lifetime(now);
    }

    /// Takes note of a copy. The latest PUSH may be acknowledged once more, an older one never.
    // REQ GDOI-NEG-142
    fn repeated_push(&mut self, now: Now, message: &UnboundMessage<'_>) {
        if self.behaviour.has(Defect::GmCopyMovesCounter)
            && let Some(kek) = &mut self.kek
        {
            kek.sequence = kek.sequence.saturating_add(1);
        }
        if self.behaviour.has(Defect::GmCopyReinstallsKek)
            && self.previous.as_ref().is_some_and(|previous| previous.spi == message.header.cookies())
            && let Some(kek) = &mut self.kek
        {
            kek.sequence = 0;
        }
        if self.recent.place(message.message) != Some(0) {
            return self.journal.reject(now.mono, Some(message.path.peer), code::PUSH_DUPLICATE, "", Kept::StateKept);
        }
        self.counters.repeats += 1;
        let Some(latest) = &mut self.latest_ack else { return };
        let sequence = latest.sequence;
        // The encrypted form repairs a lost acknowledgement this way; RFC 8263 read strictly does not.
        let again = if latest.encrypted {
            !self.behaviour.has(Defect::RetransmitNotReacked)
        } else {
            self.behaviour.varies(Variant::GmAcksRepeats) && !latest.repeated
        };
        let answer = again.then(|| (latest.path, latest.message.clone(), latest.encrypted));
        latest.repeated = true;
        self.journal.tell(now.mono, Some(message.path.peer), EventKind::PushRepeated { sequence });
        if let Some((path, octets, encrypted)) = answer {
            self.ike.send_on(path, &octets);
            self.note_ack(now, sequence, encrypted);
        }
    }

    /// Acknowledges an accepted PUSH, when the latest SAK or the configuration asks for it.
    // REQ GDOI-ACK-003 GDOI-ACK-005 GDOI-ACK-006 GDOI-ACK-007
    fn acknowledge(&mut self, now: Now, message: &UnboundMessage<'_>, kek: &RekeySa, sequence: u32) {
        self.latest_ack = None;
        if !self.config.group.rekey_acks || self.behaviour.has(Defect::GmAckMissing) {
            return;
        }
        if self.kek.is_none() && self.behaviour.has(Defect::GmAckNotForDelete) {
            return;
        }
        // The SAK of this very PUSH counts as the latest one.
        let latest = self.kek.as_ref().unwrap_or(kek);
        let mut requested = latest.ack.and_then(requested_type);
        if self.behaviour.has(Defect::GmAckUnrequested) {
            requested = requested.or(Some((HashAlg::Sha256, false)));
        }
        if self.behaviour.has(Defect::GmAckSha512AsSha256) {
            requested = requested.map(|(_, leaf)| (HashAlg::Sha256, leaf));
        }
        if self.behaviour.has(Defect::GmAckLeafIgnored) {
            requested = requested.map(|(hash, _)| (hash, false));
        }
        let encrypted = requested.is_none() && self.config.group.unrequested_acks == AckPolicy::Cisco;
        let mut parts = AckParts {
            sequence,
            // REQ GDOI-ACK-012 GDOI-ACK-013 GDOI-ACK-015
            identity: Identification::from_ip(self.own_address(message.path).ip()),
            flags: if encrypted { Flags::ENCRYPTION } else { Flags::NONE },
            message_id: 0,
        };
        self.spoil_ack(&mut parts);
        let built = match requested {
            Some((hash, leaf)) => {
                // REQ GDOI-ACK-019 GDOI-ACK-020: the KEK that protected the PUSH, or the leaf key.
                let keyed = if self.behaviour.has(Defect::GmAckNewKek) { latest } else { kek };
                let base_key = if leaf {
                    latest.lkh.as_ref().and_then(|path| path.leaf_key())
                } else {
                    Some(keyed.iv_and_key().1)
                };
                base_key.and_then(|base_key| ack::build(AckKey { hash, base_key, spi: kek.spi }, &parts, None))
            }
            None if encrypted => {
                let latest = if self.behaviour.has(Defect::GmEncryptedAckOldKek) { kek } else { latest };
                let (iv, key) = latest.iv_and_key();
                let envelope = Envelope { cipher: latest.cipher, iv, key };
                let ack_key = AckKey { hash: HashAlg::Sha256, base_key: key, spi: latest.spi };
                ack::build(ack_key, &parts, Some(envelope))
            }
            None => None,
        };
        let Some(octets) = built else { return };
        // REQ GDOI-ACK-016: as a reply, from our own address when the PUSH went to a multicast group.
        let mut local = self.own_address(message.path);
        if self.behaviour.has(Defect::GmAckSourcePort) {
            local.set_port(local.port() ^ 1);
        }
        let mut path = Path { local, ..message.path };
        if self.behaviour.has(Defect::GmAckToRegistrationPort)
            && let Some(server) = self.home.and_then(|home| self.config.servers.get(home))
        {
            path.peer = server.address;
        }
        if self.behaviour.has(Defect::GmAckTwice) {
            self.ike.send_on(path, &octets);
        }
        self.latest_ack = Some(LatestAck { sequence, path, message: octets.clone(), encrypted, repeated: false });
        self.note_ack(now, sequence, encrypted);
        match self.ack_delay() {
            None => self.ike.send_on(path, &octets),
            Some(delay) => {
                self.next_serial += 1;
                self.held_acks.insert(self.next_serial, (path, octets));
                self.timers.set(Timer::Ack(self.next_serial), now.mono + delay);
            }
        }
    }

    // REQ GDOI-ACK-021 GDOI-ACK-022
    fn ack_delay(&mut self) -> Option<Duration> {
        if self.behaviour.has(Defect::GmAckLate) {
            return Some(Duration::from_secs(8));
        }
        self.behaviour.varies(Variant::GmAckJitter).then(|| Duration::from_millis(self.jitter.below(4_000)))
    }

    fn spoil_ack(&self, parts: &mut AckParts) {
        if self.behaviour.has(Defect::GmAckWrongSeq) {
            parts.sequence = parts.sequence.wrapping_add(1);
        }
        if self.behaviour.has(Defect::GmAckIdentityWrong) {
            parts.identity = Identification::from_ip(std::net::Ipv4Addr::new(192, 0, 2, 255).into());
        }
        if self.behaviour.has(Defect::GmAckIdPortSet) {
            (parts.identity.protocol, parts.identity.port) = (17, 848);
        }
        if self.behaviour.has(Defect::GmAckFlagsSet) {
            parts.flags = Flags(parts.flags.0 ^ Flags::ENCRYPTION.0);
        }
        if self.behaviour.has(Defect::GmAckMessageIdSet) {
            parts.message_id = 1;
        }
    }

    fn note_ack(&mut self, now: Now, sequence: u32, encrypted: bool) {
        self.counters.acks += 1;
        let form = if encrypted { "cisco" } else { "rfc8263" };
        self.journal.tell(now.mono, None, EventKind::AckSent { sequence, form });
    }

    fn own_address(&self, path: Path) -> SocketAddr {
        if path.local.ip().is_multicast() {
            SocketAddr::new(self.config.listen.ip(), path.local.port())
        } else {
            path.local
        }
    }

    /// Consults the defects that answer a bad PUSH. A conforming member says nothing.
    // REQ GDOI-PUSH-058
    fn bad_push(&mut self, now: Now, message: &UnboundMessage<'_>, code: Code) {
        self.bad_message(code);
        if self.behaviour.has(Defect::RecoveryStorm) && code == code::PUSH_KEK {
            self.start_registration(now, "retry");
        }
        if self.behaviour.has(Defect::GmClashDropsKek) && code == code::SAT_CONFLICT {
            self.remove_kek(now, "deleted");
        }
        let signature = code == code::PUSH_SIGNATURE;
        if self.behaviour.has(Defect::GmAckAfterBadSig)
            && signature
            && let Some(kek) = self.kek.clone()
            && let Ok(push) = self.open_push(&kek, message)
        {
            self.acknowledge(now, message, &kek, push.sequence);
        }
        if self.behaviour.has(Defect::GmDeafAfterBadSig) && signature {
            self.remove_kek(now, "deleted");
        }
        if self.behaviour.has(Defect::GmAnswersBadPush) {
            let notify = Notify { doi: DOI, protocol: 0, spi: Vec::new(), kind: NotifyType(25), data: Vec::new() };
            let chain = hallmark_wire::isakmp::build_chain(&[(PayloadType::NOTIFY, notify.encode_body())]);
            let header = Header {
                next: chain.first,
                exchange: ExchangeType::INFORMATIONAL,
                flags: Flags::NONE,
                message_id: 1,
                length: u32::try_from(Header::LEN + chain.octets.len()).unwrap_or(u32::MAX),
                ..message.header
            };
            let mut octets = header.encode().to_vec();
            octets.extend(chain.octets);
            let path = Path { local: self.own_address(message.path), ..message.path };
            self.ike.send_on(path, &octets);
        }
    }
}

/// Compares two KEKs; DES keys without their parity bits, which one implementation changes between messages.
fn same_key(cipher: CipherAlg, one: &[u8], other: &[u8]) -> bool {
    let des = matches!(cipher, CipherAlg::Des | CipherAlg::TripleDes);
    let block = cipher.block_len();
    one.len() == other.len()
        && one.iter().zip(other).enumerate().all(|(index, (one, other))| {
            let mask = if des && index >= block { 0xfe } else { 0xff };
            one & mask == other & mask
        })
}
