//! A worker as a process: flags, signals, exit code.

use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context;
use muster_telemetry::metrics::Metrics;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;
use tracing::{info, warn};

use crate::page::Page;
use crate::{Worker, WorkerArgs, connect_as};

/// Runs a worker until SIGTERM or SIGINT, then drains it; a second signal ends it at once.
///
/// The exit code is 0 after a clean drain, 1 when work was abandoned, and 128 + the signal's number after a second
/// signal.
///
/// # Errors
///
/// A flag cannot be used, or the coordinator refuses the worker: the error says which and what to do.
pub async fn serve(args: WorkerArgs) -> anyhow::Result<ExitCode> {
    let coordinators = args.coordinator.join(",");
    let endpoints = connect_as(&coordinators, &args.credentials)?;
    let metrics = Metrics::start("muster-worker", args.http_listen.is_some())?;
    let page = match (args.http_listen, &metrics) {
        (Some(address), Some(metrics)) => Some(Page::open(address, args.insecure, Arc::clone(metrics)).await?),
        _ => None,
    };
    // Until the worker has ended: a drain is worth watching.
    let _served = page.map(|page| AbortOnDropHandle::new(tokio::spawn(page.serve())));
    let mut signals = Signals::new().context("cannot listen to signals")?;
    info!(coordinator = coordinators, "starting a worker");
    let shutdown = CancellationToken::new();
    let mut running = std::pin::pin!(Worker::new(args.config(), endpoints).run(shutdown.clone()));
    loop {
        tokio::select! {
            ended = &mut running => {
                if let Some(metrics) = &metrics {
                    metrics.end().await;
                }
                let summary = ended?;
                return Ok(if summary.batches_abandoned == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE });
            }
            number = signals.next() => {
                if shutdown.is_cancelled() {
                    warn!(signal = number, "second signal: ending at once; POSTs in flight become doubts");
                    return Ok(ExitCode::from(128 + number));
                }
                info!(signal = number, "signal: draining; a second one ends at once");
                shutdown.cancel();
            }
        }
    }
}

struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    fn new() -> std::io::Result<Self> {
        Ok(Self { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())? })
    }

    /// The number of the next signal: 2 for SIGINT, 15 for SIGTERM.
    async fn next(&mut self) -> u8 {
        tokio::select! {
            _ = self.interrupt.recv() => 2,
            _ = self.terminate.recv() => 15,
        }
    }
}
