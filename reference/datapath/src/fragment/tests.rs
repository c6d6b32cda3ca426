use hallmark_core::{Duration, Instant, Rng};
use hallmark_wire::ip::{Ipv4Header, Ipv4Packet, Ipv6Header, checksum, fragment_ipv4, fragment_ipv6};
use proptest::prelude::*;

use super::*;
use crate::behaviour::{Behaviour, Defect, Variant};
use crate::config::ReassemblyLimits;
use crate::packet::{Batch, Fate, Packet, Pool, Side};
use crate::reason::Reason;

const OWN: u32 = 0x1000_b004;

fn vectors() -> serde_json::Value {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/vectors/esp.json");
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

fn octets(value: &serde_json::Value) -> Vec<u8> {
    hex::decode(value.as_str().unwrap()).unwrap()
}

/// A reassembler with what it needs around it.
struct Bench {
    reassembler: Reassembler,
    pool: Pool,
    out: Batch,
    behaviour: Behaviour,
    now: Instant,
}

impl Bench {
    fn new() -> Self {
        Self::with(ReassemblyLimits::default(), &[])
    }

    fn with(limits: ReassemblyLimits, defects: &[Defect]) -> Self {
        let behaviour = defects.iter().fold(Behaviour::conforming(), |all, defect| all.with_defect(*defect));
        let (reassembler, pool) = (Reassembler::new(limits, 7), Pool::new(2048, 2048));
        Self { reassembler, pool, out: Batch::new(), behaviour, now: Instant::from_secs(100) }
    }

    fn take(&mut self, ip: &[u8]) -> Taken {
        let mut packet = self.pool.take_for(ip.len()).unwrap();
        assert!(packet.set(&[1, 2, 3], ip));
        packet.received_on = Side::Wan;
        let own = |spi| spi == OWN || spi == OWN + 2;
        self.reassembler.take(self.now, packet, &self.behaviour, own, &mut self.pool, &mut self.out)
    }

    /// Takes a packet in and says in one word what became of it.
    fn word(&mut self, ip: &[u8]) -> String {
        match self.take(ip) {
            Taken::Held => "held".into(),
            Taken::Complete(packet) => {
                let word = format!("complete {}", packet.len());
                self.pool.give(packet);
                word
            }
            Taken::Released(count) => {
                self.out.recycle(&mut self.pool);
                format!("released {count}")
            }
            Taken::Dropped(reason) => reason.to_string(),
        }
    }

    fn words(&mut self, packets: &[Vec<u8>]) -> Vec<String> {
        packets.iter().map(|packet| self.word(packet)).collect()
    }

    fn complete(&mut self, ip: &[u8]) -> Vec<u8> {
        match self.take(ip) {
            Taken::Complete(packet) => {
                let octets = packet.ip().to_vec();
                self.pool.give(packet);
                octets
            }
            other => panic!("{other:?}"),
        }
    }

    /// Everything that is not held must be back in the pool.
    fn assert_nothing_lost(&self) {
        let held = self.reassembler.status().held;
        assert_eq!(self.pool.available() + held, 2048);
    }
}

fn esp(ident: u16, spi: u32, len: usize) -> Vec<u8> {
    let mut header = Ipv4Header::new([10, 1, 1, 10].into(), [10, 2, 2, 20].into(), 50);
    header.ident = ident;
    header.packet(&esp_payload(spi, len))
}

fn esp6(spi: u32, len: usize) -> Vec<u8> {
    let header = Ipv6Header::new("2001:db8:1::10".parse().unwrap(), "2001:db8:2::20".parse().unwrap(), 50);
    header.packet(&esp_payload(spi, len))
}

fn esp_payload(spi: u32, len: usize) -> Vec<u8> {
    let mut payload = spi.to_be_bytes().to_vec();
    payload.extend((4..len).map(|at| (at * 7) as u8));
    payload
}

/// What the vectors call an outcome, in the words of [`Bench::word`].
fn expected(action: &str, reassembled: Option<&str>) -> String {
    match action {
        "hold" => "held".into(),
        "complete" | "complete_atomic" => format!("complete {}", reassembled.unwrap_or_default().len() / 2),
        "ignore_duplicate" => "fragment.duplicate".into(),
        "discard_datagram:overlap" => "fragment.overlap".into(),
        "discard_fragment:poisoned" => "fragment.poisoned".into(),
        "discard_fragment:len_not_multiple_of_8" | "discard_fragment:icmp_param_problem_code0_ptr4" => {
            "fragment.uneven".into()
        }
        "discard_fragment:exceeds_65535" | "discard_fragment:icmp_param_problem_code0_ptr42" => {
            "fragment.too-long".into()
        }
        "discard_datagram:conflicting_end" | "discard_datagram:data_beyond_end" => "fragment.ends-differ".into(),
        "discard_fragment:empty" => "fragment.empty".into(),
        "discard_datagram:ecn_ce_with_not_ect" => "fragment.ecn".into(),
        other => panic!("the vectors have a new action: {other}"),
    }
}

fn run_vectors(key: &str, count: usize) {
    let vectors = vectors();
    let lists = vectors[key].as_array().unwrap();
    assert_eq!(lists.len(), count);
    for list in lists {
        let name = list["name"].as_str().unwrap();
        let mut bench = Bench::new();
        let mut completed = Vec::new();
        for (step, value) in list["steps"].as_array().unwrap().iter().enumerate() {
            let packet = octets(&value["packet"]);
            let word = match bench.take(&packet) {
                Taken::Complete(packet) => {
                    completed.push(hex::encode(packet.ip()));
                    bench.pool.give(packet);
                    // The second of two interleaved datagrams has another identification, but is as long.
                    format!("complete {}", completed.last().unwrap().len() / 2)
                }
                Taken::Held => "held".into(),
                Taken::Dropped(reason) => reason.to_string(),
                Taken::Released(_) => "released".into(),
            };
            let action = value["action"].as_str().unwrap();
            assert_eq!(word, expected(action, list["reassembled"].as_str()), "{name} step {step}");
        }
        assert_eq!(completed.last().map(String::as_str), list["reassembled"].as_str(), "{name}");
        bench.assert_nothing_lost();
        bench.now += Duration::from_secs(15);
        bench.reassembler.expire(bench.now, &bench.behaviour, &mut bench.pool);
        assert_eq!((bench.reassembler.status().waiting, bench.reassembler.status().octets), (0, 0), "{name}");
        assert_eq!(bench.pool.available(), 2048, "{name}");
    }
}

#[test]
fn the_ipv4_step_lists_end_as_the_vectors_say() {
    run_vectors("reassembly_ipv4", 22);
}

#[test]
fn the_ipv6_step_lists_end_as_the_vectors_say() {
    run_vectors("reassembly_ipv6", 10);
}

#[test]
fn fragments_of_a_foreign_spi_go_on_as_they_came() {
    let packet = esp(9, OWN + 1, 2500);
    let pieces = fragment_ipv4(&packet, 1000);
    assert_eq!(pieces.len(), 3);
    let mut bench = Bench::new();
    assert_eq!(bench.words(&[pieces[2].clone(), pieces[1].clone()]), ["held", "held"]);
    assert!(matches!(bench.take(&pieces[0]), Taken::Released(3)));
    let mut released: Vec<&[u8]> = bench.out.packets.iter().map(Packet::ip).collect();
    released.sort_by_key(|ip| u16::from_be_bytes([ip[6], ip[7]]) & 0x1fff);
    assert_eq!(released, pieces.iter().map(Vec::as_slice).collect::<Vec<_>>());
    assert!(bench.out.packets.iter().all(|p| p.fate == Fate::Pending && p.link() == [1, 2, 3]));
    bench.out.recycle(&mut bench.pool);
    // Later pieces of what is known to be foreign do not wait, not even a copy.
    let mut bench = Bench::new();
    let order = [&pieces[0], &pieces[1], &pieces[1], &pieces[2], &pieces[2]].map(Clone::clone);
    assert_eq!(bench.words(&order), ["released 1"; 5]);
    assert_eq!(bench.reassembler.status().released, 5);
    bench.assert_nothing_lost();
}

#[test]
fn an_identification_that_comes_round_begins_a_packet_of_ours() {
    let foreign = fragment_ipv4(&esp(9, OWN + 1, 1500), 1000);
    let ours = fragment_ipv4(&esp(9, OWN, 1500), 1000);
    let mut bench = Bench::new();
    assert_eq!(bench.words(&foreign), ["released 1", "released 1"]);
    assert_eq!(bench.words(&ours), ["held", "complete 1520"]);
}

#[test]
fn unfinished_packets_are_given_up_in_time() {
    let pieces = fragment_ipv4(&esp(9, OWN, 1500), 1000);
    let mut bench = Bench::new();
    assert_eq!(bench.reassembler.next_timeout(&bench.behaviour), None);
    assert_eq!(bench.word(&pieces[1]), "held");
    let due = bench.now + Duration::from_secs(15);
    assert_eq!(bench.reassembler.next_timeout(&bench.behaviour), Some(due));
    bench.now = Instant(due.0 - 1);
    assert_eq!(bench.word(&pieces[1]), "fragment.duplicate");
    bench.now = due;
    assert_eq!(bench.word(&pieces[0]), "held", "the other piece is gone");
    assert_eq!(bench.reassembler.status().timeouts, 1);
    bench.assert_nothing_lost();

    let short = Behaviour::conforming().with_variant(Variant::ReassemblyShortTimeout);
    assert_eq!(bench.reassembler.next_timeout(&short), Some(due + Duration::from_secs(2)));
}

#[test]
fn what_is_lost_later_is_told_with_its_cause() {
    let limits = ReassemblyLimits { per_pair: 2, ..Default::default() };
    let mut bench = Bench::with(limits, &[]);
    let lost = |bench: &mut Bench| {
        let lost = bench.reassembler.take_lost();
        [lost.time, lost.room, lost.poisoned].map(|count| (count.packets, count.octets))
    };
    let pieces = |ident| fragment_ipv4(&esp(ident, OWN, 2500), 1000);
    bench.words(&pieces(1)[1..]);
    assert_eq!(lost(&mut bench), [(0, 0); 3]);
    bench.words(&[pieces(2)[0].clone(), pieces(3)[0].clone()]);
    let octets = pieces(1)[1..].iter().map(|piece| piece.len() as u64).sum();
    assert_eq!(lost(&mut bench), [(0, 0), (2, octets), (0, 0)], "the oldest of the pair gave way");
    let mut other = pieces(2).swap_remove(0);
    other[100] ^= 1;
    assert_eq!(bench.word(&other), "fragment.overlap");
    assert_eq!(lost(&mut bench), [(0, 0), (0, 0), (1, 996)]);
    bench.now += Duration::from_secs(15);
    bench.reassembler.expire(bench.now, &bench.behaviour, &mut bench.pool);
    assert_eq!(lost(&mut bench), [(1, 996), (0, 0), (0, 0)]);
    bench.assert_nothing_lost();
}

#[test]
fn a_flood_stays_within_every_limit_and_honest_packets_get_through_it() {
    let limits = ReassemblyLimits { per_pair: 4, total_datagrams: 32, total_octets: 20_000, ..Default::default() };
    let mut bench = Bench::with(limits, &[]);
    let mut rng = Rng::from_u64(3);
    let mut honest = 0;
    for round in 0..2000u32 {
        let mut header = Ipv4Header::new([10, 9, rng.next_u32() as u8 & 7, 1].into(), [10, 2, 2, 20].into(), 50);
        header.ident = round as u16;
        header.more_fragments = true;
        header.fragment_offset = (rng.below(7) * 8) as u16 + 64;
        bench.word(&header.packet(&vec![0; 8 + 8 * rng.below(160) as usize]));
        let status = bench.reassembler.status();
        assert!(status.waiting <= 32 && status.octets <= 20_000 && status.held <= 128, "{status:?}");
        if round % 50 == 0 {
            let pieces = fragment_ipv4(&esp(round as u16, OWN, 3000), 1500);
            honest += usize::from(bench.words(&pieces).last().unwrap() == "complete 3020");
        }
        bench.assert_nothing_lost();
    }
    assert_eq!(honest, 40);
    assert!(bench.reassembler.status().limited > 1000);
}

#[test]
fn one_pair_cannot_take_the_place_of_others() {
    let limits = ReassemblyLimits { per_pair: 4, ..Default::default() };
    let mut bench = Bench::with(limits, &[]);
    let other = fragment_ipv4(&esp6_as_v4(), 1000);
    assert_eq!(bench.word(&other[1]), "held");
    for ident in 0..100 {
        assert_eq!(bench.word(&fragment_ipv4(&esp(ident, OWN, 1500), 1000)[1]), "held");
        assert!(bench.reassembler.status().waiting <= 5);
    }
    assert!(bench.word(&other[0]).starts_with("complete"));
    // The youngest four of the pair are still there, the others gave way.
    assert_eq!(bench.word(&fragment_ipv4(&esp(96, OWN, 1500), 1000)[0]), "complete 1520");
    assert_eq!(bench.word(&fragment_ipv4(&esp(95, OWN, 1500), 1000)[0]), "held");
}

fn esp6_as_v4() -> Vec<u8> {
    Ipv4Header::new([10, 3, 3, 3].into(), [10, 2, 2, 20].into(), 50).packet(&esp_payload(OWN, 1500))
}

#[test]
fn more_pieces_than_any_honest_packet_has_poison_it() {
    let pieces = fragment_ipv4(&esp(9, OWN, 8 * 200), 28);
    let mut bench = Bench::new();
    let words = bench.words(&pieces);
    assert!(words[..128].iter().all(|word| word == "held"));
    assert_eq!(words[128], "fragment.limit");
    assert!(words[129..].iter().all(|word| word == "fragment.poisoned"));
    bench.assert_nothing_lost();
}

#[test]
fn the_longest_packet_is_joined_in_a_large_buffer() {
    let packet = esp(9, OWN, 65_515);
    let mut pieces = fragment_ipv4(&packet, 1500);
    pieces.reverse();
    let mut bench = Bench::new();
    let (last, before) = pieces.split_last().unwrap();
    assert!(bench.words(before).iter().all(|word| word == "held"));
    assert_eq!(bench.complete(last), packet);
    bench.assert_nothing_lost();
    // With options in the first header only, every fragment is fine by itself but the whole is too long.
    let mut header = Ipv4Header::new([10, 1, 1, 10].into(), [10, 2, 2, 20].into(), 50);
    header.options = vec![1; 8];
    header.ident = 9;
    header.more_fragments = true;
    let first = header.packet(&esp_payload(OWN, 1480));
    assert!(bench.words(before).iter().all(|word| word == "held"));
    assert_eq!(bench.word(&first), "fragment.too-long");
    bench.assert_nothing_lost();
}

#[test]
fn extension_headers_before_the_fragment_header_stay() {
    let whole = esp6(OWN, 1200);
    let mut bench = Bench::new();
    let pieces = fragment_ipv6(&whole, 800, 0xbeef);
    let with_options = |piece: &[u8]| {
        let mut packet = piece[..40].to_vec();
        let len = u16::from_be_bytes([piece[4], piece[5]]) + 8;
        packet[4..6].copy_from_slice(&len.to_be_bytes());
        packet[6] = 60;
        packet.extend_from_slice(&[44, 0, 1, 4, 0, 0, 0, 0]);
        packet.extend_from_slice(&piece[40..]);
        packet
    };
    assert_eq!(bench.word(&with_options(&pieces[0])), "held");
    let joined = bench.complete(&with_options(&pieces[1]));
    assert_eq!(joined[6], 60);
    assert_eq!(joined[40..48], [50, 0, 1, 4, 0, 0, 0, 0]);
    assert_eq!(joined[48..], whole[40..]);
    assert_eq!(u16::from_be_bytes([joined[4], joined[5]]) as usize, joined.len() - 40);
}

#[test]
fn only_the_first_next_header_of_an_ipv6_packet_counts() {
    let mut bench = Bench::new();
    let mut pieces = fragment_ipv6(&esp6(OWN, 1200), 800, 0xbeef);
    pieces[1][40] = 17;
    let wants = |bench: &Bench, ip: &[u8]| bench.reassembler.wants(ip, &Header::parse(ip).unwrap());
    assert!(wants(&bench, &pieces[0]) && !wants(&bench, &pieces[1]));
    assert_eq!(bench.word(&pieces[0]), "held");
    assert!(wants(&bench, &pieces[1]));
    assert_eq!(bench.word(&pieces[1]), "complete 1240");
    // What begins with another protocol is foreign, whatever its later pieces say.
    let mut pieces = fragment_ipv6(&esp6(OWN, 1200), 800, 0xbeef);
    pieces[0][40] = 17;
    assert_eq!(bench.words(&[pieces[1].clone(), pieces[0].clone()]), ["held", "released 2"]);
    assert!(!wants(&bench, &esp(1, OWN, 100)));
}

#[test]
fn a_foreign_atomic_fragment_goes_on_with_its_fragment_header() {
    let mut atomic = fragment_ipv6(&esp6(OWN + 1, 1200), 800, 0xbeef).swap_remove(0);
    atomic[43] &= 0xfe;
    let mut bench = Bench::new();
    assert!(matches!(bench.take(&atomic), Taken::Released(1)));
    assert_eq!(bench.out.packets[0].ip(), atomic);
}

#[test]
fn every_defect_of_reassembly_changes_an_outcome() {
    let packet = esp(9, OWN, 1500);
    let [a, b]: [Vec<u8>; 2] = fragment_ipv4(&packet, 1000).try_into().unwrap();
    let run = |defects: &[Defect], packets: &[&[u8]]| {
        let mut bench = Bench::with(ReassemblyLimits { per_pair: 2, ..Default::default() }, defects);
        packets.iter().map(|packet| bench.word(packet)).collect::<Vec<_>>()
    };
    let differs = |defect: Defect, packets: &[&[u8]]| {
        let (right, wrong) = (run(&[], packets), run(&[defect], packets));
        assert_ne!(right, wrong, "{defect}");
        wrong
    };
    assert_eq!(differs(Defect::ReassemblyDuplicateKills, &[&a, &a, &b])[1], "fragment.overlap");
    assert_eq!(differs(Defect::ReassemblyInOrderOnly, &[&b, &a])[0], "defect.discarded");
    let mut other = fragment_ipv4(&esp(10, OWN, 1500), 1000).swap_remove(1);
    assert_eq!(differs(Defect::ReassemblyKeyWithoutId, &[&a, &other])[1], "complete 1520");
    other = b.clone();
    other[15] = 99;
    assert_eq!(differs(Defect::ReassemblyKeyWithoutSource, &[&a, &other])[1], "complete 1520");
    let mut early = Ipv4Packet::decode(&b).unwrap().header;
    early.fragment_offset -= 8;
    let early = early.packet(&packet[20 + 968..]);
    assert_eq!(differs(Defect::ReassemblyOverlapAccepted, &[&a, &early])[1], "complete 1520");
    let mut long = Ipv4Packet::decode(&a).unwrap().header;
    long.more_fragments = true;
    let long = long.packet(&packet[20..20 + 979]);
    assert_eq!(differs(Defect::ReassemblyUnevenAccepted, &[&long, &b])[1], "complete 1520");
    let mut marked = b.clone();
    marked[1] |= 3;
    assert_eq!(differs(Defect::ReassemblyEcnLost, &[&a, &marked])[1], "complete 1520");
    let many: Vec<Vec<u8>> = (20..30).map(|ident| fragment_ipv4(&esp(ident, OWN, 1500), 1000).swap_remove(1)).collect();
    let mut flood: Vec<&[u8]> = vec![&a];
    flood.extend(many.iter().map(Vec::as_slice));
    flood.push(&b);
    assert_eq!(differs(Defect::ReassemblyNoLimit, &flood)[11], "complete 1520");
    flood.push(&a);
    assert_eq!(differs(Defect::ReassemblyLimitStops, &flood)[12], "fragment.limit");
    let foreign = fragment_ipv4(&esp(9, OWN + 1, 1500), 1000);
    assert_eq!(differs(Defect::ForeignFragmentsSwallowed, &[&foreign[1], &foreign[0]])[0], "held");
    let six = fragment_ipv6(&esp6(OWN, 1200), 800, 0xbeef);
    let mut atomic = fragment_ipv6(&esp6(OWN, 700), 800, 0xbeef).swap_remove(0);
    atomic = {
        let mut packet = six[0][..48].to_vec();
        packet[43] &= 0xfe;
        packet.extend_from_slice(&atomic[40..]);
        packet[4..6].copy_from_slice(&708u16.to_be_bytes());
        packet
    };
    assert_eq!(differs(Defect::AtomicFragmentsDropped, &[&atomic])[0], "defect.discarded");
    assert_eq!(differs(Defect::AtomicFragmentsMixed, &[&six[0], &atomic])[1], "fragment.ends-differ");
    let mut early = six[1].clone();
    let offset = u16::from_be_bytes([early[42], early[43]]) - 8;
    early[42..44].copy_from_slice(&offset.to_be_bytes());
    let mut with_more = early[..48].to_vec();
    with_more.extend_from_slice(&[0; 8]);
    with_more.extend_from_slice(&early[48..]);
    let len = u16::from_be_bytes([early[4], early[5]]) + 8;
    with_more[4..6].copy_from_slice(&len.to_be_bytes());
    assert_eq!(differs(Defect::Ipv6OverlapAccepted, &[&six[0], &with_more])[1], "complete 1240");

    let mut bench = Bench::with(ReassemblyLimits::default(), &[Defect::ReassemblyHeaderStale]);
    bench.word(&a);
    assert_eq!(bench.complete(&b)[..20], a[..20]);
    let mut bench = Bench::with(ReassemblyLimits::default(), &[Defect::ReassemblyNoTimeout]);
    bench.word(&a);
    assert_eq!(bench.reassembler.next_timeout(&bench.behaviour), None);
    bench.now = Instant::from_secs(1_000_000);
    assert_eq!(bench.word(&b), "complete 1520");
}

fn cut(ip: &[u8], size: usize, behaviour: &Behaviour) -> Vec<Vec<u8>> {
    let mut pool = Pool::new(600, 2048);
    let mut packet = Packet::with_capacity(65_535);
    assert!(packet.set(&[9, 9], ip));
    packet.fate = Fate::Out(Side::Wan);
    let mut out = Batch::new();
    let count = split(&packet, Cut { size, ident: None }, behaviour, &mut pool, &mut out).unwrap();
    assert_eq!(usize::from(count), out.packets.len());
    assert!(out.packets.iter().all(|p| p.fate == Fate::Out(Side::Wan) && p.link() == [9, 9]));
    out.packets.iter().map(|packet| packet.ip().to_vec()).collect()
}

#[test]
fn pieces_are_octet_for_octet_what_rfc_791_makes() {
    let mut header = Ipv4Header::new([10, 1, 1, 10].into(), [10, 2, 2, 20].into(), 17);
    header.ident = 0x4b1d;
    header.traffic_class = 0xb8;
    header.dont_fragment = true;
    let packet = header.packet(&(0..48).collect::<Vec<u8>>());
    let pieces = cut(&packet, 20 + 25, &Behaviour::conforming());
    let hex: Vec<String> = pieces.iter().map(hex::encode).collect();
    assert_eq!(
        hex,
        [
            "45b8002c4b1d20004011f7cb0a01010a0a020214000102030405060708090a0b0c0d0e0f1011121314151617",
            "45b8002c4b1d0003401117c90a01010a0a02021418191a1b1c1d1e1f202122232425262728292a2b2c2d2e2f",
        ]
    );
    assert!(pieces.iter().all(|piece| checksum(&piece[..20]) == 0));
}

#[test]
fn sizes_are_those_of_the_path_mtu_vectors() {
    let vectors = vectors();
    let mut rows = 0;
    for row in vectors["pmtu"].as_array().unwrap() {
        let Some(lengths) = row["inner_fragment_lengths"].as_array() else { continue };
        let lengths: Vec<u64> = lengths.iter().map(|len| len.as_u64().unwrap()).collect();
        let refusal = vectors["pmtu"].as_array().unwrap().iter().find(|other| {
            other["transform"] == row["transform"]
                && other["path_mtu"] == row["path_mtu"]
                && other["next_hop_mtu"].is_u64()
        });
        let size = refusal.unwrap()["next_hop_mtu"].as_u64().unwrap() as usize;
        let packet = Ipv4Header::new([10, 1, 1, 10].into(), [10, 2, 2, 20].into(), 17).packet(&[5; 1480]);
        let pieces = cut(&packet, size, &Behaviour::conforming());
        assert_eq!(pieces.iter().map(|piece| piece.len() as u64).collect::<Vec<_>>(), lengths);
        rows += 1;
    }
    assert_eq!(rows, 11);
}

#[test]
fn options_are_repeated_when_their_copy_flag_says_so() {
    let mut header = Ipv4Header::new([10, 1, 1, 10].into(), [10, 2, 2, 20].into(), 17);
    // No-operation, record route (not copied), router alert (copied), loose source route of 7 octets (copied), end.
    header.options = hex::decode("010707040a090909940400008307040a010203000000").unwrap();
    let packet = header.packet(&[5; 100]);
    let pieces = cut(&packet, 44 + 40, &Behaviour::conforming());
    assert_eq!(pieces[0][20..44], packet[20..44]);
    for piece in &pieces[1..] {
        assert_eq!(piece[0], 0x48);
        assert_eq!(hex::encode(&piece[20..32]), "940400008307040a01020300");
        assert_eq!(checksum(&piece[..32]), 0);
    }
    assert_eq!(pieces.iter().map(Vec::len).collect::<Vec<_>>(), [84, 72, 52]);
    let lost = cut(&packet, 84, &Behaviour::conforming().with_defect(Defect::FragmentsOptionsLost));
    assert_eq!(lost[1].len(), 60);
    header.options = vec![0x94, 200, 1, 1];
    let pieces = cut(&header.packet(&[5; 100]), 84, &Behaviour::conforming());
    assert_eq!(pieces[1][0], 0x45, "a broken option is not repeated");
}

#[test]
fn a_piece_is_cut_into_pieces_of_the_same_whole() {
    let packet = esp(77, OWN, 3000);
    let pieces = fragment_ipv4(&packet, 1500);
    let smaller: Vec<Vec<u8>> = pieces.iter().flat_map(|piece| cut(piece, 577, &Behaviour::conforming())).collect();
    assert!(smaller.len() > 5 && smaller.iter().all(|piece| piece.len() <= 577));
    let mut bench = Bench::new();
    let (last, before) = smaller.split_last().unwrap();
    assert!(bench.words(before).iter().all(|word| word == "held"));
    assert_eq!(bench.complete(last), packet);
}

#[test]
fn an_esp_packet_of_ipv6_can_be_cut_and_joined() {
    let packet = esp6(OWN, 1270);
    let mut pool = Pool::new(10, 1500);
    let mut whole = Packet::with_capacity(1500);
    assert!(whole.set(&[], &packet));
    let mut out = Batch::new();
    let how = Cut { size: 1280, ident: Some(0xcafe_0001) };
    assert_eq!(split(&whole, how, &Behaviour::conforming(), &mut pool, &mut out), Ok(2));
    let pieces: Vec<Vec<u8>> = out.packets.iter().map(|piece| piece.ip().to_vec()).collect();
    assert_eq!(hex::encode(&pieces[0][40..48]), "32000001cafe0001");
    assert_eq!(hex::encode(&pieces[1][40..48]), "320004d0cafe0001");
    assert_eq!(pieces.iter().map(Vec::len).collect::<Vec<_>>(), [1280 - 8 + 8, 48 + 1270 - 1232]);
    let mut bench = Bench::new();
    assert_eq!(bench.word(&pieces[1]), "held");
    assert_eq!(bench.complete(&pieces[0]), packet);
}

#[test]
fn what_cannot_be_cut_leaves_no_pieces() {
    let conforming = Behaviour::conforming();
    let cut = |ip: &[u8], size, pool: &mut Pool| {
        let mut packet = Packet::with_capacity(65_535);
        assert!(packet.set(&[], ip));
        let mut out = Batch::new();
        let result = split(&packet, Cut { size, ident: None }, &conforming, pool, &mut out);
        assert!(result.is_ok() || out.packets.is_empty());
        result
    };
    let packet = esp(1, OWN, 1000);
    let mut pool = Pool::new(3, 2048);
    assert_eq!(cut(&packet, 27, &mut pool), Err(Reason::TooBig));
    assert_eq!(cut(&packet, 300, &mut pool), Err(Reason::NoBuffer), "four pieces, three buffers");
    assert_eq!(pool.available(), 3);
    assert_eq!(cut(&packet[..500], 300, &mut pool), Err(Reason::Malformed));
    assert_eq!(cut(&esp(1, OWN, 65_000), 100, &mut Pool::new(1000, 2048)), Err(Reason::NoBuffer));
    let six = fragment_ipv6(&esp6(OWN, 1200), 800, 1);
    assert_eq!(cut(&six[0], 600, &mut pool), Err(Reason::TooBig));
    assert_eq!(cut(&packet, 2000, &mut pool), Ok(1));
}

#[test]
fn every_defect_and_variant_of_cutting_changes_the_pieces() {
    let packet = fragment_ipv4(&esp(77, OWN, 3000), 1500).swap_remove(1);
    let right = cut(&packet, 600, &Behaviour::conforming());
    for defect in [
        Defect::FragmentsNotMultipleOfEight,
        Defect::FragmentsMfLost,
        Defect::FragmentsOffsetWrong,
        Defect::FragmentsNewIds,
        Defect::FragmentsChecksumStale,
        Defect::FragmentsLastMissing,
        Defect::FragmentOfFragmentWrong,
    ] {
        assert_ne!(cut(&packet, 600, &Behaviour::conforming().with_defect(defect)), right, "{defect}");
    }
    let missing = cut(&packet, 600, &Behaviour::conforming().with_defect(Defect::FragmentsLastMissing));
    assert_eq!(missing, right[..2]);
    let mut reversed = cut(&packet, 600, &Behaviour::conforming().with_variant(Variant::FragmentsLastFirst));
    reversed.reverse();
    assert_eq!(reversed, right);
    let equal = cut(&packet, 600, &Behaviour::conforming().with_variant(Variant::FragmentsEqual));
    assert_eq!(equal.iter().map(Vec::len).collect::<Vec<_>>(), [516, 516, 508]);
    let mut bench = Bench::new();
    bench.word(&fragment_ipv4(&esp(77, OWN, 3000), 1500)[0]);
    bench.word(&fragment_ipv4(&esp(77, OWN, 3000), 1500)[2]);
    assert_eq!(bench.words(&equal), ["held", "held", "complete 3020"]);
}

#[test]
fn tiny_pieces_are_recognised_for_tcp_only() {
    let tiny = |protocol, offset, more, len| {
        let mut header = Ipv4Header::new([10, 1, 1, 10].into(), [10, 2, 2, 20].into(), protocol);
        header.fragment_offset = offset;
        header.more_fragments = more;
        is_tiny(&Header::parse(&header.packet(&vec![0; len])).unwrap())
    };
    assert!(tiny(6, 0, true, 8) && tiny(6, 8, true, 800) && tiny(6, 8, false, 800));
    assert!(!tiny(6, 0, true, 16) && !tiny(6, 16, false, 8) && !tiny(6, 0, false, 8));
    assert!(!tiny(50, 0, true, 8) && !tiny(17, 8, false, 8));
}

proptest! {
    #[test]
    fn what_was_cut_is_joined_again_in_any_order(
        len in 8usize..6000,
        size in 60usize..1500,
        order in any::<u64>(),
        v6 in any::<bool>(),
        twice in any::<bool>(),
    ) {
        let packet = if v6 { esp6(OWN, len) } else { esp(5, OWN, len) };
        // Honest packets come in no more than 128 pieces.
        let unit = (size - if v6 { 48 } else { 20 }) / 8 * 8;
        prop_assume!(len.div_ceil(unit) <= 128);
        let mut pool = Pool::new(200, 2048);
        let mut whole = Packet::with_capacity(65_535);
        prop_assert!(whole.set(&[], &packet));
        let mut out = Batch::new();
        split(&whole, Cut { size, ident: None }, &Behaviour::conforming(), &mut pool, &mut out).unwrap();
        let mut pieces: Vec<Vec<u8>> = out.packets.iter().map(|piece| piece.ip().to_vec()).collect();
        prop_assert!(pieces.iter().all(|piece| piece.len() <= size));
        let mut rng = Rng::from_u64(order);
        for at in (1..pieces.len()).rev() {
            pieces.swap(at, rng.below(at as u64 + 1) as usize);
        }
        let mut bench = Bench::new();
        let (last, before) = pieces.split_last().unwrap();
        for piece in before {
            prop_assert_eq!(bench.word(piece), "held");
            if twice {
                prop_assert_eq!(bench.word(piece), "fragment.duplicate");
            }
        }
        prop_assert_eq!(bench.complete(last), packet);
        prop_assert_eq!(bench.reassembler.status().waiting, 0);
        bench.assert_nothing_lost();
    }

    #[test]
    fn no_packets_make_the_reassembler_panic_or_lose_a_buffer(
        packets in prop::collection::vec((0u16..4, 0u16..20, any::<bool>(), 0usize..40, 0u8..4, any::<bool>()), 1..60),
    ) {
        let limits = ReassemblyLimits { per_pair: 2, total_datagrams: 3, total_octets: 500, ..Default::default() };
        let mut bench = Bench::with(limits, &[]);
        for (ident, offset, more, len, ecn, own) in packets {
            let mut header = Ipv4Header::new([10, 1, 1, 10].into(), [10, 2, 2, 20].into(), 50);
            header.ident = ident;
            header.fragment_offset = offset * 8;
            header.more_fragments = more;
            header.traffic_class = ecn;
            bench.word(&header.packet(&esp_payload(if own { OWN } else { 5 }, len.max(4))[..len]));
            bench.now += Duration::from_millis(300);
            let status = bench.reassembler.status();
            prop_assert!(status.waiting <= 3 && status.octets <= 500);
            bench.assert_nothing_lost();
        }
    }
}
