//! AES-GCM with a 16-octet ICV as ESP uses it (RFC 4106 sections 3 to 5).
//!
//! AAD = SPI | sequence number, nonce = salt | IV. Extended sequence numbers, whose AAD has 12 octets, shorter ICVs and
//! AES-192 are not for this module. Keys, powers of the hash key and the loop over the packets stay inside one
//! function.
//!
//! Where to read on: `key` has the key schedule, `pass` the pass over a packet and why it is laid out as it is.

#[cfg(target_arch = "x86_64")]
mod key;
#[cfg(target_arch = "x86_64")]
mod pass;

/// Octets of a packet that are not text: SPI, sequence number and IV before it (16), ICV behind it (16).
pub const OVERHEAD: usize = HEADER + ICV;

/// Longest text of one packet in octets: no IP packet carries more.
pub const MAX_TEXT: usize = 65_535;

/// An AES-128 or AES-256 key with its salt, ready for any number of bursts from any number of threads.
///
/// A packet is one slice: SPI (4 octets), sequence number (4), IV (8), text (0 to [`MAX_TEXT`] octets, any number), ICV
/// (16), at any alignment. Never seal two packets with the same IV under the same key and salt: that gives both texts
/// and the hash key away.
pub struct Key {
    #[cfg(target_arch = "x86_64")]
    schedule: Box<key::Schedule>,
    #[cfg(not(target_arch = "x86_64"))]
    never: std::convert::Infallible,
}

impl Key {
    /// Expands `key` (16 or 32 octets) and keeps `salt`, the first four octets of every nonce (RFC 4106 §4). `None` for
    /// another length, and where [`available`](crate::available) is false.
    pub fn new(key: &[u8], salt: [u8; 4]) -> Option<Self> {
        #[cfg(target_arch = "x86_64")]
        return Some(Self { schedule: key::Schedule::new(key, salt)? });
        #[cfg(not(target_arch = "x86_64"))]
        {
            let _ = (key, salt);
            None
        }
    }

    /// Encrypts the text of each packet in place and writes its ICV. Header and IV are the caller's and stay.
    ///
    /// A slice that is no packet, shorter than [`OVERHEAD`] or longer than it and [`MAX_TEXT`], is filled with zeros,
    /// so that it cannot leave in clear by mistake.
    pub fn seal(&self, packets: &mut [&mut [u8]]) {
        #[cfg(target_arch = "x86_64")]
        self.schedule.seal(packets);
        #[cfg(not(target_arch = "x86_64"))]
        match (self.never, packets) {}
    }

    /// Checks the ICV of each packet in constant time and decrypts its text in place; `ok` says for each packet
    /// whether its ICV was right.
    ///
    /// Check and decryption are one pass over the octets, and the answer is known at its end. The octets of a packet
    /// with `ok` false are unspecified and must not be used; its text has been overwritten, so nothing forged is ever
    /// there as plaintext. A slice that is no packet (see [`seal`](Self::seal)) is refused and left as it is. `ok` is
    /// as long as `packets`; of two different lengths the shorter counts, and what lies beyond it is left as it is.
    pub fn open(&self, packets: &mut [&mut [u8]], ok: &mut [bool]) {
        debug_assert_eq!(packets.len(), ok.len(), "each packet has its flag");
        #[cfg(target_arch = "x86_64")]
        self.schedule.open(packets, ok);
        #[cfg(not(target_arch = "x86_64"))]
        match (self.never, packets, ok) {}
    }
}

/// SPI, sequence number and IV: the octets before the text.
const HEADER: usize = 16;
/// The octets behind the text.
const ICV: usize = 16;
