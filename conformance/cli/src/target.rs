//! What is judged and where it runs: the reference in the lab, a process on this host, a device on a wire.

use std::collections::BTreeMap;
use std::net::{SocketAddr, ToSocketAddrs as _};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::atomic::AtomicU32;

use hallmark_catalogue::{Subject, suggest};
use hallmark_probe::world::Role;
use hallmark_runner::Worlds;
use hallmark_runner::lab_world::LabWorlds;
use hallmark_runner::process::{FixedDevice, ProcessLauncher};
use hallmark_runner::socket_world::{Addressing, NETWORKS, SocketWorlds};
use hallmark_runner::wires::Wires;
use serde::{Deserialize, Serialize};

use crate::failure::{Done, Failure};
use crate::select::read;
use crate::subject::Reference;
use crate::switches;

/// How much faster than real time a reference process lives.
const PROCESS_CLOCK_RATE: f64 = 20.0;
/// The same where traffic is judged: a second of patience has to be longer than a busy host takes for a packet.
const NAMESPACE_CLOCK_RATE: f64 = 10.0;
/// The GDOI port on loopback: 848 would need privileges.
const LOOPBACK_PORT: u16 = 10_848;

/// Is what is judged.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) enum Target {
    /// The reference, in virtual time.
    #[default]
    Lab,
    /// The reference as processes on this host.
    Process,
    /// The reference as processes in a network namespace of the run, with real interfaces at its data ports.
    Namespace,
    /// Another program as processes on this host.
    Exec(Vec<String>),
    /// A device that is configured and runs already.
    Device(String),
}

impl FromStr for Target {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once(':') {
            None if text == "lab" => Ok(Self::Lab),
            None if text == "process" => Ok(Self::Process),
            None if text == "namespace" => Ok(Self::Namespace),
            Some(("exec", command)) if !command.trim().is_empty() => {
                Ok(Self::Exec(command.split_whitespace().map(str::to_owned).collect()))
            }
            Some(("udp", address)) if !address.is_empty() => Ok(Self::Device(address.to_owned())),
            _ => {
                let word = text.split(':').next().unwrap_or(text);
                let hint = suggest::did_you_mean(word, ["lab", "process", "namespace", "exec", "udp"]);
                Err(format!("expected lab, process, namespace, exec:COMMAND or udp:HOST[:PORT]{hint}"))
            }
        }
    }
}

impl std::fmt::Display for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Lab => f.write_str("lab"),
            Self::Process => f.write_str("process"),
            Self::Namespace => f.write_str("namespace"),
            Self::Exec(command) => write!(f, "exec:{}", command.join(" ")),
            Self::Device(address) => write!(f, "udp:{address}"),
        }
    }
}

impl TryFrom<String> for Target {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Target> for String {
    fn from(target: Target) -> Self {
        target.to_string()
    }
}

impl Serialize for Target {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Target {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// The arguments that say what is judged.
#[derive(clap::Args, Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct TargetArgs {
    /// What to judge: lab (the reference in virtual time), process (the reference over real sockets), namespace
    /// (the same with real interfaces at its data ports; needs root), exec:COMMAND (a program started as COMMAND ks|gm
    /// --config FILE), udp:HOST:PORT (a device that runs already).
    #[arg(long, value_name = "TARGET", default_value = "lab")]
    pub(crate) target: Target,
    /// What a device is configured to: a configuration text with its addresses, algorithms and lifetimes.
    #[arg(long, value_name = "FILE")]
    pub(crate) setup: Option<PathBuf>,
    /// Addresses of this host that face a device, with port unless it is 848.
    #[arg(long, value_name = "ADDRESS", value_delimiter = ',')]
    pub(crate) tester: Vec<String>,
    /// Multicast groups that reach a device, with port unless it is 848.
    #[arg(long, value_name = "ADDRESS", value_delimiter = ',')]
    pub(crate) multicast: Vec<String>,
    /// The GDOI port of every party on loopback.
    #[arg(long, value_name = "PORT", default_value_t = LOOPBACK_PORT)]
    pub(crate) port: u16,
    /// How much faster than real time a process lives; 1 for one whose clock cannot be told.
    #[arg(long, value_name = "FACTOR")]
    pub(crate) clock_rate: Option<f64>,
    /// Switch a wrong behaviour of the reference on, to see it caught.
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    pub(crate) defect: Vec<String>,
    /// Switch a legal difference of the reference on.
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    pub(crate) variant: Vec<String>,
}

/// Is a target that is ready to be judged.
pub(crate) struct Bench {
    /// Makes the world of each attempt.
    pub(crate) worlds: Box<dyn Worlds>,
    /// The word for reports: `lab`, `process` or `device`.
    pub(crate) world: &'static str,
    /// A short name for the run folder.
    pub(crate) name: String,
    /// What is known of the subject.
    pub(crate) subject: BTreeMap<String, String>,
    /// Cases that run at once unless told otherwise.
    pub(crate) jobs: usize,
    /// Keeps the folder of configuration files and sockets as long as the target lives.
    _folder: Option<Folder>,
}

impl TargetArgs {
    /// Makes the target ready.
    pub(crate) fn bench(&self, role: Option<Subject>) -> Done<Bench> {
        let reference = self.reference()?;
        let rate = self.rate()?;
        let cores = std::thread::available_parallelism().map_or(2, std::num::NonZero::get);
        let mut subject = BTreeMap::from([("target".to_owned(), self.target.to_string())]);
        if let Some(role) = role {
            subject.insert("role".to_owned(), role.to_string());
        }
        for (key, names) in [("defects", &self.defect), ("variants", &self.variant)] {
            if !names.is_empty() {
                subject.insert(key.to_owned(), names.join(" "));
            }
        }
        match &self.target {
            Target::Lab => {
                subject.insert("product".to_owned(), format!("hallmark reference {}", env!("CARGO_PKG_VERSION")));
                Ok(Bench {
                    worlds: Box::new(LabWorlds { subjects: reference }),
                    world: "lab",
                    name: "lab".to_owned(),
                    subject,
                    jobs: cores,
                    _folder: None,
                })
            }
            Target::Process | Target::Namespace | Target::Exec(_) => {
                let own = !matches!(self.target, Target::Exec(_));
                let command = match &self.target {
                    Target::Exec(command) => command.clone(),
                    _ => vec![own_program()?],
                };
                let name = if own { self.target.to_string() } else { program_name(command.first()) };
                subject.insert(
                    "product".to_owned(),
                    if own { "hallmark reference process".to_owned() } else { command.join(" ") },
                );
                subject.insert("clock_rate".to_owned(), rate.to_string());
                let folder = Folder::make()?;
                let mut launcher = ProcessLauncher::new(command, folder.path.clone(), reference.test_lines());
                if own {
                    launcher.arguments = vec!["--follow-stdin".to_owned()];
                }
                let addressing = Addressing::Loopback { port: self.port };
                // The subjects mostly wait, but a fast clock makes every delay of the host a long one.
                let jobs = if self.target == Target::Namespace { cores * 4 } else { cores * 8 };
                let wires = (self.target == Target::Namespace).then(|| wires(jobs)).transpose()?;
                let serial = some_network()?;
                Ok(Bench {
                    worlds: Box::new(SocketWorlds { launcher, addressing, clock_rate: rate, serial, wires }),
                    world: "process",
                    name,
                    subject,
                    jobs,
                    _folder: Some(folder),
                })
            }
            Target::Device(address) => {
                let (Some(role), Some(setup)) = (role, &self.setup) else {
                    return Err(Failure::usage(format!(
                        "a device needs --role ks|gm and --setup FILE.\n\
                         `hallmark setup ks --subject {address} --tester ADDRESS` writes the configuration that most \
                         cases ask for; configure the device so, and hand the file in with --setup."
                    )));
                };
                if self.tester.is_empty() {
                    return Err(Failure::usage("a device needs --tester with the addresses of this host that face it"));
                }
                let declared = read(setup)?;
                if let Err(error) = declared.parse::<toml::Table>() {
                    return Err(Failure::usage(format!("{}: {error}", setup.display())));
                }
                let addressing = self.addressing(address)?;
                let Addressing::Fixed { subject: at, .. } = &addressing else {
                    return Err(Failure::internal("a device has fixed addresses"));
                };
                subject.insert("address".to_owned(), at.to_string());
                let name = format!("{}-{}", role.as_str().to_lowercase(), at.ip());
                let launcher = FixedDevice { role: role_of(role), declared };
                Ok(Bench {
                    worlds: Box::new(SocketWorlds {
                        launcher,
                        addressing,
                        clock_rate: rate,
                        serial: AtomicU32::new(0),
                        wires: None,
                    }),
                    world: "device",
                    name,
                    subject,
                    jobs: 1,
                    _folder: None,
                })
            }
        }
    }

    /// Reads the switches of the reference.
    fn reference(&self) -> Done<Reference> {
        let switched = !self.defect.is_empty() || !self.variant.is_empty();
        if switched && !matches!(self.target, Target::Lab | Target::Process | Target::Namespace) {
            return Err(Failure::usage(
                "--defect and --variant switch the reference: use them with --target lab, process or namespace",
            ));
        }
        Ok(Reference {
            defects: self.defect.iter().map(|name| defect(name)).collect::<Done<_>>()?,
            variants: self.variant.iter().map(|name| variant(name)).collect::<Done<_>>()?,
        })
    }

    fn rate(&self) -> Done<f64> {
        let rate = match (&self.target, self.clock_rate) {
            (Target::Process, None) => PROCESS_CLOCK_RATE,
            (Target::Namespace, None) => NAMESPACE_CLOCK_RATE,
            (_, None) => 1.0,
            (Target::Lab | Target::Device(_), Some(_)) => {
                return Err(Failure::usage("--clock-rate is for processes: a lab has virtual time, a device its own"));
            }
            (_, Some(rate)) => rate,
        };
        if (0.01..=1000.0).contains(&rate) { Ok(rate) } else { Err(Failure::usage("--clock-rate takes 0.01 to 1000")) }
    }

    /// Resolves the addresses of a device and of the tester.
    pub(crate) fn addressing(&self, device: &str) -> Done<Addressing> {
        let all = |texts: &[String]| texts.iter().map(|text| with_port(text)).collect::<Done<Vec<SocketAddr>>>();
        Ok(Addressing::Fixed {
            subject: with_port(device)?,
            testers: all(&self.tester)?,
            groups: all(&self.multicast)?,
        })
    }

    /// Gives the arguments that make the same target again.
    pub(crate) fn again(&self) -> Vec<String> {
        let mut words = Vec::new();
        if self.target != Target::Lab {
            words.extend(["--target".to_owned(), self.target.to_string()]);
        }
        if let Some(setup) = &self.setup {
            words.extend(["--setup".to_owned(), setup.display().to_string()]);
        }
        for (name, values) in [
            ("--tester", &self.tester),
            ("--multicast", &self.multicast),
            ("--defect", &self.defect),
            ("--variant", &self.variant),
        ] {
            if !values.is_empty() {
                words.extend([name.to_owned(), values.join(",")]);
            }
        }
        if self.port != LOOPBACK_PORT && matches!(self.target, Target::Process | Target::Namespace | Target::Exec(_)) {
            words.extend(["--port".to_owned(), self.port.to_string()]);
        }
        if let Some(rate) = self.clock_rate {
            words.extend(["--clock-rate".to_owned(), rate.to_string()]);
        }
        words
    }
}

/// Finds a defect by its name.
pub(crate) fn defect(name: &str) -> Done<&'static str> {
    switches::defect(name).map(|known| known.name).ok_or_else(|| {
        let hint = suggest::did_you_mean(name, switches::defects().map(|known| known.name));
        Failure::usage(format!("no defect is called `{name}`{hint}\n`hallmark catalogue defects` lists them all."))
    })
}

/// Finds a variant by its name.
pub(crate) fn variant(name: &str) -> Done<&'static str> {
    switches::variant(name).map(|known| known.name).ok_or_else(|| {
        let hint = suggest::did_you_mean(name, switches::variants().map(|known| known.name));
        Failure::usage(format!("no variant is called `{name}`{hint}\n`hallmark catalogue variants` lists them all."))
    })
}

/// Gives the role as worlds know it.
pub(crate) const fn role_of(subject: Subject) -> Role {
    match subject {
        Subject::Ks => Role::Ks,
        Subject::Gm => Role::Gm,
    }
}

/// Reads an address with the GDOI port where none is given.
pub(crate) fn with_port(text: &str) -> Done<SocketAddr> {
    let fault = |error: &dyn std::fmt::Display| Failure::usage(format!("{text}: {error}"));
    if let Ok(ip) = text.parse() {
        return Ok(SocketAddr::new(ip, 848));
    }
    let mut found = if text.contains(':') { text.to_socket_addrs() } else { (text, 848).to_socket_addrs() }
        .map_err(|error| fault(&error))?;
    found.next().ok_or_else(|| fault(&"has no address"))
}

fn own_program() -> Done<String> {
    let path =
        std::env::current_exe().map_err(|error| Failure::preflight(format!("cannot find this program: {error}")))?;
    path.to_str().map(str::to_owned).ok_or_else(|| Failure::preflight(format!("{} is no text", path.display())))
}

fn program_name(command: Option<&String>) -> String {
    let name = command.and_then(|program| Path::new(program).file_name()).and_then(|name| name.to_str());
    name.unwrap_or("exec").to_owned()
}

/// Leaves the network of the host behind and makes the wires of a run, one for each case that runs at once.
fn wires(jobs: usize) -> Done<Wires> {
    hallmark_net::namespace::enter_private().map_err(Failure::preflight)?;
    Wires::make(u32::try_from(jobs).unwrap_or(u32::MAX)).map_err(Failure::preflight)
}

/// Begins at a random loopback network, so that two runs on one host do not meet.
fn some_network() -> Done<AtomicU32> {
    let mut rng = hallmark_net::entropy::rng().map_err(Failure::preflight)?;
    Ok(AtomicU32::new(rng.next_u32() % NETWORKS))
}

/// A folder that is removed with everything in it.
struct Folder {
    path: PathBuf,
}

impl Folder {
    fn make() -> Done<Self> {
        use std::os::unix::fs::DirBuilderExt as _;
        let random = hallmark_net::entropy::rng().map_err(Failure::preflight)?.next_u32();
        // The path of a control socket may have 107 octets.
        let path = std::env::temp_dir().join(format!("hallmark-{random:08x}"));
        std::fs::DirBuilder::new()
            .mode(0o700)
            .create(&path)
            .map_err(|error| Failure::preflight(format!("cannot make {}: {error}", path.display())))?;
        Ok(Self { path })
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.path);
    }
}
