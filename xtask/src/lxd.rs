//! `cargo xtask lxd-test`: LXD on our library, with a hand-made image, every command of daily use.
//!
//! LXD runs in a network namespace of its own, with a directory of its own; nothing of the host's
//! configuration is touched.

mod image;
mod steps;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::host;

/// The daemon and what belongs to it. Dropping it ends the daemon and takes everything down.
struct Lxd {
    dir: PathBuf,
    daemon: Child,
}

/// Runs the daemon on our library and every step; the closing line counts.
pub(crate) fn run(args: &[String]) -> Result<(), String> {
    if !host::is_root() {
        return Err("lxd-test: root only".to_owned());
    }
    for program in ["lxd", "lxc", "busybox", "tar"] {
        if host::find_program(program).is_none() {
            return Err(format!(
                "{program} is missing: apt-get install --no-install-recommends lxd lxd-client busybox-static"
            ));
        }
    }
    let profile = if args.iter().any(|arg| arg == "--release") {
        "release"
    } else {
        "debug"
    };
    // What the daemon loads: our library, or for comparison a folder with another one.
    let given = args.iter().position(|arg| arg == "--library");
    let library = match given.and_then(|at| args.get(at + 1)) {
        Some(folder) => PathBuf::from(folder),
        None => build(profile)?,
    };
    let lxd = Lxd::start(&library, given.is_none())?;
    let outcome = steps::run(&lxd);
    if outcome.is_err() {
        lxd.show_log();
    }
    let taken_down = lxd.stop();
    outcome?;
    taken_down
}

/// Builds the library and the programs that it starts; returns a folder with the library by its
/// soname.
fn build(profile: &str) -> Result<PathBuf, String> {
    let mut command = host::cargo();
    command.args(["build", "--quiet"]);
    if profile == "release" {
        command.arg("--release");
    }
    for package in [
        "liblxc",
        "rlxc-container-monitor",
        "rlxc-worker",
        "lxc-user-nic",
    ] {
        command.args(["-p", package]);
    }
    host::run(&mut command)?;
    let built = host::bin_dir(profile);
    let folder = built.join("lxd-library");
    fs::create_dir_all(&folder).map_err(|e| format!("{}: {e}", folder.display()))?;
    for (from, to) in [
        ("liblxc.so", "liblxc.so.1"),
        ("rlxc-monitor", "rlxc-monitor"),
        ("rlxc-worker", "rlxc-worker"),
    ] {
        let to = folder.join(to);
        let _ = fs::remove_file(&to);
        fs::hard_link(built.join(from), &to)
            .or_else(|_| fs::copy(built.join(from), &to).map(|_| ()))
            .map_err(|e| format!("{}: {e}", to.display()))?;
    }
    Ok(folder)
}

impl Lxd {
    fn start(library: &Path, ours: bool) -> Result<Self, String> {
        // Short: sockets lie below it.
        let dir = PathBuf::from(format!("/tmp/rlxc-lxd-{}", std::process::id()));
        fs::create_dir(&dir).map_err(|e| format!("{}: {e}", dir.display()))?;
        let mut command = Command::new("unshare");
        command
            .args(["-n", "sh", "-c"])
            .arg("ip link set lo up; exec lxd --group root --logfile \"$LXD_DIR/lxd.log\"")
            .env("LXD_DIR", &dir)
            .env("LD_LIBRARY_PATH", library)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let daemon = command.spawn().map_err(|e| format!("unshare: {e}"))?;
        let lxd = Self { dir, daemon };
        lxd.tool("lxd", &["waitready", "--timeout", "60"], "")?;
        let maps = fs::read_to_string(format!("/proc/{}/maps", lxd.daemon.id()))
            .map_err(|e| format!("the daemon's maps: {e}"))?;
        let loaded: Vec<&str> = maps
            .lines()
            .filter_map(|line| line.split_whitespace().nth(5))
            .filter(|path| path.contains("liblxc"))
            .collect();
        let expected = library.to_string_lossy();
        if ours && !loaded.iter().any(|path| path.starts_with(&*expected)) {
            return Err(format!("the daemon loaded {loaded:?}, not ours"));
        }
        println!("lxd loaded {}", loaded.first().unwrap_or(&"no liblxc"));
        lxd.tool("lxd", &["init", "--preseed"], PRESEED)?;
        let image = image::make(&lxd.dir)?;
        lxd.lxc(&["image", "import", &image.to_string_lossy(), "--alias", "bb"])?;
        Ok(lxd)
    }

    /// `lxc WORDS…`; its output, or what went wrong with it.
    fn lxc(&self, words: &[&str]) -> Result<String, String> {
        self.tool("lxc", words, "")
    }

    /// A client program with text on its standard input, ended after two minutes.
    fn tool(&self, program: &str, words: &[&str], input: &str) -> Result<String, String> {
        let (status, output, complaint) = self.call(program, words, input)?;
        if status == Some(0) {
            return Ok(output);
        }
        Err(format!(
            "{program} {}: {status:?}: {}{}",
            words.join(" "),
            output.trim(),
            complaint.trim()
        ))
    }

    /// As [`Lxd::tool`], with the exit status (`None`: it did not end, and was killed).
    fn call(
        &self,
        program: &str,
        words: &[&str],
        input: &str,
    ) -> Result<(Option<i32>, String, String), String> {
        let failed = |e: std::io::Error| format!("{program}: {e}");
        let inputs = self.dir.join("client.in");
        let (out, err) = (self.dir.join("client.out"), self.dir.join("client.err"));
        fs::write(&inputs, input).map_err(failed)?;
        let open = |path: &Path| fs::File::create(path).map_err(failed);
        let mut child = Command::new(program)
            .args(words)
            .env("LXD_DIR", &self.dir)
            .env("HOME", &self.dir)
            .stdin(fs::File::open(&inputs).map_err(failed)?)
            .stdout(open(&out)?)
            .stderr(open(&err)?)
            .spawn()
            .map_err(failed)?;
        let end = Instant::now() + Duration::from_secs(120);
        let status = loop {
            match child.try_wait().map_err(failed)? {
                Some(status) => break status.code(),
                None if Instant::now() > end => {
                    let _ = child.kill();
                    let _ = child.wait();
                    break None;
                }
                None => std::thread::sleep(Duration::from_millis(20)),
            }
        };
        let read =
            |path: &Path| String::from_utf8_lossy(&fs::read(path).unwrap_or_default()).into_owned();
        Ok((status, read(&out), read(&err)))
    }

    fn show_log(&self) {
        let text = fs::read_to_string(self.dir.join("lxd.log")).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        for line in &lines[lines.len().saturating_sub(15)..] {
            println!("  lxd.log: {line}");
        }
        for name in ["l1", "l2"] {
            if let Ok((_, said, _)) = self.call("lxc", &["info", name, "--show-log"], "") {
                println!("  {name}: {}", said.trim().replace('\n', "\n    "));
            }
        }
    }

    fn stop(mut self) -> Result<(), String> {
        for name in ["l1", "l2", "l3", "l4"] {
            let _ = self.call("lxc", &["delete", "-f", name], "");
        }
        let shut = self.tool("lxd", &["shutdown", "--timeout", "60"], "");
        let _ = self.daemon.wait();
        self.take_down();
        shut.map(|_| ())
    }

    /// What an LXD that was killed leaves: mounts below its directory, and the directory.
    fn take_down(&self) {
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
        let prefix = format!("{}/", self.dir.display());
        let mut points: Vec<&str> = mounts
            .lines()
            .filter_map(|line| line.split_whitespace().nth(4))
            .filter(|point| point.starts_with(&prefix))
            .collect();
        points.reverse();
        for point in points {
            let _ = Command::new("umount").args(["-l", point]).status();
        }
        let _ = fs::remove_dir_all(&self.dir);
    }
}

impl Drop for Lxd {
    fn drop(&mut self) {
        if let Ok(None) = self.daemon.try_wait() {
            let _ = self.daemon.kill();
            let _ = self.daemon.wait();
        }
        self.take_down();
    }
}

const PRESEED: &str = "\
config: {}
networks: []
storage_pools:
- name: default
  driver: dir
profiles:
- name: default
  devices:
    root:
      path: /
      pool: default
      type: disk
";
