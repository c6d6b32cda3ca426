//! How cases are run and what is written about them: the arguments that `run` and `rerun` share.

use std::path::PathBuf;
use std::str::FromStr;

use hallmark_report::{RunResults, formats, junit, markdown};

use crate::failure::{Done, Failure};

/// The arguments that say how cases are run.
#[derive(clap::Args, Clone, Debug, Default)]
pub(crate) struct HowArgs {
    /// Decides every random choice; a run with the same seed does the same again.
    #[arg(long, value_name = "N", value_parser = seed)]
    pub(crate) seed: Option<u64>,
    /// Cases that run at once.
    #[arg(long, short, value_name = "N")]
    pub(crate) jobs: Option<usize>,
    /// Allow a shard without cases.
    #[arg(long)]
    pub(crate) allow_empty: bool,
    /// Run each case so many times, each time with other random choices.
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(crate) repeat: u32,
    /// Stop after so many failures.
    #[arg(long, value_name = "N")]
    pub(crate) max_fail: Option<usize>,
    /// Try a case again that ended as error or inconclusive; a failure is never tried again.
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) retries: u32,
    /// Expected failures (TOML).
    #[arg(long, value_name = "FILE")]
    pub(crate) waivers: Option<PathBuf>,
    /// Let warnings count as failures.
    #[arg(long, value_name = "warn")]
    pub(crate) deny: Option<Deny>,
    /// Say what would run and give no verdict.
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// The run folder; by default a new one in runs/.
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
    /// A copy of a report: json, junit, junit-strict, markdown, csv, tap or ctrf, then a colon and a path (- for
    /// standard output). All of them stand in the run folder anyway.
    #[arg(long, value_name = "FORMAT:PATH")]
    pub(crate) report: Vec<ReportCopy>,
    /// Keep captures and ladders of which cases.
    #[arg(long, value_name = "WHICH", default_value = "all")]
    pub(crate) evidence: EvidenceOf,
    /// Where the keys go that open the captures: beside them, into keys/, or nowhere.
    #[arg(long, value_name = "WHERE", default_value = "embed")]
    pub(crate) keys: KeysArg,
    /// How progress is shown.
    #[arg(long, value_name = "UI", default_value = "auto")]
    pub(crate) ui: Ui,
    /// End with a line of JSON: exit code, counts, run folder.
    #[arg(long)]
    pub(crate) status_json: bool,
}

#[derive(clap::ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Deny {
    Warn,
}

#[derive(clap::ValueEnum, Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) enum EvidenceOf {
    #[default]
    All,
    Fail,
    None,
}

#[derive(clap::ValueEnum, Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) enum KeysArg {
    #[default]
    Embed,
    Sidecar,
    None,
}

#[derive(clap::ValueEnum, Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) enum Ui {
    /// A live line on a terminal, plain lines elsewhere.
    #[default]
    Auto,
    /// One line per case.
    Plain,
    /// The end only.
    Quiet,
}

/// Names a report and where a copy of it goes.
#[derive(Clone, Debug)]
pub(crate) struct ReportCopy {
    pub(crate) format: ReportFormat,
    pub(crate) path: PathBuf,
}

/// Names a report.
#[derive(clap::ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum ReportFormat {
    Json,
    Junit,
    JunitStrict,
    Markdown,
    Csv,
    Tap,
    Ctrf,
}

impl FromStr for ReportCopy {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (format, path) = text.split_once(':').ok_or("expected FORMAT:PATH, such as junit:build/junit.xml")?;
        let format = <ReportFormat as clap::ValueEnum>::from_str(format, false).map_err(|_| {
            format!("unknown format `{format}`, expected json, junit, junit-strict, markdown, csv, tap or ctrf")
        })?;
        if path.is_empty() {
            return Err("the path is missing".to_owned());
        }
        Ok(Self { format, path: path.into() })
    }
}

impl ReportFormat {
    /// Makes the report.
    pub(crate) fn text(self, results: &RunResults) -> Done<String> {
        let junit = |dialect| {
            let mut files = junit::files(results, dialect).map_err(Failure::internal)?;
            if files.len() > 1 {
                return Err(Failure::usage("the JUnit report has several files: take them from the run folder"));
            }
            Ok(files.pop().unwrap_or_default())
        };
        Ok(match self {
            Self::Json => results.to_json(),
            Self::Junit => junit(hallmark_report::Dialect::Default)?,
            Self::JunitStrict => junit(hallmark_report::Dialect::Strict)?,
            Self::Markdown => markdown::summary(results),
            Self::Csv => formats::csv(results),
            Self::Tap => formats::tap(results),
            Self::Ctrf => formats::ctrf(results),
        })
    }
}

fn seed(text: &str) -> Result<u64, String> {
    let parsed = match text.strip_prefix("0x") {
        Some(hex) => u64::from_str_radix(hex, 16),
        None => text.parse(),
    };
    parsed.map_err(|_| "expected a whole number, decimal or 0x hexadecimal".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_is_decimal_or_hexadecimal() {
        assert_eq!((seed("17"), seed("0x11")), (Ok(17), Ok(17)));
        assert!(seed("-1").is_err() && seed("x").is_err() && seed("0x").is_err());
    }

    #[test]
    fn a_report_copy_names_format_and_path() {
        let copy: ReportCopy = "junit-strict:a/b.xml".parse().expect("reads");
        assert_eq!((copy.format, copy.path), (ReportFormat::JunitStrict, PathBuf::from("a/b.xml")));
        assert!("xml:a".parse::<ReportCopy>().is_err_and(|error| error.contains("junit")));
        assert!("junit".parse::<ReportCopy>().is_err() && "junit:".parse::<ReportCopy>().is_err());
    }
}
