//! The IKE SAs of a capture: who they join, which keys open them, where their IV chains stand.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use hallmark_core::Limits;
use hallmark_crypto::ike::{Cbc, exchange_iv};
use hallmark_wire::DecodeError;
use hallmark_wire::describe::{self, Context};
use hallmark_wire::gdoi::Dialect;
use hallmark_wire::isakmp::{Chain, Header, PayloadType};

use crate::check::{Check, Verdict};
use crate::encoding::reencode;
use crate::frame::{Frame, Protection};
use crate::keyring::Keyring;
use crate::keys::{Facts, IkeKeys, candidates};
use crate::policy::{Deviations, Policy};
use crate::secrets::Secrets;
use crate::sequence::Sequences;

/// Points at which one IV chain may go on; the oldest gives way.
const TAILS: usize = 32;

/// Holds what all messages share.
pub(crate) struct World<'a> {
    pub(crate) secrets: &'a Secrets,
    pub(crate) limits: Limits,
    pub(crate) show_keys: bool,
    pub(crate) deviations: Deviations,
    pub(crate) keyring: Keyring,
    pub(crate) sequences: Sequences,
    pub(crate) sas: BTreeMap<[u8; 16], IkeSa>,
    /// First messages by CKY-I, until the answer names the SA.
    pub(crate) offers: BTreeMap<[u8; 8], Offer>,
    /// Ports that a SAK named.
    pub(crate) rekey_ports: Vec<u16>,
}

/// Holds what a first message said.
#[derive(Clone, Default)]
pub(crate) struct Offer {
    pub(crate) ends: Option<(SocketAddr, SocketAddr)>,
    pub(crate) sa_i_b: Option<Vec<u8>>,
    pub(crate) ke_i: Option<Vec<u8>>,
    pub(crate) ni: Option<Vec<u8>>,
    pub(crate) id_i: Option<Vec<u8>>,
}

/// Names the two ends of an IKE SA.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Role {
    Initiator,
    Responder,
}

/// Is a ciphertext block that the next message may be chained to.
#[derive(Clone)]
struct Tail {
    block: Vec<u8>,
    verified: bool,
    from: Option<Role>,
}

/// Keeps the ends of the messages of one IV chain.
#[derive(Clone, Default)]
pub(crate) struct Tails(Vec<Tail>);

impl Tails {
    /// Takes the last block of a message.
    pub(crate) fn push(&mut self, ciphertext: &[u8], block: usize, verified: bool, from: Option<Role>) {
        let Some(start) = ciphertext.len().checked_sub(block) else { return };
        let block = ciphertext.get(start..).unwrap_or_default().to_vec();
        if let Some(known) = self.0.iter_mut().find(|known| known.block == block) {
            known.verified |= verified;
            return;
        }
        if self.0.len() >= TAILS {
            self.0.remove(0);
        }
        self.0.push(Tail { block, verified, from });
    }

    /// Gives the blocks: verified ones before others, later ones before earlier ones.
    fn blocks(&self, from: Option<Role>) -> Vec<Vec<u8>> {
        let of = |verified: bool| {
            let fitting = move |tail: &&Tail| tail.verified == verified && (from.is_none() || tail.from == from);
            self.0.iter().rev().filter(fitting).map(|tail| tail.block.clone())
        };
        of(true).chain(of(false)).collect()
    }
}

/// Holds one IKE SA.
#[derive(Default)]
pub(crate) struct IkeSa {
    pub(crate) facts: Facts,
    pub(crate) suite_error: Option<String>,
    pub(crate) ends: Option<(SocketAddr, SocketAddr)>,
    pub(crate) sa_i_b: Option<Vec<u8>>,
    pub(crate) id_i: Option<Vec<u8>>,
    pub(crate) phase1: Tails,
    /// Ends of the last message of phase 1, from which every later exchange starts.
    pub(crate) last: Tails,
    pub(crate) exchanges: BTreeMap<u32, Exchange>,
    chosen: Option<IkeKeys>,
    proven: bool,
    conflicts_told: bool,
    psk_told: bool,
}

/// Holds one exchange under an IKE SA.
#[derive(Default)]
pub(crate) struct Exchange {
    pub(crate) tails: Tails,
    /// Nonces with whether their message verified.
    pub(crate) ni: Option<(Vec<u8>, bool)>,
    pub(crate) nr: Option<(Vec<u8>, bool)>,
    pub(crate) policy: Option<Policy>,
}

/// Says how an encrypted message opened.
pub(crate) struct Opened {
    pub(crate) plain: Vec<u8>,
    pub(crate) keys: IkeKeys,
    pub(crate) check: Option<Check>,
}

impl Opened {
    /// Tells whether the message has verified, or cannot be verified for want of a key.
    pub(crate) fn is_trusted(&self) -> bool {
        self.check.as_ref().is_none_or(|check| check.verdict != Verdict::Failed)
    }
}

/// Chooses where the IV of a message comes from.
pub(crate) enum Chaining<'a> {
    /// First encrypted message of phase 1.
    First,
    /// A later message of phase 1, after one of the other end.
    After(Role),
    /// An exchange after phase 1.
    Exchange(u32, &'a Tails),
}

impl IkeSa {
    /// Tells which end sent a datagram.
    pub(crate) fn sender(&self, src: SocketAddr, dst: SocketAddr) -> Option<Role> {
        let (initiator, responder) = self.ends?;
        if src == initiator || dst == responder {
            return Some(Role::Initiator);
        }
        if src == responder || dst == initiator {
            return Some(Role::Responder);
        }
        // Behind a NAT the ports change; on one host the addresses are the same.
        if initiator.ip() != responder.ip() {
            if src.ip() == initiator.ip() || dst.ip() == responder.ip() {
                return Some(Role::Initiator);
            }
            if src.ip() == responder.ip() || dst.ip() == initiator.ip() {
                return Some(Role::Responder);
            }
        }
        None
    }

    /// Gives the block length of the cipher, if that is known.
    pub(crate) fn block_len(&self) -> Option<usize> {
        let suite = self.chosen.as_ref().map(|keys| keys.suite).or(self.facts.suite)?;
        Some(suite.cipher.block_len())
    }

    /// Gives the keys that opened an earlier message.
    pub(crate) const fn keys(&self) -> Option<&IkeKeys> {
        self.chosen.as_ref()
    }

    /// Decrypts with every set of keys and every IV that may fit, and takes the reading that verifies.
    ///
    /// On failure the frame says why.
    pub(crate) fn open(
        &mut self,
        world: &Shared<'_>,
        frame: &mut Frame,
        first: PayloadType,
        ciphertext: &[u8],
        chaining: &Chaining<'_>,
        verify: impl Fn(&Chain<'_>, &IkeKeys) -> Option<Check>,
    ) -> Option<Opened> {
        let sets = match &self.chosen {
            Some(keys) => vec![keys.clone()],
            None => candidates(world.secrets, &self.facts),
        };
        if sets.is_empty() {
            frame.protection = Protection::NotDecrypted(self.no_keys(world.secrets));
            return None;
        }
        // Where the negotiation was not captured, the secrets of this very SA say what was chosen.
        let named = sets.iter().find(|keys| keys.bound).map(|keys| keys.suite);
        self.facts.suite = self.facts.suite.or(named);
        let mut best: Option<(u8, Opened)> = None;
        let mut garbled: Option<DecodeError> = None;
        let mut ivs_tried = 0_usize;
        for keys in &sets {
            for iv in self.ivs(keys, chaining) {
                ivs_tried = ivs_tried.saturating_add(1);
                let Ok(cbc) = Cbc::new(keys.suite.cipher, keys.key.clone(), iv) else { continue };
                let plain = match cbc.decrypt(ciphertext) {
                    Ok(plain) => plain,
                    Err(error) => {
                        frame.protection = Protection::NotDecrypted(error.to_string());
                        frame.fail_to_decode(error.code(), format!("the encrypted part: {error}"));
                        return None;
                    }
                };
                let check = match Chain::decode(first, &plain, world.limits) {
                    Ok(chain) => verify(&chain, keys),
                    Err(error) => {
                        garbled.get_or_insert(error);
                        continue;
                    }
                };
                let score = match check.as_ref().map(|check| check.verdict) {
                    Some(Verdict::Ok) => 3,
                    Some(Verdict::NotCheckable) | None => 2,
                    Some(Verdict::Failed) => 1,
                };
                if best.as_ref().is_none_or(|(known, _)| score > *known) {
                    best = Some((score, Opened { plain, keys: keys.clone(), check }));
                }
            }
        }
        let Some((score, opened)) = best else {
            self.closed(frame, &sets, ivs_tried, garbled);
            return None;
        };
        self.proven |= score == 3;
        if score == 3 || sets.len() == 1 {
            self.chosen = Some(opened.keys.clone());
        }
        frame.protection = Protection::Decrypted(format!("{}, {}", opened.keys.suite.cipher, opened.keys.origin));
        if !self.conflicts_told && !opened.keys.conflicts.is_empty() {
            self.conflicts_told = true;
            frame.checks.push(Check::failed("secrets", opened.keys.conflicts.join("; ")));
        }
        if !self.psk_told && opened.keys.foreign_psk {
            self.psk_told = true;
            frame.note("no PSK that was given leads to the SKEYID that was given");
        }
        Some(opened)
    }

    fn ivs(&self, keys: &IkeKeys, chaining: &Chaining<'_>) -> Vec<Vec<u8>> {
        let suite = keys.suite;
        match chaining {
            Chaining::First => keys.iv.iter().cloned().collect(),
            Chaining::After(role) => self.phase1.blocks(Some(*role)),
            Chaining::Exchange(message_id, tails) => {
                let starts = self.last.blocks(None);
                let starts = starts.iter().map(|last| exchange_iv(suite.hash, suite.cipher, last, *message_id));
                tails.blocks(None).into_iter().chain(starts).collect()
            }
        }
    }

    fn no_keys(&self, secrets: &Secrets) -> String {
        if secrets.is_empty() {
            return "no keys were given".to_owned();
        }
        if let Some(error) = &self.suite_error {
            return error.clone();
        }
        if self.facts.suite.is_none() {
            return "the negotiation of its algorithms was not captured".to_owned();
        }
        "no key that was given belongs to this IKE SA".to_owned()
    }

    /// Says why nothing fits.
    fn closed(&self, frame: &mut Frame, sets: &[IkeKeys], ivs_tried: usize, garbled: Option<DecodeError>) {
        let Some(error) = garbled.filter(|_| ivs_tried > 0) else {
            let why = "the message before it was not captured, so its IV is not known";
            frame.protection = Protection::NotDecrypted(why.to_owned());
            return;
        };
        if self.proven {
            // The key has opened other messages: this one is what is broken.
            frame.protection = Protection::NotDecrypted("it decrypts to no chain of payloads".to_owned());
            frame.fail_to_decode(error.code, format!("it decrypts to no chain of payloads: {error}"));
            return;
        }
        let detail = if sets.iter().any(|keys| keys.bound) {
            "wrong key: the key given for this IKE SA decrypts it to no chain of payloads".to_owned()
        } else {
            format!("wrong key: none of the {} sets of keys given decrypts it to a chain of payloads", sets.len())
        };
        frame.protection = Protection::NotDecrypted(detail.clone());
        frame.checks.push(Check::failed("decryption", detail));
    }
}

/// Holds the parts of the world that opening a message needs.
pub(crate) struct Shared<'a> {
    pub(crate) secrets: &'a Secrets,
    pub(crate) limits: &'a Limits,
}

/// Fills in what the payloads of a message say; `gdoi` is the dialect of GDOI exchanges.
pub(crate) fn fill(frame: &mut Frame, chain: &Chain<'_>, gdoi: Option<&Dialect>, show_keys: bool) {
    let context = gdoi.map_or_else(Context::phase1, |dialect| Context::gdoi(*dialect));
    let context = if show_keys { context.revealing_keys() } else { context };
    frame.payloads = chain.kinds().iter().map(ToString::to_string).collect();
    frame.tree = describe::chain(chain, &context);
    let result = reencode(chain, gdoi);
    if let Some((kind, error)) = result.error {
        frame.fail_to_decode(error.code, format!("payload {kind}: {error}"));
    }
    frame.checks.push(match result.same {
        Some(true) => Check::ok("encoding", ""),
        Some(false) => Check::failed("encoding", "decoding and encoding gives other octets"),
        None => Check::not_checkable("encoding", "a payload does not decode"),
    });
    let padding = chain.trailing();
    if matches!(frame.protection, Protection::Clear) && !padding.is_empty() {
        frame.note(format!("{} octets behind the last payload", padding.len()));
    } else if padding.iter().any(|octet| *octet != 0) {
        frame.note("the padding is not zero");
    }
}

/// Reads a chain in clear; on failure the frame says why.
pub(crate) fn clear_chain<'b>(
    frame: &mut Frame,
    header: &Header,
    body: &'b [u8],
    limits: &Limits,
) -> Option<Chain<'b>> {
    match Chain::decode(header.next, body, limits) {
        Ok(chain) => Some(chain),
        Err(error) => {
            let error = error.shifted(Header::LEN);
            frame.fail_to_decode(error.code, error.to_string());
            None
        }
    }
}
