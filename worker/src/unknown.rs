//! Fields that a schema does not know: what an announcement says of its records.

use std::collections::{BTreeMap, BTreeSet};

use muster_pipeline::MAX_UNKNOWN_FIELDS;
use muster_proto::v1::UnknownFieldReport;

use crate::plan::ReadyRecord;

/// What all paths and places of an announcement may take together, in bytes: the coordinator takes messages of up to 1 MiB, in
/// which there are also the places of 10,000 records and what came of the delivery before.
const MAX_BYTES: usize = 768 << 10;
/// What a path takes at most beside its text, and what a place takes at most, in bytes.
const FRAME: usize = 16;
const PLACE: usize = 2;

/// By path, which of these records have it. Beyond the most that are told apart, in a record with more than that, and where
/// there is no room for more, the rest comes last and without a path.
pub(crate) fn reports(records: &[ReadyRecord]) -> Vec<UnknownFieldReport> {
    let mut named: BTreeMap<&str, Vec<u32>> = BTreeMap::new();
    let mut others: BTreeSet<u32> = BTreeSet::new();
    for record in records {
        for (index, path) in record.unknown.iter().enumerate() {
            let told_apart =
                index < MAX_UNKNOWN_FIELDS && (named.len() < MAX_UNKNOWN_FIELDS || named.contains_key(path.as_str()));
            if !told_apart {
                others.insert(record.position);
                continue;
            }
            let places = named.entry(path).or_default();
            // What was redacted may look the same as another.
            if places.last() != Some(&record.position) {
                places.push(record.position);
            }
        }
    }
    let mut room = MAX_BYTES;
    named.retain(|path, places| match room.checked_sub(FRAME + path.len() + PLACE * places.len()) {
        Some(left) => {
            room = left;
            true
        }
        None => {
            others.extend(places.iter());
            false
        }
    });
    let rest = Some(("", others.into_iter().collect::<Vec<_>>())).filter(|(_, others)| !others.is_empty());
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
    fn an_announcement_of_very_many_places_stays_small() {
        let paths: Vec<String> = (0..MAX_UNKNOWN_FIELDS).map(|path| format!("/{path:03}")).collect();
        // All but the first path are in all records, which is more than there is room for.
        let records: Vec<ReadyRecord> =
            (0..10_000).map(|at| record(at, paths[usize::from(at > 0)..].to_vec())).collect();
        let all = reports(&records);
        let size: usize = all.iter().map(prost::Message::encoded_len).sum();
        assert!(size < 1 << 20, "{size} bytes");
        let (rest, named) = all.split_last().unwrap();
        assert!((30..MAX_UNKNOWN_FIELDS).contains(&named.len()), "{} paths", named.len());
        assert_eq!((&named[0].path, &named[0].positions), (&"/000".to_owned(), &vec![0]));
        let everywhere: Vec<u32> = (0..10_000).collect();
        assert!(named[1..].iter().all(|report| report.positions == everywhere));
        assert_eq!((rest.path.as_str(), &rest.positions), ("", &everywhere));
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
