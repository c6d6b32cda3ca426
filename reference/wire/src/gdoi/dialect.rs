//! Known ways of writing GDOI on the wire.

use crate::isakmp::{IdType, Identification};

/// Says how an implementation lays out the fields that not all write alike.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Dialect {
    /// Octets between the SPI and the attributes of an SA KEK payload: 4 or 6.
    pub sak_reserved_octets: u8,
    /// Octets of the length of a traffic selector: 1 or 2.
    pub id_length_octets: u8,
    /// IPv4 addresses inside SA TEK payloads are reversed.
    pub sat_addresses_reversed: bool,
    /// Sender ids are little-endian.
    pub sid_little_endian: bool,
    /// Group identifiers are little-endian.
    pub key_id_little_endian: bool,
}

impl Dialect {
    /// What RFC 6407 says.
    pub const RFC6407: Self = Self {
        sak_reserved_octets: 4,
        id_length_octets: 1,
        sat_addresses_reversed: false,
        sid_little_endian: false,
        key_id_little_endian: false,
    };

    /// The Cisco reference implementation gdoid of 2011 on a little-endian machine.
    pub const GDOID_2011: Self = Self {
        sak_reserved_octets: 6,
        id_length_octets: 1,
        sat_addresses_reversed: true,
        sid_little_endian: true,
        key_id_little_endian: true,
    };

    /// Makes the identification of a group.
    #[must_use]
    pub fn group_identification(&self, group: u32) -> Identification {
        Identification::key_id(if self.key_id_little_endian { group.swap_bytes() } else { group })
    }

    /// Reads the identification of a group.
    #[must_use]
    pub fn group_id(&self, identification: &Identification) -> Option<u32> {
        let group = identification.group_id()?;
        Some(if self.key_id_little_endian { group.swap_bytes() } else { group })
    }

    /// Writes a sender id as four octets.
    #[must_use]
    pub fn sid_octets(&self, sid: u32) -> Vec<u8> {
        if self.sid_little_endian { sid.to_le_bytes().to_vec() } else { sid.to_be_bytes().to_vec() }
    }

    /// Reads a sender id of one to eight octets.
    #[must_use]
    pub fn sid(&self, octets: &[u8]) -> Option<u64> {
        if octets.is_empty() || octets.len() > 8 {
            return None;
        }
        let append = |number: u64, &octet: &u8| number << 8 | u64::from(octet);
        Some(if self.sid_little_endian { octets.iter().rev().fold(0, append) } else { octets.iter().fold(0, append) })
    }

    /// Turns the IPv4 addresses of an SA TEK selector from network order into the order of the wire, or back.
    #[must_use]
    pub(super) fn sat_data(&self, id_type: IdType, data: &[u8]) -> Vec<u8> {
        let ipv4 = matches!(id_type, IdType::IPV4_ADDR | IdType::IPV4_SUBNET | IdType::IPV4_RANGE);
        if self.sat_addresses_reversed && ipv4 {
            data.chunks(4).flat_map(|address| address.iter().rev().copied()).collect()
        } else {
            data.to_vec()
        }
    }
}

impl Default for Dialect {
    fn default() -> Self {
        Self::RFC6407
    }
}
