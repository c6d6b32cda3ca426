//! The catalogue of cases as text: for people, for machines, for documents and for spreadsheets.

use std::str::FromStr;

use sha2::{Digest, Sha256};

use crate::CaseInfo;

/// Says how a listing looks.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Format {
    /// Aligned columns.
    #[default]
    Table,
    /// One id a line.
    Ids,
    /// An array of objects with `id area level subject title purpose requirements sources needs catches cost_secs`.
    Json,
    /// A Markdown table.
    Markdown,
    /// Comma-separated values with a header.
    Csv,
}

impl FromStr for Format {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "table" => Ok(Self::Table),
            "ids" => Ok(Self::Ids),
            "json" => Ok(Self::Json),
            "md" | "markdown" => Ok(Self::Markdown),
            "csv" => Ok(Self::Csv),
            _ => Err(format!("unknown format `{text}`, expected table, ids, json, md or csv")),
        }
    }
}

/// Lists cases. The text ends with a line end unless it is empty.
#[must_use]
pub fn list(cases: &[&CaseInfo], format: Format) -> String {
    match format {
        Format::Table => table(cases),
        Format::Ids => cases.iter().map(|case| format!("{}\n", case.id)).collect(),
        Format::Json => serde_json::to_string_pretty(cases).map(|text| text + "\n").unwrap_or_default(),
        Format::Markdown => markdown(cases),
        Format::Csv => csv(cases),
    }
}

/// Gives the hash that stands for a catalogue of cases: equal hashes, equal descriptions.
#[must_use]
pub fn suite_hash(cases: &[&CaseInfo]) -> String {
    let mut sorted = cases.to_vec();
    sorted.sort_by_key(|case| case.id);
    let digest = Sha256::digest(list(&sorted, Format::Json).as_bytes());
    digest.iter().map(|octet| format!("{octet:02x}")).collect()
}

fn table(cases: &[&CaseInfo]) -> String {
    let id = cases.iter().map(|case| case.id.len()).max().unwrap_or(0).max(2);
    let area = cases.iter().map(|case| case.area.len()).max().unwrap_or(0).max(4);
    let mut text = format!("{:id$}  {:area$}  {:6}  {:4}  {:>5}  TITLE\n", "ID", "AREA", "LEVEL", "ROLE", "COST");
    for case in cases {
        text.push_str(&format!(
            "{:id$}  {:area$}  {:6}  {:4}  {:>4}s  {}\n",
            case.id, case.area, case.level, case.subject, case.cost_secs, case.title
        ));
    }
    text.push_str(&format!("{} cases\n", cases.len()));
    text
}

fn markdown(cases: &[&CaseInfo]) -> String {
    let escape = |text: &str| text.replace('|', "\\|");
    let mut text =
        String::from("| id | area | level | role | title | requirements | catches |\n|---|---|---|---|---|---|---|\n");
    for case in cases {
        text.push_str(&format!(
            "| {} | {} | {} | {} | {} | {} | {} |\n",
            case.id,
            case.area,
            case.level,
            case.subject,
            escape(case.title),
            case.requirements.join(", "),
            case.catches.join(", ")
        ));
    }
    text
}

fn csv(cases: &[&CaseInfo]) -> String {
    let mut text = String::from("id,area,level,subject,title,requirements,sources,needs,catches,cost_secs\n");
    for case in cases {
        let needs: Vec<&str> = case.needs.iter().map(|need| need.as_str()).collect();
        let fields = [
            case.id,
            case.area,
            case.level.as_str(),
            case.subject.as_str(),
            case.title,
            &case.requirements.join(" "),
            &case.sources.join("; "),
            &needs.join(" "),
            &case.catches.join(" "),
            &case.cost_secs.to_string(),
        ]
        .map(field);
        text.push_str(&fields.join(","));
        text.push('\n');
    }
    text
}

/// Quotes a field where RFC 4180 wants it, and disarms what a spreadsheet would take for a formula.
#[must_use]
pub fn field(text: &str) -> String {
    let armed = text.starts_with(['=', '+', '-', '@', '\t']);
    let text = if armed { format!("'{text}") } else { text.to_owned() };
    if text.contains([',', '"', '\n', '\r']) { format!("\"{}\"", text.replace('"', "\"\"")) } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CASE: CaseInfo = CaseInfo {
        id: "REG-001",
        area: "gdoi.pull",
        title: "registers, or says | why not",
        requirements: &["REG-001", "GDOI-PULL-001"],
        catches: &["x"],
        ..CaseInfo::BLANK
    };

    #[test]
    fn json_has_the_published_fields() {
        let text = list(&[&CASE], Format::Json);
        let value: serde_json::Value = serde_json::from_str(&text).expect("json");
        for field in ["id", "area", "level", "subject", "title", "requirements", "sources", "needs", "catches"] {
            assert!(value[0].get(field).is_some(), "{field}");
        }
        assert_eq!(value[0]["level"], "MUST");
    }

    #[test]
    fn the_hash_of_a_suite_does_not_depend_on_the_order_but_on_every_word() {
        let other = CaseInfo { id: "REG-002", ..CASE };
        assert_eq!(suite_hash(&[&CASE, &other]), suite_hash(&[&other, &CASE]));
        assert_ne!(suite_hash(&[&CASE]), suite_hash(&[&CaseInfo { title: "x", ..CASE }]));
        assert_eq!(suite_hash(&[]).len(), 64);
    }

    #[test]
    fn each_format_keeps_its_own_rules() {
        assert_eq!(list(&[&CASE, &CASE], Format::Ids), "REG-001\nREG-001\n");
        assert!(list(&[&CASE], Format::Csv).contains("\"registers, or says | why not\""));
        assert!(list(&[&CASE], Format::Markdown).contains("says \\| why"));
        assert!(list(&[&CASE], Format::Table).ends_with("1 cases\n"));
        assert_eq!(field("=1+1"), "'=1+1");
        assert!("yaml".parse::<Format>().is_err());
    }
}
