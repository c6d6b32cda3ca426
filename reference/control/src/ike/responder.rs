//! Main Mode as the responder: messages 2, 4 and 6.

use hallmark_core::Now;
use hallmark_wire::isakmp::{
    Chain, Header, Identification, Notify, NotifyType, PayloadType, SecurityAssociation, vendor_id,
};

use super::event::{Effect, IkeEvent};
use super::exchange::{Arrived, Authenticated, Exchange, Next, PeerOffer, Refusal, State};
use super::keys::{Inputs, agree, derive, digest};
use super::payloads::{body, check_payloads, check_trailing, nonce};
use super::sa::{Mode, Path, Role, SaId, join};
use super::timer::Timer;
use super::{IkeEndpoint, code, identity_key, negotiate};
use crate::behaviour::{Defect, Variant};
use hallmark_core::Duration;
use hallmark_wire::isakmp::ExchangeType;

impl IkeEndpoint {
    /// Takes a message with a zero responder cookie: a new exchange, or a duplicate of its first message.
    pub(super) fn first_message(&mut self, now: Now, header: &Header, message: &[u8], path: Path) {
        let known = self.by_first.get(&(path.peer, header.initiator_cookie)).copied();
        // REQ IKE-CKY-009
        if let Some(id) = known.filter(|_| !self.config.behaviour.has(Defect::IkeNewCookiePerCopy)) {
            self.repeat_first(id, message, path);
            return;
        }
        if let Err(refusal) = self.try_first(now, header, message, path) {
            self.notify_refusal(now, header, path, refusal.code);
            self.reject(refusal.code, path.peer, refusal.detail);
        }
    }

    fn try_first(&mut self, now: Now, header: &Header, message: &[u8], path: Path) -> Result<(), Refusal> {
        let behaviour = &self.config.behaviour;
        let first_rule = behaviour.has(Defect::IkePskOfFirstPeer).then_some(0);
        let rule = first_rule.or_else(|| self.config.rule_for(path.peer.ip()));
        let rule = rule.ok_or(Refusal::keep(code::PEER_UNKNOWN))?;
        // REQ IKE-HDR-011
        let first = if behaviour.has(Defect::IkeFirstPayloadIgnored) { PayloadType::SA } else { header.next };
        let header = &Header { next: first, ..*header };
        let octets = self.clear_octets(header, message);
        if octets.is_empty() && first == PayloadType::NONE {
            return Err(Refusal::keep(code::FIRST_PAYLOAD));
        }
        let chain = self.chain(first, &octets)?;
        // REQ IKE-PAY-008
        if chain.first() != PayloadType::SA {
            let later = chain.count(PayloadType::SA) > 0;
            let code = if later { code::SA_NOT_FIRST } else { code::FIRST_PAYLOAD };
            return Err(Refusal::keep(code).with(format!("payload {}", first.0)));
        }
        check_trailing(&chain, &self.config.behaviour)?;
        self.check_vendor_ids(&chain)?;
        let mode = if header.exchange == ExchangeType::AGGRESSIVE { Mode::Aggressive } else { Mode::Main };
        let mandatory: &[PayloadType] = match mode {
            Mode::Main => &[PayloadType::SA],
            Mode::Aggressive => &[PayloadType::SA, PayloadType::KE, PayloadType::NONCE, PayloadType::ID],
        };
        check_payloads(&chain, mandatory, &self.config.behaviour)?;
        let sa_i = body(&chain, PayloadType::SA)?;
        let offer = SecurityAssociation::decode(sa_i).map_err(|e| self.malformed(&e))?;
        let peer_rule = self.config.peers.get(rule).ok_or(Refusal::keep(code::PEER_UNKNOWN))?;
        let group = match mode {
            Mode::Main => None,
            Mode::Aggressive => Some(body(&chain, PayloadType::KE)?.len()),
        };
        let choice = negotiate::choose(&self.config, peer_rule, &offer, group, &self.limits)?;
        self.make_room(path)?;
        let id = self.fresh_id();
        let cookie = self.draws.cookie(now, path.local, path.peer, &self.config.behaviour);
        let mut exchange = Box::new(Exchange {
            id,
            role: Role::Responder,
            mode,
            path,
            first: (path.peer, header.initiator_cookie),
            rule,
            cookies: (header.initiator_cookie, cookie),
            doi: choice.doi,
            // REQ IKE-MM-031
            sa_i: if self.config.behaviour.has(Defect::IkeHashesOwnAnswer) {
                choice.answer.encode_body()
            } else {
                sa_i.to_vec()
            },
            suite: choice.suite,
            lifetime: choice.lifetime,
            peer: PeerOffer::default(),
            nat: (false, false),
            certificate_wanted: false,
            state: State::SentAnswer,
            last: None,
            older: Vec::new(),
            pending: Vec::new(),
            sent: 1,
            started: now.mono,
            fragments_seen: false,
        });
        exchange.note_vendor_ids(&chain);
        self.note_requests(&mut exchange, &chain)?;
        self.half_open.enter(id, path.peer.ip(), now.mono);
        let answer = match mode {
            Mode::Main => {
                let mut payloads = vec![(PayloadType::SA, choice.answer.encode_body())];
                payloads.extend(self.vendor_id_payloads(Some(&exchange.peer)));
                self.sa_first(&mut payloads);
                Ok(exchange.clear(&payloads, &self.config.behaviour))
            }
            Mode::Aggressive => self.aggressive_answer(now, &mut exchange, &chain, &choice.answer),
        };
        let answer = match answer {
            Ok(answer) => answer,
            Err(refusal) => {
                self.half_open.leave(id, path.peer.ip(), false);
                return Err(refusal);
            }
        };
        self.transmit(path, &answer, false);
        exchange.accepted(digest(message), answer, path);
        self.by_first.insert(exchange.first, id);
        self.by_cookies.insert(join(exchange.cookies), id);
        // REQ IKE-LIFE-007
        if !self.config.behaviour.has(Defect::IkeHalfOpenForever) {
            self.timers.set(id, Timer::GiveUp, now.mono + Duration::from_secs(self.limits.half_open_secs));
        }
        self.schedule_resend(now, &mut exchange);
        self.push_event(IkeEvent::Started { sa: id, peer: path.peer, role: Role::Responder });
        self.exchanges.insert(id, exchange);
        Ok(())
    }

    /// A defect refuses what vendor IDs it does not know (IKE-PAY-011).
    fn check_vendor_ids(&self, chain: &Chain<'_>) -> Result<(), Refusal> {
        let mut ids = chain.iter().filter(|p| p.kind == PayloadType::VENDOR_ID);
        if self.config.behaviour.has(Defect::IkeUnknownVendorIdRefused)
            && ids.any(|p| vendor_id::name(p.body).is_none())
        {
            return Err(Refusal::keep(code::PAYLOAD_TYPE).with("unknown vendor ID"));
        }
        Ok(())
    }

    /// Evicts half-open exchanges until another one fits (IKE-DOS-001).
    fn make_room(&mut self, path: Path) -> Result<(), Refusal> {
        while let Some(oldest) = self.half_open.evict(path.peer.ip(), &self.limits) {
            if self.config.behaviour.has(Defect::IkeHalfOpenNeverEvicted) {
                return Err(Refusal::keep(code::EVICTED));
            }
            let Some(exchange) = self.exchanges.remove(&oldest) else {
                self.half_open.leave(oldest, path.peer.ip(), false);
                continue;
            };
            self.drop_exchange(&exchange, false);
            let (code, peer) = (code::EVICTED, exchange.path.peer);
            self.push_event(IkeEvent::Rejected { code, peer, detail: "".into(), effect: Effect::StateLost });
        }
        Ok(())
    }

    /// Times a responder's answer, when a variant or a defect does that (IKE-RTX-011).
    pub(super) fn schedule_resend(&mut self, now: Now, exchange: &mut Exchange) {
        let behaviour = &self.config.behaviour;
        if behaviour.has(Defect::IkeResponderResends) || behaviour.varies(Variant::IkeResponderResendsTwice) {
            exchange.sent = 1;
            self.timers.set(exchange.id, Timer::Retransmit, now.mono + self.wait(1));
        }
    }

    /// Message 3: the initiator's share. Message 4 goes out. This is the first message that costs an exponentiation.
    pub(super) fn message_3(&mut self, exchange: &mut Exchange, arrived: Arrived<'_>) -> Result<Next, Refusal> {
        let Arrived { now, header, message, digest, path } = arrived;
        let octets = self.clear_octets(header, message);
        let chain = self.chain(header.next, &octets)?;
        let behaviour = &self.config.behaviour;
        check_trailing(&chain, behaviour)?;
        check_payloads(&chain, &[PayloadType::KE, PayloadType::NONCE], behaviour)?;
        let nonce_i = nonce(&chain, behaviour)?;
        let ke_i = body(&chain, PayloadType::KE)?;
        // REQ IKE-MM-009: the length is looked at before any work.
        if ke_i.len() != exchange.suite.group.public_len() && !behaviour.has(Defect::IkeKeLengthNotChecked) {
            return Err(Refusal::keep(code::KE_LENGTH).with(format!("{} octets", ke_i.len())));
        }
        // REQ IKE-DOS-003
        if !self.half_open.spend(exchange.id, exchange.first.0.ip(), now.mono) {
            return Err(Refusal::keep(code::RATE));
        }
        let behaviour = &self.config.behaviour;
        let dh = self.draws.dh(exchange.suite.group, behaviour);
        let g_xy = agree(&dh, ke_i, behaviour)?;
        let nonce_r = self.draws.nonce(behaviour);
        let psk = self.psk(exchange.rule);
        let inputs = Inputs { psk: psk.as_ref(), g_xy: &g_xy, nonce_i, nonce_r: &nonce_r, ke_i, ke_r: dh.public() };
        let keyed = derive(exchange.suite, exchange.cookies, &inputs, behaviour)?;
        exchange.note_vendor_ids(&chain);
        self.note_requests(exchange, &chain)?;
        exchange.path = path;
        self.note_nat(exchange, &chain, path)?;
        let mut payloads = self.share_payloads(&dh, &nonce_r);
        payloads.extend(self.certificate_requests(exchange));
        payloads.extend(self.nat_d_for(exchange));
        let answer = exchange.clear(&payloads, &self.config.behaviour);
        self.transmit(path, &answer, false);
        exchange.accepted(digest, answer, path);
        exchange.state = State::Keyed(keyed);
        self.prolong(now, exchange);
        self.schedule_resend(now, exchange);
        Ok(Next::Wait)
    }

    /// Progress gives a half-open exchange its time once more (IKE-LIFE-007: at most twice 30 s).
    fn prolong(&mut self, now: Now, exchange: &Exchange) {
        if self.timers.deadline(exchange.id, Timer::GiveUp).is_some() {
            let more = now.mono + Duration::from_secs(self.limits.half_open_secs);
            let most = exchange.started + Duration::from_secs(self.limits.half_open_secs.saturating_mul(2));
            self.timers.set(exchange.id, Timer::GiveUp, more.min(most));
        }
    }

    /// Message 5: the initiator's proof. Message 6 goes out and the SA is up.
    pub(super) fn message_5(&mut self, exchange: &mut Exchange, arrived: Arrived<'_>) -> Result<Next, Refusal> {
        let Arrived { digest, path, .. } = arrived;
        let State::Keyed(mut keyed) = std::mem::replace(&mut exchange.state, State::SentAnswer) else {
            return Err(Refusal::keep(code::OUT_OF_STATE));
        };
        let outcome = self.open_proof(exchange, &mut keyed, arrived).and_then(|proven| {
            let payloads = self.proof_payloads(exchange, &mut keyed)?;
            Ok((proven, payloads))
        });
        let (proven, payloads) = match outcome {
            Ok(outcome) => outcome,
            Err(refusal) => {
                exchange.state = State::Keyed(keyed);
                return Err(refusal);
            }
        };
        // REQ IKE-KEY-008
        if self.config.behaviour.has(Defect::IkeIvNotChained) {
            keyed.cbc = keyed.first.clone();
        }
        let Self { draws, config, .. } = self;
        let answer = exchange.sealed(&mut keyed.cbc, &payloads, &mut draws.padding, &config.behaviour);
        // REQ IKE-NAT-006: the move counts now that the message verified.
        if !self.config.behaviour.has(Defect::IkeFloatNotFollowed) {
            exchange.path = path;
        }
        let fragment = self.may_fragment(exchange) && self.fragments_now(exchange);
        self.transmit(exchange.path, &answer, fragment);
        exchange.accepted(digest, answer, exchange.path);
        Ok(Next::Up(Authenticated {
            identity: proven.identity,
            subject: proven.subject,
            keyed,
            initial_contact: proven.initial_contact,
        }))
    }

    /// A defect takes an exchange for an SA as soon as there are keys (IKE-MM-035).
    pub(super) fn establish_early(&mut self, now: Now, id: SaId) {
        let Some(mut exchange) = self.exchanges.remove(&id) else { return };
        match std::mem::replace(&mut exchange.state, State::SentAnswer) {
            State::Keyed(keyed) => {
                let identity = Identification::from_ip(exchange.path.peer.ip());
                let done = Authenticated { identity, subject: None, keyed, initial_contact: false };
                self.establish(now, *exchange, done);
            }
            state => {
                exchange.state = state;
                self.exchanges.insert(id, exchange);
            }
        }
    }

    /// A defect obeys INITIAL-CONTACT before the HASH beside it is verified (IKE-INF-016).
    pub(super) fn early_contact(&mut self, exchange: &Exchange, chain: &Chain<'_>, id_body: &[u8]) {
        if !self.config.behaviour.has(Defect::IkeInitialContactEarly) {
            return;
        }
        let contact = chain
            .iter()
            .filter(|p| p.kind == PayloadType::NOTIFY)
            .filter_map(|p| Notify::decode(p.body).ok())
            .any(|n| n.kind == NotifyType::INITIAL_CONTACT);
        let Ok(identity) = Identification::decode(id_body) else { return };
        if contact && let Some(ids) = self.by_identity.get(&identity_key(&identity)) {
            for id in ids.iter().copied().collect::<Vec<SaId>>() {
                self.remove_sa(id);
                self.push_event(IkeEvent::Replaced { sa: id, by: exchange.id });
            }
        }
    }
}
