//! AES-CBC over the packets of a burst (RFC 3602), without padding.
//!
//! Encryption has 16 packets side by side, as each block of a packet waits for the one before. Decryption has the
//! blocks of one packet side by side.

#[cfg(target_arch = "x86_64")]
mod pass;

/// An AES key of 128, 192 or 256 bits for any number of bursts from any number of threads.
///
/// A packet is one slice: IV (16 octets) and whole blocks, any number, at any alignment.
pub struct Key {
    #[cfg(target_arch = "x86_64")]
    schedule: Box<pass::Schedule>,
    #[cfg(not(target_arch = "x86_64"))]
    never: std::convert::Infallible,
}

impl Key {
    /// Expands `key` (16, 24 or 32 octets). `None` for another length, and where [`available`](crate::available) is
    /// false.
    pub fn new(key: &[u8]) -> Option<Self> {
        #[cfg(target_arch = "x86_64")]
        return Some(Self { schedule: pass::Schedule::new(key)? });
        #[cfg(not(target_arch = "x86_64"))]
        {
            let _ = key;
            None
        }
    }

    /// Encrypts the blocks of each packet in place; the IV stays. A slice that is no packet is filled with zeros, so
    /// that it cannot leave in clear by mistake.
    pub fn encrypt(&self, packets: &mut [&mut [u8]]) {
        #[cfg(target_arch = "x86_64")]
        self.schedule.encrypt(packets);
        #[cfg(not(target_arch = "x86_64"))]
        match (self.never, packets) {}
    }

    /// Decrypts the blocks of each packet in place; the IV stays. A slice that is no packet is left as it is.
    pub fn decrypt(&self, packets: &mut [&mut [u8]]) {
        #[cfg(target_arch = "x86_64")]
        self.schedule.decrypt(packets);
        #[cfg(not(target_arch = "x86_64"))]
        match (self.never, packets) {}
    }
}
