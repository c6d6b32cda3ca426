//! Putting payloads together.

use super::PayloadType;
use crate::writer::Writer;

/// Holds a finished chain and what the header must announce as its first payload.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Built {
    /// Type of the first payload.
    pub first: PayloadType,
    /// All payloads with their generic headers.
    pub octets: Vec<u8>,
}

/// Chains payload bodies in the given order.
#[must_use]
pub fn build_chain(payloads: &[(PayloadType, Vec<u8>)]) -> Built {
    let mut octets = Vec::new();
    let nexts = payloads.iter().skip(1).map(|(kind, _)| *kind).chain([PayloadType::NONE]);
    for ((_, body), next) in payloads.iter().zip(nexts) {
        octets.extend(payload_octets(next, body));
    }
    Built { first: payloads.first().map_or(PayloadType::NONE, |(kind, _)| *kind), octets }
}

/// Puts a generic header in front of one body; `next` is the type of the payload after it.
#[must_use]
pub fn payload_octets(next: PayloadType, body: &[u8]) -> Vec<u8> {
    let mut writer = Writer::new();
    writer.u8(next.0);
    writer.u8(0);
    writer.len_u16(2, |w| w.octets(body));
    writer.into_vec()
}
