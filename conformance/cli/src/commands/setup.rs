//! `hallmark setup`: what a device has to be configured to.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use hallmark_catalogue::{ExitCode, Subject};
use hallmark_runner::socket_world::Addressing;
use hallmark_runner::survey;

use crate::failure::{Done, Failure};
use crate::out;
use crate::target::{role_of, with_port};

/// Ends of the tester that a case may speak from.
const ENDS: usize = 12;

/// Writes the configuration that most cases ask for, with the addresses of your wire: configure the device so and hand
/// the file in with `hallmark run --target udp:... --setup FILE`.
#[derive(clap::Args, Debug)]
pub(crate) struct SetupArgs {
    /// What the device is: ks or gm.
    #[arg(value_name = "ROLE")]
    role: Subject,
    /// The address of the device, with port unless it is 848.
    #[arg(long, value_name = "ADDRESS")]
    subject: String,
    /// Addresses of this host that face it.
    #[arg(long, value_name = "ADDRESS", value_delimiter = ',', required = true)]
    tester: Vec<String>,
    /// Multicast groups that reach it.
    #[arg(long, value_name = "ADDRESS", value_delimiter = ',')]
    multicast: Vec<String>,
    /// The configuration that this case asks for, instead of the most frequent one.
    #[arg(long, value_name = "ID")]
    case: Option<String>,
}

/// Runs the command.
pub(crate) fn run(args: &SetupArgs) -> Done {
    let all = |texts: &[String]| texts.iter().map(|text| with_port(text)).collect::<Done<Vec<SocketAddr>>>();
    let addressing = Addressing::Fixed {
        subject: with_port(&args.subject)?,
        testers: all(&args.tester)?,
        groups: all(&args.multicast)?,
    };
    let mut asked: BTreeMap<String, Vec<&'static str>> = BTreeMap::new();
    for case in hallmark_suite::all().into_iter().filter(|case| case.info.subject == args.role) {
        if let Some((role, text)) = survey::wanted(case, &addressing)
            && role == role_of(args.role)
        {
            asked.entry(text).or_default().push(case.info.id);
        }
    }
    let total: usize = asked.values().map(Vec::len).sum();
    let chosen = match &args.case {
        Some(id) => asked.iter().find(|(_, cases)| cases.iter().any(|case| case.eq_ignore_ascii_case(id))),
        None => asked.iter().max_by_key(|(_, cases)| cases.len()),
    };
    let Some((text, cases)) = chosen else {
        let id = args.case.as_deref().unwrap_or("");
        return Err(Failure::usage(format!("no case for a {} called `{id}` asks for a configuration", args.role)));
    };
    out::line(format!("# {} of {total} cases for a {} ask for this configuration.", cases.len(), args.role));
    out::line(
        "# Keys and identities in it are test material; lifetimes are short so that a run ends in reasonable time.",
    );
    out::print(text);
    out::note(format!(
        "configure the device so, save this as setup.toml, then\n  hallmark run --target udp:{} --role {} --setup setup.toml --tester {}",
        args.subject,
        args.role.as_str().to_lowercase(),
        args.tester.join(",")
    ));
    if args.tester.len() < ENDS {
        let witness = if args.role == Subject::Ks { ", and the last one shows that a KS is alive" } else { "" };
        out::note(format!(
            "cases speak from up to {ENDS} addresses{witness}: name that many after --tester, or cases end as errors"
        ));
    }
    Ok(ExitCode::Ok)
}
