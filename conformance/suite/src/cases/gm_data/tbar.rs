//! Time-based anti-replay: packets carry the clock of the group, and those that are too far from it are dropped.

use hallmark_probe::data::{Clear, Forge, Replay, Sender, Stamp, clock_showing, shifted};
use hallmark_probe::group::Flow as Entry;
use hallmark_probe::ks::{PushSpec, deletion};
use hallmark_probe::world::Side;

use super::marks::{
    NEXT_V4, ahead, came, clock, expect_agreement, forged, inbound, pass_time, protected_by, retell, stamped,
    successor, tester, time,
};
use crate::Case;
use crate::cx::{Cx, Flow, Stop};
use crate::data::{DataScene, Rule, WAN_HOST, both_ways, with_flows};

pub(crate) const CASES: &[Case] = &[
    case! {
        "TBAR-001", "data.tbar", Must, Gm,
        title: "packets inside the time window pass, copies of them as well",
        purpose: "A member that drops fresh packets loses traffic. Copies are by design: networks with redundant trees \
                  deliver multicast twice, and time alone cannot tell the second from the first.",
        requirements: ["TBAR-001"],
        sources: ["getvpn.md §4.2"],
        catches: ["dup_in_window_dropped", "dp_tbar_window_in_ticks", "dp_tbar_window_halved"],
        needs: [Datapath, Setup],
        cost: 15,
        run: copies_pass,
    },
    case! {
        "TBAR-002", "data.tbar", Must, Gm,
        title: "a packet that was held longer than the window is dropped",
        purpose: "This is what the protection is for: whoever holds packets back must not be able to deliver them later.",
        requirements: ["TBAR-002"],
        sources: ["getvpn.md §4.2"],
        catches: ["dp_tbar_not_checked", "dp_tbar_only_too_new", "tbar_min20"],
        needs: [Datapath, Setup],
        cost: 25,
        run: held_back,
    },
    case! {
        "TBAR-003", "data.tbar", Must, Gm,
        title: "a copy of a packet that has passed is dropped once the window is over",
        purpose: "A recorded transfer order that still passes half a minute later is a transfer order given twice.",
        requirements: ["TBAR-003", "TBAR-001"],
        sources: ["getvpn.md §4.2"],
        catches: ["dp_tbar_not_checked", "dp_tbar_only_too_new"],
        needs: [Datapath, Setup],
        cost: 45,
        run: replayed_later,
    },
    case! {
        "TBAR-004", "data.tbar", Must, Gm,
        title: "the window of the policy is the one that is used, be it 4, 20 or 100 seconds",
        purpose: "Releases that could not do less than 20 seconds took the policy and used 20: five times the time to \
                  replay in.",
        requirements: ["TBAR-004"],
        sources: ["getvpn.md §4.2", "getvpn.md §6 P12"],
        catches: ["tbar_min20", "dp_tbar_window_doubled", "dp_tbar_window_halved", "dp_tbar_window_in_ticks"],
        needs: [Datapath, Setup],
        cost: 60,
        run: window_of_the_policy,
    },
    case! {
        "TBAR-005", "data.tbar", Must, Gm,
        title: "a step of the wall clock does not move the clock of the group",
        purpose: "After a correction by NTP such a member drops what everyone sends, and everyone drops what it sends.",
        requirements: ["TBAR-005", "TBAR-001"],
        sources: ["getvpn.md §4.1", "getvpn.md §6 P11"],
        catches: ["tbar_wallclock"],
        needs: [Datapath, Setup],
        cost: 25,
        run: wall_clock_steps,
    },
    case! {
        "TBAR-006", "data.tbar", Must, Gm,
        title: "fresh packets pass at all times, also where low digits of the clock wrap",
        purpose: "Members that compared only part of the clock dropped good packets for seconds, again and again, and \
                  nobody found out why.",
        requirements: ["TBAR-006"],
        sources: ["getvpn.md §6 P13"],
        catches: ["tbar_false_drop", "dp_stamp_wraps"],
        needs: [Datapath, Setup],
        cost: 60,
        run: across_a_wrap,
    },
    case! {
        "TBAR-007", "data.tbar", Must, Gm,
        title: "a registration sets the clock of the member",
        purpose: "A member that starts its own clock is alone: nobody accepts its packets and it accepts nobody's.",
        requirements: ["TBAR-007"],
        sources: ["getvpn.md §4.3"],
        catches: ["gm_pseudotime_registration_ignored", "dp_stamp_missing"],
        needs: [Datapath, Setup],
        cost: 10,
        run: set_by_registration,
    },
    case! {
        "TBAR-008", "data.tbar", Must, Gm,
        title: "a rekey corrects the clock of the member, forward and back",
        purpose: "Clocks drift. Without corrections a member with a small window falls out of it in days.",
        requirements: ["TBAR-008"],
        sources: ["getvpn.md §4.3"],
        catches: ["gm_pseudotime_rekey_ignored", "dp_pseudotime_not_adopted"],
        needs: [Datapath, Setup],
        cost: 30,
        run: corrected_by_rekey,
    },
    case! {
        "TBAR-009", "data.tbar", Should, Gm,
        title: "a clock that is far ahead in a rekey is taken over",
        purpose: "A key server that was restored from another one may be ahead by a lot; members that stay behind are lost.",
        requirements: ["TBAR-009"],
        sources: ["getvpn.md §4.3"],
        catches: ["gm_pseudotime_rekey_ignored", "dp_pseudotime_not_adopted"],
        needs: [Datapath, Setup],
        cost: 15,
        run: far_ahead,
    },
    case! {
        "TBAR-010", "data.tbar", Should, Gm,
        title: "a rekey does not take the clock far back",
        purpose: "Whoever can take the clock back can replay everything that was sent since.",
        requirements: ["TBAR-010"],
        sources: ["getvpn.md §4.3", "getvpn.md §6 P39"],
        catches: ["pt_backstep"],
        needs: [Datapath, Setup],
        cost: 20,
        run: far_back,
    },
    case! {
        "REPLAY-011", "data.tbar", Should, Gm,
        title: "the first rekey under a new KEK does not take the clock far back either",
        purpose: "Under a new KEK every sequence number is new, so the clock alone tells a stale rekey.",
        requirements: ["REPLAY-011", "TBAR-010"],
        sources: ["getvpn.md §6 P39"],
        catches: ["pt_backstep"],
        needs: [Datapath, Setup],
        cost: 25,
        run: far_back_under_new_kek,
    },
    case! {
        "TBAR-011", "data.tbar", Must, Gm,
        title: "the stamps of a member stay with the clock of the group",
        purpose: "A stamp that stands still, or counts in another unit, is accepted at first and refused soon after.",
        requirements: ["TBAR-011"],
        sources: ["getvpn.md §4.1"],
        catches: ["dp_stamp_frozen", "dp_stamp_in_seconds", "dp_stamp_little_endian", "dp_stamp_missing"],
        needs: [Datapath, Setup],
        cost: 60,
        run: stays_in_step,
    },
    case! {
        "TBAR-014", "data.tbar", Must, Gm,
        title: "multicast is checked like everything else",
        purpose: "Market data and routing run over multicast; a stale copy of it does as much harm.",
        requirements: ["TBAR-014"],
        sources: ["getvpn.md §4.2"],
        catches: ["dp_tbar_no_multicast"],
        needs: [Datapath, Setup],
        cost: 20,
        run: multicast,
    },
    case! {
        "TBAR-015", "data.tbar", Must, Gm,
        title: "a packet from the future is dropped",
        purpose: "Packets of a sender whose clock runs ahead could be kept and would be fresh later.",
        requirements: ["TBAR-015"],
        sources: ["getvpn.md §4.2"],
        catches: ["dp_tbar_only_too_old", "dp_tbar_not_checked"],
        needs: [Datapath, Setup],
        cost: 15,
        run: from_the_future,
    },
    case! {
        "TBARG-001", "data.tbar", Must, Gm,
        title: "a packet without a stamp is dropped where stamps are demanded",
        purpose: "Otherwise the whole protection is avoided by leaving it out.",
        requirements: ["TBAR-002"],
        sources: ["getvpn.md §4.2"],
        catches: ["dp_tbar_missing_accepted"],
        needs: [Datapath, Setup],
        cost: 15,
        run: stamp_missing,
    },
    case! {
        "TBARG-002", "data.tbar", Should, Gm,
        title: "a stamped packet is dropped where the policy knows of no stamps",
        purpose: "What stands in front of the inner packet is unknown then, and what is unknown is not forwarded.",
        requirements: ["ESP-055"],
        sources: ["RFC 4303 §2.6"],
        catches: ["dp_tbar_unexpected_accepted"],
        needs: [Datapath, Setup],
        cost: 15,
        run: stamp_unexpected,
    },
    case! {
        "TBARG-003", "data.tbar", Must, Gm,
        title: "sequence numbers of many senders do not matter where time protects",
        purpose: "All members share one SPI and each counts from 1: a window over these numbers drops all senders but one.",
        requirements: ["TBAR-001", "ESP-061"],
        sources: ["getvpn.md §4.2", "RFC 4303 §3.4.3"],
        catches: ["dp_counter_checked_in_tbar"],
        needs: [Datapath, Setup],
        cost: 30,
        run: many_senders,
    },
    case! {
        "TBARG-004", "data.tbar", Must, Gm,
        title: "a rekey changes the window",
        purpose: "Operators narrow the window of a running group; members that keep the first one protect less than the \
                  policy says.",
        requirements: ["TBAR-004"],
        sources: ["getvpn.md §4.1"],
        catches: ["dp_tbar_window_doubled", "tbar_min20"],
        needs: [Datapath, Setup],
        cost: 30,
        run: window_by_rekey,
    },
    case! {
        "TBARG-005", "data.tbar", Must, Gm,
        title: "a rekey that brings time-based protection is followed in both directions",
        purpose: "Groups are switched over while they run. From then on members that do not stamp are refused by all others.",
        requirements: ["TBAR-002", "TBAR-008", "TBAR-001"],
        sources: ["getvpn.md §4.1"],
        catches: ["dp_stamp_missing", "dp_tbar_missing_accepted"],
        needs: [Datapath, Setup],
        cost: 20,
        run: brought_by_rekey,
    },
    case! {
        "TBARG-006", "data.tbar", Should, Gm,
        title: "nobody is told that a packet was out of time",
        purpose: "An answer shows an attacker where the window ends, and goes to a host that has sent nothing.",
        requirements: ["ESP-098"],
        sources: ["RFC 4303 §4"],
        catches: ["dp_answers_errors"],
        needs: [Datapath, Setup],
        cost: 15,
        run: no_answer,
    },
];

const ACCEPT: Rule = Rule::new("tbar.fresh-accepted", &["TBAR-001"]);

fn copies_pass(cx: &mut Cx<'_>) -> Flow {
    // The catalogue calls this a deviation that breaks nothing visible (P36), so it is only warned about.
    const COPY: Rule = Rule::advisory("tbar.copy-accepted", &["TBAR-001"]);
    let replay = time(cx, 4);
    let mut scene = protected_by(cx, replay)?;
    for (ident, (what, millis)) in (1..).zip([("now", 0), ("3 s old", -3_000), ("3 s ahead", 3_000)]) {
        let inner = inbound(ident);
        let esp = stamped(cx, &mut scene, &inner, millis)?;
        scene.expect_inner(cx, &ACCEPT, &format!("a packet stamped {what}"), &esp, &inner)?;
    }
    let inner = inbound(10);
    let esp = stamped(cx, &mut scene, &inner, 0)?;
    scene.expect_inner(cx, &ACCEPT, "a packet", &esp, &inner)?;
    pass_time(cx, &mut scene, 1.0);
    let passed = came(cx, &mut scene, &esp)?;
    let observed = if passed { "the copy passed" } else { "the copy was dropped" };
    COPY.judge(cx, passed, "a copy 1 s later passes too", observed);
    scene.finish(cx)
}

fn held_back(cx: &mut Cx<'_>) -> Flow {
    const RULE: Rule = Rule::new("tbar.stale-dropped", &["TBAR-002"]);
    let replay = time(cx, 4);
    let mut scene = protected_by(cx, replay)?;
    let inner = inbound(1);
    let esp = scene.seal(cx, &inner)?;
    pass_time(cx, &mut scene, 10.0);
    scene.expect_nothing(cx, &RULE, "a packet that was held for 10 s, window 4 s", Side::Wan, &[esp])?;
    scene.finish(cx)
}

fn replayed_later(cx: &mut Cx<'_>) -> Flow {
    const RULE: Rule = Rule::new("tbar.replay-dropped", &["TBAR-003"]);
    let replay = time(cx, 4);
    let mut scene = protected_by(cx, replay)?;
    let inner = inbound(1);
    let esp = scene.seal(cx, &inner)?;
    scene.expect_inner(cx, &ACCEPT, "the packet itself", &esp, &inner)?;
    pass_time(cx, &mut scene, 30.0);
    scene.expect_nothing(cx, &RULE, "its copy 30 s later, window 4 s", Side::Wan, &[esp])?;
    scene.finish(cx)
}

const WINDOW: Rule = Rule::new("tbar.window-of-the-policy", &["TBAR-004"]);

/// Judges both edges of the window towards the past.
fn edges(cx: &mut Cx<'_>, scene: &mut DataScene, window: i64) -> Flow {
    let inner = inbound(100);
    let esp = stamped(cx, scene, &inner, 500 - window * 1_000)?;
    scene.expect_inner(cx, &WINDOW, &format!("half a second inside a window of {window} s"), &esp, &inner)?;
    let esp = stamped(cx, scene, &inbound(101), -1_000 - window * 1_000)?;
    scene.expect_nothing(cx, &WINDOW, &format!("a second outside a window of {window} s"), Side::Wan, &[esp])?;
    Ok(())
}

fn window_of_the_policy(cx: &mut Cx<'_>) -> Flow {
    for window in [4, 20, 100] {
        let replay = time(cx, window);
        let mut scene = protected_by(cx, replay)?;
        edges(cx, &mut scene, window.into())?;
        scene.finish(cx)?;
    }
    Ok(())
}

fn wall_clock_steps(cx: &mut Cx<'_>) -> Flow {
    const RULE: Rule = Rule::new("tbar.wall-clock-does-not-matter", &["TBAR-005"]);
    let replay = time(cx, 4);
    let mut scene = protected_by(cx, replay)?;
    scene.expect_opened(cx, &ACCEPT, "before", &DataScene::inbound())?;
    for step in [14, -28] {
        cx.world.step_wall(0, step)?;
        let what = format!("after a step of the wall clock by {step} s");
        expect_agreement(cx, &mut scene, &RULE, &what)?;
        scene.expect_opened(cx, &RULE, &what, &DataScene::inbound())?;
    }
    scene.finish(cx)
}

fn across_a_wrap(cx: &mut Cx<'_>) -> Flow {
    const IN: Rule = Rule::new("tbar.never-drops-fresh", &["TBAR-006"]);
    const OUT: Rule = Rule::new("tbar.stamps-never-wrap", &["TBAR-006"]);
    // The clock passes 2^32 ticks, where every narrower number wraps too, about 20 s after the start.
    const BEFORE_WRAP: u64 = (1 << 32) / 100 - 20;
    let replay = Replay::Time { window_secs: 4, clock: clock_showing(BEFORE_WRAP, cx.world.now()) };
    let mut scene = protected_by(cx, replay)?;
    let (mut lost, mut sent) = (Vec::new(), 0_u16);
    let end = cx.in_secs(32);
    while cx.world.now() < end {
        for millis in [-3_000, 0, 3_000] {
            sent += 1;
            let inner = inbound(sent);
            let esp = stamped(cx, &mut scene, &inner, millis)?;
            if !came(cx, &mut scene, &esp)? {
                let shows = clock(&scene)?.at(cx.world.now());
                lost.push(format!("{millis:+} ms at {shows} ticks"));
            }
        }
        expect_agreement(cx, &mut scene, &OUT, "around the wrap")?;
        pass_time(cx, &mut scene, 0.5);
    }
    let more = lost.len().saturating_sub(5);
    let lost = if lost.is_empty() {
        "none lost".to_owned()
    } else {
        format!("lost: {} and {more} more", lost.get(..5).unwrap_or(&lost).join(", "))
    };
    let all = lost == "none lost";
    IN.judge(cx, all, "every fresh packet passes", format!("{sent} fresh packets: {lost}"));
    scene.finish(cx)
}

fn set_by_registration(cx: &mut Cx<'_>) -> Flow {
    const RULE: Rule = Rule::new("tbar.set-by-registration", &["TBAR-007"]);
    let replay = time(cx, 4);
    let mut scene = protected_by(cx, replay)?;
    expect_agreement(cx, &mut scene, &RULE, "after the registration")?;
    scene.expect_opened(cx, &RULE, "a fresh packet of another member", &DataScene::inbound())?;
    scene.finish(cx)
}

fn corrected_by_rekey(cx: &mut Cx<'_>) -> Flow {
    const RULE: Rule = Rule::new("tbar.corrected-by-rekey", &["TBAR-008"]);
    let replay = time(cx, 20);
    let mut scene = protected_by(cx, replay)?;
    expect_agreement(cx, &mut scene, &RULE, "after the registration")?;
    for millis in [6_000, -6_000] {
        retell(&mut scene, None, millis);
        scene.rekey(cx)?;
        expect_agreement(cx, &mut scene, &RULE, &format!("after a correction by {millis:+} ms"))?;
        scene.expect_opened(cx, &RULE, "a fresh packet of another member", &DataScene::inbound())?;
        let esp = stamped(cx, &mut scene, &inbound(9), -21_000)?;
        let what = "a second outside the window, by the corrected clock";
        scene.expect_nothing(cx, &RULE, what, Side::Wan, &[esp])?;
    }
    scene.finish(cx)
}

fn far_ahead(cx: &mut Cx<'_>) -> Flow {
    const RULE: Rule = Rule::new("tbar.far-ahead-adopted", &["TBAR-009"]);
    let replay = time(cx, 20);
    let mut scene = protected_by(cx, replay)?;
    retell(&mut scene, None, 1_000_000);
    scene.rekey(cx)?;
    if !expect_agreement(cx, &mut scene, &RULE, "after a rekey that is 1000 s ahead")? {
        goes_with_it(&mut scene, -1_000_000)?;
    }
    scene.finish(cx)
}

/// Lets the other member stamp by the clock of a member that has gone wrong, so that the case can end in order.
fn goes_with_it(scene: &mut DataScene, by_millis: i64) -> Flow {
    if let Replay::Time { clock, .. } = &mut scene.peer()?.replay {
        *clock = shifted(*clock, by_millis);
    }
    Ok(())
}

const BACK: Rule = Rule::new("tbar.never-far-back", &["TBAR-010"]);
const BACK_UNDER_NEW_KEK: Rule = Rule::new("tbar.never-far-back", &["REPLAY-011", "TBAR-010"]);

/// Sends a rekey whose clock is 60 s behind, and judges that the clock of the member has not gone with it.
fn push_from_the_past(cx: &mut Cx<'_>, scene: &mut DataScene, rule: &Rule) -> Flow {
    let old = scene.seal(cx, &inbound(1))?;
    pass_time(cx, scene, 30.0);
    let before = scene.tek()?;
    let stale = before.successor(scene.scene.ks.rng());
    retell(scene, None, -60_000);
    let push = scene.scene.push(cx, PushSpec::tek(stale.clone()).commit(false))?;
    retell(scene, None, 60_000);
    let acked = scene.scene.ack(cx, &push).is_some();
    cx.world.note(if acked { "the stale rekey was acknowledged" } else { "the stale rekey was not acknowledged" });
    // Both answers are fine as long as time does not go back; what is sent from now on may be under either key.
    scene.send_under(&stale)?;
    scene.send_under(&before)?;
    if acked && let Some(kek) = scene.scene.ks.script.group.kek.as_mut() {
        kek.seq = kek.seq.max(push.seq);
    }
    if !expect_agreement(cx, scene, rule, "after a rekey that is 60 s behind")? {
        return goes_with_it(scene, -60_000);
    }
    let what = "a packet that was recorded 30 s before";
    scene.expect_nothing(cx, rule, what, Side::Wan, &[old])?;
    Ok(())
}

fn far_back(cx: &mut Cx<'_>) -> Flow {
    let replay = time(cx, 4);
    let mut scene = protected_by(cx, replay)?;
    push_from_the_past(cx, &mut scene, &BACK)?;
    scene.finish(cx)
}

fn far_back_under_new_kek(cx: &mut Cx<'_>) -> Flow {
    let replay = time(cx, 4);
    let mut scene = protected_by(cx, replay)?;
    let kek = scene.scene.ks.fresh_kek().map_err(tester)?;
    scene.push(cx, PushSpec::kek(kek))?;
    push_from_the_past(cx, &mut scene, &BACK_UNDER_NEW_KEK)?;
    scene.finish(cx)
}

fn stays_in_step(cx: &mut Cx<'_>) -> Flow {
    const RULE: Rule = Rule::new("tbar.stamps-stay-in-step", &["TBAR-011"]);
    let replay = time(cx, 4);
    let mut scene = protected_by(cx, replay)?;
    let (mut least, mut most) = (f64::MAX, f64::MIN);
    for round in 0..8 {
        let seen = scene.expect_esp(cx, &RULE, "a packet", &DataScene::outbound().ident(round))?;
        let offset = ahead(&seen, clock(&scene)?);
        let told = offset.map_or_else(|| "no stamp".to_owned(), |offset| format!("{offset:+.2} s off"));
        let agrees = offset.is_some_and(|offset| offset.abs() <= super::marks::AGREES_SECS);
        RULE.judge(cx, agrees, "a stamp within 2 s of the clock of the group", format!("packet {round}: {told}"));
        let Some(offset) = offset else { return Err(Stop::Judged) };
        (least, most) = (least.min(offset), most.max(offset));
        pass_time(cx, &mut scene, 5.0);
    }
    cx.measure("distance to the clock of the group", most.abs().max(least.abs()), "s");
    cx.measure("spread of that distance", most - least, "s");
    scene.finish(cx)
}

fn multicast(cx: &mut Cx<'_>) -> Flow {
    const RULE: Rule = Rule::new("tbar.multicast-checked", &["TBAR-014"]);
    let replay = time(cx, 4);
    let mut scene = DataScene::with(
        cx,
        |_| {},
        |script| {
            script.group.replay = replay;
            let mut flows = both_ways(&Entry::standard());
            flows.push(Entry::between(([10, 0, 0, 0].into(), 8), ([239, 1, 1, 0].into(), 24)));
            with_flows(script, flows);
        },
    )?;
    let inner = DataScene::inbound().between(WAN_HOST, [239, 1, 1, 7].into()).ident(1).octets();
    let esp = stamped(cx, &mut scene, &inner, 0)?;
    scene.expect_inner(cx, &RULE, "a fresh multicast packet", &esp, &inner)?;
    let esp = stamped(cx, &mut scene, &inner, -10_000)?;
    scene.expect_nothing(cx, &RULE, "a multicast packet of 10 s ago", Side::Wan, &[esp])?;
    scene.finish(cx)
}

fn from_the_future(cx: &mut Cx<'_>) -> Flow {
    const RULE: Rule = Rule::new("tbar.too-new-dropped", &["TBAR-015"]);
    let replay = time(cx, 4);
    let mut scene = protected_by(cx, replay)?;
    let inner = inbound(1);
    let esp = stamped(cx, &mut scene, &inner, 3_500)?;
    scene.expect_inner(cx, &RULE, "half a second inside the window", &esp, &inner)?;
    for (ident, secs) in [(2, 6), (3, 3_600), (4, 100_000_000)] {
        let esp = stamped(cx, &mut scene, &inbound(ident), secs * 1_000)?;
        scene.expect_nothing(cx, &RULE, &format!("a packet {secs} s ahead, window 4 s"), Side::Wan, &[esp])?;
    }
    scene.finish(cx)
}

fn stamp_missing(cx: &mut Cx<'_>) -> Flow {
    const RULE: Rule = Rule::new("tbar.missing-stamp-dropped", &["TBAR-002"]);
    let replay = time(cx, 4);
    let mut scene = protected_by(cx, replay)?;
    let bare = Forge::new().stamp_octets(&[]).next_header(NEXT_V4);
    let esp = forged(cx, &mut scene, &inbound(1), &bare)?.octets();
    scene.expect_nothing(cx, &RULE, "a genuine packet without a stamp", Side::Wan, &[esp])?;
    scene.finish(cx)
}

fn stamp_unexpected(cx: &mut Cx<'_>) -> Flow {
    const RULE: Rule = Rule::new("tbar.unexpected-stamp-dropped", &["ESP-055"]);
    let mut scene = DataScene::standard(cx)?;
    let stamp = Forge::new().stamp(Stamp::Time { ticks: 60_000_000 }, NEXT_V4);
    let esp = forged(cx, &mut scene, &inbound(1), &stamp)?.octets();
    scene.expect_nothing(cx, &RULE, "a packet with a stamp in a group without", Side::Wan, &[esp])?;
    scene.finish(cx)
}

fn many_senders(cx: &mut Cx<'_>) -> Flow {
    const RULE: Rule = Rule::new("tbar.numbers-do-not-matter", &["TBAR-001", "ESP-061"]);
    let replay = time(cx, 20);
    let mut scene = protected_by(cx, replay)?;
    let tek = scene.tek()?;
    let mut senders: Vec<Sender> = Vec::new();
    for _ in 0..3 {
        senders.push(Sender::new(&tek).map_err(tester)?.stamping(replay));
    }
    // The first is far ahead of the others, which have just begun.
    if let Some(first) = senders.first_mut() {
        first.seq = 100_000;
    }
    let mut lost = Vec::new();
    for round in 0..10 {
        for (n, sender) in (1_u16..).zip(&mut senders) {
            let esp = sender.seal(cx.world, &inbound(round * 3 + n)).map_err(tester)?;
            if !came(cx, &mut scene, &esp)? {
                lost.push(format!("number {} of sender {n}", sender.seq - 1));
            }
        }
    }
    let observed = if lost.is_empty() { "all passed".to_owned() } else { format!("lost: {}", lost.join(", ")) };
    RULE.judge(cx, lost.is_empty(), "30 packets of three senders pass", observed);
    scene.finish(cx)
}

fn window_by_rekey(cx: &mut Cx<'_>) -> Flow {
    let replay = time(cx, 4);
    let mut scene = protected_by(cx, replay)?;
    edges(cx, &mut scene, 4)?;
    for window in [30, 8] {
        retell(&mut scene, Some(window), 0);
        scene.rekey(cx)?;
        edges(cx, &mut scene, window.into())?;
    }
    scene.finish(cx)
}

fn brought_by_rekey(cx: &mut Cx<'_>) -> Flow {
    const RULE: Rule = Rule::new("tbar.brought-by-rekey", &["TBAR-002", "TBAR-008"]);
    let mut scene = DataScene::standard(cx)?;
    scene.expect_opened(cx, &ACCEPT, "before", &DataScene::inbound())?;
    let replay = time(cx, 4);
    scene.scene.ks.script.group.replay = replay;
    let old = scene.tek()?.spi;
    // The old SA may keep the method that it began with (getvpn §3.9), so it is deleted: what leaves is under the new.
    let new = successor(&mut scene, 3_600)?;
    let spec = PushSpec::tek(new).with_delete(deletion(1, vec![old.to_be_bytes().to_vec()]));
    scene.push(cx, spec)?;
    let seen = scene.expect_esp(cx, &RULE, "a packet after the rekey", &DataScene::outbound())?;
    cx.require(seen.spi != old, "packets leave under the SA that was deleted")?;
    expect_agreement(cx, &mut scene, &RULE, "after the rekey")?;
    scene.expect_opened(cx, &RULE, "a stamped packet after the rekey", &DataScene::inbound())?;
    let bare = Forge::new().stamp_octets(&[]).next_header(NEXT_V4);
    let esp = forged(cx, &mut scene, &inbound(1), &bare)?.octets();
    scene.expect_nothing(cx, &RULE, "a packet without a stamp after the rekey", Side::Wan, &[esp])?;
    scene.finish(cx)
}

fn no_answer(cx: &mut Cx<'_>) -> Flow {
    const RULE: Rule = Rule::new("tbar.no-answer", &["ESP-098"]);
    let replay = time(cx, 4);
    let mut scene = protected_by(cx, replay)?;
    for (what, millis) in [("too old", -60_000), ("too new", 60_000)] {
        let esp = stamped(cx, &mut scene, &inbound(1), millis)?;
        unanswered(cx, &mut scene, &RULE, what, &esp)?;
    }
    scene.finish(cx)
}

/// Lets a packet arrive of which nothing at all may come, on either side.
pub(super) fn unanswered(cx: &mut Cx<'_>, scene: &mut DataScene, rule: &Rule, what: &str, esp: &[u8]) -> Flow {
    scene.expect_opened(cx, rule, &format!("a regular packet before one that is {what}"), &regular())?;
    let passed = scene.wan_to_lan(cx, esp)?;
    let quiet = passed.is_empty();
    let observed = format!("{what}: {}, {}", passed.describe(Side::Lan), passed.describe(Side::Wan));
    scene.expect_opened(cx, rule, &format!("a regular packet after one that is {what}"), &regular())?;
    let known = hallmark_catalogue::Confidence::WireAndControl;
    let check = rule.check(cx).silence(quiet, "nothing, towards either side".to_owned(), observed, known);
    cx.record(check);
    Ok(())
}

fn regular() -> Clear {
    DataScene::inbound()
}
