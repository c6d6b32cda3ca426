//! What a subject is declared, probed and observed to support.
//!
//! A declaration is a flat set of leaves such as `gm.lkh = false` or `ks.sids.max = 64`, read from a TOML file whose
//! tables spell the path.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Is what is known about one leaf, by source.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Leaf {
    /// What the vendor says.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub declared: Option<String>,
    /// What a preparatory probe found.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub probed: Option<String>,
    /// What the run itself saw.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub observed: Option<String>,
}

/// Holds the leaves of one subject.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Ics {
    leaves: BTreeMap<String, Leaf>,
}

impl Ics {
    /// Reads a declaration.
    ///
    /// # Errors
    /// One sentence: not TOML, a wrong schema, or a value that is neither boolean, number nor text.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut table: toml::Table = toml::from_str(text).map_err(|e| e.to_string())?;
        match table.remove("schema") {
            Some(toml::Value::String(schema)) if schema == "hallmark.ics/1" => {}
            Some(other) => return Err(format!("schema is {other}, expected \"hallmark.ics/1\"")),
            None => return Err("schema = \"hallmark.ics/1\" is missing".to_owned()),
        }
        let mut ics = Self::default();
        flatten("", &table, &mut ics)?;
        Ok(ics)
    }

    /// Declares a leaf.
    pub fn declare(&mut self, path: &str, value: impl Into<String>) {
        self.leaves.entry(path.to_owned()).or_default().declared = Some(value.into());
    }

    /// Notes what a probe found.
    pub fn probed(&mut self, path: &str, value: impl Into<String>) {
        self.leaves.entry(path.to_owned()).or_default().probed = Some(value.into());
    }

    /// Notes what the run saw.
    pub fn observe(&mut self, path: &str, value: impl Into<String>) {
        self.leaves.entry(path.to_owned()).or_default().observed = Some(value.into());
    }

    /// Gives the value that counts for selecting cases: declared, else probed, else observed.
    #[must_use]
    pub fn value(&self, path: &str) -> Option<&str> {
        let leaf = self.leaves.get(path)?;
        leaf.declared.as_deref().or(leaf.probed.as_deref()).or(leaf.observed.as_deref())
    }

    /// Tells whether a leaf is supported: it has a value, and that is not `false` or `0`.
    #[must_use]
    pub fn supports(&self, path: &str) -> bool {
        self.value(path).is_some_and(|value| value != "false" && value != "0")
    }

    /// Walks the leaves.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Leaf)> {
        self.leaves.iter().map(|(path, leaf)| (path.as_str(), leaf))
    }

    /// Lists contradictions between the sources, one sentence each.
    #[must_use]
    pub fn contradictions(&self) -> Vec<String> {
        let mut found = Vec::new();
        for (path, leaf) in self.iter() {
            for (name, other) in [("probed", &leaf.probed), ("observed", &leaf.observed)] {
                if let (Some(declared), Some(other)) = (&leaf.declared, other)
                    && declared != other
                {
                    found.push(format!("{path} is declared {declared} but {name} {other}"));
                }
            }
        }
        found
    }
}

fn flatten(prefix: &str, table: &toml::Table, ics: &mut Ics) -> Result<(), String> {
    for (key, value) in table {
        let path = if prefix.is_empty() { key.clone() } else { format!("{prefix}.{key}") };
        match value {
            toml::Value::Table(inner) => flatten(&path, inner, ics)?,
            toml::Value::Boolean(b) => ics.declare(&path, b.to_string()),
            toml::Value::Integer(n) => ics.declare(&path, n.to_string()),
            toml::Value::Float(n) => ics.declare(&path, n.to_string()),
            toml::Value::String(s) => ics.declare(&path, s.clone()),
            toml::Value::Array(_) | toml::Value::Datetime(_) => {
                return Err(format!("{path} must be true, false, a number or text"));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str =
        "schema = \"hallmark.ics/1\"\n[gm]\nlkh = false\n[gm.replay]\nwindow = 64\n[ks]\nack = \"any\"\n";

    #[test]
    fn tables_become_paths() {
        let ics = Ics::parse(TEXT).expect("reads");
        assert_eq!(ics.value("gm.replay.window"), Some("64"));
        assert!(ics.supports("ks.ack") && !ics.supports("gm.lkh") && !ics.supports("gm.unheard"));
    }

    #[test]
    fn sources_that_disagree_are_named() {
        let mut ics = Ics::parse(TEXT).expect("reads");
        assert_eq!(ics.contradictions(), Vec::<String>::new());
        ics.observe("gm.lkh", "true");
        assert_eq!(ics.contradictions(), ["gm.lkh is declared false but observed true"]);
    }

    #[test]
    fn a_wrong_file_is_refused() {
        assert!(Ics::parse("a = 1").is_err_and(|e| e.contains("schema")));
        assert!(Ics::parse(&TEXT.replace("ics/1", "ics/2")).is_err());
        assert!(Ics::parse("schema = \"hallmark.ics/1\"\na = [1]").is_err_and(|e| e.contains("a must be")));
    }
}
