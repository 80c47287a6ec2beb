use std::ffi::{CString, OsString};
use std::os::unix::ffi::OsStringExt;

use rlxc_config::Config;

use super::AttachError;
use super::options::{AttachOptions, EnvPolicy, c_string};

/// PATH of a cleared environment.
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// Where execvp(3) looks without a PATH.
const SEARCH_WITHOUT_PATH: &[u8] = b"/bin:/usr/bin";

/// The attached process's whole environment, `NAME=VALUE`.
pub(super) fn build(config: &Config, options: &AttachOptions) -> Result<Vec<CString>, AttachError> {
    merge(std::env::vars_os(), config, options)
}

fn merge(
    own: impl Iterator<Item = (OsString, OsString)>,
    config: &Config,
    options: &AttachOptions,
) -> Result<Vec<CString>, AttachError> {
    let keep = |name: &OsString| match options.env_policy {
        EnvPolicy::Keep => true,
        EnvPolicy::Clear => options.extra_keep.iter().any(|kept| name == kept.as_str()),
    };
    // In the order in which they are set: what a program lists begins as LXC's does.
    let mut variables: Vec<(OsString, OsString)> = own.filter(|(name, _)| keep(name)).collect();
    if options.env_policy == EnvPolicy::Clear && variables.iter().all(|(name, _)| name != "PATH") {
        variables.push(("PATH".into(), DEFAULT_PATH.into()));
    }
    set(&mut variables, "container", "lxc");
    for (name, value) in config.environment.iter().chain(&config.environment_runtime) {
        set(&mut variables, name, value);
    }
    for extra in &options.extra_env {
        match extra.split_once('=') {
            Some((name, value)) => set(&mut variables, name, value),
            // As putenv(3) does.
            None => variables.retain(|(name, _)| name != extra.as_str()),
        }
    }
    variables
        .into_iter()
        .map(|(mut name, value)| {
            name.push("=");
            name.push(value);
            c_string(&name.into_vec())
        })
        .collect()
}

/// As setenv(3): one that is there keeps its place.
fn set(variables: &mut Vec<(OsString, OsString)>, name: &str, value: &str) {
    match variables.iter_mut().find(|(own, _)| own == name) {
        Some((_, old)) => *old = value.into(),
        None => variables.push((name.into(), value.into())),
    }
}

/// Where programs are searched for under `environment`.
pub(super) fn path_of(environment: &[CString]) -> &[u8] {
    environment
        .iter()
        .find_map(|variable| variable.as_bytes().strip_prefix(b"PATH="))
        .unwrap_or(SEARCH_WITHOUT_PATH)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn merged(options: &AttachOptions) -> Vec<String> {
        let own = [("PATH", "/mine"), ("TERM", "dumb"), ("A", "1")]
            .map(|(name, value)| (name.into(), value.into()));
        let config = Config {
            environment: vec![("A".into(), "2".into()), ("B".into(), "x=y".into())].into(),
            environment_runtime: vec![("C".into(), "3".into())].into(),
            ..Config::default()
        };
        let list = merge(own.into_iter(), &config, options).unwrap();
        list.into_iter().map(|v| v.into_string().unwrap()).collect()
    }

    #[test]
    fn a_kept_environment_is_overridden_by_the_configuration_and_the_options() {
        let options = AttachOptions {
            extra_env: vec!["C=4".into(), "D=".into(), "TERM".into()],
            ..AttachOptions::default()
        };
        assert_eq!(
            merged(&options),
            ["PATH=/mine", "A=2", "container=lxc", "B=x=y", "C=4", "D="]
        );
    }

    #[test]
    fn a_cleared_environment_has_only_what_is_kept_and_a_path() {
        let options = AttachOptions {
            env_policy: EnvPolicy::Clear,
            extra_keep: vec!["TERM".into()],
            ..AttachOptions::default()
        };
        let path = format!("PATH={DEFAULT_PATH}");
        assert_eq!(
            merged(&options),
            ["TERM=dumb", &path, "container=lxc", "A=2", "B=x=y", "C=3"]
        );
        let kept = AttachOptions {
            extra_keep: vec!["PATH".into()],
            ..options
        };
        assert!(merged(&kept).contains(&"PATH=/mine".to_owned()));
    }
}
