//! Advisories that concern the tools and what is shipped with them, each as a test that a naive one would fail.
#![allow(clippy::unwrap_used, missing_docs)]

use std::fs;
use std::io::Read;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;

use rlxc_tests::{Actor, Place, ok, repository, run, said};

/// What an attached process says of its terminals: the file system of each that it has open, and whether it can open
/// its controlling one.
const LOOK: &str = "exec 9>/seen; for n in 0 1 2; do if test -t $n; then echo \"tty $(stat -L -c %d /proc/self/fd/$n)\" >&9; \
                    fi; done; if (: </dev/tty) 2>/dev/null; then echo controlling >&9; fi; echo end >&9";

/// CVE-2016-10124: whichever of its three streams is a terminal, an attached process never holds the caller's, neither
/// open nor as /dev/tty, from which it could type into it (TIOCSTI).
#[test]
fn an_attached_process_never_holds_the_callers_terminal() {
    let Some(place) = Place::new(Actor::Root) else {
        return;
    };
    place.create("tty", "");
    ok(&place.rlxc("start", &["-n", "tty"]));
    let rlxc = rlxc_tests::bin_dir().join("rlxc");
    let rootfs = place.path().join("tty/rootfs");
    for (redirected, terminals) in [
        ("</dev/null >/dev/null 2>/dev/null", 0),
        (">/dev/null 2>/dev/null", 1),
        ("</dev/null 2>/dev/null", 1),
        ("</dev/null >/dev/null", 1),
        ("", 3),
    ] {
        let user = rlxc_runtime::terminal::Pty::from_host().unwrap();
        let own = fs::metadata(format!("/proc/self/fd/{}", user.pts.as_raw_fd())).unwrap();
        let _ = fs::remove_file(rootfs.join("seen"));
        // A session whose controlling terminal is the user's.
        let script = format!(
            "exec {} attach -P {} -n tty -- sh -c '{LOOK}' {redirected}",
            rlxc.display(),
            place.path().display()
        );
        let mut session = Command::new("setsid");
        session.args(["--ctty", "--wait", "sh", "-c", &script]);
        let stream = || fs::File::from(user.pts.try_clone().unwrap());
        session.stdin(stream()).stdout(stream()).stderr(stream());
        let mut screen = fs::File::from(user.ptx.try_clone().unwrap());
        let reader = std::thread::spawn(move || while screen.read(&mut [0; 4096]).is_ok() {});
        let status = session.status().unwrap();
        drop((session, user));
        reader.join().unwrap();
        assert!(status.success(), "{redirected}");
        let seen = fs::read_to_string(rootfs.join("seen")).unwrap();
        let ttys: Vec<&str> = seen
            .lines()
            .filter(|line| line.starts_with("tty"))
            .collect();
        assert_eq!(ttys.len(), terminals, "{redirected}: {seen}");
        let host = format!(" {}", own.dev());
        assert!(!ttys.iter().any(|line| line.ends_with(&host)), "{seen}");
        assert_eq!(
            seen.contains("controlling"),
            terminals > 0,
            "{redirected}: {seen}"
        );
    }
}

/// CVE-2013-6441: a configuration that came with a template bound a file of the host into every container, writable.
#[test]
fn what_is_shipped_binds_no_file_of_the_host_writable() {
    fn walk(folder: &Path, files: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            match path.is_dir() {
                true => walk(&path, files),
                false => files.push(path),
            }
        }
    }
    let mut files = Vec::new();
    for folder in ["templates", "config-samples", "dist/config"] {
        walk(&repository().join(folder), &mut files);
    }
    let mut seen = 0;
    for file in files {
        let text = fs::read_to_string(&file).unwrap();
        for line in text.lines().filter(|line| line.contains("lxc.mount.entry")) {
            let value = line.split_once('=').map_or("", |(_, value)| value);
            let words: Vec<&str> = value.split_whitespace().collect();
            let [source, _, _, options, ..] = words[..] else {
                continue;
            };
            let options: Vec<&str> = options.split(',').collect();
            let binds = options.contains(&"bind") || options.contains(&"rbind");
            if !binds || options.contains(&"ro") {
                continue;
            }
            seen += 1;
            // Interfaces of the kernel and devices are no files of the host.
            let kernels = ["/sys/", "/proc/", "/dev/"]
                .iter()
                .any(|root| source.starts_with(root));
            assert!(kernels, "{}: {line}", file.display());
        }
    }
    assert!(seen > 0, "nothing was looked at");
}

/// CVE-2025-64507: a setuid program in a container's tree is one of the host's for whoever can reach it there.
#[test]
fn other_users_cannot_reach_into_a_container() {
    for actor in [Actor::Root, Actor::UserWithIds] {
        let Some(place) = Place::new(actor) else {
            return;
        };
        place.create("closed", "");
        let folder = place.path().join("closed");
        let program = folder.join("rootfs/bin/busybox");
        let reached = |program: &Path| {
            let mut command = Command::new("setpriv");
            command.args(["--reuid=65534", "--regid=65534", "--clear-groups", "--"]);
            // By way of a shell: setpriv itself has its capabilities until it executes something.
            command.args(["sh", "-c", "exec \"$0\" true"]).arg(program);
            command.current_dir("/");
            run(&mut command).status.success()
        };
        assert!(fs::metadata(&program).is_ok());
        assert!(!reached(&program), "{actor:?}: {}", folder.display());
        let mode = fs::metadata(&folder).unwrap().permissions().mode();
        assert_eq!(mode & 0o007, 0, "{actor:?}: {mode:o}");
        // A copy is not more open than what it was made of.
        let output = place.rlxc("copy", &["-n", "closed", "-N", "copied"]);
        assert!(output.status.success(), "{}", said(&output));
        assert!(!reached(&place.path().join("copied/rootfs/bin/busybox")));
    }
}
