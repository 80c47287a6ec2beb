//! The value grammars that several keys share. Each parser takes the whole value.

use nom::IResult;
use nom::Parser;
use nom::branch::alt;
use nom::bytes::complete::{tag, take_while};
use nom::character::complete::{digit1, hex_digit1, multispace0, one_of};
use nom::combinator::{all_consuming, map, map_opt, opt, recognize};
use nom::sequence::preceded;

use crate::config::{IdKind, IdMap};
use crate::error::ValueError;

type Result<T> = std::result::Result<T, ValueError>;

/// The C number forms of strtol with base 0: `0x10`, `010`, `16`, without sign.
fn magnitude(input: &str) -> IResult<&str, u64> {
    alt((
        map_opt(
            preceded(alt((tag("0x"), tag("0X"))), hex_digit1),
            |digits| u64::from_str_radix(digits, 16).ok(),
        ),
        map_opt(digit1, |digits: &str| match digits.strip_prefix('0') {
            Some(octal) if !octal.is_empty() => u64::from_str_radix(octal, 8).ok(),
            _ => digits.parse().ok(),
        }),
    ))
    .parse(input)
}

/// What nearly all numbers are: up to nine decimal digits, which need no grammar.
fn plain(value: &str) -> Option<u32> {
    let digits = value.as_bytes();
    if digits.is_empty() || digits.len() > 9 || digits[0] == b'0' && digits.len() > 1 {
        return None;
    }
    digits.iter().try_fold(0, |number, byte| {
        let digit = byte.wrapping_sub(b'0');
        (digit < 10).then(|| number * 10 + u32::from(digit))
    })
}

/// An unsigned number of at most 32 bits: leading blanks and `+` allowed, base 0, nothing after it.
///
/// # Errors
/// Anything else.
pub(crate) fn uint(value: &str) -> Result<u32> {
    if let Some(number) = plain(value) {
        return Ok(number);
    }
    uint64(value)
        .ok()
        .and_then(|n| u32::try_from(n).ok())
        .ok_or_else(|| ValueError::expected("a number from 0 to 4294967295"))
}

/// A number as LXC reads one in a configuration: base 0 (`0x10`, `010`), leading blanks and `+` allowed,
/// nothing after it; `None` for anything else, or what does not fit 32 bits.
pub fn number(value: &str) -> Option<u32> {
    uint(value).ok()
}

/// [`uint`] of up to 64 bits.
pub(crate) fn uint64(value: &str) -> Result<u64> {
    all_consuming(preceded((multispace0, opt(tag("+"))), magnitude))
        .parse(value)
        .map(|(_, n)| n)
        .map_err(|_: nom::Err<nom::error::Error<&str>>| ValueError::expected("a number"))
}

/// A signed number of at most 32 bits, base 0.
pub(crate) fn int(value: &str) -> Result<i32> {
    if let Some(number) = plain(value) {
        return Ok(number.cast_signed());
    }
    let parsed: IResult<&str, (Option<char>, u64)> =
        all_consuming(preceded(multispace0, (opt(one_of("+-")), magnitude))).parse(value);
    parsed
        .ok()
        .and_then(|(_, (sign, n))| {
            let n = i64::try_from(n).ok()?;
            i32::try_from(if sign == Some('-') { -n } else { n }).ok()
        })
        .ok_or_else(|| ValueError::expected("a number from -2147483648 to 2147483647"))
}

/// `0` or `1`, in any form of [`uint`].
pub(crate) fn bool01(value: &str) -> Result<bool> {
    match uint(value) {
        Ok(0) => Ok(false),
        Ok(1) => Ok(true),
        _ => Err(ValueError::expected("0 or 1")),
    }
}

/// A path in LXC's simplified form: repeated `/` and `/./` collapsed, no leading `./`, no trailing `/`.
/// `..` stays. A path of nothing but dots becomes `.`.
pub(crate) fn path(value: &str) -> Result<String> {
    if value.len() >= 4096 {
        return Err(
            ValueError::expected("a path shorter than 4096 bytes").errno(libc::ENAMETOOLONG)
        );
    }
    if value.is_empty() {
        return Ok(String::new());
    }
    let mut out = String::with_capacity(value.len());
    if value.starts_with('/') {
        out.push('/');
    }
    for part in value.split('/').filter(|p| !p.is_empty() && *p != ".") {
        if !out.is_empty() && !out.ends_with('/') {
            out.push('/');
        }
        out.push_str(part);
    }
    if out.is_empty() {
        out.push('.');
    }
    Ok(out)
}

/// A number of bytes with an optional KB, MB or GB. As in LXC a one-letter suffix changes nothing.
pub(crate) fn size(value: &str) -> Result<u64> {
    let wrong = || ValueError::expected("a number of bytes, optionally with KB, MB or GB");
    // The suffix is the last one or two letters; what is before it is read with base 0.
    let letters = value
        .chars()
        .rev()
        .take_while(char::is_ascii_alphabetic)
        .count()
        .min(2);
    let (number, suffix) = value.split_at(value.len() - letters);
    let factor: u64 = match suffix.to_ascii_lowercase().as_str() {
        "kb" => 1 << 10,
        "mb" => 1 << 20,
        "gb" => 1 << 30,
        one if one.len() < 2 => 1,
        _ => return Err(wrong().at(value, suffix)),
    };
    let number = if letters > 0 {
        number.trim_end()
    } else {
        number
    };
    // A signed number to strtoll: zero may have a minus.
    let unsigned = number.trim_start().strip_prefix('-');
    let unsigned = unsigned.filter(|digits| digits.starts_with('0') && uint64(digits) == Ok(0));
    let number = uint64(unsigned.unwrap_or(number)).map_err(|_| wrong())?;
    i64::try_from(number)
        .ok()
        .and_then(|n| n.unsigned_abs().checked_mul(factor))
        .ok_or_else(|| ValueError::expected("a size below 2^64 bytes").errno(libc::ERANGE))
}

/// A buffer size as LXC rounds it: at least one page, then up to a power of two; `auto` = 128 KiB.
pub(crate) fn buffer_size(value: &str) -> Result<u64> {
    const PAGE: u64 = 4096;
    if value == "auto" {
        return Ok(131_072);
    }
    size(value)?
        .max(PAGE)
        .checked_next_power_of_two()
        .ok_or_else(|| ValueError::expected("a size below 2^63 bytes").errno(libc::ERANGE))
}

/// `u|g NSID HOSTID RANGE`.
pub(crate) fn idmap(value: &str) -> Result<IdMap> {
    let mut words = value.split_ascii_whitespace();
    let mut next = |what: &str| {
        words.next().ok_or_else(|| {
            ValueError::new(format!(
                "expected \"u|g NSID HOSTID RANGE\": {what} is missing"
            ))
        })
    };
    let kind = next("the kind")?;
    let (nsid, hostid, range) = (next("NSID")?, next("HOSTID")?, next("RANGE")?);
    let number = |part: &str| uint(part).map_err(|e| e.at(value, part));
    let map = IdMap {
        kind: match kind {
            "u" => IdKind::Uid,
            "g" => IdKind::Gid,
            _ => return Err(ValueError::expected("u or g").at(value, kind)),
        },
        nsid: number(nsid)?,
        hostid: number(hostid)?,
        range: number(range)?,
    };
    match words.next() {
        Some(extra) => Err(ValueError::expected("nothing after RANGE").at(value, extra)),
        None => Ok(map),
    }
}

/// One limit: a base-10 number or `unlimited`; what is left over.
fn limit(input: &str) -> IResult<&str, Option<u64>> {
    let digits = (
        multispace0,
        opt(one_of("+-")),
        take_while(|c: char| c.is_ascii_digit()),
    );
    let number = map_opt(digits, |(_, sign, digits): (&str, Option<char>, &str)| {
        // Nothing is zero, as strtoull reads it; a sign alone is no number.
        let n = if digits.is_empty() && sign.is_none() {
            0
        } else {
            digits.parse::<u64>().ok()?
        };
        // -1 is the kernel's number for "no limit".
        let n = if sign == Some('-') {
            n.wrapping_neg()
        } else {
            n
        };
        Some((n != u64::MAX).then_some(n))
    });
    alt((map(tag("unlimited"), |_| None), number)).parse(input)
}

/// `SOFT[:HARD]`, `None` = unlimited; one value sets both.
pub(crate) fn prlimit(value: &str) -> Result<(Option<u64>, Option<u64>)> {
    let parsed: IResult<&str, _> = all_consuming((
        limit,
        multispace0,
        opt(preceded((tag(":"), multispace0), limit_or_end)),
        multispace0,
    ))
    .parse(value);
    let (_, (soft, _, hard, _)) =
        parsed.map_err(|_| ValueError::expected("SOFT[:HARD], each a number or \"unlimited\""))?;
    Ok((soft, hard.flatten().unwrap_or(soft)))
}

/// The hard limit; nothing after the colon means that there is none.
fn limit_or_end(input: &str) -> IResult<&str, Option<Option<u64>>> {
    if input.trim().is_empty() {
        return Ok((input, None));
    }
    map(limit, Some).parse(input)
}

/// An offset of `lxc.time.offset.*`, in the field that LXC keeps it in: the other one stays.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Offset {
    /// h, m, s
    Seconds(i64),
    /// ms, us, ns
    Nanoseconds(i64),
}

/// A number, and as in LXC at most two bytes after it: a unit of two letters, or one with a blank.
pub(crate) fn time_offset(value: &str) -> Result<Offset> {
    let wrong = || ValueError::expected("a whole number and a unit: h m s ms us ns");
    let parsed: IResult<&str, &str> =
        preceded(multispace0, recognize((opt(one_of("+-")), digit1))).parse(value);
    let (unit, number) = parsed.map_err(|_| wrong())?;
    if unit.len() > 2 {
        return Err(wrong());
    }
    let overflow = || ValueError::expected("an offset that fits 64 bits").errno(libc::EOVERFLOW);
    let number: i64 = number.parse().map_err(|_| overflow())?;
    let scaled = |factor| number.checked_mul(factor).ok_or_else(overflow);
    Ok(match unit.trim_matches([' ', '\t', '\n']) {
        "h" => Offset::Seconds(scaled(3600)?),
        "m" => Offset::Seconds(scaled(60)?),
        "s" => Offset::Seconds(number),
        "ms" => Offset::Nanoseconds(scaled(1_000_000)?),
        "us" => Offset::Nanoseconds(scaled(1_000)?),
        "ns" => Offset::Nanoseconds(number),
        _ => return Err(wrong()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_follow_strtoul_with_base_zero() {
        assert_eq!(uint("0x10"), Ok(16));
        assert_eq!(uint("010"), Ok(8));
        assert_eq!(uint("  +3"), Ok(3));
        assert_eq!(uint("0"), Ok(0));
        assert_eq!(uint("4294967295"), Ok(u32::MAX));
        for bad in ["", "-1", "4294967296", "3 ", "0x", "08", "x"] {
            assert!(uint(bad).is_err(), "{bad:?}");
        }
        assert_eq!((uint("999999999"), uint("1a")), (Ok(999_999_999), uint("")));
        assert_eq!(int("-3"), Ok(-3));
        assert_eq!(int("-2147483648"), Ok(i32::MIN));
    }

    #[test]
    fn paths_are_simplified() {
        for (from, to) in [
            ("/a//b/./c/", "/a/b/c"),
            ("./a/../b", "a/../b"),
            ("", ""),
            ("./", "."),
            ("/", "/"),
        ] {
            assert_eq!(path(from).as_deref(), Ok(to));
        }
    }

    #[test]
    fn sizes_ignore_one_letter_suffixes() {
        assert_eq!(size("1M"), Ok(1));
        assert_eq!(size("3 mB"), Ok(3 << 20));
        assert_eq!((size("-0"), size(" -0x0 MB")), (Ok(0), Ok(0)));
        assert!(size("-1").is_err() && size("- 0").is_err() && size("-+0").is_err());
        assert!(size("1XB").is_err());
        assert!(size("99999999999999GB").is_err());
        assert_eq!(buffer_size("3 MB"), Ok(4 << 20));
        assert_eq!(buffer_size("0"), Ok(4096));
    }

    #[test]
    fn limits_take_one_or_two_numbers() {
        assert_eq!(prlimit("1 : 2"), Ok((Some(1), Some(2))));
        assert_eq!(prlimit("unlimited:4 "), Ok((None, Some(4))));
        assert_eq!(prlimit(":3"), Ok((Some(0), Some(3))));
        assert_eq!(prlimit("3:"), Ok((Some(3), Some(3))));
        assert_eq!(prlimit("-1"), Ok((None, None)));
        assert!(prlimit("0x10").is_err() && prlimit("+").is_err());
        assert!(prlimit(" unlimited").is_err());
    }

    #[test]
    fn time_offsets_keep_seconds_and_nanoseconds_apart() {
        assert_eq!(time_offset("2h"), Ok(Offset::Seconds(7200)));
        assert_eq!(time_offset(" -3ms"), Ok(Offset::Nanoseconds(-3_000_000)));
        assert_eq!(time_offset("+5\tm"), Ok(Offset::Seconds(300)));
        for bad in ["3", "m", "5  m", "5 ms", "5M", "0x5m", "- 5s", "5.5s"] {
            assert!(time_offset(bad).is_err(), "{bad}");
        }
        assert_eq!(
            time_offset("9999999999999999h").unwrap_err().errno,
            libc::EOVERFLOW
        );
    }

    #[test]
    fn a_wrong_id_map_word_is_pointed_at() {
        assert_eq!(idmap("u 0 0x10 5").map(|m| m.hostid), Ok(16));
        assert_eq!(idmap("u 0 abc 5").unwrap_err().span, Some((4, 3)));
        assert!(idmap("b 0 1 1").is_err());
        assert!(idmap("u 0 1 1 1").is_err());
    }
}
