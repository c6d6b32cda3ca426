//! Whole group members against a key server, in virtual time: packets from LAN to LAN over rekeys, loss of the server and
//! everything that only both planes together decide.

#![expect(unreachable_pub, reason = "one test binary in several files")]

mod carry;
mod world;
