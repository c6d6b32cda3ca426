//! The ICMP errors of a member: about packets that do not fit and packets whose hops have run out.
//!
//! Facts: RFC 792, 1122 §3.2.2, 1191, 1812 §4.3.2, 4443 §2.4; esp.md §13. Errors about packets that the SAs refuse do
//! not exist (ESP-098).

use std::net::IpAddr;

use hallmark_core::Instant;
use hallmark_wire::ip::{Checksum, checksum, protocol};

use crate::behaviour::{Behaviour, Defect, Variant};
use crate::classifier::{FlowKey, number};
use crate::header::{Header, V6_LEN};
use crate::packet::Packet;

/// Errors that may go out in a second, and at once.
pub const RATE: u32 = 100;

/// Longest error over IPv4 (RFC 1812 §4.3.2.3) and over IPv6 (RFC 4443 §2.4 c).
const V4_MAX: usize = 576;
const V6_MAX: usize = 1280;
const V4_LEN: usize = 20;
const ICMP_LEN: usize = 8;
/// Internetwork control, as routers mark their errors (RFC 1812 §4.3.2.5).
const TOS: u8 = 0xc0;
const HOPS: u8 = 64;

/// What is wrong with a packet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Problem {
    /// It does not fit: ICMP 3/4 or ICMPv6 2/0.
    TooBig {
        /// The largest that would fit.
        mtu: u16,
    },
    /// Its TTL or hop limit has run out: ICMP 11/0 or ICMPv6 3/0.
    TimeExceeded,
}

/// Why no error was made.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Silence {
    /// There must not be one about such a packet.
    Forbidden,
    /// There were too many lately.
    Limited,
    /// The buffer is too small.
    NoRoom,
}

/// Makes ICMP errors, not more of them than the rate allows.
#[derive(Clone, Debug)]
pub struct IcmpErrors {
    per_second: u32,
    /// Thousand-millionths of errors that may go out.
    credit: u64,
    last: Instant,
}

impl IcmpErrors {
    /// Allows so many errors in a second, and as many at once.
    #[must_use]
    pub fn new(per_second: u32) -> Self {
        Self { per_second, credit: u64::from(per_second) * NANO, last: Instant::ZERO }
    }

    /// Writes the error about `packet`, which quotes it as it is, into `out`, together with the link header that leads
    /// back to its sender.
    ///
    /// `from` is the own address on the side of the sender. Without one of the right IP version the error comes from
    /// the packet's own destination: a bridge without an address has no other that the sender's routers know.
    ///
    /// # Errors
    /// Why there is none; `out` is then unspecified.
    pub fn write(
        &mut self,
        now: Instant,
        problem: Problem,
        packet: &Packet,
        from: Option<IpAddr>,
        behaviour: &Behaviour,
        out: &mut Packet,
    ) -> Result<(), Silence> {
        let missing = match problem {
            Problem::TooBig { .. } => Defect::IcmpMissing,
            Problem::TimeExceeded => Defect::TimeExceededMissing,
        };
        let ip = packet.ip();
        let header = Header::parse(ip).ok_or(Silence::Forbidden)?;
        let key = FlowKey::of(ip, &header).map_err(|_| Silence::Forbidden)?;
        if behaviour.has(missing) || forbidden(problem, packet.link(), &key, behaviour) {
            return Err(Silence::Forbidden);
        }
        if !self.pay(now) {
            return Err(Silence::Limited);
        }
        let from = from.filter(|from| from.is_ipv4() == key.version4 && !behaviour.has(Defect::IcmpSourceWrong));
        let src = from.map_or(key.dst, number);
        let mut link = [0; crate::packet::LINK_MAX];
        let link = turned(packet.link(), &mut link);
        let quoted = ip.get(..header.len).unwrap_or_default();
        let written = if key.version4 {
            write_v4(problem, src as u32, key.src as u32, link, quoted, &header, behaviour, out)
        } else {
            write_v6(problem, src, key.src, link, quoted, behaviour, out)
        };
        written.ok_or(Silence::NoRoom)
    }

    fn pay(&mut self, now: Instant) -> bool {
        let full = u64::from(self.per_second) * NANO;
        let elapsed = now.0.saturating_sub(self.last.0);
        self.last = self.last.max(now);
        self.credit = self.credit.saturating_add(elapsed.saturating_mul(u64::from(self.per_second))).min(full);
        match self.credit.checked_sub(NANO) {
            Some(rest) => {
                self.credit = rest;
                true
            }
            None => false,
        }
    }
}

const NANO: u64 = 1_000_000_000;

/// The cases of RFC 1122 §3.2.2 and RFC 4443 §2.4 (e) in which a router stays silent.
fn forbidden(problem: Problem, link: &[u8], key: &FlowKey, behaviour: &Behaviour) -> bool {
    let to_group = link.len() >= 12 && link.first().is_some_and(|first| first & 1 != 0);
    let kind = (key.dst_port >> 8) as u8;
    let src = key.src_addr();
    let bad_source = src.is_unspecified() || src.is_multicast() || src.is_loopback();
    let about_error = match key.protocol {
        protocol::ICMP if key.version4 => !key.has_ports || matches!(kind, 3 | 4 | 5 | 11 | 12),
        protocol::ICMPV6 if !key.version4 => !key.has_ports || kind < 128 || kind == 137,
        _ => false,
    };
    // Path MTU discovery works for IPv6 multicast too (RFC 4443 §2.4 e.3): the answer goes to the one sender.
    let too_big_v6 = !key.version4 && matches!(problem, Problem::TooBig { .. });
    let group = (to_group || key.dst_addr().is_multicast()) && !behaviour.has(Defect::IcmpForGroups);
    let class_e = |number: u128| key.version4 && number >> 28 == 0xf;
    key.fragment
        || bad_source
        || class_e(key.src)
        || class_e(key.dst)
        || group && !too_big_v6
        || about_error && !behaviour.has(Defect::IcmpForErrors)
}

#[expect(clippy::too_many_arguments, reason = "the fields of one packet")]
fn write_v4(
    problem: Problem,
    src: u32,
    dst: u32,
    link: &[u8],
    quoted: &[u8],
    header: &Header,
    behaviour: &Behaviour,
    out: &mut Packet,
) -> Option<()> {
    let minimum = header.payload_at + 8;
    let most = if behaviour.varies(Variant::IcmpQuotesMinimum) { minimum } else { V4_MAX - V4_LEN - ICMP_LEN };
    let quoted = quote(quoted, most, behaviour);
    let total = (V4_LEN + ICMP_LEN + quoted.len()) as u16;
    let mut head = [0; V4_LEN + ICMP_LEN];
    let [t0, t1] = total.to_be_bytes();
    let [s0, s1, s2, s3] = src.to_be_bytes();
    let [d0, d1, d2, d3] = dst.to_be_bytes();
    // DF with identification 0: short enough for every path, and atomic (RFC 6864).
    let ip = [0x45, TOS, t0, t1, 0, 0, 0x40, 0, HOPS, protocol::ICMP, 0, 0, s0, s1, s2, s3, d0, d1, d2, d3];
    let [c0, c1] = checksum(&ip).to_be_bytes();
    put(&mut head, 0, &ip);
    put(&mut head, 10, &[c0, c1]);
    let icmp = match problem {
        Problem::TooBig { mtu } => {
            let [m0, m1] = mtu.to_be_bytes();
            [3, 4, 0, 0, 0, 0, m0, m1]
        }
        Problem::TimeExceeded => [11, 0, 0, 0, 0, 0, 0, 0],
    };
    let mut sum = Checksum::default();
    sum.add(&icmp);
    sum.add(quoted);
    put(&mut head, V4_LEN, &icmp);
    put(&mut head, V4_LEN + 2, &spoilt(sum.finish(), behaviour).to_be_bytes());
    fill(out, link, &head, quoted)
}

fn write_v6(
    problem: Problem,
    src: u128,
    dst: u128,
    link: &[u8],
    quoted: &[u8],
    behaviour: &Behaviour,
    out: &mut Packet,
) -> Option<()> {
    let quoted = quote(quoted, V6_MAX - V6_LEN - ICMP_LEN, behaviour);
    let len = (ICMP_LEN + quoted.len()) as u16;
    let mut head = [0; V6_LEN + ICMP_LEN];
    put(&mut head, 0, &[0x60 | TOS >> 4, TOS << 4]);
    put(&mut head, 4, &len.to_be_bytes());
    put(&mut head, 6, &[protocol::ICMPV6, HOPS]);
    put(&mut head, 8, &src.to_be_bytes());
    put(&mut head, 24, &dst.to_be_bytes());
    let icmp = match problem {
        Problem::TooBig { mtu } => {
            let [m0, m1] = mtu.to_be_bytes();
            [2, 0, 0, 0, 0, 0, m0, m1]
        }
        Problem::TimeExceeded => [3, 0, 0, 0, 0, 0, 0, 0],
    };
    let mut sum = Checksum::default();
    sum.add(&src.to_be_bytes());
    sum.add(&dst.to_be_bytes());
    sum.add(&u32::from(len).to_be_bytes());
    sum.add(&[0, 0, 0, protocol::ICMPV6]);
    sum.add(&icmp);
    sum.add(quoted);
    put(&mut head, V6_LEN, &icmp);
    put(&mut head, V6_LEN + 2, &spoilt(sum.finish(), behaviour).to_be_bytes());
    fill(out, link, &head, quoted)
}

fn quote<'a>(packet: &'a [u8], most: usize, behaviour: &Behaviour) -> &'a [u8] {
    let most = if behaviour.has(Defect::IcmpQuoteEmpty) { 0 } else { most };
    packet.get(..most.min(packet.len())).unwrap_or_default()
}

fn spoilt(sum: u16, behaviour: &Behaviour) -> u16 {
    if behaviour.has(Defect::IcmpChecksumWrong) { sum ^ 0x0101 } else { sum }
}

fn fill(out: &mut Packet, link: &[u8], head: &[u8], quoted: &[u8]) -> Option<()> {
    if !out.set(link, head) {
        return None;
    }
    out.append(quoted.len())?.copy_from_slice(quoted);
    Some(())
}

/// Exchanges the two addresses of an Ethernet header; other link headers stay as they are.
fn turned<'a>(link: &[u8], out: &'a mut [u8]) -> &'a [u8] {
    let len = link.len().min(out.len());
    put(out, 0, link);
    if let (true, Some((dst, rest))) = (len >= 14, link.split_first_chunk::<6>()) {
        put(out, 0, rest.get(..6).unwrap_or_default());
        put(out, 6, dst);
    }
    out.get(..len).unwrap_or_default()
}

fn put(out: &mut [u8], at: usize, octets: &[u8]) {
    for (to, from) in out.iter_mut().skip(at).zip(octets) {
        *to = *from;
    }
}

#[cfg(test)]
mod tests {
    use hallmark_core::Duration;
    use hallmark_wire::ip::{Ipv4Header, Ipv4Packet, Ipv6Header, parse_too_big};

    use super::*;

    const LINK: [u8; 14] = [2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0];

    fn v4(protocol: u8, payload: &[u8]) -> Vec<u8> {
        let mut header = Ipv4Header::new([10, 1, 1, 10].into(), [10, 2, 2, 20].into(), protocol);
        header.dont_fragment = true;
        header.packet(payload)
    }

    fn v6(protocol: u8, payload: &[u8]) -> Vec<u8> {
        Ipv6Header::new("2001:db8:1::10".parse().unwrap(), "2001:db8:2::20".parse().unwrap(), protocol).packet(payload)
    }

    fn packet(ip: &[u8]) -> Packet {
        let mut packet = Packet::with_capacity(2000);
        assert!(packet.set(&LINK, ip));
        packet
    }

    fn error(problem: Problem, ip: &[u8], from: &str, behaviour: &Behaviour) -> Result<Vec<u8>, Silence> {
        let mut out = Packet::with_capacity(1500);
        let from = Some(from.parse().unwrap());
        IcmpErrors::new(1).write(Instant::ZERO, problem, &packet(ip), from, behaviour, &mut out)?;
        assert_eq!(hex::encode(out.link()), "0200000000020200000000010800");
        Ok(out.ip().to_vec())
    }

    fn conforming(problem: Problem, ip: &[u8], from: &str) -> Result<Vec<u8>, Silence> {
        error(problem, ip, from, &Behaviour::conforming())
    }

    const TOO_BIG: Problem = Problem::TooBig { mtu: 1446 };

    #[test]
    fn fragmentation_needed_quotes_the_packet_and_comes_from_the_own_address() {
        let ip = v4(17, &[7; 1480]);
        let error = conforming(TOO_BIG, &ip, "10.1.1.1").unwrap();
        assert_eq!(
            hex::encode(&error[..28]),
            "45c0024000004000400121f1 0a010101 0a01010a 0304 b816 0000 05a6".replace(' ', "")
        );
        assert_eq!(error.len(), 576);
        assert_eq!(error[28..], ip[..548]);
        let told = parse_too_big(&error).unwrap();
        assert_eq!((told.mtu, told.quoted_dst.to_string()), (1446, "10.2.2.20".into()));
        assert!(Ipv4Packet::decode(&error).unwrap().checksum_is_right());
        let short = Behaviour::conforming().with_variant(Variant::IcmpQuotesMinimum);
        assert_eq!(self::error(TOO_BIG, &ip, "10.1.1.1", &short).unwrap().len(), 28 + 28);
    }

    #[test]
    fn packet_too_big_quotes_what_fits_the_smallest_link() {
        let ip = v6(17, &[7; 1460]);
        let error = conforming(TOO_BIG, &ip, "2001:db8:1::1").unwrap();
        assert_eq!(error.len(), 1280);
        assert_eq!(hex::encode(&error[..8]), "6c00000004d83a40");
        assert_eq!(error[48..], ip[..1232]);
        assert_eq!(error[40..42], [2, 0]);
        let told = parse_too_big(&error).unwrap();
        assert_eq!((told.mtu, told.reporter.to_string()), (1446, "2001:db8:1::1".into()));
    }

    #[test]
    fn time_exceeded_has_its_own_type_in_each_version() {
        let error = conforming(Problem::TimeExceeded, &v4(17, &[7; 20]), "10.1.1.1").unwrap();
        assert_eq!((error[20..22].to_vec(), error[24..28].to_vec(), error.len()), (vec![11, 0], vec![0; 4], 68));
        assert_eq!(checksum(&error[20..]), 0);
        let error = conforming(Problem::TimeExceeded, &v6(17, &[7; 20]), "2001:db8:1::1").unwrap();
        assert_eq!((error[40..42].to_vec(), error.len()), (vec![3, 0], 108));
    }

    #[test]
    fn without_an_address_of_the_version_the_destination_answers() {
        let error = conforming(TOO_BIG, &v6(17, &[7; 1460]), "10.1.1.1").unwrap();
        assert_eq!(parse_too_big(&error).unwrap().reporter.to_string(), "2001:db8:2::20");
        let error = conforming(TOO_BIG, &v4(17, &[7; 1460]), "2001:db8::1").unwrap();
        assert_eq!(error[12..16], [10, 2, 2, 20]);
    }

    #[test]
    fn there_is_no_error_about_errors_fragments_groups_or_strange_sources() {
        let silent = |ip: &[u8]| assert_eq!(conforming(TOO_BIG, ip, "10.1.1.1"), Err(Silence::Forbidden));
        for kind in [3, 4, 5, 11, 12] {
            silent(&v4(1, &[kind, 0, 0, 0, 0, 0, 0, 0]));
        }
        assert!(conforming(TOO_BIG, &v4(1, &[8, 0, 0, 0, 0, 0, 0, 0]), "10.1.1.1").is_ok());
        silent(&v4(1, &[]));
        for kind in [1, 2, 3, 4, 127, 137] {
            silent(&v6(58, &[kind, 0, 0, 0]));
        }
        assert!(conforming(TOO_BIG, &v6(58, &[128, 0, 0, 0]), "::1").is_ok());
        let mut later = v4(17, &[7; 100]);
        later[7] = 1;
        silent(&later);
        for (at, octets) in [
            (16, [224, 0, 0, 1]),
            (16, [255, 255, 255, 255]),
            (12, [0, 0, 0, 0]),
            (12, [127, 0, 0, 1]),
            (12, [239, 1, 1, 1]),
            (12, [255, 255, 255, 255]),
        ] {
            let mut ip = v4(17, &[7; 100]);
            ip[at..at + 4].copy_from_slice(&octets);
            silent(&ip);
        }
        silent(&v4(17, &[7; 100])[..50]);
        let mut group = v6(17, &[7; 1460]);
        group[24] = 0xff;
        assert!(conforming(TOO_BIG, &group, "2001:db8:1::1").is_ok(), "RFC 4443 2.4 e.3");
        assert_eq!(conforming(Problem::TimeExceeded, &group, "2001:db8:1::1"), Err(Silence::Forbidden));
        let mut frame = packet(&v4(17, &[7; 100]));
        frame.link_mut()[0] = 0xff;
        let mut out = Packet::with_capacity(1500);
        let written =
            IcmpErrors::new(1).write(Instant::ZERO, TOO_BIG, &frame, None, &Behaviour::conforming(), &mut out);
        assert_eq!(written, Err(Silence::Forbidden));
    }

    #[test]
    fn errors_are_limited_to_a_rate() {
        let mut errors = IcmpErrors::new(10);
        let (about, mut out) = (packet(&v4(17, &[7; 100])), Packet::with_capacity(1500));
        let mut send = |millis: u64| {
            let now = Instant::from_secs(5) + Duration::from_millis(millis);
            errors.write(now, TOO_BIG, &about, None, &Behaviour::conforming(), &mut out)
        };
        let sent = (0..100).filter(|_| send(0).is_ok()).count();
        assert_eq!(sent, 10);
        assert_eq!(send(99), Err(Silence::Limited));
        assert_eq!((send(100), send(150)), (Ok(()), Err(Silence::Limited)));
        assert_eq!((send(50), send(199), send(200)), (Err(Silence::Limited), Err(Silence::Limited), Ok(())));
        let sent = (0..1000).filter(|at| send(1200 + at * 10).is_ok()).count();
        assert!((105..=110).contains(&sent), "{sent} in ten seconds after one second of rest");
    }

    #[test]
    fn every_defect_shows() {
        let ip = v4(17, &[7; 1480]);
        let with =
            |defect, problem, ip: &[u8]| error(problem, ip, "10.1.1.1", &Behaviour::conforming().with_defect(defect));
        assert_eq!(with(Defect::IcmpMissing, TOO_BIG, &ip), Err(Silence::Forbidden));
        assert_eq!(with(Defect::TimeExceededMissing, Problem::TimeExceeded, &ip), Err(Silence::Forbidden));
        assert_eq!(with(Defect::IcmpSourceWrong, TOO_BIG, &ip).unwrap()[12..16], [10, 2, 2, 20]);
        assert_eq!(with(Defect::IcmpQuoteEmpty, TOO_BIG, &ip).unwrap().len(), 28);
        assert_ne!(checksum(&with(Defect::IcmpChecksumWrong, TOO_BIG, &ip).unwrap()[20..]), 0);
        assert!(with(Defect::IcmpForErrors, TOO_BIG, &v4(1, &[3, 4, 0, 0, 0, 0, 0, 0])).is_ok());
    }
}
