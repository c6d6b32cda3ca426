//! Conversations made octet by octet from the formulas, as captured packets.

use std::net::SocketAddr;

use hallmark_core::{Datagram, Rng, UnixTime};
use hallmark_crypto::gdoi::{
    AckLength, ack_hash, ack_key, pull_hash1, pull_hash2, pull_hash3, pull_hash4, push_digest,
};
use hallmark_crypto::ike::{
    Cbc, SkeyIds, cipher_key, exchange_iv, hash_i, hash_r, informational_hash, phase1_iv, skeyid_psk, skeyid_sig,
    skeyids,
};
use hallmark_crypto::sign::Curve;
use hallmark_crypto::{CipherAlg, DhKey, Group, HashAlg, SigningKey, cbc_encrypt, pad_zero};
use hallmark_evidence::KeyRecord;
use hallmark_wire::capture::{CapturedPacket, link_type};
use hallmark_wire::gdoi::{
    Dialect, GdoiSa, IpsecTek, KeyDownload, KeyPacket, SaAttribute, SaKek, SaTek, Selector, Sequence, kd_type,
    kek_attr, kek_key, tek_attr, tek_key,
};
use hallmark_wire::ip::udp_packet;
use hallmark_wire::isakmp::{
    Attribute, Attributes, Built, ExchangeType, Flags, Header, Identification, PayloadType, Proposal,
    SecurityAssociation, Transform, build_chain,
};

pub(crate) const PSK: &[u8] = b"a shared secret";
pub(crate) const KEK_SPI: [u8; 16] = [0x4b; 16];
pub(crate) const MESSAGE_ID: u32 = 0x1234_5678;

/// Payloads of one message.
pub(crate) type Payloads = Vec<(PayloadType, Vec<u8>)>;

/// Holds one IKE SA with a Rekey SA and the packets that were exchanged.
pub(crate) struct Talk {
    pub(crate) packets: Vec<CapturedPacket>,
    pub(crate) member: SocketAddr,
    pub(crate) server: SocketAddr,
    pub(crate) hash: HashAlg,
    pub(crate) cipher: CipherAlg,
    pub(crate) auth: u16,
    pub(crate) cookies: ([u8; 8], [u8; 8]),
    pub(crate) ke_i: Vec<u8>,
    pub(crate) ke_r: Vec<u8>,
    pub(crate) g_xy: Vec<u8>,
    pub(crate) ni: Vec<u8>,
    pub(crate) nr: Vec<u8>,
    pub(crate) keys: SkeyIds,
    pub(crate) chain: Cbc,
    pub(crate) kek: Vec<u8>,
    pub(crate) signer: SigningKey,
    pub(crate) rng: Rng,
    ident: u16,
}

impl Talk {
    /// Agrees on keys; sends nothing. `auth` is the authentication method.
    pub(crate) fn new(auth: u16) -> Self {
        let mut rng = Rng::from_u64(u64::from(auth));
        let (hash, cipher) = (HashAlg::Sha384, CipherAlg::Aes256);
        let (initiator, responder) =
            (DhKey::generate(Group::Ecp256, &mut rng), DhKey::generate(Group::Ecp256, &mut rng));
        let (ke_i, ke_r) = (initiator.public().to_vec(), responder.public().to_vec());
        let g_xy = initiator.agree(&ke_r).expect("agrees").expose().to_vec();
        let (ni, nr) = (rng.vec(16), rng.vec(20));
        let cookies: ([u8; 8], [u8; 8]) = (rng.octets(), rng.octets());
        let skeyid = if auth == 1 { skeyid_psk(hash, PSK, &ni, &nr) } else { skeyid_sig(hash, &ni, &nr, &g_xy) };
        let keys = skeyids(hash, skeyid, &g_xy, &cookies.0, &cookies.1);
        let key = cipher_key(hash, cipher, keys.e.expose());
        let chain = Cbc::new(cipher, key, phase1_iv(hash, cipher, &ke_i, &ke_r)).expect("a chain");
        let kek = rng.vec(16 + 32);
        let signer = SigningKey::generate_ecdsa(Curve::P256, &mut rng);
        Self {
            packets: Vec::new(),
            member: "10.0.0.2:848".parse().expect("an address"),
            server: "10.0.0.1:848".parse().expect("an address"),
            hash,
            cipher,
            auth,
            cookies,
            ke_i,
            ke_r,
            g_xy,
            ni,
            nr,
            keys,
            chain,
            kek,
            signer,
            rng,
            ident: 0,
        }
    }

    /// Puts a datagram into the capture.
    pub(crate) fn send(&mut self, from_member: bool, payload: Vec<u8>) {
        let (src, dst) = if from_member { (self.member, self.server) } else { (self.server, self.member) };
        self.send_between(src, dst, payload);
    }

    /// Puts a datagram between any two ends into the capture.
    pub(crate) fn send_between(&mut self, src: SocketAddr, dst: SocketAddr, payload: Vec<u8>) {
        self.ident += 1;
        self.capture(udp_packet(&Datagram::new(src, dst, payload), self.ident, false));
    }

    /// Puts an IP packet into the capture.
    pub(crate) fn capture(&mut self, octets: Vec<u8>) {
        self.packets.push(CapturedPacket {
            at: UnixTime::from_secs(1_000 + self.packets.len() as i64),
            interface: 0,
            link_type: link_type::RAW,
            original_len: octets.len() as u32,
            octets,
            comment: None,
        });
    }

    /// Gives the body of the SA payload of message 1.
    pub(crate) fn offer(&self) -> Vec<u8> {
        let numbers = [(1, 7), (2, self.hash.to_ike()), (3, self.auth), (4, 19), (14, 256)];
        let attributes = numbers.iter().map(|(class, value)| Attribute::basic(*class, *value)).collect();
        let transforms = vec![Transform { number: 1, id: 1, attributes }];
        let proposals = vec![Proposal { number: 1, protocol: 1, spi: Vec::new(), transforms }];
        SecurityAssociation { doi: 2, situation: 0, proposals }.encode_body()
    }

    /// Gives a message in clear.
    pub(crate) fn clear(&self, exchange: ExchangeType, cookies: ([u8; 8], [u8; 8]), payloads: &Payloads) -> Vec<u8> {
        let built = build_chain(payloads);
        let header = header(exchange, cookies, &built, Flags(0), 0, built.octets.len());
        [&header.encode()[..], &built.octets].concat()
    }

    /// Gives a message under the IKE SA and moves a chain.
    pub(crate) fn encrypted(
        &self,
        exchange: ExchangeType,
        message_id: u32,
        payloads: &Payloads,
        chain: &mut Cbc,
    ) -> Vec<u8> {
        let built = build_chain(payloads);
        let body = chain.encrypt(built.octets.clone());
        let header = header(exchange, self.cookies, &built, Flags::ENCRYPTION, message_id, body.len());
        [&header.encode()[..], &body].concat()
    }

    /// Sends messages 1 to 4, with `extra` payloads in 3 and 4.
    pub(crate) fn main_mode_in_clear(&mut self, extra: [Payloads; 2]) {
        let offer = self.offer();
        let first = (self.cookies.0, [0; 8]);
        let sa = vec![(PayloadType::SA, offer)];
        self.send(true, self.clear(ExchangeType::MAIN, first, &sa));
        self.send(false, self.clear(ExchangeType::MAIN, self.cookies, &sa));
        let [extra_i, extra_r] = extra;
        let mut third = vec![(PayloadType::KE, self.ke_i.clone()), (PayloadType::NONCE, self.ni.clone())];
        third.extend(extra_i);
        let mut fourth = vec![(PayloadType::KE, self.ke_r.clone()), (PayloadType::NONCE, self.nr.clone())];
        fourth.extend(extra_r);
        self.send(true, self.clear(ExchangeType::MAIN, self.cookies, &third));
        self.send(false, self.clear(ExchangeType::MAIN, self.cookies, &fourth));
    }

    /// Computes HASH_I or HASH_R over the identity of an end.
    pub(crate) fn auth_hash(&self, alg: HashAlg, of_member: bool) -> Vec<u8> {
        let id = self.identity(of_member);
        let (skeyid, (cky_i, cky_r)) = (self.keys.skeyid.expose(), &self.cookies);
        let formula = if of_member { hash_i } else { hash_r };
        formula(alg, skeyid, &self.ke_i, &self.ke_r, cky_i, cky_r, &self.offer(), &id)
    }

    /// Gives the body of the ID payload of an end.
    pub(crate) fn identity(&self, of_member: bool) -> Vec<u8> {
        let end = if of_member { self.member } else { self.server };
        Identification::from_ip(end.ip()).encode_body()
    }

    /// Builds message 5 or 6 with pre-shared keys and moves the chain of phase 1.
    pub(crate) fn last_message(&mut self, of_member: bool) -> Vec<u8> {
        let payloads = vec![
            (PayloadType::ID, self.identity(of_member)),
            (PayloadType::HASH, self.auth_hash(self.hash, of_member)),
        ];
        let mut chain = self.chain.clone();
        let message = self.encrypted(ExchangeType::MAIN, 0, &payloads, &mut chain);
        self.chain = chain;
        message
    }

    /// Sends all six messages of main mode with pre-shared keys.
    pub(crate) fn main_mode(&mut self) {
        self.main_mode_in_clear([Vec::new(), Vec::new()]);
        for of_member in [true, false] {
            let message = self.last_message(of_member);
            self.send(of_member, message);
        }
    }

    /// Starts the chain of an exchange after phase 1.
    pub(crate) fn exchange(&self, message_id: u32) -> Cbc {
        let iv = exchange_iv(self.hash, self.cipher, self.chain.iv(), message_id);
        Cbc::new(self.cipher, self.chain.key().clone(), iv).expect("a chain")
    }

    /// Sends an Informational.
    pub(crate) fn informational(&mut self, from_member: bool, message_id: u32, payloads: &Payloads) {
        let rest = build_chain(payloads).octets;
        let hash = informational_hash(self.hash, self.keys.a.expose(), message_id, &rest);
        let all: Payloads = [vec![(PayloadType::HASH, hash)], payloads.clone()].concat();
        let message = self.encrypted(ExchangeType::INFORMATIONAL, message_id, &all, &mut self.exchange(message_id));
        self.send(from_member, message);
    }

    /// Gives the policy of the group, with or without the Rekey SA `spi`.
    pub(crate) fn policy(&self, kek: Option<[u8; 16]>, tek: Option<u32>, ack: Option<u16>) -> GdoiSa {
        let mut attributes = Vec::new();
        if let Some(spi) = kek {
            let mut list = vec![
                Attribute::basic(kek_attr::ALGORITHM, 3),
                Attribute::basic(kek_attr::KEY_LENGTH, 256),
                Attribute::u32(kek_attr::KEY_LIFETIME, 86_400),
                Attribute::basic(kek_attr::SIG_HASH, 3),
                Attribute::basic(kek_attr::SIG_ALGORITHM, 4),
            ];
            list.extend(ack.map(|kind| Attribute::basic(kek_attr::ACK_REQUESTED, kind)));
            attributes.push(SaAttribute::Kek(SaKek {
                protocol: 17,
                src: Selector::from_ip(self.server.ip()).with_port(848),
                dst: Selector::from_ip("239.1.1.1".parse().expect("an address")).with_port(848),
                spi,
                attributes: Attributes(list),
            }));
        }
        if let Some(spi) = tek {
            attributes.push(SaAttribute::Tek(SaTek::esp(IpsecTek {
                ip_protocol: 0,
                src: Selector::from_subnet("10.1.0.0".parse().expect("an address"), 16),
                dst: Selector::from_ip("10.2.0.230".parse().expect("an address")),
                transform_id: 12,
                spi,
                attributes: Attributes(vec![
                    Attribute::basic(tek_attr::LIFE_TYPE, 1),
                    Attribute::u32(tek_attr::LIFE_DURATION, 3_600),
                    Attribute::basic(tek_attr::AUTH_ALGORITHM, 5),
                    Attribute::basic(tek_attr::KEY_LENGTH, 128),
                ]),
            })));
        }
        GdoiSa::new(attributes)
    }

    /// Gives the packet with a KEK and the public key of the key server.
    pub(crate) fn kek_packet(&self, spi: [u8; 16], iv_and_key: &[u8]) -> KeyPacket {
        let public = self.signer.public().to_spki_der().expect("a key");
        let attributes = Attributes(vec![
            Attribute::variable(kek_key::ALGORITHM, iv_and_key.to_vec()),
            Attribute::variable(kek_key::SIGNATURE, public),
        ]);
        KeyPacket { kd_type: kd_type::KEK, spi: spi.to_vec(), attributes }
    }

    /// Gives the packet with the keys of a TEK.
    pub(crate) fn tek_packet(spi: u32) -> KeyPacket {
        let attributes = Attributes(vec![
            Attribute::variable(tek_key::ALGORITHM, vec![1; 16]),
            Attribute::variable(tek_key::INTEGRITY, vec![2; 32]),
        ]);
        KeyPacket { kd_type: kd_type::TEK, spi: spi.to_be_bytes().to_vec(), attributes }
    }

    /// Gives the four messages of a PULL and the chain after each.
    pub(crate) fn pull_messages(&self, policy: &GdoiSa, packets: Vec<KeyPacket>, sequence: u32) -> Vec<Vec<u8>> {
        let (ni, nr) = (vec![0x61; 16], vec![0x62; 16]);
        let (alg, a) = (self.hash, self.keys.a.expose());
        let with_hash =
            |hash: Vec<u8>, rest: &Payloads| -> Payloads { [vec![(PayloadType::HASH, hash)], rest.clone()].concat() };
        let octets = |rest: &Payloads| build_chain(rest).octets;
        let first =
            vec![(PayloadType::NONCE, ni.clone()), (PayloadType::ID, Identification::key_id(1234).encode_body())];
        let second = vec![(PayloadType::NONCE, nr.clone()), (PayloadType::SA, policy.encode_body(&Dialect::RFC6407))];
        let third: Payloads = Vec::new();
        let mut fourth = Vec::new();
        if policy.kek().is_some() {
            fourth.push((PayloadType::SEQ, Sequence(sequence).encode_body()));
        }
        fourth.push((PayloadType::KEY_DOWNLOAD, KeyDownload { packets }.encode_body()));
        let all = [
            with_hash(pull_hash1(alg, a, MESSAGE_ID, &octets(&first)), &first),
            with_hash(pull_hash2(alg, a, MESSAGE_ID, &ni, &octets(&second)), &second),
            with_hash(pull_hash3(alg, a, MESSAGE_ID, &ni, &nr, &octets(&third)), &third),
            with_hash(pull_hash4(alg, a, MESSAGE_ID, &ni, &nr, &octets(&fourth)), &fourth),
        ];
        let mut chain = self.exchange(MESSAGE_ID);
        all.iter().map(|payloads| self.encrypted(ExchangeType::PULL, MESSAGE_ID, payloads, &mut chain)).collect()
    }

    /// Sends a PULL that delivers the KEK and one TEK.
    pub(crate) fn pull(&mut self, ack: Option<u16>) {
        let policy = self.policy(Some(KEK_SPI), Some(0x1111), ack);
        let packets = vec![self.kek_packet(KEK_SPI, &self.kek.clone()), Self::tek_packet(0x1111)];
        for (index, message) in self.pull_messages(&policy, packets, 0).into_iter().enumerate() {
            self.send(index % 2 == 0, message);
        }
    }

    /// Builds a PUSH under a KEK.
    pub(crate) fn push_under(&mut self, spi: [u8; 16], kek: &[u8], sequence: u32, rest: Payloads) -> Vec<u8> {
        let mut payloads = vec![(PayloadType::SEQ, Sequence(sequence).encode_body())];
        payloads.extend(rest);
        payloads.push((PayloadType::SIG, vec![0; self.signer.signature_len()]));
        let built = build_chain(&payloads);
        let covered = built.octets.len() - self.signer.signature_len() - 4;
        let cookies = Header::split_cookies(&spi);
        let signed = header(ExchangeType::PUSH, cookies, &built, Flags::ENCRYPTION, 0, built.octets.len());
        let digest = push_digest(HashAlg::Sha256, &signed.encode(), &built.octets[..covered]);
        let sig = self.signer.sign_push(HashAlg::Sha256, &digest, false, &mut self.rng).expect("signs");
        let mut body = [&built.octets[..covered + 4], &sig].concat();
        pad_zero(&mut body, 16);
        cbc_encrypt(CipherAlg::Aes256, &kek[16..], &kek[..16], &mut body).expect("encrypts");
        let header = header(ExchangeType::PUSH, cookies, &built, Flags::ENCRYPTION, 0, body.len());
        [&header.encode()[..], &body].concat()
    }

    /// Sends a PUSH with a new TEK to the group.
    pub(crate) fn push(&mut self, sequence: u32, tek: u32) {
        let rest = vec![
            (PayloadType::SA, self.policy(None, Some(tek), None).encode_body(&Dialect::RFC6407)),
            (PayloadType::KEY_DOWNLOAD, KeyDownload { packets: vec![Self::tek_packet(tek)] }.encode_body()),
        ];
        let message = self.push_under(KEK_SPI, &self.kek.clone(), sequence, rest);
        self.send_to_group(message);
    }

    /// Sends a datagram to the group.
    pub(crate) fn send_to_group(&mut self, message: Vec<u8>) {
        let group = "239.1.1.1:848".parse().expect("an address");
        self.send_between(self.server, group, message);
    }

    /// Gives an acknowledgement in one reading of L.
    pub(crate) fn ack(&self, alg: HashAlg, base_key: &[u8], sequence: u32, reading: AckLength) -> Vec<u8> {
        let rest: Payloads =
            vec![(PayloadType::SEQ, Sequence(sequence).encode_body()), (PayloadType::ID, self.identity(true))];
        let key = ack_key(alg, base_key, &KEK_SPI, reading);
        let hash = ack_hash(alg, key.expose(), &build_chain(&rest).octets);
        let all: Payloads = [vec![(PayloadType::HASH, hash)], rest].concat();
        self.clear(ExchangeType::PUSH_ACK, Header::split_cookies(&KEK_SPI), &all)
    }

    /// Gives the keys of the IKE SA in the form that a run leaves.
    pub(crate) fn records(&self) -> Vec<KeyRecord> {
        vec![
            KeyRecord::Ike {
                initiator_cookie: self.cookies.0,
                responder_cookie: self.cookies.1,
                cipher: self.cipher.name().to_owned(),
                hash: self.hash.name().to_owned(),
                group: "ecp256".to_owned(),
                g_xy: self.g_xy.clone(),
                skeyid: self.keys.skeyid.expose().to_vec(),
                skeyid_a: self.keys.a.expose().to_vec(),
                skeyid_e: self.keys.e.expose().to_vec(),
                key: self.chain.key().expose().to_vec(),
                iv: phase1_iv(self.hash, self.cipher, &self.ke_i, &self.ke_r),
            },
            KeyRecord::Psk(PSK.to_vec()),
        ]
    }
}

fn header(
    exchange: ExchangeType,
    cookies: ([u8; 8], [u8; 8]),
    built: &Built,
    flags: Flags,
    message_id: u32,
    body_len: usize,
) -> Header {
    Header {
        initiator_cookie: cookies.0,
        responder_cookie: cookies.1,
        next: built.first,
        version: Header::VERSION,
        exchange,
        flags,
        message_id,
        length: u32::try_from(Header::LEN + body_len).expect("short"),
    }
}
