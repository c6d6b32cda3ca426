//! From the WAN to the LAN: which packets are opened, with which SA, and what passes in clear.
//!
//! A burst goes through three stages. First fragments are joined and every packet finds its SA or its answer in the
//! policy. Then, for each SA of the burst, numbers are checked and all packets are opened in one call. Last, what was
//! opened is verified against everything that the SA promises ([`crate::verify`]).

use std::net::IpAddr;
use std::sync::PoisonError;

use arrayvec::ArrayVec;
use hallmark_core::Now;
use hallmark_crypto::esp::{EspError, Job};
use hallmark_wire::ip::protocol;

use crate::behaviour::{Defect, Variant};
use crate::classifier::{FlowKey, addr, addresses};
use crate::datapath::Datapath;
use crate::event::EventKind;
use crate::flow::{Decision, Question};
use crate::fragment::{Taken, is_tiny};
use crate::header::Header;
use crate::outer;
use crate::packet::{BATCH, Batch, EXTRA, Fate, Packet, Pool, Side};
use crate::policy::{Replay, SaDirection};
use crate::quick::receive;
use crate::reason::Reason;
use crate::replay::{WINDOW_MAX, WINDOW_MIN};
use crate::spoil;

/// Width that is tracked for extended sequence numbers when nothing is to be refused.
const TRACKING_WIDTH: u16 = 64;

/// What an ESP packet shows outside, for events.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Outside {
    pub(crate) spi: u32,
    pub(crate) sequence: u32,
    pub(crate) src: IpAddr,
    pub(crate) dst: IpAddr,
}

impl Outside {
    /// Reads it from a packet whose ESP begins at `esp_at`.
    pub(crate) fn of(ip: &[u8], esp_at: usize) -> Self {
        let version4 = ip.first().is_some_and(|first| first >> 4 == 4);
        let (src, dst) = addresses(ip, version4).unwrap_or_default();
        let numbers = ip.get(esp_at..).and_then(|esp| esp.first_chunk::<8>()).map_or(0, |n| u64::from_be_bytes(*n));
        Self {
            spi: (numbers >> 32) as u32,
            sequence: numbers as u32,
            src: addr(src, version4),
            dst: addr(dst, version4),
        }
    }
}

impl Datapath {
    /// Opens a burst.
    pub(crate) fn open(&mut self, now: Now, batch: &mut Batch, pool: &mut Pool) {
        let arrived = batch.packets.len();
        self.work.begin(arrived);
        if self.config.behaviour.is_any() || self.tracer.is_on() || self.sas.is_scoped() {
            for index in 0..arrived {
                self.look_at(now, index, batch, pool);
            }
        } else {
            self.find_sas_quickly(now, batch);
            for at in 0..self.work.rest.len() {
                let Some(&index) = self.work.rest.get(at) else { break };
                self.look_at(now, usize::from(index), batch, pool);
            }
        }
        self.work.rest.clear();
        for at in 0..self.work.used.len() {
            let Some(&(sa, count)) = self.work.used.get(at) else { break };
            self.open_for(now, sa, count, batch);
        }
        for at in 0..self.work.rest.len() {
            let Some(index) = self.work.rest.get(at).copied().map(usize::from) else { break };
            let Some(&sa) = self.work.sa_of.get(index) else { continue };
            self.verify(now, index, sa, batch, pool);
        }
        if !self.work.used.is_empty() {
            self.protect_answers(now, batch, pool);
        }
    }

    /// Reads one packet and joins it with the other fragments of its packet.
    fn look_at(&mut self, now: Now, index: usize, batch: &mut Batch, pool: &mut Pool) {
        let Some(packet) = batch.packets.get_mut(index) else { return };
        packet.received_on = Side::Wan;
        let Some(header) = Header::parse(packet.ip()) else { return packet.drop_for(Reason::Malformed) };
        packet.truncate(header.len);
        if header.piece.is_some() && self.reassembler.wants(packet.ip(), &header) {
            return self.join(now, index, batch, pool);
        }
        self.find_sa(now, index, &header, batch);
    }

    // REQ ESP-070 REQ ESP-080
    fn join(&mut self, now: Now, index: usize, batch: &mut Batch, pool: &mut Pool) {
        let Some(place) = batch.packets.get_mut(index) else { return };
        let behaviour = &self.config.behaviour;
        if behaviour.has(Defect::ReassemblyMissing) {
            return place.drop_for(Reason::EspFragment);
        }
        let outside = Outside::of(place.ip(), 0);
        let big = place.len();
        let whole = std::mem::take(place);
        let sas = &self.sas;
        let mut why = Reason::FragmentTimeout;
        match self.reassembler.take(now.mono, whole, behaviour, |spi| sas.has_spi(spi), pool, batch) {
            Taken::Held => {}
            Taken::Complete(packet) => {
                if behaviour.has(Defect::BigMtuDecrypt) && packet.len() > 1_800 && big < packet.len() {
                    self.leaked += 1;
                    self.deaf = self.leaked >= 64;
                }
                let Some(place) = batch.packets.get_mut(index) else { return };
                *place = packet;
                place.fate = Fate::Pending;
                place.received_on = Side::Wan;
                let Some(header) = Header::parse(place.ip()) else { return place.drop_for(Reason::Malformed) };
                if header.is_fragment() {
                    return place.drop_for(Reason::EspFragment);
                }
                self.find_sa(now, index, &header, batch);
            }
            Taken::Released(count) => {
                let from = batch.packets.len().saturating_sub(count);
                for at in from..batch.packets.len() {
                    let Some(packet) = batch.packets.get_mut(at) else { break };
                    packet.received_on = Side::Wan;
                    if self.config.behaviour.has(Defect::ForeignFragmentsSwallowed) {
                        packet.drop_for(Reason::Discarded);
                        continue;
                    }
                    match Header::parse(packet.ip()) {
                        Some(header) => self.pass_clear(now, at, &header, batch),
                        None => packet.drop_for(Reason::Malformed),
                    }
                }
            }
            Taken::Dropped(reason) => {
                if let Some(place) = batch.packets.get_mut(index) {
                    place.drop_for(reason);
                }
                if reason == Reason::FragmentTooLong && self.config.behaviour.has(Defect::ReassemblyTooLongStops) {
                    self.deaf = true;
                }
                why = reason;
            }
        }
        if self.count_lost(why) || why == Reason::FragmentLimit {
            let (src, dst) = (outside.src, outside.dst);
            self.events.push(now.mono, EventKind::FragmentFlood { src, dst });
        }
    }

    /// Finds the SA of a packet that is whole; packets of no SA pass or not as the policy says.
    // REQ ESP-035 REQ ESP-036 REQ ESP-037
    fn find_sa(&mut self, now: Now, index: usize, header: &Header, batch: &mut Batch) {
        let Some(packet) = batch.packets.get_mut(index) else { return };
        if header.protocol != protocol::ESP || header.is_fragment() {
            return self.pass_clear(now, index, header, batch);
        }
        let esp = packet.ip().get(header.payload_at..).unwrap_or_default();
        // REQ ESP-032
        let Some(numbers) = esp.first_chunk::<8>() else {
            if self.config.behaviour.has(Defect::ShortPacketStops) {
                self.deaf = true;
            }
            return packet.drop_for(Reason::TooShort);
        };
        let spi = (u64::from_be_bytes(*numbers) >> 32) as u32;
        let Some((src, dst)) = addresses(packet.ip(), header.version4) else {
            return packet.drop_for(Reason::Malformed);
        };
        let found = self.sas.find(spi, src, dst, header.version4);
        let found = if self.config.behaviour.is_any() { self.find_oddly(now, spi, dst, found) } else { found };
        let Some((sa, live)) = found.and_then(|sa| Some((sa, self.sas.get(sa)?))) else {
            return self.pass_clear(now, index, header, batch);
        };
        let length = live.sa.transform.check_len(esp.len());
        let refused = match length {
            Err(EspError::BadAlignment { .. }) if self.config.behaviour.has(Defect::BadAlignmentAccepted) => None,
            Err(EspError::BadAlignment { .. }) => Some(Reason::BadAlignment),
            Err(_) => Some(Reason::TooShort),
            // REQ ESP-090
            Ok(()) if !live.is_alive(now.mono) && !self.config.behaviour.has(Defect::OldSaPastEnd) => {
                Some(Reason::Expired)
            }
            Ok(())
                if live.sa.direction == SaDirection::SendOnly
                    && !self.config.behaviour.has(Defect::SaDirectionIgnored) =>
            {
                Some(Reason::WrongDirection)
            }
            Ok(()) => None,
        };
        if let Some(reason) = refused {
            if reason == Reason::TooShort && self.config.behaviour.has(Defect::ShortPacketStops) {
                self.deaf = true;
            }
            return self.refuse(now, index, sa, header.payload_at, reason, batch);
        }
        if self.tracer.is_on() {
            self.tracer.step(index, || format!("SPI {spi:#010x} is an SA of ours"));
        }
        if let Some(esp_at) = self.work.esp_at.get_mut(index) {
            *esp_at = header.payload_at as u16;
        }
        if !self.work.assign(index, sa)
            && let Some(packet) = batch.packets.get_mut(index)
        {
            packet.drop_for(Reason::NoBuffer);
        }
    }

    /// Finds another SA, or none, as a member with a defect does.
    fn find_oddly(&self, now: Now, spi: u32, dst: u128, found: Option<u16>) -> Option<u16> {
        let behaviour = &self.config.behaviour;
        let newest = || self.active.iter().copied().flatten().last();
        if behaviour.has(Defect::OnlyOwnAddress) {
            let own = self.config.address.map(crate::classifier::number);
            return found.filter(|_| own == Some(dst));
        }
        if behaviour.has(Defect::SpiLowHalfOnly) {
            return self.sas.list.iter().position(|live| live.sa.spi as u16 == spi as u16).map(|at| at as u16);
        }
        if spi == 0 && behaviour.has(Defect::SpiZeroAccepted) {
            return newest();
        }
        let Some(live) = found.and_then(|sa| self.sas.get(sa)) else {
            return if behaviour.has(Defect::UnknownSpiTriesAll) { newest() } else { None };
        };
        let newer = |limit: usize| {
            let of_slot = self.sas.list.iter().filter(|other| other.slot == live.slot);
            of_slot.filter(|other| other.sa.serial > live.sa.serial && other.is_alive(now.mono)).count() >= limit
        };
        let lost = behaviour.has(Defect::OldSaDroppedOnRekey) && newer(1)
            || behaviour.has(Defect::ThreeSasBreak) && newer(2)
            || behaviour.has(Defect::NewSaNotReceivedAtOnce) && now.mono < live.sa.activates;
        found.filter(|_| !lost)
    }

    /// Opens the packets that one burst has for one SA.
    fn open_for(&mut self, now: Now, sa: u16, count: u16, batch: &mut Batch) {
        let odd = self.config.behaviour.is_any();
        let width = self.window_width();
        let Some(live) = self.sas.get_mut(sa) else { return };
        let shared = std::sync::Arc::clone(&live.shared);
        let extended = live.sa.extended_sequence;
        let behaviour = &self.config.behaviour;
        // REQ ESP-060: a window without integrity would be moved by anybody. REQ ESP-061: several senders share the
        // SA, so that without the counter method nothing is refused for its number.
        let checks = width.filter(|_| live.sa.transform.icv_len() > 0);
        if checks.is_some() || extended {
            let mut window = shared.window.lock().unwrap_or_else(PoisonError::into_inner);
            for (index, packet) in batch.packets.iter_mut().enumerate() {
                if self.work.sa_of.get(index) != Some(&sa) {
                    continue;
                }
                let low = sequence_of(packet, self.work.esp_at.get(index));
                let number = match extended {
                    true if behaviour.has(Defect::EsnHighIgnored) => Some(u64::from(low)),
                    true => window.extend(low, checks.unwrap_or(TRACKING_WIDTH)),
                    false => Some(u64::from(low)),
                };
                let number = match number {
                    None if behaviour.has(Defect::EsnUnderflowAccepted) => {
                        Some(u64::from(u32::MAX) << 32 | u64::from(low))
                    }
                    number => number,
                };
                let fine = number.is_some_and(|number| match checks {
                    Some(width) if odd => spoil::may_accept(&mut window, number, width, behaviour),
                    Some(width) => window.may_accept(number, width),
                    None => true,
                });
                if fine {
                    if let (Some(number), Some(room)) = (number, self.work.number.get_mut(index)) {
                        *room = number;
                    }
                } else {
                    packet.drop_for(Reason::Replay);
                }
            }
        }
        let lot = self.lot(now, sa);
        let numbered = checks.is_some() || extended;
        // Between opening and verifying nothing has to happen, and a packet is at hand for both.
        if let Some(lot) = lot.as_ref().filter(|_| !numbered && !shared.key.prefers_bursts()) {
            self.verify_quickly(now, sa, lot, Some(&shared.key), batch);
            return self.report_opened(now, sa, count, batch);
        }
        let kept = if extended { self.keep_suspect(now, sa, batch) } else { None };
        let failed = if odd || extended {
            self.open_jobs(sa, extended, &shared, batch)
        } else {
            receive::open(&shared.key, batch, &self.work.sa_of, &self.work.esp_at, sa);
            0
        };
        if numbered {
            self.commit(sa, checks, &shared, batch);
        }
        if extended && failed > 0 {
            self.note_failures(now, sa, failed, kept, batch);
        }
        self.report_opened(now, sa, count, batch);
        match lot {
            Some(lot) => self.verify_quickly(now, sa, &lot, None, batch),
            None => self.leave_all(sa, batch),
        }
    }

    /// Verifies and decrypts; what is not genuine is dropped. Gives how many that are.
    // REQ ESP-030 REQ ESP-031
    fn open_jobs(&self, sa: u16, extended: bool, shared: &crate::sa::SharedSa, batch: &mut Batch) -> usize {
        let behaviour = &self.config.behaviour;
        let forces = behaviour.has(Defect::MacNotChecked) || behaviour.has(Defect::BadAlignmentAccepted);
        let mut jobs: ArrayVec<Job<'_>, BATCH> = ArrayVec::new();
        let mut at: ArrayVec<u16, BATCH> = ArrayVec::new();
        // As many as a batch can have.
        let mut forged: ArrayVec<u16, { BATCH + EXTRA }> = ArrayVec::new();
        let mut flush = |jobs: &mut ArrayVec<Job<'_>, BATCH>, at: &mut ArrayVec<u16, BATCH>| {
            shared.key.open_batch(jobs);
            for (job, index) in jobs.iter().zip(at.iter()) {
                if !job.ok {
                    let _ = forged.try_push(*index);
                }
            }
            jobs.clear();
            at.clear();
        };
        for (index, packet) in batch.packets.iter_mut().enumerate() {
            if self.work.sa_of.get(index) != Some(&sa) || packet.fate != Fate::Pending {
                continue;
            }
            let esp_at = self.work.esp_at.get(index).copied().unwrap_or_default();
            let number = self.work.number.get(index).copied().unwrap_or_default();
            let esn_high = extended.then_some((number >> 32) as u32);
            if forces {
                spoil::force_open(packet, usize::from(esp_at), esn_high, shared, behaviour);
                continue;
            }
            // What is not opened must not be verified.
            let (ip, fate) = packet.parts();
            let Some(esp) = ip.get_mut(usize::from(esp_at)..) else {
                *fate = Fate::Dropped(Reason::TooShort);
                continue;
            };
            jobs.push(Job { esp, esn_high, ok: false });
            at.push(index as u16);
            if jobs.is_full() {
                flush(&mut jobs, &mut at);
            }
        }
        flush(&mut jobs, &mut at);
        drop(jobs);
        for &index in &forged {
            if let Some(packet) = batch.packets.get_mut(usize::from(index)) {
                packet.drop_for(Reason::BadIcv);
            }
        }
        forged.len()
    }

    /// Moves the window over what was genuine: a copy in the same burst, or one that another worker took, is refused.
    // REQ ESP-059
    fn commit(&self, sa: u16, checks: Option<u16>, shared: &crate::sa::SharedSa, batch: &mut Batch) {
        let behaviour = &self.config.behaviour;
        let mut window = shared.window.lock().unwrap_or_else(PoisonError::into_inner);
        for (index, packet) in batch.packets.iter_mut().enumerate() {
            if self.work.sa_of.get(index) != Some(&sa) || packet.fate != Fate::Pending {
                continue;
            }
            let number = self.work.number.get(index).copied().unwrap_or_default();
            let fine = match checks {
                Some(width) if behaviour.is_any() => spoil::commit(&mut window, number, width, behaviour),
                Some(width) => window.commit(number, width),
                None => {
                    window.mark(number);
                    true
                }
            };
            if !fine {
                packet.drop_for(Reason::Replay);
            }
        }
    }

    /// Counts and reports what was refused so far.
    fn report_opened(&mut self, now: Now, sa: u16, count: u16, batch: &mut Batch) {
        // Most bursts have nothing to report.
        if !batch.packets.iter().any(|packet| matches!(packet.fate, Fate::Dropped(_))) {
            return;
        }
        let mut opened = 0;
        for index in 0..self.work.sa_of.len() {
            if self.work.sa_of.get(index) != Some(&sa) {
                continue;
            }
            let Some(packet) = batch.packets.get(index) else { break };
            match packet.fate {
                Fate::Dropped(reason) => {
                    let esp_at = self.work.esp_at.get(index).copied().unwrap_or_default();
                    crate::encrypt::release(&mut self.work.sa_of, index);
                    self.refuse(now, index, sa, usize::from(esp_at), reason, batch);
                }
                _ => opened += 1,
            }
        }
        debug_assert!(opened <= count);
    }

    /// Drops a packet of an SA, counts it and reports it.
    // REQ ESP-098: nothing is sent back.
    pub(crate) fn refuse(&mut self, now: Now, index: usize, sa: u16, esp_at: usize, reason: Reason, batch: &mut Batch) {
        let Some(packet) = batch.packets.get_mut(index) else { return };
        packet.drop_for(reason);
        let outside = Outside::of(packet.ip(), esp_at);
        self.report(now, sa, reason, &outside);
    }

    /// Counts and reports a refusal.
    pub(crate) fn report(&mut self, now: Now, sa: u16, reason: Reason, outside: &Outside) {
        let &Outside { spi, sequence, src, dst } = outside;
        let behaviour = &self.config.behaviour;
        // REQ ESP-012: a dummy is no error.
        let silent = behaviour.has(Defect::MacErrorUncounted) && reason == Reason::BadIcv
            || reason == Reason::Dummy && !behaviour.has(Defect::DummyIsAnError);
        if let Some(live) = self.sas.get_mut(sa).filter(|_| !silent) {
            live.counts.receive_errors += 1;
            match reason {
                Reason::BadIcv if behaviour.has(Defect::TbarCheckedBeforeIcv) => {
                    live.counts.replay_errors += 1;
                    self.times.input_errors += 1;
                }
                Reason::BadIcv => live.counts.mac_errors += 1,
                Reason::Replay => live.counts.replay_errors += 1,
                _ => {}
            }
        }
        if silent {
            return;
        }
        if reason == Reason::Replay {
            self.times.input_errors += 1;
        }
        let event = match reason {
            Reason::BadIcv if behaviour.has(Defect::TbarCheckedBeforeIcv) => EventKind::TimeReplay {
                src: Some(src),
                dst: Some(dst),
                my_pseudotime: 0.0,
                peer_pseudotime: 0.0,
                window: 0.0,
            },
            Reason::BadIcv => EventKind::MacError { spi, src, dst, sequence },
            Reason::Replay => EventKind::ReplayError { spi, src, dst, sequence },
            Reason::AddressMismatch => EventKind::AddressMismatch { spi, src, dst, sequence },
            Reason::SelectorMismatch => EventKind::SelectorMismatch { spi, src, dst, sequence },
            Reason::Expired => EventKind::InvalidSpi { spi, src, dst },
            // Times have an event of their own.
            Reason::TbarTooOld | Reason::TbarTooNew | Reason::D3pTooOld | Reason::D3pTooNew => {
                EventKind::ReplayError { spi, src, dst, sequence }
            }
            _ => EventKind::Refused { reason, spi, src, dst, sequence },
        };
        self.events.push(now.mono, event);
    }

    /// Decides about a packet that is not for one of the SAs.
    pub(crate) fn pass_clear(&mut self, now: Now, index: usize, header: &Header, batch: &mut Batch) {
        let Some(packet) = batch.packets.get_mut(index) else { return };
        if header.piece.is_some() && is_tiny(header) {
            return packet.drop_for(Reason::FragmentTiny);
        }
        let key = match FlowKey::of(packet.ip(), header) {
            Ok(key) => key,
            Err(reason) => return packet.drop_for(reason),
        };
        if matches!(key.protocol, protocol::ICMP | protocol::ICMPV6) && self.learn_mtu(now, index, &key, batch) {
            return;
        }
        let Some(packet) = batch.packets.get_mut(index) else { return };
        let (tables, stance, behaviour) = (&self.tables, self.stance, &self.config.behaviour);
        let decide = |key: &FlowKey| tables.decide_clear_in(key, stance, behaviour);
        let (flow, _) = self.flows.find(now.mono, Question::ClearIn, &key, decide);
        flow.count.add(header.len);
        let (decision, rule) = (flow.decision, flow.rule);
        if let Some(live) = self.tables.rules.get_mut(rule as usize) {
            live.clear_in.add(header.len);
        }
        if self.tracer.is_on() {
            self.tracer.step(index, || format!("in clear from the WAN: {decision:?}"));
        }
        let transit_esp = key.protocol == protocol::ESP;
        match decision {
            Decision::Clear if transit_esp && self.config.behaviour.has(Defect::TransitEspDropped) => {
                packet.drop_for(Reason::NoSa);
            }
            Decision::Clear => {
                if transit_esp && self.config.behaviour.has(Defect::TransitEspTouched) {
                    outer::set_hops(packet.ip_mut(), 1);
                }
                packet.fate = Fate::Out(Side::Lan);
                self.totals.clear_in.add(header.len);
            }
            Decision::Drop(reason) => packet.drop_for(reason),
            Decision::Protect(_) if transit_esp && !key.fragment => {
                packet.drop_for(Reason::NoSa);
                let outside = Outside::of(packet.ip(), header.payload_at);
                self.unknown_spi(now, &outside);
            }
            Decision::Protect(_) => {
                packet.drop_for(Reason::ClearRefused);
                if !self.config.behaviour.has(Defect::ClearInboundUnreported) {
                    let (src, dst) = (key.src_addr(), key.dst_addr());
                    self.events.push(now.mono, EventKind::NotIpsec { src, dst, protocol: key.protocol });
                }
            }
        }
    }

    /// Reports an SPI that no SA has, and asks for a recovery registration when the group may have it.
    fn unknown_spi(&mut self, now: Now, outside: &Outside) {
        let &Outside { spi, src, dst, .. } = outside;
        let behaviour = &self.config.behaviour;
        if behaviour.has(Defect::WrongSyslogNotIpsec) {
            self.events.push(now.mono, EventKind::NotIpsec { src, dst, protocol: protocol::ESP });
        } else if !behaviour.varies(Variant::QuietSelectors) {
            self.events.push(now.mono, EventKind::InvalidSpi { spi, src, dst });
        }
        let ours = self.config.recovery_spis.is_none_or(|(mask, value)| spi & mask == value & mask);
        let Some(interval) = self.config.recovery_interval else { return };
        if behaviour.has(Defect::RecoveryStorm) {
            self.events.push_always(now.mono, EventKind::Recovery { spi });
        } else if ours && now.mono >= self.next_recovery && !behaviour.varies(Variant::RecoveryNever) {
            self.next_recovery = now.mono + interval;
            self.events.push_always(now.mono, EventKind::Recovery { spi });
        }
    }

    /// Gives the width of the window that sequence numbers are checked with; nothing when they are not.
    fn window_width(&self) -> Option<u16> {
        let behaviour = &self.config.behaviour;
        let width = match self.replay {
            Replay::Counter { window } => window.clamp(WINDOW_MIN, WINDOW_MAX),
            Replay::Time { .. } if behaviour.has(Defect::CounterCheckedInTbar) => 64,
            Replay::None if behaviour.has(Defect::CounterCheckedUnasked) => 64,
            _ => return None,
        };
        if !behaviour.is_any() {
            return Some(width);
        }
        match () {
            () if behaviour.has(Defect::ReplayNotChecked) => None,
            () if behaviour.has(Defect::WindowFixed32) => Some(WINDOW_MIN),
            () if behaviour.has(Defect::WindowOneLarger) => Some(width + 1),
            () if behaviour.has(Defect::WindowOneSmaller) => Some(width - 1),
            () if behaviour.varies(Variant::LargerWindow) => Some(WINDOW_MAX),
            () => Some(width),
        }
    }
}

#[inline]
fn sequence_of(packet: &Packet, esp_at: Option<&u16>) -> u32 {
    let esp = packet.ip().get(usize::from(esp_at.copied().unwrap_or_default())..);
    esp.and_then(|esp| esp.first_chunk::<8>()).map_or(0, |numbers| u64::from_be_bytes(*numbers) as u32)
}
