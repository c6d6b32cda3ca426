//! When a registered member registers again, and what it keeps meanwhile.

use hallmark_core::Duration;
use hallmark_probe::edit;
use hallmark_probe::ks::Reply;
use hallmark_probe::step::Step;
use hallmark_probe::tamper::Tamper;
use hallmark_wire::isakmp::PayloadType;

use super::kit::{Bench, brisk, tek_life};
use crate::Case;
use crate::cx::{Cx, Flow, Stop};

pub(crate) const CASES: &[Case] = &[
    case! {
        "REG-013", "gdoi.lifetime", Must, Gm,
        title: "a member registers again before the lifetime that it was given ends",
        purpose: "A late joiner gets keys with little life left. When no rekey comes, it must have new ones before \
                  the old ones end, or its traffic stops.",
        requirements: ["REG-013", "GDOI-PUSH-057", "GDOI-PULL-069"],
        sources: ["RFC 8263 §4", "getvpn.md §3.11"],
        catches: ["gm_never_reregisters", "gm_reregisters_late"],
        needs: [Setup],
        cost: 140,
        run: remaining_lifetime,
    },
    case! {
        "REG-014", "gdoi.lifetime", Must, Gm,
        title: "the keys of the group outlive phase 1",
        purpose: "Phase 1 ends after minutes and is not renewed; a member that takes that for the end of its keys \
                  drops the traffic of the group several times a day.",
        requirements: ["REG-014", "GDOI-PULL-069"],
        sources: ["RFC 6407 §2", "getvpn.md P34"],
        catches: ["gdoi_idle_required"],
        needs: [Setup],
        cost: 150,
        run: phase1_ends,
    },
    case! {
        "REG-021", "gdoi.lifetime", Must, Gm,
        title: "a member keeps its keys while it registers again",
        purpose: "A slow server takes many seconds to answer; traffic must not wait for it.",
        requirements: ["REG-021", "GDOI-PULL-069"],
        sources: ["RFC 6407 §3.3"],
        catches: ["gm_drops_keys_first"],
        needs: [Setup],
        cost: 90,
        run: slow_server,
    },
    case! {
        "PULLG-064", "gdoi.lifetime", Should, Gm,
        title: "a registration that fails leaves the keys as they are",
        purpose: "The keys are good until they end. A member that throws them away when a server misbehaves turns a \
                  harmless mistake into an outage.",
        requirements: ["GDOI-PULL-064", "GDOI-PULL-069"],
        sources: ["RFC 6407 §3.3"],
        catches: ["gm_drops_sas_on_failure"],
        needs: [Setup],
        cost: 90,
        run: failed_registration,
    },
];

fn remaining_lifetime(cx: &mut Cx<'_>) -> Flow {
    let mut bench = Bench::with(
        cx,
        |setup| {
            (setup.min_interval_secs, setup.reregister_lead_secs, setup.reregister_jitter_secs) = (5, 60, 0);
        },
        |script| tek_life(script, 120),
    )?;
    bench.register(cx)?;
    let start = cx.world.now();
    let again = bench.registers_within(cx, 240);
    let after = cx.world.now().saturating_since(start).as_secs_f64();
    cx.measure("seconds until the member registered again", after, "s");
    let in_time = again && after < 120.0;
    let observed = if again { format!("after {after:.0} s") } else { "not within 240 s".to_owned() };
    let rule = ["REG-013", "GDOI-PUSH-057"];
    cx.check("pull.registers-in-time", &rule, in_time, "a registration before the 120 s are over", &observed);
    // The setup says 60 s before the end; half as much again is a member's own caution, all the rest is load.
    let early = again && after < 20.0;
    cx.check(
        "pull.registers-not-at-once",
        &["REG-013"],
        !early,
        "the first 20 s without another registration",
        observed,
    );
    if !again {
        bench.restart(cx)?;
    }
    bench.finish(cx)
}

fn phase1_ends(cx: &mut Cx<'_>) -> Flow {
    let mut bench = Bench::with(cx, |setup| setup.phase1.lifetime_secs = 60, |_| {})?;
    bench.register(cx)?;
    let before = bench.ks().log.count(Step::Main1) + bench.ks().log.count(Step::Aggressive1);
    let rule = ["REG-014"];
    bench.ks().serve_for(cx.world, Duration::from_secs(90));
    let acked = bench.takes_next_push(cx)?;
    let observed = if acked { "acknowledged" } else { "no acknowledgement" };
    cx.grave("pull.keys-outlive-phase1", &rule, acked, "a PUSH after the end of phase 1 is acknowledged", observed);
    // A server may also close phase 1 as soon as the keys are handed out.
    if bench.ks().delete_sa(cx.world).is_ok() {
        bench.ks().serve_for(cx.world, Duration::from_secs(5));
        let acked = bench.takes_next_push(cx)?;
        let observed = if acked { "acknowledged" } else { "no acknowledgement" };
        let expected = "a PUSH after the Delete of phase 1 is acknowledged";
        cx.grave("pull.keys-outlive-delete", &rule, acked, expected, observed);
    }
    let begun = bench.ks().log.count(Step::Main1) + bench.ks().log.count(Step::Aggressive1) - before;
    let observed = format!("{begun} begun");
    cx.silence("pull.no-phase1-for-its-own-sake", &rule, begun == 0, "no phase 1 without a need", observed);
    bench.finish(cx)
}

fn slow_server(cx: &mut Cx<'_>) -> Flow {
    let mut bench = Bench::with(cx, brisk, |script| tek_life(script, 60))?;
    bench.register(cx)?;
    let slow = Reply::Delay(Duration::from_secs(10));
    for step in [Step::Main2, Step::Main4, Step::Main6, Step::Pull2, Step::Pull4] {
        bench.ks().reply(step, slow);
    }
    // It asks for new keys before the old ones end; while it waits for the answer, a PUSH under the old KEK comes.
    let begun = bench.ks().log.entries.len();
    let deadline = cx.in_secs(90);
    let asked = bench.ks().serve(cx.world, &mut |log| log.entries.len() > begun, deadline);
    cx.require(asked, "the member did not register again although its keys end")?;
    let registrations = bench.ks().log.registrations;
    let acked = bench.takes_next_push(cx)?;
    let during = bench.ks().log.registrations == registrations;
    cx.require(during, "the registration was over before the PUSH was acknowledged")?;
    let observed = if acked { "acknowledged" } else { "no acknowledgement" };
    let expected = "a PUSH during the registration is acknowledged";
    cx.check("pull.keys-kept-meanwhile", &["REG-021"], acked, expected, observed);
    bench.finish(cx)
}

fn failed_registration(cx: &mut Cx<'_>) -> Flow {
    let mut bench = Bench::with(cx, brisk, |script| tek_life(script, 60))?;
    bench.register(cx)?;
    bench.ks().tamper(Step::Pull2, Tamper::content(|m| edit::gdoi_sa(m, |sa| sa.doi = 1)));
    judge(cx, &mut bench, Step::Pull1, "a policy that cannot be used")?;
    bench.ks().untamper();
    bench.ks().tamper(Step::Pull4, Tamper::content(|m| edit::remove(m, PayloadType::KEY_DOWNLOAD)));
    judge(cx, &mut bench, Step::Pull3, "a message 4 without keys")?;
    bench.finish(cx)
}

/// Waits until the member has asked again and been disappointed, and pushes under the keys from before.
fn judge(cx: &mut Cx<'_>, bench: &mut Bench, request: Step, what: &str) -> Flow {
    if request == Step::Pull1 {
        bench.request(cx)?;
    } else {
        bench.completion(cx)?;
    }
    bench.ks().serve_for(cx.world, Duration::from_secs(2));
    let acked = bench.takes_next_push(cx)?;
    let observed = format!("{what}: {}", if acked { "acknowledged" } else { "no acknowledgement" });
    let expected = "a PUSH under the keys from before is acknowledged";
    let kept = cx.check("pull.keys-kept", &["GDOI-PULL-064"], acked, expected, observed);
    if kept { Ok(()) } else { Err(Stop::Judged) }
}
