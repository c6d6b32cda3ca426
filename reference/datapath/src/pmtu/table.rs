//! The table of learned path MTUs that all workers look at. It has a fixed size: four places for each hash value, the
//! oldest gives way.
//!
//! Looking takes no lock. Each place has a version, odd while the place is written; what was read counts only when the
//! version was even and has stayed the same meanwhile. Whoever writes holds the lock of the table.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering, fence};
use std::sync::{Mutex, MutexGuard, PoisonError};

use hallmark_core::Instant;

/// Places for each hash value.
const WAYS: usize = 4;
/// Largest table.
const MOST: usize = 1 << 20;
/// Looks at a place that is being written, before it counts as empty: its packet is then sent as if nothing had been
/// learned, which brings the next error at worst.
const LOOKS: usize = 64;

/// A learned path MTU.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Entry {
    pub(super) dst: u128,
    pub(super) version4: bool,
    /// 0 in an empty place.
    pub(super) mtu: u16,
    pub(super) learned: Instant,
}

/// Holds the entries.
#[derive(Debug)]
pub(super) struct Table {
    places: Vec<Place>,
    seed: u64,
    writing: Mutex<()>,
    /// Until when any entry holds, in nanoseconds.
    holds_until: AtomicU64,
}

impl Table {
    /// Makes an empty table. `seed` should be secret.
    pub(super) fn new(entries: usize, seed: u64) -> Self {
        let len = entries.clamp(WAYS, MOST).next_power_of_two();
        let places = (0..len).map(|_| Place::default()).collect();
        Self { places, seed, writing: Mutex::default(), holds_until: AtomicU64::new(0) }
    }

    /// Tells until when any entry holds: with one look, whether there is a point in looking for one.
    #[inline]
    pub(super) fn holds_until(&self) -> Instant {
        Instant(self.holds_until.load(Ordering::Relaxed))
    }

    /// Finds the entry of a destination.
    pub(super) fn find(&self, dst: u128, version4: bool) -> Option<Entry> {
        self.set(dst, version4).iter().map(Place::read).find(|entry| entry.is_for(dst, version4))
    }

    /// Gives every entry.
    pub(super) fn entries(&self) -> impl Iterator<Item = Entry> + '_ {
        self.places.iter().map(Place::read).filter(|entry| entry.mtu != 0)
    }

    /// Lets nobody else write meanwhile.
    pub(super) fn write(&self) -> Writer<'_> {
        Writer { table: self, _alone: self.writing.lock().unwrap_or_else(PoisonError::into_inner) }
    }

    fn set(&self, dst: u128, version4: bool) -> &[Place] {
        let wide = u128::from(dst as u64 ^ self.seed)
            * u128::from((dst >> 64) as u64 ^ 0x9e37_79b9_7f4a_7c15 ^ u64::from(version4));
        let hash = wide as u64 ^ (wide >> 64) as u64;
        let first = (hash as usize & (self.places.len() / WAYS - 1)) * WAYS;
        self.places.get(first..first + WAYS).unwrap_or_default()
    }
}

/// The right to write.
pub(super) struct Writer<'a> {
    table: &'a Table,
    _alone: MutexGuard<'a, ()>,
}

impl Writer<'_> {
    /// Puts an entry in place of that of its destination, of one that is dead, or of the oldest.
    pub(super) fn store(&self, entry: Entry, until: Instant, is_dead: impl Fn(&Entry) -> bool) {
        let set = self.table.set(entry.dst, entry.version4);
        let age = |known: &Entry| match () {
            () if known.is_for(entry.dst, entry.version4) => 0,
            () if known.mtu == 0 || is_dead(known) => 1,
            () => known.learned.0.saturating_add(2),
        };
        let Some(place) = set.iter().min_by_key(|place| age(&place.read())) else { return };
        place.write(entry);
        self.table.holds_until.fetch_max(until.0, Ordering::Relaxed);
    }
}

impl Entry {
    const fn is_for(&self, dst: u128, version4: bool) -> bool {
        self.mtu != 0 && self.dst == dst && self.version4 == version4
    }
}

#[derive(Debug, Default)]
struct Place {
    version: AtomicU32,
    /// The MTU, and above it whether the destination is IPv4.
    mtu: AtomicU32,
    /// The high and the low half.
    dst: (AtomicU64, AtomicU64),
    learned: AtomicU64,
}

const IS_V4: u32 = 1 << 16;

impl Place {
    fn read(&self) -> Entry {
        for _ in 0..LOOKS {
            let before = self.version.load(Ordering::Acquire);
            let mtu = self.mtu.load(Ordering::Relaxed);
            let (high, low) = (self.dst.0.load(Ordering::Relaxed), self.dst.1.load(Ordering::Relaxed));
            let learned = self.learned.load(Ordering::Relaxed);
            // What was read above is not read after the version below.
            fence(Ordering::Acquire);
            if before.is_multiple_of(2) && self.version.load(Ordering::Relaxed) == before {
                let dst = u128::from(high) << 64 | u128::from(low);
                return Entry { dst, version4: mtu & IS_V4 != 0, mtu: mtu as u16, learned: Instant(learned) };
            }
            std::hint::spin_loop();
        }
        Entry { dst: 0, version4: false, mtu: 0, learned: Instant::ZERO }
    }

    /// Writes the place; only whoever holds the lock of the table may.
    fn write(&self, entry: Entry) {
        let version = self.version.load(Ordering::Relaxed);
        self.version.store(version.wrapping_add(1), Ordering::Relaxed);
        // What is written below is not written before the version above.
        fence(Ordering::Release);
        self.mtu.store(u32::from(entry.mtu) | if entry.version4 { IS_V4 } else { 0 }, Ordering::Relaxed);
        self.dst.0.store((entry.dst >> 64) as u64, Ordering::Relaxed);
        self.dst.1.store(entry.dst as u64, Ordering::Relaxed);
        self.learned.store(entry.learned.0, Ordering::Relaxed);
        self.version.store(version.wrapping_add(2), Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_sees_half_an_entry_while_it_is_written() {
        let place = Place::default();
        let of = |n: u64| Entry {
            dst: u128::from(n) << 64 | u128::from(n),
            version4: n.is_multiple_of(2),
            mtu: (n % 60_000) as u16 + 1,
            learned: Instant(n),
        };
        place.write(of(0));
        std::thread::scope(|scope| {
            let reader = || {
                let mut last = 0;
                while last < 20_000 {
                    let seen = place.read();
                    // Empty: the writer was stopped in the middle of it.
                    if seen.mtu != 0 {
                        assert_eq!(seen, of(seen.learned.0));
                        assert!(seen.learned.0 >= last);
                        last = seen.learned.0;
                    }
                }
            };
            scope.spawn(reader);
            scope.spawn(reader);
            (1..=20_000).for_each(|n| place.write(of(n)));
        });
    }

    #[test]
    fn the_own_place_is_taken_first_then_a_dead_one_then_the_oldest() {
        let table = Table::new(WAYS, 5);
        let entry = |dst, secs| Entry { dst, version4: true, mtu: 1_400, learned: Instant::from_secs(secs) };
        let held = || {
            let mut held: Vec<(u128, u64)> = table.entries().map(|e| (e.dst, e.learned.as_secs())).collect();
            held.sort_unstable();
            held
        };
        let store = |dst, secs, dead| {
            table.write().store(entry(dst, secs), Instant::from_secs(secs + 600), |entry| entry.dst == dead);
        };
        for (dst, secs) in [(1, 10), (2, 5), (3, 20), (4, 7), (1, 30)] {
            store(dst, secs, 0);
        }
        assert_eq!(held(), [(1, 30), (2, 5), (3, 20), (4, 7)]);
        store(5, 40, 3);
        assert_eq!(held(), [(1, 30), (2, 5), (4, 7), (5, 40)]);
        store(6, 41, 0);
        assert_eq!(held(), [(1, 30), (4, 7), (5, 40), (6, 41)]);
        assert_eq!(table.holds_until(), Instant::from_secs(641));
        assert_eq!(table.find(4, true), Some(entry(4, 7)));
        assert_eq!((table.find(4, false), table.find(2, true)), (None, None));
    }
}
