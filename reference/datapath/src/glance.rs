//! The short look at packets that are nothing special, in registers: no options, no fragments, TCP, UDP or ESP.
//!
//! Whatever is special takes the long way over [`Header`](crate::header::Header); both ways give the same answers.

use hallmark_wire::ip::protocol;

use crate::flow::{Question, Words};

/// What a short look shows.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Glance {
    pub(crate) words: Words,
    /// The place of the flow in the table.
    pub(crate) place: u32,
    /// Octets of the packet by its own header; 0 when the packet needs the long way.
    pub(crate) len: u16,
    pub(crate) hops: u8,
    pub(crate) class: u8,
    pub(crate) version4: bool,
    pub(crate) tcp: bool,
}

impl Glance {
    /// Looks at a TCP or UDP packet; nothing for all others.
    #[inline(always)]
    pub(crate) fn at(ip: &[u8], question: Question) -> Option<Self> {
        let [first, second, l0, l1, f0, _, f1, f2, hops, proto, ..] = *ip.first_chunk::<20>()?;
        if first == 0x45 {
            let len = u16::from_be_bytes([l0, l1]);
            let fragment = u16::from_be_bytes([f1, f2]) & 0x3fff != 0;
            if fragment || !matches!(proto, protocol::TCP | protocol::UDP) || len < 24 || usize::from(len) > ip.len() {
                return None;
            }
            let addresses = u64::from_be_bytes(*ip.get(12..20)?.first_chunk()?);
            let ports = u32::from_be_bytes(*ip.get(20..24)?.first_chunk()?);
            let words = Words::of_v4(addresses, ports, proto, question);
            let tcp = proto == protocol::TCP;
            return Some(Self { words, place: 0, len, hops, class: second, version4: true, tcp });
        }
        if first >> 4 != 6 {
            return None;
        }
        // The octets behind the flow label: payload length, next header, hop limit.
        let (len, next, hops) = (40 + u32::from(u16::from_be_bytes([f0, *ip.get(5)?])), f1, f2);
        let len = u16::try_from(len).ok()?;
        if !matches!(next, protocol::TCP | protocol::UDP) || len < 44 || usize::from(len) > ip.len() {
            return None;
        }
        let addresses = ip.get(8..40)?;
        let word = |at: usize| addresses.get(at..at + 8).and_then(|w| w.first_chunk()).map(|w| u64::from_be_bytes(*w));
        let ports = u32::from_be_bytes(*ip.get(40..44)?.first_chunk()?);
        let words = Words::of_v6([word(0)?, word(8)?, word(16)?, word(24)?], ports, next, question);
        let class = first << 4 | second >> 4;
        let tcp = next == protocol::TCP;
        Some(Self { words, place: 0, len, hops, class, version4: false, tcp })
    }
}

/// What a short look shows of an ESP packet.
#[derive(Clone, Copy, Debug)]
pub(crate) struct EspGlance {
    pub(crate) spi: u32,
    pub(crate) len: usize,
    pub(crate) esp_at: u16,
}

impl EspGlance {
    /// Looks at an ESP packet that is whole and has no options; nothing for all others.
    #[inline(always)]
    pub(crate) fn at(ip: &[u8]) -> Option<Self> {
        let [first, _, l0, l1, p0, p1, f1, f2, _, proto, ..] = *ip.first_chunk::<28>()?;
        if first == 0x45 {
            let len = usize::from(u16::from_be_bytes([l0, l1]));
            let fragment = u16::from_be_bytes([f1, f2]) & 0x3fff != 0;
            if fragment || proto != protocol::ESP || len < 28 || len > ip.len() {
                return None;
            }
            let spi = u32::from_be_bytes(*ip.get(20..24)?.first_chunk()?);
            return Some(Self { spi, len, esp_at: 20 });
        }
        let len = 40 + usize::from(u16::from_be_bytes([p0, p1]));
        if first >> 4 != 6 || f1 != protocol::ESP || len < 48 || len > ip.len() {
            return None;
        }
        let spi = u32::from_be_bytes(*ip.get(40..44)?.first_chunk()?);
        Some(Self { spi, len, esp_at: 40 })
    }
}

#[cfg(test)]
mod tests {
    use hallmark_core::{Instant, Rng};
    use hallmark_wire::ip::{Ipv4Header, Ipv6Header};

    use super::*;
    use crate::classifier::FlowKey;
    use crate::flow::{Decision, Flows};
    use crate::header::Header;

    /// Good packets with random changes: the short look either declines or agrees with the long one.
    #[test]
    fn the_short_look_agrees_with_the_long_one() {
        let mut rng = Rng::from_u64(5);
        let mut flows = Flows::new(1 << 10, 3);
        let (mut looked, mut esp) = (0, 0);
        for _ in 0..20_000 {
            let proto = [6, 17, 50, 50, 1][rng.below(5) as usize];
            let payload = rng.vec(60);
            let mut packet = match rng.chance(0.5) {
                true => Ipv4Header::new(rng.octets::<4>().into(), rng.octets::<4>().into(), proto).packet(&payload),
                false => Ipv6Header::new(rng.octets::<16>().into(), rng.octets::<16>().into(), proto).packet(&payload),
            };
            for _ in 0..rng.below(3) {
                let at = rng.below(12) as usize;
                packet[at] = if rng.chance(0.5) { rng.next_u32() as u8 } else { packet[at] ^ 1 };
            }
            let len = packet.len() as u64 + 1;
            if rng.chance(0.1) {
                packet.truncate(rng.below(len) as usize);
            }
            let header = Header::parse(&packet);
            if let Some(mut glance) = Glance::at(&packet, Question::Out) {
                looked += 1;
                let header = header.expect("the long look reads it too");
                assert_eq!(
                    (usize::from(glance.len), glance.hops, glance.version4),
                    (header.len, header.hops, header.version4)
                );
                assert_eq!(glance.class, header.traffic_class);
                let key = FlowKey::of(&packet, &header).expect("a key");
                flows.find(Instant::ZERO, Question::Out, &key, |_| (Decision::Clear, 0));
                let place = flows.place(&mut glance.words);
                assert!(flows.at(place, &glance.words).is_some(), "the same flow in the same place");
            }
            if let Some(glance) = EspGlance::at(&packet) {
                esp += 1;
                let header = header.expect("the long look reads it too");
                assert!(header.protocol == 50 && header.piece.is_none());
                assert_eq!((glance.len, usize::from(glance.esp_at)), (header.len, header.payload_at));
            }
        }
        assert!(looked > 3_000 && esp > 3_000, "{looked} and {esp}");
    }
}
