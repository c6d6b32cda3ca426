//! Replay protection through the whole pipeline: by number, by extended number, by pseudotime, by delivery delay.

mod common;

use common::{Member, at, policy, sa, seconds, udp, vectors};
use hallmark_core::{Duration, Instant, Now, UnixTime};
use hallmark_datapath::config::{PmtuConfig, Ttl};
use hallmark_datapath::replay::Window;
use hallmark_datapath::stamp::{Verdict, judge_d3p};
use hallmark_datapath::{Config, EventKind, Fate, Policy, Pseudotime, Reason, Replay, Sa, Side};

fn keep() -> Config {
    Config { ttl: Ttl::Keep, event_interval: Duration::ZERO, pmtu: PmtuConfig::default(), ..Config::default() }
}

fn counter(window: u16, sas: Vec<Sa>) -> Policy {
    Policy { replay: Replay::Counter { window }, ..policy(sas) }
}

/// Makes packets of a sender with chosen numbers: each by a sender whose count was moved there.
fn packet_numbered(number: u64, extended: bool) -> Vec<u8> {
    let sa = Sa { extended_sequence: extended, ..sa(0x1000, "aes128-gcm16") };
    let mut sender = Member::with(keep(), &policy(vec![sa]));
    assert!(sender.data.advance_sequence(0x1000, number.wrapping_sub(1)));
    sender.send(at(1), &udp("10.1.0.1", "10.2.0.1", 20))
}

#[test]
fn windows_agree_with_the_vectors_event_by_event() {
    let vectors = vectors();
    let sequences = vectors["antireplay32"].as_array().expect("a list");
    for sequence in sequences {
        let name = sequence["name"].as_str().expect("a name");
        let width = sequence["window"].as_u64().expect("a width") as u16;
        let mut window = Window::default();
        for event in sequence["events"].as_array().expect("events") {
            let number = event["seq"].as_u64().expect("a number");
            let verdict = match (window.may_accept(number, width), event["icv_ok"].as_bool()) {
                (true, Some(true)) => {
                    if window.commit(number, width) {
                        "accept"
                    } else {
                        "drop"
                    }
                }
                (true, _) => "bad_icv",
                (false, _) => "drop",
            };
            let expected = event["verdict"].as_str().expect("a verdict");
            let expected = match expected {
                "accept" => "accept",
                text if text.contains("icv") => "bad_icv",
                _ => "drop",
            };
            assert_eq!(verdict, expected, "{name}: number {number}: {event}");
        }
        assert_eq!(window.top(), sequence["final_top"].as_u64().expect("a number"), "{name}");
        let bitmap = sequence["final_bitmap_hex"].as_str().expect("text");
        for (index, digit) in bitmap.chars().rev().enumerate() {
            let digit = digit.to_digit(16).expect("hex");
            for bit in 0..4 {
                let below = (index * 4 + bit) as u64;
                if below >= u64::from(width) || below >= window.top() {
                    continue;
                }
                assert_eq!(window.seen(window.top() - below), digit >> bit & 1 == 1, "{name}: {below} below the top");
            }
        }
    }
    assert_eq!(sequences.len(), 16);
}

#[test]
fn extended_numbers_agree_with_the_vectors() {
    let vectors = vectors();
    let rows = vectors["antireplay_esn"].as_array().expect("a list");
    for row in rows {
        let top = u64::from_str_radix(row["T"].as_str().expect("hex"), 16).expect("hex");
        let width = row["W"].as_u64().expect("a width") as u16;
        let low = u32::from_str_radix(row["seql"].as_str().expect("hex"), 16).expect("hex");
        let extended = Window::starting_at(top).extend(low, width);
        if row["verdict"].as_str().is_some_and(|verdict| verdict.contains("underflow")) {
            assert_eq!(extended, None, "{row}");
        } else {
            let high = u32::from_str_radix(row["seqh"].as_str().expect("hex"), 16).expect("hex");
            assert_eq!(extended, Some(u64::from(high) << 32 | u64::from(low)), "{row}");
        }
    }
    assert_eq!(rows.len(), 18);
}

#[test]
fn the_counter_window_refuses_copies_and_what_is_too_old() {
    let mut member = Member::with(keep(), &counter(64, vec![sa(0x1000, "aes128-gcm16")]));
    let numbered = |number| packet_numbered(number, false);
    member.receive(at(1), &numbered(100));
    assert_eq!(member.fate(at(1), Side::Wan, &numbered(100)), Fate::Dropped(Reason::Replay));
    assert_eq!(member.fate(at(1), Side::Wan, &numbered(36)), Fate::Dropped(Reason::Replay));
    member.receive(at(1), &numbered(37));
    member.receive(at(1), &numbered(99));
    let mut forged = numbered(5_000);
    *forged.last_mut().expect("an ICV") ^= 1;
    assert_eq!(member.fate(at(1), Side::Wan, &forged), Fate::Dropped(Reason::BadIcv));
    member.receive(at(1), &numbered(98));
    let status = member.data.status(at(1));
    assert_eq!((status.sas[0].window_top, status.sas[0].replay_errors, status.sas[0].mac_errors), (100, 2, 1));
    let kinds: Vec<&str> = member.events().iter().map(|event| event.kind.mnemonic()).collect();
    assert_eq!(kinds, ["PKT_REPLAY_ERR", "PKT_REPLAY_ERR", "RECVD_PKT_MAC_ERR"]);
}

#[test]
fn copies_in_one_burst_are_refused_too() {
    let mut member = Member::with(keep(), &counter(64, vec![sa(0x1000, "aes128-gcm16")]));
    let packet = packet_numbered(9, false);
    let fates: Vec<Fate> =
        member.burst(at(1), Side::Wan, &[packet.clone(), packet.clone(), packet]).into_iter().map(|o| o.0).collect();
    let copy = Fate::Dropped(Reason::Replay);
    assert_eq!(fates, [Fate::Out(Side::Lan), copy, copy]);
}

#[test]
fn without_the_counter_method_two_senders_may_use_the_same_numbers() {
    let mut member = Member::with(keep(), &policy(vec![sa(0x1000, "aes128-gcm16")]));
    let packet = packet_numbered(7, false);
    member.receive(at(1), &packet);
    member.receive(at(1), &packet);
    // Number 0 is what a sender uses after 2^32 - 1.
    member.receive(at(1), &packet_numbered(1 << 32, false));
}

#[test]
fn workers_share_one_window() {
    let mut member = Member::with(keep(), &counter(64, vec![sa(0x1000, "aes128-gcm16")]));
    let mut other = Member::new(keep());
    other.data = member.data.worker(hallmark_core::Rng::from_u64(2), at(0));
    other.data.apply(at(0), &counter(64, vec![sa(0x1000, "aes128-gcm16")]));
    let packet = packet_numbered(7, false);
    member.receive(at(1), &packet);
    assert_eq!(other.fate(at(1), Side::Wan, &packet), Fate::Dropped(Reason::Replay));
}

#[test]
fn extended_numbers_cross_the_low_half_and_are_authenticated_whole() {
    let extended = Sa { extended_sequence: true, ..sa(0x1000, "aes128-gcm16") };
    let mut member = Member::with(keep(), &counter(64, vec![extended]));
    assert!(member.data.resume_window(0x1000, u64::from(u32::MAX) - 2));
    for number in [u64::from(u32::MAX), 1 << 32, (1 << 32) + 5, u64::from(u32::MAX) - 1] {
        member.receive(at(1), &packet_numbered(number, true));
    }
    assert_eq!(member.data.status(at(1)).sas[0].window_top, (1 << 32) + 5);
    assert_eq!(member.fate(at(1), Side::Wan, &packet_numbered(1 << 32, true)), Fate::Dropped(Reason::Replay));
    // The same low half one round later is a different number, which the ICV shows.
    assert_eq!(member.fate(at(1), Side::Wan, &packet_numbered((2 << 32) + 9, true)), Fate::Dropped(Reason::BadIcv));
}

fn timed(window: Duration, ticks: u64) -> Policy {
    let pseudotime = Pseudotime::new(ticks, Instant::ZERO);
    Policy { replay: Replay::Time { window, pseudotime }, ..policy(vec![sa(0x1000, "aes128-gcm16")]) }
}

#[test]
fn the_time_window_accepts_its_edges_and_copies_inside() {
    let inner = udp("10.1.0.1", "10.2.0.1", 20);
    let mut sender = Member::with(keep(), &timed(seconds(4), 60_000_000));
    let mut member = Member::with(keep(), &timed(seconds(4), 60_000_000));
    let packet = sender.send(at(100), &inner);
    assert_eq!(packet.len(), 20 + 16 + 12 + inner.len() + 2 + 16 + (4 - (inner.len() + 2) % 4) % 4);
    for (when, fate) in [
        (95, Fate::Dropped(Reason::TbarTooNew)),
        (96, Fate::Out(Side::Lan)),
        (100, Fate::Out(Side::Lan)),
        (100, Fate::Out(Side::Lan)),
        (104, Fate::Out(Side::Lan)),
        (105, Fate::Dropped(Reason::TbarTooOld)),
        (130, Fate::Dropped(Reason::TbarTooOld)),
    ] {
        assert_eq!(member.fate(at(when), Side::Wan, &packet), fate, "at {when}");
    }
    let status = member.data.status(at(130));
    assert_eq!(status.replay.method, "time");
    assert_eq!((status.replay.input_packets, status.replay.input_errors), (7, 3));
    assert_eq!(status.replay.pseudotime, Some(600_130.0));
    assert_eq!(status.replay.history.len(), 3);
    assert_eq!(sender.data.status(at(130)).replay.output_packets, 1);
    let events = member.events();
    let logged: Vec<&str> = events.iter().map(|event| event.kind.mnemonic()).collect();
    assert_eq!(logged, ["TIMEBASED_REPLAY_FAILED", "PKT_REPLAY_ERR"].repeat(3));
    let EventKind::TimeReplay { src, my_pseudotime, peer_pseudotime, window, .. } = events[0].kind else {
        panic!("an error of time")
    };
    assert_eq!(
        (src, my_pseudotime, peer_pseudotime, window),
        (Some(common::ip("10.1.0.1")), 600_095.0, 600_100.0, 4.0)
    );
}

#[test]
fn the_history_keeps_ten_errors_of_a_minute() {
    let inner = udp("10.1.0.1", "10.2.0.1", 20);
    let mut sender = Member::with(keep(), &timed(seconds(4), 0));
    let mut member = Member::with(keep(), &timed(seconds(4), 0));
    let packet = sender.send(at(1), &inner);
    for when in 0..130 {
        member.fate(at(60 + when), Side::Wan, &packet);
    }
    let replay = member.data.status(at(200)).replay;
    assert_eq!((replay.input_errors, replay.history.len()), (130, 30));
}

#[test]
fn a_step_of_the_wall_clock_moves_no_pseudotime() {
    let inner = udp("10.1.0.1", "10.2.0.1", 20);
    let mut sender = Member::with(keep(), &timed(seconds(4), 500));
    let mut member = Member::with(keep(), &timed(seconds(4), 500));
    for step in [-1_000_000i64, 0, 14, 1_000_000] {
        let now = Now::new(Instant::from_secs(50), UnixTime(at(50).wall.0 + step * 1_000_000_000));
        let packet = sender.send(now, &inner);
        member.receive(at(50), &packet);
        member.receive(now, &packet);
    }
}

#[test]
fn a_wrong_icv_is_never_an_error_of_time() {
    let mut sender = Member::with(keep(), &timed(seconds(4), 0));
    let mut member = Member::with(keep(), &timed(seconds(4), 0));
    let mut packet = sender.send(at(1), &udp("10.1.0.1", "10.2.0.1", 20));
    *packet.last_mut().expect("an ICV") ^= 0x80;
    assert_eq!(member.fate(at(60), Side::Wan, &packet), Fate::Dropped(Reason::BadIcv));
    let status = member.data.status(at(60));
    assert_eq!((status.replay.input_errors, status.sas[0].mac_errors), (0, 1));
}

#[test]
fn stamps_have_to_be_what_the_policy_says() {
    let inner = udp("10.1.0.1", "10.2.0.1", 20);
    let none = policy(vec![sa(0x1000, "aes128-gcm16")]);
    let d3p = Policy { replay: Replay::D3p { window: seconds(10) }, ..none.clone() };
    let time = timed(seconds(4), 0);
    let ways = [("none", none), ("time", time), ("d3p", d3p)];
    for (sent, sends) in &ways {
        let packet = Member::with(keep(), sends).send(at(1), &inner);
        for (expected, expects) in &ways {
            let (fate, octets) = Member::with(keep(), expects).one(at(1), Side::Wan, &packet);
            let reason = match (*expected, *sent) {
                ("none", "time") | ("d3p", "time") => Reason::TbarUnexpected,
                ("none", "d3p") | ("time", "d3p") => Reason::D3pUnexpected,
                ("time", "none") => Reason::TbarMissing,
                ("d3p", "none") => Reason::D3pMissing,
                _ => {
                    assert_eq!((fate, octets), (Fate::Out(Side::Lan), inner.clone()), "{sent}");
                    continue;
                }
            };
            assert_eq!(fate, Fate::Dropped(reason), "{sent} where {expected} is expected");
        }
    }
}

#[test]
fn delivery_delay_agrees_with_the_vectors() {
    let vectors = vectors();
    let rows = vectors["d3p_window"].as_array().expect("a list");
    for row in rows {
        let time = |name: &str| (row[name]["sec"].as_u64().expect("s"), row[name]["usec"].as_u64().expect("us"));
        let ((own, own_micros), (sent, sent_micros)) = (time("receiver_time"), time("packet_time"));
        let mine = UnixTime(own as i64 * 1_000_000_000 + own_micros as i64 * 1_000);
        let window = Duration::from_millis(row["window_ms"].as_u64().expect("a window"));
        let verdict = judge_d3p(mine, sent as u32, sent_micros as u32, window);
        let expected = row["verdict"].as_str().expect("a verdict");
        assert_eq!(verdict == Verdict::Accept, expected == "accept", "{row}: {verdict:?}");
    }
    assert_eq!(rows.len(), 11);
}

#[test]
fn delivery_delay_drops_what_came_too_late_or_too_early() {
    let d3p = Policy { replay: Replay::D3p { window: seconds(10) }, ..policy(vec![sa(0x1000, "aes128-gcm16")]) };
    let packet = Member::with(keep(), &d3p).send(at(100), &udp("10.1.0.1", "10.2.0.1", 20));
    let mut member = Member::with(keep(), &d3p);
    for (when, fate) in [
        (94, Fate::Dropped(Reason::D3pTooNew)),
        (95, Fate::Out(Side::Lan)),
        (105, Fate::Out(Side::Lan)),
        (106, Fate::Dropped(Reason::D3pTooOld)),
    ] {
        assert_eq!(member.fate(at(when), Side::Wan, &packet), fate, "at {when}");
    }
}

#[test]
fn a_policy_that_is_sent_again_keeps_windows_and_numbers() {
    let policy = counter(64, vec![sa(0x1000, "aes128-gcm16")]);
    let mut member = Member::with(keep(), &policy);
    let packet = packet_numbered(7, false);
    member.receive(at(1), &packet);
    let inner = udp("10.2.0.1", "10.1.0.1", 20);
    let first = member.send(at(1), &inner);
    member.data.apply(at(2), &policy);
    assert_eq!(member.fate(at(2), Side::Wan, &packet), Fate::Dropped(Reason::Replay));
    let second = member.send(at(2), &inner);
    assert_eq!((&first[24..28], &second[24..28]), (&[0, 0, 0, 1][..], &[0, 0, 0, 2][..]));
    assert_eq!(member.data.status(at(2)).sas[0].sealed.packets, 2);
}
