//! Where two trees can differ at all: all over, where an overlay's upper layers say so, where inodes were touched.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::ffi::{CString, OsStr, OsString};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use nix::dir::Dir;
use nix::errno::Errno;
use nix::fcntl::{OFlag, openat};
use nix::sys::stat::Mode;

use crate::error::{Error, Result};
use crate::walk::Spot;

/// What of a directory has to be compared.
#[derive(Debug, Clone)]
pub(super) enum Scope {
    /// Everything
    All,
    /// What the upper layers, which need not be there, have
    Layers([Option<Spot>; 2]),
    /// What leads to a touched inode
    Touched(Arc<Touched>),
}

/// The directories in which something was touched: by their path from the top, with a slash before it.
#[derive(Debug, Default)]
pub(super) struct Touched {
    names: HashMap<PathBuf, BTreeSet<OsString>>,
    /// These were touched themselves: names came or went
    whole: HashSet<PathBuf>,
}

impl Touched {
    /// An inode at that path.
    pub(super) fn add(&mut self, path: &Path) {
        let path = Path::new("/").join(path);
        for at in path.ancestors() {
            let (Some(dir), Some(name)) = (at.parent(), at.file_name()) else {
                continue;
            };
            let names = self.names.entry(dir.to_owned()).or_default();
            if !names.insert(name.to_owned()) && at != path {
                break;
            }
        }
        self.whole.insert(path);
    }
}

/// A scope in one directory.
pub(super) struct Here {
    /// Only these entries; `None`: all
    pub(super) names: Option<BTreeSet<OsString>>,
    next: Next,
}

enum Next {
    All,
    Layers([Option<(Spot, Arc<OwnedFd>)>; 2]),
    Touched(Arc<Touched>),
}

impl Scope {
    /// Looks what is to be compared in the directory at that path.
    pub(super) fn visit(self, path: &Path) -> Result<Here> {
        let all = Here {
            names: None,
            next: Next::All,
        };
        Ok(match self {
            Self::All => all,
            Self::Layers(layers) => {
                let mut opened = [None, None];
                let mut names = BTreeSet::new();
                for (layer, opened) in layers.into_iter().zip(&mut opened) {
                    let Some(spot) = layer else { continue };
                    let dir = match spot.open() {
                        Ok(dir) => Arc::new(dir),
                        Err(Errno::ENOENT | Errno::ENOTDIR | Errno::ELOOP) => continue,
                        Err(errno) => return Err(Error::at("open the layer of", path)(errno)),
                    };
                    if hides_or_moved(&dir) {
                        return Ok(all);
                    }
                    for name in list(&dir, path)? {
                        names.insert(OsStr::from_bytes(name.to_bytes()).to_owned());
                    }
                    *opened = Some((spot, dir));
                }
                Here {
                    names: Some(names),
                    next: Next::Layers(opened),
                }
            }
            Self::Touched(touched) => Here {
                names: match touched.whole.contains(path) {
                    true => None,
                    false => Some(touched.names.get(path).cloned().unwrap_or_default()),
                },
                next: Next::Touched(touched),
            },
        })
    }
}

impl Here {
    /// Whether the storage itself says that the entry was touched, whatever its times say.
    pub(super) fn is_touched(&self, path: &Path) -> bool {
        matches!(&self.next, Next::Touched(touched) if touched.whole.contains(path))
    }

    /// The scope in a directory that both sides have here; `same`: it is the same inode on both. `None`: nothing in it
    /// can differ.
    pub(super) fn child(&self, path: &Path, name: &OsStr, same: bool) -> Option<Scope> {
        match &self.next {
            Next::All => Some(Scope::All),
            Next::Layers(layers) => {
                let name = CString::new(name.as_bytes()).ok()?;
                let child = |layer: &Option<(Spot, Arc<OwnedFd>)>| {
                    layer.as_ref().map(|(spot, dir)| spot.child(dir, &name))
                };
                Some(Scope::Layers([child(&layers[0]), child(&layers[1])]))
            }
            // Another directory in this place: what is below it may be untouched, but from elsewhere.
            Next::Touched(_) if !same => Some(Scope::All),
            Next::Touched(touched) => {
                let concerned = touched.whole.contains(path) || touched.names.contains_key(path);
                concerned.then(|| Scope::Touched(touched.clone()))
            }
        }
    }
}

/// Whether a layer's directory is not merged with the one of its name below it: then all in it has to be looked at.
fn hides_or_moved(layer: &OwnedFd) -> bool {
    let has = |name| rlxc_sys::fs::get_xattr(layer, name).ok();
    [c"trusted.overlay.opaque", c"user.overlay.opaque"]
        .iter()
        .any(|name| has(name).is_some_and(|value| value == b"y"))
        || [c"trusted.overlay.redirect", c"user.overlay.redirect"]
            .iter()
            .any(|name| has(name).is_some())
}

pub(super) const DIRECTORY: OFlag = OFlag::O_RDONLY
    .union(OFlag::O_DIRECTORY)
    .union(OFlag::O_NOFOLLOW)
    .union(OFlag::O_CLOEXEC);

/// The names in a directory.
pub(super) fn list(dir: &OwnedFd, shown: &Path) -> Result<Vec<CString>> {
    let scan = openat(dir, ".", DIRECTORY, Mode::empty()).map_err(Error::at("open", shown))?;
    let mut scan = Dir::from_fd(scan).map_err(Error::at("read", shown))?;
    let mut names = Vec::new();
    for entry in scan.iter() {
        let entry = entry.map_err(Error::at("read", shown))?;
        let name = entry.file_name();
        if !matches!(name.to_bytes(), b"." | b"..") {
            names.push(name.to_owned());
        }
    }
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn touched_inodes_lead_the_way() -> Result<()> {
        let mut touched = Touched::default();
        touched.add(Path::new("a/b/file"));
        touched.add(Path::new("a/c"));
        let scope = Scope::Touched(Arc::new(touched));
        let names = |here: &Here| here.names.clone().map(|names| names.into_iter().collect());
        let top = scope.clone().visit(Path::new("/"))?;
        assert_eq!(names(&top), Some(vec![OsString::from("a")]));
        let inner = scope.clone().visit(Path::new("/a"))?;
        assert_eq!(names(&inner), Some(vec!["b".into(), "c".into()]));
        // c was touched itself, and is compared as a whole; d not at all, unless it is another one.
        let child = |name: &str, same| {
            let path = Path::new("/a").join(name);
            inner.child(&path, OsStr::new(name), same)
        };
        assert!(matches!(child("c", true), Some(Scope::Touched(_))));
        assert!(scope.visit(Path::new("/a/c"))?.names.is_none());
        assert!(child("d", true).is_none());
        assert!(matches!(child("d", false), Some(Scope::All)));
        Ok(())
    }
}
