//! From the LAN to the WAN, quickly.

use arrayvec::ArrayVec;
use hallmark_core::Now;
use hallmark_crypto::esp::{EspKey, trailer};
use hallmark_wire::ip::protocol;

use super::glance::{Glance, word};
use crate::config::{Config, Df, Ecn, Mss, Ttl};
use crate::datapath::Datapath;
use crate::dress::{Idents, NEXT_V4, NEXT_V6};
use crate::flow::{Decision, NO_RULE, Question};
use crate::outer::{self, V4_LEN, V6_LEN};
use crate::packet::{BATCH, Batch, Fate, Packet, Side};
use crate::policy::{Mode, Preservation};
use crate::reason::Reason;
use crate::sa::LiveSa;
use crate::stamp::STAMP_LEN;
use crate::status::Count;
use crate::work::{NO_SA, Used, Work, place_of};

/// The SA that sends for one slot of the policy, with what the quick way has to know of it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lane {
    pub(crate) sa: u16,
    pub(crate) spi: u32,
    /// Longest inner packet on the own link; 0 where the quick way does not lead.
    pub(crate) most_v4: u16,
    pub(crate) most_v6: u16,
}

/// Nothing fits it.
pub(crate) const NO_LANE: Lane = Lane { sa: NO_SA, spi: 0, most_v4: 0, most_v6: 0 };

/// What is counted of neighbouring packets that one rule decides about.
#[derive(Clone, Copy, Debug)]
struct Tally {
    rule: u32,
    count: Count,
}

impl Datapath {
    /// Decides about the packets of a burst that are nothing special and of a flow that is known, and prepares them. The
    /// positions of all others are left in [`Work::rest`].
    pub(crate) fn plan_quickly(&mut self, now: Now, batch: &mut Batch) {
        let (Work { used, sa_of, rest, .. }, flows) = (&mut self.work, &mut self.flows);
        let lowers = self.config.ttl == Ttl::Decrement;
        let least_hops = if lowers { 2 } else { 0 };
        let clamps = self.config.mss != Mss::Off;
        let protects = self.path_mtus.is_empty();
        let mut slot = u16::MAX;
        let mut lane = NO_LANE;
        // The place of its SA among those of the burst, and the packets that are not counted there yet.
        let (mut place, mut taken) = (None, 0);
        let count = |place: Option<usize>, taken: u16, used: &mut Used| {
            if let Some((_, count)) = place.and_then(|at| used.get_mut(at)) {
                *count += taken;
            }
        };
        let mut tally = Tally { rule: NO_RULE, count: Count::default() };
        let mut clear = Count::default();
        for (index, (packet, of)) in batch.packets.iter_mut().zip(sa_of).enumerate() {
            let glance = Glance::at(packet.ip(), Question::Out, flows);
            let len = usize::from(glance.len);
            let Some(flow) = flows.hit(&glance) else {
                rest.push(index as u16);
                continue;
            };
            let mut spi = 0;
            match flow.decision {
                Decision::Clear => {
                    packet.fate = Fate::Out(Side::Wan);
                    clear.add(len);
                }
                Decision::Protect(wanted) => {
                    if wanted != slot {
                        count(place, taken, used);
                        slot = wanted;
                        lane = self.lanes.get(usize::from(slot)).copied().unwrap_or(NO_LANE);
                        place = if lane.sa == NO_SA { None } else { place_of(used, lane.sa) };
                        taken = 0;
                        if place.is_none() {
                            lane = NO_LANE;
                        }
                    }
                    let most = if glance.version4 { lane.most_v4 } else { lane.most_v6 };
                    if glance.len > most || glance.hops < least_hops || glance.tcp && clamps || !protects {
                        rest.push(index as u16);
                        continue;
                    }
                    *of = lane.sa;
                    taken += 1;
                    spi = lane.spi;
                }
                Decision::Drop(_) => {
                    rest.push(index as u16);
                    continue;
                }
            }
            packet.truncate(len);
            if lowers && spi != 0 {
                outer::lower_hops(packet.ip_mut());
            }
            flow.count.add(len);
            if flow.rule != tally.rule {
                let rule = std::mem::replace(&mut tally, Tally { rule: flow.rule, count: Count::default() });
                if let Some(live) = self.tables.rules.get_mut(rule.rule as usize) {
                    live.out.join(rule.count);
                }
            }
            tally.count.add(len);
            flows.trail(glance.place, now.mono, spi);
        }
        count(place, taken, used);
        if let Some(live) = self.tables.rules.get_mut(tally.rule as usize) {
            live.out.join(tally.count);
        }
        self.totals.clear_out.join(clear);
    }
}

/// What tunnel mode with an IV of eight octets and both addresses preserved puts around every packet of an SA in one
/// burst, worked out once.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Suit {
    /// The SPI in the left half.
    spi: u64,
    /// For IPv4 and IPv6.
    stamps: Option<[[u8; STAMP_LEN]; 2]>,
    next: [u8; 2],
    icv_len: usize,
    /// Bits of the first eight octets of the inner header that the outer one takes over, and bits that it has always.
    v4: (u64, u64),
    v6: (u64, u64),
}

/// What became of the packets of one SA.
#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct Sealed {
    pub(crate) count: Count,
    pub(crate) failed: Option<Reason>,
}

/// The numbers of a run of packets: the first of each kind, and for how many they last.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Numbers {
    pub(crate) sequence: u64,
    pub(crate) vector: u64,
    pub(crate) left: u64,
}

impl Suit {
    /// Makes it from an SA; nothing for SAs of which every packet goes the long way. `stamp` is that of the burst with
    /// the ESP next header that announces it.
    pub(crate) fn new(live: &LiveSa, config: &Config, stamp: Option<([u8; STAMP_LEN], u8)>) -> Option<Self> {
        let sa = &live.sa;
        let fits = sa.mode == Mode::Tunnel
            && sa.preservation == Preservation::Both
            && sa.transform.is_counter_mode()
            && !sa.extended_sequence;
        if !fits {
            return None;
        }
        let named = |stamp: [u8; STAMP_LEN], next: u8| {
            let mut named = stamp;
            named[0] = next;
            named
        };
        let ecn = if config.ecn == Ecn::Normal { 3 } else { 0 };
        let (class, own_class) = config.dscp.map_or((0xfc | ecn, 0), |dscp| (ecn, u64::from(dscp << 2)));
        let (flags, own_flags) = match config.df {
            Df::Copy => (outer::DF, 0),
            Df::Set => (0, outer::DF),
            Df::Clear => (0, 0),
        };
        Some(Self {
            spi: u64::from(sa.spi) << 32,
            stamps: stamp.map(|(stamp, _)| [named(stamp, NEXT_V4), named(stamp, NEXT_V6)]),
            next: stamp.map_or([NEXT_V4, NEXT_V6], |(_, next)| [next; 2]),
            icv_len: sa.transform.icv_len(),
            // Version and length of the header, TOS; length; identification; flags.
            v4: (class << 48 | u64::from(flags), 0x45 << 56 | own_class << 48 | u64::from(own_flags)),
            // Version, traffic class, flow label; length; next header; hop limit.
            v6: (class << 52 | 0xff, 6 << 60 | own_class << 52 | u64::from(protocol::ESP) << 8),
        })
    }

    /// Dresses and seals every packet of a batch that `sa_of` gives to `sa`. `dscp` counts by the outer one.
    #[expect(clippy::too_many_arguments, reason = "they are the parts of the data plane that take part")]
    pub(crate) fn seal(
        &self,
        key: &EspKey,
        mut numbers: Numbers,
        batch: &mut Batch,
        sa_of: &[u16],
        sa: u16,
        idents: &mut Idents,
        dscp: &mut [u64; 64],
    ) -> Sealed {
        let mut sealed = Sealed::default();
        let at_once = if key.prefers_bursts() { BATCH } else { AT_ONCE };
        let mut burst: ArrayVec<&mut [u8], BATCH> = ArrayVec::new();
        for (packet, _) in batch.packets.iter_mut().zip(sa_of).filter(|(_, of)| **of == sa) {
            if numbers.left == 0 {
                packet.drop_for(Reason::CounterExhausted);
                sealed.failed = Some(Reason::CounterExhausted);
                continue;
            }
            let len = packet.len();
            let dressed = self.put_on(packet, &numbers, idents, dscp);
            numbers.sequence = numbers.sequence.wrapping_add(1);
            numbers.vector = numbers.vector.wrapping_add(1);
            numbers.left -= 1;
            let esp_at = match dressed {
                Ok(esp_at) => esp_at,
                Err(reason) => {
                    packet.drop_for(reason);
                    continue;
                }
            };
            let (ip, fate) = packet.parts();
            let Some(esp) = ip.get_mut(esp_at..) else {
                *fate = Fate::Dropped(Reason::NoBuffer);
                continue;
            };
            *fate = Fate::Out(Side::Wan);
            sealed.count.add(len);
            burst.push(esp);
            if burst.len() == at_once {
                key.seal_burst(&mut burst);
                burst.clear();
            }
        }
        key.seal_burst(&mut burst);
        sealed
    }

    /// Puts outer header, ESP header, IV, stamp and trailer around a packet: gives where ESP begins, and a
    /// reason, with the packet as it was, when it gets too long or there is no room.
    #[inline(always)]
    fn put_on(
        &self,
        packet: &mut Packet,
        numbers: &Numbers,
        idents: &mut Idents,
        dscp: &mut [u64; 64],
    ) -> Result<usize, Reason> {
        const V4_FRONT: usize = V4_LEN + HEAD_LEN;
        const V6_FRONT: usize = V6_LEN + HEAD_LEN;
        let version4 = packet.ip().first().is_some_and(|first| first >> 4 == 4);
        // The compiler makes four pieces of code of this, each for lengths that it knows.
        match (version4, &self.stamps) {
            (true, None) => self.put::<V4_LEN, V4_FRONT>(packet, numbers, None, idents, dscp),
            (true, Some([stamp, _])) => {
                self.put::<V4_LEN, { V4_FRONT + STAMP_LEN }>(packet, numbers, Some(stamp), idents, dscp)
            }
            (false, None) => self.put::<V6_LEN, V6_FRONT>(packet, numbers, None, idents, dscp),
            (false, Some([_, stamp])) => {
                self.put::<V6_LEN, { V6_FRONT + STAMP_LEN }>(packet, numbers, Some(stamp), idents, dscp)
            }
        }
    }

    /// Does so with `FRONT` octets in front, of which the first `OUTER` are the outer header.
    #[inline(always)]
    fn put<const OUTER: usize, const FRONT: usize>(
        &self,
        packet: &mut Packet,
        numbers: &Numbers,
        stamp: Option<&[u8; STAMP_LEN]>,
        idents: &mut Idents,
        dscp: &mut [u64; 64],
    ) -> Result<usize, Reason> {
        let inner_len = packet.len();
        let pad = trailer::pad_len(FRONT - OUTER - HEAD_LEN + inner_len, ALIGN);
        let esp_len = FRONT - OUTER + inner_len + pad + 2 + self.icv_len;
        if V4_LEN + esp_len > usize::from(u16::MAX) {
            return Err(Reason::TooBig);
        }
        self.lay::<OUTER, FRONT>(packet, (pad, esp_len), numbers, stamp, idents, dscp).ok_or(Reason::NoBuffer)
    }

    /// Does so when the lengths of padding and ESP are known; nothing when there is no room.
    #[inline(always)]
    fn lay<const OUTER: usize, const FRONT: usize>(
        &self,
        packet: &mut Packet,
        (pad, esp_len): (usize, usize),
        numbers: &Numbers,
        stamp: Option<&[u8; STAMP_LEN]>,
        idents: &mut Idents,
        dscp: &mut [u64; 64],
    ) -> Option<usize> {
        let inner_len = packet.len();
        let whole = packet.grow(FRONT, pad + 2 + self.icv_len)?;
        let (front, inner) = whole.split_first_chunk_mut::<FRONT>()?;
        let class = if OUTER == V4_LEN {
            self.write_v4(front.first_chunk_mut()?, inner.first_chunk()?, esp_len, idents)
        } else {
            self.write_v6(front.first_chunk_mut()?, inner.first_chunk()?, esp_len)
        };
        // Six bits stay below 64.
        dscp[usize::from(class >> 2)] += 1;
        let numbered = (self.spi | numbers.sequence & 0xffff_ffff).to_be_bytes();
        front[OUTER..OUTER + 8].copy_from_slice(&numbered);
        front[OUTER + 8..OUTER + HEAD_LEN].copy_from_slice(&numbers.vector.to_be_bytes());
        if let Some(stamp) = stamp {
            front[OUTER + HEAD_LEN..].copy_from_slice(stamp);
        }
        // The ICV will lie over what this writes too much.
        let next = if OUTER == V4_LEN { self.next[0] } else { self.next[1] };
        *inner.get_mut(inner_len..)?.first_chunk_mut()? = trailer::short(pad, next);
        Some(OUTER)
    }

    /// Writes the outer header of an IPv4 packet; gives its TOS octet.
    #[inline(always)]
    fn write_v4(&self, outer: &mut [u8; V4_LEN], inner: &[u8; V4_LEN], esp_len: usize, idents: &mut Idents) -> u8 {
        let addresses = word(inner, 12);
        let first = word(inner, 0) & self.v4.0
            | self.v4.1
            | ((V4_LEN + esp_len) as u64) << 32
            | u64::from(idents.next_v4(addresses)) << 16;
        let second = u32::from(inner[8]) << 24 | u32::from(protocol::ESP) << 16;
        // A sum of 16-bit words is a sum of longer words with the carry brought around, folded.
        let (sum, carry) = first.overflowing_add(addresses);
        let sum = sum + u64::from(carry);
        let sum = (sum.wrapping_add(sum.rotate_left(32)) >> 32) as u32;
        let (sum, carry) = sum.overflowing_add(second);
        let sum = sum + u32::from(carry);
        let sum = (sum.wrapping_add(sum.rotate_left(16)) >> 16) as u16;
        outer[..8].copy_from_slice(&first.to_be_bytes());
        outer[8..12].copy_from_slice(&(second | u32::from(!sum)).to_be_bytes());
        outer[12..].copy_from_slice(&inner[12..]);
        (first >> 48) as u8
    }

    /// Writes the outer header of an IPv6 packet; gives its traffic class.
    #[inline(always)]
    fn write_v6(&self, outer: &mut [u8; V6_LEN], inner: &[u8; V6_LEN], esp_len: usize) -> u8 {
        let first = word(inner, 0) & self.v6.0 | self.v6.1 | (esp_len as u64) << 16;
        outer[..8].copy_from_slice(&first.to_be_bytes());
        outer[8..].copy_from_slice(&inner[8..]);
        (first >> 52) as u8
    }
}

/// Packets that are dressed before they are sealed, where the cipher takes them one by one: so few that they are still at
/// hand, and so many that the cipher does not wait for what has just been written in other portions than it reads.
const AT_ONCE: usize = 8;
/// What payload and trailer are a multiple of in counter modes.
const ALIGN: usize = 4;
/// SPI, sequence number and an IV of eight octets.
const HEAD_LEN: usize = 16;
