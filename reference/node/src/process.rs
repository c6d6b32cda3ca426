//! The process: a machine, its ports, its clock, its console and its log.

use std::io::{self, Write as _};
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use hallmark_control::{ConfigError as MachineError, EventKind, GmConfig, GroupMember, KeyServer};
use hallmark_core::{Instant, Now, Rng};
use hallmark_net::{Clock, NetError, PortSet, UdpOptions, entropy};
use serde_json::{Value, json};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{Notify, oneshot};

use crate::bridge::{Bridge, BridgeError};
use crate::config::{self, ConfigError, ProcessConfig, Setup};
use crate::console::{Console, Request};
use crate::hosted::Hosted;
use crate::log::{self, Level, Log};
use crate::member::Member;
use crate::plane::configured;
use crate::told::Told;

/// Datagrams that are taken in before the loop looks at anything else.
const BATCH: usize = 64;
/// The longest time that writing the last answer may take.
const FAREWELL: Duration = Duration::from_secs(1);
/// The pause before a timeout that has been handled and is due again at once.
const STUCK_PAUSE: Duration = Duration::from_millis(10);

/// Settings of a process that are no part of its configuration file.
#[derive(Clone, Debug, Default)]
pub struct RunOptions {
    /// The log, which goes to standard error.
    pub log: log::Options,
    /// Ends the process when standard input closes, so that it never outlives a supervisor that was killed.
    pub follow_stdin: bool,
}

/// Says why a process could not start or go on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NodeError {
    /// The configuration is wrong.
    #[error("{0}")]
    Config(#[from] ConfigError),
    /// The machine refuses the configuration.
    #[error("{0}")]
    Machine(#[from] MachineError),
    /// A port could not be opened or read.
    #[error("{0}")]
    Net(#[from] NetError),
    /// The control socket could not be made.
    #[error("cannot make the control socket {}: {source}", path.display())]
    Console {
        /// Where.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// The data plane could not be put between its ports.
    #[error("{0}")]
    Bridge(#[from] BridgeError),
    /// The event loop could not be set up.
    #[error("cannot start the event loop: {0}")]
    Runtime(#[source] io::Error),
}

/// Runs a key server from its configuration file until it is told to end.
///
/// # Errors
/// When it cannot start: nothing has been sent then.
pub fn run_ks(path: &Path, options: &RunOptions) -> Result<(), NodeError> {
    let Setup { mut machine, limits, process, .. } = config::ks_from_file(path)?;
    run(&process, options, |rng, clock, bound| {
        for address in &mut machine.listen {
            *address = bound.of(*address);
        }
        let main = machine.listen.first().map_or(0, SocketAddr::port);
        for kek in machine.groups.iter_mut().filter_map(|group| group.kek.as_mut()) {
            if kek.source_port == 0 {
                kek.source_port = main;
            }
        }
        Ok(KeyServer::new(machine, limits, rng, clock.now())?)
    })
}

/// Runs a group member from its configuration file until it is told to end.
///
/// # Errors
/// When it cannot start: nothing has been sent then.
pub fn run_gm(path: &Path, options: &RunOptions) -> Result<(), NodeError> {
    let setup = config::gm_from_file(path)?;
    let process = setup.process.clone();
    run(&process, options, |rng, clock, bound| {
        let mut setup = setup;
        setup.machine.listen = bound.of(setup.machine.listen);
        match &setup.data {
            Some(_) => bridged(setup, rng, clock),
            None => Ok(Member::start(setup, rng, clock.now())?),
        }
    })
}

/// Makes a member whose data plane runs between the ports that its configuration names.
fn bridged(setup: Setup<GmConfig>, rng: Rng, clock: Clock) -> Result<Member, NodeError> {
    let Setup { machine, limits, process, data } = setup;
    let plane = rng.fork("data plane");
    let control = GroupMember::new(machine, limits, rng, clock.now())?;
    let Some(data) = data else { return Ok(Member::new(control, None, &plane, clock.now(), process.test)) };
    let config = configured(data.plane.clone(), &control);
    let bridge = Bridge::open(&data, &config, &plane, clock)?;
    Ok(Member::controlling(control, Box::new(bridge), &config, clock.now(), process.test))
}

/// Pairs each wanted address with the one that was opened for it: port 0 takes a free one.
struct Bound(Vec<(SocketAddr, SocketAddr)>);

impl Bound {
    fn of(&self, wanted: SocketAddr) -> SocketAddr {
        self.0.iter().find(|(asked, _)| *asked == wanted).map_or(wanted, |(_, opened)| *opened)
    }
}

fn run<M: Hosted>(
    config: &ProcessConfig,
    options: &RunOptions,
    build: impl FnOnce(Rng, Clock, &Bound) -> Result<M, NodeError>,
) -> Result<(), NodeError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(NodeError::Runtime)?;
    runtime.block_on(async {
        // Ports come first: a machine that starts to talk at once must find them open.
        let mut ports = PortSet::new(UdpOptions::default())?;
        let mut bound = Bound(Vec::new());
        for address in &config.listen {
            bound.0.push((*address, ports.open(*address)?));
        }
        let clock = Clock::start(config.clock_rate);
        let rng = Rng::from_seed(config.seed.map_or_else(entropy::seed, Ok)?);
        let console = match &config.control {
            Some(path) => {
                let failed = |source| NodeError::Console { path: path.clone(), source };
                Some(Console::open(path).map_err(failed)?)
            }
            None => None,
        };
        let machine = build(rng, clock, &bound)?;
        let node = Node {
            machine,
            clock,
            listen: bound.0.first().map(|(_, opened)| *opened),
            interface: config.multicast_interface,
            log: Log::new(io::stderr(), options.log),
            unsent: 0,
            stuck: None,
        };
        #[expect(
            deprecated,
            reason = "its successor is an unsafe function; what that asks for holds: the set owns one descriptor for life"
        )]
        let ports = AsyncFd::with_interest(ports, Interest::READABLE).map_err(NodeError::Runtime)?;
        announce::<M>(ports.get_ref(), config);
        serve(node, ports, console, options.follow_stdin).await
    })
}

struct Node<M> {
    machine: M,
    clock: Clock,
    listen: Option<SocketAddr>,
    interface: Option<IpAddr>,
    log: Log<io::Stderr>,
    unsent: u64,
    stuck: Option<Instant>,
}

async fn serve<M: Hosted>(
    mut node: Node<M>,
    mut ports: AsyncFd<PortSet>,
    mut console: Option<Console>,
    follow_stdin: bool,
) -> Result<(), NodeError> {
    let mut terminate = signal(SignalKind::terminate()).map_err(NodeError::Runtime)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(NodeError::Runtime)?;
    let mut stdin = follow_stdin.then(stdin_closed);
    let ready = node.machine.ready();
    let mut ended = false;
    loop {
        node.drain(ports.get_mut());
        node.log.flush();
        if ended {
            return Ok(());
        }
        let pause = node.pause();
        tokio::select! {
            biased;
            _ = terminate.recv() => { node.end("SIGTERM"); ended = true; }
            _ = interrupt.recv() => { node.end("SIGINT"); ended = true; }
            () = wait_for(&mut stdin) => { node.end("end of standard input"); ended = true; }
            Some(request) = next_request(&mut console) => {
                let written = node.answer(request, ports.get_ref());
                ended = written.is_some();
                if let Some(written) = written {
                    // The process would be gone before the operator has read that it goes.
                    let _ = tokio::time::timeout(FAREWELL, written).await;
                }
            }
            ready = ports.readable_mut() => {
                let mut ready = ready.map_err(NodeError::Runtime)?;
                if node.take_in(ready.get_inner_mut()) {
                    ready.clear_ready();
                }
            }
            () = notified(ready.as_deref()) => node.machine.attend(node.clock.now()),
            () = sleep(pause) => {}
        }
        node.time_out();
    }
}

impl<M: Hosted> Node<M> {
    /// Takes in a batch of datagrams; says whether there are no more for now.
    fn take_in(&mut self, ports: &mut PortSet) -> bool {
        for _ in 0..BATCH {
            match ports.recv() {
                Ok(Some(datagram)) => {
                    self.machine.handle_datagram(self.clock.now(), &datagram);
                    self.drain(ports);
                }
                Ok(None) => return true,
                Err(error) => {
                    self.log.message(self.clock.now(), Level::Error, &error.to_string());
                    return true;
                }
            }
        }
        false
    }

    /// Sends and tells everything that the machine has to send and tell.
    fn drain(&mut self, ports: &mut PortSet) {
        while let Some(datagram) = self.machine.poll_transmit() {
            if let Err(error) = ports.send(&datagram) {
                self.unsent += 1;
                self.log.message(self.clock.now(), Level::Warn, &error.to_string());
            }
        }
        while let Some(event) = self.machine.poll_event().map(Into::<Told>::into) {
            if let Some(kind) = event.control() {
                self.follow(kind, ports);
            }
            let level = event.level();
            if self.log.wants(level) {
                self.log.event(self.clock.now(), level, &event);
            }
        }
    }

    /// Does what an event asks of the ports.
    fn follow(&mut self, kind: &EventKind, ports: &mut PortSet) {
        let port = self.listen.map_or(0, |listen| listen.port());
        match kind {
            EventKind::MulticastJoin { group_address, interface, .. } => {
                let interface = interface.or(self.interface).or(self.listen.map(|listen| listen.ip()));
                let Some(interface) = interface else { return };
                if let Err(error) = ports.join(SocketAddr::new(*group_address, port), interface) {
                    self.log.message(self.clock.now(), Level::Error, &error.to_string());
                }
            }
            EventKind::MulticastLeave { group_address, .. } => ports.leave(SocketAddr::new(*group_address, port)),
            _ => {}
        }
    }

    /// Hands in a timeout that is due.
    fn time_out(&mut self) {
        let now = self.clock.now();
        let Some(due) = self.machine.poll_timeout() else { return };
        if due > now.mono {
            return;
        }
        self.machine.handle_timeout(now);
        let again = self.machine.poll_timeout();
        // A timeout that stays where it was would spin the loop.
        self.stuck = again.filter(|again| *again == due);
    }

    /// Says how long to sleep.
    fn pause(&self) -> Option<Duration> {
        let due = self.machine.poll_timeout()?;
        let pause = self.clock.real_time_until(due);
        Some(if self.stuck == Some(due) { pause.max(STUCK_PAUSE) } else { pause })
    }

    /// Answers the console. If the process is to end, gives what to wait for before it does.
    fn answer(&mut self, request: Request, ports: &PortSet) -> Option<oneshot::Receiver<()>> {
        let now = self.clock.now();
        let mut answer = self.machine.command(now, &request.text);
        if answer.reply.get("status").is_some()
            && let Value::Object(reply) = &mut answer.reply
        {
            reply.insert("process".to_owned(), self.process_status(now, ports));
        }
        // An operator that went away needs no answer.
        let _ = request.answer.send(answer.reply.to_string());
        if answer.shutdown {
            self.log.message(now, Level::Info, "ends: asked to by the console");
        }
        answer.shutdown.then_some(request.written)
    }

    fn process_status(&self, now: Now, ports: &PortSet) -> Value {
        json!({
            "role": M::ROLE,
            "version": env!("CARGO_PKG_VERSION"),
            "pid": std::process::id(),
            "uptime_secs": now.mono.as_secs_f64(),
            "clock_rate": self.clock.rate(),
            "listen": ports.addresses().collect::<Vec<_>>(),
            "multicast_groups": ports.groups().collect::<Vec<_>>(),
            "unsent_datagrams": self.unsent,
            "suppressed_log_lines": self.log.suppressed(),
        })
    }

    fn end(&mut self, why: &str) {
        let now = self.clock.now();
        self.log.message(now, Level::Info, &format!("ends: {why}"));
        self.machine.farewell(now);
    }
}

/// Tells a supervisor that every port is open, as one line of JSON on standard output.
fn announce<M: Hosted>(ports: &PortSet, config: &ProcessConfig) {
    let line = json!({
        "ready": true,
        "role": M::ROLE,
        "listen": ports.addresses().collect::<Vec<_>>(),
        "control": config.control,
        "pid": std::process::id(),
    });
    let mut out = io::stdout();
    // Nobody has to listen.
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
}

async fn next_request(console: &mut Option<Console>) -> Option<Request> {
    match console {
        Some(console) => console.next().await,
        None => std::future::pending().await,
    }
}

async fn notified(ready: Option<&Notify>) {
    match ready {
        Some(ready) => ready.notified().await,
        None => std::future::pending().await,
    }
}

async fn sleep(pause: Option<Duration>) {
    match pause {
        Some(pause) => tokio::time::sleep(pause).await,
        None => std::future::pending().await,
    }
}

async fn wait_for(closed: &mut Option<oneshot::Receiver<()>>) {
    match closed {
        Some(receiver) => {
            let _ = receiver.await;
        }
        None => std::future::pending().await,
    }
}

/// Watches standard input from a thread of its own, because a terminal or file cannot be polled.
fn stdin_closed() -> oneshot::Receiver<()> {
    let (sender, receiver) = oneshot::channel();
    std::thread::spawn(move || {
        let _ = io::copy(&mut io::stdin(), &mut io::sink());
        let _ = sender.send(());
    });
    receiver
}
