//! Containers of an ordinary user, and containers with id maps.
#![allow(clippy::expect_used, clippy::unwrap_used, missing_docs)]

mod common;

use std::process::Command;

use common::Container;
use rlxc_config::{IdKind, IdMap};

/// Runs an ignored test of this program as an ordinary user.
fn as_user(test: &str) {
    let own = std::env::current_exe().expect("own path");
    // The user may not be able to reach the build directory: everything is copied.
    let dir = format!("/tmp/rlxc-start-bin-{}-{test}", std::process::id());
    std::fs::create_dir_all(&dir).expect("a directory");
    let copy = format!("{dir}/tests");
    std::fs::copy(&own, &copy).expect("a copy");
    let monitor = rlxc_runtime::monitor_program().expect("the monitor");
    std::fs::copy(monitor, format!("{dir}/rlxc-monitor")).expect("a copy");
    let output = Command::new("setpriv")
        .args(["--reuid", "4711", "--regid", "4711", "--clear-groups"])
        .args([&copy, "--ignored", "--exact", "--nocapture", test])
        .env("HOME", &dir)
        .env("RLXC_TEST_INNER", "1")
        .current_dir("/")
        .output()
        .expect("setpriv");
    let _ = std::fs::remove_dir_all(&dir);
    let text = String::from_utf8_lossy(&output.stdout).into_owned()
        + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}");
    assert!(text.contains("1 passed"), "{text}");
}

#[test]
fn a_user_without_subordinate_ids_gets_a_container() {
    need_root!();
    as_user("inner_single_id");
}

#[test]
#[ignore = "run by a_user_without_subordinate_ids_gets_a_container, as that user"]
fn inner_single_id() {
    if std::env::var_os("RLXC_TEST_INNER").is_none() {
        return;
    }
    let mut container = Container::new("single");
    // /proc is covered in the container, and still what is written after the pivot finds a procfs.
    container.config.sysctl.push("net.ipv4.ip_forward", "1");
    let script = "id -u; echo forward $(cat /proc/sys/net/ipv4/ip_forward); cat /proc/self/uid_map; ls -l /dev/null; echo x > /dev/null && echo wrote; cat /proc/self/mountinfo";
    let text = container.output(script);
    assert!(text.starts_with("0\n"), "{text}");
    assert!(text.contains("forward 1\n"), "{text}");
    assert!(text.contains("4711"), "{text}");
    assert!(text.contains("1,   3"), "{text}");
    assert!(text.contains("wrote"), "{text}");
    container.assert_clean();
}

fn mapped(container: &mut Container) {
    for kind in [IdKind::Uid, IdKind::Gid] {
        container.config.idmap.push(IdMap {
            kind,
            nsid: 0,
            hostid: 300_000,
            range: 65_536,
        });
    }
}

fn chown(container: &Container) {
    let status = Command::new("chown")
        .args(["-R", "300000:300000"])
        .arg(container.rootfs())
        .status();
    assert!(status.expect("chown").success());
}

#[test]
fn root_starts_a_container_with_id_maps() {
    need_root!();
    let mut container = Container::new("maps");
    mapped(&mut container);
    chown(&container);
    let text = container.output("id -u; cat /proc/self/uid_map; touch /new; echo ok > /dev/zero && echo zero; ls -ln /sys/class/net/lo/; ls -ln /dev/console");
    assert!(text.contains("300000"), "{text}\n{}", container.log());
    assert!(text.contains("zero"), "{text}");
    use std::os::unix::fs::MetadataExt;
    let meta = std::fs::metadata(container.rootfs().join("new")).expect("/new");
    assert_eq!(meta.uid(), 300_000);
    container.assert_clean();
}

#[test]
fn an_idmapped_rootfs_needs_no_chown() {
    need_root!();
    let mut container = Container::new("idmapped");
    mapped(&mut container);
    container.config.rootfs.options = Some("idmap=container".into());
    let shared = container.lxcpath.join("shared");
    std::fs::create_dir(&shared).expect("a directory");
    let text = container.output("touch /new; ls -ln /new");
    assert!(text.contains(" 0 "), "{text}\n{}", container.log());
    use std::os::unix::fs::MetadataExt;
    let meta = std::fs::metadata(container.rootfs().join("new")).expect("/new");
    assert_eq!(meta.uid(), 0, "written as root through the map");
    container.assert_clean();
}

#[test]
fn a_shared_user_namespace_makes_its_root_ours() {
    need_root!();
    let mut first = Container::new("owner");
    mapped(&mut first);
    chown(&first);
    first.command(&["/bin/sleep", "100"]);
    let started = first
        .start()
        .unwrap_or_else(|e| panic!("{e}\n{}", first.log()));
    let mut second = Container::new("guest");
    let from = started.init.to_string();
    let share = &mut second.config.namespace_share;
    share.insert(rlxc_config::Namespace::User, from.clone());
    // sysfs belongs to whose network namespace it is of.
    share.insert(rlxc_config::Namespace::Net, from);
    second.config.net.clear();
    chown(&second);
    let text =
        second.output("id -u; cat /proc/self/uid_map; touch /new; readlink /proc/self/ns/user");
    let own = std::fs::read_link(format!("/proc/{}/ns/user", started.init)).unwrap();
    assert!(text.starts_with("0\n") && text.contains("300000"), "{text}");
    assert!(text.contains(&*own.to_string_lossy()), "{text}");
    use std::os::unix::fs::MetadataExt;
    let meta = std::fs::metadata(second.rootfs().join("new")).unwrap();
    assert_eq!(meta.uid(), 300_000);
    first.client().stop().unwrap();
}
