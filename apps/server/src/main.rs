//! The `plinth` binary: reads what it was told and runs one command. `plinth --help` is the reference.

use std::process::ExitCode;

fn main() -> ExitCode {
    plinth_server::run()
}
