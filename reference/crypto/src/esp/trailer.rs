//! The ESP trailer: padding, Pad Length, Next Header (RFC 4303 section 2.4 to 2.6).

use hallmark_core::Code;
use thiserror::Error;

use super::transform::TRAILER_LEN;

/// Names why a decrypted trailer is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum TrailerError {
    /// Pad Length says more octets than there are.
    #[error("pad length is larger than the plaintext")]
    PadLength,
    /// The padding is not 1, 2, 3 and so on.
    #[error("padding octets are not 1, 2, 3 and so on")]
    PadOctets,
}

impl TrailerError {
    /// Gives the stable rejection code.
    #[must_use]
    pub const fn code(&self) -> Code {
        Code(match self {
            Self::PadLength => "esp.bad-pad-length",
            Self::PadOctets => "esp.bad-pad-octets",
        })
    }
}

/// Fills `out` with a trailer: `out.len() - 2` octets of padding (at most 255), Pad Length, Next Header.
#[inline]
pub fn write(out: &mut [u8], next_header: u8) {
    debug_assert!((2..=257).contains(&out.len()), "a trailer has 2 to 257 octets");
    let Some((padding, [pad_length, last])) = out.split_last_chunk_mut() else { return };
    // REQ ESP-008
    let mut pad = 0;
    for octet in padding {
        pad += 1;
        *octet = pad;
    }
    *pad_length = pad;
    *last = next_header;
}

/// Gives the least padding that makes a payload and its trailer a multiple of `align` octets, a power of two.
#[must_use]
#[inline(always)]
pub const fn pad_len(payload_len: usize, align: usize) -> usize {
    // It is asked for each packet: no division.
    payload_len.wrapping_add(TRAILER_LEN).wrapping_neg() & (align - 1)
}

/// Gives a trailer with at most three octets of padding and zeros behind it, as [`write`] would fill it in, for callers
/// who have room for more than the trailer and know that it is short.
#[must_use]
#[inline(always)]
pub const fn short(pad: usize, next_header: u8) -> [u8; 8] {
    debug_assert!(pad <= 3, "a trailer of AES-GCM has at most three octets of padding");
    /// Padding and Pad Length, the first octet on the right.
    const PADDED: [u64; 4] = [0x00, 0x0101, 0x02_0201, 0x0303_0201];
    let pad = pad & 3;
    (PADDED[pad] | (next_header as u64) << (8 * (pad + 1))).to_le_bytes()
}

/// Takes the trailer off a plaintext: gives the length of the payload (with any TFC padding) and the Next Header.
///
/// # Errors
/// Refuses a Pad Length that overruns the plaintext and, when `check_pattern` is set, any other padding than the
/// default one.
#[inline]
pub fn parse(plaintext: &[u8], check_pattern: bool) -> Result<(usize, u8), TrailerError> {
    let Some((body, [pad_length, next_header])) = plaintext.split_last_chunk() else {
        return Err(TrailerError::PadLength);
    };
    // REQ ESP-009 REQ ESP-011
    let Some(payload_len) = body.len().checked_sub(usize::from(*pad_length)) else {
        return Err(TrailerError::PadLength);
    };
    // REQ ESP-010
    let padding = body.iter().skip(payload_len);
    if check_pattern && padding.zip(1..=u8::MAX).any(|(have, want)| *have != want) {
        return Err(TrailerError::PadOctets);
    }
    Ok((payload_len, *next_header))
}

/// Reads the trailer of a plaintext with at most three octets of padding: gives their number and the Next Header;
/// nothing for plaintexts with more or with a trailer that [`parse`] refuses.
#[must_use]
#[inline(always)]
pub fn parse_short(plaintext: &[u8], check_pattern: bool) -> Option<(usize, u8)> {
    let last = u64::from_be_bytes(*plaintext.last_chunk()?);
    let (pad, next_header) = (last >> 8 & 0xff, last as u8);
    // From the right: Next Header, Pad Length, and as many octets of padding as that says.
    let padding = last >> 16 & ((1 << (8 * (pad & 3))) - 1);
    let pattern = [0, 0x01, 0x0102, 0x01_0203][pad as usize & 3];
    (pad <= 3 && (padding == pattern || !check_pattern)).then_some((pad as usize, next_header))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_for_every_pad_length() {
        for pad in 0..=255usize {
            let mut plaintext = vec![0xee; 7 + pad + 2];
            write(&mut plaintext[7..], 41);
            assert_eq!(parse(&plaintext, true), Ok((7, 41)), "pad {pad}");
            assert_eq!(usize::from(plaintext[7 + pad]), pad);
        }
    }

    #[test]
    fn a_short_trailer_is_what_is_written() {
        for payload_len in 0..8 {
            let pad = pad_len(payload_len, 4);
            assert_eq!((payload_len + pad + 2) % 4, 0);
            let mut written = [0; 8];
            write(&mut written[..pad + 2], 99);
            assert_eq!(short(pad, 99), written, "pad {pad}");
        }
    }

    #[test]
    fn a_short_trailer_is_read_as_any_other() {
        for pad in 0..=4 {
            for wrong in 0..=pad {
                let mut plaintext = vec![0xee; 8 + pad + 2];
                write(&mut plaintext[8..], 41);
                if wrong > 0 {
                    plaintext[8 + wrong - 1] ^= 1;
                }
                for checks in [true, false] {
                    let parsed = parse(&plaintext, checks).ok().map(|(len, next)| (8 + pad - len, next));
                    assert_eq!(parse_short(&plaintext, checks), parsed.filter(|_| pad < 4), "{pad} {wrong} {checks}");
                }
            }
        }
        assert_eq!(parse_short(&[1; 7], true), None);
    }

    #[test]
    fn a_pad_length_beyond_the_plaintext_is_refused() {
        assert_eq!(parse(&[1, 2, 3, 4], true), Err(TrailerError::PadLength));
        assert_eq!(parse(&[1, 2, 2, 4], true), Ok((0, 4)));
        assert_eq!(parse(&[], true), Err(TrailerError::PadLength));
        assert_eq!(parse(&[4], true), Err(TrailerError::PadLength));
        assert_eq!(parse(&[0, 4], true), Ok((0, 4)));
    }

    #[test]
    fn odd_padding_is_refused_only_when_it_is_looked_at() {
        assert_eq!(parse(&[9, 1, 3, 2, 4], true), Err(TrailerError::PadOctets));
        assert_eq!(parse(&[9, 1, 3, 2, 4], false), Ok((1, 4)));
    }
}
