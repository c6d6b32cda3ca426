//! The SA payload of phase 1: one proposal with transforms, whatever the DOI.

use hallmark_core::Limits;

use super::{Attributes, generic_header};
use crate::error::{DecodeError, Fault, Layer};
use crate::reader::Reader;
use crate::writer::Writer;

/// Holds an offer, or the answer to one.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SecurityAssociation {
    /// Domain of interpretation: 2 is GDOI, 1 is IPsec.
    pub doi: u32,
    /// Situation: 0 under GDOI, 1 (identity only) under IPsec.
    pub situation: u32,
    /// Proposals; phase 1 allows exactly one.
    pub proposals: Vec<Proposal>,
}

impl SecurityAssociation {
    /// Reads a payload body. Nested lengths have to fill each other exactly.
    pub fn decode(body: &[u8]) -> Result<Self, DecodeError> {
        let limits = Limits::default();
        let mut reader = Reader::new(body, Layer::Payload);
        let doi = reader.u32()?;
        let situation = reader.u32()?;
        let mut proposals = Vec::new();
        // The layout comes from the exchange: this one never holds the attribute chain of GDOI.
        // REQ IKE-SA-014
        let mut more = true;
        while more {
            if proposals.len() >= limits.payloads_per_message {
                let limit = limits.payloads_per_message;
                return Err(reader.error(Fault::TooMany, limit, limit.saturating_add(1)));
            }
            let offset = reader.offset();
            let (next, mut content) = generic_header(&mut reader, Layer::Proposal)?;
            more = announces_another(next, PROPOSAL, Layer::Proposal, offset)?;
            proposals.push(Proposal::decode(&mut content, &limits)?);
        }
        reader.finish()?;
        Ok(Self { doi, situation, proposals })
    }

    /// Gives the octets of the payload body.
    #[must_use]
    pub fn encode_body(&self) -> Vec<u8> {
        let mut writer = Writer::new();
        writer.u32(self.doi);
        writer.u32(self.situation);
        for (proposal, next) in chained(&self.proposals, PROPOSAL) {
            writer.u8(next);
            writer.u8(0);
            writer.len_u16(2, |w| proposal.encode(w));
        }
        writer.into_vec()
    }
}

/// Holds transforms in order of preference.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Proposal {
    /// Number that the answer keeps.
    pub number: u8,
    /// Protocol; 1 is ISAKMP in every DOI.
    pub protocol: u8,
    /// SPI; empty in phase 1, up to 16 octets are tolerated and ignored.
    pub spi: Vec<u8>,
    /// Transforms.
    pub transforms: Vec<Transform>,
}

impl Proposal {
    fn decode(reader: &mut Reader<'_>, limits: &Limits) -> Result<Self, DecodeError> {
        let number = reader.u8()?;
        let protocol = reader.u8()?;
        let spi_offset = reader.offset();
        let spi_len = usize::from(reader.u8()?);
        let count_offset = reader.offset();
        let count = usize::from(reader.u8()?);
        // REQ IKE-SA-008
        if spi_len > SPI_LEN_MAX {
            let code = "isakmp.proposal.spi-size";
            return Err(DecodeError::with_code(code, Layer::Proposal, spi_offset, SPI_LEN_MAX, spi_len));
        }
        let spi = reader.take(spi_len)?.to_vec();
        let mut transforms = Vec::new();
        let mut more = !reader.is_empty();
        while more {
            let offset = reader.offset();
            let (next, mut content) = generic_header(reader, Layer::Transform)?;
            more = announces_another(next, TRANSFORM, Layer::Transform, offset)?;
            transforms.push(Transform::decode(&mut content, limits)?);
        }
        reader.finish()?;
        // REQ IKE-SA-009
        if transforms.len() != count {
            return Err(DecodeError::new(Layer::Proposal, Fault::Count, count_offset, count, transforms.len()));
        }
        Ok(Self { number, protocol, spi, transforms })
    }

    fn encode(&self, writer: &mut Writer) {
        writer.u8(self.number);
        writer.u8(self.protocol);
        writer.u8(u8::try_from(self.spi.len()).unwrap_or(u8::MAX));
        writer.u8(u8::try_from(self.transforms.len()).unwrap_or(u8::MAX));
        writer.octets(&self.spi);
        for (transform, next) in chained(&self.transforms, TRANSFORM) {
            writer.u8(next);
            writer.u8(0);
            writer.len_u16(2, |w| transform.encode(w));
        }
    }
}

/// Holds one combination of algorithms.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Transform {
    /// Number that the answer keeps.
    pub number: u8,
    /// Transform id; 1 is KEY_IKE.
    pub id: u8,
    /// Phase 1 attributes.
    pub attributes: Attributes,
}

impl Transform {
    fn decode(reader: &mut Reader<'_>, limits: &Limits) -> Result<Self, DecodeError> {
        let number = reader.u8()?;
        let id = reader.u8()?;
        reader.reserved(2)?;
        // REQ IKE-SA-022
        let attributes = Attributes::decode_from(reader, limits)?;
        Ok(Self { number, id, attributes })
    }

    fn encode(&self, writer: &mut Writer) {
        writer.u8(self.number);
        writer.u8(self.id);
        writer.u16(0);
        self.attributes.encode_to(writer);
    }
}

/// Reads the next payload field inside an SA: the same kind again, or the end.
fn announces_another(next: u8, kind: u8, layer: Layer, offset: usize) -> Result<bool, DecodeError> {
    match next {
        0 => Ok(false),
        next if next == kind => Ok(true),
        next => Err(DecodeError::new(layer, Fault::DanglingNext, offset, usize::from(kind), usize::from(next))),
    }
}

/// Pairs each entry with its next payload field.
fn chained<T>(entries: &[T], kind: u8) -> impl Iterator<Item = (&T, u8)> {
    let followers = entries.iter().skip(1).map(move |_| kind).chain([0]);
    entries.iter().zip(followers)
}

const PROPOSAL: u8 = 2;
const TRANSFORM: u8 = 3;
const SPI_LEN_MAX: usize = 16;
