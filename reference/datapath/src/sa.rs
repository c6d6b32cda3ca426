//! The SAs of one worker, and what the workers share of them.

use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use hallmark_core::Instant;
use hallmark_crypto::Secret;
use hallmark_crypto::esp::{Backend, EspKey, Transform};

use crate::behaviour::{Behaviour, Defect};
use crate::classifier::number;
use crate::pmtu::Fit;
use crate::policy::{Sa, Scope};
use crate::replay::Window;
use crate::resync::Suspicion;
use crate::sender::SendCounter;
use crate::status::Count;
use crate::vectors::{KeyMemory, Vectors};

/// SAs that outlive their place in the policy are remembered until they end, so that one that comes back goes on with
/// its numbers and its window. At most so many.
const REMEMBERED: usize = 4096;

/// What all workers share of one SA: the key, the count of packets sent, the window of packets received.
///
/// The locks are taken once for a burst at most, never for a packet.
#[derive(Debug)]
pub(crate) struct SharedSa {
    spi: u32,
    transform: Transform,
    encryption_key: Secret,
    integrity_key: Secret,
    pub(crate) key: EspKey,
    /// The sequence numbers.
    pub(crate) counter: SendCounter,
    /// The initialisation vectors, where they are counted; other SAs with the same key share them.
    pub(crate) vectors: Option<Arc<Vectors>>,
    pub(crate) window: Mutex<Window>,
    /// Latest end that any policy gave it, in nanoseconds.
    ends: AtomicU64,
}

impl SharedSa {
    /// Gives the number of the last vector; 0 where they are not counted.
    pub(crate) fn last_vector(&self) -> u64 {
        self.vectors.as_ref().map_or(0, |vectors| vectors.counter.last())
    }

    /// Shows the encryption key to a defect that decrypts without it being right.
    pub(crate) fn encryption_key(&self) -> &[u8] {
        self.encryption_key.expose()
    }

    fn is(&self, sa: &Sa) -> bool {
        self.spi == sa.spi
            && self.transform == sa.transform
            && self.encryption_key == sa.encryption_key
            && self.integrity_key == sa.integrity_key
    }
}

/// Everything that workers share.
#[derive(Debug)]
pub(crate) struct Shared {
    /// What one defect uses for all SAs.
    pub(crate) common: SendCounter,
    known: Mutex<Known>,
}

#[derive(Debug)]
struct Known {
    sas: Vec<Arc<SharedSa>>,
    keys: KeyMemory,
}

impl Shared {
    /// Makes room for the vectors of so many keys.
    pub(crate) fn new(keys: usize) -> Self {
        let known = Known { sas: Vec::new(), keys: KeyMemory::new(keys) };
        Self { common: SendCounter::default(), known: Mutex::new(known) }
    }

    /// Counts the keys whose vectors are remembered.
    pub(crate) fn keys(&self) -> usize {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).keys.len()
    }

    /// Finds or makes the shared part of an SA. The error says why its keys cannot be used.
    pub(crate) fn get(
        &self,
        now: Instant,
        sa: &Sa,
        backend: Backend,
        behaviour: &Behaviour,
    ) -> Result<Arc<SharedSa>, &'static str> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let Known { sas, keys } = &mut *known;
        let forgets = behaviour.has(Defect::IvForgottenWithTheSa);
        let lasts = |known: &SharedSa| known.ends.load(Ordering::Relaxed) > now.0 && !forgets;
        sas.retain(|known| Arc::strong_count(known) > 1 || lasts(known));
        if let Some(known) = sas.iter().find(|known| known.is(sa)) {
            known.ends.fetch_max(sa.ends.0, Ordering::Relaxed);
            return Ok(Arc::clone(known));
        }
        let key = EspKey::new(sa.transform, sa.encryption_key.expose(), sa.integrity_key.expose(), backend)
            .map_err(|error| error.code().as_str())?;
        if sas.len() >= REMEMBERED {
            let unused = sas.iter().enumerate().filter(|(_, known)| Arc::strong_count(known) == 1);
            let oldest = unused.min_by_key(|(_, known)| known.ends.load(Ordering::Relaxed)).map(|(index, _)| index);
            match oldest {
                Some(index) => drop(sas.swap_remove(index)),
                None => return Err("too many SAs"),
            }
        }
        let shared = Arc::new(SharedSa {
            spi: sa.spi,
            transform: sa.transform,
            encryption_key: sa.encryption_key.clone(),
            integrity_key: sa.integrity_key.clone(),
            key,
            counter: SendCounter::default(),
            vectors: keys.vectors(sa, behaviour),
            window: Mutex::default(),
            ends: AtomicU64::new(sa.ends.0),
        });
        sas.push(Arc::clone(&shared));
        Ok(shared)
    }
}

/// One SA as a worker uses it.
#[derive(Debug)]
pub(crate) struct LiveSa {
    pub(crate) sa: Sa,
    pub(crate) shared: Arc<SharedSa>,
    pub(crate) slot: u16,
    /// What fits on the own link, for IPv4 and IPv6.
    pub(crate) fits: (Fit, Fit),
    /// The round of the count of vectors and their leftmost bits; nothing before the first packet of the policy.
    pub(crate) round: Option<(u64, u64)>,
    /// The last sequence number and the number of the last vector when the policy was applied; only defects look at them.
    pub(crate) base: (u64, u64),
    pub(crate) counts: SaCounts,
    /// Failures of packets with extended sequence numbers.
    pub(crate) suspicion: Suspicion,
}

/// What a worker counts of one SA.
#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct SaCounts {
    pub(crate) sealed: Count,
    pub(crate) opened: Count,
    pub(crate) send_errors: u64,
    pub(crate) receive_errors: u64,
    pub(crate) mac_errors: u64,
    pub(crate) replay_errors: u64,
}

impl LiveSa {
    /// Tells whether it may be used at all.
    pub(crate) fn is_alive(&self, now: Instant) -> bool {
        now < self.sa.ends
    }
}

const EMPTY: u16 = u16::MAX;

/// Finds SAs by SPI in a flat table (RFC 4303 §2.1).
#[derive(Debug, Default)]
pub(crate) struct SaTable {
    pub(crate) list: Vec<LiveSa>,
    places: Vec<u16>,
    /// Whether any SA looks at addresses.
    scoped: bool,
}

impl SaTable {
    pub(crate) fn new(list: Vec<LiveSa>) -> Self {
        let len = (list.len() * 4).next_power_of_two().max(16);
        let mut places = vec![EMPTY; len];
        for (index, live) in list.iter().enumerate() {
            let mut at = place(live.sa.spi, len);
            // The table is four times as large as the list.
            while places.get(at).is_some_and(|&taken| taken != EMPTY) {
                at = (at + 1) & (len - 1);
            }
            if let Some(free) = places.get_mut(at) {
                *free = index as u16;
            }
        }
        let scoped = list.iter().any(|live| live.sa.scope != Scope::Spi);
        Self { list, places, scoped }
    }

    #[inline]
    pub(crate) fn get(&self, index: u16) -> Option<&LiveSa> {
        self.list.get(usize::from(index))
    }

    #[inline]
    pub(crate) fn get_mut(&mut self, index: u16) -> Option<&mut LiveSa> {
        self.list.get_mut(usize::from(index))
    }

    /// Tells whether any SA looks at addresses besides its SPI.
    pub(crate) const fn is_scoped(&self) -> bool {
        self.scoped
    }

    /// Tells whether any SA has the SPI.
    pub(crate) fn has_spi(&self, spi: u32) -> bool {
        self.chain(spi).next().is_some()
    }

    /// Finds the SA of a packet: by SPI with both addresses, then with the destination, then alone.
    // REQ ESP-033 REQ ESP-034
    #[inline]
    pub(crate) fn find(&self, spi: u32, src: u128, dst: u128, version4: bool) -> Option<u16> {
        let mut chain = self.chain(spi);
        if !self.scoped {
            return chain.next();
        }
        let same = |address: IpAddr, wanted: u128| address.is_ipv4() == version4 && number(address) == wanted;
        let rank = |index: u16| match self.get(index)?.sa.scope {
            Scope::Spi => Some(0),
            Scope::Destination(to) => same(to, dst).then_some(1),
            Scope::SourceDestination(from, to) => (same(from, src) && same(to, dst)).then_some(2),
        };
        chain.filter_map(|index| Some((rank(index)?, index))).max_by_key(|&(rank, _)| rank).map(|(_, index)| index)
    }

    #[inline]
    fn chain(&self, spi: u32) -> impl Iterator<Item = u16> + '_ {
        let len = self.places.len();
        let first = if len == 0 { 0 } else { place(spi, len) };
        (0..len)
            .map_while(move |step| {
                self.places.get((first + step) & len.wrapping_sub(1)).copied().filter(|&index| index != EMPTY)
            })
            .filter(move |&index| self.get(index).is_some_and(|live| live.sa.spi == spi))
    }
}

/// SPIs are chosen by key servers: a multiplication spreads those that differ in the low or high bits only.
const fn place(spi: u32, len: usize) -> usize {
    (spi.wrapping_mul(0x9e37_79b1) >> 8) as usize & (len - 1)
}
