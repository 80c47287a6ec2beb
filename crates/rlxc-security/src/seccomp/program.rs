//! A compiled program, to be carried in a plan and loaded in the child.

use std::io;
use std::os::fd::OwnedFd;

use rlxc_sys::seccomp::{self, Instruction};
use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// A compiled policy as plain data.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Program {
    /// code, jump if true, jump if false, operand
    pub instructions: Vec<(u16, u8, u8, u32)>,
    /// Whether a listener for notifications is needed
    pub notify: bool,
}

impl Program {
    /// The program in the kernel's form; to be called before the fork.
    #[must_use]
    pub fn prepare(&self) -> Prepared {
        let instructions = self
            .instructions
            .iter()
            .map(|&(code, jt, jf, k)| Instruction { code, jt, jf, k })
            .collect();
        Prepared {
            instructions,
            notify: self.notify,
        }
    }

    /// [`Self::prepare`] and [`Prepared::load`] in one, for single-threaded callers.
    ///
    /// # Errors
    /// What the kernel has against it, with what to do.
    pub fn load(&self) -> Result<Option<OwnedFd>> {
        self.prepare().load().map_err(|source| Error::LoadFilter {
            remedy: remedy(&source),
            source,
        })
    }
}

fn remedy(error: &io::Error) -> &'static str {
    match error.raw_os_error() {
        Some(nix::libc::EACCES) => {
            "it needs CAP_SYS_ADMIN in the user namespace, or lxc.no_new_privs = 1"
        }
        Some(nix::libc::EBUSY) => {
            "another filter has a notify listener already; remove the notify rules"
        }
        Some(nix::libc::ENOSYS) => "the kernel is built without CONFIG_SECCOMP_FILTER",
        _ => "the kernel refused the program",
    }
}

/// A program ready to be loaded between fork and exec.
pub struct Prepared {
    instructions: Vec<Instruction>,
    notify: bool,
}

impl std::fmt::Debug for Prepared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "Prepared({} instructions, notify: {})",
            self.instructions.len(),
            self.notify
        )
    }
}

impl Prepared {
    /// Loads the program on the calling thread, without setting no_new_privs; the listener if it notifies. Allocates
    /// nothing.
    ///
    /// # Errors
    /// The errno of seccomp(2).
    pub fn load(&self) -> io::Result<Option<OwnedFd>> {
        seccomp::load(&self.instructions, self.notify)
    }
}
