//! What the cases about sizes share: what fits into an ESP packet, packets in pieces, and the ICMP errors about them.
//!
//! Sizes are computed here by the formula of esp.md §12 from the numbers of the RFCs, and pieces are joined here by
//! the rules of RFC 791 and RFC 8200, so that nothing is judged by the subject's own arithmetic.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use hallmark_core::Rng;
use hallmark_probe::KsScript;
use hallmark_probe::data::{Clear, EspSeen, differences};
use hallmark_probe::group::{Flow as Entry, SidPlan, Tek};
use hallmark_probe::world::{Carried, Side};
use hallmark_wire::ip::{self, Checksum, IcmpMessage, Ipv4Packet, Ipv6Packet, protocol};

use crate::cx::{Cx, Flow, Stop};
use crate::data::{DataScene, LAN_HOST, LAN_HOST6, Passed, Rule, WAN_HOST, WAN_HOST6, both_ways};
use crate::setup::GmSetup;

/// A router beyond the WAN that no policy speaks of.
pub(super) const ROUTER: IpAddr = IpAddr::V4(Ipv4Addr::new(198, 51, 100, 7));
/// The same router, IPv6.
pub(super) const ROUTER6: IpAddr = IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0xffff, 0, 0, 0, 0, 7));
/// The member's own address on its LAN, IPv6.
pub(super) const LAN_ROUTER6: IpAddr = IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 1, 0, 0, 0, 0, 1));

/// An ESP transform with the numbers that its sizes follow from (esp.md §2, §12).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Sizes {
    /// For the report.
    pub(super) name: &'static str,
    id: u8,
    bits: Option<u16>,
    auth: Option<u16>,
    iv: usize,
    icv: usize,
    align: usize,
}

/// Writes a row: name; transform, key bits and authentication of the registries; octets of IV, ICV and alignment.
const fn row(
    name: &'static str,
    (id, bits, auth): (u8, Option<u16>, Option<u16>),
    (iv, icv, align): (usize, usize, usize),
) -> Sizes {
    Sizes { name, id, bits, auth, iv, icv, align }
}

/// The transform of the standard TEK.
pub(super) const STANDARD: Sizes = row("AES-CBC + SHA2-256-128", (12, Some(128), Some(5)), (16, 16, 16));

/// Every transform of esp.md §12.
pub(super) const TRANSFORMS: [Sizes; 11] = [
    STANDARD,
    row("AES-GCM ICV16", (20, Some(128), None), (8, 16, 4)),
    row("AES-GCM ICV12", (19, Some(256), None), (8, 12, 4)),
    row("AES-GCM ICV8", (18, Some(128), None), (8, 8, 4)),
    row("AES-GMAC ICV16", (23, Some(128), None), (8, 16, 4)),
    row("AES-CBC + SHA1-96", (12, Some(256), Some(2)), (16, 12, 16)),
    row("AES-CBC + SHA2-384-192", (12, Some(192), Some(6)), (16, 24, 16)),
    row("AES-CBC + SHA2-512-256", (12, Some(256), Some(7)), (16, 32, 16)),
    row("3DES-CBC + SHA1-96", (3, None, Some(2)), (8, 12, 8)),
    row("NULL + SHA1-96", (11, None, Some(2)), (0, 12, 4)),
    row("NULL + SHA2-256-128", (11, None, Some(5)), (0, 16, 4)),
];

impl Sizes {
    /// Gives the largest inner packet whose ESP packet has `mtu` octets at most: N(M), behind a stamp of so many octets.
    pub(super) const fn fits(&self, mtu: usize, v6: bool, stamp: usize) -> usize {
        let outer = if v6 { 40 } else { 20 };
        (mtu - outer - 8 - self.iv - self.icv) / self.align * self.align - 2 - stamp
    }

    /// Gives the length of the IP packet that carries an inner packet with the least padding.
    pub(super) const fn sealed(&self, inner: usize, v6: bool) -> usize {
        let outer = if v6 { 40 } else { 20 };
        outer + 8 + self.iv + (inner + 2).next_multiple_of(self.align) + self.icv
    }

    /// Gives the octets that padding grows by.
    pub(super) const fn align(&self) -> usize {
        self.align
    }

    fn tek(&self, rng: &mut Rng, flows: Vec<Entry>) -> Tek {
        Tek::esp(rng, self.id, self.bits, self.auth, 3_600).flows(flows)
    }
}

/// A transform and the hosts beyond the WAN whose traffic it protects: IPv4, IPv6.
pub(super) type Ends = (Sizes, IpAddr, IpAddr);

/// Starts a registered member with a TEK of each transform, for traffic with different hosts.
pub(super) fn with_all_transforms(cx: &mut Cx<'_>, setup: impl FnOnce(&mut GmSetup)) -> Flow<(DataScene, Vec<Ends>)> {
    let mut teks = Vec::new();
    let mut ends = Vec::new();
    for (n, sizes) in (0u8..).zip(TRANSFORMS) {
        let (far, far6) = far_hosts(n);
        let mut flows = both_ways(&Entry::between(([10, 1, 0, 0].into(), 16), (far, 32)));
        flows.extend(both_ways(&Entry::between((LAN_HOST6, 64), (far6, 128))));
        if n == 0 {
            flows.extend(both_ways(&Entry::standard()));
        }
        teks.push(sizes.tek(cx.world.rng(), flows));
        ends.push((sizes, far, far6));
    }
    let scene = DataScene::with(cx, setup, |script| {
        script.group.sids.get_or_insert_with(SidPlan::default);
        script.group.teks = teks;
    })?;
    Ok((scene, ends))
}

const fn far_hosts(n: u8) -> (IpAddr, IpAddr) {
    let v6 = Ipv6Addr::new(0x2001, 0xdb8, 0x20 + n as u16, 0, 0, 0, 0, 0x20);
    (IpAddr::V4(Ipv4Addr::new(10, 20 + n, 0, 20)), IpAddr::V6(v6))
}

/// Makes the first TEK of a script protect the IPv6 hosts as well.
pub(super) fn with_ipv6(script: &mut KsScript) {
    if let Some(tek) = script.group.teks.first_mut() {
        tek.flows.extend(both_ways(&Entry::between((LAN_HOST6, 64), (WAN_HOST6, 64))));
    }
}

/// Makes a datagram from the LAN of exactly so many octets.
pub(super) fn outbound(len: usize) -> Clear {
    DataScene::outbound().sized(len)
}

/// Makes a datagram from beyond the WAN of exactly so many octets.
pub(super) fn inbound(len: usize) -> Clear {
    DataScene::inbound().sized(len)
}

/// Makes a datagram from the LAN over IPv6 of exactly so many octets.
pub(super) fn outbound6(len: usize) -> Clear {
    DataScene::outbound().between(LAN_HOST6, WAN_HOST6).sized(len)
}

/// Makes a datagram from beyond the WAN over IPv6 of exactly so many octets.
pub(super) fn inbound6(len: usize) -> Clear {
    DataScene::inbound().between(WAN_HOST6, LAN_HOST6).sized(len)
}

/// What became of one packet from the LAN.
pub(super) struct Sent {
    /// Everything that left the ports.
    pub(super) passed: Passed,
    /// The ESP packets, outer fragments joined.
    pub(super) esp: Vec<EspSeen>,
    /// Why something that left the WAN cannot be opened.
    pub(super) faults: Vec<String>,
    /// Packets that left the WAN as fragments of ESP packets.
    pub(super) outside: usize,
}

impl Sent {
    /// Gives the length of the longest packet that left the WAN.
    pub(super) fn longest(&self) -> usize {
        self.passed.wan.iter().map(|carried| carried.packet.len()).max().unwrap_or(0)
    }

    /// Gives the inner packets in the order in which they left.
    pub(super) fn inner(&self) -> Vec<Vec<u8>> {
        self.esp.iter().map(|seen| seen.inner.clone()).collect()
    }

    /// Says in words what keeps the pieces from holding a packet, apart from its hops and what is named in `apart`;
    /// nothing when they do.
    pub(super) fn unlike(&self, packet: &[u8], apart: &[&str]) -> Option<String> {
        if self.passed.wan.is_empty() {
            return Some(self.passed.describe(Side::Wan));
        }
        if let Some(fault) = self.faults.first() {
            return Some(fault.clone());
        }
        match joined(&self.inner()) {
            Err(why) => Some(why),
            Ok(whole) => {
                let changed = unlike(packet, &whole, apart);
                (!changed.is_empty()).then(|| format!("changed: {}", changed.join(", ")))
            }
        }
    }

    /// Says in words how it left.
    pub(super) fn describe(&self) -> String {
        let lengths: Vec<String> = self.passed.wan.iter().take(12).map(|sent| sent.packet.len().to_string()).collect();
        match lengths.as_slice() {
            [] => self.passed.describe(Side::Wan),
            [one] => format!("one packet of {one} octets"),
            _ => format!("{} packets of {} octets", self.passed.wan.len(), lengths.join(", ")),
        }
    }
}

/// Sends a packet from the LAN and reads everything that comes of it, in however many pieces.
pub(super) fn send(scene: &mut DataScene, cx: &mut Cx<'_>, packet: &[u8]) -> Flow<Sent> {
    let passed = scene.pass_until(cx, Side::Lan, &[packet.to_vec()], &|passed| {
        let octets: usize = passed.wan.iter().map(|carried| carried.packet.len()).sum();
        octets > packet.len()
    })?;
    Ok(read(scene, &passed))
}

/// Joins the outer fragments of what left the WAN and opens everything.
fn read(scene: &DataScene, passed: &Passed) -> Sent {
    let mut sent = Sent { passed: passed.clone(), esp: Vec::new(), faults: Vec::new(), outside: 0 };
    let mut groups: Vec<(Vec<u8>, Vec<Carried>)> = Vec::new();
    let mut whole = Vec::new();
    for carried in &passed.wan {
        match fragment_key(&carried.packet) {
            None => whole.push(carried.clone()),
            Some(key) => {
                sent.outside += 1;
                match groups.iter_mut().find(|(known, _)| *known == key) {
                    Some((_, group)) => group.push(carried.clone()),
                    None => groups.push((key, vec![carried.clone()])),
                }
            }
        }
    }
    for (_, group) in groups {
        let pieces: Vec<Vec<u8>> = group.iter().map(|carried| carried.packet.clone()).collect();
        match (joined(&pieces), group.first()) {
            (Ok(packet), Some(first)) => whole.push(Carried { at: first.at, packet }),
            (Err(why), _) => sent.faults.push(format!("fragments of ESP: {why}")),
            (Ok(_), None) => {}
        }
    }
    for carried in whole {
        match scene.open(&carried) {
            Ok(seen) => sent.esp.push(seen),
            Err(why) => sent.faults.push(why),
        }
    }
    sent
}

/// Gives what all fragments of one packet have in common; nothing for what is no fragment.
fn fragment_key(packet: &[u8]) -> Option<Vec<u8>> {
    if ip::version(packet) == Some(4) {
        let seen = Ipv4Packet::decode(packet).ok().filter(|seen| seen.header.is_fragment())?;
        let header = &seen.header;
        let ident = header.ident.to_be_bytes();
        return Some([&header.src.octets()[..], &header.dst.octets(), &[header.protocol], &ident].concat());
    }
    let seen = Ipv6Packet::decode(packet).ok()?;
    let ident = seen.fragment?.ident.to_be_bytes();
    Some([&seen.header.src.octets()[..], &seen.header.dst.octets(), &ident].concat())
}

/// One piece as the joining sees it.
struct Piece {
    offset: usize,
    more: bool,
    ident: u32,
    payload: Vec<u8>,
}

fn piece(packet: &[u8]) -> Result<Piece, String> {
    if ip::version(packet) == Some(4) {
        let seen = Ipv4Packet::decode(packet).map_err(|error| error.to_string())?;
        let (offset, more) = (usize::from(seen.header.fragment_offset), seen.header.more_fragments);
        let ident = u32::from(seen.header.ident);
        return Ok(Piece { offset, more, ident, payload: seen.payload.to_vec() });
    }
    let seen = Ipv6Packet::decode(packet).map_err(|error| error.to_string())?;
    let fragment = seen.fragment.map_or((0, false, 0), |f| (usize::from(f.offset), f.more, f.ident));
    Ok(Piece { offset: fragment.0, more: fragment.1, ident: fragment.2, payload: seen.payload.to_vec() })
}

/// Joins the pieces of one packet, in whatever order they are; a packet that is none comes back as it is.
///
/// # Errors
/// Says what keeps them from being one packet.
pub(super) fn joined(packets: &[Vec<u8>]) -> Result<Vec<u8>, String> {
    if let [one] = packets {
        let only = piece(one)?;
        if only.offset == 0 && !only.more {
            return Ok(one.clone());
        }
    }
    let mut pieces = Vec::new();
    for packet in packets {
        pieces.push((piece(packet)?, packet));
    }
    pieces.sort_by_key(|(piece, _)| piece.offset);
    let Some((first, head)) = pieces.first() else { return Err("nothing came".to_owned()) };
    let ident = first.ident;
    let mut payload: Vec<u8> = Vec::new();
    let count = pieces.len();
    for (n, (piece, _)) in pieces.iter().enumerate() {
        if piece.ident != ident {
            return Err(format!("pieces of different identifications, {ident} and {}", piece.ident));
        }
        if piece.offset != payload.len() {
            return Err(format!("a piece at octet {} where {} is next", piece.offset, payload.len()));
        }
        let last = n + 1 == count;
        if piece.more == last {
            return Err(format!("piece {} of {count} says that more follow: {}", n + 1, piece.more));
        }
        if piece.more && piece.payload.len() % 8 != 0 {
            return Err(format!("a piece of {} octets that is not the last", piece.payload.len()));
        }
        payload.extend(&piece.payload);
    }
    match Ipv4Packet::decode(head) {
        Ok(seen) => Ok(ip::fragment::joined_ipv4(&seen.header, &payload)),
        Err(_) => match Ipv6Packet::decode(head) {
            Ok(seen) => Ok(ip::fragment::joined_ipv6(&seen, &payload)),
            Err(error) => Err(error.to_string()),
        },
    }
}

/// Names the fields in which two packets differ, apart from TTL or hop limit and those whose names begin as `apart`.
pub(super) fn unlike(sent: &[u8], came: &[u8], apart: &[&str]) -> Vec<String> {
    let mut fields = differences(sent, came);
    fields.retain(|field| {
        let forgiven = ["TTL ", "hop limit "].iter().chain(apart).any(|name| field.starts_with(name));
        !forgiven
    });
    fields
}

/// Judges that a packet leaves in pieces that fit into `mtu` octets and hold it.
///
/// # Errors
/// `Judged` when it does not.
pub(super) fn expect_cut(
    scene: &mut DataScene,
    cx: &mut Cx<'_>,
    rule: &Rule,
    (what, mtu): (&str, usize),
    packet: &[u8],
) -> Flow<Sent> {
    let sent = send(scene, cx, packet)?;
    let problem = sent.unlike(packet, &[]).or_else(|| {
        let too_long = sent.longest() > mtu;
        (too_long || sent.passed.wan.len() < 2).then(|| sent.describe())
    });
    let observed = format!("{what}: {}", problem.clone().unwrap_or_else(|| sent.describe()));
    let expected = format!("pieces of {mtu} octets at most that hold it");
    rule.judge(cx, problem.is_none(), &expected, observed);
    if problem.is_some() { Err(Stop::Judged) } else { Ok(sent) }
}

/// Judges that a packet leaves as one ESP packet that fits into `mtu` octets.
///
/// # Errors
/// `Judged` when it does not.
pub(super) fn expect_whole(
    scene: &mut DataScene,
    cx: &mut Cx<'_>,
    rule: &Rule,
    (what, mtu): (&str, usize),
    packet: &[u8],
) -> Flow<EspSeen> {
    let sent = send(scene, cx, packet)?;
    let fits = sent.passed.wan.len() == 1 && sent.longest() <= mtu;
    let problem = sent.unlike(packet, &[]).or_else(|| (!fits).then(|| sent.describe()));
    let observed = format!("{what}: {}", problem.clone().unwrap_or_else(|| sent.describe()));
    let expected = format!("one ESP packet of {mtu} octets at most");
    rule.judge(cx, problem.is_none(), &expected, observed);
    match sent.esp.into_iter().next().filter(|_| problem.is_none()) {
        Some(seen) => Ok(seen),
        None => Err(Stop::Judged),
    }
}

/// An ICMP error that left a port.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct ErrorSeen {
    pub(super) v6: bool,
    pub(super) src: IpAddr,
    pub(super) dst: IpAddr,
    pub(super) kind: u8,
    pub(super) code: u8,
    /// The MTU that a "too big" announces.
    pub(super) mtu: usize,
    /// What it quotes.
    pub(super) quoted: Vec<u8>,
    /// Whether the ICMP checksum is right.
    pub(super) checksum_is_right: bool,
    /// Octets of the whole packet.
    pub(super) len: usize,
}

impl ErrorSeen {
    /// Tells whether it says that a packet was too big.
    pub(super) const fn is_too_big(&self) -> bool {
        matches!((self.v6, self.kind, self.code), (false, 3, 4) | (true, 2, 0))
    }

    /// Tells whether it says that hops have run out.
    pub(super) const fn is_time_exceeded(&self) -> bool {
        matches!((self.v6, self.kind, self.code), (false, 11, 0) | (true, 3, 0))
    }

    /// Says in words what it is.
    pub(super) fn describe(&self) -> String {
        let version = if self.v6 { "v6" } else { "" };
        let mtu = if self.is_too_big() { format!(", MTU {}", self.mtu) } else { String::new() };
        format!("ICMP{version} {}/{} from {} to {}{mtu}", self.kind, self.code, self.src, self.dst)
    }
}

/// Reads the ICMP errors among packets.
pub(super) fn errors(packets: &[&[u8]]) -> Vec<ErrorSeen> {
    packets.iter().filter_map(|packet| error(packet)).collect()
}

fn error(packet: &[u8]) -> Option<ErrorSeen> {
    let (v6, src, dst, body, sum): (bool, IpAddr, IpAddr, &[u8], u16) = if ip::version(packet) == Some(4) {
        let seen = Ipv4Packet::decode(packet).ok().filter(|seen| seen.header.protocol == protocol::ICMP)?;
        (false, seen.header.src.into(), seen.header.dst.into(), seen.payload, ip::checksum(seen.payload))
    } else {
        let seen = Ipv6Packet::decode(packet).ok().filter(|seen| seen.protocol == protocol::ICMPV6)?;
        let mut sum = Checksum::default();
        sum.add(&seen.header.src.octets());
        sum.add(&seen.header.dst.octets());
        sum.add(&u32::try_from(seen.payload.len()).ok()?.to_be_bytes());
        sum.add(&[0, 0, 0, protocol::ICMPV6]);
        sum.add(seen.payload);
        (true, seen.header.src.into(), seen.header.dst.into(), seen.payload, sum.finish())
    };
    let IcmpMessage { kind, code, rest, data } = IcmpMessage::decode(body).ok()?;
    let is_error = if v6 { kind < 128 } else { matches!(kind, 3 | 4 | 5 | 11 | 12) };
    let mtu = usize::try_from(if v6 { rest } else { rest & 0xffff }).ok()?;
    is_error.then_some(ErrorSeen {
        v6,
        src,
        dst,
        kind,
        code,
        mtu,
        quoted: data,
        checksum_is_right: sum == 0,
        len: packet.len(),
    })
}

/// Makes the error by which a router beyond the WAN reports that an ESP packet did not fit: it goes to the source of
/// that packet and quotes `quoted` octets behind its IP header.
pub(super) fn too_big(mtu: u32, about: &[u8], quoted: usize) -> Option<Clear> {
    let route = ip::route(about).ok()?;
    Some(match route.src {
        IpAddr::V4(_) => Clear::icmp_error(ROUTER, route.src, 3, 4, mtu, about, quoted),
        IpAddr::V6(_) => Clear::icmp_error(ROUTER6, route.src, 2, 0, mtu, about, quoted),
    })
}

/// Gives the hosts of an IP version: on the LAN, beyond the WAN.
pub(super) const fn hosts(v6: bool) -> (IpAddr, IpAddr) {
    if v6 { (LAN_HOST6, WAN_HOST6) } else { (LAN_HOST, WAN_HOST) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sizes_are_those_of_the_tables() {
        let of = |name: &str| TRANSFORMS.into_iter().find(|sizes| sizes.name == name).unwrap();
        let table = [
            ("AES-GCM ICV16", [1226, 1446, 8946], [1206, 1426, 8926], 1556),
            ("AES-GCM ICV12", [1230, 1450, 8950], [1210, 1430, 8930], 1552),
            ("AES-CBC + SHA1-96", [1214, 1438, 8942], [1198, 1422, 8910], 1560),
            ("AES-CBC + SHA2-256-128", [1214, 1438, 8926], [1198, 1406, 8910], 1564),
            ("AES-CBC + SHA2-512-256", [1198, 1422, 8910], [1182, 1390, 8894], 1580),
            ("3DES-CBC + SHA1-96", [1230, 1446, 8950], [1206, 1430, 8926], 1552),
            ("NULL + SHA2-256-128", [1234, 1454, 8954], [1214, 1434, 8934], 1548),
        ];
        for (name, v4, v6, sealed) in table {
            assert_eq!([1280, 1500, 9000].map(|mtu| of(name).fits(mtu, false, 0)), v4, "{name}");
            assert_eq!([1280, 1500, 9000].map(|mtu| of(name).fits(mtu, true, 0)), v6, "{name}");
            assert_eq!(of(name).sealed(1500, false), sealed, "{name}");
        }
        assert_eq!(STANDARD.fits(1500, false, 12), 1426);
    }

    #[test]
    fn pieces_are_joined_in_any_order_and_only_if_they_fit() {
        for packet in [outbound(1400), outbound6(1400)] {
            let whole = packet.octets();
            let mut pieces = packet.fragments(600);
            assert_eq!(pieces.len(), 3);
            pieces.reverse();
            assert_eq!(joined(&pieces), Ok(whole.clone()));
            assert_eq!(joined(std::slice::from_ref(&whole)), Ok(whole.clone()));
            assert!(joined(&pieces[..2]).unwrap_err().contains("where 0 is next"));
            assert!(joined(&pieces[1..]).unwrap_err().contains("says that more follow"));
            assert!(joined(&[]).is_err());
        }
    }

    #[test]
    fn errors_are_read_in_both_versions() {
        for (v6, packet) in [(false, outbound(1400)), (true, outbound6(1400))] {
            let report = too_big(1300, &packet.octets(), 8).unwrap().octets();
            let seen = errors(&[&report, &packet.octets()]);
            let [seen] = seen.as_slice() else { panic!("one error") };
            assert!(seen.is_too_big() && seen.checksum_is_right && seen.v6 == v6);
            assert_eq!((seen.mtu, seen.dst), (1300, hosts(v6).0));
            assert_eq!(seen.quoted[..], packet.octets()[..seen.quoted.len()]);
        }
    }
}
