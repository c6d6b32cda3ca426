//! The MODP groups: generator 2 modulo a safe prime.
//!
//! Powers of the generator come from a table that each group computes once: one multiplication per 4 bits of the
//! private value and no squaring. Powers of a peer's value take the square-and-multiply of `crypto-bigint`, bounded to
//! the real length of the private value. Both run in time that depends on that length only.

use std::sync::OnceLock;

use crypto_bigint::modular::{FixedMontyForm, FixedMontyParams};
use crypto_bigint::{Odd, U768, U1024, U1536, U2048, U3072, U4096, Uint};
use subtle::{ConditionallySelectable, ConstantTimeEq};
use zeroize::Zeroizing;

use crate::dh::Group;
use crate::error::CryptoError;
use crate::secret::Secret;

/// What a MODP group can do, whatever its width.
pub(super) trait ModpGroup: Sync {
    /// Computes 2^private mod p in full width.
    fn public(&self, private: &[u8]) -> Result<Vec<u8>, CryptoError>;
    /// Computes peer^private mod p in full width, after checking the peer's value.
    fn agree(&self, private: &[u8], peer: &[u8]) -> Result<Secret, CryptoError>;
}

/// Finds the arithmetic of a group; nothing for the elliptic curves.
pub(super) fn group(group: Group) -> Option<&'static dyn ModpGroup> {
    macro_rules! fixed {
        ($uint:ident, $prime:expr) => {{
            static CELL: OnceLock<Modp<{ $uint::LIMBS }>> = OnceLock::new();
            Some(CELL.get_or_init(|| Modp::new(&Odd::from_be_hex($prime), group.private_len())))
        }};
    }
    match group {
        Group::Modp768 => fixed!(U768, P768),
        Group::Modp1024 => fixed!(U1024, P1024),
        Group::Modp1536 => fixed!(U1536, P1536),
        Group::Modp2048 => fixed!(U2048, P2048),
        Group::Modp3072 => fixed!(U3072, P3072),
        Group::Modp4096 => fixed!(U4096, P4096),
        Group::Ecp256 | Group::Ecp384 | Group::Ecp521 => None,
    }
}

const WINDOW: usize = 16;

struct Modp<const L: usize> {
    params: FixedMontyParams<L>,
    /// Row i holds 2^(j * 16^i) for j in 0..16, in Montgomery form.
    table: Vec<[Uint<L>; WINDOW]>,
}

impl<const L: usize> Modp<L> {
    fn new(prime: &Odd<Uint<L>>, private_len: usize) -> Self {
        let params = FixedMontyParams::new_vartime(*prime);
        let mut base = FixedMontyForm::new(&Uint::from_u8(2), &params);
        let table = (0..private_len * 2)
            .map(|_| {
                let mut power = FixedMontyForm::one(&params);
                let row = std::array::from_fn(|_| {
                    let entry = power.to_montgomery();
                    power *= &base;
                    entry
                });
                base = power;
                row
            })
            .collect();
        Self { params, table }
    }

    const fn width(&self) -> usize {
        Uint::<L>::BITS as usize / 8
    }

    /// Reads a private value, which must be neither 0 nor wider than the group.
    fn exponent(&self, private: &[u8]) -> Result<Zeroizing<Uint<L>>, CryptoError> {
        if private.len() > self.width() {
            return Err(CryptoError::DhPrivate);
        }
        let mut octets = Zeroizing::new(vec![0; self.width() - private.len()]);
        octets.extend_from_slice(private);
        let exponent = Zeroizing::new(Uint::from_be_slice(&octets));
        if bool::from(ConstantTimeEq::ct_eq(&*exponent, &Uint::ZERO)) {
            return Err(CryptoError::DhPrivate);
        }
        Ok(exponent)
    }

    fn power_of_two(&self, private: &[u8]) -> FixedMontyForm<L> {
        let mut power = FixedMontyForm::one(&self.params);
        let nibbles = private.iter().rev().flat_map(|octet| [octet & 0x0f, octet >> 4]);
        for (nibble, row) in nibbles.zip(&self.table) {
            // Every entry of the row is read, so that the cache does not learn which one was wanted.
            let mut factor = Uint::ZERO;
            for (index, entry) in (0u8..).zip(row) {
                factor.conditional_assign(entry, index.ct_eq(&nibble));
            }
            power *= &FixedMontyForm::from_montgomery(factor, &self.params);
        }
        power
    }
}

impl<const L: usize> ModpGroup for Modp<L> {
    fn public(&self, private: &[u8]) -> Result<Vec<u8>, CryptoError> {
        let exponent = self.exponent(private)?;
        let power = if private.len() * 2 <= self.table.len() {
            self.power_of_two(private)
        } else {
            let base = FixedMontyForm::new(&Uint::from_u8(2), &self.params);
            base.pow_amm_bounded_exp(&exponent, private.len() as u32 * 8)
        };
        Ok(power.retrieve().to_be_bytes().as_slice().to_vec())
    }

    fn agree(&self, private: &[u8], peer: &[u8]) -> Result<Secret, CryptoError> {
        let exponent = self.exponent(private)?;
        if peer.len() != self.width() {
            return Err(CryptoError::DhLength { need: self.width(), have: peer.len() });
        }
        let peer = Uint::from_be_slice(peer);
        let p_minus_1 = self.params.modulus().as_ref().wrapping_sub(&Uint::ONE);
        // REQ IKE-MM-010: 1 < y < p-1 shuts out every element of order 1 and 2, and everything unreduced.
        if peer <= Uint::ONE || peer >= p_minus_1 {
            return Err(CryptoError::DhRange);
        }
        let base = FixedMontyForm::new(&peer, &self.params);
        let shared = base.pow_amm_bounded_exp(&exponent, private.len() as u32 * 8);
        let shared = Zeroizing::new(shared.retrieve());
        if *shared <= Uint::ONE || *shared >= p_minus_1 {
            return Err(CryptoError::DhResult);
        }
        Ok(Secret::from(shared.to_be_bytes().as_slice()))
    }
}

const P768: &str = "\
    ffffffffffffffffc90fdaa22168c234c4c6628b80dc1cd129024e088a67cc74020bbea63b139b22514a08798e3404dd\
    ef9519b3cd3a431b302b0a6df25f14374fe1356d6d51c245e485b576625e7ec6f44c42e9a63a3620ffffffffffffffff";
const P1024: &str = "\
    ffffffffffffffffc90fdaa22168c234c4c6628b80dc1cd129024e088a67cc74020bbea63b139b22514a08798e3404dd\
    ef9519b3cd3a431b302b0a6df25f14374fe1356d6d51c245e485b576625e7ec6f44c42e9a637ed6b0bff5cb6f406b7ed\
    ee386bfb5a899fa5ae9f24117c4b1fe649286651ece65381ffffffffffffffff";
const P1536: &str = "\
    ffffffffffffffffc90fdaa22168c234c4c6628b80dc1cd129024e088a67cc74020bbea63b139b22514a08798e3404dd\
    ef9519b3cd3a431b302b0a6df25f14374fe1356d6d51c245e485b576625e7ec6f44c42e9a637ed6b0bff5cb6f406b7ed\
    ee386bfb5a899fa5ae9f24117c4b1fe649286651ece45b3dc2007cb8a163bf0598da48361c55d39a69163fa8fd24cf5f\
    83655d23dca3ad961c62f356208552bb9ed529077096966d670c354e4abc9804f1746c08ca237327ffffffffffffffff";
const P2048: &str = "\
    ffffffffffffffffc90fdaa22168c234c4c6628b80dc1cd129024e088a67cc74020bbea63b139b22514a08798e3404dd\
    ef9519b3cd3a431b302b0a6df25f14374fe1356d6d51c245e485b576625e7ec6f44c42e9a637ed6b0bff5cb6f406b7ed\
    ee386bfb5a899fa5ae9f24117c4b1fe649286651ece45b3dc2007cb8a163bf0598da48361c55d39a69163fa8fd24cf5f\
    83655d23dca3ad961c62f356208552bb9ed529077096966d670c354e4abc9804f1746c08ca18217c32905e462e36ce3b\
    e39e772c180e86039b2783a2ec07a28fb5c55df06f4c52c9de2bcbf6955817183995497cea956ae515d2261898fa0510\
    15728e5a8aacaa68ffffffffffffffff";
const P3072: &str = "\
    ffffffffffffffffc90fdaa22168c234c4c6628b80dc1cd129024e088a67cc74020bbea63b139b22514a08798e3404dd\
    ef9519b3cd3a431b302b0a6df25f14374fe1356d6d51c245e485b576625e7ec6f44c42e9a637ed6b0bff5cb6f406b7ed\
    ee386bfb5a899fa5ae9f24117c4b1fe649286651ece45b3dc2007cb8a163bf0598da48361c55d39a69163fa8fd24cf5f\
    83655d23dca3ad961c62f356208552bb9ed529077096966d670c354e4abc9804f1746c08ca18217c32905e462e36ce3b\
    e39e772c180e86039b2783a2ec07a28fb5c55df06f4c52c9de2bcbf6955817183995497cea956ae515d2261898fa0510\
    15728e5a8aaac42dad33170d04507a33a85521abdf1cba64ecfb850458dbef0a8aea71575d060c7db3970f85a6e1e4c7\
    abf5ae8cdb0933d71e8c94e04a25619dcee3d2261ad2ee6bf12ffa06d98a0864d87602733ec86a64521f2b18177b200c\
    bbe117577a615d6c770988c0bad946e208e24fa074e5ab3143db5bfce0fd108e4b82d120a93ad2caffffffffffffffff";
const P4096: &str = "\
    ffffffffffffffffc90fdaa22168c234c4c6628b80dc1cd129024e088a67cc74020bbea63b139b22514a08798e3404dd\
    ef9519b3cd3a431b302b0a6df25f14374fe1356d6d51c245e485b576625e7ec6f44c42e9a637ed6b0bff5cb6f406b7ed\
    ee386bfb5a899fa5ae9f24117c4b1fe649286651ece45b3dc2007cb8a163bf0598da48361c55d39a69163fa8fd24cf5f\
    83655d23dca3ad961c62f356208552bb9ed529077096966d670c354e4abc9804f1746c08ca18217c32905e462e36ce3b\
    e39e772c180e86039b2783a2ec07a28fb5c55df06f4c52c9de2bcbf6955817183995497cea956ae515d2261898fa0510\
    15728e5a8aaac42dad33170d04507a33a85521abdf1cba64ecfb850458dbef0a8aea71575d060c7db3970f85a6e1e4c7\
    abf5ae8cdb0933d71e8c94e04a25619dcee3d2261ad2ee6bf12ffa06d98a0864d87602733ec86a64521f2b18177b200c\
    bbe117577a615d6c770988c0bad946e208e24fa074e5ab3143db5bfce0fd108e4b82d120a92108011a723c12a787e6d7\
    88719a10bdba5b2699c327186af4e23c1a946834b6150bda2583e9ca2ad44ce8dbbbc2db04de8ef92e8efc141fbecaa6\
    287c59474e6bc05d99b2964fa090c3a2233ba186515be7ed1f612970cee2d7afb81bdd762170481cd0069127d5b05aa9\
    93b4ea988d8fddc186ffb7dc90a6c08f4df435c934063199ffffffffffffffff";

#[cfg(test)]
mod tests {
    use super::*;

    /// Fermat's test to the base 2, which a mistyped digit does not survive.
    fn is_probable_prime<const L: usize>(number: &Uint<L>) -> bool {
        let params = FixedMontyParams::new_vartime(Odd::new(*number).expect("an odd number"));
        let base = FixedMontyForm::new(&Uint::from_u8(2), &params);
        base.pow_vartime(&number.wrapping_sub(&Uint::ONE)).retrieve() == Uint::ONE
    }

    #[test]
    fn every_modulus_is_a_safe_prime_of_its_width_for_which_2_is_a_square() {
        macro_rules! check {
            ($($uint:ident, $prime:expr);+) => {$(
                let prime: Uint<{ $uint::LIMBS }> = *Odd::<$uint>::from_be_hex($prime).as_ref();
                assert_eq!(prime.bit_width_vartime(), $uint::BITS);
                assert!(is_probable_prime(&prime), "{} bits", $uint::BITS);
                assert!(is_probable_prime(&prime.shr_vartime(1)), "{} bits, half", $uint::BITS);
                // p = 7 modulo 8 makes 2 a square, so that it generates the large subgroup.
                assert_eq!(prime.as_words()[0] & 7, 7);
                assert!(!is_probable_prime(&prime.wrapping_sub(&Uint::from_u8(6))));
            )+};
        }
        check!(U768, P768; U1024, P1024; U1536, P1536; U2048, P2048; U3072, P3072; U4096, P4096);
    }

    #[test]
    fn the_table_and_the_general_power_agree() {
        let modp = Modp::<{ U1024::LIMBS }>::new(&Odd::from_be_hex(P1024), 32);
        let private: [u8; 32] = std::array::from_fn(|i| (i * 37 + 1) as u8);
        let exponent = modp.exponent(&private).expect("fits");
        let base = FixedMontyForm::new(&Uint::from_u8(2), &modp.params);
        assert_eq!(modp.power_of_two(&private).retrieve(), base.pow_vartime(&*exponent).retrieve());
    }
}
