use std::path::{Path, PathBuf};

use rlxc_config::{Config, IdKind, IdMap, Namespace, paths};
use rlxc_namespace::Caller;

use super::{
    Device, InitPlan, Mode, NamespacePlan, Plan, RootfsPlan, TerminalPlan, mounts, split_words,
};

/// A configuration that cannot become a plan.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)]
pub enum PlanError {
    #[error("the namespaces or id maps cannot be as configured")]
    Namespaces(#[from] rlxc_namespace::Error),
    #[error("{0} and {1} exclude each other")]
    Exclusive(&'static str, &'static str),
    #[error("{0} must be set together with {1}")]
    Together(&'static str, &'static str),
    #[error(
        "lxc.idmap needs a user namespace: add \"user\" to lxc.namespace.clone, or remove the maps"
    )]
    MapsWithoutUserNamespace,
    #[error("'{0}' cannot be a container's name: no '/', not '.' or '..', 1 to 255 bytes")]
    Name(String),
    #[error(
        "lxc.net.{0}.type was cleared or refused: set it, or remove the network by an empty lxc.net.{0}"
    )]
    NetworkType(u32),
    #[error("no command to execute: none was given and lxc.execute.cmd is not set")]
    NoCommand,
    #[error("lxc.mount.fstab = {path}: cannot be read")]
    Fstab {
        path: PathBuf,
        source: std::io::Error,
    },
    #[error("{origin}: {reason}")]
    MountEntry { origin: String, reason: String },
}

/// What a plan needs to know about the host and the caller.
#[derive(Debug, Clone, Default)]
pub struct HostFacts {
    /// Effective user id.
    pub euid: u32,
    /// Effective group id.
    pub egid: u32,
    /// Login name, by which subordinate ids are found.
    pub user: String,
    /// Whether the kernel has cgroup namespaces.
    pub cgroup_namespace: bool,
    /// Whether the default of `lxc.rootfs.mount` exists.
    pub default_mount: bool,
}

impl HostFacts {
    /// Looks at the running system.
    pub fn detect() -> Self {
        Self {
            euid: nix::unistd::geteuid().as_raw(),
            egid: nix::unistd::getegid().as_raw(),
            user: match nix::unistd::geteuid().is_root() {
                // Known without asking the sources of users.
                true => "root".into(),
                false => Caller::current().name,
            },
            cgroup_namespace: Path::new("/proc/self/ns/cgroup").exists(),
            default_mount: default_mount().is_dir(),
        }
    }
}

/// What a plan is computed from.
#[derive(Debug)]
pub struct PlanInput<'a> {
    /// The container's name.
    pub name: &'a str,
    /// Its lxcpath.
    pub lxcpath: &'a Path,
    /// Its configuration.
    pub config: &'a Config,
    /// The command given by the user; empty: what the configuration says.
    pub argv: Vec<String>,
    /// System or application container.
    pub mode: Mode,
    /// Whether to go to the background.
    pub daemonize: bool,
}

impl Plan {
    /// Computes the plan. Reads nothing but the fstab file; changes nothing.
    ///
    /// # Errors
    /// Keys that contradict each other, or a bad mount line.
    pub fn compute(input: PlanInput<'_>, host: &HostFacts) -> Result<Self, PlanError> {
        let config = input.config;
        check_name(input.name)?;
        check_cgroup_dirs(config)?;
        if let Some((index, _)) = config.net.iter().find(|(_, nic)| nic.untyped) {
            return Err(PlanError::NetworkType(*index));
        }
        let id_maps = id_maps(config, host);
        Ok(Self {
            name: input.name.to_owned(),
            lxcpath: input.lxcpath.to_owned(),
            mode: input.mode,
            daemonize: input.daemonize,
            privileged: host.euid == 0,
            namespaces: namespaces(config, &id_maps, host)?,
            mounts: mounts::steps(config, input.lxcpath, input.name)?,
            devices: if config.autodev.enabled {
                devices()
            } else {
                Vec::new()
            },
            links: links(),
            terminals: TerminalPlan {
                console: config.console.path.as_deref() != Some("none"),
                // An application container has nobody to log in.
                ttys: match input.mode {
                    Mode::Start => config.tty.max,
                    Mode::Execute => 0,
                },
                dir: config.tty.dir.clone().filter(|dir| !dir.is_empty()),
                devpts_max: config.pty_max.saturating_add(config.tty.max),
                devpts_stays: config.pty_max > 0,
                console_from_host: config.pty_max <= 1,
            },
            init: init(&input, config)?,
            cgroup_pattern: None,
            cgroup_use: None,
            pid_file: None,
            close_all_fds: input.daemonize,
            log_file: config.log.file.clone(),
            log_level: config.log.level,
            log_prefix: "lxc".into(),
            restore: None,
            user: host.user.clone(),
            id_maps,
            rootfs: rootfs(&input, host),
            config: config.clone(),
        })
    }
}

fn check_name(name: &str) -> Result<(), PlanError> {
    let bad = name.is_empty() || name.len() > 255 || name.contains(['/', '\0']);
    if bad || name == "." || name == ".." {
        return Err(PlanError::Name(name.to_owned()));
    }
    Ok(())
}

fn check_cgroup_dirs(config: &Config) -> Result<(), PlanError> {
    const MONITOR: &str = "lxc.cgroup.dir.monitor";
    const CONTAINER: &str = "lxc.cgroup.dir.container";
    const INNER: &str = "lxc.cgroup.dir.container.inner";
    let dirs = &config.cgroup;
    match (&dirs.monitor, &dirs.container) {
        (Some(_), None) => Err(PlanError::Together(MONITOR, CONTAINER)),
        (None, Some(_)) => Err(PlanError::Together(CONTAINER, MONITOR)),
        (Some(_), Some(_)) if dirs.dir.is_some() => {
            Err(PlanError::Exclusive("lxc.cgroup.dir", MONITOR))
        }
        (None, None) if dirs.container_inner.is_some() => Err(match dirs.dir {
            Some(_) => PlanError::Exclusive("lxc.cgroup.dir", INNER),
            None => PlanError::Together(INNER, CONTAINER),
        }),
        _ => Ok(()),
    }
}

/// The configured maps; for an ordinary user without any, the own ids as root inside.
fn id_maps(config: &Config, host: &HostFacts) -> Vec<IdMap> {
    if !config.idmap.is_empty() || host.euid == 0 {
        return config.idmap.clone();
    }
    let one = |kind, hostid| IdMap {
        kind,
        nsid: 0,
        hostid,
        range: 1,
    };
    vec![one(IdKind::Uid, host.euid), one(IdKind::Gid, host.egid)]
}

/// The choice of the configuration; an ordinary user needs a user namespace in any case.
fn namespaces(
    config: &Config,
    id_maps: &[IdMap],
    host: &HostFacts,
) -> Result<NamespacePlan, PlanError> {
    let mut config = config.clone();
    config.idmap = id_maps.to_vec();
    let mut clone = rlxc_namespace::choose(&config)?.new;
    let has_user =
        clone.contains(Namespace::User) || config.namespace_share.contains_key(&Namespace::User);
    let maps_are_lost = !has_user && !config.idmap.is_empty();
    if host.euid == 0 && maps_are_lost && !config.namespace_clone.is_empty() {
        // What should have run with the ids of nobody would run as root.
        return Err(PlanError::MapsWithoutUserNamespace);
    }
    if host.euid != 0 && !config.namespace_share.contains_key(&Namespace::User) {
        clone.insert(Namespace::User);
    }
    if !host.cgroup_namespace {
        clone.remove(Namespace::Cgroup);
    }
    Ok(NamespacePlan {
        clone,
        share: config.namespace_share,
        time: config.time_offset,
    })
}

fn rootfs(input: &PlanInput<'_>, host: &HostFacts) -> Option<RootfsPlan> {
    let config = &input.config.rootfs;
    let source = config.path.clone().filter(|path| !path.is_empty())?;
    let mount = match &config.mount {
        Some(mount) => PathBuf::from(mount),
        None if host.default_mount => default_mount(),
        // Not installed: whatever directory is there already serves as well.
        None if matches!(config.backend.as_deref(), None | Some("dir" | "btrfs")) => {
            PathBuf::from(&source)
        }
        None => input.lxcpath.join(input.name).join("rootfs"),
    };
    Some(RootfsPlan {
        backend: config.backend.clone(),
        source,
        mount,
        options: config.options.clone(),
    })
}

/// The default of `lxc.rootfs.mount`.
fn default_mount() -> PathBuf {
    Path::new(paths::LIBDIR).join("lxc/rootfs")
}

fn devices() -> Vec<Device> {
    [
        ("null", 1, 3),
        ("zero", 1, 5),
        ("full", 1, 7),
        ("random", 1, 8),
        ("urandom", 1, 9),
        ("tty", 5, 0),
    ]
    .into_iter()
    .map(|(name, major, minor)| Device {
        name: name.into(),
        major,
        minor,
        mode: 0o666,
    })
    .collect()
}

fn links() -> Vec<(String, String)> {
    [
        ("fd", "/proc/self/fd"),
        ("stdin", "/proc/self/fd/0"),
        ("stdout", "/proc/self/fd/1"),
        ("stderr", "/proc/self/fd/2"),
    ]
    .map(|(name, target)| (name.into(), target.into()))
    .into()
}

fn init(input: &PlanInput<'_>, config: &Config) -> Result<InitPlan, PlanError> {
    let configured = |command: &Option<String>| command.as_deref().map(split_words);
    let argv = match (input.argv.is_empty(), input.mode) {
        (false, _) => input.argv.clone(),
        (true, Mode::Start) => configured(&config.init.cmd).unwrap_or_default(),
        (true, Mode::Execute) => configured(&config.execute_cmd).unwrap_or_default(),
    };
    let argv = match (argv.is_empty(), input.mode) {
        (true, Mode::Start) => vec!["/sbin/init".to_owned()],
        (true, Mode::Execute) => return Err(PlanError::NoCommand),
        (false, _) => argv,
    };
    Ok(InitPlan {
        argv,
        environment: init_environment(config),
        uid: config.init.uid,
        gid: config.init.gid,
        groups: config.init.groups.clone(),
        cwd: config.init.cwd.clone().filter(|cwd| !cwd.is_empty()),
        death_signal: config.monitor_signal_pdeath.unwrap_or(9),
    })
}

fn init_environment(config: &Config) -> Vec<(String, String)> {
    let mut environment: Vec<(String, String)> = Vec::new();
    let own = [("container", "lxc")];
    let configured = config.environment.iter().chain(&config.environment_runtime);
    for (name, value) in configured.chain(own) {
        environment.retain(|(known, _)| known != name);
        environment.push((name.to_owned(), value.to_owned()));
    }
    environment
}

#[cfg(test)]
#[allow(clippy::expect_used)]
mod tests {
    use super::*;
    use crate::plan::MountStep;

    fn compute(config: &Config, euid: u32) -> Result<Plan, PlanError> {
        let input = PlanInput {
            name: "c",
            lxcpath: Path::new("/l"),
            config,
            argv: Vec::new(),
            mode: Mode::Start,
            daemonize: true,
        };
        let host = HostFacts {
            euid,
            egid: euid,
            user: "someone".into(),
            cgroup_namespace: true,
            default_mount: true,
        };
        Plan::compute(input, &host)
    }

    #[test]
    fn an_ordinary_user_without_maps_gets_a_single_id() {
        let plan = compute(&Config::default(), 1000).expect("a plan");
        let map = plan.id_maps[0];
        assert_eq!(plan.id_maps.len(), 2);
        assert_eq!((map.nsid, map.hostid, map.range), (0, 1000, 1));
        assert!(plan.namespaces.clone.contains(Namespace::User));
    }

    #[test]
    fn the_plan_survives_json() {
        let plan = compute(&Config::default(), 0).expect("a plan");
        let json = serde_json::to_string(&plan).expect("json");
        let back: Plan = serde_json::from_str(&json).expect("a plan");
        assert_eq!(plan, back);
    }

    #[test]
    fn targets_outside_the_rootfs_are_left_out() {
        let mut config = Config::default();
        config.rootfs.path = Some("/l/c/rootfs".into());
        config.mounts.entries = rlxc_config::Texts::from_iter([
            "/a b none bind 0 0",
            "/a /l/c/rootfs/x none bind 0 0",
            "/a /etc none bind 0 0",
        ]);
        let plan = compute(&config, 0).expect("a plan");
        let targets: Vec<&str> = plan
            .mounts
            .iter()
            .filter_map(|step| match step {
                MountStep::Entry { entry, .. } => Some(entry.target.as_str()),
                _ => None,
            })
            .collect();
        assert_eq!(targets, ["b", "x"]);
    }

    #[test]
    fn a_network_whose_type_was_cleared_is_no_network_to_start_with() {
        let mut config = Config::default();
        config.net.entry(3).or_default().untyped = true;
        let error = compute(&config, 0).expect_err("no plan");
        assert!(error.to_string().contains("lxc.net.3.type"), "{error}");
    }

    #[test]
    fn names_that_are_paths_are_refused() {
        for name in ["", ".", "..", "a/b"] {
            assert!(check_name(name).is_err(), "{name}");
        }
        assert!(check_name(&"x".repeat(300)).is_err());
        assert!(check_name("c1").is_ok());
    }
}
