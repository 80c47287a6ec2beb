//! Every example of the README is carried out.

mod common;

use std::io;
use std::path::Path;
use std::process::{Command, Stdio};

use common::{Place, RLXC, missing};

/// Blocks of indented lines: the README's commands.
fn commands(text: &str) -> Vec<String> {
    let indented = text.lines().filter_map(|line| line.strip_prefix("    "));
    indented
        .map(|line| line.trim().to_owned())
        .filter(|line| !line.is_empty())
        .collect()
}

#[test]
fn every_command_of_the_readme_works() -> io::Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let text = std::fs::read_to_string(root.join("README.md"))?;
    let all = commands(&text);
    assert!(
        all.iter().any(|line| line.starts_with("rlxc ")),
        "no examples"
    );
    let can_run = missing();
    let place = Place::new("readme")?;
    let own = Path::new(RLXC).parent().unwrap_or(Path::new("/"));
    let path = std::env::var("PATH").unwrap_or_default();
    // The examples name no lxcpath and no template's place: both are given here.
    let config = place.dir.join("lxc.conf");
    std::fs::write(
        &config,
        format!("lxc.lxcpath = {}\n", place.lxcpath().display()),
    )?;
    for line in &all {
        if let Some(task) = line.strip_prefix("cargo xtask ") {
            // Run by CI itself; here it is seen that there is such a task.
            let task = task.split(' ').next().unwrap_or_default();
            let main = std::fs::read_to_string(root.join("xtask/src/main.rs"))?;
            assert!(main.contains(&format!("\n  {task} ")), "{line}");
            continue;
        }
        if let Some(what) = can_run {
            println!("skipped: {what}");
            return Ok(());
        }
        let script = format!(
            "set -e; mount --make-rprivate /; mkdir -p /etc/lxc; touch /etc/lxc/lxc.conf; \
             mount --bind {} /etc/lxc/lxc.conf; {line}",
            config.display()
        );
        let output = Command::new("unshare")
            .args(["--mount", "sh", "-c", &script])
            .env("PATH", format!("{}:{path}", own.display()))
            .stdin(Stdio::null())
            .output()?;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(
            output.status.success(),
            "{line}: {:?} {said}",
            output.status
        );
    }
    Ok(())
}
