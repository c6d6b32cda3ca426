//! What is put around a packet that is protected: outer header, ESP header, IV, stamp and trailer.

use hallmark_crypto::esp::{Transform, trailer};
use hallmark_wire::ip::protocol;

use crate::classifier::number;
use crate::config::{Config, Df, Ecn};
use crate::header::Header;
use crate::outer::{self, Outer};
use crate::packet::Packet;
use crate::policy::{Mode, Replay};
use crate::reason::Reason;
use crate::sa::LiveSa;
use crate::spoil::Spoilt;
use crate::stamp::{self, STAMP_LEN};

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
    pub(crate) extended: bool,
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

/// Where the parts of a dressed packet lie, for sealing and for defects.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Dressed {
    /// Octets before ESP.
    pub(crate) esp_at: usize,
}

impl Dress {
    pub(crate) fn new(live: &LiveSa, config: &Config, replay: &Replay, stamp: Option<[u8; STAMP_LEN]>) -> Self {
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
            stamp_next: stamp_next(replay, config),
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
        if header.is_fragment() || header.piece.is_some() {
            // Transport mode protects whole packets only (RFC 4303 §3.1.1); a fragment header cannot stay in front.
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

/// Gives the ESP next header that announces a stamp.
pub(crate) const fn stamp_next(replay: &Replay, config: &Config) -> u8 {
    if matches!(replay, Replay::D3p { .. }) { config.d3p_proto } else { stamp::TBAR_NEXT_HEADER }
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

    /// Numbers a packet between two addresses of whatever version.
    pub(crate) fn next(&mut self, src: u128, dst: u128) -> u16 {
        self.next_v4((src as u64) << 32 | u64::from(dst as u32))
    }

    /// Numbers a packet between two IPv4 addresses, the source in the left half.
    #[inline(always)]
    pub(crate) fn next_v4(&mut self, addresses: u64) -> u16 {
        let mix = addresses.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        // Eight bits stay below 256.
        let next = &mut self.next[if self.single { 0 } else { (mix >> 56) as usize }];
        *next = next.wrapping_add(1);
        *next
    }
}
