//! A world of virtual time: subjects and tester are hosts of a lab, and hours take milliseconds.

mod ports;

use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use hallmark_catalogue::CaseInfo;
use hallmark_core::{Datagram, Duration, Instant, Now, Rng, UnixTime};
use hallmark_lab::{HostId, HostSpec, Lab, Node};
use hallmark_probe::world::{Carried, KeyRecord, Party, Role, Side, Unavailable, World};
use hallmark_suite::Case;

use crate::lab_world::ports::{LeftBy, Ports};
use crate::schedule::{RecordedWorld, Worlds};
use crate::subject::{LabSubject, LabSubjects};
use crate::transcript::{Entry, Transcript};
use crate::watch::Watch;

/// The GDOI port of every party.
const GDOI_PORT: u16 = 848;
/// Hosts that a lab world has for subjects.
const SUBJECTS: u8 = 3;
/// Hosts that a lab world has for the tester.
const TESTERS: u8 = 12;
/// Where the wall clocks of a lab start: 1 June 2026, inside the validity of every certificate that the tester issues.
pub(crate) const WALL_START: UnixTime = UnixTime::from_secs(1_780_272_000);
/// A case that lets more time pass than this has lost its way.
const LONGEST: Instant = Instant::from_secs(400 * 86_400);

/// Time passes in steps of this size, so that a case that never ends is noticed.
const STRIDE: Duration = Duration::from_secs(3_600);
/// Real time that one case may take.
const PATIENCE: Duration = Duration::from_secs(120);

/// Makes lab worlds.
pub struct LabWorlds<S> {
    /// Starts the subjects.
    pub subjects: S,
}

impl<S: LabSubjects> Worlds for LabWorlds<S> {
    fn make<'a>(&'a self, _case: &Case, rng: Rng, watch: Watch<'a>) -> Result<Box<dyn RecordedWorld + 'a>, String> {
        Ok(Box::new(LabWorld::new(&self.subjects, rng, watch)))
    }

    fn lacks(&self, _case: &CaseInfo) -> Option<(String, String)> {
        None
    }

    fn patience(&self, _case: &CaseInfo) -> Duration {
        PATIENCE
    }
}

/// One attempt's lab.
struct LabWorld<'s> {
    lab: Lab,
    subjects: &'s dyn LabSubjects,
    hosts: BTreeMap<Party, HostId>,
    addresses: BTreeMap<Party, SocketAddr>,
    testers: Vec<HostId>,
    rng: Rng,
    /// What arrived for a tester party while another one was waiting.
    queued: VecDeque<(Party, Datagram)>,
    /// The data ports of the subjects.
    ports: Ports,
    transcript: Transcript,
    starts: u32,
    watch: Watch<'s>,
}

/// What can end a wait.
enum Arrival {
    /// A datagram arrived at a tester party.
    Datagram(Party, Datagram),
    /// A packet left a data port and is queued there.
    Packet,
}

impl<'s> LabWorld<'s> {
    fn new(subjects: &'s dyn LabSubjects, rng: Rng, watch: Watch<'s>) -> Self {
        let mut lab = Lab::new(rng.fork("lab").next_u64());
        lab.set_epoch(WALL_START);
        // The tap is for tests of the lab itself; a run keeps what the tester sees.
        lab.set_tap_limit(0);
        let mut hosts = BTreeMap::new();
        let mut addresses = BTreeMap::new();
        let mut add = |lab: &mut Lab, party: Party, name: String, ip: Ipv4Addr| {
            hosts.insert(party, lab.add_host(HostSpec::new(&name, [IpAddr::V4(ip)])));
            addresses.insert(party, SocketAddr::new(IpAddr::V4(ip), GDOI_PORT));
        };
        for n in 0..SUBJECTS {
            add(&mut lab, Party::Subject(n), format!("subject{n}"), Ipv4Addr::new(10, 0, 1, 1 + n));
        }
        for n in 0..TESTERS {
            add(&mut lab, Party::Tester(n), format!("tester{n}"), Ipv4Addr::new(10, 0, 2, 1 + n));
        }
        for n in 0..2 {
            let ip = IpAddr::V4(Ipv4Addr::new(239, 192, 0, 1 + n));
            addresses.insert(Party::Group(n), SocketAddr::new(ip, GDOI_PORT));
        }
        let testers: Vec<HostId> = (0..TESTERS).filter_map(|n| hosts.get(&Party::Tester(n)).copied()).collect();
        for host in &testers {
            lab.bind(*host);
        }
        Self {
            lab,
            subjects,
            hosts,
            addresses,
            testers,
            rng,
            queued: VecDeque::new(),
            ports: Ports::default(),
            transcript: Transcript::default(),
            starts: 0,
            watch,
        }
    }

    fn host_of(&self, ip: IpAddr) -> Option<HostId> {
        let party = self.addresses.iter().find(|(_, address)| address.ip() == ip).map(|(party, _)| *party)?;
        self.hosts.get(&party).copied()
    }

    fn subject_host(&self, subject: u8) -> Result<HostId, Unavailable> {
        let host = self.hosts.get(&Party::Subject(subject)).copied();
        host.ok_or_else(|| Unavailable::NotHere(format!("the lab has no subject {subject}")))
    }

    fn console(&mut self, text: String) {
        let at = self.lab.now();
        self.transcript.entries.push(Entry::Console { at, text });
    }

    fn collect_logs(&mut self) {
        for line in self.lab.take_logs() {
            self.transcript.entries.push(Entry::Log { at: line.at, text: line.text });
        }
    }

    /// Lets time pass until something arrives at the tester: a datagram for one of its parties, or a packet that left
    /// a data port.
    fn arrival(&mut self, deadline: Instant) -> Option<Arrival> {
        let deadline = deadline.min(LONGEST);
        loop {
            self.watch.check();
            if self.take_packets() {
                return Some(Arrival::Packet);
            }
            if let Some((host, datagram)) = self.waiting() {
                self.record(false, &datagram);
                let of = |known: &&HostId| **known == host;
                let party =
                    self.hosts.iter().find(|(_, known)| of(known)).map_or(Party::Tester(0), |(party, _)| *party);
                return Some(Arrival::Datagram(party, datagram));
            }
            let stride = deadline.min(self.lab.now() + STRIDE);
            let until = self.ports.next_due().map_or(stride, |due| due.min(stride));
            let (testers, left) = (&self.testers, self.ports.left());
            self.lab
                .step_until(until, &mut |lab| !left.is_empty() || testers.iter().any(|host| lab.waiting(*host) > 0));
            self.collect_logs();
            self.hand_over();
            if self.lab.now() >= deadline && self.quiet() {
                return None;
            }
        }
    }

    /// Waits for the next datagram to any tester party.
    fn datagram(&mut self, deadline: Instant) -> Option<(Party, Datagram)> {
        loop {
            match self.arrival(deadline)? {
                Arrival::Datagram(party, datagram) => return Some((party, datagram)),
                Arrival::Packet => {}
            }
        }
    }

    /// Takes the oldest datagram that waits at a tester party.
    fn waiting(&mut self) -> Option<(HostId, Datagram)> {
        let now = self.lab.now();
        self.lab.recv_any(&self.testers, now)
    }

    /// Tells whether nothing has arrived that was not taken.
    fn quiet(&self) -> bool {
        self.ports.left().is_empty() && self.testers.iter().all(|host| self.lab.waiting(*host) == 0)
    }

    /// Lets packets arrive at data ports whose time has come.
    fn hand_over(&mut self) {
        while let Some((subject, side, packet)) = self.ports.due(self.lab.now()) {
            let Some(host) = self.hosts.get(&Party::Subject(subject)).copied() else { continue };
            self.lab.with_node(host, |node: &mut LabNode, now| {
                node.subject.handle_packet(now, side, &packet);
                node.take_packets(now);
            });
        }
    }

    /// Records what has left data ports; tells whether something had.
    fn take_packets(&mut self) -> bool {
        let wall = self.wall();
        let taken = self.ports.take();
        for (subject, side, carried) in &taken {
            self.transcript.entries.push(Entry::Carried {
                at: carried.at,
                wall,
                subject: *subject,
                side: *side,
                sent: false,
                octets: carried.packet.clone(),
            });
        }
        !taken.is_empty()
    }

    fn record(&mut self, sent: bool, datagram: &Datagram) {
        self.transcript.entries.push(Entry::Datagram {
            at: self.lab.now(),
            wall: self.wall(),
            sent,
            src: datagram.src,
            dst: datagram.dst,
            payload: datagram.payload.clone(),
        });
    }
}

impl World for LabWorld<'_> {
    fn now(&self) -> Instant {
        self.lab.now()
    }

    fn wall(&self) -> UnixTime {
        WALL_START + (self.lab.now() - Instant::ZERO)
    }

    fn address(&self, party: Party) -> SocketAddr {
        self.addresses.get(&party).copied().unwrap_or(SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0))
    }

    fn send(&mut self, datagram: Datagram) {
        self.record(true, &datagram);
        match self.host_of(datagram.src.ip()) {
            Some(host) => self.lab.send(host, datagram),
            None => {
                // What never left proves nothing: the silence after it would be the tester's own.
                let what = format!("not sent: {} is no address of the tester", datagram.src);
                self.note(&what);
                self.transcript.fault = Some(what);
            }
        }
    }

    fn send_ip(&mut self, packet: Vec<u8>) -> Result<(), Unavailable> {
        let (at, wall) = (self.lab.now(), self.wall());
        self.transcript.entries.push(Entry::Packet { at, wall, octets: packet.clone() });
        let host = self.testers.first().copied().ok_or_else(|| Unavailable::NotHere("no tester".into()))?;
        self.lab.send_ip(host, packet);
        Ok(())
    }

    fn recv(&mut self, deadline: Instant) -> Option<Datagram> {
        match self.queued.pop_front() {
            Some((_, datagram)) => Some(datagram),
            None => self.datagram(deadline).map(|(_, datagram)| datagram),
        }
    }

    fn recv_at(&mut self, tester: Party, deadline: Instant) -> Option<Datagram> {
        if let Some(index) = self.queued.iter().position(|(party, _)| *party == tester) {
            return self.queued.remove(index).map(|(_, datagram)| datagram);
        }
        while let Some((party, datagram)) = self.datagram(deadline) {
            if party == tester {
                return Some(datagram);
            }
            self.queued.push_back((party, datagram));
        }
        None
    }

    fn rest(&mut self, until: Instant) {
        while let Some(arrival) = self.datagram(until) {
            self.queued.push_back(arrival);
        }
    }

    fn listen(&mut self, _address: SocketAddr) -> Result<(), Unavailable> {
        // Tester hosts of a lab receive on every port.
        Ok(())
    }

    fn join(&mut self, tester: Party, group: SocketAddr) -> Result<(), Unavailable> {
        let host = self.hosts.get(&tester).copied();
        let host = host.ok_or_else(|| Unavailable::NotHere(format!("the lab has no {tester:?}")))?;
        self.lab.join(host, group.ip());
        Ok(())
    }

    fn start(&mut self, subject: u8, role: Role, config: &str) -> Result<(), Unavailable> {
        let host = self.subject_host(subject)?;
        self.starts += 1;
        let mut seed = [0; 32];
        self.rng.fork(&format!("subject/{subject}/{}", self.starts)).fill(&mut seed);
        let now = Now::new(self.lab.now(), self.wall());
        self.transcript.configs.push(config.to_owned());
        let node = self.subjects.start(role, config, seed, now).map_err(Unavailable::Failed)?;
        self.lab.detach(host);
        self.ports.forget(subject);
        self.lab.attach(host, Box::new(LabNode { subject: node, left: self.ports.left(), number: subject }));
        self.console(format!("started subject {subject}"));
        Ok(())
    }

    fn crash(&mut self, subject: u8) -> Result<(), Unavailable> {
        let host = self.subject_host(subject)?;
        self.lab.crash(host);
        self.console(format!("crashed subject {subject}"));
        Ok(())
    }

    fn command(&mut self, subject: u8, request: &str) -> Result<String, Unavailable> {
        let host = self.subject_host(subject)?;
        let answer = self.lab.with_node(host, |node: &mut LabNode, now| {
            let answer = node.subject.command(now, request);
            node.take_packets(now);
            answer
        });
        let answer = answer.ok_or_else(|| Unavailable::Failed(format!("subject {subject} does not run")))?;
        let answer = answer.map_err(Unavailable::Failed)?;
        self.console(format!("subject {subject}: {request}"));
        Ok(answer)
    }

    fn inject(&mut self, subject: u8, side: Side, packet: Vec<u8>) -> Result<(), Unavailable> {
        let host = self.subject_host(subject)?;
        if self.lab.node_mut(host).is_none() {
            return Err(Unavailable::Failed(format!("subject {subject} does not run")));
        }
        let (at, wall) = (self.lab.now(), self.wall());
        self.transcript.entries.push(Entry::Carried { at, wall, subject, side, sent: true, octets: packet.clone() });
        self.ports.send(at, subject, side, packet);
        Ok(())
    }

    fn carried(&mut self, subject: u8, side: Side, deadline: Instant) -> Option<Carried> {
        loop {
            if let Some(carried) = self.ports.next(subject, side) {
                return Some(carried);
            }
            if let Arrival::Datagram(party, datagram) = self.arrival(deadline)? {
                self.queued.push_back((party, datagram));
            }
        }
    }

    fn step_wall(&mut self, subject: u8, seconds: i64) -> Result<(), Unavailable> {
        let host = self.subject_host(subject)?;
        self.lab.step_wall(host, seconds.saturating_mul(1_000_000_000));
        self.console(format!("set the wall clock of subject {subject} by {seconds} s"));
        Ok(())
    }

    fn rng(&mut self) -> &mut Rng {
        &mut self.rng
    }

    fn keys(&mut self, record: KeyRecord) {
        self.transcript.keys.push(record);
    }

    fn note(&mut self, text: &str) {
        let at = self.lab.now();
        self.transcript.entries.push(Entry::Note { at, text: text.to_owned() });
    }
}

impl RecordedWorld for LabWorld<'_> {
    fn finish(mut self: Box<Self>) -> Transcript {
        self.collect_logs();
        let faults = self.lab.faults();
        if faults.stale_timers > 0 || faults.runaway_outputs > 0 {
            // The subject spins: whatever was judged meanwhile rests on a clock that stood still.
            self.transcript.fault = Some(format!(
                "the subject spins: {} timeouts in the past, {} endless outputs",
                faults.stale_timers, faults.runaway_outputs
            ));
        } else if self.ports.overflows() > 0 {
            self.transcript.fault = Some(format!("{} packets from data ports were lost", self.ports.overflows()));
        } else if faults.inbox_overflows > 0 {
            self.transcript.fault = Some(format!("{} datagrams to the tester were lost", faults.inbox_overflows));
        }
        self.transcript
    }

    fn as_world(&mut self) -> &mut (dyn World + '_) {
        self
    }
}

/// Puts a subject on a host.
struct LabNode {
    subject: Box<dyn LabSubject>,
    /// Where packets go that leave its data ports.
    left: LeftBy,
    /// Which subject it is.
    number: u8,
}

impl LabNode {
    fn take_packets(&mut self, now: Now) {
        while let Some((side, packet)) = self.subject.poll_packet() {
            self.left.push(self.number, side, Carried { at: now.mono, packet });
        }
    }
}

impl Node for LabNode {
    fn handle_datagram(&mut self, now: Now, datagram: &Datagram) {
        self.subject.handle_datagram(now, datagram);
        self.take_packets(now);
    }

    fn handle_timeout(&mut self, now: Now) {
        self.subject.handle_timeout(now);
        self.take_packets(now);
    }

    fn poll_transmit(&mut self) -> Option<Datagram> {
        self.subject.poll_transmit()
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.subject.poll_timeout()
    }

    fn poll_log(&mut self) -> Option<String> {
        self.subject.poll_log()
    }

    fn multicast_groups(&self) -> Vec<IpAddr> {
        self.subject.multicast_groups()
    }
}
