//! `pipeline record`: real answers on a cassette.

use muster_pipeline::{Recorder, Requester, Wanted};
use muster_telemetry::Stderr;
use url::Url;

use super::sampling;
use crate::args::CassetteArgs;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::manner;
use crate::render::numbers::counted;

/// `muster pipeline record FILE --cassette F`.
pub async fn record(args: CassetteArgs, proxy: Option<Url>, stderr: &Stderr) -> Result<Exit, Failure> {
    let ready = sampling::ready(&args.file, &args.set)?;
    let recorder = Recorder::default();
    let requester = Requester::recording(&ready.compiled, &sampling::config(proxy), &recorder);
    let requester = requester.map_err(|error| Failure::usage(error.to_string()))?;
    let sample = ready.compiled.sample(&requester, &Wanted::First(args.records)).await;
    let sample = sample.map_err(|error| sampling::unreadable(&error))?;
    if let Some(failure) = sampling::all_unreadable(&sample.records) {
        return Err(failure);
    }
    let cassette = recorder.cassette(args.records, &ready.pipeline.secrets());
    let path = args.cassette.display();
    std::fs::write(&args.cassette, cassette.to_yaml()).map_err(|error| {
        Failure::new(format!("cannot write the cassette {path}: {error}")).help("give a file in a folder that is there")
    })?;
    let many = |count: usize, one, more| counted(i64::try_from(count).unwrap_or(i64::MAX), one, more);
    let (requests, records) =
        (many(cassette.len(), "request", "requests"), many(sample.records.len(), "record", "records"));
    manner::remark(stderr, &format!("{requests} for {records} in {path}, without secrets"));
    let next = format!("next: muster pipeline test {} --cassette {path} --update", args.file);
    manner::remark(stderr, &next);
    Ok(Exit::Fine)
}
