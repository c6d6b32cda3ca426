//! Chains of payloads.

use hallmark_core::Limits;

use super::PayloadType;
use crate::error::{DecodeError, Fault, Layer};
use crate::reader::Reader;

/// Shows octets (in clear or decrypted) as payloads. Making one checks every header once.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Chain<'a> {
    first: PayloadType,
    octets: &'a [u8],
    payload_octets: usize,
    count: usize,
}

impl<'a> Chain<'a> {
    /// Walks the chain that starts with a payload of type `first` to its end.
    ///
    /// Octets behind the last payload are padding and kept as [`Chain::trailing`].
    pub fn decode(first: PayloadType, octets: &'a [u8], limits: &Limits) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(octets, Layer::Payload);
        let mut kind = first;
        let mut count = 0_usize;
        while kind != PayloadType::NONE {
            // REQ IKE-DOS-006
            if count >= limits.payloads_per_message {
                let limit = limits.payloads_per_message;
                return Err(reader.error(Fault::TooMany, limit, limit.saturating_add(1)));
            }
            let (next, _) = generic_header(&mut reader, Layer::Payload)?;
            kind = PayloadType(next);
            count = count.saturating_add(1);
        }
        Ok(Self { first, octets, payload_octets: reader.offset(), count })
    }

    /// Gives the payloads in order.
    #[must_use]
    pub const fn iter(&self) -> Payloads<'a> {
        Payloads { kind: self.first, reader: Reader::new(self.octets, Layer::Payload) }
    }

    /// Finds the first payload of a type.
    #[must_use]
    pub fn find(&self, kind: PayloadType) -> Option<PayloadView<'a>> {
        self.iter().find(|payload| payload.kind == kind)
    }

    /// Counts the payloads of a type.
    #[must_use]
    pub fn count(&self, kind: PayloadType) -> usize {
        self.iter().filter(|payload| payload.kind == kind).count()
    }

    /// Lists the types in order.
    #[must_use]
    pub fn kinds(&self) -> Vec<PayloadType> {
        self.iter().map(|payload| payload.kind).collect()
    }

    /// Gives the type of the first payload.
    #[must_use]
    pub const fn first(&self) -> PayloadType {
        self.first
    }

    /// Gives all octets that the chain was made from, padding included.
    #[must_use]
    pub const fn octets(&self) -> &'a [u8] {
        self.octets
    }

    /// Gives the sum of the payload lengths, without padding.
    #[must_use]
    pub const fn payload_octets(&self) -> usize {
        self.payload_octets
    }

    /// Gives the octets behind the last payload.
    #[must_use]
    pub fn trailing(&self) -> &'a [u8] {
        self.octets.get(self.payload_octets..).unwrap_or_default()
    }

    /// Gives the octets of all payloads after the first (what the HASH in front of them covers), without padding.
    #[must_use]
    pub fn after_first(&self) -> &'a [u8] {
        let start = self.iter().next().map_or(0, |payload| payload.whole.len());
        self.octets.get(start..self.payload_octets).unwrap_or_default()
    }

    /// Gives the number of payloads.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.count
    }

    /// Tells whether there is no payload.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.count == 0
    }
}

impl<'a> IntoIterator for &Chain<'a> {
    type Item = PayloadView<'a>;
    type IntoIter = Payloads<'a>;
    fn into_iter(self) -> Payloads<'a> {
        self.iter()
    }
}

/// Shows one payload of a chain.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PayloadView<'a> {
    /// Its type.
    pub kind: PayloadType,
    /// Type of the payload after it.
    pub next: PayloadType,
    /// Where its generic header starts, counted from the start of the chain.
    pub offset: usize,
    /// Its octets without the generic header.
    pub body: &'a [u8],
    /// Its octets with the generic header.
    pub whole: &'a [u8],
}

/// Steps through a chain.
#[derive(Clone, Debug)]
pub struct Payloads<'a> {
    kind: PayloadType,
    reader: Reader<'a>,
}

impl<'a> Iterator for Payloads<'a> {
    type Item = PayloadView<'a>;

    fn next(&mut self) -> Option<PayloadView<'a>> {
        if self.kind == PayloadType::NONE {
            return None;
        }
        let offset = self.reader.offset();
        let from_here = self.reader.peek();
        let (next, mut content) = generic_header(&mut self.reader, Layer::Payload).ok()?;
        let whole = from_here.get(..self.reader.offset().saturating_sub(offset))?;
        let view = PayloadView { kind: self.kind, next: PayloadType(next), offset, body: content.rest(), whole };
        self.kind = view.next;
        Some(view)
    }
}

/// Takes one payload: gives its next payload field and a reader over its body.
///
/// The order of the checks is: something is there, RESERVED is zero, the length covers the header and stays inside.
pub(crate) fn generic_header<'a>(reader: &mut Reader<'a>, layer: Layer) -> Result<(u8, Reader<'a>), DecodeError> {
    let offset = reader.offset();
    let remaining = reader.remaining();
    // REQ IKE-PAY-004
    if remaining == 0 {
        return Err(DecodeError::new(layer, Fault::DanglingNext, offset, 4, 0));
    }
    if remaining < 4 {
        return Err(DecodeError::new(layer, Fault::Length, offset, 4, remaining));
    }
    let next = reader.u8()?;
    let reserved = reader.u8()?;
    // REQ IKE-PAY-003
    if reserved != 0 {
        return Err(DecodeError::new(layer, Fault::Reserved, offset.saturating_add(1), 0, usize::from(reserved)));
    }
    let length = usize::from(reader.u16()?);
    // REQ IKE-PAY-001
    if length < 4 {
        return Err(DecodeError::new(layer, Fault::Length, offset.saturating_add(2), 4, length));
    }
    if length > remaining {
        return Err(DecodeError::new(layer, Fault::Length, offset.saturating_add(2), length, remaining));
    }
    let body = reader.sub(length.saturating_sub(4), layer)?;
    Ok((next, body))
}
