//! What a group member knows of the data plane of its group: the access list, the clock, and what errors of the data
//! plane lead to. getvpn §4.3, §5.4 and §3.11.

use hallmark_core::{Duration, Instant, Now, Pseudotime};
use hallmark_wire::gdoi::{DataPolicy, ReplayPolicy};

use super::policy::Policy;
use super::{GroupMember, Timer};
use crate::behaviour::Defect;
use crate::config::data::{DataConfig, group_tag};
use crate::data::{Acl, GroupDirection, Replay};
use crate::event::EventKind;
use crate::sadb::{Sa, TrafficSelector};
use crate::status::{RecoveryStatus, ReplayStatus};

/// How much older than the own one the pseudotime of a PUSH may be (getvpn §3.7, unverified for any product).
const SKEW: Duration = Duration::from_secs(10);

/// Is the protection against replayed data without its clock.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) enum Method {
    #[default]
    None,
    Counter {
        window: u16,
    },
    Time {
        window: Duration,
    },
    D3p {
        window: Duration,
    },
}

/// Is what a policy says about the data plane, judged.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct DataRules {
    pub(super) method: Method,
    /// Ticks as the message says them.
    pub(super) pseudotime: Option<u64>,
    pub(super) direction: GroupDirection,
}

impl DataRules {
    /// Judges the reference forms of a GAP payload; `None` for what is not understood or contradicts itself.
    pub(super) fn judge(policy: &DataPolicy) -> Option<Self> {
        let direction = match policy.direction {
            None | Some(DataPolicy::SYMMETRIC) => GroupDirection::Both,
            Some(DataPolicy::RECEIVE_ONLY) => GroupDirection::ReceiveOnly,
            Some(_) => return None,
        };
        let d3p = match (policy.d3p_type, policy.d3p_window_ms) {
            (None, None) => None,
            (Some(DataPolicy::D3P_POSIX), Some(millis)) if millis > 0 => Some(Duration::from_millis(millis.into())),
            _ => return None,
        };
        let method = match (policy.replay, d3p) {
            (None, None) => Method::None,
            (None, Some(window)) => Method::D3p { window },
            // IP-D3P goes with no other method.
            (Some(_), Some(_)) => return None,
            (Some(ReplayPolicy { method: ReplayPolicy::COUNTER, window }), None)
                if DataConfig::COUNTER_WINDOWS.contains(&window) =>
            {
                Method::Counter { window }
            }
            (Some(ReplayPolicy { method: ReplayPolicy::TIME, window }), None) if window > 0 => {
                Method::Time { window: Duration::from_secs(window.into()) }
            }
            (Some(_), None) => return None,
        };
        Some(Self { method, pseudotime: policy.pseudotime, direction })
    }
}

/// Is what a group member knows of the data plane of its group. It outlives the keys: traffic that is to be protected
/// stays in the group's care when they are gone.
#[derive(Default)]
pub(super) struct GroupData {
    method: Method,
    clock: Option<Pseudotime>,
    direction: GroupDirection,
    acl: Acl,
    /// The member has the policy of a group.
    joined: bool,
    syncs: u64,
    sync_errors: u64,
    max_delta_ticks: u64,
    recovery: Recovery,
}

/// Is what became of errors of the data plane.
#[derive(Default)]
struct Recovery {
    latest: Option<Instant>,
    /// The SPI of an error that waits for the end of the interval.
    waiting: Option<u32>,
    executed: u64,
    postponed: u64,
}

/// Says that the pseudotime of a PUSH is too old.
pub(super) struct TooOld {
    theirs: u64,
    mine: u64,
}

impl GroupMember {
    /// Gives the protection against replayed data, with the clock of the group.
    #[must_use]
    pub fn replay(&self) -> Replay {
        match (self.data.method, self.data.clock) {
            (Method::Counter { window }, _) => Replay::Counter { window },
            (Method::D3p { window }, _) => Replay::D3p { window },
            (Method::Time { window }, Some(pseudotime)) => Replay::Time { window, pseudotime },
            (Method::None | Method::Time { .. }, _) => Replay::None,
        }
    }

    /// Gives the access list of the group in order, deny entries included.
    #[must_use]
    pub const fn acl(&self) -> &Acl {
        &self.data.acl
    }

    /// Tells whether the group sends protected yet.
    #[must_use]
    pub const fn direction(&self) -> GroupDirection {
        self.data.direction
    }

    /// Tells whether the member has the policy of its group: from the first registration on, also when the keys have
    /// expired since, until an operator shuts it down.
    #[must_use]
    pub const fn has_policy(&self) -> bool {
        self.data.joined
    }

    /// Takes note of an error of the data plane: a packet with an unknown SPI, or one that failed its checks. With a
    /// recovery interval configured it starts a registration with the next server, not more than one in an interval,
    /// and only when the SPI belongs to the group: one that is held, or one that tells the group
    /// ([`group_tag`]). Keys stay until new ones are there.
    pub fn data_plane_error(&mut self, now: Now, spi: u32) {
        // REQ P38
        if self.behaviour.has(Defect::RecoveryStorm) {
            return self.start_registration(now, "recovery");
        }
        let Some(interval) = self.config.group.recovery_interval else { return };
        let ours = self.sadb.get(spi).is_some() || spi >> 16 == u32::from(group_tag(self.config.group.id));
        if !ours || !self.data.joined || self.data.recovery.waiting.is_some() {
            return;
        }
        match self.data.recovery.latest.map(|latest| latest + interval).filter(|next| *next > now.mono) {
            None => self.recover(now, spi),
            Some(next) => {
                self.data.recovery.waiting = Some(spi);
                self.data.recovery.postponed += 1;
                self.timers.set(Timer::Recovery, next);
                let delay_secs = next.saturating_since(now.mono).as_secs();
                let kind = EventKind::RecoveryPostponed { group: self.config.group.id, spi, delay_secs };
                self.journal.tell(now.mono, None, kind);
            }
        }
        self.drain_ike(now);
    }

    /// Starts the registration that had to wait.
    pub(super) fn recovery_due(&mut self, now: Now) {
        if let Some(spi) = self.data.recovery.waiting.take() {
            self.recover(now, spi);
        }
    }

    fn recover(&mut self, now: Now, spi: u32) {
        // A registration that is going on brings what the recovery is for.
        if !self.may_register() {
            return;
        }
        self.data.recovery.latest = Some(now.mono);
        self.data.recovery.executed += 1;
        self.journal.tell(now.mono, None, EventKind::RecoveryRegistration { group: self.config.group.id, spi });
        if self.behaviour.has(Defect::GmRecoveryDropsKeys) {
            self.sadb = crate::sadb::Sadb::default();
        }
        let next = self.home.map_or(0, |home| home + 1);
        self.start_registration_at(now, "recovery", next);
    }

    /// Takes over the policy of a registration, whatever its pseudotime is. `received` is when it came.
    pub(super) fn adopt_data(&mut self, policy: &Policy, received: Instant) {
        let rules = policy.data;
        self.data.method = rules.method;
        self.data.direction = rules.direction;
        self.data.clock = match rules.pseudotime {
            Some(_) if self.behaviour.has(Defect::GmPseudotimeRegistrationIgnored) => {
                Some(Pseudotime::new(0, received))
            }
            Some(ticks) => Some(Pseudotime::new(ticks, received)),
            None => None,
        };
        self.data.joined = true;
        self.update_acl(policy, true);
    }

    /// Judges the pseudotime of a PUSH.
    pub(super) fn judge_pseudotime(&self, now: Instant, policy: &Policy) -> Result<(), TooOld> {
        let (Some(theirs), Some(clock)) = (policy.data.pseudotime, self.data.clock) else { return Ok(()) };
        let mine = clock.at(now);
        let stale = mine.saturating_sub(theirs) > Pseudotime::ticks_in(SKEW);
        if stale && !self.behaviour.has(Defect::PtBackstep) { Err(TooOld { theirs, mine }) } else { Ok(()) }
    }

    /// Tells whether a PUSH asks for time stamps and there is no clock to make them by: without one, packets would go
    /// unprotected.
    pub(super) fn lacks_pseudotime(&self, policy: &Policy) -> bool {
        let by_time = !policy.teks.is_empty() && matches!(policy.data.method, Method::Time { .. });
        by_time && policy.data.pseudotime.is_none() && self.data.clock.is_none()
    }

    /// Takes note of a PUSH that was refused for its pseudotime.
    pub(super) fn pseudotime_refused(&mut self, now: Now, old: &TooOld) {
        self.data.sync_errors += 1;
        let kind = EventKind::PseudoTimeTooOld {
            group: self.config.group.id,
            server_secs: Pseudotime::secs(old.theirs),
            own_secs: Pseudotime::secs(old.mine),
            allowed_secs: SKEW.as_secs_f64(),
        };
        self.journal.tell(now.mono, None, kind);
    }

    /// Takes over what an accepted PUSH says. One with TEKs brings the whole data policy, one without only the time.
    pub(super) fn follow_data(&mut self, now: Now, policy: &Policy) {
        let rules = policy.data;
        if !policy.teks.is_empty() {
            self.data.method = rules.method;
            self.data.direction = rules.direction;
            self.update_acl(policy, false);
        }
        if let Some(theirs) = rules.pseudotime {
            self.synchronise(now, theirs);
        }
    }

    fn synchronise(&mut self, now: Now, theirs: u64) {
        let mine = self.data.clock.map(|clock| clock.at(now.mono));
        if let (Some(mine), Method::Time { window }) = (mine, self.data.method) {
            let delta = mine.abs_diff(theirs);
            self.data.max_delta_ticks = self.data.max_delta_ticks.max(delta);
            if delta > Pseudotime::ticks_in(window) / 2 {
                let kind = EventKind::PseudoTimeLarge {
                    group: self.config.group.id,
                    server_secs: Pseudotime::secs(theirs),
                    own_secs: Pseudotime::secs(mine),
                };
                self.journal.tell(now.mono, None, kind);
            }
        }
        if mine.is_some() && self.behaviour.has(Defect::GmPseudotimeRekeyIgnored) {
            return;
        }
        self.data.syncs += 1;
        self.data.clock = Some(Pseudotime::new(theirs, now.mono));
    }

    fn update_acl(&mut self, policy: &Policy, registration: bool) {
        let named: Vec<(u32, &[TrafficSelector])> =
            policy.teks.iter().map(|tek| (tek.spi, tek.selectors.as_slice())).collect();
        let held: Vec<&Sa> = self.sadb.iter().collect();
        self.data.acl.update(&policy.acl, &named, &held, registration);
    }

    /// Forgets the policy of the group: the member left it.
    pub(super) fn leave_group(&mut self) {
        self.timers.cancel(Timer::Recovery);
        self.data = GroupData::default();
    }

    pub(super) fn replay_status(&self, now: Instant) -> ReplayStatus {
        let (method, window) = match self.data.method {
            Method::None => ("none", 0),
            Method::Counter { window } => ("counter", u64::from(window)),
            Method::Time { window } => ("time", window.as_secs()),
            Method::D3p { window } => ("d3p", u64::try_from(window.as_millis()).unwrap_or(u64::MAX)),
        };
        ReplayStatus {
            method,
            window,
            pseudotime_secs: self.data.clock.map(|clock| Pseudotime::secs(clock.at(now))),
            time_syncs: self.data.syncs,
            time_sync_errors: self.data.sync_errors,
            max_time_delta_secs: Pseudotime::secs(self.data.max_delta_ticks),
        }
    }

    pub(super) fn recovery_status(&self) -> RecoveryStatus {
        RecoveryStatus {
            interval_secs: self.config.group.recovery_interval.map(|interval| interval.as_secs()),
            executed: self.data.recovery.executed,
            postponed: self.data.recovery.postponed,
        }
    }
}
