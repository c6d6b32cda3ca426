//! HMAC with SHA-1, SHA-256, SHA-384 or SHA-512 over the packets of a burst (RFC 2104, RFC 2404, RFC 4868).
//!
//! The blocks of one packet wait for each other, the packets do not: 16 packets (8 with the long hashes) are hashed at
//! the same time, each in a lane of its own. A lane whose packet ends takes the next one, the longest first, so that few
//! lanes idle. It pays from four packets of similar length on, with SHA-256 from seven, with the long hashes from two; below,
//! a general library is faster.
//!
//! Where to read on: `burst` gives the packets to the lanes, `sha1` and `sha2` have the rounds, `word` the way from
//! octets to lanes.

#[cfg(target_arch = "x86_64")]
mod burst;
#[cfg(target_arch = "x86_64")]
mod sha1;
#[cfg(target_arch = "x86_64")]
mod sha2;
#[cfg(target_arch = "x86_64")]
mod word;

/// Names the hash inside the HMAC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hash {
    /// SHA-1: 20 octets.
    Sha1,
    /// SHA-256: 32 octets.
    Sha256,
    /// SHA-384: 48 octets.
    Sha384,
    /// SHA-512: 64 octets.
    Sha512,
}

/// A packet of a burst.
pub struct Packet<'a> {
    /// What the HMAC covers, any number of octets, and behind it the ICV.
    pub octets: &'a mut [u8],
    /// High half of an extended sequence number: hashed behind what is covered, and never sent (RFC 4303 section 2.2.1).
    pub esn_high: Option<u32>,
}

/// A key, worked in, for any number of bursts from any number of threads.
pub struct Key {
    #[cfg(target_arch = "x86_64")]
    keyed: Box<burst::Keyed>,
    #[cfg(not(target_arch = "x86_64"))]
    never: std::convert::Infallible,
}

impl Key {
    /// Works `key` in; `icv_len` is how many octets of the HMAC, from the left, a packet carries.
    ///
    /// `None` for a key longer than a block of the hash (64 octets; 128 of SHA-384 and SHA-512), for an ICV that is not
    /// whole words of the hash (4 octets; 8) or longer than it, and where [`available`](crate::available) is false.
    pub fn new(hash: Hash, key: &[u8], icv_len: usize) -> Option<Self> {
        #[cfg(target_arch = "x86_64")]
        return Some(Self { keyed: burst::Keyed::new(hash, key, icv_len)? });
        #[cfg(not(target_arch = "x86_64"))]
        {
            let _ = (hash, key, icv_len);
            None
        }
    }

    /// Writes the ICV of each packet. A packet that is shorter than the ICV is filled with zeros.
    pub fn sign(&self, packets: &mut [Packet<'_>]) {
        #[cfg(target_arch = "x86_64")]
        self.keyed.sign(packets);
        #[cfg(not(target_arch = "x86_64"))]
        match (self.never, packets) {}
    }

    /// Checks the ICV of each packet in constant time; `ok` says for each whether it was right. A packet that is shorter
    /// than the ICV is refused.
    ///
    /// `ok` is as long as `packets`; of two different lengths the shorter counts.
    pub fn verify(&self, packets: &[Packet<'_>], ok: &mut [bool]) {
        debug_assert_eq!(packets.len(), ok.len(), "each packet has its flag");
        #[cfg(target_arch = "x86_64")]
        self.keyed.verify(packets, ok);
        #[cfg(not(target_arch = "x86_64"))]
        match (self.never, packets, ok) {}
    }
}
