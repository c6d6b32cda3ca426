//! TUN: the kernel routes IP packets to a device of our own, and takes from it what we write.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::{FileExt, OpenOptionsExt};

use nix::libc;

use super::bpf::{self, Purpose};
use super::interface::{Interface, port_error};
use super::{FramePort, PortCounters, PortSpec, filter, refused, sys};
use crate::NetError;

/// Opens one queue of the device for each worker, and turns the device on.
pub(super) fn open(spec: &PortSpec, workers: u16) -> Result<Vec<Box<dyn FramePort>>, NetError> {
    let several = if workers > 1 { libc::IFF_MULTI_QUEUE } else { 0 };
    let mut files = Vec::with_capacity(usize::from(workers));
    for _ in 0..workers {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .custom_flags(libc::O_NONBLOCK)
            .open("/dev/net/tun")
            .map_err(refused(spec, "opening /dev/net/tun", " (modprobe tun loads its driver)"))?;
        sys::become_tun(&file, &spec.interface, libc::IFF_TUN | libc::IFF_NO_PI | several).map_err(refused(
            spec,
            "taking the TUN device",
            TAKEN,
        ))?;
        files.push(file);
    }
    if let Some(first) = files.first().filter(|_| workers > 1) {
        let program = bpf::load(Purpose::SocketFilter, &filter::steer_program(), false).map_err(refused(
            spec,
            "loading the rule of the queues",
            "",
        ))?;
        sys::steer_tun(first, program.as_fd()).map_err(refused(spec, "setting the rule of the queues", ""))?;
    }
    Interface::set_up(&spec.interface, spec.mtu).map_err(refused(spec, "turning the device on", ""))?;
    let interface = Interface::find(&spec.interface)?;
    let buffer = vec![0; usize::from(u16::MAX)];
    let port = |file| {
        let name = spec.interface.clone();
        let statistics = File::open(STATISTICS).map_err(refused(spec, "reading its statistics", ""))?;
        let counters = PortCounters::default();
        let port = TunPort { file, name, mtu: interface.mtu, buffer: buffer.clone(), counters, statistics };
        Ok(Box::new(port) as Box<dyn FramePort>)
    };
    files.into_iter().map(port).collect()
}

/// Counts of every interface in the namespace of the thread that opens the file, for as long as it is open.
const STATISTICS: &str = "/proc/thread-self/net/dev";
const TAKEN: &str = " (another program has it, or it is no TUN device, or it was made with another number of queues)";

/// One queue of a TUN device.
#[derive(Debug)]
struct TunPort {
    file: File,
    name: String,
    mtu: u16,
    buffer: Vec<u8>,
    counters: PortCounters,
    statistics: File,
}

impl AsFd for TunPort {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

impl FramePort for TunPort {
    fn receive(&mut self, max: usize, sink: &mut dyn FnMut(&[u8])) -> Result<usize, NetError> {
        let mut given = 0;
        for _ in 0..max {
            match self.file.read(&mut self.buffer) {
                Ok(0) => break,
                Ok(octets) => {
                    if octets > usize::from(self.mtu) {
                        self.counters.too_long += 1;
                        continue;
                    }
                    self.counters.received += 1;
                    given += 1;
                    sink(self.buffer.get(..octets).unwrap_or_default());
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if given > 0 => {
                    // The next call meets the same error with nothing to give.
                    let _ = error;
                    break;
                }
                Err(error) => return Err(port_error(&self.name, error, true)),
            }
        }
        Ok(given)
    }

    fn send(&mut self, frames: &[&[u8]]) -> Result<usize, NetError> {
        let mut accepted = 0;
        for frame in frames {
            match self.file.write(frame) {
                Ok(_) => accepted += 1,
                Err(error) if error.raw_os_error() == Some(libc::EIO) => {
                    // A device that is down takes nothing.
                    let failed = (frames.len() - accepted) as u64;
                    self.counters.send_failures += failed;
                    self.counters.sent += accepted as u64;
                    return Err(NetError::InterfaceDown(self.name.clone()));
                }
                Err(_) => self.counters.send_failures += 1,
            }
        }
        self.counters.sent += accepted as u64;
        Ok(accepted)
    }

    fn check(&mut self) -> Result<(), NetError> {
        sys::is_tun(&self.file).map_err(|error| port_error(&self.name, error, true))
    }

    fn has_link_header(&self) -> bool {
        false
    }

    fn mtu(&self) -> u16 {
        self.mtu
    }

    fn counters(&self) -> PortCounters {
        PortCounters { kernel_drops: lost(&self.statistics, &self.name).unwrap_or(0), ..self.counters }
    }
}

/// Reads how many packets for the device the kernel threw away because nobody read it: of all its queues together.
fn lost(statistics: &File, name: &str) -> Option<u64> {
    let mut table = Vec::new();
    let mut part = [0; 4096];
    while let octets @ 1.. = statistics.read_at(&mut part, table.len() as u64).ok()? {
        table.extend_from_slice(part.get(..octets)?);
    }
    let table = String::from_utf8(table).ok()?;
    let line = table.lines().find_map(|line| line.trim_start().strip_prefix(name)?.strip_prefix(':'))?;
    // Eight columns of receiving, then octets, packets, errors and drops of sending.
    line.split_whitespace().nth(11)?.parse().ok()
}
