//! Why a command could not do what it was asked, and what to do about it.

use std::fmt;

use hallmark_catalogue::ExitCode;

/// Ends a command: an exit code and a sentence that says what to do.
#[derive(Debug)]
pub(crate) struct Failure {
    /// What the program ends with.
    pub(crate) code: ExitCode,
    /// What is wrong and what to do; may have several lines.
    pub(crate) message: String,
}

impl Failure {
    /// The command line, a file that it names or a filter in it is wrong.
    pub(crate) fn usage(message: impl fmt::Display) -> Self {
        Self { code: ExitCode::Usage, message: message.to_string() }
    }

    /// What is needed before the first case is not there.
    pub(crate) fn preflight(message: impl fmt::Display) -> Self {
        Self { code: ExitCode::Preflight, message: message.to_string() }
    }

    /// The program itself is wrong.
    pub(crate) fn internal(message: impl fmt::Display) -> Self {
        Self { code: ExitCode::Internal, message: message.to_string() }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

/// What every command returns.
pub(crate) type Done<T = ExitCode> = Result<T, Failure>;
