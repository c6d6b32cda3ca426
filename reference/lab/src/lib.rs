//! A virtual network with virtual time: hosts, links, faults and taps, all from one seed.
