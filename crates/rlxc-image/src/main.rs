//! The program behind the templates `download`, `local` and `oci`: `rlxc-image TEMPLATE OPTION…`.

use std::ffi::OsString;
use std::io::Read;
use std::path::Path;
use std::process::ExitCode;

use clap::Parser;
use rlxc_image::{Error, Result, download, local, oci, unpack};

const USAGE: &str = "\
Usage: rlxc-image download|local|oci [OPTION…]

The program behind LXC's templates of these names; lxc-create calls it.
rlxc-image TEMPLATE --help tells a template's options.
";

/// No file that a hook writes is larger.
const LARGEST: u64 = 256 << 20;

/// This program, also when its file has been replaced meanwhile.
const OWN: &str = "/proc/self/exe";

fn main() -> ExitCode {
    let words: Vec<OsString> = std::env::args_os().collect();
    let verb = words.get(1).map(|word| word.to_string_lossy().into_owned());
    let rest = words.get(1..).unwrap_or_default().to_vec();
    let program = Path::new(OWN);
    let result = match verb.as_deref() {
        Some("download") => parse::<download::Download>(rest).map(|run| run.run(program)),
        Some("local") => parse::<local::Local>(rest).map(|run| run.run(program)),
        Some("oci") => parse::<oci::Oci>(rest).map(|run| run.run(program)),
        Some("unpack") => {
            let words: Vec<String> = rest
                .into_iter()
                .filter_map(|w| w.into_string().ok())
                .collect();
            return ExitCode::from(unpack::serve(words.get(1..).unwrap_or_default()));
        }
        Some("squashfs") => return ExitCode::from(unpack::serve_squashfs()),
        Some("put") => return finish(put(&rest)),
        Some("help" | "--help" | "-h") => {
            print!("{USAGE}");
            return ExitCode::SUCCESS;
        }
        _ => {
            eprint!("{USAGE}");
            return ExitCode::FAILURE;
        }
    };
    match result {
        Ok(done) => finish(done),
        Err(error) => {
            let _ = error.print();
            // Also for --help, as LXC's templates: no container was made.
            ExitCode::FAILURE
        }
    }
}

fn parse<T: Parser>(words: Vec<OsString>) -> Result<T, clap::Error> {
    T::try_parse_from(words)
}

/// `put DIR PATH`: the standard input as a file of a container's tree, for hooks. Links in the tree
/// lead nowhere else.
fn put(words: &[OsString]) -> Result<u8> {
    let [_, dir, path] = words else {
        return Err(Error::Message("put DIR PATH".to_owned()));
    };
    let failed = |source| Error::Path {
        what: "write",
        path: Path::new(dir).join(path),
        source,
    };
    let mut text = Vec::new();
    let read = std::io::stdin().take(LARGEST + 1).read_to_end(&mut text);
    read.map_err(failed)?;
    if text.len() as u64 > LARGEST {
        return Err(Error::Message(format!(
            "more than {} MiB for {}",
            LARGEST >> 20,
            path.display()
        )));
    }
    let tree = unpack::Tree::open(Path::new(dir), false).map_err(|error| failed(error.into()))?;
    let put = tree.replace_file(Path::new(path), &text, 0o644);
    put.map_err(|error| failed(error.into()))?;
    Ok(0)
}

fn finish(done: Result<u8>) -> ExitCode {
    match done {
        Ok(status) => ExitCode::from(status),
        Err(error) => {
            eprintln!("ERROR: {error}");
            ExitCode::FAILURE
        }
    }
}
