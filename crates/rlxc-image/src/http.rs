//! Fetching: HTTPS with the system's authorities, bounded, resumed, checked.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use ureq::Agent;
use ureq::http::Response;
use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig};

use crate::digest::Digest;
use crate::error::{Error, Result};
use crate::progress::Progress;

/// Where the systems keep the authorities that they trust.
const BUNDLES: [&str; 5] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// Attempts without progress before giving up.
const ATTEMPTS: u32 = 3;

/// How long a server may take.
#[derive(Debug, Clone, Copy)]
struct Patience {
    /// Until there is a connection
    connect: Duration,
    /// Until the answer begins
    answer: Duration,
    /// Until the next bytes come
    read: Duration,
    /// In which at least [`SLOWEST`] bytes must come
    pace: Duration,
}

const PATIENCE: Patience = Patience {
    connect: Duration::from_secs(30),
    answer: Duration::from_secs(60),
    read: Duration::from_secs(30),
    pace: Duration::from_secs(60),
};

/// Whoever sends less than this in [`Patience::pace`] only keeps us waiting.
const SLOWEST: u64 = 4096;

/// A server's answer.
#[derive(Debug)]
pub struct Answer {
    /// The HTTP status
    pub status: u16,
    /// Headers by lower-case name, in order
    pub headers: Vec<(String, String)>,
    /// The body
    pub body: Vec<u8>,
}

impl Answer {
    /// All values of a header.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        let same = self.headers.iter().filter(move |(key, _)| key == name);
        same.map(|(_, value)| value.as_str())
    }

    /// The first value of a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut found = self.headers.iter().filter(|(key, _)| key == name);
        found.next().map(|(_, value)| value.as_str())
    }
}

/// What is to be downloaded.
#[derive(Debug)]
pub struct Wanted<'a> {
    /// Its address
    pub url: &'a str,
    /// Request headers
    pub headers: &'a [(String, String)],
    /// The announced digest
    pub digest: Option<&'a Digest>,
    /// The announced size
    pub size: Option<u64>,
    /// Bytes at most, if no size is announced
    pub limit: u64,
    /// What the progress bar says
    pub what: &'a str,
}

/// A client that speaks HTTPS only, unless told otherwise.
#[derive(Debug)]
pub struct Client {
    agent: Agent,
    pace: Duration,
}

impl Client {
    /// With the authorities of `$SSL_CERT_FILE`, of the system, or those known when this was built.
    ///
    /// # Errors
    /// When the named file cannot be read or holds no certificate.
    pub fn new(allow_http: bool) -> Result<Self> {
        Self::with_patience(allow_http, PATIENCE)
    }

    fn with_patience(allow_http: bool, patience: Patience) -> Result<Self> {
        let tls = TlsConfig::builder()
            .root_certs(root_certificates()?)
            .build();
        let agent = Agent::config_builder()
            .https_only(!allow_http)
            .tls_config(tls)
            .http_status_as_error(false)
            .max_redirects(10)
            .user_agent(concat!(
                "rlxc/",
                env!("CARGO_PKG_VERSION"),
                " (lxc compat:7)"
            ))
            .timeout_connect(Some(patience.connect))
            .timeout_recv_response(Some(patience.answer))
            .timeout_per_read(Some(patience.read))
            .build()
            .new_agent();
        let pace = patience.pace;
        Ok(Self { agent, pace })
    }

    /// A small answer, whatever its status; network failures are tried again.
    ///
    /// # Errors
    /// [`Error::Fetch`], also for a body above `limit` bytes.
    pub fn get(&self, url: &str, headers: &[(String, String)], limit: u64) -> Result<Answer> {
        let mut attempt = 1;
        loop {
            match self.get_once(url, headers, limit) {
                Err(Failed::Passing(_)) if attempt < ATTEMPTS => attempt += 1,
                Err(Failed::Passing(reason) | Failed::Final(reason)) => {
                    return Err(fetch(url, reason));
                }
                Err(Failed::Status(error)) => return Err(error),
                Ok(answer) => return Ok(answer),
            }
        }
    }

    fn get_once(
        &self,
        url: &str,
        headers: &[(String, String)],
        limit: u64,
    ) -> Result<Answer, Failed> {
        answer(self.call(url, headers)?, limit, self.pace)
    }

    /// Sends a form, once; a small answer, whatever its status.
    ///
    /// # Errors
    /// [`Error::Fetch`], also for a body above `limit` bytes.
    pub fn post_form(&self, url: &str, form: String, limit: u64) -> Result<Answer> {
        let kind = "application/x-www-form-urlencoded";
        let sent = self.agent.post(url).content_type(kind).send(form);
        let response = sent.map_err(|error| fetch(url, explain(&error)))?;
        answer(response, limit, self.pace).map_err(|failed| match failed {
            Failed::Passing(reason) | Failed::Final(reason) => fetch(url, reason),
            Failed::Status(error) => error,
        })
    }

    fn call(
        &self,
        url: &str,
        headers: &[(String, String)],
    ) -> Result<Response<ureq::Body>, Failed> {
        let mut request = self.agent.get(url);
        for (name, value) in headers {
            request = request.header(name, value);
        }
        request.call().map_err(|error| {
            let text = explain(&error);
            match error {
                ureq::Error::Io(_) | ureq::Error::Timeout(_) | ureq::Error::ConnectionFailed => {
                    match text.contains("certificate") {
                        true => Failed::Final(text),
                        false => Failed::Passing(text),
                    }
                }
                _ => Failed::Final(text),
            }
        })
    }

    /// Downloads into `part`, going on where an earlier attempt stopped, and checks the content;
    /// what does not fit is removed.
    ///
    /// # Errors
    /// [`Error::Fetch`], [`Error::Status`], [`Error::Digest`].
    pub fn download(&self, wanted: &Wanted<'_>, part: &Path) -> Result<()> {
        let result = self.download_unchecked(wanted, part);
        let result = result.and_then(|()| match wanted.digest {
            Some(digest) => digest.check_file(part, wanted.what),
            None => Ok(()),
        });
        // Only what may be gone on with stays.
        let resumable = matches!(result, Ok(()) | Err(Error::Fetch { .. }));
        if !resumable || (result.is_err() && wanted.digest.is_none()) {
            let _ = std::fs::remove_file(part);
        }
        result
    }

    fn download_unchecked(&self, wanted: &Wanted<'_>, part: &Path) -> Result<()> {
        let mut file = OpenOptions::new()
            .create(true)
            .read(true)
            .write(true)
            .truncate(false)
            .open(part)
            .map_err(Error::path("write", part))?;
        if wanted.digest.is_none() {
            file.set_len(0).map_err(Error::path("truncate", part))?;
        }
        let bar = Progress::of_bytes(wanted.size, wanted.what);
        let mut attempt = 1;
        loop {
            let have = file
                .seek(SeekFrom::End(0))
                .map_err(Error::path("seek in", part))?;
            if wanted.size == Some(have) && have > 0 {
                return Ok(());
            }
            let got = self.continue_download(wanted, &mut file, have, &bar);
            let now = file.metadata().map_or(0, |meta| meta.len());
            let reason = match got {
                Ok(()) => match wanted.size {
                    Some(size) if now != size => {
                        format!("the answer ended after {now} of {size} bytes")
                    }
                    _ => return Ok(()),
                },
                Err(Failed::Status(error)) => return Err(error),
                Err(Failed::Final(reason)) => return Err(fetch(wanted.url, reason)),
                Err(Failed::Passing(reason)) => reason,
            };
            // Some bytes now and then are no progress.
            attempt = match now >= have.saturating_add(SLOWEST) {
                true => 1,
                false => attempt + 1,
            };
            if attempt > ATTEMPTS {
                return Err(fetch(wanted.url, reason));
            }
        }
    }

    fn continue_download(
        &self,
        wanted: &Wanted<'_>,
        file: &mut File,
        have: u64,
        bar: &Progress,
    ) -> Result<(), Failed> {
        let mut headers = wanted.headers.to_vec();
        if have > 0 {
            headers.push(("Range".to_owned(), format!("bytes={have}-")));
        }
        let mut response = self.call(wanted.url, &headers)?;
        let local = |error: std::io::Error| Failed::Final(format!("cannot store it: {error}"));
        let start = match response.status().as_u16() {
            206 => {
                let range = response.headers().get("content-range");
                let range = range
                    .and_then(|value| value.to_str().ok())
                    .unwrap_or_default();
                match range.strip_prefix(&format!("bytes {have}-")) {
                    Some(_) => have,
                    None => return Err(Failed::Final(format!("it answered the range {range:?}"))),
                }
            }
            200 => 0,
            // What is here is longer than what is there: begin anew.
            416 if have > 0 => {
                file.set_len(0).map_err(local)?;
                return Err(Failed::Passing(
                    "the server has less than is here".to_owned(),
                ));
            }
            status => {
                return Err(Failed::Status(Error::Status {
                    url: wanted.url.to_owned(),
                    status,
                    hint: String::new(),
                }));
            }
        };
        file.set_len(start).map_err(local)?;
        file.seek(SeekFrom::Start(start)).map_err(local)?;
        let most = wanted.size.unwrap_or(wanted.limit);
        let mut reader = Paced::new(response.body_mut().as_reader(), self.pace);
        let mut buffer = vec![0; 128 << 10];
        let mut at = start;
        loop {
            let got = match reader.read(&mut buffer) {
                Ok(0) => return Ok(()),
                Ok(got) => got,
                Err(error) => return Err(Failed::Passing(error.to_string())),
            };
            at += got as u64;
            if at > most {
                file.set_len(0).map_err(local)?;
                return Err(Failed::Final(format!("it sends more than {most} bytes")));
            }
            file.write_all(&buffer[..got]).map_err(local)?;
            bar.at(at);
        }
    }
}

enum Failed {
    /// May go better next time
    Passing(String),
    /// Will not
    Final(String),
    /// Another HTTP status than wanted
    Status(Error),
}

/// An answer as a whole.
fn answer(
    mut response: Response<ureq::Body>,
    limit: u64,
    pace: Duration,
) -> Result<Answer, Failed> {
    let status = response.status().as_u16();
    let headers = header_list(&response);
    let mut body = Vec::new();
    let reader = Paced::new(response.body_mut().as_reader(), pace);
    let mut reader = reader.take(limit + 1);
    reader
        .read_to_end(&mut body)
        .map_err(|error| Failed::Passing(error.to_string()))?;
    if body.len() as u64 > limit {
        return Err(Failed::Final(format!(
            "the answer has more than {limit} bytes"
        )));
    }
    Ok(Answer {
        status,
        headers,
        body,
    })
}

/// A body that must come at some pace: a timeout for each read lets a server drip for ever.
struct Paced<R> {
    inner: R,
    pace: Duration,
    since: Instant,
    got: u64,
}

impl<R> Paced<R> {
    fn new(inner: R, pace: Duration) -> Self {
        Self {
            inner,
            pace,
            since: Instant::now(),
            got: 0,
        }
    }
}

impl<R: Read> Read for Paced<R> {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        let got = self.inner.read(into)?;
        self.got += got as u64;
        let took = self.since.elapsed();
        if got > 0 && took >= self.pace {
            if self.got < SLOWEST {
                let (bytes, seconds) = (self.got, took.as_secs());
                let reason = format!("only {bytes} bytes came in {seconds} seconds");
                return Err(std::io::Error::new(std::io::ErrorKind::TimedOut, reason));
            }
            (self.since, self.got) = (Instant::now(), 0);
        }
        Ok(got)
    }
}

fn fetch(url: &str, reason: String) -> Error {
    Error::Fetch {
        url: url.to_owned(),
        reason,
    }
}

fn header_list(response: &Response<ureq::Body>) -> Vec<(String, String)> {
    let mut list = Vec::new();
    for (name, value) in response.headers() {
        let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
        list.push((name.as_str().to_owned(), value));
    }
    list
}

/// The error with its causes and, where one is known, a remedy.
fn explain(error: &ureq::Error) -> String {
    use std::error::Error as _;
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    if text.contains("UnknownIssuer") {
        text.push_str(
            " (the certificate's authority is not trusted here; SSL_CERT_FILE can name one more file)",
        );
    }
    text
}

fn root_certificates() -> Result<RootCerts> {
    let named = std::env::var_os("SSL_CERT_FILE").filter(|value| !value.is_empty());
    let file = match &named {
        Some(path) => Some(PathBuf::from(path)),
        None => BUNDLES.iter().map(PathBuf::from).find(|path| path.exists()),
    };
    let Some(file) = file else {
        return Ok(RootCerts::WebPki);
    };
    let text = std::fs::read(&file).map_err(Error::path("read", &file))?;
    let certificates: Vec<Certificate<'static>> = ureq::tls::parse_pem(&text)
        .filter_map(|item| match item {
            Ok(PemItem::Certificate(certificate)) => Some(certificate),
            _ => None,
        })
        .collect();
    match (certificates.is_empty(), named) {
        (false, _) => Ok(RootCerts::Specific(Arc::new(certificates))),
        (true, Some(_)) => Err(Error::format(
            file.display().to_string(),
            "holds no certificate (SSL_CERT_FILE names it)",
        )),
        (true, None) => Ok(RootCerts::WebPki),
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    const SHORT: Duration = Duration::from_millis(200);

    /// A server of plain HTTP that sends `head`, then one byte now and then until the client goes.
    fn drip(head: &'static str) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                std::thread::spawn(move || {
                    let mut stream = stream;
                    let mut sent = stream.write_all(head.as_bytes());
                    while sent.is_ok() && !head.is_empty() {
                        std::thread::sleep(SHORT / 8);
                        sent = stream.write_all(b"x");
                    }
                    // Silent: until the client is gone.
                    let _ = std::io::copy(&mut stream, &mut std::io::sink());
                });
            }
        });
        format!("http://{address}/x")
    }

    fn client() -> Client {
        let patience = Patience {
            answer: SHORT,
            read: SHORT,
            pace: SHORT,
            ..PATIENCE
        };
        Client::with_patience(true, patience).unwrap()
    }

    #[test]
    fn a_silent_server_is_given_up() {
        let error = client().get(&drip(""), &[], 100).unwrap_err().to_string();
        assert!(error.contains("timeout"), "{error}");
    }

    #[test]
    fn a_server_that_drips_is_given_up() {
        let head = "HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n";
        let url = drip(head);
        let error = client().get(&url, &[], 2_000_000).unwrap_err().to_string();
        assert!(error.contains("bytes came in"), "{error}");
        let digest = Digest::sha256(&"0".repeat(64)).unwrap();
        let wanted = Wanted {
            url: &url,
            headers: &[],
            digest: Some(&digest),
            size: Some(1_000_000),
            limit: 1_000_000,
            what: "x",
        };
        let part = std::env::temp_dir().join(format!("rlxc-img-drip-{}", std::process::id()));
        let error = client().download(&wanted, &part).unwrap_err().to_string();
        let _ = std::fs::remove_file(&part);
        assert!(error.contains("bytes came in"), "{error}");
    }
}
