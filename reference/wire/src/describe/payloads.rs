//! Phase 1 and informational payloads.

use super::{Context, Layout, Tree, attributes, named};
use crate::error::DecodeError;
use crate::isakmp::{
    Certificate, CertificateRequest, Delete, Fragment, IdType, Identification, Notify, Proposal, SecurityAssociation,
    Transform, vendor_id as vendors,
};
use crate::names;

pub(super) fn security_association(body: &[u8]) -> Result<Tree, DecodeError> {
    let sa = SecurityAssociation::decode(body)?;
    let mut children =
        vec![Tree::leaf("doi", named(names::doi(sa.doi), sa.doi)), Tree::leaf("situation", sa.situation)];
    children.extend(sa.proposals.iter().map(proposal));
    Ok(Tree::branch("", "", children))
}

fn proposal(proposal: &Proposal) -> Tree {
    let mut children =
        vec![Tree::leaf("protocol", named(names::isakmp_protocol(proposal.protocol), proposal.protocol))];
    if !proposal.spi.is_empty() {
        children.push(Tree::leaf("spi", names::hex(&proposal.spi)));
    }
    children.extend(proposal.transforms.iter().map(transform));
    Tree::branch("proposal", proposal.number, children)
}

fn transform(transform: &Transform) -> Tree {
    let id = named((transform.id == 1).then_some("KEY_IKE"), transform.id);
    let mut children = vec![Tree::leaf("id", id)];
    children.extend(attributes(&transform.attributes, names::ike_attribute, names::ike_value));
    Tree::branch("transform", transform.number, children)
}

pub(super) fn identification(body: &[u8], context: &Context) -> Result<Tree, DecodeError> {
    let id = Identification::decode(body)?;
    let value = match (context.layout, id.id_type, context.dialect.group_id(&id)) {
        (Layout::Gdoi, IdType::KEY_ID, Some(group)) => format!("group {group}"),
        _ => id.to_string(),
    };
    let mut children = vec![Tree::leaf("type", named(id.id_type.name(), id.id_type.0))];
    if id.protocol != 0 || id.port != 0 {
        children.push(Tree::leaf("protocol", id.protocol));
        children.push(Tree::leaf("port", id.port));
    }
    children.push(Tree::leaf("data", names::hex(&id.data)));
    Ok(Tree::branch("", value, children))
}

pub(super) fn notify(body: &[u8]) -> Result<Tree, DecodeError> {
    let notify = Notify::decode(body)?;
    let mut children = vec![
        Tree::leaf("doi", named(names::doi(notify.doi), notify.doi)),
        Tree::leaf("protocol", named(names::isakmp_protocol(notify.protocol), notify.protocol)),
        Tree::leaf("spi", names::hex(&notify.spi)),
    ];
    if !notify.data.is_empty() {
        children.push(Tree::leaf("data", names::hex(&notify.data)));
    }
    Ok(Tree::branch("", named(notify.kind.name(), notify.kind.0), children))
}

pub(super) fn delete(body: &[u8], context: &Context) -> Result<Tree, DecodeError> {
    let delete = Delete::decode(body)?;
    let protocol = match context.layout {
        Layout::Phase1 => names::isakmp_protocol(delete.protocol),
        Layout::Gdoi => names::gdoi_protocol(delete.protocol),
    };
    let mut children = vec![
        Tree::leaf("doi", named(names::doi(delete.doi), delete.doi)),
        Tree::leaf("protocol", named(protocol, delete.protocol)),
    ];
    children.extend(delete.spis.iter().map(|spi| Tree::leaf("spi", names::hex(spi))));
    Ok(Tree::branch("", format!("{} SPIs", delete.spis.len()), children))
}

pub(super) fn certificate(body: &[u8]) -> Result<Tree, DecodeError> {
    let certificate = Certificate::decode(body)?;
    let encoding = named(names::certificate_encoding(certificate.encoding), certificate.encoding);
    Ok(Tree::branch("", encoding, vec![Tree::leaf("data", names::hex(&certificate.data))]))
}

pub(super) fn certificate_request(body: &[u8]) -> Result<Tree, DecodeError> {
    let request = CertificateRequest::decode(body)?;
    let encoding = named(names::certificate_encoding(request.encoding), request.encoding);
    let authority = if request.authority.is_empty() { "any".to_owned() } else { names::hex(&request.authority) };
    Ok(Tree::branch("", encoding, vec![Tree::leaf("authority", authority)]))
}

pub(super) fn vendor_id(body: &[u8]) -> Tree {
    match vendors::name(body) {
        Some(name) => Tree::branch("", name, vec![Tree::leaf("data", names::hex(body))]),
        None => Tree::leaf("", names::hex(body)),
    }
}

pub(super) fn fragment(body: &[u8]) -> Result<Tree, DecodeError> {
    let fragment = Fragment::decode(body)?;
    let last = if fragment.is_last() { ", last" } else { "" };
    let value = format!("{} of message {}{last}", fragment.number, fragment.id);
    Ok(Tree::branch("", value, vec![Tree::leaf("data", names::hex(&fragment.data))]))
}
