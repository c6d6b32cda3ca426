//! GDOI payloads: group policy ([`GdoiSa`]), keys ([`KeyDownload`]), sequence numbers and the key hierarchy.
//!
//! Layouts follow RFC 6407; a [`Dialect`] names the ways in which a known implementation differs.
//! What the RFC has no words for travels in reference forms of our own, [`DataPolicy`] and [`Bypass`].

mod classes;
mod data_policy;
mod dialect;
mod key_download;
mod lkh;
mod sa;
mod selector;
mod tek;

pub use classes::{gap_attr, kd_type, kek_attr, kek_key, lkh_key, protocol_id, sid_key, tek_attr, tek_key};
pub use data_policy::{Bypass, DataPolicy, ReplayPolicy};
pub use dialect::Dialect;
pub use key_download::{KeyDownload, KeyPacket, Sequence};
pub use lkh::{LKH_VERSION, LkhDownload, LkhKey, LkhUpdate};
pub use sa::{Gap, GdoiSa, SaAttribute, SaKek};
pub use selector::Selector;
pub use tek::{IpsecTek, SaTek, TekBody};

/// The domain of interpretation of GDOI.
pub const DOI: u32 = 2;

#[cfg(test)]
mod tests;
