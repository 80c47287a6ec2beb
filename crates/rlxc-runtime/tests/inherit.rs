//! Descriptors that the caller leaves open. Alone in its program: they are seen by every start.
#![allow(clippy::expect_used, clippy::unwrap_used, missing_docs)]

mod common;

use std::os::fd::AsRawFd;

use common::Container;
use nix::fcntl::{FcntlArg, FdFlag, fcntl};

#[test]
fn files_are_passed_on_and_directories_never() {
    need_root!();
    let file = std::fs::File::open("/etc/hostname").expect("a file");
    let dir = std::fs::File::open("/").expect("a directory");
    for fd in [&file, &dir] {
        fcntl(fd, FcntlArg::F_SETFD(FdFlag::empty())).expect("fcntl");
    }
    let mut container = Container::new("inherit");
    container.close_all_fds = false;
    let script = format!(
        "cat <&{} && echo; ls / <&{}",
        file.as_raw_fd(),
        dir.as_raw_fd()
    );
    let text = container.output(&script);
    let host = std::fs::read_to_string("/etc/hostname").expect("a file");
    assert!(text.starts_with(&host), "{text}");
    assert!(
        text.contains("Bad file descriptor") || text.contains("bad file"),
        "{text}"
    );
    container.assert_clean();
}
