//! What a process, or a lab that stands for one, needs of a machine beyond what every machine has.

use std::sync::Arc;

use hallmark_control::{KeyServer, KsCommand, Machine};
use hallmark_core::Now;
use hallmark_datapath::Side;
use tokio::sync::Notify;

use crate::command;
use crate::told::Told;

/// Is a key server or a group member that something runs.
pub trait Hosted: Machine<Event: Into<Told>> {
    /// Names the role.
    const ROLE: &'static str;

    /// Answers a request of the console.
    fn command(&mut self, now: Now, request: &str) -> command::Answer;

    /// Queues what is to be said before the process ends.
    fn farewell(&mut self, now: Now);

    /// Gives what is notified when [`Hosted::attend`] is wanted, if there is anything of the kind.
    fn ready(&self) -> Option<Arc<Notify>> {
        None
    }

    /// Takes what something outside the machine has to tell it.
    fn attend(&mut self, _now: Now) {}

    /// Takes an IP packet that arrived at a data port; a machine without any does nothing with it.
    fn handle_packet(&mut self, _now: Now, _side: Side, _packet: &[u8]) {}

    /// Gives the next IP packet to send, with the data port that it leaves through.
    fn poll_packet(&mut self) -> Option<(Side, Vec<u8>)> {
        None
    }
}

impl Hosted for KeyServer {
    const ROLE: &'static str = "ks";

    fn command(&mut self, now: Now, request: &str) -> command::Answer {
        command::ks(self, now, request)
    }

    fn farewell(&mut self, now: Now) {
        let _ = self.handle_command(now, KsCommand::Shutdown);
    }
}
