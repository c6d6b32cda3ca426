//! How a group member reads KD payloads, and the Rekey SA that comes out of them.

use std::collections::{BTreeMap, VecDeque};
use std::net::IpAddr;

use hallmark_core::{Code, Instant, Now};
use hallmark_crypto::gdoi::{kek_key_len, kek_key_split};
use hallmark_crypto::{CipherAlg, HashAlg, Secret, VerifyingKey};
use hallmark_wire::gdoi::{KeyDownload, KeyPacket, kd_type, kek_key, lkh_key, sid_key, tek_key};
use hallmark_wire::isakmp::AttributeValue;

use super::policy::{KekPolicy, Policy, Rules, TekPolicy};
use crate::behaviour::Defect;
use crate::code;
use crate::config::Compat;
use crate::lkh::{Path, UpdateRules};

/// Is the Rekey SA of a group member.
#[derive(Clone)]
pub(super) struct RekeySa {
    pub(super) spi: [u8; 16],
    pub(super) cipher: CipherAlg,
    pub(super) iv_and_key: Secret,
    pub(super) hash: HashAlg,
    /// The key that verifies signatures; without it no PUSH is ever accepted.
    pub(super) verifying: Option<VerifyingKey>,
    /// A PUSH must have a number above this one.
    pub(super) sequence: u32,
    /// Numbers at and below `sequence` that were seen, for the one implementation that has a window.
    pub(super) window: u32,
    pub(super) expires: Option<Instant>,
    pub(super) ack: Option<u16>,
    pub(super) source: Option<IpAddr>,
    pub(super) destination: Option<IpAddr>,
    pub(super) destination_port: u16,
    pub(super) lkh: Option<Path>,
    /// For a replaced KEK: when it is forgotten.
    pub(super) forget: Instant,
}

impl RekeySa {
    pub(super) fn new(policy: &KekPolicy, keys: KekKeys, sequence: u32, now: Instant) -> Self {
        Self {
            spi: policy.spi,
            cipher: policy.cipher,
            iv_and_key: keys.iv_and_key,
            hash: policy.hash,
            verifying: keys.verifying,
            sequence,
            window: u32::MAX,
            expires: policy.lifetime.map(|lifetime| now + lifetime),
            ack: policy.ack,
            source: policy.source,
            destination: policy.destination,
            destination_port: policy.destination_port,
            lkh: keys.path,
            forget: Instant::FAR_FUTURE,
        }
    }

    /// Splits IV and key.
    pub(super) fn iv_and_key(&self) -> (&[u8], &[u8]) {
        self.iv_and_key.expose().split_at_checked(self.cipher.block_len()).unwrap_or_default()
    }

    /// Tells whether a sequence number may be accepted.
    // REQ GDOI-PUSH-037 GDOI-PUSH-038 GDOI-PUSH-039 GDOI-PULL-057 GDOI-NEG-145
    pub(super) fn takes(&self, sequence: u32, compat: Compat, rules: SequenceRules) -> bool {
        if rules.off {
            return true;
        }
        if rules.wraps {
            return sequence.wrapping_sub(self.sequence).wrapping_sub(1) < u32::MAX / 2;
        }
        if sequence > self.sequence || (rules.equal && sequence == self.sequence) {
            return true;
        }
        let behind = self.sequence - sequence;
        if rules.window && behind > 0 && behind < 32 {
            return true;
        }
        compat.has(Compat::SEQ_WINDOW_32) && sequence != 0 && behind < 32 && self.window >> behind & 1 == 0
    }

    /// Takes note of an accepted sequence number.
    pub(super) fn accept(&mut self, sequence: u32) {
        if sequence > self.sequence {
            let ahead = sequence - self.sequence;
            self.window = self.window.checked_shl(ahead).unwrap_or(0) | 1;
            self.sequence = sequence;
        } else if let Some(bit) = 1_u32.checked_shl(self.sequence - sequence) {
            self.window |= bit;
        }
    }
}

/// Says how a faulty member judges sequence numbers.
#[derive(Clone, Copy, Default)]
pub(super) struct SequenceRules {
    pub(super) off: bool,
    pub(super) equal: bool,
    pub(super) window: bool,
    pub(super) wraps: bool,
}

/// Is what a KEK or LKH packet brings.
#[derive(Clone)]
pub(super) struct KekKeys {
    pub(super) iv_and_key: Secret,
    pub(super) verifying: Option<VerifyingKey>,
    pub(super) path: Option<Path>,
}

/// Is what a KD payload brings.
pub(super) struct Keys {
    pub(super) kek: Option<KekKeys>,
    pub(super) teks: BTreeMap<u32, (Secret, Secret)>,
    pub(super) sids: Option<Sids>,
}

/// Is the set of sender ids of a member.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Sids {
    pub(super) bits: u16,
    pub(super) values: Vec<u32>,
}

/// Reads the body of a KD payload against the policy that it belongs to. `current` is the Rekey SA that protects a
/// PUSH.
pub(super) fn read_kd(
    body: &[u8],
    policy: &Policy,
    current: Option<&RekeySa>,
    now: Now,
    rules: Rules<'_>,
) -> Result<Keys, Code> {
    let kd = KeyDownload::decode(body, rules.limits).map_err(|error| error.code)?;
    let mut keys = Keys { kek: None, teks: BTreeMap::new(), sids: None };
    let mut position = policy.teks.iter();
    for packet in &kd.packets {
        match packet.kd_type {
            kd_type::TEK => read_tek_packet(packet, policy, &mut position, &mut keys, rules)?,
            kd_type::KEK | kd_type::LKH => {
                let kek = policy.kek.as_ref().ok_or(code::KD_KEK_SPI)?;
                // REQ GDOI-NEG-112 GDOI-NEG-113
                if keys.kek.is_some() {
                    return Err(code::KD_KEK);
                }
                keys.kek = Some(read_kek_packet(packet, kek, current, now, rules)?);
            }
            // REQ GDOI-NEG-169
            kd_type::SID if rules.pull || rules.has(Defect::GmSidFromPush) => {
                keys.sids = Some(read_sid_packet(packet, rules)?);
            }
            kd_type::SID => return Err(code::KD_SID_PUSH),
            // REQ GDOI-NEG-111
            _ => return Err(code::KD_TYPE),
        }
    }
    // REQ GDOI-PUSH-024 GDOI-NEG-114 GDOI-NEG-163
    if policy.kek.is_some() && keys.kek.is_none() {
        return Err(code::KD_KEK);
    }
    // REQ GDOI-NEG-118 GDOI-NEG-166
    let missing = policy.teks.iter().any(|tek| !keys.teks.contains_key(&tek.spi));
    if missing && !rules.has(Defect::GmPartialInstall) {
        return Err(code::SA_KEY_MISSING);
    }
    Ok(keys)
}

fn read_tek_packet<'p>(
    packet: &KeyPacket,
    policy: &'p Policy,
    position: &mut impl Iterator<Item = &'p TekPolicy>,
    keys: &mut Keys,
    rules: Rules<'_>,
) -> Result<(), Code> {
    // REQ GDOI-NEG-109
    let spi = u32::from_be_bytes(packet.spi.as_slice().try_into().map_err(|_| code::KD_TEK_SPI)?);
    // REQ GDOI-PULL-054 GDOI-NEG-110: matched by SPI, not by position.
    let by_spi = policy.teks.iter().find(|tek| tek.spi == spi);
    let tek = if rules.has(Defect::GmKeysByPosition) { position.next() } else { by_spi };
    let tek = tek.ok_or(code::KD_TEK_SPI)?;
    let (mut encryption, mut integrity) = (None, None);
    for attribute in packet.attributes.iter() {
        let place = match attribute.class {
            tek_key::ALGORITHM => &mut encryption,
            tek_key::INTEGRITY => &mut integrity,
            // REQ GDOI-NEG-121
            _ if rules.ignores_unknown() => continue,
            _ => return Err(code::KD_ATTRIBUTE),
        };
        let AttributeValue::Variable(octets) = &attribute.value else { return Err(code::KD_KEY) };
        // REQ GDOI-NEG-119
        if place.replace(Secret::new(octets.clone())).is_some() {
            return Err(code::KD_REPEATED);
        }
    }
    let (need_encryption, need_integrity) = tek.transform.key_lengths();
    let length = |key: &Option<Secret>| key.as_ref().map_or(0, Secret::len);
    // REQ GDOI-PL-062 GDOI-PL-064 GDOI-NEG-119 GDOI-NEG-120
    if length(&encryption) != need_encryption && !rules.has(Defect::GmKeyLengthUnchecked) {
        return Err(code::KD_KEY);
    }
    let optional = integrity.is_none() && rules.has(Defect::GmIntegrityOptional);
    if length(&integrity) != need_integrity && !optional && !rules.has(Defect::GmKeyLengthUnchecked) {
        return Err(code::KD_KEY);
    }
    let empty = || Secret::new(Vec::new());
    let pair = (encryption.unwrap_or_else(empty), integrity.unwrap_or_else(empty));
    if keys.teks.insert(tek.spi, pair).is_some() {
        return Err(code::KD_REPEATED);
    }
    Ok(())
}

fn read_kek_packet(
    packet: &KeyPacket,
    policy: &KekPolicy,
    current: Option<&RekeySa>,
    now: Now,
    rules: Rules<'_>,
) -> Result<KekKeys, Code> {
    // REQ GDOI-PL-059 GDOI-NEG-164
    let old = rules.compat.has(Compat::KD_OLD_SPI) && current.is_some_and(|current| packet.spi == current.spi);
    if packet.spi != policy.spi && !old && !rules.has(Defect::GmKekSpiUnchecked) {
        return Err(code::KD_KEK_SPI);
    }
    let lkh = packet.kd_type == kd_type::LKH;
    let (mut kek, mut signature, mut download, mut updates) = (None, None, None, Vec::new());
    for attribute in packet.attributes.iter() {
        let AttributeValue::Variable(octets) = &attribute.value else { return Err(code::KD_ATTRIBUTE) };
        let octets = octets.as_slice();
        let place = match (lkh, attribute.class) {
            (false, kek_key::ALGORITHM) => &mut kek,
            (false, kek_key::SIGNATURE) | (true, lkh_key::SIGNATURE) => &mut signature,
            (true, lkh_key::DOWNLOAD) => &mut download,
            (true, lkh_key::UPDATE) => {
                updates.push(octets);
                continue;
            }
            _ if rules.ignores_unknown() => continue,
            _ => return Err(code::KD_ATTRIBUTE),
        };
        // REQ GDOI-NEG-113
        if place.replace(octets).is_some() && !(lkh && rules.has(Defect::GmLkhRepeatsTaken)) {
            return Err(code::KD_REPEATED);
        }
    }
    let path = if lkh { Some(read_lkh(download, &updates, policy, current, now, rules)?) } else { None };
    let iv_and_key = match (&path, kek) {
        (Some(path), _) if rules.has(Defect::GmLkhTakesLeaf) => path.leaf().cloned().ok_or(code::KD_LKH)?,
        (Some(path), _) => path.kek().cloned().ok_or(code::KD_LKH)?,
        (None, Some(octets)) => {
            let mut octets = octets.to_vec();
            if rules.has(Defect::GmKekLengthUnchecked) {
                octets.resize(kek_key_len(policy.cipher), 0);
            }
            Secret::new(octets)
        }
        (None, None) => return Err(code::KD_KEK),
    };
    // REQ GDOI-PL-068 GDOI-NEG-115
    if iv_and_key.len() != kek_key_len(policy.cipher) || kek_key_split(policy.cipher, iv_and_key.expose()).is_err() {
        return Err(code::KD_KEK);
    }
    let verifying = match signature {
        Some(octets) => Some(read_signature_key(octets, policy)?),
        // A new KEK without a new key goes on with the one that members have.
        None => current.and_then(|current| current.verifying.clone()),
    };
    Ok(KekKeys { iv_and_key, verifying, path })
}

// REQ GDOI-NEG-116
fn read_signature_key(octets: &[u8], policy: &KekPolicy) -> Result<VerifyingKey, Code> {
    let key = VerifyingKey::from_spki_der(octets).map_err(|_| code::KD_SIG_KEY)?;
    let fits = key.kind() == policy.kind && policy.key_bits.is_none_or(|bits| bits == key.bits() as u64);
    if fits { Ok(key) } else { Err(code::KD_SIG_KEY) }
}

fn read_lkh(
    download: Option<&[u8]>,
    updates: &[&[u8]],
    policy: &KekPolicy,
    current: Option<&RekeySa>,
    now: Now,
    rules: Rules<'_>,
) -> Result<Path, Code> {
    if let Some(download) = download {
        // REQ GDOI-NEG-170
        if !rules.pull && !rules.has(Defect::GmLkhDownloadInPushAccepted) {
            return Err(code::KD_LKH_PUSH);
        }
        return Path::from_download(download, policy.cipher);
    }
    let held = current.and_then(|current| current.lkh.as_ref()).ok_or(code::KD_LKH)?;
    let how = UpdateRules {
        first_array_only: rules.has(Defect::GmLkhFirstArrayOnly),
        forget_inner_keys: rules.has(Defect::GmLkhInnerKeysForgotten),
        any_version: rules.has(Defect::GmLkhVersionIgnored),
        any_key_type: rules.has(Defect::GmLkhKeyTypeIgnored),
        any_age: rules.has(Defect::GmLkhExpiryIgnored),
        any_handle: rules.has(Defect::GmLkhHandleIgnored),
    };
    // REQ GDOI-LKH-023: no array fits, so this member is excluded.
    held.update(updates, now.wall, how)?.ok_or(code::KD_LKH)
}

// REQ GDOI-SID-015 GDOI-NEG-122 GDOI-NEG-123
fn read_sid_packet(packet: &KeyPacket, rules: Rules<'_>) -> Result<Sids, Code> {
    if packet.attributes.iter().any(|attribute| !matches!(attribute.class, sid_key::BITS | sid_key::VALUE)) {
        return Err(code::KD_ATTRIBUTE);
    }
    if rules.has(Defect::GmSidPacketUnchecked) {
        return Ok(Sids { bits: 8, values: vec![0] });
    }
    let bits = packet.attributes.uint(sid_key::BITS).and_then(|bits| u16::try_from(bits).ok()).ok_or(code::KD_SID)?;
    let values = packet.sid_values(&rules.dialect());
    let announced = packet.attributes.all(sid_key::VALUE).count();
    let fits = |value: &u64| value.checked_shr(u32::from(bits)).unwrap_or(0) == 0;
    if !(1..=32).contains(&bits) || values.is_empty() || values.len() != announced || !values.iter().all(fits) {
        return Err(code::KD_SID);
    }
    let values = values.into_iter().map(|value| u32::try_from(value).map_err(|_| code::KD_SID));
    Ok(Sids { bits, values: values.collect::<Result<_, _>>()? })
}

/// Remembers digests of datagrams that were processed, the newest first.
#[derive(Clone, Debug, Default)]
pub(super) struct Recent {
    digests: VecDeque<Vec<u8>>,
}

impl Recent {
    /// Gives the place of a datagram: 0 for the latest one.
    pub(super) fn place(&self, datagram: &[u8]) -> Option<usize> {
        if self.digests.is_empty() {
            return None;
        }
        let digest = hallmark_crypto::hash(HashAlg::Sha256, &[datagram]);
        self.digests.iter().position(|known| *known == digest)
    }

    pub(super) fn remember(&mut self, datagram: &[u8]) {
        self.digests.push_front(hallmark_crypto::hash(HashAlg::Sha256, &[datagram]));
        self.digests.truncate(16);
    }
}
