//! Switches: wrong behaviours (defects) and legal differences (variants) that can be turned on by name.
//!
//! A conforming node has none turned on. A test suite turns one on at a time: a defect has to be caught, a variant must
//! never be punished. A crate lists its own as rows of tables, makes an enumeration of them with
//! [`define_defects!`](crate::define_defects) and [`define_variants!`](crate::define_variants), and asks a [`Switches`]
//! at the one place of the code that each of them changes.

use std::fmt;
use std::marker::PhantomData;

/// Says what a table has about a switch.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Row {
    /// The name that configuration files and reports use.
    pub name: &'static str,
    /// Where it comes from: a catalogue number, a requirement, or `own`.
    pub reference: &'static str,
    /// One sentence about what changes.
    pub sentence: &'static str,
}

/// Is one of an enumeration of switches that the macros of this module make.
pub trait Switch: Copy + 'static {
    /// Every one, in the order of the tables.
    const ALL: &'static [Self];

    /// Gives its place in [`Switch::ALL`], which is below [`SWITCHES_MAX`].
    fn index(self) -> usize;

    /// Gives what the table says.
    fn row(self) -> Row;

    /// Gives the name that configuration files and reports use.
    #[must_use]
    fn name(self) -> &'static str {
        self.row().name
    }

    /// Finds one by its name.
    #[must_use]
    fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|switch| switch.name() == name)
    }
}

/// Holds which defects `D` and which variants `V` are on. While none is, asking is one test of a flag, else a bit test,
/// so the path of every packet may ask.
pub struct Switches<D, V> {
    any: bool,
    defects: Bits<D>,
    variants: Bits<V>,
}

impl<D: Switch, V: Switch> Switches<D, V> {
    /// Switches nothing on.
    #[must_use]
    pub const fn conforming() -> Self {
        Self { any: false, defects: Bits::NONE, variants: Bits::NONE }
    }

    /// Switches on what the names say that it knows. The others are passed over: they are switches of something else.
    #[must_use]
    pub fn from_known<S: AsRef<str>>(defects: &[S], variants: &[S]) -> Self {
        let defects = defects.iter().filter_map(|name| D::from_name(name.as_ref()));
        let variants = variants.iter().filter_map(|name| V::from_name(name.as_ref()));
        variants.fold(defects.fold(Self::conforming(), Self::with_defect), Self::with_variant)
    }

    /// Switches a defect on.
    #[must_use]
    pub fn with_defect(mut self, defect: D) -> Self {
        self.any = true;
        self.defects.set(defect);
        self
    }

    /// Switches a variant on.
    #[must_use]
    pub fn with_variant(mut self, variant: V) -> Self {
        self.any = true;
        self.variants.set(variant);
        self
    }

    /// Tells whether anything is on: the one question that the path of a packet asks for nothing.
    #[must_use]
    #[inline]
    pub const fn is_any(&self) -> bool {
        self.any
    }

    /// Tells whether a defect is on.
    #[must_use]
    #[inline]
    pub fn has(&self, defect: D) -> bool {
        self.any && self.defects.get(defect)
    }

    /// Tells whether a variant is on.
    #[must_use]
    #[inline]
    pub fn varies(&self, variant: V) -> bool {
        self.any && self.variants.get(variant)
    }

    /// Lists the defects that are on.
    pub fn defects(&self) -> impl Iterator<Item = D> + '_ {
        D::ALL.iter().copied().filter(|&defect| self.has(defect))
    }

    /// Lists the variants that are on.
    pub fn variants(&self) -> impl Iterator<Item = V> + '_ {
        V::ALL.iter().copied().filter(|&variant| self.varies(variant))
    }

    /// Names the defects that are on.
    #[must_use]
    pub fn defect_names(&self) -> Vec<&'static str> {
        self.defects().map(D::name).collect()
    }

    /// Names the variants that are on.
    #[must_use]
    pub fn variant_names(&self) -> Vec<&'static str> {
        self.variants().map(V::name).collect()
    }

    /// Tells whether no defect is on.
    #[must_use]
    pub fn is_conforming(&self) -> bool {
        self.defects.words == Bits::<D>::NONE.words
    }
}

// Derived, these would ask the same of `D` and `V`, of which nothing is held.
impl<D, V> Clone for Switches<D, V> {
    fn clone(&self) -> Self {
        Self { any: self.any, defects: self.defects.clone(), variants: self.variants.clone() }
    }
}

impl<D: Switch, V: Switch> Default for Switches<D, V> {
    fn default() -> Self {
        Self::conforming()
    }
}

impl<D, V> PartialEq for Switches<D, V> {
    fn eq(&self, other: &Self) -> bool {
        self.defects.words == other.defects.words && self.variants.words == other.variants.words
    }
}

impl<D, V> Eq for Switches<D, V> {}

impl<D: Switch, V: Switch> fmt::Debug for Switches<D, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.defect_names()).entries(self.variant_names()).finish()
    }
}

/// Makes the enumeration `Defect` of the rows of tables, which look like
/// `AcceptsZero => "accepts_zero", "GDOI-PULL-007", "Takes an SPI of zero.";`.
///
/// A table is a macro that is given the names of those that follow it, ending with this one, and the rows of those
/// before it, and that hands both on with its own rows:
///
/// ```
/// macro_rules! pull_defects {
///     ($then:ident $($rest:ident)*; $($before:tt)*) => {
///         $then! {
///             $($rest)*; $($before)*
///             AcceptsZero => "accepts_zero", "GDOI-PULL-007", "Takes an SPI of zero.";
///         }
///     };
/// }
/// use hallmark_core::define_defects;
/// use hallmark_core::switch::Switch;
/// pull_defects! { define_defects; }
/// assert_eq!(Defect::from_name("accepts_zero"), Some(Defect::AcceptsZero));
/// ```
#[macro_export]
macro_rules! define_defects {
    (; $($rows:tt)*) => {
        $crate::define_switches! { Defect, "Names a wrong behaviour that can be switched on."; $($rows)* }
    };
}

/// Makes the enumeration `Variant` as [`define_defects!`] makes `Defect`.
#[macro_export]
macro_rules! define_variants {
    (; $($rows:tt)*) => {
        $crate::define_switches! { Variant, "Names a legal difference that can be switched on."; $($rows)* }
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! define_switches {
    ($type:ident, $about:literal;
     $($variant:ident => $name:literal, $reference:literal, $sentence:literal;)*) => {
        #[doc = $about]
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        #[repr(u16)]
        pub enum $type { $(#[doc = $sentence] $variant,)* }

        const _: () = assert!(<$type as $crate::switch::Switch>::ALL.len() <= $crate::switch::SWITCHES_MAX);

        impl $crate::switch::Switch for $type {
            const ALL: &'static [Self] = &[$(Self::$variant,)*];

            #[inline]
            fn index(self) -> usize {
                self as usize
            }

            fn row(self) -> $crate::switch::Row {
                match self {
                    $(Self::$variant => $crate::switch::Row {
                        name: $name,
                        reference: $reference,
                        sentence: $sentence,
                    },)*
                }
            }
        }

        impl ::std::fmt::Display for $type {
            fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                f.write_str($crate::switch::Switch::name(*self))
            }
        }
    };
}

const WORDS: usize = 8;

/// How many switches an enumeration may have; the macros refuse a longer table.
pub const SWITCHES_MAX: usize = WORDS * 64;

/// Has a bit for each of an enumeration.
struct Bits<T> {
    words: [u64; WORDS],
    of: PhantomData<T>,
}

impl<T> Bits<T> {
    const NONE: Self = Self { words: [0; WORDS], of: PhantomData };
}

impl<T: Switch> Bits<T> {
    #[inline]
    fn get(&self, switch: T) -> bool {
        let index = switch.index();
        index < SWITCHES_MAX && self.words[index / 64] & (1 << (index % 64)) != 0
    }

    fn set(&mut self, switch: T) {
        let index = switch.index();
        if index < SWITCHES_MAX {
            self.words[index / 64] |= 1 << (index % 64);
        }
    }
}

impl<T> Clone for Bits<T> {
    fn clone(&self) -> Self {
        Self { words: self.words, of: PhantomData }
    }
}

#[cfg(test)]
#[expect(unreachable_pub, reason = "the macros make what a crate shows to others")]
mod tests {
    use super::{Row, SWITCHES_MAX, Switch, Switches};

    macro_rules! first_table {
        ($then:ident $($rest:ident)*; $($before:tt)*) => {
            $then! { $($rest)*; $($before)*
                Deaf => "deaf", "own", "Hears nothing.";
                Loud => "loud", "ESP-001", "Says everything.";
            }
        };
    }
    macro_rules! second_table {
        ($then:ident $($rest:ident)*; $($before:tt)*) => {
            $then! { $($rest)*; $($before)* Late => "late", "P01", "Says it later."; }
        };
    }
    first_table! { second_table define_defects; }
    second_table! { define_variants; }

    type Behaviour = Switches<Defect, Variant>;

    /// As many as an enumeration may have.
    #[derive(Clone, Copy, PartialEq, Eq, Debug)]
    struct Wide(usize);

    const WIDE: [Wide; SWITCHES_MAX] = {
        let mut all = [Wide(0); SWITCHES_MAX];
        let mut index = 0;
        while index < SWITCHES_MAX {
            all[index] = Wide(index);
            index += 1;
        }
        all
    };

    impl Switch for Wide {
        const ALL: &'static [Self] = &WIDE;

        fn index(self) -> usize {
            self.0
        }

        fn row(self) -> Row {
            Row { name: "wide", reference: "own", sentence: "Is one of many." }
        }
    }

    #[test]
    fn the_rows_of_all_tables_make_one_enumeration_in_their_order() {
        assert_eq!(Defect::ALL, [Defect::Deaf, Defect::Loud, Defect::Late]);
        assert_eq!(Variant::ALL, [Variant::Late]);
        let row = Row { name: "loud", reference: "ESP-001", sentence: "Says everything." };
        assert_eq!(Defect::Loud.row(), row);
        assert_eq!(Defect::Late.to_string(), "late");
        for &defect in Defect::ALL {
            assert_eq!(Defect::from_name(defect.name()), Some(defect));
        }
        assert_eq!(Variant::from_name("loud"), None);
    }

    #[test]
    fn every_switch_has_a_bit_of_its_own() {
        for &switch in Wide::ALL {
            let switches = Switches::<Wide, Wide>::conforming().with_defect(switch);
            assert_eq!(switches.defects().collect::<Vec<_>>(), [switch]);
            assert_eq!(switches.variants().count(), 0);
            assert!(switches.is_any() && !switches.is_conforming());
            let switches = Switches::<Wide, Wide>::conforming().with_variant(switch);
            assert_eq!(switches.variants().collect::<Vec<_>>(), [switch]);
            assert_eq!(switches.defects().count(), 0);
            assert!(switches.is_any() && switches.is_conforming());
        }
        assert!(!Behaviour::conforming().is_any());
    }

    #[test]
    fn the_known_ones_of_a_list_of_names_are_switched_on() {
        let behaviour = Behaviour::from_known(&["loud", "of_another_crate"], &["late", "deaf"]);
        assert!(behaviour.has(Defect::Loud) && behaviour.varies(Variant::Late));
        assert!(!behaviour.has(Defect::Deaf) && !behaviour.has(Defect::Late));
        assert_eq!(format!("{behaviour:?}"), r#"{"loud", "late"}"#);
        assert_ne!(behaviour, Behaviour::conforming());
        assert_eq!(behaviour, behaviour.clone());
    }
}
