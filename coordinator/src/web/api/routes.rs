//! What the API has: each route is one call of a service.

use http::Method;
use percent_encoding::percent_decode_str;

/// One method at one place.
#[derive(Debug, Clone, Copy)]
pub(in crate::web) struct Route {
    pub method: &'static str,
    /// With `{name}` where a field of the request stands; such a field may be followed by `:verb`.
    pub path: &'static str,
    /// `package.Service/Method`.
    pub call: &'static str,
    pub answer: Answer,
}

/// How what the call gives is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::web) enum Answer {
    /// The message.
    Whole,
    /// This field of the message.
    Field(&'static str),
    /// Nothing but that it went well.
    Nothing,
    /// This field of each message, as server-sent events of its name.
    Events(&'static str),
    /// The rows in this field of each message, a line of JSON each.
    Lines(&'static str),
}

const fn route(method: &'static str, path: &'static str, call: &'static str, answer: Answer) -> Route {
    Route { method, path, call, answer }
}

const RUN: Answer = Answer::Field("run");

/// All of it.
pub(in crate::web) const ROUTES: &[Route] = &[
    route("POST", "/api/v1/runs", "muster.v1.RunService/StartRun", RUN),
    route("GET", "/api/v1/runs", "muster.v1.RunService/ListRuns", Answer::Whole),
    route("GET", "/api/v1/runs/{run_id}", "muster.v1.RunService/GetRun", RUN),
    route("DELETE", "/api/v1/runs/{run_id}", "muster.v1.RunService/DeleteRun", Answer::Nothing),
    route("GET", "/api/v1/runs/{run_id}/events", "muster.v1.RunService/WatchRun", Answer::Events("run")),
    route("POST", "/api/v1/runs/{run_id}:cancel", "muster.v1.RunService/CancelRun", RUN),
    route("POST", "/api/v1/runs/{run_id}:pause", "muster.v1.RunService/PauseRun", RUN),
    route("POST", "/api/v1/runs/{run_id}:resume", "muster.v1.RunService/ResumeRun", RUN),
    route("POST", "/api/v1/runs/{run_id}:share", "muster.v1.RunService/SetRunShare", RUN),
    route("POST", "/api/v1/runs/{run_id}:redrive", "muster.v1.RunService/RedriveRun", Answer::Whole),
    route("POST", "/api/v1/runs/{run_id}:settle", "muster.v1.RunService/SettleDelivery", Answer::Whole),
    route("GET", "/api/v1/runs/{run_id}/verdict", "muster.v1.AuditService/VerifyRun", Answer::Whole),
    route("GET", "/api/v1/runs/{run_id}/records/{record_id}", "muster.v1.AuditService/GetRecord", Answer::Whole),
    route("GET", "/api/v1/runs/{run_id}/dead-letters", "muster.v1.AuditService/ListDeadLetters", Answer::Whole),
    route("GET", "/api/v1/runs/{run_id}/in-doubt", "muster.v1.AuditService/ListInDoubt", Answer::Whole),
    route("GET", "/api/v1/runs/{run_id}/ledger", "muster.v1.AuditService/ExportLedger", Answer::Lines("rows")),
    route("GET", "/api/v1/runs/{run_id}/history", "muster.v1.AuditService/GetHistory", Answer::Whole),
    route("GET", "/api/v1/runs/{run_id}/report", "muster.v1.AuditService/GetReport", Answer::Field("report")),
    route("GET", "/api/v1/pipelines", "muster.v1.PipelineService/ListPipelines", Answer::Whole),
    route("GET", "/api/v1/pipelines/{name}", "muster.v1.PipelineService/GetPipeline", Answer::Field("pipeline")),
    route("GET", "/api/v1/revisions/{revision}", "muster.v1.PipelineService/GetPipeline", Answer::Field("pipeline")),
    route("GET", "/api/v1/workers", "muster.v1.FleetService/ListWorkers", Answer::Whole),
];

/// What a path says of a request's fields.
pub(super) type Given = Vec<(&'static str, String)>;

/// What is at a place.
pub(super) enum Found {
    Route(&'static Route, Given),
    /// The place knows these methods.
    OtherMethods(String),
    Nothing,
}

/// The route of a request.
pub(super) fn find(method: &Method, path: &str) -> Found {
    let mut others = Vec::new();
    for route in ROUTES {
        match given(route.path, path) {
            Some(given) if route.method == method.as_str() => return Found::Route(route, given),
            Some(_) if !others.contains(&route.method) => others.push(route.method),
            _ => {}
        }
    }
    if others.is_empty() { Found::Nothing } else { Found::OtherMethods(others.join(", ")) }
}

/// Names in a path's template.
pub(super) fn names(template: &'static str) -> impl Iterator<Item = &'static str> {
    template.split('/').filter_map(|segment| parts(segment).map(|(name, _)| name))
}

/// `{name}:verb` as its name and `:verb`.
fn parts(segment: &str) -> Option<(&str, &str)> {
    segment.strip_prefix('{')?.split_once('}')
}

/// The fields that a path sets, if it is of this template. Slashes within a field come percent-encoded.
fn given(template: &'static str, path: &str) -> Option<Given> {
    let mut given = Vec::new();
    let (mut templates, mut segments) = (template.split('/'), path.split('/'));
    loop {
        match (templates.next(), segments.next()) {
            (None, None) => return Some(given),
            (Some(template), Some(segment)) => match parts(template) {
                None if template == segment => {}
                None => return None,
                Some((name, verb)) => {
                    let value = segment.strip_suffix(verb).filter(|value| !value.is_empty())?;
                    given.push((name, percent_decode_str(value).decode_utf8().ok()?.into_owned()));
                }
            },
            _ => return None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::METHODS;

    #[test]
    fn a_path_sets_fields() {
        let Found::Route(route, given) = find(&Method::POST, "/api/v1/runs/animals-1:pause") else { panic!() };
        assert_eq!((route.call, given), ("muster.v1.RunService/PauseRun", vec![("run_id", "animals-1".to_owned())]));
        let Found::Route(_, given) = find(&Method::GET, "/api/v1/runs/a-1/records/%22a%2Fb%22") else { panic!() };
        assert_eq!(given[1], ("record_id", "\"a/b\"".to_owned()));
        let Found::OtherMethods(methods) = find(&Method::PUT, "/api/v1/runs") else { panic!() };
        assert_eq!(methods, "POST, GET");
        for nothing in ["/api/v1/run", "/api/v1/runs/", "/api/v1/runs/a/records/", "/api/v1/runs/%ff", "/api/v1"] {
            assert!(matches!(find(&Method::GET, nothing), Found::Nothing), "{nothing}");
        }
    }

    #[test]
    fn whatever_people_may_call_has_a_route_and_no_more() {
        let ours = |call: &str| {
            ["RunService", "AuditService", "PipelineService", "FleetService"]
                .iter()
                .any(|service| call.starts_with(&format!("muster.v1.{service}/")))
        };
        let calls: Vec<_> = METHODS.iter().map(|(call, _)| *call).filter(|call| ours(call)).collect();
        for call in &calls {
            assert!(ROUTES.iter().any(|route| route.call == *call), "{call} has no route");
        }
        for route in ROUTES {
            assert!(calls.contains(&route.call), "{} is no call for people", route.call);
            assert_eq!(
                ROUTES.iter().filter(|other| (other.method, other.path) == (route.method, route.path)).count(),
                1
            );
        }
    }
}
