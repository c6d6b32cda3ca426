//! Named deviations of implementations from the standards.

use std::collections::BTreeSet;
use std::fmt;

/// Names one deviation that a reader can be told to expect.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Switch {
    /// Phase 1 under the IPsec DOI.
    Doi1,
    /// AES in phase 1 without a Key Length.
    AesNoKeyLength,
    /// Group identifiers in the order of a little-endian host.
    KeyIdLittleEndian,
    /// Addresses of SA TEK payloads reversed.
    SatAddressesReversed,
    /// Six reserved octets in SA KEK payloads.
    SakSixReserved,
    /// Two-octet lengths of the selectors in SA KEK and SA TEK payloads.
    SelectorTwoOctetLength,
    /// SIG of a PUSH without DigestInfo.
    SigBareDigest,
    /// The packet of a new KEK named after the old one.
    KdOldSpi,
    /// KEK_KEY_LIFETIME in the form without a length.
    KekLifetimeTv,
    /// Address Preservation and SA Direction with the value 0.
    AttrZeroDefault,
    /// AES for data traffic with Key Length 0 and without a cipher key.
    TekKeyLengthZero,
    /// Sender ids in the order of a little-endian host.
    SidLittleEndian,
    /// Sequence numbers that go on under a new KEK.
    SeqContinues,
    /// Sequence numbers up to 31 below the highest.
    SeqWindow32,
    /// The current KEK repeated in a PUSH that replaces only TEKs.
    SakInTekPush,
    /// Phase 1 identities with port 848.
    IdPort848,
}

impl Switch {
    /// Every switch.
    pub const ALL: [Self; 16] = [
        Self::Doi1,
        Self::AesNoKeyLength,
        Self::KeyIdLittleEndian,
        Self::SatAddressesReversed,
        Self::SakSixReserved,
        Self::SelectorTwoOctetLength,
        Self::SigBareDigest,
        Self::KdOldSpi,
        Self::KekLifetimeTv,
        Self::AttrZeroDefault,
        Self::TekKeyLengthZero,
        Self::SidLittleEndian,
        Self::SeqContinues,
        Self::SeqWindow32,
        Self::SakInTekPush,
        Self::IdPort848,
    ];

    /// Gives the name that configurations, options and reports use.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Doi1 => "doi1",
            Self::AesNoKeyLength => "aes-no-key-length",
            Self::KeyIdLittleEndian => "key-id-little-endian",
            Self::SatAddressesReversed => "sat-addresses-reversed",
            Self::SakSixReserved => "sak-six-reserved",
            Self::SelectorTwoOctetLength => "selector-two-octet-length",
            Self::SigBareDigest => "sig-bare-digest",
            Self::KdOldSpi => "kd-old-spi",
            Self::KekLifetimeTv => "kek-lifetime-tv",
            Self::AttrZeroDefault => "attr-zero-default",
            Self::TekKeyLengthZero => "tek-key-length-zero",
            Self::SidLittleEndian => "sid-little-endian",
            Self::SeqContinues => "seq-continues",
            Self::SeqWindow32 => "seq-window-32",
            Self::SakInTekPush => "sak-in-tek-push",
            Self::IdPort848 => "id-port-848",
        }
    }

    /// Finds a switch by its name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|switch| switch.name() == name)
    }

    /// Says what the deviation is.
    #[must_use]
    pub const fn describe(self) -> &'static str {
        match self {
            Self::Doi1 => "phase 1 runs under DOI 1 (IPsec) instead of 2 (GDOI)",
            Self::AesNoKeyLength => "an AES proposal of phase 1 has no Key Length and means 128 bits",
            Self::KeyIdLittleEndian => "the group identifier is little-endian",
            Self::SatAddressesReversed => "IPv4 addresses and masks of SA TEK payloads are reversed",
            Self::SakSixReserved => "SA KEK payloads have 6 reserved octets behind the SPI instead of 4",
            Self::SelectorTwoOctetLength => "selectors have a length field of 2 octets instead of 1",
            Self::SigBareDigest => "SIG of a PUSH is an RSA block over the bare digest, without DigestInfo",
            Self::KdOldSpi => "the key packet of a new KEK carries the SPI of the old one",
            Self::KekLifetimeTv => "KEK_KEY_LIFETIME has the 16-bit form instead of 4 octets",
            Self::AttrZeroDefault => "Address Preservation or SA Direction is 0 and means the default",
            Self::TekKeyLengthZero => "AES for data traffic comes with Key Length 0 and without a usable cipher key",
            Self::SidLittleEndian => "sender ids are little-endian",
            Self::SeqContinues => "the sequence number goes on under a new KEK instead of starting at 1",
            Self::SeqWindow32 => "a PUSH may come up to 31 sequence numbers late",
            Self::SakInTekPush => "a PUSH that replaces TEKs repeats the current KEK",
            Self::IdPort848 => "a phase 1 identity has port 848",
        }
    }
}

impl fmt::Display for Switch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// Holds the deviations that a caller allows.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Compat(BTreeSet<Switch>);

impl Compat {
    /// The name of the profile of the Cisco reference implementation of 2011.
    pub const GDOID_2011: &'static str = "gdoid-2011";

    /// Allows nothing.
    #[must_use]
    pub const fn none() -> Self {
        Self(BTreeSet::new())
    }

    /// Allows what gdoid of 2011 does.
    #[must_use]
    pub fn gdoid_2011() -> Self {
        let others = [Switch::Doi1, Switch::SelectorTwoOctetLength, Switch::IdPort848];
        Switch::ALL.into_iter().filter(|switch| !others.contains(switch)).collect()
    }

    /// Reads names of profiles and switches, separated by commas or white space.
    ///
    /// # Errors
    /// The first name that is neither, with the names that exist.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut allowed = Self::none();
        for name in text.split([',', ' ', '\t', '\n']).filter(|name| !name.is_empty()) {
            if name == Self::GDOID_2011 {
                allowed.0.extend(Self::gdoid_2011().0);
            } else if let Some(switch) = Switch::from_name(name) {
                allowed.0.insert(switch);
            } else {
                let names: Vec<&str> = Switch::ALL.iter().map(|switch| switch.name()).collect();
                let known = names.join(", ");
                return Err(format!("unknown compatibility switch {name:?}: known are {}, {known}", Self::GDOID_2011));
            }
        }
        Ok(allowed)
    }

    /// Allows the switches of another set too.
    pub fn extend(&mut self, other: &Self) {
        self.0.extend(&other.0);
    }

    /// Tells whether a deviation is allowed.
    #[must_use]
    pub fn allows(&self, switch: Switch) -> bool {
        self.0.contains(&switch)
    }

    /// Gives the switches in order.
    pub fn iter(&self) -> impl Iterator<Item = Switch> {
        self.0.iter().copied()
    }

    /// Tells whether nothing is allowed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl FromIterator<Switch> for Compat {
    fn from_iter<I: IntoIterator<Item = Switch>>(switches: I) -> Self {
        Self(switches.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_profiles_and_switches_read_back() {
        for switch in Switch::ALL {
            assert_eq!(Switch::from_name(switch.name()), Some(switch));
            assert_eq!(Compat::parse(switch.name()).unwrap().iter().collect::<Vec<_>>(), [switch]);
        }
        assert_eq!(Compat::parse("gdoid-2011"), Ok(Compat::gdoid_2011()));
        let both = Compat::parse("doi1, gdoid-2011").unwrap();
        assert!(both.allows(Switch::Doi1) && both.allows(Switch::SakSixReserved));
        assert!(!Compat::gdoid_2011().allows(Switch::Doi1));
        assert!(Compat::parse("").unwrap().is_empty());
        let error = Compat::parse("sak-six-reserved,sak6").unwrap_err();
        assert!(error.contains("\"sak6\"") && error.contains("gdoid-2011") && error.contains("kd-old-spi"), "{error}");
    }
}
