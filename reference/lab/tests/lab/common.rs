//! Scripted nodes and small helpers for the tests of the lab.

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};

use hallmark_core::{Datagram, Duration, Instant, Now};
use hallmark_lab::{Direction, DropReason, Fate, HostId, HostSpec, Lab, Node, TapRecord};

/// Sends every datagram back.
#[derive(Default)]
pub(crate) struct Echo {
    pub(crate) out: VecDeque<Datagram>,
    pub(crate) seen: Vec<(Now, Datagram)>,
    pub(crate) groups: Vec<IpAddr>,
}

impl Node for Echo {
    fn handle_datagram(&mut self, now: Now, datagram: &Datagram) {
        self.seen.push((now, datagram.clone()));
        if datagram.dst.ip().is_multicast() {
            return;
        }
        self.out.push_back(datagram.reply(datagram.payload.clone()));
    }

    fn handle_timeout(&mut self, _: Now) {}

    fn poll_transmit(&mut self) -> Option<Datagram> {
        self.out.pop_front()
    }

    fn poll_timeout(&self) -> Option<Instant> {
        None
    }

    fn multicast_groups(&self) -> Vec<IpAddr> {
        self.groups.clone()
    }
}

/// Sends numbered datagrams at a steady pace and keeps what comes back.
pub(crate) struct Ping {
    pub(crate) src: SocketAddr,
    pub(crate) dst: SocketAddr,
    pub(crate) every: Duration,
    pub(crate) left: u32,
    pub(crate) len: usize,
    pub(crate) next: Instant,
    sent: u32,
    pub(crate) out: VecDeque<Datagram>,
    log: VecDeque<String>,
    pub(crate) timeouts: Vec<Now>,
    pub(crate) back: Vec<(Now, u32)>,
    pub(crate) octets: Vec<Vec<u8>>,
    pub(crate) packets: Vec<Vec<u8>>,
}

impl Ping {
    pub(crate) fn new(src: &str, dst: &str, every: Duration, count: u32) -> Self {
        Self {
            src: src.parse().unwrap(),
            dst: dst.parse().unwrap(),
            every,
            left: count,
            len: 64,
            next: Instant::ZERO,
            sent: 0,
            out: VecDeque::new(),
            log: VecDeque::new(),
            timeouts: Vec::new(),
            back: Vec::new(),
            octets: Vec::new(),
            packets: Vec::new(),
        }
    }

    pub(crate) fn numbers(&self) -> Vec<u32> {
        self.back.iter().map(|(_, number)| *number).collect()
    }
}

impl Node for Ping {
    fn handle_datagram(&mut self, now: Now, datagram: &Datagram) {
        let number = datagram.payload.first_chunk::<4>().map_or(u32::MAX, |n| u32::from_be_bytes(*n));
        self.back.push((now, number));
        self.octets.push(datagram.payload.clone());
        self.log.push_back(format!("back {number}"));
    }

    fn handle_timeout(&mut self, now: Now) {
        self.timeouts.push(now);
        if self.left > 0 && now.mono >= self.next {
            self.left -= 1;
            self.sent += 1;
            self.next = now.mono + self.every;
            let mut payload = pattern(self.len.max(4));
            payload[..4].copy_from_slice(&self.sent.to_be_bytes());
            self.out.push_back(Datagram::new(self.src, self.dst, payload));
        }
    }

    fn poll_transmit(&mut self) -> Option<Datagram> {
        self.out.pop_front()
    }

    fn poll_timeout(&self) -> Option<Instant> {
        (self.left > 0).then_some(self.next)
    }

    fn poll_log(&mut self) -> Option<String> {
        self.log.pop_front()
    }

    fn handle_packet(&mut self, _: Now, packet: &[u8]) {
        self.packets.push(packet.to_vec());
    }
}

pub(crate) fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|i| (i * 31 % 251) as u8).collect()
}

pub(crate) fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

pub(crate) fn at(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

/// A lab with a pinging host 10.0.0.1 and an echoing host 10.0.0.2.
pub(crate) fn ping_lab(seed: u64, every: Duration, count: u32) -> (Lab, HostId, HostId) {
    let mut lab = Lab::new(seed);
    let a = lab.add_host(HostSpec::new("a", [ip("10.0.0.1")]));
    let b = lab.add_host(HostSpec::new("b", [ip("10.0.0.2")]));
    lab.attach(b, Box::new(Echo::default()));
    lab.attach(a, Box::new(Ping::new("10.0.0.1:848", "10.0.0.2:848", every, count)));
    (lab, a, b)
}

/// A lab with two bound hosts without nodes, 10.0.0.1 and 10.0.0.2.
pub(crate) fn wire_lab(seed: u64) -> (Lab, HostId, HostId) {
    let mut lab = Lab::new(seed);
    let a = lab.add_host(HostSpec::new("a", [ip("10.0.0.1"), ip("2001:db8::1")]));
    let b = lab.add_host(HostSpec::new("b", [ip("10.0.0.2"), ip("2001:db8::2")]));
    lab.bind(a);
    lab.bind(b);
    (lab, a, b)
}

pub(crate) fn datagram(len: usize) -> Datagram {
    Datagram::new(at("10.0.0.1:848"), at("10.0.0.2:848"), pattern(len))
}

pub(crate) fn ping(lab: &mut Lab, host: HostId) -> &mut Ping {
    let node: &mut dyn std::any::Any = lab.node_mut(host).unwrap();
    node.downcast_mut().unwrap()
}

pub(crate) fn echo(lab: &mut Lab, host: HostId) -> &mut Echo {
    let node: &mut dyn std::any::Any = lab.node_mut(host).unwrap();
    node.downcast_mut().unwrap()
}

pub(crate) fn drops(records: &[TapRecord], host: HostId, direction: Direction) -> Vec<DropReason> {
    records
        .iter()
        .filter(|record| record.host == host && record.direction == direction)
        .filter_map(|record| if let Fate::Dropped(reason) = record.fate { Some(reason) } else { None })
        .collect()
}
