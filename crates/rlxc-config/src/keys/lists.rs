//! `lxc.environment*` and `lxc.hook*`.

use super::{Fault, KeyRow, lines};
use crate::config::{Config, HookKind, Pairs};
use crate::error::ValueError;
use crate::value;

/// `NAME=VALUE`, or `NAME` to take it from the caller's environment now.
fn environment(list: &mut Pairs, value: &str) -> Result<(), Fault> {
    if value.is_empty() {
        list.clear();
        return Ok(());
    }
    match memchr::memchr(b'=', value.as_bytes()) {
        Some(at) => list.push(&value[..at], &value[at + 1..]),
        None => {
            let inherited = std::env::var_os(value).ok_or_else(|| {
                ValueError::new(format!(
                    "expected NAME=VALUE, or a name that is set in the caller's environment: {value} is not"
                ))
                .errno(libc::ENOENT)
            })?;
            let inherited = inherited.to_str().ok_or_else(|| {
                ValueError::new(format!("the caller's {value} is not UTF-8")).errno(libc::EILSEQ)
            })?;
            list.push(value, inherited);
        }
    }
    Ok(())
}

macro_rules! environment_key {
    ($name:literal, $field:ident, $since:literal, $doc:literal) => {
        row!($name, list; "NAME=VALUE, or NAME to inherit", "none", $since, $doc, "LANG=C.UTF-8",
            |c, _, v| environment(&mut c.$field, v),
            |c, _| Ok(lines(c.$field.iter().map(|(n, v)| format!("{n}={v}")))),
            |c, _| { c.$field.clear(); Ok(()) })
    };
}

pub(super) const ENVIRONMENT: &[KeyRow] = &[
    environment_key!(
        "lxc.environment.runtime",
        environment_runtime,
        "6.0",
        "Environment variable for the container's init only."
    ),
    environment_key!(
        "lxc.environment.hooks",
        environment_hooks,
        "6.0",
        "Environment variable for hooks only."
    ),
    environment_key!(
        "lxc.environment",
        environment,
        "1.1",
        "Environment variable for the container's init, for hooks and for attached processes."
    ),
];

fn set_hook(c: &mut Config, kind: HookKind, value: &str) {
    if value.is_empty() {
        c.hooks.by_kind.remove(&kind);
    } else {
        c.hooks
            .by_kind
            .entry(kind)
            .or_default()
            .push(value.to_owned());
    }
}

macro_rules! hook_key {
    ($name:literal, $kind:ident, $since:literal, $doc:literal) => {
        row!($name, list; "a command line, run by sh -c", "none", $since, $doc, "/usr/local/bin/hook --verbose",
            |c, _, v| { set_hook(c, HookKind::$kind, v); Ok(()) },
            |c, _| Ok(c.hooks.by_kind.get(&HookKind::$kind).map(lines).unwrap_or_default()),
            |c, _| { c.hooks.by_kind.remove(&HookKind::$kind); Ok(()) })
    };
}

pub(super) const HOOKS: &[KeyRow] = &[
    hook_key!(
        "lxc.hook.autodev",
        Autodev,
        "0.9",
        "Run in the container's namespaces when /dev has been set up."
    ),
    hook_key!(
        "lxc.hook.clone",
        Clone,
        "0.9",
        "Run when the container is cloned."
    ),
    hook_key!(
        "lxc.hook.destroy",
        Destroy,
        "1.1",
        "Run when the container is destroyed."
    ),
    hook_key!(
        "lxc.hook.mount",
        Mount,
        "0.8",
        "Run in the container's mount namespace after mounting, before the root is changed."
    ),
    hook_key!(
        "lxc.hook.post-stop",
        PostStop,
        "0.8",
        "Run on the host after the container has stopped."
    ),
    hook_key!(
        "lxc.hook.pre-mount",
        PreMount,
        "0.8",
        "Run in the container's mount namespace before the rootfs is mounted."
    ),
    hook_key!(
        "lxc.hook.pre-start",
        PreStart,
        "0.8",
        "Run on the host before anything of the container exists."
    ),
    hook_key!(
        "lxc.hook.start",
        Start,
        "0.8",
        "Run in the container just before its init."
    ),
    hook_key!(
        "lxc.hook.start-host",
        StartHost,
        "3.0",
        "Run on the host when the container's namespaces exist, before its init runs."
    ),
    hook_key!(
        "lxc.hook.stop",
        Stop,
        "2.0",
        "Run on the host with the container's namespaces at hand, when it has stopped."
    ),
    row!("lxc.hook.version"; "0 or 1", "0", "3.0",
        "How hooks get their facts: 0 as arguments and in the environment, 1 in the environment alone.", "1",
        |c, _, v| { c.hooks.version = u8::from(!v.is_empty() && value::bool01(v)?); Ok(()) },
        |c, _| Ok(c.hooks.version.to_string()),
        |c, _| { c.hooks.version = 0; Ok(()) }),
    row!("lxc.hook"; "empty", "none", "0.8",
        "Set to nothing, it clears the hooks of every kind.", "",
        |c, _, v| {
            if !v.is_empty() { return Err(ValueError::expected("no value: lxc.hook only clears all hooks").into()); }
            c.hooks.by_kind.clear();
            Ok(())
        },
        |_, _| Err(Fault::Unknown),
        |c, _| { c.hooks.by_kind.clear(); Ok(()) }),
];
