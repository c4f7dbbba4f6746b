//! A stand-in as a process of its own, and what programs that work on it cost.

use std::path::Path;
use std::time::Instant;

use anyhow::{Context, ensure};
use serde_json::Value;

use crate::process::{Ended, Process, Start};
use crate::programs;
use crate::scale::{address, book};

/// A stand-in.
pub(super) struct Api {
    process: Process,
    pub(super) base_url: String,
}

impl Api {
    /// One with these flags, on a port of its own. It is part of the measurement's world: it has as many threads as it may.
    pub(super) async fn start(folder: &Path, flags: &[&str]) -> Api {
        let own = ["--port", "0"];
        let process = Start::program(&programs::animals_api(), folder, own.iter().chain(flags)).start();
        let base_url = address(&process).await;
        Api { process, base_url }
    }

    /// Its book in short.
    pub(super) async fn book(&self) -> anyhow::Result<Value> {
        book(&self.base_url).await
    }

    /// The same, which must be perfect.
    pub(super) async fn perfect_book(&self) -> anyhow::Result<Value> {
        let book = self.book().await?;
        ensure!(book["perfect"] == true, "the book is not perfect: {book}");
        Ok(book)
    }

    /// Processor time that it has used.
    pub(super) fn cpu_seconds(&self) -> f64 {
        self.process.cpu_seconds()
    }
}

/// What a program cost from its start to its end.
pub(super) struct Cost {
    pub(super) ended: Ended,
    pub(super) seconds: f64,
    pub(super) cpu_seconds: f64,
    pub(super) peak_mebibytes: f64,
}

/// Runs a program to its end, which must be a good one.
pub(super) async fn measured(start: Start) -> anyhow::Result<Cost> {
    let began = Instant::now();
    let mut process = start.start();
    let spent = process.spent().await;
    let seconds = began.elapsed().as_secs_f64();
    let ended = process.ended().await;
    ensure!(ended.code == Some(0), "a program ended with {:?}:\n{}\n{}", ended.code, ended.stdout, ended.stderr);
    Ok(Cost { ended, seconds, cpu_seconds: spent.cpu_seconds, peak_mebibytes: spent.peak_kib as f64 / 1024.0 })
}

/// The bare client's word of what it did.
pub(super) async fn limit(folder: &Path, api: &Api, flags: &[&str]) -> anyhow::Result<Cost> {
    let own = ["--base-url", &api.base_url];
    let cost = measured(Start::program(&programs::limit(), folder, own.iter().chain(flags))).await?;
    api.perfect_book().await?;
    Ok(cost)
}

impl Cost {
    /// Seconds that the program says it took.
    pub(super) fn said_seconds(&self, name: &str) -> anyhow::Result<f64> {
        let said = self.ended.json();
        said[name].as_f64().with_context(|| format!("no {name} in {said}"))
    }
}
