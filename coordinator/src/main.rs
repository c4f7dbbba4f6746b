//! The coordinator's own program: the same as `muster coordinator`.

use clap::Parser;
use muster_coordinator::CoordinatorArgs;

/// Muster's coordinator: lists sources, leases batches to workers, keeps the ledger.
#[derive(Parser)]
#[command(name = "muster-coordinator", version)]
struct Program {
    #[command(flatten)]
    coordinator: CoordinatorArgs,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let program = Program::parse();
    muster_telemetry::init(muster_telemetry::Logging::default())?;
    muster_coordinator::serve(program.coordinator).await
}
