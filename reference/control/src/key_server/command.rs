//! What an operator tells a key server.

use hallmark_core::Now;

use super::group::{MemberId, identity_octets};
use super::rekey::{Old, Renewal};
use super::{CommandError, CommandReply, KeyServer, KsCommand};
use crate::behaviour::Defect;
use crate::config::GroupConfig;
use crate::event::EventKind;
use crate::ike::SaId;

impl KeyServer {
    pub(super) fn command(&mut self, now: Now, command: KsCommand) -> Result<CommandReply, CommandError> {
        match command {
            KsCommand::Rekey { group } => self.rekey(now, group, Old::Shorten),
            KsCommand::RekeyReplaceNow { group } => self.rekey(now, group, Old::Delete),
            KsCommand::RekeyKek { group } => {
                self.can_push(group)?;
                let reply = self.apply_and_rotate(now, group, false);
                self.schedule(group);
                reply.ok_or(CommandError::NoPush(group))
            }
            KsCommand::ClearMembers { group, now: true } | KsCommand::DeleteGroupKeys { group } => {
                self.can_push(group)?;
                self.settle_quietly(group);
                self.clean_slate(now, group, "delete").ok_or(CommandError::NoPush(group))
            }
            KsCommand::ClearMembers { group, now: false } => {
                self.can_push(group)?;
                self.delete_kek_gently(now, group).ok_or(CommandError::NoPush(group))
            }
            KsCommand::RemoveMember { group, identity } => {
                let member = self.member_by_text(group, &identity)?;
                self.exclude(now, group, member)
            }
            KsCommand::ReplacePolicy { group, config } => self.replace_policy(now, group, *config),
            KsCommand::Authorize { group, identity } => {
                let group = self.groups.get_mut(&group).ok_or(CommandError::NoGroup(group))?;
                group.revoked.remove(&identity_octets(&identity));
                group.authorized.insert(identity_octets(&identity));
                Ok(CommandReply::Done)
            }
            KsCommand::Revoke { group, identity } => {
                let group = self.groups.get_mut(&group).ok_or(CommandError::NoGroup(group))?;
                group.authorized.remove(&identity_octets(&identity));
                group.revoked.insert(identity_octets(&identity));
                Ok(CommandReply::Done)
            }
            KsCommand::Shutdown => {
                let sas: Vec<SaId> = self.ike.sas().map(|sa| sa.id()).collect();
                for sa in sas {
                    self.ike.delete(now, sa);
                }
                Ok(CommandReply::Done)
            }
        }
    }

    fn rekey(&mut self, now: Now, group: u32, old: Old) -> Result<CommandReply, CommandError> {
        if !self.groups.contains_key(&group) {
            return Err(CommandError::NoGroup(group));
        }
        let pushes = self.can_push(group);
        if !self.settle_change(now, group) {
            let reply = self.renew_teks(now, group, Renewal { all: true, old, scheduled: true });
            self.schedule(group);
            if let Some(reply) = reply {
                return Ok(reply);
            }
        }
        self.schedule(group);
        // Without a KEK the new keys wait for the next registrations.
        pushes.map(|()| CommandReply::Done)
    }

    fn replace_policy(&mut self, now: Now, id: u32, config: GroupConfig) -> Result<CommandReply, CommandError> {
        if config.id != id {
            return Err(CommandError::NoGroup(config.id));
        }
        config.validate(&self.config.phase1.allow_weak, &self.config.test)?;
        let group = self.groups.get_mut(&id).ok_or(CommandError::NoGroup(id))?;
        // Who may join is a matter of now; what members use is a matter of the next rekey.
        group.config.members.clone_from(&config.members);
        group.config.min_gm_version = config.min_gm_version;
        let behaviour = &self.behaviour;
        for tek in &mut group.teks {
            let Some(new) = config.teks.get(tek.policy) else { continue };
            if behaviour.has(Defect::KsPolicyChangeServedEarly) {
                tek.config.acl.clone_from(&new.acl);
            }
            if behaviour.has(Defect::KsLifetimeChangeHitsOldTek) {
                tek.expires = tek.created + new.lifetime;
            }
        }
        group.pending = Some(Box::new(config)).filter(|_| !behaviour.has(Defect::KsPolicyChangeLost));
        self.journal.tell(now.mono, None, EventKind::PolicyChanged { group: id });
        if self.behaviour.has(Defect::KsPolicyChangePushes) {
            return self.rekey(now, id, Old::Shorten);
        }
        Ok(CommandReply::Done)
    }

    /// Takes a changed configuration over when everything is replaced anyway.
    fn settle_quietly(&mut self, id: u32) {
        if let Some(group) = self.groups.get_mut(&id)
            && let Some(config) = group.pending.take()
        {
            group.config = *config;
            group.next = None;
        }
    }

    fn can_push(&self, id: u32) -> Result<(), CommandError> {
        let group = self.groups.get(&id).ok_or(CommandError::NoGroup(id))?;
        let signs = group.kek.as_ref().is_some_and(|kek| kek.signing_key.is_some());
        if signs { Ok(()) } else { Err(CommandError::NoPush(id)) }
    }

    fn member_by_text(&self, id: u32, identity: &str) -> Result<MemberId, CommandError> {
        let group = self.groups.get(&id).ok_or(CommandError::NoGroup(id))?;
        let named = |text: &str| {
            let address = identity.rsplit_once(':').map_or(identity, |(_, address)| address);
            text == identity || text == address
        };
        group
            .members
            .iter()
            .find(|(_, member)| named(&member.identity.to_string()) || named(&member.path.peer.ip().to_string()))
            .map(|(id, _)| *id)
            .ok_or_else(|| CommandError::NoMember { group: id, identity: identity.to_owned() })
    }
}
