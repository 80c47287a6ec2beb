use std::io::Write;
use std::path::{Path, PathBuf};

use clap::Args;
use rlxc::{Container, CopyOptions, StartOptions};

use super::Run;
use crate::context::{Context, Failure, Outcome};

/// Options of `copy`.
#[derive(Debug, Args)]
pub(crate) struct Copy {
    /// Name of the new container
    #[arg(short = 'N', long, value_name = "NAME")]
    newname: Option<String>,
    /// lxcpath of the new container
    #[arg(short = 'p', long, value_name = "PATH")]
    newpath: Option<PathBuf>,
    /// Rename instead of copying
    #[arg(short = 'R', long)]
    rename: bool,
    /// Share the data with the original, where the storage can
    #[arg(short = 's', long)]
    snapshot: bool,
    /// Copy it even while it runs
    #[arg(short = 'a', long)]
    allowrunning: bool,
    /// With -e: stay in the foreground
    #[arg(short = 'F', long)]
    foreground: bool,
    /// With -e: run in the background (default)
    #[arg(short = 'd', long)]
    daemon: bool,
    /// Start the copy at once and remove it when it stops
    #[arg(short = 'e', long)]
    ephemeral: bool,
    /// With -e: bind=SRC:DEST:MODE (DEST, and MODE ro or rw, may be left out), a comma list
    #[arg(short = 'm', long, value_name = "SPEC")]
    mount: Vec<String>,
    /// Where the copy is kept: dir, overlay, btrfs …
    #[arg(short = 'B', long, value_name = "TYPE")]
    backingstorage: Option<String>,
    /// With -e: keep what changes in memory
    #[arg(short = 't', long)]
    tmpfs: bool,
    /// Size of the new block device
    #[arg(short = 'L', long, value_name = "SIZE")]
    fssize: Option<String>,
    /// With -e: keep the copy when it stops
    #[arg(short = 'D', long)]
    keepdata: bool,
    /// Keep the original's host name
    #[arg(short = 'K', long)]
    keepname: bool,
    /// Keep the original's MAC addresses
    #[arg(short = 'M', long)]
    keepmac: bool,
    /// NAME, if not given by -n, and the clone hook's arguments
    #[arg(value_name = "NAME|ARGUMENTS", hide = true)]
    words: Vec<String>,
}

impl Run for Copy {
    fn run(mut self, context: &Context) -> Outcome {
        let mut words = std::mem::take(&mut self.words);
        let mut container = context.container(&mut words)?;
        self.check()?;
        context.check_control(&container)?;
        if !container.is_defined() {
            return Err(Failure::new(format!(
                "Error: container {} is not defined",
                container.name()
            )));
        }
        if self.rename {
            let name = self.newname.as_deref().unwrap_or_default();
            container.rename(name)?;
            return Ok(0);
        }
        let name = match (&self.newname, self.ephemeral) {
            (Some(name), _) => name.clone(),
            (None, true) => free_name(&container, self.newpath.as_deref()),
            (None, false) => return Err(Failure::new("You must provide a NEWNAME for the clone")),
        };
        let backend = self.backingstorage.clone();
        let copied = container.copy_to(&CopyOptions {
            name: Some(name),
            lxcpath: self.newpath.clone(),
            snapshot: self.snapshot || self.ephemeral,
            backend: backend.map(|b| {
                if b == "overlayfs" {
                    "overlay".to_owned()
                } else {
                    b
                }
            }),
            keep_name: self.keepname,
            keep_mac: self.keepmac,
            allow_running: self.allowrunning,
            hook_arguments: words,
            ..CopyOptions::default()
        })?;
        if self.ephemeral {
            return self.start(container.name(), copied);
        }
        Ok(0)
    }
}

impl Copy {
    fn check(&self) -> Result<(), Failure> {
        if self.rename && (self.snapshot || self.ephemeral || self.keepdata) {
            return Err(Failure::new("-R is not compatible with -s, -e and -D"));
        }
        if self.rename && self.newname.is_none() {
            return Err(Failure::new("You must provide a NEWNAME for the container"));
        }
        if !self.ephemeral && (self.tmpfs || !self.mount.is_empty() || self.keepdata) {
            return Err(Failure::new(
                "-t, -m and -D are only for ephemeral copies (-e)",
            ));
        }
        if self.tmpfs {
            return Err(
                Failure::new("-t: copies in memory cannot be made by this version")
                    .remedy("put the new container's path on a tmpfs: -p PATH"),
            );
        }
        if self.fssize.is_some() {
            return Err(Failure::new(
                "-L: copies to block devices cannot be made by this version",
            ));
        }
        Ok(())
    }

    fn start(&self, original: &str, mut copied: Container) -> Outcome {
        if !self.keepdata {
            copied.set_item("lxc.ephemeral", "1")?;
        }
        for spec in self.mount.iter().flat_map(|list| list.split(',')) {
            copied.set_item("lxc.mount.entry", &mount_entry(spec)?)?;
        }
        copied.save_config(None)?;
        writeln!(
            std::io::stdout(),
            "Created {} as clone of {original}",
            copied.name()
        )?;
        let options = StartOptions {
            daemonize: !self.foreground || self.daemon,
            ..StartOptions::default()
        };
        if let Err(error) = copied.start(&options) {
            if !self.keepdata {
                let _ = copied.destroy();
            }
            return Err(error.into());
        }
        Ok(0)
    }
}

/// `bind=SRC[:DEST][:ro|rw]` as a mount entry.
fn mount_entry(spec: &str) -> Result<String, Failure> {
    let bad = || {
        Failure::new(format!(
            "'{spec}' is not of the form bind=SOURCE[:TARGET][:ro|rw]"
        ))
    };
    let (kind, rest) = spec.split_once('=').ok_or_else(bad)?;
    if kind != "bind" {
        return Err(
            Failure::new(format!("{kind} mounts cannot be made by this version"))
                .remedy("use bind=SOURCE:TARGET"),
        );
    }
    let mut parts: Vec<&str> = rest.split(':').collect();
    let mode = match parts.last() {
        Some(&("ro" | "rw")) => parts.pop().unwrap_or("rw"),
        _ => "rw",
    };
    let (source, target) = match parts.as_slice() {
        [source] => (*source, *source),
        [source, target] => (*source, *target),
        _ => return Err(bad()),
    };
    if !source.starts_with('/') || !target.starts_with('/') {
        return Err(bad());
    }
    let create = if Path::new(source).is_dir() {
        "dir"
    } else {
        "file"
    };
    // Blanks as fstab writes them; targets are relative to the root file system.
    let escape = |path: &str| path.replace(' ', "\\040");
    let target = target.trim_start_matches('/');
    Ok(format!(
        "{} {} none bind,optional,{mode},create={create} 0 0",
        escape(source),
        escape(target)
    ))
}

/// `NAME_XXXXXX` that no container has.
fn free_name(container: &Container, newpath: Option<&Path>) -> String {
    use std::hash::{BuildHasher, Hasher};
    let lxcpath = newpath.unwrap_or(container.lxcpath());
    loop {
        let mut number = std::hash::RandomState::new().build_hasher().finish();
        let letters: String = (0..6)
            .map(|_| {
                let at = number % 52;
                number /= 52;
                char::from(if at < 26 {
                    b'a' + at as u8
                } else {
                    b'A' + (at - 26) as u8
                })
            })
            .collect();
        let name = format!("{}_{letters}", container.name());
        if !lxcpath.join(&name).exists() {
            return name;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mount_specs_become_entries() {
        let of = |spec| mount_entry(spec).ok();
        let entry = "/tmp tmp none bind,optional,rw,create=dir 0 0";
        assert_eq!(of("bind=/tmp").as_deref(), Some(entry));
        let entry = "/tmp my\\040dir none bind,optional,ro,create=dir 0 0";
        assert_eq!(of("bind=/tmp:/my dir:ro").as_deref(), Some(entry));
        for bad in ["bind", "bind=tmp", "tmpfs=/x", "bind=/a:/b:/c:ro"] {
            assert!(of(bad).is_none(), "{bad}");
        }
    }
}
