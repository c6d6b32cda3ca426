//! Which code does the work.

use std::fmt;

/// Names an implementation of the ciphers. All give the same octets; they differ in speed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum Backend {
    /// The fastest that the processor and the transform allow.
    #[default]
    Auto,
    /// RustCrypto: every transform, on every processor.
    Portable,
    /// ring: AES-GCM with an ICV of 16 octets and keys of 128 or 256 bits.
    Ring,
    /// The kernels for bursts of `hallmark-simd`, on processors with wide vectors: the same transforms as ring, and of
    /// the others AES-CBC and HMAC with every hash but MD5.
    Batch,
}

impl Backend {
    /// Every choice, the automatic one first.
    pub const ALL: [Self; 4] = [Self::Auto, Self::Portable, Self::Ring, Self::Batch];

    /// Gives the implementations that run on this processor, slowest first.
    #[must_use]
    pub fn available() -> Vec<Self> {
        let mut backends = vec![Self::Portable, Self::Ring];
        if hallmark_simd::available() {
            backends.push(Self::Batch);
        }
        backends
    }

    /// Gives the name that configuration files and status use.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Portable => "portable",
            Self::Ring => "ring",
            Self::Batch => "batch",
        }
    }

    /// Finds a choice by its name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|backend| backend.name() == name)
    }
}

impl fmt::Display for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
