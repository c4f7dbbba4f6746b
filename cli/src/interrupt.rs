//! Ctrl-C and SIGTERM: the first asks to stop, the second ends the process.

use muster_telemetry::Stderr;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::exit::KILLED;
use crate::failure::Failure;

/// A token that the first signal cancels. The second takes what is drawn off the terminal and ends the process at once.
pub fn listen(stderr: &Stderr) -> Result<CancellationToken, Failure> {
    let stream = |kind| signal(kind).map_err(|error| Failure::new(format!("cannot listen to signals: {error}")));
    let (interrupt, terminate) = (stream(SignalKind::interrupt())?, stream(SignalKind::terminate())?);
    let asked = CancellationToken::new();
    tokio::spawn(wait(interrupt, terminate, asked.clone(), stderr.clone()));
    Ok(asked)
}

async fn wait(mut interrupt: Signal, mut terminate: Signal, asked: CancellationToken, stderr: Stderr) {
    loop {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        if asked.is_cancelled() {
            stderr.leave();
            // Whatever is in flight is in the ledger already: that is what makes this safe.
            std::process::exit(KILLED);
        }
        asked.cancel();
    }
}
