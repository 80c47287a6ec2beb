//! `rlxc top` on a real terminal, driven by tmux, and its other forms.

mod common;

use std::io;
use std::process::{Command, Stdio};

use common::{Place, RLXC, eventually, missing};

/// A terminal of a tmux server of our own.
struct Terminal {
    socket: String,
}

impl Terminal {
    fn open(name: &str, columns: u16, rows: u16, command: &str) -> io::Result<Self> {
        let socket = format!("rlxc-cli-{name}-{}", std::process::id());
        let terminal = Self { socket };
        let (columns, rows) = (columns.to_string(), rows.to_string());
        let size = ["-x", &columns, "-y", &rows];
        terminal.tmux(&[&["new-session", "-d"], &size[..], &[command]].concat())?;
        Ok(terminal)
    }

    fn tmux(&self, words: &[&str]) -> io::Result<String> {
        let output = Command::new("tmux")
            .args(["-L", &self.socket, "-f", "/dev/null"])
            .args(words)
            .env("LC_ALL", "C.UTF-8")
            .stdin(Stdio::null())
            .output()?;
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    fn keys(&self, keys: &[&str]) -> io::Result<()> {
        self.tmux(&[&["send-keys"], keys].concat()).map(drop)
    }

    fn screen(&self) -> String {
        self.tmux(&["capture-pane", "-p"]).unwrap_or_default()
    }

    /// Waits until the screen holds `text`.
    fn shows(&self, text: &str) {
        assert!(
            eventually(|| self.screen().contains(text)),
            "no {text:?} on\n{}",
            self.screen()
        );
    }

    /// Waits until `first` stands above `second`.
    fn has_order(&self, first: &str, second: &str) {
        let in_order = || {
            let screen = self.screen();
            let line = |name: &str| screen.lines().position(|l| l.starts_with(name));
            matches!((line(first), line(second)), (Some(a), Some(b)) if a < b)
        };
        assert!(eventually(in_order), "{}", self.screen());
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.tmux(&["kill-server"]);
    }
}

fn has_tmux() -> bool {
    Command::new("tmux").arg("-V").output().is_ok()
}

#[test]
fn the_full_screen_sorts_freezes_enters_and_kills() -> io::Result<()> {
    if let Some(what) = missing().or((!has_tmux()).then_some("tmux")) {
        println!("skipped: {what}");
        return Ok(());
    }
    let place = Place::new("top")?;
    for name in ["alpha", "beta"] {
        place.busybox(name)?;
        place.must(&format!("start {name}"))?;
    }
    // Busy, so that it leads by CPU. It ends with the container.
    let busy = place.ours("lxc-attach");
    let mut busy = Command::new(busy)
        .args(["-n", "beta", "-P"])
        .arg(place.lxcpath())
        .args(["--", "sh", "-c", "while :; do :; done"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()?;
    let lxcpath = place.lxcpath().display().to_string();
    let command = format!("{RLXC} top -P {lxcpath} -d 1; echo left; sleep 60");
    let screen = Terminal::open("top", 150, 24, &command)?;
    screen.shows("2 of 2 running · by NAME");
    for title in [
        "CPU%", "MEMORY", "SWAP", "WRITE/s", "RECV/s", "PIDS", "PSI-C",
    ] {
        screen.shows(title);
    }
    screen.has_order("alpha", "beta");
    screen.keys(&["r"])?;
    screen.has_order("beta", "alpha");
    screen.keys(&["r", "c"])?;
    screen.shows("by CPU%");
    screen.has_order("beta", "alpha");
    // Sparklines of a busy CPU.
    screen.shows("▇");
    screen.keys(&["?"])?;
    screen.shows("column to sort by");
    screen.keys(&["x", "n", "/", "alp", "Enter"])?;
    screen.shows("1 of 2 running");
    screen.keys(&["F"])?;
    screen.shows("alpha: frozen");
    assert_eq!(place.rlxc("info alpha -s -H")?.out, "FROZEN\n");
    screen.keys(&["F"])?;
    screen.shows("alpha: thawed");
    screen.keys(&["Enter"])?;
    screen.shows("/ #");
    screen.keys(&["echo I am in $(hostname)", "Enter"])?;
    screen.shows("I am in alpha");
    screen.keys(&["exit", "Enter"])?;
    screen.shows("1 of 2 running");
    screen.keys(&["K"])?;
    screen.shows("kill alpha? y or n");
    screen.keys(&["n", "K", "y"])?;
    screen.shows("0 of 1 running");
    assert_eq!(place.rlxc("info alpha -s -H")?.out, "STOPPED\n");
    assert_eq!(place.rlxc("info beta -s -H")?.out, "RUNNING\n");
    screen.tmux(&["resize-window", "-x", "30", "-y", "5"])?;
    screen.shows("terminal too small");
    screen.keys(&["q"])?;
    screen.shows("left");
    place.must("stop -k beta")?;
    busy.wait().map(drop)
}

#[test]
fn a_signal_gives_the_terminal_back_before_it_ends_or_stops_the_program() -> io::Result<()> {
    if let Some(what) = missing().or((!has_tmux()).then_some("tmux")) {
        println!("skipped: {what}");
        return Ok(());
    }
    let place = Place::new("top-signal")?;
    let lxcpath = place.lxcpath().display().to_string();
    let ours = place.ours("lxc-top").display().to_string();
    for (number, (program, first)) in [
        (format!("{RLXC} top"), "running · by NAME"),
        (ours, "TOTAL 0"),
    ]
    .into_iter()
    .enumerate()
    {
        for signal in ["TERM", "HUP", "INT"] {
            let file = place.dir.join(format!("pid-{number}-{signal}"));
            // What stty says tells whether the terminal is as it was.
            let command = format!(
                "sh -c 'echo $$ >{}; exec {program} -P {lxcpath} -d 1'; echo ended $?; stty -a | grep -ow -- -icanon; stty -a | grep -ow -- -echo; echo looked; sleep 60",
                file.display()
            );
            let screen = Terminal::open(&format!("sig{number}{signal}"), 120, 24, &command)?;
            screen.shows(first);
            let pid: i32 = std::fs::read_to_string(&file)?.trim().parse().unwrap_or(0);
            assert!(pid > 1);
            let signal: nix::sys::signal::Signal =
                format!("SIG{signal}").parse().map_err(io::Error::other)?;
            nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), signal)?;
            screen.shows(&format!("ended {}", 128 + signal as i32));
            screen.shows("looked");
            let shown = screen.screen();
            assert!(
                !shown.contains("-icanon") && !shown.contains("-echo"),
                "{shown}"
            );
        }
    }
    // Stopped, the terminal is the shell's; continued, the screen is there again.
    let command = format!(
        "bash --norc -i -c 'set -m; {RLXC} top -P {lxcpath} -d 1; echo stopped; stty -a | grep -ow -- -icanon; fg; echo end; sleep 60'"
    );
    let screen = Terminal::open("sigstop", 120, 24, &command)?;
    screen.shows("running · by NAME");
    screen.keys(&["C-z"])?;
    assert!(eventually(|| screen.screen().contains("running · by NAME")));
    screen.keys(&["r"])?;
    screen.shows("(reversed)");
    screen.keys(&["q"])?;
    screen.shows("stopped");
    screen.shows("end");
    assert!(!screen.screen().contains("-icanon"), "{}", screen.screen());
    Ok(())
}

/// From a single cell to more than a wall of monitors.
const SIZES: [(u16, u16); 10] = [
    (1, 1),
    (2, 1),
    (10, 3),
    (39, 6),
    (40, 6),
    (300, 3),
    (45, 100),
    (300, 100),
    (80, 15),
    (80, 24),
];

#[test]
fn every_size_of_a_terminal_is_drawn_and_a_change_of_it_followed() -> io::Result<()> {
    if let Some(what) = missing().or((!has_tmux()).then_some("tmux")) {
        println!("skipped: {what}");
        return Ok(());
    }
    let place = Place::new("sizes")?;
    for name in ["alpha", "beta"] {
        place.busybox(name)?;
        place.must(&format!("start {name}"))?;
    }
    let lxcpath = place.lxcpath().display().to_string();
    let ours = place.ours("lxc-top").display().to_string();
    for (number, (program, shows)) in [
        (format!("{RLXC} top"), "2 of 2 running · by NAME"),
        (ours, "TOTAL 2 of 2"),
    ]
    .into_iter()
    .enumerate()
    {
        // It begins in the smallest.
        let command = format!("{program} -P {lxcpath} -d 1; s=$?; echo; echo left $s; sleep 60");
        let screen = Terminal::open(&format!("size{number}"), 1, 1, &command)?;
        for (columns, rows) in SIZES {
            let (x, y) = (columns.to_string(), rows.to_string());
            screen.tmux(&["resize-window", "-x", &x, "-y", &y])?;
            // Each key has something to draw at each size.
            screen.keys(&["r", "r", "c", "n"])?;
            if number == 0 {
                screen.keys(&["?", "?", "/", "Enter", "K", "x"])?;
            }
            let fits = || {
                let shown = screen.screen();
                let wide = shown
                    .lines()
                    .all(|line| line.chars().count() <= columns.into());
                wide && shown.lines().count() <= usize::from(rows).max(1)
            };
            assert!(eventually(fits), "{columns}x{rows}:\n{}", screen.screen());
        }
        screen.shows(shows);
        screen.shows("alpha");
        assert_eq!(place.rlxc("info alpha -s -H")?.out, "RUNNING\n");
        screen.keys(&["q"])?;
        screen.shows("left 0");
    }
    Ok(())
}

#[test]
fn a_terminal_that_is_closed_ends_what_was_shown_on_it() -> io::Result<()> {
    if let Some(what) = missing().or((!has_tmux()).then_some("tmux")) {
        println!("skipped: {what}");
        return Ok(());
    }
    let place = Place::new("closed")?;
    place.busybox("alpha")?;
    place.must("start alpha")?;
    let lxcpath = place.lxcpath().display().to_string();
    let ours = |tool: &str| place.ours(tool).display().to_string();
    for (number, (program, shows)) in [
        (format!("{RLXC} top"), "1 of 1 running"),
        (ours("lxc-top"), "TOTAL 1 of 1"),
        (format!("{} -b -d 1", ours("lxc-top")), "time_ms"),
        (format!("{} alpha", ours("lxc-attach")), "#"),
        (
            format!("{} alpha -t 1", ours("lxc-console")),
            "Connected to tty 1",
        ),
    ]
    .into_iter()
    .enumerate()
    {
        let file = place.dir.join(format!("pid-{number}"));
        // Not even the hang-up's signal need come.
        let command = format!(
            "sh -c 'trap \"\" HUP; echo $$ >{}; exec {program} -P {lxcpath}'",
            file.display()
        );
        let screen = Terminal::open(&format!("closed{number}"), 120, 24, &command)?;
        screen.shows(shows);
        let pid = std::fs::read_to_string(&file)?.trim().to_owned();
        screen.tmux(&["kill-session"])?;
        let process = std::path::Path::new("/proc").join(&pid);
        let gone = || {
            let status = std::fs::read_to_string(process.join("status")).unwrap_or_default();
            status.is_empty() || status.contains("State:\tZ")
        };
        assert!(eventually(gone), "{program} (process {pid}) goes on");
    }
    assert_eq!(place.rlxc("info alpha -s -H")?.out, "RUNNING\n");
    Ok(())
}

#[test]
fn lxc_top_shows_lxcs_screen_and_the_same_figures() -> io::Result<()> {
    if let Some(what) = missing().or((!has_tmux()).then_some("tmux")) {
        println!("skipped: {what}");
        return Ok(());
    }
    let place = Place::new("classic")?;
    place.busybox("one")?;
    place.must("start one")?;
    // Frozen, so that nothing changes between two looks.
    place.must("freeze one")?;
    let lxcpath = place.lxcpath().display().to_string();
    let ours = place.ours("lxc-top").display().to_string();
    let open = |name: &str, program: &str| {
        let command = format!("{program} -P {lxcpath} -d 1");
        Terminal::open(&format!("classic-{name}"), 140, 10, &command)
    };
    let (ours, theirs) = (open("ours", &ours)?, open("theirs", "lxc-top")?);
    theirs.shows("TOTAL 1 of 1");
    assert!(
        eventually(|| ours.screen() == theirs.screen()),
        "ours:\n{}theirs:\n{}",
        ours.screen(),
        theirs.screen()
    );
    let said = place.rlxc("top --format json")?;
    assert!(said.out.contains("\"net_sent_bytes\""), "{said:?}");
    place.must("unfreeze one").map(drop)
}

#[test]
fn without_a_terminal_top_says_so_and_what_to_do() -> io::Result<()> {
    let place = Place::new("notty")?;
    let said = place.rlxc("top")?;
    assert_eq!(said.status, Some(1));
    assert!(said.err.contains("stdin is not a tty"), "{said:?}");
    assert!(said.err.contains("--format json"), "{said:?}");
    let said = place.run(place.ours("lxc-top"), &["-b"])?;
    assert_eq!(said.err, "stdin is not a tty\nFailed to setup terminal\n");
    Ok(())
}
