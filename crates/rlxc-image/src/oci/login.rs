//! Where podman, skopeo and docker keep names and passwords: files, and the helpers that they name.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use base64::Engine;
use serde::Deserialize;

use super::auth::{Credentials, TOKEN_USER};
use crate::error::{Error, Result};

/// What is kept for the repository `name` of `host`, if anything is.
///
/// # Errors
/// A file or a helper that cannot be understood.
pub(crate) fn find(host: &str, name: &str) -> Result<Option<Credentials>> {
    for file in files() {
        let text = std::fs::read(&file).map_err(Error::path("read", &file))?;
        let what = file.display().to_string();
        let logins: Logins =
            serde_json::from_slice(&text).map_err(|error| Error::format(&what, error))?;
        if let Some(found) = logins.find(host, name, &what)? {
            return Ok(Some(found));
        }
    }
    Ok(None)
}

/// `REGISTRY_AUTH_FILE` alone if it is set, else all that are there.
fn files() -> Vec<PathBuf> {
    let named = std::env::var_os("REGISTRY_AUTH_FILE").filter(|value| !value.is_empty());
    if let Some(file) = named {
        return vec![file.into()];
    }
    let below = |name: &str, rest: &str| {
        let dir = std::env::var_os(name).filter(|value| !value.is_empty());
        dir.map(|dir| PathBuf::from(dir).join(rest))
    };
    let docker = below("DOCKER_CONFIG", "config.json");
    [
        below("XDG_RUNTIME_DIR", "containers/auth.json"),
        below("HOME", ".config/containers/auth.json"),
        docker.or_else(|| below("HOME", ".docker/config.json")),
    ]
    .into_iter()
    .flatten()
    .filter(|file| file.is_file())
    .collect()
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Logins {
    auths: BTreeMap<String, Login>,
    cred_helpers: BTreeMap<String, String>,
    creds_store: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Login {
    auth: String,
    identitytoken: String,
}

/// What a helper answers.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Answer {
    username: String,
    secret: String,
}

impl Logins {
    /// The closest entry: the repository, what lies above it, the host; a helper of the host's own
    /// comes before an entry, the helper for everything after.
    fn find(&self, host: &str, name: &str, what: &str) -> Result<Option<Credentials>> {
        let hosts: &[&str] = match host {
            "docker.io" => &["docker.io", "index.docker.io", "registry-1.docker.io"],
            _ => &[host],
        };
        for host in hosts {
            if let Some(helper) = self.cred_helpers.get(*host) {
                return ask(helper, host);
            }
        }
        let mut scopes = Vec::new();
        for host in hosts {
            let mut scope = Some(format!("{host}/{name}"));
            while let Some(text) = scope {
                scope = text.rsplit_once('/').map(|(above, _)| above.to_owned());
                scopes.push(text);
            }
        }
        for scope in &scopes {
            let mut fitting = self.auths.iter().filter(|(key, _)| bare(key) == scope);
            if let Some((_, login)) = fitting.find(|(_, login)| !login.is_empty()) {
                return login.credentials(host, what).map(Some);
            }
        }
        if self.creds_store.is_empty() {
            return Ok(None);
        }
        // Under this name docker keeps its own registry.
        let server = match host {
            "docker.io" => "https://index.docker.io/v1/",
            host => host,
        };
        ask(&self.creds_store, server)
    }
}

/// A key without what older tools put around the host.
fn bare(key: &str) -> &str {
    let key = key.split_once("://").map_or(key, |(_, rest)| rest);
    let key = key.trim_end_matches('/');
    let shorter = key.strip_suffix("/v1").or_else(|| key.strip_suffix("/v2"));
    shorter.unwrap_or(key)
}

impl Login {
    fn is_empty(&self) -> bool {
        self.auth.is_empty() && self.identitytoken.is_empty()
    }

    fn credentials(&self, host: &str, what: &str) -> Result<Credentials> {
        if !self.identitytoken.is_empty() {
            return Ok(Credentials {
                user: TOKEN_USER.to_owned(),
                password: self.identitytoken.clone(),
            });
        }
        let bad = || {
            Error::format(
                what,
                format!("the entry of {host} is no base64 of user:password"),
            )
        };
        let text = base64::engine::general_purpose::STANDARD.decode(&self.auth);
        let text = String::from_utf8(text.map_err(|_| bad())?).map_err(|_| bad())?;
        let (user, password) = text.split_once(':').ok_or_else(bad)?;
        Ok(Credentials {
            user: user.to_owned(),
            // Some tools end it with zeros.
            password: password.trim_end_matches('\0').to_owned(),
        })
    }
}

/// Asks `docker-credential-HELPER` for what it keeps of `server`.
fn ask(helper: &str, server: &str) -> Result<Option<Credentials>> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    if helper.is_empty() || !helper.chars().all(plain) {
        return Err(Error::format(
            format!("credential helper {helper:?}"),
            "is no name of a program docker-credential-NAME",
        ));
    }
    let program = format!("docker-credential-{helper}");
    let failed = |reason: String| Error::format(format!("{program} get"), reason);
    let spawned = Command::new(&program)
        .arg("get")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn();
    let mut child = spawned.map_err(|error| {
        failed(format!(
            "{error}; --username and --password do without a helper"
        ))
    })?;
    if let Some(mut input) = child.stdin.take() {
        // One that has ended already says why by its status.
        let _ = input.write_all(server.as_bytes());
    }
    let output = child
        .wait_with_output()
        .map_err(|error| failed(error.to_string()))?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    if !output.status.success() {
        return match said.contains("credentials not found") {
            true => Ok(None),
            false => Err(failed(format!("{}: {}", output.status, said.trim()))),
        };
    }
    let answer: Answer =
        serde_json::from_slice(&output.stdout).map_err(|error| failed(error.to_string()))?;
    let empty = answer.username.is_empty() && answer.secret.is_empty();
    Ok((!empty).then_some(Credentials {
        user: answer.username,
        password: answer.secret,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn logins(text: &str) -> Logins {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn the_closest_entry_is_taken() {
        // a:1, b:2, c:3
        let logins = logins(
            r#"{"auths":{"r.example":{"auth":"YTox"},"r.example/team":{"auth":"Yjoy"},
                "https://other.example/v2/":{"auth":"YzozAA=="},"empty.example":{}}}"#,
        );
        let user = |host, name| {
            let found = logins.find(host, name, "file").unwrap();
            found.map(|found| format!("{}{}", found.user, found.password))
        };
        assert_eq!(user("r.example", "team/web").as_deref(), Some("b2"));
        assert_eq!(user("r.example", "teams/web").as_deref(), Some("a1"));
        assert_eq!(user("other.example", "x").as_deref(), Some("c3"));
        assert_eq!(user("empty.example", "x"), None);
        assert_eq!(user("example", "x"), None);
    }

    #[test]
    fn docker_s_own_registry_has_an_old_name() {
        let logins = logins(r#"{"auths":{"https://index.docker.io/v1/":{"identitytoken":"t"}}}"#);
        let found = logins
            .find("docker.io", "library/x", "file")
            .unwrap()
            .unwrap();
        assert_eq!(
            (found.user.as_str(), found.password.as_str()),
            (TOKEN_USER, "t")
        );
    }

    #[test]
    fn a_helper_is_no_path() {
        let logins = logins(r#"{"credHelpers":{"r.example":"../../bin/sh"}}"#);
        assert!(logins.find("r.example", "x", "file").is_err());
    }
}
