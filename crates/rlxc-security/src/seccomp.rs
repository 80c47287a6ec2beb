//! seccomp: LXC's policy files, compiled to one program for every architecture the machine runs.
//!
//! * [`Policy::parse`] / [`Policy::load`]: the file (versions 1 and 2), with errors located in it.
//! * [`compile`]: the program; argument conditions are lowered by `seccompiler`, everything around them here, because
//!   a policy has several actions and architectures.
//! * [`Program`]: plain data for a plan; [`Program::prepare`] before the fork, [`Prepared::load`] after it.
//! * [`notify`]: notifications forwarded to a proxy.
//!
//! # References
//! seccomp(2), lxc.container.conf(5)

pub mod arch;
mod compiler;
pub mod notify;
mod parser;
mod policy;
mod program;

pub use arch::Arch;
pub use compiler::{Compiled, compile};
pub use policy::{Action, Comparison, Condition, Policy, Rule, Syscall};
pub use program::{Prepared, Program};

use std::fs;

use rlxc_config::Config;

use crate::{Error, Result};

/// Whether the calling process is confined by a seccomp filter already.
///
/// # Errors
/// When /proc/self/status cannot be read.
pub fn already_confined() -> Result<bool> {
    let path = "/proc/self/status";
    let text = fs::read_to_string(path).map_err(|source| Error::Read {
        path: path.into(),
        source,
    })?;
    Ok(text
        .lines()
        .find_map(|line| line.strip_prefix("Seccomp:"))
        .is_some_and(|mode| mode.trim() != "0"))
}

/// Reads and compiles the policy of `config`: `None` when there is none, or when the caller is confined already and
/// `lxc.seccomp.allow_nesting` is not 1 (LXC's rule; logged). Unknown system calls are logged as warnings.
///
/// # Errors
/// For a file that cannot be read, or a policy that is wrong.
pub fn prepare(config: &Config) -> Result<Option<Program>> {
    let Some(profile) = &config.seccomp.profile else {
        return Ok(None);
    };
    let policy = Policy::load(profile)?;
    if !config.seccomp.allow_nesting && already_confined()? {
        tracing::warn!(profile = %profile.display(), "already confined by seccomp: the policy is not loaded");
        return Ok(None);
    }
    let compiled = compile(&policy, &Arch::of_machine()?)?;
    for warning in &compiled.warnings {
        tracing::warn!(profile = %profile.display(), "{warning}");
    }
    Ok(Some(compiled.program))
}
