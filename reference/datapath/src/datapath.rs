//! The pipeline itself.

use hallmark_core::{Instant, Now, Rng};

use crate::config::Config;
use crate::event::{Event, EventQueue};
use crate::packet::{Batch, Fate, Pool, Side};
use crate::policy::Policy;
use crate::status::Status;
use crate::trace::{Captured, Captures, Checkpoint, Trace, TraceFilter};

/// Protects and opens packets for one worker.
#[derive(Debug)]
pub struct Datapath {
    config: Config,
    policy: Policy,
    rng: Rng,
    events: EventQueue,
    captures: Captures,
}

impl Datapath {
    /// Makes a data plane without policy.
    #[must_use]
    pub fn new(config: Config, rng: Rng, _now: Now) -> Self {
        let events = EventQueue::new(config.limits.events, config.event_interval);
        let captures = Captures::new(config.limits.captured);
        Self { config, policy: Policy::default(), rng, events, captures }
    }

    /// Makes the data plane of another worker, which shares sequence numbers, initialisation vectors and replay windows
    /// with this one. Policy has to be applied to each.
    #[must_use]
    pub fn worker(&self, rng: Rng, now: Now) -> Self {
        Self::new(self.config.clone(), rng, now)
    }

    /// Takes over the whole state that the control plane wants. SAs that stay keep their counters and windows.
    pub fn apply(&mut self, _now: Now, policy: &Policy) {
        self.policy = policy.clone();
    }

    /// Gives every packet of a burst its fate. Pieces and ICMP errors are appended to the batch.
    pub fn handle(&mut self, _now: Now, from: Side, batch: &mut Batch, _pool: &mut Pool) {
        for packet in &mut batch.packets {
            packet.fate = Fate::Out(from.other());
        }
    }

    /// Does what is due: drops unfinished packets and forgets learned path MTUs.
    pub fn handle_timeout(&mut self, _now: Now, _pool: &mut Pool) {}

    /// Tells when [`Datapath::handle_timeout`] wants to be called.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        None
    }

    /// Takes the next event.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop()
    }

    /// Shows everything there is to see.
    #[must_use]
    pub fn status(&self, _now: Now) -> Status {
        unreachable!("skeleton")
    }

    /// Traces the next `count` packets that match.
    pub fn trace_next(&mut self, _filter: TraceFilter, _count: u32) {}

    /// Takes the finished traces.
    pub fn take_traces(&mut self) -> Vec<Trace> {
        Vec::new()
    }

    /// Switches capturing at a checkpoint on or off.
    pub fn capture(&mut self, checkpoint: Checkpoint, on: bool) {
        self.captures.switch(checkpoint, on);
    }

    /// Takes what was captured.
    pub fn take_captured(&mut self) -> Vec<Captured> {
        self.captures.take()
    }
}
