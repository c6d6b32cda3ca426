//! The data ports of a lab: what goes in comes out where the subject says, in order, and is recorded.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::atomic::AtomicBool;

use hallmark_catalogue::{CaseInfo, Verdict};
use hallmark_core::{Datagram, Duration, Instant, Now};
use hallmark_probe::world::{Role, Side, Unavailable};
use hallmark_runner::lab_world::LabWorlds;
use hallmark_runner::{Entry, LabSubject, LabSubjects, Plan, Progress, run};
use hallmark_suite::{Case, Cx, Flow};

/// A subject that lets packets through, except those of one octet; it answers datagrams, and sends a packet by itself
/// when its wall clock says so.
#[derive(Default)]
struct Bridge {
    packets: VecDeque<(Side, Vec<u8>)>,
    datagrams: VecDeque<Datagram>,
    alarm: Option<Instant>,
    seen_wall: i64,
}

impl LabSubject for Bridge {
    fn handle_datagram(&mut self, _: Now, datagram: &Datagram) {
        self.datagrams.push_back(datagram.reply(datagram.payload.clone()));
    }

    fn handle_timeout(&mut self, _: Now) {
        self.alarm = None;
        self.packets.push_back((Side::Wan, b"alarm".to_vec()));
    }

    fn poll_transmit(&mut self) -> Option<Datagram> {
        self.datagrams.pop_front()
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.alarm
    }

    fn poll_log(&mut self) -> Option<String> {
        None
    }

    fn multicast_groups(&self) -> Vec<IpAddr> {
        Vec::new()
    }

    fn handle_packet(&mut self, now: Now, side: Side, packet: &[u8]) {
        self.seen_wall = now.wall.as_secs();
        if packet.len() > 1 {
            self.packets.push_back((side.other(), packet.to_vec()));
        } else {
            self.alarm = Some(now.mono + Duration::from_secs(5));
        }
    }

    fn poll_packet(&mut self) -> Option<(Side, Vec<u8>)> {
        self.packets.pop_front()
    }

    fn command(&mut self, _: Now, _: &str) -> Result<String, String> {
        Ok(self.seen_wall.to_string())
    }
}

struct Bridges;

impl LabSubjects for Bridges {
    fn start(&self, _: Role, _: &str, _: [u8; 32], _: Now) -> Result<Box<dyn LabSubject>, String> {
        Ok(Box::new(Bridge::default()))
    }
}

const fn case(run: fn(&mut Cx<'_>) -> Flow) -> Case {
    Case { info: CaseInfo { id: "T-001", area: "test", requirements: &["GDOI-P1-001"], ..CaseInfo::BLANK }, run }
}

fn record(case: &'static Case) -> (Verdict, String, Vec<Entry>) {
    let plan = Plan { cases: vec![case], seed: 1, jobs: 1, repeat: 1, retries: 0, max_fail: None };
    let mut entries = Vec::new();
    let results = run(&plan, &LabWorlds { subjects: Bridges }, &AtomicBool::new(false), &mut |progress| {
        if let Progress::Finished(finished) = progress {
            entries.clone_from(&finished.transcripts[0].entries);
        }
    });
    (results[0].verdict, results[0].reason.clone(), entries)
}

fn passes(cx: &mut Cx<'_>) -> Flow {
    cx.world.start(0, Role::Gm, "")?;
    cx.alive_before("it runs");
    for octets in [&b"first"[..], b"second"] {
        cx.world.inject(0, Side::Lan, octets.to_vec())?;
    }
    cx.world.inject(0, Side::Wan, b"back".to_vec())?;
    let (from, to) = (cx.tester(0), cx.subject());
    cx.world.send(Datagram::new(from, to, b"hello".to_vec()));
    let start = cx.world.now();
    let deadline = cx.in_secs(1);
    // Each side is asked by itself, the datagram last: nothing is lost by waiting for something else.
    let back = cx.world.carried(0, Side::Lan, deadline).map(|carried| carried.packet);
    let out: Vec<_> = (0..2).map_while(|_| cx.world.carried(0, Side::Wan, deadline)).collect();
    let answer = cx.world.recv(deadline).map(|datagram| datagram.payload);
    let quick = out.iter().all(|carried| carried.at.saturating_since(start) == Duration::from_micros(100));
    let order: Vec<&[u8]> = out.iter().map(|carried| carried.packet.as_slice()).collect();
    let ok = back.as_deref() == Some(b"back") && order == [&b"first"[..], b"second"] && quick;
    cx.check("ports.order", &["GDOI-P1-001"], ok, "both in order", format!("{order:?} {back:?}"));
    let answered = answer.as_deref() == Some(b"hello");
    cx.check("ports.datagram", &["GDOI-P1-001"], answered, "the datagram too", format!("{answer:?}"));
    // A packet that comes of a timer, after a silence that lasts as long as it should.
    cx.world.inject(0, Side::Lan, vec![0])?;
    let start = cx.world.now();
    let early = cx.world.carried(0, Side::Wan, start + Duration::from_secs(4));
    let waited = cx.world.now() - start;
    let late = cx.world.carried(0, Side::Wan, start + Duration::from_secs(10));
    let ok = early.is_none() && waited == Duration::from_secs(4) && late.is_some();
    cx.check("ports.timer", &["GDOI-P1-001"], ok, "after 5 s", format!("{early:?} {waited:?} {late:?}"));
    cx.alive_after("it runs");
    Ok(())
}

fn clock(cx: &mut Cx<'_>) -> Flow {
    cx.world.start(0, Role::Gm, "")?;
    cx.alive_before("it runs");
    let mut walls = Vec::new();
    for step in [0, 100, -1_000] {
        cx.world.step_wall(0, step)?;
        cx.world.inject(0, Side::Lan, b"tick".to_vec())?;
        let deadline = cx.in_secs(1);
        let came = cx.world.carried(0, Side::Wan, deadline).is_some();
        cx.require(came, "no packet")?;
        let wall: i64 = cx.world.command(0, "{}")?.parse().unwrap();
        walls.push(wall - cx.world.wall().as_secs());
    }
    cx.check("clock.steps", &["GDOI-P1-001"], walls == [0, 100, -900], "steps", format!("{walls:?}"));
    cx.world.crash(0)?;
    let dead = matches!(cx.world.inject(0, Side::Lan, b"late".to_vec()), Err(Unavailable::Failed(_)));
    cx.check("ports.dead", &["GDOI-P1-001"], dead, "nothing runs", dead);
    cx.alive_after("it ran");
    Ok(())
}

static PASSES: Case = case(passes);
static CLOCK: Case = case(clock);

#[test]
fn packets_pass_in_order_beside_datagrams_and_are_recorded_with_their_way() {
    let (verdict, reason, entries) = record(&PASSES);
    assert_eq!(verdict, Verdict::Pass, "{reason}");
    let ways: Vec<(bool, Side, &[u8])> = entries
        .iter()
        .filter_map(|entry| match entry {
            Entry::Carried { subject: 0, side, sent, octets, .. } => Some((*sent, *side, octets.as_slice())),
            _ => None,
        })
        .collect();
    let expected: [(bool, Side, &[u8]); 8] = [
        (true, Side::Lan, b"first"),
        (true, Side::Lan, b"second"),
        (true, Side::Wan, b"back"),
        (false, Side::Wan, b"first"),
        (false, Side::Wan, b"second"),
        (false, Side::Lan, b"back"),
        (true, Side::Lan, &[0]),
        (false, Side::Wan, b"alarm"),
    ];
    assert_eq!(ways, expected);
}

#[test]
fn the_wall_clock_of_a_subject_can_be_set_and_a_dead_subject_takes_no_packets() {
    let (verdict, reason, _) = record(&CLOCK);
    assert_eq!(verdict, Verdict::Pass, "{reason}");
}
