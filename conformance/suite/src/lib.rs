//! The conformance cases, in modules named after what they judge.
