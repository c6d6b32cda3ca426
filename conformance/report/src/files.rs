//! The derived files of a run folder.

use std::io;

use hallmark_evidence::RunFolder;

use crate::junit::{self, Dialect};
use crate::results::RunResults;
use crate::{formats, markdown};

/// Writes `results.json` and everything derived from it. Each file is replaced as a whole, so this may be called
/// after every case and from the way out of an interrupted run.
///
/// # Errors
/// When a file cannot be written.
pub fn write_all(folder: &RunFolder, results: &RunResults) -> io::Result<()> {
    folder.write("results.json", results.to_json())?;
    folder.write("report.md", markdown::summary(results))?;
    folder.write("results.csv", formats::csv(results))?;
    folder.write("results.tap", formats::tap(results))?;
    folder.write("results.ctrf.json", formats::ctrf(results))?;
    for (name, dialect) in [("junit", Dialect::Default), ("junit.strict", Dialect::Strict)] {
        let files = junit::files(results, dialect).map_err(io::Error::other)?;
        for (number, text) in (1..).zip(files) {
            let name = if number == 1 { format!("{name}.xml") } else { format!("{name}-{number}.xml") };
            folder.write(&name, text)?;
        }
    }
    Ok(())
}

/// Reads the results of a run folder, or of a `results.json` itself.
///
/// # Errors
/// When there is none or it is of another version.
pub fn read(path: &std::path::Path) -> io::Result<RunResults> {
    let file = if path.is_dir() { path.join("results.json") } else { path.to_owned() };
    let text = std::fs::read_to_string(&file)
        .map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", file.display())))?;
    RunResults::parse(&text)
        .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, format!("{}: {error}", file.display())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::results::tests::sample;

    #[test]
    fn a_folder_gets_every_file_and_reads_back() {
        let root = std::env::temp_dir().join(format!("hallmark-report-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&root);
        let folder = RunFolder::create(&root).expect("makes");
        write_all(&folder, &sample()).expect("writes");
        for name in [
            "results.json",
            "report.md",
            "results.csv",
            "results.tap",
            "results.ctrf.json",
            "junit.xml",
            "junit.strict.xml",
        ] {
            assert!(root.join(name).is_file(), "{name}");
        }
        assert_eq!(read(&root).expect("reads"), sample());
        assert_eq!(read(&root.join("results.json")).expect("reads"), sample());
        assert!(read(&root.join("junit.xml")).is_err_and(|e| e.to_string().contains("junit.xml")));
        std::fs::remove_dir_all(root).expect("cleans up");
    }
}
