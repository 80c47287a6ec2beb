//! Project tasks: `cargo xtask <task>`. Plain Rust, so that a fresh machine needs no other tool.

mod bench;
mod demo;
mod fuzz;
mod host;
mod install;
mod leftovers;
mod lint;
mod lxd;
mod suite;
mod vm;

use std::process::ExitCode;

const USAGE: &str = "\
Usage: cargo xtask <task>

  demo            build, then make, start, enter, watch, stop and destroy a busybox container
  test            install what the tests need (as root), then run every test this machine can run
    --no-setup      do not install packages or make test users
    --no-lint       skip formatting, clippy, docs and dependency checks
    --filter TEXT   only tests whose name contains TEXT
  lxd-test        run LXD on our library: launch, exec, limits, snapshots and the rest (as root)
    --release       the release build
    --library DIR   another liblxc.so.1, to compare
  lint            formatting, clippy, docs, dependency rules
  man DIR         write the man pages into DIR
  completions DIR write the completions for bash, zsh and fish into DIR
  install         build, and lay out programs, library, manuals, templates, configurations and units
    --prefix DIR    where it will be used (default /usr; else settings in PREFIX/etc, state in PREFIX/var)
    --destdir DIR   put everything below DIR, as packagers need it
    --libdir, --sysconfdir, --localstatedir DIR
    --profile NAME  release (default), debug or another
    --no-build      take what is built already
    --force         overwrite what another installation has put there
  uninstall       remove exactly what install has put there (same --prefix and --destdir)
  deb             make the Debian packages rlxc, librlxc1 and rlxc-dev (options of install)
    --out DIR       where they go (default target/debian)
  bench           time rlxc against the installed LXC, in the same run
    --runs N        runs of each command (default 20)
    --config        only loading and editing configurations
  fuzz            run a fuzz target with the stable compiler
    --target NAME   config (the configuration language, default) or image (archives, indexes, keys)
    --seconds N     for so long (default 60)
  vm-test         run the checks that need pure cgroup2, LVM or AppArmor in a VM (one boot)
    --check TEXT    only checks whose package/test contains TEXT
    --filter TEXT   only tests whose name contains TEXT
    --command TEXT  run a shell command in the VM in place of the checks
    --timeout MIN   end the VM after so many minutes (default 40)
";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let rest = args.get(1..).unwrap_or_default();
    let result = match args.first().map(String::as_str) {
        Some("demo") => demo::run(),
        Some("test") => suite::run(rest),
        Some(what @ ("man" | "completions")) => generate(what, rest),
        Some("install") => install::install(rest),
        Some("uninstall") => install::uninstall(rest),
        Some("deb") => install::deb(rest),
        Some("lint") => lint::run(),
        Some("lxd-test") => lxd::run(rest),
        Some("bench") => bench::run(rest),
        Some("fuzz") => fuzz::run(rest),
        Some("vm-test") => vm::run(rest),
        Some("help" | "--help" | "-h") => {
            print!("{USAGE}");
            Ok(())
        }
        other => {
            eprint!("{USAGE}");
            Err(match other {
                Some(task) => format!("there is no task named {task:?}"),
                None => "no task given".to_owned(),
            })
        }
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("xtask: {message}");
            ExitCode::FAILURE
        }
    }
}

/// Man pages and completions come from the command line's own definitions.
pub(crate) fn generate(what: &str, args: &[String]) -> Result<(), String> {
    let [dir] = args else {
        return Err(format!("cargo xtask {what} DIR"));
    };
    let dir = std::path::absolute(dir).map_err(|e| format!("{dir}: {e}"))?;
    let mut cargo = host::cargo();
    cargo.args([
        "run",
        "--quiet",
        "-p",
        "rlxc-cli",
        "--example",
        "generate",
        "--",
        what,
    ]);
    host::run(cargo.arg(dir))
}
