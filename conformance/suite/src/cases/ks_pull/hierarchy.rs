//! The logical key hierarchy as a registration delivers it.

use std::collections::BTreeSet;

use hallmark_probe::gm::Registration;
use hallmark_wire::gdoi::{kd_type, lkh_key};
use hallmark_wire::isakmp::PayloadType;

use super::keys::fingerprint;
use super::kit::{SHORT_LIFE, pull, rekeys_soon};
use super::layout::KdLayout;
use crate::Case;
use crate::cx::{Cx, Flow};
use crate::scene::KsScene;
use crate::setup::KsSetup;

pub(crate) const CASES: &[Case] = &[
    case! {
        "LKHK-001", "gdoi.lkh", Must, Ks,
        title: "the download array has the form that members read",
        purpose: "Nothing in the array says how long a key is: one wrong field and every key behind it is wrong.",
        requirements: [
            "GDOI-LKH-003", "GDOI-LKH-004", "GDOI-LKH-007", "GDOI-LKH-008", "GDOI-LKH-009", "GDOI-LKH-013",
            "GDOI-LKH-020", "GDOI-LKH-001",
        ],
        sources: ["RFC 6407 §5.6.3"],
        catches: ["ks_lkh_version_zero", "ks_lkh_sig_class_two"],
        needs: [Setup],
        run: array_form,
    },
    case! {
        "LKHK-002", "gdoi.lkh", Must, Ks,
        title: "the download array runs from the member's own leaf to the group KEK",
        purpose: "The last key opens the rekeys, the first is the member's alone: with the order reversed members hold keys that are not theirs.",
        requirements: ["GDOI-LKH-002", "GDOI-LKH-006"],
        sources: ["RFC 6407 §3.4", "RFC 6407 §5.6.3.1"],
        catches: ["ks_lkh_root_first"],
        needs: [Setup],
        cost: 130,
        run: leaf_to_root,
    },
];

fn hierarchical(cx: &mut Cx<'_>) -> Flow<KsScene> {
    let mut setup = KsSetup::standard(cx.world);
    rekeys_soon(&mut setup);
    setup.group().lkh = true;
    KsScene::start(cx, setup)
}

fn array_form(cx: &mut Cx<'_>) -> Flow {
    /// AES-128: IV and key.
    const KEY_DATA: usize = 32;
    /// LKH ID, type, reserved, two dates and the handle.
    const KEY_HEAD: usize = 16;
    let scene = hierarchical(cx)?;
    let mut member = scene.phase1(cx, 0)?;
    let pulled = pull(cx, &mut member);
    let kd = pulled.m4.as_ref().and_then(|m4| m4.body(PayloadType::KEY_DOWNLOAD)).and_then(KdLayout::read);
    let kd = cx.have(kd, "message 4 has no KD payload that could be read")?;
    let packets = kd.of(kd_type::LKH).count();
    cx.check("lkh.one-packet", &["GDOI-LKH-003", "GDOI-LKH-001"], packets == 1, "one LKH packet", format!("{packets}"));
    let Some(packet) = kd.of(kd_type::LKH).next() else { return scene.finish(cx) };
    let arrays = packet.count(lkh_key::DOWNLOAD);
    cx.check("lkh.one-array", &["GDOI-LKH-004"], arrays == 1, "one LKH_DOWNLOAD_ARRAY", format!("{arrays}"));
    let (signature, updates) = (packet.count(lkh_key::SIGNATURE), packet.count(lkh_key::UPDATE));
    let observed = format!("{signature} of class 3, {updates} of class 2");
    cx.check("lkh.signature-class", &["GDOI-LKH-020"], signature == 1, "SIG_ALGORITHM_KEY as class 3", observed);
    let array = packet.key(lkh_key::DOWNLOAD);
    let octet = |at: usize| array.get(at).copied().unwrap_or(u8::MAX);
    cx.check("lkh.version", &["GDOI-LKH-007"], octet(0) == 1, "version 1", format!("version {}", octet(0)));
    let count = usize::from(u16::from_be_bytes([octet(1), octet(2)]));
    let keys: Vec<&[u8]> = array.get(4..).unwrap_or_default().chunks(KEY_HEAD + KEY_DATA).collect();
    let whole = keys.len() == count && keys.iter().all(|key| key.len() == KEY_HEAD + KEY_DATA);
    let observed = format!("{count} announced, {} octets", array.len());
    const COUNT: &[&str] = &["GDOI-LKH-008", "GDOI-LKH-009"];
    cx.check("lkh.count", COUNT, whole && count > 0, "as many keys of IV and key as announced", observed);
    let reserved = octet(3) == 0 && keys.iter().all(|key| key.get(3) == Some(&0));
    cx.check("lkh.reserved", &["GDOI-LKH-008"], reserved, "0", if reserved { "0" } else { "not 0" });
    let types: BTreeSet<u8> = keys.iter().filter_map(|key| key.get(2).copied()).collect();
    cx.check(
        "lkh.key-type",
        &["GDOI-LKH-013"],
        types == BTreeSet::from([3]),
        "KEK_ALGORITHM AES",
        format!("{types:?}"),
    );
    scene.finish(cx)
}

fn leaf_to_root(cx: &mut Cx<'_>) -> Flow {
    let scene = hierarchical(cx)?;
    let (mut first, one) = scene.register(cx, 0)?;
    let (_, two) = scene.register(cx, 1)?;
    first.script.auto_ack = true;
    let end = |registration: &Registration, last: bool| {
        let keys = &registration.lkh.as_ref()?.keys;
        let key = if last { keys.last()? } else { keys.first()? };
        Some((key.id, fingerprint(&key.data)))
    };
    let (leaf_one, leaf_two) = (end(&one, false), end(&two, false));
    let ends = leaf_one.is_some() && leaf_two.is_some();
    cx.require(ends, "the download arrays cannot be read")?;
    let own = leaf_one != leaf_two;
    let observed = if own { "two different leaves" } else { "the same first key" };
    cx.check("lkh.leaf-is-own", &["GDOI-LKH-002"], own, "another first key for each member", observed);
    // A server may replace the KEK when someone joins; under one KEK there is one last key.
    if one.kek.as_ref().map(|kek| kek.spi) == two.kek.as_ref().map(|kek| kek.spi) {
        let shared = end(&one, true) == end(&two, true);
        let observed = if shared { "the same last key" } else { "different last keys" };
        cx.check("lkh.root-is-shared", &["GDOI-LKH-006"], shared, "the same last key for all members", observed);
    }
    let push = scene.push(cx, &mut first, SHORT_LIFE + 10)?;
    let read = push.known_kek && push.seen.flaw.is_none() && push.sig.verifies();
    let observed = push.seen.flaw.clone().unwrap_or_else(|| format!("signature {:?}", push.sig));
    cx.check("lkh.last-key-opens-push", &["GDOI-LKH-006"], read, "the next PUSH opens with the last key", observed);
    scene.finish(cx)
}
