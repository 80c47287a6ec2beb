//! What goes where.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use super::manifest::{Entry, Manifest};
use super::{Directories, Options, below};
use crate::host;

/// One thing of an installation.
#[derive(Debug, Clone)]
pub(crate) enum Item {
    /// A file of the build or the tree, as it is
    Copy { from: PathBuf, mode: u32 },
    /// A text
    Text { text: String, mode: u32 },
    /// A link
    Link { target: String },
    /// A directory that may be empty
    Directory { mode: u32 },
}

/// All things by their path.
#[derive(Debug, Default)]
pub(crate) struct Layout {
    pub(crate) items: BTreeMap<PathBuf, Item>,
    /// Where generated files are until they are copied
    scratch: Option<PathBuf>,
}

impl Drop for Layout {
    fn drop(&mut self) {
        if let Some(dir) = &self.scratch {
            let _ = fs::remove_dir_all(dir);
        }
    }
}

impl Layout {
    /// Reads the lists and the tree.
    pub(crate) fn collect(options: &Options) -> Result<Self, String> {
        let mut layout = Self::default();
        // Of this run alone: another may be at it.
        let scratch = host::root().join(format!("target/xtask-install/{}", std::process::id()));
        layout.scratch = Some(scratch.clone());
        for what in ["man", "completions", "list"] {
            let dir = scratch.join(what);
            let _ = fs::remove_dir_all(&dir);
            generate(what, &dir, options)?;
        }
        let directories = &options.directories;
        layout.programs(&scratch.join("list/install.list"), options)?;
        layout.library(directories)?;
        layout.manuals(&scratch, directories)?;
        layout.data(directories)?;
        layout.settings(directories)?;
        Ok(layout)
    }

    fn put(&mut self, path: PathBuf, item: Item) {
        self.items.insert(path, item);
    }

    fn programs(&mut self, list: &Path, options: &Options) -> Result<(), String> {
        let directories = &options.directories;
        let prefix = &directories.prefix;
        let text = read(list)?;
        for line in text.lines() {
            let words: Vec<&str> = line.split('\t').collect();
            match words[..] {
                ["program", built, place, name, mode] => {
                    let dir = match place {
                        "lib" => directories.libdir.clone(),
                        place => prefix.join(place),
                    };
                    let from = options.built().join(built);
                    if !from.is_file() {
                        return Err(format!("{} is missing: build it first", from.display()));
                    }
                    let mode = u32::from_str_radix(mode, 8).map_err(|e| format!("{line}: {e}"))?;
                    self.put(dir.join(name), Item::Copy { from, mode });
                }
                ["library", name, target] => {
                    let target = target.to_owned();
                    self.put(directories.libdir.join(name), Item::Link { target });
                }
                ["tool", name] => {
                    let target = "rlxc".to_owned();
                    self.put(prefix.join("bin").join(name), Item::Link { target });
                    let target = "rlxc".to_owned();
                    let dir = directories.data().join("bash-completion/completions");
                    self.put(dir.join(name), Item::Link { target });
                }
                _ => return Err(format!("{}: {line:?} is not understood", list.display())),
            }
        }
        Ok(())
    }

    fn library(&mut self, directories: &Directories) -> Result<(), String> {
        let source = host::root().join("crates/liblxc");
        let include = directories.prefix.join("include");
        for file in files(&source.join("include/lxc"))? {
            let name = file.file_name().unwrap_or_default().to_owned();
            self.put(
                include.join("lxc").join(name),
                Item::Copy {
                    from: file,
                    mode: 0o644,
                },
            );
        }
        let pc = source.join("lxc.pc.in");
        if pc.is_file() {
            let text = read(&pc)?
                .replace("@PREFIX@", &directories.prefix.display().to_string())
                .replace("@INCLUDEDIR@", &include.display().to_string())
                .replace("@LIBDIR@", &directories.libdir.display().to_string());
            let path = directories.libdir.join("pkgconfig/lxc.pc");
            self.put(path, Item::Text { text, mode: 0o644 });
        }
        let mount = directories.libdir.join("lxc/rootfs");
        self.put(mount.clone(), Item::Directory { mode: 0o755 });
        let text = "Containers' root file systems are mounted here, each in a mount namespace of its own:\n\
                    seen from the host, this folder stays empty.\n";
        self.put(
            mount.join("README"),
            Item::Text {
                text: text.to_owned(),
                mode: 0o644,
            },
        );
        Ok(())
    }

    fn manuals(&mut self, scratch: &Path, directories: &Directories) -> Result<(), String> {
        for file in files(&scratch.join("man"))? {
            let name = file.file_name().unwrap_or_default().to_owned();
            let section = file
                .extension()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned();
            let dir = directories.data().join(format!("man/man{section}"));
            self.put(
                dir.join(name),
                Item::Copy {
                    from: file,
                    mode: 0o644,
                },
            );
        }
        for (from, to) in [
            ("bash/rlxc", "bash-completion/completions/rlxc"),
            ("zsh/_rlxc", "zsh/site-functions/_rlxc"),
            ("fish/rlxc.fish", "fish/vendor_completions.d/rlxc.fish"),
        ] {
            let from = scratch.join("completions").join(from);
            self.put(
                directories.data().join(to),
                Item::Copy { from, mode: 0o644 },
            );
        }
        Ok(())
    }

    /// Templates, configurations, hooks, units and scripts.
    fn data(&mut self, directories: &Directories) -> Result<(), String> {
        let root = host::root();
        let lxc = directories.data().join("lxc");
        self.texts(
            &root.join("templates"),
            &lxc.join("templates"),
            0o755,
            directories,
        )?;
        let dist = root.join("dist");
        self.texts(
            &dist.join("config"),
            &lxc.join("config"),
            0o644,
            directories,
        )?;
        self.texts(&dist.join("hooks"), &lxc.join("hooks"), 0o755, directories)?;
        let selinux = lxc.join("selinux");
        self.texts(&dist.join("selinux"), &selinux, 0o644, directories)?;
        let libexec = directories.libexec().join("lxc");
        self.texts(&dist.join("libexec"), &libexec, 0o755, directories)?;
        let units = directories.prefix.join("lib/systemd/system");
        self.texts(&dist.join("systemd"), &units, 0o644, directories)?;
        self.text(
            &dist.join("lxc.functions"),
            lxc.join("lxc.functions"),
            0o644,
            directories,
        )?;
        let sysctl = directories.prefix.join("lib/sysctl.d/30-lxc-inotify.conf");
        self.text(
            &dist.join("30-lxc-inotify.conf"),
            sysctl,
            0o644,
            directories,
        )?;
        let samples = directories.data().join("doc/rlxc/examples");
        self.texts(&root.join("config-samples"), &samples, 0o644, directories)?;
        for name in ["README.md", "LICENSE-APACHE", "LICENSE-MIT"] {
            let to = directories.data().join("doc/rlxc").join(name);
            self.put(
                to,
                Item::Copy {
                    from: root.join(name),
                    mode: 0o644,
                },
            );
        }
        Ok(())
    }

    /// What the administrator may change, and where state is kept.
    fn settings(&mut self, directories: &Directories) -> Result<(), String> {
        let dist = host::root().join("dist");
        let etc = &directories.sysconfdir;
        self.texts(&dist.join("etc"), etc, 0o644, directories)?;
        let apparmor = etc.join("apparmor.d");
        let source = dist.join("apparmor");
        self.text(
            &source.join("lxc-containers"),
            apparmor.join("lxc-containers"),
            0o644,
            directories,
        )?;
        self.texts(
            &source.join("lxc"),
            &apparmor.join("lxc"),
            0o644,
            directories,
        )?;
        let abstractions = apparmor.join("abstractions/lxc");
        self.texts(
            &source.join("abstractions"),
            &abstractions,
            0o644,
            directories,
        )?;
        let var = &directories.localstatedir;
        // Searchable: with id maps the container's root reaches its files through it.
        self.put(var.join("lib/lxc"), Item::Directory { mode: 0o711 });
        self.put(var.join("cache/lxc"), Item::Directory { mode: 0o700 });
        self.put(var.join("log/lxc"), Item::Directory { mode: 0o755 });
        Ok(())
    }

    /// All files of a folder, with the directories put in.
    fn texts(
        &mut self,
        from: &Path,
        to: &Path,
        mode: u32,
        directories: &Directories,
    ) -> Result<(), String> {
        let entries = fs::read_dir(from).map_err(|e| format!("{}: {e}", from.display()))?;
        for entry in entries.flatten() {
            let path = entry.path();
            let to = to.join(entry.file_name());
            match path.is_dir() {
                true => self.texts(&path, &to, mode, directories)?,
                false => self.text(&path, to, mode, directories)?,
            }
        }
        Ok(())
    }

    fn text(
        &mut self,
        from: &Path,
        to: PathBuf,
        mode: u32,
        directories: &Directories,
    ) -> Result<(), String> {
        let shown = |path: &Path| path.display().to_string();
        let mut text = read(from)?;
        for (word, path) in [
            ("@BINDIR@", directories.prefix.join("bin")),
            ("@SBINDIR@", directories.prefix.join("sbin")),
            ("@LIBDIR@", directories.libdir.clone()),
            ("@LIBEXECDIR@", directories.libexec()),
            ("@DATADIR@", directories.data()),
            ("@SYSCONFDIR@", directories.sysconfdir.clone()),
            ("@LOCALSTATEDIR@", directories.localstatedir.clone()),
        ] {
            text = text.replace(word, &shown(&path));
        }
        self.put(to, Item::Text { text, mode });
        Ok(())
    }

    /// Whether a path is the administrator's to change.
    pub(crate) fn is_setting(path: &Path, directories: &Directories) -> bool {
        path.starts_with(&directories.sysconfdir)
    }

    /// Refuses to overwrite what another installation, such as a package, has put there.
    pub(crate) fn check_foreign(
        &self,
        options: &Options,
        old: Option<&Manifest>,
    ) -> Result<(), String> {
        for (path, item) in &self.items {
            let directory = matches!(item, Item::Directory { .. });
            let ours = old.is_some_and(|old| old.entries.contains_key(path));
            let there = below(&options.destdir, path).symlink_metadata().is_ok();
            if there && !directory && !ours && !Self::is_setting(path, &options.directories) {
                return Err(format!(
                    "{} is there already and is not ours (a package of LXC?): remove that first, \
                     choose another --prefix, or overwrite it with --force",
                    below(&options.destdir, path).display()
                ));
            }
        }
        Ok(())
    }

    /// Puts everything in place; what is there as a setting and was not ours stays as it is.
    pub(crate) fn copy(
        &self,
        options: &Options,
        old: Option<&Manifest>,
    ) -> Result<Manifest, String> {
        let mut manifest = Manifest::default();
        for (path, item) in &self.items {
            let to = below(&options.destdir, path);
            let setting = Self::is_setting(path, &options.directories);
            if setting && to.symlink_metadata().is_ok() {
                let ours = old.and_then(|old| old.entries.get(path));
                if !ours.is_some_and(|entry| entry.fits(&to)) {
                    // Changed or another's: as it is; ours to remove only if it was ours.
                    if let Some(entry) = ours {
                        manifest.entries.insert(path.clone(), entry.clone());
                    }
                    continue;
                }
            }
            manifest.make_parents(&options.destdir, path, old)?;
            let found = to.is_dir();
            let entry = place(item, &to)?;
            // A directory that was there already is not ours to remove.
            let ours = old.is_some_and(|old| old.entries.contains_key(path));
            if entry != Entry::Directory || !found || ours {
                manifest.entries.insert(path.clone(), entry);
            }
        }
        manifest.hash(&options.destdir)?;
        Ok(manifest)
    }
}

/// Puts one thing in place, by a new file renamed over the old one.
fn place(item: &Item, to: &Path) -> Result<Entry, String> {
    let failed = |error: std::io::Error| format!("{}: {error}", to.display());
    let temporary = to.with_file_name(format!(
        ".{}.rlxc-new",
        to.file_name().unwrap_or_default().to_string_lossy()
    ));
    let _ = fs::remove_file(&temporary);
    let mode_of = |mode: u32| fs::Permissions::from_mode(mode);
    match item {
        Item::Directory { mode } => {
            if !to.is_dir() {
                fs::create_dir(to).map_err(failed)?;
                fs::set_permissions(to, mode_of(*mode)).map_err(failed)?;
            }
            return Ok(Entry::Directory);
        }
        Item::Link { target } => symlink(target, &temporary).map_err(failed)?,
        Item::Text { text, mode } => {
            fs::write(&temporary, text).map_err(failed)?;
            fs::set_permissions(&temporary, mode_of(*mode)).map_err(failed)?;
        }
        Item::Copy { from, mode } => {
            fs::copy(from, &temporary).map_err(|e| format!("{}: {e}", from.display()))?;
            fs::set_permissions(&temporary, mode_of(*mode)).map_err(failed)?;
        }
    }
    fs::rename(&temporary, to).map_err(failed)?;
    Ok(match item {
        Item::Link { target } => Entry::Link(target.clone()),
        _ => Entry::File(String::new()),
    })
}

/// From the command line's own definitions; without building, by what the last build has made.
fn generate(what: &str, dir: &Path, options: &Options) -> Result<(), String> {
    let built = host::bin_dir("debug").join("examples/generate");
    match !options.build && built.is_file() {
        true => host::run(std::process::Command::new(built).arg(what).arg(dir)),
        false => crate::generate(what, &[dir.display().to_string()]),
    }
}

fn read(path: &Path) -> Result<String, String> {
    fs::read_to_string(path).map_err(|e| format!("{}: {e}", path.display()))
}

/// The files directly in a folder, sorted; none if it is not there.
fn files(dir: &Path) -> Result<Vec<PathBuf>, String> {
    let Ok(entries) = fs::read_dir(dir) else {
        return Ok(Vec::new());
    };
    let mut list: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    list.retain(|path| path.is_file());
    list.sort();
    Ok(list)
}
