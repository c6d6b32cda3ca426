//! Hosts: clocks, crashes, pauses, timers, translators, and one history for one seed.

use std::collections::VecDeque;

use crate::common::*;
use hallmark_core::{Datagram, Duration, Instant, Now, UnixTime};
use hallmark_lab::{
    ClockFault, Corruption, Damage, Direction, DropReason, Fate, Faults, GilbertElliott, HostSpec, Jitter, Lab,
    LinkProfile, NatSpec, Node,
};

const MS: Duration = Duration::from_millis(1);

#[test]
fn wall_and_monotonic_clocks_are_wrong_each_on_its_own() {
    let mut lab = Lab::new(1);
    let clock = ClockFault { wall_offset_ns: 5_000_000_000, wall_drift_ppm: 0, mono_drift_ppm: 100_000 };
    let fast = lab.add_host(HostSpec { clock, ..HostSpec::new("fast", [ip("10.0.0.1")]) });
    let exact = lab.add_host(HostSpec::new("exact", [ip("10.0.0.2")]));
    lab.run_until(Instant::from_secs(100));
    assert_eq!(lab.now_of(fast), Now::new(Instant::from_secs(110), UnixTime::from_secs(1_800_000_105)));
    assert_eq!(lab.now_of(exact), Now::new(Instant::from_secs(100), UnixTime::from_secs(1_800_000_100)));
    lab.step_wall(exact, -40_000_000_000);
    assert_eq!(lab.wall(exact), UnixTime::from_secs(1_800_000_060));
    lab.set_drift(fast, 0, -500_000);
    lab.run_for(Duration::from_secs(10));
    assert_eq!(lab.now_of(fast).mono, Instant::from_secs(115));
    assert_eq!(lab.true_time(lab.now()), UnixTime::from_secs(1_800_000_110));
}

#[test]
fn timers_follow_the_clock_of_their_host_even_when_its_rate_changes() {
    let (mut lab, a, _) = ping_lab(2, Duration::from_secs(10), 5);
    lab.run_until(Instant::from_secs(1));
    lab.set_drift(a, 0, 1_000_000);
    lab.run_until(Instant::from_secs(100));
    let times: Vec<u64> = ping(&mut lab, a).timeouts.iter().map(|now| now.mono.as_secs()).collect();
    assert_eq!(times, [0, 10, 20, 30, 40]);
    // The tap tells when that was in true time: one second at the right rate, then twice as fast.
    let sent: Vec<f64> =
        lab.tap().iter().filter(|r| r.host == a && r.direction == Direction::Up).map(|r| r.at.as_secs_f64()).collect();
    assert_eq!(sent, [0.0, 5.5, 10.5, 15.5, 20.5]);
}

#[test]
fn a_crashed_host_hears_nothing_and_a_restarted_one_begins_afresh() {
    let (mut lab, a, b) = ping_lab(3, MS * 10, 30);
    lab.run_until(Instant::from_millis(100));
    lab.crash(b);
    assert!(lab.node_mut(b).is_none());
    lab.run_until(Instant::from_millis(200));
    lab.attach(b, Box::new(Echo::default()));
    lab.run_until(Instant::from_secs(1));
    let numbers = ping(&mut lab, a).numbers();
    assert_eq!(numbers.len(), 20);
    assert_eq!((numbers[9], numbers[10]), (10, 21));
    assert_eq!(drops(&lab.tap(), b, Direction::Down), [DropReason::HostDown; 10]);
    assert_eq!(echo(&mut lab, b).seen.len(), 10);
}

#[test]
fn a_detached_node_keeps_its_state_for_another_start() {
    let (mut lab, a, b) = ping_lab(4, MS * 10, 10);
    lab.run_until(Instant::from_millis(55));
    let node = lab.detach(b).unwrap();
    lab.run_until(Instant::from_millis(75));
    lab.attach(b, node);
    lab.run_until(Instant::from_secs(1));
    assert_eq!(ping(&mut lab, a).numbers(), [1, 2, 3, 4, 5, 6, 9, 10]);
    assert_eq!(echo(&mut lab, b).seen.len(), 8);
}

#[test]
fn a_paused_host_catches_up_when_it_wakes() {
    let (mut lab, a, b) = ping_lab(5, MS * 10, 20);
    lab.run_until(Instant::from_millis(45));
    lab.pause(b);
    lab.run_until(Instant::from_millis(95));
    assert_eq!(echo(&mut lab, b).seen.len(), 5);
    lab.resume(b);
    assert_eq!(echo(&mut lab, b).seen.len(), 10);
    assert_eq!(echo(&mut lab, b).seen.last().unwrap().0.mono, Instant::from_millis(95));
    // The host that pauses its own timers is late with them and does not send what it missed.
    lab.pause_for(a, MS * 500);
    lab.run_until(Instant::from_millis(594));
    assert_eq!(ping(&mut lab, a).timeouts.len(), 10);
    lab.run_until(Instant::from_secs(2));
    assert_eq!(ping(&mut lab, a).back.len(), 20);
    assert_eq!(ping(&mut lab, a).timeouts[10].mono, Instant::from_millis(595));
}

#[test]
fn the_buffer_of_a_paused_host_is_bounded() {
    let (mut lab, a, b) = wire_lab(6);
    lab.pause(b);
    for _ in 0..300 {
        lab.send(a, datagram(10));
    }
    lab.run_for(MS * 10);
    assert_eq!(lab.waiting(b), 0);
    lab.resume(b);
    assert_eq!(lab.waiting(b), 256);
    assert_eq!(drops(&lab.tap(), b, Direction::Down), [DropReason::PausedBufferFull; 44]);
}

/// Wants a timeout in the past, always.
struct Stuck {
    calls: u64,
}

impl Node for Stuck {
    fn handle_datagram(&mut self, _: Now, _: &Datagram) {}
    fn handle_timeout(&mut self, _: Now) {
        self.calls += 1;
    }
    fn poll_transmit(&mut self) -> Option<Datagram> {
        None
    }
    fn poll_timeout(&self) -> Option<Instant> {
        Some(Instant::ZERO)
    }
}

#[test]
fn a_timer_that_stays_in_the_past_is_counted_and_cannot_hold_up_time() {
    let mut lab = Lab::new(7);
    let a = lab.add_host(HostSpec::new("a", [ip("10.0.0.1")]));
    lab.attach(a, Box::new(Stuck { calls: 0 }));
    lab.run_until(Instant::from_secs(3_600));
    assert_eq!(lab.now(), Instant::from_secs(3_600));
    let stale = lab.faults().stale_timers;
    assert!((3_000..4_000).contains(&stale), "{stale}");
    assert_eq!(lab.with_node(a, |stuck: &mut Stuck, _| stuck.calls), Some(stale * 64));
    assert_eq!(lab.with_node(a, |_: &mut Echo, _| ()), None);
}

/// Never runs out of output.
struct Flood;

impl Node for Flood {
    fn handle_datagram(&mut self, _: Now, _: &Datagram) {}
    fn handle_timeout(&mut self, _: Now) {}
    fn poll_transmit(&mut self) -> Option<Datagram> {
        Some(datagram(1))
    }
    fn poll_timeout(&self) -> Option<Instant> {
        None
    }
}

#[test]
fn output_without_end_is_cut_and_counted() {
    let mut lab = Lab::new(8);
    let a = lab.add_host(HostSpec::new("a", [ip("10.0.0.1")]));
    lab.set_tap_limit(10);
    lab.attach(a, Box::new(Flood));
    assert_eq!(lab.faults().runaway_outputs, 1);
    assert_eq!(lab.tap().len(), 10);
    lab.run_until(Instant::from_secs(1));
    assert_eq!(lab.now(), Instant::from_secs(1));
}

/// Two nodes that answer each other without delay would hold up time if a link could be instant.
#[test]
fn an_instant_link_still_lets_time_pass() {
    let (mut lab, a, b) = ping_lab(9, MS, 1);
    lab.attach(a, Box::new(Echo::default()));
    for host in [a, b] {
        for direction in [Direction::Up, Direction::Down] {
            lab.set_link(host, direction, LinkProfile { latency: Duration::ZERO, ..LinkProfile::default() });
        }
    }
    lab.send(a, datagram(1));
    lab.run_until(Instant::from_millis(5));
    let turns = echo(&mut lab, a).seen.len() + echo(&mut lab, b).seen.len();
    assert_eq!((lab.now(), turns), (Instant::from_millis(5), 2_500));
}

#[test]
fn a_host_can_talk_to_itself() {
    let (mut lab, a, _) = wire_lab(10);
    lab.send(a, Datagram::new(at("10.0.0.1:848"), at("10.0.0.1:4500"), vec![3]));
    let (host, datagram) = lab.recv_any(&[a], Instant::from_secs(1)).unwrap();
    assert_eq!((host, datagram.payload, lab.now()), (a, vec![3], Instant(10_000)));
}

#[test]
fn recv_any_gives_the_oldest_datagram_first_and_stops_at_the_deadline() {
    let (mut lab, a, b) = wire_lab(11);
    lab.set_link(a, Direction::Down, LinkProfile { latency: MS * 3, ..LinkProfile::default() });
    lab.send(b, datagram(1).reply(vec![1]));
    lab.send(a, datagram(2));
    lab.send(a, datagram(3));
    assert_eq!(lab.recv_any(&[a, b], Instant::from_secs(1)).unwrap().1.payload.len(), 2);
    assert_eq!(lab.now(), Instant::from_millis(2));
    lab.run_for(MS * 10);
    assert_eq!(lab.recv_any(&[a, b], Instant::ZERO).unwrap().1.payload.len(), 3);
    assert_eq!(lab.recv_any(&[a, b], Instant::ZERO).unwrap().0, a);
    assert_eq!(lab.recv_any(&[a, b], Instant::from_secs(9)), None);
    assert_eq!(lab.now(), Instant::from_secs(9));
}

#[test]
fn step_until_stops_as_soon_as_it_is_told() {
    let (mut lab, a, _) = ping_lab(12, MS * 10, 100);
    let stopped = lab.step_until(Instant::from_secs(10), &mut |lab| ping(lab, a).back.len() == 7);
    assert!(stopped);
    assert_eq!(lab.now(), Instant::from_millis(64));
    assert!(!lab.step_until(Instant::from_millis(70), &mut |_| false));
    assert_eq!(lab.now(), Instant::from_millis(70));
}

#[test]
fn a_node_joins_and_leaves_groups_by_itself() {
    let (mut lab, a, b) = ping_lab(13, MS, 0);
    let group = Datagram::new(at("10.0.0.1:848"), at("239.1.1.1:848"), vec![1]);
    lab.send(a, group.clone());
    lab.run_for(MS * 10);
    lab.with_node(b, |echo: &mut Echo, _| echo.groups.push(ip("239.1.1.1")));
    lab.send(a, group.clone());
    lab.run_for(MS * 10);
    lab.with_node(b, |echo: &mut Echo, _| echo.groups.clear());
    lab.send(a, group.clone());
    lab.run_for(MS * 10);
    let seen = &echo(&mut lab, b).seen;
    assert_eq!(seen.iter().map(|(_, d)| d.clone()).collect::<Vec<_>>(), [group]);
    assert_eq!(seen[0].0.mono, Instant::from_millis(12));
}

#[test]
fn icmp_reaches_the_node_as_a_packet() {
    let (mut lab, a, b) = ping_lab(14, MS * 10, 3);
    lab.set_path_mtu_discovery(a, true);
    lab.set_link(b, Direction::Down, LinkProfile { mtu: 600, ..LinkProfile::default() });
    ping(&mut lab, a).len = 700;
    lab.run_until(Instant::from_secs(1));
    assert_eq!(ping(&mut lab, a).packets.len(), 1);
    assert_eq!(ping(&mut lab, a).numbers(), [2, 3]);
}

#[test]
fn a_translator_hides_the_host_filters_forgets_and_rebinds() {
    let mut lab = Lab::new(15);
    let inside = lab.add_host(HostSpec::new("inside", [ip("192.168.0.2")]));
    let server = lab.add_host(HostSpec::new("server", [ip("10.0.0.1")]));
    let other = lab.add_host(HostSpec::new("other", [ip("10.0.0.9")]));
    for host in [inside, server, other] {
        lab.bind(host);
    }
    lab.set_nat(inside, Some(NatSpec::new(ip("203.0.113.5"))));
    let ask = Datagram::new(at("192.168.0.2:848"), at("10.0.0.1:848"), pattern(3_000));
    lab.send(inside, ask.clone());
    lab.run_for(MS * 10);
    let seen = lab.recv(server).unwrap();
    assert_eq!((seen.src, &seen.payload), (at("203.0.113.5:20000"), &ask.payload));
    lab.send(server, seen.reply(pattern(2_000)));
    lab.run_for(MS * 10);
    assert_eq!(lab.recv(inside), Some(ask.reply(pattern(2_000))));
    // Neither a stranger nor the inside address gets through.
    lab.send(other, Datagram::new(at("10.0.0.9:848"), at("203.0.113.5:20000"), vec![1]));
    lab.send(server, Datagram::new(at("10.0.0.1:848"), at("192.168.0.2:848"), vec![1]));
    lab.run_for(MS * 10);
    assert_eq!(lab.recv(inside), None);
    let reasons: Vec<DropReason> =
        lab.tap().iter().filter_map(|r| if let Fate::Dropped(reason) = r.fate { Some(reason) } else { None }).collect();
    assert_eq!(reasons, [DropReason::NoMapping; 2]);
    lab.rebind_nat(inside);
    lab.send(inside, ask.clone());
    lab.run_for(MS * 10);
    assert_eq!(lab.recv(server).unwrap().src, at("203.0.113.5:20001"));
    lab.run_for(Duration::from_secs(121));
    lab.send(server, seen.reply(vec![1]));
    lab.send(server, Datagram::new(at("10.0.0.1:848"), at("203.0.113.5:20001"), vec![1]));
    lab.run_for(MS * 10);
    assert_eq!(lab.recv(inside), None);
    lab.set_nat(inside, None);
    lab.send(inside, ask.clone());
    lab.run_for(MS * 10);
    assert_eq!(lab.recv(server), Some(ask));
}

/// Runs everything at once and gives the history.
fn storm(seed: u64) -> (u64, String) {
    let mut lab = Lab::new(seed);
    let server = lab.add_host(HostSpec::new("server", [ip("10.0.0.1")]));
    lab.attach(server, Box::new(Echo { groups: vec![ip("239.0.0.1")], ..Echo::default() }));
    for n in 2..12u8 {
        let addr = format!("10.0.0.{n}");
        let clock = ClockFault { mono_drift_ppm: i32::from(n) * 100, ..ClockFault::default() };
        let host = lab.add_host(HostSpec { clock, ..HostSpec::new(&addr, [ip(&addr)]) });
        let profile = LinkProfile {
            jitter: Jitter::Exponential { mean: MS * 3, cap: MS * 50 },
            keep_order: n % 2 == 0,
            loss: 0.05,
            gilbert: Some(GilbertElliott { good_to_bad: 0.01, bad_to_good: 0.2, loss_good: 0.0, loss_bad: 0.7 }),
            duplicate: 0.05,
            duplicate_delay: MS * 20,
            reorder: 0.05,
            corrupt: Some(Corruption { probability: 0.05, damage: Damage::Bit, repair: n % 3 == 0 }),
            mtu: 576,
            rate_bps: Some(2_000_000),
            ..LinkProfile::default()
        };
        lab.set_link(host, Direction::Up, profile.clone());
        lab.set_link(host, Direction::Down, profile);
        let dst = if n == 11 { "239.0.0.1:848" } else { "10.0.0.1:848" };
        let mut node = Ping::new(&format!("{addr}:848"), dst, MS * 17, 100);
        node.len = 100 * usize::from(n);
        lab.attach(host, Box::new(node));
    }
    lab.run_until(Instant::from_secs(1));
    lab.pause_for(server, MS * 100);
    lab.run_until(Instant::from_secs(5));
    assert_eq!(lab.faults(), Faults::default());
    (lab.event_hash(), format!("{:?}", lab.tap()))
}

#[test]
fn one_seed_gives_one_history_whatever_the_threads() {
    let alone: Vec<(u64, String)> = (0..4).map(storm).collect();
    let together: Vec<(u64, String)> = (0..4)
        .map(|seed| std::thread::spawn(move || storm(seed)))
        .collect::<Vec<_>>()
        .into_iter()
        .map(|t| t.join().unwrap())
        .collect();
    assert_eq!(alone, together);
    let mut hashes: Vec<u64> = alone.iter().map(|(hash, _)| *hash).collect();
    hashes.dedup();
    assert_eq!(hashes.len(), 4);
}

#[test]
fn a_fault_on_one_link_shifts_the_chances_of_no_other() {
    let run = |extra: bool| {
        let (mut lab, a, b) = ping_lab(17, MS * 10, 200);
        lab.set_link(b, Direction::Down, LinkProfile { loss: 0.3, ..LinkProfile::default() });
        if extra {
            lab.add_host(HostSpec::new("c", [ip("10.0.0.3")]));
            lab.set_link(a, Direction::Down, LinkProfile { duplicate: 0.9, ..LinkProfile::default() });
        }
        lab.run_until(Instant::from_secs(10));
        let mut numbers = ping(&mut lab, a).numbers();
        numbers.dedup();
        numbers
    };
    assert_eq!(run(false), run(true));
}

/// Thousands of labs a minute are made, so making one and an exchange in it must cost next to nothing.
#[test]
fn many_small_labs_are_cheap() {
    let mut answered = VecDeque::new();
    for seed in 0..2_000 {
        let (mut lab, a, _) = ping_lab(seed, MS, 5);
        lab.run_until(Instant::from_secs(3_600));
        answered.push_back(ping(&mut lab, a).back.len());
    }
    assert!(answered.iter().all(|n| *n == 5));
}
