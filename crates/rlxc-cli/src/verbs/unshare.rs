use std::io;

use clap::Args;
use rlxc::config::NamespaceSet;
use rlxc_namespace::unshare::{Options, parse_user, run};

use super::Run;
use crate::context::{Context, Failure, Outcome, without_codes};

/// Options of `unshare`.
#[derive(Debug, Args)]
pub(crate) struct Unshare {
    /// The new namespaces: MOUNT PID UTSNAME IPC USER NETWORK CGROUP TIME, joined by |
    #[arg(short = 's', long, value_name = "FLAGS")]
    namespaces: Option<String>,
    /// With USER: the user id in there, or a name
    #[arg(short = 'u', long, value_name = "USER")]
    user: Option<String>,
    /// With UTSNAME: the host name in there
    #[arg(short = 'H', long, value_name = "NAME")]
    hostname: Option<String>,
    /// With NETWORK: move this interface there (can be given several times)
    #[arg(short = 'i', long, value_name = "NAME")]
    ifname: Vec<String>,
    /// Do not wait for the program
    #[arg(short = 'd', long)]
    daemon: bool,
    /// With MOUNT: mount /proc, /dev/shm and /dev/mqueue anew
    #[arg(short = 'M', long)]
    remount: bool,
    /// The program
    #[arg(
        value_name = "COMMAND",
        trailing_var_arg = true,
        allow_hyphen_values = true,
        hide = true
    )]
    words: Vec<String>,
}

impl Run for Unshare {
    fn run(self, context: &Context) -> Outcome {
        if self.words.is_empty() {
            let text = "A command to execute in the new namespace is required";
            return Err(Failure::new(text));
        }
        let Some(list) = &self.namespaces else {
            return Err(Failure::new("A namespace to execute command is required"));
        };
        let user = self
            .user
            .as_deref()
            .map(parse_user)
            .transpose()
            .map_err(|error| failure(&error))?;
        let options = Options {
            namespaces: NamespaceSet(super::attach::namespaces(list)?),
            user,
            hostname: self.hostname,
            interfaces: self.ifname,
            daemon: self.daemon,
            remount: self.remount,
            command: self.words.into_iter().map(Into::into).collect(),
        };
        let move_link = |pid, name: &str| {
            rlxc_network::live::attach_interface(pid, name, None).map_err(io::Error::other)
        };
        run(
            &options,
            &|error| context.report(&failure(error)),
            move_link,
        )
        .map(status)
        .map_err(|error| failure(&error))
    }
}

/// An error with its cause.
pub(super) fn failure(error: &rlxc_namespace::Error) -> Failure {
    match std::error::Error::source(error) {
        Some(cause) => Failure::new(without_codes(&format!("{error}: {cause}"))),
        None => Failure::new(error.to_string()),
    }
}

pub(super) fn status(status: i32) -> u8 {
    u8::try_from(status).unwrap_or(1)
}
