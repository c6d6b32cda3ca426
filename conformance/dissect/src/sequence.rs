//! Sequence numbers of PUSH messages, kept per KEK SPI.

use std::collections::{BTreeMap, BTreeSet};

/// The window of implementations that accept late messages.
const LATE_MAX: u32 = 32;

/// Remembers the sequence numbers of every KEK.
#[derive(Default)]
pub(crate) struct Sequences {
    keks: BTreeMap<[u8; 16], Counter>,
}

#[derive(Default)]
struct Counter {
    /// What the key download of a PULL said last.
    floor: Option<u32>,
    highest: Option<u32>,
    seen: BTreeSet<u32>,
    /// The number of the PUSH that delivered the KEK.
    born_of: Option<u32>,
}

/// Says how a number stands to those before it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Judgement {
    /// Larger than every one before.
    Newer(String),
    /// Not larger, but unseen and close enough for a window of 32.
    Late(String),
    /// The first under a new KEK goes on where the old one stopped.
    Continues(String),
    /// Not larger.
    Stale(String),
}

impl Sequences {
    /// Takes the number that a PULL reports for a KEK; says when it is older than what was already sent.
    pub(crate) fn on_pull(&mut self, spi: [u8; 16], number: u32) -> Result<String, String> {
        let counter = self.keks.entry(spi).or_default();
        counter.floor = Some(counter.floor.unwrap_or(0).max(number));
        match counter.highest {
            Some(highest) if number < highest => {
                Err(format!("PULL reports {number}, but PUSH {highest} was already sent under this KEK"))
            }
            _ => Ok(format!("the last number used is {number}")),
        }
    }

    /// Remembers that a PUSH delivered a new KEK.
    pub(crate) fn on_new_kek(&mut self, spi: [u8; 16], delivered_by: u32) {
        self.keks.entry(spi).or_default().born_of.get_or_insert(delivered_by);
    }

    /// Takes the number of a PUSH.
    pub(crate) fn on_push(&mut self, spi: [u8; 16], number: u32) -> Judgement {
        let counter = self.keks.entry(spi).or_default();
        let base = match (counter.highest, counter.floor) {
            (Some(highest), floor) => Some(highest.max(floor.unwrap_or(0))),
            (None, floor) => floor,
        };
        let judgement = match (base, counter.highest, counter.born_of) {
            (Some(base), ..) if number > base => Judgement::Newer(format!("{number} after {base}")),
            (Some(base), ..) => {
                let text = format!("{number} is not above {base}");
                let close = base.saturating_sub(number) < LATE_MAX;
                let late = number != 0 && close && !counter.seen.contains(&number) && number != base;
                if late { Judgement::Late(text) } else { Judgement::Stale(text) }
            }
            (None, None, Some(before)) if number > 1 && number == before.saturating_add(1) => Judgement::Continues(
                format!("{number} is the first under its KEK and continues {before} of the one before"),
            ),
            (None, ..) if number == 0 => Judgement::Stale("0 is never used by a PUSH".to_owned()),
            (None, _, Some(_)) => Judgement::Newer(format!("{number} is the first under its KEK")),
            (None, ..) => Judgement::Newer(format!("{number} is the first that was captured")),
        };
        counter.seen.insert(number);
        counter.highest = Some(counter.highest.unwrap_or(0).max(number));
        judgement
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SPI: [u8; 16] = [1; 16];

    #[test]
    fn numbers_rise_per_kek_from_what_the_pull_reported() {
        let mut sequences = Sequences::default();
        assert!(sequences.on_pull(SPI, 3).is_ok());
        assert!(matches!(sequences.on_push(SPI, 3), Judgement::Stale(_)));
        assert!(matches!(sequences.on_push(SPI, 4), Judgement::Newer(_)));
        assert!(matches!(sequences.on_push(SPI, 9), Judgement::Newer(_)));
        assert!(matches!(sequences.on_push(SPI, 6), Judgement::Late(_)));
        assert!(matches!(sequences.on_push(SPI, 6), Judgement::Stale(_)));
        assert!(matches!(sequences.on_push([2; 16], 1), Judgement::Newer(_)));
        assert!(sequences.on_pull(SPI, 8).is_err());
        assert!(sequences.on_pull(SPI, 9).is_ok());
    }

    #[test]
    fn a_new_kek_starts_at_one_and_continuing_is_told_apart() {
        let mut sequences = Sequences::default();
        sequences.on_new_kek([1; 16], 4);
        assert_eq!(sequences.on_push([1; 16], 1), Judgement::Newer("1 is the first under its KEK".into()));
        sequences.on_new_kek([2; 16], 4);
        assert!(matches!(sequences.on_push([2; 16], 5), Judgement::Continues(_)));
        assert!(matches!(sequences.on_push([2; 16], 6), Judgement::Newer(_)));
        assert!(matches!(sequences.on_push([3; 16], 0), Judgement::Stale(_)));
    }
}
