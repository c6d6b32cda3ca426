//! Flows: what the policy says about a packet, remembered by one worker, with a record of what passed.

use hallmark_core::Instant;

use crate::classifier::FlowKey;
use crate::packet::Side;
use crate::quick::glance::Glance;
use crate::reason::Reason;
use crate::status::{Count, FlowStatus};

/// No rule matched.
pub(crate) const NO_RULE: u32 = u32::MAX;

/// Says which question about a packet is answered.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub(crate) enum Question {
    /// What to do with a packet from the LAN.
    Out,
    /// What to do with a clear packet from the WAN.
    ClearIn,
    /// What an opened packet is permitted by.
    Opened,
}

/// Answers it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Decision {
    /// Pass as it is.
    Clear,
    /// Protect with the SA that is active in this slot; from the WAN: it should have been.
    Protect(u16),
    /// Drop.
    Drop(Reason),
}

/// A flow key and a question in five words: four of addresses, of which IPv4 uses one, and one of everything else with
/// the generation of the table in its low 16 bits. Equality of all five is equality of the flow.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Words(pub(crate) [u64; 5]);

impl PartialEq for Words {
    /// Compares in registers, and no more than the version needs: with the same last word both are of one version, and
    /// IPv4 leaves three words empty.
    #[inline(always)]
    fn eq(&self, other: &Self) -> bool {
        let ([a, b, c, d, e], [v, w, x, y, z]) = (self.0, other.0);
        let ends = (a ^ v) | (e ^ z);
        if e & VERSION4 != 0 { ends == 0 } else { ends | (b ^ w) | (c ^ x) | (d ^ y) == 0 }
    }
}

impl Eq for Words {}

const VERSION4: u64 = 1 << 16;
const HAS_PORTS: u64 = 1 << 17;
const FRAGMENT: u64 = 1 << 18;
const QUESTION_AT: u32 = 19;
const GENERATION: u64 = 0xffff;

impl Words {
    /// Packs the key of a packet of any kind.
    fn of(key: &FlowKey, question: Question) -> Self {
        let flag = |set: bool, bit: u64| if set { bit } else { 0 };
        let flags = flag(key.version4, VERSION4) | flag(key.has_ports, HAS_PORTS) | flag(key.fragment, FRAGMENT);
        let rest = Self::rest(key.src_port, key.dst_port, key.protocol, flags, question);
        if key.version4 {
            let addresses = (key.src as u64 & 0xffff_ffff) << 32 | key.dst as u64 & 0xffff_ffff;
            Self([addresses.swap_bytes(), 0, 0, 0, rest])
        } else {
            let halves = |address: u128| ((address >> 64) as u64, address as u64);
            let ((s0, s1), (d0, d1)) = (halves(key.src), halves(key.dst));
            let [s0, s1, d0, d1] = [s0, s1, d0, d1].map(u64::swap_bytes);
            Self([s0, s1, d0, d1, rest])
        }
    }

    /// Packs the key of an IPv4 packet with ports. The addresses are as they lie in the packet, the first octet on the
    /// right: turning them around is left to who wants to read them.
    #[inline(always)]
    pub(crate) const fn of_v4(addresses: u64, ports: u32, protocol: u8, question: Question) -> Self {
        let rest = Self::rest((ports >> 16) as u16, ports as u16, protocol, VERSION4 | HAS_PORTS, question);
        Self([addresses, 0, 0, 0, rest])
    }

    /// Packs the key of an IPv6 packet with ports, in the same way.
    #[inline(always)]
    pub(crate) const fn of_v6(addresses: [u64; 4], ports: u32, protocol: u8, question: Question) -> Self {
        let rest = Self::rest((ports >> 16) as u16, ports as u16, protocol, HAS_PORTS, question);
        let [s0, s1, d0, d1] = addresses;
        Self([s0, s1, d0, d1, rest])
    }

    #[inline(always)]
    const fn rest(src_port: u16, dst_port: u16, protocol: u8, flags: u64, question: Question) -> u64 {
        (src_port as u64) << 48
            | (dst_port as u64) << 32
            | (protocol as u64) << 24
            | flags
            | (question as u64) << QUESTION_AT
    }

    fn key(&self) -> FlowKey {
        let [s0, s1, d0, d1, rest] = self.0;
        let [s0, s1, d0, d1] = [s0, s1, d0, d1].map(u64::swap_bytes);
        let version4 = rest & VERSION4 != 0;
        let join = |high: u64, low: u64| u128::from(high) << 64 | u128::from(low);
        let (src, dst) =
            if version4 { (u128::from(s0 >> 32), u128::from(s0 as u32)) } else { (join(s0, s1), join(d0, d1)) };
        FlowKey {
            src,
            dst,
            src_port: (rest >> 48) as u16,
            dst_port: (rest >> 32) as u16,
            protocol: (rest >> 24) as u8,
            version4,
            has_ports: rest & HAS_PORTS != 0,
            fragment: rest & FRAGMENT != 0,
        }
    }

    /// Tells whether it is the same flow, of whatever generation.
    fn is_same_flow(&self, other: &Self) -> bool {
        self.0[..4] == other.0[..4] && (self.0[4] ^ other.0[4]) & !GENERATION == 0
    }

    const fn question(&self) -> u64 {
        self.0[4] >> QUESTION_AT & 3
    }

    /// Spreads the words over 64 bits; the seed keeps a sender from choosing keys that meet.
    #[inline(always)]
    fn hash(&self, seed: u64) -> u64 {
        let [s0, s1, d0, d1, rest] = self.0;
        let fold = |a: u64, b: u64| {
            let wide = u128::from(a) * u128::from(b);
            wide as u64 ^ (wide >> 64) as u64
        };
        let version4 = rest & VERSION4 != 0;
        let rest = rest & !GENERATION;
        if version4 {
            return fold(s0 ^ seed, rest ^ seed.rotate_left(32));
        }
        let addresses =
            fold(s0 ^ seed, s1 ^ 0xd6e8_feb8_6659_fd93) ^ fold(d0 ^ seed.rotate_left(17), d1 ^ 0xa076_1d64_78bd_642f);
        fold(addresses ^ seed, rest ^ seed.rotate_left(32))
    }
}

/// One remembered flow, in one cache line.
#[derive(Clone, Copy, Debug)]
#[repr(align(64))]
pub(crate) struct Flow {
    words: Words,
    pub(crate) decision: Decision,
    pub(crate) rule: u32,
    pub(crate) count: Count,
}

/// What is written of a flow and read for the status only.
#[derive(Clone, Copy, Debug, Default)]
struct Trail {
    last: Instant,
    spi: u32,
}

/// Remembers flows in a table of fixed size. A key leads to a bucket of four slots, each with the place of a flow and a
/// part of its hash; where all four are taken a newcomer takes the place of the flow that passed least.
///
/// The flows themselves lie in the order in which they came, so that few of them fill few pages however large the table
/// is. A hit compares the whole key, so a wrong answer is impossible. A sender who makes keys meet only brings everybody
/// back to the full lookup.
#[derive(Debug)]
pub(crate) struct Flows {
    buckets: Vec<Bucket>,
    /// The first is no flow: where empty slots lead.
    entries: Vec<Flow>,
    trails: Vec<Trail>,
    seed: u64,
    generation: u16,
}

/// Slots of eleven bits of the hash with a one behind them, and twenty of the place; 0 is empty.
#[derive(Clone, Copy, Default, Debug)]
#[repr(align(16))]
struct Bucket([u32; WAYS]);

const WAYS: usize = 4;
const PLACE_BITS: u32 = 20;
const PLACE: u32 = (1 << PLACE_BITS) - 1;

const EMPTY: Flow =
    Flow { words: Words([0; 5]), decision: Decision::Clear, rule: NO_RULE, count: Count { packets: 0, octets: 0 } };

impl Flows {
    /// Makes a table for `most` flows, rounded up to a power of two, at most half a million. `seed` is to be secret.
    pub(crate) fn new(most: usize, seed: u64) -> Self {
        let most = most.clamp(WAYS, 1 << (PLACE_BITS - 1)).next_power_of_two();
        let mut entries = Vec::with_capacity(most + 1);
        let mut trails = Vec::with_capacity(most + 1);
        entries.push(EMPTY);
        trails.push(Trail::default());
        Self { buckets: vec![Bucket::default(); most / WAYS], entries, trails, seed, generation: 1 }
    }

    /// Forgets every answer, and keeps the records: to be called when the policy changes.
    pub(crate) fn invalidate(&mut self) {
        self.generation = self.generation.wrapping_add(1);
        // Generation 0 is that of no flow. After 2^16 rounds old answers would look new.
        if self.generation == 0 {
            self.buckets.fill(Bucket::default());
            self.entries.truncate(1);
            self.trails.truncate(1);
            self.generation = 1;
        }
    }

    /// Finds the place of the flow with a packed key, and whether it is known.
    #[inline(always)]
    pub(crate) fn look(&self, mut words: Words) -> (u32, bool) {
        words.0[4] |= u64::from(self.generation);
        let (bucket, tag) = self.bucket(&words);
        // The bucket is inside the table. No branch: it would have to be guessed before the table has answered.
        let slots = self.buckets[bucket].0;
        let slot = slots.into_iter().fold(0, |found, slot| if slot >> PLACE_BITS == tag { slot } else { found });
        let place = slot & PLACE;
        (place, self.entries.get(place as usize).is_some_and(|flow| flow.words == words))
    }

    /// Gives the flow that a look has found. No other flow may have been looked for in between ([`Flows::find`]).
    #[inline(always)]
    pub(crate) fn hit(&mut self, glance: &Glance) -> Option<&mut Flow> {
        if glance.known { self.entries.get_mut(glance.place as usize) } else { None }
    }

    /// Gives the bucket of a key, and what its slot says of the hash.
    #[inline(always)]
    fn bucket(&self, words: &Words) -> (usize, u32) {
        let hash = words.hash(self.seed);
        // A mask of a power of two keeps it inside the table; no tag is that of an empty slot.
        (hash as usize & (self.buckets.len() - 1), (hash >> 32) as u32 >> PLACE_BITS | 1)
    }

    /// Notes when a flow was seen and what it used.
    #[inline(always)]
    pub(crate) fn trail(&mut self, place: u32, now: Instant, spi: u32) {
        if let Some(trail) = self.trails.get_mut(place as usize) {
            *trail = Trail { last: now, spi };
        }
    }

    /// Gives the flow of a packet and its place; `decide` is asked when its answer is not known.
    pub(crate) fn find(
        &mut self,
        now: Instant,
        question: Question,
        key: &FlowKey,
        decide: impl FnOnce(&FlowKey) -> (Decision, u32),
    ) -> (&mut Flow, u32) {
        let mut words = Words::of(key, question);
        words.0[4] |= u64::from(self.generation);
        let place = self.place_for(&words);
        // It is a place of the table.
        let flow = &mut self.entries[place as usize];
        let trail = &mut self.trails[place as usize];
        if flow.words != words {
            let same = flow.words.is_same_flow(&words);
            let count = if same { flow.count } else { Count::default() };
            if !same {
                *trail = Trail::default();
            }
            let (decision, rule) = decide(key);
            *flow = Flow { words, decision, rule, count };
        }
        trail.last = now;
        (flow, place)
    }

    /// Finds the place of a flow or where it goes: where it was in an older generation, a new place, or the one that is
    /// missed least of those with the same bucket.
    fn place_for(&mut self, words: &Words) -> u32 {
        let (bucket, tag) = self.bucket(words);
        let (entries, slots) = (&mut self.entries, &mut self.buckets[bucket].0);
        let flow = |slot: &u32| &entries[(*slot & PLACE) as usize];
        let own = |slot: &&mut u32| **slot != 0 && flow(slot).words.is_same_flow(words);
        if let Some(slot) = slots.iter_mut().find(own) {
            return *slot & PLACE;
        }
        let worth = |slot: &&mut u32| {
            let flow = flow(slot);
            let current = flow.words.0[4] & GENERATION == words.0[4] & GENERATION;
            // A look takes one slot with the right part of the hash, so there must never be two.
            let same_tag = **slot != 0 && **slot >> PLACE_BITS == tag;
            (!same_tag, **slot != 0, current, flow.count.packets)
        };
        let Some(slot) = slots.iter_mut().min_by_key(worth) else { return 0 };
        let mut place = *slot & PLACE;
        if place == 0 {
            // There are as many slots as there is room for flows.
            place = entries.len() as u32;
            entries.push(EMPTY);
            self.trails.push(Trail::default());
        }
        *slot = tag << PLACE_BITS | place;
        place
    }

    /// Shows the busiest flows.
    pub(crate) fn status(&self, most: usize) -> Vec<FlowStatus> {
        let known = self.entries.iter().zip(&self.trails).filter(|(flow, _)| flow.count.packets > 0);
        let mut flows: Vec<(&Flow, &Trail)> = known.collect();
        flows.sort_by_key(|(flow, _)| std::cmp::Reverse((flow.count.packets, flow.count.octets)));
        flows.truncate(most);
        flows.into_iter().map(|(flow, trail)| flow.status(trail)).collect()
    }
}

impl Flow {
    fn status(&self, trail: &Trail) -> FlowStatus {
        let (key, question) = (self.words.key(), self.words.question());
        FlowStatus {
            from: if question == Question::Out as u64 { Side::Lan } else { Side::Wan },
            src: key.src_addr(),
            dst: key.dst_addr(),
            protocol: key.protocol,
            src_port: key.src_port,
            dst_port: key.dst_port,
            decision: match self.decision {
                _ if question == Question::Opened as u64 => "opened",
                Decision::Protect(_) if question == Question::Out as u64 => "protected",
                Decision::Clear => "clear",
                _ => "refused",
            },
            spi: (trail.spi != 0).then_some(trail.spi),
            count: self.count,
            last: trail.last,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(n: u128, version4: bool) -> FlowKey {
        FlowKey {
            src: if version4 { 0x0a01_0000 + n } else { 0x2001_0db8 << 96 | n },
            dst: if version4 { 0x0a02_0001 } else { 0x2001_0db8 << 96 | 1 << 64 },
            src_port: 1_000,
            dst_port: n as u16,
            protocol: 17,
            version4,
            has_ports: true,
            fragment: false,
        }
    }

    #[test]
    fn a_packed_key_is_the_key() {
        for version4 in [true, false] {
            for question in [Question::Out, Question::ClearIn, Question::Opened] {
                let words = Words::of(&key(77, version4), question);
                assert_eq!((words.key(), words.question()), (key(77, version4), question as u64));
            }
        }
        let short = Words::of_v4(0x0a01_004d_0a02_0001_u64.swap_bytes(), 1_000 << 16 | 77, 17, Question::Out);
        assert_eq!(short, Words::of(&key(77, true), Question::Out));
        let address = |n: u128| ((0x2001_0db8_u128 << 96 | n) >> 64) as u64;
        let addresses = [address(0), 77, address(1 << 64), 0].map(u64::swap_bytes);
        let long = Words::of_v6(addresses, 1_000 << 16 | 77, 17, Question::Opened);
        assert_eq!(long, Words::of(&key(77, false), Question::Opened));
    }

    #[test]
    fn an_answer_is_asked_for_once_and_again_after_a_change() {
        let mut flows = Flows::new(64, 7);
        let mut asked = 0;
        for round in 0..3 {
            for n in 0..8u128 {
                for version4 in [true, false] {
                    let (flow, _) = flows.find(Instant::ZERO, Question::Out, &key(n, version4), |_| {
                        asked += 1;
                        (Decision::Protect(n as u16), 3)
                    });
                    assert_eq!(flow.decision, Decision::Protect(n as u16));
                    flow.count.add(10);
                }
            }
            if round == 1 {
                flows.invalidate();
            }
        }
        // Keys that meet drive each other out; nearly all of these have a place of their own.
        assert!((32..=40).contains(&asked), "{asked}");
        assert!(flows.status(100).iter().any(|flow| flow.count.packets == 3), "records outlive a change");
    }

    #[test]
    fn generations_that_wrap_forget_everything() {
        let mut flows = Flows::new(4, 7);
        flows.find(Instant::ZERO, Question::Out, &key(1, true), |_| (Decision::Clear, 0)).0.count.add(1);
        for _ in 0..=u32::from(u16::MAX) {
            flows.invalidate();
        }
        let mut asked = false;
        flows.find(Instant::ZERO, Question::Out, &key(1, true), |_| {
            asked = true;
            (Decision::Drop(Reason::FailClose), 0)
        });
        assert!(asked);
    }
}
