//! Buttons of a run's page. Each asks for one call and leads back to the page.

use axum::extract::{Path, State};
use axum::response::{IntoResponse, Redirect};
use muster_proto::v1::{
    CancelRunRequest, DeleteRunRequest, PauseRunRequest, ResumeRunRequest, RunShare, SetRunShareRequest,
};

use super::super::inside::Caller;
use super::super::problem::Problem;
use super::super::site::Site;
use super::Shown;
use super::form::{Fields, Values, of_run};

fn back(run_id: &str) -> Shown {
    Ok(Redirect::to(&of_run(run_id, "")).into_response())
}

/// `POST /runs/{run_id}/pause`.
pub(super) async fn pause(State(site): State<Site>, caller: Caller, Path(run_id): Path<String>) -> Shown {
    let request = PauseRunRequest { run_id: run_id.clone(), ..PauseRunRequest::default() };
    site.inside.runs().pause_run(caller.asks(request)).await?;
    back(&run_id)
}

/// `POST /runs/{run_id}/resume`.
pub(super) async fn resume(State(site): State<Site>, caller: Caller, Path(run_id): Path<String>) -> Shown {
    site.inside.runs().resume_run(caller.asks(ResumeRunRequest { run_id: run_id.clone() })).await?;
    back(&run_id)
}

/// `POST /runs/{run_id}/cancel`.
pub(super) async fn cancel(State(site): State<Site>, caller: Caller, Path(run_id): Path<String>) -> Shown {
    site.inside.runs().cancel_run(caller.asks(CancelRunRequest { run_id: run_id.clone() })).await?;
    back(&run_id)
}

/// `POST /runs/{run_id}/delete`.
pub(super) async fn delete(State(site): State<Site>, caller: Caller, Path(run_id): Path<String>) -> Shown {
    site.inside.runs().delete_run(caller.asks(DeleteRunRequest { run_id })).await?;
    Ok(Redirect::to("/runs").into_response())
}

/// `POST /runs/{run_id}/share`.
pub(super) async fn share(
    State(site): State<Site>,
    caller: Caller,
    Path(run_id): Path<String>,
    Fields(fields): Fields,
) -> Shown {
    let request = SetRunShareRequest { run_id: run_id.clone(), share: Some(share_of(&fields)?) };
    site.inside.runs().set_run_share(caller.asks(request)).await?;
    back(&run_id)
}

/// What a form says of a share; what is left empty is not set.
pub(super) fn share_of(fields: &Vec<(String, String)>) -> Result<RunShare, Problem> {
    let number = |name: &str| match fields.value(name) {
        "" => Ok(None),
        text => text.parse().map(Some).map_err(|_| Problem::invalid(format!("{name} must be a whole number"))),
    };
    Ok(RunShare { priority: number("priority")?, weight: number("weight")?, max_workers: number("max_workers")? })
}
