//! Flows: what the policy says about a packet, remembered by one worker, with a record of what passed.

use hallmark_core::Instant;

use crate::classifier::FlowKey;
use crate::packet::Side;
use crate::reason::Reason;
use crate::status::{Count, FlowStatus};

/// No rule matched.
pub(crate) const NO_RULE: u32 = u32::MAX;

/// Says which question about a packet is answered.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Question {
    /// What to do with a packet from the LAN.
    Out,
    /// What to do with a clear packet from the WAN.
    ClearIn,
    /// What an opened packet is permitted by.
    Opened,
}

/// Answers it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Decision {
    /// Pass as it is.
    Clear,
    /// Protect with the SA that is active in this slot; from the WAN: it should have been.
    Protect(u16),
    /// Drop.
    Drop(Reason),
}

/// One remembered flow.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Flow {
    key: FlowKey,
    question: Question,
    generation: u32,
    pub(crate) decision: Decision,
    pub(crate) rule: u32,
    pub(crate) spi: u32,
    pub(crate) count: Count,
    last: Instant,
}

/// Remembers flows in a table of fixed size: each has one place, a newer one takes it from an older one.
///
/// A hit compares the whole key, so a wrong answer is impossible. A sender who makes keys meet only brings everybody
/// back to the full lookup.
#[derive(Debug)]
pub(crate) struct Flows {
    entries: Vec<Flow>,
    seed: u64,
    generation: u32,
}

const EMPTY: Flow = Flow {
    key: FlowKey {
        src: 0,
        dst: 0,
        src_port: 0,
        dst_port: 0,
        protocol: 0,
        version4: false,
        has_ports: false,
        fragment: false,
    },
    question: Question::Out,
    generation: 0,
    decision: Decision::Clear,
    rule: NO_RULE,
    spi: 0,
    count: Count { packets: 0, octets: 0 },
    last: Instant::ZERO,
};

impl Flows {
    /// Makes a table of `entries` places, rounded up to a power of two. `seed` is to be secret.
    pub(crate) fn new(entries: usize, seed: u64) -> Self {
        Self { entries: vec![EMPTY; entries.clamp(1, 1 << 24).next_power_of_two()], seed, generation: 1 }
    }

    /// Forgets every answer, and keeps the records: to be called when the policy changes.
    pub(crate) fn invalidate(&mut self) {
        self.generation = self.generation.wrapping_add(1);
        if self.generation == 0 {
            self.entries.fill(EMPTY);
            self.generation = 1;
        }
    }

    /// Gives the flow of a packet; `decide` is asked when its answer is not known.
    #[inline]
    pub(crate) fn find(
        &mut self,
        now: Instant,
        question: Question,
        key: &FlowKey,
        decide: impl FnOnce(&FlowKey) -> (Decision, u32),
    ) -> &mut Flow {
        let place = (key.hash(self.seed) as usize).wrapping_add(question as usize) & (self.entries.len() - 1);
        // The mask keeps the place inside the table.
        let flow = &mut self.entries[place];
        if flow.generation != self.generation || flow.question != question || flow.key != *key {
            let known = flow.generation != 0 && flow.question == question && flow.key == *key;
            let (count, spi) = if known { (flow.count, flow.spi) } else { (Count::default(), 0) };
            let (decision, rule) = decide(key);
            *flow = Flow { key: *key, question, generation: self.generation, decision, rule, spi, count, last: now };
        }
        flow.last = now;
        flow
    }

    /// Shows the busiest flows.
    pub(crate) fn status(&self, most: usize) -> Vec<FlowStatus> {
        let mut flows: Vec<&Flow> = self.entries.iter().filter(|flow| flow.count.packets > 0).collect();
        flows.sort_by_key(|flow| std::cmp::Reverse((flow.count.packets, flow.count.octets)));
        flows.truncate(most);
        flows.into_iter().map(Flow::status).collect()
    }
}

impl Flow {
    fn status(&self) -> FlowStatus {
        FlowStatus {
            from: if self.question == Question::Out { Side::Lan } else { Side::Wan },
            src: self.key.src_addr(),
            dst: self.key.dst_addr(),
            protocol: self.key.protocol,
            src_port: self.key.src_port,
            dst_port: self.key.dst_port,
            decision: match (self.question, self.decision) {
                (Question::Opened, _) => "opened",
                (Question::Out, Decision::Protect(_)) => "protected",
                (_, Decision::Clear) => "clear",
                _ => "refused",
            },
            spi: (self.spi != 0).then_some(self.spi),
            count: self.count,
            last: self.last,
        }
    }
}
