//! Who one is to a registry: name and password, and the challenge that asks for them.

use std::path::PathBuf;

use base64::Engine;
use serde::Deserialize;

use crate::error::{Error, Result};

/// A name and a password.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Credentials {
    pub(crate) user: String,
    pub(crate) password: String,
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Credentials")
            .field("user", &self.user)
            .finish_non_exhaustive()
    }
}

impl Credentials {
    /// The value of an Authorization header.
    pub(crate) fn basic(&self) -> String {
        let text = format!("{}:{}", self.user, self.password);
        format!(
            "Basic {}",
            base64::engine::general_purpose::STANDARD.encode(text)
        )
    }

    /// From the files where podman, skopeo and docker keep them.
    ///
    /// # Errors
    /// A named file that cannot be read.
    pub(crate) fn of_host(host: &str) -> Result<Option<Self>> {
        let named = std::env::var_os("REGISTRY_AUTH_FILE").map(PathBuf::from);
        let below = |name: &str, rest: &str| {
            let dir = std::env::var_os(name).filter(|value| !value.is_empty());
            dir.map(|dir| PathBuf::from(dir).join(rest))
        };
        let files = match named {
            Some(file) => vec![file],
            None => [
                below("XDG_RUNTIME_DIR", "containers/auth.json"),
                below("HOME", ".config/containers/auth.json"),
                below("HOME", ".docker/config.json"),
            ]
            .into_iter()
            .flatten()
            .filter(|file| file.is_file())
            .collect(),
        };
        for file in files {
            let text = std::fs::read(&file).map_err(Error::path("read", &file))?;
            let what = file.display().to_string();
            let auths: AuthFile =
                serde_json::from_slice(&text).map_err(|error| Error::format(&what, error))?;
            if let Some(found) = auths.find(host, &what)? {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }
}

#[derive(Debug, Deserialize)]
struct AuthFile {
    #[serde(default)]
    auths: std::collections::BTreeMap<String, Auth>,
}

#[derive(Debug, Deserialize)]
struct Auth {
    #[serde(default)]
    auth: String,
}

impl AuthFile {
    fn find(&self, host: &str, what: &str) -> Result<Option<Credentials>> {
        let names: &[&str] = match host {
            "docker.io" => &[
                "https://index.docker.io/v1/",
                "docker.io",
                "index.docker.io",
            ],
            host => &[host],
        };
        let mut found = names.iter().filter_map(|name| self.auths.get(*name));
        let Some(auth) = found.find(|auth| !auth.auth.is_empty()) else {
            return Ok(None);
        };
        let bad = || {
            Error::format(
                what,
                format!("the entry of {host} is no base64 of user:password"),
            )
        };
        let text = base64::engine::general_purpose::STANDARD.decode(&auth.auth);
        let text = String::from_utf8(text.map_err(|_| bad())?).map_err(|_| bad())?;
        let (user, password) = text.split_once(':').ok_or_else(bad)?;
        Ok(Some(Credentials {
            user: user.to_owned(),
            password: password.to_owned(),
        }))
    }
}

/// What a registry asks for (`WWW-Authenticate`).
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Challenge {
    Basic,
    Bearer {
        realm: String,
        service: Option<String>,
        scope: Option<String>,
    },
}

impl Challenge {
    /// From a header's value.
    pub(crate) fn parse(value: &str) -> Option<Self> {
        let (scheme, rest) = value.trim().split_once(' ').unwrap_or((value.trim(), ""));
        if scheme.eq_ignore_ascii_case("basic") {
            return Some(Self::Basic);
        }
        if !scheme.eq_ignore_ascii_case("bearer") {
            return None;
        }
        let mut words = std::collections::BTreeMap::new();
        let mut rest = rest.trim_start();
        while let Some((key, after)) = rest.split_once('=') {
            let (value, after) = match after.strip_prefix('"') {
                Some(quoted) => quoted.split_once('"')?,
                None => after.split_once(',').unwrap_or((after, "")),
            };
            words.insert(key.trim().to_ascii_lowercase(), value.to_owned());
            rest = after.trim_start_matches([',', ' ']);
        }
        Some(Self::Bearer {
            realm: words.remove("realm")?,
            service: words.remove("service"),
            scope: words.remove("scope"),
        })
    }
}

/// A value in a query.
pub(crate) fn query(text: &str) -> String {
    let mut coded = String::new();
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                coded.push(char::from(byte));
            }
            _ => coded.push_str(&format!("%{byte:02X}")),
        }
    }
    coded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn challenges_are_read() {
        let value = r#"Bearer realm="https://a.example/token",service="a b",scope="repository:x/y:pull,push""#;
        assert_eq!(
            Challenge::parse(value),
            Some(Challenge::Bearer {
                realm: "https://a.example/token".to_owned(),
                service: Some("a b".to_owned()),
                scope: Some("repository:x/y:pull,push".to_owned()),
            })
        );
        assert_eq!(
            Challenge::parse("Basic realm=\"x\""),
            Some(Challenge::Basic)
        );
        assert_eq!(Challenge::parse("Negotiate"), None);
        assert_eq!(Challenge::parse("Bearer service=\"x\""), None);
        assert_eq!(query("a b/c:d"), "a%20b%2Fc%3Ad");
    }

    #[test]
    fn a_password_is_not_shown() {
        let credentials = Credentials {
            user: "u".to_owned(),
            password: "secret".to_owned(),
        };
        assert!(!format!("{credentials:?}").contains("secret"));
        assert_eq!(credentials.basic(), "Basic dTpzZWNyZXQ=");
    }
}
