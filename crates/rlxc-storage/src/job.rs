//! Jobs: what is done to storage, here or in the worker program.

use std::ffi::CString;
use std::fs::OpenOptions;
use std::io::{BufRead, BufReader, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::process::Command;

use nix::errno::Errno;
use nix::fcntl::{OFlag, OpenHow, ResolveFlag, openat2};
use nix::sys::stat::Mode;
use rlxc_config::IdMap;
use serde::{Deserialize, Serialize};

use crate::backend::{Rootfs, make_dir};
use crate::copy::{Progress, copy_tree};
use crate::error::{Error, Result};
use crate::remove::remove_tree;

mod worker;

/// One thing to do.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum Task {
    /// Make a directory
    MakeDir {
        /// Where
        path: PathBuf,
        /// Its permission bits
        mode: u32,
    },
    /// Copy the contents of a directory into another
    Copy {
        /// The original
        from: PathBuf,
        /// An existing directory
        to: PathBuf,
    },
    /// Remove a tree, if it is there
    Remove {
        /// Its top
        path: PathBuf,
    },
    /// Make a btrfs subvolume
    Subvolume {
        /// Its path
        path: PathBuf,
    },
    /// Make a writable snapshot of a btrfs subvolume
    Snapshot {
        /// The original
        from: PathBuf,
        /// Its path
        to: PathBuf,
    },
    /// Write a file inside the container's tree, only if it is there
    Overwrite {
        /// The tree
        root: PathBuf,
        /// Inside it
        file: PathBuf,
        /// The new contents
        text: String,
    },
    /// Run a program, with umask 022
    Exec {
        /// Its path
        program: PathBuf,
        /// Its arguments, without the program's name
        args: Vec<String>,
        /// Variables that are added to the environment
        environment: Vec<(String, String)>,
        /// Standard input and outputs are /dev/null
        quiet: bool,
    },
}

/// Tasks in order, and the place to do them in.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Job {
    /// A user namespace with these maps, as its root; none: the caller's
    pub maps: Vec<IdMap>,
    /// Mount that root file system there, in a mount namespace of the job's own
    pub mount: Option<(String, PathBuf)>,
    /// What to do
    pub tasks: Vec<Task>,
}

/// How a job went.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Outcome {
    /// What failed, with its reasons; `None`: nothing
    pub error: Option<String>,
    /// The errno of that
    pub errno: i32,
}

/// Does a job: in this process if it needs no namespace of its own, else in the program `rlxc-worker`.
///
/// # Errors
/// The failed task's error; [`Error::Worker`] when the program is missing.
pub fn run(job: &Job) -> Result<()> {
    let runs_program = job.tasks.iter().any(|t| matches!(t, Task::Exec { .. }));
    if job.maps.is_empty() && job.mount.is_none() && !runs_program {
        return job.tasks.iter().try_for_each(perform);
    }
    run_worker(job)
}

fn run_worker(job: &Job) -> Result<()> {
    let program = worker_program()?;
    let failed = |reason: String| Error::Worker {
        program: program.clone(),
        reason,
    };
    let json = serde_json::to_string(job).map_err(|e| failed(e.to_string()))?;
    let (reader, writer) = std::io::pipe().map_err(|e| failed(e.to_string()))?;
    // Above the standard descriptors, whichever of them the caller has closed.
    let writer = nix::fcntl::fcntl(&writer, nix::fcntl::FcntlArg::F_DUPFD_CLOEXEC(10))
        .map_err(|e| failed(e.to_string()))
        .and_then(|fd| {
            rlxc_sys::exec::duplicate(fd)
                .map_err(|e| failed(e.to_string()))
                .inspect(|_| {
                    let _ = nix::unistd::close(fd);
                })
        })?;
    let text = |text: &[u8]| CString::new(text).map_err(|e| failed(e.to_string()));
    let number = writer.as_raw_fd().to_string();
    let argv = [
        text(b"rlxc-worker")?,
        text(number.as_bytes())?,
        text(json.as_bytes())?,
    ];
    let environment = std::env::vars_os().filter_map(|(name, value)| {
        let line = [name.into_vec(), value.into_vec()].join(&b'=');
        CString::new(line).ok()
    });
    let environment: Vec<_> = environment.collect();
    let path = text(program.as_os_str().as_bytes())?;
    let child = rlxc_sys::process::spawn(&path, &argv, &environment, &[writer.as_fd()])
        .map_err(|e| failed(e.to_string()))?;
    drop(writer);
    let mut line = String::new();
    let read = BufReader::new(reader).read_line(&mut line);
    let _ = nix::sys::wait::waitpid(nix::unistd::Pid::from_raw(child), None);
    read.map_err(|e| failed(e.to_string()))?;
    let outcome: Outcome =
        serde_json::from_str(&line).map_err(|_| failed("ended without a result".to_owned()))?;
    match outcome.error {
        None => Ok(()),
        Some(message) => Err(Error::Remote {
            message,
            errno: outcome.errno,
        }),
    }
}

/// Beside the running program or library, or installed; the environment has no say in it.
fn worker_program() -> Result<PathBuf> {
    const PROGRAM: &str = "rlxc-worker";
    let installed = Path::new(rlxc_config::paths::LIBEXECDIR)
        .join("rlxc")
        .join(PROGRAM);
    let near = [
        std::env::current_exe().ok(),
        rlxc_sys::process::own_object(),
    ];
    let dirs = near.iter().flatten().filter_map(|path| path.parent());
    // Test programs lie one directory deeper than what they test.
    let beside = dirs.flat_map(|dir| {
        let up = dir
            .parent()
            .filter(|_| dir.ends_with("deps") || dir.ends_with("examples"));
        [Some(dir.join(PROGRAM)), up.map(|dir| dir.join(PROGRAM))]
    });
    let mut all = beside.flatten().chain([installed.clone()]);
    all.find(|path| path.is_file()).ok_or(Error::Worker {
        program: installed,
        reason: "is missing: install rlxc completely, or put it beside the rlxc program".to_owned(),
    })
}

impl Job {
    /// The worker's whole life: does the job given by its arguments and reports. Returns the exit status.
    ///
    /// For a process with one thread only.
    #[must_use]
    pub fn serve(args: &[String]) -> i32 {
        worker::serve(args)
    }
}

pub(crate) fn perform(task: &Task) -> Result<()> {
    match task {
        Task::MakeDir { path, mode } => make_dir(path, *mode),
        Task::Copy { from, to } => copy_tree(from, to, &Progress::default()),
        Task::Remove { path } => remove_tree(path),
        Task::Subvolume { path } => {
            let (dir, name) = parent(path)?;
            rlxc_sys::btrfs::create_subvolume(&dir, &name)
                .map_err(Error::at("make the btrfs subvolume", path))
        }
        Task::Snapshot { from, to } => {
            let source = std::fs::File::open(from).map_err(Error::at("open", from))?;
            let (dir, name) = parent(to)?;
            rlxc_sys::btrfs::snapshot(&dir, &name, &source)
                .map_err(Error::at("make the btrfs snapshot", to))
        }
        Task::Overwrite { root, file, text } => overwrite(root, file, text),
        Task::Exec {
            program,
            args,
            environment,
            quiet,
        } => exec(program, args, environment, *quiet),
    }
}

fn parent(path: &Path) -> Result<(std::fs::File, Vec<u8>)> {
    let (Some(dir), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(Error::at("use", path)(Errno::EINVAL));
    };
    let file = std::fs::File::open(dir).map_err(Error::at("open", dir))?;
    Ok((file, name.as_bytes().to_vec()))
}

/// Writes into a tree that the container's root made: links lead nowhere but into that tree.
fn overwrite(root: &Path, file: &Path, text: &str) -> Result<()> {
    let top = OpenOptions::new()
        .read(true)
        .open(root)
        .map_err(Error::at("open", root))?;
    let how = OpenHow::new()
        .flags(OFlag::O_WRONLY | OFlag::O_TRUNC | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC)
        .mode(Mode::empty())
        .resolve(ResolveFlag::RESOLVE_IN_ROOT | ResolveFlag::RESOLVE_NO_MAGICLINKS);
    let whole = || root.join(file.strip_prefix("/").unwrap_or(file));
    match openat2(&top, file, how) {
        Ok(fd) => std::fs::File::from(fd)
            .write_all(text.as_bytes())
            .map_err(Error::at("write", whole())),
        Err(Errno::ENOENT | Errno::ENOTDIR) => Ok(()),
        Err(errno) => Err(Error::at("open", whole())(errno)),
    }
}

fn exec(program: &Path, args: &[String], env: &[(String, String)], quiet: bool) -> Result<()> {
    let mut command = Command::new(program);
    command
        .args(args)
        .envs(env.iter().map(|(name, value)| (name, value)));
    if quiet {
        use std::process::Stdio;
        command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
    }
    let old = nix::sys::stat::umask(Mode::from_bits_truncate(0o022));
    let status = command.status();
    nix::sys::stat::umask(old);
    let status = status.map_err(Error::at("run", program))?;
    match status.success() {
        true => Ok(()),
        false => Err(Error::Program {
            program: program.display().to_string(),
            status: status.to_string(),
        }),
    }
}

/// Mounts what a job wants mounted, where no one else sees it.
fn enter_mounts(job: &Job) -> Result<()> {
    use nix::mount::{MsFlags, mount};
    let none: Option<&str> = None;
    let flags = MsFlags::MS_REC | MsFlags::MS_SLAVE;
    mount(none, "/", none, flags, none).map_err(Error::at("detach the mounts below", "/"))?;
    match &job.mount {
        Some((rootfs, target)) => Rootfs::parse(rootfs)?.mount(target),
        None => Ok(()),
    }
}

fn report(result: &Result<()>, to: OwnedFd) {
    let outcome = match result {
        Ok(()) => Outcome {
            error: None,
            errno: 0,
        },
        Err(error) => Outcome {
            error: Some(chain(error)),
            errno: error.errno(),
        },
    };
    let json = serde_json::to_string(&outcome).unwrap_or_default();
    // A caller that is gone needs no report.
    let _ = std::fs::File::from(to).write_all(format!("{json}\n").as_bytes());
}

fn chain(error: &Error) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(error) = source {
        text.push_str(&format!(": {error}"));
        source = error.source();
    }
    text
}
