//! An image server: HTTPS, or a directory laid out like one.

use std::path::{Path, PathBuf};

use crate::digest::Digest;
use crate::error::{Error, Result};
use crate::http::{Client, Wanted};

/// A file of a server, as its index announces it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remote {
    /// Path below the server's root
    pub path: String,
    /// Digest, if announced
    pub digest: Option<Digest>,
    /// Size, if announced
    pub size: Option<u64>,
}

/// An image server.
#[derive(Debug)]
pub struct Server {
    base: Base,
    client: Option<Client>,
}

#[derive(Debug)]
enum Base {
    Url(String),
    Directory(PathBuf),
}

/// A root file system above this size is no root file system.
const LARGEST: u64 = 32 << 30;

impl Server {
    /// `HOST[:PORT][/PATH]` or `https://…`; an absolute path or `file://…` for a directory;
    /// `http://…` only if `insecure`.
    ///
    /// # Errors
    /// A wrong address; what [`Client::new`] gives.
    pub fn new(text: &str, insecure: bool) -> Result<Self> {
        if let Some(path) = text
            .strip_prefix("file://")
            .or(text.starts_with('/').then_some(text))
        {
            let path = PathBuf::from(path);
            return match path.is_dir() {
                true => Ok(Self {
                    base: Base::Directory(path),
                    client: None,
                }),
                false => Err(Error::format(text, "is no directory")),
            };
        }
        let url = match text.split_once("://") {
            None => format!("https://{text}"),
            Some(("https", _)) => text.to_owned(),
            Some(("http", _)) if insecure => text.to_owned(),
            Some(("http", _)) => {
                return Err(Error::message(format!(
                    "{text}: what comes over plain HTTP can be changed on the way; \
                     use https, sign the index and name the keys with --keyring, or give --no-validate"
                )));
            }
            Some((scheme, _)) => {
                return Err(Error::format(text, format!("{scheme} is no known scheme")));
            }
        };
        Ok(Self {
            client: Some(Client::new(url.starts_with("http:"))?),
            base: Base::Url(url.trim_end_matches('/').to_owned()),
        })
    }

    /// The host's name, for files that are kept per server.
    pub fn host(&self) -> Option<&str> {
        match &self.base {
            Base::Url(url) => {
                let rest = url.split_once("://")?.1;
                rest.split(['/', ':']).next()
            }
            Base::Directory(_) => None,
        }
    }

    /// A small file; `None` when there is none of that name.
    ///
    /// # Errors
    /// What [`Client::get`] gives, and any other status than 200, 403, 404 and 410.
    pub fn fetch(&self, path: &str, limit: u64) -> Result<Option<Vec<u8>>> {
        let path = plain(path)?;
        match (&self.base, &self.client) {
            (Base::Url(base), Some(client)) => {
                let url = format!("{base}/{path}");
                let answer = client.get(&url, &[], limit)?;
                match answer.status {
                    200 => Ok(Some(answer.body)),
                    403 | 404 | 410 => Ok(None),
                    status => Err(Error::Status {
                        url,
                        status,
                        hint: String::new(),
                    }),
                }
            }
            (Base::Directory(dir), _) => match std::fs::read(dir.join(path)) {
                Ok(body) if body.len() as u64 > limit => {
                    Err(Error::format(path, format!("has more than {limit} bytes")))
                }
                Ok(body) => Ok(Some(body)),
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
                Err(error) => Err(Error::path("read", dir.join(path))(error)),
            },
            (Base::Url(base), None) => Err(Error::format(base, "has no client")),
        }
    }

    /// Downloads a large file into `part` and checks it; see [`Client::download`].
    ///
    /// # Errors
    /// As there.
    pub fn download(&self, remote: &Remote, part: &Path, what: &str) -> Result<()> {
        let path = plain(&remote.path)?;
        match (&self.base, &self.client) {
            (Base::Url(base), Some(client)) => {
                let url = format!("{base}/{path}");
                let wanted = Wanted {
                    url: &url,
                    headers: &[],
                    digest: remote.digest.as_ref(),
                    size: remote.size,
                    limit: LARGEST,
                    what,
                };
                client.download(&wanted, part)
            }
            (Base::Directory(dir), _) => {
                let from = dir.join(path);
                std::fs::copy(&from, part).map_err(Error::path("copy", &from))?;
                let checked = remote
                    .digest
                    .as_ref()
                    .map_or(Ok(()), |digest| digest.check_file(part, what));
                if checked.is_err() {
                    let _ = std::fs::remove_file(part);
                }
                checked
            }
            (Base::Url(base), None) => Err(Error::format(base, "has no client")),
        }
    }
}

impl std::fmt::Display for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.base {
            Base::Url(url) => f.write_str(url),
            Base::Directory(dir) => write!(f, "{}", dir.display()),
        }
    }
}

/// An index's path, which must stay below the server's root.
fn plain(path: &str) -> Result<&str> {
    let path = path.trim_start_matches('/');
    let bad = path.is_empty()
        || path.split('/').any(|part| part == "..")
        || path.contains(|c: char| c.is_control() || c == ' ' || c == '\\')
        || path.contains("://");
    match bad {
        true => Err(Error::format(
            format!("path {path:?}"),
            "is none of this server's",
        )),
        false => Ok(path),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_http_needs_consent() {
        assert!(Server::new("http://localhost:1", false).is_err());
        assert!(Server::new("http://localhost:1", true).is_ok());
        assert_eq!(
            Server::new("localhost:1/x/", false).unwrap().to_string(),
            "https://localhost:1/x"
        );
        assert!(Server::new("ftp://localhost", true).is_err());
    }

    #[test]
    fn an_index_names_only_its_own_server() {
        for bad in ["../x", "a/../../b", "https://elsewhere/x", "", "a\nb"] {
            assert!(plain(bad).is_err(), "{bad:?}");
        }
        assert_eq!(plain("/images/x").unwrap(), "images/x");
    }
}
