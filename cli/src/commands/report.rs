//! `report` and `compare`: what runs came to and what they cost.

use muster_coordinator::report;
use muster_proto::v1::{GetReportRequest, Report};
use muster_telemetry::Stderr;

use crate::args::{CompareArgs, ReportArgs, ReportFormat, ReportPlace};
use crate::client::Client;
use crate::commands::stdout_width;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::render::compare;
use crate::{manner, output, whole_file};

/// `muster report RUN`.
pub async fn report(args: ReportArgs, stderr: &Stderr) -> Result<Exit, Failure> {
    let client = Client::connect_to_read(args.read.clone().target()?).await?;
    let run_id = client.run_id(&args.run).await?;
    let told = of_run(&client, &run_id).await?;
    let text = match args.format() {
        ReportFormat::Html => {
            report::html(&told).map_err(|error| Failure::new(format!("the report cannot be made: {error}")))?
        }
        ReportFormat::Json => format!("{:#}\n", report::json(&told)),
        ReportFormat::Csv => report::csv(&told),
    };
    match args.place(&report::file_name(&run_id, "html")) {
        ReportPlace::Stdout => drop(output::print(&text)?),
        ReportPlace::File(path) => {
            whole_file::write(&path, text.as_bytes())?;
            manner::remark(stderr, &format!("report of run {run_id} in {}", path.display()));
        }
    }
    Ok(Exit::Fine)
}

/// `muster compare RUN RUN`.
pub async fn compare(args: CompareArgs) -> Result<Exit, Failure> {
    let as_json = args.read.json;
    let client = Client::connect_to_read(args.read.target()?).await?;
    let first = of_run(&client, &client.run_id(&args.first).await?).await?;
    let second = of_run(&client, &client.run_id(&args.second).await?).await?;
    if as_json {
        output::print_json(&compare::json(&first, &second))?;
    } else {
        output::print(&compare::text(&first, &second, stdout_width()))?;
    }
    Ok(Exit::Fine)
}

async fn of_run(client: &Client, run_id: &str) -> Result<Report, Failure> {
    let request = GetReportRequest { run_id: run_id.to_owned() };
    let answer = client.audit().get_report(request).await.map_err(|status| client.failure(status))?;
    Ok(answer.into_inner().report.unwrap_or_default())
}
