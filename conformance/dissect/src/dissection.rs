//! The walk through a capture.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use hallmark_core::{Code, Datagram, Limits};
use hallmark_crypto::{HashAlg, hash};
use hallmark_wire::capture::{CapturedPacket, read_capture};
use hallmark_wire::gdoi::GdoiSa;
use hallmark_wire::isakmp::{ExchangeType, Flags, Fragment, Header, Message, PayloadType};

use crate::check::Verdict;
use crate::compat::{Compat, Switch};
use crate::exchange;
use crate::frame::{Frame, Kind, Protection};
use crate::ingest::{Ingest, Ingested, Received};
use crate::keyring::Keyring;
use crate::phase1;
use crate::policy::Deviations;
use crate::push;
use crate::secrets::Secrets;
use crate::sequence::Sequences;
use crate::session::{World, clear_chain, fill};

/// Ports on which everything is taken for ISAKMP.
const PORTS: [u16; 2] = [848, 500];
/// The port on which four zero octets come before ISAKMP.
const NAT_PORT: u16 = 4500;
/// Sets of IKE fragments that are open at once; the oldest gives way.
const OPEN_SETS: usize = 256;

/// Says what is allowed and what may be shown.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Options {
    /// Deviations that are allowed.
    pub compat: Compat,
    /// Whether keys are shown; otherwise only their size.
    pub show_keys: bool,
}

/// Counts what a capture holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Totals {
    /// Frames.
    pub frames: usize,
    /// ISAKMP messages, repeats included.
    pub messages: usize,
    /// Messages that are octet for octet one from before.
    pub repeats: usize,
    /// Messages that were decrypted.
    pub decrypted: usize,
    /// Encrypted messages that stayed closed.
    pub closed: usize,
    /// Frames that hold what does not decode.
    pub undecodable: usize,
    /// Frames that hold only a piece of a packet or message.
    pub pieces: usize,
    /// NAT keepalives.
    pub keepalives: usize,
    /// Frames that should hold a message and hold none.
    pub malformed: usize,
    /// Frames that hold anything else.
    pub others: usize,
    /// Checks that hold.
    pub ok: usize,
    /// Checks that do not.
    pub failed: usize,
    /// Checks that could not be made.
    pub not_checkable: usize,
}

/// Holds everything that was found out about a capture.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Dissection {
    /// One entry per frame of the capture.
    pub frames: Vec<Frame>,
    /// Allowed deviations that were needed, with the number of messages that needed them.
    pub used: BTreeMap<Switch, usize>,
    /// What is wrong with the capture itself.
    pub trouble: Option<String>,
}

impl Dissection {
    /// Reads frames in the order of the capture.
    #[must_use]
    pub fn of(packets: &[CapturedPacket], secrets: &Secrets, options: &Options) -> Self {
        let mut dissector = Dissector::new(secrets, options);
        for packet in packets {
            dissector.take(packet);
        }
        Self { frames: dissector.frames, used: dissector.world.deviations.into_used(), trouble: None }
    }

    /// Reads a pcap or pcapng file. One that breaks off is read up to there, and is not ok.
    ///
    /// # Errors
    /// When it is no such file at all.
    pub fn of_file(file: &[u8], secrets: &Secrets, options: &Options) -> Result<Self, hallmark_wire::DecodeError> {
        let capture = read_capture(file)?;
        let mut dissection = Self::of(&capture.packets, secrets, options);
        let trouble = capture.broken_tail.map(|error| format!("the capture breaks off: {error}"));
        dissection.trouble = trouble;
        Ok(dissection)
    }

    /// Tells whether every message decodes and no check failed.
    #[must_use]
    pub fn is_ok(&self) -> bool {
        self.trouble.is_none() && self.frames.iter().all(Frame::is_ok)
    }

    /// Counts.
    #[must_use]
    pub fn totals(&self) -> Totals {
        let mut totals = Totals { frames: self.frames.len(), ..Totals::default() };
        for frame in &self.frames {
            let counter = match frame.kind {
                Kind::IpFragment | Kind::IkeFragment => &mut totals.pieces,
                Kind::Keepalive => &mut totals.keepalives,
                Kind::NotOurs => &mut totals.others,
                Kind::Malformed => &mut totals.malformed,
                _ => &mut totals.messages,
            };
            *counter += 1;
            totals.undecodable += usize::from(frame.error.is_some());
            totals.repeats += usize::from(frame.repeat_of.is_some());
            match frame.protection {
                Protection::Clear => {}
                Protection::Decrypted(_) => totals.decrypted += 1,
                Protection::NotDecrypted(_) => totals.closed += 1,
            }
            for check in &frame.checks {
                match check.verdict {
                    Verdict::Ok => totals.ok += 1,
                    Verdict::Failed => totals.failed += 1,
                    Verdict::NotCheckable => totals.not_checkable += 1,
                }
            }
        }
        totals
    }

    /// Gives the switches that would explain failed checks, with the number of messages that need them.
    #[must_use]
    pub fn explaining_switches(&self) -> BTreeMap<Switch, usize> {
        let mut switches = BTreeMap::new();
        let failed = self.frames.iter().flat_map(|frame| &frame.checks).filter(|check| check.is_failed());
        for switch in failed.filter_map(|check| check.switch) {
            *switches.entry(switch).or_default() += 1;
        }
        switches
    }

    /// Gives the switches that would change legal readings into likelier ones, with the number of messages.
    #[must_use]
    pub fn suspected_switches(&self) -> BTreeMap<Switch, usize> {
        let mut switches = BTreeMap::new();
        for switch in self.frames.iter().flat_map(|frame| &frame.suspects) {
            *switches.entry(*switch).or_default() += 1;
        }
        switches
    }
}

/// Follows the conversations of a capture.
struct Dissector<'a> {
    world: World<'a>,
    ingest: Ingest,
    frames: Vec<Frame>,
    /// Digest of each message with the frame that held it first.
    seen: BTreeMap<Vec<u8>, usize>,
    /// Ends that have sent or received ISAKMP.
    ends: BTreeSet<SocketAddr>,
    sets: BTreeMap<SetKey, FragmentSet>,
}

type SetKey = (SocketAddr, SocketAddr, [u8; 16], u16);

#[derive(Default)]
struct FragmentSet {
    parts: BTreeMap<u8, (usize, Vec<u8>)>,
    last: Option<u8>,
    opened: usize,
}

impl<'a> Dissector<'a> {
    fn new(secrets: &'a Secrets, options: &Options) -> Self {
        Self {
            world: World {
                secrets,
                limits: Limits::default(),
                show_keys: options.show_keys,
                deviations: Deviations::new(options.compat.clone()),
                keyring: Keyring::new(secrets),
                sequences: Sequences::default(),
                sas: BTreeMap::new(),
                offers: BTreeMap::new(),
                rekey_ports: Vec::new(),
            },
            ingest: Ingest::default(),
            frames: Vec::new(),
            seen: BTreeMap::new(),
            ends: BTreeSet::new(),
            sets: BTreeMap::new(),
        }
    }

    fn take(&mut self, packet: &CapturedPacket) {
        let number = self.frames.len().saturating_add(1);
        let mut frame = Frame::new(number, packet.at, packet.interface, packet.octets.len());
        let captured = u32::try_from(packet.octets.len()).unwrap_or(u32::MAX);
        let cut = captured < packet.original_len;
        match self.ingest.take(number, packet) {
            Ingested::Other => {}
            Ingested::Piece => frame.kind = Kind::IpFragment,
            Ingested::Broken(error) => {
                frame.kind = Kind::Malformed;
                let why = if cut { ": the capture did not keep the whole frame" } else { "" };
                frame.fail_to_decode(error.code, format!("{error}{why}"));
            }
            Ingested::Datagram(received) => self.datagram(&mut frame, received),
        }
        self.frames.push(frame);
    }

    fn datagram(&mut self, frame: &mut Frame, received: Received) {
        let Received { datagram, pieces, remarks } = received;
        let ends = (datagram.src, datagram.dst);
        frame.ends = Some(ends);
        let on_nat_port = datagram.src.port() == NAT_PORT || datagram.dst.port() == NAT_PORT;
        let ours = on_nat_port || self.is_our_end(&datagram);
        if ours && datagram.payload == [0xff] {
            frame.kind = Kind::Keepalive;
            return;
        }
        let marked = datagram.payload.strip_prefix(&[0; 4]).filter(|rest| on_nat_port || looks_like_isakmp(rest));
        let octets = marked.unwrap_or(&datagram.payload);
        let looks = looks_like_isakmp(octets);
        // On the NAT port, anything without the marker is ESP.
        if !looks && (!ours || (on_nat_port && marked.is_none())) {
            return;
        }
        frame.octets = octets.len();
        frame.notes.extend(remarks);
        frame.pieces = pieces;
        if looks && marked.is_none() && on_nat_port {
            frame.note("on port 4500 without the marker");
        }
        self.message(frame, ends, octets);
    }

    /// Reads a whole message, or a fragment of one.
    fn message(&mut self, frame: &mut Frame, ends: (SocketAddr, SocketAddr), octets: &[u8]) {
        frame.kind = Kind::Malformed;
        frame.header = Header::decode(octets).ok();
        let message = match Message::decode(octets) {
            Ok(message) => message,
            Err(error) => return frame.fail_to_decode(error.code, error.to_string()),
        };
        let header = message.header;
        frame.kind = Kind::Exchange(header.exchange.0);
        self.ends.extend([ends.0, ends.1]);
        if header.version >> 4 != 1 {
            let detail = format!("version {}.{}", header.version >> 4, header.version & 0xf);
            return frame.fail_to_decode(Code("isakmp.version"), detail);
        }
        if header.next == PayloadType::FRAGMENT && !header.flags.contains(Flags::ENCRYPTION) {
            return self.fragment(frame, ends, &message);
        }
        let digest = hash(HashAlg::Sha256, &[octets]);
        if let Some(original) = self.seen.get(&digest).and_then(|at| self.frames.get(at.saturating_sub(1))) {
            frame.repeat_of = Some(original.number);
            frame.kind = original.kind;
            frame.payloads.clone_from(&original.payloads);
            return;
        }
        self.seen.insert(digest, frame.number);
        self.read(frame, ends, &header, message.body);
    }

    fn read(&mut self, frame: &mut Frame, ends: (SocketAddr, SocketAddr), header: &Header, body: &[u8]) {
        let world = &mut self.world;
        match header.exchange {
            ExchangeType::MAIN => phase1::main_mode(world, frame, ends, header, body),
            ExchangeType::AGGRESSIVE => phase1::aggressive(world, frame, ends, header, body),
            ExchangeType::INFORMATIONAL => exchange::informational(world, frame, ends, header, body),
            ExchangeType::PULL => exchange::pull(world, frame, ends, header, body),
            ExchangeType::PUSH => push::push(world, frame, header, body),
            ExchangeType::PUSH_ACK => push::ack(world, frame, header, body),
            _ if header.flags.contains(Flags::ENCRYPTION) => {
                frame.protection = Protection::NotDecrypted("an exchange that is not followed".to_owned());
            }
            _ => {
                if let Some(chain) = clear_chain(frame, header, body, &world.limits) {
                    fill(frame, &chain, None, world.show_keys);
                }
            }
        }
    }

    fn fragment(&mut self, frame: &mut Frame, ends: (SocketAddr, SocketAddr), message: &Message<'_>) {
        frame.kind = Kind::IkeFragment;
        let header = message.header;
        let Some(chain) = clear_chain(frame, &header, message.body, &self.world.limits) else { return };
        fill(frame, &chain, None, false);
        let Some(Ok(fragment)) = chain.find(PayloadType::FRAGMENT).map(|view| Fragment::decode(view.body)) else {
            return;
        };
        let key = (ends.0, ends.1, header.cookies(), fragment.id);
        if self.sets.len() >= OPEN_SETS && !self.sets.contains_key(&key) {
            let oldest = self.sets.iter().min_by_key(|(_, set)| set.opened).map(|(key, _)| *key);
            if let Some(oldest) = oldest {
                self.sets.remove(&oldest);
            }
        }
        let set = self.sets.entry(key).or_default();
        // Senders use one id for message after message: other octets under a known number begin a new set.
        if set.parts.get(&fragment.number).is_some_and(|(_, known)| *known != fragment.data) {
            *set = FragmentSet::default();
        }
        set.opened = frame.number;
        if fragment.is_last() {
            set.last = Some(fragment.number);
        }
        set.parts.entry(fragment.number).or_insert((frame.number, fragment.data));
        let Some(last) = set.last else { return };
        if !(1..=last).all(|number| set.parts.contains_key(&number)) {
            return;
        }
        let parts: Vec<(usize, Vec<u8>)> =
            self.sets.remove(&key).map(|set| set.parts.into_values().collect()).unwrap_or_default();
        let whole: Vec<u8> = parts.iter().flat_map(|(_, octets)| octets.iter().copied()).collect();
        frame.pieces.extend(parts.iter().map(|(number, _)| *number).filter(|number| *number != frame.number));
        frame.note(format!("joined from {} IKE fragments, {} octets", parts.len(), whole.len()));
        frame.checks.clear();
        frame.octets = whole.len();
        if Header::decode(&whole).is_ok_and(|inner| inner.next == PayloadType::FRAGMENT) {
            return frame.fail_to_decode(Code("isakmp.fragment.nested"), "a fragment inside fragments");
        }
        self.message(frame, ends, &whole);
    }

    fn is_our_end(&self, datagram: &Datagram) -> bool {
        let ports = [datagram.src.port(), datagram.dst.port()];
        ports.iter().any(|port| PORTS.contains(port) || self.world.rekey_ports.contains(port))
            || self.ends.contains(&datagram.src)
            || self.ends.contains(&datagram.dst)
    }
}

impl World<'_> {
    /// Remembers the ports of the Rekey SA.
    pub(crate) fn learn_ports(&mut self, sa: &GdoiSa) {
        let Some(kek) = sa.kek() else { return };
        for port in [kek.src.port, kek.dst.port] {
            if port != 0 && !self.rekey_ports.contains(&port) {
                self.rekey_ports.push(port);
            }
        }
    }
}

/// Tells whether octets have the form of a message, wherever they were found.
fn looks_like_isakmp(octets: &[u8]) -> bool {
    Message::decode(octets).is_ok_and(|message| {
        let header = message.header;
        header.version == Header::VERSION && header.exchange.name().is_some() && header.initiator_cookie != [0; 8]
    })
}
