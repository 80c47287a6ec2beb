//! AppArmor: choosing, generating, loading and removing profiles.

mod paths;
mod profile;

use std::fs;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use rlxc_config::{Config, paths as paths_of};
use serde::{Deserialize, Serialize};

use super::{Kind, Label};
use crate::{Error, Result};
pub use profile::{Base, Features, Request, base as base_rules, text as profile_text};

const SECURITYFS: &str = "/sys/kernel/security/apparmor";

/// A generated profile that is loaded into the kernel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Generated {
    /// Its name
    pub profile: String,
    /// Its file
    pub file: PathBuf,
    /// apparmor_parser's cache
    pub cache: PathBuf,
    /// The policy namespace made for nested containers
    pub namespace: Option<String>,
}

/// Whether AppArmor is active in the running kernel.
#[must_use]
pub fn enabled() -> bool {
    fs::read_to_string("/sys/module/apparmor/parameters/enabled")
        .is_ok_and(|text| text.starts_with('Y'))
        && Path::new("/proc/self/attr/current").exists()
}

/// The label of process `pid` without its mode, e.g. `unconfined` or `lxc-container-default-cgns`.
///
/// # Errors
/// When it cannot be read.
pub fn label_of(pid: i32) -> Result<String> {
    let own = format!("/proc/{pid}/attr/apparmor/current");
    let old = format!("/proc/{pid}/attr/current");
    let text = fs::read_to_string(&own)
        .or_else(|_| fs::read_to_string(&old))
        .map_err(|source| Error::Read {
            path: old.into(),
            source,
        })?;
    Ok(strip_mode(&text).to_owned())
}

fn strip_mode(text: &str) -> &str {
    let text = text.trim_end_matches(['\0', '\n']);
    text.rsplit_once(" (")
        .filter(|(_, mode)| mode.ends_with(')'))
        .map_or(text, |(label, _)| label)
}

/// What is written to the attribute file to get `label`.
#[must_use]
pub fn command(label: &str, on_exec: bool) -> String {
    format!("{} {label}", if on_exec { "exec" } else { "changeprofile" })
}

/// See [`super::prepare`].
pub(super) fn prepare(
    name: &str,
    lxcpath: &Path,
    config: &Config,
    cgroup_namespace: bool,
) -> Result<Label> {
    let features = Features::probe(Path::new(SECURITYFS));
    let unchanged = || Label::unchanged(Kind::AppArmor);
    let wanted = config.apparmor.profile.as_deref();
    if wanted == Some("unchanged") {
        return Ok(unchanged());
    }
    let current = label_of(std::process::id().cast_signed())?;
    if !features.stacking && !starts_freely(&current) {
        return match wanted {
            None => Ok(unchanged()),
            Some(profile) if profile == current => Ok(unchanged()),
            Some(profile) => Err(Error::AppArmorConfined {
                profile: profile.to_owned(),
                current,
            }),
        };
    }
    let default = match cgroup_namespace {
        true => "lxc-container-default-cgns",
        false => "lxc-container-default",
    };
    let label = wanted.unwrap_or(default);
    if label != "unconfined" && !features.mount && !config.apparmor.allow_incomplete {
        return Err(Error::AppArmorIncomplete(
            "AppArmor in this kernel does not mediate mounts, so the profile would not confine the container; \
             lxc.apparmor.allow_incomplete = 1 starts it all the same"
                .into(),
        ));
    }
    match label {
        "generated" => generate(name, lxcpath, config, &features),
        "unconfined" if current == "unconfined" => Ok(unchanged()),
        label => Ok(Label {
            label: Some(label.to_owned()),
            ..unchanged()
        }),
    }
}

/// Whether a process with this label may take any other: it is unconfined, or has the profile of LXC's own starter.
fn starts_freely(label: &str) -> bool {
    label == "unconfined" || label == "/usr/bin/lxc-start"
}

/// `lxc-NAME_<LXCPATH>`; a name that is too long for the kernel is replaced by its FNV-1a hash.
#[must_use]
pub fn generated_name(name: &str, lxcpath: &Path) -> String {
    const LONGEST: usize = 246;
    let full = format!("lxc-{name}_<{}>", lxcpath.display());
    if full.len() <= LONGEST {
        return full;
    }
    let hash = full.bytes().fold(0xcbf2_9ce4_8422_2325u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3)
    });
    format!("{hash:016x}")
}

fn generate(name: &str, lxcpath: &Path, config: &Config, features: &Features) -> Result<Label> {
    let profile = generated_name(name, lxcpath);
    // Names of files and of policy namespaces have no slashes.
    let plain = profile.replace('/', "-");
    let directory = lxcpath.join(name).join("apparmor");
    let cache = Path::new(paths_of::LOCALSTATEDIR).join("cache/lxc/apparmor");
    for path in [&cache, &directory] {
        let mut builder = fs::DirBuilder::new();
        builder
            .recursive(true)
            .mode(0o755)
            .create(path)
            .map_err(|source| Error::Write {
                path: path.clone(),
                source,
            })?;
    }
    let text = profile::text(&Request {
        profile: &profile,
        namespace: features.own_namespaces().then_some(plain.as_str()),
        nesting: config.apparmor.allow_nesting,
        unprivileged: !config.idmap.is_empty() || !in_first_user_namespace(),
        cgroup_namespaces: Path::new("/proc/self/ns/cgroup").exists(),
        userns_rule: features.userns && parser_knows_userns(),
        raw: &config.apparmor.raw,
    });
    let generated = Generated {
        profile,
        file: directory.join(&plain),
        cache,
        namespace: features.own_namespaces().then_some(plain),
    };
    replace_file(&generated.file, &text)?;
    if let Err(error) = generated.load() {
        generated.remove_namespace();
        let _ = fs::remove_file(&generated.file);
        let _ = fs::remove_dir(&directory);
        return Err(error);
    }
    let label = match &generated.namespace {
        Some(namespace) => format!("{}//&:{namespace}:", generated.profile),
        None => generated.profile.clone(),
    };
    Ok(Label {
        kind: Kind::AppArmor,
        label: Some(label),
        generated: Some(generated),
    })
}

fn in_first_user_namespace() -> bool {
    fs::read_to_string("/proc/self/uid_map")
        .is_ok_and(|map| map.split_whitespace().eq(["0", "0", &u32::MAX.to_string()]))
}

/// Rules for user namespaces came with version 4; an older parser calls them an error.
fn parser_knows_userns() -> bool {
    let output = Command::new("apparmor_parser").arg("--version").output();
    output.is_ok_and(|output| {
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let version = text.split_whitespace().nth(3).unwrap_or_default();
        let major = version.split('.').next().unwrap_or_default();
        major.parse::<u32>().is_ok_and(|major| major >= 4)
    })
}

/// A new file moved into place: an old one is never written through a link.
fn replace_file(file: &Path, text: &str) -> Result<()> {
    let failed = |source| Error::Write {
        path: file.into(),
        source,
    };
    if fs::read_to_string(file).is_ok_and(|old| old == text) {
        // An unchanged file keeps its time, so that the parser's cache stays good.
        return Ok(());
    }
    let new = file.with_extension(format!("new{}", std::process::id()));
    match fs::remove_file(&new) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
        _ => {}
    }
    let mut out = fs::File::create_new(&new).map_err(failed)?;
    io::Write::write_all(&mut out, text.as_bytes()).map_err(failed)?;
    fs::rename(&new, file).map_err(failed)
}

impl Generated {
    fn load(&self) -> Result<()> {
        if let Some(namespace) = &self.namespace {
            let path = namespace_directory(namespace);
            match fs::create_dir(&path) {
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                    return Err(Error::Write {
                        path,
                        source: error,
                    });
                }
                _ => {}
            }
        }
        self.parser("-rWL")
    }

    /// Removes the profile and the policy namespace from the kernel. The file stays in the container's directory: the
    /// parser's cache is good only as long as the file is not newer, and the next start is to be quick.
    ///
    /// # Errors
    /// When apparmor_parser fails.
    pub fn remove(&self) -> Result<()> {
        let result = self.parser("-RWL");
        self.remove_namespace();
        result
    }

    fn remove_namespace(&self) {
        if let Some(namespace) = &self.namespace {
            // Profiles loaded by what ran inside go with it.
            if let Err(error) = fs::remove_dir(namespace_directory(namespace)) {
                tracing::debug!(%error, namespace, "policy namespace not removed");
            }
        }
    }

    fn parser(&self, options: &'static str) -> Result<()> {
        let failed = |output: String| Error::Parser {
            action: options,
            path: self.file.clone(),
            output,
        };
        let output = Command::new("apparmor_parser")
            .arg(options)
            .arg(&self.cache)
            .arg(&self.file)
            .output();
        match output {
            Ok(output) if output.status.success() => Ok(()),
            Ok(output) => Err(failed(
                String::from_utf8_lossy(&output.stderr).trim().to_owned(),
            )),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Err(failed(
                "not found on PATH; install the package apparmor, or name a loaded profile".into(),
            )),
            Err(error) => Err(failed(error.to_string())),
        }
    }
}

fn namespace_directory(namespace: &str) -> PathBuf {
    Path::new(SECURITYFS)
        .join("policy/namespaces")
        .join(namespace)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_lose_their_mode() {
        assert_eq!(
            strip_mode("lxc-c1_</var/lib/lxc> (enforce)\n"),
            "lxc-c1_</var/lib/lxc>"
        );
        assert_eq!(strip_mode("unconfined\n\0"), "unconfined");
    }

    #[test]
    fn generated_names_hold_the_path_or_are_hashed() {
        assert_eq!(
            generated_name("c1", Path::new("/var/lib/lxc")),
            "lxc-c1_</var/lib/lxc>"
        );
        let long = "/x".repeat(200);
        assert_eq!(generated_name("c1", Path::new(&long)).len(), 16);
    }

    #[test]
    fn a_file_is_replaced_not_written_through_a_link() {
        let dir = std::env::temp_dir().join(format!("rlxc-security-aa-{}", std::process::id()));
        fs::create_dir_all(&dir).ok();
        let (victim, file) = (dir.join("victim"), dir.join("lxc-c1"));
        fs::write(&victim, "old").ok();
        std::os::unix::fs::symlink(&victim, &file).ok();
        assert!(replace_file(&file, "profile").is_ok());
        assert_eq!(fs::read_to_string(&victim).unwrap_or_default(), "old");
        assert_eq!(fs::read_to_string(&file).unwrap_or_default(), "profile");
        fs::remove_dir_all(&dir).ok();
    }
}
