//! Group policy and keys as implementations really send them: which reading fits, and what deviates.

use std::collections::BTreeMap;

use hallmark_core::Limits;
use hallmark_crypto::gdoi::{TekKeyLengths, kek_key_len, tek_key_lengths};
use hallmark_wire::DecodeError;
use hallmark_wire::gdoi::{
    Dialect, GdoiSa, KeyDownload, KeyPacket, SaKek, SaTek, Selector, kd_type, kek_attr, kek_key, sid_key, tek_attr,
    tek_key,
};
use hallmark_wire::isakmp::{IdType, Identification};

use crate::check::Check;
use crate::compat::{Compat, Switch};
use crate::frame::Frame;
use crate::keyring::kek_cipher;

/// Counts the deviations that were met, and knows which are allowed.
#[derive(Default)]
pub(crate) struct Deviations {
    compat: Compat,
    used: BTreeMap<Switch, usize>,
}

impl Deviations {
    pub(crate) const fn new(compat: Compat) -> Self {
        Self { compat, used: BTreeMap::new() }
    }

    pub(crate) fn allows(&self, switch: Switch) -> bool {
        self.compat.allows(switch)
    }

    /// Gives how many messages needed each allowed switch.
    pub(crate) fn into_used(self) -> BTreeMap<Switch, usize> {
        self.used
    }

    /// Notes a deviation: a check that holds and names the switch where that is allowed, a failed one otherwise.
    pub(crate) fn found(&mut self, frame: &mut Frame, name: &'static str, switch: Switch, detail: impl Into<String>) {
        if frame.checks.iter().any(|check| check.switch == Some(switch)) {
            return;
        }
        let check = if self.allows(switch) {
            let count = self.used.entry(switch).or_default();
            *count = count.saturating_add(1);
            Check::ok(name, detail)
        } else {
            Check::failed(name, detail)
        };
        frame.checks.push(Check { switch: Some(switch), ..check });
    }
}

/// Holds the policy of a group and how it had to be read.
#[derive(Clone)]
pub(crate) struct Policy {
    pub(crate) sa: GdoiSa,
    pub(crate) dialect: Dialect,
}

/// Reads an SA payload in the first layout that fits, and judges what it says.
pub(crate) fn read_policy(
    body: &[u8],
    frame: &mut Frame,
    deviations: &mut Deviations,
) -> Result<Policy, (DecodeError, Dialect)> {
    let strict = Dialect::RFC6407;
    let layouts = [
        strict,
        Dialect { sak_reserved_octets: 6, ..strict },
        Dialect { id_length_octets: 2, ..strict },
        Dialect { sak_reserved_octets: 6, id_length_octets: 2, ..strict },
    ];
    let mut first_error = None;
    for mut dialect in layouts {
        let sa = match decode(body, &dialect) {
            Ok(sa) => sa,
            Err(error) => {
                first_error.get_or_insert(error);
                continue;
            }
        };
        let cause = first_error.map(|error| format!("in the standard layout: {error}")).unwrap_or_default();
        if dialect.sak_reserved_octets != strict.sak_reserved_octets {
            deviations.found(frame, "layout", Switch::SakSixReserved, &cause);
        }
        if dialect.id_length_octets != strict.id_length_octets {
            deviations.found(frame, "layout", Switch::SelectorTwoOctetLength, &cause);
        }
        let known_sender = dialect.sak_reserved_octets == 6;
        if addresses_are_reversed(&sa, known_sender, frame, deviations) {
            dialect.sat_addresses_reversed = true;
        }
        let sa = decode(body, &dialect).map_err(|error| (error, dialect))?;
        judge_policy(&sa, frame, deviations);
        return Ok(Policy { sa, dialect });
    }
    match first_error {
        Some(error) => Err((error, strict)),
        None => decode(body, &strict).map(|sa| Policy { sa, dialect: strict }).map_err(|error| (error, strict)),
    }
}

/// Reads the group that a member asks for; tells whether the number is little-endian.
pub(crate) fn group_is_little_endian(id: &Identification, frame: &mut Frame, deviations: &mut Deviations) -> bool {
    let Some(group) = id.group_id() else { return false };
    let swapped = group.swap_bytes();
    // Both readings are legal numbers. Groups have small numbers, so the smaller reading is the likelier one.
    if swapped >= group {
        return false;
    }
    let switch = Switch::KeyIdLittleEndian;
    if deviations.allows(switch) {
        deviations.found(frame, "group id", switch, format!("group {swapped} rather than {group}"));
        return true;
    }
    if swapped <= u32::from(u16::MAX) {
        frame.note(format!("group {group} would be {swapped} with {switch}"));
        frame.suspects.push(switch);
    }
    false
}

/// Judges the keys that a message delivers against the policy that they belong to.
///
/// `protected_by` is the KEK SPI in the header of a PUSH.
pub(crate) fn judge_keys(
    sa: Option<&GdoiSa>,
    download: &KeyDownload,
    protected_by: Option<[u8; 16]>,
    frame: &mut Frame,
    deviations: &mut Deviations,
) {
    let Some(sa) = sa else {
        frame.checks.push(Check::not_checkable("keys", "the policy that they belong to was not captured"));
        return;
    };
    let mut faults = Vec::new();
    if let Some(kek) = sa.kek() {
        faults.extend(kek_fault(kek, download, protected_by, frame, deviations));
    }
    for tek in sa.teks() {
        faults.extend(tek_fault(tek, download, frame, deviations));
    }
    if faults.is_empty() {
        frame.checks.push(Check::ok("keys", format!("{} packets fit the policy", download.packets.len())));
    } else {
        frame.checks.push(Check::failed("keys", faults.join("; ")));
    }
}

/// Judges sender ids; tells whether they are little-endian.
pub(crate) fn sids_are_little_endian(download: &KeyDownload, frame: &mut Frame, deviations: &mut Deviations) -> bool {
    let Some(packet) = download.find(kd_type::SID) else { return false };
    let bits = packet.attributes.uint(sid_key::BITS).filter(|bits| (1..64).contains(bits));
    let Some(limit) = bits.map(|bits| 1_u64 << bits) else {
        frame.checks.push(Check::failed("sender ids", "the number of bits is missing or out of range"));
        return false;
    };
    let values = packet.sid_values(&Dialect::RFC6407);
    let Some(large) = values.iter().find(|value| **value >= limit) else {
        frame.checks.push(Check::ok("sender ids", format!("{values:?}")));
        return false;
    };
    let swapped = packet.sid_values(&Dialect { sid_little_endian: true, ..Dialect::RFC6407 });
    if swapped.iter().any(|value| *value >= limit) {
        frame.checks.push(Check::failed("sender ids", format!("{large} does not fit below {limit}")));
        return false;
    }
    let detail = format!("{large} does not fit below {limit}, {swapped:?} do");
    deviations.found(frame, "sender ids", Switch::SidLittleEndian, detail);
    true
}

fn decode(body: &[u8], dialect: &Dialect) -> Result<GdoiSa, DecodeError> {
    let sa = GdoiSa::decode(body, dialect, &Limits::default())?;
    // Class 0 is no attribute: two reserved octets too many can look like one.
    let strange = sa.kek().and_then(|kek| kek.attributes.iter().position(|attribute| attribute.class == 0));
    match strange {
        Some(at) => {
            let layer = hallmark_wire::Layer::Sak;
            Err(DecodeError::with_code("gdoi.sak.attribute-class", layer, 0, 1, at))
        }
        None => Ok(sa),
    }
}

fn judge_policy(sa: &GdoiSa, frame: &mut Frame, deviations: &mut Deviations) {
    if sa.doi != hallmark_wire::gdoi::DOI || sa.situation != 0 {
        let detail = format!("DOI {} and situation {} instead of 2 and 0", sa.doi, sa.situation);
        frame.checks.push(Check::failed("doi", detail));
    }
    let lifetime = sa.kek().and_then(|kek| kek.attributes.get(kek_attr::KEY_LIFETIME));
    if let Some(lifetime) = lifetime.filter(|lifetime| lifetime.is_basic()) {
        let seconds = lifetime.as_u64().unwrap_or_default();
        deviations.found(frame, "attributes", Switch::KekLifetimeTv, format!("KEK_KEY_LIFETIME {seconds} has 16 bits"));
    }
    let teks = || sa.teks().filter_map(SaTek::ipsec);
    let zero = |class| teks().any(|tek| tek.attributes.uint(class) == Some(0));
    if zero(tek_attr::ADDRESS_PRESERVATION) || zero(tek_attr::SA_DIRECTION) {
        let detail = "Address Preservation or SA Direction is 0, which is reserved";
        deviations.found(frame, "attributes", Switch::AttrZeroDefault, detail);
    }
}

/// Weighs whether the addresses of SA TEK payloads are reversed. A mask decides; an address alone is a likelihood.
fn addresses_are_reversed(sa: &GdoiSa, known_sender: bool, frame: &mut Frame, deviations: &mut Deviations) -> bool {
    let switch = Switch::SatAddressesReversed;
    let teks: Vec<_> = sa.teks().filter_map(SaTek::ipsec).collect();
    for selector in teks.iter().flat_map(|tek| [&tek.src, &tek.dst]) {
        if selector.id_type != IdType::IPV4_SUBNET || selector.subnet() == turned(selector).subnet() {
            continue;
        }
        match (selector.subnet(), turned(selector).subnet()) {
            (None, Some((address, prefix))) => {
                let detail = format!("{} is no subnet, {address}/{prefix} is", hex::encode(&selector.data));
                deviations.found(frame, "addresses", switch, detail);
                return true;
            }
            (Some(_), None) => return false,
            _ => {}
        }
    }
    let multicast = |selector: &Selector| selector.ip().is_some_and(|address| address.is_multicast());
    let likely = teks.iter().find(|tek| !multicast(&tek.dst) && multicast(&turned(&tek.dst)));
    if teks.iter().any(|tek| multicast(&tek.dst)) {
        return false;
    }
    let Some(tek) = likely else { return false };
    let detail = format!("destination {} would be the multicast group {}", tek.dst, turned(&tek.dst));
    // A sender that shows the SAK of that implementation is that implementation.
    if known_sender || deviations.allows(switch) {
        deviations.found(frame, "addresses", switch, detail);
        return true;
    }
    frame.note(format!("{detail} with {switch}"));
    frame.suspects.push(switch);
    false
}

fn turned(selector: &Selector) -> Selector {
    let data = selector.data.chunks(4).flat_map(|address| address.iter().rev().copied()).collect();
    Selector { data, ..selector.clone() }
}

fn kek_fault(
    kek: &SaKek,
    download: &KeyDownload,
    protected_by: Option<[u8; 16]>,
    frame: &mut Frame,
    deviations: &mut Deviations,
) -> Option<String> {
    if protected_by == Some(kek.spi) {
        deviations.found(frame, "policy", Switch::SakInTekPush, "the SAK names the KEK that protects this message");
    }
    let hierarchy = download.find(kd_type::LKH);
    let Some(packet) = download.find(kd_type::KEK) else {
        return hierarchy.is_none().then(|| "no packet holds the KEK".to_owned());
    };
    if packet.spi != kek.spi {
        let detail = format!("SAK names {}, the packet {}", hex::encode(kek.spi), hex::encode(&packet.spi));
        if protected_by.is_some_and(|old| packet.spi == old) {
            deviations.found(frame, "kek spi", Switch::KdOldSpi, detail);
        } else {
            return Some(detail);
        }
    }
    let have = packet.attributes.octets(kek_key::ALGORITHM).map_or(0, <[u8]>::len);
    match kek_cipher(kek) {
        Some(cipher) if hierarchy.is_none() && have != kek_key_len(cipher) => {
            Some(format!("KEK of {have} octets, {cipher} with its IV has {}", kek_key_len(cipher)))
        }
        _ => None,
    }
}

fn tek_fault(tek: &SaTek, download: &KeyDownload, frame: &mut Frame, deviations: &mut Deviations) -> Option<String> {
    let ipsec = tek.ipsec()?;
    let spi = ipsec.spi;
    let Some(packet) = download.tek(spi) else {
        return Some(format!("no packet holds the keys of TEK {spi:08x}"));
    };
    let bits = ipsec.attributes.uint(tek_attr::KEY_LENGTH);
    let auth = ipsec.attributes.uint(tek_attr::AUTH_ALGORITHM);
    let have = key_lengths(packet);
    let Some(need) = tek_key_lengths(tek.protocol_id, ipsec.transform_id, bits, auth) else {
        if bits == Some(0) && tek_key_lengths(tek.protocol_id, ipsec.transform_id, Some(128), auth).is_some() {
            let detail = format!("TEK {spi:08x} has Key Length 0 and a cipher key of {} octets", have.encryption);
            deviations.found(frame, "tek keys", Switch::TekKeyLengthZero, detail);
            return None;
        }
        let transform = ipsec.transform_id;
        return Some(format!(
            "TEK {spi:08x}: transform {transform} with key length {bits:?} and authentication {auth:?} is unknown"
        ));
    };
    (need != have).then(|| {
        let (a, b, c, d) = (have.encryption, have.integrity, need.encryption, need.integrity);
        format!("TEK {spi:08x}: keys of {a} and {b} octets, the transform has {c} and {d}")
    })
}

fn key_lengths(packet: &KeyPacket) -> TekKeyLengths {
    let len = |class| packet.attributes.octets(class).map_or(0, <[u8]>::len);
    TekKeyLengths { encryption: len(tek_key::ALGORITHM), integrity: len(tek_key::INTEGRITY) }
}
