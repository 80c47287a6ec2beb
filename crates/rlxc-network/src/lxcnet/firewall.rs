//! NAT and accept rules of the bridge: a table of its own with nft, single rules with iptables.

use std::io::Write;
use std::process::{Command, Stdio};

use super::Settings;
use crate::error::{Error, Result};
use crate::ovs::run;

/// What carries the rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Firewall {
    /// nftables
    Nft,
    /// iptables and ip6tables
    Iptables,
    /// Whatever LXC's own script has made: its tables and its rules
    Lxc,
}

impl Firewall {
    /// Its name in the state file.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Nft => "nft",
            Self::Iptables => "iptables",
            Self::Lxc => "lxc",
        }
    }

    /// By its name in the state file.
    pub(super) fn from_word(word: &str) -> Self {
        match word {
            "nft" => Self::Nft,
            "lxc" => Self::Lxc,
            _ => Self::Iptables,
        }
    }
}

/// The tables of LXC's script.
const LXC_TABLES: [(&str, &str); 3] = [("inet", "lxc"), ("ip", "lxc"), ("ip6", "lxc")];

/// The bridge's nft table: of its own, so that removing it removes exactly what was added.
pub(super) fn table(bridge: &str) -> String {
    let letters = bridge
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c } else { '_' });
    format!("rlxc_{}", letters.collect::<String>())
}

fn ruleset(settings: &Settings) -> String {
    let (table, bridge) = (table(&settings.bridge), &settings.bridge);
    let mut nat = String::new();
    if !settings.network.is_empty() {
        let n = &settings.network;
        nat += &format!("    ip saddr {n} ip daddr != {n} counter masquerade\n");
    }
    if let Some(n) = &settings.ipv6_nat {
        nat += &format!("    ip6 saddr {n} ip6 daddr != {n} counter masquerade\n");
    }
    // Declared and deleted first: loading it twice leaves one, all in one transaction.
    format!(
        "table inet {table}\ndelete table inet {table}\ntable inet {table} {{\n  \
         chain input {{\n    type filter hook input priority filter; policy accept;\n    \
         iifname \"{bridge}\" udp dport {{ 53, 67, 547 }} accept\n    \
         iifname \"{bridge}\" tcp dport {{ 53, 67 }} accept\n  }}\n  \
         chain forward {{\n    type filter hook forward priority filter; policy accept;\n    \
         iifname \"{bridge}\" accept\n    oifname \"{bridge}\" accept\n  }}\n  \
         chain postrouting {{\n    type nat hook postrouting priority srcnat; policy accept;\n\
         {nat}  }}\n}}\n"
    )
}

fn nft(script: &str) -> Result<()> {
    let spawn = |source| Error::Spawn {
        program: "nft".into(),
        source,
    };
    let mut child = Command::new("nft")
        .args(["-f", "-"])
        .env_clear()
        .env("PATH", "/usr/local/sbin:/usr/sbin:/sbin:/usr/bin:/bin")
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(spawn)?;
    if let Some(mut stdin) = child.stdin.take() {
        stdin.write_all(script.as_bytes()).map_err(spawn)?;
    }
    let output = child.wait_with_output().map_err(spawn)?;
    if output.status.success() {
        return Ok(());
    }
    let text = String::from_utf8_lossy(&output.stderr)
        .trim()
        .chars()
        .take(500)
        .collect();
    Err(Error::Program {
        program: "nft".into(),
        status: output.status.to_string(),
        output: text,
    })
}

/// The iptables rules as (program, table, chain, rule).
fn rules(settings: &Settings) -> Vec<(&'static str, &'static str, &'static str, Vec<String>)> {
    let words = |text: String| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
    let b = &settings.bridge;
    let mut all = Vec::new();
    let mut programs = vec![(
        "iptables",
        Some(&settings.network).filter(|n| !n.is_empty()),
    )];
    if settings.ipv6.is_some() {
        programs.push(("ip6tables", settings.ipv6_nat.as_ref()));
    }
    for (program, network) in programs {
        for (protocol, port) in [("udp", 67), ("tcp", 67), ("udp", 53), ("tcp", 53)] {
            let rule = format!("-i {b} -p {protocol} --dport {port} -j ACCEPT");
            all.push((program, "filter", "INPUT", words(rule)));
        }
        all.push((
            program,
            "filter",
            "FORWARD",
            words(format!("-i {b} -j ACCEPT")),
        ));
        all.push((
            program,
            "filter",
            "FORWARD",
            words(format!("-o {b} -j ACCEPT")),
        ));
        if let Some(n) = network {
            let rule = words(format!("-s {n} ! -d {n} -j MASQUERADE"));
            all.push((program, "nat", "POSTROUTING", rule));
        }
    }
    // Clients that read raw packets drop those without a checksum; not every kernel has it.
    let rule = format!("-o {b} -p udp -m udp --dport 68 -j CHECKSUM --checksum-fill");
    all.push(("iptables", "mangle", "POSTROUTING", words(rule)));
    all
}

/// The table whose rule is only a help.
const OPTIONAL: &str = "mangle";

fn iptables(program: &str, table: &str, op: &str, chain: &str, rule: &[String]) -> Result<()> {
    let mut arguments = vec!["-w", "-t", table, op, chain];
    arguments.extend(rule.iter().map(String::as_str));
    run(program, &arguments).map(drop)
}

/// Adds the rules, once, whatever was there before. nft first, unless it is turned off or fails.
pub(super) fn up(settings: &Settings) -> Result<Firewall> {
    let mut failed = None;
    if settings.use_nft {
        match nft(&ruleset(settings)) {
            Ok(()) => return Ok(Firewall::Nft),
            Err(error) => failed = Some(error),
        }
    }
    for (program, table, chain, rule) in rules(settings) {
        if iptables(program, table, "-C", chain, &rule).is_err()
            && let Err(error) = iptables(program, table, "-I", chain, &rule)
            && table != OPTIONAL
        {
            // With neither, nft's own complaint is the more useful one.
            return Err(match error {
                Error::Spawn { .. } => failed.unwrap_or(error),
                other => other,
            });
        }
    }
    Ok(Firewall::Iptables)
}

/// Removes the rules; what is not there is fine.
pub(super) fn down(settings: &Settings, firewall: Firewall) -> Result<()> {
    match firewall {
        Firewall::Nft => {
            let table = table(&settings.bridge);
            nft(&format!("table inet {table}\ndelete table inet {table}\n"))
        }
        Firewall::Iptables => remove_rules(settings),
        Firewall::Lxc => {
            for (family, name) in LXC_TABLES {
                if run("nft", &["list", "table", family, name]).is_ok() {
                    nft(&format!("delete table {family} {name}\n"))?;
                }
            }
            remove_rules(settings)
        }
    }
}

fn remove_rules(settings: &Settings) -> Result<()> {
    for (program, table, chain, rule) in rules(settings) {
        if iptables(program, table, "-C", chain, &rule).is_ok() {
            iptables(program, table, "-D", chain, &rule)?;
        }
    }
    Ok(())
}

/// Whether the rules are there.
pub(super) fn is_up(settings: &Settings, firewall: Firewall) -> bool {
    match firewall {
        Firewall::Nft => run("nft", &["list", "table", "inet", &table(&settings.bridge)]).is_ok(),
        Firewall::Iptables => rules(settings)
            .iter()
            .filter(|(_, table, ..)| *table != OPTIONAL)
            .all(|(program, table, chain, rule)| {
                iptables(program, table, "-C", chain, rule).is_ok()
            }),
        Firewall::Lxc => run("nft", &["list", "table", "inet", "lxc"])
            .is_ok_and(|text| text.contains(&format!("\"{}\"", settings.bridge))),
    }
}

/// A sentence for the administrator when another firewall drops what we accept: an accept in one
/// table does not overrule a drop in another.
pub(super) fn conflict(settings: &Settings) -> Option<String> {
    let text = run("nft", &["list", "table", "ip", "filter"]).ok()?;
    let (_, forward) = text.split_once("chain FORWARD {")?;
    let forward = forward.split_once('}').map_or(forward, |(chain, _)| chain);
    if !forward.contains("policy drop") || text.contains(&format!("\"{}\"", settings.bridge)) {
        return None;
    }
    let b = &settings.bridge;
    let place = match text.contains("chain DOCKER-USER") {
        true => "DOCKER-USER",
        false => "FORWARD",
    };
    Some(format!(
        "the FORWARD chain drops by default (another firewall, Docker perhaps): containers will \
         not reach other networks; run: iptables -I {place} -i {b} -j ACCEPT; iptables -I {place} \
         -o {b} -j ACCEPT"
    ))
}
