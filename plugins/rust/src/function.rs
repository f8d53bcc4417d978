use crate::call::Call;
use crate::cbor::{Decoder, Encoder};
use crate::decision::Decision;
use crate::error::{contract, Error, Result};
use crate::field::{Field, FieldSpec};
use crate::plugin::Policy;
use crate::record::{self, input_order, Layout, Record};
use crate::rows::Rows;
use crate::schema::Schema;
use crate::statement::{AnyStatement, Exec, Row, Select, Statement};

/// What a function returns under a tag of the contract.
pub enum Reply {
    #[doc(hidden)]
    Value(Vec<u8>),
    #[doc(hidden)]
    Rows(i32),
    #[doc(hidden)]
    Error(Vec<u8>),
    #[doc(hidden)]
    Nothing,
}

/// What a handler may return: any [`Field`], [`Rows`] to pass rows on unread, or ().
pub trait Output {
    #[doc(hidden)]
    fn result_schema() -> Option<Schema>;
    #[doc(hidden)]
    fn reply(self) -> Reply;
}

impl<T: Field> Output for T {
    fn result_schema() -> Option<Schema> {
        Some(T::schema())
    }
    fn reply(self) -> Reply {
        let mut e = Encoder::new();
        self.write(&mut e);
        Reply::Value(e.into_bytes())
    }
}

impl<R: Row> Output for Rows<R> {
    fn result_schema() -> Option<Schema> {
        R::schema().map(Schema::list)
    }
    fn reply(self) -> Reply {
        Reply::Rows(self.handle)
    }
}

impl Output for () {
    fn result_schema() -> Option<Schema> {
        None
    }
    fn reply(self) -> Reply {
        Reply::Nothing
    }
}

type Run = Box<dyn Fn(&Call, &[u8]) -> Reply>;

/// What a function does: a [`Select`], an [`Exec`], or what [`func`] made.
pub struct Body {
    pub(crate) statement: Option<&'static Statement>,
    pub(crate) run: Option<Run>,
    /// The input, in its order.
    pub(crate) input: Vec<FieldSpec>,
    pub(crate) result: Option<Schema>,
    pub(crate) fault: Option<String>,
}

/// Makes a function of a handler. A is the input: arguments, and fields with a claim
/// or scope, which are all that the handler sees of its caller.
///
/// ```ignore
/// p.query("rooms.summary", func(move |c, a: MineArgs| summary(c, a, rooms))).signed_in();
/// ```
pub fn func<A: Record + 'static, O: Output + 'static>(handler: impl Fn(&Call, A) -> Result<O> + 'static) -> Body {
    let mut body = body_of(move |c, a| handler(c, a).map(O::reply));
    body.result = O::result_schema();
    body
}

/// The body of a policy's handler.
pub(crate) fn decide<A: Record + 'static>(handler: impl Fn(&Call, A) -> Result<Decision> + 'static) -> Body {
    body_of(move |c, a| handler(c, a).map(|d| Reply::Value(d.encode())))
}

fn body_of<A: Record + 'static>(handler: impl Fn(&Call, A) -> Result<Reply> + 'static) -> Body {
    let (input, layout, fault) = input_of::<A>();
    let run: Run = Box::new(move |c, bytes| {
        let reply = read_input(bytes, &layout).and_then(|a| handler(c, a));
        reply.unwrap_or_else(|e| Reply::Error(e.encode()))
    });
    Body { statement: None, run: Some(run), input, result: None, fault }
}

fn read_input<A: Record>(bytes: &[u8], layout: &Layout) -> Result<A> {
    let mut d = Decoder::new(bytes);
    let args = record::read(&mut d, layout).and_then(|a| d.done().map(|_| a));
    args.map_err(|e: Error| contract(format!("input {}", e.message)))
}

fn input_of<A: Record>() -> (Vec<FieldSpec>, Layout, Option<String>) {
    A::plan(|plan| {
        let input = input_order(&plan.fields).into_iter().map(|i| plan.fields[i].clone()).collect();
        (input, Layout::of_input(&plan.fields), record::faults(&plan.fields))
    })
}

/// A statement is a function that the host runs.
fn statement<A: Record>(s: &'static Statement) -> Body {
    let (input, _, fault) = input_of::<A>();
    Body { statement: Some(s), run: None, input, result: s.result(), fault }
}

impl<A: Record, R> From<Select<A, R>> for Body {
    fn from(select: Select<A, R>) -> Body {
        statement::<A>(select.s)
    }
}

impl<A: Record, R> From<Exec<A, R>> for Body {
    fn from(exec: Exec<A, R>) -> Body {
        statement::<A>(exec.s)
    }
}

/// A declared function. Say who may call it: [`require`](Function::require),
/// [`signed_in`](Function::signed_in) or [`public`](Function::public); one is needed.
pub struct Function {
    pub(crate) name: String,
    pub(crate) kind: &'static str,
    pub(crate) body: Body,
    pub(crate) policies: Vec<String>,
    pub(crate) signed_in: bool,
    pub(crate) public: bool,
    pub(crate) uses: Option<Vec<&'static Statement>>,
    pub(crate) doc: String,
}

impl Function {
    pub(crate) fn new(name: &str, kind: &'static str, body: Body) -> Function {
        Function { name: name.into(), kind, body, policies: Vec::new(), signed_in: false, public: false, uses: None, doc: String::new() }
    }

    /// Lets a caller in when the policy allows; all that are required must.
    pub fn require(&mut self, policy: &Policy) -> &mut Function {
        self.policies.push(policy.name.clone());
        self
    }

    /// Lets in every caller with a valid token.
    pub fn signed_in(&mut self) -> &mut Function {
        self.signed_in = true;
        self
    }

    /// Lets everybody in.
    pub fn public(&mut self) -> &mut Function {
        self.public = true;
        self
    }

    /// Narrows the statements that a handler may run. Without it they are all of the
    /// plugin's SELECTs, and for a mutation all of its statements.
    pub fn uses(&mut self, statements: &[&dyn AnyStatement]) -> &mut Function {
        self.uses = Some(statements.iter().map(|s| s.statement()).collect());
        self
    }

    /// Describes the function in a sentence, for people.
    pub fn doc(&mut self, sentence: &str) -> &mut Function {
        self.doc = sentence.into();
        self
    }
}
