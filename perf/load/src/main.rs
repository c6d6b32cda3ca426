//! Measures how many registrations a key server process takes in a second.
//!
//! `hallmark-perf registration` starts a key server as a process of its own, plays a thousand group members against it
//! over the loopback interface (phase 1 main mode with a pre-shared key, then GROUPKEY-PULL), and prints registrations
//! a second, CPU time of the key server for each, and beside it the bare Diffie-Hellman work that no responder can
//! avoid.

mod datapath;
mod key_server;
mod measure;
mod member;
mod ports;
mod registration;

use std::path::PathBuf;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(version, about)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Plays group members against a key server process and prints what it took.
    Registration(registration::Options),
    /// Takes packets through the whole data plane on one core and prints how many, beside the bare cipher.
    Datapath(datapath::Options),
    /// Carries frames between ports of each kind, bare and through the data plane, and prints how many. Needs root.
    Ports(ports::Options),
    /// Runs the key server that `registration` starts.
    #[command(hide = true)]
    Serve {
        /// The configuration file.
        config: PathBuf,
    },
}

fn main() -> anyhow::Result<()> {
    match Arguments::parse().command {
        Command::Registration(options) => registration::run(&options),
        Command::Datapath(options) => datapath::run(&options),
        Command::Ports(options) => ports::run(&options),
        Command::Serve { config } => key_server::serve(&config),
    }
}
