//! Delete payloads.

use hallmark_core::Duration;
use hallmark_probe::edit;
use hallmark_probe::ks::{AckSeen, PushSpec, deletion};
use hallmark_probe::tamper::Tamper;
use hallmark_wire::isakmp::{Delete, PayloadType};

use super::kit::{Bench, Deleted, Rule, Sas};
use crate::Case;
use crate::cx::{Cx, Flow, Stop};
use crate::scene::ACK_WINDOW;

/// How long a member may take to come back after its keys were deleted: there is no rule, but traffic stands still.
const COMES_BACK: Duration = Duration::from_secs(120);

pub(crate) const CASES: &[Case] = &[
    case! {
        "PUSHG-045", "gdoi.push", Must, Gm,
        title: "deleting the KEK by its SPI ends it",
        purpose: "A server that deletes the Rekey SA wants its members to come back; one that keeps the KEK can be fed \
                  rekeys by whoever has it.",
        requirements: ["GDOI-PUSH-051", "GDOI-ACK-007"],
        sources: ["RFC 6407 §5.9", "RFC 8263 §4"],
        catches: ["gm_delete_kek_ignored"],
        cost: 200,
        run: |cx| kek_deleted(cx, &["GDOI-PUSH-051"], |spi| spi),
    },
    case! {
        "PUSHG-046", "gdoi.push", Must, Gm,
        title: "deleting the KEK with an SPI of 0 ends it",
        purpose: "SPI 0 means all; servers clear a group that way.",
        requirements: ["GDOI-PUSH-053", "GDOI-ACK-007"],
        sources: ["RFC 6407 §5.9"],
        catches: ["gm_delete_zero_ignored"],
        cost: 200,
        run: |cx| kek_deleted(cx, &["GDOI-PUSH-053"], |_| vec![0; 16]),
    },
    case! {
        "PUSHG-047", "gdoi.push", Must, Gm,
        title: "after the deletion of all SAs the member registers anew",
        purpose: "A clean slate is how a server takes a compromised group down: whoever is still entitled must come back \
                  by itself.",
        requirements: ["GDOI-PUSH-055", "GDOI-PUSH-052", "GDOI-PUSH-053", "GDOI-ACK-007"],
        sources: ["RFC 6407 §3.5", "RFC 6407 §5.9"],
        catches: ["gm_no_reregister_on_delete", "gm_delete_zero_ignored"],
        cost: 130,
        run: clean_slate,
    },
    case! {
        "POLICY-018", "gdoi.push", Must, Gm,
        title: "a member whose KEK was deleted registers before its SAs end",
        purpose: "Removing members without haste leaves traffic running; those that come back must do so before their \
                  shortened SAs are gone.",
        requirements: ["POLICY-018", "GDOI-PUSH-057"],
        sources: ["getvpn §3.10"],
        catches: ["gm_delete_not_shortened"],
        cost: 220,
        run: removal,
    },
    case! {
        "POLICY-019", "gdoi.push", Must, Gm,
        title: "a member that was removed at once comes back after a random delay",
        purpose: "All members of a group get the deletion at the same moment; without spread they all register in the \
                  same second.",
        requirements: ["POLICY-019", "GDOI-PUSH-055"],
        sources: ["getvpn §3.10"],
        catches: ["gm_no_reregister_on_delete", "gm_registers_without_spread"],
        needs: [Setup],
        cost: 400,
        run: spread,
    },
    case! {
        "POLICY-017", "gdoi.push", Must, Gm,
        title: "replacing SAs at once removes the old and brings the new",
        purpose: "The operator wants the old policy gone now, not when it ends.",
        requirements: ["POLICY-017", "GDOI-PUSH-050", "GDOI-PUSH-054"],
        sources: ["RFC 6407 §4", "RFC 6407 §5.9", "getvpn §3.9"],
        catches: ["gm_deletes_after_installing"],
        needs: [Console],
        cost: 15,
        run: replace_now,
    },
    case! {
        "PUSHG-048", "gdoi.push", Must, Gm,
        title: "deleting one TEK removes that one and no other",
        purpose: "A member that clears everything on the first Delete drops traffic that had nothing to do with it.",
        requirements: ["GDOI-PUSH-050"],
        sources: ["RFC 6407 §5.9"],
        catches: ["gm_delete_listed_removes_all"],
        needs: [Console],
        cost: 15,
        run: one_of_two,
    },
    case! {
        "PUSHG-049", "gdoi.push", Must, Gm,
        title: "deleting TEKs with an SPI of 0 removes all of that protocol",
        purpose: "SPI 0 means all; a member that looks for an SA with that SPI keeps them all.",
        requirements: ["GDOI-PUSH-052"],
        sources: ["RFC 6407 §5.9"],
        catches: ["gm_delete_zero_ignored"],
        needs: [Console],
        cost: 15,
        run: all_of_protocol,
    },
    case! {
        "PUSHG-050", "gdoi.push", Should, Gm,
        title: "a Delete of another DOI, of an unknown protocol or with SPIs of the wrong size deletes nothing",
        purpose: "Guessing what such a Delete means ends keys that are in use.",
        requirements: ["GDOI-NEG-174", "GDOI-NEG-175", "GDOI-NEG-176", "GDOI-NEG-177"],
        sources: ["RFC 6407 §5.9", "RFC 2408 §3.15"],
        catches: ["gm_delete_unchecked"],
        cost: 40,
        run: malformed,
    },
    case! {
        "PUSHG-051", "gdoi.push", Should, Gm,
        title: "a Delete of an SPI that is not held is passed over",
        purpose: "Members join at different times: not each holds every SA that a server deletes.",
        requirements: ["GDOI-NEG-178"],
        sources: ["RFC 6407 §5.9"],
        catches: ["gm_unknown_delete_refused"],
        cost: 15,
        run: not_held,
    },
    case! {
        "PUSHG-052", "gdoi.push", Must, Gm,
        title: "group keys are not deleted under phase 1, let alone in clear",
        purpose: "Phase 1 belongs to one server and one member; the keys belong to the group. A Delete in clear belongs \
                  to nobody.",
        requirements: ["GDOI-NEG-180"],
        sources: ["RFC 6407 §5.9"],
        catches: ["gm_delete_under_phase1"],
        cost: 40,
        run: under_phase1,
    },
];

fn kek_deleted(cx: &mut Cx<'_>, requirements: &'static [&'static str], name: fn(Vec<u8>) -> Vec<u8>) -> Flow {
    let gone = Rule::new("push.deleted-kek-refused", requirements);
    let mut bench = Bench::standard(cx)?;
    let spi = bench.kek(cx)?.spi.to_vec();
    let deleted = bench.delete_kek(cx, PushSpec::delete(deletion(0, vec![name(spi)])), Duration::ZERO)?;
    acknowledged(cx, &deleted);
    let seq = deleted.old.seq + 1;
    let spec = bench.rekey().under(deleted.old).seq(seq);
    let push = bench.scene.push(cx, spec.commit(false))?;
    bench.scene.ks.serve_for(cx.world, ACK_WINDOW);
    let fits = |ack: &&AckSeen| ack.kek_spi == push.kek_spi && ack.seq == Some(seq) && ack.seen.at >= push.at;
    let taken = bench.scene.ks.log.acks.iter().any(|ack| fits(&ack));
    let observed = if taken { "a PUSH under it was acknowledged" } else { "no acknowledgement" };
    cx.silence(gone.id, gone.requirements, !taken, "no acknowledgement under the deleted KEK", observed);
    // A member that keeps its SAs comes back before they end.
    let registered = bench.registers_beyond(cx, deleted.before, Duration::from_secs(3_600));
    bench.finish_after(cx, registered)
}

fn acknowledged(cx: &mut Cx<'_>, deleted: &Deleted) {
    let observed = if deleted.acked { "acknowledged" } else { "no acknowledgement" };
    cx.check("push.delete-acknowledged", &["GDOI-ACK-007"], deleted.acked, "an acknowledgement", observed);
}

fn delete_all() -> PushSpec {
    PushSpec::delete(deletion(1, vec![vec![0; 4]])).with_delete(deletion(0, vec![vec![0; 16]]))
}

/// Says when a member came back.
fn words(registered: Option<f64>) -> String {
    registered.map_or_else(|| "no registration".to_owned(), |secs| format!("registered after {secs:.1} s"))
}

fn clean_slate(cx: &mut Cx<'_>) -> Flow {
    const REQUIREMENTS: &[&str] = &["GDOI-PUSH-055", "GDOI-PUSH-052", "GDOI-PUSH-053"];
    let mut bench = Bench::standard(cx)?;
    let deleted = bench.delete_kek(cx, delete_all(), COMES_BACK)?;
    acknowledged(cx, &deleted);
    let (ok, observed) = (deleted.registered.is_some(), words(deleted.registered));
    cx.check("push.registers-after-clean-slate", REQUIREMENTS, ok, "a registration within 120 s", observed);
    bench.finish_after(cx, ok)
}

fn removal(cx: &mut Cx<'_>) -> Flow {
    const BEFORE: Rule = Rule::new("push.registers-before-sas-end", &["GDOI-PUSH-057"]);
    // The formula of the shortened life is that of one vendor, so this can only warn.
    const SHORTENED: Rule = Rule::advisory("push.sas-shortened", &["POLICY-018"]);
    // The TEK lives for an hour: 5 % of it are 180 s, to which the tolerance of every timing comes.
    let mut bench = Bench::standard(cx)?;
    let spi = bench.kek(cx)?.spi.to_vec();
    let spec = PushSpec::delete(deletion(0, vec![spi]));
    let deleted = bench.delete_kek(cx, spec, Duration::from_secs(195))?;
    let (ok, observed) = (deleted.registered.is_some(), words(deleted.registered));
    SHORTENED.silence(cx, ok, "a registration within 180 s", &observed);
    if ok {
        BEFORE.judge(cx, ok, "a registration before the keys end", &observed);
    }
    let registered = ok || bench.registers_before_end(cx, &BEFORE, 3_600);
    bench.finish_after(cx, registered)
}

/// Lets one member after the other lose everything, and compares how long each takes to come back.
fn spread(cx: &mut Cx<'_>) -> Flow {
    const ROUNDS: usize = 6;
    const REQUIREMENTS: &[&str] = &["POLICY-019", "GDOI-PUSH-055"];
    // How much is not said anywhere, so a member that is always equally quick is only warned about.
    const SPREAD: Rule = Rule::advisory("push.return-is-spread", &["POLICY-019"]);
    let mut delays: Vec<f64> = Vec::new();
    let mut last = None;
    for _ in 0..ROUNDS {
        let mut bench = Bench::standard(cx)?;
        let deleted = bench.delete_kek(cx, delete_all(), COMES_BACK)?;
        let (ok, observed) = (deleted.registered.is_some(), words(deleted.registered));
        cx.check("push.removed-member-comes-back", REQUIREMENTS, ok, "a registration within 120 s", observed);
        let Some(after) = deleted.registered else { return Err(Stop::Judged) };
        delays.push(after);
        last = Some(bench);
    }
    let least = delays.iter().copied().fold(f64::MAX, f64::min);
    let most = delays.iter().copied().fold(0.0, f64::max);
    cx.measure("least delay", least, "s");
    cx.measure("greatest delay", most, "s");
    let observed = format!("{ROUNDS} delays within {:.2} s of each other", most - least);
    SPREAD.silence(cx, most - least > 0.2, "delays that differ", observed);
    match last {
        Some(bench) => bench.finish(cx),
        None => Err(Stop::Judged),
    }
}

fn replace_now(cx: &mut Cx<'_>) -> Flow {
    const RULE: &[&str] = &["POLICY-017", "GDOI-PUSH-050", "GDOI-PUSH-054"];
    let mut bench = Bench::standard(cx)?;
    let before = Sas::ask(cx)?;
    cx.require(!before.accepted.is_empty(), "the member shows no SA")?;
    let tek = bench.next_tek();
    let new = tek.spi;
    let spec = PushSpec::tek(tek).with_delete(deletion(1, vec![vec![0; 4]]));
    let acked = bench.acked(cx, spec)?.is_some();
    cx.check("push.replace-acknowledged", RULE, acked, "an acknowledgement", if acked { "one came" } else { "none" });
    let after = Sas::ask(cx)?;
    let kept = before.accepted.iter().filter(|spi| after.accepted.contains(spi)).count();
    let ok = kept == 0 && after.accepted.contains(&new) && after.sending.contains(&new);
    let observed = format!(
        "{kept} old SAs kept, the new one {} and {}",
        if after.accepted.contains(&new) { "accepted" } else { "not accepted" },
        if after.sending.contains(&new) { "sent with" } else { "not sent with" }
    );
    cx.check("push.replaced-at-once", RULE, ok, "only the new SA, in use", observed);
    bench.finish(cx)
}

fn one_of_two(cx: &mut Cx<'_>) -> Flow {
    let mut bench = Bench::standard(cx)?;
    let before = Sas::ask(cx)?;
    let gone = cx.have(bench.scene.ks.script.group.teks.last().map(|tek| tek.spi), "there is no TEK")?;
    let others: Vec<u32> = before.accepted.iter().copied().filter(|spi| *spi != gone).collect();
    cx.require(before.accepted.contains(&gone) && !others.is_empty(), "the member does not show two SAs")?;
    let spec = PushSpec::delete(deletion(1, vec![gone.to_be_bytes().to_vec()]));
    let acked = bench.acked(cx, spec)?.is_some();
    cx.require(acked, "the Delete was not acknowledged")?;
    let after = Sas::ask(cx)?;
    let kept = others.iter().filter(|spi| after.accepted.contains(spi)).count();
    let observed = format!(
        "the deleted one is {}, {kept} of {} others are there",
        if after.accepted.contains(&gone) { "there" } else { "gone" },
        others.len()
    );
    let ok = !after.accepted.contains(&gone) && kept == others.len();
    cx.check("push.listed-spi-removed", &["GDOI-PUSH-050"], ok, "only the listed SA is gone", observed);
    bench.finish(cx)
}

fn all_of_protocol(cx: &mut Cx<'_>) -> Flow {
    let mut bench = Bench::standard(cx)?;
    let before = Sas::ask(cx)?;
    cx.require(!before.accepted.is_empty(), "the member shows no SA")?;
    let acked = bench.acked(cx, PushSpec::delete(deletion(1, vec![vec![0; 4]])))?.is_some();
    cx.require(acked, "the Delete was not acknowledged")?;
    let after = Sas::ask(cx)?;
    let kept = before.accepted.iter().filter(|spi| after.accepted.contains(spi)).count();
    let observed = format!("{kept} of {} SAs are still there", before.accepted.len());
    cx.check("push.all-of-protocol-removed", &["GDOI-PUSH-052"], kept == 0, "no SA is left", observed);
    // Whether it waits for a rekey or registers is its own choice.
    bench.scene.ks.serve_for(cx.world, Duration::from_secs(20));
    bench.scene.finish(cx)
}

fn malformed(cx: &mut Cx<'_>) -> Flow {
    let mut bench = Bench::standard(cx)?;
    let spi = bench.kek(cx)?.spi.to_vec();
    let kek = |doi: u32, protocol: u8| Delete { doi, protocol, spi_size: 16, spis: vec![spi.clone()] };
    let octets = |at: usize, value: &'static [u8]| {
        Tamper::content(move |m| {
            edit::body(m, PayloadType::DELETE, |body| hallmark_probe::tamper::octets::put(body, at, value));
        })
    };
    // The body: DOI (4), protocol, SPI size, number of SPIs (2), SPIs.
    let wrong: Vec<(&str, &[&str], Delete, Tamper)> = vec![
        ("DOI 0", &["GDOI-NEG-174"], kek(0, 0), Tamper::none()),
        ("DOI 1", &["GDOI-NEG-174"], kek(1, 0), Tamper::none()),
        ("protocol 4", &["GDOI-NEG-175"], kek(2, 4), Tamper::none()),
        ("protocol 200", &["GDOI-NEG-175"], kek(2, 200), Tamper::none()),
        ("ESP SPIs of 0 octets", &["GDOI-NEG-176"], deletion(1, vec![vec![0; 4]]), octets(5, &[0])),
        ("ESP SPIs of 3 octets", &["GDOI-NEG-176"], deletion(1, vec![vec![0; 4]]), octets(5, &[3])),
        ("ESP SPIs of 16 octets", &["GDOI-NEG-176"], Delete { spi_size: 16, ..kek(2, 1) }, Tamper::none()),
        ("a KEK SPI of 4 octets", &["GDOI-NEG-176"], deletion(0, vec![spi.clone()]), octets(5, &[4, 0, 4])),
        ("more SPIs than there are", &["GDOI-NEG-177"], deletion(0, vec![spi.clone()]), octets(6, &[0, 2])),
        ("65535 SPIs", &["GDOI-NEG-177"], deletion(0, vec![spi.clone()]), octets(6, &[0xff, 0xff])),
        ("0 SPIs with one there", &["GDOI-NEG-177"], deletion(0, vec![spi.clone()]), octets(6, &[0, 0])),
    ];
    for (what, requirements, delete, tamper) in wrong {
        let spec = PushSpec::delete(delete).tamper(tamper).commit(true);
        bench.scene.push(cx, spec)?;
        let valid = bench.rekey();
        let lives = bench.acked(cx, valid)?.is_some();
        let observed = format!("{what}: {}", if lives { "the KEK works" } else { "the KEK is gone" });
        cx.grave("push.malformed-delete-deletes-nothing", requirements, lives, "the KEK goes on working", observed);
        if !lives {
            return bench.scene.finish_by_registration(cx);
        }
    }
    bench.finish(cx)
}

fn not_held(cx: &mut Cx<'_>) -> Flow {
    const RULE: Rule = Rule::new("push.unknown-delete-passed-over", &["GDOI-NEG-178"]);
    let mut bench = Bench::standard(cx)?;
    let strangers = vec![vec![0x71, 0x72, 0x73, 0x74], vec![0x75, 0x76, 0x77, 0x78]];
    let spec = bench.rekey().with_delete(deletion(1, strangers));
    let ack = bench.acked(cx, spec)?;
    let observed = if ack.is_some() { "acknowledged" } else { "no acknowledgement" };
    cx.check(RULE.id, RULE.requirements, ack.is_some(), "the rest is carried out and acknowledged", observed);
    bench.finish(cx)
}

fn under_phase1(cx: &mut Cx<'_>) -> Flow {
    let mut bench = Bench::standard(cx)?;
    let spi = bench.kek(cx)?.spi.to_vec();
    let teks: Vec<Vec<u8>> =
        bench.scene.ks.script.group.teks.iter().map(|tek| tek.spi.to_be_bytes().to_vec()).collect();
    let deletes = [
        ("the KEK", deletion(0, vec![spi])),
        ("the TEKs", deletion(1, teks)),
        ("all TEKs", deletion(1, vec![vec![0; 4]])),
        ("everything", deletion(0, vec![vec![0; 16]])),
    ];
    for clear in [true, false] {
        for (what, delete) in &deletes {
            let payload = vec![(PayloadType::DELETE, delete.encode_body())];
            let sent = if clear {
                bench.scene.ks.send_clear_informational(cx.world, payload)
            } else {
                bench.scene.ks.send_informational(cx.world, payload).map(drop)
            };
            let where_ = if clear { "in clear" } else { "under phase 1" };
            if let Err(fault) = sent {
                // A member may close phase 1 once it is registered.
                cx.world.note(&format!("{what} {where_}: not sent, {fault}"));
                continue;
            }
            let again = bench.registers_again(cx, Duration::from_secs(15)).is_some();
            let valid = bench.rekey();
            let lives = bench.acked(cx, valid)?.is_some() && !again;
            let observed = format!("{what} {where_}: {}", if lives { "the keys are there" } else { "keys are gone" });
            let expected = "the group keys stay";
            if clear {
                cx.grave("push.clear-delete-ignored", &["GDOI-NEG-180"], lives, expected, observed);
            } else {
                cx.check("push.phase1-delete-ignored", &["GDOI-NEG-180"], lives, expected, observed);
            }
            if !lives {
                // It may be long until it comes back: what was seen stands by itself.
                return Err(Stop::Judged);
            }
        }
    }
    bench.finish(cx)
}
