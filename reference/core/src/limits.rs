//! Limits on everything that a peer can grow.

/// Bounds the memory and work that peers can cause. Every value is visible in a node's status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Largest message that is looked at, in octets.
    pub message_octets: usize,
    /// Payloads in one chain (IKE-DOS-006).
    pub payloads_per_message: usize,
    /// Transforms that are looked at in one offer (IKE-SA-024).
    pub transforms_per_proposal: usize,
    /// Attributes in one list.
    pub attributes_per_list: usize,
    /// Half-open phase 1 exchanges, all peers together (IKE-DOS-001).
    pub half_open: usize,
    /// Half-open phase 1 exchanges of one source address.
    pub half_open_per_source: usize,
    /// Seconds that a half-open phase 1 exchange may live (IKE-LIFE-007).
    pub half_open_secs: u64,
    /// Established phase 1 SAs.
    pub phase1_sas: usize,
    /// Unfinished GROUPKEY-PULL exchanges under one phase 1 SA.
    pub pulls_per_sa: usize,
    /// Message ids that one phase 1 SA remembers.
    pub message_ids_per_sa: usize,
    /// Registered members of one group.
    pub members: usize,
    /// Fragments of one message (IKE-FRAG-007).
    pub fragments_per_message: usize,
    /// Octets held for reassembly, all peers together.
    pub reassembly_octets: usize,
    /// Certificates that are looked at in one message (IKE-AUTH-017).
    pub certificates_per_message: usize,
    /// TEKs that a group member holds at once.
    pub teks: usize,
    /// Datagrams and events waiting to be taken by the caller.
    pub output_queue: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            message_octets: 65_507,
            payloads_per_message: 64,
            transforms_per_proposal: 64,
            attributes_per_list: 64,
            half_open: 1_000,
            half_open_per_source: 64,
            half_open_secs: 30,
            phase1_sas: 10_000,
            pulls_per_sa: 16,
            message_ids_per_sa: 256,
            members: 10_000,
            fragments_per_message: 64,
            reassembly_octets: 1 << 20,
            certificates_per_message: 8,
            teks: 256,
            output_queue: 65_536,
        }
    }
}
