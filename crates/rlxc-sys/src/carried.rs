//! Programs that are carried inside a shared library: executed by the dynamic linker, the library is
//! the program.
//!
//! # References
//! ld.so(8).

use std::ffi::CStr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};

/// The first argument of a library that is executed as the storage worker; without one, it is the
/// monitor.
pub const WORKER: &str = "--worker";

/// The first argument of a library that is executed to destroy a container: lxcpath and name follow.
pub const DESTROY: &str = "--destroy";

/// The dynamic linker by which a shared library that is a program too is executed.
#[cfg(target_arch = "x86_64")]
const LOADER: Option<&CStr> = Some(c"/lib64/ld-linux-x86-64.so.2");
#[cfg(target_arch = "aarch64")]
const LOADER: Option<&CStr> = Some(c"/lib/ld-linux-aarch64.so.1");
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
const LOADER: Option<&CStr> = None;

/// The dynamic linker that executes such a library.
#[must_use]
pub fn loader() -> Option<&'static CStr> {
    LOADER
}

static CARRIED: AtomicBool = AtomicBool::new(false);

/// Says that the object that this code lies in can be executed as the monitor and as the worker: a
/// library that was dropped in alone needs no programs beside it.
pub fn object_is_program() {
    CARRIED.store(true, Ordering::Relaxed);
}

/// The library that carries the programs, and the loader to execute it by.
#[must_use]
pub fn object() -> Option<(PathBuf, &'static CStr)> {
    CARRIED
        .load(Ordering::Relaxed)
        .then(crate::process::own_object)
        .flatten()
        .zip(LOADER)
}
