//! `cargo xtask install`, `uninstall` and `deb`: everything laid out where LXC has it, and taken away
//! again.

mod deb;
mod layout;
mod manifest;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

pub(crate) use deb::run as deb;

use crate::host;
use layout::Layout;
use manifest::Manifest;

/// What the user asked for.
#[derive(Debug, Clone)]
pub(crate) struct Options {
    pub(crate) directories: Directories,
    pub(crate) destdir: PathBuf,
    pub(crate) profile: String,
    pub(crate) build: bool,
    pub(crate) force: bool,
}

/// The directories of an installation, as the programs know them.
#[derive(Debug, Clone)]
pub(crate) struct Directories {
    pub(crate) prefix: PathBuf,
    pub(crate) libdir: PathBuf,
    pub(crate) sysconfdir: PathBuf,
    pub(crate) localstatedir: PathBuf,
}

impl Directories {
    fn of_prefix(prefix: &str) -> Self {
        let prefix = PathBuf::from(prefix);
        let usr = prefix == Path::new("/usr");
        let multiarch = format!("/usr/lib/{}-linux-gnu", std::env::consts::ARCH);
        let libdir = match usr && Path::new(&multiarch).is_dir() {
            true => PathBuf::from(multiarch),
            false => prefix.join("lib"),
        };
        let (sysconfdir, localstatedir) = match usr {
            true => (PathBuf::from("/etc"), PathBuf::from("/var")),
            false => (prefix.join("etc"), prefix.join("var")),
        };
        Self {
            prefix,
            libdir,
            sysconfdir,
            localstatedir,
        }
    }

    pub(crate) fn libexec(&self) -> PathBuf {
        self.prefix.join("libexec")
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.prefix.join("share")
    }

    /// The variables that build these directories into the programs.
    fn environment(&self) -> [(&'static str, PathBuf); 5] {
        [
            ("RLXC_SYSCONFDIR", self.sysconfdir.clone()),
            ("RLXC_LIBDIR", self.libdir.clone()),
            ("RLXC_LIBEXECDIR", self.libexec()),
            ("RLXC_DATADIR", self.data()),
            ("RLXC_LOCALSTATEDIR", self.localstatedir.clone()),
        ]
    }

    fn is_default(&self) -> bool {
        self.prefix == Path::new("/usr")
            && self.libdir == Path::new("/usr/lib/x86_64-linux-gnu")
            && self.sysconfdir == Path::new("/etc")
            && self.localstatedir == Path::new("/var")
    }
}

impl Options {
    pub(crate) fn parse(args: &[String]) -> Result<Self, String> {
        let value_of = |name: &str| -> Result<Option<String>, String> {
            let mut found = None;
            for (at, word) in args.iter().enumerate() {
                if let Some(value) = word.strip_prefix(&format!("{name}=")) {
                    found = Some(value.to_owned());
                } else if word == name {
                    let value = args.get(at + 1).ok_or(format!("{name} needs a value"))?;
                    found = Some(value.clone());
                }
            }
            Ok(found)
        };
        let with_value = [
            "--prefix",
            "--destdir",
            "--libdir",
            "--sysconfdir",
            "--localstatedir",
            "--profile",
        ];
        let alone = ["--no-build", "--force"];
        let mut skip = false;
        for word in args {
            let name = word.split('=').next().unwrap_or_default();
            match (std::mem::take(&mut skip), with_value.contains(&name)) {
                (true, _) => {}
                (false, true) => skip = !word.contains('='),
                (false, false) if alone.contains(&name) => {}
                (false, false) => return Err(format!("unknown option {word}")),
            }
        }
        let prefix = value_of("--prefix")?.unwrap_or_else(|| "/usr".to_owned());
        let mut directories = Directories::of_prefix(&prefix);
        if let Some(dir) = value_of("--libdir")? {
            directories.libdir = dir.into();
        }
        if let Some(dir) = value_of("--sysconfdir")? {
            directories.sysconfdir = dir.into();
        }
        if let Some(dir) = value_of("--localstatedir")? {
            directories.localstatedir = dir.into();
        }
        for dir in [
            &directories.prefix,
            &directories.libdir,
            &directories.sysconfdir,
            &directories.localstatedir,
        ] {
            if !dir.is_absolute() {
                return Err(format!("{} is no absolute path", dir.display()));
            }
        }
        let destdir = value_of("--destdir")?.unwrap_or_else(|| "/".to_owned());
        let destdir = std::path::absolute(&destdir).map_err(|e| format!("{destdir:?}: {e}"))?;
        Ok(Self {
            directories,
            destdir,
            profile: value_of("--profile")?.unwrap_or_else(|| "release".to_owned()),
            build: !args.iter().any(|word| word == "--no-build"),
            force: args.iter().any(|word| word == "--force"),
        })
    }

    /// Where the built programs are; other directories than the default get a target of their own,
    /// so that both builds stay.
    pub(crate) fn built(&self) -> PathBuf {
        match self.directories.is_default() {
            true => host::bin_dir(&self.profile),
            false => host::root().join("target/install").join(&self.profile),
        }
    }
}

/// The programs that are linked with the C library in them: package, program.
const STATIC: [(&str, &str); 2] = [
    ("rlxc-container-monitor", "rlxc-monitor-static"),
    ("lxc-init", "lxc-init-static"),
];

/// Builds everything with the directories of `options`.
pub(crate) fn build(options: &Options) -> Result<(), String> {
    let is_static_there = || {
        let programs = STATIC.iter();
        programs
            .map(|(_, program)| options.built().join(program))
            .all(|path| path.is_file())
    };
    if !options.build {
        return match is_static_there() {
            true => Ok(()),
            false => build_static(options),
        };
    }
    let mut all = cargo(options, "build");
    all.args(["--workspace", "--lib", "--bins", "--exclude", "rlxc-tests"]);
    host::run(&mut all)?;
    build_static(options)
}

/// The programs whose last step, the linking, puts the C library into them.
pub(crate) fn build_static(options: &Options) -> Result<(), String> {
    for (package, program) in STATIC {
        let mut one = cargo(options, "rustc");
        one.args(["--quiet", "--package", package, "--bin", program]);
        one.args(["--features", "static"]);
        one.args(["--", "-C", "target-feature=+crt-static"]);
        host::run(&mut one)?;
    }
    Ok(())
}

fn cargo(options: &Options, verb: &str) -> Command {
    let mut cargo = host::cargo();
    cargo.arg(verb);
    if options.profile != "debug" {
        cargo.args(["--profile", &options.profile]);
    }
    if !options.directories.is_default() {
        cargo.env("CARGO_TARGET_DIR", host::root().join("target/install"));
        cargo.envs(options.directories.environment());
    }
    cargo
}

/// `cargo xtask install`.
pub(crate) fn install(args: &[String]) -> Result<(), String> {
    let options = Options::parse(args)?;
    build(&options)?;
    let layout = Layout::collect(&options)?;
    let old = Manifest::load(&options)?;
    if !options.force {
        layout.check_foreign(&options, old.as_ref())?;
    }
    let destdir = &options.destdir;
    fs::create_dir_all(destdir).map_err(|e| format!("{}: {e}", destdir.display()))?;
    let manifest = layout.copy(&options, old.as_ref())?;
    if let Some(old) = old {
        // What the last version had and this one has not.
        old.without(&manifest).remove(&options.destdir)?;
    }
    manifest.save(&options)?;
    println!(
        "Installed {} files below {}",
        manifest.files(),
        options
            .destdir
            .join(
                options
                    .directories
                    .prefix
                    .strip_prefix("/")
                    .unwrap_or(Path::new(""))
            )
            .display()
    );
    if options.destdir == Path::new("/") {
        // The cache of libraries; where there is none, programs look in the directories anyway.
        let _ = std::process::Command::new("ldconfig").status();
    }
    Ok(())
}

/// `cargo xtask uninstall`.
pub(crate) fn uninstall(args: &[String]) -> Result<(), String> {
    let options = Options::parse(args)?;
    let manifest = Manifest::load(&options)?;
    let manifest = manifest.ok_or_else(|| {
        format!(
            "{} is missing: nothing was installed there by cargo xtask install",
            Manifest::path(&options).display()
        )
    })?;
    let kept = manifest.remove(&options.destdir)?;
    let own = Manifest::path(&options);
    fs::remove_file(&own).map_err(|e| format!("{}: {e}", own.display()))?;
    // And where it lay, and what lies above, as far as this installation made it.
    let _ = fs::remove_dir(own.parent().unwrap_or(&own));
    manifest.remove(&options.destdir)?;
    for path in &kept {
        println!("Kept, since it was changed: {}", path.display());
    }
    println!("Removed {} files", manifest.files() - kept.len());
    Ok(())
}

/// A path below a destination directory.
pub(crate) fn below(destdir: &Path, path: &Path) -> PathBuf {
    destdir.join(path.strip_prefix("/").unwrap_or(path))
}
