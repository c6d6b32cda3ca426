//! What the cases about single ESP packets share.

use std::net::{IpAddr, SocketAddr};

use hallmark_probe::data::{Clear, EspSeen, Finding, differences};
use hallmark_probe::group::{Flow as Entry, Tek};
use hallmark_probe::world::Side;
use hallmark_wire::ip;

use crate::cx::{Cx, Flow, Stop};
use crate::data::{DataScene, Rule, both_ways, with_tek};
use crate::setup::GmSetup;

/// A transform by its numbers in the registries.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cipher {
    /// Name for reports.
    pub(super) name: &'static str,
    id: u8,
    bits: Option<u16>,
    auth: Option<u16>,
}

impl Cipher {
    /// Makes a combined mode or a bare cipher.
    pub(super) const fn alone(name: &'static str, id: u8, bits: u16) -> Self {
        Self { name, id, bits: Some(bits), auth: None }
    }

    /// Makes a cipher with an integrity algorithm; 0 bits for a cipher without key length.
    pub(super) const fn with(name: &'static str, id: u8, bits: u16, auth: u16) -> Self {
        Self { name, id, bits: if bits == 0 { None } else { Some(bits) }, auth: Some(auth) }
    }

    /// Makes a TEK of it.
    pub(super) fn tek(self, cx: &mut Cx<'_>) -> Tek {
        let mut rng = cx.world.rng().fork(self.name);
        Tek::esp(&mut rng, self.id, self.bits, self.auth, 3_600)
    }

    /// Starts a member whose policy has this transform; `None` when it does not register with it.
    pub(super) fn scene(self, cx: &mut Cx<'_>) -> Flow<Option<DataScene>> {
        self.scene_with(cx, |_| {})
    }

    /// Starts a member with a changed setup whose policy has this transform.
    pub(super) fn scene_with(self, cx: &mut Cx<'_>, setup: impl FnOnce(&mut GmSetup)) -> Flow<Option<DataScene>> {
        let tek = self.tek(cx);
        DataScene::optional(cx, setup, |script| with_tek(script, tek))
    }
}

/// AES-128-CBC with HMAC-SHA-256.
pub(super) const CBC: Cipher = Cipher::with("aes128-cbc+hmac-sha256", 12, 128, 5);
/// AES-128-GCM with 16 octets of ICV.
pub(super) const GCM: Cipher = Cipher::alone("aes128-gcm16", 20, 128);
/// No encryption, HMAC-SHA-256.
pub(super) const NULL: Cipher = Cipher::with("null+hmac-sha256", 11, 0, 5);

/// Judges what one packet breaks of the requirements of a rule.
pub(super) fn sound(cx: &mut Cx<'_>, rule: &Rule, what: &str, seen: &EspSeen) -> bool {
    let found = seen.findings();
    let about = matching(&found, rule);
    rule.judge(cx, about.is_empty(), "nothing wrong with it", words(what, &about))
}

/// Judges what everything that was sent so far breaks of the requirements of a rule: numbers and IVs.
pub(super) fn numbers(cx: &mut Cx<'_>, rule: &Rule, what: &str, scene: &DataScene) -> bool {
    let about = matching(scene.breaches(), rule);
    let (ok, observed) = (about.is_empty(), words(what, &about));
    rule.judge(cx, ok, "numbers 1, 2, 3 and no IV twice", observed)
}

fn matching<'a>(found: &'a [Finding], rule: &Rule) -> Vec<&'a Finding> {
    found.iter().filter(|finding| rule.requirements.contains(&finding.requirement)).collect()
}

fn words(what: &str, found: &[&Finding]) -> String {
    let texts: Vec<String> = found.iter().take(3).map(ToString::to_string).collect();
    if texts.is_empty() { format!("{what}: as it should be") } else { format!("{what}: {}", texts.join("; ")) }
}

/// Sends packets from the LAN, one right after the other, each of which must leave the WAN as one ESP packet that holds
/// it. Gives them in their order.
pub(super) fn all_protected(
    cx: &mut Cx<'_>,
    scene: &mut DataScene,
    rule: &Rule,
    what: &str,
    packets: &[Clear],
) -> Flow<Vec<EspSeen>> {
    let octets: Vec<Vec<u8>> = packets.iter().map(Clear::octets).collect();
    let passed = scene.pass_many(cx, Side::Lan, &octets)?;
    let mut wrong = Vec::new();
    if passed.wan.len() != octets.len() {
        let count = octets.len();
        wrong.push(format!("{count} packets became {}: {}", passed.wan.len(), passed.describe(Side::Wan)));
    }
    let mut seen = Vec::new();
    for (carried, sent) in passed.wan.iter().zip(&octets) {
        match scene.open(carried) {
            Err(why) => wrong.push(why),
            Ok(one) => {
                let fields = changed(sent, &one.inner);
                if !fields.is_empty() {
                    wrong.push(format!("another packet inside: {}", fields.join(", ")));
                }
                seen.push(one);
            }
        }
    }
    let observed = match wrong.first() {
        None => format!("{what}: {} ESP packets", seen.len()),
        Some(first) => format!("{what}: {first} ({} of {} wrong)", wrong.len(), octets.len()),
    };
    match rule.judge(cx, wrong.is_empty(), "each in one ESP packet that holds it", observed) {
        true => Ok(seen),
        false => Err(Stop::Judged),
    }
}

/// Lets the other member send packets, one right after the other, each of which must leave the LAN as it was.
pub(super) fn all_opened(cx: &mut Cx<'_>, scene: &mut DataScene, rule: &Rule, what: &str, packets: &[Clear]) -> Flow {
    let octets: Vec<Vec<u8>> = packets.iter().map(Clear::octets).collect();
    let sealed: Vec<Vec<u8>> = octets.iter().map(|inner| scene.seal(cx, inner)).collect::<Flow<_>>()?;
    let passed = scene.pass_many(cx, Side::Wan, &sealed)?;
    let came = passed.packets(Side::Lan);
    let differs = came.iter().zip(&octets).find_map(|(came, sent)| changed(sent, came).into_iter().next());
    let ok = came.len() == octets.len() && differs.is_none();
    let observed = match differs {
        Some(field) => format!("{what}: {} of {} came, changed: {field}", came.len(), octets.len()),
        None => format!("{what}: {} of {} came", came.len(), octets.len()),
    };
    if rule.judge(cx, ok, "every one of them towards the LAN", observed) { Ok(()) } else { Err(Stop::Judged) }
}

/// Sends packets from the LAN of which none may leave the WAN in clear. Gives what left.
pub(super) fn none_in_clear(
    cx: &mut Cx<'_>,
    scene: &mut DataScene,
    rule: &Rule,
    what: &str,
    packets: &[Vec<u8>],
) -> Flow<crate::data::Passed> {
    let passed = scene.pass_many(cx, Side::Lan, packets)?;
    let clear = passed.packets(Side::Wan).iter().filter(|packet| is_clear(packet)).count();
    let observed = match clear {
        0 => format!("{what}: nothing in clear"),
        _ => format!("{what}: {clear} in clear: {}", passed.describe(Side::Wan)),
    };
    if rule.judge(cx, clear == 0, "nothing in clear", observed) { Ok(passed) } else { Err(Stop::Judged) }
}

fn is_clear(packet: &[u8]) -> bool {
    ip::route(packet).map_or(true, |route| route.protocol != ip::protocol::ESP)
}

/// Names the fields that differ, apart from TTL or hop limit.
pub(super) fn changed(sent: &[u8], came: &[u8]) -> Vec<String> {
    let mut fields = differences(sent, came);
    fields.retain(|field| !field.starts_with("TTL ") && !field.starts_with("hop limit "));
    fields
}

/// Gives the TTL or hop limit of a packet.
pub(super) fn hops(packet: &[u8]) -> u8 {
    ip::route(packet).map_or(0, |route| route.hops)
}

/// Gives DSCP and ECN of a packet.
pub(super) fn traffic_class(packet: &[u8]) -> u8 {
    match (ip::version(packet), packet.get(..2)) {
        (Some(6), Some(&[first, second])) => first << 4 | second >> 4,
        (_, Some(&[_, second])) => second,
        _ => 0,
    }
}

/// Makes a datagram between two hosts.
pub(super) fn datagram(src: IpAddr, dst: IpAddr) -> Clear {
    Clear::udp(SocketAddr::new(src, 40_000), SocketAddr::new(dst, 5_001), &[0x63; 48])
}

/// Permits IPv4 as the standard policy does, and 2001:db8:1::/48 to 2001:db8:2::/48 and back.
pub(super) fn both_versions() -> Vec<Entry> {
    let mut flows = both_ways(&Entry::standard());
    flows.extend(sites6());
    flows
}

/// Permits 2001:db8:1::/48 to 2001:db8:2::/48 and back.
pub(super) fn sites6() -> Vec<Entry> {
    let prefix = |third: u16| (IpAddr::from([0x2001, 0xdb8, third, 0, 0, 0, 0, 0]), 48);
    both_ways(&Entry::between(prefix(1), prefix(2)))
}
