//! Switchable wrong behaviours (defects) and legal differences (variants) of the control plane.
//!
//! The tables are in one file per layer; each name is consulted at one named point of the code. How switches work is in
//! [`hallmark_core::switch`].

#[macro_use]
mod ike;
#[macro_use]
mod gdoi;
#[macro_use]
mod data;

use hallmark_core::switch::Switches;
use hallmark_core::{define_defects, define_variants};

// Each table hands its rows on to the next.
ike_defects! { gdoi_defects data_defects define_defects; }
ike_variants! { gdoi_variants define_variants; }

/// Holds what is switched on.
pub type Behaviour = Switches<Defect, Variant>;
