//! What the scripted key server received.

use hallmark_core::Instant;

use super::AckSeen;
use crate::seen::Seen;
use crate::step::{Fault, Step};

/// Every message that the scripted key server received, in order.
#[derive(Clone, Debug, Default)]
pub struct KsLog {
    /// The messages.
    pub entries: Vec<Seen>,
    /// The acknowledgements among them.
    pub acks: Vec<AckSeen>,
    /// How many phase 1 SAs came up.
    pub established: usize,
    /// How many message 4 of PULL were built.
    pub registrations: usize,
}

impl KsLog {
    /// Gives the messages of a step, repetitions included.
    pub fn of(&self, step: Step) -> impl Iterator<Item = &Seen> {
        self.entries.iter().filter(move |seen| seen.step == step)
    }

    /// Counts the messages of a step, repetitions included.
    #[must_use]
    pub fn count(&self, step: Step) -> usize {
        self.of(step).count()
    }

    /// Gives the last message of a step.
    #[must_use]
    pub fn last(&self, step: Step) -> Option<&Seen> {
        self.entries.iter().rev().find(|seen| seen.step == step)
    }

    /// Gives what arrived from a point of time on.
    pub fn since(&self, at: Instant) -> impl Iterator<Item = &Seen> {
        self.entries.iter().filter(move |seen| seen.at >= at)
    }

    /// Tells whether the peer deleted its phase 1 SA under protection.
    #[must_use]
    pub fn deleted_sa(&self) -> bool {
        let deletes =
            |seen: &&Seen| seen.authentic == Some(true) && seen.deletes().iter().any(|delete| delete.protocol == 1);
        self.of(Step::Informational).any(|seen| deletes(&seen))
    }

    /// Names the message that did not come.
    pub(super) fn missing_since(&self, start: Instant, now: Instant) -> Fault {
        let heard: Vec<&Seen> = self.since(start).collect();
        for seen in &heard {
            if seen.step == Step::Informational
                && let Some(notify) = seen.error_notify()
            {
                let protected = seen.authentic == Some(true);
                return Fault::Refused { step: Step::Pull3, notify, protected };
            }
        }
        let awaited = |step: Step| match step {
            Step::Main1 => Step::Main3,
            Step::Main3 => Step::Main5,
            Step::Main5 => Step::Pull1,
            Step::Aggressive1 => Step::Aggressive3,
            Step::Aggressive3 => Step::Pull1,
            Step::Pull1 => Step::Pull3,
            _ => Step::Main1,
        };
        let last = heard.iter().rev().find(|seen| !matches!(seen.step, Step::Informational | Step::Keepalive));
        if heard.iter().any(|seen| seen.authentic == Some(true) && !seen.deletes().is_empty()) {
            return Fault::Deleted { step: last.map_or(Step::Main1, |seen| awaited(seen.step)) };
        }
        match last {
            Some(seen) if seen.flaw.is_some() || seen.authentic == Some(false) => {
                let what = seen.flaw.clone().unwrap_or_else(|| "it does not verify".to_owned());
                Fault::Broken { step: seen.step, what }
            }
            last => {
                let step = last.map_or(Step::Main1, |seen| awaited(seen.step));
                Fault::Silent { step, waited: now.saturating_since(start) }
            }
        }
    }
}
