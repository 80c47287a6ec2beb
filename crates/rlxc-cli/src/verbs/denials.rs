//! What a security module has refused to a container, from the kernel's log.

use std::io::Read;
use std::os::unix::fs::OpenOptionsExt;

/// The latest refusals are shown, no more.
const MOST: usize = 10;
/// One record of /dev/kmsg is at most so long.
const RECORD: usize = 8192;

/// Where refusals are found, and how a container's are told from others'.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Confined {
    /// The container's name, which generated profiles carry
    pub(super) name: String,
    /// A profile or context that the configuration names
    pub(super) label: Option<String>,
}

/// Lines about refusals, the latest last; `Err`: why the log cannot be read.
pub(super) fn of(confined: &Confined) -> std::io::Result<Vec<String>> {
    let mut file = std::fs::OpenOptions::new()
        .read(true)
        .custom_flags(nix::libc::O_NONBLOCK)
        .open("/dev/kmsg")?;
    let mut found = Vec::new();
    let mut record = vec![0; RECORD];
    loop {
        match file.read(&mut record) {
            Ok(0) => break,
            Ok(length) => {
                let text = String::from_utf8_lossy(&record[..length]);
                found.extend(denial(&text, confined));
            }
            // Overwritten while it was read: the next one is there.
            Err(error) if error.raw_os_error() == Some(nix::libc::EPIPE) => {}
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            // The end of what there is.
            Err(_) => break,
        }
    }
    let first = found.len().saturating_sub(MOST);
    Ok(found.split_off(first))
}

/// The refusal in a record of /dev/kmsg (`PRIORITY,SEQUENCE,TIME,FLAGS;TEXT`), if it is one of that
/// container.
fn denial(record: &str, confined: &Confined) -> Option<String> {
    let (_, text) = record.split_once(';')?;
    let text = text.lines().next()?;
    let apparmor = text.contains("apparmor=\"DENIED\"");
    let selinux = text.contains("avc:") && text.contains(" denied ");
    if !apparmor && !selinux {
        return None;
    }
    let generated = format!("\"lxc-{}_<", confined.name);
    let plain = format!("\"lxc-{}\"", confined.name);
    let labelled = confined.label.as_ref().is_some_and(|label| match apparmor {
        true => text.contains(&format!("profile=\"{label}\"")),
        false => text.contains(&format!("scontext={label} ")),
    });
    (labelled || text.contains(&generated) || text.contains(&plain)).then(|| short(text))
}

/// What the line says, without the audit system's own numbers.
fn short(text: &str) -> String {
    let from = ["apparmor=", "avc:"];
    let at = from.iter().filter_map(|word| text.find(word)).min();
    let words = text[at.unwrap_or(0)..].split(' ');
    let own = ["pid=", "requested_mask=", "fsuid=", "ouid=", "class="];
    let kept: Vec<&str> = words
        .filter(|word| !own.iter().any(|own| word.starts_with(own)))
        .collect();
    kept.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOUNT: &str = "5,901,7734,-;audit: type=1400 audit(1700000000.123:45): apparmor=\"DENIED\" operation=\"mount\" class=\"mount\" info=\"failed flags match\" error=-13 profile=\"lxc-web_</var/lib/lxc>\" name=\"/sys/\" pid=77 comm=\"systemd\" flags=\"rw, remount\"\n SUBSYSTEM=x";

    fn named(name: &str, label: Option<&str>) -> Confined {
        Confined {
            name: name.to_owned(),
            label: label.map(str::to_owned),
        }
    }

    #[test]
    fn refusals_of_the_containers_own_profile_are_its() {
        let found = denial(MOUNT, &named("web", None));
        assert_eq!(
            found.as_deref(),
            Some(
                "apparmor=\"DENIED\" operation=\"mount\" info=\"failed flags match\" error=-13 profile=\"lxc-web_</var/lib/lxc>\" name=\"/sys/\" comm=\"systemd\" flags=\"rw, remount\""
            )
        );
        assert_eq!(denial(MOUNT, &named("we", None)), None);
        assert_eq!(denial(MOUNT, &named("web2", None)), None);
        let allowed = MOUNT.replace("DENIED", "ALLOWED");
        assert_eq!(denial(&allowed, &named("web", None)), None);
        assert_eq!(denial("no record", &named("web", None)), None);
    }

    #[test]
    fn a_label_of_the_configuration_counts_too() {
        let shared = MOUNT.replace("lxc-web_</var/lib/lxc>", "lxc-container-default");
        assert_eq!(denial(&shared, &named("web", None)), None);
        assert!(denial(&shared, &named("web", Some("lxc-container-default"))).is_some());
        let avc = "4,1,2,-;audit: type=1400 audit(1.2:3): avc:  denied  { write } for  pid=9 comm=\"sh\" scontext=system_u:system_r:lxc_t:s0 tcontext=x tclass=file";
        let context = Some("system_u:system_r:lxc_t:s0");
        assert!(denial(avc, &named("web", context)).is_some());
        assert_eq!(denial(avc, &named("web", None)), None);
    }
}
