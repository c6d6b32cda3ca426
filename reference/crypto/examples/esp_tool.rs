//! Seals and opens ESP packets for other programs: JSON lines in, JSON lines out, octets as hexadecimal digits.
//!
//! `esp_tool list` names every transform with its lengths and implementations. `esp_tool seal` takes `transform`,
//! `encryption_key`, `integrity_key`, `backend`, `spi`, `seq`, `esn_high` (or null), `iv`, `payload`, `next_header` and
//! gives `esp`, SPI to ICV. `esp_tool open` takes keys, `esn_high` and `esp` and gives `payload` and `next_header`. What
//! is refused gives `error` with the code.

#![expect(clippy::print_stdout, reason = "the answers are what this program is for")]

use std::io::BufRead;
use std::process::ExitCode;

use hallmark_crypto::esp::{Backend, EspKey, Transform, trailer};
use serde_json::{Value, json};

fn main() -> ExitCode {
    let work: fn(&Value) -> Result<Value, String> = match std::env::args().nth(1).as_deref() {
        Some("list") => {
            Transform::all().for_each(|transform| println!("{}", describe(transform)));
            return ExitCode::SUCCESS;
        }
        Some("seal") => seal,
        Some("open") => open,
        _ => {
            println!("usage: esp_tool list|seal|open");
            return ExitCode::from(64);
        }
    };
    for line in std::io::stdin().lock().lines().map_while(Result::ok) {
        let answer = serde_json::from_str(&line).map_err(|error| error.to_string()).and_then(|request| work(&request));
        println!("{}", answer.unwrap_or_else(|error| json!({ "error": error })));
    }
    ExitCode::SUCCESS
}

fn describe(transform: Transform) -> Value {
    let does = |backend: &Backend| {
        let keys = (vec![7; transform.encryption_key_len()], vec![9; transform.integrity_key_len()]);
        // 3DES refuses equal keys, and only RustCrypto does it.
        EspKey::new(transform, &keys.0, &keys.1, *backend).map_or(Backend::Portable, |key| key.backend()) == *backend
    };
    json!({
        "transform": transform.to_string(),
        "encryption_key_len": transform.encryption_key_len(),
        "integrity_key_len": transform.integrity_key_len(),
        "iv_len": transform.iv_len(),
        "icv_len": transform.icv_len(),
        "backends": Backend::available().iter().filter(|b| does(b)).map(|b| b.name()).collect::<Vec<_>>(),
    })
}

fn seal(request: &Value) -> Result<Value, String> {
    let key = key(request)?;
    let transform = key.transform();
    let payload = octets(request, "payload")?;
    let mut esp = Vec::new();
    esp.extend_from_slice(&number(request, "spi")?.to_be_bytes());
    esp.extend_from_slice(&number(request, "seq")?.to_be_bytes());
    esp.extend_from_slice(&octets(request, "iv")?);
    if esp.len() != transform.header_len() {
        return Err("iv-length".into());
    }
    esp.extend_from_slice(&payload);
    let (start, pad) = (esp.len(), transform.pad_len(payload.len()));
    esp.resize(start + pad + 2 + transform.icv_len(), 0);
    let next_header = number(request, "next_header")?.try_into().map_err(|_| "next_header")?;
    trailer::write(esp.get_mut(start..start + pad + 2).unwrap_or_default(), next_header);
    key.seal(&mut esp, esn_high(request)?).map_err(|error| error.code().to_string())?;
    Ok(json!({ "esp": hex::encode(esp) }))
}

fn open(request: &Value) -> Result<Value, String> {
    let key = key(request)?;
    let mut esp = octets(request, "esp")?;
    let plaintext = key.open(&mut esp, esn_high(request)?).map_err(|error| error.code().to_string())?;
    let (len, next_header) = trailer::parse(plaintext, true).map_err(|error| error.code().to_string())?;
    let payload = plaintext.get(..len).unwrap_or_default();
    Ok(json!({ "payload": hex::encode(payload), "next_header": next_header }))
}

fn key(request: &Value) -> Result<EspKey, String> {
    let text = |name: &str| request[name].as_str().ok_or_else(|| format!("{name} is missing"));
    let transform: Transform = text("transform")?.parse().map_err(|_| "transform")?;
    let backend = Backend::from_name(text("backend")?).ok_or("backend")?;
    EspKey::new(transform, &octets(request, "encryption_key")?, &octets(request, "integrity_key")?, backend)
        .map_err(|error| error.code().to_string())
}

fn octets(request: &Value, name: &str) -> Result<Vec<u8>, String> {
    request[name].as_str().and_then(|text| hex::decode(text).ok()).ok_or_else(|| format!("{name}: no octets"))
}

fn number(request: &Value, name: &str) -> Result<u32, String> {
    let value = request[name].as_u64().and_then(|value| u32::try_from(value).ok());
    value.ok_or_else(|| format!("{name}: no number of 32 bits"))
}

fn esn_high(request: &Value) -> Result<Option<u32>, String> {
    if request["esn_high"].is_null() { Ok(None) } else { number(request, "esn_high").map(Some) }
}
