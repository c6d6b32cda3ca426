//! What a case of the suite says about itself.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Says how binding a requirement, a check or a case is, strongest first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Level {
    /// A violation is a failure.
    Must,
    /// A violation is a warning.
    Should,
    /// The choice is recorded, never judged.
    May,
}

impl Level {
    /// All levels, strongest first.
    pub const ALL: [Self; 3] = [Self::Must, Self::Should, Self::May];

    /// Gives the word as RFCs write it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Must => "MUST",
            Self::Should => "SHOULD",
            Self::May => "MAY",
        }
    }

    /// Gives the less binding of two levels.
    #[must_use]
    pub fn weaker(self, other: Self) -> Self {
        self.max(other)
    }
}

/// Says which role is judged.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Subject {
    /// A key server.
    Ks,
    /// A group member.
    Gm,
}

impl Subject {
    /// Both roles.
    pub const ALL: [Self; 2] = [Self::Ks, Self::Gm];

    /// Gives the usual abbreviation.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ks => "KS",
            Self::Gm => "GM",
        }
    }
}

/// Names something that a case needs beyond datagrams to and from one configured subject.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Need {
    /// Commands or status of the subject during the case.
    Console,
    /// Two subjects at once.
    TwoDevices,
    /// Whole IP packets: fragments, forged sources.
    RawIp,
    /// Multicast between tester and subject.
    Multicast,
    /// A subject that is started with the case's own configuration.
    Setup,
    /// A subject that can be stopped without farewell and started again.
    Crash,
    /// Several addresses of the tester.
    ManyAddresses,
    /// More time than a run over real sockets can give: the lab only.
    VirtualTime,
    /// Logs or counters that the subject exports.
    Logs,
    /// Traffic through the subject's data plane.
    Datapath,
}

impl Need {
    /// All needs.
    pub const ALL: [Self; 10] = [
        Self::Console,
        Self::TwoDevices,
        Self::RawIp,
        Self::Multicast,
        Self::Setup,
        Self::Crash,
        Self::ManyAddresses,
        Self::VirtualTime,
        Self::Logs,
        Self::Datapath,
    ];

    /// Gives the name that filters and listings use.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Console => "console",
            Self::TwoDevices => "two-devices",
            Self::RawIp => "raw-ip",
            Self::Multicast => "multicast",
            Self::Setup => "setup",
            Self::Crash => "crash",
            Self::ManyAddresses => "many-addresses",
            Self::VirtualTime => "virtual-time",
            Self::Logs => "logs",
            Self::Datapath => "datapath",
        }
    }
}

macro_rules! by_name {
    ($type:ty, $what:literal) => {
        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.as_str())
            }
        }

        impl std::str::FromStr for $type {
            type Err = String;
            fn from_str(text: &str) -> Result<Self, String> {
                Self::ALL.into_iter().find(|value| value.as_str().eq_ignore_ascii_case(text)).ok_or_else(|| {
                    let names: Vec<&str> = Self::ALL.into_iter().map(Self::as_str).collect();
                    format!("unknown {} `{text}`, expected one of {}", $what, names.join(", "))
                })
            }
        }
    };
}
pub(crate) use by_name;

by_name!(Level, "level");
by_name!(Subject, "subject");
by_name!(Need, "need");

/// Describes one case. The identifier is frozen: a case that changes its meaning gets a new one.
///
/// A case that needs nothing beyond the network leaves `needs` empty. The level is a ceiling: no check of a SHOULD
/// case can fail a subject, except a grave one (crash, hang, disclosure).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
pub struct CaseInfo {
    /// Frozen identifier such as `KEKSEQ-004`.
    pub id: &'static str,
    /// What is judged, in the form `gdoi.push`: the suite of the JUnit report and `area()` of the filter language.
    pub area: &'static str,
    /// The strongest word that a violation can lead to.
    pub level: Level,
    /// The role that is judged.
    pub subject: Subject,
    /// One short line.
    pub title: &'static str,
    /// One or two sentences: what a good subject does and what goes wrong when it does not.
    pub purpose: &'static str,
    /// Identifiers of the requirements that its checks cite.
    pub requirements: &'static [&'static str],
    /// Clauses and documents behind it, for example `RFC 6407 §4.4`.
    pub sources: &'static [&'static str],
    /// What it needs beyond the network.
    pub needs: &'static [Need],
    /// Names of the defects that it must catch.
    pub catches: &'static [&'static str],
    /// Time it takes against a device that runs in real time, in seconds.
    pub cost_secs: u32,
}

impl CaseInfo {
    /// An empty description to fill in with `..CaseInfo::BLANK`.
    pub const BLANK: Self = Self {
        id: "",
        area: "",
        level: Level::Must,
        subject: Subject::Ks,
        title: "",
        purpose: "",
        requirements: &[],
        sources: &[],
        needs: &[],
        catches: &[],
        cost_secs: 5,
    };

    /// Lists what is wrong with the description itself, one sentence each.
    #[must_use]
    pub fn lint(&self, requirements: &crate::Requirements) -> Vec<String> {
        let mut faults = Vec::new();
        let mut fault = |text: String| faults.push(format!("{}: {text}", self.id));
        if !well_formed_id(self.id) {
            fault("the id is not of the form AREA-001".to_owned());
        }
        if self.area.is_empty()
            || !self.area.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || ".-".contains(c))
        {
            fault(format!("the area `{}` is not of the form gdoi.push", self.area));
        }
        for (name, text) in [("title", self.title), ("purpose", self.purpose)] {
            if text.trim().is_empty() {
                fault(format!("the {name} is empty"));
            }
        }
        if self.requirements.is_empty() {
            fault("no requirement is cited".to_owned());
        }
        for id in self.requirements {
            if requirements.get(id).is_none() {
                let hint = crate::suggest::did_you_mean(id, requirements.iter().map(|r| r.id.as_str()));
                fault(format!("the requirement `{id}` is unknown{hint}"));
            }
        }
        if self.sources.is_empty() {
            fault("no source is cited".to_owned());
        }
        if self.catches.is_empty() {
            fault("no defect is named that it must catch".to_owned());
        }
        faults
    }
}

fn well_formed_id(id: &str) -> bool {
    let Some((area, number)) = id.rsplit_once('-') else { return false };
    !area.is_empty()
        && area.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '-')
        && number.len() >= 3
        && number.chars().all(|c| c.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: CaseInfo = CaseInfo {
        id: "KEKSEQ-005",
        area: "gdoi.push.seq",
        subject: Subject::Gm,
        title: "a reset sequence number under the same KEK is refused",
        purpose: "Replay protection rests on it.",
        requirements: &["GDOI-PUSH-039"],
        sources: &["RFC 6407 §4.4"],
        catches: &["gm_no_seqcheck"],
        ..CaseInfo::BLANK
    };

    #[test]
    fn a_complete_description_has_no_faults_and_each_gap_is_named() {
        let requirements = crate::Requirements::embedded();
        assert_eq!(GOOD.lint(requirements), Vec::<String>::new());
        for (broken, word) in [
            (CaseInfo { id: "kekseq", ..GOOD }, "form AREA-001"),
            (CaseInfo { area: "Push", ..GOOD }, "area"),
            (CaseInfo { title: " ", ..GOOD }, "title"),
            (CaseInfo { requirements: &[], ..GOOD }, "no requirement"),
            (CaseInfo { requirements: &["GDOI-PUSH-0399"], ..GOOD }, "did you mean"),
            (CaseInfo { sources: &[], ..GOOD }, "no source"),
            (CaseInfo { catches: &[], ..GOOD }, "no defect"),
        ] {
            let faults = broken.lint(requirements);
            assert!(faults.len() == 1 && faults[0].contains(word), "{faults:?}");
        }
    }

    #[test]
    fn names_read_back_whatever_their_case() {
        for need in Need::ALL {
            assert_eq!(need.as_str().parse::<Need>(), Ok(need));
        }
        assert_eq!("must".parse::<Level>(), Ok(Level::Must));
        assert!("shall".parse::<Level>().is_err_and(|e| e.contains("MUST, SHOULD, MAY")));
        assert_eq!(Level::Must.weaker(Level::Should), Level::Should);
    }
}
