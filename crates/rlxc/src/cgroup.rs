use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Component, Path};

use nix::errno::Errno;
use nix::fcntl::{OFlag, openat};
use nix::sys::stat::Mode;
use rlxc_cgroup::Stats;
use rlxc_runtime::control::{DeviceAccess, change_device};

use crate::container::Container;
use crate::error::{Error, Result};

impl Container {
    /// A cgroup file's content, such as `memory.max`, with its line end.
    ///
    /// # Errors
    /// [`Error::NotRunning`]; [`Error::Path`] when no cgroup of the container has the file.
    pub fn cgroup_item(&self, file: &str) -> Result<String> {
        let mut text = String::new();
        self.open_cgroup_file(file, OFlag::O_RDONLY)?
            .read_to_string(&mut text)
            .map_err(Error::path("read the cgroup file", file))?;
        Ok(text)
    }

    /// Writes a cgroup file; `devices.allow` and `devices.deny` change the device program where
    /// there is no v1 devices controller.
    ///
    /// # Errors
    /// As [`Container::cgroup_item`].
    pub fn set_cgroup_item(&self, file: &str, value: &str) -> Result<()> {
        if let Some(allow) = match file {
            "devices.allow" => Some(true),
            "devices.deny" => Some(false),
            _ => None,
        } {
            let access = parse_device(value).ok_or_else(|| {
                Error::refused(
                    Errno::EINVAL,
                    format!("{file}: '{value}' is no rule like 'c 1:3 rwm'"),
                )
            })?;
            self.need_init_pid()?;
            return Ok(change_device(&self.client(), access, allow)?);
        }
        self.open_cgroup_file(file, OFlag::O_WRONLY)?
            .write_all(value.as_bytes())
            .map_err(Error::path("write the cgroup file", file))
    }

    /// The limiting cgroup of the file's controller first, then every hierarchy.
    fn open_cgroup_file(&self, file: &str, access: OFlag) -> Result<File> {
        let inside = |c| matches!(c, Component::Normal(_));
        if file.is_empty() || !Path::new(file).components().all(inside) {
            return Err(Error::refused(
                Errno::EINVAL,
                format!("'{file}' is no name of a cgroup file"),
            ));
        }
        self.need_init_pid()?;
        let client = self.client();
        let controller = file.split('.').next().unwrap_or_default();
        let first = client.cgroup_fd(controller, true).ok().map(|(_, fd)| fd);
        let mut last = Errno::ENOENT;
        for dir in first.into_iter().chain(client.cgroups()?.dirs) {
            match open_below(&dir, file, access) {
                Ok(file) => return Ok(file),
                Err(Errno::ENOENT) => {}
                Err(errno) => last = errno,
            }
        }
        Err(Error::path("open the cgroup file", file)(last))
    }

    /// What it uses, in one pass over its cgroups.
    ///
    /// # Errors
    /// [`Error::Monitor`].
    pub fn stats(&self) -> Result<Stats> {
        let dirs = self.client().cgroups()?.dirs;
        Ok(Stats::read(|file| read_first(&dirs, file)))
    }

    /// A cgroup file from whichever hierarchy has it, read by several names at once.
    ///
    /// # Errors
    /// [`Error::Monitor`].
    pub fn cgroup_reader(&self) -> Result<impl Fn(&str) -> Option<String> + use<>> {
        let dirs = self.client().cgroups()?.dirs;
        Ok(move |file: &str| read_first(&dirs, file))
    }
}

fn open_below(dir: impl AsFd, file: &str, access: OFlag) -> nix::Result<File> {
    let flags = access | OFlag::O_CLOEXEC | OFlag::O_NOFOLLOW;
    openat(dir, file, flags, Mode::empty()).map(File::from)
}

fn read_first(dirs: &[OwnedFd], file: &str) -> Option<String> {
    dirs.iter().find_map(|dir| {
        let mut text = String::new();
        open_below(dir, file, OFlag::O_RDONLY)
            .ok()?
            .read_to_string(&mut text)
            .ok()?;
        Some(text)
    })
}

/// `TYPE MAJOR:MINOR ACCESS`, as in the v1 device files; `a` alone stands for everything.
pub(crate) fn parse_device(rule: &str) -> Option<DeviceAccess> {
    let mut words = rule.split_whitespace();
    let kind = words.next()?;
    let numbers = words.next()?;
    let access = words.next()?;
    let (major, minor) = numbers.split_once(':')?;
    let number = |text: &str| match text {
        "*" => Some(None),
        text => text.parse().ok().map(Some),
    };
    if words.next().is_some() || !access.bytes().all(|b| b"rwm".contains(&b)) {
        return None;
    }
    Some(DeviceAccess {
        block: match kind {
            "b" => true,
            "c" => false,
            _ => return None,
        },
        major: number(major)?,
        minor: number(minor)?,
        read: access.contains('r'),
        write: access.contains('w'),
        mknod: access.contains('m'),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn device_rules_are_read_and_nonsense_is_refused() {
        let rule = parse_device("c 1:* rw");
        assert!(rule.is_some_and(|r| !r.block && r.major == Some(1) && r.minor.is_none()));
        assert!(rule.is_some_and(|r| r.read && r.write && !r.mknod));
        for bad in [
            "",
            "c",
            "c 1:3",
            "x 1:3 rwm",
            "c 1 rwm",
            "c 1:3 rwx",
            "c 1:3 rwm more",
        ] {
            assert!(parse_device(bad).is_none(), "{bad}");
        }
    }
}
