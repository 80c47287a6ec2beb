//! Helpers for whole-system tests: places, users, programs of ours and of the peer.

pub mod cgroups;
pub mod rootfs;

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};

/// Who works on the containers of a [`Place`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Actor {
    /// root, privileged containers
    Root,
    /// A user with subordinate ids
    UserWithIds,
    /// A user without any: one id in the container
    UserWithoutIds,
}

impl Actor {
    /// Whoever runs the tests: what needs no privileges is tried with those that there are.
    #[must_use]
    pub fn own() -> Self {
        use std::os::unix::fs::MetadataExt as _;
        let own = std::fs::metadata("/proc/self").map_or(0, |meta| meta.uid());
        let ranges = || User::find(&own.to_string()).and_then(|user| user.ranges);
        match own {
            0 => Self::Root,
            _ if ranges().is_some() => Self::UserWithIds,
            _ => Self::UserWithoutIds,
        }
    }

    fn user(self) -> Option<&'static str> {
        match self {
            Self::Root => None,
            Self::UserWithIds => Some("rlxc-ids"),
            Self::UserWithoutIds => Some("rlxc-noids"),
        }
    }
}

/// A user of this machine, and the subordinate ids.
#[derive(Debug, Clone)]
struct User {
    name: String,
    uid: u32,
    gid: u32,
    /// Ranges of user and of group ids: first and count
    ranges: Option<[(u32, u32); 2]>,
}

impl User {
    /// By name, or by number.
    fn find(who: &str) -> Option<Self> {
        let passwd = std::fs::read_to_string("/etc/passwd").ok()?;
        let fields = passwd
            .lines()
            .map(|line| line.split(':').collect::<Vec<_>>())
            .find(|fields| fields.len() > 3 && (fields[0] == who || fields[2] == who))?;
        let (name, number) = (fields[0], fields[2]);
        let range = |file: &str| {
            let text = std::fs::read_to_string(file).ok()?;
            let mut lines = text.lines().map(|line| line.split(':').collect::<Vec<_>>());
            let line = lines.find(|f| f.len() == 3 && (f[0] == name || f[0] == number))?;
            Some((line[1].parse().ok()?, line[2].trim().parse().ok()?))
        };
        let ranges = range("/etc/subuid").zip(range("/etc/subgid"));
        Some(Self {
            name: name.to_owned(),
            uid: number.parse().ok()?,
            gid: fields[3].parse().ok()?,
            ranges: ranges.map(|(uids, gids)| [uids, gids]),
        })
    }
}

/// Says in one line why a test cannot run here.
pub fn skipped(missing: &str) {
    println!("skipped: {missing}");
}

/// Whether this process runs as root.
#[must_use]
pub fn is_root() -> bool {
    std::fs::metadata("/proc/self").is_ok_and(|m| std::os::unix::fs::MetadataExt::uid(&m) == 0)
}

/// The folder of the programs that this build made.
///
/// # Panics
/// When the test's own path cannot be read.
#[must_use]
pub fn bin_dir() -> PathBuf {
    let own = std::env::current_exe().unwrap_or_default();
    own.parent()
        .and_then(Path::parent)
        .map(Path::to_path_buf)
        .unwrap_or_default()
}

/// The repository's root.
#[must_use]
pub fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .map(Path::to_path_buf)
        .unwrap_or_default()
}

/// Whether this process runs as root; says in one line that it does not, and what for it should.
#[must_use]
pub fn root_for(what: &str) -> bool {
    let root = is_root();
    if !root {
        skipped(&format!("root ({what})"));
    }
    root
}

/// An lxcpath of one test's own; its containers are killed and removed at the end.
#[derive(Debug)]
pub struct Place {
    path: PathBuf,
    actor: Actor,
    /// Who works here, unless it is root
    user: Option<User>,
    /// Containers that the peer's tools have worked on
    touched: Mutex<BTreeSet<String>>,
}

static COUNTER: AtomicU32 = AtomicU32::new(0);

impl Place {
    /// A fresh lxcpath for `actor`; `None`, with the line that says why, if that cannot be here.
    ///
    /// Root takes the part of the test users; an ordinary user plays itself.
    #[must_use]
    pub fn new(actor: Actor) -> Option<Self> {
        if !Path::new("/bin/busybox").exists() {
            skipped("/bin/busybox (package busybox-static)");
            return None;
        }
        let user = match (actor.user(), is_root()) {
            (None, true) => None,
            (None, false) => {
                skipped("root (privileged containers)");
                return None;
            }
            (Some(name), true) => {
                let Some(user) = User::find(name) else {
                    skipped(&format!(
                        "the test user {name} (made by cargo xtask test as root)"
                    ));
                    return None;
                };
                Some(user)
            }
            (Some(_), false) => {
                use std::os::unix::fs::MetadataExt as _;
                let own = std::fs::metadata("/proc/self")
                    .map(|meta| meta.uid())
                    .ok()?;
                let Some(user) = User::find(&own.to_string()) else {
                    skipped("this user in /etc/passwd");
                    return None;
                };
                Some(user)
            }
        };
        let without = user.as_ref().is_some_and(|user| user.ranges.is_none());
        if actor == Actor::UserWithIds && without {
            skipped("subordinate ids of this user (/etc/subuid, /etc/subgid)");
            return None;
        }
        let number = COUNTER.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("rlxc-t{}-{number}", std::process::id()));
        std::fs::create_dir(&path).ok()?;
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).ok()?;
        if let Some(user) = &user {
            std::os::unix::fs::chown(&path, Some(user.uid), Some(user.gid)).ok()?;
        }
        Some(Self {
            path,
            actor,
            user,
            touched: Mutex::default(),
        })
    }

    /// The lxcpath.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A command run by this place's user.
    #[must_use]
    pub fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = match &self.user {
            Some(user) if is_root() => {
                let mut command = Command::new("setpriv");
                command
                    .arg(format!("--reuid={}", user.uid))
                    .arg(format!("--regid={}", user.gid));
                command.args(["--init-groups", "--"]).arg(program);
                command
                    .env("HOME", format!("/home/{}", user.name))
                    .env("USER", &user.name);
                command.env_remove("XDG_RUNTIME_DIR");
                command
            }
            _ => Command::new(program),
        };
        command.current_dir("/").stdin(std::process::Stdio::null());
        command
    }

    /// `rlxc VERB -P LXCPATH ARGS`.
    pub fn rlxc(&self, verb: &str, args: &[&str]) -> Output {
        let mut command = self.command(bin_dir().join("rlxc"));
        command.arg(verb).arg("-P").arg(&self.path).args(args);
        run(&mut command)
    }

    /// The peer's `lxc-TOOL -P LXCPATH ARGS`.
    pub fn lxc(&self, tool: &str, args: &[&str]) -> Output {
        let name = args.iter().position(|arg| *arg == "-n");
        if let (Some(at), Ok(mut touched)) = (name, self.touched.lock()) {
            touched.extend(args.get(at + 1).map(|name| (*name).to_owned()));
        }
        let mut command = self.command(format!("/usr/bin/lxc-{tool}"));
        command.arg("-P").arg(&self.path).args(args);
        run(&mut command)
    }

    /// Makes a busybox container by our template, with no network and what `extra` says.
    ///
    /// # Panics
    /// When it cannot be made.
    pub fn create(&self, name: &str, extra: &str) {
        let file = self.path.join(format!("{name}.conf"));
        let text = format!("{}lxc.net.0.type = empty\n{extra}", self.id_maps());
        assert!(std::fs::write(&file, text).is_ok(), "{}", file.display());
        let template = repository().join("templates/lxc-busybox");
        let (file, template) = (file.to_string_lossy(), template.to_string_lossy());
        ok(&self.rlxc("create", &["-n", name, "-f", &file, "-t", &template]));
    }

    /// The host's id of root in this place's containers; `None` where it is root itself.
    #[must_use]
    pub fn first_id(&self) -> Option<u32> {
        let user = self.user.as_ref()?;
        let ranges = user.ranges.filter(|_| self.actor == Actor::UserWithIds);
        Some(ranges.map_or(user.uid, |[uids, _]| uids.0))
    }

    /// The lines `lxc.idmap` of this place's containers.
    #[must_use]
    pub fn id_maps(&self) -> String {
        let Some(user) = &self.user else {
            return String::new();
        };
        let single = [(user.uid, 1), (user.gid, 1)];
        let ranges = match self.actor {
            Actor::UserWithIds => user.ranges.unwrap_or(single),
            _ => single,
        };
        let map =
            |id: char, (host, count): (u32, u32)| format!("lxc.idmap = {id} 0 {host} {count}\n");
        map('u', ranges[0]) + &map('g', ranges[1])
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let entries: Vec<_> = std::fs::read_dir(&self.path)
            .into_iter()
            .flatten()
            .flatten()
            .collect();
        let touched = self.touched.get_mut().map(std::mem::take);
        let mut names: Vec<String> = touched.unwrap_or_default().into_iter().collect();
        for entry in entries {
            if entry.path().join("config").exists() {
                let name = entry.file_name();
                let name = name.to_string_lossy().into_owned();
                let _ = self.rlxc("stop", &["-k", "-n", &name]);
                let _ = self.rlxc("destroy", &["-f", "-s", "-n", &name]);
                names.push(name);
            }
        }
        let _ = std::fs::remove_dir_all(&self.path);
        cgroups::remove_left(&names);
    }
}

/// Runs a command to its end, with what it said.
///
/// # Panics
/// When it cannot be started.
pub fn run(command: &mut Command) -> Output {
    match command.output() {
        Ok(output) => output,
        Err(error) => panic!("{command:?}: {error}"),
    }
}

/// What a command printed; it must have succeeded.
///
/// # Panics
/// With everything it said, when it failed.
#[track_caller]
pub fn ok(output: &Output) -> String {
    assert!(
        output.status.success(),
        "{}: {}",
        output.status,
        said(output)
    );
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Standard output and error of a command.
#[must_use]
pub fn said(output: &Output) -> String {
    String::from_utf8_lossy(&[&output.stdout[..], &output.stderr[..]].concat()).into_owned()
}

/// Whether the peer's tools are installed; says so if not.
#[must_use]
pub fn peer() -> bool {
    let there = Path::new("/usr/bin/lxc-start").exists();
    if !there {
        skipped("LXC's own tools (package lxc)");
    }
    there
}

/// Asserts that no cgroup of container `name` is left in any hierarchy.
#[track_caller]
pub fn no_cgroup_left(name: &str) {
    let left = cgroups::left(&[name]);
    assert!(left.is_empty(), "{left:?} are left");
}
