//! Frames, remarks and keys of one attempt at a case, and the files they become.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::Path;

use hallmark_core::{Datagram, Instant, UnixTime};
use hallmark_wire::capture::{PcapngWriter, link_type};
use hallmark_wire::ip;
use serde::Serialize;

use crate::keys::{KeyRecord, Secrets};
use crate::{ladder, wireshark};

/// Octets of frames that one attempt keeps unless told otherwise.
const DEFAULT_LIMIT: usize = 64 << 20;
/// Remarks and keys that one attempt keeps.
const RECORDS: usize = 100_000;

/// Says how a packet stood to the port that it was seen at.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Way {
    /// It was seen there; its addresses tell the rest.
    #[default]
    Past,
    /// It went into the port.
    Into,
    /// It came out of the port.
    OutOf,
}

/// Is one packet that was sent or received.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Frame {
    /// When, on the run's monotonic clock.
    pub at: Instant,
    /// When, on the wall clock.
    pub wall: UnixTime,
    /// Where it was seen, for example `tester` or `gm1/up`: an interface of the capture.
    pub port: String,
    /// Whether it went into that port or came out of it, where that is known.
    pub way: Way,
    /// The whole IP packet.
    pub packet: Vec<u8>,
    /// What is to be said about it.
    pub comments: Vec<String>,
}

/// Is one remark about what the case does.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Step {
    /// When, in nanoseconds of the run's monotonic clock.
    pub at_nanos: u64,
    /// The frame that it stands beside, counted from 1; none before the first.
    pub frame: Option<usize>,
    /// What it says.
    pub text: String,
}

/// Says where keys go.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum KeyPolicy {
    /// Beside the capture.
    #[default]
    Embed,
    /// Into a folder of their own, so that the rest can be shared.
    Sidecar,
    /// Nowhere.
    None,
}

/// Collects what one attempt leaves behind. What goes beyond its limit is counted, not kept.
#[derive(Clone, Debug)]
pub struct CaseEvidence {
    frames: Vec<Frame>,
    steps: Vec<Step>,
    keys: Vec<KeyRecord>,
    octets: usize,
    limit: usize,
    left_out: usize,
    ident: u16,
}

impl Default for CaseEvidence {
    fn default() -> Self {
        Self::with_limit(DEFAULT_LIMIT)
    }
}

impl CaseEvidence {
    /// Begins with the usual limit.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Begins with a limit on the octets of all frames together.
    #[must_use]
    pub const fn with_limit(octets: usize) -> Self {
        Self {
            frames: Vec::new(),
            steps: Vec::new(),
            keys: Vec::new(),
            octets: 0,
            limit: octets,
            left_out: 0,
            ident: 0,
        }
    }

    /// Keeps a whole IP packet.
    pub fn frame(&mut self, at: Instant, wall: UnixTime, port: &str, packet: &[u8]) {
        self.carried(at, wall, port, Way::Past, packet);
    }

    /// Keeps a whole IP packet that went into a port or came out of it.
    pub fn carried(&mut self, at: Instant, wall: UnixTime, port: &str, way: Way, packet: &[u8]) {
        if self.octets.saturating_add(packet.len()) > self.limit {
            self.left_out += 1;
            return;
        }
        self.octets += packet.len();
        let (port, packet, comments) = (port.to_owned(), packet.to_vec(), Vec::new());
        self.frames.push(Frame { at, wall, port, way, packet, comments });
    }

    /// Keeps a datagram where the packet around it is not known; a packet is put around it.
    pub fn datagram(&mut self, at: Instant, wall: UnixTime, port: &str, datagram: &Datagram) {
        self.ident = self.ident.wrapping_add(1);
        let packet = ip::udp_packet(datagram, self.ident, false);
        self.frame(at, wall, port, &packet);
    }

    /// Writes a remark beside the last frame.
    pub fn note(&mut self, at: Instant, text: &str) {
        if self.steps.len() >= RECORDS {
            self.left_out += 1;
            return;
        }
        let frame = if self.frames.is_empty() { None } else { Some(self.frames.len()) };
        self.steps.push(Step { at_nanos: at.0, frame, text: text.to_owned() });
        if let Some(last) = self.frames.last_mut() {
            last.comments.push(text.to_owned());
        }
    }

    /// Keeps a key.
    pub fn key(&mut self, record: KeyRecord) {
        if self.keys.len() < RECORDS {
            self.keys.push(record);
        }
    }

    /// Gives the frames in the order in which they were kept.
    #[must_use]
    pub fn frames(&self) -> &[Frame] {
        &self.frames
    }

    /// Gives the remarks.
    #[must_use]
    pub fn steps(&self) -> &[Step] {
        &self.steps
    }

    /// Gives the keys.
    #[must_use]
    pub fn keys(&self) -> &[KeyRecord] {
        &self.keys
    }

    /// Tells how many frames and remarks were left out because of the limits.
    #[must_use]
    pub const fn left_out(&self) -> usize {
        self.left_out
    }

    /// Gives the keys as they stand in `keys.json`.
    #[must_use]
    pub fn secrets(&self, description: &str) -> Secrets {
        Secrets::from_records(description, &self.keys)
    }

    /// Gives the capture: one interface per port, the remarks as comments.
    ///
    /// # Errors
    /// When a frame cannot be written.
    pub fn pcapng(&self) -> io::Result<Vec<u8>> {
        self.write_pcapng(|_| None)
    }

    /// Gives the copy of the capture that Wireshark can decrypt.
    ///
    /// # Errors
    /// When a frame cannot be written.
    pub fn wireshark_pcapng(&self) -> io::Result<Vec<u8>> {
        self.write_pcapng(|frame| wireshark::twin(&frame.packet))
    }

    fn write_pcapng(&self, change: impl Fn(&Frame) -> Option<Vec<u8>>) -> io::Result<Vec<u8>> {
        let mut writer = PcapngWriter::new(Vec::new())?;
        let ports: BTreeSet<&str> = self.frames.iter().map(|frame| frame.port.as_str()).collect();
        let mut indices = std::collections::BTreeMap::new();
        for port in ports {
            indices.insert(port, writer.add_interface(port, link_type::RAW)?);
        }
        for frame in &self.frames {
            let changed = change(frame);
            let mut comments: Vec<&str> = frame.comments.iter().map(String::as_str).collect();
            if changed.is_some() {
                comments.insert(0, wireshark::TWIN_REMARK);
            }
            let comment = comments.join("\n");
            let comment = (!comment.is_empty()).then(|| clip(&comment, 60_000));
            let interface = indices.get(frame.port.as_str()).copied().unwrap_or(0);
            writer.packet(interface, frame.wall, changed.as_deref().unwrap_or(&frame.packet), comment)?;
        }
        Ok(writer.into_inner())
    }

    /// Draws the ladder; `describe` may say more about a frame than its clear octets do.
    pub fn ladder(&self, title: &str, describe: &dyn Fn(usize, &Frame) -> Option<String>) -> String {
        let mut text = ladder::draw(title, &self.frames, describe);
        if self.left_out > 0 {
            text.push_str(&format!("{} frames and remarks were left out because of the limits\n", self.left_out));
        }
        text
    }

    /// Writes everything into a folder: `trace.pcapng`, `ladder.txt`, `steps.json`, `keys.json` and `wireshark/`.
    /// `sidecar` is the folder for keys that are not to stand beside the capture.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn write(
        &self,
        folder: &Path,
        title: &str,
        keys: KeyPolicy,
        sidecar: &Path,
        describe: &dyn Fn(usize, &Frame) -> Option<String>,
    ) -> io::Result<()> {
        fs::create_dir_all(folder)?;
        fs::write(folder.join("trace.pcapng"), self.pcapng()?)?;
        fs::write(folder.join("ladder.txt"), self.ladder(title, describe))?;
        fs::write(folder.join("steps.json"), serde_json::to_string_pretty(&self.steps)? + "\n")?;
        let home = match keys {
            KeyPolicy::Embed => folder,
            KeyPolicy::Sidecar => sidecar,
            KeyPolicy::None => return Ok(()),
        };
        let secrets = self.secrets(title);
        let profile = home.join("wireshark");
        fs::create_dir_all(&profile)?;
        fs::write(home.join("keys.json"), secrets.to_json())?;
        fs::write(profile.join("ikev1_decryption_table"), wireshark::ikev1_decryption_table(&secrets))?;
        if !secrets.teks.is_empty() {
            fs::write(profile.join("esp_sa"), wireshark::esp_sa(&secrets))?;
            fs::write(profile.join("preferences"), wireshark::PREFERENCES)?;
        }
        fs::write(profile.join("decode_as_entries"), wireshark::decode_as_entries(&self.ports()))?;
        fs::write(profile.join("trace.pcapng"), self.wireshark_pcapng()?)
    }

    /// Gives the UDP ports that carried ISAKMP, apart from those that every tool knows.
    fn ports(&self) -> Vec<u16> {
        let mut ports = BTreeSet::from([848]);
        // What hosts send through a data port is theirs, whatever its ports are.
        for frame in self.frames.iter().filter(|frame| frame.way == Way::Past) {
            if let Ok(datagram) = ip::parse_udp(&frame.packet) {
                ports.extend([datagram.src.port(), datagram.dst.port()]);
            }
        }
        ports.into_iter().filter(|port| ![500, 4500, 0].contains(port)).take(64).collect()
    }
}

/// Shortens a text to so many octets at a character boundary.
fn clip(text: &str, octets: usize) -> &str {
    let end = (0..=octets.min(text.len())).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
    text.get(..end).unwrap_or("")
}

#[cfg(test)]
mod tests {
    use hallmark_wire::capture;

    use super::*;
    use crate::keys::tests::ike;

    fn evidence() -> CaseEvidence {
        let mut evidence = CaseEvidence::new();
        let (a, b) = ("10.0.0.2:40000".parse().expect("address"), "10.0.0.1:848".parse().expect("address"));
        evidence.note(Instant::ZERO, "before everything");
        evidence.datagram(Instant::from_secs(1), UnixTime::from_secs(100), "tester", &Datagram::new(a, b, vec![1; 40]));
        evidence.note(Instant::from_secs(1), "held seq: 7");
        evidence.datagram(
            Instant::from_secs(2),
            UnixTime::from_secs(101),
            "subject",
            &Datagram::new(b, a, vec![2; 50]),
        );
        evidence.key(ike());
        evidence
    }

    #[test]
    fn the_capture_has_an_interface_per_port_and_the_remarks_as_comments() {
        let read = capture::read_capture(&evidence().pcapng().expect("writes")).expect("reads");
        let names: Vec<&str> = read.interfaces.iter().filter_map(|i| i.name.as_deref()).collect();
        assert_eq!(names, ["subject", "tester"]);
        let seen: Vec<(u32, i64, Option<&str>)> =
            read.packets.iter().map(|p| (p.interface, p.at.as_secs(), p.comment.as_deref())).collect();
        assert_eq!(seen, [(1, 100, Some("held seq: 7")), (0, 101, None)]);
        let datagram = ip::parse_udp(&read.packets[1].octets).expect("udp");
        assert_eq!(datagram.payload, vec![2; 50]);
    }

    #[test]
    fn limits_are_kept_and_reported() {
        let mut evidence = CaseEvidence::with_limit(100);
        for _ in 0..3 {
            evidence.frame(Instant::ZERO, UnixTime::default(), "p", &[0x45; 40]);
        }
        assert_eq!((evidence.frames().len(), evidence.left_out()), (2, 1));
        assert!(evidence.ladder("x", &|_, _| None).contains("1 frames and remarks were left out"));
        assert_eq!(clip("aé", 2), "a");
    }

    #[test]
    fn keys_stand_where_the_policy_puts_them() {
        let root = std::env::temp_dir().join(format!("hallmark-evidence-{}", std::process::id()));
        let evidence = evidence();
        for (name, policy, here, beside) in [
            ("embed", KeyPolicy::Embed, true, false),
            ("sidecar", KeyPolicy::Sidecar, false, true),
            ("none", KeyPolicy::None, false, false),
        ] {
            let (folder, side) = (root.join(name), root.join(format!("{name}-keys")));
            evidence.write(&folder, "REG-001", policy, &side, &|_, _| None).expect("writes");
            assert!(folder.join("trace.pcapng").exists() && folder.join("ladder.txt").exists());
            assert_eq!(folder.join("keys.json").exists(), here, "{name}");
            assert_eq!(side.join("keys.json").exists(), beside, "{name}");
        }
        let entries = fs::read_to_string(root.join("embed/wireshark/decode_as_entries")).expect("reads");
        assert!(entries.contains("udp.port,848,") && entries.contains("udp.port,40000,"));
        fs::remove_dir_all(root).expect("cleans up");
    }
}
