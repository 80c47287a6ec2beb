//! A restore instead of a start: criu makes the processes, the monitor takes them over.

use std::ffi::{CString, OsString};
use std::fs::File;
use std::io::{Read as _, Seek as _};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;

use nix::sys::memfd::{MFdFlags, memfd_create};
use rlxc_config::NicKind;
use rlxc_monitor::State;
use rlxc_security::lsm::Kind;
use rlxc_sys::process::{self, CloneArgs, Cloned};

use super::core::Init;
use super::{Monitor, Result};
use crate::criu::{self, RestorePlan};
use crate::error::{Context, StartError};
use crate::hooks::HookContext;
use crate::plan::Plan;
use crate::terminal::{ConsolePump, ConsoleSetup, Pty, Terminals};

const STEP: &str = "restore";

impl Monitor {
    /// As [`Monitor::start`], from the images of a dump.
    pub(super) fn restore(&mut self, plan: &Plan, restore: &RestorePlan) -> Result<()> {
        self.server.announce(State::Starting);
        let hooks = HookContext::new(plan);
        self.check_policies(plan, &hooks)?;
        let storage = self.make_places(plan)?;
        self.step("enter cgroups", |monitor| {
            monitor.core.cgroups.enter_restored(plan)
        })?;
        self.choose_pairs(plan)?;
        let console = match plan.terminals.console {
            true => Some(Pty::from_host().at("console", "")?),
            false => None,
        };
        let words = self.restore_words(plan, restore, console.as_ref())?;
        let pts = console.as_ref().map(|pty| &pty.pts);
        let pid = self.step("criu", |_| run(plan, restore, &storage, &words, pts))?;
        let pidfd = process::pidfd_open(pid).at(STEP, "pidfd_open")?;
        self.core.init = Some(Init { pid, pidfd });
        self.core.last_pid = Some(pid);
        if plan.has_device_rules() {
            self.step("device rules", |monitor| {
                monitor.core.cgroups.restrict_devices(plan)
            })?;
        }
        if hooks.wants_namespaces() {
            self.keep_namespaces(plan, pid)?;
        }
        self.show_console(plan, console)?;
        self.server.announce(State::Running);
        self.report_running();
        Ok(())
    }

    /// criu makes the pairs; their outer ends' names are known before.
    fn choose_pairs(&mut self, plan: &Plan) -> Result<()> {
        for (index, nic) in &plan.config.net {
            let NicKind::Veth(veth) = &nic.kind else {
                continue;
            };
            let name = match &veth.pair {
                Some(pair) => pair.clone(),
                None => rlxc_network::Netlink::open()
                    .and_then(|mut netlink| netlink.free_name("veth", 6))
                    .at("network", format!("lxc.net.{index}.veth.pair"))?,
            };
            let key = format!("lxc.net.{index}.veth.pair");
            self.core.set_config_item(key, name);
        }
        Ok(())
    }

    fn restore_words(
        &self,
        plan: &Plan,
        restore: &RestorePlan,
        console: Option<&Pty>,
    ) -> Result<Vec<OsString>> {
        let rootfs = plan.rootfs.as_ref().ok_or_else(|| {
            StartError::new(
                STEP,
                "lxc.rootfs.path",
                "a restore needs a root file system",
            )
        })?;
        let cgroups = &self.core.cgroups;
        let mut words = restore.images.words("restore", &mut |controller| {
            cgroups.limit_path(Some(controller))
        });
        criu::add_mounts(&mut words, &plan.config, "restore");
        words.extend(["--root".into(), rootfs.mount.clone().into()]);
        words.extend(["--restore-detached".into(), "--restore-sibling".into()]);
        match (criu::console_of(&restore.images)?, console) {
            (Some(tty), Some(pty)) => {
                let fd = pty.pts.as_raw_fd();
                words.extend(["--inherit-fd".into(), format!("fd[{fd}]:{tty}").into()]);
            }
            (Some(_), None) => {
                let text = "the dumped container had a console, this one is to have none";
                return Err(StartError::new(STEP, "lxc.console.path = none", text));
            }
            (None, _) => {}
        }
        if let Some(pty) = console {
            let map = format!("console:/dev/pts/{}", pty.index);
            words.extend(["--ext-mount-map".into(), map.into()]);
        }
        if let Some(label) = &self.core.label
            && let Some(text) = &label.label
        {
            let word = match label.kind {
                Kind::AppArmor => Some(format!("apparmor:{text}")),
                Kind::SeLinux => Some(format!("selinux:{text}")),
                Kind::Nop => None,
            };
            if let Some(word) = word {
                words.extend(["--lsm-profile".into(), word.into()]);
            }
        }
        let pair = |index| {
            let key = format!("lxc.net.{index}.veth.pair");
            self.core.changed_item(&key).unwrap_or_default()
        };
        criu::add_links(&mut words, &restore.criu, &plan.config, &pair)?;
        Ok(words)
    }

    fn show_console(&mut self, plan: &Plan, console: Option<Pty>) -> Result<()> {
        let pump = match console {
            Some(pty) => {
                let setup = ConsoleSetup {
                    ptx: pty.ptx,
                    config: &plan.config.console,
                    peer: self.caller_terminal(plan),
                };
                Some(ConsolePump::new(setup).at("console", "")?)
            }
            None => None,
        };
        self.core.terminals = Terminals::new(pump, Vec::new(), None);
        self.core.terminals.window_changed();
        Ok(())
    }
}

/// Runs criu to its end: the pid of the restored init, which is a child of this process then.
fn run(
    plan: &Plan,
    restore: &RestorePlan,
    storage: &crate::rootfs::Source,
    words: &[OsString],
    console: Option<&OwnedFd>,
) -> Result<i32> {
    let program = &restore.criu.program;
    let said = memfd_create(c"criu", MFdFlags::MFD_CLOEXEC).at(STEP, "memfd")?;
    let word = |text: &[u8]| CString::new(text).at(STEP, "criu's arguments");
    let mut argv = vec![word(program.as_os_str().as_bytes())?];
    for text in words {
        argv.push(word(text.as_bytes())?);
    }
    let child = match process::clone3(&CloneArgs::default()).at(STEP, "clone")? {
        Cloned::Parent { pidfd, .. } => pidfd,
        Cloned::Child => {
            let Err(error) = execute(plan, storage, &argv, console, &said);
            let mut said = File::from(said);
            let _ = std::io::Write::write_all(&mut said, error.to_string().as_bytes());
            process::exit_now(127)
        }
    };
    let status = process::wait_status(&child).at(STEP, "wait for criu")?;
    if status == 0 {
        return first_child();
    }
    let mut text = String::new();
    let mut said = File::from(said);
    let _ = said.rewind().and_then(|()| said.read_to_string(&mut text));
    let reason = restore.images.reason("restore", &text);
    let how = match status & 0x7f {
        0 => format!("ended with status {}: {reason}", status >> 8),
        signal => format!("was killed by signal {signal}: {reason}"),
    };
    let log = restore.images.log("restore");
    let remedy = format!(
        "see {}; criu check --all tells what the kernel lacks",
        log.display()
    );
    Err(StartError::new(STEP, program.display(), how).remedy(remedy))
}

/// In the child: where criu finds the rootfs, then criu.
fn execute(
    plan: &Plan,
    storage: &crate::rootfs::Source,
    argv: &[CString],
    console: Option<&OwnedFd>,
    said: &OwnedFd,
) -> Result<std::convert::Infallible> {
    criu::escape_cgroups(i32::try_from(std::process::id()).unwrap_or(0));
    crate::init::reset_signals()?;
    nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNS).at(STEP, "unshare")?;
    crate::init::make_slave()?;
    if let Some(rootfs) = &plan.rootfs {
        storage.mount(rootfs, None)?;
    }
    if let Some(pts) = console {
        process::set_cloexec(pts.as_raw_fd(), false);
    }
    nix::unistd::dup2_stdout(said.as_fd()).at(STEP, "dup2")?;
    nix::unistd::dup2_stderr(said.as_fd()).at(STEP, "dup2")?;
    nix::unistd::execv(&argv[0], argv).at(STEP, argv[0].to_string_lossy())
}

/// criu has made init its sibling (--restore-sibling), and has ended itself.
fn first_child() -> Result<i32> {
    let own = std::process::id();
    let path = format!("/proc/self/task/{own}/children");
    let text = std::fs::read_to_string(&path).at(STEP, &path)?;
    let first = text.split_whitespace().next();
    first.and_then(|pid| pid.parse().ok()).ok_or_else(|| {
        StartError::new(
            STEP,
            path,
            "criu has ended well, but no process was restored",
        )
    })
}
