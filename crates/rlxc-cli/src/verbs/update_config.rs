use std::path::PathBuf;

use clap::Args;
use rlxc::config::legacy_replacement;

use super::Run;
use crate::context::{Context, Failure, Outcome};

/// Options of `update-config`.
#[derive(Debug, Args)]
pub(crate) struct UpdateConfig {
    /// The configuration file to rewrite; a copy is left as FILE.backup
    #[arg(short = 'c', long, value_name = "FILE")]
    config: Option<PathBuf>,
}

impl Run for UpdateConfig {
    fn run(self, context: &Context) -> Outcome {
        let Some(file) = self.config else {
            context.say(&format!("Usage: {} -c FILE", context.tool));
            return Ok(0);
        };
        let failed = |what: &str, error: std::io::Error| {
            Failure::new(format!("cannot {what} {}: {error}", file.display()))
        };
        let text = std::fs::read(&file).map_err(|e| failed("read", e))?;
        let mut backup = file.clone().into_os_string();
        backup.push(".backup");
        std::fs::copy(&file, &backup).map_err(|e| failed("copy", e))?;
        let new = update(&String::from_utf8_lossy(&text));
        std::fs::write(&file, new).map_err(|e| failed("write", e))?;
        Ok(0)
    }
}

/// Renames legacy keys line by line; each `lxc.network.type` begins a new network.
fn update(text: &str) -> String {
    let mut number = None;
    let mut out = String::with_capacity(text.len());
    for line in text.split_inclusive('\n') {
        let trimmed = line.trim_start();
        let key: String =
            trimmed.chars().take_while(|c| !c.is_whitespace() && *c != '=').collect();
        let indent = &line[..line.len() - trimmed.len()];
        let rest = &trimmed[key.len()..];
        let numbered = key
            .strip_prefix("lxc.network.")
            .filter(|sub| !sub.starts_with(|c: char| c.is_ascii_digit()));
        let new = match numbered {
            Some(sub) => {
                if sub == "type" {
                    number = Some(number.map_or(0, |n: u32| n + 1));
                }
                Some(format!("lxc.net.{}.{}", number.unwrap_or(0), network_key(sub)))
            }
            None => match key.strip_prefix("lxc.network.") {
                Some(sub) => Some(format!("lxc.net.{}", network_key(sub))),
                None => legacy_replacement(&key).map(|new| new.to_string()),
            },
        };
        out.push_str(indent);
        out.push_str(new.as_deref().unwrap_or(&key));
        out.push_str(rest);
    }
    out
}

fn network_key(sub: &str) -> String {
    let (number, name) = match sub.split_once('.') {
        Some((n, name)) if n.bytes().all(|b| b.is_ascii_digit()) => (format!("{n}."), name),
        _ => (String::new(), sub),
    };
    let name = match name {
        "ipv4" => "ipv4.address",
        "ipv6" => "ipv6.address",
        other => other,
    };
    format!("{number}{name}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn legacy_keys_are_renamed_and_networks_numbered() {
        let old = "# c\nlxc.utsname = a\nlxc.network.type = veth\nlxc.network.ipv4 = 10.0.0.1\nlxc.network.type=empty\nlxc.start.auto = 1\n";
        let new = "# c\nlxc.uts.name = a\nlxc.net.0.type = veth\nlxc.net.0.ipv4.address = 10.0.0.1\nlxc.net.1.type=empty\nlxc.start.auto = 1\n";
        assert_eq!(update(old), new);
    }
}
