//! Messages as a tree in which nothing has to be right.
//!
//! A tester builds and reads messages with it: every length, next payload field and reserved octet can be computed
//! ([`Field::Auto`]) or forced, and what was read encodes to the same octets again.

mod parse;

use crate::isakmp::{Built, Cookie, Header, PayloadType};
use crate::writer::Writer;

pub use parse::{parse_payloads, parse_payloads_with_trailer};

/// Holds a field that is computed or forced.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Field<T> {
    /// The right value is computed when the message is encoded.
    #[default]
    Auto,
    /// This value is written, right or wrong.
    Force(T),
}

impl<T: Copy> Field<T> {
    /// Gives the forced value, or the right one.
    pub fn or(self, right: T) -> T {
        match self {
            Self::Auto => right,
            Self::Force(value) => value,
        }
    }
}

/// Holds a whole message.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RawMessage {
    /// Cookie of the initiator.
    pub initiator_cookie: Cookie,
    /// Cookie of the responder.
    pub responder_cookie: Cookie,
    /// Type of the first payload.
    pub next: Field<u8>,
    /// Version octet.
    pub version: u8,
    /// Exchange type.
    pub exchange: u8,
    /// Flags.
    pub flags: u8,
    /// Message id.
    pub message_id: u32,
    /// Length of the message.
    pub length: Field<u32>,
    /// Payloads.
    pub payloads: Vec<RawPayload>,
    /// Octets behind the last payload.
    pub trailer: Vec<u8>,
}

impl RawMessage {
    /// Starts a version 1.0 message without payloads, with everything computed.
    #[must_use]
    pub const fn new(cookies: (Cookie, Cookie), exchange: u8, flags: u8, message_id: u32) -> Self {
        Self {
            initiator_cookie: cookies.0,
            responder_cookie: cookies.1,
            next: Field::Auto,
            version: Header::VERSION,
            exchange,
            flags,
            message_id,
            length: Field::Auto,
            payloads: Vec::new(),
            trailer: Vec::new(),
        }
    }

    /// Adds a payload at the end.
    #[must_use]
    pub fn with(mut self, payload: RawPayload) -> Self {
        self.payloads.push(payload);
        self
    }

    /// Finds the first payload of a type.
    pub fn find_mut(&mut self, kind: PayloadType) -> Option<&mut RawPayload> {
        self.payloads.iter_mut().find(|payload| payload.kind == kind.0)
    }

    /// Gives the payloads without header and trailer.
    #[must_use]
    pub fn chain(&self) -> Built {
        let mut writer = Writer::new();
        encode_payloads(&self.payloads, &mut writer);
        Built { first: PayloadType(self.first_kind()), octets: writer.into_vec() }
    }

    /// Gives the message in clear.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut body = self.chain().octets;
        body.extend_from_slice(&self.trailer);
        self.encode_with_body(&body)
    }

    /// Gives the message with another body, for example the encrypted one.
    #[must_use]
    pub fn encode_with_body(&self, body: &[u8]) -> Vec<u8> {
        [&self.header(body.len()), body].concat()
    }

    /// Gives the header as it stands in front of a body of that many octets.
    #[must_use]
    pub fn header(&self, body_len: usize) -> [u8; Header::LEN] {
        let length = u32::try_from(body_len.saturating_add(Header::LEN)).unwrap_or(u32::MAX);
        Header {
            initiator_cookie: self.initiator_cookie,
            responder_cookie: self.responder_cookie,
            next: PayloadType(self.next.or(self.first_kind())),
            version: self.version,
            exchange: crate::isakmp::ExchangeType(self.exchange),
            flags: crate::isakmp::Flags(self.flags),
            message_id: self.message_id,
            length: self.length.or(length),
        }
        .encode()
    }

    fn first_kind(&self) -> u8 {
        self.payloads.first().map_or(0, |payload| payload.kind)
    }
}

/// Holds one payload.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RawPayload {
    /// Its type, which the field in front of it announces.
    pub kind: u8,
    /// Its own next payload field.
    pub next: Field<u8>,
    /// Its reserved octet.
    pub reserved: u8,
    /// Its length field.
    pub length: Field<u16>,
    /// What follows its generic header.
    pub body: RawBody,
}

/// Holds what follows a generic header.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum RawBody {
    /// Octets as they are.
    Octets(Vec<u8>),
    /// Octets followed by payloads of their own chain.
    Nested {
        /// Octets in front of the inner payloads.
        prefix: Vec<u8>,
        /// The inner payloads.
        children: Vec<RawPayload>,
    },
}

impl RawPayload {
    /// Makes a payload with everything computed.
    #[must_use]
    pub const fn new(kind: PayloadType, body: Vec<u8>) -> Self {
        Self { kind: kind.0, next: Field::Auto, reserved: 0, length: Field::Auto, body: RawBody::Octets(body) }
    }

    /// Makes a payload with inner payloads.
    #[must_use]
    pub const fn nested(kind: PayloadType, prefix: Vec<u8>, children: Vec<Self>) -> Self {
        let body = RawBody::Nested { prefix, children };
        Self { kind: kind.0, next: Field::Auto, reserved: 0, length: Field::Auto, body }
    }

    /// Gives the octets after the generic header.
    #[must_use]
    pub fn body_octets(&self) -> Vec<u8> {
        let mut writer = Writer::new();
        self.body.encode(&mut writer);
        writer.into_vec()
    }

    /// Gives the inner payloads, if there are any.
    pub fn children_mut(&mut self) -> Option<&mut Vec<Self>> {
        match &mut self.body {
            RawBody::Octets(_) => None,
            RawBody::Nested { children, .. } => Some(children),
        }
    }
}

impl RawBody {
    fn encode(&self, writer: &mut Writer) {
        match self {
            Self::Octets(octets) => writer.octets(octets),
            Self::Nested { prefix, children } => {
                writer.octets(prefix);
                encode_payloads(children, writer);
            }
        }
    }
}

fn encode_payloads(payloads: &[RawPayload], writer: &mut Writer) {
    let followers = payloads.iter().skip(1).map(|payload| payload.kind).chain([0]);
    for (payload, follower) in payloads.iter().zip(followers) {
        let body = payload.body_octets();
        let length = u16::try_from(body.len().saturating_add(4)).unwrap_or(u16::MAX);
        writer.u8(payload.next.or(follower));
        writer.u8(payload.reserved);
        writer.u16(payload.length.or(length));
        writer.octets(&body);
    }
}

#[cfg(test)]
mod tests;
