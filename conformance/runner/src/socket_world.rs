//! A world of real sockets: the subject is a process on this host or a device on a wire.

use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::fd::AsFd as _;
use std::sync::atomic::{AtomicU32, Ordering};

use hallmark_catalogue::{CaseInfo, Need};
use hallmark_core::{Datagram, Duration, Instant, Rng, UnixTime};
use hallmark_net::{Clock, PortSet, RawIp, UdpOptions};
use hallmark_probe::world::{Carried, KeyRecord, Party, Role, Side, Unavailable, World};
use hallmark_suite::Case;

use crate::schedule::{RecordedWorld, Worlds};
use crate::transcript::{Entry, Transcript};
use crate::watch::Watch;
use crate::wires::{Wire, Wires};

/// How many ends the tester has in a world of sockets.
const TESTERS: u8 = 12;
/// Loopback networks that attempts take in turn: 127.64.0.0/24 to 127.127.255.0/24.
pub const NETWORKS: u32 = 64 * 256;
/// Loopback networks that are tried until one is free.
const TRIES: u32 = 8;
/// The tester looks for a dying subject at least this often, in real time.
const NAP: Duration = Duration::from_millis(100);

/// A subject that runs outside of this process.
pub trait RunningSubject: Send {
    /// Answers a console command.
    ///
    /// # Errors
    /// `NotHere` where there is no console, `Failed` when it refuses.
    fn command(&mut self, request: &str) -> Result<String, Unavailable>;
    /// Ends it at once, without farewell.
    ///
    /// # Errors
    /// `NotHere` for what cannot be stopped from here.
    fn kill(&mut self) -> Result<(), Unavailable>;
    /// Gives the lines that it has logged since the last call.
    fn log(&mut self) -> Vec<String>;
    /// Says how it ended by itself, if it did and that was no orderly end.
    fn died(&mut self) -> Option<String> {
        None
    }
}

/// Starts subjects for a world of sockets.
pub trait Launcher: Sync {
    /// Starts a subject from its configuration text and returns when it listens.
    ///
    /// # Errors
    /// `NotHere` where the subject cannot be configured so, `Failed` when it does not start.
    fn launch(&self, role: Role, config: &str, clock_rate: f64) -> Result<Box<dyn RunningSubject>, Unavailable>;
}

/// Where the parties of a world live.
#[derive(Clone, Debug)]
pub enum Addressing {
    /// Each attempt gets a loopback network of its own; no privilege is needed.
    Loopback {
        /// The GDOI port of every party.
        port: u16,
    },
    /// A device: its address and those that the tester may use on the wire to it.
    Fixed {
        /// The device.
        subject: SocketAddr,
        /// The tester's ends, first one first.
        testers: Vec<SocketAddr>,
        /// Multicast groups that may be used.
        groups: Vec<SocketAddr>,
    },
}

/// Makes worlds of sockets.
pub struct SocketWorlds<L> {
    /// Starts the subjects.
    pub launcher: L,
    /// Gives the addresses.
    pub addressing: Addressing,
    /// How much faster than real time subject and tester live; 1 for anything whose clock cannot be told.
    pub clock_rate: f64,
    /// Gives each attempt its own loopback network.
    pub serial: AtomicU32,
    /// Wires to the data ports of subjects, where there are any.
    pub wires: Option<Wires>,
}

impl<L: Launcher> SocketWorlds<L> {
    /// Makes worlds on the loopback network.
    pub const fn loopback(launcher: L, port: u16, clock_rate: f64) -> Self {
        Self { launcher, addressing: Addressing::Loopback { port }, clock_rate, serial: AtomicU32::new(0), wires: None }
    }
}

impl<L: Launcher> SocketWorlds<L> {
    /// Opens the ports of the tester; on loopback in a network that nobody else uses.
    fn open(&self) -> Result<(BTreeMap<Party, SocketAddr>, PortSet), String> {
        let mut fault = String::new();
        for _ in 0..TRIES {
            let addresses = self.addressing.parties(self.serial.fetch_add(1, Ordering::SeqCst));
            let mut ports = PortSet::new(UdpOptions::default()).map_err(|e| e.to_string())?;
            let testers = addresses.iter().filter(|(party, _)| matches!(party, Party::Tester(_)));
            let opened = testers.into_iter().try_for_each(|(_, address)| {
                ports.open(*address).map(|_| ()).map_err(|e| format!("cannot open {address} for the tester: {e}"))
            });
            match opened {
                Ok(()) => return Ok((addresses, ports)),
                Err(why) => fault = why,
            }
            if !matches!(self.addressing, Addressing::Loopback { .. }) {
                break;
            }
        }
        Err(fault)
    }
}

impl Addressing {
    /// Gives the addresses of the parties; on loopback, those of the network with a serial number.
    fn parties(&self, serial: u32) -> BTreeMap<Party, SocketAddr> {
        let mut addresses = BTreeMap::new();
        match self {
            Self::Loopback { port } => {
                // 127.64.0.0 upwards is far from what anything else on a host uses.
                let [_, second, third, _] = ((serial % NETWORKS) << 8).to_be_bytes();
                let at = |last| SocketAddr::new(IpAddr::V4(Ipv4Addr::new(127, 64 + second, third, last)), *port);
                for n in 0..4 {
                    addresses.insert(Party::Subject(n), at(1 + n));
                }
                for n in 0..TESTERS {
                    addresses.insert(Party::Tester(n), at(101 + n));
                }
                for n in 0..2 {
                    let group = IpAddr::V4(Ipv4Addr::new(239, 192 + (second & 0x3f), third, 1 + n));
                    addresses.insert(Party::Group(n), SocketAddr::new(group, *port));
                }
            }
            Self::Fixed { subject, testers, groups } => {
                addresses.insert(Party::Subject(0), *subject);
                for (n, address) in (0..).zip(testers) {
                    addresses.insert(Party::Tester(n), *address);
                }
                for (n, address) in (0..).zip(groups) {
                    addresses.insert(Party::Group(n), *address);
                }
            }
        }
        addresses
    }

    /// Gives the addresses of the parties where they do not change from attempt to attempt.
    pub(crate) fn fixed(&self) -> BTreeMap<Party, SocketAddr> {
        self.parties(0)
    }
}

impl<L: Launcher> Worlds for SocketWorlds<L> {
    fn make<'a>(&'a self, case: &Case, rng: Rng, watch: Watch<'a>) -> Result<Box<dyn RecordedWorld + 'a>, String> {
        let (addresses, ports) = self.open()?;
        let wired = case.info.needs.contains(&Need::Datapath);
        let wire = self.wires.as_ref().filter(|_| wired).map(Wires::take).transpose()?;
        Ok(Box::new(SocketWorld {
            clock: Clock::start(self.clock_rate),
            addresses,
            ports,
            wire,
            carried: BTreeMap::new(),
            raw: None,
            subjects: BTreeMap::new(),
            rng,
            queued: VecDeque::new(),
            joined: VecDeque::new(),
            transcript: Transcript::default(),
            launcher: &self.launcher,
            watch,
        }))
    }

    fn lacks(&self, case: &CaseInfo) -> Option<(String, String)> {
        let device = matches!(self.addressing, Addressing::Fixed { .. });
        let lacking = case.needs.iter().find(|need| match need {
            Need::VirtualTime => true,
            Need::Datapath => self.wires.is_none(),
            Need::Console | Need::Crash | Need::TwoDevices | Need::Logs => device,
            Need::RawIp | Need::Multicast | Need::Setup | Need::ManyAddresses => false,
        });
        lacking.map(|need| (format!("world.{need}"), "false".to_owned()))
    }

    fn patience(&self, case: &CaseInfo) -> Duration {
        // Four times what the case says of itself, and room for a busy host.
        let own = f64::from(case.cost_secs) * 4.0 / self.clock_rate.max(0.001);
        Duration::from_secs_f64(own + 60.0)
    }
}

/// One attempt's world of sockets.
struct SocketWorld<'l, L: Launcher> {
    clock: Clock,
    addresses: BTreeMap<Party, SocketAddr>,
    ports: PortSet,
    /// The other ends of the first subject's data ports.
    wire: Option<Wire<'l>>,
    /// What left the data ports while something else was waited for.
    carried: BTreeMap<Side, VecDeque<Carried>>,
    raw: Option<RawIp>,
    subjects: BTreeMap<u8, Box<dyn RunningSubject>>,
    rng: Rng,
    /// What arrived for a tester party while another one was waiting.
    queued: VecDeque<(Party, Datagram)>,
    /// Who joined which group, in turn for its next copy.
    joined: VecDeque<(IpAddr, Party)>,
    transcript: Transcript,
    launcher: &'l L,
    watch: Watch<'l>,
}

impl<L: Launcher> SocketWorld<'_, L> {
    fn console(&mut self, text: String) {
        let at = self.clock.now().mono;
        self.transcript.entries.push(Entry::Console { at, text });
    }

    /// Takes what has left the data ports of the subject.
    fn drain_wire(&mut self) {
        let Some(wire) = &mut self.wire else { return };
        for side in [Side::Lan, Side::Wan] {
            match wire.receive(side) {
                Ok(packets) => {
                    let now = self.clock.now();
                    for packet in packets {
                        self.transcript.entries.push(Entry::Carried {
                            at: now.mono,
                            wall: now.wall,
                            subject: 0,
                            side,
                            sent: false,
                            octets: packet.clone(),
                        });
                        self.carried.entry(side).or_default().push_back(Carried { at: now.mono, packet });
                    }
                }
                Err(why) => {
                    self.transcript.fault.get_or_insert_with(|| format!("the tester cannot receive: {why}"));
                }
            }
        }
    }

    /// Waits until something has arrived at any end of the tester, and says whether something has.
    fn wait(&self, at_most: Duration) -> bool {
        let mut descriptors = vec![self.ports.as_fd()];
        descriptors.extend(self.wire.iter().flat_map(Wire::descriptors));
        hallmark_net::wait::readable(&descriptors, at_most).unwrap_or(false)
    }

    /// Waits for the next datagram to a tester party, or for a packet from one of the data ports.
    fn arrival(&mut self, deadline: Instant) -> Option<(Party, Datagram)> {
        self.arrival_unless(deadline, |_| false)
    }

    /// The same, but comes back with nothing as soon as `enough` says so.
    fn arrival_unless(&mut self, deadline: Instant, enough: impl Fn(&Self) -> bool) -> Option<(Party, Datagram)> {
        loop {
            self.watch.check();
            self.drain_wire();
            if enough(self) {
                return None;
            }
            let received = self.ports.recv();
            if let Err(error) = &received {
                // What a port that fails does not deliver would read as silence.
                self.transcript.fault.get_or_insert_with(|| format!("the tester cannot receive: {error}"));
            }
            if let Ok(Some(datagram)) = received {
                let now = self.clock.now();
                self.transcript.entries.push(Entry::Datagram {
                    at: now.mono,
                    wall: now.wall,
                    sent: false,
                    src: datagram.src,
                    dst: datagram.dst,
                    payload: datagram.payload.clone(),
                });
                return Some((self.party_of(datagram.dst.ip()), datagram));
            }
            let left = self.clock.real_time_until(deadline);
            if left.is_zero() {
                return None;
            }
            if !self.wait(left.min(NAP)) {
                self.look_for_the_dead();
            }
        }
    }

    /// Ends the case when a subject has died: its silence from here on says nothing about what was sent to it.
    fn look_for_the_dead(&mut self) {
        if let Some(how) = self.subjects.values_mut().find_map(|subject| subject.died()) {
            self.transcript.died = Some(how);
            self.watch.died();
        }
    }

    /// Says for whom a datagram is: the owner of the address, or the next of those that joined the group.
    fn party_of(&mut self, ip: IpAddr) -> Party {
        if let Some(turn) = self.joined.iter().position(|(group, _)| *group == ip)
            && let Some((group, party)) = self.joined.remove(turn)
        {
            self.joined.push_back((group, party));
            return party;
        }
        self.addresses.iter().find(|(_, address)| address.ip() == ip).map_or(Party::Tester(0), |(party, _)| *party)
    }

    fn collect_logs(&mut self) {
        let at = self.clock.now().mono;
        for subject in self.subjects.values_mut() {
            self.transcript.entries.extend(subject.log().into_iter().map(|text| Entry::Log { at, text }));
        }
    }

    fn subject(&mut self, index: u8) -> Result<&mut Box<dyn RunningSubject>, Unavailable> {
        self.subjects.get_mut(&index).ok_or_else(|| Unavailable::Failed(format!("subject {index} does not run")))
    }
}

impl<L: Launcher> World for SocketWorld<'_, L> {
    fn now(&self) -> Instant {
        self.clock.now().mono
    }

    fn wall(&self) -> UnixTime {
        self.clock.now().wall
    }

    fn address(&self, party: Party) -> SocketAddr {
        // A device's wire may have fewer ends than a case asks for; sending from the unspecified address then fails
        // and the case ends as an error.
        self.addresses.get(&party).copied().unwrap_or(SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0))
    }

    fn send(&mut self, datagram: Datagram) {
        let nowhere = datagram.src.ip().is_unspecified();
        if !nowhere && !self.ports.addresses().any(|open| open == datagram.src) {
            // Answers come back to the port that was sent from.
            let _ = self.listen(datagram.src);
        }
        let now = self.clock.now();
        if let Err(error) = self.ports.send(&datagram) {
            // What never left proves nothing: the silence after it would be the tester's own.
            let what = if nowhere {
                "the tester has too few addresses for this case: name more of them with --tester".to_owned()
            } else {
                format!("the tester could not send from {} to {}: {error}", datagram.src, datagram.dst)
            };
            self.note(&what);
            if self.transcript.fault.is_none() {
                self.transcript.fault = Some(what);
            }
            return;
        }
        self.transcript.entries.push(Entry::Datagram {
            at: now.mono,
            wall: now.wall,
            sent: true,
            src: datagram.src,
            dst: datagram.dst,
            payload: datagram.payload,
        });
    }

    fn send_ip(&mut self, packet: Vec<u8>) -> Result<(), Unavailable> {
        if self.raw.is_none() {
            let raw =
                RawIp::open().map_err(|e| Unavailable::NotHere(format!("whole IP packets cannot be sent: {e}")))?;
            self.raw = Some(raw);
        }
        if let Some(raw) = &self.raw {
            raw.send(&packet).map_err(|e| Unavailable::Failed(e.to_string()))?;
        }
        let now = self.clock.now();
        self.transcript.entries.push(Entry::Packet { at: now.mono, wall: now.wall, octets: packet });
        Ok(())
    }

    fn recv(&mut self, deadline: Instant) -> Option<Datagram> {
        match self.queued.pop_front() {
            Some((_, datagram)) => Some(datagram),
            None => self.arrival(deadline).map(|(_, datagram)| datagram),
        }
    }

    fn recv_at(&mut self, tester: Party, deadline: Instant) -> Option<Datagram> {
        if let Some(index) = self.queued.iter().position(|(party, _)| *party == tester) {
            return self.queued.remove(index).map(|(_, datagram)| datagram);
        }
        while let Some((party, datagram)) = self.arrival(deadline) {
            if party == tester {
                return Some(datagram);
            }
            self.queued.push_back((party, datagram));
        }
        None
    }

    fn rest(&mut self, until: Instant) {
        while let Some(arrival) = self.arrival(until) {
            self.queued.push_back(arrival);
        }
    }

    fn listen(&mut self, address: SocketAddr) -> Result<(), Unavailable> {
        if self.ports.addresses().any(|open| open == address) {
            return Ok(());
        }
        self.ports.open(address).map(|_| ()).map_err(|e| Unavailable::NotHere(format!("cannot open {address}: {e}")))
    }

    fn join(&mut self, tester: Party, group: SocketAddr) -> Result<(), Unavailable> {
        let interface = self.address(tester).ip();
        self.ports.join(group, interface).map_err(|e| Unavailable::NotHere(format!("cannot join {group}: {e}")))?;
        self.joined.push_back((group.ip(), tester));
        Ok(())
    }

    fn start(&mut self, subject: u8, role: Role, config: &str) -> Result<(), Unavailable> {
        self.collect_logs();
        if let Some(mut old) = self.subjects.remove(&subject) {
            old.kill()?;
        }
        let config = match &self.wire {
            Some(wire) if subject == 0 => wire.name_in(config),
            _ => config.to_owned(),
        };
        let running = self.launcher.launch(role, &config, self.clock.rate())?;
        self.transcript.configs.push(config);
        self.subjects.insert(subject, running);
        self.console(format!("started subject {subject}"));
        Ok(())
    }

    fn crash(&mut self, subject: u8) -> Result<(), Unavailable> {
        self.collect_logs();
        self.subject(subject)?.kill()?;
        self.subjects.remove(&subject);
        self.console(format!("crashed subject {subject}"));
        Ok(())
    }

    fn command(&mut self, subject: u8, request: &str) -> Result<String, Unavailable> {
        let answer = self.subject(subject)?.command(request)?;
        self.console(format!("subject {subject}: {request}"));
        Ok(answer)
    }

    fn inject(&mut self, subject: u8, side: Side, packet: Vec<u8>) -> Result<(), Unavailable> {
        let nowhere = || Unavailable::NotHere(format!("nothing is connected to the data ports of subject {subject}"));
        let wire = self.wire.as_mut().filter(|_| subject == 0).ok_or_else(nowhere)?;
        let now = self.clock.now();
        if let Err(why) = wire.send(side, &packet) {
            self.transcript.fault.get_or_insert_with(|| format!("the tester could not send: {why}"));
        }
        self.transcript.entries.push(Entry::Carried {
            at: now.mono,
            wall: now.wall,
            subject,
            side,
            sent: true,
            octets: packet,
        });
        Ok(())
    }

    fn carried(&mut self, subject: u8, side: Side, deadline: Instant) -> Option<Carried> {
        if subject != 0 {
            self.rest(deadline);
            return None;
        }
        let waits = |world: &Self| world.carried.get(&side).is_some_and(|queue| !queue.is_empty());
        while let Some(arrival) = self.arrival_unless(deadline, waits) {
            self.queued.push_back(arrival);
        }
        self.carried.get_mut(&side)?.pop_front()
    }

    fn step_wall(&mut self, subject: u8, seconds: i64) -> Result<(), Unavailable> {
        let answer = self.command(subject, &format!("{{\"cmd\":\"step-wall\",\"secs\":{seconds}}}"))?;
        let answer: serde_json::Value = serde_json::from_str(&answer).unwrap_or_default();
        if answer.get("ok").and_then(serde_json::Value::as_bool) == Some(true) {
            return Ok(());
        }
        Err(Unavailable::NotHere("the subject does not let its wall clock be set from the console".to_owned()))
    }

    fn rng(&mut self) -> &mut Rng {
        &mut self.rng
    }

    fn keys(&mut self, record: KeyRecord) {
        self.transcript.keys.push(record);
    }

    fn note(&mut self, text: &str) {
        let at = self.clock.now().mono;
        self.transcript.entries.push(Entry::Note { at, text: text.to_owned() });
    }
}

impl<L: Launcher> RecordedWorld for SocketWorld<'_, L> {
    fn finish(mut self: Box<Self>) -> Transcript {
        self.collect_logs();
        for subject in self.subjects.values_mut() {
            // What cannot be stopped from here is a device that goes on by itself.
            let _ = subject.kill();
        }
        self.collect_logs();
        if let Some(lost) = self.wire.as_ref().map(Wire::lost).filter(|lost| *lost > 0) {
            self.transcript.fault.get_or_insert_with(|| format!("{lost} packets from data ports were lost"));
        }
        self.transcript
    }

    fn as_world(&mut self) -> &mut (dyn World + '_) {
        self
    }
}
