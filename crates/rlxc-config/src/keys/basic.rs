//! `lxc.autodev*`, `lxc.console.*`, `lxc.sched.core`, `lxc.ephemeral`, `lxc.execute.cmd`, `lxc.group`.

use super::KeyRow;
use crate::value;

/// What LXC mounts when no usable size is given.
const AUTODEV_BYTES: u32 = 500_000;

pub(super) const AUTODEV: &[KeyRow] = &[
    row!("lxc.autodev.tmpfs.size"; "a number of bytes", "500000", "3.1",
        "Size of the tmpfs mounted on /dev.", "1000000",
        |c, _, v| {
            // An unparsable size is no error in LXC either.
            c.autodev.tmpfs_size = value::int(v)
                .ok()
                .and_then(|n| u32::try_from(n).ok())
                .unwrap_or(AUTODEV_BYTES);
            Ok(())
        },
        |c, _| Ok(c.autodev.tmpfs_size.to_string()),
        |c, _| { c.autodev.tmpfs_size = AUTODEV_BYTES; Ok(()) }),
    row!("lxc.autodev"; "0 or 1", "1", "1.0",
        "Whether a minimal /dev (a tmpfs with the usual nodes) is made for the container.", "1",
        |c, _, v| { c.autodev.enabled = !v.is_empty() && value::bool01(v)?; Ok(()) },
        |c, _| Ok(u8::from(c.autodev.enabled).to_string()),
        |c, _| { c.autodev.enabled = true; Ok(()) }),
];

pub(super) const CONSOLE: &[KeyRow] = &[
    row!("lxc.console.buffer.size"; "a size in bytes with KB, MB or GB, or auto", "0 (no buffer)", "3.0",
        "Size of the ring buffer kept of the console's output; rounded up to a power of two of at least a page.", "auto",
        |c, _, v| { c.console.buffer_size = if v.is_empty() { 0 } else { value::buffer_size(v)? }; Ok(()) },
        |c, _| Ok(c.console.buffer_size.to_string()),
        |c, _| { c.console.buffer_size = 0; Ok(()) }),
    path_key!(
        "lxc.console.logfile",
        console.logfile,
        "unset",
        "1.0",
        "File that the console's output is written to.",
        "/var/log/lxc/c1.console"
    ),
    path_key!(
        "lxc.console.path",
        console.path,
        "the starter's /dev/tty",
        "2.1",
        "Terminal that the console is connected to; \"none\" for no console.",
        "none"
    ),
    flag_key!(
        "lxc.console.rotate",
        console.rotate,
        "3.0",
        "Whether the console's log file is rotated when it has reached its size."
    ),
    row!("lxc.console.size"; "a size in bytes with KB, MB or GB, or auto", "0 (unlimited)", "3.0",
        "Largest size of the console's log file; rounded up to a power of two of at least a page.", "1MB",
        |c, _, v| { c.console.log_size = if v.is_empty() { 0 } else { value::buffer_size(v)? }; Ok(()) },
        |c, _| Ok(c.console.log_size.to_string()),
        |c, _| { c.console.log_size = 0; Ok(()) }),
    flag_key!(
        "lxc.sched.core",
        sched_core,
        "4.0.10",
        "Whether the container gets a core scheduling cookie of its own (needs its own pid namespace)."
    ),
];

pub(super) const EXECUTE: &[KeyRow] = &[
    flag_key!(
        "lxc.ephemeral",
        ephemeral,
        "2.1",
        "Whether the container is destroyed after it has stopped."
    ),
    text_key!(
        "lxc.execute.cmd",
        execute_cmd,
        "a command line",
        "unset",
        "3.0",
        "Command that lxc-execute runs when none is given.",
        "/bin/sh -c 'exec top'"
    ),
    row!("lxc.group", list; "names separated by blanks", "none", "1.0",
        "Groups that the container belongs to, for lxc-autostart.", "onboot web",
        |c, _, v| {
            if v.is_empty() { c.groups.clear(); }
            c.groups.extend(v.split([' ', '\t']).filter(|w| !w.is_empty()).map(str::to_owned));
            Ok(())
        },
        |c, _| Ok(super::lines(&c.groups)),
        |c, _| { c.groups.clear(); Ok(()) }),
];
