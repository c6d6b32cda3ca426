//! What a PUSH looks like: header, order, encryption, signature and content.

use hallmark_probe::gm::SigReading;
use hallmark_wire::gdoi::kd_type;
use hallmark_wire::isakmp::PayloadType;

use super::kit::{SOON, member, pushes, quick, quick_kek};
use crate::Case;
use crate::cx::{Cx, Flow};
use crate::scene::KsScene;
use crate::setup::Tek;

pub(crate) const CASES: &[Case] = &[
    case! {
        "PUSHK-001", "gdoi.push", Must, Ks,
        title: "the header of a rekey is the one that members look for",
        purpose: "Members find the Rekey SA by the cookie pair and drop what has other flags or a message id, so one wrong octet cuts off the whole group.",
        requirements: ["GDOI-PUSH-001", "GDOI-PUSH-002", "GDOI-PUSH-003", "GDOI-PUSH-004", "GDOI-PUSH-005"],
        sources: ["RFC 6407 §4.2"],
        catches: ["ks_push_message_id_set", "ks_push_flags_extra", "ks_push_cookies_swapped"],
        cost: 80,
        run: header,
    },
    case! {
        "PUSHK-002", "gdoi.push", Must, Ks,
        title: "a rekey is SEQ, SA, KD, SIG in this order",
        purpose: "Members check cheapest first and read in order; a rekey without signature or with another order is refused.",
        requirements: ["GDOI-PUSH-007", "GDOI-PUSH-008"],
        sources: ["RFC 6407 §4", "RFC 6407 §5.9"],
        catches: ["ks_push_wrong_order", "ks_push_unsigned"],
        cost: 80,
        run: order,
    },
    case! {
        "PUSHK-003", "gdoi.signature", Must, Ks,
        title: "the signature covers prefix, header and every payload before it, in the standard encoding",
        purpose: "A member of another vendor verifies exactly this octet string; anything else is a group that never rekeys.",
        requirements: ["GDOI-PUSH-011", "GDOI-PUSH-012", "GDOI-PUSH-013", "GDOI-PUSH-014", "GDOI-PUSH-015"],
        sources: ["RFC 6407 §4", "RFC 6407 §5.3.6.1"],
        catches: [
            "ks_signs_padded_length", "ks_signs_flags_clear", "ks_sig_missing_prefix", "ks_sig_missing_header",
            "ks_sig_bare_digest", "ks_sig_hash_sha1",
        ],
        cost: 160,
        run: signature,
    },
    case! {
        "PUSHK-004", "gdoi.push", Must, Ks,
        title: "every rekey starts from the downloaded IV and ends in zero padding shorter than a block",
        purpose: "Rekeys get lost; one that can only be decrypted after its predecessor strands every member that missed one.",
        requirements: ["GDOI-PUSH-009", "GDOI-PUSH-010", "GDOI-PUSH-008"],
        sources: ["RFC 6407 §5.6.2.1", "RFC 2409 App. B"],
        catches: ["ks_push_iv_chained", "ks_push_padding_random", "ks_push_extra_padding"],
        cost: 240,
        run: encryption,
    },
    case! {
        "PUSHK-005", "gdoi.push", Must, Ks,
        title: "rekeys travel between the addresses and ports that the SAK announced",
        purpose: "Firewalls and members filter on them.",
        requirements: ["GDOI-PUSH-006"],
        sources: ["RFC 6407 §5.3"],
        catches: ["ks_push_wrong_source"],
        cost: 80,
        run: addresses,
    },
    case! {
        "PUSHK-006", "gdoi.push", Must, Ks,
        title: "each SA of a rekey comes with its key, named by the same SPI",
        purpose: "A member cannot install an SA without key, and must not guess which key belongs to which SA.",
        requirements: ["GDOI-PUSH-025", "GDOI-PL-059", "GDOI-PL-057"],
        sources: ["RFC 6407 §4.3", "RFC 6407 §5.6"],
        catches: ["ks_push_tek_without_key"],
        cost: 80,
        run: keys_for_each_sa,
    },
    case! {
        "PUSHK-007", "gdoi.sid", Must, Ks,
        title: "a rekey carries nothing that is meant for one sender",
        purpose: "A sender id that reaches every member makes all of them use the same IVs under one key.",
        requirements: ["GDOI-SID-013", "GDOI-PUSH-030", "GDOI-PL-040"],
        sources: ["RFC 6407 §5.4", "RFC 6407 §5.6.4"],
        catches: ["ks_sid_in_push"],
        cost: 80,
        run: no_sender_ids,
    },
    case! {
        "PUSHK-008", "gdoi.push", Must, Ks,
        title: "a TEK rekey brings a new SPI and fresh keys",
        purpose: "A key that is used again under a new name protects nothing that the old one did not.",
        requirements: ["GDOI-SID-001", "GDOI-SEC-001", "GDOI-PL-046"],
        sources: ["RFC 6407 §3.5", "RFC 6407 §7.5"],
        catches: ["ks_tek_key_reused"],
        cost: 240,
        run: fresh_keys,
    },
    case! {
        "PUSHK-009", "gdoi.push", Must, Ks,
        title: "a new KEK comes under the old one, with its SAK, its key and the new cookie pair",
        purpose: "Members hold only the old KEK when it arrives; whatever is missing locks the whole group out at once.",
        requirements: ["GDOI-PUSH-019", "GDOI-PUSH-023", "GDOI-PUSH-024", "GDOI-PL-059"],
        sources: ["RFC 6407 §4", "RFC 6407 §4.3", "RFC 6407 §5.6"],
        catches: ["ks_kek_rekey_under_new_kek", "ks_kek_push_without_sak", "ks_kek_push_without_key", "ks_kd_old_spi"],
        cost: 190,
        run: kek_delivery,
    },
    case! {
        "PUSHK-010", "gdoi.ack", Must, Ks,
        title: "the SAK of a rekey asks for acknowledgements like the one of the registration",
        purpose: "Members follow the latest SAK: one without the request ends all acknowledgements, and the server then removes the silent.",
        requirements: ["GDOI-ACK-001", "GDOI-ACK-002"],
        sources: ["RFC 8263 §5"],
        catches: ["ks_ack_request_missing_in_push"],
        cost: 190,
        run: ack_request_in_push,
    },
    case! {
        "FRAG-008", "gdoi.fragmentation", Must, Ks,
        title: "a rekey larger than the MTU arrives whole and valid",
        purpose: "Eight or more ACEs push a rekey past 1500 octets; a server that truncates it or gives up leaves the group without keys.",
        requirements: ["FRAG-008", "GDOI-PUSH-005", "GDOI-PUSH-025"],
        sources: ["getvpn.md §9.7"],
        catches: ["ks_large_push_cut"],
        cost: 80,
        run: large_rekey,
    },
];

fn header(cx: &mut Cx<'_>) -> Flow {
    let setup = quick(cx);
    let scene = KsScene::start(cx, setup)?;
    let mut gm = member(cx, &scene, 0)?;
    let kek = cx.have(gm.current_kek().cloned(), "the registration brought no KEK")?;
    let push = scene.push(cx, &mut gm, SOON)?;
    let header = &push.header;
    cx.check("push.flags", &["GDOI-PUSH-001"], header.flags.0 == 1, "01", format!("{:02x}", header.flags.0));
    cx.check("push.message-id", &["GDOI-PUSH-002"], header.message_id == 0, "0", header.message_id);
    cx.check(
        "push.exchange-and-version",
        &["GDOI-PUSH-003"],
        header.exchange.0 == 33 && header.version == 0x10 && header.next == PayloadType::SEQ,
        "exchange 33, version 10, first payload SEQ",
        format!("exchange {}, version {:02x}, first payload {}", header.exchange.0, header.version, header.next),
    );
    cx.check(
        "push.cookies-are-kek-spi",
        &["GDOI-PUSH-004"],
        push.kek_spi == kek.spi,
        "the SPI of the SAK",
        if push.kek_spi == kek.spi { "the SPI of the SAK" } else { "another cookie pair" },
    );
    let size = push.datagram.payload.len();
    cx.check(
        "push.length",
        &["GDOI-PUSH-005"],
        header.length as usize == size,
        "the size of the datagram",
        header.length,
    );
    scene.finish(cx)
}

fn order(cx: &mut Cx<'_>) -> Flow {
    let setup = quick(cx);
    let scene = KsScene::start(cx, setup)?;
    let mut gm = member(cx, &scene, 0)?;
    let push = scene.push(cx, &mut gm, SOON)?;
    cx.check(
        "push.encrypted-under-kek",
        &["GDOI-PUSH-008"],
        push.known_kek && push.seen.flaw.is_none(),
        "decrypts with the KEK of the registration",
        push.seen.flaw.clone().unwrap_or_else(|| "decrypts".to_owned()),
    );
    let expected = [PayloadType::SEQ, PayloadType::SA, PayloadType::KEY_DOWNLOAD, PayloadType::SIG];
    let kinds: Vec<PayloadType> = push.kinds.iter().copied().filter(|kind| *kind != PayloadType::DELETE).collect();
    let names: Vec<String> = push.kinds.iter().map(ToString::to_string).collect();
    cx.check("push.payload-order", &["GDOI-PUSH-007"], kinds == expected, "SEQ, SA, KD, SIG", names.join(", "));
    scene.finish(cx)
}

fn signature(cx: &mut Cx<'_>) -> Flow {
    // Different numbers of ACEs give different lengths, so that padding is there in one of the messages at least.
    let mut padded = false;
    for aces in [1, 2] {
        let mut setup = quick(cx);
        *setup.tek() = Tek { lifetime_secs: 120, ..Tek::default().with_aces(aces) };
        let scene = KsScene::start(cx, setup)?;
        let mut gm = member(cx, &scene, 0)?;
        for push in pushes(cx, &scene, &mut gm, 1)? {
            padded |= !push.padding.is_empty();
            cx.check(
                "push.signature",
                &["GDOI-PUSH-011", "GDOI-PUSH-013", "GDOI-PUSH-014", "GDOI-PUSH-015"],
                matches!(push.sig, SigReading::Standard | SigReading::WireLength),
                "verifies over \"rekey\", header and payloads with DigestInfo and the announced hash",
                format!("{:?}", push.sig),
            );
            cx.check(
                "push.signed-length",
                &["GDOI-PUSH-012"],
                push.sig != SigReading::WireLength,
                "the unpadded length",
                format!("{:?}", push.sig),
            );
        }
        scene.finish(cx)?;
    }
    cx.require(padded, "no rekey had padding, so the signed length could not be told")
}

fn encryption(cx: &mut Cx<'_>) -> Flow {
    // Two ACEs leave the last block unfilled.
    let mut setup = quick(cx);
    *setup.tek() = Tek { lifetime_secs: 120, ..Tek::default().with_aces(2) };
    let scene = KsScene::start(cx, setup)?;
    let mut gm = member(cx, &scene, 0)?;
    for push in pushes(cx, &scene, &mut gm, 3)? {
        let seq = push.seq.map_or("?".to_owned(), |seq| seq.to_string());
        cx.check(
            "push.iv-is-static",
            &["GDOI-PUSH-009", "GDOI-PUSH-008"],
            push.seen.flaw.is_none(),
            "decrypts from the downloaded IV",
            push.seen.flaw.clone().unwrap_or_else(|| format!("sequence {seq} decrypts")),
        );
        cx.check(
            "push.zero-padding",
            &["GDOI-PUSH-010"],
            push.padding.len() < 16 && push.padding.iter().all(|octet| *octet == 0),
            "fewer than 16 octets, all zero",
            hex::encode(&push.padding),
        );
    }
    scene.finish(cx)
}

fn addresses(cx: &mut Cx<'_>) -> Flow {
    let setup = quick(cx);
    let scene = KsScene::start(cx, setup)?;
    let (mut gm, registration) = scene.register(cx, 0)?;
    gm.script.auto_ack = true;
    let sak = cx.have(registration.policy.kek().cloned(), "the policy has no SAK")?;
    let push = scene.push(cx, &mut gm, SOON)?;
    let announced = |selector: &hallmark_wire::gdoi::Selector, end: std::net::SocketAddr| {
        let ip = match end.ip() {
            std::net::IpAddr::V4(ip) => ip.octets().to_vec(),
            std::net::IpAddr::V6(ip) => ip.octets().to_vec(),
        };
        (selector.port == 0 || selector.port == end.port())
            && (selector.data == ip || selector.data.iter().all(|o| *o == 0))
    };
    let (src, dst) = (push.datagram.src, push.datagram.dst);
    cx.check(
        "push.announced-addresses",
        &["GDOI-PUSH-006"],
        announced(&sak.src, src) && announced(&sak.dst, dst),
        "source and destination of the SAK",
        format!("{src} to {dst}"),
    );
    scene.finish(cx)
}

fn keys_for_each_sa(cx: &mut Cx<'_>) -> Flow {
    let mut setup = quick(cx);
    setup.group().teks.push(Tek {
        lifetime_secs: 120,
        acl: vec!["permit ip 10.3.0.0/16 10.4.0.0/16".to_owned()],
        ..Tek::default()
    });
    let scene = KsScene::start(cx, setup)?;
    let mut gm = member(cx, &scene, 0)?;
    let push = scene.push(cx, &mut gm, SOON)?;
    let sa = cx.have(push.sa.clone(), "the rekey has no SA payload that decodes")?;
    let kd = push.kd;
    cx.check(
        "push.kd-decodes",
        &["GDOI-PL-057"],
        kd.is_some(),
        "a KD whose counts agree",
        if kd.is_some() { "decodes" } else { "does not decode" },
    );
    let announced: std::collections::BTreeSet<Vec<u8>> = sa
        .teks()
        .filter_map(|tek| match &tek.body {
            hallmark_wire::gdoi::TekBody::Ipsec(tek) => Some(tek.spi.to_be_bytes().to_vec()),
            hallmark_wire::gdoi::TekBody::Bypass(_) | hallmark_wire::gdoi::TekBody::Other(_) => None,
        })
        .collect();
    let delivered: std::collections::BTreeSet<Vec<u8>> = kd
        .iter()
        .flat_map(|kd| &kd.packets)
        .filter(|packet| packet.kd_type == kd_type::TEK)
        .map(|packet| packet.spi.clone())
        .collect();
    cx.check(
        "push.key-for-each-sa",
        &["GDOI-PUSH-025", "GDOI-PL-059"],
        !announced.is_empty() && announced == delivered,
        "one TEK packet for each SPI of the SA payload",
        format!("{} SPIs announced, {} keys", announced.len(), delivered.len()),
    );
    scene.finish(cx)
}

fn no_sender_ids(cx: &mut Cx<'_>) -> Flow {
    let mut setup = quick(cx);
    setup.group().sid_bits = Some(8);
    *setup.tek() = Tek { transform: "aes128-gcm16".to_owned(), auth: None, lifetime_secs: 120, ..Tek::default() };
    let scene = KsScene::start(cx, setup)?;
    let mut gm = member(cx, &scene, 0)?;
    let push = scene.push(cx, &mut gm, SOON)?;
    let sid = push.kd.iter().flat_map(|kd| &kd.packets).any(|packet| packet.kd_type == kd_type::SID);
    let request = push.sa.as_ref().and_then(|sa| sa.gap().cloned());
    let request =
        request.is_some_and(|gap| gap.attributes.get(hallmark_wire::gdoi::gap_attr::SENDER_ID_REQUEST).is_some());
    cx.check(
        "push.no-sender-ids",
        &["GDOI-SID-013", "GDOI-PUSH-030", "GDOI-PL-040"],
        push.kd.is_some() && !sid && !request,
        "no SID packet, no SENDER_ID_REQUEST",
        if sid {
            "a SID packet"
        } else if request {
            "a SENDER_ID_REQUEST"
        } else {
            "neither"
        },
    );
    scene.finish(cx)
}

fn fresh_keys(cx: &mut Cx<'_>) -> Flow {
    let setup = quick(cx);
    let scene = KsScene::start(cx, setup)?;
    let (mut gm, registration) = scene.register(cx, 0)?;
    gm.script.auto_ack = true;
    // SPI and key of each SA; a rekey may repeat SAs that are still alive.
    let pair = |tek: &hallmark_probe::Tek| (tek.spi, tek.algorithm_key.clone());
    let mut known: std::collections::BTreeSet<(u32, Vec<u8>)> = registration.teks.iter().map(pair).collect();
    let mut fresh = 0;
    for push in pushes(cx, &scene, &mut gm, 3)? {
        let before: std::collections::BTreeSet<u32> = known.iter().map(|(spi, _)| *spi).collect();
        fresh += usize::from(push.teks.iter().any(|tek| !before.contains(&tek.spi)));
        known.extend(push.teks.iter().map(pair));
    }
    let spis: std::collections::BTreeSet<u32> = known.iter().map(|(spi, _)| *spi).collect();
    let keys: std::collections::BTreeSet<&Vec<u8>> = known.iter().map(|(_, key)| key).collect();
    cx.check(
        "push.fresh-spi",
        &["GDOI-PL-046"],
        fresh == 3,
        "a new SPI each time",
        format!("{fresh} of 3 rekeys brought one"),
    );
    cx.check(
        "push.fresh-keys",
        &["GDOI-SID-001", "GDOI-SEC-001"],
        keys.len() == spis.len() && known.len() == spis.len(),
        "a key of its own for each SPI",
        format!("{} keys for {} SPIs", keys.len(), spis.len()),
    );
    scene.finish(cx)
}

fn kek_delivery(cx: &mut Cx<'_>) -> Flow {
    let mut setup = quick(cx);
    setup.tek().lifetime_secs = 3_600;
    quick_kek(&mut setup);
    let scene = KsScene::start(cx, setup)?;
    let mut gm = member(cx, &scene, 0)?;
    let old = cx.have(gm.current_kek().cloned(), "the registration brought no KEK")?;
    let push = scene.push(cx, &mut gm, 230)?;
    cx.check(
        "push.kek-under-old-kek",
        &["GDOI-PUSH-019"],
        push.kek_spi == old.spi && push.seen.flaw.is_none(),
        "cookies and key of the old KEK",
        if push.kek_spi == old.spi { "old cookies" } else { "other cookies" },
    );
    let sak = push.sa.as_ref().and_then(|sa| sa.kek().cloned());
    cx.check(
        "push.sak-with-new-kek",
        &["GDOI-PUSH-023"],
        sak.is_some(),
        "a SAK",
        if sak.is_some() { "a SAK" } else { "no SAK" },
    );
    let packet = push.kd.iter().flat_map(|kd| &kd.packets).find(|packet| packet.kd_type == kd_type::KEK).cloned();
    let spi = sak.as_ref().map(|sak| sak.spi.to_vec());
    cx.check(
        "push.key-of-new-kek",
        &["GDOI-PUSH-024", "GDOI-PL-059"],
        packet.is_some() && packet.map(|packet| packet.spi) == spi && spi != Some(old.spi.to_vec()),
        "one KEK packet with the new SPI of the SAK",
        match (&push.kek, spi) {
            (Some(_), Some(spi)) if spi != old.spi => "the new KEK".to_owned(),
            (_, None) => "no SAK".to_owned(),
            (None, _) => "no usable KEK packet for the SAK".to_owned(),
            _ => "the old SPI again".to_owned(),
        },
    );
    scene.finish(cx)
}

fn ack_request_in_push(cx: &mut Cx<'_>) -> Flow {
    let mut setup = quick(cx);
    setup.tek().lifetime_secs = 3_600;
    quick_kek(&mut setup);
    let scene = KsScene::start(cx, setup)?;
    let (mut gm, registration) = scene.register(cx, 0)?;
    gm.script.auto_ack = true;
    let asked = |sak: Option<&hallmark_wire::gdoi::SaKek>| {
        sak.and_then(|sak| sak.attributes.uint(hallmark_wire::gdoi::kek_attr::ACK_REQUESTED))
    };
    let first = asked(registration.policy.kek());
    let push = scene.push(cx, &mut gm, 230)?;
    let again = asked(push.sa.as_ref().and_then(|sa| sa.kek()));
    cx.check(
        "push.ack-requested-again",
        &["GDOI-ACK-001", "GDOI-ACK-002"],
        matches!(first, Some(1..=4)) && again == first,
        "the request of the registration",
        format!("registration {first:?}, rekey {again:?}"),
    );
    scene.finish(cx)
}

fn large_rekey(cx: &mut Cx<'_>) -> Flow {
    let mut large = false;
    for aces in [8, 24, 100] {
        let mut setup = quick(cx);
        *setup.tek() = Tek { lifetime_secs: 120, ..Tek::default().with_aces(aces) };
        let scene = KsScene::start(cx, setup)?;
        let mut gm = member(cx, &scene, 0)?;
        let push = scene.push(cx, &mut gm, SOON)?;
        let size = push.datagram.payload.len();
        // The SAs that are replaced may stand beside the new ones.
        let mut sats: std::collections::BTreeMap<u32, usize> = std::collections::BTreeMap::new();
        for tek in push.sa.iter().flat_map(|sa| sa.teks()) {
            if let hallmark_wire::gdoi::TekBody::Ipsec(body) = &tek.body {
                *sats.entry(body.spi).or_default() += 1;
            }
        }
        let most = sats.values().copied().max().unwrap_or(0);
        large |= size > 1_500;
        cx.check(
            "push.large-rekey-valid",
            &["FRAG-008", "GDOI-PUSH-005", "GDOI-PUSH-025"],
            push.is_acceptable() && most == aces && push.header.length as usize == size,
            "every ACE, and a signature that verifies",
            format!("{most} of {aces} ACEs in {size} octets, signature {:?}", push.sig),
        );
        cx.check(
            "push.large-rekey-keyed",
            &["GDOI-PUSH-025"],
            push.teks.len() >= aces.min(1) && !push.teks.is_empty(),
            "keys for the SAs",
            format!("{} SAs with keys", push.teks.len()),
        );
        scene.finish(cx)?;
    }
    cx.require(large, "no rekey was larger than 1500 octets")
}
