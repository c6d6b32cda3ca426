//! Acknowledgements of a PUSH, in two forms.
//!
//! **RFC 8263** (GROUPKEY-PUSH-ACK): `HDR, HASH, SEQ, ID` in clear, exchange type 35, flags 0, message id 0, the cookies
//! of the PUSH. `HASH = prf(ack_key, SEQ | ID)`; ack_key derives from the KEK that protected the PUSH (types 1 and 3)
//! or from the leaf key of the member (types 2 and 4). The RFC contradicts itself on the length field of the
//! derivation, so a verifier tries three readings and tells which one it was.
//!
//! **Encrypted** (the policy `cisco`): products acknowledge with a message that is encrypted with the keys that the
//! member has just received. Its real layout is not public. In its place stands this layout of our own, which no
//! product understands: the payloads of RFC 8263, encrypted. `HDR*, HASH, SEQ, ID`, exchange type 35, flags E, message
//! id 0. Cookies, cipher, key and static IV are those of the *newest* KEK of the member: after a PUSH that delivers a
//! KEK this is the delivered one. SEQ is the sequence number of the PUSH. `HASH = prf(ack_key, SEQ | ID)` with
//! HMAC-SHA-256, ack_key derived as in RFC 8263 type 1 from that same KEK and its SPI, with the length field 512.
//! Padding is zeros to the block; the header counts it.

use hallmark_core::{Code, Limits};
use hallmark_crypto::gdoi::{AckLength, ack_hash, ack_key};
use hallmark_crypto::{CipherAlg, HashAlg, cbc_decrypt, cbc_encrypt, ct_eq, pad_zero};
use hallmark_wire::gdoi::Sequence;
use hallmark_wire::isakmp::{
    Chain, ExchangeType, Flags, Header, Identification, PayloadType, build_chain, payload_octets,
};

use crate::code;

/// Holds what keys an acknowledgement.
#[derive(Clone, Copy)]
pub(crate) struct AckKey<'a> {
    pub(crate) hash: HashAlg,
    pub(crate) base_key: &'a [u8],
    /// The SPI that the derivation uses and that the header carries.
    pub(crate) spi: [u8; 16],
}

/// Holds what encrypts the second form.
#[derive(Clone, Copy)]
pub(crate) struct Envelope<'a> {
    pub(crate) cipher: CipherAlg,
    pub(crate) iv: &'a [u8],
    pub(crate) key: &'a [u8],
}

/// Is an acknowledgement as it was received, hash not yet verified.
pub(crate) struct ReceivedAck {
    pub(crate) sequence: u32,
    pub(crate) identity: Identification,
    hash: Vec<u8>,
    seq_and_id: Vec<u8>,
}

/// Says what an acknowledgement is made of.
pub(crate) struct AckParts {
    pub(crate) sequence: u32,
    pub(crate) identity: Identification,
    pub(crate) flags: Flags,
    pub(crate) message_id: u32,
}

/// Gives the hash of a value of KEK_ACK_REQUESTED and whether the leaf key is the base key.
pub(crate) const fn requested_type(value: u16) -> Option<(HashAlg, bool)> {
    Some(match value {
        1 => (HashAlg::Sha256, false),
        2 => (HashAlg::Sha256, true),
        3 => (HashAlg::Sha512, false),
        4 => (HashAlg::Sha512, true),
        _ => return None,
    })
}

/// Builds the whole message.
pub(crate) fn build(key: AckKey<'_>, parts: &AckParts, envelope: Option<Envelope<'_>>) -> Option<Vec<u8>> {
    let seq = Sequence(parts.sequence).encode_body();
    let id = parts.identity.encode_body();
    // REQ GDOI-ACK-017 GDOI-ACK-018: complete payloads with generic headers; the prf block is the reading we send.
    let mut covered = payload_octets(PayloadType::ID, &seq);
    covered.extend(payload_octets(PayloadType::NONE, &id));
    let derived = ack_key(key.hash, key.base_key, &key.spi, AckLength::PrfBlock);
    let hash = ack_hash(key.hash, derived.expose(), &covered);
    let chain = build_chain(&[(PayloadType::HASH, hash), (PayloadType::SEQ, seq), (PayloadType::ID, id)]);
    let mut body = chain.octets;
    if let Some(envelope) = envelope {
        pad_zero(&mut body, envelope.cipher.block_len());
        cbc_encrypt(envelope.cipher, envelope.key, envelope.iv, &mut body).ok()?;
    }
    let (initiator_cookie, responder_cookie) = Header::split_cookies(&key.spi);
    // REQ GDOI-ACK-008 GDOI-ACK-009 GDOI-ACK-010
    let header = Header {
        initiator_cookie,
        responder_cookie,
        next: chain.first,
        version: Header::VERSION,
        exchange: ExchangeType::PUSH_ACK,
        flags: parts.flags,
        message_id: parts.message_id,
        length: u32::try_from(Header::LEN + body.len()).ok()?,
    };
    let mut message = header.encode().to_vec();
    message.extend(body);
    Some(message)
}

/// Decrypts when there is an envelope, and reads `HASH, SEQ, ID`.
pub(crate) fn read(
    header: &Header,
    body: &[u8],
    envelope: Option<Envelope<'_>>,
    limits: &Limits,
) -> Result<ReceivedAck, Code> {
    let clear = match envelope {
        None => body.to_vec(),
        Some(envelope) => {
            let mut clear = body.to_vec();
            cbc_decrypt(envelope.cipher, envelope.key, envelope.iv, &mut clear).map_err(|_| code::ACK_PAYLOADS)?;
            clear
        }
    };
    let chain = Chain::decode(header.next, &clear, limits).map_err(|error| error.code)?;
    if envelope.is_none() && !chain.trailing().is_empty() {
        return Err(code::ACK_PAYLOADS);
    }
    // REQ GDOI-ACK-011
    let mut payloads = chain.iter();
    let (Some(hash), Some(seq), Some(id), None) = (payloads.next(), payloads.next(), payloads.next(), payloads.next())
    else {
        return Err(code::ACK_PAYLOADS);
    };
    if (hash.kind, seq.kind, id.kind) != (PayloadType::HASH, PayloadType::SEQ, PayloadType::ID) {
        return Err(code::ACK_PAYLOADS);
    }
    let sequence = Sequence::decode(seq.body).map_err(|error| error.code)?.0;
    let identity = Identification::decode(id.body).map_err(|error| error.code)?;
    // REQ GDOI-ACK-013 GDOI-ACK-014
    if identity.ip().is_none() || identity.protocol != 0 || identity.port != 0 {
        return Err(code::ACK_IDENTITY);
    }
    Ok(ReceivedAck { sequence, identity, hash: hash.body.to_vec(), seq_and_id: chain.after_first().to_vec() })
}

impl ReceivedAck {
    /// Verifies the hash under the given readings of the length field and gives the one that fits, with its bits.
    pub(crate) fn verify(&self, key: AckKey<'_>, readings: &[AckLength]) -> Option<u16> {
        readings.iter().find_map(|reading| {
            let derived = ack_key(key.hash, key.base_key, &key.spi, *reading);
            let expected = ack_hash(key.hash, derived.expose(), &self.seq_and_id);
            ct_eq(&expected, &self.hash).then(|| reading.bits(key.hash, key.base_key.len()))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts() -> AckParts {
        AckParts {
            sequence: 1,
            identity: Identification::from_ip("192.0.2.10".parse().unwrap()),
            flags: Flags::NONE,
            message_id: 0,
        }
    }

    fn key(base_key: &[u8]) -> AckKey<'_> {
        let spi = std::array::from_fn(|index| 0xa0 + index as u8);
        AckKey { hash: HashAlg::Sha256, base_key, spi }
    }

    #[test]
    fn the_clear_form_is_the_published_vector() {
        let base_key: Vec<u8> = (0x40..0x50).collect();
        let message = build(key(&base_key), &parts(), None).unwrap();
        let expected = "a0a1a2a3a4a5a6a7a8a9aaabacadaeaf081023000000000000000054120000247322aca2a2ac3ca165d322f78a7db362c\
                        f27e36228a1cd9bb16f2f50455236e405000008000000010000000c01000000c000020a";
        assert_eq!(hex::encode(message), expected);
    }

    #[test]
    fn every_reading_of_the_length_verifies_and_is_named() {
        let base_key: Vec<u8> = (0x40..0x50).collect();
        for (hash, bits) in [
            ("81883299f063d9102f8582fcc13894fdf7699f98fff1592def8b4cb3eab5e052", 256),
            ("7322aca2a2ac3ca165d322f78a7db362cf27e36228a1cd9bb16f2f50455236e4", 512),
            ("18d94292e42be1afce957c5ab013e812f16b5ffd1988581836d0e339e332b797", 128),
        ] {
            let ack = ReceivedAck {
                sequence: 1,
                identity: parts().identity,
                hash: hex::decode(hash).unwrap(),
                seq_and_id: hex::decode("05000008000000010000000c01000000c000020a").unwrap(),
            };
            assert_eq!(ack.verify(key(&base_key), &AckLength::ALL), Some(bits));
            assert_eq!(ack.verify(key(&[0; 16]), &AckLength::ALL), None);
        }
    }

    #[test]
    fn the_encrypted_form_reads_back_under_its_own_key_only() {
        let base_key: Vec<u8> = (0x40..0x50).collect();
        let iv = [7; 16];
        let envelope = Envelope { cipher: CipherAlg::Aes128, iv: &iv, key: &base_key };
        let message = build(key(&base_key), &AckParts { flags: Flags::ENCRYPTION, ..parts() }, Some(envelope)).unwrap();
        let header = Header::decode(&message).unwrap();
        assert_eq!(usize::try_from(header.length).unwrap(), message.len());
        let ack = read(&header, &message[28..], Some(envelope), &Limits::default()).ok().unwrap();
        assert_eq!(ack.sequence, 1);
        assert_eq!(ack.verify(key(&base_key), &[AckLength::PrfBlock]), Some(512));
        let wrong = Envelope { key: &[9; 16], ..envelope };
        assert!(read(&header, &message[28..], Some(wrong), &Limits::default()).is_err());
    }
}
