//! Images that are mounted instead of unpacked: their layers are file systems (squashfs, PuzzleFS),
//! which a helper program mounts when the container starts.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::finish;
use super::pull::Pulled;
use crate::error::{Error, Result};
use crate::template::Target;

/// The helper that the image needs or the caller names; `None` for one that is unpacked.
pub(super) fn helper(named: Option<&Path>, pulled: &Pulled) -> Result<Option<PathBuf>> {
    let kind = |part: &str| {
        pulled
            .layers
            .iter()
            .any(|layer| layer.media_type.contains(part))
    };
    let default = match (kind("squashfs"), kind("puzzlefs")) {
        (true, _) => "atomfs",
        (_, true) => "puzzlefs",
        _ => {
            return match named {
                None => Ok(None),
                Some(_) => Err(Error::message(
                    "--mount-helper is for images whose layers are squashfs or PuzzleFS; this one is unpacked",
                )),
            };
        }
    };
    let name = named.unwrap_or_else(|| Path::new(default));
    let found = match name.components().count() {
        1 => search(name),
        _ => name.is_file().then(|| name.to_owned()),
    };
    found.map(Some).ok_or_else(|| {
        Error::message(format!(
            "the image's layers are mounted by {}, which is not there; --mount-helper names another program",
            name.display()
        ))
    })
}

fn search(name: &Path) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .map(|dir| dir.join(name))
        .find(|file| file.is_file())
}

/// Keeps the image in the container's directory, and has it mounted at each start.
pub(super) fn make(helper: &Path, pulled: &Pulled, target: &Target, dhcp: bool) -> Result<()> {
    let layout = target.path.join("oci");
    pulled.save(&layout, &target.name)?;
    let image = format!("{}:{}", layout.display(), target.name);
    for text in [
        &image,
        &helper.display().to_string(),
        &target.rootfs.display().to_string(),
    ] {
        // They stand in a hook's shell line.
        if text.contains(|c: char| c.is_whitespace() || "'\"\\$`;&|<>()*?".contains(c)) {
            return Err(Error::format(text, "cannot stand in a hook's command line"));
        }
    }
    let rootfs = target.rootfs.as_os_str();
    let run = |verb: &[&str], rest: &[&std::ffi::OsStr]| -> Result<()> {
        let mut command = Command::new(helper);
        let status = command.args(verb).args(rest).status();
        let status = status.map_err(Error::path("start", helper))?;
        match status.success() {
            true => Ok(()),
            false => Err(Error::message(format!("{command:?}: {status}"))),
        }
    };
    run(&["mount", "--writable"], &[image.as_ref(), rootfs])?;
    let finished = target
        .tree()
        .and_then(|tree| finish(pulled, &tree, target, dhcp));
    let unmounted = run(&["umount"], &[rootfs]);
    finished?;
    unmounted?;
    let (helper, rootfs) = (helper.display(), target.rootfs.display());
    target.append(&[
        format!("lxc.hook.pre-mount = {helper} mount --writable {image} {rootfs}"),
        format!("lxc.hook.post-stop = {helper} umount {rootfs}"),
    ])
}
