//! The passing of time: events in their order, nodes and their timers.

use std::cmp::Ordering;

use hallmark_core::{Duration, Instant};

use super::{HostId, Lab, LogLine};
use crate::mark::Marks;
use crate::node::Node;

pub(super) const HASH_START: u64 = 0xcbf2_9ce4_8422_2325;

/// A packet on its way.
#[derive(Debug)]
pub(super) struct Flight {
    pub(super) packet: Vec<u8>,
    pub(super) origin: HostId,
    pub(super) marks: Marks,
}

/// Something that happens at a time.
#[derive(Debug)]
pub(super) struct Event {
    at: Instant,
    sequence: u64,
    what: What,
}

#[derive(Debug)]
pub(super) enum What {
    /// A host's timers may be due.
    Timer(HostId),
    /// A packet reaches the router.
    Fabric(Flight),
    /// A packet leaves a host's downlink.
    Arrive(HostId, Flight),
    /// A pause ends.
    Resume(HostId),
}

/// The heap gives its greatest first, so the earliest event is the greatest.
impl Ord for Event {
    fn cmp(&self, other: &Self) -> Ordering {
        (other.at, other.sequence).cmp(&(self.at, self.sequence))
    }
}

impl PartialOrd for Event {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Event {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Event {}

impl Lab {
    /// Calls of `handle_timeout` in one instant before a node's timer counts as stale.
    const TIMEOUTS_PER_INSTANT: usize = 64;
    /// Datagrams, packets and log lines that one call of a node may leave behind.
    const OUTPUTS_PER_CALL: usize = 65_536;
    const LOG_LINES_MAX: usize = 65_536;
    const BACKOFF_MIN: Duration = Duration::from_millis(1);
    const BACKOFF_MAX: Duration = Duration::from_secs(1);

    /// Tells when the next event happens.
    #[must_use]
    pub fn next_event_at(&self) -> Option<Instant> {
        self.events.peek().map(|event| event.at)
    }

    /// Lets the next event happen; `false` when there is none.
    pub fn step(&mut self) -> bool {
        let Some(Event { at, what, .. }) = self.events.pop() else { return false };
        self.now = self.now.max(at);
        match what {
            What::Timer(host) => {
                self.mix(1, host, &[]);
                self.fire(host, at);
            }
            What::Fabric(flight) => {
                self.mix(2, flight.origin, &flight.packet);
                self.forward(flight);
            }
            What::Arrive(host, flight) => {
                self.mix(3, host, &flight.packet);
                self.arrive(host, flight);
            }
            What::Resume(host) => {
                self.mix(4, host, &[]);
                self.resume(host);
            }
        }
        true
    }

    /// Lets time pass until `stop` says so (`true`) or the deadline is reached (`false`). `stop` is asked at once and
    /// after each event.
    pub fn step_until(&mut self, deadline: Instant, stop: &mut dyn FnMut(&mut Self) -> bool) -> bool {
        loop {
            if stop(self) {
                return true;
            }
            if self.next_event_at().is_none_or(|at| at > deadline) {
                self.now = self.now.max(deadline);
                return false;
            }
            self.step();
        }
    }

    /// Lets time pass until the deadline.
    pub fn run_until(&mut self, deadline: Instant) {
        while self.next_event_at().is_some_and(|at| at <= deadline) {
            self.step();
        }
        self.now = self.now.max(deadline);
    }

    /// Lets a span of time pass.
    pub fn run_for(&mut self, span: Duration) {
        self.run_until(self.now + span);
    }

    pub(super) fn schedule(&mut self, at: Instant, what: What) {
        self.sequence += 1;
        self.events.push(Event { at: at.max(self.now), sequence: self.sequence, what });
    }

    pub(super) fn schedule_resume(&mut self, host: HostId, at: Instant) {
        self.schedule(at, What::Resume(host));
    }

    /// Makes sure that an event wakes the host when its node wants to be called.
    ///
    /// An event that turns out too early does no harm, so a timer that moves later leaves its event in place.
    pub(super) fn rearm(&mut self, id: HostId) {
        let now = self.now;
        let Some(host) = self.hosts.get_mut(id.index()) else { return };
        if host.paused {
            return;
        }
        let wanted = host.node.as_ref().and_then(|node| node.poll_timeout());
        let Some(at) = wanted.and_then(|mono| host.clock.lab_time_of(mono)) else { return };
        let at = at.max(now);
        if host.armed.is_none_or(|armed| at < armed) {
            host.armed = Some(at);
            self.schedule(at, What::Timer(id));
        }
    }

    /// Takes everything that a node has to say.
    pub(super) fn drain(&mut self, id: HostId) {
        let Some(mut node) = self.hosts.get_mut(id.index()).and_then(|host| host.node.take()) else { return };
        let mut outputs = 0;
        loop {
            if outputs == Self::OUTPUTS_PER_CALL {
                self.faults.runaway_outputs += 1;
                break;
            }
            outputs += 1;
            if let Some(datagram) = node.poll_transmit() {
                self.transmit(id, datagram);
            } else if let Some(packet) = node.poll_packet() {
                self.enter_uplink(id, packet, Marks::NONE);
            } else {
                break;
            }
        }
        for _ in 0..Self::OUTPUTS_PER_CALL {
            let Some(text) = node.poll_log() else { break };
            if self.log.len() == Self::LOG_LINES_MAX {
                self.log.pop_front();
                self.faults.log_overflows += 1;
            }
            self.log.push_back(LogLine { at: self.now, host: id, text });
        }
        self.follow_groups(id, node.as_ref());
        if let Some(host) = self.hosts.get_mut(id.index()) {
            host.node = Some(node);
        }
    }

    fn follow_groups(&mut self, id: HostId, node: &dyn Node) {
        let wanted = node.multicast_groups();
        let Some(host) = self.hosts.get_mut(id.index()) else { return };
        if host.node_groups == wanted {
            return;
        }
        let before = std::mem::replace(&mut host.node_groups, wanted.clone());
        for group in before.into_iter().filter(|group| !wanted.contains(group)) {
            self.leave(id, group);
        }
        for group in wanted {
            self.join(id, group);
        }
    }

    /// Calls a node's timeout until nothing is due. A node whose timer stays in the past is called again later and
    /// later, so that it cannot hold up time, and is counted.
    fn fire(&mut self, id: HostId, at: Instant) {
        let Some(host) = self.hosts.get_mut(id.index()) else { return };
        if host.armed != Some(at) {
            return;
        }
        host.armed = None;
        if host.paused {
            return;
        }
        for _ in 0..Self::TIMEOUTS_PER_INSTANT {
            let now = self.now_of(id);
            let Some(node) = self.node_mut(id) else { return };
            if node.poll_timeout().is_none_or(|wanted| wanted > now.mono) {
                if let Some(host) = self.hosts.get_mut(id.index()) {
                    host.backoff = None;
                }
                self.rearm(id);
                return;
            }
            node.handle_timeout(now);
            self.drain(id);
        }
        self.faults.stale_timers += 1;
        let now = self.now;
        let Some(host) = self.hosts.get_mut(id.index()) else { return };
        let wait = host.backoff.map_or(Self::BACKOFF_MIN, |before| (before * 2).min(Self::BACKOFF_MAX));
        host.backoff = Some(wait);
        host.armed = Some(now + wait);
        self.schedule(now + wait, What::Timer(id));
    }

    /// Takes an event into the hash (FNV-1a over whole words).
    fn mix(&mut self, kind: u64, host: HostId, packet: &[u8]) {
        let mut hash = self.hash;
        let mut word = |word: u64| hash = (hash ^ word).wrapping_mul(0x0000_0100_0000_01b3).rotate_left(23);
        word(self.now.0);
        word(kind << 32 | u64::from(host.0));
        word(packet.len() as u64);
        let (words, rest) = packet.as_chunks::<8>();
        for octets in words {
            word(u64::from_le_bytes(*octets));
        }
        for octet in rest {
            word(u64::from(*octet));
        }
        self.hash = hash;
    }
}
