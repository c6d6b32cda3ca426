//! How a group member reads and judges SA payloads.

use std::net::IpAddr;

use hallmark_core::{Code, Duration, Limits};
use hallmark_crypto::{CipherAlg, HashAlg, KeyKind};
use hallmark_wire::gdoi::{
    DOI, DataPolicy, Dialect, Gap, GdoiSa, SaKek, SaTek, Selector, TekBody, gap_attr, kek_attr, tek_attr,
};
use hallmark_wire::isakmp::{Attribute, AttributeValue, Attributes, Chain, PayloadType, build_chain};

use super::data::{DataRules, Method};
use crate::behaviour::{Behaviour, Defect};
use crate::code;
use crate::config::{Compat, DataTransform, EncapsulationMode, MembershipConfig, SaDirection};
use crate::data::Entry;
use crate::sadb::{AddressPreservation, AddressRange, TrafficSelector};

/// Is the default lifetime of RFC 2407 for a policy without one.
const DEFAULT_LIFETIME: Duration = Duration::from_secs(28_800);

/// Says by which rules a policy is read.
#[derive(Clone, Copy)]
pub(super) struct Rules<'a> {
    pub(super) config: &'a MembershipConfig,
    pub(super) compat: Compat,
    pub(super) behaviour: &'a Behaviour,
    pub(super) limits: &'a Limits,
    /// The policy comes with a registration, not with a PUSH.
    pub(super) pull: bool,
}

impl Rules<'_> {
    pub(super) fn has(&self, defect: Defect) -> bool {
        self.behaviour.has(defect)
    }

    pub(super) fn dialect(&self) -> Dialect {
        crate::key_server::dialect(self.compat, self.behaviour)
    }

    pub(super) fn ignores_unknown(&self) -> bool {
        self.config.ignore_unknown_attributes || self.has(Defect::GmUnknownAttributeIgnored)
    }
}

/// Is the policy of a whole SA payload.
#[derive(Clone, Debug)]
pub(super) struct Policy {
    pub(super) kek: Option<KekPolicy>,
    pub(super) activation: Option<Duration>,
    pub(super) deactivation: Option<Duration>,
    pub(super) teks: Vec<TekPolicy>,
    /// Replay protection, pseudotime and direction.
    pub(super) data: DataRules,
    /// The access list in the order of the SATs.
    pub(super) acl: Vec<Entry>,
}

/// Is the policy of a Rekey SA.
#[derive(Clone, Debug)]
pub(super) struct KekPolicy {
    pub(super) spi: [u8; 16],
    pub(super) cipher: CipherAlg,
    pub(super) kind: KeyKind,
    pub(super) hash: HashAlg,
    pub(super) key_bits: Option<u64>,
    pub(super) lifetime: Option<Duration>,
    pub(super) ack: Option<u16>,
    pub(super) source: Option<IpAddr>,
    pub(super) destination: Option<IpAddr>,
    pub(super) destination_port: u16,
}

/// Is the policy of a Data-Security SA: all SATs with one SPI.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct TekPolicy {
    pub(super) spi: u32,
    pub(super) transform: DataTransform,
    pub(super) selectors: Vec<TrafficSelector>,
    pub(super) mode: EncapsulationMode,
    pub(super) direction: SaDirection,
    pub(super) preservation: AddressPreservation,
    pub(super) extended_sequence: bool,
    pub(super) lifetime: Duration,
    pub(super) lifetime_kilobytes: Option<u64>,
}

/// Reads and judges the body of an SA payload.
pub(super) fn read_sa(body: &[u8], rules: Rules<'_>) -> Result<Policy, Code> {
    let reordered;
    let body = if rules.has(Defect::GmSaOrderIgnored) {
        reordered = reorder(body, rules.limits);
        reordered.as_deref().unwrap_or(body)
    } else {
        body
    };
    let framed;
    let body = if rules.has(Defect::GmSaFrameUnchecked) {
        let zeros = |at: usize| at == 8 || at == 10 || at == 11;
        framed = body.iter().enumerate().map(|(at, octet)| if zeros(at) { 0 } else { *octet }).collect::<Vec<u8>>();
        framed.as_slice()
    } else {
        body
    };
    let sa = GdoiSa::decode(body, &rules.dialect(), rules.limits).map_err(|error| error.code)?;
    // REQ GDOI-NEG-061
    if sa.doi != DOI && !rules.has(Defect::GmSaDoiUnchecked) {
        return Err(code::SA_DOI);
    }
    // REQ GDOI-NEG-062
    if sa.situation != 0 && !rules.has(Defect::GmSituationUnchecked) {
        return Err(code::SA_SITUATION);
    }
    let kek = sa.kek().map(|kek| read_kek(kek, rules)).transpose()?;
    let gap = sa.gap().map(|gap| read_gap(gap, rules)).transpose()?.unwrap_or_default();
    let mut teks: Vec<TekPolicy> = Vec::new();
    let mut acl: Vec<Entry> = Vec::new();
    for tek in sa.teks() {
        if let TekBody::Bypass(bypass) = &tek.body {
            let selector = traffic(bypass.ip_protocol, &bypass.src, &bypass.dst)?;
            acl.push(Entry { spi: None, selector });
            continue;
        }
        match read_tek(tek, rules) {
            Ok(tek) => {
                acl.extend(tek.selectors.iter().map(|selector| Entry { spi: Some(tek.spi), selector: *selector }));
                add_tek(&mut teks, tek, rules)?;
            }
            // REQ GDOI-PUSH-060: completely or not at all.
            Err(_) if rules.has(Defect::GmPartialInstall) => {}
            Err(code) => return Err(code),
        }
    }
    if rules.has(Defect::GmWholePolicyNeeded) && rules.pull && (kek.is_none() || teks.is_empty()) {
        return Err(code::SA_KEY_MISSING);
    }
    if teks.len() > rules.limits.teks {
        return Err(code::SAT_TOO_MANY);
    }
    Ok(Policy { kek, activation: gap.activation, deactivation: gap.deactivation, teks, data: gap.data, acl })
}

/// SATs with one SPI are one SA with several selectors, as long as they agree on everything else.
// REQ GDOI-NEG-097
fn add_tek(teks: &mut Vec<TekPolicy>, tek: TekPolicy, rules: Rules<'_>) -> Result<(), Code> {
    match teks.iter_mut().find(|known| known.spi == tek.spi) {
        None => teks.push(tek),
        Some(known) => {
            let same = TekPolicy { selectors: known.selectors.clone(), ..tek.clone() };
            if *known != same && !rules.has(Defect::GmSatConflictTaken) {
                return Err(code::SAT_CONFLICT);
            }
            known.selectors.extend(tek.selectors);
        }
    }
    Ok(())
}

fn read_kek(sak: &SaKek, rules: Rules<'_>) -> Result<KekPolicy, Code> {
    // REQ GDOI-NEG-089
    if sak.protocol != 17 {
        return Err(code::SAK_PROTOCOL);
    }
    // REQ GDOI-NEG-090
    if sak.spi == [0; 16] && !rules.has(Defect::GmReservedSpiAccepted) {
        return Err(code::SAK_SPI);
    }
    check_kek_attributes(&sak.attributes, rules)?;
    let number = |class: u16| sak.attributes.uint(class);
    let assumed = rules.has(Defect::GmAlgorithmsAssumed);
    let basic = |class: u16| {
        let value = number(class).and_then(|value| u16::try_from(value).ok());
        if !assumed {
            return value;
        }
        match class {
            kek_attr::ALGORITHM => value.filter(|value| (1..=3).contains(value)).or(Some(3)),
            kek_attr::KEY_LENGTH => value.filter(|value| [128, 192, 256].contains(value)).or(Some(128)),
            kek_attr::SIG_ALGORITHM => value.filter(|value| KeyKind::from_sig_algorithm(*value).is_some()).or(Some(1)),
            kek_attr::SIG_HASH => value.filter(|value| HashAlg::from_sig_hash(*value).is_some()).or(Some(3)),
            _ => value,
        }
    };
    let short = number(kek_attr::KEY_LIFETIME).is_none() || number(kek_attr::SIG_KEY_LENGTH).is_none();
    if short && rules.has(Defect::GmOptionalAttributesNeeded) {
        return Err(code::SAK_ATTRIBUTE);
    }
    // REQ GDOI-PL-025 GDOI-NEG-075 GDOI-NEG-080
    let algorithm = basic(kek_attr::ALGORITHM).ok_or(code::SAK_ALGORITHM)?;
    if !(1..=3).contains(&algorithm) {
        return Err(code::SAK_ALGORITHM);
    }
    // REQ GDOI-PL-034 GDOI-NEG-077 GDOI-NEG-082
    let cipher = CipherAlg::from_kek(algorithm, basic(kek_attr::KEY_LENGTH)).ok_or(code::SAK_KEY_LENGTH)?;
    // REQ GDOI-PL-026 GDOI-NEG-076 GDOI-NEG-081
    let kind = basic(kek_attr::SIG_ALGORITHM).and_then(KeyKind::from_sig_algorithm).ok_or(code::SAK_SIG_ALGORITHM)?;
    // REQ GDOI-PL-036 GDOI-NEG-078
    let hash = match (basic(kek_attr::SIG_HASH), kind.fixed_hash()) {
        (None, Some(fixed)) => fixed,
        (None, None) => return Err(code::SAK_SIG_HASH),
        (Some(value), fixed) => {
            let hash = HashAlg::from_sig_hash(value).ok_or(code::SAK_SIG_HASH)?;
            if fixed.is_some_and(|fixed| fixed != hash) {
                return Err(code::SAK_SIG_HASH);
            }
            hash
        }
    };
    let lifetime = match number(kek_attr::KEY_LIFETIME) {
        Some(0) if !rules.has(Defect::GmAttributeFormIgnored) => return Err(code::SAK_LIFETIME),
        other => other.map(Duration::from_secs),
    };
    if !rules.has(Defect::GmAcceptsAnyKek) {
        if !rules.config.acceptable_kek_ciphers.contains(&cipher) {
            return Err(code::POLICY_KEK_CIPHER);
        }
        if !rules.config.acceptable_sig_hashes.contains(&hash) {
            return Err(code::POLICY_SIG_HASH);
        }
    }
    if AddressRange::from_selector(&sak.src).is_none() || AddressRange::from_selector(&sak.dst).is_none() {
        return Err(code::SAK_SELECTOR);
    }
    let ack = basic(kek_attr::ACK_REQUESTED);
    if ack.is_some_and(|kind| !(1..=4).contains(&kind)) && rules.has(Defect::GmUnknownAckTypeRefused) {
        return Err(code::SAK_ATTRIBUTE);
    }
    Ok(KekPolicy {
        spi: sak.spi,
        cipher,
        kind,
        hash,
        key_bits: number(kek_attr::SIG_KEY_LENGTH),
        lifetime,
        // REQ GDOI-ACK-004: a value that we do not know only means that we send no acknowledgements.
        ack,
        source: sak.src.ip(),
        destination: sak.dst.ip(),
        destination_port: sak.dst.port,
    })
}

// REQ GDOI-PL-029 GDOI-PL-030 GDOI-PL-031
fn check_kek_attributes(attributes: &Attributes, rules: Rules<'_>) -> Result<(), Code> {
    let mut seen = Vec::new();
    for attribute in attributes.iter() {
        let class = attribute.class;
        match class {
            kek_attr::MANAGEMENT_ALGORITHM if rules.pull && rules.has(Defect::GmIgnorableRefused) => {
                return Err(code::SAK_ATTRIBUTE);
            }
            // Ignored in a PULL whatever it says; in a PUSH it may announce LKH.
            kek_attr::MANAGEMENT_ALGORITHM if rules.pull => continue,
            kek_attr::MANAGEMENT_ALGORITHM if attribute.as_u64() == Some(1) => {}
            kek_attr::ALGORITHM
            | kek_attr::KEY_LENGTH
            | kek_attr::SIG_HASH
            | kek_attr::SIG_ALGORITHM
            | kek_attr::SIG_KEY_LENGTH
            | kek_attr::ACK_REQUESTED => {
                // REQ GDOI-NEG-087
                if !attribute.is_basic() && !rules.has(Defect::GmAttributeFormIgnored) {
                    return Err(code::SAK_FORM);
                }
            }
            kek_attr::KEY_LIFETIME => check_lifetime_form(attribute, rules)?,
            _ if rules.ignores_unknown() => continue,
            _ => return Err(code::SAK_ATTRIBUTE),
        }
        // REQ GDOI-NEG-084 GDOI-NEG-085
        if seen.contains(&class) && !rules.has(Defect::GmRepeatedAttributeTaken) {
            return Err(code::SAK_REPEATED);
        }
        seen.push(class);
    }
    Ok(())
}

// REQ GDOI-NEG-086
fn check_lifetime_form(attribute: &Attribute, rules: Rules<'_>) -> Result<(), Code> {
    match &attribute.value {
        AttributeValue::Variable(octets) if octets.len() == 4 => Ok(()),
        _ if rules.has(Defect::GmAttributeFormIgnored) => Ok(()),
        AttributeValue::Basic(_) if rules.compat.has(Compat::KEK_LIFETIME_TV) => Ok(()),
        _ => Err(code::SAK_LIFETIME),
    }
}

/// Is the policy of a GAP payload.
#[derive(Default)]
struct GroupPolicy {
    activation: Option<Duration>,
    deactivation: Option<Duration>,
    data: DataRules,
}

fn read_gap(gap: &Gap, rules: Rules<'_>) -> Result<GroupPolicy, Code> {
    let (mut activation, mut deactivation) = (None, None);
    let mut data = DataPolicy::default();
    for attribute in gap.attributes.iter() {
        let place = match attribute.class {
            gap_attr::ACTIVATION_TIME_DELAY => &mut activation,
            gap_attr::DEACTIVATION_TIME_DELAY => &mut deactivation,
            // REQ GDOI-NEG-093: only a member asks for sender ids.
            gap_attr::SENDER_ID_REQUEST => continue,
            class if gap.attributes.all(class).count() > 1 && data.take(attribute) == Ok(true) => {
                return Err(code::GAP_FORM);
            }
            _ if data.take(attribute).map_err(|_| code::GAP_FORM)? => continue,
            // REQ GDOI-PL-039 GDOI-NEG-091
            _ if rules.ignores_unknown() => continue,
            _ => return Err(code::GAP_ATTRIBUTE),
        };
        let AttributeValue::Basic(seconds) = attribute.value else { return Err(code::GAP_FORM) };
        if place.replace(Duration::from_secs(u64::from(seconds))).is_some() {
            return Err(code::GAP_FORM);
        }
    }
    if rules.has(Defect::GmAtdIgnored) {
        activation = None;
    }
    if rules.has(Defect::GmDtdIgnored) {
        deactivation = None;
    }
    let data = DataRules::judge(&data).ok_or(code::GAP_REPLAY)?;
    if rules.pull && matches!(data.method, Method::Time { .. }) && data.pseudotime.is_none() {
        return Err(code::GAP_PSEUDOTIME);
    }
    Ok(GroupPolicy { activation, deactivation, data })
}

fn read_tek(sat: &SaTek, rules: Rules<'_>) -> Result<TekPolicy, Code> {
    // REQ GDOI-NEG-094
    let TekBody::Ipsec(tek) = &sat.body else { return Err(code::SAT_PROTOCOL) };
    // REQ GDOI-NEG-098
    if tek.spi <= 255 && !rules.has(Defect::GmReservedSpiAccepted) {
        return Err(code::SAT_SPI);
    }
    let attributes = read_tek_attributes(&tek.attributes, rules)?;
    // REQ GDOI-NEG-095
    let transform = DataTransform::from_wire(sat.protocol_id, tek.transform_id, attributes.key_bits, attributes.auth)
        .ok_or(code::SAT_TRANSFORM)?;
    let acceptable = &rules.config.acceptable_transforms;
    if !acceptable.is_empty() && !acceptable.contains(&transform) && !rules.has(Defect::GmAcceptsAnyTransform) {
        return Err(code::POLICY_TRANSFORM);
    }
    Ok(TekPolicy {
        spi: tek.spi,
        transform,
        selectors: vec![traffic(tek.ip_protocol, &tek.src, &tek.dst)?],
        mode: attributes.mode,
        direction: attributes.direction,
        preservation: attributes.preservation,
        extended_sequence: attributes.extended_sequence,
        lifetime: attributes.seconds.unwrap_or(DEFAULT_LIFETIME),
        lifetime_kilobytes: attributes.kilobytes,
    })
}

// REQ GDOI-PL-045 GDOI-NEG-073
fn traffic(ip_protocol: u8, src: &Selector, dst: &Selector) -> Result<TrafficSelector, Code> {
    let range = |selector: &Selector| AddressRange::from_selector(selector).ok_or(code::SAT_SELECTOR);
    let (from, to) = (range(src)?, range(dst)?);
    if from.first.is_ipv4() != to.first.is_ipv4() {
        return Err(code::SAT_SELECTOR);
    }
    Ok(TrafficSelector { ip_protocol, src: from, src_port: src.port, dst: to, dst_port: dst.port })
}

struct TekAttributes {
    seconds: Option<Duration>,
    kilobytes: Option<u64>,
    mode: EncapsulationMode,
    auth: Option<u64>,
    key_bits: Option<u64>,
    extended_sequence: bool,
    preservation: AddressPreservation,
    direction: SaDirection,
}

// REQ GDOI-PL-048 GDOI-PL-049 GDOI-PL-051 GDOI-PL-055 GDOI-NEG-096
fn read_tek_attributes(attributes: &Attributes, rules: Rules<'_>) -> Result<TekAttributes, Code> {
    let one_way = rules.has(Defect::GmDirectionAbsentOneWay);
    let mut read = TekAttributes {
        seconds: None,
        kilobytes: None,
        mode: EncapsulationMode::Tunnel,
        auth: None,
        key_bits: None,
        extended_sequence: false,
        preservation: AddressPreservation::default(),
        direction: if one_way { SaDirection::ReceiverOnly } else { SaDirection::Symmetric },
    };
    let mut life_type = None;
    let mut seen = Vec::new();
    let zero = rules.compat.has(Compat::ATTR_ZERO_DEFAULT);
    let assumed = rules.has(Defect::GmSatValuesAssumed);
    for attribute in attributes.iter() {
        let value = attribute.as_u64().ok_or(code::SAT_VALUE);
        match attribute.class {
            tek_attr::LIFE_TYPE => {
                life_type = Some(value?);
                continue;
            }
            tek_attr::LIFE_DURATION => {
                // REQ GDOI-NEG-099: each duration follows its type.
                match (life_type.take(), value?) {
                    (Some(1), seconds) if seconds > 0 && read.seconds.is_none() => {
                        read.seconds = Some(Duration::from_secs(seconds));
                    }
                    (Some(2), kilobytes) if kilobytes > 0 && read.kilobytes.is_none() => {
                        read.kilobytes = Some(kilobytes);
                    }
                    _ if assumed => {}
                    _ => return Err(code::SAT_LIFETIME),
                }
                continue;
            }
            tek_attr::GROUP_DESCRIPTION if rules.has(Defect::GmIgnorableRefused) => return Err(code::SAT_ATTRIBUTE),
            tek_attr::GROUP_DESCRIPTION => continue,
            tek_attr::ENCAPSULATION_MODE => {
                read.mode = match value? {
                    1 => EncapsulationMode::Tunnel,
                    2 => EncapsulationMode::Transport,
                    _ => return Err(code::SAT_VALUE),
                }
            }
            tek_attr::AUTH_ALGORITHM => read.auth = Some(value?),
            // The 2011 implementation sends AES key lengths of 0.
            tek_attr::KEY_LENGTH => read.key_bits = Some(value?).filter(|bits| !zero || *bits != 0),
            tek_attr::ESN => {
                read.extended_sequence = match value? {
                    0 => false,
                    1 => true,
                    _ => return Err(code::SAT_VALUE),
                }
            }
            // REQ GDOI-PL-052 GDOI-NEG-100
            tek_attr::ADDRESS_PRESERVATION => {
                read.preservation = match value? {
                    1 => AddressPreservation::None,
                    2 => AddressPreservation::SourceOnly,
                    3 => AddressPreservation::DestinationOnly,
                    4 => AddressPreservation::SourceAndDestination,
                    0 if zero => AddressPreservation::default(),
                    _ if assumed => AddressPreservation::default(),
                    _ => return Err(code::SAT_VALUE),
                }
            }
            // REQ GDOI-PL-053 GDOI-PL-054
            tek_attr::SA_DIRECTION => {
                read.direction = match value? {
                    1 => SaDirection::SenderOnly,
                    2 => SaDirection::ReceiverOnly,
                    3 => SaDirection::Symmetric,
                    0 if zero => SaDirection::Symmetric,
                    _ if assumed => SaDirection::Symmetric,
                    _ => return Err(code::SAT_VALUE),
                }
            }
            _ if rules.ignores_unknown() => continue,
            _ => return Err(code::SAT_ATTRIBUTE),
        }
        if seen.contains(&attribute.class) {
            return Err(code::SAT_VALUE);
        }
        seen.push(attribute.class);
    }
    // A type without a duration says nothing.
    if life_type.is_some() && !assumed {
        return Err(code::SAT_LIFETIME);
    }
    Ok(read)
}

/// Puts the attribute payloads of an SA body into the order that the RFC asks for, the first of each single kind.
fn reorder(body: &[u8], limits: &Limits) -> Option<Vec<u8>> {
    let first = u16::from_be_bytes(body.get(8..10)?.try_into().ok()?);
    let chain = Chain::decode(PayloadType(u8::try_from(first).ok()?), body.get(12..)?, limits).ok()?;
    let mut payloads: Vec<(PayloadType, Vec<u8>)> = Vec::new();
    for kind in [PayloadType::SA_KEK, PayloadType::GAP, PayloadType::SA_TEK] {
        let all = chain.iter().filter(|payload| payload.kind == kind).map(|payload| (kind, payload.body.to_vec()));
        payloads.extend(all.take(if kind == PayloadType::SA_TEK { usize::MAX } else { 1 }));
    }
    let built = build_chain(&payloads);
    let mut octets = body.get(..8)?.to_vec();
    octets.extend(u16::from(built.first.0).to_be_bytes());
    octets.extend([0, 0]);
    octets.extend(built.octets);
    Some(octets)
}
