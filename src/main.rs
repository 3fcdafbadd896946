//! argv to exit code.

mod cli;

use std::process::ExitCode;

fn main() -> ExitCode {
    let argv: Vec<_> = std::env::args_os().collect();
    // The step's helper is this same program, started anew: nothing else may run before it.
    if argv.get(1).is_some_and(|word| word == "__sandbox") {
        rbuild::sandbox::sandbox_main();
    }
    cli::main(argv).into()
}
