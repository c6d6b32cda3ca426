//! Traffic selectors inside SA KEK and SA TEK payloads.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::Dialect;
use crate::error::DecodeError;
use crate::isakmp::IdType;
use crate::reader::Reader;
use crate::writer::Writer;

/// Holds one end of a traffic selector.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Selector {
    /// What the data is.
    pub id_type: IdType,
    /// Port; 0 matches any.
    pub port: u16,
    /// Addresses, in network order; empty matches any.
    pub data: Vec<u8>,
}

impl Selector {
    /// Selects one address.
    #[must_use]
    pub fn from_ip(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(v4) => Self { id_type: IdType::IPV4_ADDR, port: 0, data: v4.octets().to_vec() },
            IpAddr::V6(v6) => Self { id_type: IdType::IPV6_ADDR, port: 0, data: v6.octets().to_vec() },
        }
    }

    /// Selects a subnet. Address bits behind the prefix are cleared; a prefix that is too long counts as a full one.
    #[must_use]
    pub fn from_subnet(address: IpAddr, prefix: u8) -> Self {
        match address {
            IpAddr::V4(v4) => {
                let mask = u32::MAX.checked_shl(32_u32.saturating_sub(u32::from(prefix))).unwrap_or(0);
                let network = u32::from(v4) & mask;
                let data = [network.to_be_bytes(), mask.to_be_bytes()].concat();
                Self { id_type: IdType::IPV4_SUBNET, port: 0, data }
            }
            IpAddr::V6(v6) => {
                let mask = u128::MAX.checked_shl(128_u32.saturating_sub(u32::from(prefix))).unwrap_or(0);
                let network = u128::from(v6) & mask;
                let data = [network.to_be_bytes(), mask.to_be_bytes()].concat();
                Self { id_type: IdType::IPV6_SUBNET, port: 0, data }
            }
        }
    }

    /// Selects every IPv4 address.
    #[must_use]
    pub fn any_ipv4() -> Self {
        Self::from_subnet(Ipv4Addr::UNSPECIFIED.into(), 0)
    }

    /// Sets the port.
    #[must_use]
    pub const fn with_port(mut self, port: u16) -> Self {
        self.port = port;
        self
    }

    /// Gives the address, if the selector is a single one.
    #[must_use]
    pub fn ip(&self) -> Option<IpAddr> {
        match self.id_type {
            IdType::IPV4_ADDR => Some(Ipv4Addr::from(<[u8; 4]>::try_from(self.data.as_slice()).ok()?).into()),
            IdType::IPV6_ADDR => Some(Ipv6Addr::from(<[u8; 16]>::try_from(self.data.as_slice()).ok()?).into()),
            _ => None,
        }
    }

    /// Gives network address and prefix length of an address or of a subnet with a contiguous mask.
    #[must_use]
    pub fn subnet(&self) -> Option<(IpAddr, u8)> {
        match self.id_type {
            IdType::IPV4_ADDR => self.ip().map(|address| (address, 32)),
            IdType::IPV6_ADDR => self.ip().map(|address| (address, 128)),
            IdType::IPV4_SUBNET => {
                let (address, mask) = self.data.split_first_chunk::<4>()?;
                let mask = u32::from_be_bytes(mask.try_into().ok()?);
                let prefix = mask.leading_ones();
                let contiguous = mask.count_ones() == prefix;
                contiguous.then_some((Ipv4Addr::from(*address).into(), u8::try_from(prefix).ok()?))
            }
            IdType::IPV6_SUBNET => {
                let (address, mask) = self.data.split_first_chunk::<16>()?;
                let mask = u128::from_be_bytes(mask.try_into().ok()?);
                let prefix = mask.leading_ones();
                let contiguous = mask.count_ones() == prefix;
                contiguous.then_some((Ipv6Addr::from(*address).into(), u8::try_from(prefix).ok()?))
            }
            _ => None,
        }
    }

    /// Tells whether an address matches. A selector without data matches every address; a type that is no address,
    /// or data of the wrong size, matches none.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        if self.data.is_empty() {
            return true;
        }
        let octets = match address {
            IpAddr::V4(v4) => v4.octets().to_vec(),
            IpAddr::V6(v6) => v6.octets().to_vec(),
        };
        let size = octets.len();
        let (first, second) = self.data.split_at(self.data.len().min(size));
        let masked = |value: &[u8]| -> Vec<u8> { value.iter().zip(second).map(|(octet, mask)| octet & mask).collect() };
        match (self.id_type, address) {
            (IdType::IPV4_ADDR, IpAddr::V4(_)) | (IdType::IPV6_ADDR, IpAddr::V6(_)) => self.data == octets,
            (IdType::IPV4_SUBNET, IpAddr::V4(_)) | (IdType::IPV6_SUBNET, IpAddr::V6(_)) => {
                second.len() == size && masked(first) == masked(&octets)
            }
            (IdType::IPV4_RANGE, IpAddr::V4(_)) | (IdType::IPV6_RANGE, IpAddr::V6(_)) => {
                second.len() == size && first <= octets.as_slice() && octets.as_slice() <= second
            }
            _ => false,
        }
    }

    pub(super) fn decode(reader: &mut Reader<'_>, dialect: &Dialect) -> Result<Self, DecodeError> {
        let id_type = IdType(reader.u8()?);
        let port = reader.u16()?;
        let len = match dialect.id_length_octets {
            2 => usize::from(reader.u16()?),
            _ => usize::from(reader.u8()?),
        };
        Ok(Self { id_type, port, data: reader.take(len)?.to_vec() })
    }

    pub(super) fn encode(&self, writer: &mut Writer, dialect: &Dialect) {
        writer.u8(self.id_type.0);
        writer.u16(self.port);
        match dialect.id_length_octets {
            2 => writer.u16(u16::try_from(self.data.len()).unwrap_or(u16::MAX)),
            _ => writer.u8(u8::try_from(self.data.len()).unwrap_or(u8::MAX)),
        }
        writer.octets(&self.data);
    }
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.subnet() {
            Some((IpAddr::V4(v4), prefix)) if prefix < 32 => write!(f, "{v4}/{prefix}")?,
            Some((IpAddr::V6(v6), prefix)) if prefix < 128 => write!(f, "{v6}/{prefix}")?,
            Some((address, _)) => write!(f, "{address}")?,
            None if self.data.is_empty() => f.write_str("any")?,
            None => write!(f, "{}:{}", self.id_type, crate::names::identity_data(self.id_type, &self.data))?,
        }
        if self.port == 0 { Ok(()) } else { write!(f, " port {}", self.port) }
    }
}

impl fmt::Debug for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
