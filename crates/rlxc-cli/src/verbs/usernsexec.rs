use std::io::{Read, Write};

use clap::Args;
use rlxc::config::Namespace;
use rlxc_namespace::idmap::parse_argument;
use rlxc_namespace::{Caller, subid};
use rlxc_sys::process::{CloneArgs, Cloned, clone3, exit_now, wait_status};

use super::Run;
use super::unshare::{cannot, exec, pipe, shell_status};
use crate::context::{Context, Failure, Outcome};

/// Options of `usernsexec`.
#[derive(Debug, Args)]
pub(crate) struct UsernsExec {
    /// u|g|b:NSID:HOSTID:RANGE (can be given several times; default: the delegated ranges at 0)
    #[arg(short = 'm', value_name = "MAP")]
    maps: Vec<String>,
    /// Keep the ids instead of taking 0
    #[arg(short = 's')]
    keep: bool,
    /// User id to take
    #[arg(short = 'u', value_name = "UID")]
    uid: Option<u32>,
    /// Group id to take
    #[arg(short = 'g', value_name = "GID")]
    gid: Option<u32>,
    /// The program; /bin/sh without one
    #[arg(
        value_name = "COMMAND",
        trailing_var_arg = true,
        allow_hyphen_values = true,
        hide = true
    )]
    words: Vec<String>,
}

impl Run for UsernsExec {
    fn run(mut self, context: &Context) -> Outcome {
        let failed = |error: rlxc_namespace::Error| Failure::new(error.to_string());
        let mut maps = Vec::new();
        for text in &self.maps {
            maps.extend(parse_argument(text).map_err(failed)?);
        }
        if maps.is_empty() {
            maps = subid::default_maps(&Caller::current()).map_err(failed)?;
        }
        if self.words.is_empty() {
            self.words.push("/bin/sh".to_owned());
        }
        let (mut wait_end, mut go_end) = pipe()?;
        let arguments = CloneArgs {
            flags: Namespace::User.clone_flag() | Namespace::Mnt.clone_flag(),
            ..CloneArgs::default()
        };
        match clone3(&arguments).map_err(|e| cannot("make a user namespace", e))? {
            Cloned::Child => {
                drop(go_end);
                let mut byte = [0];
                if wait_end.read_exact(&mut byte).is_err() {
                    exit_now(1);
                }
                let failure = self.inside();
                context.report(&failure);
                exit_now(i32::from(failure.status));
            }
            Cloned::Parent { pid, pidfd } => {
                drop(wait_end);
                rlxc_namespace::write_id_maps(pid, &maps).map_err(failed)?;
                go_end
                    .write_all(b"g")
                    .map_err(|e| cannot("let the program go", e))?;
                drop(go_end);
                let status = wait_status(&pidfd).map_err(|e| cannot("wait for the program", e))?;
                Ok(shell_status(status))
            }
        }
    }
}

impl UsernsExec {
    fn inside(&self) -> Failure {
        if !self.keep {
            let (uid, gid) = (self.uid.unwrap_or(0), self.gid.unwrap_or(0));
            // Refused where setgroups is denied: the groups stay then, as in LXC.
            let _ = nix::unistd::setgroups(&[]);
            let set = nix::unistd::setresgid(gid.into(), gid.into(), gid.into())
                .and_then(|()| nix::unistd::setresuid(uid.into(), uid.into(), uid.into()));
            if let Err(errno) = set {
                return cannot("take the ids", errno.into());
            }
        }
        exec(&self.words)
    }
}
