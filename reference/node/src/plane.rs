//! Between the control plane of a group member and its data plane: policy one way, events and commands the other.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use hallmark_control::GroupMember;
use hallmark_control::config::data::group_tag;
use hallmark_control::config::{AuthAlg, DataTransform, EncapsulationMode, EspCipher, SaDirection as ControlDirection};
use hallmark_control::data::{AclAction, AclRule, GroupDirection, Replay as ControlReplay};
use hallmark_control::sadb::{AddressPreservation, Sa as ControlSa, TrafficSelector};
use hallmark_core::{Duration, Instant, Now};
use hallmark_crypto::esp::{Cipher, Mac, Transform};
use hallmark_datapath::{
    AddressRange, Captured, Checkpoint, Config, Datapath, Direction, Event, EventKind, Mode, Policy, PortRange,
    Preservation, Replay, Rule, Sa, SaDirection, Scope, Selector, Side, State, Trace, TraceFilter,
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::sync::Notify;

/// How often the data plane asks for a recovery at most; the control plane has the interval that an operator sets.
const RECOVERY_REQUESTS: Duration = Duration::from_secs(1);

/// Sets what the data plane has to know of the membership beside its own table.
#[must_use]
pub fn configured(mut config: Config, member: &GroupMember) -> Config {
    let group = &member.config().group;
    if group.recovery_interval.is_some() {
        config.recovery_interval = Some(RECOVERY_REQUESTS);
        config.recovery_spis = Some((0xffff_0000, u32::from(group_tag(group.id)) << 16));
    }
    config
}

/// Turns the state of the control plane into policies for the data plane, a new one only when something changed.
#[derive(Default)]
pub struct PolicyFeed {
    last: Option<Snapshot>,
    serial: u64,
}

/// Is everything that a policy is made of.
#[derive(Clone, PartialEq)]
struct Snapshot {
    registered: bool,
    rules: Vec<AclRule>,
    sas: Vec<(ControlSa, Option<u32>)>,
    sender_ids: Option<(u16, Vec<u32>)>,
    replay: ControlReplay,
    direction: GroupDirection,
}

impl PolicyFeed {
    /// Gives the policy when it differs from the one given before.
    pub fn changed(&mut self, member: &GroupMember) -> Option<Policy> {
        let snapshot = Snapshot::of(member);
        if self.last.as_ref() == Some(&snapshot) {
            return None;
        }
        self.serial += 1;
        let policy = snapshot.policy(self.serial);
        self.last = Some(snapshot);
        Some(policy)
    }
}

impl Snapshot {
    fn of(member: &GroupMember) -> Self {
        let acl = member.acl();
        Self {
            registered: member.has_policy(),
            rules: acl.rules().to_vec(),
            sas: member.sadb().iter().map(|sa| (sa.clone(), acl.policy_of(sa))).collect(),
            sender_ids: member.sender_ids().map(|(bits, ids)| (bits, ids.to_vec())),
            replay: member.replay(),
            direction: member.direction(),
        }
    }

    fn policy(&self, serial: u64) -> Policy {
        Policy {
            state: if self.registered { State::Registered } else { State::Unregistered },
            rules: self.rules.iter().map(rule).collect(),
            sas: self.sas.iter().filter_map(|(sa, policy)| data_sa(sa, *policy)).collect(),
            sender_ids: self.sender_ids.clone(),
            replay: match self.replay {
                ControlReplay::None => Replay::None,
                ControlReplay::Counter { window } => Replay::Counter { window },
                ControlReplay::Time { window, pseudotime } => Replay::Time { window, pseudotime },
                ControlReplay::D3p { window } => Replay::D3p { window },
            },
            direction: match self.direction {
                GroupDirection::Both => Direction::Both,
                GroupDirection::ReceiveOnly => Direction::ReceiveOnly,
            },
            serial,
        }
    }
}

fn rule(rule: &AclRule) -> Rule {
    match rule.action {
        AclAction::Deny => Rule::deny(selector(&rule.selector)),
        AclAction::Permit { policy } => Rule::permit(policy, selector(&rule.selector)),
    }
}

fn selector(traffic: &TrafficSelector) -> Selector {
    let ports = |port: u16| if port == 0 { PortRange::ANY } else { PortRange::one(port) };
    let range = |range: hallmark_control::sadb::AddressRange| AddressRange { first: range.first, last: range.last };
    Selector {
        protocol: (traffic.ip_protocol != 0).then_some(traffic.ip_protocol),
        src: range(traffic.src),
        src_ports: ports(traffic.src_port),
        dst: range(traffic.dst),
        dst_ports: ports(traffic.dst_port),
    }
}

/// Gives the SA as the data plane has it; none for AH, which it does not do: traffic of such a policy is dropped.
fn data_sa(sa: &ControlSa, policy: Option<u32>) -> Option<Sa> {
    Some(Sa {
        spi: sa.spi,
        // No rule has the number of an SA whose policy is gone: it carries nothing any more.
        policy: policy.unwrap_or(u32::MAX - 1),
        transform: transform(sa.transform)?,
        encryption_key: sa.encryption_key.clone(),
        integrity_key: sa.integrity_key.clone(),
        mode: match sa.mode {
            EncapsulationMode::Tunnel => Mode::Tunnel,
            EncapsulationMode::Transport => Mode::Transport,
        },
        preservation: match sa.preservation {
            AddressPreservation::None => Preservation::None,
            AddressPreservation::SourceOnly => Preservation::Source,
            AddressPreservation::DestinationOnly => Preservation::Destination,
            AddressPreservation::SourceAndDestination => Preservation::Both,
        },
        endpoint: None,
        direction: match sa.direction {
            ControlDirection::Symmetric => SaDirection::Both,
            ControlDirection::SenderOnly => SaDirection::SendOnly,
            ControlDirection::ReceiverOnly => SaDirection::ReceiveOnly,
        },
        scope: Scope::Spi,
        extended_sequence: sa.extended_sequence,
        activates: sa.activates,
        ends: sa.ends(),
        // Of two that may send the one sends whose turn came later; of those whose turn came together the newer one.
        serial: sa.activates.0.saturating_add(sa.serial),
    })
}

/// Gives the transform as the data plane has it; none for AH.
#[must_use]
pub fn transform(transform: DataTransform) -> Option<Transform> {
    let DataTransform::Esp { cipher, auth } = transform else { return None };
    Some(Transform {
        cipher: match cipher {
            EspCipher::Null => Cipher::Null,
            EspCipher::Des => Cipher::Des,
            EspCipher::TripleDes => Cipher::TripleDes,
            EspCipher::AesCbc(bits) => Cipher::AesCbc(bits),
            EspCipher::AesGcm(bits, icv) => Cipher::AesGcm { bits, icv },
            EspCipher::AesGmac(bits) => Cipher::AesGmac(bits),
        },
        mac: auth.map(|auth| match auth {
            AuthAlg::HmacMd5 => Mac::HmacMd5,
            AuthAlg::HmacSha1 => Mac::HmacSha1,
            AuthAlg::HmacSha256 => Mac::HmacSha256,
            AuthAlg::HmacSha384 => Mac::HmacSha384,
            AuthAlg::HmacSha512 => Mac::HmacSha512,
        }),
    })
}

/// Is what a data plane outside the member is told.
#[derive(Clone, Debug)]
pub enum PlaneUpdate {
    /// The whole policy.
    Policy(Policy),
    /// The wall clock is now so many nanoseconds from the one that it was started with.
    WallStep(i64),
}

/// Is what a data plane outside the member tells.
#[derive(Clone, PartialEq, Debug)]
pub enum RemoteEvent {
    /// Something happened in the data plane.
    Plane(Event),
    /// Something happened at a port: it failed, it works again, or it refuses frames.
    Port(PortNotice),
}

/// Says in words what happened at a port.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct PortNotice {
    /// Which port.
    pub port: Side,
    /// Whether it works in spite of it.
    pub works: bool,
    /// What happened.
    pub text: String,
}

impl fmt::Display for PortNotice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let port = match self.port {
            Side::Lan => "LAN",
            Side::Wan => "WAN",
        };
        write!(f, "{port} port: {}", self.text)
    }
}

/// Is a data plane that runs outside the member, in threads of its own.
pub trait RemotePlane: Send {
    /// Tells it of a policy or of a step of the clock.
    fn update(&mut self, update: &PlaneUpdate);

    /// Asks something of it and waits for the answer, a JSON object.
    ///
    /// # Errors
    /// Why it cannot be done.
    fn command(&mut self, command: &PlaneCommand) -> Result<Value, String>;

    /// Takes the next event.
    fn poll_event(&mut self) -> Option<RemoteEvent>;

    /// Gives what is notified when an event waits.
    fn ready(&self) -> Arc<Notify>;
}

/// Is an event of the data plane with the group that it happened in, as a log line has it.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct DataEvent {
    /// The group.
    pub group: u32,
    /// What happened.
    #[serde(flatten)]
    pub event: Event,
}

impl fmt::Display for DataEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The facilities of getvpn section 7.2 and 7.3.
        let facility = match self.event.kind {
            EventKind::TimeReplay { .. } | EventKind::Recovery { .. } | EventKind::SenderIdsExhausted { .. } => "GDOI",
            _ => "CRYPTO",
        };
        write!(f, "%{facility}-{}-{}, group={}", self.event.kind.severity(), self.event, self.group)
    }
}

/// Asks something of a data plane, wherever it runs.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum PlaneCommand {
    /// Shows everything.
    Status,
    /// Traces the next packets that match.
    Trace {
        /// Which packets.
        filter: TraceFilter,
        /// How many.
        count: u32,
    },
    /// Takes the finished traces.
    Traces,
    /// Switches a capture point on or off.
    Capture {
        /// Which; every one when absent.
        checkpoint: Option<Checkpoint>,
        /// On or off.
        on: bool,
    },
    /// Takes what was captured.
    Captured,
    /// Moves the send count of an SA on, as after a restart with kept keys; for tests.
    AdvanceSequence {
        /// The SA.
        spi: u32,
        /// The number after which it goes on.
        last: u64,
    },
    /// Sets the highest received number of an SA; for tests.
    ResumeWindow {
        /// The SA.
        spi: u32,
        /// The number.
        top: u64,
    },
}

impl PlaneCommand {
    /// Carries it out and gives what there is to tell, as a JSON object.
    ///
    /// # Errors
    /// Why it cannot be done.
    pub fn run(&self, plane: &mut Datapath, now: Now) -> Result<Value, String> {
        Ok(match self {
            Self::Status => serde_json::to_value(plane.status(now)).map_err(|error| error.to_string())?,
            Self::Trace { filter, count } => {
                plane.trace_next(*filter, *count);
                json!({})
            }
            Self::Traces => json!({ "traces": plane.take_traces().iter().map(trace).collect::<Vec<_>>() }),
            Self::Capture { checkpoint, on } => {
                let all = Checkpoint::ALL.into_iter().filter(|point| checkpoint.is_none_or(|wanted| wanted == *point));
                all.for_each(|point| plane.capture(point, *on));
                json!({})
            }
            Self::Captured => json!({ "captured": plane.take_captured().iter().map(captured).collect::<Vec<_>>() }),
            Self::AdvanceSequence { spi, last } => held(*spi, plane.advance_sequence(*spi, *last))?,
            Self::ResumeWindow { spi, top } => held(*spi, plane.resume_window(*spi, *top))?,
        })
    }
}

fn held(spi: u32, found: bool) -> Result<Value, String> {
    if found { Ok(json!({})) } else { Err(format!("no SA has the SPI {spi:#010x}")) }
}

fn trace(trace: &Trace) -> Value {
    let mut value = serde_json::to_value(trace).unwrap_or_default();
    if let Value::Object(fields) = &mut value {
        fields.insert("text".to_owned(), Value::String(trace.to_string()));
    }
    value
}

fn captured(captured: &Captured) -> Value {
    json!({
        "at": captured.at.as_secs_f64(),
        "checkpoint": captured.checkpoint.name(),
        "reason": captured.reason.map(|reason| reason.to_string()),
        "ip": hex::encode(&captured.ip),
    })
}

/// Is the form of a trace command on the console.
#[derive(Deserialize, Clone, Copy, PartialEq, Eq, Debug, Default)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct TraceRequest {
    pub(crate) count: Option<u32>,
    side: Option<SideName>,
    src: Option<IpAddr>,
    dst: Option<IpAddr>,
    protocol: Option<u8>,
    dropped_only: bool,
}

#[derive(Deserialize, Clone, Copy, PartialEq, Eq, Debug)]
#[serde(rename_all = "kebab-case")]
enum SideName {
    Lan,
    Wan,
}

impl TraceRequest {
    pub(crate) fn command(self) -> PlaneCommand {
        let side = self.side.map(|side| match side {
            SideName::Lan => Side::Lan,
            SideName::Wan => Side::Wan,
        });
        let filter = TraceFilter {
            side,
            src: self.src,
            dst: self.dst,
            protocol: self.protocol,
            dropped_only: self.dropped_only,
        };
        PlaneCommand::Trace { filter, count: self.count.unwrap_or(1).min(1_000) }
    }
}

/// Finds a capture point by the name that commands use.
pub(crate) fn checkpoint(name: &str) -> Result<Option<Checkpoint>, String> {
    if name == "all" {
        return Ok(None);
    }
    let found = Checkpoint::ALL.into_iter().find(|point| point.name() == name);
    found.map(Some).ok_or_else(|| {
        let names: Vec<&str> = Checkpoint::ALL.into_iter().map(Checkpoint::name).collect();
        format!("`{name}` is no capture point (all, {})", names.join(", "))
    })
}

/// Tells the earlier of two times.
pub(crate) fn earlier(one: Option<Instant>, other: Option<Instant>) -> Option<Instant> {
    [one, other].into_iter().flatten().min()
}
