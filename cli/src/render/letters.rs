//! Dead letters: by their reasons, and one by one.

use console::truncate_str;
use muster_proto::v1::{DeadLetter, DeadLetterGroup};

use super::numbers::count;
use super::table::{Align, Table};

/// A reason is cut to no less than this.
const LEAST: usize = 24;
/// Columns of the other cells and the gaps between, as they usually are.
const BESIDE: usize = 44;

/// How many for which reason.
pub fn summary(groups: &[DeadLetterGroup], width: Option<usize>) -> String {
    let mut table = Table::new(&[
        ("count", Align::Right),
        ("stage", Align::Left),
        ("status", Align::Right),
        ("reason", Align::Left),
        ("such as", Align::Left),
    ]);
    for group in groups {
        table.row([
            count(group.count),
            group.stage.clone(),
            status(group.http_status),
            shortened(&group.reason, width),
            group.sample_record_id.clone(),
        ]);
    }
    table.render(width)
}

/// A row for each.
pub fn list(letters: &[DeadLetter], width: Option<usize>) -> String {
    let mut table = Table::new(&[
        ("id", Align::Left),
        ("round", Align::Left),
        ("stage", Align::Left),
        ("status", Align::Right),
        ("reason", Align::Left),
    ]);
    for letter in letters {
        let round = match letter.redriven_in_round {
            0 => letter.round.to_string(),
            later => format!("{}, redriven in {later}", letter.round),
        };
        table.row([
            letter.record_id.clone(),
            round,
            letter.stage.clone(),
            status(letter.http_status),
            shortened(&letter.reason, width),
        ]);
    }
    table.render(width)
}

fn status(status: i32) -> String {
    if status == 0 { "-".to_owned() } else { status.to_string() }
}

/// The reason in one line that leaves room for the other columns; whole where nothing is cut.
fn shortened(reason: &str, width: Option<usize>) -> String {
    let line = reason.split_whitespace().collect::<Vec<_>>().join(" ");
    match width {
        Some(width) => truncate_str(&line, width.saturating_sub(BESIDE).max(LEAST), "…").into_owned(),
        None => line,
    }
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
             7    1                 validate       -  name is missing and so is everythin…\n\
             \"7\"  1, redriven in 2  validate       -  name is missing and so is everythin…\n"
        );
        assert!(list(&letters, None).contains("everything else that a schema may want\n"));
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
