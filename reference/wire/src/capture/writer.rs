//! A writer of pcapng files that every tool opens: little-endian, nanoseconds, a comment beside each frame.

use std::io::{self, Write};

use hallmark_core::UnixTime;

use super::pcapng::{
    BYTE_ORDER_MAGIC, DECRYPTION_SECRETS, ENHANCED_PACKET, INTERFACE_DESCRIPTION, OPTION_COMMENT, OPTION_IF_NAME,
    OPTION_IF_TSRESOL, OPTION_USER_APPLICATION, SECTION_HEADER, padding,
};

/// Writes frames, secrets and comments as pcapng. Each call writes whole blocks, so a file that breaks off between
/// calls is still a good file.
#[derive(Debug)]
pub struct PcapngWriter<W: Write> {
    sink: W,
    interfaces: u32,
}

impl<W: Write> PcapngWriter<W> {
    /// Begins a file.
    ///
    /// # Errors
    /// When the sink refuses.
    pub fn new(sink: W) -> io::Result<Self> {
        let mut writer = Self { sink, interfaces: 0 };
        let mut body = Vec::with_capacity(40);
        body.extend_from_slice(&BYTE_ORDER_MAGIC.to_le_bytes());
        body.extend_from_slice(&1u16.to_le_bytes());
        body.extend_from_slice(&0u16.to_le_bytes());
        // The length of the section is left open.
        body.extend_from_slice(&(-1i64).to_le_bytes());
        option(&mut body, OPTION_USER_APPLICATION, b"hallmark");
        end_of_options(&mut body);
        writer.block(SECTION_HEADER, &body)?;
        Ok(writer)
    }

    /// Adds an interface and gives its index.
    ///
    /// # Errors
    /// When the sink refuses.
    pub fn add_interface(&mut self, name: &str, link_type: u16) -> io::Result<u32> {
        let mut body = Vec::with_capacity(40);
        body.extend_from_slice(&link_type.to_le_bytes());
        body.extend_from_slice(&[0; 2]);
        // No limit on the length of frames.
        body.extend_from_slice(&0u32.to_le_bytes());
        option(&mut body, OPTION_IF_NAME, name.as_bytes());
        option(&mut body, OPTION_IF_TSRESOL, &[9]);
        end_of_options(&mut body);
        self.block(INTERFACE_DESCRIPTION, &body)?;
        let index = self.interfaces;
        self.interfaces = self.interfaces.saturating_add(1);
        Ok(index)
    }

    /// Writes a frame, with a remark that tools show beside it. Times before 1970 are written as 1970.
    ///
    /// # Errors
    /// When the interface was not added, or the sink refuses.
    pub fn packet(&mut self, interface: u32, at: UnixTime, octets: &[u8], comment: Option<&str>) -> io::Result<()> {
        if interface >= self.interfaces {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "interface was not added to the capture"));
        }
        let ticks = u64::try_from(at.0).unwrap_or(0);
        let mut body = Vec::with_capacity(octets.len().saturating_add(64));
        body.extend_from_slice(&interface.to_le_bytes());
        body.extend_from_slice(&((ticks >> 32) as u32).to_le_bytes());
        body.extend_from_slice(&(ticks as u32).to_le_bytes());
        let len = length(octets)?;
        body.extend_from_slice(&len.to_le_bytes());
        body.extend_from_slice(&len.to_le_bytes());
        padded(&mut body, octets);
        if let Some(comment) = comment {
            option(&mut body, OPTION_COMMENT, comment.as_bytes());
            end_of_options(&mut body);
        }
        self.block(ENHANCED_PACKET, &body)
    }

    /// Writes secrets of a kind ([`super::secrets_kind`]); they belong before the frames that they open.
    ///
    /// # Errors
    /// When the sink refuses.
    pub fn secrets(&mut self, kind: u32, secrets: &[u8]) -> io::Result<()> {
        let mut body = Vec::with_capacity(secrets.len().saturating_add(12));
        body.extend_from_slice(&kind.to_le_bytes());
        body.extend_from_slice(&length(secrets)?.to_le_bytes());
        padded(&mut body, secrets);
        self.block(DECRYPTION_SECRETS, &body)
    }

    /// Flushes the sink.
    ///
    /// # Errors
    /// When the sink refuses.
    pub fn flush(&mut self) -> io::Result<()> {
        self.sink.flush()
    }

    /// Gives the sink back.
    #[must_use]
    pub fn into_inner(self) -> W {
        self.sink
    }

    fn block(&mut self, kind: u32, body: &[u8]) -> io::Result<()> {
        let len = length(body)?.checked_add(12).ok_or(io::ErrorKind::InvalidInput)?;
        let mut block = Vec::with_capacity(body.len().saturating_add(12));
        block.extend_from_slice(&kind.to_le_bytes());
        block.extend_from_slice(&len.to_le_bytes());
        block.extend_from_slice(body);
        block.extend_from_slice(&len.to_le_bytes());
        self.sink.write_all(&block)
    }
}

fn length(octets: &[u8]) -> io::Result<u32> {
    u32::try_from(octets.len()).map_err(|_| io::ErrorKind::InvalidInput.into())
}

fn padded(body: &mut Vec<u8>, octets: &[u8]) {
    body.extend_from_slice(octets);
    body.resize(body.len().saturating_add(padding(octets.len())), 0);
}

/// Writes an option; a value that is too long for its length field is cut at a character boundary.
fn option(body: &mut Vec<u8>, code: u16, value: &[u8]) {
    let mut end = value.len().min(usize::from(u16::MAX));
    while end < value.len() && end > 0 && value.get(end).is_some_and(|octet| octet & 0xc0 == 0x80) {
        end = end.saturating_sub(1);
    }
    let value = value.get(..end).unwrap_or_default();
    body.extend_from_slice(&code.to_le_bytes());
    body.extend_from_slice(&(value.len() as u16).to_le_bytes());
    padded(body, value);
}

fn end_of_options(body: &mut Vec<u8>) {
    body.extend_from_slice(&[0; 4]);
}
