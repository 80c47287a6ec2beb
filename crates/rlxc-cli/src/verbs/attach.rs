use std::ffi::{CString, OsString};
use std::fs::OpenOptions;
use std::io::{IsTerminal, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;

use clap::Args;
use rlxc::attach::{AttachOptions, AttachTask, EnvPolicy, Replaced, flags, reexec_read_only};
use rlxc::config::{Document, Namespace, Personality};

use super::Run;
use crate::context::{Context, Failure, Outcome};

/// Options of `attach`.
#[derive(Debug, Args)]
pub(crate) struct Attach {
    /// Leave CAP, CGROUP or LSM (joined by |) as they are outside; without a list all of them
    #[arg(short = 'e', long, value_name = "PRIVILEGES", num_args = 0..=1, require_equals = true,
          default_missing_value = "")]
    elevated_privileges: Option<String>,
    /// Architecture that the program shall see
    #[arg(short = 'a', long, value_name = "ARCH")]
    arch: Option<String>,
    /// Enter only these namespaces: MOUNT PID UTSNAME IPC USER NETWORK CGROUP TIME, joined by |
    #[arg(short = 's', long, value_name = "FLAGS")]
    namespaces: Option<String>,
    /// With -s without MOUNT: mount /sys and /proc anew
    #[arg(short = 'R', long)]
    remount_sys_proc: bool,
    /// Begin with an empty environment
    #[arg(long, overrides_with = "keep_env")]
    clear_env: bool,
    /// Keep the environment (default)
    #[arg(long)]
    keep_env: bool,
    /// The program's terminal: auto (a new one in the container for the caller's), proxy (a new one in any case), raw
    /// (so too, and every byte passes as it is), none (the caller's own)
    #[arg(
        long,
        value_name = "KIND",
        value_enum,
        default_value = "auto",
        hide_default_value = true
    )]
    pty: PtyKind,
    /// The same as --pty=none
    #[arg(long, conflicts_with = "pty")]
    no_pty: bool,
    /// Write the terminal's output to FILE as well
    #[arg(short = 'L', long, value_name = "FILE")]
    pty_log: Option<PathBuf>,
    /// Set a variable (can be given several times)
    #[arg(short = 'v', long, value_name = "NAME=VALUE")]
    set_var: Vec<String>,
    /// With --clear-env: keep this variable (can be given several times)
    #[arg(long, value_name = "NAME")]
    keep_var: Vec<String>,
    /// Run as this user id of the container
    #[arg(short = 'u', long, value_name = "UID")]
    uid: Option<u32>,
    /// Run as this group id of the container
    #[arg(short = 'g', long, value_name = "GID")]
    gid: Option<u32>,
    /// SELinux label to run under
    #[arg(short = 'c', long, value_name = "LABEL")]
    context: Option<String>,
    /// NAME, if not given by -n, and the program
    #[arg(value_name = "NAME|COMMAND", hide = true)]
    words: Vec<OsString>,
}

/// `--pty`
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum PtyKind {
    Auto,
    Proxy,
    Raw,
    None,
}

/// getopt's optional argument sticks to its letter: `-eCAP`.
pub(super) fn rewrite(words: Vec<OsString>) -> Vec<OsString> {
    let mut options = true;
    let each = |word: OsString| {
        let text = word.to_str().unwrap_or_default();
        options &= text != "--";
        match text
            .strip_prefix("-e")
            .filter(|rest| options && !rest.is_empty())
        {
            Some(rest) => format!("--elevated-privileges={}", rest.trim_start_matches('=')).into(),
            None => word,
        }
    };
    words.into_iter().map(each).collect()
}

impl Run for Attach {
    fn run(self, context: &Context) -> Outcome {
        // First thing: what runs inside must not find a writable way to our own file.
        if let Err(error) = reexec_read_only() {
            tracing::warn!("the own executable stays reachable from inside: {error}");
        }
        let mut words = self.words.clone();
        let mut names = Vec::new();
        if context.common.name.is_none() && !words.is_empty() {
            let name = words.remove(0);
            names.push(name.into_string().map_err(not_a_name)?);
        }
        let container = context.container(&mut names)?;
        context.check_control(&container)?;
        let mut options = self.options()?;
        let log = self.pty_log.as_ref().map(Tee::new).transpose()?;
        if let Some(log) = &log {
            options.stdout = log.input.as_raw_fd();
        }
        let task = match words.as_slice() {
            [] => AttachTask::Shell,
            // Arguments are bytes, whatever text they are.
            words => AttachTask::Exec(
                words
                    .iter()
                    .map(|word| CString::new(word.as_bytes()))
                    .collect::<Result<_, _>>()
                    .map_err(|_| Failure::new("an argument contains a NUL"))?,
            ),
        };
        let status = container.attach_wait(&options, task)?;
        if let Some(log) = log {
            log.finish();
        }
        Ok(match (status & 0x7f, status >> 8 & 0xff) {
            (0, code) => code as u8,
            (signal, _) => 128 + signal as u8,
        })
    }
}

fn not_a_name(word: OsString) -> Failure {
    let shown = word.as_bytes().escape_ascii();
    Failure::new(format!("'{shown}' cannot be a container's name"))
}

impl Attach {
    fn options(&self) -> Result<AttachOptions, Failure> {
        let mut options = AttachOptions {
            uid: self.uid,
            gid: self.gid,
            extra_env: self.set_var.clone(),
            extra_keep: self.keep_var.clone(),
            env_policy: if self.clear_env {
                EnvPolicy::Clear
            } else {
                EnvPolicy::Keep
            },
            personality: self.arch.as_deref().map(personality).transpose()?,
            ..AttachOptions::default()
        };
        if let Some(list) = &self.elevated_privileges {
            options.flags &= !elevated(list)?;
        }
        if let Some(list) = &self.namespaces {
            options.flags &= !flags::CONFINEMENT;
            options.namespaces = Some(namespaces(list)?);
        }
        if self.remount_sys_proc {
            options.flags |= flags::REMOUNT_PROC_SYS;
        }
        if let Some(label) = &self.context {
            options.flags |= flags::LSM_LABEL;
            options.lsm_label = Some(label.clone());
        }
        let terminal = std::io::stdin().is_terminal()
            || std::io::stdout().is_terminal()
            || std::io::stderr().is_terminal();
        let wanted = match self.pty {
            _ if self.no_pty => false,
            PtyKind::Auto => terminal,
            PtyKind::Proxy | PtyKind::Raw => {
                options.replaced = Replaced::All;
                options.raw_terminal = self.pty == PtyKind::Raw;
                true
            }
            PtyKind::None => false,
        };
        if wanted {
            options.flags |= flags::TERMINAL;
        }
        Ok(options)
    }
}

fn elevated(list: &str) -> Result<u32, Failure> {
    if list.is_empty() {
        return Ok(flags::CONFINEMENT);
    }
    list.split('|').try_fold(0, |all, word| match word.trim() {
        "CGROUP" => Ok(all | flags::MOVE_TO_CGROUP),
        "CAP" => Ok(all | flags::DROP_CAPABILITIES),
        "LSM" => Ok(all | flags::LSM),
        other => Err(Failure::usage(format!(
            "invalid privilege '{other}': CAP, CGROUP or LSM"
        ))),
    })
}

/// A list of namespaces by LXC's names, or the kernel's.
pub(super) fn namespaces(list: &str) -> Result<u64, Failure> {
    list.split('|').try_fold(0, |all, word| {
        let word = word.trim();
        let named = || Namespace::ALL.into_iter().find(|ns| ns.name() == word);
        let found = Namespace::of_tool_word(word).or_else(named);
        let namespace =
            found.ok_or_else(|| Failure::usage(format!("invalid namespace '{word}'")))?;
        Ok(all | namespace.clone_flag())
    })
}

/// The execution domain of an architecture's name, as `lxc.arch` knows it.
fn personality(arch: &str) -> Result<u64, Failure> {
    let mut document = Document::new();
    document
        .set("lxc.arch", arch)
        .map_err(|error| Failure::usage(error.to_string()))?;
    match document.config().arch {
        Some(Personality::Linux32) => Ok(8),
        Some(Personality::Linux) => Ok(0),
        None => Err(Failure::new(format!("invalid architecture '{arch}'"))),
    }
}

/// Copies what is written to its input to standard output and to a file.
struct Tee {
    input: std::io::PipeWriter,
    copy: std::thread::JoinHandle<()>,
}

impl Tee {
    fn new(path: &PathBuf) -> Result<Self, Failure> {
        let failed = |e: std::io::Error| {
            Failure::new(format!(
                "cannot write the terminal's log {}: {e}",
                path.display()
            ))
        };
        let mut file = OpenOptions::new()
            .append(true)
            .create(true)
            .mode(0o600)
            .open(path)
            .map_err(failed)?;
        let (mut output, input) = std::io::pipe().map_err(failed)?;
        let copy = std::thread::spawn(move || {
            let mut buffer = [0; 8192];
            while let Ok(count @ 1..) = output.read(&mut buffer) {
                let _ = file.write_all(&buffer[..count]);
                let mut out = std::io::stdout().lock();
                let _ = out.write_all(&buffer[..count]).and_then(|()| out.flush());
            }
        });
        Ok(Self { input, copy })
    }

    fn finish(self) {
        drop(self.input);
        let _ = self.copy.join();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_optional_argument_of_e_sticks_to_it() {
        let words = ["x", "-eCAP|LSM", "-e", "--", "-eX"]
            .map(OsString::from)
            .to_vec();
        let words: Vec<_> = rewrite(words)
            .into_iter()
            .filter_map(|w| w.into_string().ok())
            .collect();
        assert_eq!(
            words,
            ["x", "--elevated-privileges=CAP|LSM", "-e", "--", "-eX"]
        );
    }

    #[test]
    fn namespaces_are_known_by_both_names() {
        assert_eq!(namespaces("MOUNT|pid").ok(), Some(0x2002_0000));
        assert!(namespaces("NOPE").is_err());
    }
}
