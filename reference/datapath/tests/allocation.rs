//! The path of a packet allocates nothing: a counting allocator watches a hundred thousand of them each way.

mod common;

use common::{LINK, Member, at, policy, sa, seconds, udp};
use hallmark_core::{Instant, Now};
use hallmark_datapath::config::{FragmentWhere, Mss};
use hallmark_datapath::{BATCH, Batch, Config, Datapath, Fate, Policy, Pool, Pseudotime, Replay, Side};

const PACKETS: usize = 100_000;

/// Fills a batch with packets of the pool.
fn fill(batch: &mut Batch, pool: &mut Pool, packets: &[Vec<u8>]) {
    for octets in packets {
        let mut packet = pool.take().expect("a free packet");
        assert!(packet.set(&LINK, octets));
        assert!(batch.push(packet).is_ok());
    }
}

/// Counts the allocations of one way through a member.
fn allocations(data: &mut Datapath, pool: &mut Pool, now: Now, from: Side, packets: &[Vec<u8>]) -> u64 {
    let mut batch = Batch::new();
    // The first bursts find tables that have not yet grown to their size.
    for _ in 0..4 {
        fill(&mut batch, pool, packets);
        data.handle(now, from, &mut batch, pool);
        batch.recycle(pool);
    }
    let measured = allocation_counter::measure(|| {
        for _ in 0..PACKETS / packets.len() {
            fill(&mut batch, pool, packets);
            data.handle(now, from, &mut batch, pool);
            batch.recycle(pool);
        }
    });
    measured.count_total
}

fn timed(transform: &str) -> Policy {
    let replay = Replay::Time { window: seconds(100), pseudotime: Pseudotime::new(1_000, Instant::ZERO) };
    Policy { replay, ..policy(vec![sa(0x1000, transform)]) }
}

#[test]
fn no_packet_costs_an_allocation_in_either_direction() {
    let inner: Vec<Vec<u8>> = (0..BATCH).map(|n| udp(&format!("10.1.0.{n}"), "10.2.0.1", 40 + n * 20)).collect();
    for transform in ["aes128-gcm16", "aes256-cbc+hmac-sha256"] {
        let policy = timed(transform);
        let mut member = Member::with(Config { mss: Mss::Auto, ..Config::default() }, &policy);
        let mut pool = Pool::new(1_024, 2_048);
        let count = allocations(&mut member.data, &mut pool, at(1), Side::Lan, &inner);
        assert_eq!(count, 0, "sealing with {transform}");
        assert!(member.data.status(at(1)).totals.sealed.packets >= PACKETS as u64);

        let mut sender = Member::with(Config::default(), &policy);
        let esp: Vec<Vec<u8>> = inner.iter().map(|inner| sender.send(at(1), inner)).collect();
        let mut member = Member::with(Config { mss: Mss::Auto, ..Config::default() }, &policy);
        let count = allocations(&mut member.data, &mut pool, at(1), Side::Wan, &esp);
        assert_eq!(count, 0, "opening with {transform}");
        assert!(member.data.status(at(1)).totals.opened.packets >= PACKETS as u64);
    }
}

#[test]
fn neither_the_first_late_stamp_nor_a_history_full_of_them_costs_an_allocation() {
    let policy = timed("aes128-gcm16");
    let mut sender = Member::with(Config::default(), &policy);
    let esp: Vec<Vec<u8>> = (0..10).map(|_| sender.send(at(1), &udp("10.1.0.1", "10.2.0.1", 40))).collect();
    let mut pool = Pool::new(64, 2_048);
    let mut member = Member::with(Config::default(), &policy);
    // The tables grow by packets in time: no stamp is late before the counter watches.
    assert_eq!(allocations(&mut member.data, &mut pool, at(1), Side::Wan, &esp), 0, "in time");
    let before = member.data.status(at(1)).replay;
    assert_eq!((before.input_errors, before.history.len()), (0, 0));
    let mut batch = Batch::new();
    for minute in 0..12 {
        let now = at(300 + minute * 60);
        fill(&mut batch, &mut pool, &esp);
        let measured = allocation_counter::measure(|| member.data.handle(now, Side::Wan, &mut batch, &mut pool));
        assert_eq!(measured.count_total, 0, "minute {minute}");
        assert!(batch.packets.iter().all(|packet| matches!(packet.fate, Fate::Dropped(_))));
        batch.recycle(&mut pool);
    }
    let after = member.data.status(at(1_000)).replay;
    assert_eq!((after.input_errors, after.history.len()), (120, 100));
}

#[test]
fn the_counter_counts() {
    let measured = allocation_counter::measure(|| drop(std::hint::black_box(vec![1u8; 10])));
    assert_eq!(measured.count_total, 1);
}

#[test]
fn neither_do_pieces_errors_and_refusals() {
    let policy = timed("aes128-gcm16");
    let mut pool = Pool::new(4_096, 2_048);
    let big: Vec<Vec<u8>> = (0..16).map(|n| udp("10.1.0.1", "10.2.0.1", 1_470 - n)).collect();
    for fragment in [FragmentWhere::Before, FragmentWhere::After] {
        let mut member = Member::with(Config { fragment, ..Config::default() }, &policy);
        assert_eq!(allocations(&mut member.data, &mut pool, at(1), Side::Lan, &big), 0, "cutting");
        assert!(member.data.status(at(1)).totals.cut.packets >= PACKETS as u64);
    }
    // Fragments of ESP packets, which are joined.
    let mut sender = Member::with(Config { fragment: FragmentWhere::After, ..Config::default() }, &policy);
    let pieces: Vec<Vec<u8>> = sender
        .burst(at(1), Side::Lan, &big)
        .into_iter()
        .filter(|(fate, _)| *fate == Fate::Out(Side::Wan))
        .map(|(_, octets)| octets)
        .collect();
    let mut member = Member::with(Config::default(), &policy);
    assert_eq!(allocations(&mut member.data, &mut pool, at(1), Side::Wan, &pieces), 0, "joining");
    assert!(member.data.status(at(1)).reassembly.completed >= PACKETS as u64 / 2);
    // Stale, forged, unknown and clear packets, each with its event.
    let mut sender = Member::with(Config::default(), &policy);
    let stale = sender.send(at(1), &udp("10.1.0.1", "10.2.0.1", 40));
    let mut forged = sender.send(at(300), &udp("10.1.0.1", "10.2.0.1", 40));
    *forged.last_mut().expect("an ICV") ^= 1;
    let mut unknown = forged.clone();
    unknown[20] ^= 0xff;
    let refused = vec![stale, forged, unknown, udp("10.1.0.1", "10.2.0.1", 40)];
    let mut member = Member::with(Config::default(), &policy);
    assert_eq!(allocations(&mut member.data, &mut pool, at(300), Side::Wan, &refused), 0, "refusing");
    assert_eq!(member.data.status(at(300)).drops.len(), 4);
}
