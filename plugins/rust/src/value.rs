use crate::cbor::{key_order, Decoder, Encoder};
use crate::error::Result;
use crate::field::Field;
use crate::schema::Schema;

/// Any value, for arguments and results without a type of their own.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// null
    Null,
    /// true or false
    Bool(bool),
    /// an integer from -2^64 to 2^64-1
    Int(i128),
    /// a number
    Float(f64),
    /// a text
    Text(String),
    /// bytes
    Bytes(Vec<u8>),
    /// a list
    Array(Vec<Value>),
    /// pairs of a key and a value, in any order; no key twice
    Map(Vec<(String, Value)>),
}

const TOO_LARGE: &str = "an integer that 64 bits do not hold";

impl Value {
    /// A map of these pairs.
    pub fn map<const N: usize>(pairs: [(&str, Value); N]) -> Value {
        Value::Map(pairs.into_iter().map(|(k, v)| (k.to_string(), v)).collect())
    }

    /// The value of a key of a map.
    pub fn get(&self, key: &str) -> Option<&Value> {
        match self {
            Value::Map(pairs) => pairs.iter().find(|(k, _)| k == key).map(|(_, v)| v),
            _ => None,
        }
    }
}

impl Field for Value {
    fn schema() -> Schema {
        Schema::default()
    }

    fn read(d: &mut Decoder) -> Result<Value> {
        d.value()
    }

    fn write(&self, e: &mut Encoder) {
        match self {
            Value::Null => e.null(),
            Value::Bool(b) => e.bool(*b),
            Value::Int(n) if *n < 0 => e.negative(u64::try_from(-1 - *n).expect(TOO_LARGE)),
            Value::Int(n) => e.uint(u64::try_from(*n).expect(TOO_LARGE)),
            Value::Float(f) => e.float(*f),
            Value::Text(s) => e.text(s),
            Value::Bytes(b) => e.bytes(b),
            Value::Array(items) => {
                e.array(items.len());
                items.iter().for_each(|v| v.write(e));
                e
            }
            Value::Map(pairs) => {
                let mut sorted: Vec<&(String, Value)> = pairs.iter().collect();
                sorted.sort_by(|a, b| key_order(&a.0, &b.0));
                e.map(sorted.len());
                for (key, v) in sorted {
                    e.text(key);
                    v.write(e);
                }
                e
            }
        };
    }
}

macro_rules! from {
    ($($type:ty => |$v:ident| $value:expr;)*) => {
        $(impl From<$type> for Value {
            fn from($v: $type) -> Value { $value }
        })*
    };
}

from! {
    bool => |v| Value::Bool(v);
    i32 => |v| Value::Int(v.into());
    u32 => |v| Value::Int(v.into());
    i64 => |v| Value::Int(v.into());
    u64 => |v| Value::Int(v.into());
    f64 => |v| Value::Float(v);
    &str => |v| Value::Text(v.to_string());
    String => |v| Value::Text(v);
    Vec<Value> => |v| Value::Array(v);
}
