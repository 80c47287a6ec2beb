//! Jobs: what is done to storage, here or in the worker program.

use std::ffi::{CStr, CString};
use std::io::{BufRead, BufReader, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rlxc_config::IdMap;
use serde::{Deserialize, Serialize};

use crate::backend::Specs;
use crate::copy::Progress;
use crate::diff::{Change, ChangeKind};
use crate::error::{Error, Result};
use crate::shift::Shift;

mod tasks;
mod worker;

use tasks::perform;

/// One thing to do. Root file systems are named as in `lxc.rootfs.path`, with their type.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum Task {
    /// Make a directory
    MakeDir {
        /// Where
        path: PathBuf,
        /// Its permission bits
        mode: u32,
    },
    /// Make a root file system, empty
    Create {
        /// Which
        rootfs: String,
        /// How
        specs: Specs,
    },
    /// Make a root file system as a copy of another
    Copy {
        /// The original
        from: String,
        /// The new one
        to: String,
        /// Share what is unchanged
        share: bool,
        /// How
        specs: Specs,
        /// Whose ids its files are given to; `None`: the owners stay
        shift: Option<Shift>,
        /// The original's container has a user namespace, and overlays their marks in user attributes
        mapped: bool,
    },
    /// Find out what differs between two root file systems; the only task of its job
    Diff {
        /// The earlier one
        old: String,
        /// The later one
        new: String,
        /// As in `Copy`
        mapped: bool,
    },
    /// Remove a root file system, if it is there
    Destroy {
        /// Which
        rootfs: String,
    },
    /// Remove a tree, if it is there
    Remove {
        /// Its top
        path: PathBuf,
    },
    /// Move something, in one file system
    Move {
        /// From
        from: PathBuf,
        /// To
        to: PathBuf,
    },
    /// Give what lies there to another owner
    Own {
        /// What
        path: PathBuf,
        /// The new owner
        uid: u32,
        /// The new group, unless it stays
        gid: Option<u32>,
        /// Everything below it too
        recursive: bool,
    },
    /// Write a file inside a root file system, only if it is there
    Overwrite {
        /// The root file system
        rootfs: String,
        /// Inside it
        file: PathBuf,
        /// The new contents
        text: String,
    },
    /// Give a root file system's top directory to another owner
    OwnTop {
        /// The root file system
        rootfs: String,
        /// The new owner
        uid: u32,
        /// The new group
        gid: u32,
    },
    /// Run a hook by the shell
    Hook {
        /// The script, for messages
        script: String,
        /// The whole line
        line: String,
        /// Variables that are added to the environment
        environment: Vec<(String, String)>,
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
    /// How far it is, for those who want to know
    #[serde(skip)]
    pub progress: Option<Arc<Progress>>,
    /// The worker tells how far it is
    pub report: bool,
    /// A lock that lasts as long as the worker and what it runs, even when the caller is killed
    #[serde(skip)]
    pub held: Option<Arc<std::fs::File>>,
    /// The worker's parent, with which it ends; set when the job is run
    pub caller: i32,
}

/// How a job went, or how far it is.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct Outcome {
    /// How far; then the job goes on
    #[serde(default, skip_serializing_if = "Option::is_none")]
    figures: Option<[u64; 4]>,
    /// What failed, with its reasons; `None`: nothing
    #[serde(default)]
    error: Option<String>,
    /// The errno of that
    #[serde(default)]
    errno: i32,
    /// What was found to differ; paths as bytes, which need not be text
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    changes: Vec<(ChangeKind, Vec<u8>)>,
}

/// Does a job: in this process if it needs no namespace of its own, else in the program `rlxc-worker`.
///
/// # Errors
/// The failed task's error; [`Error::Worker`] when the program is missing.
pub fn run(job: &Job) -> Result<()> {
    run_finding(job, &mut Vec::new())
}

/// As [`run`], for a job with [`Task::Diff`]: what differs.
///
/// # Errors
/// As [`run`].
pub fn changes(job: &Job) -> Result<Vec<Change>> {
    let mut found = Vec::new();
    run_finding(job, &mut found)?;
    Ok(found)
}

fn run_finding(job: &Job, found: &mut Vec<Change>) -> Result<()> {
    let runs_program = job.tasks.iter().any(|t| matches!(t, Task::Exec { .. }));
    if job.maps.is_empty() && job.mount.is_none() && !runs_program {
        let own = Progress::default();
        let progress = job.progress.as_deref().unwrap_or(&own);
        let mut tasks = job.tasks.iter();
        return tasks.try_for_each(|task| perform(task, progress, found));
    }
    run_worker(job, found)
}

fn run_worker(job: &Job, found: &mut Vec<Change>) -> Result<()> {
    let program = Program::find()?;
    let failed = |reason: String| Error::Worker {
        program: program.path.clone(),
        reason,
    };
    let own = Progress::default();
    let progress = job.progress.as_deref().unwrap_or(&own);
    let wanted = progress.wanted.load(std::sync::atomic::Ordering::Relaxed);
    let job = Job {
        report: wanted,
        caller: nix::unistd::getpid().as_raw(),
        ..job.clone()
    };
    let json = serde_json::to_string(&job).map_err(|e| failed(e.to_string()))?;
    let held = job.held.as_deref().map(AsFd::as_fd);
    let (child, reader) = start_worker(&program, &json, held, &failed)?;
    progress.set_worker(child);
    let mut outcome = Err(failed("ended without a result".to_owned()));
    for line in BufReader::new(reader).lines() {
        let line = line.map_err(|e| failed(e.to_string()))?;
        let Ok(news) = serde_json::from_slice::<Outcome>(line.as_bytes()) else {
            break;
        };
        match (news.figures, news.error) {
            (Some(figures), _) => progress.set_figures(figures),
            (None, None) => {
                outcome = Ok(());
                let changes = news.changes.into_iter();
                found.extend(changes.map(|(kind, path)| Change {
                    kind,
                    path: std::ffi::OsString::from_vec(path).into(),
                }));
            }
            (None, Some(message)) => {
                outcome = Err(Error::Remote {
                    message,
                    errno: news.errno,
                });
            }
        }
    }
    progress.set_worker(0);
    let _ = nix::sys::wait::waitpid(nix::unistd::Pid::from_raw(child), None);
    match progress.is_cancelled() && outcome.is_err() {
        true => Err(Error::Cancelled),
        false => outcome,
    }
}

/// Starts the worker; its pid, and where it reports.
fn start_worker(
    program: &Program,
    json: &str,
    held: Option<BorrowedFd<'_>>,
    failed: &dyn Fn(String) -> Error,
) -> Result<(i32, std::io::PipeReader)> {
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
    let path = text(program.path.as_os_str().as_bytes())?;
    let mut argv = vec![text(b"rlxc-worker")?];
    if program.loader.is_some() {
        argv.extend([path.clone(), text(rlxc_sys::carried::WORKER.as_bytes())?]);
    }
    argv.extend([text(number.as_bytes())?, text(json.as_bytes())?]);
    let environment = std::env::vars_os().filter_map(|(name, value)| {
        let line = [name.into_vec(), value.into_vec()].join(&b'=');
        CString::new(line).ok()
    });
    let environment: Vec<_> = environment.collect();
    let executed = program.loader.unwrap_or(&path);
    let inherited: Vec<_> = held.into_iter().chain([writer.as_fd()]).collect();
    let child = rlxc_sys::process::spawn(executed, &argv, &environment, &inherited)
        .map_err(|e| failed(e.to_string()))?;
    Ok((child, reader))
}

/// What is executed as the worker.
struct Program {
    path: PathBuf,
    /// The dynamic linker, when the program is the library that this code lies in.
    loader: Option<&'static CStr>,
}

impl Program {
    fn find() -> Result<Self> {
        match worker_program() {
            Ok(path) => Ok(Self { path, loader: None }),
            Err(error) => match rlxc_sys::carried::object() {
                Some((path, loader)) => Ok(Self {
                    path,
                    loader: Some(loader),
                }),
                None => Err(error),
            },
        }
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

/// Where nobody else sees what a job mounts.
fn detach_mounts() -> Result<()> {
    use nix::mount::{MsFlags, mount};
    let none: Option<&str> = None;
    let flags = MsFlags::MS_REC | MsFlags::MS_SLAVE;
    mount(none, "/", none, flags, none).map_err(Error::at("detach the mounts below", "/"))
}

fn report(result: &Result<Vec<Change>>, to: &OwnedFd) {
    let bytes = |change: &Change| (change.kind, change.path.as_os_str().as_bytes().to_vec());
    let outcome = match result {
        Ok(changes) => Outcome {
            changes: changes.iter().map(bytes).collect(),
            ..Outcome::default()
        },
        Err(error) => Outcome {
            error: Some(chain(error)),
            errno: error.errno(),
            ..Outcome::default()
        },
    };
    tell(&outcome, to);
}

fn tell(outcome: &Outcome, to: &OwnedFd) {
    let json = serde_json::to_string(outcome).unwrap_or_default();
    // A caller that is gone needs no report.
    let Ok(fd) = to.try_clone() else { return };
    let _ = std::fs::File::from(fd).write_all(format!("{json}\n").as_bytes());
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
