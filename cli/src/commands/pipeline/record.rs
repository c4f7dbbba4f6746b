//! `pipeline record`: real answers on a cassette.

use std::path::Path;

use muster_pipeline::{Cassette, Recorder, Requester, Wanted};
use muster_telemetry::Stderr;
use url::Url;

use super::sampling;
use crate::args::CassetteArgs;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::render::numbers::counted;
use crate::{manner, whole_file};

/// `muster pipeline record FILE --cassette F`.
pub async fn record(args: CassetteArgs, proxy: Option<Url>, stderr: &Stderr) -> Result<Exit, Failure> {
    let ready = sampling::ready(&args.file, &args.set)?;
    may_be_replaced(&args.cassette)?;
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
    whole_file::write(&args.cassette, cassette.to_yaml().as_bytes())?;
    let many = |count: usize, one, more| counted(i64::try_from(count).unwrap_or(i64::MAX), one, more);
    let (requests, records) =
        (many(cassette.len(), "request", "requests"), many(sample.records.len(), "record", "records"));
    manner::remark(stderr, &format!("{requests} for {records} in {path}, without secrets"));
    let next = format!("next: muster pipeline test {} --cassette {path} --update", args.file);
    manner::remark(stderr, &next);
    Ok(Exit::Fine)
}

/// A cassette may be recorded anew. Whatever else is there is somebody's work: the pipeline's own file, say.
fn may_be_replaced(path: &Path) -> Result<(), Failure> {
    let is_other =
        path.is_file() && std::fs::read_to_string(path).map_or(true, |text| Cassette::from_yaml(&text).is_err());
    if is_other {
        return Err(Failure::usage(format!("{} is there and is no cassette", path.display()))
            .help("it would be lost: give another file, or move it away"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_cassette_is_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("herd.yaml");
        assert!(may_be_replaced(&path).is_ok());
        std::fs::write(&path, "name: herd\n").unwrap();
        let said = may_be_replaced(&path).unwrap_err().to_string();
        assert!(said.contains("herd.yaml is there and is no cassette"), "{said}");
        std::fs::write(&path, Recorder::default().cassette(1, &[]).to_yaml()).unwrap();
        assert!(may_be_replaced(&path).is_ok());
    }
}
