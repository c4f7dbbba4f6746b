//! Records as rows: their keys are columns.

use std::collections::{BTreeMap, HashSet};

use super::catalog::Table;
use crate::record_id::RecordId;
use crate::target::Delivery;

/// The records of a delivery, by their keys: what a record has no key for is left to the column's default, so those with
/// the same keys go into one statement.
#[derive(Debug)]
pub(super) struct Rows<'a> {
    groups: Vec<Group<'a>>,
}

/// Keys, and the records that have exactly these.
type Group<'a> = (Vec<String>, Vec<(&'a RecordId, &'a [u8])>);

impl<'a> Rows<'a> {
    /// Groups the records; the error names the first that cannot be a row.
    pub(super) fn group(delivery: &Delivery<'a>, update_by: &[String]) -> Result<Self, String> {
        let mut groups: Vec<Group<'_>> = Vec::new();
        for (&id, &record) in delivery.ids.iter().zip(&delivery.records) {
            let keys: BTreeMap<String, serde::de::IgnoredAny> = serde_json::from_slice(record)
                .map_err(|_| format!("record {id} is not an object, so it cannot be a row; the transform makes one"))?;
            if keys.is_empty() {
                return Err(format!("record {id} has no keys, so it cannot be a row"));
            }
            if let Some(column) = update_by.iter().find(|column| !keys.contains_key(*column)) {
                return Err(format!(
                    "record {id} has no \"{column}\", by which load.postgres.update_by tells rows apart"
                ));
            }
            let keys: Vec<String> = keys.into_keys().collect();
            match groups.iter_mut().find(|(known, _)| *known == keys) {
                Some((_, records)) => records.push((id, record)),
                None => groups.push((keys, vec![(id, record)])),
            }
        }
        Ok(Self { groups })
    }

    /// A key for which the table has no column, and the ID of a record that has it.
    pub(super) fn unknown(&self, table: &Table) -> Option<(&str, &RecordId)> {
        self.groups.iter().find_map(|(keys, records)| {
            let key = keys.iter().find(|key| !table.has(key))?;
            Some((key.as_str(), records.first()?.0))
        })
    }

    /// Of the records with these IDs: for each set of columns a JSON array of records.
    pub(super) fn only(&self, ids: &[String]) -> Vec<(Vec<&str>, String)> {
        let ids: HashSet<&str> = ids.iter().map(String::as_str).collect();
        let mut arrays = Vec::new();
        for (keys, records) in &self.groups {
            let wanted = records.iter().filter(|(id, _)| ids.contains(id.as_text())).map(|(_, record)| *record);
            let array = crate::load::array_body(wanted);
            if array.len() > 2 {
                let columns = keys.iter().map(String::as_str).collect();
                // JSON that serde_json has read above is UTF-8.
                arrays.push((columns, String::from_utf8_lossy(&array).into_owned()));
            }
        }
        arrays
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn group(records: &[&'static str], update_by: &[&str]) -> Result<Rows<'static>, String> {
        let ids: Vec<&'static RecordId> =
            (0..records.len() as u64).map(|id| &*Box::leak(Box::new(RecordId::from(id)))).collect();
        let records = records.iter().map(|record| record.as_bytes()).collect();
        let delivery = Delivery { run: "run", ids, records, body: Bytes::new(), key: "" };
        Rows::group(&delivery, &update_by.iter().map(|column| (*column).to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn records_with_the_same_keys_go_together_and_only_the_wanted_ones() {
        let rows = group(&[r#"{"a":1,"b":null}"#, r#"{"a":2}"#, r#"{"b":3,"a":4}"#], &["a"]).unwrap();
        let all = ["0", "1", "2"].map(str::to_owned);
        assert_eq!(
            rows.only(&all),
            [(vec!["a", "b"], r#"[{"a":1,"b":null},{"b":3,"a":4}]"#.into()), (vec!["a"], r#"[{"a":2}]"#.into())]
        );
        assert_eq!(rows.only(&all[2..]), [(vec!["a", "b"], r#"[{"b":3,"a":4}]"#.into())]);
        assert_eq!(rows.only(&[]), []);
    }

    #[test]
    fn what_cannot_be_a_row_is_named() {
        for (record, update_by, expected) in [
            ("[1]", &[][..], "record 0 is not an object"),
            ("7", &[], "record 0 is not an object"),
            ("{}", &[], "record 0 has no keys"),
            (r#"{"b":1}"#, &["a"], "record 0 has no \"a\""),
        ] {
            let error = group(&[record], update_by).unwrap_err();
            assert!(error.starts_with(expected), "{error}");
        }
    }
}
