//! From the WAN to the LAN, quickly.

use arrayvec::ArrayVec;
use hallmark_core::Now;
use hallmark_crypto::esp::{EspKey, trailer};

use super::glance::{EspGlance, Glance, raw};
use crate::config::{Mss, Ttl};
use crate::datapath::Datapath;
use crate::dress::{NEXT_V4, NEXT_V6};
use crate::flow::{Decision, Flows, Question};
use crate::outer::{self, V4_LEN, V6_LEN};
use crate::packet::{BATCH, Batch, Fate, Packet, Side};
use crate::policy::{Mode, Preservation, Pseudotime, Replay, SaDirection};
use crate::reason::Reason;
use crate::sa::SaTable;
use crate::stamp::{self, STAMP_LEN, TBAR_NEXT_HEADER, Verdict};
use crate::status::Count;
use crate::trace::Checkpoint;
use crate::work::{NO_SA, Used, Work, place_of};

/// The SA of the packet before.
#[derive(Clone, Copy, Debug)]
struct Known {
    spi: u32,
    sa: u16,
    /// Its place among the SAs of the burst, and its packets that are not counted there yet.
    used: usize,
    count: u16,
    /// Octets of header, trailer, IV and ICV at least; more than any packet has where the quick way does not lead.
    least: usize,
    /// What the octets between header and ICV are a multiple of, less one.
    align: usize,
}

/// No SA has the SPI, or none whose packets go the quick way.
const UNKNOWN: Known = Known { spi: 0, sa: NO_SA, used: usize::MAX, count: 0, least: usize::MAX, align: 0 };

/// What the quick way has to know of an SA whose packets are to be verified.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lot {
    spi: u32,
    slot: u16,
    /// Octets from ESP to the inner packet, and from the end of the trailer to the end.
    inner_at: usize,
    icv_len: usize,
    /// Own pseudotime and window in ticks, where there are stamps.
    time: Option<(u64, u64)>,
    checks_padding: bool,
}

impl Datapath {
    /// Finds the SAs of the packets of a burst that are nothing special. The positions of all others are left in
    /// `Work::rest`.
    pub(crate) fn find_sas_quickly(&mut self, now: Now, batch: &mut Batch) {
        let Work { sa_of, esp_at, rest, used, .. } = &mut self.work;
        let mut known = UNKNOWN;
        let count = |known: &Known, used: &mut Used| {
            if let Some((_, count)) = used.get_mut(known.used) {
                *count += known.count;
            }
        };
        let places = sa_of.iter_mut().zip(esp_at.iter_mut());
        for (index, (packet, (of, at))) in batch.packets.iter_mut().zip(places).enumerate() {
            let Some(glance) = EspGlance::at(packet.ip()) else {
                rest.push(index as u16);
                continue;
            };
            if known.spi != glance.spi {
                count(&known, used);
                known = Known { spi: glance.spi, ..known_sa(&self.sas, now, glance.spi, used).unwrap_or(UNKNOWN) };
            }
            let len = glance.len - usize::from(glance.esp_at);
            // What is too short or misaligned is refused on the long way.
            if len < known.least || (len - known.least + 2) & known.align != 0 {
                rest.push(index as u16);
                continue;
            }
            known.count += 1;
            (*of, *at) = (known.sa, glance.esp_at);
            packet.truncate(glance.len);
        }
        count(&known, used);
    }

    /// Verifies the packets of one SA that are nothing special and of a flow that is known, and turns them into their
    /// inner packets; with a key it opens each just before. All others, and all that are to be refused, are left to the
    /// long way, but for those that are not genuine.
    pub(crate) fn verify_quickly(&mut self, now: Now, sa: u16, lot: &Lot, key: Option<&EspKey>, batch: &mut Batch) {
        let (Work { sa_of, esp_at, rest, .. }, flows) = (&mut self.work, &mut self.flows);
        let lowers = self.config.ttl == Ttl::Decrement;
        let least_hops = if lowers { 2 } else { 0 };
        let clamps = self.config.mss != Mss::Off;
        let most = self.config.lan_mtu;
        let mut opened = Count::default();
        for (index, (packet, (of, at))) in batch.packets.iter_mut().zip(sa_of.iter().zip(&*esp_at)).enumerate() {
            if *of != sa || packet.fate != Fate::Pending {
                continue;
            }
            if let Some(key) = key
                && !opens(key, packet, *at)
            {
                packet.drop_for(Reason::BadIcv);
                continue;
            }
            let glance = lot.look(packet.ip(), *at, flows);
            let special = glance.hops < least_hops || glance.tcp && clamps || glance.len > most;
            let flow = flows.hit(&glance).filter(|flow| flow.decision == Decision::Protect(lot.slot) && !special);
            let Some(flow) = flow else {
                rest.push(index as u16);
                continue;
            };
            let len = usize::from(glance.len);
            flow.count.add(len);
            opened.add(len);
            packet.narrow(usize::from(*at) + lot.inner_at, len);
            if lowers {
                outer::lower_hops(packet.ip_mut());
            }
            packet.fate = Fate::Out(Side::Lan);
            flows.trail(glance.place, now.mono, lot.spi);
        }
        self.totals.opened.join(opened);
        if lot.time.is_some() {
            self.times.input_packets += opened.packets;
        }
        if let Some(live) = self.sas.get_mut(sa) {
            live.counts.opened.join(opened);
        }
    }

    /// Leaves every opened packet of an SA to the long way.
    pub(crate) fn leave_all(&mut self, sa: u16, batch: &Batch) {
        for (index, (packet, &of)) in batch.packets.iter().zip(&self.work.sa_of).enumerate() {
            if of == sa && packet.fate == Fate::Pending {
                self.work.rest.push(index as u16);
            }
        }
    }

    /// Makes the lot of an SA; nothing for SAs of which every packet goes the long way.
    pub(crate) fn lot(&self, now: Now, sa: u16) -> Option<Lot> {
        let live = self.sas.get(sa)?;
        // Defects, traces and captures want every packet to go the long way.
        let quick = !self.config.behaviour.is_any()
            && !self.tracer.is_on()
            && !self.captures.is_on(Checkpoint::AfterOpen)
            && !matches!(self.replay, Replay::D3p { .. })
            && live.sa.mode == Mode::Tunnel
            && live.sa.preservation == Preservation::Both;
        if !quick {
            return None;
        }
        let time = match self.replay {
            Replay::Time { window, .. } => Some((self.pseudotime(now), Pseudotime::ticks_in(window))),
            _ => None,
        };
        Some(Lot {
            spi: live.sa.spi,
            slot: live.slot,
            inner_at: live.sa.transform.header_len() + if time.is_some() { STAMP_LEN } else { 0 },
            icv_len: live.sa.transform.icv_len(),
            time,
            checks_padding: self.config.check_padding,
        })
    }
}

/// Finds the SA of an SPI; nothing where its packets do not go the quick way.
fn known_sa(sas: &SaTable, now: Now, spi: u32, used: &mut Used) -> Option<Known> {
    let sa = sas.find(spi, 0, 0, true)?;
    let live = sas.get(sa).filter(|live| live.is_alive(now.mono) && live.sa.direction != SaDirection::SendOnly)?;
    let transform = live.sa.transform;
    let least = transform.header_len() + 2 + transform.icv_len();
    Some(Known { spi, sa, used: place_of(used, sa)?, count: 0, least, align: transform.align() - 1 })
}

impl Lot {
    /// Looks into an opened packet and for its flow. Shows a length of 0 for all that have to be asked on the long way.
    #[inline(always)]
    fn look(&self, ip: &[u8], esp_at: u16, flows: &Flows) -> Glance {
        match usize::from(esp_at) {
            V4_LEN => self.look_behind::<V4_LEN>(ip, flows),
            V6_LEN => self.look_behind::<V6_LEN>(ip, flows),
            _ => None,
        }
        .unwrap_or_default()
    }

    /// Does so where the outer header, and therefore the inner one, has `LEN` octets.
    #[inline(always)]
    fn look_behind<const LEN: usize>(&self, ip: &[u8], flows: &Flows) -> Option<Glance> {
        let pad = self.keeps::<LEN>(ip)?;
        let glance = Glance::at(ip.get(LEN + self.inner_at..)?, Question::Opened, flows);
        let len = LEN + self.inner_at + usize::from(glance.len) + pad + 2 + self.icv_len;
        (len <= ip.len()).then_some(glance)
    }

    /// Checks padding, stamp, versions, addresses and congestion marks; gives the octets of padding.
    #[inline(always)]
    fn keeps<const LEN: usize>(&self, ip: &[u8]) -> Option<usize> {
        let plain = ip.get(..ip.len().checked_sub(self.icv_len)?)?;
        let short = trailer::parse_short(plain, self.checks_padding);
        let (pad, mut next) = short.or_else(|| long_trailer(plain, self.checks_padding))?;
        let outer = ip.first_chunk::<LEN>()?;
        let inner = ip.get(LEN + self.inner_at..)?.first_chunk::<LEN>()?;
        if let Some((mine, window)) = self.time {
            let stamp = ip.get(LEN + self.inner_at - STAMP_LEN..)?.first_chunk::<STAMP_LEN>()?;
            let (inner_next, ticks) = stamp::read_tbar(stamp).filter(|_| next == TBAR_NEXT_HEADER)?;
            if stamp::judge_ticks(mine, ticks, window) != Verdict::Accept {
                return None;
            }
            next = inner_next;
        }
        let (version, inner_next) = if LEN == V4_LEN { (4, NEXT_V4) } else { (6, NEXT_V6) };
        let others = if LEN == V4_LEN {
            (raw(outer, 12) ^ raw(inner, 12)) | u64::from((outer[1] ^ inner[1]) & 3)
        } else {
            [8, 16, 24, 32].into_iter().fold(u64::from((outer[1] ^ inner[1]) >> 4 & 3), |others, at| {
                others | (raw(outer, at) ^ raw(inner, at))
            })
        };
        let fine = next == inner_next && others == 0 && outer[0] >> 4 == version && inner[0] >> 4 == version;
        fine.then_some(pad)
    }
}

/// Reads a trailer with the padding of a block cipher: gives its octets and the Next Header.
#[inline(never)]
fn long_trailer(plain: &[u8], checks_padding: bool) -> Option<(usize, u8)> {
    let (len, next) = trailer::parse(plain, checks_padding).ok()?;
    Some((plain.len().checked_sub(len + 2)?, next))
}

/// Opens a packet in place; `false` when it is not genuine.
#[inline(always)]
fn opens(key: &EspKey, packet: &mut Packet, esp_at: u16) -> bool {
    packet.ip_mut().get_mut(usize::from(esp_at)..).is_some_and(|esp| key.open(esp, None).is_ok())
}

/// Opens the packets of one SA, without extended sequence numbers, and drops those that are not genuine.
// REQ ESP-030 REQ ESP-031
pub(crate) fn open(key: &EspKey, batch: &mut Batch, sa_of: &[u16], esp_at: &[u16], sa: u16) {
    let packets = batch.packets.iter_mut().zip(sa_of.iter().zip(esp_at));
    let mine = packets.filter(|(packet, (of, _))| **of == sa && packet.fate == Fate::Pending);
    let mut burst: ArrayVec<&mut [u8], BATCH> = ArrayVec::new();
    let mut fates: ArrayVec<&mut Fate, BATCH> = ArrayVec::new();
    for (packet, (_, &at)) in mine {
        let (ip, fate) = packet.parts();
        // What is not opened must not be verified.
        let Some(esp) = ip.get_mut(usize::from(at)..) else {
            *fate = Fate::Dropped(Reason::TooShort);
            continue;
        };
        burst.push(esp);
        fates.push(fate);
        if burst.is_full() {
            open_burst(key, &mut burst, &mut fates);
        }
    }
    open_burst(key, &mut burst, &mut fates);
}

fn open_burst(key: &EspKey, burst: &mut ArrayVec<&mut [u8], BATCH>, fates: &mut ArrayVec<&mut Fate, BATCH>) {
    let mut genuine = [false; BATCH];
    if let Some(genuine) = genuine.get_mut(..burst.len()) {
        key.open_burst(burst, genuine);
    }
    for (fate, _) in fates.drain(..).zip(genuine).filter(|(_, genuine)| !genuine) {
        *fate = Fate::Dropped(Reason::BadIcv);
    }
    burst.clear();
}
