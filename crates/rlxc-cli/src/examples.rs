//! What each verb's help ends with: calls as they are made in practice.

/// A call, and what it does.
pub type Example = (&'static str, &'static str);

/// The examples of a verb.
pub fn of(verb: &str) -> &'static [Example] {
    match verb {
        "create" => &[
            (
                "rlxc create web -t debian",
                "a Debian system in a directory",
            ),
            (
                "rlxc create web -t download -- -d alpine -r 3.20 -a amd64",
                "an image from a server",
            ),
            (
                "rlxc create web -t busybox -B btrfs",
                "a small one on a btrfs subvolume",
            ),
            ("rlxc create web -t none", "only a configuration"),
        ],
        "destroy" => &[
            ("rlxc destroy web", "removes a stopped container"),
            (
                "rlxc destroy web -f -s",
                "stops it first, and removes its snapshots too",
            ),
        ],
        "copy" => &[
            ("rlxc copy web -N web2", "a full copy"),
            (
                "rlxc copy web -N web2 -s -B overlay",
                "a copy that shares what stays the same",
            ),
            ("rlxc copy web -R -N www", "renames it"),
            ("rlxc copy web -e", "a copy that goes away when it stops"),
        ],
        "snapshot" => &[
            ("rlxc snapshot web", "makes snap0, snap1 …"),
            ("rlxc snapshot web -L -C", "lists them with their comments"),
            ("rlxc snapshot diff web snap0", "what has changed since"),
            ("rlxc snapshot web -r snap0", "goes back to it"),
        ],
        "start" => &[
            ("rlxc start web", "starts it in the background"),
            (
                "rlxc start web -F",
                "in the foreground, with this terminal as its console",
            ),
            ("rlxc start web --dry-run", "what a start would do"),
            (
                "rlxc start web -s lxc.cgroup2.memory.max=1G",
                "with a key set for this start",
            ),
        ],
        "execute" => &[
            (
                "rlxc execute web -- make test",
                "one program, then the container ends",
            ),
            ("rlxc execute web -u 1000 -g 1000 -- id", "as another user"),
        ],
        "attach" => &[
            ("rlxc attach web", "a shell"),
            (
                "rlxc attach web -- apt-get update",
                "one program; the exit status is its own",
            ),
            (
                "rlxc attach web --clear-env -v LANG=C -- env",
                "without the caller's environment",
            ),
            (
                "rlxc attach web --pty=raw -- cat /dev/urandom",
                "a terminal that changes no byte",
            ),
        ],
        "console" => &[
            ("rlxc console web", "the next free tty; Ctrl-a q leaves it"),
            ("rlxc console web -t 0", "the console itself"),
        ],
        "info" => &[
            ("rlxc info web", "all there is to know"),
            ("rlxc info web -s -H", "the state alone"),
            ("rlxc info web --format json", "for a program"),
        ],
        "ls" => &[
            ("rlxc ls -f", "a table"),
            (
                "rlxc ls --running -1",
                "names of those that run, one a line",
            ),
            (
                "rlxc ls -f -F NAME,STATE,RAM,IPV4 ^web",
                "chosen columns and names",
            ),
            ("rlxc ls --format json", "for a program"),
        ],
        "stop" => &[
            (
                "rlxc stop web",
                "asks it to halt, and kills it after 60 seconds",
            ),
            ("rlxc stop web -t 5", "after 5 seconds"),
            ("rlxc stop web -k", "kills it at once"),
            ("rlxc stop web -r", "reboots it"),
        ],
        "wait" => &[
            ("rlxc wait web -s STOPPED", "until it has stopped"),
            ("rlxc wait web --ready -t 60", "until its system has booted"),
        ],
        "freeze" => &[("rlxc freeze web", "no process of it runs until unfreeze")],
        "unfreeze" => &[("rlxc unfreeze web", "they go on where they were")],
        "autostart" => &[
            ("rlxc autostart", "starts those with lxc.start.auto = 1"),
            (
                "rlxc autostart -L -g onboot,",
                "which ones would be started, with their delays",
            ),
            ("rlxc autostart -s -a -A -t 30", "shuts all down"),
            (
                "rlxc autostart -s -a -A --within 90",
                "and is done with all of them in 90 seconds",
            ),
        ],
        "cgroup" => &[
            (
                "rlxc cgroup web memory.current",
                "reads a file of its cgroup",
            ),
            (
                "rlxc cgroup web pids.max 500",
                "sets a limit until it stops",
            ),
        ],
        "checkconfig" => &[(
            "rlxc checkconfig",
            "what the kernel offers, and what is missing",
        )],
        "checkpoint" => &[
            (
                "rlxc checkpoint web -D /var/tmp/web -s",
                "writes its state to disk, and stops it",
            ),
            (
                "rlxc checkpoint web -D /var/tmp/web -r",
                "goes on from there",
            ),
        ],
        "config" => &[
            (
                "rlxc config check web",
                "what is wrong with its configuration",
            ),
            ("rlxc config explain lxc.idmap", "what a key means"),
            ("rlxc config show web", "what it comes to, includes and all"),
        ],
        "device" => &[
            (
                "rlxc device web -- add /dev/fuse",
                "lets it use a device of the host",
            ),
            (
                "rlxc device web -- add eth1",
                "moves a network interface in",
            ),
        ],
        "monitor" => &[
            ("rlxc monitor", "all changes of states"),
            (
                "rlxc monitor -n ^web --format json",
                "of some, one JSON object a line",
            ),
        ],
        "top" => &[
            ("rlxc top", "a screen; ? shows its keys"),
            ("rlxc top --format json", "one look, for a program"),
        ],
        "unshare" => &[(
            "rlxc unshare -s UTSNAME -H test -- hostname",
            "a host name of its own",
        )],
        "usernsexec" => &[
            (
                "rlxc usernsexec -- id",
                "root of a user namespace with the caller's ranges",
            ),
            ("rlxc usernsexec -m b:0:100000:65536 -- id", "with these"),
        ],
        "update-config" => &[(
            "rlxc update-config -c config",
            "rewrites legacy keys; config.backup stays",
        )],
        "doctor" => &[
            ("rlxc doctor", "checks this machine for the caller"),
            ("rlxc doctor web", "and one container"),
            (
                "rlxc doctor --fix",
                "mends what can be mended, after showing what it would do",
            ),
        ],
        "net" => &[
            ("rlxc net up", "makes lxcbr0"),
            ("rlxc net status", "whether it is there"),
        ],
        "explain" => &[(
            "rlxc explain web",
            "why its last start failed, and what to do",
        )],
        "set" => &[
            (
                "rlxc set web lxc.cgroup2.memory.max=2G",
                "from the next start on",
            ),
            (
                "rlxc set web --live lxc.cgroup2.pids.max=500",
                "until it stops",
            ),
            (
                "rlxc set web --live --persist lxc.cgroup2.pids.max=500",
                "now and from now on",
            ),
        ],
        "share" => &[
            (
                "rlxc share web /srv/www",
                "sees it under the same name, from the next start on",
            ),
            (
                "rlxc share web /srv/www:/var/www:ro --live",
                "now, read-only, until it stops",
            ),
            (
                "rlxc share web /home/me:/data --live --as 33",
                "its owner is www-data inside",
            ),
            ("rlxc share web", "lists what is mounted into it"),
            ("rlxc share web --remove /var/www", "takes it away again"),
        ],
        "stats" => &[
            ("rlxc stats web", "what it uses"),
            ("rlxc stats web --format json", "for a program"),
        ],
        "recover" => &[
            (
                "rlxc recover web",
                "a new monitor for what still runs; cleans up if nothing does",
            ),
            ("rlxc recover web --dry-run", "what is left"),
            ("rlxc recover web --yes", "kills what runs, and cleans up"),
        ],
        "completions" => &[(
            "rlxc completions bash",
            "to be read by the shell: . <(rlxc completions bash)",
        )],
        _ => &[],
    }
}

/// As the help shows them.
pub(crate) fn text(verb: &str) -> String {
    let examples = of(verb);
    if examples.is_empty() {
        return String::new();
    }
    let width = examples
        .iter()
        .map(|(call, _)| call.len())
        .max()
        .unwrap_or(0)
        .min(48);
    let mut text = String::from("Examples:");
    for (call, what) in examples {
        text.push_str(&match call.len() > width {
            true => format!("\n  {call}\n  {:<width$}  {what}", ""),
            false => format!("\n  {call:<width$}  {what}"),
        });
    }
    text
}
