//! Names and MAC addresses: random ones, checked ones.

use std::fs::File;
use std::io::Read;

use crate::error::{Error, Result};

/// The longest interface name.
pub const NAME_MAX: usize = 15;

/// Why `name` cannot be an interface's name, or `None` if it can (dev_valid_name in the kernel).
pub fn name_problem(name: &str) -> Option<&'static str> {
    if name.is_empty() {
        Some("is empty")
    } else if name.len() > NAME_MAX {
        Some("is longer than 15 bytes")
    } else if name == "." || name == ".." {
        Some("is a directory name")
    } else if name
        .bytes()
        .any(|b| b == b'/' || b == b':' || b.is_ascii_whitespace() || b == 0)
    {
        Some("contains '/', ':' or a blank")
    } else {
        None
    }
}

/// A MAC address from text: six hexadecimal bytes, each of one digit and a colon or of two digits
/// with or without one.
///
/// # Errors
/// A sentence saying what is wrong.
pub fn parse_mac(text: &str) -> Result<[u8; 6], String> {
    let malformed = || format!("\"{text}\" is not a MAC address (want six hex bytes, a:b:c:d:e:f)");
    let mut bytes = [0; 6];
    let mut rest = text;
    for (at, byte) in bytes.iter_mut().enumerate() {
        let digits = rest.bytes().take(2).take_while(u8::is_ascii_hexdigit);
        let (part, after) = rest.split_at(digits.count());
        *byte = u8::from_str_radix(part, 16).map_err(|_| malformed())?;
        rest = match after.strip_prefix(':') {
            _ if at == 5 => after,
            Some(after) => after,
            None if part.len() == 2 => after,
            None => return Err(malformed()),
        };
    }
    match rest {
        "" => {}
        more if more.starts_with(':') => return Err(format!("\"{text}\" has more than six bytes")),
        _ => return Err(malformed()),
    }
    if bytes[0] & 1 == 1 {
        return Err(format!(
            "{text} is a multicast address (the first byte must be even)"
        ));
    }
    if bytes == [0; 6] {
        return Err("the MAC address is all zeros".into());
    }
    Ok(bytes)
}

/// A MAC address as text, `aa:bb:cc:dd:ee:ff`.
pub fn format_mac(bytes: &[u8]) -> String {
    bytes
        .iter()
        .map(|b| format!("{b:02x}"))
        .collect::<Vec<_>>()
        .join(":")
}

/// A random MAC for the host's end of a pair: it begins with fe, so that a bridge, which takes
/// the lowest address of its ports, never changes its own because a container came or went.
pub(crate) fn random_host_mac() -> Result<[u8; 6]> {
    let mut mac = random::<6>()?;
    mac[0] = 0xfe;
    Ok(mac)
}

/// `prefix` and random letters and digits.
pub(crate) fn random_name(prefix: &str, letters: usize) -> Result<String> {
    const ALPHABET: &[u8; 32] = b"abcdefghijkmnopqrstuvwxyzABCDEFG";
    let random = random::<16>()?;
    let tail = random
        .iter()
        .take(letters)
        .map(|b| char::from(ALPHABET[usize::from(b % 32)]));
    Ok(prefix.chars().chain(tail).collect())
}

fn random<const N: usize>() -> Result<[u8; N]> {
    let mut bytes = [0; N];
    let path = "/dev/urandom";
    File::open(path)
        .and_then(|mut f| f.read_exact(&mut bytes))
        .map_err(|source| Error::File {
            op: "read",
            path: path.into(),
            source,
        })?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mac_addresses_are_checked_with_a_reason() {
        assert_eq!(parse_mac("00:16:3e:0:0:1"), Ok([0, 0x16, 0x3e, 0, 0, 1]));
        assert_eq!(parse_mac("00163E00000a"), Ok([0, 0x16, 0x3e, 0, 0, 10]));
        for (bad, word) in [
            ("01:00:5e:00:00:01", "multicast"),
            ("00:00:00:00:00:00", "zeros"),
            ("00:16:3e", "not a MAC"),
            ("00:16:3e:zz:00:01", "not a MAC"),
            ("00:16:3e:00:00:01:02", "more than six"),
            ("+0:16:3e:00:00:01", "not a MAC"),
            ("00:16:3e:00:00:01:", "more than six"),
            ("00163e0000011", "not a MAC"),
            ("00:16:3e:00:00:é", "not a MAC"),
            ("", "not a MAC"),
        ] {
            let error = parse_mac(bad).unwrap_err();
            assert!(error.contains(word), "{bad}: {error}");
        }
    }

    #[test]
    fn interface_names_follow_the_kernels_rule() {
        assert_eq!(name_problem("eth0"), None);
        for bad in ["", ".", "..", "a/b", "a:b", "a b", "1234567890123456"] {
            assert!(name_problem(bad).is_some(), "{bad}");
        }
    }
}
