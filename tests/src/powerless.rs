//! Programs without root's power over files that are not theirs, so that permissions mean something to tests that run as
//! root too.

use std::ffi::{OsStr, OsString};
use std::path::Path;

use crate::process::Start;
use crate::programs;

/// Is this process root's?
pub fn is_root() -> bool {
    // Whose /proc/self is: asked without a system call of our own.
    std::fs::metadata("/proc/self").is_ok_and(|own| std::os::unix::fs::MetadataExt::uid(&own) == 0)
}

/// `muster` with these arguments, for which the modes of files and folders hold.
pub fn muster<S: AsRef<OsStr>>(folder: &Path, arguments: impl IntoIterator<Item = S>) -> Start {
    if !is_root() {
        return Start::muster(folder, arguments);
    }
    let without = "--bounding-set=-dac_override,-dac_read_search,-fowner";
    let own = [OsString::from(without), OsString::from("--"), programs::muster().into_os_string()];
    let arguments = arguments.into_iter().map(|argument| argument.as_ref().to_owned());
    Start::program(Path::new("setpriv"), folder, own.into_iter().chain(arguments))
}
