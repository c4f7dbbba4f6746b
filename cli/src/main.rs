//! The program `muster`; everything is in the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    muster::main(std::env::args_os())
}
