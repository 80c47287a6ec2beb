//! criu's command line: what dumps and a restore have in common.
//!
//! # References
//! criu(8).

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rlxc_cgroup::{Layout, Version};
use rlxc_config::{Config, MountEntry, NicKind};
use serde::{Deserialize, Serialize};

use crate::error::{Context as _, StartError};

const STEP: &str = "criu";

/// The program, as it was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Criu {
    /// Its path.
    pub program: PathBuf,
    /// Its version's first two numbers.
    pub version: (u32, u32),
}

/// Where the images are, and how criu is to treat them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Images {
    /// The directory.
    pub directory: PathBuf,
    /// Let criu say much.
    pub verbose: bool,
    /// Script that criu calls at each of its actions.
    pub action_script: Option<PathBuf>,
}

/// A restore instead of a start.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RestorePlan {
    /// The program.
    pub criu: Criu,
    /// The images.
    pub images: Images,
}

impl Criu {
    /// Finds it on PATH and asks for its version.
    ///
    /// # Errors
    /// It is missing, cannot be run, or is older than 2.0.
    pub fn find() -> Result<Self, StartError> {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let program = std::env::split_paths(&path)
            .map(|dir| dir.join("criu"))
            .find(|program| program.is_file())
            .ok_or_else(|| {
                StartError::new(STEP, "", "the program is not on PATH").remedy("install criu")
            })?;
        let output = Command::new(&program)
            .arg("--version")
            .env("LC_ALL", "C")
            .stdin(Stdio::null())
            .output()
            .at_path(STEP, &program)?;
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let version = parse_version(&said).filter(|version| *version >= (2, 0));
        let version = version.ok_or_else(|| {
            let first = said.lines().next().unwrap_or_default();
            let text = format!("is of version '{first}', and 2.0 or newer is needed");
            StartError::new(STEP, program.display(), text)
        })?;
        Ok(Self { program, version })
    }

    /// Whether what lies outside is named by `--external` (2.8), not by `--veth-pair`.
    fn names_external(&self) -> bool {
        self.version >= (2, 8)
    }

    /// Whether connections that are just being made can be left out (2.4).
    #[must_use]
    pub fn skips_in_flight(&self) -> bool {
        self.version >= (2, 4)
    }
}

fn parse_version(said: &str) -> Option<(u32, u32)> {
    let mut numbers = said.strip_prefix("Version: ")?.split(['.', '\n', '-']);
    let major = numbers.next()?.trim().parse().ok()?;
    let minor = numbers.next().and_then(|n| n.trim().parse().ok());
    Some((major, minor.unwrap_or(0)))
}

impl Images {
    /// What every command line begins with; `cgroup` tells the container's cgroup of a controller.
    pub fn words(
        &self,
        action: &str,
        cgroup: &mut dyn FnMut(&str) -> Option<String>,
    ) -> Vec<OsString> {
        const FIRST: [&str; 12] = [
            "--tcp-established",
            "--file-locks",
            "--link-remap",
            "--manage-cgroups=full",
            "--ext-mount-map",
            "auto",
            "--enable-external-sharing",
            "--enable-external-masters",
            "--enable-fs",
            "hugetlbfs",
            "--enable-fs",
            "tracefs",
        ];
        let mut words: Vec<OsString> = vec![action.into()];
        words.extend(FIRST.map(OsString::from));
        words.extend(["-D".into(), self.directory.clone().into()]);
        words.extend(["-o".into(), self.log(action).into()]);
        for (controllers, path) in cgroup_roots(cgroup) {
            words.extend([
                "--cgroup-root".into(),
                format!("{controllers}:{path}").into(),
            ]);
        }
        if self.verbose {
            words.push("-v4".into());
        }
        if let Some(script) = &self.action_script {
            words.extend(["--action-script".into(), script.clone().into()]);
        }
        words
    }

    /// Where criu writes what it does.
    #[must_use]
    pub fn log(&self, action: &str) -> PathBuf {
        self.directory.join(format!("{action}.log"))
    }

    /// Why criu has failed: what it said, or the last error of its log.
    #[must_use]
    pub fn reason(&self, action: &str, said: &str) -> String {
        let said = said.trim();
        if !said.is_empty() {
            return said.to_owned();
        }
        let log = std::fs::read(self.log(action)).unwrap_or_default();
        let log = String::from_utf8_lossy(&log);
        let line = log.lines().rfind(|line| line.contains("Error"));
        line.unwrap_or("it gave no reason").trim().to_owned()
    }
}

/// The container's cgroup in each hierarchy, in the order of /proc/self/cgroup.
fn cgroup_roots(cgroup: &mut dyn FnMut(&str) -> Option<String>) -> Vec<(String, String)> {
    let Ok(layout) = Layout::detect() else {
        return Vec::new();
    };
    let own = std::fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let place = |controllers: &str| {
        own.lines()
            .position(|line| line.split(':').nth(1) == Some(controllers))
    };
    let mut roots = Vec::new();
    for hierarchy in layout.hierarchies {
        let controllers = match hierarchy.version {
            Version::V1 => hierarchy.controllers,
            Version::V2 => controllers_of(&hierarchy.mount),
        };
        // A cgroup2 without controllers beside v1 has no name for criu.
        let Some(path) = controllers.first().and_then(|first| cgroup(first)) else {
            continue;
        };
        roots.push((
            controllers.join(","),
            format!("/{}", path.trim_matches('/')),
        ));
    }
    roots.sort_by_key(|(controllers, _)| place(controllers).unwrap_or(usize::MAX));
    roots
}

fn controllers_of(mount: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(mount.join("cgroup.controllers")).unwrap_or_default();
    text.split_whitespace().map(str::to_owned).collect()
}

/// Takes process `pid` out to the top of each hierarchy, from where criu sees all cgroups; what is
/// refused is left.
pub fn escape_cgroups(pid: i32) {
    let Ok(layout) = Layout::detect() else { return };
    for hierarchy in layout.hierarchies {
        let top = hierarchy.mount.join(hierarchy.init.unwrap_or_default());
        let _ = std::fs::write(top.join("cgroup.procs"), pid.to_string());
    }
}

/// `--ext-mount-map` of the mount entries that show something of the host. A dump says under which name
/// a restore asks for it.
pub fn add_mounts(words: &mut Vec<OsString>, config: &Config, action: &str) {
    let bind = nix::mount::MsFlags::MS_BIND.bits();
    let entries = config.mounts.entries.iter();
    let entries = entries.filter_map(|line| MountEntry::parse(line).ok());
    for entry in entries.filter(|entry| entry.flags & bind != 0) {
        let target = entry.target.trim_start_matches('/');
        let map = match action {
            "dump" => format!("/{target}:{target}"),
            _ => format!("{target}:{}", entry.source),
        };
        words.extend(["--ext-mount-map".into(), map.into()]);
    }
}

/// Only these links can be made again by a restore.
///
/// # Errors
/// Names the first of another type.
pub fn check_links(config: &Config) -> Result<(), StartError> {
    let known = |kind: &NicKind| {
        matches!(
            kind,
            NicKind::Veth(_) | NicKind::Macvlan(_) | NicKind::None | NicKind::Empty
        )
    };
    match config.net.iter().find(|(_, nic)| !known(&nic.kind)) {
        None => Ok(()),
        Some((index, nic)) => {
            let kind = rlxc_network::kind_name(&nic.kind);
            let text = format!("a link of type {kind} can be neither dumped nor restored");
            let target = format!("lxc.net.{index}.type");
            Err(StartError::new(STEP, target, text))
        }
    }
}

/// `--external` of the links that a restore makes. `pair` tells the name of a pair's outer end.
pub(crate) fn add_links(
    words: &mut Vec<OsString>,
    criu: &Criu,
    config: &Config,
    pair: &dyn Fn(u32) -> String,
) -> Result<(), StartError> {
    let option = match criu.names_external() {
        true => "--external",
        false => "--veth-pair",
    };
    for (number, (index, nic)) in config.net.iter().enumerate() {
        let inside = nic.name.clone().unwrap_or_else(|| format!("eth{number}"));
        let word = match &nic.kind {
            NicKind::Veth(_) => {
                let link = nic.link.as_ref();
                let link = link.map_or_else(String::new, |link| format!("@{link}"));
                let pair = pair(*index);
                match criu.names_external() {
                    true => format!("veth[{inside}]:{pair}{link}"),
                    false => format!("{inside}={pair}{link}"),
                }
            }
            NicKind::Macvlan(_) => match &nic.link {
                Some(link) => format!("macvlan[{inside}]:{link}"),
                None => {
                    let target = format!("lxc.net.{index}.link");
                    return Err(StartError::new(STEP, target, "is needed for a restore"));
                }
            },
            _ => continue,
        };
        words.extend([option.into(), word.into()]);
    }
    Ok(())
}

/// The console that a dump left outside: `tty[RDEV:DEV]`, from `tty.info` beside the images.
pub(crate) fn console_of(images: &Images) -> Result<Option<String>, StartError> {
    let file = images.directory.join("tty.info");
    match std::fs::read(&file) {
        Ok(bytes) => {
            let line = OsStr::from_bytes(&bytes).to_string_lossy().into_owned();
            Ok(line.lines().next().map(str::to_owned))
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).at_path(STEP, &file),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_by_their_numbers() {
        assert_eq!(parse_version("Version: 3.17.1\nGitID: x\n"), Some((3, 17)));
        assert_eq!(parse_version("Version: 4.0\n"), Some((4, 0)));
        assert_eq!(parse_version("Version: 2\n"), Some((2, 0)));
        assert_eq!(parse_version("criu 3.17"), None);
        let criu = |version| Criu {
            program: "/sbin/criu".into(),
            version,
        };
        assert!(criu((3, 17)).names_external() && criu((10, 0)).skips_in_flight());
        assert!(!criu((2, 3)).skips_in_flight());
    }

    #[test]
    fn links_are_named_for_the_restore() {
        let mut document = rlxc_config::Document::new();
        for (key, value) in [
            ("lxc.net.0.type", "veth"),
            ("lxc.net.0.link", "br0"),
            ("lxc.net.1.type", "empty"),
            ("lxc.net.4.type", "macvlan"),
            ("lxc.net.4.link", "eno1"),
            ("lxc.net.4.name", "lan"),
        ] {
            assert!(document.set(key, value).is_ok(), "{key}");
        }
        let criu = Criu {
            program: "/sbin/criu".into(),
            version: (3, 17),
        };
        let mut words = Vec::new();
        let pair = |index: u32| format!("pair{index}");
        assert!(add_links(&mut words, &criu, document.config(), &pair).is_ok());
        let expected = [
            "--external",
            "veth[eth0]:pair0@br0",
            "--external",
            "macvlan[lan]:eno1",
        ];
        assert_eq!(words, expected.map(OsString::from));
        assert!(check_links(document.config()).is_ok());
        assert!(document.set("lxc.net.5.type", "phys").is_ok());
        let refused = check_links(document.config());
        assert!(refused.is_err_and(|error| error.target == "lxc.net.5.type"));
    }
}
