//! Switchable wrong behaviours (defects) and legal differences (variants) of the data plane.
//!
//! A conforming node has none switched on. A test suite switches one on at a time: a defect has to be caught, a
//! variant must never be punished. The tables are in one file per layer; each name is consulted at one named point
//! of the code.

#[macro_use]
mod policy;
#[macro_use]
mod receive;
#[macro_use]
mod send;
#[macro_use]
mod size;

use std::collections::BTreeSet;
use std::fmt;

macro_rules! define_defects {
    ($($variant:ident => $name:literal, $reference:literal, $sentence:literal;)*) => {
        /// Names a wrong behaviour that can be switched on.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        #[repr(u16)]
        pub enum Defect { $(#[doc = $sentence] $variant,)* }
        switches!(Defect; $($variant => $name, $reference, $sentence;)*);
    };
}

macro_rules! define_variants {
    ($($variant:ident => $name:literal, $reference:literal, $sentence:literal;)*) => {
        /// Names a legal difference that can be switched on.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        #[repr(u16)]
        pub enum Variant { $(#[doc = $sentence] $variant,)* }
        switches!(Variant; $($variant => $name, $reference, $sentence;)*);
    };
}

macro_rules! switches {
    ($type:ident; $($variant:ident => $name:literal, $reference:literal, $sentence:literal;)*) => {
        impl $type {
            /// Every one, in the order of the tables.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// Gives the name that configuration files and reports use.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            /// Finds one by its name.
            #[must_use]
            pub fn from_name(name: &str) -> Option<Self> {
                match name { $($name => Some(Self::$variant),)* _ => None }
            }

            /// Says in one sentence what changes.
            #[must_use]
            pub const fn describe(self) -> &'static str {
                match self { $(Self::$variant => $sentence,)* }
            }

            /// Gives where it comes from: a catalogue number, a requirement, or `own`.
            #[must_use]
            pub const fn reference(self) -> &'static str {
                match self { $(Self::$variant => $reference,)* }
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.name())
            }
        }
    };
}

// The tables call each other: the table of one layer hands its rows on to the next.
macro_rules! with_receive_defects { ($($rows:tt)*) => { receive_defects! { with_policy_defects, $($rows)* } } }
macro_rules! with_receive_variants { ($($rows:tt)*) => { receive_variants! { with_policy_variants, $($rows)* } } }
macro_rules! with_policy_defects { ($($rows:tt)*) => { policy_defects! { with_size_defects, $($rows)* } } }
macro_rules! with_policy_variants { ($($rows:tt)*) => { policy_variants! { with_size_variants, $($rows)* } } }
macro_rules! with_size_defects { ($($rows:tt)*) => { size_defects! { define_defects, $($rows)* } } }
macro_rules! with_size_variants { ($($rows:tt)*) => { size_variants! { define_variants, $($rows)* } } }
send_defects! { with_receive_defects, }
send_variants! { with_receive_variants, }

const WORDS: usize = 8;

/// Holds what is switched on. While nothing is, asking is one test of a flag, so the path of every packet may ask.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Behaviour {
    any: bool,
    defects: [u64; WORDS],
    variants: [u64; WORDS],
}

/// Says that a name stands for no defect or variant.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("no {kind} is called `{name}`")]
pub struct UnknownName {
    /// `defect` or `variant`.
    pub kind: &'static str,
    /// What was asked for.
    pub name: String,
}

impl Behaviour {
    /// Switches nothing on.
    #[must_use]
    pub fn conforming() -> Self {
        Self::default()
    }

    /// Switches on what the names say.
    ///
    /// # Errors
    /// The first name that is unknown.
    pub fn from_names<S: AsRef<str>>(defects: &[S], variants: &[S]) -> Result<Self, UnknownName> {
        let mut behaviour = Self::default();
        for name in defects {
            let name = name.as_ref();
            let defect =
                Defect::from_name(name).ok_or_else(|| UnknownName { kind: "defect", name: name.to_owned() })?;
            behaviour = behaviour.with_defect(defect);
        }
        for name in variants {
            let name = name.as_ref();
            let variant =
                Variant::from_name(name).ok_or_else(|| UnknownName { kind: "variant", name: name.to_owned() })?;
            behaviour = behaviour.with_variant(variant);
        }
        Ok(behaviour)
    }

    /// Switches a defect on.
    #[must_use]
    pub fn with_defect(mut self, defect: Defect) -> Self {
        self.any = true;
        set(&mut self.defects, defect as usize);
        self
    }

    /// Switches a variant on.
    #[must_use]
    pub fn with_variant(mut self, variant: Variant) -> Self {
        self.any = true;
        set(&mut self.variants, variant as usize);
        self
    }

    /// Tells whether anything is switched on: the one question that the path of a packet asks for nothing.
    #[must_use]
    #[inline]
    pub const fn is_any(&self) -> bool {
        self.any
    }

    /// Tells whether a defect is switched on.
    #[must_use]
    #[inline]
    pub fn has(&self, defect: Defect) -> bool {
        self.any && get(&self.defects, defect as usize)
    }

    /// Tells whether a variant is switched on.
    #[must_use]
    #[inline]
    pub fn varies(&self, variant: Variant) -> bool {
        self.any && get(&self.variants, variant as usize)
    }

    /// Lists the defects that are on.
    pub fn defects(&self) -> impl Iterator<Item = Defect> + '_ {
        Defect::ALL.iter().copied().filter(|&d| self.has(d))
    }

    /// Lists the variants that are on.
    pub fn variants(&self) -> impl Iterator<Item = Variant> + '_ {
        Variant::ALL.iter().copied().filter(|&v| self.varies(v))
    }

    /// Tells whether no defect is on.
    #[must_use]
    pub fn is_conforming(&self) -> bool {
        self.defects.iter().all(|&word| word == 0)
    }
}

impl fmt::Debug for Behaviour {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: BTreeSet<&str> =
            self.defects().map(Defect::name).chain(self.variants().map(Variant::name)).collect();
        names.fmt(f)
    }
}

const fn get(words: &[u64; WORDS], index: usize) -> bool {
    index / 64 < WORDS && words[index / 64] & (1 << (index % 64)) != 0
}

const fn set(words: &mut [u64; WORDS], index: usize) {
    if index / 64 < WORDS {
        words[index / 64] |= 1 << (index % 64);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_snake_case_and_find_their_switch() {
        let mut seen = BTreeSet::new();
        for &defect in Defect::ALL {
            assert!(seen.insert(defect.name()), "{defect} twice");
            assert_eq!(Defect::from_name(defect.name()), Some(defect));
        }
        for &variant in Variant::ALL {
            assert!(seen.insert(variant.name()), "{variant} twice");
            assert_eq!(Variant::from_name(variant.name()), Some(variant));
        }
        for name in seen {
            assert!(name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_'), "{name}");
        }
    }

    #[test]
    fn every_switch_has_a_bit_of_its_own() {
        assert!(Defect::ALL.len() <= WORDS * 64);
        assert!(Variant::ALL.len() <= WORDS * 64);
        for &defect in Defect::ALL {
            let behaviour = Behaviour::conforming().with_defect(defect);
            assert_eq!(behaviour.defects().collect::<Vec<_>>(), [defect]);
            assert!(!behaviour.is_conforming());
            assert_eq!(behaviour.variants().count(), 0);
        }
        for &variant in Variant::ALL {
            let behaviour = Behaviour::conforming().with_variant(variant);
            assert_eq!(behaviour.variants().collect::<Vec<_>>(), [variant]);
            assert!(behaviour.is_conforming());
        }
    }

    #[test]
    fn an_unknown_name_is_an_error_that_says_which() {
        let error = Behaviour::from_names(&["no_such_thing"], &[]).unwrap_err();
        assert_eq!(error.to_string(), "no defect is called `no_such_thing`");
        let behaviour = Behaviour::from_names(&["dp_mac_not_checked"], &["dp_outer_ttl_fresh"]).unwrap();
        assert!(behaviour.has(Defect::MacNotChecked) && behaviour.varies(Variant::OuterTtlFresh));
        assert!(!behaviour.has(Defect::ReplayNotChecked));
    }
}
