//! `init.lxc`: the small init of application containers as a program.

use std::ffi::CString;
use std::os::unix::ffi::OsStringExt;
use std::process::ExitCode;

const USAGE: &str = "\
Usage: init.lxc -n NAME [-q] [-P PATH] [-o FILE] [-l LEVEL] -- COMMAND…

Runs COMMAND as the first process of an application container does: reaps what ends, forwards
signals, and ends with the command's status (128 + signal if it was killed).
";

/// The version of LXC whose behaviour this is.
const VERSION: &str = "7.0.0";

fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1).peekable();
    while let Some(argument) = arguments.peek().map(|a| a.to_string_lossy().into_owned()) {
        match argument.as_str() {
            "--" => {
                arguments.next();
                break;
            }
            "-h" | "--help" | "-?" | "--usage" => {
                print!("{USAGE}");
                return ExitCode::SUCCESS;
            }
            "--version" => {
                println!("{VERSION}");
                return ExitCode::SUCCESS;
            }
            "-q" | "--quiet" => drop(arguments.next()),
            // Who started us and where it logs changes nothing here.
            "-n" | "--name" | "-P" | "--lxcpath" | "-o" | "--logfile" | "-l" | "--logpriority" => {
                arguments.next();
                arguments.next();
            }
            other if other.starts_with("--") && other.contains('=') => drop(arguments.next()),
            other if other.starts_with('-') => {
                eprintln!("init.lxc: unknown option {other}");
                eprint!("{USAGE}");
                return ExitCode::FAILURE;
            }
            _ => break,
        }
    }
    let argv: Vec<CString> = arguments
        .filter_map(|word| CString::new(word.into_vec()).ok())
        .collect();
    let Some(program) = argv.first().cloned() else {
        eprintln!("init.lxc: no command");
        return ExitCode::FAILURE;
    };
    let environment: Vec<CString> = std::env::vars_os()
        .filter_map(|(name, value)| {
            let mut line = name.into_vec();
            line.push(b'=');
            line.extend(value.into_vec());
            CString::new(line).ok()
        })
        .collect();
    let status = lxc_init::supervise(&argv, &environment, |started| {
        if let Err(errno) = started {
            eprintln!("init.lxc: {}: {errno}", program.to_string_lossy());
        }
    });
    ExitCode::from(u8::try_from(status).unwrap_or(1))
}
