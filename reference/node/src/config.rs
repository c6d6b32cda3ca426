//! Configuration files: the TOML text that starts a key server or a group member.
//!
//! The same text starts a node in the lab, as a process, and (through an adapter) as a device, so this module is the
//! contract between whoever judges and whoever is judged. Reading goes in two steps: `text` mirrors the file with
//! `serde` and refuses unknown names; `map` turns it into the plain values of `hallmark_control::config`. A mistake
//! is told with file, line, column, what is allowed, and the nearest known name.
//!
//! # What concerns the data plane
//!
//! A key server tells its groups how data is protected. What is left out is not sent:
//!
//! ```toml
//! [[group]]
//! id = 1234
//! direction = "receive-only"      # both: members send protected; receive-only: in clear, and open both
//! group_spis = true               # the upper half of each SPI tells the group, so that members can recover
//! [group.replay]
//! method = "time"                 # none, counter, time (TBAR), d3p
//! window = 4                      # packets (32-1024), seconds (1-100), milliseconds (1000-100000)
//! [[group.tek]]
//! protocol = "esp"
//! transform = "aes128-gcm16"
//! acl = ["deny udp any any eq 848", "permit ip any any"]   # the first entry that matches decides, over all TEKs
//! ```
//!
//! A group member has a data plane when there is a `[data]` table; each value has the default that stands here:
//!
//! ```toml
//! [group]
//! id = 1234
//! recovery_interval_secs = 300    # 100-1000: errors of the data plane start a registration; absent: they do not
//! [data]
//! mtu = 1500                      # of the WAN port; lan_mtu is the same unless it is set
//! lan_address = "10.1.0.1"        # the source of ICMP errors; absent: the address of `listen`
//! ttl = "decrement"               # or keep, as a bridge does
//! df = "copy"                     # set, clear
//! # dscp = 46                     # absent: copied
//! ecn = "normal"                  # compatibility
//! fragment = "before"             # after: the ESP packet is cut
//! mss = "off"                     # auto, or a number of octets
//! fail = "open"                   # close: before the registration only the exceptions pass
//! fail_close_exceptions = ["deny tcp any any eq 22"]
//! fail_close_revert = false       # closed again when keys have run out
//! local_deny = ["deny tcp any any eq 179"]   # before the list of the key server; what a permit matches is dropped
//! passive = false                 # clear packets are accepted from the WAN although they should be protected
//! bypass_own_control = true       # own UDP 848, 500 and 4500 stay in clear
//! override_df = false             # packets may be cut in spite of DF
//! check_padding = true
//! # dummy_every = 16              # a dummy packet behind so many protected ones; absent: none
//! d3p_protocol = 253
//! event_interval_ms = 1000        # log lines of one kind in between are counted
//! esn_resync = { after = 64, ahead = 16, interval_ms = 1000 }   # wrong ICVs in a row (0: never), rounds of 2^32 tried
//! pmtu = { learn = true, learn_v6 = true, floor = 576, age_secs = 600, entries = 4096 }
//! reassembly = { timeout_secs = 15, per_pair = 16, total_datagrams = 256, total_octets = 1048576 }
//! limits = { sas = 1024, keys = 16384, flows = 8192, events = 1024, traces = 1024, captured = 4096 }
//! backend = "auto"                # portable, ring, batch
//! workers = 1
//! lan = { kind = "packet", interface = "eth1" }   # packet, xdp, tun; absent: whoever drives the member in a lab
//! wan = { kind = "packet", interface = "eth0" }
//! ```

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
