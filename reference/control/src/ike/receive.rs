//! The receive pipeline, in the order of section 1.9: the first failure wins. Here a datagram becomes a message and
//! finds whom it is for; `header` holds steps 1 to 7, `step` the rest.

use std::borrow::Cow;
use std::net::IpAddr;

use hallmark_core::{Datagram, Now};
use hallmark_wire::error::DecodeError;
use hallmark_wire::isakmp::{Chain, ExchangeType, Header, NotifyType, PayloadType};

use super::exchange::Refusal;
use super::header::{Target, is_unbound};
use super::sa::Path;
use super::{ExchangeMessage, IkeEndpoint, IkeInput, UnboundMessage, code, lenient};
use crate::behaviour::Defect;

impl IkeEndpoint {
    pub(super) fn receive<'d>(&mut self, now: Now, datagram: &'d Datagram) -> IkeInput<'d> {
        let outcome = if self.deaf { Err(Refusal::keep(code::DEAF)) } else { self.unwrap_datagram(now, datagram) };
        match outcome {
            Ok(Some((path, message))) => self.message(now, path, Cow::Borrowed(message), 0),
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

    /// Takes a whole message; `depth` counts the layers of fragments that it came in.
    pub(super) fn message<'d>(&mut self, now: Now, path: Path, message: Cow<'d, [u8]>, depth: u8) -> IkeInput<'d> {
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
        let target = match self.locate(&header, path, depth) {
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
                    return self.message(now, path, Cow::Owned(whole), depth.saturating_add(1));
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
                if depth == 0
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
        let many = text.ends_with(".too-many");
        if (many && behaviour.has(Defect::IkeDeafAfterManyPayloads))
            || (zero && behaviour.has(Defect::IkeDeafAfterZeroLength))
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

const fn is_unicast(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(ip) => !ip.is_multicast() && !ip.is_broadcast() && !ip.is_unspecified(),
        IpAddr::V6(ip) => !ip.is_multicast() && !ip.is_unspecified(),
    }
}

fn clamp(octets: usize) -> u32 {
    u32::try_from(octets).unwrap_or(u32::MAX)
}
