//! The record of a running container's network on disk: what outlives a monitor that crashed.

use std::fs;
use std::io::ErrorKind;
use std::os::fd::BorrowedFd;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use crate::created::Created;
use crate::error::{Error, Result};
use crate::host::Context;
use crate::netlink::Netlink;

/// Where the record of a container is kept: `RUNDIR/lxc/network/LXCPATH/NAME`, the lxcpath's
/// slashes written as `%2F`.
pub fn path(context: &Context) -> PathBuf {
    in_directory(
        &Path::new(rlxc_config::paths::RUNDIR).join("lxc/network"),
        context,
    )
}

fn in_directory(directory: &Path, context: &Context) -> PathBuf {
    let escape = |text: &str| text.replace('%', "%25").replace('/', "%2F");
    directory
        .join(escape(&context.lxcpath.to_string_lossy()))
        .join(escape(&context.name))
}

/// Keeps `created` on disk if it holds something that outlives its monitor
/// ([`Created::needs_journal`]).
///
/// # Errors
/// [`Error::File`].
pub fn store(created: &Created, context: &Context) -> Result<()> {
    if created.needs_journal() {
        store_at(created, &path(context))
    } else {
        Ok(())
    }
}

fn store_at(created: &Created, path: &Path) -> Result<()> {
    let failed = |source| Error::File {
        op: "write",
        path: path.to_owned(),
        source,
    };
    let text = serde_json::to_vec(created).map_err(|e| failed(e.into()))?;
    if let Some(directory) = path.parent() {
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(directory)
            .map_err(failed)?;
    }
    // Written beside and renamed: a record is whole or not there.
    let new = path.with_extension("new");
    let mut options = fs::OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o600);
    options
        .custom_flags(nix::libc::O_NOFOLLOW)
        .open(&new)
        .and_then(|mut file| std::io::Write::write_all(&mut file, &text))
        .and_then(|()| fs::rename(&new, path))
        .map_err(failed)
}

/// Forgets a container's record.
///
/// # Errors
/// [`Error::File`].
pub fn remove(context: &Context) -> Result<()> {
    remove_at(&path(context))
}

fn remove_at(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(source) if source.kind() != ErrorKind::NotFound => Err(Error::File {
            op: "remove",
            path: path.to_owned(),
            source,
        }),
        _ => Ok(()),
    }
}

/// Whether a record of a container is there.
pub fn is_kept(context: &Context) -> bool {
    path(context).exists()
}

/// Gives back what a crashed monitor of the same container left, and forgets the record: to be
/// called before the container's network is set up. Without a record it does nothing.
///
/// # Errors
/// All failed steps; the record is then kept for another try. A damaged record is removed.
pub fn recover(netlink: &mut Netlink, context: &Context) -> Vec<Error> {
    recover_at(netlink, context, None, &path(context))
}

/// As [`recover`], with the container's network namespace, which something still holds.
///
/// # Errors
/// As [`recover`].
pub fn recover_from(netlink: &mut Netlink, context: &Context, netns: BorrowedFd<'_>) -> Vec<Error> {
    recover_at(netlink, context, Some(netns), &path(context))
}

fn recover_at(
    netlink: &mut Netlink,
    context: &Context,
    netns: Option<BorrowedFd<'_>>,
    path: &Path,
) -> Vec<Error> {
    let text = match fs::read(path) {
        Ok(text) => text,
        Err(source) if source.kind() == ErrorKind::NotFound => return Vec::new(),
        Err(source) => {
            return vec![Error::File {
                op: "read",
                path: path.to_owned(),
                source,
            }];
        }
    };
    let mut errors = match serde_json::from_slice::<Created>(&text) {
        Ok(created) => created.recover(netlink, context, netns),
        Err(error) => {
            tracing::warn!("the damaged record {} is dropped: {error}", path.display());
            Vec::new()
        }
    };
    if errors.is_empty() {
        errors.extend(remove_at(path).err());
    }
    errors
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::created::{CreatedNic, Undo};
    use crate::netlink::Proxy;

    #[test]
    fn a_record_is_kept_only_where_something_outlives_the_monitor() {
        let dir = std::env::temp_dir().join(format!("rlxc-network-jrn-{}", std::process::id()));
        let context = Context::new("c1", "/var/lib/lxc");
        let path = in_directory(&dir, &context);
        assert!(path.ends_with("%2Fvar%2Flib%2Flxc/c1"));
        let mut nic = CreatedNic::new(0, "veth", &rlxc_config::Nic::default());
        nic.undo.push(Undo::Veth {
            index: 7,
            name: "vethX".into(),
            own_name: false,
            namespace: None,
        });
        let mut created = Created {
            nics: vec![nic],
            ..Created::default()
        };
        assert!(!created.needs_journal());
        let address = "10.0.0.1".parse().unwrap();
        created.nics[0].undo.push(Undo::Proxy(Proxy {
            link: 1,
            name: "lo".into(),
            address,
        }));
        assert!(created.needs_journal());
        store_at(&created, &path).unwrap();
        let Ok(mut netlink) = Netlink::open() else {
            return;
        };
        let read: Created = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        assert_eq!(read, created);
        fs::write(&path, b"{ damaged").unwrap();
        assert!(recover_at(&mut netlink, &context, None, &path).is_empty());
        assert!(!path.exists());
        assert!(recover_at(&mut netlink, &context, None, &path).is_empty());
        fs::remove_dir_all(&dir).unwrap();
    }
}
