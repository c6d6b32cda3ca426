//! The version that a group member announces.

/// Gives the vendor id that carries a version of group VPN software: 16 octets of text and one octet each for major,
/// minor and mini. The layout that products use is not public; this one stands in for it.
#[must_use]
pub fn version(major: u8, minor: u8, mini: u8) -> Vec<u8> {
    [b"HALLMARK-GETVPN/".as_slice(), &[major, minor, mini]].concat()
}
