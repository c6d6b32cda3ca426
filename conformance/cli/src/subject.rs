//! The reference as a subject of the lab: a key server or group member made from its configuration text.

use std::collections::{BTreeSet, VecDeque};
use std::net::IpAddr;

use hallmark_control::behaviour::{Defect, Variant};
use hallmark_control::{Event, EventKind, GroupMember, KeyServer};
use hallmark_core::{Datagram, Instant, Now, Rng};
use hallmark_node::command;
use hallmark_node::config::{Source, gm_from_toml, ks_from_toml};
use hallmark_probe::world::Role;
use hallmark_runner::{LabSubject, LabSubjects};

/// Starts the reference in the lab.
#[derive(Clone, Debug, Default)]
pub(crate) struct Reference {
    /// Wrong behaviours that are switched on.
    pub(crate) defects: Vec<Defect>,
    /// Legal differences that are switched on.
    pub(crate) variants: Vec<Variant>,
}

impl Reference {
    /// Writes the switches as lines of the `[test]` part of a configuration text.
    pub(crate) fn test_lines(&self) -> String {
        let mut lines = String::new();
        let quoted = |names: Vec<&str>| names.iter().map(|name| format!("\"{name}\"")).collect::<Vec<_>>().join(", ");
        if !self.defects.is_empty() {
            lines += &format!("defects = [{}]\n", quoted(self.defects.iter().map(|defect| defect.name()).collect()));
        }
        if !self.variants.is_empty() {
            lines +=
                &format!("variants = [{}]\n", quoted(self.variants.iter().map(|variant| variant.name()).collect()));
        }
        lines
    }
}

impl LabSubjects for Reference {
    fn start(&self, role: Role, config: &str, seed: [u8; 32], now: Now) -> Result<Box<dyn LabSubject>, String> {
        let source = Source::inline("the configuration of the case");
        let rng = Rng::from_seed(seed);
        // As a process gets them: the last table of the text is [test], and some switches concern the text itself.
        let config = &format!("{config}{}", self.test_lines());
        Ok(match role {
            Role::Ks => {
                let setup = ks_from_toml(config, &source).map_err(|error| error.to_string())?;
                let machine =
                    KeyServer::new(setup.machine, setup.limits, rng, now).map_err(|error| error.to_string())?;
                Box::new(Subject::new(machine))
            }
            Role::Gm => {
                let setup = gm_from_toml(config, &source).map_err(|error| error.to_string())?;
                let machine =
                    GroupMember::new(setup.machine, setup.limits, rng, now).map_err(|error| error.to_string())?;
                Box::new(Subject::new(machine))
            }
        })
    }
}

/// A machine with what it has said and which groups it listens to.
struct Subject<M> {
    machine: M,
    log: VecDeque<String>,
    groups: BTreeSet<IpAddr>,
    /// Set once it was told to end: it says what is left to say and hears nothing more.
    ended: bool,
}

/// What a subject needs of a machine, whichever role it has.
trait Machine: Send {
    fn handle_datagram(&mut self, now: Now, datagram: &Datagram);
    fn handle_timeout(&mut self, now: Now);
    fn poll_transmit(&mut self) -> Option<Datagram>;
    fn poll_event(&mut self) -> Option<Event>;
    fn poll_timeout(&self) -> Option<Instant>;
    fn command(&mut self, now: Now, request: &str) -> command::Answer;
}

macro_rules! machine {
    ($type:ty, $command:path) => {
        impl Machine for $type {
            fn handle_datagram(&mut self, now: Now, datagram: &Datagram) {
                <$type>::handle_datagram(self, now, datagram);
            }

            fn handle_timeout(&mut self, now: Now) {
                <$type>::handle_timeout(self, now);
            }

            fn poll_transmit(&mut self) -> Option<Datagram> {
                <$type>::poll_transmit(self)
            }

            fn poll_event(&mut self) -> Option<Event> {
                <$type>::poll_event(self)
            }

            fn poll_timeout(&self) -> Option<Instant> {
                <$type>::poll_timeout(self)
            }

            fn command(&mut self, now: Now, request: &str) -> command::Answer {
                $command(self, now, request)
            }
        }
    };
}

machine!(KeyServer, command::ks);
machine!(GroupMember, command::gm);

impl<M: Machine> Subject<M> {
    fn new(machine: M) -> Self {
        let mut subject = Self { machine, log: VecDeque::new(), groups: BTreeSet::new(), ended: false };
        subject.take_events();
        subject
    }

    fn take_events(&mut self) {
        while let Some(event) = self.machine.poll_event() {
            match &event.kind {
                EventKind::MulticastJoin { group_address, .. } => {
                    self.groups.insert(*group_address);
                }
                EventKind::MulticastLeave { group_address, .. } => {
                    self.groups.remove(group_address);
                }
                _ => {}
            }
            self.log.push_back(event.to_string());
        }
    }
}

impl<M: Machine> LabSubject for Subject<M> {
    fn handle_datagram(&mut self, now: Now, datagram: &Datagram) {
        if !self.ended {
            self.machine.handle_datagram(now, datagram);
            self.take_events();
        }
    }

    fn handle_timeout(&mut self, now: Now) {
        if !self.ended {
            self.machine.handle_timeout(now);
            self.take_events();
        }
    }

    fn poll_transmit(&mut self) -> Option<Datagram> {
        self.machine.poll_transmit()
    }

    fn poll_timeout(&self) -> Option<Instant> {
        if self.ended { None } else { self.machine.poll_timeout() }
    }

    fn poll_log(&mut self) -> Option<String> {
        self.log.pop_front()
    }

    fn multicast_groups(&self) -> Vec<IpAddr> {
        self.groups.iter().copied().collect()
    }

    fn command(&mut self, now: Now, request: &str) -> Result<String, String> {
        let answer = self.machine.command(now, request);
        self.take_events();
        self.ended |= answer.shutdown;
        Ok(answer.reply.to_string())
    }
}
