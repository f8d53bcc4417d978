use crate::cbor::Encoder;
use crate::field::{Field, FieldSpec, Source};
use crate::function::Function;
use crate::plugin::Plugin;
use crate::schema::{field_value, Map};
use crate::statement::Statement;
use crate::value::Value;

impl Plugin {
    /// Sorts the functions by name, which is their order in the manifest and in calls.
    pub(crate) fn seal(&mut self) {
        self.functions.sort_by(|a, b| a.name.cmp(&b.name));
    }

    /// The manifest, or all that is wrong with it.
    pub(crate) fn manifest(&self) -> Result<Vec<u8>, String> {
        let problems = self.problems();
        if !problems.is_empty() {
            return Err(problems.join("\n"));
        }
        let value = Value::map([
            ("abi", 1.into()),
            ("name", self.name.as_str().into()),
            ("version", self.version.as_str().into()),
            ("statements", Value::Array(self.statements.iter().map(|s| statement(s)).collect())),
            ("functions", Value::Array(self.functions.iter().map(|f| self.describe(f)).collect())),
            ("capabilities", Value::Array(self.capabilities.iter().map(|c| c.as_str().into()).collect())),
        ]);
        let mut e = Encoder::new();
        value.write(&mut e);
        Ok(e.into_bytes())
    }

    fn problems(&self) -> Vec<String> {
        let mut all: Vec<String> = self.statements.iter().filter_map(|s| s.problem()).collect();
        for pair in self.functions.windows(2) {
            if pair[0].name == pair[1].name {
                all.push(format!("{} is declared twice", pair[0].name));
            }
        }
        for f in &self.functions {
            if let Some(fault) = &f.body.fault {
                all.push(format!("{}: its input {}", f.name, fault));
            }
            if f.kind == "query" && f.body.statement.map_or(false, |s| s.writes) {
                all.push(format!("{} writes, but a query only reads: make it a mutation", f.name));
            }
        }
        all
    }

    fn describe(&self, f: &Function) -> Value {
        let input = &f.body.input;
        let from = |source: Source| input.iter().filter(move |i| i.source == source);
        let mut m = Map::new();
        m.put("name", f.name.as_str().into());
        m.put("kind", f.kind.into());
        m.put("fields", Value::Array(from(Source::Caller).map(|i| field_value(&i.name, &i.schema)).collect()));
        m.list("claims", from(Source::Claim).map(claim));
        m.list("scope", from(Source::Scope).map(|i| field_value(&i.name, &i.schema)));
        m.flag("action", from(Source::Action).next().is_some());
        m.flag("function", from(Source::Function).next().is_some());
        match f.body.statement {
            Some(s) => m.put("statement", s.index.into()),
            None => m.list("uses", self.uses(f).into_iter().map(Value::from)),
        }
        m.some("access", access(f));
        m.some("result", f.body.result.as_ref().map(|s| s.value()));
        m.words("doc", &f.doc);
        m.value()
    }

    /// The statements that a handler may run, and what those nest.
    fn uses(&self, f: &Function) -> Vec<u32> {
        let mut out = Vec::new();
        match &f.uses {
            Some(chosen) => chosen.iter().for_each(|s| add(&mut out, s)),
            None => {
                let usable = |s: &&&'static Statement| !s.policy && (f.kind == "mutation" || !s.writes);
                self.statements.iter().filter(usable).for_each(|s| add(&mut out, s));
            }
        }
        out.sort_unstable();
        out
    }
}

fn add(out: &mut Vec<u32>, s: &Statement) {
    if !out.contains(&s.index) {
        out.push(s.index);
        s.nests.borrow().iter().for_each(|n| add(out, n.child));
    }
}

fn statement(s: &Statement) -> Value {
    let mut m = Map::new();
    m.put("sql", s.sql.as_str().into());
    m.list("key", s.key.borrow().iter().map(|c| c.as_str().into()));
    m.list(
        "nest",
        s.nests.borrow().iter().map(|n| {
            Value::map([
                ("name", n.name.as_str().into()),
                ("on", n.on.as_str().into()),
                ("statement", n.child.index.into()),
                ("column", n.column.as_str().into()),
            ])
        }),
    );
    m.value()
}

fn claim(field: &FieldSpec) -> Value {
    let mut m = Map::new();
    m.put("name", field.name.as_str().into());
    m.put("claim", field.claim.into());
    m.some("schema", Some(field.schema.value()).filter(|s| *s != Value::Map(Vec::new())));
    m.value()
}

fn access(f: &Function) -> Option<Value> {
    match (f.signed_in, f.public, f.policies.is_empty()) {
        (true, ..) => Some("signed_in".into()),
        (_, true, _) => Some("public".into()),
        (_, _, true) => None, // the host says what to add
        _ => Some(Value::map([("policies", Value::Array(f.policies.iter().map(|p| p.as_str().into()).collect()))])),
    }
}
