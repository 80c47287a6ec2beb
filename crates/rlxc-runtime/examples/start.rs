//! Starts a container from a rootfs directory: `start LXCPATH NAME ROOTFS [COMMAND…]`.
//!
//! Without a command it goes to the background with `/sbin/init`; with one it runs that in the
//! foreground. Prints the plan before, and how long each step took.

use std::path::Path;
use std::process::ExitCode;

use rlxc_config::{Config, Nic, auto_mount};
use rlxc_runtime::{HostFacts, Mode, Plan, PlanInput, start};

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [lxcpath, name, rootfs, argv @ ..] = words.as_slice() else {
        eprintln!("usage: start LXCPATH NAME ROOTFS [COMMAND…]");
        return ExitCode::from(2);
    };
    let mut config = Config::default();
    config.rootfs.path = Some(rootfs.clone());
    config.uts_name = Some(name.clone());
    config.mounts.auto.bits = auto_mount::PROC_MIXED | auto_mount::SYS_MIXED;
    config.pty_max = 1024;
    config.tty.max = 2;
    config.net.insert(0, Nic::default());
    let input = PlanInput {
        name,
        lxcpath: Path::new(lxcpath),
        config: &config,
        argv: argv.to_vec(),
        mode: if argv.is_empty() {
            Mode::Start
        } else {
            Mode::Execute
        },
        daemonize: argv.is_empty(),
    };
    let started = Plan::compute(input, &HostFacts::detect())
        .map_err(|error| error.to_string())
        .inspect(|plan| eprint!("{plan}"))
        .and_then(|plan| start(&plan).map_err(|error| error.to_string()));
    match started {
        Ok(started) => {
            for timing in &started.timings {
                eprintln!("{:>10.1?}  {}", timing.duration, timing.step);
            }
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
