//! `share`: directories and files of the host in a container.

use std::io::Write;
use std::path::{Path, PathBuf};

use clap::Args;
use rlxc::config::{MountEntry, replace_file};
use rlxc::{Container, Owners};
use serde_json::json;

use super::Run;
use crate::context::{Context, Failure, Outcome, without_codes};
use crate::output::{Format, columns, print_value, safe};

/// Options of `share`.
#[derive(Debug, Args)]
pub(crate) struct Share {
    /// Let the host's owners stand, which in a container with id maps are mostly nobody
    #[arg(long, conflicts_with = "owned_by")]
    plain: bool,
    /// The share's owner on the host is this user (and group) of the container; with --live alone
    #[arg(long = "as", value_name = "UID[:GID]")]
    owned_by: Option<String>,
    /// In the running container, until it stops
    #[arg(long)]
    live: bool,
    /// With --live: also from the next start on, which is what happens without --live
    #[arg(long)]
    persist: bool,
    /// Take the share at TARGET away
    #[arg(long, value_name = "TARGET", conflicts_with_all = ["owned_by", "plain"])]
    remove: Option<PathBuf>,
    /// The container, and SOURCE[:TARGET[:ro|rw]]; without it the shares are listed
    #[arg(value_name = "NAME|SHARE", hide = true)]
    words: Vec<String>,
}

impl Run for Share {
    fn run(mut self, context: &Context) -> Outcome {
        let container = context.container(&mut self.words)?;
        if !container.is_defined() {
            let name = safe(container.name());
            return Err(Failure::new(format!("{name} doesn't exist")));
        }
        context.check_control(&container)?;
        match (self.words.as_slice(), &self.remove) {
            ([], None) => list(&container, context),
            ([], Some(target)) => self.remove(&container, target),
            (_, Some(_)) => Err(Failure::new("--remove takes no share to be made")),
            (words, None) => {
                let shares = words.iter().map(|word| self.share(&container, word));
                let shares = shares.collect::<Result<Vec<_>, _>>()?;
                self.make(container, &shares)
            }
        }
    }
}

impl Share {
    /// Takes `SOURCE[:TARGET[:ro|rw]]` apart.
    fn share(&self, container: &Container, word: &str) -> Result<rlxc::Share, Failure> {
        let bad = |why: &str| {
            Failure::new(format!("'{}' is no share: {why}", safe(word)))
                .remedy("SOURCE[:TARGET[:ro|rw]], as /srv/data:/data:ro")
        };
        let mut parts: Vec<&str> = word.split(':').collect();
        let read_only = match parts.last() {
            Some(&mode) if parts.len() > 1 && ["ro", "rw"].contains(&mode) => {
                parts.pop();
                mode == "ro"
            }
            _ => false,
        };
        let (source, target) = match parts.as_slice() {
            [source] => (*source, *source),
            [source, target] => (*source, *target),
            _ => return Err(bad("it has too many parts")),
        };
        let source = std::path::absolute(source).map_err(|error| bad(&error.to_string()))?;
        if let Err(error) = source.metadata() {
            let text = format!("cannot share {}: {error}", source.display());
            return Err(Failure::new(without_codes(&text)));
        }
        if !target.starts_with('/') || target.split('/').any(|part| part == "..") {
            return Err(bad("the target is not a path from / on"));
        }
        Ok(rlxc::Share {
            source,
            target: target.into(),
            read_only,
            owners: self.owners(container)?,
        })
    }

    /// With id maps the same ids inside and on the disk, as far as the caller may make that so.
    fn owners(&self, container: &Container) -> Result<Owners, Failure> {
        let Some(text) = &self.owned_by else {
            let mapped = container
                .config()
                .is_ok_and(|config| !config.idmap.is_empty());
            let root = nix::unistd::geteuid().is_root();
            return Ok(match mapped && root && !self.plain {
                true => Owners::Container,
                false => Owners::Host,
            });
        };
        let (uid, gid) = text.split_once(':').unwrap_or((text, text));
        match (uid.parse(), gid.parse()) {
            (Ok(uid), Ok(gid)) => Ok(Owners::As(uid, gid)),
            _ => Err(Failure::new(format!(
                "'{}' is no user of the container: --as UID[:GID], by number",
                safe(text)
            ))),
        }
    }

    fn make(&self, mut container: Container, shares: &[rlxc::Share]) -> Outcome {
        let persist = !self.live || self.persist;
        for share in shares {
            let entry = share.entry();
            if entry.is_none() && persist {
                let text = "--as holds for a running container: lxc.mount.entry has no word for it";
                return Err(Failure::new(text).remedy(
                    "use --live, or leave --as out: then each id on the disk is the same id inside",
                ));
            }
            if persist && at(&container, &share.target)?.is_some() {
                let target = share.target.display();
                return Err(
                    Failure::new(format!("something is mounted on {target} already"))
                        .remedy(format!("rlxc share {} --remove {target}", container.name())),
                );
            }
        }
        for share in shares {
            if self.live {
                container.share(share)?;
            }
            if let Some(entry) = share.entry().filter(|_| persist) {
                container.set_item("lxc.mount.entry", &entry)?;
            }
        }
        if persist {
            container.save_config(None)?;
        }
        Ok(0)
    }

    fn remove(&self, container: &Container, target: &Path) -> Outcome {
        const MNT_DETACH: i32 = 2;
        if self.live {
            container.inject_umount(target, MNT_DETACH)?;
        }
        if !self.live || self.persist {
            let Some(line) = at(container, target)? else {
                let (name, target) = (safe(container.name()), target.display());
                return Err(
                    Failure::new(format!("{name} has no share at {target}")).remedy(format!(
                        "rlxc share {name} lists them; those of included files stay there"
                    )),
                );
            };
            let file = container.config_file();
            let failed = |error: std::io::Error| {
                Failure::new(without_codes(&format!(
                    "cannot change {}: {error}",
                    file.display()
                )))
            };
            let text = std::fs::read(file).map_err(failed)?;
            let lines = text.split_inclusive(|byte| *byte == b'\n').enumerate();
            let kept: Vec<u8> = lines
                .filter(|(number, _)| *number != line)
                .flat_map(|(_, line)| line.to_vec())
                .collect();
            replace_file(file, &kept).map_err(failed)?;
        }
        Ok(0)
    }
}

/// The entry that a line of a configuration makes.
fn entry_of(line: &str) -> Option<MountEntry> {
    let (key, value) = line.split_once('=')?;
    MountEntry::parse(value.trim())
        .ok()
        .filter(|_| key.trim() == "lxc.mount.entry")
}

/// The number of the line in the container's own file that mounts something on `target`.
fn at(container: &Container, target: &Path) -> Result<Option<usize>, Failure> {
    let wanted = target.strip_prefix("/").unwrap_or(target);
    let file = container.config_file();
    let text = std::fs::read(file).map_err(|error| {
        Failure::new(without_codes(&format!(
            "cannot read {}: {error}",
            file.display()
        )))
    })?;
    let text = String::from_utf8_lossy(&text);
    let is = |line: &str| {
        entry_of(line)
            .is_some_and(|entry| Path::new(entry.target.trim_start_matches('/')) == wanted)
    };
    Ok(text.lines().position(is))
}

/// All mount entries, those of included files too.
fn list(container: &Container, context: &Context) -> Outcome {
    let text = container.item("lxc.mount.entry")?;
    let entries: Vec<(MountEntry, &str)> = text
        .lines()
        .filter_map(|line| {
            let options = line.split_whitespace().nth(3).unwrap_or_default();
            Some((MountEntry::parse(line).ok()?, options))
        })
        .collect();
    let path = |target: &str| format!("/{}", target.trim_start_matches('/'));
    if context.common.format != Format::Table {
        let rows: Vec<_> = entries
            .iter()
            .map(|(e, options)| json!({"source": e.source, "target": path(&e.target), "type": e.fstype, "options": options}))
            .collect();
        print_value(context.common.format, &rows.into())?;
        return Ok(0);
    }
    if entries.is_empty() {
        return Ok(0);
    }
    let rows: Vec<Vec<String>> = entries
        .iter()
        .map(|(e, options)| vec![safe(&e.source), safe(&path(&e.target)), safe(options)])
        .collect();
    let text = columns(&["SOURCE", "TARGET", "OPTIONS"], &[0, 0, 0], &rows);
    let mut out = std::io::stdout().lock();
    for line in text.lines() {
        writeln!(out, "{}", line.trim_end())?;
    }
    Ok(0)
}
