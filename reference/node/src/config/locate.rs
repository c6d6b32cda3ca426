//! Finds the place in a text that a path like `group[1234].tek[0].lifetime_secs` means.

use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// Gives the octets of the text that a path means: the value itself, or the innermost table on the way that exists.
pub(super) fn span(text: &str, path: &str) -> Option<Range<usize>> {
    let root = DeTable::parse(text).ok()?;
    let mut table: &DeTable<'_> = root.get_ref();
    let mut found: Option<Range<usize>> = None;
    for segment in path.split('.') {
        let (name, index) = match segment.split_once('[') {
            Some((name, index)) => (name, Some(index.trim_end_matches(']'))),
            None => (segment, None),
        };
        let Some(mut value) = lookup(table, name) else { break };
        if let (Some(index), DeValue::Array(items)) = (index, value.get_ref()) {
            let Some(item) = element(items, index) else { break };
            value = item;
        }
        found = Some(value.span());
        match value.get_ref() {
            DeValue::Table(inner) => table = inner,
            _ => break,
        }
    }
    found
}

fn lookup<'t, 'i>(table: &'t DeTable<'i>, name: &str) -> Option<&'t Spanned<DeValue<'i>>> {
    table.iter().find(|(key, _)| key.get_ref().as_ref() == name).map(|(_, value)| value)
}

/// Takes an element by the `id` that it has, or else by its position.
fn element<'t, 'i>(
    items: impl IntoIterator<Item = &'t Spanned<DeValue<'i>>> + Clone,
    index: &str,
) -> Option<&'t Spanned<DeValue<'i>>>
where
    'i: 't,
{
    let has_id = |item: &&Spanned<DeValue<'i>>| match item.get_ref() {
        DeValue::Table(table) => lookup(table, "id").is_some_and(|id| match id.get_ref() {
            DeValue::Integer(number) => number.as_str() == index,
            _ => false,
        }),
        _ => false,
    };
    items.clone().into_iter().find(has_id).or_else(|| items.into_iter().nth(index.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::span;

    const TEXT: &str = "[[group]]\nid = 77\nname = \"a\"\n[[group.tek]]\nlife = 1\n[[group]]\nid = 5\n";

    #[test]
    fn a_path_means_a_value_by_id_or_position() {
        let at = |path| span(TEXT, path).map(|range| TEXT[range].to_owned());
        assert_eq!(at("group[77].name").as_deref(), Some("\"a\""));
        assert_eq!(at("group[0].name").as_deref(), Some("\"a\""));
        assert_eq!(at("group[5].id").as_deref(), Some("5"));
        assert_eq!(at("group[77].tek[0].life").as_deref(), Some("1"));
        assert_eq!(at("nothing.here"), None);
    }

    #[test]
    fn a_missing_value_is_shown_at_the_table_that_lacks_it() {
        let range = span(TEXT, "group[5].kek.cipher").unwrap();
        assert!(TEXT[range.start..].starts_with("[[group]]\nid = 5"), "{range:?}");
    }
}
