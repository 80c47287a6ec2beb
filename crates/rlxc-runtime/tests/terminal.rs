//! Terminals with real ptys: nothing is lost, nobody is kept waiting.
#![allow(clippy::unwrap_used)]

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::termios::{OutputFlags, SetArg, cfmakeraw, tcgetattr, tcsetattr};
use rlxc_config::Console;
use rlxc_monitor::protocol::ConsoleLogRequest;
use rlxc_runtime::terminal::{ConsolePump, ConsoleSetup, End, Pty, Relay, Terminals, relay};
use rlxc_sys::tty::{WindowSize, set_window_size, window_size};

fn scratch(what: &str) -> PathBuf {
    let dir = std::env::temp_dir().join(format!("rlxc-terminal-{what}-{}", std::process::id()));
    std::fs::create_dir_all(&dir).unwrap();
    dir
}

/// A pty without any change of what passes, like a console in raw mode.
fn raw_pty() -> Pty {
    let pty = Pty::from_host().unwrap();
    let mut settings = tcgetattr(&pty.pts).unwrap();
    cfmakeraw(&mut settings);
    tcsetattr(&pty.pts, SetArg::TCSANOW, &settings).unwrap();
    pty
}

fn console(config: &Console) -> (Terminals, File) {
    let pty = raw_pty();
    let pump = ConsolePump::new(ConsoleSetup {
        ptx: pty.ptx,
        config,
        peer: None,
    })
    .unwrap();
    let ttys = (0..2).map(|_| raw_pty().ptx).collect();
    (Terminals::new(Some(pump), ttys, None), File::from(pty.pts))
}

/// Runs the monitor's loop until `done`.
fn run(terminals: &mut Terminals, mut done: impl FnMut() -> bool) {
    let until = Instant::now() + Duration::from_secs(20);
    while !done() {
        assert!(Instant::now() < until, "the console stands still");
        let timeout = PollTimeout::from(5u8);
        poll(
            &mut [PollFd::new(terminals.poll_fd().unwrap(), PollFlags::POLLIN)],
            timeout,
        )
        .unwrap();
        terminals.dispatch();
    }
}

fn pattern(size: usize) -> Vec<u8> {
    (0..size as u32)
        .map(|n| b'a' + (n / 7 % 26) as u8)
        .collect()
}

#[test]
fn megabytes_reach_the_log_and_the_client_whole() {
    let dir = scratch("whole");
    let config = Console {
        logfile: Some(dir.join("log").to_string_lossy().into_owned()),
        buffer_size: 8192,
        ..Console::default()
    };
    let (mut terminals, mut inside) = console(&config);
    let grant = terminals.tty(0).unwrap();
    assert_eq!(terminals.tty(0).unwrap_err(), Errno::EBUSY);
    let data = pattern(4_000_000);
    let sent = data.clone();
    let writer = std::thread::spawn(move || inside.write_all(&sent).map(|()| inside));
    let size = data.len();
    let reader = std::thread::spawn(move || {
        let mut got = vec![0; size];
        File::from(grant.ptx).read_exact(&mut got).map(|()| got)
    });
    run(&mut terminals, || reader.is_finished());
    assert!(
        reader.join().unwrap().unwrap() == data,
        "the client's view differs"
    );
    let _inside = writer.join().unwrap().unwrap();
    let read = |request| terminals.console_log(request);
    let request = ConsoleLogRequest {
        read: true,
        read_max: 10,
        ..ConsoleLogRequest::default()
    };
    let mut read = read;
    assert_eq!(read(request).unwrap(), data[size - 8192..size - 8182]);
    let clear = ConsoleLogRequest {
        clear: true,
        ..ConsoleLogRequest::default()
    };
    assert!(
        std::fs::read(dir.join("log")).unwrap() == data,
        "the log differs"
    );
    terminals.finish();
    assert_eq!(
        std::fs::read(dir.join("log")).unwrap(),
        data[size - 8182..],
        "at the end the log holds what the ring buffer holds"
    );
    terminals.console_log(clear).unwrap();
    assert_eq!(terminals.console_log(request), Err(Errno::ENODATA));
    std::fs::remove_dir_all(&dir).unwrap();
}

#[test]
fn a_client_that_reads_nothing_does_not_stop_the_console() {
    let dir = scratch("stuck");
    let config = Console {
        logfile: Some(dir.join("log").to_string_lossy().into_owned()),
        ..Console::default()
    };
    let (mut terminals, mut inside) = console(&config);
    let grant = terminals.tty(0).unwrap();
    let data = pattern(1_000_000);
    let sent = data.clone();
    let writer = std::thread::spawn(move || inside.write_all(&sent).map(|()| inside));
    run(&mut terminals, || writer.is_finished());
    let _inside = writer.join().unwrap().unwrap();
    let log = dir.join("log");
    run(&mut terminals, || {
        std::fs::metadata(&log).unwrap().len() == data.len() as u64
    });
    drop(grant);
    terminals.tty_returned(0);
    terminals.tty(0).unwrap();
    std::fs::remove_dir_all(&dir).unwrap();
}

#[test]
fn input_and_window_size_of_a_client_reach_the_console() {
    let (mut terminals, mut inside) = console(&Console::default());
    let grant = terminals.tty(0).unwrap();
    let size = WindowSize {
        rows: 33,
        columns: 99,
    };
    set_window_size(grant.ptx.as_fd(), size).unwrap();
    File::from(grant.ptx.try_clone().unwrap())
        .write_all(b"hello")
        .unwrap();
    run(&mut terminals, || window_size(inside.as_fd()) == Ok(size));
    let mut got = [0; 5];
    run(&mut terminals, || {
        poll(
            &mut [PollFd::new(inside.as_fd(), PollFlags::POLLIN)],
            PollTimeout::ZERO,
        )
        .unwrap()
            == 1
    });
    inside.read_exact(&mut got).unwrap();
    assert_eq!(&got, b"hello");
    drop(inside);
    // Nobody has the console open inside: no busy loop, no lost client.
    std::thread::sleep(Duration::from_millis(20));
    terminals.dispatch();
    let mut polls = [PollFd::new(terminals.poll_fd().unwrap(), PollFlags::POLLIN)];
    assert_eq!(poll(&mut polls, PollTimeout::from(50u8)).unwrap(), 0);
}

#[test]
fn ttys_are_given_away_once_and_come_back() {
    let (mut terminals, _inside) = console(&Console::default());
    assert_eq!(terminals.tty(-1).unwrap().number, 1);
    assert_eq!(terminals.tty(-1).unwrap().number, 2);
    assert_eq!(terminals.tty(-1).unwrap_err(), Errno::EBUSY);
    assert_eq!(terminals.tty(3).unwrap_err(), Errno::ENOENT);
    assert_eq!(terminals.tty(-2).unwrap_err(), Errno::ENOENT);
    assert_eq!(terminals.tty(1).unwrap_err(), Errno::EBUSY);
    terminals.tty_returned(1);
    assert_eq!(terminals.tty(-1).unwrap().number, 1);
}

fn pipe() -> (OwnedFd, OwnedFd) {
    nix::unistd::pipe2(nix::fcntl::OFlag::O_CLOEXEC).unwrap()
}

#[test]
fn a_relay_shows_everything_that_was_written_before_the_end() {
    let pty = raw_pty();
    let (stdin, _keys) = pipe();
    let (screen, stdout) = pipe();
    let (ended, writer_lives) = pipe();
    let data = pattern(3_000_000);
    let sent = data.clone();
    let mut inside = File::from(pty.pts);
    let writer = std::thread::spawn(move || {
        inside.write_all(&sent).unwrap();
        drop(writer_lives);
        // A background process that keeps the terminal open.
        inside
    });
    let reader = std::thread::spawn(move || {
        let mut got = Vec::new();
        File::from(screen).read_to_end(&mut got).map(|_| got)
    });
    let end = relay(&Relay {
        ptx: pty.ptx.as_fd(),
        stdin: Some(stdin.as_fd()),
        stdout: stdout.as_fd(),
        escape: Some(1),
        ended: Some(ended.as_fd()),
        resized: None,
    });
    assert_eq!(end.unwrap(), End::Ended);
    drop(stdout);
    assert!(reader.join().unwrap().unwrap() == data, "output was lost");
    writer.join().unwrap();
}

#[test]
fn a_relay_restores_the_users_terminal_and_brings_its_size() {
    let user = Pty::from_host().unwrap();
    let pty = raw_pty();
    let size = WindowSize {
        rows: 11,
        columns: 22,
    };
    set_window_size(user.ptx.as_fd(), size).unwrap();
    let before = tcgetattr(&user.pts).unwrap();
    assert!(before.output_flags.contains(OutputFlags::OPOST));
    let mut keys = File::from(user.ptx.try_clone().unwrap());
    let inside = pty.pts.try_clone().unwrap();
    let typist = std::thread::spawn(move || {
        while window_size(inside.as_fd()) != Ok(size) {
            std::thread::sleep(Duration::from_millis(1));
        }
        keys.write_all(b"x\x01q").unwrap();
    });
    let end = relay(&Relay {
        ptx: pty.ptx.as_fd(),
        stdin: Some(user.pts.as_fd()),
        stdout: user.pts.as_fd(),
        escape: Some(1),
        ended: None,
        resized: None,
    });
    assert_eq!(end.unwrap(), End::Escaped);
    typist.join().unwrap();
    assert_eq!(tcgetattr(&user.pts).unwrap(), before);
    let mut got = [0; 1];
    File::from(pty.pts).read_exact(&mut got).unwrap();
    assert_eq!(&got, b"x");
}

#[test]
fn the_end_of_the_input_is_typed_into_a_terminal_that_reads_lines() {
    let pty = Pty::from_host().unwrap();
    let (stdin, keys) = pipe();
    let (_screen, stdout) = pipe();
    let (ended, lives) = pipe();
    File::from(keys).write_all(b"one\ntwo").unwrap();
    let mut inside = File::from(pty.pts);
    let reader = std::thread::spawn(move || {
        let mut text = String::new();
        let got = inside.read_to_string(&mut text).map(|_| text);
        drop(lives);
        got
    });
    let end = relay(&Relay {
        ptx: pty.ptx.as_fd(),
        stdin: Some(stdin.as_fd()),
        stdout: stdout.as_fd(),
        escape: None,
        ended: Some(ended.as_fd()),
        resized: None,
    });
    assert_eq!(end.unwrap(), End::Ended);
    assert_eq!(reader.join().unwrap().unwrap(), "one\ntwo");
}
