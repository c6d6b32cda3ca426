//! What leaves an endpoint: datagrams, in fragments where that is allowed, clear notifies, events.

use std::borrow::Cow;
use std::net::{IpAddr, SocketAddr};

use hallmark_core::{Code, Datagram, Now};
use hallmark_wire::isakmp::{ExchangeType, Flags, Fragment, Header, Notify, NotifyType, PayloadType, payload_octets};

use super::event::{Effect, IkeEvent};
use super::sa::{Path, flags, version};
use super::{IkeEndpoint, code};
use crate::behaviour::{Defect, Variant};

const MARKER: [u8; 4] = [0; 4];
const FRAGMENT_OVERHEAD: usize = Header::LEN + 8;

impl IkeEndpoint {
    pub(super) fn push_event(&mut self, event: IkeEvent) {
        if self.events.len() < self.limits.output_queue.max(1) {
            self.events.push_back(event);
        } else {
            self.dropped_outputs = self.dropped_outputs.saturating_add(1);
        }
    }

    pub(super) fn reject(&mut self, code: Code, peer: SocketAddr, detail: impl Into<Cow<'static, str>>) {
        self.push_event(IkeEvent::Rejected { code, peer, detail: detail.into(), effect: Effect::StateKept });
    }

    /// Sends a message on a path, with the marker where it belongs, whole or in fragments.
    pub(super) fn transmit(&mut self, path: Path, message: &[u8], fragment: bool) {
        let room = self.fragment_data(path);
        if fragment && message.len() > room.saturating_add(FRAGMENT_OVERHEAD) {
            for part in fragments(message, room) {
                self.push_datagram(path, &part);
            }
        } else {
            self.push_datagram(path, message);
        }
    }

    /// Gives the octets of the original message that fit into one fragment.
    fn fragment_data(&self, path: Path) -> usize {
        let (default, headers) = match path.peer.ip() {
            IpAddr::V4(_) => (576, 20 + 8),
            IpAddr::V6(_) => (1280, 40 + 8),
        };
        let packet = if self.config.fragment_octets == 0 { default } else { self.config.fragment_octets };
        let marker = if path.marker { MARKER.len() } else { 0 };
        packet.saturating_sub(headers + marker + FRAGMENT_OVERHEAD).max(64)
    }

    fn push_datagram(&mut self, path: Path, message: &[u8]) {
        let marked = path.marker && !self.config.behaviour.has(Defect::IkeMarkerMissing);
        let mut payload = Vec::with_capacity(message.len() + MARKER.len());
        if marked {
            payload.extend_from_slice(&MARKER);
        }
        payload.extend_from_slice(message);
        // REQ IKE-HDR-013
        let mut peer = path.peer;
        if self.config.behaviour.has(Defect::IkeRepliesTo848) && !path.marker {
            peer.set_port(848);
        }
        self.push_raw(Datagram::new(path.local, peer, payload));
    }

    pub(super) fn push_raw(&mut self, datagram: Datagram) {
        if self.transmits.len() < self.limits.output_queue.max(1) {
            self.transmits.push_back(datagram);
        } else {
            self.dropped_outputs = self.dropped_outputs.saturating_add(1);
        }
    }

    /// Tells an initiator in clear why its first message was refused, when that is worth telling, not too often, and
    /// never with more octets than it sent.
    pub(super) fn notify_refusal(&mut self, now: Now, header: &Header, path: Path, refused: Code) {
        let behaviour = &self.config.behaviour;
        let Some(kind) = code::notify(refused) else { return };
        let told = if kind == NotifyType::NO_PROPOSAL_CHOSEN {
            !behaviour.varies(Variant::IkeSilentNoProposal)
        } else {
            behaviour.varies(Variant::IkeNotifiesErrors)
        };
        // An Informational is never answered (IKE-INF-005, IKE-DOS-009).
        if !told || header.exchange == ExchangeType::INFORMATIONAL {
            return;
        }
        self.send_clear_notify(now, header, path, kind);
    }

    /// Sends one notify in clear under the cookies of a message that was received.
    pub(super) fn send_clear_notify(&mut self, now: Now, header: &Header, path: Path, kind: NotifyType) {
        let behaviour = &self.config.behaviour;
        let notify = Notify { doi: self.config.doi, protocol: 1, spi: Vec::new(), kind, data: Vec::new() };
        let body = payload_octets(PayloadType::NONE, &notify.encode_body());
        let zero = behaviour.varies(Variant::IkeClearNotifyMidZero);
        let unlimited = behaviour.has(Defect::IkeNotifiesUnlimited);
        let (version, flags) = (version(behaviour), flags(behaviour));
        // REQ IKE-INF-007
        if Header::LEN + body.len() > usize::try_from(header.length).unwrap_or(usize::MAX).max(Header::LEN)
            || !(self.half_open.may_notify(path.peer.ip(), now.mono) || unlimited)
        {
            return;
        }
        let message_id = if zero { 0 } else { self.draws.message_id(|_| false) };
        let answer = Header {
            initiator_cookie: header.initiator_cookie,
            responder_cookie: header.responder_cookie,
            next: PayloadType::NOTIFY,
            version,
            exchange: ExchangeType::INFORMATIONAL,
            flags: Flags(flags),
            message_id,
            length: u32::try_from(Header::LEN + body.len()).unwrap_or(u32::MAX),
        };
        let mut message = answer.encode().to_vec();
        message.extend_from_slice(&body);
        self.transmit(path, &message, false);
    }
}

/// Cuts a message into fragments: the header of the message, with one fragment payload each (section 9).
fn fragments(message: &[u8], room: usize) -> Vec<Vec<u8>> {
    let Ok(original) = Header::decode(message) else { return vec![message.to_vec()] };
    let count = message.len().div_ceil(room);
    if count > 255 {
        return vec![message.to_vec()];
    }
    let slices = message.chunks(room).enumerate().map(|(index, data)| {
        let number = u8::try_from(index + 1).unwrap_or(u8::MAX);
        let last = u8::from(index + 1 == count) * Fragment::LAST;
        let body = Fragment { id: 1, number, flags: last, data: data.to_vec() }.encode_body();
        let payload = payload_octets(PayloadType::NONE, &body);
        let header = Header {
            next: PayloadType::FRAGMENT,
            flags: Flags(original.flags.0 & !Flags::ENCRYPTION.0),
            length: u32::try_from(Header::LEN + payload.len()).unwrap_or(u32::MAX),
            ..original
        };
        let mut part = header.encode().to_vec();
        part.extend_from_slice(&payload);
        part
    });
    slices.collect()
}
