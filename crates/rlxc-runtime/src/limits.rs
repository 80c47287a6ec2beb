//! `lxc.prlimit.*` (prlimit(2)).

use crate::error::{Context, StartError};

const STEP: &str = "lxc.prlimit";

/// The resources by the names of getrlimit(2), without RLIMIT_, and their numbers on Linux.
const RESOURCES: [(&str, u32); 16] = [
    ("as", 9),
    ("core", 4),
    ("cpu", 0),
    ("data", 2),
    ("fsize", 1),
    ("locks", 10),
    ("memlock", 8),
    ("msgqueue", 12),
    ("nice", 13),
    ("nofile", 7),
    ("nproc", 6),
    ("rss", 5),
    ("rtprio", 14),
    ("rttime", 15),
    ("sigpending", 11),
    ("stack", 3),
];

/// Sets each limit (name, soft, hard; `None` is unlimited) of process `pid`.
pub(crate) fn apply(
    limits: &[(String, Option<u64>, Option<u64>)],
    pid: i32,
) -> Result<(), StartError> {
    for (name, soft, hard) in limits {
        let show = |limit: &Option<u64>| limit.map_or("unlimited".into(), |n| n.to_string());
        let about = format!("lxc.prlimit.{name} = {}:{}", show(soft), show(hard));
        let resource = resource(name)
            .ok_or_else(|| StartError::new(STEP, &about, "there is no such resource limit"))?;
        rlxc_sys::process::set_limit(pid, resource, *soft, *hard)
            .at(STEP, &about)
            .map_err(|error| {
                error.remedy("only a process with CAP_SYS_RESOURCE may raise a hard limit")
            })?;
    }
    Ok(())
}

fn resource(name: &str) -> Option<u32> {
    let named = RESOURCES.iter().find(|(known, _)| *known == name);
    named
        .map(|(_, number)| *number)
        .or_else(|| name.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers_are_resources() {
        assert_eq!(resource("nofile"), Some(7));
        assert_eq!(resource("13"), Some(13));
        assert_eq!(resource("speed"), None);
    }
}
