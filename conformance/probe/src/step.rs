//! The messages of a conversation, and the ways in which one can fail to come.

use std::fmt;

use hallmark_core::Duration;
use hallmark_wire::isakmp::Notify;

/// Names a message by its place in an exchange.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Step {
    /// Main mode message 1: SA.
    Main1,
    /// Main mode message 2: the chosen SA.
    Main2,
    /// Main mode message 3: KE, nonce.
    Main3,
    /// Main mode message 4: KE, nonce.
    Main4,
    /// Main mode message 5: ID and HASH_I or SIG_I.
    Main5,
    /// Main mode message 6: ID and HASH_R or SIG_R.
    Main6,
    /// Aggressive mode message 1.
    Aggressive1,
    /// Aggressive mode message 2.
    Aggressive2,
    /// Aggressive mode message 3.
    Aggressive3,
    /// GROUPKEY-PULL message 1: HASH(1), Ni, ID.
    Pull1,
    /// GROUPKEY-PULL message 2: HASH(2), Nr, SA.
    Pull2,
    /// GROUPKEY-PULL message 3: HASH(3) and perhaps GAP.
    Pull3,
    /// GROUPKEY-PULL message 4: HASH(4), perhaps SEQ, KD.
    Pull4,
    /// An Informational exchange.
    Informational,
    /// GROUPKEY-PUSH.
    Push,
    /// GROUPKEY-PUSH-ACK.
    Ack,
    /// A NAT keepalive.
    Keepalive,
    /// Anything else.
    Other,
}

impl Step {
    /// Gives the name that reports and evidence use.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Main1 => "main mode 1",
            Self::Main2 => "main mode 2",
            Self::Main3 => "main mode 3",
            Self::Main4 => "main mode 4",
            Self::Main5 => "main mode 5",
            Self::Main6 => "main mode 6",
            Self::Aggressive1 => "aggressive mode 1",
            Self::Aggressive2 => "aggressive mode 2",
            Self::Aggressive3 => "aggressive mode 3",
            Self::Pull1 => "GROUPKEY-PULL 1",
            Self::Pull2 => "GROUPKEY-PULL 2",
            Self::Pull3 => "GROUPKEY-PULL 3",
            Self::Pull4 => "GROUPKEY-PULL 4",
            Self::Informational => "Informational",
            Self::Push => "GROUPKEY-PUSH",
            Self::Ack => "GROUPKEY-PUSH-ACK",
            Self::Keepalive => "NAT keepalive",
            Self::Other => "other",
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Says why an exchange did not go on.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Fault {
    /// The awaited message did not come.
    Silent {
        /// What was awaited.
        step: Step,
        /// For how long.
        waited: Duration,
    },
    /// It did not come, and a notification said why.
    Refused {
        /// What was awaited.
        step: Step,
        /// The notification.
        notify: Notify,
        /// Whether it came under the protection of the SA.
        protected: bool,
    },
    /// The peer deleted the SA instead.
    Deleted {
        /// What was awaited.
        step: Step,
    },
    /// A message came that no conforming peer sends: it does not parse, does not decrypt or is not authentic.
    Broken {
        /// What was awaited.
        step: Step,
        /// What is wrong with it.
        what: String,
    },
    /// The tester itself could not go on (a script without the key that it needs, a step out of order).
    Tester(String),
}

impl Fault {
    /// Tells whether the peer declined in one of the ways that the standard leaves open: silence, a notification or
    /// the deletion of the SA.
    #[must_use]
    pub const fn is_refusal(&self) -> bool {
        matches!(self, Self::Silent { .. } | Self::Refused { .. } | Self::Deleted { .. })
    }

    /// Gives the message that was awaited.
    #[must_use]
    pub const fn step(&self) -> Option<Step> {
        match self {
            Self::Silent { step, .. }
            | Self::Refused { step, .. }
            | Self::Deleted { step }
            | Self::Broken { step, .. } => Some(*step),
            Self::Tester(_) => None,
        }
    }

    /// Tells whether the peer declined when exactly this message was awaited.
    #[must_use]
    pub fn refused_at(&self, step: Step) -> bool {
        self.is_refusal() && self.step() == Some(step)
    }

    pub(crate) fn broken(step: Step, what: impl fmt::Display) -> Self {
        Self::Broken { step, what: what.to_string() }
    }

    pub(crate) fn tester(what: impl fmt::Display) -> Self {
        Self::Tester(what.to_string())
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Silent { step, waited } => write!(f, "no {step} within {:.1} s", waited.as_secs_f64()),
            Self::Refused { step, notify, protected } => {
                let how = if *protected { "protected" } else { "clear" };
                write!(f, "no {step}, but a {how} notification {:?}", notify.kind)
            }
            Self::Deleted { step } => write!(f, "no {step}: the peer deleted the SA"),
            Self::Broken { step, what } => write!(f, "{step} came, but {what}"),
            Self::Tester(what) => write!(f, "the tester cannot go on: {what}"),
        }
    }
}

impl std::error::Error for Fault {}
