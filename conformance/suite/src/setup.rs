//! What a case wants its subject to be configured to.
//!
//! A setup is written out as the public configuration text (`ks.toml`, `gm.toml`) that every subject is started from:
//! the reference in the lab and as a process, and, through an adapter, a device. The suite never sees how the text is
//! read; a case that wants something unusual changes a field.

use std::fmt::Write as _;
use std::net::{IpAddr, SocketAddr};

use hallmark_probe::world::{Party, World};

// The standard setup fits the standard scripts of the probe.
pub use hallmark_probe::suite::{GROUP, PSK};
/// The member's own address on its LAN in every standard setup.
pub const LAN_ROUTER: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 1, 0, 1));
/// The phase 1 suite of every standard setup.
pub const PROPOSAL: &str = "aes128-sha256-modp2048-psk";

/// Retransmission of phase 1 and PULL messages as the subject is configured.
const RETRANSMIT: &str = "{ initial_ms = 1000, factor = 2.0, cap_ms = 16000, tries = 5 }";

/// The phase 1 part that both roles share.
#[derive(Clone, Debug, PartialEq)]
pub struct Phase1 {
    /// Suites by their configuration names, preferred first.
    pub proposals: Vec<String>,
    /// Seconds.
    pub lifetime_secs: u64,
    /// Whether aggressive mode is allowed (KS) or used (GM).
    pub aggressive: bool,
    /// Seconds between dead peer queries, 0 for none.
    pub dpd_secs: u64,
    /// Whether NAT traversal is offered.
    pub nat_t: bool,
    /// Whether IKE fragmentation is offered.
    pub fragmentation: bool,
    /// DOI of the phase 1 SA payload.
    pub doi: u32,
    /// PEM texts: certificate, private key, trust anchors, CRLs.
    pub credentials: Option<Credentials>,
}

/// A certificate identity as PEM texts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Credentials {
    /// The subject's own certificate.
    pub certificate: String,
    /// Its private key, PKCS#8.
    pub private_key: String,
    /// Certificates that chains must end in.
    pub trust_anchors: Vec<String>,
    /// Revocation lists.
    pub crls: Vec<String>,
}

impl Default for Phase1 {
    fn default() -> Self {
        Self {
            proposals: vec![PROPOSAL.to_owned()],
            lifetime_secs: 86_400,
            aggressive: false,
            dpd_secs: 0,
            nat_t: true,
            fragmentation: true,
            doi: 2,
            credentials: None,
        }
    }
}

/// Someone the subject talks to in phase 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// An address or a CIDR prefix (KS), `address:port` (GM).
    pub address: String,
    /// The shared key, as octets.
    pub psk: Vec<u8>,
    /// Acceptable identities (`ipv4:192.0.2.1`, `fqdn:ks.example`); empty means that it must equal the source address.
    pub identities: Vec<String>,
    /// Compatibility switches that are on for this peer.
    pub compat: Vec<String>,
}

impl Peer {
    /// Makes a peer with the standard key.
    #[must_use]
    pub fn standard(address: impl ToString) -> Self {
        Self { address: address.to_string(), psk: PSK.as_bytes().to_vec(), identities: Vec::new(), compat: Vec::new() }
    }
}

/// A KEK policy.
#[derive(Clone, Debug, PartialEq)]
pub struct Kek {
    /// Cipher by its configuration name.
    pub cipher: String,
    /// Signature hash by its configuration name.
    pub sig_hash: String,
    /// Seconds.
    pub lifetime_secs: u64,
    /// The group that rekeys are sent to, or `None` for unicast.
    pub multicast: Option<SocketAddr>,
    /// UDP port that PUSH leaves from.
    pub source_port: u16,
    /// Seconds between copies of an unacknowledged rekey.
    pub retransmit_period_secs: u64,
    /// Copies after the first.
    pub retransmit_count: u32,
    /// Least seconds between a KEK rekey and the end of the old KEK.
    pub lead_floor_secs: u64,
}

/// A TEK policy: one SPI and one set of keys for all its ACEs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tek {
    /// `esp` or `ah`.
    pub protocol: String,
    /// Transform by its configuration name.
    pub transform: String,
    /// Integrity algorithm, `None` for combined modes.
    pub auth: Option<String>,
    /// Seconds.
    pub lifetime_secs: u64,
    /// `tunnel` or `transport`.
    pub mode: String,
    /// `symmetric`, `sender-only` or `receiver-only`.
    pub direction: String,
    /// Entries such as `permit ip 10.1.0.0/16 10.2.0.0/16`.
    pub acl: Vec<String>,
}

impl Default for Tek {
    fn default() -> Self {
        Self {
            protocol: "esp".to_owned(),
            transform: "aes128-cbc".to_owned(),
            auth: Some("hmac-sha256".to_owned()),
            lifetime_secs: 3_600,
            mode: "tunnel".to_owned(),
            direction: "symmetric".to_owned(),
            acl: vec!["permit ip 10.1.0.0/16 10.2.0.0/16".to_owned()],
        }
    }
}

impl Tek {
    /// Gives the policy `count` ACEs, to make messages grow.
    #[must_use]
    pub fn with_aces(mut self, count: usize) -> Self {
        self.acl = (0..count)
            .map(|i| format!("permit ip 10.{}.{}.0/24 10.{}.{}.0/24", 1 + i / 200, i % 200, 101 + i / 200, i % 200))
            .collect();
        self
    }
}

/// A key server's group.
#[derive(Clone, Debug, PartialEq)]
pub struct Group {
    /// Group identifier (ID_KEY_ID).
    pub id: u32,
    /// Phase 1 identities that may join; empty means everyone that authenticated.
    pub members: Vec<String>,
    /// Least version that a member must advertise.
    pub min_gm_version: Option<String>,
    /// Rekey signing key, PKCS#8 PEM text.
    pub signing_key: Option<String>,
    /// Bits of a sender id, for counter modes.
    pub sid_bits: Option<u16>,
    /// Whether the KEK is managed by a logical key hierarchy.
    pub lkh: bool,
    /// `none`, `rfc8263-sha256`, `rfc8263-sha512`, `cisco` or `any`.
    pub ack: String,
    /// Activation time delay in seconds, 0 for none.
    pub atd_secs: u16,
    /// Deactivation time delay in seconds, 0 for none.
    pub dtd_secs: u16,
    /// KEK policy; `None` makes a group without rekeys.
    pub kek: Option<Kek>,
    /// TEK policies.
    pub teks: Vec<Tek>,
    /// Least seconds between a TEK rekey and the end of the old TEK.
    pub tek_lead_floor_secs: u64,
    /// Scheduled rekeys without ACK before a member is removed.
    pub missed_rekeys_before_removal: u32,
    /// Protection against replayed data.
    pub replay: Option<Replay>,
    /// Whether members are told to receive only.
    pub receive_only: bool,
    /// Whether SPIs tell the group.
    pub group_spis: bool,
}

/// How the members of a group keep replayed data out.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Replay {
    /// `none`, `counter`, `time` or `d3p`.
    pub method: String,
    /// Packets, seconds or milliseconds.
    pub window: Option<u32>,
    /// Window of IP-D3P in milliseconds beside another method.
    pub d3p_window_ms: Option<u32>,
}

impl Replay {
    /// Makes the method with its window.
    #[must_use]
    pub fn new(method: &str, window: u32) -> Self {
        Self { method: method.to_owned(), window: Some(window), d3p_window_ms: None }
    }
}

impl Group {
    /// Writes the group alone, as a change of policy carries it.
    #[must_use]
    pub fn to_toml(&self) -> String {
        let mut out = String::new();
        group_lines(&mut out, self);
        out
    }
}

/// A key server as a subject.
#[derive(Clone, Debug, PartialEq)]
pub struct KsSetup {
    /// Where it listens.
    pub listen: SocketAddr,
    /// Where it listens for NAT traversal.
    pub nat_t_port: Option<u16>,
    /// Its identity, if not its address (`{ type = "fqdn", value = "ks.example" }`).
    pub identity: Option<(String, String)>,
    /// Weak algorithms that it may use.
    pub allow_weak: Vec<String>,
    /// Phase 1.
    pub phase1: Phase1,
    /// Who may register.
    pub peers: Vec<Peer>,
    /// Its groups.
    pub groups: Vec<Group>,
}

impl KsSetup {
    /// Makes the setup that most cases use: every tester address may join group [`GROUP`], which has an AES-128 KEK
    /// signed with RSA-2048 and SHA-256, one AES-128-CBC/HMAC-SHA-256 TEK and unicast rekeys acknowledged by RFC 8263.
    #[must_use]
    pub fn standard(world: &dyn World) -> Self {
        let listen = world.address(Party::Subject(0));
        Self {
            listen,
            nat_t_port: None,
            identity: None,
            allow_weak: Vec::new(),
            phase1: Phase1::default(),
            peers: vec![Peer::standard("0.0.0.0/0")],
            groups: vec![Group {
                id: GROUP,
                members: Vec::new(),
                min_gm_version: None,
                signing_key: Some(hallmark_probe::keys::REKEY_RSA_2048_PEM.to_owned()),
                sid_bits: None,
                lkh: false,
                ack: "rfc8263-sha256".to_owned(),
                atd_secs: 0,
                dtd_secs: 0,
                kek: Some(Kek {
                    cipher: "aes128".to_owned(),
                    sig_hash: "sha256".to_owned(),
                    lifetime_secs: 86_400,
                    multicast: None,
                    source_port: listen.port(),
                    retransmit_period_secs: 10,
                    retransmit_count: 2,
                    lead_floor_secs: 200,
                }),
                teks: vec![Tek::default()],
                tek_lead_floor_secs: 90,
                missed_rekeys_before_removal: 3,
                replay: None,
                receive_only: false,
                group_spis: false,
            }],
        }
    }

    /// Lends the first group.
    pub fn group(&mut self) -> &mut Group {
        // A setup without a group is not a key server; the standard one has exactly one.
        &mut self.groups[0]
    }

    /// Lends the KEK policy of the first group.
    pub fn kek(&mut self) -> &mut Kek {
        self.groups[0].kek.as_mut().expect("the standard group has a KEK")
    }

    /// Lends the first TEK policy of the first group.
    pub fn tek(&mut self) -> &mut Tek {
        &mut self.groups[0].teks[0]
    }

    /// Writes the configuration text.
    #[must_use]
    pub fn to_toml(&self) -> String {
        let mut out = String::from("schema = \"hallmark.ks/1\"\n");
        line(&mut out, "listen", &list([self.listen.to_string()].iter()));
        if let Some(port) = self.nat_t_port {
            line(&mut out, "nat_t_port", &port.to_string());
        }
        identity(&mut out, self.identity.as_ref());
        line(&mut out, "allow_weak", &list(self.allow_weak.iter()));
        phase1(&mut out, &self.phase1);
        for peer in &self.peers {
            out.push_str("\n[[peer]]\n");
            peer_lines(&mut out, peer);
        }
        for group in &self.groups {
            group_lines(&mut out, group);
        }
        out.push_str("\n[test]\nshort_lifetimes = true\n");
        out
    }
}

/// The data plane of a group member. What is `None` or empty is left to the subject's standard. The ports are not
/// named here: they are the world's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Data {
    /// Largest packet on the WAN.
    pub mtu: u16,
    /// Largest packet on the LAN.
    pub lan_mtu: u16,
    /// `decrement` or `keep`.
    pub ttl: Option<String>,
    /// DF of the outer header: `copy`, `set` or `clear`.
    pub df: Option<String>,
    /// DSCP of the outer header instead of a copy.
    pub dscp: Option<u8>,
    /// `normal` or `compatibility`.
    pub ecn: Option<String>,
    /// Where packets are cut that do not fit: `before` or `after` encryption.
    pub fragment: Option<String>,
    /// Segment size of TCP: `off`, `auto` or a number.
    pub mss: Option<String>,
    /// What happens before the first registration: `open` or `close`.
    pub fail: Option<String>,
    /// What passes in clear while closed (`deny tcp any any eq 22`).
    pub fail_close_exceptions: Vec<String>,
    /// Whether it closes again when its keys have run out.
    pub fail_close_revert: bool,
    /// The local list: denies that stand before the group's policy.
    pub local_deny: Vec<String>,
    /// Whether clear packets of the permit class are accepted.
    pub passive: bool,
    /// Whether its own key management stays in clear whatever the policy says.
    pub bypass_own_control: Option<bool>,
    /// Whether packets are cut although they say that they must not be.
    pub override_df: bool,
    /// Source of ICMP errors towards the LAN.
    pub lan_address: Option<IpAddr>,
    /// Path MTU discovery: whether it learns, the least MTU that it believes, and seconds until it forgets.
    pub pmtu: Option<(bool, u16, u32)>,
    /// Further lines as they stand.
    pub lines: Vec<String>,
}

impl Data {
    /// Makes the standard data plane: MTU 1500 on both sides, everything else as the subject does it by itself.
    #[must_use]
    pub fn standard() -> Self {
        Self {
            mtu: 1_500,
            lan_mtu: 1_500,
            ttl: None,
            df: None,
            dscp: None,
            ecn: None,
            fragment: None,
            mss: None,
            fail: None,
            fail_close_exceptions: Vec::new(),
            fail_close_revert: false,
            local_deny: Vec::new(),
            passive: false,
            bypass_own_control: None,
            override_df: false,
            lan_address: Some(LAN_ROUTER),
            pmtu: None,
            lines: Vec::new(),
        }
    }

    /// Makes it fail closed with these exceptions.
    pub fn fail_closed(&mut self, exceptions: &[&str]) {
        self.fail = Some("close".to_owned());
        self.fail_close_exceptions = strings(exceptions);
    }

    fn lines(&self, out: &mut String) {
        out.push_str("\n[data]\n");
        line(out, "mtu", &self.mtu.to_string());
        line(out, "lan_mtu", &self.lan_mtu.to_string());
        let words = [
            ("ttl", &self.ttl),
            ("df", &self.df),
            ("ecn", &self.ecn),
            ("fragment", &self.fragment),
            ("fail", &self.fail),
        ];
        for (key, word) in words {
            if let Some(word) = word {
                line(out, key, &quote(word));
            }
        }
        if let Some(dscp) = self.dscp {
            line(out, "dscp", &dscp.to_string());
        }
        if let Some(mss) = &self.mss {
            let number = mss.parse::<u16>().is_ok();
            line(out, "mss", &if number { mss.clone() } else { quote(mss) });
        }
        for (key, list_of) in [("fail_close_exceptions", &self.fail_close_exceptions), ("local_deny", &self.local_deny)]
        {
            if !list_of.is_empty() {
                line(out, key, &list(list_of.iter()));
            }
        }
        for (key, on) in [
            ("fail_close_revert", self.fail_close_revert),
            ("passive", self.passive),
            ("override_df", self.override_df),
        ] {
            if on {
                line(out, key, "true");
            }
        }
        if let Some(on) = self.bypass_own_control {
            line(out, "bypass_own_control", &on.to_string());
        }
        if let Some(address) = self.lan_address {
            line(out, "lan_address", &quote(&address.to_string()));
        }
        if let Some((learn, floor, age)) = self.pmtu {
            line(out, "pmtu", &format!("{{ learn = {learn}, floor = {floor}, age_secs = {age} }}"));
        }
        for further in &self.lines {
            let _ = writeln!(out, "{further}");
        }
    }
}

/// A group member as a subject.
#[derive(Clone, Debug, PartialEq)]
pub struct GmSetup {
    /// Its address and port.
    pub listen: SocketAddr,
    /// Where it listens for NAT traversal.
    pub nat_t_port: Option<u16>,
    /// Its identity, if not its address.
    pub identity: Option<(String, String)>,
    /// Weak algorithms that it may use.
    pub allow_weak: Vec<String>,
    /// Phase 1.
    pub phase1: Phase1,
    /// Key servers in order of preference.
    pub servers: Vec<Peer>,
    /// The group to join.
    pub group: u32,
    /// Version that it advertises.
    pub version: String,
    /// Sender ids to ask for, 0 for no request.
    pub sender_ids: u16,
    /// KEK ciphers that it accepts.
    pub acceptable_kek_ciphers: Vec<String>,
    /// Signature hashes that it accepts.
    pub acceptable_sig_hashes: Vec<String>,
    /// Transforms that it accepts; empty means all that it can do.
    pub acceptable_transforms: Vec<String>,
    /// Whether unknown attributes are ignored instead of aborting.
    pub ignore_unknown_attributes: bool,
    /// Whether it acknowledges rekeys.
    pub rekey_acks: bool,
    /// In which form it acknowledges rekeys that do not ask for it (`cisco`), `None` for none.
    pub unrequested_acks: Option<String>,
    /// Seconds before expiry at which it registers again.
    pub reregister_lead_secs: u64,
    /// Random seconds on top of that.
    pub reregister_jitter_secs: u64,
    /// Least seconds between two registration attempts that were refused.
    pub min_interval_secs: u64,
    /// Least seconds between two registrations that errors of the data plane start; `None` for none at all.
    pub recovery_interval_secs: Option<u64>,
    /// Its data plane; `None` for a member that only manages keys.
    pub data: Option<Data>,
}

impl GmSetup {
    /// Makes the setup that most cases use: one key server at the first tester address.
    #[must_use]
    pub fn standard(world: &dyn World) -> Self {
        Self {
            listen: world.address(Party::Subject(0)),
            nat_t_port: None,
            identity: None,
            allow_weak: Vec::new(),
            phase1: Phase1::default(),
            servers: vec![Peer::standard(world.address(Party::Tester(0)))],
            group: GROUP,
            version: "1.0.5".to_owned(),
            sender_ids: 0,
            acceptable_kek_ciphers: strings(&["aes128", "aes192", "aes256", "3des"]),
            acceptable_sig_hashes: strings(&["sha1", "sha256", "sha384", "sha512"]),
            acceptable_transforms: Vec::new(),
            ignore_unknown_attributes: false,
            rekey_acks: true,
            unrequested_acks: None,
            reregister_lead_secs: 60,
            reregister_jitter_secs: 10,
            min_interval_secs: 30,
            recovery_interval_secs: None,
            data: None,
        }
    }

    /// Lends the data plane, adding the standard one where there is none.
    pub fn data(&mut self) -> &mut Data {
        self.data.get_or_insert_with(Data::standard)
    }

    /// Writes the configuration text.
    #[must_use]
    pub fn to_toml(&self) -> String {
        let mut out = String::from("schema = \"hallmark.gm/1\"\n");
        line(&mut out, "listen", &quote(&self.listen.to_string()));
        if let Some(port) = self.nat_t_port {
            line(&mut out, "nat_t_port", &port.to_string());
        }
        identity(&mut out, self.identity.as_ref());
        line(&mut out, "allow_weak", &list(self.allow_weak.iter()));
        phase1(&mut out, &self.phase1);
        for server in &self.servers {
            out.push_str("\n[[server]]\n");
            peer_lines(&mut out, server);
        }
        out.push_str("\n[group]\n");
        line(&mut out, "id", &self.group.to_string());
        line(&mut out, "version", &quote(&self.version));
        line(&mut out, "sender_ids", &self.sender_ids.to_string());
        line(&mut out, "acceptable_kek_ciphers", &list(self.acceptable_kek_ciphers.iter()));
        line(&mut out, "acceptable_sig_hashes", &list(self.acceptable_sig_hashes.iter()));
        line(&mut out, "acceptable_transforms", &list(self.acceptable_transforms.iter()));
        line(&mut out, "ignore_unknown_attributes", &self.ignore_unknown_attributes.to_string());
        line(&mut out, "rekey_acks", &self.rekey_acks.to_string());
        if let Some(form) = &self.unrequested_acks {
            line(&mut out, "unrequested_acks", &quote(form));
        }
        let _ = writeln!(
            out,
            "reregister = {{ lead_secs = {}, jitter_secs = {}, min_interval_secs = {}, retry_initial_secs = 5, \
             retry_cap_secs = 60 }}",
            self.reregister_lead_secs, self.reregister_jitter_secs, self.min_interval_secs
        );
        line(&mut out, "multicast_interface", &quote(&self.listen.ip().to_string()));
        if let Some(secs) = self.recovery_interval_secs {
            line(&mut out, "recovery_interval_secs", &secs.to_string());
        }
        if let Some(data) = &self.data {
            data.lines(&mut out);
        }
        out.push_str("\n[test]\nshort_lifetimes = true\n");
        out
    }
}

/// Turns an address into the identity text of a member list.
#[must_use]
pub fn ip_identity(ip: IpAddr) -> String {
    match ip {
        IpAddr::V4(ip) => format!("ipv4:{ip}"),
        IpAddr::V6(ip) => format!("ipv6:{ip}"),
    }
}

fn identity(out: &mut String, identity: Option<&(String, String)>) {
    if let Some((kind, value)) = identity {
        let _ = writeln!(out, "identity = {{ type = {}, value = {} }}", quote(kind), quote(value));
    }
}

fn phase1(out: &mut String, phase1: &Phase1) {
    out.push_str("\n[phase1]\n");
    line(out, "proposals", &list(phase1.proposals.iter()));
    line(out, "lifetime_secs", &phase1.lifetime_secs.to_string());
    line(out, "aggressive", &phase1.aggressive.to_string());
    line(out, "dpd_secs", &phase1.dpd_secs.to_string());
    line(out, "nat_t", &phase1.nat_t.to_string());
    line(out, "fragmentation", &phase1.fragmentation.to_string());
    line(out, "doi", &phase1.doi.to_string());
    line(out, "retransmit", RETRANSMIT);
    if let Some(credentials) = &phase1.credentials {
        line(out, "certificate", &quote(&credentials.certificate));
        line(out, "private_key", &quote(&credentials.private_key));
        line(out, "trust_anchors", &list(credentials.trust_anchors.iter()));
        line(out, "crls", &list(credentials.crls.iter()));
    }
}

fn peer_lines(out: &mut String, peer: &Peer) {
    line(out, "address", &quote(&peer.address));
    line(out, "psk_hex", &quote(&hex::encode(&peer.psk)));
    line(out, "identities", &list(peer.identities.iter()));
    line(out, "compat", &list(peer.compat.iter()));
}

fn group_lines(out: &mut String, group: &Group) {
    out.push_str("\n[[group]]\n");
    line(out, "id", &group.id.to_string());
    line(out, "members", &list(group.members.iter()));
    if let Some(version) = &group.min_gm_version {
        line(out, "min_gm_version", &quote(version));
    }
    if let Some(key) = &group.signing_key {
        line(out, "signing_key", &quote(key));
    }
    if let Some(bits) = group.sid_bits {
        line(out, "sids", &format!("{{ bits = {bits} }}"));
    }
    line(out, "lkh", &group.lkh.to_string());
    line(out, "ack", &quote(&group.ack));
    line(out, "atd_secs", &group.atd_secs.to_string());
    line(out, "dtd_secs", &group.dtd_secs.to_string());
    if group.receive_only {
        line(out, "direction", "\"receive-only\"");
    }
    if group.group_spis {
        line(out, "group_spis", "true");
    }
    if let Some(kek) = &group.kek {
        out.push_str("\n[group.kek]\n");
        line(out, "cipher", &quote(&kek.cipher));
        line(out, "sig_hash", &quote(&kek.sig_hash));
        line(out, "lifetime_secs", &kek.lifetime_secs.to_string());
        line(out, "transport", if kek.multicast.is_some() { "\"multicast\"" } else { "\"unicast\"" });
        if let Some(address) = kek.multicast {
            line(out, "multicast", &quote(&address.to_string()));
        }
        line(out, "source_port", &kek.source_port.to_string());
        let _ = writeln!(
            out,
            "retransmit = {{ period_secs = {}, count = {} }}",
            kek.retransmit_period_secs, kek.retransmit_count
        );
        line(out, "lead_floor_secs", &kek.lead_floor_secs.to_string());
    }
    out.push_str("\n[group.rekey]\nlead_percent = 10\n");
    line(out, "tek_lead_floor_secs", &group.tek_lead_floor_secs.to_string());
    line(out, "missed_rekeys_before_removal", &group.missed_rekeys_before_removal.to_string());
    if let Some(replay) = &group.replay {
        out.push_str("\n[group.replay]\n");
        line(out, "method", &quote(&replay.method));
        if let Some(window) = replay.window {
            line(out, "window", &window.to_string());
        }
        if let Some(window) = replay.d3p_window_ms {
            line(out, "d3p_window_ms", &window.to_string());
        }
    }
    for tek in &group.teks {
        out.push_str("\n[[group.tek]]\n");
        line(out, "protocol", &quote(&tek.protocol));
        line(out, "transform", &quote(&tek.transform));
        if let Some(auth) = &tek.auth {
            line(out, "auth", &quote(auth));
        }
        line(out, "lifetime_secs", &tek.lifetime_secs.to_string());
        line(out, "mode", &quote(&tek.mode));
        line(out, "direction", &quote(&tek.direction));
        line(out, "acl", &list(tek.acl.iter()));
    }
}

fn line(out: &mut String, key: &str, value: &str) {
    let _ = writeln!(out, "{key} = {value}");
}

fn list<'a>(items: impl Iterator<Item = &'a String>) -> String {
    format!("[{}]", items.map(|item| quote(item)).collect::<Vec<_>>().join(", "))
}

/// Quotes a TOML basic string.
fn quote(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c.is_control() => {
                let _ = write!(out, "\\u{:04X}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

fn strings(items: &[&str]) -> Vec<String> {
    items.iter().map(|item| (*item).to_owned()).collect()
}
