//! The version of a group member, and how it travels.
//!
//! Products announce a version `major.minor.mini` of their group VPN software in a Vendor ID of phase 1, and a key
//! server uses it to refuse members that are too old for a policy. The layout that products use is not public. Ours is
//! the 16 ASCII octets of [`MARK`] followed by one octet each for major, minor and mini; it is told apart from every
//! other Vendor ID by that prefix. A device that does not send it has no known version.

use std::fmt;
use std::str::FromStr;

/// Begins the Vendor ID that carries a version.
pub const MARK: &[u8; 16] = b"HALLMARK-GETVPN/";

/// Is a version of group VPN software, for example 1.0.4.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Version {
    /// Counts incompatible generations.
    pub major: u8,
    /// Counts feature generations.
    pub minor: u8,
    /// Counts features.
    pub mini: u8,
}

impl Version {
    /// The first version that members may have to keep keys for more than one day.
    pub const LONG_LIFETIME: Self = Self::new(1, 0, 4);

    /// Makes a version from its three numbers.
    #[must_use]
    pub const fn new(major: u8, minor: u8, mini: u8) -> Self {
        Self { major, minor, mini }
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.mini)
    }
}

impl FromStr for Version {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let bad = || format!("`{text}` is not a version of the form major.minor.mini");
        let mut parts = text.split('.').map(|part| part.parse::<u8>().map_err(|_| bad()));
        let mut next = || parts.next().unwrap_or_else(|| Err(bad()));
        let version = Self::new(next()?, next()?, next()?);
        if parts.next().is_some() { Err(bad()) } else { Ok(version) }
    }
}

/// Puts a version into the octets of a Vendor ID payload.
#[must_use]
pub fn encode(version: Version) -> Vec<u8> {
    let mut octets = MARK.to_vec();
    octets.extend([version.major, version.minor, version.mini]);
    octets
}

/// Finds the version among the Vendor IDs of a peer; the first one that has our form counts.
#[must_use]
pub fn find(vendor_ids: &[Vec<u8>]) -> Option<Version> {
    vendor_ids.iter().find_map(|octets| match octets.strip_prefix(MARK.as_slice())? {
        [major, minor, mini] => Some(Version::new(*major, *minor, *mini)),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_survives_text_and_vendor_id() {
        let version: Version = "1.0.26".parse().unwrap();
        assert_eq!(version, Version::new(1, 0, 26));
        assert_eq!(version.to_string(), "1.0.26");
        assert_eq!(find(&[vec![1, 2, 3], encode(version)]), Some(version));
        assert!(version > Version::LONG_LIFETIME);
    }

    #[test]
    fn other_vendor_ids_and_other_texts_are_no_version() {
        assert_eq!(find(&[MARK.to_vec(), vec![0; 19]]), None);
        for text in ["", "1", "1.0", "1.0.4.0", "1.0.256", "1.0.x"] {
            assert!(text.parse::<Version>().is_err(), "{text}");
        }
    }
}
