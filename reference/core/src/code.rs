//! Stable rejection codes.

use std::fmt;

/// Names a reason for refusing input, in the form `layer.object.reason` (for example `gdoi.push.seq-not-newer`).
///
/// Codes are part of the public contract: logs, counters, reports and waivers carry them, so a code never changes
/// its meaning.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Code(pub &'static str);

impl Code {
    /// Gives the code as text.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        self.0
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl fmt::Debug for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}
