//! Switchable wrong behaviours (defects) and legal differences (variants) of the data plane.
//!
//! The tables are in one file per layer; each name is consulted at one named point of the code. How switches work is in
//! [`hallmark_core::switch`].

#[macro_use]
mod policy;
#[macro_use]
mod receive;
#[macro_use]
mod send;
#[macro_use]
mod size;

use hallmark_core::switch::Switches;
use hallmark_core::{define_defects, define_variants};

// Each table hands its rows on to the next.
send_defects! { receive_defects policy_defects size_defects define_defects; }
send_variants! { receive_variants policy_variants size_variants define_variants; }

/// Holds what is switched on.
pub type Behaviour = Switches<Defect, Variant>;
