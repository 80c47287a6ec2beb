//! The host bridge (`rlxc net`, and the role of LXC's `lxc-net` service): bridge, addresses, NAT,
//! DHCP and DNS from /etc/default/lxc-net.

mod dnsmasq;
mod firewall;
mod settings;

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};

pub use firewall::Firewall;
use nix::fcntl::{Flock, FlockArg};
use serde::Serialize;
pub use settings::Settings;

use crate::error::{Error, Result};
use crate::netlink::{Link, LinkKind, Netlink, NewLink, add_address};

/// The host bridge with its files.
#[derive(Debug, Clone)]
pub struct Service {
    /// What the administrator wants
    pub settings: Settings,
    run_dir: PathBuf,
    leases: PathBuf,
}

/// What [`Service::up`] did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// `USE_LXC_BRIDGE` is not `true`
    Disabled,
    /// Everything was there already
    AlreadyUp,
    /// It is up now; with what the administrator should know
    Up(Vec<String>),
}

/// The state of the host bridge.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Status {
    /// `USE_LXC_BRIDGE`
    pub enabled: bool,
    /// The bridge's name
    pub bridge: String,
    /// Whether the bridge exists and is up
    pub bridge_up: bool,
    /// Its addresses with prefix
    pub addresses: Vec<String>,
    /// The links on it
    pub ports: Vec<String>,
    /// `nft` or `iptables`, if the rules are there
    pub nat: Option<&'static str>,
    /// dnsmasq's process
    pub dnsmasq: Option<i32>,
    /// Number of DHCP leases
    pub leases: usize,
    /// What keeps containers from other networks, with the remedy
    pub warning: Option<String>,
}

impl Status {
    /// Whether all parts are there.
    pub fn is_up(&self) -> bool {
        self.bridge_up && self.nat.is_some() && self.dnsmasq.is_some()
    }
}

/// What was there before, kept in `RUNDIR/lxc/network_up` (LXC's own file there is empty).
type State = BTreeMap<String, String>;

const FORWARD4: &str = "/proc/sys/net/ipv4/ip_forward";
const FORWARD6: &str = "/proc/sys/net/ipv6/conf/all/forwarding";

impl Service {
    /// The host's own service: settings of SYSCONFDIR/default/lxc and lxc-net, state in RUNDIR/lxc.
    ///
    /// # Errors
    /// As [`Settings::load`].
    pub fn load() -> Result<Self> {
        let paths = rlxc_config::paths::SYSCONFDIR;
        let settings = Settings::load(&Path::new(paths).join("default"))?;
        let run_dir = Path::new(rlxc_config::paths::RUNDIR).join("lxc");
        let leases = Path::new(rlxc_config::paths::LOCALSTATEDIR)
            .join("lib/misc")
            .join(format!("dnsmasq.{}.leases", settings.bridge));
        Ok(Self {
            settings,
            run_dir,
            leases,
        })
    }

    /// A service with `settings` that keeps its state and leases below `run_dir`.
    pub fn in_directory(settings: Settings, run_dir: impl Into<PathBuf>) -> Self {
        let run_dir = run_dir.into();
        let leases = run_dir.join(format!("dnsmasq.{}.leases", settings.bridge));
        Self {
            settings,
            run_dir,
            leases,
        }
    }

    fn files(&self) -> dnsmasq::Files {
        dnsmasq::Files {
            pid: self.run_dir.join("dnsmasq.pid"),
            leases: self.leases.clone(),
        }
    }

    fn state_file(&self) -> PathBuf {
        self.run_dir.join("network_up")
    }

    fn read_state(&self) -> Option<State> {
        let text = std::fs::read_to_string(self.state_file()).ok()?;
        if text.trim().is_empty() {
            // LXC's own script was here: what it makes, its stop removes.
            let all = [
                ("bridge", self.settings.bridge.as_str()),
                ("made_bridge", "1"),
                ("firewall", Firewall::Lxc.word()),
            ];
            return Some(all.map(|(k, v)| (k.to_owned(), v.to_owned())).into());
        }
        let pairs = text.lines().filter_map(|line| line.split_once('='));
        Some(pairs.map(|(k, v)| (k.to_owned(), v.to_owned())).collect())
    }

    fn write_state(&self, state: &State) -> Result<()> {
        let text: String = state.iter().map(|(k, v)| format!("{k}={v}\n")).collect();
        let path = self.state_file();
        std::fs::create_dir_all(&self.run_dir)
            .and_then(|()| std::fs::write(&path, text))
            .map_err(|source| Error::File {
                op: "write",
                path,
                source,
            })
    }

    /// One at a time: waits for the lock, which is the run directory itself.
    fn lock(&self) -> Result<Flock<File>> {
        let failed = |op, source| Error::File {
            op,
            path: self.run_dir.clone(),
            source,
        };
        std::fs::create_dir_all(&self.run_dir).map_err(|e| failed("make", e))?;
        let directory = File::open(&self.run_dir).map_err(|e| failed("open", e))?;
        Flock::lock(directory, FlockArg::LockExclusive).map_err(|(_, e)| failed("lock", e.into()))
    }

    /// Makes whatever is missing: bridge, addresses, forwarding, NAT, dnsmasq. A second call
    /// changes nothing; a failure takes back what this call made. One that LXC's own script has
    /// brought up is taken as it is.
    ///
    /// # Errors
    /// The part that failed.
    pub fn up(&self) -> Result<Outcome> {
        if !self.settings.enabled {
            return Ok(Outcome::Disabled);
        }
        let _lock = self.lock()?;
        self.up_locked()
    }

    fn up_locked(&self) -> Result<Outcome> {
        let mut netlink = Netlink::open()?;
        let known = self.read_state();
        if known.is_some() && self.status_on(&mut netlink)?.is_up() {
            return Ok(Outcome::AlreadyUp);
        }
        let fresh = known.is_none();
        match self.bring_up(&mut netlink, known.unwrap_or_default()) {
            Ok(()) => Ok(Outcome::Up(
                firewall::conflict(&self.settings).into_iter().collect(),
            )),
            Err(error) => {
                if fresh {
                    for left in self.take_down(&mut netlink, false) {
                        tracing::warn!("undoing the host bridge: {left}");
                    }
                }
                Err(error)
            }
        }
    }

    fn bring_up(&self, netlink: &mut Netlink, mut state: State) -> Result<()> {
        let settings = &self.settings;
        // Written before each step: whatever happens, down() knows.
        state.insert("bridge".into(), settings.bridge.clone());
        let bridge = match netlink.link(&settings.bridge)? {
            Some(link) if link.kind.as_deref() == Some("bridge") => link,
            Some(_) => {
                return Err(Error::Unsupported(format!(
                    "\"{}\" exists and is no bridge: set another LXC_BRIDGE",
                    settings.bridge
                )));
            }
            None => {
                state.insert("made_bridge".into(), "1".into());
                self.write_state(&state)?;
                self.make_bridge(netlink)?
            }
        };
        self.add_addresses(netlink, &bridge)?;
        let mut forwarding = vec![(FORWARD4, "forward4")];
        if settings.ipv6.is_some() {
            forwarding.push((FORWARD6, "forward6"));
        }
        for (path, key) in forwarding {
            let before = read(path)?;
            if before.trim() != "1" {
                state.insert(key.into(), before.trim().to_owned());
                self.write_state(&state)?;
                write(path, "1")?;
            }
        }
        if let Some(before) = state.get("firewall").map(|word| Firewall::from_word(word))
            && before == Firewall::Lxc
        {
            firewall::down(settings, before)?;
        }
        let firewall = firewall::up(settings)?;
        state.insert("firewall".into(), firewall.word().into());
        self.write_state(&state)?;
        let files = self.files();
        if dnsmasq::running(&files).is_none() {
            dnsmasq::start(settings, &files)?;
        }
        Ok(())
    }

    fn make_bridge(&self, netlink: &mut Netlink) -> Result<Link> {
        let name = &self.settings.bridge;
        let new = NewLink {
            name,
            address: Some(self.settings.mac),
            ..NewLink::default()
        };
        debug_assert!(matches!(new.kind, LinkKind::Bridge));
        netlink.request(new.message())?;
        if self.settings.ipv6.is_some() {
            for (setting, value) in [
                ("disable_ipv6", "0"),
                ("accept_dad", "0"),
                ("autoconf", "0"),
            ] {
                let _ = crate::sysctl::set(crate::sysctl::Family::V6, name, setting, value);
            }
        }
        netlink.need_link(name, ": it vanished right after it was made")
    }

    fn add_addresses(&self, netlink: &mut Netlink, bridge: &Link) -> Result<()> {
        let settings = &self.settings;
        let there = netlink.addresses()?;
        let mut wanted: Vec<(std::net::IpAddr, u8)> =
            vec![(settings.address.into(), settings.prefix)];
        wanted.extend(
            settings
                .ipv6
                .map(|(address, prefix)| (address.into(), prefix)),
        );
        for (address, prefix) in wanted {
            if !there
                .iter()
                .any(|a| a.link == bridge.index && a.address == address)
            {
                let mask = u32::MAX.checked_shr(u32::from(prefix)).unwrap_or(0);
                let broadcast = (u32::from(settings.address) | mask).into();
                let broadcast = (address.is_ipv4() && prefix < 31).then_some(broadcast);
                let add = add_address(bridge.index, &bridge.name, address, prefix, broadcast);
                netlink.request(add)?;
            }
        }
        netlink.attach_and_set_up(bridge.index, &bridge.name, None)
    }

    /// Takes everything down that [`Service::up`] made, and puts forwarding back as it was.
    /// Without `force`, a bridge that containers are on is left alone altogether.
    ///
    /// # Errors
    /// [`Error::Unsupported`] naming the links on the bridge; else the first failed step, after
    /// all were tried.
    pub fn down(&self, force: bool) -> Result<()> {
        let _lock = self.lock()?;
        self.down_locked(force)
    }

    fn down_locked(&self, force: bool) -> Result<()> {
        let mut netlink = Netlink::open()?;
        let ports = self.ports(&mut netlink)?;
        if !force && !ports.is_empty() {
            return Err(Error::Unsupported(format!(
                "{} is in use by {}: stop the containers first, or force it",
                self.settings.bridge,
                ports.join(", ")
            )));
        }
        match self.take_down(&mut netlink, false).into_iter().next() {
            Some(error) => Err(error),
            None => Ok(()),
        }
    }

    fn take_down(&self, netlink: &mut Netlink, keep_bridge: bool) -> Vec<Error> {
        let mut state = self.read_state().unwrap_or_default();
        let mut errors = Vec::new();
        errors.extend(dnsmasq::stop(&self.files()).err());
        let firewall = state.get("firewall").map(|word| Firewall::from_word(word));
        if let Some(firewall) = firewall {
            errors.extend(firewall::down(&self.settings, firewall).err());
        }
        for (path, key) in [(FORWARD4, "forward4"), (FORWARD6, "forward6")] {
            if let Some(before) = state.get(key) {
                errors.extend(write(path, before).err());
            }
        }
        if keep_bridge && state.contains_key("made_bridge") {
            state.retain(|key, _| key == "bridge" || key == "made_bridge");
            errors.extend(self.write_state(&state).err());
            return errors;
        }
        if state.contains_key("made_bridge") {
            let name = &self.settings.bridge;
            let gone = match netlink.link(name) {
                Ok(Some(link)) => netlink.delete_link(link.index, name),
                Ok(None) => Ok(()),
                Err(error) => Err(error),
            };
            errors.extend(gone.err());
        }
        if errors.is_empty() {
            let path = self.state_file();
            match std::fs::remove_file(&path) {
                Err(source) if source.kind() != std::io::ErrorKind::NotFound => {
                    errors.push(Error::File {
                        op: "remove",
                        path,
                        source,
                    });
                }
                _ => {}
            }
        }
        errors
    }

    /// Applies changed settings without touching the bridge, so that containers stay connected:
    /// the rules are replaced and dnsmasq is started anew.
    ///
    /// # Errors
    /// As [`Service::up`].
    pub fn reload(&self) -> Result<Outcome> {
        if !self.settings.enabled {
            return Ok(Outcome::Disabled);
        }
        let _lock = self.lock()?;
        self.reload_locked()
    }

    fn reload_locked(&self) -> Result<Outcome> {
        dnsmasq::stop(&self.files())?;
        self.up_locked()
    }

    /// Plays the `lxc-net` service script: `start`, `stop`, `restart`, `reload`, `force-reload`;
    /// returns what the administrator should know. Containers on the bridge keep it: `stop` then
    /// takes everything else down, and `restart` reloads.
    ///
    /// # Errors
    /// As [`Service::up`] and [`Service::down`]; [`Error::Unsupported`] for another action
    /// (`status` is [`Service::status`]).
    pub fn act(&self, action: &str) -> Result<Vec<String>> {
        let outcome = match action {
            "start" => self.up()?,
            "stop" => {
                let _lock = self.lock()?;
                let mut netlink = Netlink::open()?;
                let in_use = !self.ports(&mut netlink)?.is_empty();
                return match self.take_down(&mut netlink, in_use).into_iter().next() {
                    Some(error) => Err(error),
                    None => Ok(Vec::new()),
                };
            }
            "restart" | "force-reload" if self.settings.enabled => {
                let _lock = self.lock()?;
                if self.ports(&mut Netlink::open()?)?.is_empty() {
                    self.down_locked(true)?;
                    self.up_locked()?
                } else {
                    self.reload_locked()?
                }
            }
            "restart" | "force-reload" => Outcome::Disabled,
            "reload" => self.reload()?,
            other => {
                return Err(Error::Unsupported(format!(
                    "{other:?} is none of start, stop, restart, reload, force-reload, status"
                )));
            }
        };
        Ok(match outcome {
            Outcome::Up(notes) => notes,
            Outcome::AlreadyUp => Vec::new(),
            Outcome::Disabled => {
                vec!["USE_LXC_BRIDGE in /etc/default/lxc-net is not \"true\"".to_owned()]
            }
        })
    }

    /// The state of every part.
    ///
    /// # Errors
    /// As [`Netlink::request`].
    pub fn status(&self) -> Result<Status> {
        self.status_on(&mut Netlink::open()?)
    }

    fn status_on(&self, netlink: &mut Netlink) -> Result<Status> {
        let settings = &self.settings;
        let bridge = netlink.link(&settings.bridge)?;
        let addresses = netlink.addresses()?;
        let of_bridge = addresses
            .iter()
            .filter(|a| Some(a.link) == bridge.as_ref().map(|b| b.index));
        let nat = [Firewall::Nft, Firewall::Lxc, Firewall::Iptables]
            .into_iter()
            .find(|firewall| firewall::is_up(settings, *firewall));
        let leases = std::fs::read_to_string(&self.leases).unwrap_or_default();
        Ok(Status {
            enabled: settings.enabled,
            bridge: settings.bridge.clone(),
            bridge_up: bridge.as_ref().is_some_and(Link::is_up),
            addresses: of_bridge
                .map(|a| format!("{}/{}", a.address, a.prefix))
                .collect(),
            ports: self.ports(netlink)?,
            nat: nat.map(|firewall| match firewall {
                Firewall::Iptables => "iptables",
                Firewall::Nft | Firewall::Lxc => "nft",
            }),
            warning: firewall::conflict(settings),
            dnsmasq: dnsmasq::running(&self.files()).map(nix::unistd::Pid::as_raw),
            leases: leases.lines().count(),
        })
    }

    fn ports(&self, netlink: &mut Netlink) -> Result<Vec<String>> {
        let Some(bridge) = netlink.link(&self.settings.bridge)? else {
            return Ok(Vec::new());
        };
        let links = netlink.links()?.into_iter();
        Ok(links
            .filter(|l| l.master == Some(bridge.index))
            .map(|l| l.name)
            .collect())
    }
}

fn read(path: &str) -> Result<String> {
    std::fs::read_to_string(path).map_err(|source| Error::File {
        op: "read",
        path: path.into(),
        source,
    })
}

fn write(path: &str, text: &str) -> Result<()> {
    std::fs::write(path, text).map_err(|source| Error::File {
        op: "write",
        path: path.into(),
        source,
    })
}
