//! ESP packets that routers have cut on the way: they are addressed to hosts, and the member has to join them.

use std::net::{IpAddr, Ipv4Addr};

use hallmark_core::Duration;
use hallmark_probe::data::{Clear, Forge, Upper};
use hallmark_probe::world::Side;
use hallmark_wire::ip::{Ipv4Header, fragment, protocol};

use super::pieces::{inbound, inbound6, unlike, with_ipv6};
use crate::Case;
use crate::cx::{Cx, Flow, Stop};
use crate::data::{DataScene, LAN_HOST, OTHER_HOST, Rule, WAN_HOST};

pub(crate) const CASES: &[Case] = &[
    case! {
        "PMTU-008", "data.size", Must, Gm,
        title: "ESP packets that were cut on the way are joined and opened although they are addressed to a host",
        purpose: "With preserved addresses nobody else on the way will join them; a member that does not loses every \
                  large packet from a site whose path is narrower.",
        requirements: ["PMTU-008", "ESP-070", "ESP-036"],
        sources: ["getvpn §5.7", "RFC 4303 §3.4.1", "esp.md §11.1"],
        catches: ["dp_reassembly_missing"],
        needs: [Datapath],
        cost: 15,
        run: joined_in_transit,
    },
    case! {
        "JOIN-001", "data.size", Must, Gm,
        title: "fragments are joined in whatever order they arrive",
        purpose: "Paths with several links deliver the short last piece first.",
        requirements: ["PMTU-008", "ESP-070"],
        sources: ["RFC 791 §3.2", "RFC 815"],
        catches: ["dp_reassembly_in_order_only"],
        needs: [Datapath],
        cost: 20,
        run: any_order,
    },
    case! {
        "JOIN-002", "data.size", Must, Gm,
        title: "a packet that was joined of many pieces is treated as the whole that it was",
        purpose: "A joined packet that still says that it is a fragment, or has the length of its first piece, is \
                  refused by the member's own ESP.",
        requirements: ["ESP-071", "PMTU-008"],
        sources: ["RFC 4303 §3.4.1", "RFC 791 §3.2"],
        catches: ["dp_reassembly_header_stale"],
        needs: [Datapath],
        cost: 15,
        run: many_pieces,
    },
    case! {
        "JOIN-003", "data.size", Must, Gm,
        title: "a first fragment of eight octets is enough to know an ESP packet by",
        purpose: "SPI and sequence number stand in it; rules against tiny fragments are about TCP and must not hit ESP.",
        requirements: ["PMTU-008", "ESP-070"],
        sources: ["RFC 791 §3.2", "RFC 1858", "esp.md §11.2"],
        catches: ["dp_reassembly_missing"],
        needs: [Datapath],
        cost: 15,
        run: tiny_first,
    },
    case! {
        "JOIN-004", "data.size", Should, Gm,
        title: "a fragment that comes twice does no harm",
        purpose: "Networks duplicate packets; a member that gives up at every copy loses what was not lost.",
        requirements: ["ESP-077"],
        sources: ["RFC 791 §3.2", "esp.md §11.2"],
        catches: ["dp_reassembly_duplicate_kills"],
        needs: [Datapath],
        cost: 15,
        run: duplicates,
    },
    case! {
        "JOIN-005", "data.size", Should, Gm,
        title: "IPv4 fragments that overlap without being copies are not joined",
        purpose: "No router makes such fragments; they are made to slip something past whoever looks.",
        requirements: ["ESP-077"],
        sources: ["RFC 1858", "esp.md §11.2"],
        catches: ["dp_reassembly_overlap_accepted"],
        needs: [Datapath],
        cost: 15,
        run: overlap_v4,
    },
    case! {
        "JOIN-006", "data.size", Must, Gm,
        title: "IPv6 fragments that overlap are dropped with everything that belongs to them, silently",
        purpose: "The rule was made after attacks on everything that joined them in its own way.",
        requirements: ["ESP-075"],
        sources: ["RFC 8200 §4.5", "RFC 5722"],
        catches: ["dp_ipv6_overlap_accepted"],
        needs: [Datapath],
        cost: 15,
        run: overlap_v6,
    },
    case! {
        "JOIN-007", "data.size", Should, Gm,
        title: "fragments that claim two different ends are not joined",
        purpose: "One of the two is forged; which of them cannot be known.",
        requirements: ["ESP-077"],
        sources: ["esp.md §11.2"],
        catches: ["dp_reassembly_ends_ignored"],
        needs: [Datapath],
        cost: 15,
        run: two_ends,
    },
    case! {
        "JOIN-008", "data.size", Should, Gm,
        title: "fragments of which one lies beyond the end are not joined",
        purpose: "Data behind the last fragment has been the way into more than one reassembler's memory.",
        requirements: ["ESP-077"],
        sources: ["esp.md §11.2"],
        catches: ["dp_reassembly_ends_ignored"],
        needs: [Datapath],
        cost: 15,
        run: beyond_the_end,
    },
    case! {
        "JOIN-009", "data.size", Must, Gm,
        title: "a fragment that is not the last and no multiple of eight octets long is not joined",
        purpose: "No offset can name where the next one begins; to round its length is to invent a packet.",
        requirements: ["ESP-073"],
        sources: ["RFC 791 §3.2", "RFC 8200 §4.5"],
        catches: ["dp_reassembly_uneven_accepted"],
        needs: [Datapath],
        cost: 15,
        run: uneven,
    },
    case! {
        "JOIN-010", "data.size", Must, Gm,
        title: "fragments that reach past 65535 octets are dropped and do not stop the member",
        purpose: "This is the oldest of all packets of death.",
        requirements: ["ESP-073", "PMTU-008", "ESP-070"],
        sources: ["RFC 791 §3.2", "RFC 8200 §4.5"],
        catches: ["dp_reassembly_too_long_stops"],
        needs: [Datapath],
        cost: 20,
        run: too_long,
    },
    case! {
        "JOIN-011", "data.size", Must, Gm,
        title: "fragments whose counterpart does not come are given up after two minutes at most",
        purpose: "Identifications come round; what waits too long is joined with another packet, and memory fills.",
        requirements: ["ESP-074"],
        sources: ["RFC 1122 §3.3.2", "RFC 8200 §4.5"],
        catches: ["dp_reassembly_no_timeout"],
        needs: [Datapath],
        cost: 150,
        run: timeout,
    },
    case! {
        "JOIN-012", "data.size", Must, Gm,
        title: "packets between the same hosts are kept apart by their identification",
        purpose: "Under load the fragments of several packets of one transfer are always on the way together.",
        requirements: ["ESP-072"],
        sources: ["RFC 791 §3.2", "RFC 8200 §4.5"],
        catches: ["dp_reassembly_key_without_id"],
        needs: [Datapath],
        cost: 20,
        run: identifications,
    },
    case! {
        "JOIN-013", "data.size", Must, Gm,
        title: "packets of different sources are kept apart although their identifications are the same",
        purpose: "Every host counts by itself, so that equal numbers are common at a large site.",
        requirements: ["ESP-072"],
        sources: ["RFC 791 §3.2"],
        catches: ["dp_reassembly_key_without_source"],
        needs: [Datapath],
        cost: 15,
        run: sources,
    },
    case! {
        "JOIN-014", "data.size", Must, Gm,
        title: "an IPv6 packet whose fragment header says that it is whole is opened by itself",
        purpose: "Translators add such headers; whoever waits for further fragments waits in vain.",
        requirements: ["ESP-076", "ESP-070"],
        sources: ["RFC 6946", "RFC 8200 §4.5"],
        catches: ["dp_atomic_fragments_dropped"],
        needs: [Datapath],
        cost: 15,
        run: atomic_alone,
    },
    case! {
        "JOIN-015", "data.size", Must, Gm,
        title: "an IPv6 packet whose fragment header says that it is whole leaves fragments of the same number alone",
        purpose: "Otherwise anybody who can guess an identification can throw away packets in pieces.",
        requirements: ["ESP-076"],
        sources: ["RFC 6946"],
        catches: ["dp_atomic_fragments_mixed"],
        needs: [Datapath],
        cost: 15,
        run: atomic_between,
    },
    case! {
        "JOIN-016", "data.size", Must, Gm,
        title: "a congestion mark on any fragment marks the packet",
        purpose: "The mark says that a router was about to drop; lost in the joining, senders do not slow down.",
        requirements: ["ESP-078"],
        sources: ["RFC 3168 §5.3", "RFC 6040 §4.2"],
        catches: ["dp_reassembly_ecn_lost"],
        needs: [Datapath],
        cost: 15,
        run: marks,
    },
    case! {
        "JOIN-017", "data.size", Must, Gm,
        title: "fragments of which one is marked and another not ECN-capable are not joined",
        purpose: "Such a packet was tampered with or damaged; to join it would lose the mark or invent the capability.",
        requirements: ["ESP-078"],
        sources: ["RFC 3168 §5.3"],
        catches: ["dp_reassembly_ecn_lost"],
        needs: [Datapath],
        cost: 15,
        run: marks_that_contradict,
    },
    case! {
        "JOIN-018", "data.size", Should, Gm,
        title: "fragments of other people's ESP packets go on as they came",
        purpose: "Hosts behind the member have tunnels of their own; their fragments show no SPI but in the first, and a \
                  member that keeps them breaks tunnels that it knows nothing of.",
        requirements: ["ESP-080"],
        sources: ["esp.md §11.1", "RFC 5374 §5.2"],
        catches: ["dp_foreign_fragments_swallowed"],
        needs: [Datapath],
        cost: 20,
        run: foreign,
    },
    case! {
        "JOIN-019", "data.size", Must, Gm,
        title: "a flood of fragments that never become packets does not keep others out",
        purpose: "Anybody on the WAN can send fragments; they must cost the member a bounded amount of memory, and only \
                  for a while.",
        requirements: ["ESP-079", "ESP-074", "PMTU-008", "ESP-070"],
        sources: ["esp.md §11.2"],
        catches: ["dp_reassembly_no_limit", "dp_reassembly_limit_stops"],
        needs: [Datapath],
        cost: 160,
        run: flood,
    },
    case! {
        "JOIN-020", "data.size", Must, Gm,
        title: "a packet joined of the fragments of two packets is not let through",
        purpose: "Who can put a fragment of his own between two honest ones must at most lose a packet for others.",
        requirements: ["ESP-030", "ESP-070"],
        sources: ["RFC 4303 §3.4.4"],
        catches: ["dp_mac_not_checked"],
        needs: [Datapath],
        cost: 15,
        run: mixed,
    },
    case! {
        "DP-029", "data.size", Must, Gm,
        title: "ESP packets of 2 to 9 kB in fragments do not exhaust the member",
        purpose: "On links above 1800 octets a known defect lost a buffer with each of them until the router reloaded.",
        requirements: ["DP-029", "PMTU-008"],
        sources: ["getvpn §6 P40", "CVE-2022-20679"],
        catches: ["big_mtu_decrypt"],
        needs: [Datapath, Setup],
        cost: 40,
        run: large_for_long,
    },
];

/// A member, and the other one, whose packets are cut on the way: each has an identification of its own.
struct Bench {
    scene: DataScene,
    ident: u16,
}

impl Bench {
    /// Starts a member that protects both IP versions.
    fn start(cx: &mut Cx<'_>) -> Flow<Self> {
        Ok(Self { scene: DataScene::with(cx, |_| {}, with_ipv6)?, ident: 0x2000 })
    }

    /// Seals a packet as the other member does; gives the outer packet with a fresh identification.
    fn seal(&mut self, cx: &mut Cx<'_>, inner: &Clear) -> Flow<Whole> {
        let octets = inner.octets();
        let forged = self.scene.peer()?.forge(cx.world, &octets, &Forge::new());
        let outer = forged.map_err(|fault| Stop::Inconclusive(fault.to_string()))?;
        self.ident += 1;
        Ok(Whole { outer: outer.df(false).ident(self.ident), inner: octets })
    }

    /// Judges that pieces become the packet that they are of.
    fn joins(&mut self, cx: &mut Cx<'_>, rule: &Rule, what: &str, pieces: &[Vec<u8>], whole: &Whole) -> Flow {
        self.scene.expect_joined(cx, rule, what, pieces, &whole.inner).map(drop)
    }

    /// Judges that nothing comes of pieces.
    fn nothing(&mut self, cx: &mut Cx<'_>, rule: &Rule, what: &str, pieces: &[Vec<u8>]) -> Flow {
        self.scene.expect_nothing(cx, rule, what, Side::Wan, pieces).map(drop)
    }
}

/// An ESP packet before it is cut, and what it holds.
#[derive(Clone)]
struct Whole {
    outer: Clear,
    inner: Vec<u8>,
}

impl Whole {
    /// Gives the octets of ESP.
    fn len(&self) -> usize {
        match &self.outer.upper {
            Upper::Other { payload, .. } => payload.len(),
            _ => 0,
        }
    }

    /// Makes one piece of the octets `from..to` of ESP.
    fn piece(&self, from: usize, to: usize, more: bool) -> Vec<u8> {
        let octets = self.outer.octets();
        let made = if self.outer.src.is_ipv6() {
            fragment::piece_ipv6(&octets, from, to, more, u32::from(self.outer.ident))
        } else {
            fragment::piece_ipv4(&octets, from, to, more)
        };
        made.unwrap_or_default()
    }

    /// Cuts it at these places.
    fn cut(&self, at: &[usize]) -> Vec<Vec<u8>> {
        let ends = at.iter().copied().chain([self.len()]);
        let starts = [0].into_iter().chain(at.iter().copied());
        starts.zip(ends).map(|(from, to)| self.piece(from, to, to < self.len())).collect()
    }

    /// Adds octets behind its end, for pieces that contradict it.
    fn longer(&self) -> Self {
        let mut longer = self.clone();
        if let Upper::Other { payload, .. } = &mut longer.outer.upper {
            payload.extend([0x5a; 64]);
        }
        longer
    }

    /// Marks what is cut of it.
    fn marked(&self, ecn: u8) -> Self {
        Self { outer: self.outer.clone().ecn(ecn), inner: self.inner.clone() }
    }
}

/// Inner packets of both IP versions, of the same length.
fn both(len: usize) -> [(&'static str, Clear); 2] {
    [("IPv4", inbound(len)), ("IPv6", inbound6(len))]
}

const JOINED: Rule = Rule::new("join.opened", &["PMTU-008", "ESP-070"]);

fn joined_in_transit(cx: &mut Cx<'_>) -> Flow {
    const RULE: Rule = Rule::new("join.opened", &["PMTU-008", "ESP-070", "ESP-036"]);
    let mut bench = Bench::start(cx)?;
    for (version, inner) in both(1_000) {
        let whole = bench.seal(cx, &inner)?;
        bench.joins(cx, &RULE, &format!("{version} in two"), &whole.cut(&[504]), &whole)?;
    }
    bench.scene.finish(cx)
}

fn any_order(cx: &mut Cx<'_>) -> Flow {
    const ORDERS: [[usize; 3]; 6] = [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]];
    let mut bench = Bench::start(cx)?;
    for (version, inner) in both(1_000) {
        for order in ORDERS {
            let whole = bench.seal(cx, &inner)?;
            let pieces = whole.cut(&[400, 800]);
            let pieces: Vec<Vec<u8>> = order.iter().filter_map(|n| pieces.get(*n).cloned()).collect();
            let what = format!("{version}, pieces {}, {}, {}", order[0] + 1, order[1] + 1, order[2] + 1);
            bench.joins(cx, &JOINED, &what, &pieces, &whole)?;
        }
    }
    bench.scene.finish(cx)
}

fn many_pieces(cx: &mut Cx<'_>) -> Flow {
    const RULE: Rule = Rule::new("join.whole-again", &["ESP-071", "PMTU-008"]);
    let mut bench = Bench::start(cx)?;
    for (version, inner) in both(1_390) {
        let whole = bench.seal(cx, &inner)?;
        let cuts: Vec<usize> = (128..whole.len()).step_by(128).collect();
        let pieces = whole.cut(&cuts);
        bench.joins(cx, &RULE, &format!("{version} in {} pieces", pieces.len()), &pieces, &whole)?;
    }
    bench.scene.finish(cx)
}

fn tiny_first(cx: &mut Cx<'_>) -> Flow {
    let mut bench = Bench::start(cx)?;
    for (version, inner) in both(600) {
        let whole = bench.seal(cx, &inner)?;
        bench.joins(cx, &JOINED, &format!("{version}, 8 octets first"), &whole.cut(&[8]), &whole)?;
    }
    bench.scene.finish(cx)
}

fn duplicates(cx: &mut Cx<'_>) -> Flow {
    const RULE: Rule = Rule::new("join.copies", &["ESP-077"]);
    let mut bench = Bench::start(cx)?;
    // RFC 8200 lets a node drop an IPv6 packet of which a fragment came twice, so only IPv4 is judged.
    for (what, order) in [("the first", [0, 0, 1, 2]), ("a middle one", [0, 1, 1, 2]), ("the last", [2, 2, 1, 0])] {
        let whole = bench.seal(cx, &inbound(1_000))?;
        let pieces = whole.cut(&[400, 800]);
        let pieces: Vec<Vec<u8>> = order.iter().filter_map(|n| pieces.get(*n).cloned()).collect();
        bench.joins(cx, &RULE, &format!("{what} twice"), &pieces, &whole)?;
    }
    bench.scene.finish(cx)
}

fn overlap_v4(cx: &mut Cx<'_>) -> Flow {
    const RULE: Rule = Rule::new("join.overlap-v4", &["ESP-077"]);
    let mut bench = Bench::start(cx)?;
    let whole = bench.seal(cx, &inbound(600))?;
    let end = whole.len();
    let pieces = [whole.piece(0, 64, true), whole.piece(56, end, false)];
    bench.nothing(cx, &RULE, "eight octets in both", &pieces)?;
    let whole = bench.seal(cx, &inbound(600))?;
    let pieces = [whole.piece(128, end, false), whole.piece(64, 192, true), whole.piece(0, 64, true)];
    bench.nothing(cx, &RULE, "the last and a middle one", &pieces)?;
    bench.scene.finish(cx)
}

fn overlap_v6(cx: &mut Cx<'_>) -> Flow {
    const RULE: Rule = Rule::new("join.overlap-v6", &["ESP-075"]);
    const SILENT: Rule = Rule::new("join.overlap-silent", &["ESP-075"]);
    let mut bench = Bench::start(cx)?;
    let whole = bench.seal(cx, &inbound6(600))?;
    let end = whole.len();
    let pieces = [
        whole.piece(0, 64, true),
        whole.piece(56, 128, true),
        whole.piece(128, end, false),
        // Right by itself, but it belongs to what was to be discarded, later fragments included.
        whole.piece(64, 128, true),
    ];
    bench.nothing(cx, &RULE, "eight octets in two fragments", &pieces)?;
    let whole = bench.seal(cx, &inbound6(600))?;
    let passed = bench.scene.pass_all(cx, Side::Wan, &[whole.piece(0, 64, true), whole.piece(56, end, false)])?;
    let back = super::pieces::errors(&passed.packets(Side::Wan));
    let observed = back.first().map_or_else(|| "nothing".to_owned(), super::pieces::ErrorSeen::describe);
    SILENT.judge(cx, back.is_empty(), "no answer towards the WAN", observed);
    bench.scene.finish(cx)
}

fn two_ends(cx: &mut Cx<'_>) -> Flow {
    const RULE: Rule = Rule::new("join.two-ends", &["ESP-077"]);
    let mut bench = Bench::start(cx)?;
    for (version, inner) in both(600) {
        let whole = bench.seal(cx, &inner)?;
        let end = whole.len();
        let false_end = whole.longer().piece(end, end + 8, false);
        let pieces = [false_end, whole.piece(0, 64, true), whole.piece(64, end, false)];
        bench.nothing(cx, &RULE, &format!("{version}, ends at {} and {end}", end + 8), &pieces)?;
    }
    bench.scene.finish(cx)
}

fn beyond_the_end(cx: &mut Cx<'_>) -> Flow {
    const RULE: Rule = Rule::new("join.beyond-end", &["ESP-077"]);
    let mut bench = Bench::start(cx)?;
    for (version, inner) in both(600) {
        let whole = bench.seal(cx, &inner)?;
        let end = whole.len();
        let beyond = whole.longer().piece(end, end + 8, true);
        let pieces = [beyond, whole.piece(0, 64, true), whole.piece(64, end, false)];
        bench.nothing(cx, &RULE, &format!("{version}, a piece at the end {end}"), &pieces)?;
    }
    bench.scene.finish(cx)
}

fn uneven(cx: &mut Cx<'_>) -> Flow {
    const RULE: Rule = Rule::new("join.uneven", &["ESP-073"]);
    let mut bench = Bench::start(cx)?;
    for (version, inner) in both(600) {
        let whole = bench.seal(cx, &inner)?;
        let pieces = [whole.piece(0, 69, true), whole.piece(64, whole.len(), false)];
        bench.nothing(cx, &RULE, &format!("{version}, a first piece of 69 octets"), &pieces)?;
    }
    bench.scene.finish(cx)
}

fn too_long(cx: &mut Cx<'_>) -> Flow {
    const RULE: Rule = Rule::new("join.too-long", &["ESP-073"]);
    let mut bench = Bench::start(cx)?;
    let (Some(src), Some(dst)) = (v4(WAN_HOST), v4(LAN_HOST)) else { return Ok(()) };
    let far = |ident: u16, offset: u16, more: bool, len: usize| {
        let header = Ipv4Header {
            ident,
            fragment_offset: offset,
            more_fragments: more,
            ..Ipv4Header::new(src, dst, protocol::ESP)
        };
        header.packet(&vec![0x5a; len])
    };
    let whole = bench.seal(cx, &inbound(600))?;
    let ident = whole.outer.ident;
    for (what, piece) in [
        ("the last piece ends at 65628", far(ident, 65_528, false, 100)),
        ("a piece ends at 66032", far(ident + 1_000, 65_528, true, 504)),
        ("with its header it ends at 65540", far(ident + 2_000, 65_512, false, 8)),
    ] {
        bench.nothing(cx, &RULE, what, &[whole.piece(0, 64, true), piece])?;
    }
    let sound = bench.seal(cx, &inbound(600))?;
    bench.joins(cx, &JOINED, "a sound packet in two afterwards", &sound.cut(&[64]), &sound)?;
    bench.scene.finish(cx)
}

const fn v4(address: IpAddr) -> Option<Ipv4Addr> {
    match address {
        IpAddr::V4(address) => Some(address),
        IpAddr::V6(_) => None,
    }
}

/// Longer than anybody may wait for the fragments of one packet (RFC 1122 §3.3.2).
const GIVEN_UP: Duration = Duration::from_secs(130);

fn timeout(cx: &mut Cx<'_>) -> Flow {
    const RULE: Rule = Rule::new("join.given-up", &["ESP-074"]);
    let mut bench = Bench::start(cx)?;
    let mut late = Vec::new();
    for (_, inner) in both(600) {
        let whole = bench.seal(cx, &inner)?;
        cx.world.inject(0, Side::Wan, whole.piece(0, 64, true))?;
        late.push(whole.piece(64, whole.len(), false));
    }
    bench.scene.scene.ks.serve_for(cx.world, GIVEN_UP);
    bench.nothing(cx, &RULE, "the rest after 130 s", &late)?;
    bench.scene.finish(cx)
}

/// Lets pieces of several packets arrive and judges that all of the packets come.
fn all_join(cx: &mut Cx<'_>, bench: &mut Bench, rule: &Rule, what: &str, pieces: &[Vec<u8>], of: &[&Whole]) -> Flow {
    let passed = bench.scene.pass_until(cx, Side::Wan, pieces, &|passed| passed.lan.len() >= of.len())?;
    let came = passed.packets(Side::Lan);
    let there = of.iter().filter(|whole| came.iter().any(|came| unlike(&whole.inner, came, &[]).is_empty())).count();
    let observed = format!("{what}: {there} of {} packets; {}", of.len(), passed.describe(Side::Lan));
    let ok = there == of.len() && came.len() == of.len();
    rule.judge(cx, ok, "every packet once", observed);
    if ok { Ok(()) } else { Err(Stop::Judged) }
}

fn identifications(cx: &mut Cx<'_>) -> Flow {
    const RULE: Rule = Rule::new("join.by-identification", &["ESP-072"]);
    let mut bench = Bench::start(cx)?;
    for (version, inner) in both(600) {
        let one = bench.seal(cx, &inner)?;
        let other = bench.seal(cx, &inner.clone().dscp(10))?;
        let pieces = [
            one.piece(0, 64, true),
            other.piece(0, 64, true),
            one.piece(64, one.len(), false),
            other.piece(64, other.len(), false),
        ];
        all_join(cx, &mut bench, &RULE, &format!("{version}, two at once"), &pieces, &[&one, &other])?;
        let one = bench.seal(cx, &inner)?;
        let mut other = one.clone();
        other.outer.ident += 0x1000;
        let pieces = [one.piece(0, 64, true), other.piece(64, other.len(), false)];
        bench.nothing(cx, &RULE, &format!("{version}, halves with different numbers"), &pieces)?;
    }
    bench.scene.finish(cx)
}

fn sources(cx: &mut Cx<'_>) -> Flow {
    const RULE: Rule = Rule::new("join.by-source", &["ESP-072"]);
    let mut bench = Bench::start(cx)?;
    let neighbour = IpAddr::from([10, 2, 0, 21]);
    let one = bench.seal(cx, &inbound(600))?;
    let mut other = bench.seal(cx, &inbound(600).between(neighbour, LAN_HOST))?;
    other.outer.ident = one.outer.ident;
    let pieces = [
        one.piece(0, 64, true),
        other.piece(64, other.len(), false),
        other.piece(0, 64, true),
        one.piece(64, one.len(), false),
    ];
    all_join(cx, &mut bench, &RULE, "two hosts, one number", &pieces, &[&one, &other])?;
    let one = bench.seal(cx, &inbound(600))?;
    let mut other = one.clone();
    other.outer.src = neighbour;
    let pieces = [one.piece(0, 64, true), other.piece(64, other.len(), false)];
    bench.nothing(cx, &RULE, "halves from two hosts", &pieces)?;
    bench.scene.finish(cx)
}

fn atomic_alone(cx: &mut Cx<'_>) -> Flow {
    const RULE: Rule = Rule::new("join.atomic", &["ESP-076", "ESP-070"]);
    let mut bench = Bench::start(cx)?;
    let whole = bench.seal(cx, &inbound6(600))?;
    let atomic = whole.piece(0, whole.len(), false);
    bench.joins(cx, &RULE, "offset 0, no more", &[atomic], &whole)?;
    bench.scene.finish(cx)
}

fn atomic_between(cx: &mut Cx<'_>) -> Flow {
    const RULE: Rule = Rule::new("join.atomic-isolated", &["ESP-076"]);
    let mut bench = Bench::start(cx)?;
    let one = bench.seal(cx, &inbound6(600))?;
    let mut atomic = bench.seal(cx, &inbound6(600).dscp(10))?;
    atomic.outer.ident = one.outer.ident;
    let pieces = [one.piece(0, 64, true), atomic.piece(0, atomic.len(), false), one.piece(64, one.len(), false)];
    all_join(cx, &mut bench, &RULE, "a whole one between two halves", &pieces, &[&one, &atomic])?;
    bench.scene.finish(cx)
}

fn marks(cx: &mut Cx<'_>) -> Flow {
    const RULE: Rule = Rule::new("join.mark-kept", &["ESP-078"]);
    let mut bench = Bench::start(cx)?;
    for (version, inner) in both(600) {
        let inner = inner.ecn(2);
        let marked = inner.clone().ecn(3).octets();
        for place in 0..3 {
            let whole = bench.seal(cx, &inner)?;
            let (plain, hot) = (whole.cut(&[64, 128]), whole.marked(3).cut(&[64, 128]));
            let pieces: Vec<Vec<u8>> =
                plain.into_iter().zip(hot).enumerate().map(|(n, (a, b))| if n == place { b } else { a }).collect();
            let what = format!("{version}, piece {} of 3 marked", place + 1);
            let passed = bench.scene.pass_all(cx, Side::Wan, &pieces)?;
            let came = passed.packets(Side::Lan);
            let fields = came.first().map(|came| unlike(&marked, came, &[]));
            let observed = match fields {
                None => passed.describe(Side::Lan),
                Some(ref fields) if fields.is_empty() => "it came, marked".to_owned(),
                Some(ref fields) => fields.join(", "),
            };
            let ok = came.len() == 1 && fields.is_some_and(|fields| fields.is_empty());
            RULE.judge(cx, ok, "the packet, marked", format!("{what}: {observed}"));
        }
    }
    bench.scene.finish(cx)
}

fn marks_that_contradict(cx: &mut Cx<'_>) -> Flow {
    const RULE: Rule = Rule::new("join.mark-contradicts", &["ESP-078"]);
    let mut bench = Bench::start(cx)?;
    for (version, inner) in both(600) {
        let whole = bench.seal(cx, &inner)?;
        let pieces = [whole.piece(0, 64, true), whole.marked(3).piece(64, whole.len(), false)];
        bench.nothing(cx, &RULE, &format!("{version}, not capable and marked"), &pieces)?;
    }
    bench.scene.finish(cx)
}

fn foreign(cx: &mut Cx<'_>) -> Flow {
    const RULE: Rule = Rule::new("join.foreign-released", &["ESP-080"]);
    let mut bench = Bench::start(cx)?;
    let tek = bench.scene.tek()?;
    let payload: Vec<u8> = [&(tek.spi ^ 0x00ff_0000).to_be_bytes()[..], &[0; 3], &[1], &[0x77; 1_000]].concat();
    for (n, order) in (0u16..).zip([[0, 1, 2], [2, 1, 0], [1, 2, 0]]) {
        let outer = Clear::other(OTHER_HOST, LAN_HOST, protocol::ESP, payload.clone()).ident(0x0900 + n);
        let whole = Whole { outer, inner: Vec::new() };
        let cut = whole.cut(&[400, 800]);
        let pieces: Vec<Vec<u8>> = order.iter().filter_map(|n| cut.get(*n).cloned()).collect();
        let passed = bench.scene.pass_until(cx, Side::Wan, &pieces, &|passed| passed.lan.len() == 3)?;
        let came = passed.packets(Side::Lan);
        let same = |piece: &Vec<u8>| came.iter().any(|came| unlike(piece, came, &[]).is_empty());
        let there = cut.iter().filter(|piece| same(piece)).count();
        let what = format!("pieces {}, {}, {}", order[0] + 1, order[1] + 1, order[2] + 1);
        let observed = format!("{what}: {there} of 3 as they came; {}", passed.describe(Side::Lan));
        RULE.judge(cx, there == 3 && came.len() == 3, "the three fragments as they came", observed);
    }
    bench.scene.finish(cx)
}

fn flood(cx: &mut Cx<'_>) -> Flow {
    const GOES_ON: Rule = Rule::grave("join.flood-goes-on", &["ESP-079"]);
    const AGAIN: Rule = Rule::grave("join.after-flood", &["ESP-079", "ESP-074"]);
    const PACKETS: u16 = 5_000;
    let mut bench = Bench::start(cx)?;
    let sample = bench.seal(cx, &inbound(600))?;
    bench.joins(cx, &JOINED, "a packet in two before the flood", &sample.cut(&[64]), &sample)?;
    let mut flood = sample.clone();
    for n in 0..PACKETS {
        let [high, low] = n.to_be_bytes();
        flood.outer.src = IpAddr::from([10, 2, high, low]);
        flood.outer.ident = n;
        // First fragments that show an SPI of the group, which everybody on the way knows, and others that show none.
        let piece = if n % 2 == 0 { flood.piece(0, 512, true) } else { flood.piece(64, 576, true) };
        cx.world.inject(0, Side::Wan, piece)?;
    }
    cx.wait_secs(1);
    bench.scene.expect_opened(cx, &GOES_ON, "a packet that is whole", &DataScene::inbound())?;
    let whole = bench.seal(cx, &inbound(600))?;
    let passed = bench.scene.pass_all(cx, Side::Wan, &whole.cut(&[64]))?;
    let at_once = !passed.lan.is_empty();
    cx.measure("packets in pieces are joined right after the flood", f64::from(u8::from(at_once)), "");
    if !at_once {
        // A member may keep new ones out until those before have run out of time.
        bench.scene.scene.ks.serve_for(cx.world, GIVEN_UP);
    }
    let whole = bench.seal(cx, &inbound(600))?;
    bench.joins(cx, &AGAIN, "a packet in two after the flood", &whole.cut(&[64]), &whole)?;
    bench.scene.finish(cx)
}

fn mixed(cx: &mut Cx<'_>) -> Flow {
    const RULE: Rule = Rule::grave("join.mixed-refused", &["ESP-030", "ESP-070"]);
    let mut bench = Bench::start(cx)?;
    for (version, inner) in both(600) {
        let one = bench.seal(cx, &inner)?;
        let mut other = bench.seal(cx, &inner.clone().dscp(10))?;
        other.outer.ident = one.outer.ident;
        other.outer.traffic_class = one.outer.traffic_class;
        let pieces = [one.piece(0, 304, true), other.piece(304, other.len(), false)];
        bench.nothing(cx, &RULE, &format!("{version}, halves of two packets"), &pieces)?;
    }
    bench.scene.finish(cx)
}

fn large_for_long(cx: &mut Cx<'_>) -> Flow {
    const RULE: Rule = Rule::new("join.large", &["DP-029", "PMTU-008"]);
    let setup = |setup: &mut crate::setup::GmSetup| {
        if let Some(data) = setup.data.as_mut() {
            data.mtu = 9_000;
            data.lan_mtu = 9_000;
        }
    };
    let scene = DataScene::with(cx, setup, |_| {})?;
    let mut bench = Bench { scene, ident: 0x2000 };
    for n in 0..160_usize {
        let len = 2_000 + n * 43;
        let whole = bench.seal(cx, &inbound(len))?;
        let step = if n % 2 == 0 { 1_480 } else { 4_096 };
        let pieces = whole.cut(&(step..whole.len()).step_by(step).collect::<Vec<_>>());
        let what = format!("packet {}, {len} octets in {} pieces", n + 1, pieces.len());
        bench.joins(cx, &RULE, &what, &pieces, &whole)?;
    }
    bench.scene.finish(cx)
}
