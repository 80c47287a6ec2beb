//! Starts that fail as they typically do: each says the step, what it was about, why, and what to do.

mod common;

use std::io;
use std::os::unix::fs::PermissionsExt;

use common::{Place, missing};

/// What is wrong, as lines of the configuration; what is said, in any order.
const FAILURES: [(&str, &[&str]); 22] = [
    (
        "lxc.rootfs.path = dir:/nope",
        &["rootfs", "/nope", "No such file", "correct the key"],
    ),
    (
        "lxc.init.cmd = /bin/nope",
        &["init", "/bin/nope", "ENOENT", "lxc.init.cmd"],
    ),
    (
        "lxc.init.cmd = /bin/foreign",
        &["init", "/bin/foreign", "ENOEXEC", "architecture"],
    ),
    (
        "lxc.init.cmd = /bin/script",
        &["init", "/bin/script", "ENOENT", "interpreter"],
    ),
    (
        "lxc.init.cmd = /etc/passwd",
        &["init", "/etc/passwd", "EACCES", "executable"],
    ),
    (
        "lxc.net.0.type = veth\nlxc.net.0.link = rlxcnobr0",
        &[
            "network",
            "lxc.net.0 (veth)",
            "rlxcnobr0",
            "make the bridge",
        ],
    ),
    (
        "lxc.net.0.type = phys\nlxc.net.0.link = rlxcnodev0",
        &["network", "lxc.net.0 (phys)", "rlxcnodev0", "ip link"],
    ),
    (
        "lxc.mount.entry = /nope mnt none bind 0 0",
        &["mount entry", "/nope", "No such file", "optional"],
    ),
    (
        "lxc.mount.entry = /usr nodir/x none bind 0 0",
        &["mount entry", "/nodir/x", "No such file", "create=dir"],
    ),
    (
        "lxc.mount.entry = none mnt nosuchfs defaults 0 0",
        &["mount entry", "/mnt", "No such device", "file system"],
    ),
    (
        "lxc.mount.fstab = /nope/fstab",
        &["lxc.mount.fstab", "/nope/fstab", "No such file"],
    ),
    (
        "lxc.seccomp.profile = /nope/seccomp",
        &[
            "security policies",
            "/nope/seccomp",
            "No such file",
            "lxc.seccomp.profile",
        ],
    ),
    (
        "lxc.cap.drop = nonsense",
        &["config:", "lxc.cap.drop", "nonsense", "rlxc config check"],
    ),
    (
        "lxc.hook.pre-start = /nope/hook",
        &[
            "pre-start hook",
            "/nope/hook",
            "not found",
            "correct the path",
        ],
    ),
    (
        "lxc.hook.pre-start = /bin/false",
        &["pre-start hook", "/bin/false", "exit status: 1", "by hand"],
    ),
    (
        "lxc.hook.mount = /bin/sh -c 'exit 3'",
        &["mount hook", "exit status: 3", "by hand"],
    ),
    (
        "lxc.cgroup.pids.max = abc\nlxc.cgroup2.pids.max = abc",
        &[
            "cgroup limits",
            "pids.max",
            "abc",
            "Invalid argument",
            "refuses the value",
        ],
    ),
    (
        "lxc.sysctl.no.such = 1",
        &[
            "sysctl",
            "lxc.sysctl.no.such",
            "No such file",
            "correct the key",
        ],
    ),
    (
        "lxc.namespace.share.net = nobody",
        &[
            "shared namespaces",
            "nobody",
            "not running",
            "start that container first",
        ],
    ),
    (
        "lxc.proc.nosuch = 1",
        &["lxc.proc", "nosuch", "No such file", "correct the key"],
    ),
    (
        "lxc.rootfs.path = loop:/nope.img",
        &["rootfs", "/nope.img", "No such file", "lxc.rootfs.path"],
    ),
    (
        "lxc.arch = vax",
        &["config:", "lxc.arch", "vax", "x86_64", "rlxc config check"],
    ),
];

#[test]
fn a_failed_start_names_step_object_cause_and_remedy() -> io::Result<()> {
    if let Some(what) = missing() {
        println!("skipped: {what}");
        return Ok(());
    }
    let place = Place::new("failures")?;
    place.busybox("one")?;
    let dir = place.lxcpath().join("one");
    let programs: [(&str, &[u8]); 2] = [
        // The header of a program for another processor.
        (
            "foreign",
            b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x02\0\xb7\0",
        ),
        ("script", b"#!/nope\n"),
    ];
    for (name, text) in programs {
        let path = dir.join("rootfs/bin").join(name);
        std::fs::write(&path, text)?;
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755))?;
    }
    let whole = std::fs::read_to_string(dir.join("config"))?;
    let mut wrong = Vec::new();
    for (lines, expected) in FAILURES {
        std::fs::write(dir.join("config"), format!("{whole}{lines}\n"))?;
        let said = place.rlxc("start one")?;
        let complete = expected.iter().all(|text| said.err.contains(text));
        let of_a_step = !expected[0].ends_with(':');
        // The record says the same again.
        let again = place.rlxc("explain one")?.out;
        let recorded = !of_a_step || again.contains("step:") && again.contains("cause:");
        if said.status != Some(1) || !complete || !recorded {
            wrong.push(format!("{lines}\n  {said:?}\n  {again}"));
        }
        assert_eq!(place.rlxc("info one -s -H")?.out, "STOPPED\n", "{lines}");
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(())
}

#[test]
fn what_the_security_module_refused_is_told_with_the_failure() -> io::Result<()> {
    let place = Place::new("denied")?;
    let name = format!("rlxc-cli-den-{}", std::process::id());
    place.define(&name, "lxc.uts.name = x\n")?;
    // The kernel's log takes lines of root; this one looks like AppArmor's.
    let line = format!(
        "<5>audit: type=1400 audit(1.0:1): apparmor=\"DENIED\" operation=\"mount\" profile=\"lxc-{name}_</x>\" name=\"/sys/\" pid=1 comm=\"init\"\n"
    );
    if let Err(error) = std::fs::write("/dev/kmsg", line) {
        println!("skipped: a kernel log that takes lines ({error})");
        return Ok(());
    }
    let said = place.rlxc(&format!("explain {name}"))?;
    if !said.out.contains("refused to it") && std::fs::read("/proc/kmsg").is_err() {
        println!("skipped: a readable kernel log");
        return Ok(());
    }
    assert!(said.out.contains("operation=\"mount\""), "{said:?}");
    assert!(said.out.contains("name=\"/sys/\""), "{said:?}");
    let json = place.must(&format!("explain {name} --format json"))?;
    assert!(json.contains("\"denials\""), "{json}");
    let other = place.rlxc("explain another")?;
    assert!(!other.out.contains("refused to it"), "{other:?}");
    Ok(())
}
