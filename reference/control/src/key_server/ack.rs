//! Acknowledgements of PUSH messages at the key server.

use hallmark_core::{Code, Now};
use hallmark_crypto::HashAlg;
use hallmark_crypto::gdoi::AckLength;
use hallmark_wire::isakmp::Flags;

use super::KeyServer;
use super::group::{Group, Kek, MemberId, RING};
use crate::ack::{AckKey, Envelope, ReceivedAck, read, requested_type};
use crate::behaviour::{Behaviour, Defect};
use crate::code;
use crate::event::{EventKind, Kept};
use crate::ike::UnboundMessage;

/// Is what a verified acknowledgement says.
struct Credit {
    group: u32,
    member: MemberId,
    spi: [u8; 16],
    sequence: u32,
    form: &'static str,
    length_reading: Option<u16>,
}

impl KeyServer {
    /// Takes a message of exchange type 35.
    pub(super) fn ack_message(&mut self, now: Now, message: &UnboundMessage<'_>) {
        match self.check_ack(message) {
            Ok(credit) => self.credit(now, message, credit),
            // REQ GDOI-ACK-034
            Err(code) => self.journal.reject(now.mono, Some(message.path.peer), code, "", Kept::StateKept),
        }
    }

    /// Runs every check, the cheap ones first; changes nothing.
    fn check_ack(&mut self, message: &UnboundMessage<'_>) -> Result<Credit, Code> {
        let header = message.header;
        let spi = header.cookies();
        // REQ GDOI-NEG-186
        let group_id = *self.keks.get(&spi).ok_or(code::ACK_KEK)?;
        let group = self.groups.get(&group_id).ok_or(code::ACK_KEK)?;
        let kek = group.kek_of(&spi).ok_or(code::ACK_KEK)?;
        // REQ GDOI-NEG-190
        if header.message_id != 0 {
            return Err(code::ACK_HEADER);
        }
        let encrypted = header.flags == Flags::ENCRYPTION;
        if !encrypted && header.flags != Flags::NONE {
            return Err(code::ACK_HEADER);
        }
        // REQ GDOI-ACK-024 GDOI-NEG-185
        let wanted = if encrypted {
            group.config.ack.accepts_encrypted()
        } else {
            kek.ack.is_some() && !self.behaviour.has(Defect::StandardsAckIgnored)
        };
        if !wanted {
            return Err(code::ACK_UNREQUESTED);
        }
        let (iv, key) = kek.iv_and_key();
        let envelope = encrypted.then_some(Envelope { cipher: kek.cipher, iv, key });
        let ack = read(&header, message.body(), envelope, &self.limits)?;
        let member = member_of(group, &ack, message)?;
        let push = protected_push(group, kek, &ack, encrypted);
        let credit = Credit {
            group: group_id,
            member,
            spi: push,
            sequence: ack.sequence,
            form: if encrypted { "cisco" } else { "rfc8263" },
            length_reading: None,
        };
        self.check_sequence(group, &credit)?;
        let length_reading = verify(group, kek, member, &ack, encrypted, &self.behaviour);
        if length_reading.is_none() && !self.behaviour.has(Defect::KsAckHashUnchecked) {
            return Err(code::ACK_HASH);
        }
        Ok(Credit { length_reading, ..credit })
    }

    /// Checks that the PUSH went to this member lately and was not acknowledged before.
    // REQ GDOI-ACK-025 GDOI-NEG-187 GDOI-NEG-192
    fn check_sequence(&self, group: &Group, credit: &Credit) -> Result<(), Code> {
        let Some(member) = group.members.get(&credit.member) else { return Err(code::ACK_MEMBER) };
        let which = (credit.spi, credit.sequence);
        if member.received.contains(&which) {
            return Err(code::ACK_DUPLICATE);
        }
        if self.behaviour.has(Defect::KsAckUnknownCounted) {
            return Ok(());
        }
        // A faulty server takes an acknowledgement only as long as it has not sent a copy.
        let late = member.sent.front() != Some(&which) && self.behaviour.has(Defect::KsAckLateIgnored);
        if !member.sent.contains(&which) || late { Err(code::ACK_SEQUENCE) } else { Ok(()) }
    }

    fn credit(&mut self, now: Now, message: &UnboundMessage<'_>, credit: Credit) {
        let Some(group) = self.groups.get_mut(&credit.group) else { return };
        let Some(member) = group.members.get_mut(&credit.member) else { return };
        member.received.push_front((credit.spi, credit.sequence));
        member.received.truncate(RING);
        member.acks += 1;
        member.missed = 0;
        let identity = member.identity.to_string();
        group.counters.acks += 1;
        self.acknowledge(credit.spi, credit.sequence, credit.member);
        let kind = EventKind::AckReceived {
            group: credit.group,
            identity,
            sequence: credit.sequence,
            form: credit.form,
            length_reading: credit.length_reading,
        };
        self.journal.tell(now.mono, Some(message.path.peer), kind);
    }
}

// REQ GDOI-ACK-015 GDOI-NEG-188
fn member_of(group: &Group, ack: &ReceivedAck, message: &UnboundMessage<'_>) -> Result<MemberId, Code> {
    let address = ack.identity.ip().ok_or(code::ACK_IDENTITY)?;
    let from = message.path.peer;
    group.member_at(address, from).or_else(|| group.nat_member_at(from)).ok_or(code::ACK_MEMBER)
}

/// Gives the KEK that protected the acknowledged PUSH. The encrypted form names the newest KEK, which the PUSH itself
/// may have delivered.
fn protected_push(group: &Group, kek: &Kek, ack: &ReceivedAck, encrypted: bool) -> [u8; 16] {
    match kek.delivered_by {
        Some((spi, sequence)) if encrypted && sequence == ack.sequence && group.kek_of(&spi).is_some() => spi,
        _ => kek.spi,
    }
}

// REQ GDOI-ACK-026 GDOI-NEG-184 GDOI-NEG-193
fn verify(
    group: &Group,
    kek: &Kek,
    member: MemberId,
    ack: &ReceivedAck,
    encrypted: bool,
    behaviour: &Behaviour,
) -> Option<u16> {
    let (hash, leaf) = if encrypted {
        (HashAlg::Sha256, false)
    } else {
        kek.ack.and_then(requested_type).unwrap_or((HashAlg::Sha256, false))
    };
    let base_key = if leaf {
        let leaf = group.members.get(&member)?.leaf?;
        group.tree.as_ref()?.leaf_key(leaf)?
    } else {
        kek.iv_and_key().1
    };
    // REQ GDOI-ACK-018: the three readings of the length field.
    let readings: &[AckLength] =
        if behaviour.has(Defect::KsAckHashNewOnly) { &[AckLength::BaseKey] } else { &AckLength::ALL };
    ack.verify(AckKey { hash, base_key, spi: kek.spi }, readings)
}
