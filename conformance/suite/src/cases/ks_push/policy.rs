//! What a key server does when an operator changes its policy or its members, and when phase 1 SAs end.

use hallmark_catalogue::{Check, Confidence, Level};
use hallmark_probe::gm::{ProbeGm, Push, Registration};
use hallmark_probe::group::{Flow as Entry, Tek};
use hallmark_probe::step::Step;
use hallmark_wire::gdoi::tek_attr;
use hallmark_wire::isakmp::ExchangeType;
use serde_json::{Value, json};

use super::kit::{SOON, member, pushes_for, quick};
use crate::Case;
use crate::cx::{Cx, Flow};
use crate::scene::KsScene;
use crate::setup::{GROUP, KsSetup, ip_identity};

pub(crate) const CASES: &[Case] = &[
    case! {
        "POLICY-014", "gdoi.push", Should, Ks,
        title: "a changed policy waits for the next rekey, and members that join until then get the old one",
        purpose: "An operator edits an access list in several steps. A server that pushes each of them rekeys a thousand \
                  members every time; one that hands out the new list with the old keys splits the group.",
        requirements: ["POLICY-014"],
        sources: ["getvpn.md §3.9", "getvpn.md §9.2"],
        catches: ["ks_policy_change_pushes", "ks_policy_change_served_early", "ks_policy_change_lost"],
        needs: [Console, Setup],
        cost: 130,
        run: change_waits,
    },
    case! {
        "REKEY-034", "gdoi.lifetime", Must, Ks,
        title: "a changed TEK lifetime is that of the next TEK",
        purpose: "Members have been told how long the TEK in use lives. A server that thinks otherwise lets it end before \
                  they know of another.",
        requirements: ["REKEY-034"],
        sources: ["getvpn.md §3.9", "getvpn.md §9.3"],
        catches: ["ks_lifetime_change_hits_old_tek", "ks_policy_change_lost"],
        needs: [Console, Setup],
        cost: 130,
        run: lifetime_changes,
    },
    case! {
        "POLICY-020", "gdoi.push", Must, Ks,
        title: "a member that an operator has removed and refused gets no rekey and no keys",
        purpose: "That is what removing a stolen device means. A server that goes on sending to it has removed a line of its \
                  own display.",
        requirements: ["POLICY-020"],
        sources: ["getvpn.md §3.10", "getvpn.md §9.2"],
        catches: ["ks_removed_still_pushed", "ks_authorization_unchecked"],
        needs: [Console],
        cost: 40,
        run: removed_for_good,
    },
    case! {
        "REG-015", "gdoi.phase1", Must, Ks,
        title: "rekeys go on when the phase 1 SA has ended, and the server does not make another",
        purpose: "Phase 1 serves the registration only. A server that needs it for rekeys loses every member a day after it \
                  came.",
        requirements: ["REG-015"],
        sources: ["getvpn.md §9.1"],
        catches: ["ks_push_needs_phase1"],
        needs: [Setup],
        cost: 130,
        run: phase1_ends,
    },
];

const OLD: &str = "permit ip 10.1.0.0/16 10.2.0.0/16";
const NEW: &str = "permit ip 10.7.0.0/16 10.8.0.0/16";

/// Tells the server something that it has to obey.
fn operator(cx: &mut Cx<'_>, request: &Value) -> Flow {
    let answer = cx.world.command(0, &request.to_string())?;
    let ok = serde_json::from_str::<Value>(&answer).is_ok_and(|answer| answer.get("ok") == Some(&Value::Bool(true)));
    let cmd = request.get("cmd").cloned().unwrap_or_default();
    cx.require(ok, format!("the console refused {cmd}: {answer}"))
}

/// Writes the sources of the flows of TEKs.
fn sources(teks: &[Tek]) -> Vec<String> {
    let flows: Vec<&Entry> = teks.iter().flat_map(|tek| &tek.flows).collect();
    let subnet =
        |flow: &&Entry| flow.src.subnet().map_or_else(|| "?".to_owned(), |(net, bits)| format!("{net}/{bits}"));
    flows.iter().map(subnet).collect()
}

fn life(tek: Option<&Tek>) -> Option<u64> {
    tek.and_then(|tek| tek.attributes.uint(tek_attr::LIFE_DURATION))
}

/// Changes the policy of a quick group 5 s after its first member came, watches for 15 s, and lets a second member
/// register then. Gives the scene, what was pushed meanwhile, and the second registration.
fn changed(cx: &mut Cx<'_>, change: impl FnOnce(&mut KsSetup)) -> Flow<(KsScene, ProbeGm, Vec<Push>, Registration)> {
    let mut setup = quick(cx);
    setup.tek().acl = vec![OLD.to_owned()];
    let scene = KsScene::start(cx, setup.clone())?;
    let mut first = member(cx, &scene, 0)?;
    cx.wait_secs(5);
    change(&mut setup);
    operator(cx, &json!({ "cmd": "replace-policy", "policy": setup.group().to_toml() }))?;
    let early = pushes_for(cx, &mut first, 15);
    let (_, second) = scene.register(cx, 1)?;
    Ok((scene, first, early, second))
}

fn change_waits(cx: &mut Cx<'_>) -> Flow {
    // Servers older than the trigger push such a change at once, and no standard speaks of it: this can only warn.
    let rule = |cx: &Cx<'_>, id: &str| Check::new(id, &["POLICY-014"]).level(Level::Should).at(cx.world.now());
    let (scene, mut first, early, second) = changed(cx, |setup| setup.tek().acl = vec![NEW.to_owned()])?;
    let observed = format!("{} rekeys within 15 s of the change", early.len());
    // That rekeys come at all shows below.
    let check = rule(cx, "policy.change-does-not-push");
    let known = Confidence::WireAndControl;
    cx.record(check.silence(early.is_empty(), "no rekey before its time".to_owned(), observed, known));
    let served = sources(&second.teks);
    let observed = format!("a new member gets {}", served.join(", "));
    let check = rule(cx, "policy.old-until-rekey");
    cx.record(check.saw(served == ["10.1.0.0/16"], "the old list", observed));
    let push = scene.push(cx, &mut first, SOON)?;
    let pushed = sources(&push.teks);
    let observed = format!("the rekey brings {}", pushed.join(", "));
    let check = rule(cx, "policy.new-with-rekey");
    cx.record(check.saw(pushed.contains(&"10.7.0.0/16".to_owned()), "the new list", observed));
    scene.finish(cx)
}

fn lifetime_changes(cx: &mut Cx<'_>) -> Flow {
    const RULES: &[&str] = &["REKEY-034"];
    const NEW_LIFE: u64 = 90;
    let (scene, mut first, _, second) = changed(cx, |setup| setup.tek().lifetime_secs = NEW_LIFE)?;
    let left = life(second.teks.first());
    // 20 s of 120 s have gone; a server may tell what is left, or the whole.
    let unaffected = left.is_some_and(|left| left >= NEW_LIFE);
    let observed = format!("a new member is told {left:?} s about 20 s after the TEK was made");
    cx.check("policy.old-life-stays", RULES, unaffected, "what is left of 120 s", observed);
    let old = second.teks.first().map(|tek| tek.spi);
    let push = scene.push(cx, &mut first, SOON)?;
    let fresh = life(push.teks.iter().find(|tek| Some(tek.spi) != old));
    let ok = fresh.is_some_and(|fresh| fresh.abs_diff(NEW_LIFE) <= 5);
    cx.check("policy.new-life-with-rekey", RULES, ok, "90 s", format!("the next TEK lives {fresh:?} s"));
    scene.finish(cx)
}

fn removed_for_good(cx: &mut Cx<'_>) -> Flow {
    const RULES: &[&str] = &["POLICY-020"];
    let scene = KsScene::standard(cx)?;
    let mut stays = member(cx, &scene, 0)?;
    let mut goes = member(cx, &scene, 1)?;
    let identity = ip_identity(goes.script.me.ip());
    for cmd in ["revoke", "remove-member"] {
        operator(cx, &json!({ "cmd": cmd, "group": GROUP, "identity": identity }))?;
    }
    let exclusion = pushes_for(cx, &mut stays, 8);
    operator(cx, &json!({ "cmd": "rekey", "group": GROUP }))?;
    let push = scene.push(cx, &mut stays, 10)?;
    cx.world.note(&format!(
        "the member that stays got {} rekeys for the removal and number {:?} after it",
        exclusion.len(),
        push.seq
    ));
    // Copies for whoever does not acknowledge come 10 s apart.
    let pushed = pushes_for(cx, &mut goes, 12);
    let observed = format!("{} rekeys to the removed member", pushed.len());
    cx.silence("policy.removed-gets-no-rekey", RULES, pushed.is_empty(), "none", observed);
    goes.script.patience = hallmark_core::Duration::from_secs(8);
    let result = goes.register(cx.world);
    let keys = result.is_ok() || goes.log.iter().any(|seen| seen.step == Step::Pull4 && seen.at > push.at);
    let observed = result.as_ref().map_or_else(ToString::to_string, |_| "it registered".to_owned());
    cx.silence("policy.removed-gets-no-keys", RULES, !keys, "no message 4", format!("it registers again: {observed}"));
    scene.finish(cx)
}

fn phase1_ends(cx: &mut Cx<'_>) -> Flow {
    const RULES: &[&str] = &["REG-015"];
    const PHASE1: u64 = 40;
    let mut setup = quick(cx);
    setup.phase1.lifetime_secs = PHASE1;
    let scene = KsScene::start(cx, setup)?;
    let mut gm = member(cx, &scene, 0)?;
    let from = gm.log.len();
    let deadline = cx.in_secs(SOON);
    let push = gm.await_push(cx.world, deadline);
    let observed = match &push {
        Some(push) => format!("rekey number {:?}", push.seq),
        None => format!("none in {SOON} s"),
    };
    cx.check("push.outlives-phase1", RULES, push.is_some(), "a rekey after the phase 1 SA has ended", observed);
    let asked = gm
        .log
        .get(from..)
        .unwrap_or_default()
        .iter()
        .filter(|seen| matches!(seen.header.exchange, ExchangeType::MAIN | ExchangeType::AGGRESSIVE));
    let asked = asked.count();
    let observed = format!("{asked} messages of phase 1 after the registration");
    cx.check("phase1.not-renewed-by-server", RULES, asked == 0, "none: members come by themselves", observed);
    scene.finish(cx)
}
