//! Every case, by what it judges.

// A case that says everything about itself leaves nothing for the blank description to fill in.
#![allow(clippy::needless_update, reason = "a case that leaves nothing blank is as good as one that does")]

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

mod gm_data;
mod gm_phase1;
mod gm_pull;
mod gm_push;
mod ks_data;
mod ks_phase1;
mod ks_pull;
mod ks_push;
mod phase1;

/// The modules with their cases.
pub(crate) const MODULES: &[&[Case]] = &[
    gm_data::attributes::CASES,
    gm_data::counter::CASES,
    gm_data::counters::CASES,
    gm_data::cutting::CASES,
    gm_data::d3p::CASES,
    gm_data::direction::CASES,
    gm_data::dummies::CASES,
    gm_data::failclose::CASES,
    gm_data::headers::CASES,
    gm_data::joining::CASES,
    gm_data::keys::CASES,
    gm_data::malformed::CASES,
    gm_data::mss::CASES,
    gm_data::multicast::CASES,
    gm_data::opening::CASES,
    gm_data::pathmtu::CASES,
    gm_data::policy::CASES,
    gm_data::protect::CASES,
    gm_data::recovery::CASES,
    gm_data::rollover::CASES,
    gm_data::tbar::CASES,
    gm_data::transforms::CASES,
    gm_data::upgrade::CASES,
    gm_phase1::answers::CASES,
    gm_phase1::certificates::CASES,
    gm_phase1::dpd::CASES,
    gm_phase1::fragments::CASES,
    gm_phase1::informational::CASES,
    gm_phase1::lifetime::CASES,
    gm_phase1::nat::CASES,
    gm_phase1::offer::CASES,
    gm_phase1::proof::CASES,
    gm_phase1::repeats::CASES,
    gm_phase1::servers::CASES,
    gm_phase1::shares::CASES,
    gm_phase1::suites::CASES,
    gm_pull::answers::CASES,
    gm_pull::attributes::CASES,
    gm_pull::copies::CASES,
    gm_pull::keys::CASES,
    gm_pull::legal::CASES,
    gm_pull::lengths::CASES,
    gm_pull::lifetime::CASES,
    gm_pull::request::CASES,
    gm_pull::sequence::CASES,
    gm_pull::servers::CASES,
    gm_push::ack::CASES,
    gm_push::content::CASES,
    gm_push::delete::CASES,
    gm_push::form::CASES,
    gm_push::fragments::CASES,
    gm_push::lifetime::CASES,
    gm_push::lkh::CASES,
    gm_push::multicast::CASES,
    gm_push::seq::CASES,
    gm_push::sig::CASES,
    ks_data::CASES,
    ks_phase1::aggressive::CASES,
    ks_phase1::answers::CASES,
    ks_phase1::certificates::CASES,
    ks_phase1::contact::CASES,
    ks_phase1::cookies::CASES,
    ks_phase1::dpd::CASES,
    ks_phase1::exchange::CASES,
    ks_phase1::fragments::CASES,
    ks_phase1::informational::CASES,
    ks_phase1::nat::CASES,
    ks_phase1::offer::CASES,
    ks_phase1::proof::CASES,
    ks_phase1::repeats::CASES,
    ks_phase1::robust::CASES,
    ks_phase1::suites::CASES,
    ks_pull::authorize::CASES,
    ks_pull::exchange::CASES,
    ks_pull::hierarchy::CASES,
    ks_pull::keys::CASES,
    ks_pull::members::CASES,
    ks_pull::policy::CASES,
    ks_pull::proof::CASES,
    ks_pull::repeats::CASES,
    ks_pull::request::CASES,
    ks_pull::secrets::CASES,
    ks_pull::sequence::CASES,
    ks_pull::sids::CASES,
    ks_pull::size::CASES,
    ks_push::ack::CASES,
    ks_push::copies::CASES,
    ks_push::deletion::CASES,
    ks_push::form::CASES,
    ks_push::members::CASES,
    ks_push::multicast::CASES,
    ks_push::policy::CASES,
    ks_push::sequence::CASES,
    ks_push::timing::CASES,
];
