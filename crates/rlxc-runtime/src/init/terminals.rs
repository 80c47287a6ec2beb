//! devpts, /dev/console and /dev/ttyN.

use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use nix::fcntl::OFlag;
use nix::mount::{MntFlags, umount2};
use nix::sys::stat::{Mode, fchmod, fstat};
use rlxc_sys::mount::{self, FsContext, attr};

use super::{Result, Setup};
use crate::error::{Context, StartError};
use crate::root::{Root, fd_path};
use crate::sync::{Channel, Descriptors, FromChild};
use crate::terminal::Pty;

/// What goes to the monitor, and what init's standard streams may become.
#[derive(Debug, Default)]
pub(super) struct Terminals {
    pub(super) console: Option<Pty>,
    pub(super) ttys: Vec<Pty>,
    pub(super) devpts: Option<OwnedFd>,
    /// The ttys' numbers in the instance, when the ttys themselves are gone.
    numbers: Vec<u32>,
}

impl Terminals {
    /// Hands the monitor its ends.
    fn send(&self, channel: &Channel) -> std::result::Result<(), nix::errno::Errno> {
        let console = self.console.iter().map(|pty| pty.ptx.as_fd());
        let ttys = self.ttys.iter().map(|pty| pty.ptx.as_fd());
        let devpts = self.devpts.iter().map(AsFd::as_fd);
        let fds: Vec<_> = console.chain(ttys).chain(devpts).collect();
        let described = Descriptors {
            console: self.console.is_some(),
            ttys: u32::try_from(self.ttys.len()).unwrap_or(0),
            devpts: self.devpts.is_some(),
            seccomp: false,
        };
        channel.send(&FromChild::Ready(described), &fds)
    }

    /// The monitor has its copies: here only the container's side of the console is still used.
    pub(super) fn release_ptx(&mut self) {
        self.numbers = self.ttys.iter().map(|pty| pty.index).collect();
        self.ttys.clear();
        self.devpts = None;
    }

    /// `container_ttys` of systemd's container interface.
    pub(super) fn names(&self) -> Option<String> {
        let names: Vec<String> = self.numbers.iter().map(|n| format!("pts/{n}")).collect();
        (!names.is_empty()).then(|| names.join(" "))
    }
}

/// The node of a console from the host's devpts, while that is there.
pub(super) fn host_node_of(console: Option<&Pty>) -> Result<Option<OwnedFd>> {
    let node = console.map(host_node).transpose();
    node.at("terminals", "/dev/console")
}

pub(super) fn set_up(
    setup: &Setup<'_>,
    host_console: Option<Pty>,
    console_node: Option<OwnedFd>,
) -> Result<Terminals> {
    let plan = &setup.plan.terminals;
    let mut terminals = Terminals::default();
    let devpts = if plan.devpts_max > 0 {
        Some(mount_devpts(setup)?)
    } else {
        None
    };
    if let Some(devpts) = &devpts {
        let open = |what: String| Pty::from_devpts(devpts.as_fd()).at("terminals", what);
        if plan.console && host_console.is_none() {
            terminals.console = Some(open("/dev/console".into())?);
        }
        for number in 1..=plan.ttys {
            terminals.ttys.push(open(format!("/dev/tty{number}"))?);
        }
    }
    terminals.console = terminals.console.or(host_console);
    let nodes = Nodes {
        devpts: devpts.as_ref(),
        console: console_node,
    };
    if let Some(pty) = &terminals.console {
        bind(setup, &nodes, pty, "console")?;
    }
    for (number, pty) in (1..).zip(&terminals.ttys) {
        bind(setup, &nodes, pty, &format!("tty{number}"))?;
    }
    if let Some(devpts) = devpts {
        if !plan.devpts_stays {
            let detached = umount2(&fd_path(&devpts), MntFlags::MNT_DETACH);
            detached.at("devpts", "/dev/pts")?;
        }
        let fd = devpts.open("", OFlag::O_RDONLY | OFlag::O_DIRECTORY);
        terminals.devpts = Some(fd.at("devpts", "/dev/pts")?);
    }
    Ok(terminals)
}

/// A new instance on /dev/pts, and /dev/ptmx as its ptmx.
fn mount_devpts(setup: &Setup<'_>) -> Result<Root> {
    let step = "devpts";
    let max = setup.plan.terminals.devpts_max.to_string();
    // Group 5 is tty; a user namespace may not have it.
    let tree = new_devpts(&max, true)
        .or_else(|_| new_devpts(&max, false))
        .at(step, format!("lxc.pty.max ({max} with the ttys)"))?;
    let target = setup.root.make_dirs("dev/pts").at(step, "/dev/pts")?;
    mount::attach(&tree, &target).at(step, "/dev/pts")?;
    let devpts = setup.root.below("dev/pts").at(step, "/dev/pts")?;
    if setup.plan.terminals.devpts_stays {
        ptmx(setup, &devpts).at(step, "/dev/ptmx")?;
    }
    Ok(devpts)
}

fn new_devpts(max: &str, group: bool) -> std::io::Result<OwnedFd> {
    let context = FsContext::open("devpts")?.source("devpts")?;
    if group {
        context.set("gid", "5")?;
    }
    for (key, value) in [("ptmxmode", "0666"), ("mode", "0620"), ("max", max)] {
        context.set(key, value)?;
    }
    context.mount(attr::NOSUID | attr::NOEXEC)
}

fn ptmx(setup: &Setup<'_>, devpts: &Root) -> std::io::Result<()> {
    let dev = setup.root.below("dev")?;
    let bound = dev.make_file("ptmx", 0o666).and_then(|target| {
        let tree = mount::clone_tree(devpts.path_fd("ptmx")?, false)?;
        mount::attach(&tree, &target)
    });
    match bound {
        Ok(()) => Ok(()),
        Err(_) => setup.root.link("dev", "ptmx", "/dev/pts/ptmx"),
    }
}

/// Where the nodes of ptys are.
struct Nodes<'a> {
    /// The container's instance
    devpts: Option<&'a Root>,
    /// The console's node in the host's
    console: Option<OwnedFd>,
}

/// Puts a pty on /dev/NAME, or with `lxc.tty.dir` on /dev/DIR/NAME with /dev/NAME leading there.
fn bind(setup: &Setup<'_>, nodes: &Nodes<'_>, pty: &Pty, name: &str) -> Result<()> {
    let about = format!("/dev/{name}");
    // A pty made by a user namespace's root may refuse: its mode comes from the instance then.
    let _ = fchmod(&pty.pts, Mode::from_bits_truncate(0o620));
    let done = match &setup.plan.terminals.dir {
        None => bind_at(setup, nodes, pty, &format!("dev/{name}")),
        Some(dir) => bind_at(setup, nodes, pty, &format!("dev/{dir}/{name}")).and_then(|()| {
            if name == "console" {
                bind_at(setup, nodes, pty, "dev/console")
            } else {
                setup.root.link("dev", name, &format!("{dir}/{name}"))
            }
        }),
    };
    done.map_err(|error| {
        let error = StartError::from_error("terminals", &about, &error);
        if setup.plan.config.autodev.enabled {
            error
        } else {
            error.remedy("without lxc.autodev the rootfs must have a writable /dev")
        }
    })
}

fn bind_at(setup: &Setup<'_>, nodes: &Nodes<'_>, pty: &Pty, path: &str) -> std::io::Result<()> {
    let mut target = setup.root.make_file(path, 0o640)?;
    while mount::is_mount_root(&target) && umount2(&fd_path(&target), MntFlags::MNT_DETACH).is_ok()
    {
        target = setup.root.make_file(path, 0o640)?;
    }
    let from_host = nodes.console.as_ref().filter(|_| path.ends_with("console"));
    let node = match (from_host, nodes.devpts) {
        (Some(node), _) => node.try_clone()?,
        (None, Some(devpts)) => devpts.path_fd(pty.index.to_string())?,
        (None, None) => host_node(pty)?,
    };
    // What is bound must be the terminal we made, whatever the path shows.
    if fstat(&node)?.st_rdev != fstat(&pty.pts)?.st_rdev {
        return Err(std::io::Error::other("the pty's node is another device"));
    }
    mount::attach(&mount::clone_tree(&node, false)?, &target)
}

fn host_node(pty: &Pty) -> std::io::Result<OwnedFd> {
    let path = Path::new("/dev/pts").join(pty.index.to_string());
    let flags = OFlag::O_PATH | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    Ok(nix::fcntl::open(&path, flags, Mode::empty())?)
}

/// Of statfs(2).
const DEVPTS: nix::sys::statfs::FsType = nix::sys::statfs::FsType(0x1cd1);

/// In a helper of a monitor that takes a running container over: enters it, makes new terminals in
/// its devpts, and puts them where the old ones are. Never returns.
pub(crate) fn renew(plan: &crate::plan::Plan, init: &OwnedFd, channel: &Channel) -> ! {
    let done = enter(plan, init).and_then(|()| {
        let root = Root::open_host(Path::new("/")).at("terminals", "/")?;
        renew_below(plan, root)
    });
    let sent = match done {
        Ok(terminals) => terminals.send(channel),
        Err(error) => channel.send(&FromChild::Failed(error), &[]),
    };
    rlxc_sys::process::exit_now(i32::from(sent.is_err()))
}

fn enter(plan: &crate::plan::Plan, init: &OwnedFd) -> Result<()> {
    use nix::sched::{CloneFlags, setns};
    let step = "terminals";
    if plan.namespaces.clone.contains(rlxc_config::Namespace::User) {
        setns(init, CloneFlags::CLONE_NEWUSER).at(step, "the container's user namespace")?;
        // While /proc is still the host's.
        super::become_root(plan)?;
    }
    setns(init, CloneFlags::CLONE_NEWNS).at(step, "the container's mount namespace")
}

/// The tree is the container's by now: every path is resolved below its root, and nothing is opened
/// that is not in a devpts.
fn renew_below(plan: &crate::plan::Plan, root: Root) -> Result<Terminals> {
    let mut terminals = Terminals::default();
    let wanted = &plan.terminals;
    if !wanted.devpts_stays {
        return Ok(terminals);
    }
    let setup = Setup {
        plan,
        root,
        proc: None,
        idmapped: std::collections::VecDeque::new(),
    };
    let step = "terminals";
    let devpts = setup.root.below("dev/pts").at(step, "/dev/pts")?;
    let dir = devpts
        .open("", OFlag::O_RDONLY | OFlag::O_DIRECTORY)
        .at(step, "/dev/pts")?;
    if nix::sys::statfs::fstatfs(&dir)
        .at(step, "/dev/pts")?
        .filesystem_type()
        != DEVPTS
    {
        return Err(StartError::new(
            step,
            "/dev/pts",
            "it is no devpts any more",
        ));
    }
    let place = |pty: Pty, name: String| {
        let bound = bind_over(&setup, &devpts, &pty, &name);
        bound
            .inspect_err(|error| tracing::warn!("/dev/{name}: {error}"))
            .ok()
            .map(|()| pty)
    };
    // The console of the host's devpts cannot be brought in from here.
    if wanted.console && !wanted.console_from_host {
        let pty = Pty::from_devpts(devpts.as_fd()).at(step, "/dev/console")?;
        terminals.console = place(pty, "console".to_owned());
    }
    for number in 1..=wanted.ttys {
        let pty = Pty::from_devpts(devpts.as_fd()).at(step, format!("/dev/tty{number}"))?;
        match place(pty, format!("tty{number}")) {
            Some(pty) => terminals.ttys.push(pty),
            None => break,
        }
    }
    terminals.devpts = Some(dir);
    Ok(terminals)
}

/// In the place of the dead terminal. That one is unmounted by its name in its directory, since
/// umount(2) takes no descriptor, and /proc is the container's here.
fn bind_over(setup: &Setup<'_>, devpts: &Root, pty: &Pty, name: &str) -> std::io::Result<()> {
    let _ = fchmod(&pty.pts, Mode::from_bits_truncate(0o620));
    let mut dirs = vec!["dev".to_owned()];
    if let Some(dir) = setup.plan.terminals.dir.as_deref() {
        let below = format!("dev/{dir}");
        match name {
            "console" => dirs.push(below),
            _ => dirs = vec![below],
        }
    }
    let node = devpts.path_fd(pty.index.to_string())?;
    if fstat(&node)?.st_rdev != fstat(&pty.pts)?.st_rdev {
        return Err(std::io::Error::other("the pty's node is another device"));
    }
    for dir in dirs {
        let dir = setup.root.below(dir)?;
        let mut target = dir.make_file(name, 0o640)?;
        nix::unistd::fchdir(&dir)?;
        let flags = MntFlags::MNT_DETACH | MntFlags::UMOUNT_NOFOLLOW;
        while mount::is_mount_root(&target) && umount2(name, flags).is_ok() {
            target = dir.make_file(name, 0o640)?;
        }
        mount::attach(&mount::clone_tree(&node, false)?, &target)?;
    }
    Ok(())
}
