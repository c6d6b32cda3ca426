//! What is wrong with octets that could not be decoded.

use std::fmt;

use hallmark_core::Code;

/// Says which rule the octets break, and where.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct DecodeError {
    /// The stable name of the broken rule.
    pub code: Code,
    /// The format that was being read.
    pub layer: Layer,
    /// Position of the offending octet, counted from the start of what was handed to `decode`.
    pub offset: usize,
    /// Octets (or entries, or the value) that the format asks for there.
    pub need: usize,
    /// Octets (or entries, or the value) that are there.
    pub have: usize,
}

impl DecodeError {
    /// Names a fault that several formats share.
    #[must_use]
    pub const fn new(layer: Layer, fault: Fault, offset: usize, need: usize, have: usize) -> Self {
        Self { code: layer.code(fault), layer, offset, need, have }
    }

    /// Names a fault that only one format knows.
    #[must_use]
    pub const fn with_code(code: &'static str, layer: Layer, offset: usize, need: usize, have: usize) -> Self {
        Self { code: Code(code), layer, offset, need, have }
    }

    /// Moves the position, for a part that was decoded by itself.
    #[must_use]
    pub const fn shifted(mut self, base: usize) -> Self {
        self.offset = self.offset.saturating_add(base);
        self
    }
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at offset {}: need {}, have {}", self.code, self.offset, self.need, self.have)
    }
}

impl std::error::Error for DecodeError {}

/// Names the format that was being read.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Layer {
    /// IPv4 or IPv6 packet.
    Ip,
    /// UDP datagram.
    Udp,
    /// ICMP or ICMPv6 message.
    Icmp,
    /// ISAKMP message.
    Isakmp,
    /// ISAKMP payload.
    Payload,
    /// Phase 1 proposal.
    Proposal,
    /// Phase 1 transform.
    Transform,
    /// Data attribute.
    Attribute,
    /// GDOI SA payload.
    GdoiSa,
    /// SA KEK payload.
    Sak,
    /// SA TEK payload.
    Sat,
    /// Group associated policy payload.
    Gap,
    /// Key download payload.
    Kd,
    /// Key packet of a key download.
    KeyPacket,
    /// LKH array.
    Lkh,
    /// Capture file.
    Capture,
}

/// Names a fault that several formats share.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fault {
    /// The octets end inside a field.
    Truncated,
    /// Octets are left over behind the last field.
    Trailing,
    /// A reserved field is not zero.
    Reserved,
    /// A length field contradicts what is there.
    Length,
    /// A next payload field announces what is not there or may not be there.
    DanglingNext,
    /// More entries than the limit allows.
    TooMany,
    /// A count field contradicts what is there.
    Count,
    /// A version is unknown.
    Version,
}

macro_rules! fault_codes {
    ($fault:expr, $prefix:literal) => {
        Code(match $fault {
            Fault::Truncated => concat!($prefix, ".truncated"),
            Fault::Trailing => concat!($prefix, ".trailing"),
            Fault::Reserved => concat!($prefix, ".reserved"),
            Fault::Length => concat!($prefix, ".length"),
            Fault::DanglingNext => concat!($prefix, ".dangling-next"),
            Fault::TooMany => concat!($prefix, ".too-many"),
            Fault::Count => concat!($prefix, ".count"),
            Fault::Version => concat!($prefix, ".version"),
        })
    };
}

impl Layer {
    /// Gives the stable code of a shared fault in this format.
    #[must_use]
    pub const fn code(self, fault: Fault) -> Code {
        match self {
            Self::Ip => fault_codes!(fault, "ip"),
            Self::Udp => fault_codes!(fault, "udp"),
            Self::Icmp => fault_codes!(fault, "icmp"),
            Self::Isakmp => fault_codes!(fault, "isakmp"),
            Self::Payload => fault_codes!(fault, "isakmp.payload"),
            Self::Proposal => fault_codes!(fault, "isakmp.proposal"),
            Self::Transform => fault_codes!(fault, "isakmp.transform"),
            Self::Attribute => fault_codes!(fault, "isakmp.attribute"),
            Self::GdoiSa => fault_codes!(fault, "gdoi.sa"),
            Self::Sak => fault_codes!(fault, "gdoi.sak"),
            Self::Sat => fault_codes!(fault, "gdoi.sat"),
            Self::Gap => fault_codes!(fault, "gdoi.gap"),
            Self::Kd => fault_codes!(fault, "gdoi.kd"),
            Self::KeyPacket => fault_codes!(fault, "gdoi.key-packet"),
            Self::Lkh => fault_codes!(fault, "gdoi.lkh"),
            Self::Capture => fault_codes!(fault, "capture"),
        }
    }
}
