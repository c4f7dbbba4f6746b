//! What can keep a worker from working, named by what its operator does next.

use tonic::Code;

/// Why a worker could not start or had to stop.
#[derive(Debug, thiserror::Error)]
pub enum WorkerError {
    /// The coordinator's address cannot be used: mend the flag.
    #[error(
        "cannot use the coordinator's address {url:?}: {why}. Give --coordinator (or MUSTER_COORDINATOR) a URL such as \
         http://127.0.0.1:7470"
    )]
    BadUrl {
        /// The address as given, without credentials.
        url: String,
        /// What is wrong with it.
        why: String,
    },
    /// A file that says who this is, or whom to believe, cannot be used: mend it.
    #[error("{} cannot be used: {why}", file.display())]
    BadFile {
        /// The file, or the variable that was read in its place.
        file: std::path::PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// No connection to the coordinator can be made.
    #[error("no connection: {}", why.as_deref().unwrap_or("nobody answers"))]
    NoConnection {
        /// What is wrong and what to do about it; nothing: nobody answers.
        why: Option<String>,
    },
    /// A setting cannot be used: mend the flag.
    #[error("cannot use {value} for {setting}: {why}")]
    BadSetting {
        /// The setting, as a flag.
        setting: &'static str,
        /// The value as given.
        value: String,
        /// What would be right.
        why: &'static str,
    },
    /// The coordinator answered, and it will not have this worker: mend the worker's identity or the coordinator's rules.
    #[error(
        "the coordinator refuses this worker: {message} ({code:?}). Check that --coordinator points to the right \
         coordinator, and that it lets this worker in"
    )]
    Refused {
        /// The gRPC code of the answer.
        code: Code,
        /// The coordinator's words.
        message: String,
    },
    /// A bug ended the work on a batch: the log has its message. A new process starts clean.
    #[error("a bug ended the work on a batch: see the message above, start the worker again and report it")]
    Bug,
    /// The operating system gives no random numbers or no signals.
    #[error("cannot start: {0}")]
    System(#[from] std::io::Error),
}
