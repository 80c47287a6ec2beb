//! A monitor that answers nonsense: the client says so and neither panics, hangs nor allocates.
#![allow(clippy::unwrap_used)]

use std::io::{Read, Write};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use proptest::prelude::*;
use rlxc_monitor::protocol::{ConsoleLogRequest, StateWish};
use rlxc_monitor::{Client, Error, State, socket_name};

/// Answers every connection with the bytes of the moment.
fn liar(test: &str) -> (Client, Arc<Mutex<Vec<u8>>>) {
    let lxcpath = Path::new("/rlxc-monitor-test");
    let name = format!("{test}-{}", std::process::id());
    let address = SocketAddr::from_abstract_name(socket_name(lxcpath, &name)).unwrap();
    let listener = UnixListener::bind_addr(&address).unwrap();
    let answer = Arc::new(Mutex::new(Vec::new()));
    let bytes = Arc::clone(&answer);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let _ = stream.read(&mut [0; 16]);
            let _ = stream.write_all(&bytes.lock().unwrap());
        }
    });
    let client = Client::new(lxcpath, name).with_deadline(Duration::from_millis(500));
    (client, answer)
}

fn ask_everything(client: &Client) {
    let _ = client.state();
    let _ = client.init_pid();
    let _ = client.config_item("lxc.arch");
    let _ = client.cgroup(None);
    let _ = client.cgroups();
    let _ = client.cgroup_fd("freezer", true);
    let _ = client.init_pidfd();
    let _ = client.tty(-1);
    let _ = client.console_log(&ConsoleLogRequest::default());
    let wish = StateWish {
        states: State::Stopped.into(),
        over_reboot: false,
    };
    if let Ok(Err(watch)) = client.watch(wish) {
        let _ = watch.wait(Some(Instant::now() + Duration::from_millis(500)));
    }
}

#[test]
fn any_answer_is_survived() {
    let (client, answer) = liar("any");
    let mut runner = proptest::test_runner::TestRunner::default();
    let frames = (
        prop_oneof![Just(0i32), -40i32..40, any::<i32>()],
        prop_oneof![Just(0i32), 0i32..300, any::<i32>()],
        prop_oneof![0u64..10, any::<u64>()],
        prop::collection::vec(any::<u8>(), 0..300),
    );
    runner
        .run(&frames, |(ret, datalen, data, payload)| {
            let mut frame = [ret.to_ne_bytes(), datalen.to_ne_bytes()].concat();
            frame.extend(data.to_ne_bytes());
            frame.extend(payload);
            *answer.lock().unwrap() = frame;
            ask_everything(&client);
            Ok(())
        })
        .unwrap();
}

#[test]
fn a_promise_of_gigabytes_costs_nothing() {
    let (client, answer) = liar("huge");
    let mut frame = [0i32.to_ne_bytes(), i32::MAX.to_ne_bytes()].concat();
    frame.extend([0; 100]);
    *answer.lock().unwrap() = frame;
    let error = client.console_log(&ConsoleLogRequest::default());
    assert!(matches!(error, Err(Error::NotRunning { .. })), "{error:?}");
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let peak = status
        .lines()
        .find_map(|l| l.strip_prefix("VmHWM:"))
        .unwrap();
    let peak: u64 = peak.split_whitespace().next().unwrap().parse().unwrap();
    assert!(peak < 200_000, "{peak} KiB");
}

#[test]
fn an_answer_that_never_ends_is_cut_at_the_deadline() {
    let lxcpath = Path::new("/rlxc-monitor-test");
    let name = format!("drip-{}", std::process::id());
    let address = SocketAddr::from_abstract_name(socket_name(lxcpath, &name)).unwrap();
    let listener = UnixListener::bind_addr(&address).unwrap();
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        while stream.write_all(&[0]).is_ok() {
            std::thread::sleep(Duration::from_millis(30));
        }
    });
    let begun = Instant::now();
    let client = Client::new(lxcpath, name).with_deadline(Duration::from_millis(200));
    let error = client.state();
    assert!(
        matches!(error, Err(Error::Unresponsive { .. })),
        "{error:?}"
    );
    assert!(begun.elapsed() < Duration::from_millis(600));
}
