//! The key server under load, as a process of its own.

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use anyhow::Context as _;
use hallmark_core::Rng;
use hallmark_crypto::{Group, SigningKey};
use hallmark_node::log::Level;
use hallmark_node::{RunOptions, log};

/// The shared key of all members.
pub(crate) const PSK: &str = "a key for load";
/// The group that all members join.
pub(crate) const GROUP: u32 = 1;

/// Is a running key server; dropping it ends it.
pub(crate) struct KeyServer {
    child: Child,
    /// Where it listens.
    pub(crate) address: SocketAddr,
}

impl KeyServer {
    /// Starts one that offers a single phase 1 group.
    pub(crate) fn start(folder: &Path, group: Group, members: usize) -> anyhow::Result<Self> {
        let config = folder.join("ks.toml");
        std::fs::write(&config, configuration(group, members)?)?;
        let mut child = Command::new(std::env::current_exe()?)
            .arg("serve")
            .arg(&config)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("cannot start the key server process")?;
        let stdout = child.stdout.take().context("the key server has no standard output")?;
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line)?;
        let ready: serde_json::Value =
            serde_json::from_str(&line).context("the key server did not say that it is ready")?;
        let address =
            ready["listen"][0].as_str().and_then(|text| text.parse().ok()).context("no address to talk to")?;
        Ok(Self { child, address })
    }

    /// Tells the process id.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for KeyServer {
    fn drop(&mut self) {
        // Its standard input closes with the handle, which ends it; the wait collects it.
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}

/// Runs the key server: the other half of [`KeyServer::start`].
pub(crate) fn serve(config: &Path) -> anyhow::Result<()> {
    let log = log::Options { level: Level::Warn, ..log::Options::default() };
    hallmark_node::run_ks(config, &RunOptions { log, follow_stdin: true })?;
    Ok(())
}

fn configuration(group: Group, members: usize) -> anyhow::Result<String> {
    let signing_key = SigningKey::generate_rsa(2_048, &mut Rng::from_u64(2))?.to_pem()?;
    Ok(format!(
        r#"schema = "hallmark.ks/1"
listen = ["127.0.0.1:0"]
[phase1]
proposals = ["aes128-sha256-{group}-psk"]
[[peer]]
address = "127.0.0.0/8"
psk = "{PSK}"
[[group]]
id = {GROUP}
signing_key = """
{signing_key}"""
[group.kek]
cipher = "aes128"
sig_hash = "sha256"
[[group.tek]]
protocol = "esp"
transform = "aes128-cbc"
auth = "hmac-sha256"
acl = ["permit ip 10.1.0.0/16 10.2.0.0/16"]
[limits]
members = {members}
phase1_sas = {members}
"#
    ))
}
