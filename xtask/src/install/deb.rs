//! `cargo xtask deb`: Debian packages of an installation, by dpkg-deb.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::layout::{Item, Layout};
use super::{Options, below, build};
use crate::host;

/// The version of LXC that the packages stand in for.
const LXC: &str = "7.0.0";

/// A package and what it takes of the layout.
struct Package {
    name: &'static str,
    section: &'static str,
    about: &'static str,
    /// Further control fields
    fields: String,
    takes: fn(&Path, &Options) -> bool,
}

/// `cargo xtask deb [--out DIR] [OPTIONS of install]`.
pub(crate) fn run(args: &[String]) -> Result<(), String> {
    let mut args = args.to_vec();
    let mut out = host::root().join("target/debian");
    if let Some(at) = args.iter().position(|word| word == "--out") {
        let dir = args.get(at + 1).ok_or("--out needs a value")?;
        out = std::path::absolute(dir).map_err(|e| format!("{dir}: {e}"))?;
        args.drain(at..at + 2);
    }
    let options = Options::parse(&args)?;
    if host::find_program("dpkg-deb").is_none() {
        return Err("dpkg-deb is missing: it comes with Debian's dpkg".to_owned());
    }
    build(&options)?;
    let layout = Layout::collect(&options)?;
    fs::create_dir_all(&out).map_err(|e| format!("{}: {e}", out.display()))?;
    for package in packages() {
        let file = package.pack(&layout, &options, &out)?;
        println!("{}", file.display());
    }
    Ok(())
}

fn packages() -> [Package; 3] {
    let stands_for = |names: &[&str]| {
        let provides: Vec<String> = names.iter().map(|n| format!("{n} (= 1:{LXC})")).collect();
        let names = names.join(", ");
        format!(
            "Provides: {}\nConflicts: {names}\nReplaces: {names}\n",
            provides.join(", ")
        )
    };
    [
        Package {
            name: "rlxc",
            section: "admin",
            about: "Linux containers: tools, templates and services\n \
                Runs system and application containers: LXC's tools by their names, and rlxc with\n \
                verbs of its own. Written in Rust; containers of LXC are taken over as they are.",
            fields: format!(
                "Depends: libc6 (>= 2.36), librlxc1 (= {{version}})\n\
                 Recommends: uidmap, dnsmasq-base, iproute2, nftables | iptables, ca-certificates\n\
                 Suggests: apparmor, btrfs-progs, lvm2, criu, debootstrap, busybox-static\n{}",
                stands_for(&["lxc", "lxc-templates"])
            ),
            takes: |path, options| !is_library(path, options) && !is_dev(path, options),
        },
        Package {
            name: "librlxc1",
            section: "libs",
            about: "Linux containers: library\n \
                liblxc.so.1, for programs and language bindings made for LXC's, with the programs\n \
                that it starts.",
            fields: format!(
                "Depends: libc6 (>= 2.36)\n{}",
                stands_for(&["liblxc1", "liblxc-common"])
            ),
            takes: |path, options| is_library(path, options) && !is_dev(path, options),
        },
        Package {
            name: "rlxc-dev",
            section: "libdevel",
            about: "Linux containers: headers\n What is needed to compile programs for liblxc.",
            fields: format!(
                "Depends: librlxc1 (= {{version}})\n{}",
                stands_for(&["lxc-dev", "liblxc-dev"])
            ),
            takes: is_dev,
        },
    ]
}

fn is_library(path: &Path, options: &Options) -> bool {
    let directories = &options.directories;
    let libexec = directories.libexec();
    let programs = [
        "rlxc/rlxc-monitor",
        "rlxc/rlxc-worker",
        "lxc/lxc-user-nic",
        "lxc/lxc-monitord",
    ];
    path.starts_with(&directories.libdir) || programs.iter().any(|name| path == libexec.join(name))
}

fn is_dev(path: &Path, options: &Options) -> bool {
    let directories = &options.directories;
    path.starts_with(directories.prefix.join("include"))
        || path.starts_with(directories.libdir.join("pkgconfig"))
        || path == directories.libdir.join("liblxc.so")
}

/// After installing: services of a running systemd learn of their units.
const POSTINST: &str = "#!/bin/sh
set -e
if [ \"$1\" = configure ] && [ -d /run/systemd/system ]; then
    systemctl daemon-reload || true
    for unit in lxc-net.service lxc.service; do
        systemctl --quiet preset \"$unit\" || true
    done
fi
exit 0
";

/// Before removing: containers keep running, services are stopped.
const PRERM: &str = "#!/bin/sh
set -e
if [ \"$1\" = remove ] && [ -d /run/systemd/system ]; then
    systemctl --quiet disable --now lxc-monitord.service lxc-net.service || true
    systemctl --quiet disable lxc.service || true
fi
exit 0
";

/// After removing.
const POSTRM: &str = "#!/bin/sh
set -e
if [ -d /run/systemd/system ]; then
    systemctl daemon-reload || true
fi
exit 0
";

impl Package {
    fn pack(&self, layout: &Layout, options: &Options, out: &Path) -> Result<PathBuf, String> {
        let staging = format!("target/xtask-deb/{}/{}", std::process::id(), self.name);
        let staging = host::root().join(staging);
        let _ = fs::remove_dir_all(&staging);
        fs::create_dir_all(&staging).map_err(|e| format!("{}: {e}", staging.display()))?;
        let mut own = Layout::default();
        for (path, item) in &layout.items {
            if (self.takes)(path, options) {
                own.items.insert(path.clone(), item.clone());
            }
        }
        let inner = Options {
            destdir: staging.clone(),
            ..options.clone()
        };
        own.copy(&inner, None)?;
        self.control(&own, &inner)?;
        let version = env!("CARGO_PKG_VERSION");
        let arch = architecture();
        let file = out.join(format!("{}_{version}_{arch}.deb", self.name));
        // Programs that are not optimised are large, and packed for trying only.
        let compression: &[&str] = match options.profile.as_str() {
            "debug" => &["-Zgzip", "-z1"],
            _ => &["-Zxz"],
        };
        let mut dpkg = Command::new("dpkg-deb");
        dpkg.args(["--build", "--root-owner-group"])
            .args(compression);
        dpkg.arg(&staging).arg(&file);
        let done = dpkg.output().map_err(|e| format!("dpkg-deb: {e}"))?;
        let _ = fs::remove_dir_all(&staging);
        match done.status.success() {
            true => Ok(file),
            false => Err(String::from_utf8_lossy(&done.stderr).trim().to_owned()),
        }
    }

    fn control(&self, own: &Layout, options: &Options) -> Result<(), String> {
        let dir = options.destdir.join("DEBIAN");
        let put = |name: &str, text: &str, mode: u32| {
            use std::os::unix::fs::PermissionsExt;
            let file = dir.join(name);
            let done = fs::create_dir_all(&dir)
                .and_then(|()| fs::write(&file, text))
                .and_then(|()| fs::set_permissions(&file, fs::Permissions::from_mode(mode)));
            done.map_err(|e| format!("{}: {e}", file.display()))
        };
        let size: u64 = own
            .items
            .keys()
            .filter_map(|path| below(&options.destdir, path).symlink_metadata().ok())
            .map(|meta| meta.len().div_ceil(1024))
            .sum();
        let version = env!("CARGO_PKG_VERSION");
        let fields = self.fields.replace("{version}", version);
        let (name, section, arch) = (self.name, self.section, architecture());
        let control = format!(
            "Package: {name}\nVersion: {version}\nArchitecture: {arch}\nSection: {section}\n\
             Priority: optional\nMaintainer: The rlxc developers <rlxc@localhost>\n\
             Installed-Size: {size}\n{fields}Description: {}\n",
            self.about
        );
        put("control", &control, 0o644)?;
        let settings: Vec<String> = own
            .items
            .iter()
            .filter(|(path, item)| {
                Layout::is_setting(path, &options.directories)
                    && !matches!(item, Item::Directory { .. })
            })
            .map(|(path, _)| format!("{}\n", path.display()))
            .collect();
        if !settings.is_empty() {
            put("conffiles", &settings.concat(), 0o644)?;
        }
        match self.name {
            "rlxc" => {
                put("postinst", POSTINST, 0o755)?;
                put("prerm", PRERM, 0o755)?;
                put("postrm", POSTRM, 0o755)
            }
            "librlxc1" => put("triggers", "activate-noawait ldconfig\n", 0o644),
            _ => Ok(()),
        }
    }
}

fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        "x86" => "i386",
        other => other,
    }
}
