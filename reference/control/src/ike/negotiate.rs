//! Offering, choosing and verifying the one transform of phase 1 (section 2.4).

use hallmark_core::{Duration, Limits};
use hallmark_crypto::{CipherAlg, Group, HashAlg};
use hallmark_wire::isakmp::{Attribute, AttributeValue, Attributes, Proposal, SecurityAssociation, Transform};

use super::code;
use super::config::{AuthMethod, IkeConfig, PeerRule, Suite};
use super::exchange::Refusal;
use crate::behaviour::{Behaviour, Defect, Variant};

/// Attribute classes of phase 1.
mod class {
    pub(super) const ENCRYPTION: u16 = 1;
    pub(super) const HASH: u16 = 2;
    pub(super) const AUTH: u16 = 3;
    pub(super) const GROUP: u16 = 4;
    pub(super) const LIFE_TYPE: u16 = 11;
    pub(super) const LIFE_DURATION: u16 = 12;
    pub(super) const KEY_LENGTH: u16 = 14;
}

const PROTO_ISAKMP: u8 = 1;
const KEY_IKE: u8 = 1;
const SECONDS: u64 = 1;
const DOI_IPSEC: u32 = 1;
const DOI_GDOI: u32 = 2;

/// Holds what the responder decided on.
#[derive(Debug)]
pub(super) struct Choice {
    pub(super) suite: Suite,
    pub(super) lifetime: Duration,
    pub(super) doi: u32,
    pub(super) answer: SecurityAssociation,
}

/// Makes the offer: every acceptable suite that the rule has a key for, in the order of preference.
pub(super) fn offer(config: &IkeConfig, rule: &PeerRule) -> SecurityAssociation {
    let behaviour = &config.behaviour;
    // REQ IKE-SA-011
    let doi =
        if config.doi == DOI_IPSEC || rule.doi1 || behaviour.has(Defect::IkeEmitsDoi1) { DOI_IPSEC } else { DOI_GDOI };
    // REQ IKE-SA-012
    let situation = u32::from(doi == DOI_IPSEC || behaviour.has(Defect::IkeEmitsSituation1));
    let first = if behaviour.varies(Variant::IkeTransformsFromZero) { 0 } else { 1 };
    let keyed = config.proposals.iter().filter(|suite| suite.auth.signs() || rule.psk.is_some());
    let transforms = keyed.enumerate().map(|(index, suite)| {
        // REQ IKE-SA-005
        let step = if behaviour.has(Defect::IkeEqualTransformNumbers) { 0 } else { index };
        let number = u8::try_from(step.saturating_add(first)).unwrap_or(u8::MAX);
        Transform { number, id: KEY_IKE, attributes: attributes(*suite, config.lifetime, behaviour) }
    });
    let proposal =
        Proposal { number: 1, protocol: PROTO_ISAKMP, spi: Vec::new(), transforms: transforms.take(255).collect() };
    SecurityAssociation { doi, situation, proposals: vec![proposal] }
}

fn attributes(suite: Suite, lifetime: Duration, behaviour: &Behaviour) -> Attributes {
    let (encryption, key_bits) = suite.cipher.to_ike();
    let mut list = Vec::with_capacity(7);
    // REQ IKE-SA-016
    list.push(if behaviour.has(Defect::IkeBasicAttributeAsTlv) {
        Attribute::variable(class::ENCRYPTION, encryption.to_be_bytes().to_vec())
    } else {
        Attribute::basic(class::ENCRYPTION, encryption)
    });
    list.push(Attribute::basic(class::HASH, suite.hash.to_ike()));
    list.push(Attribute::basic(class::AUTH, suite.auth.to_ike()));
    list.push(Attribute::basic(class::GROUP, suite.group.to_ike()));
    if !behaviour.varies(Variant::IkeLifetimeAbsent) {
        list.push(Attribute::basic(class::LIFE_TYPE, 1));
        list.push(life_duration(lifetime, behaviour));
    }
    // REQ IKE-SA-019
    match key_bits {
        Some(bits) if !behaviour.has(Defect::IkeOmitsKeyLength) => {
            list.push(Attribute::basic(class::KEY_LENGTH, bits));
        }
        // REQ IKE-SA-020
        None if behaviour.has(Defect::IkeKeyLengthForFixedCipher) => {
            let bits = u16::try_from(suite.cipher.key_len().saturating_mul(8)).unwrap_or(u16::MAX);
            list.push(Attribute::basic(class::KEY_LENGTH, bits));
        }
        _ => {}
    }
    if behaviour.varies(Variant::IkeAttributesReversed) {
        list.reverse();
        // A duration belongs to the type before it, so this pair keeps its order.
        let at = list.iter().position(|a| a.class == class::LIFE_DURATION);
        if let Some(at) = at.filter(|&at| at + 1 < list.len()) {
            list.swap(at, at + 1);
        }
    }
    Attributes(list)
}

fn life_duration(lifetime: Duration, behaviour: &Behaviour) -> Attribute {
    let secs = u32::try_from(lifetime.as_secs()).unwrap_or(u32::MAX);
    if behaviour.varies(Variant::IkeLifetimeCompact) {
        return compact(secs);
    }
    Attribute::u32(class::LIFE_DURATION, secs)
}

fn compact(secs: u32) -> Attribute {
    if let Ok(short) = u16::try_from(secs) {
        return Attribute::basic(class::LIFE_DURATION, short);
    }
    let octets: Vec<u8> = secs.to_be_bytes().into_iter().skip_while(|&o| o == 0).collect();
    Attribute::variable(class::LIFE_DURATION, octets)
}

/// Chooses from an offer, or says why nothing can be chosen.
pub(super) fn choose(
    config: &IkeConfig,
    rule: &PeerRule,
    offer: &SecurityAssociation,
    aggressive_group: Option<usize>,
    limits: &Limits,
) -> Result<Choice, Refusal> {
    let behaviour = &config.behaviour;
    check_doi(config, rule, offer)?;
    let proposal = only_proposal(offer, behaviour)?;
    // REQ IKE-SA-008
    if !proposal.spi.is_empty() && behaviour.has(Defect::IkeRefusesProposalSpi) {
        return Err(Refusal::keep(code::PROTOCOL).with("SPI in phase 1"));
    }
    if proposal.transforms.is_empty() {
        return Err(Refusal::keep(code::NO_TRANSFORM));
    }
    let mut acceptable: Vec<(&Transform, Suite, Duration)> = Vec::new();
    // REQ IKE-SA-024
    for transform in proposal.transforms.iter().take(limits.transforms_per_proposal.max(1)) {
        // REQ IKE-SA-006: an unknown identifier costs this transform only.
        if transform.id != KEY_IKE {
            if behaviour.has(Defect::IkeUnknownTransformIdFatal) {
                return Err(Refusal::keep(code::NO_PROPOSAL_CHOSEN).with("transform identifier"));
            }
            continue;
        }
        match read(transform, config, rule) {
            Ok((suite, lifetime)) if usable(config, rule, suite, aggressive_group) => {
                acceptable.push((transform, suite, lifetime));
                if !behaviour.varies(Variant::IkeOwnPreference) {
                    break;
                }
            }
            Ok(_) => {}
            // REQ IKE-SA-023
            Err(Unfit::Unknown) if behaviour.has(Defect::IkeUnknownAttributeFatal) => {
                return Err(Refusal::keep(code::NO_PROPOSAL_CHOSEN).with("unknown attribute"));
            }
            Err(_) => {}
        }
    }
    let rank = |suite: &Suite| config.proposals.iter().position(|own| own == suite).unwrap_or(usize::MAX);
    let Some((transform, suite, lifetime)) = acceptable.into_iter().min_by_key(|(_, suite, _)| rank(suite)) else {
        let all = proposal.transforms.len() <= limits.transforms_per_proposal.max(1);
        return Err(Refusal::keep(if all { code::NO_PROPOSAL_CHOSEN } else { code::TOO_MANY_TRANSFORMS }));
    };
    // REQ IKE-SA-002, IKE-SA-004
    let answer = if behaviour.has(Defect::IkeAnswersEveryTransform) {
        offer.clone()
    } else {
        let answered = Proposal {
            number: proposal.number,
            protocol: proposal.protocol,
            spi: Vec::new(),
            transforms: vec![answer_transform(transform, config)],
        };
        SecurityAssociation { doi: offer.doi, situation: offer.situation, proposals: vec![answered] }
    };
    Ok(Choice { suite, lifetime, doi: offer.doi, answer })
}

fn answer_transform(chosen: &Transform, config: &IkeConfig) -> Transform {
    let behaviour = &config.behaviour;
    let mut transform = chosen.clone();
    if behaviour.has(Defect::IkeRenumbersTransform) {
        transform.number = 1;
    }
    for attribute in &mut transform.attributes.0 {
        if attribute.class != class::LIFE_DURATION {
            continue;
        }
        // REQ IKE-SA-003
        if behaviour.has(Defect::IkeAltersLifetime) {
            let secs = u32::try_from(config.lifetime.as_secs()).unwrap_or(u32::MAX);
            *attribute = Attribute::u32(class::LIFE_DURATION, secs / 2 + 1);
        } else if behaviour.varies(Variant::IkeLifetimeCompact)
            && let Some(Ok(secs)) = attribute.as_u64().map(u32::try_from)
        {
            *attribute = compact(secs);
        }
    }
    transform
}

/// Verifies an answer against the offer (section 2.4, rule 6).
pub(super) fn verify_answer(
    config: &IkeConfig,
    rule: &PeerRule,
    offer: &SecurityAssociation,
    answer: &SecurityAssociation,
) -> Result<(Suite, Duration), Refusal> {
    let behaviour = &config.behaviour;
    let refused = |detail: &'static str| Refusal::keep(code::ANSWER).with(detail);
    // REQ IKE-SA-010
    let doi = answer.doi == offer.doi || behaviour.has(Defect::IkeAcceptsAnyDoi);
    if !doi || answer.situation != offer.situation {
        return Err(refused("DOI or situation"));
    }
    let lenient = behaviour.has(Defect::IkeTwoTransformsAccepted);
    let one = |count: usize| count == 1 || (lenient && count > 1);
    let proposal = answer.proposals.first().filter(|_| one(answer.proposals.len()));
    // REQ IKE-SA-029
    let transform = proposal.and_then(|p| p.transforms.first().filter(|_| one(p.transforms.len())));
    let (Some(proposal), Some(transform)) = (proposal, transform) else {
        return Err(refused("not exactly one proposal and one transform"));
    };
    if proposal.protocol != PROTO_ISAKMP {
        return Err(refused("protocol"));
    }
    // REQ IKE-SA-028, IKE-SA-030
    if !behaviour.has(Defect::IkeAnswerUnverified) {
        let offered = offer.proposals.first().map(|p| p.transforms.as_slice()).unwrap_or_default();
        // REQ IKE-SA-004: by number first, then by content.
        let by_number = offered.iter().filter(|own| own.number == transform.number);
        let candidates = by_number.chain(offered.iter().filter(|own| own.number != transform.number));
        if transform.id != KEY_IKE || !candidates.into_iter().any(|own| same(own, transform, behaviour)) {
            return Err(refused("a transform that was not offered, or a changed one"));
        }
    }
    read(transform, config, rule).map_err(|_| refused("the transform makes no sense"))
}

/// Tells whether an answered transform holds exactly the attributes of an offered one.
fn same(own: &Transform, answered: &Transform, behaviour: &Behaviour) -> bool {
    own.attributes.len() == answered.attributes.len()
        && own.attributes.iter().all(|mine| {
            answered.attributes.all(mine.class).any(|theirs| {
                // REQ IKE-SA-018: only a variable attribute may change its form.
                let form = mine.class == class::LIFE_DURATION && !behaviour.has(Defect::IkeReencodedAnswerRefused);
                mine.same_value(theirs) && (form || mine.value == theirs.value)
            })
        })
}

fn check_doi(config: &IkeConfig, rule: &PeerRule, offer: &SecurityAssociation) -> Result<(), Refusal> {
    let behaviour = &config.behaviour;
    let situation = match offer.doi {
        DOI_GDOI => 0,
        DOI_IPSEC if config.doi == DOI_IPSEC || rule.doi1 => 1,
        // REQ IKE-SA-010
        _ if behaviour.has(Defect::IkeAcceptsAnyDoi) || behaviour.has(Defect::KsPullUnderAnyDoi) => return Ok(()),
        doi => return Err(Refusal::keep(code::DOI).with(format!("DOI {doi}"))),
    };
    // REQ IKE-SA-013
    if offer.situation != situation && !behaviour.has(Defect::IkeAcceptsAnySituation) {
        return Err(Refusal::keep(code::SITUATION).with(format!("situation {}", offer.situation)));
    }
    Ok(())
}

fn only_proposal<'a>(offer: &'a SecurityAssociation, behaviour: &Behaviour) -> Result<&'a Proposal, Refusal> {
    // REQ IKE-SA-001
    let several = offer.proposals.len() > 1 && !behaviour.has(Defect::IkeAcceptsTwoProposals);
    let proposal = offer.proposals.first().filter(|_| !several);
    let proposal = proposal.ok_or(Refusal::keep(code::PROPOSALS))?;
    // REQ IKE-SA-007
    if proposal.protocol != PROTO_ISAKMP && !behaviour.has(Defect::IkeAcceptsAnyProtocol) {
        return Err(Refusal::keep(code::PROTOCOL).with(format!("protocol {}", proposal.protocol)));
    }
    Ok(proposal)
}

fn usable(config: &IkeConfig, rule: &PeerRule, suite: Suite, aggressive_group: Option<usize>) -> bool {
    let authenticates = if suite.auth.signs() { config.credentials.is_some() } else { rule.psk.is_some() };
    // REQ IKE-AM-009: the KE came with the offer, so its group is the only one that can be chosen.
    let group = aggressive_group.is_none_or(|len| len == suite.group.public_len());
    // REQ IKE-SA-027
    let wanted = config.proposals.contains(&suite) || config.behaviour.has(Defect::IkeAcceptsUnconfiguredSuite);
    authenticates && group && wanted
}

/// Says why a transform cannot be used.
enum Unfit {
    /// It lacks something, contradicts itself or has a value that we do not know.
    Value,
    /// It holds an attribute that we do not know.
    Unknown,
}

/// Reads a transform. Whatever is not understood makes this transform unfit, not the message.
fn read(transform: &Transform, config: &IkeConfig, rule: &PeerRule) -> Result<(Suite, Duration), Unfit> {
    let behaviour = &config.behaviour;
    let mut basic: [Option<u16>; 15] = [None; 15];
    let mut seconds: Option<u64> = None;
    let mut life_type: Option<u64> = None;
    for attribute in &transform.attributes {
        match (attribute.class, &attribute.value) {
            (class::LIFE_TYPE, _) => {
                life_type = Some(attribute.as_u64().filter(|_| attribute.is_basic()).ok_or(Unfit::Value)?);
                // REQ IKE-SA-026
                if !matches!(life_type, Some(1 | 2)) {
                    return Err(Unfit::Value);
                }
            }
            (class::LIFE_DURATION, value) => {
                // REQ IKE-SA-017
                if matches!(value, AttributeValue::Basic(_)) && behaviour.has(Defect::IkeVariableAsTvRefused) {
                    return Err(Unfit::Value);
                }
                if life_type == Some(SECONDS) {
                    // REQ IKE-LIFE-004: more than 8 octets is longer than anything we allow.
                    seconds = Some(attribute.as_u64().unwrap_or(u64::MAX));
                }
            }
            (
                class @ (class::ENCRYPTION | class::HASH | class::AUTH | class::GROUP | class::KEY_LENGTH),
                AttributeValue::Basic(value),
            ) => {
                let slot = basic.get_mut(usize::from(class)).ok_or(Unfit::Value)?;
                // REQ IKE-SA-025
                match slot {
                    Some(known) if known != value => {
                        if !behaviour.has(Defect::IkeDuplicateAttributeAccepted) {
                            return Err(Unfit::Value);
                        }
                    }
                    _ => *slot = Some(*value),
                }
            }
            // A basic attribute in the long form (IKE-SA-016), explicit groups (IKE-SA-021), a PRF: none is usable.
            (1..=16, _) => return Err(Unfit::Value),
            _ => return Err(Unfit::Unknown),
        }
    }
    let [_, encryption, hash, auth, group, .., key_bits] = basic;
    // REQ IKE-SA-015
    let fallback = config.proposals.first().copied().filter(|_| behaviour.has(Defect::IkeMissingAttributeDefaulted));
    let suite = Suite {
        cipher: read_cipher(encryption.ok_or(Unfit::Value)?, key_bits, config, rule).ok_or(Unfit::Value)?,
        hash: known(hash, HashAlg::from_ike, fallback.map(|s| s.hash)).ok_or(Unfit::Value)?,
        group: known(group, Group::from_ike, fallback.map(|s| s.group)).ok_or(Unfit::Value)?,
        auth: known(auth, AuthMethod::from_ike, fallback.map(|s| s.auth)).ok_or(Unfit::Value)?,
    };
    let lifetime = match seconds {
        // REQ IKE-LIFE-003
        None if behaviour.has(Defect::IkeLifetimeRequired) => return Err(Unfit::Value),
        None => config.lifetime,
        // REQ IKE-LIFE-004
        Some(0) if behaviour.has(Defect::IkeZeroLifetimeTaken) => Duration::ZERO,
        Some(0) => config.lifetime,
        Some(secs) => Duration::from_secs(secs).min(config.lifetime),
    };
    Ok((suite, lifetime))
}

fn known<T>(value: Option<u16>, from: impl Fn(u16) -> Option<T>, fallback: Option<T>) -> Option<T> {
    match value {
        Some(value) => from(value),
        None => fallback,
    }
}

fn read_cipher(algorithm: u16, key_bits: Option<u16>, config: &IkeConfig, rule: &PeerRule) -> Option<CipherAlg> {
    let behaviour = &config.behaviour;
    let assumed = |bits| CipherAlg::from_ike(algorithm, Some(bits));
    match (CipherAlg::from_ike(algorithm, key_bits), key_bits) {
        (Some(cipher), _) => Some(cipher),
        // REQ IKE-SA-019
        (None, None) if rule.aes_no_key_length => assumed(128),
        (None, None) if behaviour.has(Defect::IkeOmitsKeyLength) => assumed(128),
        (None, _) if behaviour.has(Defect::IkeAcceptsAnyKeyLength) => {
            let own = config.proposals.iter().filter_map(|s| s.cipher.to_ike().1).next();
            own.and_then(assumed).or_else(|| CipherAlg::from_ike(algorithm, None))
        }
        (None, Some(_)) if behaviour.has(Defect::IkeKeyLengthForFixedCipher) => CipherAlg::from_ike(algorithm, None),
        (None, _) => None,
    }
}
