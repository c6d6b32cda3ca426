//! How a PUSH goes out: built once, sent to everyone, repeated until it is acknowledged or the copies are used up.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::ops::Bound;
use std::sync::Arc;

use hallmark_core::{Duration, Instant, Now};
use hallmark_wire::gdoi::LkhUpdate;

use super::group::{Kek, Member, MemberId, RING, Tek};
use super::policy::{self, Context, Delays, Keys};
use super::{CommandReply, KeyServer, Timer};
use crate::behaviour::Defect;
use crate::config::{AckPolicy, Compat, Transport};
use crate::event::EventKind;
use crate::ike::Path;
use crate::push::{self, PushParts};

/// Members that one batch of a unicast PUSH goes to, and the pause between two batches.
const BATCH: usize = 50;
const PACE: Duration = Duration::from_millis(25);
/// A PUSH under a KEK that a PUSH has just delivered waits so long, because nothing keeps the two in order.
const SETTLE: Duration = Duration::from_millis(500);
/// An acknowledgement is not missing before this time.
// REQ GDOI-ACK-028
const ACK_WAIT: Duration = Duration::from_secs(10);

/// Says what a PUSH carries.
#[derive(Clone)]
pub(super) struct Content {
    pub(super) label: &'static str,
    pub(super) deletes: Vec<Vec<u8>>,
    pub(super) kek: Option<Kek>,
    pub(super) updates: Vec<LkhUpdate>,
    pub(super) teks: Vec<Tek>,
    /// The lifetime that replaced SAs keep.
    pub(super) shorten: Option<Duration>,
    /// Its acknowledgement counts for membership.
    pub(super) scheduled: bool,
    /// Whoever is not back when it ends is no member any more.
    pub(super) clears_members: bool,
}

impl Content {
    pub(super) const fn new(label: &'static str) -> Self {
        Self {
            label,
            deletes: Vec::new(),
            kek: None,
            updates: Vec::new(),
            teks: Vec::new(),
            shorten: None,
            scheduled: false,
            clears_members: false,
        }
    }
}

/// Is a PUSH on its way.
pub(super) struct PushJob {
    group: u32,
    kek_spi: [u8; 16],
    pub(super) sequence: u32,
    label: &'static str,
    scheduled: bool,
    clears_members: bool,
    started: Instant,
    /// The same message in the words of each kind of peer.
    datagrams: BTreeMap<Variety, Arc<[u8]>>,
    /// Members that have not acknowledged.
    pending: BTreeMap<MemberId, Target>,
    /// Where the multicast copies go.
    multicast: Option<SocketAddr>,
    expects_ack: bool,
    copy: u32,
    copies: u32,
    period: Duration,
    /// When the current copy began, and how far it has come.
    copy_started: Instant,
    cursor: Option<MemberId>,
    stage: Stage,
    /// What a faulty server makes its copies from.
    content: Option<Content>,
}

/// Tells apart what must differ between members: their compatibility switches, or the member itself.
type Variety = (Compat, Option<MemberId>);

#[derive(Clone, Copy)]
struct Target {
    path: Path,
    compat: Compat,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    Sending,
    Waiting,
}

impl KeyServer {
    /// Builds a PUSH under the current KEK and starts to send it; `None` when the group cannot push.
    pub(super) fn push(&mut self, now: Now, id: u32, content: Content) -> Option<CommandReply> {
        if self.behaviour.has(Defect::NoRsaKey) {
            return None;
        }
        let group = self.groups.get(&id)?;
        let kek = group.kek.clone().filter(|kek| kek.signing_key.is_some())?;
        let sequence = self.next_sequence(id, &content)?;
        let group = self.groups.get(&id)?;
        let mut pending: BTreeMap<MemberId, Target> = group
            .members
            .iter()
            .map(|(id, member)| (*id, Target { path: member.path, compat: member.compat }))
            .collect();
        if self.behaviour.has(Defect::KsPushFirstMemberOnly) {
            while pending.len() > 1 {
                pending.pop_last();
            }
        }
        if self.behaviour.has(Defect::KsPushNeedsPhase1) {
            let there = |member: &Member| self.ike.find_peer(&member.identity).is_some();
            pending.retain(|id, _| group.members.get(id).is_some_and(there));
        }
        let multicast = match kek.transport {
            Transport::Unicast => None,
            Transport::Multicast(address) => Some(address),
        };
        let config = group.config.kek.as_ref()?;
        let (period, mut copies) = (config.retransmit_period, config.retransmit_count);
        let silenced = if multicast.is_some() { Defect::KsMcastNoCopies } else { Defect::KsUnicastNoCopies };
        if self.behaviour.has(silenced) {
            copies = 0;
        }
        let expects_ack = kek.ack.is_some() || group.config.ack.accepts_encrypted();
        self.next_serial += 1;
        let number = self.next_serial;
        let mut job = PushJob {
            group: id,
            kek_spi: kek.spi,
            sequence,
            label: content.label,
            scheduled: content.scheduled,
            clears_members: content.clears_members,
            started: now.mono,
            datagrams: BTreeMap::new(),
            pending,
            multicast,
            expects_ack,
            copy: 0,
            copies,
            period,
            copy_started: now.mono,
            cursor: None,
            stage: Stage::Sending,
            content: None,
        };
        self.build_datagrams(now, &kek, &mut job, &content);
        if self.behaviour.has(Defect::KsRetransmitChanges) {
            job.content = Some(content);
        }
        // A newer PUSH under the same KEK makes copies of an older one useless: members refuse the lower number.
        for other in self.jobs.values_mut().filter(|other| other.kek_spi == kek.spi) {
            other.copies = other.copy;
        }
        let content_clears = job.clears_members;
        if let Some(group) = self.groups.get_mut(&id) {
            group.counters.pushes += 1;
            for member in group.members.values_mut() {
                member.rekeys_sent += 1;
                if content_clears {
                    member.leaving = Some(number);
                }
                member.sent.push_front((kek.spi, sequence));
                member.sent.truncate(RING);
            }
        }
        let reply = CommandReply::Pushed { kek_spi: hex::encode(kek.spi), sequence, members: job.pending.len() };
        self.jobs_by_push.insert((kek.spi, sequence), number);
        let start = if kek.delivered_by.is_some() { kek.created + SETTLE } else { now.mono };
        job.copy_started = start.max(now.mono);
        self.jobs.insert(number, job);
        if start > now.mono {
            self.timers.set(Timer::Job(number), start);
        } else {
            self.job_due(now, number);
        }
        Some(reply)
    }

    /// Moves a PUSH on: the next batch, the next copy, or the end.
    pub(super) fn job_due(&mut self, now: Now, number: u64) {
        let Some(mut job) = self.jobs.remove(&number) else { return };
        let next = match job.stage {
            Stage::Sending => self.send_batch(now, &mut job),
            Stage::Waiting if job.copy < job.copies && self.wants_copy(&job) => {
                job.copy += 1;
                job.copy_started = now.mono;
                job.cursor = None;
                job.stage = Stage::Sending;
                self.change_copy(now, &mut job);
                self.send_batch(now, &mut job)
            }
            Stage::Waiting => {
                self.conclude(now, number, job);
                return;
            }
        };
        self.timers.set(Timer::Job(number), next);
        self.jobs.insert(number, job);
    }

    /// Takes note of an acknowledgement.
    // REQ GDOI-ACK-027
    pub(super) fn acknowledge(&mut self, spi: [u8; 16], sequence: u32, member: MemberId) {
        let Some(number) = self.jobs_by_push.get(&(spi, sequence)) else { return };
        if let Some(job) = self.jobs.get_mut(number)
            && !self.behaviour.has(Defect::KsCopiesAfterAck)
        {
            job.pending.remove(&member);
        }
    }

    /// Gives the address that PUSH messages come from; the port is the one of the SAK.
    pub(super) fn push_source(&self) -> SocketAddr {
        self.config.listen.first().copied().unwrap_or_else(|| SocketAddr::from(([0, 0, 0, 0], 848)))
    }

    /// Counts on and gives the number of the next PUSH.
    // REQ GDOI-PUSH-017 GDOI-PUSH-018 GDOI-PUSH-021
    fn next_sequence(&mut self, id: u32, content: &Content) -> Option<u32> {
        let kek = self.groups.get_mut(&id)?.kek.as_mut()?;
        if self.behaviour.has(Defect::KsKekseqReset) && content.kek.is_some() {
            return Some(1);
        }
        if self.behaviour.has(Defect::KsSeqRestartOnFailover) && kek.sequence == 2 {
            kek.sequence = 0;
        }
        kek.sequence = kek.sequence.checked_add(1)?;
        if self.behaviour.has(Defect::KsSequenceSkips) {
            kek.sequence = kek.sequence.checked_add(1)?;
        }
        if self.behaviour.has(Defect::KsSequenceRepeats) {
            return Some(kek.sequence.div_ceil(2));
        }
        Some(kek.sequence)
    }

    fn build_datagrams(&mut self, now: Now, kek: &Kek, job: &mut PushJob, content: &Content) {
        let single = self.behaviour.has(Defect::KsSequencePerMember) && job.multicast.is_none();
        let mut varieties: Vec<Variety> = if job.multicast.is_some() {
            vec![(Compat::NONE, None)]
        } else {
            job.pending.iter().map(|(id, target)| (target.compat, single.then_some(*id))).collect()
        };
        varieties.sort_unstable();
        varieties.dedup();
        for (index, variety) in varieties.into_iter().enumerate() {
            let mut sequence = job.sequence;
            if single && index > 0 {
                sequence = job.sequence.saturating_add(u32::try_from(index).unwrap_or(0));
                if let Some(kek) = self.groups.get_mut(&job.group).and_then(|group| group.kek.as_mut()) {
                    kek.sequence = kek.sequence.max(sequence);
                }
            }
            if let Some(datagram) = self.build_push(now, job.group, kek, sequence, content, variety.0) {
                job.datagrams.insert(variety, datagram.into());
            }
        }
    }

    fn build_push(
        &mut self,
        now: Now,
        id: u32,
        kek: &Kek,
        sequence: u32,
        content: &Content,
        compat: Compat,
    ) -> Option<Vec<u8>> {
        let group = self.groups.get(&id)?;
        let behaviour = self.behaviour.clone();
        let context = Context {
            now: now.mono,
            wall: now.wall,
            server: self.push_source(),
            member: None,
            compat,
            behaviour: &behaviour,
        };
        // Peers of the 2011 implementation repeat the KEK in every PUSH.
        let repeats = compat.has(Compat::SAK_IN_TEK_PUSH) && !content.teks.is_empty();
        let announced = content.kek.as_ref().or_else(|| repeats.then_some(kek));
        let old_spi = compat.has(Compat::KD_OLD_SPI) || behaviour.has(Defect::KsKdOldSpi);
        let keys = Keys {
            kek: announced.filter(|_| !behaviour.has(Defect::KsKekPushWithoutKey)),
            kek_spi: (old_spi && content.kek.is_some()).then_some(kek.spi),
            leaf: leaf_for_push(group, &behaviour),
            updates: content.updates.clone(),
            teks: content.teks.iter().filter(|_| !behaviour.has(Defect::KsPushTekWithoutKey)).collect(),
            // REQ GDOI-SID-013
            sids: behaviour.has(Defect::KsSidInPush).then(|| (group.config.sid_bits.unwrap_or(8), vec![0])),
        };
        let mut announced_teks = content.teks.clone();
        if behaviour.has(Defect::KsLargePushCut) {
            announced_teks.iter_mut().for_each(|tek| tek.config.acl.truncate(16));
        }
        let teks: Vec<&Tek> = announced_teks.iter().collect();
        // REQ GDOI-PUSH-025 GDOI-PUSH-029 GDOI-PUSH-030
        let (sa, kd) = if announced.is_none() && teks.is_empty() {
            (None, None)
        } else {
            let delays = if teks.is_empty() { Delays::None } else { Delays::Configured(content.shorten) };
            let gap = policy::gap(context, group, delays);
            let sak = announced.filter(|_| !behaviour.has(Defect::KsKekPushWithoutSak));
            let sa = (sak.is_some() || !teks.is_empty()).then(|| policy::sa_body(context, sak, gap, &teks));
            (sa, Some(policy::kd_body(context, &keys)))
        };
        let mut deletes = content.deletes.clone();
        // REQ GDOI-PL-075
        if behaviour.has(Defect::KsDeleteMixed) && deletes.len() > 1 {
            deletes = vec![mix(&deletes)];
        }
        let (iv, key) = kek.iv_and_key();
        let carried = kek.carried_iv.clone();
        let iv = carried.as_deref().filter(|_| behaviour.has(Defect::KsPushIvChained)).unwrap_or(iv);
        let parts = PushParts {
            spi: kek.spi,
            sequence,
            deletes,
            sa,
            kd,
            cipher: kek.cipher,
            iv,
            key,
            signing_key: kek.signing_key.as_ref()?,
            hash: kek.hash,
            bare: compat.has(Compat::SIG_BARE_DIGEST),
        };
        let datagram = push::build(&parts, &behaviour, &mut self.signing).ok()?;
        let last = datagram.get(datagram.len().saturating_sub(kek.cipher.block_len())..)?.to_vec();
        if let Some(current) = self.groups.get_mut(&id).and_then(|group| group.kek.as_mut()) {
            current.carried_iv = Some(last);
        }
        Some(datagram)
    }

    /// Sends one batch of the current copy and gives the time of the next step.
    fn send_batch(&mut self, now: Now, job: &mut PushJob) -> Instant {
        let group = self.groups.get(&job.group);
        let source_port = group.and_then(|group| group.kek_of(&job.kek_spi)).map_or(848, |kek| kek.source_port);
        let mut source = self.push_source();
        source.set_port(source_port);
        // REQ GDOI-PUSH-006
        if self.behaviour.has(Defect::KsPushWrongSource) {
            source.set_port(source_port ^ 1);
        }
        let finished = match job.multicast {
            Some(group) => {
                if let Some(datagram) = job.datagrams.values().next() {
                    self.ike.send_on(Path { local: source, peer: group, marker: false }, datagram);
                    self.count_datagrams(job.group, 1);
                }
                true
            }
            None => self.send_to_members(job, source),
        };
        if !finished {
            return now.mono + PACE;
        }
        let members = if job.multicast.is_some() { 0 } else { job.pending.len() };
        let kind = EventKind::PushSent {
            group: job.group,
            kek_spi: hex::encode(job.kek_spi),
            sequence: job.sequence,
            content: job.label,
            copy: job.copy,
            members,
        };
        self.journal.tell(now.mono, job.multicast, kind);
        job.stage = Stage::Waiting;
        if job.copy < job.copies { job.copy_started + job.period } else { now.mono + job.period.max(ACK_WAIT) }
    }

    // REQ GDOI-PUSH-031
    fn send_to_members(&mut self, job: &mut PushJob, source: SocketAddr) -> bool {
        let single = self.behaviour.has(Defect::KsSequencePerMember);
        let from = job.cursor.map_or(Bound::Unbounded, Bound::Excluded);
        let mut targets = job.pending.range((from, Bound::Unbounded));
        let batch: Vec<(MemberId, Target)> = targets.by_ref().take(BATCH).map(|(id, target)| (*id, *target)).collect();
        let finished = targets.next().is_none();
        job.cursor = batch.last().map(|(id, _)| *id).or(job.cursor);
        self.count_datagrams(job.group, batch.len() as u64);
        for (id, target) in batch {
            let Some(datagram) = job.datagrams.get(&(target.compat, single.then_some(id))) else { continue };
            let local = if target.path.marker || target.path.local.ip() != source.ip() {
                // Behind a NAT only the path of phase 1 leads to the member.
                SocketAddr::new(
                    target.path.local.ip(),
                    if target.path.marker { target.path.local.port() } else { source.port() },
                )
            } else {
                source
            };
            let path = Path { local, ..target.path };
            self.ike.send_on(path, datagram);
        }
        finished
    }

    fn count_datagrams(&mut self, id: u32, count: u64) {
        if let Some(group) = self.groups.get_mut(&id) {
            group.counters.push_datagrams += count;
        }
    }

    /// Tells whether one more copy is of use. Multicast copies always are.
    // REQ GDOI-PUSH-032
    fn wants_copy(&self, job: &PushJob) -> bool {
        job.multicast.is_some() || !job.pending.is_empty()
    }

    fn change_copy(&mut self, now: Now, job: &mut PushJob) {
        let Some(content) = job.content.clone() else { return };
        let Some(mut kek) = self.groups.get(&job.group).and_then(|group| group.kek_of(&job.kek_spi)).cloned() else {
            return;
        };
        job.sequence = job.sequence.saturating_add(1);
        kek.sequence = kek.sequence.max(job.sequence);
        if let Some(current) = self.groups.get_mut(&job.group).and_then(|group| group.kek.as_mut())
            && current.spi == kek.spi
        {
            current.sequence = kek.sequence;
        }
        self.build_datagrams(now, &kek, job, &content);
    }

    /// Ends a PUSH: notes missing acknowledgements and gives up members that stay silent.
    // REQ GDOI-ACK-030 GDOI-ACK-031
    fn conclude(&mut self, now: Now, number: u64, job: PushJob) {
        self.jobs_by_push.remove(&(job.kek_spi, job.sequence));
        let mut removed = Vec::new();
        let mut events = Vec::new();
        let Some(group) = self.groups.get_mut(&job.group) else { return };
        let least = group.config.rekey.missed_before_removal.max(1);
        let unconditional = group.config.ack == AckPolicy::Cisco;
        let counts = job.multicast.is_none() || self.behaviour.has(Defect::KsMcastRemovesSilent);
        for id in job.pending.keys() {
            let Some(member) = group.members.get_mut(id) else { continue };
            if job.clears_members {
                continue;
            }
            let expected =
                job.expects_ack || (job.multicast.is_some() && self.behaviour.has(Defect::KsMcastRemovesSilent));
            if !expected || member.registered > job.started {
                continue;
            }
            group.counters.acks_missed += 1;
            if job.scheduled {
                // A faulty server counts every copy for itself.
                member.missed += if self.behaviour.has(Defect::GmRemovedOnRetransmit) { 1 + job.copies } else { 1 };
            }
            let kind = EventKind::AckMissing {
                group: job.group,
                identity: member.identity.to_string(),
                sequence: job.sequence,
                missed: member.missed,
            };
            events.push((member.path.peer, kind));
            // RFC 8263 wants one acknowledgement first; the encrypted form is what every member of such a group sends.
            let judged = unconditional || member.acks > 0 || self.behaviour.has(Defect::KsMcastRemovesSilent);
            let tolerated = member.compat.has(Compat::MISSING_ACK_OK) || self.behaviour.has(Defect::KsNeverRemoves);
            if counts && member.missed >= least && judged && !tolerated {
                removed.push((*id, "missed-rekeys"));
            }
        }
        if job.clears_members {
            // Members that acknowledged are gone as well, unless they are back already.
            let gone: Vec<MemberId> =
                group.members.iter().filter(|(_, member)| member.leaving == Some(number)).map(|(id, _)| *id).collect();
            removed = gone.into_iter().map(|id| (id, "cleared")).collect();
        }
        for (peer, kind) in events {
            self.journal.tell(now.mono, Some(peer), kind);
        }
        for (id, reason) in removed {
            self.drop_member(now, job.group, id, reason);
        }
    }

    fn drop_member(&mut self, now: Now, id: u32, member: MemberId, reason: &'static str) {
        let Some(group) = self.groups.get_mut(&id) else { return };
        let Some(member) = group.take_member(member) else { return };
        if reason == "missed-rekeys" {
            group.counters.removals += 1;
            group.banned.insert(member.key.clone());
        }
        let kind = EventKind::MemberRemoved { group: id, identity: member.identity.to_string(), reason };
        self.journal.tell(now.mono, Some(member.path.peer), kind);
    }
}

fn leaf_for_push<'a>(
    group: &'a super::group::Group,
    behaviour: &crate::behaviour::Behaviour,
) -> Option<(&'a super::group::Group, u16)> {
    // REQ GDOI-LKH-005
    let leaf = group.members.values().find_map(|member| member.leaf)?;
    behaviour.has(Defect::KsLkhDownloadInPush).then_some((group, leaf))
}

/// Puts the SPIs of several Delete payloads into one, as no RFC allows.
fn mix(deletes: &[Vec<u8>]) -> Vec<u8> {
    let mut mixed = deletes.first().cloned().unwrap_or_default();
    for other in deletes.iter().skip(1) {
        // The header of a Delete body is 8 octets.
        mixed.extend(other.iter().skip(8).take(4));
    }
    let count = mixed.len().saturating_sub(8) / 4;
    if let Some(field) = mixed.get_mut(6..8) {
        field.copy_from_slice(&u16::try_from(count).unwrap_or(u16::MAX).to_be_bytes());
    }
    mixed
}
