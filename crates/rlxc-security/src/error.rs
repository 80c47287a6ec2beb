//! What can go wrong with a container's confinement.

use std::io;
use std::path::PathBuf;

/// The result of this crate's functions.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What can go wrong with a container's confinement.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A name or number in `lxc.cap.*` that is no capability.
    #[error(
        "{key}: \"{name}\" is no capability (names are written without \"cap_\", in lower case)"
    )]
    UnknownCapability {
        /// The key
        key: &'static str,
        /// What stands there
        name: String,
    },
    /// A resource in `lxc.prlimit.*` that does not exist.
    #[error("lxc.prlimit.{name}: no such resource limit")]
    UnknownLimit {
        /// What stands there
        name: String,
    },
    /// A soft limit above the hard one.
    #[error("lxc.prlimit.{name}: the soft limit is above the hard one")]
    SoftAboveHard {
        /// The resource
        name: String,
    },
    /// A limit could not be set.
    #[error("setting lxc.prlimit.{name}")]
    SetLimit {
        /// The resource
        name: String,
        /// Why
        source: io::Error,
    },
    /// A file could not be read.
    #[error("reading {path}")]
    Read {
        /// The file
        path: PathBuf,
        /// Why
        source: io::Error,
    },
    /// A file could not be written.
    #[error("writing {path}")]
    Write {
        /// The file
        path: PathBuf,
        /// Why
        source: io::Error,
    },
    /// A line of a seccomp policy is wrong.
    #[error("{path}:{line}:{column}: {reason}")]
    Policy {
        /// The policy's file
        path: PathBuf,
        /// Line, from 1
        line: usize,
        /// Column, from 1
        column: usize,
        /// What is wrong
        reason: String,
    },
    /// The policy makes a program longer than the kernel takes.
    #[error("the seccomp policy compiles to {len} instructions; the kernel takes at most 4096")]
    ProgramTooLong {
        /// Instructions
        len: usize,
    },
    /// An argument condition could not be compiled.
    #[error("compiling a condition on {syscall}: {reason}")]
    Condition {
        /// The system call
        syscall: String,
        /// The compiler's words
        reason: String,
    },
    /// The running machine's architecture has no seccomp support here.
    #[error("seccomp policies cannot be compiled for {arch}")]
    Architecture {
        /// The machine
        arch: &'static str,
    },
    /// The kernel refused the filter.
    #[error("loading the seccomp filter: {remedy}")]
    LoadFilter {
        /// What to do
        remedy: &'static str,
        /// Why
        source: io::Error,
    },
    /// AppArmor lacks what a profile needs.
    #[error("{0}")]
    AppArmorIncomplete(String),
    /// The starter is confined, and the kernel cannot stack profiles.
    #[error(
        "this process is confined by the AppArmor profile \"{current}\" already, and this kernel does not stack profiles: \
             lxc.apparmor.profile = {profile} cannot be set; \"unchanged\" keeps the profile that is there"
    )]
    AppArmorConfined {
        /// The profile asked for
        profile: String,
        /// The one that is there
        current: String,
    },
    /// apparmor_parser failed or is missing.
    #[error("apparmor_parser {action} {path}: {output}")]
    Parser {
        /// The options
        action: &'static str,
        /// The profile's file
        path: PathBuf,
        /// What it said
        output: String,
    },
    /// The label file is not on a real procfs.
    #[error("{path} is not on a procfs: a security label is not written to it")]
    NotProcfs {
        /// The file
        path: PathBuf,
    },
    /// A security label was refused.
    #[error("writing the security label \"{label}\"")]
    WriteLabel {
        /// The label
        label: String,
        /// Why
        source: io::Error,
    },
    /// A SELinux context is asked for, but SELinux is not active.
    #[error(
        "SELinux is not active in this kernel, so {key} = {context} cannot be set: boot with security=selinux \
             selinux=1 and a policy, or remove the key"
    )]
    NoSelinux {
        /// The key
        key: &'static str,
        /// The context
        context: String,
    },
    /// A message of the notify proxy is wrong.
    #[error("the seccomp notify proxy answered {0}")]
    ProxyAnswer(String),
    /// The proxy cannot be reached.
    #[error("connecting to the seccomp notify proxy {address}")]
    ProxyConnect {
        /// lxc.seccomp.notify.proxy
        address: String,
        /// Why
        source: io::Error,
    },
    /// Talking to the proxy or to the kernel failed.
    #[error("{step} for a seccomp notification")]
    Notify {
        /// What was tried
        step: &'static str,
        /// Why
        source: io::Error,
    },
}
