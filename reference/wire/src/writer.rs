//! A growing buffer of octets to be sent.

/// Appends big-endian fields and fills in lengths once they are known.
///
/// A length that does not fit its field is written as the largest value: no message of ours gets that long, and a
/// receiver would refuse it.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct Writer {
    octets: Vec<u8>,
}

impl Writer {
    /// Starts empty.
    #[must_use]
    pub const fn new() -> Self {
        Self { octets: Vec::new() }
    }

    /// Gives the number of octets written.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.octets.len()
    }

    /// Tells whether nothing is written.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.octets.is_empty()
    }

    /// Appends one octet.
    pub fn u8(&mut self, value: u8) {
        self.octets.push(value);
    }

    /// Appends a 16-bit number.
    pub fn u16(&mut self, value: u16) {
        self.octets(&value.to_be_bytes());
    }

    /// Appends a 32-bit number.
    pub fn u32(&mut self, value: u32) {
        self.octets(&value.to_be_bytes());
    }

    /// Appends a 64-bit number.
    pub fn u64(&mut self, value: u64) {
        self.octets(&value.to_be_bytes());
    }

    /// Appends octets.
    pub fn octets(&mut self, octets: &[u8]) {
        self.octets.extend_from_slice(octets);
    }

    /// Appends `n` zero octets.
    pub fn zeros(&mut self, n: usize) {
        self.octets.resize(self.octets.len().saturating_add(n), 0);
    }

    /// Appends a 16-bit length that counts itself, `extra` octets before it, and what `content` writes.
    pub fn len_u16(&mut self, extra: usize, content: impl FnOnce(&mut Self)) {
        self.patched_u16(extra.saturating_add(2), content);
    }

    /// Appends a 16-bit length that counts only what `content` writes.
    pub fn counted_u16(&mut self, content: impl FnOnce(&mut Self)) {
        self.patched_u16(0, content);
    }

    /// Gives what was written.
    #[must_use]
    pub fn into_vec(self) -> Vec<u8> {
        self.octets
    }

    fn patched_u16(&mut self, counted: usize, content: impl FnOnce(&mut Self)) {
        let at = self.len();
        self.u16(0);
        let start = self.len();
        content(self);
        let length = self.len().saturating_sub(start).saturating_add(counted);
        let length = u16::try_from(length).unwrap_or(u16::MAX);
        if let Some(field) = self.octets.get_mut(at..start) {
            field.copy_from_slice(&length.to_be_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_count_what_they_are_told_to_count() {
        let mut writer = Writer::new();
        writer.u8(1);
        writer.u8(0);
        writer.len_u16(2, |w| {
            w.u32(0xaabb_ccdd);
            w.counted_u16(|w| w.octets(b"xyz"));
        });
        assert_eq!(writer.into_vec(), [1, 0, 0, 13, 0xaa, 0xbb, 0xcc, 0xdd, 0, 3, b'x', b'y', b'z']);
    }

    #[test]
    fn a_length_that_does_not_fit_is_written_as_the_largest() {
        let mut writer = Writer::new();
        writer.counted_u16(|w| w.zeros(70_000));
        assert_eq!(writer.len(), 70_002);
        assert_eq!(writer.into_vec()[..2], [0xff, 0xff]);
    }
}
