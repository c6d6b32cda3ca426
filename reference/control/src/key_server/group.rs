//! The state of one group: its keys, its members and its sender ids.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use hallmark_core::{Duration, Instant, Pseudotime, Rng};
use hallmark_crypto::gdoi::kek_key_len;
use hallmark_crypto::{CipherAlg, HashAlg, Secret, SigningKey};
use hallmark_wire::isakmp::Identification;

use crate::behaviour::{Behaviour, Defect};
use crate::config::data::group_tag;
use crate::config::{Compat, GroupConfig, TekConfig, Transport};
use crate::ike::Path;
use crate::lkh::Tree;
use crate::vendor::Version;

/// Latest sequence numbers that are remembered per member.
pub(super) const RING: usize = 4;

/// Names a member inside the key server; never used twice.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct MemberId(pub(super) u64);

/// Tells members apart: the authenticated identity and the address it came from, with the port behind a NAT.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct MemberKey {
    pub(super) identity: Vec<u8>,
    pub(super) address: IpAddr,
    pub(super) nat_port: Option<u16>,
}

/// Is a registered member.
pub(super) struct Member {
    pub(super) key: MemberKey,
    pub(super) identity: Identification,
    pub(super) path: Path,
    pub(super) version: Option<Version>,
    pub(super) compat: Compat,
    pub(super) registered: Instant,
    pub(super) registrations: u64,
    pub(super) sids: Vec<u32>,
    pub(super) leaf: Option<u16>,
    /// KEK SPI and sequence of the latest PUSH messages sent, newest first.
    pub(super) sent: VecDeque<([u8; 16], u32)>,
    /// KEK SPI and sequence of the latest PUSH messages acknowledged, newest first.
    pub(super) received: VecDeque<([u8; 16], u32)>,
    pub(super) rekeys_sent: u64,
    pub(super) acks: u64,
    pub(super) missed: u32,
    /// The PUSH that clears it from the list, unless it registers again before that ends.
    pub(super) leaving: Option<u64>,
}

/// Is a Rekey SA.
#[derive(Clone)]
pub(super) struct Kek {
    pub(super) spi: [u8; 16],
    pub(super) cipher: CipherAlg,
    pub(super) iv_and_key: Secret,
    pub(super) hash: HashAlg,
    pub(super) signing_key: Option<Arc<SigningKey>>,
    pub(super) spki: Arc<[u8]>,
    pub(super) sequence: u32,
    pub(super) created: Instant,
    pub(super) lifetime: Duration,
    pub(super) transport: Transport,
    pub(super) source_port: u16,
    pub(super) ack: Option<u16>,
    /// The KEK and sequence of the PUSH that delivered this one.
    pub(super) delivered_by: Option<([u8; 16], u32)>,
    /// For a replaced KEK: when it is forgotten.
    pub(super) forget: Instant,
    /// IV that a faulty server carries from one message to the next.
    pub(super) carried_iv: Option<Vec<u8>>,
}

/// Is a TEK with the policy that it was made for.
#[derive(Clone)]
pub(super) struct Tek {
    pub(super) policy: usize,
    pub(super) config: TekConfig,
    pub(super) spi: u32,
    pub(super) encryption_key: Secret,
    pub(super) integrity_key: Secret,
    pub(super) created: Instant,
    pub(super) expires: Instant,
    /// A newer TEK serves the same policy.
    pub(super) replaced: bool,
}

/// Is a complete set of keys, made ahead for the moment when sender ids run out.
#[derive(Clone)]
pub(super) struct Generation {
    pub(super) kek: Option<Kek>,
    pub(super) teks: Vec<Tek>,
}

/// Counts what happened in a group.
#[derive(Clone, Copy, Default)]
pub(super) struct Counters {
    pub(super) pushes: u64,
    pub(super) push_datagrams: u64,
    pub(super) acks: u64,
    pub(super) acks_missed: u64,
    pub(super) removals: u64,
    pub(super) registrations: u64,
}

/// Is one group.
pub(super) struct Group {
    pub(super) config: GroupConfig,
    /// Configuration that takes effect with the next rekey.
    pub(super) pending: Option<Box<GroupConfig>>,
    pub(super) kek: Option<Kek>,
    pub(super) retired: Vec<Kek>,
    pub(super) teks: Vec<Tek>,
    pub(super) next: Option<Generation>,
    pub(super) next_sid: u64,
    pub(super) tree: Option<Tree>,
    pub(super) members: BTreeMap<MemberId, Member>,
    by_key: BTreeMap<MemberKey, MemberId>,
    by_address: BTreeMap<IpAddr, BTreeSet<MemberId>>,
    /// Identities that were refused by command, and those let in by command although the list lacks them.
    pub(super) revoked: BTreeSet<Vec<u8>>,
    pub(super) authorized: BTreeSet<Vec<u8>>,
    /// Members that silence removed; a faulty server keeps them out.
    pub(super) banned: BTreeSet<MemberKey>,
    pub(super) counters: Counters,
    /// When the pseudotime of the group started, with its first registration.
    pub(super) clock: Option<Pseudotime>,
    /// What the latest registration was told, for a faulty server that does not look at its clock again.
    pub(super) told_pseudotime: u64,
}

impl Kek {
    pub(super) fn expires(&self) -> Instant {
        self.created + self.lifetime
    }

    /// Splits IV and key.
    pub(super) fn iv_and_key(&self) -> (&[u8], &[u8]) {
        self.iv_and_key.expose().split_at_checked(self.cipher.block_len()).unwrap_or_default()
    }
}

impl Group {
    pub(super) fn new(config: GroupConfig) -> Self {
        Self {
            config,
            pending: None,
            kek: None,
            retired: Vec::new(),
            teks: Vec::new(),
            next: None,
            next_sid: 0,
            tree: None,
            members: BTreeMap::new(),
            by_key: BTreeMap::new(),
            by_address: BTreeMap::new(),
            revoked: BTreeSet::new(),
            authorized: BTreeSet::new(),
            banned: BTreeSet::new(),
            counters: Counters::default(),
            clock: None,
            told_pseudotime: 0,
        }
    }

    /// Gives the pseudotime, which runs with the monotonic clock; 0 before the first registration.
    pub(super) fn pseudotime(&self, now: Instant) -> u64 {
        self.clock.map_or(0, |clock| clock.at(now))
    }

    /// Starts the clock of the group unless it runs.
    pub(super) fn start_clock(&mut self, now: Instant) {
        let clock = *self.clock.get_or_insert(Pseudotime::new(0, now));
        self.told_pseudotime = clock.at(now);
    }

    /// Tells whether the place of the entries matters, so that the access list makes sense only as a whole.
    pub(super) fn lists_whole(&self) -> bool {
        self.teks
            .iter()
            .filter(|tek| !tek.replaced)
            .map(|tek| &tek.config)
            .chain(&self.config.teks)
            .any(TekConfig::denies)
    }

    pub(super) fn find_member(&self, key: &MemberKey) -> Option<MemberId> {
        self.by_key.get(key).copied()
    }

    /// Finds the member that an acknowledgement speaks for: by its address, and by the port when several share it.
    pub(super) fn member_at(&self, address: IpAddr, from: SocketAddr) -> Option<MemberId> {
        let ids = self.by_address.get(&address)?;
        if ids.len() > 1
            && let Some(id) = ids.iter().find(|id| self.members.get(id).is_some_and(|member| member.path.peer == from))
        {
            return Some(*id);
        }
        ids.first().copied()
    }

    /// Finds a member behind a NAT, which knows another address of itself than we do.
    pub(super) fn nat_member_at(&self, from: SocketAddr) -> Option<MemberId> {
        let ids = self.by_address.get(&from.ip())?;
        ids.iter().copied().find(|id| {
            self.members.get(id).is_some_and(|member| member.key.nat_port.is_some() && member.path.peer == from)
        })
    }

    pub(super) fn add_member(&mut self, id: MemberId, member: Member) {
        self.by_key.insert(member.key.clone(), id);
        self.by_address.entry(member.key.address).or_default().insert(id);
        self.members.insert(id, member);
    }

    pub(super) fn take_member(&mut self, id: MemberId) -> Option<Member> {
        let member = self.members.remove(&id)?;
        self.by_key.remove(&member.key);
        if let Some(ids) = self.by_address.get_mut(&member.key.address) {
            ids.remove(&id);
            if ids.is_empty() {
                self.by_address.remove(&member.key.address);
            }
        }
        Some(member)
    }

    /// Tells whether an authenticated identity may join.
    // REQ GDOI-P1-013 GDOI-P1-014 GDOI-P1-015
    pub(super) fn admits(&self, identity: &Identification) -> bool {
        let octets = identity_octets(identity);
        if self.revoked.contains(&octets) {
            return false;
        }
        self.config.members.is_empty()
            || self.authorized.contains(&octets)
            || self.config.members.iter().any(|member| identity_octets(member) == octets)
    }

    /// Gives the keys that a generation names, the current one by default.
    pub(super) fn kek_of(&self, spi: &[u8; 16]) -> Option<&Kek> {
        self.kek.iter().chain(&self.retired).find(|kek| &kek.spi == spi)
    }

    /// Gives the TEKs that are not expired, newest first.
    pub(super) fn live_teks(&self, now: Instant) -> impl Iterator<Item = &Tek> {
        self.teks.iter().rev().filter(move |tek| tek.expires > now)
    }

    /// Tells how many sender ids are left.
    pub(super) fn sids_left(&self) -> u64 {
        let all = self.config.sid_bits.map_or(0, |bits| 1_u64 << bits.min(32));
        all.saturating_sub(self.next_sid)
    }

    /// Tells whether members need sender ids.
    pub(super) fn counts(&self) -> bool {
        self.config.sid_bits.is_some() && self.teks.iter().any(|tek| tek.config.transform.is_counter_mode())
    }

    /// Makes a KEK from the configuration.
    pub(super) fn make_kek(&self, now: Instant, rng: &mut Rng) -> Option<Kek> {
        let config = self.config.kek.as_ref()?;
        let signing_key = self.config.signing_key.as_ref().map(|key| Arc::new(key.clone()));
        // REQ GDOI-ALG-006: ECDSA brings its own hash.
        let fixed = signing_key.as_ref().and_then(|key| key.kind().fixed_hash());
        let spki = signing_key.as_ref().and_then(|key| key.public().to_spki_der().ok()).unwrap_or_default();
        let mut spi = rng.octets();
        // Zero means "all" in a Delete, so no half may be zero.
        while spi.iter().take(8).all(|octet| *octet == 0) || spi.iter().skip(8).all(|octet| *octet == 0) {
            spi = rng.octets();
        }
        Some(Kek {
            spi,
            cipher: config.cipher,
            // REQ GDOI-SEC-001
            iv_and_key: Secret::new(rng.vec(kek_key_len(config.cipher))),
            hash: fixed.unwrap_or(config.sig_hash),
            signing_key,
            spki: spki.into(),
            sequence: 0,
            created: now,
            lifetime: config.lifetime,
            transport: config.transport,
            source_port: config.source_port,
            ack: self.config.ack.requested(self.config.lkh),
            delivered_by: None,
            forget: Instant::FAR_FUTURE,
            carried_iv: None,
        })
    }

    /// Makes a TEK for each of these policies of the configuration.
    pub(super) fn make_teks(
        &self,
        policies: impl IntoIterator<Item = usize>,
        now: Instant,
        rng: &mut Rng,
        behaviour: &Behaviour,
    ) -> Vec<Tek> {
        let mut made = Vec::new();
        for policy in policies {
            made.extend(self.make_tek(policy, &made, now, rng, behaviour));
        }
        made
    }

    /// Makes a TEK beside those that the group has and those that were made just before.
    fn make_tek(
        &self,
        policy: usize,
        before: &[Tek],
        now: Instant,
        rng: &mut Rng,
        behaviour: &Behaviour,
    ) -> Option<Tek> {
        let config = self.config.teks.get(policy)?.clone();
        let (encryption, integrity) = config.transform.key_lengths();
        // REQ GDOI-PL-046: unique in the group and above the reserved values.
        let tag = self.config.data.group_spis.then(|| u32::from(group_tag(self.config.id)) << 16);
        let spi = loop {
            let drawn = rng.next_u32();
            let spi = tag.map_or(drawn, |tag| tag | (drawn & 0xffff));
            if spi > 255 && self.teks.iter().chain(before).all(|tek| tek.spi != spi) {
                break spi;
            }
        };
        // REQ GDOI-SID-001
        let mut keys = (Secret::new(rng.vec(encryption)), Secret::new(rng.vec(integrity)));
        if behaviour.has(Defect::KsTekKeyReused)
            && let Some(old) = self.teks.iter().rev().find(|tek| tek.config.transform == config.transform)
        {
            keys = (old.encryption_key.clone(), old.integrity_key.clone());
        }
        if behaviour.has(Defect::KsTeksShareKey)
            && let Some(other) = before.iter().find(|tek| tek.config.transform == config.transform)
        {
            keys = (other.encryption_key.clone(), other.integrity_key.clone());
        }
        if behaviour.has(Defect::KsSaltAloneChanges)
            && config.transform.is_counter_mode()
            && let Some(old) = self.teks.iter().rev().find(|tek| tek.config.transform == config.transform)
        {
            keys.0 = with_salt_of(&old.encryption_key, &keys.0);
        }
        let expires = now + config.lifetime;
        Some(Tek {
            policy,
            config,
            spi,
            encryption_key: keys.0,
            integrity_key: keys.1,
            created: now,
            expires,
            replaced: false,
        })
    }

    /// Makes a complete set of keys.
    pub(super) fn make_generation(&self, now: Instant, rng: &mut Rng, behaviour: &Behaviour) -> Generation {
        let kek = self.make_kek(now, rng);
        let mut teks = self.make_teks(0..self.config.teks.len(), now, rng, behaviour);
        // REQ GDOI-PL-046
        if behaviour.has(Defect::KsTekSpiShared)
            && let Some(spi) = teks.first().map(|tek| tek.spi)
        {
            teks.iter_mut().for_each(|tek| tek.spi = spi);
        }
        Generation { kek, teks }
    }

    /// Hands out sender ids; `None` when not enough are left.
    // REQ GDOI-SID-006 GDOI-SID-007 GDOI-SID-029 GDOI-SID-032
    pub(super) fn take_sids(&mut self, count: u64, behaviour: &Behaviour) -> Option<Vec<u32>> {
        if behaviour.has(Defect::KsSidWraps) && self.sids_left() < count {
            self.next_sid = 0;
        }
        if self.sids_left() < count {
            return None;
        }
        let first = if behaviour.has(Defect::KsSidReused) { 0 } else { self.next_sid };
        self.next_sid += count;
        (first..first + count).map(|sid| u32::try_from(sid).ok()).collect()
    }
}

/// Puts the salt of another key behind a counter-mode key: what only a defect does.
fn with_salt_of(key: &Secret, other: &Secret) -> Secret {
    let at = key.len().saturating_sub(4);
    let (key, salt) = (key.expose().get(..at), other.expose().get(at..));
    Secret::new([key.unwrap_or_default(), salt.unwrap_or_default()].concat())
}

/// Gives the octets that identities are compared by: type and data, not protocol and port.
pub(super) fn identity_octets(identity: &Identification) -> Vec<u8> {
    let mut octets = vec![identity.id_type.0];
    octets.extend(&identity.data);
    octets
}
