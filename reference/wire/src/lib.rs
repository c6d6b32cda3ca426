//! Every byte format of GETVPN: IP, UDP, ICMP, ISAKMP, GDOI and packet captures.
//!
//! Octets become values only through `decode` functions, which are total: any input gives a value or a
//! [`DecodeError`], and nothing is allocated because a peer claims it. What has many parts comes as borrowed views
//! ([`isakmp::Chain`]) and as owned values that compare and encode again ([`isakmp::SecurityAssociation`],
//! [`gdoi::GdoiSa`]). The [`raw`] tree is for the tester: it keeps and sends every field as it is, right or wrong.
//! Checksums, hashes and signatures are verified elsewhere, so broken packets can be looked at too.

#![cfg_attr(
    not(test),
    deny(
        clippy::indexing_slicing,
        clippy::arithmetic_side_effects,
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic
    )
)]

pub mod capture;
pub mod describe;
pub mod error;
pub mod gdoi;
pub mod ip;
pub mod isakmp;
pub mod names;
pub mod raw;
pub mod reader;
pub mod writer;

pub use error::{DecodeError, Fault, Layer};
pub use reader::Reader;
pub use writer::Writer;
