//! Standard output and standard error, for texts that may be piped into something that stops reading.

use std::io::{self, IsTerminal as _, Write as _};

/// Writes a text to standard output. A reader that went away ends the program as it ends every other tool.
pub(crate) fn print(text: &str) {
    let mut out = io::stdout().lock();
    if out.write_all(text.as_bytes()).and_then(|()| out.flush()).is_err() {
        std::process::exit(i32::from(hallmark_catalogue::ExitCode::Ok.code()));
    }
}

/// Writes a line to standard output.
pub(crate) fn line(text: impl std::fmt::Display) {
    print(&format!("{text}\n"));
}

/// Writes a line to standard error.
pub(crate) fn note(text: impl std::fmt::Display) {
    let mut out = io::stderr().lock();
    // Nobody has to listen.
    let _ = writeln!(out, "{text}");
}

/// Says when to use colours.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, clap::ValueEnum)]
pub(crate) enum Color {
    /// On a terminal, unless NO_COLOR is set.
    #[default]
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

impl Color {
    /// Tells whether standard output gets colours.
    pub(crate) fn on(self) -> bool {
        match self {
            Self::Always => true,
            Self::Never => false,
            Self::Auto => {
                io::stdout().is_terminal()
                    && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
                    && std::env::var_os("TERM").is_none_or(|term| term != "dumb")
            }
        }
    }
}
