//! GDOI payloads.

use hallmark_core::Limits;

use super::{Context, Tree, attributes, named};
use crate::error::DecodeError;
use crate::gdoi::{
    DataPolicy, Gap, GdoiSa, IpsecTek, KeyDownload, KeyPacket, LkhDownload, LkhKey, LkhUpdate, ReplayPolicy,
    SaAttribute, SaKek, SaTek, Selector, Sequence, TekBody, gap_attr, kd_type, lkh_key, sid_key,
};
use crate::isakmp::{Attribute, PayloadType};
use crate::names;
use crate::raw::{RawBody, parse_payloads};

pub(super) fn security_association(body: &[u8], context: &Context) -> Result<Tree, DecodeError> {
    match GdoiSa::decode(body, &context.dialect, &Limits::default()) {
        Ok(sa) => {
            let mut children =
                vec![Tree::leaf("doi", named(names::doi(sa.doi), sa.doi)), Tree::leaf("situation", sa.situation)];
            children.extend(sa.attributes.iter().map(|attribute| match attribute {
                SaAttribute::Kek(kek) => kek_tree(kek),
                SaAttribute::Gap(gap) => gap_tree(gap),
                SaAttribute::Tek(tek) => tek_tree(tek),
            }));
            Ok(Tree::branch("", "", children))
        }
        Err(error) => broken_association(body, context, error),
    }
}

/// Shows the parts of an SA payload that breaks a rule, as far as they can be told apart.
fn broken_association(body: &[u8], context: &Context, error: DecodeError) -> Result<Tree, DecodeError> {
    let whole = crate::isakmp::payload_octets(PayloadType::NONE, body);
    let payload = parse_payloads(PayloadType::SA, &whole, true).ok().and_then(|payloads| payloads.into_iter().next());
    let Some(RawBody::Nested { prefix, children: parts }) = payload.map(|payload| payload.body) else {
        return Err(error);
    };
    let mut children = vec![Tree::leaf("error", error), Tree::leaf("octets", names::hex(&prefix))];
    let parts = parts.iter().map(|part| super::payload(PayloadType(part.kind), &part.body_octets(), context));
    children.extend(parts);
    Ok(Tree::branch("", "malformed", children))
}

pub(super) fn sa_kek(body: &[u8], context: &Context) -> Result<Tree, DecodeError> {
    SaKek::decode(body, &context.dialect, &Limits::default()).map(|kek| kek_tree(&kek))
}

pub(super) fn sa_tek(body: &[u8], context: &Context) -> Result<Tree, DecodeError> {
    SaTek::decode(body, &context.dialect, &Limits::default()).map(|tek| tek_tree(&tek))
}

pub(super) fn gap(body: &[u8]) -> Result<Tree, DecodeError> {
    Gap::decode(body).map(|gap| gap_tree(&gap))
}

pub(super) fn sequence(body: &[u8]) -> Result<Tree, DecodeError> {
    Sequence::decode(body).map(|sequence| Tree::leaf("", sequence.0))
}

fn kek_tree(kek: &SaKek) -> Tree {
    let mut children = vec![
        Tree::leaf("protocol", named((kek.protocol == 17).then_some("UDP"), kek.protocol)),
        selector("source", &kek.src),
        selector("destination", &kek.dst),
        Tree::leaf("spi", names::hex(&kek.spi)),
    ];
    children.extend(attributes(&kek.attributes, names::kek_attribute, names::kek_value));
    Tree::branch("SAK", "", children)
}

fn gap_tree(gap: &Gap) -> Tree {
    let plain = attributes(&gap.attributes, names::gap_attribute, names::gap_value);
    let read = gap.attributes.iter().zip(plain).map(|(attribute, plain)| match reference_form(attribute) {
        Some(value) => Tree::leaf(names::gap_attribute(attribute.class).unwrap_or_default(), value),
        None => plain,
    });
    Tree::branch("GAP", "", read.collect())
}

/// Writes those attributes of our reference form whose value is more than a number.
fn reference_form(attribute: &Attribute) -> Option<String> {
    let mut policy = DataPolicy::default();
    policy.take(attribute).ok()?;
    match attribute.class {
        gap_attr::REPLAY => {
            let replay = policy.replay?;
            let (method, unit) = match replay.method {
                ReplayPolicy::COUNTER => ("counter", "packets"),
                ReplayPolicy::TIME => ("time", "s"),
                _ => ("unknown", "units"),
            };
            Some(format!("{method} ({}), window {} {unit}", replay.method, replay.window))
        }
        gap_attr::PSEUDOTIME => {
            let ticks = policy.pseudotime?;
            Some(format!("{}.{:02} s ({ticks} ticks)", ticks / 100, ticks % 100))
        }
        _ => None,
    }
}

fn tek_tree(tek: &SaTek) -> Tree {
    let children = match &tek.body {
        TekBody::Ipsec(ipsec) => ipsec_parts(tek.protocol_id, ipsec),
        TekBody::Bypass(bypass) => vec![
            Tree::leaf("ip protocol", ip_protocol(bypass.ip_protocol)),
            selector("source", &bypass.src),
            selector("destination", &bypass.dst),
        ],
        TekBody::Other(octets) => vec![Tree::leaf("octets", names::hex(octets))],
    };
    Tree::branch("SAT", named(names::gdoi_protocol(tek.protocol_id), tek.protocol_id), children)
}

fn ipsec_parts(protocol_id: u8, tek: &IpsecTek) -> Vec<Tree> {
    let transform = named(names::tek_transform(protocol_id, tek.transform_id), tek.transform_id);
    let mut parts = vec![
        Tree::leaf("ip protocol", ip_protocol(tek.ip_protocol)),
        selector("source", &tek.src),
        selector("destination", &tek.dst),
        Tree::leaf("transform", transform),
        Tree::leaf("spi", format!("{:08x}", tek.spi)),
    ];
    parts.extend(attributes(&tek.attributes, names::tek_attribute, names::tek_value));
    parts
}

fn ip_protocol(number: u8) -> String {
    if number == 0 { "any".to_owned() } else { number.to_string() }
}

fn selector(label: &str, selector: &Selector) -> Tree {
    Tree::leaf(label, selector)
}

pub(super) fn key_download(body: &[u8], context: &Context) -> Result<Tree, DecodeError> {
    let download = KeyDownload::decode(body, &Limits::default())?;
    let packets = download.packets.iter().map(|packet| key_packet(packet, context)).collect();
    Ok(Tree::branch("", format!("{} key packets", download.packets.len()), packets))
}

fn key_packet(packet: &KeyPacket, context: &Context) -> Tree {
    let mut children = Vec::new();
    if !packet.spi.is_empty() {
        children.push(Tree::leaf("spi", names::hex(&packet.spi)));
    }
    children.extend(packet.attributes.iter().map(|attribute| key_attribute(packet.kd_type, attribute, context)));
    Tree::branch("key packet", named(names::kd_type(packet.kd_type), packet.kd_type), children)
}

fn key_attribute(kd_type: u8, attribute: &Attribute, context: &Context) -> Tree {
    let class = attribute.class;
    let label = names::key_attribute(kd_type, class).map_or_else(|| format!("attribute {class}"), str::to_owned);
    let Some(octets) = attribute.octets() else {
        return Tree::leaf(label, attribute.as_u64().unwrap_or_default());
    };
    match (kd_type, class) {
        (kd_type::SID, sid_key::VALUE) => match context.dialect.sid(octets) {
            Some(sid) => Tree::leaf(label, sid),
            None => Tree::leaf(label, names::hex(octets)),
        },
        // A public key is no secret.
        (kd_type::KEK, 2) | (kd_type::LKH, lkh_key::SIGNATURE) => Tree::leaf(label, names::hex(octets)),
        (kd_type::LKH, lkh_key::DOWNLOAD) => lkh_download(label, octets, context),
        (kd_type::LKH, lkh_key::UPDATE) => lkh_update(label, octets, context),
        _ => Tree::leaf(label, context.key(octets)),
    }
}

fn lkh_download(label: String, octets: &[u8], context: &Context) -> Tree {
    match key_data_len(octets, 4).map(|len| LkhDownload::decode(octets, len)) {
        Some(Ok(array)) => Tree::branch(label, "", lkh_keys(&array.keys, context)),
        Some(Err(error)) => Tree::branch(label, "malformed", vec![Tree::leaf("error", error)]),
        None => Tree::leaf(label, context.key(octets)),
    }
}

fn lkh_update(label: String, octets: &[u8], context: &Context) -> Tree {
    match key_data_len(octets, 12).map(|len| LkhUpdate::decode(octets, len)) {
        Some(Ok(array)) => {
            let wrapper = format!("wrapped under node {} handle {}", array.wrapper_id, array.wrapper_handle);
            Tree::branch(label, wrapper, lkh_keys(&array.keys, context))
        }
        Some(Err(error)) => Tree::branch(label, "malformed", vec![Tree::leaf("error", error)]),
        None => Tree::leaf(label, context.key(octets)),
    }
}

/// Guesses the size of the key data from the count, since the cipher is not at hand.
fn key_data_len(octets: &[u8], head_len: usize) -> Option<usize> {
    let count = usize::from(u16::from_be_bytes(octets.get(1..3)?.try_into().ok()?));
    let keys = octets.len().checked_sub(head_len)?;
    let each = keys.checked_div(count)?;
    (each.checked_mul(count)? == keys).then_some(each.checked_sub(LKH_KEY_HEADER_LEN)?)
}

fn lkh_keys(keys: &[LkhKey], context: &Context) -> Vec<Tree> {
    let describe = |key: &LkhKey| {
        let children = vec![
            Tree::leaf("handle", key.handle),
            Tree::leaf("type", named(names::kek_value(2, u64::from(key.key_type)), key.key_type)),
            Tree::leaf("created", key.created),
            Tree::leaf("expires", key.expires),
            Tree::leaf("data", context.key(&key.data)),
        ];
        Tree::branch("node", key.id, children)
    };
    keys.iter().map(describe).collect()
}

const LKH_KEY_HEADER_LEN: usize = 16;
