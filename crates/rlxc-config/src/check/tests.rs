use super::*;

fn check_text(text: &str) -> Vec<Diagnostic> {
    check_bytes(text.as_bytes())
}

fn check_bytes(text: &[u8]) -> Vec<Diagnostic> {
    let dir = std::env::temp_dir().join(format!(
        "rlxc-config-check-{}-{:?}",
        std::process::id(),
        std::thread::current().id()
    ));
    std::fs::create_dir_all(&dir).unwrap();
    let file = dir.join("config");
    std::fs::write(&file, text).unwrap();
    let found = check_with(
        &file,
        CheckOptions {
            host: true,
            unified: true,
            strict_cgroup: false,
        },
    );
    std::fs::remove_dir_all(&dir).unwrap();
    found
}

fn codes(text: &str) -> Vec<(usize, usize, &'static str)> {
    check_text(text)
        .into_iter()
        .map(|d| (d.line, d.column, d.code))
        .collect()
}

#[test]
fn ten_mistakes_give_ten_located_messages() {
    let text = "\
lxc.mount.entyr = a b none bind
lxc.tty.max = four
lxc.uts.name
lcx.uts.name = web
lxc.console.size = 1M
lxc.pty.max = 4 # ptys
lxc.utsname = web
lxc.cgroup.memory.limit_in_bytes = 1G
lxc.net.0.type = veht
lxc.idmap = u 0 100000 x
";
    let found = codes(text);
    assert_eq!(
        found,
        [
            (1, 1, "unknown-key"),
            (2, 15, "bad-value"),
            (3, 1, "no-equals"),
            (4, 1, "ignored-line"),
            (5, 21, "one-letter-size"),
            (6, 15, "bad-value"),
            (7, 1, "legacy-key"),
            (9, 18, "bad-value"),
            (10, 24, "bad-value"),
            (8, 1, "cgroup-v1"),
        ]
    );
}

#[test]
fn lints_find_contradictions() {
    let text = "\
lxc.idmap = u 0 100000 1000
lxc.idmap = g 0 100000 1000
lxc.init.uid = 5000
lxc.mount.entry = /etc ../../etc none bind 0 0
lxc.mount.entry = /does/not/exist mnt none bind 0 0
lxc.net.0.type = macvlan
lxc.cgroup.dir.monitor = a
lxc.apparmor.raw = deny /x r,
lxc.signal.stop = 999
lxc.monitor.signal.pdeath = 65
lxc.signal.halt = 64
";
    let found: Vec<_> = codes(text)
        .into_iter()
        .map(|(line, _, code)| (line, code))
        .collect();
    for expected in [
        (3, "unmapped-id"),
        (4, "outside-rootfs"),
        (5, "missing-path"),
        (6, "no-link"),
        (7, "incomplete"),
        (8, "no-effect"),
        (9, "no-signal"),
        (10, "no-signal"),
    ] {
        assert!(found.contains(&expected), "{expected:?} in {found:?}");
    }
    assert!(!found.contains(&(11, "no-signal")), "{found:?}");
}

#[test]
fn findings_are_rendered_with_the_part_underlined() {
    let text = render(&check_text("lxc.idmap = u 0 abc 5\n"));
    assert!(text.contains("1 | lxc.idmap = u 0 abc 5\n"), "{text}");
    assert!(
        text.contains("  |                 ^^^ expected a number"),
        "{text}"
    );
}

#[test]
fn nul_bytes_and_other_encodings_are_located() {
    let found = check_bytes(b"lxc.uts.name = a\0b\nlxc.uts.name = \xe9\n# \xe9 in a comment\n");
    let codes: Vec<_> = found.iter().map(|d| (d.line, d.code)).collect();
    assert_eq!(codes, [(1, "nul"), (2, "not-utf8")]);
}

#[test]
fn what_this_host_lacks_is_told() {
    let text = "\
lxc.net.0.type = phys
lxc.net.0.link = rlxc-no-such
lxc.net.1.type = phys
lxc.net.1.link = rlxc-no+
lxc.net.2.type = veth
lxc.net.2.link = lo
lxc.sysctl.kernel.rlxc_no_such = 1
lxc.sysctl.kernel.hostname = x
lxc.console.path = /dev/rlxc-no-such
lxc.hook.start = /rlxc/no/such arg
lxc.rootfs.path = dir:/rlxc/no/such
";
    let found: Vec<_> = codes(text)
        .into_iter()
        .map(|(line, _, code)| (line, code))
        .collect();
    for expected in [
        (2, "missing-link"),
        (4, "missing-link"),
        (7, "missing-path"),
        (9, "missing-path"),
        (10, "missing-path"),
        (11, "missing-path"),
    ] {
        assert!(found.contains(&expected), "{expected:?} in {found:?}");
    }
    assert_eq!(found.len(), 6, "{found:?}");
}
