//! The switches of the reference: those of its control plane and those of its data plane, as one list.

use hallmark_control::behaviour as control;
use hallmark_datapath as plane;

/// Is a wrong behaviour or a legal difference that can be switched on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Switchable {
    name: &'static str,
    reference: &'static str,
    describe: &'static str,
}

impl Switchable {
    /// Gives the name that configuration files and reports use.
    pub(crate) const fn name(self) -> &'static str {
        self.name
    }

    /// Gives where it comes from.
    pub(crate) const fn reference(self) -> &'static str {
        self.reference
    }

    /// Says in one sentence what changes.
    pub(crate) const fn describe(self) -> &'static str {
        self.describe
    }
}

/// Gives every wrong behaviour. A name that both planes know is one fault that shows in both; the control plane tells
/// of it.
pub(crate) fn defects() -> impl Iterator<Item = Switchable> + Clone {
    let control = control::Defect::ALL.iter().map(|d| row(d.name(), d.reference(), d.describe()));
    let plane = plane::Defect::ALL.iter().filter(|d| control::Defect::from_name(d.name()).is_none());
    control.chain(plane.map(|d| row(d.name(), d.reference(), d.describe())))
}

/// Gives every legal difference.
pub(crate) fn variants() -> impl Iterator<Item = Switchable> + Clone {
    let control = control::Variant::ALL.iter().map(|v| row(v.name(), v.reference(), v.describe()));
    let plane = plane::Variant::ALL.iter().filter(|v| control::Variant::from_name(v.name()).is_none());
    control.chain(plane.map(|v| row(v.name(), v.reference(), v.describe())))
}

/// Finds a wrong behaviour by its name.
pub(crate) fn defect(name: &str) -> Option<Switchable> {
    defects().find(|known| known.name == name)
}

/// Finds a legal difference by its name.
pub(crate) fn variant(name: &str) -> Option<Switchable> {
    variants().find(|known| known.name == name)
}

/// Tells whether a legal difference is one of the data plane alone.
pub(crate) fn of_data_plane(variant: &str) -> bool {
    plane::Variant::from_name(variant).is_some() && control::Variant::from_name(variant).is_none()
}

const fn row(name: &'static str, reference: &'static str, describe: &'static str) -> Switchable {
    Switchable { name, reference, describe }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn the_switches_of_both_planes_are_one_list_without_doubles() {
        let names: Vec<&str> = defects().chain(variants()).map(Switchable::name).collect();
        assert_eq!(names.iter().collect::<BTreeSet<_>>().len(), names.len());
        assert!(defect("gm_no_seqcheck").is_some() && defect("dp_mac_not_checked").is_some());
        assert_eq!(defects().filter(|known| known.name == "recovery_storm").count(), 1);
        assert!(of_data_plane("dp_outer_ttl_fresh") && !of_data_plane("gm_fresh_phase1"));
        assert!(defect("dp_outer_ttl_fresh").is_none() && variant("dp_outer_ttl_fresh").is_some());
    }
}
