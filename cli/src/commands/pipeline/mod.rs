//! `pipeline`: tools for whoever writes a pipeline. Nothing here sends anything to a target.

mod check;
mod diff;
mod exact;
mod explain;
mod init;
mod live;
mod record;
mod replay;
mod sampling;
mod try_out;

use muster_telemetry::Stderr;

use crate::args::{PipelineArgs, PipelineTool};
use crate::exit::Exit;
use crate::failure::Failure;

/// `muster pipeline TOOL`.
pub async fn pipeline(args: PipelineArgs, stderr: &Stderr) -> Result<Exit, Failure> {
    let proxy = args.proxy;
    match args.tool {
        PipelineTool::Check(args) => check::check(args, proxy, stderr).await,
        PipelineTool::Explain(args) => explain::explain(&args),
        PipelineTool::Try(args) => try_out::try_out(args, proxy).await,
        PipelineTool::Init(args) => init::init(args, proxy, stderr).await,
        PipelineTool::Record(args) => record::record(args, proxy, stderr).await,
        PipelineTool::Test(args) => replay::test(args, stderr).await,
        PipelineTool::Schema(_) => explain::schema(),
    }
}
