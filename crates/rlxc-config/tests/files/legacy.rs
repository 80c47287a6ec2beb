//! Files of LXC before 3.0, against lxc-update-config.

use std::path::Path;

use super::Dir;

#[test]
fn legacy_keys_are_converted_as_lxc_update_config_does() {
    let dir = Dir::new("legacy");
    let old = "# lxc.utsname = x\nlxc.utsname = web\n lxc.utsname=web2\nlxc.rootfs = /r\nlxc.rootfs.mount = /mnt\n\
        lxc.mount = /etc/fstab\nlxc.mount.entry = proc proc proc defaults 0 0\nlxc.network.type = veth\n\
        lxc.network.link = br0\nlxc.network.ipv4 = 10.0.0.2/24\nlxc.network.ipv4.gateway = auto\n\
        #lxc.network.ipv6 = fc00::2\nlxc.network.type = macvlan\nlxc.network.hwaddr = 00:16:3e:00:00:00\n\
        lxc.tty = 4\nlxc.pts=1024\nlxc.console = none\nlxc.console.logfile = /x\nlxc.kmsg = 0\n#lxc.pivotdir = x\n\
        lxc.seccomp = /p\nlxc.id_map = u 0 1 2\nlxc.aa_profile=unconfined\nlxc.init_cmd = /sbin/init\n\
        lxc.loglevel\t=\t1\nlxc.logfile = /l\nlxc.syslog = daemon\nlxc.haltsignal = SIGPWR\nlxc.network =\n\
        lxc.se_context = a\nlxc.devttydir = lxc\nlxc.network.script.up = /x lxc.utsname\nlxc.uts.name = new\n";
    let file = dir.file("config", old);
    match std::process::Command::new("lxc-update-config")
        .arg("-c")
        .arg(&file)
        .output()
    {
        Ok(output) if output.status.success() => {
            let theirs = std::fs::read_to_string(&file).unwrap();
            assert_eq!(
                String::from_utf8(rlxc_config::update_legacy(old.as_bytes())).unwrap(),
                theirs
            );
        }
        _ => println!("skipped: lxc-update-config is not installed"),
    }
}

/// Lines of legacy files in every order and spacing, against LXC's own script.
#[test]
fn random_legacy_files_are_converted_as_lxc_update_config_does() {
    if !Path::new("/usr/bin/lxc-update-config").exists() {
        println!("skipped: lxc-update-config is not installed");
        return;
    }
    const KEYS: &[&str] = &[
        "lxc.rootfs",
        "lxc.rootfs.mount",
        "lxc.rootfs.options",
        "lxc.id_map",
        "lxc.pts",
        "lxc.tty",
        "lxc.devttydir",
        "lxc.aa_profile",
        "lxc.aa_allow_incomplete",
        "lxc.se_context",
        "lxc.mount",
        "lxc.mount.entry",
        "lxc.mount.auto",
        "lxc.utsname",
        "lxc.seccomp",
        "lxc.console",
        "lxc.console.logfile",
        "lxc.haltsignal",
        "lxc.rebootsignal",
        "lxc.stopsignal",
        "lxc.syslog",
        "lxc.loglevel",
        "lxc.logfile",
        "lxc.init_cmd",
        "lxc.init_uid",
        "lxc.init_gid",
        "lxc.network.type",
        "lxc.network.type",
        "lxc.network.link",
        "lxc.network.flags",
        "lxc.network.hwaddr",
        "lxc.network.ipv4",
        "lxc.network.ipv4.gateway",
        "lxc.network.ipv6",
        "lxc.network.ipv6.gateway",
        "lxc.network.veth.pair",
        "lxc.network.script.up",
        "lxc.network.1.type",
        "lxc.network.1.link",
        "lxc.network",
        "lxc.pivotdir",
        "lxc.kmsg",
        "lxc.uts.name",
        "lxc.net.0.type",
        "lxc.cgroup.memory.limit_in_bytes",
        "lxc.cap.drop",
        "lxc.hook.start",
        "lxc.include",
        "lxc.limit",
        "lxc.seccomp.profile",
        "lxc.environment",
    ];
    let mut state = 0x1234_5678_9abc_def1u64;
    let mut below = move |n: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 33) as usize % n
    };
    let dir = Dir::new("legacy-random");
    let mut differences = Vec::new();
    for _ in 0..4 {
        let mut old = String::new();
        for _ in 0..50 + below(100) {
            let key = KEYS[below(KEYS.len())];
            let value = ["x", "/a b", "lxc.utsname", "10.0.0.1/24", "", "a = lxc.tty"][below(6)];
            let equals = [" = ", "=", "\t=\t", " =", "= "][below(5)];
            let lead = ["", "", "", "", "# ", "#", " ", "\t"][below(8)];
            old += &format!("{lead}{key}{equals}{value}\n");
        }
        let file = dir.file("config", &old);
        let done = std::process::Command::new("/usr/bin/lxc-update-config")
            .arg("-c")
            .arg(&file)
            .output()
            .unwrap();
        assert!(done.status.success(), "{done:?}");
        // LXC's script numbers what stands before the first type -1, which no LXC accepts.
        let theirs = std::fs::read_to_string(&file).unwrap();
        let theirs = theirs.replace("lxc.net.-1.", "lxc.net.0.");
        let ours = String::from_utf8(rlxc_config::update_legacy(old.as_bytes())).unwrap();
        for ((a, b), line) in ours.lines().zip(theirs.lines()).zip(old.lines()) {
            if a != b {
                differences.push(format!("{line:?}: ours {a:?}, theirs {b:?}"));
            }
        }
        if ours.lines().count() != theirs.lines().count() {
            differences.push(format!("{old}: ours {ours}, theirs {theirs}"));
        }
    }
    differences.sort();
    differences.dedup();
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}
