//! The data plane of a group member, sans-I/O: policy, SAs, ESP, time-based anti-replay, fragments and path MTU.
//!
//! A port hands a burst of packets to [`Datapath::handle`], which decides on each, protects or opens it in place and
//! says through which port it leaves. The control plane hands its whole state to [`Datapath::apply`]. Nothing is
//! allocated and no lock is taken for a packet; the time is read once for a burst, by the caller.
//!
//! Facts: RFC 4301, 4303, 5374, 6040, 6054; esp.md and getvpn.md §4-§5 of the fact sheets.

pub mod behaviour;
pub mod classifier;
pub mod config;
mod datapath;
mod decrypt;
mod dress;
mod dummy;
mod encrypt;
pub mod event;
mod flow;
pub mod fragment;
pub mod header;
pub mod icmp;
pub mod mss;
mod outer;
pub mod packet;
pub mod pmtu;
pub mod policy;
mod quick;
pub mod reason;
pub mod replay;
mod resync;
mod sa;
pub mod sender;
mod show;
mod size;
mod spoil;
pub mod stamp;
pub mod status;
mod tables;
mod times;
pub mod trace;
mod vectors;
mod verify;
mod work;

pub use behaviour::{Behaviour, Defect, Variant};
pub use classifier::{Classifier, FlowKey};
pub use config::{Config, Df, Ecn, EsnResync, FailMode, FragmentWhere, Limits, Mss, PmtuConfig, ReassemblyLimits, Ttl};
pub use datapath::Datapath;
pub use event::{Event, EventKind};
pub use hallmark_crypto::Secret;
pub use hallmark_crypto::esp::Backend;
pub use packet::{BATCH, Batch, EXTRA, Fate, HEADROOM, Packet, Pool, Side};
pub use policy::{
    Action, AddressRange, Direction, Mode, Policy, PortRange, Preservation, Pseudotime, Replay, Rule, Sa, SaDirection,
    Scope, Selector, State,
};
pub use reason::Reason;
pub use status::Status;
pub use trace::{Captured, Checkpoint, Trace, TraceFilter};
