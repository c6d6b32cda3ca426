//! Waiting for several things at once.

use std::os::fd::BorrowedFd;
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::NetError;

/// Blocks until one of the descriptors can be read or has an error to report, or the time is over, and says whether one
/// has.
///
/// # Errors
/// When the operating system refuses to wait.
pub fn readable(descriptors: &[BorrowedFd<'_>], at_most: Duration) -> Result<bool, NetError> {
    let mut watched: Vec<PollFd<'_>> =
        descriptors.iter().map(|descriptor| PollFd::new(*descriptor, PollFlags::POLLIN)).collect();
    // Rounded up, so that a wait never ends before its time and spins.
    let millis = i32::try_from(at_most.as_nanos().div_ceil(1_000_000)).unwrap_or(i32::MAX);
    match poll(&mut watched, PollTimeout::try_from(millis).unwrap_or(PollTimeout::MAX)) {
        Ok(ready) => Ok(ready > 0),
        Err(nix::errno::Errno::EINTR) => Ok(false),
        Err(errno) => Err(NetError::Receive(errno.into())),
    }
}
