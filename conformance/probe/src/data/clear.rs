//! Packets in clear, as hosts and routers send them.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use hallmark_wire::ip::{
    Checksum, IcmpMessage, Ipv4Header, Ipv6Header, UdpHeader, fragment_ipv4, fragment_ipv6, protocol, udp_checksum,
};

/// A packet in the making. Every field may be changed; checksums and lengths are computed when it is written.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Clear {
    /// Source.
    pub src: IpAddr,
    /// Destination, of the same IP version.
    pub dst: IpAddr,
    /// DSCP and ECN.
    pub traffic_class: u8,
    /// TTL or hop limit.
    pub hops: u8,
    /// Identification (IPv4).
    pub ident: u16,
    /// Whether routers may not cut it (IPv4).
    pub dont_fragment: bool,
    /// Options, padded to whole 4 octets (IPv4).
    pub options: Vec<u8>,
    /// Flow label (IPv6).
    pub flow_label: u32,
    /// Extension headers: the number of each and its content behind Next Header and length, padded to whole 8 octets
    /// (IPv6).
    pub extensions: Vec<(u8, Vec<u8>)>,
    /// What it carries.
    pub upper: Upper,
}

/// What a packet carries.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Upper {
    /// UDP.
    Udp {
        /// Source port.
        src_port: u16,
        /// Destination port.
        dst_port: u16,
        /// Payload.
        payload: Vec<u8>,
    },
    /// TCP.
    Tcp(Tcp),
    /// ICMP, or ICMPv6 over IPv6.
    Icmp(IcmpMessage),
    /// Anything else.
    Other {
        /// Protocol or next header.
        protocol: u8,
        /// Its octets.
        payload: Vec<u8>,
    },
}

/// A TCP segment.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Tcp {
    /// Source port.
    pub src_port: u16,
    /// Destination port.
    pub dst_port: u16,
    /// Sequence number.
    pub seq: u32,
    /// Acknowledgement number.
    pub ack: u32,
    /// FIN 1, SYN 2, RST 4, PSH 8, ACK 16, URG 32, ECE 64, CWR 128.
    pub flags: u8,
    /// Window.
    pub window: u16,
    /// Options, padded to whole 4 octets.
    pub options: Vec<u8>,
    /// Payload.
    pub payload: Vec<u8>,
}

impl Tcp {
    /// The SYN flag.
    pub const SYN: u8 = 2;
    /// The ACK flag.
    pub const ACK: u8 = 16;

    /// Makes the MSS option.
    #[must_use]
    pub const fn mss_option(mss: u16) -> [u8; 4] {
        let [high, low] = mss.to_be_bytes();
        [2, 4, high, low]
    }

    /// Reads the MSS option of a whole TCP segment; `None` where there is none.
    #[must_use]
    pub fn mss_of(segment: &[u8]) -> Option<u16> {
        let header_len = usize::from(segment.get(12)? >> 4) * 4;
        let mut options = segment.get(20..header_len)?;
        loop {
            match options {
                [2, 4, high, low, ..] => return Some(u16::from_be_bytes([*high, *low])),
                [0, ..] | [] => return None,
                [1, rest @ ..] => options = rest,
                [_, len, ..] => options = options.get(usize::from((*len).max(2))..)?,
                [_] => return None,
            }
        }
    }

    fn octets(&self, src: IpAddr, dst: IpAddr) -> Vec<u8> {
        let options_len = self.options.len().min(40).next_multiple_of(4);
        let mut segment = Vec::with_capacity(20 + options_len + self.payload.len());
        segment.extend(self.src_port.to_be_bytes());
        segment.extend(self.dst_port.to_be_bytes());
        segment.extend(self.seq.to_be_bytes());
        segment.extend(self.ack.to_be_bytes());
        segment.push(u8::try_from((20 + options_len) / 4).unwrap_or(15) << 4);
        segment.push(self.flags);
        segment.extend(self.window.to_be_bytes());
        segment.extend([0; 4]);
        segment.extend(self.options.iter().take(40));
        segment.resize(20 + options_len, 0);
        segment.extend(&self.payload);
        let sum = pseudo_checksum(src, dst, protocol::TCP, &segment).to_be_bytes();
        if let Some(place) = segment.get_mut(16..18) {
            place.copy_from_slice(&sum);
        }
        segment
    }
}

impl Clear {
    /// Makes a UDP datagram.
    #[must_use]
    pub fn udp(src: SocketAddr, dst: SocketAddr, payload: &[u8]) -> Self {
        let (src_port, dst_port, payload) = (src.port(), dst.port(), payload.to_vec());
        Self::new(src.ip(), dst.ip(), Upper::Udp { src_port, dst_port, payload })
    }

    /// Makes a TCP segment with these flags, without options.
    #[must_use]
    pub fn tcp(src: SocketAddr, dst: SocketAddr, flags: u8, payload: &[u8]) -> Self {
        let tcp = Tcp {
            src_port: src.port(),
            dst_port: dst.port(),
            seq: 1_000,
            ack: if flags & Tcp::ACK == 0 { 0 } else { 2_000 },
            flags,
            window: 65_535,
            options: Vec::new(),
            payload: payload.to_vec(),
        };
        Self::new(src.ip(), dst.ip(), Upper::Tcp(tcp))
    }

    /// Makes an echo request (ping) of either version, with so many octets of data.
    #[must_use]
    pub fn echo(src: IpAddr, dst: IpAddr, ident: u16, seq: u16, data_len: usize) -> Self {
        let kind = if src.is_ipv6() { 128 } else { 8 };
        let rest = u32::from(ident) << 16 | u32::from(seq);
        Self::new(src, dst, Upper::Icmp(IcmpMessage { kind, code: 0, rest, data: pattern(data_len) }))
    }

    /// Makes an ICMP error about a packet: it quotes header and `quoted` octets behind it.
    #[must_use]
    pub fn icmp_error(src: IpAddr, dst: IpAddr, kind: u8, code: u8, rest: u32, about: &[u8], quoted: usize) -> Self {
        let header_len = match about.first().map(|octet| octet >> 4) {
            Some(6) => Ipv6Header::LEN,
            _ => about.first().map_or(0, |octet| usize::from(octet & 0x0f) * 4),
        };
        let data = about.get(..about.len().min(header_len + quoted)).unwrap_or_default().to_vec();
        Self::new(src, dst, Upper::Icmp(IcmpMessage { kind, code, rest, data }))
    }

    /// Makes a packet of any other protocol.
    #[must_use]
    pub fn other(src: IpAddr, dst: IpAddr, protocol: u8, payload: Vec<u8>) -> Self {
        Self::new(src, dst, Upper::Other { protocol, payload })
    }

    fn new(src: IpAddr, dst: IpAddr, upper: Upper) -> Self {
        Self {
            src,
            dst,
            traffic_class: 0,
            hops: 64,
            ident: 0x4d48,
            dont_fragment: false,
            options: Vec::new(),
            flow_label: 0,
            extensions: Vec::new(),
            upper,
        }
    }

    /// Sets TTL or hop limit.
    #[must_use]
    pub const fn hops(mut self, hops: u8) -> Self {
        self.hops = hops;
        self
    }

    /// Sets the DSCP (6 bits).
    #[must_use]
    pub const fn dscp(mut self, dscp: u8) -> Self {
        self.traffic_class = dscp << 2 | self.traffic_class & 3;
        self
    }

    /// Sets the ECN bits: 0 not capable, 1 ECT(1), 2 ECT(0), 3 congestion experienced.
    #[must_use]
    pub const fn ecn(mut self, ecn: u8) -> Self {
        self.traffic_class = self.traffic_class & 0xfc | ecn & 3;
        self
    }

    /// Sets the don't-fragment flag.
    #[must_use]
    pub const fn df(mut self, dont_fragment: bool) -> Self {
        self.dont_fragment = dont_fragment;
        self
    }

    /// Sets the identification.
    #[must_use]
    pub const fn ident(mut self, ident: u16) -> Self {
        self.ident = ident;
        self
    }

    /// Sets the IPv4 options.
    #[must_use]
    pub fn options(mut self, options: &[u8]) -> Self {
        self.options = options.to_vec();
        self
    }

    /// Sets the flow label.
    #[must_use]
    pub const fn flow_label(mut self, label: u32) -> Self {
        self.flow_label = label;
        self
    }

    /// Adds an IPv6 extension header.
    #[must_use]
    pub fn extension(mut self, number: u8, content: &[u8]) -> Self {
        self.extensions.push((number, content.to_vec()));
        self
    }

    /// Sets source and destination.
    #[must_use]
    pub const fn between(mut self, src: IpAddr, dst: IpAddr) -> Self {
        self.src = src;
        self.dst = dst;
        self
    }

    /// Sets the options of a TCP segment; nothing for any other packet.
    #[must_use]
    pub fn tcp_options(mut self, options: &[u8]) -> Self {
        if let Upper::Tcp(tcp) = &mut self.upper {
            tcp.options = options.to_vec();
        }
        self
    }

    /// Gives the payload of the upper layer another length, so that the whole packet has so many octets (as near as
    /// its headers allow).
    #[must_use]
    pub fn sized(mut self, total: usize) -> Self {
        self.set_payload(Vec::new());
        let headers = self.octets().len();
        self.set_payload(pattern(total.saturating_sub(headers)));
        self
    }

    fn set_payload(&mut self, octets: Vec<u8>) {
        match &mut self.upper {
            Upper::Udp { payload, .. } | Upper::Other { payload, .. } => *payload = octets,
            Upper::Tcp(tcp) => tcp.payload = octets,
            Upper::Icmp(message) => message.data = octets,
        }
    }

    /// Gives the protocol number of the upper layer.
    #[must_use]
    pub const fn protocol(&self) -> u8 {
        match &self.upper {
            Upper::Udp { .. } => protocol::UDP,
            Upper::Tcp(_) => protocol::TCP,
            Upper::Icmp(_) if self.src.is_ipv6() => protocol::ICMPV6,
            Upper::Icmp(_) => protocol::ICMP,
            Upper::Other { protocol, .. } => *protocol,
        }
    }

    /// Writes the packet.
    #[must_use]
    pub fn octets(&self) -> Vec<u8> {
        let upper = self.upper_octets();
        match (self.src, self.dst) {
            (IpAddr::V4(src), IpAddr::V4(dst)) => Ipv4Header {
                traffic_class: self.traffic_class,
                ident: self.ident,
                dont_fragment: self.dont_fragment,
                ttl: self.hops,
                options: self.options.clone(),
                ..Ipv4Header::new(src, dst, self.protocol())
            }
            .packet(&upper),
            (src, dst) => {
                let mut next = self.protocol();
                let mut behind: Vec<u8> = Vec::new();
                for (number, content) in self.extensions.iter().rev() {
                    let len = (content.len() + 2).next_multiple_of(8);
                    let mut header = vec![next, u8::try_from(len / 8 - 1).unwrap_or(u8::MAX)];
                    header.extend(content);
                    // PadN, so that what is added is a legal option of options headers.
                    match len - header.len() {
                        0 => {}
                        1 => header.push(0),
                        pad => {
                            header.extend([1, u8::try_from(pad - 2).unwrap_or(0)]);
                            header.resize(len, 0);
                        }
                    }
                    header.append(&mut behind);
                    behind = header;
                    next = *number;
                }
                behind.extend(upper);
                let header = Ipv6Header {
                    traffic_class: self.traffic_class,
                    flow_label: self.flow_label,
                    hop_limit: self.hops,
                    ..Ipv6Header::new(v6(src), v6(dst), next)
                };
                header.packet(&behind)
            }
        }
    }

    /// Writes the packet in fragments that fit into `mtu` octets.
    #[must_use]
    pub fn fragments(&self, mtu: usize) -> Vec<Vec<u8>> {
        if self.src.is_ipv6() {
            fragment_ipv6(&self.octets(), mtu, 0x4d48_0000 | u32::from(self.ident))
        } else {
            fragment_ipv4(&self.octets(), mtu)
        }
    }

    fn upper_octets(&self) -> Vec<u8> {
        match &self.upper {
            Upper::Udp { src_port, dst_port, payload } => {
                let length = u16::try_from(UdpHeader::LEN + payload.len()).unwrap_or(u16::MAX);
                let header = UdpHeader { src_port: *src_port, dst_port: *dst_port, length, checksum: 0 };
                let segment = [&header.encode()[..], payload].concat();
                let checksum = udp_checksum(self.src, self.dst, &segment);
                [&UdpHeader { checksum, ..header }.encode()[..], payload].concat()
            }
            Upper::Tcp(tcp) => tcp.octets(self.src, self.dst),
            Upper::Icmp(message) => match (self.src, self.dst) {
                (IpAddr::V4(_), IpAddr::V4(_)) => message.encode_v4(),
                (src, dst) => message.encode_v6(v6(src), v6(dst)),
            },
            Upper::Other { payload, .. } => payload.clone(),
        }
    }
}

/// Makes so many octets that tell a shifted or cut payload from a whole one.
fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|i| u8::try_from((i ^ i >> 8) & 0xff).unwrap_or_default()).collect()
}

const fn v6(address: IpAddr) -> Ipv6Addr {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped(),
        IpAddr::V6(address) => address,
    }
}

fn pseudo_checksum(src: IpAddr, dst: IpAddr, protocol: u8, segment: &[u8]) -> u16 {
    let mut sum = Checksum::default();
    match (src, dst) {
        (IpAddr::V4(src), IpAddr::V4(dst)) => {
            sum.add(&src.octets());
            sum.add(&dst.octets());
        }
        (src, dst) => {
            sum.add(&v6(src).octets());
            sum.add(&v6(dst).octets());
        }
    }
    sum.add(&[0, protocol]);
    sum.add(&u32::try_from(segment.len()).unwrap_or(u32::MAX).to_be_bytes());
    sum.add(segment);
    sum.finish()
}

#[cfg(test)]
mod tests {
    use hallmark_wire::ip::{self, Ipv4Packet, Ipv6Packet};

    use super::*;

    fn at(text: &str) -> SocketAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn every_kind_of_packet_decodes_with_right_checksums() {
        let (a, b) = (at("10.1.0.10:7000"), at("10.2.0.20:7001"));
        let (a6, b6) = (at("[2001:db8:1::a]:7000"), at("[2001:db8:2::b]:7001"));
        for (src, dst) in [(a, b), (a6, b6)] {
            let datagram = ip::parse_udp(&Clear::udp(src, dst, b"data").dscp(46).octets()).expect("right checksums");
            assert_eq!((datagram.src, datagram.dst, datagram.payload.as_slice()), (src, dst, &b"data"[..]));
            let syn = Clear::tcp(src, dst, Tcp::SYN, b"").tcp_options(&Tcp::mss_option(1_460));
            let octets = syn.octets();
            let segment = match ip::version(&octets) {
                Some(4) => Ipv4Packet::decode(&octets).expect("decodes").payload,
                _ => Ipv6Packet::decode(&octets).expect("decodes").payload,
            };
            assert_eq!(pseudo_checksum(src.ip(), dst.ip(), protocol::TCP, segment), 0);
            assert_eq!(Tcp::mss_of(segment), Some(1_460));
        }
        let echo = Clear::echo(a.ip(), b.ip(), 7, 1, 56).octets();
        let packet = Ipv4Packet::decode(&echo).expect("decodes");
        assert_eq!((packet.header.protocol, packet.payload.len(), ip::checksum(packet.payload)), (1, 64, 0));
    }

    #[test]
    fn sizes_flags_options_and_extension_headers_are_as_asked() {
        let (a, b) = (at("10.1.0.10:7000"), at("10.2.0.20:7001"));
        let packet = Clear::udp(a, b, b"").options(&[148, 4, 0, 0]).df(true).hops(3).ident(9).sized(500).octets();
        let seen = Ipv4Packet::decode(&packet).expect("decodes");
        assert_eq!((packet.len(), seen.header.options.as_slice()), (500, &[148, 4, 0, 0][..]));
        assert_eq!((seen.header.dont_fragment, seen.header.ttl, seen.header.ident), (true, 3, 9));
        let (a6, b6) = (at("[2001:db8:1::a]:7000"), at("[2001:db8:2::b]:7001"));
        let long = Clear::udp(a6, b6, b"x").extension(60, &[]).extension(0, &[5, 2, 0, 0]).flow_label(0x12345);
        let octets = long.sized(3_000).octets();
        let seen = Ipv6Packet::decode(&octets).expect("decodes");
        assert_eq!((octets.len(), seen.extensions.len(), seen.protocol), (3_000, 16, protocol::UDP));
        assert_eq!(seen.header.flow_label, 0x12345);
        let pieces = Clear::udp(a, b, b"").sized(3_000).fragments(1_400);
        assert_eq!(pieces.iter().map(Vec::len).collect::<Vec<_>>(), [1_396, 1_396, 248]);
    }

    #[test]
    fn an_icmp_error_quotes_the_header_and_as_much_as_is_asked() {
        let (a, b) = (at("10.1.0.10:7000"), at("10.2.0.20:7001"));
        let about = Clear::udp(a, b, &[7; 100]).octets();
        let error = Clear::icmp_error([192, 0, 2, 1].into(), a.ip(), 3, 4, 1_400, &about, 8).octets();
        let seen = ip::parse_too_big(&error).expect("a too-big message");
        assert_eq!((seen.mtu, seen.quoted_upper.len(), seen.quoted_dst), (1_400, 8, b.ip()));
    }
}
