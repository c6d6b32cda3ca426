//! GROUPKEY-PUSH-ACK.

use hallmark_crypto::HashAlg;
use hallmark_crypto::gdoi::{AckLength, ack_key};
use hallmark_crypto::ike::Cbc;
use hallmark_wire::gdoi::Sequence;
use hallmark_wire::isakmp::{ExchangeType, Identification, PayloadType};

use super::{ProbeGm, Push};
use crate::group::Kek;
use crate::seal;
use crate::step::{Fault, Step};
use crate::tamper::HashInput;
use crate::world::World;

/// Which acknowledgement is sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum AckForm {
    /// RFC 8263, in clear, with this reading of L.
    Standard(AckLength),
    /// The stand-in for the vendor's own format, whose real layout is not public: the same payloads, encrypted under the
    /// newest KEK, with the cookies of that KEK and a HASH keyed from it.
    Vendor,
}

impl Default for AckForm {
    fn default() -> Self {
        Self::Standard(AckLength::PrfBlock)
    }
}

impl ProbeGm {
    /// Acknowledges a PUSH in the standard form, if its KEK asks for acknowledgements; tells whether it did.
    ///
    /// # Errors
    /// When the KEK of the PUSH is unknown.
    pub fn ack(&mut self, world: &mut dyn World, push: &Push) -> Result<bool, Fault> {
        let asked = self.kek(&push.kek_spi).is_some_and(|kek| kek.ack.is_some());
        if asked {
            self.ack_as(world, push, AckForm::default())?;
        }
        Ok(asked)
    }

    /// Acknowledges a PUSH in a chosen form, whether asked to or not. The tamper of [`Step::Ack`] applies.
    ///
    /// # Errors
    /// When the KEK of the PUSH is unknown.
    pub fn ack_as(&mut self, world: &mut dyn World, push: &Push, form: AckForm) -> Result<(), Fault> {
        let seq = push.seq.ok_or_else(|| Fault::tester("the PUSH has no sequence number"))?;
        let kek = self.kek(&push.kek_spi).cloned().ok_or_else(|| Fault::tester("no such KEK"))?;
        let newest = self.current_kek().cloned().unwrap_or_else(|| kek.clone());
        let answer = push.datagram.clone();
        let (src, dst) = (self.script.me, answer.src);
        let octets = self.seal_ack(&kek, &newest, seq, form)?;
        // As a reply: to where the PUSH came from; a multicast destination cannot be a source.
        let src = if answer.dst.ip().is_multicast() { src } else { answer.dst };
        world.note("tester sends GROUPKEY-PUSH-ACK");
        let tampered = !self.tamper_of(Step::Ack).is_none();
        self.sent.push(super::Sent { step: Step::Ack, at: world.now(), octets: octets.clone(), tampered });
        world.send(hallmark_core::Datagram::new(src, dst, octets));
        Ok(())
    }

    fn seal_ack(&mut self, kek: &Kek, newest: &Kek, seq: u32, form: AckForm) -> Result<Vec<u8>, Fault> {
        let tamper = self.tamper_of(Step::Ack);
        let id = Identification::from_ip(self.script.me.ip());
        let alg = if form == AckForm::Vendor { HashAlg::Sha256 } else { ack_hash_alg(kek.ack) };
        let payloads = vec![
            (PayloadType::HASH, vec![0; alg.len()]),
            (PayloadType::SEQ, Sequence(seq).encode_body()),
            (PayloadType::ID, id.encode_body()),
        ];
        let (under, key) = match form {
            AckForm::Standard(length) => {
                let leaf = kek.leaf.as_ref().filter(|_| matches!(kek.ack, Some(2 | 4)));
                (kek, ack_key(alg, leaf.unwrap_or(&kek.key).expose(), &kek.spi, length))
            }
            AckForm::Vendor => {
                (newest, ack_key(HashAlg::Sha256, newest.key.expose(), &newest.spi, AckLength::PrfBlock))
            }
        };
        let protected = form == AckForm::Vendor;
        let message = seal::raw(under.cookies(), ExchangeType::PUSH_ACK, 0, protected, payloads);
        let prove = |message: &mut _| {
            seal::fill_hash(message, alg, key.expose(), &tamper, |rest| HashInput::new(&[("rest", rest)]));
            Ok(())
        };
        let mut cbc = Cbc::new(under.cipher, under.key.clone(), under.iv.clone()).map_err(Fault::tester)?;
        let cipher = protected.then_some(&mut cbc);
        Ok(seal::finish(message, &tamper, prove, cipher).map_err(Fault::tester)?.octets)
    }
}

/// Gives the hash of an acknowledgement type.
pub(crate) const fn ack_hash_alg(ack: Option<u16>) -> HashAlg {
    match ack {
        Some(3 | 4) => HashAlg::Sha512,
        _ => HashAlg::Sha256,
    }
}
