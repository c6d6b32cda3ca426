//! From the LAN to the WAN: which packets are protected, with which SA, and their protection in place.
//!
//! A burst goes through two stages. First every packet is classified and, where it is protected, gets its TTL, segment
//! size and size seen to; packets that are cut are replaced by their pieces. Then, for each SA of the burst, numbers
//! are taken at once, headers and trailers are put in place, and all packets are sealed in one call.

use arrayvec::ArrayVec;
use hallmark_core::Now;
use hallmark_crypto::esp::{Job, Transform, trailer};
use hallmark_wire::ip::protocol;

use crate::behaviour::{Behaviour, Defect, Variant};
use crate::classifier::{FlowKey, number};
use crate::config::{Config, Df, Ecn, Mss, Ttl};
use crate::datapath::Datapath;
use crate::event::EventKind;
use crate::flow::{Decision, NO_RULE, Question};
use crate::fragment::is_tiny;
use crate::glance::Glance;
use crate::header::Header;
use crate::icmp::Problem;
use crate::outer::{self, Outer};
use crate::packet::{BATCH, Batch, Fate, Packet, Pool, Side};
use crate::pmtu::Size;
use crate::policy::{Mode, Pseudotime, Replay};
use crate::reason::Reason;
use crate::sa::LiveSa;
use crate::sender;
use crate::spoil::{self, Spoilt};
use crate::stamp::{self, STAMP_LEN};
use crate::status::Count;
use crate::trace::Checkpoint;
use crate::work::NO_SA;

/// Next header of a tunnelled IPv4 packet.
pub(crate) const NEXT_V4: u8 = 4;
/// Next header of a tunnelled IPv6 packet.
pub(crate) const NEXT_V6: u8 = 41;
/// Next header of a dummy packet.
pub(crate) const NEXT_DUMMY: u8 = 59;

/// What all packets of one SA in one burst have in common.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Dress {
    pub(crate) transform: Transform,
    pub(crate) spi: u32,
    pub(crate) mode: Mode,
    extended: bool,
    source_preserved: bool,
    destination_preserved: bool,
    endpoint: Option<(u128, bool)>,
    pub(crate) own: Option<(u128, bool)>,
    df: Df,
    dscp: Option<u8>,
    ecn: Ecn,
    /// Octets of the time stamp in front of the payload; nothing when there is none.
    pub(crate) stamp: Option<[u8; STAMP_LEN]>,
    /// ESP next header of a stamped payload.
    stamp_next: u8,
    icv_len: usize,
}

/// What is counted of neighbouring packets that one rule decides about.
#[derive(Clone, Copy, Debug)]
struct Tally {
    rule: u32,
    count: Count,
    clear: Count,
}

impl Default for Tally {
    fn default() -> Self {
        Self { rule: NO_RULE, count: Count::default(), clear: Count::default() }
    }
}

/// The SA that sends for one slot of the policy, with what the quick way has to know of it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lane {
    pub(crate) sa: u16,
    pub(crate) spi: u32,
    /// Longest inner packet on the own link; 0 where the quick way does not lead.
    pub(crate) most_v4: u16,
    pub(crate) most_v6: u16,
}

/// Where the parts of a dressed packet lie, for sealing and for defects.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Dressed {
    /// Octets before ESP.
    pub(crate) esp_at: usize,
}

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
            self.glance_at(Question::Out, batch);
            let mut tally = Tally::default();
            for index in 0..arrived {
                if !self.plan_quickly(now, index, &mut tally, batch) {
                    self.plan(now, index, batch, pool);
                }
            }
            self.count_rule(&tally);
            self.totals.clear_out.packets += tally.clear.packets;
            self.totals.clear_out.octets += tally.clear.octets;
        }
        self.seal_planned(now, batch, pool);
    }

    /// Looks shortly at every packet of the burst, so that their flows are near when they are decided on.
    #[inline(always)]
    fn glance_at(&mut self, question: Question, batch: &Batch) {
        self.work.glances.clear();
        for packet in &batch.packets {
            let mut glance = Glance::at(packet.ip(), question).unwrap_or_default();
            glance.place = self.flows.place(&mut glance.words);
            self.work.glances.push(glance);
        }
    }

    /// Decides about a packet that is nothing special, of a flow that is known, and prepares it; `false`, and nothing
    /// done, for all others.
    #[inline(always)]
    fn plan_quickly(&mut self, now: Now, index: usize, tally: &mut Tally, batch: &mut Batch) -> bool {
        let (Some(glance), Some(packet)) = (self.work.glances.get(index), batch.packets.get_mut(index)) else {
            return false;
        };
        let len = usize::from(glance.len);
        let Some(flow) = self.flows.at(glance.place, &glance.words).filter(|_| len > 0) else { return false };
        let spi = match flow.decision {
            Decision::Drop(_) => return false,
            Decision::Clear => {
                packet.fate = Fate::Out(Side::Wan);
                packet.truncate(len);
                tally.clear.add(len);
                0
            }
            Decision::Protect(slot) => {
                let Some(lane) = self.lanes.get(usize::from(slot)) else { return false };
                let most = if glance.version4 { lane.most_v4 } else { lane.most_v6 };
                let lowers = self.config.ttl == Ttl::Decrement;
                let special = len > usize::from(most)
                    || lowers && glance.hops <= 1
                    || glance.tcp && self.config.mss != Mss::Off
                    || !self.path_mtus.is_empty();
                if special || !self.work.assign(index, lane.sa) {
                    return false;
                }
                packet.truncate(len);
                if lowers {
                    outer::lower_hops(packet.ip_mut());
                }
                lane.spi
            }
        };
        flow.count.add(len);
        let rule = flow.rule;
        if rule == tally.rule {
            tally.count.add(len);
        } else {
            let before = std::mem::replace(tally, Tally { rule, clear: tally.clear, ..Tally::default() });
            tally.count.add(len);
            self.count_rule(&before);
        }
        let place = self.work.glances.get(index).map_or(0, |glance| glance.place);
        self.flows.trail(place, now.mono, spi);
        if let Some(packet) = batch.packets.get_mut(index) {
            packet.received_on = Side::Lan;
        }
        true
    }

    /// Adds what was counted of one rule.
    fn count_rule(&mut self, tally: &Tally) {
        if let Some(live) = self.tables.rules.get_mut(tally.rule as usize) {
            live.out.packets += tally.count.packets;
            live.out.octets += tally.count.octets;
        }
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
        let dress = Dress::new(live, &self.config, &self.replay, stamp);
        let behaviour = &self.config.behaviour;
        let limit = number_limit(live, counts_replay, behaviour);
        let shared = std::sync::Arc::clone(&live.shared);
        let counter = if behaviour.has(Defect::SeqSharedByAllSas) { &self.shared.common } else { &shared.counter };
        let (first, granted) = counter.take(u64::from(count), limit);
        let (mut number, mut left) = (first, granted);
        // The sender id rarely changes within a burst; then one question serves all packets.
        let counter_mode = dress.transform.is_counter_mode();
        let vector_left = match odd || !counter_mode || granted == 0 {
            true => None,
            false => common_vector(live, counter_mode_ids, first, granted),
        };
        let vector_low = counter_mode_ids.map_or(0, |(bits, _)| u64::MAX.checked_shr(u32::from(*bits)).unwrap_or(0));
        let random_iv = !counter_mode && dress.transform.iv_len() > 0;
        let mut failed: Option<Reason> = None;
        let mut octets = 0usize;
        let mut sealed = 0u64;
        let mut dscp = (0u8, 0u64);
        let mut jobs: ArrayVec<Job<'_>, BATCH> = ArrayVec::new();
        for (index, packet) in batch.packets.iter_mut().enumerate() {
            if self.work.sa_of.get(index) != Some(&sa) {
                continue;
            }
            if left == 0 {
                packet.drop_for(Reason::CounterExhausted);
                failed = Some(Reason::CounterExhausted);
                continue;
            }
            let mut iv = [0; 16];
            if let Some(left) = vector_left {
                iv[..8].copy_from_slice(&(left | number & vector_low).to_be_bytes());
            } else if counter_mode {
                match vector(live, counter_mode_ids, number, behaviour, &mut self.rng) {
                    Ok(vector) => iv[..8].copy_from_slice(&vector.to_be_bytes()),
                    Err(reason) => {
                        packet.drop_for(reason);
                        failed = Some(reason);
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
            let since_apply = sequence.wrapping_sub(live.base);
            let spoilt = odd.then(|| spoil::before(packet, &dress, sequence, since_apply, &mut iv, behaviour));
            let dressed = match dress.put_on(packet, sequence, &iv, &mut self.idents, spoilt.as_ref()) {
                Ok(dressed) => dressed,
                Err(reason) => {
                    packet.drop_for(reason);
                    continue;
                }
            };
            octets += inner_len;
            sealed += 1;
            let class = traffic_class(packet.ip()) >> 2;
            if class == dscp.0 {
                dscp.1 += 1;
            } else {
                self.dscp[usize::from(dscp.0 & 63)] += dscp.1;
                dscp = (class, 1);
            }
            packet.fate = Fate::Out(Side::Wan);
            let mut esn_high = dress.extended.then_some((sequence >> 32) as u32);
            if odd {
                let (with, without) = (Defect::AadWithEsn, Defect::EsnAadShort);
                esn_high = spoil::esn(esn_high, behaviour.has(with), behaviour.has(without));
            }
            let Some(esp) = packet.ip_mut().get_mut(dressed.esp_at..) else { continue };
            jobs.push(Job { esp, esn_high, ok: false });
            if jobs.is_full() {
                shared.key.seal_batch(&mut jobs);
                jobs.clear();
            }
        }
        shared.key.seal_batch(&mut jobs);
        drop(jobs);
        self.dscp[usize::from(dscp.0 & 63)] += dscp.1;
        let counted = Count { packets: sealed, octets: octets as u64 };
        self.totals.sealed.join(counted);
        live.counts.sealed.join(counted);
        if behaviour.has(Defect::CountersTwice) {
            live.counts.sealed.packets += sealed;
        }
        if dress.stamp.is_some() {
            self.times.output_packets += sealed;
        }
        let refused = u64::from(count).saturating_sub(sealed);
        live.counts.send_errors += refused;
        let spi = live.sa.spi;
        if self.tracer.is_on() {
            for (index, packet) in batch.packets.iter().enumerate() {
                if self.work.sa_of.get(index) == Some(&sa) && packet.fate == Fate::Out(Side::Wan) {
                    self.tracer.step(index, || format!("sealed with SPI {spi:#010x} by {}", dress.transform));
                }
            }
        }
        if odd {
            self.spoil_sealed(sa, batch, pool);
        }
        match failed {
            Some(Reason::CounterExhausted) if !dress.transform.is_counter_mode() || left == 0 && granted == 0 => {
                self.events.push(now.mono, EventKind::SequenceExhausted { spi });
            }
            Some(Reason::CounterExhausted) if granted < u64::from(count) => {
                self.events.push(now.mono, EventKind::SequenceExhausted { spi });
            }
            Some(_) => self.events.push(now.mono, EventKind::SenderIdsExhausted { spi }),
            None => {}
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
            if behaviour.varies(Variant::DummyPackets)
                && self.sent.is_multiple_of(16)
                && let Some(live) = self.sas.get_mut(sa)
            {
                dummy_behind(live, &mut self.idents, self.sender_ids.as_ref(), index, batch, pool);
            }
        }
    }
}

/// Gives the highest number that a packet of the SA may have.
// REQ ESP-004 REQ ESP-005 REQ ESP-100
fn number_limit(live: &LiveSa, counts_replay: bool, behaviour: &Behaviour) -> u64 {
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
    let (bits, _) = ids?;
    let low_bits = 64u32.checked_sub(u32::from(*bits)).filter(|_| sender::valid_bits(*bits))?;
    if first >> low_bits != first.checked_add(count - 1)? >> low_bits {
        return None;
    }
    let conforming = Behaviour::conforming();
    // Nothing is drawn without a defect.
    let mut rng = hallmark_core::Rng::from_u64(0);
    let vector = vector(live, ids, first, &conforming, &mut rng).ok()?;
    Some(vector & !(u64::MAX >> bits))
}

/// Makes the vector of a counter mode: the sender id on the left, the count behind it.
// REQ ESP-023 REQ ESP-066 REQ ESP-069
#[inline]
fn vector(
    live: &mut LiveSa,
    ids: Option<&(u16, Vec<u32>)>,
    number: u64,
    behaviour: &Behaviour,
    rng: &mut hallmark_core::Rng,
) -> Result<u64, Reason> {
    let Some((bits, ids)) = ids else {
        return if behaviour.has(Defect::SendsWithoutSid) { Ok(number) } else { Err(Reason::SidMissing) };
    };
    if !sender::valid_bits(*bits) {
        return Err(Reason::SidMissing);
    }
    let low_bits = 64 - u32::from(*bits);
    let round = number >> low_bits;
    let left = match live.round {
        Some((known, left)) if known == round => left,
        _ => {
            let mut table = live.shared.sender_ids.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            let id = match table.for_round(*bits, ids, round) {
                Some(id) => id,
                None if behaviour.has(Defect::SidWrapsOnExhaustion) => {
                    ids.first().copied().ok_or(Reason::SidMissing)?
                }
                None if ids.is_empty() => return Err(Reason::SidMissing),
                None => return Err(Reason::CounterExhausted),
            };
            let left = u64::from(id) << low_bits;
            live.round = Some((round, left));
            left
        }
    };
    let low = number & (u64::MAX >> bits);
    if behaviour.is_any() {
        return Ok(spoil::vector(left, low, *bits, number.wrapping_sub(live.base), behaviour, rng));
    }
    Ok(left | low)
}

/// Puts a dummy packet (RFC 4303 §2.6) behind a sealed one: what only a variant does.
// REQ ESP-013
fn dummy_behind(
    live: &mut LiveSa,
    idents: &mut Idents,
    ids: Option<&(u16, Vec<u32>)>,
    index: usize,
    batch: &mut Batch,
    pool: &mut Pool,
) {
    let Some(model) = batch.packets.get(index) else { return };
    let Some(mut dummy) = pool.take() else { return };
    let header_len = Header::parse(model.ip()).map_or(0, |header| header.payload_at);
    let copied = dummy.set(model.link(), model.ip().get(..header_len).unwrap_or_default());
    let transform = live.sa.transform;
    let body = 64 + transform.pad_len(64) + 2;
    let len = transform.header_len() + body + transform.icv_len();
    let Some(esp) = dummy.append(len).filter(|_| copied) else {
        return pool.give(dummy);
    };
    esp.fill(0);
    let (number, granted) = live.shared.counter.take(1, u64::from(u32::MAX));
    let conforming = Behaviour::conforming();
    let mut rng = hallmark_core::Rng::from_u64(number);
    let iv = match transform.is_counter_mode() {
        true => vector(live, ids, number, &conforming, &mut rng).unwrap_or(number).to_be_bytes(),
        false => rng.octets::<8>(),
    };
    let (head, rest) = esp.split_at_mut(transform.header_len());
    head[..4].copy_from_slice(&live.sa.spi.to_be_bytes());
    head[4..8].copy_from_slice(&(number as u32).to_be_bytes());
    for (to, from) in head[8..].iter_mut().zip(iv.iter().cycle()) {
        *to = *from;
    }
    trailer::write(rest.get_mut(64..body).unwrap_or_default(), NEXT_DUMMY);
    let esn = live.sa.extended_sequence.then_some((number >> 32) as u32);
    let sealed = granted == 1 && live.shared.key.seal(esp, esn).is_ok();
    let total = dummy.len();
    outer::set_len(dummy.ip_mut(), total);
    let ident = idents.next(0, 0);
    if dummy.ip().first().is_some_and(|first| first >> 4 == 4) {
        outer::set_v4_word(dummy.ip_mut(), 4, ident.to_be_bytes());
    }
    dummy.fate = if sealed { Fate::Out(Side::Wan) } else { Fate::Dropped(Reason::Dummy) };
    if let Err(dummy) = batch.push(dummy) {
        pool.give(dummy);
    }
}

impl Dress {
    fn new(live: &LiveSa, config: &Config, replay: &Replay, stamp: Option<[u8; STAMP_LEN]>) -> Self {
        let sa = &live.sa;
        Self {
            transform: sa.transform,
            spi: sa.spi,
            mode: sa.mode,
            extended: sa.extended_sequence,
            source_preserved: sa.preservation.source(),
            destination_preserved: sa.preservation.destination(),
            endpoint: sa.endpoint.map(|address| (number(address), address.is_ipv4())),
            own: config.address.map(|address| (number(address), address.is_ipv4())),
            df: config.df,
            dscp: config.dscp,
            ecn: config.ecn,
            stamp,
            stamp_next: if matches!(replay, Replay::D3p { .. }) { config.d3p_proto } else { stamp::TBAR_NEXT_HEADER },
            icv_len: sa.transform.icv_len(),
        }
    }

    /// Puts outer header, ESP header, IV, stamp and trailer around a packet, everything but the cipher.
    #[inline(always)]
    pub(crate) fn put_on(
        &self,
        packet: &mut Packet,
        sequence: u64,
        iv: &[u8; 16],
        idents: &mut Idents,
        spoilt: Option<&Spoilt<'_>>,
    ) -> Result<Dressed, Reason> {
        let mode = spoilt.map_or(self.mode, |spoilt| spoilt.mode);
        if mode == Mode::Transport {
            return self.put_on_transport(packet, sequence, iv);
        }
        let inner = packet.ip();
        let version4 = inner.first().is_some_and(|first| first >> 4 == 4);
        let inner_next = if version4 { NEXT_V4 } else { NEXT_V6 };
        let stamp_len = if self.stamp.is_some() { STAMP_LEN } else { 0 };
        let extra = spoilt.map_or(0, |spoilt| spoilt.tfc);
        let payload_len = inner.len() + stamp_len + extra;
        let pad = match spoilt {
            Some(spoilt) => spoilt.pad,
            None => self.transform.pad_len(payload_len),
        };
        let options_len = spoilt.map_or(0, |spoilt| spoilt.options_len);
        let outer_len = if version4 { outer::V4_LEN + options_len } else { outer::V6_LEN };
        let header_len = self.transform.header_len();
        let esp_len = header_len + payload_len + pad + 2 + self.icv_len;
        let most = if version4 { 65_535 - outer::V4_LEN } else { 65_535 };
        if esp_len > most {
            return Err(Reason::TooBig);
        }
        let mut outer = self.outer_of(inner, version4);
        outer.ident = idents.next(outer.src, outer.dst);
        if let Some(spoilt) = spoilt {
            spoilt.outer(&mut outer, inner);
        }
        let next = match (self.stamp, spoilt.and_then(|spoilt| spoilt.next)) {
            (_, Some(next)) => next,
            (Some(_), None) => self.stamp_next,
            (None, None) => inner_next,
        };
        let tail = packet.append(extra + pad + 2 + self.icv_len).ok_or(Reason::NoBuffer)?;
        if extra > 0 {
            tail[..extra].fill(0);
        }
        // REQ ESP-007 REQ ESP-008
        trailer::write(tail.get_mut(extra..extra + pad + 2).unwrap_or_default(), next);
        if let Some(spoilt) = spoilt {
            spoilt.trailer(tail.get_mut(extra..extra + pad + 2).unwrap_or_default());
        }
        let front = packet.prepend(outer_len + header_len + stamp_len).ok_or(Reason::NoBuffer)?;
        let (ip, esp) = front.split_at_mut(outer_len);
        if version4 {
            if let Some(ip) = ip.first_chunk_mut() {
                outer.write_v4(ip, esp_len);
            }
            if let Some(spoilt) = spoilt.filter(|spoilt| spoilt.options_len > 0) {
                spoilt.put_options(ip);
            }
        } else if let Some(ip) = ip.first_chunk_mut() {
            outer.write_v6(ip, esp_len);
        }
        self.write_header(esp, sequence, iv, inner_next);
        if let Some(spoilt) = spoilt {
            spoilt.header(esp);
        }
        Ok(Dressed { esp_at: outer_len })
    }

    /// Puts ESP between the IP header and what follows it.
    fn put_on_transport(&self, packet: &mut Packet, sequence: u64, iv: &[u8; 16]) -> Result<Dressed, Reason> {
        /// IPv6 extension headers that stay in front of ESP may be so long together with the IP header.
        const HEADER_MAX: usize = 256;
        let header = Header::parse(packet.ip()).ok_or(Reason::Malformed)?;
        if header.is_fragment() {
            // Transport mode protects whole packets only (RFC 4303 §3.1.1).
            return Err(Reason::EspFragment);
        }
        let mut copy = [0; HEADER_MAX];
        let ip_len = header.payload_at;
        let (Some(room), Some(ip)) = (copy.get_mut(..ip_len), packet.ip().get(..ip_len)) else {
            return Err(Reason::Malformed);
        };
        room.copy_from_slice(ip);
        let stamp_len = if self.stamp.is_some() { STAMP_LEN } else { 0 };
        let payload_len = packet.len() - ip_len + stamp_len;
        let pad = self.transform.pad_len(payload_len);
        let header_len = self.transform.header_len();
        let esp_len = header_len + payload_len + pad + 2 + self.icv_len;
        if ip_len + esp_len > 65_535 {
            return Err(Reason::TooBig);
        }
        let next = if self.stamp.is_some() { self.stamp_next } else { header.protocol };
        let tail = packet.append(pad + 2 + self.icv_len).ok_or(Reason::NoBuffer)?;
        trailer::write(tail.get_mut(..pad + 2).unwrap_or_default(), next);
        packet.prepend(header_len + stamp_len).ok_or(Reason::NoBuffer)?;
        let total = packet.len();
        let (ip, esp) = packet.ip_mut().split_at_mut(ip_len);
        ip.copy_from_slice(copy.get(..ip_len).unwrap_or_default());
        self.write_header(esp.get_mut(..header_len + stamp_len).unwrap_or_default(), sequence, iv, header.protocol);
        if header.version4 {
            outer::set_v4_word(ip, 8, [header.hops, protocol::ESP]);
        } else if let Some(named) = ip.get_mut(header.next_header_at) {
            *named = protocol::ESP;
        }
        outer::set_len(ip, total);
        Ok(Dressed { esp_at: ip_len })
    }

    /// Writes SPI, sequence number, IV and stamp.
    #[inline(always)]
    fn write_header(&self, esp: &mut [u8], sequence: u64, iv: &[u8; 16], payload_next: u8) {
        let (head, payload) = esp.split_at_mut(self.transform.header_len());
        if let Some((numbers, vector)) = head.split_first_chunk_mut::<8>() {
            *numbers = (u64::from(self.spi) << 32 | sequence & 0xffff_ffff).to_be_bytes();
            if let Some(iv) = iv.get(..vector.len()) {
                vector.copy_from_slice(iv);
            }
        }
        if let (Some(stamp), Some(room)) = (&self.stamp, payload.first_chunk_mut::<STAMP_LEN>()) {
            *room = *stamp;
            room[0] = payload_next;
        }
    }

    /// Makes the outer header of a tunnel, but for its identification.
    // REQ ESP-038 REQ ESP-039 REQ ESP-045 REQ ESP-046 REQ ESP-047 REQ ESP-049 REQ ESP-053
    #[inline(always)]
    fn outer_of(&self, inner: &[u8], version4: bool) -> Outer {
        let class = traffic_class(inner);
        let (src, dst) = crate::classifier::addresses(inner, version4).unwrap_or_default();
        let of_version = |end: Option<(u128, bool)>| end.filter(|(_, v4)| *v4 == version4).map(|(address, _)| address);
        let (hops, flags) = if version4 {
            let hops = inner.get(8).copied().unwrap_or(1);
            let inner_df = inner.get(6).is_some_and(|flags| flags & 0x40 != 0);
            let df = match self.df {
                Df::Copy => inner_df,
                Df::Set => true,
                Df::Clear => false,
            };
            (hops, if df { outer::DF } else { 0 })
        } else {
            (inner.get(7).copied().unwrap_or(1), 0)
        };
        let dscp = self.dscp.map_or(class & 0xfc, |dscp| dscp << 2);
        let ecn = if self.ecn == Ecn::Normal { class & 3 } else { 0 };
        Outer {
            traffic_class: dscp | ecn,
            hops,
            protocol: protocol::ESP,
            flags,
            ident: 0,
            flow_label: 0,
            src: if self.source_preserved { src } else { of_version(self.own).unwrap_or(src) },
            dst: if self.destination_preserved { dst } else { of_version(self.endpoint).unwrap_or(dst) },
        }
    }
}

/// Reads the TOS octet or traffic class.
#[inline]
pub(crate) fn traffic_class(ip: &[u8]) -> u8 {
    match ip.first_chunk::<2>() {
        Some([first, second]) if first >> 4 == 4 => *second,
        Some([first, second]) => first << 4 | second >> 4,
        None => 0,
    }
}

/// Numbers outer IPv4 headers: a counter for each of 256 groups of address pairs, each from a random start, because
/// the hosts themselves and a second member of the site may send ESP between the same addresses (esp.md §6).
#[derive(Debug)]
pub(crate) struct Idents {
    next: [u16; 256],
    pub(crate) single: bool,
}

impl Idents {
    pub(crate) fn new(rng: &mut hallmark_core::Rng, single: bool) -> Self {
        let mut next = [0; 256];
        for start in &mut next {
            *start = rng.next_u32() as u16;
        }
        Self { next, single }
    }

    #[inline]
    pub(crate) fn next(&mut self, src: u128, dst: u128) -> u16 {
        let mix = (src as u64 ^ (src >> 64) as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15)
            ^ (dst as u64 ^ (dst >> 64) as u64).wrapping_mul(0xc2b2_ae3d_27d4_eb4f);
        let group = if self.single { 0 } else { (mix >> 56) as usize };
        // Eight bits stay below 256.
        let next = &mut self.next[group];
        *next = next.wrapping_add(1);
        *next
    }
}

/// Tells that a packet belongs to no SA any more.
pub(crate) fn release(sa_of: &mut [u16], index: usize) {
    if let Some(of) = sa_of.get_mut(index) {
        *of = NO_SA;
    }
}
