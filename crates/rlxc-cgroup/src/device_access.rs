//! Which devices the container may use: v1's files, cgroup2's program.

use std::fs::File;
use std::io;

use crate::cgroups::Cgroups;
use crate::devices::{Kind, Rule};
use crate::error::{Error, Result};
use crate::file;
use crate::layout::{Mode, Version};

impl Cgroups {
    /// Applies the `devices.allow` and `devices.deny` lines of the layout's own version.
    ///
    /// # Errors
    /// [`Error::Rule`], [`Error::Controller`], [`Error::Write`], [`Error::Devices`].
    pub fn attach_devices(
        &mut self,
        v1: &[(String, String)],
        v2: &[(String, String)],
    ) -> Result<()> {
        let lines = if self.mode == Mode::Unified { v2 } else { v1 };
        let mut changed = false;
        for (key, value) in lines {
            let allow = match key.as_str() {
                "devices.allow" => true,
                "devices.deny" => false,
                key if key.starts_with("devices.") => return Err(Error::Name(key.into())),
                _ => continue,
            };
            let rule = Rule::parse(allow, value)?;
            self.rules.add(rule);
            changed = true;
            if self.mode != Mode::Unified {
                file::set(
                    self.limit_dir(key, Some(Version::V1))?,
                    key,
                    &v1_line(&rule),
                )?;
            }
        }
        match changed && self.mode == Mode::Unified {
            true => self.load_program(),
            false => Ok(()),
        }
    }

    /// Adds one rule to a running container.
    ///
    /// # Errors
    /// As [`Cgroups::attach_devices`]; the old rules stay in force.
    pub fn add_device(&mut self, allow: bool, rule: &str) -> Result<()> {
        let key = if allow {
            "devices.allow"
        } else {
            "devices.deny"
        };
        let line = [(key.to_owned(), rule.to_owned())];
        let before = self.rules.clone();
        if self.mode == Mode::Unified && self.rules.is_empty() {
            // Nothing is restricted yet: there is nothing to allow, and a denial leaves the rest.
            let parsed = Rule::parse(allow, rule)?;
            if allow {
                return Ok(());
            }
            if !parsed.is_all() {
                self.rules.add(Rule::parse(true, "a")?);
            }
        }
        let done = self.attach_devices(&line, &line);
        if done.is_err() {
            self.rules = before;
        }
        done
    }

    /// The ids of the device programs in force on the container's cgroup2; empty where v1 rules.
    ///
    /// # Errors
    /// [`Error::Devices`].
    pub fn device_programs(&self) -> Result<Vec<u32>> {
        let Ok(path) = self.limit_dir("devices", Some(Version::V2)) else {
            return Ok(Vec::new());
        };
        File::open(path)
            .and_then(rlxc_sys::bpf::query_device_programs)
            .map_err(|source| Error::Devices {
                path: path.into(),
                source,
            })
    }

    fn load_program(&mut self) -> Result<()> {
        let path = self.limit_dir("devices", Some(Version::V2))?.to_path_buf();
        let fail = |source: io::Error| Error::Devices {
            path: path.clone(),
            source,
        };
        let program = rlxc_sys::bpf::load_device_program(&self.rules.program()).map_err(fail)?;
        let dir = File::open(&path).map_err(fail)?;
        rlxc_sys::bpf::attach_device_program(&dir, &program, self.program.as_ref())
            .map_err(fail)?;
        self.program = Some(program);
        Ok(())
    }
}

/// The rule as the v1 files take it.
fn v1_line(rule: &Rule) -> String {
    let Some(kind) = rule.kind else {
        return "a".into();
    };
    let letter = if kind == Kind::Block { 'b' } else { 'c' };
    let number = |n: Option<u32>| n.map_or_else(|| "*".to_owned(), |n| n.to_string());
    let access = ['m', 'r', 'w'].iter().enumerate();
    let access: String = access
        .filter(|(i, _)| rule.access & 1 << i != 0)
        .map(|(_, c)| c)
        .collect();
    format!(
        "{letter} {}:{} {access}",
        number(rule.major),
        number(rule.minor)
    )
}
