//! The text of the contract is read whole, and each kind of mistake is told with its place.

use std::time::Duration;

use hallmark_control::config::{AckPolicy, Compat, DataTransform, EspCipher, SaDirection, Transport};
use hallmark_core::Rng;
use hallmark_crypto::{CipherAlg, Curve, HashAlg, SigningKey};
use hallmark_wire::isakmp::IdType;

use super::*;

const KS: &str = r#"schema = "hallmark.ks/1"
listen = ["10.0.0.1:848", "[2001:db8::1]:848"]
nat_t_port = 4500
identity = { type = "fqdn", value = "ks.example" }
control = "/run/ks.sock"
allow_weak = ["3des", "sha1", "modp1024"]
[phase1]
proposals = ["aes256-sha384-ecp384-psk", "3des-sha1-modp1024-psk"]
lifetime_secs = 3600
aggressive = true
dpd_secs = 30
nat_t = false
fragmentation = false
doi = 1
retransmit = { initial_ms = 500, factor = 1.5, cap_ms = 4000, tries = 3 }
[[peer]]
address = "10.0.0.0/8"
psk = "text"
identities = ["ipv4:10.0.0.2", "fqdn:gm1.example"]
compat = ["doi1", "sat-addresses-reversed"]
[[peer]]
address = "10.9.0.1"
psk_hex = "00ff"
[[group]]
id = 1234
members = ["ipv4:10.0.0.2"]
min_gm_version = "1.0.4"
signing_key = """
KEY"""
sids = { bits = 8 }
lkh = false
ack = "rfc8263-sha512"
atd_secs = 5
dtd_secs = 7
[group.kek]
cipher = "aes256"
sig_hash = "sha512"
lifetime_secs = 7200
transport = "multicast"
multicast = "239.1.1.1:848"
source_port = 849
retransmit = { period_secs = 11, count = 4 }
lead_floor_secs = 201
[group.rekey]
lead_percent = 12
tek_lead_floor_secs = 91
missed_rekeys_before_removal = 5
[[group.tek]]
protocol = "esp"
transform = "aes256-gcm16"
lifetime_secs = 1800
mode = "transport"
direction = "sender-only"
acl = ["permit ip 10.1.0.0/16 10.2.0.0/16", "permit udp any eq 53 host"]
[limits]
members = 17
[test]
clock_rate = 20.0
seed = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"
short_lifetimes = true
"#;

const GM: &str = r#"schema = "hallmark.gm/1"
listen = "10.0.0.2:848"
nat_t_port = 4500
[phase1]
proposals = ["aes128-sha256-modp2048-psk"]
[[server]]
address = "10.0.0.1:848"
psk = "text"
identities = ["dn:CN=ks1"]
compat = ["seq-window-32"]
[[server]]
address = "10.0.0.3:848"
psk = "other"
[group]
id = 1234
version = "1.0.5"
sender_ids = 2
acceptable_kek_ciphers = ["aes128", "3des"]
acceptable_sig_hashes = ["sha256"]
acceptable_transforms = ["aes128-cbc/hmac-sha256", "aes256-gcm16", "ah/hmac-sha1"]
ignore_unknown_attributes = true
rekey_acks = false
reregister = { lead_secs = 61, jitter_secs = 11, min_interval_secs = 31, retry_initial_secs = 6, retry_cap_secs = 66 }
multicast_interface = "10.0.0.2"
"#;

fn source() -> Source {
    Source::inline("ks.toml")
}

/// The contract text with a real key in it.
fn ks_text() -> String {
    let key = SigningKey::generate_ecdsa(Curve::P256, &mut Rng::from_u64(1)).to_pem().unwrap();
    KS.replace("KEY", &key).replace("any eq 53 host", "any eq 53 10.0.0.9")
}

/// What is said about a text in which one thing was replaced.
fn mistake(from: &str, to: &str) -> String {
    let text = ks_text();
    assert!(text.contains(from), "{from} is not in the text");
    ks_from_toml(&text.replacen(from, to, 1), &source()).err().expect("a mistake").to_string()
}

#[test]
fn every_value_of_a_key_server_arrives() {
    let setup = ks_from_toml(&ks_text(), &source()).map_err(|error| error.to_string()).unwrap();
    let ks = &setup.machine;
    assert_eq!(ks.listen.len(), 2);
    let phase1 = &ks.phase1;
    assert!(phase1.accept && phase1.aggressive && !phase1.nat_t && !phase1.fragmentation);
    assert_eq!(phase1.identity.as_ref().unwrap().data, b"ks.example");
    assert_eq!((phase1.lifetime, phase1.dpd), (Duration::from_secs(3600), Some(Duration::from_secs(30))));
    assert_eq!((phase1.doi, phase1.nat_t_port), (1, Some(4500)));
    assert_eq!(
        phase1.proposals.iter().map(ToString::to_string).collect::<Vec<_>>(),
        ["aes256-sha384-ecp384-psk", "3des-sha1-modp1024-psk"]
    );
    assert_eq!((phase1.retransmit.initial, phase1.retransmit.tries), (Duration::from_millis(500), 3));
    assert_eq!(phase1.allow_weak, ["3des", "sha1", "modp1024"]);

    let [first, second] = ks.peers.as_slice() else { panic!("two peers") };
    assert_eq!((first.rule.network.to_string().as_str(), first.rule.prefix), ("10.0.0.0", 8));
    assert_eq!(first.rule.psk.as_ref().unwrap().expose(), b"text");
    assert!(first.rule.doi1 && !first.rule.id_port_848);
    assert!(first.compat.has(Compat::SAT_ADDRESSES_REVERSED) && !first.compat.has(Compat::KD_OLD_SPI));
    assert_eq!(first.rule.identities[1].id_type, IdType::FQDN);
    assert_eq!((second.rule.prefix, second.rule.psk.as_ref().unwrap().expose()), (32, [0, 255].as_slice()));

    let group = &ks.groups[0];
    assert_eq!((group.id, group.sid_bits, group.ack), (1234, Some(8), AckPolicy::Rfc8263Sha512));
    assert_eq!((group.atd_secs, group.dtd_secs), (5, 7));
    assert_eq!(group.min_gm_version.unwrap().to_string(), "1.0.4");
    assert!(group.signing_key.is_some());
    let kek = group.kek.as_ref().unwrap();
    assert_eq!((kek.cipher, kek.sig_hash, kek.source_port), (CipherAlg::Aes256, HashAlg::Sha512, 849));
    assert_eq!(kek.transport, Transport::Multicast("239.1.1.1:848".parse().unwrap()));
    assert_eq!((kek.retransmit_period, kek.retransmit_count), (Duration::from_secs(11), 4));
    assert_eq!((group.rekey.lead_percent, group.rekey.missed_before_removal), (12, 5));
    let tek = &group.teks[0];
    assert_eq!(tek.transform, DataTransform::Esp { cipher: EspCipher::AesGcm(256, 16), auth: None });
    assert_eq!((tek.direction, tek.acl.len(), tek.acl[1].src_port), (SaDirection::SenderOnly, 2, 53));

    assert_eq!(setup.limits.members, 17);
    assert_eq!(setup.limits.half_open, Limits::default().half_open);
    assert!(ks.test.short_lifetimes && ks.test.behaviour.is_conforming());
    assert_eq!(setup.process.seed.unwrap()[31], 31);
    assert!((setup.process.clock_rate - 20.0).abs() < 1e-9);
    // Two addresses, each with its NAT-T port, and the source port of PUSH at the first.
    let listen: Vec<String> = setup.process.listen.iter().map(ToString::to_string).collect();
    assert_eq!(listen, ["10.0.0.1:848", "[2001:db8::1]:848", "10.0.0.1:4500", "[2001:db8::1]:4500", "10.0.0.1:849"]);
}

#[test]
fn every_value_of_a_group_member_arrives() {
    let setup = gm_from_toml(GM, &Source::inline("gm.toml")).map_err(|error| error.to_string()).unwrap();
    let gm = &setup.machine;
    assert!(!gm.phase1.accept);
    assert_eq!(setup.process.listen.len(), 2);
    let [first, second] = gm.servers.as_slice() else { panic!("two servers") };
    assert_eq!(first.address.to_string(), "10.0.0.1:848");
    assert_eq!((first.rule.prefix, first.rule.identities[0].id_type), (32, IdType::DER_DN));
    assert!(first.compat.has(Compat::SEQ_WINDOW_32));
    assert_eq!(second.rule.psk.as_ref().unwrap().expose(), b"other");
    let group = &gm.group;
    assert_eq!((group.id, group.sender_ids), (1234, 2));
    assert_eq!(group.acceptable_kek_ciphers, [CipherAlg::Aes128, CipherAlg::TripleDes]);
    assert_eq!(group.acceptable_sig_hashes, [HashAlg::Sha256]);
    assert_eq!(group.acceptable_transforms.len(), 3);
    assert!(group.ignore_unknown_attributes && !group.rekey_acks);
    assert_eq!((group.reregister.lead, group.reregister.retry_cap), (Duration::from_secs(61), Duration::from_secs(66)));
    assert_eq!(setup.process.multicast_interface, Some("10.0.0.2".parse().unwrap()));
}

#[test]
fn what_is_left_out_has_its_default() {
    let text = "schema = \"hallmark.gm/1\"\nlisten = \"10.0.0.2:848\"\n[phase1]\nproposals = []\n[[server]]\n\
                address = \"10.0.0.1:848\"\npsk = \"x\"\n[group]\nid = 1\n";
    let text = text.replace("[]", "[\"aes128-sha256-modp2048-psk\"]");
    let setup = gm_from_toml(&text, &source()).map_err(|error| error.to_string()).unwrap();
    assert!(setup.machine.phase1.nat_t && setup.machine.phase1.fragmentation && !setup.machine.phase1.aggressive);
    assert_eq!(setup.machine.phase1.doi, 2);
    assert_eq!(setup.machine.group.reregister.min_interval, Duration::from_secs(30));
    assert!((setup.process.clock_rate - 1.0).abs() < 1e-9);
    assert_eq!((setup.process.seed, setup.process.control), (None, None));
    assert_eq!(setup.limits, Limits::default());
}

#[test]
fn a_misspelt_name_is_shown_with_its_place_and_the_right_one() {
    let told = mistake("lifetime_secs = 7200", "lifetime_sec = 7200");
    let expected = "ks.toml:LINE:1: unknown field `lifetime_sec`, expected one of `cipher`, `sig_hash`, `lifetime_secs`, \
                    `transport`, `multicast`, `source_port`, `retransmit`, `lead_floor_secs`\n  \
                    LINE | lifetime_sec = 7200\n     | ^^^^^^^^^^^^\n  did you mean `lifetime_secs`?";
    let line = ks_text().lines().position(|line| line == "lifetime_secs = 7200").unwrap() + 1;
    assert_eq!(told, expected.replace("LINE", &line.to_string()));
}

#[test]
fn a_wrong_value_is_shown_with_what_is_allowed() {
    let told = mistake("cipher = \"aes256\"", "cipher = \"aes265\"");
    assert!(
        told.contains("unknown cipher `aes265`, expected one of `des`, `3des`, `aes128`, `aes192`, `aes256`"),
        "{told}"
    );
    assert!(told.contains("| cipher = \"aes265\"\n     |          ^^^^^^^^"), "{told}");
    assert!(told.ends_with("did you mean `aes256`?"), "{told}");
}

#[test]
fn each_kind_of_mistake_says_what_is_allowed() {
    for (from, to, said) in [
        ("hallmark.ks/1", "hallmark.gm/1", "this is the configuration of a group member"),
        ("10.0.0.1:848\"", "10.0.0.1\"", "is no address with a port"),
        ("-modp1024-", "-modp512-", "unknown group `modp512`, expected one of `modp768`"),
        ("-ecp384-psk", "", "expected cipher-hash-group-auth"),
        ("\"sat-addresses-reversed\"", "\"sat-reversed\"", "unknown compatibility switch `sat-reversed`"),
        ("nat_t_port = 4500", "nat_t_port = 70000", "u16"),
        ("\"239.1.1.1:848\"", "\"10.1.1.1:848\"", "is no multicast address"),
        ("transport = \"multicast\"", "transport = \"unicast\"", "needs `transport = \"multicast\"`"),
        ("transform = \"aes256-gcm16\"", "transform = \"aes256-gmc16\"", "did you mean `aes256-gcm16`"),
        ("permit ip", "allow ip", "does not begin with `permit` or `deny`"),
        ("psk_hex = \"00ff\"", "psk_hex = \"00f\"", "even number of hex digits"),
        ("psk_hex = \"00ff\"", "psk_hex = \"00\"\npsk = \"a\"", "not both"),
        ("fqdn:gm1.example", "fqn:gm1.example", "did you mean `fqdn`"),
        ("factor = 1.5", "factor = 0.5", "not between 1 and 10"),
        ("lead_percent = 12", "lead_percent = 99", "not between 0 and 90"),
        ("clock_rate = 20.0", "clock_rate = 0.0", "not between 0.01 and 10000"),
        ("seed = \"0001", "seed = \"1", "expected 64 hex digits"),
        ("short_lifetimes = true", "defects = [\"ks_kekseq_rest\"]", "unknown defect `ks_kekseq_rest`"),
        ("members = 17", "members = 0", "expected a number between 1 and"),
        ("-----BEGIN PRIVATE KEY-----", "-----BEGIN EC PRIVATE KEY-----", "expected PKCS#8"),
        ("id = 1234\n", "", "missing field `id`"),
        ("id = 1234\n", "id = 1234\nid = 1\n", "duplicate key"),
    ] {
        let told = mistake(from, to);
        assert!(told.contains(said), "{from} -> {to}: {told}");
        assert!(told.starts_with("ks.toml:") && told.contains(" | "), "no place: {told}");
    }
}

#[test]
fn a_weak_algorithm_has_to_be_allowed_by_name() {
    let told = mistake("allow_weak = [\"3des\", \"sha1\", \"modp1024\"]", "allow_weak = [\"sha1\"]");
    assert!(told.contains("allow_weak"), "{told}");
}

#[test]
fn a_key_file_is_found_beside_the_configuration() {
    let folder = std::env::temp_dir().join(format!("hallmark-node-config-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let key = SigningKey::generate_ecdsa(Curve::P256, &mut Rng::from_u64(1)).to_pem().unwrap();
    std::fs::write(folder.join("rekey.pem"), key).unwrap();
    let text = ks_text();
    let begin = text.find("signing_key").unwrap();
    let end = text.find("sids").unwrap();
    let text = format!("{}signing_key = \"rekey.pem\"\n{}", &text[..begin], &text[end..]);
    let path = folder.join("ks.toml");
    std::fs::write(&path, &text).unwrap();
    assert!(ks_from_file(&path).unwrap().machine.groups[0].signing_key.is_some());
    // A text without a folder cannot mean a file.
    let told = ks_from_toml(&text, &source()).err().unwrap().to_string();
    assert!(told.contains("expected inline PEM text"), "{told}");
    std::fs::remove_file(folder.join("rekey.pem")).unwrap();
    let told = ks_from_file(&path).err().unwrap().to_string();
    assert!(told.contains("cannot read") && told.contains("rekey.pem"), "{told}");
    std::fs::remove_dir_all(&folder).unwrap();
    let told = ks_from_file(&path).err().unwrap().to_string();
    assert!(told.contains("ks.toml: cannot read"), "{told}");
}

#[test]
fn one_group_alone_is_a_policy() {
    let text = ks_text();
    let begin = text.find("[[group]]").unwrap();
    let end = text.find("[limits]").unwrap();
    let group = group_from_toml(&text[begin..end], &source()).map_err(|error| error.to_string()).unwrap();
    assert_eq!((group.id, group.teks.len()), (1234, 1));
    assert!(group_from_toml(&text[begin..end].repeat(2), &source()).is_err());
}

const DATA: &str = r#"[data]
mtu = 1400
lan_mtu = 9000
lan_address = "10.2.0.1"
ttl = "keep"
df = "clear"
dscp = 46
ecn = "compatibility"
fragment = "after"
mss = 1300
fail = "close"
fail_close_exceptions = ["deny tcp any any eq 22"]
fail_close_revert = true
local_deny = ["deny tcp any any eq 179", "permit icmp any any"]
passive = true
bypass_own_control = false
override_df = true
check_padding = false
dummy_every = 9
esn_resync = { after = 5, ahead = 3, interval_ms = 250 }
d3p_protocol = 254
event_interval_ms = 250
pmtu = { learn = false, floor = 700, age_secs = 60, entries = 10 }
reassembly = { timeout_secs = 7, per_pair = 3, total_datagrams = 33, total_octets = 4444 }
limits = { sas = 11, keys = 15, flows = 64, events = 12, traces = 13, captured = 14 }
backend = "portable"
workers = 2
lan = { kind = "packet", interface = "eth1" }
wan = { kind = "xdp", interface = "eth0" }
[test]
defects = ["tbar_min20", "gm_no_seqcheck", "recovery_storm"]
variants = ["dp_outer_ttl_fresh"]
"#;

fn gm_with(data: &str) -> Result<Setup<GmConfig>, String> {
    gm_from_toml(&format!("{GM}{data}"), &Source::inline("gm.toml")).map_err(|error| error.to_string())
}

#[test]
fn every_value_of_a_data_plane_arrives() {
    use hallmark_datapath as plane;
    let setup = gm_with(DATA).unwrap();
    let DataSetup { plane: config, lan, wan } = setup.data.unwrap();
    assert_eq!((config.wan_mtu, config.lan_mtu, config.dscp, config.workers), (1_400, 9_000, Some(46), 2));
    assert_eq!((config.address, config.lan_address), ("10.0.0.2".parse().ok(), "10.2.0.1".parse().ok()));
    assert_eq!((config.ttl, config.df, config.ecn), (plane::Ttl::Keep, plane::Df::Clear, plane::Ecn::Compatibility));
    assert_eq!((config.fragment, config.mss), (plane::FragmentWhere::After, plane::Mss::Fixed(1_300)));
    assert_eq!((config.fail, config.fail_close_revert, config.passive), (plane::FailMode::Close, true, true));
    assert!(!config.bypass_own_control && config.override_df && !config.check_padding);
    let resync = plane::EsnResync { after: 5, ahead: 3, interval: Duration::from_millis(250) };
    assert_eq!(config.esn_resync, resync);
    assert_eq!(config.dummy_every.map(std::num::NonZeroU32::get), Some(9));
    assert_eq!((config.d3p_proto, config.event_interval), (254, Duration::from_millis(250)));
    let exception = config.fail_close_exceptions[0].selector;
    assert_eq!((exception.protocol, exception.dst_ports), (Some(6), plane::PortRange::one(22)));
    let actions: Vec<bool> = config.local_deny.iter().map(|rule| rule.action == plane::Action::Deny).collect();
    assert_eq!(actions, [true, false]);
    assert_eq!((config.pmtu.floor, config.pmtu.age, config.pmtu.entries), (700, Duration::from_secs(60), 10));
    assert_eq!((config.reassembly.per_pair, config.reassembly.total_octets), (3, 4_444));
    assert_eq!((config.limits.sas, config.limits.keys, config.limits.captured), (11, 15, 14));
    assert_eq!(config.backend, plane::Backend::Portable);
    assert!(config.behaviour.has(plane::Defect::TbarMin20) && config.behaviour.has(plane::Defect::RecoveryStorm));
    assert!(config.behaviour.varies(plane::Variant::OuterTtlFresh));
    let control = &setup.machine.test.behaviour;
    assert_eq!(control.defect_names(), ["gm_no_seqcheck", "recovery_storm"]);
    assert_eq!((lan.kind, lan.interface.as_str()), (PortKind::Packet, "eth1"));
    assert_eq!((wan.kind, wan.interface.as_str()), (PortKind::Xdp, "eth0"));
    assert!(setup.process.test);
}

#[test]
fn a_data_plane_without_words_is_the_standard_one_and_none_is_none() {
    let usual = gm_with("[data]\n").unwrap();
    let data = usual.data.unwrap();
    assert_eq!((data.plane.wan_mtu, data.plane.fail), (1_500, hallmark_datapath::FailMode::Open));
    assert_eq!((data.lan.kind, data.wan.kind), (PortKind::Lab, PortKind::Lab));
    assert!(!usual.process.test);
    assert!(gm_with("").unwrap().data.is_none());
}

#[test]
fn each_mistake_in_a_data_table_says_what_is_allowed() {
    for (from, to, said) in [
        ("ttl = \"keep\"", "ttl = \"kep\"", "did you mean `keep`?"),
        ("df = \"clear\"", "df = \"off\"", "expected one of `copy`, `set`, `clear`"),
        ("dscp = 46", "dscp = 64", "data.dscp: 64 is not between 0 and 63"),
        ("mss = 1300", "mss = \"maybe\"", "neither `off`, `auto` nor a number"),
        ("mss = 1300", "mss = 10", "neither `off`, `auto` nor a number"),
        ("mtu = 1400", "mtu = 60", "data.mtu: 60 is not between 68 and 65535"),
        ("\"deny tcp any any eq 22\"", "\"permit tcp any any eq 22\"", "an exception is a `deny` entry"),
        ("\"deny tcp any any eq 22\"", "\"deny tcp any any eq ssh\"", "`ssh` is no port"),
        ("fail = \"close\"", "fail = \"open\"", "needs `fail = \"close\"` beside it"),
        ("workers = 2", "workers = 0", "data.workers: 0 is not between 1 and 64"),
        ("floor = 700", "flor = 700", "did you mean `floor`?"),
        ("per_pair = 3", "per_pair = 0", "data.reassembly.per_pair: 0 is not between 1 and 65536"),
        ("kind = \"xdp\"", "kind = \"dpdk\"", "expected one of `lab`, `packet`, `xdp`, `tun`"),
        ("kind = \"packet\", interface = \"eth1\"", "kind = \"packet\"", "needs the name of an `interface`"),
        ("kind = \"packet\", interface = \"eth1\"", "kind = \"lab\"", "one port cannot be `lab` without the other"),
        ("interface = \"eth0\"", "interface = \"eth1\"", "`eth1` is the LAN port already"),
        ("backend = \"portable\"", "backend = \"fast\"", "unknown backend `fast`"),
        ("\"tbar_min20\"", "\"tbar_min2\"", "unknown defect `tbar_min2`, expected one of `tbar_min20`"),
        ("passive = true", "pasive = true", "did you mean `passive`?"),
    ] {
        assert!(DATA.contains(from), "{from}");
        let told = gm_with(&DATA.replacen(from, to, 1)).err().unwrap_or_default();
        assert!(told.contains(said), "{from} -> {to}: {told}");
        assert!(told.starts_with("gm.toml:") && told.contains(" | "), "no place: {told}");
    }
}

#[test]
fn what_a_key_server_tells_of_the_data_plane_arrives() {
    use hallmark_control::config::data::{DataConfig, ReplayMethod};
    let with = |lines: &str| {
        let text = ks_text().replacen("lkh = false", &format!("lkh = false\n{lines}"), 1);
        ks_from_toml(&text, &source()).map(|setup| setup.machine.groups[0].data).map_err(|error| error.to_string())
    };
    let table = |lines: &str| {
        let text = ks_text().replacen("[group.rekey]", &format!("[group.replay]\n{lines}\n[group.rekey]"), 1);
        ks_from_toml(&text, &source()).map(|setup| setup.machine.groups[0].data).map_err(|error| error.to_string())
    };
    let data = with("direction = \"receive-only\"\ngroup_spis = true").unwrap();
    assert!(data.receive_only && data.group_spis);
    let replay = |data: Result<DataConfig, String>| data.map(|data| (data.replay, data.d3p));
    let time = ReplayMethod::Time { window_secs: 4 };
    assert_eq!(replay(table("method = \"time\"\nwindow = 4")), Ok((time, None)));
    assert_eq!(replay(table("method = \"counter\"\nwindow = 64")), Ok((ReplayMethod::Counter { window: 64 }, None)));
    let d3p = Ok((ReplayMethod::None, Some(Duration::from_secs(5))));
    assert_eq!(replay(table("method = \"d3p\"\nwindow = 5000")), d3p);
    assert_eq!(replay(table("method = \"none\"\nd3p_window_ms = 5000")), d3p);
    for (lines, said) in [
        ("method = \"time\"", "needs `window`, a number of seconds from 1 to 100"),
        ("method = \"time\"\nwindow = 101", "a window of 101 s is not between 1 and 100"),
        ("method = \"counter\"\nwindow = 16", "a window of 16 packets is not between 32 and 1024"),
        ("method = \"d3p\"\nwindow = 10", "a window of 10 ms is not between 1000 and 100000"),
        ("method = \"time\"\nwindow = 4\nd3p_window_ms = 5000", "exclude each other"),
        ("method = \"none\"\nwindow = 4", "means nothing with `method = \"none\"`"),
        ("method = \"clock\"\nwindow = 4", "expected one of `none`, `counter`, `time`, `d3p`"),
    ] {
        let told = table(lines).err().unwrap_or_default();
        assert!(told.contains(said), "{lines}: {told}");
        assert!(told.starts_with("ks.toml:") && told.contains(" | "), "no place: {told}");
    }
    // Switches of a data plane are fine where there is none: they concern the members of the same run.
    let text = ks_text().replacen("short_lifetimes = true", "defects = [\"tbar_min20\", \"ks_kekseq_reset\"]", 1);
    assert!(ks_from_toml(&text, &source()).is_ok());
}

#[test]
fn the_documented_data_table_holds_the_defaults() {
    let source = include_str!("../config.rs");
    let lines = source.lines().skip_while(|line| *line != "//! [data]").take_while(|line| *line != "//! ```");
    let text: Vec<&str> = lines.map(|line| line.trim_start_matches("//! ")).collect();
    assert!(text.len() > 25, "{text:?}");
    let documented = gm_with(&text.join("\n")).unwrap().data.unwrap();
    assert_eq!((documented.lan.interface.as_str(), documented.wan.interface.as_str()), ("eth1", "eth0"));
    assert_eq!((documented.plane.fail_close_exceptions.len(), documented.plane.local_deny.len()), (1, 1));
    let usual = hallmark_datapath::Config {
        address: documented.plane.address,
        lan_address: documented.plane.lan_address,
        fail_close_exceptions: documented.plane.fail_close_exceptions.clone(),
        local_deny: documented.plane.local_deny.clone(),
        ..hallmark_datapath::Config::default()
    };
    assert_eq!(format!("{:#?}", documented.plane), format!("{usual:#?}"));
}
