//! The examples in pipelines/, each to a complete and balanced verdict, against servers that look as theirs do; Datasette
//! is the real one.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use muster_tests::cluster::Cluster;
use muster_tests::process::Start;
use serde_json::Value;

mod cassettes;
mod contacts;
mod datasette;
mod dummyjson;
mod github;
mod kinto;

/// The folder of examples, as it is in the repository.
fn examples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("a workspace").join("pipelines")
}

/// An example's file.
pub(crate) fn example(name: &str) -> String {
    let path = examples().join(name);
    assert!(path.is_file(), "there is no {}", path.display());
    path.to_str().expect("a path").to_owned()
}

/// All files of pipelines, sorted.
fn all() -> BTreeSet<String> {
    let entries = std::fs::read_dir(examples()).expect("a folder").map(|entry| entry.expect("an entry").path());
    let pipelines = entries.filter(|path| path.extension().is_some_and(|ending| ending == "yaml" || ending == "yml"));
    pipelines.map(|path| path.file_name().expect("a name").to_string_lossy().into_owned()).collect()
}

/// Runs an example with these parameters and secrets to its end, which must be a good one, with so many records loaded.
async fn run(here: &Path, name: &str, set: &[&str], env: &[(&str, &str)], records: u64) -> Value {
    let file = example(name);
    let mut line = vec!["run", &file, "--db", "run.db", "--json"];
    set.iter().for_each(|set| line.extend(["--set", set]));
    let start = env.iter().fold(Start::muster(here, &line), |start, (name, value)| start.env(name, value));
    let run = start.run().await.with_code(0).json();
    let counts = &run["verdict"]["counts"];
    assert_eq!((&run["verdict"]["complete"], &run["verdict"]["balanced"]), (&true.into(), &true.into()), "{run}");
    assert_eq!((&counts["listed"], &counts["loaded"]), (&records.into(), &records.into()), "{run}");
    let ledger = Start::muster(here, ["export", "latest", "--db", "run.db"]).run().await.with_code(0).stdout;
    for (name, secret) in env {
        assert!(!ledger.contains(secret) && !run.to_string().contains(secret), "the secret {name} is shown");
    }
    run
}

/// Serves these routes on loopback, and gives their URL.
async fn serve(routes: axum::Router) -> String {
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    tokio::spawn(async move { axum::serve(listener, routes).await });
    url
}

/// Every test, word for word: where a pipeline that is run would be named.
fn tests() -> String {
    fn read(folder: &Path, text: &mut String) {
        for entry in std::fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path()) {
            match entry.is_dir() {
                true => read(&entry, text),
                // This file names none.
                false if entry.ends_with("examples/mod.rs") => {}
                false => text.push_str(&std::fs::read_to_string(&entry).expect("it can be read")),
            }
        }
    }
    let mut text = String::new();
    read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("e2e"), &mut text);
    text
}

#[tokio::test(flavor = "multi_thread")]
async fn every_example_is_run_by_a_test_and_told_of() {
    let (tests, here) = (tests(), tempfile::tempdir().expect("a folder"));
    let read = |name: &str| std::fs::read_to_string(examples().join("..").join(name)).expect("it can be read");
    let (readme, table) = (read("README.md"), read("pipelines/README.md"));
    assert!(all().len() >= 6, "{:?}", all());
    for name in all() {
        let run = name == "animals.yaml" || tests.contains(&format!("{name:?}"));
        assert!(run, "pipelines/{name} is run by no test of tests/e2e: name it there as {name:?}");
        for (page, text) in [("README.md", &readme), ("pipelines/README.md", &table)] {
            assert!(text.contains(&format!("{name})")), "{page} has no link to pipelines/{name}");
        }
        let text = read(&format!("pipelines/{name}"));
        assert!(text.starts_with("# yaml-language-server: $schema=pipeline.schema.json\n"), "{name}");
        let named = format!("\nname: {}\n", name.trim_end_matches(".yaml"));
        assert!(text.contains(&named), "a coordinator finds the pipeline in {name} under another name");
        Start::muster(here.path(), ["pipeline", "check", &example(&name)]).run().await.with_code(0);
        Start::muster(here.path(), ["pipeline", "explain", &example(&name)]).run().await.with_code(0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_coordinator_that_is_given_the_folder_knows_all_of_them() {
    let here = tempfile::tempdir().expect("a folder");
    let folder = examples();
    let cluster = Cluster::with(here.path(), &["--pipelines", folder.to_str().expect("a path")], &[]).await;
    let known = cluster.command(&["pipelines", "--json"]).run().await.with_code(0).json();
    let names = known["pipelines"].as_array().expect("a list").iter();
    let names: BTreeSet<String> =
        names.map(|known| format!("{}.yaml", known["name"].as_str().expect("a name"))).collect();
    assert_eq!(names, all());
}
