//! The status of the data plane.

use std::collections::BTreeMap;
use std::sync::PoisonError;

use hallmark_core::Now;

use crate::datapath::Datapath;
use crate::policy::{Pseudotime, Replay};
use crate::reason::Reason;
use crate::sa::LiveSa;
use crate::status::{CheckpointStatus, KeyStatus, ReplayStatus, SaStatus, Status};

/// Flows that the status lists.
const FLOWS: usize = 256;

impl Datapath {
    /// Shows everything there is to see.
    #[must_use]
    pub fn status(&self, now: Now) -> Status {
        let behaviour = &self.config.behaviour;
        Status {
            state: self.state,
            policy_serial: self.serial,
            direction: self.direction,
            passive: self.config.passive,
            closed: self.stance.unregistered && self.stance.closes,
            totals: self.totals,
            sas: self.sas.list.iter().enumerate().map(|(index, live)| self.sa_status(now, index, live)).collect(),
            keys: KeyStatus { remembered: self.shared.keys(), limit: self.config.limits.keys },
            replay: self.replay_status(now),
            rules: self.tables.status(),
            drops: Reason::ALL
                .iter()
                .zip(self.drops)
                .filter(|(_, count)| *count > 0)
                .map(|(reason, count)| (reason.as_str(), count))
                .collect(),
            dscp: (0..).zip(self.dscp).filter(|(_, count)| *count > 0).collect(),
            reassembly: self.reassembler.status(),
            pmtu: self.path_mtus.status(now.mono, behaviour),
            flows: self.flows.status(FLOWS),
            checkpoints: self.checkpoint_status(),
            events: self.events.totals(),
            reports: self.events.by_name(),
        }
    }

    fn sa_status(&self, now: Now, index: usize, live: &LiveSa) -> SaStatus {
        let sa = &live.sa;
        let counts = live.counts;
        SaStatus {
            spi: sa.spi,
            policy: sa.policy,
            serial: sa.serial,
            transform: sa.transform.to_string(),
            mode: sa.mode,
            backend: live.shared.key.backend().name(),
            sending: self.active.contains(&Some(index as u16)),
            activates_in: sa.activates.saturating_since(now.mono).as_secs_f64(),
            remaining: sa.ends.saturating_since(now.mono).as_secs_f64(),
            sealed: counts.sealed,
            opened: counts.opened,
            send_errors: counts.send_errors,
            receive_errors: counts.receive_errors,
            mac_errors: counts.mac_errors,
            replay_errors: counts.replay_errors,
            sequence: live.shared.counter.last(),
            vectors: live.shared.last_vector(),
            window_top: live.shared.window.lock().unwrap_or_else(PoisonError::into_inner).top(),
        }
    }

    fn replay_status(&self, now: Now) -> ReplayStatus {
        let (method, window) = match self.replay {
            Replay::None => ("none", 0.0),
            Replay::Counter { window } => ("counter", f64::from(window)),
            Replay::Time { window, .. } => ("time", window.as_secs_f64()),
            Replay::D3p { window } => ("d3p", window.as_secs_f64()),
        };
        ReplayStatus {
            method,
            pseudotime: matches!(self.replay, Replay::Time { .. }).then(|| Pseudotime::secs(self.pseudotime(now))),
            window,
            input_packets: self.times.input_packets,
            output_packets: self.times.output_packets,
            input_errors: self.times.input_errors,
            output_errors: 0,
            max_time_delta: Pseudotime::secs(self.times.max_delta),
            history: self.times.history(),
        }
    }

    fn checkpoint_status(&self) -> BTreeMap<&'static str, CheckpointStatus> {
        self.captures.counts().map(|(point, on, captured)| (point.name(), CheckpointStatus { on, captured })).collect()
    }
}
