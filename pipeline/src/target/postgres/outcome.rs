//! What became of a delivery to a database, by how far it came and what the database said.

use std::error::Error;
use std::fmt::Write;
use std::io;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use sqlx::postgres::PgDatabaseError;

use crate::http::PostOutcome;

/// How far a delivery came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    /// No transaction has begun.
    Connecting,
    /// There is a transaction, and it is not to be committed yet.
    Working,
    /// COMMIT may have been sent.
    Committing,
}

/// The stage of a delivery, to be read also when it was cut off.
#[derive(Debug, Default)]
pub(super) struct Progress(AtomicU8);

impl Progress {
    pub(super) fn reached(&self, stage: Stage) {
        self.0.store(stage as u8, Ordering::Relaxed);
    }

    pub(super) fn stage(&self) -> Stage {
        match self.0.load(Ordering::Relaxed) {
            0 => Stage::Connecting,
            1 => Stage::Working,
            _ => Stage::Committing,
        }
    }
}

/// Why a delivery was not acknowledged.
#[derive(Debug)]
pub(super) enum Failure {
    /// It would fare the same with other records: in words that say what to do.
    Wrong(String),
    /// There is no connection, for now.
    Unreachable(String),
    /// The post_timeout is over.
    TimedOut(Duration),
    /// The database, or the way to it.
    Failed(sqlx::Error),
}

impl From<sqlx::Error> for Failure {
    fn from(error: sqlx::Error) -> Self {
        Self::Failed(error)
    }
}

impl Failure {
    /// Of an attempt to connect.
    pub(super) fn from_connecting(error: sqlx::Error) -> Self {
        match error {
            sqlx::Error::Io(error) => Self::Unreachable(format!("no connection: {error}")),
            sqlx::Error::Tls(error) => match error.downcast_ref::<io::Error>().map(io::Error::kind) {
                Some(kind) if kind != io::ErrorKind::InvalidData => {
                    Self::Unreachable(format!("no connection: {error}"))
                }
                _ => Self::Wrong(format!(
                    "TLS with the database does not come about: {}; check sslmode and sslrootcert in what \
                     load.postgres.url refers to",
                    causes(&*error)
                )),
            },
            sqlx::Error::Database(error) if error.code().is_some_and(|code| code.starts_with("57")) => {
                // Starting up, or shutting down.
                Self::Unreachable(error.message().to_owned())
            }
            sqlx::Error::Protocol(what) => {
                Self::Wrong(format!("what answers where load.postgres.url points does not speak as PostgreSQL: {what}"))
            }
            error => Self::Failed(error),
        }
    }

    /// What it means for the delivery.
    pub(super) fn outcome(self, stage: Stage) -> PostOutcome {
        match self {
            Self::Wrong(detail) => PostOutcome::PipelineWrong { status: 0, detail },
            Self::Unreachable(reason) => PostOutcome::NotSent { reason },
            Self::TimedOut(timeout) => {
                let reason = format!("not done within {} ms (load.post_timeout)", timeout.as_millis());
                match stage {
                    Stage::Connecting => PostOutcome::NotSent { reason },
                    Stage::Working => not_applied(format!("{reason}, and taken back")),
                    Stage::Committing => in_doubt(&reason),
                }
            }
            Self::Failed(sqlx::Error::Database(error)) => {
                let Some(error) = error.try_downcast_ref::<PgDatabaseError>() else {
                    return in_doubt(error.message());
                };
                of_code(error.code(), told(error), stage)
            }
            Self::Failed(error) => {
                let reason = format!("the connection to the database was lost: {}", causes(&error));
                match stage {
                    Stage::Connecting | Stage::Working => not_applied(reason),
                    Stage::Committing => in_doubt(&reason),
                }
            }
        }
    }
}

/// By SQLSTATE: PostgreSQL's manual, appendix A.
fn of_code(code: &str, detail: String, stage: Stage) -> PostOutcome {
    let wrong = |help: &str| PostOutcome::PipelineWrong { status: 0, detail: format!("{detail}{help}") };
    match code.get(..2).unwrap_or_default() {
        // What COMMIT may be refused for by a constraint that is checked only then takes everything back.
        // Data, constraints, the same row twice in one statement, a view's check, and what a trigger raises.
        "21" | "22" | "23" | "44" | "P0" => PostOutcome::Rejected { status: 0, detail },
        // Serialization failures and deadlocks: rolled back.
        "40" if code != "40003" => not_applied(detail),
        _ if stage == Stage::Committing => in_doubt(&detail),
        "28" => wrong("; check user and password in what load.postgres.url refers to"),
        "3D" => wrong("; check the database's name in what load.postgres.url refers to"),
        "25" if code == "25006" => wrong("; records must go to a database that can be written to"),
        "42" if code == "42501" => wrong(
            "; GRANT the user INSERT on the table, and SELECT and INSERT on muster_loaded beside it (or CREATE on the schema, \
             where that is not there yet)",
        ),
        "42" if code == "42P10" => {
            wrong("; load.postgres.update_by must name the columns of a primary key or of a unique constraint")
        }
        "42" | "0A" | "3F" => wrong("; check load.postgres against the table"),
        _ => not_applied(detail),
    }
}

/// What the database said, and about what. The failing row itself is left out: it is known, and it may be long.
fn told(error: &PgDatabaseError) -> String {
    let mut text = format!("{} (SQLSTATE {}", error.message(), error.code());
    for (kind, name) in [("column", error.column()), ("constraint", error.constraint())] {
        if let Some(name) = name.filter(|name| !error.message().contains(*name)) {
            // Writing to a String does not fail.
            let _ = write!(text, ", {kind} {name}");
        }
    }
    text.push(')');
    if let Some(detail) = error.detail().filter(|_| matches!(error.code(), "23503" | "23505" | "23P01")) {
        let _ = write!(text, ": {detail}");
    }
    text
}

fn not_applied(detail: String) -> PostOutcome {
    PostOutcome::NotApplied { status: 0, retry_after: None, detail }
}

fn in_doubt(reason: &str) -> PostOutcome {
    let reason = format!("{reason}; nobody knows whether its COMMIT came through, the next try will find out");
    PostOutcome::InDoubt { status: None, reason, detail: String::new() }
}

/// An error with its causes; each says the next in its own words already, or not at all.
fn causes(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !text.contains(&more) {
            let _ = write!(text, ": {more}");
        }
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn word(code: &str, stage: Stage) -> &'static str {
        match of_code(code, "it said so".to_owned(), stage) {
            PostOutcome::Rejected { .. } => "rejected",
            PostOutcome::NotApplied { .. } => "not applied",
            PostOutcome::PipelineWrong { detail, .. } if detail.starts_with("it said so; ") => "pipeline wrong",
            PostOutcome::InDoubt { .. } => "in doubt",
            other => panic!("{code}: {other:?}"),
        }
    }

    #[test]
    fn what_the_database_says_by_its_code_and_by_how_far_the_delivery_came() {
        for (codes, working, committing) in [
            (&["22P02", "22003", "23502", "23505", "23514", "21000", "44000", "P0001"][..], "rejected", "rejected"),
            (&["40001", "40P01"], "not applied", "not applied"),
            (&["40003"], "not applied", "in doubt"),
            (
                &["42P01", "42703", "42501", "42P10", "28P01", "28000", "3D000", "3F000", "25006"],
                "pipeline wrong",
                "in doubt",
            ),
            (&["53100", "53300", "57014", "57P01", "57P03", "55P03", "58030", "XX000", ""], "not applied", "in doubt"),
        ] {
            for code in codes {
                assert_eq!(word(code, Stage::Working), working, "{code}");
                assert_eq!(word(code, Stage::Committing), committing, "{code} at COMMIT");
            }
        }
    }

    #[test]
    fn only_from_commit_on_is_a_silence_a_doubt() {
        let silent = || Failure::TimedOut(Duration::from_secs(1));
        let broken = || Failure::Failed(sqlx::Error::Io(io::ErrorKind::UnexpectedEof.into()));
        assert!(matches!(silent().outcome(Stage::Connecting), PostOutcome::NotSent { .. }));
        assert!(matches!(silent().outcome(Stage::Working), PostOutcome::NotApplied { .. }));
        assert!(matches!(silent().outcome(Stage::Committing), PostOutcome::InDoubt { .. }));
        assert!(matches!(broken().outcome(Stage::Working), PostOutcome::NotApplied { .. }));
        assert!(matches!(broken().outcome(Stage::Committing), PostOutcome::InDoubt { .. }));
        let refused = Failure::from_connecting(sqlx::Error::Io(io::ErrorKind::ConnectionRefused.into()));
        assert!(matches!(refused.outcome(Stage::Connecting), PostOutcome::NotSent { .. }));
    }
}
