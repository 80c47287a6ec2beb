//! Prints what `check` finds in the files given.

use std::io::Write;
use std::path::Path;

fn main() -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    for file in std::env::args().skip(1) {
        write!(
            out,
            "{}",
            rlxc_config::render(&rlxc_config::check(Path::new(&file)))
        )?;
    }
    Ok(())
}
