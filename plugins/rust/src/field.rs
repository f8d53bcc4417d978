use std::marker::PhantomData;

use crate::cbor::{Decoder, Encoder};
use crate::error::Result;
use crate::schema::Schema;

/// A type that can be an argument, a column or a part of a result.
pub trait Field: Sized {
    /// What the manifest says of it.
    fn schema() -> Schema;
    /// Reads one.
    fn read(d: &mut Decoder) -> Result<Self>;
    /// Writes one.
    fn write(&self, e: &mut Encoder);
}

/// Where an input field's value comes from. The order is that of the input array.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Source {
    Caller,
    Claim,
    Scope,
    Action,
    Function,
}

/// What is known of a field of a record.
#[derive(Clone, Debug)]
pub struct FieldSpec {
    pub(crate) name: String,
    pub(crate) schema: Schema,
    pub(crate) source: Source,
    pub(crate) claim: &'static str,
}

/// What `#[weir(…)]` before a field of a [`record!`](crate::record) may say. A sentence for
/// people is the field's doc comment.
pub struct Spec<T> {
    field: FieldSpec,
    of: PhantomData<fn() -> T>,
}

impl<T: Field> Spec<T> {
    #[doc(hidden)]
    pub fn new(name: &str) -> Spec<T> {
        let name = name.strip_prefix("r#").unwrap_or(name).to_string();
        Spec { field: FieldSpec { name, schema: T::schema(), source: Source::Caller, claim: "" }, of: PhantomData }
    }

    #[doc(hidden)]
    pub fn finish(self) -> FieldSpec {
        self.field
    }

    /// `name = "type"`: its name outside of Rust.
    pub fn name(mut self, name: &str) -> Self {
        self.field.name = name.to_string();
        self
    }

    /// `min = 1`: the least number.
    pub fn min(mut self, least: impl Into<f64>) -> Self {
        self.field.schema.min = Some(least.into());
        self
    }

    /// `max = 200`: the largest number.
    pub fn max(mut self, most: impl Into<f64>) -> Self {
        self.field.schema.max = Some(most.into());
        self
    }

    /// `min_len = 1`: the fewest characters, bytes or items.
    pub fn min_len(mut self, least: u32) -> Self {
        self.field.schema.min_len = Some(least);
        self
    }

    /// `max_len = 200`: the most characters, bytes or items.
    pub fn max_len(mut self, most: u32) -> Self {
        self.field.schema.max_len = Some(most);
        self
    }

    /// `default = 50`: what it is when the client leaves it out.
    pub fn default(mut self, value: T) -> Self {
        let mut e = Encoder::new();
        value.write(&mut e);
        self.field.schema.default = Decoder::new(&e.into_bytes()).value().ok();
        self.field.schema.optional = true;
        self
    }

    /// `one_of = ["up", "down"]`: the texts that it may be.
    pub fn one_of(mut self, texts: impl IntoIterator<Item = &'static str>) -> Self {
        self.field.schema.one_of = texts.into_iter().collect();
        self
    }

    /// `format = "email"`: says what a text is, for people.
    pub fn format(mut self, format: &'static str) -> Self {
        self.field.schema.format = format;
        self
    }

    /// A sentence for people; a doc comment becomes it.
    pub fn doc(mut self, sentence: &str) -> Self {
        let doc = &mut self.field.schema.doc;
        if !doc.is_empty() {
            doc.push(' ');
        }
        doc.push_str(sentence.trim());
        self
    }

    /// `claim = "sub"`: comes from the caller's token, and no client can set it.
    pub fn claim(mut self, claim: &'static str) -> Self {
        self.field.claim = claim;
        self.from(Source::Claim)
    }

    /// `scope`: comes from what policies put into the scope.
    pub fn scope(self) -> Self {
        self.from(Source::Scope)
    }

    /// `action`: in a policy, the text read or write.
    pub fn action(self) -> Self {
        self.from(Source::Action)
    }

    /// `function`: in a policy, the name of the function that it guards.
    pub fn function(self) -> Self {
        self.from(Source::Function)
    }

    fn from(mut self, source: Source) -> Self {
        self.field.source = source;
        self
    }
}
