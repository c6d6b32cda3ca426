//! The ISAKMP header and the message around it.

use hallmark_core::Limits;

use super::{Chain, ExchangeType, Flags, PayloadType};
use crate::error::{DecodeError, Layer};
use crate::reader::Reader;
use crate::writer::Writer;

/// Holds one half of the name of an ISAKMP SA.
pub type Cookie = [u8; 8];

/// Holds the 28 octets that start every message.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Header {
    /// Cookie of the phase 1 initiator; comes first whoever sends.
    pub initiator_cookie: Cookie,
    /// Cookie of the phase 1 responder; zero in the first message only.
    pub responder_cookie: Cookie,
    /// Type of the first payload, readable even when the payloads are encrypted.
    pub next: PayloadType,
    /// Major version in the high nibble, minor version in the low one.
    pub version: u8,
    /// The exchange that the message belongs to.
    pub exchange: ExchangeType,
    /// Flag bits.
    pub flags: Flags,
    /// Zero in phase 1 and in PUSH, random in every other exchange.
    pub message_id: u32,
    /// Octets of the whole message.
    pub length: u32,
}

impl Header {
    /// Octets of the header.
    pub const LEN: usize = 28;
    /// Version 1.0, the only one that IKEv1 and GDOI use.
    pub const VERSION: u8 = 0x10;

    /// Reads the header at the start of a datagram and judges no value in it.
    pub fn decode(datagram: &[u8]) -> Result<Self, DecodeError> {
        // REQ IKE-HDR-002
        if datagram.len() < Self::LEN {
            return Err(DecodeError::with_code("isakmp.too-short", Layer::Isakmp, 0, Self::LEN, datagram.len()));
        }
        let mut reader = Reader::new(datagram, Layer::Isakmp);
        Ok(Self {
            initiator_cookie: reader.array()?,
            responder_cookie: reader.array()?,
            next: PayloadType(reader.u8()?),
            version: reader.u8()?,
            exchange: ExchangeType(reader.u8()?),
            flags: Flags(reader.u8()?),
            message_id: reader.u32()?,
            length: reader.u32()?,
        })
    }

    /// Gives the octets of the header.
    #[must_use]
    pub fn encode(&self) -> [u8; Self::LEN] {
        let mut writer = Writer::new();
        writer.octets(&self.initiator_cookie);
        writer.octets(&self.responder_cookie);
        writer.u8(self.next.0);
        writer.u8(self.version);
        writer.u8(self.exchange.0);
        writer.u8(self.flags.0);
        writer.u32(self.message_id);
        writer.u32(self.length);
        writer.into_vec().try_into().unwrap_or([0; Self::LEN])
    }

    /// Gives both cookies, initiator first: the SPI of the ISAKMP SA, or of the KEK in a PUSH.
    #[must_use]
    pub fn cookies(&self) -> [u8; 16] {
        let mut both = [0; 16];
        for (to, from) in both.iter_mut().zip(self.initiator_cookie.iter().chain(&self.responder_cookie)) {
            *to = *from;
        }
        both
    }

    /// Splits 16 octets (a KEK SPI) into the two cookies.
    #[must_use]
    pub fn split_cookies(both: &[u8; 16]) -> (Cookie, Cookie) {
        let mut halves = ([0; 8], [0; 8]);
        for (to, from) in halves.0.iter_mut().chain(halves.1.iter_mut()).zip(both) {
            *to = *from;
        }
        halves
    }
}

/// Shows a datagram as a header and what follows it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Message<'a> {
    /// The header.
    pub header: Header,
    /// The octets after the header, encrypted or not.
    pub body: &'a [u8],
}

impl<'a> Message<'a> {
    /// Checks the size of a datagram against its own header, and nothing else.
    pub fn decode(datagram: &'a [u8]) -> Result<Self, DecodeError> {
        let header = Header::decode(datagram)?;
        let claimed = usize::try_from(header.length).unwrap_or(usize::MAX);
        // REQ IKE-HDR-001
        if claimed != datagram.len() {
            let code = "isakmp.length-mismatch";
            return Err(DecodeError::with_code(code, Layer::Isakmp, 24, claimed, datagram.len()));
        }
        Ok(Self { header, body: datagram.get(Header::LEN..).unwrap_or_default() })
    }

    /// Walks the payloads of a message that is not encrypted.
    pub fn chain(&self, limits: &Limits) -> Result<Chain<'a>, DecodeError> {
        Chain::decode(self.header.next, self.body, limits)
    }
}
