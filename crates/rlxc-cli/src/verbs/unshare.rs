use std::ffi::CString;
use std::io::{Read, Write};

use clap::Args;
use nix::mount::{MsFlags, mount};
use rlxc::config::Namespace;
use rlxc_sys::process::{CloneArgs, Cloned, clone3, exit_now, wait_status};

use super::Run;
use crate::context::{Context, Failure, Outcome};

/// Options of `unshare`.
#[derive(Debug, Args)]
pub(crate) struct Unshare {
    /// The new namespaces: MOUNT PID UTSNAME IPC USER NETWORK CGROUP TIME, joined by |
    #[arg(short = 's', long, value_name = "FLAGS")]
    namespaces: Option<String>,
    /// With USER: the user id in there, or a name
    #[arg(short = 'u', long, value_name = "USER")]
    user: Option<String>,
    /// With UTSNAME: the host name in there
    #[arg(short = 'H', long, value_name = "NAME")]
    hostname: Option<String>,
    /// With NETWORK: move this interface there (can be given several times)
    #[arg(short = 'i', long, value_name = "NAME")]
    ifname: Vec<String>,
    /// Do not wait for the program
    #[arg(short = 'd', long)]
    daemon: bool,
    /// With MOUNT: mount /proc, /dev/shm and /dev/mqueue anew
    #[arg(short = 'M', long)]
    remount: bool,
    /// The program
    #[arg(
        value_name = "COMMAND",
        trailing_var_arg = true,
        allow_hyphen_values = true,
        hide = true
    )]
    words: Vec<String>,
}

impl Run for Unshare {
    fn run(self, context: &Context) -> Outcome {
        let Some(list) = &self.namespaces else {
            return Err(Failure::new(
                "You must specify the namespaces to unshare with -s",
            ));
        };
        let flags = super::attach::namespaces(list)?;
        let has = |ns: Namespace| flags & ns.clone_flag() != 0;
        if self.words.is_empty() {
            return Err(Failure::new(
                "A command to execute in the new namespace is required",
            ));
        }
        if !self.ifname.is_empty() && !has(Namespace::Net) {
            return Err(Failure::new("-i <interfacename> needs -s NETWORK option"));
        }
        if self.hostname.is_some() && !has(Namespace::Uts) {
            return Err(Failure::new("-H <hostname> needs -s UTSNAME option"));
        }
        if self.remount && !has(Namespace::Mnt) {
            return Err(Failure::new("-M needs -s MOUNT option"));
        }
        let uid = self.user.as_deref().map(user_id).transpose()?.unwrap_or(0);
        let (mut wait_end, mut go_end) = pipe()?;
        let time = flags & Namespace::Time.clone_flag();
        let arguments = CloneArgs {
            flags: flags & !time,
            ..CloneArgs::default()
        };
        match clone3(&arguments).map_err(|e| cannot("make the namespaces", e))? {
            Cloned::Child => {
                drop(go_end);
                let mut byte = [0];
                if wait_end.read_exact(&mut byte).is_err() {
                    exit_now(1);
                }
                let failure = self.inside(flags, time, uid);
                context.report(&failure);
                exit_now(i32::from(failure.status));
            }
            Cloned::Parent { pid, pidfd } => {
                drop(wait_end);
                self.outside(pid, has(Namespace::User), uid)?;
                go_end
                    .write_all(b"g")
                    .map_err(|e| cannot("let the program go", e))?;
                drop(go_end);
                if self.daemon {
                    return Ok(0);
                }
                let status = wait_status(&pidfd).map_err(|e| cannot("wait for the program", e))?;
                Ok(shell_status(status))
            }
        }
    }
}

impl Unshare {
    fn outside(&self, pid: i32, user: bool, uid: u32) -> Result<(), Failure> {
        if user {
            let (euid, egid) = (
                nix::unistd::geteuid().as_raw(),
                nix::unistd::getegid().as_raw(),
            );
            let maps = rlxc_namespace::idmap::single(uid, euid, 0, egid);
            rlxc_namespace::write_id_maps(pid, &maps)
                .map_err(|e| Failure::new(format!("cannot write the id maps: {e}")))?;
        }
        for name in &self.ifname {
            rlxc_network::live::attach_interface(pid, name, None).map_err(rlxc::Error::from)?;
        }
        Ok(())
    }

    /// Everything in the child; returns only when it failed.
    fn inside(&self, flags: u64, time: u64, uid: u32) -> Failure {
        let set_up = || -> nix::Result<()> {
            if time != 0 {
                nix::sched::unshare(nix::sched::CloneFlags::from_bits_retain(time as i32))?;
            }
            if let Some(name) = &self.hostname {
                nix::unistd::sethostname(name)?;
            }
            if self.remount {
                remount();
            }
            if flags & Namespace::User.clone_flag() != 0 {
                nix::unistd::setresuid(uid.into(), uid.into(), uid.into())?;
            }
            Ok(())
        };
        if let Err(errno) = set_up() {
            return cannot("set the new namespaces up", errno.into());
        }
        exec(&self.words)
    }
}

fn remount() {
    let fresh = [
        ("proc", "/proc"),
        ("tmpfs", "/dev/shm"),
        ("mqueue", "/dev/mqueue"),
    ];
    let slave = MsFlags::MS_SLAVE | MsFlags::MS_REC;
    let _ = mount(None::<&str>, "/", None::<&str>, slave, None::<&str>);
    for (kind, path) in fresh {
        if let Err(errno) = mount(Some(kind), path, Some(kind), MsFlags::empty(), None::<&str>) {
            tracing::warn!("cannot mount {kind} on {path}: {errno}");
        }
    }
}

fn user_id(text: &str) -> Result<u32, Failure> {
    if let Ok(id) = text.parse() {
        return Ok(id);
    }
    match nix::unistd::User::from_name(text) {
        Ok(Some(user)) => Ok(user.uid.as_raw()),
        _ => Err(Failure::new(format!("there is no user {text}"))),
    }
}

/// Becomes a program; returns why it could not.
pub(super) fn exec(words: &[String]) -> Failure {
    let c_words: Result<Vec<CString>, _> = words.iter().map(|w| CString::new(w.as_str())).collect();
    let Ok(c_words) = c_words else {
        return Failure::new("an argument holds a NUL byte");
    };
    let Some(program) = c_words.first() else {
        return Failure::new("no program to execute");
    };
    let Err(errno) = nix::unistd::execvp(program, &c_words);
    Failure::new(format!("cannot execute {}: {errno}", words[0])).status(match errno {
        nix::errno::Errno::ENOENT => 127,
        nix::errno::Errno::EACCES | nix::errno::Errno::ENOEXEC => 126,
        _ => 1,
    })
}

pub(super) fn shell_status(status: i32) -> u8 {
    match status & 0x7f {
        0 => (status >> 8 & 0xff) as u8,
        signal => 128 + signal as u8,
    }
}

pub(super) fn pipe() -> Result<(std::io::PipeReader, std::io::PipeWriter), Failure> {
    std::io::pipe().map_err(|e| cannot("make a pipe", e))
}

pub(super) fn cannot(what: &str, error: std::io::Error) -> Failure {
    Failure::new(format!("cannot {what}: {error}"))
}
