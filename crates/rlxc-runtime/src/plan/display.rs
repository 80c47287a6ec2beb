use std::fmt;

use rlxc_config::{IdKind, Namespace};

use super::{InitPlan, MountStep, Plan, SysMode};

impl fmt::Display for MountStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Shared { host, container } => write!(f, "shared bind of {host} on /{container}"),
            Self::Dev { size } => write!(f, "tmpfs on /dev (mode=0755,size={size})"),
            Self::Proc { mixed: false, .. } => f.write_str("proc on /proc, writable"),
            Self::Proc { net, .. } => {
                f.write_str("proc on /proc; /proc/sys and /proc/sysrq-trigger read-only")?;
                if *net {
                    f.write_str("; /proc/sys/net writable")?;
                }
                Ok(())
            }
            Self::Sys(SysMode::Rw) => f.write_str("sysfs on /sys, writable"),
            Self::Sys(SysMode::Ro) => f.write_str("sysfs on /sys, read-only"),
            Self::Sys(SysMode::Mixed) => {
                f.write_str("sysfs on /sys, read-only; /sys/devices/virtual/net writable")
            }
            Self::Entry { origin, entry } => {
                write!(f, "{} on /{}", entry.source, entry.target)?;
                if !entry.fstype.is_empty() && entry.fstype != "none" {
                    write!(f, " type {}", entry.fstype)?;
                }
                if entry.optional {
                    f.write_str(" (optional)")?;
                }
                write!(f, " [{origin}]")
            }
            Self::Cgroup { bits } => write!(f, "cgroup file systems (bits {bits:#x})"),
        }
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "container    {} in {}",
            self.name,
            self.lxcpath.display()
        )?;
        let how = if self.daemonize {
            "in the background"
        } else {
            "in the foreground"
        };
        writeln!(f, "start        {:?}, {how}", self.mode)?;
        let new: Vec<&str> = self.namespaces.clone.iter().map(Namespace::name).collect();
        writeln!(f, "namespaces   new: {}", new.join(" "))?;
        for (ns, from) in &self.namespaces.share {
            writeln!(f, "             {} shared from {from}", ns.name())?;
        }
        for map in &self.id_maps {
            let kind = if map.kind == IdKind::Uid { 'u' } else { 'g' };
            writeln!(
                f,
                "id map       {kind} {} {} {}",
                map.nsid, map.hostid, map.range
            )?;
        }
        self.fmt_cgroups(f)?;
        self.fmt_tree(f)?;
        self.fmt_security(f)?;
        for (kind, lines) in &self.config.hooks.by_kind {
            for line in lines {
                writeln!(f, "hook         {}: {line}", kind.name())?;
            }
        }
        for (name, value) in &self.init.environment {
            writeln!(f, "environment  {name}={value}")?;
        }
        let InitPlan { argv, uid, gid, .. } = &self.init;
        writeln!(f, "init         {} as {uid}:{gid}", argv.join(" "))
    }
}

impl Plan {
    fn fmt_cgroups(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let dirs = &self.config.cgroup;
        let (monitor, payload) = match (&dirs.monitor, &dirs.container, &dirs.dir) {
            (Some(monitor), Some(container), _) => (monitor.clone(), container.clone()),
            (_, _, Some(dir)) => (
                format!("{dir}/lxc.monitor.{}", self.name),
                format!("{dir}/lxc.payload.{}", self.name),
            ),
            _ => (
                format!("lxc.monitor.{}", self.name),
                format!("lxc.payload.{}", self.name),
            ),
        };
        writeln!(f, "cgroup       monitor {monitor}, container {payload}")?;
        for (file, value) in &self.config.cgroup1 {
            writeln!(f, "limit        cgroup {file} = {value}")?;
        }
        for (file, value) in &self.config.cgroup2 {
            writeln!(f, "limit        cgroup2 {file} = {value}")?;
        }
        for (name, soft, hard) in &self.config.prlimits {
            let show = |limit: Option<u64>| limit.map_or("unlimited".into(), |n| n.to_string());
            writeln!(f, "limit        {name} {}:{}", show(soft), show(hard))?;
        }
        Ok(())
    }

    fn fmt_tree(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, nic) in &self.config.net {
            let link = nic.link.as_deref().unwrap_or("-");
            writeln!(f, "nic          {index}: {:?} link {link}", nic.kind)?;
        }
        match &self.rootfs {
            Some(rootfs) => {
                let mount = rootfs.mount.display();
                writeln!(f, "rootfs       {} on {mount}", rootfs.source)?;
            }
            None => writeln!(f, "rootfs       the host's own tree")?,
        }
        for step in &self.mounts {
            writeln!(f, "mount        {step}")?;
        }
        for device in &self.devices {
            writeln!(
                f,
                "device       /dev/{} c {}:{} {:04o}",
                device.name, device.major, device.minor, device.mode
            )?;
        }
        for (name, target) in &self.links {
            writeln!(f, "link         /dev/{name} -> {target}")?;
        }
        let terminals = &self.terminals;
        writeln!(
            f,
            "terminals    console {}, {} ttys, devpts max {}",
            terminals.console, terminals.ttys, terminals.devpts_max
        )
    }

    fn fmt_security(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let config = &self.config;
        match &config.caps.keep {
            Some(keep) => writeln!(f, "capabilities only {}", keep.join(" "))?,
            None if config.caps.drop.is_empty() => writeln!(f, "capabilities all")?,
            None => writeln!(f, "capabilities all but {}", config.caps.drop.join(" "))?,
        }
        if let Some(profile) = &config.apparmor.profile {
            writeln!(f, "apparmor     {profile}")?;
        }
        if let Some(context) = &config.selinux.context {
            writeln!(f, "selinux      {context}")?;
        }
        if let Some(profile) = &config.seccomp.profile {
            writeln!(f, "seccomp      {}", profile.display())?;
        }
        if config.no_new_privs {
            writeln!(f, "no_new_privs set")?;
        }
        for (name, value) in &config.sysctl {
            writeln!(f, "sysctl       {name} = {value}")?;
        }
        Ok(())
    }
}
