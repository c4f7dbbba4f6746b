//! Fields that a schema does not know.

use muster_proto::v1::UnknownField;

use super::clean;
use super::numbers::counted;

/// `12 records have a field /friends/*/nick that the schema does not know, such as record 7`.
pub fn in_words(field: &UnknownField) -> String {
    let have = counted(field.records, "record has", "records have");
    let what = match field.path.as_str() {
        "" => "further fields".to_owned(),
        path => format!("a field {}", clean(path)),
    };
    let such = if field.records == 1 { "namely" } else { "such as" };
    format!("{have} {what} that the schema does not know, {such} record {}", clean(&field.sample_record_id))
}
