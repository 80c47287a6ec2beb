//! Does one thing, started by exec: a storage job in a mapped user namespace or a private mount
//! namespace, or a question to systemd.
//!
//! Arguments of a job: the number of a descriptor for the result (one line of JSON), and the job as
//! JSON. Arguments of a question: see [`scope`].

mod scope;

use std::process::ExitCode;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    if let Some((word, question)) = args.split_first()
        && word == "scope"
    {
        return scope::serve(question);
    }
    let status = rlxc_storage::Job::serve(&args);
    ExitCode::from(u8::try_from(status).unwrap_or(1))
}
