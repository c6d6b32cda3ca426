//! A node as a process: it says when it is ready, answers its console, and ends when it is told to.

mod child;

use std::time::{Duration, Instant};

use hallmark_node::config::Source;
use hallmark_node::{NodeError, RunOptions, client, run_gm, run_ks};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use child::{Node, eventually, gm_config, ks_config};

/// Serves when the environment says so, and is an empty test otherwise.
#[test]
fn serve_when_asked_to() {
    child::serve();
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
