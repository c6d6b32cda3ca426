//! What was verified about a message.

use serde::Serialize;

use crate::compat::Switch;

/// Says how a check ended.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// It holds, with an allowed deviation if a switch is named.
    Ok,
    /// It does not hold.
    Failed,
    /// Something that it needs is not known.
    NotCheckable,
}

/// Holds one judgement about a message.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Check {
    /// What was checked: `HASH_I`, `HASH(2)`, `SIG`, `sequence`, `layout` and so on.
    pub name: &'static str,
    /// How it ended.
    pub verdict: Verdict,
    /// What was found, and why it is so.
    pub detail: String,
    /// The deviation that was allowed (when ok), or that would explain the failure.
    pub switch: Option<Switch>,
}

impl Check {
    /// Makes a check that holds.
    pub fn ok(name: &'static str, detail: impl Into<String>) -> Self {
        Self { name, verdict: Verdict::Ok, detail: detail.into(), switch: None }
    }

    /// Makes a check that does not hold.
    pub fn failed(name: &'static str, detail: impl Into<String>) -> Self {
        Self { name, verdict: Verdict::Failed, detail: detail.into(), switch: None }
    }

    /// Makes a check that could not be made.
    pub fn not_checkable(name: &'static str, why: impl Into<String>) -> Self {
        Self { name, verdict: Verdict::NotCheckable, detail: why.into(), switch: None }
    }

    /// Makes a check of octets that were computed against octets that were received.
    #[must_use]
    pub fn of_octets(name: &'static str, computed: &[u8], received: &[u8]) -> Self {
        if hallmark_crypto::ct_eq(computed, received) {
            return Self::ok(name, "");
        }
        let detail = format!("the message has {}, computed is {}", hex::encode(received), hex::encode(computed));
        Self::failed(name, detail)
    }

    /// Tells whether the check is about cryptography or order, and not about form.
    #[must_use]
    pub fn is_primary(&self) -> bool {
        self.name.starts_with("HASH") || self.name.starts_with("SIG") || self.name == "sequence"
    }

    /// Tells whether the check failed.
    #[must_use]
    pub fn is_failed(&self) -> bool {
        self.verdict == Verdict::Failed
    }
}
