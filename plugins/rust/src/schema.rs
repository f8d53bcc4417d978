use crate::value::Value;

/// What an argument, a column or a result may be. It comes from the types.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Schema {
    /// integer, number, string, boolean, array or object; empty for any
    pub kind: &'static str,
    /// refines a string: bytes, uuid, date-time, date, decimal, json, or for people
    pub format: &'static str,
    /// may be absent or null
    pub optional: bool,
    /// what it is when it is absent
    pub default: Option<Value>,
    /// least and most of a number
    pub min: Option<f64>,
    /// see min
    pub max: Option<f64>,
    /// fewest and most characters, bytes or items
    pub min_len: Option<u32>,
    /// see min_len
    pub max_len: Option<u32>,
    /// the texts that it may be
    pub one_of: Vec<&'static str>,
    /// of an array
    pub items: Option<Box<Schema>>,
    /// of an object
    pub fields: Vec<(String, Schema)>,
    /// a sentence for people
    pub doc: String,
}

impl Schema {
    /// The schema of a type and its format.
    pub fn of(kind: &'static str, format: &'static str) -> Schema {
        Schema { kind, format, ..Schema::default() }
    }

    /// The schema of a list.
    pub fn list(items: Schema) -> Schema {
        Schema { items: Some(Box::new(items)), ..Schema::of("array", "") }
    }

    /// The schema in the manifest.
    pub(crate) fn value(&self) -> Value {
        let mut m = Map::new();
        m.words("type", self.kind);
        m.words("format", self.format);
        m.flag("optional", self.optional);
        m.some("default", self.default.clone());
        m.some("minimum", self.min.map(Value::Float));
        m.some("maximum", self.max.map(Value::Float));
        m.some("minLength", self.min_len.map(Value::from));
        m.some("maxLength", self.max_len.map(Value::from));
        m.list("enum", self.one_of.iter().map(|s| Value::from(*s)));
        m.some("items", self.items.as_ref().map(|s| s.value()));
        m.list("fields", self.fields.iter().map(|(name, s)| field_value(name, s)));
        m.words("description", &self.doc);
        m.value()
    }
}

/// A field with its schema, as manifests have it.
pub(crate) fn field_value(name: &str, schema: &Schema) -> Value {
    Value::map([("name", name.into()), ("schema", schema.value())])
}

/// Builds a map without what is empty.
pub(crate) struct Map(Vec<(String, Value)>);

impl Map {
    pub fn new() -> Map {
        Map(Vec::new())
    }

    pub fn put(&mut self, key: &str, v: Value) {
        self.0.push((key.to_string(), v));
    }

    pub fn words(&mut self, key: &str, text: &str) {
        if !text.is_empty() {
            self.put(key, text.into());
        }
    }

    pub fn flag(&mut self, key: &str, is: bool) {
        if is {
            self.put(key, true.into());
        }
    }

    pub fn some(&mut self, key: &str, v: Option<Value>) {
        if let Some(v) = v {
            self.put(key, v);
        }
    }

    pub fn list(&mut self, key: &str, items: impl Iterator<Item = Value>) {
        let items: Vec<Value> = items.collect();
        if !items.is_empty() {
            self.put(key, Value::Array(items));
        }
    }

    pub fn value(self) -> Value {
        Value::Map(self.0)
    }
}
