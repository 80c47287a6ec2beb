//! Signatures of OpenPGP (RFC 4880 and 9580), verified without a GPG program: version 4 keys and
//! signatures by RSA or Ed25519 with SHA-2.
//!
//! The keyring file is what is trusted: every key in it may sign, as with gpgv.

use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine;
use ring::digest::{SHA1_FOR_LEGACY_USE_ONLY, SHA256, SHA384, SHA512};
use ring::signature::{
    ED25519, RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_2048_8192_SHA384, RSA_PKCS1_2048_8192_SHA512,
    RsaPublicKeyComponents, UnparsedPublicKey,
};

use crate::error::{Error, Result};

/// Keys that may sign.
#[derive(Debug, Default)]
pub struct Keyring {
    keys: Vec<Key>,
}

#[derive(Debug)]
struct Key {
    id: [u8; 8],
    material: Material,
}

#[derive(Debug)]
enum Material {
    Rsa { n: Vec<u8>, e: Vec<u8> },
    Ed25519(Vec<u8>),
}

struct Signature<'a> {
    kind: u8,
    key_algorithm: u8,
    hash: u8,
    /// From the version to the end of the hashed subpackets
    hashed: &'a [u8],
    issuer: Option<[u8; 8]>,
    created: u64,
    valid_for: u64,
    numbers: Vec<Vec<u8>>,
    raw: &'a [u8],
}

const RSA: [u8; 2] = [1, 3];
const EDDSA: u8 = 22;
const ED25519_NEW: u8 = 27;
/// 1.3.6.1.4.1.11591.15.1
const ED25519_OID: [u8; 9] = [0x2b, 0x06, 0x01, 0x04, 0x01, 0xda, 0x47, 0x0f, 0x01];

impl Keyring {
    /// From a file of public keys, armored or not.
    ///
    /// # Errors
    /// When it cannot be read or holds no key that can be used here.
    pub fn load(path: &Path) -> Result<Self> {
        let text = std::fs::read(path).map_err(Error::path("read", path))?;
        let what = path.display().to_string();
        let bytes = bytes_of(&text, "PUBLIC KEY BLOCK", &what)?;
        let mut keys = Vec::new();
        for (tag, body) in packets(&bytes).ok_or_else(|| damaged(&what))? {
            if matches!(tag, 6 | 14) {
                keys.extend(key(body));
            }
        }
        match keys.is_empty() {
            true => Err(Error::format(what, "holds no RSA or Ed25519 public key")),
            false => Ok(Self { keys }),
        }
    }

    /// Verifies a detached signature; one good signature by one of the keys is enough.
    ///
    /// # Errors
    /// [`Error::Signature`].
    pub fn verify_detached(&self, data: &[u8], signature: &[u8], what: &str) -> Result<()> {
        let bytes = bytes_of(signature, "SIGNATURE", what)?;
        self.verify(data, &bytes, what)
    }

    /// Verifies a clear-signed message and returns its text.
    ///
    /// # Errors
    /// [`Error::Signature`]; a message that is none.
    pub fn verify_clear_signed(&self, message: &[u8], what: &str) -> Result<Vec<u8>> {
        let text = std::str::from_utf8(message).map_err(|error| Error::format(what, error))?;
        let start = "-----BEGIN PGP SIGNED MESSAGE-----";
        let rest = text.trim_start().strip_prefix(start);
        let rest = rest.ok_or_else(|| Error::format(what, "is no clear-signed message"))?;
        let mark = "-----BEGIN PGP SIGNATURE-----";
        let at = rest.find(&format!("\n{mark}"));
        let at = at.ok_or_else(|| Error::format(what, "has no signature"))?;
        let mut lines = rest[..at].lines();
        // Headers, then an empty line.
        for line in lines.by_ref().skip(1) {
            if line.trim().is_empty() {
                break;
            }
        }
        let lines: Vec<&str> = lines
            .map(|line| line.strip_prefix("- ").unwrap_or(line))
            .collect();
        let canonical: Vec<&str> = lines
            .iter()
            .map(|line| line.trim_end_matches([' ', '\t', '\r']))
            .collect();
        let signature = bytes_of(&rest.as_bytes()[at + 1..], "SIGNATURE", what)?;
        self.verify(canonical.join("\r\n").as_bytes(), &signature, what)?;
        Ok(canonical.join("\n").into_bytes())
    }

    fn verify(&self, data: &[u8], signatures: &[u8], what: &str) -> Result<()> {
        let mut reason = "it holds no signature".to_owned();
        for (tag, body) in packets(signatures).ok_or_else(|| damaged(what))? {
            if tag != 2 {
                continue;
            }
            match signature(body) {
                None => "it is of a kind that is not known here".clone_into(&mut reason),
                Some(signature) => match self.check(data, &signature) {
                    Ok(()) => return Ok(()),
                    Err(text) => reason = text,
                },
            }
        }
        Err(Error::Signature {
            what: what.to_owned(),
            reason,
        })
    }

    fn check(&self, data: &[u8], signature: &Signature<'_>) -> Result<(), String> {
        if !matches!(signature.kind, 0 | 1) {
            return Err("it signs a key, not a file".to_owned());
        }
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let now = now.map_or(0, |since| since.as_secs());
        if signature.valid_for != 0 && signature.created + signature.valid_for < now {
            return Err("it has expired".to_owned());
        }
        // A day for clocks that go wrong.
        if signature.created > now + 86400 {
            return Err("it was made in the future".to_owned());
        }
        let mut message = data.to_vec();
        message.extend_from_slice(signature.hashed);
        message.extend([4, 0xff]);
        let length = u32::try_from(signature.hashed.len()).unwrap_or(u32::MAX);
        message.extend(length.to_be_bytes());
        let ours = |key: &&Key| signature.issuer.is_none_or(|id| id == key.id);
        let mut candidates = self.keys.iter().filter(ours).peekable();
        if candidates.peek().is_none() {
            let id = signature.issuer.map(|id| crate::digest::hex(&id));
            let id = id.unwrap_or_default();
            return Err(format!("the key {id} is not in the keyring"));
        }
        let good = candidates.any(|key| holds(&key.material, signature, &message));
        match good {
            true => Ok(()),
            false => Err("the content was changed, or the key is another one".to_owned()),
        }
    }
}

fn holds(material: &Material, signature: &Signature<'_>, message: &[u8]) -> bool {
    match material {
        Material::Rsa { n, e } if RSA.contains(&signature.key_algorithm) => {
            let algorithm = match signature.hash {
                8 => &RSA_PKCS1_2048_8192_SHA256,
                9 => &RSA_PKCS1_2048_8192_SHA384,
                10 => &RSA_PKCS1_2048_8192_SHA512,
                _ => return false,
            };
            let Some(number) = signature.numbers.first() else {
                return false;
            };
            let number = padded(number, n.len());
            RsaPublicKeyComponents { n, e }
                .verify(algorithm, message, &number)
                .is_ok()
        }
        Material::Ed25519(point) => {
            let hash = match signature.hash {
                8 => &SHA256,
                9 => &SHA384,
                10 => &SHA512,
                _ => return false,
            };
            let both = match (signature.key_algorithm, &signature.numbers[..]) {
                (EDDSA, [r, s]) => [padded(r, 32), padded(s, 32)].concat(),
                (ED25519_NEW, _) => signature.raw.get(..64).unwrap_or_default().to_vec(),
                _ => return false,
            };
            let digest = ring::digest::digest(hash, message);
            UnparsedPublicKey::new(&ED25519, point)
                .verify(digest.as_ref(), &both)
                .is_ok()
        }
        Material::Rsa { .. } => false,
    }
}

fn padded(number: &[u8], length: usize) -> Vec<u8> {
    let mut padded = vec![0; length.saturating_sub(number.len())];
    padded.extend(number);
    padded
}

fn damaged(what: &str) -> Error {
    Error::format(what, "is no OpenPGP data, or damaged")
}

/// The bytes behind an armor of that kind, or the data itself if it has none.
fn bytes_of(text: &[u8], kind: &str, what: &str) -> Result<Vec<u8>> {
    let begin = format!("-----BEGIN PGP {kind}-----");
    let Some(armored) = std::str::from_utf8(text)
        .ok()
        .filter(|text| text.contains(&begin))
    else {
        return Ok(text.to_vec());
    };
    let mut all = Vec::new();
    for block in armored.split(&begin).skip(1) {
        let body = block.split("-----END").next().unwrap_or_default();
        // Headers end at the first empty line; the checksum line begins with '='.
        let (_, body) = body
            .split_once("\n\n")
            .or_else(|| body.split_once("\r\n\r\n"))
            .ok_or_else(|| damaged(what))?;
        let lines = body.lines().map(str::trim);
        let coded: String = lines.filter(|line| !line.starts_with('=')).collect();
        let engine = &base64::engine::general_purpose::STANDARD;
        all.extend(engine.decode(coded).map_err(|_| damaged(what))?);
    }
    Ok(all)
}

/// The packets of a message: tag and body.
fn packets(mut bytes: &[u8]) -> Option<Vec<(u8, &[u8])>> {
    let mut list = Vec::new();
    while let Some((first, rest)) = bytes.split_first() {
        if first & 0x80 == 0 {
            return None;
        }
        let (tag, length, rest) = match first & 0x40 {
            0 => {
                let size = match first & 3 {
                    0 => 1,
                    1 => 2,
                    2 => 4,
                    _ => return None,
                };
                let (length, rest) = rest.split_at_checked(size)?;
                (first >> 2 & 0xf, number(length), rest)
            }
            _ => {
                let (length, rest) = new_length(rest)?;
                (first & 0x3f, length, rest)
            }
        };
        let (body, rest) = rest.split_at_checked(length)?;
        list.push((tag, body));
        bytes = rest;
    }
    Some(list)
}

fn number(bytes: &[u8]) -> usize {
    bytes.iter().fold(0, |n, byte| n << 8 | usize::from(*byte))
}

fn new_length(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let (first, rest) = bytes.split_first()?;
    match first {
        0..=191 => Some((usize::from(*first), rest)),
        192..=223 => {
            let (second, rest) = rest.split_first()?;
            Some((
                ((usize::from(*first) - 192) << 8) + usize::from(*second) + 192,
                rest,
            ))
        }
        255 => {
            let (length, rest) = rest.split_at_checked(4)?;
            Some((number(length), rest))
        }
        // Partial lengths are for data that is not known beforehand.
        _ => None,
    }
}

fn mpi(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (bits, rest) = bytes.split_at_checked(2)?;
    rest.split_at_checked(number(bits).div_ceil(8))
}

fn key(body: &[u8]) -> Option<Key> {
    let (head, rest) = body.split_at_checked(6)?;
    if head[0] != 4 {
        return None;
    }
    let material = match head[5] {
        algorithm if RSA.contains(&algorithm) => {
            let (n, rest) = mpi(rest)?;
            let (e, _) = mpi(rest)?;
            Material::Rsa {
                n: n.to_vec(),
                e: e.to_vec(),
            }
        }
        EDDSA => {
            let (length, rest) = rest.split_first()?;
            let (oid, rest) = rest.split_at_checked(usize::from(*length))?;
            if oid != ED25519_OID {
                return None;
            }
            let (point, _) = mpi(rest)?;
            Material::Ed25519(point.strip_prefix(&[0x40])?.to_vec())
        }
        ED25519_NEW => Material::Ed25519(rest.get(..32)?.to_vec()),
        _ => return None,
    };
    let mut hashed = vec![0x99];
    hashed.extend(u16::try_from(body.len()).ok()?.to_be_bytes());
    hashed.extend(body);
    let fingerprint = ring::digest::digest(&SHA1_FOR_LEGACY_USE_ONLY, &hashed);
    let id = fingerprint.as_ref().get(12..20)?.try_into().ok()?;
    Some(Key { id, material })
}

fn signature(body: &[u8]) -> Option<Signature<'_>> {
    let (head, rest) = body.split_at_checked(6)?;
    let [4, kind, key_algorithm, hash, high, low] = *head else {
        return None;
    };
    let hashed_length = usize::from(high) << 8 | usize::from(low);
    let (hashed_part, rest) = rest.split_at_checked(hashed_length)?;
    let hashed = body.get(..6 + hashed_length)?;
    let (length, rest) = rest.split_at_checked(2)?;
    let (unhashed, rest) = rest.split_at_checked(number(length))?;
    let (_left, raw) = rest.split_at_checked(2)?;
    let mut signature = Signature {
        kind,
        key_algorithm,
        hash,
        hashed,
        issuer: None,
        created: 0,
        valid_for: 0,
        numbers: Vec::new(),
        raw,
    };
    for (part, trusted) in [(hashed_part, true), (unhashed, false)] {
        subpackets(part, trusted, &mut signature)?;
    }
    if key_algorithm != ED25519_NEW {
        let mut rest = raw;
        while !rest.is_empty() {
            let (value, next) = mpi(rest)?;
            signature.numbers.push(value.to_vec());
            rest = next;
        }
    }
    Some(signature)
}

fn subpackets(mut bytes: &[u8], trusted: bool, signature: &mut Signature<'_>) -> Option<()> {
    while !bytes.is_empty() {
        let (length, rest) = new_length(bytes)?;
        let (packet, rest) = rest.split_at_checked(length)?;
        let (kind, value) = packet.split_first()?;
        match (kind & 0x7f, trusted) {
            (2, true) => signature.created = number(value) as u64,
            (3, true) => signature.valid_for = number(value) as u64,
            (16, _) => signature.issuer = value.try_into().ok(),
            (33, _) if value.len() == 21 => {
                signature.issuer = value.get(13..21)?.try_into().ok();
            }
            // A critical one that is not known makes the signature invalid.
            (2 | 3 | 20 | 26 | 27 | 28 | 30 | 33 | 35, _) => {}
            _ if kind & 0x80 != 0 => return None,
            _ => {}
        }
        bytes = rest;
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn damaged_data_never_panics() {
        let samples: [&[u8]; 6] = [
            &[0xff],
            &[0x99, 0xff, 0xff, 1],
            &[0xc2, 0xff, 0xff, 0xff, 0xff, 0xff],
            &[0xc2, 10, 4, 0, 1, 8, 0xff, 0xff, 0, 0, 0, 0],
            b"-----BEGIN PGP SIGNATURE-----\n\n====\n-----END",
            &[],
        ];
        let keyring = Keyring::default();
        for sample in samples {
            assert!(keyring.verify_detached(b"x", sample, "x").is_err());
            assert!(keyring.verify_clear_signed(sample, "x").is_err());
        }
    }
}
