//! The arrays of the logical key hierarchy.

use hallmark_core::Limits;

use crate::error::{DecodeError, Fault, Layer};
use crate::reader::Reader;
use crate::writer::Writer;

/// The only version of the arrays.
pub const LKH_VERSION: u8 = 1;

/// Holds one key of the tree.
#[derive(Clone, PartialEq, Eq)]
pub struct LkhKey {
    /// The node.
    pub id: u16,
    /// Cipher of the key, in the numbers of KEK_ALGORITHM.
    pub key_type: u8,
    /// Unix seconds of its creation; 0 is always.
    pub created: u32,
    /// Unix seconds of its end; 0 is never.
    pub expires: u32,
    /// Version of the key at its node.
    pub handle: u32,
    /// IV and key, wrapped in an update.
    pub data: Vec<u8>,
}

impl LkhKey {
    fn decode(reader: &mut Reader<'_>, key_data_len: usize) -> Result<Self, DecodeError> {
        let id = reader.u16()?;
        let key_type = reader.u8()?;
        reader.reserved(1)?;
        Ok(Self {
            id,
            key_type,
            created: reader.u32()?,
            expires: reader.u32()?,
            handle: reader.u32()?,
            data: reader.take(key_data_len)?.to_vec(),
        })
    }

    fn encode(&self, writer: &mut Writer) {
        writer.u16(self.id);
        writer.u8(self.key_type);
        writer.u8(0);
        writer.u32(self.created);
        writer.u32(self.expires);
        writer.u32(self.handle);
        writer.octets(&self.data);
    }
}

impl std::fmt::Debug for LkhKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "node {} handle {} type {} ({} octets)", self.id, self.handle, self.key_type, self.data.len())
    }
}

/// Holds the keys on the path from a leaf to the root.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LkhDownload {
    /// Leaf first, root last.
    pub keys: Vec<LkhKey>,
}

impl LkhDownload {
    /// Reads an attribute value. The wire has no length of a key: it follows from the cipher.
    pub fn decode(value: &[u8], key_data_len: usize) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(value, Layer::Lkh);
        let count = decode_head(&mut reader)?;
        Ok(Self { keys: decode_keys(&mut reader, count, key_data_len)? })
    }

    /// Gives the octets of the attribute value.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut writer = Writer::new();
        encode_head(&mut writer, self.keys.len());
        for key in &self.keys {
            key.encode(&mut writer);
        }
        writer.into_vec()
    }
}

/// Holds replaced keys: the first wrapped under a key that some members hold, each further one under the one before.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LkhUpdate {
    /// Node whose key wraps the first key.
    pub wrapper_id: u16,
    /// Version of that key.
    pub wrapper_handle: u32,
    /// Upwards, root last.
    pub keys: Vec<LkhKey>,
}

impl LkhUpdate {
    /// Reads an attribute value. The wire has no length of a key: it follows from the cipher, with its padding.
    pub fn decode(value: &[u8], key_data_len: usize) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(value, Layer::Lkh);
        let count = decode_head(&mut reader)?;
        let wrapper_id = reader.u16()?;
        reader.reserved(2)?;
        let wrapper_handle = reader.u32()?;
        Ok(Self { wrapper_id, wrapper_handle, keys: decode_keys(&mut reader, count, key_data_len)? })
    }

    /// Gives the octets of the attribute value.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut writer = Writer::new();
        encode_head(&mut writer, self.keys.len());
        writer.u16(self.wrapper_id);
        writer.u16(0);
        writer.u32(self.wrapper_handle);
        for key in &self.keys {
            key.encode(&mut writer);
        }
        writer.into_vec()
    }
}

fn decode_head(reader: &mut Reader<'_>) -> Result<usize, DecodeError> {
    let offset = reader.offset();
    let version = reader.u8()?;
    if version != LKH_VERSION {
        let (need, have) = (usize::from(LKH_VERSION), usize::from(version));
        return Err(DecodeError::new(Layer::Lkh, Fault::Version, offset, need, have));
    }
    let count = usize::from(reader.u16()?);
    reader.reserved(1)?;
    Ok(count)
}

fn decode_keys(reader: &mut Reader<'_>, count: usize, key_data_len: usize) -> Result<Vec<LkhKey>, DecodeError> {
    // Each key takes at least its header, so the value itself bounds the loop; the limit bounds depth.
    let limit = Limits::default().attributes_per_list;
    if count > limit {
        return Err(DecodeError::new(Layer::Lkh, Fault::TooMany, 1, limit, count));
    }
    let mut keys = Vec::new();
    for _ in 0..count {
        keys.push(LkhKey::decode(reader, key_data_len)?);
    }
    reader.finish()?;
    Ok(keys)
}

fn encode_head(writer: &mut Writer, count: usize) {
    writer.u8(LKH_VERSION);
    writer.u16(u16::try_from(count).unwrap_or(u16::MAX));
    writer.u8(0);
}
