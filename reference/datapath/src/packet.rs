//! Packets that are changed in place, the pool that they come from, and the batches in which they travel.

use crate::reason::Reason;

/// Octets kept free in front of a packet: an outer IPv6 header, an ESP header with a 16-octet IV, a stamp and a link
/// header fit several times over.
pub const HEADROOM: usize = 128;
/// Octets kept free behind a packet: padding, trailer and the longest ICV.
pub const TAILROOM: usize = 96;
/// Longest link header that is kept with a packet (Ethernet with two VLAN tags).
pub const LINK_MAX: usize = 22;
/// Octets at the very front of a buffer where the link header is kept.
const LINK_ROOM: usize = 32;
/// Where an IP packet begins in its buffer before anything is put in front of it.
const FRONT: usize = LINK_ROOM + HEADROOM;
/// Packets of 65535 octets that a pool has.
pub const LARGE: usize = 16;
/// Packets that a port hands over at once.
pub const BATCH: usize = 64;
/// Packets that the pipeline may add to one batch: pieces of packets that were cut, and ICMP errors.
pub const EXTRA: usize = 448;

/// Names the two ports of a member.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Side {
    /// The protected side, where packets are in clear.
    Lan,
    /// The unprotected side, where packets of the permit class are ESP.
    Wan,
}

impl Side {
    /// Gives the opposite port.
    #[must_use]
    pub const fn other(self) -> Self {
        match self {
            Self::Lan => Self::Wan,
            Self::Wan => Self::Lan,
        }
    }
}

/// Says what becomes of a packet.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Fate {
    /// Not decided.
    #[default]
    Pending,
    /// It leaves through this port.
    Out(Side),
    /// It goes no further.
    Dropped(Reason),
    /// Its octets are no longer here: they wait for the other fragments of their packet, or live on in the pieces that
    /// follow in the batch.
    Held,
}

/// Holds an IP packet in a buffer with room in front and behind, and its link header at the front of the buffer.
///
/// It is small, because it is moved from the pool into a batch and back.
#[derive(Debug)]
pub struct Packet {
    buffer: Box<[u8]>,
    start: u32,
    end: u32,
    link_len: u8,
    /// What becomes of it.
    pub fate: Fate,
    /// The port that it came in through.
    pub received_on: Side,
}

impl Default for Packet {
    /// Makes a packet without a buffer: what stays behind where a packet was taken out.
    fn default() -> Self {
        Self { buffer: Box::default(), start: 0, end: 0, link_len: 0, fate: Fate::Held, received_on: Side::Lan }
    }
}

impl Packet {
    /// Makes an empty packet that can hold an IP packet of `max_ip_len` octets besides the head and tail room.
    #[must_use]
    pub fn with_capacity(max_ip_len: usize) -> Self {
        let len = max_ip_len.min(65_535).saturating_add(FRONT + TAILROOM);
        Self {
            buffer: vec![0; len].into_boxed_slice(),
            start: FRONT as u32,
            end: FRONT as u32,
            fate: Fate::Pending,
            ..Self::default()
        }
    }

    /// Tells whether it has a buffer at all.
    #[must_use]
    pub fn has_buffer(&self) -> bool {
        !self.buffer.is_empty()
    }

    /// Empties it, with all its headroom free.
    #[inline]
    pub fn clear(&mut self) {
        self.start = FRONT.min(self.buffer.len()) as u32;
        self.end = self.start;
        self.link_len = 0;
        self.fate = Fate::Pending;
    }

    /// Puts a link header (at most [`LINK_MAX`] octets) and an IP packet in; `false`, and empty, when they do not fit.
    #[inline]
    pub fn set(&mut self, link: &[u8], ip: &[u8]) -> bool {
        self.clear();
        if !self.set_link(link) {
            return false;
        }
        let start = self.start as usize;
        let end = start.saturating_add(ip.len());
        // The tail room stays free whatever comes in.
        if end.saturating_add(TAILROOM) > self.buffer.len() {
            return false;
        }
        let Some(room) = self.buffer.get_mut(start..end) else { return false };
        room.copy_from_slice(ip);
        self.end = end as u32;
        true
    }

    /// Replaces the link header; `false` when it is too long.
    #[inline]
    pub fn set_link(&mut self, link: &[u8]) -> bool {
        if link.len() > LINK_MAX {
            return false;
        }
        let Some(room) = self.buffer.get_mut(..link.len()) else { return false };
        room.copy_from_slice(link);
        self.link_len = link.len() as u8;
        true
    }

    /// Shows the link header.
    #[must_use]
    pub fn link(&self) -> &[u8] {
        self.buffer.get(..usize::from(self.link_len)).unwrap_or_default()
    }

    /// Lends the link header.
    pub fn link_mut(&mut self) -> &mut [u8] {
        self.buffer.get_mut(..usize::from(self.link_len)).unwrap_or_default()
    }

    /// Shows the IP packet.
    #[must_use]
    #[inline]
    pub fn ip(&self) -> &[u8] {
        self.buffer.get(self.start as usize..self.end as usize).unwrap_or_default()
    }

    /// Lends the IP packet.
    #[inline]
    pub fn ip_mut(&mut self) -> &mut [u8] {
        self.buffer.get_mut(self.start as usize..self.end as usize).unwrap_or_default()
    }

    /// Counts the octets of the IP packet.
    #[must_use]
    #[inline]
    pub const fn len(&self) -> usize {
        (self.end - self.start) as usize
    }

    /// Tells whether there is no octet in it.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.start == self.end
    }

    /// Gives the frame for sending: the link header directly in front of the IP packet.
    pub fn frame(&mut self) -> &[u8] {
        let link_len = usize::from(self.link_len);
        let Some(at) = (self.start as usize).checked_sub(link_len) else { return &[] };
        // What keeps the link header is never part of the headroom.
        if at >= link_len {
            self.buffer.copy_within(..link_len, at);
        }
        self.buffer.get(at..self.end as usize).unwrap_or_default()
    }

    /// Counts the octets that [`Packet::prepend`] can still give.
    #[must_use]
    pub const fn headroom(&self) -> usize {
        (self.start as usize).saturating_sub(LINK_ROOM + LINK_MAX)
    }

    /// Counts the octets that [`Packet::append`] can still give.
    #[must_use]
    pub const fn tailroom(&self) -> usize {
        self.buffer.len().saturating_sub(self.end as usize)
    }

    /// Grows the IP packet by `n` octets in front and lends them (their content is whatever was there); nothing when
    /// the headroom is used up, which keeps room for the link header.
    #[inline]
    pub fn prepend(&mut self, n: usize) -> Option<&mut [u8]> {
        if n > self.headroom() {
            return None;
        }
        let old = self.start as usize;
        let new = old.checked_sub(n)?;
        self.start = new as u32;
        self.buffer.get_mut(new..old)
    }

    /// Grows the IP packet by `n` octets behind and lends them (their content is whatever was there); nothing when the
    /// buffer ends before that.
    #[inline]
    pub fn append(&mut self, n: usize) -> Option<&mut [u8]> {
        let old = self.end as usize;
        let new = old.checked_add(n)?;
        if new > self.buffer.len() {
            return None;
        }
        self.end = new as u32;
        self.buffer.get_mut(old..new)
    }

    /// Grows the IP packet by `front` octets in front and `back` octets behind and lends all of it; nothing, and nothing
    /// changed, when the headroom is used up or the buffer ends before that.
    #[inline(always)]
    pub(crate) fn grow(&mut self, front: usize, back: usize) -> Option<&mut [u8]> {
        if front > self.headroom() {
            return None;
        }
        let (start, end) = (self.start as usize - front, self.end as usize + back);
        let whole = self.buffer.get_mut(start..end)?;
        (self.start, self.end) = (start as u32, end as u32);
        Some(whole)
    }

    /// Takes `n` octets away in front, all when there are fewer.
    #[inline]
    pub fn trim_front(&mut self, n: usize) {
        self.start = (self.start as usize).saturating_add(n).min(self.end as usize) as u32;
    }

    /// Keeps `len` octets from `from` on, less where there are fewer.
    #[inline(always)]
    pub(crate) fn narrow(&mut self, from: usize, len: usize) {
        self.trim_front(from);
        self.truncate(len);
    }

    /// Lends the IP packet and its fate apart.
    #[inline(always)]
    pub(crate) fn parts(&mut self) -> (&mut [u8], &mut Fate) {
        (self.buffer.get_mut(self.start as usize..self.end as usize).unwrap_or_default(), &mut self.fate)
    }

    /// Takes `n` octets away behind, all when there are fewer.
    #[inline]
    pub fn trim_back(&mut self, n: usize) {
        self.end = (self.end as usize).saturating_sub(n).max(self.start as usize) as u32;
    }

    /// Cuts the IP packet to `n` octets if it is longer.
    #[inline]
    pub fn truncate(&mut self, n: usize) {
        self.end = self.start + n.min(self.len()) as u32;
    }

    /// Tells what becomes of it.
    #[must_use]
    pub const fn fate(&self) -> Fate {
        self.fate
    }

    /// Drops it for a reason.
    #[inline]
    pub fn drop_for(&mut self, reason: Reason) {
        self.fate = Fate::Dropped(reason);
    }
}

/// Lends packets of one size out and takes them back, so that the path of a packet allocates nothing. A few packets of
/// the greatest size serve what has been joined from fragments.
#[derive(Debug)]
pub struct Pool {
    free: Vec<Packet>,
    large: Vec<Packet>,
    limit: usize,
    max_ip_len: usize,
}

impl Pool {
    /// Makes `count` packets for IP packets of up to `max_ip_len` octets.
    #[must_use]
    pub fn new(count: usize, max_ip_len: usize) -> Self {
        let mut free = Vec::with_capacity(count);
        free.resize_with(count, || Packet::with_capacity(max_ip_len));
        let mut large = Vec::with_capacity(LARGE);
        large.resize_with(LARGE, || Packet::with_capacity(usize::from(u16::MAX)));
        Self { free, large, limit: count, max_ip_len }
    }

    /// Takes an empty packet out; nothing when all are in use.
    #[inline]
    pub fn take(&mut self) -> Option<Packet> {
        let mut packet = self.free.pop()?;
        packet.clear();
        Some(packet)
    }

    /// Takes an empty packet out that can hold an IP packet of so many octets; nothing when all are in use.
    #[inline]
    pub fn take_for(&mut self, ip_len: usize) -> Option<Packet> {
        if ip_len <= self.max_ip_len {
            return self.take();
        }
        let mut packet = self.large.pop()?;
        packet.clear();
        Some(packet)
    }

    /// Gives a packet back. One without a buffer, or one too many, is forgotten.
    #[inline]
    pub fn give(&mut self, packet: Packet) {
        if packet.buffer.len() > self.own_len() {
            if self.large.len() < LARGE {
                self.large.push(packet);
            }
        } else if packet.has_buffer() && self.free.len() < self.limit {
            self.free.push(packet);
        }
    }

    /// Moves up to `count` empty packets to the end of a batch, as far as there are any and the batch has room; gives how
    /// many.
    #[inline]
    pub fn lend(&mut self, count: usize, batch: &mut Batch) -> usize {
        let room = batch.packets.capacity().saturating_sub(batch.packets.len());
        let count = count.min(room).min(self.free.len());
        let old = batch.packets.len();
        batch.packets.extend(self.free.drain(self.free.len() - count..));
        for packet in batch.packets.iter_mut().skip(old) {
            packet.clear();
        }
        count
    }

    /// Takes every packet of a batch back.
    fn take_back(&mut self, batch: &mut Batch) {
        let own_len = self.own_len();
        let fits = self.free.len() + batch.packets.len() <= self.limit;
        if fits && batch.packets.iter().all(|packet| packet.buffer.len() == own_len) {
            self.free.append(&mut batch.packets);
            return;
        }
        for packet in batch.packets.drain(..) {
            self.give(packet);
        }
    }

    /// Gives the octets of a buffer that is not one of the large ones.
    fn own_len(&self) -> usize {
        self.max_ip_len.min(usize::from(u16::MAX)) + FRONT + TAILROOM
    }

    /// Counts the free packets.
    #[must_use]
    pub const fn available(&self) -> usize {
        self.free.len()
    }

    /// Gives the length of the longest IP packet that fits its packets.
    #[must_use]
    pub const fn max_ip_len(&self) -> usize {
        self.max_ip_len
    }
}

/// Holds a burst of packets: up to [`BATCH`] go in, the pipeline may append [`EXTRA`] more.
#[derive(Debug)]
pub struct Batch {
    /// The packets; after the pipeline each has a fate.
    pub packets: Vec<Packet>,
}

impl Default for Batch {
    fn default() -> Self {
        Self::new()
    }
}

impl Batch {
    /// Makes an empty batch with all its room.
    #[must_use]
    pub fn new() -> Self {
        Self { packets: Vec::with_capacity(BATCH + EXTRA) }
    }

    /// Adds a packet; gives it back when the batch is full, because growing would allocate.
    ///
    /// # Errors
    /// The packet itself.
    #[inline]
    pub fn push(&mut self, packet: Packet) -> Result<(), Packet> {
        if self.packets.len() < self.packets.capacity() {
            self.packets.push(packet);
            Ok(())
        } else {
            Err(packet)
        }
    }

    /// Tells whether there is room for `n` more packets.
    #[must_use]
    pub fn has_room(&self, n: usize) -> bool {
        self.packets.capacity().saturating_sub(self.packets.len()) >= n
    }

    /// Gives every packet back to the pool.
    pub fn recycle(&mut self, pool: &mut Pool) {
        pool.take_back(self);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_packet_grows_and_shrinks_at_both_ends_and_keeps_its_link_header() {
        let mut packet = Packet::with_capacity(100);
        assert!(packet.set(&[1, 2, 3], &[4; 50]));
        packet.prepend(20).expect("headroom").fill(9);
        packet.append(10).expect("tailroom").fill(8);
        assert_eq!(packet.len(), 80);
        assert_eq!(&packet.frame()[..4], &[1, 2, 3, 9]);
        assert_eq!(packet.frame().last(), Some(&8));
        packet.trim_front(20);
        packet.trim_back(10);
        assert_eq!(packet.ip(), &[4; 50]);
        packet.trim_front(1_000);
        assert!(packet.is_empty());
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let mut packet = Packet::with_capacity(100);
        assert!(packet.set(&[], &[0; 100]));
        assert!(!packet.set(&[], &[0; 101]));
        assert!(!packet.set(&[0; LINK_MAX + 1], &[0; 10]));
        assert!(packet.set(&[7; LINK_MAX], &[0; 10]));
        assert!(packet.prepend(HEADROOM - LINK_MAX + 1).is_none());
        assert!(packet.prepend(HEADROOM - LINK_MAX).is_some());
        assert_eq!(packet.frame().len(), HEADROOM + 10);
        assert!(packet.append(10_000).is_none());
    }

    #[test]
    fn the_pool_lends_what_it_has_and_no_more() {
        let mut pool = Pool::new(2, 64);
        let (a, b) = (pool.take(), pool.take());
        assert!(a.is_some() && b.is_some() && pool.take().is_none());
        pool.give(a.expect("taken"));
        pool.give(Packet::default());
        assert_eq!(pool.available(), 1);
    }

    #[test]
    fn a_batch_borrows_from_the_pool_and_returns_everything() {
        let mut pool = Pool::new(5, 64);
        let mut batch = Batch::new();
        assert_eq!(pool.lend(3, &mut batch), 3);
        assert!(batch.packets.iter_mut().all(|packet| packet.is_empty() && packet.set(&[1; 14], &[2; 64])));
        assert_eq!(pool.lend(9, &mut batch), 2);
        assert_eq!((batch.packets.len(), pool.available()), (5, 0));
        assert!(batch.push(Packet::default()).is_ok());
        batch.recycle(&mut pool);
        assert_eq!((batch.packets.len(), pool.available()), (0, 5));
        assert_eq!(pool.lend(5, &mut batch), 5);
        assert!(batch.packets.iter().all(|packet| packet.is_empty() && packet.link().is_empty()));
        batch.recycle(&mut pool);
        assert_eq!((batch.packets.len(), pool.available()), (0, 5));
    }

    #[test]
    fn the_link_header_outlives_a_headroom_that_is_used_up() {
        let mut packet = Packet::with_capacity(100);
        let link: Vec<u8> = (1..=LINK_MAX as u8).collect();
        assert!(packet.set(&link, &[7; 10]));
        packet.prepend(HEADROOM - LINK_MAX).expect("headroom").fill(9);
        for _ in 0..2 {
            assert_eq!(packet.frame()[..LINK_MAX + 1], [&link[..], &[9]].concat());
            assert_eq!(packet.link(), link);
        }
    }

    #[test]
    fn large_packets_are_lent_apart_from_the_others() {
        let mut pool = Pool::new(2, 64);
        let large: Vec<Packet> = std::iter::from_fn(|| pool.take_for(65)).collect();
        assert_eq!((large.len(), pool.available()), (LARGE, 2));
        for mut packet in large {
            assert!(packet.set(&[], &[7; 65_535]));
            pool.give(packet);
        }
        assert_eq!(pool.available(), 2);
        assert!(pool.take_for(65).is_some_and(|packet| packet.is_empty()));
        assert!(pool.take_for(64).is_some_and(|mut packet| !packet.set(&[], &[7; 65])));
        assert_eq!(pool.available(), 1);
    }

    #[test]
    fn a_full_batch_gives_the_packet_back() {
        let mut batch = Batch::new();
        let room = batch.packets.capacity();
        for _ in 0..room {
            assert!(batch.push(Packet::default()).is_ok());
        }
        assert!(!batch.has_room(1));
        assert!(batch.push(Packet::default()).is_err());
        assert_eq!(batch.packets.capacity(), room);
    }
}
