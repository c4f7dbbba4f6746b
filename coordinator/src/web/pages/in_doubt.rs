//! Deliveries in doubt, and what an operator found out about them.

use askama::Template;
use axum::extract::{Path, Query, State};
use muster_proto::v1::{DeliveryInDoubt, DoubtPlan, ListInDoubtRequest, SettleDeliveryRequest, Settlement};
use serde::Deserialize;

use super::super::inside::Caller;
use super::super::problem::Problem;
use super::super::site::{Site, Trace};
use super::form::{Fields, Values, of_record, of_run, with_query};
use super::frame::Frame;
use super::{Shown, page, run_of};
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
    doubts: Vec<Doubt>,
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
    records: Vec<Record>,
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
}

impl Doubt {
    fn of(site: &Site, run_id: &str, doubt: &DeliveryInDoubt) -> Self {
        let record = |id: &String| Record { id: id.clone(), shown: clean(id), address: of_record(run_id, id) };
        Self {
            number: doubt.number,
            head: doubts::head(doubt),
            begun: moment(doubt.begun_at.as_ref()),
            why: clean(&doubts::why(doubt)),
            next: doubts::next(doubt),
            repeats: doubt.retry_of,
            records: doubt.record_ids.iter().map(record).collect(),
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
    shown(&site, &caller, run_id, &which.page, None).await
}

/// What a settlement has done: deliveries, records loaded, records to be sent.
type Done = (usize, i64, i64);

async fn shown(site: &Site, caller: &Caller, run_id: String, token: &str, done: Option<Done>) -> Shown {
    let run = run_of(site, caller, &run_id).await?;
    let request = ListInDoubtRequest { run_id: run_id.clone(), page_size: 20, page_token: token.to_owned() };
    let found = site.inside.audits().list_in_doubt(caller.asks(request)).await?.into_inner();
    let doubts: Vec<Doubt> = found.deliveries.iter().map(|doubt| Doubt::of(site, &run_id, doubt)).collect();
    let below = of_run(&run_id, "/in-doubt");
    let done = done
        .map(|(deliveries, loaded, to_send)| doubts::settled(&run, deliveries, loaded, to_send).trim_end().to_owned());
    page(&InDoubt {
        frame: Frame::of(site, caller, "runs", &format!("In doubt in {run_id}")),
        run_address: of_run(&run_id, ""),
        done,
        doubts,
        first: token.is_empty(),
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
    Fields(fields): Fields,
) -> Shown {
    let numbers: Result<Vec<i64>, _> = fields.values("delivery").map(str::parse).collect();
    let numbers = numbers.map_err(|_| Problem::invalid("delivery must be the number of one"))?;
    let deliveries = numbers.len();
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
        delivery_numbers: numbers,
        settlement: settlement.into(),
        applied_record_ids,
        note: fields.value("note").to_owned(),
    };
    let done = site.inside.runs().settle_delivery(caller.asks(request)).await?.into_inner();
    // Told in the answer itself: an address that tells it could be made up by anybody.
    shown(&site, &caller, run_id, "", Some((deliveries, done.loaded, done.to_send))).await
}
