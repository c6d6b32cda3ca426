//! GROUPKEY-PUSH and its acknowledgement.

use hallmark_crypto::gdoi::{AckLength, ack_hash, ack_key, push_digest};
use hallmark_crypto::{HashAlg, KeyKind, Secret, VerifyingKey, cbc_decrypt};
use hallmark_wire::gdoi::{Dialect, KeyDownload, Sequence};
use hallmark_wire::isakmp::{Chain, Flags, Header, PayloadType};

use crate::check::{Check, Verdict};
use crate::compat::Switch;
use crate::frame::{Frame, Kind, Protection};
use crate::keyring::{Kek, Keyring};
use crate::policy::{judge_keys, read_policy, sids_are_little_endian};
use crate::sequence::Judgement;
use crate::session::{World, clear_chain, fill};

/// A check, and the deviation without which it would not hold.
type Verified = (Check, Option<Switch>);

/// Holds one way to read a message.
struct Reading {
    score: u8,
    plain: Vec<u8>,
    verified: Verified,
    origin: String,
}

/// Reads a PUSH.
pub(crate) fn push(world: &mut World<'_>, frame: &mut Frame, header: &Header, body: &[u8]) {
    frame.kind = Kind::Push;
    judge_header(frame, header);
    let spi = header.cookies();
    if !header.flags.contains(Flags::ENCRYPTION) {
        let Some(chain) = clear_chain(frame, header, body, &world.limits) else { return };
        let (check, _) = verify_sig(&world.keyring, None, header, &chain);
        frame.checks.push(check);
        let dialect = read_payloads(world, frame, spi, &chain);
        fill(frame, &chain, Some(&dialect), world.show_keys);
        return;
    }
    let verify = |chain: &Chain<'_>, kek: &Kek| verify_sig(&world.keyring, Some(kek), header, chain);
    let Some((plain, (check, switch))) = open(world, frame, header, body, verify) else {
        if !frame.checks.iter().any(Check::is_failed) {
            frame.checks.push(Check::not_checkable("SIG", "the message could not be opened"));
        }
        return;
    };
    match switch {
        Some(switch) if check.verdict == Verdict::Ok => {
            world.deviations.found(frame, check.name, switch, check.detail);
        }
        _ => frame.checks.push(check),
    }
    let Ok(chain) = Chain::decode(header.next, &plain, &world.limits) else { return };
    let dialect = read_payloads(world, frame, spi, &chain);
    fill(frame, &chain, Some(&dialect), world.show_keys);
}

/// Reads an acknowledgement.
pub(crate) fn ack(world: &mut World<'_>, frame: &mut Frame, header: &Header, body: &[u8]) {
    frame.kind = Kind::PushAck;
    let spi = header.cookies();
    let keks = world.keyring.keks(spi);
    if header.flags.contains(Flags::ENCRYPTION) {
        let verify =
            |chain: &Chain<'_>, kek: &Kek| (verify_ack(&world.keyring, std::slice::from_ref(kek), spi, chain), None);
        let Some((plain, (check, _))) = open(world, frame, header, body, verify) else { return };
        frame.note("an encrypted acknowledgement: no published layout, read as that of RFC 8263");
        frame.checks.push(check);
        if let Ok(chain) = Chain::decode(header.next, &plain, &world.limits) {
            fill(frame, &chain, Some(&Dialect::RFC6407), world.show_keys);
        }
        return;
    }
    let Some(chain) = clear_chain(frame, header, body, &world.limits) else { return };
    frame.checks.push(verify_ack(&world.keyring, &keks, spi, &chain));
    fill(frame, &chain, Some(&Dialect::RFC6407), world.show_keys);
}

/// Decrypts with every KEK that may stand behind the SPI and takes the reading that verifies.
fn open(
    world: &World<'_>,
    frame: &mut Frame,
    header: &Header,
    body: &[u8],
    verify: impl Fn(&Chain<'_>, &Kek) -> Verified,
) -> Option<(Vec<u8>, Verified)> {
    let spi = header.cookies();
    let keks = world.keyring.keks(spi);
    if keks.is_empty() {
        let why = format!("no KEK with SPI {} is known", hex::encode(spi));
        frame.protection = Protection::NotDecrypted(why);
        return None;
    }
    let mut best: Option<Reading> = None;
    for kek in &keks {
        let mut plain = body.to_vec();
        // REQ GDOI-PUSH-009: the downloaded IV starts every message anew.
        if let Err(error) = cbc_decrypt(kek.cipher, kek.key.expose(), &kek.iv, &mut plain) {
            frame.protection = Protection::NotDecrypted(error.to_string());
            frame.fail_to_decode(error.code(), format!("the encrypted part: {error}"));
            return None;
        }
        let Ok(chain) = Chain::decode(header.next, &plain, &world.limits) else { continue };
        let verified = verify(&chain, kek);
        let score = match verified.0.verdict {
            Verdict::Ok => 3,
            Verdict::NotCheckable => 2,
            Verdict::Failed => 1,
        };
        if best.as_ref().is_none_or(|known| score > known.score) {
            let origin = format!("{}, KEK from {}", kek.cipher, kek.origin);
            best = Some(Reading { score, plain, verified, origin });
        }
    }
    let Some(best) = best else {
        let from: Vec<String> = keks.iter().map(|kek| kek.origin.clone()).collect();
        let detail = format!("wrong key: the KEK from {} decrypts it to no chain of payloads", from.join(" and "));
        frame.protection = Protection::NotDecrypted(detail.clone());
        frame.checks.push(Check::failed("decryption", detail));
        return None;
    };
    frame.protection = Protection::Decrypted(best.origin);
    Some((best.plain, best.verified))
}

fn judge_header(frame: &mut Frame, header: &Header) {
    let mut faults = Vec::new();
    if header.flags != Flags::ENCRYPTION {
        faults.push(format!("flags {} instead of 1", header.flags.0));
    }
    if header.message_id != 0 {
        faults.push(format!("message id {:08x} instead of 0", header.message_id));
    }
    if !faults.is_empty() {
        frame.checks.push(Check::failed("header", faults.join(", ")));
    }
}

/// Judges the payloads of a PUSH and learns from them; gives the dialect that they need.
fn read_payloads(world: &mut World<'_>, frame: &mut Frame, spi: [u8; 16], chain: &Chain<'_>) -> Dialect {
    let sequence = chain.find(PayloadType::SEQ).and_then(|seq| Sequence::decode(seq.body).ok());
    match sequence {
        Some(sequence) => judge_sequence(world, frame, spi, sequence.0),
        None => frame.checks.push(Check::failed("sequence", "a PUSH without SEQ")),
    }
    let mut dialect = Dialect::RFC6407;
    let mut sa = None;
    if let Some(payload) = chain.find(PayloadType::SA) {
        match read_policy(payload.body, frame, &mut world.deviations) {
            Ok(policy) => {
                world.learn_ports(&policy.sa);
                (dialect, sa) = (policy.dialect, Some(policy.sa));
            }
            Err((error, _)) => frame.fail_to_decode(error.code, format!("payload SA: {error}")),
        }
    }
    let kd = chain.find(PayloadType::KEY_DOWNLOAD);
    let Some(Ok(download)) = kd.map(|kd| KeyDownload::decode(kd.body, &world.limits)) else { return dialect };
    if download.find(hallmark_wire::gdoi::kd_type::SID).is_some() {
        dialect.sid_little_endian = sids_are_little_endian(&download, frame, &mut world.deviations);
    }
    judge_keys(sa.as_ref(), &download, Some(spi), frame, &mut world.deviations);
    let learned = sa.and_then(|sa| world.keyring.learn(&sa, &download, &format!("PUSH in frame {}", frame.number)));
    if let (Some(new), Some(sequence)) = (learned.filter(|new| *new != spi), sequence) {
        world.sequences.on_new_kek(new, sequence.0);
        frame.note(format!("delivers KEK {}", hex::encode(new)));
    }
    dialect
}

fn judge_sequence(world: &mut World<'_>, frame: &mut Frame, spi: [u8; 16], number: u32) {
    match world.sequences.on_push(spi, number) {
        Judgement::Newer(detail) => frame.checks.push(Check::ok("sequence", detail)),
        Judgement::Late(detail) => world.deviations.found(frame, "sequence", Switch::SeqWindow32, detail),
        Judgement::Continues(detail) => world.deviations.found(frame, "sequence", Switch::SeqContinues, detail),
        Judgement::Stale(detail) => frame.checks.push(Check::failed("sequence", detail)),
    }
}

/// Verifies SIG in every reading that is met in the field and says which one fits.
fn verify_sig(ring: &Keyring, kek: Option<&Kek>, header: &Header, chain: &Chain<'_>) -> Verified {
    const NAME: &str = "SIG";
    let Some(sig) = chain.find(PayloadType::SIG) else {
        return (Check::failed(NAME, "a PUSH without SIG"), None);
    };
    let own = kek.and_then(|kek| kek.public_key.as_ref());
    let keys: Vec<VerifyingKey> = own
        .into_iter()
        .chain(ring.public_keys().filter(|key| Some(*key) != own))
        .filter_map(|der| VerifyingKey::from_spki_der(der).ok())
        .collect();
    let Some(first) = keys.first() else {
        return (Check::not_checkable(NAME, "the public key of the key server is not known"), None);
    };
    let covered = chain.octets().get(..sig.offset).unwrap_or_default();
    let unpadded = Header::LEN.saturating_add(chain.payload_octets());
    let unpadded = u32::try_from(unpadded).unwrap_or(u32::MAX);
    let mut lengths = vec![(unpadded, "without padding")];
    if header.length != unpadded {
        lengths.push((header.length, "with padding"));
    } else {
        lengths = vec![(unpadded, "of the message, which has no padding")];
    }
    let signed_hashes = |key: &VerifyingKey| match (key.kind().fixed_hash(), kek.and_then(|kek| kek.sig_hash)) {
        (Some(hash), _) | (None, Some(hash)) => vec![hash],
        (None, None) => HashAlg::ALL.to_vec(),
    };
    for key in &keys {
        for (length, reading) in &lengths {
            let signed = Header { length: *length, ..*header }.encode();
            for hash in signed_hashes(key) {
                let digest = push_digest(hash, &signed, covered);
                let bares: &[bool] = if key.kind() == KeyKind::Rsa { &[false, true] } else { &[false] };
                for bare in bares {
                    if key.verify_push(hash, &digest, *bare, sig.body).is_ok() {
                        let form = if *bare { "the RSA block holds the bare digest: " } else { "" };
                        let (kind, bits) = (key.kind(), key.bits());
                        let detail = format!("{form}{kind} {bits} {hash}, header with the length {reading}");
                        return (Check::ok(NAME, detail), bare.then_some(Switch::SigBareDigest));
                    }
                }
            }
        }
    }
    (Check::failed(NAME, why_not(first, sig.body)), None)
}

/// Says what a signature that does not verify holds.
fn why_not(key: &VerifyingKey, sig: &[u8]) -> String {
    let (kind, bits) = (key.kind(), key.bits());
    if sig.len() != key.signature_len() {
        return format!("{} octets, {kind} {bits} has {}", sig.len(), key.signature_len());
    }
    match key.open_rsa_block(sig) {
        Ok(block) if block.starts_with(&[0, 1, 0xff]) => {
            let content = block.iter().skip(2).position(|octet| *octet == 0).map_or(0, |at| at.saturating_add(3));
            let content = block.get(content..).unwrap_or_default();
            format!("{kind} {bits}: it signs {}, which is no digest of this message", hex::encode(content))
        }
        _ => format!("{kind} {bits}: the key does not open it, so key or signature is another one"),
    }
}

/// Verifies HASH of an acknowledgement in every reading of L.
fn verify_ack(ring: &Keyring, keks: &[Kek], spi: [u8; 16], chain: &Chain<'_>) -> Check {
    const NAME: &str = "HASH";
    let Some(hash) = chain.iter().next().filter(|first| first.kind == PayloadType::HASH) else {
        return Check::failed(NAME, "the first payload is not HASH");
    };
    if keks.is_empty() {
        return Check::not_checkable(NAME, format!("no KEK with SPI {} is known", hex::encode(spi)));
    }
    let alg = match hash.body.len() {
        32 => HashAlg::Sha256,
        64 => HashAlg::Sha512,
        other => return Check::failed(NAME, format!("{other} octets, an acknowledgement has 32 or 64")),
    };
    for kek in keks {
        let leaves = ring.leaf_keys(kek.cipher);
        let bases = std::iter::once((&kek.key, "KEK")).chain(leaves.iter().map(|leaf| (leaf, "leaf key")));
        for (base, which) in bases {
            let base = Secret::expose(base);
            for length in AckLength::ALL {
                let derived = ack_key(alg, base, &spi, length);
                let computed = ack_hash(alg, derived.expose(), chain.after_first());
                if hallmark_crypto::ct_eq(&computed, hash.body) {
                    let reading = match length {
                        AckLength::PrfBlock => "the prf block",
                        AckLength::PrfOutput => "the prf output",
                        AckLength::BaseKey => "the base key",
                    };
                    let bits = length.bits(alg, base.len());
                    return Check::ok(NAME, format!("{alg} from the {which}, L = {bits} bits, {reading}"));
                }
            }
        }
    }
    Check::failed(NAME, format!("no reading of L verifies it with {alg} and the keys of this SPI"))
}
