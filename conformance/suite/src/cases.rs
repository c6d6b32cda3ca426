//! Every case, by what it judges.

use crate::Case;

/// The modules with their cases.
pub(crate) const MODULES: &[&[Case]] = &[];
