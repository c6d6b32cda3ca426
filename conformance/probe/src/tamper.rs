//! Making a message wrong, at the stage where it is to be wrong.
//!
//! A message is built as a [`RawMessage`] and then passes these stages; a [`Tamper`] may reach into each of them:
//!
//! 1. `content`: before HASH or SIG is computed. What is changed here is still authentic: wrong content, right crypto.
//! 2. `hashed`: the input of HASH or SIG itself ([`HashInput`]): wrong coverage, wrong nonces, wrong prefix.
//! 3. `sealed`: after HASH or SIG, before encryption. What is changed here breaks authenticity, but still decrypts.
//! 4. encryption: another key or IV, other padding, or none at all (`in_clear`).
//! 5. `wire`: the octets of the datagram.
//!
//! The helpers in [`crate::edit`] are made for the `content` and `sealed` stages, those in [`octets`] for `wire`.

use std::fmt;
use std::rc::Rc;

use hallmark_crypto::{HashAlg, SigningKey};
use hallmark_wire::raw::RawMessage;

type MessageEdit = Rc<dyn Fn(&mut RawMessage)>;
type InputEdit = Rc<dyn Fn(&mut HashInput)>;
type OctetsEdit = Rc<dyn Fn(&mut Vec<u8>)>;
type BlockForge = Rc<dyn Fn(&[u8], usize) -> Vec<u8>>;

/// Says how one message is made wrong; the default leaves it right.
///
/// ```ignore
/// Tamper::sealed(|message| edit::body(message, PayloadType::HASH, |hash| hash[0] ^= 1))
/// ```
#[derive(Clone, Default)]
pub struct Tamper {
    content: Vec<MessageEdit>,
    hashed: Vec<InputEdit>,
    sealed: Vec<MessageEdit>,
    wire: Vec<OctetsEdit>,
    in_clear: bool,
    key: Option<Vec<u8>>,
    iv: Option<Vec<u8>>,
    padding: Option<Vec<u8>>,
    pub(crate) signing: Signing,
}

/// Deviations of a signature.
#[derive(Clone, Default)]
pub(crate) struct Signing {
    pub(crate) key: Option<Rc<SigningKey>>,
    pub(crate) hash: Option<HashAlg>,
    pub(crate) bare: bool,
    pub(crate) header: SignedHeader,
    pub(crate) block: Option<BlockForge>,
}

/// Says which form of the header a PUSH signature covers.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum SignedHeader {
    /// With the unpadded length, as the standard is read.
    #[default]
    Unpadded,
    /// With the length that is on the wire.
    Wire,
}

impl Tamper {
    /// Leaves the message as it is.
    #[must_use]
    pub fn none() -> Self {
        Self::default()
    }

    /// Changes the message before it is authenticated.
    #[must_use]
    pub fn content(edit: impl Fn(&mut RawMessage) + 'static) -> Self {
        Self::none().and_content(edit)
    }

    /// Changes what HASH or SIG is computed over.
    #[must_use]
    pub fn hashed(edit: impl Fn(&mut HashInput) + 'static) -> Self {
        Self::none().and_hashed(edit)
    }

    /// Changes the message after it is authenticated, before it is encrypted.
    #[must_use]
    pub fn sealed(edit: impl Fn(&mut RawMessage) + 'static) -> Self {
        Self::none().and_sealed(edit)
    }

    /// Changes the finished datagram.
    #[must_use]
    pub fn wire(edit: impl Fn(&mut Vec<u8>) + 'static) -> Self {
        Self::none().and_wire(edit)
    }

    /// Adds a change at the content stage.
    #[must_use]
    pub fn and_content(mut self, edit: impl Fn(&mut RawMessage) + 'static) -> Self {
        self.content.push(Rc::new(edit));
        self
    }

    /// Adds a change of the authenticated input.
    #[must_use]
    pub fn and_hashed(mut self, edit: impl Fn(&mut HashInput) + 'static) -> Self {
        self.hashed.push(Rc::new(edit));
        self
    }

    /// Adds a change at the sealed stage.
    #[must_use]
    pub fn and_sealed(mut self, edit: impl Fn(&mut RawMessage) + 'static) -> Self {
        self.sealed.push(Rc::new(edit));
        self
    }

    /// Adds a change of the finished datagram.
    #[must_use]
    pub fn and_wire(mut self, edit: impl Fn(&mut Vec<u8>) + 'static) -> Self {
        self.wire.push(Rc::new(edit));
        self
    }

    /// Sends the message unencrypted, with the E flag clear.
    #[must_use]
    pub fn in_clear(mut self) -> Self {
        self.in_clear = true;
        self
    }

    /// Encrypts with another key.
    #[must_use]
    pub fn encrypt_with_key(mut self, key: Vec<u8>) -> Self {
        self.key = Some(key);
        self
    }

    /// Encrypts with another IV.
    #[must_use]
    pub fn encrypt_with_iv(mut self, iv: Vec<u8>) -> Self {
        self.iv = Some(iv);
        self
    }

    /// Appends these octets before the zero padding: padding that is not zero, or is too long.
    #[must_use]
    pub fn pad_with(mut self, octets: Vec<u8>) -> Self {
        self.padding = Some(octets);
        self
    }

    /// Signs with another key (PUSH, and phase 1 with signatures).
    #[must_use]
    pub fn sign_with(mut self, key: Rc<SigningKey>) -> Self {
        self.signing.key = Some(key);
        self
    }

    /// Signs with another hash than announced (PUSH).
    #[must_use]
    pub const fn sign_hash(mut self, hash: HashAlg) -> Self {
        self.signing.hash = Some(hash);
        self
    }

    /// Signs the bare digest without DigestInfo (PUSH).
    #[must_use]
    pub const fn sign_bare(mut self) -> Self {
        self.signing.bare = true;
        self
    }

    /// Signs over the other reading of the header (PUSH).
    #[must_use]
    pub const fn sign_header(mut self, header: SignedHeader) -> Self {
        self.signing.header = header;
        self
    }

    /// Runs the RSA private operation over a block that the case composes from the digest and the modulus length in
    /// octets (see [`rsa_block`]).
    #[must_use]
    pub fn sign_block(mut self, block: impl Fn(&[u8], usize) -> Vec<u8> + 'static) -> Self {
        self.signing.block = Some(Rc::new(block));
        self
    }

    /// Tells whether the message leaves as it should.
    #[must_use]
    pub fn is_none(&self) -> bool {
        self.content.is_empty()
            && self.hashed.is_empty()
            && self.sealed.is_empty()
            && self.wire.is_empty()
            && !self.in_clear
            && self.key.is_none()
            && self.iv.is_none()
            && self.padding.is_none()
            && self.signing.key.is_none()
            && self.signing.hash.is_none()
            && !self.signing.bare
            && self.signing.header == SignedHeader::Unpadded
            && self.signing.block.is_none()
    }

    pub(crate) fn apply_content(&self, message: &mut RawMessage) {
        self.content.iter().for_each(|edit| edit(message));
    }

    pub(crate) fn apply_hashed(&self, input: &mut HashInput) {
        self.hashed.iter().for_each(|edit| edit(input));
    }

    pub(crate) fn apply_sealed(&self, message: &mut RawMessage) {
        self.sealed.iter().for_each(|edit| edit(message));
    }

    pub(crate) fn apply_wire(&self, datagram: &mut Vec<u8>) {
        self.wire.iter().for_each(|edit| edit(datagram));
    }

    pub(crate) const fn is_in_clear(&self) -> bool {
        self.in_clear
    }

    pub(crate) fn key(&self) -> Option<&[u8]> {
        self.key.as_deref()
    }

    pub(crate) fn iv(&self) -> Option<&[u8]> {
        self.iv.as_deref()
    }

    pub(crate) fn padding(&self) -> Option<&[u8]> {
        self.padding.as_deref()
    }
}

impl fmt::Debug for Tamper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tamper")
            .field("content", &self.content.len())
            .field("hashed", &self.hashed.len())
            .field("sealed", &self.sealed.len())
            .field("wire", &self.wire.len())
            .finish_non_exhaustive()
    }
}

/// What a HASH or SIG is computed over, part by part in order.
///
/// | message | parts |
/// |---|---|
/// | PULL 1, Informational | `mid`, `rest` |
/// | PULL 2 | `mid`, `ni_b`, `rest` |
/// | PULL 3, 4 | `mid`, `ni_b`, `nr_b`, `rest` |
/// | HASH_I | `g_xi`, `g_xr`, `cky_i`, `cky_r`, `sai_b`, `id_b` |
/// | HASH_R | `g_xr`, `g_xi`, `cky_r`, `cky_i`, `sai_b`, `id_b` |
/// | PUSH | `rekey`, `header`, `payloads` |
/// | PUSH-ACK | `rest` |
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct HashInput {
    parts: Vec<(&'static str, Vec<u8>)>,
}

impl HashInput {
    pub(crate) fn new(parts: &[(&'static str, &[u8])]) -> Self {
        Self { parts: parts.iter().map(|(name, octets)| (*name, octets.to_vec())).collect() }
    }

    /// Lends one part for changing.
    pub fn part(&mut self, name: &str) -> Option<&mut Vec<u8>> {
        self.parts.iter_mut().find(|(part, _)| *part == name).map(|(_, octets)| octets)
    }

    /// Replaces one part.
    pub fn set(&mut self, name: &str, octets: Vec<u8>) {
        if let Some(part) = self.part(name) {
            *part = octets;
        }
    }

    /// Leaves one part out.
    pub fn remove(&mut self, name: &str) {
        self.parts.retain(|(part, _)| *part != name);
    }

    /// Exchanges the contents of two parts.
    pub fn swap(&mut self, a: &str, b: &str) {
        let (Some(first), Some(second)) = (self.part(a).cloned(), self.part(b).cloned()) else { return };
        self.set(a, second);
        self.set(b, first);
    }

    /// Puts octets in front of everything.
    pub fn prepend(&mut self, octets: Vec<u8>) {
        self.parts.insert(0, ("prepended", octets));
    }

    /// Puts octets behind everything.
    pub fn append(&mut self, octets: Vec<u8>) {
        self.parts.push(("appended", octets));
    }

    pub(crate) fn slices(&self) -> Vec<&[u8]> {
        self.parts.iter().map(|(_, octets)| octets.as_slice()).collect()
    }
}

/// Changes to finished datagrams, for the `wire` stage.
pub mod octets {
    /// Flips one bit.
    pub fn flip_bit(datagram: &mut [u8], octet: usize, bit: u8) {
        if let Some(octet) = datagram.get_mut(octet) {
            *octet ^= 1 << (bit & 7);
        }
    }

    /// Overwrites octets from an offset on, as far as the datagram reaches.
    pub fn put(datagram: &mut [u8], offset: usize, octets: &[u8]) {
        for (target, octet) in datagram.iter_mut().skip(offset).zip(octets) {
            *target = *octet;
        }
    }

    /// Sets the Length of the header.
    pub fn set_length(datagram: &mut [u8], length: u32) {
        put(datagram, 24, &length.to_be_bytes());
    }

    /// Makes the Length of the header equal to the size of the datagram.
    pub fn fix_length(datagram: &mut [u8]) {
        set_length(datagram, u32::try_from(datagram.len()).unwrap_or(u32::MAX));
    }

    /// Cuts or zero-extends the datagram, leaving the Length as it is.
    pub fn resize(datagram: &mut Vec<u8>, len: usize) {
        datagram.resize(len, 0);
    }

    /// Cuts or zero-extends the datagram and corrects the Length.
    pub fn resize_and_fix(datagram: &mut Vec<u8>, len: usize) {
        resize(datagram, len);
        fix_length(datagram);
    }

    /// Sets the initiator cookie.
    pub fn set_initiator_cookie(datagram: &mut [u8], cookie: [u8; 8]) {
        put(datagram, 0, &cookie);
    }

    /// Sets the responder cookie.
    pub fn set_responder_cookie(datagram: &mut [u8], cookie: [u8; 8]) {
        put(datagram, 8, &cookie);
    }

    /// Exchanges the two cookies.
    pub fn swap_cookies(datagram: &mut [u8]) {
        let Some(cookies) = datagram.get_mut(..16) else { return };
        let (initiator, responder) = cookies.split_at_mut(8);
        initiator.swap_with_slice(responder);
    }

    /// Sets the Next Payload of the header.
    pub fn set_next_payload(datagram: &mut [u8], next: u8) {
        put(datagram, 16, &[next]);
    }

    /// Sets the version octet.
    pub fn set_version(datagram: &mut [u8], version: u8) {
        put(datagram, 17, &[version]);
    }

    /// Sets the exchange type.
    pub fn set_exchange(datagram: &mut [u8], exchange: u8) {
        put(datagram, 18, &[exchange]);
    }

    /// Sets the flags.
    pub fn set_flags(datagram: &mut [u8], flags: u8) {
        put(datagram, 19, &[flags]);
    }

    /// Sets the message id.
    pub fn set_message_id(datagram: &mut [u8], message_id: u32) {
        put(datagram, 20, &message_id.to_be_bytes());
    }
}

/// RSA blocks that a careless verifier takes for a signature, for [`Tamper::sign_block`].
pub mod rsa_block {
    use hallmark_crypto::HashAlg;

    /// Gives the DER DigestInfo prefix of a hash.
    #[must_use]
    pub const fn digest_info(hash: HashAlg) -> &'static [u8] {
        match hash {
            HashAlg::Md5 => &[48, 32, 48, 12, 6, 8, 42, 134, 72, 134, 247, 13, 2, 5, 5, 0, 4, 16],
            HashAlg::Sha1 => &[48, 33, 48, 9, 6, 5, 43, 14, 3, 2, 26, 5, 0, 4, 20],
            HashAlg::Sha256 => &[48, 49, 48, 13, 6, 9, 96, 134, 72, 1, 101, 3, 4, 2, 1, 5, 0, 4, 32],
            HashAlg::Sha384 => &[48, 65, 48, 13, 6, 9, 96, 134, 72, 1, 101, 3, 4, 2, 2, 5, 0, 4, 48],
            HashAlg::Sha512 => &[48, 81, 48, 13, 6, 9, 96, 134, 72, 1, 101, 3, 4, 2, 3, 5, 0, 4, 64],
        }
    }

    /// Composes `00 01 FF..FF 00 DigestInfo digest garbage` with only eight FF octets: the low-exponent forgery.
    #[must_use]
    pub fn short_padding(hash: HashAlg, digest: &[u8], modulus_len: usize) -> Vec<u8> {
        let mut block = vec![0, 1];
        block.extend([0xff; 8]);
        block.push(0);
        block.extend(digest_info(hash));
        block.extend(digest);
        block.resize(modulus_len, 0xaa);
        block
    }

    /// Composes a block of type 2 (random padding as for encryption; here fixed octets).
    #[must_use]
    pub fn type_two(hash: HashAlg, digest: &[u8], modulus_len: usize) -> Vec<u8> {
        let tail: Vec<u8> = digest_info(hash).iter().chain(digest).copied().collect();
        let mut block = vec![0, 2];
        block.resize(modulus_len.saturating_sub(tail.len() + 1), 0x5a);
        block.push(0);
        block.extend(tail);
        block
    }

    /// Composes `00 01 FF..FF 00 digest` with octets left over behind the digest.
    #[must_use]
    pub fn trailing(digest: &[u8], garbage: usize, modulus_len: usize) -> Vec<u8> {
        let mut block = vec![0, 1];
        block.resize(modulus_len.saturating_sub(digest.len() + garbage + 1), 0xff);
        block.push(0);
        block.extend(digest);
        block.resize(modulus_len, 0xaa);
        block
    }
}
