//! Pulling from a registry (distribution-spec v1.1).

use std::cell::RefCell;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::auth::{Challenge, Credentials, TOKEN_USER, query};
use super::login;
use super::manifest::{DOCUMENT, Descriptor};
use super::reference::{Remote, Target};
use super::store::Store;
use crate::digest::Digest;
use crate::error::{Error, Result};
use crate::http::{Answer, Client, Wanted};

const ACCEPT: &str = "application/vnd.oci.image.index.v1+json, \
    application/vnd.oci.image.manifest.v1+json, \
    application/vnd.docker.distribution.manifest.list.v2+json, \
    application/vnd.docker.distribution.manifest.v2+json";

/// Layers above this size are refused when none is announced.
const LAYER: u64 = 32 << 30;

/// One repository of a registry.
#[derive(Debug)]
pub(crate) struct Registry<'a> {
    client: Client,
    remote: &'a Remote,
    credentials: Option<Credentials>,
    /// The Authorization header that was good last
    authorization: RefCell<Option<String>>,
}

#[derive(Deserialize)]
struct Token {
    token: Option<String>,
    access_token: Option<String>,
}

impl<'a> Registry<'a> {
    pub(crate) fn new(remote: &'a Remote, credentials: Option<Credentials>) -> Result<Self> {
        let credentials = match credentials {
            Some(given) => Some(given),
            None => login::find(&remote.host, &remote.name)?,
        };
        Ok(Self {
            client: Client::new(false)?,
            remote,
            credentials,
            authorization: RefCell::default(),
        })
    }

    fn url(&self, kind: &str, what: &str) -> String {
        let host = match self.remote.host.as_str() {
            "docker.io" => "registry-1.docker.io",
            host => host,
        };
        format!("https://{host}/v2/{}/{kind}/{what}", self.remote.name)
    }

    fn headers(&self, accept: Option<&str>) -> Vec<(String, String)> {
        let accept = accept.map(|value| ("Accept".to_owned(), value.to_owned()));
        let authorization = self.authorization.borrow().clone();
        let authorization = authorization.map(|value| ("Authorization".to_owned(), value));
        accept.into_iter().chain(authorization).collect()
    }

    /// A manifest or an index, checked if it is asked for by digest.
    pub(crate) fn manifest(&self, target: &Target) -> Result<Vec<u8>> {
        let url = self.url("manifests", &target.to_string());
        let mut answer = self
            .client
            .get(&url, &self.headers(Some(ACCEPT)), DOCUMENT)?;
        if answer.status == 401 {
            self.log_in(&answer, &url)?;
            answer = self
                .client
                .get(&url, &self.headers(Some(ACCEPT)), DOCUMENT)?;
        }
        if answer.status != 200 {
            return Err(self.refused(&url, answer.status));
        }
        if let Target::Digest(digest) = target {
            digest.check(&answer.body, "the manifest")?;
        } else if let Some(said) = answer.header("docker-content-digest") {
            Digest::parse(said)?.check(&answer.body, "the manifest")?;
        }
        Ok(answer.body)
    }

    /// A blob as a file of the store.
    pub(crate) fn blob(
        &self,
        descriptor: &Descriptor,
        store: &Store,
        what: &str,
    ) -> Result<PathBuf> {
        let digest = descriptor.digest()?;
        if let Some(kept) = store.find(&digest, what) {
            return Ok(kept);
        }
        let url = self.url("blobs", &digest.to_string());
        let part = store.part(&digest)?;
        let mut done = self.download(&url, &digest, descriptor, &part, what);
        if let Err(Error::Status { status: 401, .. }) = done {
            // A token that is over, or the first request of all.
            let answer = self.client.get(&url, &[], 1 << 16)?;
            self.log_in(&answer, &url)?;
            done = self.download(&url, &digest, descriptor, &part, what);
        }
        match done {
            Err(Error::Status { status, .. }) => Err(self.refused(&url, status)),
            Err(error) => Err(error),
            Ok(()) => store.keep(&digest, &part),
        }
    }

    fn download(
        &self,
        url: &str,
        digest: &Digest,
        descriptor: &Descriptor,
        part: &Path,
        what: &str,
    ) -> Result<()> {
        let wanted = Wanted {
            url,
            headers: &self.headers(None),
            digest: Some(digest),
            size: (descriptor.size > 0).then_some(descriptor.size),
            limit: LAYER,
            what,
        };
        self.client.download(&wanted, part)
    }

    /// Answers a challenge.
    fn log_in(&self, answer: &Answer, url: &str) -> Result<()> {
        let challenges: Vec<Challenge> = answer
            .all("www-authenticate")
            .filter_map(Challenge::parse)
            .collect();
        let no_credentials = || Error::Status {
            url: url.to_owned(),
            status: 401,
            hint: format!(
                ": {} wants a user and a password (--username, --password)",
                self.remote.host
            ),
        };
        let value = match challenges.into_iter().next() {
            Some(Challenge::Basic) => self
                .credentials
                .as_ref()
                .ok_or_else(no_credentials)?
                .basic(),
            Some(Challenge::Bearer {
                realm,
                service,
                scope,
            }) => format!("Bearer {}", self.token(&realm, service, scope)?),
            None => {
                return Err(Error::Status {
                    url: url.to_owned(),
                    status: answer.status,
                    hint: ", and names no way to log in that is known here".to_owned(),
                });
            }
        };
        *self.authorization.borrow_mut() = Some(value);
        Ok(())
    }

    fn token(&self, realm: &str, service: Option<String>, scope: Option<String>) -> Result<String> {
        // What is sent there are the user's name and password.
        if !realm.starts_with("https://") {
            return Err(Error::format(realm, "gives tokens without TLS"));
        }
        let scope = scope.unwrap_or_else(|| format!("repository:{}:pull", self.remote.name));
        if let Some(kept) = self.credentials.as_ref().filter(|c| c.user == TOKEN_USER) {
            return self.refresh(realm, service.as_deref(), &scope, &kept.password);
        }
        let between = if realm.contains('?') { '&' } else { '?' };
        let mut url = format!("{realm}{between}scope={}", query(&scope));
        if let Some(service) = service {
            url.push_str(&format!("&service={}", query(&service)));
        }
        let headers = self
            .credentials
            .as_ref()
            .map(|credentials| ("Authorization".to_owned(), credentials.basic()));
        let headers: Vec<_> = headers.into_iter().collect();
        let answer = self.client.get(&url, &headers, 1 << 20)?;
        if answer.status != 200 {
            let hint = match self.credentials {
                Some(_) => ": the user or the password is wrong",
                None => ": a user and a password are wanted (--username, --password)",
            };
            return Err(Error::Status {
                url: realm.to_owned(),
                status: answer.status,
                hint: hint.to_owned(),
            });
        }
        token_of(realm, &answer)
    }

    /// A token for a kept one, as helpers of some registries keep them.
    fn refresh(
        &self,
        realm: &str,
        service: Option<&str>,
        scope: &str,
        kept: &str,
    ) -> Result<String> {
        let form = format!(
            "grant_type=refresh_token&client_id=rlxc&service={}&scope={}&refresh_token={}",
            query(service.unwrap_or_default()),
            query(scope),
            query(kept)
        );
        let answer = self.client.post_form(realm, form, 1 << 20)?;
        if answer.status != 200 {
            return Err(Error::Status {
                url: realm.to_owned(),
                status: answer.status,
                hint: ": the kept token is not taken any more; log in again".to_owned(),
            });
        }
        token_of(realm, &answer)
    }

    fn refused(&self, url: &str, status: u16) -> Error {
        let hint = match status {
            401 | 403 => format!(
                ": {} does not let you read {}",
                self.remote.host, self.remote.name
            ),
            404 => format!(": there is no {}", self.remote),
            429 => ": too many requests; log in (--username, --password) or try later".to_owned(),
            _ => String::new(),
        };
        Error::Status {
            url: url.to_owned(),
            status,
            hint,
        }
    }
}

fn token_of(realm: &str, answer: &Answer) -> Result<String> {
    let token: Token =
        serde_json::from_slice(&answer.body).map_err(|error| Error::format(realm, error))?;
    let token = token.token.or(token.access_token);
    let token = token.filter(|token| !token.is_empty());
    token.ok_or_else(|| Error::format(realm, "gives no token"))
}
