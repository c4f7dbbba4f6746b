//! Records given up on, for operators.

use std::collections::HashMap;

use super::rows::batch_ledger;
use super::{Connection, Row, SqlResult, params, sql};
use crate::domain::{BatchLedger, BatchRef, RecordState, Run, Timestamp};
use crate::store::{DeadLetter, DeadLetterFilter, DeadLetterGroup, RecordPlace};

/// Reasons that are told apart; the rest are counted together.
const GROUPS: usize = 10_000;
/// IDs of a group that are told.
const SAMPLES: usize = 3;
/// Read at once: they come with bodies.
const AT_ONCE: i64 = 500;

/// Dead letters after a place, in the order of their places.
pub(super) fn page(
    view: &dyn Connection,
    run: &Run,
    filter: &DeadLetterFilter,
    after: Option<RecordPlace>,
    limit: usize,
) -> SqlResult<Vec<DeadLetter>> {
    let mut found = Vec::new();
    each(view, run, filter, after, |letter| {
        found.push(letter);
        found.len() < limit
    })?;
    Ok(found)
}

/// The same by stage, status and reason, most frequent first.
pub(super) fn groups(
    view: &dyn Connection,
    run: &Run,
    filter: &DeadLetterFilter,
    limit: usize,
) -> SqlResult<Vec<DeadLetterGroup>> {
    let mut groups: HashMap<(String, u16, String), DeadLetterGroup> = HashMap::new();
    each(view, run, filter, None, |letter| {
        let DeadLetter { stage, reason, http_status, record_id, trace, redriven, .. } = letter;
        let mut key = (stage, http_status, reason);
        if groups.len() >= GROUPS && !groups.contains_key(&key) {
            key = (key.0, 0, "other reasons".to_owned());
        }
        let (stage, http_status, reason) = key.clone();
        let group = groups.entry(key).or_insert_with(|| DeadLetterGroup {
            stage,
            reason,
            http_status,
            count: 0,
            sample: record_id.clone(),
            sample_trace: trace,
            samples: Vec::new(),
            redriven: 0,
        });
        group.count += 1;
        group.redriven += u64::from(redriven.is_some());
        if group.samples.len() < SAMPLES {
            group.samples.push(record_id);
        }
        true
    })?;
    let mut groups: Vec<_> = groups.into_values().collect();
    // To the last difference, so that the same groups are in the same order each time.
    groups.sort_by(|a, b| {
        let rest = |group: &DeadLetterGroup| (group.reason.clone(), group.stage.clone(), group.http_status);
        b.count.cmp(&a.count).then_with(|| rest(a).cmp(&rest(b)))
    });
    groups.truncate(limit);
    Ok(groups)
}

/// Hands over dead letters until `go_on` says no.
fn each(
    view: &dyn Connection,
    run: &Run,
    filter: &DeadLetterFilter,
    after: Option<RecordPlace>,
    mut go_on: impl FnMut(DeadLetter) -> bool,
) -> SqlResult<()> {
    // No place is before round 1.
    let mut after = after.unwrap_or_default();
    let mut last: Option<(BatchRef, BatchLedger)> = None;
    loop {
        let key = params![run.key, after.round, after.batch, after.position, filter.stage, filter.reason, AT_ONCE];
        let rows = view.query_map(sql!("dead_letters"), key, read)?;
        let Some((letter, ..)) = rows.last() else { return Ok(()) };
        after = letter.place;
        for row in rows {
            if !hand_over(view, run, filter, row, &mut last, &mut go_on)? {
                return Ok(());
            }
        }
    }
}

/// Hands over one, unless it is not asked for, or a delivery says otherwise. Gives whether more are wanted.
fn hand_over(
    view: &dyn Connection,
    run: &Run,
    filter: &DeadLetterFilter,
    (letter, size, contested): (DeadLetter, u32, bool),
    last: &mut Option<(BatchRef, BatchLedger)>,
    go_on: &mut impl FnMut(DeadLetter) -> bool,
) -> SqlResult<bool> {
    if letter.redriven.is_some() && !filter.include_redriven {
        return Ok(true);
    }
    if contested {
        // A delivery of the batch may have carried it: then it is that delivery which decides.
        let batch = BatchRef { run: run.key, round: letter.place.round, batch: letter.place.batch };
        let ledger = match last.take() {
            Some((of, ledger)) if of == batch => ledger,
            _ => batch_ledger(view, batch, size)?,
        };
        let state = ledger.states(RecordState::Pending).get(letter.place.position as usize).copied();
        *last = Some((batch, ledger));
        if state != Some(RecordState::DeadLetter) {
            return Ok(true);
        }
    }
    Ok(go_on(letter))
}

/// A dead letter, its batch's size, and whether deliveries may say otherwise.
fn read(row: &Row) -> SqlResult<(DeadLetter, u32, bool)> {
    let letter = DeadLetter {
        place: RecordPlace { round: row.get(0)?, batch: row.get(1)?, position: row.get(2)? },
        record_id: row.get(3)?,
        stage: row.get(4)?,
        reason: row.get(5)?,
        http_status: row.get(6)?,
        body: row.get(7)?,
        at: Timestamp::from_millis(row.get(8)?),
        redriven: row.get(9)?,
        trace: row.get(12)?,
    };
    Ok((letter, row.get(10)?, row.get(11)?))
}
