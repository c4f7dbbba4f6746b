//! Deliveries in doubt, and what an operator found out about them.

use askama::Template;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::{Html, IntoResponse};
use muster_proto::v1::{DeliveryInDoubt, DoubtPlan, ListInDoubtRequest, SettleDeliveryRequest, Settlement};
use serde::Deserialize;

use super::super::inside::Caller;
use super::super::problem::Problem;
use super::super::site::{Site, Trace};
use super::form::{Fields, Values, of_record, of_run, with_query};
use super::frame::Frame;
use super::{Shown, Trouble, run_of, text};
use crate::words::numbers::moment;
use crate::words::{clean, doubts};

#[derive(Debug, Deserialize)]
pub(super) struct Which {
    #[serde(default)]
    page: String,
}

#[derive(Template)]
#[template(path = "in_doubt.html")]
struct InDoubt {
    frame: Frame,
    id: String,
    run_address: String,
    below: String,
    done: Option<String>,
    /// What is wrong with what was sent, which is filled in again.
    trouble: Option<String>,
    /// Which page this is.
    page: String,
    /// The note on all of them.
    note: String,
    doubts: Vec<Doubt>,
    /// Where the list begins, unless that is here.
    first: Option<String>,
    next: Option<String>,
}

struct Doubt {
    number: i64,
    head: String,
    begun: String,
    why: String,
    next: String,
    repeats: i64,
    records: Vec<Record>,
    note: String,
    is_held: bool,
    /// From when on it can be settled: before, the target may still act on it. The ledger's clock decides, not this one's.
    settles: Option<String>,
    trace: Option<Trace>,
}

struct Record {
    /// As the ledger has it.
    id: String,
    /// As it is shown.
    shown: String,
    address: String,
    is_ticked: bool,
}

impl Doubt {
    /// `sent`: what was sent and refused, which is that of one delivery or of all.
    fn of(site: &Site, run_id: &str, doubt: &DeliveryInDoubt, sent: &Vec<(String, String)>) -> Self {
        let is_meant = sent.values("delivery").eq([doubt.number.to_string()]);
        let is_ticked = |id: &str| is_meant && sent.values("applied").any(|applied| applied == id);
        let record = |id: &String| Record {
            id: id.clone(),
            shown: clean(id),
            address: of_record(run_id, id),
            is_ticked: is_ticked(id),
        };
        Self {
            number: doubt.number,
            head: doubts::head(doubt),
            begun: moment(doubt.begun_at.as_ref()),
            why: clean(&doubts::why(doubt)),
            next: doubts::next(doubt),
            repeats: doubt.retry_of,
            records: doubt.record_ids.iter().map(record).collect(),
            note: if is_meant { sent.value("note").to_owned() } else { String::new() },
            is_held: doubt.plan() == DoubtPlan::Held,
            settles: doubt.settles_at.as_ref().map(|at| moment(Some(at))),
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
    Ok(Html(shown(&site, &caller, run_id, &which.page, Outcome::default()).await?).into_response())
}

/// What came of a settlement.
#[derive(Default)]
struct Outcome {
    done: Option<Done>,
    trouble: Option<String>,
    /// What was sent, where it was refused.
    sent: Vec<(String, String)>,
}

/// What a settlement has done: deliveries, records loaded, records to be sent.
type Done = (usize, i64, i64);

async fn shown(
    site: &Site,
    caller: &Caller,
    run_id: String,
    token: &str,
    Outcome { done, trouble, sent }: Outcome,
) -> Result<String, Trouble> {
    let run = run_of(site, caller, &run_id).await?;
    let request = ListInDoubtRequest { run_id: run_id.clone(), page_size: 20, page_token: token.to_owned() };
    let found = site.inside.audits().list_in_doubt(caller.asks(request)).await?.into_inner();
    let doubts: Vec<Doubt> = found.deliveries.iter().map(|doubt| Doubt::of(site, &run_id, doubt, &sent)).collect();
    let below = of_run(&run_id, "/in-doubt");
    let done = done
        .map(|(deliveries, loaded, to_send)| doubts::settled(&run, deliveries, loaded, to_send).trim_end().to_owned());
    text(&InDoubt {
        frame: Frame::of(site, caller, "runs", &format!("In doubt in {run_id}")),
        run_address: of_run(&run_id, ""),
        done,
        trouble,
        page: token.to_owned(),
        note: if sent.values("delivery").count() > 1 { sent.value("note").to_owned() } else { String::new() },
        doubts,
        first: (!token.is_empty()).then(|| below.clone()),
        next: Some(found.next_page_token)
            .filter(|token| !token.is_empty())
            .map(|token| with_query(&below, &[("page", &token)])),
        below,
        id: run_id,
    })
}

/// Says for the target what became of a delivery, or shows the form again with what is wrong.
pub(super) async fn settle(
    State(site): State<Site>,
    caller: Caller,
    Path(run_id): Path<String>,
    Fields(fields): Fields,
) -> Shown {
    let wrong = match say(&site, &caller, &run_id, &fields).await {
        // Told in the answer itself: an address that tells it could be made up by anybody.
        Ok(done) => {
            let outcome = Outcome { done: Some(done), ..Outcome::default() };
            return Ok(Html(shown(&site, &caller, run_id, "", outcome).await?).into_response());
        }
        Err(problem) => problem,
    };
    let status = wrong.status;
    // Who may not, may not by filling it in otherwise.
    if matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) {
        return Err(wrong.into());
    }
    let token = fields.value("page").to_owned();
    let outcome = Outcome { done: None, trouble: Some(wrong.detail), sent: fields };
    let again = shown(&site, &caller, run_id, &token, outcome).await?;
    Ok((status, Html(again)).into_response())
}

async fn say(site: &Site, caller: &Caller, run_id: &str, fields: &Vec<(String, String)>) -> Result<Done, Problem> {
    let numbers: Result<Vec<i64>, _> = fields.values("delivery").map(str::parse).collect();
    let numbers = numbers.map_err(|_| Problem::invalid("delivery must be the number of one"))?;
    let deliveries = numbers.len();
    let (settlement, applied_record_ids) = match fields.value("settlement") {
        "applied" => (Settlement::Applied, Vec::new()),
        "not_applied" => (Settlement::NotApplied, Vec::new()),
        "some" => {
            let ids: Vec<String> = fields.values("applied").map(str::to_owned).collect();
            if ids.is_empty() {
                return Err(Problem::invalid("tick the records that the target has, or say that it has none"));
            }
            (Settlement::Applied, ids)
        }
        _ => return Err(Problem::invalid("settlement must be applied, not_applied or some")),
    };
    let request = SettleDeliveryRequest {
        run_id: run_id.to_owned(),
        delivery_numbers: numbers,
        settlement: settlement.into(),
        applied_record_ids,
        note: fields.value("note").to_owned(),
    };
    let done = site.inside.runs().settle_delivery(caller.asks(request)).await?.into_inner();
    Ok((deliveries, done.loaded, done.to_send))
}
