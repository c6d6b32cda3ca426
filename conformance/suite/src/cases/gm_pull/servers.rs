//! Which key server a group member turns to, and how often.

use hallmark_core::Duration;
use hallmark_probe::edit;
use hallmark_probe::ks::{ProbeKs, Reply};
use hallmark_probe::step::Step;
use hallmark_probe::tamper::Tamper;
use hallmark_wire::gdoi::{SaTek, TekBody};

use super::kit::{Bench, requests, second, serve_both, thirds};
use crate::Case;
use crate::cx::{Cx, Flow};
use crate::scene::ACK_WINDOW;
use crate::setup::Peer;

pub(crate) const CASES: &[Case] = &[
    case! {
        "REG-003", "gdoi.pull", Must, Gm,
        title: "the servers of the list are tried in its order",
        purpose: "The operator spreads members over servers by the order of the list.",
        requirements: ["REG-003"],
        sources: ["getvpn.md §3.11"],
        catches: ["gm_server_order_ignored"],
        needs: [Setup],
        cost: 30,
        run: order,
    },
    case! {
        "REG-004", "gdoi.pull", Must, Gm,
        title: "when the first server is silent the second is asked",
        purpose: "This is what the second server is there for.",
        requirements: ["REG-004"],
        sources: ["getvpn.md §3.11"],
        catches: ["gm_no_failover"],
        needs: [Setup],
        cost: 120,
        run: failover,
    },
    case! {
        "PULLG-080", "gdoi.pull", Must, Gm,
        title: "when the first server completes phase 1 but serves no policy the second is asked",
        purpose: "A server whose group process hangs still answers phase 1; a member that waits for it waits for ever.",
        requirements: ["REG-004", "GDOI-PULL-068", "GDOI-PULL-069"],
        sources: ["getvpn.md §3.11"],
        catches: ["gm_no_failover", "gm_pull_never_given_up"],
        needs: [Setup],
        cost: 150,
        run: silent_pull,
    },
    case! {
        "REG-005", "gdoi.pull", Should, Gm,
        title: "a member goes round its list until a server is there, at a bounded rate",
        purpose: "After a power failure the members are up before the servers. They must come by themselves, and \
                  must not keep the servers from coming up.",
        requirements: ["REG-005"],
        sources: ["getvpn.md §3.11"],
        catches: ["gm_no_failover"],
        needs: [Setup],
        cost: 500,
        run: wrap_around,
    },
    case! {
        "REG-017", "gdoi.robustness", Should, Gm,
        title: "a member that cannot use the policy says so and does not hammer the server",
        purpose: "A member whose engine lacked a transform registered again at once, without a word, for days; a few \
                  such members bring a server down.",
        requirements: ["REG-017", "GDOI-PULL-051", "GDOI-PULL-069"],
        sources: ["RFC 6407 §3.3", "getvpn.md P22"],
        catches: ["suiteb_reregister_loop", "gm_no_back_off"],
        cost: 700,
        run: back_off,
    },
    case! {
        "REG-022", "gdoi.phase1", Must, Gm,
        title: "no PULL begins when phase 1 fails, and the next server is asked",
        purpose: "A server with another key is not the server. Nothing of the group may be asked from it.",
        requirements: ["REG-022", "GDOI-P1-001"],
        sources: ["RFC 6407 §2"],
        catches: ["gm_no_failover"],
        needs: [Setup],
        cost: 120,
        run: other_key,
    },
    case! {
        "REG-023", "gdoi.phase1", Must, Gm,
        title: "an answer from another address than the server's is ignored",
        purpose: "Who can see the request can answer it faster than the server, from anywhere.",
        requirements: ["REG-023", "GDOI-PULL-069"],
        sources: ["RFC 2408 §5.1"],
        catches: ["ike_any_source_accepted"],
        cost: 60,
        run: other_address,
    },
];

/// Starts a member with two servers, both of them the tester's.
fn two(cx: &mut Cx<'_>) -> Flow<(Bench, ProbeKs)> {
    let address = cx.tester(1);
    let bench = Bench::with(cx, |setup| setup.servers.push(Peer::standard(address)), |_| {})?;
    let other = second(cx, &bench.scene.ks);
    Ok((bench, other))
}

/// Shows at the end that the member, registered with one of two servers, takes a PUSH from that one.
fn finish_with(cx: &mut Cx<'_>, server: &mut ProbeKs) -> Flow {
    match hallmark_probe::alive::group_member(cx.world, server, ACK_WINDOW) {
        Ok(_) => cx.alive_after("a PUSH of the server that it registered with was acknowledged"),
        Err(fault) => cx.dead_after(&format!("a PUSH of the server that it registered with: {fault}")),
    }
    Ok(())
}

fn order(cx: &mut Cx<'_>) -> Flow {
    let (mut bench, mut other) = two(cx)?;
    let registered = serve_both(cx, bench.ks(), &mut other, Duration::from_secs(120));
    cx.require(registered, "the member registered with neither server")?;
    cx.alive_before("the member registered with one of two servers");
    // The registration is over; what still comes to the other one would be the member asking both.
    serve_both(cx, bench.ks(), &mut other, Duration::from_secs(5));
    let asked = other.log.entries.len();
    let observed = format!("{} messages to the first, {asked} to the second", bench.ks().log.entries.len());
    let held = bench.ks().log.registrations == 1 && asked == 0;
    cx.check("pull.server-order", &["REG-003"], held, "only the first server is contacted", observed);
    if bench.ks().log.registrations > 0 { finish_with(cx, bench.ks()) } else { finish_with(cx, &mut other) }
}

/// Waits until the second server has served the member, and judges that.
fn second_serves(cx: &mut Cx<'_>, bench: &mut Bench, other: &mut ProbeKs, id: &str, rule: &[&str], secs: u64) -> Flow {
    let done = serve_both(cx, bench.ks(), other, Duration::from_secs(secs)) && other.log.registrations > 0;
    let observed = if done { "it registered with the second" } else { "it did not" };
    cx.check(id, rule, done, &format!("a registration with the second server within {secs} s"), observed);
    if done {
        return finish_with(cx, other);
    }
    bench.ks().untamper();
    bench.ks().answer_all();
    bench.scene.finish_by_registration(cx)
}

fn failover(cx: &mut Cx<'_>) -> Flow {
    let (mut bench, mut other) = two(cx)?;
    bench.ks().reply(Step::Main2, Reply::Silent);
    bench.ks().reply(Step::Aggressive2, Reply::Silent);
    let deadline = cx.in_secs(120);
    let heard = bench.ks().serve(cx.world, &mut |log| !log.entries.is_empty(), deadline);
    cx.require(heard, "the first server heard nothing")?;
    cx.alive_before("the first server was asked");
    second_serves(cx, &mut bench, &mut other, "pull.failover", &["REG-004"], 240)
}

fn silent_pull(cx: &mut Cx<'_>) -> Flow {
    let (mut bench, mut other) = two(cx)?;
    bench.ks().reply(Step::Pull2, Reply::Silent);
    bench.request(cx)?;
    second_serves(cx, &mut bench, &mut other, "pull.failover-from-pull", &["REG-004", "GDOI-PULL-068"], 240)
}

fn wrap_around(cx: &mut Cx<'_>) -> Flow {
    let (mut bench, mut other) = two(cx)?;
    for ks in [bench.ks(), &mut other] {
        ks.reply(Step::Main2, Reply::Silent);
        ks.reply(Step::Aggressive2, Reply::Silent);
    }
    serve_both(cx, bench.ks(), &mut other, Duration::from_secs(300));
    let first = attempts(bench.ks());
    let second = attempts(&other);
    cx.require(first + second > 0, "neither server heard anything")?;
    cx.alive_before("the member asked for phase 1");
    cx.measure("phase 1 attempts at the first server in 300 s", to_f64(first), "");
    cx.measure("phase 1 attempts at the second server in 300 s", to_f64(second), "");
    let observed = format!("{first} and {second} attempts in 300 s");
    // An attempt with its repetitions takes half a minute; more than one in five seconds cannot be called bounded.
    let bounded = first + second <= 60;
    cx.check("pull.rate-bounded", &["REG-005"], bounded, "at most one attempt in 5 s on average", observed);
    other.answer_all();
    second_serves(cx, &mut bench, &mut other, "pull.wrap-around", &["REG-005"], 300)
}

/// Counts the phase 1 exchanges that were begun.
fn attempts(ks: &ProbeKs) -> usize {
    ks.log.of(Step::Main1).chain(ks.log.of(Step::Aggressive1)).filter(|seen| !seen.repeat).count()
}

fn to_f64(count: usize) -> f64 {
    u32::try_from(count).map_or(f64::MAX, f64::from)
}

fn back_off(cx: &mut Cx<'_>) -> Flow {
    let mut bench = Bench::with(cx, |setup| setup.min_interval_secs = 30, |_| {})?;
    let unusable = Tamper::content(|m| {
        edit::sat(m, 0, |sat: &mut SaTek| {
            if let TekBody::Ipsec(tek) = &mut sat.body {
                tek.transform_id = 99;
            }
        })
    });
    bench.ks().tamper(Step::Pull2, unusable);
    bench.request(cx)?;
    let before = thirds(bench.ks());
    bench.ks().serve_for(cx.world, Duration::from_secs(600));
    let asked = requests(bench.ks());
    let taken = thirds(bench.ks()) > before;
    let observed = if taken { "message 3 came" } else { "no message 3" };
    cx.silence("pull.unusable-refused", &["REG-017"], !taken, "no message 3", observed);
    cx.measure("registrations begun in 600 s", to_f64(asked), "");
    // One every 30 s on average, and some air for the first ones.
    let observed = format!("{asked} requests in 600 s");
    cx.check("pull.back-off", &["REG-017"], asked <= 24, "at most one request in 30 s on average", observed);
    let told =
        bench.ks().log.deleted_sa() || bench.ks().log.of(Step::Informational).any(|seen| seen.error_notify().is_some());
    let observed = if told { "the server was told" } else { "nothing was said" };
    cx.check("pull.refusal-told", &["GDOI-PULL-051"], told, "a Delete or a notification", observed);
    bench.finish(cx)
}

fn other_key(cx: &mut Cx<'_>) -> Flow {
    let (mut bench, mut other) = two(cx)?;
    bench.ks().script.credentials.psk = b"another key".to_vec();
    let deadline = cx.in_secs(120);
    let heard = bench.ks().serve(cx.world, &mut |log| log.count(Step::Main5) > 0, deadline);
    cx.require(heard, "message 5 of phase 1 did not come")?;
    cx.alive_before("phase 1 with the first server came as far as it could");
    let done = serve_both(cx, bench.ks(), &mut other, Duration::from_secs(240)) && other.log.registrations > 0;
    let pulls = super::kit::pulls(bench.ks()).count();
    let observed = format!("{pulls} messages of exchange 32");
    cx.grave_silence(
        "pull.none-without-phase1",
        &["REG-022", "GDOI-P1-001"],
        pulls == 0,
        "no PULL at that server",
        observed,
    );
    let observed = if done { "it registered with the second" } else { "it did not" };
    cx.check(
        "pull.next-after-failure",
        &["REG-022"],
        done,
        "a registration with the second server within 240 s",
        observed,
    );
    if done {
        return finish_with(cx, &mut other);
    }
    bench.ks().script.credentials.psk = hallmark_probe::suite::PSK.as_bytes().to_vec();
    bench.scene.finish_by_registration(cx)
}

fn other_address(cx: &mut Cx<'_>) -> Flow {
    let mut bench = Bench::standard(cx)?;
    let elsewhere = cx.tester(2);
    bench.ks().reply(Step::Main2, Reply::From(elsewhere));
    let deadline = cx.in_secs(120);
    let heard = bench.ks().serve(cx.world, &mut |log| log.count(Step::Main1) > 0, deadline);
    cx.require(heard, "message 1 of phase 1 did not come")?;
    cx.alive_before("message 1 of phase 1 came");
    bench.ks().serve_for(cx.world, Duration::from_secs(10));
    let mut strayed = false;
    let now = cx.world.now();
    while let Some(datagram) = cx.world.recv_at(hallmark_probe::world::Party::Tester(2), now) {
        strayed |= !datagram.payload.is_empty();
    }
    let taken = bench.ks().log.count(Step::Main3) > 0 || strayed;
    let observed = if taken { "message 3 came" } else { "no message 3" };
    cx.silence("pull.other-address-ignored", &["REG-023"], !taken, "no message 3", observed);
    if taken {
        bench.restart(cx)?;
    }
    bench.finish(cx)
}
