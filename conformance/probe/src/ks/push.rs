//! GROUPKEY-PUSH as key server.

use std::net::SocketAddr;

use hallmark_core::{Datagram, Instant};
use hallmark_crypto::ike::Cbc;
use hallmark_wire::gdoi::{DOI, KeyDownload, KeyPacket, LkhUpdate, Sequence};
use hallmark_wire::isakmp::{Attribute, Delete, ExchangeType, PayloadType};

use super::{AckSeen, ProbeKs};
use crate::gm::Sent;
use crate::group::{Kek, Tek, lkh_update_packet, sa_payload};
use crate::seal;
use crate::step::{Fault, Step};
use crate::tamper::Tamper;
use crate::world::World;

/// What a PUSH is to say.
#[derive(Clone, Default)]
pub struct PushSpec {
    teks: Vec<Tek>,
    kek: Option<Kek>,
    repeat_sak: bool,
    gap: Vec<Attribute>,
    deletes: Vec<Delete>,
    lkh: Vec<LkhUpdate>,
    packets: Vec<KeyPacket>,
    seq: Option<u32>,
    tamper: Tamper,
    to: Option<SocketAddr>,
    from: Option<SocketAddr>,
    under: Option<Kek>,
    commit: Option<bool>,
    copies: usize,
}

impl PushSpec {
    /// Starts with nothing but SEQ and SIG.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Starts with one new TEK.
    #[must_use]
    pub fn tek(tek: Tek) -> Self {
        Self::new().with_tek(tek)
    }

    /// Starts with a new KEK, which is delivered under the old one.
    #[must_use]
    pub fn kek(kek: Kek) -> Self {
        Self::new().with_kek(kek)
    }

    /// Starts with a Delete payload.
    #[must_use]
    pub fn delete(delete: Delete) -> Self {
        Self::new().with_delete(delete)
    }

    /// Adds a TEK with its policy and its key packet.
    #[must_use]
    pub fn with_tek(mut self, tek: Tek) -> Self {
        self.teks.push(tek);
        self
    }

    /// Adds a new KEK with its policy and its key packet.
    #[must_use]
    pub fn with_kek(mut self, kek: Kek) -> Self {
        self.kek = Some(kek);
        self
    }

    /// Repeats the SAK and the key packet of the KEK in use.
    #[must_use]
    pub const fn with_current_sak(mut self) -> Self {
        self.repeat_sak = true;
        self
    }

    /// Adds a Delete payload.
    #[must_use]
    pub fn with_delete(mut self, delete: Delete) -> Self {
        self.deletes.push(delete);
        self
    }

    /// Adds a GAP attribute.
    #[must_use]
    pub fn with_gap(mut self, attribute: Attribute) -> Self {
        self.gap.push(attribute);
        self
    }

    /// Delivers the new KEK by these LKH update arrays instead of a KEK packet.
    #[must_use]
    pub fn with_lkh(mut self, updates: Vec<LkhUpdate>) -> Self {
        self.lkh = updates;
        self
    }

    /// Adds a key packet of the case's own making.
    #[must_use]
    pub fn with_packet(mut self, packet: KeyPacket) -> Self {
        self.packets.push(packet);
        self
    }

    /// Uses this sequence number.
    #[must_use]
    pub const fn seq(mut self, seq: u32) -> Self {
        self.seq = Some(seq);
        self
    }

    /// Makes the message wrong.
    #[must_use]
    pub fn tamper(mut self, tamper: Tamper) -> Self {
        self.tamper = tamper;
        self
    }

    /// Sends it to this address instead of the members' or the group's.
    #[must_use]
    pub const fn to(mut self, address: SocketAddr) -> Self {
        self.to = Some(address);
        self
    }

    /// Sends it from this address.
    #[must_use]
    pub const fn from(mut self, address: SocketAddr) -> Self {
        self.from = Some(address);
        self
    }

    /// Protects it with this KEK instead of the one in use.
    #[must_use]
    pub fn under(mut self, kek: Kek) -> Self {
        self.under = Some(kek);
        self
    }

    /// Says whether the key server goes on as if everyone had accepted it (sequence number, keys). Without this it
    /// does so unless the message is tampered with or protected with another KEK.
    #[must_use]
    pub const fn commit(mut self, commit: bool) -> Self {
        self.commit = Some(commit);
        self
    }

    /// Sends so many further identical copies right after it.
    #[must_use]
    pub const fn copies(mut self, copies: usize) -> Self {
        self.copies = copies;
        self
    }
}

/// A PUSH as it was sent.
#[derive(Clone, Debug)]
pub struct PushSent {
    /// When.
    pub at: Instant,
    /// The cookie pair that it was protected with.
    pub kek_spi: [u8; 16],
    /// Its sequence number.
    pub seq: u32,
    /// The datagrams, one for each destination.
    pub datagrams: Vec<Datagram>,
    /// The SPIs of the TEKs that it brings.
    pub spis: Vec<u32>,
}

/// Makes a Delete payload: protocol 0 for KEKs (SPIs of 16 octets), 1 for ESP, 2 for AH (SPIs of 4 octets).
#[must_use]
pub fn deletion(protocol: u8, spis: Vec<Vec<u8>>) -> Delete {
    Delete { doi: DOI, protocol, spi_size: if protocol == 0 { 16 } else { 4 }, spis }
}

impl ProbeKs {
    /// Builds and sends a PUSH, to the multicast group of the KEK or to every member that registered.
    ///
    /// # Errors
    /// When the group has no KEK or no signing key, or nobody to send to.
    pub fn push(&mut self, world: &mut dyn World, spec: PushSpec) -> Result<PushSent, Fault> {
        let sent = self.build_push(world, &spec)?;
        for _ in 0..=spec.copies {
            self.send_push(world, &sent, !spec.tamper.is_none());
        }
        Ok(sent)
    }

    /// Builds a PUSH without sending it: the datagrams can then be cut, delayed or replayed. It is committed as if it
    /// had been sent.
    ///
    /// # Errors
    /// When the group has no KEK or no signing key, or nobody to send to.
    pub fn build_push(&mut self, world: &mut dyn World, spec: &PushSpec) -> Result<PushSent, Fault> {
        let current = self.script.group.kek.clone();
        let kek = spec.under.clone().or(current).ok_or_else(|| Fault::tester("the group has no KEK"))?;
        let seq = spec.seq.unwrap_or_else(|| kek.seq.wrapping_add(1));
        let (from, to) = self.push_ends(spec, &kek)?;
        let ends = (from, to.first().copied().unwrap_or(from));
        let payloads = self.push_payloads(world.now(), spec, &kek, seq, ends);
        let message = seal::raw(kek.cookies(), ExchangeType::PUSH, 0, true, payloads);
        let key = kek.signing.clone().ok_or_else(|| Fault::tester("the KEK has no signing key"))?;
        let rng = &mut self.rng;
        let sign = |message: &mut _| {
            seal::fill_push_signature(message, kek.sig_hash, kek.cipher.block_len(), &key, &spec.tamper, rng)
        };
        let mut cbc = Cbc::new(kek.cipher, kek.key.clone(), kek.iv.clone()).map_err(Fault::tester)?;
        let sealed = seal::finish(message, &spec.tamper, sign, Some(&mut cbc)).map_err(Fault::tester)?;
        for tek in &spec.teks {
            world.keys(tek.record());
        }
        if let Some(kek) = &spec.kek {
            world.keys(kek.record());
        }
        if spec.commit.unwrap_or_else(|| spec.tamper.is_none() && spec.under.is_none()) {
            self.commit(spec, &kek, seq);
        }
        Ok(PushSent {
            at: world.now(),
            kek_spi: kek.spi,
            seq,
            datagrams: to.into_iter().map(|to| Datagram::new(from, to, sealed.octets.clone())).collect(),
            spis: spec.teks.iter().map(|tek| tek.spi).collect(),
        })
    }

    /// Sends the datagrams of a PUSH (again).
    pub fn replay_push(&mut self, world: &mut dyn World, push: &PushSent) {
        self.send_push(world, push, false);
    }

    /// Pushes a fresh TEK like the newest one under the next sequence number: the usual valid PUSH.
    ///
    /// # Errors
    /// When the group has no KEK or no signing key, or nobody to send to.
    pub fn push_fresh_tek(&mut self, world: &mut dyn World) -> Result<PushSent, Fault> {
        let tek = self.fresh_tek();
        self.push(world, PushSpec::tek(tek))
    }

    /// Pushes successors of all TEKs of the group under the next sequence number: the same policy with new keys.
    ///
    /// # Errors
    /// When the group has no KEK or no signing key, or nobody to send to.
    pub fn push_fresh_teks(&mut self, world: &mut dyn World) -> Result<PushSent, Fault> {
        let teks: Vec<Tek> = self.script.group.teks.iter().map(|tek| tek.successor(&mut self.rng)).collect();
        let spec = teks.into_iter().fold(PushSpec::new(), PushSpec::with_tek);
        self.push(world, spec)
    }

    /// Makes a fresh TEK like the newest one of the group.
    pub fn fresh_tek(&mut self) -> Tek {
        match self.script.group.teks.last().cloned() {
            Some(tek) => tek.successor(&mut self.rng),
            None => Tek::generate(&mut self.rng),
        }
    }

    /// Makes a successor of the KEK in use.
    ///
    /// # Errors
    /// When the group has no KEK.
    pub fn fresh_kek(&mut self) -> Result<Kek, Fault> {
        let current = self.script.group.kek.as_ref().ok_or_else(|| Fault::tester("the group has no KEK"))?;
        Ok(current.successor(&mut self.rng))
    }

    /// Gives the Rekey SAs that were in use before, oldest first.
    #[must_use]
    pub fn old_keks(&self) -> &[Kek] {
        &self.old_keks
    }

    /// Serves until a valid acknowledgement of this PUSH has come.
    pub fn await_ack(&mut self, world: &mut dyn World, push: &PushSent, deadline: Instant) -> Option<AckSeen> {
        let acknowledges = |ack: &AckSeen| ack.is_valid() && ack.seq == Some(push.seq) && ack.seen.at >= push.at;
        self.serve(world, &mut |log| log.acks.iter().any(acknowledges), deadline);
        self.log.acks.iter().find(|ack| acknowledges(ack)).cloned()
    }

    fn push_ends(&self, spec: &PushSpec, kek: &Kek) -> Result<(SocketAddr, Vec<SocketAddr>), Fault> {
        let from = spec.from.unwrap_or(self.script.me);
        if let Some(to) = spec.to {
            return Ok((from, vec![to]));
        }
        let multicast = kek.dst.as_ref().and_then(|dst| Some(SocketAddr::new(dst.ip()?, dst.port)));
        if let Some(group) = multicast.filter(|group| group.ip().is_multicast()) {
            return Ok((from, vec![group]));
        }
        // A member that has registered again may have another port.
        let mut members: Vec<SocketAddr> = Vec::new();
        for member in &self.members {
            members.retain(|address| address.ip() != member.address.ip());
            members.push(member.address);
        }
        if members.is_empty() { Err(Fault::tester("nobody has registered")) } else { Ok((from, members)) }
    }

    fn push_payloads(
        &self,
        now: Instant,
        spec: &PushSpec,
        current: &Kek,
        seq: u32,
        (from, to): (SocketAddr, SocketAddr),
    ) -> Vec<(PayloadType, Vec<u8>)> {
        let mut payloads = vec![(PayloadType::SEQ, Sequence(seq).encode_body())];
        payloads.extend(spec.deletes.iter().map(|delete| (PayloadType::DELETE, delete.encode_body())));
        let repeated = spec.repeat_sak.then_some(current);
        let kek = spec.kek.as_ref().or(repeated);
        let mut packets: Vec<KeyPacket> = Vec::new();
        if let Some(kek) = kek {
            packets.push(if spec.lkh.is_empty() { kek.packet() } else { lkh_update_packet(kek, &spec.lkh) });
        }
        packets.extend(spec.teks.iter().map(Tek::packet));
        packets.extend(spec.packets.iter().cloned());
        if kek.is_some() || !spec.gap.is_empty() || !spec.teks.is_empty() {
            let data = if spec.teks.is_empty() { Vec::new() } else { self.script.group.data_attributes(now) };
            let gap = [spec.gap.as_slice(), &data].concat();
            let sa = sa_payload(kek.map(|kek| kek.sak(from, to)), &gap, &spec.teks);
            payloads.push((PayloadType::SA, sa.encode_body(&self.script.dialect)));
        }
        if !packets.is_empty() {
            payloads.push((PayloadType::KEY_DOWNLOAD, KeyDownload { packets }.encode_body()));
        }
        payloads.push((PayloadType::SIG, Vec::new()));
        payloads
    }

    /// Goes on as if the PUSH had been accepted.
    fn commit(&mut self, spec: &PushSpec, under: &Kek, seq: u32) {
        let group = &mut self.script.group;
        if let Some(kek) = group.kek.as_mut().filter(|kek| kek.spi == under.spi) {
            kek.seq = kek.seq.max(seq);
        }
        if let Some(kek) = &spec.kek {
            self.old_keks.extend(group.kek.replace(kek.clone()));
        }
        if !spec.teks.is_empty() {
            group.teks.clone_from(&spec.teks);
        }
    }

    fn send_push(&mut self, world: &mut dyn World, push: &PushSent, tampered: bool) {
        for datagram in &push.datagrams {
            world.note(&format!("tester sends GROUPKEY-PUSH {}", push.seq));
            let octets = datagram.payload.clone();
            self.sent.push(Sent { step: Step::Push, at: world.now(), octets, tampered });
            world.send(datagram.clone());
        }
    }
}
