//! One group member that registers once: phase 1 main mode with a pre-shared key, then GROUPKEY-PULL.
//!
//! It shares only the byte formats and the cryptography with the key server, and judges nothing beyond what it needs to
//! know that it was registered: both HASH payloads of the key server, and that a KD came.

use std::net::SocketAddr;

use anyhow::{Context as _, bail, ensure};
use hallmark_core::{Limits, Rng};
use hallmark_crypto::ike::{self, Cbc, SkeyIds};
use hallmark_crypto::{CipherAlg, DhKey, Group, HashAlg, Secret, ct_eq, gdoi as pull};
use hallmark_wire::gdoi;
use hallmark_wire::isakmp::{
    Attribute, Attributes, Built, Chain, ExchangeType, Flags, Header, Identification, Message, PayloadType, Proposal,
    SecurityAssociation, Transform, build_chain,
};

const HASH: HashAlg = HashAlg::Sha256;
const CIPHER: CipherAlg = CipherAlg::Aes128;

/// Is what a member does after a message.
pub(crate) enum Step {
    /// Sends this and waits for the answer.
    Send(Vec<u8>),
    /// Has its keys.
    Registered,
}

/// Is a member on its way.
pub(crate) struct Member {
    address: SocketAddr,
    group: u32,
    psk: Secret,
    dh: DhKey,
    cookies: ([u8; 8], [u8; 8]),
    sa_body: Vec<u8>,
    nonce: Vec<u8>,
    peer_nonce: Vec<u8>,
    peer_public: Vec<u8>,
    message_id: u32,
    stage: Stage,
    /// Sent again when no answer comes.
    pub(crate) last_sent: Vec<u8>,
}

enum Stage {
    AwaitSa,
    AwaitKe,
    AwaitAuth(Keys),
    AwaitPolicy(Keys),
    AwaitKeys(Keys),
    Done,
}

/// Holds the keys of the phase 1 SA and the IV chain in use.
struct Keys {
    ids: SkeyIds,
    cipher_key: Secret,
    chain: Cbc,
}

impl Member {
    /// Makes a member and its first message. A short private exponent (for curves there is none) keeps the load
    /// generator light; the key server cannot tell.
    pub(crate) fn new(
        address: SocketAddr,
        dh_group: Group,
        group: u32,
        psk: &str,
        rng: &mut Rng,
    ) -> anyhow::Result<(Self, Vec<u8>)> {
        let dh = match dh_group {
            Group::Ecp256 | Group::Ecp384 | Group::Ecp521 => DhKey::generate(dh_group, rng),
            _ => {
                let mut exponent = rng.vec(4);
                exponent.push(3);
                DhKey::from_private(dh_group, &exponent)?
            }
        };
        let sa_body = offer(dh_group).encode_body();
        let mut member = Self {
            address,
            group,
            psk: Secret::new(psk.as_bytes().to_vec()),
            dh,
            cookies: (rng.octets(), [0; 8]),
            sa_body,
            nonce: rng.vec(20),
            peer_nonce: Vec::new(),
            peer_public: Vec::new(),
            message_id: rng.next_u32() | 1,
            stage: Stage::AwaitSa,
            last_sent: Vec::new(),
        };
        let built = build_chain(&[(PayloadType::SA, member.sa_body.clone())]);
        let message = member.clear(&built);
        member.last_sent.clone_from(&message);
        Ok((member, message))
    }

    /// Takes the answer to what was sent last. `None` means that the datagram is none (a copy of an earlier one).
    pub(crate) fn on_message(&mut self, datagram: &[u8]) -> anyhow::Result<Option<Step>> {
        let message = Message::decode(datagram)?;
        let header = message.header;
        ensure!(header.initiator_cookie == self.cookies.0, "a message for another member");
        if header.exchange == ExchangeType::INFORMATIONAL {
            bail!("the key server refuses: {}", refusal(&message));
        }
        let step = match std::mem::replace(&mut self.stage, Stage::Done) {
            Stage::AwaitSa if header.exchange == ExchangeType::MAIN => Some(self.on_sa(&message)?),
            Stage::AwaitKe if header.flags.0 == 0 && is_ke(&message) => Some(self.on_ke(&message)?),
            Stage::AwaitAuth(keys) if header.flags.contains(Flags::ENCRYPTION) => Some(self.on_auth(keys, &message)?),
            Stage::AwaitPolicy(keys) if header.exchange == ExchangeType::PULL => Some(self.on_policy(keys, &message)?),
            Stage::AwaitKeys(keys) if header.exchange == ExchangeType::PULL => self.on_keys(keys, &message)?,
            other => {
                self.stage = other;
                None
            }
        };
        if let Some(Step::Send(message)) = &step {
            self.last_sent.clone_from(message);
        }
        Ok(step)
    }

    fn on_sa(&mut self, message: &Message<'_>) -> anyhow::Result<Step> {
        self.cookies.1 = message.header.responder_cookie;
        self.stage = Stage::AwaitKe;
        let built =
            build_chain(&[(PayloadType::KE, self.dh.public().to_vec()), (PayloadType::NONCE, self.nonce.clone())]);
        Ok(Step::Send(self.clear(&built)))
    }

    fn on_ke(&mut self, message: &Message<'_>) -> anyhow::Result<Step> {
        let chain = message.chain(&Limits::default())?;
        self.peer_public = body(&chain, PayloadType::KE)?;
        self.peer_nonce = body(&chain, PayloadType::NONCE)?;
        let g_xy = self.dh.agree(&self.peer_public)?;
        let (cky_i, cky_r) = self.cookies;
        let skeyid = ike::skeyid_psk(HASH, self.psk.expose(), &self.nonce, &self.peer_nonce);
        let ids = ike::skeyids(HASH, skeyid, g_xy.expose(), &cky_i, &cky_r);
        let cipher_key = ike::cipher_key(HASH, CIPHER, ids.e.expose());
        let iv = ike::phase1_iv(HASH, CIPHER, self.dh.public(), &self.peer_public);
        let mut keys = Keys { chain: Cbc::new(CIPHER, cipher_key.clone(), iv)?, ids, cipher_key };
        let identity = Identification::from_ip(self.address.ip()).encode_body();
        let hash = self.phase1_hash(&keys, &identity, false);
        let built = build_chain(&[(PayloadType::ID, identity), (PayloadType::HASH, hash)]);
        let sealed = self.seal(ExchangeType::MAIN, 0, &mut keys.chain, built);
        self.stage = Stage::AwaitAuth(keys);
        Ok(Step::Send(sealed))
    }

    fn on_auth(&mut self, mut keys: Keys, message: &Message<'_>) -> anyhow::Result<Step> {
        let plain = keys.chain.decrypt(message.body)?;
        let chain = Chain::decode(message.header.next, &plain, &Limits::default())?;
        let expected = self.phase1_hash(&keys, &body(&chain, PayloadType::ID)?, true);
        ensure!(ct_eq(&body(&chain, PayloadType::HASH)?, &expected), "HASH_R is wrong");
        keys.chain.advance(message.body);
        let iv = ike::exchange_iv(HASH, CIPHER, keys.chain.iv(), self.message_id);
        keys.chain = Cbc::new(CIPHER, keys.cipher_key.clone(), iv)?;
        let rest = [
            (PayloadType::NONCE, self.nonce.clone()),
            (PayloadType::ID, Identification::key_id(self.group).encode_body()),
        ];
        let octets = build_chain(&rest).octets;
        let hash = pull::pull_hash1(HASH, keys.ids.a.expose(), self.message_id, &octets);
        let [nonce, id] = rest;
        let built = build_chain(&[(PayloadType::HASH, hash), nonce, id]);
        let sealed = self.seal(ExchangeType::PULL, self.message_id, &mut keys.chain, built);
        self.stage = Stage::AwaitPolicy(keys);
        Ok(Step::Send(sealed))
    }

    fn on_policy(&mut self, mut keys: Keys, message: &Message<'_>) -> anyhow::Result<Step> {
        let plain = keys.chain.decrypt(message.body)?;
        let chain = Chain::decode(message.header.next, &plain, &Limits::default())?;
        let key = keys.ids.a.expose();
        let expected = pull::pull_hash2(HASH, key, self.message_id, &self.nonce, chain.after_first());
        ensure!(ct_eq(&body(&chain, PayloadType::HASH)?, &expected), "HASH(2) is wrong");
        self.peer_nonce = body(&chain, PayloadType::NONCE)?;
        gdoi::GdoiSa::decode(&body(&chain, PayloadType::SA)?, &gdoi::Dialect::RFC6407, &Limits::default())?;
        keys.chain.advance(message.body);
        let hash = pull::pull_hash3(HASH, key, self.message_id, &self.nonce, &self.peer_nonce, &[]);
        let built = build_chain(&[(PayloadType::HASH, hash)]);
        let sealed = self.seal(ExchangeType::PULL, self.message_id, &mut keys.chain, built);
        self.stage = Stage::AwaitKeys(keys);
        Ok(Step::Send(sealed))
    }

    fn on_keys(&mut self, keys: Keys, message: &Message<'_>) -> anyhow::Result<Option<Step>> {
        let plain = keys.chain.decrypt(message.body)?;
        let Ok(chain) = Chain::decode(message.header.next, &plain, &Limits::default()) else {
            // A copy of M2 does not decrypt under the IV of M4.
            self.stage = Stage::AwaitKeys(keys);
            return Ok(None);
        };
        let key = keys.ids.a.expose();
        let expected = pull::pull_hash4(HASH, key, self.message_id, &self.nonce, &self.peer_nonce, chain.after_first());
        ensure!(ct_eq(&body(&chain, PayloadType::HASH)?, &expected), "HASH(4) is wrong");
        gdoi::KeyDownload::decode(&body(&chain, PayloadType::KEY_DOWNLOAD)?, &Limits::default())?;
        Ok(Some(Step::Registered))
    }

    fn phase1_hash(&self, keys: &Keys, identity: &[u8], responder: bool) -> Vec<u8> {
        let formula = if responder { ike::hash_r } else { ike::hash_i };
        let (cky_i, cky_r) = self.cookies;
        let skeyid = keys.ids.skeyid.expose();
        formula(HASH, skeyid, self.dh.public(), &self.peer_public, &cky_i, &cky_r, &self.sa_body, identity)
    }

    fn clear(&self, built: &Built) -> Vec<u8> {
        self.message(ExchangeType::MAIN, 0, Flags::NONE, built.first, &built.octets)
    }

    fn seal(&self, exchange: ExchangeType, message_id: u32, chain: &mut Cbc, built: Built) -> Vec<u8> {
        let body = chain.encrypt(built.octets);
        self.message(exchange, message_id, Flags::ENCRYPTION, built.first, &body)
    }

    fn message(
        &self,
        exchange: ExchangeType,
        message_id: u32,
        flags: Flags,
        next: PayloadType,
        body: &[u8],
    ) -> Vec<u8> {
        let header = Header {
            initiator_cookie: self.cookies.0,
            responder_cookie: self.cookies.1,
            next,
            version: 0x10,
            exchange,
            flags,
            message_id,
            length: u32::try_from(Header::LEN + body.len()).unwrap_or(u32::MAX),
        };
        [header.encode().as_slice(), body].concat()
    }
}

fn offer(group: Group) -> SecurityAssociation {
    let (encryption, key_bits) = CIPHER.to_ike();
    let mut attributes = vec![
        Attribute::basic(1, encryption),
        Attribute::basic(2, HASH.to_ike()),
        Attribute::basic(3, 1),
        Attribute::basic(4, group.to_ike()),
        Attribute::basic(11, 1),
        Attribute::u32(12, 86_400),
    ];
    if let Some(bits) = key_bits {
        attributes.push(Attribute::basic(14, bits));
    }
    let transform = Transform { number: 1, id: 1, attributes: Attributes(attributes) };
    let proposal = Proposal { number: 1, protocol: 1, spi: Vec::new(), transforms: vec![transform] };
    SecurityAssociation { doi: gdoi::DOI, situation: 0, proposals: vec![proposal] }
}

fn body(chain: &Chain<'_>, kind: PayloadType) -> anyhow::Result<Vec<u8>> {
    chain.find(kind).map(|payload| payload.body.to_vec()).with_context(|| format!("no {kind:?} payload in the answer"))
}

fn is_ke(message: &Message<'_>) -> bool {
    message.header.next == PayloadType::KE || message.header.next == PayloadType::NONCE
}

fn refusal(message: &Message<'_>) -> String {
    if message.header.flags.contains(Flags::ENCRYPTION) {
        return "an encrypted notification".to_owned();
    }
    format!("a notification in clear with {} octets", message.body.len())
}
