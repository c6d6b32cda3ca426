//! Groups, key expansion, and values that begin with zeros.

use hallmark_crypto::{DhKey, Group};
use hallmark_probe::ks::Reply;
use hallmark_probe::step::Step;
use hallmark_probe::tamper::Tamper;
use hallmark_wire::isakmp::PayloadType;

use super::kit::{completes, reach, with_suites};
use crate::Case;
use crate::cx::{Cx, Flow};

pub(crate) const CASES: &[Case] = &[
    case! {
        "IKEI-090", "gdoi.phase1", Must, Gm,
        title: "short keys are expanded as the standard says",
        purpose: "A cipher that needs more key than SKEYID_e holds gets it by feedback. A member that counts SKEYID_e itself as the \
                  first part fails with these suites only.",
        requirements: ["IKE-KEY-005", "IKE-KEY-006"],
        sources: ["RFC 2409 App. B"],
        catches: ["ike_expands_with_skeyid_e"],
        needs: [Setup],
        run: |cx| {
            for name in ["aes256-sha1-modp2048-psk", "3des-sha1-modp2048-psk", "aes256-sha256-modp2048-psk"] {
                let mut scene = with_suites(cx, &[name], &["3des", "sha1"])?;
                completes(cx, "phase1.key-expansion", &["IKE-KEY-006", "IKE-KEY-005"], name, &mut scene)?;
            }
            Ok(())
        },
    },
    case! {
        "IKEI-091", "gdoi.phase1", Must, Gm,
        title: "public values have the length of their group, and points no format octet",
        purpose: "RFC 5903 sends both coordinates and nothing else; the octet 04 of other protocols makes the value unreadable.",
        requirements: ["IKE-KEY-012", "IKE-KEY-013", "IKE-MM-008"],
        sources: ["RFC 5903 §7", "RFC 2409 §5"],
        catches: ["ike_ecp_format_octet"],
        needs: [Setup],
        cost: 10,
        run: every_group,
    },
    case! {
        "IKEI-092", "gdoi.phase1", Must, Gm,
        title: "the leading zeros of the shared secret are kept",
        purpose: "They occur in one exchange of 256. A member that strips them fails once in a while, and nobody can say why.",
        requirements: ["IKE-KEY-004"],
        sources: ["RFC 2409 §5"],
        catches: ["ike_strips_secret_zeros"],
        needs: [Setup],
        cost: 10,
        run: secret_zeros,
    },
    case! {
        "IKEI-093", "gdoi.phase1", Must, Gm,
        title: "the leading zeros of the public value are kept",
        purpose: "A value that is an octet short is refused by every server that checks its length.",
        requirements: ["IKE-MM-008"],
        sources: ["RFC 2409 §5"],
        catches: ["ike_strips_public_zeros"],
        needs: [Setup, VirtualTime],
        run: public_zeros,
    },
];

const CURVE: &str = "aes128-sha256-ecp256-psk";

fn every_group(cx: &mut Cx<'_>) -> Flow {
    for (group, width) in [("modp1536", 192), ("modp3072", 384), ("ecp256", 64), ("ecp384", 96), ("ecp521", 132)] {
        let name = format!("aes128-sha256-{group}-psk");
        let mut scene = with_suites(cx, &[&name], &[])?;
        let ecp = group.starts_with("ecp");
        let requirements: &[&str] = if ecp { &["IKE-KEY-012"] } else { &["IKE-MM-008"] };
        completes(cx, "phase1.secret-agrees", requirements, group, &mut scene)?;
        let value = scene.ks.log.of(Step::Main3).next().and_then(|seen| seen.body(PayloadType::KE)).map(<[u8]>::len);
        let requirement = if ecp { "IKE-KEY-013" } else { "IKE-MM-008" };
        let observed = format!("{group}: {value:?}");
        cx.check(
            "phase1.key-exchange-form",
            &[requirement],
            value == Some(width),
            &format!("{width} octets"),
            observed,
        );
    }
    Ok(())
}

fn secret_zeros(cx: &mut Cx<'_>) -> Flow {
    let mut scene = with_suites(cx, &[CURVE], &[])?;
    // Message 4 is held back until the member's value is known. Then a private value is looked for whose secret with it
    // begins with a zero, and the member's next copy of message 3 is answered with that.
    scene.ks.reply(Step::Main4, Reply::Silent);
    scene.ks.tamper(Step::Main4, Tamper::content(|_| {}));
    let third = reach(cx, &mut scene.ks, Step::Main3)?;
    let public = third.body(PayloadType::KE).unwrap_or_default().to_vec();
    let private = (1..=u16::MAX).map(|n| [vec![0; 29], vec![1], n.to_be_bytes().to_vec()].concat()).find(|private| {
        let secret = DhKey::from_private(Group::Ecp256, private).and_then(|key| key.agree(&public));
        secret.is_ok_and(|secret| secret.expose().first() == Some(&0))
    });
    scene.ks.script.fixed.private = Some(cx.have(private, "no secret with a leading zero was found")?);
    scene.ks.answer_all();
    scene.ks.untamper();
    completes(cx, "phase1.secret-zeros-kept", &["IKE-KEY-004"], "a secret that begins with a zero", &mut scene)?;
    Ok(())
}

/// A leading zero comes once in 256 exchanges; after so many, it has come but once in 1000 runs.
const EXCHANGES: u32 = 1_800;

fn public_zeros(cx: &mut Cx<'_>) -> Flow {
    for _ in 0..EXCHANGES {
        let mut scene = with_suites(cx, &[CURVE], &[])?;
        scene.ks.reply(Step::Main4, Reply::Silent);
        let third = reach(cx, &mut scene.ks, Step::Main3)?;
        let public = third.body(PayloadType::KE).unwrap_or_default();
        if public.len() == 64 && public.first() != Some(&0) {
            continue;
        }
        // The value is the two coordinates, so a short one means a stripped X.
        let observed = format!("{} octets", public.len());
        if cx.check("phase1.public-zeros-kept", &["IKE-MM-008"], public.len() == 64, "64 octets", observed) {
            super::kit::registers(cx, &["IKE-MM-008"], "a public value that begins with a zero", &mut scene)?;
        }
        return Ok(());
    }
    cx.require(false, format!("{EXCHANGES} exchanges gave no leading zero; run the case again with another seed"))
}
