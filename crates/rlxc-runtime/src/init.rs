//! The container's first process: from the clone to the execution of init.
//!
//! It is a copy of the single-threaded monitor, so ordinary Rust may run here. Whatever lies
//! below the rootfs is reached by descriptors alone ([`crate::root`]).

mod cgroup_mounts;
mod dev;
mod entries;
mod exec;
mod mounts;
mod rootfs;
mod terminals;

pub(crate) use exec::reset_signals;
pub(crate) use rootfs::make_slave;
pub(crate) use terminals::renew as renew_terminals;

use std::os::fd::{AsFd, OwnedFd};

use nix::sched::{CloneFlags, unshare};
use nix::unistd::{Gid, Uid, setgroups, setresgid, setresuid, setsid};
use rlxc_config::{HookKind, Namespace};
use rlxc_sys::process;

use crate::error::{Context, StartError};
use crate::hooks::HookContext;
use crate::plan::Plan;
use crate::root::Root;
use crate::sync::{Channel, Descriptors, FromChild, ToChild};

type Result<T> = std::result::Result<T, StartError>;

/// What the monitor has prepared for its child.
#[derive(Debug)]
pub(crate) struct Prepared<'a> {
    pub(crate) plan: &'a Plan,
    pub(crate) channel: Channel,
    pub(crate) hooks: HookContext,
    pub(crate) security: crate::security::Prepared,
    pub(crate) storage: crate::rootfs::Source,
    /// The console's pty, if it comes from the host.
    pub(crate) console: Option<crate::terminal::Pty>,
    /// The cgroups that the child enters by itself.
    pub(crate) cgroups: rlxc_cgroup::Entrance,
    /// Whether network and cgroup namespaces come by unshare(2).
    pub(crate) unshare_net: bool,
    pub(crate) unshare_cgroup: bool,
    /// Whether init's ids are held since before the seccomp policy, which need not allow to take them.
    pub(crate) settled: bool,
    /// Descriptors of the caller that init gets.
    pub(crate) inherited: Vec<std::os::fd::RawFd>,
}

/// Runs in the child; never returns.
pub(crate) fn run(mut prepared: Prepared<'_>) -> ! {
    let status = match set_up(&mut prepared) {
        Ok(terminals) => exec::run(prepared, terminals),
        Err(error) => Err(error).inspect_err(|error| {
            let _ = prepared
                .channel
                .send(&FromChild::Failed(error.clone()), &[]);
        }),
    };
    process::exit_now(status.unwrap_or(1))
}

/// The state of the set-up that later steps need.
struct Setup<'a> {
    plan: &'a Plan,
    /// The new root, before it becomes `/`.
    root: Root,
    /// Idmapped trees from the monitor, for the mount entries in their order.
    idmapped: std::collections::VecDeque<OwnedFd>,
    /// A procfs for labels and sysctls, if there are any.
    proc: Option<Root>,
}

fn set_up(prepared: &mut Prepared<'_>) -> Result<terminals::Terminals> {
    let plan = prepared.plan;
    // First of all: still with the monitor's ids, by which the kernel judges an ordinary user.
    let cgroups = std::mem::take(&mut prepared.cgroups);
    cgroups.enter_v1().at("enter cgroups", "the container")?;
    drop(cgroups);
    keep_only_own_descriptors(prepared)?;
    die_with_parent(&prepared.channel)?;
    exec::reset_signals()?;
    let mut trees = std::collections::VecDeque::new();
    let mut rootfs_tree = None;
    if plan.has_maps() {
        let (ToChild::Mapped { rootfs }, fds) = expect(&prepared.channel)? else {
            return Err(unexpected());
        };
        trees = fds.into();
        if rootfs {
            rootfs_tree = trees.pop_front();
        }
    }
    let has_user = plan.namespaces.clone.contains(Namespace::User);
    if has_user || plan.namespaces.share.contains_key(&Namespace::User) {
        become_root(plan)?;
        die_with_parent(&prepared.channel)?;
        if !Uid::current().is_root() {
            prepared.security.raise_ambient()?;
        }
    }
    if prepared.unshare_net {
        let step = "network namespace";
        unshare(CloneFlags::CLONE_NEWNET).at(step, "")?;
        prepared
            .channel
            .send(&FromChild::Network, &[])
            .at(step, "")?;
    }
    if plan.namespaces.clone.contains(Namespace::Time) {
        enter_time_namespace(plan)?;
    }
    add_hook_environment(prepared);
    rootfs::make_slave()?;
    let mut entered = false;
    if prepared.hooks.has(HookKind::PreMount) {
        // These hooks find the links where they belong.
        enter(prepared)?;
        entered = true;
    }
    prepared.hooks.run(HookKind::PreMount, &[])?;
    let proc = match prepared.security.has_label() || !plan.config.sysctl.is_empty() {
        true => Some(mounts::own_proc().at("procfs for labels and sysctls", "proc")?),
        false => None,
    };
    let root = rootfs::attach(plan, &prepared.storage, rootfs_tree)?;
    match &plan.config.uts_name {
        Some(name) if plan.namespaces.clone.contains(Namespace::Uts) => {
            nix::unistd::sethostname(name).at("hostname", format!("lxc.uts.name = {name}"))?;
        }
        // The name is that of others too, the host's for one.
        Some(name) => tracing::warn!("lxc.uts.name = {name}: no UTS namespace of its own"),
        None => {}
    }
    prepared.security.join_session_keyring()?;
    let mut setup = Setup {
        plan,
        root,
        idmapped: trees,
        proc,
    };
    // Without a root file system of its own the container's /dev hides the host's.
    let console_node = terminals::host_node_of(prepared.console.as_ref())?;
    mounts::all_but_cgroups(&mut setup)?;
    // Hooks that may look at the network, and cgroup mounts, need what the monitor is still busy
    // with; all else is done meanwhile.
    let hooks = &prepared.hooks;
    let early =
        hooks.has(HookKind::Mount) || hooks.has(HookKind::Autodev) || cgroup_mounts::wanted(plan);
    let hierarchies = cgroup_mounts::host_layout(plan)?;
    if early && !entered {
        enter(prepared)?;
        entered = true;
    }
    cgroup_mounts::mount_all(&setup, hierarchies.as_ref())?;
    prepared.hooks.run(HookKind::Mount, &[])?;
    if plan.config.autodev.enabled {
        prepared.hooks.run(HookKind::Autodev, &[])?;
    }
    let terminals = dev_and_terminals(&mut setup, prepared, console_node)?;
    let boot_id = dev::prepare_boot_id(&setup);
    rootfs::pivot(plan, &setup.root)?;
    mounts::after_pivot(plan)?;
    dev::bind_boot_id(boot_id);
    if !entered {
        enter(prepared)?;
    }
    finish(prepared, terminals, setup.proc)
}

fn dev_and_terminals(
    setup: &mut Setup<'_>,
    prepared: &mut Prepared<'_>,
    console_node: Option<OwnedFd>,
) -> Result<terminals::Terminals> {
    dev::nodes(setup)?;
    let terminals = terminals::set_up(setup, prepared.console.take(), console_node)?;
    dev::links(setup)?;
    Ok(terminals)
}

/// From the pivot to the last message: limits of what the container may do, start hooks.
fn finish(
    prepared: &mut Prepared<'_>,
    mut terminals: terminals::Terminals,
    proc: Option<Root>,
) -> Result<terminals::Terminals> {
    let plan = prepared.plan;
    if let Some(personality) = plan.config.arch {
        exec::set_personality(personality)?;
    }
    mounts::sysctls(plan, proc.as_ref())?;
    prepared.security.restrict(plan, proc.as_ref())?;
    drop(proc);
    exec::arrange_descriptors(&prepared.inherited)?;
    prepared.settled = exec::settle_ids(plan)?;
    let notify = prepared.security.load_seccomp()?;
    prepared.hooks.run(HookKind::Start, &[])?;
    exec::standard_streams(plan, &terminals)?;
    let _ = setsid();
    if let Some(cwd) = &plan.init.cwd {
        exec::change_directory(cwd)?;
    }
    let described = Descriptors {
        console: terminals.console.is_some(),
        ttys: u32::try_from(terminals.ttys.len()).unwrap_or(0),
        devpts: terminals.devpts.is_some(),
        seccomp: notify.is_some(),
    };
    let fds: Vec<_> = terminals
        .console
        .iter()
        .map(|pty| pty.ptx.as_fd())
        .chain(terminals.ttys.iter().map(|pty| pty.ptx.as_fd()))
        .chain(terminals.devpts.iter().map(AsFd::as_fd))
        .chain(notify.iter().map(AsFd::as_fd))
        .collect();
    prepared
        .channel
        .send(&FromChild::Ready(described), &fds)
        .at("ready", "")?;
    terminals.release_ptx();
    if plan.has_device_rules() || prepared.hooks.wait_before_init() {
        let (ToChild::Go, _) = expect(&prepared.channel)? else {
            return Err(unexpected());
        };
    }
    Ok(terminals)
}

/// Waits for cgroups and links; finishes the network and roots the cgroup namespace.
fn enter(prepared: &Prepared<'_>) -> Result<()> {
    let inside = wait_entered(prepared)?;
    crate::network::set_up_inside(&inside)?;
    if prepared.unshare_cgroup {
        unshare(CloneFlags::CLONE_NEWCGROUP).at("cgroup namespace", "")?;
    }
    Ok(())
}

fn wait_entered(prepared: &Prepared<'_>) -> Result<rlxc_network::Inside> {
    match expect(&prepared.channel)? {
        (ToChild::Entered { inside }, _) => Ok(inside),
        _ => Err(unexpected()),
    }
}

fn expect(channel: &Channel) -> Result<(ToChild, Vec<OwnedFd>)> {
    match channel.wait().at("monitor", "")? {
        Some(message) => Ok(message),
        // The monitor gave up or died: nobody listens any more.
        None => process::exit_now(1),
    }
}

fn unexpected() -> StartError {
    StartError::new("monitor", "", "an unexpected message")
}

/// SIGKILL when the monitor dies; ends at once if that has happened already.
fn die_with_parent(channel: &Channel) -> Result<()> {
    nix::sys::prctl::set_pdeathsig(nix::sys::signal::Signal::SIGKILL).at("parent", "")?;
    if channel.is_hung_up() {
        process::exit_now(1);
    }
    Ok(())
}

/// Closes the monitor's descriptors: the command socket, the plan, what it holds of the host.
/// Programs of the container that run before init's execution, its start hooks for one, could
/// take them from /proc/PID/fd of this process (CVE-2016-8649).
fn keep_only_own_descriptors(prepared: &Prepared<'_>) -> Result<()> {
    use std::os::fd::AsRawFd;
    let mut keep = vec![prepared.channel.as_fd().as_raw_fd()];
    keep.extend(&prepared.inherited);
    keep.extend(prepared.storage.descriptor().map(|fd| fd.as_raw_fd()));
    if let Some(pty) = &prepared.console {
        keep.extend([pty.ptx.as_raw_fd(), pty.pts.as_raw_fd()]);
    }
    keep.extend(rlxc_log::descriptors());
    process::close_other_fds(&keep).at("descriptors", "close_range")
}

/// Takes the ids of the user namespace's root, or `lxc.init.uid` and `.gid` where it has none.
fn become_root(plan: &Plan) -> Result<()> {
    let step = "user namespace";
    // Of a namespace that is shared only the kernel knows the maps.
    let has_root = |file: &str| -> Result<bool> {
        let text = std::fs::read_to_string(file).at(step, file)?;
        Ok(text
            .lines()
            .any(|line| line.split_whitespace().next() == Some("0")))
    };
    let uid = match has_root("/proc/self/uid_map")? {
        true => 0,
        false => plan.init.uid,
    };
    let gid = match has_root("/proc/self/gid_map")? {
        true => 0,
        false => plan.init.gid,
    };
    // Refused where setgroups is denied for the namespace: then the groups stay.
    let _ = setgroups(&[]);
    let (uid, gid) = (Uid::from_raw(uid), Gid::from_raw(gid));
    setresgid(gid, gid, gid).at(step, "lxc.idmap (gid)")?;
    setresuid(uid, uid, uid).at(step, "lxc.idmap (uid)")?;
    // The change of ids has cleared it; the monitor must keep access to /proc/PID.
    let _ = nix::sys::prctl::set_dumpable(true);
    Ok(())
}

fn enter_time_namespace(plan: &Plan) -> Result<()> {
    let step = "time namespace";
    let time = &plan.namespaces.time;
    // nix has no flag for it: CLONE_NEWTIME lies outside its type's names.
    unshare(CloneFlags::from_bits_retain(0x80)).at(step, "lxc.time.offset")?;
    let mut text = String::new();
    for (clock, seconds, nanoseconds) in [
        ("boottime", time.boot_s, time.boot_ns),
        ("monotonic", time.monotonic_s, time.monotonic_ns),
    ] {
        if (seconds, nanoseconds) != (0, 0) {
            let (seconds, nanoseconds) = (
                seconds + nanoseconds.div_euclid(1_000_000_000),
                nanoseconds.rem_euclid(1_000_000_000),
            );
            text.push_str(&format!("{clock} {seconds} {nanoseconds}\n"));
        }
    }
    let path = "/proc/self/timens_offsets";
    if !text.is_empty() {
        std::fs::write(path, text).at(step, path)?;
    }
    let path = "/proc/self/ns/time_for_children";
    let fd = std::fs::File::open(path).at(step, path)?;
    nix::sched::setns(fd, CloneFlags::empty()).at(step, path)
}

/// Hooks after the clone see `lxc.environment` and `lxc.environment.hooks` as well.
fn add_hook_environment(prepared: &mut Prepared<'_>) {
    let config = &prepared.plan.config;
    for (name, value) in config.environment.iter().chain(&config.environment_hooks) {
        prepared.hooks.set(name, value);
    }
}
