//! Records given up on, for operators.

use std::collections::HashMap;

use rusqlite::{Connection, Row, params};

use super::rows::batch_ledger;
use super::sql;
use crate::domain::{BatchLedger, BatchRef, RecordState, Run, Timestamp};
use crate::store::{DeadLetter, DeadLetterFilter, DeadLetterGroup, RecordPlace};

/// Reasons that are told apart; the rest are counted together.
const GROUPS: usize = 10_000;

/// Dead letters after a place, in the order of their places.
pub(super) fn page(
    view: &Connection,
    run: &Run,
    filter: &DeadLetterFilter,
    after: Option<RecordPlace>,
    limit: usize,
) -> rusqlite::Result<Vec<DeadLetter>> {
    let mut found = Vec::new();
    each(view, run, filter, after, |letter| {
        found.push(letter);
        found.len() < limit
    })?;
    Ok(found)
}

/// The same by stage, status and reason, most frequent first.
pub(super) fn groups(
    view: &Connection,
    run: &Run,
    filter: &DeadLetterFilter,
    limit: usize,
) -> rusqlite::Result<Vec<DeadLetterGroup>> {
    let mut groups: HashMap<(String, u16, String), (u64, String)> = HashMap::new();
    each(view, run, filter, None, |letter| {
        let mut key = (letter.stage, letter.http_status, letter.reason);
        if groups.len() >= GROUPS && !groups.contains_key(&key) {
            key = (key.0, 0, "other reasons".to_owned());
        }
        groups.entry(key).or_insert((0, letter.record_id)).0 += 1;
        true
    })?;
    let group =
        |((stage, http_status, reason), (count, sample))| DeadLetterGroup { stage, reason, http_status, count, sample };
    let mut groups: Vec<_> = groups.into_iter().map(group).collect();
    groups.sort_by(|a, b| b.count.cmp(&a.count).then_with(|| a.reason.cmp(&b.reason)));
    groups.truncate(limit);
    Ok(groups)
}

/// Hands over dead letters until `go_on` says no.
fn each(
    view: &Connection,
    run: &Run,
    filter: &DeadLetterFilter,
    after: Option<RecordPlace>,
    mut go_on: impl FnMut(DeadLetter) -> bool,
) -> rusqlite::Result<()> {
    // No place is before round 1.
    let after = after.unwrap_or_default();
    let key = params![run.key, after.round, after.batch, after.position, filter.stage, filter.reason];
    let mut statement = view.prepare_cached(sql!("dead_letters"))?;
    let mut rows = statement.query(key)?;
    let mut last: Option<(BatchRef, BatchLedger)> = None;
    while let Some(row) = rows.next()? {
        let (letter, size, contested) = read(row)?;
        if letter.redriven.is_some() && !filter.include_redriven {
            continue;
        }
        if contested {
            // A delivery of the batch may have carried it: then it is that delivery which decides.
            let batch = BatchRef { run: run.key, round: letter.place.round, batch: letter.place.batch };
            let ledger = match last.take() {
                Some((of, ledger)) if of == batch => ledger,
                _ => batch_ledger(view, batch, size)?,
            };
            let state = ledger.states(RecordState::Pending).get(letter.place.position as usize).copied();
            last = Some((batch, ledger));
            if state != Some(RecordState::DeadLetter) {
                continue;
            }
        }
        if !go_on(letter) {
            break;
        }
    }
    Ok(())
}

/// A dead letter, its batch's size, and whether deliveries may say otherwise.
fn read(row: &Row<'_>) -> rusqlite::Result<(DeadLetter, u32, bool)> {
    let letter = DeadLetter {
        place: RecordPlace { round: row.get(0)?, batch: row.get(1)?, position: row.get(2)? },
        record_id: row.get(3)?,
        stage: row.get(4)?,
        reason: row.get(5)?,
        http_status: row.get(6)?,
        body: row.get(7)?,
        at: Timestamp::from_millis(row.get(8)?),
        redriven: row.get(9)?,
    };
    Ok((letter, row.get(10)?, row.get(11)?))
}
