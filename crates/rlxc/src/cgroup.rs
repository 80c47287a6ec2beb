use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Component, Path};

use nix::errno::Errno;
use nix::fcntl::{OFlag, openat};
use nix::sys::stat::Mode;
use rlxc_cgroup::Stats;
use rlxc_cgroup::devices::{Kind, Rule};
use rlxc_runtime::control::{DeviceAccess, change_all_devices, change_device};

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
            self.need_init_pid()?;
            let rule = Rule::parse(allow, value)
                .map_err(|error| Error::refused(Errno::EINVAL, format!("{file}: {error}")))?;
            match device_access(&rule) {
                Some(access) => change_device(&self.client(), access, allow)?,
                None => change_all_devices(&self.client(), allow)?,
            }
            return Ok(());
        }
        let mut open = self.open_cgroup_file(file, OFlag::O_WRONLY)?;
        // The kernel never sees a write of nothing.
        if value.is_empty() {
            return Err(Error::refused(
                Errno::EINVAL,
                format!("there is nothing to write to the cgroup file {file}"),
            ));
        }
        open.write_all(value.as_bytes())
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

/// `None`: the rule is `a`.
fn device_access(rule: &Rule) -> Option<DeviceAccess> {
    Some(DeviceAccess {
        block: rule.kind? == Kind::Block,
        major: rule.major,
        minor: rule.minor,
        mknod: rule.access & 1 != 0,
        read: rule.access & 2 != 0,
        write: rule.access & 4 != 0,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_becomes_the_access_that_the_monitor_is_asked_for() {
        let access = |text| {
            Rule::parse(true, text)
                .ok()
                .map(|rule| device_access(&rule))
        };
        let null = access("c 1:* rw").flatten();
        assert!(null.is_some_and(|r| !r.block && r.major == Some(1) && r.minor.is_none()));
        assert!(null.is_some_and(|r| r.read && r.write && !r.mknod));
        assert_eq!(access("a"), Some(None));
        assert_eq!(access("/dev/null r"), access("c 1:3 r"));
        assert_eq!(access("x 1:3 rwm"), None);
    }
}
