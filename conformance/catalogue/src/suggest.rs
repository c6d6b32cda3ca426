//! Suggestions for names that do not exist.

/// Gives `, did you mean x?` for the known name nearest to an unknown one, or nothing when none is near.
#[must_use]
pub fn did_you_mean<'a>(unknown: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    nearest(unknown, known).map(|name| format!(", did you mean `{name}`?")).unwrap_or_default()
}

/// Differences beyond this are no typing error.
const FARTHEST: usize = 3;

/// Finds the known name nearest to an unknown one: at most three characters and half of it differ, or it begins
/// or ends alike.
#[must_use]
pub fn nearest<'a>(unknown: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let wanted = unknown.to_lowercase();
    let length = wanted.chars().count();
    known
        .into_iter()
        .filter_map(|name| {
            let lower = name.to_lowercase();
            let near = wanted.len() >= 3 && (lower.starts_with(&wanted) || lower.ends_with(&wanted));
            // The lengths alone may tell; measuring takes time with the product of both.
            if !near && lower.chars().count().abs_diff(length) > FARTHEST {
                return None;
            }
            let distance = distance(&wanted, &lower);
            Some((if near { distance.min(1) } else { distance }, distance, name))
        })
        .filter(|(rank, _, name)| *rank <= (name.len().max(wanted.len()) / 2).clamp(1, FARTHEST))
        .min_by_key(|(rank, distance, name)| (*rank, *distance, *name))
        .map(|(_, _, name)| name)
}

/// Counts the single-character insertions, deletions and replacements between two texts (Levenshtein distance).
#[must_use]
pub fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = i;
        let mut left = i + 1;
        for (cell, y) in row.iter_mut().skip(1).zip(&b) {
            let replaced = diagonal + usize::from(x != *y);
            diagonal = *cell;
            left = replaced.min(diagonal + 1).min(left + 1);
            *cell = left;
        }
        if let Some(first) = row.first_mut() {
            *first = i + 1;
        }
    }
    row.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_are_those_of_levenshtein() {
        for (a, b, expected) in
            [("", "abc", 3), ("abc", "", 3), ("kitten", "sitting", 3), ("push", "push", 0), ("ab", "ba", 2)]
        {
            assert_eq!(distance(a, b), expected, "{a} {b}");
        }
    }

    #[test]
    fn a_typing_error_finds_its_word_and_nonsense_finds_none() {
        let known = ["gdoi.push", "gdoi.pull", "ike.phase1", "replay"];
        assert_eq!(nearest("gdoi.psh", known), Some("gdoi.push"));
        assert_eq!(nearest("phase1", known), Some("ike.phase1"));
        assert_eq!(nearest("zzzzz", known), None);
        assert_eq!(did_you_mean("replya", known), ", did you mean `replay`?");
        assert_eq!(did_you_mean("zzzzz", known), "");
    }
}
