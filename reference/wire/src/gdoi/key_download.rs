//! Key download and sequence number payloads.

use hallmark_core::Limits;

use super::{Dialect, kd_type, sid_key};
use crate::error::{DecodeError, Fault, Layer};
use crate::isakmp::{Attribute, Attributes};
use crate::reader::Reader;
use crate::writer::Writer;

/// Holds the keys of a group.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct KeyDownload {
    /// Key packets in the order of the wire.
    pub packets: Vec<KeyPacket>,
}

impl KeyDownload {
    /// Reads a payload body. The count has to be right, the packets have to fill the payload, and at most one packet
    /// holds a KEK and at most one a key hierarchy.
    pub fn decode(body: &[u8], limits: &Limits) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(body, Layer::Kd);
        let count = usize::from(reader.u16()?);
        reader.reserved(2)?;
        let limit = limits.teks.saturating_add(PACKETS_BESIDE_TEKS);
        if count > limit {
            return Err(DecodeError::new(Layer::Kd, Fault::TooMany, 0, limit, count));
        }
        let mut packets: Vec<KeyPacket> = Vec::new();
        while !reader.is_empty() {
            if packets.len() == count {
                return Err(DecodeError::new(Layer::Kd, Fault::Count, 0, count, count.saturating_add(1)));
            }
            let offset = reader.offset();
            let packet = KeyPacket::decode_from(&mut reader, limits)?;
            let single = matches!(packet.kd_type, kd_type::KEK | kd_type::LKH);
            if single && packets.iter().any(|before| before.kd_type == packet.kd_type) {
                return Err(DecodeError::with_code("gdoi.kd.duplicate", Layer::Kd, offset, 1, 2));
            }
            packets.push(packet);
        }
        if packets.len() != count {
            return Err(DecodeError::new(Layer::Kd, Fault::Count, 0, count, packets.len()));
        }
        Ok(Self { packets })
    }

    /// Gives the octets of the payload body.
    #[must_use]
    pub fn encode_body(&self) -> Vec<u8> {
        let mut writer = Writer::new();
        writer.u16(u16::try_from(self.packets.len()).unwrap_or(u16::MAX));
        writer.u16(0);
        for packet in &self.packets {
            packet.encode(&mut writer);
        }
        writer.into_vec()
    }

    /// Finds the first packet of a type.
    #[must_use]
    pub fn find(&self, kd_type: u8) -> Option<&KeyPacket> {
        self.packets.iter().find(|packet| packet.kd_type == kd_type)
    }

    /// Finds the packet with the keys of a Data-security SA.
    #[must_use]
    pub fn tek(&self, spi: u32) -> Option<&KeyPacket> {
        let spi = spi.to_be_bytes();
        self.packets.iter().find(|packet| packet.kd_type == kd_type::TEK && packet.spi == spi)
    }
}

/// Holds keys that belong together.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct KeyPacket {
    /// What the keys are for: 1 TEK, 2 KEK, 3 LKH, 4 SID.
    pub kd_type: u8,
    /// SPI of the SA that the keys belong to.
    pub spi: Vec<u8>,
    /// The keys.
    pub attributes: Attributes,
}

impl KeyPacket {
    /// Makes the packet that gives out sender ids.
    #[must_use]
    pub fn sids(bits: u16, sids: &[u32], dialect: &Dialect) -> Self {
        let values = sids.iter().map(|&sid| Attribute::variable(sid_key::VALUE, dialect.sid_octets(sid)));
        let attributes = [Attribute::basic(sid_key::BITS, bits)].into_iter().chain(values).collect();
        Self { kd_type: kd_type::SID, spi: Vec::new(), attributes }
    }

    /// Reads the sender ids of a packet; values of a width that no sender id can have are left out.
    #[must_use]
    pub fn sid_values(&self, dialect: &Dialect) -> Vec<u64> {
        self.attributes
            .all(sid_key::VALUE)
            .filter_map(|attribute| match attribute.octets() {
                Some(octets) => dialect.sid(octets),
                None => attribute.as_u64(),
            })
            .collect()
    }

    fn decode_from(reader: &mut Reader<'_>, limits: &Limits) -> Result<Self, DecodeError> {
        let start = reader.offset();
        let remaining = reader.remaining();
        // The header is read as part of the packet, so that errors in it name the packet and not the payload.
        let mut header = Reader::at(reader.peek(), Layer::KeyPacket, start);
        let kd_type = header.u8()?;
        header.reserved(1)?;
        let length = usize::from(header.u16()?);
        if length < HEADER_LEN || length > remaining {
            let need = if length < HEADER_LEN { HEADER_LEN } else { length };
            let have = if length < HEADER_LEN { length } else { remaining };
            return Err(DecodeError::new(Layer::KeyPacket, Fault::Length, start.saturating_add(2), need, have));
        }
        let mut packet = reader.sub(length, Layer::KeyPacket)?;
        packet.take(4)?;
        let spi_len = usize::from(packet.u8()?);
        let need = match kd_type {
            kd_type::KEK | kd_type::LKH => KEK_SPI_LEN,
            kd_type::SID => 0,
            _ => spi_len,
        };
        if spi_len != need {
            let offset = start.saturating_add(4);
            let code = "gdoi.key-packet.spi-size";
            return Err(DecodeError::with_code(code, Layer::KeyPacket, offset, need, spi_len));
        }
        let spi = packet.take(spi_len)?.to_vec();
        let attributes = Attributes::decode_from(&mut packet, limits)?;
        Ok(Self { kd_type, spi, attributes })
    }

    fn encode(&self, writer: &mut Writer) {
        writer.u8(self.kd_type);
        writer.u8(0);
        writer.len_u16(2, |w| {
            w.u8(u8::try_from(self.spi.len()).unwrap_or(u8::MAX));
            w.octets(&self.spi);
            self.attributes.encode_to(w);
        });
    }
}

/// Holds the sequence number of a Rekey SA.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Sequence(pub u32);

impl Sequence {
    /// Reads a payload body of exactly four octets.
    pub fn decode(body: &[u8]) -> Result<Self, DecodeError> {
        if body.len() != 4 {
            // A shorter body ends where it ends; a longer one is wrong from its fifth octet on.
            let offset = body.len().min(4);
            return Err(DecodeError::with_code("gdoi.seq.length", Layer::Payload, offset, 4, body.len()));
        }
        Ok(Self(Reader::new(body, Layer::Payload).u32()?))
    }

    /// Gives the octets of the payload body.
    #[must_use]
    pub fn encode_body(&self) -> Vec<u8> {
        self.0.to_be_bytes().to_vec()
    }
}

/// Type, reserved octet, length and SPI size.
const HEADER_LEN: usize = 5;
const KEK_SPI_LEN: usize = 16;
/// One KEK, one LKH and a few SID packets.
const PACKETS_BESIDE_TEKS: usize = 4;
