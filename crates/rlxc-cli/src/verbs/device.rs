use std::path::Path;

use clap::Args;

use super::Run;
use crate::context::{Context, Failure, Outcome};

/// Options of `device`.
#[derive(Debug, Args)]
pub(crate) struct Device {
    /// NAME, if not given by -n, then add or del, the device, and its name in the container
    #[arg(value_name = "NAME|ACTION|DEVICE", hide = true)]
    words: Vec<String>,
}

impl Run for Device {
    fn run(mut self, context: &Context) -> Outcome {
        if !nix::unistd::geteuid().is_root() {
            return Err(Failure::new("lxc-device must be run as root"));
        }
        let container = context.bare(&mut self.words)?;
        if !container.is_running() {
            return Err(Failure::new(format!(
                "Container {} is not running",
                container.name()
            )));
        }
        let (action, device, inside) = match self.words.as_slice() {
            [action, device] => (action, device, None),
            [action, device, inside] => (action, device, Some(inside)),
            _ => {
                return Err(Failure::new(
                    "Error: no command given (Please see --help output)",
                ));
            }
        };
        // By netlink: /sys may be that of another network namespace.
        let is_interface = rlxc_network::live::exists(device).map_err(rlxc::Error::from)?;
        let inside_name = inside.map(String::as_str);
        let path = Path::new(device);
        let done = match action.as_str() {
            "add" if is_interface => container.attach_interface(device, inside_name),
            "add" => container.add_device_node(path, inside.map(Path::new)),
            "del" if path.is_absolute() => {
                container.remove_device_node(path, inside.map(Path::new))
            }
            "del" => container.detach_interface(device, inside_name),
            _ => {
                return Err(Failure::new(
                    "Error: Please use add or del (Please see --help output)",
                ));
            }
        };
        done.map_err(|error| {
            let (did, way) = match action.as_str() {
                "add" => ("add", "to"),
                _ => ("del", "from"),
            };
            let name = container.name();
            Failure::from(error).because_of(format!("Failed to {did} {device} {way} {name}"))
        })?;
        Ok(0)
    }
}
