//! The classic capture format: one header, then frames.

use hallmark_core::UnixTime;

use super::{Capture, CapturedPacket, Cursor, Interface};
use crate::error::DecodeError;

/// Byte order and resolution, as the magic number tells them.
#[derive(Clone, Copy)]
pub(super) struct Format {
    big_endian: bool,
    nanos_per_unit: i64,
}

impl Format {
    /// Recognizes the first four octets of a file, read as a big-endian number.
    pub(super) const fn of(magic: u32) -> Option<Self> {
        let (big_endian, nanos_per_unit) = match magic {
            0xa1b2_c3d4 => (true, 1_000),
            0xd4c3_b2a1 => (false, 1_000),
            0xa1b2_3c4d => (true, 1),
            0x4d3c_b2a1 => (false, 1),
            _ => return None,
        };
        Some(Self { big_endian, nanos_per_unit })
    }
}

pub(super) fn read(file: &[u8], format: Format, capture: &mut Capture) -> Result<(), DecodeError> {
    let mut cursor = Cursor::new(file, 0, format.big_endian);
    // Magic, version, time zone, accuracy and snap length: nothing that decides how frames are read.
    cursor.take(20)?;
    // The upper bits tell about frame check sequences.
    let link_type = (cursor.u32()? & 0xffff) as u16;
    capture.interfaces.push(Interface { name: None, link_type });
    while !cursor.octets.is_empty() {
        let secs = i64::from(cursor.u32()?);
        let fraction = i64::from(cursor.u32()?).saturating_mul(format.nanos_per_unit);
        let kept = cursor.u32()? as usize;
        let original_len = cursor.u32()?;
        let octets = cursor.take(kept)?.to_vec();
        let at = UnixTime(UnixTime::from_secs(secs).0.saturating_add(fraction));
        capture.packets.push(CapturedPacket { at, interface: 0, link_type, octets, original_len, comment: None });
    }
    Ok(())
}
