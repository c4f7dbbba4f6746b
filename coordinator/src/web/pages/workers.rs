//! Who works for this coordinator's ledger.

use askama::Template;
use axum::extract::{Query, State};
use muster_proto::v1::{ListWorkersRequest, Worker};
use serde::Deserialize;

use super::super::inside::Caller;
use super::super::site::Site;
use super::form::with_query;
use super::frame::Frame;
use super::{Shown, page};
use crate::words::clean;
use crate::words::numbers::{count, moment};

#[derive(Debug, Deserialize)]
pub(super) struct Which {
    #[serde(default)]
    page: String,
    #[serde(default)]
    gone: String,
}

#[derive(Template)]
#[template(path = "workers.html")]
struct Workers {
    frame: Frame,
    rows: Vec<Row>,
    with_gone: bool,
    /// Where the list begins, unless that is here.
    first: Option<String>,
    next: Option<String>,
}

struct Row {
    name: String,
    session: i64,
    version: String,
    started: String,
    seen: String,
    leases: i32,
    batches: String,
}

impl Row {
    fn of(worker: &Worker) -> Self {
        let embedded = if worker.embedded { " (embedded)" } else { "" };
        Self {
            name: format!("{}{embedded}", clean(&worker.name)),
            session: worker.worker_id,
            version: clean(&worker.version),
            started: moment(worker.started_at.as_ref()),
            seen: moment(worker.last_seen_at.as_ref()),
            leases: worker.leases_held,
            batches: count(worker.batches_completed),
        }
    }
}

fn first(which: &Which) -> Option<String> {
    (!which.page.is_empty()).then(|| with_query("/workers", &[("gone", &which.gone)]))
}

/// `/workers`.
pub(super) async fn list(State(site): State<Site>, caller: Caller, Query(which): Query<Which>) -> Shown {
    let with_gone = !which.gone.is_empty();
    let request = ListWorkersRequest { page_size: 50, page_token: which.page.clone(), include_gone: with_gone };
    let found = site.inside.fleet().list_workers(caller.asks(request)).await?.into_inner();
    let next = Some(found.next_page_token).filter(|token| !token.is_empty());
    page(&Workers {
        frame: Frame::of(&site, &caller, "workers", "Workers"),
        rows: found.workers.iter().map(Row::of).collect(),
        with_gone,
        first: first(&which),
        next: next.map(|token| with_query("/workers", &[("page", &token), ("gone", &which.gone)])),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_page_is_that_of_the_same_choice() {
        let page = Workers {
            frame: Frame::bare("Workers"),
            rows: vec![Row::of(&Worker::default())],
            with_gone: true,
            first: first(&Which { page: "x".to_owned(), gone: "1".to_owned() }),
            next: None,
        };
        let text = page.render().unwrap();
        assert!(text.contains("href=\"/workers?gone=1\">First page"), "{text}");
        assert_eq!(first(&Which { page: String::new(), gone: "1".to_owned() }), None);
    }
}
