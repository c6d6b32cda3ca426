//! A key server and members in virtual time. What leaves a member on its WAN side reaches the others; what leaves it on
//! its LAN side has arrived.

use std::net::{IpAddr, SocketAddr};

use hallmark_control::{KeyServer, Machine};
use hallmark_core::{Datagram, Duration, Instant, Now, Rng, UnixTime};
use hallmark_datapath::Side;
use hallmark_node::config::{Source, gm_from_toml, ks_from_toml};
use hallmark_node::{Hosted, Member, command};
use hallmark_wire::ip::{Ipv4Header, Ipv4Packet, udp_packet};
use serde_json::Value;

const LATENCY: Duration = Duration::from_millis(2);

pub fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

/// The configuration of a key server with one TEK of 900 s; `group` goes into `[[group]]`, `acl` into its TEK.
pub fn ks_text(group: &str, acl: &str) -> String {
    let key = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/keys/p256-a.pem")).unwrap();
    format!(
        "schema = \"hallmark.ks/1\"\nlisten = [\"10.0.0.1:848\"]\n\
         [phase1]\nproposals = [\"aes128-sha256-ecp256-psk\"]\n\
         [[peer]]\naddress = \"10.0.0.0/8\"\npsk = \"secret\"\n\
         [[group]]\nid = 7\nsids = {{ bits = 8 }}\nack = \"rfc8263-sha256\"\nsigning_key = \"\"\"\n{key}\"\"\"\n{group}\n\
         [group.kek]\ncipher = \"aes128\"\nsig_hash = \"sha256\"\nlifetime_secs = 3600\n\
         [[group.tek]]\nprotocol = \"esp\"\ntransform = \"aes128-gcm16\"\nlifetime_secs = 900\nacl = [{acl}]\n\
         [test]\nshort_lifetimes = true\n"
    )
}

/// The configuration of the n-th member; `data` goes into `[data]`, `group` into `[group]`, `test` into `[test]`.
pub fn gm_text(index: u8, group: &str, data: &str, test: &str) -> String {
    format!(
        "schema = \"hallmark.gm/1\"\nlisten = \"10.0.1.{index}:848\"\n\
         [phase1]\nproposals = [\"aes128-sha256-ecp256-psk\"]\n\
         [[server]]\naddress = \"10.0.0.1:848\"\npsk = \"secret\"\n\
         [group]\nid = 7\n{group}\n[data]\n{data}\n[test]\n{test}\n"
    )
}

pub struct World {
    pub now: Instant,
    pub ks: Option<KeyServer>,
    pub members: Vec<Member>,
    wire: Vec<(Instant, u64, Datagram)>,
    serial: u64,
    pub logs: Vec<(usize, String)>,
}

impl World {
    pub fn new(ks: &str, members: &[String]) -> Self {
        let mut world = Self {
            now: Instant::from_secs(50),
            ks: None,
            members: Vec::new(),
            wire: Vec::new(),
            serial: 0,
            logs: Vec::new(),
        };
        let told = |error: hallmark_node::config::ConfigError| error.to_string();
        let setup = ks_from_toml(ks, &Source::inline("ks.toml")).map_err(told).unwrap();
        let now = world.time();
        world.ks = Some(KeyServer::new(setup.machine, setup.limits, Rng::from_u64(1), now).unwrap());
        for (index, text) in members.iter().enumerate() {
            let setup = gm_from_toml(text, &Source::inline("gm.toml")).map_err(told).unwrap();
            world.members.push(Member::start(setup, Rng::from_u64(index as u64 + 2), now).unwrap());
        }
        world
    }

    /// The same, with every member registered.
    pub fn registered(ks: &str, members: &[String]) -> Self {
        let mut world = Self::new(ks, members);
        world.run(secs(3));
        for index in 0..world.members.len() {
            assert!(world.members[index].control().has_policy(), "member {index}: {:#?}", world.logs);
        }
        world
    }

    pub fn time(&self) -> Now {
        Now::new(self.now, UnixTime::from_secs(1_800_000_000 + self.now.as_secs() as i64))
    }

    pub fn run(&mut self, duration: Duration) {
        let end = self.now + duration;
        loop {
            self.drain();
            let due = self.wire.iter().map(|(at, serial, _)| (*at, *serial)).min();
            let timers = self.ks.iter().filter_map(KeyServer::poll_timeout);
            let timer = timers.chain(self.members.iter().filter_map(Member::poll_timeout)).min();
            let next = due.map(|(at, _)| at).into_iter().chain(timer).min().filter(|at| *at <= end);
            let Some(at) = next else { break };
            self.now = self.now.max(at);
            let now = self.time();
            if let Some((_, serial)) = due.filter(|(due, _)| *due <= at) {
                let index = self.wire.iter().position(|(_, known, _)| *known == serial).unwrap();
                let (_, _, datagram) = self.wire.remove(index);
                self.deliver(now, &datagram);
                continue;
            }
            if let Some(ks) = &mut self.ks {
                ks.handle_timeout(now);
            }
            self.members.iter_mut().for_each(|member| member.handle_timeout(now));
            let stuck = self.members.iter().filter_map(Member::poll_timeout).min();
            assert!(stuck.is_none_or(|next| next > self.now), "a member spins at {}", self.now);
        }
        self.now = end;
    }

    /// Lets a packet arrive at the LAN port of a member, carries what it sends to the WAN ports of all others, and gives
    /// what arrives at their LANs.
    pub fn carry(&mut self, from: usize, packet: &[u8]) -> Vec<Vec<u8>> {
        let wan = self.send(from, Side::Lan, packet);
        wan.into_iter()
            .filter(|(side, _)| *side == Side::Wan)
            .flat_map(|(_, packet)| self.deliver_wan(from, &packet))
            .collect()
    }

    /// Hands a packet to the WAN ports of all members but one, and gives what arrives at their LANs.
    pub fn deliver_wan(&mut self, not: usize, packet: &[u8]) -> Vec<Vec<u8>> {
        let to: Vec<usize> = (0..self.members.len()).filter(|index| *index != not).collect();
        let left = to.into_iter().flat_map(|index| self.send(index, Side::Wan, packet));
        left.filter(|(side, _)| *side == Side::Lan).map(|(_, packet)| packet).collect()
    }

    /// Hands a packet to a port of a member and gives everything that leaves it.
    pub fn send(&mut self, member: usize, side: Side, packet: &[u8]) -> Vec<(Side, Vec<u8>)> {
        let now = self.time();
        let member = &mut self.members[member];
        member.handle_packet(now, side, packet);
        let left = std::iter::from_fn(|| member.poll_packet()).collect();
        self.drain();
        left
    }

    pub fn ask(&mut self, member: usize, request: &str) -> Value {
        let now = self.time();
        let answer = command::gm(&mut self.members[member], now, request).reply;
        self.drain();
        answer
    }

    pub fn status(&mut self, member: usize) -> Value {
        let answer = self.ask(member, "{\"cmd\":\"status\"}");
        assert_eq!(answer["ok"], true, "{answer}");
        answer["status"].clone()
    }

    pub fn order(&mut self, request: &str) {
        let now = self.time();
        let answer = command::ks(self.ks.as_mut().unwrap(), now, request).reply;
        assert_eq!(answer["ok"], true, "{answer}");
        self.drain();
    }

    pub fn logged(&self, member: usize, what: &str) -> Vec<&str> {
        self.logs
            .iter()
            .filter(|(of, line)| *of == member && line.contains(what))
            .map(|(_, line)| line.as_str())
            .collect()
    }

    fn deliver(&mut self, now: Now, datagram: &Datagram) {
        let IpAddr::V4(to) = datagram.dst.ip() else { return };
        match to.octets() {
            [10, 0, 0, 1] => {
                if let Some(ks) = &mut self.ks {
                    ks.handle_datagram(now, datagram);
                }
            }
            [10, 0, 1, index] => {
                if let Some(member) = self.members.get_mut(usize::from(index) - 1) {
                    member.handle_datagram(now, datagram);
                }
            }
            _ => {}
        }
    }

    fn drain(&mut self) {
        let mut out = Vec::new();
        if let Some(ks) = &mut self.ks {
            out.extend(std::iter::from_fn(|| ks.poll_transmit()));
            while ks.poll_event().is_some() {}
        }
        for (index, member) in self.members.iter_mut().enumerate() {
            out.extend(std::iter::from_fn(|| member.poll_transmit()));
            while let Some(told) = member.poll_event() {
                self.logs.push((index, told.to_string()));
            }
        }
        for datagram in out {
            self.serial += 1;
            self.wire.push((self.now + LATENCY, self.serial, datagram));
        }
    }
}

/// A UDP packet between two hosts.
pub fn udp(src: &str, dst: &str, payload: &[u8]) -> Vec<u8> {
    let address = |text: &str, port| SocketAddr::new(text.parse().unwrap(), port);
    udp_packet(&Datagram { src: address(src, 4_000), dst: address(dst, 5_000), payload: payload.to_vec() }, 77, false)
}

/// An ICMP packet between two hosts.
pub fn icmp(src: &str, dst: &str) -> Vec<u8> {
    let udp = udp(src, dst, b"ping");
    let mut header = Ipv4Packet::decode(&udp).unwrap().header;
    header.protocol = 1;
    Ipv4Header { total_len: 0, ..header }.packet(&[8, 0, 0xf7, 0xff, 0, 0, 0, 0])
}

/// The protocol and the payload of a packet, whatever became of its TTL.
pub fn content(packet: &[u8]) -> (u8, Vec<u8>) {
    let packet = Ipv4Packet::decode(packet).unwrap();
    (packet.header.protocol, packet.payload.to_vec())
}
