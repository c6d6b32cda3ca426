//! What a node has to tell: events of its control plane and of its data plane, as one kind of thing for logs.

use std::fmt;

use hallmark_control::event::Kept;
use hallmark_control::{Event, EventKind};
use serde::Serialize;

use crate::log::Level;
use crate::plane::{DataEvent, PortNotice};

/// Is one thing that happened in a node.
#[derive(Clone, Debug, Serialize)]
#[serde(untagged)]
pub enum Told {
    /// In the control plane.
    Control(Event),
    /// In the data plane.
    Data(DataEvent),
    /// At a port of the data plane.
    Port(PortNotice),
}

impl Told {
    /// Gives what happened in the control plane.
    #[must_use]
    pub const fn control(&self) -> Option<&EventKind> {
        match self {
            Self::Control(event) => Some(&event.kind),
            Self::Data(_) | Self::Port(_) => None,
        }
    }

    /// Says how much it matters to an operator.
    #[must_use]
    pub fn level(&self) -> Level {
        match self {
            Self::Control(event) => level(&event.kind),
            Self::Data(event) if event.event.kind.severity() <= 4 => Level::Warn,
            Self::Port(notice) if !notice.works => Level::Warn,
            Self::Data(_) | Self::Port(_) => Level::Info,
        }
    }
}

impl From<Event> for Told {
    fn from(event: Event) -> Self {
        Self::Control(event)
    }
}

impl fmt::Display for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Control(event) => event.fmt(f),
            Self::Data(event) => event.fmt(f),
            Self::Port(notice) => notice.fmt(f),
        }
    }
}

fn level(kind: &EventKind) -> Level {
    match kind {
        EventKind::Rejected { effect: Kept::StateKept, .. }
        | EventKind::Phase1Started { .. }
        | EventKind::Phase1Established { .. }
        | EventKind::Hint { .. }
        | EventKind::PushRepeated { .. }
        | EventKind::AckSent { .. }
        | EventKind::AckReceived { .. } => Level::Debug,
        EventKind::PushSent { copy, .. } if *copy > 0 => Level::Debug,
        kind if kind.is_secret() => Level::Debug,
        kind if kind.is_warning() => Level::Warn,
        _ => Level::Info,
    }
}
