//! `hallmark ks` and `hallmark gm`: the reference as a process.

use std::path::PathBuf;

use clap::ValueEnum as _;
use hallmark_catalogue::ExitCode;
use hallmark_node::log::{Format, Level, Options};
use hallmark_node::{NodeError, RunOptions, run_gm, run_ks};

use crate::failure::{Done, Failure};

/// The arguments of a node.
#[derive(clap::Args, Debug)]
pub(crate) struct NodeArgs {
    /// The configuration file.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// The form of log lines, which go to standard error.
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    log_format: LogFormat,
    /// Log lines that matter less are left out.
    #[arg(long, value_name = "LEVEL", default_value = "info")]
    log_level: LogLevel,
    /// End when standard input closes, so that the node never outlives what started it.
    #[arg(long)]
    follow_stdin: bool,
}

/// Which node.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Role {
    /// The key server.
    Ks,
    /// The group member.
    Gm,
}

#[derive(clap::ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
enum LogFormat {
    Text,
    Json,
}

#[derive(clap::ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
enum LogLevel {
    Error,
    Warn,
    Info,
    Debug,
}

/// Runs the command until the node ends.
pub(crate) fn run(args: &NodeArgs, role: Role) -> Done {
    let level = args.log_level.to_possible_value().and_then(|value| Level::from_name(value.get_name()));
    let format = match args.log_format {
        LogFormat::Text => Format::Text,
        LogFormat::Json => Format::Json,
    };
    let log = Options { format, level: level.unwrap_or_default(), ..Options::default() };
    let options = RunOptions { log, follow_stdin: args.follow_stdin };
    let ended = match role {
        Role::Ks => run_ks(&args.config, &options),
        Role::Gm => run_gm(&args.config, &options),
    };
    match ended {
        Ok(()) => Ok(ExitCode::Ok),
        Err(error @ (NodeError::Config(_) | NodeError::Machine(_))) => Err(Failure::usage(error)),
        Err(error) => Err(Failure::preflight(error)),
    }
}
