//! Counter-based replay protection: a window over the sequence numbers of an SA with one sender.

use hallmark_probe::data::{Forge, Part, Replay, Sender};
use hallmark_probe::ks::PushSpec;
use hallmark_probe::world::Side;

use super::marks::{came, forged, inbound, numbered, pass_time, protected_by, successor, tester};
use crate::Case;
use crate::cx::{Cx, Flow};
use crate::data::{DataScene, Rule};

pub(crate) const CASES: &[Case] = &[
    case! {
        "REPLAY-012", "data.replay", Must, Gm,
        title: "a packet whose number has come already is dropped",
        purpose: "Whoever records a packet can send it again; the number is all that tells the copy from the original.",
        requirements: ["REPLAY-012", "ESP-058"],
        sources: ["RFC 4303 §3.4.3"],
        catches: ["dp_replay_not_checked", "dp_duplicates_accepted"],
        needs: [Datapath, Setup],
        cost: 15,
        run: duplicates,
    },
    case! {
        "REPLAY-013", "data.replay", Must, Gm,
        title: "of two senders with the same numbers each number passes once",
        purpose: "The policy asks for something that only works with one sender. A member keeps it all the same; how much \
                  is lost is recorded, so that the policy can be changed.",
        requirements: ["ESP-058"],
        sources: ["RFC 4303 §3.4.3", "getvpn.md §6 P33"],
        catches: ["dp_replay_not_checked", "dp_duplicates_accepted"],
        needs: [Datapath, Setup],
        cost: 40,
        run: two_senders,
    },
    case! {
        "REPLAY-014", "data.replay", Must, Gm,
        title: "with a window of 64 the number 63 below the highest passes and the one 64 below does not",
        purpose: "An edge that is off by one drops good packets on reordering paths, or lets a copy through.",
        requirements: ["REPLAY-014", "ESP-058"],
        sources: ["RFC 4303 §3.4.3"],
        catches: ["dp_window_one_larger", "dp_window_one_smaller", "dp_replay_not_checked", "dp_window_fixed_32"],
        needs: [Datapath, Setup],
        cost: 20,
        run: left_edge_of_64,
    },
    case! {
        "REPLAYG-001", "data.replay", Must, Gm,
        title: "every window from 32 to 1024 packets reaches as far back as it says",
        purpose: "Wide windows are configured where packets overtake each other; a member that uses less drops good ones.",
        requirements: ["ESP-056", "ESP-058"],
        sources: ["RFC 4303 §3.4.3"],
        catches: ["dp_window_fixed_32", "dp_window_one_smaller"],
        needs: [Datapath, Setup],
        cost: 80,
        run: all_windows,
    },
    case! {
        "REPLAYG-002", "data.replay", Must, Gm,
        title: "a packet that is not authentic does not move the window",
        purpose: "One forged packet with a high number would shut out everything that the real sender sends.",
        requirements: ["ESP-059", "ESP-031"],
        sources: ["RFC 4303 §3.4.3"],
        catches: ["dp_window_moved_before_icv"],
        needs: [Datapath, Setup],
        cost: 20,
        run: forged_numbers,
    },
    case! {
        "REPLAYG-003", "data.replay", Must, Gm,
        title: "packets that overtook each other inside the window pass once each",
        purpose: "Reordering is normal; a member that wants every number to be higher than the last loses traffic all the \
                  time, one that forgets what it has seen lets copies through.",
        requirements: ["ESP-058"],
        sources: ["RFC 4303 §3.4.3"],
        catches: ["dp_late_refused", "dp_window_cleared_on_jump", "dp_duplicates_accepted"],
        needs: [Datapath, Setup],
        cost: 40,
        run: out_of_order,
    },
    case! {
        "REPLAYG-004", "data.replay", Must, Gm,
        title: "number 0 is never accepted where numbers are checked",
        purpose: "Senders begin with 1. A member that takes 0 has no bit for it and takes it every time.",
        requirements: ["ESP-002", "ESP-058"],
        sources: ["RFC 4303 §3.3.3"],
        catches: ["dp_seq_zero_accepted"],
        needs: [Datapath, Setup],
        cost: 15,
        run: number_zero,
    },
    case! {
        "REPLAYG-005", "data.replay", Must, Gm,
        title: "the window of an SA outlives a rekey, and the new SA has one of its own",
        purpose: "A member that begins anew with every message of its key server takes every recorded packet once more.",
        requirements: ["ESP-058"],
        sources: ["RFC 4303 §3.4.3"],
        catches: ["dp_window_forgotten_on_apply"],
        needs: [Datapath, Setup],
        cost: 20,
        run: over_a_rekey,
    },
    case! {
        "REPLAYG-006", "data.replay", Should, Gm,
        title: "without replay protection in the policy the numbers of several senders do not matter",
        purpose: "All members send under one SPI, each with numbers of its own; a window that nobody asked for drops all \
                  but one.",
        requirements: ["ESP-061"],
        sources: ["RFC 4303 §3.4.3", "RFC 9838 §2.6"],
        catches: ["dp_counter_checked_unasked"],
        needs: [Datapath],
        cost: 30,
        run: nobody_asked,
    },
    case! {
        "REPLAYG-007", "data.replay", Must, Gm,
        title: "64-bit numbers go on where their low half wraps",
        purpose: "The high half is not sent. A member that gets it wrong finds every ICV wrong from the 4294967296th packet on.",
        requirements: ["ESP-062"],
        sources: ["RFC 4303 appendix A2.2"],
        catches: ["dp_esn_high_ignored"],
        needs: [Datapath, Setup],
        cost: 25,
        run: low_half_wraps,
    },
    case! {
        "REPLAYG-008", "data.replay", Must, Gm,
        title: "64-bit numbers never lie before the first",
        purpose: "A low half that is read as one of a round before the first takes the window to the end of all numbers, \
                  and the SA is dead.",
        requirements: ["ESP-063", "ESP-058"],
        sources: ["RFC 4303 appendix A2.2"],
        catches: ["dp_esn_underflow_accepted"],
        needs: [Datapath, Setup],
        cost: 20,
        run: before_the_first,
    },
    case! {
        "REPLAYG-009", "data.replay", Should, Gm,
        title: "64-bit numbers are found again after 4294967296 packets were lost",
        purpose: "The high half is not sent. A member behind a long outage takes every packet for one of the round before                   and finds every ICV wrong, until the next rekey.",
        requirements: ["ESP-064"],
        sources: ["RFC 4303 appendix A3"],
        catches: ["dp_esn_never_resynchronised"],
        needs: [Datapath, Setup],
        cost: 30,
        run: whole_round_lost,
    },
];

fn scene(cx: &mut Cx<'_>, window: u16) -> Flow<DataScene> {
    protected_by(cx, Replay::Counter { window })
}

/// Lets the other member begin again behind this number: everything up to it counts as sent.
fn move_to(cx: &mut Cx<'_>, scene: &mut DataScene, rule: &Rule, top: u32) -> Flow {
    let inner = inbound(0xfff0);
    let esp = numbered(cx, scene, &inner, top)?;
    scene.expect_inner(cx, rule, &format!("number {top}"), &esp, &inner)?;
    scene.peer()?.seq = top.wrapping_add(1);
    Ok(())
}

fn duplicates(cx: &mut Cx<'_>) -> Flow {
    const RULE: Rule = Rule::new("replay.copy-dropped", &["REPLAY-012", "ESP-058"]);
    let mut scene = scene(cx, 64)?;
    let inner = inbound(1);
    let esp = scene.seal(cx, &inner)?;
    scene.expect_inner(cx, &RULE, "a packet", &esp, &inner)?;
    scene.expect_nothing(cx, &RULE, "a copy of it", Side::Wan, std::slice::from_ref(&esp))?;
    // The number counts, not the octets: another packet with the same one.
    let seq = scene.peer()?.seq - 1;
    let other = numbered(cx, &mut scene, &inbound(2), seq)?;
    scene.expect_nothing(cx, &RULE, "another packet with a number that has come", Side::Wan, &[other])?;
    scene.expect_nothing(cx, &RULE, "three copies at once", Side::Wan, &[esp.clone(), esp.clone(), esp])?;
    scene.finish(cx)
}

fn two_senders(cx: &mut Cx<'_>) -> Flow {
    const RULE: Rule = Rule::new("replay.number-passes-once", &["ESP-058"]);
    const COUNT: u16 = 30;
    let mut scene = scene(cx, 64)?;
    let tek = scene.tek()?;
    let mut senders = [Sender::new(&tek).map_err(tester)?, Sender::new(&tek).map_err(tester)?];
    let (mut passed, mut twice, mut never) = (0, 0, 0);
    for number in 0..COUNT {
        let mut times = 0;
        for (n, sender) in (0_u16..).zip(&mut senders) {
            let esp = sender.seal(cx.world, &inbound(number * 2 + n)).map_err(tester)?;
            times += u16::from(came(cx, &mut scene, &esp)?);
        }
        passed += times;
        twice += u16::from(times > 1);
        never += u16::from(times == 0);
    }
    let sent = COUNT * 2;
    cx.measure("packets of two senders that were lost", f64::from(sent - passed) / f64::from(sent), "of 1");
    let observed = format!("{twice} of {COUNT} numbers passed twice, {never} never");
    RULE.judge(cx, twice == 0 && never == 0, "each number passes once", observed);
    scene.peer()?.seq = u32::from(COUNT) + 1;
    scene.finish(cx)
}

/// Judges the left edge of a window behind this highest number. A wider window than asked for is allowed; one that is
/// only a little wider is one with a wrong edge.
fn left_edge(cx: &mut Cx<'_>, scene: &mut DataScene, rule: &Rule, window: u16, judge_outside: bool) -> Flow {
    let wide = u32::from(window);
    let top = scene.peer()?.seq - 1;
    let inner = inbound(1);
    let esp = numbered(cx, scene, &inner, top - wide + 1)?;
    scene.expect_inner(cx, rule, &format!("window {window}: {} below the highest", wide - 1), &esp, &inner)?;
    if !judge_outside {
        return Ok(());
    }
    let [outside, farther] = [top - wide, top - wide - wide / 2];
    let [outside, farther] = [numbered(cx, scene, &inbound(2), outside)?, numbered(cx, scene, &inbound(3), farther)?];
    let (near, far) = (came(cx, scene, &outside)?, came(cx, scene, &farther)?);
    let word = |came| if came { "passed" } else { "was dropped" };
    let observed =
        format!("window {window}: {wide} below the highest {}, {} below {}", word(near), wide + wide / 2, word(far));
    scene.expect_opened(cx, rule, "the next regular packet", &DataScene::inbound())?;
    let known = hallmark_catalogue::Confidence::WireAndControl;
    let expected = "both dropped, or both passed in a window that is wider than asked for".to_owned();
    let check = rule.check(cx).silence(near == far, expected, observed, known);
    cx.record(check);
    cx.measure("numbers beyond the left edge of the policy that were accepted", f64::from(u8::from(far)), "");
    Ok(())
}

fn left_edge_of_64(cx: &mut Cx<'_>) -> Flow {
    const RULE: Rule = Rule::new("replay.left-edge", &["REPLAY-014", "ESP-058"]);
    const ON: Rule = Rule::new("replay.checked-at-all", &["REPLAY-014", "ESP-058"]);
    let mut scene = scene(cx, 64)?;
    move_to(cx, &mut scene, &RULE, 5_000)?;
    left_edge(cx, &mut scene, &RULE, 64, true)?;
    // No window is as wide as this.
    let esp = numbered(cx, &mut scene, &inbound(9), 1)?;
    scene.expect_nothing(cx, &ON, "the number 4999 below the highest", Side::Wan, &[esp])?;
    scene.finish(cx)
}

fn all_windows(cx: &mut Cx<'_>) -> Flow {
    const RULE: Rule = Rule::new("replay.window-of-the-policy", &["ESP-056", "ESP-058"]);
    for window in [32, 100, 128, 512, 1_024] {
        let mut scene = scene(cx, window)?;
        move_to(cx, &mut scene, &RULE, 10_000)?;
        left_edge(cx, &mut scene, &RULE, window, false)?;
        scene.finish(cx)?;
    }
    Ok(())
}

fn forged_numbers(cx: &mut Cx<'_>) -> Flow {
    const RULE: Rule = Rule::grave("replay.forgery-does-not-move-the-window", &["ESP-059", "ESP-031"]);
    let mut scene = scene(cx, 64)?;
    for (what, part) in [("ICV", Part::Icv), ("ciphertext", Part::Ciphertext)] {
        let seq = scene.peer()?.seq;
        let high = Forge::new().seq(seq + 1_000_000).flip(part, 3);
        let esp = forged(cx, &mut scene, &inbound(1), &high)?.octets();
        let what = format!("a number 1000000 ahead with a wrong {what}");
        scene.expect_nothing(cx, &RULE, &what, Side::Wan, &[esp])?;
    }
    // Nor does a forgery use up a number inside the window.
    let seq = scene.peer()?.seq;
    let esp = forged(cx, &mut scene, &inbound(2), &Forge::new().seq(seq).flip(Part::Icv, 0))?.octets();
    cx.world.inject(0, Side::Wan, esp)?;
    scene.expect_opened(cx, &RULE, "the genuine packet with the number of a forgery", &DataScene::inbound())?;
    scene.finish(cx)
}

fn out_of_order(cx: &mut Cx<'_>) -> Flow {
    const ONCE: Rule = Rule::new("replay.late-accepted", &["ESP-058"]);
    const TWICE: Rule = Rule::new("replay.late-copy-dropped", &["ESP-058"]);
    let mut scene = scene(cx, 64)?;
    move_to(cx, &mut scene, &ONCE, 1_000)?;
    let mut seen = Vec::new();
    for (ident, seq) in (1..).zip([1_010, 1_004, 1_009, 1_001, 1_030, 1_011, 1_029]) {
        let inner = inbound(ident);
        let esp = numbered(cx, &mut scene, &inner, seq)?;
        scene.expect_inner(cx, &ONCE, &format!("number {seq}"), &esp, &inner)?;
        seen.push((seq, esp));
    }
    scene.peer()?.seq = 1_031;
    for (seq, esp) in seen {
        scene.expect_nothing(cx, &TWICE, &format!("number {seq} a second time"), Side::Wan, &[esp])?;
    }
    scene.finish(cx)
}

fn number_zero(cx: &mut Cx<'_>) -> Flow {
    const RULE: Rule = Rule::new("replay.zero-dropped", &["ESP-002", "ESP-058"]);
    let mut scene = scene(cx, 64)?;
    let esp = numbered(cx, &mut scene, &inbound(1), 0)?;
    scene.expect_nothing(cx, &RULE, "number 0", Side::Wan, &[esp])?;
    scene.finish(cx)
}

fn over_a_rekey(cx: &mut Cx<'_>) -> Flow {
    const OLD: Rule = Rule::new("replay.window-outlives-rekey", &["ESP-058"]);
    const NEW: Rule = Rule::new("replay.window-of-its-own", &["ESP-058"]);
    let mut scene = scene(cx, 64)?;
    move_to(cx, &mut scene, &OLD, 500)?;
    let inner = inbound(1);
    let copy = scene.seal(cx, &inner)?;
    scene.expect_inner(cx, &OLD, "a packet of the old SA", &copy, &inner)?;
    let tek = successor(&mut scene, 3_600)?;
    let old = scene.push(cx, PushSpec::tek(tek))?;
    scene.expect_nothing(cx, &OLD, "its copy after a rekey", Side::Wan, &[copy])?;
    let mut old = cx.have(old, "there is no old SA")?;
    let inner = inbound(2);
    let esp = old.seal(cx.world, &inner).map_err(tester)?;
    scene.expect_inner(cx, &OLD, "the next packet of the old SA", &esp, &inner)?;
    // The controls have taken numbers 1 and 2 of the new SA.
    scene.expect_opened(cx, &NEW, "a low number of the new SA", &DataScene::inbound())?;
    scene.finish(cx)
}

fn nobody_asked(cx: &mut Cx<'_>) -> Flow {
    const RULE: Rule = Rule::new("replay.no-window-unasked", &["ESP-061"]);
    let mut scene = DataScene::standard(cx)?;
    let tek = scene.tek()?;
    let mut senders = [Sender::new(&tek).map_err(tester)?, Sender::new(&tek).map_err(tester)?];
    senders[0].seq = 50_000;
    let mut lost = 0;
    for round in 0..15 {
        for (n, sender) in (0_u16..).zip(&mut senders) {
            let esp = sender.seal(cx.world, &inbound(round * 2 + n)).map_err(tester)?;
            lost += u32::from(!came(cx, &mut scene, &esp)?);
        }
    }
    RULE.judge(cx, lost == 0, "30 packets of two senders pass", format!("{lost} lost"));
    scene.peer()?.seq = 60_000;
    scene.finish(cx)
}

/// Starts a member whose SA has 64-bit numbers.
fn extended(cx: &mut Cx<'_>) -> Flow<DataScene> {
    DataScene::with(
        cx,
        |_| {},
        |script| {
            script.group.replay = Replay::Counter { window: 64 };
            if let Some(tek) = script.group.teks.first_mut() {
                *tek = tek.clone().extended_sequence();
            }
        },
    )
}

/// Lets a packet with a 64-bit number arrive, which must pass.
fn long_number(cx: &mut Cx<'_>, scene: &mut DataScene, rule: &Rule, ident: u16, number: u64) -> Flow {
    let (high, low) = ((number >> 32) as u32, number as u32);
    let inner = inbound(ident);
    let esp = forged(cx, scene, &inner, &Forge::new().seq(low).esn_high(high))?.octets();
    scene.expect_inner(cx, rule, &format!("number {high:x}:{low:08x}"), &esp, &inner)?;
    Ok(())
}

fn low_half_wraps(cx: &mut Cx<'_>) -> Flow {
    const RULE: Rule = Rule::new("replay.low-half-wraps", &["ESP-062"]);
    let mut scene = extended(cx)?;
    let numbers =
        [0x1000, 0xffff_fff0, 0xffff_fffe, 0x1_0000_0003, 0xffff_fff8, 0x1_0000_0001, 0x1_0000_0004, 0x1_7fff_0000];
    for (ident, number) in (1..).zip(numbers) {
        long_number(cx, &mut scene, &RULE, ident, number)?;
    }
    let peer = scene.peer()?;
    (peer.seq_high, peer.seq) = (Some(1), 0x7fff_0001);
    let esp = forged(cx, &mut scene, &inbound(20), &Forge::new().seq(0x7fff_0000).esn_high(1))?.octets();
    scene.expect_nothing(cx, &RULE, "the last number again", Side::Wan, &[esp])?;
    scene.finish(cx)
}

fn before_the_first(cx: &mut Cx<'_>) -> Flow {
    const RULE: Rule = Rule::new("replay.nothing-before-the-first", &["ESP-063", "ESP-058"]);
    let mut scene = extended(cx)?;
    scene.expect_opened(cx, &RULE, "the first packets", &DataScene::inbound())?;
    let forge = Forge::new().seq(0xffff_fff0).esn_high(u32::MAX);
    let esp = forged(cx, &mut scene, &inbound(1), &forge)?.octets();
    let what = "a number of the round before the first";
    scene.expect_nothing(cx, &RULE, what, Side::Wan, &[esp])?;
    scene.finish(cx)
}

fn whole_round_lost(cx: &mut Cx<'_>) -> Flow {
    const RULE: Rule = Rule::new("replay.found-again", &["ESP-064"]);
    // How many failures make a member suspicious, and how soon it tries again, is its own business.
    const ROUNDS: u32 = 4;
    const PACKETS: u32 = 256;
    let mut scene = extended(cx)?;
    let esp = forged(cx, &mut scene, &inbound(1), &Forge::new().seq(0x1000).esn_high(0))?.octets();
    let passed = came(cx, &mut scene, &esp)?;
    cx.require(passed, "a packet with number 4096 does not pass")?;
    let mut seq = 0x2000;
    let (mut failed, mut found) = (0, false);
    for _ in 0..ROUNDS {
        for _ in 0..PACKETS {
            let esp = forged(cx, &mut scene, &inbound(2), &Forge::new().seq(seq).esn_high(1))?.octets();
            cx.world.inject(0, Side::Wan, esp)?;
            seq += 1;
        }
        failed += PACKETS;
        pass_time(cx, &mut scene, 2.0);
        let esp = forged(cx, &mut scene, &inbound(3), &Forge::new().seq(seq).esn_high(1))?.octets();
        seq += 1;
        found = came(cx, &mut scene, &esp)?;
        if found {
            break;
        }
    }
    let observed = match found {
        true => format!("passes after {failed} packets of the next round"),
        false => format!("not one of {failed} packets in {} s", ROUNDS * 2),
    };
    RULE.judge(cx, found, "it finds the number again and opens what follows", observed);
    let peer = scene.peer()?;
    (peer.seq_high, peer.seq) = if found { (Some(1), seq) } else { (Some(0), 0x1001) };
    scene.finish(cx)
}
