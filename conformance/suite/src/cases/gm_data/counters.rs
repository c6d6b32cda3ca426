//! What a member tells about its data plane, where there is a console.

use hallmark_probe::data::{Forge, Part, Stamp, shifted};
use hallmark_probe::group::Tek;
use hallmark_probe::world::Side;
use serde_json::Value;

use super::marks::{
    NEXT_V4, clock, forged, inbound, pass_time, protected_by, silence_server, stamped, tek_lives, time,
};
use crate::Case;
use crate::cx::{Cx, Flow};
use crate::data::{Control, DataScene, LAN_HOST, OTHER_HOST, Rule, WAN_HOST};

pub(crate) const CASES: &[Case] = &[
    case! {
        "COUNTG-003", "data.counters", Must, Gm,
        title: "a thousand packets each way are a thousand in the counters",
        purpose: "Counters are what operators find faults with: one that counts twice, or not at all, sends them the wrong way.",
        requirements: ["DP-024"],
        sources: ["getvpn.md §8.6"],
        catches: ["dp_counters_twice", "dp_counters_miss_decrypt", "dp_goes_deaf_after_1000"],
        needs: [Datapath, Console],
        cost: 90,
        run: thousand,
    },
    case! {
        "COUNTG-001", "data.counters", Must, Gm,
        title: "packets with a wrong ICV are counted with their SA",
        purpose: "A path that corrupts packets, or someone who forges them, shows nowhere else.",
        requirements: ["ESP-031"],
        sources: ["RFC 4303 §3.4.4"],
        catches: ["dp_mac_error_uncounted"],
        needs: [Datapath, Console],
        cost: 15,
        run: mac_errors,
    },
    case! {
        "COUNTG-002", "data.counters", Must, Gm,
        title: "packets that are dropped for want of a key are counted",
        purpose: "Traffic that vanishes without a trace is the hardest outage to explain.",
        requirements: ["DP-020"],
        sources: ["getvpn.md §5.6"],
        catches: ["dp_expired_silent"],
        needs: [Datapath, Setup, Console],
        cost: 280,
        run: keyless,
    },
    case! {
        "COUNTG-004", "data.counters", Must, Gm,
        title: "a packet with an unknown SPI is not reported as one in clear",
        purpose: "Reports that name the wrong fault sent operators looking for a missing crypto map where a rekey was lost.",
        requirements: ["DP-010", "DP-012"],
        sources: ["getvpn.md §5.4", "getvpn.md §6 P16"],
        catches: ["wrong_syslog_not_ipsec"],
        needs: [Datapath, Console],
        cost: 15,
        run: unknown_spi_reported,
    },
    case! {
        "COUNTG-005", "data.counters", Must, Gm,
        title: "a packet in clear that should have been protected is reported as such",
        purpose: "It is the first sign of a member that sends in clear, or of someone who tries to get in.",
        requirements: ["DP-012"],
        sources: ["getvpn.md §5.4"],
        catches: ["dp_clear_inbound_unreported"],
        needs: [Datapath, Console],
        cost: 15,
        run: clear_reported,
    },
    case! {
        "TBAR-012", "data.counters", Must, Gm,
        title: "an error of time is recorded with its source, both times and the window",
        purpose: "Without the sender's address nobody knows whose clock is wrong; releases that left it out were patched for it.",
        requirements: ["TBAR-012", "TBAR-002"],
        sources: ["getvpn.md §4.4", "getvpn.md §6 P17"],
        catches: ["tbar_log_no_src"],
        needs: [Datapath, Setup, Console],
        cost: 15,
        run: error_record,
    },
    case! {
        "TBAR-013", "data.counters", Must, Gm,
        title: "every error of time is counted, and ten a minute are recorded",
        purpose: "The count tells how bad it is; a record of each of a million would bring the member down.",
        requirements: ["TBAR-013", "TBAR-002"],
        sources: ["getvpn.md §4.4"],
        catches: ["dp_tbar_history_unsampled", "dp_tbar_not_counted"],
        needs: [Datapath, Setup, Console],
        cost: 20,
        run: sampled,
    },
    case! {
        "TBAR-021", "data.counters", Must, Gm,
        title: "a stale packet with a wrong ICV is an error of integrity, not of time",
        purpose: "Time is only to be trusted once the packet is. Counted as an error of time, corruption on the path looks \
                  like a clock problem.",
        requirements: ["TBAR-021", "ESP-030"],
        sources: ["getvpn.md §4.2"],
        catches: ["dp_tbar_error_for_bad_icv"],
        needs: [Datapath, Setup, Console],
        cost: 15,
        run: integrity_first,
    },
];

/// Asks the console of the member.
fn status(cx: &mut Cx<'_>) -> Flow<Value> {
    let text = cx.world.command(0, r#"{"cmd":"status"}"#)?;
    let answer = serde_json::from_str::<Value>(&text).ok();
    let status = answer.and_then(|mut answer| answer.get_mut("status").map(Value::take));
    let status = status.filter(|status| status.get("data").is_some());
    cx.have(status, "the status has nothing about the data plane")
}

fn number(cx: &Cx<'_>, status: &Value, pointer: &str) -> Flow<u64> {
    cx.have(status.pointer(pointer).and_then(Value::as_u64), format!("the status has no {pointer}"))
}

/// Asks for one number.
fn current(cx: &mut Cx<'_>, pointer: &str) -> Flow<u64> {
    let status = status(cx)?;
    number(cx, &status, pointer)
}

/// Reads a counter of an SA.
fn of_sa(cx: &Cx<'_>, status: &Value, tek: &Tek, pointer: &str) -> Flow<u64> {
    let sas = status.pointer("/data/sas").and_then(Value::as_array);
    let of = |sa: &&Value| sa.get("spi").and_then(Value::as_u64) == Some(u64::from(tek.spi));
    let sa = sas.and_then(|sas| sas.iter().find(of));
    let value = sa.and_then(|sa| sa.pointer(pointer)).and_then(Value::as_u64);
    cx.have(value, format!("the status has no {pointer} of SA {:08x}", tek.spi))
}

fn thousand(cx: &mut Cx<'_>) -> Flow {
    const OUT: Rule = Rule::new("counters.protected", &["DP-024"]);
    const IN: Rule = Rule::new("counters.opened", &["DP-024"]);
    const COUNT: u16 = 1_000;
    const BURST: u16 = 20;
    let mut scene = DataScene::standard(cx)?;
    let tek = scene.tek()?;
    let before = status(cx)?;
    let (mut left, mut arrived) = (0_u64, 0_u64);
    for burst in 0..COUNT / BURST {
        let idents = burst * BURST..(burst + 1) * BURST;
        let out: Vec<Vec<u8>> = idents.clone().map(|ident| DataScene::outbound().ident(ident).octets()).collect();
        left += scene.pass_many(cx, Side::Lan, &out)?.packets(Side::Wan).len() as u64;
        let mut back = Vec::new();
        for ident in idents {
            back.push(scene.seal(cx, &inbound(ident))?);
        }
        arrived += scene.pass_many(cx, Side::Wan, &back)?.packets(Side::Lan).len() as u64;
    }
    let after = status(cx)?;
    let (sealed, opened) = ("/sealed/packets", "/opened/packets");
    let protected = of_sa(cx, &after, &tek, sealed)? - of_sa(cx, &before, &tek, sealed)?;
    let accepted = of_sa(cx, &after, &tek, opened)? - of_sa(cx, &before, &tek, opened)?;
    let count = u64::from(COUNT);
    let observed = format!("{count} sent, {left} left protected, {protected} counted");
    OUT.judge(cx, left == count && protected == count, "1000 packets, 1000 counted", observed);
    let observed = format!("{count} sent, {arrived} arrived, {accepted} counted");
    IN.judge(cx, arrived == count && accepted == count, "1000 packets, 1000 counted", observed);
    scene.finish(cx)
}

fn mac_errors(cx: &mut Cx<'_>) -> Flow {
    const DROPPED: Rule = Rule::grave("counters.bad-icv-dropped", &["ESP-031"]);
    const RULE: Rule = Rule::new("counters.mac-errors", &["ESP-031"]);
    let mut scene = DataScene::standard(cx)?;
    let tek = scene.tek()?;
    let before = status(cx)?;
    let mut forgeries = Vec::new();
    for ident in 1..=7 {
        let forge = Forge::new().flip(Part::Icv, usize::from(ident));
        forgeries.push(forged(cx, &mut scene, &inbound(ident), &forge)?.octets());
    }
    scene.expect_nothing(cx, &DROPPED, "7 packets with a wrong ICV", Side::Wan, &forgeries)?;
    let after = status(cx)?;
    let errors = of_sa(cx, &after, &tek, "/mac_errors")? - of_sa(cx, &before, &tek, "/mac_errors")?;
    RULE.judge(cx, errors == 7, "7 errors of integrity", format!("{errors} counted"));
    scene.finish(cx)
}

fn keyless(cx: &mut Cx<'_>) -> Flow {
    const RULE: Rule = Rule::new("counters.keyless", &["DP-020"]);
    const DROPPED: Rule = Rule::grave("counters.keyless-dropped", &["DP-020"]);
    let mut scene = DataScene::with(cx, |_| {}, |script| tek_lives(script, 90))?;
    let ends = cx.in_secs(100);
    silence_server(&mut scene);
    let left = ends.saturating_since(cx.world.now()).as_secs_f64();
    pass_time(cx, &mut scene, left);
    let (out, back) = (DataScene::outbound(), DataScene::inbound());
    scene.control =
        Control::InClear { out: out.between(LAN_HOST, OTHER_HOST), back: back.between(OTHER_HOST, LAN_HOST) };
    let before = current(cx, "/data/totals/dropped/packets")?;
    let packets: Vec<Vec<u8>> = (1..=6).map(|ident| DataScene::outbound().ident(ident).octets()).collect();
    scene.expect_nothing(cx, &DROPPED, "6 packets without a key", Side::Lan, &packets)?;
    let after = current(cx, "/data/totals/dropped/packets")?;
    let counted = after - before;
    RULE.judge(cx, counted == 6, "6 dropped packets", format!("{counted} counted"));
    scene.control = Control::Protected;
    scene.register(cx)?;
    scene.finish(cx)
}

fn error_record(cx: &mut Cx<'_>) -> Flow {
    const DROPPED: Rule = Rule::new("counters.stale-dropped", &["TBAR-002"]);
    const RULE: Rule = Rule::new("counters.error-of-time", &["TBAR-012"]);
    let replay = time(cx, 4);
    let mut scene = protected_by(cx, replay)?;
    let esp = stamped(cx, &mut scene, &inbound(1), -280_000)?;
    scene.expect_nothing(cx, &DROPPED, "a packet of 280 s ago", Side::Wan, &[esp])?;
    let status = status(cx)?;
    let record = status.pointer("/data/replay/history").and_then(Value::as_array).and_then(|list| list.last());
    let record = record.cloned().unwrap_or_default();
    let source = record.get("src").and_then(Value::as_str).map(str::to_owned);
    let named = source.as_deref() == Some(WAN_HOST.to_string().as_str());
    let seconds = |key: &str| record.get(key).and_then(Value::as_f64);
    let (mine, theirs, window) = (seconds("my_pseudotime"), seconds("peer_pseudotime"), seconds("window"));
    let apart = mine.zip(theirs).is_some_and(|(mine, theirs)| (mine - theirs - 280.0).abs() < 5.0);
    let observed = format!("source {source:?}, own time {mine:?}, the sender's {theirs:?}, window {window:?}");
    let ok = named && apart && window == Some(4.0);
    RULE.judge(cx, ok, "the source 10.2.0.20, times 280 s apart, a window of 4 s", observed);
    scene.finish(cx)
}

fn sampled(cx: &mut Cx<'_>) -> Flow {
    const DROPPED: Rule = Rule::new("counters.stale-dropped", &["TBAR-002"]);
    const COUNTED: Rule = Rule::new("counters.errors-of-time", &["TBAR-013", "TBAR-002"]);
    const SAMPLED: Rule = Rule::new("counters.history-sampled", &["TBAR-013"]);
    let replay = time(cx, 4);
    let mut scene = protected_by(cx, replay)?;
    let before = current(cx, "/data/replay/input_errors")?;
    let mut stale = Vec::new();
    for ident in 1..=100 {
        stale.push(stamped(cx, &mut scene, &inbound(ident), -60_000)?);
    }
    scene.expect_nothing(cx, &DROPPED, "100 packets of a minute ago", Side::Wan, &stale)?;
    let status = status(cx)?;
    let errors = number(cx, &status, "/data/replay/input_errors")? - before;
    COUNTED.judge(cx, errors == 100, "100 errors", format!("{errors} errors counted"));
    let records = status.pointer("/data/replay/history").and_then(Value::as_array).map(Vec::len);
    let records = cx.have(records, "the status has no history of errors")?;
    // A minute may end while they come.
    let observed = format!("{records} records of 100 errors");
    SAMPLED.judge(cx, (1..=20).contains(&records), "some, at most ten of each minute", observed);
    scene.finish(cx)
}

fn integrity_first(cx: &mut Cx<'_>) -> Flow {
    const DROPPED: Rule = Rule::grave("counters.bad-icv-dropped", &["TBAR-021", "ESP-030"]);
    const RULE: Rule = Rule::new("counters.integrity-before-time", &["TBAR-021"]);
    let replay = time(cx, 4);
    let mut scene = protected_by(cx, replay)?;
    let tek = scene.tek()?;
    let before = status(cx)?;
    let mut packets = Vec::new();
    for ident in 1..=5 {
        let ticks = shifted(clock(&scene)?, -60_000).at(cx.world.now());
        let forge = Forge::new().stamp(Stamp::Time { ticks }, NEXT_V4).flip(Part::Icv, 9);
        packets.push(forged(cx, &mut scene, &inbound(ident), &forge)?.octets());
    }
    scene.expect_nothing(cx, &DROPPED, "5 stale packets with a wrong ICV", Side::Wan, &packets)?;
    let after = status(cx)?;
    let mac = of_sa(cx, &after, &tek, "/mac_errors")? - of_sa(cx, &before, &tek, "/mac_errors")?;
    let late = "/data/replay/input_errors";
    let time = number(cx, &after, late)? - number(cx, &before, late)?;
    let observed = format!("{mac} errors of integrity, {time} of time");
    RULE.judge(cx, mac == 5 && time == 0, "5 errors of integrity, none of time", observed);
    scene.finish(cx)
}

/// Reads how often something was reported; what was never reported is not listed.
fn reports(cx: &mut Cx<'_>, name: &str) -> Flow<u64> {
    let status = status(cx)?;
    let reports = cx.have(status.pointer("/data/reports"), "the status lists no reports")?;
    Ok(reports.get(name).and_then(Value::as_u64).unwrap_or_default())
}

const NOT_IPSEC: &str = "RECVD_PKT_NOT_IPSEC";

const DROPPED_CLEAR: Rule = Rule::new("counters.clear-dropped", &["DP-012"]);

fn unknown_spi_reported(cx: &mut Cx<'_>) -> Flow {
    const DROPPED: Rule = Rule::new("counters.unknown-spi-dropped", &["DP-010"]);
    const RULE: Rule = Rule::new("counters.unknown-spi-is-not-clear", &["DP-010"]);
    let mut scene = DataScene::standard(cx)?;
    let before = reports(cx, NOT_IPSEC)?;
    let mut packets = Vec::new();
    for ident in 1..=3 {
        let forge = Forge::new().spi(0x7000_0000 + u32::from(ident));
        packets.push(forged(cx, &mut scene, &inbound(ident), &forge)?.octets());
    }
    scene.expect_nothing(cx, &DROPPED, "3 packets with unknown SPIs", Side::Wan, &packets)?;
    let told = reports(cx, NOT_IPSEC)? - before;
    // No report means something only where there are reports: a packet in clear has to bring one.
    let clear = DataScene::inbound().ident(9).octets();
    scene.expect_nothing(cx, &DROPPED_CLEAR, "a packet in clear", Side::Wan, &[clear])?;
    let works = reports(cx, NOT_IPSEC)? - before - told;
    cx.require(told > 0 || works > 0, "packets in clear are not reported at all")?;
    RULE.judge(cx, told == 0, "no report of packets in clear", format!("{told} reports of packets in clear"));
    scene.finish(cx)
}

fn clear_reported(cx: &mut Cx<'_>) -> Flow {
    const RULE: Rule = Rule::new("counters.clear-reported", &["DP-012"]);
    let mut scene = DataScene::standard(cx)?;
    let before = reports(cx, NOT_IPSEC)?;
    let packets: Vec<Vec<u8>> = (1..=3).map(inbound).collect();
    scene.expect_nothing(cx, &DROPPED_CLEAR, "3 packets in clear", Side::Wan, &packets)?;
    let told = reports(cx, NOT_IPSEC)? - before;
    RULE.judge(cx, told == 3, "3 reports of packets in clear", format!("{told} reports of packets in clear"));
    scene.finish(cx)
}
