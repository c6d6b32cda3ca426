//! The SA payload of GDOI with its chain of SA KEK, GAP and SA TEK payloads.

use hallmark_core::Limits;

use super::{Dialect, SaTek, Selector};
use crate::error::{DecodeError, Fault, Layer};
use crate::isakmp::{Attributes, PayloadType, build_chain, generic_header};
use crate::reader::Reader;
use crate::writer::Writer;

/// Holds the policy of a group.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct GdoiSa {
    /// Domain of interpretation: 2.
    pub doi: u32,
    /// Situation: 0.
    pub situation: u32,
    /// Policies in the order of the wire.
    pub attributes: Vec<SaAttribute>,
}

/// Holds one policy of a group.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum SaAttribute {
    /// Policy of the Rekey SA.
    Kek(SaKek),
    /// Policy of the whole group.
    Gap(Gap),
    /// Policy of a Data-security SA.
    Tek(SaTek),
}

impl SaAttribute {
    /// Gives the payload type of the policy.
    #[must_use]
    pub const fn kind(&self) -> PayloadType {
        match self {
            Self::Kek(_) => PayloadType::SA_KEK,
            Self::Gap(_) => PayloadType::GAP,
            Self::Tek(_) => PayloadType::SA_TEK,
        }
    }
}

impl GdoiSa {
    /// Makes the policy of a group under the GDOI DOI.
    #[must_use]
    pub const fn new(attributes: Vec<SaAttribute>) -> Self {
        Self { doi: super::DOI, situation: 0, attributes }
    }

    /// Gives the policy of the Rekey SA.
    #[must_use]
    pub fn kek(&self) -> Option<&SaKek> {
        self.attributes.iter().find_map(|attribute| match attribute {
            SaAttribute::Kek(kek) => Some(kek),
            SaAttribute::Gap(_) | SaAttribute::Tek(_) => None,
        })
    }

    /// Gives the policy of the whole group.
    #[must_use]
    pub fn gap(&self) -> Option<&Gap> {
        self.attributes.iter().find_map(|attribute| match attribute {
            SaAttribute::Gap(gap) => Some(gap),
            SaAttribute::Kek(_) | SaAttribute::Tek(_) => None,
        })
    }

    /// Gives the policies of the Data-security SAs.
    pub fn teks(&self) -> impl Iterator<Item = &SaTek> {
        self.attributes.iter().filter_map(|attribute| match attribute {
            SaAttribute::Tek(tek) => Some(tek),
            SaAttribute::Kek(_) | SaAttribute::Gap(_) => None,
        })
    }

    /// Reads a payload body. The order is SA KEK, GAP, SA TEK, with at most one of the first two and at least one SA
    /// KEK or SA TEK; reserved fields are zero; nested lengths fill the payload exactly.
    pub fn decode(body: &[u8], dialect: &Dialect, limits: &Limits) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(body, Layer::GdoiSa);
        let doi = reader.u32()?;
        let situation = reader.u32()?;
        let mut next_offset = reader.offset();
        let mut next = reader.u16()?;
        reader.reserved(2)?;
        let mut attributes = Vec::new();
        // 0 nothing yet, then the rank of the last policy: it may only grow, and only an SA TEK may repeat.
        let mut rank = 0_u8;
        while next != 0 {
            let (kind, new_rank) = rank_of(next, next_offset)?;
            if new_rank < rank || (new_rank == rank && kind != PayloadType::SA_TEK) {
                let (need, have) = (usize::from(rank), usize::from(new_rank));
                return Err(DecodeError::with_code("gdoi.sa.order", Layer::GdoiSa, next_offset, need, have));
            }
            rank = new_rank;
            if attributes.len() >= limits.teks.saturating_add(2) {
                return Err(reader.error(Fault::TooMany, limits.teks, limits.teks.saturating_add(1)));
            }
            next_offset = reader.offset();
            let (following, content) = generic_header(&mut reader, layer_of(kind))?;
            attributes.push(decode_attribute(kind, content, dialect, limits)?);
            next = u16::from(following);
        }
        reader.finish()?;
        if !attributes.iter().any(|attribute| !matches!(attribute, SaAttribute::Gap(_))) {
            return Err(DecodeError::with_code("gdoi.sa.empty", Layer::GdoiSa, 8, 1, 0));
        }
        Ok(Self { doi, situation, attributes })
    }

    /// Gives the octets of the payload body.
    #[must_use]
    pub fn encode_body(&self, dialect: &Dialect) -> Vec<u8> {
        let payloads: Vec<_> = self
            .attributes
            .iter()
            .map(|attribute| {
                let body = match attribute {
                    SaAttribute::Kek(kek) => kek.encode_body(dialect),
                    SaAttribute::Gap(gap) => gap.encode_body(),
                    SaAttribute::Tek(tek) => tek.encode_body(dialect),
                };
                (attribute.kind(), body)
            })
            .collect();
        let chain = build_chain(&payloads);
        let mut writer = Writer::new();
        writer.u32(self.doi);
        writer.u32(self.situation);
        writer.u16(u16::from(chain.first.0));
        writer.u16(0);
        writer.octets(&chain.octets);
        writer.into_vec()
    }
}

/// Holds the policy of the Rekey SA.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SaKek {
    /// IP protocol of a PUSH: 17.
    pub protocol: u8,
    /// Where a PUSH comes from.
    pub src: Selector,
    /// Where a PUSH goes to.
    pub dst: Selector,
    /// Both cookies of a PUSH.
    pub spi: [u8; 16],
    /// KEK attributes.
    pub attributes: Attributes,
}

impl SaKek {
    /// Reads a payload body.
    pub fn decode(body: &[u8], dialect: &Dialect, limits: &Limits) -> Result<Self, DecodeError> {
        Self::decode_from(&mut Reader::new(body, Layer::Sak), dialect, limits)
    }

    fn decode_from(reader: &mut Reader<'_>, dialect: &Dialect, limits: &Limits) -> Result<Self, DecodeError> {
        let protocol = reader.u8()?;
        let src = Selector::decode(reader, dialect)?;
        let dst = Selector::decode(reader, dialect)?;
        let spi = reader.array()?;
        reader.reserved(usize::from(dialect.sak_reserved_octets))?;
        let attributes = Attributes::decode_from(reader, limits)?;
        Ok(Self { protocol, src, dst, spi, attributes })
    }

    /// Gives the octets of the payload body.
    #[must_use]
    pub fn encode_body(&self, dialect: &Dialect) -> Vec<u8> {
        let mut writer = Writer::new();
        writer.u8(self.protocol);
        self.src.encode(&mut writer, dialect);
        self.dst.encode(&mut writer, dialect);
        writer.octets(&self.spi);
        writer.zeros(usize::from(dialect.sak_reserved_octets));
        self.attributes.encode_to(&mut writer);
        writer.into_vec()
    }
}

/// Holds policy of the whole group, or a member's request for sender ids.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Gap {
    /// GAP attributes.
    pub attributes: Attributes,
}

impl Gap {
    /// Reads a payload body.
    pub fn decode(body: &[u8]) -> Result<Self, DecodeError> {
        Self::decode_from(&mut Reader::new(body, Layer::Gap), &Limits::default())
    }

    fn decode_from(reader: &mut Reader<'_>, limits: &Limits) -> Result<Self, DecodeError> {
        Ok(Self { attributes: Attributes::decode_from(reader, limits)? })
    }

    /// Gives the octets of the payload body.
    #[must_use]
    pub fn encode_body(&self) -> Vec<u8> {
        self.attributes.encode()
    }
}

fn decode_attribute(
    kind: PayloadType,
    mut content: Reader<'_>,
    dialect: &Dialect,
    limits: &Limits,
) -> Result<SaAttribute, DecodeError> {
    match kind {
        PayloadType::SA_KEK => SaKek::decode_from(&mut content, dialect, limits).map(SaAttribute::Kek),
        PayloadType::GAP => Gap::decode_from(&mut content, limits).map(SaAttribute::Gap),
        _ => SaTek::decode_from(&mut content, dialect, limits).map(SaAttribute::Tek),
    }
}

fn rank_of(next: u16, offset: usize) -> Result<(PayloadType, u8), DecodeError> {
    match u8::try_from(next).map(PayloadType) {
        Ok(kind @ PayloadType::SA_KEK) => Ok((kind, 1)),
        Ok(kind @ PayloadType::GAP) => Ok((kind, 2)),
        Ok(kind @ PayloadType::SA_TEK) => Ok((kind, 3)),
        _ => {
            let code = "gdoi.sa.attribute-type";
            Err(DecodeError::with_code(code, Layer::GdoiSa, offset, usize::from(PayloadType::SA_TEK.0), next.into()))
        }
    }
}

const fn layer_of(kind: PayloadType) -> Layer {
    match kind {
        PayloadType::SA_KEK => Layer::Sak,
        PayloadType::GAP => Layer::Gap,
        _ => Layer::Sat,
    }
}
