//! `muster verify --files`: an audit folder read on its own, without ledger or coordinator.
//!
//! `ids.json` holds what the source listed and was to be loaded, `batch_<n>.json` what the target acknowledged in one
//! delivery, `unchanged.json` what an earlier run had loaded; all are JSON arrays of record IDs. Each ID of `ids.json` must
//! stand in exactly one batch file, none of `unchanged.json` in any other file.

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::fs::File;
use std::io::{BufReader, ErrorKind};
use std::path::Path;

use muster_pipeline::RecordId;
use serde::Deserializer;
use serde::de::{Error as _, SeqAccess, Visitor};
use serde_json::value::RawValue;

use crate::exit::Exit;
use crate::failure::Failure;

/// How many examples of each finding are kept.
const EXAMPLES: usize = 5;

/// What a folder says.
#[derive(Debug, Default)]
pub struct FilesVerdict {
    /// IDs in `ids.json`, each counted once.
    pub listed: u64,
    /// Batch files read.
    pub files: u64,
    /// IDs in `unchanged.json`: listed too, but not to be loaded.
    pub unchanged: u64,
    /// Distinct listed IDs found in batch files.
    pub acknowledged: u64,
    /// Listed, but in no batch file.
    pub missing: Finding<RecordKey>,
    /// In batch files more than once, or listed more than once.
    pub doubled: Finding<String>,
    /// In a batch file, but not listed.
    pub unexpected: Finding<String>,
    /// Files that are no JSON array of record IDs.
    pub unreadable: Finding<String>,
    /// Numbers below the highest that no file has. By itself no fault: the IDs tell.
    pub absent_numbers: u64,
}

impl FilesVerdict {
    /// Whether every listed ID stands in exactly one batch file, and nothing else does.
    pub fn is_good(&self) -> bool {
        [self.missing.count, self.doubled.count, self.unexpected.count, self.unreadable.count] == [0; 4]
    }

    /// The exit code of the command. IDs that are only missing contradict nothing: files cannot say whether they are dead
    /// letters, gone or in doubt, the ledger can.
    pub fn exit(&self) -> Exit {
        if self.is_good() {
            Exit::Fine
        } else if [self.doubled.count, self.unexpected.count, self.unreadable.count] == [0; 3] {
            Exit::Exceptions
        } else {
            Exit::Unbalanced
        }
    }
}

/// How often something was found, and the first few examples in their order.
#[derive(Debug)]
pub struct Finding<T> {
    /// All of them.
    pub count: u64,
    /// The lowest few.
    pub first: BTreeSet<T>,
}

impl<T> Default for Finding<T> {
    fn default() -> Finding<T> {
        Finding { count: 0, first: BTreeSet::new() }
    }
}

impl<T: Ord> Finding<T> {
    /// Keeps the lowest examples, in whatever order they come.
    fn add(&mut self, example: T) {
        self.count += 1;
        self.first.insert(example);
        if self.first.len() > EXAMPLES {
            self.first.pop_last();
        }
    }

    /// Keeps the examples that come first.
    fn add_in_order(&mut self, example: impl FnOnce() -> T) {
        self.count += 1;
        if self.first.len() < EXAMPLES {
            self.first.insert(example());
        }
    }
}

/// A record's ID, small: most are whole numbers, and a folder may hold millions.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RecordKey {
    /// A number whose canonical text is that of an `i64`.
    Whole(i64),
    /// Any other canonical JSON text.
    Text(Box<str>),
}

impl From<&RecordId> for RecordKey {
    fn from(id: &RecordId) -> RecordKey {
        let text = id.as_text();
        // -0 and 007 (which is no JSON) must not become 0 and 7.
        match text.parse::<i64>() {
            Ok(number) if number.to_string() == text => RecordKey::Whole(number),
            _ => RecordKey::Text(text.into()),
        }
    }
}

impl fmt::Display for RecordKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RecordKey::Whole(number) => write!(f, "{number}"),
            RecordKey::Text(text) => f.write_str(text),
        }
    }
}

/// Reads a folder to its verdict. Memory grows with the number of distinct IDs, by some 40 bytes for a number.
///
/// # Errors
/// When the folder, or its `ids.json`, cannot be read: then there is nothing to judge by.
pub fn audit(folder: &Path) -> Result<FilesVerdict, Failure> {
    let numbers = batch_numbers(folder)?;
    let mut verdict = FilesVerdict::default();
    let mut seen = listed(folder, &mut verdict)?;
    read_unchanged(folder, &seen, &mut verdict);
    verdict.absent_numbers = numbers.last().map_or(0, |last| last - numbers.len() as u64);
    for number in numbers {
        read_batch(folder, number, &mut seen, &mut verdict);
    }
    for (id, file) in &seen {
        match file {
            0 => verdict.missing.add(id.clone()),
            _ => verdict.acknowledged += 1,
        }
    }
    Ok(verdict)
}

/// Per listed ID the number of the file it was found in, 0 for none yet.
type Seen = HashMap<RecordKey, u64>;

fn listed(folder: &Path, verdict: &mut FilesVerdict) -> Result<Seen, Failure> {
    let path = folder.join("ids.json");
    let mut seen = Seen::new();
    let read = each_id(&path, |id| {
        let text = id.clone();
        if seen.insert(id, 0).is_some() {
            verdict.doubled.add_in_order(|| format!("{text} is listed twice in ids.json"));
        }
    });
    verdict.listed = seen.len() as u64;
    match read {
        Ok(()) => Ok(seen),
        Err(ReadError::Open(error)) if error.kind() == ErrorKind::NotFound => {
            Err(Failure::new(format!("{} has no ids.json, so there is nothing to compare with", folder.display()))
                .help(where_else(folder)))
        }
        Err(error) => Err(Failure::new(format!("cannot read {}: {error}", path.display())).help(
            "without the list of IDs there is nothing to compare with; the ledger knows it too: muster verify RUN",
        )),
    }
}

/// Only a run that goes on from an earlier one has such a file.
fn read_unchanged(folder: &Path, seen: &Seen, verdict: &mut FilesVerdict) {
    const NAME: &str = "unchanged.json";
    let (mut unchanged, mut both) = (0, Vec::new());
    let read = each_id(&folder.join(NAME), |id| {
        unchanged += 1;
        both.extend(seen.contains_key(&id).then_some(id));
    });
    match read {
        Ok(()) => verdict.unchanged = unchanged,
        Err(ReadError::Open(error)) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => verdict.unreadable.add_in_order(|| format!("{NAME}: {error}")),
    }
    for id in both {
        verdict.doubled.add_in_order(|| format!("{id} in ids.json and {NAME}"));
    }
}

/// What to say to someone who gave the folder above.
fn where_else(folder: &Path) -> String {
    let below = folder.read_dir().ok().into_iter().flatten().flatten().map(|entry| entry.path());
    let mut runs: Vec<_> = below.filter(|path| path.join("ids.json").is_file()).collect();
    runs.sort();
    match runs.last() {
        Some(run) => format!("each run has a folder of its own: muster verify --files {}", run.display()),
        None if batch_numbers(folder).is_ok_and(|numbers| !numbers.is_empty()) => {
            "it is written when the run is over: until then the ledger knows how it stands: muster verify RUN"
                .to_owned()
        }
        None => "give the folder of one run, as `muster run --audit DIR` makes it: DIR/RUN".to_owned(),
    }
}

/// The numbers n of all batch_<n>.json, ascending.
fn batch_numbers(folder: &Path) -> Result<Vec<u64>, Failure> {
    let failed = |error: std::io::Error| {
        let help = match error.kind() {
            ErrorKind::PermissionDenied => "it must be readable for you: change its owner or mode, or ask who wrote it",
            ErrorKind::NotADirectory => "it is a file: give the folder of one run, DIR/RUN",
            _ => "give the folder of one run, as `muster run --audit DIR` makes it: DIR/RUN",
        };
        Failure::new(format!("cannot read the folder {}: {error}", folder.display())).help(help)
    };
    let mut numbers = Vec::new();
    for entry in folder.read_dir().map_err(failed)? {
        let name = entry.map_err(failed)?.file_name();
        numbers.extend(name.to_str().and_then(batch_number));
    }
    numbers.sort_unstable();
    Ok(numbers)
}

/// n of `batch_<n>.json`; other names, such as `batch_01.json`, are nobody's.
fn batch_number(name: &str) -> Option<u64> {
    let digits = name.strip_prefix("batch_")?.strip_suffix(".json")?;
    digits.parse().ok().filter(|number: &u64| *number > 0 && number.to_string() == digits)
}

fn read_batch(folder: &Path, number: u64, seen: &mut Seen, verdict: &mut FilesVerdict) {
    verdict.files += 1;
    let name = format!("batch_{number}.json");
    // Collected before it is counted: of a file that breaks off nothing counts as acknowledged.
    let mut ids = Vec::new();
    if let Err(error) = each_id(&folder.join(&name), |id| ids.push(id)) {
        verdict.unreadable.add_in_order(|| format!("{name}: {error}"));
        return;
    }
    for id in ids {
        match seen.get_mut(&id) {
            None => verdict.unexpected.add_in_order(|| format!("{id} in {name}")),
            Some(file) if *file == 0 => *file = number,
            Some(file) if *file == number => verdict.doubled.add_in_order(|| format!("{id} twice in {name}")),
            Some(file) => verdict.doubled.add_in_order(|| format!("{id} in batch_{file}.json and {name}")),
        }
    }
}

#[derive(Debug)]
enum ReadError {
    Open(std::io::Error),
    Json(serde_json::Error),
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ReadError::Open(error) => write!(f, "{error}"),
            ReadError::Json(error) => write!(f, "not a whole JSON array of record IDs ({error})"),
        }
    }
}

/// Calls `each` for every ID of a JSON array, one by one: the array itself is never in memory.
fn each_id(path: &Path, each: impl FnMut(RecordKey)) -> Result<(), ReadError> {
    let file = File::open(path).map_err(ReadError::Open)?;
    let mut json = serde_json::Deserializer::from_reader(BufReader::new(file));
    (&mut json).deserialize_seq(EachId(each)).and_then(|()| json.end()).map_err(ReadError::Json)
}

struct EachId<F>(F);

impl<'de, F: FnMut(RecordKey)> Visitor<'de> for EachId<F> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array of record IDs")
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut array: A) -> Result<(), A::Error> {
        while let Some(raw) = array.next_element::<Box<RawValue>>()? {
            (self.0)(RecordKey::from(&RecordId::from_json(&raw).map_err(A::Error::custom)?));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            std::fs::write(folder.path().join(name), text).unwrap();
        }
        folder
    }

    fn shown<T: ToString>(finding: &Finding<T>) -> (u64, Vec<String>) {
        (finding.count, finding.first.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn a_good_folder_is_good_whatever_else_lies_in_it() {
        let folder = folder(&[
            ("ids.json", "[0, 7, \"7\", -0, 1.50, 123456789012345678901234567890]"),
            ("batch_1.json", "[7, \"\\u0037\"]"),
            ("batch_3.json", "[0, -0, 1.50, 123456789012345678901234567890]\n"),
            ("batch_4.json.tmp", "[broken"),
            ("batch_x.json", "{}"),
        ]);
        let verdict = audit(folder.path()).unwrap();
        assert!(verdict.is_good(), "{verdict:?}");
        assert_eq!((verdict.listed, verdict.acknowledged, verdict.files, verdict.absent_numbers), (6, 6, 2, 1));
        assert_eq!(verdict.exit(), Exit::Fine);
    }

    #[test]
    fn what_is_wrong_is_counted_and_the_first_few_are_named() {
        let listed: Vec<u32> = (0..20).collect();
        let folder = folder(&[
            ("ids.json", &format!("{listed:?}")),
            ("batch_1.json", "[0, 1, 1, \"1\"]"),
            ("batch_2.json", "[2, 0, 99]"),
            ("batch_10.json", "[3, 4"),
            ("batch_11.json", "[5, {\"id\": 6}]"),
        ]);
        let verdict = audit(folder.path()).unwrap();
        assert_eq!(shown(&verdict.missing), (17, ["3", "4", "5", "6", "7"].map(String::from).to_vec()));
        let doubled = ["0 in batch_1.json and batch_2.json", "1 twice in batch_1.json"].map(String::from);
        assert_eq!(shown(&verdict.doubled), (2, doubled.to_vec()));
        let unexpected = ["\"1\" in batch_1.json", "99 in batch_2.json"].map(String::from);
        assert_eq!(shown(&verdict.unexpected), (2, unexpected.to_vec()));
        let (count, files) = shown(&verdict.unreadable);
        assert_eq!(count, 2);
        assert!(files[0].starts_with("batch_10.json: not a whole JSON array"), "{files:?}");
        assert!(files[1].contains("a record ID must be a string or a number, not an object"), "{files:?}");
        assert_eq!(verdict.exit(), Exit::Unbalanced);
    }

    #[test]
    fn what_is_unchanged_is_counted_and_is_in_no_other_file() {
        let folder = folder(&[("ids.json", "[1]"), ("unchanged.json", "[2, \"1\"]"), ("batch_1.json", "[1]")]);
        let verdict = audit(folder.path()).unwrap();
        assert_eq!((verdict.is_good(), verdict.listed, verdict.unchanged), (true, 1, 2));
        std::fs::write(folder.path().join("unchanged.json"), "[2, 1]").unwrap();
        std::fs::write(folder.path().join("batch_2.json"), "[2]").unwrap();
        let verdict = audit(folder.path()).unwrap();
        assert_eq!(shown(&verdict.doubled), (1, vec!["1 in ids.json and unchanged.json".to_owned()]));
        assert_eq!(shown(&verdict.unexpected), (1, vec!["2 in batch_2.json".to_owned()]));
        std::fs::write(folder.path().join("unchanged.json"), "[2").unwrap();
        assert_eq!(audit(folder.path()).unwrap().unreadable.count, 1);
    }

    #[test]
    fn without_a_list_there_is_no_verdict_but_a_hint() {
        let above = tempfile::tempdir().unwrap();
        let run = above.path().join("animals-1x2y");
        std::fs::create_dir(&run).unwrap();
        std::fs::write(run.join("ids.json"), "[]").unwrap();
        let text = audit(above.path()).unwrap_err().to_string();
        assert!(text.contains("has no ids.json") && text.ends_with("animals-1x2y"), "{text}");
        assert!(audit(&run).unwrap().is_good());
        let text = audit(&above.path().join("nowhere")).unwrap_err().to_string();
        assert!(text.contains("cannot read the folder"), "{text}");
    }
}
