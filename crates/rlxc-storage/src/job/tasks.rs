//! The tasks themselves.

use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::Ordering;

use nix::errno::Errno;
use nix::fcntl::{OFlag, OpenHow, ResolveFlag, openat2};
use nix::sys::stat::Mode;

use super::Task;
use crate::backend::{Backend, Specs, make_dir, overwrite_in_overlay};
use crate::copy::{Progress, copy_between, count_tree};
use crate::diff::{Change, diff};
use crate::error::{Error, Result};
use crate::mounted::{Mounted, Options};
use crate::remove::remove_tree;
use crate::rootfs::Rootfs;
use crate::shift::{Shift, shift_tree};

pub(super) fn perform(task: &Task, progress: &Progress, found: &mut Vec<Change>) -> Result<()> {
    if progress.is_cancelled() {
        return Err(Error::Cancelled);
    }
    match task {
        Task::MakeDir { path, mode } => make_dir(path, *mode),
        Task::Create { rootfs, specs } => Rootfs::parse(rootfs)?.create(specs),
        Task::Copy {
            from,
            to,
            share,
            specs,
            shift,
            mapped,
        } => {
            let (from, to) = (Rootfs::parse(from)?, Rootfs::parse(to)?);
            let how = How {
                specs,
                shift: shift.as_ref(),
                mapped: *mapped,
                progress,
            };
            match share {
                true => share_data(&from, &to, &how),
                false => copy(&from, &to, &how),
            }
        }
        Task::Diff { old, new, mapped } => {
            *found = diff(&Rootfs::parse(old)?, &Rootfs::parse(new)?, *mapped)?;
            Ok(())
        }
        Task::Destroy { rootfs } => Rootfs::parse(rootfs)?.destroy(),
        Task::Remove { path } => remove_tree(path),
        Task::Move { from, to } => std::fs::rename(from, to).map_err(Error::at("move", from)),
        Task::Own {
            path,
            uid,
            gid,
            recursive,
        } => own(path, *uid, *gid, *recursive),
        Task::Overwrite { rootfs, file, text } => overwrite(&Rootfs::parse(rootfs)?, file, text),
        Task::OwnTop { rootfs, uid, gid } => {
            let mounted = Rootfs::parse(rootfs)?.mount(&Options::default())?;
            let (uid, gid) = (
                nix::unistd::Uid::from_raw(*uid),
                nix::unistd::Gid::from_raw(*gid),
            );
            nix::unistd::fchown(mounted.top()?, Some(uid), Some(gid))
                .map_err(Error::at("set the owner of", rootfs))
        }
        Task::Hook {
            script,
            line,
            environment,
        } => hook(script, line, environment),
        Task::Exec {
            program,
            args,
            environment,
            quiet,
        } => exec(program, args, environment, *quiet),
    }
}

/// How a root file system is copied.
struct How<'a> {
    specs: &'a Specs,
    shift: Option<&'a Shift>,
    mapped: bool,
    progress: &'a Progress,
}

fn share_data(from: &Rootfs, to: &Rootfs, how: &How<'_>) -> Result<()> {
    to.backend.driver().share(from, to, how.specs)?;
    shift_whole(to, how.shift)
}

/// Gives all of a copy that shares its data to the ids of other maps.
fn shift_whole(rootfs: &Rootfs, shift: Option<&Shift>) -> Result<()> {
    let Some(shift) = shift else { return Ok(()) };
    let mounted = rootfs.mount(&Options::default())?;
    shift_tree(mounted.top()?, Path::new(&rootfs.path), shift)?;
    settle(rootfs, &mounted)
}

/// The kind of storage first: it may have a way that is faster than file by file.
fn copy(from: &Rootfs, to: &Rootfs, how: &How<'_>) -> Result<()> {
    let driver = to.backend.driver();
    let progress = how.progress;
    if from.backend == to.backend && driver.duplicate(from, to, how.specs, progress)? {
        return shift_whole(to, how.shift);
    }
    driver.create(to, how.specs)?;
    let reading = Options {
        user_marks: how.mapped,
        ..Options::reading()
    };
    let source = from.mount(&reading)?;
    let target = to.mount(&Options::default())?;
    let top = source.top()?;
    let shown = Path::new(&from.path);
    let result = std::thread::scope(|scope| {
        let counts = progress.wanted.load(Ordering::Relaxed);
        let path = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&top));
        let copied = top.try_clone().map_err(Error::at("open", shown))?;
        if counts {
            // Beside the copy, which does not wait for it; a count that fails is only a bar without an end.
            let _ = std::thread::Builder::new().spawn_scoped(scope, move || {
                let _ = count_tree(&Path::new(&path).join("."), progress);
            });
        }
        copy_between(copied, target.top()?, shown, how.shift, progress)
    });
    let result = result.and_then(|()| settle(to, &target));
    // Before what they are in is unmounted.
    drop(top);
    drop((source, target));
    result
}

/// What was written to a device may fail later than it was written: only now is it known to have arrived.
pub(super) fn settle(rootfs: &Rootfs, mounted: &Mounted) -> Result<()> {
    if !rootfs.backend.capabilities().block {
        return Ok(());
    }
    let failed = |errno| Error::at("write out what was copied to", &rootfs.path)(errno);
    nix::unistd::syncfs(mounted.top()?).map_err(|errno| {
        // An image on a full file system shows as a device with errors.
        let full = nix::sys::statvfs::statvfs(Path::new(&rootfs.path))
            .is_ok_and(|fs| fs.blocks_available() * fs.fragment_size() < 1 << 20);
        match rootfs.backend == Backend::Loop && full {
            true => failed(Errno::ENOSPC),
            false => failed(errno),
        }
    })
}

fn own(path: &Path, uid: u32, gid: Option<u32>, recursive: bool) -> Result<()> {
    std::os::unix::fs::lchown(path, Some(uid), gid).map_err(Error::at("set the owner of", path))?;
    let meta = std::fs::symlink_metadata(path).map_err(Error::at("look at", path))?;
    if !recursive || !meta.is_dir() {
        return Ok(());
    }
    let entries = std::fs::read_dir(path).map_err(Error::at("read", path))?;
    for entry in entries {
        let entry = entry.map_err(Error::at("read", path))?;
        let same = entry
            .metadata()
            .is_ok_and(|below| below.dev() == meta.dev());
        if same {
            own(&entry.path(), uid, gid, true)?;
        }
    }
    Ok(())
}

/// Writes into a tree that the container's root made: links lead nowhere but into that tree.
fn overwrite(rootfs: &Rootfs, file: &Path, text: &str) -> Result<()> {
    if rootfs.backend == Backend::Overlay && overwrite_in_overlay(rootfs, file, text)? {
        return Ok(());
    }
    let mounted = rootfs.mount(&Options::default())?;
    let top = mounted.top()?;
    let how = OpenHow::new()
        .flags(OFlag::O_WRONLY | OFlag::O_TRUNC | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC)
        .mode(Mode::empty())
        .resolve(ResolveFlag::RESOLVE_IN_ROOT | ResolveFlag::RESOLVE_NO_MAGICLINKS);
    let shown = || file.to_owned();
    match openat2(&top, file, how) {
        Ok(fd) => std::fs::File::from(fd)
            .write_all(text.as_bytes())
            .map_err(Error::at("write, in the container,", shown())),
        Err(Errno::ENOENT | Errno::ENOTDIR | Errno::ELOOP | Errno::EISDIR | Errno::ENXIO) => Ok(()),
        Err(errno) => Err(Error::at("open, in the container,", shown())(errno)),
    }
}

fn exec(program: &Path, args: &[String], env: &[(String, String)], quiet: bool) -> Result<()> {
    let mut command = Command::new(program);
    command
        .args(args)
        .envs(env.iter().map(|(name, value)| (name, value)));
    if quiet {
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

/// As LXC: by the shell; what it prints goes to the log.
fn hook(script: &str, line: &str, env: &[(String, String)]) -> Result<()> {
    let output = Command::new("/bin/sh")
        .args(["-c", line])
        .envs(env.iter().map(|(name, value)| (name, value)))
        .stdin(Stdio::null())
        .output()
        .map_err(Error::at("run the hook", script))?;
    let said = String::from_utf8_lossy(&output.stdout);
    for said in said.lines() {
        tracing::debug!("Script exec {script} produced output: {said}");
    }
    match output.status.success() {
        true => Ok(()),
        false => Err(Error::Program {
            program: format!("the hook {script}"),
            status: format!(
                "{}: {}",
                output.status,
                String::from_utf8_lossy(&output.stderr).trim_end()
            ),
        }),
    }
}
