//! A RADOS block device, by the program rbd.

use std::path::Path;

use super::{Backend, Driver, Place, Specs, block, global};
use crate::error::{Error, Result};
use crate::mounted::{Mounted, Options};
use crate::rootfs::Rootfs;
use crate::tool;

#[derive(Debug)]
pub(super) struct Rbd;

/// `/dev/rbd/POOL/NAME`, taken apart.
fn parts(path: &str) -> Result<(&str, &str)> {
    let bad = || Error::RootfsPath {
        path: format!("rbd:{path}"),
        reason: "is not of the form rbd:/dev/rbd/POOL/NAME",
    };
    let rest = path.strip_prefix("/dev/rbd/").ok_or_else(bad)?;
    let (pool, name) = rest.split_once('/').ok_or_else(bad)?;
    let good = |name: &str| !name.is_empty() && !name.starts_with('-') && !name.contains('/');
    match good(pool) && good(name) {
        true => Ok((pool, name)),
        false => Err(bad()),
    }
}

/// `--id USER`, where there is one.
fn user(specs: &Specs) -> Vec<String> {
    let user = match &specs.rbduser {
        Some(user) => user.clone(),
        None => global("lxc.bdev.rbd.rbduser", "admin"),
    };
    vec!["--id".to_owned(), user]
}

fn run(command: &str, user: &[String], rest: &[&str]) -> Result<String> {
    let args = [command].into_iter();
    let args = args.chain(user.iter().map(String::as_str));
    let args: Vec<&str> = args.chain(rest.iter().copied()).collect();
    tool::run("rbd", &args)
}

fn has_image(rootfs: &Rootfs, user: &[String]) -> Result<bool> {
    let (pool, name) = parts(&rootfs.path)?;
    let mut args = vec!["info"];
    args.extend(user.iter().map(String::as_str));
    args.extend(["--pool", pool, name]);
    Ok(tool::output("rbd", &args)?.status == 0)
}

impl Driver for Rbd {
    fn detect(&self, path: &str) -> bool {
        use std::os::unix::fs::FileTypeExt;
        path.starts_with("/dev/rbd")
            && std::fs::metadata(path).is_ok_and(|meta| meta.file_type().is_block_device())
    }

    fn name(&self, place: &Place<'_>, specs: &Specs, _: Option<&Rootfs>) -> Result<Rootfs> {
        tool::check_fs_type(specs.fstype())?;
        let pool = match &specs.rbdpool {
            Some(pool) => pool.clone(),
            None => global("lxc.bdev.rbd.rbdpool", "lxc"),
        };
        let name = specs.rbdname.as_deref().unwrap_or(place.name);
        let path = format!("/dev/rbd/{pool}/{name}");
        parts(&path)?;
        let rootfs = Rootfs::new(Backend::Rbd, &path)?;
        match Path::new(&path).exists() || has_image(&rootfs, &user(specs))? {
            true => Err(Error::Exists(path)),
            false => Ok(rootfs),
        }
    }

    fn exists(&self, rootfs: &Rootfs) -> Result<bool> {
        Ok(Path::new(&rootfs.path).exists() || has_image(rootfs, &user(&Specs::default()))?)
    }

    fn create(&self, rootfs: &Rootfs, specs: &Specs) -> Result<()> {
        let (pool, name) = parts(&rootfs.path)?;
        let user = user(specs);
        // The program counts in MiB; a part of one is a whole one.
        let size = specs.size().div_ceil(1 << 20).to_string();
        run("create", &user, &["--pool", pool, name, "--size", &size])?;
        run("map", &user, &["--pool", pool, name])?;
        tool::make_fs(specs.fstype(), &rootfs.path)
    }

    fn mount(&self, rootfs: &Rootfs, options: &Options) -> Result<Mounted> {
        block::mount(Path::new(&rootfs.path), options)
    }

    fn rename(&self, _: &Rootfs, _: &Rootfs) -> Result<()> {
        Err(Backend::Rbd.cannot("be renamed"))
    }

    fn destroy(&self, rootfs: &Rootfs) -> Result<()> {
        let (pool, name) = parts(&rootfs.path)?;
        let user = user(&Specs::default());
        if Path::new(&rootfs.path).exists() {
            run("unmap", &user, &[&rootfs.path])?;
        }
        match has_image(rootfs, &user)? {
            true => run("rm", &user, &["--pool", pool, name]).map(drop),
            false => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_images_path_is_taken_apart() -> Result<()> {
        assert_eq!(parts("/dev/rbd/pool/image")?, ("pool", "image"));
        for bad in ["/dev/rbd/x", "/dev/rbd/-p/x", "/dev/rbd/p/a/b", "p/x"] {
            assert!(parts(bad).is_err(), "{bad}");
        }
        Ok(())
    }
}
