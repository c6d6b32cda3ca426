//! GROUPKEY-PULL at the group member.

use hallmark_core::{Code, Instant, Now};
use hallmark_crypto::ike::Cbc;
use hallmark_wire::gdoi::{DOI, Gap, Sequence, gap_attr};
use hallmark_wire::isakmp::{
    Attribute, Attributes, Built, ExchangeType, Flags, Header, Identification, Notify, NotifyType, PayloadType,
    PayloadView, build_chain,
};

use super::keys::{Keys, RekeySa, read_kd};
use super::policy::{Policy, Rules, TekPolicy, read_sa};
use super::{GroupMember, Timer};
use crate::behaviour::{Defect, Variant};
use crate::code;
use crate::config::SaDirection;
use crate::event::{EventKind, Kept};
use crate::ike::{ExchangeMessage, SaId};
use crate::pull::{Opened, PullHash, nonce_fits, open, verify, with_hash};
use crate::sadb::{Rollover, Sa};

/// Is the GROUPKEY-PULL exchange that is going on.
pub(super) struct Pull {
    sa: SaId,
    server: usize,
    message_id: u32,
    ni: Vec<u8>,
    cbc: Cbc,
    step: Step,
    /// The message that waits for an answer.
    message: Vec<u8>,
    sent: u32,
}

enum Step {
    AwaitM2,
    AwaitM4 { nr: Vec<u8>, m2: Vec<u8>, policy: Box<Policy>, received: Instant },
}

impl Pull {
    pub(super) const fn sa(&self) -> SaId {
        self.sa
    }
}

impl GroupMember {
    /// Sends M1.
    // REQ GDOI-PULL-001 GDOI-PULL-009 GDOI-PULL-010 GDOI-PULL-070
    pub(super) fn begin_pull(&mut self, now: Now, server: usize, sa: SaId) {
        let Some(mut message_id) = self.ike.fresh_message_id(sa) else {
            return self.pull_failed(now, code::PULL_MESSAGE_ID);
        };
        if self.behaviour.has(Defect::GmMessageIdReused) {
            message_id = *self.stuck_message_id.get_or_insert(message_id);
        }
        let ni = self.nonce();
        let id = self.group_identity(server);
        let Some(ike_sa) = self.ike.sa(sa) else { return self.pull_failed(now, code::PULL_TIMEOUT) };
        // REQ GDOI-PULL-021 GDOI-PULL-023
        let mut cbc = ike_sa.exchange_cbc(message_id);
        let rest = build_chain(&[(PayloadType::NONCE, ni.clone()), (PayloadType::ID, id.encode_body())]);
        let Some(message) = self.seal(sa, message_id, PullHash::One, &rest, &mut cbc) else {
            return self.pull_failed(now, code::PULL_TIMEOUT);
        };
        self.ike.send_exchange(sa, &message, false);
        self.pull = Some(Pull { sa, server, message_id, ni, cbc, step: Step::AwaitM2, message, sent: 1 });
        self.timers.set(Timer::Pull, now.mono + self.config.phase1.retransmit.wait(1));
    }

    /// Takes a message of exchange type 32 under an established phase 1 SA.
    pub(super) fn pull_message(&mut self, now: Now, message: &ExchangeMessage<'_>) {
        let peer = Some(message.path.peer);
        let ours = |pull: &&Pull| pull.sa == message.sa && pull.message_id == message.header.message_id;
        let Some(pull) = self.pull.as_ref().filter(ours) else {
            if self.behaviour.has(Defect::GmUnsolicitedPullKills) {
                self.drop_keys(now, "deleted");
            }
            if self.behaviour.has(Defect::GmM4ReplayTaken)
                && self.finished_pull == Some(message.header.message_id)
                && let Some(kek) = &mut self.kek
            {
                kek.sequence = 0;
            }
            // REQ GDOI-PULL-043 GDOI-NEG-125 GDOI-NEG-126 GDOI-NEG-128 GDOI-NEG-129
            return self.journal.reject(
                now.mono,
                peer,
                code::PULL_STATE,
                "no registration has this message id",
                Kept::StateKept,
            );
        };
        if self.behaviour.has(Defect::GmClearPullTaken) && !message.header.flags.contains(Flags::ENCRYPTION) {
            let header = Header { flags: Flags::ENCRYPTION, ..message.header };
            let sealed = pull.cbc.clone().encrypt(message.body().to_vec());
            let whole = [header.encode().as_slice(), &sealed].concat();
            return self.pull_message(now, &ExchangeMessage { header, message: whole.into(), ..*message });
        }
        let result = match &pull.step {
            Step::AwaitM2 => self.message2(now, message),
            // REQ GDOI-NEG-127
            Step::AwaitM4 { m2, .. } if m2 == message.body() => {
                if self.behaviour.has(Defect::GmM2CopyAborts) {
                    return self.pull_failed(now, code::PULL_STATE);
                }
                self.ike.send_exchange(message.sa, &pull.message, true);
                Ok(())
            }
            Step::AwaitM4 { .. } => self.message4(now, message),
        };
        if let Err(code) = result {
            self.bad_message(code);
            self.journal.reject(now.mono, peer, code, "", Kept::StateKept);
        }
    }

    /// Sends the current message again, or gives the exchange up.
    // REQ GDOI-PULL-065 GDOI-PULL-068
    pub(super) fn pull_timeout(&mut self, now: Now) {
        let timing = self.config.phase1.retransmit;
        let Some(mut pull) = self.pull.take() else { return };
        let last = pull.sent >= timing.tries.max(1) && !self.behaviour.has(Defect::GmPullNeverGivenUp);
        if last || self.behaviour.has(Defect::GmNeverRetransmits) {
            return self.pull_failed(now, code::PULL_TIMEOUT);
        }
        pull.sent += 1;
        let wait = timing.wait(pull.sent);
        let mut message = pull.message.clone();
        if self.behaviour.has(Defect::GmRetransmitChanges)
            && matches!(pull.step, Step::AwaitM2)
            && let Some(changed) = self.rebuilt_m1(&mut pull)
        {
            message = changed;
        }
        self.ike.send_exchange(pull.sa, &message, true);
        self.pull = Some(pull);
        self.timers.set(Timer::Pull, now.mono + wait);
    }

    fn message2(&mut self, now: Now, message: &ExchangeMessage<'_>) -> Result<(), Code> {
        let Some(pull) = &self.pull else { return Err(code::PULL_STATE) };
        let ignore = self.behaviour.has(Defect::GmHash2Unchecked);
        let opened = self.open(message, PullHash::Two { ni: &pull.ni }, ignore)?;
        let mut payloads = opened.payloads();
        if self.behaviour.has(Defect::GmM2PayloadsUnchecked) {
            let first = |kind| payloads.iter().find(|payload| payload.kind == kind).copied();
            payloads = [first(PayloadType::NONCE), first(PayloadType::SA)].into_iter().flatten().collect();
        }
        // REQ GDOI-NEG-060
        let (nonce, sa) = match payloads.as_slice() {
            [nonce, sa, rest @ ..] if harmless(rest) => (nonce, sa),
            _ => return Err(code::PULL_PAYLOADS),
        };
        if (nonce.kind, sa.kind) != (PayloadType::NONCE, PayloadType::SA) {
            return Err(code::PULL_PAYLOADS);
        }
        // REQ GDOI-NEG-059
        if !nonce_fits(nonce.body) && !self.behaviour.has(Defect::GmNonceLengthUnchecked) {
            return Err(code::PULL_NONCE);
        }
        if nonce.body.len() != 16 && self.behaviour.has(Defect::GmNonceLengthFixed) {
            return Err(code::PULL_NONCE);
        }
        let (nr, server) = (nonce.body.to_vec(), pull.server);
        let policy = read_sa(sa.body, self.rules(server, true));
        drop(payloads);
        drop(opened);
        self.ike.authenticated(now, message.sa, message.path);
        match policy {
            Ok(policy) => self.send_m3(now, message, nr, policy),
            Err(code) => {
                self.refuse_policy(now, message, code);
                Ok(())
            }
        }
    }

    // REQ GDOI-PULL-003 GDOI-PULL-012 GDOI-SID-004 GDOI-PL-044
    fn send_m3(&mut self, now: Now, message: &ExchangeMessage<'_>, nr: Vec<u8>, policy: Policy) -> Result<(), Code> {
        let Some(mut pull) = self.pull.take() else { return Err(code::PULL_STATE) };
        let mut count = self.config.group.sender_ids;
        if count == 0 && self.behaviour.varies(Variant::GmAsksForOneSenderId) {
            count = 1;
        }
        let wanted = count != 0 && !self.behaviour.has(Defect::GmSenderIdRequestMissing);
        let request = Attributes(vec![Attribute::basic(gap_attr::SENDER_ID_REQUEST, count)]);
        let gap = wanted.then(|| (PayloadType::GAP, Gap { attributes: request }.encode_body()));
        let rest = build_chain(gap.as_slice());
        pull.cbc.advance(message.body());
        let which = PullHash::Three { ni: &pull.ni, nr: &nr };
        let Some(m3) = self.seal(pull.sa, pull.message_id, which, &rest, &mut pull.cbc) else {
            return Err(code::PULL_STATE);
        };
        self.ike.send_exchange(pull.sa, &m3, false);
        pull.message = m3;
        pull.sent = 1;
        pull.step = Step::AwaitM4 { nr, m2: message.body().to_vec(), policy: Box::new(policy), received: now.mono };
        self.pull = Some(pull);
        self.timers.set(Timer::Pull, now.mono + self.config.phase1.retransmit.wait(1));
        Ok(())
    }

    fn message4(&mut self, now: Now, message: &ExchangeMessage<'_>) -> Result<(), Code> {
        let Some(pull) = &self.pull else { return Err(code::PULL_STATE) };
        let Step::AwaitM4 { nr, policy, received, .. } = &pull.step else { return Err(code::PULL_STATE) };
        let ignore = self.behaviour.has(Defect::GmHash4Unchecked);
        // REQ GDOI-PULL-050
        let opened = self.open(message, PullHash::Four { ni: &pull.ni, nr }, ignore)?;
        let payloads = opened.payloads();
        // REQ GDOI-NEG-106: SEQ, when it is there, comes before KD.
        let (seq, kd) = match payloads.as_slice() {
            [seq, kd, rest @ ..] if seq.kind == PayloadType::SEQ && harmless(rest) => (Some(seq), kd),
            [kd, rest @ ..] if harmless(rest) => (None, kd),
            [] => return Err(code::KD_MISSING),
            _ => return Err(code::PULL_PAYLOADS),
        };
        // REQ GDOI-NEG-102
        if kd.kind != PayloadType::KEY_DOWNLOAD {
            return Err(code::KD_MISSING);
        }
        let any_length = self.behaviour.has(Defect::GmSeqLengthIgnored);
        // REQ GDOI-NEG-105
        let decode = |body| match Sequence::decode(body) {
            Err(_) if any_length => Ok(Sequence(0)),
            decoded => decoded.map_err(|error| error.code),
        };
        let sequence = seq.map(|seq| decode(seq.body)).transpose()?;
        // REQ GDOI-NEG-103
        if policy.kek.is_some() && sequence.is_none() && !self.behaviour.has(Defect::GmMissingSeqAccepted) {
            return Err(code::SEQ_MISSING);
        }
        let (policy, server, received) = (policy.as_ref().clone(), pull.server, *received);
        let keys = read_kd(kd.body, &policy, None, now, self.rules(server, true));
        drop(payloads);
        drop(opened);
        self.ike.authenticated(now, message.sa, message.path);
        match keys {
            Ok(keys) => {
                let sequence = sequence.map_or(0, |sequence| sequence.0);
                self.install(now, message, &policy, keys, sequence);
                self.adopt_data(&policy, received);
                Ok(())
            }
            Err(code) => {
                self.bad_message(code);
                self.journal.reject(now.mono, Some(message.path.peer), code, "", Kept::StateLost);
                // REQ GDOI-PULL-064: what was there before stays.
                self.policy_refused();
                self.pull_failed(now, code);
                Ok(())
            }
        }
    }

    /// Installs what a registration brought.
    // REQ GDOI-PULL-055 GDOI-PULL-056 GDOI-PULL-060 GDOI-PULL-061
    fn install(&mut self, now: Now, message: &ExchangeMessage<'_>, policy: &Policy, keys: Keys, sequence: u32) {
        self.pull = None;
        self.finished_pull = Some(message.header.message_id);
        self.timers.cancel(Timer::Pull);
        self.registered_keys(now, policy, &keys, sequence);
        let spis: Vec<u32> = policy.teks.iter().map(|tek| tek.spi).collect();
        let sids = keys.sids;
        // REQ GDOI-SID-023
        if self.sids.is_none() || !self.behaviour.has(Defect::GmOldSidKept) {
            self.sids.clone_from(&sids);
        }
        // REQ ESP-023
        if !self.behaviour.has(Defect::GmNewSidUnderOldKeys) {
            self.sadb.stop_counting_but(&spis, now.mono);
        }
        let sas = build_sas(policy, &keys.teks, now, self.sids.is_some());
        let installed = self.sadb.install(sas, Rollover { registration: true, ..Rollover::default() }, now.mono);
        for spi in installed {
            self.announce_sa(now, spi);
        }
        let kind = EventKind::Registered {
            group: self.config.group.id,
            kek_spi: self.kek.as_ref().map(|kek| hex::encode(kek.spi)),
            teks: spis,
            sids: sids.map(|sids| sids.values).unwrap_or_default(),
            sequence: self.kek.as_ref().map(|kek| kek.sequence),
        };
        self.journal.tell(now.mono, Some(message.path.peer), kind);
        self.registered(now);
        if self.behaviour.varies(Variant::GmClosesPhase1) {
            self.ike.delete(now, message.sa);
        }
    }

    // REQ GDOI-PULL-058 GDOI-PULL-059
    fn registered_keys(&mut self, now: Now, policy: &Policy, keys: &Keys, sequence: u32) {
        let Some((kek, material)) = policy.kek.as_ref().zip(keys.kek.clone()) else {
            return self.remove_kek(now, "replaced");
        };
        let mut new = RekeySa::new(kek, material, sequence, now.mono);
        if self.behaviour.has(Defect::GmPullSequenceIgnored) {
            new.sequence = 0;
        }
        if let Some(old) = self.kek.take() {
            if old.spi == new.spi && old.iv_and_key == new.iv_and_key {
                // The counter never moves backwards.
                if old.sequence > new.sequence && !self.behaviour.has(Defect::GmPullLowersSequence) {
                    new.sequence = old.sequence;
                    new.window = old.window;
                }
            } else {
                self.retire_kek(now, old);
            }
        }
        self.set_kek(now, new);
    }

    /// Keeps a replaced KEK for a while, to recognise repeats.
    // REQ GDOI-PUSH-046
    pub(super) fn retire_kek(&mut self, now: Now, mut old: RekeySa) {
        old.forget = now.mono + hallmark_core::Duration::from_secs(10);
        let kind = EventKind::KekRemoved { kek_spi: hex::encode(old.spi), reason: "replaced" };
        self.journal.tell(now.mono, None, kind);
        self.previous = Some(old);
    }

    pub(super) fn set_kek(&mut self, now: Now, new: RekeySa) {
        let kek_spi = hex::encode(new.spi);
        if self.config.test.export_keys {
            let iv_and_key = hex::encode(new.iv_and_key.expose());
            self.journal.tell(now.mono, None, EventKind::KekMaterial { kek_spi: kek_spi.clone(), iv_and_key });
        }
        self.journal.tell(now.mono, None, EventKind::KekInstalled { kek_spi });
        self.kek = Some(new);
        self.follow_multicast(now);
    }

    pub(super) fn announce_sa(&mut self, now: Now, spi: u32) {
        let Some(sa) = self.sadb.get(spi) else { return };
        let kind = EventKind::SaInstalled {
            spi,
            transform: sa.transform.to_string(),
            lifetime_secs: sa.expires.saturating_since(now.mono).as_secs(),
        };
        let material = self.config.test.export_keys.then(|| EventKind::TekMaterial {
            spi,
            encryption_key: hex::encode(sa.encryption_key.expose()),
            integrity_key: hex::encode(sa.integrity_key.expose()),
        });
        self.journal.tell(now.mono, None, kind);
        if let Some(material) = material {
            self.journal.tell(now.mono, None, material);
        }
    }

    /// Refuses a policy: tells the server by deleting the phase 1 SA, and goes on to the next server.
    // REQ GDOI-PULL-051 GDOI-PULL-052
    fn refuse_policy(&mut self, now: Now, message: &ExchangeMessage<'_>, code: Code) {
        self.bad_message(code);
        self.journal.reject(now.mono, Some(message.path.peer), code, "policy refused", Kept::StateLost);
        self.policy_refused();
        self.pull = None;
        if !self.behaviour.has(Defect::GmRefusalSilent) && !self.behaviour.has(Defect::SuitebReregisterLoop) {
            if self.behaviour.varies(Variant::GmNotifiesRefusal)
                && let Some(cookies) = self.ike.sa(message.sa).map(|sa| sa.cookies())
            {
                let kind = NotifyType(14);
                let notify = Notify { doi: DOI, protocol: 1, spi: cookies.to_vec(), kind, data: Vec::new() };
                self.ike.informational(now, message.sa, &[(PayloadType::NOTIFY, notify.encode_body())]);
            }
            self.ike.delete(now, message.sa);
        }
        self.pull_failed(now, code);
    }

    /// Consults the defects that turn a bad message into damage.
    pub(super) fn bad_message(&mut self, code: Code) {
        let text = code.as_str();
        let unknown = text.ends_with("attribute-unknown");
        let length = text.ends_with(".length") || text.ends_with(".truncated") || text.ends_with(".count");
        // REQ GDOI-NEG-181
        let zero = self.behaviour.has(Defect::GmZeroLengthLoops) && text == "isakmp.payload.length";
        let crash = self.behaviour.has(Defect::GmCrashNewKs) && unknown;
        let overrun = self.behaviour.has(Defect::MaliciousKsAttr) && length;
        self.deaf |= zero || crash || overrun;
    }

    pub(super) fn rules(&self, server: usize, pull: bool) -> Rules<'_> {
        let compat = self.config.servers.get(server).map(|server| server.compat).unwrap_or_default();
        Rules { config: &self.config.group, compat, behaviour: &self.behaviour, limits: &self.limits, pull }
    }

    fn open(&self, message: &ExchangeMessage<'_>, which: PullHash<'_>, ignore: bool) -> Result<Opened, Code> {
        let (Some(pull), Some(sa)) = (&self.pull, self.ike.sa(message.sa)) else { return Err(code::PULL_STATE) };
        open(&pull.cbc, message.header, message.body(), &self.limits, |received, chain| {
            let (hash, key) = (sa.hash(), sa.skeyid_a().expose());
            let checked = verify(which, hash, key, pull.message_id, received, chain.after_first());
            if ignore { Ok(()) } else { checked }
        })
    }

    fn seal(&self, sa: SaId, message_id: u32, which: PullHash<'_>, rest: &Built, cbc: &mut Cbc) -> Option<Vec<u8>> {
        let sa = self.ike.sa(sa)?;
        let mut hash = which.compute(sa.hash(), sa.skeyid_a().expose(), message_id, &rest.octets);
        if let PullHash::Three { ni, nr } = which {
            let key = sa.skeyid_a().expose();
            if self.behaviour.has(Defect::GmHash3LeadingZero) {
                // The form of Quick Mode.
                hash = hallmark_crypto::prf(sa.hash(), key, &[&[0], &message_id.to_be_bytes(), ni, nr, &rest.octets]);
            }
            if self.behaviour.has(Defect::GmGapUnhashed) {
                hash = which.compute(sa.hash(), key, message_id, &[]);
            }
        }
        let mut message = sa.seal(ExchangeType::PULL, message_id, cbc, &with_hash(&hash, rest));
        if self.behaviour.has(Defect::GmCommitFlagSet)
            && let Some(flags) = message.get_mut(19)
        {
            *flags |= Flags::COMMIT.0;
        }
        Some(message)
    }

    // REQ GDOI-PL-004 GDOI-PL-006
    fn group_identity(&self, server: usize) -> Identification {
        let dialect = self.rules(server, true).dialect();
        let mut id = dialect.group_identification(self.config.group.id);
        if self.behaviour.has(Defect::GmGroupIdLittleEndian) {
            id.data.reverse();
        }
        if self.behaviour.has(Defect::GmIdIsOwnAddress) {
            id = Identification::from_ip(self.config.listen.ip());
        }
        if self.behaviour.has(Defect::GmIdOctetsNonzero) {
            (id.protocol, id.port) = (17, 848);
        }
        id
    }

    fn nonce(&mut self) -> Vec<u8> {
        let len = if self.behaviour.has(Defect::GmNonceShort) {
            6
        } else if self.behaviour.varies(Variant::GmNonceLong) {
            64
        } else {
            16
        };
        let nonce = self.nonces.vec(len);
        if self.behaviour.has(Defect::GmNonceReused) {
            return self.stuck_nonce.get_or_insert(nonce).clone();
        }
        nonce
    }

    /// Makes M1 with another nonce under the same message id, as a faulty member does.
    fn rebuilt_m1(&mut self, pull: &mut Pull) -> Option<Vec<u8>> {
        pull.ni = self.nonce();
        let id = self.group_identity(pull.server);
        let rest = build_chain(&[(PayloadType::NONCE, pull.ni.clone()), (PayloadType::ID, id.encode_body())]);
        pull.cbc = self.ike.sa(pull.sa)?.exchange_cbc(pull.message_id);
        let mut cbc = pull.cbc.clone();
        let message = self.seal(pull.sa, pull.message_id, PullHash::One, &rest, &mut cbc);
        pull.cbc = cbc;
        message
    }
}

/// Makes Data-Security SAs from policy and keys.
pub(super) fn build_sas(
    policy: &Policy,
    keys: &std::collections::BTreeMap<u32, (hallmark_crypto::Secret, hallmark_crypto::Secret)>,
    now: Now,
    has_sender_ids: bool,
) -> Vec<Sa> {
    let sa = |tek: &TekPolicy| {
        let (encryption_key, integrity_key) = keys.get(&tek.spi)?.clone();
        // REQ GDOI-NEG-124: without a sender id the member may only receive.
        let mute = tek.transform.is_counter_mode() && !has_sender_ids;
        Some(Sa {
            spi: tek.spi,
            transform: tek.transform,
            encryption_key,
            integrity_key,
            selectors: tek.selectors.clone(),
            mode: tek.mode,
            direction: if mute { SaDirection::ReceiverOnly } else { tek.direction },
            preservation: tek.preservation,
            extended_sequence: tek.extended_sequence,
            lifetime_kilobytes: tek.lifetime_kilobytes,
            lifetime: tek.lifetime,
            installed: now.mono,
            expires: now.mono + tek.lifetime,
            activates: now.mono,
            deactivates: None,
            serial: 0,
        })
    };
    policy.teks.iter().filter_map(sa).collect()
}

/// Tells whether the payloads behind the expected ones are ones that a peer may add.
fn harmless(payloads: &[PayloadView<'_>]) -> bool {
    payloads.iter().all(|payload| matches!(payload.kind, PayloadType::VENDOR_ID | PayloadType::NOTIFY))
}
