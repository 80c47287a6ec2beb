//! Random digits for the `x` places of a hardware address.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};

/// Replaces each `x` or `X` by a random hex digit; the second character becomes even, so that the
/// address is a unicast one.
pub fn fill_text(address: &str) -> String {
    String::from_utf8_lossy(&fill(address.as_bytes())).into_owned()
}

/// As [`fill_text`], byte by byte.
pub(crate) fn fill(address: &[u8]) -> Vec<u8> {
    // The standard hasher's random keys are enough: the digits need to differ, not to be secret.
    let mut random = RandomState::new().build_hasher().finish();
    let mut left = 16;
    address
        .iter()
        .enumerate()
        .map(|(at, byte)| {
            if !matches!(byte, b'x' | b'X') {
                return *byte;
            }
            if left == 0 {
                (random, left) = (RandomState::new().build_hasher().finish(), 16);
            }
            let digit = (random & 0xF) as usize;
            random >>= 4;
            left -= 1;
            let digit = if at == 1 { digit & 0xE } else { digit };
            b"0123456789abcdef"[digit]
        })
        .collect()
}

/// Whether LXC fills the address of this key when it reads a line of a file.
pub(crate) fn is_key(key: &str) -> bool {
    // Asked for every line: most keys are told by their fifth byte.
    if key.as_bytes().get(4) != Some(&b'n') {
        return false;
    }
    let Some(rest) = key
        .strip_prefix("lxc.net.")
        .or_else(|| key.strip_prefix("lxc.network."))
    else {
        return false;
    };
    if rest.starts_with("hwaddr") {
        return true;
    }
    // LXC reads the index by scanf(3): after blanks, with a sign.
    let rest = rest.trim_start_matches(|c: char| u8::try_from(c).is_ok_and(crate::line::is_space));
    let rest = rest.strip_prefix(['-', '+']).unwrap_or(rest);
    let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
    digits > 0 && &rest[digits..] == ".hwaddr"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filled_addresses_are_unicast_and_differ() {
        let a = fill_text("xx:xx:xx:XX:XX:xx");
        assert!(a.bytes().all(|b| b == b':' || b.is_ascii_hexdigit()), "{a}");
        assert!(b"02468ace".contains(&a.as_bytes()[1]), "{a}");
        assert_ne!(a, fill_text("xx:xx:xx:XX:XX:xx"));
        assert_eq!(fill_text("00:16:3e:01:02:03"), "00:16:3e:01:02:03");
    }

    #[test]
    fn only_hwaddr_keys_are_filled() {
        assert!(is_key("lxc.net.12.hwaddr") && is_key("lxc.network.hwaddr"));
        assert!(!is_key("lxc.net.1.link") && !is_key("lxc.net.x.hwaddr"));
    }
}
