//! Exported rows.

use muster_proto::v1::LedgerRow;
use serde::Serialize;
use serde_json::value::RawValue;

use super::record_state;

/// The columns of comma-separated values: the names of JSON as well.
pub const HEADING: [&str; 12] = [
    "record_id",
    "round",
    "state",
    "listed_on_page",
    "batch",
    "position",
    "delivery_number",
    "deliveries",
    "possible_copies",
    "stage",
    "reason",
    "http_status",
];

/// A row as JSON, its record ID as it came.
#[derive(Serialize)]
pub struct Row<'a> {
    record_id: Box<RawValue>,
    round: i32,
    state: &'static str,
    listed_on_page: i64,
    batch: Option<i64>,
    position: Option<i32>,
    delivery_number: i64,
    deliveries: i32,
    possible_copies: i32,
    stage: &'a str,
    reason: &'a str,
    http_status: i32,
}

/// A row as JSON.
pub fn json(row: &LedgerRow) -> Row<'_> {
    Row {
        // An ID of the ledger is JSON text.
        record_id: RawValue::from_string(row.record_id.clone()).unwrap_or_else(|_| RawValue::NULL.to_owned()),
        round: row.round,
        state: record_state(row.state()),
        listed_on_page: row.listed_on_page,
        batch: row.batch,
        position: row.batch.map(|_| row.position),
        delivery_number: row.delivery_number,
        deliveries: row.deliveries,
        possible_copies: row.possible_copies,
        stage: &row.stage,
        reason: &row.reason,
        http_status: row.http_status,
    }
}

/// A row as cells, its record ID as JSON text.
pub fn cells(row: &LedgerRow) -> [String; 12] {
    let optional = |number: Option<i64>| number.map_or_else(String::new, |number| number.to_string());
    [
        row.record_id.clone(),
        row.round.to_string(),
        record_state(row.state()).to_owned(),
        row.listed_on_page.to_string(),
        optional(row.batch),
        optional(row.batch.map(|_| row.position.into())),
        row.delivery_number.to_string(),
        row.deliveries.to_string(),
        row.possible_copies.to_string(),
        row.stage.clone(),
        row.reason.clone(),
        row.http_status.to_string(),
    ]
}
