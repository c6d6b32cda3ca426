//! Payloads with a simple layout.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::{IdType, NotifyType};
use crate::error::{DecodeError, Fault, Layer};
use crate::reader::Reader;
use crate::writer::Writer;

/// Says who someone is, or which group is meant.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Identification {
    /// What the data is.
    pub id_type: IdType,
    /// IP protocol; zero in GDOI.
    pub protocol: u8,
    /// Port; zero in GDOI.
    pub port: u16,
    /// The identity itself.
    pub data: Vec<u8>,
}

impl Identification {
    /// Reads a payload body.
    pub fn decode(body: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(body, Layer::Payload);
        Ok(Self {
            id_type: IdType(reader.u8()?),
            protocol: reader.u8()?,
            port: reader.u16()?,
            data: reader.rest().to_vec(),
        })
    }

    /// Gives the octets of the payload body.
    #[must_use]
    pub fn encode_body(&self) -> Vec<u8> {
        let mut writer = Writer::new();
        writer.u8(self.id_type.0);
        writer.u8(self.protocol);
        writer.u16(self.port);
        writer.octets(&self.data);
        writer.into_vec()
    }

    /// Makes an identity with neither protocol nor port.
    #[must_use]
    pub const fn new(id_type: IdType, data: Vec<u8>) -> Self {
        Self { id_type, protocol: 0, port: 0, data }
    }

    /// Makes the identity of an address.
    #[must_use]
    pub fn from_ip(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(v4) => Self::new(IdType::IPV4_ADDR, v4.octets().to_vec()),
            IpAddr::V6(v6) => Self::new(IdType::IPV6_ADDR, v6.octets().to_vec()),
        }
    }

    /// Makes the identifier of a group.
    #[must_use]
    pub fn key_id(group: u32) -> Self {
        Self::new(IdType::KEY_ID, group.to_be_bytes().to_vec())
    }

    /// Reads the identifier of a group: exactly four octets of type KEY_ID.
    #[must_use]
    pub fn group_id(&self) -> Option<u32> {
        let octets: [u8; 4] = self.data.as_slice().try_into().ok()?;
        (self.id_type == IdType::KEY_ID).then_some(u32::from_be_bytes(octets))
    }

    /// Reads the address, if the identity is one.
    #[must_use]
    pub fn ip(&self) -> Option<IpAddr> {
        match self.id_type {
            IdType::IPV4_ADDR => <[u8; 4]>::try_from(self.data.as_slice()).ok().map(|v4| Ipv4Addr::from(v4).into()),
            IdType::IPV6_ADDR => <[u8; 16]>::try_from(self.data.as_slice()).ok().map(|v6| Ipv6Addr::from(v6).into()),
            _ => None,
        }
    }
}

impl fmt::Display for Identification {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.id_type)?;
        f.write_str(&crate::names::identity_data(self.id_type, &self.data))
    }
}

impl fmt::Debug for Identification {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self} protocol {} port {}", self.protocol, self.port)
    }
}

/// Reports an error or a status.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Notify {
    /// Domain of interpretation.
    pub doi: u32,
    /// Protocol of the SPI.
    pub protocol: u8,
    /// The SA that is meant; both cookies for an ISAKMP SA.
    pub spi: Vec<u8>,
    /// What is reported.
    pub kind: NotifyType,
    /// What belongs to the report.
    pub data: Vec<u8>,
}

impl Notify {
    /// Reads a payload body.
    pub fn decode(body: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(body, Layer::Payload);
        let doi = reader.u32()?;
        let protocol = reader.u8()?;
        let spi_len = usize::from(reader.u8()?);
        let kind = NotifyType(reader.u16()?);
        // REQ IKE-INF-010
        let spi = reader.take(spi_len)?.to_vec();
        Ok(Self { doi, protocol, spi, kind, data: reader.rest().to_vec() })
    }

    /// Gives the octets of the payload body.
    #[must_use]
    pub fn encode_body(&self) -> Vec<u8> {
        let mut writer = Writer::new();
        writer.u32(self.doi);
        writer.u8(self.protocol);
        writer.u8(u8::try_from(self.spi.len()).unwrap_or(u8::MAX));
        writer.u16(self.kind.0);
        writer.octets(&self.spi);
        writer.octets(&self.data);
        writer.into_vec()
    }
}

/// Announces that SAs are gone.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Delete {
    /// Domain of interpretation.
    pub doi: u32,
    /// Protocol of the SPIs: 1 ISAKMP in an informational; 0 KEK, 1 ESP, 2 AH in a PUSH.
    pub protocol: u8,
    /// Octets of each SPI.
    pub spi_size: u8,
    /// The SPIs; in a PUSH an all-zero one means every SA of the protocol.
    pub spis: Vec<Vec<u8>>,
}

impl Delete {
    /// Reads a payload body. The SPIs have to fill it exactly.
    pub fn decode(body: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(body, Layer::Payload);
        let doi = reader.u32()?;
        let protocol = reader.u8()?;
        let size_offset = reader.offset();
        let spi_size = reader.u8()?;
        let count = usize::from(reader.u16()?);
        let each = usize::from(spi_size);
        // SPIs without octets would let a count of 65535 cost memory and mean nothing.
        if each == 0 && count != 0 {
            return Err(DecodeError::with_code("isakmp.delete.spi-size", Layer::Payload, size_offset, 1, 0));
        }
        let need = count.saturating_mul(each);
        if need != reader.remaining() {
            return Err(reader.error(Fault::Count, need, reader.remaining()));
        }
        let mut spis = Vec::new();
        for _ in 0..count {
            spis.push(reader.take(each)?.to_vec());
        }
        Ok(Self { doi, protocol, spi_size, spis })
    }

    /// Gives the octets of the payload body.
    #[must_use]
    pub fn encode_body(&self) -> Vec<u8> {
        let mut writer = Writer::new();
        writer.u32(self.doi);
        writer.u8(self.protocol);
        writer.u8(self.spi_size);
        writer.u16(u16::try_from(self.spis.len()).unwrap_or(u16::MAX));
        for spi in &self.spis {
            writer.octets(spi);
        }
        writer.into_vec()
    }
}

/// Carries one certificate.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Certificate {
    /// Encoding; 4 is an X.509 signature certificate, 7 a CRL.
    pub encoding: u8,
    /// The certificate.
    pub data: Vec<u8>,
}

impl Certificate {
    /// Encoding of an X.509 signature certificate.
    pub const X509_SIGNATURE: u8 = 4;
    /// Encoding of a certificate revocation list.
    pub const CRL: u8 = 7;

    /// Reads a payload body.
    pub fn decode(body: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(body, Layer::Payload);
        Ok(Self { encoding: reader.u8()?, data: reader.rest().to_vec() })
    }

    /// Gives the octets of the payload body.
    #[must_use]
    pub fn encode_body(&self) -> Vec<u8> {
        tagged(self.encoding, &self.data)
    }
}

/// Asks for a certificate.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CertificateRequest {
    /// Encoding that is wanted.
    pub encoding: u8,
    /// Name of an acceptable authority as DER; empty accepts any.
    pub authority: Vec<u8>,
}

impl CertificateRequest {
    /// Reads a payload body.
    pub fn decode(body: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(body, Layer::Payload);
        Ok(Self { encoding: reader.u8()?, authority: reader.rest().to_vec() })
    }

    /// Gives the octets of the payload body.
    #[must_use]
    pub fn encode_body(&self) -> Vec<u8> {
        tagged(self.encoding, &self.authority)
    }
}

/// Carries a slice of a whole message (vendor extension).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Fragment {
    /// The same in all fragments of one message.
    pub id: u16,
    /// Position, from 1.
    pub number: u8,
    /// Bit 0 marks the last fragment.
    pub flags: u8,
    /// The slice.
    pub data: Vec<u8>,
}

impl Fragment {
    /// The flag of the last fragment.
    pub const LAST: u8 = 1;

    /// Reads a payload body. Number 0 and empty data are refused.
    pub fn decode(body: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(body, Layer::Payload);
        let id = reader.u16()?;
        let number = reader.u8()?;
        let flags = reader.u8()?;
        // REQ IKE-FRAG-004
        if number == 0 {
            return Err(DecodeError::with_code("isakmp.fragment.number", Layer::Payload, 2, 1, 0));
        }
        if reader.is_empty() {
            return Err(DecodeError::with_code("isakmp.fragment.empty", Layer::Payload, 4, 1, 0));
        }
        Ok(Self { id, number, flags, data: reader.rest().to_vec() })
    }

    /// Gives the octets of the payload body.
    #[must_use]
    pub fn encode_body(&self) -> Vec<u8> {
        let mut writer = Writer::new();
        writer.u16(self.id);
        writer.u8(self.number);
        writer.u8(self.flags);
        writer.octets(&self.data);
        writer.into_vec()
    }

    /// Tells whether this is the last fragment.
    #[must_use]
    pub const fn is_last(&self) -> bool {
        self.flags & Self::LAST != 0
    }
}

fn tagged(tag: u8, data: &[u8]) -> Vec<u8> {
    let mut writer = Writer::new();
    writer.u8(tag);
    writer.octets(data);
    writer.into_vec()
}
