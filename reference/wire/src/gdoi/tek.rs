//! SA TEK payloads: the policy of Data-security SAs.

use hallmark_core::Limits;

use super::{Bypass, Dialect, Selector, protocol_id};
use crate::error::{DecodeError, Layer};
use crate::isakmp::Attributes;
use crate::reader::Reader;
use crate::writer::Writer;

/// Holds the policy of one Data-security SA.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SaTek {
    /// Protocol that the rest is written for: 1 ESP, 2 AH, 3 IEC 61850; 250 for a bypass in our reference form.
    pub protocol_id: u8,
    /// What the protocol defines.
    pub body: TekBody,
}

/// Holds what the protocol of an SA TEK payload defines.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum TekBody {
    /// ESP or AH.
    Ipsec(IpsecTek),
    /// Traffic that stays in clear, in our reference form.
    Bypass(Bypass),
    /// Octets of a protocol that is not looked into.
    Other(Vec<u8>),
}

impl SaTek {
    /// Makes the policy of an ESP SA.
    #[must_use]
    pub const fn esp(tek: IpsecTek) -> Self {
        Self { protocol_id: protocol_id::ESP, body: TekBody::Ipsec(tek) }
    }

    /// Makes the policy of an AH SA.
    #[must_use]
    pub const fn ah(tek: IpsecTek) -> Self {
        Self { protocol_id: protocol_id::AH, body: TekBody::Ipsec(tek) }
    }

    /// Makes an entry for traffic that stays in clear.
    #[must_use]
    pub const fn bypass(bypass: Bypass) -> Self {
        Self { protocol_id: protocol_id::BYPASS, body: TekBody::Bypass(bypass) }
    }

    /// Gives the ESP or AH part, if it is one.
    #[must_use]
    pub const fn ipsec(&self) -> Option<&IpsecTek> {
        match &self.body {
            TekBody::Ipsec(tek) => Some(tek),
            TekBody::Bypass(_) | TekBody::Other(_) => None,
        }
    }

    /// Reads a payload body.
    pub fn decode(body: &[u8], dialect: &Dialect, limits: &Limits) -> Result<Self, DecodeError> {
        Self::decode_from(&mut Reader::new(body, Layer::Sat), dialect, limits)
    }

    pub(super) fn decode_from(
        reader: &mut Reader<'_>,
        dialect: &Dialect,
        limits: &Limits,
    ) -> Result<Self, DecodeError> {
        let protocol_id = reader.u8()?;
        let body = match protocol_id {
            protocol_id::ESP | protocol_id::AH => TekBody::Ipsec(IpsecTek::decode_from(reader, dialect, limits)?),
            protocol_id::BYPASS => {
                let mut selectors = Reader::at(reader.peek(), Layer::Sat, reader.offset());
                let octets = reader.rest();
                // A private number may mean something else elsewhere: what does not have our form stays as it is.
                Bypass::decode(&mut selectors, dialect)
                    .map_or_else(|_| TekBody::Other(octets.to_vec()), TekBody::Bypass)
            }
            _ => TekBody::Other(reader.rest().to_vec()),
        };
        Ok(Self { protocol_id, body })
    }

    /// Gives the octets of the payload body.
    #[must_use]
    pub fn encode_body(&self, dialect: &Dialect) -> Vec<u8> {
        let mut writer = Writer::new();
        writer.u8(self.protocol_id);
        match &self.body {
            TekBody::Ipsec(tek) => tek.encode(&mut writer, dialect),
            TekBody::Bypass(bypass) => bypass.encode(&mut writer, dialect),
            TekBody::Other(octets) => writer.octets(octets),
        }
        writer.into_vec()
    }
}

/// Holds the policy of one ESP or AH SA.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct IpsecTek {
    /// IP protocol of the traffic; 0 matches any.
    pub ip_protocol: u8,
    /// Sources of the traffic.
    pub src: Selector,
    /// Destinations of the traffic.
    pub dst: Selector,
    /// Transform of ESP or AH.
    pub transform_id: u8,
    /// SPI that the key server chose.
    pub spi: u32,
    /// Attributes of the IPsec DOI.
    pub attributes: Attributes,
}

impl IpsecTek {
    fn decode_from(reader: &mut Reader<'_>, dialect: &Dialect, limits: &Limits) -> Result<Self, DecodeError> {
        let ip_protocol = reader.u8()?;
        let mut src = Selector::decode(reader, dialect)?;
        let mut dst = Selector::decode(reader, dialect)?;
        for selector in [&mut src, &mut dst] {
            selector.data = dialect.sat_data(selector.id_type, &selector.data);
        }
        let transform_id = reader.u8()?;
        let spi = reader.u32()?;
        let attributes = Attributes::decode_from(reader, limits)?;
        Ok(Self { ip_protocol, src, dst, transform_id, spi, attributes })
    }

    fn encode(&self, writer: &mut Writer, dialect: &Dialect) {
        writer.u8(self.ip_protocol);
        for selector in [&self.src, &self.dst] {
            let data = dialect.sat_data(selector.id_type, &selector.data);
            Selector { data, ..selector.clone() }.encode(writer, dialect);
        }
        writer.u8(self.transform_id);
        writer.u32(self.spi);
        self.attributes.encode_to(writer);
    }
}
