//! `hallmark status`: asks a running node.

use std::fmt::Write as _;
use std::path::PathBuf;

use hallmark_catalogue::ExitCode;
use hallmark_node::client;
use serde_json::{Value, json};

use crate::failure::{Done, Failure};
use crate::out;

/// Asks a running key server or group member how it is, or gives it a command.
#[derive(clap::Args, Debug)]
pub(crate) struct StatusArgs {
    /// The control socket that its configuration names.
    #[arg(value_name = "SOCKET")]
    socket: PathBuf,
    /// A request instead of `status`, as JSON: '{"cmd":"rekey","group":1234}'.
    #[arg(value_name = "REQUEST")]
    request: Option<String>,
    /// Print the answer as JSON.
    #[arg(long)]
    json: bool,
}

/// Runs the command.
pub(crate) fn run(args: &StatusArgs) -> Done {
    let request = match &args.request {
        None => json!({ "cmd": "status" }).to_string(),
        Some(text) if text.trim_start().starts_with('{') => text.clone(),
        Some(word) => json!({ "cmd": word }).to_string(),
    };
    let answer = client::request(&args.socket, &request).map_err(Failure::preflight)?;
    let value: Value = serde_json::from_str(&answer)
        .map_err(|error| Failure::preflight(format!("the node answered what is no JSON: {error}")))?;
    let refused = value.get("ok") == Some(&Value::Bool(false));
    if args.json {
        out::line(serde_json::to_string_pretty(&value).map_err(Failure::internal)?);
    } else if refused {
        out::note(format!("refused: {}", value.get("error").and_then(Value::as_str).unwrap_or("no reason given")));
    } else {
        let told = value.get("status").or_else(|| value.get("reply")).unwrap_or(&value);
        let mut text = String::new();
        outline(&mut text, 0, told);
        out::print(&text);
    }
    Ok(if refused { ExitCode::Unexpected } else { ExitCode::Ok })
}

/// The longest list that is written whole; `--json` has all of it.
const LONGEST_LIST: usize = 20;

/// Writes a value as indented lines, short lists and pairs of numbers on one line.
fn outline(text: &mut String, depth: usize, value: &Value) {
    let indent = "  ".repeat(depth);
    match value {
        Value::Object(fields) => {
            let width = fields.iter().filter(|(_, v)| is_flat(v)).map(|(name, _)| name.len()).max().unwrap_or(0);
            for (name, field) in fields {
                if is_flat(field) {
                    let _ = writeln!(text, "{indent}{name:width$}  {}", named(name, field));
                } else {
                    let _ = writeln!(text, "{indent}{name}");
                    outline(text, depth + 1, field);
                }
            }
        }
        Value::Array(items) => {
            for item in items.iter().take(LONGEST_LIST) {
                if is_flat(item) {
                    let _ = writeln!(text, "{indent}- {}", flat(item));
                } else {
                    let _ = writeln!(text, "{indent}-");
                    outline(text, depth + 1, item);
                }
            }
            if items.len() > LONGEST_LIST {
                let _ = writeln!(text, "{indent}- and {} more, see --json", items.len() - LONGEST_LIST);
            }
        }
        other => {
            let _ = writeln!(text, "{indent}{}", flat(other));
        }
    }
}

fn is_flat(value: &Value) -> bool {
    match value {
        // A count of packets and octets, a time and a window.
        Value::Object(fields) => fields.len() <= 2 && fields.values().all(is_scalar),
        Value::Array(items) => items.iter().all(|item| !item.is_object() && !item.is_array()) && items.len() <= 8,
        _ => true,
    }
}

fn is_scalar(value: &Value) -> bool {
    !value.is_object() && !value.is_array()
}

/// Writes a value of a field; SPIs in hex, as everybody else writes them.
fn named(name: &str, value: &Value) -> String {
    let hex = |value: &Value| value.as_u64().map_or_else(|| flat(value), |spi| format!("{spi:#010x}"));
    match value {
        Value::Array(items) if name.ends_with("spis") && !items.is_empty() => {
            items.iter().map(hex).collect::<Vec<_>>().join(", ")
        }
        Value::Number(_) if name == "spi" => hex(value),
        other => flat(other),
    }
}

fn flat(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => "-".to_owned(),
        Value::Array(items) if items.is_empty() => "none".to_owned(),
        Value::Array(items) => items.iter().map(flat).collect::<Vec<_>>().join(", "),
        Value::Object(fields) if fields.is_empty() => "none".to_owned(),
        Value::Object(fields) => {
            fields.iter().map(|(name, field)| format!("{name} {}", flat(field))).collect::<Vec<_>>().join(", ")
        }
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_reads_as_an_outline() {
        let mut text = String::new();
        let status = json!({ "groups": [{ "id": 1234, "teks": [1, 2] }], "uptime": 3.5, "weak": [], "name": null });
        outline(&mut text, 0, &status);
        assert_eq!(text, "groups\n  -\n    id    1234\n    teks  1, 2\nname    -\nuptime  3.5\nweak    none\n");
    }

    #[test]
    fn counts_stand_on_one_line_spis_in_hex_and_long_lists_are_cut() {
        let mut text = String::new();
        let flows: Vec<Value> = (0..30).map(|n| json!({ "n": n, "a": 1, "b": 2 })).collect();
        outline(&mut text, 0, &json!({ "spi": 4096, "send_spis": [4097], "sealed": { "packets": 3, "octets": 300 } }));
        assert_eq!(text, "sealed     octets 300, packets 3\nsend_spis  0x00001001\nspi        0x00001000\n");
        text.clear();
        outline(&mut text, 0, &json!({ "flows": flows }));
        assert!(text.ends_with("  - and 10 more, see --json\n"), "{text}");
    }
}
