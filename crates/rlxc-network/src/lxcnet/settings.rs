//! /etc/default/lxc-net: the host bridge's settings.

use std::collections::BTreeMap;
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
    /// Reads DIRECTORY/lxc and then DIRECTORY/lxc-net, as LXC's script does (DIRECTORY is
    /// `/etc/default`); a file that is not there gives the defaults.
    ///
    /// # Errors
    /// [`Error::File`], or [`Error::Unsupported`] with file, line and what is wrong.
    pub fn load(directory: &Path) -> Result<Self> {
        let mut reader = Reader::default();
        for (name, strict) in [("lxc", false), ("lxc-net", true)] {
            let path = directory.join(name);
            match std::fs::read_to_string(&path) {
                Ok(text) => reader
                    .read(&text, strict)
                    .map_err(|reason| Error::Unsupported(format!("{}:{reason}", path.display())))?,
                Err(source) if source.kind() == std::io::ErrorKind::NotFound => {}
                Err(source) => {
                    return Err(Error::File {
                        op: "read",
                        path,
                        source,
                    });
                }
            }
        }
        reader.settings().map_err(|reason| {
            Error::Unsupported(format!("{}/lxc-net:{reason}", directory.display()))
        })
    }

    /// Reads shell assignments (`NAME=value`, quotes, `$NAME`, `#` comments); nothing is executed.
    ///
    /// # Errors
    /// `LINE: what is wrong`.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut reader = Reader::default();
        reader.read(text, true)?;
        reader.settings()
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

/// What has been read so far.
#[derive(Debug, Default)]
struct Reader {
    settings: Settings,
    variables: BTreeMap<String, String>,
    ipv6: String,
    ipv6_mask: Option<u8>,
    ipv6_network: String,
    ipv6_nat: bool,
}

impl Reader {
    /// Reads a file; with `strict`, each line must be an assignment.
    fn read(&mut self, text: &str, strict: bool) -> Result<(), String> {
        for (number, line) in text.lines().enumerate() {
            let line = line.trim().trim_start_matches("export ").trim_start();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let name = |key: &&str| key.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
            let assignment = line.split_once('=').filter(|(key, _)| name(key));
            let wrong = |what: String| format!("{}: {what}", number + 1);
            match assignment {
                Some((key, value)) => {
                    let value = self.value(value);
                    self.set(key, &value).map_err(wrong)?;
                    self.variables.insert(key.to_owned(), value);
                }
                None if strict => return Err(wrong(format!("{line:?} is no assignment"))),
                None => {}
            }
        }
        Ok(())
    }

    fn set(&mut self, key: &str, value: &str) -> Result<(), String> {
        match key {
            "LXC_IPV6_ADDR" => self.ipv6 = value.to_owned(),
            "LXC_IPV6_MASK" if value.is_empty() => self.ipv6_mask = None,
            "LXC_IPV6_MASK" => self.ipv6_mask = Some(number_in(value, 128)?),
            "LXC_IPV6_NETWORK" => self.ipv6_network = network(value)?,
            "LXC_IPV6_NAT" => self.ipv6_nat = value == "true",
            key => return self.settings.set(key, value),
        }
        Ok(())
    }

    fn settings(mut self) -> Result<Settings, String> {
        if !self.ipv6.is_empty() {
            let address = self.ipv6.parse();
            let address = address.map_err(|_| format!("0: {:?} is no IPv6 address", self.ipv6))?;
            self.settings.ipv6 = Some((address, self.ipv6_mask.unwrap_or(64)));
            let nat = self.ipv6_nat && !self.ipv6_network.is_empty();
            self.settings.ipv6_nat = nat.then_some(self.ipv6_network);
        }
        Ok(self.settings)
    }

    /// The value of an assignment: quotes removed, variables of earlier lines put in, a comment
    /// behind a blank cut.
    fn value(&self, text: &str) -> String {
        let (mut value, mut quote) = (String::new(), None);
        let mut rest = text.chars();
        while let Some(c) = rest.next() {
            match (quote, c) {
                (None, '"' | '\'') => quote = Some(c),
                (Some(q), c) if q == c => quote = None,
                (None, c) if c.is_whitespace() || c == ';' => break,
                (None | Some('"'), '$') => {
                    let (name, after) = variable(rest.as_str());
                    match self.variables.get(name) {
                        Some(known) => value.push_str(known),
                        None if name.is_empty() => value.push('$'),
                        None => {}
                    }
                    rest = after.chars();
                }
                (_, c) => value.push(c),
            }
        }
        value
    }
}

/// The name at the start of what follows a `$` (`NAME` or `{NAME}`), and what comes behind it.
fn variable(text: &str) -> (&str, &str) {
    if let Some((name, after)) = text.strip_prefix('{').and_then(|t| t.split_once('}')) {
        return (name, after);
    }
    let end = text
        .find(|c: char| !c.is_ascii_alphanumeric() && c != '_')
        .unwrap_or(text.len());
    text.split_at(end)
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
    fn variables_and_the_general_file_are_read_first() {
        let dir = std::env::temp_dir().join(format!("rlxc-net-defaults-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        let general = "USE_LXC_BRIDGE=\"false\"  # overridden\nLXC_DOMAIN=general\n\
                       [ ! -f /etc/default/lxc-net ] || . /etc/default/lxc-net\n";
        std::fs::write(dir.join("lxc"), general).unwrap();
        assert!(!Settings::load(&dir).unwrap().enabled);
        let own = "NET=10.7.1\nUSE_LXC_BRIDGE=true\nLXC_ADDR=$NET.1\n\
                   LXC_DHCP_RANGE=\"${NET}.2,${NET}.9\"\nLXC_DHCP_CONFILE='$NET'\n";
        std::fs::write(dir.join("lxc-net"), own).unwrap();
        let settings = Settings::load(&dir).unwrap();
        assert!(settings.enabled);
        assert_eq!(settings.address, Ipv4Addr::new(10, 7, 1, 1));
        assert_eq!(settings.dhcp_range, "10.7.1.2,10.7.1.9");
        assert_eq!(settings.dhcp_confile, "$NET");
        assert_eq!(settings.domain, "general");
        std::fs::write(dir.join("lxc-net"), "\nif true\n").unwrap();
        let error = Settings::load(&dir).unwrap_err().to_string();
        assert!(error.contains("lxc-net:2: "), "{error}");
        std::fs::remove_dir_all(&dir).unwrap();
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
