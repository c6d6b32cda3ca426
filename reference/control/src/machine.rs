//! What every machine is from outside, whichever role it has.

use hallmark_core::{Datagram, Instant, Now};

/// Is a machine without I/O: datagrams and the time go in, datagrams and events come out.
///
/// Whoever drives it takes out everything that there is to send and to tell after each call that hands something in,
/// and then waits until something arrives or the timeout is due.
pub trait Machine {
    /// What it has to tell.
    type Event;

    /// Takes a datagram that arrived.
    fn handle_datagram(&mut self, now: Now, datagram: &Datagram);

    /// Does what is due.
    fn handle_timeout(&mut self, now: Now);

    /// Gives the next datagram to send.
    fn poll_transmit(&mut self) -> Option<Datagram>;

    /// Gives the next event.
    fn poll_event(&mut self) -> Option<Self::Event>;

    /// Gives the time at which [`Machine::handle_timeout`] wants to be called.
    #[must_use]
    fn poll_timeout(&self) -> Option<Instant>;
}
