//! The whole story of one ID.

use super::evidence::given_up;
use super::{Connection, OptionalRow, SqlResult, params, rows, sql, unchanged};
use crate::domain::{BatchRef, RecordState, Run};
use crate::store::{DeliveryStory, Ending, ExceptionStory, LeaseStory, RecordStory};

/// One story for each round up to the current one that had the record.
pub(super) fn read(view: &dyn Connection, run: &Run, record_id: &str) -> SqlResult<Vec<RecordStory>> {
    // An ID is unchanged or it is listed in the first round, never both.
    let mut stories: Vec<RecordStory> = unchanged::story(view, run, record_id)?.into_iter().collect();
    for round in 1..=run.round {
        let listed: Option<(i64, i64)> = view
            .query_row(sql!("record_by_id"), params![run.key, round, record_id], |row| Ok((row.get(0)?, row.get(1)?)))
            .optional()?;
        if let Some((seq, page)) = listed {
            stories.push(story(view, run, round, seq, page)?);
        }
    }
    Ok(stories)
}

fn story(view: &dyn Connection, run: &Run, round: u32, seq: i64, page: i64) -> SqlResult<RecordStory> {
    let given_up = given_up(view, run, round)?.unwrap_or_default();
    let waiting = if given_up { RecordState::Cancelled } else { RecordState::Pending };
    let mut story = RecordStory {
        round,
        state: waiting,
        page: page.unsigned_abs(),
        batch: None,
        position: 0,
        leases: Vec::new(),
        deliveries: Vec::new(),
        exception: None,
        unchanged: None,
    };
    let row = view.query_row(sql!("story_batch"), params![run.key, round, seq], |row| {
        Ok((row.get::<i64>(0)?, row.get::<i64>(1)?, row.get::<u32>(2)?, row.get::<i64>(3)?))
    });
    let found = row.optional()?.filter(|(_, first_seq, size, _)| seq - first_seq < i64::from(*size));
    let Some((batch, first_seq, size, state)) = found else { return Ok(story) };
    let position = u32::try_from(seq - first_seq).unwrap_or(u32::MAX);
    let batch = BatchRef { run: run.key, round, batch };
    let unresolved = match (given_up, state) {
        (true, _) => RecordState::Cancelled,
        (false, 1) => RecordState::Leased,
        (false, _) => RecordState::Pending,
    };
    let ledger = rows::batch_ledger(view, batch, size)?;
    story.state = ledger.states(unresolved).get(position as usize).copied().unwrap_or(unresolved);
    story.batch = Some(batch.batch);
    story.position = position;
    story.leases = leases(view, batch)?;
    story.deliveries = deliveries(view, batch, size)?;
    story.deliveries.retain(|delivery| delivery.fact.positions.contains(position));
    story.exception = exception(view, batch, position)?;
    Ok(story)
}

fn leases(view: &dyn Connection, batch: BatchRef) -> SqlResult<Vec<LeaseStory>> {
    view.query_map(sql!("story_leases"), params![batch.run, batch.round, batch.batch], |row| {
        let ending = match row.get::<Option<i64>>(6)? {
            None => None,
            Some(0) => Some(Ending::Completed),
            Some(1) => Some(Ending::Released),
            Some(_) => Some(Ending::Expired),
        };
        Ok(LeaseStory {
            epoch: row.get(0)?,
            attempt: row.get(1)?,
            worker: row.get(2)?,
            worker_id: row.get(3)?,
            granted_at: rows::time(row, 4)?,
            ended_at: rows::time_opt(row, 5)?,
            ending,
            trace: row.get(7)?,
        })
    })
}

fn deliveries(view: &dyn Connection, batch: BatchRef, size: u32) -> SqlResult<Vec<DeliveryStory>> {
    view.query_map(sql!("story_deliveries"), params![batch.run, batch.round, batch.batch], |row| {
        Ok(DeliveryStory {
            fact: rows::delivery(row, size)?,
            detail: row.get(rows::DELIVERY_COLUMNS)?,
            settled_at: rows::time_opt(row, rows::DELIVERY_COLUMNS + 1)?,
            acknowledged: row.get(rows::DELIVERY_COLUMNS + 2)?,
            settled_by: row.get(rows::DELIVERY_COLUMNS + 3)?,
            note: row.get(rows::DELIVERY_COLUMNS + 4)?,
            trace: row.get(rows::DELIVERY_COLUMNS + 5)?,
        })
    })
}

fn exception(view: &dyn Connection, batch: BatchRef, position: u32) -> SqlResult<Option<ExceptionStory>> {
    let story =
        view.query_row(sql!("story_exception"), params![batch.run, batch.round, batch.batch, position], |row| {
            Ok(ExceptionStory {
                stage: row.get(0)?,
                reason: row.get(1)?,
                http_status: row.get(2)?,
                body: row.get(3)?,
                at: rows::time(row, 4)?,
            })
        });
    story.optional()
}
