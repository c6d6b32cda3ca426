//! Changes to a message before it is encrypted: for the `content` and `sealed` stages of a [`crate::Tamper`].
//!
//! Each function finds what it changes by payload type and does nothing if it is not there. The typed ones (`gdoi_sa`,
//! `kd`, `identification` ...) decode a payload, lend the value and encode it again; the raw ones force a length, a
//! next payload or a reserved octet and leave the rest alone.

use hallmark_wire::gdoi::{Dialect, Gap, GdoiSa, KeyDownload, KeyPacket, SaAttribute, SaKek, SaTek, Sequence};
use hallmark_wire::isakmp::{
    Attribute, Attributes, Delete, Identification, Notify, PayloadType, SecurityAssociation, payload_octets,
};
use hallmark_wire::raw::{Field, RawBody, RawMessage, RawPayload, parse_payloads};

use crate::seen::limits;

/// Lends the body octets of the first payload of a type.
pub fn body(message: &mut RawMessage, kind: PayloadType, edit: impl FnOnce(&mut Vec<u8>)) {
    if let Some(payload) = message.find_mut(kind) {
        let mut octets = payload.body_octets();
        edit(&mut octets);
        payload.body = RawBody::Octets(octets);
    }
}

/// Replaces the body of the first payload of a type.
pub fn set_body(message: &mut RawMessage, kind: PayloadType, octets: Vec<u8>) {
    body(message, kind, |body| *body = octets);
}

/// Flips one bit in the body of the first payload of a type.
pub fn flip_bit(message: &mut RawMessage, kind: PayloadType, octet: usize, bit: u8) {
    body(message, kind, |body| crate::tamper::octets::flip_bit(body, octet, bit));
}

/// Leaves out every payload of a type.
pub fn remove(message: &mut RawMessage, kind: PayloadType) {
    message.payloads.retain(|payload| payload.kind != kind.0);
}

/// Puts a second copy of the first payload of a type behind it.
pub fn duplicate(message: &mut RawMessage, kind: PayloadType) {
    let Some(at) = position(message, kind) else { return };
    let Some(copy) = message.payloads.get(at).cloned() else { return };
    message.payloads.insert(at + 1, copy);
}

/// Exchanges the first payloads of two types.
pub fn swap(message: &mut RawMessage, a: PayloadType, b: PayloadType) {
    if let (Some(a), Some(b)) = (position(message, a), position(message, b)) {
        message.payloads.swap(a, b);
    }
}

/// Moves the first payload of a type to the end.
pub fn move_last(message: &mut RawMessage, kind: PayloadType) {
    if let Some(at) = position(message, kind) {
        let payload = message.payloads.remove(at);
        message.payloads.push(payload);
    }
}

/// Adds a payload at the end.
pub fn push(message: &mut RawMessage, kind: PayloadType, body: Vec<u8>) {
    message.payloads.push(RawPayload::new(kind, body));
}

/// Adds a payload in front of the first payload of a type, or at the end.
pub fn insert_before(message: &mut RawMessage, before: PayloadType, kind: PayloadType, body: Vec<u8>) {
    let at = position(message, before).unwrap_or(message.payloads.len());
    message.payloads.insert(at, RawPayload::new(kind, body));
}

/// Adds a payload behind the first payload of a type, or at the end.
pub fn insert_after(message: &mut RawMessage, after: PayloadType, kind: PayloadType, body: Vec<u8>) {
    let at = position(message, after).map_or(message.payloads.len(), |at| at + 1);
    message.payloads.insert(at, RawPayload::new(kind, body));
}

/// Gives the first payload of a type another type; what it announces by its own octets stays.
pub fn retype(message: &mut RawMessage, kind: PayloadType, other: PayloadType) {
    if let Some(payload) = message.find_mut(kind) {
        payload.kind = other.0;
    }
}

/// Forces the length field of the first payload of a type.
pub fn set_length(message: &mut RawMessage, kind: PayloadType, length: u16) {
    if let Some(payload) = message.find_mut(kind) {
        payload.length = Field::Force(length);
    }
}

/// Makes the length field of the first payload of a type wrong by so much.
pub fn add_length(message: &mut RawMessage, kind: PayloadType, by: i32) {
    if let Some(payload) = message.find_mut(kind) {
        let right = i32::try_from(payload.body_octets().len() + 4).unwrap_or(i32::MAX);
        let wrong = right.saturating_add(by).clamp(0, i32::from(u16::MAX));
        payload.length = Field::Force(u16::try_from(wrong).unwrap_or(u16::MAX));
    }
}

/// Forces the reserved octet of the first payload of a type.
pub fn set_reserved(message: &mut RawMessage, kind: PayloadType, reserved: u8) {
    if let Some(payload) = message.find_mut(kind) {
        payload.reserved = reserved;
    }
}

/// Forces what the first payload of a type announces as the next payload.
pub fn set_next(message: &mut RawMessage, kind: PayloadType, next: u8) {
    if let Some(payload) = message.find_mut(kind) {
        payload.next = Field::Force(next);
    }
}

/// Forces what the last payload announces as the next payload: a chain that goes on where nothing is left.
pub fn dangle(message: &mut RawMessage, next: u8) {
    if let Some(payload) = message.payloads.last_mut() {
        payload.next = Field::Force(next);
    }
}

/// Lends the phase 1 SA payload.
pub fn sa(message: &mut RawMessage, edit: impl FnOnce(&mut SecurityAssociation)) {
    typed(message, PayloadType::SA, SecurityAssociation::decode, SecurityAssociation::encode_body, edit);
}

/// Lends the attributes of one transform of the phase 1 SA payload.
pub fn transform(message: &mut RawMessage, index: usize, edit: impl FnOnce(&mut Attributes)) {
    sa(message, |sa| {
        let transform = sa.proposals.first_mut().and_then(|proposal| proposal.transforms.get_mut(index));
        if let Some(transform) = transform {
            edit(&mut transform.attributes);
        }
    });
}

/// Lends the Identification payload.
pub fn identification(message: &mut RawMessage, edit: impl FnOnce(&mut Identification)) {
    typed(message, PayloadType::ID, Identification::decode, Identification::encode_body, edit);
}

/// Lends the first Notification payload.
pub fn notify(message: &mut RawMessage, edit: impl FnOnce(&mut Notify)) {
    typed(message, PayloadType::NOTIFY, Notify::decode, Notify::encode_body, edit);
}

/// Lends the first Delete payload.
pub fn delete(message: &mut RawMessage, edit: impl FnOnce(&mut Delete)) {
    typed(message, PayloadType::DELETE, Delete::decode, Delete::encode_body, edit);
}

/// Sets the value of the SEQ payload.
pub fn sequence(message: &mut RawMessage, value: u32) {
    set_body(message, PayloadType::SEQ, Sequence(value).encode_body());
}

/// Lends the SA payload of PULL message 2 or of a PUSH.
pub fn gdoi_sa(message: &mut RawMessage, edit: impl FnOnce(&mut GdoiSa)) {
    let decode = |body: &[u8]| GdoiSa::decode(body, &Dialect::default(), &limits());
    typed(message, PayloadType::SA, decode, |sa| sa.encode_body(&Dialect::default()), edit);
}

/// Lends the SA KEK payload inside the SA payload.
pub fn sak(message: &mut RawMessage, edit: impl FnOnce(&mut SaKek)) {
    gdoi_sa(message, |sa| {
        let sak = sa.attributes.iter_mut().find_map(|attribute| match attribute {
            SaAttribute::Kek(sak) => Some(sak),
            _ => None,
        });
        if let Some(sak) = sak {
            edit(sak);
        }
    });
}

/// Lends the n-th SA TEK payload inside the SA payload.
pub fn sat(message: &mut RawMessage, index: usize, edit: impl FnOnce(&mut SaTek)) {
    gdoi_sa(message, |sa| {
        let mut teks = sa.attributes.iter_mut().filter_map(|attribute| match attribute {
            SaAttribute::Tek(tek) => Some(tek),
            _ => None,
        });
        if let Some(tek) = teks.nth(index) {
            edit(tek);
        }
    });
}

/// Lends the GAP payload: inside the SA payload, or the one of PULL message 3.
pub fn gap(message: &mut RawMessage, edit: impl FnOnce(&mut Gap)) {
    if message.find_mut(PayloadType::GAP).is_some() {
        typed(message, PayloadType::GAP, Gap::decode, Gap::encode_body, edit);
        return;
    }
    gdoi_sa(message, |sa| {
        let gap = sa.attributes.iter_mut().find_map(|attribute| match attribute {
            SaAttribute::Gap(gap) => Some(gap),
            _ => None,
        });
        if let Some(gap) = gap {
            edit(gap);
        }
    });
}

/// Lends the SA payload of PULL message 2, of a PUSH or of phase 1 as a raw tree: the octets in front of its inner
/// payloads and those payloads, whose lengths, next payloads and order can then be forced.
///
/// For a GDOI SA the prefix is DOI (4), situation (4), SA Attribute Next Payload (2), RESERVED2 (2). It stays as it is
/// when the inner payloads change.
pub fn sa_tree(message: &mut RawMessage, edit: impl FnOnce(&mut Vec<u8>, &mut Vec<RawPayload>)) {
    let Some(payload) = message.find_mut(PayloadType::SA) else { return };
    let whole = payload_octets(PayloadType::NONE, &payload.body_octets());
    let Ok(parsed) = parse_payloads(PayloadType::SA, &whole, true) else { return };
    let Some(parsed) = parsed.into_iter().next() else { return };
    payload.body = parsed.body;
    if let RawBody::Nested { prefix, children } = &mut payload.body {
        edit(prefix, children);
    }
}

/// Lends the body octets of the n-th payload of a type inside the SA payload (SAK, GAP or SAT).
pub fn sa_inner(message: &mut RawMessage, kind: PayloadType, index: usize, edit: impl FnOnce(&mut Vec<u8>)) {
    sa_tree(message, |_, children| {
        if let Some(child) = children.iter_mut().filter(|child| child.kind == kind.0).nth(index) {
            let mut octets = child.body_octets();
            edit(&mut octets);
            child.body = RawBody::Octets(octets);
        }
    });
}

/// Lends the KD payload.
pub fn kd(message: &mut RawMessage, edit: impl FnOnce(&mut KeyDownload)) {
    let decode = |body: &[u8]| KeyDownload::decode(body, &limits());
    typed(message, PayloadType::KEY_DOWNLOAD, decode, KeyDownload::encode_body, edit);
}

/// Lends the first key packet of a type (see `hallmark_wire::gdoi::kd_type`).
pub fn packet(message: &mut RawMessage, kd_type: u8, edit: impl FnOnce(&mut KeyPacket)) {
    kd(message, |kd| {
        if let Some(packet) = kd.packets.iter_mut().find(|packet| packet.kd_type == kd_type) {
            edit(packet);
        }
    });
}

/// Changes to attribute lists.
pub mod attributes {
    use super::{Attribute, Attributes};
    use hallmark_wire::isakmp::AttributeValue;

    /// Gives the attribute of a class another value, in basic form, or adds it.
    pub fn set(attributes: &mut Attributes, class: u16, value: u16) {
        replace(attributes, Attribute::basic(class, value));
    }

    /// Replaces the first attribute of the same class, or adds it.
    pub fn replace(attributes: &mut Attributes, attribute: Attribute) {
        match attributes.0.iter_mut().find(|other| other.class == attribute.class) {
            Some(other) => *other = attribute,
            None => attributes.0.push(attribute),
        }
    }

    /// Leaves out every attribute of a class.
    pub fn remove(attributes: &mut Attributes, class: u16) {
        attributes.0.retain(|attribute| attribute.class != class);
    }

    /// Adds an attribute in basic form at the end, whatever is there.
    pub fn add(attributes: &mut Attributes, class: u16, value: u16) {
        attributes.0.push(Attribute::basic(class, value));
    }

    /// Writes the attribute of a class in variable form with so many octets.
    pub fn to_variable(attributes: &mut Attributes, class: u16, len: usize) {
        let Some(value) = attributes.uint(class) else { return };
        let octets = value.to_be_bytes();
        let mut padded = vec![0; len.saturating_sub(octets.len())];
        padded.extend(octets.get(octets.len().saturating_sub(len)..).unwrap_or_default());
        replace(attributes, Attribute::variable(class, padded));
    }

    /// Writes the attribute of a class in basic form, if its value fits.
    pub fn to_basic(attributes: &mut Attributes, class: u16) {
        if let Some(value) = attributes.uint(class).and_then(|value| u16::try_from(value).ok()) {
            replace(attributes, Attribute::basic(class, value));
        }
    }

    /// Cuts or zero-extends the value of the variable attribute of a class.
    pub fn resize(attributes: &mut Attributes, class: u16, len: usize) {
        for attribute in &mut attributes.0 {
            if attribute.class == class
                && let AttributeValue::Variable(octets) = &mut attribute.value
            {
                octets.resize(len, 0);
            }
        }
    }
}

fn typed<T, E>(
    message: &mut RawMessage,
    kind: PayloadType,
    decode: impl FnOnce(&[u8]) -> Result<T, E>,
    encode: impl FnOnce(&T) -> Vec<u8>,
    edit: impl FnOnce(&mut T),
) {
    body(message, kind, |octets| {
        if let Ok(mut value) = decode(octets) {
            edit(&mut value);
            *octets = encode(&value);
        }
    });
}

fn position(message: &RawMessage, kind: PayloadType) -> Option<usize> {
    message.payloads.iter().position(|payload| payload.kind == kind.0)
}
