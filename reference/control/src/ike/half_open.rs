//! Bounds on exchanges that someone started with us and has not finished.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use hallmark_core::{Instant, Limits};

use super::sa::SaId;

/// Key exchanges that a source may leave unfinished before it has to wait, and how fast it gets new ones.
const WORK_BURST: f64 = 128.0;
const WORK_PER_SEC: f64 = 32.0;
/// Time between two clear notifies to one source, in seconds.
const NOTIFY_GAP: u64 = 1;
/// Sources that are remembered without a half-open exchange.
const IDLE_SOURCES: usize = 4_096;

/// Counts half-open exchanges and the work that each source causes.
#[derive(Debug, Default)]
pub(super) struct HalfOpen {
    /// Before message 3: the source address may be spoofed.
    waiting: BTreeSet<SaId>,
    /// After message 3.
    keyed: BTreeSet<SaId>,
    sources: BTreeMap<IpAddr, Source>,
}

#[derive(Debug)]
struct Source {
    waiting: BTreeSet<SaId>,
    keyed: BTreeSet<SaId>,
    work: f64,
    refilled: Instant,
    notified: Option<Instant>,
}

impl HalfOpen {
    pub(super) fn len(&self) -> usize {
        self.waiting.len().saturating_add(self.keyed.len())
    }

    /// Names the exchange that has to go before another one from `source` fits, if one has to.
    pub(super) fn evict(&self, source: IpAddr, limits: &Limits) -> Option<SaId> {
        // REQ IKE-DOS-001: first the ones that never showed our cookie, then the oldest.
        let mine = self.sources.get(&source);
        if let Some(mine) = mine.filter(|s| s.waiting.len() + s.keyed.len() >= limits.half_open_per_source.max(1)) {
            return mine.waiting.first().or(mine.keyed.first()).copied();
        }
        if self.len() >= limits.half_open.max(1) {
            return self.waiting.first().or(self.keyed.first()).copied();
        }
        None
    }

    pub(super) fn enter(&mut self, id: SaId, source: IpAddr, now: Instant) {
        self.waiting.insert(id);
        self.source(source, now).waiting.insert(id);
    }

    /// Spends one key exchange; false when the source has to wait.
    pub(super) fn spend(&mut self, id: SaId, source: IpAddr, now: Instant) -> bool {
        let entry = self.source(source, now);
        let gained = now.saturating_since(entry.refilled).as_secs_f64() * WORK_PER_SEC;
        entry.work = (entry.work + gained).min(WORK_BURST);
        entry.refilled = now;
        // REQ IKE-DOS-003
        if entry.work < 1.0 {
            return false;
        }
        entry.work -= 1.0;
        if entry.waiting.remove(&id) {
            entry.keyed.insert(id);
        }
        if self.waiting.remove(&id) {
            self.keyed.insert(id);
        }
        true
    }

    /// Takes an exchange out; a finished one gives its work back.
    pub(super) fn leave(&mut self, id: SaId, source: IpAddr, completed: bool) {
        self.waiting.remove(&id);
        self.keyed.remove(&id);
        if let Some(entry) = self.sources.get_mut(&source) {
            entry.waiting.remove(&id);
            entry.keyed.remove(&id);
            if completed {
                entry.work = (entry.work + 1.0).min(WORK_BURST);
            }
            if entry.waiting.is_empty()
                && entry.keyed.is_empty()
                && entry.work >= WORK_BURST
                && entry.notified.is_none()
            {
                self.sources.remove(&source);
            }
        }
    }

    /// Tells whether a clear notify may go to a source now (IKE-INF-007).
    pub(super) fn may_notify(&mut self, source: IpAddr, now: Instant) -> bool {
        let entry = self.source(source, now);
        let due = entry.notified.is_none_or(|at| now.saturating_since(at).as_secs() >= NOTIFY_GAP);
        if due {
            entry.notified = Some(now);
        }
        due
    }

    fn source(&mut self, source: IpAddr, now: Instant) -> &mut Source {
        if self.sources.len() >= IDLE_SOURCES.saturating_add(self.len()) {
            self.sources.retain(|_, s| !s.waiting.is_empty() || !s.keyed.is_empty());
        }
        self.sources.entry(source).or_insert_with(|| Source {
            waiting: BTreeSet::new(),
            keyed: BTreeSet::new(),
            work: WORK_BURST,
            refilled: now,
            notified: None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 1));
    const B: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 2));

    #[test]
    fn the_oldest_exchange_without_our_cookie_goes_first() {
        let limits = Limits { half_open: 3, half_open_per_source: 2, ..Limits::default() };
        let mut table = HalfOpen::default();
        let now = Instant::from_secs(1);
        table.enter(SaId(1), A, now);
        table.enter(SaId(2), A, now);
        assert!(table.spend(SaId(1), A, now));
        assert_eq!(table.evict(A, &limits), Some(SaId(2)));
        assert_eq!(table.evict(B, &limits), None);
        table.enter(SaId(3), B, now);
        assert_eq!(table.evict(B, &limits), Some(SaId(2)));
        table.leave(SaId(2), A, false);
        assert_eq!((table.len(), table.evict(A, &limits)), (2, None));
    }

    #[test]
    fn unfinished_key_exchanges_use_up_a_source_and_finished_ones_do_not() {
        let mut table = HalfOpen::default();
        let now = Instant::from_secs(1);
        let mut served = 0;
        for n in 0..200 {
            table.enter(SaId(n), A, now);
            served += u32::from(table.spend(SaId(n), A, now));
            table.leave(SaId(n), A, false);
        }
        assert_eq!(served, 128);
        assert!(table.spend(SaId(900), A, now + std::time::Duration::from_secs(1)));
        for n in 1000..1200 {
            table.enter(SaId(n), B, now);
            assert!(table.spend(SaId(n), B, now));
            table.leave(SaId(n), B, true);
        }
    }
}
