//! The lab itself: its hosts, its clock and what can be asked of it.

mod path;
mod run;
mod tester;

use std::collections::{BTreeMap, BTreeSet, BinaryHeap, VecDeque};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use hallmark_core::{Datagram, Duration, Instant, Now, Rng, UnixTime};

use crate::clock::{ClockFault, HostClock};
use crate::link::{Link, LinkProfile};
use crate::mark::Marks;
use crate::nat::{Nat, NatSpec};
use crate::node::Node;
use crate::reassembly::ReassemblyLimits;
use crate::rule::{PlacedRule, Rule, RuleId};
use crate::stack::Stack;
use crate::tap::{Direction, TapLog, TapRecord};

use run::Event;

/// Names a host of a lab.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct HostId(u32);

impl HostId {
    /// The fabric, as sender of packets that no host sent.
    pub const ROUTER: Self = Self(u32::MAX);

    const fn index(self) -> usize {
        self.0 as usize
    }
}

/// Describes a host.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct HostSpec {
    /// Its name; the randomness of its links depends on the seed and this name only.
    pub name: String,
    /// Its addresses; the first one of a version is its default source.
    pub addrs: Vec<IpAddr>,
    /// How its clocks differ from the lab's.
    pub clock: ClockFault,
}

impl HostSpec {
    /// Describes a host with exact clocks.
    #[must_use]
    pub fn new(name: &str, addrs: impl Into<Vec<IpAddr>>) -> Self {
        Self { name: name.to_owned(), addrs: addrs.into(), clock: ClockFault::default() }
    }
}

/// Counts what should never happen: a sound node in a sound test leaves all of it at zero.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Faults {
    /// Times that a node still wanted a timeout in the past after its timeouts were handled many times over.
    pub stale_timers: u64,
    /// Times that a node had more output than one call may have.
    pub runaway_outputs: u64,
    /// Datagrams and packets lost because the tester did not fetch them.
    pub inbox_overflows: u64,
    /// Log lines lost because nobody fetched them.
    pub log_overflows: u64,
    /// Tap records lost before anybody fetched them.
    pub tap_overflows: u64,
}

/// One line that a node logged.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LogLine {
    /// When, in lab time.
    pub at: Instant,
    /// Whose.
    pub host: HostId,
    /// What.
    pub text: String,
}

/// A virtual network with virtual time.
pub struct Lab {
    now: Instant,
    sequence: u64,
    events: BinaryHeap<Event>,
    hosts: Vec<Host>,
    routes: BTreeMap<IpAddr, HostId>,
    groups: BTreeMap<IpAddr, BTreeSet<HostId>>,
    partitions: BTreeSet<(HostId, HostId)>,
    rules: Vec<PlacedRule>,
    next_rule: u64,
    rng: Rng,
    epoch: UnixTime,
    tap: TapLog,
    log: VecDeque<LogLine>,
    faults: Faults,
    hash: u64,
    router_v4: Ipv4Addr,
    router_v6: Ipv6Addr,
}

/// Everything that the lab knows about one host.
struct Host {
    name: String,
    addrs: Vec<IpAddr>,
    clock: HostClock,
    node: Option<Box<dyn Node>>,
    /// Whether the tester receives here.
    bound: bool,
    inbox: VecDeque<(u64, Datagram)>,
    raw_inbox: Option<VecDeque<Vec<u8>>>,
    up: Link,
    down: Link,
    stack: Stack,
    nat: Option<Nat>,
    /// Groups that the node itself asked for.
    node_groups: Vec<IpAddr>,
    paused: bool,
    buffer: VecDeque<(Vec<u8>, Marks)>,
    buffered_octets: usize,
    /// When the earliest timer event of this host is due.
    armed: Option<Instant>,
    /// How long a node with a stale timer waits next time.
    backoff: Option<Duration>,
}

impl Lab {
    /// Wall time at the start of every lab, 15 January 2027, unless [`Lab::set_epoch`] says otherwise.
    pub const EPOCH: UnixTime = UnixTime::from_secs(1_800_000_000);

    /// Makes an empty lab. The seed decides everything that is random in it.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self {
            now: Instant::ZERO,
            sequence: 0,
            events: BinaryHeap::new(),
            hosts: Vec::new(),
            routes: BTreeMap::new(),
            groups: BTreeMap::new(),
            partitions: BTreeSet::new(),
            rules: Vec::new(),
            next_rule: 0,
            rng: Rng::from_u64(seed).fork("lab"),
            epoch: Self::EPOCH,
            tap: TapLog::new(),
            log: VecDeque::new(),
            faults: Faults::default(),
            hash: run::HASH_START,
            router_v4: Ipv4Addr::new(192, 0, 2, 1),
            router_v6: Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1),
        }
    }

    /// Sets the true wall time at lab time zero; call it before hosts are added.
    pub const fn set_epoch(&mut self, epoch: UnixTime) {
        self.epoch = epoch;
    }

    /// Adds a host with default links. An address that an earlier host has moves to the new one.
    pub fn add_host(&mut self, spec: HostSpec) -> HostId {
        let id = HostId(u32::try_from(self.hosts.len()).unwrap_or(u32::MAX));
        for addr in &spec.addrs {
            self.routes.insert(*addr, id);
        }
        let link = |way: &str| Link::new(self.rng.fork(&format!("link {} {way}", spec.name)));
        let host = Host {
            clock: HostClock::new(self.now, self.true_time(self.now), spec.clock),
            node: None,
            bound: false,
            inbox: VecDeque::new(),
            raw_inbox: None,
            up: link("up"),
            down: link("down"),
            stack: Stack::new(ReassemblyLimits::default()),
            nat: None,
            node_groups: Vec::new(),
            paused: false,
            buffer: VecDeque::new(),
            buffered_octets: 0,
            armed: None,
            backoff: None,
            name: spec.name,
            addrs: spec.addrs,
        };
        self.hosts.push(host);
        id
    }

    /// Gives a host a further address.
    pub fn add_address(&mut self, host: HostId, addr: IpAddr) {
        let Some(found) = self.hosts.get_mut(host.index()) else { return };
        found.addrs.push(addr);
        self.routes.insert(addr, host);
    }

    /// Finds the host that has an address.
    #[must_use]
    pub fn host_of(&self, addr: IpAddr) -> Option<HostId> {
        self.routes.get(&addr).copied()
    }

    /// Gives a host's name; empty for none of this lab.
    #[must_use]
    pub fn name(&self, host: HostId) -> &str {
        self.hosts.get(host.index()).map_or("", |host| host.name.as_str())
    }

    /// Puts a node onto a host, in place of one that ran there, and starts it.
    pub fn attach(&mut self, host: HostId, node: Box<dyn Node>) {
        self.crash(host);
        if let Some(found) = self.hosts.get_mut(host.index()) {
            found.node = Some(node);
        }
        self.settle(host);
    }

    /// Takes a node off its host, which is down from then on.
    pub fn detach(&mut self, host: HostId) -> Option<Box<dyn Node>> {
        let node = self.hosts.get_mut(host.index())?.node.take();
        self.crash(host);
        node
    }

    /// Stops a host at once: its node is gone, so is what its IP layer held, and it hears nothing until
    /// [`Lab::attach`] or [`Lab::bind`] brings it back.
    pub fn crash(&mut self, host: HostId) {
        let Some(found) = self.hosts.get_mut(host.index()) else { return };
        found.node = None;
        found.bound = false;
        found.raw_inbox = None;
        found.inbox.clear();
        found.buffer.clear();
        found.buffered_octets = 0;
        found.paused = false;
        found.armed = None;
        found.backoff = None;
        found.node_groups.clear();
        found.stack.reset();
        for members in self.groups.values_mut() {
            members.remove(&host);
        }
    }

    /// Lends a host's node. Whoever changes it calls [`Lab::settle`] afterwards; [`Lab::with_node`] does both.
    pub fn node_mut(&mut self, host: HostId) -> Option<&mut dyn Node> {
        let node = self.hosts.get_mut(host.index())?.node.as_mut()?;
        Some(node.as_mut())
    }

    /// Calls a function with a host's node of a known type and the host's time, then sends what the node has to say.
    /// Nothing when another type, or nothing, runs there.
    pub fn with_node<T: Node, R>(&mut self, host: HostId, call: impl FnOnce(&mut T, Now) -> R) -> Option<R> {
        let now = self.now_of(host);
        let node: &mut dyn std::any::Any = self.node_mut(host)?;
        let result = call(node.downcast_mut::<T>()?, now);
        self.settle(host);
        Some(result)
    }

    /// Takes what a host's node has to send and when it wants to be called.
    pub fn settle(&mut self, host: HostId) {
        self.drain(host);
        self.rearm(host);
    }

    /// Stops a host's processor: its timers wait and packets pile up in a small buffer.
    pub fn pause(&mut self, host: HostId) {
        if let Some(found) = self.hosts.get_mut(host.index()) {
            found.paused = true;
        }
    }

    /// Stops a host's processor for a while.
    pub fn pause_for(&mut self, host: HostId, span: Duration) {
        self.pause(host);
        self.schedule_resume(host, self.now + span);
    }

    /// Lets a paused host go on: first what is in its buffer, then its timers.
    pub fn resume(&mut self, host: HostId) {
        let Some(found) = self.hosts.get_mut(host.index()) else { return };
        found.paused = false;
        found.buffered_octets = 0;
        for (packet, _) in std::mem::take(&mut found.buffer) {
            self.receive(host, &packet, None);
        }
        self.settle(host);
    }

    /// Gives one direction of a host's link another profile. The router cuts or refuses by the `Down` profile's MTU,
    /// the host itself by the `Up` profile's.
    pub fn set_link(&mut self, host: HostId, direction: Direction, profile: LinkProfile) {
        if let Some(found) = self.hosts.get_mut(host.index()) {
            match direction {
                Direction::Up => found.up.set_profile(profile),
                Direction::Down | Direction::Fabric => found.down.set_profile(profile),
            }
        }
    }

    /// Gives the profile of one direction of a host's link.
    #[must_use]
    pub fn link(&self, host: HostId, direction: Direction) -> Option<&LinkProfile> {
        let host = self.hosts.get(host.index())?;
        Some(if direction == Direction::Up { &host.up.profile } else { &host.down.profile })
    }

    /// Blocks (or opens again) the way from one host to another; the way back is another matter.
    pub fn partition(&mut self, from: HostId, to: HostId, blocked: bool) {
        if blocked {
            self.partitions.insert((from, to));
        } else {
            self.partitions.remove(&(from, to));
        }
    }

    /// Lets a function decide about each packet that enters one direction of a host's link.
    pub fn add_rule(&mut self, host: HostId, direction: Direction, rule: Rule) -> RuleId {
        let id = RuleId(self.next_rule);
        self.next_rule += 1;
        self.rules.push(PlacedRule { id, host, direction, rule });
        id
    }

    /// Takes a rule away.
    pub fn remove_rule(&mut self, id: RuleId) {
        self.rules.retain(|placed| placed.id != id);
    }

    /// Puts an address translator between a host and the fabric, or takes it away.
    pub fn set_nat(&mut self, host: HostId, spec: Option<NatSpec>) {
        let Some(found) = self.hosts.get_mut(host.index()) else { return };
        if let Some(before) = found.nat.take() {
            self.routes.remove(&before.spec.public);
        }
        if let Some(spec) = spec {
            self.routes.insert(spec.public, host);
            found.nat = Some(Nat::new(spec));
        }
    }

    /// Makes a host's address translator forget its mappings, so that the host appears behind another port.
    pub fn rebind_nat(&mut self, host: HostId) {
        if let Some(nat) = self.hosts.get_mut(host.index()).and_then(|host| host.nat.as_mut()) {
            nat.rebind();
        }
    }

    /// Makes a host heed (or not) path MTU discovery over IPv4: packets that fit are sent with DF set. Over IPv6 every
    /// host does.
    pub fn set_path_mtu_discovery(&mut self, host: HostId, on: bool) {
        if let Some(found) = self.hosts.get_mut(host.index()) {
            found.stack.path_mtu_discovery = on;
        }
    }

    /// Gives the path MTU that a host has learnt towards a destination.
    #[must_use]
    pub fn path_mtu(&self, host: HostId, dst: IpAddr) -> Option<usize> {
        self.hosts.get(host.index())?.stack.path_mtu(dst)
    }

    /// Changes what a host's reassembly may cost; what it held is forgotten.
    pub fn set_reassembly_limits(&mut self, host: HostId, limits: ReassemblyLimits) {
        if let Some(found) = self.hosts.get_mut(host.index()) {
            found.stack.set_limits(limits);
        }
    }

    /// Counts the packets that wait for fragments on a host, and the octets that it holds for them.
    #[must_use]
    pub fn reassembly(&self, host: HostId) -> (usize, usize) {
        let held = self.hosts.get(host.index()).map(|host| &host.stack.reassembler);
        held.map_or((0, 0), |held| (held.pending(), held.octets()))
    }

    /// Makes a host receive what is sent to a multicast group.
    pub fn join(&mut self, host: HostId, group: IpAddr) {
        self.groups.entry(group).or_default().insert(host);
    }

    /// Undoes [`Lab::join`].
    pub fn leave(&mut self, host: HostId, group: IpAddr) {
        if let Some(members) = self.groups.get_mut(&group) {
            members.remove(&host);
        }
    }

    /// Tells the lab's time, which is true.
    #[must_use]
    pub const fn now(&self) -> Instant {
        self.now
    }

    /// Tells the true wall time at a lab time.
    #[must_use]
    pub fn true_time(&self, at: Instant) -> UnixTime {
        self.epoch + Duration::from_nanos(at.0)
    }

    /// Tells what a host's wall clock shows.
    #[must_use]
    pub fn wall(&self, host: HostId) -> UnixTime {
        self.now_of(host).wall
    }

    /// Tells what both clocks of a host show.
    #[must_use]
    pub fn now_of(&self, host: HostId) -> Now {
        let host = self.hosts.get(host.index());
        host.map_or_else(|| Now::new(self.now, self.true_time(self.now)), |host| host.clock.read(self.now))
    }

    /// Sets a host's wall clock forward (or back) at once.
    pub fn step_wall(&mut self, host: HostId, delta_ns: i64) {
        if let Some(found) = self.hosts.get_mut(host.index()) {
            found.clock.step_wall(delta_ns);
        }
    }

    /// Makes a host's clocks run too fast (or slow) from here on, by millionths.
    pub fn set_drift(&mut self, host: HostId, wall_ppm: i32, mono_ppm: i32) {
        let now = self.now;
        if let Some(found) = self.hosts.get_mut(host.index()) {
            found.clock.set_drift(now, wall_ppm, mono_ppm);
        }
        self.rearm(host);
    }

    /// Gives the tap records since the last call.
    pub fn tap(&mut self) -> Vec<TapRecord> {
        let new = self.tap.drain();
        self.faults.tap_overflows = self.tap.forgotten;
        new
    }

    /// Gives one tap record by its index, while it is remembered.
    #[must_use]
    pub fn tap_record(&self, index: u64) -> Option<&TapRecord> {
        self.tap.get(index)
    }

    /// Sets how many tap records are remembered (65,536 by default); zero for none.
    pub fn set_tap_limit(&mut self, limit: usize) {
        self.tap.set_limit(limit);
    }

    /// Takes the lines that nodes have logged.
    pub fn take_logs(&mut self) -> Vec<LogLine> {
        self.log.drain(..).collect()
    }

    /// Counts what should never happen.
    #[must_use]
    pub const fn faults(&self) -> Faults {
        Faults { tap_overflows: self.tap.forgotten, ..self.faults }
    }

    /// Sums up every event so far in its order: equal for equal histories.
    #[must_use]
    pub const fn event_hash(&self) -> u64 {
        self.hash
    }
}

impl std::fmt::Debug for Lab {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Lab")
            .field("now", &self.now)
            .field("hosts", &self.hosts.len())
            .field("events", &self.events.len())
            .field("faults", &self.faults)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lab_can_move_to_another_thread() {
        fn is_send<T: Send>(_: &T) {}
        is_send(&Lab::new(0));
    }
}
