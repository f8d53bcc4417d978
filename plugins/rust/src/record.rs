use crate::cbor::{key_order, Decoder, Encoder};
use crate::error::{contract, Error, Result};
use crate::field::{Field, FieldSpec, Source};
use crate::schema::Schema;

/// A struct made by [`record!`](crate::record): arguments, a row or a result.
pub trait Record: Sized {
    /// What is known of its fields, found out once.
    fn plan<O>(with: impl FnOnce(&Plan) -> O) -> O;
    /// Reads it from an array whose head was read.
    fn read_fields(d: &mut Decoder, layout: &Layout) -> Result<Self>;
    /// Writes one field.
    fn write_field(&self, i: usize, e: &mut Encoder);
}

/// A record's fields in the order in which they are declared.
pub struct Plan {
    pub(crate) fields: Vec<FieldSpec>,
    /// The fields in the order of their keys in a map.
    by_key: Vec<usize>,
}

impl Plan {
    #[doc(hidden)]
    pub fn new(fields: Vec<FieldSpec>) -> Plan {
        let mut by_key: Vec<usize> = (0..fields.len()).collect();
        by_key.sort_by(|a, b| key_order(&fields[*a].name, &fields[*b].name));
        Plan { fields, by_key }
    }
}

/// Where a record's fields are in an array. The default is: one after the other.
#[derive(Clone, Debug, Default)]
pub struct Layout {
    /// places[i] is the item of field i; empty if they are in order.
    places: Vec<usize>,
    /// The fields that are not there: nested rows, which a page does not have.
    absent: Vec<bool>,
}

impl Layout {
    /// An input: arguments, then claims, scope, action and function.
    pub(crate) fn of_input(fields: &[FieldSpec]) -> Layout {
        let order = input_order(fields);
        if order.iter().enumerate().all(|(i, at)| i == *at) {
            return Layout::default();
        }
        let mut places = vec![0; order.len()];
        for (place, field) in order.into_iter().enumerate() {
            places[field] = place;
        }
        Layout { places, absent: Vec::new() }
    }

    /// A row without these fields.
    pub(crate) fn without(absent: Vec<bool>) -> Layout {
        Layout { places: Vec::new(), absent }
    }

    fn width(&self, fields: usize) -> usize {
        fields - self.absent.iter().filter(|a| **a).count()
    }
}

/// The fields as an input has them: by source, each in the order of declaration.
pub(crate) fn input_order(fields: &[FieldSpec]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..fields.len()).collect();
    order.sort_by_key(|i| fields[*i].source);
    order
}

/// Reads a record from an array, which must have an item for each field.
pub(crate) fn read<T: Record>(d: &mut Decoder, layout: &Layout) -> Result<T> {
    let n = d.array()?;
    T::plan(|plan| {
        let want = layout.width(plan.fields.len());
        if n == want {
            return Ok(());
        }
        let names: Vec<&str> = plan.fields.iter().map(|f| f.name.as_str()).collect();
        Err(contract(format!("{} values for {} fields ({}): name the columns in that order", n, want, names.join(", "))))
    })?;
    if layout.places.is_empty() {
        return T::read_fields(d, layout);
    }
    // Find where each item begins, then where each field does.
    let mut starts = Vec::with_capacity(n);
    for _ in 0..n {
        starts.push(d.offset());
        d.skip()?;
    }
    let end = d.offset();
    let by_field = Layout { places: layout.places.iter().map(|place| starts[*place]).collect(), absent: Vec::new() };
    let record = T::read_fields(d, &by_field)?;
    d.seek(end);
    Ok(record)
}

#[doc(hidden)]
pub fn read_field<T: Field>(d: &mut Decoder, layout: &Layout, i: usize, name: &str) -> Result<T> {
    if layout.absent.get(i) == Some(&true) {
        return T::read(&mut Decoder::new(&[0x80])); // no rows
    }
    if let Some(at) = layout.places.get(i) {
        d.seek(*at);
    }
    T::read(d).map_err(|e| Error { message: format!("{}: {}", name, e.message), ..e })
}

/// The schema of a record: an object of its fields.
#[doc(hidden)]
pub fn schema_of<T: Record>() -> Schema {
    let fields = T::plan(|plan| plan.fields.iter().map(|f| (f.name.clone(), f.schema.clone())).collect());
    Schema { fields, ..Schema::of("object", "") }
}

#[doc(hidden)]
pub fn read_record<T: Record>(d: &mut Decoder) -> Result<T> {
    read(d, &Layout::default())
}

/// Writes a record: a map in a result, an array in arguments.
#[doc(hidden)]
pub fn write_record<T: Record>(record: &T, e: &mut Encoder) {
    T::plan(|plan| {
        if !e.maps() {
            e.array(plan.fields.len());
            return (0..plan.fields.len()).for_each(|i| record.write_field(i, e));
        }
        e.map(plan.by_key.len());
        for i in &plan.by_key {
            e.text(&plan.fields[*i].name);
            record.write_field(*i, e);
        }
    })
}

/// Whether an input may have such fields at all.
pub(crate) fn faults(fields: &[FieldSpec]) -> Option<String> {
    for (i, f) in fields.iter().enumerate() {
        if fields[..i].iter().any(|other| other.name == f.name) {
            return Some(format!("has two fields named {}", f.name));
        }
        if f.source != Source::Caller && f.schema.default.is_some() {
            return Some(format!("{} is not an argument, so it has no default", f.name));
        }
    }
    None
}

/// Declares structs that can be arguments, rows and results.
///
/// ```ignore
/// record! {
///     #[derive(Clone)]
///     pub struct ListArgs {
///         room: i64,
///         /// only what this person wrote
///         author: Option<String>,
///         #[weir(min = 1, max = 200, default = 50)]
///         limit: i64,
///         #[weir(claim = "sub")]
///         me: String,
///     }
/// }
/// ```
///
/// A field's doc comment is a sentence of the manifest. What else `#[weir(…)]` may say
/// are the methods of [`Spec`](crate::Spec).
#[macro_export]
macro_rules! record {
    ($(
        $(#[$meta:meta])*
        $vis:vis struct $name:ident {
            $( $(#[$($attr:tt)*])* $fvis:vis $field:ident : $type:ty ),* $(,)?
        }
    )*) => {$(
        $(#[$meta])*
        $vis struct $name { $($fvis $field: $type),* }

        impl $crate::Record for $name {
            fn plan<O>(with: impl FnOnce(&$crate::Plan) -> O) -> O {
                std::thread_local! {
                    static PLAN: $crate::Plan = $crate::Plan::new(vec![$({
                        #[allow(unused_mut)]
                        let mut spec = $crate::Spec::<$type>::new(stringify!($field));
                        $( $crate::spec!(spec, $($attr)*); )*
                        spec.finish()
                    }),*]);
                }
                PLAN.with(with)
            }

            #[allow(unused_variables, unused_mut, unused_assignments)]
            fn read_fields(d: &mut $crate::Decoder, layout: &$crate::Layout) -> $crate::Result<Self> {
                let mut i = 0;
                $(
                    let $field = $crate::entry::read_field(d, layout, i, stringify!($field))?;
                    i += 1;
                )*
                Ok($name { $($field),* })
            }

            #[allow(unused_variables, unused_mut, unused_assignments)]
            fn write_field(&self, i: usize, e: &mut $crate::Encoder) {
                let mut at = 0;
                $(
                    if at == i {
                        return $crate::Field::write(&self.$field, e);
                    }
                    at += 1;
                )*
            }
        }

        impl $crate::Field for $name {
            fn schema() -> $crate::Schema {
                $crate::entry::schema_of::<$name>()
            }
            fn read(d: &mut $crate::Decoder) -> $crate::Result<Self> {
                $crate::entry::read_record(d)
            }
            fn write(&self, e: &mut $crate::Encoder) {
                $crate::entry::write_record(self, e)
            }
        }
    )*};
}

#[doc(hidden)]
#[macro_export]
macro_rules! spec {
    ($spec:ident, doc = $text:expr) => {
        $spec = $spec.doc($text);
    };
    ($spec:ident, weir($($key:ident $(= $value:expr)?),* $(,)?)) => {
        $( $spec = $spec.$key($($value)?); )*
    };
}
