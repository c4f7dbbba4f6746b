//! The ledger's file, read as it is: while a coordinator writes it, or after it was killed.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use muster_coordinator::domain::Positions;
use muster_pipeline::{RecordId, idempotency_key};
use muster_postgres::Postgres;
use rusqlite::{Connection, OpenFlags, Row};

/// What became of a delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Announced, not settled.
    Open,
    /// The target acknowledged it.
    Applied,
    /// It certainly was not applied.
    NotApplied,
    /// The target refused its records.
    Rejected,
    /// It may or may not have been applied.
    InDoubt,
    /// Some of its records were applied, as the target's answer says or as was found out.
    PartlyApplied,
}

impl State {
    /// Whether the target may have it.
    pub fn may_be_applied(self) -> bool {
        matches!(self, State::Open | State::Applied | State::InDoubt | State::PartlyApplied)
    }
}

/// One announced delivery.
#[derive(Clone, Debug)]
pub struct Delivery {
    /// Its number in the run.
    pub number: i64,
    /// What became of it.
    pub state: State,
    /// Its records, in order.
    pub ids: Vec<u64>,
    /// Those that the target has, and those that it has not, where it was partly applied.
    pub present: Vec<u64>,
    /// See `present`.
    pub absent: Vec<u64>,
    /// The Idempotency-Key that goes with its records and its body.
    pub key: String,
    /// The delivery it repeats; 0 for none.
    pub retry_of: i64,
}

/// What the ledger says of one run of animals.
#[derive(Debug)]
pub struct Ledger {
    /// All that was listed, in order.
    pub listed: Vec<u64>,
    /// All that was announced.
    pub deliveries: Vec<Delivery>,
    /// How many leases ended in which way.
    pub endings: BTreeMap<String, i64>,
}

impl Ledger {
    /// Reads a run.
    pub fn read(file: &Path, run_id: &str) -> Ledger {
        read(file, run_id).unwrap_or_else(|error| panic!("the ledger {}: {error}", file.display()))
    }

    /// How many deliveries are in this state.
    pub fn count(&self, state: State) -> usize {
        self.deliveries.iter().filter(|delivery| delivery.state == state).count()
    }

    /// For each ID, in how many deliveries it is that the target may have.
    pub fn possible_times(&self) -> HashMap<u64, u32> {
        let mut times = HashMap::new();
        for delivery in self.deliveries.iter().filter(|delivery| delivery.state.may_be_applied()) {
            for id in delivery.ids.iter().filter(|id| !delivery.absent.contains(id)) {
                *times.entry(*id).or_default() += 1;
            }
        }
        times
    }

    /// This run and another one as if they were one: for a target that both have sent something.
    #[must_use]
    pub fn and(mut self, other: Ledger) -> Ledger {
        self.listed.extend(other.listed);
        self.deliveries.extend(other.deliveries);
        for (ending, leases) in other.endings {
            *self.endings.entry(ending).or_default() += leases;
        }
        self
    }
}

impl Ledger {
    /// Reads a run from a ledger on PostgreSQL.
    pub fn read_shared(server: &Postgres, run_id: &str) -> Ledger {
        Ledger::read_in(server, &server.url(), run_id)
    }

    /// The same from another of its databases, by its URL.
    pub fn read_in(server: &Postgres, url: &str, run_id: &str) -> Ledger {
        let run = format!("(SELECT run FROM runs WHERE id = '{run_id}')");
        let rows = |sql: String| -> Vec<Vec<String>> {
            let text = server.run_in(url, &sql);
            text.lines().map(|line| line.split('|').map(str::to_owned).collect()).collect()
        };
        let listed: Vec<(Place, u64)> =
            rows(format!("SELECT round, seq, id FROM records WHERE run = {run} ORDER BY round, seq"))
                .iter()
                .map(|row| ((number(&row[0]), number(&row[1])), number(&row[2]).unsigned_abs()))
                .collect();
        let by_seq: HashMap<Place, u64> = listed.iter().copied().collect();
        let deliveries = rows(format!(
            "SELECT d.number, d.state, encode(d.positions, 'hex'), encode(d.body_sha256, 'hex'), d.retry_of, b.first_seq,
                    b.size, b.round, encode(d.present, 'hex'), encode(d.absent, 'hex')
             FROM deliveries d JOIN batches b USING (run, round, batch) WHERE d.run = {run} ORDER BY d.number"
        ));
        let deliveries = deliveries.iter().map(|row| {
            let bytes = |column: usize| (!row[column].is_empty()).then(|| bytes(&row[column]));
            let told = Told {
                number: number(&row[0]),
                state: number(&row[1]),
                positions: bytes(2),
                body: bytes(3).and_then(|body| body.try_into().ok()).expect("a digest"),
                retry_of: number(&row[4]),
                first: number(&row[5]),
                size: u32::try_from(number(&row[6])).expect("a size"),
                round: number(&row[7]),
                present: bytes(8),
                absent: bytes(9),
            };
            told.delivery(run_id, &by_seq)
        });
        let endings = rows(format!("SELECT ending, count(*) FROM leases WHERE run = {run} GROUP BY ending"));
        let endings = endings.iter().map(|row| (ending(row[0].parse().ok()).to_owned(), number(&row[1])));
        Ledger {
            listed: listed.iter().filter(|((round, _), _)| *round == 1).map(|(_, id)| *id).collect(),
            deliveries: deliveries.collect(),
            endings: endings.collect(),
        }
    }
}

fn number(text: &str) -> i64 {
    text.parse().unwrap_or_else(|_| panic!("{text:?} is no number"))
}

fn bytes(hex: &str) -> Vec<u8> {
    let digits = |at: usize| u8::from_str_radix(&hex[at..at + 2], 16).expect("hexadecimal digits");
    (0..hex.len()).step_by(2).map(digits).collect()
}

/// How many deliveries are announced and not settled, of one worker or of all.
pub fn open_deliveries(file: &Path, worker: Option<&str>) -> i64 {
    let connection = open(file).expect("the ledger can be read");
    let sql = "SELECT count(*) FROM deliveries d JOIN leases l USING (run, round, batch, epoch)
               LEFT JOIN sessions s ON s.session = l.session
               WHERE d.state = 0 AND (?1 IS NULL OR s.name = ?1)";
    connection.query_row(sql, [worker], |row| row.get(0)).expect("the ledger can be read")
}

/// How many leases hold, of one worker or of all.
pub fn held_leases(file: &Path, worker: Option<&str>) -> i64 {
    let connection = open(file).expect("the ledger can be read");
    let sql = "SELECT count(*) FROM leases l LEFT JOIN sessions s ON s.session = l.session
               WHERE l.ending IS NULL AND (?1 IS NULL OR s.name = ?1)";
    connection.query_row(sql, [worker], |row| row.get(0)).expect("the ledger can be read")
}

/// Of the reports under leases that had run out: how many were answered as late, and how many were taken as if from the
/// present holder.
pub fn fenced_reports(file: &Path) -> (usize, usize) {
    let connection = open(file).expect("the ledger can be read");
    let sql = "SELECT count(*) FILTER (WHERE report_answer = 2), count(*) FILTER (WHERE report_answer <> 2)
               FROM leases WHERE ending = 2";
    let counts: (u32, u32) =
        connection.query_row(sql, [], |row| Ok((row.get(0)?, row.get(1)?))).expect("the ledger can be read");
    (counts.0 as usize, counts.1 as usize)
}

/// Numbers of the deliveries that were announced under leases that ran out.
pub fn deliveries_of_fenced(file: &Path) -> Vec<i64> {
    let connection = open(file).expect("the ledger can be read");
    let sql = "SELECT number FROM deliveries JOIN leases USING (run, round, batch, epoch) WHERE ending = 2";
    let numbers = connection
        .prepare(sql)
        .and_then(|mut statement| statement.query_map([], |row| row.get(0))?.collect::<rusqlite::Result<Vec<i64>>>());
    numbers.expect("the ledger can be read")
}

/// Fails when SQLite finds anything wrong with the file.
pub fn assert_sound(file: &Path) {
    let connection = open(file).expect("the ledger can be read");
    let found: String =
        connection.query_row("PRAGMA integrity_check", [], |row| row.get(0)).expect("it can be checked");
    assert_eq!(found, "ok", "the ledger {}", file.display());
    let orphans: i64 = connection
        .query_row("SELECT count(*) FROM pragma_foreign_key_check", [], |row| row.get(0))
        .expect("it can be checked");
    assert_eq!(orphans, 0, "rows without what they belong to in {}", file.display());
}

/// The same of PostgreSQL, about its tables and what they are looked up by.
pub fn assert_sound_in(server: &Postgres) {
    // OFFSET 0: only what is meant is looked at.
    let of = |kind: char| {
        format!(
            "(SELECT c.oid FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace JOIN pg_am a ON a.oid = c.relam
              WHERE n.nspname = current_schema() AND c.relkind = '{kind}' AND a.amname IN ('btree', 'heap')
              OFFSET 0) own"
        )
    };
    server.sql("CREATE EXTENSION IF NOT EXISTS amcheck");
    // What it finds is an error.
    server.sql(&format!("SELECT bt_index_check(own.oid, true) FROM {}", of('i')));
    let found = server.sql(&format!("SELECT own.oid::regclass, v.* FROM {}, verify_heapam(own.oid) v", of('r')));
    assert_eq!(found, "", "the ledger's tables");
}

/// The most often that a batch of this run was leased and charged for it.
pub fn most_attempts(file: &Path, run_id: &str) -> i64 {
    let connection = open(file).expect("the ledger can be read");
    let sql = "SELECT max(attempt) FROM batches JOIN runs USING (run) WHERE id = ?1";
    connection.query_row(sql, [run_id], |row| row.get(0)).expect("the ledger can be read")
}

fn open(file: &Path) -> rusqlite::Result<Connection> {
    let connection = Connection::open_with_flags(file, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    connection.busy_timeout(std::time::Duration::from_secs(10))?;
    Ok(connection)
}

/// Round and sequence number in it.
type Place = (i64, i64);

fn read(file: &Path, run_id: &str) -> rusqlite::Result<Ledger> {
    let mut connection = open(file)?;
    // One moment of the ledger, whoever writes it meanwhile.
    let moment = connection.transaction()?;
    let run: i64 = moment.query_row("SELECT run FROM runs WHERE id = ?1", [run_id], |row| row.get(0))?;
    let listed: Vec<(Place, String)> =
        rows(&moment, "SELECT round, seq, id FROM records WHERE run = ?1 ORDER BY round, seq", run, |row| {
            Ok(((row.get(0)?, row.get(1)?), row.get(2)?))
        })?;
    let by_seq: HashMap<Place, u64> =
        listed.iter().map(|(place, id)| (*place, id.parse().expect("a whole number"))).collect();
    let deliveries = "SELECT d.number, d.state, d.positions, d.body_sha256, d.retry_of, b.first_seq, b.size, b.round,
                             d.present, d.absent
                      FROM deliveries d JOIN batches b USING (run, round, batch) WHERE d.run = ?1 ORDER BY d.number";
    let deliveries = rows(&moment, deliveries, run, |row| delivery(row, run_id, &by_seq))?;
    let endings = "SELECT ending, count(*) FROM leases WHERE run = ?1 GROUP BY ending";
    let endings = rows(&moment, endings, run, |row| Ok((ending(row.get(0)?).to_owned(), row.get(1)?)))?;
    Ok(Ledger {
        // Later rounds take over what the first one listed.
        listed: listed.iter().filter(|((round, _), _)| *round == 1).map(|(place, _)| by_seq[place]).collect(),
        deliveries,
        endings: endings.into_iter().collect(),
    })
}

fn rows<T>(
    from: &Connection,
    sql: &str,
    run: i64,
    each: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
) -> rusqlite::Result<Vec<T>> {
    from.prepare(sql)?.query_map([run], each)?.collect()
}

fn delivery(row: &Row<'_>, run_id: &str, by_seq: &HashMap<Place, u64>) -> rusqlite::Result<Delivery> {
    let told = Told {
        number: row.get(0)?,
        state: row.get(1)?,
        positions: row.get(2)?,
        body: row.get(3)?,
        retry_of: row.get(4)?,
        first: row.get(5)?,
        size: row.get(6)?,
        round: row.get(7)?,
        present: row.get(8)?,
        absent: row.get(9)?,
    };
    Ok(told.delivery(run_id, by_seq))
}

/// A delivery as it stands in a ledger, with the batch it is of.
struct Told {
    number: i64,
    state: i64,
    positions: Option<Vec<u8>>,
    body: [u8; 32],
    retry_of: i64,
    first: i64,
    size: u32,
    round: i64,
    present: Option<Vec<u8>>,
    absent: Option<Vec<u8>>,
}

impl Told {
    fn delivery(&self, run_id: &str, by_seq: &HashMap<Place, u64>) -> Delivery {
        let places = |bytes: &Vec<u8>| Positions::decode(bytes).expect("places as they are written");
        let of = |places: Positions| -> Vec<u64> {
            places.iter().map(|place| by_seq[&(self.round, self.first + i64::from(place))]).collect()
        };
        let ids = of(self.positions.as_ref().map_or_else(|| Positions::all(self.size), places));
        let texts: Vec<RecordId> =
            ids.iter().map(|id| RecordId::from_text(&id.to_string()).expect("a number")).collect();
        let state = match self.state {
            0 => State::Open,
            1 => State::Applied,
            2 => State::NotApplied,
            3 => State::Rejected,
            4 => State::InDoubt,
            5 => State::PartlyApplied,
            other => panic!("a delivery in state {other}"),
        };
        let some = |bytes: &Option<Vec<u8>>| bytes.as_ref().map_or_else(Vec::new, |bytes| of(places(bytes)));
        let key = idempotency_key(run_id, &texts, &self.body);
        let (present, absent) = (some(&self.present), some(&self.absent));
        Delivery { number: self.number, state, ids, present, absent, key, retry_of: self.retry_of }
    }
}

fn ending(number: Option<i64>) -> &'static str {
    match number {
        None => "held",
        Some(0) => "completed",
        Some(1) => "released",
        Some(2) => "expired",
        Some(_) => "unknown",
    }
}
