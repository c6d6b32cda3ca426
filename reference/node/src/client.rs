//! The other end of the console: asks a running node.

use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The largest answer that is read: a status with many thousand members.
const MAX_ANSWER_OCTETS: u64 = 64 << 20;

/// Says why a running node could not be asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// Nothing answers at the socket.
    #[error("cannot reach a node at {}: {source}; is it running, with `control` set to this path?", path.display())]
    Unreachable {
        /// The socket.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// The connection broke, or nothing came in time.
    #[error("the node at {} gave no answer: {source}", path.display())]
    NoAnswer {
        /// The socket.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
}

/// Sends one request (a JSON object) to the control socket of a node and gives its answer (a JSON object).
///
/// # Errors
/// When the node cannot be reached or does not answer within ten seconds.
pub fn request(path: &Path, request: &str) -> Result<String, ClientError> {
    let unreachable = |source| ClientError::Unreachable { path: path.to_owned(), source };
    let no_answer = |source| ClientError::NoAnswer { path: path.to_owned(), source };
    let mut stream = UnixStream::connect(path).map_err(unreachable)?;
    stream.set_read_timeout(Some(Duration::from_secs(10))).map_err(unreachable)?;
    // A request is one line; line ends inside it can only be white space of the JSON.
    let line = request.replace(['\n', '\r'], " ");
    stream.write_all(line.as_bytes()).and_then(|()| stream.write_all(b"\n")).map_err(no_answer)?;
    let mut answer = String::new();
    BufReader::new(stream.take(MAX_ANSWER_OCTETS)).read_line(&mut answer).map_err(no_answer)?;
    if answer.ends_with('\n') {
        answer.pop();
        Ok(answer)
    } else {
        Err(no_answer(io::ErrorKind::UnexpectedEof.into()))
    }
}
