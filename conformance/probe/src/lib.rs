//! Scripted key server and group member of the tester: small, readable, able to send anything.
