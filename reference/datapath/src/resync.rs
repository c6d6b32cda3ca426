//! Finding extended sequence numbers again after a loss of 2^32 packets or more (RFC 4303 appendix A3).
//!
//! The high half of such a number is not sent. A receiver that has missed a whole round of the low half takes every
//! packet for one of the round before, and finds every ICV wrong from then on. So when many packets in a row have
//! failed, one is kept as it came and tried with the next higher halves: one try at a time, between bursts, so many at
//! most, and not soon again. A packet that passes shows where the sender is; it is not delivered.

use std::sync::{Arc, PoisonError};

use hallmark_core::{Duration, Instant, Now};

use crate::behaviour::Defect;
use crate::config::EsnResync;
use crate::datapath::Datapath;
use crate::event::EventKind;
use crate::packet::{Batch, Fate};
use crate::reason::Reason;
use crate::sa::SharedSa;

/// Time between two tries.
const TURN: Duration = Duration::from_millis(1);
/// Longest ESP packet.
const LONGEST: usize = 65_535;

/// What a worker remembers of failures under one SA.
#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct Suspicion {
    /// ICVs that were wrong since the window last moved.
    failures: u32,
    /// The highest number of the window at that time.
    top: u64,
    /// When the next attempt may begin.
    not_before: Instant,
}

/// The one attempt that a worker makes at a time.
#[derive(Debug, Default)]
pub(crate) struct Resync {
    kept: Vec<u8>,
    /// A try destroys what it is made on.
    copy: Vec<u8>,
    attempt: Option<Attempt>,
}

#[derive(Debug)]
struct Attempt {
    spi: u32,
    shared: Arc<SharedSa>,
    low: u32,
    /// The high half that was tried last.
    high: u32,
    left: u32,
    next_try: Instant,
}

impl Resync {
    /// Makes room for a packet, before any needs it.
    pub(crate) fn prepare(&mut self) {
        self.kept.reserve_exact(LONGEST.saturating_sub(self.kept.len()));
        self.copy.reserve_exact(LONGEST.saturating_sub(self.copy.len()));
    }

    /// Tells when the next try is due.
    pub(crate) fn next_try(&self) -> Option<Instant> {
        self.attempt.as_ref().map(|attempt| attempt.next_try)
    }
}

impl Datapath {
    /// Keeps the first packet that a burst has for an SA, where so many have failed that one is to be tried; gives its
    /// place.
    #[inline]
    pub(crate) fn keep_suspect(&mut self, now: Now, sa: u16, batch: &Batch) -> Option<usize> {
        let EsnResync { after, .. } = self.config.esn_resync;
        let suspicion = self.sas.get(sa)?.suspicion;
        if after == 0 || suspicion.failures < after || now.mono < suspicion.not_before || self.resync.attempt.is_some()
        {
            return None;
        }
        let candidates = self.work.sa_of.iter().zip(&batch.packets);
        let index = candidates.into_iter().position(|(of, packet)| *of == sa && packet.fate == Fate::Pending)?;
        let esp_at = self.work.esp_at.get(index).copied().map(usize::from)?;
        let esp = batch.packets.get(index)?.ip().get(esp_at..)?;
        self.resync.kept.clear();
        self.resync.kept.extend_from_slice(esp);
        Some(index)
    }

    /// Counts what has failed in a burst, and begins an attempt with the packet that was kept if it is among that.
    pub(crate) fn note_failures(&mut self, now: Now, sa: u16, failed: usize, kept: Option<usize>, batch: &Batch) {
        let EsnResync { ahead, interval, .. } = self.config.esn_resync;
        let Some(live) = self.sas.get_mut(sa) else { return };
        let top = live.shared.window.lock().unwrap_or_else(PoisonError::into_inner).top();
        let suspicion = &mut live.suspicion;
        if suspicion.top != top {
            // A genuine packet has come since, to this worker or another.
            (suspicion.top, suspicion.failures) = (top, 0);
        }
        suspicion.failures = suspicion.failures.saturating_add(u32::try_from(failed).unwrap_or(u32::MAX));
        let Some(index) = kept else { return };
        let packet = batch.packets.get(index).map(|packet| packet.fate);
        if packet != Some(Fate::Dropped(Reason::BadIcv)) || self.config.behaviour.has(Defect::EsnNeverResynchronised) {
            return;
        }
        (suspicion.failures, suspicion.not_before) = (0, now.mono + interval);
        let number = self.work.number.get(index).copied().unwrap_or_default();
        self.resync.attempt = Some(Attempt {
            spi: live.sa.spi,
            shared: Arc::clone(&live.shared),
            low: number as u32,
            high: (number >> 32) as u32,
            left: ahead,
            next_try: now.mono + TURN,
        });
    }

    /// Makes the next try.
    // REQ ESP-064
    pub(crate) fn try_resync(&mut self, now: Now) {
        let Resync { kept, copy, attempt } = &mut self.resync;
        let Some(trying) = attempt.as_mut().filter(|trying| trying.next_try <= now.mono) else { return };
        let next = trying.high.checked_add(1).filter(|_| trying.left > 0);
        let Some(high) = next else {
            *attempt = None;
            return;
        };
        (trying.high, trying.left, trying.next_try) = (high, trying.left - 1, now.mono + TURN);
        copy.clear();
        copy.extend_from_slice(kept);
        if trying.shared.key.open(copy, Some(high)).is_err() {
            return;
        }
        let (spi, to) = (trying.spi, u64::from(high) << 32 | u64::from(trying.low));
        let mut window = trying.shared.window.lock().unwrap_or_else(PoisonError::into_inner);
        let from = window.top();
        window.mark(to);
        drop(window);
        *attempt = None;
        self.events.push_always(now.mono, EventKind::SequenceResynchronised { spi, from, to });
    }
}
