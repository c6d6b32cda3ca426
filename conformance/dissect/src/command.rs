//! What `hallmark dissect` does.

use std::fs;
use std::path::{Path, PathBuf};

use hallmark_wire::DecodeError;
use thiserror::Error;

use crate::compat::Compat;
use crate::dissection::{Dissection, Options};
use crate::secrets::Secrets;
use crate::text::Style;
use crate::{json, text};

/// Names of the files with keys that are looked for beside a capture.
const BESIDE: [&str; 2] = ["keys.json", "secrets.json"];

/// Chooses the output.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Format {
    /// A ladder for people.
    #[default]
    Text,
    /// One object for machines.
    Json,
}

impl Format {
    /// Finds a format by its name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        match name {
            "text" => Some(Self::Text),
            "json" => Some(Self::Json),
            _ => None,
        }
    }
}

/// Holds the arguments of the command.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Request {
    /// The pcap or pcapng file.
    pub capture: PathBuf,
    /// Files with keys. When there is none, `keys.json` or `secrets.json` beside the capture is taken if it exists.
    pub secrets: Vec<PathBuf>,
    /// Names of compatibility profiles and switches.
    pub compat: Vec<String>,
    /// The output.
    pub format: Format,
    /// Whether headers, payloads and all checks are printed in the text.
    pub verbose: bool,
    /// Whether check marks may be used in the text.
    pub unicode: bool,
    /// Whether keys are shown in full.
    pub show_keys: bool,
}

/// Names why a capture could not be dissected at all.
#[derive(Debug, Error)]
pub enum DissectError {
    /// A file could not be read.
    #[error("cannot read {}: {source}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The capture is neither pcap nor pcapng.
    #[error("{} is no capture: {source} (pcap and pcapng are read)", path.display())]
    NoCapture {
        /// The file.
        path: PathBuf,
        /// Why.
        source: DecodeError,
    },
    /// A file with keys is none.
    #[error("{} holds no keys: {reason}", path.display())]
    NoSecrets {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// A name of a compatibility profile or switch is unknown.
    #[error("{0}")]
    UnknownSwitch(String),
}

/// Dissects a capture; gives the output and whether every message decodes and no check failed.
///
/// # Errors
/// When a file cannot be read or is not what it should be, or a switch is unknown.
pub fn command(request: &Request) -> Result<(String, bool), DissectError> {
    let compat = Compat::parse(&request.compat.join(",")).map_err(DissectError::UnknownSwitch)?;
    let file = read(&request.capture)?;
    let (secrets, sources) = secrets(request)?;
    let options = Options { compat: compat.clone(), show_keys: request.show_keys };
    let dissection = Dissection::of_file(&file, &secrets, &options)
        .map_err(|source| DissectError::NoCapture { path: request.capture.clone(), source })?;
    let name = request.capture.display().to_string();
    let output = match request.format {
        Format::Json => json::render(&name, &dissection),
        Format::Text => {
            let style = Style { verbose: request.verbose, unicode: request.unicode };
            let mut head = match sources.as_slice() {
                [] => "keys: none; give them with --secrets FILE\n".to_owned(),
                sources => format!("keys: {}\n", sources.join(", ")),
            };
            if !compat.is_empty() {
                head.push_str(&format!("compat: {}\n", request.compat.join(", ")));
            }
            head + &text::render(&name, &dissection, style)
        }
    };
    Ok((output, dissection.is_ok()))
}

/// Reads the files with keys that were named, or the one beside the capture.
fn secrets(request: &Request) -> Result<(Secrets, Vec<String>), DissectError> {
    let mut paths = request.secrets.clone();
    if paths.is_empty() {
        let folder = request.capture.parent().unwrap_or_else(|| Path::new(""));
        paths.extend(BESIDE.iter().map(|name| folder.join(name)).find(|path| path.is_file()));
    }
    let mut secrets = Secrets::default();
    let mut sources = Vec::new();
    for path in paths {
        let unreadable = |reason: String| DissectError::NoSecrets { path: path.clone(), reason };
        let text = String::from_utf8(read(&path)?).map_err(|error| unreadable(error.to_string()))?;
        secrets.extend(Secrets::parse(&text).map_err(unreadable)?);
        sources.push(path.display().to_string());
    }
    Ok((secrets, sources))
}

fn read(path: &Path) -> Result<Vec<u8>, DissectError> {
    fs::read(path).map_err(|source| DissectError::Unreadable { path: path.to_owned(), source })
}
