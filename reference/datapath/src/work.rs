//! What the stages of one burst hand to each other: a few numbers for each packet of the batch.

use arrayvec::ArrayVec;

use crate::packet::{BATCH, EXTRA};

/// The packet is not the business of any SA.
pub(crate) const NO_SA: u16 = u16::MAX;

/// SAs that one burst may touch; packets of further ones are dropped for want of a place.
pub(crate) const SAS_PER_ROUND: usize = BATCH;

/// SAs, each with the number of its packets.
pub(crate) type Used = ArrayVec<(u16, u16), SAS_PER_ROUND>;

/// Notes about the packets of a burst, by their position in the batch.
#[derive(Debug)]
pub(crate) struct Work {
    /// The SA that protects or opens the packet.
    pub(crate) sa_of: Vec<u16>,
    /// Where ESP begins in a packet from the WAN.
    pub(crate) esp_at: Vec<u16>,
    /// The whole sequence number of a packet from the WAN, where numbers are checked or extended.
    pub(crate) number: Vec<u64>,
    /// Positions of the packets that the quick way has left to the long way.
    pub(crate) rest: Vec<u16>,
    /// The SAs in use, with the number of their packets.
    pub(crate) used: Used,
    /// Whether ESP packets have to be cut when they are sealed.
    pub(crate) cut_after: bool,
}

impl Work {
    pub(crate) fn new() -> Self {
        let room = BATCH + EXTRA;
        Self {
            sa_of: Vec::with_capacity(room),
            esp_at: Vec::with_capacity(room),
            number: Vec::with_capacity(room),
            rest: Vec::with_capacity(room),
            used: ArrayVec::new(),
            cut_after: false,
        }
    }

    /// Begins a burst of `packets` packets.
    #[inline]
    pub(crate) fn begin(&mut self, packets: usize) {
        self.sa_of.clear();
        self.sa_of.resize(packets, NO_SA);
        self.esp_at.clear();
        self.esp_at.resize(packets, 0);
        self.number.clear();
        self.number.resize(packets, 0);
        self.rest.clear();
        self.used.clear();
        self.cut_after = false;
    }

    /// Gives a packet to an SA; `false` when the burst touches too many SAs.
    #[inline(always)]
    pub(crate) fn assign(&mut self, index: usize, sa: u16) -> bool {
        if index >= self.sa_of.len() {
            // A piece or an error that was appended.
            self.sa_of.resize(index + 1, NO_SA);
            self.esp_at.resize(index + 1, 0);
            self.number.resize(index + 1, 0);
        }
        let Some((_, count)) = place_of(&mut self.used, sa).and_then(|at| self.used.get_mut(at)) else { return false };
        *count += 1;
        // The vector was made long enough above.
        self.sa_of[index] = sa;
        true
    }
}

/// Finds or makes the place of an SA among those of a burst; nothing when the burst touches too many.
pub(crate) fn place_of(used: &mut Used, sa: u16) -> Option<usize> {
    let known = used.iter().rposition(|(known, _)| *known == sa);
    known.or_else(|| used.try_push((sa, 0)).ok().map(|()| used.len() - 1))
}
