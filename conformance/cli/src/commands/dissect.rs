//! `hallmark dissect`: opens a capture offline.

use std::io::IsTerminal as _;
use std::path::PathBuf;

use hallmark_catalogue::ExitCode;
use hallmark_dissect::{Format, Request, command};

use crate::failure::{Done, Failure};
use crate::out::{self, Color};

/// Decrypts, decodes and verifies a capture offline, and shows who said what with every HASH and SIG checked. Ends
/// with 1 when a check fails or a message does not decode.
#[derive(clap::Args, Debug)]
pub(crate) struct DissectArgs {
    /// The pcap or pcapng file, for example trace.pcapng of a case.
    #[arg(value_name = "CAPTURE")]
    capture: PathBuf,
    /// A file with keys; keys.json or secrets.json beside the capture is found by itself.
    #[arg(long, value_name = "FILE")]
    secrets: Vec<PathBuf>,
    /// Deviations that are allowed, each counted in the output: gdoid-2011 or single switches.
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    compat: Vec<String>,
    /// text or json.
    #[arg(long, value_name = "FORMAT", default_value = "text", value_parser = format)]
    format: Format,
    /// Show headers, payloads and every check.
    #[arg(long, short)]
    verbose: bool,
    /// Show keys in full.
    #[arg(long)]
    show_keys: bool,
}

fn format(name: &str) -> Result<Format, String> {
    Format::from_name(name).ok_or_else(|| "expected text or json".to_owned())
}

/// Runs the command.
pub(crate) fn run(args: &DissectArgs, color: Color) -> Done {
    let request = Request {
        capture: args.capture.clone(),
        secrets: args.secrets.clone(),
        compat: args.compat.clone(),
        format: args.format,
        verbose: args.verbose,
        unicode: color.on() && std::io::stdout().is_terminal(),
        show_keys: args.show_keys,
    };
    let (text, ok) = command(&request).map_err(Failure::usage)?;
    out::print(&text);
    Ok(if ok { ExitCode::Ok } else { ExitCode::Unexpected })
}
