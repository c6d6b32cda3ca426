//! Reading messages into the raw tree without losing an octet.

use super::{Field, RawBody, RawMessage, RawPayload};
use crate::error::{DecodeError, Fault, Layer};
use crate::isakmp::{Header, PayloadType};
use crate::reader::Reader;

impl RawMessage {
    /// Reads a message that is not encrypted. Only a missing header is refused: where the chain breaks, the octets
    /// from there on become the trailer, so that encoding gives the same octets again.
    pub fn from_clear(datagram: &[u8]) -> Result<Self, DecodeError> {
        let header = Header::decode(datagram)?;
        let body = datagram.get(Header::LEN..).unwrap_or_default();
        let walk = Walk::run(header.next.0, body, true);
        let mut message = Self {
            payloads: walk.payloads,
            trailer: walk.rest.to_vec(),
            version: header.version,
            ..Self::new(
                (header.initiator_cookie, header.responder_cookie),
                header.exchange.0,
                header.flags.0,
                header.message_id,
            )
        };
        if header.next.0 != message.first_kind() {
            message.next = Field::Force(header.next.0);
        }
        if usize::try_from(header.length).ok() != Some(datagram.len()) {
            message.length = Field::Force(header.length);
        }
        Ok(message)
    }
}

/// Reads a chain of payloads; octets behind the last one are ignored. With `nested` the inside of SA payloads becomes
/// a tree as well, wherever its parts fill it exactly.
pub fn parse_payloads(first: PayloadType, octets: &[u8], nested: bool) -> Result<Vec<RawPayload>, DecodeError> {
    parse_payloads_with_trailer(first, octets, nested).map(|(payloads, _)| payloads)
}

/// Reads a chain of payloads and gives the octets behind the last one (padding, if the chain was encrypted).
pub fn parse_payloads_with_trailer(
    first: PayloadType,
    octets: &[u8],
    nested: bool,
) -> Result<(Vec<RawPayload>, &[u8]), DecodeError> {
    let walk = Walk::run(first.0, octets, nested);
    match walk.broken {
        None => Ok((walk.payloads, walk.rest)),
        Some(error) => Err(error),
    }
}

/// Holds how far a chain could be followed.
struct Walk<'a> {
    payloads: Vec<RawPayload>,
    rest: &'a [u8],
    broken: Option<DecodeError>,
}

impl<'a> Walk<'a> {
    /// Follows a chain; each step takes at least four octets, so the octets bound the loop.
    fn run(first: u8, octets: &'a [u8], nested: bool) -> Self {
        let mut reader = Reader::new(octets, Layer::Payload);
        let mut payloads: Vec<RawPayload> = Vec::new();
        let mut kind = first;
        let mut broken = None;
        while kind != 0 {
            match raw_header(&mut reader) {
                Ok((next, reserved, body)) => {
                    let body = if nested { nested_body(kind, body) } else { RawBody::Octets(body.to_vec()) };
                    payloads.push(RawPayload { kind, next: Field::Auto, reserved, length: Field::Auto, body });
                    kind = next;
                }
                Err(error) => {
                    broken = Some(error);
                    break;
                }
            }
        }
        // The last next payload field announces something that could not be read: keep it as it is.
        if kind != 0
            && let Some(last) = payloads.last_mut()
        {
            last.next = Field::Force(kind);
        }
        Self { payloads, rest: reader.peek(), broken }
    }
}

/// Takes one payload and judges only what is needed to find its end. On an error nothing is taken.
fn raw_header<'a>(reader: &mut Reader<'a>) -> Result<(u8, u8, &'a [u8]), DecodeError> {
    let offset = reader.offset();
    if reader.is_empty() {
        return Err(reader.error(Fault::DanglingNext, 4, 0));
    }
    let mut ahead = reader.clone();
    let next = ahead.u8()?;
    let reserved = ahead.u8()?;
    let length = usize::from(ahead.u16()?);
    if length < 4 {
        return Err(DecodeError::new(Layer::Payload, Fault::Length, offset.saturating_add(2), 4, length));
    }
    let body = ahead.take(length.saturating_sub(4))?;
    *reader = ahead;
    Ok((next, reserved, body))
}

fn nested_body(kind: u8, body: &[u8]) -> RawBody {
    sa_body(kind, body).unwrap_or_else(|| RawBody::Octets(body.to_vec()))
}

/// Opens an SA payload: proposals with transforms, or the policies of GDOI.
fn sa_body(kind: u8, body: &[u8]) -> Option<RawBody> {
    if kind != PayloadType::SA.0 {
        return None;
    }
    // The second octet after the situation tells the layouts apart: a reserved octet in front of a proposal, the low
    // octet of SA Attribute Next Payload in front of a policy.
    let marker = body.get(8..10)?;
    let (prefix_len, first) = match marker {
        [0, policy @ (15 | 16 | 22)] => (12, *policy),
        _ => (8, PayloadType::PROPOSAL.0),
    };
    let (prefix, inner) = body.split_at_checked(prefix_len)?;
    let mut children = filled(first, inner)?;
    if first == PayloadType::PROPOSAL.0 {
        for proposal in &mut children {
            open_proposal(proposal);
        }
    }
    Some(RawBody::Nested { prefix: prefix.to_vec(), children })
}

fn open_proposal(proposal: &mut RawPayload) {
    let octets = proposal.body_octets();
    let spi_len = octets.get(2).map_or(0, |&len| usize::from(len));
    let Some((prefix, inner)) = octets.split_at_checked(spi_len.saturating_add(4)) else { return };
    if inner.is_empty() {
        return;
    }
    if let Some(children) = filled(PayloadType::TRANSFORM.0, inner) {
        proposal.body = RawBody::Nested { prefix: prefix.to_vec(), children };
    }
}

/// Follows an inner chain that fills its octets exactly.
fn filled(first: u8, octets: &[u8]) -> Option<Vec<RawPayload>> {
    let walk = Walk::run(first, octets, false);
    (walk.broken.is_none() && walk.rest.is_empty()).then_some(walk.payloads)
}
