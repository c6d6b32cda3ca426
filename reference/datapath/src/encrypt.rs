//! From the LAN to the WAN: which packets are protected, with which SA, and their protection in place.
//!
//! A burst goes through two stages. First every packet is classified and, where it is protected, gets its TTL, segment
//! size and size seen to; packets that are cut are replaced by their pieces. Then, for each SA of the burst, numbers
//! are taken at once, headers and trailers are put in place, and all packets are sealed in one call.

use arrayvec::ArrayVec;
use hallmark_core::Now;
use hallmark_crypto::esp::Job;

use crate::behaviour::{Behaviour, Defect};
use crate::classifier::FlowKey;
use crate::config::Ttl;
use crate::datapath::Datapath;
use crate::dress::{Dress, stamp_next, traffic_class};
use crate::event::EventKind;
use crate::flow::{Decision, Question};
use crate::fragment::is_tiny;
use crate::header::Header;
use crate::icmp::Problem;
use crate::outer;
use crate::packet::{BATCH, Batch, Fate, Packet, Pool, Side};
use crate::pmtu::Size;
use crate::policy::{Pseudotime, Replay};
use crate::quick::send::{Numbers, Sealed, Suit};
use crate::reason::Reason;
use crate::sa::LiveSa;
use crate::sender;
use crate::spoil;
use crate::stamp::{self, STAMP_LEN};
use crate::trace::Checkpoint;
use crate::work::NO_SA;

impl Datapath {
    /// Protects a burst.
    pub(crate) fn protect(&mut self, now: Now, batch: &mut Batch, pool: &mut Pool) {
        let arrived = batch.packets.len();
        self.work.begin(arrived);
        // Defects and traces want every packet to go the long way.
        if self.config.behaviour.is_any() || self.tracer.is_on() {
            for index in 0..arrived {
                self.plan(now, index, batch, pool);
            }
        } else {
            self.plan_quickly(now, batch);
            for at in 0..self.work.rest.len() {
                let Some(&index) = self.work.rest.get(at) else { break };
                self.plan(now, usize::from(index), batch, pool);
            }
        }
        self.seal_planned(now, batch, pool);
    }

    /// Seals whatever the burst has assigned to SAs.
    pub(crate) fn seal_planned(&mut self, now: Now, batch: &mut Batch, pool: &mut Pool) {
        for at in 0..self.work.used.len() {
            let Some(&(sa, count)) = self.work.used.get(at) else { break };
            self.seal_for(now, sa, count, batch, pool);
        }
        if self.work.cut_after {
            self.cut_sealed(now, batch, pool);
        }
    }

    /// Decides about one packet and prepares it.
    pub(crate) fn plan(&mut self, now: Now, index: usize, batch: &mut Batch, pool: &mut Pool) {
        let Some(packet) = batch.packets.get_mut(index) else { return };
        packet.received_on = Side::Lan;
        let Some(header) = Header::parse(packet.ip()) else { return packet.drop_for(Reason::Malformed) };
        packet.truncate(header.len);
        if header.piece.is_some() && is_tiny(&header) {
            return packet.drop_for(Reason::FragmentTiny);
        }
        let key = match FlowKey::of(packet.ip(), &header) {
            Ok(key) => key,
            Err(reason) => return packet.drop_for(reason),
        };
        let (tables, stance, behaviour) = (&self.tables, self.stance, &self.config.behaviour);
        let decide = |key: &FlowKey| tables.decide_out(key, stance, behaviour);
        let (flow, place) = self.flows.find(now.mono, Question::Out, &key, decide);
        flow.count.add(header.len);
        let (decision, rule) = (flow.decision, flow.rule);
        if let Decision::Protect(slot) = decision
            && let Some(lane) = self.lanes.get(usize::from(slot))
        {
            self.flows.trail(place, now.mono, lane.spi);
        }
        if let Some(live) = self.tables.rules.get_mut(rule as usize) {
            live.out.add(header.len);
        }
        if self.tracer.is_on() {
            let rule = self.tables.rules.get(rule as usize).map(|live| live.rule.to_string());
            self.tracer.step(index, || match rule {
                Some(rule) => format!("first rule that matches: {rule}"),
                None => format!("no rule matches or rules are not in force ({decision:?})"),
            });
        }
        match self.leave_alone(decision, &header, &key) {
            Decision::Clear => {
                packet.fate = Fate::Out(Side::Wan);
                self.totals.clear_out.add(header.len);
            }
            Decision::Drop(reason) => packet.drop_for(reason),
            Decision::Protect(slot) => {
                let Some(sa) = self.active.get(usize::from(slot)).copied().flatten() else {
                    return self.no_usable_sa(now, index, &key, batch);
                };
                self.prepare(now, index, sa, header, &key, batch, pool);
            }
        }
    }

    /// Lets defects have a say about a decision; conforming members leave it as it is.
    #[inline]
    fn leave_alone(&self, decision: Decision, header: &Header, key: &FlowKey) -> Decision {
        let behaviour = &self.config.behaviour;
        if !behaviour.is_any() {
            return decision;
        }
        let Decision::Protect(_) = decision else { return decision };
        let clear = behaviour.has(Defect::MulticastNotEncrypted) && crate::tables::is_multicast(key)
            || behaviour.has(Defect::Ipv6NotEncrypted) && !key.version4
            || behaviour.has(Defect::InnerFragmentsClear) && header.is_fragment()
            || behaviour.has(Defect::FirstFragmentOnly) && key.fragment;
        if clear { Decision::Clear } else { decision }
    }

    /// The policy protects a packet and there is nothing to protect it with: it never leaves in clear.
    fn no_usable_sa(&mut self, now: Now, index: usize, key: &FlowKey, batch: &mut Batch) {
        let Some(packet) = batch.packets.get_mut(index) else { return };
        let behaviour = &self.config.behaviour;
        let had_sas = !self.sas.list.is_empty();
        let leaks = behaviour.has(Defect::PermitWithoutSaLeaks) && !had_sas
            || behaviour.has(Defect::ExpiredSaLeak) && had_sas
            || behaviour.has(Defect::RegisteredForgotten) && !self.sas.list.iter().any(|live| live.is_alive(now.mono));
        if leaks {
            packet.fate = Fate::Out(Side::Wan);
            return;
        }
        packet.drop_for(Reason::NoUsableSa);
        self.events.push(now.mono, EventKind::NoUsableSa { src: key.src_addr(), dst: key.dst_addr() });
    }

    /// Sees to TTL, segment size and size of a packet that is going to be protected.
    #[expect(clippy::too_many_arguments, reason = "they are the packet, its header and where it goes")]
    fn prepare(
        &mut self,
        now: Now,
        index: usize,
        sa: u16,
        header: Header,
        key: &FlowKey,
        batch: &mut Batch,
        pool: &mut Pool,
    ) {
        let Some(packet) = batch.packets.get_mut(index) else { return };
        // REQ ESP-052
        let lowers = self.config.ttl == Ttl::Decrement;
        if lowers && header.hops <= 1 && !self.config.behaviour.has(Defect::TtlZeroForwarded) {
            packet.drop_for(Reason::Ttl);
            return self.tell(now, index, Problem::TimeExceeded, Side::Lan, batch, pool);
        }
        let Some(fit) = self.fit(now, sa, &header, key.dst) else { return packet.drop_for(Reason::NoUsableSa) };
        // Size comes before any change, so that an ICMP error quotes what was sent.
        let verdict = self.judge_size(sa, &header, fit);
        if let Some(mtu) = verdict.tell {
            self.tell(now, index, Problem::TooBig { mtu }, Side::Lan, batch, pool);
        }
        let Some(packet) = batch.packets.get_mut(index) else { return };
        if verdict.size == Size::Refuse {
            return packet.drop_for(Reason::TooBig);
        }
        if lowers {
            self.lower_hops(header.hops, packet);
        }
        self.clamp(&header, Side::Lan, fit, packet);
        match verdict.size {
            Size::CutBefore(size) => return self.cut(index, size, Some(sa), header.dont_fragment, batch, pool),
            Size::CutAfter(_) => self.work.cut_after = true,
            Size::Fits | Size::Refuse => {}
        }
        if !self.work.assign(index, sa) {
            packet.drop_for(Reason::NoBuffer);
        }
    }

    #[inline]
    fn lower_hops(&self, hops: u8, packet: &mut Packet) {
        let behaviour = &self.config.behaviour;
        if behaviour.is_any() {
            let by = match () {
                () if behaviour.has(Defect::TtlKept) => 0,
                () if behaviour.has(Defect::TtlTwice) => 2,
                () => 1,
            };
            let ip = packet.ip_mut();
            if behaviour.has(Defect::TtlChecksumStale) && ip.first().is_some_and(|first| first >> 4 == 4) {
                if let Some(field) = ip.get_mut(8) {
                    *field = hops.saturating_sub(by);
                }
            } else {
                outer::set_hops(ip, hops.saturating_sub(by));
            }
            return;
        }
        outer::set_hops(packet.ip_mut(), hops.wrapping_sub(1));
    }

    /// Protects the packets that one burst has for one SA.
    fn seal_for(&mut self, now: Now, sa: u16, count: u16, batch: &mut Batch, pool: &mut Pool) {
        if self.captures.is_on(Checkpoint::BeforeSeal) {
            for (packet, &of) in batch.packets.iter().zip(&self.work.sa_of) {
                if of == sa {
                    self.captures.add(now.mono, Checkpoint::BeforeSeal, packet.ip(), None);
                }
            }
        }
        let odd = self.config.behaviour.is_any();
        let counter_mode_ids = self.sender_ids.as_ref();
        let counts_replay = matches!(self.replay, Replay::Counter { .. });
        let stamp = self.stamp_of(now);
        let Some(live) = self.sas.get_mut(sa) else { return };
        let behaviour = &self.config.behaviour;
        let limit = number_limit(live, counts_replay, behaviour);
        let shared = std::sync::Arc::clone(&live.shared);
        let counter = if behaviour.has(Defect::SeqSharedByAllSas) { &self.shared.common } else { &shared.counter };
        let (first, granted) = counter.take(u64::from(count), limit);
        // The vectors are numbered by the key, which other SAs may have: they run so far ahead of the sequence numbers.
        let vectors = shared.vectors.as_ref().map(|vectors| vectors.counter.take(granted, u64::MAX));
        let (first_vector, granted) = vectors.unwrap_or((first, granted));
        let ahead = first_vector.wrapping_sub(first);
        // The sender id rarely changes within a burst; then one question serves all packets.
        let counter_mode = live.sa.transform.is_counter_mode();
        let vector_left = match odd || !counter_mode || granted == 0 {
            true => None,
            false => common_vector(live, counter_mode_ids, first_vector, granted),
        };
        let vector_low = counter_mode_ids.map_or(0, |(bits, _)| u64::MAX.checked_shr(u32::from(*bits)).unwrap_or(0));
        let announced = stamp.map(|stamp| (stamp, stamp_next(&self.replay, &self.config)));
        if let Some(left) = vector_left
            && let Some(suit) = Suit::new(live, &self.config, announced)
        {
            let numbers = Numbers { sequence: first, vector: left | first_vector & vector_low, left: granted };
            let (sa_of, idents, dscp) = (&self.work.sa_of, &mut self.idents, &mut self.dscp);
            let sealed = suit.seal(&shared.key, numbers, batch, sa_of, sa, idents, dscp);
            return self.note_sealed(now, sa, count, granted, sealed, batch, pool);
        }
        let dress = Dress::new(live, &self.config, &self.replay, stamp);
        let random_iv = !counter_mode && dress.transform.iv_len() > 0;
        let (mut number, mut left) = (first, granted);
        let mut sealed = Sealed::default();
        let mut jobs: ArrayVec<Job<'_>, BATCH> = ArrayVec::new();
        let mut unsealed = false;
        for (index, packet) in batch.packets.iter_mut().enumerate() {
            if self.work.sa_of.get(index) != Some(&sa) {
                continue;
            }
            if left == 0 {
                packet.drop_for(Reason::CounterExhausted);
                sealed.failed = Some(Reason::CounterExhausted);
                continue;
            }
            let mut iv = [0; 16];
            if let Some(left) = vector_left {
                let vector = left | number.wrapping_add(ahead) & vector_low;
                iv[..8].copy_from_slice(&vector.to_be_bytes());
            } else if counter_mode {
                match vector(live, counter_mode_ids, number.wrapping_add(ahead), behaviour, &mut self.rng) {
                    Ok(vector) => iv[..8].copy_from_slice(&vector.to_be_bytes()),
                    Err(reason) => {
                        packet.drop_for(reason);
                        sealed.failed = Some(reason);
                        continue;
                    }
                }
            } else if random_iv {
                // REQ ESP-024
                self.rng.fill(iv.get_mut(..dress.transform.iv_len()).unwrap_or_default());
            }
            let inner_len = packet.len();
            let sequence = number;
            number = number.wrapping_add(1);
            left -= 1;
            let since_apply = sequence.wrapping_sub(live.base.0);
            let spoilt = odd.then(|| spoil::before(packet, &dress, sequence, since_apply, &mut iv, behaviour));
            let dressed = match dress.put_on(packet, sequence, &iv, &mut self.idents, spoilt.as_ref()) {
                Ok(dressed) => dressed,
                Err(reason) => {
                    packet.drop_for(reason);
                    continue;
                }
            };
            sealed.count.add(inner_len);
            // Six bits stay below 64.
            self.dscp[usize::from(traffic_class(packet.ip()) >> 2)] += 1;
            packet.fate = Fate::Out(Side::Wan);
            let mut esn_high = dress.extended.then_some((sequence >> 32) as u32);
            if odd {
                let (with, without) = (Defect::AadWithEsn, Defect::EsnAadShort);
                esn_high = spoil::esn(esn_high, behaviour.has(with), behaviour.has(without));
            }
            let (ip, fate) = packet.parts();
            let Some(esp) = ip.get_mut(dressed.esp_at..) else {
                *fate = Fate::Dropped(Reason::NoBuffer);
                continue;
            };
            jobs.push(Job { esp, esn_high, ok: false });
            if jobs.is_full() {
                shared.key.seal_batch(&mut jobs);
                unsealed |= jobs.iter().any(|job| !job.ok);
                jobs.clear();
            }
        }
        shared.key.seal_batch(&mut jobs);
        unsealed |= jobs.iter().any(|job| !job.ok);
        drop(jobs);
        if unsealed {
            // No packet that is laid out here is refused by its cipher; if one were, it would leave in clear.
            for (index, packet) in batch.packets.iter_mut().enumerate() {
                if self.work.sa_of.get(index) == Some(&sa) && packet.fate == Fate::Out(Side::Wan) {
                    packet.drop_for(Reason::NoUsableSa);
                }
            }
        }
        if behaviour.has(Defect::CountersTwice) {
            live.counts.sealed.packets += sealed.count.packets;
        }
        self.note_sealed(now, sa, count, granted, sealed, batch, pool);
    }

    /// Counts, traces and reports what became of `count` packets of an SA, for which there were `granted` numbers, and
    /// sends the dummies that are due behind them.
    #[expect(clippy::too_many_arguments, reason = "they are the packets and what became of them")]
    fn note_sealed(
        &mut self,
        now: Now,
        sa: u16,
        count: u16,
        granted: u64,
        sealed: Sealed,
        batch: &mut Batch,
        pool: &mut Pool,
    ) {
        let Some(live) = self.sas.get_mut(sa) else { return };
        let spi = live.sa.spi;
        live.counts.sealed.join(sealed.count);
        live.counts.send_errors += u64::from(count).saturating_sub(sealed.count.packets);
        self.totals.sealed.join(sealed.count);
        if matches!(self.replay, Replay::Time { .. } | Replay::D3p { .. }) {
            self.times.output_packets += sealed.count.packets;
        }
        if self.tracer.is_on() {
            let transform = live.sa.transform;
            for (index, (packet, &of)) in batch.packets.iter().zip(&self.work.sa_of).enumerate() {
                if of == sa && packet.fate == Fate::Out(Side::Wan) {
                    self.tracer.step(index, || format!("sealed with SPI {spi:#010x} by {transform}"));
                }
            }
        }
        match sealed.failed {
            Some(Reason::CounterExhausted) if granted < u64::from(count) => {
                self.events.push(now.mono, EventKind::SequenceExhausted { spi });
            }
            Some(_) => self.events.push(now.mono, EventKind::SenderIdsExhausted { spi }),
            None => {}
        }
        let odd = self.config.behaviour.is_any();
        if odd {
            self.spoil_sealed(sa, batch, pool);
        }
        if odd || self.config.dummy_every.is_some() {
            self.send_dummies(sa, sealed.count.packets, batch, pool);
        }
    }

    /// Makes the stamp of a burst, its next header still open.
    fn stamp_of(&self, now: Now) -> Option<[u8; STAMP_LEN]> {
        let behaviour = &self.config.behaviour;
        match self.replay {
            Replay::None | Replay::Counter { .. } => None,
            _ if behaviour.has(Defect::StampMissing) => None,
            Replay::Time { pseudotime, .. } => {
                let ticks = match () {
                    () if !behaviour.is_any() => self.pseudotime(now),
                    () if behaviour.has(Defect::StampFrozen) => pseudotime.ticks,
                    () if behaviour.has(Defect::StampInSeconds) => self.pseudotime(now) / Pseudotime::TICKS_PER_SEC,
                    () if behaviour.has(Defect::StampWraps) => self.pseudotime(now) & 0xffff,
                    () if behaviour.has(Defect::StampLittleEndian) => self.pseudotime(now).swap_bytes(),
                    () => self.pseudotime(now),
                };
                Some(stamp::tbar(0, ticks))
            }
            Replay::D3p { .. } => {
                let mut header = stamp::d3p(0, now.wall);
                if behaviour.has(Defect::D3pNanoseconds)
                    && let Some(micros) = header.last_chunk_mut::<4>()
                {
                    *micros = u32::from_be_bytes(*micros).wrapping_mul(1_000).to_be_bytes();
                }
                if behaviour.has(Defect::D3pLengthWrong) {
                    header[3] = 8;
                }
                Some(header)
            }
        }
    }

    /// Does to sealed packets what only defects do.
    fn spoil_sealed(&mut self, sa: u16, batch: &mut Batch, pool: &mut Pool) {
        for index in 0..batch.packets.len() {
            if self.work.sa_of.get(index) != Some(&sa) {
                continue;
            }
            let Some(packet) = batch.packets.get_mut(index) else { continue };
            if packet.fate != Fate::Out(Side::Wan) {
                continue;
            }
            let behaviour = &self.config.behaviour;
            self.sent += 1;
            if spoil::after(packet, self.sent, behaviour) {
                spoil::send_twice(index, batch, pool);
            }
            if behaviour.has(Defect::GoesDeafAfter) && self.sent >= 1_000 {
                self.deaf = true;
            }
        }
    }
}

/// Gives the highest number that a packet of the SA may have.
// REQ ESP-004 REQ ESP-005 REQ ESP-100
pub(crate) fn number_limit(live: &LiveSa, counts_replay: bool, behaviour: &Behaviour) -> u64 {
    let cycles = behaviour.has(Defect::SeqCyclesWithReplay);
    let stops = behaviour.has(Defect::SeqStopsWithoutReplay);
    if live.sa.extended_sequence {
        u64::MAX
    } else if counts_replay && !cycles || stops {
        u64::from(u32::MAX)
    } else {
        u64::MAX
    }
}

/// Gives the leftmost bits of the vectors of a whole run of numbers; nothing when the run needs two sender ids or there
/// is none.
fn common_vector(live: &mut LiveSa, ids: Option<&(u16, Vec<u32>)>, first: u64, count: u64) -> Option<u64> {
    let (bits, ids) = ids?;
    let low_bits = 64u32.checked_sub(u32::from(*bits)).filter(|_| sender::valid_bits(*bits))?;
    let same_round = first >> low_bits == first.checked_add(count - 1)? >> low_bits;
    if same_round { sender_bits(live, *bits, ids, first, &Behaviour::conforming()).ok() } else { None }
}

/// Makes the vector of a counter mode: the sender id on the left, the count behind it.
// REQ ESP-023 REQ ESP-066 REQ ESP-069
pub(crate) fn vector(
    live: &mut LiveSa,
    ids: Option<&(u16, Vec<u32>)>,
    number: u64,
    behaviour: &Behaviour,
    rng: &mut hallmark_core::Rng,
) -> Result<u64, Reason> {
    let Some((bits, ids)) = ids else {
        return if behaviour.has(Defect::SendsWithoutSid) { Ok(number) } else { Err(Reason::SidMissing) };
    };
    let left = sender_bits(live, *bits, ids, number, behaviour)?;
    let low = number & (u64::MAX >> bits);
    if behaviour.is_any() {
        return Ok(spoil::vector(left, low, *bits, number.wrapping_sub(live.base.1), behaviour, rng));
    }
    Ok(left | low)
}

/// Gives the sender id of a number, in the leftmost bits.
fn sender_bits(live: &mut LiveSa, bits: u16, ids: &[u32], number: u64, behaviour: &Behaviour) -> Result<u64, Reason> {
    if !sender::valid_bits(bits) {
        return Err(Reason::SidMissing);
    }
    let low_bits = 64 - u32::from(bits);
    let round = number >> low_bits;
    if let Some((_, left)) = live.round.filter(|(known, _)| *known == round) {
        return Ok(left);
    }
    let Some(vectors) = &live.shared.vectors else { return Err(Reason::SidMissing) };
    let mut table = vectors.sender_ids.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let id = match table.for_round(bits, ids, round) {
        Some(id) => id,
        None if behaviour.has(Defect::SidWrapsOnExhaustion) => ids.first().copied().ok_or(Reason::SidMissing)?,
        None if ids.is_empty() => return Err(Reason::SidMissing),
        None => return Err(Reason::CounterExhausted),
    };
    drop(table);
    let left = u64::from(id) << low_bits;
    live.round = Some((round, left));
    Ok(left)
}

/// Tells that a packet belongs to no SA any more.
pub(crate) fn release(sa_of: &mut [u16], index: usize) {
    if let Some(of) = sa_of.get_mut(index) {
        *of = NO_SA;
    }
}
