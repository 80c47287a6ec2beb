//! What users and scripts do to a program: closed pipes, Ctrl-C, odd names, odd words.

mod common;

use std::ffi::OsString;
use std::io::{self, Read};
use std::os::unix::ffi::OsStringExt;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Stdio};

use common::{Place, RLXC, Said, eventually, missing};

#[test]
fn a_closed_pipe_ends_the_program_without_a_word() -> io::Result<()> {
    let place = Place::new("pipe")?;
    for number in 0..1100 {
        // More than a pipe holds.
        place.define(&format!("{:a>70}-{number:04}", "name"), "")?;
    }
    for words in [
        &["ls", "-1"][..],
        &["ls", "-f"],
        &["ls", "--format", "json"],
    ] {
        let mut child = Command::new(RLXC)
            .args(words)
            .arg("-P")
            .arg(place.lxcpath())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        // One byte is read, then the reader goes away, as head does.
        let mut out = child.stdout.take();
        if let Some(out) = &mut out {
            out.read_exact(&mut [0])?;
        }
        drop(out);
        let end = child.wait_with_output()?;
        let said = String::from_utf8_lossy(&end.stderr).into_owned();
        assert_eq!(said, "", "{words:?}");
        assert_eq!(end.status.signal(), Some(13), "{words:?}: {:?}", end.status);
    }
    Ok(())
}

/// An option that would have no effect is refused instead.
#[test]
fn options_that_mean_nothing_together_are_refused() -> io::Result<()> {
    let place = Place::new("together")?;
    place.define("one", "lxc.uts.name = x\n")?;
    for line in [
        "autostart --within 3",
        "attach one --pty=raw --no-pty -- true",
        "share one --remove /data --as 1000",
    ] {
        let said = place.rlxc(line)?;
        assert_ne!(said.status, Some(0), "{line}: {said:?}");
        assert!(
            said.err.contains("cannot be used with") || said.err.contains("--shutdown"),
            "{line}: {said:?}"
        );
    }
    Ok(())
}

#[test]
fn ctrl_c_ends_what_waits() -> io::Result<()> {
    if let Some(what) = missing() {
        println!("skipped: {what}");
        return Ok(());
    }
    let place = Place::new("ctrl-c")?;
    place.busybox("one")?;
    place.must("start one")?;
    for line in ["wait one -s STOPPED", "monitor", "stop one --nokill -t 50"] {
        // Whoever runs the tests may ignore SIGINT, and what it runs does so too then.
        let mut child = Command::new("env")
            .args(["--default-signal", RLXC])
            .args(line.split(' '))
            .arg("-P")
            .arg(place.lxcpath())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        std::thread::sleep(std::time::Duration::from_millis(200));
        let pid = nix::unistd::Pid::from_raw(child.id() as i32);
        // The stop may be done already.
        let _ = nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGINT);
        assert!(
            eventually(|| matches!(child.try_wait(), Ok(Some(_)))),
            "{line}"
        );
    }
    let _ = place.run(place.ours("lxc-monitor"), &["-Q"]);
    Ok(())
}

#[test]
fn names_and_words_that_are_no_text_are_shown_safely() -> io::Result<()> {
    let place = Place::new("odd")?;
    place.define("esc\u{1b}[31mred", "lxc.uts.name = x\n")?;
    let raw = place
        .lxcpath()
        .join(OsString::from_vec(b"raw\xff\xfe".to_vec()));
    std::fs::create_dir(&raw)?;
    std::fs::write(raw.join("config"), "")?;
    for line in [
        "ls",
        "ls -1",
        "ls -f",
        "info esc\u{1b}[31mred",
        "start no\u{1b}[31mbody",
        "help \u{1b}[31m",
    ] {
        let said = place.rlxc(line)?;
        let shown = format!("{}{}", said.out, said.err);
        assert!(!shown.contains('\u{1b}'), "{line}: {said:?}");
    }
    let call = |program: &std::path::Path, words: &[&[u8]]| -> io::Result<Said> {
        let words = words.iter().map(|word| OsString::from_vec(word.to_vec()));
        let output = Command::new(program)
            .args(words)
            .stdin(Stdio::null())
            .output()?;
        Ok(output.into())
    };
    let said = call(RLXC.as_ref(), &[b"start", b"caf\xe9"])?;
    assert_eq!(said.status, Some(1));
    assert!(said.err.contains("caf\\xe9"), "{said:?}");
    let said = call(&place.ours("lxc-start"), &[b"-n", b"caf\xe9"])?;
    assert_eq!(said.status, Some(1));
    assert!(said.err.starts_with("lxc-start: 'caf\\xe9'"), "{said:?}");
    let said = call(RLXC.as_ref(), &[b"caf\xe9"])?;
    assert_eq!(said.status, Some(1), "{said:?}");
    for name in ["..", "a/b", "", "x\ny"] {
        let said = place.run(RLXC, &["start", "-n", name])?;
        assert_eq!(said.status, Some(1), "{name:?}: {said:?}");
        assert!(
            said.err.contains("cannot be a container's name"),
            "{name:?}: {said:?}"
        );
    }
    Ok(())
}

#[test]
fn logs_have_lxcs_form_and_the_filters_choose() -> io::Result<()> {
    let place = Place::new("logs")?;
    place.define("one", "lxc.uts.name = one\n")?;
    let file = place.dir.join("log");
    let shown = file.display().to_string();
    place.run(
        place.ours("lxc-stop"),
        &["one", "-o", &shown, "-l", "TRACE"],
    )?;
    let text = std::fs::read_to_string(&file)?;
    let line = text.lines().last().unwrap_or_default().to_owned();
    assert!(line.starts_with("lxc-stop one 20"), "{text}");
    assert!(line.contains(" ERROR    main - stop.rs:"), "{text}");
    assert!(line.ends_with(" - one is not running"), "{text}");
    // Without -o the default file, whose name is the container's, also as a plain word.
    place.rlxc("stop one --log-priority DEBUG")?;
    assert!(place.lxcpath().join("one/one.log").is_file());
    let with = |filter: &str| -> io::Result<String> {
        let output = Command::new(RLXC)
            .args(["stop", "one", "-P"])
            .arg(place.lxcpath())
            .env("RLXC_LOG", filter)
            .output()?;
        Ok(String::from_utf8_lossy(&output.stderr).into_owned())
    };
    assert!(
        with("error")?.contains("rlxc stop one 20"),
        "{}",
        with("error")?
    );
    assert!(!with("off")?.contains("rlxc stop one 20"));
    assert!(
        with("rlxc=loud")?.contains("no log filter"),
        "{}",
        with("rlxc=loud")?
    );
    let said = place.rlxc("stop one -v")?;
    assert!(said.err.contains(" ERROR    main - "), "{said:?}");
    let said = place.rlxc("stop one -q")?;
    assert_eq!((said.err.as_str(), said.status), ("", Some(2)));
    Ok(())
}

#[test]
fn monitor_tells_of_several_paths_by_a_regex_as_lines_and_as_json() -> io::Result<()> {
    let monitord = std::path::Path::new(RLXC).with_file_name("lxc-monitord");
    if let Some(what) =
        missing().or((!monitord.is_file()).then_some("lxc-monitord (cargo build -p lxc-monitord)"))
    {
        println!("skipped: {what}");
        return Ok(());
    }
    let (first, second) = (Place::new("mon-a")?, Place::new("mon-b")?);
    for place in [&first, &second] {
        place.busybox("web1")?;
        place.busybox("db")?;
    }
    let watch = |program: &std::path::Path, words: &[&str]| {
        Command::new(program)
            .args(words)
            .args(["-n", "web[0-9]", "-P"])
            .arg(first.lxcpath())
            .arg("-P")
            .arg(second.lxcpath())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
    };
    let mut lines = watch(&first.ours("lxc-monitor"), &[])?;
    let mut json = watch(RLXC.as_ref(), &["monitor", "--format", "json"])?;
    let mut theirs = watch("/usr/bin/lxc-monitor".as_ref(), &[])?;
    std::thread::sleep(std::time::Duration::from_millis(700));
    for place in [&first, &second] {
        for name in ["db", "web1"] {
            place.must(&format!("start {name}"))?;
            place.must(&format!("stop -k {name}"))?;
        }
    }
    std::thread::sleep(std::time::Duration::from_millis(300));
    let end = |child: &mut std::process::Child| -> io::Result<String> {
        child.kill()?;
        let mut text = String::new();
        if let Some(mut out) = child.stdout.take() {
            out.read_to_string(&mut text)?;
        }
        child.wait()?;
        Ok(text)
    };
    let (lines, json, theirs) = (end(&mut lines)?, end(&mut json)?, end(&mut theirs)?);
    for place in [&first, &second] {
        let _ = place.run(place.ours("lxc-monitor"), &["-Q"]);
    }
    assert_eq!(lines, theirs);
    assert_eq!(
        lines.matches("'web1' changed state to [RUNNING]").count(),
        2,
        "{lines}"
    );
    assert!(!lines.contains("'db'"), "{lines}");
    for line in json.lines() {
        let event: serde_json::Value = serde_json::from_str(line).map_err(io::Error::other)?;
        assert_eq!(event["name"], "web1");
    }
    assert!(
        json.contains(&first.lxcpath().display().to_string()),
        "{json}"
    );
    assert!(json.contains("\"state\":\"STOPPED\""), "{json}");
    Ok(())
}

#[test]
fn checkconfig_says_what_is_missing_and_how_to_get_it() -> io::Result<()> {
    let place = Place::new("kernel")?;
    let config = place.dir.join("config");
    std::fs::write(
        &config,
        "CONFIG_NAMESPACES=y\nCONFIG_VETH=m\n# CONFIG_USER_NS is not set\n",
    )?;
    let said = |program: &std::path::Path, words: &[&str]| -> io::Result<Said> {
        let output = Command::new(program)
            .args(words)
            .env("CONFIG", &config)
            .output()?;
        Ok(output.into())
    };
    let ours = said(RLXC.as_ref(), &["checkconfig"])?;
    assert!(ours.out.contains("User namespace: missing"), "{ours:?}");
    assert!(
        ours.out
            .contains("User namespace: build the kernel with CONFIG_USER_NS=y"),
        "{ours:?}"
    );
    assert!(
        ours.out
            .contains("without it: containers of ordinary users"),
        "{ours:?}"
    );
    let tool = said(&place.ours("lxc-checkconfig"), &[])?;
    assert!(!tool.out.contains("build the kernel"), "{tool:?}");
    assert_eq!(
        said(&place.ours("lxc-checkconfig"), &["--help"])?.status,
        Some(0)
    );
    Ok(())
}

#[test]
fn arguments_of_attached_programs_are_bytes() -> io::Result<()> {
    if let Some(what) = missing() {
        println!("skipped: {what}");
        return Ok(());
    }
    let place = Place::new("bytes")?;
    place.busybox("one")?;
    place.must("start one")?;
    let output = Command::new(place.ours("lxc-attach"))
        .arg("-P")
        .arg(place.lxcpath())
        .args(["one", "--", "echo", "-n"])
        .arg(OsString::from_vec(b"caf\xe9".to_vec()))
        .stdin(Stdio::null())
        .output()?;
    assert_eq!(output.stdout, b"caf\xe9");
    Ok(())
}
