//! Sequence numbers on the receiving side: the window of RFC 4303 §3.4.3 and the 64-bit numbers of its appendix A.

/// Widest window that a policy may ask for.
pub const WINDOW_MAX: u16 = 1024;
/// Narrowest one (ESP-056).
pub const WINDOW_MIN: u16 = 32;

/// Words of the ring. It holds twice the widest window, so that clearing whole words in front of the top never touches
/// a number that is still inside.
const WORDS: usize = 32;
const BITS: u64 = WORDS as u64 * 64;

/// Remembers which numbers were received, up to [`WINDOW_MAX`] below the highest.
///
/// The width is given with each question, so that a policy can change it without forgetting anything.
#[derive(Clone, Debug)]
pub struct Window {
    top: u64,
    bits: [u64; WORDS],
}

impl Default for Window {
    fn default() -> Self {
        Self { top: 0, bits: [0; WORDS] }
    }
}

impl Window {
    /// Gives the highest number that was received, 0 before the first.
    #[must_use]
    pub const fn top(&self) -> u64 {
        self.top
    }

    /// Starts from a highest number without memory of those below, as tests and a resynchronisation do.
    #[must_use]
    pub fn starting_at(top: u64) -> Self {
        Self { top, ..Self::default() }
    }

    /// Tells whether a number may be new: in front of the window, or inside and not seen.
    ///
    /// Number 0 is refused, because no sender begins with it.
    #[must_use]
    #[inline]
    pub fn may_accept(&self, number: u64, width: u16) -> bool {
        if number > self.top {
            return true;
        }
        // REQ ESP-058: the lowest acceptable number is top - width + 1.
        number != 0 && self.top - number < u64::from(width) && !self.seen(number)
    }

    /// Marks an authentic number as received; `false`, and no change, when it must not be accepted after all, because
    /// a copy came in between.
    // REQ ESP-059
    #[inline]
    pub fn commit(&mut self, number: u64, width: u16) -> bool {
        if !self.may_accept(number, width) {
            return false;
        }
        self.mark(number);
        true
    }

    /// Marks a number as received whatever the window says, as a receiver does that only tracks the highest.
    pub fn mark(&mut self, number: u64) {
        if number > self.top {
            let (old, new) = (self.top / 64, number / 64);
            if new - old >= WORDS as u64 {
                self.bits = [0; WORDS];
            } else {
                for word in old + 1..=new {
                    if let Some(word) = self.bits.get_mut(word as usize % WORDS) {
                        *word = 0;
                    }
                }
            }
            self.top = number;
        }
        if self.top - number < BITS - 64
            && let Some(word) = self.bits.get_mut((number / 64) as usize % WORDS)
        {
            *word |= 1 << (number % 64);
        }
    }

    /// Tells whether a number inside the memory was received.
    #[must_use]
    pub fn seen(&self, number: u64) -> bool {
        self.bits.get((number / 64) as usize % WORDS).is_some_and(|word| word & 1 << (number % 64) != 0)
    }

    /// Forgets every number but the highest.
    pub(crate) fn forget_below_top(&mut self) {
        self.bits = [0; WORDS];
        self.mark(self.top);
    }

    /// Guesses the 64-bit number of a packet from its low half (RFC 4303 appendix A2.2); nothing when the number would
    /// lie before the first.
    // REQ ESP-062 REQ ESP-063
    #[must_use]
    pub fn extend(&self, low: u32, width: u16) -> Option<u64> {
        let (top_low, top_high) = (self.top as u32, self.top >> 32);
        let span = u32::from(width.max(1)) - 1;
        let bottom_low = top_low.wrapping_sub(span);
        let high = if top_low >= span {
            // The window lies within one round.
            if low >= bottom_low {
                top_high
            } else {
                // The high half has 32 bits as well.
                u64::from(u32::try_from(top_high + 1).ok()?)
            }
        } else if low >= bottom_low {
            // The window reaches back into the round before.
            top_high.checked_sub(1)?
        } else {
            top_high
        };
        Some(high << 32 | u64::from(low))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use hallmark_core::Rng;

    use super::*;

    #[test]
    fn the_window_agrees_with_a_set_of_everything_seen() {
        for (seed, width) in [(1, 32), (2, 64), (3, 100), (4, 128), (5, 1000), (6, 1024)] {
            let mut rng = Rng::from_u64(seed);
            let (mut window, mut seen, mut top) = (Window::default(), BTreeSet::new(), 0u64);
            for _ in 0..20_000 {
                let number = match rng.below(20) {
                    0 => top + rng.below(5_000),
                    1..=8 => top + rng.below(4),
                    _ => top.saturating_sub(rng.below(u64::from(width) + 40)),
                };
                let expected =
                    number > top || number != 0 && top - number < u64::from(width) && !seen.contains(&number);
                assert_eq!(window.may_accept(number, width), expected, "number {number}, top {top}, width {width}");
                assert_eq!(window.commit(number, width), expected);
                if expected {
                    seen.insert(number);
                    top = top.max(number);
                }
                assert_eq!(window.top(), top);
            }
        }
    }

    #[test]
    fn numbers_near_the_end_of_64_bits_do_not_overflow() {
        let mut window = Window::starting_at(u64::MAX - 1);
        assert!(window.commit(u64::MAX, 64));
        assert!(!window.commit(u64::MAX, 64));
        assert!(window.commit(u64::MAX - 63, 64));
        assert!(!window.commit(u64::MAX - 64, 64));
        assert_eq!(Window::starting_at(u64::MAX).extend(3, 64), None);
    }
}
