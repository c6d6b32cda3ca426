//! Dummy packets of a member that is to send them.

use hallmark_probe::data::Clear;

use super::esp::{CBC, Cipher, GCM, all_protected, numbers};
use crate::Case;
use crate::cx::{Cx, Flow};
use crate::data::{DataScene, Rule};

pub(crate) const CASES: &[Case] = &[case! {
    "ESPS-013", "data.esp", Must, Gm,
    title: "a member that is to send dummy packets sends them with numbers and vectors of their own",
    purpose: "Dummy packets hide how much a site really says. One that repeats the number and the vector of a packet under \
              a counter mode gives both packets away, and the key of the integrity check with them.",
    requirements: ["ESP-013", "ESP-003", "ESP-023"],
    sources: ["RFC 4303 §2.6", "RFC 4106 §3.1"],
    catches: ["dp_dummies_never", "dp_dummy_repeats_number"],
    needs: [Datapath, Setup],
    cost: 30,
    run: dummies,
}];

fn dummies(cx: &mut Cx<'_>) -> Flow {
    for cipher in [GCM, CBC] {
        of_cipher(cx, cipher)?;
    }
    Ok(())
}

fn of_cipher(cx: &mut Cx<'_>, cipher: Cipher) -> Flow {
    const PASSES: Rule = Rule::new("esp.protected-beside-dummies", &["ESP-013"]);
    const SENDS: Rule = Rule::new("esp.sends-dummies", &["ESP-013"]);
    const OWN: Rule = Rule::new("esp.dummies-number-and-vector", &["ESP-003", "ESP-023"]);
    let scene = cipher.scene_with(cx, |setup| setup.data().lines.push("dummy_every = 4".to_owned()))?;
    let mut scene = cx.have(scene, "the member does not register")?;
    let packets: Vec<Clear> = (1..=40).map(|ident| DataScene::outbound().ident(ident)).collect();
    for burst in packets.chunks(8) {
        all_protected(cx, &mut scene, &PASSES, cipher.name, burst)?;
    }
    let count = scene.dummies();
    let observed = format!("{}: {count} dummy packets beside 40 others", cipher.name);
    SENDS.judge(cx, count > 0, "dummy packets, which were asked for behind every fourth packet", observed);
    numbers(cx, &OWN, cipher.name, &scene);
    scene.finish(cx)
}
