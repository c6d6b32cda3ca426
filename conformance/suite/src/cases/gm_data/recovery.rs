//! What a member does when packets come that it cannot open: at most one registration in an interval, and none that
//! costs it the keys that it has.

use hallmark_core::Instant;
use hallmark_probe::data::{Forge, group_spi};
use hallmark_probe::step::Step;

use super::marks::{came, forged, inbound, pass_time, stamped, successor, time};
use crate::Case;
use crate::cx::{Cx, Flow, Stop};
use crate::data::{DataScene, Rule};
use crate::setup::GROUP;

pub(crate) const CASES: &[Case] = &[
    case! {
        "DP-026", "data.recovery", Must, Gm,
        title: "a flood of unknown SPIs starts at most one registration in an interval",
        purpose: "Anyone can send such packets. Members that register for each of them bring their key server down.",
        requirements: ["DP-026"],
        sources: ["getvpn.md §5.4", "getvpn.md §6 P38"],
        catches: ["recovery_storm"],
        needs: [Datapath, Setup],
        cost: 120,
        run: storm,
    },
    case! {
        "DP-027", "data.recovery", Must, Gm,
        title: "an SPI of the group that a member missed leads it to the new keys, and costs it no traffic meanwhile",
        purpose: "A rekey that was lost is mended in seconds instead of at the end of the SA. The keys that it has still \
                  work for everybody else.",
        requirements: ["DP-027", "REG-021"],
        sources: ["getvpn.md §5.4"],
        catches: ["gm_recovery_drops_keys"],
        needs: [Datapath, Setup],
        cost: 120,
        run: missed_keys,
    },
    case! {
        "TBAR-019", "data.recovery", Must, Gm,
        title: "packets out of time start at most one registration in an interval",
        purpose: "A replayed stream is one packet out of time after the other; the member must not register for each.",
        requirements: ["TBAR-019"],
        sources: ["getvpn.md §4.4"],
        catches: ["recovery_storm"],
        needs: [Datapath, Setup],
        cost: 130,
        run: out_of_time,
    },
];

const INTERVAL_SECS: u64 = 100;

/// Counts the attempts to register that began at or after a time: phase 1 exchanges, and PULLs under one that was there.
fn attempts(scene: &DataScene, since: Instant) -> usize {
    let count = |step: Step| scene.scene.ks.log.since(since).filter(|seen| seen.step == step && !seen.repeat).count();
    count(Step::Main1).max(count(Step::Pull1))
}

fn one_an_interval(cx: &mut Cx<'_>, scene: &DataScene, rule: &Rule, since: Instant, after: &str) {
    let begun = attempts(scene, since);
    let secs = (cx.world.now() - since).as_secs();
    let observed = format!("{begun} attempts to register within {secs} s, after {after}");
    let allowed = 1 + usize::try_from(secs / INTERVAL_SECS).unwrap_or_default();
    rule.judge(cx, begun <= allowed, "at most one in each interval of 100 s", observed);
}

fn storm(cx: &mut Cx<'_>) -> Flow {
    const RULE: Rule = Rule::new("recovery.no-storm", &["DP-026"]);
    let mut scene = DataScene::with(cx, |setup| setup.recovery_interval_secs = Some(INTERVAL_SECS), |_| {})?;
    scene.expect_opened(cx, &RULE, "a regular packet before", &DataScene::inbound())?;
    let since = cx.world.now();
    let mut sent = 0_u32;
    for round in 0..30_u16 {
        // SPIs that look like the group's, and others.
        for n in 0..20_u16 {
            let any: [u8; 4] = cx.world.rng().octets();
            let any = u32::from_be_bytes(any) | 0x2000_0000;
            let spi = if n % 2 == 0 { group_spi(GROUP, any as u16) } else { any };
            let forge = Forge::new().spi(spi);
            let esp = forged(cx, &mut scene, &inbound(round * 20 + n), &forge)?.octets();
            cx.world.inject(0, hallmark_probe::world::Side::Wan, esp)?;
            sent += 1;
        }
        pass_time(cx, &mut scene, 2.0);
    }
    one_an_interval(cx, &scene, &RULE, since, &format!("{sent} packets with unknown SPIs"));
    scene.expect_opened(cx, &RULE, "a regular packet after", &DataScene::inbound())?;
    scene.finish(cx)
}

fn missed_keys(cx: &mut Cx<'_>) -> Flow {
    const KEEPS: Rule = Rule::new("recovery.keeps-its-keys", &["REG-021"]);
    const FINDS: Rule = Rule::new("recovery.finds-the-new-keys", &["DP-027"]);
    let mut scene = DataScene::with(cx, |setup| setup.recovery_interval_secs = Some(INTERVAL_SECS), |_| {})?;
    let before = scene.tek()?;
    // The group has gone on to a new TEK, and this member has heard nothing of it.
    let mut new = successor(&mut scene, 3_600)?;
    new.spi = group_spi(GROUP, 0x4711);
    scene.scene.ks.script.group.teks = vec![new.clone(), before.clone()];
    let registrations = scene.scene.ks.log.registrations;
    super::marks::silence_server(&mut scene);
    scene.send_under(&new)?;
    for ident in 1..=5 {
        let esp = scene.seal(cx, &inbound(ident))?;
        came(cx, &mut scene, &esp)?;
    }
    // While the server is slow, those who have the old key go on talking.
    scene.send_under(&before)?;
    for ident in 6..=8 {
        pass_time(cx, &mut scene, 4.0);
        let what = "the old SA while the member may be registering";
        scene.expect_opened(cx, &KEEPS, what, &DataScene::inbound().ident(ident))?;
        scene.expect_esp(cx, &KEEPS, what, &DataScene::outbound().ident(ident))?;
    }
    scene.scene.ks.answer_all();
    pass_time(cx, &mut scene, 60.0);
    let recovered = scene.scene.ks.log.registrations > registrations;
    cx.measure("registrations for an unknown SPI of the group", f64::from(u8::from(recovered)), "");
    // Whether it recovers is its own choice, but then it has to have the keys.
    if !recovered {
        scene.send_under(&before)?;
        scene.finish(cx)?;
        return Err(Stop::NotSupported("gm.recovery".to_owned(), "false".to_owned()));
    }
    scene.send_under(&new)?;
    scene.expect_opened(cx, &FINDS, "the new SA after the registration", &DataScene::inbound())?;
    scene.scene.ks.script.group.teks = vec![new];
    scene.finish(cx)
}

fn out_of_time(cx: &mut Cx<'_>) -> Flow {
    const RULE: Rule = Rule::new("recovery.no-storm-by-time", &["TBAR-019"]);
    let replay = time(cx, 4);
    let mut scene = DataScene::with(
        cx,
        |setup| setup.recovery_interval_secs = Some(INTERVAL_SECS),
        |script| script.group.replay = replay,
    )?;
    scene.expect_opened(cx, &RULE, "a fresh packet before", &DataScene::inbound())?;
    let since = cx.world.now();
    for ident in 0..40 {
        let esp = stamped(cx, &mut scene, &inbound(ident), -60_000)?;
        if came(cx, &mut scene, &esp)? {
            return Err(Stop::Inconclusive("a packet out of time passed".to_owned()));
        }
        pass_time(cx, &mut scene, 1.0);
    }
    one_an_interval(cx, &scene, &RULE, since, "40 packets out of time");
    scene.expect_opened(cx, &RULE, "a fresh packet after", &DataScene::inbound())?;
    scene.finish(cx)
}
