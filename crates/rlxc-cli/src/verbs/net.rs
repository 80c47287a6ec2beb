use std::io::Write;

use clap::Args;
use rlxc_network::lxcnet::{Service, Status};

use super::Run;
use crate::context::{Context, Failure, Outcome};
use crate::output::{Format, print_value};

/// Options of `net`.
#[derive(Debug, Args)]
pub(crate) struct Net {
    /// Take the bridge down although containers are on it
    #[arg(short, long)]
    force: bool,
    /// up, down, restart, reload, force-reload or status
    #[arg(value_name = "ACTION", hide = true)]
    words: Vec<String>,
}

/// `start` and `stop` are the words of LXC's service script; its `stop` leaves a bridge that is in
/// use, `down` refuses.
const ACTIONS: [&str; 8] = [
    "up",
    "down",
    "start",
    "stop",
    "restart",
    "reload",
    "force-reload",
    "status",
];

impl Run for Net {
    fn run(self, context: &Context) -> Outcome {
        let action = match self.words.as_slice() {
            [] => "status",
            [action] if ACTIONS.contains(&action.as_str()) => action,
            [action] => {
                return Err(Failure::new(format!(
                    "'{action}' is none of up, down, restart, reload, force-reload and status"
                )));
            }
            more => {
                return Err(Failure::new(format!(
                    "one action at a time, not {}",
                    more.join(" ")
                )));
            }
        };
        let service = Service::load().map_err(rlxc::Error::from)?;
        if action == "status" {
            let status = service.status().map_err(rlxc::Error::from)?;
            show(&status, context.common.format)?;
            return Ok(if status.is_up() { 0 } else { 3 });
        }
        if !nix::unistd::geteuid().is_root() {
            return Err(Failure::new(format!(
                "net {action} must be run as root: it makes a bridge and firewall rules"
            )));
        }
        let lines = match action {
            "up" => service.act("start").map_err(rlxc::Error::from)?,
            "down" => {
                service.down(self.force).map_err(rlxc::Error::from)?;
                Vec::new()
            }
            other => service.act(other).map_err(rlxc::Error::from)?,
        };
        let mut out = std::io::stdout().lock();
        for line in lines {
            writeln!(out, "{line}")?;
        }
        Ok(0)
    }
}

fn show(status: &Status, format: Format) -> std::io::Result<()> {
    let word = match status.is_up() {
        true => "up",
        false => "down",
    };
    if format != Format::Table {
        let mut value = serde_json::to_value(status)?;
        if let Some(map) = value.as_object_mut() {
            map.insert("state".into(), word.into());
        }
        return print_value(format, &value);
    }
    let list = |items: &[String]| match items {
        [] => "-".to_owned(),
        items => items.join(", "),
    };
    let bridge = match (status.bridge_up, status.enabled) {
        (true, _) => status.bridge.clone(),
        (false, true) => format!("{} is not there", status.bridge),
        (false, false) => format!("{} (USE_LXC_BRIDGE is not \"true\")", status.bridge),
    };
    let dnsmasq = status.dnsmasq.map(|pid| format!("dnsmasq, process {pid}"));
    let mut out = std::io::stdout().lock();
    for (label, value) in [
        ("State:", word.to_owned()),
        ("Bridge:", bridge),
        ("Addresses:", list(&status.addresses)),
        ("NAT:", status.nat.unwrap_or("-").to_owned()),
        ("DHCP, DNS:", dnsmasq.unwrap_or_else(|| "-".to_owned())),
        ("Leases:", status.leases.to_string()),
        ("Ports:", list(&status.ports)),
    ] {
        writeln!(out, "{label:<15} {value}")?;
    }
    if let Some(warning) = &status.warning {
        writeln!(out, "{:<15} {warning}", "Warning:")?;
    }
    Ok(())
}
