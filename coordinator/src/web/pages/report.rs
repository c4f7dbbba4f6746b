//! A run's report as a file: a page that needs nothing but itself, or a line for each figure. As JSON, the API has it.

use axum::extract::{Path, State};
use axum::http::header::{CONTENT_DISPOSITION, CONTENT_TYPE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::IntoResponse;
use muster_proto::v1::{GetReportRequest, Report};

use super::super::inside::Caller;
use super::super::problem::Problem;
use super::super::site::Site;
use super::{Shown, Trouble};
use crate::report;

/// `/runs/{run_id}/report.html`.
pub(super) async fn page(State(site): State<Site>, caller: Caller, Path(run_id): Path<String>) -> Shown {
    let told = of_run(&site, &caller, run_id).await?;
    let text = report::html(&told).map_err(|error| {
        let detail = format!("the report cannot be made: {error}");
        Trouble::from(Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "", detail))
    })?;
    Ok(file(&told, "html", "text/html; charset=utf-8", text))
}

/// `/runs/{run_id}/report.csv`.
pub(super) async fn values(State(site): State<Site>, caller: Caller, Path(run_id): Path<String>) -> Shown {
    let told = of_run(&site, &caller, run_id).await?;
    let text = report::csv(&told);
    Ok(file(&told, "csv", "text/csv; charset=utf-8; header=present", text))
}

async fn of_run(site: &Site, caller: &Caller, run_id: String) -> Result<Report, tonic::Status> {
    let answer = site.inside.audits().get_report(caller.asks(GetReportRequest { run_id })).await?;
    Ok(answer.into_inner().report.unwrap_or_default())
}

/// To be kept, not to be shown: what is in it comes from sources, and a page of this place may do what its reader may.
fn file(told: &Report, ending: &str, media_type: &'static str, text: String) -> axum::response::Response {
    let run_id = told.run.as_ref().map(|run| run.run_id.as_str()).unwrap_or_default();
    let disposition = format!("attachment; filename=\"{}\"", report::file_name(run_id, ending));
    // Plain as the name is, this is always a header.
    let disposition = HeaderValue::try_from(disposition).unwrap_or(HeaderValue::from_static("attachment"));
    let headers = [(CONTENT_TYPE, HeaderValue::from_static(media_type)), (CONTENT_DISPOSITION, disposition)];
    (headers, text).into_response()
}
