//! Where a command changes something: at a coordinator, or in a file that this process opens for it as the one writer.

use std::path::{Path, PathBuf};

use muster_coordinator::{Config, Coordinator};
use muster_pipeline::Pipeline;

use crate::client::{Client, Target, database_url};
use crate::failure::Failure;

/// A ledger that can be changed. Nothing is listed or leased by having it.
pub struct Writing {
    /// Asks and changes.
    pub client: Client,
    own: Option<(Coordinator, PathBuf)>,
}

impl Writing {
    /// Connects, or opens the file.
    ///
    /// # Errors
    /// When nobody answers, there is no such file, or somebody else has it open for writing.
    pub async fn open(target: Target) -> Result<Writing, Failure> {
        Writing::with(target, Vec::new()).await
    }

    /// The same; these pipelines are known besides the built-in ones, if it is a file.
    pub async fn with(target: Target, pipelines: Vec<Pipeline>) -> Result<Writing, Failure> {
        let Target::Database(file) = target else {
            return Ok(Writing { client: Client::connect(target).await?, own: None });
        };
        let database = database_url(&file)?;
        must_exist(&file)?;
        let config = Config { database, pipelines, ..Config::default() };
        let coordinator = Coordinator::open(config).await.map_err(|error| Failure::new(error.to_string()))?;
        Ok(Writing { client: Client::in_process(&coordinator, &file), own: Some((coordinator, file)) })
    }

    /// The file, if it is one.
    pub fn file(&self) -> Option<&Path> {
        self.own.as_ref().map(|(_, file)| file.as_path())
    }

    /// Brings a file to where a coordinator would have brought it by itself: ends what is over, gives space back.
    pub async fn catch_up(&self) -> Result<(), Failure> {
        let Some((coordinator, file)) = &self.own else { return Ok(()) };
        let caught_up = coordinator.catch_up().await;
        caught_up.map_err(|error| Failure::new(format!("{}: {error}", file.display())))
    }

    /// Closes the file.
    pub async fn close(self) {
        drop(self.client);
        if let Some((coordinator, _)) = self.own {
            coordinator.shutdown().await;
        }
    }
}

/// A file that is to be changed is not to be made.
pub fn must_exist(file: &Path) -> Result<(), Failure> {
    if file.is_file() {
        return Ok(());
    }
    Err(Failure::new(format!("there is no database {}", file.display()))
        .help("give the file that `muster run` printed, or ask a coordinator: --coordinator URL"))
}

/// The record IDs in a file: a JSON text a line.
pub fn ids_in(file: &Path) -> Result<Vec<String>, Failure> {
    let text = std::fs::read_to_string(file)
        .map_err(|error| Failure::usage(format!("cannot read the IDs in {}: {error}", file.display())))?;
    // Some programs put a byte order mark before a text: it is no part of the first ID.
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
    let ids: Vec<String> = text.lines().map(str::trim).filter(|line| !line.is_empty()).map(str::to_owned).collect();
    if ids.is_empty() {
        return Err(Failure::usage(format!("there are no IDs in {}", file.display()))
            .help("an ID a line, as JSON text: 7 is the number, \"7\" with its quotes the text"));
    }
    Ok(ids)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_stand_in_lines() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("ids");
        std::fs::write(&file, "7\r\n\n \"7\"\n").expect("written");
        assert_eq!(ids_in(&file).expect("IDs"), ["7", "\"7\""]);
        std::fs::write(&file, "\u{feff}7\n8").expect("written");
        assert_eq!(ids_in(&file).expect("IDs"), ["7", "8"]);
        std::fs::write(&file, "\n").expect("written");
        assert!(ids_in(&file).expect_err("none").to_string().contains("there are no IDs"));
        assert!(ids_in(&folder.path().join("no")).is_err());
        assert!(must_exist(&folder.path().join("no")).is_err());
    }
}
