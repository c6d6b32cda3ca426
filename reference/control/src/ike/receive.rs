//! The receive pipeline, in the order of section 1.9: the first failure wins.

use std::borrow::Cow;
use std::net::IpAddr;

use hallmark_core::{Datagram, Now};
use hallmark_wire::error::DecodeError;
use hallmark_wire::isakmp::{Chain, ExchangeType, Flags, Header, Message, NotifyType, PayloadType};

use super::event::{Effect, IkeEvent};
use super::exchange::{Exchange, Next, Refusal, State, digest};
use super::sa::{Path, Role, SaId};
use super::{ExchangeMessage, IkeEndpoint, IkeInput, UnboundMessage, code, lenient};
use crate::behaviour::{Defect, Variant};

/// Answers to duplicates that one stored answer is good for.
const REPEATS: u32 = 32;

/// Names what a message belongs to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Target {
    Sa(SaId),
    Exchange(SaId),
    First,
    Unbound,
}

impl IkeEndpoint {
    pub(super) fn receive<'d>(&mut self, now: Now, datagram: &'d Datagram) -> IkeInput<'d> {
        let outcome = if self.deaf { Err(Refusal::keep(code::DEAF)) } else { self.unwrap_datagram(now, datagram) };
        match outcome {
            Ok(Some((path, message))) => self.message(now, path, Cow::Borrowed(message), false),
            Ok(None) => IkeInput::Consumed,
            Err(refusal) => {
                self.reject(refusal.code, datagram.src, refusal.detail);
                IkeInput::Consumed
            }
        }
    }

    /// Looks at addresses and takes the non-ESP marker off. `None`: a keepalive.
    fn unwrap_datagram<'d>(&mut self, now: Now, datagram: &'d Datagram) -> Result<Option<(Path, &'d [u8])>, Refusal> {
        let behaviour = &self.config.behaviour;
        let marker = self.config.nat_t_port == Some(datagram.dst.port());
        let path = Path { local: datagram.dst, peer: datagram.src, marker };
        // REQ IKE-DOS-008
        let unanswerable = (datagram.src.port() == 0 && !behaviour.has(Defect::IkeAnswersSourcePortZero))
            || !is_unicast(datagram.src.ip())
            || !is_unicast(datagram.dst.ip());
        let payload = datagram.payload.as_slice();
        // Messages without an SA of phase 1 may come to a multicast group.
        let unbound = payload.get(18).is_some_and(|&t| is_unbound(ExchangeType(t)));
        if unanswerable && !unbound {
            return Err(Refusal::keep(code::SOURCE));
        }
        if payload.len() > self.limits.message_octets {
            return Err(Refusal::keep(code::TOO_LARGE));
        }
        // REQ IKE-NAT-009
        if payload == [0xff] {
            if behaviour.has(Defect::IkeKeepaliveAnswered) {
                self.push_raw(datagram.reply(vec![0xff]));
            }
            return Ok(None);
        }
        if payload.len() < Header::LEN && behaviour.has(Defect::IkeAnswersShortDatagrams) {
            let header = Header::decode(&[1; Header::LEN])?;
            self.send_clear_notify(now, &header, path, NotifyType::PAYLOAD_MALFORMED);
        }
        if !marker {
            return Ok(Some((path, payload)));
        }
        match payload.strip_prefix(&[0, 0, 0, 0]) {
            Some(message) => Ok(Some((path, message))),
            // REQ IKE-NAT-012
            None if self.config.behaviour.has(Defect::IkeMissingMarkerAccepted) => {
                Ok(Some((Path { marker: false, ..path }, payload)))
            }
            None => Err(Refusal::keep(code::MARKER)),
        }
    }

    /// Takes a whole message; `reassembled` when it came in fragments.
    pub(super) fn message<'d>(
        &mut self,
        now: Now,
        path: Path,
        message: Cow<'d, [u8]>,
        reassembled: bool,
    ) -> IkeInput<'d> {
        let header = match self.size(&message) {
            Ok(header) => header,
            Err(refusal) => {
                if let Ok(header) = Header::decode(&message) {
                    self.notify_refusal(now, &Header { length: clamp(message.len()), ..header }, path, refusal.code);
                }
                self.reject(refusal.code, path.peer, refusal.detail);
                return IkeInput::Consumed;
            }
        };
        let target = match self.locate(&header, path, reassembled) {
            Ok(target) => target,
            Err(refusal) => {
                self.notify_refusal(now, &header, path, refusal.code);
                self.reject(refusal.code, path.peer, refusal.detail);
                return IkeInput::Consumed;
            }
        };
        if self.config.behaviour.has(Defect::IkeEndpointMovedByAnyPacket) {
            self.follow(target, path);
        }
        match target {
            Target::Unbound => match message {
                Cow::Borrowed(message) => return IkeInput::Unbound(UnboundMessage { header, message, path }),
                Cow::Owned(_) => self.reject(code::FRAGMENT_INNER, path.peer, ""),
            },
            Target::Sa(id) | Target::Exchange(id) if header.next == PayloadType::FRAGMENT => {
                if let Some(whole) = self.fragment(now, id, &header, &message, path) {
                    return self.message(now, path, Cow::Owned(whole), true);
                }
            }
            Target::First => self.first_message(now, &header, &message, path),
            Target::Exchange(id) if header.exchange == ExchangeType::INFORMATIONAL => {
                self.early_informational(id, &header, &message, path);
            }
            Target::Exchange(id) if header.exchange == ExchangeType::PULL => {
                self.establish_early(now, id);
                if self.sas.contains_key(&id) && self.protected_form(id, &header, &message).is_ok() {
                    return IkeInput::Exchange(ExchangeMessage { sa: id, header, message, path });
                }
            }
            // REQ IKE-FRAG-011
            Target::Exchange(id)
                if !reassembled
                    && self.config.behaviour.has(Defect::IkeFragmentPoisons)
                    && self.exchanges.get(&id).is_some_and(|x| x.fragments_seen) =>
            {
                self.reject(code::FRAGMENT_SET, path.peer, "");
            }
            Target::Exchange(id) => self.step(now, id, &header, &message, path),
            Target::Sa(id) if header.exchange == ExchangeType::INFORMATIONAL => {
                self.receive_informational(now, id, &header, &message, path);
            }
            Target::Sa(id) if header.exchange == ExchangeType::PULL => {
                match self.protected_form(id, &header, &message) {
                    Ok(()) => return IkeInput::Exchange(ExchangeMessage { sa: id, header, message, path }),
                    Err(refusal) => self.reject(refusal.code, path.peer, refusal.detail),
                }
            }
            Target::Sa(id) => self.after_phase1(id, &message, path),
        }
        IkeInput::Consumed
    }

    /// Steps 1 and 2: the size.
    fn size(&self, message: &[u8]) -> Result<Header, Refusal> {
        match Message::decode(message) {
            Ok(message) => Ok(message.header),
            // REQ IKE-HDR-001
            Err(_) if self.config.behaviour.has(Defect::IkeLengthNotChecked) => Ok(Header::decode(message)?),
            Err(error) => Err(error.into()),
        }
    }

    /// Steps 3 to 7: cookies, version, exchange type, flags, message id.
    fn locate(&self, header: &Header, path: Path, reassembled: bool) -> Result<Target, Refusal> {
        let behaviour = &self.config.behaviour;
        let target = self.find(header)?;
        let first = target == Target::First;
        // REQ IKE-HDR-004, IKE-HDR-005
        if header.version >> 4 != 1 && !(first && behaviour.has(Defect::IkeAcceptsMajorVersion)) {
            return Err(Refusal::keep(code::VERSION_MAJOR));
        }
        if header.version & 15 != 0 && !(first && behaviour.has(Defect::IkeAcceptsMinorVersion)) {
            return Err(Refusal::keep(code::VERSION_MINOR));
        }
        // REQ IKE-HDR-007
        if header.flags.undefined_bits() != 0 && !behaviour.has(Defect::IkeAcceptsReservedFlags) {
            return Err(Refusal::keep(code::FLAGS).with(format!("{:#04x}", header.flags.0)));
        }
        if target == Target::Unbound {
            return Ok(target);
        }
        if header.next == PayloadType::FRAGMENT {
            // REQ IKE-FRAG-006, IKE-FRAG-010
            return match target {
                _ if reassembled => Err(Refusal::keep(code::FRAGMENT_INNER)),
                Target::First => Err(Refusal::keep(code::FRAGMENT_UNKNOWN)),
                _ if header.flags.contains(Flags::ENCRYPTION) => Err(Refusal::keep(code::FRAGMENT_FORM)),
                target => Ok(target),
            };
        }
        self.check_exchange(header, target)?;
        self.check_flags(header, target)?;
        check_message_id(header, behaviour)?;
        // REQ IKE-NAT-004
        if first && behaviour.has(Defect::IkeOtherPortsRefused) && !matches!(path.peer.port(), 500 | 848 | 4500) {
            return Err(Refusal::keep(code::PEER_UNKNOWN));
        }
        // REQ IKE-NAT-008
        if first && path.marker && behaviour.has(Defect::IkeStartOn4500Refused) {
            return Err(Refusal::keep(code::PEER_UNKNOWN));
        }
        Ok(target)
    }

    /// Step 3: whose cookies these are.
    fn find(&self, header: &Header) -> Result<Target, Refusal> {
        let behaviour = &self.config.behaviour;
        if is_unbound(header.exchange) {
            return Ok(Target::Unbound);
        }
        // REQ IKE-CKY-003
        let zero = header.initiator_cookie == [0; 8];
        if zero && !(header.responder_cookie == [0; 8] && behaviour.has(Defect::IkeZeroCookieAccepted)) {
            return Err(Refusal::keep(code::COOKIE_ZERO));
        }
        if let Some(&id) = self.by_cookies.get(&header.cookies()) {
            return Ok(if self.sas.contains_key(&id) { Target::Sa(id) } else { Target::Exchange(id) });
        }
        let waiting = self.by_initiator.get(&header.initiator_cookie).copied();
        if header.responder_cookie == [0; 8] {
            return match waiting {
                Some(id) if header.exchange == ExchangeType::INFORMATIONAL => Ok(Target::Exchange(id)),
                // REQ IKE-MM-029
                Some(_) => Err(Refusal::keep(code::COOKIE_REFLECTED)),
                None if header.exchange == ExchangeType::INFORMATIONAL => Err(Refusal::keep(code::COOKIE_UNKNOWN)),
                None => Ok(Target::First),
            };
        }
        match waiting {
            Some(id) => Ok(Target::Exchange(id)),
            // REQ IKE-CKY-004
            None if behaviour.has(Defect::IkeForeignResponderCookieAccepted)
                && header.exchange == ExchangeType::MAIN =>
            {
                Ok(Target::First)
            }
            // REQ IKE-FRAG-006
            None if header.next == PayloadType::FRAGMENT => Err(Refusal::keep(code::FRAGMENT_UNKNOWN)),
            // REQ IKE-CKY-005
            None => Err(Refusal::keep(code::COOKIE_UNKNOWN)),
        }
    }

    /// Step 5: the exchange type is known and the one of the SA.
    fn check_exchange(&self, header: &Header, target: Target) -> Result<(), Refusal> {
        let behaviour = &self.config.behaviour;
        let kind = header.exchange;
        match target {
            Target::First => {
                if !self.config.accept {
                    return Err(Refusal::keep(code::NOT_SERVED));
                }
                match kind {
                    ExchangeType::MAIN => Ok(()),
                    // REQ IKE-AM-008
                    ExchangeType::AGGRESSIVE
                        if self.config.aggressive || behaviour.has(Defect::IkeAggressiveAlwaysServed) =>
                    {
                        Ok(())
                    }
                    ExchangeType::AGGRESSIVE => Err(Refusal::keep(code::AGGRESSIVE_OFF)),
                    _ if behaviour.has(Defect::IkeServesUnknownExchange) => Ok(()),
                    // REQ IKE-HDR-006
                    _ => Err(Refusal::keep(code::EXCHANGE).with(format!("exchange type {}", kind.0))),
                }
            }
            Target::Exchange(id) => {
                let mode = self.exchanges.get(&id).map(|x| x.mode.exchange());
                match kind {
                    ExchangeType::INFORMATIONAL => Ok(()),
                    // REQ IKE-MM-035
                    ExchangeType::PULL if behaviour.has(Defect::IkeServesPullEarly) => Ok(()),
                    ExchangeType::PULL => Err(Refusal::keep(code::NOT_ESTABLISHED)),
                    kind if Some(kind) == mode => Ok(()),
                    // REQ IKE-MM-012
                    ExchangeType::MAIN | ExchangeType::AGGRESSIVE
                        if behaviour.has(Defect::IkeExchangeSwitchAccepted) =>
                    {
                        Ok(())
                    }
                    kind => Err(Refusal::keep(code::EXCHANGE).with(format!("exchange type {}", kind.0))),
                }
            }
            Target::Sa(id) => {
                let mode = self.sas.get(&id).map(|sa| sa.mode.exchange());
                let known = matches!(kind, ExchangeType::INFORMATIONAL | ExchangeType::PULL) || Some(kind) == mode;
                if known {
                    Ok(())
                } else {
                    Err(Refusal::keep(code::EXCHANGE).with(format!("exchange type {}", kind.0)))
                }
            }
            Target::Unbound => Ok(()),
        }
    }

    /// Step 6, the part that no exchange state is needed for.
    fn check_flags(&self, header: &Header, target: Target) -> Result<(), Refusal> {
        let behaviour = &self.config.behaviour;
        let phase1 = matches!(header.exchange, ExchangeType::MAIN | ExchangeType::AGGRESSIVE);
        if header.flags.contains(Flags::AUTH_ONLY) && !(phase1 && behaviour.varies(Variant::IkeAuthOnlyTolerated)) {
            return Err(Refusal::keep(code::AUTH_ONLY));
        }
        // REQ IKE-HDR-009
        if target == Target::First
            && header.flags.contains(Flags::ENCRYPTION)
            && !behaviour.has(Defect::IkeEncryptionFlagIgnored)
        {
            return Err(Refusal::keep(code::FLAGS).with("encrypted first message"));
        }
        // REQ IKE-HDR-015: the commit flag is not authenticated; a conforming node takes no notice of it.
        if phase1 && header.flags.contains(Flags::COMMIT) && behaviour.has(Defect::IkeCommitStalls) {
            return Err(Refusal::keep(code::COMMIT));
        }
        Ok(())
    }

    /// Checks flag E and the length of a message that an SA must protect.
    pub(super) fn protected_form(&self, id: SaId, header: &Header, message: &[u8]) -> Result<(), Refusal> {
        if !header.flags.contains(Flags::ENCRYPTION) {
            return Err(Refusal::keep(code::FLAGS).with("not encrypted"));
        }
        let block = self.sas.get(&id).map_or(16, |sa| sa.cipher().block_len());
        let octets = message.len().saturating_sub(Header::LEN);
        if octets == 0 || !octets.is_multiple_of(block) {
            return Err(Refusal::keep(code::BLOCK));
        }
        Ok(())
    }

    /// Walks a chain; remembers what a fragile node would not survive.
    pub(super) fn chain<'a>(&mut self, first: PayloadType, octets: &'a [u8]) -> Result<Chain<'a>, Refusal> {
        Chain::decode(first, octets, &self.limits).map_err(|error| self.malformed(&error))
    }

    /// Turns a decoding error into a refusal; a node with a defect stops working here.
    pub(super) fn malformed(&mut self, error: &DecodeError) -> Refusal {
        let behaviour = &self.config.behaviour;
        let text = error.code.as_str();
        // REQ IKE-PAY-001, IKE-DOS-007
        let zero = text.ends_with(".length") && error.have == 0;
        let nested = text.starts_with("isakmp.attribute") || text.starts_with("isakmp.transform");
        if (zero && behaviour.has(Defect::IkeDeafAfterZeroLength))
            || (nested && behaviour.has(Defect::IkeDeafAfterMalformed))
        {
            self.deaf = true;
        }
        (*error).into()
    }

    /// Gives the payload octets of a clear message, repaired where a defect reads on.
    pub(super) fn clear_octets<'a>(&self, header: &Header, message: &'a [u8]) -> Cow<'a, [u8]> {
        let body = message.get(Header::LEN..).unwrap_or_default();
        match lenient::chain(header.next, body, &self.config.behaviour) {
            Some(repaired) => Cow::Owned(repaired),
            None => Cow::Borrowed(body),
        }
    }

    /// Runs one step of an exchange and books its outcome.
    fn step(&mut self, now: Now, id: SaId, header: &Header, message: &[u8], path: Path) {
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
        let digest = digest(message);
        if exchange.last.as_ref().is_some_and(|last| last.digest == digest) {
            // REQ IKE-RTX-005
            if exchange.role == Role::Responder
                && behaviour.has(Defect::IkeDuplicateReprocessed)
                && matches!(exchange.state, State::Keyed(_))
            {
                return self.message_3(now, exchange, header, message, path, digest);
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
            self.by_cookies.remove(&super::sa::join(exchange.cookies));
            exchange.cookies.1 = header.responder_cookie;
            self.by_cookies.insert(super::sa::join(exchange.cookies), exchange.id);
        }
        let encrypted = header.flags.contains(Flags::ENCRYPTION);
        let behaviour = &self.config.behaviour;
        match &exchange.state {
            State::SentOffer { .. } | State::SentShare { .. } | State::SentAll { .. } if encrypted => {
                Err(Refusal::keep(code::FLAGS).with("encrypted too early"))
            }
            State::SentOffer { .. } => self.message_2(now, exchange, header, message, digest, path),
            State::SentShare { .. } => self.message_4(now, exchange, header, message, digest, path),
            State::SentAll { .. } => self.aggressive_2(now, exchange, header, message, digest, path),
            // REQ IKE-HDR-009, IKE-MM-013
            State::SentAnswer if encrypted && !behaviour.has(Defect::IkeEncryptionFlagIgnored) => {
                let lost = behaviour.has(Defect::IkeOutOfOrderKills);
                Err(Refusal { lost, ..Refusal::keep(code::OUT_OF_STATE) })
            }
            State::SentAnswer => self.message_3(now, exchange, header, message, path, digest),
            // REQ IKE-RTX-009
            State::Keyed(_)
                if !encrypted && matches!(header.next, PayloadType::KE | PayloadType::NONCE | PayloadType::SA) =>
            {
                if exchange.role == Role::Responder && behaviour.has(Defect::IkeSecondMessage3Accepted) {
                    return self.message_3(now, exchange, header, message, path, digest);
                }
                Err(Refusal::keep(code::MODIFIED))
            }
            // REQ IKE-HDR-010
            State::Keyed(_) if !encrypted && !behaviour.has(Defect::IkeAcceptsClearAuthentication) => {
                Err(Refusal::keep(code::FLAGS).with("not encrypted"))
            }
            State::Keyed(_) if exchange.role == Role::Responder => {
                self.message_5(now, exchange, header, message, digest, path)
            }
            State::Keyed(_) => self.message_6(now, exchange, header, message, path),
            State::AnsweredAll { .. } => self.aggressive_3(now, exchange, header, message, digest, path),
        }
    }

    /// Answers a duplicate of the last accepted message from store: no new octet, no new work.
    fn repeat_answer(&mut self, exchange: &mut Exchange, path: Path) -> Result<Next, Refusal> {
        let fragment = self.may_fragment(exchange);
        let Some(last) = exchange.last.as_mut() else { return Err(Refusal::keep(code::DUPLICATE)) };
        // The initiator drives with its own timer.
        if exchange.role == Role::Initiator || last.times >= REPEATS {
            return Err(Refusal::keep(code::DUPLICATE));
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
    fn after_phase1(&mut self, id: SaId, message: &[u8], path: Path) {
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

    /// Moves a path without proof (a defect).
    fn follow(&mut self, target: Target, path: Path) {
        match target {
            Target::Sa(id) => {
                if let Some(sa) = self.sas.get_mut(&id) {
                    sa.path = path;
                }
            }
            Target::Exchange(id) => {
                if let Some(exchange) = self.exchanges.get_mut(&id) {
                    exchange.path = path;
                }
            }
            Target::First | Target::Unbound => {}
        }
    }
}

/// Checks where a message of a running exchange comes from.
fn check_path(exchange: &Exchange, path: Path, behaviour: &crate::behaviour::Behaviour) -> Result<(), Refusal> {
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

/// Step 7.
fn check_message_id(header: &Header, behaviour: &crate::behaviour::Behaviour) -> Result<(), Refusal> {
    let wrong = match header.exchange {
        ExchangeType::PULL => header.message_id == 0,
        ExchangeType::INFORMATIONAL => header.message_id == 0 && header.flags.contains(Flags::ENCRYPTION),
        // REQ IKE-HDR-008
        _ => header.message_id != 0 && !behaviour.has(Defect::IkeAcceptsPhase1MessageId),
    };
    if wrong { Err(Refusal::keep(code::MESSAGE_ID)) } else { Ok(()) }
}

const fn is_unbound(exchange: ExchangeType) -> bool {
    matches!(exchange, ExchangeType::PUSH | ExchangeType::PUSH_ACK)
}

const fn is_unicast(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(ip) => !ip.is_multicast() && !ip.is_broadcast() && !ip.is_unspecified(),
        IpAddr::V6(ip) => !ip.is_multicast() && !ip.is_unspecified(),
    }
}

fn clamp(octets: usize) -> u32 {
    u32::try_from(octets).unwrap_or(u32::MAX)
}
