//! What a world recorded of one attempt.

use std::net::SocketAddr;

use hallmark_core::{Duration, Instant, UnixTime};
use hallmark_probe::world::{KeyRecord, Side};

/// One thing that happened, in the order of time.
#[derive(Clone, Debug)]
pub enum Entry {
    /// A datagram that the tester sent or received.
    Datagram {
        /// When, in the time of the world.
        at: Instant,
        /// When, by the tester's wall clock.
        wall: UnixTime,
        /// Whether the tester sent it.
        sent: bool,
        /// From where.
        src: SocketAddr,
        /// To where.
        dst: SocketAddr,
        /// The UDP payload.
        payload: Vec<u8>,
    },
    /// A whole IP packet that the tester sent.
    Packet {
        /// When, in the time of the world.
        at: Instant,
        /// When, by the tester's wall clock.
        wall: UnixTime,
        /// The packet.
        octets: Vec<u8>,
    },
    /// A whole IP packet at a data port of a subject.
    Carried {
        /// When, in the time of the world.
        at: Instant,
        /// When, by the tester's wall clock.
        wall: UnixTime,
        /// Whose port it is.
        subject: u8,
        /// Which port it is.
        side: Side,
        /// Whether the tester sent it: then it went into the port, otherwise it came out.
        sent: bool,
        /// The packet.
        octets: Vec<u8>,
    },
    /// A remark of the case, a check or a control.
    Note {
        /// When, in the time of the world.
        at: Instant,
        /// What it says.
        text: String,
    },
    /// A line of the subject's log.
    Log {
        /// When, in the time of the world.
        at: Instant,
        /// What it says.
        text: String,
    },
    /// A subject was started, stopped or given a command.
    Console {
        /// When, in the time of the world.
        at: Instant,
        /// What was done.
        text: String,
    },
}

impl Entry {
    /// Tells when it happened.
    #[must_use]
    pub const fn at(&self) -> Instant {
        match self {
            Self::Datagram { at, .. }
            | Self::Packet { at, .. }
            | Self::Carried { at, .. }
            | Self::Note { at, .. }
            | Self::Log { at, .. }
            | Self::Console { at, .. } => *at,
        }
    }
}

/// The record of one attempt.
#[derive(Clone, Debug, Default)]
pub struct Transcript {
    /// Everything that happened.
    pub entries: Vec<Entry>,
    /// Every key that was used.
    pub keys: Vec<KeyRecord>,
    /// The configuration texts that subjects were started from.
    pub configs: Vec<String>,
    /// What the world itself did wrong, if anything: nothing that a verdict could rest on.
    pub fault: Option<String>,
    /// How a subject ended by itself in the middle of the case, if one did.
    pub died: Option<String>,
}

impl Transcript {
    /// Tells how much time passed in the world.
    #[must_use]
    pub fn duration(&self) -> Duration {
        match (self.entries.first(), self.entries.last()) {
            (Some(first), Some(last)) => last.at() - first.at(),
            _ => Duration::ZERO,
        }
    }

    /// Writes everything that matters into one text, for comparing two runs octet for octet.
    #[must_use]
    pub fn canonical(&self) -> String {
        use std::fmt::Write as _;
        let mut out = String::new();
        for entry in &self.entries {
            let _ = match entry {
                Entry::Datagram { at, sent, src, dst, payload, .. } => {
                    writeln!(
                        out,
                        "{at} {} {src} {dst} {}",
                        if *sent { "sent" } else { "received" },
                        hex::encode(payload)
                    )
                }
                Entry::Packet { at, octets, .. } => writeln!(out, "{at} packet {}", hex::encode(octets)),
                Entry::Carried { at, subject, side, sent, octets, .. } => {
                    let way = if *sent { "into" } else { "out of" };
                    writeln!(out, "{at} {way} {}{subject} {}", side.as_str(), hex::encode(octets))
                }
                Entry::Note { at, text } => writeln!(out, "{at} note {text}"),
                Entry::Log { at, text } => writeln!(out, "{at} log {text}"),
                Entry::Console { at, text } => writeln!(out, "{at} console {text}"),
            };
        }
        out
    }
}
