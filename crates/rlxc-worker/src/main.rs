//! Runs one storage job in a mapped user namespace or a private mount namespace, started by exec.
//!
//! Arguments: the number of a descriptor for the result (one line of JSON), and the job as JSON.

use std::process::ExitCode;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let status = rlxc_storage::Job::serve(&args);
    ExitCode::from(u8::try_from(status).unwrap_or(1))
}
