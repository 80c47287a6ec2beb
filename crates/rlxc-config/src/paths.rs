//! The build's directories, in one place.
//!
//! Each can be set when building (`RLXC_SYSCONFDIR=/etc cargo build`); the defaults are those of
//! Debian's LXC packages on x86_64, so that both can share a host.

macro_rules! build_path {
    ($(#[$doc:meta])* $name:ident, $env:literal, $default:literal) => {
        $(#[$doc])*
        pub const $name: &str = match option_env!($env) {
            Some(path) => path,
            None => $default,
        };
    };
}

build_path!(
    /// Host configuration: `lxc/lxc.conf`, `lxc/default.conf`, `lxc/lxc-usernet` live below it.
    SYSCONFDIR, "RLXC_SYSCONFDIR", "/etc"
);
build_path!(
    /// Architecture-dependent data; `lxc/rootfs` below it is the default `lxc.rootfs.mount`.
    LIBDIR, "RLXC_LIBDIR", "/usr/lib/x86_64-linux-gnu"
);
build_path!(
    /// Programs that are not called by users: `lxc/lxc-monitord`, `lxc/lxc-user-nic`, `rlxc/rlxc-monitor`.
    LIBEXECDIR, "RLXC_LIBEXECDIR", "/usr/libexec"
);
build_path!(
    /// Shared data: `lxc/templates`, `lxc/config`, `lxc/hooks`.
    DATADIR, "RLXC_DATADIR", "/usr/share"
);
build_path!(
    /// Variable data: `lib/lxc` (the lxcpath), `log/lxc`, `cache/lxc`.
    LOCALSTATEDIR, "RLXC_LOCALSTATEDIR", "/var"
);
build_path!(
    /// Run-time data: `lxc/lock`, `lxc/nics`.
    RUNDIR, "RLXC_RUNDIR", "/run"
);

/// The default of `lxc.rootfs.mount`: LIBDIR/lxc/rootfs.
pub fn default_rootfs_mount() -> String {
    format!("{LIBDIR}/lxc/rootfs")
}
