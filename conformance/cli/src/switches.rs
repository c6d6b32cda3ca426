//! The switches of the reference: those of its control plane and those of its data plane, as one list.

use hallmark_control::behaviour as control;
use hallmark_core::switch::{Row, Switch};
use hallmark_datapath as plane;

/// Gives every wrong behaviour.
pub(crate) fn defects() -> impl Iterator<Item = Row> + Clone {
    of_both::<control::Defect, plane::Defect>()
}

/// Gives every legal difference.
pub(crate) fn variants() -> impl Iterator<Item = Row> + Clone {
    of_both::<control::Variant, plane::Variant>()
}

/// Finds a wrong behaviour by its name.
pub(crate) fn defect(name: &str) -> Option<Row> {
    find::<control::Defect, plane::Defect>(name)
}

/// Finds a legal difference by its name.
pub(crate) fn variant(name: &str) -> Option<Row> {
    find::<control::Variant, plane::Variant>(name)
}

/// Tells whether a legal difference is one of the data plane alone.
pub(crate) fn of_data_plane(variant: &str) -> bool {
    plane::Variant::from_name(variant).is_some() && control::Variant::from_name(variant).is_none()
}

/// Lists two enumerations as one. A name that both planes know is one switch that shows in both; the control plane tells
/// of it.
fn of_both<C: Switch, P: Switch>() -> impl Iterator<Item = Row> + Clone {
    let plane = P::ALL.iter().map(|switch| switch.row()).filter(|row| C::from_name(row.name).is_none());
    C::ALL.iter().map(|switch| switch.row()).chain(plane)
}

fn find<C: Switch, P: Switch>(name: &str) -> Option<Row> {
    C::from_name(name).map(Switch::row).or_else(|| P::from_name(name).map(Switch::row))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn the_switches_of_both_planes_are_one_list_in_snake_case_without_doubles() {
        let names: Vec<&str> = defects().chain(variants()).map(|known| known.name).collect();
        assert_eq!(names.iter().collect::<BTreeSet<_>>().len(), names.len());
        let snake = |name: &str| name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
        assert_eq!(names.iter().find(|name| !snake(name)), None);
        assert!(defect("gm_no_seqcheck").is_some() && defect("dp_mac_not_checked").is_some());
        assert_eq!(defects().filter(|known| known.name == "recovery_storm").count(), 1);
        assert!(of_data_plane("dp_outer_ttl_fresh") && !of_data_plane("gm_fresh_phase1"));
        assert!(defect("dp_outer_ttl_fresh").is_none() && variant("dp_outer_ttl_fresh").is_some());
    }
}
