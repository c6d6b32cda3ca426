//! IP delivery delay detection: packets carry the wall clock, and those that took too long are dropped. The rules stand
//! in an expired draft only, so nothing here does more than warn, and nothing is judged near the edges of the window.

use hallmark_probe::data::{Forge, Replay, Stamp};
use hallmark_probe::world::Side;

use super::marks::{NEXT_V4, forged, inbound, pass_time, protected_by, wall_stamp};
use super::tbar::unanswered;
use crate::Case;
use crate::cx::{Cx, Flow};
use crate::data::{DataScene, Rule};

pub(crate) const CASES: &[Case] = &[
    case! {
        "D3PG-001", "data.replay", Should, Gm,
        title: "a packet without a delay detection header is dropped where the policy demands one",
        purpose: "A protection that is avoided by leaving it out is none.",
        requirements: ["ESP-092"],
        sources: ["draft-weis-delay-detection-03 §3"],
        catches: ["dp_d3p_missing_accepted"],
        needs: [Datapath, Setup],
        cost: 15,
        run: missing,
    },
    case! {
        "D3PG-002", "data.replay", Should, Gm,
        title: "a delay detection header that the policy knows nothing of is not forwarded",
        purpose: "The member would have to guess that something stands in front of the inner packet.",
        requirements: ["ESP-093"],
        sources: ["draft-weis-delay-detection-03 §3"],
        catches: ["dp_d3p_unexpected_accepted"],
        needs: [Datapath, Setup],
        cost: 15,
        run: unexpected,
    },
    case! {
        "D3PG-003", "data.replay", Should, Gm,
        title: "packets well inside the delay window pass, packets well outside are dropped",
        purpose: "A window that is not kept lets old packets through, or drops the traffic of every member with a slightly \
                  different clock.",
        requirements: ["ESP-094"],
        sources: ["draft-weis-delay-detection-03 §2.3"],
        catches: ["dp_d3p_not_checked"],
        needs: [Datapath, Setup],
        cost: 20,
        run: window,
    },
    case! {
        "D3PG-004", "data.replay", Should, Gm,
        title: "the delay window goes on where 32 bits of seconds wrap",
        purpose: "On that day such a member drops everything that is sent on the other side of the wrap.",
        requirements: ["ESP-094"],
        sources: ["draft-weis-delay-detection-03 §2.3"],
        catches: ["dp_d3p_no_wrap"],
        needs: [Datapath, Setup],
        cost: 25,
        run: wrap,
    },
    case! {
        "D3PG-005", "data.replay", Should, Gm,
        title: "a member sends delay detection headers of the right form with the time of day",
        purpose: "Receivers of any vendor read seconds and microseconds; anything else drops all of this member's traffic.",
        requirements: ["ESP-092", "ESP-094"],
        sources: ["draft-weis-delay-detection-03 §2"],
        catches: ["dp_stamp_missing", "dp_d3p_nanoseconds", "dp_d3p_length_wrong"],
        needs: [Datapath, Setup],
        cost: 20,
        run: sends,
    },
    case! {
        "D3PG-006", "data.replay", Should, Gm,
        title: "whether a packet was too old, too new or without a header cannot be seen from outside",
        purpose: "The draft asks for it: an answer would show an attacker the receiver's clock.",
        requirements: ["ESP-095", "ESP-098"],
        sources: ["draft-weis-delay-detection-03 §2.3"],
        catches: ["dp_answers_errors"],
        needs: [Datapath, Setup],
        cost: 25,
        run: silent,
    },
];

/// All of the window; half of it lies on either side.
const WINDOW_MS: u32 = 20_000;

fn scene(cx: &mut Cx<'_>) -> Flow<DataScene> {
    protected_by(cx, Replay::D3p { window_ms: WINDOW_MS })
}

/// Seals a packet whose header is so many milliseconds ahead of the wall clock.
fn delayed(cx: &mut Cx<'_>, scene: &mut DataScene, inner: &[u8], ahead_millis: i64) -> Flow<Vec<u8>> {
    let stamp = wall_stamp(cx, ahead_millis);
    Ok(forged(cx, scene, inner, &Forge::new().stamp(stamp, NEXT_V4))?.octets())
}

fn missing(cx: &mut Cx<'_>) -> Flow {
    const RULE: Rule = Rule::new("d3p.missing-dropped", &["ESP-092"]);
    let mut scene = scene(cx)?;
    let bare = Forge::new().stamp_octets(&[]).next_header(NEXT_V4);
    let esp = forged(cx, &mut scene, &inbound(1), &bare)?.octets();
    scene.expect_nothing(cx, &RULE, "a genuine packet without the header", Side::Wan, &[esp])?;
    scene.finish(cx)
}

fn unexpected(cx: &mut Cx<'_>) -> Flow {
    const RULE: Rule = Rule::new("d3p.unexpected-dropped", &["ESP-093"]);
    let mut scene = DataScene::standard(cx)?;
    let esp = delayed(cx, &mut scene, &inbound(1), 0)?;
    scene.expect_nothing(cx, &RULE, "the header in a group without", Side::Wan, &[esp])?;
    scene.finish(cx)
}

fn window(cx: &mut Cx<'_>) -> Flow {
    const IN: Rule = Rule::new("d3p.inside-accepted", &["ESP-094"]);
    const OUT: Rule = Rule::new("d3p.outside-dropped", &["ESP-094"]);
    let mut scene = scene(cx)?;
    for (ident, millis) in [(1, 0), (2, -6_000), (3, 6_000)] {
        let inner = inbound(ident);
        let esp = delayed(cx, &mut scene, &inner, millis)?;
        scene.expect_inner(cx, &IN, &format!("{millis:+} ms with a window of 20 s"), &esp, &inner)?;
    }
    // What lies between half of the window and all of it is read in different ways.
    for (ident, millis) in [(4, -30_000), (5, 30_000), (6, -86_400_000)] {
        let esp = delayed(cx, &mut scene, &inbound(ident), millis)?;
        scene.expect_nothing(cx, &OUT, &format!("{millis:+} ms with a window of 20 s"), Side::Wan, &[esp])?;
    }
    let inner = inbound(7);
    let esp = delayed(cx, &mut scene, &inner, -15_000)?;
    let passed = super::marks::came(cx, &mut scene, &esp)?;
    cx.measure("packets accepted 15 s late with a window of 20 s", f64::from(u8::from(passed)), "");
    scene.finish(cx)
}

fn wrap(cx: &mut Cx<'_>) -> Flow {
    const RULE: Rule = Rule::new("d3p.seconds-wrap", &["ESP-094"]);
    let mut scene = scene(cx)?;
    // 6 s before the wrap.
    let step = (1_i64 << 32) - 6 - cx.world.wall().as_secs();
    cx.world.step_wall(0, step)?;
    scene.peer()?.wall_ahead_secs = step;
    let ahead = |millis: i64| step * 1_000 + millis;
    let inner = inbound(1);
    let esp = delayed(cx, &mut scene, &inner, ahead(8_500))?;
    scene.expect_inner(cx, &RULE, "before the wrap, stamped behind it", &esp, &inner)?;
    pass_time(cx, &mut scene, 8.0);
    let inner = inbound(2);
    let esp = delayed(cx, &mut scene, &inner, ahead(-8_500))?;
    scene.expect_inner(cx, &RULE, "behind the wrap, stamped before it", &esp, &inner)?;
    let esp = delayed(cx, &mut scene, &inbound(3), ahead(-60_000))?;
    scene.expect_nothing(cx, &RULE, "60 s late, across the wrap", Side::Wan, &[esp])?;
    scene.finish(cx)
}

fn sends(cx: &mut Cx<'_>) -> Flow {
    const FORM: Rule = Rule::new("d3p.header-sent", &["ESP-092"]);
    const TIME: Rule = Rule::new("d3p.time-of-day-sent", &["ESP-094"]);
    let mut scene = scene(cx)?;
    for ident in 1..=6 {
        let seen = scene.expect_esp(cx, &FORM, "a packet", &DataScene::outbound().ident(ident))?;
        let Stamp::D3p { secs: own, .. } = wall_stamp(cx, 0) else { continue };
        let (ok, observed) = match seen.stamp {
            Some(Stamp::D3p { secs, micros }) => {
                let off = i64::from(secs) - i64::from(own);
                (off.abs() <= 3 && micros < 1_000_000, format!("{off:+} s off, {micros} microseconds"))
            }
            _ => (false, "no delay detection header".to_owned()),
        };
        TIME.judge(cx, ok, "seconds of now and less than 1000000 microseconds", observed);
        pass_time(cx, &mut scene, 1.37);
    }
    scene.finish(cx)
}

fn silent(cx: &mut Cx<'_>) -> Flow {
    const RULE: Rule = Rule::new("d3p.no-answer", &["ESP-095", "ESP-098"]);
    let mut scene = scene(cx)?;
    let bare = Forge::new().stamp_octets(&[]).next_header(NEXT_V4);
    for (what, millis) in [("too old", Some(-60_000)), ("too new", Some(60_000)), ("without a header", None)] {
        let esp = match millis {
            Some(millis) => delayed(cx, &mut scene, &inbound(1), millis)?,
            None => forged(cx, &mut scene, &inbound(1), &bare)?.octets(),
        };
        unanswered(cx, &mut scene, &RULE, what, &esp)?;
    }
    scene.finish(cx)
}
