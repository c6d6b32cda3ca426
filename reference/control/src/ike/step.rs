//! Steps 8 and on: duplicates, the state of the exchange, and the outcome of a step.

use hallmark_core::Now;
use hallmark_wire::isakmp::{Flags, Header, PayloadType};

use super::event::{Effect, IkeEvent};
use super::exchange::{Arrived, Exchange, Next, Refusal, State};
use super::keys::digest;
use super::sa::{Path, Role, SaId, join};
use super::{IkeEndpoint, code};
use crate::behaviour::{Behaviour, Defect};

/// Answers to duplicates that one stored answer is good for.
const REPEATS: u32 = 32;

impl IkeEndpoint {
    /// Runs one step of an exchange and books its outcome.
    pub(super) fn step(&mut self, now: Now, id: SaId, header: &Header, message: &[u8], path: Path) {
        let Some(mut exchange) = self.exchanges.remove(&id) else { return };
        match self.advance(now, &mut exchange, header, message, path) {
            Ok(Next::Wait) => {
                self.exchanges.insert(id, exchange);
            }
            Ok(Next::Up(done)) => self.establish(now, *exchange, done),
            Err(refusal) if refusal.lost => {
                self.drop_exchange(&exchange, false);
                let (code, detail) = (refusal.code, refusal.detail);
                self.push_event(IkeEvent::Rejected { code, peer: path.peer, detail, effect: Effect::StateLost });
                self.push_event(IkeEvent::Failed { sa: id, peer: exchange.path.peer, code });
            }
            Err(refusal) => {
                self.exchanges.insert(id, exchange);
                self.reject(refusal.code, path.peer, refusal.detail);
            }
        }
    }

    /// Steps 8 and on for a running exchange.
    fn advance(
        &mut self,
        now: Now,
        exchange: &mut Exchange,
        header: &Header,
        message: &[u8],
        path: Path,
    ) -> Result<Next, Refusal> {
        let behaviour = &self.config.behaviour;
        check_path(exchange, path, behaviour)?;
        // REQ IKE-MM-029
        if message == exchange.pending && !behaviour.has(Defect::IkeReflectionAccepted) {
            return Err(Refusal::keep(code::COOKIE_REFLECTED));
        }
        let digest = digest(message);
        let arrived = Arrived { now, header, message, digest, path };
        if exchange.last.as_ref().is_some_and(|last| last.digest == digest) {
            // REQ IKE-RTX-005
            if exchange.role == Role::Responder
                && behaviour.has(Defect::IkeDuplicateReprocessed)
                && matches!(exchange.state, State::Keyed(_))
            {
                return self.message_3(exchange, arrived);
            }
            return self.repeat_answer(exchange, path);
        }
        if let Some(older) = exchange.older.iter().find(|kept| kept.digest == digest) {
            // REQ IKE-RTX-008
            if behaviour.has(Defect::IkeStaleDuplicateAnswered) && exchange.role == Role::Responder {
                let answer = older.answer.clone();
                self.transmit(path, &answer, false);
            }
            return Err(Refusal::keep(code::SUPERSEDED));
        }
        // REQ IKE-CKY-008
        if header.responder_cookie != exchange.cookies.1 && exchange.cookies.1 != [0; 8] {
            if !behaviour.has(Defect::IkeResponderCookieNotPinned) {
                return Err(Refusal::keep(code::COOKIE_UNKNOWN));
            }
            self.by_cookies.remove(&join(exchange.cookies));
            exchange.cookies.1 = header.responder_cookie;
            self.by_cookies.insert(join(exchange.cookies), exchange.id);
        }
        let encrypted = header.flags.contains(Flags::ENCRYPTION);
        let behaviour = &self.config.behaviour;
        match &exchange.state {
            State::SentOffer { .. } | State::SentShare { .. } | State::SentAll { .. } if encrypted => {
                // REQ IKE-MM-013
                let lost = behaviour.has(Defect::IkeOutOfOrderKills);
                Err(Refusal { lost, ..Refusal::keep(code::FLAGS).with("encrypted too early") })
            }
            State::SentOffer { .. } => self.message_2(exchange, arrived),
            State::SentShare { .. } => self.message_4(exchange, arrived),
            State::SentAll { .. } => self.aggressive_2(exchange, arrived),
            // REQ IKE-HDR-009, IKE-MM-013
            State::SentAnswer if encrypted && !behaviour.has(Defect::IkeEncryptionFlagIgnored) => {
                let lost = behaviour.has(Defect::IkeOutOfOrderKills);
                Err(Refusal { lost, ..Refusal::keep(code::OUT_OF_STATE) })
            }
            State::SentAnswer => self.message_3(exchange, arrived),
            // REQ IKE-RTX-009
            State::Keyed(_)
                if !encrypted && matches!(header.next, PayloadType::KE | PayloadType::NONCE | PayloadType::SA) =>
            {
                if exchange.role == Role::Responder && behaviour.has(Defect::IkeSecondMessage3Accepted) {
                    return self.message_3(exchange, arrived);
                }
                Err(Refusal::keep(code::MODIFIED))
            }
            // REQ IKE-HDR-010
            State::Keyed(_) if !encrypted && !behaviour.has(Defect::IkeAcceptsClearAuthentication) => {
                Err(Refusal::keep(code::FLAGS).with("not encrypted"))
            }
            State::Keyed(_) if exchange.role == Role::Responder => self.message_5(exchange, arrived),
            State::Keyed(_) => self.message_6(exchange, arrived),
            State::AnsweredAll { .. } => self.aggressive_3(exchange, arrived),
        }
    }

    /// Answers a duplicate of the last accepted message from store: no new octet, no new work.
    fn repeat_answer(&mut self, exchange: &mut Exchange, path: Path) -> Result<Next, Refusal> {
        let fragment = self.may_fragment(exchange);
        let Some(last) = exchange.last.as_mut() else { return Err(Refusal::keep(code::DUPLICATE)) };
        // The initiator drives with its own timer.
        if exchange.role == Role::Initiator || last.times >= REPEATS {
            // REQ IKE-RTX-007
            let lost = exchange.role == Role::Initiator && self.config.behaviour.has(Defect::IkeDuplicateAnswerKills);
            return Err(Refusal { lost, ..Refusal::keep(code::DUPLICATE) });
        }
        last.times += 1;
        self.transmit(path, &last.answer, fragment);
        self.push_event(IkeEvent::AnsweredAgain { sa: exchange.id, peer: path.peer });
        Ok(Next::Wait)
    }

    /// Answers a duplicate of message 1 of an exchange that is on its way.
    pub(super) fn repeat_first(&mut self, id: SaId, message: &[u8], path: Path) {
        let Some(mut exchange) = self.exchanges.remove(&id) else { return };
        let digest = digest(message);
        let outcome = if exchange.last.as_ref().is_some_and(|last| last.digest == digest) {
            self.repeat_answer(&mut exchange, path)
        } else if let Some(older) = exchange.older.iter().find(|kept| kept.digest == digest) {
            // REQ IKE-RTX-008
            if self.config.behaviour.has(Defect::IkeStaleDuplicateAnswered) {
                let answer = older.answer.clone();
                self.transmit(path, &answer, false);
            }
            Err(Refusal::keep(code::SUPERSEDED))
        } else {
            Err(Refusal::keep(code::MODIFIED))
        };
        self.exchanges.insert(id, exchange);
        if let Err(refusal) = outcome {
            self.reject(refusal.code, path.peer, refusal.detail);
        }
    }

    /// A phase 1 message although the SA is up: a duplicate of the last one means that its answer was lost.
    pub(super) fn after_phase1(&mut self, id: SaId, message: &[u8], path: Path) {
        let Some(sa) = self.sas.get_mut(&id) else { return };
        let stale = sa.path.marker && !path.marker && !self.config.behaviour.has(Defect::IkeStalePortAnswered);
        if let Some(kept) = sa.stale.iter().find(|kept| !path.marker && kept.digest == digest(message)) {
            let answer = kept.answer.clone();
            self.transmit(path, &answer, false);
            return;
        }
        // REQ IKE-NAT-007
        let code = if stale {
            code::STALE_PORT
        } else {
            match sa.kept.as_mut().filter(|kept| kept.digest == digest(message)) {
                // REQ IKE-RTX-006, IKE-RTX-007
                Some(kept) if kept.times < REPEATS && kept.path.peer.ip() == path.peer.ip() => {
                    kept.times += 1;
                    let (answer, fragment) = (kept.answer.clone(), sa.may_fragment());
                    self.transmit(path, &answer, fragment);
                    self.push_event(IkeEvent::AnsweredAgain { sa: id, peer: path.peer });
                    return;
                }
                Some(_) => code::DUPLICATE,
                None => code::SUPERSEDED,
            }
        };
        // REQ IKE-MM-033
        if self.config.behaviour.has(Defect::IkeIvAdvancedByGarbage)
            && let Some(sa) = self.sas.get_mut(&id)
        {
            sa.last.advance(message);
        }
        self.reject(code, path.peer, "");
    }
}

/// Checks where a message of a running exchange comes from.
fn check_path(exchange: &Exchange, path: Path, behaviour: &Behaviour) -> Result<(), Refusal> {
    if behaviour.has(Defect::IkeAnySourceAccepted) {
        return Ok(());
    }
    // REQ IKE-MM-037
    let known = match exchange.role {
        Role::Initiator => path.peer == exchange.path.peer,
        // A responder lets the port change (NAT, section 8); the address chose the key.
        Role::Responder => path.peer.ip() == exchange.path.peer.ip(),
    };
    if !known {
        return Err(Refusal::keep(code::PEER_ADDRESS));
    }
    // REQ IKE-NAT-007
    if exchange.path.marker && !path.marker && !behaviour.has(Defect::IkeStalePortAnswered) {
        return Err(Refusal::keep(code::STALE_PORT));
    }
    Ok(())
}
