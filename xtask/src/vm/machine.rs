//! The VM itself: what it is made of, and one boot of it.

use std::io::{BufRead as _, BufReader};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::host;

/// Packages of the VM: a file that shows one, and its name.
const PACKAGES: &[(&str, &str)] = &[
    ("/usr/bin/qemu-system-x86_64", "qemu-system-x86"),
    ("/usr/bin/python3", "python3"),
    ("/usr/share/doc/python3-venv", "python3-venv"),
    ("/sbin/modprobe", "kmod"),
    ("/usr/bin/udevadm", "udev"),
    ("/sbin/apparmor_parser", "apparmor"),
    ("/bin/busybox", "busybox-static"),
    ("/sbin/lvm", "lvm2"),
    ("/usr/sbin/thin_check", "thin-provisioning-tools"),
];

/// The release of virtme-ng that was tried with this file.
const VIRTME: &str = "virtme-ng==1.42";

/// A kernel and the tool that boots it.
#[derive(Debug)]
pub(crate) struct Machine {
    kernel: PathBuf,
    tools: PathBuf,
    place: PathBuf,
}

impl Machine {
    /// Installs what is missing (root only) and finds the rest.
    pub(crate) fn prepare() -> Result<Self, String> {
        host::set_up()?;
        host::need(PACKAGES);
        if host::find_program("qemu-system-x86_64").is_none() {
            return Err("qemu-system-x86_64 is missing: apt-get install qemu-system-x86".into());
        }
        let place = host::bin_dir("vm");
        make_dir(&place)?;
        let tools = place.join("venv/bin");
        if !tools.join("vng").exists() {
            println!("vm: pip install {VIRTME}");
            host::run(
                Command::new("python3")
                    .args(["-m", "venv"])
                    .arg(place.join("venv")),
            )?;
            let mut pip = Command::new(tools.join("pip"));
            host::run(pip.args(["install", "--quiet", "--disable-pip-version-check", VIRTME]))?;
        }
        let kernel = match find_kernel(&place) {
            Some(kernel) => kernel,
            None => fetch_kernel(&place)?,
        };
        Ok(Self {
            kernel,
            tools,
            place,
        })
    }

    /// Where the VM's files lie, which it sees under the same path.
    pub(crate) fn place(&self) -> &Path {
        &self.place
    }

    /// The kernel's version.
    pub(crate) fn version(&self) -> String {
        version(&self.kernel).unwrap_or_default()
    }

    /// Boots, runs a shell script and hands each line of output to `line`; ends the VM when
    /// `timeout` is over.
    pub(crate) fn boot(
        &self,
        script: &Path,
        timeout: Duration,
        mut line: impl FnMut(&str),
    ) -> Result<(), String> {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let path = std::iter::once(self.tools.clone()).chain(std::env::split_paths(&path));
        let path = std::env::join_paths(path).map_err(|e| format!("PATH: {e}"))?;
        let mut command = Command::new(self.tools.join("vng"));
        // Nested virtualisation fails in the firmware on many hosts that have /dev/kvm.
        command.args([
            "--disable-kvm",
            "--disable-microvm",
            "--memory",
            "3G",
            "--cpus",
            "2",
        ]);
        // The command line of the kernel comes by the console as well: what a check needs from it
        // stands here for all.
        command.args(["--append", "apparmor=1 security=apparmor psi=1"]);
        // A network card that leads nowhere, to be lent to a container.
        command.arg("--qemu-opts=-device e1000");
        command
            .arg("-r")
            .arg(&self.kernel)
            .arg("--")
            .arg(format!("sh {}", script.display()));
        command
            .env("PATH", path)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            // Not ours: the emulator opens its streams anew and so empties a file behind them.
            .stderr(Stdio::piped())
            .process_group(0);
        let mut child = command.spawn().map_err(|e| format!("{command:?}: {e}"))?;
        let output = child.stdout.take().ok_or("vng: no output")?;
        let errors = child.stderr.take().ok_or("vng: no output")?;
        let errors = std::thread::spawn(move || {
            for text in BufReader::new(errors).split(b'\n').map_while(Result::ok) {
                eprintln!("{}", String::from_utf8_lossy(&text).trim_end());
            }
        });
        let done = Arc::new(AtomicBool::new(false));
        let watch = watchdog(child.id(), timeout, Arc::clone(&done));
        for text in BufReader::new(output).split(b'\n') {
            let text = text.map_err(|e| format!("vng: {e}"))?;
            line(String::from_utf8_lossy(&text).trim_end_matches('\r'));
        }
        let status = child.wait().map_err(|e| format!("vng: {e}"))?;
        done.store(true, Ordering::Release);
        let _ = errors.join();
        match watch.join() {
            Ok(false) if status.success() => Ok(()),
            Ok(false) => Err(format!("vng: {status}")),
            _ => Err(format!("the VM was ended after {} s", timeout.as_secs())),
        }
    }
}

/// Ends the whole group of the VM's processes when the time is up; says whether it had to.
fn watchdog(group: u32, timeout: Duration, done: Arc<AtomicBool>) -> std::thread::JoinHandle<bool> {
    std::thread::spawn(move || {
        let end = Instant::now() + timeout;
        while !done.load(Ordering::Acquire) {
            if Instant::now() >= end {
                let _ = Command::new("kill")
                    .args(["-KILL", "--", &format!("-{group}")])
                    .status();
                return true;
            }
            std::thread::sleep(Duration::from_millis(200));
        }
        false
    })
}

fn make_dir(path: &Path) -> Result<(), String> {
    std::fs::create_dir_all(path).map_err(|e| format!("{}: {e}", path.display()))
}

fn version(kernel: &Path) -> Option<String> {
    let name = kernel.file_name()?.to_str()?;
    name.strip_prefix("vmlinuz-").map(str::to_owned)
}

/// The newest kernel with its modules, in the VM's own place or in /boot.
fn find_kernel(place: &Path) -> Option<PathBuf> {
    let mut found: Vec<PathBuf> = [place, Path::new("/boot")]
        .iter()
        .flat_map(|folder| std::fs::read_dir(folder).into_iter().flatten().flatten())
        .map(|entry| entry.path())
        .filter(|path| {
            version(path).is_some_and(|v| {
                v.ends_with("-amd64")
                    && Path::new("/lib/modules")
                        .join(v)
                        .join("modules.dep")
                        .exists()
            })
        })
        .collect();
    found.sort();
    found.pop()
}

/// Unpacks Debian's kernel without installing it: an installation would build an initramfs and
/// touch the boot loader.
fn fetch_kernel(place: &Path) -> Result<PathBuf, String> {
    if !host::is_root() {
        return Err("no kernel for the VM: run once as root".into());
    }
    let output = Command::new("apt-cache")
        .args(["depends", "linux-image-amd64"])
        .output()
        .map_err(|e| format!("apt-cache: {e}"))?;
    let text = String::from_utf8_lossy(&output.stdout);
    let package = text
        .lines()
        .find_map(|line| {
            line.trim()
                .strip_prefix("Depends: ")
                .filter(|p| p.starts_with("linux-image-"))
        })
        .ok_or("apt-cache knows no linux-image-amd64")?;
    let version = package.trim_start_matches("linux-image-").to_owned();
    println!("vm: unpacking {package}");
    let unpacked = place.join("unpacked");
    make_dir(&unpacked)?;
    host::run(
        Command::new("apt-get")
            .args(["-qq", "download", package])
            .current_dir(&unpacked),
    )?;
    let archive = std::fs::read_dir(&unpacked)
        .map_err(|e| format!("{}: {e}", unpacked.display()))?
        .flatten()
        .map(|entry| entry.path())
        .find(|path| path.extension().is_some_and(|e| e == "deb"))
        .ok_or("apt-get download left no package")?;
    host::run(
        Command::new("dpkg-deb")
            .arg("-x")
            .arg(&archive)
            .arg(&unpacked),
    )?;
    make_dir(Path::new("/lib/modules"))?;
    let modules = unpacked.join("lib/modules").join(&version);
    host::run(
        Command::new("cp")
            .arg("-a")
            .arg(&modules)
            .arg("/lib/modules/"),
    )?;
    host::run(Command::new("depmod").args(["-a", &version]))?;
    let image = format!("vmlinuz-{version}");
    let kernel = place.join(&image);
    std::fs::copy(unpacked.join("boot").join(&image), &kernel)
        .map_err(|e| format!("{}: {e}", kernel.display()))?;
    std::fs::remove_dir_all(&unpacked).map_err(|e| format!("{}: {e}", unpacked.display()))?;
    Ok(kernel)
}
