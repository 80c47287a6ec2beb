//! lxc.conf: the host's or a user's settings for all containers (lxc.system.conf(5)).

use std::path::{Path, PathBuf};

use crate::paths;

/// The keys of lxc.conf.
pub const GLOBAL_KEYS: [&str; 9] = [
    "lxc.bdev.lvm.vg",
    "lxc.bdev.lvm.thin_pool",
    "lxc.bdev.zfs.root",
    "lxc.bdev.rbd.rbdpool",
    "lxc.bdev.rbd.rbduser",
    "lxc.lxcpath",
    "lxc.default_config",
    "lxc.cgroup.pattern",
    "lxc.cgroup.use",
];

/// Why lxc.conf has no answer.
#[derive(Debug, thiserror::Error)]
pub enum GlobalError {
    /// No such key (EINVAL in the C API).
    #[error("unknown global key {key}; known are {}", GLOBAL_KEYS.join(" "))]
    Unknown {
        /// The key as given.
        key: String,
    },
}

/// The settings of lxc.conf with their defaults.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GlobalConfig {
    text: String,
    /// `None` for root, else the user's home.
    home: Option<PathBuf>,
}

impl GlobalConfig {
    /// Reads the caller's lxc.conf: SYSCONFDIR/lxc/lxc.conf for root, `$HOME/.config/lxc/lxc.conf` for others
    /// (by effective user id; `/` if HOME is not set). A missing or unreadable file counts as empty, as in LXC.
    pub fn load() -> Self {
        let is_root = nix::unistd::geteuid().is_root();
        let home = (!is_root)
            .then(|| std::env::var_os("HOME").map_or_else(|| PathBuf::from("/"), PathBuf::from));
        Self::load_for(home)
    }

    /// As [`Self::load`] for root (`None`) or the user with this home.
    pub fn load_for(home: Option<PathBuf>) -> Self {
        let path = match &home {
            None => Path::new(paths::SYSCONFDIR).join("lxc/lxc.conf"),
            Some(home) => home.join(".config/lxc/lxc.conf"),
        };
        let text = std::fs::read(&path).unwrap_or_default();
        Self::from_text(&String::from_utf8_lossy(&text), home)
    }

    /// Settings from a text instead of the file.
    pub fn from_text(text: &str, home: Option<PathBuf>) -> Self {
        Self {
            text: text.to_owned(),
            home,
        }
    }

    /// What the file says: the first line of the key wins.
    fn written(&self, key: &str) -> Option<&str> {
        // Only the newline ends a line: a carriage return is part of the value, as in LXC.
        self.text.split_inclusive('\n').find_map(|line| {
            if line.starts_with('#') {
                return None;
            }
            let (name, value) = line.split_once('=')?;
            let value = value.trim_start_matches([' ', '\t']);
            // Nothing at all after the sign, not even a newline, is no value.
            (name.trim_matches([' ', '\t']) == key && !value.is_empty())
                .then(|| value.strip_suffix('\n').unwrap_or(value))
        })
    }

    /// A key's value, or its default; `None` for a known key without either.
    ///
    /// # Errors
    /// An unknown key.
    pub fn get(&self, key: &str) -> Result<Option<String>, GlobalError> {
        if !GLOBAL_KEYS.contains(&key) {
            return Err(GlobalError::Unknown {
                key: key.to_owned(),
            });
        }
        let written = self.written(key).map(str::to_owned);
        let under_home = |path: &str, root: PathBuf| match &self.home {
            None => root,
            Some(home) => home.join(path),
        };
        Ok(match key {
            "lxc.lxcpath" => Some(match written {
                // A path of nothing but slashes is the root.
                Some(path) => match path.trim_end_matches('/') {
                    "" if path.starts_with('/') => "/".to_owned(),
                    path => path.to_owned(),
                },
                None => under_home(
                    ".local/share/lxc",
                    Path::new(paths::LOCALSTATEDIR).join("lib/lxc"),
                )
                .to_string_lossy()
                .into_owned(),
            }),
            "lxc.default_config" => Some(written.unwrap_or_else(|| {
                under_home(
                    ".config/lxc/default.conf",
                    Path::new(paths::SYSCONFDIR).join("lxc/default.conf"),
                )
                .to_string_lossy()
                .into_owned()
            })),
            "lxc.bdev.lvm.vg"
            | "lxc.bdev.lvm.thin_pool"
            | "lxc.bdev.zfs.root"
            | "lxc.bdev.rbd.rbdpool" => Some(written.unwrap_or_else(|| "lxc".to_owned())),
            _ => written,
        })
    }

    /// `lxc.lxcpath`: the directory of the containers.
    pub fn lxcpath(&self) -> PathBuf {
        self.path_of("lxc.lxcpath")
    }

    /// `lxc.default_config`: the configuration that new containers start from.
    pub fn default_config(&self) -> PathBuf {
        self.path_of("lxc.default_config")
    }

    fn path_of(&self, key: &str) -> PathBuf {
        self.get(key)
            .ok()
            .flatten()
            .map(PathBuf::from)
            .unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_line_of_a_key_wins_and_slashes_are_cut() {
        let text = "#lxc.lxcpath = /no\n lxc.lxcpath =  /srv/lxc//\nlxc.lxcpath = /other\nlxc.bdev.lvm.vg=vg0\n";
        let global = GlobalConfig::from_text(text, None);
        assert_eq!(global.lxcpath(), Path::new("/srv/lxc"));
        assert_eq!(
            global.get("lxc.bdev.lvm.vg").unwrap().as_deref(),
            Some("vg0")
        );
        assert_eq!(
            global.get("lxc.bdev.zfs.root").unwrap().as_deref(),
            Some("lxc")
        );
        assert_eq!(global.get("lxc.cgroup.use").unwrap(), None);
        assert!(global.get("lxc.nope").is_err());
    }

    #[test]
    fn users_have_their_own_directories() {
        let global = GlobalConfig::from_text("", Some("/home/ann".into()));
        assert_eq!(global.lxcpath(), Path::new("/home/ann/.local/share/lxc"));
        assert_eq!(
            global.default_config(),
            Path::new("/home/ann/.config/lxc/default.conf")
        );
    }
}
