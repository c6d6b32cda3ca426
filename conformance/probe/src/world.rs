//! The one thing that a case sees of where it runs.
//!
//! A case is written once and runs in every world: the lab in virtual time, processes over real sockets, a device on
//! a wire. It asks the world for addresses and time, sends and receives datagrams, starts and stops its subject from
//! a configuration text, and gives commands where the subject has a console.

use std::net::SocketAddr;

use hallmark_core::{Datagram, Instant, Rng, UnixTime};
pub use hallmark_evidence::KeyRecord;

/// Says whose address is meant.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Party {
    /// The n-th node under test (0 is the usual one).
    Subject(u8),
    /// The n-th end of the tester.
    Tester(u8),
    /// The n-th multicast group that the case may use.
    Group(u8),
}

/// Says what the subject is to be.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Role {
    /// Key server.
    Ks,
    /// Group member.
    Gm,
}

/// Names a data port of a group member: where its own hosts are, or where everybody else is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Side {
    /// The protected network behind the member: packets are in clear.
    Lan,
    /// The network between the members: packets of a permitted class are ESP.
    Wan,
}

impl Side {
    /// Gives the other port.
    #[must_use]
    pub const fn other(self) -> Self {
        match self {
            Self::Lan => Self::Wan,
            Self::Wan => Self::Lan,
        }
    }

    /// Gives the name as captures write it, without the number of the subject: `lan` or `wan`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Lan => "lan",
            Self::Wan => "wan",
        }
    }
}

impl std::fmt::Display for Side {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(match self {
            Self::Lan => "LAN",
            Self::Wan => "WAN",
        })
    }
}

/// Is a packet that left a data port of a subject.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Carried {
    /// When.
    pub at: Instant,
    /// The whole IP packet, without link header.
    pub packet: Vec<u8>,
}

/// Explains why a world cannot do what was asked.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Unavailable {
    /// This world has no such facility (a device without console, sockets without raw access): the case is n/a here.
    NotHere(String),
    /// It should have worked: the subject did not start, refused the configuration or died.
    Failed(String),
}

impl std::fmt::Display for Unavailable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::NotHere(why) => write!(f, "not available here: {why}"),
            Self::Failed(why) => write!(f, "failed: {why}"),
        }
    }
}

impl std::error::Error for Unavailable {}

/// Is where a case runs.
///
/// Time is the world's own: virtual in the lab, scaled where a process runs with a faster clock, real for a device.
/// `recv`, `recv_at`, `carried` and `rest` are the only calls that let time pass.
pub trait World {
    /// Tells the time.
    fn now(&self) -> Instant;

    /// Tells the wall clock of the tester.
    fn wall(&self) -> UnixTime;

    /// Gives the address and GDOI port of a party.
    fn address(&self, party: Party) -> SocketAddr;

    /// Sends a datagram; `src` must be an address of a tester party (any port).
    fn send(&mut self, datagram: Datagram);

    /// Sends a whole IP packet as it stands, for fragments and forged sources.
    ///
    /// # Errors
    /// `NotHere` where raw packets cannot be sent.
    fn send_ip(&mut self, packet: Vec<u8>) -> Result<(), Unavailable>;

    /// Waits for the next datagram to any address and port of the tester, until `deadline`.
    ///
    /// Datagrams to ports that the tester never sent from or listened on are received too, in so far as the world can.
    fn recv(&mut self, deadline: Instant) -> Option<Datagram>;

    /// Waits for the next datagram to one tester party (any port, and the multicast groups that it joined), until
    /// `deadline`. What arrives for other parties meanwhile stays queued for them, so that several ends of the tester
    /// can take turns. A deadline that is not ahead only takes what is queued.
    fn recv_at(&mut self, tester: Party, deadline: Instant) -> Option<Datagram>;

    /// Lets time pass until `until`. What arrives meanwhile stays queued.
    fn rest(&mut self, until: Instant);

    /// Opens a further port of a tester party for receiving (its GDOI port is always open).
    ///
    /// # Errors
    /// `NotHere` or `Failed` when the port cannot be had.
    fn listen(&mut self, address: SocketAddr) -> Result<(), Unavailable>;

    /// Makes a tester party receive what is sent to a multicast group.
    ///
    /// # Errors
    /// `NotHere` where multicast does not reach the tester.
    fn join(&mut self, tester: Party, group: SocketAddr) -> Result<(), Unavailable>;

    /// Starts the n-th subject from its configuration text (`ks.toml` or `gm.toml`), replacing one that runs.
    ///
    /// # Errors
    /// `NotHere` where the subject cannot be configured so, `Failed` when it does not start.
    fn start(&mut self, subject: u8, role: Role, config: &str) -> Result<(), Unavailable>;

    /// Stops the n-th subject at once, without farewell, as a crash would.
    ///
    /// # Errors
    /// `NotHere` where that cannot be done.
    fn crash(&mut self, subject: u8) -> Result<(), Unavailable>;

    /// Gives a command to the n-th subject's console and returns its answer, both JSON objects.
    ///
    /// # Errors
    /// `NotHere` where there is no console, `Failed` when the command is refused.
    fn command(&mut self, subject: u8, request: &str) -> Result<String, Unavailable>;

    /// Lets a whole IP packet arrive at a data port of the n-th subject, from a host on that side.
    ///
    /// # Errors
    /// `NotHere` where nothing is connected to the data ports of the subject, `Failed` when it does not run.
    fn inject(&mut self, subject: u8, side: Side, packet: Vec<u8>) -> Result<(), Unavailable> {
        let _ = (subject, side, packet);
        Err(Unavailable::NotHere("nothing is connected to the data ports".to_owned()))
    }

    /// Waits for the next packet that leaves the n-th subject on one side, until `deadline`. What leaves on the other
    /// side, and datagrams to the tester, stay queued meanwhile. A deadline that is not ahead only takes what is
    /// queued.
    fn carried(&mut self, subject: u8, side: Side, deadline: Instant) -> Option<Carried> {
        let _ = (subject, side);
        self.rest(deadline);
        None
    }

    /// Sets the wall clock of the n-th subject forward (or back), as a correction by NTP does. Its monotonic time goes
    /// on as before.
    ///
    /// # Errors
    /// `NotHere` where the clock of the subject cannot be set.
    fn step_wall(&mut self, subject: u8, seconds: i64) -> Result<(), Unavailable> {
        let _ = (subject, seconds);
        Err(Unavailable::NotHere("the clock of the subject cannot be set from here".to_owned()))
    }

    /// Lends the case's randomness. Everything that a case invents comes from here.
    fn rng(&mut self) -> &mut Rng;

    /// Keeps a key for the evidence.
    fn keys(&mut self, record: KeyRecord);

    /// Writes a remark into the evidence, beside the frame that was sent or received last.
    fn note(&mut self, text: &str);
}
