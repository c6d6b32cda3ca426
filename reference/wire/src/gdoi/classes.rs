//! Numbers of attribute classes, key packets and protocols.

/// Classes of SA KEK attributes.
pub mod kek_attr {
    /// Key management algorithm (LKH).
    pub const MANAGEMENT_ALGORITHM: u16 = 1;
    /// Cipher of the Rekey SA.
    pub const ALGORITHM: u16 = 2;
    /// Bits of the cipher key.
    pub const KEY_LENGTH: u16 = 3;
    /// Seconds that the KEK lives.
    pub const KEY_LIFETIME: u16 = 4;
    /// Hash of the signature.
    pub const SIG_HASH: u16 = 5;
    /// Signature algorithm.
    pub const SIG_ALGORITHM: u16 = 6;
    /// Bits of the signature key.
    pub const SIG_KEY_LENGTH: u16 = 7;
    /// Group of the key exchange that the first GDOI had; reserved.
    pub const KE_OAKLEY_GROUP: u16 = 8;
    /// Kind of acknowledgement that the key server asks for.
    pub const ACK_REQUESTED: u16 = 9;
}

/// Classes of SA TEK attributes (those of the IPsec DOI).
pub mod tek_attr {
    /// Unit of the life duration.
    pub const LIFE_TYPE: u16 = 1;
    /// Life of the SA.
    pub const LIFE_DURATION: u16 = 2;
    /// Diffie-Hellman group; not used by GDOI.
    pub const GROUP_DESCRIPTION: u16 = 3;
    /// Tunnel or transport.
    pub const ENCAPSULATION_MODE: u16 = 4;
    /// Integrity algorithm.
    pub const AUTH_ALGORITHM: u16 = 5;
    /// Bits of the cipher key.
    pub const KEY_LENGTH: u16 = 6;
    /// Rounds of the cipher.
    pub const KEY_ROUNDS: u16 = 7;
    /// Size of a compression dictionary.
    pub const COMPRESS_DICTIONARY_SIZE: u16 = 8;
    /// Private compression algorithm.
    pub const COMPRESS_PRIVATE_ALGORITHM: u16 = 9;
    /// ECN in tunnels.
    pub const ECN_TUNNEL: u16 = 10;
    /// Extended sequence numbers.
    pub const ESN: u16 = 11;
    /// Bits of the integrity key.
    pub const AUTH_KEY_LENGTH: u16 = 12;
    /// Encoding of signatures.
    pub const SIGNATURE_ENCODING: u16 = 13;
    /// Which inner addresses a tunnel keeps outside.
    pub const ADDRESS_PRESERVATION: u16 = 14;
    /// Whether a member may send, receive or both.
    pub const SA_DIRECTION: u16 = 15;
}

/// Classes of group associated policy.
pub mod gap_attr {
    /// Seconds before new SAs are used to send.
    pub const ACTIVATION_TIME_DELAY: u16 = 1;
    /// Seconds before replaced SAs are given up.
    pub const DEACTIVATION_TIME_DELAY: u16 = 2;
    /// Number of sender ids that a member asks for.
    pub const SENDER_ID_REQUEST: u16 = 3;

    // The private range, see `DataPolicy`: the vendors' own forms are not public.
    /// Reference form: method and window of the protection against replayed data.
    pub const REPLAY: u16 = 240;
    /// Reference form: the clock of the group, in ticks of 10 ms.
    pub const PSEUDOTIME: u16 = 241;
    /// Reference form: type of the IP-D3P time stamp.
    pub const D3P_TYPE: u16 = 242;
    /// Reference form: window of IP-D3P in milliseconds.
    pub const D3P_WINDOW: u16 = 243;
    /// Reference form: whether the members send with the SAs of the group yet.
    pub const GROUP_DIRECTION: u16 = 244;
}

/// Types of key packets.
pub mod kd_type {
    /// Keys of a Data-security SA.
    pub const TEK: u8 = 1;
    /// Keys of the Rekey SA.
    pub const KEK: u8 = 2;
    /// Keys of the hierarchy.
    pub const LKH: u8 = 3;
    /// Sender ids.
    pub const SID: u8 = 4;
}

/// Attribute classes of a TEK key packet.
pub mod tek_key {
    /// Cipher key with its salt.
    pub const ALGORITHM: u16 = 1;
    /// Integrity key.
    pub const INTEGRITY: u16 = 2;
    /// Source authentication key.
    pub const SOURCE_AUTH: u16 = 3;
}

/// Attribute classes of a KEK key packet.
pub mod kek_key {
    /// IV and cipher key.
    pub const ALGORITHM: u16 = 1;
    /// Public key that verifies a PUSH.
    pub const SIGNATURE: u16 = 2;
}

/// Attribute classes of an LKH key packet.
pub mod lkh_key {
    /// The keys from a leaf to the root.
    pub const DOWNLOAD: u16 = 1;
    /// Replaced keys, each wrapped.
    pub const UPDATE: u16 = 2;
    /// Public key that verifies a PUSH.
    pub const SIGNATURE: u16 = 3;
}

/// Attribute classes of a SID key packet.
pub mod sid_key {
    /// Bits of a sender id.
    pub const BITS: u16 = 1;
    /// One sender id.
    pub const VALUE: u16 = 2;
}

/// Protocol ids of SA TEK payloads.
pub mod protocol_id {
    /// ESP.
    pub const ESP: u8 = 1;
    /// AH.
    pub const AH: u8 = 2;
    /// IEC 61850.
    pub const IEC_61850: u8 = 3;
    /// Reference form in the private range: traffic that stays in clear, see `Bypass`.
    pub const BYPASS: u8 = 250;
}
