//! Holding a filter against a case.

use super::{Context, Expr, Matcher, Predicate};
use crate::{CaseInfo, Requirements};

pub(super) fn matches(expr: &Expr, case: &CaseInfo, context: &Context) -> bool {
    match expr {
        Expr::All => true,
        Expr::None => false,
        Expr::Is(predicate, matchers) => matchers.iter().any(|matcher| is(predicate, matcher, case, context)),
        Expr::Not(inner) => !matches(inner, case, context),
        Expr::And(a, b) => matches(a, case, context) && matches(b, case, context),
        Expr::Minus(a, b) => matches(a, case, context) && !matches(b, case, context),
        Expr::Or(a, b) => matches(a, case, context) || matches(b, case, context),
    }
}

/// Names the smallest clause that takes a case out.
pub(super) fn why(expr: &Expr, case: &CaseInfo, context: &Context) -> Option<String> {
    if matches(expr, case, context) {
        return None;
    }
    match expr {
        Expr::All => None,
        Expr::None => Some("none() selects nothing".to_owned()),
        Expr::Is(predicate, _) => {
            let has = facts(predicate, case, context);
            let has = if has.is_empty() { "nothing".to_owned() } else { has.join(", ") };
            Some(format!("`{expr}` does not hold: {} is {has}", predicate.name()))
        }
        Expr::Not(inner) => Some(format!("`{expr}` takes it out: `{inner}` holds")),
        Expr::And(a, b) => why(a, case, context).or_else(|| why(b, case, context)),
        Expr::Minus(a, b) => why(a, case, context).or_else(|| Some(format!("`- {b}` takes it out: `{b}` holds"))),
        Expr::Or(a, b) => {
            let (a, b) = (why(a, case, context)?, why(b, case, context)?);
            Some(format!("{a}; {b}"))
        }
    }
}

fn is(predicate: &Predicate, matcher: &Matcher, case: &CaseInfo, context: &Context) -> bool {
    match predicate {
        Predicate::Cost => matcher.holds_secs(u64::from(case.cost_secs)),
        Predicate::Cap => match matcher {
            Matcher::Leaf(path, value) => context.ics.value(path).is_some_and(|v| value.holds(v)),
            Matcher::Word(path) if !path.contains(['*', '?']) => context.ics.supports(path),
            other => context.ics.iter().any(|(path, _)| other.holds(path) && context.ics.supports(path)),
        },
        Predicate::Node => match matcher {
            Matcher::Leaf(name, value) => context.node.get(name).is_some_and(|v| value.holds(v)),
            other => context.node.values().any(|v| other.holds(v)),
        },
        _ => facts(predicate, case, context).iter().any(|fact| holds(predicate, matcher, fact)),
    }
}

/// Holds one matcher against one fact of a case; what a bare word means depends on the predicate.
pub(super) fn holds(predicate: &Predicate, matcher: &Matcher, fact: &str) -> bool {
    match (predicate, matcher) {
        // An area includes the areas below it, and a segment names every area that has it.
        (Predicate::Area, Matcher::Word(word)) if !word.contains(['*', '?']) => {
            let (fact, word) = (fact.to_lowercase(), word.to_lowercase());
            fact == word
                || fact.strip_prefix(&word).is_some_and(|rest| rest.starts_with('.'))
                || fact.split('.').any(|segment| segment == word)
        }
        (Predicate::Title | Predicate::Source, Matcher::Word(word)) if !word.contains(['*', '?']) => {
            fact.to_lowercase().contains(&word.to_lowercase())
        }
        _ => matcher.holds(fact),
    }
}

fn facts(predicate: &Predicate, case: &CaseInfo, context: &Context) -> Vec<String> {
    let owned = |texts: &[&str]| texts.iter().map(|&t| t.to_owned()).collect();
    match predicate {
        Predicate::Id => vec![case.id.to_owned()],
        Predicate::Req => owned(case.requirements),
        Predicate::Spec => {
            let requirements = Requirements::embedded();
            let mut sheets: Vec<String> =
                case.requirements.iter().filter_map(|id| requirements.get(id)).map(|r| r.sheet.clone()).collect();
            sheets.sort();
            sheets.dedup();
            sheets
        }
        Predicate::Level => vec![case.level.to_string()],
        Predicate::Subject => vec![case.subject.to_string()],
        Predicate::Area => vec![case.area.to_owned()],
        Predicate::Title => vec![case.title.to_owned()],
        Predicate::Source => owned(case.sources),
        Predicate::Needs => case.needs.iter().map(ToString::to_string).collect(),
        Predicate::Catches => owned(case.catches),
        Predicate::Verdict => context.last.get(case.id).map(|v| v.to_string()).into_iter().collect(),
        Predicate::Cost => vec![format!("{}s", case.cost_secs)],
        Predicate::Cap => context.ics.iter().map(|(path, _)| path.to_owned()).collect(),
        Predicate::Node => context.node.values().cloned().collect(),
    }
}
