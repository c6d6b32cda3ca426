//! Reading a filter: winnow finds the shape, the names are then looked up so that each fault can say where it stands.

use winnow::ascii::multispace0;
use winnow::combinator::{
    alt, cut_err, delimited, dispatch, fail, not, opt, peek, preceded, repeat, separated, terminated,
};
use winnow::error::{ContextError, ErrMode, StrContext, StrContextValue};
use winnow::prelude::*;
use winnow::stream::LocatingSlice;
use winnow::token::{any, none_of, one_of, take_while};

use super::matcher::{Comparison, Regex, is_word};
use super::{Expr, FilterError, Matcher, Predicate};
use crate::{Level, Need, Subject, Verdict};

type Input<'a> = LocatingSlice<&'a str>;

/// Nested parentheses and negations beyond this are refused rather than followed.
const DEPTH: usize = 64;
/// More operators are refused: a chain of them is as deep a tree as it is long.
const OPERATORS: usize = 250;

pub(super) fn filter(text: &str) -> Result<Expr, FilterError> {
    let fault = |at: usize, message: String| FilterError { text: text.to_owned(), at: at.min(text.len()), message };
    if text.trim().is_empty() {
        return Err(fault(0, "the filter is empty; all() selects every case".to_owned()));
    }
    if operators(text) > OPERATORS {
        return Err(fault(0, format!("more than {OPERATORS} operators; id(A-001, A-002) lists ids without any")));
    }
    if let Some(at) = too_deep(text) {
        return Err(fault(at, format!("more than {DEPTH} parentheses or negations inside one another")));
    }
    let raw = delimited(multispace0, or, multispace0).parse(LocatingSlice::new(text)).map_err(|error| {
        let at = error.offset();
        let rest = text.get(at..).unwrap_or("");
        let expected = error.inner().to_string();
        let message = match (rest.trim().is_empty(), expected.is_empty()) {
            (true, true) => "the filter ends too early".to_owned(),
            (true, false) => format!("the filter ends too early: {}", expected.replace('\n', ", ")),
            (false, true) => "expected `and`, `or`, `-` or the end here".to_owned(),
            (false, false) => expected.replace('\n', ", "),
        };
        fault(at, message)
    })?;
    resolve(raw).map_err(|(at, message)| fault(at, message))
}

/// Counts operators, rather too many than too few: signs inside quotes count as well.
fn operators(text: &str) -> usize {
    let signs = text.chars().filter(|c| matches!(c, '|' | '+' | '&')).count();
    let is_word = |word: &&str| ["and", "or"].iter().any(|known| word.eq_ignore_ascii_case(known));
    let words = text.split(|c: char| !c.is_alphanumeric()).filter(is_word).count();
    let mut minus = 0;
    let (mut before, mut apart) = (' ', false);
    for c in text.chars() {
        // In a list of ids a sign behind a comma is the beginning of a pattern, however it is spaced.
        minus += usize::from(c == '-' && (apart || before == ')') && !matches!(before, ',' | '('));
        apart = c.is_whitespace();
        before = if apart { before } else { c };
    }
    signs + words + minus
}

fn too_deep(text: &str) -> Option<usize> {
    let mut depth = 0usize;
    let mut signs = 0usize;
    for (at, c) in text.char_indices() {
        match c {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            '!' => signs += 1,
            _ => {}
        }
        if depth + signs > DEPTH {
            return Some(at);
        }
    }
    (text.split_whitespace().filter(|word| word.eq_ignore_ascii_case("not")).count() > DEPTH).then_some(0)
}

/// Is a filter whose names have not been looked up.
enum Raw {
    Call { name: String, at: usize, arguments: Vec<(usize, RawMatcher)> },
    Word { word: String },
    Fact { path: String, value: RawMatcher, at: usize },
    Not(Box<Self>),
    And(Box<Self>, Box<Self>),
    Minus(Box<Self>, Box<Self>),
    Or(Box<Self>, Box<Self>),
}

enum RawMatcher {
    Word(String),
    Exact(String),
    Contains(String),
    Glob(String),
    Regex(String),
    Time(Comparison, String),
    Leaf(String, Box<Self>),
}

fn or(input: &mut Input<'_>) -> ModalResult<Raw> {
    let first = and.parse_next(input)?;
    let rest: Vec<Raw> = repeat(0.., preceded(or_sign, cut_err(and))).parse_next(input)?;
    Ok(rest.into_iter().fold(first, |a, b| Raw::Or(Box::new(a), Box::new(b))))
}

fn and(input: &mut Input<'_>) -> ModalResult<Raw> {
    let first = unary.parse_next(input)?;
    let rest: Vec<(bool, Raw)> = repeat(0.., (and_sign, cut_err(unary))).parse_next(input)?;
    Ok(rest.into_iter().fold(first, |a, (minus, b)| {
        let (a, b) = (Box::new(a), Box::new(b));
        if minus { Raw::Minus(a, b) } else { Raw::And(a, b) }
    }))
}

fn or_sign(input: &mut Input<'_>) -> ModalResult<()> {
    preceded(multispace0, alt((one_of(['|', '+']).void(), keyword("or")))).parse_next(input)
}

fn and_sign(input: &mut Input<'_>) -> ModalResult<bool> {
    preceded(multispace0, alt((one_of('&').value(false), one_of('-').value(true), keyword("and").value(false))))
        .parse_next(input)
}

fn keyword<'a>(word: &'static str) -> impl Parser<Input<'a>, (), ErrMode<ContextError>> {
    terminated(winnow::ascii::Caseless(word).void(), not(one_of(is_word)))
}

fn unary(input: &mut Input<'_>) -> ModalResult<Raw> {
    preceded(
        multispace0,
        alt((
            preceded(alt((one_of('!').void(), keyword("not"))), cut_err(unary)).map(|inner| Raw::Not(Box::new(inner))),
            delimited('(', cut_err(or), cut_err((multispace0, ')')).context(expected("`)`"))),
            call,
        )),
    )
    .context(expected("a predicate such as area(gdoi.push), or an id"))
    .parse_next(input)
}

const fn expected(what: &'static str) -> StrContext {
    StrContext::Expected(StrContextValue::Description(what))
}

/// Reads `name(…)`, a bare id, or `node.os ~ 17.12` and `cap(path) = value` as waivers write them.
fn call(input: &mut Input<'_>) -> ModalResult<Raw> {
    let (name, span) = take_while(1.., is_word).with_span().parse_next(input)?;
    let at = span.start;
    let name: String = name.to_owned();
    let open: Option<char> = opt(one_of('(')).parse_next(input)?;
    if open.is_some() {
        let arguments: Vec<(usize, RawMatcher)> = separated(0.., argument, (multispace0, ',')).parse_next(input)?;
        let _: (&str, char) = cut_err((multispace0, one_of(')'))).context(expected("`,` or `)`")).parse_next(input)?;
        // `cap(path) = value` is the long way to write `cap(path=value)`.
        let value = opt(preceded(multispace0, comparison)).parse_next(input)?;
        return Ok(match (value, arguments.into_iter().collect::<Vec<_>>()) {
            (None, arguments) => Raw::Call { name, at, arguments },
            (Some(value), arguments) => {
                let arguments = arguments
                    .into_iter()
                    .map(|(at, argument)| match argument {
                        RawMatcher::Word(path) => (at, RawMatcher::Leaf(path, Box::new(value.clone_shape()))),
                        other => (at, other),
                    })
                    .collect();
                Raw::Call { name, at, arguments }
            }
        });
    }
    if name.contains('.') {
        let value =
            cut_err(preceded(multispace0, comparison)).context(expected("`=` or `~` and a value")).parse_next(input)?;
        return Ok(Raw::Fact { path: name, value, at });
    }
    if matches!(name.to_ascii_lowercase().as_str(), "and" | "or" | "not")
        || !name.starts_with(|c: char| c.is_ascii_uppercase())
    {
        // A word in lower case is a predicate that lacks its parentheses.
        return fail.context(expected("`(` after the name of a predicate, or an id in capitals")).parse_next(input);
    }
    Ok(Raw::Word { word: name })
}

fn comparison(input: &mut Input<'_>) -> ModalResult<RawMatcher> {
    (one_of(['=', '~']), cut_err(preceded(multispace0, text)))
        .map(|(sign, value)| if sign == '=' { RawMatcher::Exact(value) } else { RawMatcher::Contains(value) })
        .parse_next(input)
}

fn argument(input: &mut Input<'_>) -> ModalResult<(usize, RawMatcher)> {
    let _ = multispace0.parse_next(input)?;
    matcher.with_span().map(|(matcher, span)| (span.start, matcher)).parse_next(input)
}

fn matcher(input: &mut Input<'_>) -> ModalResult<RawMatcher> {
    dispatch! { peek(any);
        '=' => preceded(any, cut_err(text)).map(RawMatcher::Exact),
        '~' => preceded(any, cut_err(text)).map(RawMatcher::Contains),
        '#' => preceded(any, cut_err(text)).map(RawMatcher::Glob),
        '/' => preceded(any, cut_err(regex)).map(RawMatcher::Regex),
        '<' | '>' => cut_err(time),
        _ => word_or_leaf,
    }
    .parse_next(input)
}

fn word_or_leaf(input: &mut Input<'_>) -> ModalResult<RawMatcher> {
    let word = text.parse_next(input)?;
    let value = opt((one_of(['=', '~']), cut_err(text))).parse_next(input)?;
    Ok(match value {
        None => RawMatcher::Word(word),
        Some(('=', value)) => RawMatcher::Leaf(word, Box::new(RawMatcher::Exact(value))),
        Some((_, value)) => RawMatcher::Leaf(word, Box::new(RawMatcher::Contains(value))),
    })
}

fn time(input: &mut Input<'_>) -> ModalResult<RawMatcher> {
    let comparison = alt((
        "<=".value(Comparison::LessOrEqual),
        ">=".value(Comparison::GreaterOrEqual),
        "<".value(Comparison::Less),
        ">".value(Comparison::Greater),
    ))
    .parse_next(input)?;
    let value = preceded(multispace0, text).parse_next(input)?;
    Ok(RawMatcher::Time(comparison, value))
}

fn text(input: &mut Input<'_>) -> ModalResult<String> {
    alt((quoted, take_while(1.., is_word).map(str::to_owned)))
        .context(expected("a word or a text in quotes"))
        .parse_next(input)
}

fn quoted(input: &mut Input<'_>) -> ModalResult<String> {
    let inner = repeat(0.., alt((preceded('\\', any), none_of(['"', '\\']))));
    delimited('"', inner, cut_err('"').context(expected("the closing quote"))).parse_next(input)
}

fn regex(input: &mut Input<'_>) -> ModalResult<String> {
    let part = alt((
        "\\/".value("/".to_owned()),
        ('\\', any).map(|(backslash, c)| format!("{backslash}{c}")),
        none_of(['/', '\\']).map(String::from),
    ));
    let inner = repeat(0.., part).fold(String::new, |mut all, part: String| {
        all.push_str(&part);
        all
    });
    terminated(inner, cut_err('/').context(expected("the closing `/`"))).parse_next(input)
}

impl RawMatcher {
    fn clone_shape(&self) -> Self {
        match self {
            Self::Contains(value) => Self::Contains(value.clone()),
            Self::Exact(value) | Self::Word(value) | Self::Glob(value) | Self::Regex(value) => {
                Self::Exact(value.clone())
            }
            Self::Time(_, value) | Self::Leaf(value, _) => Self::Exact(value.clone()),
        }
    }
}

type Fault = (usize, String);

fn resolve(raw: Raw) -> Result<Expr, Fault> {
    Ok(match raw {
        Raw::Not(inner) => Expr::Not(Box::new(resolve(*inner)?)),
        Raw::And(a, b) => Expr::And(Box::new(resolve(*a)?), Box::new(resolve(*b)?)),
        Raw::Minus(a, b) => Expr::Minus(Box::new(resolve(*a)?), Box::new(resolve(*b)?)),
        Raw::Or(a, b) => Expr::Or(Box::new(resolve(*a)?), Box::new(resolve(*b)?)),
        Raw::Word { word } => Expr::Is(Predicate::Id, vec![Matcher::Word(word)]),
        Raw::Fact { path, value, at } => match path.split_once('.') {
            Some(("node", name)) => {
                Expr::Is(Predicate::Node, vec![Matcher::Leaf(name.to_owned(), Box::new(plain(value, at)?))])
            }
            _ => return Err((at, format!("`{path}` is unknown; facts about the subject begin with `node.`"))),
        },
        Raw::Call { name, at, arguments } => {
            let lower = name.to_ascii_lowercase();
            if lower == "all" || lower == "none" {
                if let Some((at, _)) = arguments.first() {
                    return Err((*at, format!("{lower}() takes nothing")));
                }
                return Ok(if lower == "all" { Expr::All } else { Expr::None });
            }
            let Some((_, predicate)) = Predicate::NAMES.iter().find(|(known, _)| *known == lower) else {
                let names = Predicate::NAMES.iter().map(|(known, _)| *known).chain(["all", "none"]);
                let hint = crate::suggest::did_you_mean(&lower, names);
                return Err((at, format!("unknown predicate `{name}`{hint}")));
            };
            if arguments.is_empty() {
                return Err((at, format!("{lower}() needs something to match")));
            }
            let matchers =
                arguments.into_iter().map(|(at, raw)| typed(predicate, raw, at)).collect::<Result<_, _>>()?;
            Expr::Is(predicate.clone(), matchers)
        }
    })
}

fn plain(raw: RawMatcher, at: usize) -> Result<Matcher, Fault> {
    Ok(match raw {
        RawMatcher::Word(word) => Matcher::Word(word),
        RawMatcher::Exact(word) => Matcher::Exact(word),
        RawMatcher::Contains(part) => Matcher::Contains(part),
        RawMatcher::Glob(pattern) => Matcher::Glob(pattern),
        RawMatcher::Regex(text) => {
            Matcher::Regex(Regex::new(&text).map_err(|e| (at, format!("bad regular expression: {e}")))?)
        }
        RawMatcher::Leaf(path, value) => Matcher::Leaf(path, Box::new(plain(*value, at)?)),
        RawMatcher::Time(comparison, value) => Matcher::Time(comparison, secs(&value).map_err(|e| (at, e))?),
    })
}

/// Turns a raw matcher into one that its predicate can use; closed sets of names are checked here.
fn typed(predicate: &Predicate, raw: RawMatcher, at: usize) -> Result<Matcher, Fault> {
    let matcher = plain(raw, at)?;
    let fits = match predicate {
        Predicate::Cost => matches!(matcher, Matcher::Time(..)),
        Predicate::Cap | Predicate::Node => !matches!(matcher, Matcher::Time(..)),
        _ => !matches!(matcher, Matcher::Time(..) | Matcher::Leaf(..)),
    };
    if !fits {
        let example = match predicate {
            Predicate::Cost => "cost(<60s)",
            Predicate::Cap => "cap(gm.lkh)",
            _ => "=x, ~x, #x* or /x/",
        };
        return Err((at, format!("{}({matcher}) makes no sense, expected {example}", predicate.name())));
    }
    let names: Vec<&str> = match predicate {
        Predicate::Level => Level::ALL.iter().map(|v| v.as_str()).collect(),
        Predicate::Subject => Subject::ALL.iter().map(|v| v.as_str()).collect(),
        Predicate::Needs => Need::ALL.iter().map(|v| v.as_str()).collect(),
        Predicate::Verdict => Verdict::ALL.iter().map(|v| v.as_str()).collect(),
        _ => return Ok(matcher),
    };
    if names.iter().any(|name| matcher.holds(name)) {
        return Ok(matcher);
    }
    let hint = match &matcher {
        Matcher::Word(word) | Matcher::Exact(word) => crate::suggest::did_you_mean(word, names.iter().copied()),
        _ => String::new(),
    };
    Err((at, format!("no {} is `{matcher}`{hint} (known: {})", predicate.name(), names.join(", "))))
}

/// Reads `60`, `60s`, `5m` or `2h` as seconds.
fn secs(text: &str) -> Result<u64, String> {
    let (digits, unit) = match text.char_indices().next_back() {
        Some((at, 's')) => (text.get(..at), 1),
        Some((at, 'm')) => (text.get(..at), 60),
        Some((at, 'h')) => (text.get(..at), 3600),
        _ => (Some(text), 1),
    };
    digits
        .and_then(|digits| digits.parse::<u64>().ok())
        .and_then(|number| number.checked_mul(unit))
        .ok_or_else(|| format!("`{text}` is no length of time, expected 60s, 5m or 2h"))
}
