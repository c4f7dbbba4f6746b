//! The program `muster`; everything is in the library.

use std::process::ExitCode;

/// See Cargo.toml.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    muster::main(std::env::args_os())
}
