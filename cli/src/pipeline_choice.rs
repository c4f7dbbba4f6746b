//! What PIPELINE and --set mean on a command line.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::Path;

use muster_pipeline::{Pipeline, built_in, built_in_names};

use crate::failure::{Failure, nearest};

/// The pipeline that was meant.
#[derive(Debug)]
pub struct Choice {
    /// What it says.
    pub pipeline: Pipeline,
    /// True when every coordinator knows it without being told.
    pub built_in: bool,
}

/// No name of a pipeline or of a file is longer.
const LONGEST_NAME: usize = 255;
/// No value of a parameter is longer, in bytes.
const LONGEST_VALUE: usize = 8 << 10;

/// The pipeline that was meant: a built-in one by its name, else the one in a file.
pub fn choose(typed: &str) -> Result<Choice, Failure> {
    let pipeline = Pipeline::from_yaml(&text(typed)?, typed).map_err(|error| Failure::usage(error.to_string()))?;
    Ok(Choice { pipeline, built_in: built_in(typed).is_some() })
}

/// Its text.
pub fn text(typed: &str) -> Result<Cow<'static, str>, Failure> {
    if let Some(yaml) = built_in(typed) {
        return Ok(yaml.into());
    }
    let path = Path::new(typed);
    let looks_like_a_path = typed.contains(std::path::MAIN_SEPARATOR)
        || path.extension().is_some_and(|extension| extension == "yaml" || extension == "yml");
    if !looks_like_a_path && !path.is_file() {
        return Err(unknown(typed));
    }
    std::fs::read_to_string(path).map(Cow::from).map_err(|error| unreadable(typed, path, &error))
}

fn unreadable(typed: &str, path: &Path, error: &std::io::Error) -> Failure {
    let failure = Failure::usage(format!("cannot read the pipeline file {typed}: {error}"));
    let help = match error.kind() {
        _ if path.is_dir() => "a pipeline is one file: give the path of a *.yaml in that folder",
        ErrorKind::NotFound => "give the path of a pipeline file, or the name of a built-in pipeline, such as animals",
        ErrorKind::PermissionDenied => "the file must be readable for you: change its owner or mode",
        ErrorKind::InvalidData => "a pipeline is a YAML file, in UTF-8",
        _ => return failure,
    };
    failure.help(help)
}

fn unknown(typed: &str) -> Failure {
    let names: Vec<_> = built_in_names().collect();
    if typed.is_empty() || typed.chars().count() > LONGEST_NAME {
        return Failure::usage("what stands for the pipeline can be neither a name nor a path")
            .help(format!("built in: {}; or give the path of a pipeline file", names.join(", ")));
    }
    let failure = Failure::usage(format!("there is no built-in pipeline {typed:?}, and no such file"));
    let failure = match nearest(typed, names.iter().copied()) {
        Some(name) => failure.help(format!("did you mean {name}?")),
        None => failure,
    };
    failure.help(format!("built in: {}; or give the path of a pipeline file, such as ./{typed}.yaml", names.join(", ")))
}

/// The values of `--set NAME=VALUE`.
pub fn parameters(set: &[String]) -> Result<BTreeMap<String, String>, Failure> {
    let mut values = BTreeMap::new();
    // Blank lines of the environment's variable say nothing.
    for setting in set.iter().filter(|setting| !setting.trim().is_empty()) {
        let (name, value) = match setting.split_once('=') {
            Some((name, value)) if !name.trim().is_empty() => (name.trim(), value),
            _ => {
                return Err(Failure::usage(format!("--set {setting:?} is not of the form NAME=VALUE"))
                    .help("such as --set base_url=http://127.0.0.1:3123"));
            }
        };
        if value.len() > LONGEST_VALUE {
            return Err(Failure::usage(format!("--set {name}=… has {} bytes", value.len()))
                .help(format!("more than {LONGEST_VALUE} cannot be meant: was something else expanded there?")));
        }
        if values.insert(name.to_owned(), value.to_owned()).is_some() {
            return Err(Failure::usage(format!("--set gives {name} more than once"))
                .help("give it once, with the value that is meant"));
        }
    }
    Ok(values)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exit::Exit;

    fn parsed(set: &[&str]) -> Result<BTreeMap<String, String>, Failure> {
        parameters(&set.iter().map(|&setting| setting.to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn settings_are_names_and_values() {
        let values = parsed(&["base_url=http://h:1/?a=b", "empty=", ""]).expect("good");
        assert_eq!(values["base_url"], "http://h:1/?a=b");
        assert_eq!(values["empty"], "");
        let long = format!("a={}", "x".repeat(10_000));
        for bad in [&["base_url"][..], &["=x"], &["a=1", "a=2"], &[&long]] {
            assert_eq!(parsed(bad).expect_err("bad").exit(), Exit::Usage);
        }
    }

    #[test]
    fn a_mistyped_pipeline_gets_a_suggestion() {
        assert!(choose("animals").is_ok());
        let failure = choose("animal").map(|_| ()).expect_err("none").to_string();
        assert!(failure.contains("did you mean animals?"), "{failure}");
        let long = choose(&"a".repeat(5_000)).map(|_| ()).expect_err("none").to_string();
        assert!(long.len() < 300, "{long}");
        let failure = choose("./nowhere.yaml").map(|_| ()).expect_err("none").to_string();
        assert!(failure.contains("cannot read the pipeline file ./nowhere.yaml"), "{failure}");
    }
}
