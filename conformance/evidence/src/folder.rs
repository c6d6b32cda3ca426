//! The folder of a run.
//!
//! ```text
//! run.json          manifest: seed, arguments, subject, hashes of the files
//! events.ndjson     the source of truth
//! results.json      and the other reports, derived from it
//! frozen/           catalogue, waivers and declarations as they were
//! keys/             keys that are kept apart
//! tests/ID/N/       evidence of attempt N at case ID
//! ```

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Component, Path, PathBuf};

use hallmark_core::UnixTime;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::log::{self, EventLog, ReadLog};
use crate::time;

/// Is the manifest of a run.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Manifest {
    /// Always `hallmark.run/1`.
    pub schema: String,
    /// The name of the run.
    pub id: String,
    /// Version of the program.
    pub version: String,
    /// Hash of the catalogue of cases.
    pub suite_hash: String,
    /// The seed that decides everything.
    pub seed: String,
    /// The command line.
    pub argv: Vec<String>,
    /// What was judged, claimed and observed.
    pub subject: BTreeMap<String, String>,
    /// The machine that judged it.
    pub host: BTreeMap<String, String>,
    /// When it began.
    pub started: String,
    /// When it ended; empty while it runs and after a crash.
    pub ended: String,
    /// The hash of the last line of the event log.
    pub events_head: String,
    /// Whether keys were exported into the evidence.
    pub keys_exported: bool,
    /// Why the run cannot be certified; empty when it can.
    pub not_certifiable: Vec<String>,
    /// SHA-256 of each file.
    pub files: BTreeMap<String, String>,
}

/// Is an open run folder.
#[derive(Debug)]
pub struct RunFolder {
    root: PathBuf,
}

impl RunFolder {
    /// Names a run: time, subject, and a short random part.
    #[must_use]
    pub fn name(started: UnixTime, subject: &str, random: u16) -> String {
        let subject: String =
            subject.chars().map(|c| if c.is_ascii_alphanumeric() || ".-_".contains(c) { c } else { '-' }).collect();
        format!("{}-{}-{random:04x}", time::compact(started), subject.trim_matches(['-', '.']))
    }

    /// Makes the folder. It may exist, but must not hold a run already.
    ///
    /// # Errors
    /// When it cannot be made or holds an event log.
    pub fn create(root: &Path) -> io::Result<Self> {
        fs::create_dir_all(root)?;
        if root.join("events.ndjson").exists() {
            let text = format!("{} holds a run already; name another folder", root.display());
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, text));
        }
        for part in ["tests", "frozen"] {
            fs::create_dir_all(root.join(part))?;
        }
        Ok(Self { root: root.to_owned() })
    }

    /// Opens the folder of a run that took place.
    ///
    /// # Errors
    /// When there is no event log in it.
    pub fn open(root: &Path) -> io::Result<Self> {
        if !root.join("events.ndjson").is_file() {
            let text = format!("{} is no run folder: it has no events.ndjson", root.display());
            return Err(io::Error::new(io::ErrorKind::NotFound, text));
        }
        Ok(Self { root: root.to_owned() })
    }

    /// Gives the folder.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Begins the event log.
    ///
    /// # Errors
    /// When the file exists or cannot be made.
    pub fn events(&self) -> io::Result<EventLog<File>> {
        File::options().append(true).create_new(true).open(self.root.join("events.ndjson")).map(EventLog::new)
    }

    /// Reads the event log and verifies its chain.
    ///
    /// # Errors
    /// When it cannot be read or its chain is broken.
    pub fn read_events(&self) -> io::Result<ReadLog> {
        let octets = fs::read(self.root.join("events.ndjson"))?;
        log::read(&octets).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
    }

    /// Gives the folder for the evidence of an attempt, relative to the run folder: `tests/ID/N`.
    #[must_use]
    pub fn case_path(id: &str, attempt: u32) -> String {
        let id: String =
            id.chars().map(|c| if c.is_ascii_alphanumeric() || "-_".contains(c) { c } else { '_' }).collect();
        format!("tests/{id}/{attempt}")
    }

    /// Makes and gives the folder for the evidence of an attempt.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn case(&self, id: &str, attempt: u32) -> io::Result<PathBuf> {
        let folder = self.root.join(Self::case_path(id, attempt));
        fs::create_dir_all(&folder)?;
        Ok(folder)
    }

    /// Gives the folder for keys of an attempt that are kept apart.
    #[must_use]
    pub fn sidecar(&self, id: &str, attempt: u32) -> PathBuf {
        self.root.join("keys").join(Self::case_path(id, attempt).trim_start_matches("tests/"))
    }

    /// Writes a file so that it is either the old or the new one, whatever happens meanwhile.
    ///
    /// # Errors
    /// When it cannot be written or the name leads out of the folder.
    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) -> io::Result<()> {
        let path = Path::new(name);
        if path.components().any(|part| !matches!(part, Component::Normal(_))) {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, format!("{name} leads out of the run folder")));
        }
        write_atomically(&self.root.join(path), content.as_ref())
    }

    /// Writes a value as JSON.
    ///
    /// # Errors
    /// As [`write`](Self::write).
    pub fn write_json(&self, name: &str, value: &impl Serialize) -> io::Result<()> {
        self.write(name, serde_json::to_string_pretty(value)? + "\n")
    }

    /// Reads a file of the folder as JSON.
    ///
    /// # Errors
    /// When it is missing or no JSON.
    pub fn read_json(&self, name: &str) -> io::Result<Value> {
        Ok(serde_json::from_slice(&fs::read(self.root.join(name))?)?)
    }

    /// Writes the script that runs a case again in the same way.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write_reproduce(&self, id: &str, attempt: u32, command: &str) -> io::Result<()> {
        let script = format!("#!/bin/sh\n# Runs {id} again in the same way.\nexec {command} \"$@\"\n");
        let path = self.case(id, attempt)?.join("reproduce.sh");
        fs::write(&path, script)?;
        make_executable(&path)
    }

    /// Writes `run.json` with the hashes of the files that stand in the folder now.
    ///
    /// # Errors
    /// When a file cannot be read or the manifest not be written.
    pub fn write_manifest(&self, manifest: &mut Manifest) -> io::Result<()> {
        manifest.schema = "hallmark.run/1".to_owned();
        manifest.files.clear();
        let mut files = Vec::new();
        walk(&self.root, &self.root, &mut files)?;
        for name in files.into_iter().filter(|name| name != "run.json") {
            let hash = hex::encode(Sha256::digest(fs::read(self.root.join(&name))?));
            manifest.files.insert(name, hash);
        }
        self.write_json("run.json", manifest)
    }

    /// Lists the files that differ from what the manifest says, one sentence each.
    ///
    /// # Errors
    /// When the manifest cannot be read.
    pub fn verify(&self) -> io::Result<Vec<String>> {
        let manifest: Manifest = serde_json::from_value(self.read_json("run.json")?)?;
        let mut faults = Vec::new();
        for (name, hash) in &manifest.files {
            match fs::read(self.root.join(name)) {
                Ok(octets) if hex::encode(Sha256::digest(&octets)) == *hash => {}
                Ok(_) => faults.push(format!("{name} was changed")),
                Err(_) => faults.push(format!("{name} is missing")),
            }
        }
        Ok(faults)
    }
}

fn write_atomically(path: &Path, content: &[u8]) -> io::Result<()> {
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent)?;
    }
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".tmp");
    let temporary = path.with_file_name(name);
    let mut file = File::create(&temporary)?;
    file.write_all(content)?;
    file.sync_data()?;
    fs::rename(&temporary, path)
}

#[cfg(unix)]
fn make_executable(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    fs::set_permissions(path, fs::Permissions::from_mode(0o755))
}

#[cfg(not(unix))]
fn make_executable(_: &Path) -> io::Result<()> {
    Ok(())
}

fn walk(root: &Path, folder: &Path, files: &mut Vec<String>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let path = entry.path();
        if entry.file_type()?.is_dir() {
            walk(root, &path, files)?;
        } else if let Ok(name) = path.strip_prefix(root) {
            files.push(name.to_string_lossy().into_owned());
        }
    }
    files.sort();
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scratch(name: &str) -> PathBuf {
        let path = std::env::temp_dir().join(format!("hallmark-folder-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        path
    }

    #[test]
    fn a_folder_holds_one_run_and_tells_what_was_changed() {
        let root = scratch("run");
        let folder = RunFolder::create(&root).expect("makes");
        let mut events = folder.events().expect("begins");
        events.append_durable(UnixTime::from_secs(1), "run.started", &"x").expect("writes");
        folder.write_json("results.json", &[1, 2]).expect("writes");
        folder.write_reproduce("REG-001", 1, "hallmark run REG-001 --seed 7").expect("writes");
        let mut manifest = Manifest { events_head: events.head().to_owned(), ..Manifest::default() };
        folder.write_manifest(&mut manifest).expect("writes");
        assert!(manifest.files.contains_key("tests/REG-001/1/reproduce.sh"));
        assert_eq!(folder.verify().expect("reads"), Vec::<String>::new());

        folder.write("results.json", "{}").expect("writes");
        fs::remove_file(root.join("tests/REG-001/1/reproduce.sh")).expect("removes");
        assert_eq!(
            folder.verify().expect("reads"),
            ["results.json was changed", "tests/REG-001/1/reproduce.sh is missing"]
        );
        assert!(RunFolder::create(&root).is_err_and(|e| e.to_string().contains("already")));
        let opened = RunFolder::open(&root).expect("opens");
        assert_eq!(opened.read_events().expect("reads").events.len(), 1);
        fs::remove_dir_all(root).expect("cleans up");
    }

    #[test]
    fn names_cannot_lead_out_of_the_folder() {
        let root = scratch("names");
        let folder = RunFolder::create(&root).expect("makes");
        for name in ["../x", "/etc/x", "a/../../x"] {
            assert!(folder.write(name, "").is_err(), "{name}");
        }
        assert_eq!(RunFolder::case_path("../x y", 2), "tests/___x_y/2");
        assert_eq!(
            RunFolder::name(UnixTime::from_secs(1_795_418_645), "lab/ref ks", 0x7f3a),
            "20261123T072405Z-lab-ref-ks-7f3a"
        );
        fs::remove_dir_all(root).expect("cleans up");
    }

    #[test]
    fn only_a_run_folder_opens() {
        let root = scratch("none");
        fs::create_dir_all(&root).expect("makes");
        assert!(RunFolder::open(&root).is_err_and(|e| e.to_string().contains("no run folder")));
        fs::remove_dir_all(root).expect("cleans up");
    }
}
