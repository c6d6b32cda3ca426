//! Packets that do not fit: cutting them, telling their senders, learning from those who tell us.

use hallmark_core::Now;

use crate::behaviour::Defect;
use crate::classifier::FlowKey;
use crate::config::{Df, FragmentWhere, Mss};
use crate::datapath::Datapath;
use crate::event::EventKind;
use crate::fragment::{Cut, split};
use crate::header::Header;
use crate::icmp::Problem;
use crate::mss;
use crate::packet::{Batch, Fate, Pool, Side};
use crate::pmtu::{self, Fit, Size, TooBig, Verdict};
use crate::policy::Mode;
use crate::reason::Reason;
use crate::sa::LiveSa;
use crate::work::NO_SA;

impl Datapath {
    /// Tells what fits behind the headers of an SA on the path to a destination.
    #[inline]
    pub(crate) fn fit(&self, now: Now, sa: u16, header: &Header, dst: u128) -> Option<Fit> {
        let live = self.sas.get(sa)?;
        let behaviour = &self.config.behaviour;
        let link = self.config.wan_mtu;
        let path = self.path_mtus.path_mtu(now.mono, dst, header.version4, link, behaviour);
        if live.sa.mode == Mode::Tunnel && path == link {
            return Some(if header.version4 { live.fits.0 } else { live.fits.1 });
        }
        let mut fit = self.fit_of(live, header.version4, path);
        if live.sa.mode == Mode::Transport {
            // The IP header stays in front and is not protected.
            let room = usize::from(path).saturating_sub(header.payload_at);
            let payload = live.sa.transform.max_payload(room).saturating_sub(self.replay.stamp_len());
            fit.inner_max = header.payload_at + payload;
        }
        Some(fit)
    }

    pub(crate) fn fit_of(&self, live: &LiveSa, version4: bool, path_mtu: u16) -> Fit {
        Fit::protected(live.sa.transform, version4, path_mtu, self.replay.stamp_len(), &self.config.behaviour)
    }

    /// Decides about a packet by its size.
    #[inline]
    pub(crate) fn judge_size(&self, sa: u16, header: &Header, fit: Fit) -> Verdict {
        let behaviour = &self.config.behaviour;
        if header.len <= fit.inner_max && !behaviour.is_any() {
            return Verdict { size: Size::Fits, tell: None };
        }
        let transport = self.sas.get(sa).is_some_and(|live| live.sa.mode == Mode::Transport);
        let place = if transport { FragmentWhere::After } else { self.config.fragment };
        let may_cut = self.config.override_df || self.config.df == Df::Clear;
        pmtu::decide(header, fit, place, may_cut, behaviour)
    }

    /// Replaces a packet by its pieces, each of which goes the way of the packet.
    pub(crate) fn cut(
        &mut self,
        index: usize,
        size: usize,
        sa: Option<u16>,
        has_df: bool,
        batch: &mut Batch,
        pool: &mut Pool,
    ) {
        let Some(place) = batch.packets.get_mut(index) else { return };
        let mut whole = std::mem::take(place);
        // An identification is unique only where it may have been needed (RFC 6864).
        let version4 = whole.ip().first().is_some_and(|first| first >> 4 == 4);
        let ident = match (version4, has_df) {
            (true, false) => None,
            (true, true) => Some(u32::from(self.idents.next(0, 0))),
            (false, _) => Some(self.rng.next_u32()),
        };
        let first = batch.packets.len();
        let done = split(&whole, Cut { size, ident }, &self.config.behaviour, pool, batch);
        match done {
            Ok(_) => {
                self.totals.cut.add(whole.len());
                for at in first..batch.packets.len() {
                    if let Some(sa) = sa
                        && !self.work.assign(at, sa)
                        && let Some(piece) = batch.packets.get_mut(at)
                    {
                        piece.drop_for(Reason::NoBuffer);
                    }
                }
                pool.give(whole);
            }
            Err(reason) => {
                whole.drop_for(reason);
                if let Some(place) = batch.packets.get_mut(index) {
                    *place = whole;
                }
            }
        }
    }

    /// Cuts ESP packets that do not fit the path.
    pub(crate) fn cut_sealed(&mut self, now: Now, batch: &mut Batch, pool: &mut Pool) {
        for index in 0..batch.packets.len() {
            let Some(packet) = batch.packets.get(index) else { return };
            let sealed = self.work.sa_of.get(index).is_some_and(|&sa| sa != NO_SA);
            if !sealed || packet.fate != Fate::Out(Side::Wan) {
                continue;
            }
            let Some(header) = Header::parse(packet.ip()) else { continue };
            let Ok(key) = FlowKey::of(packet.ip(), &header) else { continue };
            let (link, behaviour) = (self.config.wan_mtu, &self.config.behaviour);
            let path = usize::from(self.path_mtus.path_mtu(now.mono, key.dst, key.version4, link, behaviour));
            if packet.len() > path {
                self.cut(index, path, None, false, batch, pool);
            }
        }
    }

    /// Limits the segment size of a SYN (ESP-087).
    #[inline]
    pub(crate) fn clamp(&mut self, header: &Header, from: Side, fit: Fit, packet: &mut crate::packet::Packet) {
        const TCP: u8 = 6;
        if self.config.mss == Mss::Off || header.protocol != TCP || header.is_later_piece() {
            return;
        }
        let behaviour = &self.config.behaviour;
        self.deaf |= behaviour.has(Defect::MssOptionLengthStops) && mss::has_option_of_length_0(packet.ip());
        if behaviour.has(Defect::MssNotClamped) || behaviour.has(Defect::MssOutboundOnly) && from == Side::Wan {
            return;
        }
        let most = match self.config.mss {
            Mss::Off => return,
            Mss::Fixed(most) => most,
            Mss::Auto if behaviour.has(Defect::MssForgetsOverhead) => {
                mss::fitting(usize::from(fit.path_mtu), header.version4)
            }
            Mss::Auto => mss::fitting(fit.inner_max, header.version4),
        };
        if mss::clamp(packet.ip_mut(), most, behaviour) {
            self.totals.mss_clamped += 1;
        }
    }

    /// Tells the sender of a packet what is wrong with it.
    pub(crate) fn tell(
        &mut self,
        now: Now,
        index: usize,
        problem: Problem,
        towards: Side,
        batch: &mut Batch,
        pool: &mut Pool,
    ) {
        let Some(packet) = batch.packets.get(index) else { return };
        let Some(mut error) = pool.take() else { return };
        let address = match towards {
            Side::Lan => self.config.lan_address.or(self.config.address),
            Side::Wan => self.config.lan_address,
        };
        let written = self.icmp.write(now.mono, problem, packet, address, &self.config.behaviour, &mut error);
        if written.is_err() {
            return pool.give(error);
        }
        self.totals.icmp_sent.add(error.len());
        error.received_on = towards.other();
        let astray = towards == Side::Lan && self.config.behaviour.has(Defect::IcmpToWan);
        error.fate = Fate::Out(if astray { Side::Wan } else { towards });
        if let Err(error) = batch.push(error) {
            pool.give(error);
        }
    }

    /// Hands an opened packet over to the LAN, cut to its MTU.
    pub(crate) fn deliver(&mut self, now: Now, index: usize, sa: u16, batch: &mut Batch, pool: &mut Pool) {
        let Some(packet) = batch.packets.get_mut(index) else { return };
        let fits = packet.len() <= usize::from(self.config.lan_mtu);
        if fits && self.config.mss == Mss::Off {
            return;
        }
        let Some(header) = Header::parse(packet.ip()) else { return };
        if let Some(fit) = self.sas.get(sa).map(|live| if header.version4 { live.fits.0 } else { live.fits.1 }) {
            self.clamp(&header, Side::Wan, fit, packet);
        }
        if fits {
            return;
        }
        let fit = Fit::clear(self.config.lan_mtu);
        let verdict = pmtu::decide(&header, fit, FragmentWhere::Before, false, &self.config.behaviour);
        match verdict.size {
            Size::Fits => {}
            Size::CutBefore(size) | Size::CutAfter(size) => {
                self.cut(index, size, None, header.dont_fragment, batch, pool);
            }
            Size::Refuse => {
                packet.drop_for(Reason::TooBig);
                if let Some(mtu) = verdict.tell {
                    let before = batch.packets.len();
                    self.tell(now, index, Problem::TooBig { mtu }, Side::Wan, batch, pool);
                    // The answer goes the way of all traffic to the WAN: protected where the policy says so.
                    if batch.packets.len() > before {
                        self.answers.0 = self.answers.0.min(before);
                        self.answers.1 = batch.packets.len();
                    }
                }
            }
        }
    }

    /// Protects the ICMP errors that are about opened packets.
    pub(crate) fn protect_answers(&mut self, now: Now, batch: &mut Batch, pool: &mut Pool) {
        let (first, end) = std::mem::replace(&mut self.answers, (usize::MAX, 0));
        if first >= end {
            return;
        }
        self.work.begin(batch.packets.len());
        for index in first..end.min(batch.packets.len()) {
            let Some(packet) = batch.packets.get_mut(index) else { break };
            // Pieces of packets that were cut may stand between the errors.
            if packet.fate == Fate::Out(Side::Wan) {
                packet.fate = Fate::Pending;
                self.plan(now, index, batch, pool);
                // It quotes an opened packet: where the policy would not protect it, it does not leave.
                if let Some(packet) = batch.packets.get_mut(index).filter(|packet| packet.fate == Fate::Out(Side::Wan))
                {
                    packet.drop_for(Reason::NoUsableSa);
                }
            }
        }
        self.seal_planned(now, batch, pool);
    }

    /// Learns from an ICMP error about an own ESP packet; tells whether the packet is used up by that.
    // REQ ESP-086
    pub(crate) fn learn_mtu(&mut self, now: Now, index: usize, key: &FlowKey, batch: &mut Batch) -> bool {
        let Some(packet) = batch.packets.get_mut(index) else { return false };
        let Some(header) = Header::parse(packet.ip()) else { return false };
        let Some(report) = TooBig::parse(packet.ip(), &header) else { return false };
        let sas = &self.sas;
        let sent = |spi: u32| sas.list.iter().find(|live| live.sa.spi == spi).map(|live| live.shared.counter.last());
        let behaviour = &self.config.behaviour;
        let learned = self.path_mtus.learn(now.mono, &report, self.config.wan_mtu, sent, behaviour);
        if let Some((_, mtu)) = learned.lowered {
            let event = EventKind::PmtuLearned { dst: report.dst, mtu, reporter: key.src_addr() };
            self.events.push(now.mono, event);
        }
        if learned.consume {
            packet.drop_for(Reason::PmtuConsumed);
        }
        learned.consume
    }
}
