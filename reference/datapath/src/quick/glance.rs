//! The short look at packets that are nothing special, in registers: no options, no fragments, TCP, UDP or ESP.
//!
//! Whatever is special takes the long way over [`Header`](crate::header::Header); both ways give the same answers.

use hallmark_wire::ip::protocol;

use crate::flow::{Flows, Question, Words};

/// What a short look shows, and where the flow is.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Glance {
    /// The place of the flow in the table.
    pub(crate) place: u32,
    /// Octets of the packet by its own header; 0 when the packet needs the long way.
    pub(crate) len: u16,
    pub(crate) hops: u8,
    pub(crate) version4: bool,
    pub(crate) tcp: bool,
    /// Whether the flow is at its place in the table.
    pub(crate) known: bool,
}

impl Glance {
    /// Looks at a TCP or UDP packet and for its flow; shows a length of 0 for all others.
    #[inline(always)]
    pub(crate) fn at(ip: &[u8], question: Question, flows: &Flows) -> Self {
        Self::look(ip, question, flows).unwrap_or_default()
    }

    #[inline(always)]
    fn look(ip: &[u8], question: Question, flows: &Flows) -> Option<Self> {
        let head = ip.first_chunk::<24>()?;
        let [first, second] = [word(head, 0), word(head, 8)];
        if first >> 56 == 0x45 {
            // Version, class, length, identification, flags; TTL, protocol.
            let (len, proto) = ((first >> 32) as u16, (second >> 48) as u8);
            let fragment = first & 0x3fff != 0;
            if fragment || !matches!(proto, protocol::TCP | protocol::UDP) || len < 24 || usize::from(len) > ip.len() {
                return None;
            }
            let words = Words::of_v4(raw(head, 12), word(head, 16) as u32, proto, question);
            let (place, known) = flows.look(words);
            let (hops, tcp) = ((second >> 56) as u8, proto == protocol::TCP);
            return Some(Self { place, len, hops, version4: true, tcp, known });
        }
        let head = ip.first_chunk::<44>()?;
        if first >> 60 != 6 {
            return None;
        }
        // Version, class, flow label; payload length, next header, hop limit.
        let (len, next, hops) = (40 + (first >> 16 & 0xffff), (first >> 8) as u8, first as u8);
        let len = u16::try_from(len).ok()?;
        if !matches!(next, protocol::TCP | protocol::UDP) || len < 44 || usize::from(len) > ip.len() {
            return None;
        }
        let addresses = [raw(head, 8), raw(head, 16), raw(head, 24), raw(head, 32)];
        let words = Words::of_v6(addresses, word(head, 36) as u32, next, question);
        let (place, known) = flows.look(words);
        Some(Self { place, len, hops, version4: false, tcp: next == protocol::TCP, known })
    }
}

/// Reads eight octets as one number.
#[inline(always)]
pub(super) fn word<const LEN: usize>(head: &[u8; LEN], at: usize) -> u64 {
    head.get(at..).and_then(|rest| rest.first_chunk()).map_or(0, |word| u64::from_be_bytes(*word))
}

/// Reads eight octets as they lie, the first on the right.
#[inline(always)]
pub(super) fn raw<const LEN: usize>(head: &[u8; LEN], at: usize) -> u64 {
    word(head, at).swap_bytes()
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
        let head = ip.first_chunk::<28>()?;
        let [first, second] = [word(head, 0), word(head, 8)];
        if first >> 56 == 0x45 {
            let len = (first >> 32 & 0xffff) as usize;
            let whole = first & 0x3fff == 0;
            let fine = whole && (second >> 48) as u8 == protocol::ESP && len >= 28 && len <= ip.len();
            return fine.then(|| Self { spi: (word(head, 16)) as u32, len, esp_at: 20 });
        }
        let head = ip.first_chunk::<48>()?;
        let len = 40 + (first >> 16 & 0xffff) as usize;
        let fine = first >> 60 == 6 && (first >> 8) as u8 == protocol::ESP && len >= 48 && len <= ip.len();
        fine.then(|| Self { spi: (word(head, 40) >> 32) as u32, len, esp_at: 40 })
    }
}

#[cfg(test)]
mod tests {
    use hallmark_core::{Instant, Rng};
    use hallmark_wire::ip::{Ipv4Header, Ipv6Header};

    use super::*;
    use crate::classifier::FlowKey;
    use crate::flow::Decision;
    use crate::header::Header;

    /// Good packets with random changes: the short look either declines or agrees with the long one.
    #[test]
    fn the_short_look_agrees_with_the_long_one() {
        let mut rng = Rng::from_u64(5);
        let mut flows = Flows::new(1 << 10, 3);
        let (mut looked, mut esp) = (0_u16, 0);
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
            let glance = Glance::at(&packet, Question::Out, &flows);
            if glance.len > 0 {
                looked += 1;
                let header = header.expect("the long look reads it too");
                assert_eq!(
                    (usize::from(glance.len), glance.hops, glance.version4),
                    (header.len, header.hops, header.version4)
                );
                let key = FlowKey::of(&packet, &header).expect("a key");
                flows.find(Instant::ZERO, Question::Out, &key, |_| (Decision::Protect(looked), 0));
                let glance = Glance::at(&packet, Question::Out, &flows);
                assert!(flows.hit(&glance).is_some_and(|flow| flow.count.packets == 0), "a flow that is found");
                let other = Glance::at(&packet, Question::Opened, &flows);
                assert!(!other.known, "another question has another answer");
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
