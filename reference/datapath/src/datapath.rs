//! The data plane of one worker: its state, and what its callers see of it.

use std::collections::{BTreeSet, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, PoisonError};

use hallmark_core::{Instant, Now, Rng, UnixTime};

use crate::behaviour::{Defect, Variant};
use crate::config::{Config, FailMode};
use crate::dress::Idents;
use crate::event::{Event, EventKind, EventQueue};
use crate::flow::Flows;
use crate::fragment::Reassembler;
use crate::icmp::{self, IcmpErrors, Problem};
use crate::packet::{Batch, Fate, Packet, Pool, Side};
use crate::pmtu::{Fit, PathMtus};
use crate::policy::{Direction, Mode, Policy, Pseudotime, Replay, Sa, SaDirection, State};
use crate::quick::send::Lane;
use crate::reason::Reason;
use crate::replay::Window;
use crate::resync::{Resync, Suspicion};
use crate::sa::{LiveSa, SaCounts, SaTable, Shared};
use crate::status::{Count, Totals};
use crate::tables::{Stance, Tables};
use crate::times::Times;
use crate::trace::{Captured, Captures, Checkpoint, Trace, TraceFilter, Tracer};
use crate::work::{NO_SA, Work};

/// Protects and opens packets for one worker.
#[derive(Debug)]
pub struct Datapath {
    pub(crate) config: Config,
    pub(crate) shared: Arc<Shared>,
    pub(crate) rng: Rng,
    // what the policy says
    pub(crate) state: State,
    pub(crate) direction: Direction,
    pub(crate) serial: u64,
    pub(crate) replay: Replay,
    pub(crate) sender_ids: Option<(u16, Vec<u32>)>,
    pub(crate) tables: Tables,
    pub(crate) sas: SaTable,
    /// The SA that sends, for each slot of the tables.
    pub(crate) active: Vec<Option<u16>>,
    /// The same for the quick way.
    pub(crate) lanes: Vec<Lane>,
    pub(crate) stance: Stance,
    /// When `active` and `stance` have to be worked out again.
    next_change: Instant,
    applied: u64,
    /// Wall-clock time at which the pseudotime was right; only a defect looks at it.
    wall_base: UnixTime,
    // what packets leave behind
    pub(crate) flows: Flows,
    pub(crate) idents: Idents,
    pub(crate) reassembler: Reassembler,
    pub(crate) path_mtus: PathMtus,
    pub(crate) icmp: IcmpErrors,
    pub(crate) next_recovery: Instant,
    pub(crate) events: EventQueue,
    pub(crate) captures: Captures,
    pub(crate) tracer: Tracer,
    pub(crate) totals: Totals,
    pub(crate) drops: [u64; Reason::COUNT],
    pub(crate) dscp: [u64; 64],
    pub(crate) times: Times,
    pub(crate) work: Work,
    /// The ICMP errors of this burst that are to be protected themselves: first position and end.
    pub(crate) answers: (usize, usize),
    pub(crate) resync: Resync,
    /// Packets that were protected since a dummy was due.
    pub(crate) since_dummy: u64,
    // what only defects use
    pub(crate) deaf: bool,
    pub(crate) sent: u64,
    pub(crate) leaked: u32,
    turn: u64,
    spoken: BTreeSet<u128>,
    recent: VecDeque<u64>,
}

/// Packets that a defect remembers.
const RECENT: usize = 4096;
/// Seconds before its end at which a variant leaves an old SA.
const BEFORE_END: hallmark_core::Duration = hallmark_core::Duration::from_secs(5);

impl Datapath {
    /// Makes a data plane without policy.
    #[must_use]
    pub fn new(config: Config, rng: Rng, now: Now) -> Self {
        let shared = Arc::new(Shared::new(config.limits.keys));
        let path_mtus = PathMtus::new(config.pmtu, rng.fork("path mtus").next_u64());
        Self::sharing(config, shared, path_mtus, rng, now)
    }

    /// Makes the data plane of another worker, which shares sequence numbers, initialisation vectors, replay windows and
    /// learned path MTUs with this one. Policy has to be applied to each.
    #[must_use]
    pub fn worker(&self, rng: Rng, now: Now) -> Self {
        Self::sharing(self.config.clone(), Arc::clone(&self.shared), self.path_mtus.clone(), rng, now)
    }

    fn sharing(config: Config, shared: Arc<Shared>, path_mtus: PathMtus, rng: Rng, now: Now) -> Self {
        let mut rng = rng.fork("datapath");
        let mut made = Self {
            shared,
            state: State::Unregistered,
            direction: Direction::Both,
            serial: 0,
            replay: Replay::None,
            sender_ids: None,
            tables: Tables::compile(&config, &Policy::default(), &Tables::default(), true),
            sas: SaTable::default(),
            active: Vec::new(),
            lanes: Vec::new(),
            stance: Stance::default(),
            next_change: Instant::ZERO,
            applied: 0,
            wall_base: now.wall,
            flows: Flows::new(config.limits.flows, rng.next_u64()),
            idents: Idents::new(&mut rng, config.behaviour.varies(Variant::OuterIdCounts)),
            reassembler: Reassembler::new(config.reassembly, rng.next_u64()),
            path_mtus,
            icmp: IcmpErrors::new(icmp::RATE),
            next_recovery: Instant::ZERO,
            events: EventQueue::new(config.limits.events, config.event_interval),
            captures: Captures::new(config.limits.captured),
            tracer: Tracer::new(config.limits.traces),
            totals: Totals::default(),
            drops: [0; Reason::COUNT],
            dscp: [0; 64],
            times: Times::new(),
            work: Work::new(),
            answers: (usize::MAX, 0),
            resync: Resync::default(),
            since_dummy: 0,
            deaf: false,
            sent: 0,
            leaked: 0,
            turn: 0,
            spoken: BTreeSet::new(),
            recent: VecDeque::new(),
            config,
            rng,
        };
        made.refresh(now);
        made
    }

    /// Takes over the whole state that the control plane wants. SAs that stay keep their counters and windows.
    pub fn apply(&mut self, now: Now, policy: &Policy) {
        let behaviour = self.config.behaviour.clone();
        let kept = self.with_ended(now, policy);
        let policy = kept.as_ref().unwrap_or(policy);
        let first = self.applied == 0;
        self.applied += 1;
        self.state = policy.state;
        self.serial = policy.serial;
        if !(behaviour.has(Defect::DuplexNotRestored) && self.direction == Direction::ReceiveOnly) {
            self.direction = policy.direction;
        }
        self.sender_ids = policy.sender_ids.clone();
        self.adopt_replay(now, policy.replay);
        self.tables = Tables::compile(&self.config, policy, &self.tables, first);
        let list = self.live_sas(now, policy);
        if list.iter().any(|live| live.sa.extended_sequence) {
            self.resync.prepare();
        }
        self.sas = SaTable::new(list);
        self.next_change = Instant::ZERO;
        if !behaviour.has(Defect::FlowsOutliveThePolicy) || first {
            self.flows.invalidate();
        }
        self.refresh(now);
    }

    /// Gives every packet of a burst its fate. Pieces and ICMP errors are appended to the batch.
    pub fn handle(&mut self, now: Now, from: Side, batch: &mut Batch, pool: &mut Pool) {
        let arrived = batch.packets.len();
        self.path_mtus.begin(now.mono);
        if now.mono >= self.next_change {
            self.refresh(now);
        }
        self.arrive(now, from, batch);
        if self.deaf {
            for packet in &mut batch.packets {
                packet.drop_for(Reason::Deaf);
            }
        } else {
            match from {
                Side::Lan => self.protect(now, batch, pool),
                Side::Wan => self.open(now, batch, pool),
            }
        }
        if self.config.behaviour.has(Defect::AnswersErrors) && from == Side::Wan {
            self.answer_errors(now, arrived, batch, pool);
        }
        self.leave(now, from, arrived, batch);
    }

    /// Does what is due: gives up unfinished packets, tries to find lost sequence numbers.
    pub fn handle_timeout(&mut self, now: Now, pool: &mut Pool) {
        self.reassembler.expire(now.mono, &self.config.behaviour, pool);
        self.count_lost(Reason::FragmentTimeout);
        self.try_resync(now);
        if now.mono >= self.next_change {
            self.refresh(now);
        }
    }

    /// Tells when [`Datapath::handle_timeout`] wants to be called.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        let reassembly = self.reassembler.next_timeout(&self.config.behaviour);
        [reassembly, self.resync.next_try()].into_iter().flatten().min()
    }

    /// Takes the next event.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop()
    }

    /// Traces the next `count` packets that match.
    pub fn trace_next(&mut self, filter: TraceFilter, count: u32) {
        self.tracer.arm(filter, count);
    }

    /// Takes the finished traces.
    pub fn take_traces(&mut self) -> Vec<Trace> {
        self.tracer.take()
    }

    /// Switches capturing at a checkpoint on or off.
    pub fn capture(&mut self, checkpoint: Checkpoint, on: bool) {
        self.captures.switch(checkpoint, on);
    }

    /// Takes what was captured.
    pub fn take_captured(&mut self) -> Vec<Captured> {
        self.captures.take()
    }

    /// Shows the settings.
    #[must_use]
    pub const fn config(&self) -> &Config {
        &self.config
    }

    /// Moves the send counts of an SA on, as after a restart with kept keys: the next packet has the number after `last`,
    /// and so has its initialisation vector where these are counted. Neither ever goes back. `false` when no SA has the
    /// SPI.
    pub fn advance_sequence(&mut self, spi: u32, last: u64) -> bool {
        let found = self.sas.list.iter_mut().find(|live| live.sa.spi == spi);
        found.is_some_and(|live| {
            live.shared.counter.advance_to(last);
            if let Some(vectors) = &live.shared.vectors {
                vectors.counter.advance_to(last);
            }
            live.round = None;
            true
        })
    }

    /// Sets the highest received number of an SA, as after a restart with kept keys; everything at or below it counts
    /// as not seen. `false` when no SA has the SPI.
    pub fn resume_window(&mut self, spi: u32, top: u64) -> bool {
        let found = self.sas.list.iter().find(|live| live.sa.spi == spi);
        found.is_some_and(|live| {
            *live.shared.window.lock().unwrap_or_else(PoisonError::into_inner) = Window::starting_at(top);
            true
        })
    }

    /// Gives the group's time in ticks; 0 when the policy knows of none.
    pub(crate) fn pseudotime(&self, now: Now) -> u64 {
        let Replay::Time { pseudotime, .. } = self.replay else { return 0 };
        if self.config.behaviour.has(Defect::TbarWallclock) {
            let ticks = (now.wall.0 - self.wall_base.0).div_euclid(Pseudotime::TICK_NANOS as i64);
            return pseudotime.ticks.saturating_add_signed(ticks);
        }
        pseudotime.at(now.mono)
    }

    fn adopt_replay(&mut self, now: Now, wanted: Replay) {
        if let (Replay::Time { .. }, Replay::Time { window, pseudotime }) = (self.replay, wanted) {
            if self.config.behaviour.has(Defect::PseudotimeNotAdopted) {
                let Replay::Time { pseudotime, .. } = self.replay else { return };
                self.replay = Replay::Time { window, pseudotime };
                return;
            }
            let delta = self.pseudotime(now).abs_diff(pseudotime.at(now.mono));
            self.times.max_delta = self.times.max_delta.max(delta);
        }
        if self.replay != wanted
            && let Replay::Time { pseudotime, .. } = wanted
        {
            let since = now.mono.saturating_since(pseudotime.at);
            self.wall_base = UnixTime(now.wall.0.saturating_sub(i64::try_from(since.as_nanos()).unwrap_or(0)));
        }
        self.replay = wanted;
    }

    /// Makes the SAs of a policy, with what is kept of those that were there before.
    /// Gives the policy with the SAs that it has left out because they have ended: two defects do not let go of them.
    fn with_ended(&self, now: Now, policy: &Policy) -> Option<Policy> {
        let behaviour = &self.config.behaviour;
        if !behaviour.has(Defect::OldSaPastEnd) && !behaviour.has(Defect::ExpiredSaLeak) {
            return None;
        }
        let gone = |sa: &Sa| sa.ends <= now.mono && !policy.sas.iter().any(|other| other.spi == sa.spi);
        let ended = self.sas.list.iter().map(|live| &live.sa).filter(|sa| gone(sa)).cloned();
        Some(Policy { sas: policy.sas.iter().cloned().chain(ended).collect(), ..policy.clone() })
    }

    fn live_sas(&mut self, now: Now, policy: &Policy) -> Vec<LiveSa> {
        let mut list: Vec<LiveSa> = Vec::with_capacity(policy.sas.len().min(self.config.limits.sas));
        for sa in policy.sas.iter().skip(self.config.limits.sas) {
            let why = "there are more SAs than the limit allows";
            self.events.push_always(now.mono, EventKind::SaRefused { spi: sa.spi, why });
        }
        for sa in policy.sas.iter().take(self.config.limits.sas) {
            if self.config.behaviour.has(Defect::OldSaForgotten)
                && policy.sas.iter().any(|other| other.policy == sa.policy && other.serial > sa.serial)
            {
                continue;
            }
            match self.live_sa(now, sa, policy) {
                Ok(live) => {
                    if let Some(why) = sa.lacks_end(self.config.address) {
                        self.events.push_always(now.mono, EventKind::SaRefused { spi: sa.spi, why });
                    }
                    list.push(live);
                }
                Err(why) => self.events.push_always(now.mono, EventKind::SaRefused { spi: sa.spi, why }),
            }
        }
        list
    }

    fn live_sa(&self, now: Now, sa: &Sa, policy: &Policy) -> Result<LiveSa, &'static str> {
        // REQ ESP-006
        if sa.spi == 0 {
            return Err("SPI 0 is never used");
        }
        // REQ ESP-060
        if matches!(self.replay, Replay::Counter { .. }) && sa.transform.icv_len() == 0 {
            return Err("sequence numbers cannot be checked without integrity");
        }
        if let Some(why) = policy.mixes_versions(sa, self.config.address)
            && !self.config.behaviour.has(Defect::MixedVersionsAccepted)
        {
            return Err(why);
        }
        let shared = self.shared.get(now.mono, sa, self.config.backend, &self.config.behaviour)?;
        let known = self.sas.list.iter().find(|live| Arc::ptr_eq(&live.shared, &shared));
        let counts = known.map_or_else(SaCounts::default, |live| live.counts);
        if self.config.behaviour.has(Defect::WindowForgottenOnApply) && known.is_some() {
            *shared.window.lock().unwrap_or_else(PoisonError::into_inner) = Window::default();
        }
        let stamp_len = self.replay.stamp_len();
        let fit =
            |version4| Fit::protected(sa.transform, version4, self.config.wan_mtu, stamp_len, &self.config.behaviour);
        let slot = self.tables.slots.binary_search(&sa.policy).unwrap_or(usize::from(u16::MAX)) as u16;
        let base = (shared.counter.last(), shared.last_vector());
        Ok(LiveSa {
            fits: (fit(true), fit(false)),
            sa: sa.clone(),
            shared,
            slot,
            round: None,
            base,
            counts,
            suspicion: Suspicion::default(),
        })
    }

    /// Works out which SAs send and whether the member is closed, and when that may change.
    // REQ ESP-090 REQ ESP-091
    fn refresh(&mut self, now: Now) {
        let behaviour = &self.config.behaviour;
        let mut next_change = Instant::FAR_FUTURE;
        for live in &self.sas.list {
            for at in [live.sa.activates, live.sa.ends - BEFORE_END, live.sa.ends] {
                if at > now.mono {
                    next_change = next_change.min(at);
                }
            }
        }
        self.next_change = next_change;
        let own = self.config.address;
        self.active.clear();
        for slot in 0..self.tables.slots.len() {
            let of_slot = |past_end: bool| {
                self.sas.list.iter().enumerate().filter(move |(_, live)| {
                    usize::from(live.slot) == slot
                        && (live.sa.direction != SaDirection::ReceiveOnly
                            || behaviour.has(Defect::SendsWithoutSid)
                            || behaviour.has(Defect::SaDirectionIgnored))
                        && (live.sa.lacks_end(own).is_none() || behaviour.has(Defect::PreservesBothAlways))
                        && (past_end || live.is_alive(now.mono))
                        && (behaviour.has(Defect::NewSaTooEarly) || live.sa.activates <= now.mono)
                })
            };
            let newest = |past_end| of_slot(past_end).max_by_key(|(_, live)| (live.sa.serial, live.sa.activates));
            let oldest = || of_slot(false).min_by_key(|(_, live)| (live.sa.serial, live.sa.activates));
            let chosen = match () {
                () if behaviour.has(Defect::NewSaNeverUsed) => oldest(),
                () if behaviour.has(Defect::OldSaPastEnd) => newest(false).or_else(|| newest(true)),
                () if behaviour.varies(Variant::KeepsOldSaToItsEnd) => {
                    oldest().filter(|(_, live)| live.sa.ends - BEFORE_END > now.mono).or_else(|| newest(false))
                }
                () => newest(false),
            };
            let chosen = chosen.map(|(index, _)| index as u16);
            let first = self.active.first().copied().flatten().filter(|_| behaviour.has(Defect::FirstSaForAllFlows));
            let chosen = first.or(chosen);
            self.active.push(chosen);
        }
        self.lanes.clear();
        for chosen in &self.active {
            let live = chosen.and_then(|sa| self.sas.get(sa).map(|live| (sa, live)));
            self.lanes.push(match live {
                Some((sa, live)) => {
                    let tunnel = live.sa.mode == Mode::Tunnel;
                    let most = |fit: Fit| if tunnel { fit.inner_max.min(usize::from(u16::MAX)) as u16 } else { 0 };
                    Lane { sa, spi: live.sa.spi, most_v4: most(live.fits.0), most_v6: most(live.fits.1) }
                }
                None => Lane { sa: NO_SA, spi: 0, most_v4: 0, most_v6: 0 },
            });
        }
        let alive = self.sas.list.iter().any(|live| live.is_alive(now.mono));
        let reverts = self.config.fail_close_revert && !alive && !behaviour.has(Defect::RevertIgnored);
        let closes = self.config.fail == FailMode::Close;
        let receive_only = self.direction == Direction::ReceiveOnly;
        let passive = self.config.passive;
        let stance = Stance {
            unregistered: self.state == State::Unregistered || closes && reverts,
            closes,
            sends_clear: receive_only
                && (!passive || behaviour.has(Defect::PassiveOverruled))
                && !behaviour.has(Defect::ReceiveOnlyEncrypts)
                || passive && behaviour.has(Defect::PassiveSendsClear),
            accepts_clear: receive_only && !behaviour.has(Defect::ReceiveOnlyDropsClear)
                || passive && !behaviour.has(Defect::PassiveDropsClear),
        };
        if stance != self.stance {
            self.stance = stance;
            self.flows.invalidate();
        }
    }

    /// Notes what came in.
    fn arrive(&mut self, now: Now, from: Side, batch: &mut Batch) {
        let (point, total) = match from {
            Side::Lan => (Checkpoint::LanIn, &mut self.totals.lan_in),
            Side::Wan => (Checkpoint::WanIn, &mut self.totals.wan_in),
        };
        for packet in &mut batch.packets {
            total.add(packet.len());
            packet.fate = Fate::Pending;
            packet.received_on = from;
        }
        if self.captures.is_on(point) {
            for packet in &batch.packets {
                self.captures.add(now.mono, point, packet.ip(), None);
            }
        }
        if self.tracer.is_armed() {
            for (index, packet) in batch.packets.iter().enumerate() {
                self.tracer.begin(now.mono, from, index, packet.ip());
            }
        }
        if self.config.behaviour.has(Defect::KnownSendersOnly) && from == Side::Lan && self.spoken.len() < RECENT {
            for packet in &batch.packets {
                let version4 = packet.ip().first().is_some_and(|first| first >> 4 == 4);
                self.spoken.extend(crate::classifier::addresses(packet.ip(), version4).map(|(_, dst)| dst));
            }
        }
    }

    /// Counts the fragments that were dropped after they were held; `why` is what became of the last one. Tells
    /// whether any gave way for want of room.
    pub(crate) fn count_lost(&mut self, why: Reason) -> bool {
        let lost = self.reassembler.take_lost();
        let reasons = [Reason::FragmentTimeout, Reason::FragmentLimit, why];
        for (reason, count) in reasons.into_iter().zip([lost.time, lost.room, lost.poisoned]) {
            self.totals.dropped.join(count);
            if let Some(total) = self.drops.get_mut(reason as usize) {
                *total += count.packets;
            }
        }
        lost.room.packets > 0
    }

    /// Notes what became of everything.
    fn leave(&mut self, now: Now, from: Side, arrived: usize, batch: &mut Batch) {
        // Mostly everything leaves through the other port, and there is nothing else to note.
        let way = Fate::Out(from.other());
        let (mut same, mut out) = (true, Count::default());
        for packet in &batch.packets {
            same &= packet.fate == way;
            out.add(packet.len());
        }
        if same {
            match from {
                Side::Lan => self.totals.wan_out.join(out),
                Side::Wan => self.totals.lan_out.join(out),
            }
            return self.watch_leaving(now, arrived, batch);
        }
        let silent = self.config.behaviour.has(Defect::ExpiryReportsNothing);
        let (mut lan_out, mut wan_out) = (Count::default(), Count::default());
        for packet in &batch.packets {
            match packet.fate {
                Fate::Out(Side::Lan) => lan_out.add(packet.len()),
                Fate::Out(Side::Wan) => wan_out.add(packet.len()),
                Fate::Dropped(reason) => {
                    if silent && matches!(reason, Reason::NoUsableSa | Reason::Expired) {
                        continue;
                    }
                    self.totals.dropped.add(packet.len());
                    if let Some(count) = self.drops.get_mut(reason as usize) {
                        *count += 1;
                    }
                }
                Fate::Held | Fate::Pending => {}
            }
        }
        self.totals.lan_out.join(lan_out);
        self.totals.wan_out.join(wan_out);
        self.watch_leaving(now, arrived, batch);
    }

    /// Captures and traces what leaves.
    fn watch_leaving(&mut self, now: Now, arrived: usize, batch: &Batch) {
        let points = [Checkpoint::LanOut, Checkpoint::WanOut, Checkpoint::Dropped];
        if points.into_iter().any(|point| self.captures.is_on(point)) {
            for packet in &batch.packets {
                let (point, reason) = match packet.fate {
                    Fate::Out(Side::Lan) => (Checkpoint::LanOut, None),
                    Fate::Out(Side::Wan) => (Checkpoint::WanOut, None),
                    Fate::Dropped(reason) => (Checkpoint::Dropped, Some(reason)),
                    Fate::Held | Fate::Pending => continue,
                };
                self.captures.add(now.mono, point, packet.ip(), reason);
            }
        }
        if self.tracer.is_on() {
            let extra = batch.packets.len().saturating_sub(arrived);
            self.tracer.end(|index| match batch.packets.get(index).map(Packet::fate) {
                Some(Fate::Out(Side::Lan)) => ("out through the LAN port".to_owned(), None),
                Some(Fate::Out(Side::Wan)) => ("out through the WAN port".to_owned(), None),
                Some(Fate::Dropped(reason)) => (reason.describe().to_owned(), Some(reason)),
                _ if extra > 0 => (format!("kept, or replaced ({extra} packets were added to the burst)"), None),
                _ => ("kept until the other fragments come".to_owned(), None),
            });
        }
    }

    /// Sends an error for each ESP packet that was refused: what only a defect does.
    fn answer_errors(&mut self, now: Now, arrived: usize, batch: &mut Batch, pool: &mut Pool) {
        for index in 0..arrived {
            let refused = batch
                .packets
                .get(index)
                .is_some_and(|packet| matches!(packet.fate, Fate::Dropped(reason) if is_protocol_error(reason)));
            if refused {
                self.tell(now, index, Problem::TimeExceeded, Side::Wan, batch, pool);
            }
        }
    }

    /// Loses packets as members with a defect do.
    pub(crate) fn lost_oddly(&mut self, packet: &Packet) -> bool {
        let behaviour = &self.config.behaviour;
        self.turn += 1;
        if behaviour.has(Defect::EverySecondLost) {
            return self.turn.is_multiple_of(2);
        }
        let version4 = packet.ip().first().is_some_and(|first| first >> 4 == 4);
        behaviour.has(Defect::KnownSendersOnly)
            && crate::classifier::addresses(packet.ip(), version4).is_none_or(|(src, _)| !self.spoken.contains(&src))
    }

    /// Tells whether the same packet came before: what only a defect asks.
    pub(crate) fn is_copy(&mut self, _now: Now, ip: &[u8]) -> bool {
        let mut hasher = DefaultHasher::new();
        ip.hash(&mut hasher);
        let hash = hasher.finish();
        if self.recent.contains(&hash) {
            return true;
        }
        if self.recent.len() >= RECENT {
            self.recent.pop_front();
        }
        self.recent.push_back(hash);
        false
    }
}

/// Tells whether a packet was refused for what is in it as ESP, or for its time.
fn is_protocol_error(reason: Reason) -> bool {
    ["esp.", "tbar.", "d3p."].iter().any(|area| reason.as_str().starts_with(area))
}
