//! What a genuine packet still has to prove: trailer, time, inner packet, addresses, selectors, congestion marks.

use hallmark_core::Now;
use hallmark_crypto::esp::{TrailerError, trailer};

use crate::behaviour::{Defect, Variant};
use crate::classifier::{FlowKey, addresses};
use crate::config::Ttl;
use crate::datapath::Datapath;
use crate::decrypt::Outside;
use crate::dress::{NEXT_DUMMY, NEXT_V4, NEXT_V6, traffic_class};
use crate::event::EventKind;
use crate::flow::{Decision, Question};
use crate::header::Header;
use crate::outer;
use crate::packet::{Batch, Fate, Packet, Pool, Side};
use crate::policy::{Mode, Preservation, Pseudotime, Replay};
use crate::reason::Reason;
use crate::stamp::{self, STAMP_LEN, TBAR_NEXT_HEADER, Verdict};
use crate::status::ReplayError;
use crate::trace::Checkpoint;

/// Where the inner packet lies in an opened packet.
struct Inner {
    from: usize,
    to: usize,
    next: u8,
    stamped: bool,
}

impl Datapath {
    /// Verifies one opened packet and turns it into its inner packet, or drops it.
    pub(crate) fn verify(&mut self, now: Now, index: usize, sa: u16, batch: &mut Batch, pool: &mut Pool) {
        let esp_at = usize::from(self.work.esp_at.get(index).copied().unwrap_or_default());
        let Some(packet) = batch.packets.get_mut(index) else { return };
        if packet.fate != Fate::Pending {
            return;
        }
        if self.config.behaviour.is_any() && self.lost_oddly(packet) {
            return packet.drop_for(Reason::Discarded);
        }
        let outside_len = packet.len();
        let verdict = self.verify_packet(now, index, sa, esp_at, packet);
        if let Err(reason) = verdict {
            let Some(packet) = batch.packets.get_mut(index) else { return };
            let outside = Outside::of(packet.ip(), esp_at);
            packet.drop_for(reason);
            self.report(now, sa, reason, &outside);
            return;
        }
        let Some(packet) = batch.packets.get_mut(index) else { return };
        packet.fate = Fate::Out(Side::Lan);
        let (misses, len) = (self.config.behaviour.has(Defect::CountersMissDecrypt), packet.len());
        if !misses {
            self.totals.opened.add(len);
            if let Some(live) = self.sas.get_mut(sa) {
                live.counts.opened.add(len);
            }
        }
        if self.captures.is_on(Checkpoint::AfterOpen) {
            self.captures.add(now.mono, Checkpoint::AfterOpen, packet.ip(), None);
        }
        if self.tracer.is_on() {
            self.tracer.step(index, || format!("opened, {outside_len} octets became {len}"));
        }
        self.deliver(now, index, sa, batch, pool);
    }

    /// Does every check; on success the packet is the inner one.
    fn verify_packet(
        &mut self,
        now: Now,
        index: usize,
        sa: u16,
        esp_at: usize,
        packet: &mut Packet,
    ) -> Result<(), Reason> {
        let Some(live) = self.sas.get(sa) else { return Err(Reason::NoSa) };
        let (transform, mode) = (live.sa.transform, live.sa.mode);
        let preservation = live.sa.preservation;
        let behaviour = &self.config.behaviour;
        let ip = packet.ip();
        let from = esp_at + transform.header_len();
        let to = ip.len().saturating_sub(transform.icv_len());
        let plain = ip.get(from..to).ok_or(Reason::TooShort)?;
        let checks = self.config.check_padding && !behaviour.has(Defect::PadOctetsAccepted);
        let (payload_len, next) = match trailer::parse(plain, checks) {
            Ok(parsed) => parsed,
            Err(TrailerError::PadLength) => {
                if behaviour.has(Defect::PadOverrunStops) {
                    self.deaf = true;
                }
                match (self.config.behaviour.has(Defect::PadLengthOverrunAccepted), plain.last()) {
                    (true, Some(next)) => (plain.len().saturating_sub(2), *next),
                    _ => return Err(Reason::BadPadLength),
                }
            }
            Err(TrailerError::PadOctets) => return Err(Reason::BadPadOctets),
        };
        let behaviour = &self.config.behaviour;
        if behaviour.has(Defect::PadLengthIgnored) && plain.len().saturating_sub(payload_len + 2) >= transform.align() {
            return Err(Reason::BadPadLength);
        }
        // REQ ESP-012
        if next == NEXT_DUMMY && !behaviour.has(Defect::DummyForwarded) {
            return Err(Reason::Dummy);
        }
        let payload = plain.get(..payload_len).ok_or(Reason::BadPadLength)?;
        let inner = self.check_stamp(now, sa, esp_at, packet.ip(), from, payload, next)?;
        match mode {
            Mode::Tunnel => self.unwrap_tunnel(now, index, sa, preservation, esp_at, packet, &inner),
            Mode::Transport => self.unwrap_transport(now, sa, esp_at, packet, &inner),
        }
    }

    /// Looks at the time stamp and finds the inner packet behind it.
    // REQ ESP-092 REQ ESP-093 REQ ESP-094 REQ ESP-095
    #[expect(clippy::too_many_arguments, reason = "they are the parts of one packet")]
    fn check_stamp(
        &mut self,
        now: Now,
        sa: u16,
        esp_at: usize,
        ip: &[u8],
        from: usize,
        payload: &[u8],
        next: u8,
    ) -> Result<Inner, Reason> {
        let has = |defect| self.config.behaviour.has(defect);
        let to = from + payload.len();
        let plain = Inner { from, to, next, stamped: false };
        let d3p = self.config.d3p_proto;
        let behind = |next: u8| Inner { from: from + STAMP_LEN, to, next, stamped: true };
        match self.replay {
            Replay::None | Replay::Counter { .. } => match next {
                TBAR_NEXT_HEADER if has(Defect::TbarUnexpectedAccepted) => {
                    let (next, _) = stamp::read_tbar(payload).ok_or(Reason::TbarMalformed)?;
                    Ok(behind(next))
                }
                TBAR_NEXT_HEADER => Err(Reason::TbarUnexpected),
                next if next == d3p && has(Defect::D3pUnexpectedAccepted) => {
                    let (next, ..) = stamp::read_d3p(payload).ok_or(Reason::D3pType)?;
                    Ok(behind(next))
                }
                next if next == d3p => Err(Reason::D3pUnexpected),
                _ => Ok(plain),
            },
            Replay::Time { window, .. } => {
                if next == d3p {
                    return Err(Reason::D3pUnexpected);
                }
                if next != TBAR_NEXT_HEADER {
                    return if has(Defect::TbarMissingAccepted) { Ok(plain) } else { Err(Reason::TbarMissing) };
                }
                let (next, ticks) = stamp::read_tbar(payload).ok_or(Reason::TbarMalformed)?;
                self.judge_time(now, sa, esp_at, ip, ticks, Pseudotime::ticks_in(window))?;
                Ok(behind(next))
            }
            Replay::D3p { window } => {
                if next == TBAR_NEXT_HEADER {
                    return Err(Reason::TbarUnexpected);
                }
                if next != d3p {
                    return if has(Defect::D3pMissingAccepted) { Ok(plain) } else { Err(Reason::D3pMissing) };
                }
                let (next, seconds, micros) = stamp::read_d3p(payload).ok_or(Reason::D3pType)?;
                self.times.input_packets += 1;
                let full = self.config.behaviour.varies(Variant::D3pFullWidth);
                let window = if full { window * 2 } else { window };
                let mut verdict = stamp::judge_d3p(now.wall, seconds, micros, window);
                if has(Defect::D3pNoWrap) {
                    let own = now.wall.0.div_euclid(1_000_000_000) as u32;
                    let far = u64::from(own.abs_diff(seconds)) > window.as_secs() / 2 + 1;
                    verdict = if far { Verdict::TooOld } else { verdict };
                }
                if has(Defect::D3pNotChecked) {
                    verdict = Verdict::Accept;
                }
                let reason = match verdict {
                    Verdict::Accept => return Ok(behind(next)),
                    Verdict::TooOld => Reason::D3pTooOld,
                    Verdict::TooNew => Reason::D3pTooNew,
                };
                self.times.input_errors += 1;
                if let Some(live) = self.sas.get_mut(sa) {
                    live.counts.replay_errors += 1;
                }
                Err(reason)
            }
        }
    }

    /// Compares a stamp with the own pseudotime (getvpn.md §4.2).
    fn judge_time(
        &mut self,
        now: Now,
        sa: u16,
        esp_at: usize,
        ip: &[u8],
        peer: u64,
        window: u64,
    ) -> Result<(), Reason> {
        self.times.input_packets += 1;
        let mine = self.pseudotime(now);
        let behaviour = &self.config.behaviour;
        let verdict = match behaviour.is_any() {
            false => stamp::judge_ticks(mine, peer, window),
            true => crate::spoil::judge_ticks(mine, peer, window, ip, behaviour),
        };
        let reason = match verdict {
            Verdict::Accept if behaviour.has(Defect::DupInWindowDropped) && self.is_copy(now, ip) => {
                Reason::TbarDuplicate
            }
            Verdict::Accept => return Ok(()),
            Verdict::TooOld => Reason::TbarTooOld,
            Verdict::TooNew => Reason::TbarTooNew,
        };
        let behaviour = &self.config.behaviour;
        if !behaviour.has(Defect::TbarNotCounted) {
            self.times.input_errors += 1;
            if let Some(live) = self.sas.get_mut(sa) {
                live.counts.replay_errors += 1;
            }
        }
        let Outside { src, dst, .. } = Outside::of(ip, esp_at);
        let (my_pseudotime, peer_pseudotime) = (Pseudotime::secs(mine), Pseudotime::secs(peer));
        let window = Pseudotime::secs(window);
        let anonymous = behaviour.has(Defect::TbarLogNoSrc);
        let event = EventKind::TimeReplay {
            src: (!anonymous).then_some(src),
            dst: (!anonymous).then_some(dst),
            my_pseudotime,
            peer_pseudotime,
            window,
        };
        self.events.push(now.mono, event);
        let sampled = !behaviour.has(Defect::TbarHistoryUnsampled);
        let src = (!anonymous).then_some(src);
        let error = ReplayError { at: now.mono, src, dst, my_pseudotime, peer_pseudotime, window };
        self.times.remember(error, sampled);
        Err(reason)
    }

    /// Turns an opened packet into the packet that the tunnel carried.
    #[expect(clippy::too_many_arguments, reason = "they are the parts of one packet")]
    fn unwrap_tunnel(
        &mut self,
        now: Now,
        index: usize,
        sa: u16,
        preservation: Preservation,
        esp_at: usize,
        packet: &mut Packet,
        inner: &Inner,
    ) -> Result<(), Reason> {
        let has = |defect| self.config.behaviour.has(defect);
        let ip = packet.ip();
        let outer4 = ip.first().is_some_and(|first| first >> 4 == 4);
        let outer_class = traffic_class(ip);
        let outer_hops = ip.get(if outer4 { 8 } else { 7 }).copied().unwrap_or_default();
        let payload = ip.get(inner.from..inner.to).unwrap_or_default();
        // REQ ESP-055
        let version = payload.first().map(|first| first >> 4);
        let announced = match inner.next {
            NEXT_V4 => Some(4),
            NEXT_V6 => Some(6),
            _ => None,
        };
        let forgiving = has(Defect::NextHeaderMismatchAccepted) && matches!(version, Some(4 | 6))
            || has(Defect::DummyForwarded) && inner.next == NEXT_DUMMY;
        if (announced.is_none() || version.is_some() && version != announced) && !forgiving {
            if has(Defect::InnerGarbageStops) {
                self.deaf = true;
            }
            return Err(Reason::InnerVersion);
        }
        let header = match Header::parse(payload) {
            Some(header) => header,
            None if has(Defect::InnerLengthAccepted) && payload.len() >= 20 => {
                crate::spoil::lenient_header(payload).ok_or(Reason::InnerLength)?
            }
            None => {
                if has(Defect::InnerGarbageStops) {
                    self.deaf = true;
                }
                return Err(Reason::InnerLength);
            }
        };
        // REQ ESP-040 REQ ESP-042
        let (src, dst) = addresses(ip, outer4).ok_or(Reason::Malformed)?;
        let (inner_src, inner_dst) = addresses(payload, header.version4).ok_or(Reason::InnerLength)?;
        let same_version = outer4 == header.version4;
        let source_fine = !preservation.source() || same_version && src == inner_src;
        let destination_fine = !preservation.destination() || same_version && dst == inner_dst;
        let accepts = has(Defect::AddressMismatchAccepted) || has(Defect::AddressPreservationOff);
        if !accepts && !(source_fine && (destination_fine || has(Defect::AddressSourceOnlyChecked))) {
            return Err(Reason::AddressMismatch);
        }
        let inner_len = if has(Defect::TfcForwarded) { payload.len() } else { header.len };
        self.check_selectors(now, sa, payload, &header)?;
        let class = self.inner_class(now, traffic_class(payload), outer_class, Outside::of(ip, esp_at))?;
        // REQ ESP-052
        let hops = self.inner_hops(header.hops, outer_hops)?;
        // The outer header goes, ESP and the stamp with it. REQ ESP-014: what follows the inner packet too.
        let (from, old_class, old_hops) = (inner.from, traffic_class(payload), header.hops);
        packet.trim_front(from);
        packet.truncate(inner_len);
        if class != old_class {
            if self.config.behaviour.has(Defect::InnerChecksumStale) {
                if let Some(field) = packet.ip_mut().get_mut(1).filter(|_| header.version4) {
                    *field = class;
                }
            } else {
                outer::set_traffic_class(packet.ip_mut(), class);
            }
        }
        if hops != old_hops {
            outer::set_hops(packet.ip_mut(), hops);
        }
        if self.config.behaviour.has(Defect::InnerDfCleared) && header.version4 {
            let flags = packet.ip().get(6..8).and_then(|f| f.first_chunk::<2>()).copied().unwrap_or_default();
            outer::set_v4_word(packet.ip_mut(), 6, [flags[0] & !0x40, flags[1]]);
        }
        if !same_version {
            set_ethertype(packet, header.version4);
        }
        if self.tracer.is_on() && inner.stamped {
            self.tracer.step(index, || "its stamp is in the window".to_owned());
        }
        Ok(())
    }

    /// Takes ESP out between the IP header and what follows it.
    fn unwrap_transport(
        &mut self,
        now: Now,
        sa: u16,
        esp_at: usize,
        packet: &mut Packet,
        inner: &Inner,
    ) -> Result<(), Reason> {
        let header = Header::parse(packet.ip()).ok_or(Reason::Malformed)?;
        let hops = self.inner_hops(header.hops, header.hops)?;
        packet.truncate(inner.to);
        // The IP header moves up to its payload.
        let removed = inner.from - esp_at;
        packet.ip_mut().copy_within(..esp_at, removed);
        packet.trim_front(removed);
        let len = packet.len();
        let ip = packet.ip_mut();
        if header.version4 {
            outer::set_v4_word(ip, 8, [hops, inner.next]);
        } else {
            if let Some(named) = ip.get_mut(header.next_header_at) {
                *named = inner.next;
            }
            outer::set_hops(ip, hops);
        }
        outer::set_len(ip, len);
        let header = Header::parse(packet.ip()).ok_or(Reason::InnerLength)?;
        self.check_selectors(now, sa, packet.ip(), &header)
    }

    // REQ ESP-054
    fn check_selectors(&mut self, now: Now, sa: u16, inner: &[u8], header: &Header) -> Result<(), Reason> {
        let key = FlowKey::of(inner, header).map_err(|_| Reason::InnerLength)?;
        let (slot, spi) = self.sas.get(sa).map_or((u16::MAX, 0), |live| (live.slot, live.sa.spi));
        let tables = &self.tables;
        let (flow, place) = self.flows.find(now.mono, Question::Opened, &key, |key| tables.decide_opened(key));
        if flow.decision != Decision::Protect(slot) && !self.config.behaviour.has(Defect::SelectorMismatchAccepted) {
            return Err(Reason::SelectorMismatch);
        }
        flow.count.add(header.len);
        self.flows.trail(place, now.mono, spi);
        Ok(())
    }

    /// Combines the ECN fields and keeps the inner DSCP.
    // REQ ESP-048 REQ ESP-050 REQ ESP-051
    fn inner_class(&mut self, now: Now, inner: u8, outer: u8, outside: Outside) -> Result<u8, Reason> {
        let behaviour = &self.config.behaviour;
        let (mut field, mut unused) = outer::combine_ecn(inner, outer);
        if behaviour.is_any() {
            (field, unused) = crate::spoil::combine_ecn(inner & 3, outer & 3, field, unused, behaviour);
        }
        if unused && !behaviour.has(Defect::EcnSilent) {
            let Outside { spi, src, dst, .. } = outside;
            let event = EventKind::EcnUnused { spi, src, dst, inner: inner & 3, outer: outer & 3 };
            self.events.push(now.mono, event);
        }
        let dscp = if behaviour.has(Defect::InnerTosFromOuter) { outer & 0xfc } else { inner & 0xfc };
        Ok(dscp | field.ok_or(Reason::Ecn)?)
    }

    fn inner_hops(&self, inner: u8, outer: u8) -> Result<u8, Reason> {
        let behaviour = &self.config.behaviour;
        if self.config.ttl == Ttl::Keep {
            return Ok(inner);
        }
        if behaviour.has(Defect::InnerTtlFromOuter) {
            return Ok(outer.saturating_sub(1));
        }
        if inner <= 1 && !behaviour.has(Defect::InnerTtlZeroForwarded) {
            return Err(Reason::Ttl);
        }
        Ok(if behaviour.has(Defect::InnerTtlKept) { inner } else { inner.saturating_sub(1) })
    }
}

/// Tells the link what IP version follows it.
fn set_ethertype(packet: &mut Packet, version4: bool) {
    let kind: u16 = if version4 { 0x0800 } else { 0x86dd };
    if let Some(field) = packet.link_mut().last_chunk_mut::<2>() {
        *field = kind.to_be_bytes();
    }
}
