//! Ciphers for bursts of ESP packets in vector instructions (AVX-512, VAES, VPCLMULQDQ).
//!
//! One call takes a whole burst under one key. General libraries spend more time on entering a packet than on its octets
//! when the packets are short; here what belongs to the key stays at hand over the packets, and packets
//! are worked on side by side where the octets of one wait for each other. [`gcm`] is AES-GCM, [`cbc`] AES-CBC, and
//! [`hmac`] what goes with it.
//!
//! The code runs on x86-64 with AVX-512 and nowhere else: [`available`] says whether it does, no key can be made where
//! it does not, and the caller then takes another library.
//!
//! No branch and no address depends on key or text: both depend on lengths, on whether an ICV was right, and on
//! nothing else. A key's memory is overwritten when the key is dropped; copies that the compiler leaves in registers
//! and on the stack are not.

pub mod cbc;
pub mod gcm;
pub mod hmac;

#[cfg(target_arch = "x86_64")]
mod aes;
#[cfg(target_arch = "x86_64")]
mod vector;

/// Tells whether this processor has the instructions that the keys need; the answer does not change while we run.
pub fn available() -> bool {
    #[cfg(target_arch = "x86_64")]
    return vector::detected();
    #[cfg(not(target_arch = "x86_64"))]
    return false;
}
