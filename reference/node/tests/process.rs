//! A node as a process: it says when it is ready, answers its console, and ends when it is told to.
//!
//! The test program runs itself as the node: a child with the environment variable set executes the "test" that serves.

use std::io::{BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use hallmark_node::config::Source;
use hallmark_node::log::{self, Format, Level};
use hallmark_node::{NodeError, RunOptions, client, run_gm, run_ks};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

const ROLE: &str = "HALLMARK_NODE_TEST_ROLE";
const CONFIG: &str = "HALLMARK_NODE_TEST_CONFIG";

/// Serves when the environment says so, and is an empty test otherwise.
#[test]
fn serve_when_asked_to() {
    let (Ok(role), Ok(config)) = (std::env::var(ROLE), std::env::var(CONFIG)) else { return };
    let log = log::Options { format: Format::Json, level: Level::Debug, ..log::Options::default() };
    let options = RunOptions { log, follow_stdin: true };
    let run = if role == "ks" { run_ks } else { run_gm };
    run(Path::new(&config), &options).unwrap();
}

/// A node as a child process, in a folder of its own.
struct Node {
    child: Child,
    folder: PathBuf,
    ready: Value,
    /// Kept open: the test harness of the child has a last word.
    _stdout: BufReader<ChildStdout>,
}

impl Node {
    fn start(name: &str, role: &str, config: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("hallmark-node-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let path = folder.join("node.toml");
        std::fs::write(&path, config).unwrap();
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "serve_when_asked_to", "--nocapture", "--test-threads=1"])
            .env(ROLE, role)
            .env(CONFIG, &path)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(std::fs::File::create(folder.join("log")).unwrap())
            .spawn()
            .unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        // The test harness of the child prints a few lines of its own first.
        let ready = stdout
            .by_ref()
            .lines()
            .map_while(Result::ok)
            .find_map(|line| line.find('{').and_then(|at| serde_json::from_str(&line[at..]).ok()));
        let log = std::fs::read_to_string(folder.join("log")).unwrap();
        let ready = ready.unwrap_or_else(|| panic!("not ready: {log}"));
        Self { child, folder, ready, _stdout: stdout }
    }

    fn ask(&self, request: &str) -> Value {
        serde_json::from_str(&client::request(&self.folder.join("socket"), request).unwrap()).unwrap()
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.folder.join("log")).unwrap()
    }

    /// Waits for the end, and says whether it was a clean one.
    fn ended(&mut self) -> bool {
        let deadline = Instant::now() + Duration::from_secs(20);
        while Instant::now() < deadline {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.success();
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        panic!("the node does not end");
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

fn ks_config(listen: &str) -> String {
    let key =
        hallmark_crypto::SigningKey::generate_ecdsa(hallmark_crypto::Curve::P256, &mut hallmark_core::Rng::from_u64(4));
    format!(
        r#"schema = "hallmark.ks/1"
listen = ["{listen}"]
control = "socket"
[phase1]
proposals = ["aes128-sha256-ecp256-psk"]
[[peer]]
address = "127.0.0.0/8"
psk = "text"
[[group]]
id = 1234
signing_key = """
{}"""
[group.kek]
cipher = "aes128"
sig_hash = "sha256"
[[group.tek]]
protocol = "esp"
transform = "aes128-cbc"
auth = "hmac-sha256"
acl = ["permit ip 10.1.0.0/16 10.2.0.0/16"]
"#,
        key.to_pem().unwrap()
    )
}

fn gm_config(listen: &str, server: &str) -> String {
    format!(
        r#"schema = "hallmark.gm/1"
listen = "{listen}"
control = "socket"
[phase1]
proposals = ["aes128-sha256-ecp256-psk"]
[[server]]
address = "{server}"
psk = "text"
[group]
id = 1234
"#
    )
}

fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !holds() {
        assert!(Instant::now() < deadline, "{what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_key_server_starts_shows_its_status_and_ends_on_a_signal() {
    let mut ks = Node::start("signal", "ks", &ks_config("127.0.0.1:0"));
    assert_eq!(ks.ready["ready"], true);
    assert_eq!(ks.ready["role"], "ks");
    assert_eq!(ks.ready["pid"], ks.child.id());
    assert!(ks.ready["listen"][0].as_str().unwrap().starts_with("127.0.0.1:"));

    let status = ks.ask(r#"{"cmd":"status"}"#);
    assert_eq!(status["ok"], true);
    assert_eq!(status["process"]["pid"], ks.child.id());
    assert_eq!(status["process"]["listen"], ks.ready["listen"]);
    assert_eq!(status["status"]["groups"][0]["id"], 1234);

    for request in ["nonsense", r#"{"cmd":"dance"}"#, r#"{"cmd":"rekey","group":9}"#, r#"{"cmd":"register"}"#] {
        let refused = ks.ask(request);
        assert_eq!(refused["ok"], false, "{request}");
        assert!(!refused["error"].as_str().unwrap().is_empty());
    }
    assert_eq!(ks.ask(r#"{"cmd":"rekey","group":1234}"#)["ok"], true);

    kill(Pid::from_raw(ks.child.id().try_into().unwrap()), Signal::SIGTERM).unwrap();
    assert!(ks.ended(), "{}", ks.log());
    assert!(!ks.folder.join("socket").exists());
    assert!(ks.log().contains("ends: SIGTERM"), "{}", ks.log());
}

#[test]
fn a_group_member_registers_with_a_key_server_over_loopback() {
    let mut ks = Node::start("pair-ks", "ks", &ks_config("127.0.0.1:0"));
    let server = ks.ready["listen"][0].as_str().unwrap().to_owned();
    let mut gm = Node::start("pair-gm", "gm", &gm_config("127.0.0.2:0", &server));
    eventually("the member never registered", || {
        ks.ask(r#"{"cmd":"status"}"#)["status"]["groups"][0]["member_count"] == 1
    });
    eventually("the registration is not in the log", || gm.log().contains("\"registered\""));
    // Every line of a structured log is an object of its own.
    for line in gm.log().lines().filter(|line| line.starts_with("{\"at\"")) {
        let parsed: Value = serde_json::from_str(line).unwrap();
        assert!(parsed["level"].is_string() && parsed["at"].is_string());
    }
    assert_eq!(gm.ask(r#"{"cmd":"shutdown"}"#)["ok"], true);
    assert!(gm.ended());
    // A supervisor that goes away takes its node with it.
    drop(ks.child.stdin.take());
    assert!(ks.ended());
}

#[test]
fn a_socket_that_a_dead_process_left_is_replaced_and_a_living_one_is_not() {
    let listen = "127.0.0.1:0";
    let first = Node::start("twice", "ks", &ks_config(listen));
    let path = first.folder.join("second.toml");
    std::fs::write(&path, ks_config(listen)).unwrap();
    let error = run_ks(&path, &RunOptions::default()).unwrap_err();
    assert!(matches!(error, NodeError::Console { .. }), "{error}");
    assert!(error.to_string().contains("another process serves it"), "{error}");

    kill(Pid::from_raw(first.child.id().try_into().unwrap()), Signal::SIGKILL).unwrap();
    let folder = first.folder.clone();
    eventually("the killed process answers", || client::request(&folder.join("socket"), "{}").is_err());
    assert!(folder.join("socket").exists());
    drop(first);
    std::fs::create_dir_all(&folder).unwrap();
    drop(std::os::unix::net::UnixListener::bind(folder.join("socket")).unwrap());
    let again = Node::start("twice", "ks", &ks_config(listen));
    assert_eq!(again.ask(r#"{"cmd":"status"}"#)["ok"], true);
}

#[test]
fn what_cannot_start_says_why() {
    let folder = std::env::temp_dir().join(format!("hallmark-node-refused-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let path = folder.join("ks.toml");
    std::fs::write(&path, ks_config("192.0.2.99:848")).unwrap();
    let error = run_ks(&path, &RunOptions::default()).unwrap_err().to_string();
    assert!(error.contains("cannot listen on 192.0.2.99:848"), "{error}");
    std::fs::write(&path, "schema = \"hallmark.ks/1\"\nlisten = [\n").unwrap();
    let error = run_ks(&path, &RunOptions::default()).unwrap_err().to_string();
    assert!(error.starts_with(&format!("{}:", Source::file(&path).name)), "{error}");
    let error = run_gm(&folder.join("nothing.toml"), &RunOptions::default()).unwrap_err().to_string();
    assert!(error.contains("cannot read"), "{error}");
    std::fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn a_multicast_rekey_comes_by_itself_and_a_hundred_times_faster() {
    // Any port that is free at a member's address is free for the group as well.
    let port = std::net::UdpSocket::bind("127.0.0.7:0").unwrap().local_addr().unwrap().port();
    let fast = "[test]\nclock_rate = 100.0\nshort_lifetimes = true\n";
    let config = ks_config("127.0.0.6:0")
        .replace(
            "[[group.tek]]",
            &format!("transport = \"multicast\"\nmulticast = \"239.86.75.31:{port}\"\n[[group.tek]]"),
        )
        .replace("auth = \"hmac-sha256\"", "auth = \"hmac-sha256\"\nlifetime_secs = 300");
    let ks = Node::start("multicast-ks", "ks", &(config + fast));
    let server = ks.ready["listen"][0].as_str().unwrap().to_owned();
    let gm = Node::start("multicast-gm", "gm", &(gm_config(&format!("127.0.0.7:{port}"), &server) + fast));
    let begun = Instant::now();
    eventually("no rekey was accepted", || gm.log().contains("\"push_accepted\""));
    // The rekey is due 210 seconds after the start: 2.1 seconds of real time.
    assert!(begun.elapsed() > Duration::from_millis(500), "{:?}", begun.elapsed());
    let status = gm.ask(r#"{"cmd":"status"}"#);
    assert_eq!(status["process"]["multicast_groups"], serde_json::json!([format!("239.86.75.31:{port}")]));
    assert!(status["process"]["uptime_secs"].as_f64().unwrap() > 100.0);
    assert_eq!(status["process"]["unsent_datagrams"], 0);
}
