//! Dissection for people: payloads as a tree of labels and values.
//!
//! The tree prints as indented lines and is easy to turn into other formats. It is total: what does not decode is
//! shown with the reason and its octets.

mod gdoi;
mod payloads;

use std::fmt;

use hallmark_core::Limits;

use crate::error::DecodeError;
use crate::gdoi::Dialect;
use crate::isakmp::{Attribute, AttributeValue, Attributes, Chain, ExchangeType, Flags, Header, Message, PayloadType};
use crate::names;

/// Holds one line of a dissection and the lines below it.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Tree {
    /// What it is.
    pub label: String,
    /// What it says; empty where the children say it.
    pub value: String,
    /// Its parts.
    pub children: Vec<Self>,
}

impl Tree {
    /// Makes a line without parts.
    #[must_use]
    pub fn leaf(label: impl Into<String>, value: impl ToString) -> Self {
        Self { label: label.into(), value: value.to_string(), children: Vec::new() }
    }

    /// Makes a line with parts.
    #[must_use]
    pub fn branch(label: impl Into<String>, value: impl ToString, children: Vec<Self>) -> Self {
        Self { label: label.into(), value: value.to_string(), children }
    }

    /// Finds a direct part by its label.
    #[must_use]
    pub fn child(&self, label: &str) -> Option<&Self> {
        self.children.iter().find(|child| child.label == label)
    }

    /// Gives the indented lines.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        let mut lines = Vec::new();
        self.collect_lines(0, &mut lines);
        lines
    }

    fn collect_lines(&self, depth: usize, lines: &mut Vec<String>) {
        let indent = "  ".repeat(depth);
        lines.push(match (self.label.is_empty(), self.value.is_empty()) {
            (false, false) => format!("{indent}{}: {}", self.label, self.value),
            (false, true) => format!("{indent}{}", self.label),
            (true, _) => format!("{indent}{}", self.value),
        });
        for child in &self.children {
            child.collect_lines(depth.saturating_add(1), lines);
        }
    }
}

impl fmt::Display for Tree {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.lines().join("\n"))
    }
}

/// Tells the two layouts of an SA payload apart.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Layout {
    /// Phase 1: proposals and transforms.
    Phase1,
    /// PULL and PUSH: policies of a group.
    Gdoi,
}

/// Says how payloads are to be read and what may be shown.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Context {
    /// Layout of SA payloads and meaning of protocol numbers.
    pub layout: Layout,
    /// Known deviations of the sender.
    pub dialect: Dialect,
    /// Whether keys are shown; otherwise only their size.
    pub reveal_keys: bool,
}

impl Context {
    /// Reads phase 1 and informational exchanges.
    #[must_use]
    pub const fn phase1() -> Self {
        Self { layout: Layout::Phase1, dialect: Dialect::RFC6407, reveal_keys: false }
    }

    /// Reads GDOI exchanges.
    #[must_use]
    pub const fn gdoi(dialect: Dialect) -> Self {
        Self { layout: Layout::Gdoi, dialect, reveal_keys: false }
    }

    /// Chooses the layout that belongs to an exchange.
    #[must_use]
    pub const fn of_exchange(exchange: ExchangeType, dialect: Dialect) -> Self {
        match exchange {
            ExchangeType::PULL | ExchangeType::PUSH | ExchangeType::PUSH_ACK => Self::gdoi(dialect),
            _ => Self { dialect, ..Self::phase1() },
        }
    }

    /// Shows keys too.
    #[must_use]
    pub const fn revealing_keys(mut self) -> Self {
        self.reveal_keys = true;
        self
    }

    /// Writes a key as the context allows.
    fn key(&self, octets: &[u8]) -> String {
        if self.reveal_keys { names::hex(octets) } else { format!("({} octets, hidden)", octets.len()) }
    }
}

/// Describes a whole datagram; an encrypted body is shown as its size.
#[must_use]
pub fn message(datagram: &[u8], dialect: Dialect) -> Tree {
    let message = match Message::decode(datagram) {
        Ok(message) => message,
        Err(error) => return undecoded("ISAKMP", &error, datagram),
    };
    let mut tree = header(&message.header);
    if message.header.flags.contains(Flags::ENCRYPTION) {
        tree.children.push(Tree::leaf("encrypted", format!("{} octets", message.body.len())));
        return tree;
    }
    let context = Context::of_exchange(message.header.exchange, dialect);
    match message.chain(&Limits::default()) {
        Ok(decoded) => tree.children.extend(chain(&decoded, &context)),
        Err(error) => tree.children.push(undecoded("payloads", &error, message.body)),
    }
    tree
}

/// Describes a header.
#[must_use]
pub fn header(header: &Header) -> Tree {
    let version = format!("{}.{}", header.version >> 4, header.version & 0xf);
    let children = vec![
        Tree::leaf("initiator cookie", names::hex(&header.initiator_cookie)),
        Tree::leaf("responder cookie", names::hex(&header.responder_cookie)),
        Tree::leaf("next payload", named(header.next.name(), header.next.0)),
        Tree::leaf("version", version),
        Tree::leaf("exchange", named(header.exchange.name(), header.exchange.0)),
        Tree::leaf("flags", header.flags),
        Tree::leaf("message id", format!("{:08x}", header.message_id)),
        Tree::leaf("length", header.length),
    ];
    Tree::branch("ISAKMP", header.exchange, children)
}

/// Describes every payload of a chain, and what is behind the last one.
#[must_use]
pub fn chain(chain: &Chain<'_>, context: &Context) -> Vec<Tree> {
    let mut trees: Vec<_> = chain.iter().map(|view| payload(view.kind, view.body, context)).collect();
    if !chain.trailing().is_empty() {
        trees.push(Tree::leaf("padding", names::hex(chain.trailing())));
    }
    trees
}

/// Describes the body of one payload.
#[must_use]
pub fn payload(kind: PayloadType, body: &[u8], context: &Context) -> Tree {
    let described = match (kind, context.layout) {
        (PayloadType::SA, Layout::Phase1) => payloads::security_association(body),
        (PayloadType::SA, Layout::Gdoi) => gdoi::security_association(body, context),
        (PayloadType::KEY_DOWNLOAD, Layout::Gdoi) => gdoi::key_download(body, context),
        (PayloadType::GAP, Layout::Gdoi) => gdoi::gap(body),
        (PayloadType::SEQ, Layout::Gdoi) => gdoi::sequence(body),
        (PayloadType::SA_KEK, Layout::Gdoi) => gdoi::sa_kek(body, context),
        (PayloadType::SA_TEK, Layout::Gdoi) => gdoi::sa_tek(body, context),
        (PayloadType::ID, _) => payloads::identification(body, context),
        (PayloadType::NOTIFY, _) => payloads::notify(body),
        (PayloadType::DELETE, _) => payloads::delete(body, context),
        (PayloadType::CERT, _) => payloads::certificate(body),
        (PayloadType::CERT_REQ, _) => payloads::certificate_request(body),
        (PayloadType::VENDOR_ID, _) => Ok(payloads::vendor_id(body)),
        (PayloadType::FRAGMENT, _) => payloads::fragment(body),
        _ => Ok(Tree::leaf("", names::hex(body))),
    };
    let label = kind.name().map_or_else(|| format!("payload {}", kind.0), str::to_owned);
    match described {
        Ok(tree) => Tree { label, ..tree },
        Err(error) => undecoded(&label, &error, body),
    }
}

/// Shows octets that do not decode with the reason.
fn undecoded(label: &str, error: &DecodeError, octets: &[u8]) -> Tree {
    let children = vec![Tree::leaf("error", error), Tree::leaf("octets", names::hex(octets))];
    Tree::branch(label, "malformed", children)
}

/// Writes a number with its name, if it has one.
fn named(name: Option<&str>, number: impl fmt::Display) -> String {
    name.map_or_else(|| number.to_string(), |name| format!("{name} ({number})"))
}

/// Describes attributes with the names of their registry.
fn attributes(
    attributes: &Attributes,
    class_name: impl Fn(u16) -> Option<&'static str>,
    value_name: impl Fn(u16, u64) -> Option<&'static str>,
) -> Vec<Tree> {
    let describe = |attribute: &Attribute| {
        let class = attribute.class;
        let label = class_name(class).map_or_else(|| format!("attribute {class}"), str::to_owned);
        let value = match (&attribute.value, attribute.as_u64()) {
            (AttributeValue::Variable(octets), None) => names::hex(octets),
            (AttributeValue::Variable(octets), Some(_)) if octets.is_empty() => "(empty)".to_owned(),
            (_, Some(number)) => named(value_name(class, number), number),
            (AttributeValue::Basic(number), None) => number.to_string(),
        };
        Tree::leaf(label, value)
    };
    attributes.iter().map(describe).collect()
}

#[cfg(test)]
mod tests;
