//! Keys and certificates: PEM text, inline or in a file.

use std::borrow::Cow;
use std::fs;
use std::io::Read as _;
use std::path::Path;

use hallmark_crypto::SigningKey;

use super::{ConfigError, Source};

/// Larger files are certainly not what was meant.
const MAX_FILE_OCTETS: u64 = 4 << 20;

/// Reads a configuration file.
pub(super) fn read_text(path: &Path, source: &Source) -> Result<String, ConfigError> {
    read(path).map_err(|problem| ConfigError::plain(source, problem))
}

/// Reads a private key in PKCS#8.
pub(super) fn private_key(value: &str, source: &Source) -> Result<SigningKey, String> {
    let text = pem_text(value, source)?;
    SigningKey::from_pem(&text).map_err(|error| {
        let label = text.lines().find_map(|line| line.trim().strip_prefix("-----BEGIN ")).unwrap_or("no PEM text");
        format!(
            "the private key cannot be read: {error}; expected PKCS#8 (-----BEGIN PRIVATE KEY-----), found `{}`",
            label.trim_end_matches('-')
        )
    })
}

/// Reads every block with one of the labels as DER.
pub(super) fn blocks(value: &str, labels: &[&str], source: &Source) -> Result<Vec<Vec<u8>>, String> {
    let text = pem_text(value, source)?;
    let mut found = Vec::new();
    let mut block = String::new();
    for line in text.lines().map(str::trim) {
        if line.starts_with("-----BEGIN ") {
            block.clear();
        }
        block.push_str(line);
        block.push('\n');
        if line.starts_with("-----END ") {
            let (label, octets) = der::pem::decode_vec(block.as_bytes())
                .map_err(|error| format!("a PEM block cannot be read: {error}"))?;
            if labels.contains(&label) {
                found.push(octets);
            }
        }
    }
    if found.is_empty() {
        return Err(format!("no PEM block -----BEGIN {}----- in it", labels.join("----- or -----BEGIN ")));
    }
    Ok(found)
}

fn pem_text<'v>(value: &'v str, source: &Source) -> Result<Cow<'v, str>, String> {
    if value.trim_start().starts_with("-----BEGIN ") {
        return Ok(Cow::Borrowed(value.trim_start()));
    }
    let folder = source.folder.as_ref().ok_or_else(|| {
        "expected inline PEM text (it begins with -----BEGIN); this configuration has no folder to take files from"
            .to_owned()
    })?;
    read(&folder.join(value)).map(Cow::Owned)
}

fn read(path: &Path) -> Result<String, String> {
    let failed = |error: std::io::Error| format!("cannot read {}: {error}", path.display());
    let mut text = String::new();
    let file = fs::File::open(path).map_err(failed)?;
    let octets = file.take(MAX_FILE_OCTETS + 1).read_to_string(&mut text).map_err(failed)?;
    if octets as u64 > MAX_FILE_OCTETS {
        return Err(format!("{} is larger than {} MiB", path.display(), MAX_FILE_OCTETS >> 20));
    }
    Ok(text)
}
