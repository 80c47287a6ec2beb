use std::io::Write;
use std::path::{Path, PathBuf};

use clap::Args;
use rlxc::{Container, CopyOptions, StartOptions};

mod owner;

use super::Run;
use crate::context::{Context, Failure, Outcome};
use crate::progress::with_progress;

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
    /// ZFS: make the copy below this data set, which may be in another pool
    #[arg(long, value_name = "DATASET")]
    zfsroot: Option<String>,
    /// LVM: make the copy in this volume group
    #[arg(long, value_name = "GROUP")]
    vgname: Option<String>,
    /// Give the copy's files to the ids of these maps: none, or u:NSID:HOSTID:RANGE,g:NSID:HOSTID:RANGE (as root)
    #[arg(long, value_name = "MAPS")]
    idmap: Option<String>,
    /// Make the copy USER's: below her lxcpath, with her subordinate ids, unless -p and --idmap say otherwise (as root)
    #[arg(long, value_name = "USER")]
    owner: Option<String>,
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
        if let Some(backend) = &self.backingstorage {
            super::create::check_backends(backend)?;
        }
        let size = self.fssize.as_deref().map(super::create::parse_size);
        let size = size.transpose()?;
        let original = container.name().to_owned();
        let new_owner = owner::of(self.owner.as_deref(), self.idmap.as_deref())?;
        let newpath = self.newpath.clone().or(new_owner.lxcpath);
        let copied = with_progress(context, |progress| {
            container.copy_to(&CopyOptions {
                name: Some(name),
                lxcpath: newpath,
                zfsroot: self.zfsroot.clone(),
                vgname: self.vgname.clone(),
                idmap: new_owner.idmap,
                owner: new_owner.ids,
                snapshot: self.snapshot || self.ephemeral,
                backend: self.backingstorage.clone(),
                keep_name: self.keepname,
                keep_mac: self.keepmac,
                allow_running: self.allowrunning,
                hook_arguments: words,
                size,
                progress: Some(progress),
                ..CopyOptions::default()
            })
        })?;
        match self.ephemeral {
            true => self.run_ephemeral(context, &original, copied),
            false => Ok(0),
        }
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
        if let Some(kind) = &self.backingstorage
            && self.tmpfs
            && !matches!(kind.as_str(), "overlay" | "overlayfs")
        {
            return Err(Failure::new("-t is only for copies of type overlay"));
        }
        Ok(())
    }

    fn run_ephemeral(&self, context: &Context, original: &str, mut copied: Container) -> Outcome {
        if let Err(failure) = self.prepare_ephemeral(&mut copied) {
            let _ = copied.destroy();
            return Err(failure);
        }
        let mut out = std::io::stdout();
        writeln!(out, "Created {} as clone of {original}", copied.name())?;
        if self.tmpfs {
            writeln!(out, "Container is placed on tmpfs.")?;
            writeln!(
                out,
                "Rebooting will cause all changes made to it to be lost!"
            )?;
        }
        let options = StartOptions {
            daemonize: !self.foreground || self.daemon,
            ..StartOptions::default()
        };
        if let Err(error) = copied.start(&options) {
            if !self.keepdata
                && let Err(left) = copied.destroy()
            {
                context.say(&format!("{}: {left}", context.tool));
            }
            return Err(error.into());
        }
        Ok(0)
    }

    /// What makes a copy ephemeral is in its configuration.
    fn prepare_ephemeral(&self, copied: &mut Container) -> Result<(), Failure> {
        if self.tmpfs {
            in_memory(copied)?;
        }
        if !self.keepdata {
            copied.set_item("lxc.ephemeral", "1")?;
        }
        for spec in self.mount.iter().flat_map(|list| list.split(',')) {
            let entry = match spec.split_once('=') {
                Some(("overlay", rest)) => overlay_entry(copied, spec, rest)?,
                _ => mount_entry(spec)?,
            };
            copied.set_item("lxc.mount.entry", &entry)?;
        }
        Ok(copied.save_config(None)?)
    }
}

/// A pre-mount hook puts a tmpfs where the overlay keeps what changes.
fn in_memory(copied: &mut Container) -> Result<(), Failure> {
    use std::os::unix::fs::OpenOptionsExt;
    let backend = copied.config()?.rootfs.backend.as_deref();
    if !backend.is_some_and(|backend| backend.starts_with("overlay")) {
        return Err(Failure::new("-t is only for copies of type overlay")
            .remedy("leave -t out, or copy a container that lies in a directory"));
    }
    let dir = copied.dir();
    let quote = |path: &Path| format!("'{}'", path.display().to_string().replace('\'', "'\\''"));
    let (place, upper) = (dir.join("overlay"), dir.join("overlay/delta"));
    let mut script = format!(
        "#! /bin/sh\nset -e\nmount -n -t tmpfs -o mode=0755 none {}\nmkdir -p {} {}\n",
        quote(&place),
        quote(&upper),
        quote(&dir.join("overlay/work"))
    );
    let hostname = upper.join("etc/hostname");
    if hostname.exists() {
        script.push_str(&format!(
            "mkdir -p {}\necho {} > {}\n",
            quote(&upper.join("etc")),
            quote(Path::new(copied.name())),
            quote(&hostname)
        ));
    }
    let file = dir.join(format!("pre-start-{}", random_letters()));
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true).mode(0o755);
    options.open(&file)?.write_all(script.as_bytes())?;
    // Whatever the umask is: the container's root has to run it.
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o755))?;
    Ok(copied.set_item("lxc.hook.pre-mount", &file.to_string_lossy())?)
}

/// Blanks as fstab writes them.
fn escape(path: &str) -> String {
    path.replace(' ', "\\040")
}

/// `SRC[:DEST]` after `overlay=` as a mount entry; what changes is kept in the copy's directory.
fn overlay_entry(copied: &Container, spec: &str, rest: &str) -> Result<String, Failure> {
    let (source, target) = rest.split_once(':').unwrap_or((rest, rest));
    if !source.starts_with('/') || !target.starts_with('/') || target.contains(':') {
        return Err(Failure::new(format!(
            "'{spec}' is not of the form overlay=SOURCE[:TARGET]"
        )));
    }
    use std::os::unix::fs::DirBuilderExt;
    let make = |name: &str| -> Result<String, Failure> {
        let dir = copied.dir().join(format!("{name}#{}", random_letters()));
        std::fs::DirBuilder::new().mode(0o755).create(&dir)?;
        Ok(escape(&dir.to_string_lossy()))
    };
    Ok(format!(
        "{0} {1} overlay lowerdir={0},upperdir={2},workdir={3},create=dir",
        escape(source),
        escape(target.trim_start_matches('/')),
        make("delta")?,
        make("work")?
    ))
}

/// `bind=SRC[:DEST][:ro|rw]` as a mount entry.
fn mount_entry(spec: &str) -> Result<String, Failure> {
    let bad = || {
        Failure::new(format!(
            "'{spec}' is neither bind=SOURCE[:TARGET][:ro|rw] nor overlay=SOURCE[:TARGET]"
        ))
    };
    let (kind, rest) = spec.split_once('=').ok_or_else(bad)?;
    if kind != "bind" {
        return Err(bad());
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
    // Targets are relative to the root file system.
    let target = target.trim_start_matches('/');
    Ok(format!(
        "{} {} none bind,optional,{mode},create={create} 0 0",
        escape(source),
        escape(target)
    ))
}

/// `NAME_XXXXXX` that no container has.
fn free_name(container: &Container, newpath: Option<&Path>) -> String {
    let lxcpath = newpath.unwrap_or(container.lxcpath());
    loop {
        let name = format!("{}_{}", container.name(), random_letters());
        if !lxcpath.join(&name).exists() {
            return name;
        }
    }
}

/// Six letters, as mkdtemp(3) makes them.
fn random_letters() -> String {
    use std::hash::{BuildHasher, Hasher};
    const LETTERS: &[u8] = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
    let mut number = std::hash::RandomState::new().build_hasher().finish();
    let letters = (0..6).map(|_| {
        let at = usize::try_from(number % 62).unwrap_or_default();
        number /= 62;
        char::from(LETTERS[at])
    });
    letters.collect()
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
        for bad in [
            "bind",
            "bind=tmp",
            "overlay=/x",
            "tmpfs=/x",
            "bind=/a:/b:/c:ro",
        ] {
            assert!(of(bad).is_none(), "{bad}");
        }
    }
}
