//! Keys of IKE SAs: what the caller brings, completed by what follows from it.

use hallmark_crypto::ike::{cipher_key, phase1_iv, skeyid_psk, skeyid_sig, skeyids};
use hallmark_crypto::{CipherAlg, Group, HashAlg, Secret};
use hallmark_wire::isakmp::Attributes;

use crate::secrets::{IkeSecret, Secrets};

/// Sets of keys that are tried for one SA at most.
const CANDIDATES: usize = 256;

/// Holds the algorithms of a phase 1 SA.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Suite {
    pub(crate) cipher: CipherAlg,
    pub(crate) hash: HashAlg,
    /// Authentication method (class 3).
    pub(crate) auth: u16,
    pub(crate) group: Option<Group>,
    /// AES was named without a Key Length and is taken for 128 bits.
    pub(crate) assumed_key_length: bool,
}

/// Attribute classes of phase 1.
mod class {
    pub(super) const CIPHER: u16 = 1;
    pub(super) const HASH: u16 = 2;
    pub(super) const AUTH: u16 = 3;
    pub(super) const GROUP: u16 = 4;
    pub(super) const KEY_LENGTH: u16 = 14;
}

const AES: u16 = 7;

impl Suite {
    /// The authentication method of pre-shared keys.
    pub(crate) const PSK: u16 = 1;

    /// Reads the attributes of the chosen transform.
    pub(crate) fn of_transform(attributes: &Attributes) -> Result<Self, String> {
        let number = |class| attributes.uint(class).and_then(|value| u16::try_from(value).ok());
        Self::of_numbers(number)
    }

    /// Reads attributes that the secrets name.
    fn of_secret(secret: &IkeSecret) -> Option<Self> {
        let number = |class| {
            let found = secret.attributes.iter().find(|(known, _)| *known == class);
            found.and_then(|(_, value)| u16::try_from(*value).ok())
        };
        // Files may leave out the authentication method, which only signatures need.
        Self::of_numbers(|class| number(class).or((class == class::AUTH).then_some(Self::PSK))).ok()
    }

    fn of_numbers(number: impl Fn(u16) -> Option<u16>) -> Result<Self, String> {
        let cipher = number(class::CIPHER).ok_or("the chosen transform names no cipher")?;
        let bits = number(class::KEY_LENGTH);
        let assumed_key_length = cipher == AES && bits.is_none_or(|bits| bits == 0);
        let bits = if assumed_key_length { Some(128) } else { bits };
        let hash = number(class::HASH).ok_or("the chosen transform names no hash")?;
        Ok(Self {
            cipher: CipherAlg::from_ike(cipher, bits)
                .ok_or_else(|| format!("cipher {cipher} with key length {bits:?} is not supported"))?,
            hash: HashAlg::from_ike(hash).ok_or_else(|| format!("hash {hash} is not supported"))?,
            auth: number(class::AUTH).ok_or("the chosen transform names no authentication method")?,
            group: number(class::GROUP).and_then(Group::from_ike),
            assumed_key_length,
        })
    }

    /// Gives the hash that HASH_I and HASH_R use: ECDSA brings its own.
    pub(crate) const fn auth_hash(&self) -> HashAlg {
        match self.auth {
            9 => HashAlg::Sha256,
            10 => HashAlg::Sha384,
            11 => HashAlg::Sha512,
            _ => self.hash,
        }
    }
}

/// Holds what a capture tells of an SA.
#[derive(Clone, Default)]
pub(crate) struct Facts {
    pub(crate) cookies: [u8; 16],
    pub(crate) suite: Option<Suite>,
    pub(crate) ke_i: Option<Vec<u8>>,
    pub(crate) ke_r: Option<Vec<u8>>,
    pub(crate) ni: Option<Vec<u8>>,
    pub(crate) nr: Option<Vec<u8>>,
}

/// Holds one possible set of keys of an SA.
#[derive(Clone)]
pub(crate) struct IkeKeys {
    pub(crate) suite: Suite,
    pub(crate) skeyid: Option<Secret>,
    pub(crate) skeyid_a: Option<Secret>,
    pub(crate) key: Secret,
    pub(crate) iv: Option<Vec<u8>>,
    /// Whether the caller named them for this very SA.
    pub(crate) bound: bool,
    /// Where given values contradict each other.
    pub(crate) conflicts: Vec<String>,
    /// Whether no given PSK leads to the given SKEYID.
    pub(crate) foreign_psk: bool,
    pub(crate) origin: String,
}

/// Gives the sets of keys that may belong to an SA, those that name it first.
pub(crate) fn candidates(secrets: &Secrets, facts: &Facts) -> Vec<IkeKeys> {
    let bound = secrets.ike.iter().filter(|secret| secret.cookies == Some(facts.cookies));
    let may_be = |secret: &&IkeSecret| {
        let named = secret.initiator_cookie.is_none_or(|cookie| facts.cookies.starts_with(&cookie));
        secret.cookies.is_none() && named
    };
    let loose = secrets.ike.iter().filter(may_be);
    bound.chain(loose).flat_map(|secret| complete(secret, &secrets.psks, facts)).take(CANDIDATES).collect()
}

/// Derives everything that follows from one entry, once for each way to get at SKEYID.
fn complete(secret: &IkeSecret, psks: &[Vec<u8>], facts: &Facts) -> Vec<IkeKeys> {
    let Some(suite) = facts.suite.or_else(|| Suite::of_secret(secret)) else { return Vec::new() };
    let given = |octets: &Vec<u8>| (!octets.is_empty()).then(|| octets.clone());
    let ni = facts.ni.clone().or_else(|| given(&secret.ni));
    let nr = facts.nr.clone().or_else(|| given(&secret.nr));
    let g_xy = given(&secret.g_xy);
    let mut roots: Vec<(Option<Secret>, &str)> = Vec::new();
    let mut foreign_psk = false;
    if let (Some(ni), Some(nr)) = (&ni, &nr) {
        if suite.auth == Suite::PSK {
            // Without g^xy a SKEYID from the PSK still serves HASH_I and HASH_R.
            let derived = psks.iter().map(|psk| (skeyid_psk(suite.hash, psk, ni, nr), "PSK"));
            roots.extend(derived.map(|(skeyid, from)| (Some(skeyid), from)));
        } else if let Some(g_xy) = &g_xy {
            roots.push((Some(skeyid_sig(suite.hash, ni, nr, g_xy)), "g^xy"));
        }
    }
    if let Some(skeyid) = given(&secret.skeyid).map(Secret::new) {
        let agrees = roots.iter().any(|(derived, _)| derived.as_ref() == Some(&skeyid));
        // A PSK names no peer: it may belong to another SA.
        foreign_psk = !roots.is_empty() && !agrees;
        roots = vec![(Some(skeyid), "SKEYID")];
    }
    if roots.is_empty() {
        roots.push((None, "the keys below SKEYID"));
    }
    let derive = |(skeyid, origin)| derive(secret, facts, suite, skeyid, origin);
    roots.into_iter().filter_map(derive).map(|keys| IkeKeys { foreign_psk, ..keys }).collect()
}

fn derive(secret: &IkeSecret, facts: &Facts, suite: Suite, skeyid: Option<Secret>, origin: &str) -> Option<IkeKeys> {
    let (cky_i, rest) = facts.cookies.split_first_chunk::<8>()?;
    let cky_r = rest.first_chunk::<8>()?;
    let mut conflicts = Vec::new();
    let derived = skeyid.clone().filter(|_| !secret.g_xy.is_empty());
    let derived = derived.map(|skeyid| skeyids(suite.hash, skeyid, &secret.g_xy, cky_i, cky_r));
    // What is given counts; what is derived fills the gaps and bears witness.
    let mut choose = |name: &str, given: &[u8], derived: Option<Vec<u8>>| match (given.is_empty(), derived) {
        (true, derived) => derived.map(Secret::new),
        (false, derived) => {
            if derived.is_some_and(|derived| derived != given) {
                conflicts.push(format!("{name} is not what follows from the other keys"));
            }
            Some(Secret::from(given))
        }
    };
    choose("SKEYID_d", &secret.skeyid_d, derived.as_ref().map(|keys| keys.d.expose().to_vec()));
    let skeyid_a = choose("SKEYID_a", &secret.skeyid_a, derived.as_ref().map(|keys| keys.a.expose().to_vec()));
    let skeyid_e = choose("SKEYID_e", &secret.skeyid_e, derived.as_ref().map(|keys| keys.e.expose().to_vec()));
    let expanded = skeyid_e.map(|e| cipher_key(suite.hash, suite.cipher, e.expose()).expose().to_vec());
    let key = choose("the cipher key", &secret.enc_key, expanded)?;
    let computed_iv = match (&facts.ke_i, &facts.ke_r) {
        (Some(ke_i), Some(ke_r)) => Some(phase1_iv(suite.hash, suite.cipher, ke_i, ke_r)),
        _ => None,
    };
    let iv = choose("the phase 1 IV", &secret.phase1_iv, computed_iv).map(|iv| iv.expose().to_vec());
    if key.len() != suite.cipher.key_len() {
        return None;
    }
    let bound = secret.cookies.is_some();
    let origin = format!("keys from {origin}");
    Some(IkeKeys { suite, skeyid, skeyid_a, key, iv, bound, conflicts, foreign_psk: false, origin })
}
