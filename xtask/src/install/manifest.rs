//! What an installation has put where, kept so that exactly that can be taken away.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::{Options, below};

/// One line of the manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Entry {
    /// A file, by its SHA-256
    File(String),
    /// A link, by its target
    Link(String),
    /// A directory that the installation made
    Directory,
}

impl Entry {
    /// Whether what is there is still what was installed.
    pub(crate) fn fits(&self, path: &Path) -> bool {
        match self {
            Self::Directory => path.is_dir(),
            Self::Link(target) => {
                fs::read_link(path).is_ok_and(|is| is.as_os_str() == target.as_str())
            }
            Self::File(hash) => {
                let is_file = path.symlink_metadata().is_ok_and(|meta| meta.is_file());
                is_file && hashes(&[path.to_owned()]).is_ok_and(|all| all.get(path) == Some(hash))
            }
        }
    }
}

/// All of them, by path.
#[derive(Debug, Default)]
pub(crate) struct Manifest {
    pub(crate) entries: BTreeMap<PathBuf, Entry>,
}

impl Manifest {
    /// Where it is kept.
    pub(crate) fn path(options: &Options) -> PathBuf {
        below(
            &options.destdir,
            &options.directories.data().join("rlxc/manifest"),
        )
    }

    /// That of the installation at hand, if there is one.
    pub(crate) fn load(options: &Options) -> Result<Option<Self>, String> {
        let path = Self::path(options);
        let text = match fs::read_to_string(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            other => other.map_err(|e| format!("{}: {e}", path.display()))?,
        };
        let mut entries = BTreeMap::new();
        for line in text.lines() {
            let bad = || format!("{}: {line:?} is not understood", path.display());
            let words: Vec<&str> = line.split('\t').collect();
            let (name, entry) = match words[..] {
                ["file", hash, name] => (name, Entry::File(hash.to_owned())),
                ["link", target, name] => (name, Entry::Link(target.to_owned())),
                ["directory", name] => (name, Entry::Directory),
                _ => return Err(bad()),
            };
            if !name.starts_with('/') || name.split('/').any(|part| part == "..") {
                return Err(bad());
            }
            entries.insert(PathBuf::from(name), entry);
        }
        Ok(Some(Self { entries }))
    }

    /// Writes it; it lists itself too.
    pub(crate) fn save(&self, options: &Options) -> Result<(), String> {
        let path = Self::path(options);
        let failed = |error: std::io::Error| format!("{}: {error}", path.display());
        let mut text = String::new();
        for (name, entry) in &self.entries {
            let name = name.display();
            text.push_str(&match entry {
                Entry::File(hash) => format!("file\t{hash}\t{name}\n"),
                Entry::Link(target) => format!("link\t{target}\t{name}\n"),
                Entry::Directory => format!("directory\t{name}\n"),
            });
        }
        fs::create_dir_all(path.parent().unwrap_or(&path)).map_err(failed)?;
        fs::write(&path, text).map_err(failed)
    }

    /// Files and links.
    pub(crate) fn files(&self) -> usize {
        let all = self.entries.values();
        all.filter(|entry| **entry != Entry::Directory).count()
    }

    /// Makes the directories above `path`, and remembers those that were not there.
    pub(crate) fn make_parents(
        &mut self,
        destdir: &Path,
        path: &Path,
        old: Option<&Self>,
    ) -> Result<(), String> {
        let mut parents: Vec<&Path> = path.ancestors().skip(1).collect();
        parents.reverse();
        for parent in parents {
            let there = below(destdir, parent);
            let known = old.is_some_and(|old| old.entries.contains_key(parent));
            if known {
                self.entries.insert(parent.to_owned(), Entry::Directory);
            }
            if !there.is_dir() {
                fs::create_dir(&there).map_err(|e| format!("{}: {e}", there.display()))?;
                if parent != Path::new("/") {
                    self.entries.insert(parent.to_owned(), Entry::Directory);
                }
            }
        }
        Ok(())
    }

    /// Fills in the hashes of the files that were put in place.
    pub(crate) fn hash(&mut self, destdir: &Path) -> Result<(), String> {
        let new = self
            .entries
            .iter()
            .filter(|(_, entry)| **entry == Entry::File(String::new()));
        let paths: Vec<PathBuf> = new.map(|(path, _)| below(destdir, path)).collect();
        let hashes = hashes(&paths)?;
        for (path, entry) in &mut self.entries {
            if *entry == Entry::File(String::new())
                && let Some(hash) = hashes.get(&below(destdir, path))
            {
                *entry = Entry::File(hash.clone());
            }
        }
        Ok(())
    }

    /// What is in this one and not in `other`.
    pub(crate) fn without(&self, other: &Self) -> Self {
        let only = self
            .entries
            .iter()
            .filter(|(path, _)| !other.entries.contains_key(*path));
        Self {
            entries: only
                .map(|(path, entry)| (path.clone(), entry.clone()))
                .collect(),
        }
    }

    /// Removes what was installed and is still as it was; returns what was changed since and stays.
    pub(crate) fn remove(&self, destdir: &Path) -> Result<Vec<PathBuf>, String> {
        let mut kept = Vec::new();
        // Deepest first: directories become empty on the way.
        for (path, entry) in self.entries.iter().rev() {
            let there = below(destdir, path);
            if there.symlink_metadata().is_err() {
                continue;
            }
            let result = match entry {
                Entry::Directory => {
                    // One that others have put something in stays.
                    let _ = fs::remove_dir(&there);
                    Ok(())
                }
                entry if !entry.fits(&there) => {
                    kept.push(there.clone());
                    Ok(())
                }
                _ => fs::remove_file(&there),
            };
            result.map_err(|e| format!("{}: {e}", there.display()))?;
        }
        Ok(kept)
    }
}

/// SHA-256 of many files at once.
fn hashes(paths: &[PathBuf]) -> Result<HashMap<PathBuf, String>, String> {
    let mut all = HashMap::new();
    for some in paths.chunks(200) {
        let output = Command::new("sha256sum")
            .arg("--zero")
            .arg("--")
            .args(some)
            .output();
        let output = output.map_err(|e| format!("sha256sum: {e}"))?;
        if !output.status.success() {
            return Err(String::from_utf8_lossy(&output.stderr).trim().to_owned());
        }
        for line in String::from_utf8_lossy(&output.stdout).split('\0') {
            if let Some((hash, path)) = line.split_once("  ") {
                all.insert(PathBuf::from(path), hash.to_owned());
            }
        }
    }
    Ok(all)
}
