//! GROUPKEY-PULL as key server.

use hallmark_core::Instant;
use hallmark_crypto::ike::Cbc;
use hallmark_wire::gdoi::{Gap, KeyDownload, Sequence, gap_attr};
use hallmark_wire::isakmp::{ExchangeType, PayloadType};

use super::{Answered, Member, ProbeKs};
use crate::seen::Seen;
use crate::step::Step;
use crate::world::World;

/// One PULL exchange.
pub(super) struct Pull {
    ni_b: Vec<u8>,
    nr_b: Vec<u8>,
    /// The IV chain after the last message that was received.
    base: Cbc,
    /// The IV chain after each answer sent since.
    chains: Vec<Cbc>,
    /// Key packets of the sender ids, drawn once.
    sids: Option<(hallmark_wire::gdoi::KeyPacket, Vec<u32>)>,
    stage: Stage,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    AwaitingMessage3,
    Done,
}

impl ProbeKs {
    /// Names the step of a PULL message from a group member, and opens it.
    pub(super) fn open_pull(&mut self, seen: &mut Seen) {
        let Some(peer) = self.peer_of(seen).and_then(|index| self.peers.get_mut(index)) else { return };
        let Some(sa) = &peer.sa else { return };
        let Some(pull) = peer.pulls.get_mut(&seen.header.message_id) else {
            seen.step = Step::Pull1;
            if let Ok(cbc) = sa.cbc(seen.header.message_id) {
                sa.open(seen, &cbc, &[]);
            }
            return;
        };
        // A repeated request is answered from what is kept, not opened again.
        if let Some(answer) = peer.answers.iter().find(|answer| answer.request == seen.datagram.payload) {
            seen.step = if answer.step == Step::Pull2 { Step::Pull1 } else { Step::Pull3 };
            return;
        }
        seen.step = Step::Pull3;
        for chain in pull.chains.iter().rev() {
            sa.open(seen, chain, &[("ni_b", &pull.ni_b), ("nr_b", &pull.nr_b)]);
            if seen.authentic == Some(true) && seen.flaw.is_none() {
                let mut base = chain.clone();
                base.advance(seen.body_octets());
                if pull.stage == Stage::AwaitingMessage3 {
                    pull.base = base;
                    pull.chains.clear();
                }
                return;
            }
        }
    }

    pub(super) fn on_pull1(&mut self, world: &mut dyn World, seen: &Seen) {
        let Some(index) = self.peer_of(seen) else { return };
        let Some(nonce) = seen.nonce().filter(|_| seen.authentic == Some(true)) else { return };
        let group = seen.identification().and_then(|id| self.script.dialect.group_id(&id));
        if group != Some(self.script.group.id) {
            return;
        }
        let nr_b = self.script.fixed.pull_nonce(self.script.nonce_len, &mut self.rng);
        let Some(peer) = self.peers.get_mut(index).filter(|peer| peer.established) else { return };
        let Some(Ok(mut base)) = peer.sa.as_ref().map(|sa| sa.cbc(seen.header.message_id)) else { return };
        base.advance(seen.body_octets());
        let pull =
            Pull { ni_b: nonce.to_vec(), nr_b, base, chains: Vec::new(), sids: None, stage: Stage::AwaitingMessage3 };
        peer.pulls.insert(seen.header.message_id, pull);
        (peer.local, peer.remote) = (seen.datagram.dst, seen.datagram.src);
        if let Some(octets) = self.seal_pull2(world.now(), index, seen.header.message_id) {
            self.answer(world, index, Step::Pull2, seen, octets);
        }
    }

    pub(super) fn on_pull3(&mut self, world: &mut dyn World, seen: &Seen) {
        let Some(index) = self.peer_of(seen) else { return };
        if seen.authentic != Some(true) {
            return;
        }
        let message_id = seen.header.message_id;
        let requested = seen
            .body(PayloadType::GAP)
            .and_then(|body| Gap::decode(body).ok())
            .and_then(|gap| gap.attributes.uint(gap_attr::SENDER_ID_REQUEST))
            .and_then(|count| u16::try_from(count).ok());
        let Some(peer) = self.peers.get_mut(index) else { return };
        let Some(pull) = peer.pulls.get_mut(&message_id).filter(|pull| pull.stage == Stage::AwaitingMessage3) else {
            return;
        };
        pull.stage = Stage::Done;
        pull.sids = self.script.group.sids.as_mut().map(|plan| plan.take(requested.unwrap_or(plan.default_count)));
        let member = Member {
            address: seen.datagram.src,
            local: seen.datagram.dst,
            identity: peer.sa.as_ref().and_then(|sa| sa.peer_identity.clone()),
            at: world.now(),
            message_id,
            cookies: seen.header.cookies(),
            sids: pull.sids.as_ref().map(|(_, sids)| sids.clone()).unwrap_or_default(),
        };
        let Some(octets) = self.seal_pull4(index, message_id) else { return };
        self.members.push(member);
        self.log.registrations += 1;
        if let Some(kek) = &self.script.group.kek {
            world.keys(kek.record());
        }
        for tek in &self.script.group.teks {
            world.keys(tek.record());
        }
        self.answer(world, index, Step::Pull4, seen, octets);
    }

    /// Builds an answer anew with the tamper that is set now, and sends it.
    pub(super) fn rebuild(
        &mut self,
        world: &mut dyn World,
        index: usize,
        step: Step,
        message_id: u32,
        request: Vec<u8>,
    ) -> bool {
        let octets = match step {
            Step::Main6 => self.seal_main6(index).map(|sealed| sealed.octets),
            Step::Pull2 => self.seal_pull2(world.now(), index, message_id),
            Step::Pull4 => self.seal_pull4(index, message_id),
            _ => None,
        };
        let tampered = !self.tamper_of(step).is_none();
        let (Some(octets), Some(peer)) = (octets, self.peers.get_mut(index)) else { return false };
        peer.answers.push(Answered { request, step, octets: octets.clone(), tampered, message_id });
        let (local, remote) = (peer.local, peer.remote);
        self.reply_with(world, step, local, remote, octets);
        true
    }

    /// Gives the nonces of a PULL.
    #[must_use]
    pub fn pull_nonces(&self, message_id: u32) -> Option<(&[u8], &[u8])> {
        let pull = self.peers.iter().rev().find_map(|peer| peer.pulls.get(&message_id))?;
        Some((&pull.ni_b, &pull.nr_b))
    }

    fn seal_pull2(&mut self, now: Instant, index: usize, message_id: u32) -> Option<Vec<u8>> {
        let tamper = self.tamper_of(Step::Pull2);
        let peer = self.peers.get_mut(index)?;
        let sa = peer.sa.as_ref()?;
        let pull = peer.pulls.get_mut(&message_id)?;
        let policy = self.script.group.sa(now, peer.local, peer.remote);
        let payloads =
            vec![(PayloadType::NONCE, pull.nr_b.clone()), (PayloadType::SA, policy.encode_body(&self.script.dialect))];
        let mut cbc = pull.base.clone();
        let sealed =
            sa.seal(ExchangeType::PULL, message_id, payloads, &[("ni_b", &pull.ni_b)], &tamper, &mut cbc).ok()?;
        // A tampered nonce that is still authentic is the one that the peer goes on with.
        if let Some(nonce) = crate::seal::body_of(&sealed.message, PayloadType::NONCE) {
            pull.nr_b = nonce;
        }
        pull.chains.push(cbc);
        Some(sealed.octets)
    }

    fn seal_pull4(&mut self, index: usize, message_id: u32) -> Option<Vec<u8>> {
        let tamper = self.tamper_of(Step::Pull4);
        let group = &self.script.group;
        let peer = self.peers.get_mut(index)?;
        let sa = peer.sa.as_ref()?;
        let pull = peer.pulls.get_mut(&message_id)?;
        let mut payloads = Vec::new();
        if let Some(kek) = &group.kek {
            payloads.push((PayloadType::SEQ, Sequence(group.pull_seq.unwrap_or(kek.seq)).encode_body()));
        }
        let mut packets = group.packets();
        packets.extend(pull.sids.iter().map(|(packet, _)| packet.clone()));
        payloads.push((PayloadType::KEY_DOWNLOAD, KeyDownload { packets }.encode_body()));
        let nonces = [("ni_b", pull.ni_b.as_slice()), ("nr_b", pull.nr_b.as_slice())];
        let mut cbc = pull.base.clone();
        let sealed = sa.seal(ExchangeType::PULL, message_id, payloads, &nonces, &tamper, &mut cbc).ok()?;
        pull.chains.push(cbc);
        Some(sealed.octets)
    }
}
