//! Starts that cannot work: a clear error, and nothing left behind.
#![allow(clippy::expect_used, clippy::unwrap_used, missing_docs)]

mod common;

use common::Container;
use nix::errno::Errno;
use rlxc_runtime::StartError;

fn fails(container: &Container) -> StartError {
    let error = container.start().expect_err("a failed start");
    container.assert_clean();
    error
}

#[test]
fn a_missing_init_is_named() {
    need_root!();
    let mut container = Container::new("noinit");
    container.command(&["/sbin/nothing"]);
    let error = fails(&container);
    assert_eq!(
        (error.step.as_str(), error.target.as_str()),
        ("init", "/sbin/nothing")
    );
    assert_eq!(error.errno, Some(Errno::ENOENT as i32));
    assert!(error.remedy.is_some());
}

#[test]
fn an_init_that_is_not_executable_is_named() {
    need_root!();
    let mut container = Container::new("noexec");
    std::fs::write(container.rootfs().join("sbin/text"), "hello").expect("a file");
    container.command(&["/sbin/text"]);
    assert_eq!(fails(&container).errno, Some(Errno::EACCES as i32));
}

#[test]
fn a_missing_rootfs_is_named() {
    need_root!();
    let mut container = Container::new("noroot");
    container.config.rootfs.path = Some("/nowhere/at/all".into());
    let error = fails(&container);
    assert!(error.target.contains("/nowhere/at/all"), "{error}");
    assert_eq!(error.errno, Some(Errno::ENOENT as i32));
}

#[test]
fn a_rootfs_that_is_a_file_is_named() {
    need_root!();
    let mut container = Container::new("fileroot");
    container.config.rootfs.path = Some("/etc/passwd".into());
    assert!(fails(&container).to_string().contains("/etc/passwd"));
}

#[test]
fn a_failing_hook_ends_the_start() {
    need_root!();
    for kind in [
        rlxc_config::HookKind::PreStart,
        rlxc_config::HookKind::PreMount,
        rlxc_config::HookKind::Mount,
        rlxc_config::HookKind::Autodev,
        rlxc_config::HookKind::Start,
        rlxc_config::HookKind::StartHost,
    ] {
        let mut container = Container::new("hook");
        let script = "sh -c 'exit 9'".to_owned();
        container.config.hooks.by_kind.insert(kind, vec![script]);
        let error = fails(&container);
        assert!(error.step.contains(kind.name()), "{kind:?}: {error}");
    }
}

#[test]
fn a_missing_mount_source_is_named_unless_optional() {
    need_root!();
    let mut container = Container::new("mount");
    container.config.mounts.entries = vec!["/nowhere mnt none bind,create=dir 0 0".into()].into();
    assert!(fails(&container).to_string().contains("/nowhere"));
    container.config.mounts.entries =
        vec!["/nowhere mnt none bind,create=dir,optional 0 0".into()].into();
    container.start().expect("start");
}

#[test]
fn links_in_the_rootfs_do_not_lead_out() {
    need_root!();
    let mut container = Container::new("links");
    let trap = container.lxcpath.join("trap");
    std::fs::create_dir(&trap).expect("a directory");
    for dir in ["proc", "sys", "dev"] {
        std::fs::remove_dir(container.rootfs().join(dir)).expect("removed");
        std::os::unix::fs::symlink(&trap, container.rootfs().join(dir)).expect("a link");
    }
    container.config.mounts.entries =
        vec!["/etc dev/../dev/x none bind,create=dir 0 0".into()].into();
    let _ = container.start();
    let inside = std::fs::read_dir(&trap).expect("the trap").count();
    assert_eq!(inside, 0, "something was made outside of the rootfs");
    drop(container);
}

/// What cannot be is refused before there is a cgroup, a link or a process of the container.
#[test]
fn impossible_requests_are_refused_before_anything_is_made() {
    need_root!();
    let policy = |container: &Container| {
        let path = container.lxcpath.join("policy");
        std::fs::write(&path, "2\ndenylist\nmknod errno\n").unwrap();
        path
    };
    type Change = fn(&mut Container);
    let changes: [(&str, Change); 10] = [
        ("policy:3:7", |_| {}),
        ("no user namespace", |c| {
            c.config.rootfs.options = Some("idmap=container".into());
        }),
        ("no user namespace", |c| {
            let entry = "/tmp tmp none bind,idmap=container 0 0";
            c.config.mounts.entries.push(entry);
        }),
        ("\"nobody-here\" is not running", |c| {
            let share = &mut c.config.namespace_share;
            share.insert(rlxc_config::Namespace::Net, "nobody-here".into());
        }),
        ("no such resource limit", |c| {
            c.config.prlimits.push("bogus", Some(1), Some(1));
        }),
        ("overlap", |c| {
            for nsid in [0, 5] {
                c.config.idmap.push(rlxc_config::IdMap {
                    kind: rlxc_config::IdKind::Uid,
                    nsid,
                    hostid: 100_000 + nsid,
                    range: 10,
                });
            }
        }),
        ("/nonexistent", |c| {
            c.config.seccomp.profile = Some("/nonexistent/policy".into());
        }),
        // A security module that is absent; this machine's kernel has none active.
        ("lxc.selinux.context = x:y:z:s0", |c| {
            c.config.selinux.context = Some("x:y:z:s0".into());
        }),
        ("lxc.selinux.context.keyring = x:y:z:s0", |c| {
            c.config.selinux.context_keyring = Some("x:y:z:s0".into());
        }),
        ("/proc/1/ns/nothing", |c| {
            let share = &mut c.config.namespace_share;
            share.insert(rlxc_config::Namespace::Ipc, "/proc/1/ns/nothing".into());
        }),
    ];
    for (index, (expected, change)) in changes.iter().enumerate() {
        let mut container = Container::new("impossible");
        if index == 0 {
            container.config.seccomp.profile = Some(policy(&container));
        }
        change(&mut container);
        let error = container.start().expect_err(expected);
        let text = error.to_string();
        assert!(text.contains(expected), "{expected}: {text}");
        let log = container.log();
        for step in ["create cgroups", "clone", "network"] {
            assert!(
                !log.contains(&format!("step {step} took")),
                "{expected}: {log}"
            );
        }
        container.assert_clean();
    }
}
