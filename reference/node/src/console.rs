//! The control socket: newline JSON for `hallmark status` and for commands.

use std::fs;
use std::io;
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Semaphore, mpsc, oneshot};

/// The longest request: a group policy with its inline keys fits many times.
const MAX_REQUEST_OCTETS: u64 = 1 << 20;
/// Operators that are served at once.
const MAX_CONNECTIONS: usize = 32;

/// Is one request of an operator, with where its answer goes.
pub(crate) struct Request {
    /// A JSON object.
    pub(crate) text: String,
    /// Takes the answer, a JSON object on one line.
    pub(crate) answer: oneshot::Sender<String>,
    /// Ends when the answer has been written, or cannot be.
    pub(crate) written: oneshot::Receiver<()>,
}

/// Holds the socket in the file system as long as the process lives.
pub(crate) struct Console {
    path: PathBuf,
    requests: mpsc::Receiver<Request>,
}

impl Console {
    /// Opens the socket. A socket that a dead process left is replaced, one that answers is not.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        if let Ok(found) = fs::symlink_metadata(path) {
            if !found.file_type().is_socket() {
                return Err(io::Error::new(io::ErrorKind::AlreadyExists, "the path exists and is no socket"));
            }
            if std::os::unix::net::UnixStream::connect(path).is_ok() {
                return Err(io::Error::new(io::ErrorKind::AddrInUse, "another process serves it"));
            }
            fs::remove_file(path)?;
        }
        let listener = UnixListener::bind(path)?;
        fs::set_permissions(path, fs::Permissions::from_mode(0o600))?;
        let (sender, requests) = mpsc::channel(MAX_CONNECTIONS);
        tokio::spawn(accept(listener, sender));
        Ok(Self { path: path.to_owned(), requests })
    }

    /// Waits for the next request.
    pub(crate) async fn next(&mut self) -> Option<Request> {
        self.requests.recv().await
    }
}

impl Drop for Console {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

async fn accept(listener: UnixListener, sender: mpsc::Sender<Request>) {
    let slots = std::sync::Arc::new(Semaphore::new(MAX_CONNECTIONS));
    while let Ok(slot) = slots.clone().acquire_owned().await {
        match listener.accept().await {
            Ok((stream, _)) => {
                let sender = sender.clone();
                tokio::spawn(async move {
                    serve(stream, sender).await;
                    drop(slot);
                });
            }
            // Out of descriptors, most likely: let others end first.
            Err(_) => tokio::time::sleep(std::time::Duration::from_millis(100)).await,
        }
    }
}

async fn serve(stream: UnixStream, sender: mpsc::Sender<Request>) {
    let (reader, mut writer) = stream.into_split();
    let mut reader = BufReader::new(reader);
    while let Some(text) = read_line(&mut reader).await {
        if text.trim().is_empty() {
            continue;
        }
        let (answer, answered) = oneshot::channel();
        let (_writing, written) = oneshot::channel();
        if sender.send(Request { text, answer, written }).await.is_err() {
            return;
        }
        let Ok(mut line) = answered.await else { return };
        line.push('\n');
        if write(&mut writer, &line).await.is_err() {
            return;
        }
    }
}

async fn read_line(reader: &mut BufReader<OwnedReadHalf>) -> Option<String> {
    let mut line = String::new();
    let read = reader.take(MAX_REQUEST_OCTETS).read_line(&mut line).await.ok()?;
    (read > 0 && line.ends_with('\n')).then_some(line)
}

async fn write(writer: &mut OwnedWriteHalf, line: &str) -> io::Result<()> {
    writer.write_all(line.as_bytes()).await?;
    writer.flush().await
}
