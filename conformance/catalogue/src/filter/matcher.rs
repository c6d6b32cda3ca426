//! What a predicate is held against.

use std::fmt;

/// Is one matcher.
#[derive(Clone, Debug)]
pub enum Matcher {
    /// A bare word: what is usual for its predicate.
    Word(String),
    /// `=x`: the whole text, whatever its case.
    Exact(String),
    /// `~x`: a part of the text, whatever its case.
    Contains(String),
    /// `#x*`: `*` stands for anything, `?` for one character.
    Glob(String),
    /// `/x/`: a regular expression that matches somewhere.
    Regex(Regex),
    /// `<60s`, `>=2m`: a length of time in seconds.
    Time(Comparison, u64),
    /// `path=value` or `path~value`: the value of a leaf or fact.
    Leaf(String, Box<Self>),
}

/// Longer regular expressions are refused: compiling and matching takes time with the square of the length.
const REGEX_OCTETS: usize = 1_000;

/// Is a compiled regular expression with its text.
#[derive(Clone, Debug)]
pub struct Regex {
    text: String,
    compiled: regex_lite::Regex,
}

/// Compares lengths of time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Comparison {
    /// `<`
    Less,
    /// `<=`
    LessOrEqual,
    /// `>`
    Greater,
    /// `>=`
    GreaterOrEqual,
}

impl Comparison {
    /// Gives the sign.
    #[must_use]
    pub const fn sign(self) -> &'static str {
        match self {
            Self::Less => "<",
            Self::LessOrEqual => "<=",
            Self::Greater => ">",
            Self::GreaterOrEqual => ">=",
        }
    }
}

impl Regex {
    /// Compiles a regular expression.
    ///
    /// # Errors
    /// The reason why it is none.
    pub fn new(text: &str) -> Result<Self, String> {
        if text.len() > REGEX_OCTETS {
            return Err(format!("it is longer than {REGEX_OCTETS} octets"));
        }
        let compiled = regex_lite::Regex::new(text).map_err(|e| e.to_string())?;
        Ok(Self { text: text.to_owned(), compiled })
    }
}

impl PartialEq for Matcher {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Word(a), Self::Word(b))
            | (Self::Exact(a), Self::Exact(b))
            | (Self::Contains(a), Self::Contains(b))
            | (Self::Glob(a), Self::Glob(b)) => a == b,
            (Self::Regex(a), Self::Regex(b)) => a.text == b.text,
            (Self::Time(a, m), Self::Time(b, n)) => a == b && m == n,
            (Self::Leaf(a, m), Self::Leaf(b, n)) => a == b && m == n,
            _ => false,
        }
    }
}

impl Eq for Matcher {}

impl Matcher {
    /// Holds the matcher against a text; a bare word must be the whole text or, with `*` or `?`, match as a glob.
    #[must_use]
    pub fn holds(&self, text: &str) -> bool {
        match self {
            Self::Word(word) if word.contains(['*', '?']) => glob(&word.to_lowercase(), &text.to_lowercase()),
            Self::Word(word) | Self::Exact(word) => word.eq_ignore_ascii_case(text),
            Self::Contains(part) => text.to_lowercase().contains(&part.to_lowercase()),
            Self::Glob(pattern) => glob(&pattern.to_lowercase(), &text.to_lowercase()),
            Self::Regex(regex) => regex.compiled.is_match(text),
            Self::Time(..) | Self::Leaf(..) => false,
        }
    }

    /// Holds a length of time in seconds against the matcher.
    #[must_use]
    pub fn holds_secs(&self, secs: u64) -> bool {
        match self {
            Self::Time(Comparison::Less, bound) => secs < *bound,
            Self::Time(Comparison::LessOrEqual, bound) => secs <= *bound,
            Self::Time(Comparison::Greater, bound) => secs > *bound,
            Self::Time(Comparison::GreaterOrEqual, bound) => secs >= *bound,
            _ => false,
        }
    }
}

/// Matches a text against a pattern in linear space: after a mismatch it goes back to the last `*` only.
pub(crate) fn glob(pattern: &str, text: &str) -> bool {
    let pattern: Vec<char> = pattern.chars().collect();
    let text: Vec<char> = text.chars().collect();
    let (mut p, mut t) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while t < text.len() {
        match pattern.get(p) {
            Some('*') => {
                star = Some((p + 1, t));
                p += 1;
            }
            Some(c) if *c == '?' || Some(c) == text.get(t) => {
                p += 1;
                t += 1;
            }
            _ => {
                let Some((after, eaten)) = star else { return false };
                star = Some((after, eaten + 1));
                p = after;
                t = eaten + 1;
            }
        }
    }
    pattern.iter().skip(p).all(|c| *c == '*')
}

impl fmt::Display for Matcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Word(word) => quoted(f, word),
            Self::Exact(word) => f.write_str("=").and_then(|()| quoted(f, word)),
            Self::Contains(part) => f.write_str("~").and_then(|()| quoted(f, part)),
            Self::Glob(pattern) => f.write_str("#").and_then(|()| quoted(f, pattern)),
            Self::Regex(regex) => write!(f, "/{}/", regex.text.replace('/', "\\/")),
            Self::Time(comparison, secs) => write!(f, "{}{secs}s", comparison.sign()),
            Self::Leaf(path, value) => write!(f, "{path}{value}"),
        }
    }
}

/// Writes a text as a word if it can stand so, in quotes otherwise.
fn quoted(f: &mut fmt::Formatter<'_>, text: &str) -> fmt::Result {
    if !text.is_empty() && text.chars().all(is_word) {
        return f.write_str(text);
    }
    f.write_str("\"")?;
    for c in text.chars() {
        if matches!(c, '"' | '\\') {
            f.write_str("\\")?;
        }
        write!(f, "{c}")?;
    }
    f.write_str("\"")
}

/// Tells which characters a word may have without quotes.
pub(crate) fn is_word(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '.' | '_' | '-' | '*' | '?' | ':' | '§')
}
