//! Keys that shape what a container's processes see.
#![allow(clippy::expect_used, clippy::unwrap_used, missing_docs)]

mod common;

use common::Container;
use rlxc_config::auto_mount;

#[test]
fn limits_sysctls_and_process_settings_are_applied() {
    need_root!();
    let mut container = Container::new("settings");
    container.config.prlimits = vec![("nofile".into(), Some(100), Some(200))].into();
    container.config.sysctl = vec![("net.ipv4.ip_forward".into(), "1".into())].into();
    container.config.procfs = vec![("oom_score_adj".into(), "123".into())].into();
    container.config.arch = Some(rlxc_config::Personality::Linux32);
    container.config.init.cwd = Some("/work".into());
    container.config.environment = vec![("A".into(), "b c".into())].into();
    let text = container.output(
        "ulimit -Sn; ulimit -Hn; cat /proc/sys/net/ipv4/ip_forward /proc/self/oom_score_adj; /bin/busybox uname -m; pwd; echo $A",
    );
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines, ["100", "200", "1", "123", "i686", "/work", "b c"]);
}

#[test]
fn an_unknown_limit_is_an_error() {
    need_root!();
    let mut container = Container::new("limit");
    container.config.prlimits = vec![("speed".into(), None, None)].into();
    let error = container.start().expect_err("a failed start");
    assert!(error.to_string().contains("lxc.prlimit.speed"), "{error}");
    container.assert_clean();
}

#[test]
fn init_runs_as_another_user() {
    need_root!();
    let mut container = Container::new("ids");
    container.config.init.uid = 1234;
    container.config.init.gid = 2345;
    container.config.init.groups = Some(vec![7, 8]);
    std::fs::write(container.rootfs().join("out"), "").expect("a file");
    use std::os::unix::fs::PermissionsExt;
    let open = std::fs::Permissions::from_mode(0o666);
    std::fs::set_permissions(container.rootfs().join("out"), open).expect("chmod");
    let text = container.output("id; cat /proc/self/status");
    assert!(text.contains("uid=1234 gid=2345"), "{text}");
    assert!(text.contains("Groups:\t7 8"), "{text}");
    assert!(text.contains("CapEff:\t0000000000000000"), "{text}");
}

#[test]
fn mount_entries_are_mounted_as_asked() {
    need_root!();
    let mut container = Container::new("entries");
    let host = container.lxcpath.join("host");
    std::fs::create_dir(&host).expect("a directory");
    std::fs::write(host.join("file"), "content").expect("a file");
    let host = host.display();
    container.config.mounts.entries = vec![
        format!("{host} data none bind,ro,nosuid,create=dir 0 0"),
        format!("{host}/file etc/one none bind,create=file 0 0"),
        "tmpfs scratch tmpfs size=64k,mode=700,create=dir 0 0".into(),
        "data again none bind,relative,create=dir 0 0".into(),
        "/nowhere none none bind,optional 0 0".into(),
    ]
    .into();
    let text = container.output(
        "cat /data/file /etc/one /again/file; touch /data/x && echo written; grep -E ' /(data|scratch|again) ' /proc/self/mountinfo",
    );
    assert!(
        text.starts_with("contentcontentcontent"),
        "{text}\n{}",
        container.log()
    );
    assert!(!text.contains("written"), "{text}");
    let line = |target: &str| {
        text.lines()
            .find(|l| l.contains(target))
            .unwrap_or_default()
            .to_owned()
    };
    assert!(line(" /data ").contains(" ro,nosuid"), "{text}");
    assert!(line(" /scratch ").contains("size=64k"), "{text}");
    container.assert_clean();
}

#[test]
fn without_a_rootfs_the_hosts_tree_is_seen() {
    need_root!();
    let mut container = Container::new("hosttree");
    let out = container.lxcpath.join("out");
    container.config.rootfs.path = None;
    container.config.autodev.enabled = false;
    container.config.mounts.auto.bits = auto_mount::PROC_RW;
    container.config.pty_max = 0;
    container.config.tty.max = 0;
    container.daemonize = false;
    let script = format!(
        "echo $$ > {}; cat /proc/1/comm >> {}",
        out.display(),
        out.display()
    );
    container.command(&["/bin/sh", "-c", &script]);
    let before = std::fs::read_to_string("/proc/self/mountinfo").expect("mountinfo");
    container
        .start()
        .unwrap_or_else(|e| panic!("{e}\n{}", container.log()));
    let text = std::fs::read_to_string(&out).expect("out");
    assert_eq!(text, "1\nsh\n");
    let after = std::fs::read_to_string("/proc/self/mountinfo").expect("mountinfo");
    assert_eq!(before, after, "the host's mounts are as before");
}

#[test]
fn nothing_of_the_monitor_is_left_open_in_the_container() {
    need_root!();
    let mut container = Container::new("fds");
    let text = container.output("ls /proc/self/fd | wc -l; ls -l /proc/1/exe");
    // 0, 1, 2 and the directory that ls reads.
    assert_eq!(text.lines().next(), Some("4"), "{text}");
    container.mode = rlxc_runtime::Mode::Execute;
    let text =
        container.output("ls /proc/self/fd | wc -l; echo x > /proc/1/exe; ls /proc/1/fd | wc -l");
    assert_eq!(text.lines().next(), Some("4"), "{text}");
    assert!(
        text.contains("Read-only file system") || text.contains("Text file busy"),
        "{text}"
    );
    assert!(
        !text.contains("Text file busy"),
        "only busy, not read-only: {text}"
    );
}

#[test]
fn the_running_configuration_is_served() {
    need_root!();
    let container = Container::new("items");
    container.start().expect("start");
    let client = container.client();
    let get = |key: &str| client.config_item(key).expect("an answer");
    assert_eq!(get("lxc.uts.name").as_deref(), Some("items"));
    assert_eq!(get("lxc.pty.max").as_deref(), Some("1024"));
    assert_eq!(get("lxc.no.such.key"), None);
    container.client().stop().expect("stop");
}

#[test]
fn capabilities_and_new_privileges_are_limited() {
    need_root!();
    let mut container = Container::new("caps");
    container.config.caps.drop = vec!["sys_module".into(), "mac_admin".into()];
    container.config.no_new_privs = true;
    let text = container.output("grep -E 'CapBnd|CapEff|NoNewPrivs' /proc/self/status");
    let mask = |name: &str| {
        let line = text
            .lines()
            .find(|l| l.starts_with(name))
            .unwrap_or_default();
        let value = line.split('\t').nth(1).unwrap_or_default();
        u64::from_str_radix(value, 16).unwrap_or(u64::MAX)
    };
    for name in ["CapBnd:", "CapEff:"] {
        assert_eq!(mask(name) & (1 << 16 | 1 << 33), 0, "{text}");
        assert_ne!(mask(name) & 1, 0, "{text}");
    }
    assert!(text.contains("NoNewPrivs:\t1"), "{text}");
    container.config.caps.drop.clear();
    container.config.caps.keep = Some(vec!["chown".into(), "dac_override".into()]);
    let text = container.output("grep CapBnd /proc/self/status");
    assert!(text.contains("0000000000000003"), "{text}");
}

#[test]
fn an_overlay_rootfs_keeps_the_lower_clean() {
    need_root!();
    let mut container = Container::new("overlay");
    let lower = container.rootfs();
    let over = container.lxcpath.join("overlay");
    for dir in ["delta", "work"] {
        std::fs::create_dir_all(over.join(dir)).expect("a directory");
    }
    container.config.rootfs.backend = Some("overlay".into());
    let path = format!("{}:{}", lower.display(), over.join("delta").display());
    container.config.rootfs.path = Some(path);
    container.daemonize = false;
    container.command(&["/bin/sh", "-c", "echo hi > /new; rm /bin/hostname"]);
    match container.start() {
        // No overlay on whatever /tmp is.
        Err(error) if error.errno == Some(22) || error.errno == Some(19) => {
            println!("skipped: overlay: {error}");
        }
        Err(error) => panic!("{error}\n{}", container.log()),
        Ok(_) => {
            assert!(over.join("delta/new").exists());
            assert!(!lower.join("new").exists());
            container.assert_clean();
        }
    }
}

#[test]
fn a_read_only_rootfs_is_read_only() {
    need_root!();
    let mut container = Container::new("readonly");
    container.config.rootfs.options = Some("ro".into());
    let host = container.lxcpath.join("host");
    std::fs::create_dir(&host).expect("a directory");
    std::fs::write(container.rootfs().join("out"), "").expect("a file");
    let entry = format!("{}/out out none bind,create=file 0 0", host.display());
    std::fs::write(host.join("out"), "").expect("a file");
    container.config.mounts.entries = vec![entry].into();
    container.daemonize = false;
    container.command(&["/bin/sh", "-c", "touch /x 2>/out; true"]);
    container
        .start()
        .unwrap_or_else(|e| panic!("{e}\n{}", container.log()));
    let text = std::fs::read_to_string(host.join("out")).expect("out");
    assert!(text.contains("Read-only"), "{text}");
}

#[test]
fn a_seccomp_policy_is_in_force() {
    need_root!();
    let mut container = Container::new("seccomp");
    let policy = container.lxcpath.join("policy");
    std::fs::write(
        &policy,
        "2\ndenylist\n[all]\nmkdir errno 1\nmkdirat errno 1\n",
    )
    .expect("a policy");
    container.config.seccomp.profile = Some(policy.clone());
    let text = container.output("mkdir /made; ls -d /made; grep Seccomp: /proc/self/status");
    assert!(
        text.contains("Operation not permitted"),
        "{text}\n{}",
        container.log()
    );
    assert!(text.contains("Seccomp:\t2"), "{text}");
    assert!(!container.rootfs().join("made").exists());
    std::fs::write(&policy, "2\nbadlist\n").expect("a policy");
    let error = container.start().expect_err("a failed start");
    assert!(error.to_string().contains("policy"), "{error}");
    container.assert_clean();
}

#[test]
fn notifications_without_a_proxy_get_enosys() {
    need_root!();
    let mut container = Container::new("notify");
    let policy = container.lxcpath.join("policy");
    std::fs::write(
        &policy,
        "2\ndenylist\n[all]\nmknod notify\nmknodat notify\n",
    )
    .expect("a policy");
    container.config.seccomp.profile = Some(policy);
    let text = container.output("/bin/busybox mknod /made p; echo $?");
    assert!(
        text.contains("Function not implemented"),
        "{text}\n{}",
        container.log()
    );
    container.assert_clean();
}

#[test]
fn ttys_lie_in_their_directory() {
    need_root!();
    let mut container = Container::new("ttydir");
    container.config.tty.dir = Some("lxc".into());
    let text = container.output("ls -l /dev/lxc; readlink /dev/tty1; ls -l /dev/console");
    assert!(text.contains("136,   0"), "{text}\n{}", container.log());
    assert!(text.contains("\nlxc/tty1\n"), "{text}");
    container.assert_clean();
}

#[test]
fn without_ptys_the_console_comes_from_the_host() {
    need_root!();
    let mut container = Container::new("nopty");
    container.config.pty_max = 0;
    container.config.tty.max = 0;
    let log = container.lxcpath.join("console");
    container.config.console.logfile = Some(log.to_string_lossy().into_owned());
    let text = container
        .output("ls -l /dev/console; ls /dev/pts; echo to the console > /dev/console; sleep 0.2");
    assert!(text.starts_with("crw"), "{text}\n{}", container.log());
    let said = std::fs::read_to_string(&log).expect("the console's log");
    assert!(said.contains("to the console"), "{said}");
    container.assert_clean();
}

#[test]
fn without_autodev_the_rootfs_keeps_its_own_dev() {
    need_root!();
    let mut container = Container::new("noautodev");
    container.config.autodev.enabled = false;
    std::fs::write(container.rootfs().join("dev/mine"), "x").expect("a file");
    let text =
        container.output("cat /dev/mine; test -c /dev/null || echo no null; ls -l /dev/console");
    assert!(
        text.starts_with("xno null\ncrw"),
        "{text}\n{}",
        container.log()
    );
    container.assert_clean();
}

#[test]
fn cgroup_directories_and_limits_are_as_configured() {
    need_root!();
    let mut container = Container::new("cgroups");
    let dir = format!("rlxc-start-{}", std::process::id());
    container.config.cgroup.dir = Some(dir.clone());
    container.config.cgroup1 = vec![("pids.max".into(), "77".into())].into();
    let started = container
        .start()
        .unwrap_or_else(|e| panic!("{e}\n{}", container.log()));
    let text = std::fs::read_to_string(format!("/proc/{}/cgroup", started.init)).expect("cgroups");
    let wanted = format!("/{dir}/lxc.payload.{}", container.name);
    if !text.contains(&wanted) {
        println!("skipped: cgroups of the tests' own ({text})");
        return;
    }
    let limit = format!("/sys/fs/cgroup/pids{wanted}/pids.max");
    match std::fs::read_to_string(&limit) {
        Ok(value) => assert_eq!(value, "77\n"),
        Err(_) => println!("skipped: pids in a v1 hierarchy"),
    }
    container.client().stop().expect("stop");
    container.assert_clean();
    for entry in std::fs::read_dir("/sys/fs/cgroup")
        .expect("hierarchies")
        .flatten()
    {
        let dir = entry.path().join(&dir);
        let _ = std::fs::remove_dir(dir.join("lxc.pivot"));
        let _ = std::fs::remove_dir(dir);
    }
}

#[test]
fn a_directory_can_be_its_own_mount_point() {
    need_root!();
    let mut container = Container::new("selfmount");
    container.config.rootfs.mount = container.config.rootfs.path.clone();
    let text = container.output("cat /proc/1/comm; ls /proc/self/root/");
    assert!(text.starts_with("sh\n"), "{text}\n{}", container.log());
    container.assert_clean();
}

/// `lxc.sched.core`: where the machine has no threads of cores it is refused before anything is made.
#[test]
fn core_scheduling_gives_a_cookie_of_its_own_or_is_refused() {
    need_root!();
    let cookie = rlxc_sys::limits::core_sched_cookie;
    let mut container = Container::new("core");
    container.config.sched_core = true;
    match cookie(0) {
        Ok(own) => {
            let started = container.start().expect("a start");
            let inside = cookie(started.init).expect("a cookie");
            assert!(inside != 0 && inside != own);
            container.client().stop().expect("stop");
        }
        Err(_) => {
            let error = container.start().expect_err("no core scheduling");
            assert_eq!(error.step, "lxc.sched.core");
            assert!(error.remedy.is_some());
            assert!(!container.log().contains("step create cgroups took"));
        }
    }
    container.assert_clean();
}
