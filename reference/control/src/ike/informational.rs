//! Informational exchanges: notify, delete, dead peer detection (section 5).

use hallmark_core::Now;
use hallmark_crypto::ct_eq;
use hallmark_crypto::ike::{Cbc, informational_hash};
use hallmark_wire::isakmp::{Chain, Delete, ExchangeType, Flags, Header, Notify, NotifyType, PayloadType, build_chain};

use super::exchange::{Refusal, pad};
use super::initiator::IPSEC_DOI;
use super::sa::{Path, Role, SaId};
use super::timeout::dpd_limit;
use super::timer::Timer;
use super::{IkeEndpoint, IkeEvent, code};
use crate::behaviour::Defect;

const PROTO_ISAKMP: u8 = 1;
/// How far a DPD sequence number may run ahead of the last one.
const DPD_WINDOW: u32 = 1_024;

impl IkeEndpoint {
    /// Sends `HDR*, HASH(1), payloads` under a fresh message id.
    pub(super) fn send_informational(&mut self, id: SaId, payloads: &[(PayloadType, Vec<u8>)]) -> bool {
        let Some(fresh) = self.fresh_message_id(id) else { return false };
        let behaviour = &self.config.behaviour;
        // REQ IKE-INF-004
        let constant = behaviour.has(Defect::IkeInformationalMidConstant);
        let message_id = if constant { self.draws.constant_message_id() } else { fresh };
        let Some(sa) = self.sas.get(&id) else { return false };
        // REQ IKE-INF-002
        if behaviour.has(Defect::IkeClearInformational) {
            let built = build_chain(payloads);
            let header = Header {
                initiator_cookie: sa.cookies.0,
                responder_cookie: sa.cookies.1,
                next: built.first,
                version: sa.version,
                exchange: ExchangeType::INFORMATIONAL,
                flags: Flags(sa.flags),
                message_id,
                length: u32::try_from(Header::LEN + built.octets.len()).unwrap_or(u32::MAX),
            };
            let message = [header.encode().as_slice(), &built.octets].concat();
            self.transmit(sa.path, &message, false);
            return true;
        }
        let rest = build_chain(payloads);
        let hash = informational_hash(sa.hash(), sa.skeyid_a.expose(), message_id, &rest.octets);
        let mut all = Vec::with_capacity(payloads.len() + 1);
        all.push((PayloadType::HASH, hash));
        all.extend_from_slice(payloads);
        let mut built = build_chain(&all);
        pad(&mut built.octets, sa.cipher().block_len(), &mut self.draws.padding, behaviour);
        let mut cbc = sa.exchange_cbc(message_id);
        // REQ IKE-KEY-009
        if behaviour.has(Defect::IkeInformationalIvFromLast) {
            cbc = sa.last.clone();
        }
        let mut message = sa.seal(ExchangeType::INFORMATIONAL, message_id, &mut cbc, &built);
        // REQ IKE-HDR-012
        if behaviour.has(Defect::IkeSwapsCookies)
            && sa.role == Role::Responder
            && let Some(cookies) = message.get_mut(..16)
        {
            cookies.rotate_left(8);
        }
        // REQ IKE-HDR-015
        if let Some(flags) = message.get_mut(19).filter(|_| behaviour.has(Defect::IkeEmitsCommit)) {
            *flags |= Flags::COMMIT.0;
        }
        let path = sa.path;
        // REQ IKE-RTX-010
        let copies = if behaviour.has(Defect::IkeInformationalRepeated) { 2 } else { 1 };
        for _ in 0..copies {
            self.transmit(path, &message, false);
        }
        true
    }

    /// Tells the peer that an SA is gone.
    pub(super) fn send_delete(&mut self, id: SaId) {
        let Some(sa) = self.sas.get(&id) else { return };
        let body = Delete { doi: sa.doi, protocol: PROTO_ISAKMP, spi_size: 16, spis: vec![sa.cookies().to_vec()] };
        self.send_informational(id, &[(PayloadType::DELETE, body.encode_body())]);
    }

    /// Tells the peer how long the SA really lives.
    pub(super) fn send_responder_lifetime(&mut self, id: SaId) {
        let Some(sa) = self.sas.get(&id) else { return };
        let secs = u32::try_from((sa.expires - sa.established).as_secs()).unwrap_or(u32::MAX);
        let attributes = hallmark_wire::isakmp::Attributes(vec![
            hallmark_wire::isakmp::Attribute::basic(11, 1),
            hallmark_wire::isakmp::Attribute::u32(12, secs),
        ]);
        let notify = Notify {
            doi: IPSEC_DOI,
            protocol: PROTO_ISAKMP,
            spi: sa.cookies().to_vec(),
            kind: NotifyType::RESPONDER_LIFETIME,
            data: attributes.encode(),
        };
        self.send_informational(id, &[(PayloadType::NOTIFY, notify.encode_body())]);
    }

    /// An Informational before the SA is up is a hint, whatever its form (IKE-INF-006).
    pub(super) fn early_informational(&mut self, id: SaId, header: &Header, message: &[u8], path: Path) {
        if header.flags.contains(Flags::ENCRYPTION) {
            self.reject(code::EARLY_INFORMATIONAL, path.peer, "");
            return;
        }
        let body = message.get(Header::LEN..).unwrap_or_default();
        let notify = self.chain(header.next, body).and_then(|chain| clear_notify(&chain));
        match notify {
            Ok(notify) => {
                if notify.kind.is_error() && self.config.behaviour.has(Defect::IkeClearNotifyAborts) {
                    self.fail(id, code::NOTIFIED);
                }
                self.push_event(IkeEvent::Hint { peer: path.peer, kind: notify.kind.0 });
            }
            Err(refusal) => self.reject(refusal.code, path.peer, refusal.detail),
        }
    }

    /// An Informational under an SA.
    pub(super) fn receive_informational(&mut self, now: Now, id: SaId, header: &Header, message: &[u8], path: Path) {
        let outcome = if header.flags.contains(Flags::ENCRYPTION) {
            self.protected_informational(now, id, header, message, path)
        } else {
            self.clear_informational(id, header, message, path)
        };
        if let Err(refusal) = outcome {
            // REQ IKE-INF-005
            if self.config.behaviour.has(Defect::IkeAnswersInformational) {
                self.send_clear_notify(now, header, path, NotifyType::PAYLOAD_MALFORMED);
            }
            self.reject(refusal.code, path.peer, refusal.detail);
        }
    }

    /// Clear payloads under an established SA prove nothing (IKE-INF-009, IKE-DPD-004).
    fn clear_informational(&mut self, id: SaId, header: &Header, message: &[u8], path: Path) -> Result<(), Refusal> {
        let body = message.get(Header::LEN..).unwrap_or_default();
        let chain = self.chain(header.next, body)?;
        let behaviour = self.config.behaviour.clone();
        for payload in &chain {
            let notify = Notify::decode(payload.body).ok().filter(|_| payload.kind == PayloadType::NOTIFY);
            match (payload.kind, notify) {
                (PayloadType::DELETE, _) if behaviour.has(Defect::IkeClearDeleteAccepted) => {
                    self.take_delete(id, payload.body)?;
                }
                (_, Some(n)) if n.kind == NotifyType::R_U_THERE && behaviour.has(Defect::IkeAnswersClearRut) => {
                    self.answer_dpd(id, &n)?;
                }
                (_, Some(n)) if n.kind.is_error() && behaviour.has(Defect::IkeClearNotifyAborts) => {
                    if let Some(gone) = self.remove_sa(id) {
                        self.push_event(IkeEvent::Deleted { sa: id, peer: gone.path.peer, by_peer: true });
                    }
                }
                (_, Some(n)) => self.push_event(IkeEvent::Hint { peer: path.peer, kind: n.kind.0 }),
                _ => {}
            }
        }
        Err(Refusal::keep(code::CLEAR_INFORMATIONAL))
    }

    fn protected_informational(
        &mut self,
        now: Now,
        id: SaId,
        header: &Header,
        message: &[u8],
        path: Path,
    ) -> Result<(), Refusal> {
        self.protected_form(id, header, message)?;
        let sealed = message.get(Header::LEN..).unwrap_or_default();
        let behaviour = self.config.behaviour.clone();
        let Some(sa) = self.sas.get(&id) else { return Ok(()) };
        // REQ IKE-INF-018, IKE-DOS-011
        if sa.used.contains(header.message_id) && !behaviour.has(Defect::IkeInformationalReplayAccepted) {
            return Err(Refusal::keep(code::REPLAY));
        }
        let cbc: Cbc = sa.exchange_cbc(header.message_id);
        let plain = cbc.decrypt(sealed)?;
        let (alg, skeyid_a) = (sa.hash(), sa.skeyid_a.clone());
        let chain = self.chain(header.next, &plain)?;
        // REQ IKE-INF-003: HASH first, over everything after it without the padding.
        let hash = chain.iter().next().filter(|p| p.kind == PayloadType::HASH);
        let hash = hash.ok_or(Refusal::keep(code::INFORMATIONAL_HASH).with("no HASH first"))?;
        let expected = informational_hash(alg, skeyid_a.expose(), header.message_id, chain.after_first());
        if !ct_eq(hash.body, &expected) && !behaviour.has(Defect::IkeInformationalHashNotVerified) {
            return Err(Refusal::keep(code::INFORMATIONAL_HASH));
        }
        self.claim_message_id(id, header.message_id);
        // REQ IKE-KEY-010
        if let Some(sa) = self.sas.get_mut(&id).filter(|_| behaviour.has(Defect::IkeIvMovesWithInformational)) {
            sa.last.advance(sealed);
        }
        self.authenticated(now, id, path);
        for payload in chain.iter().skip(1) {
            match payload.kind {
                PayloadType::NOTIFY => self.take_notify(now, id, payload.body)?,
                PayloadType::DELETE => self.take_delete(id, payload.body)?,
                PayloadType::VENDOR_ID => {}
                other => return Err(Refusal::keep(code::PAYLOAD_TYPE).with(format!("payload {}", other.0))),
            }
        }
        Ok(())
    }

    fn take_notify(&mut self, now: Now, id: SaId, body: &[u8]) -> Result<(), Refusal> {
        let notify = Notify::decode(body)?;
        match notify.kind {
            NotifyType::R_U_THERE => self.answer_dpd(id, &notify),
            NotifyType::R_U_THERE_ACK => self.take_dpd_answer(now, id, &notify),
            NotifyType::INITIAL_CONTACT => {
                let Some(sa) = self.sas.get(&id) else { return Ok(()) };
                let key = super::identity_key(&sa.peer_identity);
                let older: Vec<SaId> =
                    self.by_identity.get(&key).into_iter().flatten().copied().filter(|o| *o != id).collect();
                for old in older {
                    self.remove_sa(old);
                    self.push_event(IkeEvent::Replaced { sa: old, by: id });
                }
                Ok(())
            }
            // REQ IKE-HDR-015: we wait for no CONNECTED.
            NotifyType::CONNECTED => Ok(()),
            kind => {
                self.push_event(IkeEvent::Notified { sa: id, kind: kind.0, data: notify.data });
                Ok(())
            }
        }
    }

    /// Obeys a Delete for SAs of the peer that sent it (IKE-INF-008, IKE-INF-011).
    fn take_delete(&mut self, id: SaId, body: &[u8]) -> Result<(), Refusal> {
        let delete = Delete::decode(body)?;
        if delete.protocol != PROTO_ISAKMP {
            let (protocol, spis) = (delete.protocol, delete.spis);
            self.push_event(IkeEvent::PeerDelete { sa: id, protocol, spis });
            return Ok(());
        }
        if self.config.behaviour.has(Defect::IkeDeleteIgnored) {
            return Ok(());
        }
        let mut foreign = 0;
        for spi in delete.spis {
            let cookies: Option<[u8; 16]> = spi.try_into().ok();
            let target = cookies.and_then(|c| self.by_cookies.get(&c)).copied();
            let Some(target) = target.filter(|t| self.same_peer(id, *t)) else {
                foreign += 1;
                continue;
            };
            if let Some(gone) = self.remove_sa(target) {
                self.push_event(IkeEvent::Deleted { sa: target, peer: gone.path.peer, by_peer: true });
            }
        }
        if foreign > 0 { Err(Refusal::keep(code::FOREIGN_SPI).with(format!("{foreign} SPIs"))) } else { Ok(()) }
    }

    /// Tells whether an SA may be deleted under another one: both have the same authenticated peer.
    fn same_peer(&self, by: SaId, target: SaId) -> bool {
        if by == target || self.config.behaviour.has(Defect::IkeForeignDeleteAccepted) {
            return true;
        }
        match (self.sas.get(&by), self.sas.get(&target)) {
            (Some(by), Some(target)) => {
                super::identity_key(&by.peer_identity) == super::identity_key(&target.peer_identity)
            }
            _ => false,
        }
    }

    /// Answers R-U-THERE with the same sequence number.
    fn answer_dpd(&mut self, id: SaId, notify: &Notify) -> Result<(), Refusal> {
        let behaviour = self.config.behaviour.clone();
        let sequence = dpd_sequence(notify)?;
        let Some(sa) = self.sas.get_mut(&id) else { return Ok(()) };
        // REQ IKE-DPD-008
        if !notify.spi.is_empty() && notify.spi != sa.cookies() && !behaviour.has(Defect::IkeDpdSpiNotChecked) {
            return Err(Refusal::keep(code::DPD_SPI));
        }
        // REQ IKE-DPD-007: the same number again is a repeated question.
        let ahead = sa.dpd.peer_last.map(|last| sequence.wrapping_sub(last));
        if ahead.is_some_and(|n| n > DPD_WINDOW) && !behaviour.has(Defect::IkeDpdOldSequenceAnswered) {
            return Err(Refusal::keep(code::DPD_SEQUENCE).with(format!("{sequence}")));
        }
        sa.dpd.peer_last = Some(sequence);
        // REQ IKE-DPD-001
        if behaviour.has(Defect::IkeDpdNotAnswered) {
            return Ok(());
        }
        // REQ IKE-DPD-002
        let echoed = if behaviour.has(Defect::IkeDpdWrongSequence) { sequence.wrapping_add(1) } else { sequence };
        self.send_dpd(id, NotifyType::R_U_THERE_ACK, echoed);
        Ok(())
    }

    fn take_dpd_answer(&mut self, now: Now, id: SaId, notify: &Notify) -> Result<(), Refusal> {
        let sequence = dpd_sequence(notify)?;
        let any = self.config.behaviour.has(Defect::IkeDpdAnyAck);
        let Some(sa) = self.sas.get_mut(&id) else { return Ok(()) };
        // REQ IKE-DPD-008
        if !notify.spi.is_empty() && notify.spi != sa.cookies() {
            return Err(Refusal::keep(code::DPD_SPI));
        }
        // REQ IKE-DPD-003
        match sa.dpd.asked {
            Some((asked, _)) if asked == sequence || any => sa.dpd.asked = None,
            _ => return Err(Refusal::keep(code::DPD_SEQUENCE).with(format!("{sequence}"))),
        }
        if let Some(idle) = self.config.dpd {
            self.timers.set(id, Timer::Dpd, now.mono + idle);
        }
        Ok(())
    }

    fn send_dpd(&mut self, id: SaId, kind: NotifyType, sequence: u32) {
        let Some(sa) = self.sas.get(&id) else { return };
        let notify = Notify {
            doi: IPSEC_DOI,
            protocol: PROTO_ISAKMP,
            spi: sa.cookies().to_vec(),
            kind,
            data: sequence.to_be_bytes().to_vec(),
        };
        self.send_informational(id, &[(PayloadType::NOTIFY, notify.encode_body())]);
    }

    /// Asks an idle peer, asks again, or gives it up.
    pub(super) fn dpd_due(&mut self, now: Now, id: SaId) {
        let Some(idle) = self.config.dpd else { return };
        let limit = dpd_limit(self.config.dpd_tries, &self.config.behaviour);
        let constant = self.config.behaviour.has(Defect::IkeDpdSequenceConstant);
        let Some(sa) = self.sas.get_mut(&id) else { return };
        let (sequence, asked) = match sa.dpd.asked {
            Some((_, asked)) if asked >= limit => {
                let peer = sa.path.peer;
                self.remove_sa(id);
                self.push_event(IkeEvent::PeerDead { sa: id, peer });
                return;
            }
            Some((sequence, asked)) => (sequence, asked.saturating_add(1)),
            None => {
                // Other traffic proves that the peer lives (3706 section 5.4).
                let due = sa.heard + idle;
                if due > now.mono {
                    self.timers.set(id, Timer::Dpd, due);
                    return;
                }
                let sequence = sa.dpd.next;
                // REQ IKE-DPD-005
                if !constant {
                    sa.dpd.next = sa.dpd.next.wrapping_add(1);
                }
                (sequence, 1)
            }
        };
        sa.dpd.asked = Some((sequence, asked));
        self.send_dpd(id, NotifyType::R_U_THERE, sequence);
        self.timers.set(id, Timer::Dpd, now.mono + self.wait(asked));
    }
}

fn dpd_sequence(notify: &Notify) -> Result<u32, Refusal> {
    let data: Result<[u8; 4], _> = notify.data.as_slice().try_into();
    data.map(u32::from_be_bytes).map_err(|_| Refusal::keep(code::DPD_FORM))
}

/// Reads the notify of a clear Informational.
fn clear_notify(chain: &Chain<'_>) -> Result<Notify, Refusal> {
    let payload = chain.find(PayloadType::NOTIFY).ok_or(Refusal::keep(code::PAYLOAD_MISSING))?;
    Ok(Notify::decode(payload.body)?)
}
