//! Cutting one packet into pieces (RFC 791 §3.2, RFC 8200 §4.5).

use hallmark_wire::ip::checksum;

use crate::behaviour::{Behaviour, Defect, Variant};
use crate::header::{Header, V6_LEN};
use crate::packet::{Batch, Packet, Pool};
use crate::reason::Reason;

/// Octets of an IPv6 fragment header.
const FRAGMENT_HEADER: usize = 8;
/// Longest header of a piece: 15 words of IPv4, which is more than IPv6 with its fragment header.
const HEADER_MAX: usize = 60;

/// How to cut.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Cut {
    /// Octets that a piece may have, IP header included.
    pub size: usize,
    /// Identification of the pieces. An IPv4 packet keeps its own if there is none here; give one when the packet came
    /// with DF set, because then its own need not be unique (RFC 6864). IPv6 uses 0 if there is none.
    pub ident: Option<u32>,
}

/// Cuts a packet: the pieces are appended to `out` in buffers of the pool, with the link header, the fate and the port
/// of the whole. Gives their number. Nothing is appended when anything is missing.
///
/// # Errors
/// [`Reason::TooBig`] when no payload fits beside the header, or the packet cannot be cut (an IPv6 fragment, IPv6
/// hop-by-hop options); [`Reason::NoBuffer`] when the pool or the batch is exhausted; [`Reason::Malformed`].
pub fn split(packet: &Packet, cut: Cut, behaviour: &Behaviour, pool: &mut Pool, out: &mut Batch) -> Result<u8, Reason> {
    let ip = packet.ip();
    let parts = Parts::of(ip, cut, behaviour)?;
    let count = u8::try_from(parts.len()).map_err(|_| Reason::NoBuffer)?;
    if pool.available() < parts.len() || !out.has_room(parts.len()) || cut.size > pool.max_ip_len() {
        return Err(Reason::NoBuffer);
    }
    for part in parts {
        let Some(mut piece) = pool.take() else { return Err(Reason::NoBuffer) };
        let payload = ip.get(part.payload()).unwrap_or_default();
        let filled = piece.set(packet.link(), part.header())
            && piece.append(payload.len()).is_some_and(|room| {
                room.copy_from_slice(payload);
                true
            });
        piece.fate = packet.fate;
        piece.received_on = packet.received_on;
        debug_assert!(filled, "a piece is no longer than the buffers of the pool");
        if let Err(piece) = out.push(piece) {
            pool.give(piece);
        }
    }
    Ok(count)
}

/// One piece of a packet: a header of its own, and which octets of the packet follow it.
#[derive(Clone, Copy, Debug)]
pub struct Part {
    header: [u8; HEADER_MAX],
    header_len: usize,
    from: usize,
    to: usize,
}

impl Part {
    /// The header of the piece, checksum included.
    #[must_use]
    pub fn header(&self) -> &[u8] {
        self.header.get(..self.header_len).unwrap_or_default()
    }

    /// Which octets of the whole packet follow.
    #[must_use]
    pub const fn payload(&self) -> std::ops::Range<usize> {
        self.from..self.to
    }
}

/// Gives the pieces of a packet one by one.
#[derive(Clone, Copy, Debug)]
pub struct Parts {
    version4: bool,
    /// Headers of the first piece and of the others, with flags and length still to be filled in.
    first: ([u8; HEADER_MAX], usize),
    later: ([u8; HEADER_MAX], usize),
    /// Where the payload of the whole begins and ends.
    from: usize,
    to: usize,
    /// Payload octets of each piece but the last.
    unit: usize,
    /// What the whole packet says of itself: it may be a piece.
    offset: usize,
    more: bool,
    next: usize,
    count: usize,
    defects: Defects,
}

/// The switches that are asked for each piece.
#[derive(Clone, Copy, Debug)]
struct Defects {
    mf_lost: bool,
    offset_wrong: bool,
    new_ids: bool,
    checksum_stale: bool,
    last_first: bool,
}

impl Parts {
    /// Plans the pieces of a packet. DF is cleared in all of them: whoever cuts has decided that they may be cut.
    ///
    /// # Errors
    /// As [`split`], without those about buffers.
    pub fn of(ip: &[u8], cut: Cut, behaviour: &Behaviour) -> Result<Self, Reason> {
        let header = Header::parse(ip).ok_or(Reason::Malformed)?;
        let ip = ip.get(..header.len).ok_or(Reason::Malformed)?;
        let mut parts = if header.version4 {
            Self::of_v4(ip, &header, cut.ident, behaviour)?
        } else {
            Self::of_v6(ip, &header, cut.ident)?
        };
        let room = cut.size.checked_sub(parts.first.1).ok_or(Reason::TooBig)?;
        let payload = parts.to - parts.from;
        // REQ ESP-088: eight is the unit of the offset.
        parts.unit = room / 8 * 8;
        if parts.unit == 0 {
            return Err(Reason::TooBig);
        }
        if behaviour.has(Defect::FragmentsNotMultipleOfEight) {
            parts.unit = if room % 8 == 0 { room - 3 } else { room };
        }
        let fits_last = room.min(payload);
        // The last piece need not be a multiple of eight.
        parts.count = 1 + (payload - fits_last).div_ceil(parts.unit);
        if behaviour.varies(Variant::FragmentsEqual) {
            parts.unit = payload.div_ceil(parts.count).next_multiple_of(8).min(parts.unit);
        }
        if behaviour.has(Defect::FragmentsLastMissing) && parts.count > 1 {
            parts.count -= 1;
            parts.to = parts.from + parts.unit * parts.count;
            parts.more = true;
        }
        Ok(parts)
    }

    fn of_v4(ip: &[u8], header: &Header, ident: Option<u32>, behaviour: &Behaviour) -> Result<Self, Reason> {
        let at = header.payload_at;
        let mut first = [0; HEADER_MAX];
        copy(&mut first, 0, ip.get(..at).unwrap_or_default());
        if let Some(ident) = ident {
            copy(&mut first, 4, &(ident as u16).to_be_bytes());
        }
        let mut later = [0; HEADER_MAX];
        copy(&mut later, 0, first.get(..20).unwrap_or_default());
        let mut later_len = 20;
        if !behaviour.has(Defect::FragmentsOptionsLost) {
            later_len += copied_options(first.get(20..at).unwrap_or_default(), later.get_mut(20..).unwrap_or_default());
        }
        later[0] = 0x40 | (later_len / 4) as u8;
        let forgets = behaviour.has(Defect::FragmentOfFragmentWrong);
        let piece = header.piece.filter(|_| !forgets);
        if piece.is_some_and(|piece| piece.offset + header.len - at > 65_535) {
            // No datagram is so long; the offset of a later part would not fit its field.
            return Err(Reason::FragmentTooLong);
        }
        Ok(Self {
            version4: true,
            first: (first, at),
            later: (later, later_len),
            from: at,
            to: header.len,
            unit: 0,
            offset: piece.map_or(0, |piece| piece.offset),
            more: piece.is_some_and(|piece| piece.more),
            next: 0,
            count: 0,
            defects: Defects {
                mf_lost: behaviour.has(Defect::FragmentsMfLost),
                offset_wrong: behaviour.has(Defect::FragmentsOffsetWrong),
                new_ids: behaviour.has(Defect::FragmentsNewIds),
                checksum_stale: behaviour.has(Defect::FragmentsChecksumStale),
                last_first: behaviour.varies(Variant::FragmentsLastFirst),
            },
        })
    }

    fn of_v6(ip: &[u8], header: &Header, ident: Option<u32>) -> Result<Self, Reason> {
        let fixed = ip.first_chunk::<V6_LEN>().ok_or(Reason::Malformed)?;
        // Hop-by-hop options would have to stay in front of the fragment header; no packet built here has any.
        let next_header = fixed[6];
        if header.piece.is_some() || next_header == hallmark_wire::ip::protocol::HOP_BY_HOP {
            return Err(Reason::TooBig);
        }
        let mut first = [0; HEADER_MAX];
        copy(&mut first, 0, fixed);
        first[6] = hallmark_wire::ip::protocol::FRAGMENT;
        first[V6_LEN] = next_header;
        copy(&mut first, V6_LEN + 4, &ident.unwrap_or(0).to_be_bytes());
        let header_len = V6_LEN + FRAGMENT_HEADER;
        Ok(Self {
            version4: false,
            first: (first, header_len),
            later: (first, header_len),
            from: V6_LEN,
            to: header.len,
            unit: 0,
            offset: 0,
            more: false,
            next: 0,
            count: 0,
            defects: Defects {
                mf_lost: false,
                offset_wrong: false,
                new_ids: false,
                checksum_stale: false,
                last_first: false,
            },
        })
    }

    fn part(&self, index: usize) -> Part {
        let (mut header, header_len) = if index == 0 { self.first } else { self.later };
        let from = self.from + index * self.unit;
        let last = index + 1 == self.count;
        let to = if last { self.to } else { from + self.unit };
        let more = !self.defects.mf_lost && (!last || self.more);
        let wrong = if self.defects.offset_wrong && index > 0 { 8 } else { 0 };
        let offset = self.offset + index * self.unit + wrong;
        if self.version4 {
            let flags = (offset / 8) as u16 & 0x1fff | u16::from(more) << 13;
            copy(&mut header, 2, &((header_len + to - from) as u16).to_be_bytes());
            copy(&mut header, 6, &flags.to_be_bytes());
            if self.defects.new_ids {
                let ident = u16::from_be_bytes([header[4], header[5]]).wrapping_add(index as u16);
                copy(&mut header, 4, &ident.to_be_bytes());
            }
            if !self.defects.checksum_stale {
                copy(&mut header, 10, &[0, 0]);
                let sum = checksum(header.get(..header_len).unwrap_or_default());
                copy(&mut header, 10, &sum.to_be_bytes());
            }
        } else {
            copy(&mut header, 4, &((header_len - V6_LEN + to - from) as u16).to_be_bytes());
            copy(&mut header, V6_LEN + 2, &(offset as u16 & 0xfff8 | u16::from(more)).to_be_bytes());
        }
        Part { header, header_len, from, to }
    }
}

impl Iterator for Parts {
    type Item = Part;

    fn next(&mut self) -> Option<Part> {
        let index = self.next;
        if index >= self.count {
            return None;
        }
        self.next += 1;
        Some(self.part(if self.defects.last_first { self.count - 1 - index } else { index }))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.count - self.next, Some(self.count - self.next))
    }
}

impl ExactSizeIterator for Parts {}

/// Copies the options whose copy flag is set (RFC 791 §3.1), padded to whole words; gives their octets.
///
/// A broken option ends the walk: what cannot be read is not repeated.
fn copied_options(mut options: &[u8], out: &mut [u8]) -> usize {
    const END: u8 = 0;
    const NO_OPERATION: u8 = 1;
    const COPY: u8 = 0x80;
    let mut len = 0;
    loop {
        match options {
            [] | [END, ..] => break,
            [NO_OPERATION, rest @ ..] => options = rest,
            [kind, size, ..] => {
                let size = usize::from(*size);
                let Some((option, rest)) = options.split_at_checked(size).filter(|_| size >= 2) else { break };
                if kind & COPY != 0 && len + size <= out.len() {
                    copy(out, len, option);
                    len += size;
                }
                options = rest;
            }
            [_] => break,
        }
    }
    // The buffer is zero behind them, and zero is the end of the options.
    len.next_multiple_of(4)
}

/// Writes octets at a place; what would reach past the end is left out.
fn copy(out: &mut [u8], at: usize, octets: &[u8]) {
    for (to, from) in out.iter_mut().skip(at).zip(octets) {
        *to = *from;
    }
}
