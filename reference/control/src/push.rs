//! What both sides of GROUPKEY-PUSH share: building, signing, encrypting, and opening its one message.

use hallmark_core::{Code, Limits, Rng};
use hallmark_crypto::gdoi::push_digest;
use hallmark_crypto::{CipherAlg, CryptoError, HashAlg, SigningKey, VerifyingKey, cbc_decrypt, cbc_encrypt, hash};
use hallmark_wire::gdoi::Sequence;
use hallmark_wire::isakmp::{Chain, Delete, ExchangeType, Flags, Header, PayloadType, build_chain};

use crate::behaviour::{Behaviour, Defect};
use crate::code;

/// Says what a PUSH is made of.
pub(crate) struct PushParts<'a> {
    pub(crate) spi: [u8; 16],
    pub(crate) sequence: u32,
    pub(crate) deletes: Vec<Vec<u8>>,
    pub(crate) sa: Option<Vec<u8>>,
    pub(crate) kd: Option<Vec<u8>>,
    pub(crate) cipher: CipherAlg,
    pub(crate) iv: &'a [u8],
    pub(crate) key: &'a [u8],
    pub(crate) signing_key: &'a SigningKey,
    pub(crate) hash: HashAlg,
    /// The RSA block holds the digest without DigestInfo.
    pub(crate) bare: bool,
}

/// Builds, signs and encrypts the whole datagram.
pub(crate) fn build(parts: &PushParts<'_>, behaviour: &Behaviour, rng: &mut Rng) -> Result<Vec<u8>, CryptoError> {
    // REQ GDOI-PUSH-007
    let mut payloads = vec![(PayloadType::SEQ, Sequence(parts.sequence).encode_body())];
    payloads.extend(parts.deletes.iter().map(|delete| (PayloadType::DELETE, delete.clone())));
    payloads.extend(parts.sa.iter().map(|sa| (PayloadType::SA, sa.clone())));
    payloads.extend(parts.kd.iter().map(|kd| (PayloadType::KEY_DOWNLOAD, kd.clone())));
    if behaviour.has(Defect::KsPushWrongOrder)
        && let [_, rest @ ..] = payloads.as_mut_slice()
    {
        rest.reverse();
    }
    let signature_len = parts.signing_key.signature_len();
    let signed = !behaviour.has(Defect::KsPushUnsigned);
    if signed {
        payloads.push((PayloadType::SIG, vec![0; signature_len]));
    }
    let chain = build_chain(&payloads);
    let mut body = chain.octets;
    let block = parts.cipher.block_len();
    let mut padded = body.len().next_multiple_of(block);
    if behaviour.has(Defect::KsPushExtraPadding) {
        padded += block;
    }
    let length = |body: usize| u32::try_from(Header::LEN + body).unwrap_or(u32::MAX);
    let mut header = header(parts.spi, chain.first, length(padded), behaviour);
    if signed {
        // REQ GDOI-PUSH-011 GDOI-PUSH-012: the header as it goes out, but with the length of the unpadded message.
        let mut covered = header;
        if !behaviour.has(Defect::KsSignsPaddedLength) {
            covered.length = length(body.len());
        }
        if behaviour.has(Defect::KsSignsFlagsClear) {
            covered.flags = Flags::NONE;
        }
        let start = body.len().saturating_sub(signature_len);
        let before = body.get(..start.saturating_sub(4)).unwrap_or_default();
        let (digest, alg) = digest(parts.hash, &covered, before, behaviour);
        let bare = parts.bare || behaviour.has(Defect::KsSigBareDigest);
        let signature = parts.signing_key.sign_push(alg, &digest, bare, rng)?;
        if let Some(place) = body.get_mut(start..)
            && place.len() == signature.len()
        {
            place.copy_from_slice(&signature);
        }
    }
    // REQ GDOI-PUSH-010
    let unpadded = body.len();
    body.resize(padded, 0);
    if behaviour.has(Defect::KsPushPaddingRandom)
        && let Some(padding) = body.get_mut(unpadded..)
    {
        rng.fill(padding);
    }
    // REQ GDOI-PUSH-008 GDOI-PUSH-009: the static IV, for every message anew.
    cbc_encrypt(parts.cipher, parts.key, parts.iv, &mut body)?;
    header.length = length(body.len());
    let mut datagram = header.encode().to_vec();
    datagram.extend(body);
    Ok(datagram)
}

// REQ GDOI-PUSH-001 GDOI-PUSH-002 GDOI-PUSH-003 GDOI-PUSH-004
fn header(spi: [u8; 16], next: PayloadType, length: u32, behaviour: &Behaviour) -> Header {
    let (initiator_cookie, responder_cookie) = Header::split_cookies(&spi);
    let mut header = Header {
        initiator_cookie,
        responder_cookie,
        next,
        version: Header::VERSION,
        exchange: ExchangeType::PUSH,
        flags: Flags::ENCRYPTION,
        message_id: 0,
        length,
    };
    if behaviour.has(Defect::KsPushFlagsExtra) {
        header.flags = Flags(Flags::ENCRYPTION.0 | Flags::COMMIT.0);
    }
    if behaviour.has(Defect::KsPushMessageIdSet) {
        header.message_id = 1;
    }
    if behaviour.has(Defect::KsPushCookiesSwapped) {
        std::mem::swap(&mut header.initiator_cookie, &mut header.responder_cookie);
    }
    header
}

fn digest(alg: HashAlg, header: &Header, before: &[u8], behaviour: &Behaviour) -> (Vec<u8>, HashAlg) {
    // REQ GDOI-PUSH-014
    let alg = if behaviour.has(Defect::KsSigHashSha1) { HashAlg::Sha1 } else { alg };
    let header = header.encode();
    let digest = if behaviour.has(Defect::KsSigMissingPrefix) {
        hash(alg, &[&header, before])
    } else if behaviour.has(Defect::KsSigMissingHeader) {
        hash(alg, &[b"rekey", before])
    } else {
        push_digest(alg, &header, before)
    };
    (digest, alg)
}

/// Is a decrypted PUSH of the right form; the signature is not yet verified.
pub(crate) struct ReceivedPush {
    pub(crate) sequence: u32,
    pub(crate) deletes: Vec<Delete>,
    pub(crate) sa: Option<Vec<u8>>,
    pub(crate) kd: Option<Vec<u8>>,
    pub(crate) signature: Option<Vec<u8>>,
    /// The payloads before SIG.
    covered: Vec<u8>,
    header: Header,
    unpadded_length: u32,
}

/// Says which rules of form a receiver leaves out; the default leaves out none.
#[derive(Clone, Copy, Default)]
pub(crate) struct FormRules {
    pub(crate) signature_optional: bool,
    pub(crate) payload_after_signature: bool,
    pub(crate) parts_unpaired: bool,
    pub(crate) delete_unchecked: bool,
    pub(crate) seq_anywhere: bool,
    pub(crate) seq_length_ignored: bool,
    pub(crate) unknown_skipped: bool,
    pub(crate) late_delete_lost: bool,
}

/// Decrypts a PUSH and checks its form, sequence and signature excepted.
pub(crate) fn open(
    cipher: CipherAlg,
    iv: &[u8],
    key: &[u8],
    header: Header,
    body: &[u8],
    limits: &Limits,
    rules: FormRules,
) -> Result<ReceivedPush, Code> {
    if body.is_empty() {
        return Err(code::PUSH_CIPHER);
    }
    let mut clear = body.to_vec();
    cbc_decrypt(cipher, key, iv, &mut clear).map_err(|_| code::PUSH_CIPHER)?;
    read(header, &clear, cipher.block_len(), limits, rules)
}

/// Checks the form of the payloads: `SEQ, D..., [SA, KD,] SIG`, nothing else.
pub(crate) fn read(
    header: Header,
    clear: &[u8],
    block: usize,
    limits: &Limits,
    rules: FormRules,
) -> Result<ReceivedPush, Code> {
    let chain = Chain::decode(header.next, clear, limits).map_err(|error| error.code)?;
    if chain.trailing().len() > block {
        return Err(code::PUSH_TRAILING);
    }
    let first = chain.iter().next();
    let Some(seq) = (if rules.seq_anywhere { chain.find(PayloadType::SEQ) } else { first }) else {
        return Err(code::PUSH_PAYLOADS);
    };
    // REQ GDOI-NEG-139
    if seq.kind != PayloadType::SEQ {
        return Err(code::PUSH_PAYLOADS);
    }
    let sequence = read_sequence(seq.body, rules)?;
    let seq_offset = seq.offset;
    let mut payloads = chain
        .iter()
        .filter(|payload| payload.offset != seq_offset && (!rules.unknown_skipped || belongs(payload.kind)))
        .peekable();
    let mut deletes = Vec::new();
    while let Some(delete) = payloads.next_if(|payload| payload.kind == PayloadType::DELETE) {
        deletes.push(read_delete(delete.body, rules)?);
    }
    let sa = payloads.next_if(|payload| payload.kind == PayloadType::SA);
    let kd = payloads.next_if(|payload| payload.kind == PayloadType::KEY_DOWNLOAD);
    while rules.late_delete_lost && payloads.next_if(|payload| payload.kind == PayloadType::DELETE).is_some() {}
    let sig = payloads.next_if(|payload| payload.kind == PayloadType::SIG);
    if payloads.next().is_some() && !rules.payload_after_signature {
        return Err(code::PUSH_PAYLOADS);
    }
    // REQ GDOI-PUSH-060: SA and KD only mean something together.
    if sa.is_some() != kd.is_some() && !rules.parts_unpaired {
        return Err(code::PUSH_PAYLOADS);
    }
    if sig.is_none() && !rules.signature_optional {
        return Err(code::PUSH_PAYLOADS);
    }
    let end = sig.map_or(chain.payload_octets(), |sig| sig.offset);
    Ok(ReceivedPush {
        sequence,
        deletes,
        sa: sa.map(|payload| payload.body.to_vec()),
        kd: kd.map(|payload| payload.body.to_vec()),
        signature: sig.map(|payload| payload.body.to_vec()),
        covered: chain.octets().get(..end).unwrap_or_default().to_vec(),
        header,
        unpadded_length: u32::try_from(Header::LEN + chain.payload_octets()).unwrap_or(u32::MAX),
    })
}

/// Tells whether payloads of a type have a place in a PUSH.
fn belongs(kind: PayloadType) -> bool {
    [PayloadType::SEQ, PayloadType::DELETE, PayloadType::SA, PayloadType::KEY_DOWNLOAD, PayloadType::SIG]
        .contains(&kind)
}

// REQ GDOI-PL-070 GDOI-NEG-140
fn read_sequence(body: &[u8], rules: FormRules) -> Result<u32, Code> {
    if rules.seq_length_ignored {
        let octets = body.iter().copied().chain([0; 4]).take(4);
        return Ok(octets.fold(0, |number, octet| number << 8 | u32::from(octet)));
    }
    Sequence::decode(body).map(|sequence| sequence.0).map_err(|error| error.code)
}

fn read_delete(body: &[u8], rules: FormRules) -> Result<Delete, Code> {
    let delete = Delete::decode(body).map_err(|error| error.code)?;
    let size = match delete.protocol {
        0 => 16,
        1 | 2 => 4,
        _ => 0,
    };
    // REQ GDOI-PL-073 GDOI-PL-074
    let fits = delete.doi == hallmark_wire::gdoi::DOI && delete.spi_size == size && size != 0;
    if fits || rules.delete_unchecked { Ok(delete) } else { Err(code::PUSH_DELETE) }
}

impl ReceivedPush {
    /// Verifies the signature over the header with the unpadded length, then over the header as it came.
    pub(crate) fn verify(&self, key: &VerifyingKey, hash: HashAlg, bare: bool) -> Result<(), Code> {
        let signature = self.signature.as_deref().ok_or(code::PUSH_SIGNATURE)?;
        let mut lengths = vec![self.unpadded_length];
        if self.header.length != self.unpadded_length {
            lengths.push(self.header.length);
        }
        let fits = lengths.into_iter().any(|length| {
            let covered = Header { length, flags: Flags::ENCRYPTION, ..self.header };
            let digest = push_digest(hash, &covered.encode(), &self.covered);
            key.verify_push(hash, &digest, bare, signature).is_ok()
        });
        if fits { Ok(()) } else { Err(code::PUSH_SIGNATURE) }
    }

    /// Tells whether the signature covers this much and no more; only a faulty member asks.
    pub(crate) fn verifies_over(&self, key: &VerifyingKey, alg: HashAlg, prefix: bool, header: bool) -> bool {
        let Some(signature) = self.signature.as_deref() else { return false };
        let covered = Header { length: self.unpadded_length, flags: Flags::ENCRYPTION, ..self.header }.encode();
        let prefix: &[u8] = if prefix { b"rekey" } else { &[] };
        let header: &[u8] = if header { &covered } else { &[] };
        let digest = hash(alg, &[prefix, header, &self.covered]);
        key.verify_push(alg, &digest, false, signature).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ORDER: &[PayloadType] =
        &[PayloadType::SEQ, PayloadType::DELETE, PayloadType::SA, PayloadType::KEY_DOWNLOAD, PayloadType::SIG];

    fn body(kind: PayloadType) -> Vec<u8> {
        match kind {
            PayloadType::SEQ => vec![0, 0, 0, 1],
            PayloadType::DELETE => hex::decode("0000000201040001000000ff").unwrap(),
            _ => vec![1; 8],
        }
    }

    fn read_kinds(kinds: &[PayloadType], rules: FormRules) -> Result<ReceivedPush, Code> {
        let payloads: Vec<_> = kinds.iter().map(|kind| (*kind, body(*kind))).collect();
        let chain = build_chain(&payloads);
        let header = header([7; 16], chain.first, 0, &Behaviour::conforming());
        read(header, &chain.octets, 16, &Limits::default(), rules)
    }

    #[test]
    fn the_order_of_a_push_is_fixed_and_its_parts_go_together() {
        use PayloadType as P;
        assert!(read_kinds(ORDER, FormRules::default()).is_ok());
        assert!(read_kinds(&[P::SEQ, P::SIG], FormRules::default()).is_ok(), "no effect, but well formed");
        for wrong in [
            [P::DELETE, P::SEQ, P::SA, P::KEY_DOWNLOAD, P::SIG].as_slice(),
            &[P::SEQ, P::SA, P::KEY_DOWNLOAD, P::DELETE, P::SIG],
            &[P::SEQ, P::KEY_DOWNLOAD, P::SA, P::SIG],
            &[P::SEQ, P::SA, P::SIG],
            &[P::SEQ, P::KEY_DOWNLOAD, P::SIG],
            &[P::SEQ, P::SA, P::KEY_DOWNLOAD],
            &[P::SEQ, P::SIG, P::SIG],
            &[P::SEQ, P::SIG, P::NOTIFY],
            &[P::SA, P::KEY_DOWNLOAD, P::SIG],
        ] {
            assert_eq!(read_kinds(wrong, FormRules::default()).err(), Some(code::PUSH_PAYLOADS), "{wrong:?}");
        }
    }

    #[test]
    fn each_rule_of_form_can_be_left_out_by_a_faulty_reader() {
        use PayloadType as P;
        let all = FormRules {
            signature_optional: true,
            payload_after_signature: true,
            parts_unpaired: true,
            delete_unchecked: true,
            ..FormRules::default()
        };
        assert!(read_kinds(&[P::SEQ, P::SA], all).is_ok());
        assert!(read_kinds(&[P::SEQ, P::SIG, P::NOTIFY], all).is_ok());
    }

    #[test]
    fn a_delete_names_doi_protocol_and_size_that_fit() {
        let refused = |text: &str| read_delete(&hex::decode(text).unwrap(), FormRules::default()).err();
        assert_eq!(refused("0000000201040001000000ff"), None);
        for wrong in [
            "0000000101040001000000ff",
            "0000000204040001000000ff",
            "0000000200040001000000ff",
            "0000000201030001000000",
            "00000002c8040001000000ff",
        ] {
            assert_eq!(refused(wrong), Some(code::PUSH_DELETE), "{wrong}");
        }
        assert!(refused("000000020104ffff000000ff").is_some());
        assert!(refused("0000000201040000000000ff").is_some());
    }

    #[test]
    fn more_than_one_block_behind_the_payloads_is_no_padding() {
        let chain = build_chain(&[(PayloadType::SEQ, body(PayloadType::SEQ)), (PayloadType::SIG, vec![0; 4])]);
        let header = header([7; 16], chain.first, 0, &Behaviour::conforming());
        let mut octets = chain.octets;
        let length = octets.len();
        octets.resize(length + 16, 0);
        assert!(read(header, &octets, 16, &Limits::default(), FormRules::default()).is_ok());
        octets.resize(length + 17, 0);
        let refused = read(header, &octets, 16, &Limits::default(), FormRules::default());
        assert_eq!(refused.err(), Some(code::PUSH_TRAILING));
    }

    #[test]
    fn a_built_push_is_the_published_vector() {
        let vector = |name: &str| -> String {
            include_str!("../../../fixtures/vectors/gdoi-appendix-a.txt")
                .lines()
                .find_map(|line| line.strip_prefix(name)?.strip_prefix(" = ").map(str::to_owned))
                .unwrap()
        };
        let octets = |name: &str| hex::decode(vector(name)).unwrap();
        let key = SigningKey::rsa_from_primes(&octets("B.RSA_p"), &octets("B.RSA_q"), &[1, 0, 1]).unwrap();
        let parts = PushParts {
            spi: std::array::from_fn(|index| 0xa0 + index as u8),
            sequence: 1,
            deletes: Vec::new(),
            sa: Some(octets("B.SA")[4..].to_vec()),
            kd: Some(octets("B.KD")[4..].to_vec()),
            cipher: CipherAlg::Aes128,
            iv: &octets("B.KEK_IV"),
            key: &octets("B.KEK_key"),
            signing_key: &key,
            hash: HashAlg::Sha256,
            bare: false,
        };
        let datagram = build(&parts, &Behaviour::conforming(), &mut Rng::from_u64(1)).unwrap();
        assert_eq!(hex::encode(hash(HashAlg::Sha256, &[&datagram])), vector("B.datagram_sha256"));
        let header = Header::decode(&datagram).unwrap();
        let limits = Limits::default();
        let opened =
            open(CipherAlg::Aes128, parts.iv, parts.key, header, &datagram[28..], &limits, FormRules::default());
        assert!(opened.ok().unwrap().verify(&key.public(), HashAlg::Sha256, false).is_ok());
    }
}
