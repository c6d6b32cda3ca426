//! The reference as a subject of the lab: a key server or group member made from its configuration text.

use std::collections::{BTreeSet, VecDeque};
use std::net::IpAddr;

use hallmark_control::{EventKind, KeyServer};
use hallmark_core::{Datagram, Instant, Now, Rng};
use hallmark_datapath as plane;
use hallmark_node::config::{Source, gm_from_toml, ks_from_toml};
use hallmark_node::{Hosted, Member, Told};
use hallmark_probe::world::{Role, Side};
use hallmark_runner::{LabSubject, LabSubjects};

/// Starts the reference in the lab.
#[derive(Clone, Debug, Default)]
pub(crate) struct Reference {
    /// Wrong behaviours that are switched on.
    pub(crate) defects: Vec<&'static str>,
    /// Legal differences that are switched on.
    pub(crate) variants: Vec<&'static str>,
}

impl Reference {
    /// Writes the switches as lines of the `[test]` part of a configuration text.
    pub(crate) fn test_lines(&self) -> String {
        let mut lines = String::new();
        let quoted = |names: &[&str]| names.iter().map(|name| format!("\"{name}\"")).collect::<Vec<_>>().join(", ");
        if !self.defects.is_empty() {
            lines += &format!("defects = [{}]\n", quoted(&self.defects));
        }
        if !self.variants.is_empty() {
            lines += &format!("variants = [{}]\n", quoted(&self.variants));
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
                let machine = Member::start(setup, rng, now).map_err(|error| error.to_string())?;
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

impl<M: Hosted + Send> Subject<M> {
    fn new(machine: M) -> Self {
        let mut subject = Self { machine, log: VecDeque::new(), groups: BTreeSet::new(), ended: false };
        subject.take_events();
        subject
    }

    fn take_events(&mut self) {
        while let Some(event) = self.machine.poll_event().map(Into::<Told>::into) {
            match event.control() {
                Some(EventKind::MulticastJoin { group_address, .. }) => {
                    self.groups.insert(*group_address);
                }
                Some(EventKind::MulticastLeave { group_address, .. }) => {
                    self.groups.remove(group_address);
                }
                _ => {}
            }
            self.log.push_back(event.to_string());
        }
    }
}

impl<M: Hosted + Send> LabSubject for Subject<M> {
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

    fn handle_packet(&mut self, now: Now, side: Side, packet: &[u8]) {
        if !self.ended {
            let side = match side {
                Side::Lan => plane::Side::Lan,
                Side::Wan => plane::Side::Wan,
            };
            self.machine.handle_packet(now, side, packet);
            self.take_events();
        }
    }

    fn poll_packet(&mut self) -> Option<(Side, Vec<u8>)> {
        let (side, packet) = self.machine.poll_packet()?;
        let side = match side {
            plane::Side::Lan => Side::Lan,
            plane::Side::Wan => Side::Wan,
        };
        Some((side, packet))
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
