use clap::Args;

use super::Run;
use crate::context::{Context, Failure, Outcome};

/// Options of `set`.
#[derive(Debug, Args)]
pub(crate) struct Set {
    /// Change the running container too (cgroup limits)
    #[arg(long)]
    live: bool,
    /// With --live: change the configuration file too
    #[arg(long)]
    persist: bool,
    /// The container, then KEY=VALUE, or memory=2G, cpu=150%, pids=500; an empty value clears a key
    #[arg(value_name = "NAME|KEY=VALUE", hide = true)]
    words: Vec<String>,
}

impl Run for Set {
    fn run(mut self, context: &Context) -> Outcome {
        let mut container = context.container(&mut self.words)?;
        if !container.is_defined() {
            return Err(Failure::new(format!("{} doesn't exist", container.name())));
        }
        if self.words.is_empty() {
            return Err(Failure::new("nothing to set: give KEY=VALUE"));
        }
        let mut changes = Vec::new();
        for word in &self.words {
            let (key, value) = word
                .split_once('=')
                .ok_or_else(|| Failure::new(format!("'{word}' is not of the form KEY=VALUE")))?;
            let (key, value) = (key.trim(), value.trim());
            match super::limit_words::keys(key, value)? {
                Some(pairs) => changes.extend(pairs),
                None => changes.push((key.to_owned(), value.to_owned())),
            }
        }
        for (key, value) in &changes {
            // A limit is replaced, not set a second time.
            if key.starts_with("lxc.cgroup") || value.is_empty() {
                container.clear_item(key)?;
            }
            if !value.is_empty() {
                container.set_item(key, value)?;
            }
        }
        if self.live {
            for (key, value) in &changes {
                let file = key
                    .strip_prefix("lxc.cgroup2.")
                    .or_else(|| key.strip_prefix("lxc.cgroup."));
                let file = file.ok_or_else(|| {
                    Failure::new(format!("{key} cannot change while the container runs"))
                        .remedy("leave --live out and reboot the container")
                })?;
                container.set_cgroup_item(file, value)?;
            }
        }
        if !self.live || self.persist {
            container.save_config(None)?;
        }
        Ok(0)
    }
}
