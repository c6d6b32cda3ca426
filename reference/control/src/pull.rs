//! What both sides of GROUPKEY-PULL share: opening, sealing and hashing its messages.

use hallmark_core::{Code, Limits};
use hallmark_crypto::gdoi::{pull_hash1, pull_hash2, pull_hash3};
use hallmark_crypto::ike::Cbc;
use hallmark_crypto::{HashAlg, ct_eq};
use hallmark_wire::isakmp::{Built, Chain, Header, PayloadType, PayloadView, payload_octets};

use crate::code;

/// Names one of the four messages with what its HASH covers besides the payloads.
#[derive(Clone, Copy)]
pub(crate) enum PullHash<'a> {
    One,
    Two { ni: &'a [u8] },
    Three { ni: &'a [u8], nr: &'a [u8] },
    Four { ni: &'a [u8], nr: &'a [u8] },
}

impl PullHash<'_> {
    /// Computes the hash over the octets that follow the HASH payload, without padding.
    // REQ GDOI-PULL-013 GDOI-PULL-014 GDOI-PULL-015 GDOI-PULL-016 GDOI-PULL-017 GDOI-PULL-018
    pub(crate) fn compute(self, hash: HashAlg, skeyid_a: &[u8], message_id: u32, rest: &[u8]) -> Vec<u8> {
        match self {
            Self::One => pull_hash1(hash, skeyid_a, message_id, rest),
            Self::Two { ni } => pull_hash2(hash, skeyid_a, message_id, ni, rest),
            // HASH(3) and HASH(4) are the same function of different payloads.
            Self::Three { ni, nr } | Self::Four { ni, nr } => pull_hash3(hash, skeyid_a, message_id, ni, nr, rest),
        }
    }

    const fn code(self) -> Code {
        match self {
            Self::One => code::PULL_HASH1,
            Self::Two { .. } => code::PULL_HASH2,
            Self::Three { .. } => code::PULL_HASH3,
            Self::Four { .. } => code::PULL_HASH4,
        }
    }
}

/// Is a decrypted message whose HASH is verified.
pub(crate) struct Opened {
    header: Header,
    clear: Vec<u8>,
    limits: Limits,
}

impl Opened {
    /// Gives the payloads behind HASH.
    pub(crate) fn payloads(&self) -> Vec<PayloadView<'_>> {
        match Chain::decode(self.header.next, &self.clear, &self.limits) {
            Ok(chain) => chain.iter().skip(1).collect(),
            // It was walked before; there is nothing to find on a second walk that was not there on the first.
            Err(_) => Vec::new(),
        }
    }
}

/// Decrypts a message, walks its payloads and verifies the HASH; changes no state.
pub(crate) fn open(
    cbc: &Cbc,
    header: Header,
    body: &[u8],
    limits: &Limits,
    check: impl FnOnce(&[u8], &Chain<'_>) -> Result<(), Code>,
) -> Result<Opened, Code> {
    let clear = cbc.decrypt(body).map_err(|_| code::PULL_CIPHER)?;
    let chain = Chain::decode(header.next, &clear, limits).map_err(|error| error.code)?;
    // Padding is zero or more octets; a block and more behind the last payload is no padding.
    if chain.trailing().len() > cbc.cipher().block_len() {
        return Err(code::PULL_TRAILING);
    }
    let first = chain.iter().next().filter(|payload| payload.kind == PayloadType::HASH).ok_or(code::PULL_PAYLOADS)?;
    check(first.body, &chain)?;
    Ok(Opened { header, clear, limits: *limits })
}

/// Verifies a HASH over what follows it.
pub(crate) fn verify(
    which: PullHash<'_>,
    hash: HashAlg,
    skeyid_a: &[u8],
    message_id: u32,
    received: &[u8],
    rest: &[u8],
) -> Result<(), Code> {
    // REQ GDOI-PL-077
    if received.len() != hash.len() {
        return Err(code::PULL_HASH_LENGTH);
    }
    if ct_eq(&which.compute(hash, skeyid_a, message_id, rest), received) { Ok(()) } else { Err(which.code()) }
}

/// Puts a HASH payload in front of payloads.
pub(crate) fn with_hash(hash: &[u8], rest: &Built) -> Built {
    let mut octets = payload_octets(rest.first, hash);
    octets.extend_from_slice(&rest.octets);
    Built { first: PayloadType::HASH, octets }
}

/// Checks the length of a received nonce.
// REQ GDOI-PL-072
pub(crate) const fn nonce_fits(nonce: &[u8]) -> bool {
    matches!(nonce.len(), 8..=128)
}
