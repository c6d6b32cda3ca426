//! What the loop needs of a machine, whichever role it has.

use std::sync::Arc;

use hallmark_control::{GmCommand, KeyServer, KsCommand};
use hallmark_core::{Datagram, Instant, Now};
use tokio::sync::Notify;

use crate::command;
use crate::member::Member;
use crate::told::Told;

/// Is a key server or a group member.
pub(crate) trait Machine {
    /// Names the role.
    const ROLE: &'static str;

    fn handle_datagram(&mut self, now: Now, datagram: &Datagram);
    fn handle_timeout(&mut self, now: Now);
    fn poll_transmit(&mut self) -> Option<Datagram>;
    fn poll_event(&mut self) -> Option<Told>;
    fn poll_timeout(&self) -> Option<Instant>;

    /// Gives what is notified when [`Machine::attend`] is wanted, if there is anything of the kind.
    fn ready(&self) -> Option<Arc<Notify>> {
        None
    }

    /// Takes what something outside the machine has to tell it.
    fn attend(&mut self, _now: Now) {}

    /// Answers a request of the console.
    fn command(&mut self, now: Now, request: &str) -> command::Answer;

    /// Queues what is to be said before the process ends.
    fn farewell(&mut self, now: Now);
}

impl Machine for KeyServer {
    const ROLE: &'static str = "ks";

    fn handle_datagram(&mut self, now: Now, datagram: &Datagram) {
        Self::handle_datagram(self, now, datagram);
    }

    fn handle_timeout(&mut self, now: Now) {
        Self::handle_timeout(self, now);
    }

    fn poll_transmit(&mut self) -> Option<Datagram> {
        Self::poll_transmit(self)
    }

    fn poll_event(&mut self) -> Option<Told> {
        Self::poll_event(self).map(Told::Control)
    }

    fn poll_timeout(&self) -> Option<Instant> {
        Self::poll_timeout(self)
    }

    fn command(&mut self, now: Now, request: &str) -> command::Answer {
        command::ks(self, now, request)
    }

    fn farewell(&mut self, now: Now) {
        let _ = self.handle_command(now, KsCommand::Shutdown);
    }
}

impl Machine for Member {
    const ROLE: &'static str = "gm";

    fn handle_datagram(&mut self, now: Now, datagram: &Datagram) {
        Self::handle_datagram(self, now, datagram);
    }

    fn handle_timeout(&mut self, now: Now) {
        Self::handle_timeout(self, now);
    }

    fn poll_transmit(&mut self) -> Option<Datagram> {
        Self::poll_transmit(self)
    }

    fn poll_event(&mut self) -> Option<Told> {
        Self::poll_event(self)
    }

    fn poll_timeout(&self) -> Option<Instant> {
        Self::poll_timeout(self)
    }

    fn ready(&self) -> Option<Arc<Notify>> {
        Self::ready(self)
    }

    fn attend(&mut self, now: Now) {
        Self::attend(self, now);
    }

    fn command(&mut self, now: Now, request: &str) -> command::Answer {
        command::gm(self, now, request)
    }

    fn farewell(&mut self, now: Now) {
        self.handle_command(now, GmCommand::Shutdown);
    }
}
