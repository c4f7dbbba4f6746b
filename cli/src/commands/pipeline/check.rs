//! `pipeline check`: whether a pipeline can work, without asking anybody.

use muster_pipeline::{Pipeline, SpecError, built_in};
use muster_telemetry::Stderr;
use serde_json::{Value, json};
use url::Url;

use super::live;
use crate::args::CheckArgs;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::render::clean;
use crate::render::paint::{self, Tone};
use crate::{output, pipeline_choice};

/// What came of one file.
struct Checked {
    file: String,
    result: Result<Pipeline, Wrong>,
}

/// Why a file is no good.
enum Wrong {
    /// It cannot be read.
    File(Failure),
    /// What it says.
    Spec(SpecError),
}

/// `muster pipeline check FILE...`.
pub async fn check(args: CheckArgs, proxy: Option<Url>, stderr: &Stderr) -> Result<Exit, Failure> {
    if args.live {
        return live::check(&args, proxy).await;
    }
    let set = pipeline_choice::parameters(&args.set.set)?;
    let check_one = |file: &String| Checked { file: file.clone(), result: read(file, &set) };
    let checked: Vec<Checked> = args.files.iter().map(check_one).collect();
    let is_fine = checked.iter().all(|checked| checked.result.is_ok());
    if args.json {
        let files: Vec<Value> = checked.iter().map(as_json).collect();
        output::print_json(&json!({"ok": is_fine, "files": files}))?;
        return Ok(if is_fine { Exit::Fine } else { Exit::Usage });
    }
    for Checked { file, result } in &checked {
        match result {
            Ok(pipeline) => drop(output::print(&in_words(file, pipeline))?),
            Err(wrong) => stderr.write_lines(format!("{}\n", wrong.failure().painted()).as_bytes()),
        }
    }
    Ok(if is_fine { Exit::Fine } else { Exit::Usage })
}

type Set = std::collections::BTreeMap<String, String>;

/// Reads a file. With all parameters that it needs, its URLs are checked as well.
fn read(file: &str, set: &Set) -> Result<Pipeline, Wrong> {
    let pipeline = match pipeline_choice::text(file) {
        Ok(text) => Pipeline::from_yaml(&text, file).map_err(Wrong::Spec)?,
        Err(failure) => return Err(Wrong::File(failure)),
    };
    let missing = missing(&pipeline, set);
    if missing.is_empty() || set.keys().any(|name| pipeline.parameters().iter().all(|known| known.name != *name)) {
        pipeline.compile(set).map_err(Wrong::Spec)?;
    } else {
        // Those that are given can be checked without the others. What a text is to be nobody knows: one that fits will do.
        let compiled = TEXTS.map(|text| {
            let mut filled = set.clone();
            let examples = missing.iter().map(|known| (known.name.clone(), example(known.kind, text).to_owned()));
            filled.extend(examples);
            pipeline.compile(&filled)
        });
        if compiled.iter().all(Result::is_err) {
            compiled.into_iter().next().transpose().map_err(Wrong::Spec)?;
        }
    }
    Ok(pipeline)
}

fn missing<'a>(pipeline: &'a Pipeline, set: &Set) -> Vec<&'a muster_pipeline::Parameter> {
    pipeline.parameters().iter().filter(|known| known.required && !set.contains_key(&known.name)).collect()
}

/// What a text may be: a word, a place for files, a URL.
const TEXTS: [&str; 3] = ["x", "file:///x", "http://host.invalid"];

/// A value that stands for one that will be set.
fn example(kind: muster_pipeline::ParameterKind, text: &'static str) -> &'static str {
    match kind {
        muster_pipeline::ParameterKind::Text => text,
        muster_pipeline::ParameterKind::Url => "http://host.invalid",
        muster_pipeline::ParameterKind::Time => "2026-01-01T00:00:00Z",
    }
}

impl Wrong {
    fn failure(&self) -> Failure {
        match self {
            Wrong::File(failure) => failure.clone(),
            Wrong::Spec(error) => Failure::usage(error.to_string()),
        }
    }
}

fn in_words(file: &str, pipeline: &Pipeline) -> String {
    let kind = if built_in(file).is_some() { " (built in)" } else { "" };
    let mut text = format!("{} {}{kind}\n", paint::out(Tone::Good, "ok:"), clean(file));
    let mut say = |label: &str, words: &str| text.push_str(&format!("  {label:<10}  {}\n", clean(words)));
    say("pipeline", &format!("{}, revision {}", pipeline.name(), pipeline.revision()));
    for parameter in pipeline.parameters() {
        let about = match parameter.description.lines().next() {
            Some(about) if !about.is_empty() => format!(": {about}"),
            _ => String::new(),
        };
        say(
            "parameter",
            &match &parameter.default {
                Some(default) => format!("{} is {default} by default{about}", parameter.name),
                None => format!("{} must be set: --set {}=VALUE{about}", parameter.name, parameter.name),
            },
        );
    }
    for secret in pipeline.secret_references() {
        let here = if secret.problem().is_none() { "there in this process" } else { "not there in this process" };
        say("secret", &format!("{} for {}, {here}", secret.text, secret.key));
    }
    text
}

fn as_json(checked: &Checked) -> Value {
    match &checked.result {
        Ok(pipeline) => {
            let parameters: Vec<Value> = pipeline
                .parameters()
                .iter()
                .map(|known| json!({"name": known.name, "required": known.required, "default": known.default}))
                .collect();
            let secrets: Vec<Value> = pipeline
                .secret_references()
                .iter()
                .map(|secret| json!({"key": secret.key, "reference": secret.text, "here": secret.problem().is_none()}))
                .collect();
            json!({
                "file": checked.file, "ok": true, "name": pipeline.name(), "revision": pipeline.revision(),
                "parameters": parameters, "secrets": secrets,
            })
        }
        Err(Wrong::File(failure)) => json!({"file": checked.file, "ok": false, "error": {"message": failure.what()}}),
        Err(Wrong::Spec(error)) => {
            let place = error.place();
            json!({"file": checked.file, "ok": false, "error": {
                "message": error.what(), "help": error.mend(), "key": error.dotted_key(),
                "line": place.map(|place| place.line), "column": place.map(|place| place.column),
            }})
        }
    }
}
