//! A tiny network with virtual time: key servers, group members, and everything that they say.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};

use hallmark_control::behaviour::{Behaviour, Defect, Variant};
use hallmark_control::config::{
    AckPolicy, Compat, DataTransform, GroupConfig, MembershipConfig, PeerConfig, ServerConfig, TekConfig, TestConfig,
};
use hallmark_control::ike::{IkeConfig, PeerRule};
use hallmark_control::{
    Event, EventKind, GmCommand, GmConfig, GmStatus, GroupMember, KeyServer, KsCommand, KsConfig, KsStatus, Machine,
};
use hallmark_core::{Datagram, Duration, Instant, Limits, Now, Rng, UnixTime};
use hallmark_crypto::{Secret, SigningKey};
use hallmark_wire::isakmp::{ExchangeType, Header, Identification};

pub const GROUP: u32 = 1234;
const LATENCY: Duration = Duration::from_millis(5);

pub fn key(name: &str) -> SigningKey {
    let path = format!("{}/../../fixtures/keys/{name}.pem", env!("CARGO_MANIFEST_DIR"));
    SigningKey::from_pem(&std::fs::read_to_string(path).unwrap()).unwrap()
}

pub fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

pub fn ks_ip(index: usize) -> IpAddr {
    IpAddr::from([10, 0, 0, 1 + index as u8])
}

pub fn gm_ip(index: usize) -> IpAddr {
    IpAddr::from([10, 0, 1 + (index / 200) as u8, 1 + (index % 200) as u8])
}

fn phase1() -> IkeConfig {
    IkeConfig {
        proposals: vec!["aes128-sha256-ecp256-psk".parse().unwrap()],
        allow_weak: ["des", "3des", "md5", "sha1", "rsa1024"].map(String::from).to_vec(),
        ..IkeConfig::default()
    }
}

fn rule(network: IpAddr, prefix: u8) -> PeerRule {
    PeerRule { prefix, ..PeerRule::psk(network, Secret::new(b"a shared secret".to_vec())) }
}

pub fn tek(transform: &str, auth: Option<&str>, lifetime: u64) -> TekConfig {
    let transform = DataTransform::from_names("esp", transform, auth).unwrap();
    let mut tek = TekConfig::new(transform, vec!["permit ip 10.1.0.0/16 10.2.0.0/16".parse().unwrap()]);
    tek.lifetime = secs(lifetime);
    tek
}

/// A group with a KEK of one hour and one TEK of 900 s, acknowledged as RFC 8263 says.
pub fn group() -> GroupConfig {
    let mut group = GroupConfig::new(GROUP);
    group.signing_key = Some(key("rsa2048-a"));
    group.ack = AckPolicy::Rfc8263Sha256;
    if let Some(kek) = &mut group.kek {
        kek.lifetime = secs(3_600);
    }
    group.teks = vec![tek("aes128-cbc", Some("hmac-sha256"), 900)];
    group
}

pub fn ks_config(group: GroupConfig) -> KsConfig {
    KsConfig {
        listen: vec![SocketAddr::new(ks_ip(0), 848)],
        phase1: phase1(),
        peers: vec![PeerConfig { rule: rule(IpAddr::from([10, 0, 0, 0]), 8), compat: Compat::NONE }],
        groups: vec![group],
        test: TestConfig { short_lifetimes: true, ..TestConfig::default() },
    }
}

pub fn gm_config(index: usize) -> GmConfig {
    GmConfig {
        listen: SocketAddr::new(gm_ip(index), 848),
        phase1: phase1(),
        servers: vec![server(0)],
        group: MembershipConfig::new(GROUP),
        test: TestConfig::default(),
    }
}

pub fn server(index: usize) -> ServerConfig {
    let address = SocketAddr::new(ks_ip(index), 848);
    ServerConfig { address, rule: rule(address.ip(), 32), compat: Compat::NONE }
}

pub fn behaviour(defects: &[Defect], variants: &[Variant]) -> Behaviour {
    let behaviour = defects.iter().fold(Behaviour::conforming(), |behaviour, defect| behaviour.with_defect(*defect));
    variants.iter().fold(behaviour, |behaviour, variant| behaviour.with_variant(*variant))
}

pub enum Node {
    Ks(Box<KeyServer>),
    Gm(Box<GroupMember>),
}

impl Node {
    fn handle_datagram(&mut self, now: Now, datagram: &Datagram) {
        match self {
            Self::Ks(ks) => ks.handle_datagram(now, datagram),
            Self::Gm(gm) => gm.handle_datagram(now, datagram),
        }
    }

    fn handle_timeout(&mut self, now: Now) {
        match self {
            Self::Ks(ks) => ks.handle_timeout(now),
            Self::Gm(gm) => gm.handle_timeout(now),
        }
    }

    fn poll_timeout(&self) -> Option<Instant> {
        match self {
            Self::Ks(ks) => ks.poll_timeout(),
            Self::Gm(gm) => gm.poll_timeout(),
        }
    }

    fn poll_transmit(&mut self) -> Option<Datagram> {
        match self {
            Self::Ks(ks) => ks.poll_transmit(),
            Self::Gm(gm) => gm.poll_transmit(),
        }
    }

    fn poll_event(&mut self) -> Option<Event> {
        match self {
            Self::Ks(ks) => ks.poll_event(),
            Self::Gm(gm) => gm.poll_event(),
        }
    }
}

/// A datagram with its time on the wire.
pub struct Seen {
    pub at: Instant,
    pub datagram: Datagram,
    pub dropped: bool,
}

impl Seen {
    pub fn header(&self) -> Header {
        Header::decode(&self.datagram.payload).unwrap()
    }
}

type Fate = Box<dyn FnMut(&mut Datagram) -> bool>;

pub struct World {
    pub now: Instant,
    seed: u64,
    addresses: BTreeMap<IpAddr, usize>,
    pub nodes: Vec<Option<Node>>,
    joined: BTreeMap<IpAddr, BTreeSet<usize>>,
    wire: BTreeMap<(Instant, u64), Datagram>,
    serial: u64,
    pub seen: Vec<Seen>,
    pub events: Vec<(usize, Event)>,
    /// Decides on each datagram; false drops it.
    pub fate: Fate,
}

impl World {
    pub fn new(seed: u64) -> Self {
        Self {
            now: Instant::from_secs(1_000),
            seed,
            addresses: BTreeMap::new(),
            nodes: Vec::new(),
            joined: BTreeMap::new(),
            wire: BTreeMap::new(),
            serial: 0,
            seen: Vec::new(),
            events: Vec::new(),
            fate: Box::new(|_| true),
        }
    }

    /// One key server (node 0) and so many members (nodes 1...), all registered.
    pub fn registered(group: GroupConfig, members: usize) -> Self {
        let mut world = Self::new(1);
        world.add_ks(ks_config(group));
        for index in 0..members {
            world.add_gm(gm_config(index));
        }
        world.run(secs(5));
        for member in 1..=members {
            assert!(world.gm(member).registered, "member {member} is not registered: {:#?}", world.events);
        }
        world
    }

    pub fn time(&self) -> Now {
        Now::new(self.now, UnixTime::from_secs(1_800_000_000 + self.now.as_secs() as i64))
    }

    pub fn add_ks(&mut self, config: KsConfig) -> usize {
        let address = config.listen[0].ip();
        let rng = Rng::from_u64(self.seed).fork(&format!("{address}{}", self.now));
        let ks = KeyServer::new(config, Limits::default(), rng, self.time()).unwrap();
        self.add(address, Node::Ks(Box::new(ks)))
    }

    pub fn add_gm(&mut self, config: GmConfig) -> usize {
        let address = config.listen.ip();
        let rng = Rng::from_u64(self.seed).fork(&format!("{address}{}", self.now));
        let gm = GroupMember::new(config, Limits::default(), rng, self.time()).unwrap();
        self.add(address, Node::Gm(Box::new(gm)))
    }

    fn add(&mut self, address: IpAddr, node: Node) -> usize {
        if let Some(index) = self.addresses.get(&address) {
            self.nodes[*index] = Some(node);
            return *index;
        }
        self.addresses.insert(address, self.nodes.len());
        self.nodes.push(Some(node));
        self.nodes.len() - 1
    }

    pub fn stop(&mut self, node: usize) {
        self.nodes[node] = None;
    }

    pub fn ks(&self, node: usize) -> KsStatus {
        match &self.nodes[node] {
            Some(Node::Ks(ks)) => ks.status(self.time()),
            _ => panic!("node {node} is no key server"),
        }
    }

    pub fn gm(&self, node: usize) -> GmStatus {
        match &self.nodes[node] {
            Some(Node::Gm(gm)) => gm.status(self.time()),
            _ => panic!("node {node} is no group member"),
        }
    }

    pub fn command(&mut self, node: usize, command: KsCommand) {
        let now = self.time();
        let Some(Node::Ks(ks)) = &mut self.nodes[node] else { panic!("node {node} is no key server") };
        // A server that cannot push says so; the worlds of faulty servers go on.
        let _ = ks.handle_command(now, command);
        self.drain(node);
    }

    /// Like [`Self::command`] for a command that a faulty server may have no use for.
    pub fn try_command(&mut self, node: usize, command: KsCommand) -> bool {
        let now = self.time();
        let Some(Node::Ks(ks)) = &mut self.nodes[node] else { panic!("node {node} is no key server") };
        let done = ks.handle_command(now, command).is_ok();
        self.drain(node);
        done
    }

    pub fn gm_command(&mut self, node: usize, command: GmCommand) {
        let now = self.time();
        let Some(Node::Gm(gm)) = &mut self.nodes[node] else { panic!("node {node} is no group member") };
        gm.handle_command(now, command);
        self.drain(node);
    }

    /// Puts a datagram on the wire as if somebody had sent it.
    pub fn inject(&mut self, datagram: Datagram) {
        self.serial += 1;
        self.wire.insert((self.now + LATENCY, self.serial), datagram);
    }

    pub fn run(&mut self, duration: Duration) {
        let end = self.now + duration;
        for node in 0..self.nodes.len() {
            self.drain(node);
        }
        loop {
            let arrival = self.wire.keys().next().map(|(at, _)| *at);
            let timeout = self
                .nodes
                .iter()
                .enumerate()
                .filter_map(|(index, node)| Some((node.as_ref()?.poll_timeout()?, index)))
                .min();
            let at = [arrival, timeout.map(|(at, _)| at)].into_iter().flatten().min();
            let Some(at) = at.filter(|at| *at <= end) else { break };
            self.now = self.now.max(at);
            if arrival.is_some_and(|arrival| arrival <= at) {
                let (_, datagram) = self.wire.pop_first().unwrap();
                self.deliver(&datagram);
            } else if let Some((_, index)) = timeout {
                let now = self.time();
                if let Some(node) = &mut self.nodes[index] {
                    node.handle_timeout(now);
                    let next = node.poll_timeout();
                    assert!(next.is_none_or(|next| next > self.now), "node {index} spins at {}", self.now);
                }
                self.drain(index);
            }
        }
        self.now = end;
    }

    fn deliver(&mut self, datagram: &Datagram) {
        let now = self.time();
        let to: Vec<usize> = if datagram.dst.ip().is_multicast() {
            self.joined.get(&datagram.dst.ip()).into_iter().flatten().copied().collect()
        } else {
            self.addresses.get(&datagram.dst.ip()).into_iter().copied().collect()
        };
        for index in to {
            if let Some(node) = &mut self.nodes[index] {
                node.handle_datagram(now, datagram);
            }
            self.drain(index);
        }
    }

    fn drain(&mut self, index: usize) {
        loop {
            let Some(node) = &mut self.nodes[index] else { return };
            let (datagram, event) = (node.poll_transmit(), node.poll_event());
            if datagram.is_none() && event.is_none() {
                return;
            }
            if let Some(mut datagram) = datagram {
                let kept = (self.fate)(&mut datagram);
                self.seen.push(Seen { at: self.now, datagram: datagram.clone(), dropped: !kept });
                if kept {
                    self.serial += 1;
                    self.wire.insert((self.now + LATENCY, self.serial), datagram);
                }
            }
            if let Some(event) = event {
                match &event.kind {
                    EventKind::MulticastJoin { group_address, .. } => {
                        self.joined.entry(*group_address).or_default().insert(index);
                    }
                    EventKind::MulticastLeave { group_address } => {
                        self.joined.entry(*group_address).or_default().remove(&index);
                    }
                    _ => {}
                }
                self.events.push((index, event));
            }
        }
    }

    /// Gives the datagrams of an exchange type since a time.
    pub fn of(&self, exchange: ExchangeType, since: Instant) -> Vec<&Seen> {
        self.seen
            .iter()
            .filter(|seen| seen.at >= since)
            .filter(|seen| Header::decode(&seen.datagram.payload).is_ok_and(|header| header.exchange == exchange))
            .collect()
    }

    pub fn pushes(&self, since: Instant) -> Vec<&Seen> {
        self.of(ExchangeType::PUSH, since)
    }

    pub fn acks(&self, since: Instant) -> Vec<&Seen> {
        self.of(ExchangeType::PUSH_ACK, since)
    }

    pub fn codes(&self, node: usize) -> BTreeSet<&'static str> {
        let of = |(index, event): &(usize, Event)| (*index == node).then(|| event.kind.code()).flatten();
        self.events.iter().filter_map(of).map(|code| code.as_str()).collect()
    }

    pub fn count(&self, node: usize, wanted: impl Fn(&EventKind) -> bool) -> usize {
        self.events.iter().filter(|(index, event)| *index == node && wanted(&event.kind)).count()
    }
}

pub fn identity(index: usize) -> Identification {
    Identification::from_ip(gm_ip(index))
}
