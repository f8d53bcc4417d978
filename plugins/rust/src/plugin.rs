use crate::call::Call;
use crate::decision::Decision;
use crate::error::Result;
use crate::function::{decide, Body, Function};
use crate::record::Record;
use crate::statement::{Exec, Row, Select, Statement};

/// Everything that a plugin declares. The function that [`plugin!`](crate::plugin!)
/// names is given it once.
pub struct Plugin {
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) statements: Vec<&'static Statement>,
    pub(crate) functions: Vec<Function>,
    pub(crate) capabilities: Vec<String>,
}

/// Decides who may call a function; [`Plugin::allow_if`] and [`Plugin::policy`] make it.
#[derive(Clone, Debug)]
pub struct Policy {
    pub(crate) name: String,
}

impl Policy {
    /// The policy of another plugin: "policy/org".
    pub fn other(name: &str) -> Policy {
        Policy { name: name.into() }
    }
}

impl Plugin {
    pub(crate) fn new(name: &str, version: &str) -> Plugin {
        Plugin { name: name.into(), version: version.into(), statements: Vec::new(), functions: Vec::new(), capabilities: Vec::new() }
    }

    fn statement<A: Record, R: Row>(&mut self, sql: &str, writes: bool, policy: bool) -> &'static Statement {
        let s: &Statement = Box::leak(Box::new(Statement::new::<A, R>(self.statements.len() as u32, sql, writes, policy)));
        self.statements.push(s);
        s
    }

    fn function(&mut self, name: &str, kind: &'static str, body: Body) -> &mut Function {
        self.functions.push(Function::new(name, kind, body));
        let last = self.functions.len() - 1;
        &mut self.functions[last]
    }

    /// Declares a SELECT. Each $name in sql is the field of A of that name; a fragment
    /// in braces, `{and author = $author}`, is kept only when all its names are not
    /// None. The fields of R are the columns, in the order of the select list.
    pub fn select<A: Record, R: Row>(&mut self, sql: &str) -> Select<A, R> {
        Select::new(self.statement::<A, R>(sql, false, false))
    }

    /// Declares a statement that writes. R is what RETURNING gives, or ().
    pub fn exec<A: Record, R: Row>(&mut self, sql: &str) -> Exec<A, R> {
        Exec::new(self.statement::<A, R>(sql, true, false))
    }

    /// Declares a live query: a [`Select`], or a [`func`](crate::func).
    pub fn query(&mut self, name: &str, body: impl Into<Body>) -> &mut Function {
        self.function(name, "query", body.into())
    }

    /// Declares a function that writes, in one transaction with its policies.
    pub fn mutation(&mut self, name: &str, body: impl Into<Body>) -> &mut Function {
        self.function(name, "mutation", body.into())
    }

    /// Declares a policy that is one SELECT: a row allows. Columns with meaning are
    /// allow (boolean), reason (text), scope (jsonb) and wake_at (timestamptz).
    pub fn allow_if<A: Record>(&mut self, name: &str, sql: &str) -> Policy {
        let s = self.statement::<A, ()>(sql, false, true);
        self.function(name, "policy", Select::<A, ()>::new(s).into());
        Policy { name: name.into() }
    }

    /// Declares a policy that computes. An error lets nobody in. A may have fields
    /// with `#[weir(action)]` and `#[weir(function)]`.
    pub fn policy<A: Record + 'static>(&mut self, name: &str, handler: impl Fn(&Call, A) -> Result<Decision> + 'static) -> Policy {
        self.function(name, "policy", decide(handler));
        Policy { name: name.into() }
    }

    /// The function of a policy of this plugin, to say what it uses, or a sentence.
    ///
    /// # Panics
    ///
    /// If the policy is another plugin's.
    pub fn about(&mut self, policy: &Policy) -> &mut Function {
        match self.functions.iter_mut().find(|f| f.name == policy.name) {
            Some(f) => f,
            None => panic!("{} is no policy of this plugin", policy.name),
        }
    }

    /// Asks for a capability, which the operator must grant: "sql.dynamic".
    pub fn capability(&mut self, name: &str) {
        self.capabilities.push(name.into());
    }
}
