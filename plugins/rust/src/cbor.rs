use crate::error::{contract, Error, Result};
use crate::value::Value;

const UINT: u8 = 0;
const NEGINT: u8 = 1;
const BYTES: u8 = 2;
const TEXT: u8 = 3;
const ARRAY: u8 = 4;
const MAP: u8 = 5;

const FALSE: u8 = 0xf4;
const TRUE: u8 = 0xf5;
const NULL: u8 = 0xf6;
const F16: u8 = 0xf9;
const F32: u8 = 0xfa;
const F64: u8 = 0xfb;

/// How deep arrays and maps may nest.
pub(crate) const MAX_DEPTH: usize = 32;

/// Writes core deterministic CBOR. The caller gives the number of items of arrays
/// and maps, and keys of maps in order: shorter ones first, then bytewise. [`Value`]
/// and records see to that themselves.
pub struct Encoder {
    bytes: Vec<u8>,
    maps: bool,
}

impl Default for Encoder {
    fn default() -> Encoder {
        Encoder::new()
    }
}

impl Encoder {
    /// An encoder for a result, in which a record is a map.
    pub fn new() -> Encoder {
        Encoder { bytes: Vec::new(), maps: true }
    }

    /// An encoder for arguments, in which a record is an array.
    pub fn for_arguments() -> Encoder {
        Encoder { bytes: Vec::new(), maps: false }
    }

    /// What was written.
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    /// Whether records are maps.
    pub(crate) fn maps(&self) -> bool {
        self.maps
    }

    fn head(&mut self, major: u8, n: u64) -> &mut Encoder {
        let major = major << 5;
        match n {
            0..=23 => self.bytes.push(major | n as u8),
            24..=0xff => self.bytes.extend_from_slice(&[major | 24, n as u8]),
            0x100..=0xffff => {
                self.bytes.push(major | 25);
                self.bytes.extend_from_slice(&(n as u16).to_be_bytes());
            }
            0x1_0000..=0xffff_ffff => {
                self.bytes.push(major | 26);
                self.bytes.extend_from_slice(&(n as u32).to_be_bytes());
            }
            _ => {
                self.bytes.push(major | 27);
                self.bytes.extend_from_slice(&n.to_be_bytes());
            }
        }
        self
    }

    /// Writes null.
    pub fn null(&mut self) -> &mut Encoder {
        self.bytes.push(NULL);
        self
    }

    /// Writes a boolean.
    pub fn bool(&mut self, b: bool) -> &mut Encoder {
        self.bytes.push(if b { TRUE } else { FALSE });
        self
    }

    /// Writes an integer.
    pub fn int(&mut self, n: i64) -> &mut Encoder {
        if n < 0 {
            self.head(NEGINT, !(n as u64))
        } else {
            self.head(UINT, n as u64)
        }
    }

    /// Writes an integer.
    pub fn uint(&mut self, n: u64) -> &mut Encoder {
        self.head(UINT, n)
    }

    /// Writes -1 - n.
    pub(crate) fn negative(&mut self, n: u64) -> &mut Encoder {
        self.head(NEGINT, n)
    }

    /// Writes a number in the shortest form that keeps it exactly; one that is not
    /// finite is the text NaN, Infinity or -Infinity.
    pub fn float(&mut self, f: f64) -> &mut Encoder {
        if f.is_nan() {
            return self.text("NaN");
        }
        if f.is_infinite() {
            return self.text(if f > 0.0 { "Infinity" } else { "-Infinity" });
        }
        let single = f as f32;
        if f64::from(single).to_bits() != f.to_bits() {
            self.bytes.push(F64);
            self.bytes.extend_from_slice(&f.to_bits().to_be_bytes());
        } else if let Some(half) = half_of(single) {
            self.bytes.push(F16);
            self.bytes.extend_from_slice(&half.to_be_bytes());
        } else {
            self.bytes.push(F32);
            self.bytes.extend_from_slice(&single.to_bits().to_be_bytes());
        }
        self
    }

    /// Writes a text.
    pub fn text(&mut self, s: &str) -> &mut Encoder {
        self.head(TEXT, s.len() as u64);
        self.bytes.extend_from_slice(s.as_bytes());
        self
    }

    /// Writes a byte string.
    pub fn bytes(&mut self, b: &[u8]) -> &mut Encoder {
        self.head(BYTES, b.len() as u64);
        self.bytes.extend_from_slice(b);
        self
    }

    /// Begins an array; n items must follow.
    pub fn array(&mut self, n: usize) -> &mut Encoder {
        self.head(ARRAY, n as u64)
    }

    /// Begins a map; n pairs of a text and an item must follow.
    pub fn map(&mut self, n: usize) -> &mut Encoder {
        self.head(MAP, n as u64)
    }
}

/// The order of keys in deterministic CBOR.
pub(crate) fn key_order(a: &str, b: &str) -> std::cmp::Ordering {
    a.len().cmp(&b.len()).then_with(|| a.as_bytes().cmp(b.as_bytes()))
}

/// The 16 bits of a number that they hold exactly.
fn half_of(f: f32) -> Option<u16> {
    let bits = f.to_bits();
    let sign = (bits >> 16) as u16 & 0x8000;
    let exponent = (bits >> 23 & 0xff) as i32 - 127;
    let fraction = bits & 0x7f_ffff;
    if bits << 1 == 0 {
        return Some(sign);
    }
    match exponent {
        -14..=15 if fraction & 0x1fff == 0 => Some(sign | ((exponent + 15) as u16) << 10 | (fraction >> 13) as u16),
        -24..=-15 => {
            // Subnormal: the whole fraction shifts to the right.
            let whole = fraction | 0x80_0000;
            let shift = (-1 - exponent) as u32; // 14..=23
            (whole & ((1 << shift) - 1) == 0).then(|| sign | (whole >> shift) as u16)
        }
        _ => None,
    }
}

fn half_to_f64(bits: u16) -> f64 {
    let exponent = bits >> 10 & 31;
    let fraction = f64::from(bits & 1023);
    let size = match exponent {
        0 => fraction * f64::from_bits(0x3e70_0000_0000_0000), // 2^-24
        31 if fraction == 0.0 => f64::INFINITY,
        31 => f64::NAN,
        e => f64::from_bits(u64::from(e + 1008) << 52) * (1.0 + fraction / 1024.0),
    };
    if bits & 0x8000 != 0 {
        -size
    } else {
        size
    }
}

/// Reads CBOR as the contract has it: definite lengths, no tags, only finite
/// numbers, texts as keys and none twice, valid UTF-8, at most 32 levels.
#[derive(Clone)]
pub struct Decoder<'a> {
    data: &'a [u8],
    at: usize,
}

impl<'a> Decoder<'a> {
    /// A decoder of data.
    pub fn new(data: &'a [u8]) -> Decoder<'a> {
        Decoder { data, at: 0 }
    }

    /// Bytes read so far.
    pub fn offset(&self) -> usize {
        self.at
    }

    pub(crate) fn seek(&mut self, at: usize) {
        self.at = at;
    }

    /// Refuses what follows.
    pub fn done(&self) -> Result<()> {
        if self.at < self.data.len() {
            return Err(self.fault("bytes after the end"));
        }
        Ok(())
    }

    fn fault(&self, what: &str) -> Error {
        contract(format!("cbor at byte {}: {}", self.at, what))
    }

    fn peek(&self) -> Result<u8> {
        self.data.get(self.at).copied().ok_or_else(|| self.fault("cut short"))
    }

    fn take(&mut self, n: u64) -> Result<&'a [u8]> {
        let rest = &self.data[self.at..];
        if n > rest.len() as u64 {
            return Err(self.fault("cut short"));
        }
        self.at += n as usize;
        Ok(&rest[..n as usize])
    }

    /// The major type of the next item and the number behind it.
    fn head(&mut self) -> Result<(u8, u64)> {
        let first = self.peek()?;
        let low = first & 31;
        if low > 27 {
            return Err(self.fault("no definite length"));
        }
        self.at += 1;
        let n = match low {
            24 => u64::from(self.take(1)?[0]),
            25 => self.take(2)?.iter().fold(0, |n, b| n << 8 | u64::from(*b)),
            26 => self.take(4)?.iter().fold(0, |n, b| n << 8 | u64::from(*b)),
            27 => self.take(8)?.iter().fold(0, |n, b| n << 8 | u64::from(*b)),
            _ => u64::from(low),
        };
        Ok((first >> 5, n))
    }

    fn expect(&mut self, major: u8, what: &str) -> Result<u64> {
        let from = self.at;
        if self.peek()? >> 5 == major {
            return Ok(self.head()?.1);
        }
        Err(self.fault(&format!("want {}, found {}", what, found(self.data[from]))))
    }

    /// Reads null if it is next.
    pub fn null(&mut self) -> bool {
        let is = self.data.get(self.at) == Some(&NULL);
        if is {
            self.at += 1;
        }
        is
    }

    /// Reads a boolean.
    pub fn bool(&mut self) -> Result<bool> {
        match self.peek()? {
            b @ (FALSE | TRUE) => {
                self.at += 1;
                Ok(b == TRUE)
            }
            b => Err(self.fault(&format!("want a boolean, found {}", found(b)))),
        }
    }

    /// Reads an integer of 64 bits with a sign.
    pub fn int(&mut self) -> Result<i64> {
        let before = self.at;
        let n = self.wide()?;
        i64::try_from(n).map_err(|_| {
            self.at = before;
            self.fault("the integer does not fit 64 bits with a sign")
        })
    }

    /// Reads an integer of 64 bits without a sign.
    pub fn uint(&mut self) -> Result<u64> {
        let before = self.at;
        let n = self.wide()?;
        u64::try_from(n).map_err(|_| {
            self.at = before;
            self.fault("the integer is negative")
        })
    }

    /// Reads any integer.
    pub(crate) fn wide(&mut self) -> Result<i128> {
        if self.peek()? >> 5 == NEGINT {
            return Ok(-1 - i128::from(self.head()?.1));
        }
        Ok(i128::from(self.expect(UINT, "an integer")?))
    }

    /// Reads a number: a float, an integer that a float may hold, or the text of what
    /// is not finite.
    pub fn float(&mut self) -> Result<f64> {
        let first = self.peek()?;
        match first {
            F16 | F32 | F64 => {
                let from = self.at;
                let (_, bits) = self.head()?;
                let f = match first {
                    F16 => half_to_f64(bits as u16),
                    F32 => f64::from(f32::from_bits(bits as u32)),
                    _ => f64::from_bits(bits),
                };
                if !f.is_finite() {
                    self.at = from;
                    return Err(self.fault("a number that is not finite"));
                }
                return Ok(f);
            }
            _ => {}
        }
        match first >> 5 {
            UINT | NEGINT => Ok(self.wide()? as f64),
            TEXT => {
                let from = self.at;
                match self.text()? {
                    "NaN" => Ok(f64::NAN),
                    "Infinity" => Ok(f64::INFINITY),
                    "-Infinity" => Ok(f64::NEG_INFINITY),
                    _ => {
                        self.at = from;
                        Err(self.fault("want a number, found a text: numeric columns are exact text, take Decimal or cast to float8"))
                    }
                }
            }
            _ => Err(self.fault(&format!("want a number, found {}", found(first)))),
        }
    }

    /// Reads a text.
    pub fn text(&mut self) -> Result<&'a str> {
        let n = self.expect(TEXT, "a text")?;
        let raw = self.take(n)?;
        std::str::from_utf8(raw).map_err(|_| self.fault("a text that is not UTF-8"))
    }

    /// Reads a byte string.
    pub fn bytes(&mut self) -> Result<&'a [u8]> {
        let n = self.expect(BYTES, "a byte string")?;
        self.take(n)
    }

    /// Reads the head of an array; that many items follow.
    pub fn array(&mut self) -> Result<usize> {
        let n = self.expect(ARRAY, "an array")?;
        self.count(n, 1)
    }

    /// Reads the head of a map; that many pairs follow.
    pub fn map(&mut self) -> Result<usize> {
        let n = self.expect(MAP, "a map")?;
        self.count(n, 2)
    }

    /// Refuses counts that no data could hold, before anybody makes room for them.
    fn count(&self, n: u64, each: u64) -> Result<usize> {
        let rest = (self.data.len() - self.at) as u64;
        if n > rest / each {
            return Err(self.fault("cut short"));
        }
        Ok(n as usize)
    }

    /// Passes one item and checks it.
    pub fn skip(&mut self) -> Result<()> {
        self.value().map(drop)
    }

    /// Reads any item of an input or a row, which is one level already.
    pub fn value(&mut self) -> Result<Value> {
        self.nested(1)
    }

    fn nested(&mut self, depth: usize) -> Result<Value> {
        let first = self.peek()?;
        match first >> 5 {
            UINT | NEGINT => Ok(Value::Int(self.wide()?)),
            BYTES => Ok(Value::Bytes(self.bytes()?.to_vec())),
            TEXT => Ok(Value::Text(self.text()?.to_string())),
            ARRAY | MAP if depth == MAX_DEPTH => Err(self.fault("nested too deeply")),
            ARRAY => {
                let n = self.array()?;
                let mut items = Vec::with_capacity(n);
                for _ in 0..n {
                    items.push(self.nested(depth + 1)?);
                }
                Ok(Value::Array(items))
            }
            MAP => self.pairs(depth),
            _ => match first {
                FALSE | TRUE => Ok(Value::Bool(self.bool()?)),
                F16 | F32 | F64 => Ok(Value::Float(self.float()?)),
                NULL => {
                    self.at += 1;
                    Ok(Value::Null)
                }
                _ => Err(self.fault(&format!("found {}", found(first)))),
            },
        }
    }

    fn pairs(&mut self, depth: usize) -> Result<Value> {
        let n = self.map()?;
        let mut pairs: Vec<(String, Value)> = Vec::with_capacity(n);
        for _ in 0..n {
            let key = self.text()?.to_string();
            pairs.push((key, self.nested(depth + 1)?));
        }
        pairs.sort_by(|a, b| key_order(&a.0, &b.0));
        if pairs.windows(2).any(|w| w[0].0 == w[1].0) {
            return Err(self.fault("a key that is there twice"));
        }
        Ok(Value::Map(pairs))
    }
}

fn found(first: u8) -> &'static str {
    match (first >> 5, first) {
        (UINT | NEGINT, _) => "an integer",
        (BYTES, _) => "a byte string",
        (TEXT, _) => "a text",
        (ARRAY, _) => "an array",
        (MAP, _) => "a map",
        (_, FALSE | TRUE) => "a boolean",
        (_, NULL) => "null",
        (_, F16 | F32 | F64) => "a float",
        _ => "a tag or an unknown simple value",
    }
}
