//! The program `rlxc`, also called by the names of LXC's tools.

use std::process::ExitCode;

fn main() -> ExitCode {
    rlxc_cli::main()
}
