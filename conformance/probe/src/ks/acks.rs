//! GROUPKEY-PUSH-ACK as it reaches the key server.

use hallmark_crypto::gdoi::{AckLength, ack_hash, ack_key};
use hallmark_crypto::{HashAlg, cbc_decrypt, ct_eq};
use hallmark_wire::gdoi::Sequence;
use hallmark_wire::isakmp::{Identification, PayloadType};

use super::ProbeKs;
use crate::gm::ack_hash_alg;
use crate::group::Kek;
use crate::seen::Seen;
use crate::step::Step;

/// In which form an acknowledgement came.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum AckStyle {
    /// RFC 8263, in clear.
    Standard,
    /// Encrypted: the stand-in for the vendor's own format.
    Vendor,
}

/// One acknowledgement.
#[derive(Clone, Debug)]
pub struct AckSeen {
    /// The message.
    pub seen: Seen,
    /// Its cookie pair.
    pub kek_spi: [u8; 16],
    /// Its form.
    pub style: AckStyle,
    /// Its sequence number.
    pub seq: Option<u32>,
    /// Whose it is.
    pub identity: Option<Identification>,
    /// The reading of L with which its HASH verifies; `None` if it verifies in none.
    pub reading: Option<AckLength>,
    /// The hash with which it verifies, or which was asked for.
    pub hash: HashAlg,
}

impl AckSeen {
    /// Tells whether its HASH verifies in any reading.
    #[must_use]
    pub const fn is_valid(&self) -> bool {
        self.reading.is_some()
    }
}

impl ProbeKs {
    pub(super) fn open_ack(&self, seen: &mut Seen) {
        seen.step = Step::Ack;
        if !seen.protected {
            return;
        }
        let Some(kek) = self.kek_of(&seen.header.cookies()) else {
            seen.flaw = Some("no such KEK".to_owned());
            return;
        };
        let mut plain = seen.body_octets().to_vec();
        match cbc_decrypt(kek.cipher, kek.key.expose(), &kek.iv, &mut plain) {
            Ok(()) => seen.open(plain),
            Err(error) => seen.flaw = Some(error.to_string()),
        }
    }

    pub(super) fn on_ack(&mut self, seen: &Seen) {
        let kek_spi = seen.header.cookies();
        let style = if seen.protected { AckStyle::Vendor } else { AckStyle::Standard };
        let covered = seen.after(PayloadType::HASH);
        let received = seen.body(PayloadType::HASH).unwrap_or_default();
        let kek = self.kek_of(&kek_spi);
        let asked = match style {
            AckStyle::Standard => ack_hash_alg(kek.and_then(|kek| kek.ack)),
            AckStyle::Vendor => HashAlg::Sha256,
        };
        let reading = kek.and_then(|kek| {
            let leaf = self.leaf(kek).filter(|_| style == AckStyle::Standard && matches!(kek.ack, Some(2 | 4)));
            let base = leaf.unwrap_or_else(|| kek.key.expose().to_vec());
            AckLength::ALL.into_iter().find(|&length| {
                let key = ack_key(asked, &base, &kek_spi, length);
                ct_eq(received, &ack_hash(asked, key.expose(), &covered))
            })
        });
        self.log.acks.push(AckSeen {
            kek_spi,
            style,
            seq: seen.body(PayloadType::SEQ).and_then(|body| Sequence::decode(body).ok()).map(|seq| seq.0),
            identity: seen.identification(),
            reading,
            hash: asked,
            seen: Seen { authentic: Some(reading.is_some()), ..seen.clone() },
        });
        if let Some(logged) = self.log.entries.last_mut() {
            logged.authentic = Some(reading.is_some());
        }
    }

    fn kek_of(&self, spi: &[u8; 16]) -> Option<&Kek> {
        self.script.group.kek.iter().chain(&self.old_keks).find(|kek| kek.spi == *spi)
    }

    /// Gives the leaf key of the LKH path, without its IV.
    fn leaf(&self, kek: &Kek) -> Option<Vec<u8>> {
        let leaf = self.script.group.lkh.as_ref()?.first()?;
        leaf.data.get(kek.cipher.block_len()..).map(<[u8]>::to_vec)
    }
}
