//! Data attributes.

use std::fmt;

use hallmark_core::Limits;

use crate::error::{DecodeError, Fault, Layer};
use crate::reader::Reader;
use crate::writer::Writer;

/// Holds one attribute: a class and a value in one of two forms.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Attribute {
    /// The class (15 bits); what it means depends on the payload around it.
    pub class: u16,
    /// The value.
    pub value: AttributeValue,
}

/// Holds the value of an attribute in the form that it has on the wire.
#[derive(Clone, PartialEq, Eq)]
pub enum AttributeValue {
    /// Type and value in four octets.
    Basic(u16),
    /// Type, length and value.
    Variable(Vec<u8>),
}

impl Attribute {
    /// Makes an attribute in the four-octet form.
    #[must_use]
    pub const fn basic(class: u16, value: u16) -> Self {
        Self { class, value: AttributeValue::Basic(value) }
    }

    /// Makes an attribute in the form with a length.
    #[must_use]
    pub const fn variable(class: u16, value: Vec<u8>) -> Self {
        Self { class, value: AttributeValue::Variable(value) }
    }

    /// Makes an attribute with a length whose value is a 32-bit number.
    #[must_use]
    pub fn u32(class: u16, value: u32) -> Self {
        Self::variable(class, value.to_be_bytes().to_vec())
    }

    /// Reads the value as a number, in either form (IKE-SA-017).
    #[must_use]
    pub fn as_u64(&self) -> Option<u64> {
        match &self.value {
            AttributeValue::Basic(value) => Some(u64::from(*value)),
            AttributeValue::Variable(octets) if octets.len() <= 8 => {
                Some(octets.iter().fold(0, |number, &octet| number << 8 | u64::from(octet)))
            }
            AttributeValue::Variable(_) => None,
        }
    }

    /// Gives the octets of a value that has the form with a length.
    #[must_use]
    pub fn octets(&self) -> Option<&[u8]> {
        match &self.value {
            AttributeValue::Basic(_) => None,
            AttributeValue::Variable(octets) => Some(octets),
        }
    }

    /// Tells whether the attribute has the four-octet form.
    #[must_use]
    pub const fn is_basic(&self) -> bool {
        matches!(self.value, AttributeValue::Basic(_))
    }

    /// Tells whether two attributes mean the same, whatever their form.
    #[must_use]
    pub fn same_value(&self, other: &Self) -> bool {
        if self.class != other.class {
            return false;
        }
        match (self.as_u64(), other.as_u64()) {
            (Some(mine), Some(theirs)) => mine == theirs,
            _ => self.value == other.value,
        }
    }

    fn encode(&self, writer: &mut Writer) {
        match &self.value {
            AttributeValue::Basic(value) => {
                writer.u16(self.class | BASIC);
                writer.u16(*value);
            }
            AttributeValue::Variable(octets) => {
                writer.u16(self.class & !BASIC);
                writer.counted_u16(|w| w.octets(octets));
            }
        }
    }
}

impl fmt::Debug for AttributeValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Basic(value) => write!(f, "{value}"),
            // The value may be a key.
            Self::Variable(octets) => write!(f, "({} octets)", octets.len()),
        }
    }
}

/// Holds a list of attributes in the order of the wire.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Attributes(pub Vec<Attribute>);

impl Attributes {
    /// Reads attributes up to the end of the octets.
    pub fn decode(octets: &[u8]) -> Result<Self, DecodeError> {
        Self::decode_from(&mut Reader::new(octets, Layer::Attribute), &Limits::default())
    }

    /// Reads attributes up to the end of a reader.
    pub(crate) fn decode_from(reader: &mut Reader<'_>, limits: &Limits) -> Result<Self, DecodeError> {
        let mut reader = Reader::at(reader.peek(), Layer::Attribute, reader.offset());
        let mut attributes = Vec::new();
        while !reader.is_empty() {
            if attributes.len() >= limits.attributes_per_list {
                let limit = limits.attributes_per_list;
                return Err(reader.error(Fault::TooMany, limit, limit.saturating_add(1)));
            }
            let class = reader.u16()?;
            let field = reader.u16()?;
            attributes.push(if class & BASIC != 0 {
                Attribute::basic(class & !BASIC, field)
            } else {
                Attribute::variable(class, reader.take(usize::from(field))?.to_vec())
            });
        }
        Ok(Self(attributes))
    }

    /// Gives the octets of the list.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut writer = Writer::new();
        self.encode_to(&mut writer);
        writer.into_vec()
    }

    pub(crate) fn encode_to(&self, writer: &mut Writer) {
        for attribute in &self.0 {
            attribute.encode(writer);
        }
    }

    /// Finds the first attribute of a class.
    #[must_use]
    pub fn get(&self, class: u16) -> Option<&Attribute> {
        self.0.iter().find(|attribute| attribute.class == class)
    }

    /// Gives all attributes of a class.
    pub fn all(&self, class: u16) -> impl Iterator<Item = &Attribute> {
        self.0.iter().filter(move |attribute| attribute.class == class)
    }

    /// Gives the first value of a class as a number.
    #[must_use]
    pub fn uint(&self, class: u16) -> Option<u64> {
        self.get(class).and_then(Attribute::as_u64)
    }

    /// Gives the first value of a class as octets.
    #[must_use]
    pub fn octets(&self, class: u16) -> Option<&[u8]> {
        self.get(class).and_then(Attribute::octets)
    }

    /// Adds an attribute at the end.
    pub fn push(&mut self, attribute: Attribute) {
        self.0.push(attribute);
    }

    /// Gives the attributes in order.
    pub fn iter(&self) -> std::slice::Iter<'_, Attribute> {
        self.0.iter()
    }

    /// Gives the number of attributes.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.0.len()
    }

    /// Tells whether there is no attribute.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<'a> IntoIterator for &'a Attributes {
    type Item = &'a Attribute;
    type IntoIter = std::slice::Iter<'a, Attribute>;
    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl FromIterator<Attribute> for Attributes {
    fn from_iter<I: IntoIterator<Item = Attribute>>(attributes: I) -> Self {
        Self(attributes.into_iter().collect())
    }
}

/// The bit that marks the four-octet form.
const BASIC: u16 = 0x8000;
