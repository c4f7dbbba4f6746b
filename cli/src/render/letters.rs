//! Dead letters: by their reasons, and one by one.

use muster_proto::v1::{DeadLetter, DeadLetterGroup};

use super::numbers::count;
use super::table::{Align, Table};

/// A reason is cut to no less than this.
const LEAST: usize = 24;
/// The column of traces, where any was exported; left out where there is no room for it.
const TRACE: &str = "trace";

/// How many for which reason.
pub fn summary(groups: &[DeadLetterGroup], width: Option<usize>) -> String {
    let traced = groups.iter().any(|group| !group.sample_trace_id.is_empty());
    let mut columns = vec![
        ("count", Align::Right),
        ("stage", Align::Left),
        ("status", Align::Right),
        ("reason", Align::Left),
        ("such as", Align::Left),
        (TRACE, Align::Left),
    ];
    columns.retain(|(name, _)| traced || *name != TRACE);
    let mut table = Table::new(&columns).narrowed_by(&[TRACE]).shortened("reason", LEAST);
    for group in groups {
        let mut row = vec![
            count(group.count),
            group.stage.clone(),
            status(group.http_status),
            in_one_line(&group.reason),
            group.sample_record_id.clone(),
        ];
        row.extend(traced.then(|| group.sample_trace_id.clone()));
        table.row(row);
    }
    table.render(width)
}

/// A row for each.
pub fn list(letters: &[DeadLetter], width: Option<usize>) -> String {
    let traced = letters.iter().any(|letter| !letter.trace_id.is_empty());
    let mut columns = vec![
        ("id", Align::Left),
        ("round", Align::Left),
        ("stage", Align::Left),
        ("status", Align::Right),
        ("reason", Align::Left),
        (TRACE, Align::Left),
    ];
    columns.retain(|(name, _)| traced || *name != TRACE);
    let mut table = Table::new(&columns).narrowed_by(&[TRACE]).shortened("reason", LEAST);
    for letter in letters {
        let round = match letter.redriven_in_round {
            0 => letter.round.to_string(),
            later => format!("{}, redriven in {later}", letter.round),
        };
        let mut row = vec![
            letter.record_id.clone(),
            round,
            letter.stage.clone(),
            status(letter.http_status),
            in_one_line(&letter.reason),
        ];
        row.extend(traced.then(|| letter.trace_id.clone()));
        table.row(row);
    }
    table.render(width)
}

fn status(status: i32) -> String {
    if status == 0 { "-".to_owned() } else { status.to_string() }
}

/// In one line; a terminal may be too narrow for all of it.
fn in_one_line(reason: &str) -> String {
    reason.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_letter_is_a_row_and_its_reason_fits() {
        let letter = |record_id: &str, later| DeadLetter {
            record_id: record_id.into(),
            round: 1,
            stage: "validate".into(),
            reason: "name is missing\nand so is everything else that a schema may want".into(),
            redriven_in_round: later,
            ..DeadLetter::default()
        };
        let letters = [letter("7", 0), letter("\"7\"", 2)];
        assert_eq!(
            list(&letters, Some(80)),
            "ID   ROUND             STAGE     STATUS  REASON\n\
             7    1                 validate       -  name is missing and so is everything e…\n\
             \"7\"  1, redriven in 2  validate       -  name is missing and so is everything e…\n"
        );
        assert!(list(&letters, None).contains("everything else that a schema may want\n"));
    }

    #[test]
    fn traces_are_told_where_there_is_room_for_them() {
        let trace_id = "7f".repeat(16);
        let reason = "name is missing and so is everything else that a schema may want";
        let letter = DeadLetter {
            record_id: "7".into(),
            reason: reason.into(),
            trace_id: trace_id.clone(),
            ..DeadLetter::default()
        };
        let other = DeadLetter { trace_id: String::new(), ..letter.clone() };
        let letters = [letter, other];
        for width in [None, Some(120), Some(92)] {
            let shown = list(&letters, width);
            assert!(shown.contains(&format!("  {trace_id}\n")) && shown.contains("  TRACE\n"), "{width:?}: {shown}");
            assert!(width.is_none_or(|width| shown.lines().all(|line| line.chars().count() <= width)), "{shown}");
        }
        assert!(!list(&letters, Some(80)).contains("TRACE"));
        let group = DeadLetterGroup {
            sample_trace_id: trace_id.clone(),
            count: 2,
            reason: reason.into(),
            ..DeadLetterGroup::default()
        };
        assert!(summary(&[group], None).contains(&format!("  {trace_id}\n")));
    }

    #[test]
    fn reasons_are_counted() {
        let group = DeadLetterGroup {
            stage: "load".into(),
            reason: "refused".into(),
            http_status: 422,
            count: 1_200,
            sample_record_id: "9".into(),
            ..DeadLetterGroup::default()
        };
        assert_eq!(
            summary(&[group], None),
            "COUNT  STAGE  STATUS  REASON   SUCH AS\n1,200  load      422  refused  9\n"
        );
    }
}
