//! Why a packet went no further.

use hallmark_core::Code;
use serde::{Serialize, Serializer};

macro_rules! reasons {
    ($($variant:ident => $code:literal, $sentence:literal;)*) => {
        /// Names why a packet was dropped. Counters, traces, flow records and reports carry its code.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        #[repr(u8)]
        pub enum Reason { $(#[doc = $sentence] $variant,)* }

        impl Reason {
            /// Every reason, in the order of the table.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];
            /// How many there are.
            pub const COUNT: usize = Self::ALL.len();

            /// Gives the stable code.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $code,)* }
            }

            /// Says in one sentence what was wrong.
            #[must_use]
            pub const fn describe(self) -> &'static str {
                match self { $(Self::$variant => $sentence,)* }
            }
        }
    };
}

reasons! {
    // ESP
    NoSa => "esp.no-sa", "No SA has the SPI of the packet.";
    TooShort => "esp.too-short", "The ESP packet is too short for header, IV, trailer and ICV.";
    BadAlignment => "esp.bad-alignment", "The encrypted part is not a whole number of blocks.";
    BadIcv => "esp.bad-icv", "The ICV is wrong.";
    Replay => "esp.replay", "The sequence number was seen before or lies left of the window.";
    EspFragment => "esp.fragment", "A fragment reached ESP.";
    BadPadLength => "esp.bad-pad-length", "The pad length exceeds the packet.";
    BadPadOctets => "esp.bad-pad-octets", "The padding is not 1, 2, 3 and so on.";
    Dummy => "esp.dummy", "It is a dummy packet (next header 59).";
    InnerVersion => "esp.inner-version", "What was protected is not an IP packet of the announced version.";
    InnerLength => "esp.inner-length", "The inner packet claims to be longer than it is.";
    AddressMismatch => "esp.address-mismatch", "A preserved outer address is not the inner one.";
    SelectorMismatch => "esp.selector-mismatch", "The policy of the SA does not permit the inner packet.";
    Ecn => "esp.ecn", "It is marked outside although the inner header is not ECN-capable.";
    Expired => "esp.expired", "The SA has ended.";
    WrongDirection => "esp.wrong-direction", "The SA is for sending only.";
    // time stamps
    TbarMissing => "tbar.missing", "The policy demands a time stamp and there is none.";
    TbarUnexpected => "tbar.unexpected", "There is a time stamp and the policy knows of none.";
    TbarMalformed => "tbar.malformed", "The time stamp header is too short or its length is wrong.";
    TbarTooOld => "tbar.too-old", "The time stamp is older than the window allows.";
    TbarTooNew => "tbar.too-new", "The time stamp lies further ahead than the window allows.";
    TbarDuplicate => "tbar.duplicate", "A copy came inside the time window.";
    D3pMissing => "d3p.missing", "The policy demands a delay detection header and there is none.";
    D3pUnexpected => "d3p.unexpected", "There is a delay detection header and the policy knows of none.";
    D3pType => "d3p.type", "The delay detection header is of an unknown type or length.";
    D3pTooOld => "d3p.too-old", "The packet was sent too long ago.";
    D3pTooNew => "d3p.too-new", "The packet was sent too far in the future.";
    // policy
    ClearRefused => "policy.clear-refused", "It came in clear although the policy protects it.";
    NoUsableSa => "policy.no-sa", "The policy protects it and there is no usable SA.";
    FailClose => "policy.fail-close", "The member is not registered and fails closed.";
    FragmentPorts => "policy.fragment-ports", "A later fragment carries no ports, and a rule with ports may protect it.";
    LocalPermit => "policy.local-permit", "A local list permits it, which only a key server may do.";
    // IP
    Malformed => "ip.malformed", "It is not a whole IP packet.";
    Ttl => "ip.ttl", "Its TTL or hop limit has run out.";
    TooBig => "mtu.too-big", "It does not fit and may not be cut.";
    PmtuConsumed => "pmtu.consumed", "It is an ICMP error about an own ESP packet, from which the path MTU was learned.";
    // fragments
    FragmentOverlap => "fragment.overlap", "Fragments of the packet overlap.";
    FragmentTiny => "fragment.tiny", "A fragment is too small to be honest.";
    FragmentUneven => "fragment.uneven", "A fragment that is not the last is not a multiple of eight octets long.";
    FragmentTooLong => "fragment.too-long", "The fragments reach past 65535 octets.";
    FragmentTimeout => "fragment.timeout", "The missing fragments did not come in time.";
    FragmentLimit => "fragment.limit", "There is no room for more fragments.";
    FragmentEndsDiffer => "fragment.ends-differ", "Two fragments claim to be the last.";
    FragmentEcn => "fragment.ecn", "Some fragments are marked and others are not ECN-capable.";
    FragmentEmpty => "fragment.empty", "A fragment holds nothing.";
    FragmentDuplicate => "fragment.duplicate", "The same fragment was there before.";
    FragmentPoisoned => "fragment.poisoned", "Other fragments of the packet were contradictory before.";
    FragmentHeader => "fragment.header", "The first fragment lacks the upper-layer header.";
    // sending
    CounterExhausted => "counter.exhausted", "The sequence numbers or initialisation vectors of the SA have run out.";
    SidMissing => "sid.missing", "A counter-mode key is in use and there is no sender id.";
    OwnAddress => "own.address", "It claims to come from this member's own address.";
    NoBuffer => "buffer.none", "No free packet buffer was left.";
    Deaf => "defect.deaf", "A defect has stopped the data plane.";
    Discarded => "defect.discarded", "A defect has thrown the packet away.";
}

impl Reason {
    /// Gives the code as the rest of the project carries it.
    #[must_use]
    pub const fn code(self) -> Code {
        Code(self.as_str())
    }

    /// Finds a reason by its code.
    #[must_use]
    pub fn from_code(code: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|reason| reason.as_str() == code)
    }
}

impl std::fmt::Display for Reason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for Reason {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn codes_are_unique_and_lead_back_to_their_reason() {
        let codes: BTreeSet<&str> = Reason::ALL.iter().map(|r| r.as_str()).collect();
        assert_eq!(codes.len(), Reason::COUNT);
        for (index, &reason) in Reason::ALL.iter().enumerate() {
            assert_eq!(reason as usize, index);
            assert_eq!(Reason::from_code(reason.as_str()), Some(reason));
        }
        assert_eq!(Reason::from_code("esp.nonsense"), None);
    }
}
