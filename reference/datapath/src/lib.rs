//! The data plane of a group member, sans-I/O: policy, SAs, ESP, time-based anti-replay, fragments and path MTU.
