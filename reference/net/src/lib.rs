//! Real sockets, clocks and randomness: the only place that talks to the operating system.
