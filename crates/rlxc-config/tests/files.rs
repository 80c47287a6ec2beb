//! Whole files: the samples, Debian's own configuration, hostile input, saving.
#![allow(clippy::unwrap_used)]

use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use rlxc_config::{
    CheckOptions, Document, KeyError, LoadError, MountEntry, Severity, V1Limits, check, check_with,
    render,
};

/// A directory that goes with the test.
struct Dir(PathBuf);

impl Dir {
    fn new(name: &str) -> Self {
        // In memory where that is possible: saving waits for the disk.
        let shm = PathBuf::from("/dev/shm");
        let base = match shm.is_dir() {
            true => shm,
            false => std::env::temp_dir(),
        };
        let dir = base.join(format!("rlxc-cfg-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        Self(dir)
    }

    fn file(&self, name: &str, text: impl AsRef<[u8]>) -> PathBuf {
        let path = self.0.join(name);
        std::fs::write(&path, text).unwrap();
        path
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn load(path: &Path) -> Result<Document, LoadError> {
    let mut document = Document::new();
    document.load_file(path).map(|()| document)
}

/// The whole chain of an error as text.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(source) = next {
        text += &format!(": {source}");
        next = source.source();
    }
    text
}

#[test]
fn every_sample_is_clean_and_saves_as_it_is() {
    let samples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../config-samples");
    let dir = Dir::new("samples");
    let readme = std::fs::read_to_string(samples.join("README.md")).unwrap();
    let mut count = 0;
    for entry in std::fs::read_dir(&samples).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|e| e != "conf") {
            continue;
        }
        count += 1;
        let name = path.file_name().unwrap().to_str().unwrap();
        assert!(readme.contains(name), "{name} is not in the table");
        let unified = !name.contains("v1");
        let found = check_with(
            &path,
            CheckOptions {
                host: false,
                unified,
                strict_cgroup: true,
            },
        );
        assert!(found.is_empty(), "{}", render(&found));
        let saved = dir.0.join("saved");
        load(&path).unwrap().save(&saved).unwrap();
        let (ours, theirs) = (
            std::fs::read_to_string(&saved).unwrap(),
            std::fs::read_to_string(&path).unwrap(),
        );
        // Empty lines are not part of LXC's text; everything else is.
        let lines: Vec<_> = theirs.lines().filter(|l| !l.is_empty()).collect();
        let kept = ours
            .lines()
            .zip(&lines)
            .filter(|(a, b)| a == *b || b.contains("xx"))
            .count();
        assert_eq!(
            (kept, ours.lines().count()),
            (lines.len(), lines.len()),
            "{name}"
        );
    }
    assert_eq!(count, 13);
}

#[test]
fn the_distributions_own_configuration_is_clean() {
    let Ok(entries) = std::fs::read_dir("/usr/share/lxc/config") else {
        println!("skipped: /usr/share/lxc/config is not installed");
        return;
    };
    for entry in entries {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|e| e != "conf") {
            continue;
        }
        let found: Vec<_> = check(&path)
            .into_iter()
            .filter(|d| d.severity > Severity::Note && d.code != "cgroup-v1")
            .collect();
        assert!(found.is_empty(), "{}", render(&found));
        load(&path).unwrap();
    }
}

#[test]
fn includes_are_bounded_and_their_errors_located() {
    let dir = Dir::new("includes");
    let own = dir.0.join("loop");
    dir.file("loop", format!("\nlxc.include = {}\n", own.display()));
    let text = chain(&load(&own).unwrap_err());
    assert!(
        text.contains("loop:2:15") && text.contains("includes itself"),
        "{text}"
    );

    for n in 0..10_000 {
        dir.file(
            &format!("n{n}"),
            format!("lxc.include = {}/n{}\n", dir.0.display(), n + 1),
        );
    }
    let text = chain(&load(&dir.0.join("n0")).unwrap_err());
    assert!(text.contains("more than 64 nested includes"), "{text}");
    assert!(
        check(&dir.0.join("n0"))
            .iter()
            .any(|d| d.message.contains("more than 64"))
    );

    dir.file("bad", "# fine\nlxc.tty.max = x\n");
    let outer = dir.file("outer", format!("lxc.include = {}/bad\n", dir.0.display()));
    let text = chain(&load(&outer).unwrap_err());
    assert!(
        text.contains("outer:1:15") && text.contains("bad:2:15"),
        "{text}"
    );
    let found = check(&outer);
    assert_eq!(
        (found.len(), found[0].line, found[0].file.ends_with("bad")),
        (1, 2, true)
    );
}

#[test]
fn what_is_no_regular_file_is_refused_without_waiting() {
    let dir = Dir::new("special");
    let fifo = dir.0.join("fifo");
    let made = std::process::Command::new("mkfifo").arg(&fifo).status();
    assert!(made.unwrap().success());
    assert!(matches!(load(&fifo), Err(LoadError::NotRegular { .. })));
    let outer = dir.file("outer", format!("lxc.include = {}\n", fifo.display()));
    assert!(chain(&load(&outer).unwrap_err()).contains("no regular file"));
    assert!(matches!(
        load(Path::new("/dev/zero")),
        Err(LoadError::NotRegular { .. })
    ));
    assert!(load(&dir.0).is_err() && load(&dir.0.join("missing")).is_err());
    assert_eq!(load(Path::new("/dev/null")).unwrap().text(), "");

    let large = std::fs::File::create(dir.0.join("large")).unwrap();
    large.set_len(1 << 30).unwrap();
    assert!(matches!(
        load(&dir.0.join("large")),
        Err(LoadError::TooLarge { .. })
    ));
}

#[test]
fn includes_of_special_files_are_refused_at_their_line() {
    let dir = Dir::new("special-includes");
    let fifo = dir.0.join("fifo");
    nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let socket = dir.0.join("socket");
    let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    let members = dir.0.join("members");
    std::fs::create_dir_all(members.join("inner.conf")).unwrap();
    for (included, why) in [
        (fifo.as_path(), "no regular file"),
        (socket.as_path(), "no regular file"),
        (Path::new("/dev/zero"), "no regular file"),
        (Path::new("/dev/tty"), "/dev/tty"),
        // LXC reads no directory inside an included one either.
        (members.as_path(), "Is a directory"),
    ] {
        let text = format!(
            "# first\nlxc.include = {}\nlxc.tty.max = 4\n",
            included.display()
        );
        let outer = dir.file("outer", &text);
        let told = chain(&load(&outer).unwrap_err());
        assert!(told.contains("outer:2:15") && told.contains(why), "{told}");
        // The check goes on behind it.
        let found = check(&outer);
        assert_eq!(
            (found.len(), found[0].line, found[0].code),
            (1, 2, "bad-include")
        );
        assert!(found[0].message.contains(why), "{found:?}");
    }
}

#[test]
fn a_directory_without_permission_is_named_with_the_line() {
    let dir = Dir::new("forbidden");
    std::fs::set_permissions(&dir.0, PermissionsExt::from_mode(0o755)).unwrap();
    let closed = dir.0.join("closed");
    std::fs::create_dir(&closed).unwrap();
    std::fs::write(closed.join("a.conf"), "lxc.tty.max = 1\n").unwrap();
    std::fs::set_permissions(&closed, PermissionsExt::from_mode(0o0)).unwrap();
    let as_directory = dir.file("slash", format!("\nlxc.include = {}/\n", closed.display()));
    let as_path = dir.file("plain", format!("\nlxc.include = {}\n", closed.display()));
    let inside = dir.file(
        "inside",
        format!("\nlxc.include = {}/a.conf\n", closed.display()),
    );
    // The file-system ids are the thread's own: root loses its privilege over files in it alone.
    let user = std::thread::spawn(move || {
        if nix::unistd::geteuid().is_root() {
            nix::unistd::setfsgid(nix::unistd::Gid::from_raw(65_534));
            nix::unistd::setfsuid(nix::unistd::Uid::from_raw(65_534));
        }
        for file in [as_directory, as_path, inside] {
            let told = chain(&load(&file).unwrap_err());
            let name = file.file_name().unwrap().to_string_lossy().into_owned();
            assert!(told.contains(&format!("{name}:2:15")), "{told}");
            assert!(
                told.contains("closed") && told.contains("Permission denied"),
                "{told}"
            );
            let found = check(&file);
            assert_eq!((found.len(), found[0].line), (1, 2), "{found:?}");
            assert!(found[0].message.contains("Permission denied"), "{found:?}");
        }
    });
    user.join().unwrap();
}

#[test]
fn foreign_bytes_are_kept_and_nul_is_refused() {
    let dir = Dir::new("bytes");
    let text = b"# \xe9t\xe9\nlxc.uts.name = \xff\xfe\n";
    let document = load(&dir.file("latin1", text)).unwrap();
    document.save(&dir.0.join("saved")).unwrap();
    assert_eq!(std::fs::read(dir.0.join("saved")).unwrap(), text);
    let text =
        chain(&load(&dir.file("nul", b"lxc.tty.max = 1\nlxc.uts\0.name = a\n")).unwrap_err());
    assert!(text.contains("nul:2:8"), "{text}");
}

#[test]
fn no_value_can_write_a_second_line() {
    let mut document = Document::new();
    for (key, value) in [
        ("lxc.uts.name", "a\nlxc.hook.pre-start = rm"),
        ("lxc.uts.name", "a\rlxc.hook.pre-start = rm"),
        ("lxc.uts.name", "a\0"),
        ("lxc.sysctl.a\nlxc.hook.start", "x"),
        ("lxc.environment", "A=b\n"),
    ] {
        assert!(matches!(
            document.set(key, value),
            Err(KeyError::LineBreak { .. })
        ));
    }
    assert_eq!(document.text(), "");
    document.set("lxc.uts.name", "a").unwrap();
    assert_eq!(document.text().lines().count(), 1);
}

#[test]
fn saving_keeps_mode_and_links_and_leaves_nothing_behind() {
    let dir = Dir::new("save");
    let mut document = Document::new();
    document.set("lxc.uts.name", "a").unwrap();
    let file = dir.file("config", "old");
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o604)).unwrap();
    let link = dir.0.join("link");
    symlink("config", &link).unwrap();
    document.save(&link).unwrap();
    assert!(std::fs::symlink_metadata(&link).unwrap().is_symlink());
    assert_eq!(std::fs::metadata(&file).unwrap().mode() & 0o777, 0o604);
    assert_eq!(
        std::fs::read_to_string(&file).unwrap(),
        "lxc.uts.name = a\n"
    );
    document.save(&dir.0.join("new")).unwrap();
    assert_eq!(
        std::fs::metadata(dir.0.join("new")).unwrap().mode() & 0o707,
        0o600
    );
    assert!(document.save(&dir.0.join("no/such/dir")).is_err());
    assert_eq!(std::fs::read_dir(&dir.0).unwrap().count(), 3);
}

/// A short run of what the fuzz target does for long.
#[test]
fn random_bytes_never_panic() {
    let mut state = 0x9e37_79b9_7f4a_7c15u64;
    let mut next = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as usize
    };
    let words: Vec<&[u8]> = vec![
        b"lxc.",
        b"net.",
        b"0.",
        b"type",
        b" = ",
        b"=",
        b"\n",
        b"\r",
        b"#",
        b"'",
        b"\"",
        b"\0",
        b"\xff",
        b"x",
        b"idmap",
        b"u 0 1 2",
        b"mount.entry",
        b"cgroup2.",
        b"hwaddr",
        b"xx:xx",
        b"ipv4.address",
        b"1.2.3.4/33",
        b"9999999999999999999999",
        b"-",
        b"prlimit.",
        b"include",
        b"veth",
        b"\xc3\xa9",
        b"MB",
        b"console.size",
        b"\\0",
        b"\\",
        b"none",
        b" ",
        b"bind,create=",
        b"time.offset.boot",
    ];
    let dir = Dir::new("random");
    for _ in 0..1000 {
        let mut text = Vec::new();
        for _ in 0..next() % 40 {
            if next() % 4 == 0 {
                text.push(next() as u8);
            } else {
                text.extend_from_slice(words[next() % words.len()]);
            }
        }
        let mut document = Document::with_origins();
        if document.load_text(Path::new("random"), &text).is_ok() {
            Document::new()
                .load_text(Path::new("saved"), &document.text_bytes())
                .unwrap();
        }
        let _ = document.effective(true);
        let lossy = String::from_utf8_lossy(&text);
        let (key, value) = lossy.split_at(
            lossy
                .char_indices()
                .nth(lossy.chars().count() / 2)
                .map_or(0, |c| c.0),
        );
        let _ = (
            document.set(key, value),
            document.get(key),
            document.clear(key),
            document.keys(Some(key)),
        );
        let _ = (MountEntry::parse(&lossy), rlxc_config::explain(key));
        let converted = rlxc_config::update_legacy(&text);
        assert_eq!(rlxc_config::update_legacy(&converted), converted);
        let _ = render(&check(&dir.file("config", &text)));
    }
}

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

#[test]
fn v1_limits_on_a_v2_host_are_a_located_warning_or_an_error_as_asked() {
    let dir = Dir::new("v1");
    let inner = dir.file("inner", "\nlxc.cgroup.memory.limit_in_bytes = 1G\n");
    let text = format!(
        "lxc.include = {}\nlxc.cgroup.dir = x\nlxc.cgroup.relative = 1\n  lxc.cgroup.pids.max = 5\nlxc.cgroup2.pids.max = 5\n",
        inner.display()
    );
    let outer = dir.file("outer", &text);

    let mut document = Document::new().with_v1_limits(V1Limits::Warn);
    document.load_file(&outer).unwrap();
    document.set("lxc.cgroup.cpu.shares", "5").unwrap();
    let said: Vec<String> = document
        .warnings()
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(said.len(), 3, "{said:?}");
    assert!(said[0].starts_with(&format!("{}:2:1: lxc.cgroup.memory", inner.display())));
    assert!(said[1].starts_with(&format!("{}:4:3: lxc.cgroup.pids.max: ", outer.display())));
    assert!(said[2].starts_with("lxc.cgroup.cpu.shares: "), "{said:?}");
    // The values are kept and saved all the same.
    assert_eq!(document.get("lxc.cgroup.pids.max").unwrap(), "5\n");
    assert!(document.text().contains("\n  lxc.cgroup.pids.max = 5\n"));
    document.clear("lxc.cgroup").unwrap();
    assert!(document.warnings().is_empty());

    let mut document = Document::new().with_v1_limits(V1Limits::Refuse);
    let text = chain(&document.load_file(&outer).unwrap_err());
    assert!(
        text.contains("inner:2:36") && text.contains("lxc.cgroup2"),
        "{text}"
    );
    assert!(document.set("lxc.cgroup.pids.max", "5").is_err());
    document.set("lxc.cgroup.pids.max", "").unwrap();
    document.set("lxc.cgroup.dir", "x").unwrap();

    let mut document = Document::new().with_v1_limits(V1Limits::Accept);
    document.load_file(&outer).unwrap();
    assert!(document.warnings().is_empty());
}

#[test]
fn configurations_of_other_programs_load_check_and_save_as_they_are() {
    let files = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/consumers");
    let dir = Dir::new("consumers");
    for entry in std::fs::read_dir(files).unwrap() {
        let path = entry.unwrap().path();
        let options = CheckOptions {
            host: false,
            unified: true,
            strict_cgroup: false,
        };
        let found = check_with(&path, options);
        assert!(found.is_empty(), "{}", render(&found));
        let document = load(&path).unwrap();
        let saved = dir.0.join("saved");
        document.save(&saved).unwrap();
        assert_eq!(
            std::fs::read(&saved).unwrap(),
            std::fs::read(&path).unwrap()
        );
        // Written by calls, as these programs do it, the text is the same too.
        let text = std::fs::read_to_string(&path).unwrap();
        let mut called = Document::new();
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        for line in lines.clone() {
            let (key, value) = line.split_once(" =").unwrap();
            let value = value.strip_prefix(' ').unwrap_or(value);
            called.set(key, value).unwrap();
        }
        let expected: String = lines
            .filter(|line| !line.ends_with('='))
            .map(|line| format!("{line}\n"))
            .collect();
        assert_eq!(called.text(), expected);
        let mut again = Document::new();
        again.load_text(&path, &called.text_bytes()).unwrap();
        assert_eq!(again.config().cgroup2, called.config().cgroup2);
        assert_eq!(again.config().net, called.config().net);
    }
}

#[test]
fn the_hosts_own_files_are_checked_as_what_they_are() {
    let dir = Dir::new("host-files");
    let codes = |path: &Path| -> Vec<(usize, usize, &str)> {
        let found = check(path);
        found.iter().map(|d| (d.line, d.column, d.code)).collect()
    };
    let text = "# x\n\nlxc.lxcpath = /srv/lxc\nlxc.lxcpth = /x\nlxc.bdev.lvm.vg = vg0 \nlxc.lxcpath=/y\nzfs\n\
        lxc.cgroup.use = a # b\n";
    assert_eq!(
        codes(&dir.file("lxc.conf", text)),
        [
            (4, 1, "unknown-key"),
            (5, 22, "trailing-blank"),
            (6, 1, "repeated-key"),
            (7, 1, "no-equals"),
            (8, 20, "trailing-comment")
        ]
    );
    // Incus calls a container's file so.
    assert_eq!(
        codes(&dir.file("lxc.conf", "lxc.uts.name = a\nlxc.lxcpath = /x\n")),
        [(2, 1, "unknown-key")]
    );
    let text = "# user type bridge n\nann veth lxcbr0 10\n@dev veth lxcbr0\nbob macvlan br0 5\n eve veth br0 x\n";
    assert_eq!(
        codes(&dir.file("lxc-usernet", text)),
        [
            (3, 1, "ignored-line"),
            (4, 5, "bad-kind"),
            (5, 15, "ignored-line")
        ]
    );
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

#[test]
fn messages_stay_short_whatever_the_length_of_a_line() {
    let dir = Dir::new("long-line");
    let long = "a".repeat(5_000_000);
    for line in [
        format!("lxc.uts.name = {long}\n"),
        format!("lxc.{long} = 1\n"),
    ] {
        let file = dir.file("long", &line);
        assert!(chain(&load(&file).unwrap_err()).len() < 1000);
        let found = check(&file);
        assert_eq!(found.len(), 1);
        assert!(found[0].message.len() < 1000);
        assert!(render(&found).len() < 4000, "{}", render(&found).len());
    }
}
