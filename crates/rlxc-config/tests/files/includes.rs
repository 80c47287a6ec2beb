//! Includes: bounded, of regular files only, errors with the line that asked for them.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use rlxc_config::{LoadError, check};

use super::{Dir, chain, load};

#[test]
fn includes_are_bounded_and_their_errors_located() {
    let dir = Dir::new("includes");
    let own = dir.0.join("loop");
    dir.file("loop", format!("\nlxc.include = {}\n", own.display()));
    let text = chain(&load(&own).unwrap_err());
    assert!(
        text.contains("loop:2:15") && text.contains("includes itself"),
        "{text}"
    );

    for n in 0..10_000 {
        dir.file(
            &format!("n{n}"),
            format!("lxc.include = {}/n{}\n", dir.0.display(), n + 1),
        );
    }
    let text = chain(&load(&dir.0.join("n0")).unwrap_err());
    assert!(text.contains("more than 64 nested includes"), "{text}");
    assert!(
        check(&dir.0.join("n0"))
            .iter()
            .any(|d| d.message.contains("more than 64"))
    );

    dir.file("bad", "# fine\nlxc.tty.max = x\n");
    let outer = dir.file("outer", format!("lxc.include = {}/bad\n", dir.0.display()));
    let text = chain(&load(&outer).unwrap_err());
    assert!(
        text.contains("outer:1:15") && text.contains("bad:2:15"),
        "{text}"
    );
    let found = check(&outer);
    assert_eq!(
        (found.len(), found[0].line, found[0].file.ends_with("bad")),
        (1, 2, true)
    );
}

#[test]
fn what_is_no_regular_file_is_refused_without_waiting() {
    let dir = Dir::new("special");
    let fifo = dir.0.join("fifo");
    let made = std::process::Command::new("mkfifo").arg(&fifo).status();
    assert!(made.unwrap().success());
    assert!(matches!(load(&fifo), Err(LoadError::NotRegular { .. })));
    let outer = dir.file("outer", format!("lxc.include = {}\n", fifo.display()));
    assert!(chain(&load(&outer).unwrap_err()).contains("no regular file"));
    assert!(matches!(
        load(Path::new("/dev/zero")),
        Err(LoadError::NotRegular { .. })
    ));
    assert!(load(&dir.0).is_err() && load(&dir.0.join("missing")).is_err());
    assert_eq!(load(Path::new("/dev/null")).unwrap().text(), "");

    let large = std::fs::File::create(dir.0.join("large")).unwrap();
    large.set_len(1 << 30).unwrap();
    assert!(matches!(
        load(&dir.0.join("large")),
        Err(LoadError::TooLarge { .. })
    ));
}

#[test]
fn includes_of_special_files_are_refused_at_their_line() {
    let dir = Dir::new("special-includes");
    let fifo = dir.0.join("fifo");
    nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let socket = dir.0.join("socket");
    let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    let members = dir.0.join("members");
    std::fs::create_dir_all(members.join("inner.conf")).unwrap();
    for (included, why) in [
        (fifo.as_path(), "no regular file"),
        (socket.as_path(), "no regular file"),
        (Path::new("/dev/zero"), "no regular file"),
        (Path::new("/dev/tty"), "/dev/tty"),
        // LXC reads no directory inside an included one either.
        (members.as_path(), "Is a directory"),
    ] {
        let text = format!(
            "# first\nlxc.include = {}\nlxc.tty.max = 4\n",
            included.display()
        );
        let outer = dir.file("outer", &text);
        let told = chain(&load(&outer).unwrap_err());
        assert!(told.contains("outer:2:15") && told.contains(why), "{told}");
        // The check goes on behind it.
        let found = check(&outer);
        assert_eq!(
            (found.len(), found[0].line, found[0].code),
            (1, 2, "bad-include")
        );
        assert!(found[0].message.contains(why), "{found:?}");
    }
}

#[test]
fn a_directory_without_permission_is_named_with_the_line() {
    let dir = Dir::new("forbidden");
    std::fs::set_permissions(&dir.0, PermissionsExt::from_mode(0o755)).unwrap();
    let closed = dir.0.join("closed");
    std::fs::create_dir(&closed).unwrap();
    std::fs::write(closed.join("a.conf"), "lxc.tty.max = 1\n").unwrap();
    std::fs::set_permissions(&closed, PermissionsExt::from_mode(0o0)).unwrap();
    let as_directory = dir.file("slash", format!("\nlxc.include = {}/\n", closed.display()));
    let as_path = dir.file("plain", format!("\nlxc.include = {}\n", closed.display()));
    let inside = dir.file(
        "inside",
        format!("\nlxc.include = {}/a.conf\n", closed.display()),
    );
    // The file-system ids are the thread's own: root loses its privilege over files in it alone.
    let user = std::thread::spawn(move || {
        if nix::unistd::geteuid().is_root() {
            nix::unistd::setfsgid(nix::unistd::Gid::from_raw(65_534));
            nix::unistd::setfsuid(nix::unistd::Uid::from_raw(65_534));
        }
        for file in [as_directory, as_path, inside] {
            let told = chain(&load(&file).unwrap_err());
            let name = file.file_name().unwrap().to_string_lossy().into_owned();
            assert!(told.contains(&format!("{name}:2:15")), "{told}");
            assert!(
                told.contains("closed") && told.contains("Permission denied"),
                "{told}"
            );
            let found = check(&file);
            assert_eq!((found.len(), found[0].line), (1, 2), "{found:?}");
            assert!(found[0].message.contains("Permission denied"), "{found:?}");
        }
    });
    user.join().unwrap();
}
