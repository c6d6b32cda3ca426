//! A whole group member, sans-I/O: the control plane of [`GroupMember`] and, where `[data]` asks for it, a data plane.
//!
//! The data plane gets its policy from the control plane whenever that changes, and gives back what only the control
//! plane can mend: sender ids that have run out, and SPIs of the group that it does not know. It runs inside the member
//! ([`Member::new`], as in the lab) or in workers of its own around real ports ([`Member::controlling`]), behind a
//! [`RemotePlane`].

use std::collections::VecDeque;
use std::sync::Arc;

use hallmark_control::{GmCommand, GmConfig, GroupMember, Machine};
use hallmark_core::{Datagram, Instant, Now, Rng, UnixTime};
use hallmark_datapath::{Batch, Config, Datapath, Event as PlaneEvent, EventKind as PlaneEventKind, Fate, Pool, Side};
use serde_json::Value;
use tokio::sync::Notify;

use crate::command;
use crate::config::{DataSetup, Setup};
use crate::hosted::Hosted;
use crate::plane::{DataEvent, PlaneCommand, PlaneUpdate, PolicyFeed, RemoteEvent, RemotePlane, configured, earlier};
use crate::told::Told;

/// Packets of a member that nobody drives in bursts: one comes in, its pieces go out, fragments wait.
const POOL: usize = 1_024;
/// Packets that wait to be taken out.
const OUTBOX: usize = 4_096;
/// Events of the data plane that wait to be taken.
const EVENTS: usize = 1_024;

/// Is a group member. Drive it like the machines of `hallmark_control`; packets have functions of their own.
pub struct Member {
    control: GroupMember,
    plane: Plane,
    feed: PolicyFeed,
    /// How far the wall clock was set by commands, in nanoseconds.
    wall_step: i64,
    /// The configuration has switches for tests, so that commands for tests are fine.
    test: bool,
    /// Switches of the data plane that are on, for the status.
    switches: Switches,
    told: VecDeque<Told>,
    lost: u64,
}

/// Says where the data plane is.
enum Plane {
    /// There is none.
    None,
    /// Inside the member.
    Inside(Box<Inside>),
    /// In workers that take updates.
    Elsewhere(Box<dyn RemotePlane>),
}

/// Is a data plane with what it works on.
struct Inside {
    datapath: Datapath,
    pool: Pool,
    batch: Batch,
    outbox: VecDeque<(Side, Vec<u8>)>,
}

/// Names the switches of a data plane.
#[derive(Clone, Default)]
struct Switches {
    defects: Vec<&'static str>,
    variants: Vec<&'static str>,
}

impl Switches {
    fn of(config: &Config) -> Self {
        Self { defects: config.behaviour.defect_names(), variants: config.behaviour.variant_names() }
    }
}

impl Member {
    /// Makes a member with its data plane, if it has one, inside.
    #[must_use]
    pub fn new(control: GroupMember, data: Option<&DataSetup>, rng: &Rng, now: Now, test: bool) -> Self {
        let switches = data.map(|setup| Switches::of(&setup.plane)).unwrap_or_default();
        let plane = data.map_or(Plane::None, |setup| {
            let config = configured(setup.plane.clone(), &control);
            let longest = usize::from(config.wan_mtu.max(config.lan_mtu)).max(2_048);
            Plane::Inside(Box::new(Inside {
                datapath: Datapath::new(config, rng.fork("data plane"), now),
                pool: Pool::new(POOL, longest),
                batch: Batch::new(),
                outbox: VecDeque::new(),
            }))
        });
        Self::with(control, plane, switches, now, test)
    }

    /// Makes a member from its configuration, data plane inside.
    ///
    /// # Errors
    /// What the machine refuses of the configuration.
    pub fn start(setup: Setup<GmConfig>, rng: Rng, now: Now) -> Result<Self, hallmark_control::ConfigError> {
        let Setup { machine, limits, process, data } = setup;
        let plane = rng.fork("member");
        let control = GroupMember::new(machine, limits, rng, now)?;
        Ok(Self::new(control, data.as_ref(), &plane, now, process.test))
    }

    /// Makes a member whose data plane runs elsewhere, with the configuration that it has.
    #[must_use]
    pub fn controlling(
        control: GroupMember,
        remote: Box<dyn RemotePlane>,
        config: &Config,
        now: Now,
        test: bool,
    ) -> Self {
        Self::with(control, Plane::Elsewhere(remote), Switches::of(config), now, test)
    }

    fn with(control: GroupMember, plane: Plane, switches: Switches, now: Now, test: bool) -> Self {
        let feed = PolicyFeed::default();
        let told = VecDeque::new();
        let mut member = Self { control, plane, feed, wall_step: 0, test, switches, told, lost: 0 };
        member.follow(now);
        member
    }

    /// Does what an operator asks for.
    pub fn handle_command(&mut self, now: Now, command: GmCommand) {
        let now = self.stepped(now);
        self.control.handle_command(now, command);
        self.follow(now);
    }

    /// Asks something of the data plane inside.
    ///
    /// # Errors
    /// When there is none, or why it cannot be done.
    pub fn plane_command(&mut self, now: Now, command: &PlaneCommand) -> Result<Value, String> {
        let now = self.stepped(now);
        match &mut self.plane {
            Plane::Inside(inside) => command.run(&mut inside.datapath, now),
            Plane::None => Err("this member has no data plane: its configuration lacks [data]".to_owned()),
            Plane::Elsewhere(remote) => remote.command(command),
        }
    }

    /// Sets the wall clock by so many seconds, as a correction by NTP does; monotonic time goes on.
    ///
    /// # Errors
    /// When the configuration has no `[test]`.
    pub fn step_wall(&mut self, seconds: i64) -> Result<(), String> {
        if !self.test {
            return Err("the wall clock is set by commands in a test only: the configuration has no [test]".to_owned());
        }
        self.wall_step = self.wall_step.saturating_add(seconds.saturating_mul(1_000_000_000));
        if let Plane::Elsewhere(remote) = &mut self.plane {
            remote.update(&PlaneUpdate::WallStep(self.wall_step));
        }
        Ok(())
    }

    /// Shows the member: the control plane, and the data plane under `data`.
    ///
    /// # Errors
    /// When the status cannot be written as JSON.
    pub fn status(&mut self, now: Now) -> Result<Value, String> {
        let stepped = self.stepped(now);
        let mut status = serde_json::to_value(self.control.status(stepped)).map_err(|error| error.to_string())?;
        let data = match self.plane {
            Plane::None => None,
            Plane::Inside(_) | Plane::Elsewhere(_) => Some(self.plane_command(now, &PlaneCommand::Status)?),
        };
        if let (Some(data), Value::Object(fields)) = (data, &mut status) {
            fields.insert("data".to_owned(), data);
            for (key, names) in [("defects", &self.switches.defects), ("variants", &self.switches.variants)] {
                if let Some(Value::Array(list)) = fields.get_mut(key) {
                    // What one name switches in both planes is shown once.
                    let fresh = names.iter().map(|name| Value::from(*name)).filter(|name| !list.contains(name));
                    let fresh: Vec<Value> = fresh.collect();
                    list.extend(fresh);
                }
            }
        }
        Ok(status)
    }

    /// Gives the control plane.
    #[must_use]
    pub const fn control(&self) -> &GroupMember {
        &self.control
    }

    /// Tells whether the configuration has switches for tests.
    #[must_use]
    pub const fn is_test(&self) -> bool {
        self.test
    }

    /// Tells whether there is a data plane.
    #[must_use]
    pub const fn has_plane(&self) -> bool {
        !matches!(self.plane, Plane::None)
    }

    /// Counts events of the data plane that nobody took in time.
    #[must_use]
    pub const fn lost_events(&self) -> u64 {
        self.lost
    }

    fn stepped(&self, now: Now) -> Now {
        Now::new(now.mono, UnixTime(now.wall.0.saturating_add(self.wall_step)))
    }

    /// Hands the policy on when it has changed.
    fn follow(&mut self, now: Now) {
        if matches!(self.plane, Plane::None) {
            return;
        }
        while let Some(policy) = self.feed.changed(&self.control) {
            match &mut self.plane {
                Plane::Inside(inside) => inside.datapath.apply(now, &policy),
                Plane::Elsewhere(remote) => remote.update(&PlaneUpdate::Policy(policy)),
                Plane::None => {}
            }
            // What the data plane says about the policy may change it once more.
            self.listen(now);
        }
    }

    /// Takes the events of the data plane.
    fn listen(&mut self, now: Now) {
        loop {
            let event = match &mut self.plane {
                Plane::Inside(inside) => inside.datapath.poll_event().map(RemoteEvent::Plane),
                Plane::Elsewhere(remote) => remote.poll_event(),
                Plane::None => None,
            };
            match event {
                Some(RemoteEvent::Plane(event)) => self.data_event(now, event),
                Some(RemoteEvent::Port(notice)) => self.tell(Told::Port(notice)),
                None => return,
            }
        }
    }

    fn data_event(&mut self, now: Now, event: PlaneEvent) {
        match event.kind {
            // The control plane tells what comes of it.
            PlaneEventKind::Recovery { spi } => return self.control.data_plane_error(now, spi),
            PlaneEventKind::SenderIdsExhausted { .. } if self.control.sender_ids().is_some() => {
                self.control.sender_ids_exhausted(now);
            }
            PlaneEventKind::TimeReplay { .. } if self.control.config().group.recovery_interval.is_some() => {
                // The clock is that of all SAs, so any of them stands for it.
                let held = self.control.sadb().iter().next().map(|sa| sa.spi);
                if let Some(spi) = held {
                    self.control.data_plane_error(now, spi);
                }
            }
            _ => {}
        }
        self.tell(Told::Data(DataEvent { group: self.control.config().group.id, event }));
    }

    fn tell(&mut self, told: Told) {
        if self.told.len() >= EVENTS {
            self.told.pop_front();
            self.lost += 1;
        }
        self.told.push_back(told);
    }
}

impl Machine for Member {
    type Event = Told;

    fn handle_datagram(&mut self, now: Now, datagram: &Datagram) {
        let now = self.stepped(now);
        self.control.handle_datagram(now, datagram);
        self.follow(now);
    }

    fn handle_timeout(&mut self, now: Now) {
        let now = self.stepped(now);
        self.control.handle_timeout(now);
        if let Plane::Inside(inside) = &mut self.plane
            && inside.datapath.poll_timeout().is_some_and(|due| due <= now.mono)
        {
            inside.datapath.handle_timeout(now, &mut inside.pool);
        }
        self.listen(now);
        self.follow(now);
    }

    fn poll_transmit(&mut self) -> Option<Datagram> {
        self.control.poll_transmit()
    }

    fn poll_event(&mut self) -> Option<Told> {
        self.control.poll_event().map(Told::Control).or_else(|| self.told.pop_front())
    }

    fn poll_timeout(&self) -> Option<Instant> {
        let plane = match &self.plane {
            Plane::Inside(inside) => inside.datapath.poll_timeout(),
            Plane::None | Plane::Elsewhere(_) => None,
        };
        earlier(self.control.poll_timeout(), plane)
    }
}

impl Hosted for Member {
    const ROLE: &'static str = "gm";

    fn command(&mut self, now: Now, request: &str) -> command::Answer {
        command::gm(self, now, request)
    }

    fn farewell(&mut self, now: Now) {
        self.handle_command(now, GmCommand::Shutdown);
    }

    fn ready(&self) -> Option<Arc<Notify>> {
        match &self.plane {
            Plane::Elsewhere(remote) => Some(remote.ready()),
            Plane::None | Plane::Inside(_) => None,
        }
    }

    fn attend(&mut self, now: Now) {
        let now = self.stepped(now);
        self.listen(now);
        self.follow(now);
    }

    fn handle_packet(&mut self, now: Now, side: Side, packet: &[u8]) {
        let now = self.stepped(now);
        let Plane::Inside(inside) = &mut self.plane else { return };
        inside.handle(now, side, packet);
        self.listen(now);
        self.follow(now);
    }

    fn poll_packet(&mut self) -> Option<(Side, Vec<u8>)> {
        match &mut self.plane {
            Plane::Inside(inside) => inside.outbox.pop_front(),
            Plane::None | Plane::Elsewhere(_) => None,
        }
    }
}

impl Inside {
    fn handle(&mut self, now: Now, side: Side, octets: &[u8]) {
        // A packet that no buffer holds is longer than any that a port hands over.
        let Some(mut packet) = self.pool.take_for(octets.len()) else { return };
        packet.received_on = side;
        if !packet.set(&[], octets) {
            return self.pool.give(packet);
        }
        if let Err(packet) = self.batch.push(packet) {
            return self.pool.give(packet);
        }
        self.datapath.handle(now, side, &mut self.batch, &mut self.pool);
        for packet in &self.batch.packets {
            if let Fate::Out(side) = packet.fate
                && self.outbox.len() < OUTBOX
            {
                self.outbox.push_back((side, packet.ip().to_vec()));
            }
        }
        self.batch.recycle(&mut self.pool);
    }
}
