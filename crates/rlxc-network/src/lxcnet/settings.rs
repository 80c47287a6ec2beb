//! /etc/default/lxc-net: the host bridge's settings.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::path::Path;

use crate::error::{Error, Result};
use crate::names;

/// The settings of the host bridge, with LXC's defaults.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// `USE_LXC_BRIDGE`
    pub enabled: bool,
    /// `LXC_BRIDGE`
    pub bridge: String,
    /// `LXC_BRIDGE_MAC`
    pub mac: [u8; 6],
    /// `LXC_ADDR`
    pub address: Ipv4Addr,
    /// `LXC_NETMASK` as a prefix length
    pub prefix: u8,
    /// `LXC_NETWORK`: what is masqueraded
    pub network: String,
    /// `LXC_DHCP_RANGE`, empty: no DHCP
    pub dhcp_range: String,
    /// `LXC_DHCP_MAX`
    pub dhcp_max: u32,
    /// `LXC_DHCP_CONFILE`, empty: none
    pub dhcp_confile: String,
    /// `LXC_DHCP_PING`
    pub dhcp_ping: bool,
    /// `LXC_DOMAIN`, empty: none
    pub domain: String,
    /// `LXC_IPV6_ADDR` and `LXC_IPV6_MASK`
    pub ipv6: Option<(Ipv6Addr, u8)>,
    /// `LXC_IPV6_NETWORK`: what is masqueraded with `LXC_IPV6_NAT = true`
    pub ipv6_nat: Option<String>,
    /// `LXC_USE_NFT`
    pub use_nft: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            enabled: true,
            bridge: "lxcbr0".into(),
            mac: [0x10, 0x66, 0x6a, 0, 0, 0],
            address: Ipv4Addr::new(10, 0, 3, 1),
            prefix: 24,
            network: "10.0.3.0/24".into(),
            dhcp_range: "10.0.3.2,10.0.3.254".into(),
            dhcp_max: 253,
            dhcp_confile: String::new(),
            dhcp_ping: true,
            domain: String::new(),
            ipv6: None,
            ipv6_nat: None,
            use_nft: true,
        }
    }
}

impl Settings {
    /// Reads `path` (`/etc/default/lxc-net`); a file that is not there gives the defaults.
    ///
    /// # Errors
    /// [`Error::File`], or [`Error::Unsupported`] with file, line and what is wrong.
    pub fn load(path: &Path) -> Result<Self> {
        match std::fs::read_to_string(path) {
            Ok(text) => Self::parse(&text)
                .map_err(|reason| Error::Unsupported(format!("{}:{reason}", path.display()))),
            Err(source) if source.kind() == std::io::ErrorKind::NotFound => Ok(Self::default()),
            Err(source) => Err(Error::File {
                op: "read",
                path: path.to_owned(),
                source,
            }),
        }
    }

    /// Reads shell assignments (`NAME=value`, quotes, `#` comments); nothing is executed.
    ///
    /// # Errors
    /// `LINE: what is wrong`.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut settings = Self::default();
        let (mut v6, mut v6_mask, mut v6_network, mut v6_nat) =
            (String::new(), 64, String::new(), false);
        for (number, line) in text.lines().enumerate() {
            let line = line.trim().trim_start_matches("export ").trim_start();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let wrong = |what: String| format!("{}: {what}", number + 1);
            let (key, value) = line
                .split_once('=')
                .ok_or_else(|| wrong(format!("{line:?} is no assignment")))?;
            let value = unquote(value);
            let value = value.as_str();
            match key.trim() {
                "LXC_IPV6_ADDR" => v6 = value.to_owned(),
                "LXC_IPV6_MASK" if value.is_empty() => {}
                "LXC_IPV6_MASK" => v6_mask = number_in(value, 128).map_err(wrong)?,
                "LXC_IPV6_NETWORK" => v6_network = network(value).map_err(wrong)?,
                "LXC_IPV6_NAT" => v6_nat = value == "true",
                key => settings.set(key, value).map_err(wrong)?,
            }
        }
        if !v6.is_empty() {
            let address = v6
                .parse()
                .map_err(|_| format!("0: {v6:?} is no IPv6 address"))?;
            settings.ipv6 = Some((address, v6_mask));
            settings.ipv6_nat = (v6_nat && !v6_network.is_empty()).then_some(v6_network);
        }
        Ok(settings)
    }

    fn set(&mut self, key: &str, value: &str) -> Result<(), String> {
        match key {
            "USE_LXC_BRIDGE" => self.enabled = value == "true",
            "LXC_BRIDGE" => match names::name_problem(value) {
                Some(problem) => return Err(format!("the bridge's name {value:?} {problem}")),
                None => self.bridge = value.to_owned(),
            },
            "LXC_BRIDGE_MAC" => self.mac = names::parse_mac(value)?,
            "LXC_ADDR" => {
                self.address = value
                    .parse()
                    .map_err(|_| format!("{value:?} is no IPv4 address"))?;
            }
            "LXC_NETMASK" => self.prefix = netmask(value)?,
            "LXC_NETWORK" => self.network = network(value)?,
            "LXC_DHCP_RANGE" => self.dhcp_range = value.to_owned(),
            "LXC_DHCP_MAX" => {
                self.dhcp_max = value
                    .parse()
                    .map_err(|_| format!("{value:?} is no number"))?;
            }
            "LXC_DHCP_CONFILE" => self.dhcp_confile = value.to_owned(),
            "LXC_DHCP_PING" => self.dhcp_ping = value == "true",
            "LXC_DOMAIN" => self.domain = value.to_owned(),
            "LXC_USE_NFT" => self.use_nft = value == "true",
            // Other variables of the administrator's own.
            _ => {}
        }
        Ok(())
    }
}

/// The value of an assignment: quotes removed, a comment behind a blank cut.
fn unquote(text: &str) -> String {
    let (mut value, mut quote) = (String::new(), None);
    for c in text.chars() {
        match (quote, c) {
            (None, '"' | '\'') => quote = Some(c),
            (Some(q), c) if q == c => quote = None,
            (None, c) if c.is_whitespace() || c == ';' => break,
            (_, c) => value.push(c),
        }
    }
    value
}

fn number_in(text: &str, most: u8) -> Result<u8, String> {
    let number = text.parse().ok().filter(|n| *n <= most);
    number.ok_or_else(|| format!("{text:?} is no prefix length (0 to {most})"))
}

/// A prefix length from `255.255.255.0` or `24`.
fn netmask(text: &str) -> Result<u8, String> {
    let Ok(mask) = text.parse::<Ipv4Addr>() else {
        return number_in(text, 32);
    };
    let bits = u32::from(mask);
    if bits.leading_ones() + bits.trailing_zeros() < 32 {
        return Err(format!("{text} is no netmask"));
    }
    Ok(u8::try_from(bits.leading_ones()).unwrap_or(32))
}

/// Checks `ADDRESS/PREFIX`: it goes into firewall rules.
fn network(text: &str) -> Result<String, String> {
    let wrong = || format!("{text:?} is no network (ADDRESS/PREFIX)");
    if text.is_empty() {
        return Ok(String::new());
    }
    let (address, prefix) = text.split_once('/').ok_or_else(wrong)?;
    let address: std::net::IpAddr = address.parse().map_err(|_| wrong())?;
    number_in(prefix, if address.is_ipv4() { 32 } else { 128 }).map_err(|_| wrong())?;
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn assignments_are_read_as_the_shell_would() {
        let text = "# comment\nUSE_LXC_BRIDGE=\"true\"\nexport LXC_BRIDGE='br7' # mine\n\
                    LXC_NETMASK=255.255.0.0\nLXC_DOMAIN=lxc\nMINE=$(rm -rf /)\n\
                    LXC_IPV6_ADDR=fd01::1\nLXC_IPV6_MASK=\"80\"\nLXC_IPV6_NETWORK=fd01::/80\n\
                    LXC_IPV6_NAT=true\n";
        let settings = Settings::parse(text).unwrap();
        assert_eq!((settings.bridge.as_str(), settings.prefix), ("br7", 16));
        assert_eq!(settings.ipv6, Some(("fd01::1".parse().unwrap(), 80)));
        assert_eq!(settings.ipv6_nat.as_deref(), Some("fd01::/80"));
    }

    #[test]
    fn wrong_values_are_named_with_their_line() {
        for bad in [
            "LXC_BRIDGE=a/b",
            "LXC_NETWORK='10.0.3.0/24; drop table'",
            "LXC_NETMASK=255.0.255.0",
            "LXC_ADDR=10.0.3",
            "LXC_BRIDGE_MAC=01:00:00:00:00:00",
            "no assignment",
        ] {
            let error = Settings::parse(&format!("\n{bad}\n")).unwrap_err();
            assert!(error.starts_with("2: "), "{error}");
        }
    }

    proptest::proptest! {
        #[test]
        fn arbitrary_files_never_panic(text: String) {
            let _ = Settings::parse(&text);
        }
    }
}
