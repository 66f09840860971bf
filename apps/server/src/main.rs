//! The `plinth` binary: reads what it was told and runs one command. `plinth --help` is the reference.

use std::process::ExitCode;

/// With the system's own a quarter of what a worker computes is allocating: see decision 92.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    plinth_server::run()
}
