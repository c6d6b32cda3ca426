//! A world of virtual time: subjects and tester are hosts of a lab, and hours take milliseconds.

use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use hallmark_catalogue::{CaseInfo, Need};
use hallmark_core::{Datagram, Duration, Instant, Now, Rng, UnixTime};
use hallmark_lab::{HostId, HostSpec, Lab, Node};
use hallmark_probe::world::{KeyRecord, Party, Role, Unavailable, World};
use hallmark_suite::Case;

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

    fn lacks(&self, case: &CaseInfo) -> Option<(String, String)> {
        case.needs.contains(&Need::Datapath).then(|| ("world.datapath".to_owned(), "false".to_owned()))
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
    transcript: Transcript,
    starts: u32,
    watch: Watch<'s>,
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

    /// Lets time pass until the next datagram arrives at a tester party.
    fn arrival(&mut self, deadline: Instant) -> Option<(Party, Datagram)> {
        let deadline = deadline.min(LONGEST);
        let (host, datagram) = loop {
            self.watch.check();
            let stride = deadline.min(self.lab.now() + STRIDE);
            let received = self.lab.recv_any(&self.testers, stride);
            self.collect_logs();
            match received {
                Some(received) => break received,
                None if stride == deadline => return None,
                None => {}
            }
        };
        self.record(false, &datagram);
        let party = self.hosts.iter().find(|(_, known)| **known == host).map_or(Party::Tester(0), |(party, _)| *party);
        Some((party, datagram))
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
        self.lab.attach(host, Box::new(LabNode { subject: node }));
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
        let answer = self.lab.with_node(host, |node: &mut LabNode, now| node.subject.command(now, request));
        let answer = answer.ok_or_else(|| Unavailable::Failed(format!("subject {subject} does not run")))?;
        let answer = answer.map_err(Unavailable::Failed)?;
        self.console(format!("subject {subject}: {request}"));
        Ok(answer)
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
}

impl Node for LabNode {
    fn handle_datagram(&mut self, now: Now, datagram: &Datagram) {
        self.subject.handle_datagram(now, datagram);
    }

    fn handle_timeout(&mut self, now: Now) {
        self.subject.handle_timeout(now);
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
