//! What a key server shows.

use std::collections::BTreeMap;

use hallmark_core::{Instant, Pseudotime};

use super::KeyServer;
use super::group::{Group, Kek, Member};
use super::rekey::transport_name;
use crate::config::data::ReplayMethod;
use crate::status::{CommonStatus, GroupStatus, KekStatus, KsStatus, MemberStatus, SidStatus, TekStatus};

impl KeyServer {
    pub(super) fn make_status(&self, now: Instant) -> KsStatus {
        KsStatus {
            role: "ks",
            listen: self.config.listen.clone(),
            groups: self.groups.values().map(|group| self.group_status(group, now)).collect(),
            common: CommonStatus::of(
                &self.ike,
                &self.journal,
                &self.behaviour,
                &self.limits,
                &self.config.phase1.allow_weak,
                self.compat_table(),
            ),
        }
    }

    fn compat_table(&self) -> BTreeMap<String, Vec<&'static str>> {
        self.config
            .peers
            .iter()
            .filter(|peer| peer.compat != crate::config::Compat::NONE)
            .map(|peer| (format!("{}/{}", peer.rule.network, peer.rule.prefix), peer.compat.names()))
            .collect()
    }

    fn group_status(&self, group: &Group, now: Instant) -> GroupStatus {
        let rekey_in = self.kek_due_at(group).map(|at| at.saturating_since(now).as_secs());
        GroupStatus {
            id: group.config.id,
            transport: transport_name(group.config.kek.as_ref().map(|kek| kek.transport)),
            ack: group.config.ack.name(),
            signing_key: group.config.signing_key.is_some(),
            kek: group.kek.as_ref().map(|kek| kek_status(kek, now, rekey_in)),
            previous_kek: group.retired.first().map(|kek| kek_status(kek, now, None)),
            teks: group
                .teks
                .iter()
                .rev()
                .map(|tek| TekStatus {
                    policy: tek.policy,
                    spi: tek.spi,
                    transform: tek.config.transform.to_string(),
                    acl: tek.config.acl.iter().map(ToString::to_string).collect(),
                    lifetime_secs: tek.config.lifetime.as_secs(),
                    remaining_secs: tek.expires.saturating_since(now).as_secs(),
                    rekey_in_secs: (!tek.replaced).then(|| self.tek_due_at(group, tek).saturating_since(now).as_secs()),
                })
                .collect(),
            member_count: group.members.len(),
            members: group.members.values().map(|member| member_status(member, now)).collect(),
            sids: group.config.sid_bits.map(|bits| SidStatus { bits, next: group.next_sid, left: group.sids_left() }),
            pushes: group.counters.pushes,
            push_datagrams: group.counters.push_datagrams,
            acks: group.counters.acks,
            acks_missed: group.counters.acks_missed,
            removals: group.counters.removals,
            registrations: group.counters.registrations,
            policy_pending: group.pending.is_some(),
            lkh: group.tree.is_some(),
            replay: replay_name(group),
            pseudotime_secs: group.clock.map(|clock| Pseudotime::secs(clock.at(now))),
            receive_only: group.config.data.receive_only,
        }
    }
}

fn replay_name(group: &Group) -> String {
    let data = &group.config.data;
    match (data.replay, data.d3p) {
        (ReplayMethod::Counter { window }, _) => format!("counter, {window} packets"),
        (ReplayMethod::Time { window_secs }, _) => format!("time, {window_secs} s"),
        (ReplayMethod::None, Some(window)) => format!("d3p, {} ms", window.as_millis()),
        (ReplayMethod::None, None) => "none".to_owned(),
    }
}

fn kek_status(kek: &Kek, now: Instant, rekey_in_secs: Option<u64>) -> KekStatus {
    KekStatus {
        spi: hex::encode(kek.spi),
        cipher: kek.cipher.name(),
        sig_hash: kek.hash.name(),
        sequence: kek.sequence,
        lifetime_secs: kek.lifetime.as_secs(),
        remaining_secs: kek.expires().saturating_since(now).as_secs(),
        rekey_in_secs,
        ack_requested: kek.ack,
    }
}

fn member_status(member: &Member, now: Instant) -> MemberStatus {
    MemberStatus {
        identity: member.identity.to_string(),
        address: member.path.peer,
        version: member.version.map(|version| version.to_string()),
        registered_secs: now.saturating_since(member.registered).as_secs(),
        registrations: member.registrations,
        sids: member.sids.clone(),
        sent: member.sent.iter().map(|(_, sequence)| *sequence).collect(),
        received: member.received.iter().map(|(_, sequence)| *sequence).collect(),
        rekeys_sent: member.rekeys_sent,
        acks: member.acks,
        missed: member.missed,
    }
}
