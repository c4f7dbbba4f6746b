//! Fields that a schema does not know: what an announcement says of its records.

use std::collections::BTreeMap;

use muster_pipeline::MAX_UNKNOWN_FIELDS;
use muster_proto::v1::UnknownFieldReport;

use crate::plan::ReadyRecord;

/// By path, which of these records have it. Beyond the most that are told apart, and in a record with more than that, the
/// rest comes last and without a path.
pub(crate) fn reports(records: &[ReadyRecord]) -> Vec<UnknownFieldReport> {
    let mut named: BTreeMap<&str, Vec<u32>> = BTreeMap::new();
    let mut others: Vec<u32> = Vec::new();
    for record in records {
        for (index, path) in record.unknown.iter().enumerate() {
            let told_apart =
                index < MAX_UNKNOWN_FIELDS && (named.len() < MAX_UNKNOWN_FIELDS || named.contains_key(path.as_str()));
            let places = if told_apart { named.entry(path).or_default() } else { &mut others };
            // What was redacted may look the same as another.
            if places.last() != Some(&record.position) {
                places.push(record.position);
            }
        }
    }
    let rest = Some(("", others)).filter(|(_, others)| !others.is_empty());
    let all = named.into_iter().chain(rest);
    all.map(|(path, positions)| UnknownFieldReport { path: path.to_owned(), positions }).collect()
}

#[cfg(test)]
mod tests {
    use muster_pipeline::RecordId;

    use super::*;

    fn record(position: u32, unknown: Vec<String>) -> ReadyRecord {
        ReadyRecord { position, id: RecordId::from(u64::from(position)), body: "{}".into(), unknown }
    }

    fn told(records: &[ReadyRecord]) -> Vec<(String, Vec<u32>)> {
        reports(records).into_iter().map(|report| (report.path, report.positions)).collect()
    }

    #[test]
    fn each_path_names_the_records_that_have_it() {
        let (nick, wings) = ("/friends/*/nick".to_owned(), "/wings".to_owned());
        let records = [
            record(1, vec![nick.clone(), wings.clone()]),
            record(4, vec![]),
            record(5, vec![wings.clone(), wings.clone()]),
        ];
        assert_eq!(told(&records), [(nick, vec![1]), (wings, vec![1, 5])]);
        assert_eq!(told(&[record(4, vec![])]), []);
    }

    #[test]
    fn paths_are_bounded_and_the_rest_is_counted_as_others() {
        let paths = |from: usize, to: usize| (from..to).map(|name| format!("/{name:03}")).collect::<Vec<_>>();
        let all = told(&[record(0, paths(0, 101)), record(1, paths(99, 102)), record(2, paths(0, 1))]);
        assert_eq!(all.len(), MAX_UNKNOWN_FIELDS + 1);
        assert_eq!((&all[0], &all[99]), (&("/000".to_owned(), vec![0, 2]), &("/099".to_owned(), vec![0, 1])));
        assert_eq!(all[100], (String::new(), vec![0, 1]));
    }
}
