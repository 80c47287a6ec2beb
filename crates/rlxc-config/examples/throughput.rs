//! Measures loading: one long file (MB/s), a file with 100 includes, and set and get of one key.

use std::io::Write;
use std::path::Path;
use std::time::Instant;

use rlxc_config::Document;

const LINES: usize = 500_000;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut out = std::io::stdout().lock();
    let kinds = [
        "lxc.mount.entry = /srv/data/000000 srv/data/000000 none bind,optional,create=dir 0 0\n",
        "lxc.environment = VARIABLE_NUMBER_000000=value of the variable\n",
        "# a comment that says what the next line is good for\n",
        "lxc.cgroup2.devices.allow = c 000000:* rwm\n",
        "lxc.net.0.mtu = 1500\n",
    ];
    let text: String = (0..LINES)
        .map(|n| kinds[n % kinds.len()].replace("000000", &format!("{n:06}")))
        .collect();
    for round in 0..3 {
        let start = Instant::now();
        let mut document = Document::new();
        document.load_text(Path::new("long"), text.as_bytes())?;
        let seconds = start.elapsed().as_secs_f64();
        writeln!(
            out,
            "round {round}: {:.1} MB in {seconds:.3} s: {:.0} MB/s",
            text.len() as f64 / 1e6,
            text.len() as f64 / 1e6 / seconds
        )?;
    }

    let dir = std::env::temp_dir().join(format!("rlxc-throughput-{}", std::process::id()));
    std::fs::create_dir_all(&dir)?;
    let part: String = text
        .lines()
        .take(100)
        .map(|line| format!("{line}\n"))
        .collect();
    let mut main = String::new();
    for n in 0..100 {
        let file = dir.join(format!("{n}.conf"));
        std::fs::write(&file, &part)?;
        main += &format!("lxc.include = {}\n", file.display());
    }
    std::fs::write(dir.join("config"), main)?;
    for _ in 0..5 {
        let start = Instant::now();
        Document::new().load_file(&dir.join("config"))?;
        let millis = start.elapsed().as_secs_f64() * 1e3;
        writeln!(out, "100 includes, 10,000 lines: {millis:.2} ms")?;
    }
    std::fs::remove_dir_all(&dir)?;

    let mut document = Document::new();
    let start = Instant::now();
    for _ in 0..100_000 {
        document.set("lxc.tty.max", "4")?;
    }
    let set = start.elapsed().as_nanos() / 100_000;
    let start = Instant::now();
    for _ in 0..100_000 {
        std::hint::black_box(document.get("lxc.tty.max")?);
    }
    writeln!(
        out,
        "set {set} ns, get {} ns",
        start.elapsed().as_nanos() / 100_000
    )?;
    Ok(())
}
