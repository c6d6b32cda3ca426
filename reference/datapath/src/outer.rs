//! IP headers: building outer ones, changing inner ones in place with their checksum.

/// Octets of an IPv4 header without options.
pub(crate) const V4_LEN: usize = 20;
/// Octets of an IPv6 header.
pub(crate) const V6_LEN: usize = 40;

/// Everything that an outer header says.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Outer {
    pub(crate) traffic_class: u8,
    pub(crate) hops: u8,
    pub(crate) protocol: u8,
    /// IPv4 only: flags and fragment offset.
    pub(crate) flags: u16,
    /// IPv4 only.
    pub(crate) ident: u16,
    /// IPv6 only.
    pub(crate) flow_label: u32,
    pub(crate) src: u128,
    pub(crate) dst: u128,
}

/// DF among the IPv4 flags.
pub(crate) const DF: u16 = 0x4000;

impl Outer {
    /// Writes an IPv4 header in front of `payload_len` octets.
    #[inline(always)]
    pub(crate) fn write_v4(&self, header: &mut [u8; V4_LEN], payload_len: usize) {
        let total = (V4_LEN + payload_len) as u16;
        let (src, dst) = (self.src as u32, self.dst as u32);
        let words = [
            0x4500 | u32::from(self.traffic_class),
            u32::from(total),
            u32::from(self.ident),
            u32::from(self.flags),
            u32::from(self.hops) << 8 | u32::from(self.protocol),
            src >> 16,
            src & 0xffff,
            dst >> 16,
            dst & 0xffff,
        ];
        let sum: u32 = words.iter().sum();
        let sum = (sum & 0xffff) + (sum >> 16);
        let sum = !((sum & 0xffff) + (sum >> 16)) as u16;
        let [t0, t1] = total.to_be_bytes();
        let [i0, i1] = self.ident.to_be_bytes();
        let [f0, f1] = self.flags.to_be_bytes();
        let [c0, c1] = sum.to_be_bytes();
        let [s0, s1, s2, s3] = src.to_be_bytes();
        let [d0, d1, d2, d3] = dst.to_be_bytes();
        *header = [
            0x45,
            self.traffic_class,
            t0,
            t1,
            i0,
            i1,
            f0,
            f1,
            self.hops,
            self.protocol,
            c0,
            c1,
            s0,
            s1,
            s2,
            s3,
            d0,
            d1,
            d2,
            d3,
        ];
    }

    /// Writes an IPv6 header in front of `payload_len` octets.
    #[inline(always)]
    pub(crate) fn write_v6(&self, header: &mut [u8; V6_LEN], payload_len: usize) {
        let first = 6 << 28 | u32::from(self.traffic_class) << 20 | self.flow_label & 0x000f_ffff;
        header[..4].copy_from_slice(&first.to_be_bytes());
        header[4..6].copy_from_slice(&(payload_len as u16).to_be_bytes());
        header[6] = self.protocol;
        header[7] = self.hops;
        header[8..24].copy_from_slice(&self.src.to_be_bytes());
        header[24..].copy_from_slice(&self.dst.to_be_bytes());
    }
}

/// Replaces the 16-bit word at an even offset of an IPv4 header and corrects the checksum (RFC 1624), which stays as
/// right or wrong as it was.
#[inline]
pub(crate) fn set_v4_word(ip: &mut [u8], at: usize, new: [u8; 2]) {
    let Some(header) = ip.first_chunk_mut::<V4_LEN>() else { return };
    let Some(word) = header.get_mut(at..at + 2) else { return };
    let old = u16::from_be_bytes([word[0], word[1]]);
    word.copy_from_slice(&new);
    let checksum = u16::from_be_bytes([header[10], header[11]]);
    let sum = u32::from(!checksum) + u32::from(!old) + u32::from(u16::from_be_bytes(new));
    let sum = (sum & 0xffff) + (sum >> 16);
    let sum = !((sum & 0xffff) + (sum >> 16)) as u16;
    header[10..12].copy_from_slice(&sum.to_be_bytes());
}

/// Sets the TOS octet or traffic class.
#[inline]
pub(crate) fn set_traffic_class(ip: &mut [u8], class: u8) {
    match ip.first_chunk_mut::<2>() {
        Some([first, _]) if *first >> 4 == 4 => {
            let first = *first;
            set_v4_word(ip, 0, [first, class]);
        }
        Some([first, second]) => {
            *first = *first & 0xf0 | class >> 4;
            *second = *second & 0x0f | class << 4;
        }
        None => {}
    }
}

/// Sets the TTL or hop limit.
#[inline]
pub(crate) fn set_hops(ip: &mut [u8], hops: u8) {
    match ip.first_chunk_mut::<10>() {
        Some(header) if header[0] >> 4 == 4 => {
            let protocol = header[9];
            set_v4_word(ip, 8, [hops, protocol]);
        }
        Some(header) => header[7] = hops,
        None => {}
    }
}

/// Lowers the TTL or hop limit of a packet by one; it is at least 2.
#[inline(always)]
pub(crate) fn lower_hops(ip: &mut [u8]) {
    let Some(header) = ip.first_chunk_mut::<12>() else { return };
    if header[0] >> 4 == 4 {
        header[8] = header[8].wrapping_sub(1);
        // The word with the TTL becomes 0x0100 less: HC' = ~(~HC + ~m + m') with ~m + m' = 0xfeff (RFC 1624).
        let sum = u32::from(!u16::from_be_bytes([header[10], header[11]])) + 0xfeff;
        let sum = (sum & 0xffff) + (sum >> 16);
        [header[10], header[11]] = (!(sum as u16)).to_be_bytes();
    } else {
        header[7] = header[7].wrapping_sub(1);
    }
}

/// Writes the length field of a packet that was made longer or shorter by `change` octets.
pub(crate) fn set_len(ip: &mut [u8], len: usize) {
    match ip.first().map(|first| first >> 4) {
        Some(4) => set_v4_word(ip, 2, (len as u16).to_be_bytes()),
        Some(6) => {
            if let Some(field) = ip.get_mut(4..6) {
                field.copy_from_slice(&(len.saturating_sub(V6_LEN) as u16).to_be_bytes());
            }
        }
        _ => {}
    }
}

/// Combines the ECN fields of inner and outer header (RFC 6040 §4.2). Gives the inner field to forward, nothing for
/// the one combination that is dropped, and whether no sender makes the combination.
// REQ ESP-050
#[must_use]
pub(crate) const fn combine_ecn(inner: u8, outer: u8) -> (Option<u8>, bool) {
    const NOT_ECT: u8 = 0;
    const ECT1: u8 = 1;
    const ECT0: u8 = 2;
    const CE: u8 = 3;
    match (inner & 3, outer & 3) {
        (NOT_ECT, NOT_ECT) => (Some(NOT_ECT), false),
        (NOT_ECT, CE) => (None, true),
        (NOT_ECT, _) => (Some(NOT_ECT), true),
        (CE, ECT1) => (Some(CE), true),
        (CE, _) | (_, CE) => (Some(CE), false),
        (ECT0, ECT1) => (Some(ECT1), false),
        (ECT1, ECT0) => (Some(ECT1), true),
        (same, _) => (Some(same), false),
    }
}

#[cfg(test)]
mod tests {
    use hallmark_wire::ip::{Ipv4Header, Ipv4Packet, Ipv6Header, Ipv6Packet, checksum};

    use super::*;

    #[test]
    fn a_hop_less_is_one_checksum_in_both_ways() {
        for checksum in 0..=u16::MAX {
            let mut quick = [0; 20];
            (quick[0], quick[8]) = (0x45, 64);
            quick[10..12].copy_from_slice(&checksum.to_be_bytes());
            let mut long = quick;
            lower_hops(&mut quick);
            set_hops(&mut long, 63);
            assert_eq!(quick, long, "{checksum:#06x}");
        }
    }

    fn outer() -> Outer {
        Outer {
            traffic_class: 0xb9,
            hops: 61,
            protocol: 50,
            flags: DF,
            ident: 0x1234,
            flow_label: 0,
            src: 0x0a01_010a,
            dst: 0x0a02_0214,
        }
    }

    #[test]
    fn an_outer_ipv4_header_decodes_to_what_was_asked_for() {
        let mut packet = [0; 60];
        outer().write_v4(packet.first_chunk_mut().expect("room"), 40);
        assert_eq!(checksum(&packet[..20]), 0);
        let header = Ipv4Packet::decode(&packet).expect("whole").header;
        assert_eq!((header.traffic_class, header.ttl, header.protocol), (0xb9, 61, 50));
        assert_eq!((header.dont_fragment, header.ident), (true, 0x1234));
        assert_eq!((header.src.to_string(), header.dst.to_string()), ("10.1.1.10".into(), "10.2.2.20".into()));
    }

    #[test]
    fn an_outer_ipv6_header_decodes_to_what_was_asked_for() {
        let mut packet = [0; 60];
        let outer = Outer { src: 1 << 120, dst: 2, flow_label: 0x12345, ..outer() };
        outer.write_v6(packet.first_chunk_mut().expect("room"), 20);
        let header = Ipv6Packet::decode(&packet).expect("whole").header;
        assert_eq!((header.traffic_class, header.hop_limit, header.flow_label), (0xb9, 61, 0x12345));
        assert_eq!((header.src.to_bits(), header.dst.to_bits()), (1 << 120, 2));
    }

    #[test]
    fn changes_in_place_keep_the_checksum_right() {
        let mut packet = Ipv4Header::new([10, 0, 0, 1].into(), [10, 0, 0, 2].into(), 17).packet(&[7; 16]);
        for class in 0..=255 {
            set_traffic_class(&mut packet, class);
            set_hops(&mut packet, class ^ 0x5a);
            assert_eq!(checksum(&packet[..20]), 0, "class {class}");
            assert_eq!((packet[1], packet[8]), (class, class ^ 0x5a));
        }
        for ttl in 2..=255 {
            set_hops(&mut packet, ttl);
            lower_hops(&mut packet);
            assert_eq!((packet[8], checksum(&packet[..20])), (ttl - 1, 0));
        }
        let mut packet =
            Ipv6Header::new("2001:db8::1".parse().unwrap(), "2001:db8::2".parse().unwrap(), 17).packet(&[7; 16]);
        set_traffic_class(&mut packet, 0xa5);
        set_hops(&mut packet, 3);
        let header = Ipv6Packet::decode(&packet).unwrap().header;
        assert_eq!((header.traffic_class, header.hop_limit), (0xa5, 3));
        lower_hops(&mut packet);
        assert_eq!(packet[7], 2);
    }
}
