//! The verdict on a folder of audit files.

use std::path::Path;

use serde_json::{Value, json};

use super::clean;
use super::numbers::{count, counted};
use super::paint::{Tone, out};
use crate::exit::Exit;
use crate::files_audit::{FilesVerdict, Finding};

/// As text: a sum, then each finding with its first examples.
pub fn text(folder: &Path, verdict: &FilesVerdict) -> String {
    let mut text = format!("audit folder {}\nverdict: {}\n", clean(&folder.display().to_string()), headline(verdict));
    for (name, number) in [("acknowledged", verdict.acknowledged), ("missing", verdict.missing.count)] {
        text.push_str(&format!("  {name:<18}{:>10}\n", number_of(number)));
    }
    text.push_str(&format!("  {:-<28}\n  {:<18}{:>10}\n", "", "listed", number_of(verdict.listed)));
    if verdict.unchanged > 0 {
        text.push_str(&format!("  {:<18}{:>10}\n", "besides, unchanged", number_of(verdict.unchanged)));
    }
    text.push_str(&format!("  in {}", counted(signed(verdict.files), "file", "files")));
    if verdict.absent_numbers > 0 {
        let files = counted(signed(verdict.absent_numbers), "number", "numbers");
        text.push_str(&format!("; {files} below the highest without a file"));
    }
    text.push('\n');
    finding(&mut text, "missing: listed, but in no file", &verdict.missing);
    finding(&mut text, "doubled", &verdict.doubled);
    finding(&mut text, "unexpected: in a file, but not listed", &verdict.unexpected);
    finding(&mut text, "unreadable", &verdict.unreadable);
    text
}

/// Only what the files themselves contradict is an alarm: what is missing may be a dead letter, gone or in doubt.
fn headline(verdict: &FilesVerdict) -> String {
    match verdict.exit() {
        Exit::Fine => out(Tone::Good, "every listed ID is in exactly one file"),
        Exit::Exceptions => {
            let missing = signed(verdict.missing.count);
            let ids = counted(missing, "listed ID has", "listed IDs have");
            out(Tone::Attention, &format!("{ids} no acknowledgement: the ledger says why (muster verify RUN)"))
        }
        _ => out(Tone::Bad, "IT DOES NOT ADD UP"),
    }
}

fn finding<T: ToString>(text: &mut String, name: &str, finding: &Finding<T>) {
    if finding.count == 0 {
        return;
    }
    text.push_str(&format!("\n{} {name}\n", number_of(finding.count)));
    for example in &finding.first {
        text.push_str(&format!("  {}\n", clean(&example.to_string())));
    }
    if finding.count > finding.first.len() as u64 {
        text.push_str("  ...\n");
    }
}

/// As JSON.
pub fn json(verdict: &FilesVerdict) -> Value {
    json!({
        "good": verdict.is_good(),
        "listed": verdict.listed,
        "acknowledged": verdict.acknowledged,
        "files": verdict.files,
        "unchanged": verdict.unchanged,
        "absent_numbers": verdict.absent_numbers,
        "missing": sample(&verdict.missing),
        "doubled": sample(&verdict.doubled),
        "unexpected": sample(&verdict.unexpected),
        "unreadable": sample(&verdict.unreadable),
    })
}

fn sample<T: ToString>(finding: &Finding<T>) -> Value {
    let first: Vec<_> = finding.first.iter().map(ToString::to_string).collect();
    json!({ "count": finding.count, "first": first })
}

fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn number_of(number: u64) -> String {
    count(signed(number))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files_audit::RecordKey;

    #[test]
    fn findings_come_with_counts_and_examples() {
        let missing = Finding { count: 1234, first: [RecordKey::Whole(3), RecordKey::Whole(20)].into() };
        let verdict = FilesVerdict { listed: 5000, acknowledged: 3766, files: 38, missing, ..FilesVerdict::default() };
        assert_eq!(
            text(Path::new("audit/a"), &verdict),
            "audit folder audit/a\n\
             verdict: 1,234 listed IDs have no acknowledgement: the ledger says why (muster verify RUN)\n\
             \x20 acknowledged           3,766\n\
             \x20 missing                1,234\n\
             \x20 ----------------------------\n\
             \x20 listed                 5,000\n\
             \x20 in 38 files\n\n\
             1,234 missing: listed, but in no file\n\
             \x20 3\n\x20 20\n\x20 ...\n"
        );
        assert_eq!(json(&verdict)["missing"]["first"][0], "3");
    }

    #[test]
    fn only_what_contradicts_itself_is_an_alarm() {
        let one = || Finding { count: 1, first: ["7 in batch_2.json".to_owned()].into() };
        let missing = || Finding { count: 1, first: [RecordKey::Whole(3)].into() };
        let without = FilesVerdict { missing: missing(), ..FilesVerdict::default() };
        assert!(headline(&without).starts_with("1 listed ID has no acknowledgement"), "{}", headline(&without));
        for bad in [
            FilesVerdict { missing: missing(), doubled: one(), ..FilesVerdict::default() },
            FilesVerdict { unexpected: one(), ..FilesVerdict::default() },
            FilesVerdict { unreadable: one(), ..FilesVerdict::default() },
        ] {
            assert_eq!(headline(&bad), "IT DOES NOT ADD UP");
        }
    }
}
