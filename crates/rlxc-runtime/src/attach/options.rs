use std::ffi::CString;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use rlxc_sys::child::Callback;

use super::AttachError;

/// The bits of [`AttachOptions::flags`], numbered as in LXC's `attach_options.h`.
pub mod flags {
    /// Move the process into the container's cgroups
    pub const MOVE_TO_CGROUP: u32 = 0x1;
    /// Drop the capabilities that init's bounding set lacks
    pub const DROP_CAPABILITIES: u32 = 0x2;
    /// Set the execution domain
    pub const SET_PERSONALITY: u32 = 0x4;
    /// Take the LSM label at exec
    pub const LSM_EXEC: u32 = 0x8;
    /// Mount fresh /proc and /sys when the mount namespace is not entered
    pub const REMOUNT_PROC_SYS: u32 = 0x1_0000;
    /// Take the LSM label at once
    pub const LSM_NOW: u32 = 0x2_0000;
    /// Set no_new_privs
    pub const NO_NEW_PRIVS: u32 = 0x4_0000;
    /// Give the process a new terminal in place of those of its standard descriptors that are
    /// terminals, so that nothing inside gets at the caller's own (CVE-2016-10124)
    pub const TERMINAL: u32 = 0x8_0000;
    /// Use the given LSM label instead of init's
    pub const LSM_LABEL: u32 = 0x10_0000;
    /// Set the given supplementary groups
    pub const SETGROUPS: u32 = 0x20_0000;
    /// What is on unless said otherwise
    pub const DEFAULT: u32 = 0xFFFF;
    /// All about the LSM
    pub const LSM: u32 = LSM_EXEC | LSM_NOW | LSM_LABEL;
    /// What goes for a process with elevated privileges (`lxc-attach -e`); clear a part of it to
    /// elevate less
    pub const CONFINEMENT: u32 = MOVE_TO_CGROUP | DROP_CAPABILITIES | LSM;
}

/// How to attach: LXC's `lxc_attach_options_t`.
#[derive(Debug, Clone)]
pub struct AttachOptions {
    /// Bits of [`flags`]
    pub flags: u32,
    /// CLONE_NEW* mask of namespaces to enter; `None`: all that differ from the caller's
    pub namespaces: Option<u64>,
    /// Execution domain for the flag SET_PERSONALITY; `None`: that of the container
    pub personality: Option<u64>,
    /// Working directory; `None`: the caller's own, by name
    pub initial_cwd: Option<PathBuf>,
    /// User; `None`: that of init
    pub uid: Option<u32>,
    /// Group; `None`: that of init
    pub gid: Option<u32>,
    /// Supplementary groups for the flag SETGROUPS
    pub groups: Option<Vec<u32>>,
    /// What to do with the caller's environment
    pub env_policy: EnvPolicy,
    /// Variables to set, `NAME=VALUE`
    pub extra_env: Vec<String>,
    /// Names of variables to keep under [`EnvPolicy::Clear`]
    pub extra_keep: Vec<String>,
    /// The caller's descriptor for standard input
    pub stdin: RawFd,
    /// The caller's descriptor for standard output
    pub stdout: RawFd,
    /// The caller's descriptor for standard error
    pub stderr: RawFd,
    /// Where to report that the task could not be begun; `None`: on the process's standard error
    pub log: Option<RawFd>,
    /// Label for the flag LSM_LABEL
    pub lsm_label: Option<String>,
    /// Which descriptors the flag TERMINAL replaces
    pub replaced: Replaced,
    /// Whether the flag TERMINAL's new terminal passes every byte on as it is: nothing is echoed, no line end changed,
    /// no key a signal
    pub raw_terminal: bool,
}

/// Which standard descriptors become the new terminal.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Replaced {
    /// Those that are terminals
    #[default]
    Terminals,
    /// All three, whatever they are
    All,
}

/// What to do with the caller's environment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum EnvPolicy {
    /// The process gets it
    #[default]
    Keep,
    /// The process gets only the variables of `extra_keep`, and a PATH
    Clear,
}

/// What to do in the container.
#[derive(Debug)]
pub enum AttachTask {
    /// Execute a program; a name without slash is searched for along the process's PATH. The exit
    /// status is 126 when it cannot be executed, 127 when it is not there, 255 for other failures
    Exec(Vec<CString>),
    /// As `Exec`, with a program that need not be what the first argument says
    Program(CString, Vec<CString>),
    /// Execute the user's shell
    Shell,
    /// Call a function; its result is the exit status
    Call(Callback),
}

impl Default for AttachOptions {
    fn default() -> Self {
        Self {
            flags: flags::DEFAULT,
            namespaces: None,
            personality: None,
            initial_cwd: None,
            uid: None,
            gid: None,
            groups: None,
            env_policy: EnvPolicy::Keep,
            extra_env: Vec::new(),
            extra_keep: Vec::new(),
            stdin: 0,
            stdout: 1,
            stderr: 2,
            log: None,
            lsm_label: None,
            replaced: Replaced::Terminals,
            raw_terminal: false,
        }
    }
}

impl AttachOptions {
    /// Whether all bits of `flag` are set.
    pub fn has(&self, flag: u32) -> bool {
        self.flags & flag == flag
    }
}

/// The working directory to try.
pub(super) fn directory(options: &AttachOptions) -> Option<CString> {
    let wanted = options.initial_cwd.clone();
    let directory = wanted.or_else(|| std::env::current_dir().ok())?;
    CString::new(directory.as_os_str().as_bytes()).ok()
}

pub(super) fn c_string(bytes: &[u8]) -> Result<CString, AttachError> {
    CString::new(bytes).map_err(|_| AttachError::Nul(String::from_utf8_lossy(bytes).into_owned()))
}

/// Which of the standard descriptors are to be replaced by a new terminal.
pub(super) fn terminals(options: &AttachOptions) -> [bool; 3] {
    if options.replaced == Replaced::All {
        return [true; 3];
    }
    [options.stdin, options.stdout, options.stderr]
        .map(|fd| duplicate(fd).is_ok_and(|fd| rlxc_sys::tty::is_terminal(fd.as_fd())))
}

/// Holds /dev/null in the place of standard descriptors that the caller has closed. What an attach opens would come to
/// be there otherwise, and into the container as the process's standard input or output.
pub(super) fn fill_standard() -> Vec<File> {
    let open = || File::options().read(true).write(true).open("/dev/null");
    let opened = std::iter::from_fn(|| open().ok());
    opened.take_while(|file| file.as_raw_fd() < 3).collect()
}

/// A descriptor of our own for one of the caller's.
pub(super) fn duplicate(fd: RawFd) -> io::Result<OwnedFd> {
    rlxc_sys::exec::duplicate(fd)
}
