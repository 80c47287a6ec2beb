//! Frames of the command socket: pure encode and decode, native byte order, everything checked.

mod message;
mod payload;

use nix::errno::Errno;

pub use message::{Event, Message};
pub use payload::{CgroupCtx, CgroupFd, CgroupLayout, ConsoleLogRequest, DeviceRule, StateWish};

/// Size of a request's and of a response's header in bytes.
pub const HEADER: usize = 16;
/// Largest payload of a request, and of a response that is not `CONSOLE_LOG`'s, in bytes.
pub const MAX_PAYLOAD: usize = 8192;
/// Size of the message about one event, in bytes.
pub const MESSAGE: usize = 264;
/// In the data of a STOP request (LXC sends and reads nothing there): the asker waits for the
/// monitor's end and then removes the cgroups that the monitor was in.
///
/// A monitor that knows this answers at once with its pidfd and the directories (one a line); to
/// leave a v1 cgroup itself would cost it a grace period of the kernel, for which every stop waits.
pub const STOP_AND_TIDY: i32 = 0x786c_7201;
/// Most cgroup directories in one `GET_CGROUP_CTX` answer.
pub const MAX_CGROUP_FDS: usize = 20;

/// Bytes that break the protocol.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// A payload length below zero or above the limit
    #[error("payload length {0} is out of range")]
    Length(i32),
    /// A payload of the wrong length
    #[error("payload of {got} bytes instead of {wanted}")]
    Size {
        /// What came
        got: usize,
        /// What the command needs
        wanted: usize,
    },
    /// A string without its NUL, or with one inside, or not UTF-8
    #[error("payload is no NUL-terminated string")]
    Text,
    /// A number outside of its range
    #[error("{field} has the invalid value {value}")]
    Value {
        /// Which number
        field: &'static str,
        /// What came
        value: i64,
    },
    /// Other descriptors than announced
    #[error("{got} descriptors instead of {wanted}")]
    Descriptors {
        /// How many came
        got: usize,
        /// How many should have
        wanted: usize,
    },
}

macro_rules! commands {
    ($($(#[$doc:meta])* $variant:ident = $number:literal, $name:literal;)*) => {
        /// The commands, numbered as on the wire.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u8)]
        pub enum Command { $($(#[$doc])* $variant = $number,)* }

        impl Command {
            /// All, in the order of their numbers.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// Its name in logs.
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }
        }
    };
}

commands! {
    /// Give a tty or the console to the asker, for as long as the connection lives
    GetTtyFd = 0, "get_tty_fd";
    /// Without meaning today
    TerminalWinch = 1, "terminal_winch";
    /// Signal init to end at once
    Stop = 2, "stop";
    /// Current state
    GetState = 3, "get_state";
    /// Init's pid
    GetInitPid = 4, "get_init_pid";
    /// CLONE_NEW* mask of the container's own namespaces
    GetCloneFlags = 5, "get_clone_flags";
    /// Path of the container's cgroup
    GetCgroup = 6, "get_cgroup";
    /// Value of a configuration key
    GetConfigItem = 7, "get_config_item";
    /// The container's name
    GetName = 8, "get_name";
    /// The container's lxcpath
    GetLxcpath = 9, "get_lxcpath";
    /// Tell me when one of these states is reached
    AddStateClient = 10, "add_state_client";
    /// Read or clear the console's ring buffer
    ConsoleLog = 11, "console_log";
    /// A state was reached by the asker's doing: tell the others
    ServeStateClients = 12, "serve_state_clients";
    /// Hand a seccomp notify descriptor to the monitor
    SeccompNotifyAddListener = 13, "seccomp_notify_add_listener";
    /// Add one device rule to the BPF program
    AddBpfDeviceCgroup = 14, "add_bpf_device_cgroup";
    /// Freeze (cgroup v2)
    Freeze = 15, "freeze";
    /// Thaw (cgroup v2)
    Unfreeze = 16, "unfreeze";
    /// Descriptor of the container's cgroup2 directory
    GetCgroup2Fd = 17, "get_cgroup2_fd";
    /// pidfd of init
    GetInitPidfd = 18, "get_init_pidfd";
    /// Path of the cgroup that carries the limits
    GetLimitCgroup = 19, "get_limit_cgroup";
    /// Descriptor of the cgroup2 directory that carries the limits
    GetLimitCgroup2Fd = 20, "get_limit_cgroup2_fd";
    /// Descriptor of the container's devpts mount
    GetDevptsFd = 21, "get_devpts_fd";
    /// The seccomp notify descriptor
    GetSeccompNotifyFd = 22, "get_seccomp_notify_fd";
    /// Descriptors of the container's cgroups in every hierarchy
    GetCgroupCtx = 23, "get_cgroup_ctx";
    /// Descriptor of one controller's cgroup
    GetCgroupFd = 24, "get_cgroup_fd";
    /// Descriptor of one controller's cgroup with the limits
    GetLimitCgroupFd = 25, "get_limit_cgroup_fd";
    /// Base name of the systemd scope that the monitor runs in
    GetSystemdScope = 26, "get_systemd_scope";
}

impl Command {
    /// Its number on the wire.
    pub fn number(self) -> i32 {
        i32::from(self as u8)
    }

    /// The command with that number.
    pub fn from_number(number: i32) -> Option<Self> {
        usize::try_from(number)
            .ok()
            .and_then(|n| Self::ALL.get(n))
            .copied()
    }
}

/// Reads `N` bytes at `at`; zeros where `bytes` ends early (callers check the size first).
fn field<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    let mut out = [0; N];
    if let Some(from) = bytes.get(at..at + N) {
        out.copy_from_slice(from);
    }
    out
}

fn i32_at(bytes: &[u8], at: usize) -> i32 {
    i32::from_ne_bytes(field(bytes, at))
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_ne_bytes(field(bytes, at))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_ne_bytes(field(bytes, at))
}

fn put<const N: usize>(bytes: &mut [u8], at: usize, value: [u8; N]) {
    if let Some(to) = bytes.get_mut(at..at + N) {
        to.copy_from_slice(&value);
    }
}

fn check_size(bytes: &[u8], wanted: usize) -> Result<(), Malformed> {
    if bytes.len() == wanted {
        return Ok(());
    }
    Err(Malformed::Size {
        got: bytes.len(),
        wanted,
    })
}

/// A small integer in a header's pointer-sized word: sign-extended, as a C `long` cast to a pointer.
fn word(value: i32) -> u64 {
    i64::from(value) as u64
}

/// The header of a request; `datalen` bytes of payload follow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Request {
    /// Number of the command; need not be a known one
    pub command: i32,
    /// Length of the payload in bytes
    pub datalen: usize,
    /// A small integer when there is no payload
    pub data: i32,
}

impl Request {
    /// A request without payload.
    pub fn number(command: Command, data: i32) -> Self {
        Self {
            command: command.number(),
            datalen: 0,
            data,
        }
    }

    /// A request with a payload of `datalen` bytes (at most [`MAX_PAYLOAD`]).
    pub fn payload(command: Command, datalen: usize) -> Self {
        Self {
            command: command.number(),
            datalen,
            data: 0,
        }
    }

    /// The header's bytes.
    pub fn encode(&self) -> [u8; HEADER] {
        encode_header(self.command, self.datalen, word(self.data))
    }

    /// Reads a header.
    ///
    /// # Errors
    /// [`Malformed::Length`] for a payload length below zero or above [`MAX_PAYLOAD`].
    pub fn decode(bytes: &[u8; HEADER]) -> Result<Self, Malformed> {
        Ok(Self {
            command: i32_at(bytes, 0),
            datalen: payload_length(i32_at(bytes, 4), MAX_PAYLOAD)?,
            data: u64_at(bytes, 8) as i32,
        })
    }
}

/// The header of a response; `datalen` bytes of payload follow, descriptors come with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Response {
    /// 0, or an errno below zero
    pub ret: i32,
    /// Length of the payload in bytes
    pub datalen: usize,
    /// A small integer when there is no payload
    pub data: i32,
}

impl Response {
    /// Success with a small integer.
    pub fn number(data: i32) -> Self {
        Self {
            ret: 0,
            datalen: 0,
            data,
        }
    }

    /// Success with a payload of `datalen` bytes.
    pub fn payload(datalen: usize) -> Self {
        Self {
            ret: 0,
            datalen,
            data: 0,
        }
    }

    /// Failure.
    pub fn error(errno: Errno) -> Self {
        Self {
            ret: -(errno as i32),
            datalen: 0,
            data: 0,
        }
    }

    /// The header's bytes.
    pub fn encode(&self) -> [u8; HEADER] {
        encode_header(self.ret, self.datalen, word(self.data))
    }

    /// Reads the header of an answer to `command`.
    ///
    /// # Errors
    /// [`Malformed::Length`] for a payload length below zero, or above [`MAX_PAYLOAD`] for other
    /// commands than `CONSOLE_LOG`.
    pub fn decode(command: Command, bytes: &[u8; HEADER]) -> Result<Self, Malformed> {
        let limit = match command {
            Command::ConsoleLog => i32::MAX as usize,
            _ => MAX_PAYLOAD,
        };
        Ok(Self {
            ret: i32_at(bytes, 0),
            datalen: payload_length(i32_at(bytes, 4), limit)?,
            data: u64_at(bytes, 8) as i32,
        })
    }
}

fn encode_header(first: i32, datalen: usize, data: u64) -> [u8; HEADER] {
    let mut bytes = [0; HEADER];
    put(&mut bytes, 0, first.to_ne_bytes());
    let datalen = i32::try_from(datalen).unwrap_or(i32::MAX);
    put(&mut bytes, 4, datalen.to_ne_bytes());
    put(&mut bytes, 8, data.to_ne_bytes());
    bytes
}

fn payload_length(datalen: i32, limit: usize) -> Result<usize, Malformed> {
    match usize::try_from(datalen) {
        Ok(length) if length <= limit => Ok(length),
        _ => Err(Malformed::Length(datalen)),
    }
}

/// A string payload: the text and its NUL.
pub fn encode_text(text: &str) -> Vec<u8> {
    let mut bytes = text.as_bytes().to_vec();
    bytes.push(0);
    bytes
}

/// Reads a string payload.
///
/// # Errors
/// [`Malformed::Text`] when the last byte is not the only NUL, or the text is not UTF-8.
pub fn decode_text(bytes: &[u8]) -> Result<&str, Malformed> {
    let (last, text) = bytes.split_last().ok_or(Malformed::Text)?;
    if *last != 0 || text.contains(&0) {
        return Err(Malformed::Text);
    }
    std::str::from_utf8(text).map_err(|_| Malformed::Text)
}

#[cfg(test)]
mod tests;
