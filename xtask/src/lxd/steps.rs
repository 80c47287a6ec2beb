//! The steps: what is done, and what has to be seen afterwards.

use std::time::{Duration, Instant};

use super::Lxd;

type Outcome = Result<(), String>;
type Step = (&'static str, fn(&Lxd) -> Outcome);

const STEPS: &[Step] = &[
    ("launch an unprivileged container", launch_unprivileged),
    ("launch a privileged container", launch_privileged),
    ("list both as running", list),
    ("exec: ids, status, environment, directory, input", exec),
    ("exec as another user", exec_user),
    ("info with the container's log", info),
    ("limits: memory, processes, processors", limits),
    ("pause and go on", pause),
    ("push and pull files", files),
    ("devices: a host directory, a character device", devices),
    ("the console's log", console_log),
    ("reboot from inside", reboot_inside),
    ("restart", restart),
    ("snapshot and restore", snapshot),
    ("copy", copy),
    ("rename", rename),
    ("the daemon's monitor of states", states),
    ("stop in good order, start again, stop by force", stop),
    ("delete", delete),
];

/// Every step, whatever the others did; the closing line counts.
pub(super) fn run(lxd: &Lxd) -> Outcome {
    let mut failed = 0;
    for (name, step) in STEPS {
        let begin = Instant::now();
        match step(lxd) {
            Ok(()) => println!(
                "test {name} ... ok ({:.1} s)",
                begin.elapsed().as_secs_f32()
            ),
            Err(reason) => {
                failed += 1;
                println!("test {name} ... FAILED\n  {}", reason.replace('\n', "\n  "));
            }
        }
    }
    println!("lxd: {} passed, {failed} failed", STEPS.len() - failed);
    match failed {
        0 => Ok(()),
        _ => Err(format!("lxd-test: {failed} steps failed")),
    }
}

fn expect(what: &str, said: &str, wanted: &str) -> Outcome {
    match said.contains(wanted) {
        true => Ok(()),
        false => {
            let said: String = said.trim().chars().take(500).collect();
            Err(format!("{what}: {wanted:?} is not in {said:?}"))
        }
    }
}

fn state(lxd: &Lxd, name: &str) -> Result<String, String> {
    let said = lxd.lxc(&["list", "--format", "csv", "-c", "ns"])?;
    let line = said
        .lines()
        .find_map(|line| line.strip_prefix(&format!("{name},")));
    Ok(line.unwrap_or("missing").to_owned())
}

/// The state is there within ten seconds.
fn wait_state(lxd: &Lxd, name: &str, wanted: &str) -> Outcome {
    let end = Instant::now() + Duration::from_secs(10);
    loop {
        let found = state(lxd, name)?;
        if found == wanted {
            return Ok(());
        }
        if Instant::now() > end {
            return Err(format!("{name} is {found}, not {wanted}"));
        }
        std::thread::sleep(Duration::from_millis(100));
    }
}

fn inside(lxd: &Lxd, name: &str, words: &[&str]) -> Result<String, String> {
    lxd.lxc(&[&["exec", name, "--"], words].concat())
}

/// Init's pid as the host sees it.
fn init_pid(lxd: &Lxd, name: &str) -> Result<String, String> {
    let said = lxd.lxc(&["query", &format!("/1.0/instances/{name}/state")])?;
    let line = said
        .lines()
        .find_map(|line| line.trim().strip_prefix("\"pid\": "));
    let pid = line.map(|rest| rest.trim_end_matches(',').to_owned());
    pid.ok_or_else(|| format!("no pid in {said}"))
}

fn launch_unprivileged(lxd: &Lxd) -> Outcome {
    lxd.lxc(&["launch", "bb", "l1"])?;
    wait_state(lxd, "l1", "RUNNING")?;
    let map = inside(lxd, "l1", &["/bin/cat", "/proc/self/uid_map"])?;
    match map.split_whitespace().nth(1) {
        Some(first) if first != "0" => Ok(()),
        _ => Err(format!("the container is privileged: {map}")),
    }
}

fn launch_privileged(lxd: &Lxd) -> Outcome {
    lxd.lxc(&["launch", "bb", "l2", "-c", "security.privileged=true"])?;
    wait_state(lxd, "l2", "RUNNING")?;
    let map = inside(lxd, "l2", &["/bin/cat", "/proc/self/uid_map"])?;
    expect("uid_map", &map, "4294967295")
}

fn list(lxd: &Lxd) -> Outcome {
    for name in ["l1", "l2"] {
        wait_state(lxd, name, "RUNNING")?;
    }
    let said = lxd.lxc(&["list"])?;
    expect("list", &said, "l1")?;
    expect("list", &said, "l2")
}

fn exec(lxd: &Lxd) -> Outcome {
    for name in ["l1", "l2"] {
        expect(
            "id",
            &inside(lxd, name, &["/bin/id"])?,
            "uid=0(root) gid=0(root)",
        )?;
        let (status, _, _) =
            lxd.call("lxc", &["exec", name, "--", "/bin/sh", "-c", "exit 42"], "")?;
        if status != Some(42) {
            return Err(format!("exit 42 came back as {status:?}"));
        }
        let host = inside(lxd, name, &["/bin/hostname"])?;
        expect("hostname", &host, name)?;
        let words = [
            "exec",
            name,
            "--env",
            "COLOUR=blue",
            "--cwd",
            "/mnt",
            "--",
            "/bin/sh",
            "-c",
        ];
        let said = lxd.lxc(&[&words[..], &["echo $COLOUR in $(pwd) $container"]].concat())?;
        expect("environment", &said, "blue in /mnt lxc")?;
        let said = lxd.tool(
            "lxc",
            &["exec", name, "--", "/bin/wc", "-c"],
            "twelve bytes",
        )?;
        expect("input", &said, "12")?;
        let (status, _, _) = lxd.call("lxc", &["exec", name, "--", "/bin/nosuch"], "")?;
        if status != Some(127) {
            return Err(format!("a missing program came back as {status:?}"));
        }
    }
    Ok(())
}

fn exec_user(lxd: &Lxd) -> Outcome {
    let said = lxd.lxc(&[
        "exec", "l1", "--user", "1000", "--group", "1000", "--", "/bin/id",
    ])?;
    expect("id", &said, "uid=1000(user) gid=1000(user)")?;
    // The client needs a terminal of its own, which `script` gives it.
    let command = "lxc exec l1 -t -- /bin/sh -c 'test -t 0 && echo a terminal'";
    // LXD drops the last words of a short command now and then, whatever its liblxc.
    let mut said = String::new();
    for _ in 0..6 {
        said = lxd.tool("script", &["-qec", command, "/dev/null"], "")?;
        if said.contains("a terminal") {
            break;
        }
    }
    expect("exec on a terminal", &said, "a terminal")
}

fn info(lxd: &Lxd) -> Outcome {
    let said = lxd.lxc(&["info", "l1", "--show-log"])?;
    expect("info", &said, "Status: RUNNING")?;
    expect("info", &said, "Processes:")?;
    expect("info", &said, "Log:")
}

fn limits(lxd: &Lxd) -> Outcome {
    lxd.lxc(&["config", "set", "l1", "limits.memory", "64MiB"])?;
    let pid = init_pid(lxd, "l1")?;
    let limit = cgroup_file(&pid, "memory", "memory.limit_in_bytes", "memory.max")?;
    expect("the memory limit", &limit, "67108864")?;
    lxd.lxc(&["config", "set", "l1", "limits.processes", "123"])?;
    let limit = cgroup_file(&pid, "pids", "pids.max", "pids.max")?;
    expect("the limit of processes", &limit, "123")?;
    lxd.lxc(&["config", "set", "l1", "limits.cpu", "1"])?;
    // The daemon spreads the processors in its own time.
    let end = Instant::now() + Duration::from_secs(15);
    loop {
        let cpus = cgroup_file(&pid, "cpuset", "cpuset.cpus", "cpuset.cpus")?;
        if cpus.trim().parse::<u32>().is_ok() {
            break;
        }
        if Instant::now() > end {
            return Err(format!("limits.cpu=1 left the processors {cpus:?}"));
        }
        std::thread::sleep(Duration::from_millis(200));
    }
    let said = lxd.lxc(&["query", "/1.0/instances/l1/state"])?;
    expect("state", &said, "\"memory\"")?;
    for key in ["limits.memory", "limits.processes", "limits.cpu"] {
        lxd.lxc(&["config", "unset", "l1", key])?;
    }
    let limit = cgroup_file(&pid, "pids", "pids.max", "pids.max")?;
    expect("the limit of processes", &limit, "max")
}

/// A file of the container's cgroup: v1's name below its controller, else v2's.
fn cgroup_file(pid: &str, controller: &str, v1: &str, v2: &str) -> Result<String, String> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/cgroup")).map_err(|e| e.to_string())?;
    for line in text.lines() {
        let mut fields = line.splitn(3, ':').skip(1);
        let (Some(names), Some(path)) = (fields.next(), fields.next()) else {
            continue;
        };
        let file = match names {
            "" => format!("/sys/fs/cgroup{path}/{v2}"),
            _ if names.split(',').any(|name| name == controller) => {
                format!("/sys/fs/cgroup/{names}{path}/{v1}")
            }
            _ => continue,
        };
        if let Ok(text) = std::fs::read_to_string(&file) {
            return Ok(text);
        }
    }
    Err(format!("no cgroup of {pid} has {v1} or {v2}:\n{text}"))
}

fn pause(lxd: &Lxd) -> Outcome {
    for name in ["l1", "l2"] {
        lxd.lxc(&["pause", name])?;
        wait_state(lxd, name, "FROZEN")?;
        lxd.lxc(&["start", name])?;
        wait_state(lxd, name, "RUNNING")?;
        inside(lxd, name, &["/bin/true"])?;
    }
    Ok(())
}

fn files(lxd: &Lxd) -> Outcome {
    let file = lxd.dir.join("pushed");
    let file = file.to_string_lossy();
    std::fs::write(&*file, "pushed text\n").map_err(|e| e.to_string())?;
    for name in ["l1", "l2"] {
        let target = format!("{name}/root/pushed");
        lxd.lxc(&["file", "push", "--mode", "0640", &file, &target])?;
        let said = inside(lxd, name, &["/bin/stat", "-c", "%a %u %g", "/root/pushed"])?;
        expect("the pushed file", &said, "640 0 0")?;
        expect(
            "the pushed file",
            &inside(lxd, name, &["/bin/cat", "/root/pushed"])?,
            "pushed text",
        )?;
        let back = lxd.lxc(&["file", "pull", &format!("{name}/etc/passwd"), "-"])?;
        expect("the pulled file", &back, "root:x:0:0")?;
        lxd.lxc(&["file", "delete", &target])?;
    }
    Ok(())
}

fn devices(lxd: &Lxd) -> Outcome {
    let shared = lxd.dir.join("shared");
    std::fs::create_dir_all(&shared).map_err(|e| e.to_string())?;
    std::fs::write(shared.join("note"), "from the host").map_err(|e| e.to_string())?;
    let source = format!("source={}", shared.display());
    for name in ["l1", "l2"] {
        lxd.lxc(&[
            "config",
            "device",
            "add",
            name,
            "share",
            "disk",
            &source,
            "path=/mnt/share",
        ])?;
        let said = inside(lxd, name, &["/bin/cat", "/mnt/share/note"])?;
        expect("the shared directory", &said, "from the host")?;
        lxd.lxc(&["config", "device", "remove", name, "share"])?;
        let said = inside(lxd, name, &["/bin/ls", "/mnt"])?;
        if said.contains("note") {
            return Err("the shared directory is still there".to_owned());
        }
        lxd.lxc(&[
            "config",
            "device",
            "add",
            name,
            "nul",
            "unix-char",
            "source=/dev/full",
            "path=/dev/rlxc-full",
        ])?;
        let said = inside(
            lxd,
            name,
            &["/bin/stat", "-c", "%F %t:%T", "/dev/rlxc-full"],
        )?;
        expect("the device", &said, "character special file 1:7")?;
        inside(
            lxd,
            name,
            &["/bin/sh", "-c", "head -c 1 /dev/rlxc-full > /dev/null"],
        )?;
        lxd.lxc(&["config", "device", "remove", name, "nul"])?;
        inside(lxd, name, &["/bin/sh", "-c", "test ! -e /dev/rlxc-full"])?;
    }
    Ok(())
}

fn console_log(lxd: &Lxd) -> Outcome {
    for name in ["l1", "l2"] {
        let said = lxd.lxc(&["console", name, "--show-log"])?;
        expect("the console's log", &said, "busybox is up")?;
    }
    Ok(())
}

fn reboot_inside(lxd: &Lxd) -> Outcome {
    for name in ["l1", "l2"] {
        let before = init_pid(lxd, name)?;
        // The command's own status is lost with the container.
        let _ = lxd.call("lxc", &["exec", name, "--", "/bin/reboot", "-f"], "")?;
        let end = Instant::now() + Duration::from_secs(20);
        while init_pid(lxd, name).is_ok_and(|pid| pid == before || pid == "0") {
            if Instant::now() > end {
                return Err(format!("{name} did not come back"));
            }
            std::thread::sleep(Duration::from_millis(200));
        }
        wait_state(lxd, name, "RUNNING")?;
        inside(lxd, name, &["/bin/true"])?;
    }
    Ok(())
}

fn restart(lxd: &Lxd) -> Outcome {
    for words in [
        &["restart", "l1"][..],
        &["restart", "-f", "l1"],
        &["restart", "-f", "l2"],
    ] {
        let name = words[words.len() - 1];
        let before = init_pid(lxd, name)?;
        lxd.lxc(words)?;
        wait_state(lxd, name, "RUNNING")?;
        if init_pid(lxd, name)? == before {
            return Err(format!("{words:?} left the old init"));
        }
    }
    Ok(())
}

fn snapshot(lxd: &Lxd) -> Outcome {
    inside(lxd, "l1", &["/bin/touch", "/root/before"])?;
    lxd.lxc(&["snapshot", "l1", "first"])?;
    inside(lxd, "l1", &["/bin/rm", "/root/before"])?;
    let said = lxd.lxc(&["info", "l1"])?;
    expect("info", &said, "first")?;
    lxd.lxc(&["restore", "l1", "first"])?;
    wait_state(lxd, "l1", "RUNNING")?;
    inside(lxd, "l1", &["/bin/test", "-e", "/root/before"])?;
    Ok(())
}

fn copy(lxd: &Lxd) -> Outcome {
    lxd.lxc(&["copy", "l1/first", "l3"])?;
    wait_state(lxd, "l3", "STOPPED")?;
    lxd.lxc(&["start", "l3"])?;
    inside(lxd, "l3", &["/bin/test", "-e", "/root/before"])?;
    lxd.lxc(&["delete", "l1/first"])?;
    Ok(())
}

fn rename(lxd: &Lxd) -> Outcome {
    lxd.lxc(&["stop", "-f", "l3"])?;
    lxd.lxc(&["rename", "l3", "l4"])?;
    lxd.lxc(&["start", "l4"])?;
    expect("hostname", &inside(lxd, "l4", &["/bin/hostname"])?, "l4")?;
    lxd.lxc(&["delete", "-f", "l4"])?;
    Ok(())
}

/// A container that ends by itself is seen as stopped, without being asked.
fn states(lxd: &Lxd) -> Outcome {
    let _ = lxd.call("lxc", &["exec", "l2", "--", "/bin/kill", "-PWR", "1"], "")?;
    wait_state(lxd, "l2", "STOPPED")?;
    // The daemon's own operation of the stop lasts a moment longer than the state.
    let end = Instant::now() + Duration::from_secs(15);
    while let Err(reason) = lxd.lxc(&["start", "l2"]) {
        if Instant::now() > end {
            return Err(reason);
        }
        std::thread::sleep(Duration::from_millis(300));
    }
    wait_state(lxd, "l2", "RUNNING")
}

fn stop(lxd: &Lxd) -> Outcome {
    lxd.lxc(&["stop", "l1", "--timeout", "20"])?;
    wait_state(lxd, "l1", "STOPPED")?;
    lxd.lxc(&["start", "l1"])?;
    wait_state(lxd, "l1", "RUNNING")?;
    lxd.lxc(&["stop", "-f", "l1"])?;
    lxd.lxc(&["stop", "-f", "l2"])?;
    wait_state(lxd, "l1", "STOPPED")?;
    wait_state(lxd, "l2", "STOPPED")
}

fn delete(lxd: &Lxd) -> Outcome {
    lxd.lxc(&["delete", "l1"])?;
    lxd.lxc(&["delete", "-f", "l2"])?;
    let left = lxd.lxc(&["list", "--format", "csv", "-c", "n"])?;
    match left.trim() {
        "" => Ok(()),
        names => Err(format!("still there: {names}")),
    }
}
