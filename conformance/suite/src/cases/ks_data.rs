//! What a key server tells its members about their data plane. RFC 6407 has no form for it and those of the vendors are
//! not public, so this is judged in the reference's own form, at key servers that speak it.

use hallmark_core::{Duration, Instant, Pseudotime};
use hallmark_probe::ProbeGm;
use hallmark_probe::gm::{Push, Registration};
use hallmark_probe::world::{Role, Unavailable};
use hallmark_wire::gdoi::{DataPolicy, GdoiSa, ReplayPolicy, TekBody};

use crate::Case;
use crate::cx::{Cx, Flow, Stop};
use crate::data::Rule;
use crate::scene::KsScene;
use crate::setup::{KsSetup, Replay};

pub(crate) const CASES: &[Case] = &[
    case! {
        "TBAR-016", "data.tbar", Should, Ks,
        title: "every rekey tells the clock of the group, which goes on with time",
        purpose: "Rekeys are what keeps the clocks of the members together. One without the time, or with that of the last \
                  registration, lets them drift apart or throws them back.",
        requirements: ["TBAR-016"],
        sources: ["getvpn.md §4.1"],
        catches: ["ks_pseudotime_zero", "ks_pseudotime_frozen", "ks_pseudotime_missing_in_push"],
        needs: [Setup],
        cost: 340,
        run: clock_in_every_push,
    },
    case! {
        "TBAR-017", "data.tbar", Must, Ks,
        title: "the clock of the group starts with the first registration and is the same for all members",
        purpose: "Members that were told different clocks refuse each other's packets.",
        requirements: ["TBAR-017"],
        sources: ["getvpn.md §4.1"],
        catches: ["ks_pseudotime_wallclock", "ks_pseudotime_zero"],
        needs: [Setup],
        cost: 110,
        run: clock_of_all,
    },
    case! {
        "KSDATA-004", "data.tbar", Should, Ks,
        title: "the clock of the group does not follow the wall clock of its server",
        purpose: "A correction of the server's clock by NTP would cut every member off that is not rekeyed in that second.",
        requirements: ["TBAR-016"],
        sources: ["getvpn.md §4.1"],
        catches: ["ks_pseudotime_wallclock"],
        needs: [Setup],
        cost: 20,
        run: wall_clock_steps,
    },
    case! {
        "TBAR-020", "data.tbar", Must, Ks,
        title: "IP-D3P and time-based replay protection are not configured together",
        purpose: "Both want the place in front of the inner packet; members of such a group drop everything.",
        requirements: ["TBAR-020"],
        sources: ["getvpn.md §4.6", "getvpn.md §6 P32"],
        catches: ["d3p_cmd_coexist"],
        needs: [Setup],
        cost: 10,
        run: exclusive,
    },
    case! {
        "KSDATA-001", "data.replay", Must, Ks,
        title: "the replay protection that is told is the one that is configured, window and all",
        purpose: "Counters instead of time drop all members but one as soon as three of them send.",
        requirements: ["OWN-001"],
        sources: ["getvpn.md §4.2", "getvpn.md §6 P33"],
        catches: ["tbar_counter_collision"],
        needs: [Setup],
        cost: 150,
        run: method_and_window,
    },
    case! {
        "KSDATA-002", "data.policy", Must, Ks,
        title: "deny entries are told, each in its place between the permits",
        purpose: "The first entry that matches decides. A deny that comes behind the permit that it is an exception from \
                  does nothing: the routing protocol is encrypted, and the network is gone.",
        requirements: ["OWN-002"],
        sources: ["getvpn.md §5.3"],
        catches: ["ks_deny_order_lost", "ks_deny_left_out"],
        needs: [Setup],
        cost: 110,
        run: entries_in_order,
    },
    case! {
        "KSDATA-003", "data.policy", Must, Ks,
        title: "receive-only is told in registrations and in rekeys",
        purpose: "A rekey that leaves it out switches half of the group over before its time.",
        requirements: ["OWN-003"],
        sources: ["getvpn.md §5.5"],
        catches: ["ks_receive_only_missing_in_push"],
        needs: [Setup],
        cost: 110,
        run: direction_told,
    },
];

/// How far a clock may be off, in seconds: the way of the message. The sheet's 0.5 s are advice.
const TOLERANCE_SECS: f64 = 1.5;

/// Makes a group whose TEK lives 120 s and is replaced about 75 s after it was made.
fn quick(cx: &Cx<'_>) -> KsSetup {
    let mut setup = KsSetup::standard(cx.world);
    setup.tek().lifetime_secs = 120;
    setup.group().tek_lead_floor_secs = 20;
    setup
}

/// Seconds within which a quick group rekeys.
const SOON: u64 = 110;

/// Reads what a message says about the data plane.
fn told(cx: &Cx<'_>, sa: Option<&GdoiSa>) -> Flow<DataPolicy> {
    let Some(gap) = sa.and_then(GdoiSa::gap) else { return Ok(DataPolicy::default()) };
    let read = DataPolicy::read(&gap.attributes).ok();
    cx.have(read, "the message has an attribute about the data plane that is not of the known form")
}

/// Demands that the first registration speaks of the data plane in the reference's own form. No text gives a form for
/// it: a key server that tells nothing in this one has another, and only what it leaves out later can be judged.
fn speaks(cx: &Cx<'_>, registration: &Registration) -> Flow {
    match told(cx, Some(&registration.policy))? == DataPolicy::default() {
        true => Err(Stop::NotSupported("ks.gap.data-policy".to_owned(), "false".to_owned())),
        false => Ok(()),
    }
}

/// Gives the clock that a registration told, in seconds.
fn clock_of(cx: &Cx<'_>, registration: &Registration) -> Flow<Option<f64>> {
    Ok(told(cx, Some(&registration.policy))?.pseudotime.map(Pseudotime::secs))
}

/// Registers a member that acknowledges rekeys, and gives the time at which message 2 came, which tells the policy.
fn member(cx: &mut Cx<'_>, scene: &KsScene, n: u8) -> Flow<(ProbeGm, Registration, Instant)> {
    let (mut member, registration) = scene.register(cx, n)?;
    member.script.auto_ack = true;
    let at = registration.message2.at;
    Ok((member, registration, at))
}

fn next_push(cx: &mut Cx<'_>, scene: &KsScene, member: &mut ProbeGm) -> Flow<Push> {
    scene.push(cx, member, SOON)
}

fn clock_in_every_push(cx: &mut Cx<'_>) -> Flow {
    const THERE: Rule = Rule::new("ks-data.clock-in-push", &["TBAR-016"]);
    const GOES_ON: Rule = Rule::new("ks-data.clock-goes-on", &["TBAR-016"]);
    let mut setup = quick(cx);
    setup.group().replay = Some(Replay::new("time", 4));
    let scene = KsScene::start(cx, setup)?;
    let (mut gm, registration, at) = member(cx, &scene, 0)?;
    speaks(cx, &registration)?;
    let first = clock_of(cx, &registration)?;
    let observed = first.map_or_else(|| "no clock".to_owned(), |first| format!("{first:.2} s"));
    THERE.judge(cx, first.is_some(), "the registration tells the clock", observed);
    let Some(first) = first else { return Err(Stop::Judged) };
    for round in 1..=3 {
        let push = next_push(cx, &scene, &mut gm)?;
        let shows = told(cx, push.sa.as_ref())?.pseudotime.map(Pseudotime::secs);
        let observed = shows.map_or_else(|| "no clock".to_owned(), |shows| format!("{shows:.2} s"));
        THERE.judge(cx, shows.is_some(), "the rekey tells the clock", format!("rekey {round}: {observed}"));
        let Some(shows) = shows else { return Err(Stop::Judged) };
        let (clock, time) = (shows - first, (push.at - at).as_secs_f64());
        let observed = format!("rekey {round}: the clock went on by {clock:.2} s in {time:.2} s");
        GOES_ON.judge(cx, (clock - time).abs() <= TOLERANCE_SECS, "as much as time", observed);
    }
    scene.finish(cx)
}

fn clock_of_all(cx: &mut Cx<'_>) -> Flow {
    const SAME: Rule = Rule::new("ks-data.clock-of-all", &["TBAR-017"]);
    // That it starts at 0 is read out of a vendor's description.
    const START: Rule = Rule::advisory("ks-data.clock-starts-with-first-member", &["TBAR-017"]);
    let mut setup = KsSetup::standard(cx.world);
    setup.group().replay = Some(Replay::new("time", 4));
    let scene = KsScene::start(cx, setup)?;
    cx.wait_secs(20);
    let (_, registration, at) = member(cx, &scene, 0)?;
    speaks(cx, &registration)?;
    let first = clock_of(cx, &registration)?;
    let observed = first.map_or_else(|| "no clock".to_owned(), |first| format!("{first:.2} s"));
    SAME.judge(cx, first.is_some(), "the registration tells the clock", &observed);
    let Some(first) = first else { return Err(Stop::Judged) };
    START.judge(cx, first < 10.0, "it starts when the first member registers", &observed);
    for (n, wait) in [(1, 5), (2, 60)] {
        cx.wait_secs(wait);
        let (_, registration, then) = member(cx, &scene, n)?;
        let shows = clock_of(cx, &registration)?.unwrap_or_default();
        let (clock, time) = (shows - first, (then - at).as_secs_f64());
        let observed = format!("{time:.2} s later the clock shows {clock:.2} s more");
        SAME.judge(cx, (clock - time).abs() <= TOLERANCE_SECS, "as much as time has gone by", observed);
    }
    scene.finish(cx)
}

fn wall_clock_steps(cx: &mut Cx<'_>) -> Flow {
    const RULE: Rule = Rule::new("ks-data.clock-is-not-the-wall-clock", &["TBAR-016"]);
    let mut setup = KsSetup::standard(cx.world);
    setup.group().replay = Some(Replay::new("time", 4));
    let scene = KsScene::start(cx, setup)?;
    let (_, registration, at) = member(cx, &scene, 0)?;
    speaks(cx, &registration)?;
    let first = clock_of(cx, &registration)?;
    let first = cx.have(first, "the registration tells no clock")?;
    for (n, step) in [(1, 500), (2, -900)] {
        cx.world.step_wall(0, step)?;
        let (_, registration, then) = member(cx, &scene, n)?;
        let shows = clock_of(cx, &registration)?.unwrap_or_default();
        let (clock, time) = (shows - first, (then - at).as_secs_f64());
        let observed = format!("after a step by {step} s: {clock:.2} s more in {time:.2} s");
        RULE.judge(cx, (clock - time).abs() <= TOLERANCE_SECS, "as much as time has gone by", observed);
    }
    scene.finish(cx)
}

fn exclusive(cx: &mut Cx<'_>) -> Flow {
    const RULE: Rule = Rule::new("ks-data.d3p-and-time-exclude-each-other", &["TBAR-020"]);
    // Each of the two alone is fine, so that a refusal of both is one of the two together.
    let mut setup = KsSetup::standard(cx.world);
    for replay in [Replay::new("time", 4), Replay::new("d3p", 5_000)] {
        setup.group().replay = Some(replay);
        let scene = KsScene::start(cx, setup.clone())?;
        scene.register(cx, 0)?;
        scene.finish(cx)?;
    }
    setup.group().replay = Some(Replay { d3p_window_ms: Some(5_000), ..Replay::new("time", 4) });
    let refused = match cx.world.start(0, Role::Ks, &setup.to_toml()) {
        Err(Unavailable::Failed(why)) => Some(why),
        Err(not_here @ Unavailable::NotHere(_)) => return Err(not_here.into()),
        Ok(()) => None,
    };
    let why = refused.as_deref().and_then(|why| why.lines().next()).unwrap_or_default();
    let observed = if refused.is_some() { format!("refused: {why}") } else { "both were taken".to_owned() };
    RULE.judge(cx, refused.is_some(), "the configuration is refused", observed);
    setup.group().replay = Some(Replay::new("time", 4));
    KsScene::start(cx, setup)?.finish(cx)
}

fn method_and_window(cx: &mut Cx<'_>) -> Flow {
    const RULE: Rule = Rule::new("ks-data.method-and-window", &["OWN-001"]);
    let time = |window| DataPolicy {
        replay: Some(ReplayPolicy { method: ReplayPolicy::TIME, window }),
        ..DataPolicy::default()
    };
    let counter = |window| DataPolicy {
        replay: Some(ReplayPolicy { method: ReplayPolicy::COUNTER, window }),
        ..DataPolicy::default()
    };
    let d3p = DataPolicy { d3p_type: Some(1), d3p_window_ms: Some(5_000), ..DataPolicy::default() };
    let wanted = [("time", 4, time(4)), ("time", 100, time(100)), ("counter", 64, counter(64)), ("d3p", 5_000, d3p)];
    for (round, (method, window, want)) in wanted.into_iter().enumerate() {
        let mut setup = quick(cx);
        setup.group().replay = Some(Replay::new(method, window));
        let scene = KsScene::start(cx, setup)?;
        let (mut gm, registration, _) = member(cx, &scene, 0)?;
        if round == 0 {
            speaks(cx, &registration)?;
        }
        let mut says = vec![("the registration", told(cx, Some(&registration.policy))?)];
        // One rekey shows that rekeys tell the same; the rest of the methods is written in one place.
        if round == 0 {
            let push = next_push(cx, &scene, &mut gm)?;
            says.push(("the rekey", told(cx, push.sa.as_ref())?));
        }
        for (what, says) in says {
            let same = DataPolicy { pseudotime: None, ..says } == want;
            let observed = format!("{method} {window}: {what} says {}", words(&says));
            RULE.judge(cx, same, "what is configured and nothing else", observed);
        }
        scene.finish(cx)?;
    }
    Ok(())
}

/// Says in words what a policy is.
fn words(policy: &DataPolicy) -> String {
    let mut words = Vec::new();
    if let Some(ReplayPolicy { method, window }) = policy.replay {
        words.push(format!("method {method} with window {window}"));
    }
    if let Some(window) = policy.d3p_window_ms {
        words.push(format!("IP-D3P with a window of {window} ms"));
    }
    if words.is_empty() { "nothing".to_owned() } else { words.join(" and ") }
}

/// Writes the entries of a policy in their order, each once: a rekey may repeat those of the keys before.
fn entries(sa: &GdoiSa) -> Vec<String> {
    let subnet = |selector: &hallmark_wire::gdoi::Selector| {
        selector.subnet().map_or_else(|| "?".to_owned(), |(address, bits)| format!("{address}/{bits}"))
    };
    let mut seen = std::collections::BTreeSet::new();
    sa.teks()
        .filter_map(|sat| match &sat.body {
            TekBody::Ipsec(tek) => {
                Some(format!("permit {} {} {}", tek.ip_protocol, subnet(&tek.src), subnet(&tek.dst)))
            }
            TekBody::Bypass(bypass) => {
                Some(format!("deny {} {} {}", bypass.ip_protocol, subnet(&bypass.src), subnet(&bypass.dst)))
            }
            _ => None,
        })
        .filter(|entry| seen.insert(entry.clone()))
        .collect()
}

fn entries_in_order(cx: &mut Cx<'_>) -> Flow {
    const RULE: Rule = Rule::new("ks-data.entries-in-order", &["OWN-002"]);
    let mut setup = quick(cx);
    let list = [
        "deny ip 10.1.9.0/24 10.2.9.0/24",
        "permit ip 10.1.0.0/16 10.2.0.0/16",
        "deny icmp 10.3.0.0/16 10.4.0.0/16",
        "permit ip 10.3.0.0/16 10.4.0.0/16",
    ];
    setup.tek().acl = list.iter().map(|entry| (*entry).to_owned()).collect();
    // The method shows that the server speaks the form, also when it leaves all denies out.
    setup.group().replay = Some(Replay::new("time", 4));
    let want = [
        "deny 0 10.1.9.0/24 10.2.9.0/24",
        "permit 0 10.1.0.0/16 10.2.0.0/16",
        "deny 1 10.3.0.0/16 10.4.0.0/16",
        "permit 0 10.3.0.0/16 10.4.0.0/16",
    ];
    let scene = KsScene::start(cx, setup)?;
    let (mut gm, registration, _) = member(cx, &scene, 0)?;
    speaks(cx, &registration)?;
    let push = next_push(cx, &scene, &mut gm)?;
    let pushed = push.sa.as_ref().map(entries).unwrap_or_default();
    for (what, says) in [("the registration", entries(&registration.policy)), ("the rekey", pushed)] {
        let observed = format!("{what}: {}", says.join(", "));
        RULE.judge(cx, says == want, "two denies, each in front of its permit", observed);
    }
    scene.finish(cx)
}

fn direction_told(cx: &mut Cx<'_>) -> Flow {
    const RULE: Rule = Rule::new("ks-data.receive-only-told", &["OWN-003"]);
    let mut setup = quick(cx);
    setup.group().receive_only = true;
    let scene = KsScene::start(cx, setup)?;
    let (mut gm, registration, _) = member(cx, &scene, 0)?;
    speaks(cx, &registration)?;
    let push = next_push(cx, &scene, &mut gm)?;
    for (what, sa) in [("the registration", Some(&registration.policy)), ("the rekey", push.sa.as_ref())] {
        let direction = told(cx, sa)?.direction;
        let observed = format!("{what} says {direction:?}");
        RULE.judge(cx, direction == Some(DataPolicy::RECEIVE_ONLY), "receive-only", observed);
    }
    gm.collect(cx.world, Duration::from_secs(1));
    scene.finish(cx)
}
