use std::fmt;

use crate::cbor::{Decoder, Encoder};
use crate::error::{contract, cut, Result};
use crate::field::Field;
use crate::schema::Schema;

/// A moment in microseconds since 1970, UTC: timestamptz in SQL, RFC 3339 in JSON.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Time {
    /// microseconds since 1970
    pub micros: i64,
}

const SECOND: i64 = 1_000_000;
const DAY: i64 = 86_400 * SECOND;

impl Time {
    /// The moment of that many microseconds since 1970.
    pub fn from_micros(micros: i64) -> Time {
        Time { micros }
    }

    /// The moment that many seconds later.
    pub fn plus_seconds(self, seconds: i64) -> Time {
        Time { micros: self.micros.saturating_add(seconds.saturating_mul(SECOND)) }
    }

    /// Reads RFC 3339; without a zone it is UTC, and a day alone is its midnight.
    pub fn parse(text: &str) -> Option<Time> {
        let b = text.as_bytes();
        let (year, rest) = number(b, 4)?;
        let (month, rest) = number(skip(rest, b"-")?, 2)?;
        let (day, rest) = number(skip(rest, b"-")?, 2)?;
        if !(1..=12).contains(&month) || !(1..=days_in(year, month)).contains(&day) {
            return None;
        }
        let midnight = days_from_civil(year, month, day) * DAY;
        if rest.is_empty() {
            return Some(Time { micros: midnight });
        }
        let (hour, rest) = number(skip(rest, b"Tt ")?, 2)?;
        let (minute, rest) = number(skip(rest, b":")?, 2)?;
        let (second, rest) = number(skip(rest, b":")?, 2)?;
        if hour > 23 || minute > 59 || second > 59 {
            return None;
        }
        let (part, rest) = fraction(rest)?;
        let clock = (hour * 3600 + minute * 60 + second) * SECOND + part;
        Some(Time { micros: midnight + clock - offset(rest)? })
    }
}

fn number(b: &[u8], digits: usize) -> Option<(i64, &[u8])> {
    if b.len() < digits || !b[..digits].iter().all(u8::is_ascii_digit) {
        return None;
    }
    Some((b[..digits].iter().fold(0, |n, d| n * 10 + i64::from(d - b'0')), &b[digits..]))
}

fn skip<'a>(b: &'a [u8], any: &[u8]) -> Option<&'a [u8]> {
    match b.first() {
        Some(c) if any.contains(c) => Some(&b[1..]),
        _ => None,
    }
}

/// Microseconds of ".123"; further digits are cut.
fn fraction(b: &[u8]) -> Option<(i64, &[u8])> {
    if b.first() != Some(&b'.') {
        return Some((0, b));
    }
    let n = b[1..].iter().take_while(|c| c.is_ascii_digit()).count();
    if n == 0 {
        return None;
    }
    let micros = (0..6).fold(0, |sum, i| sum * 10 + if i < n { i64::from(b[1 + i] - b'0') } else { 0 });
    Some((micros, &b[1 + n..]))
}

/// Microseconds of a zone: Z, +01:00, or none.
fn offset(b: &[u8]) -> Option<i64> {
    let sign = match b.first() {
        None => return Some(0),
        Some(b'Z' | b'z') if b.len() == 1 => return Some(0),
        Some(b'+') => 1,
        Some(b'-') => -1,
        _ => return None,
    };
    let (hours, rest) = number(&b[1..], 2)?;
    let (minutes, rest) = number(skip(rest, b":")?, 2)?;
    if !rest.is_empty() || hours > 23 || minutes > 59 {
        return None;
    }
    Some(sign * (hours * 60 + minutes) * 60 * SECOND)
}

fn leap(year: i64) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

fn days_in(year: i64, month: i64) -> i64 {
    match month {
        2 if leap(year) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days from 1970-01-01. A year begins in March here, so that the leap day is its
/// last; 400 of them have always 146097 days.
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let of_era = year.rem_euclid(400);
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let of_era = days.rem_euclid(146_097);
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (year + era * 400 + i64::from(month <= 2), month, day)
}

/// RFC 3339 in UTC with microseconds, as the host writes it.
impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (year, month, day) = civil_from_days(self.micros.div_euclid(DAY));
        let clock = self.micros.rem_euclid(DAY);
        let (hour, minute, second) = (clock / SECOND / 3600, clock / SECOND / 60 % 60, clock / SECOND % 60);
        write!(f, "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:06}Z", year, month, day, hour, minute, second, clock % SECOND)
    }
}

impl Field for Time {
    fn schema() -> Schema {
        Schema::of("string", "date-time")
    }
    fn read(d: &mut Decoder) -> Result<Time> {
        let text = d.text()?;
        Time::parse(text).ok_or_else(|| contract(format!("is not a time: {}", cut(text, 40))))
    }
    fn write(&self, e: &mut Encoder) {
        e.text(&self.to_string());
    }
}
