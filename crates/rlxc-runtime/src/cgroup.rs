//! The container's cgroups: made before the clone, entered by who is to be in them, removed last.

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::errno::Errno;
use rlxc_cgroup::{Entrance, Layout, Mode, Request, Version};
use rlxc_config::{IdKind, IdMap};
use rlxc_monitor::protocol::{CgroupCtx, CgroupFd, CgroupLayout, DeviceRule};
use rlxc_monitor::server::Answer;

use crate::error::{Context, StartError};
use crate::plan::Plan;

/// How long killed processes may hold a cgroup up.
const PATIENCE: Duration = Duration::from_secs(5);
const CREATE: &str = "create cgroups";
const ENTER: &str = "enter cgroups";
/// The same when all of the container's own processes are known to have ended.
const SHORT: Duration = Duration::from_secs(1);
const DEVICES: &str = "device rules";
const CGROUP_MAGIC: u32 = 0x27_e0eb;
const CGROUP2_MAGIC: u32 = 0x6367_7270;

/// The monitor's and the container's cgroups; empty where nothing is delegated to the caller.
#[derive(Debug, Default)]
pub(crate) struct Cgroups {
    cgroups: Option<rlxc_cgroup::Cgroups>,
    monitor: Place,
    /// systemd's scope that all of it lies in, or why there is none; `None`: it was not asked.
    scope: Option<Result<String, String>>,
}

/// Where the monitor is.
#[derive(Debug, Default, PartialEq, Eq)]
enum Place {
    #[default]
    Outside,
    OnlyV1,
    Inside,
}

impl Cgroups {
    /// Those of a container that runs already. Without the monitor's own it can still be served.
    pub(crate) fn adopt(mut cgroups: rlxc_cgroup::Cgroups) -> Self {
        let taken_back = cgroups
            .take_back()
            .and_then(|()| cgroups.monitor_entrance());
        let mut adopted = Self {
            cgroups: Some(cgroups),
            ..Self::default()
        };
        let own = i32::try_from(std::process::id()).unwrap_or(0);
        let entered = taken_back.and_then(|entrance| {
            adopted.enter_monitor(&entrance, false)?;
            entrance.enter_v2(own)
        });
        match entered {
            Ok(()) => adopted.monitor = Place::Inside,
            Err(error) => tracing::warn!("{error}"),
        }
        adopted
    }

    /// What another monitor would have to know of them.
    pub(crate) fn made(&self) -> Option<&rlxc_cgroup::Cgroups> {
        self.cgroups.as_ref()
    }

    /// Makes the monitor's cgroups, before there is a monitor: so that it can be born in them. `dir`
    /// is where the other programs of rlxc are.
    pub(crate) fn create_monitor(
        &mut self,
        plan: &Plan,
        dir: Option<&Path>,
    ) -> Result<(), StartError> {
        // On a reboot the monitor has stayed where it is.
        if self.cgroups.is_none() {
            if self.scope.is_none() {
                self.scope = crate::scope::enter_new(&plan.name, dir);
            }
            let layout = Layout::detect().at(CREATE, "")?;
            let in_use = || has_namesake(plan);
            let made = rlxc_cgroup::Cgroups::create_monitor_unless(&layout, &request(plan), in_use);
            // Kept before the next call: what it leaves behind on failure is removed by `destroy`.
            self.cgroups = Some(made.at(CREATE, "")?);
        }
        Ok(())
    }

    /// The monitor's cgroups, opened; `None` when they could not be made or are not to be entered
    /// now.
    pub(crate) fn monitor_entrance(&self) -> Option<Entrance> {
        let cgroups = self
            .cgroups
            .as_ref()
            .filter(|_| self.monitor == Place::Outside)?;
        cgroups.monitor_entrance().ok()
    }

    /// The calling process, which is the monitor, enters its cgroups; `born` says that it is in the
    /// cgroup2 one already. Where it cannot be born there it moves later, together with init.
    pub(crate) fn enter_monitor(
        &mut self,
        entrance: &Entrance,
        born: bool,
    ) -> rlxc_cgroup::Result<()> {
        entrance.enter_v1()?;
        self.monitor = match born || entrance.birth_place().is_none() {
            true => Place::Inside,
            false => Place::OnlyV1,
        };
        Ok(())
    }

    pub(crate) fn create(&mut self, plan: &Plan, dir: Option<&Path>) -> Result<(), StartError> {
        self.create_monitor(plan, dir)?;
        match &self.scope {
            Some(Ok(unit)) => tracing::info!("systemd has made the scope {unit}"),
            Some(Err(error)) => tracing::warn!("systemd was asked for a scope in vain: {error}"),
            None => {}
        }
        let Some(cgroups) = &mut self.cgroups else {
            return Ok(());
        };
        for skipped in &cgroups.skipped {
            tracing::info!("cgroups: {}: {}", skipped.mount.display(), skipped.reason);
        }
        if cgroups.trees.is_empty() && cgroups.mode != Mode::None {
            tracing::warn!(
                "no cgroup is delegated to this user: the container has no limits and no statistics"
            );
        }
        let in_use = || has_namesake(plan);
        cgroups.create_payload_unless(in_use).at(CREATE, "")?;
        if cgroups.devices_first() {
            attach_devices(cgroups, plan)?;
        }
        cgroups.create_inner().at(CREATE, "")?;
        if let Some(entrance) = self.monitor_entrance() {
            self.enter_monitor(&entrance, false)
                .at(ENTER, "the monitor")?;
        }
        Ok(())
    }

    /// Applies the device rules: when the container is set up, since they are for what runs in it
    /// and not for its making.
    pub(crate) fn restrict_devices(&mut self, plan: &Plan) -> Result<(), StartError> {
        match &mut self.cgroups {
            Some(cgroups) if !cgroups.devices_first() => attach_devices(cgroups, plan),
            _ => Ok(()),
        }
    }

    /// What init enters by itself, and the cgroup2 that it is born in.
    pub(crate) fn payload_entrance(&self) -> Result<Entrance, StartError> {
        match &self.cgroups {
            Some(cgroups) => cgroups.payload_entrance().at(ENTER, "the container"),
            None => Ok(Entrance::default()),
        }
    }

    /// Moves those who were not `born` in their cgroup2 there, in one burst, since only the first of
    /// several moves is slow; then sets the limits.
    pub(crate) fn enter(&mut self, plan: &Plan, pid: i32, born: bool) -> Result<(), StartError> {
        self.move_monitor()?;
        if !born {
            let entrance = self.payload_entrance()?;
            entrance.enter_v2(pid).at(ENTER, "the container")?;
        }
        self.limit(plan)
    }

    /// As [`Cgroups::enter`] for a container whose processes criu moves: the monitor alone.
    pub(crate) fn enter_restored(&mut self, plan: &Plan) -> Result<(), StartError> {
        self.move_monitor()?;
        self.limit(plan)
    }

    /// The monitor itself, if it was not born in its cgroup2.
    fn move_monitor(&mut self) -> Result<(), StartError> {
        let Some(cgroups) = &self.cgroups else {
            return Ok(());
        };
        if self.monitor == Place::OnlyV1 {
            let own = i32::try_from(std::process::id()).unwrap_or(0);
            let entrance = cgroups.monitor_entrance();
            entrance
                .and_then(|entrance| entrance.enter_v2(own))
                .at(ENTER, "the monitor")?;
            self.monitor = Place::Inside;
        }
        Ok(())
    }

    fn limit(&self, plan: &Plan) -> Result<(), StartError> {
        let Some(cgroups) = &self.cgroups else {
            return Ok(());
        };
        let config = &plan.config;
        let limits = "cgroup limits";
        cgroups
            .apply_limits(&config.cgroup1.to_vec(), &config.cgroup2.to_vec())
            .at(limits, "")
            .map_err(undelegated)?;
        if let Err(error) = delegate(cgroups, &plan.id_maps) {
            // A container that cannot make cgroups of its own still works.
            tracing::info!("cgroups are not delegated: {error}");
        }
        Ok(())
    }

    /// Thaws a frozen container, so that a signal reaches it.
    pub(crate) fn thaw(&self) {
        if let Some(cgroups) = &self.cgroups
            && let Err(error) = cgroups.unfreeze(Some(Duration::ZERO))
        {
            tracing::debug!("thaw: {error}");
        }
    }

    /// The name of systemd's scope that the container is in.
    pub(crate) fn scope(&self) -> Option<String> {
        self.scope.clone()?.ok()
    }

    pub(crate) fn path(&self, controller: Option<&str>) -> Option<String> {
        self.cgroups.as_ref()?.path(controller)
    }

    pub(crate) fn limit_path(&self, controller: Option<&str>) -> Option<String> {
        self.cgroups.as_ref()?.limit_path(controller)
    }

    /// The cgroup2 directory of a pure v2 host.
    pub(crate) fn unified_fd(&self, limit: bool) -> Answer<OwnedFd> {
        let cgroups = self.cgroups.as_ref().ok_or(Errno::EBADF)?;
        if cgroups.mode != Mode::Unified {
            return Err(Errno::EINVAL);
        }
        let tree = cgroups.trees.first().ok_or(Errno::EBADF)?;
        open(tree, limit)
    }

    pub(crate) fn context(&self) -> Answer<(CgroupCtx, Vec<OwnedFd>)> {
        let cgroups = self.cgroups.as_ref().ok_or(Errno::ENOENT)?;
        let fds = cgroups.dirfds().map_err(|_| Errno::ENOENT)?;
        let context = CgroupCtx {
            layout: layout(cgroups.mode),
            utilities: utilities(cgroups),
            fd_len: u32::try_from(fds.len()).unwrap_or(0),
        };
        Ok((context, fds))
    }

    pub(crate) fn controller_fd(
        &self,
        controller: &str,
        limit: bool,
    ) -> Answer<(CgroupFd, OwnedFd)> {
        let cgroups = self.cgroups.as_ref().ok_or(Errno::ENOENT)?;
        let tree = cgroups.tree(Some(controller)).ok_or(Errno::ENOENT)?;
        let answer = CgroupFd {
            layout: layout(cgroups.mode),
            utilities: utilities(cgroups),
            fs_type: match tree.version {
                Version::V1 => CGROUP_MAGIC,
                Version::V2 => CGROUP2_MAGIC,
            },
            controller: controller.to_owned(),
        };
        Ok((answer, open(tree, limit)?))
    }

    pub(crate) fn add_device(&mut self, rule: &DeviceRule) -> Answer<()> {
        let cgroups = self.cgroups.as_mut().ok_or(Errno::EINVAL)?;
        if cgroups.mode != Mode::Unified {
            return Err(Errno::EINVAL);
        }
        let number = |n: i32| if n < 0 { "*".to_owned() } else { n.to_string() };
        let access = String::from_utf8_lossy(&rule.access);
        let line = format!(
            "{} {}:{} {}",
            char::from(rule.kind),
            number(rule.major),
            number(rule.minor),
            access.trim_end_matches('\0')
        );
        let added = cgroups.add_device(rule.allow != 0, &line);
        added.map_err(|error| {
            tracing::error!("device rule '{line}': {error}");
            Errno::EINVAL
        })
    }

    /// Starts freezing or thawing a container of a pure v2 host, without waiting; the directory's
    /// events tell when it is done.
    pub(crate) fn change_freezer(&self, freeze: bool) -> Answer<std::fs::File> {
        let cgroups = self.cgroups.as_ref().ok_or(Errno::ENOENT)?;
        if cgroups.mode != Mode::Unified {
            return Err(Errno::ENOENT);
        }
        let dir = cgroups.trees.first().and_then(|tree| tree.payload.as_ref());
        let dir = dir.ok_or(Errno::ENOENT)?;
        let errno = |error: std::io::Error| Errno::from_raw(error.raw_os_error().unwrap_or(0));
        let events = std::fs::File::open(dir.join("cgroup.events")).map_err(errno)?;
        let value = if freeze { "1" } else { "0" };
        std::fs::write(dir.join("cgroup.freeze"), value).map_err(errno)?;
        Ok(events)
    }

    /// Removes the container's cgroups; `all_dead` says that its pid namespace is gone, so that
    /// nothing has to be killed.
    pub(crate) fn destroy_payload(&mut self, maps: &[IdMap], all_dead: bool) {
        let Some(cgroups) = &mut self.cgroups else {
            return;
        };
        if !all_dead {
            cgroups.kill();
        }
        let dirs = cgroups.payload_dirs();
        let patience = if all_dead { SHORT } else { PATIENCE };
        match cgroups.destroy_payload(patience) {
            Ok(()) => {}
            Err(error) if is_refusal(&error) && !maps.is_empty() => {
                // Cgroups that the container's users made: they are theirs, not the caller's.
                let inside = || {
                    let results = dirs.iter().map(|dir| rlxc_cgroup::remove(dir, PATIENCE));
                    i32::from(results.filter(Result::is_err).count() > 0)
                };
                if rlxc_namespace::run_mapped(maps, inside).ok() != Some(0) {
                    tracing::warn!("{error}");
                }
            }
            // Somebody else's, moved in from outside: they are left alone, as by LXC.
            Err(error) => {
                tracing::warn!("{error}; still in it: {:?}", rlxc_cgroup::processes(&dirs))
            }
        }
    }

    /// The cgroups that the monitor is in.
    pub(crate) fn monitor_dirs(&self) -> Vec<PathBuf> {
        let cgroups = self.cgroups.as_ref();
        let cgroups = cgroups.filter(|_| self.monitor != Place::Outside);
        cgroups
            .map(rlxc_cgroup::Cgroups::monitor_dirs)
            .unwrap_or_default()
    }

    /// Removes the monitor's cgroups. To leave a v1 cgroup takes a grace period of the kernel, some
    /// 10 to 30 ms; a client that waits for the monitor's end can spare it that.
    pub(crate) fn destroy_monitor(&mut self) {
        let Some(cgroups) = &mut self.cgroups else {
            return;
        };
        let own = i32::try_from(std::process::id()).unwrap_or(0);
        let done = match self.monitor {
            Place::Outside => cgroups.remove_monitor(PATIENCE),
            Place::OnlyV1 | Place::Inside => cgroups.destroy_monitor(own, PATIENCE),
        };
        self.monitor = Place::Outside;
        if let Err(error) = done {
            tracing::warn!("{error}");
        }
    }
}

/// Whether a container is frozen, by its cgroup's own word.
pub(crate) fn is_frozen(cgroups: &rlxc_cgroup::Cgroups) -> bool {
    match cgroups.mode {
        Mode::Unified => cgroups
            .get("cgroup.events")
            .is_ok_and(|text| text.lines().any(|line| line == "frozen 1")),
        _ => cgroups
            .get("freezer.state")
            .is_ok_and(|text| text.trim_end() != "THAWED"),
    }
}

pub(crate) fn request(plan: &Plan) -> Request {
    let dirs = &plan.config.cgroup;
    let controllers = plan.cgroup_use.as_deref().unwrap_or_default();
    Request {
        name: plan.name.clone(),
        dir: dirs.dir.clone(),
        monitor: dirs.monitor.clone(),
        pivot: dirs.monitor_pivot.clone(),
        container: dirs.container.clone(),
        inner: dirs.container_inner.clone(),
        relative: dirs.relative,
        pattern: plan.cgroup_pattern.clone(),
        use_controllers: controllers
            .split(',')
            .map(|name| name.trim().to_owned())
            .filter(|name| !name.is_empty())
            .collect(),
    }
}

/// Whether another container of this name may run. This monitor has its own container's socket, so
/// that what an earlier one left is nobody's.
fn has_namesake(plan: &Plan) -> bool {
    rlxc_monitor::is_name_used_elsewhere(&plan.lxcpath, &plan.name).unwrap_or(true)
}

fn is_refusal(error: &rlxc_cgroup::Error) -> bool {
    [Errno::EPERM, Errno::EACCES]
        .map(|errno| Some(errno as i32))
        .contains(&error.errno())
}

/// What an ordinary user can do about a limit that has no cgroup to be set in.
fn undelegated(error: StartError) -> StartError {
    if nix::unistd::geteuid().is_root() {
        return error;
    }
    error.remedy(
        "no cgroup is delegated to this user: start it by `systemd-run --user --scope -p Delegate=yes`, \
         let root give the user a cgroup, or take the limit out of the configuration",
    )
}

/// Who may not set device rules (an ordinary user; root of a user namespace) starts without them, as
/// with LXC: what such a container can open its owner can open too, and it cannot make nodes.
fn attach_devices(cgroups: &mut rlxc_cgroup::Cgroups, plan: &Plan) -> Result<(), StartError> {
    let (v1, v2) = (&plan.config.cgroup1, &plan.config.cgroup2);
    let done = cgroups.attach_devices(&v1.to_vec(), &v2.to_vec());
    match done {
        Err(error) if is_refusal(&error) => {
            tracing::warn!("the container runs without device rules: {error}");
            Ok(())
        }
        other => other.at(DEVICES, ""),
    }
}

/// Gives the container's root the group of its cgroups. Only root may give a group away that it is
/// not in itself; an ordinary user does it in a user namespace that has both.
fn delegate(cgroups: &rlxc_cgroup::Cgroups, maps: &[IdMap]) -> Result<(), String> {
    let Some(gid) = rlxc_namespace::mapped_root(maps, IdKind::Gid) else {
        return Ok(());
    };
    if nix::unistd::geteuid().is_root() {
        return cgroups.delegate(gid).map_err(|error| error.to_string());
    }
    if cgroups.trees.is_empty() {
        return Ok(());
    }
    match rlxc_namespace::run_mapped(maps, || i32::from(cgroups.delegate(0).is_err())) {
        Ok(0) => Ok(()),
        Ok(_) => Err("the kernel refuses the group".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

fn open(tree: &rlxc_cgroup::Tree, limit: bool) -> Answer<OwnedFd> {
    let inner = tree.inner.as_ref().filter(|_| !limit);
    let dir = inner.or(tree.payload.as_ref()).ok_or(Errno::ENOENT)?;
    let file = std::fs::File::open(dir);
    file.map(OwnedFd::from)
        .map_err(|error| Errno::from_raw(error.raw_os_error().unwrap_or(0)))
}

fn layout(mode: Mode) -> CgroupLayout {
    match mode {
        Mode::Unified => CgroupLayout::Unified,
        Mode::Hybrid => CgroupLayout::Hybrid,
        Mode::Legacy => CgroupLayout::Legacy,
        Mode::None => CgroupLayout::Unknown,
    }
}

/// Bit 0: device rules can be used; bit 1: the freezer.
fn utilities(cgroups: &rlxc_cgroup::Cgroups) -> u32 {
    let has = |name| cgroups.tree(Some(name)).is_some();
    let unified = cgroups.mode == Mode::Unified;
    u32::from(unified || has("devices")) | u32::from(unified || has("freezer")) << 1
}
