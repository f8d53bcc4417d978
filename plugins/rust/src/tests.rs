use crate::cbor::{Decoder, Encoder};
use crate::time::Time;
use crate::{sql, Field, Value};

/// The same file is read by a test in Go, with the parser of the host.
#[test]
fn parameters_are_those_that_the_host_finds() {
    for line in include_str!("../../testdata/parameters.txt").lines().filter(|l| !l.starts_with('#')) {
        let (text, names) = line.rsplit_once("=>").unwrap();
        let found = sql::parameters(&text.replace("\\n", "\n"));
        assert_eq!(found.join(" "), names.trim(), "{}", text);
    }
}

#[test]
fn times_keep_their_microseconds() {
    let f = |text: &str, micros: i64, back: &str| {
        let time = Time::parse(text).unwrap_or_else(|| panic!("{} is a time", text));
        assert_eq!(time.micros, micros, "{}", text);
        assert_eq!(time.to_string(), back);
    };
    f("1970-01-01T00:00:00Z", 0, "1970-01-01T00:00:00.000000Z");
    f("1969-12-31T23:59:59.999999Z", -1, "1969-12-31T23:59:59.999999Z");
    f("2026-01-31T10:30:00.5+01:00", 1_769_851_800_500_000, "2026-01-31T09:30:00.500000Z");
    f("2026-01-31 09:30:00.1234567", 1_769_851_800_123_456, "2026-01-31T09:30:00.123456Z");
    f("2000-02-29", 951_782_400_000_000, "2000-02-29T00:00:00.000000Z");
    f("0001-01-01T00:00:00-23:59", -62_135_510_460_000_000, "0001-01-01T23:59:00.000000Z");
    f("9999-12-31T23:59:59.999999z", 253_402_300_799_999_999, "9999-12-31T23:59:59.999999Z");
    for wrong in [
        "", "2026", "2026-13-01", "2026-02-29", "2026-00-01", "2026-01-01T24:00:00Z", "2026-01-01T00:60:00Z", "2026-01-01T00:00:00.Z",
        "2026-01-01T00:00:00+1:00", "2026-01-01T00:00:00Zx", "infinity", "2026-01-01x", "2026-01-01T00:00",
    ] {
        assert_eq!(Time::parse(wrong), None, "{}", wrong);
    }
}

/// Every half, and what is beside each, comes back as it was, in its shortest form.
#[test]
fn floats_come_back() {
    for bits in 0..=u16::MAX {
        if bits & 0x7c00 == 0x7c00 {
            continue; // not finite
        }
        let data = [0xf9, (bits >> 8) as u8, bits as u8];
        let f = Decoder::new(&data).float().unwrap();
        let mut e = Encoder::new();
        e.float(f);
        assert_eq!(e.into_bytes(), data);
        for near in [f64::from_bits(f.to_bits() ^ 1), f64::from(f32::from_bits((f as f32).to_bits() ^ 1))] {
            let mut e = Encoder::new();
            e.float(near);
            let bytes = e.into_bytes();
            assert!(bytes.len() > 3, "{} in {:?}", near, bytes);
            assert_eq!(Decoder::new(&bytes).float().unwrap().to_bits(), near.to_bits());
        }
    }
}

#[test]
fn values_come_back_in_order() {
    let v = Value::map([("bb", Value::Null), ("a", (-1).into()), ("ü", Value::Int(u64::MAX.into())), ("b", Value::Int(-1 - i128::from(u64::MAX)))]);
    let mut e = Encoder::new();
    v.write(&mut e);
    let bytes = e.into_bytes();
    match Decoder::new(&bytes).value().unwrap() {
        Value::Map(pairs) => assert_eq!(pairs.iter().map(|p| p.0.as_str()).collect::<Vec<_>>(), ["a", "b", "bb", "ü"]),
        other => panic!("{:?}", other),
    }
}
