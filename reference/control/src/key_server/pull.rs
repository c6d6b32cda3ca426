//! GROUPKEY-PULL at the key server.

use hallmark_core::{Code, Duration, Instant, Now};
use hallmark_crypto::ike::Cbc;
use hallmark_wire::gdoi::{DOI, Gap, Sequence, gap_attr};
use hallmark_wire::isakmp::{
    AttributeValue, Built, ExchangeType, Flags, Header, IdType, Identification, Notify, NotifyType, PayloadType,
    PayloadView, build_chain,
};

use super::group::{Generation, Group, Kek, Member, MemberKey, Tek};
use super::policy::{self, Context, Delays, Keys};
use super::{KeyServer, Timer};
use crate::behaviour::{Defect, Variant};
use crate::code;
use crate::config::Compat;
use crate::event::{EventKind, Kept};
use crate::ike::{ExchangeMessage, Path, SaId};
use crate::pull::{Opened, PullHash, nonce_fits, open, verify, with_hash};
use crate::vendor::{self, Version};

/// Sender ids that one member may ask for.
const SIDS_PER_MEMBER: u64 = 256;
/// How long a finished exchange is kept, so that a repeated M3 gets its M4 again.
const KEEP_FINISHED: Duration = Duration::from_secs(30);

/// Is one GROUPKEY-PULL exchange.
pub(super) struct PullExchange {
    group: u32,
    ni: Vec<u8>,
    nr: Vec<u8>,
    cbc: Cbc,
    m1: Vec<u8>,
    m2: Vec<u8>,
    offer: Offer,
    serial: u64,
    state: State,
    /// Sender ids that a faulty server took before M3.
    early_sids: Option<Vec<u32>>,
    sent: u32,
}

/// Is what M2 announced, so that M4 brings keys for exactly that.
#[derive(Clone)]
struct Offer {
    kek: Option<[u8; 16]>,
    teks: Vec<u32>,
    /// The keys are the ones that replace the current ones when sender ids have run out.
    next_generation: bool,
}

enum State {
    AwaitM3,
    Done { m3: Vec<u8>, m4: Vec<u8> },
}

/// Is what the checks of an exchange need from its phase 1 SA.
struct Peer {
    path: Path,
    identity: Identification,
    version: Option<Version>,
    compat: Compat,
    nat: bool,
}

impl KeyServer {
    /// Takes a message of exchange type 32 under an established phase 1 SA.
    pub(super) fn pull_message(&mut self, now: Now, message: &ExchangeMessage<'_>) {
        let key = (message.sa, message.header.message_id);
        let body = message.body();
        // REQ GDOI-NEG-027
        if self.behaviour.has(Defect::KsClearPullServed)
            && !message.header.flags.contains(Flags::ENCRYPTION)
            && let Some(sa) = self.ike.sa(message.sa)
        {
            let header = Header { flags: Flags::ENCRYPTION, ..message.header };
            let sealed = sa.exchange_cbc(key.1).encrypt(body.to_vec());
            let whole = [header.encode().as_slice(), &sealed].concat();
            return self.pull_message(now, &ExchangeMessage { header, message: whole.into(), ..*message });
        }
        let result = match self.pulls.get(&key).map(|exchange| (&exchange.state, exchange.m1 == body)) {
            None => self.message1(now, message),
            // REQ GDOI-PULL-044: the stored M2, nothing new.
            Some((State::AwaitM3, true)) => {
                self.repeat_m2(now, message);
                Ok(())
            }
            Some((State::AwaitM3, false)) => self.message3(now, message),
            // REQ GDOI-PULL-045: the stored M4, no new member, no new sender id.
            Some((State::Done { m3, .. }, _)) if m3 == body => {
                self.repeat_m4(now, message);
                Ok(())
            }
            // REQ GDOI-NEG-040: a second M3 with other content.
            Some((State::Done { .. }, false)) if self.behaviour.has(Defect::KsSecondM3Served) => {
                if let Some(exchange) = self.pulls.get_mut(&key) {
                    exchange.state = State::AwaitM3;
                }
                self.message3(now, message)
            }
            Some((State::Done { .. }, _)) => Err((code::PULL_STATE, Kept::StateKept)),
        };
        if let Err((code, effect)) = result {
            self.journal.reject(now.mono, Some(message.path.peer), code, "", effect);
            self.answer_rejection(now, message.sa, code);
        }
    }

    /// Drops the exchanges of a phase 1 SA that is gone.
    // REQ GDOI-PULL-053 GDOI-P1-020
    pub(super) fn forget_pulls(&mut self, sa: SaId) {
        let keys: Vec<(SaId, u32)> = self.pulls.range((sa, 0)..=(sa, u32::MAX)).map(|(key, _)| *key).collect();
        for key in keys {
            self.pulls.remove(&key);
            self.timers.cancel(Timer::Pull(key.0, key.1));
        }
    }

    /// Sends M2 again, or gives the exchange up.
    // REQ GDOI-PULL-066 GDOI-PULL-071
    pub(super) fn pull_timeout(&mut self, now: Now, sa: SaId, message_id: u32) {
        let timing = self.config.phase1.retransmit;
        let Some(exchange) = self.pulls.get_mut(&(sa, message_id)) else { return };
        if let State::Done { m4, .. } = &exchange.state {
            // REQ GDOI-PULL-067
            if self.behaviour.has(Defect::KsM4Repeated) {
                let m4 = m4.clone();
                self.ike.send_exchange(sa, &m4, false);
            }
            self.pulls.remove(&(sa, message_id));
            return;
        }
        if exchange.sent >= timing.tries.max(1) {
            if self.behaviour.has(Defect::KsOpenPullsKept) {
                return;
            }
            self.pulls.remove(&(sa, message_id));
            let peer = self.ike.sa(sa).map(|sa| sa.path().peer);
            return self.journal.reject(now.mono, peer, code::PULL_TIMEOUT, "", Kept::StateLost);
        }
        exchange.sent += 1;
        let delay = timing.wait(exchange.sent);
        self.timers.set(Timer::Pull(sa, message_id), now.mono + delay);
        // Waiting for the member to repeat M1 is as good: it runs a timer as well.
        let silent =
            self.behaviour.has(Defect::KsM2NotRetransmitted) || self.behaviour.varies(Variant::KsM2OnDemandOnly);
        if !silent {
            let m2 = exchange.m2.clone();
            self.ike.send_exchange(sa, &m2, true);
        }
    }

    fn message1(&mut self, now: Now, message: &ExchangeMessage<'_>) -> Result<(), (Code, Kept)> {
        let keep = |code: Code| (code, Kept::StateKept);
        let message_id = message.header.message_id;
        let Some(peer) = self.peer(message) else { return Err(keep(code::PULL_DOI)) };
        let Some(sa) = self.ike.sa(message.sa) else { return Err(keep(code::PULL_DOI)) };
        // REQ GDOI-P1-004 GDOI-P1-021
        if sa.doi() != DOI && !peer.compat.has(Compat::DOI1) && !self.behaviour.has(Defect::KsPullUnderAnyDoi) {
            return Err(keep(code::PULL_DOI));
        }
        let cbc = sa.exchange_cbc(message_id);
        let (hash, skeyid_a) = (sa.hash(), sa.skeyid_a().clone());
        let ignore = self.behaviour.has(Defect::KsHash1Unchecked);
        let padded = self.behaviour.has(Defect::KsHashCoversPadding);
        // REQ GDOI-PULL-025: HASH(1) first, then its content.
        let opened = open(&cbc, message.header, message.body(), &self.limits, |received, chain| {
            // REQ GDOI-PULL-019
            let padding = if padded { chain.trailing() } else { &[] };
            let rest = [chain.after_first(), padding].concat();
            let checked = verify(PullHash::One, hash, skeyid_a.expose(), message_id, received, &rest);
            if ignore { Ok(()) } else { checked }
        });
        let opened = opened.map_err(|code| self.bad_message(message.sa, code))?;
        let (ni, id) = self.read_m1(&opened).map_err(keep)?;
        let group = self.wanted_group(&id, peer.compat).map_err(keep)?;
        self.authorize(group, &peer).map_err(keep)?;
        if self.behaviour.has(Defect::KsOpenPullsKept) {
            let all = self.pulls.range((message.sa, 0)..=(message.sa, u32::MAX));
            let open = all.filter(|(_, exchange)| matches!(exchange.state, State::AwaitM3)).count();
            if open + 1 >= self.limits.pulls_per_sa {
                return Err(keep(code::PULL_EVICTED));
            }
        }
        // REQ GDOI-P1-010
        if self.behaviour.has(Defect::KsOnePullAtATime) {
            self.pulls.retain(|_, exchange| matches!(exchange.state, State::Done { .. }));
        }
        // REQ GDOI-PULL-040 GDOI-PULL-047: a message id serves one exchange.
        if !self.ike.claim_message_id(message.sa, message_id) {
            return Err(keep(code::PULL_MESSAGE_ID));
        }
        self.ike.authenticated(now, message.sa, message.path);
        self.make_room(now, message.sa);
        self.send_m2(now, message, &peer, group, ni, cbc);
        Ok(())
    }

    /// Reads the nonce and the group identifier.
    fn read_m1(&self, opened: &Opened) -> Result<(Vec<u8>, Identification), Code> {
        let payloads = opened.payloads();
        // REQ GDOI-NEG-004 GDOI-NEG-005 GDOI-NEG-006 GDOI-NEG-007 GDOI-NEG-008
        let first = |kind| payloads.iter().find(|payload| payload.kind == kind);
        let (nonce, id) = match payloads.as_slice() {
            [nonce, id, rest @ ..] if harmless(rest) => (nonce, id),
            _ if self.behaviour.has(Defect::KsM1PayloadsUnchecked) => {
                let found = first(PayloadType::NONCE).zip(first(PayloadType::ID));
                found.ok_or(code::PULL_PAYLOADS)?
            }
            _ => return Err(code::PULL_PAYLOADS),
        };
        if (nonce.kind, id.kind) != (PayloadType::NONCE, PayloadType::ID) {
            let reversed = (id.kind, nonce.kind) == (PayloadType::NONCE, PayloadType::ID);
            if reversed && self.behaviour.has(Defect::KsM1PayloadsUnchecked) {
                let wanted = Identification::decode(nonce.body).map_err(|error| error.code)?;
                return Ok((id.body.to_vec(), wanted));
            }
            return Err(code::PULL_PAYLOADS);
        }
        if !nonce_fits(nonce.body) && !self.behaviour.has(Defect::KsNonceLengthUnchecked) {
            return Err(code::PULL_NONCE);
        }
        let id = Identification::decode(id.body).map_err(|error| error.code)?;
        Ok((nonce.body.to_vec(), id))
    }

    fn wanted_group(&self, id: &Identification, compat: Compat) -> Result<u32, Code> {
        // REQ GDOI-PL-005 GDOI-NEG-012
        if id.id_type != IdType::KEY_ID {
            return Err(code::PULL_ID_TYPE);
        }
        // REQ GDOI-PL-004 GDOI-NEG-011
        if (id.protocol, id.port) != (0, 0) && !self.behaviour.has(Defect::KsIdOctetsUnchecked) {
            return Err(code::PULL_ID_OCTETS);
        }
        let mut id = id.clone();
        if self.behaviour.has(Defect::KsKeyIdLengthUnchecked) {
            id.data.truncate(4);
        }
        // REQ GDOI-PL-006 GDOI-NEG-010
        let mut wanted = policy::dialect(compat, &self.behaviour).group_id(&id).ok_or(code::PULL_ID_LENGTH)?;
        if self.behaviour.has(Defect::KsGroupByteOrderGuessed) && !self.groups.contains_key(&wanted) {
            wanted = wanted.swap_bytes();
        }
        if self.behaviour.has(Defect::KsUnknownGroupServed)
            && let Some(first) = self.groups.keys().next()
            && !self.groups.contains_key(&wanted)
        {
            return Ok(*first);
        }
        // REQ GDOI-PULL-026
        if self.groups.contains_key(&wanted) { Ok(wanted) } else { Err(code::PULL_GROUP) }
    }

    // REQ GDOI-PULL-027
    fn authorize(&self, group: u32, peer: &Peer) -> Result<(), Code> {
        let Some(group) = self.groups.get(&group) else { return Err(code::PULL_GROUP) };
        let identity = if self.behaviour.has(Defect::KsAuthorizesByAddress) {
            Identification::from_ip(peer.path.peer.ip())
        } else {
            peer.identity.clone()
        };
        if !group.admits(&identity) && !self.behaviour.has(Defect::KsAuthorizationUnchecked) {
            return Err(code::PULL_UNAUTHORIZED);
        }
        if self.behaviour.has(Defect::KsRemovedStaysOut) && group.banned.contains(&member_key(peer)) {
            return Err(code::PULL_UNAUTHORIZED);
        }
        let mut least = group.config.min_gm_version;
        if long_lived(group) && !self.behaviour.has(Defect::LongSaGateMissing) {
            least = least.max(Some(Version::LONG_LIFETIME));
        }
        match least {
            Some(least) if peer.version.is_none_or(|version| version < least) => Err(code::PULL_VERSION),
            _ => Ok(()),
        }
    }

    // REQ GDOI-PULL-028 GDOI-PULL-029: nothing about the group changes here.
    fn send_m2(&mut self, now: Now, message: &ExchangeMessage<'_>, peer: &Peer, group_id: u32, ni: Vec<u8>, cbc: Cbc) {
        let nr = self.nonce();
        let key = (message.sa, message.header.message_id);
        let mut early_sids = None;
        if self.behaviour.has(Defect::KsStateBeforeM3) {
            self.register(now, group_id, peer, &[]);
        }
        if let Some(group) = self.groups.get_mut(&group_id)
            && group.counts()
            && self.behaviour.has(Defect::KsSidBeforeM3)
        {
            early_sids = group.take_sids(1, &self.behaviour);
        }
        self.prepare_generation(now.mono, group_id);
        if let Some(group) = self.groups.get_mut(&group_id) {
            // The policy goes out with M2, so this is when the clock must run.
            group.start_clock(now.mono);
        }
        let Some(group) = self.groups.get(&group_id) else { return };
        let context = self.context(now, Some(peer));
        let next_generation = group.next.is_some();
        let (kek, teks) = offered(group, now.mono);
        let teks: Vec<&Tek> = if self.behaviour.varies(Variant::KsPullNewestOnly) {
            teks.into_iter().filter(|tek| !tek.replaced).collect()
        } else {
            teks
        };
        let gap = policy::gap(context, group, Delays::Configured(None));
        let sa = policy::sa_body(context, kek, gap, &teks);
        let offer =
            Offer { kek: kek.map(|kek| kek.spi), teks: teks.iter().map(|tek| tek.spi).collect(), next_generation };
        // REQ GDOI-PULL-002
        let rest = build_chain(&[(PayloadType::NONCE, nr.clone()), (PayloadType::SA, sa)]);
        let mut cbc = cbc;
        // REQ GDOI-PULL-022
        cbc.advance(message.body());
        let which = PullHash::Two { ni: if self.behaviour.has(Defect::KsHash2WithoutNi) { &[] } else { &ni } };
        let Some(m2) = self.seal(key, which, &rest, &mut cbc) else { return };
        self.ike.send_exchange(message.sa, &m2, false);
        self.next_serial += 1;
        let exchange = PullExchange {
            group: group_id,
            ni,
            nr,
            cbc,
            m1: message.body().to_vec(),
            m2,
            offer,
            serial: self.next_serial,
            state: State::AwaitM3,
            early_sids,
            sent: 1,
        };
        self.pulls.insert(key, exchange);
        let first = self.config.phase1.retransmit.wait(1);
        self.timers.set(Timer::Pull(key.0, key.1), now.mono + first);
    }

    fn message3(&mut self, now: Now, message: &ExchangeMessage<'_>) -> Result<(), (Code, Kept)> {
        let keep = |code: Code| (code, Kept::StateKept);
        let key = (message.sa, message.header.message_id);
        let Some(peer) = self.peer(message) else { return Err(keep(code::PULL_STATE)) };
        let Some(sa) = self.ike.sa(message.sa) else { return Err(keep(code::PULL_STATE)) };
        let Some(exchange) = self.pulls.get(&key) else { return Err(keep(code::PULL_STATE)) };
        let (hash, skeyid_a) = (sa.hash(), sa.skeyid_a().clone());
        let which = PullHash::Three { ni: &exchange.ni, nr: &exchange.nr };
        let behaviour = &self.behaviour;
        // REQ GDOI-PULL-031: proves that the member is alive, because it covers Nr.
        let opened = open(&exchange.cbc, message.header, message.body(), &self.limits, |received, chain| {
            let rest = if behaviour.has(Defect::KsHash3SkipsGap) { &[] } else { chain.after_first() };
            let checked = verify(which, hash, skeyid_a.expose(), key.1, received, rest);
            if behaviour.has(Defect::KsHash3LeadingZero) {
                // The form of Quick Mode: prf(SKEYID_a, 0 | M-ID | Ni_b | Nr_b).
                let parts: [&[u8]; 5] = [&[0], &key.1.to_be_bytes(), &exchange.ni, &exchange.nr, rest];
                let quick = hallmark_crypto::prf(hash, skeyid_a.expose(), &parts);
                return if quick == received { Ok(()) } else { checked };
            }
            if behaviour.has(Defect::KsHash3Unchecked) { Ok(()) } else { checked }
        });
        let group_id = exchange.group;
        let opened = opened.map_err(|code| self.bad_message(message.sa, code))?;
        let requested = self.read_m3(&opened).map_err(|code| self.abandon(key, code))?;
        // REQ GDOI-NEG-045
        if requested == Some(0) && self.behaviour.has(Defect::KsZeroRequestKills) {
            self.deaf = true;
        }
        // REQ GDOI-NEG-049
        if self.behaviour.has(Defect::KsMemberDelayAdopted)
            && let Some(gap) = opened.payloads().iter().find_map(|payload| Gap::decode(payload.body).ok())
            && let Some(delay) = gap.attributes.uint(gap_attr::ACTIVATION_TIME_DELAY)
            && let Some(group) = self.groups.get_mut(&group_id)
        {
            group.config.atd_secs = u16::try_from(delay).unwrap_or(u16::MAX);
        }
        drop(opened);
        // REQ GDOI-NEG-017: the authorization may have been withdrawn since M1.
        if !self.behaviour.has(Defect::KsAuthorizationCached) {
            self.authorize(group_id, &peer).map_err(|code| self.abandon(key, code))?;
        }
        self.ike.authenticated(now, message.sa, message.path);
        self.finish(now, key, message, &peer, requested).map_err(|code| self.abandon(key, code))
    }

    /// Reads the GAP payload of M3 and gives the number of sender ids that it asks for.
    // REQ GDOI-PULL-032
    fn read_m3(&self, opened: &Opened) -> Result<Option<u64>, Code> {
        let payloads = opened.payloads();
        let gap = match payloads.as_slice() {
            // REQ GDOI-NEG-048
            [gap, rest @ ..] if gap.kind == PayloadType::GAP && harmless(rest) => gap,
            rest if harmless(rest) => return Ok(None),
            _ => return Err(code::PULL_PAYLOADS),
        };
        let gap = Gap::decode(gap.body).map_err(|error| error.code)?;
        let mut requested = None;
        for attribute in gap.attributes.iter() {
            match (attribute.class, &attribute.value) {
                // REQ GDOI-NEG-043 GDOI-NEG-044
                (gap_attr::SENDER_ID_REQUEST, AttributeValue::Basic(count)) if requested.is_none() => {
                    requested = Some(u64::from(*count));
                }
                (gap_attr::SENDER_ID_REQUEST, _) if self.behaviour.has(Defect::KsGapFormIgnored) => {
                    requested = Some(requested.unwrap_or(0) + attribute.as_u64().unwrap_or(0));
                }
                // REQ GDOI-NEG-049: delays are policy of the group, not of a member.
                (gap_attr::ACTIVATION_TIME_DELAY | gap_attr::DEACTIVATION_TIME_DELAY, AttributeValue::Basic(_)) => {}
                (
                    gap_attr::SENDER_ID_REQUEST | gap_attr::ACTIVATION_TIME_DELAY | gap_attr::DEACTIVATION_TIME_DELAY,
                    _,
                ) => {
                    return Err(code::PULL_GAP_FORM);
                }
                // REQ GDOI-PL-039 GDOI-NEG-041
                _ if self.behaviour.has(Defect::KsUnknownGapIgnored) => {}
                _ => return Err(code::PULL_GAP_UNKNOWN),
            }
        }
        // REQ GDOI-NEG-046
        match requested {
            Some(count) if count > SIDS_PER_MEMBER => Err(code::PULL_SID_REQUEST),
            other => Ok(other),
        }
    }

    /// Registers the member, builds M4 and sends it.
    fn finish(
        &mut self,
        now: Now,
        key: (SaId, u32),
        message: &ExchangeMessage<'_>,
        peer: &Peer,
        requested: Option<u64>,
    ) -> Result<(), Code> {
        let Some(exchange) = self.pulls.get(&key) else { return Err(code::PULL_STATE) };
        let (group_id, offer, early) = (exchange.group, exchange.offer.clone(), exchange.early_sids.clone());
        let (ni, nr, mut cbc) = (exchange.ni.clone(), exchange.nr.clone(), exchange.cbc.clone());
        if offer.next_generation {
            self.enter_generation(now, group_id, offer.kek);
        }
        let group = self.groups.get(&group_id).ok_or(code::PULL_GROUP)?;
        // REQ GDOI-PL-059: M4 must bring the keys that M2 announced; the KEK may have been replaced in between.
        let current = group.kek.as_ref().map(|kek| kek.spi) == offer.kek;
        let teks: Option<Vec<Tek>> =
            offer.teks.iter().map(|spi| group.teks.iter().find(|tek| tek.spi == *spi).cloned()).collect();
        let (true, Some(teks)) = (current, teks) else { return Err(code::PULL_POLICY_MOVED) };
        if group.members.len() >= self.limits.members && group.find_member(&member_key(peer)).is_none() {
            return Err(code::PULL_MEMBERS);
        }
        let sids = self.allocate_sids(group_id, requested, early)?;
        self.register(now, group_id, peer, &sids);
        let group = self.groups.get(&group_id).ok_or(code::PULL_GROUP)?;
        let member = group.find_member(&member_key(peer)).and_then(|id| group.members.get(&id));
        let kek = group.kek.clone();
        let context = self.context(now, Some(peer));
        let mut payloads = Vec::new();
        // REQ GDOI-PULL-036 GDOI-PULL-037 GDOI-PULL-038
        if let Some(sequence) = self.reported_sequence(kek.as_ref()) {
            payloads.push((PayloadType::SEQ, Sequence(sequence).encode_body()));
        }
        let with_kek = !self.behaviour.has(Defect::KsM4KekMissing);
        let keys = Keys {
            kek: kek.as_ref().filter(|_| with_kek),
            kek_spi: None,
            leaf: member.and_then(|member| member.leaf).map(|leaf| (group, leaf)),
            updates: Vec::new(),
            teks: teks.iter().collect(),
            sids: group.config.sid_bits.filter(|_| !sids.is_empty()).map(|bits| (bits, sids.clone())),
        };
        let kd = policy::kd_body(context, &keys);
        // REQ GDOI-PULL-004
        payloads.push((PayloadType::KEY_DOWNLOAD, kd));
        if self.behaviour.has(Defect::KsM4KdBeforeSeq) {
            payloads.reverse();
        }
        let rest = build_chain(&payloads);
        cbc.advance(message.body());
        if self.behaviour.has(Defect::KsIvNotChained)
            && let Some(sa) = self.ike.sa(key.0)
        {
            cbc = sa.exchange_cbc(key.1);
        }
        let swapped = self.behaviour.has(Defect::KsHash4NoncesSwapped);
        let which = if swapped { PullHash::Four { ni: &nr, nr: &ni } } else { PullHash::Four { ni: &ni, nr: &nr } };
        let m4 = self.seal(key, which, &rest, &mut cbc).ok_or(code::PULL_STATE)?;
        self.ike.send_exchange(key.0, &m4, false);
        if self.behaviour.has(Defect::KsPullAdvancesSequence)
            && let Some(kek) = self.groups.get_mut(&group_id).and_then(|group| group.kek.as_mut())
        {
            kek.sequence += 1;
        }
        if let Some(exchange) = self.pulls.get_mut(&key) {
            exchange.state = State::Done { m3: message.body().to_vec(), m4 };
            exchange.m2 = Vec::new();
        }
        self.timers.set(Timer::Pull(key.0, key.1), now.mono + KEEP_FINISHED);
        Ok(())
    }

    fn reported_sequence(&self, kek: Option<&Kek>) -> Option<u32> {
        let Some(kek) = kek else { return self.behaviour.has(Defect::KsSeqWithoutSak).then_some(0) };
        if self.behaviour.has(Defect::KsSeqMissing) {
            None
        } else if self.behaviour.has(Defect::KsM4SeqZero) {
            Some(0)
        } else if self.behaviour.has(Defect::KsM4SeqNext) {
            Some(kek.sequence + 1)
        } else {
            Some(kek.sequence)
        }
    }

    // REQ GDOI-SID-002 GDOI-SID-003 GDOI-SID-012
    fn allocate_sids(
        &mut self,
        group_id: u32,
        requested: Option<u64>,
        early: Option<Vec<u32>>,
    ) -> Result<Vec<u32>, Code> {
        let behaviour = self.behaviour.clone();
        let group = self.groups.get_mut(&group_id).ok_or(code::PULL_GROUP)?;
        if !group.counts() {
            return Ok(Vec::new());
        }
        if let Some(early) = early {
            return Ok(early);
        }
        let count = if behaviour.has(Defect::KsSenderIdRequestIgnored) { 1 } else { requested.unwrap_or(1).max(1) };
        group.take_sids(count, &behaviour).ok_or(code::PULL_SID_REQUEST)
    }

    /// Records a member, or its new registration.
    // REQ GDOI-SEC-002 GDOI-PUSH-065
    fn register(&mut self, now: Now, group_id: u32, peer: &Peer, sids: &[u32]) {
        let id = self.new_member_id();
        let keys = &mut self.keys;
        let Some(group) = self.groups.get_mut(&group_id) else { return };
        let key = member_key(peer);
        // REQ REG-019
        let known = group.find_member(&key).filter(|_| !self.behaviour.has(Defect::KsDuplicateMembers));
        let again = known.is_some();
        group.counters.registrations += 1;
        group.banned.remove(&key);
        match known.and_then(|id| group.members.get_mut(&id)) {
            Some(member) => {
                member.path = peer.path;
                member.version = peer.version;
                member.compat = peer.compat;
                member.registered = now.mono;
                member.registrations += 1;
                member.sids = sids.to_vec();
                member.missed = 0;
                member.leaving = None;
            }
            None => {
                let leaf = group.tree.as_mut().and_then(|tree| tree.insert(keys));
                let member = Member {
                    key,
                    identity: peer.identity.clone(),
                    path: peer.path,
                    version: peer.version,
                    compat: peer.compat,
                    registered: now.mono,
                    registrations: 1,
                    sids: sids.to_vec(),
                    leaf,
                    sent: std::collections::VecDeque::new(),
                    received: std::collections::VecDeque::new(),
                    rekeys_sent: 0,
                    acks: 0,
                    missed: 0,
                    leaving: None,
                };
                group.add_member(id, member);
            }
        }
        let kind = EventKind::MemberRegistered {
            group: group_id,
            identity: peer.identity.to_string(),
            version: peer.version.map(|version| version.to_string()),
            sids: sids.to_vec(),
            again,
        };
        self.journal.tell(now.mono, Some(peer.path.peer), kind);
    }

    fn repeat_m2(&mut self, now: Now, message: &ExchangeMessage<'_>) {
        let key = (message.sa, message.header.message_id);
        if self.behaviour.has(Defect::KsM2NotRetransmitted) {
            return;
        }
        if self.behaviour.has(Defect::KsM2ChangesOnRepeat)
            && let Some(exchange) = self.pulls.remove(&key)
            && let Some(peer) = self.peer(message)
            && let Some(sa) = self.ike.sa(message.sa)
        {
            let cbc = sa.exchange_cbc(key.1);
            return self.send_m2(now, message, &peer, exchange.group, exchange.ni, cbc);
        }
        if let Some(exchange) = self.pulls.get(&key) {
            self.ike.send_exchange(key.0, &exchange.m2, true);
        }
    }

    fn repeat_m4(&mut self, now: Now, message: &ExchangeMessage<'_>) {
        let key = (message.sa, message.header.message_id);
        // Silence is as good: the member starts over.
        if self.behaviour.varies(Variant::KsM4SentOnce) {
            return;
        }
        if self.behaviour.has(Defect::KsRepeatedM3ServedAnew) {
            if let Some(exchange) = self.pulls.get_mut(&key) {
                exchange.state = State::AwaitM3;
            }
            let _ = self.message3(now, message);
            return;
        }
        if let Some(PullExchange { state: State::Done { m4, .. }, .. }) = self.pulls.get(&key) {
            self.ike.send_exchange(key.0, m4, true);
        }
    }

    fn abandon(&mut self, key: (SaId, u32), code: Code) -> (Code, Kept) {
        self.pulls.remove(&key);
        self.timers.cancel(Timer::Pull(key.0, key.1));
        (code, Kept::StateLost)
    }

    /// Consults the defects that turn a bad message into damage.
    fn bad_message(&mut self, sa: SaId, code: Code) -> (Code, Kept) {
        // REQ GDOI-NEG-019 GDOI-NEG-020
        if self.behaviour.has(Defect::KsZeroLengthLoops) && code.as_str().ends_with(".length") {
            self.deaf = true;
        }
        // REQ GDOI-PULL-069
        if self.behaviour.has(Defect::KsBadHashDropsPhase1) && code.as_str().starts_with("gdoi.pull.hash") {
            self.forget_pulls(sa);
            self.ike.forget(sa);
        }
        (code, Kept::StateKept)
    }

    /// Sends the notification that a legal variant sends where the reference is silent.
    fn answer_rejection(&mut self, now: Now, sa: SaId, code: Code) {
        let kind = match code {
            code::PULL_GROUP if self.behaviour.varies(Variant::KsNotifiesUnknownGroup) => NotifyType(18),
            code::PULL_UNAUTHORIZED if self.behaviour.varies(Variant::KsNotifiesUnauthorized) => NotifyType(24),
            code::PULL_HASH3 if self.behaviour.varies(Variant::KsNotifiesBadHash) => NotifyType(23),
            _ => return,
        };
        let Some(cookies) = self.ike.sa(sa).map(|sa| sa.cookies()) else { return };
        let notify = Notify { doi: DOI, protocol: 1, spi: cookies.to_vec(), kind, data: Vec::new() };
        self.ike.informational(now, sa, &[(PayloadType::NOTIFY, notify.encode_body())]);
    }

    /// Gives up the oldest unfinished exchange of a phase 1 SA that has too many.
    // REQ GDOI-NEG-054
    fn make_room(&mut self, now: Now, sa: SaId) {
        let range = (sa, 0)..=(sa, u32::MAX);
        if self.pulls.range(range.clone()).count() < self.limits.pulls_per_sa {
            return;
        }
        // Finished exchanges go first: they only serve a member that lost M4.
        let oldest = self
            .pulls
            .range(range)
            .min_by_key(|(_, exchange)| (matches!(exchange.state, State::AwaitM3), exchange.serial))
            .map(|(key, exchange)| (*key, matches!(exchange.state, State::AwaitM3)));
        if let Some((key, unfinished)) = oldest {
            let (code, effect) = self.abandon(key, code::PULL_EVICTED);
            if unfinished {
                let peer = self.ike.sa(sa).map(|sa| sa.path().peer);
                self.journal.reject(now.mono, peer, code, "", effect);
            }
        }
    }

    fn peer(&self, message: &ExchangeMessage<'_>) -> Option<Peer> {
        let sa = self.ike.sa(message.sa)?;
        Some(Peer {
            path: message.path,
            identity: sa.peer_identity().clone(),
            version: vendor::find(sa.peer_vendor_ids()),
            compat: self.compat(sa.rule()),
            nat: sa.peer_behind_nat() || message.path.marker,
        })
    }

    fn context<'a>(&'a self, now: Now, peer: Option<&Peer>) -> Context<'a> {
        Context {
            now: now.mono,
            wall: now.wall,
            server: self.push_source(),
            member: peer.map(|peer| peer.path.peer),
            compat: peer.map_or(Compat::NONE, |peer| peer.compat),
            behaviour: &self.behaviour,
        }
    }

    fn nonce(&mut self) -> Vec<u8> {
        let len = if self.behaviour.has(Defect::KsNonceShort) {
            6
        } else if self.behaviour.varies(Variant::KsNonceLong) {
            64
        } else {
            16
        };
        // REQ GDOI-PULL-024
        let nonce = self.nonces.vec(len);
        if self.behaviour.has(Defect::KsNonceReused) {
            return self.stuck_nonce.get_or_insert(nonce).clone();
        }
        nonce
    }

    /// Puts the HASH in front, encrypts and heads a message.
    fn seal(&self, key: (SaId, u32), which: PullHash<'_>, rest: &Built, cbc: &mut Cbc) -> Option<Vec<u8>> {
        let sa = self.ike.sa(key.0)?;
        let mut hash = which.compute(sa.hash(), sa.skeyid_a().expose(), key.1, &rest.octets);
        if self.behaviour.has(Defect::KsHashTruncated) {
            hash.truncate(12);
        }
        let built = with_hash(&hash, rest);
        let mut message = sa.seal(ExchangeType::PULL, key.1, cbc, &built);
        // REQ GDOI-SEC-003
        if self.behaviour.has(Defect::KsM4InClear)
            && matches!(which, PullHash::Four { .. })
            && let Ok(header) = Header::decode(&message)
        {
            let length = u32::try_from(Header::LEN + built.octets.len()).unwrap_or(u32::MAX);
            let header = Header { flags: Flags(0), length, ..header };
            message = [header.encode().as_slice(), &built.octets].concat();
        }
        // REQ GDOI-PULL-008
        if self.behaviour.has(Defect::KsCommitFlagSet)
            && let Some(flags) = message.get_mut(19)
        {
            *flags |= 2;
        }
        Some(message)
    }
}

/// Gives the keys that the next M2 announces, in the order of the configuration, the newest of each policy first: the
/// access list of the group is made of theirs, one behind the other.
fn offered(group: &Group, now: Instant) -> (Option<&Kek>, Vec<&Tek>) {
    match &group.next {
        Some(Generation { kek, teks }) => (kek.as_ref(), teks.iter().collect()),
        None => {
            let mut teks: Vec<&Tek> = group.live_teks(now).collect();
            teks.sort_by_key(|tek| tek.policy);
            (group.kek.as_ref(), teks)
        }
    }
}

/// Tells whether the payloads behind the expected ones are ones that a peer may add.
// REQ GDOI-PULL-020
fn harmless(payloads: &[PayloadView<'_>]) -> bool {
    payloads.iter().all(|payload| matches!(payload.kind, PayloadType::VENDOR_ID | PayloadType::NOTIFY))
}

/// Tells whether a key of the group lives longer than a day.
fn long_lived(group: &Group) -> bool {
    let day = Duration::from_secs(86_400);
    group.kek.as_ref().is_some_and(|kek| kek.lifetime > day) || group.teks.iter().any(|tek| tek.config.lifetime > day)
}

fn member_key(peer: &Peer) -> MemberKey {
    let address = peer.path.peer;
    MemberKey {
        identity: super::group::identity_octets(&peer.identity),
        address: address.ip(),
        nat_port: peer.nat.then(|| address.port()),
    }
}
