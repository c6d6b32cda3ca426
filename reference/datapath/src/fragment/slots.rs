//! The memory of the reassembler: everything is there from the beginning, nothing is allocated for a packet.

use hallmark_core::Instant;

use crate::packet::Packet;

/// No index.
pub(super) const NIL: u32 = u32::MAX;

/// What the fragments of one packet have in common.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Key {
    pub(super) src: u128,
    pub(super) dst: u128,
    pub(super) ident: u32,
    /// Not part of an IPv6 key (RFC 8200 §4.5), so it is 0 there.
    pub(super) protocol: u8,
    pub(super) version4: bool,
}

impl Key {
    pub(super) const fn same_pair(&self, other: &Self) -> bool {
        self.src == other.src && self.dst == other.dst && self.version4 == other.version4
    }
}

/// How far the fragments of one packet have come.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) enum State {
    /// Fragments are collected.
    #[default]
    Open,
    /// The first fragment showed an SPI that is not ours: what follows is let through.
    Foreign,
    /// Something was wrong: what follows is dropped.
    Poisoned,
}

/// One packet that is being put together.
#[derive(Clone, Copy, Debug)]
pub(super) struct Datagram {
    pub(super) key: Key,
    pub(super) state: State,
    pub(super) born: Instant,
    /// The fragments, by offset.
    pub(super) head: u32,
    pub(super) pieces: u32,
    /// Octets of payload in the fragments, or seen so far if they are not kept.
    pub(super) payload: usize,
    /// Octets of the packets that are kept.
    pub(super) octets: usize,
    /// Where the payload ends, once the last fragment has said so.
    pub(super) end: Option<usize>,
    /// How far any fragment reaches.
    pub(super) reach: usize,
    /// A bit for each ECN codepoint that was seen.
    pub(super) ecn: u8,
    /// Whether all of a foreign packet seems to have passed, so that its place may be taken first.
    pub(super) spent: bool,
    /// Neighbours: in the bucket, and by age.
    next_in_bucket: u32,
    older: u32,
    younger: u32,
}

/// One fragment that is kept.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) packet: Packet,
    pub(super) offset: usize,
    pub(super) len: usize,
    pub(super) payload_at: usize,
    pub(super) more: bool,
    pub(super) next: u32,
}

/// Datagrams found by key and by age, and the fragments that they hold.
#[derive(Debug)]
pub(super) struct Slots {
    datagrams: Vec<Datagram>,
    free_datagrams: Vec<u32>,
    buckets: Vec<u32>,
    held: Vec<Held>,
    free_held: Vec<u32>,
    oldest: u32,
    youngest: u32,
    seed: u64,
    pub(super) octets: usize,
}

impl Slots {
    pub(super) fn new(datagrams: usize, fragments: usize, seed: u64) -> Self {
        let empty = || Held { packet: Packet::default(), offset: 0, len: 0, payload_at: 0, more: false, next: NIL };
        let mut held = Vec::with_capacity(fragments);
        held.resize_with(fragments, empty);
        Self {
            datagrams: vec![Datagram::EMPTY; datagrams],
            free_datagrams: (0..datagrams as u32).rev().collect(),
            buckets: vec![NIL; (datagrams * 2).next_power_of_two()],
            held,
            free_held: (0..fragments as u32).rev().collect(),
            oldest: NIL,
            youngest: NIL,
            seed,
            octets: 0,
        }
    }

    pub(super) const fn datagrams_in_use(&self) -> usize {
        self.datagrams.len() - self.free_datagrams.len()
    }

    pub(super) const fn fragments_in_use(&self) -> usize {
        self.held.len() - self.free_held.len()
    }

    pub(super) const fn oldest(&self) -> u32 {
        self.oldest
    }

    pub(super) fn get(&self, index: u32) -> Option<&Datagram> {
        self.datagrams.get(index as usize)
    }

    pub(super) fn get_mut(&mut self, index: u32) -> Option<&mut Datagram> {
        self.datagrams.get_mut(index as usize)
    }

    /// Finds a datagram. Also counts the datagrams of the same pair of hosts and names the one to give up first, because
    /// all of them lie in one bucket.
    pub(super) fn find(&self, key: &Key) -> (u32, usize, u32) {
        let (mut found, mut pair, mut victim, mut spent) = (NIL, 0, NIL, false);
        let mut at = self.buckets.get(self.bucket(key)).copied().unwrap_or(NIL);
        while let Some(datagram) = self.get(at) {
            if datagram.key.same_pair(key) {
                pair += 1;
                // A bucket begins with its youngest.
                if datagram.spent || !spent {
                    (victim, spent) = (at, datagram.spent);
                }
                if datagram.key == *key {
                    found = at;
                }
            }
            at = datagram.next_in_bucket;
        }
        (found, pair, victim)
    }

    /// Names the datagram to give up first when all places are taken.
    pub(super) fn victim(&self) -> u32 {
        self.datagrams.iter().position(|datagram| datagram.spent).map_or(self.oldest, |at| at as u32)
    }

    /// Opens a datagram; [`NIL`] when all places are taken.
    pub(super) fn open(&mut self, key: Key, now: Instant) -> u32 {
        let Some(index) = self.free_datagrams.pop() else { return NIL };
        let bucket = self.bucket(&key);
        let next_in_bucket = self.buckets.get(bucket).copied().unwrap_or(NIL);
        let datagram = Datagram { key, born: now, next_in_bucket, older: self.youngest, ..Datagram::EMPTY };
        if let Some(place) = self.datagrams.get_mut(index as usize) {
            *place = datagram;
        }
        if let Some(place) = self.buckets.get_mut(bucket) {
            *place = index;
        }
        match self.get_mut(datagram.older) {
            Some(before) => before.younger = index,
            None => self.oldest = index,
        }
        self.youngest = index;
        index
    }

    /// Makes one more place, without regard to any limit.
    pub(super) fn grow(&mut self) {
        self.free_datagrams.push(self.datagrams.len() as u32);
        self.datagrams.push(Datagram::EMPTY);
    }

    /// Makes one more place for a fragment, without regard to any limit.
    pub(super) fn grow_held(&mut self) {
        self.free_held.push(self.held.len() as u32);
        self.held.push(Held { packet: Packet::default(), offset: 0, len: 0, payload_at: 0, more: false, next: NIL });
    }

    /// Closes a datagram; its fragments must have been taken out.
    pub(super) fn close(&mut self, index: u32) {
        let Some(datagram) = self.get(index).copied() else { return };
        debug_assert_eq!(datagram.head, NIL);
        match self.get_mut(datagram.older) {
            Some(before) => before.younger = datagram.younger,
            None => self.oldest = datagram.younger,
        }
        match self.get_mut(datagram.younger) {
            Some(after) => after.older = datagram.older,
            None => self.youngest = datagram.older,
        }
        let bucket = self.bucket(&datagram.key);
        let mut at = self.buckets.get(bucket).copied().unwrap_or(NIL);
        if at == index {
            if let Some(place) = self.buckets.get_mut(bucket) {
                *place = datagram.next_in_bucket;
            }
        } else {
            while let Some(before) = self.get_mut(at) {
                if before.next_in_bucket == index {
                    before.next_in_bucket = datagram.next_in_bucket;
                    break;
                }
                at = before.next_in_bucket;
            }
        }
        if let Some(place) = self.get_mut(index) {
            place.spent = false;
        }
        self.free_datagrams.push(index);
    }

    /// Walks through the fragments of a datagram in order of their offsets.
    pub(super) fn fragments(&self, index: u32) -> impl Iterator<Item = &Held> {
        let mut at = self.get(index).map_or(NIL, |datagram| datagram.head);
        std::iter::from_fn(move || {
            let held = self.held.get(at as usize)?;
            at = held.next;
            Some(held)
        })
    }

    pub(super) const fn has_room_for_fragment(&self) -> bool {
        !self.free_held.is_empty()
    }

    /// Keeps a fragment, behind those that do not begin later.
    pub(super) fn hold(&mut self, index: u32, mut fragment: Held) {
        let Some(place) = self.free_held.pop() else { return };
        let (offset, len, octets) = (fragment.offset, fragment.len, fragment.packet.len());
        let (mut before, mut after) = (NIL, self.get(index).map_or(NIL, |datagram| datagram.head));
        while let Some(held) = self.held.get(after as usize).filter(|held| held.offset <= offset) {
            before = after;
            after = held.next;
        }
        fragment.next = after;
        if let Some(slot) = self.held.get_mut(place as usize) {
            *slot = fragment;
        }
        if let Some(held) = self.held.get_mut(before as usize) {
            held.next = place;
        }
        self.octets += octets;
        if let Some(datagram) = self.get_mut(index) {
            if before == NIL {
                datagram.head = place;
            }
            datagram.pieces += 1;
            datagram.payload += len;
            datagram.octets += octets;
        }
    }

    /// Takes the first fragment of a datagram out.
    pub(super) fn release(&mut self, index: u32) -> Option<Held> {
        let place = self.get(index)?.head;
        let held = self.held.get_mut(place as usize)?;
        let next = held.next;
        let taken = Held { packet: std::mem::take(&mut held.packet), ..*held };
        let octets = taken.packet.len();
        self.free_held.push(place);
        self.octets = self.octets.saturating_sub(octets);
        if let Some(datagram) = self.get_mut(index) {
            datagram.head = next;
            datagram.pieces -= 1;
            datagram.octets = datagram.octets.saturating_sub(octets);
        }
        Some(taken)
    }

    /// All datagrams of a pair share a bucket.
    fn bucket(&self, key: &Key) -> usize {
        let fold = |a: u64, b: u64| {
            let wide = u128::from(a) * u128::from(b);
            wide as u64 ^ (wide >> 64) as u64
        };
        let src = fold(key.src as u64 ^ self.seed, (key.src >> 64) as u64 ^ 0x9e37_79b9_7f4a_7c15);
        let dst = fold(key.dst as u64 ^ 0xd6e8_feb8_6659_fd93, (key.dst >> 64) as u64 ^ self.seed.rotate_left(32) | 1);
        fold(src ^ u64::from(key.version4), dst ^ 0xe703_7ed1_a0b4_28db) as usize & (self.buckets.len() - 1)
    }
}

impl Datagram {
    /// Forgets what was seen; no fragment may be held.
    pub(super) const fn begin_anew(&mut self) {
        self.state = State::Open;
        self.payload = 0;
        self.end = None;
        self.reach = 0;
        self.ecn = 0;
        self.spent = false;
    }

    const EMPTY: Self = Self {
        key: Key { src: 0, dst: 0, ident: 0, protocol: 0, version4: false },
        state: State::Open,
        born: Instant::ZERO,
        head: NIL,
        pieces: 0,
        payload: 0,
        octets: 0,
        end: None,
        reach: 0,
        ecn: 0,
        spent: false,
        next_in_bucket: NIL,
        older: NIL,
        younger: NIL,
    };
}
