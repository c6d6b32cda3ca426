//! Keys that open a capture.
//!
//! One reader serves the `keys.json` that a run leaves and the `secrets.json` beside captures of other
//! implementations. Everything in it is optional.

use hallmark_evidence::keys::{self as file, KeyRecord};
use serde::Deserialize;

/// Holds what is known of one IKE SA; empty fields are unknown.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct IkeSecret {
    /// CKY-I and CKY-R; none where the keys are not bound to an SA.
    pub cookies: Option<[u8; 16]>,
    /// CKY-I where only that is known.
    pub initiator_cookie: Option<[u8; 8]>,
    /// Encryption algorithm (class 1), hash (2), authentication method (3), group (4), key length (14).
    pub attributes: Vec<(u16, u64)>,
    /// g^xy.
    pub g_xy: Vec<u8>,
    /// Nonce of the initiator.
    pub ni: Vec<u8>,
    /// Nonce of the responder.
    pub nr: Vec<u8>,
    /// SKEYID.
    pub skeyid: Vec<u8>,
    /// SKEYID_d.
    pub skeyid_d: Vec<u8>,
    /// SKEYID_a.
    pub skeyid_a: Vec<u8>,
    /// SKEYID_e.
    pub skeyid_e: Vec<u8>,
    /// The cipher key.
    pub enc_key: Vec<u8>,
    /// The IV of the first encrypted phase 1 message.
    pub phase1_iv: Vec<u8>,
}

/// Holds one KEK.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct KekSecret {
    /// Cookie pair.
    pub spi: [u8; 16],
    /// `DES`, `3DES` or `AES`.
    pub cipher: String,
    /// IV.
    pub iv: Vec<u8>,
    /// Key.
    pub key: Vec<u8>,
    /// SIG_HASH_ALGORITHM; 0 where unknown.
    pub sig_hash: u16,
    /// Public key as DER SubjectPublicKeyInfo; empty where unknown.
    pub public_key: Vec<u8>,
}

/// Holds the keys that a caller brings.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Secrets {
    /// Pre-shared keys.
    pub psks: Vec<Vec<u8>>,
    /// IKE SAs.
    pub ike: Vec<IkeSecret>,
    /// KEKs.
    pub keks: Vec<KekSecret>,
    /// SPIs of the TEKs, which open no message of the control plane.
    pub tek_spis: Vec<Vec<u8>>,
}

impl Secrets {
    /// Reads a file.
    ///
    /// # Errors
    /// Where and why it is no such file.
    pub fn parse(text: &str) -> Result<Self, String> {
        let described = file::Secrets::parse(text).map_err(|error| error.to_string())?;
        let lists: Lists = serde_json::from_str(text).map_err(|error| error.to_string())?;
        let mut secrets = Self::from_file(&described);
        secrets.add_lists(&described, &lists)?;
        Ok(secrets)
    }

    /// Takes the keys that a run has collected.
    #[must_use]
    pub fn from_records(records: &[KeyRecord]) -> Self {
        Self::from_file(&file::Secrets::from_records("", records))
    }

    /// Adds the keys of another set.
    pub fn extend(&mut self, other: Self) {
        self.psks.extend(other.psks);
        self.ike.extend(other.ike);
        self.keks.extend(other.keks);
        self.tek_spis.extend(other.tek_spis);
    }

    /// Tells whether there is no key at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.psks.is_empty() && self.ike.is_empty() && self.keks.is_empty()
    }

    fn from_file(file: &file::Secrets) -> Self {
        let psks = file.psk_hex.iter().map(|psk| psk.0.clone()).collect();
        let ike = file.ike.iter().map(bound).collect();
        let keks = file.keks.iter().filter_map(kek).collect();
        let tek_spis = file.teks.iter().map(|tek| tek.spi.0.clone()).collect();
        Self { psks, ike, keks, tek_spis }
    }

    /// Takes the lists of keys that are not bound to an SA. Positions of all lists correspond.
    fn add_lists(&mut self, file: &file::Secrets, lists: &Lists) -> Result<(), String> {
        let bound = self.ike.clone();
        let count = [&lists.log_skeyid, &lists.log_skeyid_d, &lists.log_skeyid_a].map(Vec::len).into_iter().max();
        for at in 0..count.unwrap_or(0).max(file.g_xy.len()).max(file.skeyid_e.len()) {
            let hex = |list: &file::Hex| list.0.clone();
            let secret = IkeSecret {
                g_xy: file.g_xy.get(at).map(hex).unwrap_or_default(),
                skeyid_e: file.skeyid_e.get(at).map(hex).unwrap_or_default(),
                skeyid: lists.log_skeyid.get(at).map(hex).unwrap_or_default(),
                skeyid_d: lists.log_skeyid_d.get(at).map(hex).unwrap_or_default(),
                skeyid_a: lists.log_skeyid_a.get(at).map(hex).unwrap_or_default(),
                ..IkeSecret::default()
            };
            // What an entry with cookies says already belongs to that SA and to no other.
            let same = |known: &IkeSecret| {
                let fields = [(&known.g_xy, &secret.g_xy), (&known.skeyid_e, &secret.skeyid_e)];
                fields.iter().any(|(a, b)| !a.is_empty() && a == b)
            };
            if secret != IkeSecret::default() && !bound.iter().any(same) {
                self.ike.push(secret);
            }
        }
        for line in &file.ikev1_decryption_table {
            let fields: Vec<&str> = line.split(',').map(|field| field.trim().trim_matches('"')).collect();
            let [cookie, key] = fields.as_slice() else {
                return Err(format!("ikev1_decryption_table: {line:?} is not a cookie and a key"));
            };
            let octets = |text: &str| hex::decode(text).map_err(|error| format!("ikev1_decryption_table: {error}"));
            let (cookie, enc_key) = (octets(cookie)?, octets(key)?);
            let initiator_cookie: Option<[u8; 8]> = cookie.as_slice().try_into().ok();
            let Some(initiator_cookie) = initiator_cookie else {
                return Err(format!("ikev1_decryption_table: {line:?} has no cookie of 8 octets"));
            };
            // An entry with both cookies and some key says more about the same SA.
            let known = |secret: &IkeSecret| {
                let keys = [&secret.enc_key, &secret.skeyid_e, &secret.skeyid, &secret.g_xy];
                let same = secret.cookies.is_some_and(|cookies| cookies.starts_with(&initiator_cookie));
                same && keys.iter().any(|key| !key.is_empty())
            };
            if !self.ike.iter().any(known) {
                let initiator_cookie = Some(initiator_cookie);
                self.ike.push(IkeSecret { initiator_cookie, enc_key, ..IkeSecret::default() });
            }
        }
        Ok(())
    }
}

/// The lists that only captures of other implementations have.
#[derive(Deserialize, Default)]
#[serde(default)]
struct Lists {
    log_skeyid: Vec<file::Hex>,
    log_skeyid_d: Vec<file::Hex>,
    log_skeyid_a: Vec<file::Hex>,
}

fn bound(secret: &file::IkeSecret) -> IkeSecret {
    let cookies = [secret.icookie.0.as_slice(), &secret.rcookie.0].concat();
    IkeSecret {
        cookies: cookies.try_into().ok(),
        initiator_cookie: None,
        attributes: secret.phase1.iter().filter_map(|(class, value)| Some((class.parse().ok()?, *value))).collect(),
        g_xy: secret.g_xy.0.clone(),
        ni: secret.ni.0.clone(),
        nr: secret.nr.0.clone(),
        skeyid: secret.skeyid.0.clone(),
        skeyid_d: secret.skeyid_d.0.clone(),
        skeyid_a: secret.skeyid_a.0.clone(),
        skeyid_e: secret.skeyid_e.0.clone(),
        enc_key: secret.enc_key.0.clone(),
        phase1_iv: secret.phase1_iv.0.clone(),
    }
}

fn kek(secret: &file::KekSecret) -> Option<KekSecret> {
    Some(KekSecret {
        spi: secret.spi.0.as_slice().try_into().ok()?,
        cipher: secret.cipher.clone(),
        iv: secret.iv.0.clone(),
        key: secret.key.0.clone(),
        sig_hash: secret.sig_hash,
        public_key: secret.public_key().map(<[u8]>::to_vec).unwrap_or_default(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_without_cookies_become_loose_keys_and_bound_ones_are_not_doubled() {
        let text = r#"{"psk": "p", "g_xy": ["01", "02"], "skeyid_e": ["0a", "0b"], "log_skeyid": ["aa", "bb"],
            "log_skeyid_a": ["cc"], "ikev1_decryption_table": ["\"0101010101010101\",\"ff\"", "\"0909090909090909\",\"ee\""],
            "ike": [{"icookie": "0101010101010101", "rcookie": "0202020202020202", "g_xy": "01", "enc_key": "ff",
                     "phase1": {"1": 7, "14": 128}}]}"#;
        let secrets = Secrets::parse(text).unwrap();
        assert_eq!(secrets.psks, [b"p"]);
        let [bound, loose, table] = secrets.ike.as_slice() else { panic!("{} SAs", secrets.ike.len()) };
        assert_eq!(bound.cookies.map(|cookies| cookies[8]), Some(2));
        assert_eq!(bound.attributes, [(1, 7), (14, 128)]);
        assert_eq!(
            (loose.cookies, &loose.g_xy, &loose.skeyid, &loose.skeyid_a),
            (None, &vec![2], &vec![0xbb], &vec![])
        );
        assert_eq!((table.initiator_cookie, table.enc_key.as_slice()), (Some([9; 8]), &[0xee][..]));
    }

    #[test]
    fn a_broken_file_is_refused_with_its_place() {
        let error = Secrets::parse("{\"psk\": 5}").err().unwrap();
        assert!(error.contains("line 1"), "{error}");
        let error = Secrets::parse("{\"ikev1_decryption_table\": [\"x\"]}").err().unwrap();
        assert!(error.contains("ikev1_decryption_table"), "{error}");
        assert!(Secrets::parse("{\"g_xy\": [\"0x\"]}").is_err());
        assert!(Secrets::parse("{}").unwrap().is_empty());
    }
}
