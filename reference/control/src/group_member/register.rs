//! When and with whom a group member registers, and when its keys end.

use std::collections::VecDeque;

use hallmark_core::{Code, Duration, Instant, Now};

use super::{GroupMember, Timer};
use crate::behaviour::{Defect, Variant};
use crate::event::EventKind;
use crate::ike::SaId;
use crate::sadb::Sa;

/// Is how far a registration has come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Stage {
    /// None is going on.
    Idle,
    /// Phase 1 with a server.
    Phase1 { server: usize, attempt: SaId },
    /// GROUPKEY-PULL with a server. `fresh` tells that its phase 1 SA was made for this registration.
    Pull { server: usize, fresh: bool },
    /// Every server failed; a timer runs.
    Waiting,
    /// An operator stopped the member.
    Stopped,
}

/// Is the state of registering.
pub(super) struct Registration {
    stage: Stage,
    /// Servers that this round has not tried.
    left: VecDeque<usize>,
    /// Rounds that failed in a row.
    failures: u32,
    started: Option<Instant>,
    reason: &'static str,
    /// Why the next registration happens, when the timer runs.
    next_reason: &'static str,
    /// The policy of a server was refused in this round.
    refused: bool,
}

impl Registration {
    pub(super) const fn new() -> Self {
        Self {
            stage: Stage::Idle,
            left: VecDeque::new(),
            failures: 0,
            started: None,
            reason: "start",
            next_reason: "start",
            refused: false,
        }
    }

    pub(super) fn stop(&mut self) {
        self.stage = Stage::Stopped;
    }

    pub(super) const fn is_busy(&self) -> bool {
        matches!(self.stage, Stage::Phase1 { .. } | Stage::Pull { .. })
    }

    /// Gives the name of the state for the status.
    pub(super) const fn name(&self, registered: bool) -> &'static str {
        match (self.stage, registered) {
            (Stage::Stopped, _) => "stopped",
            (Stage::Phase1 { .. } | Stage::Pull { .. }, true) => "registering-again",
            (Stage::Phase1 { .. }, false) => "phase1",
            (Stage::Pull { .. }, false) => "pull",
            (Stage::Waiting | Stage::Idle, true) => "registered",
            (Stage::Waiting, false) => "waiting",
            (Stage::Idle, false) => "idle",
        }
    }
}

impl GroupMember {
    /// Begins the registration that the timer was set for.
    pub(super) fn register_due(&mut self, now: Now) {
        let reason = self.registration.next_reason;
        self.start_registration(now, reason);
    }

    /// Begins a registration, unless one is going on. Keys stay until new ones are there.
    pub(super) fn start_registration(&mut self, now: Now, reason: &'static str) {
        self.start_registration_at(now, reason, 0);
    }

    /// Tells whether a registration could begin now.
    pub(super) fn may_register(&self) -> bool {
        !self.registration.is_busy() && self.registration.stage != Stage::Stopped && !self.deaf
    }

    /// Begins a registration with the n-th server; those in front of it come last.
    pub(super) fn start_registration_at(&mut self, now: Now, reason: &'static str, first: usize) {
        if !self.may_register() {
            return;
        }
        self.timers.cancel(Timer::Register);
        self.registration.reason = reason;
        self.registration.started = Some(now.mono);
        self.registration.refused = false;
        if self.behaviour.has(Defect::GmDropsKeysFirst) {
            self.drop_keys(now, "deleted");
        }
        // The order of the configuration is the order of preference.
        self.registration.left = (0..self.config.servers.len()).collect();
        let count = self.registration.left.len();
        if count > 0 {
            self.registration.left.rotate_left(first % count);
        }
        if self.behaviour.has(Defect::GmServerOrderIgnored) {
            self.registration.left = self.registration.left.iter().rev().copied().collect();
        }
        if self.behaviour.has(Defect::GmNoFailover) {
            self.registration.left.truncate(1);
        }
        self.next_server(now);
    }

    /// Gives up the registration that is going on; keys stay.
    pub(super) fn abandon_registration(&mut self) {
        if let Stage::Phase1 { attempt, .. } = self.registration.stage {
            self.ike.abort(attempt);
        }
        self.pull = None;
        self.timers.cancel(Timer::Pull);
        self.registration.stage = Stage::Idle;
    }

    fn next_server(&mut self, now: Now) {
        let Some(server) = self.registration.left.pop_front() else { return self.round_failed(now) };
        let Some(address) = self.config.servers.get(server).map(|server| server.address) else {
            return self.round_failed(now);
        };
        self.counters.attempts += 1;
        let kind = EventKind::RegistrationStarted { server: address, reason: self.registration.reason };
        self.journal.tell(now.mono, Some(address), kind);
        let alive = self.server_sas.get(&server).copied().filter(|sa| self.ike.sa(*sa).is_some());
        match alive {
            // REQ GDOI-P1-009: one phase 1 SA serves several registrations.
            Some(sa) if !self.behaviour.varies(Variant::GmFreshPhase1) => {
                self.registration.stage = Stage::Pull { server, fresh: false };
                self.begin_pull(now, server, sa);
            }
            _ => self.connect(now, server),
        }
    }

    fn connect(&mut self, now: Now, server: usize) {
        let Some(address) = self.config.servers.get(server).map(|server| server.address) else { return };
        let attempt = self.ike.connect(now, self.config.listen, address, server);
        self.registration.stage = Stage::Phase1 { server, attempt };
    }

    pub(super) fn phase1_established(&mut self, now: Now, sa: SaId) {
        let Stage::Phase1 { server, attempt } = self.registration.stage else { return };
        if attempt == sa {
            self.server_sas.insert(server, sa);
            self.registration.stage = Stage::Pull { server, fresh: true };
            self.begin_pull(now, server, sa);
        }
    }

    pub(super) fn phase1_failed(&mut self, now: Now, sa: SaId, code: Code) {
        if let Stage::Phase1 { server, attempt } = self.registration.stage
            && attempt == sa
        {
            self.server_failed(now, server, code);
        }
    }

    /// Takes note that a phase 1 SA is gone. The group SAs do not depend on it.
    pub(super) fn phase1_gone(&mut self, now: Now, sa: SaId) {
        self.server_sas.retain(|_, known| *known != sa);
        if self.pull.as_ref().is_some_and(|pull| pull.sa() == sa) {
            self.pull_failed(now, crate::code::PULL_TIMEOUT);
        }
        if self.behaviour.has(Defect::GdoiIdleRequired) && !self.registration.is_busy() {
            self.drop_keys(now, "deleted");
            self.plan_registration(now, now.mono, "deleted");
        }
    }

    /// Takes note that GROUPKEY-PULL with the current server failed.
    pub(super) fn pull_failed(&mut self, now: Now, code: Code) {
        self.pull = None;
        self.timers.cancel(Timer::Pull);
        let Stage::Pull { server, fresh } = self.registration.stage else { return };
        // A phase 1 SA that was there before may be known to nobody but us: try once more with a new one.
        if !fresh && code == crate::code::PULL_TIMEOUT {
            if let Some(sa) = self.server_sas.remove(&server) {
                self.ike.forget(sa);
            }
            return self.connect(now, server);
        }
        if code == crate::code::PULL_TIMEOUT
            && let Some(sa) = self.server_sas.remove(&server)
        {
            self.ike.forget(sa);
        }
        self.server_failed(now, server, code);
    }

    /// Takes note that the policy of the current server is not acceptable.
    pub(super) fn policy_refused(&mut self) {
        self.registration.refused = true;
    }

    fn server_failed(&mut self, now: Now, server: usize, code: Code) {
        if let Some(address) = self.config.servers.get(server).map(|server| server.address) {
            self.journal.tell(now.mono, Some(address), EventKind::RegistrationFailed { server: address, code });
        }
        if self.behaviour.has(Defect::GmDropsSasOnFailure) {
            self.drop_keys(now, "deleted");
        }
        self.next_server(now);
    }

    /// Every server failed: waits, longer each time.
    fn round_failed(&mut self, now: Now) {
        let timing = self.config.group.reregister;
        let doubled = timing.retry_initial.saturating_mul(1 << self.registration.failures.min(16));
        let mut wait = doubled.min(timing.retry_cap);
        self.registration.failures = self.registration.failures.saturating_add(1);
        if self.registration.refused {
            // A server that answers with something unusable would answer the same in a moment.
            wait = wait.max(timing.min_interval);
        }
        if self.behaviour.has(Defect::SuitebReregisterLoop) && self.registration.refused {
            wait = Duration::from_millis(500);
        }
        if self.behaviour.has(Defect::GmNoBackOff) {
            wait = Duration::from_secs(1);
        }
        self.registration.stage = Stage::Waiting;
        self.registration.next_reason = "retry";
        self.timers.set(Timer::Register, now.mono + wait);
    }

    /// Ends a successful registration.
    pub(super) fn registered(&mut self, now: Now) {
        if let Stage::Pull { server, .. } = self.registration.stage {
            self.home = Some(server);
        }
        self.registration.stage = Stage::Idle;
        self.registration.failures = 0;
        self.counters.registrations += 1;
        self.counters.rekeys_since_registration = 0;
        self.plan_by_lifetime(now);
    }

    /// Sets the timer for the registration that replaces the keys in time, when no PUSH does.
    // REQ GDOI-PUSH-057
    pub(super) fn plan_by_lifetime(&mut self, now: Now) {
        self.set_expiry_timer();
        let timing = self.config.group.reregister;
        // A PUSH that brings keys for longer ends the search for a server.
        let far = now.mono + (timing.lead + timing.jitter) * 2;
        if self.registration.stage == Stage::Waiting && self.first_end().is_some_and(|end| end > far) {
            self.registration.stage = Stage::Idle;
            self.registration.failures = 0;
        }
        if self.registration.is_busy() || matches!(self.registration.stage, Stage::Stopped | Stage::Waiting) {
            return;
        }
        if self.behaviour.has(Defect::GmNeverReregisters) {
            return self.timers.cancel(Timer::Register);
        }
        let Some(end) = self.first_end() else { return self.timers.cancel(Timer::Register) };
        let mut at = if self.behaviour.has(Defect::GmReregistersLate) {
            end + Duration::from_secs(5)
        } else {
            let mut lead = timing.lead;
            if self.behaviour.varies(Variant::GmReregistersEarlier) {
                lead += lead / 2;
            }
            let jitter = Duration::from_millis(self.jitter.below(millis(timing.jitter) + 1));
            // Short lives leave no room for the whole lead: the first half is theirs.
            let left = end.saturating_since(now.mono);
            end - (lead + jitter).min(left / 2)
        };
        if let Some(started) = self.registration.started {
            at = at.max(started + timing.min_interval.min(end.saturating_since(started)));
        }
        self.registration.next_reason = "expiry";
        self.timers.set(Timer::Register, at);
    }

    /// Sets the timer for a registration at a given time, unless one is planned earlier.
    pub(super) fn plan_registration(&mut self, _now: Now, at: Instant, reason: &'static str) {
        if self.registration.is_busy() || self.registration.stage == Stage::Stopped {
            return;
        }
        if self.timers.get(Timer::Register).is_none_or(|planned| planned > at) {
            self.registration.next_reason = reason;
            self.timers.set(Timer::Register, at);
        }
    }

    /// Registers again after a random time, because a PUSH deleted the keys.
    // REQ GDOI-PUSH-055
    pub(super) fn register_after_delete(&mut self, now: Now) {
        if self.behaviour.has(Defect::GmNoReregisterOnDelete) {
            return;
        }
        let spread = millis(self.config.group.reregister.jitter);
        let drawn = Duration::from_millis(self.jitter.below(spread + 1));
        let wait = if self.behaviour.has(Defect::GmRegistersWithoutSpread) { Duration::ZERO } else { drawn };
        self.registration.stage = if self.registration.is_busy() { self.registration.stage } else { Stage::Idle };
        self.timers.cancel(Timer::Register);
        self.plan_registration(now, now.mono + wait, "deleted");
    }

    /// Gives the time at which the first key runs out without a successor.
    fn first_end(&self) -> Option<Instant> {
        let kek = self.kek.as_ref().and_then(|kek| kek.expires).filter(|_| !self.behaviour.has(Defect::GmNoKekTimer));
        [kek, self.sadb.exhausted_at()].into_iter().flatten().min()
    }

    fn set_expiry_timer(&mut self) {
        let kek = self.kek.as_ref().and_then(|kek| kek.expires).filter(|_| !self.behaviour.has(Defect::GmNoKekTimer));
        let previous = self.previous.as_ref().map(|kek| kek.forget);
        match [kek, previous, self.sadb.next_end()].into_iter().flatten().min() {
            Some(at) => self.timers.set(Timer::Expiry, at),
            None => self.timers.cancel(Timer::Expiry),
        }
    }

    /// Removes what is over.
    // REQ GDOI-PUSH-056 GDOI-SEC-006
    pub(super) fn expire(&mut self, now: Now) {
        if self.previous.as_ref().is_some_and(|kek| kek.forget <= now.mono) {
            self.previous = None;
        }
        if self.kek.as_ref().is_some_and(|kek| kek.expires.is_some_and(|expires| expires <= now.mono))
            && !self.behaviour.has(Defect::GmNoKekTimer)
        {
            self.remove_kek(now, "expired");
        }
        for (spi, reason) in self.sadb.expire(now.mono) {
            self.journal.tell(now.mono, None, EventKind::SaRemoved { spi, reason });
        }
        self.set_expiry_timer();
        let nothing_left = self.kek.is_none() && self.sadb.is_empty();
        if nothing_left && self.timers.get(Timer::Register).is_none() && !self.behaviour.has(Defect::GmNeverReregisters)
        {
            let earliest = self.registration.started.unwrap_or(now.mono) + self.config.group.reregister.min_interval;
            self.plan_registration(now, earliest.max(now.mono), "expiry");
        }
    }

    pub(super) fn remove_kek(&mut self, now: Now, reason: &'static str) {
        if let Some(kek) = self.kek.take() {
            self.journal.tell(now.mono, None, EventKind::KekRemoved { kek_spi: hex::encode(kek.spi), reason });
            self.follow_multicast(now);
        }
    }

    /// Drops every group key.
    pub(super) fn drop_keys(&mut self, now: Now, reason: &'static str) {
        self.remove_kek(now, reason);
        self.previous = None;
        let spis: Vec<u32> = self.sadb.iter().map(|sa: &Sa| sa.spi).collect();
        for spi in spis {
            self.sadb.remove(spi);
            self.journal.tell(now.mono, None, EventKind::SaRemoved { spi, reason });
        }
        self.sids = None;
        self.set_expiry_timer();
    }

    /// Joins the multicast group of the Rekey SA and leaves the one before.
    pub(super) fn follow_multicast(&mut self, now: Now) {
        let wanted = self.kek.as_ref().and_then(|kek| kek.destination).filter(std::net::IpAddr::is_multicast);
        if wanted == self.joined {
            return;
        }
        if wanted.is_some() && self.behaviour.has(Defect::GmMulticastNeverJoined) {
            return;
        }
        let by_push = self.counters.rekeys_since_registration > 0;
        if wanted.is_some() && by_push && self.behaviour.has(Defect::GmMulticastNotFollowed) {
            return;
        }
        if let Some(group_address) = self.joined.take() {
            self.journal.tell(now.mono, None, EventKind::MulticastLeave { group_address });
        }
        if let Some(group_address) = wanted {
            let interface = self.config.group.multicast_interface;
            let port = self.kek.as_ref().map_or(0, |kek| kek.destination_port);
            self.journal.tell(now.mono, None, EventKind::MulticastJoin { group_address, port, interface });
        }
        self.joined = wanted;
    }

    pub(super) fn is_registered(&self, now: Instant) -> bool {
        self.kek.as_ref().is_some_and(|kek| kek.expires.is_none_or(|expires| expires > now))
            || !self.sadb.accepted(now).is_empty()
            || self.sadb.iter().any(|sa| sa.may_send(now))
    }

    /// Gives the server that the current registration talks to.
    pub(super) const fn current_server(&self) -> Option<usize> {
        match self.registration.stage {
            Stage::Phase1 { server, .. } | Stage::Pull { server, .. } => Some(server),
            _ => None,
        }
    }

    pub(super) fn planned_registration(&self) -> Option<Instant> {
        self.timers.get(Timer::Register)
    }

    pub(super) const fn stage_name(&self, registered: bool) -> &'static str {
        self.registration.name(registered)
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX - 1)
}
