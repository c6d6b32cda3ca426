//! What holds for a machine whatever it is fed with.

use std::time::Duration;

use hallmark_control::status::{CommonStatus, Phase1Status};
use hallmark_control::{Event, GroupMember, KeyServer, Machine};
use hallmark_core::{Datagram, Now};
use hallmark_wire::isakmp::Header;

use crate::session::at;

/// Calls of `handle_timeout` that one input may cause.
const TIMEOUTS: u32 = 3_000;

/// Is a machine under test, whose status is looked at.
pub(crate) trait Shown: Machine<Event = Event> {
    /// Checks the status and gives what both roles have.
    fn shown(&self, now: Now) -> CommonStatus;
}

impl Shown for KeyServer {
    fn shown(&self, now: Now) -> CommonStatus {
        let status = self.status(now);
        serde_json::to_string(&status).expect("the status can be shown");
        for group in &status.groups {
            let members = limit(&status.common, "members");
            assert!(group.member_count <= members, "{} members, {members} are allowed", group.member_count);
            // Each rekey that the operator asks for leaves the replaced TEKs until they end; nothing else adds any.
            let teks = limit(&status.common, "teks");
            assert!(group.teks.len() <= teks, "{} TEKs", group.teks.len());
        }
        status.common
    }
}

impl Shown for GroupMember {
    fn shown(&self, now: Now) -> CommonStatus {
        let status = self.status(now);
        serde_json::to_string(&status).expect("the status can be shown");
        let teks = limit(&status.common, "teks");
        assert!(status.sas.len() <= teks, "{} SAs, {teks} are allowed", status.sas.len());
        status.common
    }
}

fn limit(status: &CommonStatus, name: &str) -> usize {
    status.limits.get(name).map_or(0, |limit| *limit as usize)
}

/// Drives a machine and watches it.
pub(crate) struct Watched<M> {
    pub(crate) machine: M,
    pub(crate) now: Now,
    timeouts: u32,
}

impl<M: Shown> Watched<M> {
    pub(crate) const fn new(machine: M, now: Now) -> Self {
        Self { machine, now, timeouts: 0 }
    }

    /// Hands in a datagram; gives how many datagrams came out.
    pub(crate) fn datagram(&mut self, datagram: &Datagram) -> usize {
        self.machine.handle_datagram(self.now, datagram);
        self.drain()
    }

    /// Lets time pass, with every timeout at its time.
    pub(crate) fn pass(&mut self, duration: Duration) {
        let end = self.now.mono + duration;
        while let Some(next) = self.machine.poll_timeout().filter(|next| *next <= end) {
            self.timeouts += 1;
            if self.timeouts > TIMEOUTS {
                break;
            }
            self.now = at(self.now.mono.max(next));
            self.machine.handle_timeout(self.now);
            let next = self.machine.poll_timeout();
            assert!(next.is_none_or(|next| next > self.now.mono), "the machine spins at {:?}", self.now.mono);
            self.drain();
        }
        self.now = at(end);
    }

    /// Takes all output, and holds it and the status against the limits.
    pub(crate) fn drain(&mut self) -> usize {
        let status = self.machine.shown(self.now);
        let queue = limit(&status, "output_queue");
        let mut sent = 0;
        while let Some(datagram) = self.machine.poll_transmit() {
            sent += 1;
            assert!(sent <= queue, "more than {queue} datagrams at once");
            well_formed(&datagram);
        }
        let mut events = 0;
        while let Some(event) = self.machine.poll_event() {
            events += 1;
            assert!(events <= queue, "more than {queue} events at once");
            let _ = (event.kind.code(), event.kind.level());
        }
        let Phase1Status { half_open, established, in_reassembly } = status.phase1;
        assert!(half_open <= limit(&status, "half_open"), "{half_open} half-open exchanges");
        assert!(established <= limit(&status, "phase1_sas"), "{established} phase 1 SAs");
        assert!(in_reassembly <= limit(&status, "reassembly_octets"), "{in_reassembly} messages in reassembly");
        sent
    }
}

/// Asserts that what a machine sends is a message, behind a non-ESP marker where it must be, or a keepalive.
fn well_formed(datagram: &Datagram) {
    let payload = datagram.payload.as_slice();
    if payload == [0xff] {
        return;
    }
    let payload = payload.strip_prefix(&[0; 4]).filter(|_| datagram.src.port() == 4500).unwrap_or(payload);
    let header = Header::decode(payload).expect("a machine sends messages");
    assert_eq!(header.length as usize, payload.len(), "a machine sends a wrong length");
}
