//! How keys and policy of a group become SA and KD payloads.

use std::net::SocketAddr;

use hallmark_core::{Duration, Instant, Pseudotime, UnixTime};
use hallmark_wire::gdoi::{
    Bypass, DataPolicy, Dialect, Gap, GdoiSa, IpsecTek, KeyDownload, KeyPacket, LkhUpdate, ReplayPolicy, SaAttribute,
    SaKek, SaTek, Selector, TekBody, gap_attr, kd_type, kek_attr, kek_key, lkh_key, sid_key, tek_attr, tek_key,
};
use hallmark_wire::isakmp::{Attribute, Attributes, Delete};

use super::group::{Group, Kek, Tek};
use crate::behaviour::{Behaviour, Defect, Variant};
use crate::config::data::ReplayMethod;
use crate::config::transform::PROTO_ESP;
use crate::config::{Ace, Compat, DataTransform, EncapsulationMode, GroupConfig, SaDirection, Transport};

/// Gives the dialect that a peer speaks.
pub(crate) fn dialect(compat: Compat, behaviour: &Behaviour) -> Dialect {
    let six = compat.has(Compat::SAK_SIX_RESERVED) || behaviour.has(Defect::KsSakSixReserved);
    Dialect {
        sak_reserved_octets: if six { 6 } else { 4 },
        sat_addresses_reversed: compat.has(Compat::SAT_ADDRESSES_REVERSED),
        sid_little_endian: compat.has(Compat::SID_LITTLE_ENDIAN),
        key_id_little_endian: compat.has(Compat::KEY_ID_LITTLE_ENDIAN),
        ..Dialect::RFC6407
    }
}

/// Says for whom and for which message a policy is written.
#[derive(Clone, Copy)]
pub(super) struct Context<'a> {
    pub(super) now: Instant,
    pub(super) wall: UnixTime,
    /// The address that PUSH messages come from.
    pub(super) server: SocketAddr,
    /// The member, for a PULL.
    pub(super) member: Option<SocketAddr>,
    pub(super) compat: Compat,
    pub(super) behaviour: &'a Behaviour,
}

impl Context<'_> {
    const fn is_pull(&self) -> bool {
        self.member.is_some()
    }

    fn has(&self, defect: Defect) -> bool {
        self.behaviour.has(defect)
    }

    fn dialect(&self) -> Dialect {
        dialect(self.compat, self.behaviour)
    }
}

/// Writes the body of an SA payload.
// REQ GDOI-PL-011 GDOI-PL-012 GDOI-PL-013 GDOI-PL-016 GDOI-PL-018
pub(super) fn sa_body(context: Context<'_>, kek: Option<&Kek>, gap: Option<Gap>, teks: &[&Tek]) -> Vec<u8> {
    let mut attributes = Vec::new();
    if let Some(kek) = kek {
        attributes.push(SaAttribute::Kek(sak(context, kek)));
    }
    if let Some(gap) = gap {
        attributes.push(SaAttribute::Gap(gap));
    }
    let mut list: Vec<SaTek> = teks.iter().flat_map(|tek| sats(context, tek)).collect();
    if context.has(Defect::KsDenyOrderLost) {
        list.sort_by_key(|sat| matches!(sat.body, TekBody::Bypass(_)));
    }
    attributes.extend(list.into_iter().map(SaAttribute::Tek));
    // REQ FRAG-009
    if context.has(Defect::KsPolicyTruncated) {
        attributes.truncate(24);
    }
    if context.has(Defect::KsSaOrderWrong) {
        attributes.reverse();
    }
    let mut sa = GdoiSa::new(attributes);
    if context.has(Defect::KsSaDoiOne) {
        sa.doi = 1;
    }
    if context.has(Defect::KsSaSituationOne) {
        sa.situation = 1;
    }
    sa.encode_body(&context.dialect())
}

/// Writes the Rekey SA.
// REQ GDOI-PL-021 GDOI-PL-023 GDOI-PL-025 GDOI-PL-026
fn sak(context: Context<'_>, kek: &Kek) -> SaKek {
    let (algorithm, bits) = kek.cipher.to_kek();
    let mut attributes = Attributes(Vec::new());
    if context.has(Defect::KsManagementAlgorithmInPull) && context.is_pull() {
        attributes.push(Attribute::basic(kek_attr::MANAGEMENT_ALGORITHM, 1));
    }
    if !context.has(Defect::KsSakAlgorithmMissing) {
        attributes.push(Attribute::basic(kek_attr::ALGORITHM, algorithm));
    }
    if let Some(bits) = bits {
        // REQ GDOI-PL-032
        let iv = if context.has(Defect::KsKekLengthCountsIv) { kek.cipher.block_len() * 8 } else { 0 };
        attributes.push(Attribute::basic(kek_attr::KEY_LENGTH, bits + iv as u16));
    }
    // A joining member gets what is left of the lifetime, a member that is told of a new KEK all of it.
    let seconds = remaining(kek.expires(), context.now);
    attributes.push(if context.compat.has(Compat::KEK_LIFETIME_TV) || context.has(Defect::KsKekLifetimeTruncated) {
        Attribute::basic(kek_attr::KEY_LIFETIME, seconds as u16)
    } else {
        // REQ GDOI-PL-030 GDOI-PL-035
        Attribute::u32(kek_attr::KEY_LIFETIME, seconds)
    });
    let kind = kek.signing_key.as_ref().map(|key| key.kind());
    if kind.and_then(hallmark_crypto::KeyKind::fixed_hash).is_none()
        || !context.behaviour.varies(Variant::KsSigHashOmitted)
    {
        attributes.push(Attribute::basic(kek_attr::SIG_HASH, kek.hash.to_sig_hash()));
    }
    if !context.has(Defect::KsSakSigAlgorithmMissing) {
        let algorithm = kind.map_or(1, hallmark_crypto::KeyKind::to_sig_algorithm);
        attributes.push(Attribute::basic(kek_attr::SIG_ALGORITHM, algorithm));
    }
    if let Some(key) = &kek.signing_key {
        attributes.push(Attribute::basic(kek_attr::SIG_KEY_LENGTH, u16::try_from(key.bits()).unwrap_or(u16::MAX)));
    }
    // REQ GDOI-ACK-001 GDOI-ACK-002
    if let Some(requested) = kek.ack
        && (context.is_pull() || !context.has(Defect::KsAckRequestMissingInPush))
    {
        attributes.push(Attribute::basic(kek_attr::ACK_REQUESTED, requested));
    }
    if context.has(Defect::KsUnknownKekAttribute) {
        attributes.push(Attribute::basic(100, 1));
    }
    if context.behaviour.varies(Variant::KsAttributesReversed) {
        attributes.0.reverse();
    }
    let src = Selector::from_ip(context.server.ip()).with_port(kek.source_port);
    let dst = match (kek.transport, context.member) {
        (Transport::Multicast(group), _) => Selector::from_ip(group.ip()).with_port(group.port()),
        (Transport::Unicast, Some(member)) => Selector::from_ip(member.ip()).with_port(member.port()),
        // One PUSH serves every member, so it can name none of them.
        (Transport::Unicast, None) if context.server.is_ipv4() => Selector::any_ipv4(),
        (Transport::Unicast, None) => Selector::from_subnet(std::net::Ipv6Addr::UNSPECIFIED.into(), 0),
    };
    SaKek { protocol: 17, src, dst, spi: kek.spi, attributes }
}

/// Writes one TEK: one SAT for each entry of its access list. A deny entry goes with the newest TEK of its policy.
// REQ GDOI-PL-045 GDOI-PL-046
fn sats(context: Context<'_>, tek: &Tek) -> Vec<SaTek> {
    let wire = tek.config.transform.to_wire();
    let mut seconds = remaining(tek.expires, context.now).max(1);
    if context.has(Defect::KsTekLifetimeWhole) {
        seconds = secs(tek.config.lifetime);
    }
    let mut attributes = Attributes(Vec::new());
    attributes.push(Attribute::basic(tek_attr::LIFE_TYPE, 1));
    attributes.push(match u16::try_from(seconds) {
        Ok(short) if context.behaviour.varies(Variant::KsLifeDurationBasic) => {
            Attribute::basic(tek_attr::LIFE_DURATION, short)
        }
        _ => Attribute::u32(tek_attr::LIFE_DURATION, seconds),
    });
    attributes.push(Attribute::basic(
        tek_attr::ENCAPSULATION_MODE,
        match tek.config.mode {
            EncapsulationMode::Tunnel => 1,
            EncapsulationMode::Transport => 2,
        },
    ));
    // AH names its MAC in the transform, and RFC 2407 wants the attribute beside it.
    if let Some(auth) = wire.auth {
        attributes.push(Attribute::basic(tek_attr::AUTH_ALGORITHM, auth));
    }
    if let Some(bits) = wire.key_bits {
        attributes.push(Attribute::basic(tek_attr::KEY_LENGTH, bits));
    }
    let direction = match tek.config.direction {
        SaDirection::SenderOnly => 1,
        SaDirection::ReceiverOnly => 2,
        SaDirection::Symmetric => 3,
    };
    let explicit = context.behaviour.varies(Variant::KsDefaultsExplicit);
    if explicit {
        attributes.push(Attribute::basic(tek_attr::ADDRESS_PRESERVATION, 4));
    }
    if explicit || direction != 3 {
        attributes.push(Attribute::basic(tek_attr::SA_DIRECTION, direction));
    }
    if context.has(Defect::KsGroupDescriptionSent) {
        attributes.push(Attribute::basic(tek_attr::GROUP_DESCRIPTION, 14));
    }
    let bypassed = !tek.replaced && !context.has(Defect::KsDenyLeftOut);
    let entries = tek.config.acl.iter().filter(|ace| ace.permit || bypassed);
    let sat = |ace: &Ace| {
        let src = Selector::from_subnet(ace.src.network, ace.src.bits).with_port(ace.src_port);
        let dst = Selector::from_subnet(ace.dst.network, ace.dst.bits).with_port(ace.dst_port);
        if !ace.permit {
            return SaTek::bypass(Bypass { ip_protocol: ace.ip_protocol, src, dst });
        }
        SaTek {
            protocol_id: wire.protocol_id,
            body: TekBody::Ipsec(IpsecTek {
                ip_protocol: ace.ip_protocol,
                src,
                dst,
                transform_id: wire.transform_id,
                spi: tek.spi,
                attributes: attributes.clone(),
            }),
        }
    };
    entries.map(sat).collect()
}

/// Says which delays a policy announces.
#[derive(Clone, Copy)]
pub(super) enum Delays {
    /// None: the message brings no TEK.
    None,
    /// Those of the configuration, or less when replaced SAs keep only this lifetime.
    Configured(Option<Duration>),
}

/// Writes the policy of the whole group.
pub(super) fn gap(context: Context<'_>, group: &Group, delays: Delays) -> Option<Gap> {
    let mut attributes = match delays {
        Delays::None => Attributes(Vec::new()),
        Delays::Configured(shorten) => delay_attributes(&group.config, shorten),
    };
    attributes.0.extend(data_policy(context, group).attributes());
    (!attributes.is_empty()).then_some(Gap { attributes })
}

/// Gives what members need to know about the data plane; nothing that the configuration does not ask for.
fn data_policy(context: Context<'_>, group: &Group) -> DataPolicy {
    let config = &group.config.data;
    let mut policy = DataPolicy::default();
    match config.replay {
        ReplayMethod::None => {}
        ReplayMethod::Counter { window } => {
            policy.replay = Some(ReplayPolicy { method: ReplayPolicy::COUNTER, window });
        }
        ReplayMethod::Time { .. } if context.has(Defect::TbarCounterCollision) => {
            policy.replay = Some(ReplayPolicy { method: ReplayPolicy::COUNTER, window: 64 });
        }
        ReplayMethod::Time { window_secs } => {
            policy.replay = Some(ReplayPolicy { method: ReplayPolicy::TIME, window: window_secs });
            policy.pseudotime = pseudotime(context, group);
        }
    }
    if let Some(window) = config.d3p {
        policy.d3p_type = Some(DataPolicy::D3P_POSIX);
        policy.d3p_window_ms = Some(u32::try_from(window.as_millis()).unwrap_or(u32::MAX));
    }
    let told = context.is_pull() || !context.has(Defect::KsReceiveOnlyMissingInPush);
    if config.receive_only && told {
        policy.direction = Some(DataPolicy::RECEIVE_ONLY);
    }
    policy
}

/// Gives the pseudotime to announce, in ticks.
fn pseudotime(context: Context<'_>, group: &Group) -> Option<u64> {
    let push = !context.is_pull();
    if push && context.has(Defect::KsPseudotimeMissingInPush) {
        return None;
    }
    if context.has(Defect::KsPseudotimeZero) {
        return Some(0);
    }
    if context.has(Defect::KsPseudotimeWallclock) {
        return Some(u64::try_from(context.wall.0).unwrap_or(0) / Pseudotime::TICK_NANOS);
    }
    if push && context.has(Defect::KsPseudotimeFrozen) {
        return Some(group.told_pseudotime);
    }
    Some(group.pseudotime(context.now))
}

fn delay_attributes(config: &GroupConfig, shorten: Option<Duration>) -> Attributes {
    let mut attributes = Attributes(Vec::new());
    if config.atd_secs != 0 {
        attributes.push(Attribute::basic(gap_attr::ACTIVATION_TIME_DELAY, config.atd_secs));
    }
    let deactivation = match shorten.map(|duration| u16::try_from(duration.as_secs()).unwrap_or(u16::MAX)) {
        Some(short) if config.dtd_secs != 0 => short.min(config.dtd_secs),
        Some(short) => short,
        None => config.dtd_secs,
    };
    if deactivation != 0 {
        attributes.push(Attribute::basic(gap_attr::DEACTIVATION_TIME_DELAY, deactivation));
    }
    attributes
}

/// Says which keys a KD payload carries.
pub(super) struct Keys<'a> {
    pub(super) kek: Option<&'a Kek>,
    /// The SPI in the KEK packet, when it differs from the one of the KEK.
    pub(super) kek_spi: Option<[u8; 16]>,
    /// The KEK goes as a download array for this leaf.
    pub(super) leaf: Option<(&'a Group, u16)>,
    /// The KEK goes as update arrays.
    pub(super) updates: Vec<LkhUpdate>,
    pub(super) teks: Vec<&'a Tek>,
    pub(super) sids: Option<(u8, Vec<u32>)>,
}

/// Writes the body of a KD payload.
// REQ GDOI-PL-057 GDOI-PL-059 GDOI-PL-060 GDOI-PL-066 GDOI-PL-067
pub(super) fn kd_body(context: Context<'_>, keys: &Keys<'_>) -> Vec<u8> {
    let mut packets = Vec::new();
    if let Some(kek) = keys.kek {
        let spi = keys.kek_spi.unwrap_or(kek.spi);
        packets.push(kek_packet(context, kek, spi, keys));
        if context.has(Defect::KsTwoKekPackets)
            && let Some(packet) = packets.first().cloned()
        {
            packets.push(packet);
        }
    }
    for tek in &keys.teks {
        packets.push(tek_packet(context, tek));
    }
    if context.behaviour.varies(Variant::KsKekPacketLast) && keys.kek.is_some() {
        packets.rotate_left(1);
    }
    if context.behaviour.varies(Variant::KsTekPacketsReversed) {
        packets.reverse();
    }
    if context.has(Defect::KsTekPacketMissing)
        && let Some(index) = packets.iter().position(|packet| packet.kd_type == kd_type::TEK)
    {
        packets.remove(index);
    }
    // REQ GDOI-SID-012
    if let Some((bits, sids)) = keys.sids.as_ref().filter(|_| !context.has(Defect::KsSidPacketMissing)) {
        let mut packet = KeyPacket::sids(u16::from(*bits), sids, &context.dialect());
        // REQ GDOI-SID-015
        if context.has(Defect::KsSidBitsMissing) {
            packet.attributes.0.retain(|attribute| attribute.class != sid_key::BITS);
        }
        // REQ GDOI-SID-014
        if context.has(Defect::KsSidPacketHasSpi)
            && let Some(tek) = keys.teks.first()
        {
            packet.spi = tek.spi.to_be_bytes().to_vec();
        }
        packets.push(packet);
    }
    let mut body = KeyDownload { packets }.encode_body();
    if context.has(Defect::KsKdCountWrong)
        && let Some(low) = body.get_mut(1)
    {
        *low = low.wrapping_add(1);
    }
    body
}

fn kek_packet(context: Context<'_>, kek: &Kek, spi: [u8; 16], keys: &Keys<'_>) -> KeyPacket {
    let mut attributes = Attributes(Vec::new());
    let lkh = keys.leaf.is_some() || !keys.updates.is_empty();
    if lkh {
        // REQ GDOI-LKH-003 GDOI-LKH-004 GDOI-LKH-005
        if let Some((group, leaf)) = keys.leaf
            && let Some(tree) = &group.tree
        {
            let mut array = tree.download(leaf);
            if context.has(Defect::KsLkhRootFirst) {
                array.keys.reverse();
            }
            attributes.push(Attribute::variable(lkh_key::DOWNLOAD, lkh_value(context, array.encode())));
        }
        for update in &keys.updates {
            attributes.push(Attribute::variable(lkh_key::UPDATE, lkh_value(context, update.encode())));
        }
    } else {
        let mut value = kek.iv_and_key.expose().to_vec();
        // REQ GDOI-PL-068
        if context.has(Defect::KsKekKeyBeforeIv) {
            value.rotate_left(kek.cipher.block_len());
        }
        attributes.push(Attribute::variable(kek_key::ALGORITHM, value));
    }
    // REQ GDOI-LKH-020
    if kek.signing_key.is_some() {
        let right = if lkh { lkh_key::SIGNATURE } else { kek_key::SIGNATURE };
        let class = if context.has(Defect::KsLkhSigClassTwo) { kek_key::SIGNATURE } else { right };
        attributes.push(Attribute::variable(class, kek.spki.to_vec()));
    }
    KeyPacket { kd_type: if lkh { kd_type::LKH } else { kd_type::KEK }, spi: spi.to_vec(), attributes }
}

fn lkh_value(context: Context<'_>, mut value: Vec<u8>) -> Vec<u8> {
    // REQ GDOI-LKH-007
    if context.has(Defect::KsLkhVersionZero)
        && let Some(version) = value.first_mut()
    {
        *version = 0;
    }
    value
}

// REQ GDOI-PL-062 GDOI-PL-063 GDOI-PL-064 GDOI-PL-065
fn tek_packet(context: Context<'_>, tek: &Tek) -> KeyPacket {
    let mut attributes = Attributes(Vec::new());
    let mut encryption = tek.encryption_key.expose().to_vec();
    if context.has(Defect::KsGcmWithoutSalt)
        && matches!(tek.config.transform, DataTransform::Esp { .. })
        && tek.config.transform.is_counter_mode()
    {
        encryption.truncate(encryption.len().saturating_sub(4));
    }
    if !encryption.is_empty() {
        attributes.push(Attribute::variable(tek_key::ALGORITHM, encryption.clone()));
        if context.has(Defect::KsTekKeyTwice) {
            attributes.push(Attribute::variable(tek_key::ALGORITHM, encryption));
        }
    }
    if !tek.integrity_key.is_empty() {
        let class = if context.has(Defect::KsMacKeyClassWrong) { tek_key::SOURCE_AUTH } else { tek_key::INTEGRITY };
        attributes.push(Attribute::variable(class, tek.integrity_key.expose().to_vec()));
    }
    KeyPacket { kd_type: kd_type::TEK, spi: tek.spi.to_be_bytes().to_vec(), attributes }
}

/// Writes Delete payloads for TEKs by their SPIs, one payload per protocol.
pub(super) fn delete_teks(teks: &[&Tek], behaviour: &Behaviour) -> Vec<Vec<u8>> {
    let mut deletes = Vec::new();
    for protocol in [1, 2] {
        let spis: Vec<Vec<u8>> = teks
            .iter()
            .filter(|tek| tek.config.transform.to_wire().protocol_id == protocol)
            .map(|tek| tek.spi.to_be_bytes().to_vec())
            .collect();
        if !spis.is_empty() {
            deletes.push(delete(protocol, 4, spis, behaviour));
        }
    }
    deletes
}

/// Writes the Delete payloads that leave a member with nothing: all TEKs of each protocol, then the KEK.
// REQ GDOI-PL-075 GDOI-PL-076
pub(super) fn delete_all(teks: &[&Tek], kek: &Kek, behaviour: &Behaviour) -> Vec<Vec<u8>> {
    if behaviour.varies(Variant::KsDeleteNamesSpis) {
        let mut deletes = delete_teks(teks, behaviour);
        deletes.push(delete_kek(kek, behaviour));
        return deletes;
    }
    let mut protocols: Vec<u8> = teks.iter().map(|tek| tek.config.transform.to_wire().protocol_id).collect();
    protocols.sort_unstable();
    protocols.dedup();
    if protocols.is_empty() {
        protocols.push(PROTO_ESP);
    }
    let mut deletes: Vec<Vec<u8>> =
        protocols.into_iter().map(|protocol| delete(protocol, 4, vec![vec![0; 4]], behaviour)).collect();
    if behaviour.has(Defect::KsCleanSlateKeepsKek) {
        return deletes;
    }
    deletes.push(delete(kek_protocol(behaviour), 16, vec![vec![0; 16]], behaviour));
    deletes
}

/// Writes the Delete payload for one KEK.
// REQ GDOI-PL-074
pub(super) fn delete_kek(kek: &Kek, behaviour: &Behaviour) -> Vec<u8> {
    delete(kek_protocol(behaviour), 16, vec![kek.spi.to_vec()], behaviour)
}

fn kek_protocol(behaviour: &Behaviour) -> u8 {
    u8::from(behaviour.has(Defect::KsDeleteKekProtocolOne))
}

// REQ GDOI-PL-073
fn delete(protocol: u8, spi_size: u8, spis: Vec<Vec<u8>>, behaviour: &Behaviour) -> Vec<u8> {
    let doi = if behaviour.has(Defect::KsDeleteDoiOne) { 1 } else { hallmark_wire::gdoi::DOI };
    Delete { doi, protocol, spi_size, spis }.encode_body()
}

pub(super) fn remaining(expires: Instant, now: Instant) -> u32 {
    secs(expires.saturating_since(now))
}

pub(super) fn secs(duration: Duration) -> u32 {
    u32::try_from(duration.as_secs()).unwrap_or(u32::MAX)
}
