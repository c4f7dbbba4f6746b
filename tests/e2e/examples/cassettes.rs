//! Examples on cassettes: of real servers, without the servers. By `muster pipeline record` from Datasette 0.65.5 and Kinto
//! 26.5.0, and by vcrpy 9.4.2 from Datasette, asked by Python's requests and urllib.

use std::path::Path;

use muster_tests::process::{Ended, Start};

use super::{example, examples};

const DATASETTE: [&str; 4] = ["database=zoo", "table=animals", "page_size=5", "out=file:///tmp/zoo"];
const KINTO: [&str; 2] = ["from=buckets/zoo/collections/animals", "page_size=5"];

async fn test(here: &Path, name: &str, set: &[&str], cassette: &str, more: &[&str]) -> Ended {
    let file = example(name);
    let mut line = vec!["pipeline", "test", &file, "--cassette", cassette];
    set.iter().for_each(|set| line.extend(["--set", set]));
    line.extend(more);
    Start::muster(here, &line).run().await
}

fn assert_as_expected(ended: Ended) {
    let ended = ended.with_code(0);
    assert!(ended.stdout.contains("ok: 12 records as expected"), "{}", ended.stdout);
    assert!(!ended.stderr.contains("not asked for"), "{}", ended.stderr);
}

#[tokio::test(flavor = "multi_thread")]
async fn examples_give_what_is_expected_of_cassettes_of_real_servers() {
    let here = tempfile::tempdir().expect("a folder");
    for (name, set) in [("datasette.yaml", &DATASETTE[..]), ("kinto.yaml", &KINTO)] {
        let cassette = examples().join("cassettes").join(name);
        let text = std::fs::read_to_string(&cassette).expect("a cassette");
        assert!(!text.contains("not-a-secret") && !text.contains("Basic "), "{name} has a secret on it");
        assert_as_expected(test(here.path(), name, set, cassette.to_str().expect("a path"), &[]).await);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_another_transform_makes_of_a_real_answer_is_seen() {
    let here = tempfile::tempdir().expect("a folder");
    let text = std::fs::read_to_string(example("datasette.yaml")).expect("an example");
    let changed = text.replace("transform: .rows[0]", "transform: .rows[0] | .weight_kg |= (. // 0)");
    assert_ne!(changed, text);
    std::fs::write(here.path().join("changed.yaml"), changed).expect("a file");
    let cassette = examples().join("cassettes/datasette.yaml");
    let mut line = vec!["pipeline", "test", "changed.yaml", "--cassette", cassette.to_str().expect("a path")];
    DATASETTE.iter().for_each(|set| line.extend(["--set", set]));
    let ended = Start::muster(here.path(), &line).run().await.with_code(3);
    assert!(ended.stdout.contains("-     \"weight_kg\": null"), "{}", ended.stdout);
}

#[tokio::test(flavor = "multi_thread")]
async fn cassettes_that_vcrpy_recorded_are_played() {
    let here = tempfile::tempdir().expect("a folder");
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures");
    for name in ["datasette-by-vcrpy.yaml", "datasette-by-vcrpy.json"] {
        let cassette = here.path().join(name);
        std::fs::copy(fixtures.join(name), &cassette).expect("a cassette");
        let expected = examples().join("cassettes/datasette.expected.jsonl");
        std::fs::copy(expected, cassette.with_extension("expected.jsonl")).expect("what is expected");
        assert_as_expected(test(here.path(), "datasette.yaml", &DATASETTE, name, &["--records", "12"]).await);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_tools_do_what_the_readme_of_the_examples_says() {
    let here = tempfile::tempdir().expect("a folder");
    std::os::unix::fs::symlink(examples(), here.path().join("pipelines")).expect("a link");
    let readme = std::fs::read_to_string(examples().join("README.md")).expect("a page");
    let blocks = readme.split("```sh\n").skip(1).map(|rest| rest.split("```").next().expect("an end"));
    let whole = blocks.collect::<String>().replace("\\\n", " ");
    let commands: Vec<&str> = whole.lines().filter(|line| line.starts_with("muster pipeline ")).collect();
    assert!(commands.len() >= 4, "{commands:?}");
    let muster = muster_tests::programs::muster();
    for command in commands {
        let line = command.replacen("muster", muster.to_str().expect("a path"), 1);
        let ended = Start::program(Path::new("/bin/bash"), here.path(), ["-c", &line]).run().await.with_code(0);
        assert!(!command.contains(" test ") || ended.stdout.contains("ok: 12 records"), "{command}: {}", ended.stdout);
    }
}
