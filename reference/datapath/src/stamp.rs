//! Time inside the protection: the reference's form of time-based anti-replay (TBAR-R) and IP-D3P.

/// Octets of either stamp.
pub const STAMP_LEN: usize = 12;
/// ESP next header of a TBAR-R stamp.
pub const TBAR_NEXT_HEADER: u8 = 99;
