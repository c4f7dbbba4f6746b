//! A connection that reads ahead and writes behind, for transitions of many leases in one transaction.
//!
//! Transitions ask for one batch's facts at a time, which on a wire costs more than what is done with them. What all of
//! those in a group will ask for is read before they run, one statement for each kind; what they write waits until all have
//! run, again one statement for each kind. A statement that is not known here is run at once, after all that waits, and
//! what was read before it is forgotten: slower, and as right.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use super::connection::own_sql;
use crate::domain::{BatchRef, LeaseRef};
use crate::store::Swept;
use crate::store::ledger::{Connection, Fault, Hold, Row, SqlResult, Statement, Value, params, sql};

/// A connection on which all transitions of a group run.
pub(super) struct Ahead<'a> {
    connection: &'a dyn Connection,
    /// What is held until the transaction ends.
    runs: BTreeSet<i64>,
    batches: HashSet<BatchRef>,
    known: RefCell<Known>,
    behind: RefCell<Vec<Write>>,
}

/// What was read ahead, as it will be once what waits is written.
#[derive(Default)]
struct Known {
    leases: HashMap<LeaseRef, Row>,
    facts: HashMap<i64, Vec<Row>>,
    deliveries: HashMap<BatchRef, Vec<Row>>,
    exceptions: HashMap<BatchRef, Vec<Row>>,
    counters: BTreeMap<i64, Counters>,
}

/// A run's counters.
#[derive(Default)]
struct Counters {
    deliveries: i64,
    acknowledged: i64,
    acknowledges: bool,
    changes: i64,
    is_written: bool,
}

/// Rows that wait to be written by one statement.
struct Write {
    form: &'static Form,
    values: Vec<Value>,
    rows: Vec<Vec<Value>>,
}

/// How a statement about one row is written for many.
struct Form {
    name: &'static str,
    many: &'static Statement,
    /// So many columns say which row it is: one statement changes a row once.
    key: usize,
}

/// They are written in the order in which they were first asked for. That a delivery is settled before the next of its batch is
/// announced needs no more: settling in an announcement looks at the round at once, which writes what waits.
const FORMS: [Form; 5] = [
    Form { name: "delivery_insert", many: own_sql!("deliveries_insert"), key: 5 },
    Form { name: "delivery_settle", many: own_sql!("deliveries_settle"), key: 5 },
    Form { name: "lease_end", many: own_sql!("leases_end"), key: 4 },
    Form { name: "lease_report", many: own_sql!("leases_report"), key: 4 },
    Form { name: "batch_finish", many: own_sql!("batches_finish"), key: 3 },
];
const EXTEND: Form = Form { name: "batch_extend", many: sql!("batch_extend"), key: 3 };

/// Columns of `deliveries_of_batch`, and where `delivery_settle` has what goes there.
const SETTLED: [(usize, usize); 4] = [(5, 5), (15, 6), (10, 10), (11, 11)];
/// The columns of `deliveries_of_batch` that say which delivery of a batch it is, and where `delivery_settle` has them.
const WHICH: [(usize, usize); 2] = [(1, 3), (2, 4)];

impl<'a> Ahead<'a> {
    /// Holds the runs and batches of these leases, in the order of `ledger`'s transitions, and reads what is known of them.
    pub fn of(connection: &'a dyn Connection, leases: &[LeaseRef]) -> SqlResult<Self> {
        let runs: BTreeSet<i64> = leases.iter().map(|lease| lease.batch.run).collect();
        let batches: HashSet<BatchRef> = leases.iter().map(|lease| lease.batch).collect();
        let each: Vec<_> = runs.iter().map(|run| params![run].to_vec()).collect();
        connection.query_each(own_sql!("runs_hold_together"), &[], &each)?;
        connection.hold_batches(&batches.iter().copied().collect::<Vec<_>>())?;
        let known = Known::read(connection, leases, &batches)?;
        Ok(Self { connection, runs, batches, known: RefCell::new(known), behind: RefCell::default() })
    }

    /// Writes all that waits.
    pub fn write(&self) -> SqlResult<()> {
        for Write { form, values, rows } in self.behind.take() {
            self.connection.execute_each(form.many, &values, &rows)?;
        }
        let mut known = self.known.borrow_mut();
        let written: Vec<_> = known.counters.iter().filter(|(_, counters)| counters.is_written).collect();
        let row = |(run, of): &(&i64, &Counters)| {
            params![run, of.deliveries, of.acknowledged, of.acknowledges, of.changes].to_vec()
        };
        let rows: Vec<_> = written.iter().map(row).collect();
        self.connection.execute_each(own_sql!("counters_write"), &[], &rows)?;
        for counters in known.counters.values_mut() {
            (counters.acknowledges, counters.changes, counters.is_written) = (false, 0, false);
        }
        Ok(())
    }

    /// Writes all that waits and forgets what was read: what comes now may read or change anything.
    fn at_once(&self) -> SqlResult<&'a dyn Connection> {
        self.write()?;
        *self.known.borrow_mut() = Known::default();
        Ok(self.connection)
    }

    /// Lets rows wait for a statement.
    fn wait(&self, form: &'static Form, values: &[Value], rows: &[Vec<Value>]) -> SqlResult<usize> {
        let same = |write: &Write| write.form.name == form.name && write.values == values;
        let is_there = |write: &Write| {
            write.rows.iter().any(|known| rows.iter().any(|row| known.get(..form.key) == row.get(..form.key)))
        };
        if self.behind.borrow().iter().any(|write| same(write) && is_there(write)) {
            self.write()?;
        }
        let mut behind = self.behind.borrow_mut();
        match behind.iter_mut().find(|write| same(write)) {
            Some(write) => write.rows.extend_from_slice(rows),
            None => behind.push(Write { form, values: values.to_vec(), rows: rows.to_vec() }),
        }
        Ok(rows.len())
    }

    /// Changes a run's counters, which are held from here on.
    fn count(&self, values: &[Value], change: impl FnOnce(&mut Counters) -> i64) -> SqlResult<i64> {
        let [Value::Int(Some(run))] = values else { return Err(unlike("counters")) };
        let mut known = self.known.borrow_mut();
        if !known.counters.contains_key(run) {
            let read =
                |row: &Row| Ok(Counters { deliveries: row.get(0)?, acknowledged: row.get(1)?, ..Counters::default() });
            let counters = self.connection.query_row(own_sql!("counters_hold"), values, read)?;
            known.counters.insert(*run, counters);
        }
        let counters = known.counters.entry(*run).or_default();
        counters.is_written = true;
        Ok(change(counters))
    }
}

impl Connection for Ahead<'_> {
    fn execute(&self, statement: &Statement, values: &[Value]) -> SqlResult<usize> {
        if statement.name == "run_changed" {
            return self
                .count(values, |counters| {
                    counters.changes += 1;
                    1
                })
                .map(|_| 1);
        }
        let Some(form) = FORMS.iter().find(|form| form.name == statement.name) else {
            return self.at_once()?.execute(statement, values);
        };
        let done = self.wait(form, &[], &[values.to_vec()])?;
        self.known.borrow_mut().note(form, values)?;
        Ok(done)
    }

    fn query(&self, statement: &Statement, values: &[Value]) -> SqlResult<Vec<Row>> {
        let number = |number: i64| vec![Row(vec![Value::Int(Some(number))])];
        let known = match statement.name {
            "run_next_delivery" => {
                return self
                    .count(values, |counters| {
                        counters.deliveries += 1;
                        counters.deliveries
                    })
                    .map(number);
            }
            "run_next_acknowledgement" => {
                return self
                    .count(values, |counters| {
                        counters.acknowledges = true;
                        counters.acknowledged += 1;
                        counters.acknowledged
                    })
                    .map(number);
            }
            "run_facts" => values.first().and_then(|run| self.known.borrow().facts.get(&int(run)?).cloned()),
            "deliveries_of_batch" => batch(values).and_then(|of| self.known.borrow().deliveries.get(&of).cloned()),
            "exceptions_of_batch" => batch(values).and_then(|of| self.known.borrow().exceptions.get(&of).cloned()),
            _ => None,
        };
        known.map_or_else(|| self.at_once()?.query(statement, values), Ok)
    }

    fn execute_each(&self, statement: &Statement, values: &[Value], each: &[Vec<Value>]) -> SqlResult<usize> {
        match statement.name {
            _ if each.is_empty() => Ok(0),
            "batch_extend" => self.wait(&EXTEND, values, each),
            _ => self.at_once()?.execute_each(statement, values, each),
        }
    }

    fn query_each(&self, statement: &Statement, values: &[Value], each: &[Vec<Value>]) -> SqlResult<Vec<Row>> {
        let lease = |row: &Vec<Value>| self.known.borrow().leases.get(&lease(row)?).cloned();
        let known = (statement.name == "lease_by_token").then(|| each.iter().map(lease).collect::<Option<Vec<_>>>());
        known.flatten().map_or_else(|| self.at_once()?.query_each(statement, values, each), Ok)
    }

    fn hold(&self, run: i64, how: Hold) -> SqlResult<()> {
        if how == Hold::Together && self.runs.contains(&run) {
            return Ok(());
        }
        // Others of the group hold it together: nobody can have it alone here.
        Err(Fault::InTheWay("a transition of a group holds what it did not say".to_owned()))
    }

    fn hold_grants(&self, runs: &[(i64, u32)]) -> SqlResult<()> {
        self.at_once()?.hold_grants(runs)
    }

    fn hold_batches(&self, batches: &[BatchRef]) -> SqlResult<()> {
        if batches.iter().all(|batch| self.batches.contains(batch)) {
            return Ok(());
        }
        self.at_once()?.hold_batches(batches)
    }

    fn give_space_back(&self) -> SqlResult<Swept> {
        self.at_once()?.give_space_back()
    }
}

impl Known {
    /// Reads what is known of these leases, one statement for each kind.
    fn read(connection: &dyn Connection, leases: &[LeaseRef], batches: &HashSet<BatchRef>) -> SqlResult<Self> {
        let mut known = Self::default();
        let each = |lease: &LeaseRef| {
            let LeaseRef { batch: BatchRef { run, round, batch }, epoch } = lease;
            params![run, round, batch, epoch].to_vec()
        };
        let each: Vec<_> = leases.iter().map(each).collect();
        for row in connection.query_each(sql!("lease_by_token"), &[], &each)? {
            let epoch = row.get(row.0.len().saturating_sub(1))?;
            let batch = batch(&row.0).ok_or_else(|| unlike("lease_by_token"))?;
            known.leases.insert(LeaseRef { batch, epoch }, row);
        }
        for run in batches.iter().map(|batch| batch.run).collect::<BTreeSet<_>>() {
            known.facts.insert(run, connection.query(sql!("run_facts"), params![run])?);
        }
        let each: Vec<_> = batches.iter().map(|of| params![of.run, of.round, of.batch].to_vec()).collect();
        known.deliveries = by_batch(batches, connection.query_each(own_sql!("deliveries_of_batches"), &[], &each)?)?;
        known.exceptions = by_batch(batches, connection.query_each(own_sql!("exceptions_of_batches"), &[], &each)?)?;
        Ok(known)
    }

    /// Takes note of what waits to be written: what would have to be read again is forgotten.
    fn note(&mut self, form: &Form, values: &[Value]) -> SqlResult<()> {
        let of = batch(values).ok_or_else(|| unlike(form.name))?;
        match form.name {
            "delivery_settle" => {
                let is_it = |row: &Row| WHICH.iter().all(|(column, value)| row.0.get(*column) == values.get(*value));
                let rows = self.deliveries.get_mut(&of).into_iter().flatten();
                for row in rows.filter(|row| is_it(row)) {
                    for (column, value) in SETTLED {
                        row.0[column].clone_from(&values[value]);
                    }
                }
            }
            "delivery_insert" => {
                self.deliveries.remove(&of);
            }
            _ => self.leases.retain(|lease, _| lease.batch != of),
        }
        Ok(())
    }
}

/// Rows with their batch in the last three columns, without these; for each batch, also where there are none.
fn by_batch(batches: &HashSet<BatchRef>, rows: Vec<Row>) -> SqlResult<HashMap<BatchRef, Vec<Row>>> {
    let mut found: HashMap<BatchRef, Vec<Row>> = batches.iter().map(|batch| (*batch, Vec::new())).collect();
    for mut row in rows {
        let of = row.0.split_off(row.0.len().saturating_sub(3));
        let of = batch(&of).ok_or_else(|| unlike("a batch"))?;
        found.entry(of).or_default().push(row);
    }
    Ok(found)
}

fn int(value: &Value) -> Option<i64> {
    if let Value::Int(number) = value { *number } else { None }
}

/// The batch that the first three of these say.
fn batch(values: &[Value]) -> Option<BatchRef> {
    let [run, round, batch, ..] = values else { return None };
    Some(BatchRef { run: int(run)?, round: int(round)?.try_into().ok()?, batch: int(batch)? })
}

/// The lease that the first four of these say.
fn lease(values: &[Value]) -> Option<LeaseRef> {
    Some(LeaseRef { batch: batch(values)?, epoch: int(values.get(3)?)?.try_into().ok()? })
}

fn unlike(what: &str) -> Fault {
    Fault::bad(format!("the statement about {what} is not as it is taken for"))
}
