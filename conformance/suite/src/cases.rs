//! Every case, by what it judges.

use crate::Case;

/// Writes a case down: description first, function last. `needs` and `cost` (seconds of the subject's time) may be
/// left out.
macro_rules! case {
    (
        $id:literal, $area:literal, $level:ident, $subject:ident,
        title: $title:literal,
        purpose: $purpose:literal,
        requirements: [$($requirement:literal),+ $(,)?],
        sources: [$($source:literal),+ $(,)?],
        catches: [$($defect:literal),+ $(,)?],
        $(needs: [$($need:ident),+ $(,)?],)?
        $(cost: $cost:literal,)?
        run: $run:expr $(,)?
    ) => {
        $crate::Case {
            info: hallmark_catalogue::CaseInfo {
                id: $id,
                area: $area,
                level: hallmark_catalogue::Level::$level,
                subject: hallmark_catalogue::Subject::$subject,
                title: $title,
                purpose: $purpose,
                requirements: &[$($requirement),+],
                sources: &[$($source),+],
                catches: &[$($defect),+],
                $(needs: &[$(hallmark_catalogue::Need::$need),+],)?
                $(cost_secs: $cost,)?
                ..hallmark_catalogue::CaseInfo::BLANK
            },
            run: $run,
        }
    };
}

mod ks_phase1;

/// The modules with their cases.
pub(crate) const MODULES: &[&[Case]] = &[ks_phase1::offer::CASES];
