//! Keys: every suite that a key server is configured to must give the same keys at both ends.

use hallmark_probe::step::{Fault, Step};
use hallmark_wire::isakmp::PayloadType;

use super::kit::{hears, member_of, with_suites};
use crate::Case;
use crate::cx::{Cx, Flow};
use crate::setup::PROPOSAL;

pub(crate) const CASES: &[Case] = &[
    case! {
        "IKER-065", "gdoi.phase1", Must, Ks,
        title: "cipher keys that are longer than the prf output are expanded",
        purpose: "AES-256, AES-192 and 3DES with SHA-1 need more octets than one prf gives. A server that expands in \
                  its own way works with itself and with nobody else.",
        requirements: ["IKE-KEY-001", "IKE-KEY-003", "IKE-KEY-005", "IKE-KEY-006", "IKE-KEY-007", "IKE-KEY-008"],
        sources: ["RFC 2409 §5", "RFC 2409 App. B"],
        catches: ["ike_expands_with_skeyid_e", "ike_iv_not_chained"],
        needs: [Setup],
        run: |cx| every_suite(cx, "phase1.keys-agree", &[
            "IKE-KEY-001", "IKE-KEY-003", "IKE-KEY-005", "IKE-KEY-006", "IKE-KEY-007", "IKE-KEY-008",
        ], &[
            "aes256-sha1-modp2048-psk",
            "aes192-sha1-modp2048-psk",
            "3des-sha1-modp2048-psk",
            "aes128-sha256-modp2048-psk",
            "aes256-sha384-modp2048-psk",
            "aes128-sha512-modp2048-psk",
        ]),
    },
    case! {
        "IKER-066", "gdoi.phase1", Must, Ks,
        title: "key exchange values have the width and form of their group",
        purpose: "MODP values are padded to the width of the prime; points are X and Y without a format octet, and the \
                  secret is X alone. Each of the older readings fails with the first strict member.",
        requirements: ["IKE-MM-008", "IKE-KEY-012", "IKE-KEY-013"],
        sources: ["RFC 5903 §7", "RFC 2409 §5", "RFC 3526"],
        catches: ["ike_ecp_format_octet"],
        needs: [Setup],
        run: every_group,
    },
    case! {
        "IKER-067", "gdoi.phase1", Must, Ks,
        title: "leading zero octets of secret and public value are kept",
        purpose: "One exchange in 256 has such a secret. A server that strips it refuses that registration with a \
                  wrong HASH, at random and without any trace.",
        requirements: ["IKE-KEY-004", "IKE-MM-008"],
        sources: ["RFC 2409 §5"],
        catches: ["ike_strips_secret_zeros", "ike_strips_public_zeros"],
        needs: [Setup],
        cost: 60,
        run: leading_zeros,
    },
];

fn every_suite(cx: &mut Cx<'_>, check: &str, requirements: &[&str], suites: &[&str]) -> Flow {
    let mut configured = vec![PROPOSAL];
    configured.extend(suites);
    let scene = with_suites(cx, &configured, &["3des"])?;
    hears(cx, &scene)?;
    for suite in suites {
        let mut member = member_of(cx, &scene, 1, suite)?;
        // The keys of PULL come from the same schedule, so it is run too.
        let result = member.register(cx.world);
        let observed =
            result.as_ref().map_or_else(|fault| format!("{suite}: {fault}"), |_| format!("{suite}: registered"));
        cx.check(check, requirements, result.is_ok(), "a registration completes", observed);
    }
    scene.finish(cx)
}

fn every_group(cx: &mut Cx<'_>) -> Flow {
    let groups =
        [("modp1536", 192), ("modp3072", 384), ("modp4096", 512), ("ecp256", 64), ("ecp384", 96), ("ecp521", 132)];
    let suites: Vec<String> = groups.iter().map(|(group, _)| format!("aes128-sha256-{group}-psk")).collect();
    let mut configured = vec![PROPOSAL];
    configured.extend(suites.iter().map(String::as_str));
    let scene = with_suites(cx, &configured, &[])?;
    drop(scene.phase1(cx, 0)?);
    for ((group, width), suite) in groups.into_iter().zip(&suites) {
        let mut member = member_of(cx, &scene, 1, suite)?;
        let result = member.phase1(cx.world);
        let value = member.seen(Step::Main4).next().and_then(|seen| seen.body(PayloadType::KE)).map(<[u8]>::len);
        let requirement = if group.starts_with("ecp") { "IKE-KEY-013" } else { "IKE-MM-008" };
        let observed = format!("{group}: {value:?}");
        cx.check(
            "phase1.key-exchange-form",
            &[requirement],
            value == Some(width),
            &format!("{width} octets"),
            observed,
        );
        let observed =
            result.as_ref().map_or_else(|fault| format!("{group}: {fault}"), |_| format!("{group}: established"));
        cx.check("phase1.secret-agrees", &["IKE-KEY-012", "IKE-MM-008"], result.is_ok(), "phase 1 completes", observed);
    }
    scene.finish(cx)
}

/// Both zeros come once in 256 exchanges each; after so many, both have come but once in 500 runs.
const EXCHANGES: u32 = 1_800;

fn leading_zeros(cx: &mut Cx<'_>) -> Flow {
    let suite = "aes128-sha256-ecp256-psk";
    let scene = with_suites(cx, &[PROPOSAL, suite], &[])?;
    drop(scene.phase1(cx, 0)?);
    let (mut secrets, mut values) = (0, 0);
    for _ in 0..EXCHANGES {
        let mut member = member_of(cx, &scene, 1, suite)?;
        let result = member.phase1(cx.world);
        if let Some(sent) = member.seen(Step::Main4).next().and_then(|seen| seen.body(PayloadType::KE)) {
            // The value is the two coordinates, so a short one means a stripped X.
            if sent.len() != 64 {
                let len = sent.len();
                cx.check("phase1.public-zeros-kept", &["IKE-MM-008"], false, "64 octets", len);
                return scene.finish(cx);
            }
            if sent.first() == Some(&0) {
                values += 1;
                cx.check(
                    "phase1.public-zeros-kept",
                    &["IKE-MM-008"],
                    result.is_ok(),
                    "64 octets, and phase 1 completes",
                    outcome(&result),
                );
            }
        }
        let zero = member.half_open_sa().is_some_and(|sa| sa.g_xy.expose().first() == Some(&0));
        if zero {
            secrets += 1;
            cx.check(
                "phase1.secret-zeros-kept",
                &["IKE-KEY-004"],
                result.is_ok(),
                "phase 1 completes",
                outcome(&result),
            );
        } else {
            cx.require(result.is_ok(), format!("an exchange without leading zeros failed: {}", outcome(&result)))?;
        }
        if (secrets > 0 && values > 0) || failed(cx) {
            break;
        }
    }
    let found = (secrets > 0 && values > 0) || failed(cx);
    cx.require(found, format!("{EXCHANGES} exchanges gave no leading zero; run the case again with another seed"))?;
    scene.finish(cx)
}

fn failed(cx: &mut Cx<'_>) -> bool {
    cx.outcome().checks.iter().any(|check| !check.ok)
}

fn outcome<T>(result: &Result<T, Fault>) -> String {
    result.as_ref().map_or_else(ToString::to_string, |_| "established".to_owned())
}
