//! Extended sequence numbers after a loss of 2^32 packets or more (RFC 4303 appendix A3).

mod common;

use common::{Member, WALL, at, policy, sa, udp};
use hallmark_core::{Duration, Instant, Now, Rng};
use hallmark_datapath::{Behaviour, Config, Defect, EsnResync, EventKind, Fate, Policy, Reason, Replay, Sa, Side};

const SPI: u32 = 0x1000;
const ROUND: u64 = 1 << 32;
const BAD: Fate = Fate::Dropped(Reason::BadIcv);
const OPENED: Fate = Fate::Out(Side::Lan);

fn group(transform: &str) -> Policy {
    let extended = Sa { extended_sequence: true, ..sa(SPI, transform) };
    Policy { replay: Replay::Counter { window: 64 }, ..policy(vec![extended]) }
}

fn quiet() -> Config {
    Config { event_interval: Duration::ZERO, ..Config::default() }
}

/// A sender, and a receiver that has its first thousand packets.
fn pair(config: Config, transform: &str) -> (Member, Member) {
    let mut sender = Member::with(quiet(), &group(transform));
    let mut receiver = Member::with(config, &group(transform));
    assert!(sender.data.advance_sequence(SPI, 999));
    assert_eq!(receiver.burst(at(1), Side::Wan, &sent(&mut sender, 1))[0].0, OPENED);
    (sender, receiver)
}

fn sent(sender: &mut Member, count: usize) -> Vec<Vec<u8>> {
    let burst = sender.burst(at(1), Side::Lan, &vec![udp("10.1.0.1", "10.2.0.1", 20); count]);
    burst.into_iter().map(|(_, esp)| esp).collect()
}

fn fates(receiver: &mut Member, now: Now, packets: &[Vec<u8>]) -> Vec<Fate> {
    receiver.burst(now, Side::Wan, packets).into_iter().map(|outcome| outcome.0).collect()
}

/// Lets the receiver do what is due until nothing is; counts how often it was.
fn rest(receiver: &mut Member) -> usize {
    let mut turns = 0;
    while let Some(due) = receiver.data.poll_timeout() {
        receiver.data.handle_timeout(Now::new(due, WALL), &mut receiver.pool);
        turns += 1;
        assert!(turns < 1_000, "it never ends");
    }
    turns
}

fn found(receiver: &mut Member) -> Vec<(u64, u64)> {
    let events = receiver.events().into_iter();
    let found = events.filter_map(|event| match event.kind {
        EventKind::SequenceResynchronised { spi: SPI, from, to } => Some((from, to)),
        _ => None,
    });
    found.collect()
}

fn top(receiver: &Member) -> u64 {
    receiver.data.status(at(1)).sas[0].window_top
}

#[test]
fn numbers_are_found_again_after_the_loss_of_whole_rounds() {
    for (transform, rounds) in [("aes128-gcm16", 1), ("aes128-cbc+hmac-sha256", 3), ("null+hmac-sha1", 16)] {
        let (mut sender, mut receiver) = pair(quiet(), transform);
        assert!(sender.data.advance_sequence(SPI, rounds * ROUND + 2_000));
        let lost = sent(&mut sender, 64);
        assert_eq!(fates(&mut receiver, at(2), &lost), [BAD; 64]);
        assert_eq!(receiver.data.poll_timeout(), None, "they may be forged");
        let tried = sent(&mut sender, 2);
        assert_eq!(fates(&mut receiver, at(2), &tried), [BAD; 2]);
        assert_eq!(receiver.data.poll_timeout(), Some(Instant(2_001_000_000)));
        assert_eq!(rest(&mut receiver), rounds as usize, "one try for each round, one a millisecond");
        let number = rounds * ROUND + 2_065;
        assert_eq!((found(&mut receiver), top(&receiver)), (vec![(1_000, number)], number));
        assert_eq!(fates(&mut receiver, at(3), &sent(&mut sender, 3)), [OPENED; 3]);
        // What was tried counts as received; what came late is good, and what came before the window is not.
        let again = [tried[0].clone(), tried[1].clone(), lost[0].clone()];
        assert_eq!(fates(&mut receiver, at(3), &again), [Fate::Dropped(Reason::Replay), OPENED, BAD]);
        assert_eq!(receiver.data.status(at(3)).reports.get("SA_SEQUENCE_RESYNC"), Some(&1));
    }
}

#[test]
fn tries_are_limited_in_number_and_in_rate() {
    let config = Config { esn_resync: EsnResync { after: 8, ahead: 5, ..EsnResync::default() }, ..quiet() };
    let (mut sender, mut receiver) = pair(config, "aes128-gcm16");
    assert!(sender.data.advance_sequence(SPI, 6 * ROUND + 2_000));
    for (millis, turns) in [(2_000, 0), (2_010, 6), (2_020, 0), (2_999, 0), (3_010, 6), (4_009, 0), (4_011, 6)] {
        let now = Now::new(Instant::from_millis(millis), WALL);
        assert_eq!(fates(&mut receiver, now, &sent(&mut sender, 8)), [BAD; 8]);
        assert_eq!(rest(&mut receiver), turns, "{millis} ms");
    }
    assert_eq!((found(&mut receiver), top(&receiver)), (vec![], 1_000), "six rounds are too many");
}

#[test]
fn forged_packets_move_nothing() {
    let (mut sender, mut receiver) = pair(quiet(), "aes128-gcm16");
    let mut turns = 0;
    for round in 0..50 {
        let mut forged = sent(&mut sender, 64);
        for esp in &mut forged {
            *esp.last_mut().expect("an ICV") ^= 1;
        }
        let now = Now::new(Instant::from_millis(2_000 + round * 100), WALL);
        assert_eq!(fates(&mut receiver, now, &forged), [BAD; 64]);
        turns += rest(&mut receiver);
    }
    assert_eq!(turns, 5 * 17, "five attempts in five seconds");
    assert_eq!((found(&mut receiver), top(&receiver)), (vec![], 1_000));
    assert_eq!(fates(&mut receiver, at(8), &sent(&mut sender, 2)), [OPENED; 2]);
}

#[test]
fn a_genuine_packet_in_between_begins_the_count_anew() {
    let (mut sender, mut receiver) = pair(quiet(), "aes128-gcm16");
    for _ in 0..4 {
        let mut forged = sent(&mut sender, 40);
        for esp in &mut forged {
            *esp.last_mut().expect("an ICV") ^= 1;
        }
        assert_eq!(fates(&mut receiver, at(2), &forged), [BAD; 40]);
        assert_eq!(receiver.data.poll_timeout(), None);
        assert_eq!(fates(&mut receiver, at(2), &sent(&mut sender, 1)), [OPENED]);
    }
}

#[test]
fn what_one_worker_has_found_holds_for_all() {
    let (mut sender, mut receiver) = pair(quiet(), "aes128-gcm16");
    let mut other = Member::new(quiet());
    other.data = receiver.data.worker(Rng::from_u64(5), at(1));
    other.data.apply(at(1), &group("aes128-gcm16"));
    assert!(sender.data.advance_sequence(SPI, ROUND + 2_000));
    for worker in [&mut receiver, &mut other] {
        assert_eq!(fates(worker, at(2), &sent(&mut sender, 64)), [BAD; 64]);
    }
    assert_eq!(fates(&mut other, at(2), &sent(&mut sender, 1)), [BAD]);
    assert_eq!(rest(&mut other), 1);
    assert_eq!(fates(&mut receiver, at(3), &sent(&mut sender, 2)), [OPENED; 2]);
    assert_eq!((receiver.data.poll_timeout(), found(&mut other).len(), found(&mut receiver).len()), (None, 1, 0));
}

#[test]
fn nothing_is_tried_for_short_numbers_or_where_it_is_switched_off() {
    let defect = Behaviour::conforming().with_defect(Defect::EsnNeverResynchronised);
    let off = EsnResync { after: 0, ..EsnResync::default() };
    for config in [Config { esn_resync: off, ..quiet() }, Config { behaviour: defect, ..quiet() }] {
        let (mut sender, mut receiver) = pair(config, "aes128-gcm16");
        assert!(sender.data.advance_sequence(SPI, ROUND + 2_000));
        for _ in 0..4 {
            assert_eq!(fates(&mut receiver, at(2), &sent(&mut sender, 64)), [BAD; 64]);
            assert_eq!(receiver.data.poll_timeout(), None);
        }
    }
    let short = Policy { sas: vec![sa(SPI, "aes128-gcm16")], ..group("aes128-gcm16") };
    let mut receiver = Member::with(quiet(), &short);
    let mut sender = Member::with(quiet(), &group("aes128-gcm16"));
    for _ in 0..4 {
        assert_eq!(fates(&mut receiver, at(2), &sent(&mut sender, 64)), [BAD; 64]);
        assert_eq!(receiver.data.poll_timeout(), None);
    }
}
