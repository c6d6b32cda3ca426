//! Configuration files: the TOML text that starts a key server or a group member.
//!
//! The same text starts a node in the lab, as a process, and (through an adapter) as a device, so this module is the
//! contract between whoever judges and whoever is judged. Reading goes in two steps: `text` mirrors the file with
//! `serde` and refuses unknown names; `map` turns it into the plain values of `hallmark_control::config`. A mistake
//! is told with file, line, column, what is allowed, and the nearest known name.

mod data;
mod error;
mod identity;
mod locate;
mod map;
mod material;
mod names;
mod text;

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

use hallmark_control::config::GroupConfig;
use hallmark_control::{GmConfig, KsConfig};
use hallmark_core::Limits;

pub use data::{DataSetup, PortKind, PortSetup};
pub use error::ConfigError;
pub use identity::parse_identity;

/// Is what a configuration file says: the machine, its limits, and the process around it.
#[derive(Clone)]
pub struct Setup<C> {
    /// Configures the machine.
    pub machine: C,
    /// Bounds what peers can make the machine hold.
    pub limits: Limits,
    /// Configures the process.
    pub process: ProcessConfig,
    /// The data plane of a group member; absent: control plane only.
    pub data: Option<DataSetup>,
}

/// Configures the process around a machine.
#[derive(Clone, Debug, PartialEq)]
pub struct ProcessConfig {
    /// Every address and port to open, without doubles; the first is the main one.
    pub listen: Vec<SocketAddr>,
    /// Where the control socket is made.
    pub control: Option<PathBuf>,
    /// How much faster than real time the process lives.
    pub clock_rate: f64,
    /// Fixes all randomness; absent: a seed from the operating system.
    pub seed: Option<[u8; 32]>,
    /// The address of the interface that joins multicast groups.
    pub multicast_interface: Option<IpAddr>,
    /// The text has a `[test]` table, so that commands for tests are fine.
    pub test: bool,
}

/// Says where a configuration text comes from: for messages, and as the folder of relative paths.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Source {
    /// The name that messages begin with.
    pub name: String,
    /// The folder that relative paths start from; `None` allows inline PEM only.
    pub folder: Option<PathBuf>,
}

impl Source {
    /// Describes a file.
    #[must_use]
    pub fn file(path: &Path) -> Self {
        let folder = path
            .parent()
            .map(|parent| if parent.as_os_str().is_empty() { PathBuf::from(".") } else { parent.to_owned() });
        Self { name: path.display().to_string(), folder }
    }

    /// Describes a text that is not in a file; everything that it needs is inline.
    #[must_use]
    pub fn inline(name: &str) -> Self {
        Self { name: name.to_owned(), folder: None }
    }
}

/// Reads the configuration of a key server.
///
/// # Errors
/// The first mistake, with its place in the text.
pub fn ks_from_toml(text: &str, source: &Source) -> Result<Setup<KsConfig>, ConfigError> {
    let file: text::KsFile = error::parse(text, source)?;
    map::key_server(file, source).map_err(|mistake| ConfigError::at(text, source, &mistake))
}

/// Reads the configuration of a group member.
///
/// # Errors
/// The first mistake, with its place in the text.
pub fn gm_from_toml(text: &str, source: &Source) -> Result<Setup<GmConfig>, ConfigError> {
    let file: text::GmFile = error::parse(text, source)?;
    map::group_member(file, source).map_err(|mistake| ConfigError::at(text, source, &mistake))
}

/// Reads a single `[[group]]` of a key server, as the command `replace-policy` carries it.
///
/// # Errors
/// The first mistake, with its place in the text.
pub fn group_from_toml(text: &str, source: &Source) -> Result<GroupConfig, ConfigError> {
    let file: text::GroupFile = error::parse(text, source)?;
    let mut groups = file.group.into_iter();
    match (groups.next(), groups.next()) {
        (Some(group), None) => map::group(group, source, &map::place("group", 0))
            .map_err(|mistake| ConfigError::at(text, source, &mistake)),
        _ => Err(ConfigError::plain(source, "expected exactly one [[group]]")),
    }
}

/// Reads the configuration of a key server from a file.
///
/// # Errors
/// When the file cannot be read, or the first mistake in it.
pub fn ks_from_file(path: &Path) -> Result<Setup<KsConfig>, ConfigError> {
    let source = Source::file(path);
    ks_from_toml(&material::read_text(path, &source)?, &source)
}

/// Reads the configuration of a group member from a file.
///
/// # Errors
/// When the file cannot be read, or the first mistake in it.
pub fn gm_from_file(path: &Path) -> Result<Setup<GmConfig>, ConfigError> {
    let source = Source::file(path);
    gm_from_toml(&material::read_text(path, &source)?, &source)
}

#[cfg(test)]
mod tests;
