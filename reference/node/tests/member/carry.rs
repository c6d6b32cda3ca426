//! Packets through members.

use hallmark_core::Duration;
use hallmark_datapath::Side;

use crate::world::*;

const TBAR: &str = "[group.replay]\nmethod = \"time\"\nwindow = 4";
const ANY: &str = "\"permit ip any any\"";

fn two(group: &str, data: &str) -> [String; 2] {
    [gm_text(1, group, data, ""), gm_text(2, group, data, "")]
}

#[test]
fn no_packet_is_lost_over_three_rekeys_with_time_based_replay_protection() {
    let mut world = World::registered(&ks_text(TBAR, ANY), &two("", ""));
    let mut sent = 0_u32;
    let mut spis = std::collections::BTreeSet::new();
    // Three lives of a TEK, a packet in each direction every other second and at odd moments.
    for step in 0..1_300_u64 {
        for (from, src, dst) in [(0, "10.9.1.1", "10.9.2.1"), (1, "10.9.2.1", "10.9.1.1")] {
            let clear = udp(src, dst, format!("packet {sent} of member {from}").as_bytes());
            let wan = world.send(from, Side::Lan, &clear);
            let [(Side::Wan, esp)] = wan.as_slice() else { panic!("{sent}: {wan:?}") };
            let (protocol, payload) = content(esp);
            assert_eq!(protocol, 50);
            spis.insert(payload[..4].to_vec());
            let arrived = world.deliver_wan(from, esp);
            assert_eq!(arrived.iter().map(|packet| content(packet)).collect::<Vec<_>>(), [content(&clear)], "{sent}");
            sent += 1;
        }
        world.run(secs(2) + Duration::from_millis(step % 7 * 13));
    }
    assert!(spis.len() >= 4, "the keys never changed: {spis:?}");
    for member in 0..2 {
        let status = world.status(member);
        assert_eq!(status["registrations"], 1, "{status:#}");
        assert_eq!(status["data"]["drops"], serde_json::json!({}), "{status:#}");
        let (sealed, opened) = (&status["data"]["totals"]["sealed"], &status["data"]["totals"]["opened"]);
        assert_eq!((sealed["packets"].as_u64(), opened["packets"].as_u64()), (Some(1_300), Some(1_300)));
        assert_eq!(status["data"]["replay"]["method"], "time");
    }
}

#[test]
fn deny_entries_reach_the_data_plane_in_their_order() {
    let acl =
        "\"deny icmp any any\", \"permit ip 10.9.0.0/16 10.9.0.0/16\", \"deny udp any any\", \"permit ip any any\"";
    let mut world = World::registered(&ks_text("", acl), &two("", ""));
    for rekeys in 0..3 {
        let protocol = |world: &mut World, packet: Vec<u8>| -> u8 {
            let left = world.send(0, Side::Lan, &packet);
            assert_eq!(left.len(), 1, "{left:?}");
            content(&left[0].1).0
        };
        assert_eq!(protocol(&mut world, icmp("10.9.1.1", "10.9.2.1")), 1, "denied by the first entry");
        assert_eq!(protocol(&mut world, udp("10.9.1.1", "10.9.2.1", b"x")), 50, "permitted before it is denied");
        assert_eq!(protocol(&mut world, udp("10.9.1.1", "172.16.0.1", b"x")), 17, "denied by the third entry");
        let rules = world.status(0)["data"]["rules"].as_array().unwrap().len();
        assert_eq!(rules, 4, "after {rekeys} rekeys");
        world.order("{\"cmd\":\"rekey\",\"group\":7}");
        world.run(secs(2));
    }
}

#[test]
fn a_closed_member_opens_with_its_registration_and_drops_what_has_no_keys() {
    let data = "fail = \"close\"\nfail_close_exceptions = [\"deny tcp any any eq 22\"]";
    let mut world = World::new(&ks_text("", "\"deny icmp any any\", \"permit ip any any\""), &two("", data));
    assert!(world.send(0, Side::Lan, &udp("10.9.1.1", "10.9.2.1", b"early")).is_empty());
    world.run(secs(3));
    assert_eq!(world.carry(0, &udp("10.9.1.1", "10.9.2.1", b"now")).len(), 1);
    // The server dies, the keys run out: what was to be protected never passes in clear, what was denied still does.
    world.ks = None;
    world.run(secs(4_000));
    assert_eq!(world.status(0)["registered"], false);
    assert!(world.send(0, Side::Lan, &udp("10.9.1.1", "10.9.2.1", b"late")).is_empty());
    assert_eq!(world.send(0, Side::Lan, &icmp("10.9.1.1", "10.9.2.1")).len(), 1);
    assert!(world.status(0)["data"]["drops"]["policy.no-sa"].as_u64() >= Some(1));
    assert!(!world.logged(0, "NO_USABLE_SA").is_empty());
}

#[test]
fn a_group_that_only_receives_sends_in_clear_until_it_is_told_otherwise() {
    let text = ks_text("direction = \"receive-only\"", ANY);
    let mut world = World::registered(&text, &two("", ""));
    let clear = udp("10.9.1.1", "10.9.2.1", b"migration");
    assert_eq!(world.send(0, Side::Lan, &clear).iter().map(|(_, packet)| content(packet).0).collect::<Vec<_>>(), [17]);
    let begin = text.find("[[group]]").unwrap();
    let end = text.find("[test]").unwrap();
    let policy = text[begin..end].replace("receive-only", "both");
    let request = serde_json::json!({ "cmd": "replace-policy", "policy": policy }).to_string();
    world.order(&request);
    world.order("{\"cmd\":\"rekey\",\"group\":7}");
    world.run(secs(1));
    assert_eq!(world.send(0, Side::Lan, &clear).iter().map(|(_, packet)| content(packet).0).collect::<Vec<_>>(), [50]);
    assert_eq!(world.status(0)["direction"], "both");
}

#[test]
fn a_stale_packet_is_dropped_logged_with_its_source_and_starts_one_recovery() {
    let members = two("recovery_interval_secs = 100", "");
    let mut world = World::registered(&ks_text(TBAR, ANY), &members);
    let left = world.send(0, Side::Lan, &udp("10.9.1.1", "10.9.2.1", b"held"));
    let esp = left[0].1.clone();
    world.run(secs(1));
    assert_eq!(world.deliver_wan(0, &esp).len(), 1, "fresh enough");
    assert_eq!(world.deliver_wan(0, &esp).len(), 1, "a copy in the window passes");
    world.run(secs(9));
    for _ in 0..50 {
        assert!(world.deliver_wan(0, &esp).is_empty());
        world.run(secs(1));
    }
    let lines = world.logged(1, "TIMEBASED_REPLAY_FAILED");
    assert!(!lines.is_empty(), "{:#?}", world.logs);
    assert!(
        lines[0].starts_with("%GDOI-4-TIMEBASED_REPLAY_FAILED: src_addr=10.9.1.1") && lines[0].ends_with("group=7")
    );
    assert!(!world.logged(1, "%CRYPTO-4-PKT_REPLAY_ERR").is_empty());
    let status = world.status(1);
    assert_eq!(status["recovery"]["executed"], 1, "{}", status["recovery"]);
    assert_eq!(status["registrations"], 2);
    assert_eq!(status["data"]["drops"]["tbar.too-old"], 50);
    assert!(status["data"]["replay"]["history"].as_array().is_some_and(|history| (1..=20).contains(&history.len())));
    // Fresh packets pass all the while.
    assert_eq!(world.carry(0, &udp("10.9.1.1", "10.9.2.1", b"fresh")).len(), 1);
}

#[test]
fn an_unknown_spi_of_the_group_brings_the_missing_keys() {
    let mut world = World::registered(&ks_text("group_spis = true", ANY), &two("recovery_interval_secs = 100", ""));
    // The second member misses every rekey.
    let late = world.members.pop().unwrap();
    world.order("{\"cmd\":\"rekey-replace-now\",\"group\":7}");
    world.run(secs(1));
    world.members.push(late);
    let esp = world.send(0, Side::Lan, &udp("10.9.1.1", "10.9.2.1", b"new keys"))[0].1.clone();
    assert!(world.deliver_wan(0, &esp).is_empty());
    assert!(world.logged(1, "%CRYPTO-4-RECVD_PKT_INV_SPI: dest=10.9.2.1").len() == 1, "{:#?}", world.logs);
    world.run(secs(2));
    assert_eq!(world.status(1)["recovery"]["executed"], 1);
    assert_eq!(world.deliver_wan(0, &esp).len(), 1);
    // Packets of others start nothing.
    let mut strange = esp;
    strange[20] ^= 0x55;
    world.run(secs(200));
    for _ in 0..20 {
        assert!(world.deliver_wan(0, &strange).is_empty());
        world.run(secs(2));
    }
    assert_eq!(world.status(1)["recovery"]["executed"], 1);
}

#[test]
fn a_step_of_the_wall_clock_moves_nothing_unless_a_defect_looks_at_it() {
    let pass = |test: &str| {
        let members = [gm_text(1, "", "", test), gm_text(2, "", "", "")];
        let mut world = World::registered(&ks_text(TBAR, ANY), &members);
        assert_eq!(world.ask(0, "{\"cmd\":\"step-wall\",\"secs\":30}")["ok"], true);
        world.run(secs(1));
        world.carry(0, &udp("10.9.1.1", "10.9.2.1", b"x")).len()
    };
    assert_eq!(pass(""), 1);
    assert_eq!(pass("defects = [\"tbar_wallclock\"]"), 0);
}

#[test]
fn the_wall_clock_is_set_by_commands_in_a_test_only() {
    let text = gm_text(1, "", "", "").replace("[test]\n", "");
    let mut world = World::registered(&ks_text("", ANY), &[text]);
    let answer = world.ask(0, "{\"cmd\":\"step-wall\",\"secs\":30}");
    assert_eq!(answer["ok"], false);
    assert!(answer["error"].as_str().is_some_and(|why| why.contains("[test]")), "{answer}");
}

#[test]
fn the_console_traces_captures_and_shows_what_a_member_does() {
    let mut world = World::registered(&ks_text("", ANY), &two("", ""));
    assert_eq!(world.ask(0, "{\"cmd\":\"trace\",\"count\":2,\"side\":\"lan\"}")["ok"], true);
    assert_eq!(world.ask(0, "{\"cmd\":\"capture\",\"checkpoint\":\"wan-out\",\"on\":true}")["ok"], true);
    world.carry(0, &udp("10.9.1.1", "10.9.2.1", b"seen"));
    let traces = world.ask(0, "{\"cmd\":\"traces\"}");
    assert_eq!(traces["traces"].as_array().map(Vec::len), Some(1), "{traces}");
    let captured = world.ask(0, "{\"cmd\":\"captured\"}");
    assert_eq!(captured["captured"][0]["checkpoint"], "wan-out");
    assert!(captured["captured"][0]["ip"].as_str().is_some_and(|hex| hex.starts_with("45")), "{captured}");
    let wrong = world.ask(0, "{\"cmd\":\"capture\",\"checkpoint\":\"wan\",\"on\":true}");
    assert!(wrong["error"].as_str().is_some_and(|why| why.contains("wan-out")), "{wrong}");
    let status = world.status(0);
    assert_eq!(status["data"]["state"], "registered");
    assert_eq!(status["acl"], serde_json::json!(["permit ip 0.0.0.0/0 0.0.0.0/0"]));
}

#[test]
fn a_member_without_data_table_has_no_ports() {
    let text = gm_text(1, "", "", "").replace("[data]\n", "");
    let mut world = World::registered(&ks_text("", ANY), &[text]);
    assert!(world.send(0, Side::Lan, &udp("10.9.1.1", "10.9.2.1", b"x")).is_empty());
    assert!(world.ask(0, "{\"cmd\":\"traces\"}")["error"].as_str().is_some_and(|why| why.contains("[data]")));
    assert!(world.status(0).get("data").is_none());
}

#[test]
fn a_local_entry_decides_before_the_list_of_the_server() {
    let data = "local_deny = [\"deny udp any any eq 5000\", \"permit tcp any any\"]";
    let mut world = World::registered(&ks_text("", ANY), &two("", data));
    let left = world.send(0, Side::Lan, &udp("10.9.1.1", "10.9.2.1", b"x"));
    assert_eq!(left.iter().map(|(_, packet)| content(packet).0).collect::<Vec<_>>(), [17]);
    assert_eq!(world.send(0, Side::Lan, &icmp("10.9.1.1", "10.9.2.1")).len(), 1);
}

#[test]
fn used_up_sender_ids_bring_a_registration_with_new_ones() {
    let mut world = World::registered(&ks_text("", ANY), &two("", ""));
    let before = world.status(0);
    let spi = before["send_spis"][0].as_u64().unwrap();
    // Eight bits of the IV are the sender id, the rest counts.
    let last = (1_u64 << 56) - 2;
    assert_eq!(world.ask(0, &format!("{{\"cmd\":\"advance-sequence\",\"spi\":{spi},\"last\":{last}}}"))["ok"], true);
    let clear = udp("10.9.1.1", "10.9.2.1", b"x");
    assert_eq!(world.carry(0, &clear).len(), 1, "the last one");
    assert!(world.send(0, Side::Lan, &clear).is_empty());
    assert!(!world.logged(0, "%GDOI-3-SENDER_IDS_EXHAUSTED").is_empty(), "{:#?}", world.logs);
    world.run(secs(3));
    let after = world.status(0);
    assert_eq!(after["registrations"], 2);
    assert_ne!(after["sids"], before["sids"]);
    assert_eq!(world.carry(0, &clear).len(), 1);
}

#[test]
fn a_member_that_gives_up_the_old_sa_loses_packets() {
    let members = [gm_text(1, "", "", ""), gm_text(2, "", "", "defects = [\"old_sa_dropped_on_rekey\"]")];
    let mut world = World::registered(&ks_text(TBAR, ANY), &members);
    world.order("{\"cmd\":\"rekey\",\"group\":7}");
    world.run(secs(1));
    assert!(world.carry(0, &udp("10.9.1.1", "10.9.2.1", b"under the old keys")).is_empty());
}
