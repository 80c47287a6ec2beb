//! Runs a program in a container: `attach LXCPATH NAME PROGRAM…`, for measuring.

use std::path::Path;
use std::process::ExitCode;

use rlxc_config::Config;
use rlxc_runtime::attach::{
    AttachError, AttachOptions, AttachTask, arguments, attach_wait, flags, reexec_read_only,
};

fn run() -> Result<i32, AttachError> {
    reexec_read_only()?;
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [lxcpath, name, program @ ..] = words.as_slice() else {
        return Err(AttachError::NoProgram);
    };
    let mut options = AttachOptions::default();
    if std::env::var_os("NO_CGROUP").is_some() {
        options.flags &= !flags::MOVE_TO_CGROUP;
    }
    let task = AttachTask::Exec(arguments(program)?);
    attach_wait(Path::new(lxcpath), name, &Config::default(), &options, task)
}

fn main() -> ExitCode {
    match run() {
        Ok(status) => ExitCode::from((status >> 8) as u8),
        Err(error) => {
            use std::io::Write;
            let _ = writeln!(std::io::stderr(), "{error}: {:?}", error.errno());
            ExitCode::from(255)
        }
    }
}
