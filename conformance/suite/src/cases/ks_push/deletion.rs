//! Deletes.

use hallmark_wire::isakmp::PayloadType;

use super::kit::quick;
use crate::Case;
use crate::cx::{Cx, Flow, Stop};
use crate::scene::KsScene;
use crate::setup::GROUP;

pub(crate) const CASES: &[Case] = &[case! {
    "PUSHK-030", "gdoi.push", Must, Ks,
    title: "deleting the group's keys is a rekey of Deletes alone, TEKs and KEK apart",
    purpose: "Members must drop everything and register again; a Delete that they cannot read leaves the old keys in use.",
    requirements: [
        "GDOI-PUSH-029", "GDOI-PL-073", "GDOI-PL-074", "GDOI-PL-075", "GDOI-PL-076", "GDOI-PUSH-028",
    ],
    sources: ["RFC 6407 §5.9"],
    catches: [
        "ks_delete_carries_sa", "ks_delete_kek_protocol_one", "ks_delete_mixed", "ks_delete_doi_one",
        "ks_clean_slate_keeps_kek",
    ],
    needs: [Console],
    cost: 10,
    run: clean_slate,
}];

fn clean_slate(cx: &mut Cx<'_>) -> Flow {
    let setup = quick(cx);
    let scene = KsScene::start(cx, setup)?;
    let (mut gm, _) = scene.register(cx, 0)?;
    gm.script.auto_ack = true;
    let request = format!("{{\"cmd\":\"delete-group-keys\",\"group\":{GROUP}}}");
    let answer = cx.world.command(0, &request)?;
    if !answer.contains("\"ok\":true") {
        return Err(Stop::Inconclusive(format!("the console refused {request}: {answer}")));
    }
    let push = scene.push(cx, &mut gm, 5)?;
    let names: Vec<String> = push.kinds.iter().map(ToString::to_string).collect();
    let alone = !push.kinds.contains(&PayloadType::SA) && !push.kinds.contains(&PayloadType::KEY_DOWNLOAD);
    cx.check("push.deletes-alone", &["GDOI-PUSH-028", "GDOI-PUSH-029"], alone, "SEQ, D, ..., SIG", names.join(", "));
    let words: Vec<String> = push
        .deletes
        .iter()
        .map(|delete| {
            format!(
                "DOI {} protocol {} SPI size {} ({})",
                delete.doi,
                delete.protocol,
                delete.spi_size,
                delete.spis.len()
            )
        })
        .collect();
    let words = words.join("; ");
    cx.check("push.delete-doi", &["GDOI-PL-073"], push.deletes.iter().all(|d| d.doi == 2), "DOI 2", &words);
    let kek: Vec<_> = push.deletes.iter().filter(|d| d.spi_size == 16).collect();
    cx.check(
        "push.kek-delete-protocol",
        &["GDOI-PL-074"],
        kek.iter().all(|d| d.protocol == 0),
        "protocol 0 for the KEK",
        &words,
    );
    let teks: Vec<_> = push.deletes.iter().filter(|d| d.protocol == 1 && d.spi_size == 4).collect();
    cx.check("push.deletes-apart", &["GDOI-PL-075"], !teks.is_empty(), "a Delete for the TEKs of its own", &words);
    cx.check(
        "push.clean-slate-complete",
        &["GDOI-PL-076"],
        !teks.is_empty() && push.deletes.iter().any(|d| d.protocol == 0 && d.spi_size == 16),
        "a Delete for the TEKs and one for the KEK",
        &words,
    );
    scene.finish(cx)
}
