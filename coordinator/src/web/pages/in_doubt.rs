//! Deliveries in doubt, and what an operator found out about them.

use std::time::SystemTime;

use askama::Template;
use axum::extract::{Path, Query, State};
use axum::response::{IntoResponse, Redirect};
use muster_proto::v1::{
    DeliveryInDoubt, DoubtPlan, GetRunRequest, ListInDoubtRequest, SettleDeliveryRequest, Settlement,
};
use serde::Deserialize;

use super::super::inside::Caller;
use super::super::problem::Problem;
use super::super::site::{Site, Trace};
use super::form::{Fields, Values, of_record, of_run, with_query};
use super::frame::Frame;
use super::{Shown, page};
use crate::words::numbers::moment;
use crate::words::{clean, doubts};

#[derive(Debug, Deserialize)]
pub(super) struct Which {
    #[serde(default)]
    page: String,
    /// What a settlement has just done: deliveries, records loaded, records to be sent.
    settled: Option<usize>,
    loaded: Option<i64>,
    to_send: Option<i64>,
}

#[derive(Template)]
#[template(path = "in_doubt.html")]
struct InDoubt {
    frame: Frame,
    id: String,
    run_address: String,
    below: String,
    done: Option<String>,
    doubts: Vec<Doubt>,
    /// Numbers of those that can be settled.
    due: Vec<i64>,
    /// Whether one of them cannot be settled yet, and none can.
    waits: bool,
    first: bool,
    next: Option<String>,
}

struct Doubt {
    number: i64,
    head: String,
    begun: String,
    why: String,
    next: String,
    repeats: i64,
    ids: Vec<(String, String)>,
    is_held: bool,
    is_due: bool,
    settles: String,
    trace: Option<Trace>,
}

impl Doubt {
    fn of(site: &Site, run_id: &str, doubt: &DeliveryInDoubt) -> Self {
        let now = prost_types::Timestamp::from(SystemTime::now());
        let is_due = doubt.settles_at.is_none_or(|at| (at.seconds, at.nanos) <= (now.seconds, now.nanos));
        Self {
            number: doubt.number,
            head: doubts::head(doubt),
            begun: moment(doubt.begun_at.as_ref()),
            why: clean(&doubts::why(doubt)),
            next: doubts::next(doubt),
            repeats: doubt.retry_of,
            ids: doubt.record_ids.iter().map(|id| (clean(id), of_record(run_id, id))).collect(),
            is_held: doubt.plan() == DoubtPlan::Held,
            is_due,
            settles: moment(doubt.settles_at.as_ref()),
            trace: site.trace(&doubt.trace_id),
        }
    }
}

/// `/runs/{run_id}/in-doubt`.
pub(super) async fn list(
    State(site): State<Site>,
    caller: Caller,
    Path(run_id): Path<String>,
    Query(which): Query<Which>,
) -> Shown {
    let answer = site.inside.runs().get_run(caller.asks(GetRunRequest { run_id: run_id.clone() })).await?.into_inner();
    let run = answer.run.unwrap_or_default();
    let request = ListInDoubtRequest { run_id: run_id.clone(), page_size: 20, page_token: which.page.clone() };
    let found = site.inside.audits().list_in_doubt(caller.asks(request)).await?.into_inner();
    let doubts: Vec<Doubt> = found.deliveries.iter().map(|doubt| Doubt::of(&site, &run_id, doubt)).collect();
    let below = of_run(&run_id, "/in-doubt");
    let done = which.settled.map(|deliveries| {
        let (loaded, to_send) = (which.loaded.unwrap_or_default(), which.to_send.unwrap_or_default());
        doubts::settled(&run, deliveries, loaded, to_send).trim_end().to_owned()
    });
    page(&InDoubt {
        frame: Frame::of(&site, &caller, "runs", &format!("In doubt in {run_id}")),
        run_address: of_run(&run_id, ""),
        done,
        due: doubts.iter().filter(|doubt| doubt.is_due).map(|doubt| doubt.number).collect(),
        waits: !doubts.is_empty() && doubts.iter().all(|doubt| !doubt.is_due),
        doubts,
        first: which.page.is_empty(),
        next: Some(found.next_page_token)
            .filter(|token| !token.is_empty())
            .map(|token| with_query(&below, &[("page", &token)])),
        below,
        id: run_id,
    })
}

/// Says for the target what became of a delivery.
pub(super) async fn settle(
    State(site): State<Site>,
    caller: Caller,
    Path(run_id): Path<String>,
    Fields { 0: fields }: Fields,
) -> Shown {
    let numbers: Result<Vec<i64>, _> = fields.values("delivery").map(str::parse).collect();
    let numbers = numbers.map_err(|_| Problem::invalid("delivery must be the number of one"))?;
    let (settlement, applied_record_ids) = match fields.value("settlement") {
        "applied" => (Settlement::Applied, Vec::new()),
        "not_applied" => (Settlement::NotApplied, Vec::new()),
        "some" => {
            let ids: Vec<String> = fields.values("applied").map(str::to_owned).collect();
            if ids.is_empty() {
                return Err(Problem::invalid("tick the records that the target has, or say that it has none").into());
            }
            (Settlement::Applied, ids)
        }
        _ => return Err(Problem::invalid("settlement must be applied, not_applied or some").into()),
    };
    let request = SettleDeliveryRequest {
        run_id: run_id.clone(),
        delivery_numbers: numbers.clone(),
        settlement: settlement.into(),
        applied_record_ids,
        note: fields.value("note").to_owned(),
    };
    let done = site.inside.runs().settle_delivery(caller.asks(request)).await?.into_inner();
    let told = [
        ("settled", numbers.len().to_string()),
        ("loaded", done.loaded.to_string()),
        ("to_send", done.to_send.to_string()),
    ];
    let told: Vec<_> = told.iter().map(|(name, value)| (*name, value.as_str())).collect();
    Ok(Redirect::to(&with_query(&of_run(&run_id, "/in-doubt"), &told)).into_response())
}
