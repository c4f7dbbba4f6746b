//! Whole items under the tools of pipelines, and the example in `pipelines/`.

use std::collections::BTreeMap;
use std::path::Path;

use animals_api::Config;
use muster_tests::process::{Ended, Start};
use muster_tests::turn;
use serde_json::{Value, json};

use super::{RECORD_SIZE, whole};
use crate::{base_url, stand_in};

async fn muster(folder: &Path, line: &[&str]) -> Ended {
    Start::muster(folder, line).run().await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_tools_take_items_for_records() {
    let place = tempfile::tempdir().expect("a folder");
    let folder = place.path();
    let server = stand_in(Config { whole_items: true, ..Config::calm(300) });
    let set = base_url(&server);
    let write = |name: &str, text: &str| std::fs::write(folder.join(name), text).expect("a file");
    write("whole.yaml", &whole(&[]));
    write("tight.yaml", &whole(&[(RECORD_SIZE, &format!("{RECORD_SIZE}  record_size: 20B\n"))]));
    let tool = async |line: &[&str]| muster(folder, &[&["pipeline"][..], line].concat()).await;
    let explained = tool(&["explain", "whole.yaml"]).await.with_code(0).stdout;
    assert!(explained.contains("nothing more: the items of the list are whole records"), "{explained}");
    assert!(explained.contains("detail: none"), "{explained}");
    tool(&["check", "whole.yaml"]).await.with_code(0);

    let tried = tool(&["try", "whole.yaml", "--set", &set, "--records", "3", "--json"]).await.with_code(0).stdout;
    let lines: Vec<Value> = tried.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(lines.len(), 3);
    assert!(
        lines.iter().all(|line| line["before"]["friends"].is_string() && line["after"]["friends"].is_array()),
        "{tried}"
    );
    // In the order in which they are named; one of them stands on the last page.
    let named = ["try", "whole.yaml", "--set", &set, "--id", "295", "--id", "7", "--id", "7", "--id", "999", "--json"];
    let named = tool(&named).await.with_code(0).stdout;
    let lines: Vec<Value> = named.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let ids: Vec<&Value> = lines.iter().map(|line| &line["id"]).collect();
    assert_eq!(ids, [&json!(295), &json!(7), &json!(999)]);
    assert_eq!((&lines[1]["after"]["id"], &lines[2]["gone"]), (&json!(7), &json!(true)));
    let tight = tool(&["try", "tight.yaml", "--set", &set, "--records", "1"]).await.with_code(1);
    assert!(tight.stderr.contains("larger than 20 bytes; limits.record_size"), "{}", tight.stderr);
    let live =
        tool(&["check", "--live", "whole.yaml", "--set", &set, "--records", "20", "--json"]).await.with_code(0).json();
    assert_eq!((&live["records"], &live["pages_read"]), (&json!(20), &json!(2)));

    let record = ["record", "whole.yaml", "--cassette", "my.cassette.yaml", "--set", &set, "--records", "12"];
    let recorded = tool(&record).await.with_code(0).stderr;
    assert!(recorded.contains("requests for 12 records in my.cassette.yaml"), "{recorded}");
    let test = ["test", "whole.yaml", "--cassette", "my.cassette.yaml", "--set", &set];
    tool(&[&test[..], &["--update"]].concat()).await.with_code(0);
    let fine = tool(&test).await.with_code(0).stdout;
    assert!(fine.contains("ok: 12 records as expected"), "{fine}");

    // An API whose records have nothing that the list has not is not asked for them.
    let list = format!("{}/animals/v1/animals", server.base_url());
    let said = tool(&["init", &list, "-o", "mine.yaml"]).await.with_code(0).stderr;
    assert!(said.contains("the items are whole records: 3 were read"), "{said}");
    let proposed = std::fs::read_to_string(folder.join("mine.yaml")).expect("a file");
    assert!(proposed.contains("\n  detail: none\n"), "{proposed}");
    assert_eq!(server.book().summary().accepted, 0, "a tool sent something to the target");
    let details = server.book().counters().details;
    muster(folder, &["run", "./mine.yaml", "--set", &set, "--db", "mine.db"]).await.with_code(0);
    assert_eq!((details, server.book().counters().details), (3, 3), "only the look for init asked for any");
}

/// How often each animal is in the files of a folder, one a line.
fn lines(folder: &Path) -> BTreeMap<u64, u32> {
    let mut times = BTreeMap::new();
    for file in std::fs::read_dir(folder).expect("a folder").flatten() {
        assert!(file.file_name().to_string_lossy().ends_with(".ndjson"), "{file:?}");
        for line in std::fs::read_to_string(file.path()).expect("a file").lines() {
            let animal: Value = serde_json::from_str(line).expect("a record a line");
            assert!(animal["friends"].is_array(), "{animal}");
            *times.entry(animal["id"].as_u64().expect("an ID")).or_default() += 1;
        }
    }
    times
}

#[tokio::test(flavor = "multi_thread")]
async fn the_example_copies_a_list_into_files() {
    let _turn = turn::light().await;
    let place = tempfile::tempdir().expect("a folder");
    let server = stand_in(Config { whole_items: true, page_size: 100, chaos: 0.02, ..Config::calm(2_530) });
    let example = &crate::examples::example("whole-items-to-files.yaml");
    let (out, set) = (place.path().join("out"), base_url(&server));
    let into = format!("out=file://{}", out.display());
    let run = ["run", example, "--set", &set, "--set", &into, "--db", "my.db", "--json"];
    let first = muster(place.path(), &run).await.with_code(0).json();
    let run_id = first["run_id"].as_str().expect("an ID");
    assert_eq!(lines(&out.join(run_id)), (0..2_530).map(|id| (id, 1)).collect());
    assert_eq!(server.book().counters().details, 0);

    let again = [&run[..], &["--since", "latest"]].concat();
    let second = muster(place.path(), &again).await.with_code(0).json();
    let counts = &second["verdict"]["counts"];
    assert_eq!((&counts["unchanged"], &counts["loaded"]), (&json!(2_530), &json!(0)), "{second}");
    assert!(!out.join(second["run_id"].as_str().expect("an ID")).exists(), "nothing has changed");

    let export = muster(place.path(), &["export", run_id, "--db", "my.db"]).await.with_code(0).stdout;
    assert_eq!(export.lines().filter(|line| line.contains("\"state\":\"loaded\"")).count(), 2_530);
    let told = muster(place.path(), &["delete", run_id, "--db", "my.db", "--yes", "--json"]).await.with_code(0).json();
    assert!(told["bytes_after"].as_u64() < told["bytes_before"].as_u64().map(|before| before * 2 / 3), "{told}");
}
