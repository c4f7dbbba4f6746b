//! Records given up on, for operators.

use super::rows::batch_ledger;
use super::{Connection, Row, SqlResult, params, sql};
use crate::domain::{BatchLedger, BatchRef, RecordState, Run, Timestamp};
use crate::store::{DeadLetter, DeadLetterFilter, DeadLetterGroup, RecordPlace};

/// Reasons that are told apart, the most frequent ones.
const GROUPS: u32 = 1_000;
/// IDs of a group that are told, and how many dead letters are looked at for them.
const SAMPLES: usize = 3;
const LOOKED_AT: usize = 2_000;
/// All that is read of dead letters, so many at once: they come with bodies.
const WHOLE: Reading = Reading { at_once: 500, bodies: true };
/// The same without bodies, for whoever counts them.
const WORDS: Reading = Reading { bodies: false, ..WHOLE };

/// How dead letters are read.
#[derive(Clone, Copy)]
struct Reading {
    at_once: i64,
    /// Without them, bodies are empty.
    bodies: bool,
}

/// Dead letters after a place, in the order of their places.
pub(super) fn page(
    view: &dyn Connection,
    run: &Run,
    filter: &DeadLetterFilter,
    after: Option<RecordPlace>,
    limit: usize,
) -> SqlResult<Vec<DeadLetter>> {
    let mut found = Vec::new();
    each(view, run, filter, after, WHOLE, |letter| {
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
    let key = params![run.key, filter.stage, filter.reason, filter.include_redriven, GROUPS];
    let mut groups = view.query_map(sql!("dead_letter_groups"), key, group)?;
    contested(view, run, filter, |letter| fold(&mut groups, letter))?;
    // To the last difference, so that the same groups are in the same order each time.
    groups.sort_by(|a, b| {
        let rest = |group: &DeadLetterGroup| (group.reason.clone(), group.stage.clone(), group.http_status);
        b.count.cmp(&a.count).then_with(|| rest(a).cmp(&rest(b)))
    });
    groups.truncate(limit);
    Ok(groups)
}

/// Counts a dead letter in the group that it is of.
fn fold(groups: &mut Vec<DeadLetterGroup>, letter: DeadLetter) {
    let is_of = |group: &DeadLetterGroup| {
        (&group.stage, group.http_status, &group.reason) == (&letter.stage, letter.http_status, &letter.reason)
    };
    match groups.iter().position(is_of) {
        Some(place) => {
            groups[place].count += 1;
            groups[place].redriven += u64::from(letter.redriven.is_some());
        }
        None if groups.len() < GROUPS as usize => groups.push(DeadLetterGroup {
            stage: letter.stage,
            reason: letter.reason,
            http_status: letter.http_status,
            count: 1,
            sample: letter.record_id,
            sample_trace: letter.trace,
            samples: Vec::new(),
            redriven: u64::from(letter.redriven.is_some()),
        }),
        None => {}
    }
}

/// The same with more of each group than one, as far as there are others among the first dead letters.
pub(super) fn groups_with_samples(
    view: &dyn Connection,
    run: &Run,
    filter: &DeadLetterFilter,
    limit: usize,
) -> SqlResult<Vec<DeadLetterGroup>> {
    let mut groups = groups(view, run, filter, limit)?;
    for group in &mut groups {
        group.samples.push(group.sample.clone());
    }
    let (mut looked_at, mut short) = (0, groups.len());
    each(view, run, filter, None, WORDS, |letter| {
        looked_at += 1;
        let own = groups.iter_mut().find(|group| {
            (&group.stage, group.http_status, &group.reason) == (&letter.stage, letter.http_status, &letter.reason)
        });
        if let Some(group) = own
            && group.samples.len() < SAMPLES
            && !group.samples.contains(&letter.record_id)
        {
            group.samples.push(letter.record_id);
            short -= usize::from(group.samples.len() == SAMPLES);
        }
        short > 0 && looked_at < LOOKED_AT
    })?;
    Ok(groups)
}

/// Hands over dead letters of batches that have an exception of which a delivery says otherwise: few, and decided by their
/// deliveries. Of each batch no more is read than it has exceptions.
fn contested(
    view: &dyn Connection,
    run: &Run,
    filter: &DeadLetterFilter,
    mut take: impl FnMut(DeadLetter),
) -> SqlResult<()> {
    let read = |row: &Row| Ok((row.get(0)?, row.get(1)?, row.get(2)?));
    let batches: Vec<(u32, i64, i64)> = view.query_map(sql!("dead_letters_contested"), params![run.key], read)?;
    for (round, batch, letters) in batches {
        // Whatever place that is, none is between it and the batch's first.
        let before = RecordPlace { round, batch: batch - 1, position: u32::MAX };
        let reading = Reading { at_once: letters.clamp(1, WORDS.at_once), ..WORDS };
        let mut left = letters;
        each(view, run, filter, Some(before), reading, |letter| {
            let is_here = (letter.place.round, letter.place.batch) == (round, batch);
            if is_here {
                take(letter);
            }
            left -= 1;
            is_here && left > 0
        })?;
    }
    Ok(())
}

fn group(row: &Row) -> SqlResult<DeadLetterGroup> {
    Ok(DeadLetterGroup {
        stage: row.get(0)?,
        http_status: row.get(1)?,
        reason: row.get(2)?,
        count: row.get::<i64>(3)?.unsigned_abs(),
        sample: row.get(4)?,
        sample_trace: row.get(5)?,
        samples: Vec::new(),
        redriven: row.get::<i64>(6)?.unsigned_abs(),
    })
}

/// Hands over dead letters until `go_on` says no.
fn each(
    view: &dyn Connection,
    run: &Run,
    filter: &DeadLetterFilter,
    after: Option<RecordPlace>,
    reading: Reading,
    mut go_on: impl FnMut(DeadLetter) -> bool,
) -> SqlResult<()> {
    // No place is before round 1.
    let mut after = after.unwrap_or_default();
    let mut last: Option<(BatchRef, BatchLedger)> = None;
    loop {
        let Reading { at_once, bodies } = reading;
        let place = (after.round, after.batch, after.position);
        let key = params![run.key, place.0, place.1, place.2, filter.stage, filter.reason, at_once, bodies];
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
