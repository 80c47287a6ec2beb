//! The verbs: one file each, and one row each in [`VERBS`].

use std::ffi::OsString;

use clap::{ArgMatches, Args, Command};

use crate::context::{Context, Failure, Outcome};

mod attach;
mod autostart;
mod cgroup;
mod checkconfig;
mod checkpoint;
mod completions;
mod config;
mod config_policy;
mod console;
mod copy;
mod create;
mod denials;
mod destroy;
mod device;
mod doctor;
mod execute;
mod explain;
mod freeze;
mod info;
mod limit_words;
mod ls;
mod ls_cells;
mod monitor;
mod net;
mod ready;
mod recover;
mod set;
mod share;
mod snapshot;
mod start;
mod start_options;
mod stats;
mod stop;
mod top;
mod unshare;
mod update_config;
mod usernsexec;
mod wait;

pub use completions::script as completion_script;

/// A verb: `rlxc NAME`, and `lxc-NAME` if LXC has a tool of that name.
#[derive(Debug)]
pub struct Verb {
    /// Its name
    pub name: &'static str,
    /// What it does, in a sentence
    pub about: &'static str,
    /// The arguments in LXC's help
    pub usage: &'static str,
    /// Whether LXC has a tool of that name
    pub lxc: bool,
    /// Whether it prints something that `--format` can shape
    pub lists: bool,
    /// Whether `-f` stands for `--rcfile`
    pub short_rcfile: bool,
    pub(crate) options: fn(Command) -> Command,
    pub(crate) rewrite: fn(Vec<OsString>) -> Vec<OsString>,
    pub(crate) run: fn(&ArgMatches, &Context) -> Outcome,
}

impl Verb {
    /// The verb of that name.
    pub fn of_name(name: &str) -> Option<&'static Self> {
        VERBS.iter().find(|verb| verb.name == name)
    }

    /// The verb behind LXC's tool `lxc-NAME`.
    pub fn of_lxc(name: &str) -> Option<&'static Self> {
        Self::of_name(name).filter(|verb| verb.lxc)
    }
}

/// Options as a struct, and what to do with them.
pub(crate) trait Run: Args {
    fn run(self, context: &Context) -> Outcome;
}

fn run<V: Run>(matches: &ArgMatches, context: &Context) -> Outcome {
    match V::from_arg_matches(matches) {
        Ok(options) => options.run(context),
        Err(error) => Err(Failure::new(error.to_string())),
    }
}

const fn verb<V: Run>(name: &'static str, usage: &'static str, about: &'static str) -> Verb {
    Verb {
        name,
        about,
        usage,
        lxc: true,
        lists: false,
        short_rcfile: false,
        options: V::augment_args,
        rewrite: |words| words,
        run: run::<V>,
    }
}

/// Every verb, in the order of the help.
pub static VERBS: [Verb; 33] = [
    verb::<create::Create>(
        "create",
        "--name=NAME --template=TEMPLATE [OPTION...] [-- TEMPLATE-OPTIONS]",
        "Makes a container",
    ),
    verb::<destroy::Destroy>("destroy", "--name=NAME [-f] [-s]", "Removes a container"),
    Verb {
        lists: true,
        ..verb::<copy::Copy>(
            "copy",
            "--name=NAME --newname=NEW [OPTION...] [-- HOOK-OPTIONS]",
            "Copies or renames a container, or starts a passing copy",
        )
    },
    Verb {
        lists: true,
        ..verb::<snapshot::Snapshot>(
            "snapshot",
            "--name=NAME",
            "Makes, lists, restores and removes snapshots of a container",
        )
    },
    Verb {
        short_rcfile: true,
        lists: true,
        ..verb::<start::Start>("start", "--name=NAME [-- COMMAND]", "Starts a container")
    },
    Verb {
        short_rcfile: true,
        lists: true,
        ..verb::<execute::Execute>(
            "execute",
            "--name=NAME [-- COMMAND]",
            "Runs one program in a container of its own",
        )
    },
    Verb {
        short_rcfile: true,
        rewrite: attach::rewrite,
        ..verb::<attach::Attach>(
            "attach",
            "--name=NAME [-- COMMAND]",
            "Runs a program or a shell in a running container",
        )
    },
    verb::<console::Console>(
        "console",
        "--name=NAME [--tty NUMBER]",
        "Shows a terminal of a container",
    ),
    Verb {
        lists: true,
        ..verb::<info::Info>(
            "info",
            "--name=NAME",
            "Tells a container's state, addresses and resource use",
        )
    },
    Verb {
        lists: true,
        ..verb::<ls::Ls>("ls", "[FILTER]", "Lists containers")
    },
    verb::<stop::Stop>(
        "stop",
        "--name=NAME",
        "Shuts a container down, reboots or kills it",
    ),
    verb::<wait::Wait>(
        "wait",
        "--name=NAME --state=STATES",
        "Waits for a state of a container",
    ),
    verb::<freeze::Freeze>(
        "freeze",
        "--name=NAME",
        "Freezes all processes of a container",
    ),
    verb::<freeze::Unfreeze>("unfreeze", "--name=NAME", "Thaws a frozen container"),
    Verb {
        lists: true,
        ..verb::<autostart::Autostart>(
            "autostart",
            "",
            "Starts, stops or lists the containers that are started at boot",
        )
    },
    verb::<cgroup::Cgroup>(
        "cgroup",
        "--name=NAME OBJECT [VALUE]",
        "Reads or writes a container's cgroup files",
    ),
    Verb {
        lists: true,
        ..verb::<checkconfig::CheckConfig>(
            "checkconfig",
            "",
            "Tells which kernel features containers find here",
        )
    },
    verb::<checkpoint::Checkpoint>(
        "checkpoint",
        "--name=NAME --checkpoint-dir=DIR",
        "Writes a running container's state to disk",
    ),
    Verb {
        lists: true,
        ..verb::<config::Config>(
            "config",
            "[-l | ITEM]",
            "Shows lxc.conf's items; checks and explains container configurations",
        )
    },
    verb::<device::Device>(
        "device",
        "--name=NAME -- add|del DEVICE [NAME]",
        "Adds a device to a running container, or removes it",
    ),
    Verb {
        lists: true,
        ..verb::<monitor::Monitor>(
            "monitor",
            "[--name=REGEX]",
            "Tells of state changes as they happen",
        )
    },
    Verb {
        lists: true,
        ..verb::<top::Top>(
            "top",
            "[--name=NAME]",
            "Shows what containers use, again and again",
        )
    },
    verb::<unshare::Unshare>(
        "unshare",
        "--namespaces=LIST -- COMMAND",
        "Runs a program in new namespaces",
    ),
    verb::<usernsexec::UsernsExec>(
        "usernsexec",
        "[-m MAP]… [-- COMMAND]",
        "Runs a program in a new user namespace",
    ),
    verb::<update_config::UpdateConfig>(
        "update-config",
        "-c FILE",
        "Rewrites a configuration file's legacy keys",
    ),
    Verb {
        lxc: false,
        lists: true,
        ..verb::<doctor::Doctor>(
            "doctor",
            "[NAME]",
            "Checks everything that containers need here, and says how to mend it",
        )
    },
    Verb {
        lxc: false,
        lists: true,
        ..verb::<net::Net>(
            "net",
            "up|down|restart|reload|status",
            "Makes the bridge lxcbr0 with addresses and NAT, or takes it down",
        )
    },
    Verb {
        lxc: false,
        lists: true,
        ..verb::<explain::Explain>(
            "explain",
            "NAME",
            "Tells why the last start of a container failed",
        )
    },
    Verb {
        lxc: false,
        ..verb::<set::Set>(
            "set",
            "NAME KEY=VALUE…",
            "Changes configuration keys; limits of a running container too",
        )
    },
    Verb {
        lxc: false,
        lists: true,
        ..verb::<share::Share>(
            "share",
            "NAME [SOURCE[:TARGET[:ro|rw]]…]",
            "Lets a container see directories and files of the host, with owners that fit",
        )
    },
    Verb {
        lxc: false,
        lists: true,
        ..verb::<stats::Stats>("stats", "NAME", "Prints a running container's resource use")
    },
    Verb {
        lxc: false,
        lists: true,
        ..verb::<recover::Recover>(
            "recover",
            "NAME",
            "Gives a container whose monitor was killed a new one, or cleans up after it",
        )
    },
    Verb {
        lxc: false,
        ..verb::<completions::Completions>(
            "completions",
            "bash|zsh|fish",
            "Prints what a shell needs to complete names, options and values",
        )
    },
];
