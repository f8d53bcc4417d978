use crate::cbor::{Decoder, Encoder};
use crate::error::{contract, Result};
use crate::field::Field;
use crate::schema::Schema;

impl Field for bool {
    fn schema() -> Schema {
        Schema::of("boolean", "")
    }
    fn read(d: &mut Decoder) -> Result<bool> {
        d.bool()
    }
    fn write(&self, e: &mut Encoder) {
        e.bool(*self);
    }
}

macro_rules! integers {
    ($($type:ty, $read:ident, $write:ident, $min:expr, $max:expr;)*) => {$(
        impl Field for $type {
            fn schema() -> Schema {
                Schema { min: $min, max: $max, ..Schema::of("integer", "") }
            }
            fn read(d: &mut Decoder) -> Result<$type> {
                let n = d.$read()?;
                <$type>::try_from(n).map_err(|_| contract(format!("{} does not fit {}", n, stringify!($type))))
            }
            fn write(&self, e: &mut Encoder) {
                e.$write((*self).into());
            }
        }
    )*};
}

// u8 is left out: a list of bytes is a byte string.
integers! {
    i8, int, int, Some(-128.0), Some(127.0);
    i16, int, int, Some(-32768.0), Some(32767.0);
    i32, int, int, Some(-2147483648.0), Some(2147483647.0);
    i64, int, int, None, None;
    u16, uint, uint, Some(0.0), Some(65535.0);
    u32, uint, uint, Some(0.0), Some(4294967295.0);
    u64, uint, uint, Some(0.0), None;
}

impl Field for f64 {
    fn schema() -> Schema {
        Schema::of("number", "")
    }
    fn read(d: &mut Decoder) -> Result<f64> {
        d.float()
    }
    fn write(&self, e: &mut Encoder) {
        e.float(*self);
    }
}

impl Field for f32 {
    fn schema() -> Schema {
        Schema::of("number", "")
    }
    fn read(d: &mut Decoder) -> Result<f32> {
        Ok(d.float()? as f32)
    }
    fn write(&self, e: &mut Encoder) {
        e.float(f64::from(*self));
    }
}

impl Field for String {
    fn schema() -> Schema {
        Schema::of("string", "")
    }
    fn read(d: &mut Decoder) -> Result<String> {
        Ok(d.text()?.to_string())
    }
    fn write(&self, e: &mut Encoder) {
        e.text(self);
    }
}

/// An optional value; None is null.
impl<T: Field> Field for Option<T> {
    fn schema() -> Schema {
        Schema { optional: true, ..T::schema() }
    }
    fn read(d: &mut Decoder) -> Result<Option<T>> {
        if d.null() {
            return Ok(None);
        }
        T::read(d).map(Some)
    }
    fn write(&self, e: &mut Encoder) {
        match self {
            Some(v) => v.write(e),
            None => {
                e.null();
            }
        }
    }
}

impl<T: Field> Field for Vec<T> {
    fn schema() -> Schema {
        Schema::list(T::schema())
    }
    fn read(d: &mut Decoder) -> Result<Vec<T>> {
        let n = d.array()?;
        (0..n).map(|_| T::read(d)).collect()
    }
    fn write(&self, e: &mut Encoder) {
        e.array(self.len());
        self.iter().for_each(|v| v.write(e));
    }
}

impl<T: Field> Field for Box<T> {
    fn schema() -> Schema {
        T::schema()
    }
    fn read(d: &mut Decoder) -> Result<Box<T>> {
        T::read(d).map(Box::new)
    }
    fn write(&self, e: &mut Encoder) {
        (**self).write(e);
    }
}

/// Bytes: bytea in SQL, base64 in JSON.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Bytes(
    /// the bytes
    pub Vec<u8>,
);

impl Field for Bytes {
    fn schema() -> Schema {
        Schema::of("string", "bytes")
    }
    fn read(d: &mut Decoder) -> Result<Bytes> {
        Ok(Bytes(d.bytes()?.to_vec()))
    }
    fn write(&self, e: &mut Encoder) {
        e.bytes(&self.0);
    }
}

macro_rules! texts {
    ($($(#[$doc:meta])* $name:ident, $format:expr;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(
            /// the text
            pub String,
        );

        impl Field for $name {
            fn schema() -> Schema {
                Schema::of("string", $format)
            }
            fn read(d: &mut Decoder) -> Result<$name> {
                Ok($name(d.text()?.to_string()))
            }
            fn write(&self, e: &mut Encoder) {
                e.text(&self.0);
            }
        }

        impl From<&str> for $name {
            fn from(text: &str) -> $name {
                $name(text.to_string())
            }
        }
    )*};
}

texts! {
    /// An exact number as its text: numeric in SQL.
    Decimal, "decimal";
    /// A day as its text, 2026-01-31.
    Date, "date";
    /// A uuid as its text in lower case.
    Uuid, "uuid";
    /// json or jsonb as its text; in a result it must be JSON.
    Json, "json";
}
