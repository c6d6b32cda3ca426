//! Which cases a command is about.

use std::path::PathBuf;
use std::str::FromStr as _;

use hallmark_catalogue::{CaseInfo, Context, Filter, Ics, Shard, Subject};
use hallmark_suite::Case;

use crate::failure::{Done, Failure};

/// The arguments that select cases.
#[derive(clap::Args, Clone, Debug, Default)]
pub(crate) struct SelectArgs {
    /// Case ids or filter expressions, such as KEKSEQ-004, 'KEKSEQ-*' or 'area(gdoi.push) and level(must)'.
    /// Several are alternatives; none selects every case.
    #[arg(value_name = "FILTER")]
    pub(crate) filter: Vec<String>,
    /// Only cases that judge this role.
    #[arg(long, value_name = "ks|gm", value_parser = Subject::from_str)]
    pub(crate) role: Option<Subject>,
    /// Only this part of the cases: hash:1/4 or slice:1/4.
    #[arg(long, value_name = "SHARD", value_parser = Shard::from_str)]
    pub(crate) shard: Option<Shard>,
    /// What the device is declared to support (TOML), for cap() in filters.
    #[arg(long, value_name = "FILE")]
    pub(crate) ics: Option<PathBuf>,
    /// A run whose verdicts verdict() in filters looks at.
    #[arg(long, value_name = "RUN")]
    pub(crate) last: Option<PathBuf>,
}

/// What was selected.
#[derive(Clone, Debug)]
pub(crate) struct Selection {
    /// The cases, by id.
    pub(crate) cases: Vec<&'static Case>,
    /// Cases of the catalogue that were left out, each with the reason.
    pub(crate) left_out: Vec<(&'static Case, String)>,
    /// What filters and waivers look at beside the case itself.
    pub(crate) context: Context,
}

impl SelectArgs {
    /// Selects cases.
    pub(crate) fn select(&self) -> Done<Selection> {
        let context = self.context()?;
        let filter = parse(&self.filter)?;
        let all = hallmark_suite::all();
        let unknown = filter.unknown_names(all.iter().map(|case| &case.info));
        if !unknown.is_empty() {
            return Err(Failure::usage(format!(
                "{}\n`hallmark list` shows every case, `hallmark list --format ids` only the ids.",
                unknown.join("\n")
            )));
        }
        let mut selection = Selection { cases: Vec::new(), left_out: Vec::new(), context };
        for case in all {
            if let Some(why) = filter.why(&case.info, &selection.context) {
                selection.left_out.push((case, why));
            } else if self.role.is_some_and(|role| role != case.info.subject) {
                selection.left_out.push((case, format!("--role {}", self.role.map_or("", Subject::as_str))));
            } else {
                selection.cases.push(case);
            }
        }
        if let Some(shard) = &self.shard {
            let mine = shard.select(selection.cases.iter().map(|case| case.info.id));
            let (cases, others): (Vec<_>, Vec<_>) =
                selection.cases.into_iter().partition(|case| mine.binary_search(&case.info.id).is_ok());
            selection.cases = cases;
            selection.left_out.extend(others.into_iter().map(|case| (case, format!("--shard {shard}"))));
        }
        Ok(selection)
    }

    /// Gives the filter as it stands in reports and in commands that run it again.
    pub(crate) fn text(&self) -> String {
        self.filter.join(" or ")
    }

    fn context(&self) -> Done<Context> {
        let mut context = Context::default();
        if let Some(path) = &self.ics {
            context.ics =
                Ics::parse(&read(path)?).map_err(|error| Failure::usage(format!("{}: {error}", path.display())))?;
            let contradictions = context.ics.contradictions();
            if !contradictions.is_empty() {
                return Err(Failure::usage(format!("{}: {}", path.display(), contradictions.join("; "))));
            }
        }
        if let Some(run) = &self.last {
            context.last = hallmark_report::files::read(run).map_err(Failure::usage)?.verdicts();
        }
        Ok(context)
    }
}

impl Selection {
    /// Lends the descriptions of the selected cases.
    pub(crate) fn infos(&self) -> Vec<&'static CaseInfo> {
        self.cases.iter().map(|case| &case.info).collect()
    }
}

/// Reads filter words: each by itself, or all of them as one expression that the shell took apart.
fn parse(words: &[String]) -> Done<Filter> {
    Filter::parse_any(words).or_else(|error| {
        let joined = words.join(" ");
        if words.len() > 1
            && let Ok(filter) = Filter::parse(&joined)
        {
            return Ok(filter);
        }
        Err(Failure::usage(error))
    })
}

/// Reads a text file that the command line names.
pub(crate) fn read(path: &std::path::Path) -> Done<String> {
    std::fs::read_to_string(path).map_err(|error| Failure::usage(format!("{}: {error}", path.display())))
}
