//! The per-container monitor process: a small single-threaded program started by exec.

fn main() -> std::process::ExitCode {
    rlxc_runtime::monitor::main()
}
