//! The record of a running container's network on disk: what outlives a monitor that crashed.

use std::fs;
use std::io::ErrorKind;
use std::os::fd::BorrowedFd;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use crate::context::Context;
use crate::created::{Created, Undo};
use crate::error::{Error, Result};
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
/// ([`Created::needs_journal`]). What an earlier record is still owed stays in it.
///
/// # Errors
/// [`Error::File`].
pub fn store(created: &Created, context: &Context) -> Result<()> {
    if created.needs_journal() {
        keep_at(created, &path(context))
    } else {
        Ok(())
    }
}

fn keep_at(created: &Created, path: &Path) -> Result<()> {
    let owed = read_at(path)?.map(|record| record.owed);
    let created = Created {
        owed: owed.unwrap_or_default(),
        ..created.clone()
    };
    store_at(&created, path)
}

/// The record, if there is one; a damaged one is dropped.
fn read_at(path: &Path) -> Result<Option<Created>> {
    let text = match fs::read(path) {
        Ok(text) => text,
        Err(source) if source.kind() == ErrorKind::NotFound => return Ok(None),
        Err(source) => {
            return Err(Error::File {
                op: "read",
                path: path.to_owned(),
                source,
            });
        }
    };
    match serde_json::from_slice(&text) {
        Ok(created) => Ok(Some(created)),
        Err(error) => {
            tracing::warn!("the damaged record {} is dropped: {error}", path.display());
            erase(path).map(|()| None)
        }
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
    options.custom_flags(nix::libc::O_NOFOLLOW);
    let opened = options.open(&new).or_else(|error| {
        // Another container's end may just have removed the directory.
        match (error.kind(), path.parent()) {
            (ErrorKind::NotFound, Some(directory)) => {
                fs::create_dir_all(directory)?;
                options.open(&new)
            }
            _ => Err(error),
        }
    });
    opened
        .and_then(|mut file| std::io::Write::write_all(&mut file, &text))
        .and_then(|()| fs::rename(&new, path))
        .map_err(failed)
}

/// Forgets a container's record, but for what an earlier one is still owed.
///
/// # Errors
/// [`Error::File`].
pub fn remove(context: &Context) -> Result<()> {
    let path = path(context);
    let owed = read_at(&path)?.map(|record| record.owed);
    leave_at(owed.unwrap_or_default(), &path)
}

/// Leaves a record of what is owed, or none.
fn leave_at(owed: Vec<Undo>, path: &Path) -> Result<()> {
    if owed.is_empty() {
        return erase(path);
    }
    let record = Created {
        owed,
        ..Created::default()
    };
    store_at(&record, path)
}

fn erase(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(source) if source.kind() != ErrorKind::NotFound => Err(Error::File {
            op: "remove",
            path: path.to_owned(),
            source,
        }),
        _ => {
            // The lxcpath's, once it is empty.
            let _ = path.parent().map(fs::remove_dir);
            Ok(())
        }
    }
}

/// Whether a record of a container is there.
pub fn is_kept(context: &Context) -> bool {
    path(context).exists()
}

/// Gives back what a crashed monitor of the same container left, and forgets the record: to be
/// called before the container's network is set up, when the container does not run. Without a
/// record it does nothing. The kernel gives hardware back some time after the namespace has ended:
/// it is waited for once, and what has not come by then stays in the record.
///
/// # Errors
/// All failed steps, which stay in the record for another try. A damaged record is removed.
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
    let created = match read_at(path) {
        Ok(Some(created)) => created,
        Ok(None) => return Vec::new(),
        Err(error) => return vec![error],
    };
    let left = created.recover_each(netlink, context, netns);
    let (owed, mut errors): (Vec<_>, Vec<_>) = left.into_iter().unzip();
    errors.extend(leave_at(owed, path).err());
    errors
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::created::CreatedNic;
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
        assert!(!path.exists() && !path.parent().unwrap().exists());
        assert!(recover_at(&mut netlink, &context, None, &path).is_empty());
        fs::remove_dir_all(&dir).unwrap();
    }

    #[test]
    fn hardware_that_has_not_come_back_stays_on_record() {
        let Ok(mut netlink) = Netlink::open() else {
            return;
        };
        let dir = std::env::temp_dir().join(format!("rlxc-network-owed-{}", std::process::id()));
        let context = Context::new("c1", "/var/lib/lxc");
        let path = in_directory(&dir, &context);
        let lent = |name: &str, hardware| {
            let mut nic = CreatedNic::new(0, "phys", &rlxc_config::Nic::default());
            nic.undo.push(Undo::Phys {
                index: 1_999_999,
                name: name.to_owned(),
                inside: "wan0".into(),
                address: vec![2, 0, 0, 0x77, 0x66, 0x55],
                mtu: 1500,
                phy: None,
                hardware,
            });
            Created {
                nics: vec![nic],
                ..Created::default()
            }
        };
        store_at(&lent("rlxcgone0", true), &path).unwrap();
        let errors = recover_at(&mut netlink, &context, None, &path);
        assert!(
            errors[0].to_string().contains("has not come back"),
            "{errors:?}"
        );
        let owed = |path: &Path| read_at(path).unwrap().unwrap().owed;
        assert_eq!(owed(&path).len(), 1);
        // A later start of the container does not forget it, nor does its stop.
        keep_at(&lent("rlxcgone1", false), &path).unwrap();
        assert_eq!(owed(&path).len(), 1);
        leave_at(owed(&path), &path).unwrap();
        let begin = std::time::Instant::now();
        assert_eq!(recover_at(&mut netlink, &context, None, &path).len(), 1);
        assert!(
            begin.elapsed() < std::time::Duration::from_millis(80),
            "waited again"
        );
        // What is virtual goes with its namespace.
        store_at(&lent("rlxcgone2", false), &path).unwrap();
        assert!(recover_at(&mut netlink, &context, None, &path).is_empty());
        assert!(!path.exists());
        fs::remove_dir_all(&dir).unwrap();
    }
}
