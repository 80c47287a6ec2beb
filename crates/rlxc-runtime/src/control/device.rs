use std::fs::File;
use std::io::Write;

use nix::errno::Errno;
use nix::fcntl::{OFlag, openat};
use nix::sys::stat::Mode;
use rlxc_monitor::protocol::DeviceRule;
use rlxc_monitor::{Client, Error};

use super::ControlError;

/// A device that a running container is to get, or to lose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeviceAccess {
    /// A block device; else a character device
    pub block: bool,
    /// Major number, `None` = any
    pub major: Option<u32>,
    /// Minor number, `None` = any
    pub minor: Option<u32>,
    /// Reading
    pub read: bool,
    /// Writing
    pub write: bool,
    /// Making nodes
    pub mknod: bool,
}

/// Allows or denies a device: by the v1 devices cgroup where there is one, else by the monitor's
/// device program.
///
/// # Errors
/// [`ControlError::Monitor`] with EINVAL when the container has neither; [`ControlError::Call`].
pub fn change_device(
    client: &Client,
    device: DeviceAccess,
    allow: bool,
) -> Result<(), ControlError> {
    change(client, &device.text(), &device.rule(allow), allow)
}

/// Allows or denies everything, which makes all earlier rules void.
///
/// # Errors
/// As [`change_device`].
pub fn change_all_devices(client: &Client, allow: bool) -> Result<(), ControlError> {
    let rule = DeviceRule {
        kind: b'a',
        major: -1,
        minor: -1,
        access: *b"rwm\0",
        allow: i32::from(allow),
    };
    change(client, "a", &rule, allow)
}

fn change(client: &Client, text: &str, rule: &DeviceRule, allow: bool) -> Result<(), ControlError> {
    match client.cgroup_fd("devices", true) {
        Ok((_, dir)) => {
            let file = if allow {
                "devices.allow"
            } else {
                "devices.deny"
            };
            let flags = OFlag::O_WRONLY | OFlag::O_CLOEXEC;
            let written = match openat(&dir, file, flags, Mode::empty()) {
                // A cgroup2 has the device program instead.
                Err(Errno::ENOENT) => return Ok(client.add_device_rule(rule)?),
                Err(errno) => Err(errno.into()),
                Ok(fd) => File::from(fd).write_all(text.as_bytes()),
            };
            written.map_err(ControlError::call("change the devices of", client.name()))
        }
        Err(Error::Refused {
            errno: Errno::ENOENT | Errno::EINVAL,
            ..
        }) => Ok(client.add_device_rule(rule)?),
        Err(error) => Err(error.into()),
    }
}

impl DeviceAccess {
    fn letters(&self) -> impl Iterator<Item = u8> {
        [(self.read, b'r'), (self.write, b'w'), (self.mknod, b'm')]
            .into_iter()
            .filter_map(|(wanted, letter)| wanted.then_some(letter))
    }

    fn kind(&self) -> u8 {
        if self.block { b'b' } else { b'c' }
    }

    fn text(&self) -> String {
        let number = |n: Option<u32>| n.map_or_else(|| "*".to_owned(), |n| n.to_string());
        let letters: String = self.letters().map(char::from).collect();
        let kind = char::from(self.kind());
        format!(
            "{kind} {}:{} {letters}",
            number(self.major),
            number(self.minor)
        )
    }

    fn rule(&self, allow: bool) -> DeviceRule {
        let number = |n: Option<u32>| n.and_then(|n| i32::try_from(n).ok()).unwrap_or(-1);
        let mut access = [0; 4];
        for (slot, letter) in access.iter_mut().zip(self.letters()) {
            *slot = letter;
        }
        DeviceRule {
            kind: self.kind(),
            major: number(self.major),
            minor: number(self.minor),
            access,
            allow: i32::from(allow),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_reads_the_same_in_both_languages() {
        let device = DeviceAccess {
            block: false,
            major: Some(10),
            minor: None,
            read: true,
            write: false,
            mknod: true,
        };
        assert_eq!(device.text(), "c 10:* rm");
        let rule = device.rule(true);
        assert_eq!((rule.kind, rule.major, rule.minor), (b'c', 10, -1));
        assert_eq!((&rule.access, rule.allow), (b"rm\0\0", 1));
        assert_eq!(DeviceRule::decode(&rule.encode()), Ok(rule));
    }
}
