//! What the data plane reports, for logs and for the control plane.
//!
//! Events never allocate, wait in a bounded queue and are rate-limited for each kind: those that are left out are
//! counted and the count travels with the next event of the kind. Names of log lines are those of getvpn.md §7.2-7.3.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::net::IpAddr;

use hallmark_core::{Duration, Instant};
use serde::Serialize;

use crate::reason::Reason;

/// Reports something that an operator or the control plane has to know.
#[derive(Clone, Copy, PartialEq, Debug, Serialize)]
pub struct Event {
    /// When.
    #[serde(serialize_with = "crate::status::seconds")]
    pub at: Instant,
    /// What.
    pub kind: EventKind,
    /// How many of the kind were left out since the one before.
    pub suppressed: u64,
}

/// Names what happened. Addresses are those of the outer header unless said otherwise.
#[derive(Clone, Copy, PartialEq, Debug, Serialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum EventKind {
    /// A packet had an SPI that no SA has.
    InvalidSpi {
        /// The SPI.
        spi: u32,
        /// Outer source.
        src: IpAddr,
        /// Outer destination.
        dst: IpAddr,
    },
    /// A packet came in clear that should have been protected.
    NotIpsec {
        /// Source.
        src: IpAddr,
        /// Destination.
        dst: IpAddr,
        /// Protocol.
        protocol: u8,
    },
    /// A packet had a wrong ICV.
    MacError {
        /// The SPI.
        spi: u32,
        /// Outer source.
        src: IpAddr,
        /// Outer destination.
        dst: IpAddr,
        /// Low half of the sequence number.
        sequence: u32,
    },
    /// A packet was a copy or too old by its sequence number, or (as it accompanies [`EventKind::TimeReplay`]) by its
    /// time.
    ReplayError {
        /// The SPI.
        spi: u32,
        /// Outer source.
        src: IpAddr,
        /// Outer destination.
        dst: IpAddr,
        /// Low half of the sequence number.
        sequence: u32,
    },
    /// A packet lay outside the time window.
    TimeReplay {
        /// Outer source; absent only under a defect.
        src: Option<IpAddr>,
        /// Outer destination; absent only under a defect.
        dst: Option<IpAddr>,
        /// Own time in seconds.
        my_pseudotime: f64,
        /// Time of the stamp in seconds.
        peer_pseudotime: f64,
        /// Window in seconds.
        window: f64,
    },
    /// An ESP packet was refused for its form or content.
    Refused {
        /// Why.
        reason: Reason,
        /// The SPI.
        spi: u32,
        /// Outer source.
        src: IpAddr,
        /// Outer destination.
        dst: IpAddr,
        /// Low half of the sequence number.
        sequence: u32,
    },
    /// The inner addresses are not the outer ones although they are to be.
    AddressMismatch {
        /// The SPI.
        spi: u32,
        /// Outer source.
        src: IpAddr,
        /// Outer destination.
        dst: IpAddr,
        /// Low half of the sequence number.
        sequence: u32,
    },
    /// The inner packet is not of the SA's traffic.
    SelectorMismatch {
        /// The SPI.
        spi: u32,
        /// Outer source.
        src: IpAddr,
        /// Outer destination.
        dst: IpAddr,
        /// Low half of the sequence number.
        sequence: u32,
    },
    /// Inner and outer ECN fields form a combination that no sender makes.
    EcnUnused {
        /// The SPI.
        spi: u32,
        /// Outer source.
        src: IpAddr,
        /// Outer destination.
        dst: IpAddr,
        /// Inner ECN field.
        inner: u8,
        /// Outer ECN field.
        outer: u8,
    },
    /// The sequence numbers of an SA have run out: nothing is sent on it any more.
    SequenceExhausted {
        /// The SPI.
        spi: u32,
    },
    /// The initialisation vectors of every sender id have run out, or there is no sender id.
    SenderIdsExhausted {
        /// The SPI.
        spi: u32,
    },
    /// The extended sequence numbers of an SA were found again after a loss of 2^32 packets or more.
    SequenceResynchronised {
        /// The SPI.
        spi: u32,
        /// The highest number that was received before.
        from: u64,
        /// The number that a packet was genuine with.
        to: u64,
    },
    /// A path MTU was learned.
    PmtuLearned {
        /// Destination of the path.
        dst: IpAddr,
        /// The path MTU for ESP packets, in octets.
        mtu: u16,
        /// Who reported it.
        reporter: IpAddr,
    },
    /// Fragments were dropped because their room is full.
    FragmentFlood {
        /// Outer source.
        src: IpAddr,
        /// Outer destination.
        dst: IpAddr,
    },
    /// Traffic of the permit class was dropped because there is no usable SA.
    NoUsableSa {
        /// Source.
        src: IpAddr,
        /// Destination.
        dst: IpAddr,
    },
    /// The control plane should register again, because members use an SA that this one does not have.
    Recovery {
        /// The unknown SPI.
        spi: u32,
    },
    /// An SA of the policy cannot be used, or not for sending.
    SaRefused {
        /// The SPI.
        spi: u32,
        /// Why.
        why: &'static str,
    },
}

impl EventKind {
    /// Counts the kinds.
    pub(crate) const COUNT: usize = 17;

    /// The names of the log lines in the order of the kinds.
    const MNEMONICS: [&'static str; Self::COUNT] = [
        "RECVD_PKT_INV_SPI",
        "RECVD_PKT_NOT_IPSEC",
        "RECVD_PKT_MAC_ERR",
        "PKT_REPLAY_ERR",
        "TIMEBASED_REPLAY_FAILED",
        "RECVD_PKT_REFUSED",
        "RECVD_PKT_ADDR_MISMATCH",
        "RECVD_PKT_NOT_IN_POLICY",
        "RECVD_PKT_ECN_UNUSED",
        "SA_SEQUENCE_EXHAUSTED",
        "SENDER_IDS_EXHAUSTED",
        "PMTU_LEARNED",
        "FRAGMENT_FLOOD",
        "NO_USABLE_SA",
        "GM_RECOVERY_REGISTRATION",
        "SA_REFUSED",
        "SA_SEQUENCE_RESYNC",
    ];

    /// Gives the position of the kind.
    pub(crate) const fn index(&self) -> usize {
        match self {
            Self::InvalidSpi { .. } => 0,
            Self::NotIpsec { .. } => 1,
            Self::MacError { .. } => 2,
            Self::ReplayError { .. } => 3,
            Self::TimeReplay { .. } => 4,
            Self::Refused { .. } => 5,
            Self::AddressMismatch { .. } => 6,
            Self::SelectorMismatch { .. } => 7,
            Self::EcnUnused { .. } => 8,
            Self::SequenceExhausted { .. } => 9,
            Self::SenderIdsExhausted { .. } => 10,
            Self::PmtuLearned { .. } => 11,
            Self::FragmentFlood { .. } => 12,
            Self::NoUsableSa { .. } => 13,
            Self::Recovery { .. } => 14,
            Self::SaRefused { .. } => 15,
            Self::SequenceResynchronised { .. } => 16,
        }
    }

    /// Gives the name of the log line.
    #[must_use]
    pub const fn mnemonic(&self) -> &'static str {
        // Positions are below the count of kinds.
        Self::MNEMONICS[self.index()]
    }

    /// Gives the severity of the log line, as syslog numbers it.
    #[must_use]
    pub const fn severity(&self) -> u8 {
        match self {
            Self::SequenceExhausted { .. } | Self::SenderIdsExhausted { .. } | Self::SaRefused { .. } => 3,
            Self::PmtuLearned { .. } | Self::EcnUnused { .. } => 6,
            _ => 4,
        }
    }
}

impl fmt::Display for EventKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.mnemonic();
        match self {
            Self::InvalidSpi { spi, src, dst } => {
                write!(f, "{name}: dest={dst}, prot=50, spi={spi:#010X}({spi}), srcaddr={src}")
            }
            Self::NotIpsec { src, dst, protocol } => {
                write!(f, "{name}: dest_addr={dst}, src_addr={src}, prot={protocol}")
            }
            Self::MacError { spi, src, dst, sequence }
            | Self::ReplayError { spi, src, dst, sequence }
            | Self::AddressMismatch { spi, src, dst, sequence }
            | Self::SelectorMismatch { spi, src, dst, sequence } => {
                write!(f, "{name}: spi={spi:#010X}, src={src}, dst={dst}, sequence number={sequence}")
            }
            Self::Refused { reason, spi, src, dst, sequence } => {
                write!(f, "{name}: {reason}, spi={spi:#010X}, src={src}, dst={dst}, sequence number={sequence}")
            }
            Self::TimeReplay { src, dst, my_pseudotime, peer_pseudotime, window } => {
                write!(f, "{name}: ")?;
                if let (Some(src), Some(dst)) = (src, dst) {
                    write!(f, "src_addr={src}, dst_addr={dst}, ")?;
                }
                write!(
                    f,
                    "my_pseudotime={my_pseudotime:.2} secs, peer_pseudotime={peer_pseudotime:.2} secs, \
                     replay_window={window} (sec)"
                )
            }
            Self::EcnUnused { spi, src, dst, inner, outer } => {
                write!(f, "{name}: spi={spi:#010X}, src={src}, dst={dst}, inner={inner}, outer={outer}")
            }
            Self::SequenceExhausted { spi } | Self::SenderIdsExhausted { spi } | Self::Recovery { spi } => {
                write!(f, "{name}: spi={spi:#010X}")
            }
            Self::SequenceResynchronised { spi, from, to } => {
                write!(f, "{name}: spi={spi:#010X}, from={from:#x}, to={to:#x}")
            }
            Self::PmtuLearned { dst, mtu, reporter } => write!(f, "{name}: dst={dst}, mtu={mtu}, from={reporter}"),
            Self::FragmentFlood { src, dst } | Self::NoUsableSa { src, dst } => {
                write!(f, "{name}: src={src}, dst={dst}")
            }
            Self::SaRefused { spi, why } => write!(f, "{name}: spi={spi:#010X}, {why}"),
        }
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.kind.fmt(f)?;
        match self.suppressed {
            0 => Ok(()),
            n => write!(f, " ({n} more left out)"),
        }
    }
}

/// Holds events until they are taken.
#[derive(Debug)]
pub(crate) struct EventQueue {
    waiting: VecDeque<Event>,
    limit: usize,
    interval: Duration,
    next_at: [Instant; EventKind::COUNT],
    suppressed: [u64; EventKind::COUNT],
    totals: [u64; EventKind::COUNT],
    lost: u64,
}

impl EventQueue {
    pub(crate) fn new(limit: usize, interval: Duration) -> Self {
        Self {
            waiting: VecDeque::with_capacity(limit),
            limit,
            interval,
            next_at: [Instant::ZERO; EventKind::COUNT],
            suppressed: [0; EventKind::COUNT],
            totals: [0; EventKind::COUNT],
            lost: 0,
        }
    }

    /// Queues an event, or counts it when one of its kind was queued a moment ago or the queue is full.
    pub(crate) fn push(&mut self, now: Instant, kind: EventKind) {
        let index = kind.index();
        if let Some(total) = self.totals.get_mut(index) {
            *total += 1;
        }
        let (Some(next_at), Some(suppressed)) = (self.next_at.get_mut(index), self.suppressed.get_mut(index)) else {
            return;
        };
        if now < *next_at {
            *suppressed += 1;
            return;
        }
        if self.waiting.len() >= self.limit {
            *suppressed += 1;
            self.lost += 1;
            return;
        }
        *next_at = now + self.interval;
        self.waiting.push_back(Event { at: now, kind, suppressed: std::mem::take(suppressed) });
    }

    /// Queues an event that has its own rate.
    pub(crate) fn push_always(&mut self, now: Instant, kind: EventKind) {
        if let Some(next_at) = self.next_at.get_mut(kind.index()) {
            *next_at = now;
        }
        self.push(now, kind);
    }

    pub(crate) fn pop(&mut self) -> Option<Event> {
        self.waiting.pop_front()
    }

    /// Gives how many events there were, and how many of them found the queue full.
    pub(crate) fn totals(&self) -> (u64, u64) {
        (self.totals.iter().sum(), self.lost)
    }

    /// Gives how many there were of each kind, by the name of its log line, with those that were left out.
    pub(crate) fn by_name(&self) -> BTreeMap<&'static str, u64> {
        EventKind::MNEMONICS.into_iter().zip(self.totals).filter(|(_, total)| *total > 0).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spi(spi: u32) -> EventKind {
        EventKind::Recovery { spi }
    }

    #[test]
    fn events_of_one_kind_are_limited_in_rate_and_the_rest_is_counted() {
        let mut queue = EventQueue::new(10, Duration::from_secs(1));
        for n in 0..5 {
            queue.push(Instant::from_millis(n * 100), spi(n as u32));
        }
        queue.push(Instant::ZERO, EventKind::SequenceExhausted { spi: 9 });
        queue.push(Instant::from_secs(1), spi(7));
        let kinds: Vec<_> = std::iter::from_fn(|| queue.pop()).map(|e| (e.kind, e.suppressed)).collect();
        assert_eq!(kinds, [(spi(0), 0), (EventKind::SequenceExhausted { spi: 9 }, 0), (spi(7), 4)]);
        assert_eq!(queue.totals(), (7, 0));
        let names = queue.by_name();
        assert_eq!(names.get("GM_RECOVERY_REGISTRATION"), Some(&6));
        assert_eq!((names.get("SA_SEQUENCE_EXHAUSTED"), names.len()), (Some(&1), 2));
    }

    #[test]
    fn a_full_queue_loses_events_and_says_so() {
        let mut queue = EventQueue::new(1, Duration::ZERO);
        queue.push(Instant::ZERO, spi(1));
        queue.push(Instant::from_secs(1), spi(2));
        assert_eq!(queue.totals(), (2, 1));
        assert_eq!(queue.pop().map(|e| e.kind), Some(spi(1)));
        queue.push(Instant::from_secs(2), spi(3));
        assert_eq!(queue.pop().map(|e| (e.kind, e.suppressed)), Some((spi(3), 1)));
    }

    #[test]
    fn log_lines_name_both_ends() {
        let kind = EventKind::TimeReplay {
            src: "10.1.0.1".parse().ok(),
            dst: "10.2.0.1".parse().ok(),
            my_pseudotime: 620_051.84,
            peer_pseudotime: 619_767.09,
            window: 4.0,
        };
        assert_eq!(
            Event { at: Instant::ZERO, kind, suppressed: 2 }.to_string(),
            "TIMEBASED_REPLAY_FAILED: src_addr=10.1.0.1, dst_addr=10.2.0.1, my_pseudotime=620051.84 secs, \
             peer_pseudotime=619767.09 secs, replay_window=4 (sec) (2 more left out)"
        );
    }
}
