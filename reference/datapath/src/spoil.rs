//! What defects and variants do to packets on their way. Conforming members never come here.

use hallmark_core::Rng;
use hallmark_crypto::esp::{Backend, Cipher, EspKey, Transform};

use crate::behaviour::{Behaviour, Defect, Variant};
use crate::dress::{Dress, NEXT_V4, traffic_class};
use crate::header::Header;
use crate::outer::{self, Outer};
use crate::packet::{Batch, Fate, Packet, Pool};
use crate::policy::Mode;
use crate::reason::Reason;
use crate::replay::Window;
use crate::sa::SharedSa;
use crate::stamp::{self, STAMP_LEN, Verdict};

/// IPv4 options of at most so many octets.
const OPTIONS_MAX: usize = 40;

/// What is to be different about one packet.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Spoilt<'a> {
    behaviour: &'a Behaviour,
    own: Option<(u128, bool)>,
    pub(crate) mode: Mode,
    pub(crate) tfc: usize,
    pub(crate) pad: usize,
    pub(crate) next: Option<u8>,
    sequence: u32,
    options: [u8; OPTIONS_MAX],
    pub(crate) options_len: usize,
}

/// Changes the inner packet and the vector, and plans the rest.
pub(crate) fn before<'a>(
    packet: &mut Packet,
    dress: &Dress,
    sequence: u64,
    since_apply: u64,
    iv: &mut [u8; 16],
    behaviour: &'a Behaviour,
) -> Spoilt<'a> {
    let inner = packet.ip_mut();
    let version4 = inner.first().is_some_and(|first| first >> 4 == 4);
    if behaviour.has(Defect::DscpInnerCleared) {
        let class = traffic_class(inner);
        outer::set_traffic_class(inner, class & 3);
    }
    if behaviour.has(Defect::InnerIdRewritten) && version4 {
        outer::set_v4_word(inner, 4, (sequence as u16 ^ 0x5a5a).to_be_bytes());
    }
    if !dress.transform.is_counter_mode() {
        if behaviour.has(Defect::CbcIvZero) {
            iv.fill(0);
        } else if behaviour.has(Defect::CbcIvCounts) {
            // A block of 8 or 16 octets shows the count in its last octets.
            iv.fill(0);
            let len = dress.transform.iv_len();
            if let Some(low) = len.checked_sub(4).and_then(|at| iv.get_mut(at..len)) {
                low.copy_from_slice(&(sequence as u32).to_be_bytes());
            }
        }
    }
    let sequence_sent = match () {
        () if behaviour.has(Defect::SeqStartsAtZero) => sequence.wrapping_sub(1),
        () if behaviour.has(Defect::SeqSkips) => sequence.wrapping_mul(2).wrapping_sub(1),
        () if behaviour.has(Defect::SeqStuck) => 1,
        () if behaviour.has(Defect::SeqRestartsOnApply) => since_apply,
        () => sequence,
    };
    let tfc = if behaviour.has(Defect::TfcUnasked) { 16 } else { 0 };
    let payload_len = inner.len() + tfc + dress.stamp.map_or(0, |_| STAMP_LEN);
    let align = dress.transform.align();
    let least = dress.transform.pad_len(payload_len);
    let pad = match () {
        () if behaviour.has(Defect::PaddingBlockMore) => least + align,
        // Never so much that a packet that was just small enough fits no longer.
        () if behaviour.varies(Variant::PaddingOneBlockMore) && sequence.is_multiple_of(8) && payload_len < 512 => {
            least + align
        }
        () if behaviour.has(Defect::PaddingMisaligned) && align == 4 => 0,
        () => least,
    };
    let next = match () {
        () if behaviour.has(Defect::NextHeaderZero) => Some(0),
        () if behaviour.has(Defect::NextHeaderAlwaysV4) && dress.stamp.is_none() => Some(NEXT_V4),
        () if behaviour.has(Defect::NextHeaderInnerProtocol) => inner.get(if version4 { 9 } else { 6 }).copied(),
        () => None,
    };
    let mut spoilt = Spoilt {
        behaviour,
        own: dress.own,
        mode: if behaviour.has(Defect::TransportInsteadOfTunnel) { Mode::Transport } else { dress.mode },
        tfc,
        pad,
        next,
        sequence: sequence_sent as u32,
        options: [0; OPTIONS_MAX],
        options_len: 0,
    };
    if behaviour.has(Defect::OptionsCopied) && version4 {
        let header_len = usize::from(inner.first().copied().unwrap_or(0x45) & 0x0f) * 4;
        let options = inner.get(outer::V4_LEN..header_len).unwrap_or_default();
        if let Some(room) = spoilt.options.get_mut(..options.len()) {
            room.copy_from_slice(options);
            spoilt.options_len = options.len();
        }
    }
    spoilt
}

impl Spoilt<'_> {
    /// Changes the outer header before it is written.
    pub(crate) fn outer(&self, header: &mut Outer, inner: &[u8]) {
        let has = |defect| self.behaviour.has(defect);
        let version4 = inner.first().is_some_and(|first| first >> 4 == 4);
        if has(Defect::OuterSourceOwn)
            && let Some((own, _)) = self.own.filter(|&(_, v4)| v4 == version4)
        {
            header.src = own;
        }
        if has(Defect::PreservesBothAlways)
            && let Some((src, dst)) = crate::classifier::addresses(inner, version4)
        {
            (header.src, header.dst) = (src, dst);
        }
        if has(Defect::OuterDestinationWrong) {
            header.dst ^= 1;
        }
        if has(Defect::OuterAddressesSwapped) {
            (header.src, header.dst) = (header.dst, header.src);
        }
        if has(Defect::OuterProtocolAh) {
            header.protocol = 51;
        }
        if has(Defect::DscpNotCopied) {
            header.traffic_class &= 3;
        }
        if has(Defect::EcnNotCopied) {
            header.traffic_class &= 0xfc;
        }
        if has(Defect::EcnOuterAlwaysCe) {
            header.traffic_class |= 3;
        }
        let inner_flags = inner.get(6..8).and_then(|f| f.first_chunk()).map_or(0, |f| u16::from_be_bytes(*f));
        if version4 {
            if has(Defect::DfCleared) {
                header.flags &= !outer::DF;
            }
            if has(Defect::DfAlwaysSet) {
                header.flags |= outer::DF;
            }
            if has(Defect::DfClearIgnored) {
                header.flags = header.flags & !outer::DF | inner_flags & outer::DF;
            }
            if has(Defect::OuterMfCopied) {
                header.flags |= inner_flags & 0x3fff;
            }
        }
        if has(Defect::FlowLabelCopied) && !version4 {
            header.flow_label = inner.first_chunk().map_or(0, |first| u32::from_be_bytes(*first)) & 0x000f_ffff;
        }
        if self.behaviour.varies(Variant::OuterFlowLabelSet) && !version4 {
            header.flow_label = 0x0004_2a42;
        }
        if has(Defect::OuterTtlOne) {
            header.hops = 1;
        }
        if self.behaviour.varies(Variant::OuterTtlFresh) {
            header.hops = 255;
        }
        if has(Defect::OuterIdConstant) {
            header.ident = 0x2a2a;
        }
    }

    /// Puts IPv4 options behind an outer header.
    pub(crate) fn put_options(&self, ip: &mut [u8]) {
        let words = (outer::V4_LEN + self.options_len) / 4;
        let Some((header, options)) = ip.split_at_mut_checked(outer::V4_LEN) else { return };
        options.copy_from_slice(self.options.get(..options.len()).unwrap_or_default());
        if let Some([_, class, l0, l1, ..]) = header.first_chunk::<20>().copied() {
            outer::set_v4_word(header, 0, [0x40 | words as u8, class]);
            let len = u16::from_be_bytes([l0, l1]).wrapping_add(self.options_len as u16);
            outer::set_v4_word(header, 2, len.to_be_bytes());
        }
        if let Some(field) = ip.get_mut(10..12) {
            field.fill(0);
        }
        let sum = hallmark_wire::ip::checksum(ip).to_be_bytes();
        if let Some(field) = ip.get_mut(10..12) {
            field.copy_from_slice(&sum);
        }
    }

    /// Changes SPI and sequence number in front of the cipher, so that the ICV covers what is sent.
    pub(crate) fn header(&self, esp: &mut [u8]) {
        let Some([s0, s1, s2, s3, q0, q1, q2, q3]) = esp.first_chunk_mut::<8>() else { return };
        [*q0, *q1, *q2, *q3] = match self.behaviour.has(Defect::SeqLittleEndian) {
            true => self.sequence.to_le_bytes(),
            false => self.sequence.to_be_bytes(),
        };
        let spi = u32::from_be_bytes([*s0, *s1, *s2, *s3]);
        let spi = if self.behaviour.has(Defect::SpiPlusOne) { spi.wrapping_add(1) } else { spi };
        [*s0, *s1, *s2, *s3] =
            if self.behaviour.has(Defect::SpiByteSwapped) { spi.to_le_bytes() } else { spi.to_be_bytes() };
    }

    /// Changes a trailer after it was written.
    pub(crate) fn trailer(&self, trailer: &mut [u8]) {
        let Some((padding, [pad_length, _])) = trailer.split_last_chunk_mut::<2>() else { return };
        if self.behaviour.has(Defect::PaddingZeros) {
            padding.fill(0);
        }
        if self.behaviour.has(Defect::PaddingFromZero) {
            for octet in padding {
                *octet = octet.wrapping_sub(1);
            }
        }
        if self.behaviour.has(Defect::PadLengthCountsTrailer) {
            *pad_length = pad_length.saturating_add(2);
        }
    }
}

/// Chooses the high half of the sequence number that is authenticated.
pub(crate) const fn esn(high: Option<u32>, with_esn: bool, short: bool) -> Option<u32> {
    match high {
        None if with_esn => Some(0),
        Some(_) if short => None,
        other => other,
    }
}

/// Makes the vector of a counter mode as a member with a defect or variant does.
pub(crate) fn vector(left: u64, low: u64, bits: u16, since_apply: u64, behaviour: &Behaviour, rng: &mut Rng) -> u64 {
    let low_bits = 64 - u32::from(bits);
    let id = left >> low_bits;
    match () {
        () if behaviour.has(Defect::IvRandomCounterMode) => rng.next_u64(),
        () if behaviour.has(Defect::IvReused) => left | low >> 1,
        () if behaviour.has(Defect::IvRestartsOnApply) => left | since_apply & (u64::MAX >> bits),
        () if behaviour.has(Defect::SidRightmost) => low << bits | id,
        () if behaviour.has(Defect::SidShiftedByOne) => left >> 1 | low,
        () if behaviour.has(Defect::SidIgnored) => low,
        () if behaviour.has(Defect::SidSixteenAlways) => id << 48 | low,
        () if behaviour.varies(Variant::IvCountsFromMiddle) => left | low ^ 1 << (low_bits - 1),
        () => left | low,
    }
}

/// Changes a sealed packet; tells whether it is to be sent a second time.
pub(crate) fn after(packet: &mut Packet, sent: u64, behaviour: &Behaviour) -> bool {
    let version4 = packet.ip().first().is_some_and(|first| first >> 4 == 4);
    if behaviour.has(Defect::IcvTruncated) {
        packet.trim_back(4);
        let len = packet.len();
        outer::set_len(packet.ip_mut(), len);
    }
    if behaviour.has(Defect::IcvCorrupt)
        && sent.is_multiple_of(16)
        && let Some(last) = packet.ip_mut().last_mut()
    {
        *last ^= 1;
    }
    if behaviour.has(Defect::OuterLengthWrong) {
        let len = packet.len();
        let own = if version4 { outer::V4_LEN } else { outer::V6_LEN };
        outer::set_len(packet.ip_mut(), len - own);
    }
    if behaviour.has(Defect::OuterChecksumWrong)
        && version4
        && let Some(field) = packet.ip_mut().get_mut(10)
    {
        *field ^= 0xff;
    }
    behaviour.has(Defect::EveryPacketTwice)
}

/// Appends a copy of a packet to the batch.
pub(crate) fn send_twice(index: usize, batch: &mut Batch, pool: &mut Pool) {
    let Some(packet) = batch.packets.get(index) else { return };
    let Some(mut copy) = pool.take() else { return };
    if copy.set(packet.link(), packet.ip()) {
        copy.received_on = packet.received_on;
        copy.fate = Fate::Out(packet.received_on.other());
        if let Err(copy) = batch.push(copy) {
            pool.give(copy);
        }
    } else {
        pool.give(copy);
    }
}

/// Asks a window as a member with a defect does.
pub(crate) fn may_accept(window: &mut Window, number: u64, width: u16, behaviour: &Behaviour) -> bool {
    if behaviour.has(Defect::WindowMovedBeforeIcv) && number > window.top() {
        window.mark(number);
        return true;
    }
    if number == 0 && behaviour.has(Defect::SeqZeroAccepted) {
        return true;
    }
    if behaviour.has(Defect::LateRefused) && number < window.top() {
        return false;
    }
    let inside = number <= window.top() && window.top() - number < u64::from(width);
    window.may_accept(number, width) || inside && behaviour.has(Defect::DuplicatesAccepted)
}

/// Moves a window as a member with a defect does.
pub(crate) fn commit(window: &mut Window, number: u64, width: u16, behaviour: &Behaviour) -> bool {
    if number == 0 && behaviour.has(Defect::SeqZeroAccepted) {
        return true;
    }
    let jumps = number > window.top() + 1;
    let inside = number <= window.top() && window.top() - number < u64::from(width);
    let moved = behaviour.has(Defect::WindowMovedBeforeIcv) && number == window.top();
    let fine = window.commit(number, width) || inside && behaviour.has(Defect::DuplicatesAccepted) || moved;
    if jumps && behaviour.has(Defect::WindowClearedOnJump) {
        window.forget_below_top();
    }
    fine
}

/// Opens a packet without caring for its ICV or its alignment.
pub(crate) fn force_open(
    packet: &mut Packet,
    esp_at: usize,
    esn_high: Option<u32>,
    shared: &SharedSa,
    behaviour: &Behaviour,
) {
    let transform = shared.key.transform();
    let Some(esp) = packet.ip_mut().get_mut(esp_at..) else { return };
    let original = esp.to_vec();
    let aligned = transform.check_len(esp.len()).is_ok();
    if shared.key.open(esp, esn_high).is_ok() {
        return;
    }
    if aligned && !behaviour.has(Defect::MacNotChecked) {
        return packet.drop_for(Reason::BadIcv);
    }
    let Some(esp) = packet.ip_mut().get_mut(esp_at..) else { return };
    esp.copy_from_slice(&original);
    if transform.is_counter_mode() {
        // Encryption and decryption are the same there.
        if shared.key.seal(esp, esn_high).is_err() {
            packet.drop_for(Reason::BadAlignment);
        }
    } else if transform.cipher != Cipher::Null {
        let bare = Transform { cipher: transform.cipher, mac: None };
        let key = EspKey::new(bare, shared.encryption_key(), &[], Backend::Portable);
        let end = esp.len().saturating_sub(transform.icv_len());
        let opened = key.ok().zip(esp.get_mut(..end)).is_some_and(|(key, esp)| key.open(esp, None).is_ok());
        if !opened {
            packet.drop_for(Reason::BadAlignment);
        }
    }
}

/// Judges a stamp as a member with a defect or variant does.
pub(crate) fn judge_ticks(mine: u64, peer: u64, window: u64, ip: &[u8], behaviour: &Behaviour) -> Verdict {
    let has = |defect| behaviour.has(defect);
    let multicast = match ip.first().map(|first| first >> 4) {
        Some(4) => ip.get(16).is_some_and(|octet| octet >> 4 == 0xe),
        _ => ip.get(24) == Some(&0xff),
    };
    let window = match () {
        () if has(Defect::TbarMin20) => window.max(2_000),
        () if has(Defect::TbarWindowDoubled) => window * 2,
        () if has(Defect::TbarWindowHalved) => window / 2,
        () if has(Defect::TbarWindowInTicks) => window / 100,
        () => window,
    };
    let (mine, peer) = if has(Defect::TbarFalseDrop) { (mine & 0x1fff, peer & 0x1fff) } else { (mine, peer) };
    let verdict = stamp::judge_ticks(mine, peer, window);
    let ignored = has(Defect::TbarNotChecked)
        || has(Defect::TbarNoMulticast) && multicast
        || has(Defect::TbarOnlyTooOld) && verdict == Verdict::TooNew
        || has(Defect::TbarOnlyTooNew) && verdict == Verdict::TooOld;
    if ignored {
        return Verdict::Accept;
    }
    if behaviour.varies(Variant::TbarEdgeExclusive) && mine.abs_diff(peer) == window {
        return if peer < mine { Verdict::TooOld } else { Verdict::TooNew };
    }
    verdict
}

/// Combines ECN fields as a member with a defect does: the inner field to forward, nothing for a drop, and whether the
/// combination is reported.
pub(crate) fn combine_ecn(
    inner: u8,
    outer: u8,
    right: Option<u8>,
    unused: bool,
    behaviour: &Behaviour,
) -> (Option<u8>, bool) {
    const NOT_ECT: u8 = 0;
    const ECT1: u8 = 1;
    const ECT0: u8 = 2;
    const CE: u8 = 3;
    let has = |defect| behaviour.has(defect);
    let field = match (inner, outer) {
        (ECT0 | ECT1, CE) if has(Defect::EcnCeLost) => Some(inner),
        (NOT_ECT, CE) if has(Defect::EcnCeOnNotEctForwarded) => Some(NOT_ECT),
        (NOT_ECT, CE) if has(Defect::EcnCeOnNotEctMarked) => Some(CE),
        (ECT0, ECT1) if has(Defect::EcnEct1Lost) => Some(ECT0),
        (CE, NOT_ECT) if has(Defect::EcnInnerCeCleared) => Some(NOT_ECT),
        (_, outer) if has(Defect::EcnOuterWins) => Some(outer),
        _ if unused && has(Defect::EcnUnusedDropped) => None,
        _ => right,
    };
    (field, unused)
}

/// Reads a header whose length field exceeds the packet, as far as it goes.
pub(crate) fn lenient_header(inner: &[u8]) -> Option<Header> {
    let mut copy = inner.to_vec();
    let len = copy.len();
    outer::set_len(&mut copy, len);
    Header::parse(&copy)
}
