//! Everything random: cookies, nonces, Diffie-Hellman keys, message ids. One stream for each purpose.

use std::net::{IpAddr, SocketAddr};

use hallmark_core::{Now, Rng};
use hallmark_crypto::{DhKey, Group, HashAlg, prf};
use hallmark_wire::isakmp::Cookie;

use crate::behaviour::{Behaviour, Defect, Variant};

/// Draws for one endpoint.
pub(super) struct Draws {
    secret: [u8; 32],
    counter: u64,
    nonces: Rng,
    dh: Rng,
    ids: Rng,
    pub(super) signing: Rng,
    pub(super) padding: Rng,
    constant: Rng,
    #[cfg(test)]
    pub(super) fixed: Fixed,
}

/// Values that a test hands in, to replay a recorded exchange.
#[cfg(test)]
#[derive(Default)]
pub(super) struct Fixed {
    pub(super) cookie: Option<Cookie>,
    pub(super) nonce: Option<Vec<u8>>,
    pub(super) dh: Option<Vec<u8>>,
    pub(super) message_id: Option<u32>,
    pub(super) dpd: Option<u32>,
}

impl Draws {
    pub(super) fn new(rng: &Rng, now: Now) -> Self {
        Self {
            secret: rng.fork("ike cookies").octets(),
            counter: now.wall.0.cast_unsigned(),
            nonces: rng.fork("ike nonces"),
            dh: rng.fork("ike dh"),
            ids: rng.fork("ike message ids"),
            signing: rng.fork("ike signatures"),
            padding: rng.fork("ike padding"),
            constant: rng.fork("ike constants"),
            #[cfg(test)]
            fixed: Fixed::default(),
        }
    }

    /// Makes a cookie: a keyed hash over both ends, the time and a counter (section 1.10).
    pub(super) fn cookie(&mut self, now: Now, local: SocketAddr, peer: SocketAddr, behaviour: &Behaviour) -> Cookie {
        #[cfg(test)]
        if let Some(cookie) = self.fixed.cookie {
            return cookie;
        }
        self.counter = self.counter.wrapping_add(1);
        // REQ IKE-CKY-006
        let (time, counter) =
            if behaviour.has(Defect::IkeCookieConstant) { (0, 0) } else { (now.mono.0, self.counter) };
        // REQ IKE-CKY-007
        if behaviour.has(Defect::IkeCookieCounter) {
            return (self.counter | 1 << 62).to_be_bytes();
        }
        let (ours, theirs) = (ip_octets(local.ip()), ip_octets(peer.ip()));
        loop {
            let digest = prf(
                HashAlg::Sha256,
                &self.secret,
                &[
                    &ours,
                    &local.port().to_be_bytes(),
                    &theirs,
                    &peer.port().to_be_bytes(),
                    &time.to_be_bytes(),
                    &counter.to_be_bytes(),
                ],
            );
            let cookie: Cookie = digest.first_chunk().copied().unwrap_or([1; 8]);
            // REQ IKE-CKY-001
            if cookie != [0; 8] {
                return cookie;
            }
            self.secret = self.ids.octets();
        }
    }

    /// Draws a nonce.
    pub(super) fn nonce(&mut self, behaviour: &Behaviour) -> Vec<u8> {
        #[cfg(test)]
        if let Some(nonce) = &self.fixed.nonce {
            return nonce.clone();
        }
        // REQ IKE-MM-007
        let len = if behaviour.has(Defect::IkeEmitsShortNonce) {
            4
        } else if behaviour.varies(Variant::IkeNonce8) {
            8
        } else if behaviour.varies(Variant::IkeNonce64) {
            64
        } else {
            32
        };
        // REQ IKE-MM-016
        if behaviour.has(Defect::IkeNonceReused) { self.constant.fork("nonce").vec(len) } else { self.nonces.vec(len) }
    }

    /// Draws a Diffie-Hellman key.
    pub(super) fn dh(&mut self, group: Group, behaviour: &Behaviour) -> DhKey {
        #[cfg(test)]
        if let Some(key) = self.fixed.dh.as_ref().and_then(|private| DhKey::from_private(group, private).ok()) {
            return key;
        }
        if behaviour.has(Defect::IkeDhValueReused) {
            return DhKey::generate(group, &mut self.constant.fork("dh"));
        }
        DhKey::generate(group, &mut self.dh)
    }

    /// Draws a message id that is not 0 and not used.
    pub(super) fn message_id(&mut self, used: impl Fn(u32) -> bool) -> u32 {
        #[cfg(test)]
        if let Some(id) = self.fixed.message_id {
            return id;
        }
        loop {
            let id = self.ids.next_u32();
            if id != 0 && !used(id) {
                return id;
            }
        }
    }

    /// Gives the one message id of the defect that reuses it.
    pub(super) fn constant_message_id(&self) -> u32 {
        self.constant.fork("message id").next_u32() | 1
    }

    /// Draws the first DPD sequence number: high bit 0 (IKE-DPD-005).
    pub(super) fn dpd_sequence(&mut self) -> u32 {
        #[cfg(test)]
        if let Some(sequence) = self.fixed.dpd {
            return sequence;
        }
        self.ids.next_u32() >> 1
    }
}

fn ip_octets(ip: IpAddr) -> [u8; 16] {
    match ip {
        IpAddr::V4(ip) => ip.to_ipv6_mapped().octets(),
        IpAddr::V6(ip) => ip.octets(),
    }
}
