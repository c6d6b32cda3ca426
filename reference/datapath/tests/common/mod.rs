//! What the tests of the whole pipeline share: a member, its policy, and packets through it.
#![allow(dead_code, unreachable_pub, reason = "each test binary uses a part of it")]

use std::net::IpAddr;
use std::path::Path;

use hallmark_core::{Datagram, Duration, Instant, Now, Rng, UnixTime};
use hallmark_crypto::esp::Transform;
use hallmark_datapath::{
    Batch, Config, Datapath, Direction, Event, Fate, Packet, Policy, Pool, Replay, Rule, Sa, Secret, Selector, Side,
    State,
};
use serde_json::Value;

/// A wall-clock time in the middle of the D3P vectors.
pub const WALL: UnixTime = UnixTime::from_secs(1_467_978_000);

pub fn at(secs: u64) -> Now {
    Now::new(Instant::from_secs(secs), UnixTime(WALL.0 + secs as i64 * 1_000_000_000))
}

pub fn ip(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

pub fn hex(value: &Value) -> Vec<u8> {
    hex::decode(value.as_str().expect("text")).expect("hex")
}

pub fn vectors() -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/vectors/esp.json");
    serde_json::from_slice(&std::fs::read(path).expect("vectors")).expect("JSON")
}

/// A member with the packets that go through it.
pub struct Member {
    pub data: Datapath,
    pub pool: Pool,
    batch: Batch,
}

/// What became of one packet.
pub type Outcome = (Fate, Vec<u8>);

impl Member {
    pub fn new(config: Config) -> Self {
        let data = Datapath::new(config, Rng::from_u64(1), at(0));
        Self { data, pool: Pool::new(1024, 12_000), batch: Batch::new() }
    }

    pub fn with(config: Config, policy: &Policy) -> Self {
        let mut member = Self::new(config);
        member.data.apply(at(0), policy);
        member
    }

    /// Hands packets over as one burst and gives the fate of every packet of the batch afterwards.
    pub fn burst(&mut self, now: Now, from: Side, packets: &[Vec<u8>]) -> Vec<Outcome> {
        for octets in packets {
            let mut packet = Packet::with_capacity(octets.len().max(2_000));
            assert!(packet.set(&LINK, octets), "a packet fits its buffer");
            self.batch.push(packet).expect("room");
        }
        self.data.handle(now, from, &mut self.batch, &mut self.pool);
        let out = self.batch.packets.iter().map(|packet| (packet.fate, packet.ip().to_vec())).collect();
        for packet in self.batch.packets.drain(..) {
            self.pool.give(packet);
        }
        out
    }

    /// Hands one packet over, which must not become more.
    pub fn one(&mut self, now: Now, from: Side, packet: &[u8]) -> Outcome {
        let mut out = self.burst(now, from, &[packet.to_vec()]);
        assert_eq!(out.len(), 1, "one packet stays one");
        out.remove(0)
    }

    /// Sends a packet from the LAN that must leave through the WAN.
    pub fn send(&mut self, now: Now, packet: &[u8]) -> Vec<u8> {
        let (fate, octets) = self.one(now, Side::Lan, packet);
        assert_eq!(fate, Fate::Out(Side::Wan));
        octets
    }

    /// Receives a packet from the WAN that must reach the LAN.
    pub fn receive(&mut self, now: Now, packet: &[u8]) -> Vec<u8> {
        let (fate, octets) = self.one(now, Side::Wan, packet);
        assert_eq!(fate, Fate::Out(Side::Lan));
        octets
    }

    pub fn fate(&mut self, now: Now, from: Side, packet: &[u8]) -> Fate {
        self.one(now, from, packet).0
    }

    pub fn events(&mut self) -> Vec<Event> {
        std::iter::from_fn(|| self.data.poll_event()).collect()
    }
}

/// An Ethernet header.
pub const LINK: [u8; 14] = [2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0];

/// Makes an SA that lives from 0 for an hour.
pub fn sa(spi: u32, transform: &str) -> Sa {
    let transform: Transform = transform.parse().expect("a transform");
    let mut rng = Rng::from_u64(u64::from(spi));
    let encryption_key = Secret::new(rng.vec(transform.encryption_key_len()));
    let integrity_key = Secret::new(rng.vec(transform.integrity_key_len()));
    Sa { ends: Instant::from_secs(3_600), ..Sa::new(spi, transform, encryption_key, integrity_key) }
}

/// Makes a policy that protects everything with the SAs of policy 1.
pub fn policy(sas: Vec<Sa>) -> Policy {
    Policy {
        state: State::Registered,
        rules: vec![Rule::permit(1, Selector::ANY_V4), Rule::permit(1, Selector::ANY_V6)],
        sas,
        sender_ids: Some((16, vec![0x0102])),
        replay: Replay::None,
        direction: Direction::Both,
        serial: 1,
    }
}

/// Makes a UDP packet between two hosts with a payload of so many octets.
pub fn udp(src: &str, dst: &str, payload: usize) -> Vec<u8> {
    udp_ports(src, dst, 1_000, 2_000, payload)
}

pub fn udp_ports(src: &str, dst: &str, src_port: u16, dst_port: u16, payload: usize) -> Vec<u8> {
    let octets: Vec<u8> = (0..payload).map(|n| n as u8).collect();
    let datagram = Datagram::new((ip(src), src_port).into(), (ip(dst), dst_port).into(), octets);
    hallmark_wire::ip::udp_packet(&datagram, 7, false)
}

pub fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}
