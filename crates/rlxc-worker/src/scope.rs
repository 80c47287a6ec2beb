//! Asking the user's systemd for a scope of a container's own, with `Delegate=yes`.
//!
//! `scope start BUS NAME PID` moves process PID into a new scope `lxc-NAME-N.scope` and prints the
//! scope's name; `scope attach BUS UNIT PID` moves it into the leaf `init` of a scope that is there.
//! It stands in this program, since neither the monitor of each container nor the library that other
//! programs load should carry a D-Bus client and its threads.

use std::process::ExitCode;
use std::sync::mpsc;
use std::time::Duration;

use zbus::blocking::connection::Builder;
use zbus::blocking::{Connection, Proxy};
use zbus::zvariant::{OwnedObjectPath, Value};

/// How long systemd may take altogether.
const PATIENCE: Duration = Duration::from_secs(15);
/// Names that are tried, as by LXC: `lxc-NAME-0.scope` to `lxc-NAME-98.scope`.
const TRIES: u32 = 99;
const MANAGER: &str = "org.freedesktop.systemd1.Manager";
const UNIT_EXISTS: &str = "org.freedesktop.systemd1.UnitExists";

/// What [`serve`] was asked.
enum Question {
    Start { name: String, pid: u32 },
    Attach { unit: String, pid: u32 },
}

/// Answers on standard output, or says on standard error why not.
pub(crate) fn serve(args: &[String]) -> ExitCode {
    let [verb, bus, what, pid] = args else {
        eprintln!("rlxc-worker is started by rlxc and liblxc, not by hand");
        return ExitCode::from(2);
    };
    let (bus, what) = (bus.clone(), what.clone());
    let question = match (verb.as_str(), pid.parse()) {
        ("start", Ok(pid)) => Question::Start { name: what, pid },
        ("attach", Ok(pid)) => Question::Attach { unit: what, pid },
        _ => return ExitCode::from(2),
    };
    // In a thread of its own: a bus that accepts and then says nothing must not hold a start up.
    let (sender, answer) = mpsc::channel();
    std::thread::spawn(move || sender.send(ask(&bus, &question)));
    match answer.recv_timeout(PATIENCE) {
        Ok(Ok(unit)) => {
            println!("{unit}");
            ExitCode::SUCCESS
        }
        Ok(Err(error)) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
        Err(_) => {
            eprintln!("no answer within {} s", PATIENCE.as_secs());
            ExitCode::FAILURE
        }
    }
}

fn ask(bus: &str, question: &Question) -> Result<String, String> {
    let said = |error: zbus::Error| error.to_string();
    let connection = Builder::address(bus)
        .and_then(Builder::build)
        .map_err(said)?;
    let manager = manager(&connection).map_err(said)?;
    match question {
        Question::Attach { unit, pid } => {
            let arguments = (unit.as_str(), "/init", vec![*pid]);
            manager
                .call::<_, _, ()>("AttachProcessesToUnit", &arguments)
                .map_err(said)?;
            Ok(unit.clone())
        }
        Question::Start { name, pid } => start(&manager, &escaped(name), *pid),
    }
}

fn manager(connection: &Connection) -> zbus::Result<Proxy<'static>> {
    let (service, path) = ("org.freedesktop.systemd1", "/org/freedesktop/systemd1");
    Proxy::new_owned(connection.clone(), service, path, MANAGER)
}

fn start(manager: &Proxy<'_>, name: &str, pid: u32) -> Result<String, String> {
    let said = |error: zbus::Error| error.to_string();
    // Listened for before anything is asked, so that the end of the job cannot be missed.
    let mut removed = manager.receive_signal("JobRemoved").map_err(said)?;
    manager.call::<_, _, ()>("Subscribe", &()).map_err(said)?;
    for number in 0..TRIES {
        let unit = format!("lxc-{name}-{number}.scope");
        let job = match start_unit(manager, &unit, pid) {
            Err(zbus::Error::MethodError(error, ..)) if error.as_str() == UNIT_EXISTS => continue,
            job => job.map_err(said)?,
        };
        for signal in removed.by_ref() {
            let body = signal.body();
            let (_, of, _, result): (u32, OwnedObjectPath, String, String) =
                body.deserialize().map_err(said)?;
            match (of == job, result.as_str()) {
                (false, _) => {}
                (true, "done") => return Ok(unit),
                (true, result) => return Err(format!("{unit}: the job is {result}")),
            }
        }
        return Err("the bus has hung up".to_owned());
    }
    Err(format!(
        "all of lxc-{name}-0.scope to lxc-{name}-{}.scope are taken",
        TRIES - 1
    ))
}

/// `StartTransientUnit(name, mode, properties, auxiliary units)`.
fn start_unit(manager: &Proxy<'_>, unit: &str, pid: u32) -> zbus::Result<OwnedObjectPath> {
    let properties = vec![
        ("PIDs", Value::from(vec![pid])),
        ("Delegate", Value::from(true)),
        ("CollectMode", Value::from("inactive-or-failed")),
    ];
    let none: Vec<(&str, Vec<(&str, Value<'_>)>)> = Vec::new();
    manager.call("StartTransientUnit", &(unit, "fail", properties, none))
}

/// What may not stand in a unit's name becomes `\xHH`, as systemd-escape(1) writes it.
fn escaped(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    for byte in name.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b':' | b'_' | b'.' | b'-' => {
                out.push(char::from(byte));
            }
            other => out.push_str(&format!("\\x{other:02x}")),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_becomes_part_of_a_units_name() {
        assert_eq!(escaped("web-1.a_b:c"), "web-1.a_b:c");
        assert_eq!(escaped("a b@c/\u{e4}"), "a\\x20b\\x40c\\x2f\\xc3\\xa4");
    }
}
