//! The tester's own ends: hosts without a node that a test sends from and receives at, and attacks from nowhere.

use std::collections::VecDeque;

use hallmark_core::{Datagram, Instant};

use super::run::{Flight, What};
use super::{HostId, Lab};
use crate::mark::Marks;
use crate::tap::Direction;

impl Lab {
    /// Makes a host without a node keep the datagrams that arrive there for [`Lab::recv`].
    pub fn bind(&mut self, host: HostId) {
        if let Some(found) = self.hosts.get_mut(host.index()) {
            found.bound = true;
        }
    }

    /// Makes a host keep every IP packet that arrives there, fragments by themselves, for [`Lab::recv_ip`]. A node on
    /// the host goes on as before.
    pub fn bind_ip(&mut self, host: HostId) {
        if let Some(found) = self.hosts.get_mut(host.index()) {
            found.bound |= found.node.is_none();
            found.raw_inbox.get_or_insert_with(VecDeque::new);
        }
    }

    /// Sends a datagram from a host, as its IP layer does: the source must be one of its addresses (an unspecified one
    /// becomes the first), and what does not fit the interface is fragmented.
    pub fn send(&mut self, host: HostId, datagram: Datagram) {
        self.transmit(host, datagram);
    }

    /// Sends a whole IP packet from a host as it stands: fragments, forged sources, wrong checksums.
    pub fn send_ip(&mut self, host: HostId, packet: Vec<u8>) {
        self.enter_uplink(host, packet, Marks::NONE);
    }

    /// Puts a whole IP packet into the fabric, sent by no host.
    pub fn inject(&mut self, packet: Vec<u8>) {
        let flight = Flight { packet, origin: HostId::ROUTER, marks: Marks::INJECTED };
        self.schedule(self.now, What::Fabric(flight));
    }

    /// Sends a recorded packet once more: one that came from a host goes to the router again, one on its way to a host
    /// goes onto that host's downlink again. `false` when the record is not remembered.
    pub fn replay(&mut self, index: u64) -> bool {
        let Some(record) = self.tap.get(index) else { return false };
        let (host, direction, packet) = (record.host, record.direction, record.packet.clone());
        let flight = Flight { packet, origin: host, marks: Marks::REPLAYED };
        match direction {
            Direction::Up | Direction::Fabric => self.schedule(self.now, What::Fabric(flight)),
            Direction::Down => {
                self.replay_down(host, Flight { origin: HostId::ROUTER, ..flight });
            }
        }
        true
    }

    /// Takes the oldest datagram that has arrived at a host.
    pub fn recv(&mut self, host: HostId) -> Option<Datagram> {
        self.hosts.get_mut(host.index())?.inbox.pop_front().map(|(_, datagram)| datagram)
    }

    /// Takes the oldest IP packet that has arrived at a host.
    pub fn recv_ip(&mut self, host: HostId) -> Option<Vec<u8>> {
        self.hosts.get_mut(host.index())?.raw_inbox.as_mut()?.pop_front()
    }

    /// Counts the datagrams that have arrived at a host and were not taken.
    #[must_use]
    pub fn waiting(&self, host: HostId) -> usize {
        self.hosts.get(host.index()).map_or(0, |host| host.inbox.len())
    }

    /// Takes the oldest datagram that has arrived at any of some hosts, and lets time pass until there is one or the
    /// deadline is reached.
    pub fn recv_any(&mut self, hosts: &[HostId], deadline: Instant) -> Option<(HostId, Datagram)> {
        loop {
            let order = |id: &HostId| Some((self.hosts.get(id.index())?.inbox.front()?.0, *id));
            if let Some((_, id)) = hosts.iter().filter_map(order).min() {
                return self.recv(id).map(|datagram| (id, datagram));
            }
            if self.next_event_at().is_none_or(|at| at > deadline) {
                self.now = self.now.max(deadline);
                return None;
            }
            self.step();
        }
    }
}
