//! The lab, seen from outside: scripted nodes in it, faults between them.

mod common;
mod faults;
mod fragments;
mod hosts;
