//! How a case is ended from outside: when the run is stopped, and when the case takes too long.

use std::panic::resume_unwind;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

/// Says why a case was ended from outside.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Break {
    /// The run was stopped.
    Stopped,
    /// The case took longer than it may.
    Overdue,
    /// The subject ended by itself, in a way that is not an orderly end.
    Died,
}

/// Is asked by a world whenever it lets time pass.
#[derive(Clone, Copy, Debug)]
pub struct Watch<'a> {
    stop: &'a AtomicBool,
    until: Instant,
}

impl<'a> Watch<'a> {
    /// Makes a watch that ends a case when `stop` is set or `until` has come.
    #[must_use]
    pub const fn new(stop: &'a AtomicBool, until: Instant) -> Self {
        Self { stop, until }
    }

    /// Comes back only as long as the case may go on; otherwise it unwinds to the scheduler with a [`Break`], past a
    /// case that may be deep inside its helpers. Panic hooks are not called.
    pub fn check(&self) {
        if self.stop.load(Ordering::Relaxed) {
            resume_unwind(Box::new(Break::Stopped));
        }
        if Instant::now() >= self.until {
            resume_unwind(Box::new(Break::Overdue));
        }
    }

    /// Ends the case because its subject has died: whatever it waits for will not come.
    pub fn died(&self) -> ! {
        resume_unwind(Box::new(Break::Died))
    }
}
