//! Fields that a schema does not know: a warning, which stands against nothing.

use muster_proto::v1::UnknownField;

use muster_coordinator::words::unknown::in_words;

use super::fold::hanging_cut;
use super::paint::{Tone, out};

/// How many are told in words, those of most records first; JSON has all.
const MAX_TOLD: usize = 10;

/// A line for each field, most frequent first; empty where there is none.
pub fn warnings(fields: &[UnknownField]) -> String {
    let mut sorted: Vec<&UnknownField> = fields.iter().collect();
    // What is not told apart stays last.
    sorted.sort_by_key(|field| (field.path.is_empty(), -field.records));
    let mut lines: Vec<String> = sorted.iter().take(MAX_TOLD).map(|field| in_words(field)).collect();
    if sorted.len() > MAX_TOLD {
        lines.push(format!("and {} more such fields, which --json names", sorted.len() - MAX_TOLD));
    }
    lines.iter().map(|line| warning(line)).collect()
}

fn warning(words: &str) -> String {
    const LABEL: &str = "warning:";
    let text = hanging_cut(4, &format!("{LABEL} {words}")).join("\n    ");
    format!("  {}{}\n", out(Tone::Attention, LABEL), text.strip_prefix(LABEL).unwrap_or(&text))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn field(path: &str, records: i64) -> UnknownField {
        UnknownField { path: path.into(), records, sample_record_id: "7".into() }
    }

    #[test]
    fn each_field_is_a_warning_in_words() {
        assert_eq!(
            warnings(&[field("/a\u{1b}b", 1), field("/friends/*/nick", 1_200), field("", 5_000)]),
            "  warning: 1,200 records have a field /friends/*/nick that the schema does not know, such as record 7\n\
             \x20 warning: 1 record has a field /a\\u{1b}b that the schema does not know, namely record 7\n\
             \x20 warning: 5,000 records have further fields that the schema does not know, such as record 7\n"
        );
        assert_eq!(warnings(&[]), "");
    }

    #[test]
    fn very_many_are_not_all_told() {
        let many: Vec<UnknownField> = (0..100).map(|name| field(&format!("/{name}"), 1)).collect();
        let text = warnings(&many);
        assert_eq!(text.lines().count(), MAX_TOLD + 1);
        assert!(text.ends_with("warning: and 90 more such fields, which --json names\n"), "{text}");
    }
}
