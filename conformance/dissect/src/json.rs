//! The output for machines: one object, one entry per frame, under a versioned schema.

use hallmark_wire::describe::Tree;
use hallmark_wire::isakmp::Header;
use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::check::Check;
use crate::dissection::Dissection;
use crate::frame::{Frame, Protection};

/// The name and version of the form. Fields are added under the same version, never renamed or removed.
pub const SCHEMA: &str = "hallmark.dissection/1";

/// Gives the JSON schema of the form.
#[must_use]
pub const fn schema() -> &'static str {
    include_str!("../schema/dissection-1.json")
}

/// Gives a dissection as JSON text.
#[must_use]
pub fn render(capture: &str, dissection: &Dissection) -> String {
    let text = serde_json::to_string_pretty(&value(capture, dissection));
    text.map(|text| text + "\n").unwrap_or_default()
}

/// Gives a dissection as a JSON value.
#[must_use]
pub fn value(capture: &str, dissection: &Dissection) -> Value {
    let totals = dissection.totals();
    let count = |switches: &std::collections::BTreeMap<crate::Switch, usize>| -> Map<String, Value> {
        switches.iter().map(|(switch, count)| (switch.name().to_owned(), json!(count))).collect()
    };
    json!({
        "schema": SCHEMA,
        "capture": capture,
        "ok": dissection.is_ok(),
        "result": crate::text::result(dissection),
        "trouble": dissection.trouble,
        "totals": {
            "frames": totals.frames,
            "messages": totals.messages,
            "repeats": totals.repeats,
            "decrypted": totals.decrypted,
            "closed": totals.closed,
            "undecodable": totals.undecodable,
            "pieces": totals.pieces,
            "keepalives": totals.keepalives,
            "malformed": totals.malformed,
            "others": totals.others,
            "checks": { "ok": totals.ok, "failed": totals.failed, "not-checkable": totals.not_checkable },
        },
        "compat_used": count(&dissection.used),
        "compat_missing": count(&dissection.explaining_switches()),
        "compat_suspected": count(&dissection.suspected_switches()),
        "frames": dissection.frames.iter().map(frame).collect::<Vec<_>>(),
    })
}

fn frame(frame: &Frame) -> Value {
    let (state, detail) = match &frame.protection {
        Protection::Clear => ("clear", None),
        Protection::Decrypted(with) => ("decrypted", Some(with)),
        Protection::NotDecrypted(why) => ("closed", Some(why)),
    };
    json!({
        "frame": frame.number,
        "at": hallmark_evidence::time::rfc3339(frame.at),
        "at_unix_nanos": frame.at.0,
        "interface": frame.interface,
        "src": frame.ends.map(|(src, _)| src.to_string()),
        "dst": frame.ends.map(|(_, dst)| dst.to_string()),
        "octets": frame.octets,
        "kind": frame.kind.name(),
        "number": frame.kind.number(),
        "label": frame.kind.label(),
        "header": frame.header.as_ref().map(header),
        "protection": { "state": state, "detail": detail },
        "payloads": frame.payloads,
        "tree": frame.tree.iter().map(tree).collect::<Vec<_>>(),
        "checks": frame.checks.iter().map(CheckJson::of).collect::<Vec<_>>(),
        "notes": frame.notes,
        "error": frame.error.as_ref().map(|error| json!({ "code": error.code.as_str(), "detail": error.detail })),
        "repeat_of": frame.repeat_of,
        "pieces": frame.pieces,
        "suspects": frame.suspects.iter().map(|switch| switch.name()).collect::<Vec<_>>(),
        "ok": frame.is_ok(),
    })
}

fn header(header: &Header) -> Value {
    json!({
        "initiator_cookie": hex::encode(header.initiator_cookie),
        "responder_cookie": hex::encode(header.responder_cookie),
        "next_payload": header.next.0,
        "version": header.version,
        "exchange": header.exchange.0,
        "flags": header.flags.0,
        "message_id": header.message_id,
        "length": header.length,
    })
}

fn tree(node: &Tree) -> Value {
    json!({
        "label": node.label,
        "value": node.value,
        "children": node.children.iter().map(tree).collect::<Vec<_>>(),
    })
}

#[derive(Serialize)]
struct CheckJson<'a> {
    name: &'a str,
    verdict: crate::Verdict,
    detail: &'a str,
    switch: Option<&'static str>,
}

impl<'a> CheckJson<'a> {
    fn of(check: &'a Check) -> Self {
        Self {
            name: check.name,
            verdict: check.verdict,
            detail: &check.detail,
            switch: check.switch.map(crate::Switch::name),
        }
    }
}
