//! The console: one JSON object in, one JSON object out.
//!
//! The same requests work on the control socket of a process and, called directly, on a machine in the lab:
//!
//! ```text
//! {"cmd":"status"}
//! {"cmd":"rekey","group":1234}                       {"cmd":"rekey-replace-now","group":1234}
//! {"cmd":"rekey-kek","group":1234}                   {"cmd":"clear-members","group":1234,"now":true}
//! {"cmd":"delete-group-keys","group":1234}           {"cmd":"remove-member","group":1234,"identity":"ipv4:10.0.0.2"}
//! {"cmd":"replace-policy","policy":"[[group]]\nid = 1234\n.."}
//! {"cmd":"authorize","group":1234,"identity":".."}   {"cmd":"revoke","group":1234,"identity":".."}
//! {"cmd":"register"}    {"cmd":"clear-sa"}           {"cmd":"shutdown"}
//! ```
//!
//! A group member with a data plane takes besides:
//!
//! ```text
//! {"cmd":"trace","count":10,"side":"lan","src":"10.1.0.1","dst":"10.2.0.1","protocol":50,"dropped_only":true}
//! {"cmd":"traces"}                                   what became of the packets, every decision in words
//! {"cmd":"capture","checkpoint":"wan-out","on":true} {"cmd":"captured"}
//! ```
//!
//! and with `[test]` in its configuration, to see what happens when clocks jump and numbers run out:
//!
//! ```text
//! {"cmd":"step-wall","secs":30}
//! {"cmd":"advance-sequence","spi":305419896,"last":4294967294}    {"cmd":"resume-window","spi":305419896,"top":9}
//! ```
//!
//! An answer is `{"ok":true,..}` or `{"ok":false,"error":"..."}`.

use hallmark_control::key_server::CommandReply;
use hallmark_control::{GmCommand, KeyServer, KsCommand};
use hallmark_core::Now;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::config::{Source, group_from_toml, parse_identity};
use crate::member::Member;
use crate::plane::{PlaneCommand, TraceRequest, checkpoint};

/// Is what a request leads to.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// The JSON object to give back.
    pub reply: Value,
    /// Whether the node is to end once everything is sent.
    pub shutdown: bool,
}

impl Answer {
    fn ok(reply: Value) -> Self {
        Self { reply, shutdown: false }
    }

    /// Makes the answer to a request that cannot be met.
    pub(crate) fn refused(why: impl ToString) -> Self {
        Self::ok(json!({ "ok": false, "error": why.to_string() }))
    }
}

/// Gives a request to a key server.
pub fn ks(server: &mut KeyServer, now: Now, request: &str) -> Answer {
    let request = match serde_json::from_str::<KsRequest>(request) {
        Ok(request) => request,
        Err(error) => return Answer::refused(format!("not a request to a key server: {error}")),
    };
    if matches!(request, KsRequest::Status) {
        return status(serde_json::to_value(server.status(now)).map_err(|error| error.to_string()));
    }
    let shutdown = matches!(request, KsRequest::Shutdown);
    let done = request
        .into_command()
        .and_then(|command| server.handle_command(now, command).map_err(|error| error.to_string()));
    match done {
        Ok(reply) => Answer { reply: accepted(&reply), shutdown },
        Err(why) => Answer::refused(why),
    }
}

/// Gives a request to a group member.
pub fn gm(member: &mut Member, now: Now, request: &str) -> Answer {
    let request = match serde_json::from_str::<GmRequest>(request) {
        Ok(request) => request,
        Err(error) => return Answer::refused(format!("not a request to a group member: {error}")),
    };
    let command = match request {
        GmRequest::Status => return status(member.status(now)),
        GmRequest::Register => GmCommand::Register,
        GmRequest::ClearSa => GmCommand::ClearSa,
        GmRequest::Shutdown => GmCommand::Shutdown,
        GmRequest::StepWall { secs } => return done(member.step_wall(secs)),
        GmRequest::Trace(trace) => return plane(member, now, &trace.command()),
        GmRequest::Traces => return plane(member, now, &PlaneCommand::Traces),
        GmRequest::Capture { checkpoint: name, on } => {
            return match checkpoint(&name) {
                Ok(checkpoint) => plane(member, now, &PlaneCommand::Capture { checkpoint, on }),
                Err(why) => Answer::refused(why),
            };
        }
        GmRequest::Captured => return plane(member, now, &PlaneCommand::Captured),
        GmRequest::AdvanceSequence { .. } | GmRequest::ResumeWindow { .. } if !member.is_test() => {
            return Answer::refused("numbers are set by commands in a test only: the configuration has no [test]");
        }
        GmRequest::AdvanceSequence { spi, last } => {
            return plane(member, now, &PlaneCommand::AdvanceSequence { spi, last });
        }
        GmRequest::ResumeWindow { spi, top } => return plane(member, now, &PlaneCommand::ResumeWindow { spi, top }),
    };
    let shutdown = matches!(command, GmCommand::Shutdown);
    member.handle_command(now, command);
    Answer { shutdown, ..done(Ok(())) }
}

/// Puts what a data plane has to tell into an answer.
fn plane(member: &mut Member, now: Now, command: &PlaneCommand) -> Answer {
    match member.plane_command(now, command) {
        Ok(Value::Object(mut told)) => {
            told.insert("ok".to_owned(), Value::Bool(true));
            told.insert("reply".to_owned(), Value::from("done"));
            Answer::ok(Value::Object(told))
        }
        Ok(other) => Answer::ok(json!({ "ok": true, "reply": other })),
        Err(why) => Answer::refused(why),
    }
}

fn done(done: Result<(), String>) -> Answer {
    match done {
        Ok(()) => Answer::ok(json!({ "ok": true, "reply": "done" })),
        Err(why) => Answer::refused(why),
    }
}

#[derive(Deserialize)]
#[serde(tag = "cmd", rename_all = "kebab-case", deny_unknown_fields)]
enum KsRequest {
    Status,
    Rekey {
        group: u32,
    },
    RekeyReplaceNow {
        group: u32,
    },
    RekeyKek {
        group: u32,
    },
    ClearMembers {
        group: u32,
        #[serde(default)]
        now: bool,
    },
    DeleteGroupKeys {
        group: u32,
    },
    RemoveMember {
        group: u32,
        identity: String,
    },
    ReplacePolicy {
        policy: String,
    },
    Authorize {
        group: u32,
        identity: String,
    },
    Revoke {
        group: u32,
        identity: String,
    },
    Shutdown,
}

#[derive(Deserialize)]
#[serde(tag = "cmd", rename_all = "kebab-case", deny_unknown_fields)]
enum GmRequest {
    Status,
    Register,
    ClearSa,
    Shutdown,
    StepWall { secs: i64 },
    Trace(TraceRequest),
    Traces,
    Capture { checkpoint: String, on: bool },
    Captured,
    AdvanceSequence { spi: u32, last: u64 },
    ResumeWindow { spi: u32, top: u64 },
}

impl KsRequest {
    fn into_command(self) -> Result<KsCommand, String> {
        Ok(match self {
            Self::Rekey { group } => KsCommand::Rekey { group },
            Self::RekeyReplaceNow { group } => KsCommand::RekeyReplaceNow { group },
            Self::RekeyKek { group } => KsCommand::RekeyKek { group },
            Self::ClearMembers { group, now } => KsCommand::ClearMembers { group, now },
            Self::DeleteGroupKeys { group } => KsCommand::DeleteGroupKeys { group },
            Self::RemoveMember { group, identity } => KsCommand::RemoveMember { group, identity },
            Self::ReplacePolicy { policy } => {
                let config = group_from_toml(&policy, &Source::inline("policy")).map_err(|error| error.to_string())?;
                KsCommand::ReplacePolicy { group: config.id, config: Box::new(config) }
            }
            Self::Authorize { group, identity } => KsCommand::Authorize { group, identity: parse_identity(&identity)? },
            Self::Revoke { group, identity } => KsCommand::Revoke { group, identity: parse_identity(&identity)? },
            Self::Shutdown => KsCommand::Shutdown,
            Self::Status => return Err("status is no command".to_owned()),
        })
    }
}

fn status(status: Result<Value, String>) -> Answer {
    match status {
        Ok(status) => Answer::ok(json!({ "ok": true, "status": status })),
        Err(error) => Answer::refused(error),
    }
}

fn accepted(reply: &CommandReply) -> Value {
    json!({ "ok": true, "reply": serde_json::to_value(reply).unwrap_or_default() })
}
