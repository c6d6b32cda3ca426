//! From one SA to the next: both work side by side, and each ends when it is to.

use hallmark_core::{Duration, Instant};
use hallmark_probe::data::Sender;
use hallmark_probe::ks::{PushSpec, deletion};
use hallmark_probe::world::Side;
use hallmark_wire::gdoi::gap_attr;
use hallmark_wire::isakmp::Attribute;

use super::marks::{inbound, pass_time, silence_server, successor, tek_lives, tester};
use crate::Case;
use crate::cx::{Cx, Flow};
use crate::data::{Control, DataScene, OTHER_HOST, Rule};

pub(crate) const CASES: &[Case] = &[
    case! {
        "REKEY-016", "data.rollover", Must, Gm,
        title: "after a rekey the old SA opens packets until it ends",
        purpose: "The others go on sending on it until they change over. A member that cannot open it any more is cut off \
                  for all of the lead time.",
        requirements: ["REKEY-016", "ESP-090"],
        sources: ["RFC 5374 §4.2.1", "getvpn.md §6 P15"],
        catches: ["old_sa_dropped_on_rekey", "dp_old_sa_forgotten"],
        needs: [Datapath, Setup],
        cost: 120,
        run: old_sa_lives_on,
    },
    case! {
        "REKEY-017", "data.rollover", Must, Gm,
        title: "after a rekey the new SA opens packets at once",
        purpose: "Nobody knows which of the others changes over first.",
        requirements: ["REKEY-017", "ESP-091"],
        sources: ["RFC 5374 §4.2.1", "RFC 9838 §4.4.3.1.1"],
        catches: ["dp_new_sa_not_received_at_once"],
        needs: [Datapath],
        cost: 15,
        run: new_sa_at_once,
    },
    case! {
        "REKEY-018", "data.rollover", Must, Gm,
        title: "a member changes over to the new SA before the old one ends, and loses nothing",
        purpose: "On the old SA for too long nobody opens its packets; too early, those that got the rekey late cannot.",
        requirements: ["REKEY-018", "ESP-090"],
        sources: ["getvpn.md §3.8"],
        catches: ["dp_new_sa_never_used"],
        needs: [Datapath, Setup],
        cost: 120,
        run: changes_over,
    },
    case! {
        "REKEY-019", "data.rollover", Must, Gm,
        title: "three SAs for the same traffic open packets side by side",
        purpose: "With short lifetimes a third rekey comes before the first SA has ended; a member with room for two loses \
                  whoever is slow.",
        requirements: ["REKEY-019"],
        sources: ["getvpn.md §3.8"],
        catches: ["dp_three_sas_break"],
        needs: [Datapath],
        cost: 30,
        run: three_side_by_side,
    },
    case! {
        "ROLLG-001", "data.rollover", Must, Gm,
        title: "a member sends on the new SA after the activation delay and keeps the old one until the deactivation delay",
        purpose: "The delays are there so that everybody has the key before anybody uses it.",
        requirements: ["ESP-090", "ESP-091", "GDOI-PL-041", "GDOI-PL-042", "REKEY-030"],
        sources: ["RFC 6407 §5.4.1", "RFC 5374 §4.2.1"],
        catches: ["dp_new_sa_too_early", "dp_old_sa_past_end", "gm_atd_ignored", "gm_dtd_ignored"],
        needs: [Datapath, Setup],
        cost: 100,
        run: delays,
    },
    case! {
        "ROLLG-002", "data.rollover", Must, Gm,
        title: "an SA that has ended opens nothing any more",
        purpose: "A lifetime bounds what a lost key is good for; a member that goes on for ever gives it away.",
        requirements: ["ESP-090", "ESP-100"],
        sources: ["RFC 5374 §4.2.1", "RFC 4106 §10"],
        catches: ["dp_old_sa_past_end"],
        needs: [Datapath, Setup],
        cost: 130,
        run: ended,
    },
    case! {
        "POLICY-016", "data.rollover", Must, Gm,
        title: "an old SA whose life a rekey shortens ends when that says, without loss",
        purpose: "A change of policy is to take effect in minutes although the old keys would live for an hour.",
        requirements: ["POLICY-016"],
        sources: ["getvpn.md §3.9"],
        catches: ["dp_old_sa_past_end"],
        needs: [Datapath, Setup],
        cost: 130,
        run: shortened,
    },
    case! {
        "ROLLG-003", "data.rollover", Must, Gm,
        title: "replacing an SA at once ends the old one in both directions and starts the new one",
        purpose: "The operator asks for it when a device is stolen.",
        requirements: ["POLICY-017"],
        sources: ["getvpn.md §3.9"],
        catches: ["gm_deletes_after_installing"],
        needs: [Datapath],
        cost: 20,
        run: replaced_at_once,
    },
    case! {
        "ROLLG-004", "data.rollover", Must, Gm,
        title: "when all SAs are deleted the traffic that they carried stops, and does not go on in clear",
        purpose: "The delete is meant to cut someone off; a member that falls back to clear publishes the traffic instead.",
        requirements: ["POLICY-019"],
        sources: ["getvpn.md §3.10", "getvpn.md §5.6"],
        catches: ["dp_permit_without_sa_leaks"],
        needs: [Datapath],
        cost: 200,
        run: deleted,
    },
    case! {
        "DP-020", "data.rollover", Must, Gm,
        title: "when the keys have run out and no server answers, protected traffic stops in both directions",
        purpose: "A key server that is down for an hour must not turn a VPN into plain text.",
        requirements: ["DP-020", "FC-007"],
        sources: ["getvpn.md §5.6", "getvpn.md §6 P28"],
        catches: ["expired_sa_leak"],
        needs: [Datapath, Setup],
        cost: 300,
        run: expired,
    },
];

/// Gives the end of an SA that came at `born` and lives so many seconds.
fn end(born: Instant, secs: u64) -> Instant {
    born + Duration::from_secs(secs)
}

fn seconds_to(cx: &Cx<'_>, at: Instant) -> f64 {
    at.saturating_since(cx.world.now()).as_secs_f64()
}

/// Lets a packet of this sender arrive, which must pass.
fn opens(cx: &mut Cx<'_>, scene: &mut DataScene, rule: &Rule, what: &str, sender: &mut Sender, ident: u16) -> Flow {
    let inner = inbound(ident);
    let esp = sender.seal(cx.world, &inner).map_err(tester)?;
    scene.expect_inner(cx, rule, what, &esp, &inner)?;
    Ok(())
}

/// Lets a packet of this sender arrive, which must not pass.
fn refuses(cx: &mut Cx<'_>, scene: &mut DataScene, rule: &Rule, what: &str, sender: &mut Sender, ident: u16) -> Flow {
    let esp = sender.seal(cx.world, &inbound(ident)).map_err(tester)?;
    scene.expect_nothing(cx, rule, what, Side::Wan, &[esp])?;
    Ok(())
}

/// Sends a packet from the LAN and gives the SPI under which it left.
fn sent_under(cx: &mut Cx<'_>, scene: &mut DataScene, rule: &Rule, what: &str, ident: u16) -> Flow<u32> {
    Ok(scene.expect_esp(cx, rule, what, &DataScene::outbound().ident(ident))?.spi)
}

fn old_sa_lives_on(cx: &mut Cx<'_>) -> Flow {
    const RULE: Rule = Rule::new("rollover.old-sa-opens", &["REKEY-016", "ESP-090"]);
    let mut scene = DataScene::with(cx, |_| {}, |script| tek_lives(script, 100))?;
    let ends = end(cx.world.now(), 100);
    let new = successor(&mut scene, 3_600)?;
    let old = scene.push(cx, PushSpec::tek(new))?;
    let mut old = cx.have(old, "there is no old SA")?;
    let mut ident = 0;
    while seconds_to(cx, ends) > 6.0 {
        ident += 1;
        let what = format!("the old SA, {:.0} s before it ends", seconds_to(cx, ends));
        opens(cx, &mut scene, &RULE, &what, &mut old, ident)?;
        pass_time(cx, &mut scene, 6.0);
    }
    scene.finish(cx)
}

fn new_sa_at_once(cx: &mut Cx<'_>) -> Flow {
    const RULE: Rule = Rule::new("rollover.new-sa-opens-at-once", &["REKEY-017", "ESP-091"]);
    let mut scene = DataScene::standard(cx)?;
    for round in 0..3 {
        scene.rekey(cx)?;
        let what = format!("the first packet of the new SA after rekey {round}");
        scene.expect_opened(cx, &RULE, &what, &DataScene::inbound().ident(round))?;
    }
    scene.finish(cx)
}

fn changes_over(cx: &mut Cx<'_>) -> Flow {
    const LOSS: Rule = Rule::new("rollover.no-loss-outbound", &["REKEY-018", "ESP-090"]);
    const NEW: Rule = Rule::new("rollover.changes-over-in-time", &["REKEY-018"]);
    const OLD: Rule = Rule::new("rollover.never-sends-on-ended-sa", &["ESP-090"]);
    let mut scene = DataScene::with(cx, |_| {}, |script| tek_lives(script, 100))?;
    let ends = end(cx.world.now(), 100);
    let old = scene.tek()?.spi;
    let new = successor(&mut scene, 3_600)?;
    scene.push(cx, PushSpec::tek(new.clone()))?;
    let acknowledged = cx.world.now();
    let (mut ident, mut changed) = (0, None);
    while seconds_to(cx, ends) > 3.5 {
        ident += 1;
        let spi = sent_under(cx, &mut scene, &LOSS, "a packet between the rekey and the end", ident)?;
        if spi == new.spi && changed.is_none() {
            changed = Some(cx.world.now());
        }
        let step: f64 = if seconds_to(cx, ends) > 12.0 { 4.0 } else { 1.0 };
        pass_time(cx, &mut scene, step.min(seconds_to(cx, ends) - 2.5));
    }
    // Products differ in when they change; that it is before the end is what counts.
    let spi = sent_under(cx, &mut scene, &LOSS, "a packet just before the end", 900)?;
    let left = seconds_to(cx, ends);
    let word = if spi == old { "the old SA" } else { "the new SA" };
    NEW.judge(cx, spi == new.spi, "the new SA", format!("{left:.1} s before the end it sends on {word}"));
    if let Some(changed) = changed {
        cx.measure("change to the new SA after the rekey", (changed - acknowledged).as_secs_f64(), "s");
    }
    pass_time(cx, &mut scene, left + 2.0);
    for ident in 901..904 {
        let spi = sent_under(cx, &mut scene, &LOSS, "a packet after the end", ident)?;
        OLD.judge(cx, spi != old, "not the SA that has ended", format!("SPI {spi:08x}"));
    }
    scene.finish(cx)
}

fn three_side_by_side(cx: &mut Cx<'_>) -> Flow {
    const RULE: Rule = Rule::new("rollover.three-sas", &["REKEY-019"]);
    let mut scene = DataScene::standard(cx)?;
    let mut senders: Vec<Sender> = Vec::new();
    for _ in 0..2 {
        senders.extend(scene.rekey(cx)?);
        pass_time(cx, &mut scene, 2.0);
    }
    let newest = scene.tek()?;
    senders.push(Sender::new(&newest).map_err(tester)?);
    cx.require(senders.len() == 3, "there are not three SAs")?;
    for round in 0..3 {
        for (n, sender) in (1_u16..).zip(&mut senders) {
            let what = format!("SA {n} of 3, round {round}");
            opens(cx, &mut scene, &RULE, &what, sender, round * 3 + n)?;
        }
    }
    scene.finish(cx)
}

fn delays(cx: &mut Cx<'_>) -> Flow {
    const EARLY: Rule = Rule::new("rollover.not-before-activation", &["ESP-091", "GDOI-PL-041", "REKEY-030"]);
    const LATE: Rule = Rule::new("rollover.not-after-deactivation", &["ESP-090"]);
    const BOTH: Rule = Rule::new("rollover.both-open", &["ESP-090", "ESP-091"]);
    // Whether a replaced SA has to end with the delay is a SHOULD.
    const GONE: Rule = Rule::new("rollover.deactivated", &["GDOI-PL-042"]);
    const ACTIVATION: u16 = 30;
    const DEACTIVATION: u16 = 60;
    let mut scene = DataScene::standard(cx)?;
    let old_spi = scene.tek()?.spi;
    let new = successor(&mut scene, 3_600)?;
    let spec = PushSpec::tek(new.clone())
        .with_gap(Attribute::basic(gap_attr::ACTIVATION_TIME_DELAY, ACTIVATION))
        .with_gap(Attribute::basic(gap_attr::DEACTIVATION_TIME_DELAY, DEACTIVATION));
    let told = cx.world.now();
    let old = scene.push(cx, spec)?;
    let mut old = cx.have(old, "there is no old SA")?;
    let mut ident = 0;
    while seconds_to(cx, end(told, u64::from(ACTIVATION))) > 3.0 {
        ident += 1;
        let after = (cx.world.now() - told).as_secs_f64();
        let spi = sent_under(cx, &mut scene, &BOTH, "before the activation", ident)?;
        let word = if spi == new.spi { "the new SA" } else { "the old SA" };
        EARLY.judge(cx, spi == old_spi, "the old SA", format!("{after:.0} s after a rekey with 30 s: {word}"));
        opens(cx, &mut scene, &BOTH, &format!("the old SA after {after:.0} s"), &mut old, ident)?;
        scene.expect_opened(cx, &BOTH, &format!("the new SA after {after:.0} s"), &DataScene::inbound())?;
        pass_time(cx, &mut scene, 6.0);
    }
    let left = seconds_to(cx, end(told, u64::from(DEACTIVATION)));
    pass_time(cx, &mut scene, left - 4.0);
    opens(cx, &mut scene, &BOTH, "the old SA before the deactivation", &mut old, 50)?;
    pass_time(cx, &mut scene, 7.0);
    let spi = sent_under(cx, &mut scene, &LATE, "after the deactivation", 51)?;
    let word = if spi == old_spi { "the old SA" } else { "the new SA" };
    LATE.judge(cx, spi == new.spi, "the new SA", format!("3 s after the deactivation: {word}"));
    refuses(cx, &mut scene, &GONE, "the old SA 3 s after its deactivation", &mut old, 52)?;
    scene.finish(cx)
}

fn ended(cx: &mut Cx<'_>) -> Flow {
    const RULE: Rule = Rule::new("rollover.ended-sa-opens-nothing", &["ESP-090", "ESP-100"]);
    let mut scene = DataScene::with(cx, |_| {}, |script| tek_lives(script, 100))?;
    let ends = end(cx.world.now(), 100);
    let new = successor(&mut scene, 3_600)?;
    let old = scene.push(cx, PushSpec::tek(new))?;
    let mut old = cx.have(old, "there is no old SA")?;
    opens(cx, &mut scene, &RULE, "the old SA while it lives", &mut old, 1)?;
    let left = seconds_to(cx, ends);
    // The tolerance of every timing: 5 % and 5 s.
    pass_time(cx, &mut scene, left + 10.0);
    for ident in 2..4 {
        refuses(cx, &mut scene, &RULE, "the old SA 10 s after its end", &mut old, ident)?;
    }
    scene.finish(cx)
}

fn shortened(cx: &mut Cx<'_>) -> Flow {
    const LOSS: Rule = Rule::new("rollover.no-loss", &["POLICY-016"]);
    const ENDS: Rule = Rule::new("rollover.shortened-life-kept", &["POLICY-016"]);
    let mut scene = DataScene::standard(cx)?;
    let before = scene.tek()?;
    let new = successor(&mut scene, 3_600)?;
    let told = cx.world.now();
    let spec = PushSpec::tek(new.clone()).with_tek(before.clone().lifetime(90));
    let old = scene.push(cx, spec)?;
    let mut old = cx.have(old, "there is no old SA")?;
    let mut ident = 0;
    while seconds_to(cx, end(told, 90)) > 6.0 {
        ident += 1;
        sent_under(cx, &mut scene, &LOSS, "a packet from the LAN", ident)?;
        opens(cx, &mut scene, &LOSS, "a packet of the old SA", &mut old, ident)?;
        scene.expect_opened(cx, &LOSS, "a packet of the new SA", &DataScene::inbound().ident(ident))?;
        pass_time(cx, &mut scene, 5.0);
    }
    let left = seconds_to(cx, end(told, 90));
    pass_time(cx, &mut scene, left + 9.5);
    let spi = sent_under(cx, &mut scene, &LOSS, "a packet after the shortened life", 500)?;
    let word = if spi == before.spi { "the old SA" } else { "the new SA" };
    ENDS.judge(cx, spi == new.spi, "the new SA", format!("9.5 s after the shortened life of 90 s: {word}"));
    refuses(cx, &mut scene, &ENDS, "the old SA 9.5 s after its shortened life", &mut old, 501)?;
    scene.finish(cx)
}

fn replaced_at_once(cx: &mut Cx<'_>) -> Flow {
    const OUT: Rule = Rule::new("rollover.replaced-outbound", &["POLICY-017"]);
    const IN: Rule = Rule::new("rollover.replaced-inbound", &["POLICY-017"]);
    let mut scene = DataScene::standard(cx)?;
    let before = scene.tek()?;
    let new = successor(&mut scene, 3_600)?;
    let spec = PushSpec::tek(new.clone()).with_delete(deletion(1, vec![vec![0; 4]]));
    let old = scene.push(cx, spec)?;
    let mut old = cx.have(old, "there is no old SA")?;
    let spi = sent_under(cx, &mut scene, &OUT, "a packet from the LAN", 1)?;
    let word = if spi == before.spi { "the old SA" } else { "the new SA" };
    OUT.judge(cx, spi == new.spi, "the new SA", format!("after the acknowledgement: {word}"));
    scene.expect_opened(cx, &IN, "a packet of the new SA", &DataScene::inbound())?;
    refuses(cx, &mut scene, &IN, "a packet of the deleted SA", &mut old, 2)?;
    scene.finish(cx)
}

/// Gives packets that no policy speaks of: they pass whatever keys there are.
fn bystanders() -> Control {
    let [out, back] = [DataScene::outbound(), DataScene::inbound()];
    let (lan, wan) = (crate::data::LAN_HOST, OTHER_HOST);
    Control::InClear { out: out.between(lan, wan), back: back.between(wan, lan) }
}

/// Judges that traffic of the permit class passes in neither direction, protected or not.
fn stopped(cx: &mut Cx<'_>, scene: &mut DataScene, rule: &Rule, when: &str, old: &mut Sender) -> Flow {
    // A leak would be the first packet or one of many: a member may forward what it has cached.
    let packets: Vec<Vec<u8>> = (1..=5).map(|ident| DataScene::outbound().ident(ident).octets()).collect();
    scene.expect_nothing(cx, rule, &format!("5 packets from the LAN {when}"), Side::Lan, &packets)?;
    let esp = old.seal(cx.world, &inbound(6)).map_err(tester)?;
    scene.expect_nothing(cx, rule, &format!("a packet of the old SA {when}"), Side::Wan, &[esp])?;
    Ok(())
}

fn deleted(cx: &mut Cx<'_>) -> Flow {
    const RULE: Rule = Rule::grave("rollover.deleted-means-stopped", &["POLICY-019"]);
    let mut scene = DataScene::standard(cx)?;
    scene.expect_esp(cx, &RULE, "a packet before", &DataScene::outbound())?;
    silence_server(&mut scene);
    let tek = scene.tek()?;
    let mut old = Sender::new(&tek).map_err(tester)?;
    let spec = PushSpec::delete(deletion(1, vec![vec![0; 4]]));
    opens(cx, &mut scene, &RULE, "a packet of the SA before", &mut old, 1)?;
    let push = scene.scene.push(cx, spec)?;
    let acked = scene.scene.ack(cx, &push).is_some();
    cx.require(acked, "the Delete was not acknowledged")?;
    scene.control = bystanders();
    stopped(cx, &mut scene, &RULE, "after the Delete", &mut old)?;
    // Whether it registers by itself or waits for a rekey is its own choice.
    scene.scene.ks.answer_all();
    scene.control = Control::Protected;
    let fresh = successor(&mut scene, 3_600)?;
    scene.push(cx, PushSpec::tek(fresh))?;
    scene.finish(cx)
}

fn expired(cx: &mut Cx<'_>) -> Flow {
    const RULE: Rule = Rule::grave("rollover.expired-means-stopped", &["DP-020", "FC-007"]);
    let mut scene = DataScene::with(cx, |_| {}, |script| tek_lives(script, 90))?;
    let ends = end(cx.world.now(), 90);
    let tek = scene.tek()?;
    let mut old = Sender::new(&tek).map_err(tester)?;
    scene.expect_esp(cx, &RULE, "a packet before", &DataScene::outbound())?;
    opens(cx, &mut scene, &RULE, "a packet of the SA before", &mut old, 1)?;
    silence_server(&mut scene);
    let left = seconds_to(cx, ends);
    pass_time(cx, &mut scene, left + 10.0);
    scene.control = bystanders();
    stopped(cx, &mut scene, &RULE, "after the end of its keys", &mut old)?;
    returns(cx, &mut scene)
}

/// Lets the server answer again: the member must come back, and its traffic with it.
fn returns(cx: &mut Cx<'_>, scene: &mut DataScene) -> Flow {
    let fresh = successor(scene, 3_600)?;
    scene.scene.ks.script.group.teks = vec![fresh];
    scene.control = Control::Protected;
    scene.register(cx)?;
    scene.finish(cx)
}
