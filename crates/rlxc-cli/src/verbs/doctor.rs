use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use clap::Args;
use rlxc::config::{IdKind, paths};
use rlxc_namespace::{Caller, subordinate_ids};
use serde_json::json;

use super::Run;
use super::checkconfig::in_path;
use crate::context::{Context, Outcome};
use crate::output::{Format, colour, print_value};

/// Options of `doctor`.
#[derive(Debug, Args)]
pub(crate) struct Doctor {
    /// Carry out the remedies that are safe
    #[arg(long)]
    fix: bool,
    /// With --fix: do not only show them
    #[arg(long)]
    yes: bool,
    /// A container whose directories are to be looked at
    #[arg(value_name = "NAME", hide = true)]
    words: Vec<String>,
}

/// What a check found.
struct Finding {
    what: String,
    /// `None`: all is well
    problem: Option<Problem>,
}

struct Problem {
    wrong: String,
    why: &'static str,
    remedy: String,
    /// The remedy as a program that is safe to run
    command: Option<Vec<String>>,
    /// Whether containers cannot run at all
    fatal: bool,
}

impl Run for Doctor {
    fn run(self, context: &Context) -> Outcome {
        let mut findings = vec![
            user_namespaces(),
            apparmor_restriction(),
            overlay(),
            seccomp(),
        ];
        findings.extend(cgroups());
        findings.push(monitor());
        findings.push(lxcpath(&context.lxcpath()));
        if !nix::unistd::geteuid().is_root() {
            findings.extend(subordinate());
            findings.extend(id_tools());
            findings.push(usernet());
        }
        for name in self.words.iter().chain(&context.common.name) {
            findings.extend(container(name, &context.lxcpath()));
        }
        if context.common.format == Format::Table {
            print(&findings)?;
        } else {
            let rows: Vec<_> = findings.iter().map(value).collect();
            print_value(context.common.format, &rows.into())?;
        }
        if self.fix {
            self.mend(&findings, context)?;
        }
        let fatal = findings
            .iter()
            .any(|f| f.problem.as_ref().is_some_and(|p| p.fatal));
        Ok(u8::from(fatal))
    }
}

impl Doctor {
    fn mend(&self, findings: &[Finding], context: &Context) -> std::io::Result<()> {
        let commands = findings
            .iter()
            .filter_map(|f| f.problem.as_ref()?.command.as_ref());
        for command in commands {
            let line = command.join(" ");
            if !self.yes {
                context.say(&format!("would run: {line}   (--fix --yes does it)"));
                continue;
            }
            let status = Command::new(&command[0]).args(&command[1..]).status();
            let said = match status {
                Ok(status) if status.success() => "done".to_owned(),
                Ok(status) => format!("failed: {status}"),
                Err(error) => format!("failed: {error}"),
            };
            context.say(&format!("{line}: {said}"));
        }
        Ok(())
    }
}

fn print(findings: &[Finding]) -> std::io::Result<()> {
    let mut out = std::io::BufWriter::new(std::io::stdout().lock());
    for finding in findings {
        let Some(problem) = &finding.problem else {
            writeln!(out, "{}  {}", colour("32", "ok  "), finding.what)?;
            continue;
        };
        let mark = if problem.fatal {
            colour("31", "bad ")
        } else {
            colour("33", "warn")
        };
        writeln!(out, "{mark}  {}: {}", finding.what, problem.wrong)?;
        writeln!(out, "        why:    {}", problem.why)?;
        writeln!(out, "        remedy: {}", problem.remedy)?;
    }
    out.flush()
}

fn value(finding: &Finding) -> serde_json::Value {
    let problem = finding.problem.as_ref();
    json!({
        "check": finding.what,
        "ok": problem.is_none(),
        "problem": problem.map(|p| &p.wrong),
        "why": problem.map(|p| p.why),
        "remedy": problem.map(|p| &p.remedy),
        "fatal": problem.is_some_and(|p| p.fatal),
    })
}

fn finding(what: impl Into<String>, problem: Option<Problem>) -> Finding {
    Finding {
        what: what.into(),
        problem,
    }
}

fn warning(wrong: impl Into<String>, why: &'static str, remedy: impl Into<String>) -> Problem {
    Problem {
        wrong: wrong.into(),
        why,
        remedy: remedy.into(),
        command: None,
        fatal: false,
    }
}

fn fatal(wrong: impl Into<String>, why: &'static str, remedy: impl Into<String>) -> Problem {
    Problem {
        fatal: true,
        ..warning(wrong, why, remedy)
    }
}

fn read(path: &str) -> Option<String> {
    std::fs::read_to_string(path)
        .ok()
        .map(|text| text.trim().to_owned())
}

fn user_namespaces() -> Finding {
    let why = "containers of ordinary users live in user namespaces";
    let sysctl = |key: &str| {
        let wrong = format!("{key} forbids them");
        let command = vec!["sysctl".into(), "-w".into(), format!("{key}=1")];
        Problem {
            command: Some(command.clone()),
            ..warning(wrong, why, command.join(" "))
        }
    };
    let problem = if !Path::new("/proc/self/ns/user").exists() {
        Some(warning(
            "the kernel has none",
            why,
            "use a kernel with CONFIG_USER_NS",
        ))
    } else if read("/proc/sys/user/max_user_namespaces").as_deref() == Some("0") {
        let text = "sysctl -w user.max_user_namespaces=15000";
        let command = text.split(' ').map(str::to_owned).collect();
        let wrong = "user.max_user_namespaces is 0";
        Some(Problem {
            command: Some(command),
            ..warning(wrong, why, text)
        })
    } else if read("/proc/sys/kernel/unprivileged_userns_clone").as_deref() == Some("0") {
        Some(sysctl("kernel.unprivileged_userns_clone"))
    } else {
        None
    };
    finding("user namespaces", problem)
}

fn apparmor_restriction() -> Finding {
    let restricted = read("/proc/sys/kernel/apparmor_restrict_unprivileged_userns");
    let problem = (restricted.as_deref() == Some("1")).then(|| {
        let remedy = "give rlxc a profile with `userns,`, or: sysctl -w kernel.apparmor_restrict_unprivileged_userns=0";
        warning("AppArmor takes away their privileges", "a rootless start fails with EPERM at its first mount", remedy)
    });
    finding("AppArmor and user namespaces", problem)
}

fn overlay() -> Finding {
    let known = read("/proc/filesystems")
        .is_some_and(|text| text.lines().any(|l| l.ends_with("\toverlay")));
    let problem = (!known).then(|| Problem {
        command: Some(vec!["modprobe".into(), "overlay".into()]),
        ..warning(
            "not loaded",
            "snapshots and ephemeral copies of directories use it",
            "modprobe overlay",
        )
    });
    finding("overlay", problem)
}

fn seccomp() -> Finding {
    let there = read("/proc/self/status").is_some_and(|text| text.contains("Seccomp:"));
    let problem = (!there).then(|| {
        warning(
            "the kernel has none",
            "lxc.seccomp.profile cannot be applied",
            "use a kernel with CONFIG_SECCOMP_FILTER",
        )
    });
    finding("seccomp filters", problem)
}

fn cgroups() -> Vec<Finding> {
    let mounts = read("/proc/self/mounts").unwrap_or_default();
    let kind = |name: &str| {
        mounts
            .lines()
            .any(|line| line.split(' ').nth(2) == Some(name))
    };
    let mounted = (!kind("cgroup") && !kind("cgroup2")).then(|| {
        fatal(
            "none is mounted",
            "limits, freezing and clean stops need them",
            "mount -t cgroup2 none /sys/fs/cgroup",
        )
    });
    let mut findings = vec![finding("control groups", mounted)];
    if kind("cgroup2") && !kind("cgroup") && !nix::unistd::geteuid().is_root() {
        let own = read("/proc/self/cgroup").unwrap_or_default();
        let path = own
            .lines()
            .find_map(|line| line.strip_prefix("0::"))
            .unwrap_or("/")
            .to_owned();
        let dir = format!("/sys/fs/cgroup{path}");
        let writable = nix::unistd::access(Path::new(&dir), nix::unistd::AccessFlags::W_OK).is_ok();
        let problem = (!writable).then(|| {
            warning(
                format!("{dir} does not belong to you"),
                "a rootless container gets no cgroup of its own, so no limits",
                "systemd-run --user --scope -p Delegate=yes -- rlxc start NAME",
            )
        });
        findings.push(finding("delegation of the own cgroup", problem));
    }
    findings
}

fn monitor() -> Finding {
    let beside = std::env::current_exe()
        .ok()
        .and_then(|exe| Some(exe.parent()?.join("rlxc-monitor")));
    let installed = Path::new(paths::LIBEXECDIR).join("rlxc/rlxc-monitor");
    let found = beside.is_some_and(|path| path.is_file()) || installed.is_file();
    let problem = (!found).then(|| {
        fatal(
            format!("{} is missing", installed.display()),
            "every container has one such process",
            "install rlxc completely",
        )
    });
    finding("the monitor program", problem)
}

fn lxcpath(path: &Path) -> Finding {
    use nix::unistd::{AccessFlags, access};
    let problem = match std::fs::metadata(path) {
        Ok(meta) if !meta.is_dir() => Some(fatal(
            "it is no directory",
            "containers are directories below it",
            "set lxc.lxcpath in lxc.conf",
        )),
        Ok(_) if access(path, AccessFlags::W_OK).is_err() => Some(fatal(
            "it cannot be written",
            "containers cannot be made there",
            "set lxc.lxcpath, or pass -P",
        )),
        Ok(_) => None,
        Err(error) => {
            let command = vec![
                "mkdir".into(),
                "-p".into(),
                path.to_string_lossy().into_owned(),
            ];
            let remedy = command.join(" ");
            let problem = warning(error.to_string(), "it is where containers live", remedy);
            Some(Problem {
                command: Some(command),
                ..problem
            })
        }
    };
    finding(format!("lxcpath {}", path.display()), problem)
}

fn subordinate() -> Vec<Finding> {
    let caller = Caller::current();
    let user = caller.name.clone();
    [
        (IdKind::Uid, "/etc/subuid", "--add-subuids"),
        (IdKind::Gid, "/etc/subgid", "--add-subgids"),
    ]
    .into_iter()
    .map(|(kind, file, option)| {
        let count: u64 = subordinate_ids(&caller, kind)
            .map(|ranges| ranges.iter().map(|range| u64::from(range.count)).sum())
            .unwrap_or(0);
        let remedy = format!("sudo usermod {option} 100000-165535 {user}");
        let problem = (count < 65536).then(|| {
            warning(
                format!("{count} ids for {user} in {file}"),
                "a system container needs 65536 ids to map; with none it runs with a single id",
                remedy,
            )
        });
        finding(format!("subordinate ids in {file}"), problem)
    })
    .collect()
}

fn id_tools() -> Vec<Finding> {
    ["newuidmap", "newgidmap"]
        .into_iter()
        .map(|tool| {
            let why = "only it may write a map with more than the own id";
            let problem = match in_path(tool) {
                None => Some(warning("not installed", why, "sudo apt-get install uidmap")),
                Some(path) if !super::checkconfig::has_privilege(&path) => {
                    let remedy = format!("sudo chmod u+s {}", path.display());
                    Some(warning(
                        "neither setuid root nor with file capabilities",
                        why,
                        remedy,
                    ))
                }
                Some(_) => None,
            };
            finding(tool, problem)
        })
        .collect()
}

fn usernet() -> Finding {
    let path = Path::new(paths::SYSCONFDIR).join("lxc/lxc-usernet");
    let user = Caller::current().name;
    let text = std::fs::read_to_string(&path).unwrap_or_default();
    let listed = text
        .lines()
        .any(|line| line.split_whitespace().next() == Some(&user));
    let problem = (!listed).then(|| {
        warning(
            format!("no line for {user} in {}", path.display()),
            "a rootless container can have no veth on a bridge",
            format!(
                "echo '{user} veth lxcbr0 10' | sudo tee -a {}",
                path.display()
            ),
        )
    });
    finding("network quota", problem)
}

/// Every directory on the way to the rootfs must let the container's root pass.
fn container(name: &str, lxcpath: &Path) -> Vec<Finding> {
    let container = match rlxc::Container::new(name, Some(lxcpath)) {
        Ok(container) => container,
        Err(error) => {
            let failure = crate::context::Failure::from(error);
            let problem = fatal(
                failure.message,
                "it cannot start so",
                format!("rlxc config check {name}"),
            );
            return vec![finding(format!("configuration of {name}"), Some(problem))];
        }
    };
    let mut findings = vec![finding(format!("configuration of {name}"), None)];
    let Ok(config) = container.config() else {
        return findings;
    };
    let Some(rootfs) = config.rootfs.path.clone().map(PathBuf::from) else {
        return findings;
    };
    if !rootfs.exists() {
        let wrong = format!("{} does not exist", rootfs.display());
        let problem = fatal(wrong, "there is nothing to start", "mend lxc.rootfs.path");
        findings.push(finding(format!("rootfs of {name}"), Some(problem)));
    }
    let root = config
        .idmap
        .iter()
        .find(|m| m.kind == IdKind::Uid && m.nsid == 0)
        .map(|m| m.hostid);
    let Some(root) = root.filter(|id| *id != 0) else {
        return findings;
    };
    for dir in rootfs
        .ancestors()
        .skip(1)
        .filter(|dir| !dir.as_os_str().is_empty())
    {
        let Ok(meta) = std::fs::metadata(dir) else {
            continue;
        };
        let bit = if meta.uid() == root { 0o100 } else { 0o001 };
        if meta.mode() & bit == 0 {
            let command: Vec<String> = [
                "setfacl",
                "-m",
                &format!("u:{root}:x"),
                &dir.to_string_lossy(),
            ]
            .map(str::to_owned)
            .into();
            let problem = fatal(
                format!("user {root} may not pass"),
                "the container's root is that user outside and must reach its rootfs",
                command.join(" "),
            );
            let problem = Problem {
                command: Some(command),
                ..problem
            };
            findings.push(finding(
                format!("directory {}", dir.display()),
                Some(problem),
            ));
        }
    }
    findings
}
