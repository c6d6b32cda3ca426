//! A group member as a bump in the wire: threads that carry frames between a LAN port and a WAN port through the data
//! plane.
//!
//! Each worker has a thread, a port on either side and a data plane of its own; all of them share sequence numbers and
//! replay windows. Packets between two hosts always meet the same worker. The control plane speaks to the workers
//! between two bursts: policy, commands and steps of the clock go in, events come out. Nothing that a port receives can
//! stop a worker; a port that fails is told of and tried again.
//!
//! What is no IP packet, ARP above all, passes unchanged in both directions. Frames keep their link header, so that a
//! bridge is invisible to its neighbours.

mod link;
mod merge;
mod worker;

use std::io::{self, Write as _};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, Sender, SyncSender};
use std::thread::JoinHandle;
use std::time::Duration;

use hallmark_core::Rng;
use hallmark_datapath::{Config, Datapath, Side};
use hallmark_net::{Clock, FramePort, NetError, PortSpec, frame};
use serde_json::{Value, json};
use tokio::sync::Notify;

use crate::config::{DataSetup, PortKind, PortSetup};
use crate::plane::{PlaneCommand, PlaneUpdate, RemoteEvent, RemotePlane};
use worker::Worker;

/// Events that wait to be taken from the workers; a worker whose event finds the queue full counts it.
const EVENTS: usize = 1_024;
/// How long a worker may take to answer a command: it does so between two bursts.
const ANSWER: Duration = Duration::from_secs(2);

/// Says why a bridge could not be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BridgeError {
    /// A port could not be opened.
    #[error("{side} port: {source}", side = name(*side))]
    Port {
        /// Which.
        side: Side,
        /// Why not.
        source: NetError,
    },
    /// Ports of kind `lab` carry nothing between interfaces.
    #[error("ports of kind lab are for the lab; [data] lan and wan name packet, xdp or tun ports in a process")]
    Lab,
    /// One side has a link header and the other has none.
    #[error("{lan} carries Ethernet frames and {wan} bare IP packets, or the other way round: both must be alike")]
    LinkHeaders {
        /// The LAN interface.
        lan: String,
        /// The WAN interface.
        wan: String,
    },
    /// An interface carries less than the configuration says.
    #[error("[data] {key} = {wanted}, but {interface} carries packets of at most {mtu} octets")]
    Mtu {
        /// The key of the configuration.
        key: &'static str,
        /// What it says.
        wanted: u16,
        /// The interface.
        interface: String,
        /// What the interface carries.
        mtu: u16,
    },
    /// A thread could not be started.
    #[error("cannot start a worker: {0}")]
    Thread(#[from] io::Error),
}

/// Carries frames until it is dropped.
pub struct Bridge {
    workers: Vec<Handle>,
    events: Receiver<RemoteEvent>,
    ready: Arc<Notify>,
    ports: [PortSetup; 2],
    mtus: [u16; 2],
}

impl Bridge {
    /// Opens the ports that the configuration names, in the network namespace of this thread, and starts the workers.
    /// Without a policy they do what the configuration says for the time before registration.
    ///
    /// # Errors
    /// When a port cannot be opened or does not fit the other or the configuration; nothing runs then.
    pub fn open(setup: &DataSetup, config: &Config, rng: &Rng, clock: Clock) -> Result<Self, BridgeError> {
        let workers = u16::from(config.workers.max(1));
        let open = |side, port: &PortSetup, mtu| -> Result<Vec<Box<dyn FramePort>>, BridgeError> {
            let spec = PortSpec {
                mtu: Some(mtu),
                offload: port.offload,
                ..PortSpec::new(kind(port.kind)?, port.interface.as_str())
            };
            frame::open_workers(&spec, workers).map_err(|source| BridgeError::Port { side, source })
        };
        let lan = open(Side::Lan, &setup.lan, config.lan_mtu)?;
        let wan = open(Side::Wan, &setup.wan, config.wan_mtu)?;
        let mtus =
            [fitting("lan_mtu", config.lan_mtu, &setup.lan, &lan)?, fitting("mtu", config.wan_mtu, &setup.wan, &wan)?];
        let ports: Vec<[Box<dyn FramePort>; 2]> = lan.into_iter().zip(wan).map(|(lan, wan)| [lan, wan]).collect();
        if ports.iter().any(|[lan, wan]| lan.has_link_header() != wan.has_link_header()) {
            let name = |port: &PortSetup| port.interface.clone();
            return Err(BridgeError::LinkHeaders { lan: name(&setup.lan), wan: name(&setup.wan) });
        }
        let (sender, events) = mpsc::sync_channel(EVENTS);
        let ready = Arc::new(Notify::new());
        let names = [setup.lan.clone(), setup.wan.clone()];
        let mut bridge = Self { workers: Vec::new(), events, ready, ports: names, mtus };
        let now = clock.now();
        let stream = |number: u16| rng.fork(&format!("worker {number}"));
        let first = Datapath::new(config.clone(), stream(0), now);
        let others: Vec<Datapath> = (1..workers).map(|number| first.worker(stream(number), now)).collect();
        let planes = std::iter::once(first).chain(others);
        for (number, (ports, plane)) in ports.into_iter().zip(planes).enumerate() {
            let worker = Worker::new(ports, plane, config, clock, sender.clone(), Arc::clone(&bridge.ready));
            bridge.workers.push(Handle::start(number, worker)?);
        }
        Ok(bridge)
    }

    fn show_ports(&self, counters: &[worker::Counters]) -> Value {
        let show = |index: usize| {
            let mut shown = json!({});
            for worker in counters {
                merge::add(&mut shown, worker.of(index));
            }
            if let (Value::Object(fields), Some(port), Some(mtu)) =
                (&mut shown, self.ports.get(index), self.mtus.get(index))
            {
                let kind = kind(port.kind).map_or("lab", frame::PortKind::as_str);
                fields.insert("kind".to_owned(), kind.into());
                fields.insert("interface".to_owned(), port.interface.as_str().into());
                fields.insert("mtu".to_owned(), (*mtu).into());
            }
            shown
        };
        json!({ "lan": show(0), "wan": show(1) })
    }
}

impl RemotePlane for Bridge {
    fn update(&mut self, update: &PlaneUpdate) {
        for worker in &mut self.workers {
            worker.tell(Order::Update(update.clone()));
        }
    }

    /// Asks every worker and joins the answers to one: counters are sums. A status shows the ports as well.
    fn command(&mut self, command: &PlaneCommand) -> Result<Value, String> {
        let (sender, answers) = mpsc::sync_channel(self.workers.len());
        for (number, worker) in self.workers.iter_mut().enumerate() {
            worker.tell(Order::Command(command.clone(), number, sender.clone()));
        }
        drop(sender);
        let mut answered: Vec<Option<Answer>> = self.workers.iter().map(|_| None).collect();
        while let Ok((number, answer)) = answers.recv_timeout(ANSWER) {
            if let Some(place) = answered.get_mut(number) {
                *place = Some(answer);
            }
        }
        let silent = answered.iter().filter(|answer| answer.is_none()).count();
        if silent > 0 {
            return Err(format!("{silent} of {} workers did not answer", answered.len()));
        }
        let (planes, counters): (Vec<_>, Vec<_>) =
            answered.into_iter().flatten().map(|answer| (answer.plane, answer.counters)).unzip();
        let planes = planes.into_iter().collect::<Result<Vec<Value>, String>>()?;
        let workers = planes.len();
        let mut joined = merge::join(planes);
        if let (PlaneCommand::Status, Value::Object(fields)) = (command, &mut joined) {
            fields.insert("workers".to_owned(), workers.into());
            fields.insert("ports".to_owned(), self.show_ports(&counters));
        }
        Ok(joined)
    }

    fn poll_event(&mut self) -> Option<RemoteEvent> {
        self.events.try_recv().ok()
    }

    fn ready(&self) -> Arc<Notify> {
        Arc::clone(&self.ready)
    }
}

impl Drop for Bridge {
    fn drop(&mut self) {
        for worker in &mut self.workers {
            worker.tell(Order::Stop);
        }
        for worker in &mut self.workers {
            if let Some(thread) = worker.thread.take() {
                // A worker that panicked has said so on standard error.
                let _ = thread.join();
            }
        }
    }
}

/// What a worker is told between two bursts.
enum Order {
    Update(PlaneUpdate),
    /// With the number of the worker and where to put the answer.
    Command(PlaneCommand, usize, SyncSender<(usize, Answer)>),
    Stop,
}

/// What a worker answers to a command.
struct Answer {
    plane: Result<Value, String>,
    counters: worker::Counters,
}

/// Ends the process when a worker panics: a member that is registered and forwards nothing is worse than one that is
/// gone.
struct EndWithWorker;

impl Drop for EndWithWorker {
    fn drop(&mut self) {
        if std::thread::panicking() {
            // The panic has been told on standard error. 70 is what a bug of the program itself ends with.
            std::process::exit(70);
        }
    }
}

/// A running worker, from outside.
struct Handle {
    orders: Sender<Order>,
    /// An octet in here ends the worker's sleep.
    bell: UnixStream,
    thread: Option<JoinHandle<()>>,
}

impl Handle {
    fn start(number: usize, worker: Worker) -> io::Result<Self> {
        let (orders, inbox) = mpsc::channel();
        let (bell, ear) = UnixStream::pair()?;
        bell.set_nonblocking(true)?;
        ear.set_nonblocking(true)?;
        let thread = std::thread::Builder::new().name(format!("bridge {number}"));
        let thread = thread.spawn(move || {
            let _end = EndWithWorker;
            worker.run(&inbox, &ear);
        })?;
        Ok(Self { orders, bell, thread: Some(thread) })
    }

    fn tell(&mut self, order: Order) {
        // A worker that is gone hears nothing, and a full bell is loud enough.
        let _ = self.orders.send(order);
        let _ = self.bell.write(&[1]);
    }
}

fn kind(kind: PortKind) -> Result<frame::PortKind, BridgeError> {
    match kind {
        PortKind::Lab => Err(BridgeError::Lab),
        PortKind::Packet => Ok(frame::PortKind::Packet),
        PortKind::Xdp => Ok(frame::PortKind::Xdp),
        PortKind::Tun => Ok(frame::PortKind::Tun),
    }
}

const fn name(side: Side) -> &'static str {
    match side {
        Side::Lan => "LAN",
        Side::Wan => "WAN",
    }
}

fn fitting(
    key: &'static str,
    wanted: u16,
    port: &PortSetup,
    opened: &[Box<dyn FramePort>],
) -> Result<u16, BridgeError> {
    let mtu = opened.first().map_or(wanted, |port| port.mtu());
    if wanted > mtu {
        return Err(BridgeError::Mtu { key, wanted, interface: port.interface.clone(), mtu });
    }
    Ok(mtu)
}
