//! Running containers: started by one, asked by the other.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

struct Place(PathBuf);

impl Place {
    fn new(name: &str) -> std::io::Result<Self> {
        let dir = std::env::temp_dir().join(format!("rlxc-cli-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&dir)?;
        Ok(Self(dir))
    }

    fn container(&self, name: &str) -> std::io::Result<bool> {
        let dir = self.0.join(name);
        std::fs::create_dir_all(&dir)?;
        let template = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../templates/lxc-busybox");
        std::fs::write(dir.join("config"), "lxc.net.0.type = empty\n")?;
        let path = dir.to_string_lossy().into_owned();
        let made = Command::new(template)
            .args([
                "--name",
                name,
                "--path",
                &path,
                "--rootfs",
                &format!("{path}/rootfs"),
            ])
            .status()?;
        Ok(made.success())
    }

    fn run(&self, program: &str, words: &[&str]) -> std::io::Result<Output> {
        let program = match program {
            "rlxc" => env!("CARGO_BIN_EXE_rlxc"),
            other => other,
        };
        let (options, command) = match words.iter().position(|w| *w == "--") {
            Some(at) => words.split_at(at),
            None => (words, &[][..]),
        };
        Command::new(program)
            .args(options)
            .arg("-P")
            .arg(&self.0)
            .args(command)
            .output()
    }

    fn said(&self, program: &str, words: &[&str]) -> std::io::Result<String> {
        Ok(String::from_utf8_lossy(&self.run(program, words)?.stdout).into_owned())
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = self.run("rlxc", &["stop", "-k", "one"]);
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// What this test cannot do without.
fn missing() -> Option<&'static str> {
    let monitor = Path::new(env!("CARGO_BIN_EXE_rlxc")).with_file_name("rlxc-monitor");
    if !nix::unistd::geteuid().is_root() {
        return Some("root");
    }
    if !monitor.is_file() {
        return Some("rlxc-monitor (cargo build -p rlxc-container-monitor)");
    }
    if !Path::new("/usr/bin/lxc-info").exists() {
        return Some("LXC's tools");
    }
    None
}

#[test]
fn a_container_of_ours_is_the_same_to_both_tools() -> std::io::Result<()> {
    if let Some(what) = missing() {
        println!("skipped: {what}");
        return Ok(());
    }
    let place = Place::new("live")?;
    if !place.container("one")? {
        println!("skipped: a static busybox");
        return Ok(());
    }
    let started = place.run("rlxc", &["start", "one"])?;
    assert!(
        started.status.success(),
        "{}",
        String::from_utf8_lossy(&started.stderr)
    );
    assert_eq!(
        place.said("rlxc", &["info", "one", "-s", "-p"])?,
        place.said("lxc-info", &["one", "-s", "-p"])?
    );
    let shown = place.said("rlxc", &["info", "one", "-S"])?;
    let value = place.said("rlxc", &["info", "one", "-S", "--format", "json"])?;
    let value: serde_json::Value = serde_json::from_str(&value)?;
    let pressure = &value["stats"]["pressure"];
    match &pressure["memory"] {
        serde_json::Value::Null => println!("skipped: pressure stall information of a cgroup"),
        memory => {
            assert!(shown.contains("Mem pressure:   0."), "{shown}");
            assert!(memory["avg10"].is_f64() && memory["full"]["avg60"].is_f64());
            assert!(pressure["cpu"]["total_us"].is_u64(), "{pressure}");
        }
    }
    assert_eq!(
        place.said("rlxc", &["ls", "-f"])?,
        place.said("lxc-ls", &["-f"])?
    );
    let columns = ["ls", "-f", "-F", "NAME,STATE,PID,INTERFACE"];
    assert_eq!(
        place.said("rlxc", &columns)?,
        place.said("lxc-ls", &columns[1..])?
    );
    assert_eq!(
        place.said("rlxc", &["attach", "one", "--", "hostname"])?,
        "one\n"
    );
    let status = |words: &[&str]| Ok::<_, std::io::Error>(place.run("rlxc", words)?.status.code());
    assert_eq!(
        status(&["attach", "one", "--", "sh", "-c", "exit 7"])?,
        Some(7)
    );
    assert_eq!(
        status(&["attach", "one", "--", "no-such-program"])?,
        Some(127)
    );
    assert_eq!(
        status(&["start", "one"])?,
        Some(0),
        "a running container is no failure"
    );
    assert_eq!(status(&["freeze", "one"])?, Some(0));
    assert_eq!(place.said("lxc-info", &["one", "-s", "-H"])?, "FROZEN\n");
    assert_eq!(place.said("rlxc", &["ls", "-1", "--frozen"])?, "one\n");
    assert_eq!(status(&["unfreeze", "one"])?, Some(0));
    assert_eq!(
        status(&["wait", "one", "-s", "RUNNING", "-t", "5"])?,
        Some(0)
    );
    assert_eq!(status(&["stop", "one", "-t", "20"])?, Some(0));
    assert_eq!(status(&["stop", "one"])?, Some(2));
    assert_eq!(place.said("lxc-info", &["one", "-s", "-H"])?, "STOPPED\n");
    Ok(())
}

#[test]
fn a_failed_start_tells_step_cause_and_remedy_now_and_later() -> std::io::Result<()> {
    if let Some(what) = missing() {
        println!("skipped: {what}");
        return Ok(());
    }
    let place = Place::new("failed")?;
    std::fs::create_dir_all(place.0.join("bad"))?;
    std::fs::write(
        place.0.join("bad/config"),
        "lxc.rootfs.path = dir:/no/such/rootfs\n",
    )?;
    let output = place.run("rlxc", &["start", "bad"])?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1));
    assert!(said.contains("/no/such/rootfs"), "{said}");
    let later = place.said("rlxc", &["explain", "bad"])?;
    assert!(
        later.contains("/no/such/rootfs") && later.contains("step:"),
        "{later}"
    );
    Ok(())
}

#[test]
fn a_container_is_created_copied_and_destroyed() -> std::io::Result<()> {
    let worker = Path::new(env!("CARGO_BIN_EXE_rlxc")).with_file_name("rlxc-worker");
    if let Some(what) = missing() {
        println!("skipped: {what}");
        return Ok(());
    }
    if !worker.is_file() {
        println!("skipped: rlxc-worker (cargo build -p rlxc-worker)");
        return Ok(());
    }
    let place = Place::new("lifecycle")?;
    let base = place.0.join("base.conf").to_string_lossy().into_owned();
    std::fs::write(&base, "lxc.net.0.type = empty\n")?;
    let template = concat!(env!("CARGO_MANIFEST_DIR"), "/../../templates/lxc-busybox");
    let status = |words: &[&str]| {
        let output = place.run("rlxc", words)?;
        // Shown only when the test fails.
        println!("{words:?}: {}", String::from_utf8_lossy(&output.stderr));
        Ok::<_, std::io::Error>(output.status.code())
    };
    assert_eq!(
        status(&["create", "one", "-f", &base, "-t", template])?,
        Some(0)
    );
    assert_eq!(
        status(&["create", "one", "-f", &base, "-t", template])?,
        Some(1),
        "it exists"
    );
    assert_eq!(status(&["snapshot", "one"])?, Some(0));
    assert!(
        place
            .said("rlxc", &["snapshot", "one", "-L"])?
            .starts_with("snap0 (")
    );
    assert_eq!(status(&["copy", "one", "-N", "two"])?, Some(0));
    assert_eq!(status(&["start", "one"])?, Some(0));
    assert_eq!(status(&["destroy", "one"])?, Some(1), "it runs");
    assert_eq!(place.said("lxc-ls", &["-1", "--running"])?, "one\n");
    assert_eq!(status(&["destroy", "one", "-f", "-s"])?, Some(0));
    assert_eq!(status(&["copy", "two", "-R", "-N", "three"])?, Some(0));
    assert_eq!(place.said("rlxc", &["ls", "-1"])?, "three\n");
    assert_eq!(status(&["destroy", "three"])?, Some(0));
    assert_eq!(status(&["destroy", "three"])?, Some(1));
    assert_eq!(place.said("lxc-ls", &["-1"])?, "");
    Ok(())
}
