//! Keys of a run, so that its captures can be opened again.
//!
//! `keys.json` has the form of the `secrets.json` files beside the captures of other implementations, so that one
//! reader serves both.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Is one key that a run leaves behind.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum KeyRecord {
    /// One IKE SA.
    Ike {
        /// CKY-I.
        initiator_cookie: [u8; 8],
        /// CKY-R.
        responder_cookie: [u8; 8],
        /// The negotiated cipher by its configuration name (`aes128`).
        cipher: String,
        /// The negotiated hash by its configuration name (`sha256`).
        hash: String,
        /// The negotiated group by its configuration name (`modp2048`).
        group: String,
        /// g^xy.
        g_xy: Vec<u8>,
        /// SKEYID.
        skeyid: Vec<u8>,
        /// SKEYID_a.
        skeyid_a: Vec<u8>,
        /// SKEYID_e.
        skeyid_e: Vec<u8>,
        /// The cipher key.
        key: Vec<u8>,
        /// The IV of the first encrypted phase 1 message.
        iv: Vec<u8>,
    },
    /// One KEK.
    Kek {
        /// Cookie pair.
        spi: [u8; 16],
        /// Cipher by its configuration name.
        cipher: String,
        /// IV.
        iv: Vec<u8>,
        /// Key.
        key: Vec<u8>,
        /// Signature hash by its configuration name.
        sig_hash: String,
        /// Public key as DER SubjectPublicKeyInfo, if any.
        public_key: Option<Vec<u8>>,
    },
    /// One TEK.
    Tek {
        /// SPI.
        spi: u32,
        /// The transform by its name (`aes128-gcm16`, `aes128-cbc+hmac-sha256`); empty where it has none.
        transform: String,
        /// Encryption key with salt.
        algorithm_key: Vec<u8>,
        /// Integrity key.
        integrity_key: Vec<u8>,
    },
    /// A pre-shared key.
    Psk(Vec<u8>),
}

/// Holds octets that stand as hexadecimal text in a file.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Hex(pub Vec<u8>);

impl fmt::Debug for Hex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Hex({} octets)", self.0.len())
    }
}

impl Serialize for Hex {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&hex::encode(&self.0))
    }
}

impl<'de> Deserialize<'de> for Hex {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        hex::decode(&text).map(Self).map_err(D::Error::custom)
    }
}

/// Is the content of a `keys.json` or `secrets.json`.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Secrets {
    /// What the capture shows.
    pub description: String,
    /// The pre-shared key where it is text and there is one only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub psk: Option<String>,
    /// Every pre-shared key.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub psk_hex: Vec<Hex>,
    /// g^xy of each IKE SA.
    pub g_xy: Vec<Hex>,
    /// SKEYID_e of each IKE SA.
    pub skeyid_e: Vec<Hex>,
    /// Octets reserved behind the SPI of a SAK: 4, or 6 in the dialect of 2011.
    pub sak_reserved_bytes: u8,
    /// The IKE SAs.
    pub ike: Vec<IkeSecret>,
    /// The TEKs.
    pub teks: Vec<TekSecret>,
    /// The KEKs.
    pub keks: Vec<KekSecret>,
    /// Lines for Wireshark's table of the same name.
    pub ikev1_decryption_table: Vec<String>,
}

/// Is one IKE SA.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct IkeSecret {
    /// CKY-I.
    pub icookie: Hex,
    /// CKY-R.
    pub rcookie: Hex,
    /// The negotiated phase 1 attributes by class number.
    pub phase1: BTreeMap<String, u64>,
    /// `DES`, `3DES` or `AES`.
    pub cipher: String,
    /// g^xy.
    pub g_xy: Hex,
    /// Nonce of the initiator, where known.
    pub ni: Hex,
    /// Nonce of the responder, where known.
    pub nr: Hex,
    /// SKEYID.
    pub skeyid: Hex,
    /// SKEYID_d, where known.
    pub skeyid_d: Hex,
    /// SKEYID_a.
    pub skeyid_a: Hex,
    /// SKEYID_e.
    pub skeyid_e: Hex,
    /// The cipher key.
    pub enc_key: Hex,
    /// The IV of the first encrypted phase 1 message.
    pub phase1_iv: Hex,
}

/// Is one TEK.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct TekSecret {
    /// Which message delivered it, where known.
    #[serde(rename = "where")]
    pub place: String,
    /// SPI.
    pub spi: Hex,
    /// The transform by its name (`aes128-gcm16`, `aes128-cbc+hmac-sha256`), where known.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub transform: String,
    /// Encryption key with salt.
    pub alg_key: Hex,
    /// Integrity key.
    pub integ_key: Hex,
}

/// Is one KEK.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct KekSecret {
    /// Which message delivered it, where known.
    #[serde(rename = "where")]
    pub place: String,
    /// Cookie pair.
    pub spi: Hex,
    /// The SPI that the key download named; another one in the dialect of 2011.
    pub kd_spi: Hex,
    /// `DES`, `3DES` or `AES`.
    pub cipher: String,
    /// IV.
    pub iv: Hex,
    /// Key.
    pub key: Hex,
    /// SIG_HASH_ALGORITHM: 1 MD5, 2 SHA-1, 3 SHA-256, 4 SHA-384, 5 SHA-512.
    pub sig_hash: u16,
    /// SIG_ALGORITHM: 1 RSA; others are found in the public key.
    pub sig_alg: u16,
    /// Size of an RSA modulus in bits, where known.
    pub rsa_bits: u16,
    /// Public RSA key as DER SubjectPublicKeyInfo.
    pub rsa_public_spki: Hex,
    /// Public key of another kind as DER SubjectPublicKeyInfo.
    #[serde(skip_serializing_if = "is_empty")]
    pub public_spki: Hex,
}

fn is_empty(hex: &Hex) -> bool {
    hex.0.is_empty()
}

impl KekSecret {
    /// Gives the public key as DER SubjectPublicKeyInfo, whatever its kind.
    #[must_use]
    pub fn public_key(&self) -> Option<&[u8]> {
        [&self.rsa_public_spki, &self.public_spki].into_iter().find(|key| !key.0.is_empty()).map(|key| key.0.as_slice())
    }
}

/// The object identifier rsaEncryption, as it stands in DER.
const RSA_OID: [u8; 11] = [0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01];

impl Secrets {
    /// Puts key records together. A record that says the same as one before is left out.
    #[must_use]
    pub fn from_records(description: &str, records: &[KeyRecord]) -> Self {
        let mut secrets = Self { description: description.to_owned(), sak_reserved_bytes: 4, ..Self::default() };
        for record in records {
            secrets.add(record);
        }
        if let [only] = secrets.psk_hex.as_slice()
            && let Ok(text) = String::from_utf8(only.0.clone())
            && text.chars().all(|c| !c.is_control())
        {
            secrets.psk = Some(text);
        }
        secrets
    }

    /// Reads a file.
    ///
    /// # Errors
    /// Where and why it is no such file.
    pub fn parse(text: &str) -> Result<Self, serde_json::Error> {
        let mut secrets: Self = serde_json::from_str(text)?;
        if let Some(psk) = &secrets.psk
            && secrets.psk_hex.is_empty()
        {
            secrets.psk_hex.push(Hex(psk.clone().into_bytes()));
        }
        Ok(secrets)
    }

    /// Writes the file.
    #[must_use]
    pub fn to_json(&self) -> String {
        serde_json::to_string_pretty(self).map(|text| text + "\n").unwrap_or_default()
    }

    fn add(&mut self, record: &KeyRecord) {
        match record {
            KeyRecord::Ike {
                initiator_cookie,
                responder_cookie,
                cipher,
                hash,
                group,
                g_xy,
                skeyid,
                skeyid_a,
                skeyid_e,
                key,
                iv,
            } => {
                let hex = |octets: &[u8]| Hex(octets.to_vec());
                let secret = IkeSecret {
                    icookie: hex(initiator_cookie),
                    rcookie: hex(responder_cookie),
                    phase1: phase1(cipher, hash, group),
                    cipher: family(cipher),
                    g_xy: hex(g_xy),
                    skeyid: hex(skeyid),
                    skeyid_a: hex(skeyid_a),
                    skeyid_e: hex(skeyid_e),
                    enc_key: hex(key),
                    phase1_iv: hex(iv),
                    ..IkeSecret::default()
                };
                if !self.ike.contains(&secret) {
                    self.g_xy.push(secret.g_xy.clone());
                    self.skeyid_e.push(secret.skeyid_e.clone());
                    let line = format!("\"{}\",\"{}\"", hex::encode(initiator_cookie), hex::encode(key));
                    self.ikev1_decryption_table.push(line);
                    self.ike.push(secret);
                }
            }
            KeyRecord::Kek { spi, cipher, iv, key, sig_hash, public_key } => {
                let public = public_key.clone().unwrap_or_default();
                let rsa = public.windows(RSA_OID.len()).any(|window| window == RSA_OID);
                let (rsa_public_spki, public_spki) =
                    if rsa { (Hex(public), Hex::default()) } else { (Hex::default(), Hex(public)) };
                let secret = KekSecret {
                    spi: Hex(spi.to_vec()),
                    kd_spi: Hex(spi.to_vec()),
                    cipher: family(cipher),
                    iv: Hex(iv.clone()),
                    key: Hex(key.clone()),
                    sig_hash: sig_hash_number(sig_hash),
                    sig_alg: u16::from(rsa),
                    rsa_public_spki,
                    public_spki,
                    ..KekSecret::default()
                };
                if !self.keks.contains(&secret) {
                    self.keks.push(secret);
                }
            }
            KeyRecord::Tek { spi, transform, algorithm_key, integrity_key } => {
                let secret = TekSecret {
                    spi: Hex(spi.to_be_bytes().to_vec()),
                    transform: transform.clone(),
                    alg_key: Hex(algorithm_key.clone()),
                    integ_key: Hex(integrity_key.clone()),
                    ..TekSecret::default()
                };
                if !self.teks.contains(&secret) {
                    self.teks.push(secret);
                }
            }
            KeyRecord::Psk(psk) => {
                let psk = Hex(psk.clone());
                if !self.psk_hex.contains(&psk) {
                    self.psk_hex.push(psk);
                }
            }
        }
    }
}

fn family(cipher: &str) -> String {
    match cipher {
        "des" => "DES".to_owned(),
        "3des" => "3DES".to_owned(),
        name if name.starts_with("aes") => "AES".to_owned(),
        other => other.to_owned(),
    }
}

/// Gives the attribute classes 1, 2, 4 and 14 of a suite.
fn phase1(cipher: &str, hash: &str, group: &str) -> BTreeMap<String, u64> {
    let mut attributes = BTreeMap::new();
    let mut set = |class: &str, value: Option<u64>| {
        if let Some(value) = value {
            attributes.insert(class.to_owned(), value);
        }
    };
    let (number, bits) = match cipher {
        "des" => (Some(1), None),
        "3des" => (Some(5), None),
        "aes128" => (Some(7), Some(128)),
        "aes192" => (Some(7), Some(192)),
        "aes256" => (Some(7), Some(256)),
        _ => (None, None),
    };
    set("1", number);
    set("14", bits);
    set("2", named(hash, &[("md5", 1), ("sha1", 2), ("sha256", 4), ("sha384", 5), ("sha512", 6)]));
    let groups = [
        ("modp768", 1),
        ("modp1024", 2),
        ("modp1536", 5),
        ("modp2048", 14),
        ("modp3072", 15),
        ("modp4096", 16),
        ("ecp256", 19),
        ("ecp384", 20),
        ("ecp521", 21),
    ];
    set("4", named(group, &groups));
    attributes
}

fn sig_hash_number(name: &str) -> u16 {
    let number = named(name, &[("md5", 1), ("sha1", 2), ("sha256", 3), ("sha384", 4), ("sha512", 5)]);
    number.and_then(|n| u16::try_from(n).ok()).unwrap_or(0)
}

fn named(name: &str, table: &[(&str, u64)]) -> Option<u64> {
    table.iter().find(|(known, _)| *known == name).map(|(_, number)| *number)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn ike() -> KeyRecord {
        KeyRecord::Ike {
            initiator_cookie: [1; 8],
            responder_cookie: [2; 8],
            cipher: "aes256".into(),
            hash: "sha256".into(),
            group: "modp2048".into(),
            g_xy: vec![3; 256],
            skeyid: vec![4; 32],
            skeyid_a: vec![5; 32],
            skeyid_e: vec![6; 32],
            key: vec![7; 32],
            iv: vec![8; 16],
        }
    }

    #[test]
    fn records_become_a_file_that_reads_back() {
        let rsa = [&[0x30, 0x82][..], &RSA_OID, &[0, 1, 2]].concat();
        let kek = |key: &[u8]| KeyRecord::Kek {
            spi: [9; 16],
            cipher: "3des".into(),
            iv: vec![1; 8],
            key: vec![2; 24],
            sig_hash: "sha256".into(),
            public_key: Some(key.to_vec()),
        };
        let tek = KeyRecord::Tek {
            spi: 0x457e_a656,
            transform: "aes128-cbc+hmac-sha256".into(),
            algorithm_key: vec![1; 16],
            integrity_key: vec![2; 32],
        };
        let records = [ike(), kek(&rsa), kek(&[0x30, 0x59]), tek, KeyRecord::Psk(b"secret".to_vec()), ike()];
        let secrets = Secrets::from_records("a case", &records);
        assert_eq!(secrets.ike.len(), 1, "the same SA is kept once");
        let phase1: Vec<(&str, u64)> = secrets.ike[0].phase1.iter().map(|(k, v)| (k.as_str(), *v)).collect();
        assert_eq!(phase1, [("1", 7), ("14", 256), ("2", 4), ("4", 14)]);
        assert_eq!((secrets.keks[0].sig_hash, secrets.keks[0].sig_alg), (3, 1));
        assert_eq!((secrets.keks[0].public_key(), secrets.keks[1].sig_alg), (Some(rsa.as_slice()), 0));
        assert_eq!(secrets.psk.as_deref(), Some("secret"));
        assert_eq!(Secrets::parse(&secrets.to_json()).expect("reads"), secrets);
        assert!(secrets.to_json().contains("\"spi\": \"457ea656\""));
    }

    #[test]
    fn secrets_beside_a_foreign_capture_read_as_well() {
        let text = r#"{"description": "x", "psk": "mekmitasdigoat", "log_skeyid": ["38ff"], "sak_reserved_bytes": 6,
            "ike": [{"icookie": "66e76d429170a8ac", "rcookie": "dba7437dac54e0f0", "phase1": {"1": 5, "12": 600},
                     "cipher": "3DES", "ni": "741a", "enc_key": "7e23", "phase1_iv": "b6f4"}],
            "teks": [{"where": "PULL #10", "spi": "457ea656", "alg_key": "2b", "integ_key": "dc"}]}"#;
        let secrets = Secrets::parse(text).expect("reads");
        assert_eq!(secrets.ike[0].icookie.0, [0x66, 0xe7, 0x6d, 0x42, 0x91, 0x70, 0xa8, 0xac]);
        assert_eq!((secrets.sak_reserved_bytes, secrets.teks[0].place.as_str()), (6, "PULL #10"));
        assert_eq!(secrets.psk_hex[0].0, b"mekmitasdigoat");
        assert!(Secrets::parse("{\"ike\": [{\"icookie\": \"6\"}]}").is_err());
    }

    #[test]
    fn secrets_do_not_show_in_debug_output() {
        assert_eq!(format!("{:?}", Hex(vec![0xde, 0xad])), "Hex(2 octets)");
    }
}
