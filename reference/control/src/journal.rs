//! What a machine has to tell until somebody takes it, and how often it refused something.

use std::borrow::Cow;
use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;

use hallmark_core::{Code, Instant};

use crate::event::{Event, EventKind, Kept};

/// Keeps events in their order, no more than a limit of them, and counts refusals by their codes.
pub(crate) struct Journal {
    events: VecDeque<Event>,
    limit: usize,
    rejections: BTreeMap<&'static str, u64>,
    dropped: u64,
}

impl Journal {
    /// Starts empty; `limit` is how many events wait at most.
    pub(crate) const fn new(limit: usize) -> Self {
        Self { events: VecDeque::new(), limit, rejections: BTreeMap::new(), dropped: 0 }
    }

    /// Keeps an event. The oldest makes room where nobody took enough of them.
    pub(crate) fn tell(&mut self, at: Instant, peer: Option<SocketAddr>, kind: EventKind) {
        if self.events.len() >= self.limit {
            self.events.pop_front();
            self.dropped += 1;
        }
        self.events.push_back(Event { at, peer, kind });
    }

    /// Counts a refusal and keeps its event.
    pub(crate) fn reject(
        &mut self,
        at: Instant,
        peer: Option<SocketAddr>,
        code: Code,
        detail: impl Into<Cow<'static, str>>,
        effect: Kept,
    ) {
        self.count(code);
        self.tell(at, peer, EventKind::Rejected { code, detail: detail.into(), effect });
    }

    /// Counts a refusal that has an event of its own; gives how many there were of its kind.
    pub(crate) fn count(&mut self, code: Code) -> u64 {
        let count = self.rejections.entry(code.as_str()).or_insert(0);
        *count += 1;
        *count
    }

    /// Gives the next event.
    pub(crate) fn take(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// Gives the refusals by code.
    pub(crate) const fn rejections(&self) -> &BTreeMap<&'static str, u64> {
        &self.rejections
    }

    /// Counts the events that nobody took in time.
    pub(crate) const fn dropped(&self) -> u64 {
        self.dropped
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::code;

    #[test]
    fn the_oldest_event_makes_room_and_every_refusal_counts() {
        let mut journal = Journal::new(2);
        for secs in 1..=3 {
            journal.reject(Instant::from_secs(secs), None, code::DEAF, "", Kept::StateKept);
        }
        assert_eq!(journal.count(code::DEAF), 4);
        assert_eq!(journal.rejections().get(code::DEAF.as_str()), Some(&4));
        let times: Vec<Instant> = std::iter::from_fn(|| journal.take()).map(|event| event.at).collect();
        assert_eq!(times, [Instant::from_secs(2), Instant::from_secs(3)]);
        assert_eq!(journal.dropped(), 1);
    }
}
