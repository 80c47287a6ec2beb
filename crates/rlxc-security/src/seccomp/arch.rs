//! The architectures of policy files: names, audit tokens, system call numbers.

use std::str::FromStr;

use crate::{Error, Result};

/// An architecture (with its ABI) as seccomp tells them apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[allow(missing_docs)]
pub enum Arch {
    X86,
    X86_64,
    X32,
    Arm,
    Arm64,
    Mips,
    Mips64,
    Mips64n32,
    Mipsel,
    Mipsel64,
    Mipsel64n32,
    Ppc,
    Ppc64,
    Ppc64le,
    S390,
    S390x,
    Loongarch64,
    Riscv64,
}

/// The bit that x32 calls carry (and no other x86_64 call does).
pub const X32_BIT: u32 = 0x4000_0000;

/// The sections a policy file may have, with AUDIT_ARCH_* of linux/audit.h.
const SECTIONS: [(&str, Arch, u32); 18] = [
    ("x86", Arch::X86, 0x4000_0003),
    ("x86_64", Arch::X86_64, 0xc000_003e),
    ("x32", Arch::X32, 0xc000_003e),
    ("arm", Arch::Arm, 0x4000_0028),
    ("arm64", Arch::Arm64, 0xc000_00b7),
    ("mips", Arch::Mips, 0x0000_0008),
    ("mips64", Arch::Mips64, 0x8000_0008),
    ("mips64n32", Arch::Mips64n32, 0xa000_0008),
    ("mipsel", Arch::Mipsel, 0x4000_0008),
    ("mipsel64", Arch::Mipsel64, 0xc000_0008),
    ("mipsel64n32", Arch::Mipsel64n32, 0xe000_0008),
    ("ppc", Arch::Ppc, 0x0000_0014),
    ("ppc64", Arch::Ppc64, 0x8000_0015),
    ("ppc64le", Arch::Ppc64le, 0xc000_0015),
    ("s390", Arch::S390, 0x0000_0016),
    ("s390x", Arch::S390x, 0x8000_0016),
    ("loongarch64", Arch::Loongarch64, 0xc000_0102),
    // No section of LXC's; rules for all architectures apply to it.
    ("", Arch::Riscv64, 0xc000_00f3),
];

impl Arch {
    /// The architecture of a section's name in lower case.
    #[must_use]
    pub fn from_section(name: &str) -> Option<Self> {
        SECTIONS
            .iter()
            .find(|(section, ..)| *section == name && !name.is_empty())
            .map(|(_, arch, _)| *arch)
    }

    /// The section's name.
    #[must_use]
    pub fn name(self) -> &'static str {
        SECTIONS
            .iter()
            .find(|(_, arch, _)| *arch == self)
            .map_or(
                "",
                |(name, ..)| if name.is_empty() { "riscv64" } else { name },
            )
    }

    /// AUDIT_ARCH_*
    #[must_use]
    pub fn audit_token(self) -> u32 {
        SECTIONS
            .iter()
            .find(|(_, arch, _)| *arch == self)
            .map_or(0, |(_, _, token)| *token)
    }

    /// Whether arguments have 32 bits.
    #[must_use]
    pub fn bits32(self) -> bool {
        matches!(
            self,
            Self::X86
                | Self::X32
                | Self::Arm
                | Self::Mips
                | Self::Mips64n32
                | Self::Mipsel
                | Self::Mipsel64n32
                | Self::Ppc
                | Self::S390
        )
    }

    /// The architectures whose programs the machine runs, the native one first.
    ///
    /// # Errors
    /// On a machine this crate knows no numbers for.
    pub fn of_machine() -> Result<Vec<Self>> {
        Ok(match std::env::consts::ARCH {
            "x86_64" => vec![Self::X86_64, Self::X86, Self::X32],
            "x86" => vec![Self::X86],
            "aarch64" => vec![Self::Arm64, Self::Arm],
            "arm" => vec![Self::Arm],
            "powerpc64" if cfg!(target_endian = "little") => vec![Self::Ppc64le],
            "powerpc64" => vec![Self::Ppc64, Self::Ppc],
            "powerpc" => vec![Self::Ppc],
            "s390x" => vec![Self::S390x],
            "loongarch64" => vec![Self::Loongarch64],
            "riscv64" => vec![Self::Riscv64],
            arch => return Err(Error::Architecture { arch }),
        })
    }

    /// The number of the system call `name`; `None` if this architecture does not have it, if no table
    /// of it is known, or if this machine does not run its programs: only the tables of the machine's
    /// own family are in the program, since a filter never has others ([`Arch::of_machine`]).
    #[must_use]
    pub fn number(self, name: &str) -> Option<u32> {
        macro_rules! table {
            ($module:ident) => {
                syscalls::$module::Sysno::from_str(name)
                    .ok()
                    .and_then(|sysno| u32::try_from(sysno.id()).ok())
            };
        }
        match self {
            #[cfg(any(target_arch = "x86_64", target_arch = "x86"))]
            Self::X86 => table!(x86),
            #[cfg(target_arch = "x86_64")]
            Self::X86_64 => table!(x86_64),
            #[cfg(target_arch = "x86_64")]
            Self::X32 => x32_number(name, table!(x86_64)),
            #[cfg(any(target_arch = "aarch64", target_arch = "arm"))]
            Self::Arm => table!(arm),
            #[cfg(target_arch = "aarch64")]
            Self::Arm64 => table!(aarch64),
            #[cfg(any(target_arch = "powerpc64", target_arch = "powerpc"))]
            Self::Ppc => table!(powerpc),
            #[cfg(target_arch = "powerpc64")]
            Self::Ppc64 | Self::Ppc64le => table!(powerpc64),
            #[cfg(target_arch = "s390x")]
            Self::S390x => table!(s390x),
            #[cfg(target_arch = "loongarch64")]
            Self::Loongarch64 => table!(loongarch64),
            #[cfg(target_arch = "riscv64")]
            Self::Riscv64 => table!(riscv64),
            _ => None,
        }
    }
}

/// x32 has numbers of its own where structures differ (arch/x86/entry/syscalls/syscall_64.tbl); all others it shares.
#[cfg(target_arch = "x86_64")]
const X32_OWN: [(&str, u32); 36] = [
    ("rt_sigaction", 512),
    ("rt_sigreturn", 513),
    ("ioctl", 514),
    ("readv", 515),
    ("writev", 516),
    ("recvfrom", 517),
    ("sendmsg", 518),
    ("recvmsg", 519),
    ("execve", 520),
    ("ptrace", 521),
    ("rt_sigpending", 522),
    ("rt_sigtimedwait", 523),
    ("rt_sigqueueinfo", 524),
    ("sigaltstack", 525),
    ("timer_create", 526),
    ("mq_notify", 527),
    ("kexec_load", 528),
    ("waitid", 529),
    ("set_robust_list", 530),
    ("get_robust_list", 531),
    ("vmsplice", 532),
    ("move_pages", 533),
    ("preadv", 534),
    ("pwritev", 535),
    ("rt_tgsigqueueinfo", 536),
    ("recvmmsg", 537),
    ("sendmmsg", 538),
    ("process_vm_readv", 539),
    ("process_vm_writev", 540),
    ("setsockopt", 541),
    ("getsockopt", 542),
    ("io_setup", 543),
    ("io_submit", 544),
    ("execveat", 545),
    ("preadv2", 546),
    ("pwritev2", 547),
];

#[cfg(target_arch = "x86_64")]
fn x32_number(name: &str, native: Option<u32>) -> Option<u32> {
    let own = X32_OWN
        .iter()
        .find(|(own, _)| *own == name)
        .map(|(_, number)| *number);
    own.or(native).map(|number| number | X32_BIT)
}

/// The call that carries `name` as a sub-call on 32-bit x86, and its number there (linux/net.h, linux/ipc.h):
/// a rule on `socket` has to hold for `socketcall(SYS_SOCKET, …)` too.
#[must_use]
pub fn multiplexed_x86(name: &str) -> Option<(&'static str, u64)> {
    const SOCKET: [&str; 20] = [
        "socket",
        "bind",
        "connect",
        "listen",
        "accept",
        "getsockname",
        "getpeername",
        "socketpair",
        "send",
        "recv",
        "sendto",
        "recvfrom",
        "shutdown",
        "setsockopt",
        "getsockopt",
        "sendmsg",
        "recvmsg",
        "accept4",
        "recvmmsg",
        "sendmmsg",
    ];
    const IPC: [(&str, u64); 12] = [
        ("semop", 1),
        ("semget", 2),
        ("semctl", 3),
        ("semtimedop", 4),
        ("msgsnd", 11),
        ("msgrcv", 12),
        ("msgget", 13),
        ("msgctl", 14),
        ("shmat", 21),
        ("shmdt", 22),
        ("shmget", 23),
        ("shmctl", 24),
    ];
    if let Some(index) = SOCKET.iter().position(|call| *call == name) {
        return u64::try_from(index + 1)
            .ok()
            .map(|number| ("socketcall", number));
    }
    IPC.iter()
        .find(|(call, _)| *call == name)
        .map(|(_, number)| ("ipc", *number))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(target_arch = "x86_64")]
    #[test]
    fn numbers_of_the_x86_family() {
        assert_eq!(Arch::X86_64.number("read"), Some(0));
        assert_eq!(Arch::X86.number("read"), Some(3));
        assert_eq!(Arch::X32.number("read"), Some(X32_BIT));
        assert_eq!(Arch::X32.number("ioctl"), Some(514 | X32_BIT));
        assert_eq!(Arch::X86_64.number("nonsense"), None);
        assert_eq!(multiplexed_x86("accept4"), Some(("socketcall", 18)));
        assert_eq!(multiplexed_x86("shmctl"), Some(("ipc", 24)));
    }

    #[test]
    fn sections_are_known_by_lower_case_name() {
        assert_eq!(Arch::from_section("mips64n32"), Some(Arch::Mips64n32));
        assert_eq!(Arch::from_section("riscv64"), None);
        assert_eq!(Arch::from_section(""), None);
    }
}
