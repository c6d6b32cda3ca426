//! A cursor over received octets.

use crate::error::{DecodeError, Fault, Layer};

/// Reads big-endian fields one after the other and knows where it is, so that errors can say so.
#[derive(Clone, Debug)]
pub struct Reader<'a> {
    octets: &'a [u8],
    layer: Layer,
    base: usize,
    at: usize,
}

impl<'a> Reader<'a> {
    /// Starts at the first octet.
    #[must_use]
    pub const fn new(octets: &'a [u8], layer: Layer) -> Self {
        Self { octets, layer, base: 0, at: 0 }
    }

    /// Starts at the first octet of a part that begins at `base` of the whole.
    #[must_use]
    pub const fn at(octets: &'a [u8], layer: Layer, base: usize) -> Self {
        Self { octets, layer, base, at: 0 }
    }

    /// Gives the position in the whole.
    #[must_use]
    pub const fn offset(&self) -> usize {
        self.base.saturating_add(self.at)
    }

    /// Gives the number of octets that are left.
    #[must_use]
    pub const fn remaining(&self) -> usize {
        self.octets.len().saturating_sub(self.at)
    }

    /// Tells whether nothing is left.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.remaining() == 0
    }

    /// Gives the format that errors name.
    #[must_use]
    pub const fn layer(&self) -> Layer {
        self.layer
    }

    /// Takes the next `n` octets.
    pub fn take(&mut self, n: usize) -> Result<&'a [u8], DecodeError> {
        let end = self.at.saturating_add(n);
        match self.octets.get(self.at..end) {
            Some(taken) => {
                self.at = end;
                Ok(taken)
            }
            None => Err(self.error(Fault::Truncated, n, self.remaining())),
        }
    }

    /// Takes the next `N` octets as an array.
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let offset = self.offset();
        let taken = self.take(N)?;
        taken.try_into().map_err(|_| DecodeError::new(self.layer, Fault::Truncated, offset, N, taken.len()))
    }

    /// Takes one octet.
    pub fn u8(&mut self) -> Result<u8, DecodeError> {
        self.array().map(u8::from_be_bytes)
    }

    /// Takes a 16-bit number.
    pub fn u16(&mut self) -> Result<u16, DecodeError> {
        self.array().map(u16::from_be_bytes)
    }

    /// Takes a 32-bit number.
    pub fn u32(&mut self) -> Result<u32, DecodeError> {
        self.array().map(u32::from_be_bytes)
    }

    /// Takes a 64-bit number.
    pub fn u64(&mut self) -> Result<u64, DecodeError> {
        self.array().map(u64::from_be_bytes)
    }

    /// Takes the next `n` octets as a reader of their own that keeps the position in the whole.
    pub fn sub(&mut self, n: usize, layer: Layer) -> Result<Self, DecodeError> {
        let base = self.offset();
        Ok(Self { octets: self.take(n)?, layer, base, at: 0 })
    }

    /// Takes `n` octets that have to be zero.
    pub fn reserved(&mut self, n: usize) -> Result<(), DecodeError> {
        let offset = self.offset();
        let taken = self.take(n)?;
        match taken.iter().position(|&octet| octet != 0) {
            None => Ok(()),
            Some(at) => {
                let have = taken.get(at).map_or(0, |&octet| usize::from(octet));
                Err(DecodeError::new(self.layer, Fault::Reserved, offset.saturating_add(at), 0, have))
            }
        }
    }

    /// Takes everything that is left.
    pub fn rest(&mut self) -> &'a [u8] {
        let rest = self.octets.get(self.at..).unwrap_or_default();
        self.at = self.octets.len();
        rest
    }

    /// Shows what is left without taking it.
    #[must_use]
    pub fn peek(&self) -> &'a [u8] {
        self.octets.get(self.at..).unwrap_or_default()
    }

    /// Refuses octets that are left over.
    pub const fn finish(&self) -> Result<(), DecodeError> {
        if self.is_empty() { Ok(()) } else { Err(self.error(Fault::Trailing, 0, self.remaining())) }
    }

    /// Makes an error at the current position.
    #[must_use]
    pub const fn error(&self, fault: Fault, need: usize, have: usize) -> DecodeError {
        DecodeError::new(self.layer, fault, self.offset(), need, have)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_come_out_big_endian_and_in_order() {
        let mut reader = Reader::new(&[1, 0, 2, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0, 4, 9, 9], Layer::Udp);
        assert_eq!(reader.u8(), Ok(1));
        assert_eq!(reader.u16(), Ok(2));
        assert_eq!(reader.u32(), Ok(3));
        assert_eq!(reader.u64(), Ok(4));
        assert_eq!(reader.offset(), 15);
        assert_eq!(reader.rest(), [9, 9]);
        assert_eq!(reader.finish(), Ok(()));
    }

    #[test]
    fn a_short_read_names_the_place_and_takes_nothing() {
        let mut reader = Reader::at(&[1, 2, 3], Layer::Sat, 10);
        assert_eq!(reader.u8(), Ok(1));
        let error = reader.u32().unwrap_err();
        assert_eq!((error.code.as_str(), error.offset, error.need, error.have), ("gdoi.sat.truncated", 11, 4, 2));
        assert_eq!(reader.remaining(), 2);
        assert_eq!(reader.finish().unwrap_err().code.as_str(), "gdoi.sat.trailing");
        assert_eq!(reader.take(usize::MAX).unwrap_err().have, 2);
    }

    #[test]
    fn a_sub_reader_ends_where_it_is_told_and_reserved_octets_must_be_zero() {
        let mut reader = Reader::new(&[0, 0, 7, 5, 6], Layer::Kd);
        let mut sub = reader.sub(3, Layer::KeyPacket).unwrap();
        let error = sub.reserved(3).unwrap_err();
        assert_eq!((error.code.as_str(), error.offset, error.have), ("gdoi.key-packet.reserved", 2, 7));
        assert_eq!(reader.u16(), Ok(0x0506));
    }
}
