//! Each fault of a link does what it says, and only that.

use crate::common::*;
use hallmark_core::{Datagram, Duration, Instant};
use hallmark_lab::{
    Action, Corruption, Damage, Direction, DropReason, Fate, Flap, GilbertElliott, Jitter, Lab, LinkProfile,
};

const MS: Duration = Duration::from_millis(1);

/// Runs 1,000 pings with a profile on the downlink of the echo and gives how many came back, with the lab.
fn thousand(seed: u64, profile: LinkProfile) -> (usize, Lab) {
    let (mut lab, a, b) = ping_lab(seed, MS * 10, 1_000);
    lab.set_link(b, Direction::Down, profile);
    lab.run_until(Instant::from_secs(60));
    let back = ping(&mut lab, a).back.len();
    assert_eq!(lab.faults(), hallmark_lab::Faults::default());
    (back, lab)
}

#[test]
fn a_sound_link_carries_everything_in_order_after_its_latency() {
    let (mut lab, a, _) = ping_lab(1, MS * 10, 100);
    lab.run_until(Instant::from_secs(5));
    assert_eq!(lab.now(), Instant::from_secs(5));
    let back = &ping(&mut lab, a).back;
    assert_eq!(back.iter().map(|(_, n)| *n).collect::<Vec<_>>(), (1..=100).collect::<Vec<_>>());
    for (i, (now, _)) in back.iter().enumerate() {
        // Up and down on both sides: four links of one millisecond.
        assert_eq!(now.mono, Instant::from_millis(10 * i as u64 + 4));
    }
    assert_eq!(lab.take_logs().len(), 100);
}

#[test]
fn independent_loss_loses_its_share() {
    let (back, mut lab) = thousand(2, LinkProfile { loss: 0.3, ..LinkProfile::default() });
    assert!((650..750).contains(&back), "{back}");
    let b = lab.host_of(ip("10.0.0.2")).unwrap();
    let records = lab.tap();
    let lost = drops(&records, b, Direction::Down);
    assert_eq!(lost, vec![DropReason::Loss; 1_000 - back]);
}

#[test]
fn gilbert_elliott_loses_in_bursts() {
    let gilbert = GilbertElliott { good_to_bad: 0.02, bad_to_good: 0.2, loss_good: 0.0, loss_bad: 1.0 };
    let (back, mut lab) = thousand(3, LinkProfile { gilbert: Some(gilbert), ..LinkProfile::default() });
    // The link is bad for 0.02 / (0.02 + 0.2) of the time, in runs of five.
    assert!((830..970).contains(&back), "{back}");
    let a = lab.host_of(ip("10.0.0.1")).unwrap();
    let numbers = ping(&mut lab, a).numbers();
    let runs = numbers.windows(2).filter(|pair| pair[1] > pair[0] + 1).count();
    let mean = (1_000 - back) as f64 / runs as f64;
    assert!((3.0..8.0).contains(&mean), "{mean}");
}

#[test]
fn the_named_packets_are_dropped_and_no_others() {
    let (mut lab, a, b) = ping_lab(4, MS * 10, 10);
    lab.set_link(b, Direction::Down, LinkProfile { drop_nth: vec![2, 3, 9], ..LinkProfile::default() });
    lab.run_until(Instant::from_secs(1));
    assert_eq!(ping(&mut lab, a).numbers(), [1, 4, 5, 6, 7, 8, 10]);
    assert_eq!(drops(&lab.tap(), b, Direction::Down), [DropReason::Nth; 3]);
}

#[test]
fn rules_drop_delay_duplicate_and_replace_what_they_pick() {
    let (mut lab, a, b) = ping_lab(5, MS * 10, 6);
    let other = hallmark_wire::ip::udp_packet(
        &Datagram::new(at("10.0.0.1:848"), at("10.0.0.2:848"), vec![0, 0, 0, 99]),
        0,
        false,
    );
    let id = lab.add_rule(
        b,
        Direction::Down,
        Box::new(move |passing| {
            assert_eq!(passing.origin, a);
            match passing.datagram.and_then(|d| d.payload.first_chunk::<4>()).map(|n| u32::from_be_bytes(*n)) {
                Some(1) => Action::Drop,
                Some(2) => Action::Delay(MS * 15),
                Some(4) => Action::Duplicate(MS * 100),
                Some(5) => Action::Replace(other.clone()),
                _ => Action::Pass,
            }
        }),
    );
    lab.run_until(Instant::from_secs(1));
    assert_eq!(ping(&mut lab, a).numbers(), [3, 2, 4, 99, 6, 4]);
    let notes: Vec<String> = lab.tap().into_iter().map(|record| record.note).filter(|note| !note.is_empty()).collect();
    assert_eq!(notes, ["delayed by a rule", "changed by a rule", "duplicate"]);
    lab.remove_rule(id);
    lab.attach(a, Box::new(Ping::new("10.0.0.1:848", "10.0.0.2:848", MS, 6)));
    lab.run_for(MS * 50);
    assert_eq!(ping(&mut lab, a).numbers(), [1, 2, 3, 4, 5, 6]);
}

#[test]
fn duplicates_arrive_at_once_or_later() {
    for delay in [Duration::ZERO, MS * 25] {
        let profile = LinkProfile { duplicate: 0.5, duplicate_delay: delay, ..LinkProfile::default() };
        let (back, mut lab) = thousand(6, profile);
        assert!((1_430..1_570).contains(&back), "{back}");
        let a = lab.host_of(ip("10.0.0.1")).unwrap();
        let copies = &ping(&mut lab, a).back;
        let (first, second) = copies
            .iter()
            .enumerate()
            .find_map(|(i, (now, n))| Some((*now, copies[i + 1..].iter().find(|(_, m)| m == n)?.0)))
            .unwrap();
        assert_eq!(second.mono - first.mono, delay);
    }
}

#[test]
fn jitter_keeps_order_unless_told_otherwise() {
    let base = LinkProfile { jitter: Jitter::Uniform(MS * 40), ..LinkProfile::default() };
    let (back, mut lab) = thousand(7, base.clone());
    let a = lab.host_of(ip("10.0.0.1")).unwrap();
    assert_eq!(back, 1_000);
    assert!(ping(&mut lab, a).numbers().is_sorted());
    let delays = |lab: &mut Lab| -> Vec<u64> {
        ping(lab, a)
            .back
            .iter()
            .map(|(now, n)| (now.mono - Instant::from_millis(10 * u64::from(*n - 1))).as_millis() as u64)
            .collect()
    };
    assert!(delays(&mut lab).iter().all(|ms| (4..=44).contains(ms)));
    assert!(delays(&mut lab).iter().any(|ms| *ms > 30));
    let (back, mut lab) = thousand(7, LinkProfile { keep_order: false, ..base });
    assert_eq!(back, 1_000);
    assert!(!ping(&mut lab, a).numbers().is_sorted());
    let jitter = Jitter::Exponential { mean: MS * 10, cap: MS * 60 };
    let (_, mut lab) = thousand(7, LinkProfile { jitter, keep_order: false, ..LinkProfile::default() });
    let extra: Vec<u64> = delays(&mut lab).iter().map(|ms| ms - 4).collect();
    let mean = extra.iter().sum::<u64>() / 1_000;
    assert!((8..=11).contains(&mean) && extra.iter().all(|ms| *ms <= 60), "{mean}");
}

#[test]
fn reordered_packets_are_overtaken() {
    let profile = LinkProfile { reorder: 0.1, reorder_by: MS * 35, ..LinkProfile::default() };
    let (back, mut lab) = thousand(8, profile);
    assert_eq!(back, 1_000);
    let a = lab.host_of(ip("10.0.0.1")).unwrap();
    let numbers = ping(&mut lab, a).numbers();
    let late = numbers.windows(2).filter(|pair| pair[1] < pair[0]).count();
    assert!((60..130).contains(&late), "{late}");
}

#[test]
fn plain_damage_is_caught_by_checksums_and_repaired_damage_gets_through() {
    for damage in [Damage::Bit, Damage::Burst { octets: 9 }, Damage::Truncate] {
        let plain = Corruption { probability: 1.0, damage, repair: false };
        let (back, mut lab) = thousand(9, LinkProfile { corrupt: Some(plain), ..LinkProfile::default() });
        // Every octet is covered by a checksum or a length; what is left are bursts that happen to sum up the same.
        assert!(back <= 5, "{damage:?}: {back}");
        let b = lab.host_of(ip("10.0.0.2")).unwrap();
        let reasons = drops(&lab.tap(), b, Direction::Down);
        assert_eq!(reasons.len(), 1_000 - back);
        assert!(reasons.iter().all(|reason| matches!(reason, DropReason::Malformed(_) | DropReason::NotForHost)));

        let repaired = Corruption { probability: 1.0, damage, repair: true };
        let (back, mut lab) = thousand(9, LinkProfile { corrupt: Some(repaired), ..LinkProfile::default() });
        assert_eq!(back, 1_000);
        let a = lab.host_of(ip("10.0.0.1")).unwrap();
        let whole = pattern(64);
        let changed = ping(&mut lab, a).octets.iter().filter(|octets| octets.get(4..) != Some(&whole[4..])).count();
        assert!(changed > 900, "{damage:?}: {changed}");
    }
}

#[test]
fn a_slow_link_spaces_packets_out_and_drops_at_the_tail() {
    let (mut lab, a, b) = wire_lab(10);
    // 100 octets a millisecond, room for ten packets of 128 octets.
    let profile = LinkProfile { rate_bps: Some(800_000), queue_octets: 1_280, ..LinkProfile::default() };
    lab.set_link(a, Direction::Up, profile);
    for _ in 0..15 {
        lab.send(a, datagram(100));
    }
    let mut arrivals = Vec::new();
    while let Some((_, _)) = lab.recv_any(&[b], Instant::from_secs(1)) {
        arrivals.push(lab.now());
    }
    assert_eq!(arrivals.len(), 10);
    for pair in arrivals.windows(2) {
        assert_eq!(pair[1] - pair[0], Duration::from_micros(1_280));
    }
    assert_eq!(drops(&lab.tap(), a, Direction::Up), [DropReason::QueueFull; 5]);
}

#[test]
fn outages_and_flaps_stop_everything_for_their_time() {
    let flap = Flap { first: Instant::from_millis(100), down: MS * 50, period: MS * 200 };
    let outages = vec![(Instant::from_millis(200), Instant::from_millis(241))];
    let (mut lab, a, _) = ping_lab(11, MS * 10, 50);
    lab.set_link(a, Direction::Up, LinkProfile { flap: Some(flap), outages, ..LinkProfile::default() });
    lab.run_until(Instant::from_secs(1));
    let missing: Vec<u32> = {
        let numbers = ping(&mut lab, a).numbers();
        (1..=50).filter(|n| !numbers.contains(n)).collect()
    };
    assert_eq!(missing, [11, 12, 13, 14, 15, 21, 22, 23, 24, 25, 31, 32, 33, 34, 35]);
    assert!(drops(&lab.tap(), a, Direction::Up).iter().all(|reason| *reason == DropReason::LinkDown));
}

#[test]
fn a_partition_is_one_way() {
    let (mut lab, a, b) = wire_lab(12);
    lab.partition(a, b, true);
    lab.send(a, datagram(1));
    lab.send(b, datagram(1).reply(vec![7]));
    lab.run_for(MS * 10);
    assert_eq!(lab.recv(b), None);
    assert_eq!(lab.recv(a).unwrap().payload, [7]);
    assert_eq!(drops(&lab.tap(), b, Direction::Down), [DropReason::Partition]);
    lab.partition(a, b, false);
    lab.send(a, datagram(1));
    lab.run_for(MS * 10);
    assert_eq!(lab.recv(b).unwrap(), datagram(1));
}

#[test]
fn any_recorded_packet_can_be_sent_again() {
    let (mut lab, a, b) = wire_lab(13);
    lab.send(a, datagram(9));
    lab.run_for(MS * 10);
    let records = lab.tap();
    assert_eq!(records.len(), 2);
    assert_eq!(lab.recv(b).unwrap(), datagram(9));
    for record in &records {
        assert!(lab.replay(record.index));
        lab.run_for(MS * 10);
        assert_eq!(lab.recv(b).unwrap(), datagram(9), "{record:?}");
    }
    assert!(lab.tap().iter().all(|record| record.note == "replayed"));
    assert!(!lab.replay(1_000));
}

#[test]
fn an_attacker_may_forge_sources_and_a_host_may_not() {
    let (mut lab, a, b) = wire_lab(14);
    let forged = Datagram::new(at("10.9.9.9:848"), at("10.0.0.2:848"), vec![1]);
    lab.send(a, forged.clone());
    lab.run_for(MS * 10);
    assert_eq!(lab.recv(b), None);
    assert_eq!(drops(&lab.tap(), a, Direction::Up), [DropReason::ForeignSource]);
    let packet = hallmark_wire::ip::udp_packet(&forged, 1, false);
    lab.send_ip(a, packet.clone());
    lab.inject(packet);
    lab.run_for(MS * 10);
    assert_eq!(lab.recv(b), Some(forged.clone()));
    assert_eq!(lab.recv(b), Some(forged));
    let unspecified = Datagram::new(at("0.0.0.0:848"), at("10.0.0.2:848"), vec![2]);
    lab.send(a, unspecified);
    lab.run_for(MS * 10);
    assert_eq!(lab.recv(b).unwrap().src, at("10.0.0.1:848"));
}

#[test]
fn packets_to_nowhere_and_without_hops_end_in_the_fabric() {
    let (mut lab, a, b) = wire_lab(15);
    let nowhere = Datagram::new(at("10.0.0.1:848"), at("10.7.7.7:848"), vec![1]);
    lab.send(a, nowhere);
    let mut tired = hallmark_wire::ip::udp_packet(&datagram(1), 1, false);
    tired[8] = 1;
    lab.send_ip(a, tired);
    lab.send_ip(a, vec![0x45; 12]);
    lab.run_for(MS * 10);
    assert_eq!(lab.recv(b), None);
    let reasons = drops(&lab.tap(), a, Direction::Fabric);
    assert_eq!(reasons[..2], [DropReason::NoRoute, DropReason::Hops]);
    assert!(matches!(reasons[2], DropReason::Malformed(_)));
}

#[test]
fn multicast_reaches_each_member_with_its_own_fate() {
    let mut lab = Lab::new(16);
    let source = lab.add_host(hallmark_lab::HostSpec::new("source", [ip("10.0.0.1")]));
    let members: Vec<_> = (2..6)
        .map(|n| lab.add_host(hallmark_lab::HostSpec::new(&format!("m{n}"), [ip(&format!("10.0.0.{n}"))])))
        .collect();
    let group = ip("239.1.1.1");
    lab.bind(source);
    lab.join(source, group);
    for (i, member) in members.iter().enumerate() {
        lab.bind(*member);
        if i < 3 {
            lab.join(*member, group);
        }
        if i < 2 {
            lab.set_link(*member, Direction::Down, LinkProfile { loss: 0.5, ..LinkProfile::default() });
        }
    }
    for n in 0..200u8 {
        lab.send(source, Datagram::new(at("10.0.0.1:848"), at("239.1.1.1:848"), vec![n]));
        lab.run_for(MS * 5);
    }
    let mut got = members
        .iter()
        .map(|member| std::iter::from_fn(|| lab.recv(*member)).map(|d| d.payload[0]).collect::<Vec<u8>>());
    let (first, second, third, outsider) =
        (got.next().unwrap(), got.next().unwrap(), got.next().unwrap(), got.next().unwrap());
    drop(got);
    assert!((70..130).contains(&first.len()) && (70..130).contains(&second.len()));
    assert_ne!(first, second);
    assert_eq!((third.len(), outsider.len()), (200, 0));
    assert_eq!(lab.recv(source), None);
    lab.leave(members[2], group);
    lab.send(source, Datagram::new(at("10.0.0.1:848"), at("239.1.1.1:848"), vec![1]));
    lab.run_for(MS * 5);
    assert_eq!(lab.recv(members[2]), None);
}

#[test]
fn the_uplink_record_and_the_downlink_record_show_the_hop() {
    let (mut lab, a, b) = wire_lab(17);
    lab.send(a, datagram(3));
    lab.run_for(MS * 10);
    let records = lab.tap();
    assert_eq!((records[0].host, records[0].direction, records[0].at), (a, Direction::Up, Instant::ZERO));
    assert_eq!((records[1].host, records[1].direction, records[1].at), (b, Direction::Down, Instant::from_millis(2)));
    assert_eq!((records[0].packet[8], records[1].packet[8]), (64, 63));
    assert!(records.iter().all(|record| record.fate == Fate::Delivered && record.note.is_empty()));
    assert!(lab.tap().is_empty());
}
