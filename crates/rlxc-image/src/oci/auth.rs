//! Who one is to a registry: name and password, and the challenge that asks for them.

use base64::Engine;

/// The name that stands for having a token instead of a password.
pub(crate) const TOKEN_USER: &str = "<token>";

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
