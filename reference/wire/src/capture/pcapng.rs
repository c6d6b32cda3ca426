//! The pcapng format: sections of typed blocks (draft-ietf-opsawg-pcapng).

use std::num::NonZeroU128;

use hallmark_core::UnixTime;

use super::{Capture, CapturedPacket, Cursor, Interface, fault};
use crate::error::DecodeError;

/// Type of the section header block; the same in either byte order.
pub(super) const SECTION_HEADER: u32 = 0x0a0d_0d0a;
pub(super) const INTERFACE_DESCRIPTION: u32 = 1;
const PACKET: u32 = 2;
const SIMPLE_PACKET: u32 = 3;
pub(super) const ENHANCED_PACKET: u32 = 6;
pub(super) const DECRYPTION_SECRETS: u32 = 10;

pub(super) const BYTE_ORDER_MAGIC: u32 = 0x1a2b_3c4d;

pub(super) const OPTION_COMMENT: u16 = 1;
pub(super) const OPTION_IF_NAME: u16 = 2;
pub(super) const OPTION_USER_APPLICATION: u16 = 4;
pub(super) const OPTION_IF_TSRESOL: u16 = 9;
const OPTION_IF_TSOFFSET: u16 = 14;

/// How an interface of the current section counts time.
#[derive(Clone, Copy)]
struct Clock {
    /// Its index among all interfaces of the file.
    interface: u32,
    link_type: u16,
    /// As in option if_tsresol.
    resolution: u8,
    offset_secs: i64,
    snap_len: usize,
}

pub(super) fn read(file: &[u8], capture: &mut Capture) -> Result<(), DecodeError> {
    let mut cursor = Cursor::new(file, 0, true);
    let mut clocks: Vec<Clock> = Vec::new();
    while !cursor.octets.is_empty() {
        let start = cursor.base;
        let kind_octets = cursor.array::<4>()?;
        if u32::from_be_bytes(kind_octets) == SECTION_HEADER {
            // The byte order is written behind the block's length.
            let mut ahead = cursor;
            ahead.take(4)?;
            let magic = ahead.array::<4>()?;
            cursor.big_endian = match u32::from_be_bytes(magic) {
                BYTE_ORDER_MAGIC => true,
                magic if magic.swap_bytes() == BYTE_ORDER_MAGIC => false,
                _ => return Err(fault("capture.byte-order", ahead.base, 4, ahead.octets.len())),
            };
            clocks.clear();
        }
        let kind = if cursor.big_endian { u32::from_be_bytes(kind_octets) } else { u32::from_le_bytes(kind_octets) };
        let len = cursor.u32()? as usize;
        let Some(body_len) = len.checked_sub(12).filter(|len| len % 4 == 0) else {
            return Err(fault("capture.block-length", start, 12, len));
        };
        let body = Cursor::new(cursor.take(body_len)?, start.saturating_add(8), cursor.big_endian);
        let again = cursor.u32()? as usize;
        if again != len {
            return Err(fault("capture.block-length", start, len, again));
        }
        read_block(kind, body, &mut clocks, capture)?;
    }
    Ok(())
}

fn read_block(
    kind: u32,
    mut body: Cursor<'_>,
    clocks: &mut Vec<Clock>,
    capture: &mut Capture,
) -> Result<(), DecodeError> {
    match kind {
        INTERFACE_DESCRIPTION => read_interface(body, clocks, capture),
        ENHANCED_PACKET => {
            let clock = clock_of(body.u32()?, clocks, &body)?;
            read_timed(body, clock, capture)
        }
        PACKET => {
            let clock = clock_of(u32::from(body.u16()?), clocks, &body)?;
            body.take(2)?;
            read_timed(body, clock, capture)
        }
        SIMPLE_PACKET => {
            let clock = clock_of(0, clocks, &body)?;
            let original_len = body.u32()?;
            let kept = (original_len as usize).min(clock.snap_len);
            let octets = body.take(kept)?.to_vec();
            capture.packets.push(CapturedPacket {
                at: UnixTime::default(),
                interface: clock.interface,
                link_type: clock.link_type,
                octets,
                original_len,
                comment: None,
            });
            Ok(())
        }
        DECRYPTION_SECRETS => {
            let kind = body.u32()?;
            let len = body.u32()? as usize;
            capture.secrets.push((kind, body.take(len)?.to_vec()));
            Ok(())
        }
        // Names, statistics, custom blocks and whatever comes later carry no frames.
        _ => Ok(()),
    }
}

fn read_interface(mut body: Cursor<'_>, clocks: &mut Vec<Clock>, capture: &mut Capture) -> Result<(), DecodeError> {
    let link_type = body.u16()?;
    body.take(2)?;
    let snap_len = match body.u32()? {
        0 => usize::MAX,
        len => len as usize,
    };
    let interface = u32::try_from(capture.interfaces.len()).unwrap_or(u32::MAX);
    let mut clock = Clock { interface, link_type, resolution: 6, offset_secs: 0, snap_len };
    let mut name = None;
    let big_endian = body.big_endian;
    each_option(body, |code, value| match (code, value) {
        (OPTION_IF_NAME, value) => name = Some(String::from_utf8_lossy(value).into_owned()),
        (OPTION_IF_TSRESOL, [resolution, ..]) => clock.resolution = *resolution,
        (OPTION_IF_TSOFFSET, value) => {
            if let Some(octets) = value.first_chunk::<8>() {
                clock.offset_secs = if big_endian { i64::from_be_bytes(*octets) } else { i64::from_le_bytes(*octets) };
            }
        }
        _ => {}
    })?;
    clocks.push(clock);
    capture.interfaces.push(Interface { name, link_type });
    Ok(())
}

/// Reads timestamp, lengths, frame and options, which the enhanced and the old packet block share.
fn read_timed(mut body: Cursor<'_>, clock: Clock, capture: &mut Capture) -> Result<(), DecodeError> {
    let ticks = u64::from(body.u32()?) << 32 | u64::from(body.u32()?);
    let kept = body.u32()? as usize;
    let original_len = body.u32()?;
    let octets = body.take(kept)?.to_vec();
    body.take(padding(kept))?;
    let mut comment = None;
    each_option(body, |code, value| {
        if code == OPTION_COMMENT && comment.is_none() {
            comment = Some(String::from_utf8_lossy(value).into_owned());
        }
    })?;
    let at = time_of(ticks, clock);
    let Clock { interface, link_type, .. } = clock;
    capture.packets.push(CapturedPacket { at, interface, link_type, octets, original_len, comment });
    Ok(())
}

fn clock_of(interface: u32, clocks: &[Clock], body: &Cursor<'_>) -> Result<Clock, DecodeError> {
    let found = clocks.get(interface as usize).copied();
    found.ok_or(fault("capture.interface", body.base, interface as usize, clocks.len()))
}

fn each_option<'a>(mut body: Cursor<'a>, mut take: impl FnMut(u16, &'a [u8])) -> Result<(), DecodeError> {
    while !body.octets.is_empty() {
        let code = body.u16()?;
        let len = usize::from(body.u16()?);
        if code == 0 {
            break;
        }
        take(code, body.take(len)?);
        body.take(padding(len).min(body.octets.len()))?;
    }
    Ok(())
}

/// Octets up to the next multiple of 4.
pub(super) const fn padding(len: usize) -> usize {
    len.wrapping_neg() % 4
}

/// A resolution that no clock has (finer than 10^-38 s) gives time zero.
fn time_of(ticks: u64, clock: Clock) -> UnixTime {
    let power = u32::from(clock.resolution & 0x7f);
    let per_second = if clock.resolution & 0x80 == 0 { 10u128.checked_pow(power) } else { 1u128.checked_shl(power) };
    let nanos = match per_second.and_then(NonZeroU128::new) {
        Some(per_second) => {
            let (secs, rest) = (u128::from(ticks) / per_second, u128::from(ticks) % per_second);
            let fraction = rest.saturating_mul(1_000_000_000) / per_second;
            i64::try_from(secs.saturating_mul(1_000_000_000).saturating_add(fraction)).unwrap_or(i64::MAX)
        }
        None => 0,
    };
    UnixTime(nanos.saturating_add(UnixTime::from_secs(clock.offset_secs).0))
}
