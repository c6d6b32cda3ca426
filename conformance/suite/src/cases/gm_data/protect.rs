//! What a member sends: SPI, sequence numbers, trailer and lengths of its ESP packets.

use std::net::{IpAddr, SocketAddr};

use hallmark_core::Duration;
use hallmark_probe::KsScript;
use hallmark_probe::data::{Clear, EspSeen, Replay, Stamp, clock_showing};
use hallmark_probe::group::{Flow as Entry, SidPlan};
use hallmark_probe::ks::{PushSpec, deletion};
use hallmark_probe::world::Side;
use hallmark_wire::gdoi::gap_attr;
use hallmark_wire::isakmp::Attribute;

use super::esp::{
    CBC, Cipher, GCM, NULL, all_opened, all_protected, both_versions, datagram, none_in_clear, numbers, sound,
};
use crate::Case;
use crate::cx::{Cx, Flow, Stop};
use crate::data::{DataScene, LAN_HOST, LAN_HOST6, Rule, WAN_HOST, WAN_HOST6, both_ways, with_flows, with_tek};

pub(crate) const CASES: &[Case] = &[
    case! {
        "DP-001", "data.esp", Must, Gm,
        title: "the outer addresses of a protected packet are those of the packet inside",
        purpose: "The core routes by the hosts' addresses; with any other pair return traffic takes another path, and \
                  members check that both are equal.",
        requirements: ["DP-001", "ESP-038", "ESP-039"],
        sources: ["RFC 5374 §5.1", "getvpn §9.10"],
        catches: ["dp_outer_source_own", "dp_outer_destination_wrong", "dp_outer_addresses_swapped"],
        needs: [Datapath],
        cost: 15,
        run: addresses,
    },
    case! {
        "ESPS-001", "data.esp", Must, Gm,
        title: "the outer header is a whole IPv4 header of protocol 50",
        purpose: "Routers drop a packet with a wrong checksum or length, and no member looks into another protocol.",
        requirements: ["ESP-001", "ESP-044", "DP-001"],
        sources: ["RFC 4303 §2", "RFC 791 §3.1"],
        catches: ["dp_outer_protocol_ah", "dp_outer_checksum_wrong", "dp_outer_length_wrong"],
        needs: [Datapath],
        cost: 15,
        run: outer_form,
    },
    case! {
        "DP-005", "data.esp", Must, Gm,
        title: "packets carry the SPI that the key server handed out",
        purpose: "It is all by which the other members find the key.",
        requirements: ["DP-005", "ESP-006"],
        sources: ["RFC 4303 §2.1", "getvpn §9.10"],
        catches: ["dp_spi_byte_swapped", "dp_spi_plus_one"],
        needs: [Datapath],
        cost: 20,
        run: spi,
    },
    case! {
        "DP-006", "data.esp", Must, Gm,
        title: "a thousand packets carry the numbers 1 to 1000, each once",
        purpose: "Receivers with a replay window lose whatever is numbered twice or runs backwards.",
        requirements: ["DP-006", "ESP-002", "ESP-003"],
        sources: ["RFC 4303 §2.2", "RFC 4303 §3.3.3"],
        catches: ["dp_seq_starts_at_zero", "dp_seq_skips", "dp_seq_stuck", "dp_seq_little_endian",
                  "dp_every_packet_twice", "dp_goes_deaf_after_1000"],
        needs: [Datapath],
        cost: 60,
        run: thousand,
    },
    case! {
        "ESPS-002", "data.esp", Must, Gm,
        title: "a rekey that is not yet active leaves the numbers of the SA in use alone",
        purpose: "Receivers with a replay window take everything for old when the numbers start anew in mid-life.",
        requirements: ["ESP-003", "DP-001"],
        sources: ["RFC 4303 §2.2", "RFC 5374 §4.2.1"],
        catches: ["dp_seq_restarts_on_apply"],
        needs: [Datapath],
        cost: 30,
        run: numbers_go_on,
    },
    case! {
        "ESPS-003", "data.esp", Must, Gm,
        title: "each SA counts its own packets, from 1",
        purpose: "A common count leaves gaps under each SPI, larger than any replay window when one SA is busy.",
        requirements: ["ESP-002", "ESP-003", "DP-001"],
        sources: ["RFC 4303 §3.3.3"],
        catches: ["dp_seq_shared_by_all_sas"],
        needs: [Datapath],
        cost: 15,
        run: two_counts,
    },
    case! {
        "ESPS-004", "data.esp", Must, Gm,
        title: "the IV of CBC cannot be foreseen",
        purpose: "Who can foresee it can test guesses about the first block of a packet.",
        requirements: ["ESP-024", "DP-001"],
        sources: ["RFC 3602 §3"],
        catches: ["dp_cbc_iv_counts", "dp_cbc_iv_zero"],
        needs: [Datapath],
        cost: 30,
        run: cbc_ivs,
    },
    case! {
        "ESPS-005", "data.esp", Must, Gm,
        title: "packets of every length end in whole words, padded with 1, 2, 3",
        purpose: "Receivers that check the trailer drop anything else, for some packet lengths only.",
        requirements: ["ESP-007", "ESP-008", "ESP-015"],
        sources: ["RFC 4303 §2.4", "RFC 4303 §2.7"],
        catches: ["dp_padding_zeros", "dp_padding_from_zero", "dp_padding_misaligned",
                  "dp_pad_length_counts_trailer", "dp_tfc_unasked"],
        needs: [Datapath],
        cost: 40,
        run: trailers,
    },
    case! {
        "ESPS-006", "data.esp", Must, Gm,
        title: "a gateway tunnels: the whole packet is inside, and the next header says of which version",
        purpose: "Transport mode cannot carry fragments and lets the inner header be changed on the way.",
        requirements: ["ESP-043", "ESP-055"],
        sources: ["RFC 5374 §3", "RFC 4303 §2.6"],
        catches: ["dp_transport_instead_of_tunnel", "dp_next_header_zero", "dp_next_header_inner_protocol"],
        needs: [Datapath],
        cost: 15,
        run: tunnel,
    },
    case! {
        "DP-028", "data.esp", Must, Gm,
        title: "IPv6 traffic of the permit class is protected in both directions",
        purpose: "A member that knows IPv4 only lets IPv6 out in clear, past every policy.",
        requirements: ["DP-028", "ESP-038", "ESP-039", "ESP-041", "ESP-055"],
        sources: ["RFC 4303 §2.6", "RFC 5374 §5.1", "getvpn §9.10"],
        catches: ["dp_ipv6_not_encrypted", "dp_next_header_always_v4"],
        needs: [Datapath],
        cost: 20,
        run: ipv6,
    },
    case! {
        "ESPS-007", "data.esp", Must, Gm,
        title: "every ESP packet of a burst is authentic",
        purpose: "One packet in a hundred with a wrong ICV looks like a bad line and is never found.",
        requirements: ["ESP-030", "DP-011"],
        sources: ["RFC 4303 §3.3.2"],
        catches: ["dp_icv_corrupt", "dp_icv_truncated"],
        needs: [Datapath],
        cost: 20,
        run: all_authentic,
    },
    case! {
        "PMTU-009", "data.size", Should, Gm,
        title: "an ESP packet is as long as its transform makes it, for every length inside",
        purpose: "Whoever plans MTU and segment sizes reckons with the least padding; a block more makes packets that \
                  just fit too long.",
        requirements: ["PMTU-009", "DP-001"],
        sources: ["getvpn §5.2", "getvpn §9.11"],
        catches: ["dp_padding_block_more"],
        needs: [Datapath],
        cost: 90,
        run: lengths,
    },
    case! {
        "PMTU-010", "data.size", Should, Gm,
        title: "the time stamp costs as many octets as it is long",
        purpose: "The segment size that fits without time-based replay protection may not fit with it.",
        requirements: ["PMTU-010", "DP-001"],
        sources: ["getvpn §4.5", "getvpn §9.11"],
        catches: ["dp_stamp_missing"],
        needs: [Datapath],
        cost: 30,
        run: stamp_length,
    },
    case! {
        "ESPS-010", "data.esp", Must, Gm,
        title: "where numbers are checked, nothing is sent beyond the last of them",
        purpose: "Numbers that begin again look like replays, and replays of old packets look like new ones.",
        requirements: ["ESP-004", "DP-001"],
        sources: ["RFC 4303 §3.3.3"],
        catches: ["dp_seq_cycles_with_replay"],
        needs: [Datapath, Setup, Console],
        cost: 20,
        run: last_number,
    },
    case! {
        "ESPS-011", "data.esp", Should, Gm,
        title: "where nobody checks numbers, they begin again and traffic goes on",
        purpose: "A busy member runs through them within the life of a key; stopping there is an outage for nothing.",
        requirements: ["ESP-005", "DP-001"],
        sources: ["RFC 4303 §3.3.3"],
        catches: ["dp_seq_stops_without_replay"],
        needs: [Datapath, Setup, Console],
        cost: 20,
        run: numbers_roll_over,
    },
    case! {
        "ESPS-012", "data.esp", Must, Gm,
        title: "when the IVs of a sender id have run out nothing more is sent under it",
        purpose: "The next IV would be the first one again.",
        requirements: ["ESP-067", "ESP-023", "GDOI-SID-024", "GDOI-SID-025", "DP-001"],
        sources: ["RFC 6054 §5", "RFC 6407 §5.6.4.3"],
        catches: ["dp_sid_wraps_on_exhaustion", "gm_sid_exhaustion_ignored"],
        needs: [Datapath, Setup, Console],
        cost: 40,
        run: ivs_run_out,
    },
    case! {
        "ESPS-008", "data.tbar", Must, Gm,
        title: "packets carry the pseudotime of the group, and it runs",
        purpose: "A stamp that stands still, or counts otherwise, falls out of every other member's window.",
        requirements: ["TBAR-011"],
        sources: ["getvpn §4.1", "getvpn §4.2", "getvpn §4.5"],
        catches: ["dp_stamp_missing", "dp_stamp_frozen", "dp_stamp_in_seconds", "dp_stamp_wraps",
                  "dp_stamp_little_endian"],
        needs: [Datapath],
        cost: 30,
        run: pseudotime,
    },
    case! {
        "ESPS-009", "data.tbar", Should, Gm,
        title: "packets carry the wall clock in seconds and microseconds",
        purpose: "A receiver drops a header whose length or time it reads differently.",
        requirements: ["ESP-092", "ESP-094"],
        sources: ["draft-weis-delay-detection §2", "getvpn §4.6"],
        catches: ["dp_d3p_nanoseconds", "dp_d3p_length_wrong", "dp_stamp_missing"],
        needs: [Datapath],
        cost: 20,
        run: delay_detection,
    },
];

/// What most cases of this file rest on.
const PROTECTED: Rule = Rule::new("esp.protected", &["DP-001"]);

fn addresses(cx: &mut Cx<'_>) -> Flow {
    const PRESERVED: Rule = Rule::new("esp.addresses-preserved", &["DP-001", "ESP-038", "ESP-039"]);
    let mut scene = DataScene::standard(cx)?;
    let pairs: [([u8; 4], [u8; 4]); 4] = [
        ([10, 1, 0, 10], [10, 2, 0, 20]),
        ([10, 1, 255, 254], [10, 2, 0, 1]),
        ([10, 1, 7, 7], [10, 2, 200, 9]),
        ([10, 1, 0, 1], [10, 2, 255, 255]),
    ];
    for (src, dst) in pairs {
        let (src, dst) = (IpAddr::from(src), IpAddr::from(dst));
        let (from, to) = (SocketAddr::new(src, 1_024), SocketAddr::new(dst, 80));
        let packets = [
            ("UDP", datagram(src, dst)),
            ("TCP", Clear::tcp(from, to, 16, b"data")),
            ("ICMP", Clear::echo(src, dst, 7, 1, 32)),
            ("OSPF", Clear::other(src, dst, 89, vec![1; 44])),
        ];
        for (name, packet) in packets {
            let what = format!("{name} from {src} to {dst}");
            let seen = scene.expect_esp(cx, &PROTECTED, &what, &packet)?;
            sound(cx, &PRESERVED, &what, &seen);
        }
    }
    scene.finish(cx)
}

fn outer_form(cx: &mut Cx<'_>) -> Flow {
    const FORM: Rule = Rule::new("esp.outer-form", &["ESP-001", "ESP-044", "DP-001"]);
    let mut scene = DataScene::standard(cx)?;
    for size in [28, 64, 333, 1_200] {
        let what = format!("{size} octets");
        let seen = scene.expect_esp(cx, &FORM, &what, &DataScene::outbound().sized(size))?;
        sound(cx, &FORM, &what, &seen);
    }
    scene.finish(cx)
}

fn spi(cx: &mut Cx<'_>) -> Flow {
    const SPI: Rule = Rule::new("esp.spi-of-policy", &["DP-005", "ESP-006"]);
    let mut scene = DataScene::standard(cx)?;
    for what in ["the first TEK", "after a rekey", "after another"] {
        let known: Vec<u32> = scene.scene.ks.script.group.teks.iter().map(|tek| tek.spi).collect();
        let seen = scene.expect_esp(cx, &SPI, what, &DataScene::outbound())?;
        let handed = scene.opener().knows(seen.spi);
        SPI.judge(cx, handed, "an SPI of the policy", format!("{what}: {:08x}, newest {known:08x?}", seen.spi));
        scene.rekey(cx)?;
    }
    scene.finish(cx)
}

fn thousand(cx: &mut Cx<'_>) -> Flow {
    const NUMBERS: Rule = Rule::new("esp.numbers", &["DP-006", "ESP-002", "ESP-003"]);
    const BURST: u16 = 30;
    let mut scene = DataScene::standard(cx)?;
    for round in 0..35 {
        let burst: Vec<Clear> = (0..BURST).map(|i| DataScene::outbound().ident(round * BURST + i)).collect();
        all_protected(cx, &mut scene, &NUMBERS, &format!("burst {round} of {BURST}"), &burst)?;
    }
    numbers(cx, &NUMBERS, "1050 packets", &scene);
    scene.finish(cx)
}

/// Makes a PUSH with a fresh TEK that is used for sending only after so many seconds.
fn later(scene: &mut DataScene, activation_secs: u16) -> PushSpec {
    let tek = scene.scene.ks.fresh_tek();
    PushSpec::tek(tek)
        .with_gap(Attribute::basic(gap_attr::ACTIVATION_TIME_DELAY, activation_secs))
        .with_gap(Attribute::basic(gap_attr::DEACTIVATION_TIME_DELAY, activation_secs * 2))
}

fn numbers_go_on(cx: &mut Cx<'_>) -> Flow {
    const GO_ON: Rule = Rule::new("esp.numbers-go-on", &["ESP-003"]);
    going_on(cx, &GO_ON, CBC)
}

/// Sends before and after a PUSH whose TEK is not used for sending yet, and judges numbers and IVs.
pub(super) fn going_on(cx: &mut Cx<'_>, rule: &Rule, cipher: Cipher) -> Flow {
    let started = cipher.scene(cx)?;
    let mut scene = cx.have(started, format!("the member did not register with {}", cipher.name))?;
    let burst: Vec<Clear> = (0..5).map(|i| DataScene::outbound().ident(i)).collect();
    let before = all_protected(cx, &mut scene, &PROTECTED, "before the PUSH", &burst)?;
    let spec = later(&mut scene, 60);
    scene.push(cx, spec)?;
    let after = all_protected(cx, &mut scene, &PROTECTED, "after the PUSH", &burst)?;
    let same = before.last().map(|seen| seen.spi) == after.first().map(|seen| seen.spi);
    cx.world.note(if same { "still under the old SPI" } else { "under the new SPI already" });
    numbers(cx, rule, "before and after the PUSH", &scene);
    scene.finish(cx)
}

fn two_counts(cx: &mut Cx<'_>) -> Flow {
    const COUNTS: Rule = Rule::new("esp.numbers-per-sa", &["ESP-002", "ESP-003"]);
    let other = Entry::between(([10, 1, 0, 0].into(), 16), ([10, 3, 0, 0].into(), 16));
    let tek = CBC.tek(cx).flows(both_ways(&other));
    let mut scene = DataScene::with(cx, |_| {}, |script| script.group.teks.push(tek))?;
    for round in 0..4 {
        for dst in [WAN_HOST, IpAddr::from([10, 3, 0, 20])] {
            let what = format!("round {round}, to {dst}");
            scene.expect_esp(cx, &PROTECTED, &what, &datagram(LAN_HOST, dst))?;
        }
    }
    numbers(cx, &COUNTS, "two SAs in turn", &scene);
    scene.finish(cx)
}

fn cbc_ivs(cx: &mut Cx<'_>) -> Flow {
    const RANDOM: Rule = Rule::new("esp.cbc-iv-random", &["ESP-024"]);
    const COUNT: u16 = 64;
    for cipher in [CBC, Cipher::with("3des+hmac-sha1", 3, 0, 2)] {
        let Some(mut scene) = cipher.scene(cx)? else { continue };
        let mut ivs: Vec<Vec<u8>> = Vec::new();
        for round in 0..4 {
            let burst: Vec<Clear> = (0..COUNT / 4).map(|i| DataScene::outbound().ident(round * 16 + i)).collect();
            let seen = all_protected(cx, &mut scene, &PROTECTED, "a burst", &burst)?;
            ivs.extend(seen.into_iter().map(|seen| seen.iv));
        }
        let len = ivs.iter().map(Vec::len).min().unwrap_or(0);
        // Of 64 random octets in one place, fewer than 16 different ones do not happen.
        let least = (0..len)
            .map(|at| ivs.iter().filter_map(|iv| iv.get(at)).collect::<std::collections::BTreeSet<_>>().len())
            .min()
            .unwrap_or(0);
        let observed = format!("{}: an octet of the IV took {least} values in {COUNT} packets", cipher.name);
        RANDOM.judge(cx, least >= 16, "every octet of the IV changes at random", observed);
        scene.finish(cx)?;
    }
    Ok(())
}

fn trailers(cx: &mut Cx<'_>) -> Flow {
    const TRAILER: Rule = Rule::new("esp.trailer", &["ESP-007", "ESP-008", "ESP-015"]);
    for cipher in [CBC, GCM, NULL] {
        let Some(mut scene) = cipher.scene(cx)? else { continue };
        let packets: Vec<Clear> = (40..=75).map(|size| DataScene::outbound().sized(size)).collect();
        let seen = all_protected(cx, &mut scene, &TRAILER, cipher.name, &packets)?;
        let broken = seen
            .iter()
            .find(|seen| seen.findings().iter().any(|finding| TRAILER.requirements.contains(&finding.requirement)));
        match broken {
            Some(seen) => sound(cx, &TRAILER, &format!("{}, {} octets", cipher.name, seen.inner.len()), seen),
            None => TRAILER.judge(cx, true, "nothing wrong with it", format!("{}: 36 lengths", cipher.name)),
        };
        scene.finish(cx)?;
    }
    Ok(())
}

fn tunnel(cx: &mut Cx<'_>) -> Flow {
    const TUNNEL: Rule = Rule::new("esp.tunnel", &["ESP-043", "ESP-055"]);
    let mut scene = DataScene::standard(cx)?;
    for (what, packet) in [
        ("UDP", DataScene::outbound()),
        ("ICMP", Clear::echo(LAN_HOST, WAN_HOST, 3, 1, 100)),
        ("TCP", Clear::tcp(SocketAddr::new(LAN_HOST, 1_025), SocketAddr::new(WAN_HOST, 22), 2, b"")),
    ] {
        let seen = scene.expect_esp(cx, &TUNNEL, what, &packet)?;
        let observed = format!("{what}: next header {}", seen.next_header);
        TUNNEL.judge(cx, seen.next_header == 4, "next header 4", observed);
    }
    scene.finish(cx)
}

fn ipv6(cx: &mut Cx<'_>) -> Flow {
    const NEVER_CLEAR: Rule = Rule::grave("esp.ipv6-not-in-clear", &["DP-028"]);
    const V6: Rule = Rule::new("esp.ipv6", &["DP-028", "ESP-038", "ESP-039", "ESP-041", "ESP-055"]);
    let mut scene = DataScene::with(cx, |_| {}, |script| with_flows(script, both_versions()))?;
    let (from, to) = (SocketAddr::new(LAN_HOST6, 1_024), SocketAddr::new(WAN_HOST6, 80));
    let packets = [
        ("UDP", datagram(LAN_HOST6, WAN_HOST6)),
        ("TCP", Clear::tcp(from, to, 16, b"data")),
        ("ICMPv6", Clear::echo(LAN_HOST6, WAN_HOST6, 7, 1, 64)),
        ("UDP behind destination options", datagram(LAN_HOST6, WAN_HOST6).extension(60, &[1, 4, 0, 0, 0, 0])),
    ];
    for (what, packet) in packets {
        none_in_clear(cx, &mut scene, &NEVER_CLEAR, what, &[packet.octets()])?;
        let seen = scene.expect_esp(cx, &V6, what, &packet)?;
        sound(cx, &V6, what, &seen);
        let observed = format!("{what}: next header {}", seen.next_header);
        V6.judge(cx, seen.next_header == 41, "next header 41", observed);
        let back = packet.between(WAN_HOST6, LAN_HOST6);
        all_opened(cx, &mut scene, &V6, &format!("{what} from the WAN"), &[back])?;
    }
    scene.finish(cx)
}

fn all_authentic(cx: &mut Cx<'_>) -> Flow {
    const AUTHENTIC: Rule = Rule::new("esp.authentic", &["ESP-030", "DP-011"]);
    for cipher in [CBC, GCM] {
        let Some(mut scene) = cipher.scene(cx)? else { continue };
        for round in 0..4 {
            let burst: Vec<Clear> = (0..20).map(|i| DataScene::outbound().ident(round * 20 + i)).collect();
            all_protected(cx, &mut scene, &AUTHENTIC, &format!("{}, burst {round} of 20", cipher.name), &burst)?;
        }
        scene.finish(cx)?;
    }
    Ok(())
}

/// Lets the member go on as if it had sent so many packets under the newest TEK. Gives its SPI.
fn advance(cx: &mut Cx<'_>, scene: &DataScene, last: u64) -> Flow<u32> {
    let spi = scene.tek()?.spi;
    cx.world.command(0, &format!("{{\"cmd\":\"advance-sequence\",\"spi\":{spi},\"last\":{last}}}"))?;
    Ok(spi)
}

/// Sends packets and gives those that leave as ESP.
fn leave(cx: &mut Cx<'_>, scene: &mut DataScene, count: u16) -> Flow<Vec<EspSeen>> {
    let packets: Vec<Vec<u8>> = (0..count).map(|i| DataScene::outbound().ident(i).octets()).collect();
    let passed = scene.pass_many(cx, Side::Lan, &packets)?;
    Ok(passed.opened(scene.opener()).into_iter().flatten().collect())
}

/// Gives the group a fresh TEK in the place of one that is used up.
fn replace(cx: &mut Cx<'_>, scene: &mut DataScene, spi: u32) -> Flow {
    let tek = scene.scene.ks.fresh_tek();
    scene.scene.ks.script.group.teks.clear();
    let spec = PushSpec::tek(tek).with_delete(deletion(1, vec![spi.to_be_bytes().to_vec()]));
    scene.push(cx, spec).map(drop)
}

fn last_number(cx: &mut Cx<'_>) -> Flow {
    const STOPS: Rule = Rule::new("esp.numbers-end", &["ESP-004"]);
    let replay = Replay::Counter { window: 64 };
    let mut scene = DataScene::with(cx, |_| {}, |script| script.group.replay = replay)?;
    scene.expect_esp(cx, &PROTECTED, "before", &DataScene::outbound())?;
    let spi = advance(cx, &scene, u64::from(u32::MAX) - 2)?;
    let numbers: Vec<u32> = leave(cx, &mut scene, 5)?.iter().map(|seen| seen.seq).collect();
    let observed = format!("5 packets with two numbers left: {numbers:08x?}");
    STOPS.judge(cx, numbers == [u32::MAX - 1, u32::MAX], "fffffffe and ffffffff, no more", observed);
    replace(cx, &mut scene, spi)?;
    scene.finish(cx)
}

fn numbers_roll_over(cx: &mut Cx<'_>) -> Flow {
    const GOES_ON: Rule = Rule::new("esp.numbers-roll-over", &["ESP-005"]);
    let mut scene = DataScene::standard(cx)?;
    scene.expect_esp(cx, &PROTECTED, "before", &DataScene::outbound())?;
    let spi = advance(cx, &scene, u64::from(u32::MAX) - 2)?;
    let numbers: Vec<u32> = leave(cx, &mut scene, 5)?.iter().map(|seen| seen.seq).collect();
    let observed = format!("5 packets with two numbers left: {numbers:08x?}");
    GOES_ON.judge(cx, numbers == [u32::MAX - 1, u32::MAX, 0, 1, 2], "5 packets, ffffffff followed by 0", observed);
    // A member that has stopped works on under a new SA, whatever it did under this one.
    replace(cx, &mut scene, spi)?;
    scene.finish(cx)
}

fn ivs_run_out(cx: &mut Cx<'_>) -> Flow {
    const ENDS: Rule = Rule::new("esp.ivs-end", &["ESP-067", "ESP-023", "GDOI-SID-024"]);
    const AGAIN: Rule = Rule::new("esp.new-sender-id-asked-for", &["GDOI-SID-025"]);
    const FIRST: u32 = 0x1357;
    let tek = GCM.tek(cx);
    let change = |script: &mut KsScript| {
        with_tek(script, tek);
        script.group.sids = Some(SidPlan { bits: 16, next: FIRST, default_count: 1 });
    };
    let Some(mut scene) = DataScene::optional(cx, |_| {}, change)? else {
        return Err(Stop::NotSupported("gm.esp.aes-gcm".to_owned(), "false".to_owned()));
    };
    for i in 0..4 {
        scene.expect_esp(cx, &PROTECTED, "before", &DataScene::outbound().ident(i))?;
    }
    advance(cx, &scene, (1 << 48) - 3)?;
    let mut seen = leave(cx, &mut scene, 6)?;
    // It may get another sender id and go on under that.
    scene.scene.ks.serve_for(cx.world, Duration::from_secs(60));
    seen.extend(leave(cx, &mut scene, 6)?);
    let under = seen.iter().filter(|seen| seen.iv.starts_with(&[0x13, 0x57])).count();
    let observed = format!("{under} packets under the sender id with two IVs left");
    ENDS.judge(cx, under <= 2, "two at most", observed);
    numbers(cx, &ENDS, "before and after", &scene);
    let ids = scene.scene.ks.script.group.sids.as_ref().map_or(0, |plan| plan.next - FIRST);
    let observed = format!("{ids} sender ids handed out, {} packets afterwards", seen.len() - under);
    AGAIN.judge(cx, ids > 1, "another registration within 60 s", observed);
    // A new key has all its IVs before it, for a member that waits for one too.
    let tek = scene.scene.ks.fresh_tek();
    scene.push(cx, PushSpec::tek(tek).with_delete(deletion(1, vec![vec![0; 4]])))?;
    scene.finish(cx)
}

fn lengths(cx: &mut Cx<'_>) -> Flow {
    // Up to 255 octets of padding are legal, so more than the least is warned about only; not now and then, but
    // whenever a packet of the same length is sent.
    const LEAST: Rule = Rule::advisory("esp.length", &["PMTU-009"]);
    let ciphers = [
        CBC,
        Cipher::with("aes256-cbc+hmac-sha1", 12, 256, 2),
        NULL,
        GCM,
        Cipher::alone("aes256-gcm8", 18, 256),
        Cipher::alone("aes128-gmac", 23, 128),
    ];
    for cipher in ciphers {
        let Some(mut scene) = cipher.scene(cx)? else { continue };
        let sizes: Vec<usize> = (40..=72).chain((100..=1_400).step_by(131)).collect();
        let packets: Vec<Clear> = sizes.iter().map(|&size| DataScene::outbound().sized(size)).collect();
        let seen = all_protected(cx, &mut scene, &PROTECTED, cipher.name, &packets)?;
        let mut wrong = None;
        for (one, packet) in seen.iter().zip(&packets) {
            let t = one.transform;
            let least = 8 + t.iv_len() + (one.inner.len() + 2).next_multiple_of(t.align()) + t.icv_len();
            let mut len = one.esp_len;
            for _ in 0..2 {
                if len != least {
                    len = scene.expect_esp(cx, &PROTECTED, "the same length again", packet)?.esp_len;
                }
            }
            if len != least && wrong.is_none() {
                wrong = Some(format!("{} octets of {} inside, {least} would do", len, one.inner.len()));
            }
        }
        let observed = wrong.clone().unwrap_or_else(|| format!("{} lengths as the formula says", sizes.len()));
        let observed = format!("{}: {observed}", cipher.name);
        LEAST.judge(cx, wrong.is_none(), "8 + IV + the packet and 2 in whole blocks + ICV", observed);
        scene.finish(cx)?;
    }
    Ok(())
}

/// Asks for time-based replay protection with a clock that does not fit into 16 bits of ticks.
fn timed(cx: &mut Cx<'_>) -> Flow<(DataScene, hallmark_core::Pseudotime)> {
    let clock = clock_showing(600_000, cx.world.now());
    let replay = Replay::Time { window_secs: 20, clock };
    let scene = DataScene::with(cx, |_| {}, |script| script.group.replay = replay)?;
    Ok((scene, clock))
}

fn stamp_length(cx: &mut Cx<'_>) -> Flow {
    const COST: Rule = Rule::new("tbar.overhead", &["PMTU-010"]);
    let packet = DataScene::outbound().sized(500);
    let mut scene = DataScene::standard(cx)?;
    let plain = scene.expect_esp(cx, &PROTECTED, "without stamps", &packet)?.esp_len;
    scene.finish(cx)?;
    let (mut scene, _) = timed(cx)?;
    let seen = scene.expect_esp(cx, &PROTECTED, "with stamps", &packet)?;
    let inside = |pad: usize| seen.esp_len - pad;
    let more = inside(seen.pad.len()).saturating_sub(500 + 8 + seen.transform.iv_len() + 2 + seen.transform.icv_len());
    cx.measure("octets of a time stamp", more as f64, "octets");
    let observed = format!("{plain} octets without, {} with, of which {more} are the stamp", seen.esp_len);
    COST.judge(cx, matches!(more, 8 | 12 | 16), "8, 12 or 16 octets", observed);
    scene.finish(cx)
}

fn pseudotime(cx: &mut Cx<'_>) -> Flow {
    const STAMP: Rule = Rule::new("tbar.stamp-sent", &["TBAR-011"]);
    let (mut scene, clock) = timed(cx)?;
    for what in ["at once", "8 s later", "16 s later"] {
        let seen = scene.expect_esp(cx, &STAMP, what, &DataScene::outbound())?;
        let due = clock.at(seen.at);
        let (ok, observed) = match seen.stamp {
            // 3 s cover the way of the policy to the member, at 20 times the speed of real clocks too.
            Some(Stamp::Time { ticks }) => (ticks.abs_diff(due) <= 300, format!("{what}: {ticks} ticks, {due} due")),
            other => (false, format!("{what}: {other:?}")),
        };
        STAMP.judge(cx, ok, "the pseudotime of the group", observed);
        scene.scene.ks.serve_for(cx.world, Duration::from_secs(8));
    }
    scene.finish(cx)
}

fn delay_detection(cx: &mut Cx<'_>) -> Flow {
    const STAMP: Rule = Rule::new("d3p.stamp-sent", &["ESP-092", "ESP-094"]);
    let replay = Replay::D3p { window_ms: 20_000 };
    let mut scene = DataScene::with(cx, |_| {}, |script| script.group.replay = replay)?;
    for round in 0..6 {
        let seen = scene.expect_esp(cx, &STAMP, &format!("packet {round}"), &DataScene::outbound())?;
        let Stamp::D3p { secs: now, .. } = Stamp::d3p(cx.world.wall()) else {
            return Err(Stop::Inconclusive("the tester has no clock".to_owned()));
        };
        let (ok, observed) = match seen.stamp {
            Some(Stamp::D3p { secs, micros }) => {
                let near = secs.abs_diff(now) <= 3;
                (near && micros < 1_000_000, format!("{secs} s and {micros} us, the clock shows {now} s"))
            }
            other => (false, format!("{other:?}")),
        };
        STAMP.judge(cx, ok, "the wall clock, microseconds below a million", observed);
        scene.scene.ks.serve_for(cx.world, Duration::from_millis(370));
    }
    let passed = scene.pass(cx, Side::Lan, &DataScene::outbound().octets())?;
    cx.require(!passed.wan.is_empty(), "nothing left the WAN")?;
    scene.finish(cx)
}
