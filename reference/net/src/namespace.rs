//! Network namespaces: a network of one's own inside one machine, to run and measure real ports in.

use std::fs::File;
use std::process::Command;

use nix::sched::{CloneFlags, setns, unshare};

use crate::NetError;

/// A network namespace that goes away with this value, and its interfaces with it.
///
/// Needs root and the `ip` command of iproute2.
#[derive(Debug)]
pub struct Namespace {
    name: String,
}

impl Namespace {
    /// Makes a namespace with a loopback interface that is up. Hosts in it speak IPv6 only where
    /// [`Self::allow_ipv6`] lets them, so that nothing sends by itself.
    ///
    /// # Errors
    /// When the process is not root, when there is no `ip` command, or when the name is taken.
    pub fn create(name: impl Into<String>) -> Result<Self, NetError> {
        let name = name.into();
        ip(&name, &["netns", "add", &name])?;
        // From here on dropping it removes what was made.
        let made = Self { name };
        made.ip(&["link", "set", "lo", "up"])?;
        made.set_ipv6(false)?;
        Ok(made)
    }

    /// Tells the name, as `ip netns` shows it.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Runs the `ip` command in the namespace.
    ///
    /// # Errors
    /// When the command fails; the error holds what it printed.
    pub fn ip(&self, arguments: &[&str]) -> Result<(), NetError> {
        let mut whole = vec!["-n", self.name.as_str()];
        whole.extend_from_slice(arguments);
        ip(&self.name, &whole)
    }

    /// Runs a command in the namespace and gives what it printed.
    ///
    /// # Errors
    /// When the command cannot be run or fails; the error holds what it printed.
    pub fn run(&self, program: &str, arguments: &[&str]) -> Result<String, NetError> {
        let mut whole = vec!["netns", "exec", self.name.as_str(), program];
        whole.extend_from_slice(arguments);
        output(&self.name, "ip", &whole)
    }

    /// Joins this namespace to another by a cable with an interface at each end, both up.
    ///
    /// # Errors
    /// When the `ip` command fails.
    pub fn connect(&self, interface: &str, other: &Self, other_interface: &str, mtu: u16) -> Result<(), NetError> {
        let mtu = mtu.to_string();
        let end = ["mtu", mtu.as_str(), "netns", other.name.as_str()];
        let mut make = vec!["link", "add", interface, "mtu", mtu.as_str(), "type", "veth", "peer", "name"];
        make.push(other_interface);
        make.extend_from_slice(&end);
        self.ip(&make)?;
        self.ip(&["link", "set", interface, "up"])?;
        other.ip(&["link", "set", other_interface, "up"])
    }

    /// Lets interfaces of this namespace that are made later speak IPv6, and those that exist.
    ///
    /// # Errors
    /// When the setting cannot be written.
    pub fn allow_ipv6(&self) -> Result<(), NetError> {
        self.set_ipv6(true)
    }

    /// Runs a function on a thread inside the namespace. Sockets and ports that it opens stay there for good.
    ///
    /// # Errors
    /// When the namespace cannot be entered.
    pub fn enter<T: Send>(&self, work: impl FnOnce() -> T + Send) -> Result<T, NetError> {
        let place = File::open(format!("/run/netns/{}", self.name)).map_err(|error| self.failed(&error))?;
        let inside = || -> Result<T, NetError> {
            setns(&place, CloneFlags::CLONE_NEWNET).map_err(|error| self.failed(&error))?;
            Ok(work())
        };
        // A thread of its own: the caller's thread keeps its namespace.
        std::thread::scope(|scope| scope.spawn(inside).join()).unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }

    fn set_ipv6(&self, on: bool) -> Result<(), NetError> {
        let value = if on { "0" } else { "1" };
        self.enter(|| {
            for scope in ["all", "default"] {
                let path = format!("/proc/sys/net/ipv6/conf/{scope}/disable_ipv6");
                // A kernel without IPv6 has no such file, and nothing to turn off.
                if std::path::Path::new(&path).exists() {
                    std::fs::write(&path, value)?;
                }
            }
            Ok(())
        })?
        .map_err(|error: std::io::Error| self.failed(&error))
    }

    fn failed(&self, error: &dyn std::fmt::Display) -> NetError {
        NetError::Namespace { name: self.name.clone(), what: error.to_string() }
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        // Nobody is left to hear of a failure.
        let _ = ip(&self.name, &["netns", "del", &self.name]);
    }
}

/// Moves the calling thread, and every thread and process that it starts from now on, into a new namespace without a
/// name that has only a loopback interface. Whatever is made there disappears with the last of them, also when they are
/// killed.
///
/// # Errors
/// When the process is not root, or when there is no `ip` command.
pub fn enter_private() -> Result<(), NetError> {
    const NAME: &str = "of its own";
    unshare(CloneFlags::CLONE_NEWNET)
        .map_err(|error| NetError::Namespace { name: NAME.to_owned(), what: format!("{error} (needs root)") })?;
    ip(NAME, &["link", "set", "lo", "up"])
}

fn ip(name: &str, arguments: &[&str]) -> Result<(), NetError> {
    output(name, "ip", arguments).map(|_| ())
}

fn output(name: &str, program: &str, arguments: &[&str]) -> Result<String, NetError> {
    let failed = |what: String| NetError::Namespace { name: name.to_owned(), what };
    let done = Command::new(program)
        .args(arguments)
        .output()
        .map_err(|error| failed(format!("{program} cannot be run: {error}; it is part of iproute2")))?;
    if done.status.success() {
        return Ok(String::from_utf8_lossy(&done.stdout).into_owned());
    }
    let said = String::from_utf8_lossy(&done.stderr);
    Err(failed(format!("{program} {} failed: {} (needs root)", arguments.join(" "), said.trim())))
}
