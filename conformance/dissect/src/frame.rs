//! One captured frame and everything that was found out about it.

use std::net::SocketAddr;

use hallmark_core::{Code, UnixTime};
use hallmark_wire::describe::Tree;
use hallmark_wire::isakmp::Header;

use crate::check::Check;
use crate::compat::Switch;

/// Says what a frame holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// Message 1 to 6 of main mode; none where that cannot be told.
    MainMode(Option<u8>),
    /// Message 1 to 3 of aggressive mode.
    AggressiveMode(Option<u8>),
    /// Informational.
    Informational,
    /// Message 1 to 4 of GROUPKEY-PULL.
    Pull(Option<u8>),
    /// GROUPKEY-PUSH.
    Push,
    /// GROUPKEY-PUSH-ACK.
    PushAck,
    /// A message of another exchange.
    Exchange(u8),
    /// A piece of an IP packet that a later frame completes, or none.
    IpFragment,
    /// A piece of an ISAKMP message that a later frame completes, or none.
    IkeFragment,
    /// NAT keepalive.
    Keepalive,
    /// Something on our ports that is no ISAKMP message, or a packet that contradicts itself.
    Malformed,
    /// Anything else.
    NotOurs,
}

impl Kind {
    /// Gives a short name for people.
    #[must_use]
    pub fn label(self) -> String {
        let numbered = |name: &str, number: Option<u8>| match number {
            Some(number) => format!("{name} {number}"),
            None => name.to_owned(),
        };
        match self {
            Self::MainMode(number) => numbered("main mode", number),
            Self::AggressiveMode(number) => numbered("aggressive mode", number),
            Self::Informational => "informational".to_owned(),
            Self::Pull(number) => numbered("PULL", number),
            Self::Push => "PUSH".to_owned(),
            Self::PushAck => "PUSH-ACK".to_owned(),
            Self::Exchange(number) => format!("exchange {number}"),
            Self::IpFragment => "IP fragment".to_owned(),
            Self::IkeFragment => "IKE fragment".to_owned(),
            Self::Keepalive => "NAT keepalive".to_owned(),
            Self::Malformed => "malformed".to_owned(),
            Self::NotOurs => "not ISAKMP".to_owned(),
        }
    }

    /// Gives a stable name for machines.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::MainMode(_) => "main-mode",
            Self::AggressiveMode(_) => "aggressive-mode",
            Self::Informational => "informational",
            Self::Pull(_) => "pull",
            Self::Push => "push",
            Self::PushAck => "push-ack",
            Self::Exchange(_) => "exchange",
            Self::IpFragment => "ip-fragment",
            Self::IkeFragment => "ike-fragment",
            Self::Keepalive => "nat-keepalive",
            Self::Malformed => "malformed",
            Self::NotOurs => "not-isakmp",
        }
    }

    /// Gives the number of the message in its exchange.
    #[must_use]
    pub const fn number(self) -> Option<u8> {
        match self {
            Self::MainMode(number) | Self::AggressiveMode(number) | Self::Pull(number) => number,
            _ => None,
        }
    }

    /// Tells whether the frame completes an ISAKMP message.
    #[must_use]
    pub const fn is_message(self) -> bool {
        !matches!(self, Self::IpFragment | Self::IkeFragment | Self::Keepalive | Self::Malformed | Self::NotOurs)
    }
}

/// Says how the payloads of a message could be read.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub enum Protection {
    /// They are in clear.
    #[default]
    Clear,
    /// They were decrypted; says with which key.
    Decrypted(String),
    /// They could not be decrypted; says why.
    NotDecrypted(String),
}

/// Says why octets are no valid message.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Undecodable {
    /// The stable code of the reason.
    pub code: Code,
    /// The reason and where.
    pub detail: String,
}

/// Holds what was found out about one frame.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Frame {
    /// Position in the capture, from 1.
    pub number: usize,
    /// When it was captured.
    pub at: UnixTime,
    /// Index of the interface that saw it.
    pub interface: u32,
    /// Source and destination of the UDP datagram, as far as known.
    pub ends: Option<(SocketAddr, SocketAddr)>,
    /// Octets of the message, or of the frame if it holds none.
    pub octets: usize,
    /// What it is.
    pub kind: Kind,
    /// The ISAKMP header.
    pub header: Option<Header>,
    /// How the payloads could be read.
    pub protection: Protection,
    /// Names of the payloads in order.
    pub payloads: Vec<String>,
    /// The payloads in detail.
    pub tree: Vec<Tree>,
    /// What was verified.
    pub checks: Vec<Check>,
    /// What else is worth knowing.
    pub notes: Vec<String>,
    /// Why it does not decode.
    pub error: Option<Undecodable>,
    /// The frame that holds the same message, octet for octet.
    pub repeat_of: Option<usize>,
    /// Frames whose pieces the message was put together from.
    pub pieces: Vec<usize>,
    /// Deviations that are likely but not certain: the octets are legal without them too.
    pub suspects: Vec<Switch>,
}

impl Frame {
    /// Begins with a frame that nothing is known about.
    #[must_use]
    pub const fn new(number: usize, at: UnixTime, interface: u32, octets: usize) -> Self {
        Self {
            number,
            at,
            interface,
            ends: None,
            octets,
            kind: Kind::NotOurs,
            header: None,
            protection: Protection::Clear,
            payloads: Vec::new(),
            tree: Vec::new(),
            checks: Vec::new(),
            notes: Vec::new(),
            error: None,
            repeat_of: None,
            pieces: Vec::new(),
            suspects: Vec::new(),
        }
    }

    /// Tells whether nothing about the frame is wrong.
    #[must_use]
    pub fn is_ok(&self) -> bool {
        self.error.is_none() && !self.checks.iter().any(Check::is_failed)
    }

    /// Finds a check by its name.
    #[must_use]
    pub fn check(&self, name: &str) -> Option<&Check> {
        self.checks.iter().find(|check| check.name == name)
    }

    pub(crate) fn fail_to_decode(&mut self, code: Code, detail: impl Into<String>) {
        // The first reason is the cause; others follow from it.
        if self.error.is_none() {
            self.error = Some(Undecodable { code, detail: detail.into() });
        }
    }

    pub(crate) fn note(&mut self, note: impl Into<String>) {
        let note = note.into();
        if !self.notes.contains(&note) {
            self.notes.push(note);
        }
    }
}
