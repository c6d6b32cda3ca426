//! What happens when a timer is due.

use hallmark_core::{Duration, Now};
use hallmark_wire::isakmp::{Flags, Header, PayloadType};

use super::sa::{Role, SaId};
use super::timer::Timer;
use super::{IkeEndpoint, IkeEvent, code};
use crate::behaviour::{Behaviour, Defect, Variant};

/// Time between two NAT keepalives (RFC 3948).
pub(super) const KEEPALIVE: Duration = Duration::from_secs(20);
/// Timed repetitions of a responder (IKE-RTX-011).
const RESPONDER_RESENDS: u32 = 2;

impl IkeEndpoint {
    pub(super) fn timeout(&mut self, now: Now, id: SaId, timer: Timer) {
        match timer {
            Timer::Retransmit => self.retransmit(now, id),
            Timer::GiveUp => self.fail(id, code::TIMEOUT),
            Timer::Expire => self.expire(id),
            Timer::Dpd => self.dpd_due(now, id),
            Timer::Reassembly => self.reassembly_due(id),
            Timer::Keepalive => self.keepalive(now, id),
        }
    }

    /// Sends the last message again: identical octets, growing waits, a bounded number of times.
    fn retransmit(&mut self, now: Now, id: SaId) {
        let Some(mut exchange) = self.exchanges.remove(&id) else { return };
        let behaviour = &self.config.behaviour;
        let forever = behaviour.has(Defect::IkeRetransmitsForever);
        if exchange.role == Role::Responder {
            let limit = if behaviour.has(Defect::IkeResponderResends) { 10 } else { RESPONDER_RESENDS };
            if let Some(last) = exchange.last.as_ref().filter(|_| exchange.sent <= limit) {
                self.transmit(exchange.path, &last.answer, false);
                exchange.sent += 1;
                self.timers.set(id, Timer::Retransmit, now.mono + self.wait(exchange.sent));
            }
            self.exchanges.insert(id, exchange);
            return;
        }
        // REQ IKE-RTX-003
        if exchange.sent >= self.config.retransmit.tries && !forever {
            let kept = behaviour.has(Defect::IkeLateAnswerAccepted);
            self.push_event(IkeEvent::Failed { sa: id, peer: exchange.path.peer, code: code::TIMEOUT });
            if kept {
                self.exchanges.insert(id, exchange);
            } else {
                self.drop_exchange(&exchange, false);
            }
            return;
        }
        exchange.sent = exchange.sent.saturating_add(1);
        // REQ IKE-RTX-004
        if behaviour.has(Defect::IkeRetransmitChangesOctets)
            && let Some(changed) = changed(&exchange.pending, &mut self.draws.padding)
        {
            exchange.pending = changed;
        }
        let fragment = self.may_fragment(&exchange);
        self.transmit(exchange.path, &exchange.pending, fragment);
        self.timers.set(id, Timer::Retransmit, now.mono + self.wait(exchange.sent));
        let peer = exchange.path.peer;
        self.push_event(IkeEvent::Retransmitted { sa: id, peer, sent: exchange.sent });
        self.exchanges.insert(id, exchange);
    }

    fn expire(&mut self, id: SaId) {
        if self.sas.contains_key(&id) {
            if !self.config.behaviour.varies(Variant::IkeExpiresQuietly) {
                self.send_delete(id);
            }
            if let Some(gone) = self.remove_sa(id) {
                self.push_event(IkeEvent::Expired { sa: id, peer: gone.path.peer });
            }
        }
    }

    fn keepalive(&mut self, now: Now, id: SaId) {
        let Some(sa) = self.sas.get(&id) else { return };
        let path = sa.path;
        self.push_raw(hallmark_core::Datagram::new(path.local, path.peer, vec![0xff]));
        self.timers.set(id, Timer::Keepalive, now.mono + KEEPALIVE);
    }
}

/// Gives a clear message with one more vendor ID.
fn changed(message: &[u8], rng: &mut hallmark_core::Rng) -> Option<Vec<u8>> {
    let header = Header::decode(message).ok().filter(|h| !h.flags.contains(Flags::ENCRYPTION))?;
    let mut octets = message.to_vec();
    let mut at = Header::LEN;
    while *octets.get(at)? != 0 {
        let length = u16::from_be_bytes([*octets.get(at + 2)?, *octets.get(at + 3)?]);
        at = at.checked_add(usize::from(length))?;
    }
    *octets.get_mut(at)? = PayloadType::VENDOR_ID.0;
    octets.extend_from_slice(&[0, 0, 0, 20]);
    octets.extend_from_slice(&rng.octets::<16>());
    let length = header.length.saturating_add(20).to_be_bytes();
    octets.get_mut(24..28)?.copy_from_slice(&length);
    Some(octets)
}

/// Tells how many questions without an answer make a peer dead.
pub(super) fn dpd_limit(tries: u32, behaviour: &Behaviour) -> u32 {
    // REQ IKE-DPD-006
    if behaviour.has(Defect::IkeDpdNeverDead) { u32::MAX } else { tries.max(1) }
}
