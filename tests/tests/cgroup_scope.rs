//! A scope of systemd's for an ordinary user's container: what is asked of the user's manager, and,
//! in the VM, what the container gets from it.

use std::collections::HashMap;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rlxc_tests::{Actor, Place, ok, rootfs, said};
use zbus::zvariant::{OwnedObjectPath, OwnedValue};

/// A bus of the test's own, for any user.
struct Bus {
    daemon: Child,
    dir: PathBuf,
}

impl Bus {
    fn new(name: &str) -> Option<Self> {
        if !rlxc_tests::is_root() || !Path::new("/usr/bin/dbus-daemon").exists() {
            rlxc_tests::skipped("root and /usr/bin/dbus-daemon (package dbus-daemon)");
            return None;
        }
        let dir = std::env::temp_dir().join(format!("rlxc-bus-{name}-{}", std::process::id()));
        std::fs::create_dir(&dir).ok()?;
        std::fs::set_permissions(&dir, std::fs::Permissions::from_mode(0o755)).ok()?;
        let text = format!(
            "<busconfig><type>session</type><listen>unix:path={}/bus</listen><auth>EXTERNAL</auth>\
             <policy context=\"default\"><allow user=\"*\"/><allow own=\"*\"/>\
             <allow send_destination=\"*\"/><allow eavesdrop=\"true\"/></policy></busconfig>",
            dir.display()
        );
        let file = dir.join("bus.conf");
        std::fs::write(&file, text).ok()?;
        let daemon = Command::new("dbus-daemon")
            .arg(format!("--config-file={}", file.display()))
            .args(["--nofork", "--nopidfile"])
            .stdin(Stdio::null())
            .spawn()
            .ok()?;
        let bus = Self { daemon, dir };
        let deadline = Instant::now() + Duration::from_secs(30);
        while !bus.dir.join("bus").exists() && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(10));
        }
        let _ =
            std::fs::set_permissions(bus.dir.join("bus"), std::fs::Permissions::from_mode(0o666));
        Some(bus)
    }

    fn address(&self) -> String {
        format!("unix:path={}/bus", self.dir.display())
    }
}

impl Drop for Bus {
    fn drop(&mut self) {
        let _ = self.daemon.kill();
        let _ = self.daemon.wait();
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}

/// What the stand-in was asked for: the unit, and its properties or the leaf.
#[derive(Debug, Clone, PartialEq)]
struct Asked {
    unit: String,
    mode: String,
    pids: Vec<u32>,
    delegate: bool,
    collect: String,
}

/// Unit, leaf and processes of an `AttachProcessesToUnit`.
type Attached = (String, String, Vec<u32>);

/// systemd's manager as far as scopes go. With a tree it moves processes as the real one does.
#[derive(Clone, Default)]
struct Manager {
    asked: Arc<Mutex<Vec<Asked>>>,
    attached: Arc<Mutex<Vec<Attached>>>,
    taken: Vec<String>,
    result: &'static str,
    tree: Option<(PathBuf, u32)>,
}

impl Manager {
    fn own(&self, dir: &Path) -> std::io::Result<()> {
        let Some((_, uid)) = &self.tree else {
            return Ok(());
        };
        std::fs::create_dir_all(dir)?;
        for file in [
            "",
            "cgroup.procs",
            "cgroup.threads",
            "cgroup.subtree_control",
        ] {
            chown(dir.join(file), Some(*uid), Some(*uid))?;
        }
        Ok(())
    }

    fn fill(&self, below: &str, pids: &[u32]) -> zbus::fdo::Result<()> {
        let Some((top, _)) = &self.tree else {
            return Ok(());
        };
        let dir = top.join(below.trim_start_matches('/'));
        let moved = self.own(&dir).and_then(|()| {
            pids.iter()
                .try_for_each(|pid| std::fs::write(dir.join("cgroup.procs"), pid.to_string()))
        });
        moved.map_err(|error| zbus::fdo::Error::Failed(format!("{}: {error}", dir.display())))
    }
}

#[zbus::interface(name = "org.freedesktop.systemd1.Manager")]
impl Manager {
    fn subscribe(&self) {}

    fn start_transient_unit(
        &self,
        #[zbus(connection)] connection: &zbus::Connection,
        unit: String,
        mode: String,
        properties: Vec<(String, OwnedValue)>,
        _auxiliary: Vec<(String, Vec<(String, OwnedValue)>)>,
    ) -> Result<OwnedObjectPath, Refusal> {
        if self.taken.contains(&unit) {
            return Err(Refusal::UnitExists(format!(
                "Unit {unit} was already loaded"
            )));
        }
        let mut properties: HashMap<String, OwnedValue> = properties.into_iter().collect();
        let mut take = |name: &str| properties.remove(name);
        let pids = take("PIDs").and_then(|v| Vec::<u32>::try_from(v).ok());
        let asked = Asked {
            mode,
            pids: pids.unwrap_or_default(),
            delegate: take("Delegate").and_then(|v| bool::try_from(v).ok()) == Some(true),
            collect: take("CollectMode")
                .and_then(|v| String::try_from(v).ok())
                .unwrap_or_default(),
            unit: unit.clone(),
        };
        self.fill(&unit, &asked.pids)
            .map_err(|error| Refusal::Failed(error.to_string()))?;
        if let Ok(mut all) = self.asked.lock() {
            all.push(asked);
        }
        let job = OwnedObjectPath::try_from("/org/freedesktop/systemd1/job/7")
            .map_err(|error| Refusal::Failed(error.to_string()))?;
        // The job of another unit ends first; ours a moment after the call.
        let (connection, result, done) = (connection.clone(), self.result, job.clone());
        std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(50));
            let connection = zbus::blocking::Connection::from(connection);
            let path = "/org/freedesktop/systemd1";
            let interface = "org.freedesktop.systemd1.Manager";
            let other = OwnedObjectPath::try_from("/org/freedesktop/systemd1/job/6");
            if let Ok(other) = other {
                let body = (6_u32, other, "other.service", "failed");
                let _ = connection.emit_signal(None::<&str>, path, interface, "JobRemoved", &body);
            }
            let body = (7_u32, done, unit, result);
            let _ = connection.emit_signal(None::<&str>, path, interface, "JobRemoved", &body);
        });
        Ok(job)
    }

    fn attach_processes_to_unit(
        &self,
        unit: String,
        leaf: String,
        pids: Vec<u32>,
    ) -> zbus::fdo::Result<()> {
        self.fill(&format!("{unit}{leaf}"), &pids)?;
        if let Ok(mut all) = self.attached.lock() {
            all.push((unit, leaf, pids));
        }
        Ok(())
    }
}

#[derive(Debug, zbus::DBusError)]
#[zbus(prefix = "org.freedesktop.systemd1")]
enum Refusal {
    #[zbus(error)]
    ZBus(zbus::Error),
    UnitExists(String),
    Failed(String),
}

fn serve(bus: &Bus, manager: &Manager) -> zbus::blocking::Connection {
    let built = zbus::blocking::connection::Builder::address(bus.address().as_str())
        .and_then(|b| b.name("org.freedesktop.systemd1"))
        .and_then(|b| b.serve_at("/org/freedesktop/systemd1", manager.clone()))
        .and_then(zbus::blocking::connection::Builder::build);
    match built {
        Ok(connection) => connection,
        Err(error) => panic!("the stand-in on the bus: {error}"),
    }
}

fn worker(bus: &Bus, verb: &str, what: &str, pid: &str) -> Output {
    let mut command = Command::new(rlxc_tests::bin_dir().join("rlxc-worker"));
    command.args(["scope", verb, &bus.address(), what, pid]);
    rlxc_tests::run(&mut command)
}

#[test]
fn the_users_manager_is_asked_for_a_delegated_scope_with_the_next_free_name() {
    let Some(bus) = Bus::new("ask") else { return };
    let nobody = worker(&bus, "start", "web", "123");
    assert!(!nobody.status.success());
    assert!(
        said(&nobody).contains("org.freedesktop.systemd1"),
        "{}",
        said(&nobody)
    );
    let manager = Manager {
        taken: vec!["lxc-web-0.scope".to_owned()],
        result: "done",
        ..Manager::default()
    };
    let _connection = serve(&bus, &manager);
    assert_eq!(
        ok(&worker(&bus, "start", "web", "123")).trim(),
        "lxc-web-1.scope"
    );
    assert_eq!(
        ok(&worker(&bus, "start", "a b", "124")).trim(),
        "lxc-a\\x20b-0.scope"
    );
    let asked = manager
        .asked
        .lock()
        .map(|all| all.clone())
        .unwrap_or_default();
    let wanted = Asked {
        unit: "lxc-web-1.scope".to_owned(),
        mode: "fail".to_owned(),
        pids: vec![123],
        delegate: true,
        collect: "inactive-or-failed".to_owned(),
    };
    assert_eq!(asked.first(), Some(&wanted));
    ok(&worker(&bus, "attach", "lxc-web-1.scope", "125"));
    let attached = manager
        .attached
        .lock()
        .map(|all| all.clone())
        .unwrap_or_default();
    let leaf = ("lxc-web-1.scope".to_owned(), "/init".to_owned(), vec![125]);
    assert_eq!(attached, [leaf]);
}

#[test]
fn a_job_that_fails_and_a_bus_that_is_not_there_are_told() {
    let Some(bus) = Bus::new("fail") else { return };
    let manager = Manager {
        result: "timeout",
        ..Manager::default()
    };
    let connection = serve(&bus, &manager);
    let failed = worker(&bus, "start", "web", "123");
    assert!(!failed.status.success());
    assert!(
        said(&failed).contains("lxc-web-0.scope: the job is timeout"),
        "{}",
        said(&failed)
    );
    drop(connection);
    let mut command = Command::new(rlxc_tests::bin_dir().join("rlxc-worker"));
    command.args(["scope", "start", "unix:path=/nowhere/bus", "web", "123"]);
    let failed = rlxc_tests::run(&mut command);
    assert!(
        !failed.status.success() && said(&failed).contains("No such file"),
        "{}",
        said(&failed)
    );
}

/// A tree of cgroups in which the user's systemd would be, removed at the end.
struct Tree(PathBuf);

impl Tree {
    fn new(name: &str) -> Option<Self> {
        let top = Path::new("/sys/fs/cgroup");
        if std::env::var_os("RLXC_VM").is_none() || !top.join("cgroup.controllers").exists() {
            rlxc_tests::skipped("the VM: cargo xtask vm-test");
            return None;
        }
        let dir = top.join(name);
        std::fs::create_dir(&dir).ok()?;
        for dir in [top, &dir] {
            let all = std::fs::read_to_string(dir.join("cgroup.controllers")).ok()?;
            let on: Vec<String> = all.split_whitespace().map(|c| format!("+{c}")).collect();
            std::fs::write(dir.join("cgroup.subtree_control"), on.join(" ")).ok()?;
        }
        Some(Self(dir))
    }
}

impl Drop for Tree {
    fn drop(&mut self) {
        let _ = std::fs::write(self.0.join("cgroup.kill"), "1");
        let mut find = Command::new("find");
        find.arg(&self.0).args(["-depth", "-type", "d", "-delete"]);
        for _ in 0..100 {
            if !self.0.exists() || find.status().is_ok_and(|status| status.success()) {
                break;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

fn configure(place: &Place, name: &str) {
    let folder = place.path().join(name);
    assert!(std::fs::create_dir(&folder).is_ok());
    let root = place.path().join(format!("{name}-root"));
    assert!(rootfs::busybox(&root, 1_200_000).is_ok());
    let text = format!(
        "lxc.rootfs.path = dir:{}\nlxc.uts.name = {name}\nlxc.net.0.type = empty\n\
         lxc.mount.auto = proc:mixed\nlxc.tty.max = 0\nlxc.pty.max = 1\nlxc.apparmor.profile = unconfined\n\
         lxc.idmap = u 0 1200000 65536\nlxc.idmap = g 0 1200000 65536\n\
         lxc.cgroup2.pids.max = 21\nlxc.init.cmd = /bin/sleep 1000\n",
        root.display()
    );
    assert!(std::fs::write(folder.join("config"), text).is_ok());
    let (uid, gid) = owner(place);
    for path in [folder.clone(), folder.join("config")] {
        assert!(chown(path, Some(uid), Some(gid)).is_ok());
    }
}

fn owner(place: &Place) -> (u32, u32) {
    std::fs::metadata(place.path()).map_or((0, 0), |m| (m.uid(), m.gid()))
}

/// `rlxc VERB` by the user, who knows the bus.
fn rlxc(place: &Place, bus: &str, verb: &str, args: &[&str]) -> Output {
    let mut command = place.command(rlxc_tests::bin_dir().join("rlxc"));
    command.env("DBUS_SESSION_BUS_ADDRESS", bus);
    command.arg(verb).arg("-P").arg(place.path()).args(args);
    rlxc_tests::run(&mut command)
}

/// Started, limited, attached to and stopped in a scope below `tree`.
fn lives_in_a_scope(place: &Place, bus: &str, tree: &Path) {
    configure(place, "scoped");
    let started = rlxc(place, bus, "start", &["-n", "scoped"]);
    ok(&started);
    let payload = tree.join("lxc-scoped-0.scope/lxc.payload.scoped");
    let limit = std::fs::read_to_string(payload.join("pids.max")).unwrap_or_default();
    assert_eq!(
        limit.trim(),
        "21",
        "{}: {}",
        payload.display(),
        said(&started)
    );
    // From a cgroup of root's no process of the user's could be moved there but by systemd.
    let words = ["-n", "scoped", "--", "/bin/cat", "/proc/self/cgroup"];
    let inside = rlxc(place, bus, "attach", &words);
    assert!(ok(&inside).starts_with("0::/.lxc"), "{}", said(&inside));
    let info = rlxc(place, bus, "info", &["-n", "scoped"]);
    assert!(ok(&info).contains("Memory use"), "{}", said(&info));
    ok(&rlxc(place, bus, "stop", &["-k", "-n", "scoped"]));
    let deadline = Instant::now() + Duration::from_secs(20);
    while payload.exists() && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(50));
    }
    assert!(!payload.exists());
}

#[test]
fn a_users_container_lives_in_its_scope_with_limits_and_is_attached_to_through_systemd() {
    let Some(tree) = Tree::new("rlxc-cg-scope") else {
        return;
    };
    let (Some(bus), Some(place)) = (Bus::new("live"), Place::new(Actor::UserWithIds)) else {
        return;
    };
    let manager = Manager {
        result: "done",
        tree: Some((tree.0.clone(), owner(&place).0)),
        ..Manager::default()
    };
    let _connection = serve(&bus, &manager);
    lives_in_a_scope(&place, &bus.address(), &tree.0);
    let attached = manager
        .attached
        .lock()
        .map(|all| all.len())
        .unwrap_or_default();
    assert!(attached > 0);
}

/// A systemd that runs as a user's manager, in a cgroup that belongs to the user.
struct UserSystemd {
    manager: Child,
    bus: Child,
    run: PathBuf,
}

impl Drop for UserSystemd {
    fn drop(&mut self) {
        for child in [&mut self.manager, &mut self.bus] {
            let _ = child.kill();
            let _ = child.wait();
        }
        let _ = std::fs::remove_dir_all(&self.run);
    }
}

#[test]
fn the_real_systemd_gives_a_users_container_its_scope() {
    let Some(tree) = Tree::new("rlxc-cg-systemd") else {
        return;
    };
    let systemd = "/usr/lib/systemd/systemd";
    if !Path::new(systemd).exists() || !Path::new("/usr/bin/dbus-daemon").exists() {
        rlxc_tests::skipped("systemd and dbus-daemon (packages systemd, dbus-daemon)");
        return;
    }
    let Some(place) = Place::new(Actor::UserWithIds) else {
        return;
    };
    let (uid, gid) = owner(&place);
    // sd_booted(3): the manager of a user wants a machine that systemd has booted.
    let _ = std::fs::create_dir_all("/run/systemd/system");
    let run = PathBuf::from(format!("/run/user/{uid}"));
    let _ = std::fs::create_dir_all(&run);
    assert!(chown(&run, Some(uid), Some(gid)).is_ok());
    let _ = std::fs::set_permissions(&run, std::fs::Permissions::from_mode(0o700));
    let home = tree.0.join("user");
    assert!(std::fs::create_dir(&home).is_ok());
    let dirs = [tree.0.clone(), home.clone()];
    for dir in &dirs {
        for file in [
            "",
            "cgroup.procs",
            "cgroup.threads",
            "cgroup.subtree_control",
        ] {
            assert!(chown(dir.join(file), Some(uid), Some(gid)).is_ok());
        }
    }
    let bus = format!("unix:path={}/bus", run.display());
    let user = |program: &str, args: &[&str], cgroup: &Path| {
        let mut command = place.command("sh");
        let line = "exec \"$@\"";
        command.args(["-c", line, "sh", program]).args(args);
        command.env("XDG_RUNTIME_DIR", &run);
        command.env("DBUS_SESSION_BUS_ADDRESS", &bus);
        // Into its cgroup first, which only root can do.
        let mut outer = Command::new("sh");
        let enter = format!("echo $$ > {}/cgroup.procs; exec \"$@\"", cgroup.display());
        outer.args(["-c", &enter, "sh"]).arg(command.get_program());
        outer.args(command.get_args());
        for (name, value) in command.get_envs() {
            match value {
                Some(value) => outer.env(name, value),
                None => outer.env_remove(name),
            };
        }
        outer.stdin(Stdio::null());
        outer
    };
    let address = format!("--address={bus}");
    let daemon = user(
        "dbus-daemon",
        &["--session", "--nofork", "--nopidfile", &address],
        &home,
    );
    let mut daemon = daemon;
    let Ok(daemon) = daemon.spawn() else { return };
    let mut manager = user(
        systemd,
        &["--user", "--unit=basic.target", "--log-target=console"],
        &home,
    );
    let Ok(manager) = manager.spawn() else { return };
    let systemd = UserSystemd {
        manager,
        bus: daemon,
        run: run.clone(),
    };
    let deadline = Instant::now() + Duration::from_secs(120);
    let ready = || {
        let words = ["--user", "is-active", "basic.target"];
        let output = rlxc_tests::run(&mut user("systemctl", &words, &tree.0.join("callers")));
        said(&output).trim() == "active"
    };
    let callers = tree.0.join("callers");
    assert!(std::fs::create_dir(&callers).is_ok());
    for file in ["", "cgroup.procs"] {
        assert!(chown(callers.join(file), Some(uid), Some(gid)).is_ok());
    }
    while !ready() && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(500));
    }
    assert!(ready(), "the user's systemd has not come up");
    configure(&place, "scoped");
    let program = rlxc_tests::bin_dir().join("rlxc");
    let program = program.to_string_lossy();
    let path = place.path().to_string_lossy().into_owned();
    let call = |verb: &str, args: &[&str]| {
        let words: Vec<&str> = [verb, "-P", &path].iter().chain(args).copied().collect();
        rlxc_tests::run(&mut user(&program, &words, &callers))
    };
    let started = call("start", &["-n", "scoped"]);
    ok(&started);
    let show = [
        "--user",
        "show",
        "lxc-scoped-0.scope",
        "-p",
        "ControlGroup",
        "-p",
        "Delegate",
    ];
    let shown = ok(&rlxc_tests::run(&mut user("systemctl", &show, &callers)));
    assert!(
        shown.contains("Delegate=yes"),
        "{shown}: {}",
        said(&started)
    );
    let cgroup = shown
        .lines()
        .find_map(|line| line.strip_prefix("ControlGroup="));
    let scope = Path::new("/sys/fs/cgroup").join(cgroup.unwrap_or("/").trim_start_matches('/'));
    let payload = scope.join("lxc.payload.scoped");
    assert!(payload.exists(), "{}", payload.display());
    let limit = std::fs::read_to_string(payload.join("pids.max")).unwrap_or_default();
    assert_eq!(limit.trim(), "21");
    let words = ["-n", "scoped", "--", "/bin/cat", "/proc/self/cgroup"];
    assert!(ok(&call("attach", &words)).starts_with("0::/.lxc"));
    ok(&call("stop", &["-k", "-n", "scoped"]));
    let deadline = Instant::now() + Duration::from_secs(30);
    while scope.exists() && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(100));
    }
    assert!(!scope.exists(), "systemd keeps {}", scope.display());
    drop(systemd);
}
