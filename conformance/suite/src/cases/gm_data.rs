//! Traffic through a group member.
