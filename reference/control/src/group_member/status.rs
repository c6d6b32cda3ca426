//! What a group member shows.

use std::collections::BTreeMap;

use hallmark_core::Instant;

use super::GroupMember;
use super::keys::RekeySa;
use crate::config::{Compat, EncapsulationMode, SaDirection};
use crate::sadb::Sa;
use crate::status::{CommonStatus, GmKekStatus, GmStatus, SaStatus};

impl GroupMember {
    pub(super) fn make_status(&self, now: Instant) -> GmStatus {
        let senders: Vec<u32> = self.sadb.senders(now).iter().map(|sa| sa.spi).collect();
        let registered = self.is_registered(now);
        let address = |server: usize| self.config.servers.get(server).map(|server| server.address);
        GmStatus {
            role: "gm",
            listen: self.config.listen,
            group: self.config.group.id,
            state: self.stage_name(registered),
            registered,
            server: self.home.or_else(|| self.current_server()).and_then(address),
            servers: self.config.servers.iter().map(|server| server.address).collect(),
            kek: self.kek.as_ref().map(|kek| kek_status(kek, now)),
            previous_kek: self.previous.as_ref().map(|kek| kek_status(kek, now)),
            sas: self.sadb.iter().map(|sa| sa_status(sa, now, senders.contains(&sa.spi))).collect(),
            acl: self.acl().rules().iter().map(ToString::to_string).collect(),
            replay: self.replay_status(now),
            direction: self.direction(),
            recovery: self.recovery_status(),
            accepted_spis: self.sadb.accepted(now),
            send_spis: senders,
            sids: self.sids.as_ref().map(|sids| sids.values.clone()).unwrap_or_default(),
            sid_bits: self.sids.as_ref().map(|sids| sids.bits),
            reregisters_in_secs: self.planned_registration().map(|at| at.saturating_since(now).as_secs()),
            registrations: self.counters.registrations,
            attempts: self.counters.attempts,
            rekeys_received: self.counters.rekeys,
            rekeys_since_registration: self.counters.rekeys_since_registration,
            repeats_received: self.counters.repeats,
            acks_sent: self.counters.acks,
            multicast_groups: self.joined.into_iter().collect(),
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
            .servers
            .iter()
            .filter(|server| server.compat != Compat::NONE)
            .map(|server| (server.address.to_string(), server.compat.names()))
            .collect()
    }
}

fn kek_status(kek: &RekeySa, now: Instant) -> GmKekStatus {
    GmKekStatus {
        spi: hex::encode(kek.spi),
        cipher: kek.cipher.name(),
        sig_hash: kek.hash.name(),
        sequence: kek.sequence,
        remaining_secs: kek.expires.map(|expires| expires.saturating_since(now).as_secs()),
        ack_requested: kek.ack,
        source: kek.source,
        destination: kek.destination,
        lkh_keys: kek.lkh.as_ref().map_or(0, crate::lkh::Path::len),
    }
}

fn sa_status(sa: &Sa, now: Instant, sends: bool) -> SaStatus {
    let until = |at: Instant| at.saturating_since(now).as_secs();
    SaStatus {
        spi: sa.spi,
        transform: sa.transform.to_string(),
        selectors: sa.selectors.iter().map(ToString::to_string).collect(),
        mode: match sa.mode {
            EncapsulationMode::Tunnel => "tunnel",
            EncapsulationMode::Transport => "transport",
        },
        direction: match sa.direction {
            SaDirection::SenderOnly => "sender-only",
            SaDirection::ReceiverOnly => "receiver-only",
            SaDirection::Symmetric => "symmetric",
        },
        remaining_secs: Some(until(sa.expires)),
        sends,
        accepts: sa.accepts(now),
        activates_in_secs: (sa.activates > now).then(|| until(sa.activates)),
        deactivates_in_secs: sa.deactivates.map(until),
    }
}
