use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use clap::Args;
use serde_json::{Value, json};

use super::Run;
use crate::context::{Context, Failure, Outcome};
use crate::output::{Format, colour, print_value};

/// Options of `checkconfig`.
#[derive(Debug, Args)]
pub(crate) struct CheckConfig {}

struct Check<'a> {
    /// The kernel's configuration, decompressed
    config: &'a str,
    modules: String,
    /// Labels and options that the kernel lacks, and modules that are there but not loaded
    missing: Vec<(String, String)>,
    unloaded: Vec<String>,
    /// For programs: what is found, instead of lines
    rows: Option<Vec<Value>>,
    out: std::io::StdoutLock<'static>,
}

impl Run for CheckConfig {
    fn run(self, context: &Context) -> Outcome {
        let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        let release = release.trim();
        let wanted = std::env::var_os("CONFIG").map(PathBuf::from);
        let wanted = wanted.unwrap_or_else(|| PathBuf::from("/proc/config.gz"));
        let mut out = std::io::stdout().lock();
        let lines = context.common.format == Format::Table;
        if lines {
            writeln!(out, "LXC version {}", rlxc::VERSION)?;
        }
        let found = match read_config(&wanted) {
            Some(text) => Some((wanted, text)),
            None => {
                if lines {
                    writeln!(
                        out,
                        "Kernel configuration not found at {}; searching...",
                        wanted.display()
                    )?;
                }
                let places = [
                    format!("/lib/modules/{release}/config"),
                    format!("/lib/modules/{release}/build/.config"),
                    format!("/boot/config-{release}"),
                    format!("/boot/kernel/config-{release}"),
                ];
                places
                    .into_iter()
                    .map(PathBuf::from)
                    .find_map(|p| Some((p.clone(), read_config(&p)?)))
            }
        };
        let Some((path, config)) = found else {
            return Err(Failure::new(format!(
                "{} unable to retrieve kernel configuration",
                context.tool
            ))
            .remedy("try again with CONFIG=/path/to/config"));
        };
        if lines {
            writeln!(out, "Kernel configuration found at {}\n", path.display())?;
        }
        let modules = std::fs::read_to_string("/proc/modules").unwrap_or_default();
        let mut check = Check {
            config: &config,
            modules,
            missing: Vec::new(),
            unloaded: Vec::new(),
            rows: (!lines).then(Vec::new),
            out,
        };
        check.all(&context.tool)?;
        if let Some(rows) = check.rows {
            drop(check.out);
            print_value(context.common.format, &rows.into())?;
            return Ok(0);
        }
        if !context.lxc {
            check.remedies()?;
        }
        Ok(0)
    }
}

/// A configuration file, unpacked by gzip if it is packed.
fn read_config(path: &Path) -> Option<String> {
    let mut bytes = Vec::new();
    std::fs::File::open(path)
        .ok()?
        .read_to_end(&mut bytes)
        .ok()?;
    if bytes.starts_with(&[0x1f, 0x8b]) {
        let output = Command::new("gzip")
            .args(["-dc", "--"])
            .arg(path)
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .output()
            .ok()?;
        bytes = output.stdout;
    }
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

impl Check<'_> {
    fn value(&self, name: &str) -> Option<char> {
        let line = self
            .config
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
        line?.chars().next()
    }

    /// A line of text, which programs have no use for.
    fn line(&mut self, text: &str) -> std::io::Result<()> {
        match self.rows {
            Some(_) => Ok(()),
            None => writeln!(self.out, "{text}"),
        }
    }

    fn say(&mut self, label: &str, good: bool, required: bool, more: &str) -> std::io::Result<()> {
        self.tell(label, None, good, required, more)
    }

    fn tell(
        &mut self,
        label: &str,
        option: Option<&str>,
        good: bool,
        required: bool,
        more: &str,
    ) -> std::io::Result<()> {
        if let Some(rows) = &mut self.rows {
            let why = WHY.iter().find(|(name, _)| Some(*name) == option);
            rows.push(json!({
                "feature": label,
                "option": option,
                "enabled": good,
                "required": required,
                "loaded": match more {
                    "" => None,
                    more => Some(more == ", loaded"),
                },
                "without_it": why.map(|(_, why)| *why).filter(|_| !good),
            }));
            return Ok(());
        }
        let word = match (good, required) {
            (true, _) => colour("32", "enabled"),
            (false, true) => colour("31", "required"),
            (false, false) => colour("33", "missing"),
        };
        writeln!(self.out, "{label}: {word}{more}")
    }

    fn option(&mut self, label: &str, name: &str, required: bool) -> std::io::Result<()> {
        let value = self.value(name);
        let module = name.trim_start_matches("CONFIG_").to_lowercase();
        let more = match value {
            Some('m')
                if self
                    .modules
                    .lines()
                    .any(|l| l.split(' ').next() == Some(&module)) =>
            {
                ", loaded"
            }
            Some('m') => ", not loaded",
            _ => "",
        };
        match value {
            Some('m') if more == ", not loaded" => self.unloaded.push(module),
            Some('y' | 'm') => {}
            _ => self.missing.push((label.to_owned(), name.to_owned())),
        }
        let good = matches!(value, Some('y' | 'm'));
        self.tell(label, Some(name), good, required, more)
    }

    fn all(&mut self, tool: &str) -> std::io::Result<()> {
        self.line("--- Namespaces ---")?;
        self.option("Namespaces", "CONFIG_NAMESPACES", true)?;
        self.option("Utsname namespace", "CONFIG_UTS_NS", false)?;
        self.option("Ipc namespace", "CONFIG_IPC_NS", true)?;
        self.option("Pid namespace", "CONFIG_PID_NS", true)?;
        self.option("User namespace", "CONFIG_USER_NS", false)?;
        for tool in ["newuidmap", "newgidmap"] {
            match in_path(tool) {
                None => {
                    let text = format!("Warning: {tool} is not installed (package uidmap)");
                    self.line(&colour("33", &text))?;
                }
                Some(path) if !has_privilege(&path) => {
                    let text = format!("Warning: {tool} is not setuid-root and has no capability");
                    self.line(&colour("33", &text))?;
                }
                Some(_) => {}
            }
        }
        self.option("Network namespace", "CONFIG_NET_NS", false)?;
        self.line("Namespace limits:")?;
        for name in ["cgroup", "ipc", "mnt", "net", "pid", "time", "user", "uts"] {
            let path = format!("/proc/sys/user/max_{name}_namespaces");
            if let Ok(limit) = std::fs::read_to_string(path) {
                self.line(&format!("  {name}: {}", limit.trim()))?;
            }
        }
        self.line("\n--- Control groups ---")?;
        self.cgroups()?;
        self.line("\n--- Misc ---")?;
        for (label, name) in MISC {
            self.option(label, name, false)?;
        }
        self.line("\n--- Checkpoint/Restore ---")?;
        for (label, name) in CHECKPOINT {
            self.option(label, name, false)?;
        }
        self.say("File capabilities", true, false, "")?;
        self.line(&format!(
            "\nNote : Before booting a new kernel, you can check its configuration\nusage : CONFIG=/path/to/config {tool}\n"
        ))
    }

    /// How to get what is missing.
    fn remedies(&mut self) -> std::io::Result<()> {
        if self.missing.is_empty() && self.unloaded.is_empty() {
            return writeln!(self.out, "Nothing is missing.");
        }
        if !self.unloaded.is_empty() {
            let modules = self.unloaded.join(" ");
            writeln!(
                self.out,
                "Modules that are not loaded (loaded when first needed, or now):"
            )?;
            writeln!(self.out, "  modprobe -a {modules}")?;
        }
        for (label, name) in &self.missing {
            writeln!(self.out, "{label}: build the kernel with {name}=y or =m")?;
            if let Some((_, why)) = WHY.iter().find(|(option, _)| option == name) {
                writeln!(self.out, "  without it: {why}")?;
            }
        }
        if !self.missing.is_empty() {
            writeln!(
                self.out,
                "Kernels of distributions have nearly all of it (Debian: apt-get install linux-image-amd64)."
            )?;
        }
        for tool in ["newuidmap", "newgidmap"] {
            if in_path(tool).is_none() {
                writeln!(self.out, "{tool}: apt-get install uidmap")?;
            }
        }
        writeln!(self.out, "rlxc doctor looks at the rest of the way.")
    }

    fn cgroups(&mut self) -> std::io::Result<()> {
        self.option("Cgroups", "CONFIG_CGROUPS", true)?;
        self.option("Cgroup namespace", "CONFIG_CGROUPS", true)?;
        let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap_or_default();
        let of = |kind: &str| -> Vec<String> {
            let words = mounts
                .lines()
                .map(|line| line.split(' ').collect::<Vec<_>>());
            words
                .filter(|w| w.get(2) == Some(&kind))
                .map(|w| w[1].to_owned())
                .collect()
        };
        let (v1, v2) = (of("cgroup"), of("cgroup2"));
        for (label, list) in [
            ("Cgroup v1 mount points:", &v1),
            ("Cgroup v2 mount points:", &v2),
        ] {
            self.line(label)?;
            for path in list {
                self.line(&format!(" - {path}"))?;
            }
        }
        if !v1.is_empty() {
            let has = |name: &str| v1.iter().any(|path| path.ends_with(name));
            self.say("Cgroup v1 systemd controller", has("/systemd"), false, "")?;
            self.say("Cgroup v1 freezer controller", has("/freezer"), false, "")?;
            let clone = v1
                .iter()
                .any(|path| Path::new(path).join("cgroup.clone_children").exists());
            self.say("Cgroup v1 clone_children flag", clone, false, "")?;
        }
        self.option("Cgroup device", "CONFIG_CGROUP_DEVICE", false)?;
        self.option("Cgroup sched", "CONFIG_CGROUP_SCHED", false)?;
        self.option("Cgroup cpu account", "CONFIG_CGROUP_CPUACCT", false)?;
        self.option("Cgroup memory controller", "CONFIG_MEMCG", false)?;
        self.option("Cgroup cpuset", "CONFIG_CPUSETS", false)
    }
}

/// What does not work without an option.
const WHY: [(&str, &str); 16] = [
    ("CONFIG_NAMESPACES", "no container at all"),
    ("CONFIG_UTS_NS", "host names of their own"),
    ("CONFIG_IPC_NS", "shared memory of their own"),
    ("CONFIG_PID_NS", "processes of their own"),
    ("CONFIG_USER_NS", "containers of ordinary users (lxc.idmap)"),
    ("CONFIG_NET_NS", "networks of their own"),
    ("CONFIG_CGROUPS", "limits, freezing, clean stops"),
    ("CONFIG_CGROUP_DEVICE", "lxc.cgroup.devices on cgroup v1"),
    ("CONFIG_MEMCG", "limits of memory"),
    ("CONFIG_CPUSETS", "binding to CPUs"),
    ("CONFIG_VETH", "lxc.net.N.type = veth"),
    ("CONFIG_MACVLAN", "lxc.net.N.type = macvlan"),
    ("CONFIG_VLAN_8021Q", "lxc.net.N.type = vlan"),
    ("CONFIG_BRIDGE", "lxcbr0 and other bridges"),
    ("CONFIG_FUSE_FS", "lxcfs, fuse in containers"),
    ("CONFIG_CHECKPOINT_RESTORE", "checkpoint"),
];

const MISC: [(&str, &str); 10] = [
    ("Veth pair device", "CONFIG_VETH"),
    ("Macvlan", "CONFIG_MACVLAN"),
    ("Vlan", "CONFIG_VLAN_8021Q"),
    ("Bridges", "CONFIG_BRIDGE"),
    ("Advanced netfilter", "CONFIG_NETFILTER_ADVANCED"),
    (
        "CONFIG_IP_NF_TARGET_MASQUERADE",
        "CONFIG_IP_NF_TARGET_MASQUERADE",
    ),
    (
        "CONFIG_IP6_NF_TARGET_MASQUERADE",
        "CONFIG_IP6_NF_TARGET_MASQUERADE",
    ),
    (
        "CONFIG_NETFILTER_XT_TARGET_CHECKSUM",
        "CONFIG_NETFILTER_XT_TARGET_CHECKSUM",
    ),
    (
        "CONFIG_NETFILTER_XT_MATCH_COMMENT",
        "CONFIG_NETFILTER_XT_MATCH_COMMENT",
    ),
    ("FUSE (for use with lxcfs)", "CONFIG_FUSE_FS"),
];

const CHECKPOINT: [(&str, &str); 8] = [
    ("checkpoint restore", "CONFIG_CHECKPOINT_RESTORE"),
    ("CONFIG_FHANDLE", "CONFIG_FHANDLE"),
    ("CONFIG_EVENTFD", "CONFIG_EVENTFD"),
    ("CONFIG_EPOLL", "CONFIG_EPOLL"),
    ("CONFIG_UNIX_DIAG", "CONFIG_UNIX_DIAG"),
    ("CONFIG_INET_DIAG", "CONFIG_INET_DIAG"),
    ("CONFIG_PACKET_DIAG", "CONFIG_PACKET_DIAG"),
    ("CONFIG_NETLINK_DIAG", "CONFIG_NETLINK_DIAG"),
];

pub(super) fn in_path(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let sbin = ["/usr/sbin", "/sbin"].map(PathBuf::from);
    std::env::split_paths(&path)
        .chain(sbin)
        .map(|dir| dir.join(program))
        .find(|p| p.is_file())
}

/// setuid root, or with file capabilities, by what the attribute says.
pub(super) fn has_privilege(path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    let setuid = std::fs::metadata(path).is_ok_and(|m| m.uid() == 0 && m.mode() & 0o4000 != 0);
    let getcap = || {
        Command::new("getcap")
            .arg(path)
            .stderr(Stdio::null())
            .output()
            .ok()
    };
    setuid || getcap().is_some_and(|o| String::from_utf8_lossy(&o.stdout).contains("cap_set"))
}
