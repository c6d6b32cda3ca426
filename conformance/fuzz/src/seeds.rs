//! The inputs that the corpora begin with, made from captures, vectors and the recorded session.

use hallmark_core::{Rng, UnixTime};
use hallmark_wire::capture::{PcapngWriter, ip_payload, link_type, read};
use hallmark_wire::ip::{fragment_ipv4, parse_udp, too_big_packet, udp_packet};
use hallmark_wire::isakmp::Header;

use crate::dissect::FIXTURES;
use crate::sealed::Sealer;
use crate::session::{GM_TOML, ks_text, session};

const MALFORMED: &str = include_str!("../../../fixtures/vectors/ikev1-malformed.json");
const ESP: &str = include_str!("../../../fixtures/vectors/esp.json");
const APPENDIX: &str = include_str!("../../../fixtures/vectors/gdoi-appendix-a.txt");

type Seeds = Vec<(String, Vec<u8>)>;

/// Makes the first inputs of a target, each with a name.
#[must_use]
pub fn seeds(target: &str) -> Seeds {
    match target {
        "wire_ip" => wire_ip(),
        "wire_isakmp" => wire_isakmp(),
        "wire_gdoi" => wire_gdoi(),
        "raw" => raw(),
        "capture" => capture(),
        "dissect" => dissect(),
        "filter" => texts(FILTERS),
        "ks_config" => vec![("whole".to_owned(), ks_text().into_bytes()), ("least".to_owned(), KS_LEAST.into())],
        "gm_config" => vec![("whole".to_owned(), GM_TOML.into()), ("least".to_owned(), GM_LEAST.into())],
        "waivers" => texts(WAIVERS),
        "ks_responder" | "gm_member" => machine(),
        "decrypt_then_parse" => [0, 4, 6, 10, 1, 3, 7, 9].into_iter().flat_map(sealed).collect(),
        "data_decapsulate" => data_decapsulate(),
        "data_policy" => data_policy(),
        "data_reassemble" => data_reassemble(),
        "data_size" => data_size(),
        _ => Vec::new(),
    }
}

/// For every transform and method against replay: packets of each size and version, then replay, edits, pieces, errors,
/// and sealed packets with right, edited and arbitrary insides.
fn data_decapsulate() -> Seeds {
    let mut inputs = Vec::new();
    for choice in 0..32_u8 {
        let choice = choice | (choice & 7) << 5;
        let mut input = vec![choice];
        for (form, len) in [(0x10, 100_u16), (0x11, 1400), (0x05, 700), (0x03, 64), (0x09, 30), (0x01, 1690)] {
            let [high, low] = len.to_be_bytes();
            input.extend([1, form, high, low, 9]);
            // A UDP packet of form & 2 != 0 has its protocol behind the first port octet.
            input.extend([6].iter().filter(|_| form & 2 != 0));
        }
        input.extend([7, 0, 7, 1, 6, 1, 1, 0, 30, 1, 0]);
        input.extend([10, 90, 1, 0, 10, 30, 2, 1, 10, 140, 0, 2]);
        input.extend([11, 5, 0, 1, 0, 11, 1, 0, 0, 1, 0, 30, 1, 0]);
        // One octet of the ICV, one of the ciphertext, one of the source address.
        for at in [166, 100, 15] {
            input.extend([6, 0, 1, 0, at, 1, 0]);
        }
        let refused =
            hallmark_wire::ip::Ipv4Header::new([10, 1, 0, 1].into(), [10, 0, 0, 1].into(), 17).packet(&[9; 16]);
        input.extend([5, 0, refused.len() as u8]);
        input.extend(refused);
        // Not more than a minute at once: then the keys of some run out.
        input.extend([0, 0, 200, 0, 0xf0, 0, 0, 0xf0, 0, 1, 0x11, 0, 90, 9, 1, 0x19, 0, 90, 9]);
        input.extend([8, 0, 0x11, 0, 60, 9, 0, 0, 0, 0, 77, 0]);
        input.extend([8, 0, 0x11, 0, 60, 9, 2, 0, 9, 7, 0, 0, 3, 1, 0, 0, 0, 0, 78, 1]);
        input.extend([8, 0x1a, 0, 5, 1, 2, 3, 4, 5, 4, 0, 0, 0, 79, 200, 3]);
        input.extend([9, 4, 0x11, 0, 20, 9, 0, 1, 0, 2, 200, 0, 0, 0, 0, 80, 0]);
        inputs.push(input);
    }
    numbered("members", inputs)
}

/// Rules of every form, then packets and keys.
fn data_policy() -> Seeds {
    let mut rng = Rng::from_u64(9);
    let inputs = [0, 1, 3, 20, 120].into_iter().map(|rules| {
        let mut input = vec![rules];
        // Eight octets are about what a rule takes; what is left over makes keys.
        input.extend(rng.vec(usize::from(rules) * 8 + 120));
        for packet in packets().iter().step_by(40).take(3) {
            input.extend([0, 0, packet.len().min(80) as u8]);
            input.extend(packet.iter().take(80));
        }
        input
    });
    numbered("rules", inputs.collect::<Vec<_>>())
}

/// Fragments in order, in reverse, twice, overlapping, foreign, of both versions, and those of the vectors.
fn data_reassemble() -> Seeds {
    let limits = [3, 7, 255];
    let mut inputs: Vec<Vec<u8>> = Vec::new();
    for kind in [32, 33, 40, 41, 64, 68, 96] {
        let [first, middle, last] = [[kind, 0x40, 4], [kind, 0x44, 3], [kind, 0x07, 2]];
        let odd = [kind, 0xc4, 3, 5];
        let orders: [&[&[u8]]; 5] = [
            &[&first, &middle, &last],
            &[&last, &middle, &first],
            &[&first, &first, &middle, &[0, 0xff, 0xff], &last],
            &[&first, &[kind, 0x43, 3], &middle, &last],
            &[&first, &odd, &[kind ^ 2, 0x44, 3], &last],
        ];
        inputs.extend(orders.iter().map(|order| [&limits[..], &order.concat()].concat()));
    }
    let file: serde_json::Value = serde_json::from_str(ESP).expect("the vectors are JSON");
    for list in ["reassembly_ipv4", "reassembly_ipv6"] {
        for steps in file[list].as_array().expect("lists").iter().map(|list| list["steps"].as_array().expect("steps")) {
            let mut input = limits.to_vec();
            for step in steps {
                let packet = hex::decode(step["packet"].as_str().expect("a packet")).expect("octets");
                input.push(16);
                input.extend((packet.len() as u16).to_be_bytes());
                input.extend(packet);
            }
            inputs.push(input);
        }
    }
    numbered("steps", inputs)
}

/// The packets of the IP target, TCP with options, and ICMP errors about ESP.
fn data_size() -> Seeds {
    let mut seeds = wire_ip();
    let file: serde_json::Value = serde_json::from_str(ESP).expect("the vectors are JSON");
    let vectors = file["esp"].as_array().expect("vectors").iter().step_by(5);
    let esp: Vec<Vec<u8>> = vectors
        .filter_map(|vector| hex::decode(vector["outer"].as_str()?).ok())
        .filter(|esp| esp.len() < 1600)
        .collect();
    for (n, packet) in esp.iter().enumerate() {
        let reporter = if packet[0] >> 4 == 4 { "192.0.2.1" } else { "2001:db8::9" };
        let errors = too_big_packet(reporter.parse().expect("an address"), 1_300, packet);
        seeds.push((format!("esp-{n:02}"), [&[0, 200], packet.as_slice()].concat()));
        seeds.extend(errors.map(|error| (format!("error-{n:02}"), [&[5, 0], error.as_slice()].concat())));
    }
    let mut segment = vec![0, 80, 1, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0x70, 2, 255, 255, 0, 0, 0, 0];
    segment.extend([1, 2, 4, 5, 0xb4, 3, 3, 7]);
    let v4 = hallmark_wire::ip::Ipv4Header::new([10, 0, 0, 1].into(), [10, 0, 0, 2].into(), 6).packet(&segment);
    let ends = ("2001:db8::1".parse().expect("an address"), "2001:db8::2".parse().expect("an address"));
    let v6 = hallmark_wire::ip::Ipv6Header::new(ends.0, ends.1, 6).packet(&segment);
    seeds.extend([("syn-v4".to_owned(), [&[4, 0], v4.as_slice()].concat())]);
    seeds.extend([("syn-v6".to_owned(), [&[4, 0], v6.as_slice()].concat())]);
    seeds
}

/// Gives the IP packets of the stored captures.
fn packets() -> Vec<Vec<u8>> {
    let frames = FIXTURES.iter().flat_map(|(file, _)| read(file).expect("a stored capture can be read"));
    frames.filter_map(|frame| Some(ip_payload(frame.link_type, &frame.octets)?.to_vec())).collect()
}

/// Gives the UDP payloads of the stored captures and of the recorded session.
fn datagrams() -> Vec<Vec<u8>> {
    let captured = packets().into_iter().filter_map(|packet| Some(parse_udp(&packet).ok()?.payload));
    let recorded = session().to_ks.iter().chain(&session().to_gm).map(|(_, datagram)| datagram.payload.clone());
    captured.chain(recorded).collect()
}

/// Gives the malformed datagrams of the vectors with their names.
fn malformed() -> Seeds {
    let file: serde_json::Value = serde_json::from_str(MALFORMED).expect("the vectors are JSON");
    let cases = file["cases"].as_array().expect("cases");
    let case = |case: &serde_json::Value| {
        let octets = hex::decode(case["datagram"].as_str()?).ok()?;
        Some((case["id"].as_str()?.to_owned(), octets)).filter(|(_, octets)| octets.len() < 4_000)
    };
    cases.iter().filter_map(case).collect()
}

fn numbered(name: &str, inputs: impl IntoIterator<Item = Vec<u8>>) -> Seeds {
    inputs.into_iter().enumerate().map(|(n, input)| (format!("{name}-{n:02}"), input)).collect()
}

fn texts(list: &[&str]) -> Seeds {
    numbered("text", list.iter().map(|text| text.as_bytes().to_vec()))
}

fn wire_ip() -> Seeds {
    let with_mtu = |mtu: u16, packet: &[u8]| [&mtu.to_be_bytes(), packet].concat();
    let mut inputs: Vec<Vec<u8>> = packets().iter().step_by(9).take(8).map(|packet| with_mtu(576, packet)).collect();
    let mut datagram = session().to_gm[4].1.clone();
    let v4 = udp_packet(&datagram, 7, false);
    inputs.extend(fragment_ipv4(&v4, 200).iter().map(|piece| with_mtu(68, piece)));
    inputs.extend(too_big_packet([10, 0, 0, 9].into(), 576, &v4).iter().map(|packet| with_mtu(1_280, packet)));
    datagram.src = "[2001:db8::1]:848".parse().expect("an address");
    datagram.dst = "[2001:db8::2]:848".parse().expect("an address");
    let v6 = udp_packet(&datagram, 7, true);
    inputs.push(with_mtu(1_280, &v6));
    let pieces = hallmark_wire::ip::fragment_ipv6(&v6, 200, 9);
    inputs.extend(pieces.iter().take(2).map(|piece| with_mtu(100, piece)));
    let reporter = "2001:db8::9".parse().expect("an address");
    inputs.extend(too_big_packet(reporter, 1_280, &v6).iter().map(|packet| with_mtu(1_280, packet)));
    numbered("packet", inputs)
}

fn wire_isakmp() -> Seeds {
    let mut seeds = malformed();
    seeds.extend(numbered("datagram", datagrams().into_iter().step_by(4).take(16)));
    // The chain alone, behind the type of its first payload.
    let chains = datagrams().into_iter().filter_map(|datagram| {
        let header = Header::decode(&datagram).ok()?;
        let clear = header.flags.0 & 1 == 0;
        clear.then(|| [&[header.next.0], datagram.get(Header::LEN..).unwrap_or_default()].concat())
    });
    seeds.extend(numbered("chain", chains.step_by(3).take(12)));
    seeds.extend(numbered("opened", Sealer::get().opened()));
    seeds
}

fn wire_gdoi() -> Seeds {
    let mut seeds = numbered("chain", Sealer::get().opened());
    seeds.extend(numbered("body", Sealer::get().bodies()));
    for line in APPENDIX.lines() {
        let Some((name, value)) = line.split_once(" = ") else { continue };
        let Ok(octets) = hex::decode(value.trim()) else { continue };
        let payload = ["SAK", "GAP", "SAT", "SA_payload", "KP_", "SEQ", ".SA", ".KD", "D_"]
            .iter()
            .any(|part| name.contains(part));
        if !payload || octets.len() < 5 || octets.len() > 2_000 {
            continue;
        }
        let short = name.replace('.', "-").to_lowercase();
        seeds.push((format!("appendix-{short}"), octets.clone()));
        // The body behind the generic header.
        seeds.push((format!("appendix-{short}-body"), [&[1], octets.get(4..).unwrap_or_default()].concat()));
    }
    seeds
}

fn raw() -> Seeds {
    let mut seeds: Seeds = malformed().into_iter().step_by(4).collect();
    seeds.extend(numbered("datagram", datagrams().into_iter().step_by(6).take(10)));
    seeds.extend(numbered("opened", Sealer::get().opened()));
    seeds
}

fn capture() -> Seeds {
    let mut seeds = numbered("pcap", FIXTURES.iter().map(|(file, _)| file.iter().copied().take(2_000).collect()));
    let mut writer = PcapngWriter::new(Vec::new()).expect("memory takes everything");
    let interface = writer.add_interface("gm1", link_type::RAW).expect("memory takes everything");
    writer.secrets(1, b"not a secret").expect("memory takes everything");
    for (n, packet) in packets().iter().take(3).enumerate() {
        let comment = (n == 1).then_some("a remark");
        writer.packet(interface, UnixTime::from_secs(n as i64), packet, comment).expect("the interface was added");
    }
    seeds.push(("pcapng".to_owned(), writer.into_inner()));
    seeds
}

fn dissect() -> Seeds {
    let mut inputs = Vec::new();
    for fixture in 0..FIXTURES.len() as u8 {
        // No change at all, one changed octet in the file, and a frame each lost, repeated, swapped and changed.
        inputs.push(vec![fixture, 0b0100 | (fixture & 1), 0]);
        inputs.push(vec![fixture, 0b0110, 1, 1, 0, 0x40, 0]);
        for kind in 0..4 {
            inputs.push(vec![fixture, 0b1001, 1, 0, 2, 0, 4, kind, 1, 0, 40, 1, 0]);
        }
    }
    let mut made = vec![0, 0b1100];
    for datagram in datagrams().into_iter().step_by(5).take(6) {
        made.push(8);
        made.extend((datagram.len() as u16).to_be_bytes());
        made.extend(datagram);
    }
    inputs.push(made);
    inputs.push([&[1, 0], FIXTURES[1].0].concat());
    numbered("capture", inputs)
}

fn machine() -> Seeds {
    let mut inputs = Vec::new();
    for prefix in 0..8 {
        // A changed datagram, a copy from elsewhere, a sealed message, time, a command.
        inputs.push(vec![prefix, 0, 0, prefix, 1, 0, 30, 1, 0, 1, 6, 60, 1]);
        inputs.push(vec![prefix, 3, 0, prefix, 20, 2, 6, 200, 1, 7, 0, prefix, 6, 100, 2]);
        inputs.push(vec![prefix, 3, 0, 0, 31, 3, 3, 0, prefix, 9, 0, 6, 200, 3]);
        for choice in [0, 1, 2, 4] {
            inputs.push(vec![prefix, 5, 0, prefix, choice, 40, 0, 1, 1, 0, 0, 1, 2, 1, 6, 10, 1]);
        }
        for kind in 0..6 {
            inputs.push(vec![prefix, 4, kind, 2, 0, 6, 30, 1, 4, kind, 2, 0, 0, 0, 2, 0, 7, 0, kind]);
            inputs.push(vec![
                prefix,
                7,
                0,
                kind * 2,
                6,
                11,
                1,
                4,
                kind,
                2,
                1,
                0,
                40,
                1,
                0,
                6,
                255,
                2,
                7,
                0,
                kind * 2 + 1,
                0,
            ]);
        }
    }
    for datagram in malformed().into_iter().map(|(_, octets)| octets).step_by(6) {
        let mut input = vec![5, 2, 8];
        input.extend((datagram.len() as u16).to_be_bytes());
        input.extend(datagram);
        inputs.push(input);
    }
    numbered("session", inputs)
}

/// Sealed messages for one choice of machine and prefix: each kind untouched, edited, and made of the input alone.
fn sealed(choice: u8) -> Seeds {
    let mut inputs = Vec::new();
    let mut rng = Rng::from_u64(u64::from(choice));
    for kind in 0..6 {
        let id: &[u8] = if kind == 0 || (kind == 1 && choice & 1 == 0) { &[0, 0, 0, 9] } else { &[] };
        inputs.push([&[choice, kind], id, &[2, 0]].concat());
        // Seven edits anywhere.
        for _ in 0..3 {
            let edits = rng.vec(44);
            inputs.push([&[choice, kind], id, &[2, 7], edits.as_slice()].concat());
        }
        inputs.push([&[choice, kind], id, &[0, 8, 0, 12, 11, 0, 0, 4, 11, 0, 0, 4, 0, 0, 0, 4]].concat());
    }
    numbered(&format!("sealed-{choice}"), inputs)
}

const FILTERS: &[&str] = &[
    "all()",
    "none()",
    "id(KS-P1-*)",
    "id(KS-P1-001, GM-PUSH-00?)",
    "level(must) and subject(ks) - needs(raw-ip)",
    "not (area(push) or area(pull)) and cost(<30)",
    "req(GDOI-PUSH-007) or spec(ikev1)",
    "title(/rekey|delete/) and verdict(fail)",
    "role(gm) & !source(rfc6407) | cap(lkh)",
    "((((id(a)))))",
    "not not not id(b)",
    "defect(ks_push_unsigned) - node(os=ios-xe)",
];

const WAIVERS: &[&str] = &[
    r#"schema = "hallmark.waivers/1"
[[waiver]]
id = "W-0001"
test = "KS-P1-*"
check = "answers"
when = "node(os=ios-xe) and not subject(gm)"
expect = "warn"
signature = "silence"
reason = "a known fault"
issue = "BUG-1"
owner = "somebody"
created = 2026-01-31
expires = 2027-01-31
renewals = 1
max_renewals = 2
"#,
    r#"[[waiver]]
id = "W-0002"
test = "GM-PUSH-001"
check = "accepts"
signature = "other"
reason = "r"
issue = "i"
owner = "o"
created = "2026-02-28"
expires = "2026-03-01"
"#,
];

const KS_LEAST: &str = r#"schema = "hallmark.ks/1"
listen = ["[2001:db8::1]:848"]
allow_weak = ["3des", "sha1", "modp1024"]
identity = { type = "fqdn", value = "ks.example" }
[phase1]
proposals = ["3des-sha1-modp1024-psk"]
[[peer]]
address = "::/0"
psk_hex = "00ff"
compat = ["doi1", "sat-addresses-reversed", "seq-window-32"]
[[group]]
id = 0
[[group.tek]]
protocol = "esp"
transform = "3des-cbc"
auth = "hmac-sha1"
mode = "transport"
direction = "receiver-only"
acl = ["permit ip any any"]
[group.kek]
cipher = "3des"
sig_hash = "sha1"
transport = "multicast"
multicast = "[ff05::1]:848"
"#;

const GM_LEAST: &str = r#"schema = "hallmark.gm/1"
listen = "[2001:db8::2]:848"
[phase1]
proposals = ["aes256-sha512-ecp521-psk"]
retransmit = { initial_ms = 1, factor = 1.0, cap_ms = 1, tries = 1 }
[[server]]
address = "[2001:db8::1]:848"
psk = "x"
identities = ["dn:CN=ks1", "key-id:7"]
[group]
id = 4294967295
acceptable_kek_ciphers = ["des"]
acceptable_transforms = ["aes128-cbc/hmac-sha256", "ah/hmac-sha1"]
unrequested_acks = "cisco"
reregister = { lead_secs = 0, jitter_secs = 0, min_interval_secs = 0, retry_initial_secs = 0, retry_cap_secs = 0 }
"#;
