//! GROUPKEY-PUSH as it reaches a group member: opened, measured, not judged.

use hallmark_core::{Datagram, Instant};
use hallmark_crypto::gdoi::{kek_key_split, lkh_unwrap, lkh_wrapped_len, push_digest};
use hallmark_crypto::{HashAlg, VerifyingKey, cbc_decrypt};
use hallmark_wire::gdoi::{GdoiSa, KeyDownload, LkhKey, LkhUpdate, SaKek, Sequence, kd_type, lkh_key};
use hallmark_wire::isakmp::{Delete, Header, PayloadType};

use super::ProbeGm;
use crate::group::{Kek, Tek};
use crate::seen::{Seen, limits};
use crate::step::Step;
use crate::world::World;

/// How the signature of a PUSH verifies.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum SigReading {
    /// Over the header with the unpadded length, with DigestInfo (RSA) or as r and s (ECDSA). Also when there is no
    /// padding, so that both lengths are the same.
    Standard,
    /// Over the header with the length that is on the wire.
    WireLength,
    /// RSA over the bare digest without DigestInfo, unpadded length.
    BareDigest,
    /// RSA over the bare digest without DigestInfo, length on the wire.
    BareDigestWireLength,
    /// With another hash than the one announced; the standard coverage.
    OtherHash,
    /// In none of these ways.
    Invalid,
    /// There is no SIG payload.
    Missing,
    /// The tester never got a public key.
    NoKey,
}

impl SigReading {
    /// Tells whether the signature is one in any reading.
    #[must_use]
    pub const fn verifies(self) -> bool {
        !matches!(self, Self::Invalid | Self::Missing | Self::NoKey)
    }
}

/// A rule that a PUSH does not keep.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Finding {
    /// The requirement.
    pub requirement: &'static str,
    /// What is different.
    pub what: String,
}

/// One PUSH message.
#[derive(Clone, Debug)]
pub struct Push {
    /// When it arrived.
    pub at: Instant,
    /// As it arrived.
    pub datagram: Datagram,
    /// Its header.
    pub header: Header,
    /// Its cookie pair.
    pub kek_spi: [u8; 16],
    /// Whether the tester holds the KEK of that cookie pair.
    pub known_kek: bool,
    /// Its sequence number.
    pub seq: Option<u32>,
    /// The last sequence number that had been accepted under that KEK when it came.
    pub last_seq: u32,
    /// The types of its payloads in order.
    pub kinds: Vec<PayloadType>,
    /// Its SA payload.
    pub sa: Option<GdoiSa>,
    /// Its KD payload.
    pub kd: Option<KeyDownload>,
    /// Its Delete payloads.
    pub deletes: Vec<Delete>,
    /// The Rekey SA that it brings.
    pub kek: Option<Kek>,
    /// The keys of the hierarchy that its update arrays gave the tester.
    pub lkh_keys: Vec<LkhKey>,
    /// The Data-Security SAs that it brings.
    pub teks: Vec<Tek>,
    /// How its signature verifies.
    pub sig: SigReading,
    /// What follows the last payload.
    pub padding: Vec<u8>,
    /// The rules of the standard that it does not keep. Cases judge.
    pub findings: Vec<Finding>,
    /// Everything else about it.
    pub seen: Seen,
}

impl Push {
    /// Tells whether a group member must accept it: known KEK, readable, signed, sequence greater than the last.
    #[must_use]
    pub fn is_acceptable(&self) -> bool {
        self.known_kek
            && self.seen.flaw.is_none()
            && self.sig.verifies()
            && self.seq.is_some_and(|seq| seq > self.last_seq)
    }

    /// Finds what it does not keep of one requirement.
    #[must_use]
    pub fn finding(&self, requirement: &str) -> Option<&Finding> {
        self.findings.iter().find(|finding| finding.requirement == requirement)
    }
}

impl ProbeGm {
    /// Waits for the next PUSH that is not an identical copy of an earlier one; one that came while something else was
    /// awaited is given first. Acceptable ones have been taken into use (keys and sequence number) when this returns.
    pub fn await_push(&mut self, world: &mut dyn World, deadline: Instant) -> Option<Push> {
        loop {
            if let Some(push) = self.pushes.pop_front() {
                return Some(push);
            }
            self.receive(world, deadline)?;
        }
    }

    /// Reads a PUSH that another member received with the keys of this one, as whoever listens on the wire can.
    #[must_use]
    pub fn overhear(&self, push: &Push) -> Push {
        let mut seen = push.seen.clone();
        self.open_push(&mut seen);
        self.read_push(&seen)
    }

    /// Gives every PUSH datagram received so far, identical copies included.
    pub fn push_datagrams(&self) -> impl Iterator<Item = &Seen> {
        self.seen(Step::Push)
    }

    /// Gives the Rekey SA with that SPI.
    #[must_use]
    pub fn kek(&self, spi: &[u8; 16]) -> Option<&Kek> {
        self.keks.iter().rev().find(|kek| kek.spi == *spi)
    }

    /// Gives the newest Rekey SA.
    #[must_use]
    pub fn current_kek(&self) -> Option<&Kek> {
        self.keks.last()
    }

    pub(super) fn open_push(&self, seen: &mut Seen) {
        seen.step = Step::Push;
        let Some(kek) = self.kek(&seen.header.cookies()) else {
            seen.flaw = Some("no such KEK".to_owned());
            return;
        };
        if !seen.protected {
            return;
        }
        let mut plain = seen.body_octets().to_vec();
        match cbc_decrypt(kek.cipher, kek.key.expose(), &kek.iv, &mut plain) {
            Ok(()) => seen.open(plain),
            Err(error) => seen.flaw = Some(error.to_string()),
        }
    }

    /// Measures an opened PUSH.
    pub(super) fn read_push(&self, seen: &Seen) -> Push {
        let kek_spi = seen.header.cookies();
        let kek = self.kek(&kek_spi);
        let sa = seen.body(PayloadType::SA).and_then(|body| GdoiSa::decode(body, &self.script.dialect, &limits()).ok());
        let kd = seen.body(PayloadType::KEY_DOWNLOAD).and_then(|body| KeyDownload::decode(body, &limits()).ok());
        let (mut new_kek, mut teks, mut lkh_keys) = (None, Vec::new(), Vec::new());
        if let (Some(sa), Some(kd)) = (&sa, &kd) {
            teks = Tek::from_policy(sa, kd);
            new_kek = sa.kek().and_then(|sak| {
                Kek::from_policy(sak, kd).ok().or_else(|| {
                    let (new, keys) = self.unwrap_lkh(kek?, sak, kd)?;
                    lkh_keys = keys;
                    Some(new)
                })
            });
            // The public key is sent once; a later KEK goes on with it.
            if let (Some(new), Some(old)) = (&mut new_kek, kek) {
                new.verifying = new.verifying.clone().or_else(|| old.verifying.clone());
                new.leaf = new.leaf.clone().or_else(|| old.leaf.clone());
            }
        }
        let mut push = Push {
            at: seen.at,
            datagram: seen.datagram.clone(),
            header: seen.header,
            kek_spi,
            known_kek: kek.is_some(),
            seq: seen.body(PayloadType::SEQ).and_then(|body| Sequence::decode(body).ok()).map(|seq| seq.0),
            last_seq: kek.map_or(0, |kek| kek.seq),
            kinds: seen.kinds(),
            sa,
            kd,
            deletes: seen.deletes(),
            kek: new_kek,
            lkh_keys,
            teks,
            sig: kek.map_or(SigReading::NoKey, |kek| read_signature(kek, seen)),
            padding: seen.padding.clone(),
            findings: Vec::new(),
            seen: seen.clone(),
        };
        push.findings = findings(&push, kek);
        push
    }

    /// Takes keys and sequence number of an acceptable PUSH into use.
    pub(super) fn accept(&mut self, world: &mut dyn World, push: &Push) {
        if let Some(kek) = self.keks.iter_mut().rev().find(|kek| kek.spi == push.kek_spi) {
            kek.seq = push.seq.unwrap_or(kek.seq);
            // The latest SAK says whether ACKs are wanted, also for the PUSH that brings it.
            if let Some(new) = &push.kek {
                kek.ack = new.ack;
            }
        }
        for tek in &push.teks {
            world.keys(tek.record());
            self.teks.retain(|held| (held.protocol_id, held.spi) != (tek.protocol_id, tek.spi));
            self.teks.push(tek.clone());
        }
        if let Some(array) = self.registration.as_mut().and_then(|registration| registration.lkh.as_mut()) {
            for new in &push.lkh_keys {
                array.keys.iter_mut().filter(|held| held.id == new.id).for_each(|held| held.clone_from(new));
            }
        }
        if let Some(kek) = push.kek.as_ref().filter(|kek| kek.spi != push.kek_spi) {
            world.keys(kek.record());
            self.keks.retain(|held| held.spi != kek.spi);
            self.keks.push(kek.clone());
        }
    }

    /// Follows the LKH update arrays of a PUSH from a key that the tester holds up to the new group KEK.
    fn unwrap_lkh(&self, old: &Kek, sak: &SaKek, kd: &KeyDownload) -> Option<(Kek, Vec<LkhKey>)> {
        let held = self.registration.as_ref()?.lkh.as_ref()?;
        let len = old.cipher.block_len() + old.cipher.key_len();
        let packet = kd.packets.iter().find(|p| p.kd_type == kd_type::LKH && p.spi == sak.spi)?;
        for array in packet.attributes.all(lkh_key::UPDATE).filter_map(|attribute| attribute.octets()) {
            let Ok(update) = LkhUpdate::decode(array, lkh_wrapped_len(old.cipher)) else { continue };
            let fits = |key: &&LkhKey| key.id == update.wrapper_id && key.handle == update.wrapper_handle;
            let Some(wrapper) = held.keys.iter().find(fits) else { continue };
            let mut wrapping = wrapper.data.clone();
            let mut keys = Vec::new();
            for key in &update.keys {
                wrapping = lkh_unwrap(old.cipher, &wrapping, &key.data).ok()?;
                // AES-192 key data is padded to whole blocks when it is wrapped.
                wrapping.truncate(len);
                keys.push(LkhKey { data: wrapping.clone(), ..key.clone() });
            }
            let (iv, key) = kek_key_split(old.cipher, &wrapping).ok()?;
            return Some((Kek { spi: sak.spi, iv, key, seq: 0, ..old.clone() }, keys));
        }
        None
    }
}

fn read_signature(kek: &Kek, seen: &Seen) -> SigReading {
    let Some(signature) = seen.body(PayloadType::SIG) else { return SigReading::Missing };
    let Some(key) = &kek.verifying else { return SigReading::NoKey };
    let covered = seen.before(PayloadType::SIG);
    let unpadded = u32::try_from(Header::LEN + seen.payload_octets()).unwrap_or(u32::MAX);
    let verifies = |key: &VerifyingKey, alg: HashAlg, length: u32, bare: bool| {
        let header = Header { length, ..seen.header };
        let digest = push_digest(alg, &header.encode(), &covered);
        key.verify_push(alg, &digest, bare, signature).is_ok()
    };
    let wire = seen.header.length;
    let readings = [
        (SigReading::Standard, kek.sig_hash, unpadded, false),
        (SigReading::WireLength, kek.sig_hash, wire, false),
        (SigReading::BareDigest, kek.sig_hash, unpadded, true),
        (SigReading::BareDigestWireLength, kek.sig_hash, wire, true),
    ];
    let others = HashAlg::ALL.map(|alg| (SigReading::OtherHash, alg, unpadded, false));
    readings
        .into_iter()
        .chain(others)
        .find(|&(_, alg, length, bare)| verifies(key, alg, length, bare))
        .map_or(SigReading::Invalid, |(reading, ..)| reading)
}

/// Compares a PUSH with the rules that can be read off a single message.
fn findings(push: &Push, kek: Option<&Kek>) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut rule = |kept: bool, requirement: &'static str, what: String| {
        if !kept {
            findings.push(Finding { requirement, what });
        }
    };
    let header = &push.header;
    rule(header.flags.0 == 1, "GDOI-PUSH-001", format!("the flags are {:#04x}", header.flags.0));
    rule(header.message_id == 0, "GDOI-PUSH-002", format!("the message id is {:#010x}", header.message_id));
    let shape = header.exchange.0 == 33 && header.version == 0x10 && header.next == PayloadType::SEQ;
    let what = format!("version {:#04x}, next payload {:?}", header.version, header.next);
    rule(shape, "GDOI-PUSH-003", what);
    rule(push.known_kek, "GDOI-PUSH-004", "the cookies are not the SPI of a KEK that was handed out".to_owned());
    let size = push.seen.octets().len();
    rule(header.length as usize == size, "GDOI-PUSH-005", format!("length {} in {size} octets", header.length));
    let Some(kek) = kek else { return findings };
    rule(push.seen.flaw.is_none(), "GDOI-PUSH-008", format!("it does not open: {:?}", push.seen.flaw));
    if push.seen.flaw.is_some() {
        return findings;
    }
    let source = kek.src.as_ref().is_none_or(|src| {
        src.ip().is_none_or(|ip| ip == push.datagram.src.ip()) && matches_port(src.port, push.datagram.src.port())
    });
    let destination = kek.dst.as_ref().is_none_or(|dst| {
        dst.ip().is_none_or(|ip| ip == push.datagram.dst.ip()) && matches_port(dst.port, push.datagram.dst.port())
    });
    rule(source && destination, "GDOI-PUSH-006", format!("{:?} is not what the SAK announced", push.datagram));
    rule(in_order(&push.kinds), "GDOI-PUSH-007", format!("the payloads are {:?}", push.kinds));
    let zero = push.padding.iter().all(|&octet| octet == 0) && push.padding.len() < kek.cipher.block_len();
    rule(zero, "GDOI-PUSH-010", format!("{} octets of padding, or not all zero", push.padding.len()));
    let signed = !matches!(push.sig, SigReading::Invalid | SigReading::Missing);
    rule(signed, "GDOI-PUSH-011", format!("the signature reads as {:?}", push.sig));
    let unpadded = !matches!(push.sig, SigReading::WireLength | SigReading::BareDigestWireLength);
    rule(unpadded, "GDOI-PUSH-012", "the signed header has the length with padding".to_owned());
    let encoded = !matches!(push.sig, SigReading::BareDigest | SigReading::BareDigestWireLength);
    rule(encoded, "GDOI-PUSH-013", "the RSA block has no DigestInfo".to_owned());
    rule(push.sig != SigReading::OtherHash, "GDOI-PUSH-014", "another hash than announced".to_owned());
    rule(push.sig != SigReading::NoKey, "GDOI-PUSH-015", "no public key was handed out".to_owned());
    if let Some(sak) = push.sa.as_ref().and_then(GdoiSa::kek) {
        let packet = |kind| push.kd.iter().flat_map(|kd| &kd.packets).any(|p| p.kd_type == kind && p.spi == sak.spi);
        let carried = packet(kd_type::KEK) || packet(kd_type::LKH);
        rule(carried, "GDOI-PUSH-024", "the SAK has no key packet with its SPI".to_owned());
    }
    let missing: Vec<u32> = push
        .sa
        .iter()
        .flat_map(GdoiSa::teks)
        .filter_map(|sat| sat.ipsec())
        .map(|tek| tek.spi)
        .filter(|&spi| push.kd.as_ref().is_none_or(|kd| kd.tek(spi).is_none()))
        .collect();
    rule(missing.is_empty(), "GDOI-PUSH-025", format!("no TEK packet for {missing:08x?}"));
    let sid = push.kd.as_ref().is_some_and(|kd| kd.find(kd_type::SID).is_some());
    rule(!sid, "GDOI-PUSH-030", "it hands out sender ids".to_owned());
    findings
}

const fn matches_port(announced: u16, used: u16) -> bool {
    announced == 0 || announced == used
}

/// Tells whether the payloads are SEQ, any D, SA, KD, SIG or SEQ, some D, SIG.
fn in_order(kinds: &[PayloadType]) -> bool {
    let mut rest = kinds;
    let mut take = |kind: PayloadType| match rest.split_first() {
        Some((&first, after)) if first == kind => {
            rest = after;
            true
        }
        _ => false,
    };
    let mut kept = take(PayloadType::SEQ);
    let mut deletes = 0_usize;
    while take(PayloadType::DELETE) {
        deletes += 1;
    }
    let policy = take(PayloadType::SA);
    if policy {
        kept &= take(PayloadType::KEY_DOWNLOAD);
    }
    kept &= take(PayloadType::SIG);
    kept && (policy || deletes > 0) && rest.is_empty()
}
