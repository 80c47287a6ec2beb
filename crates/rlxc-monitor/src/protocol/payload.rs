//! The payloads that are structs.

use nix::errno::Errno;

use super::{MAX_CGROUP_FDS, Malformed, check_size, field, i32_at, put, u32_at, u64_at};
use crate::state::{State, StateSet};

/// The payload of `ADD_STATE_CLIENT`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct StateWish {
    /// Which states to tell about
    pub states: StateSet,
    /// Whether the wish outlives a reboot of the container
    pub over_reboot: bool,
}

impl StateWish {
    const SIZE: usize = 4 * State::COUNT;

    /// The payload's bytes.
    pub fn encode(&self) -> [u8; Self::SIZE] {
        let mut bytes = [0; Self::SIZE];
        for state in State::ALL {
            let value: i32 = match (self.states.contains(state), self.over_reboot) {
                (false, _) => 0,
                (true, false) => 1,
                (true, true) => 2,
            };
            put(&mut bytes, 4 * state as usize, value.to_ne_bytes());
        }
        bytes
    }

    /// Reads the payload; the entry of RUNNING says whether it outlives a reboot.
    ///
    /// # Errors
    /// A wrong size, or an entry that is not 0, 1 or 2.
    pub fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        check_size(bytes, Self::SIZE)?;
        let mut wish = Self::default();
        for state in State::ALL {
            let value = i32_at(bytes, 4 * state as usize);
            if !(0..=2).contains(&value) {
                return Err(Malformed::Value {
                    field: "state",
                    value: i64::from(value),
                });
            }
            if value != 0 {
                wish.states = wish.states.with(state);
            }
            wish.over_reboot |= state == State::Running && value == 2;
        }
        Ok(wish)
    }
}

/// The payload of `CONSOLE_LOG`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ConsoleLogRequest {
    /// Empty the buffer
    pub clear: bool,
    /// Return its contents
    pub read: bool,
    /// At most so many bytes; 0 = all
    pub read_max: u64,
    /// Without effect in LXC 7
    pub write_logfile: bool,
}

impl ConsoleLogRequest {
    const SIZE: usize = 24;

    /// The payload's bytes.
    pub fn encode(&self) -> [u8; Self::SIZE] {
        let mut bytes = [0; Self::SIZE];
        bytes[0] = u8::from(self.clear);
        bytes[1] = u8::from(self.read);
        put(&mut bytes, 8, self.read_max.to_ne_bytes());
        bytes[16] = u8::from(self.write_logfile);
        bytes
    }

    /// Reads the payload.
    ///
    /// # Errors
    /// A wrong size.
    pub fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        check_size(bytes, Self::SIZE)?;
        Ok(Self {
            clear: bytes[0] != 0,
            read: bytes[1] != 0,
            read_max: u64_at(bytes, 8),
            write_logfile: bytes[16] != 0,
        })
    }
}

/// The payload of `ADD_BPF_DEVICE_CGROUP`: one device rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeviceRule {
    /// `a`, `b` or `c`
    pub kind: u8,
    /// Major number, −1 = any
    pub major: i32,
    /// Minor number, −1 = any
    pub minor: i32,
    /// Letters of `rwm`, padded with NUL
    pub access: [u8; 4],
    /// 1 allow, 0 deny; −1 the list's kind changes (as LXC uses it)
    pub allow: i32,
}

impl DeviceRule {
    const SIZE: usize = 40;

    /// The payload's bytes.
    pub fn encode(&self) -> [u8; Self::SIZE] {
        let mut bytes = [0; Self::SIZE];
        bytes[0] = self.kind;
        put(&mut bytes, 4, self.major.to_ne_bytes());
        put(&mut bytes, 8, self.minor.to_ne_bytes());
        put(&mut bytes, 12, self.access);
        put(&mut bytes, 16, self.allow.to_ne_bytes());
        bytes
    }

    /// Reads the payload.
    ///
    /// # Errors
    /// A wrong size, an unknown type, or access letters other than `rwm`.
    pub fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        check_size(bytes, Self::SIZE)?;
        let access: [u8; 4] = field(bytes, 12);
        let used = access.iter().position(|b| *b == 0).unwrap_or(access.len());
        let wrong = access[..used].iter().find(|b| !b"rwm".contains(b));
        if let Some(letter) = wrong.copied().or((used == 4).then_some(access[3])) {
            return Err(Malformed::Value {
                field: "access",
                value: i64::from(letter),
            });
        }
        if !b"abc".contains(&bytes[0]) {
            return Err(Malformed::Value {
                field: "device type",
                value: i64::from(bytes[0]),
            });
        }
        Ok(Self {
            kind: bytes[0],
            major: i32_at(bytes, 4),
            minor: i32_at(bytes, 8),
            access,
            allow: i32_at(bytes, 16),
        })
    }
}

/// How the cgroup hierarchies are laid out, as numbered on the wire.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[repr(i32)]
pub enum CgroupLayout {
    /// Not known
    #[default]
    Unknown = -1,
    /// v1 only
    Legacy = 0,
    /// v1 and v2
    Hybrid = 1,
    /// v2 only
    Unified = 2,
}

impl CgroupLayout {
    fn from_number(number: i32) -> Result<Self, Malformed> {
        match number {
            -1 => Ok(Self::Unknown),
            0 => Ok(Self::Legacy),
            1 => Ok(Self::Hybrid),
            2 => Ok(Self::Unified),
            _ => Err(Malformed::Value {
                field: "cgroup layout",
                value: i64::from(number),
            }),
        }
    }
}

/// `struct cgroup_ctx`: the fixed part of `GET_CGROUP_CTX`; descriptors travel beside it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CgroupCtx {
    /// The host's layout
    pub layout: CgroupLayout,
    /// Bit 0: device rules usable; bit 1: freezer usable
    pub utilities: u32,
    /// How many descriptors come along (at most [`MAX_CGROUP_FDS`])
    pub fd_len: u32,
}

impl CgroupCtx {
    /// Size in bytes.
    pub const SIZE: usize = 96;

    /// The struct's bytes; the descriptor slots hold −EBADF, as they mean nothing to the peer.
    pub fn encode(&self) -> [u8; Self::SIZE] {
        let mut bytes = [0; Self::SIZE];
        put(&mut bytes, 0, (self.layout as i32).to_ne_bytes());
        put(&mut bytes, 4, self.utilities.to_ne_bytes());
        put(&mut bytes, 8, self.fd_len.to_ne_bytes());
        for slot in 0..MAX_CGROUP_FDS {
            put(
                &mut bytes,
                12 + 4 * slot,
                (-(Errno::EBADF as i32)).to_ne_bytes(),
            );
        }
        bytes
    }

    /// Reads the struct.
    ///
    /// # Errors
    /// A wrong size, an unknown layout, more than [`MAX_CGROUP_FDS`] descriptors.
    pub fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        check_size(bytes, Self::SIZE)?;
        let fd_len = u32_at(bytes, 8);
        if fd_len as usize > MAX_CGROUP_FDS {
            return Err(Malformed::Value {
                field: "fd_len",
                value: i64::from(fd_len),
            });
        }
        Ok(Self {
            layout: CgroupLayout::from_number(i32_at(bytes, 0))?,
            utilities: u32_at(bytes, 4),
            fd_len,
        })
    }
}

/// `struct cgroup_fd`: request and answer of `GET_CGROUP_FD` and `GET_LIMIT_CGROUP_FD`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CgroupFd {
    /// The host's layout
    pub layout: CgroupLayout,
    /// As in [`CgroupCtx`]
    pub utilities: u32,
    /// File system magic: 0x27e0eb cgroup v1, 0x63677270 cgroup2
    pub fs_type: u32,
    /// Controller, at most 63 bytes
    pub controller: String,
}

impl CgroupFd {
    /// Size in bytes.
    pub const SIZE: usize = 80;

    /// The struct's bytes.
    pub fn encode(&self) -> [u8; Self::SIZE] {
        let mut bytes = [0; Self::SIZE];
        put(&mut bytes, 0, (self.layout as i32).to_ne_bytes());
        put(&mut bytes, 4, self.utilities.to_ne_bytes());
        put(&mut bytes, 8, self.fs_type.to_ne_bytes());
        put(&mut bytes, 12, (-(Errno::EBADF as i32)).to_ne_bytes());
        let name = self.controller.as_bytes();
        for (to, from) in bytes[16..Self::SIZE - 1].iter_mut().zip(name) {
            *to = *from;
        }
        bytes
    }

    /// Reads the struct.
    ///
    /// # Errors
    /// A wrong size, or a controller that is empty, unterminated or not UTF-8. The layout of a
    /// request means nothing and is not checked.
    pub fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        check_size(bytes, Self::SIZE)?;
        let name = &bytes[16..];
        let end = name.iter().position(|b| *b == 0).ok_or(Malformed::Text)?;
        let controller = std::str::from_utf8(&name[..end]).map_err(|_| Malformed::Text)?;
        if controller.is_empty() {
            return Err(Malformed::Text);
        }
        Ok(Self {
            layout: CgroupLayout::from_number(i32_at(bytes, 0)).unwrap_or_default(),
            utilities: u32_at(bytes, 4),
            fs_type: u32_at(bytes, 8),
            controller: controller.to_owned(),
        })
    }
}
