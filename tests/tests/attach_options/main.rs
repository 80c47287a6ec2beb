//! Every option of `lxc_attach_options_t`, by one C program that is run on Debian's library and on ours, in the same
//! container: what the attached process sees, what the calls return, what wait(2) tells.
#![allow(clippy::unwrap_used, missing_docs)]

#[path = "../inside/mod.rs"]
mod inside;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use inside::{Inside, World};
use rlxc_monitor::Client;

/// Differences that are meant: container (`*` = all), case (`*` = all), beginning of the line, why.
const EXPLAINED: &[(&str, &str, &str, &str)] = &[
    (
        "*",
        "*",
        "/proc/self/status: SigIgn",
        "an attach of LXC's leaves its caller, and what that attaches later, deaf to SIGINT and SIGQUIT",
    ),
    (
        "*",
        "*",
        "dumpable",
        "a function has the caller's memory: nobody in the container may look into it",
    ),
    ("*", "*", "descriptors above 2", "compared below"),
    (
        "*",
        "command's descriptors",
        "",
        "5.0.2 leaves some of its own open",
    ),
    ("*", "none", "", "5.0.2 refuses to enter no namespace"),
    (
        "confined",
        "all named",
        "",
        "5.0.2 refuses the caller's own user namespace, we pass over it",
    ),
    ("confined", "user", "", "see above"),
    ("confined", "user and mnt", "", "see above"),
    ("plain", "all named", "", "see above"),
    ("plain", "user", "", "see above"),
    ("plain", "user and mnt", "", "see above"),
    ("other", "all named", "", "see above"),
    ("other", "user", "", "see above"),
    ("other", "user and mnt", "", "see above"),
    (
        "plain",
        "*",
        "ns time",
        "5.0.2 enters the time namespace, whichever are asked for",
    ),
    ("*", "remount", "ns mnt", "each has one of its own"),
    (
        "mapped",
        "unmapped uid",
        "attach",
        "we tell the caller, LXC ends the process with status 1",
    ),
    ("mapped", "unmapped gid", "attach", "see above"),
];

const DEBIAN: &str = "/usr/lib/x86_64-linux-gnu";

fn missing() -> Option<&'static str> {
    let theirs = Path::new(DEBIAN).join("liblxc.so.1");
    inside::missing().or(
        match (theirs.exists(), Path::new("/usr/bin/gcc").exists()) {
            (false, _) => Some("liblxc.so.1 of LXC (package liblxc1)"),
            (_, false) => Some("gcc (package gcc)"),
            _ => None,
        },
    )
}

/// The program, and the folder with our library by its soname.
fn program(world: &World) -> (PathBuf, PathBuf) {
    let built = Command::new(env!("CARGO"))
        .args(["build", "-q", "--workspace", "--bins", "--lib"])
        .status();
    assert!(built.unwrap().success());
    let libraries = world.lxcpath.join("libraries");
    fs::create_dir(&libraries).unwrap();
    let library = rlxc_tests::bin_dir().join("liblxc.so");
    symlink(&library, libraries.join("liblxc.so.1")).unwrap();
    symlink("liblxc.so.1", libraries.join("liblxc.so")).unwrap();
    let program = libraries.join("look");
    let repository = rlxc_tests::repository();
    let mut gcc = Command::new("gcc");
    gcc.args(["-g", "-std=gnu11", "-Wall", "-Wextra", "-Werror", "-o"]);
    gcc.arg(&program);
    gcc.arg("-I").arg(repository.join("crates/liblxc/include"));
    gcc.arg(repository.join("tests/tests/attach_options/look.c"));
    gcc.arg("-L").arg(&libraries).arg("-llxc");
    let output = gcc.output().unwrap();
    assert!(output.status.success(), "{}", rlxc_tests::said(&output));
    (program, libraries)
}

/// What the program says on one library, by case.
fn run(program: &Path, library: &Path, inside: &Inside) -> BTreeMap<String, Vec<String>> {
    let mut command = Command::new("timeout");
    command.args(["-k", "1", "120"]).arg(program);
    command.arg(&inside.lxcpath).arg(&inside.name);
    command.args(std::env::var("RLXC_TEST_CASE"));
    command
        .env_clear()
        .env("LD_LIBRARY_PATH", library)
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .env("KEPT", "k")
        .env("FROM", "caller");
    command.current_dir("/tmp").stdin(Stdio::null());
    let output = command.output().unwrap();
    let mut cases: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for line in String::from_utf8_lossy(&output.stdout).lines() {
        let (case, line) = line.split_once(": ").unwrap_or(("", line));
        cases
            .entry(case.to_owned())
            .or_default()
            .push(line.to_owned());
    }
    assert!(
        output.status.success(),
        "{}: {}",
        output.status,
        rlxc_tests::said(&output)
    );
    cases
}

fn explained(name: &str, case: &str, line: &str) -> bool {
    EXPLAINED.iter().any(|(container, of, begin, _)| {
        ["*", name].contains(container) && ["*", case].contains(of) && line.starts_with(begin)
    })
}

/// What only one of the two says.
fn differences(
    name: &str,
    theirs: &BTreeMap<String, Vec<String>>,
    ours: &BTreeMap<String, Vec<String>>,
) -> Vec<String> {
    let mut failures = Vec::new();
    let nothing = Vec::new();
    for (side, these, others) in [("LXC", theirs, ours), ("we", ours, theirs)] {
        for (case, lines) in these {
            let others = others.get(case).unwrap_or(&nothing);
            let only = lines.iter().filter(|line| !others.contains(line));
            let only = only.filter(|line| !explained(name, case, line));
            failures.extend(only.map(|line| format!("{name}, {case}: only {side}: {line}")));
        }
    }
    let open = |lines: &[String]| {
        let count = |line: &String| {
            line.strip_prefix("descriptors above 2: ")?
                .parse::<u32>()
                .ok()
        };
        lines.iter().find_map(count)
    };
    for (case, lines) in ours {
        let their = theirs.get(case).and_then(|lines| open(lines));
        if open(lines)
            .zip(their)
            .is_some_and(|(our, their)| our > their)
        {
            failures.push(format!(
                "{name}, {case}: {:?} descriptors, LXC {their:?}",
                open(lines)
            ));
        }
    }
    failures
}

#[test]
fn every_option_does_what_it_does_with_lxcs_library() {
    if let Some(what) = missing() {
        println!("skipped: {what} is missing");
        return;
    }
    let world = World::new("attach-options");
    let (program, libraries) = program(&world);
    let policy = world.lxcpath.join("policy");
    fs::write(
        &policy,
        "2\ndenylist\n[all]\nmknod errno 95\nmknodat errno 95\n",
    )
    .unwrap();
    let common = format!(
        "lxc.mount.auto = proc sys\nlxc.net.0.type = empty\nlxc.uts.name = inside\nlxc.environment = FROM=config\n\
         lxc.seccomp.profile = {}\nlxc.cap.drop = sys_time sys_module\nlxc.prlimit.core = 0\n",
        policy.display()
    );
    let maps = "lxc.idmap = u 0 100000 65536\nlxc.idmap = g 0 100000 65536\n";
    let plain = "lxc.mount.auto = proc:rw\nlxc.net.0.type = none\nlxc.namespace.keep = ipc uts\n";
    let mut failures = Vec::new();
    for (name, config, owner) in [
        ("confined", common.clone(), 0),
        ("plain", plain.to_owned(), 0),
        (
            "other",
            format!("{common}lxc.no_new_privs = 1\nlxc.arch = i686\n"),
            0,
        ),
        (
            "mapped",
            format!("{common}{maps}lxc.pty.max = 16\nlxc.tty.max = 1\n"),
            100_000,
        ),
    ] {
        let inside = world.define(name, "while :; do sleep 1; done", &config, owner);
        furnish(&inside.rootfs);
        inside.start(true).unwrap();
        // What is seen of the host may change between the two looks.
        for attempt in 0.. {
            let theirs = run(&program, Path::new(DEBIAN), &inside);
            let ours = run(&program, &libraries, &inside);
            assert!(theirs.len() > 80 || std::env::var_os("RLXC_TEST_CASE").is_some());
            let found = differences(name, &theirs, &ours);
            if found.is_empty() || attempt == 2 {
                failures.extend(found);
                break;
            }
        }
        let _ = Client::new(&world.lxcpath, name).stop();
    }
    assert!(
        failures.is_empty(),
        "{} differences\n{}",
        failures.len(),
        failures.join("\n")
    );
}

/// Files that the cases refer to.
fn furnish(rootfs: &Path) {
    symlink("/var", rootfs.join("link")).unwrap();
    let users = "root:x:0:0:root:/root:/bin/sh\nseven:x:7:8::/:/bin/sh\n";
    fs::write(rootfs.join("etc/passwd"), users).unwrap();
    for (name, text) in [
        ("script", "echo script $0 $1; exit 3\n"),
        ("badscript", "#!/nosuch\n"),
    ] {
        let file = rootfs.join(name);
        fs::write(&file, text).unwrap();
        fs::set_permissions(&file, PermissionsExt::from_mode(0o755)).unwrap();
    }
}
