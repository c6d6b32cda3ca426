//! The way of every outgoing message: content, HASH or SIG, encryption, octets; with a tamper at each stage.

use hallmark_crypto::ike::Cbc;
use hallmark_crypto::{CryptoError, HashAlg, Secret, SigningKey, hash, prf};
use hallmark_wire::isakmp::{Cookie, ExchangeType, Flags, PayloadType};
use hallmark_wire::raw::{RawBody, RawMessage, RawPayload};

use crate::tamper::{HashInput, SignedHeader, Tamper};

/// A finished message.
pub(crate) struct Sealed {
    /// What goes on the wire.
    pub(crate) octets: Vec<u8>,
    /// The message with its HASH or SIG, as it stood before the sealed stage: what a later HASH refers to.
    pub(crate) message: RawMessage,
}

/// Puts an untampered message together.
pub(crate) fn raw(
    cookies: (Cookie, Cookie),
    exchange: ExchangeType,
    message_id: u32,
    protected: bool,
    payloads: Vec<(PayloadType, Vec<u8>)>,
) -> RawMessage {
    let flags = if protected { Flags::ENCRYPTION.0 } else { 0 };
    let mut message = RawMessage::new(cookies, exchange.0, flags, message_id);
    message.payloads = payloads.into_iter().map(|(kind, body)| RawPayload::new(kind, body)).collect();
    message
}

/// Leads a message through all stages. `authenticate` fills in HASH or SIG between the content and the sealed stage.
pub(crate) fn finish(
    mut message: RawMessage,
    tamper: &Tamper,
    authenticate: impl FnOnce(&mut RawMessage) -> Result<(), CryptoError>,
    cipher: Option<&mut Cbc>,
) -> Result<Sealed, CryptoError> {
    tamper.apply_content(&mut message);
    authenticate(&mut message)?;
    let authenticated = message.clone();
    tamper.apply_sealed(&mut message);
    let mut octets = match cipher {
        Some(cbc) if !tamper.is_in_clear() => encrypt(&message, tamper, cbc)?,
        _ => {
            message.flags &= !Flags::ENCRYPTION.0;
            message.encode()
        }
    };
    tamper.apply_wire(&mut octets);
    Ok(Sealed { octets, message: authenticated })
}

fn encrypt(message: &RawMessage, tamper: &Tamper, cbc: &mut Cbc) -> Result<Vec<u8>, CryptoError> {
    let mut plain = message.chain().octets;
    plain.extend(&message.trailer);
    plain.extend(tamper.padding().unwrap_or_default());
    let body = if tamper.key().is_some() || tamper.iv().is_some() {
        let key = tamper.key().map_or_else(|| cbc.key().clone(), Secret::from);
        let iv = tamper.iv().map_or_else(|| cbc.iv().to_vec(), <[u8]>::to_vec);
        let body = Cbc::new(cbc.cipher(), key, iv)?.encrypt(plain);
        cbc.advance(&body);
        body
    } else {
        cbc.encrypt(plain)
    };
    Ok(message.encode_with_body(&body))
}

/// Fills the HASH payload with `prf(key, input)`, where the input is made from what follows it in the message.
pub(crate) fn fill_hash(
    message: &mut RawMessage,
    alg: HashAlg,
    key: &[u8],
    tamper: &Tamper,
    input: impl FnOnce(&[u8]) -> HashInput,
) {
    let Some(at) = position(message, PayloadType::HASH) else { return };
    let mut input = input(&octets_from(message, at + 1));
    tamper.apply_hashed(&mut input);
    set_body(message, at, prf(alg, key, &input.slices()));
}

/// Fills the first payload of a type.
pub(crate) fn fill(message: &mut RawMessage, kind: PayloadType, body: Vec<u8>) {
    if let Some(at) = position(message, kind) {
        set_body(message, at, body);
    }
}

/// Gives the body of the first payload of a type.
pub(crate) fn body_of(message: &RawMessage, kind: PayloadType) -> Option<Vec<u8>> {
    let at = position(message, kind)?;
    message.payloads.get(at).map(RawPayload::body_octets)
}

/// Fills the SIG payload of a PUSH.
pub(crate) fn fill_push_signature(
    message: &mut RawMessage,
    hash_alg: HashAlg,
    block_len: usize,
    key: &SigningKey,
    tamper: &Tamper,
    rng: &mut hallmark_core::Rng,
) -> Result<(), CryptoError> {
    let Some(at) = position(message, PayloadType::SIG) else { return Ok(()) };
    let signing = &tamper.signing;
    let key = signing.key.as_deref().unwrap_or(key);
    let hash_alg = signing.hash.unwrap_or(hash_alg);
    set_body(message, at, vec![0; key.signature_len()]);
    let octets = message.chain().octets;
    let covered = octets.len() - octets_from(message, at).len();
    let signed_len = match signing.header {
        SignedHeader::Unpadded => octets.len(),
        SignedHeader::Wire => octets.len().next_multiple_of(block_len.max(1)),
    };
    let header = message.header(signed_len);
    let payloads = octets.get(..covered).unwrap_or_default();
    let mut input = HashInput::new(&[("rekey", b"rekey"), ("header", &header), ("payloads", payloads)]);
    tamper.apply_hashed(&mut input);
    let digest = hash(hash_alg, &input.slices());
    let signature = match &signing.block {
        Some(block) => key.sign_rsa_block(&block(&digest, key.signature_len()))?,
        None => key.sign_push(hash_alg, &digest, signing.bare, rng)?,
    };
    set_body(message, at, signature);
    Ok(())
}

/// Gives the encoded payloads from an index on.
pub(crate) fn octets_from(message: &RawMessage, at: usize) -> Vec<u8> {
    let mut rest = message.clone();
    rest.payloads = message.payloads.get(at..).unwrap_or_default().to_vec();
    rest.chain().octets
}

fn position(message: &RawMessage, kind: PayloadType) -> Option<usize> {
    message.payloads.iter().position(|payload| payload.kind == kind.0)
}

fn set_body(message: &mut RawMessage, at: usize, body: Vec<u8>) {
    if let Some(payload) = message.payloads.get_mut(at) {
        payload.body = RawBody::Octets(body);
    }
}
