//! What a user can do about a failed start, where the failed step does not say so itself.

use nix::errno::Errno;
use rlxc_runtime::StartError;

/// The same failure with advice, if there is any.
pub(crate) fn with_advice(error: StartError) -> StartError {
    match (&error.remedy, advice(&error)) {
        (None, Some(text)) => error.remedy(text),
        _ => error,
    }
}

fn advice(error: &StartError) -> Option<String> {
    let errno = error.errno.map(Errno::from_raw);
    let about = |word: &str| error.target.contains(word) || error.message.contains(word);
    let text = match (error.step.as_str(), errno) {
        ("rootfs" | "rootfs source", Some(Errno::ENOENT)) => {
            "there is no root file system where lxc.rootfs.path says: correct the key, or create the container anew"
        }
        ("rootfs" | "rootfs source", Some(Errno::EACCES | Errno::EPERM)) => {
            "the container's user may not go there: rlxc doctor NAME names the directory and the command that opens it"
        }
        ("network", _) if about("there is no network interface") && !about("bridge") => {
            "`ip link` lists the host's interfaces: correct lxc.net.N.link"
        }
        ("mount /proc" | "mount /sys", Some(Errno::EPERM)) => {
            "the kernel refuses a new one where parts of the old one are hidden, as in a container: give the outer container `lxc.mount.auto = proc:rw sys:rw` and lxc.apparmor.allow_nesting = 1"
        }
        ("mount entry", Some(Errno::ENODEV)) => {
            "the kernel knows no such file system: correct the entry's third word, or load the module"
        }
        ("mount entry", Some(Errno::ENOENT)) => {
            "what is to be mounted does not exist on the host: correct the entry, or add `optional` to its options"
        }
        ("mount entry", Some(Errno::EPERM | Errno::EACCES)) => {
            "an unprivileged container may mount only what the kernel lets its own root mount: a bind mount always works"
        }
        ("lxc.mount.fstab", _) => "make the file, or take lxc.mount.fstab out of the configuration",
        ("security policies", Some(Errno::ENOENT)) if about("seccomp") => {
            "make the policy's file, or take lxc.seccomp.profile out of the configuration"
        }
        ("security policies", _) if about("no such resource limit") => {
            "`rlxc config check NAME` lists the limits there are"
        }
        ("sysctl", Some(Errno::ENOENT)) => {
            "the kernel has no such setting in the container's namespaces: correct the key, or take it out"
        }
        ("sysctl", Some(Errno::EACCES | Errno::EPERM | Errno::EROFS)) => {
            "the setting is the whole machine's: set it on the host (sysctl), or take the key out"
        }
        ("lxc.proc", Some(Errno::ENOENT)) => "there is no such file in /proc/PID: correct the key",
        ("shared namespaces", _) if about("is not running") => {
            "start that container first: its namespace is there only while it runs"
        }
        ("cgroup limits", Some(Errno::EINVAL | Errno::ERANGE)) => {
            "the kernel refuses the value: the file's own form is asked for, as in `rlxc cgroup NAME FILE`"
        }
        ("cgroup limits", None) => {
            "no mounted hierarchy has that controller: `rlxc checkconfig` lists what the kernel has; v1 wants lxc.cgroup.*, cgroup2 lxc.cgroup2.*"
        }
        (step, _) if step.ends_with(" hook") && about("not found") => {
            "the hook's program does not exist: correct the path, or install what it belongs to"
        }
        (step, _) if step.ends_with(" hook") => {
            "the hook decides that the container does not start: run it by hand, with `sh -x` if it is a script, and look at its lines in the container's log (lxc.log.file)"
        }
        (_, Some(Errno::ENOSPC)) => {
            "the file system or a kernel limit is full: df, and /proc/sys/user/max_*"
        }
        (_, Some(Errno::EMFILE | Errno::ENFILE)) => {
            "too many open files: raise `ulimit -n` or fs.file-max"
        }
        (_, Some(Errno::ENOMEM)) => {
            "there is no memory left for it: free some, or raise the cgroup's limit"
        }
        _ if about("loop device") => {
            "lxc.rootfs.path names an image that is not there, or no loop device is free (losetup -f)"
        }
        _ if about("lvm:") => {
            "`lvs` lists the volumes: activate it by `lvchange -ay`, or correct lxc.rootfs.path"
        }
        _ => return None,
    };
    Some(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn advice_is_added_where_there_is_none_and_changes_none() {
        let failed = |step: &str, target: &str, errno: Option<i32>| {
            let error = StartError {
                errno,
                ..StartError::new(step, target, "text")
            };
            with_advice(error).remedy
        };
        let enoent = Some(Errno::ENOENT as i32);
        assert!(failed("rootfs", "/x", enoent).is_some_and(|r| r.contains("lxc.rootfs.path")));
        let eperm = Some(Errno::EPERM as i32);
        assert!(failed("mount /proc", "proc", eperm).is_some_and(|r| r.contains("nesting")));
        assert!(failed("start hook", "/x", None).is_some_and(|r| r.contains("by hand")));
        assert_eq!(failed("something else", "", None), None);
        let told = StartError::new("rootfs", "", "text").remedy("own");
        assert_eq!(with_advice(told).remedy.as_deref(), Some("own"));
    }
}
