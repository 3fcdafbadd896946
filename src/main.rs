//! argv to exit code.

mod cli;

use std::process::ExitCode;

fn main() -> ExitCode {
    // The step's helper is this same program, started anew: nothing else may run before it.
    rbuild::init();
    cli::main(std::env::args_os().collect()).into()
}
