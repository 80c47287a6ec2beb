use rlxc_network::live::{self, Family, Interface};

use crate::container::Container;
use crate::error::Result;

impl Container {
    /// Names of its interfaces, sorted.
    ///
    /// # Errors
    /// [`crate::Error::NotRunning`], [`crate::Error::Network`].
    pub fn interfaces(&self) -> Result<Vec<String>> {
        Ok(live::interface_names(self.need_init_pid()?)?)
    }

    /// Its interfaces with addresses and counters.
    ///
    /// # Errors
    /// As [`Container::interfaces`].
    pub fn interface_details(&self) -> Result<Vec<Interface>> {
        Ok(live::interfaces(self.need_init_pid()?)?)
    }

    /// Its addresses, sorted: of one interface or of all but `lo`, of one family or both, IPv6 ones
    /// only with this scope id.
    ///
    /// # Errors
    /// As [`Container::interfaces`].
    pub fn ips(
        &self,
        interface: Option<&str>,
        family: Option<Family>,
        scope: u32,
    ) -> Result<Vec<String>> {
        Ok(live::ips(self.need_init_pid()?, interface, family, scope)?)
    }

    /// Moves a host interface into it.
    ///
    /// # Errors
    /// As [`Container::interfaces`].
    pub fn attach_interface(&self, name: &str, inside: Option<&str>) -> Result<()> {
        Ok(live::attach_interface(self.need_init_pid()?, name, inside)?)
    }

    /// Moves one of its interfaces to the host.
    ///
    /// # Errors
    /// As [`Container::interfaces`].
    pub fn detach_interface(&self, name: &str, outside: Option<&str>) -> Result<()> {
        Ok(live::detach_interface(
            self.need_init_pid()?,
            name,
            outside,
        )?)
    }
}
