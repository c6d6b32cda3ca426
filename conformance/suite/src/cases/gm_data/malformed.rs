//! ESP packets of the wrong form, authentic and not: each is dropped, and the next regular packet passes.

use hallmark_probe::data::{Clear, Forge};
use hallmark_probe::world::Side;

use super::esp::{CBC, Cipher, GCM, NULL, all_opened, both_versions, datagram};
use crate::Case;
use crate::cx::{Cx, Flow};
use crate::data::{DataScene, LAN_HOST, LAN_HOST6, Rule, WAN_HOST, WAN_HOST6, total, with_flows};

pub(crate) const CASES: &[Case] = &[
    case! {
        "DP-017", "data.esp", Must, Gm,
        title: "ESP packets cut to any length are dropped, and the member goes on",
        purpose: "Anybody can send them; a member that reads beyond the end of one is stopped from outside.",
        requirements: ["DP-017", "ESP-032"],
        sources: ["RFC 4303 §2", "getvpn §9.10"],
        catches: ["dp_short_packet_stops"],
        needs: [Datapath],
        cost: 40,
        run: truncated,
    },
    case! {
        "DP-016", "data.esp", Must, Gm,
        title: "an authentic packet whose Pad Length exceeds it is dropped, and the member goes on",
        purpose: "A member of the group, or a bug in one, must not be able to stop all the others.",
        requirements: ["DP-016", "ESP-011"],
        sources: ["RFC 4303 §2.4", "getvpn §9.10"],
        catches: ["dp_pad_overrun_stops", "dp_pad_length_overrun_accepted"],
        needs: [Datapath],
        cost: 30,
        run: pad_length,
    },
    case! {
        "ESPR-010", "data.esp", Should, Gm,
        title: "padding that is not 1, 2, 3 is refused",
        purpose: "The check costs nothing and finds packets that were put together wrongly or cut and pasted.",
        requirements: ["ESP-010"],
        sources: ["RFC 4303 §2.4"],
        catches: ["dp_pad_octets_accepted"],
        needs: [Datapath],
        cost: 20,
        run: pad_octets,
    },
    case! {
        "ESPR-011", "data.esp", Must, Gm,
        title: "any legal amount of padding is accepted",
        purpose: "Senders may hide lengths by padding up to 255 octets.",
        requirements: ["ESP-009"],
        sources: ["RFC 4303 §2.4"],
        catches: ["dp_pad_length_ignored"],
        needs: [Datapath],
        cost: 25,
        run: more_padding,
    },
    case! {
        "ESPR-012", "data.esp", Must, Gm,
        title: "an authentic packet that does not end on a word is dropped",
        purpose: "Trailers are aligned for the sake of hardware, which stumbles over others.",
        requirements: ["ESP-007"],
        sources: ["RFC 4303 §2.4"],
        catches: ["dp_bad_alignment_accepted"],
        needs: [Datapath],
        cost: 20,
        run: alignment,
    },
    case! {
        "ESPR-013", "data.esp", Must, Gm,
        title: "dummy packets are thrown away in silence",
        purpose: "Members may send them to hide how much they say; what they hold means nothing.",
        requirements: ["ESP-012"],
        sources: ["RFC 4303 §2.6"],
        catches: ["dp_dummy_forwarded"],
        needs: [Datapath],
        cost: 15,
        run: dummies,
    },
    case! {
        "ESPR-014", "data.esp", Must, Gm,
        title: "dummy packets are no errors",
        purpose: "Counted as errors they hide the real ones, at whatever rate a sender likes.",
        requirements: ["ESP-012", "DP-007"],
        sources: ["RFC 4303 §2.6"],
        catches: ["dp_dummy_is_an_error"],
        needs: [Datapath, Console],
        cost: 20,
        run: dummies_uncounted,
    },
    case! {
        "ESPR-015", "data.esp", Should, Gm,
        title: "traffic flow padding behind the inner packet is cut off",
        purpose: "Forwarded with the packet it travels on in clear, as octets that no length counts.",
        requirements: ["ESP-014"],
        sources: ["RFC 4303 §2.7"],
        catches: ["dp_tfc_forwarded"],
        needs: [Datapath],
        cost: 20,
        run: tfc,
    },
    case! {
        "ESPR-016", "data.esp", Should, Gm,
        title: "a packet inside of another version than the next header says is dropped",
        purpose: "What parses one way here and another way behind it passes every filter.",
        requirements: ["ESP-055"],
        sources: ["RFC 4303 §2.6", "RFC 4301 §5.2"],
        catches: ["dp_next_header_mismatch_accepted"],
        needs: [Datapath],
        cost: 25,
        run: version,
    },
    case! {
        "ESPR-017", "data.esp", Should, Gm,
        title: "an inner packet that claims to be longer than it is is dropped",
        purpose: "Whoever forwards it by its claim sends what lay behind it in memory.",
        requirements: ["ESP-055"],
        sources: ["RFC 791 §3.1", "RFC 4301 §5.2"],
        catches: ["dp_inner_length_accepted"],
        needs: [Datapath],
        cost: 20,
        run: inner_length,
    },
    case! {
        "ESPR-018", "data.esp", Must, Gm,
        title: "authentic packets that hold no IP packet are dropped, and the member goes on",
        purpose: "A faulty member must not be able to stop all the others.",
        requirements: ["ESP-055", "DP-016"],
        sources: ["RFC 4301 §5.2", "getvpn §9.14"],
        catches: ["dp_inner_garbage_stops"],
        needs: [Datapath],
        cost: 40,
        run: garbage,
    },
];

/// Lets packets arrive of which none is to pass.
fn dropped(cx: &mut Cx<'_>, scene: &mut DataScene, rule: &Rule, what: &str, packets: &[Vec<u8>]) -> Flow {
    scene.expect_nothing(cx, rule, what, Side::Wan, packets).map(drop)
}

fn truncated(cx: &mut Cx<'_>) -> Flow {
    const DROPPED: Rule = Rule::grave("esp.cut-dropped", &["DP-017", "ESP-032"]);
    for cipher in [CBC, GCM, NULL] {
        let Some(mut scene) = cipher.scene(cx)? else { continue };
        let inner = DataScene::inbound().sized(40).octets();
        let whole = match scene.forge(cx, &inner, &Forge::new())?.upper {
            hallmark_probe::data::Upper::Other { payload, .. } => payload.len(),
            _ => 0,
        };
        let mut packets = Vec::new();
        for cut in 0..whole {
            packets.push(scene.forge(cx, &inner, &Forge::new().cut(cut))?.octets());
        }
        let name = cipher.name;
        let (short, long) = packets.split_at(packets.len().min(8));
        dropped(cx, &mut scene, &DROPPED, &format!("{name}, cut to 0 to 7 octets"), short)?;
        dropped(cx, &mut scene, &DROPPED, &format!("{name}, cut to 8 to {} octets", whole - 1), long)?;
        scene.finish(cx)?;
    }
    Ok(())
}

fn pad_length(cx: &mut Cx<'_>) -> Flow {
    const DROPPED: Rule = Rule::new("esp.pad-length-dropped", &["DP-016", "ESP-011"]);
    for cipher in [CBC, GCM] {
        let Some(mut scene) = cipher.scene(cx)? else { continue };
        let inner = DataScene::inbound().sized(60).octets();
        for claimed in [255, 200, 77] {
            let packet = scene.forge(cx, &inner, &Forge::new().pad_length(claimed))?.octets();
            let what = format!("{}, Pad Length {claimed} behind 60 octets", cipher.name);
            dropped(cx, &mut scene, &DROPPED, &what, &[packet])?;
        }
        let nothing = Forge::new().outer(WAN_HOST, LAN_HOST).next_header(4).pad_length(255);
        let packet = scene.forge(cx, &[], &nothing)?.octets();
        dropped(cx, &mut scene, &DROPPED, &format!("{}, a trailer alone", cipher.name), &[packet])?;
        scene.finish(cx)?;
    }
    Ok(())
}

fn pad_octets(cx: &mut Cx<'_>) -> Flow {
    const REFUSED: Rule = Rule::new("esp.pad-octets-refused", &["ESP-010"]);
    let mut scene = DataScene::standard(cx)?;
    // 60 octets and the trailer leave 2 octets of padding in blocks of 16.
    let inner = DataScene::inbound().sized(60).octets();
    for (what, pad) in [("0, 0", [0, 0]), ("0, 1", [0, 1]), ("1, 3", [1, 3]), ("255, 255", [255, 255])] {
        let packet = scene.forge(cx, &inner, &Forge::new().pad(&pad))?.octets();
        dropped(cx, &mut scene, &REFUSED, &format!("padding {what}"), &[packet])?;
    }
    scene.finish(cx)
}

fn more_padding(cx: &mut Cx<'_>) -> Flow {
    const ACCEPTED: Rule = Rule::new("esp.padding-accepted", &["ESP-009"]);
    for (cipher, block, most) in [(CBC, 16, 240), (GCM, 4, 252)] {
        let Some(mut scene) = cipher.scene(cx)? else { continue };
        for more in [block, 2 * block, 64, 128, most] {
            // 62 octets and the trailer need no padding.
            let inner = DataScene::inbound().sized(62).octets();
            let esp = scene.forge(cx, &inner, &Forge::new().pad_more(more))?.octets();
            let what = format!("{}, {more} octets of padding where none is needed", cipher.name);
            scene.expect_inner(cx, &ACCEPTED, &what, &esp, &inner)?;
        }
        scene.finish(cx)?;
    }
    Ok(())
}

fn alignment(cx: &mut Cx<'_>) -> Flow {
    const DROPPED: Rule = Rule::new("esp.alignment-dropped", &["ESP-007"]);
    let ciphers = [GCM, NULL, Cipher::alone("aes128-gmac", 23, 128)];
    for cipher in ciphers {
        let Some(mut scene) = cipher.scene(cx)? else { continue };
        for (size, pad) in [(61, &[][..]), (62, &[1][..]), (60, &[1][..])] {
            let inner = DataScene::inbound().sized(size).octets();
            let packet = scene.forge(cx, &inner, &Forge::new().pad(pad))?.octets();
            let what = format!("{}, {} octets and {} of padding", cipher.name, size, pad.len());
            dropped(cx, &mut scene, &DROPPED, &what, &[packet])?;
        }
        scene.finish(cx)?;
    }
    Ok(())
}

/// Makes dummy packets: with a packet inside, with noise, with nothing.
fn some_dummies(cx: &mut Cx<'_>, scene: &mut DataScene) -> Flow<Vec<(&'static str, Vec<u8>)>> {
    let forge = Forge::new().next_header(59).outer(WAN_HOST, LAN_HOST);
    let noise = cx.world.rng().vec(80);
    let mut packets = Vec::new();
    for (what, inside) in [("a whole packet", DataScene::inbound().octets()), ("noise", noise), ("nothing", Vec::new())]
    {
        packets.push((what, scene.forge(cx, &inside, &forge)?.octets()));
    }
    Ok(packets)
}

fn dummies(cx: &mut Cx<'_>) -> Flow {
    const SILENT: Rule = Rule::new("esp.dummy-discarded", &["ESP-012"]);
    let mut scene = DataScene::standard(cx)?;
    for (what, packet) in some_dummies(cx, &mut scene)? {
        dropped(cx, &mut scene, &SILENT, &format!("a dummy with {what}"), &[packet])?;
    }
    scene.finish(cx)
}

fn dummies_uncounted(cx: &mut Cx<'_>) -> Flow {
    const NO_ERROR: Rule = Rule::new("esp.dummy-is-no-error", &["ESP-012"]);
    const OPENED: Rule = Rule::new("esp.opened", &["DP-007"]);
    let mut scene = DataScene::standard(cx)?;
    all_opened(cx, &mut scene, &OPENED, "a regular packet", &[DataScene::inbound()])?;
    let before = total(&scene.plane(cx)?, "/sas", "/receive_errors");
    for (_, packet) in some_dummies(cx, &mut scene)? {
        scene.pass(cx, Side::Wan, &packet)?;
    }
    let errors = total(&scene.plane(cx)?, "/sas", "/receive_errors").saturating_sub(before);
    NO_ERROR.judge(cx, errors == 0, "no error", format!("{errors} errors for 3 dummy packets"));
    scene.finish(cx)
}

fn tfc(cx: &mut Cx<'_>) -> Flow {
    const CUT: Rule = Rule::new("esp.tfc-cut-off", &["ESP-014"]);
    let mut scene = DataScene::with(cx, |_| {}, |script| with_flows(script, both_versions()))?;
    for (version, inner) in [(4, DataScene::inbound()), (6, datagram(WAN_HOST6, LAN_HOST6))] {
        let inner = inner.octets();
        for more in [1, 16, 300, 900] {
            let octets = vec![0x5a; more];
            let esp = scene.forge(cx, &inner, &Forge::new().tfc(&octets))?.octets();
            let what = format!("IPv{version} with {more} octets behind it");
            let came = scene.expect_inner(cx, &CUT, &what, &esp, &inner)?;
            let len = came.len();
            CUT.judge(cx, len == inner.len(), "the inner packet alone", format!("{what}: {len} of {}", inner.len()));
        }
    }
    scene.finish(cx)
}

fn version(cx: &mut Cx<'_>) -> Flow {
    const DROPPED: Rule = Rule::new("esp.version-dropped", &["ESP-055"]);
    let mut scene = DataScene::with(cx, |_| {}, |script| with_flows(script, both_versions()))?;
    let (v4, v6) = (DataScene::inbound(), datagram(WAN_HOST6, LAN_HOST6));
    for (what, inner, next) in [
        ("IPv4 with next header 41", &v4, 41),
        ("IPv6 with next header 4", &v6, 4),
        ("IPv4 with next header 0", &v4, 0),
        ("IPv4 with next header 17", &v4, 17),
        ("IPv4 with next header 50", &v4, 50),
    ] {
        let packet = scene.forge(cx, &inner.octets(), &Forge::new().next_header(next))?.octets();
        dropped(cx, &mut scene, &DROPPED, what, &[packet])?;
    }
    for (what, first) in [("version 5", 0x55), ("version 0", 0x05), ("version 15", 0xf5)] {
        let mut inner = v4.octets();
        if let Some(octet) = inner.first_mut() {
            *octet = first;
        }
        let forge = Forge::new().next_header(4).outer(WAN_HOST, LAN_HOST);
        let packet = scene.forge(cx, &inner, &forge)?.octets();
        dropped(cx, &mut scene, &DROPPED, &format!("{what} with next header 4"), &[packet])?;
    }
    scene.finish(cx)
}

/// Writes a field into a packet; the header checksum of IPv4 is made right again.
fn with_field(packet: &Clear, at: usize, octets: &[u8]) -> Vec<u8> {
    let mut packet = packet.octets();
    if let Some(place) = packet.get_mut(at..at + octets.len()) {
        place.copy_from_slice(octets);
    }
    if packet.first().is_some_and(|first| first >> 4 == 4) {
        packet[10..12].fill(0);
        let sum = hallmark_wire::ip::checksum(&packet[..20]).to_be_bytes();
        packet[10..12].copy_from_slice(&sum);
    }
    packet
}

fn inner_length(cx: &mut Cx<'_>) -> Flow {
    const DROPPED: Rule = Rule::new("esp.inner-length-dropped", &["ESP-055"]);
    let mut scene = DataScene::with(cx, |_| {}, |script| with_flows(script, both_versions()))?;
    let v4 = DataScene::inbound().sized(100);
    let v6 = datagram(WAN_HOST6, LAN_HOST6).sized(100);
    for (what, inner) in [
        ("IPv4, 101 of 100 octets claimed", with_field(&v4, 2, &101_u16.to_be_bytes())),
        ("IPv4, 1500 of 100 octets claimed", with_field(&v4, 2, &1_500_u16.to_be_bytes())),
        ("IPv4, 65535 of 100 octets claimed", with_field(&v4, 2, &[0xff; 2])),
        ("IPv6, 61 of 60 octets of payload claimed", with_field(&v6, 4, &61_u16.to_be_bytes())),
        ("IPv6, 65535 of 60 octets of payload claimed", with_field(&v6, 4, &[0xff; 2])),
    ] {
        let (src, dst) = if what.starts_with("IPv6") { (WAN_HOST6, LAN_HOST6) } else { (WAN_HOST, LAN_HOST) };
        let next = if src.is_ipv6() { 41 } else { 4 };
        let forge = Forge::new().outer(src, dst).next_header(next);
        let packet = scene.forge(cx, &inner, &forge)?.octets();
        dropped(cx, &mut scene, &DROPPED, what, &[packet])?;
    }
    scene.finish(cx)
}

fn garbage(cx: &mut Cx<'_>) -> Flow {
    const DROPPED: Rule = Rule::new("esp.garbage-dropped", &["ESP-055", "DP-016"]);
    let mut scene = DataScene::with(cx, |_| {}, |script| with_flows(script, both_versions()))?;
    let v4 = DataScene::inbound().sized(60);
    let mut inners = vec![
        ("a header length of 4 words", with_field(&v4, 0, &[0x44])),
        ("a header length of 60 octets in 40", with_field(&DataScene::inbound().sized(40), 0, &[0x4f])),
        ("a total length of 19", with_field(&v4, 2, &[0, 19])),
        ("a total length of 0", with_field(&v4, 2, &[0, 0])),
        ("one octet", vec![0x45]),
        ("19 octets of a header", v4.octets()[..19].to_vec()),
        ("nothing", Vec::new()),
    ];
    for len in [1, 7, 20, 64, 333, 1_000] {
        inners.push(("noise", cx.world.rng().vec(len)));
    }
    for (what, inner) in inners {
        for (next, src, dst) in [(4, WAN_HOST, LAN_HOST), (41, WAN_HOST6, LAN_HOST6)] {
            let forge = Forge::new().outer(src, dst).next_header(next);
            let packet = scene.forge(cx, &inner, &forge)?.octets();
            let what = format!("{what} ({} octets) with next header {next}", inner.len());
            dropped(cx, &mut scene, &DROPPED, &what, &[packet])?;
        }
    }
    scene.finish(cx)
}
