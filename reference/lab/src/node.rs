//! What runs on a host.

use std::any::Any;
use std::net::IpAddr;

use hallmark_core::{Datagram, Instant, Now};

/// Runs on a host of the lab: any machine that takes datagrams and time and gives datagrams.
///
/// After each call of a `handle_*` function the lab takes what the `poll_*` functions have until they have nothing.
pub trait Node: Any + Send {
    /// Takes a datagram that arrived, whatever port it is for.
    fn handle_datagram(&mut self, now: Now, datagram: &Datagram);

    /// Does what is due at `now`.
    fn handle_timeout(&mut self, now: Now);

    /// Gives the next datagram to send. An unspecified source address becomes the host's first one.
    fn poll_transmit(&mut self) -> Option<Datagram>;

    /// Tells when [`Node::handle_timeout`] is wanted, in the host's own monotonic time.
    fn poll_timeout(&self) -> Option<Instant>;

    /// Gives the next line of the node's log.
    fn poll_log(&mut self) -> Option<String> {
        None
    }

    /// Takes an IP packet that carries something else than UDP, such as ICMP or ESP, reassembled.
    fn handle_packet(&mut self, now: Now, packet: &[u8]) {
        let _ = (now, packet);
    }

    /// Gives the next whole IP packet to send as it stands.
    fn poll_packet(&mut self) -> Option<Vec<u8>> {
        None
    }

    /// Lists the multicast groups that it wants to receive; asked after each call.
    fn multicast_groups(&self) -> Vec<IpAddr> {
        Vec::new()
    }
}
