//! Splitting a run over several machines.

use std::fmt;
use std::str::FromStr;

use sha2::{Digest, Sha256};

/// Says how cases are dealt out.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Deal {
    /// By a hash of the id: a case stays in its shard when others come and go.
    Hash,
    /// In turn over the sorted ids: shards of equal size.
    Slice,
}

/// Is one part of a run, for example `hash:1/4`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Shard {
    /// How cases are dealt out.
    pub deal: Deal,
    /// Which part, counted from 1.
    pub part: u32,
    /// How many parts there are.
    pub parts: u32,
}

impl Shard {
    /// Keeps the ids of this part. Every id is in exactly one part.
    #[must_use]
    pub fn select<'a>(&self, ids: impl IntoIterator<Item = &'a str>) -> Vec<&'a str> {
        let mut ids: Vec<&str> = ids.into_iter().collect();
        ids.sort_unstable();
        ids.dedup();
        let parts = u64::from(self.parts.max(1));
        let mine = u64::from(self.part.saturating_sub(1));
        (0u64..)
            .zip(ids)
            .filter(|(turn, id)| match self.deal {
                Deal::Slice => turn % parts == mine,
                Deal::Hash => hash(id) % parts == mine,
            })
            .map(|(_, id)| id)
            .collect()
    }
}

fn hash(id: &str) -> u64 {
    Sha256::digest(id.as_bytes()).iter().take(8).fold(0, |sum, octet| sum << 8 | u64::from(*octet))
}

impl FromStr for Shard {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let fault = || format!("`{text}` is no shard, expected hash:1/4 or slice:1/4");
        let (deal, rest) = text.split_once(':').ok_or_else(fault)?;
        let deal = match deal {
            "hash" => Deal::Hash,
            "slice" => Deal::Slice,
            _ => return Err(fault()),
        };
        let (part, parts) = rest.split_once('/').ok_or_else(fault)?;
        let part: u32 = part.parse().map_err(|_| fault())?;
        let parts: u32 = parts.parse().map_err(|_| fault())?;
        if part == 0 || part > parts {
            return Err(format!("`{text}`: the part must be between 1 and {parts}"));
        }
        Ok(Self { deal, part, parts })
    }
}

impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let deal = match self.deal {
            Deal::Hash => "hash",
            Deal::Slice => "slice",
        };
        write!(f, "{deal}:{}/{}", self.part, self.parts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parts_together_are_the_whole_and_share_nothing() {
        let ids: Vec<String> = (0..101).map(|n| format!("CASE-{n:03}")).collect();
        for deal in ["hash", "slice"] {
            let mut seen = Vec::new();
            for part in 1..=4 {
                let shard: Shard = format!("{deal}:{part}/4").parse().expect("a shard");
                let mine = shard.select(ids.iter().map(String::as_str));
                assert!(mine.len() > 10, "{deal} {part}: {}", mine.len());
                seen.extend(mine.into_iter().map(str::to_owned));
            }
            seen.sort();
            assert_eq!(seen, ids, "{deal}");
        }
    }

    #[test]
    fn a_hash_shard_keeps_its_cases_when_others_come() {
        let shard: Shard = "hash:2/3".parse().expect("a shard");
        let few = shard.select(["A-001", "A-002", "A-003", "A-004"]);
        let many = shard.select(["A-001", "A-0015", "A-002", "A-003", "A-004", "B-001"]);
        assert!(few.iter().all(|id| many.contains(id)));
    }

    #[test]
    fn nonsense_is_refused_with_what_is_expected() {
        for text in ["hash", "hash:0/4", "hash:5/4", "round:1/2", "slice:a/b", "slice:1"] {
            assert!(text.parse::<Shard>().is_err(), "{text}");
        }
        assert_eq!("slice:2/3".parse::<Shard>().map(|s| s.to_string()), Ok("slice:2/3".to_owned()));
    }
}
