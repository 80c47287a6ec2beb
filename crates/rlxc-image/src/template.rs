//! LXC's calling convention for templates, and the configuration that one writes.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use clap::Args;
use nix::unistd::{Gid, Uid};
use rlxc_config::paths;

use crate::error::{Error, Result};
use crate::metadata::Metadata;
use crate::trust::Trust;
use crate::unpack::Tree;

/// What lxc-create passes to every template.
#[derive(Debug, Clone, Default, Args)]
pub struct Call {
    /// The container's name
    #[arg(long, value_name = "NAME", help_heading = "LXC internal arguments")]
    pub name: Option<String>,
    /// The container's directory
    #[arg(long, value_name = "DIR", help_heading = "LXC internal arguments")]
    pub path: Option<PathBuf>,
    /// Where the root file system goes
    #[arg(long, value_name = "DIR", help_heading = "LXC internal arguments")]
    pub rootfs: Option<PathBuf>,
    /// The caller's uid in the user namespace
    #[arg(
        long,
        value_name = "UID",
        allow_negative_numbers = true,
        help_heading = "LXC internal arguments"
    )]
    pub mapped_uid: Option<String>,
    /// The caller's gid in the user namespace
    #[arg(
        long,
        value_name = "GID",
        allow_negative_numbers = true,
        help_heading = "LXC internal arguments"
    )]
    pub mapped_gid: Option<String>,
}

/// The container that is being made.
#[derive(Debug, Clone)]
pub struct Target {
    /// Its name
    pub name: String,
    /// Its directory, with `config` in it
    pub path: PathBuf,
    /// Where the root file system goes
    pub rootfs: PathBuf,
    /// Whether it has id maps
    pub user_mode: bool,
    /// To whom its files belong, seen from inside
    pub owner: (Option<Uid>, Option<Gid>),
}

impl Call {
    /// Checks that everything is there.
    ///
    /// # Errors
    /// A message that says what is missing.
    pub fn target(&self) -> Result<Target> {
        let (Some(name), Some(path), Some(rootfs)) = (&self.name, &self.path, &self.rootfs) else {
            return Err(Error::message(
                "Please pass the name, path, and rootfs for the container (lxc-create does)",
            ));
        };
        if name.is_empty() || name.contains(['/', '\n', '\r', '\0']) {
            return Err(Error::format(
                format!("name {name:?}"),
                "is no container's name",
            ));
        }
        for path in [path, rootfs] {
            // They are written into the configuration.
            if path.to_string_lossy().contains(['\n', '\r']) {
                return Err(Error::format(
                    format!("path {path:?}"),
                    "has a line break in it, which a configuration cannot hold",
                ));
            }
        }
        let user_mode = crate::userns::inside();
        if user_mode && self.uid()?.is_none() {
            return Err(Error::message(
                "In a user namespace without a map (--mapped-uid is missing)",
            ));
        }
        Ok(Target {
            name: name.clone(),
            path: path.clone(),
            rootfs: rootfs.clone(),
            user_mode,
            owner: (self.uid()?, self.gid()?),
        })
    }

    fn uid(&self) -> Result<Option<Uid>> {
        Ok(id(self.mapped_uid.as_deref())?.map(Uid::from_raw))
    }

    fn gid(&self) -> Result<Option<Gid>> {
        Ok(id(self.mapped_gid.as_deref())?.map(Gid::from_raw))
    }

    /// Whether the caller's own cache is meant rather than the system's.
    pub fn own_cache(&self) -> bool {
        let mapped = self
            .mapped_uid
            .as_deref()
            .is_some_and(|id| id != "-1" && !id.is_empty());
        mapped || !nix::unistd::geteuid().is_root()
    }
}

fn id(text: Option<&str>) -> Result<Option<u32>> {
    match text {
        None | Some("" | "-1") => Ok(None),
        Some(text) => match text.parse() {
            Ok(id) => Ok(Some(id)),
            Err(_) => Err(Error::format(format!("mapped id {text:?}"), "is no number")),
        },
    }
}

/// The base of all caches: `$LXC_CACHE_PATH`, the user's, or the system's.
///
/// # Errors
/// Without `$HOME` for a user.
pub fn cache_base(call: &Call) -> Result<PathBuf> {
    let set = |name| std::env::var_os(name).filter(|value| !value.is_empty());
    if let Some(path) = set("LXC_CACHE_PATH") {
        return Ok(path.into());
    }
    if !call.own_cache() {
        return Ok(Path::new(paths::LOCALSTATEDIR).join("cache/lxc"));
    }
    match set("HOME") {
        Some(home) => Ok(Path::new(&home).join(".cache/lxc")),
        None => Err(Error::message(
            "HOME is not set: name a directory for the cache by LXC_CACHE_PATH",
        )),
    }
}

/// Directories that images' configurations speak of.
pub fn config_dir() -> PathBuf {
    Path::new(paths::DATADIR).join("lxc/config")
}

/// LXC's hooks.
pub fn hook_dir() -> PathBuf {
    Path::new(paths::DATADIR).join("lxc/hooks")
}

impl Target {
    /// The configuration file.
    pub fn config(&self) -> PathBuf {
        self.path.join("config")
    }

    fn read_config(&self) -> Result<String> {
        let file = self.config();
        std::fs::read_to_string(&file).map_err(Error::path("read", file))
    }

    /// Writes a file of the container's directory in place and gives it to the caller.
    fn write(&self, name: &str, text: &str) -> Result<()> {
        let file = self.path.join(name);
        std::fs::write(&file, text).map_err(Error::path("write", &file))?;
        let (uid, gid) = self.owner;
        // As LXC: whoever called must be able to read it; a map without them leaves it as it is.
        let _ = nix::unistd::chown(&file, uid, gid);
        Ok(())
    }

    /// Appends lines to the configuration.
    ///
    /// # Errors
    /// What reading and writing give.
    pub fn append(&self, lines: &[String]) -> Result<()> {
        let mut text = self.read_config()?;
        if !text.is_empty() && !text.ends_with('\n') {
            text.push('\n');
        }
        for line in lines {
            text.push_str(line);
            text.push('\n');
        }
        self.write("config", &text)
    }

    /// The configuration of an image of LXC's form: what the image says, then what the container
    /// had, the network last.
    ///
    /// # Errors
    /// What reading and writing give.
    pub fn finish(&self, metadata: &Metadata, trust: bool) -> Result<()> {
        let had = self.read_config()?;
        let mut comments = Vec::new();
        let (mut own, mut network) = (Vec::new(), Vec::new());
        for line in had.lines() {
            match line.trim_start() {
                text if text.starts_with("lxc.net.") => network.push(line),
                text if text.starts_with("lxc.") => own.push(line),
                _ => comments.push(line),
            }
        }
        let image = metadata
            .config(self.user_mode)
            .ok_or_else(|| Error::message("meta tarball is missing the configuration file"))?;
        let mut text = String::new();
        let mut put = |title: &str, lines: &[String]| {
            if !title.is_empty() {
                text.push_str(&format!("\n# {title}\n"));
            }
            for line in lines {
                text.push_str(line);
                text.push('\n');
            }
        };
        let owned = |lines: &[&str]| {
            lines
                .iter()
                .map(|line| (*line).to_owned())
                .collect::<Vec<_>>()
        };
        put("", &owned(&comments));
        let image = self.substitute(&image);
        let trust = Trust {
            all: trust,
            config_dir: config_dir(),
            fstab: self.path.join("fstab"),
        };
        put("Distribution configuration", &trust.config(&image));
        let mut lines = owned(&own);
        let fstab = metadata.text("fstab", self.user_mode);
        if fstab.is_some() {
            lines.push(format!(
                "lxc.mount.fstab = {}",
                self.path.join("fstab").display()
            ));
        }
        lines.push(format!("lxc.uts.name = {}", self.name));
        put("Container specific configuration", &lines);
        if !network.is_empty() {
            put("Network configuration", &owned(&network));
        }
        self.write("config", &text)?;
        if let Some(fstab) = fstab {
            self.write("fstab", &trust.fstab(&self.substitute(&fstab)))?;
        }
        self.fill_templates(metadata)
    }

    fn substitute(&self, text: &str) -> String {
        let shown = |path: &Path| path.display().to_string();
        text.replace("LXC_NAME", &self.name)
            .replace("LXC_PATH", &shown(&self.path))
            .replace("LXC_ROOTFS", &shown(&self.rootfs))
            .replace("LXC_TEMPLATE_CONFIG", &shown(&config_dir()))
            .replace("LXC_HOOK_DIR", &shown(&hook_dir()))
    }

    /// The files of the root file system that speak of the container's name.
    fn fill_templates(&self, metadata: &Metadata) -> Result<()> {
        let Some(list) = metadata.text("templates", self.user_mode) else {
            return Ok(());
        };
        let tree = self.tree()?;
        for line in list.lines().map(str::trim).filter(|line| !line.is_empty()) {
            let path = Path::new(line.trim_start_matches('/'));
            // What is not there, or is no small text, is not meant.
            let Ok(text) = tree.read_small(path, 1 << 20) else {
                continue;
            };
            let Ok(text) = String::from_utf8(text) else {
                continue;
            };
            let new = self.substitute(&text);
            if new != text {
                tree.replace_file(path, new.as_bytes(), 0o644)
                    .map_err(Error::path("write", path))?;
            }
        }
        // A getty that hangs up its terminal cannot do so in a user namespace.
        let getty = Path::new("etc/init/tty.conf");
        if let Ok(text) = tree.read_small(getty, 1 << 20)
            && let Ok(text) = String::from_utf8(text)
            && text.contains("mingetty")
        {
            let new = text.replace("mingetty", "mingetty --nohangup");
            tree.replace_file(getty, new.as_bytes(), 0o644)
                .map_err(Error::path("write", getty))?;
        }
        Ok(())
    }

    /// The root file system as a tree that cannot be left.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub fn tree(&self) -> Result<Tree> {
        Tree::open(&self.rootfs, false).map_err(Error::path("open", &self.rootfs))
    }

    /// Makes a directory of the root file system unless it is there.
    ///
    /// # Errors
    /// When something else is in its place.
    pub fn make_directory(&self, path: impl AsRef<OsStr>) -> Result<()> {
        let path = Path::new(path.as_ref());
        let made = self.tree()?.make_directories(path);
        made.map(|_| ()).map_err(Error::path("make", path))
    }
}
