//! SHA-256 and SHA-512 digests as images name them.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use ring::digest::{Algorithm, Context, SHA256, SHA512};

use crate::error::{Error, Result};

/// `sha256:HEX` or `sha512:HEX`, checked for form.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Digest {
    algorithm: &'static str,
    hex: String,
}

impl Digest {
    /// From `ALGORITHM:HEX`.
    ///
    /// # Errors
    /// An unknown algorithm, or not the right number of lower-case hexadecimal digits: a digest
    /// becomes a file name.
    pub fn parse(text: &str) -> Result<Self> {
        let bad = |reason| Error::format(format!("digest {text:?}"), reason);
        let (algorithm, hex) = text
            .split_once(':')
            .ok_or_else(|| bad("has no algorithm"))?;
        let (algorithm, length) = match algorithm {
            "sha256" => ("sha256", 64),
            "sha512" => ("sha512", 128),
            _ => {
                return Err(bad(
                    "has an unknown algorithm (sha256 and sha512 are known)",
                ));
            }
        };
        let digits = hex.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        match hex.len() == length && digits {
            true => Ok(Self {
                algorithm,
                hex: hex.to_owned(),
            }),
            false => Err(bad("is not of the right form")),
        }
    }

    /// From the hexadecimal digits of a SHA-256.
    ///
    /// # Errors
    /// As [`Digest::parse`].
    pub fn sha256(hex: &str) -> Result<Self> {
        Self::parse(&format!("sha256:{}", hex.to_ascii_lowercase()))
    }

    /// The algorithm's name, `sha256` or `sha512`.
    pub fn algorithm(&self) -> &'static str {
        self.algorithm
    }

    /// The hexadecimal digits.
    pub fn hex(&self) -> &str {
        &self.hex
    }

    fn implementation(&self) -> &'static Algorithm {
        match self.algorithm {
            "sha512" => &SHA512,
            _ => &SHA256,
        }
    }

    /// Checks a file's content.
    ///
    /// # Errors
    /// [`Error::Digest`] when it is another one; what reading gives.
    pub fn check_file(&self, path: &Path, what: &str) -> Result<()> {
        let mut file = File::open(path).map_err(Error::path("open", path))?;
        let mut context = Context::new(self.implementation());
        let mut buffer = vec![0; 256 << 10];
        loop {
            match file.read(&mut buffer).map_err(Error::path("read", path))? {
                0 => break,
                got => context.update(&buffer[..got]),
            }
        }
        self.compare(context.finish().as_ref(), what)
    }

    /// Checks bytes.
    ///
    /// # Errors
    /// [`Error::Digest`] when they have another one.
    pub fn check(&self, bytes: &[u8], what: &str) -> Result<()> {
        let found = ring::digest::digest(self.implementation(), bytes);
        self.compare(found.as_ref(), what)
    }

    fn compare(&self, found: &[u8], what: &str) -> Result<()> {
        let found = hex(found);
        match found == self.hex {
            true => Ok(()),
            false => Err(Error::Digest {
                what: what.to_owned(),
                expected: self.to_string(),
                found: format!("{}:{found}", self.algorithm),
            }),
        }
    }
}

impl std::fmt::Display for Digest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.algorithm, self.hex)
    }
}

/// Bytes in hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::Digest;

    #[test]
    fn a_digest_is_never_a_path() {
        assert!(Digest::parse(&format!("sha256:{}", "a".repeat(64))).is_ok());
        for bad in ["sha256:../../etc/passwd", "md5:aa", "sha256:", "", "sha256"] {
            assert!(Digest::parse(bad).is_err(), "{bad}");
        }
        assert!(Digest::parse(&format!("sha256:{}", "A".repeat(64))).is_err());
        assert!(Digest::parse(&format!("sha512:{}", "a".repeat(64))).is_err());
    }

    #[test]
    fn content_is_compared() {
        let of_abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        let digest = Digest::sha256(of_abc).unwrap();
        assert!(digest.check(b"abc", "x").is_ok());
        assert!(digest.check(b"abd", "x").is_err());
    }
}
