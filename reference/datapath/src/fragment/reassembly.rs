//! Joining ESP fragments that pass through on their way to the hosts behind this member.

use hallmark_core::{Duration, Instant};
use hallmark_wire::ip::{checksum, protocol};

use crate::behaviour::{Behaviour, Defect, Variant};
use crate::classifier::addresses;
use crate::config::ReassemblyLimits;
use crate::fragment::slots::{Datagram, Held, Key, NIL, Slots, State};
use crate::header::{Header, Piece, V6_LEN};
use crate::packet::{Batch, Fate, Packet, Pool, TAILROOM};
use crate::reason::Reason;
use crate::status::{Count, ReassemblyStatus};

/// Fragments of one packet that are held at most: 65535 octets in pieces of 552.
const PIECES_MAX: u32 = 128;
/// Octets of an IPv6 fragment header.
const FRAGMENT_HEADER: usize = 8;
/// ECN codepoints.
const NOT_ECT: u8 = 0;
const CE: u8 = 3;

/// What became of a fragment.
#[derive(Debug)]
pub enum Taken {
    /// It waits for the others.
    Held,
    /// The packet is whole. Packets that were no fragments come back like this, unchanged; an IPv6 packet with an
    /// atomic fragment header comes back without it.
    Complete(Packet),
    /// The packet is not ours: its fragments that were held, this one among them, are the last so many packets of the
    /// batch, as they came and undecided.
    Released(usize),
    /// It was dropped, and with it the fragments that were held if the reason concerns the whole packet.
    Dropped(Reason),
}

/// Held fragments that were dropped since they were last asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Lost {
    /// For want of the others.
    pub time: Count,
    /// For want of room.
    pub room: Count,
    /// Because of the fragment that was taken in last.
    pub poisoned: Count,
}

/// Joins fragments, within limits, and lets fragments of foreign packets through.
///
/// Later fragments carry no SPI, so fragments are held as they came until the first one tells whose they are. Memory is
/// taken once. When it is full the oldest unfinished packet gives way, so that a flood delays honest packets only if it
/// fills all places between two of their fragments.
#[derive(Debug)]
pub struct Reassembler {
    limits: ReassemblyLimits,
    slots: Slots,
    counters: ReassemblyStatus,
    lost: Lost,
    /// A defect has seen the limit.
    stopped: bool,
}

/// A fragment whose header has been read.
struct Fragment {
    packet: Packet,
    header: Header,
    piece: Piece,
    len: usize,
}

impl Reassembler {
    /// Makes a reassembler with all its memory. `seed` should be secret: it spreads the pairs over the table.
    #[must_use]
    pub fn new(limits: ReassemblyLimits, seed: u64) -> Self {
        let datagrams = limits.total_datagrams.clamp(1, 1 << 16);
        let fragments = Self::fragments_max(&limits);
        Self {
            limits,
            slots: Slots::new(datagrams, fragments, seed),
            counters: ReassemblyStatus::default(),
            lost: Lost::default(),
            stopped: false,
        }
    }

    /// Gives the packets that may be held: a pool has to have more than these.
    #[must_use]
    pub fn fragments_max(limits: &ReassemblyLimits) -> usize {
        (limits.total_datagrams.clamp(1, 1 << 16) * 4).max(PIECES_MAX as usize)
    }

    /// Tells whether a packet has to go through [`Reassembler::take`]: an ESP fragment, or an IPv6 fragment of a packet
    /// of which ESP fragments are held (only the first fragment's next header counts, RFC 8200 §4.5).
    #[must_use]
    pub fn wants(&self, ip: &[u8], header: &Header) -> bool {
        if header.piece.is_none() {
            return false;
        }
        header.protocol == protocol::ESP
            || !header.version4
                && header.is_fragment()
                && key_of(ip, header).is_some_and(|key| self.slots.find(&key).0 != NIL)
    }

    /// Takes a packet in. `is_own` tells whether an SPI belongs to an inbound SA. Everything that is dropped goes back
    /// to the pool.
    pub fn take(
        &mut self,
        now: Instant,
        mut packet: Packet,
        behaviour: &Behaviour,
        is_own: impl Fn(u32) -> bool,
        pool: &mut Pool,
        out: &mut Batch,
    ) -> Taken {
        self.expire(now, behaviour, pool);
        self.counters.fragments += 1;
        let Some(header) = Header::parse(packet.ip()) else {
            return self.refuse(packet, Reason::Malformed, pool);
        };
        let Some(piece) = header.piece else { return Taken::Complete(packet) };
        packet.truncate(header.len);
        let mut fragment = Fragment { len: header.len - header.payload_at, packet, header, piece };
        if !header.is_fragment() && !behaviour.has(Defect::AtomicFragmentsMixed) {
            return self.take_atomic(fragment, behaviour, is_own, pool, out);
        }
        if let Some(reason) = refuses(&mut fragment, behaviour) {
            return self.refuse(fragment.packet, reason, pool);
        }
        let Some(mut key) = key_of(fragment.packet.ip(), &header) else {
            return self.refuse(fragment.packet, Reason::Malformed, pool);
        };
        if behaviour.has(Defect::ReassemblyKeyWithoutId) {
            key.ident = 0;
        }
        if behaviour.has(Defect::ReassemblyKeyWithoutSource) {
            key.src = 0;
        }
        let index = match self.place(key, now, behaviour, pool) {
            Ok(index) => index,
            Err(reason) => return self.refuse(fragment.packet, reason, pool),
        };
        let first = piece.offset == 0;
        let own = first && spi(&fragment).is_some_and(is_own);
        if let Some(taken) = self.pass_foreign(index, &mut fragment, first, own, behaviour, pool, out) {
            return taken;
        }
        if let Some(taken) = self.judge(index, &mut fragment, behaviour, pool) {
            return taken;
        }
        if let Err(reason) = self.make_room(index, &fragment, behaviour, pool) {
            return self.refuse(fragment.packet, reason, pool);
        }
        self.keep(index, fragment);
        if self.is_whole(index) { self.join(index, behaviour, pool) } else { Taken::Held }
    }

    /// Gives up what has waited too long. REQ ESP-074: no ICMP error is sent, for the packets are addressed to others.
    pub fn expire(&mut self, now: Instant, behaviour: &Behaviour, pool: &mut Pool) {
        if behaviour.has(Defect::ReassemblyNoTimeout) {
            return;
        }
        let timeout = self.timeout(behaviour);
        while self.slots.get(self.slots.oldest()).is_some_and(|oldest| oldest.born + timeout <= now) {
            let index = self.slots.oldest();
            let open = self.slots.get(index).is_some_and(|datagram| datagram.state == State::Open);
            self.counters.timeouts += u64::from(open);
            let lost = self.close(index, pool);
            self.lost.time.join(lost);
        }
    }

    /// Says when [`Reassembler::expire`] has something to do.
    #[must_use]
    pub fn next_timeout(&self, behaviour: &Behaviour) -> Option<Instant> {
        if behaviour.has(Defect::ReassemblyNoTimeout) {
            return None;
        }
        self.slots.get(self.slots.oldest()).map(|oldest| oldest.born + self.timeout(behaviour))
    }

    /// Tells what was lost besides the fragments whose fate [`Reassembler::take`] told, since the last call.
    pub fn take_lost(&mut self) -> Lost {
        std::mem::take(&mut self.lost)
    }

    /// Shows what is held and what was done.
    #[must_use]
    pub const fn status(&self) -> ReassemblyStatus {
        ReassemblyStatus {
            waiting: self.slots.datagrams_in_use(),
            held: self.slots.fragments_in_use(),
            octets: self.slots.octets,
            ..self.counters
        }
    }

    fn timeout(&self, behaviour: &Behaviour) -> Duration {
        let short = behaviour.varies(Variant::ReassemblyShortTimeout);
        if short { self.limits.timeout.min(Duration::from_secs(2)) } else { self.limits.timeout }
    }

    /// REQ ESP-076: an atomic fragment is a whole packet, whatever else has its identification (RFC 6946).
    fn take_atomic(
        &mut self,
        mut fragment: Fragment,
        behaviour: &Behaviour,
        is_own: impl Fn(u32) -> bool,
        pool: &mut Pool,
        out: &mut Batch,
    ) -> Taken {
        if behaviour.has(Defect::AtomicFragmentsDropped) {
            return self.refuse(fragment.packet, Reason::Discarded, pool);
        }
        if !spi(&fragment).is_some_and(is_own) {
            return self.let_through(fragment.packet, pool, out);
        }
        self.counters.completed += 1;
        remove_fragment_header(&mut fragment.packet, &fragment.header);
        let payload_len = fragment.packet.len() - V6_LEN;
        set(fragment.packet.ip_mut(), 4, &(payload_len as u16).to_be_bytes());
        Taken::Complete(fragment.packet)
    }

    /// Finds the datagram of a key or opens one.
    fn place(&mut self, key: Key, now: Instant, behaviour: &Behaviour, pool: &mut Pool) -> Result<u32, Reason> {
        let (found, pair, victim) = self.slots.find(&key);
        if found != NIL {
            return Ok(found);
        }
        if self.stopped {
            return Err(Reason::FragmentLimit);
        }
        // REQ ESP-079
        let full = self.slots.datagrams_in_use() >= self.limits.total_datagrams;
        if behaviour.has(Defect::ReassemblyNoLimit) {
            if full {
                self.slots.grow();
            }
        } else if pair >= self.limits.per_pair.max(1) {
            self.evict(victim, behaviour, pool);
        } else if full {
            self.evict(self.slots.victim(), behaviour, pool);
        }
        match self.slots.open(key, now) {
            NIL => Err(Reason::FragmentLimit),
            index => Ok(index),
        }
    }

    /// Deals with what is known to be foreign: the first fragment tells, and then all that was held may go.
    #[expect(clippy::too_many_arguments, reason = "one step of take(), which has them all")]
    fn pass_foreign(
        &mut self,
        index: u32,
        fragment: &mut Fragment,
        first: bool,
        own: bool,
        behaviour: &Behaviour,
        pool: &mut Pool,
        out: &mut Batch,
    ) -> Option<Taken> {
        let datagram = self.slots.get_mut(index)?;
        if datagram.state == State::Foreign && own {
            // The identification has come round: a packet of ours begins.
            datagram.begin_anew();
            return None;
        }
        let foreign = datagram.state == State::Foreign || datagram.state == State::Open && first && !own;
        if !foreign || behaviour.has(Defect::ForeignFragmentsSwallowed) {
            return None;
        }
        // REQ ESP-080: as they came, in the order of their offsets.
        datagram.state = State::Foreign;
        datagram.payload += fragment.len;
        if !fragment.piece.more {
            datagram.end = Some(fragment.piece.offset + fragment.len);
        }
        datagram.spent = datagram.end.is_some_and(|end| datagram.payload >= end);
        let mut count = 0;
        while let Some(held) = self.slots.release(index) {
            count += usize::from(self.push(held.packet, pool, out));
        }
        count += usize::from(self.push(std::mem::take(&mut fragment.packet), pool, out));
        Some(Taken::Released(count))
    }

    /// Compares a fragment with those that are held; gives what became of it if it is not to be kept.
    fn judge(&mut self, index: u32, fragment: &mut Fragment, behaviour: &Behaviour, pool: &mut Pool) -> Option<Taken> {
        let datagram = *self.slots.get(index)?;
        if datagram.state == State::Poisoned {
            return Some(self.refuse(std::mem::take(&mut fragment.packet), Reason::FragmentPoisoned, pool));
        }
        let (offset, end) = (fragment.piece.offset, fragment.piece.offset + fragment.len);
        let mut covered = 0;
        let mut relation = Relation::Apart;
        for held in self.slots.fragments(index) {
            let held_end = held.offset + held.len;
            if held.offset < end && offset < held_end {
                let same = held.offset == offset
                    && held_end == end
                    && held.more == fragment.piece.more
                    && payload(&held.packet, held.payload_at) == payload(&fragment.packet, fragment.header.payload_at);
                relation = if same { Relation::Copy } else { Relation::Overlap };
                break;
            }
            covered = held_end;
        }
        if relation == Relation::Copy && !behaviour.has(Defect::ReassemblyDuplicateKills) {
            self.counters.duplicates += 1;
            self.counters.dropped += 1;
            pool.give(std::mem::take(&mut fragment.packet));
            return Some(Taken::Dropped(Reason::FragmentDuplicate));
        }
        if behaviour.has(Defect::ReassemblyInOrderOnly) && offset != covered {
            return Some(self.refuse(std::mem::take(&mut fragment.packet), Reason::Discarded, pool));
        }
        let overlap_accepted = behaviour.has(match fragment.header.version4 {
            true => Defect::ReassemblyOverlapAccepted,
            false => Defect::Ipv6OverlapAccepted,
        });
        let ecn = datagram.ecn | 1 << (fragment.header.traffic_class & 3);
        let contradicts = ends_differ(&datagram, &fragment.piece, end);
        let poison = if contradicts && !behaviour.has(Defect::ReassemblyEndsIgnored) {
            Some(Reason::FragmentEndsDiffer)
        } else if relation != Relation::Apart && !overlap_accepted {
            // REQ ESP-075, ESP-077
            Some(Reason::FragmentOverlap)
        } else if ecn & (1 << CE) != 0 && ecn & (1 << NOT_ECT) != 0 && !behaviour.has(Defect::ReassemblyEcnLost) {
            // REQ ESP-078
            Some(Reason::FragmentEcn)
        } else if datagram.pieces >= PIECES_MAX {
            Some(Reason::FragmentLimit)
        } else {
            None
        };
        let reason = poison?;
        self.poison(index, pool);
        self.counters.dropped += 1;
        pool.give(std::mem::take(&mut fragment.packet));
        Some(Taken::Dropped(reason))
    }

    /// Makes room for a fragment at the expense of the oldest packets.
    fn make_room(
        &mut self,
        index: u32,
        fragment: &Fragment,
        behaviour: &Behaviour,
        pool: &mut Pool,
    ) -> Result<(), Reason> {
        if behaviour.has(Defect::ReassemblyNoLimit) {
            if !self.slots.has_room_for_fragment() {
                self.slots.grow_held();
            }
            return Ok(());
        }
        let needed = fragment.packet.len();
        while !self.slots.has_room_for_fragment() || self.slots.octets + needed > self.limits.total_octets {
            let oldest = self.slots.oldest();
            self.evict(oldest, behaviour, pool);
            if oldest == index || oldest == NIL {
                return Err(Reason::FragmentLimit);
            }
        }
        Ok(())
    }

    fn keep(&mut self, index: u32, fragment: Fragment) {
        let Fragment { packet, header, piece, len } = fragment;
        if let Some(datagram) = self.slots.get_mut(index) {
            let end = piece.offset + len;
            datagram.reach = datagram.reach.max(end);
            datagram.ecn |= 1 << (header.traffic_class & 3);
            if !piece.more {
                datagram.end = Some(end);
            }
        }
        let offset = piece.offset;
        self.slots
            .hold(index, Held { packet, offset, len, payload_at: header.payload_at, more: piece.more, next: NIL });
    }

    fn is_whole(&self, index: u32) -> bool {
        let Some(datagram) = self.slots.get(index) else { return false };
        let Some(end) = datagram.end.filter(|end| datagram.payload >= *end) else { return false };
        let mut covered = 0;
        for held in self.slots.fragments(index) {
            if held.offset > covered {
                return false;
            }
            covered = covered.max(held.offset + held.len);
        }
        covered >= end
    }

    /// Makes one packet of the fragments, in the buffer of the first if they fit there.
    fn join(&mut self, index: u32, behaviour: &Behaviour, pool: &mut Pool) -> Taken {
        let Some((datagram, first)) = self.slots.get(index).copied().zip(self.slots.release(index)) else {
            return Taken::Dropped(Reason::FragmentLimit);
        };
        let joined = self.join_behind(index, &datagram, first, behaviour, pool);
        // Nothing is left unless joining has failed.
        let lost = self.close(index, pool);
        self.lost.poisoned.join(lost);
        match joined {
            Ok(packet) => {
                self.counters.completed += 1;
                Taken::Complete(packet)
            }
            Err(reason) => {
                self.counters.poisoned += 1;
                Taken::Dropped(reason)
            }
        }
    }

    fn join_behind(
        &mut self,
        index: u32,
        datagram: &Datagram,
        first: Held,
        behaviour: &Behaviour,
        pool: &mut Pool,
    ) -> Result<Packet, Reason> {
        let Some(header) = Header::parse(first.packet.ip()) else {
            pool.give(first.packet);
            return Err(Reason::Malformed);
        };
        let mut packet = first.packet;
        let fragment_header = if header.version4 { 0 } else { FRAGMENT_HEADER };
        let at = header.payload_at - fragment_header;
        let total = at + datagram.end.unwrap_or(0);
        let length_field = if header.version4 { total } else { total - V6_LEN };
        // REQ ESP-073
        let Ok(length_field) = u16::try_from(length_field) else {
            pool.give(packet);
            return Err(Reason::FragmentTooLong);
        };
        if !header.version4 {
            remove_fragment_header(&mut packet, &header);
        }
        packet.truncate(at + first.len);
        if packet.tailroom() < (total + TAILROOM).saturating_sub(packet.len()) {
            let larger = pool.take_for(total).filter(|larger| larger.tailroom() >= total + TAILROOM);
            let Some(mut larger) = larger else {
                pool.give(packet);
                return Err(Reason::NoBuffer);
            };
            larger.set(packet.link(), packet.ip());
            larger.received_on = packet.received_on;
            pool.give(std::mem::replace(&mut packet, larger));
        }
        packet.append(total.saturating_sub(packet.len()));
        while let Some(held) = self.slots.release(index) {
            let octets = payload(&held.packet, held.payload_at);
            set(packet.ip_mut(), at + held.offset, octets.get(..held.len).unwrap_or_default());
            pool.give(held.packet);
        }
        if !behaviour.has(Defect::ReassemblyHeaderStale) {
            let ce = datagram.ecn & (1 << CE) != 0 && !behaviour.has(Defect::ReassemblyEcnLost);
            rewrite(packet.ip_mut(), &header, length_field, ce);
        }
        Ok(packet)
    }

    fn evict(&mut self, index: u32, behaviour: &Behaviour, pool: &mut Pool) {
        let spent = self.slots.get(index).is_some_and(|datagram| datagram.spent);
        self.stopped |= !spent && behaviour.has(Defect::ReassemblyLimitStops);
        self.counters.limited += u64::from(!spent);
        let lost = self.close(index, pool);
        self.lost.room.join(lost);
    }

    /// Gives the fragments of a packet up; what follows is dropped until its time is over.
    fn poison(&mut self, index: u32, pool: &mut Pool) {
        self.counters.poisoned += 1;
        let lost = self.empty(index, pool);
        self.lost.poisoned.join(lost);
        if let Some(datagram) = self.slots.get_mut(index) {
            datagram.state = State::Poisoned;
        }
    }

    /// Drops the fragments of a packet and forgets it; counts them.
    fn close(&mut self, index: u32, pool: &mut Pool) -> Count {
        let count = self.empty(index, pool);
        self.slots.close(index);
        count
    }

    fn empty(&mut self, index: u32, pool: &mut Pool) -> Count {
        let mut count = Count::default();
        while let Some(held) = self.slots.release(index) {
            count.add(held.packet.len());
            pool.give(held.packet);
        }
        self.counters.dropped += count.packets;
        count
    }

    fn refuse(&mut self, packet: Packet, reason: Reason, pool: &mut Pool) -> Taken {
        self.counters.dropped += 1;
        pool.give(packet);
        Taken::Dropped(reason)
    }

    fn let_through(&mut self, packet: Packet, pool: &mut Pool, out: &mut Batch) -> Taken {
        Taken::Released(usize::from(self.push(packet, pool, out)))
    }

    fn push(&mut self, mut packet: Packet, pool: &mut Pool, out: &mut Batch) -> bool {
        packet.fate = Fate::Pending;
        match out.push(packet) {
            Ok(()) => {
                self.counters.released += 1;
                true
            }
            Err(packet) => {
                self.counters.dropped += 1;
                pool.give(packet);
                false
            }
        }
    }
}

/// How a fragment lies to those that are held.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Relation {
    Apart,
    Copy,
    Overlap,
}

/// Refuses a fragment for what it is, before anything else is looked at.
fn refuses(fragment: &mut Fragment, behaviour: &Behaviour) -> Option<Reason> {
    if fragment.len == 0 {
        return Some(Reason::FragmentEmpty);
    }
    let uneven = fragment.len % 8;
    if fragment.piece.more && uneven != 0 {
        if !behaviour.has(Defect::ReassemblyUnevenAccepted) || fragment.len < 8 {
            return Some(Reason::FragmentUneven);
        }
        fragment.packet.trim_back(uneven);
        fragment.len -= uneven;
        let len = fragment.packet.len() as u16;
        match fragment.header.version4 {
            true => set(fragment.packet.ip_mut(), 2, &len.to_be_bytes()),
            false => set(fragment.packet.ip_mut(), 4, &(len - V6_LEN as u16).to_be_bytes()),
        }
    }
    let header = &fragment.header;
    // In IPv6 the length does not count the fixed header, nor will the fragment header be there.
    let before = if header.version4 { header.payload_at } else { header.payload_at - V6_LEN - FRAGMENT_HEADER };
    let end = before + fragment.piece.offset + fragment.len;
    (end > usize::from(u16::MAX)).then_some(Reason::FragmentTooLong)
}

/// Tells whether a fragment contradicts what is known about the end of its packet.
const fn ends_differ(datagram: &Datagram, piece: &Piece, end: usize) -> bool {
    match datagram.end {
        Some(known) => end > known || (piece.more && end == known) || (!piece.more && end != known),
        None => !piece.more && datagram.reach > end,
    }
}

fn key_of(ip: &[u8], header: &Header) -> Option<Key> {
    let (src, dst) = addresses(ip, header.version4)?;
    // REQ ESP-072
    let protocol = if header.version4 { header.protocol } else { 0 };
    Some(Key { src, dst, ident: header.piece?.ident, protocol, version4: header.version4 })
}

/// Reads the SPI of a first fragment; `None` if it does not hold ESP.
fn spi(fragment: &Fragment) -> Option<u32> {
    let is_esp = fragment.header.protocol == protocol::ESP;
    let octets = payload(&fragment.packet, fragment.header.payload_at).first_chunk::<4>().filter(|_| is_esp)?;
    Some(u32::from_be_bytes(*octets))
}

fn payload(packet: &Packet, at: usize) -> &[u8] {
    packet.ip().get(at..).unwrap_or_default()
}

/// Takes the fragment header out; the length field is left to the caller.
fn remove_fragment_header(packet: &mut Packet, header: &Header) {
    set(packet.ip_mut(), header.next_header_at, &[header.protocol]);
    packet.ip_mut().copy_within(..header.payload_at - FRAGMENT_HEADER, FRAGMENT_HEADER);
    packet.trim_front(FRAGMENT_HEADER);
}

/// REQ ESP-071: makes the header of a first fragment that of the whole packet.
fn rewrite(ip: &mut [u8], header: &Header, length_field: u16, ce: bool) {
    let class = if ce { header.traffic_class | CE } else { header.traffic_class };
    if header.version4 {
        set(ip, 1, &[class]);
        set(ip, 2, &length_field.to_be_bytes());
        set(ip, 6, &[0, 0]);
        set(ip, 10, &[0, 0]);
        let sum = checksum(ip.get(..header.payload_at).unwrap_or_default());
        set(ip, 10, &sum.to_be_bytes());
    } else {
        set(ip, 4, &length_field.to_be_bytes());
        if let Some(octet) = ip.get_mut(1) {
            *octet = *octet & 0x0f | class << 4;
        }
    }
}

/// Writes octets at a place; what would reach past the end is left out.
fn set(ip: &mut [u8], at: usize, octets: &[u8]) {
    let room = ip.get_mut(at..).unwrap_or_default();
    let len = room.len().min(octets.len());
    if let (Some(room), Some(octets)) = (room.get_mut(..len), octets.get(..len)) {
        room.copy_from_slice(octets);
    }
}
