//! How a world gets a subject to judge, without knowing what it is made of.

use hallmark_core::{Datagram, Instant, Now};
use hallmark_probe::world::{Role, Side};

/// A subject that runs inside the lab: a state machine with the shape that every sans-I/O node has.
pub trait LabSubject: Send {
    /// Takes a datagram that arrived.
    fn handle_datagram(&mut self, now: Now, datagram: &Datagram);
    /// Does what is due.
    fn handle_timeout(&mut self, now: Now);
    /// Gives the next datagram to send.
    fn poll_transmit(&mut self) -> Option<Datagram>;
    /// Tells when it wants to be called again.
    fn poll_timeout(&self) -> Option<Instant>;
    /// Gives the next line of its log.
    fn poll_log(&mut self) -> Option<String>;
    /// Lists the multicast groups that it wants to receive.
    fn multicast_groups(&self) -> Vec<std::net::IpAddr>;
    /// Takes a whole IP packet that arrived at one of its data ports.
    fn handle_packet(&mut self, now: Now, side: Side, packet: &[u8]) {
        let _ = (now, side, packet);
    }
    /// Gives the next whole IP packet to send, and the data port to send it from; asked after each call.
    fn poll_packet(&mut self) -> Option<(Side, Vec<u8>)> {
        None
    }
    /// Answers a console command, both as JSON objects.
    ///
    /// # Errors
    /// Gives the reason as text when the command is refused.
    fn command(&mut self, now: Now, request: &str) -> Result<String, String>;
}

/// Makes subjects for the lab from their configuration text. The tool that joins reference and suite provides one.
pub trait LabSubjects: Sync {
    /// Starts a subject.
    ///
    /// # Errors
    /// Gives the configuration error as text.
    fn start(&self, role: Role, config: &str, seed: [u8; 32], now: Now) -> Result<Box<dyn LabSubject>, String>;
}
