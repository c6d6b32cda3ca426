//! Dummy packets (RFC 4303 §2.6): ESP that means nothing, so that an observer cannot tell how much of it means something.

use hallmark_crypto::esp::trailer;

use crate::behaviour::{Defect, Variant};
use crate::datapath::Datapath;
use crate::dress::NEXT_DUMMY;
use crate::encrypt::{number_limit, vector};
use crate::header::Header;
use crate::outer;
use crate::packet::{Batch, Fate, Packet, Pool, Side};
use crate::policy::Replay;
use crate::reason::Reason;

/// Protected packets behind which a variant sends a dummy.
const OF_VARIANT: u32 = 16;

impl Datapath {
    /// Sends the dummies that are due after so many more packets of an SA, each as long as the last of these, with its
    /// outer header and a number and vector of its own.
    // REQ ESP-013
    pub(crate) fn send_dummies(&mut self, sa: u16, sealed: u64, batch: &mut Batch, pool: &mut Pool) {
        let behaviour = &self.config.behaviour;
        let of_variant = behaviour.varies(Variant::DummyPackets).then_some(OF_VARIANT);
        let Some(every) = self.config.dummy_every.map(std::num::NonZeroU32::get).or(of_variant) else { return };
        let due = self.since_dummy + sealed;
        self.since_dummy = due % u64::from(every);
        // Where packets are still to be cut a dummy would have to be cut too: none is sent this time.
        if self.work.cut_after || behaviour.has(Defect::DummiesNever) {
            return;
        }
        let is_sealed =
            |(of, packet): (&u16, &Packet)| *of == sa && packet.fate == Fate::Out(Side::Wan) && !packet.is_empty();
        let Some(model) = self.work.sa_of.iter().zip(&batch.packets).rposition(is_sealed) else { return };
        for _ in 0..due / u64::from(every) {
            let Some(mut dummy) = pool.take() else { return };
            let made = match batch.packets.get(model) {
                Some(model) => self.make_dummy(sa, model, &mut dummy),
                None => Err(Reason::NoBuffer),
            };
            if made.is_err() {
                return pool.give(dummy);
            }
            self.totals.dummies.add(dummy.len());
            dummy.received_on = Side::Lan;
            dummy.fate = Fate::Out(Side::Wan);
            if let Err(dummy) = batch.push(dummy) {
                return pool.give(dummy);
            }
        }
    }

    /// Turns a packet into a dummy that looks like a sealed one; without a number and a vector that were never used
    /// there is none.
    // REQ ESP-023
    fn make_dummy(&mut self, sa: u16, model: &Packet, dummy: &mut Packet) -> Result<(), Reason> {
        let header = Header::parse(model.ip()).ok_or(Reason::Malformed)?;
        let counts_replay = matches!(self.replay, Replay::Counter { .. });
        let behaviour = &self.config.behaviour;
        let live = self.sas.get_mut(sa).ok_or(Reason::NoSa)?;
        let transform = live.sa.transform;
        if !dummy.set(model.link(), model.ip()) {
            return Err(Reason::NoBuffer);
        }
        let limit = number_limit(live, counts_replay, behaviour);
        let (mut number, granted) = live.shared.counter.take(1, limit);
        if granted == 0 {
            return Err(Reason::CounterExhausted);
        }
        let mut iv = [0; 16];
        match live.shared.vectors.as_ref().map(|vectors| vectors.counter.take(1, u64::MAX)) {
            Some((counted, 1)) => {
                let vector = vector(live, self.sender_ids.as_ref(), counted, behaviour, &mut self.rng)?;
                iv[..8].copy_from_slice(&vector.to_be_bytes());
            }
            Some(_) => return Err(Reason::CounterExhausted),
            None => self.rng.fill(&mut iv),
        }
        let (src, dst) = crate::classifier::addresses(model.ip(), header.version4).ok_or(Reason::Malformed)?;
        let ident = self.idents.next(src, dst);
        let repeats = behaviour.has(Defect::DummyRepeatsNumber);
        let ip = dummy.ip_mut();
        if header.version4 {
            outer::set_v4_word(ip, 4, ident.to_be_bytes());
        }
        let esp = ip.get_mut(header.payload_at..).ok_or(Reason::TooShort)?;
        let (head, rest) = esp.split_at_mut_checked(transform.header_len()).ok_or(Reason::TooShort)?;
        let body_len = rest.len().checked_sub(transform.icv_len()).ok_or(Reason::TooShort)?;
        let (numbers, room) = head.split_first_chunk_mut::<8>().ok_or(Reason::TooShort)?;
        if repeats {
            number = u64::from_be_bytes(*numbers) & 0xffff_ffff;
        } else {
            *numbers = (u64::from(live.sa.spi) << 32 | number & 0xffff_ffff).to_be_bytes();
            room.copy_from_slice(iv.get(..room.len()).ok_or(Reason::TooShort)?);
        }
        // What is as long as a sealed packet is aligned without padding.
        let (content, tail) =
            rest.get_mut(..body_len).and_then(|body| body.split_last_chunk_mut::<2>()).ok_or(Reason::TooShort)?;
        content.fill(0);
        trailer::write(tail, NEXT_DUMMY);
        let esn = live.sa.extended_sequence.then_some((number >> 32) as u32);
        live.shared.key.seal(esp, esn).map_err(|_| Reason::NoUsableSa)
    }
}
