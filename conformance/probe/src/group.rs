//! Group keys as the tester holds them: given out by the scripted KS, received by the scripted GM.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;

use hallmark_core::{Duration, Instant, Rng};
use hallmark_crypto::gdoi::{is_counter_mode, kek_key_split, lkh_wrap, tek_key_lengths};
use hallmark_crypto::{CipherAlg, CryptoError, HashAlg, KeyKind, Secret, SigningKey, VerifyingKey};
use hallmark_wire::gdoi::{
    Bypass, DataPolicy, Gap, GdoiSa, IpsecTek, KeyDownload, KeyPacket, LkhDownload, LkhKey, LkhUpdate, SaAttribute,
    SaKek, SaTek, Selector, TekBody, gap_attr, kd_type, kek_attr, kek_key, lkh_key, sid_key, tek_attr, tek_key,
};
use hallmark_wire::isakmp::{Attribute, Attributes};

use crate::data::Replay;
use crate::world::KeyRecord;

/// A Rekey SA.
#[derive(Clone)]
pub struct Kek {
    /// The cookie pair of PUSH messages.
    pub spi: [u8; 16],
    /// Cipher.
    pub cipher: CipherAlg,
    /// IV that every PUSH starts from.
    pub iv: Vec<u8>,
    /// Key.
    pub key: Secret,
    /// Hash of the signature.
    pub sig_hash: HashAlg,
    /// Public key that PUSH messages verify with.
    pub verifying: Option<VerifyingKey>,
    /// Private key that PUSH messages are signed with (KS only).
    pub signing: Option<Rc<SigningKey>>,
    /// KEK_KEY_LIFETIME in seconds.
    pub lifetime_secs: Option<u64>,
    /// KEK_ACK_REQUESTED: 1 and 2 for SHA-256, 3 and 4 for SHA-512; 2 and 4 with the leaf key of an LKH.
    pub ack: Option<u16>,
    /// Where PUSH messages come from.
    pub src: Option<Selector>,
    /// Where PUSH messages go to.
    pub dst: Option<Selector>,
    /// The last sequence number used (KS) or accepted (GM).
    pub seq: u32,
    /// The leaf key of an LKH, without its IV: the base key of ACK types 2 and 4.
    pub leaf: Option<Secret>,
}

impl Kek {
    /// Makes a fresh KEK: AES-128, SHA-256, one day, ACKs by RFC 8263 with SHA-256.
    #[must_use]
    pub fn generate(rng: &mut Rng, signing: Rc<SigningKey>) -> Self {
        Self::with(rng, CipherAlg::Aes128, HashAlg::Sha256, signing)
    }

    /// Makes a fresh KEK with these algorithms.
    #[must_use]
    pub fn with(rng: &mut Rng, cipher: CipherAlg, sig_hash: HashAlg, signing: Rc<SigningKey>) -> Self {
        Self {
            spi: rng.octets(),
            cipher,
            iv: rng.vec(cipher.block_len()),
            key: Secret::new(rng.vec(cipher.key_len())),
            sig_hash: signing.kind().fixed_hash().unwrap_or(sig_hash),
            verifying: Some(signing.public()),
            signing: Some(signing),
            lifetime_secs: Some(86_400),
            ack: Some(1),
            src: None,
            dst: None,
            seq: 0,
            leaf: None,
        }
    }

    /// Makes the successor of a KEK: same algorithms, signing key and addresses, fresh SPI and key, sequence 0.
    #[must_use]
    pub fn successor(&self, rng: &mut Rng) -> Self {
        Self {
            spi: rng.octets(),
            iv: rng.vec(self.cipher.block_len()),
            key: Secret::new(rng.vec(self.cipher.key_len())),
            seq: 0,
            ..self.clone()
        }
    }

    /// Gives the cookies of PUSH messages.
    #[must_use]
    pub fn cookies(&self) -> ([u8; 8], [u8; 8]) {
        let (mut initiator, mut responder) = ([0; 8], [0; 8]);
        initiator.copy_from_slice(&self.spi[..8]);
        responder.copy_from_slice(&self.spi[8..]);
        (initiator, responder)
    }

    /// Writes the SA KEK payload; PUSH messages go from `src` to `dst` unless the KEK itself says otherwise.
    #[must_use]
    pub fn sak(&self, src: SocketAddr, dst: SocketAddr) -> SaKek {
        let (algorithm, key_bits) = self.cipher.to_kek();
        let kind = self.signing.as_ref().map_or(KeyKind::Rsa, |key| key.kind());
        let mut attributes = vec![Attribute::basic(kek_attr::ALGORITHM, algorithm)];
        if let Some(bits) = key_bits {
            attributes.push(Attribute::basic(kek_attr::KEY_LENGTH, bits));
        }
        if let Some(secs) = self.lifetime_secs {
            attributes.push(Attribute::u32(kek_attr::KEY_LIFETIME, u32::try_from(secs).unwrap_or(u32::MAX)));
        }
        attributes.push(Attribute::basic(kek_attr::SIG_HASH, self.sig_hash.to_sig_hash()));
        attributes.push(Attribute::basic(kek_attr::SIG_ALGORITHM, kind.to_sig_algorithm()));
        if let Some(bits) = self.verifying.as_ref().and_then(|key| u16::try_from(key.bits()).ok()) {
            attributes.push(Attribute::basic(kek_attr::SIG_KEY_LENGTH, bits));
        }
        if let Some(ack) = self.ack {
            attributes.push(Attribute::basic(kek_attr::ACK_REQUESTED, ack));
        }
        SaKek {
            protocol: 17,
            src: self.src.clone().unwrap_or_else(|| selector(src)),
            dst: self.dst.clone().unwrap_or_else(|| selector(dst)),
            spi: self.spi,
            attributes: Attributes(attributes),
        }
    }

    /// Gives IV and key as KEK_ALGORITHM_KEY carries them.
    #[must_use]
    pub fn iv_and_key(&self) -> Vec<u8> {
        [self.iv.as_slice(), self.key.expose()].concat()
    }

    /// Gives the public key as SIG_ALGORITHM_KEY carries it.
    #[must_use]
    pub fn public_key(&self) -> Option<Vec<u8>> {
        self.verifying.as_ref().and_then(|key| key.to_spki_der().ok())
    }

    /// Writes the key packet.
    #[must_use]
    pub fn packet(&self) -> KeyPacket {
        let mut attributes = vec![Attribute::variable(kek_key::ALGORITHM, self.iv_and_key())];
        attributes.extend(self.public_key().map(|key| Attribute::variable(kek_key::SIGNATURE, key)));
        KeyPacket { kd_type: kd_type::KEK, spi: self.spi.to_vec(), attributes: Attributes(attributes) }
    }

    /// Joins what an SA KEK payload and its key packet say.
    ///
    /// # Errors
    /// Says what is missing or does not fit.
    pub fn from_policy(sak: &SaKek, kd: &KeyDownload) -> Result<Self, String> {
        let number = |class| sak.attributes.uint(class).and_then(|value| u16::try_from(value).ok());
        let algorithm = number(kek_attr::ALGORITHM).ok_or("the SAK has no KEK_ALGORITHM")?;
        let key_of = |kd_type, class| {
            kd.packets
                .iter()
                .find(|p| p.kd_type == kd_type && p.spi == sak.spi)
                .and_then(|p| p.attributes.octets(class))
        };
        let lkh = key_of(kd_type::LKH, lkh_key::DOWNLOAD);
        let cipher = CipherAlg::from_kek(algorithm, number(kek_attr::KEY_LENGTH))
            .ok_or_else(|| format!("KEK_ALGORITHM {algorithm} with this length is unknown"))?;
        let mut leaf = None;
        let iv_and_key = match (key_of(kd_type::KEK, kek_key::ALGORITHM), lkh) {
            (Some(octets), _) => octets.to_vec(),
            (None, Some(array)) => {
                let array = LkhDownload::decode(array, cipher.block_len() + cipher.key_len())
                    .map_err(|error| error.to_string())?;
                leaf = array.keys.first().map(|key| key.data.clone());
                array.keys.last().map(|key| key.data.clone()).ok_or("the LKH array is empty")?
            }
            (None, None) => return Err("no key packet carries the key of the SAK's SPI".to_owned()),
        };
        let (iv, key) = kek_key_split(cipher, &iv_and_key).map_err(|error| error.to_string())?;
        let leaf = leaf.and_then(|octets| kek_key_split(cipher, &octets).ok()).map(|(_, key)| key);
        let public = key_of(kd_type::KEK, kek_key::SIGNATURE).or_else(|| key_of(kd_type::LKH, lkh_key::SIGNATURE));
        let verifying = public.and_then(|der| VerifyingKey::from_spki_der(der).ok());
        let fixed = verifying.as_ref().and_then(|key| key.kind().fixed_hash());
        let sig_hash = number(kek_attr::SIG_HASH)
            .and_then(HashAlg::from_sig_hash)
            .or(fixed)
            .ok_or("the SAK has no SIG_HASH_ALGORITHM that the tester knows")?;
        Ok(Self {
            spi: sak.spi,
            cipher,
            iv,
            key,
            sig_hash,
            verifying,
            signing: None,
            lifetime_secs: sak.attributes.uint(kek_attr::KEY_LIFETIME),
            ack: number(kek_attr::ACK_REQUESTED),
            src: Some(sak.src.clone()),
            dst: Some(sak.dst.clone()),
            seq: 0,
            leaf,
        })
    }

    /// Describes the KEK for the evidence.
    #[must_use]
    pub fn record(&self) -> KeyRecord {
        KeyRecord::Kek {
            spi: self.spi,
            cipher: self.cipher.name().to_owned(),
            iv: self.iv.clone(),
            key: self.key.expose().to_vec(),
            sig_hash: self.sig_hash.name().to_owned(),
            public_key: self.public_key(),
        }
    }
}

impl fmt::Debug for Kek {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Kek")
            .field("spi", &format_args!("{:02x?}", self.spi))
            .field("cipher", &self.cipher)
            .field("sig_hash", &self.sig_hash)
            .field("lifetime_secs", &self.lifetime_secs)
            .field("ack", &self.ack)
            .field("seq", &self.seq)
            .finish_non_exhaustive()
    }
}

/// One traffic flow of a TEK: an entry of its access list.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Flow {
    /// Whether it stays in clear instead: told in the reference's private form, since RFC 6407 has none. Its place
    /// among the flows of all TEKs is its place in the list.
    pub deny: bool,
    /// IP protocol, 0 for any.
    pub ip_protocol: u8,
    /// Source.
    pub src: Selector,
    /// Destination.
    pub dst: Selector,
}

impl Flow {
    /// Makes the flow between two IPv4 or IPv6 prefixes.
    #[must_use]
    pub fn between(src: (IpAddr, u8), dst: (IpAddr, u8)) -> Self {
        let (src, dst) = (Selector::from_subnet(src.0, src.1), Selector::from_subnet(dst.0, dst.1));
        Self { deny: false, ip_protocol: 0, src, dst }
    }

    /// Makes the flow of everything over IPv4.
    #[must_use]
    pub fn any() -> Self {
        Self::between(([0, 0, 0, 0].into(), 0), ([0, 0, 0, 0].into(), 0))
    }

    /// Makes the flow of everything over IPv6.
    #[must_use]
    pub fn any_ipv6() -> Self {
        Self::between((std::net::Ipv6Addr::UNSPECIFIED.into(), 0), (std::net::Ipv6Addr::UNSPECIFIED.into(), 0))
    }

    /// Narrows it to one IP protocol.
    #[must_use]
    pub const fn protocol(mut self, protocol: u8) -> Self {
        self.ip_protocol = protocol;
        self
    }

    /// Narrows it to a source and a destination port, 0 for any.
    #[must_use]
    pub fn ports(mut self, src: u16, dst: u16) -> Self {
        self.src.port = src;
        self.dst.port = dst;
        self
    }

    /// Makes it stay in clear.
    #[must_use]
    pub const fn deny(mut self) -> Self {
        self.deny = true;
        self
    }

    /// Makes the flow of the way back: the ends exchanged.
    #[must_use]
    pub fn reverse(&self) -> Self {
        Self { src: self.dst.clone(), dst: self.src.clone(), ..self.clone() }
    }

    /// Makes the flow of the standard policy: 10.1.0.0/16 to 10.2.0.0/16.
    #[must_use]
    pub fn standard() -> Self {
        Self::between(([10, 1, 0, 0].into(), 16), ([10, 2, 0, 0].into(), 16))
    }

    /// Makes `count` flows between different /24 networks, to make messages grow.
    #[must_use]
    pub fn many(count: usize) -> Vec<Self> {
        let prefix = |first: usize, i: usize| {
            let octet = |value: usize| u8::try_from(value % 256).unwrap_or_default();
            (IpAddr::from([10, octet(first + i / 200), octet(i % 200), 0]), 24)
        };
        (0..count).map(|i| Self::between(prefix(1, i), prefix(101, i))).collect()
    }
}

/// A Data-Security SA: one SPI and one set of keys for all its flows.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Tek {
    /// 1 ESP, 2 AH.
    pub protocol_id: u8,
    /// Transform.
    pub transform_id: u8,
    /// SPI.
    pub spi: u32,
    /// What it protects.
    pub flows: Vec<Flow>,
    /// Attributes of the SA TEK payload.
    pub attributes: Attributes,
    /// TEK_ALGORITHM_KEY, with salt; empty if there is none.
    pub algorithm_key: Vec<u8>,
    /// TEK_INTEGRITY_KEY; empty if there is none.
    pub integrity_key: Vec<u8>,
}

impl Tek {
    /// Makes a fresh ESP TEK with AES-128-CBC and HMAC-SHA-256, tunnel mode, one hour, for the standard flow.
    #[must_use]
    pub fn generate(rng: &mut Rng) -> Self {
        Self::esp(rng, 12, Some(128), Some(5), 3_600)
    }

    /// Makes a fresh ESP TEK with AES-128-GCM and 16 octets of ICV: a counter mode, which needs sender ids.
    #[must_use]
    pub fn gcm(rng: &mut Rng) -> Self {
        Self::esp(rng, 20, Some(128), None, 3_600)
    }

    /// Makes a fresh ESP TEK with these numbers of the registries.
    #[must_use]
    pub fn esp(rng: &mut Rng, transform_id: u8, key_bits: Option<u16>, auth: Option<u16>, lifetime_secs: u32) -> Self {
        let mut attributes = vec![
            Attribute::basic(tek_attr::LIFE_TYPE, 1),
            Attribute::u32(tek_attr::LIFE_DURATION, lifetime_secs),
            Attribute::basic(tek_attr::ENCAPSULATION_MODE, 1),
        ];
        attributes.extend(auth.map(|auth| Attribute::basic(tek_attr::AUTH_ALGORITHM, auth)));
        attributes.extend(key_bits.map(|bits| Attribute::basic(tek_attr::KEY_LENGTH, bits)));
        let lengths = tek_key_lengths(1, transform_id, key_bits.map(u64::from), auth.map(u64::from));
        let (encryption, integrity) = lengths.map_or((0, 0), |lengths| (lengths.encryption, lengths.integrity));
        Self {
            protocol_id: 1,
            transform_id,
            spi: rng.next_u32() | 0x1000_0000,
            flows: vec![Flow::standard()],
            attributes: Attributes(attributes),
            algorithm_key: rng.vec(encryption),
            integrity_key: rng.vec(integrity),
        }
    }

    /// Makes a fresh AH TEK with this transform (5 for SHA2-256) and authentication algorithm (5 for HMAC-SHA2-256).
    #[must_use]
    pub fn ah(rng: &mut Rng, transform_id: u8, auth: u16, lifetime_secs: u32) -> Self {
        let lengths = tek_key_lengths(2, transform_id, None, Some(u64::from(auth)));
        let integrity = lengths.map_or(0, |lengths| lengths.integrity);
        let integrity_key = rng.vec(integrity);
        Self { protocol_id: 2, integrity_key, ..Self::esp(rng, transform_id, None, Some(auth), lifetime_secs) }
            .without_algorithm_key()
    }

    fn without_algorithm_key(mut self) -> Self {
        self.algorithm_key.clear();
        self
    }

    /// Makes the successor of a TEK: same policy, fresh SPI and keys.
    #[must_use]
    pub fn successor(&self, rng: &mut Rng) -> Self {
        Self {
            spi: rng.next_u32() | 0x1000_0000,
            algorithm_key: rng.vec(self.algorithm_key.len()),
            integrity_key: rng.vec(self.integrity_key.len()),
            ..self.clone()
        }
    }

    /// Sets the lifetime in seconds.
    #[must_use]
    pub fn lifetime(mut self, secs: u32) -> Self {
        for attribute in &mut self.attributes.0 {
            if attribute.class == tek_attr::LIFE_DURATION {
                *attribute = Attribute::u32(tek_attr::LIFE_DURATION, secs);
            }
        }
        self
    }

    /// Gives its sequence numbers 64 bits.
    #[must_use]
    pub fn extended_sequence(mut self) -> Self {
        self.attributes.0.push(Attribute::basic(tek_attr::ESN, 1));
        self
    }

    /// Tells whether its sequence numbers have 64 bits.
    #[must_use]
    pub fn has_extended_sequence(&self) -> bool {
        self.attributes.uint(tek_attr::ESN) == Some(1)
    }

    /// Sets the flows.
    #[must_use]
    pub fn flows(mut self, flows: Vec<Flow>) -> Self {
        self.flows = flows;
        self
    }

    /// Gives the lifetime in seconds, if it has one.
    #[must_use]
    pub fn lifetime_secs(&self) -> Option<u64> {
        self.attributes.uint(tek_attr::LIFE_DURATION)
    }

    /// Tells whether it protects packets in transport mode.
    #[must_use]
    pub fn is_transport(&self) -> bool {
        self.attributes.uint(tek_attr::ENCAPSULATION_MODE) == Some(2)
    }

    /// Asks for transport mode.
    #[must_use]
    pub fn transport(mut self) -> Self {
        for attribute in &mut self.attributes.0 {
            if attribute.class == tek_attr::ENCAPSULATION_MODE {
                *attribute = Attribute::basic(tek_attr::ENCAPSULATION_MODE, 2);
            }
        }
        self
    }

    /// Says which inner addresses the outer header repeats (RFC 6407 §5.5.1.1.1): 1 none, 2 the source, 3 the
    /// destination, 4 both.
    #[must_use]
    pub fn preservation(mut self, value: u16) -> Self {
        self.attributes.0.push(Attribute::basic(tek_attr::ADDRESS_PRESERVATION, value));
        self
    }

    /// Says what members use it for (RFC 6407 §5.5.1.1.2): 1 sending, 2 receiving, 3 both.
    #[must_use]
    pub fn direction(mut self, value: u16) -> Self {
        self.attributes.0.push(Attribute::basic(tek_attr::SA_DIRECTION, value));
        self
    }

    /// Tells whether it needs sender ids.
    #[must_use]
    pub const fn is_counter_mode(&self) -> bool {
        is_counter_mode(self.protocol_id, self.transform_id)
    }

    /// Writes the SA TEK payloads, one for each flow.
    #[must_use]
    pub fn sats(&self) -> Vec<SaTek> {
        let body = |flow: &Flow| {
            TekBody::Ipsec(IpsecTek {
                ip_protocol: flow.ip_protocol,
                src: flow.src.clone(),
                dst: flow.dst.clone(),
                transform_id: self.transform_id,
                spi: self.spi,
                attributes: self.attributes.clone(),
            })
        };
        let entry = |flow: &Flow| match flow.deny {
            false => SaTek { protocol_id: self.protocol_id, body: body(flow) },
            true => {
                SaTek::bypass(Bypass { ip_protocol: flow.ip_protocol, src: flow.src.clone(), dst: flow.dst.clone() })
            }
        };
        self.flows.iter().map(entry).collect()
    }

    /// Writes the key packet.
    #[must_use]
    pub fn packet(&self) -> KeyPacket {
        let keys = [(tek_key::ALGORITHM, &self.algorithm_key), (tek_key::INTEGRITY, &self.integrity_key)];
        let present = keys.into_iter().filter(|(_, key)| !key.is_empty());
        KeyPacket {
            kd_type: kd_type::TEK,
            spi: self.spi.to_be_bytes().to_vec(),
            attributes: present.map(|(class, key)| Attribute::variable(class, key.clone())).collect(),
        }
    }

    /// Joins what SA TEK payloads and key packets say: one TEK for each SPI that has a policy, with whatever keys there
    /// are for it.
    #[must_use]
    pub fn from_policy(sa: &GdoiSa, kd: &KeyDownload) -> Vec<Self> {
        let mut teks: Vec<Self> = Vec::new();
        for sat in sa.teks() {
            let TekBody::Ipsec(ipsec) = &sat.body else { continue };
            let (src, dst) = (ipsec.src.clone(), ipsec.dst.clone());
            let flow = Flow { deny: false, ip_protocol: ipsec.ip_protocol, src, dst };
            let known = teks.iter_mut().find(|tek| tek.spi == ipsec.spi && tek.protocol_id == sat.protocol_id);
            if let Some(tek) = known {
                tek.flows.push(flow);
                continue;
            }
            let packet = kd.packets.iter().find(|p| p.kd_type == kd_type::TEK && p.spi == ipsec.spi.to_be_bytes());
            let key = |class| {
                packet.and_then(|packet| packet.attributes.octets(class)).map(<[u8]>::to_vec).unwrap_or_default()
            };
            teks.push(Self {
                protocol_id: sat.protocol_id,
                transform_id: ipsec.transform_id,
                spi: ipsec.spi,
                flows: vec![flow],
                attributes: ipsec.attributes.clone(),
                algorithm_key: key(tek_key::ALGORITHM),
                integrity_key: key(tek_key::INTEGRITY),
            });
        }
        teks
    }

    /// Describes the TEK for the evidence; `+esn` behind the transform tells that its numbers have 64 bits.
    #[must_use]
    pub fn record(&self) -> KeyRecord {
        let esn = if self.has_extended_sequence() { "+esn" } else { "" };
        KeyRecord::Tek {
            spi: self.spi,
            transform: self.transform_name() + esn,
            algorithm_key: self.algorithm_key.clone(),
            integrity_key: self.integrity_key.clone(),
        }
    }

    /// Gives the transform by its name (`aes128-gcm16`, `aes128-cbc+hmac-sha256`); empty for what has none.
    #[must_use]
    pub fn transform_name(&self) -> String {
        let number = |class| self.attributes.uint(class);
        let bits = number(tek_attr::KEY_LENGTH).unwrap_or(128);
        let cipher = match (self.protocol_id, self.transform_id) {
            (1, 2) => "des".to_owned(),
            (1, 3) => "3des".to_owned(),
            (1, 11) => "null".to_owned(),
            (1, 12) => format!("aes{bits}-cbc"),
            (1, 18) => format!("aes{bits}-gcm8"),
            (1, 19) => format!("aes{bits}-gcm12"),
            (1, 20) => format!("aes{bits}-gcm16"),
            (1, 23) => format!("aes{bits}-gmac"),
            _ => return String::new(),
        };
        match number(tek_attr::AUTH_ALGORITHM) {
            Some(1) => format!("{cipher}+hmac-md5"),
            Some(2) => format!("{cipher}+hmac-sha1"),
            Some(5) => format!("{cipher}+hmac-sha256"),
            Some(6) => format!("{cipher}+hmac-sha384"),
            Some(7) => format!("{cipher}+hmac-sha512"),
            _ => cipher,
        }
    }
}

/// Sender ids that the scripted KS hands out.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SidPlan {
    /// NUMBER_OF_SID_BITS.
    pub bits: u16,
    /// The next one.
    pub next: u32,
    /// How many a GM gets that does not ask.
    pub default_count: u16,
}

impl Default for SidPlan {
    fn default() -> Self {
        Self { bits: 8, next: 0, default_count: 1 }
    }
}

impl SidPlan {
    /// Takes the next sender ids and writes their key packet.
    pub fn take(&mut self, count: u16) -> (KeyPacket, Vec<u32>) {
        let sids: Vec<u32> = (0..u32::from(count)).map(|i| self.next.wrapping_add(i)).collect();
        self.next = self.next.wrapping_add(u32::from(count));
        let mut attributes = vec![Attribute::basic(sid_key::BITS, self.bits)];
        attributes.extend(sids.iter().map(|&sid| Attribute::u32(sid_key::VALUE, sid)));
        (KeyPacket { kd_type: kd_type::SID, spi: Vec::new(), attributes: Attributes(attributes) }, sids)
    }
}

/// The group policy of the scripted KS.
#[derive(Clone)]
pub struct GroupPolicy {
    /// Group identifier.
    pub id: u32,
    /// Rekey SA; `None` for a group without PUSH.
    pub kek: Option<Kek>,
    /// Data-Security SAs.
    pub teks: Vec<Tek>,
    /// Attributes of the GAP payload; none sends no GAP.
    pub gap: Vec<Attribute>,
    /// Replay protection of the data plane: told in the GAP of each PULL and PUSH, in the reference's private form.
    pub replay: Replay,
    /// Whether members are told to receive only, in the reference's private form.
    pub receive_only: bool,
    /// Sender ids; `None` sends no SID packet.
    pub sids: Option<SidPlan>,
    /// The path of an LKH for the one member, leaf first and group KEK last: sent instead of the KEK packet.
    pub lkh: Option<Vec<LkhKey>>,
    /// The sequence number of PULL message 4, if not the KEK's.
    pub pull_seq: Option<u32>,
}

impl GroupPolicy {
    /// Makes the standard policy: one KEK and one TEK.
    #[must_use]
    pub fn standard(rng: &mut Rng, id: u32, signing: Rc<SigningKey>) -> Self {
        Self {
            id,
            kek: Some(Kek::generate(rng, signing)),
            teks: vec![Tek::generate(rng)],
            gap: Vec::new(),
            replay: Replay::None,
            receive_only: false,
            sids: None,
            lkh: None,
            pull_seq: None,
        }
    }

    /// Makes a policy without Rekey SA.
    #[must_use]
    pub fn without_kek(rng: &mut Rng, id: u32) -> Self {
        Self {
            id,
            kek: None,
            teks: vec![Tek::generate(rng)],
            gap: Vec::new(),
            replay: Replay::None,
            receive_only: false,
            sids: None,
            lkh: None,
            pull_seq: None,
        }
    }

    /// Gives the attributes that tell the data plane's policy, for a message that is sent now.
    #[must_use]
    pub fn data_attributes(&self, now: Instant) -> Vec<Attribute> {
        let direction = self.receive_only.then_some(DataPolicy::RECEIVE_ONLY);
        DataPolicy { direction, ..self.replay.policy(now) }.attributes()
    }

    /// Sets activation and deactivation delay.
    #[must_use]
    pub fn delays(mut self, activation_secs: u16, deactivation_secs: u16) -> Self {
        self.gap.push(Attribute::basic(gap_attr::ACTIVATION_TIME_DELAY, activation_secs));
        self.gap.push(Attribute::basic(gap_attr::DEACTIVATION_TIME_DELAY, deactivation_secs));
        self
    }

    /// Writes the SA payload of a PULL message 2 that is sent now.
    #[must_use]
    pub fn sa(&self, now: Instant, src: SocketAddr, dst: SocketAddr) -> GdoiSa {
        let gap = [self.gap.as_slice(), &self.data_attributes(now)].concat();
        sa_payload(self.kek.as_ref().map(|kek| kek.sak(src, dst)), &gap, &self.teks)
    }

    /// Writes the key packets of PULL message 4, without sender ids.
    #[must_use]
    pub fn packets(&self) -> Vec<KeyPacket> {
        let mut packets = Vec::new();
        if let Some(kek) = &self.kek {
            packets.push(match &self.lkh {
                Some(path) => lkh_packet(kek, path),
                None => kek.packet(),
            });
        }
        packets.extend(self.teks.iter().map(Tek::packet));
        packets
    }
}

/// Writes an SA payload in the order SAK, GAP, SATs.
#[must_use]
pub fn sa_payload(sak: Option<SaKek>, gap: &[Attribute], teks: &[Tek]) -> GdoiSa {
    let mut attributes: Vec<SaAttribute> = sak.into_iter().map(SaAttribute::Kek).collect();
    if !gap.is_empty() {
        attributes.push(SaAttribute::Gap(Gap { attributes: Attributes(gap.to_vec()) }));
    }
    attributes.extend(teks.iter().flat_map(Tek::sats).map(SaAttribute::Tek));
    GdoiSa { doi: hallmark_wire::gdoi::DOI, situation: 0, attributes }
}

/// Writes the LKH key packet of PULL message 4.
#[must_use]
pub fn lkh_packet(kek: &Kek, path: &[LkhKey]) -> KeyPacket {
    let array = LkhDownload { keys: path.to_vec() }.encode();
    let mut attributes = vec![Attribute::variable(lkh_key::DOWNLOAD, array)];
    attributes.extend(kek.public_key().map(|key| Attribute::variable(lkh_key::SIGNATURE, key)));
    KeyPacket { kd_type: kd_type::LKH, spi: kek.spi.to_vec(), attributes: Attributes(attributes) }
}

/// Writes the LKH key packet of a PUSH.
#[must_use]
pub fn lkh_update_packet(kek: &Kek, updates: &[LkhUpdate]) -> KeyPacket {
    let mut attributes: Vec<Attribute> =
        updates.iter().map(|update| Attribute::variable(lkh_key::UPDATE, update.encode())).collect();
    attributes.extend(kek.public_key().map(|key| Attribute::variable(lkh_key::SIGNATURE, key)));
    KeyPacket { kd_type: kd_type::LKH, spi: kek.spi.to_vec(), attributes: Attributes(attributes) }
}

/// Makes a path of LKH keys with random content, leaf first; the last is the group KEK itself.
#[must_use]
pub fn lkh_path(rng: &mut Rng, kek: &Kek, depth: u16) -> Vec<LkhKey> {
    let (algorithm, _) = kek.cipher.to_kek();
    let len = kek.cipher.block_len() + kek.cipher.key_len();
    let key = |id: u16, data: Vec<u8>| LkhKey {
        id,
        key_type: u8::try_from(algorithm).unwrap_or_default(),
        created: 0,
        expires: 0,
        handle: 1,
        data,
    };
    let mut path: Vec<LkhKey> = (1..depth.max(1)).rev().map(|level| key(level + 1, rng.vec(len))).collect();
    path.push(key(1, kek.iv_and_key()));
    path
}

/// Replaces the keys above one key of a path up to the group KEK, which becomes the new KEK's, and wraps them for who
/// holds that key: the update array of a PUSH, and the path afterwards.
///
/// # Errors
/// When the path does not reach so far or holds keys of another cipher.
pub fn lkh_update(
    rng: &mut Rng,
    path: &[LkhKey],
    held: usize,
    new: &Kek,
) -> Result<(LkhUpdate, Vec<LkhKey>), CryptoError> {
    let len = new.cipher.block_len() + new.cipher.key_len();
    let wrapper = path.get(held).ok_or(CryptoError::KeyLength { need: held + 1, have: path.len() })?;
    let mut path = path.to_vec();
    let root = path.len().saturating_sub(1);
    let mut wrapping = wrapper.data.clone();
    let mut keys = Vec::new();
    for (index, key) in path.iter_mut().enumerate().skip(held + 1) {
        key.data = if index == root { new.iv_and_key() } else { rng.vec(len) };
        key.handle = key.handle.wrapping_add(1);
        let wrapped = lkh_wrap(new.cipher, &wrapping, &key.data)?;
        wrapping.clone_from(&key.data);
        keys.push(LkhKey { data: wrapped, ..key.clone() });
    }
    let update = LkhUpdate { wrapper_id: wrapper.id, wrapper_handle: wrapper.handle, keys };
    Ok((update, path))
}

/// Gives the time that a lifetime means, or a day if there is none.
#[must_use]
pub fn lifetime(secs: Option<u64>) -> Duration {
    Duration::from_secs(secs.unwrap_or(86_400))
}

fn selector(address: SocketAddr) -> Selector {
    Selector { port: address.port(), ..Selector::from_ip(address.ip()) }
}
