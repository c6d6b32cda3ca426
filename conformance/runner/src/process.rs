//! Subjects that are processes on this host, and devices that run by themselves.
//!
//! A program that wants to be judged is started as `PROGRAM ks|gm --config FILE`. It prints one line of JSON on its
//! standard output when it listens, `{"ready":true}` with whatever else it likes to say, logs to standard error, and
//! may offer a console: a Unix socket at the path that the configuration names as `control`, one JSON object a line in
//! each direction.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{self, Receiver};
use std::time::{Duration, Instant};

use hallmark_probe::world::{Role, Unavailable};

use crate::socket_world::{Launcher, RunningSubject};

/// How long a process may take to say that it listens, in real time.
const READY: Duration = Duration::from_secs(10);
/// How long a console may take to answer, in real time.
const ANSWER: Duration = Duration::from_secs(5);
/// Log lines that are kept of one subject.
const LOG_LINES: usize = 10_000;

/// Starts a program for each subject.
pub struct ProcessLauncher {
    /// The program and its first arguments.
    pub command: Vec<String>,
    /// A folder for configuration files and control sockets, removed by its owner.
    pub folder: PathBuf,
    /// Lines added to the `[test]` part of the configuration: defects and variants for a subject that has them.
    pub test_lines: String,
    /// Arguments that follow `--config FILE`.
    pub arguments: Vec<String>,
    serial: AtomicU32,
}

impl ProcessLauncher {
    /// Makes a launcher.
    #[must_use]
    pub const fn new(command: Vec<String>, folder: PathBuf, test_lines: String) -> Self {
        Self { command, folder, test_lines, arguments: Vec::new(), serial: AtomicU32::new(0) }
    }

    fn config_text(&self, config: &str, control: &Path, clock_rate: f64) -> String {
        // `control` belongs to the top of the file, the rest to its last table, [test].
        let head = format!("control = \"{}\"\n", control.display());
        format!("{head}{config}clock_rate = {clock_rate:?}\n{}", self.test_lines)
    }
}

impl Launcher for ProcessLauncher {
    fn launch(&self, role: Role, config: &str, clock_rate: f64) -> Result<Box<dyn RunningSubject>, Unavailable> {
        let failed = |what: &str, error: std::io::Error| Unavailable::Failed(format!("{what}: {error}"));
        let serial = self.serial.fetch_add(1, Ordering::SeqCst);
        let file = self.folder.join(format!("{serial}.toml"));
        let control = self.folder.join(format!("{serial}.sock"));
        std::fs::write(&file, self.config_text(config, &control, clock_rate))
            .map_err(|e| failed("cannot write the configuration", e))?;
        let (program, first) =
            self.command.split_first().ok_or_else(|| Unavailable::Failed("no program given".into()))?;
        let mut child = Command::new(program)
            .args(first)
            .arg(match role {
                Role::Ks => "ks",
                Role::Gm => "gm",
            })
            .arg("--config")
            .arg(&file)
            .args(&self.arguments)
            // A pipe that closes with this program: a subject may end itself by it when the tester is killed.
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|e| failed(&format!("cannot start {program}"), e))?;
        let (lines, log) = mpsc::sync_channel(LOG_LINES);
        if let Some(stderr) = child.stderr.take() {
            std::thread::spawn(move || {
                for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                    // A full queue drops lines; the subject must never block on its log.
                    let _ = lines.try_send(line);
                }
            });
        }
        let (tell, ready) = mpsc::channel();
        if let Some(stdout) = child.stdout.take() {
            std::thread::spawn(move || {
                for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                    if line.contains("\"ready\":true") || line.contains("\"ready\": true") {
                        let _ = tell.send(());
                    }
                }
            });
        }
        let mut subject = Process { child, log, control };
        match ready.recv_timeout(READY) {
            Ok(()) => Ok(Box::new(subject)),
            Err(_) => {
                let _ = subject.kill();
                std::thread::sleep(Duration::from_millis(20));
                let said = subject.log().join("; ");
                Err(Unavailable::Failed(format!("{program} did not say that it is ready; it said: {said}")))
            }
        }
    }
}

struct Process {
    child: Child,
    log: Receiver<String>,
    control: PathBuf,
}

impl RunningSubject for Process {
    fn command(&mut self, request: &str) -> Result<String, Unavailable> {
        let failed = |error: std::io::Error| Unavailable::Failed(format!("console: {error}"));
        let mut stream = UnixStream::connect(&self.control)
            .map_err(|e| Unavailable::NotHere(format!("the subject offers no console: {e}")))?;
        stream.set_read_timeout(Some(ANSWER)).map_err(failed)?;
        stream.write_all(request.as_bytes()).and_then(|()| stream.write_all(b"\n")).map_err(failed)?;
        let mut answer = String::new();
        BufReader::new(stream).read_line(&mut answer).map_err(failed)?;
        Ok(answer)
    }

    fn kill(&mut self) -> Result<(), Unavailable> {
        let _ = self.child.kill();
        let deadline = Instant::now() + ANSWER;
        while Instant::now() < deadline {
            if matches!(self.child.try_wait(), Ok(Some(_))) {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        Err(Unavailable::Failed("the subject does not end".to_owned()))
    }

    fn log(&mut self) -> Vec<String> {
        self.log.try_iter().collect()
    }

    fn died(&mut self) -> Option<String> {
        let status = self.child.try_wait().ok().flatten()?;
        // An end that it was told to make is in order.
        (!status.success()).then(|| format!("the process ended by itself: {status}"))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.kill();
    }
}

/// Stands for a device that nobody here can start or configure: a case runs only where the device's declared
/// configuration is the one that the case asks for.
pub struct FixedDevice {
    /// The role that the device plays.
    pub role: Role,
    /// What the device is configured to, as configuration text.
    pub declared: String,
}

impl Launcher for FixedDevice {
    fn launch(&self, role: Role, config: &str, _clock_rate: f64) -> Result<Box<dyn RunningSubject>, Unavailable> {
        if role != self.role {
            return Err(Unavailable::NotHere(format!("the device was declared as {:?}, not as {role:?}", self.role)));
        }
        let wanted: toml::Table =
            config.parse().map_err(|e| Unavailable::Failed(format!("case configuration: {e}")))?;
        let declared: toml::Table =
            self.declared.parse().map_err(|e| Unavailable::Failed(format!("declared configuration: {e}")))?;
        match difference("", &wanted, &declared) {
            None => Ok(Box::new(Device)),
            Some(what) => Err(Unavailable::NotHere(format!("the device is configured otherwise: {what}"))),
        }
    }
}

struct Device;

impl RunningSubject for Device {
    fn command(&mut self, _request: &str) -> Result<String, Unavailable> {
        Err(Unavailable::NotHere("no console is configured for the device".to_owned()))
    }

    fn kill(&mut self) -> Result<(), Unavailable> {
        Err(Unavailable::NotHere("the device cannot be stopped from here".to_owned()))
    }

    fn log(&mut self) -> Vec<String> {
        Vec::new()
    }
}

/// Names the first setting in which two configurations differ. Secrets of the subject's own (its private and signing
/// keys) are its own business, and what only a process of ours understands does not count.
fn difference(path: &str, wanted: &toml::Table, declared: &toml::Table) -> Option<String> {
    const OWN: [&str; 5] = ["test", "control", "signing_key", "private_key", "certificate"];
    for (key, want) in wanted.iter().filter(|(key, _)| !OWN.contains(&key.as_str())) {
        let at = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
        match (want, declared.get(key)) {
            (_, None) => return Some(format!("{at} is not declared")),
            (toml::Value::Table(want), Some(toml::Value::Table(have))) => {
                if let Some(found) = difference(&at, want, have) {
                    return Some(found);
                }
            }
            (toml::Value::Array(want), Some(toml::Value::Array(have))) if want.len() == have.len() => {
                for (index, pair) in want.iter().zip(have).enumerate() {
                    if let (toml::Value::Table(want), toml::Value::Table(have)) = pair {
                        if let Some(found) = difference(&format!("{at}[{index}]"), want, have) {
                            return Some(found);
                        }
                    } else if pair.0 != pair.1 {
                        return Some(format!("{at} is {}, the case asks for {}", pair.1, pair.0));
                    }
                }
            }
            (want, Some(have)) if want == have => {}
            (want, Some(have)) => return Some(format!("{at} is {have}, the case asks for {want}")),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_declared_device_runs_only_the_cases_that_fit_its_configuration() {
        let device =
            FixedDevice { role: Role::Ks, declared: "listen = [\"a\"]\n[[group]]\nid = 1\nlkh = false\n".into() };
        let launch = |text: &str| device.launch(Role::Ks, text, 1.0).map(|_| ()).map_err(|e| e.to_string());
        assert_eq!(launch("listen = [\"a\"]\n[[group]]\nid = 1\nsigning_key = \"x\"\n[test]\nseed = \"\"\n"), Ok(()));
        let refused = launch("listen = [\"a\"]\n[[group]]\nid = 1\nlkh = true\n").expect_err("differs");
        assert!(refused.contains("group[0].lkh"), "{refused}");
        assert!(device.launch(Role::Gm, "", 1.0).is_err());
    }
}
