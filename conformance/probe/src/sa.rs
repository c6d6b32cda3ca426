//! An established phase 1 SA, as either end holds it.

use std::net::SocketAddr;
use std::rc::Rc;

use hallmark_core::Rng;
use hallmark_crypto::ike::{self, Cbc, SkeyIds};
use hallmark_crypto::{CryptoError, DhKey, Group, HashAlg, Secret, SigningKey, cert, ct_eq, prf};
use hallmark_wire::isakmp::{Certificate, CertificateRequest, Cookie, ExchangeType, Identification, PayloadType};
use hallmark_wire::raw::RawMessage;

use crate::seal::{self, Sealed};
use crate::seen::Seen;
use crate::suite::{Auth, PSK, Suite};
use crate::tamper::{HashInput, Tamper};
use crate::world::KeyRecord;

/// How one end of the tester proves who it is.
#[derive(Clone)]
pub struct Credentials {
    /// Pre-shared key.
    pub psk: Vec<u8>,
    /// Phase 1 identity; `None` means the address that it sends from.
    pub identity: Option<Identification>,
    /// Certificates to send, own one first, DER.
    pub chain: Vec<Vec<u8>>,
    /// Key of the own certificate.
    pub key: Option<Rc<SigningKey>>,
    /// Authorities to ask the peer's certificate from, as DER names. With a signature suite and none here, any
    /// authority is asked for.
    pub authorities: Vec<Vec<u8>>,
}

impl Default for Credentials {
    fn default() -> Self {
        Self { psk: PSK.as_bytes().to_vec(), identity: None, chain: Vec::new(), key: None, authorities: Vec::new() }
    }
}

/// Values that are otherwise drawn at random, for vectors and for cases about repeated or weak values.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Fixed {
    /// The own cookie.
    pub cookie: Option<Cookie>,
    /// The own phase 1 nonce.
    pub nonce: Option<Vec<u8>>,
    /// The own private exponent or scalar.
    pub private: Option<Vec<u8>>,
    /// The own PULL nonce.
    pub pull_nonce: Option<Vec<u8>>,
    /// The message id of the next exchange.
    pub message_id: Option<u32>,
}

impl Fixed {
    pub(crate) fn cookie(&self, rng: &mut Rng) -> Cookie {
        self.cookie.unwrap_or_else(|| rng.octets())
    }

    pub(crate) fn nonce(&self, len: usize, rng: &mut Rng) -> Vec<u8> {
        self.nonce.clone().unwrap_or_else(|| rng.vec(len))
    }

    pub(crate) fn pull_nonce(&self, len: usize, rng: &mut Rng) -> Vec<u8> {
        self.pull_nonce.clone().unwrap_or_else(|| rng.vec(len))
    }

    pub(crate) fn message_id(&self, rng: &mut Rng) -> u32 {
        self.message_id.unwrap_or_else(|| rng.next_u32() | 1)
    }

    pub(crate) fn dh(&self, group: Group, rng: &mut Rng) -> Result<DhKey, CryptoError> {
        match &self.private {
            Some(private) => DhKey::from_private(group, private),
            None => Ok(DhKey::generate(group, rng)),
        }
    }
}

/// The values of a phase 1 exchange that its key schedule and its HASHes are made of.
#[derive(Clone, Debug, Default)]
pub(crate) struct Transcript {
    pub(crate) initiator_cookie: Cookie,
    pub(crate) responder_cookie: Cookie,
    pub(crate) sa_i_b: Vec<u8>,
    pub(crate) ni_b: Vec<u8>,
    pub(crate) nr_b: Vec<u8>,
    pub(crate) g_xi: Vec<u8>,
    pub(crate) g_xr: Vec<u8>,
}

/// One phase 1 SA with its keys.
#[derive(Clone, Debug)]
pub struct Sa {
    /// What was agreed.
    pub suite: Suite,
    /// CKY-I.
    pub initiator_cookie: Cookie,
    /// CKY-R.
    pub responder_cookie: Cookie,
    /// SKEYID and what is derived from it.
    pub keys: SkeyIds,
    /// g^xy.
    pub g_xy: Secret,
    /// The cipher key.
    pub key: Secret,
    /// The IV of the first encrypted phase 1 message.
    pub first_iv: Vec<u8>,
    /// The last ciphertext block of phase 1, from which every later exchange derives its IV.
    pub last_block: Vec<u8>,
    /// Who the peer says it is.
    pub peer_identity: Option<Identification>,
    pub(crate) transcript: Transcript,
}

impl Sa {
    /// Runs the key schedule.
    pub(crate) fn derive(suite: Suite, psk: &[u8], transcript: Transcript, g_xy: Secret) -> Self {
        let t = &transcript;
        let skeyid = match suite.auth {
            Auth::Psk => ike::skeyid_psk(suite.hash, psk, &t.ni_b, &t.nr_b),
            _ => ike::skeyid_sig(suite.hash, &t.ni_b, &t.nr_b, g_xy.expose()),
        };
        let keys = ike::skeyids(suite.hash, skeyid, g_xy.expose(), &t.initiator_cookie, &t.responder_cookie);
        let key = ike::cipher_key(suite.hash, suite.cipher, keys.e.expose());
        let first_iv = ike::phase1_iv(suite.hash, suite.cipher, &t.g_xi, &t.g_xr);
        Self {
            suite,
            initiator_cookie: t.initiator_cookie,
            responder_cookie: t.responder_cookie,
            keys,
            g_xy,
            key,
            last_block: first_iv.clone(),
            first_iv,
            peer_identity: None,
            transcript,
        }
    }

    /// Gives both cookies.
    #[must_use]
    pub const fn cookies(&self) -> (Cookie, Cookie) {
        (self.initiator_cookie, self.responder_cookie)
    }

    /// Gives both cookies as the 16 octets that notifications and deletes call the SPI.
    #[must_use]
    pub fn spi(&self) -> [u8; 16] {
        let mut spi = [0; 16];
        spi[..8].copy_from_slice(&self.initiator_cookie);
        spi[8..].copy_from_slice(&self.responder_cookie);
        spi
    }

    /// Starts the IV chain of phase 1.
    pub(crate) fn phase1_cbc(&self) -> Result<Cbc, CryptoError> {
        Cbc::new(self.suite.cipher, self.key.clone(), self.first_iv.clone())
    }

    /// Starts the IV chain of a later exchange.
    ///
    /// # Errors
    /// Only if the SA was changed by hand so that its key does not fit its cipher.
    pub fn cbc(&self, message_id: u32) -> Result<Cbc, CryptoError> {
        let iv = ike::exchange_iv(self.suite.hash, self.suite.cipher, &self.last_block, message_id);
        Cbc::new(self.suite.cipher, self.key.clone(), iv)
    }

    /// Seals an exchange of one message: HASH over the message id and what follows it, own IV.
    pub(crate) fn seal_alone(
        &self,
        exchange: ExchangeType,
        message_id: u32,
        payloads: Vec<(PayloadType, Vec<u8>)>,
        tamper: &Tamper,
    ) -> Result<Sealed, CryptoError> {
        self.seal(exchange, message_id, payloads, &[], tamper, &mut self.cbc(message_id)?)
    }

    /// Seals one message of an exchange: HASH in front over the message id, these nonces and what follows it.
    pub(crate) fn seal(
        &self,
        exchange: ExchangeType,
        message_id: u32,
        payloads: Vec<(PayloadType, Vec<u8>)>,
        nonces: &[(&'static str, &[u8])],
        tamper: &Tamper,
        cbc: &mut Cbc,
    ) -> Result<Sealed, CryptoError> {
        let mut all = vec![(PayloadType::HASH, vec![0; self.suite.hash.len()])];
        all.extend(payloads);
        let message = seal::raw(self.cookies(), exchange, message_id, true, all);
        let authenticate = |message: &mut _| {
            seal::fill_hash(message, self.suite.hash, self.keys.a.expose(), tamper, |rest| {
                hash_input(message_id, nonces, rest)
            });
            Ok(())
        };
        seal::finish(message, tamper, authenticate, Some(cbc))
    }

    /// Decrypts a message with one IV chain and checks its HASH over the message id, these nonces and the rest.
    pub(crate) fn open(&self, seen: &mut Seen, cbc: &Cbc, nonces: &[(&'static str, &[u8])]) {
        if !seen.protected {
            seen.flaw.get_or_insert_with(|| "it is not encrypted".to_owned());
            return;
        }
        match cbc.decrypt(seen.body_octets()) {
            Ok(plain) => seen.open(plain),
            Err(error) => seen.flaw = Some(error.to_string()),
        }
        seen.authentic = seen.body(PayloadType::HASH).map(|hash| {
            let input = hash_input(seen.header.message_id, nonces, &seen.after(PayloadType::HASH));
            ct_eq(hash, &prf(self.suite.hash, self.keys.a.expose(), &input.slices()))
        });
    }

    /// Opens an Informational.
    pub(crate) fn open_informational(&self, seen: &mut Seen) {
        match self.cbc(seen.header.message_id) {
            Ok(cbc) => self.open(seen, &cbc, &[]),
            Err(error) => seen.flaw = Some(error.to_string()),
        }
    }

    /// Gives the input of HASH_I or HASH_R.
    pub(crate) fn identity_hash_input(&self, of_initiator: bool, id_b: &[u8]) -> HashInput {
        let t = &self.transcript;
        let (first, second) = (("g_xi", t.g_xi.as_slice()), ("g_xr", t.g_xr.as_slice()));
        let (cky_i, cky_r) = (("cky_i", t.initiator_cookie.as_slice()), ("cky_r", t.responder_cookie.as_slice()));
        let tail = [("sai_b", t.sa_i_b.as_slice()), ("id_b", id_b)];
        let head = if of_initiator { [first, second, cky_i, cky_r] } else { [second, first, cky_r, cky_i] };
        HashInput::new(&[head.as_slice(), tail.as_slice()].concat())
    }

    /// Computes HASH_I or HASH_R from its input, with the hash that the authentication method wants.
    pub(crate) fn identity_hash(&self, input: &HashInput) -> Vec<u8> {
        let alg = self.suite.auth.signing_hash(self.suite.hash);
        prf(alg, self.keys.skeyid.expose(), &input.slices())
    }

    /// Describes the SA for the evidence.
    #[must_use]
    pub fn record(&self) -> KeyRecord {
        KeyRecord::Ike {
            initiator_cookie: self.initiator_cookie,
            responder_cookie: self.responder_cookie,
            cipher: self.suite.cipher.name().to_owned(),
            hash: self.suite.hash.name().to_owned(),
            group: self.suite.group.name().to_owned(),
            g_xy: self.g_xy.expose().to_vec(),
            skeyid: self.keys.skeyid.expose().to_vec(),
            skeyid_a: self.keys.a.expose().to_vec(),
            skeyid_e: self.keys.e.expose().to_vec(),
            key: self.key.expose().to_vec(),
            iv: self.first_iv.clone(),
        }
    }
}

/// Checks HASH_I/HASH_R or SIG_I/SIG_R of an opened message; `None` if it has no proof to check.
pub(crate) fn check_proof(sa: &Sa, seen: &Seen, of_initiator: bool) -> Option<bool> {
    let id_b = seen.body(PayloadType::ID).unwrap_or_default();
    let expected = sa.identity_hash(&sa.identity_hash_input(of_initiator, id_b));
    if sa.suite.auth == Auth::Psk {
        return seen.body(PayloadType::HASH).map(|hash| ct_eq(hash, &expected));
    }
    let signature = seen.body(PayloadType::SIG)?;
    // The end entity's certificate customarily comes first, but any order is allowed.
    let verifies = |certificate: &Certificate| {
        cert::public_key(&certificate.data).is_ok_and(|key| key.verify_ike(&expected, signature).is_ok())
    };
    Some(seen.certificates().iter().any(verifies))
}

/// Fills in HASH_I/HASH_R or SIG_I/SIG_R.
pub(crate) fn fill_proof(
    message: &mut RawMessage,
    sa: &Sa,
    of_initiator: bool,
    credentials: &Credentials,
    tamper: &Tamper,
    rng: &mut Rng,
) -> Result<(), CryptoError> {
    let id_b = seal::body_of(message, PayloadType::ID).unwrap_or_default();
    let mut input = sa.identity_hash_input(of_initiator, &id_b);
    tamper.apply_hashed(&mut input);
    let value = sa.identity_hash(&input);
    if sa.suite.auth == Auth::Psk {
        seal::fill(message, PayloadType::HASH, value);
        return Ok(());
    }
    let signing = &tamper.signing;
    let Some(key) = signing.key.as_deref().or(credentials.key.as_deref()) else {
        return Err(CryptoError::SigningFailed);
    };
    let signature = match &signing.block {
        Some(block) => key.sign_rsa_block(&block(&value, key.signature_len()))?,
        None => key.sign_ike(&value, rng)?,
    };
    seal::fill(message, PayloadType::SIG, signature);
    Ok(())
}

/// Gives the payloads that prove an identity: ID, certificates, certificate requests and an empty HASH or SIG.
pub(crate) fn proof_payloads(
    auth: Auth,
    credentials: &Credentials,
    own: &Identification,
    ask: bool,
) -> Vec<(PayloadType, Vec<u8>)> {
    let mut payloads = vec![(PayloadType::ID, own.encode_body())];
    if auth == Auth::Psk {
        payloads.push((PayloadType::HASH, Vec::new()));
        return payloads;
    }
    payloads.extend(credentials.chain.iter().map(|der| {
        let certificate = Certificate { encoding: Certificate::X509_SIGNATURE, data: der.clone() };
        (PayloadType::CERT, certificate.encode_body())
    }));
    if ask {
        payloads.extend(requests(auth, credentials));
    }
    payloads.push((PayloadType::SIG, Vec::new()));
    payloads
}

/// Gives the certificate requests that an end sends.
pub(crate) fn requests(auth: Auth, credentials: &Credentials) -> Vec<(PayloadType, Vec<u8>)> {
    if auth == Auth::Psk {
        return Vec::new();
    }
    let any = [Vec::new()];
    let authorities = if credentials.authorities.is_empty() { &any } else { credentials.authorities.as_slice() };
    let request = |authority: &Vec<u8>| {
        let request = CertificateRequest { encoding: Certificate::X509_SIGNATURE, authority: authority.clone() };
        (PayloadType::CERT_REQ, request.encode_body())
    };
    authorities.iter().map(request).collect()
}

/// Gives the NAT-D payloads: first the other end, then the own one, as the sender sees them.
pub(crate) fn nat_d_payloads(
    hash: HashAlg,
    cookies: (Cookie, Cookie),
    remote: SocketAddr,
    own: SocketAddr,
) -> Vec<(PayloadType, Vec<u8>)> {
    [remote, own].map(|address| (PayloadType::NAT_D, ike::nat_d(hash, &cookies.0, &cookies.1, address))).to_vec()
}

/// Gives the last block of a ciphertext.
pub(crate) fn last_block(suite: &Suite, ciphertext: &[u8]) -> Vec<u8> {
    ciphertext.get(ciphertext.len().saturating_sub(suite.cipher.block_len())..).unwrap_or_default().to_vec()
}

fn hash_input(message_id: u32, nonces: &[(&'static str, &[u8])], rest: &[u8]) -> HashInput {
    let mid = message_id.to_be_bytes();
    let mut parts: Vec<(&'static str, &[u8])> = vec![("mid", &mid)];
    parts.extend_from_slice(nonces);
    parts.push(("rest", rest));
    HashInput::new(&parts)
}
