//! What happens when the user or the system wants the program to end.

use std::sync::atomic::{AtomicBool, Ordering};

use tokio::signal::unix::{SignalKind, signal};

use crate::out;

/// Set when the work is to end soon.
static STOP: AtomicBool = AtomicBool::new(false);

/// Lends the flag that is set when the work is to end soon.
pub(crate) fn flag() -> &'static AtomicBool {
    &STOP
}

/// Tells whether a signal has asked for the end.
pub(crate) fn came() -> bool {
    SIGNALLED.load(Ordering::SeqCst)
}

static SIGNALLED: AtomicBool = AtomicBool::new(false);

/// Listens for SIGINT and SIGTERM: the first one ends the work and lets what is there be written, the second one ends
/// the program.
pub(crate) fn listen() {
    let listener = || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
        runtime.block_on(async {
            let mut interrupt = signal(SignalKind::interrupt())?;
            let mut terminate = signal(SignalKind::terminate())?;
            for round in 0.. {
                tokio::select! {
                    _ = interrupt.recv() => {}
                    _ = terminate.recv() => {}
                }
                if round > 0 {
                    std::process::exit(i32::from(hallmark_catalogue::ExitCode::Incomplete.code()));
                }
                SIGNALLED.store(true, Ordering::SeqCst);
                STOP.store(true, Ordering::SeqCst);
                out::note("\nends: writes what is there (once more to end at once)");
            }
            Ok::<(), std::io::Error>(())
        })
    };
    std::thread::spawn(move || {
        if let Err(error) = listener() {
            // Without signals the program still works; it only ends without a report when it is interrupted.
            out::note(format!("signals are not heard: {error}"));
        }
    });
}
