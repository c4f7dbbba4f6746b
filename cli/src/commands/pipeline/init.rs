//! `pipeline init`: a pipeline for an API that nobody described yet.

use std::fs::OpenOptions;
use std::future::Future;
use std::io::{self, BufRead, IsTerminal, Write};
use std::path::Path;
use std::pin::{Pin, pin};
use std::time::Duration;

use http::{HeaderName, HeaderValue};
use muster_pipeline::{LookError, Proposal, ProposeError, Wish, propose};
use muster_telemetry::Stderr;
use url::Url;

use super::sampling;
use crate::args::InitArgs;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::render::clean;
use crate::{manner, output};

/// How long an API may take before it is said what is waited for.
const MOMENT: Duration = Duration::from_secs(2);

/// `muster pipeline init [URL]`.
pub async fn init(args: InitArgs, proxy: Option<Url>, stderr: &Stderr) -> Result<Exit, Failure> {
    let typed = match args.url {
        Some(url) => url,
        None => asked(stderr)?,
    };
    let wish = Wish {
        url: url(typed.trim())?,
        headers: args
            .header
            .iter()
            .filter(|text| !text.trim().is_empty())
            .map(|text| header(text))
            .collect::<Result<_, _>>()?,
        name: args.name,
        out: out()?,
    };
    let config = sampling::config(proxy);
    let proposing = pin!(propose(&wish, &config));
    let proposal = patiently(proposing, || manner::remark(stderr, &waiting(&wish.url))).await.map_err(failure)?;
    match &args.output {
        Some(file) => write(file, &proposal.yaml)?,
        None => drop(output::print(&proposal.yaml)?),
    }
    tell(&proposal, args.output.as_deref(), stderr);
    Ok(Exit::Fine)
}

/// Waits for what comes, and says so when that takes longer than a moment.
async fn patiently<T>(mut coming: Pin<&mut impl Future<Output = T>>, say: impl FnOnce()) -> T {
    match tokio::time::timeout(MOMENT, coming.as_mut()).await {
        Ok(came) => came,
        Err(_) => {
            say();
            coming.await
        }
    }
}

/// What is waited for. The URL's query may hold a key.
fn waiting(list: &Url) -> String {
    let mut list = list.clone();
    list.set_query(None);
    list.set_fragment(None);
    format!("waiting for {list} to answer: the list, and then a few of its records, are asked for; Ctrl-C gives up")
}

fn tell(proposal: &Proposal, file: Option<&Path>, stderr: &Stderr) {
    let mut lines = vec!["what was seen:".to_owned()];
    lines.extend(proposal.seen.iter().map(|words| format!("  - {}", clean(words))));
    lines.push("what was guessed, and should be looked at:".to_owned());
    lines.extend(proposal.guessed.iter().map(|words| format!("  - {}", clean(words))));
    if let Some(file) = file {
        lines.push(format!("next: muster pipeline try {file}", file = file.display()));
    }
    lines.iter().for_each(|line| manner::remark(stderr, line));
}

/// Asks whoever sits at the terminal.
fn asked(stderr: &Stderr) -> Result<String, Failure> {
    if !io::stdin().is_terminal() {
        return Err(Failure::usage("which list is to be looked at?").help("muster pipeline init https://HOST/PATH"));
    }
    stderr.write_lines(b"the URL of the API's list, such as https://api.example/items:\n");
    let mut line = String::new();
    let read = io::stdin().lock().read_line(&mut line);
    match read {
        Ok(1..) if !line.trim().is_empty() => Ok(line),
        _ => Err(Failure::usage("no URL was given").help("muster pipeline init https://HOST/PATH")),
    }
}

fn url(text: &str) -> Result<Url, Failure> {
    let help = "write it whole, such as https://api.example/items";
    let url = Url::parse(text).map_err(|error| Failure::usage(format!("{text} is not a URL: {error}")).help(help))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(Failure::usage(format!("{text} is not an http or https URL")).help(help));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(Failure::usage("a URL must not carry a user name or password")
            .help("--header 'Authorization: Basic ...' sends them; the file gets references in their place"));
    }
    Ok(url)
}

fn header(text: &str) -> Result<(HeaderName, HeaderValue), Failure> {
    // The value may be a secret: it is not repeated.
    let wrong = || Failure::usage("--header is not of the form 'Name: value'").help("such as --header 'X-Key: 123'");
    let (name, value) = text.split_once(':').ok_or_else(wrong)?;
    let name = HeaderName::try_from(name.trim()).map_err(|_| wrong())?;
    let mut value = HeaderValue::try_from(value.trim()).map_err(|_| wrong())?;
    value.set_sensitive(true);
    Ok((name, value))
}

/// The folder `out` here, as a URL.
fn out() -> Result<String, Failure> {
    let here = std::env::current_dir().map_err(|error| Failure::new(format!("there is no current folder: {error}")))?;
    let url = Url::from_directory_path(here.join("out"));
    url.map(|url| url.as_str().trim_end_matches('/').to_owned())
        .map_err(|()| Failure::new("the current folder has no absolute path"))
}

/// A file that is there is somebody's work.
fn write(file: &Path, yaml: &str) -> Result<(), Failure> {
    let failed = |error: io::Error| {
        let failure = Failure::new(format!("cannot write {}: {error}", file.display()));
        match error.kind() {
            io::ErrorKind::AlreadyExists => failure.help("give another name to -o, or move that file away"),
            _ => failure.help("give a file in a folder that is there"),
        }
    };
    let mut open = OpenOptions::new().write(true).create_new(true).open(file).map_err(failed)?;
    open.write_all(yaml.as_bytes()).map_err(failed)
}

fn failure(error: ProposeError) -> Failure {
    let failure = Failure::new(error.to_string());
    match error {
        ProposeError::Look { error: LookError::Fetch(error), .. } => match error {
            muster_pipeline::FetchError::Refused { .. } => {
                failure.help("send what it wants: --header 'Authorization: Bearer ...'")
            }
            other => failure.help(other.advice()),
        },
        ProposeError::Shape(_) => failure.help("give the URL of a list with records in it"),
        _ => failure,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_waited_for_is_named_without_a_key() {
        let said = waiting(&Url::parse("https://api.test/items?key=canary&page=1#top").expect("a URL"));
        assert!(said.starts_with("waiting for https://api.test/items to answer"), "{said}");
        assert!(!said.contains("canary"), "{said}");
    }
}
