//! The two children of an attach, safe to fork from a process with many threads.
//!
//! Between the fork and the exec (or the caller's function) only raw system calls run, on data that
//! was built before: nothing allocates, locks, reads the environment, asks NSS or logs. `fork`
//! comes first, since glibc puts its own locks in order there; the attached process is then cloned,
//! as a sibling, from that single-threaded child.

mod attached;
mod shell;
mod strings;
mod task;

use std::ffi::{CString, c_int, c_void};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd, RawFd};

use nix::errno::Errno;

pub use strings::{Candidates, StringArray};

/// Executes the shell of the process's user, as [`Task::Shell`] does, with the environment that the
/// process has; returns when even /bin/sh cannot be executed.
pub fn execute_shell() {
    // SAFETY: the C library's list, which ends with NULL.
    task::try_shell(unsafe { libc::environ }.cast_const().cast());
}

/// Everything that the children need, ready for use.
#[derive(Debug)]
pub struct AttachPlan<'a> {
    /// Init's pidfd
    pub pidfd: BorrowedFd<'a>,
    /// CLONE_NEW* mask of the namespaces to enter; those that are the caller's own must be left out
    pub namespaces: c_int,
    /// Working directory; if it cannot be entered, the process starts at the root
    pub directory: Option<CString>,
    /// Files `tasks` of v1 cgroups that the first child, which has one thread, moves itself into:
    /// that takes no grace period of the kernel, unlike a move by pid
    pub tasks: Vec<OwnedFd>,
    /// Wait for the parent's word before the namespaces are entered, not only before the clone
    pub wait_early: bool,
    /// Fresh /proc and /sys in a mount namespace of its own
    pub remount_proc_sys: bool,
    /// Execution domain (personality(2))
    pub personality: Option<u64>,
    /// Capabilities to drop from the bounding set, as a mask
    pub drop_bounding: u64,
    /// Process, in the pid namespace entered, whose core-scheduling cookie is to be shared
    pub share_core_of: Option<i32>,
    /// Supplementary groups
    pub groups: Groups,
    /// Ids to take first: the root of the user namespace
    pub setup_ids: Option<Ids>,
    /// What to write to the descriptor of the LSM attribute that the parent sends
    pub lsm_label: Option<Vec<u8>>,
    /// Set no_new_privs
    pub no_new_privs: bool,
    /// Standard input, output and error
    pub stdio: [RawFd; 3],
    /// A pts to be the controlling terminal, and to take the place of each of `stdio` that is marked
    pub terminal: Option<(BorrowedFd<'a>, [bool; 3])>,
    /// Filter to load, and whether it makes a notify descriptor to send to the parent
    pub seccomp: Option<Seccomp>,
    /// Final ids
    pub ids: Ids,
    /// The whole environment
    pub environment: StringArray,
    /// Where to write why the process could not be set up or executed; standard error without
    pub log: Option<RawFd>,
    /// What to do in the end
    pub task: Task,
}

/// A user and a group; `None` leaves it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Ids {
    /// Real, effective and saved user id
    pub uid: Option<u32>,
    /// Real, effective and saved group id
    pub gid: Option<u32>,
}

/// What to do with the supplementary groups.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Groups {
    /// Drop all, if that is allowed
    Drop,
    /// Exactly these
    Set(Vec<u32>),
}

/// A seccomp filter.
#[derive(Clone)]
pub struct Seccomp {
    /// The program
    pub program: Vec<libc::sock_filter>,
    /// SECCOMP_FILTER_FLAG_*; with NEW_LISTENER the parent gets the notify descriptor
    pub flags: u64,
}

impl std::fmt::Debug for Seccomp {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Seccomp")
            .field("instructions", &self.program.len())
            .field("flags", &self.flags)
            .finish()
    }
}

/// What the attached process does.
#[derive(Debug)]
pub enum Task {
    /// Executes a program
    Exec(Candidates),
    /// Executes the shell of its user, as /etc/passwd or `getent` names it, else /bin/sh
    Shell,
    /// Calls a function; its result is the exit status
    Call(Callback),
}

/// A C function to be called in the attached process.
#[derive(Debug, Clone, Copy)]
pub struct Callback {
    function: unsafe extern "C" fn(*mut c_void) -> c_int,
    payload: *mut c_void,
}

impl Callback {
    /// A function with its argument.
    ///
    /// # Safety
    /// `function` must be callable with `payload` in a forked child of this process.
    pub unsafe fn new(
        function: unsafe extern "C" fn(*mut c_void) -> c_int,
        payload: *mut c_void,
    ) -> Self {
        Self { function, payload }
    }

    /// A closure, for programs with one thread only (the command line tools). It is never freed:
    /// the child that calls it has a copy of its own.
    ///
    /// # Errors
    /// `EBUSY` when the calling process has more than one thread.
    pub fn of(closure: impl FnOnce() -> i32 + 'static) -> std::io::Result<Self> {
        if !crate::fork::single_threaded()? {
            return Err(std::io::Error::from_raw_os_error(libc::EBUSY));
        }
        let boxed: Boxed = Some(Box::new(closure));
        let payload: *mut Boxed = Box::leak(Box::new(boxed));
        Ok(Self {
            function: call_boxed,
            payload: payload.cast(),
        })
    }
}

type Boxed = Option<Box<dyn FnOnce() -> i32>>;

unsafe extern "C" fn call_boxed(payload: *mut c_void) -> c_int {
    // SAFETY: `Callback::of` leaked this box; the process that calls has a copy of the memory and
    // a single thread, so that nobody else holds a reference.
    let boxed = unsafe { &mut *payload.cast::<Boxed>() };
    let Some(closure) = boxed.take() else {
        return 255;
    };
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(closure)).unwrap_or(255)
}

macro_rules! steps {
    ($($variant:ident = $text:literal,)*) => {
        /// What a child was doing.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        #[repr(i32)]
        #[allow(missing_docs)]
        pub enum Step { $($variant,)* }

        impl Step {
            const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// In words, to follow "cannot".
            pub fn text(self) -> &'static str {
                match self { $(Self::$variant => $text,)* }
            }
        }
    };
}

steps! {
    Dumpable = "forbid tracing of the child",
    EnterCgroups = "enter the container's cgroups",
    EnterNamespaces = "enter the container's namespaces",
    Wait = "hear from the attaching process",
    Clone = "clone the attached process",
    CoreScheduling = "share the container's core-scheduling cookie",
    RemountProcSys = "mount fresh /proc and /sys",
    Personality = "set the execution domain",
    DropCapabilities = "drop capabilities from the bounding set",
    Groups = "set the supplementary groups",
    SetupIds = "become root of the user namespace",
    ReceiveLabel = "receive the descriptor of the LSM attribute",
    WriteLabel = "set the LSM label",
    NoNewPrivs = "set no_new_privs",
    Stdio = "set up standard input, output and error",
    Terminal = "take the terminal",
    Seccomp = "load the seccomp filter",
    SendListener = "send the seccomp notify descriptor",
    Ids = "switch to the wanted user and group",
    CloseFds = "close the host's descriptors",
    Execute = "execute",
}

/// What a child tells its parent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Report {
    /// The attached process exists; this is its pid
    Pid(i32),
    /// A seccomp notify descriptor comes with this
    Listener,
    /// All is set up; the task begins
    Ready,
    /// It failed and is ending
    Failed(Step, Errno),
}

/// Size of a report in bytes.
pub const REPORT: usize = 12;

impl Report {
    fn encode(self) -> [u8; REPORT] {
        let (kind, step, value): (i32, i32, i32) = match self {
            Self::Pid(pid) => (1, 0, pid),
            Self::Listener => (2, 0, 0),
            Self::Ready => (3, 0, 0),
            Self::Failed(step, errno) => (4, step as i32, errno as i32),
        };
        let mut bytes = [0; REPORT];
        bytes[..4].copy_from_slice(&kind.to_ne_bytes());
        bytes[4..8].copy_from_slice(&step.to_ne_bytes());
        bytes[8..].copy_from_slice(&value.to_ne_bytes());
        bytes
    }

    /// Reads a report; `None` for bytes that no child sends.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let word = |at: usize| Some(i32::from_ne_bytes(bytes.get(at..at + 4)?.try_into().ok()?));
        match word(0)? {
            1 => Some(Self::Pid(word(8)?)),
            2 => Some(Self::Listener),
            3 => Some(Self::Ready),
            4 => {
                let step = Step::ALL.get(usize::try_from(word(4)?).ok()?)?;
                Some(Self::Failed(*step, Errno::from_raw(word(8)?)))
            }
            _ => None,
        }
    }
}

/// Forks the transient child of an attach, which enters the namespaces, waits for one byte on the
/// socket, clones the attached process as our child and ends.
///
/// `socket` is the children's end of a SOCK_SEQPACKET pair, on which [`Report`]s come; it is closed
/// here. `own` are the attaching code's descriptors, which also a function of the caller must not find
/// open in the container. Returns the transient child's pid, to be reaped by the caller.
///
/// # Errors
/// As fork(2).
pub fn fork_attach(plan: &AttachPlan<'_>, socket: OwnedFd, own: &[RawFd]) -> io::Result<i32> {
    let mut before = empty_set();
    let all = full_set();
    // Our handlers belong to the host's runtime and must not run in the children.
    // SAFETY: both sets live through the call; the mask is this thread's alone.
    unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &raw const all, &raw mut before) };
    // SAFETY: the child calls nothing but the functions of this module, which keep to raw system
    // calls on memory prepared before, and never returns.
    let pid = unsafe { libc::fork() };
    if pid == 0 {
        attached::transient(plan, socket.as_raw_fd(), own, &before);
    }
    let result = Errno::result(pid);
    // SAFETY: `before` was filled in above.
    unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &raw const before, std::ptr::null_mut()) };
    Ok(result?)
}

fn empty_set() -> libc::sigset_t {
    // SAFETY: a signal set is plain bits; all zeros is the empty one.
    unsafe { std::mem::zeroed() }
}

fn full_set() -> libc::sigset_t {
    let mut set = empty_set();
    // SAFETY: the set lives through the call.
    unsafe { libc::sigfillset(&raw mut set) };
    set
}

/// The core-scheduling cookie of a process: whether it has one.
pub fn has_core_cookie(pid: i32) -> bool {
    const PR_SCHED_CORE: c_int = 62;
    const PR_SCHED_CORE_GET: c_int = 0;
    let mut cookie: u64 = 0;
    // SAFETY: PR_SCHED_CORE_GET writes one u64 behind the pointer, which lives through the call.
    let ret = unsafe { libc::prctl(PR_SCHED_CORE, PR_SCHED_CORE_GET, pid, 0, &raw mut cookie) };
    ret == 0 && cookie != 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reports_survive_the_way_and_strange_bytes_do_not() {
        for report in [
            Report::Pid(77),
            Report::Listener,
            Report::Ready,
            Report::Failed(Step::Execute, Errno::ENOENT),
        ] {
            assert_eq!(Report::decode(&report.encode()), Some(report));
        }
        assert_eq!(Report::decode(b""), None);
        assert_eq!(Report::decode(&[9; REPORT]), None);
        let mut bad = Report::Failed(Step::Execute, Errno::ENOENT).encode();
        bad[4] = 200;
        assert_eq!(Report::decode(&bad), None);
    }
}
