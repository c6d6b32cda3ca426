//! Main mode and aggressive mode.

use std::net::SocketAddr;

use hallmark_crypto::ike::{hash_i, hash_r, nat_d};
use hallmark_crypto::{HashAlg, Secret, cert};
use hallmark_wire::isakmp::{Certificate, Chain, Flags, Header, Identification, PayloadType, SecurityAssociation};

use crate::check::{Check, Verdict};
use crate::compat::Switch;
use crate::frame::{Frame, Kind};
use crate::keys::{IkeKeys, Suite};
use crate::session::{Chaining, IkeSa, Offer, Opened, Role, Shared, World, clear_chain, fill};

type Ends = (SocketAddr, SocketAddr);

/// Reads a message of main mode.
pub(crate) fn main_mode(world: &mut World<'_>, frame: &mut Frame, ends: Ends, header: &Header, body: &[u8]) {
    frame.kind = Kind::MainMode(None);
    if header.flags.contains(Flags::ENCRYPTION) {
        return with_sa(world, header, |world, sa| last_messages(world, sa, frame, ends, header, body));
    }
    let Some(chain) = clear_chain(frame, header, body, &world.limits) else { return };
    fill(frame, &chain, None, world.show_keys);
    let bodies = Bodies::of(&chain);
    if let Some(offered) = bodies.sa {
        judge_association(world, frame, offered);
    }
    if header.responder_cookie == [0; 8] {
        frame.kind = Kind::MainMode(Some(1));
        let offer = Offer { ends: Some(ends), sa_i_b: owned(bodies.sa), ..Offer::default() };
        world.offers.insert(header.initiator_cookie, offer);
        return;
    }
    with_sa(world, header, |world, sa| match (bodies.sa, bodies.ke) {
        (Some(choice), _) => {
            frame.kind = Kind::MainMode(Some(2));
            adopt_offer(world, sa, header, ends);
            choose_suite(world, sa, frame, choice);
        }
        (None, Some(public)) => {
            let sender = sa.sender(ends.0, ends.1);
            let number = match sender {
                Some(Role::Initiator) => 3,
                Some(Role::Responder) => 4,
                None => 3_u8.saturating_add(u8::from(sa.facts.ke_i.is_some())),
            };
            frame.kind = Kind::MainMode(Some(number));
            let facts = &mut sa.facts;
            if number == 3 && facts.ke_r.is_none() {
                // Until the responder has answered, the latest message 3 is the one that he will answer.
                (facts.ke_i, facts.ni) = (Some(public.to_vec()), owned(bodies.nonce));
            } else if number == 4 && facts.ke_r.is_none() {
                (facts.ke_r, facts.nr) = (Some(public.to_vec()), owned(bodies.nonce));
            }
            judge_nat(sa, frame, ends, header, &chain);
        }
        (None, None) => {}
    });
}

/// Reads a message of aggressive mode.
pub(crate) fn aggressive(world: &mut World<'_>, frame: &mut Frame, ends: Ends, header: &Header, body: &[u8]) {
    frame.kind = Kind::AggressiveMode(None);
    if header.flags.contains(Flags::ENCRYPTION) {
        frame.kind = Kind::AggressiveMode(Some(3));
        return with_sa(world, header, |world, sa| {
            let shared = Shared { secrets: world.secrets, limits: &world.limits };
            let view = SaView::of(sa);
            let verify = |chain: &Chain<'_>, keys: &IkeKeys| view.verify(chain, keys, Role::Initiator);
            let opened = sa.open(&shared, frame, header.next, body, &Chaining::First, verify);
            let verified = opened.as_ref().is_some_and(Opened::is_trusted);
            if let Some(block) = sa.block_len() {
                sa.last.push(body, block, verified, Some(Role::Initiator));
            }
            finish(world, frame, header, opened);
        });
    }
    let Some(chain) = clear_chain(frame, header, body, &world.limits) else { return };
    fill(frame, &chain, None, world.show_keys);
    let bodies = Bodies::of(&chain);
    if let Some(offered) = bodies.sa {
        judge_association(world, frame, offered);
    }
    if header.responder_cookie == [0; 8] {
        frame.kind = Kind::AggressiveMode(Some(1));
        let (sa_i_b, ke_i, ni, id_i) = (owned(bodies.sa), owned(bodies.ke), owned(bodies.nonce), owned(bodies.id));
        world.offers.insert(header.initiator_cookie, Offer { ends: Some(ends), sa_i_b, ke_i, ni, id_i });
        return;
    }
    with_sa(world, header, |world, sa| {
        let sender = if let Some(choice) = bodies.sa {
            frame.kind = Kind::AggressiveMode(Some(2));
            adopt_offer(world, sa, header, ends);
            choose_suite(world, sa, frame, choice);
            (sa.facts.ke_r, sa.facts.nr) = (owned(bodies.ke), owned(bodies.nonce));
            Role::Responder
        } else {
            frame.kind = Kind::AggressiveMode(Some(3));
            Role::Initiator
        };
        let view = SaView::of(sa);
        let sets =
            sa.keys().map_or_else(|| crate::keys::candidates(world.secrets, &sa.facts), |keys| vec![keys.clone()]);
        if sender == Role::Initiator
            && let Some((keys, block)) = sets.first().zip(sa.block_len())
            && let Some(iv) = &keys.iv
        {
            // Nothing was encrypted in phase 1, so its IV is what later exchanges start from.
            sa.last.push(iv, block, true, Some(Role::Initiator));
        }
        let checks: Vec<Check> = sets.iter().filter_map(|keys| view.verify(&chain, keys, sender)).collect();
        let best = checks.iter().find(|check| check.verdict == Verdict::Ok).or_else(|| checks.first()).cloned();
        frame.checks.extend(best.or_else(|| unverified(&chain, sender, "the keys of this IKE SA are not known")));
        judge_nat(sa, frame, ends, header, &chain);
    });
}

/// Reads message 5 or 6 of main mode.
fn last_messages(world: &mut World<'_>, sa: &mut IkeSa, frame: &mut Frame, ends: Ends, header: &Header, body: &[u8]) {
    let shared = Shared { secrets: world.secrets, limits: &world.limits };
    // Where the beginning was not captured, the first encrypted message is taken for message 5.
    sa.ends = sa.ends.or(Some(ends));
    let sender = sa.sender(ends.0, ends.1).unwrap_or(Role::Initiator);
    let view = SaView::of(sa);
    let verify = |chain: &Chain<'_>, keys: &IkeKeys| view.verify(chain, keys, sender);
    let (number, chaining) = match sender {
        Role::Initiator => (5, Chaining::First),
        Role::Responder => (6, Chaining::After(Role::Initiator)),
    };
    frame.kind = Kind::MainMode(Some(number));
    let opened = sa.open(&shared, frame, header.next, body, &chaining, verify);
    let verified = opened.as_ref().is_some_and(Opened::is_trusted);
    if let Some(block) = sa.block_len() {
        match sender {
            Role::Initiator => sa.phase1.push(body, block, verified, Some(sender)),
            Role::Responder => sa.last.push(body, block, verified, Some(sender)),
        }
    }
    if opened.is_none() {
        let name = if sender == Role::Initiator { "HASH_I" } else { "HASH_R" };
        frame.checks.push(Check::not_checkable(name, "the message could not be opened"));
    }
    finish(world, frame, header, opened);
}

fn finish(world: &mut World<'_>, frame: &mut Frame, header: &Header, opened: Option<Opened>) {
    let Some(opened) = opened else { return };
    frame.checks.extend(opened.check);
    let Ok(chain) = Chain::decode(header.next, &opened.plain, &world.limits) else { return };
    fill(frame, &chain, None, world.show_keys);
    let id = chain.find(PayloadType::ID).and_then(|id| Identification::decode(id.body).ok());
    if id.is_some_and(|id| id.port == 848) {
        world.deviations.found(frame, "identity", Switch::IdPort848, "the identity has port 848");
    }
}

/// Runs with the SA of a message taken out of the world, so that both can change.
pub(crate) fn with_sa(world: &mut World<'_>, header: &Header, run: impl FnOnce(&mut World<'_>, &mut IkeSa)) {
    let cookies = header.cookies();
    let mut sa = world.sas.remove(&cookies).unwrap_or_default();
    sa.facts.cookies = cookies;
    run(world, &mut sa);
    world.sas.insert(cookies, sa);
}

fn adopt_offer(world: &World<'_>, sa: &mut IkeSa, header: &Header, ends: Ends) {
    let offer = world.offers.get(&header.initiator_cookie).cloned().unwrap_or_default();
    sa.ends = sa.ends.or(offer.ends).or(Some((ends.1, ends.0)));
    sa.sa_i_b = sa.sa_i_b.take().or(offer.sa_i_b);
    sa.facts.ke_i = sa.facts.ke_i.take().or(offer.ke_i);
    sa.facts.ni = sa.facts.ni.take().or(offer.ni);
    sa.id_i = sa.id_i.take().or(offer.id_i);
}

fn choose_suite(world: &mut World<'_>, sa: &mut IkeSa, frame: &mut Frame, choice: &[u8]) {
    let Ok(choice) = SecurityAssociation::decode(choice) else {
        sa.suite_error = Some("the chosen algorithms do not decode".to_owned());
        return;
    };
    let transform = choice.proposals.iter().flat_map(|proposal| &proposal.transforms).next();
    match transform.map(|transform| Suite::of_transform(&transform.attributes)) {
        Some(Ok(suite)) => {
            if suite.assumed_key_length {
                let detail = "the chosen transform is AES without a Key Length, taken for 128 bits";
                world.deviations.found(frame, "suite", Switch::AesNoKeyLength, detail);
            }
            sa.facts.suite = Some(suite);
            frame.note(format!("{} {}", suite.cipher, suite.hash));
        }
        Some(Err(error)) => {
            frame.note(error.clone());
            sa.suite_error = Some(error);
        }
        None => sa.suite_error = Some("the answer holds no transform".to_owned()),
    }
}

fn judge_association(world: &mut World<'_>, frame: &mut Frame, body: &[u8]) {
    let Ok(sa) = SecurityAssociation::decode(body) else { return };
    match (sa.doi, sa.situation) {
        (2, 0) => {}
        (1, _) => world.deviations.found(frame, "doi", Switch::Doi1, "phase 1 under DOI 1"),
        (doi, situation) => {
            frame.checks.push(Check::failed("doi", format!("DOI {doi} and situation {situation} instead of 2 and 0")));
        }
    }
}

/// Says what the NAT-D payloads tell: the first is about the receiver, the others about the sender.
fn judge_nat(sa: &IkeSa, frame: &mut Frame, (src, dst): Ends, header: &Header, chain: &Chain<'_>) {
    let Some(suite) = sa.facts.suite else { return };
    let found: Vec<&[u8]> = chain.iter().filter(|view| view.kind == PayloadType::NAT_D).map(|view| view.body).collect();
    let Some((receiver, senders)) = found.split_first() else { return };
    let hash = |end| nat_d(suite.hash, &header.initiator_cookie, &header.responder_cookie, end);
    let receiver_moved = *receiver != hash(dst);
    let sender_moved = !senders.contains(&hash(src).as_slice());
    frame.note(match (sender_moved, receiver_moved) {
        (false, false) => "NAT-D: no address is translated",
        (true, false) => "NAT-D: the sender's address is translated",
        (false, true) => "NAT-D: the receiver's address is translated",
        (true, true) => "NAT-D: both addresses are translated",
    });
}

/// The bodies of the payloads that phase 1 lives from.
struct Bodies<'a> {
    sa: Option<&'a [u8]>,
    ke: Option<&'a [u8]>,
    nonce: Option<&'a [u8]>,
    id: Option<&'a [u8]>,
}

impl<'a> Bodies<'a> {
    fn of(chain: &Chain<'a>) -> Self {
        let body = |kind| chain.find(kind).map(|view| view.body);
        Self {
            sa: body(PayloadType::SA),
            ke: body(PayloadType::KE),
            nonce: body(PayloadType::NONCE),
            id: body(PayloadType::ID),
        }
    }
}

fn owned(octets: Option<&[u8]>) -> Option<Vec<u8>> {
    octets.map(<[u8]>::to_vec)
}

/// Holds what HASH_I and HASH_R cover.
struct SaView {
    ke_i: Option<Vec<u8>>,
    ke_r: Option<Vec<u8>>,
    cookies: [u8; 16],
    sa_i_b: Option<Vec<u8>>,
    id_i: Option<Vec<u8>>,
}

impl SaView {
    fn of(sa: &IkeSa) -> Self {
        let facts = &sa.facts;
        Self {
            ke_i: facts.ke_i.clone(),
            ke_r: facts.ke_r.clone(),
            cookies: facts.cookies,
            sa_i_b: sa.sa_i_b.clone(),
            id_i: sa.id_i.clone(),
        }
    }

    /// Verifies HASH or SIG of the message that ends an authentication.
    fn verify(&self, chain: &Chain<'_>, keys: &IkeKeys, sender: Role) -> Option<Check> {
        let name = names(chain, sender)?;
        let id = chain.find(PayloadType::ID).map(|id| id.body);
        // The identity of the initiator stands in the first message of aggressive mode.
        let id = id.or_else(|| self.id_i.as_deref().filter(|_| sender == Role::Initiator));
        let Some(id) = id else { return Some(Check::not_checkable(name, "the identity was not captured")) };
        if let Some(hash) = chain.find(PayloadType::HASH) {
            return Some(match self.compute(keys, sender, id, keys.suite.hash) {
                Ok(computed) => Check::of_octets(name, &computed, hash.body),
                Err(why) => Check::not_checkable(name, why),
            });
        }
        let sig = chain.find(PayloadType::SIG)?;
        let computed = match self.compute(keys, sender, id, keys.suite.auth_hash()) {
            Ok(computed) => computed,
            Err(why) => return Some(Check::not_checkable(name, why)),
        };
        Some(verify_signature(name, chain, &computed, sig.body))
    }

    fn compute(&self, keys: &IkeKeys, sender: Role, id: &[u8], alg: HashAlg) -> Result<Vec<u8>, &'static str> {
        let skeyid = keys.skeyid.as_ref().map(Secret::expose).ok_or("SKEYID is not known")?;
        let (Some(ke_i), Some(ke_r)) = (&self.ke_i, &self.ke_r) else {
            return Err("the public values were not captured");
        };
        let offer = self.sa_i_b.as_deref().ok_or("the first message was not captured")?;
        let (cky_i, rest) = self.cookies.split_first_chunk::<8>().ok_or("no cookies")?;
        let cky_r = rest.first_chunk::<8>().ok_or("no cookies")?;
        Ok(match sender {
            Role::Initiator => hash_i(alg, skeyid, ke_i, ke_r, cky_i, cky_r, offer, id),
            Role::Responder => hash_r(alg, skeyid, ke_i, ke_r, cky_i, cky_r, offer, id),
        })
    }
}

/// Names the check that a message calls for, if it authenticates anything.
fn names(chain: &Chain<'_>, sender: Role) -> Option<&'static str> {
    let hash = chain.find(PayloadType::HASH).is_some();
    let sig = chain.find(PayloadType::SIG).is_some();
    Some(match (hash, sig, sender) {
        (true, _, Role::Initiator) => "HASH_I",
        (true, _, Role::Responder) => "HASH_R",
        (false, true, Role::Initiator) => "SIG_I",
        (false, true, Role::Responder) => "SIG_R",
        (false, false, _) => return None,
    })
}

fn unverified(chain: &Chain<'_>, sender: Role, why: &str) -> Option<Check> {
    names(chain, sender).map(|name| Check::not_checkable(name, why))
}

/// Verifies a phase 1 signature with the certificates that came with it.
fn verify_signature(name: &'static str, chain: &Chain<'_>, hash: &[u8], sig: &[u8]) -> Check {
    let certificates = chain.iter().filter(|view| view.kind == PayloadType::CERT);
    let certificates = certificates.filter_map(|view| Certificate::decode(view.body).ok());
    let keys: Vec<_> = certificates.filter_map(|certificate| cert::public_key(&certificate.data).ok()).collect();
    if keys.is_empty() {
        return Check::not_checkable(name, "the message carries no certificate with a supported key");
    }
    match keys.iter().find(|key| key.verify_ike(hash, sig).is_ok()) {
        Some(key) => Check::ok(name, format!("{} {} of the certificate in the message", key.kind(), key.bits())),
        None => Check::failed(name, "no certificate in the message verifies it"),
    }
}
