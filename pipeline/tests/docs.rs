//! The samples of docs/PIPELINES.md do what the page says they do.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::collections::BTreeMap;

use muster_pipeline::{Pipeline, SpecError};

const PAGE: &str = include_str!("../../docs/PIPELINES.md");

/// The blocks of one language, each with the line of the page on which it begins.
fn blocks(language: &str) -> Vec<(usize, String)> {
    let mut blocks = Vec::new();
    let mut open: Option<(usize, &str, String)> = None;
    for (number, line) in PAGE.lines().enumerate() {
        match (&mut open, line.strip_prefix("```")) {
            (None, Some(language)) => open = Some((number + 2, language, String::new())),
            (Some(_), Some(_)) => blocks.extend(open.take()),
            (Some((_, _, text)), None) => *text += &format!("{line}\n"),
            (None, None) => {}
        }
    }
    assert!(open.is_none(), "a block is not closed");
    blocks.into_iter().filter(|block| block.1 == language).map(|(line, _, text)| (line, text)).collect()
}

/// The parts of a file that begin with a key at the margin.
fn sections(yaml: &str) -> BTreeMap<String, String> {
    let mut sections = BTreeMap::new();
    let mut key = String::new();
    for line in yaml.lines().filter(|line| !line.is_empty()) {
        if let Some((name, _)) = line.split_once(':').filter(|_| !line.starts_with([' ', '#'])) {
            key = name.to_owned();
        }
        *sections.entry(key.clone()).or_insert_with(String::new) += &format!("{line}\n");
    }
    sections
}

/// The first whole file.
fn first() -> String {
    let whole = blocks("yaml").into_iter().map(|(_, text)| text).find(|text| text.starts_with("muster: 1\n"));
    whole.expect("a pipeline that is written from nothing")
}

/// That file, with these sections in place of its own.
fn with(other: BTreeMap<String, String>) -> String {
    let first = first();
    let mut all = sections(&first);
    all.extend(other);
    all.into_values().collect()
}

fn with_transform(program: &str) -> Result<Pipeline, SpecError> {
    let indented: String = program.lines().map(|line| format!("  {line}\n")).collect();
    let transform = BTreeMap::from([("transform".to_owned(), format!("transform: |\n{indented}"))]);
    Pipeline::from_yaml(&with(transform), "sample.yaml")
}

#[test]
fn every_pipeline_and_every_part_of_one_can_be_used() {
    let samples = blocks("yaml");
    assert!(samples.len() >= 4);
    for (line, sample) in samples {
        let yaml = if sample.contains("muster: 1") { sample } else { with(sections(&sample)) };
        let pipeline = Pipeline::from_yaml(&yaml, "sample").unwrap_or_else(|error| panic!("line {line}: {error}"));
        pipeline.compile(&BTreeMap::new()).unwrap_or_else(|error| panic!("line {line}: {error}"));
    }
}

#[test]
fn every_transform_gives_what_the_page_says() {
    let mut checked = 0;
    for (line, sample) in blocks("jq") {
        let said = |line: &str| Some(line.strip_prefix("# ")?.split_once(':')?.1.trim().to_owned());
        let (comments, program): (Vec<&str>, Vec<&str>) = sample.lines().partition(|line| line.starts_with("# "));
        let read = with_transform(&program.join("\n"));
        if let Some(refused) = comments.iter().find(|line| line.starts_with("# refused:")) {
            let error = read.err().unwrap_or_else(|| panic!("line {line}: it was taken")).to_string();
            assert!(error.contains(&said(refused).unwrap()), "line {line}: {error}");
            checked += 1;
            continue;
        }
        let compiled = read.and_then(|pipeline| pipeline.compile(&BTreeMap::new()));
        let compiled = compiled.unwrap_or_else(|error| panic!("line {line}: {error}"));
        assert!(!comments.is_empty(), "line {line}: a sample without input and output");
        for pair in comments.chunks(2) {
            let [input, output] = pair else { panic!("line {line}: an input without an output") };
            let given = compiled.process(said(input).unwrap().as_bytes());
            match (given, output.starts_with("# error:")) {
                (Ok(record), false) => assert_eq!(record.body, said(output).unwrap(), "line {line}"),
                (Err(error), true) => assert!(error.reason.contains(&said(output).unwrap()), "line {line}: {error}"),
                (given, _) => panic!("line {line}: {given:?}"),
            }
            checked += 1;
        }
    }
    assert!(checked >= 12, "{checked}");
}

#[test]
fn every_key_is_in_a_table_with_its_default() {
    let first = first();
    let pipeline = Pipeline::from_yaml(&first, "first").unwrap();
    let canonical: serde_json::Value = serde_json::from_str(pipeline.canonical()).unwrap();
    let row = |key: &str| {
        let rows = PAGE.lines().filter(|line| line.starts_with(&format!("| `{key}` |")));
        rows.map(str::to_owned).reduce(|all, row| all + "\n" + &row).unwrap_or_else(|| panic!("no row for {key}"))
    };
    for section in ["load", "limits"] {
        for (key, value) in canonical[section].as_object().unwrap() {
            if key == "request" || key == "not_applied" {
                continue;
            }
            let default = match key.as_str() {
                "settle_after" => "post_timeout".to_owned(),
                "rejected" => value.to_string().replace(',', ", "),
                _ => value.as_str().map_or_else(|| value.to_string(), str::to_owned),
            };
            assert!(row(key).contains(&format!("| `{default}` |")), "{key} is {default}, but: {}", row(key));
        }
    }
    for (key, default) in [
        ("list.concurrency", &canonical["source"]["list"]["concurrency"]),
        ("first", &canonical["source"]["list"]["pagination"]["page_number"]["first"]),
    ] {
        assert!(row(key).contains(&format!("`{default}`")), "{key}");
    }
    for key in canonical.as_object().unwrap().keys() {
        row(key);
    }
}

#[test]
fn the_message_about_a_slip_is_the_real_one() {
    let first = first();
    let error = Pipeline::from_yaml(&first.replace("items: ", "itms: "), "my-herd.yaml").unwrap_err();
    assert!(PAGE.contains(&error.to_string()), "{error}");
}
