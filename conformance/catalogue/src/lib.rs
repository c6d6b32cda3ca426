//! Requirements, cases, verdict rules, waivers and the filter language.
