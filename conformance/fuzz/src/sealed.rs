//! Messages that are right in all that keys decide (hash, signature, encryption) and arbitrary in what is inside, so
//! that decoders behind the cryptography see more than what fails to verify.

use std::sync::OnceLock;

use hallmark_core::{Datagram, Instant, Limits, Rng};
use hallmark_crypto::gdoi::{
    AckLength, ack_hash, ack_key, kek_key_len, kek_key_split, pull_hash1, pull_hash2, pull_hash3, push_digest,
};
use hallmark_crypto::ike::{exchange_iv, informational_hash, phase1_iv};
use hallmark_crypto::{CipherAlg, HashAlg, cbc_decrypt, cbc_encrypt, pad_zero};
use hallmark_wire::gdoi::{KeyDownload, LkhDownload, kd_type, lkh_key};
use hallmark_wire::isakmp::{Chain, ExchangeType, Flags, Header, Message, PayloadType, payload_octets};

use crate::edit::edited;
use crate::input::Input;
use crate::session::{Session, first_of, session};

const HASH: HashAlg = HashAlg::Sha256;
const CIPHER: CipherAlg = CipherAlg::Aes128;

/// What is behind the HASH of a message of the session, or before the SIG.
#[derive(Clone)]
pub(crate) struct Inside {
    first: PayloadType,
    octets: Vec<u8>,
}

/// Opens and seals messages of the session.
pub(crate) struct Sealer {
    session: &'static Session,
    /// Header of PULL message 1.
    pull: Header,
    phase1_block: Vec<u8>,
    ni: Vec<u8>,
    nr: Vec<u8>,
    /// The insides of PULL messages 1 to 4.
    pulls: [Inside; 4],
    /// Main Mode messages 5 and 6, opened, each with the IV that it is sealed with.
    identities: [(Inside, Vec<u8>); 2],
    /// The insides of both PUSH messages.
    pushes: [Inside; 2],
    /// IV and key of the member's leaf, which acknowledgements are keyed with.
    leaf: Vec<u8>,
}

impl Sealer {
    /// Gives the sealer of the session.
    pub(crate) fn get() -> &'static Self {
        static SEALER: OnceLock<Sealer> = OnceLock::new();
        SEALER.get_or_init(|| Self::new(session()))
    }

    fn new(session: &'static Session) -> Self {
        let from_ks = first_of(&session.to_gm, ExchangeType::PULL);
        let from_gm = first_of(&session.to_ks, ExchangeType::PULL);
        let message = |list: &'static [(Instant, Datagram)], n: usize| list[n].1.payload.as_slice();
        let phase1_block = last_block(message(&session.to_gm, from_ks - 1));
        let messages = [
            message(&session.to_ks, from_gm),
            message(&session.to_gm, from_ks),
            message(&session.to_ks, from_gm + 1),
            message(&session.to_gm, from_ks + 1),
        ];
        let pull = Header::decode(messages[0]).expect("a message");
        let mut iv = exchange_iv(HASH, CIPHER, &phase1_block, pull.message_id);
        let plain = messages.map(|datagram| {
            let mut octets = datagram[Header::LEN..].to_vec();
            cbc_decrypt(CIPHER, &session.cipher_key, &iv, &mut octets).expect("whole blocks");
            iv = last_block(datagram);
            octets
        });
        let nonce = |n: usize| {
            let chain = Chain::decode(PayloadType::HASH, &plain[n], &Limits::default()).expect("a chain");
            chain.find(PayloadType::NONCE).expect("a nonce").body.to_vec()
        };
        let (ni, nr) = (nonce(0), nonce(1));
        let pulls = plain.map(|octets| {
            let chain = Chain::decode(PayloadType::HASH, &octets, &Limits::default()).expect("a chain");
            Inside { first: PayloadType(octets[0]), octets: chain.after_first().to_vec() }
        });
        let first = first_of(&session.to_gm, ExchangeType::PUSH);
        let pushes = [first, first + 1].map(|n| Self::open_push(session, &session.to_gm[n].1.payload));
        let identities = Self::open_identities(session);
        let leaf = Self::leaf(&pulls[3]);
        Self { session, pull, phase1_block, ni, nr, pulls, identities, pushes, leaf }
    }

    fn leaf(message4: &Inside) -> Vec<u8> {
        let limits = Limits::default();
        let chain = Chain::decode(message4.first, &message4.octets, &limits).expect("a chain");
        let keys = chain.find(PayloadType::KEY_DOWNLOAD).expect("keys").body;
        let keys = KeyDownload::decode(keys, &limits).expect("keys");
        let packet = keys.find(kd_type::LKH).expect("a hierarchy");
        let array = packet.attributes.octets(lkh_key::DOWNLOAD).expect("a path");
        let path = LkhDownload::decode(array, kek_key_len(CIPHER)).expect("a path");
        path.keys.first().expect("a leaf").data.clone()
    }

    fn open_identities(session: &'static Session) -> [(Inside, Vec<u8>); 2] {
        let key_exchange = |datagram: &Datagram| {
            let message = Message::decode(&datagram.payload).expect("a message");
            let chain = message.chain(&Limits::default()).expect("a chain");
            chain.find(PayloadType::KE).expect("a public value").body.to_vec()
        };
        let (message5, message6) = (&session.to_ks[2].1.payload, &session.to_gm[2].1.payload);
        let iv = phase1_iv(HASH, CIPHER, &key_exchange(&session.to_ks[1].1), &key_exchange(&session.to_gm[1].1));
        let open = |datagram: &[u8], iv: Vec<u8>| {
            let mut octets = datagram[Header::LEN..].to_vec();
            cbc_decrypt(CIPHER, &session.cipher_key, &iv, &mut octets).expect("whole blocks");
            let chain = Chain::decode(PayloadType::ID, &octets, &Limits::default()).expect("a chain");
            (Inside { first: PayloadType::ID, octets: octets[..chain.payload_octets()].to_vec() }, iv)
        };
        [open(message5, iv), open(message6, last_block(message5))]
    }

    fn open_push(session: &Session, datagram: &[u8]) -> Inside {
        let header = Header::decode(datagram).expect("a message");
        let (iv, key) = kek_key_split(CIPHER, &session.kek_iv_and_key).expect("IV and key");
        let mut octets = datagram[Header::LEN..].to_vec();
        cbc_decrypt(CIPHER, key.expose(), &iv, &mut octets).expect("whole blocks");
        let chain = Chain::decode(header.next, &octets, &Limits::default()).expect("a chain");
        let signature = chain.find(PayloadType::SIG).expect("a signature");
        let before = octets[..signature.offset].to_vec();
        Inside { first: header.next, octets: before }
    }

    /// Seals a message for the key server: an Informational, a PULL message 1 or 3, an acknowledgement, or Main Mode
    /// message 5.
    pub(crate) fn for_ks(&self, input: &mut Input<'_>) -> Vec<u8> {
        match input.u8() % 5 {
            0 => self.informational(input),
            1 => {
                let message_id = input.u32() | 1;
                let inside = inside(&self.pulls[0], input);
                let hash = pull_hash1(HASH, &self.session.skeyid_a, message_id, &inside.octets);
                let iv = exchange_iv(HASH, CIPHER, &self.phase1_block, message_id);
                self.phase1_message(ExchangeType::PULL, message_id, &hash, &inside, &iv)
            }
            2 => self.pull(2, input),
            3 => self.acknowledgement(input),
            _ => self.identity(0, input),
        }
    }

    /// Seals a message for the member: an Informational, a PULL message 2 or 4, a PUSH, or Main Mode message 6.
    pub(crate) fn for_gm(&self, input: &mut Input<'_>) -> Vec<u8> {
        match input.u8() % 6 {
            0 => self.informational(input),
            1 => self.pull(1, input),
            2 => self.pull(3, input),
            3 => self.push(false, input),
            4 => self.push(true, input),
            _ => self.identity(1, input),
        }
    }

    fn identity(&self, n: usize, input: &mut Input<'_>) -> Vec<u8> {
        let (template, iv) = &self.identities[n];
        let inside = inside(template, input);
        let mut body = inside.octets;
        pad_zero(&mut body, CIPHER.block_len());
        cbc_encrypt(CIPHER, &self.session.cipher_key, iv, &mut body).expect("whole blocks");
        with_header(Header { next: inside.first, exchange: ExchangeType::MAIN, message_id: 0, ..self.pull }, &body)
    }

    fn insides(&self) -> impl Iterator<Item = &Inside> {
        self.pulls.iter().chain(self.identities.iter().map(|(inside, _)| inside)).chain(&self.pushes)
    }

    /// Gives the opened messages: the type of the first payload, then the chain.
    pub(crate) fn opened(&self) -> Vec<Vec<u8>> {
        self.insides().map(|inside| [&[inside.first.0], inside.octets.as_slice()].concat()).collect()
    }

    /// Gives the bodies of all payloads in the opened messages, each behind its type.
    pub(crate) fn bodies(&self) -> Vec<Vec<u8>> {
        let limits = Limits::default();
        let chains = self.insides().map(|inside| Chain::decode(inside.first, &inside.octets, &limits));
        chains
            .flatten()
            .flat_map(|chain| chain.iter().map(|view| [&[view.kind.0], view.body].concat()).collect::<Vec<_>>())
            .collect()
    }

    fn informational(&self, input: &mut Input<'_>) -> Vec<u8> {
        let message_id = input.u32() | 1;
        let notify = [0, 0, 0, 2, 1, 16, 0x8d, 0x28]
            .into_iter()
            .chain(self.pull.cookies())
            .chain([0, 0, 0, 1])
            .collect::<Vec<u8>>();
        let template = Inside { first: PayloadType::NOTIFY, octets: payload_octets(PayloadType::NONE, &notify) };
        let inside = inside(&template, input);
        let hash = informational_hash(HASH, &self.session.skeyid_a, message_id, &inside.octets);
        let iv = exchange_iv(HASH, CIPHER, &self.phase1_block, message_id);
        self.phase1_message(ExchangeType::INFORMATIONAL, message_id, &hash, &inside, &iv)
    }

    /// Seals message 2, 3 or 4 (`n` counts from 0) of the PULL of the session.
    fn pull(&self, n: usize, input: &mut Input<'_>) -> Vec<u8> {
        let (skeyid_a, message_id) = (&self.session.skeyid_a, self.pull.message_id);
        let inside = inside(&self.pulls[n], input);
        let from_ks = first_of(&self.session.to_gm, ExchangeType::PULL);
        let from_gm = first_of(&self.session.to_ks, ExchangeType::PULL);
        let (hash, before) = match n {
            1 => (pull_hash2(HASH, skeyid_a, message_id, &self.ni, &inside.octets), &self.session.to_ks[from_gm]),
            2 => (self.hash3(&inside), &self.session.to_gm[from_ks]),
            _ => (self.hash3(&inside), &self.session.to_ks[from_gm + 1]),
        };
        self.phase1_message(ExchangeType::PULL, message_id, &hash, &inside, &last_block(&before.1.payload))
    }

    fn hash3(&self, inside: &Inside) -> Vec<u8> {
        let (skeyid_a, message_id) = (&self.session.skeyid_a, self.pull.message_id);
        pull_hash3(HASH, skeyid_a, message_id, &self.ni, &self.nr, &inside.octets)
    }

    fn phase1_message(
        &self,
        exchange: ExchangeType,
        message_id: u32,
        hash: &[u8],
        inside: &Inside,
        iv: &[u8],
    ) -> Vec<u8> {
        let mut body = payload_octets(inside.first, hash);
        body.extend_from_slice(&inside.octets);
        pad_zero(&mut body, CIPHER.block_len());
        cbc_encrypt(CIPHER, &self.session.cipher_key, iv, &mut body).expect("whole blocks");
        let header = Header { next: PayloadType::HASH, exchange, message_id, ..self.pull };
        with_header(header, &body)
    }

    fn push(&self, again: bool, input: &mut Input<'_>) -> Vec<u8> {
        let inside = inside(&self.pushes[usize::from(again)], input);
        let (iv, key) = kek_key_split(CIPHER, &self.session.kek_iv_and_key).expect("IV and key");
        let mut header = self.push_header(ExchangeType::PUSH, inside.first);
        let signing_key = &self.session.signing_key;
        let signature_len = signing_key.signature_len();
        header.length = (Header::LEN + inside.octets.len() + 4 + signature_len) as u32;
        let digest = push_digest(HASH, &header.encode(), &inside.octets);
        let signature =
            signing_key.sign_push(HASH, &digest, false, &mut Rng::from_u64(3)).expect("a digest can be signed");
        let mut body = inside.octets;
        body.extend(payload_octets(PayloadType::NONE, &signature));
        pad_zero(&mut body, CIPHER.block_len());
        cbc_encrypt(CIPHER, key.expose(), &iv, &mut body).expect("whole blocks");
        with_header(header, &body)
    }

    fn acknowledgement(&self, input: &mut Input<'_>) -> Vec<u8> {
        let mut template = payload_octets(PayloadType::ID, &1_u32.to_be_bytes());
        template.extend(payload_octets(PayloadType::NONE, &[1, 0, 0, 0, 10, 0, 0, 2]));
        let inside = inside(&Inside { first: PayloadType::SEQ, octets: template }, input);
        let (_, key) = kek_key_split(CIPHER, &self.leaf).expect("IV and key");
        let key = ack_key(HASH, key.expose(), &self.session.kek_spi, AckLength::PrfBlock);
        let mut body = payload_octets(inside.first, &ack_hash(HASH, key.expose(), &inside.octets));
        body.extend_from_slice(&inside.octets);
        let mut header = self.push_header(ExchangeType::PUSH_ACK, PayloadType::HASH);
        header.flags = Flags::NONE;
        with_header(header, &body)
    }

    fn push_header(&self, exchange: ExchangeType, next: PayloadType) -> Header {
        let (initiator_cookie, responder_cookie) = Header::split_cookies(&self.session.kek_spi);
        Header { initiator_cookie, responder_cookie, next, exchange, message_id: 0, ..self.pull }
    }
}

/// Chooses what goes inside: the template with edits, or octets of the input alone.
fn inside(template: &Inside, input: &mut Input<'_>) -> Inside {
    match input.u8() % 8 {
        0 => Inside { first: PayloadType(input.u8()), octets: input.counted().to_vec() },
        1 => Inside { first: PayloadType(input.u8()), octets: edited(&template.octets, input) },
        _ => Inside { first: template.first, octets: edited(&template.octets, input) },
    }
}

fn last_block(datagram: &[u8]) -> Vec<u8> {
    datagram[datagram.len() - CIPHER.block_len()..].to_vec()
}

fn with_header(mut header: Header, body: &[u8]) -> Vec<u8> {
    header.length = (Header::LEN + body.len()) as u32;
    let mut datagram = header.encode().to_vec();
    datagram.extend_from_slice(body);
    datagram
}

#[cfg(test)]
mod tests {
    use hallmark_control::Machine as _;

    use super::*;
    use crate::session::{at, group_member, key_server, rekey_at, start};

    /// Decisions that leave the template as it is, after the given ones.
    fn untouched(choices: &[u8]) -> Vec<u8> {
        [choices, &[2, 0]].concat()
    }

    #[test]
    fn an_untouched_push_is_the_recorded_one_but_for_its_signature_and_is_accepted() {
        let session = session();
        let mut gm = group_member();
        gm.handle_timeout(start());
        for (when, datagram) in &session.to_gm[..5] {
            gm.handle_datagram(at(*when), datagram);
        }
        let mut datagram = session.to_gm[5].1.clone();
        datagram.payload = Sealer::get().for_gm(&mut Input::new(&untouched(&[3])));
        gm.handle_datagram(rekey_at(), &datagram);
        assert_eq!(gm.status(rekey_at()).rekeys_received, 1);
        datagram.payload = Sealer::get().for_gm(&mut Input::new(&untouched(&[4])));
        gm.handle_datagram(rekey_at(), &datagram);
        let status = gm.status(rekey_at());
        assert_eq!((status.rekeys_received, status.kek.map(|kek| kek.sequence)), (2, Some(0)));
    }

    #[test]
    fn an_untouched_message_is_the_recorded_one() {
        let session = session();
        let sealed = |n: u8| Sealer::get().for_gm(&mut Input::new(&untouched(&[n])));
        assert_eq!(sealed(1), session.to_gm[3].1.payload);
        assert_eq!(sealed(2), session.to_gm[4].1.payload);
        assert_eq!(sealed(5), session.to_gm[2].1.payload);
        let sealed = |n: u8| Sealer::get().for_ks(&mut Input::new(&untouched(&[n])));
        assert_eq!(sealed(2), session.to_ks[4].1.payload);
        assert_eq!(sealed(4), session.to_ks[2].1.payload);
    }

    #[test]
    fn a_fresh_pull_and_an_acknowledgement_verify_at_the_server() {
        let session = session();
        let mut ks = key_server();
        for (when, datagram) in &session.to_ks[..5] {
            ks.handle_datagram(at(*when), datagram);
        }
        while ks.poll_transmit().is_some() {}
        let mut datagram = session.to_ks[3].1.clone();
        datagram.payload = Sealer::get().for_ks(&mut Input::new(&untouched(&[1, 0, 0, 0, 9])));
        ks.handle_datagram(rekey_at(), &datagram);
        assert!(ks.poll_transmit().is_some(), "a PULL with a new message id is answered");
        let command = hallmark_control::KsCommand::Rekey { group: crate::session::GROUP };
        ks.handle_command(rekey_at(), command).unwrap();
        datagram.payload = Sealer::get().for_ks(&mut Input::new(&untouched(&[3])));
        ks.handle_datagram(rekey_at(), &datagram);
        assert_eq!(ks.status(rekey_at()).groups[0].acks, 1);
    }
}
