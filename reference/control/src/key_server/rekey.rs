//! When keys are replaced, and with what.

use hallmark_core::{Duration, Instant, Now};

use super::group::{Generation, Group, Kek, MemberId, Tek};
use super::policy;
use super::send::Content;
use super::{CommandError, CommandReply, KeyServer, Timer};
use crate::behaviour::{Defect, Variant};
use crate::config::{GroupConfig, Transport};
use crate::event::EventKind;
use crate::lkh::Tree;
use crate::sadb::shortened;

/// TEKs that are due within this time go into one PUSH.
const TOGETHER: Duration = Duration::from_secs(1);
/// How long keys that were made ahead may wait.
const PREPARED_FOR: Duration = Duration::from_secs(60);
/// A KEK is replaced when its counter comes this close to the end.
const LAST_SEQUENCE: u32 = u32::MAX - 256;

/// Says what a changed configuration asks for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Change {
    /// The next TEKs are made from the new configuration; nothing else.
    Teks,
    /// The KEK must be replaced as well.
    Kek,
    /// Nothing of the old keys can stay.
    Everything,
}

impl KeyServer {
    /// Makes the first keys of a group.
    pub(super) fn start_group(&mut self, now: Instant, config: GroupConfig) {
        let id = config.id;
        let mut group = Group::new(config);
        let generation = group.make_generation(now, &mut self.keys, &self.behaviour);
        // A group that cannot sign says so when it starts, not when the first rekey is missing.
        let silent = self.behaviour.has(Defect::NoRsaKey);
        if generation.kek.as_ref().is_some_and(|kek| kek.signing_key.is_none()) && !silent {
            self.journal.tell(now, None, EventKind::NoSigningKey { group: id });
        }
        self.announce(now, id, &generation);
        group.kek = generation.kek;
        group.teks = generation.teks;
        group.tree = self.make_tree(&group);
        self.groups.insert(id, group);
        self.schedule(id);
    }

    /// Replaces the KEK because its time has come.
    pub(super) fn kek_due(&mut self, now: Now, id: u32) {
        self.apply_and_rotate(now, id, true);
        self.schedule(id);
    }

    /// Replaces the TEKs whose time has come.
    pub(super) fn teks_due(&mut self, now: Now, id: u32) {
        let change = self.apply_pending(now, id);
        match change {
            Some(Change::Everything) => {
                self.clean_slate(now, id, "delete");
            }
            Some(Change::Kek) => {
                self.rotate_kek(now, id, true, None);
                self.renew_teks(now, id, Renewal::due());
            }
            Some(Change::Teks) | None => {
                self.renew_teks(now, id, Renewal::due());
            }
        }
        self.schedule(id);
    }

    /// Forgets what is over.
    // REQ GDOI-SEC-006
    pub(super) fn clean_group(&mut self, now: Instant, id: u32) {
        let Some(group) = self.groups.get_mut(&id) else { return };
        group.teks.retain(|tek| tek.expires > now);
        for kek in group.retired.extract_if(.., |kek| kek.forget <= now) {
            self.keks.remove(&kek.spi);
        }
        self.schedule(id);
    }

    /// Sets the timers of a group from its keys.
    pub(super) fn schedule(&mut self, id: u32) {
        let Some(group) = self.groups.get(&id) else { return };
        match self.kek_due_at(group) {
            Some(at) => self.timers.set(Timer::Kek(id), at),
            None => self.timers.cancel(Timer::Kek(id)),
        }
        match group.teks.iter().filter(|tek| !tek.replaced).map(|tek| self.tek_due_at(group, tek)).min() {
            Some(at) => self.timers.set(Timer::Tek(id), at),
            None => self.timers.cancel(Timer::Tek(id)),
        }
        let over = group.teks.iter().filter(|tek| tek.replaced).map(|tek| tek.expires);
        match over.chain(group.retired.iter().map(|kek| kek.forget)).min() {
            Some(at) => self.timers.set(Timer::Clean(id), at),
            None => self.timers.cancel(Timer::Clean(id)),
        }
    }

    /// Gives the time at which the KEK is replaced.
    // REQ GDOI-PUSH-033 GDOI-PUSH-034
    pub(super) fn kek_due_at(&self, group: &Group) -> Option<Instant> {
        let (kek, config) = (group.kek.as_ref()?, group.config.kek.as_ref()?);
        if kek.sequence >= LAST_SEQUENCE {
            return Some(kek.created);
        }
        // Without a signing key nothing can be pushed: the KEK serves until it expires.
        if kek.signing_key.is_none() || self.behaviour.has(Defect::KsKekAtExpiry) {
            return Some(kek.expires());
        }
        let lead = lead(config.lead_floor, group.config.rekey.lead_percent, kek.lifetime, self.addend(group));
        Some(kek.expires() - lead)
    }

    /// Gives the time at which a TEK is replaced.
    pub(super) fn tek_due_at(&self, group: &Group, tek: &Tek) -> Instant {
        if self.behaviour.has(Defect::KsTekRekeyLate) {
            return tek.expires + Duration::from_secs(10);
        }
        let rekey = group.config.rekey;
        let mut percent = rekey.lead_percent;
        if self.behaviour.varies(Variant::KsRekeysEarlier) {
            percent = 25;
        }
        let lead = lead(rekey.tek_lead_floor, percent, tek.config.lifetime, self.addend(group));
        // A policy rekey may have shortened the life of this TEK; its birth still counts.
        (tek.created + tek.config.lifetime - lead).max(tek.created)
    }

    /// Gives the time that the copies of a unicast PUSH take.
    fn addend(&self, group: &Group) -> Duration {
        match &group.config.kek {
            Some(kek) if kek.transport == Transport::Unicast && !self.behaviour.has(Defect::KsLeadIgnoresCopies) => {
                kek.retransmit_period * kek.retransmit_count + Duration::from_secs(5)
            }
            _ => Duration::ZERO,
        }
    }

    /// Makes TEKs anew and pushes them.
    pub(super) fn renew_teks(&mut self, now: Now, id: u32, renewal: Renewal) -> Option<CommandReply> {
        let group = self.groups.get(&id)?;
        let policies: Vec<usize> = (0..group.config.teks.len())
            .filter(|policy| {
                let newest = group.teks.iter().find(|tek| tek.policy == *policy && !tek.replaced);
                let due = |tek: &Tek| self.tek_due_at(group, tek) <= now.mono + TOGETHER;
                renewal.all || newest.is_none_or(due)
            })
            .collect();
        if policies.is_empty() {
            return None;
        }
        let behaviour = &self.behaviour;
        let mut fresh = group.make_teks(policies, now.mono, &mut self.keys, behaviour);
        let group = self.groups.get_mut(&id)?;
        let mut old: Vec<Tek> = Vec::new();
        for tek in &mut group.teks {
            let gone = tek.policy >= group.config.teks.len();
            if gone || fresh.iter().any(|new| new.policy == tek.policy) {
                old.push(tek.clone());
                tek.replaced = true;
            }
        }
        group.teks.extend(fresh.iter().cloned());
        let shorten = match renewal.old {
            Old::Shorten if !self.behaviour.has(Defect::KsOldTeksNotShortened) => {
                // TEK_SLT = min(remaining, max(90 s, min(5 % of the lifetime, 3600 s))), the longest one for all.
                let kept = old.iter().map(|tek| shortened(tek.config.lifetime)).max();
                for tek in group.teks.iter_mut().filter(|tek| tek.replaced) {
                    tek.expires = tek.expires.min(now.mono + kept.unwrap_or_default());
                }
                kept
            }
            _ => None,
        };
        let mut deletes = Vec::new();
        if renewal.old == Old::Delete {
            group.teks.retain(|tek| !tek.replaced);
            if !self.behaviour.has(Defect::KsReplaceNowKeepsOld) {
                let old: Vec<&Tek> = old.iter().collect();
                deletes = policy::delete_teks(&old, &self.behaviour);
            }
        }
        for tek in &fresh {
            self.announce_tek(now.mono, id, tek);
        }
        let group = self.groups.get(&id)?;
        let brought: Vec<u32> = fresh.iter().map(|tek| tek.spi).collect();
        if self.behaviour.varies(Variant::KsPushRepeatsPolicy) {
            fresh.extend(group.live_teks(now.mono).filter(|tek| tek.replaced).cloned());
        }
        if group.lists_whole() {
            // With deny entries the order over all TEKs matters, so those that are not due are told again.
            let others = group.live_teks(now.mono).filter(|tek| !tek.replaced && !brought.contains(&tek.spi));
            fresh.extend(others.cloned());
            fresh.sort_by_key(|tek| (tek.policy, tek.replaced));
        }
        let content = if renewal.old == Old::Delete { "replace" } else { "tek" };
        let content = Content { deletes, teks: fresh, shorten, scheduled: renewal.scheduled, ..Content::new(content) };
        self.push(now, id, content)
    }

    /// Applies a changed configuration and replaces the KEK.
    pub(super) fn apply_and_rotate(&mut self, now: Now, id: u32, scheduled: bool) -> Option<CommandReply> {
        if self.apply_pending(now, id) == Some(Change::Everything) {
            return self.clean_slate(now, id, "delete");
        }
        self.rotate_kek(now, id, scheduled, None)
    }

    /// Makes a new KEK and delivers it under the old one. `removal` is a member that must not learn it.
    // REQ GDOI-PUSH-019 GDOI-PUSH-020 GDOI-PUSH-023 GDOI-PUSH-024
    pub(super) fn rotate_kek(
        &mut self,
        now: Now,
        id: u32,
        scheduled: bool,
        removal: Option<Removal>,
    ) -> Option<CommandReply> {
        let together = removal.is_some() && self.behaviour.has(Defect::KsRemovalInOnePush);
        let removed = removal.and_then(|removal| removal.leaf);
        let continues = self
            .groups
            .get(&id)?
            .members
            .values()
            .any(|member| member.compat.has(crate::config::Compat::SEQ_CONTINUES));
        let mut new = self.groups.get(&id)?.make_kek(now.mono, &mut self.keys)?;
        let keys = &mut self.keys;
        let group = self.groups.get_mut(&id)?;
        let old = group.kek.clone();
        let root = new.iv_and_key.clone();
        let updates = match (&mut group.tree, removed) {
            (Some(tree), Some(leaf)) if !self.behaviour.has(Defect::KsLkhRemovedKept) => tree.remove(leaf, root, keys),
            (Some(tree), _) => tree.renew_root(root),
            (None, _) => Vec::new(),
        };
        let mut teks = Vec::new();
        if together || (scheduled && self.behaviour.varies(Variant::KsRekeysTogether)) {
            teks = self.replace_teks_quietly(now, id);
        }
        let label = if teks.is_empty() { "kek" } else { "tek+kek" };
        let reply = old.as_ref().and_then(|old| {
            if self.behaviour.has(Defect::KsKekRekeyUnderNewKek) {
                let group = self.groups.get_mut(&id)?;
                group.kek = Some(new.clone());
            }
            let content = Content { kek: Some(new.clone()), updates, teks, scheduled, ..Content::new(label) };
            let reply = self.push(now, id, content);
            let group = self.groups.get(&id)?;
            let sequence = group.kek.as_ref().map_or(0, |kek| kek.sequence);
            new.delivered_by = Some((old.spi, sequence));
            reply
        });
        if continues && let Some(old) = self.groups.get(&id).and_then(|group| group.kek.as_ref()) {
            new.sequence = old.sequence;
        }
        if self.behaviour.has(Defect::KsKekSequenceStartsAtTwo) || self.behaviour.has(Defect::KsKekRekeyUnderNewKek) {
            new.sequence = 1;
        }
        self.install_kek(now.mono, id, new);
        reply
    }

    /// Deletes everything at the members and goes on with new keys.
    // REQ GDOI-PL-076 GDOI-SID-009 GDOI-SID-010
    pub(super) fn clean_slate(&mut self, now: Now, id: u32, label: &'static str) -> Option<CommandReply> {
        let prepared = self.groups.get(&id)?.next.clone();
        let generation = prepared.or_else(|| self.make_generation_now(id, now.mono))?;
        let group = self.groups.get(&id)?;
        let reply = match &group.kek {
            Some(kek) => {
                let teks: Vec<&Tek> = group.teks.iter().collect();
                let deletes = policy::delete_all(&teks, kek, &self.behaviour);
                let mut content = Content { deletes, clears_members: true, ..Content::new(label) };
                // REQ GDOI-PUSH-029
                if self.behaviour.has(Defect::KsDeleteCarriesSa) {
                    content.teks = generation.teks.clone();
                }
                self.push(now, id, content)
            }
            None => None,
        };
        self.announce(now.mono, id, &generation);
        if let Some(group) = self.groups.get_mut(&id) {
            group.next = None;
            group.next_sid = 0;
            group.teks = generation.teks;
        }
        match generation.kek {
            Some(kek) => self.install_kek(now.mono, id, kek),
            None => self.schedule(id),
        }
        // Everyone registers again, so the tree starts anew around the new root.
        let tree = self.groups.get(&id).and_then(|group| self.make_tree(group));
        if let Some(group) = self.groups.get_mut(&id) {
            group.tree = tree;
            for member in group.members.values_mut() {
                member.leaf = None;
            }
        }
        self.schedule(id);
        reply
    }

    /// Deletes only the KEK at the members: they shorten their SAs and register again in time.
    pub(super) fn delete_kek_gently(&mut self, now: Now, id: u32) -> Option<CommandReply> {
        let group = self.groups.get(&id)?;
        let kek = group.kek.as_ref()?;
        let deletes = vec![policy::delete_kek(kek, &self.behaviour)];
        let reply = self.push(now, id, Content { deletes, clears_members: true, ..Content::new("delete") });
        let new = self.groups.get(&id)?.make_kek(now.mono, &mut self.keys)?;
        self.replace_teks_quietly(now, id);
        if let Some(group) = self.groups.get_mut(&id) {
            for tek in group.teks.iter_mut().filter(|tek| tek.replaced) {
                tek.expires = tek.expires.min(now.mono + shortened(tek.config.lifetime));
            }
        }
        self.install_kek(now.mono, id, new);
        let tree = self.groups.get(&id).and_then(|group| self.make_tree(group));
        if let Some(group) = self.groups.get_mut(&id) {
            group.tree = tree;
            for member in group.members.values_mut() {
                member.leaf = None;
            }
        }
        self.schedule(id);
        reply
    }

    /// Excludes one member.
    // REQ GDOI-PUSH-062 GDOI-PUSH-063
    pub(super) fn exclude(&mut self, now: Now, id: u32, member: MemberId) -> Result<CommandReply, CommandError> {
        let leaf = {
            let group = self.groups.get_mut(&id).ok_or(CommandError::NoGroup(id))?;
            if self.behaviour.has(Defect::KsRemovedStillPushed) {
                return Ok(CommandReply::Done);
            }
            let Some(member) = group.take_member(member) else { return Ok(CommandReply::Done) };
            group.counters.removals += 1;
            let leaf = member.leaf;
            let identity = member.identity.to_string();
            let kind = EventKind::MemberRemoved { group: id, identity, reason: "command" };
            self.journal.tell(now.mono, Some(member.path.peer), kind);
            leaf
        };
        let mut reply = None;
        if !self.behaviour.has(Defect::KsRemovalKeepsKek) {
            // A tree that the member has no leaf in renews its root like any other KEK.
            reply = self.rotate_kek(now, id, false, Some(Removal { leaf }));
        }
        if !self.behaviour.has(Defect::KsRemovalInOnePush) {
            reply = self.renew_teks(now, id, Renewal { all: true, old: Old::Shorten, scheduled: false }).or(reply);
        }
        self.schedule(id);
        Ok(reply.unwrap_or(CommandReply::Done))
    }

    /// Makes the keys that replace all others when sender ids run out, so that the next M2 can announce them.
    // REQ GDOI-SID-009 GDOI-SID-032
    pub(super) fn prepare_generation(&mut self, now: Instant, id: u32) {
        let Some(group) = self.groups.get(&id) else { return };
        // Keys that nobody came for are too old to begin a life with.
        let fresh = |next: &Generation| next.teks.iter().all(|tek| tek.created + PREPARED_FOR > now);
        let prepared = group.next.as_ref().is_some_and(fresh);
        if !group.counts() || group.sids_left() > 0 || prepared || self.behaviour.has(Defect::KsSidWraps) {
            return;
        }
        let generation = self.make_generation_now(id, now);
        if let Some(group) = self.groups.get_mut(&id) {
            group.next = generation;
        }
    }

    /// Makes the prepared keys the current ones, when `kek` says that they are still the prepared ones.
    pub(super) fn enter_generation(&mut self, now: Now, id: u32, kek: Option<[u8; 16]>) {
        let Some(group) = self.groups.get(&id) else { return };
        let fits = group.next.as_ref().is_some_and(|next| next.kek.as_ref().map(|kek| kek.spi) == kek);
        if fits {
            self.journal.tell(now.mono, None, EventKind::SidsExhausted { group: id });
            self.clean_slate(now, id, "delete");
        }
    }

    /// Takes over a changed configuration and says what it asks for; `None` when nothing changed.
    fn apply_pending(&mut self, now: Now, id: u32) -> Option<Change> {
        let group = self.groups.get_mut(&id)?;
        let new = *group.pending.take()?;
        let old = std::mem::replace(&mut group.config, new);
        let new = &group.config;
        let kek_config = |config: &GroupConfig| {
            config.kek.as_ref().map(|kek| (kek.cipher, kek.sig_hash, kek.transport, kek.source_port))
        };
        let key = |config: &GroupConfig| config.signing_key.as_ref().and_then(|key| key.public().to_spki_der().ok());
        let everything = old.sid_bits != new.sid_bits || old.lkh != new.lkh || old.kek.is_some() != new.kek.is_some();
        let kek = kek_config(&old) != kek_config(new) || old.ack != new.ack || key(&old) != key(new);
        let transport = |config: &GroupConfig| config.kek.as_ref().map(|kek| kek.transport);
        let moved = (transport(&old) != transport(new)).then(|| transport_name(transport(new)));
        if let Some(transport) = moved {
            self.journal.tell(now.mono, None, EventKind::TransportChanged { group: id, transport });
        }
        Some(if everything {
            Change::Everything
        } else if kek {
            Change::Kek
        } else {
            Change::Teks
        })
    }

    /// Does what a changed configuration asks for besides new TEKs; true when everything was replaced already.
    pub(super) fn settle_change(&mut self, now: Now, id: u32) -> bool {
        match self.apply_pending(now, id) {
            Some(Change::Everything) => {
                self.clean_slate(now, id, "delete");
                true
            }
            Some(Change::Kek) => {
                self.rotate_kek(now, id, false, None);
                false
            }
            Some(Change::Teks) | None => false,
        }
    }

    fn replace_teks_quietly(&mut self, now: Now, id: u32) -> Vec<Tek> {
        let Some(group) = self.groups.get(&id) else { return Vec::new() };
        let policies = 0..group.config.teks.len();
        let fresh = group.make_teks(policies, now.mono, &mut self.keys, &self.behaviour);
        if let Some(group) = self.groups.get_mut(&id) {
            group.teks.iter_mut().for_each(|tek| tek.replaced = true);
            group.teks.extend(fresh.iter().cloned());
        }
        for tek in &fresh {
            self.announce_tek(now.mono, id, tek);
        }
        fresh
    }

    fn install_kek(&mut self, now: Instant, id: u32, new: Kek) {
        if self.keks.insert(new.spi, id).is_none() {
            self.announce_kek(now, id, &new);
        }
        if let Some(group) = self.groups.get_mut(&id) {
            let wait = group
                .config
                .kek
                .as_ref()
                .map_or(Duration::ZERO, |kek| kek.retransmit_period * (kek.retransmit_count + 1));
            if let Some(mut old) = group.kek.replace(new)
                && group.kek.as_ref().is_some_and(|kek| kek.spi != old.spi)
            {
                // REQ GDOI-ACK-033: acknowledgements of what it protected may still come.
                old.forget = now + wait + Duration::from_secs(20);
                group.retired.insert(0, old);
            }
        }
        self.schedule(id);
    }

    fn make_generation_now(&mut self, id: u32, now: Instant) -> Option<Generation> {
        let group = self.groups.get(&id)?;
        Some(group.make_generation(now, &mut self.keys, &self.behaviour))
    }

    fn make_tree(&self, group: &Group) -> Option<Tree> {
        let kek = group.kek.as_ref().filter(|_| group.config.lkh)?;
        let same = self.behaviour.has(Defect::KsLkhHandleKept);
        Some(Tree::new(kek.cipher, self.limits.members, kek.iv_and_key.clone(), same))
    }

    fn announce(&mut self, now: Instant, id: u32, generation: &Generation) {
        if let Some(kek) = &generation.kek {
            self.keks.insert(kek.spi, id);
            self.announce_kek(now, id, kek);
        }
        for tek in &generation.teks {
            self.announce_tek(now, id, tek);
        }
    }

    fn announce_kek(&mut self, now: Instant, id: u32, kek: &Kek) {
        let kek_spi = hex::encode(kek.spi);
        if self.config.test.export_keys {
            let iv_and_key = hex::encode(kek.iv_and_key.expose());
            self.journal.tell(now, None, EventKind::KekMaterial { kek_spi: kek_spi.clone(), iv_and_key });
        }
        self.journal.tell(now, None, EventKind::KekCreated { group: id, kek_spi });
    }

    fn announce_tek(&mut self, now: Instant, id: u32, tek: &Tek) {
        if self.config.test.export_keys {
            let kind = EventKind::TekMaterial {
                spi: tek.spi,
                encryption_key: hex::encode(tek.encryption_key.expose()),
                integrity_key: hex::encode(tek.integrity_key.expose()),
            };
            self.journal.tell(now, None, kind);
        }
        self.journal.tell(now, None, EventKind::TekCreated { group: id, spi: tek.spi });
    }
}

/// Says whom a new KEK excludes.
#[derive(Clone, Copy)]
pub(super) struct Removal {
    /// Its place in the logical key hierarchy, when there is one.
    leaf: Option<u16>,
}

/// Says which TEKs are made anew and what becomes of the old ones.
#[derive(Clone, Copy)]
pub(super) struct Renewal {
    /// All of them, not only the ones that are due.
    pub(super) all: bool,
    pub(super) old: Old,
    /// It is one of the rekeys whose acknowledgements count for membership.
    pub(super) scheduled: bool,
}

/// Says what becomes of replaced TEKs.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Old {
    /// They live on until they expire.
    Keep,
    /// They live on for a shortened time.
    Shorten,
    /// They are deleted at once.
    Delete,
}

impl Renewal {
    const fn due() -> Self {
        Self { all: false, old: Old::Keep, scheduled: true }
    }
}

/// Gives the time before expiry at which a key is replaced.
///
/// `lead = max(floor, percent of lifetime) + addend`; when that is 80 % of the lifetime or more, the addend is left out,
/// and no key is replaced in the first half of its life.
pub(super) fn lead(floor: Duration, percent: u8, lifetime: Duration, addend: Duration) -> Duration {
    let base = floor.max(lifetime * u32::from(percent) / 100);
    let whole = base + addend;
    let lead = if whole * 5 >= lifetime * 4 { base } else { whole };
    lead.min(lifetime / 2)
}

pub(super) fn transport_name(transport: Option<Transport>) -> &'static str {
    match transport {
        Some(Transport::Unicast) => "unicast",
        Some(Transport::Multicast(_)) => "multicast",
        None => "none",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secs(floor: u64, percent: u8, lifetime: u64, addend: u64) -> u64 {
        let duration = Duration::from_secs;
        lead(duration(floor), percent, duration(lifetime), duration(addend)).as_secs()
    }

    #[test]
    fn lead_times_are_those_of_the_captures() {
        assert_eq!(secs(200, 10, 1_200, 55), 255);
        assert_eq!(secs(200, 10, 1_200, 35), 235);
        assert_eq!(secs(90, 10, 600, 35), 125);
        assert_eq!(secs(90, 10, 900, 185), 275);
        assert_eq!(secs(90, 10, 7_200, 600), 1_320);
        // Short lives fall back to the floor.
        assert_eq!(secs(90, 10, 120, 25), 60);
        assert_eq!(secs(90, 10, 140, 25), 70);
        assert_eq!(secs(200, 10, 360, 25), 180);
    }
}
