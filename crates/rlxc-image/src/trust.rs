//! What an image may say about its container: nothing that could reach the host.

use std::path::{Path, PathBuf};

/// Keys that an image may set for its container. Others could reach the host: programs run there
/// (hooks, network scripts), its files mounted, its devices opened.
const KEYS: [&str; 13] = [
    "lxc.arch",
    "lxc.autodev",
    "lxc.environment",
    "lxc.ephemeral",
    "lxc.init.cmd",
    "lxc.init.cwd",
    "lxc.pty.max",
    "lxc.signal.halt",
    "lxc.signal.reboot",
    "lxc.signal.stop",
    "lxc.tty.dir",
    "lxc.tty.max",
    "lxc.uts.name",
];

/// File systems that hold nothing of the host's.
const FILE_SYSTEMS: [&str; 8] = [
    "cgroup", "cgroup2", "devpts", "fusectl", "mqueue", "proc", "sysfs", "tmpfs",
];

/// How much of what an image says is taken.
#[derive(Debug)]
pub(crate) struct Trust {
    /// All of it
    pub(crate) all: bool,
    /// Where the configurations for containers are installed
    pub(crate) config_dir: PathBuf,
    /// The container's fstab, whose lines are checked as well
    pub(crate) fstab: PathBuf,
}

impl Trust {
    /// The lines of a configuration; those that could reach the host are left as comments, with a
    /// warning.
    pub(crate) fn config(&self, text: &str) -> Vec<String> {
        let kept = text.lines().map(|line| {
            let bare = line.trim();
            let fine = match bare.split_once('=') {
                _ if bare.is_empty() || bare.starts_with('#') => true,
                Some((key, value)) => self.may_set(key.trim(), value.trim()),
                None => false,
            };
            self.keep(line, fine)
        });
        kept.collect()
    }

    fn may_set(&self, key: &str, value: &str) -> bool {
        match key {
            "lxc.include" => self.is_installed(Path::new(value)),
            // An empty value takes back what the host's own files drop.
            "lxc.cap.drop" => !value.is_empty(),
            "lxc.mount.fstab" => Path::new(value) == self.fstab,
            key => KEYS.contains(&key),
        }
    }

    /// The lines of an fstab, likewise.
    pub(crate) fn fstab(&self, text: &str) -> String {
        let lines = text.lines().map(|line| {
            let words: Vec<&str> = line.split_ascii_whitespace().collect();
            let fine = match words[..] {
                [] => true,
                [first, ..] if first.starts_with('#') => true,
                [_, _, kind, options, ..] => {
                    let bind =
                        |option: &str| option.starts_with("bind") || option.starts_with("rbind");
                    FILE_SYSTEMS.contains(&kind) && !options.split(',').any(bind)
                }
                [_, _, kind] => FILE_SYSTEMS.contains(&kind),
                _ => false,
            };
            self.keep(line, fine) + "\n"
        });
        lines.collect()
    }

    fn keep(&self, line: &str, fine: bool) -> String {
        if fine || self.all {
            return line.to_owned();
        }
        let bare = line.trim();
        eprintln!(
            "WARNING: the image's line {bare:?} could reach the host and is left out \
             (--trust-config takes it)"
        );
        format!("# Left out: {bare}")
    }

    /// Whether the file is one of those that are installed for all containers. Those for nesting, and
    /// what an administrator put there by another name, are for the administrator to choose.
    fn is_installed(&self, path: &Path) -> bool {
        let Ok(name) = path.strip_prefix(&self.config_dir) else {
            return false;
        };
        let name = name.to_str().unwrap_or_default();
        let common = |end: &str| name == end || name.ends_with(&format!(".{end}"));
        !name.contains('/') && (common("common.conf") || common("userns.conf"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn active(lines: &[String]) -> Vec<&str> {
        let lines = lines.iter().map(String::as_str);
        lines.filter(|line| !line.starts_with('#')).collect()
    }

    fn trust(all: bool) -> Trust {
        Trust {
            all,
            config_dir: "/usr/share/lxc/config".into(),
            fstab: "/var/lib/lxc/c/fstab".into(),
        }
    }

    #[test]
    fn an_image_cannot_make_the_host_run_programs() {
        let good = "lxc.include = /usr/share/lxc/config/alpine.common.conf\n\
                    lxc.include = /usr/share/lxc/config/userns.conf\nlxc.arch = x86_64\n\
                    lxc.cap.drop = sys_nice\nlxc.mount.fstab = /var/lib/lxc/c/fstab\n";
        let bad = "# A comment\nlxc.hook.pre-start = /bin/rm -rf /\n\
                   lxc.include = /usr/share/lxc/config/../../../../etc/shadow\n\
                   lxc.include = /usr/share/lxc/config/nesting.conf\n\
                   lxc.include = /usr/share/lxc/config/\nlxc.include =\n\
                   lxc.mount.fstab = /var/lib/lxc/c/rootfs/etc/other\nlxc.cap.drop =\n\
                   lxc.mount.entry = / mnt none bind 0 0\nlxc.net.0.script.up = /x\nlxc.hook\n";
        let kept = trust(false).config(&format!("{good}{bad}"));
        assert_eq!(active(&kept), good.lines().collect::<Vec<_>>());
        let all = trust(true).config(bad);
        assert_eq!(all, bad.lines().collect::<Vec<_>>());
    }

    #[test]
    fn an_image_s_mounts_bring_nothing_of_the_host_s() {
        let good =
            "proc proc proc nodev,noexec 0 0\n\ntmpfs run tmpfs\nshm dev/shm tmpfs defaults\n";
        let bad = "/ mnt none bind 0 0\n/etc etc none rbind,ro 0 0\n/dev/sda1 mnt ext4 ro 0 0\n\
                   / mnt tmpfs defaults,bind 0 0\noverlay mnt overlay lowerdir=/ 0 0\n/root\n";
        let kept = trust(false).fstab(&format!("# c\n{good}{bad}"));
        let lines = kept.lines().filter(|line| !line.starts_with('#'));
        assert_eq!(lines.collect::<Vec<_>>(), good.lines().collect::<Vec<_>>());
        assert_eq!(trust(true).fstab(bad), bad);
    }
}
