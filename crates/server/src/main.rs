//! The binary: a command line around the library.

mod cli;

use std::process::ExitCode;

use mimalloc::MiMalloc;

/// A request makes many small values on one thread and drops some of them on another; the system's
/// allocator took a quarter more processor time for whole flows (`bench/`).
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    cli::main()
}
