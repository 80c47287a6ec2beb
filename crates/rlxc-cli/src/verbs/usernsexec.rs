use clap::Args;
use rlxc_namespace::idmap::parse_argument;
use rlxc_namespace::usernsexec::{Options, run};

use super::Run;
use super::unshare::{failure, status};
use crate::context::{Context, Outcome};

/// Options of `usernsexec`.
#[derive(Debug, Args)]
pub(crate) struct UsernsExec {
    /// u|g|b:NSID:HOSTID:RANGE (can be given several times; default: the delegated ranges at 0)
    #[arg(short = 'm', value_name = "MAP")]
    maps: Vec<String>,
    /// Map the caller's own ids too, at the lowest free ids
    #[arg(short = 's')]
    map_self: bool,
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
    fn run(self, context: &Context) -> Outcome {
        let mut maps = Vec::new();
        for text in &self.maps {
            maps.extend(parse_argument(text).map_err(|error| failure(&error))?);
        }
        let options = Options {
            maps,
            map_self: self.map_self,
            uid: self.uid.unwrap_or(0),
            gid: self.gid.unwrap_or(0),
            command: self.words.into_iter().map(Into::into).collect(),
        };
        run(&options, &|error| context.report(&failure(error)))
            .map(status)
            .map_err(|error| failure(&error))
    }
}
