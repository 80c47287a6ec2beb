//! `lxc.arch`, `lxc.apparmor.*`, `lxc.cap.*`, `lxc.seccomp.*`, `lxc.selinux.*`.

use super::{Fault, KeyRow, lines};
use crate::config::Personality;
use crate::error::ValueError;

const ARCH_32: &[&str] = &[
    "arm", "armel", "armhf", "armv7l", "athlon", "i386", "i486", "i586", "i686", "linux32", "mips",
    "mipsel", "ppc", "powerpc", "x32", "x86",
];
const ARCH_64: &[&str] = &[
    "aarch64",
    "amd64",
    "arm64",
    "linux64",
    "loongarch64",
    "loong64",
    "mips64",
    "mips64el",
    "ppc64",
    "ppc64el",
    "ppc64le",
    "powerpc64",
    "riscv64",
    "s390x",
    "x86_64",
];

/// Capabilities by number (capabilities(7)), without `cap_`.
pub const CAPABILITIES: [&str; 41] = [
    "chown",
    "dac_override",
    "dac_read_search",
    "fowner",
    "fsetid",
    "kill",
    "setgid",
    "setuid",
    "setpcap",
    "linux_immutable",
    "net_bind_service",
    "net_broadcast",
    "net_admin",
    "net_raw",
    "ipc_lock",
    "ipc_owner",
    "sys_module",
    "sys_rawio",
    "sys_chroot",
    "sys_ptrace",
    "sys_pacct",
    "sys_admin",
    "sys_boot",
    "sys_nice",
    "sys_resource",
    "sys_time",
    "sys_tty_config",
    "mknod",
    "lease",
    "audit_write",
    "audit_control",
    "setfcap",
    "mac_override",
    "mac_admin",
    "syslog",
    "wake_alarm",
    "block_suspend",
    "audit_read",
    "perfmon",
    "bpf",
    "checkpoint_restore",
];

pub(super) const ARCH_APPARMOR: &[KeyRow] = &[
    row!("lxc.arch"; "the name of an architecture", "the host's", "0.1",
        "Execution domain of the container: makes a 64-bit host look like 32 bits to it, or the reverse.", "i686",
        |c, _, v| {
            c.arch = Some(if ARCH_32.contains(&v) {
                Personality::Linux32
            } else if ARCH_64.contains(&v) {
                Personality::Linux
            } else {
                return Err(ValueError::new(format!(
                    "expected one of {} {}", ARCH_32.join(" "), ARCH_64.join(" "))).into());
            });
            Ok(())
        },
        |c, _| Ok(match c.arch {
            Some(Personality::Linux32) => "i686",
            Some(Personality::Linux) => "x86_64",
            None => "",
        }.to_owned()),
        |c, _| { c.arch = None; Ok(()) }),
    text_key!(
        "lxc.apparmor.profile",
        apparmor.profile,
        "a profile's name, unconfined, unchanged or generated",
        "lxc-container-default-cgns",
        "2.1",
        "AppArmor profile of the container.",
        "unconfined"
    ),
    flag_key!(
        "lxc.apparmor.allow_incomplete",
        apparmor.allow_incomplete,
        "2.1",
        "Whether to start although the kernel's AppArmor lacks mount mediation."
    ),
    flag_key!(
        "lxc.apparmor.allow_nesting",
        apparmor.allow_nesting,
        "3.1",
        "Whether a generated profile permits containers inside; also mounts a second proc and sys for them."
    ),
    list_key!(
        "lxc.apparmor.raw",
        apparmor.raw,
        "one line of an AppArmor profile",
        "3.1",
        "Line added to a generated profile.",
        "deny /secret/** rwx,"
    ),
];

/// Whether `word` is a capability's name or a number of one.
fn known_capability(word: &str) -> bool {
    CAPABILITIES.contains(&word)
        || crate::value::uint(word).is_ok_and(|n| (n as usize) < CAPABILITIES.len())
}

/// Takes the words up to a wrong one, as LXC does, and tells of that.
fn words(value: &str, none_allowed: bool, mut take: impl FnMut(&str)) -> Result<(), Fault> {
    for word in value.split([' ', '\t']).filter(|w| !w.is_empty()) {
        if !(known_capability(word) || none_allowed && word == "none") {
            return Err(ValueError::expected(
                "a capability's name in lower case without \"cap_\", or its number",
            )
            .at(value, word)
            .into());
        }
        take(word);
    }
    Ok(())
}

pub(super) const CAPS: &[KeyRow] = &[
    row!("lxc.cap.drop", list; "names or numbers of capabilities, separated by blanks", "none", "0.6",
        "Capabilities that the container does not get.", "sys_module mac_admin",
        |c, _, v| {
            if v.is_empty() {
                (c.caps.drop, c.caps.keep) = (Vec::new(), None);
                return Ok(());
            }
            if c.caps.keep.is_some() {
                return Err(ValueError::expected("only one of lxc.cap.drop and lxc.cap.keep").into());
            }
            words(v, false, |word| c.caps.drop.push(word.to_owned()))
        },
        |c, _| Ok(lines(&c.caps.drop)),
        |c, _| { (c.caps.drop, c.caps.keep) = (Vec::new(), None); Ok(()) }),
    row!("lxc.cap.keep", list; "names or numbers of capabilities, separated by blanks; none to empty the list", "all", "1.0",
        "The only capabilities that the container gets.", "chown kill setuid",
        |c, _, v| {
            if v.is_empty() {
                (c.caps.drop, c.caps.keep) = (Vec::new(), None);
                return Ok(());
            }
            if !c.caps.drop.is_empty() {
                return Err(ValueError::expected("only one of lxc.cap.drop and lxc.cap.keep").into());
            }
            words(v, true, |word| {
                let keep = c.caps.keep.get_or_insert_default();
                if word == "none" { keep.clear(); } else { keep.push(word.to_owned()); }
            })
        },
        |c, _| Ok(c.caps.keep.as_deref().map(lines).unwrap_or_default()),
        |c, _| { (c.caps.drop, c.caps.keep) = (Vec::new(), None); Ok(()) }),
];

/// The longest name of a Unix socket (unix(7)).
const SOCKET_NAME: usize = 107;

pub(super) const SECCOMP_SELINUX: &[KeyRow] = &[
    flag_key!(
        "lxc.seccomp.allow_nesting",
        seccomp.allow_nesting,
        "4.0.0",
        "Whether the policy is loaded although the starter is confined by one already."
    ),
    text_key!(
        "lxc.seccomp.notify.cookie",
        seccomp.notify_cookie,
        "text",
        "unset",
        "4.0.0",
        "Text sent along with each request to the seccomp proxy.",
        "token"
    ),
    row!("lxc.seccomp.notify.proxy"; "unix:/PATH or unix:@NAME", "unset", "3.2",
        "Socket of the program that answers system calls the policy hands to user space.", "unix:/run/proxy.sock",
        |c, _, v| {
            if v.is_empty() { c.seccomp.notify_proxy = None; return Ok(()); }
            match v.strip_prefix("unix:") {
                Some(address) if address.len() > SOCKET_NAME => {
                    Err(ValueError::expected("a socket's name of at most 107 bytes").into())
                }
                Some(address) if address.len() > 1 && address.starts_with(['/', '@']) => {
                    c.seccomp.notify_proxy = Some(address.to_owned());
                    Ok(())
                }
                _ => Err(ValueError::expected("unix:/PATH or unix:@NAME").into()),
            }
        },
        |c, _| Ok(c.seccomp.notify_proxy.as_deref()
            .map(|a| a.strip_prefix('@').unwrap_or(a).to_owned()).unwrap_or_default()),
        |c, _| { c.seccomp.notify_proxy = None; Ok(()) }),
    path_key!(
        "lxc.seccomp.profile",
        seccomp.profile,
        "unset",
        "2.1",
        "File with the seccomp policy.",
        "/usr/share/lxc/config/common.seccomp"
    ),
    text_key!(
        "lxc.selinux.context.keyring",
        selinux.context_keyring,
        "an SELinux context",
        "that of lxc.selinux.context",
        "3.1",
        "SELinux context of the container's session keyring.",
        "system_u:system_r:lxc_t:s0"
    ),
    text_key!(
        "lxc.selinux.context",
        selinux.context,
        "an SELinux context",
        "unset",
        "2.1",
        "SELinux context of the container.",
        "system_u:system_r:lxc_t:s0:c22"
    ),
];
