//! `cargo xtask demo`: the main job on real input, each step shown.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::host;

const NAME: &str = "demo";

/// Builds, then walks one busybox container through its life.
pub(crate) fn run() -> Result<(), String> {
    host::run(host::cargo().args(["build", "--quiet", "--workspace", "--bins"]))?;
    let place = Place::make()?;
    let (how, id_maps) = privileges();
    println!("This runs {how}.");
    std::fs::write(
        place.0.join("demo.conf"),
        format!("{id_maps}lxc.net.0.type = empty\n"),
    )
    .map_err(|e| format!("{}: {e}", place.0.display()))?;
    let result = life(&place);
    if result.is_err() {
        // Whatever step failed, nothing of the container stays.
        let _ = place.rlxc("destroy", &["--force", NAME]).output();
    }
    result
}

fn life(place: &Place) -> Result<(), String> {
    let template = host::root().join("templates/lxc-busybox");
    let config = place.0.join("demo.conf");
    let (template, config) = (template.to_string_lossy(), config.to_string_lossy());
    place.step(
        "create",
        &[NAME, "--config", &config, "--template", &template],
    )?;
    place.step("start", &["--timings", NAME])?;
    let look = "echo hostname: $(hostname); echo pid 1: $(cat /proc/1/comm); echo mounts:; cat /proc/mounts";
    place.step(
        "attach",
        &["--clear-env", NAME, "--", "/bin/sh", "-c", look],
    )?;
    place.step("ls", &["--fancy"])?;
    place.step("info", &[NAME])?;
    let freezer = place.step("freeze", &[NAME]).and_then(|()| {
        place.step("ls", &["--frozen", "-1"])?;
        place.step("unfreeze", &[NAME])
    });
    if let Err(why) = freezer {
        if host::is_root() {
            return Err(why);
        }
        println!("Freezing was not possible: no cgroup is delegated to this user. {why}");
    }
    place.step("stop", &["--timeout", "10", NAME])?;
    place.step("ls", &["--fancy"])?;
    place.step("destroy", &[NAME])?;
    println!("Done: the container lived and left nothing behind.");
    Ok(())
}

/// In what way this user can run a container, and the id maps for it.
fn privileges() -> (String, String) {
    if host::is_root() {
        return ("privileged, as root".to_owned(), String::new());
    }
    let uid = host::effective_uid().unwrap_or_default();
    let gid = own_gid();
    let single = format!("lxc.idmap = u 0 {uid} 1\nlxc.idmap = g 0 {gid} 1\n");
    let helpers = ["newuidmap", "newgidmap"]
        .iter()
        .all(|name| host::find_program(name).is_some());
    match (range("/etc/subuid", uid), range("/etc/subgid", uid)) {
        (Some((u, count_u)), Some((g, count_g))) if helpers => {
            let maps = format!("lxc.idmap = u 0 {u} {count_u}\nlxc.idmap = g 0 {g} {count_g}\n");
            ("rootless, with subordinate ids".to_owned(), maps)
        }
        (Some(_), Some(_)) => (
            "rootless with one id only, since newuidmap and newgidmap are missing (apt-get install uidmap)".to_owned(),
            single,
        ),
        _ => (
            "rootless with one id only, since /etc/subuid and /etc/subgid have no range for this user \
             (usermod --add-subuids 100000-165535 --add-subgids 100000-165535 USER)"
                .to_owned(),
            single,
        ),
    }
}

fn own_gid() -> u32 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("Gid:"));
    line.and_then(|line| line.split_whitespace().nth(1)?.parse().ok())
        .unwrap_or_default()
}

/// The first range of subordinate ids, by user name or number.
fn range(file: &str, uid: u32) -> Option<(u32, u32)> {
    let passwd = std::fs::read_to_string("/etc/passwd").ok()?;
    let name = passwd.lines().find_map(|line| {
        let fields: Vec<&str> = line.split(':').collect();
        (fields.get(2)?.parse() == Ok(uid)).then(|| fields[0].to_owned())
    });
    let number = uid.to_string();
    std::fs::read_to_string(file)
        .ok()?
        .lines()
        .find_map(|line| {
            let mut fields = line.split(':');
            let owner = fields.next()?;
            (Some(owner) == name.as_deref() || owner == number).then_some((
                fields.next()?.parse().ok()?,
                fields.next()?.trim().parse().ok()?,
            ))
        })
}

/// A short-lived lxcpath.
struct Place(PathBuf);

impl Place {
    fn make() -> Result<Self, String> {
        let path = std::env::temp_dir().join(format!("rlxc-demo-{}", std::process::id()));
        std::fs::create_dir(&path).map_err(|e| format!("{}: {e}", path.display()))?;
        // The mapped ids must be able to walk to the root file system.
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755))
            .map_err(|e| format!("{}: {e}", path.display()))?;
        Ok(Self(path))
    }

    fn rlxc(&self, verb: &str, args: &[&str]) -> Command {
        let mut command = Command::new(host::bin_dir("debug").join("rlxc"));
        command
            .arg(verb)
            .args(["--lxcpath".as_ref(), self.0.as_os_str()])
            .args(args);
        command
    }

    /// Shows the command, runs it, shows what it says.
    fn step(&self, verb: &str, args: &[&str]) -> Result<(), String> {
        println!("\n$ rlxc {verb} {}", args.join(" "));
        let shown = self
            .rlxc(verb, args)
            .output()
            .map_err(|e| format!("rlxc {verb}: {e}"))?;
        print!("{}", indented(&shown));
        if shown.status.success() {
            Ok(())
        } else {
            Err(format!("rlxc {verb} failed ({})", shown.status))
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        remove(&self.0);
    }
}

/// The files are this process's own: the container's are gone with `destroy`.
fn remove(path: &Path) {
    if let Err(error) = std::fs::remove_dir_all(path) {
        eprintln!("{}: {error}", path.display());
    }
}

fn indented(output: &Output) -> String {
    let text = [&output.stdout[..], &output.stderr[..]].concat();
    String::from_utf8_lossy(&text)
        .lines()
        .map(|line| format!("  {line}\n"))
        .collect()
}
