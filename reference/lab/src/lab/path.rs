//! The way of a packet: host, uplink, router, downlink, host.

use std::net::IpAddr;

use hallmark_core::{Datagram, Duration, Instant};
use hallmark_wire::ip::{decrement_hops, fragment_ipv4, parse_udp, route, too_big_packet, version};

use super::run::{Flight, What};
use super::{Host, HostId, Lab};
use crate::link::Carried;
use crate::mark::Marks;
use crate::rule::{Action, Passing};
use crate::stack::{Received, is_multicast};
use crate::tap::{Direction, DropReason, Fate};

/// What a host without a network card would take to talk to itself.
const LOOPBACK: Duration = Duration::from_micros(10);
/// Packets and octets that wait for a paused host.
const PAUSED_PACKETS_MAX: usize = 256;
const PAUSED_OCTETS_MAX: usize = 256 * 1024;
/// Datagrams that wait for the tester on one host.
const INBOX_MAX: usize = 65_536;

impl Lab {
    /// Sends a datagram of a host: builds its packets and puts them onto the uplink.
    pub(super) fn transmit(&mut self, id: HostId, mut datagram: Datagram) {
        let Some(host) = self.hosts.get_mut(id.index()) else { return };
        if datagram.src.ip().is_unspecified() {
            let of_same_version = |addr: &&IpAddr| addr.is_ipv4() == datagram.dst.is_ipv4();
            if let Some(addr) = host.addrs.iter().find(of_same_version) {
                datagram.src.set_ip(*addr);
            }
        }
        let built = if host.addrs.contains(&datagram.src.ip()) {
            host.stack.packets(&datagram, host.up.profile.mtu)
        } else {
            Err(DropReason::ForeignSource)
        };
        match built {
            Ok(packets) => {
                let marks = if packets.len() > 1 { Marks::CUT_AT_SOURCE } else { Marks::NONE };
                for packet in packets {
                    self.enter_uplink(id, packet, marks);
                }
            }
            Err(reason) => {
                let packet = hallmark_wire::ip::udp_packet(&datagram, 0, false);
                self.record(id, Direction::Up, &packet, Fate::Dropped(reason), Marks::NONE);
            }
        }
    }

    /// Puts a whole packet onto a host's uplink.
    pub(super) fn enter_uplink(&mut self, id: HostId, packet: Vec<u8>, marks: Marks) {
        let Some(host) = self.hosts.get(id.index()) else { return };
        let to_itself = route(&packet).is_ok_and(|info| host.addrs.contains(&info.dst));
        if to_itself {
            self.record(id, Direction::Up, &packet, Fate::Delivered, marks);
            self.schedule(self.now + LOOPBACK, What::Arrive(id, Flight { packet, origin: id, marks }));
            return;
        }
        if packet.len() > host.up.profile.mtu {
            self.record(id, Direction::Up, &packet, Fate::Dropped(DropReason::TooBig), marks);
            return;
        }
        self.cross(id, Direction::Up, Flight { packet, origin: id, marks });
    }

    /// Routes a packet that has reached the router.
    pub(super) fn forward(&mut self, mut flight: Flight) {
        let dst = match self.admit(&mut flight) {
            Ok(Some(dst)) => dst,
            Ok(None) => return,
            Err(reason) => return self.drop_in_fabric(&flight, reason),
        };
        if is_multicast(dst) {
            let members = self.groups.get(&dst).into_iter().flatten();
            let members: Vec<HostId> = members.copied().filter(|id| *id != flight.origin).collect();
            if members.is_empty() {
                return self.drop_in_fabric(&flight, DropReason::NoRoute);
            }
            for id in members {
                let Flight { packet, origin, marks } = &flight;
                self.enter_downlink(id, Flight { packet: packet.clone(), origin: *origin, marks: *marks });
            }
            return;
        }
        match self.routes.get(&dst) {
            Some(id) => self.enter_downlink(*id, flight),
            None => self.drop_in_fabric(&flight, DropReason::NoRoute),
        }
    }

    /// Lets a packet arrive at a host, or wait there while the host is paused.
    pub(super) fn arrive(&mut self, id: HostId, flight: Flight) {
        let Some(host) = self.hosts.get_mut(id.index()) else { return };
        if !host.is_up() {
            return self.record(id, Direction::Down, &flight.packet, Fate::Dropped(DropReason::HostDown), flight.marks);
        }
        if !host.paused {
            return self.receive(id, &flight.packet, Some(flight.marks));
        }
        let len = flight.packet.len();
        let fits = host.buffer.len() < PAUSED_PACKETS_MAX && host.buffered_octets + len <= PAUSED_OCTETS_MAX;
        let fate = if fits { Fate::Delivered } else { Fate::Dropped(DropReason::PausedBufferFull) };
        if fits {
            host.buffered_octets += len;
            host.buffer.push_back((flight.packet.clone(), flight.marks));
        }
        self.record(id, Direction::Down, &flight.packet, fate, flight.marks.with(Marks::BUFFERED));
    }

    /// Hands a packet to a host's IP layer and what comes of it to the node or the tester. Without marks the packet
    /// is on record already.
    pub(super) fn receive(&mut self, id: HostId, packet: &[u8], marks: Option<Marks>) {
        let now = self.now;
        let joined = route(packet).is_ok_and(|info| self.is_for(id, info.dst));
        let Some(host) = self.hosts.get_mut(id.index()) else { return };
        let received = if joined {
            if let Some(raw) = &mut host.raw_inbox {
                if raw.len() == INBOX_MAX {
                    raw.pop_front();
                    self.faults.inbox_overflows += 1;
                }
                raw.push_back(packet.to_vec());
            }
            host.stack.receive(now, packet, &host.addrs)
        } else {
            Received::Dropped(DropReason::NotForHost)
        };
        if let Some(mut marks) = marks {
            let fate = match &received {
                Received::Dropped(reason) => Fate::Dropped(*reason),
                _ => Fate::Delivered,
            };
            if matches!(received, Received::Datagram(_, true)) {
                marks = marks.with(Marks::COMPLETES);
            }
            self.record(id, Direction::Down, packet, fate, marks);
        }
        match received {
            Received::Datagram(datagram, _) => self.deliver(id, datagram),
            Received::Packet(packet) => {
                let now = self.now_of(id);
                if let Some(node) = self.node_mut(id) {
                    node.handle_packet(now, &packet);
                    self.settle(id);
                }
            }
            Received::Pending | Received::Dropped(_) => {}
        }
    }

    /// Sends a packet through a host's downlink again, past everything before that link.
    pub(super) fn replay_down(&mut self, id: HostId, flight: Flight) {
        self.cross(id, Direction::Down, flight);
    }

    fn deliver(&mut self, id: HostId, datagram: Datagram) {
        let now = self.now_of(id);
        if let Some(node) = self.node_mut(id) {
            node.handle_datagram(now, &datagram);
            return self.settle(id);
        }
        self.sequence += 1;
        let order = self.sequence;
        let Some(host) = self.hosts.get_mut(id.index()) else { return };
        if host.inbox.len() == INBOX_MAX {
            host.inbox.pop_front();
            self.faults.inbox_overflows += 1;
        }
        host.inbox.push_back((order, datagram));
    }

    fn is_for(&self, id: HostId, dst: IpAddr) -> bool {
        if is_multicast(dst) {
            return self.groups.get(&dst).is_some_and(|members| members.contains(&id));
        }
        self.hosts.get(id.index()).is_some_and(|host| host.addrs.contains(&dst))
    }

    /// Does what a router does before it chooses the way: hops, and translation on the way out. Gives the destination,
    /// or nothing while a translator waits for fragments.
    fn admit(&mut self, flight: &mut Flight) -> Result<Option<IpAddr>, DropReason> {
        let info = route(&flight.packet).map_err(|error| DropReason::Malformed(error.code))?;
        if !decrement_hops(&mut flight.packet) {
            return Err(DropReason::Hops);
        }
        let now = self.now;
        let translator = self.hosts.get_mut(flight.origin.index()).and_then(|host| host.nat.as_mut());
        if let Some(nat) = translator {
            let Some(packet) = nat.outbound(now, &flight.packet)? else { return Ok(None) };
            flight.packet = packet;
            flight.marks = flight.marks.with(Marks::TRANSLATED);
        }
        Ok(Some(info.dst))
    }

    /// Brings a packet from the router onto a host's downlink: translation on the way in, partitions, and cutting or
    /// refusing by size.
    fn enter_downlink(&mut self, id: HostId, mut flight: Flight) {
        let now = self.now;
        let Some(host) = self.hosts.get_mut(id.index()) else { return };
        if let Some(nat) = &mut host.nat
            && !route(&flight.packet).is_ok_and(|info| is_multicast(info.dst))
        {
            let to_public = route(&flight.packet).is_ok_and(|info| info.dst == nat.spec.public);
            match if to_public { nat.inbound(now, &flight.packet) } else { Err(DropReason::NoMapping) } {
                Ok(Some(packet)) => flight.packet = packet,
                Ok(None) => return,
                Err(reason) => return self.drop_in_fabric(&flight, reason),
            }
            flight.marks = flight.marks.with(Marks::TRANSLATED);
        }
        if self.partitions.contains(&(flight.origin, id)) {
            let fate = Fate::Dropped(DropReason::Partition);
            return self.record(id, Direction::Down, &flight.packet, fate, flight.marks);
        }
        let (mtu, black_hole) = (host.down.profile.mtu, host.down.profile.black_hole);
        if flight.packet.len() <= mtu {
            return self.cross(id, Direction::Down, flight);
        }
        let may_cut = route(&flight.packet).is_ok_and(|info| !info.dont_fragment);
        let pieces = if may_cut { fragment_ipv4(&flight.packet, mtu) } else { Vec::new() };
        if pieces.is_empty() {
            self.drop_in_fabric(&flight, DropReason::TooBig);
            if !black_hole {
                self.report_too_big(mtu, &flight.packet);
            }
            return;
        }
        for packet in pieces {
            let marks = flight.marks.with(Marks::CUT_BY_ROUTER);
            self.cross(id, Direction::Down, Flight { packet, origin: flight.origin, marks });
        }
    }

    fn report_too_big(&mut self, mtu: usize, offending: &[u8]) {
        let reporter = match version(offending) {
            Some(4) => IpAddr::V4(self.router_v4),
            _ => IpAddr::V6(self.router_v6),
        };
        let mtu = u32::try_from(mtu).unwrap_or(u32::MAX);
        let Some(packet) = too_big_packet(reporter, mtu, offending) else { return };
        let flight = Flight { packet, origin: HostId::ROUTER, marks: Marks::ROUTER_REPORT };
        self.schedule(self.now, What::Fabric(flight));
    }

    /// Sends a packet through one direction of a link: rules first, then the link's own faults.
    fn cross(&mut self, id: HostId, direction: Direction, mut flight: Flight) {
        let mut extra = Duration::ZERO;
        let mut copy_after = None;
        match self.ask_rules(id, direction, &flight) {
            Action::Pass => {}
            Action::Drop => {
                let fate = Fate::Dropped(DropReason::Rule);
                return self.record(id, direction, &flight.packet, fate, flight.marks);
            }
            Action::Delay(delay) => {
                extra = delay;
                flight.marks = flight.marks.with(Marks::DELAYED_BY_RULE);
            }
            Action::Duplicate(delay) => copy_after = Some(delay),
            Action::Replace(packet) => {
                flight.packet = packet;
                flight.marks = flight.marks.with(Marks::CHANGED_BY_RULE);
            }
        }
        let Some(host) = self.hosts.get_mut(id.index()) else { return };
        let link = if direction == Direction::Up { &mut host.up } else { &mut host.down };
        let (first, second) = match link.carry(self.now, &flight.packet) {
            Ok(carried) => carried,
            Err(reason) => {
                return self.record(id, direction, &flight.packet, Fate::Dropped(reason), flight.marks);
            }
        };
        let copy =
            copy_after.map(|delay| Carried { arrival: first.arrival + delay, damaged: None, marks: Marks::DUPLICATE });
        let first = Carried { arrival: first.arrival + extra, ..first };
        for carried in [Some(first), second, copy].into_iter().flatten() {
            self.come_out(id, direction, &flight, carried);
        }
    }

    /// Schedules what happens when a copy of a packet comes out of a link. The uplink's record is written here, the
    /// downlink's on arrival.
    fn come_out(&mut self, id: HostId, direction: Direction, flight: &Flight, carried: Carried) {
        let marks = flight.marks.with(carried.marks);
        let packet = carried.damaged.unwrap_or_else(|| flight.packet.clone());
        if direction == Direction::Up {
            self.record(id, direction, &packet, Fate::Delivered, marks);
        }
        let onward = Flight { packet, origin: flight.origin, marks };
        let what = if direction == Direction::Up { What::Fabric(onward) } else { What::Arrive(id, onward) };
        self.schedule(carried.arrival, what);
    }

    fn ask_rules(&mut self, id: HostId, direction: Direction, flight: &Flight) -> Action {
        let at = self.now;
        let mut rules = self.rules.iter_mut().filter(|r| r.host == id && r.direction == direction).peekable();
        if rules.peek().is_none() {
            return Action::Pass;
        }
        let datagram = parse_udp(&flight.packet).ok();
        let passing = Passing {
            at,
            host: id,
            direction,
            origin: flight.origin,
            packet: &flight.packet,
            datagram: datagram.as_ref(),
        };
        rules.map(|placed| (placed.rule)(&passing)).find(|action| *action != Action::Pass).unwrap_or(Action::Pass)
    }

    fn drop_in_fabric(&mut self, flight: &Flight, reason: DropReason) {
        self.record(flight.origin, Direction::Fabric, &flight.packet, Fate::Dropped(reason), flight.marks);
    }

    pub(super) fn record(&mut self, id: HostId, direction: Direction, packet: &[u8], fate: Fate, marks: Marks) {
        let at: Instant = self.now;
        self.tap.add(at, id, direction, packet, fate, marks.describe());
    }
}

impl Host {
    pub(super) const fn is_up(&self) -> bool {
        self.node.is_some() || self.bound
    }
}
