//! What happened to a packet on its way, as a small set.

/// Collects what happened to a packet; becomes the note of its tap record.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(crate) struct Marks(u16);

impl Marks {
    pub(crate) const NONE: Self = Self(0);
    pub(crate) const DUPLICATE: Self = Self(1);
    pub(crate) const REORDERED: Self = Self(1 << 1);
    pub(crate) const DAMAGED: Self = Self(1 << 2);
    pub(crate) const REPLAYED: Self = Self(1 << 3);
    pub(crate) const INJECTED: Self = Self(1 << 4);
    pub(crate) const CUT_BY_ROUTER: Self = Self(1 << 5);
    pub(crate) const DELAYED_BY_RULE: Self = Self(1 << 6);
    pub(crate) const CHANGED_BY_RULE: Self = Self(1 << 7);
    pub(crate) const BUFFERED: Self = Self(1 << 8);
    pub(crate) const COMPLETES: Self = Self(1 << 9);
    pub(crate) const ROUTER_REPORT: Self = Self(1 << 10);
    pub(crate) const CUT_AT_SOURCE: Self = Self(1 << 11);
    pub(crate) const TRANSLATED: Self = Self(1 << 12);

    const NAMES: [(Self, &'static str); 13] = [
        (Self::DUPLICATE, "duplicate"),
        (Self::REORDERED, "held back so that others overtake it"),
        (Self::DAMAGED, "damaged on the link"),
        (Self::REPLAYED, "replayed"),
        (Self::INJECTED, "injected"),
        (Self::CUT_BY_ROUTER, "fragmented by the router"),
        (Self::DELAYED_BY_RULE, "delayed by a rule"),
        (Self::CHANGED_BY_RULE, "changed by a rule"),
        (Self::BUFFERED, "buffered while the host is paused"),
        (Self::COMPLETES, "completes a fragmented packet"),
        (Self::ROUTER_REPORT, "sent by the router"),
        (Self::CUT_AT_SOURCE, "fragmented at the source"),
        (Self::TRANSLATED, "address translated"),
    ];

    pub(crate) const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    pub(crate) fn describe(self) -> String {
        if self == Self::NONE {
            return String::new();
        }
        let names = Self::NAMES.iter().filter(|(mark, _)| self.0 & mark.0 != 0);
        names.map(|(_, name)| *name).collect::<Vec<_>>().join("; ")
    }
}
