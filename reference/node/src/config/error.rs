//! Mistakes in a configuration, told with their place.

use std::fmt;
use std::ops::Range;

use serde::de::DeserializeOwned;

use super::{Source, locate};

/// Characters of a line that an excerpt shows.
const WIDEST: usize = 120;

/// Is a mistake in a configuration: where it is, what is wrong, and what was probably meant.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ConfigError {
    /// The file, as it was named.
    pub file: String,
    /// Line and column, both from 1, where the mistake has a place in the text.
    pub position: Option<(u32, u32)>,
    /// What is wrong and what is allowed.
    pub message: String,
    /// The nearest allowed name.
    pub suggestion: Option<String>,
    /// The line of the text, with the number of marked columns.
    excerpt: Option<Box<Excerpt>>,
}

#[derive(Clone, PartialEq, Eq, Debug)]
struct Excerpt {
    line: String,
    marked: usize,
}

impl ConfigError {
    /// Tells a mistake that has no place in the text.
    pub(super) fn plain(source: &Source, message: impl Into<String>) -> Self {
        Self { file: source.name.clone(), position: None, message: message.into(), suggestion: None, excerpt: None }
    }

    /// Finds the place in the text that a mistake of the machine's own checks names.
    pub(super) fn at(text: &str, source: &Source, mistake: &hallmark_control::ConfigError) -> Self {
        let span = locate::span(text, &mistake.place);
        let message = if mistake.place.is_empty() {
            mistake.problem.clone()
        } else {
            format!("{}: {}", mistake.place, mistake.problem)
        };
        Self::build(text, source, span, message)
    }

    fn build(text: &str, source: &Source, span: Option<Range<usize>>, message: String) -> Self {
        let place = span.and_then(|span| {
            let before = text.get(..span.start)?;
            let line = before.matches('\n').count() + 1;
            let begin = before.rfind('\n').map_or(0, |at| at + 1);
            let column = before.get(begin..)?.chars().count() + 1;
            let whole = text.get(begin..)?.lines().next().unwrap_or_default().to_owned();
            let marked = text.get(span.start..span.end).unwrap_or_default().lines().next().unwrap_or_default();
            Some((line, column, whole, marked.chars().count().max(1)))
        });
        let suggestion = suggest(&message);
        match place {
            Some((line, column, whole, marked)) => Self {
                file: source.name.clone(),
                position: Some((number(line), number(column))),
                message,
                suggestion,
                excerpt: Some(Box::new(Excerpt { line: whole, marked })),
            },
            None => Self { suggestion, ..Self::plain(source, message) },
        }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        if let Some((line, column)) = self.position {
            write!(f, ":{line}:{column}")?;
        }
        write!(f, ": {}", self.message)?;
        if let (Some((line, column)), Some(excerpt)) = (self.position, &self.excerpt) {
            let number = line.to_string();
            let shown: String = excerpt.line.chars().take(WIDEST).collect();
            // What lies beyond the end of the excerpt is marked there, however far away it is.
            let before = usize::try_from(column - 1).unwrap_or_default().min(WIDEST);
            let marks = "^".repeat(excerpt.marked.min(WIDEST.saturating_sub(before)).max(1));
            write!(f, "\n  {number} | {shown}\n  {:1$} | ", "", number.len())?;
            write!(f, "{:before$}{marks}", "")?;
        }
        if let Some(suggestion) = &self.suggestion {
            write!(f, "\n  did you mean `{suggestion}`?")?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigError {}

fn number(value: usize) -> u32 {
    u32::try_from(value).unwrap_or(u32::MAX)
}

/// Reads a text into its tables.
pub(super) fn parse<T: DeserializeOwned>(text: &str, source: &Source) -> Result<T, ConfigError> {
    toml::from_str(text).map_err(|error| ConfigError::build(text, source, error.span(), error.message().to_owned()))
}

/// Finds the allowed name nearest to the one that was refused, in a message of the form
/// "unknown .. `x`, expected .. `a`, `b`".
fn suggest(message: &str) -> Option<String> {
    let (refused, allowed) = message.split_once(", expected ")?;
    let (_, refused) = refused.split_once('`')?;
    let refused = refused.split('`').next()?;
    allowed
        .split('`')
        .skip(1)
        .step_by(2)
        .map(|name| (distance(refused, name), name))
        .filter(|(distance, name)| *distance <= 1 + name.chars().count() / 3)
        .min()
        .map(|(_, name)| name.to_owned())
}

/// Gives the `count` names of a list that are nearest to a wrong one.
pub(super) fn nearest<'n>(wrong: &str, list: impl Iterator<Item = &'n str>, count: usize) -> Vec<&'n str> {
    let mut ranked: Vec<(usize, &str)> = list.map(|name| (distance(wrong, name), name)).collect();
    ranked.sort_unstable();
    ranked.into_iter().take(count).map(|(_, name)| name).collect()
}

/// Counts the letters to insert, remove or change between two names (Levenshtein).
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, letter) in a.chars().enumerate() {
        let mut diagonal = i;
        let mut left = i + 1;
        for (cell, other) in row.iter_mut().skip(1).zip(&b) {
            let changed = diagonal + usize::from(letter != *other);
            diagonal = *cell;
            left = changed.min(*cell + 1).min(left + 1);
            *cell = left;
        }
        if let Some(first) = row.first_mut() {
            *first = i + 1;
        }
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_are_those_of_levenshtein() {
        for (a, b, d) in [("", "", 0), ("kitten", "sitting", 3), ("aes265", "aes256", 2), ("abc", "", 3), ("", "ab", 2)]
        {
            assert_eq!(distance(a, b), d, "{a} {b}");
        }
    }

    #[test]
    fn only_a_near_name_is_suggested() {
        assert_eq!(suggest("unknown x `cypher`, expected one of `cipher`, `hash`"), Some("cipher".to_owned()));
        assert_eq!(suggest("unknown x `zzzzzz`, expected one of `cipher`, `hash`"), None);
        assert_eq!(suggest("nothing of the kind"), None);
    }
}
