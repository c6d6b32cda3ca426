//! The logical key hierarchy at a group member.

use hallmark_core::Duration;
use hallmark_crypto::Secret;
use hallmark_crypto::gdoi::kek_key_split;
use hallmark_probe::edit;
use hallmark_probe::group::{Kek, lkh_packet, lkh_path, lkh_update};
use hallmark_probe::keys;
use hallmark_probe::ks::{KsScript, PushSpec};
use hallmark_probe::tamper::{Tamper, octets};
use hallmark_wire::gdoi::{LkhKey, LkhUpdate, kd_type, lkh_key};
use hallmark_wire::isakmp::AttributeValue;

use super::kit::{Bench, Rule, Wrong, kek_of};
use crate::Case;
use crate::cx::{Cx, Flow, Stop};

/// Keys on the path of the member, leaf and group KEK included.
const DEPTH: u16 = 4;

pub(crate) const CASES: &[Case] = &[
    case! {
        "LKHG-001", "gdoi.lkh", Must, Gm,
        title: "the last key of the downloaded array is the group KEK",
        purpose: "A member that takes another one decrypts no rekey. Dates of 0 bound nothing.",
        requirements: ["GDOI-LKH-018", "GDOI-LKH-020"],
        sources: ["RFC 6407 §3.3", "RFC 6407 §5.6.3.1"],
        catches: ["gm_lkh_takes_leaf"],
        cost: 15,
        run: download,
    },
    case! {
        "LKHG-002", "gdoi.lkh", Must, Gm,
        title: "an update array leads to the new KEK, and the inner keys are updated with it",
        purpose: "The next update may be wrapped with what this one brought: a member that keeps the old inner keys is \
                  excluded by mistake.",
        requirements: ["GDOI-LKH-019", "GDOI-LKH-018"],
        sources: ["RFC 6407 §4.4", "RFC 6407 §5.6.3.2"],
        catches: ["gm_lkh_inner_keys_forgotten"],
        cost: 20,
        run: updates,
    },
    case! {
        "LKHG-003", "gdoi.lkh", Should, Gm,
        title: "arrays that do not fit are skipped, the one that fits is found",
        purpose: "A PUSH carries one array for each part of the tree; only one is for this member, and it may be the last.",
        requirements: ["GDOI-LKH-022", "GDOI-LKH-019"],
        sources: ["RFC 6407 §4.4"],
        catches: ["gm_lkh_first_array_only"],
        cost: 20,
        run: fitting_array_last,
    },
    case! {
        "LKHG-004", "gdoi.lkh", Should, Gm,
        title: "an array that names another version of a key does not fit",
        purpose: "The handle tells generations of a key apart; unwrapping with the wrong one gives a KEK of noise.",
        requirements: ["GDOI-LKH-022", "GDOI-PUSH-058"],
        sources: ["RFC 6407 §5.6.3"],
        catches: ["gm_lkh_handle_ignored"],
        cost: 25,
        run: other_handle,
    },
    case! {
        "LKHG-005", "gdoi.lkh", Must, Gm,
        title: "an LKH array of another version is refused",
        purpose: "The version says what the octets mean.",
        requirements: ["GDOI-NEG-171", "GDOI-LKH-007", "GDOI-PUSH-058"],
        sources: ["RFC 6407 §5.6.3.1", "RFC 6407 §5.6.3.2"],
        catches: ["gm_lkh_version_ignored"],
        cost: 20,
        run: |cx| arrays_refused(cx, Rule::new("lkh.version", &["GDOI-NEG-171", "GDOI-LKH-007"]), vec![
            ("version 0", array(|value| octets::put(value, 0, &[0]))),
            ("version 2", array(|value| octets::put(value, 0, &[2]))),
        ]),
    },
    case! {
        "LKHG-006", "gdoi.robustness", Must, Gm,
        title: "an LKH array whose count does not fit its octets is refused and harms nobody",
        purpose: "The count is a number that a parser allocates by.",
        requirements: ["GDOI-NEG-172", "GDOI-PUSH-058"],
        sources: ["RFC 6407 §5.6.3"],
        catches: ["malicious_ks_attr"],
        cost: 30,
        run: |cx| arrays_refused(cx, Rule::grave("lkh.count", &["GDOI-NEG-172"]), vec![
            ("no key", array(|value| octets::put(value, 1, &[0, 0]))),
            ("one key more than there is", array(|value| octets::put(value, 1, &[0, 4]))),
            ("65535 keys", array(|value| octets::put(value, 1, &[0xff, 0xff]))),
            ("the last key cut", array(|value| value.truncate(value.len().saturating_sub(5)))),
            ("nothing behind the head", array(|value| value.truncate(12))),
            ("half a head", array(|value| value.truncate(3))),
        ]),
    },
    case! {
        "LKHG-007", "gdoi.lkh", Should, Gm,
        title: "LKH keys of another type than the KEK are refused",
        purpose: "The whole tree uses the cipher of the KEK; another type has another length.",
        requirements: ["GDOI-NEG-173", "GDOI-PUSH-058"],
        sources: ["RFC 6407 §5.3.2"],
        catches: ["gm_lkh_key_type_ignored"],
        cost: 20,
        run: |cx| arrays_refused(cx, Rule::new("lkh.key-type", &["GDOI-NEG-173"]), vec![
            // The first key begins behind the head of 12 octets: its id, then its type.
            ("type DES in the first key", array(|value| octets::put(value, 14, &[1]))),
            ("type 200 in the first key", array(|value| octets::put(value, 14, &[200]))),
        ]),
    },
    case! {
        "LKHG-008", "gdoi.lkh", Should, Gm,
        title: "a downloaded array in a PUSH is not taken",
        purpose: "It holds the leaf key of one member; in a PUSH every member would take it for its own.",
        requirements: ["GDOI-NEG-170", "GDOI-PUSH-058"],
        sources: ["RFC 6407 §5.6.3.1"],
        catches: ["gm_lkh_download_in_push_accepted"],
        cost: 15,
        run: download_in_push,
    },
    case! {
        "LKHG-009", "gdoi.lkh", Must, Gm,
        title: "a key that has expired unwraps nothing",
        purpose: "The dates of a tree key bound its use like a lifetime.",
        requirements: ["GDOI-LKH-011", "GDOI-LKH-019", "GDOI-PUSH-058"],
        sources: ["RFC 6407 §5.6.3.1"],
        catches: ["gm_lkh_expiry_ignored"],
        cost: 25,
        run: expired_wrapper,
    },
    case! {
        "LKHG-010", "gdoi.lkh", Must, Gm,
        title: "a member that is excluded comes back before its keys end",
        purpose: "It may have been excluded by mistake, or have missed a rekey: it must ask, not fall silent.",
        requirements: ["GDOI-LKH-023", "GDOI-PUSH-057"],
        sources: ["RFC 6407 §7.4.1"],
        catches: ["gm_never_reregisters"],
        cost: 150,
        run: excluded,
    },
    case! {
        "ACKG-012", "gdoi.ack", Must, Gm,
        title: "with LKH the acknowledgement is keyed with the leaf key when that is asked for",
        purpose: "Every member knows the KEK; only the leaf key shows which of them acknowledges.",
        requirements: ["GDOI-ACK-020", "GDOI-ACK-003"],
        sources: ["RFC 8263 §2.2", "RFC 8263 §2.4"],
        catches: ["gm_ack_leaf_ignored"],
        cost: 20,
        run: leaf_acknowledgement,
    },
];

/// Gives the script a key hierarchy.
fn with_tree(script: &mut KsScript, rng: &mut hallmark_core::Rng, change: impl FnOnce(&mut Vec<LkhKey>)) {
    if let Some(kek) = &script.group.kek {
        let mut path = lkh_path(rng, kek, DEPTH);
        change(&mut path);
        script.group.lkh = Some(path);
    }
}

/// A member with a key hierarchy that has taken a PUSH.
fn treed(cx: &mut Cx<'_>) -> Flow<Bench> {
    treed_with(cx, |_| {}, |_| {})
}

fn treed_with(cx: &mut Cx<'_>, change: impl FnOnce(&mut KsScript), path: impl FnOnce(&mut Vec<LkhKey>)) -> Flow<Bench> {
    let mut rng = hallmark_core::Rng::from_seed(cx.world.rng().octets());
    let bench = Bench::optional(
        cx,
        |_| {},
        |script| {
            change(script);
            with_tree(script, &mut rng, path);
        },
    )?;
    let Some(mut bench) = bench else {
        return Err(Stop::NotSupported("gm.lkh".to_owned(), "false".to_owned()));
    };
    bench.scene.still_takes_pushes(cx)?;
    Ok(bench)
}

/// Makes the update that leads from one key of the path to a new KEK.
fn update(cx: &Cx<'_>, bench: &mut Bench, held: usize, new: &Kek) -> Flow<(LkhUpdate, Vec<LkhKey>)> {
    let path = cx.have(bench.scene.ks.script.group.lkh.clone(), "the script has no key hierarchy")?;
    let made = lkh_update(bench.scene.ks.rng(), &path, held, new);
    made.map_err(|error| Stop::Inconclusive(error.to_string()))
}

/// Makes an update for a part of the tree that the member is not in.
fn foreign(bench: &mut Bench, like: &LkhUpdate) -> LkhUpdate {
    let mut other = like.clone();
    other.wrapper_id = 77;
    let len = other.keys.first().map_or(0, |key| key.data.len());
    for key in &mut other.keys {
        key.data = bench.scene.ks.rng().vec(len);
    }
    other
}

fn download(cx: &mut Cx<'_>) -> Flow {
    const RULE: Rule = Rule::new("lkh.last-key-is-kek", &["GDOI-LKH-018"]);
    let mut rng = hallmark_core::Rng::from_seed(cx.world.rng().octets());
    let bench = Bench::optional(cx, |_| {}, |script| with_tree(script, &mut rng, |_| {}))?;
    let Some(mut bench) = bench else {
        return Err(Stop::NotSupported("gm.lkh".to_owned(), "false".to_owned()));
    };
    for round in 1..=2 {
        let spec = bench.rekey();
        bench.accept(cx, &RULE, &format!("PUSH {round} under the last key of the array"), spec)?;
    }
    // A new signing key in an LKH packet has a class of its own.
    const SIGNING: Rule = Rule::new("lkh.signing-key", &["GDOI-LKH-020"]);
    let other = cx.have(keys::load(keys::OTHER_RSA_2048_PEM), "a key of the tester does not load")?;
    let mut kek = bench.next_kek()?;
    kek.verifying = Some(other.public());
    kek.signing = Some(other);
    let (array, path) = update(cx, &mut bench, 0, &kek)?;
    bench.accept(cx, &SIGNING, "a KEK with a new signing key", PushSpec::kek(kek).with_lkh(vec![array]))?;
    bench.scene.ks.script.group.lkh = Some(path);
    let spec = bench.rekey();
    bench.accept(cx, &SIGNING, "a PUSH under the new signing key", spec)?;
    bench.finish(cx)
}

fn updates(cx: &mut Cx<'_>) -> Flow {
    const RULE: Rule = Rule::new("lkh.update-followed", &["GDOI-LKH-019", "GDOI-LKH-018"]);
    let mut bench = treed(cx)?;
    // From the leaf, then twice from the inner key that the update before has replaced.
    for (round, held) in [(1, 0), (2, 1), (3, 2)] {
        let kek = bench.next_kek()?;
        let (array, path) = update(cx, &mut bench, held, &kek)?;
        bench.accept(
            cx,
            &RULE,
            &format!("update {round}, wrapped with key {held} of the path"),
            PushSpec::kek(kek).with_lkh(vec![array]),
        )?;
        bench.scene.ks.script.group.lkh = Some(path);
        let spec = bench.rekey();
        bench.accept(cx, &RULE, &format!("a PUSH under the KEK of update {round}"), spec)?;
    }
    bench.finish(cx)
}

fn fitting_array_last(cx: &mut Cx<'_>) -> Flow {
    const RULE: Rule = Rule::new("lkh.fitting-array-found", &["GDOI-LKH-022", "GDOI-LKH-019"]);
    let mut bench = treed(cx)?;
    let kek = bench.next_kek()?;
    let (array, path) = update(cx, &mut bench, 0, &kek)?;
    let mut arrays = vec![foreign(&mut bench, &array), foreign(&mut bench, &array)];
    // Also one that names a key of the member in another version.
    arrays.push(LkhUpdate { wrapper_handle: 99, ..foreign(&mut bench, &array) });
    arrays.push(LkhUpdate { wrapper_id: array.wrapper_id, wrapper_handle: 99, ..foreign(&mut bench, &array) });
    arrays.push(array);
    bench.accept(cx, &RULE, "the fitting array behind four others", PushSpec::kek(kek).with_lkh(arrays))?;
    bench.scene.ks.script.group.lkh = Some(path);
    let spec = bench.rekey();
    bench.accept(cx, &RULE, "a PUSH under the new KEK", spec)?;
    bench.finish(cx)
}

fn other_handle(cx: &mut Cx<'_>) -> Flow {
    const RULE: Rule = Rule::new("lkh.handle-compared", &["GDOI-LKH-022"]);
    let mut bench = treed(cx)?;
    let kek = bench.next_kek()?;
    let (array, _) = update(cx, &mut bench, 0, &kek)?;
    let other = LkhUpdate { wrapper_handle: array.wrapper_handle + 1, ..array };
    bench.refuse_content(
        cx,
        &RULE,
        "a handle that the member does not hold",
        PushSpec::kek(kek).with_lkh(vec![other]),
    )?;
    bench.finish(cx)
}

/// Changes the value of the first update array.
fn array(change: impl Fn(&mut Vec<u8>) + 'static) -> Tamper {
    Tamper::content(move |m| {
        edit::packet(m, kd_type::LKH, |packet| {
            for attribute in &mut packet.attributes.0 {
                if let (lkh_key::UPDATE, AttributeValue::Variable(value)) = (attribute.class, &mut attribute.value) {
                    change(value);
                }
            }
        });
    })
}

fn arrays_refused(cx: &mut Cx<'_>, rule: Rule, wrong: Vec<Wrong>) -> Flow {
    let mut bench = treed(cx)?;
    for (what, tamper) in wrong {
        let kek = bench.next_kek()?;
        let (array, _) = update(cx, &mut bench, 0, &kek)?;
        bench.refuse_content(cx, &rule, what, PushSpec::kek(kek).with_lkh(vec![array]).tamper(tamper))?;
    }
    bench.finish(cx)
}

fn download_in_push(cx: &mut Cx<'_>) -> Flow {
    const RULE: Rule = Rule::new("lkh.download-not-taken-from-push", &["GDOI-NEG-170"]);
    let mut bench = treed(cx)?;
    let kek = bench.next_kek()?;
    let path = lkh_path(bench.scene.ks.rng(), &kek, DEPTH);
    let packet = lkh_packet(&kek, &path);
    let swap = Tamper::content(move |m| {
        edit::kd(m, |kd| {
            for other in kd.packets.iter_mut().filter(|other| other.kd_type == kd_type::KEK) {
                *other = packet.clone();
            }
        });
    });
    bench.refuse_content(
        cx,
        &RULE,
        "a downloaded array in place of the KEK packet",
        PushSpec::kek(kek).tamper(swap),
    )?;
    bench.finish(cx)
}

fn expired_wrapper(cx: &mut Cx<'_>) -> Flow {
    const RULE: Rule = Rule::new("lkh.expired-key-unused", &["GDOI-LKH-011"]);
    const LIVE: Rule = Rule::new("lkh.live-key-used", &["GDOI-LKH-019"]);
    // One key of the path has ended an hour ago, by the clock of the tester.
    let ended = u32::try_from(cx.world.wall().as_secs() - 3_600).unwrap_or(1);
    let expire = |path: &mut Vec<LkhKey>| {
        if let Some(inner) = path.get_mut(1) {
            inner.expires = ended;
        }
    };
    let mut bench = treed_with(cx, |_| {}, expire)?;
    let kek = bench.next_kek()?;
    let (array, _) = update(cx, &mut bench, 1, &kek)?;
    bench.refuse_content(
        cx,
        &RULE,
        "an array wrapped with a key that has ended",
        PushSpec::kek(kek).with_lkh(vec![array]),
    )?;
    let kek = bench.next_kek()?;
    let (array, path) = update(cx, &mut bench, 0, &kek)?;
    bench.accept(cx, &LIVE, "an array wrapped with a key without end", PushSpec::kek(kek).with_lkh(vec![array]))?;
    bench.scene.ks.script.group.lkh = Some(path);
    bench.finish(cx)
}

fn excluded(cx: &mut Cx<'_>) -> Flow {
    const LIFE: u64 = 140;
    const RULE: Rule = Rule::new("lkh.excluded-member-returns", &["GDOI-LKH-023", "GDOI-PUSH-057"]);
    let mut bench = treed_with(cx, |script| super::kit::tek_lifetime(script, 140), |_| {})?;
    bench.keyed(cx.world.now());
    let kek = bench.next_kek()?;
    let (array, _) = update(cx, &mut bench, 0, &kek)?;
    let arrays = vec![foreign(&mut bench, &array), foreign(&mut bench, &array)];
    let push = bench.scene.push(cx, PushSpec::kek(kek.clone()).with_lkh(arrays).commit(false))?;
    bench.scene.ks.serve_for(cx.world, Duration::from_secs(6));
    cx.world.note(if bench.was_acked(&push) {
        "the exclusion was acknowledged"
    } else {
        "the exclusion was not acknowledged"
    });
    // The others go on under the new KEK; its rekeys do not reach this member.
    let path = lkh_path(bench.scene.ks.rng(), &kek, DEPTH);
    bench.scene.ks.script.group.kek = Some(kek);
    bench.scene.ks.script.group.lkh = Some(path);
    let registered = bench.registers_before_end(cx, &RULE, LIFE);
    bench.finish_after(cx, registered)
}

fn leaf_acknowledgement(cx: &mut Cx<'_>) -> Flow {
    const RULE: Rule = Rule::new("ack.keyed-with-leaf", &["GDOI-ACK-020", "GDOI-ACK-003"]);
    for (what, kind) in [("type 4", 4), ("type 2", 2)] {
        let mut rng = hallmark_core::Rng::from_seed(cx.world.rng().octets());
        let bench = Bench::optional(
            cx,
            |_| {},
            |script| {
                kek_of(script, |kek| kek.ack = Some(kind));
                with_tree(script, &mut rng, |_| {});
                let leaf = script.group.lkh.as_ref().and_then(|path| path.first()).map(|key| key.data.clone());
                kek_of(script, |kek| {
                    kek.leaf = leaf
                        .and_then(|data| kek_key_split(kek.cipher, &data).ok())
                        .map(|(_, key): (Vec<u8>, Secret)| key);
                });
            },
        )?;
        let Some(mut bench) = bench else {
            return Err(Stop::NotSupported("gm.lkh".to_owned(), "false".to_owned()));
        };
        for round in 1..=2 {
            let spec = bench.rekey();
            bench.accept(cx, &RULE, &format!("{what}, PUSH {round}"), spec)?;
        }
        if kind == 2 {
            return bench.finish(cx);
        }
    }
    Ok(())
}
