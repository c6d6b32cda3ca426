//! What message 2 says: the SA payload with SAK, GAP and SATs.

use hallmark_catalogue::{Check, Level};
use hallmark_wire::gdoi::{Dialect, GdoiSa, TekBody, kek_attr, tek_attr};
use hallmark_wire::isakmp::{Attributes, PayloadType};

use super::kit::{complete, pull};
use super::layout::{SaLayout, SakLayout};
use crate::Case;
use crate::cx::{Cx, Flow};
use crate::rule::Rule;
use crate::scene::KsScene;
use crate::setup::{KsSetup, Tek};

pub(crate) const CASES: &[Case] = &[
    case! {
        "PULLK-010", "gdoi.pull", Must, Ks,
        title: "the SA payload of message 2 has the right head",
        purpose: "DOI and situation tell a member how to read all that follows; reserved fields must stay free for later use.",
        requirements: [
            "GDOI-PL-001", "GDOI-PL-009", "GDOI-PL-010", "GDOI-PL-011", "GDOI-PL-012", "GDOI-PL-013", "GDOI-PL-014",
            "GDOI-PL-015",
        ],
        sources: ["RFC 6407 §5.2"],
        catches: ["ks_sa_doi_one", "ks_sa_situation_one"],
        run: sa_head,
    },
    case! {
        "PULLK-011", "gdoi.pull", Must, Ks,
        title: "SAK, GAP and SATs come in this order",
        purpose: "The order is the grammar of the policy: a member that meets a SAK behind a SAT aborts.",
        requirements: ["GDOI-PL-016", "GDOI-PL-017", "GDOI-PL-018", "GDOI-PL-019", "GDOI-PL-038"],
        sources: ["RFC 6407 §5.2.1", "RFC 6407 §5.4"],
        catches: ["ks_sa_order_wrong"],
        needs: [Setup],
        run: sa_order,
    },
    case! {
        "PULLK-012", "gdoi.pull", Must, Ks,
        title: "the SAK follows the figure octet by octet",
        purpose: "No length stands before the SPI: one octet too many and every attribute behind it is misread.",
        requirements: ["GDOI-PL-021", "GDOI-PL-022", "GDOI-PL-023"],
        sources: ["RFC 6407 §5.3"],
        catches: ["ks_sak_six_reserved"],
        run: sak_layout,
    },
    case! {
        "PULLK-013", "gdoi.pull", Must, Ks,
        title: "the SAK says how PUSH messages are encrypted and signed",
        purpose: "A member that misses or misreads one of these attributes takes no rekey, or keeps the KEK for the wrong time.",
        requirements: [
            "GDOI-PL-025", "GDOI-PL-026", "GDOI-PL-028", "GDOI-PL-030", "GDOI-PL-032", "GDOI-PL-035",
        ],
        sources: ["RFC 6407 §5.3", "RFC 6407 §5.3.3", "RFC 6407 §5.3.4"],
        catches: [
            "ks_sak_algorithm_missing", "ks_sak_sig_algorithm_missing", "ks_management_algorithm_in_pull",
            "ks_kek_length_counts_iv", "ks_kek_lifetime_truncated", "ks_unknown_kek_attribute",
        ],
        run: sak_attributes,
    },
    case! {
        "PULLK-014", "gdoi.pull", Must, Ks,
        title: "each SAT says what it protects, how and for how long",
        purpose: "Members build their SAs from nothing else; an SPI that two SAs share makes one of them unreadable.",
        requirements: ["GDOI-PL-046", "GDOI-PL-047", "GDOI-PL-049", "GDOI-PL-050"],
        sources: ["RFC 6407 §5.5.1", "RFC 2407 §4.5"],
        catches: ["ks_group_description_sent", "ks_tek_spi_shared"],
        needs: [Setup],
        run: sat_contents,
    },
    case! {
        "PULLK-015", "gdoi.lifetime", Should, Ks,
        title: "a member that comes later is told what is left of the lifetimes",
        purpose: "With the whole lifetime a late member goes on using keys that everyone else has dropped.",
        requirements: ["GDOI-PL-035", "GDOI-PL-049"],
        sources: ["RFC 6407 §5.3.4", "RFC 6407 §5.5.1"],
        catches: ["ks_tek_lifetime_whole"],
        cost: 130,
        run: remaining_lifetimes,
    },
];

/// Runs one PULL and gives the SA payload of its message 2.
fn sa_of_m2(cx: &mut Cx<'_>, scene: &KsScene) -> Flow<Vec<u8>> {
    let mut member = scene.phase1(cx, 0)?;
    let m2 = pull(cx, &mut member).m2;
    let m2 = cx.have(m2, "no message 2 came")?;
    let body = m2.body(PayloadType::SA).map(<[u8]>::to_vec);
    cx.have(body, "message 2 has no SA payload")
}

fn sa_head(cx: &mut Cx<'_>) -> Flow {
    let scene = KsScene::standard(cx)?;
    let body = sa_of_m2(cx, &scene)?;
    let layout = cx.have(SaLayout::read(&body), "the SA payload is shorter than its head")?;
    const DOI: &[&str] = &["GDOI-PL-011", "GDOI-PL-001"];
    cx.check("policy.doi", DOI, layout.doi == 2, "DOI 2", format!("DOI {}", layout.doi));
    let situation = layout.situation;
    cx.check("policy.situation", &["GDOI-PL-012"], situation == 0, "situation 0", format!("situation {situation}"));
    let first = layout.first;
    let known = matches!(first, 15 | 16 | 22);
    const FIRST: &[&str] = &["GDOI-PL-013", "GDOI-PL-015"];
    cx.check("policy.first-attribute", FIRST, known, "15, 22 or 16 in two octets", format!("{first}"));
    let reserved = layout.reserved2;
    cx.check("policy.reserved2", &["GDOI-PL-014"], reserved == 0, "0", format!("{reserved}"));
    let whole = layout.broken.is_none() && layout.inner.iter().all(|inner| inner.reserved == 0);
    let observed = layout.broken.unwrap_or_else(|| format!("{} inner payloads", layout.inner.len()));
    const FRAME: &[&str] = &["GDOI-PL-009", "GDOI-PL-010"];
    cx.check("policy.covers-attributes", FRAME, whole, "SAK, GAP and SATs fill the payload exactly", observed);
    scene.finish(cx)
}

fn sa_order(cx: &mut Cx<'_>) -> Flow {
    let mut setup = KsSetup::standard(cx.world);
    setup.group().atd_secs = 10;
    setup.group().dtd_secs = 20;
    let second = Tek { acl: vec!["permit ip 10.3.0.0/16 10.4.0.0/16".to_owned()], ..Tek::default() };
    setup.group().teks.push(second);
    let scene = KsScene::start(cx, setup)?;
    let body = sa_of_m2(cx, &scene)?;
    let layout = cx.have(SaLayout::read(&body), "the SA payload is shorter than its head")?;
    let kinds = layout.kinds();
    let observed = format!("{kinds:?}");
    let count = |kind: u16| kinds.iter().filter(|found| **found == kind).count();
    let (saks, gaps, sats) = (count(15), count(22), count(16));
    cx.check("policy.not-empty", &["GDOI-PL-016"], saks + sats > 0, "a SAK or a SAT", &observed);
    cx.check("policy.counts", &["GDOI-PL-017"], saks <= 1 && gaps <= 1, "at most one SAK and one GAP", &observed);
    let rank = |kind: u16| [15, 22, 16].iter().position(|known| *known == kind);
    let ordered = kinds.iter().map(|kind| rank(*kind)).is_sorted();
    cx.check("policy.order", &["GDOI-PL-018", "GDOI-PL-038"], ordered, "15, 22, 16...", &observed);
    // The chain has to end with the last SAT and name no other type on the way.
    let chained = layout.broken.is_none() && kinds.iter().all(|kind| rank(*kind).is_some());
    let next = layout.inner.iter().map(|inner| inner.next.to_string()).collect::<Vec<_>>().join(", ");
    cx.check("policy.next-payloads", &["GDOI-PL-019"], chained, "only 22, 16 and 0", format!("Next Payloads {next}"));
    scene.finish(cx)
}

fn sak_layout(cx: &mut Cx<'_>) -> Flow {
    let scene = KsScene::standard(cx)?;
    let body = sa_of_m2(cx, &scene)?;
    let layout = cx.have(SaLayout::read(&body), "the SA payload is shorter than its head")?;
    let reserved = layout.inner.iter().all(|inner| inner.reserved == 0);
    cx.check("sak.reserved", &["GDOI-PL-022"], reserved, "0", if reserved { "0" } else { "not 0" });
    let sak = layout.sak().and_then(SakLayout::read);
    let sak = cx.have(sak, "there is no SAK that could be read")?;
    cx.check("sak.protocol", &["GDOI-PL-021"], sak.protocol == 17, "UDP", format!("protocol {}", sak.protocol));
    let spi = sak.spi.iter().any(|octet| *octet != 0);
    cx.check("sak.spi", &["GDOI-PL-021"], spi, "16 octets, not zero", format!("{:02x?}", sak.spi));
    let zero = sak.reserved2.iter().all(|octet| *octet == 0);
    cx.check(
        "sak.reserved2",
        &["GDOI-PL-023"],
        zero,
        "4 zero octets behind the SPI",
        format!("{:02x?}", sak.reserved2),
    );
    // Zero is no attribute class: two reserved octets too many read as one.
    let read = sak.attributes.as_ref().is_ok_and(|attributes| attributes.iter().all(|attribute| attribute.class != 0));
    let observed = match &sak.attributes {
        Ok(attributes) => format!("classes {:?}", classes(attributes)),
        Err(error) => error.clone(),
    };
    const EXACT: &[&str] = &["GDOI-PL-021", "GDOI-PL-023"];
    cx.check("sak.consumed-exactly", EXACT, read, "attributes from the 5th octet behind the SPI to the end", observed);
    scene.finish(cx)
}

fn sak_attributes(cx: &mut Cx<'_>) -> Flow {
    let scene = KsScene::standard(cx)?;
    let body = sa_of_m2(cx, &scene)?;
    let sak = SaLayout::read(&body).and_then(|layout| layout.sak().and_then(SakLayout::read));
    let sak = cx.have(sak, "there is no SAK that could be read")?;
    let attributes = match sak.attributes {
        Ok(attributes) => attributes,
        Err(error) => {
            cx.check("sak.attributes-parse", &["GDOI-PL-030"], false, "attributes as tabulated", error);
            return scene.finish(cx);
        }
    };
    let found = classes(&attributes);
    let uint = |class| attributes.uint(class);
    let algorithm = uint(kek_attr::ALGORITHM);
    cx.check("sak.algorithm", &["GDOI-PL-025"], algorithm == Some(3), "KEK_ALGORITHM AES", format!("{algorithm:?}"));
    let signature = uint(kek_attr::SIG_ALGORITHM);
    cx.check(
        "sak.sig-algorithm",
        &["GDOI-PL-026"],
        signature == Some(1),
        "SIG_ALGORITHM RSA",
        format!("{signature:?}"),
    );
    let managed = found.contains(&kek_attr::MANAGEMENT_ALGORITHM);
    cx.check("sak.no-management-algorithm", &["GDOI-PL-028"], !managed, "no class 1", format!("classes {found:?}"));
    let bits = uint(kek_attr::KEY_LENGTH);
    cx.check("sak.key-length", &["GDOI-PL-032"], bits == Some(128), "128 bits, without the IV", format!("{bits:?}"));
    lifetime_form(
        cx,
        &attributes,
        scene.setup.groups.first().and_then(|g| g.kek.as_ref()).map_or(0, |k| k.lifetime_secs),
    );
    let form = |class: u16| attributes.get(class).is_none_or(|attribute| attribute.is_basic());
    let basic = [
        kek_attr::ALGORITHM,
        kek_attr::KEY_LENGTH,
        kek_attr::SIG_HASH,
        kek_attr::SIG_ALGORITHM,
        kek_attr::SIG_KEY_LENGTH,
        kek_attr::ACK_REQUESTED,
    ];
    let right = basic.into_iter().all(form);
    cx.check(
        "sak.attribute-forms",
        &["GDOI-PL-030"],
        right,
        "basic form for classes 2, 3, 5, 6, 7, 9",
        format!("classes {found:?}"),
    );
    // Private classes are a vendor's own matter; an unassigned one belongs to nobody, and strict members abort on it.
    let assigned = |class: u16| matches!(class, 1..=7 | 9 | 128..=255);
    let known = found.iter().copied().all(assigned);
    Rule::advisory("sak.assigned-classes", &["GDOI-PL-030"]).judge(
        cx,
        known,
        "registered or private classes",
        format!("classes {found:?}"),
    );
    scene.finish(cx)
}

/// Judges KEK_KEY_LIFETIME: four octets; a short form is a known habit as long as it says the same.
fn lifetime_form(cx: &mut Cx<'_>, attributes: &Attributes, configured: u64) {
    let Some(lifetime) = attributes.get(kek_attr::KEY_LIFETIME) else {
        cx.world.note("no KEK_KEY_LIFETIME, which is optional");
        return;
    };
    const RULES: &[&str] = &["GDOI-PL-030", "GDOI-PL-035"];
    let secs = lifetime.as_u64().unwrap_or(0);
    let near = secs <= configured && secs + 5 + configured / 20 >= configured;
    let observed = format!("{secs} s of {configured} s");
    cx.check("sak.lifetime-value", RULES, near, "the configured lifetime less the time that passed", observed);
    let octets = lifetime.octets().map(<[u8]>::len);
    let four = octets == Some(4);
    let observed = octets.map_or_else(|| "basic form".to_owned(), |len| format!("{len} octets"));
    // A value that fits into the short form loses nothing.
    let level = if near { Level::Should } else { Level::Must };
    let check = Check::new("sak.lifetime-form", RULES).level(level).at(cx.world.now());
    cx.record(check.saw(four, "4 octets in variable form", observed));
}

fn sat_contents(cx: &mut Cx<'_>) -> Flow {
    let mut setup = KsSetup::standard(cx.world);
    let acl = |entry: &str| vec![entry.to_owned()];
    setup.group().teks = vec![
        Tek { acl: acl("permit ip 10.1.0.0/16 10.2.0.0/16"), ..Tek::default() },
        Tek { acl: acl("permit ip 10.3.0.0/16 10.4.0.0/16"), transform: "aes256-cbc".to_owned(), ..Tek::default() },
        Tek { acl: acl("permit ip 10.5.0.0/16 10.6.0.0/16"), lifetime_secs: 7_200, ..Tek::default() },
    ];
    let scene = KsScene::start(cx, setup)?;
    let body = sa_of_m2(cx, &scene)?;
    let sa = GdoiSa::decode(&body, &Dialect::RFC6407, &hallmark_probe::seen::limits());
    let sa = match sa {
        Ok(sa) => sa,
        Err(error) => {
            cx.check("sat.parses", &["GDOI-PL-046"], false, "SATs as in the figure", error);
            return scene.finish(cx);
        }
    };
    let sats: Vec<_> = sa
        .teks()
        .filter_map(|sat| match &sat.body {
            TekBody::Ipsec(ipsec) => Some((sat.protocol_id, ipsec)),
            TekBody::Bypass(_) | TekBody::Other(_) => None,
        })
        .collect();
    cx.check("sat.one-for-each-entry", &["GDOI-PL-046"], sats.len() == 3, "3 SATs", format!("{} SATs", sats.len()));
    // SATs of one policy may share an SPI; these three policies may not.
    let mut spis: Vec<u32> = sats.iter().map(|(_, sat)| sat.spi).collect();
    let observed = format!("{spis:08x?}");
    spis.sort_unstable();
    spis.dedup();
    let unique = spis.len() == sats.len() && spis.iter().all(|spi| *spi > 255);
    cx.check("sat.spi-unique", &["GDOI-PL-046"], unique, "three SPIs above 255", observed);
    for (_, sat) in &sats {
        let spi = format!("SPI {:08x}", sat.spi);
        let found = classes(&sat.attributes);
        let described = found.contains(&tek_attr::GROUP_DESCRIPTION);
        cx.check(
            "sat.no-group-description",
            &["GDOI-PL-047"],
            !described,
            "no class 3",
            format!("{spi}: classes {found:?}"),
        );
        let uint = |class| sat.attributes.uint(class);
        let (kind, life, mode) =
            (uint(tek_attr::LIFE_TYPE), uint(tek_attr::LIFE_DURATION), uint(tek_attr::ENCAPSULATION_MODE));
        let said =
            kind == Some(1) && life.is_some_and(|life| life > 0) && mode.is_some_and(|mode| (1..=4).contains(&mode));
        let observed = format!("{spi}: type {kind:?}, duration {life:?}, mode {mode:?}");
        cx.check("sat.lifetime-and-mode", &["GDOI-PL-049"], said, "seconds, a duration and a mode", observed);
        let auth = uint(tek_attr::AUTH_ALGORITHM);
        cx.check("sat.authentication", &["GDOI-PL-050"], auth == Some(5), "HMAC-SHA2-256", format!("{spi}: {auth:?}"));
    }
    scene.finish(cx)
}

fn remaining_lifetimes(cx: &mut Cx<'_>) -> Flow {
    const WAIT: u64 = 120;
    let scene = KsScene::standard(cx)?;
    let (mut member, first) = scene.register(cx, 0)?;
    cx.wait_secs(WAIT);
    let second = complete(cx, &mut member)?;
    let elapsed = (second.at - first.at).as_secs();
    let life = |registration: &hallmark_probe::gm::Registration| {
        (
            registration.teks.first().and_then(|tek| tek.lifetime_secs()),
            registration.kek.as_ref().and_then(|k| k.lifetime_secs),
        )
    };
    let ((tek_then, kek_then), (tek_now, kek_now)) = (life(&first), life(&second));
    let same = first.teks.first().map(|tek| tek.spi) == second.teks.first().map(|tek| tek.spi);
    cx.require(same, "the TEK was replaced meanwhile")?;
    for (name, rule, then, now) in [
        ("lifetime.tek-remaining", "GDOI-PL-049", tek_then, tek_now),
        ("lifetime.kek-remaining", "GDOI-PL-035", kek_then, kek_now),
    ] {
        // Both are optional or may be given in kilobytes; then there is nothing to compare.
        let (Some(then), Some(now)) = (then, now) else { continue };
        let shorter = then.saturating_sub(now);
        let right = shorter + 5 + elapsed / 20 >= elapsed && shorter <= elapsed + 5 + elapsed / 20;
        // The RFC names no instant from which a lifetime counts: members drifting apart is what makes it wrong.
        let check = Check::new(name, &[rule]).level(Level::Should).at(cx.world.now());
        let observed = format!("{then} s, then {now} s after {elapsed} s");
        cx.record(check.saw(right, "as much shorter as time has passed", observed));
    }
    scene.finish(cx)
}

fn classes(attributes: &Attributes) -> Vec<u16> {
    attributes.iter().map(|attribute| attribute.class).collect()
}
