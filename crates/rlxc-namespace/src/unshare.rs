//! `lxc-unshare`: a command in new namespaces.

use std::ffi::OsString;
use std::fs::File;
use std::os::fd::AsFd;

use nix::errno::Errno;
use nix::mount::{MsFlags, mount};
use nix::unistd::{User, getuid, sethostname, setsid};
use rlxc_config::{IdKind, IdMap, Namespace, NamespaceSet};

use crate::{Error, Result, map_writer, tool};

/// What to run in which namespaces.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Options {
    /// `-s`
    pub namespaces: NamespaceSet,
    /// `-u`: the caller's id inside
    pub user: Option<u32>,
    /// `-H`
    pub hostname: Option<String>,
    /// `-i`
    pub interfaces: Vec<String>,
    /// `-d`: do not wait
    pub daemon: bool,
    /// `-M`: /proc, /dev/shm and /dev/mqueue anew
    pub remount: bool,
    /// The command
    pub command: Vec<OsString>,
}

/// Parses the list of `-s`: MOUNT PID UTSNAME IPC USER NETWORK CGROUP TIME, joined by `|`.
///
/// # Errors
/// For an unknown word, or none at all.
pub fn parse_namespaces(list: &str) -> Result<NamespaceSet> {
    let mut set = NamespaceSet::default();
    for word in list.split('|').map(str::trim) {
        let found = Namespace::of_tool_word(word);
        set.insert(found.ok_or_else(|| Error::Option(format!("\"{word}\" is no namespace")))?);
    }
    Ok(set)
}

/// The uid of `-u`: a number or a user's name.
///
/// # Errors
/// When there is no such user.
pub fn parse_user(text: &str) -> Result<u32> {
    if let Ok(uid) = text.parse() {
        return Ok(uid);
    }
    match User::from_name(text) {
        Ok(Some(user)) => Ok(user.uid.as_raw()),
        _ => Err(Error::Option(format!("no user is called \"{text}\""))),
    }
}

/// Runs the command and returns its exit status (128 + signal; 0 at once with `daemon`).
///
/// `move_link` is called with the child's pid and an interface's name for each interface that is to go inside.
///
/// # Errors
/// For options that do not fit together, and when the namespaces cannot be made. What fails in the child is
/// given to `report` there and
/// gives status 1; a command that cannot be executed 126 or 127.
pub fn run(
    options: &Options,
    report: &dyn Fn(&Error),
    mut move_link: impl FnMut(i32, &str) -> std::io::Result<()>,
) -> Result<i32> {
    check(options)?;
    let mut flags = options.namespaces;
    flags.remove(Namespace::Time);
    let child = tool::Held::spawn(flags.0, || tool::inside(report, || in_child(options)))?;
    if let Err(error) = from_outside(options, child.pid, &mut move_link) {
        child.abandon();
        return Err(error);
    }
    let pid = child.release()?;
    if options.daemon {
        Ok(0)
    } else {
        tool::wait(pid)
    }
}

fn check(options: &Options) -> Result<()> {
    let needs = |wanted: bool, option: &str, ns, name: &str| {
        if wanted && !options.namespaces.contains(ns) {
            return Err(Error::Option(format!("{option} needs -s {name}")));
        }
        Ok(())
    };
    needs(options.user.is_some(), "-u", Namespace::User, "USER")?;
    needs(options.hostname.is_some(), "-H", Namespace::Uts, "UTSNAME")?;
    needs(
        !options.interfaces.is_empty(),
        "-i",
        Namespace::Net,
        "NETWORK",
    )?;
    needs(options.remount, "-M", Namespace::Mnt, "MOUNT")?;
    if options.command.is_empty() {
        return Err(Error::Option(
            "A command to execute in the new namespace is required".into(),
        ));
    }
    Ok(())
}

fn from_outside(
    options: &Options,
    pid: i32,
    move_link: &mut impl FnMut(i32, &str) -> std::io::Result<()>,
) -> Result<()> {
    if let Some(nsid) = options.user {
        // As in LXC only the uid is mapped: the gid stays the overflow gid.
        let map = IdMap {
            kind: IdKind::Uid,
            nsid,
            hostid: getuid().as_raw(),
            range: 1,
        };
        map_writer::write_id_maps(pid, &[map])?;
    }
    options.interfaces.iter().try_for_each(|name| {
        move_link(pid, name)
            .map_err(|error| tool::step(format!("moving the interface {name} inside"), error))
    })
}

fn in_child(options: &Options) -> Result<Error> {
    if options.namespaces.contains(Namespace::Time) {
        enter_new_time_namespace()?;
    }
    if options.namespaces.contains(Namespace::Mnt) {
        tool::make_mounts_slave()?;
    }
    if let Some(name) = &options.hostname {
        sethostname(name)
            .map_err(|errno| tool::step(format!("setting the hostname {name}"), errno))?;
    }
    if options.remount {
        remount()?;
    }
    if options.daemon {
        setsid().map_err(|errno| tool::step("starting a session", errno))?;
    }
    tool::switch_ids(options.user, None)?;
    Ok(tool::exec(&options.command))
}

/// unshare(2) makes a time namespace for children only; a single-threaded process can then enter it itself.
fn enter_new_time_namespace() -> Result<()> {
    let flag = Namespace::Time.clone_flag();
    let failed = |error| tool::step("entering a new time namespace", error);
    rlxc_sys::namespace::unshare(flag).map_err(failed)?;
    let file = File::open("/proc/self/ns/time_for_children").map_err(failed)?;
    rlxc_sys::namespace::setns(file.as_fd(), flag).map_err(failed)
}

fn remount() -> Result<()> {
    for (source, target, kind) in [
        ("proc", "/proc", "proc"),
        ("shmfs", "/dev/shm", "tmpfs"),
        ("mqueue", "/dev/mqueue", "mqueue"),
    ] {
        match mount(
            Some(source),
            target,
            Some(kind),
            MsFlags::empty(),
            None::<&str>,
        ) {
            Ok(()) => {}
            // /dev/shm and /dev/mqueue need not be there.
            Err(Errno::ENOENT) if target != "/proc" => {}
            Err(errno) => return Err(tool::step(format!("mounting {target}"), errno)),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn lists_are_joined_by_bars() {
        let set = parse_namespaces("MOUNT|PID|TIME").unwrap();
        assert!(
            set.contains(Namespace::Mnt)
                && set.contains(Namespace::Pid)
                && set.contains(Namespace::Time)
        );
        assert!(parse_namespaces("").is_err() && parse_namespaces("mount").is_err());
        assert_eq!(parse_user("root").unwrap(), 0);
        assert!(parse_user("no-such-user-here").is_err());
    }

    #[test]
    fn options_need_their_namespace() {
        let options = Options {
            hostname: Some("x".into()),
            command: vec!["true".into()],
            ..Options::default()
        };
        assert!(matches!(
            run(&options, &|_| (), |_, _| Ok(())),
            Err(Error::Option(_))
        ));
    }
}
