//! The `plinth` binary: reads what it was told and runs one command. `plinth --help` is the reference.

use std::process::ExitCode;

/// The system's own takes twice as long for what is kept of each run of a workflow while it is under way: see decision 92.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    plinth_server::run()
}
