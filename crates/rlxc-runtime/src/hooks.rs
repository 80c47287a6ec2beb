//! `lxc.hook.*` programs: command line, environment, output, status.
//!
//! # References
//! lxc.container.conf(5), CONTAINER HOOKS.

use std::collections::BTreeMap;
use std::io::Read;
use std::process::{Command, Stdio};

use rlxc_config::HookKind;

use crate::error::{Context, StartError};
use crate::plan::Plan;

/// What all hooks of a container share.
#[derive(Debug, Clone, Default)]
pub(crate) struct HookContext {
    name: String,
    version: u8,
    by_kind: BTreeMap<HookKind, Vec<String>>,
    /// Whether `lxc.net.N.script.down` is set for a nic.
    down_scripts: bool,
    environment: Vec<(String, String)>,
}

impl HookContext {
    pub(crate) fn new(plan: &Plan) -> Self {
        let config = &plan.config;
        let mut context = Self {
            name: plan.name.clone(),
            version: config.hooks.version,
            by_kind: config.hooks.by_kind.clone(),
            down_scripts: config.net.values().any(|nic| nic.script_down.is_some()),
            environment: Vec::new(),
        };
        let path = |path: &std::path::Path| path.to_string_lossy().into_owned();
        context.set("LXC_NAME", &plan.name);
        context.set_some("LXC_CONFIG_FILE", config.rcfile.as_deref().map(path));
        if let Some(rootfs) = &plan.rootfs {
            context.set("LXC_ROOTFS_MOUNT", &path(&rootfs.mount));
            // As LXC gives it: without the backend.
            context.set("LXC_ROOTFS_PATH", &rootfs.source);
        }
        context.set_some("LXC_CONSOLE", config.console.path.clone());
        context.set_some("LXC_CONSOLE_LOGPATH", config.console.logfile.clone());
        context.set("LXC_CGNS_AWARE", "1");
        let level = plan.log_level.and_then(rlxc_log::Level::from_number);
        context.set(
            "LXC_LOG_LEVEL",
            level.map_or("ERROR", rlxc_log::Level::name),
        );
        context.set("LXC_HOOK_VERSION", &config.hooks.version.to_string());
        context
    }

    /// Sets a variable for all hooks from now on.
    pub(crate) fn set(&mut self, name: &str, value: &str) {
        self.environment.retain(|(known, _)| known != name);
        self.environment.push((name.to_owned(), value.to_owned()));
    }

    /// The variables that all hooks get.
    pub(crate) fn environment(&self) -> &[(String, String)] {
        &self.environment
    }

    fn set_some(&mut self, name: &str, value: Option<String>) {
        if let Some(value) = value {
            self.set(name, &value);
        }
    }

    /// Whether there is a hook of that kind.
    pub(crate) fn has(&self, kind: HookKind) -> bool {
        self.by_kind.get(&kind).is_some_and(|list| !list.is_empty())
    }

    /// Whether the container's first process has to wait for the monitor before it executes init:
    /// for hooks on the host, and for the namespaces that are told to what runs at the end.
    pub(crate) fn wait_before_init(&self) -> bool {
        self.has(HookKind::StartHost) || self.wants_namespaces()
    }

    /// Whether stop hooks or network scripts get the container's namespaces.
    pub(crate) fn wants_namespaces(&self) -> bool {
        self.has(HookKind::Stop) || self.down_scripts
    }

    /// Tells all hooks from now on where the container's namespaces are.
    pub(crate) fn set_namespaces(&mut self, paths: &[(String, String)]) {
        for (name, path) in paths {
            self.set(&format!("LXC_{}_NS", name.to_uppercase()), path);
        }
    }

    /// Runs all hooks of a kind in order; the first failure ends it. `extra` are more arguments
    /// for version 0.
    pub(crate) fn run(&self, kind: HookKind, extra: &[(String, String)]) -> Result<(), StartError> {
        for script in self.by_kind.get(&kind).into_iter().flatten() {
            self.run_one(kind.name(), script, extra)?;
        }
        Ok(())
    }

    fn run_one(
        &self,
        kind: &str,
        script: &str,
        extra: &[(String, String)],
    ) -> Result<(), StartError> {
        let step = format!("{kind} hook");
        let mut command = Command::new("/bin/sh");
        let mut line = format!("exec {script}");
        if self.version == 0 {
            for word in [self.name.as_str(), "lxc", kind] {
                line.push_str(&format!(" '{word}'"));
            }
            for (name, value) in extra {
                line.push_str(&format!(" {name}:{value}"));
            }
        } else {
            command
                .env("LXC_HOOK_TYPE", kind)
                .env("LXC_HOOK_SECTION", "lxc");
        }
        command.arg("-c").arg(&line);
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command.stdin(Stdio::null());
        run_logged(command, &step, script)
    }
}

/// Runs a program, logs what it prints, fails on a bad status.
fn run_logged(mut command: Command, step: &str, script: &str) -> Result<(), StartError> {
    let (mut reader, writer) = std::io::pipe().at(step, script)?;
    let errors = writer.try_clone().at(step, script)?;
    command.stdout(writer).stderr(errors);
    let mut child = command.spawn().at(step, script)?;
    // The write ends must be closed here, so that the end of the output is seen.
    drop(command);
    let mut output = Vec::new();
    let _ = reader.read_to_end(&mut output);
    let status = child.wait().at(step, script)?;
    let output = String::from_utf8_lossy(&output);
    for line in output.lines() {
        tracing::debug!("Script exec {script} produced output: {line}");
    }
    if status.success() {
        return Ok(());
    }
    let last = output.lines().last().unwrap_or_default();
    let said = if last.is_empty() {
        String::new()
    } else {
        format!("; it said: {last}")
    };
    Err(StartError::new(
        step,
        script,
        format!("ended with {status}{said}"),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn context(version: u8, script: &str) -> HookContext {
        HookContext {
            name: "c1".into(),
            version,
            by_kind: BTreeMap::from([(HookKind::Stop, vec![script.to_owned()])]),
            down_scripts: false,
            environment: vec![("LXC_NAME".into(), "c1".into())],
        }
    }

    #[test]
    fn version_0_gets_arguments() {
        let hook = context(0, "sh -c '[ \"$*\" = \"a c1 lxc stop mnt:/x\" ]' - a");
        let extra = [("mnt".to_owned(), "/x".to_owned())];
        assert_eq!(hook.run(HookKind::Stop, &extra), Ok(()));
    }

    #[test]
    fn version_1_gets_variables() {
        let hook = context(
            1,
            "sh -c '[ \"$#$LXC_HOOK_TYPE$LXC_HOOK_SECTION$LXC_MNT_NS$LXC_NAME\" = 0stoplxc/xc1 ]'",
        );
        let mut hook = hook;
        hook.set_namespaces(&[("mnt".to_owned(), "/x".to_owned())]);
        assert_eq!(hook.run(HookKind::Stop, &[]), Ok(()));
    }

    #[test]
    fn a_failing_hook_is_named_with_its_output() {
        let error = context(0, "sh -c 'echo no luck; exit 3'")
            .run(HookKind::Stop, &[])
            .err();
        let text = error.map(|e| e.to_string()).unwrap_or_default();
        assert!(
            text.contains("stop hook") && text.contains("no luck"),
            "{text}"
        );
    }

    #[test]
    fn a_hook_that_backgrounds_a_program_does_not_hang_without_its_output() {
        let hook = context(0, "sh -c 'sleep 5 >/dev/null 2>&1 &'");
        let before = std::time::Instant::now();
        assert_eq!(hook.run(HookKind::Stop, &[]), Ok(()));
        assert!(before.elapsed().as_secs() < 4);
    }
}
