//! Nodes as child processes of a test: the test program runs itself as the node, and a child with the environment
//! variable set executes the "test" `serve_when_asked_to` that each of these programs has.
#![allow(dead_code, unreachable_pub, reason = "each test program uses its part")]

use std::io::{BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use hallmark_node::log::{self, Format, Level};
use hallmark_node::{RunOptions, client, run_gm, run_ks};
use serde_json::Value;

const ROLE: &str = "HALLMARK_NODE_TEST_ROLE";
const CONFIG: &str = "HALLMARK_NODE_TEST_CONFIG";

/// Serves when the environment says so.
pub fn serve() {
    let (Ok(role), Ok(config)) = (std::env::var(ROLE), std::env::var(CONFIG)) else { return };
    let log = log::Options { format: Format::Json, level: Level::Debug, ..log::Options::default() };
    let options = RunOptions { log, follow_stdin: true };
    let run = if role == "ks" { run_ks } else { run_gm };
    run(Path::new(&config), &options).unwrap();
}

/// A node as a child process, in a folder of its own.
pub struct Node {
    pub child: Child,
    pub folder: PathBuf,
    pub ready: Value,
    /// Kept open: the test harness of the child has a last word.
    _stdout: BufReader<ChildStdout>,
}

impl Node {
    pub fn start(name: &str, role: &str, config: &str) -> Self {
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

    pub fn ask(&self, request: &str) -> Value {
        serde_json::from_str(&client::request(&self.folder.join("socket"), request).unwrap()).unwrap()
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder.join("log")).unwrap()
    }

    /// Waits for the end, and says whether it was a clean one.
    pub fn ended(&mut self) -> bool {
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

pub fn ks_config(listen: &str) -> String {
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

pub fn gm_config(listen: &str, server: &str) -> String {
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

pub fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !holds() {
        assert!(Instant::now() < deadline, "{what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}
