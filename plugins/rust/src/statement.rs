use std::cell::RefCell;
use std::marker::PhantomData;
use std::ops::Deref;
use std::rc::Rc;

use crate::call::Call;
use crate::cbor::Encoder;
use crate::error::{cut, internal, Error, Result};
use crate::host;
use crate::record::{Layout, Plan, Record};
use crate::rows::Rows;
use crate::schema::Schema;
use crate::sql;

/// A statement without its types. It lives as long as the module.
pub struct Statement {
    pub(crate) index: u32,
    pub(crate) sql: String,
    pub(crate) writes: bool,
    /// Of a policy: guest code cannot run it.
    pub(crate) policy: bool,
    pub(crate) key: RefCell<Vec<String>>,
    pub(crate) nests: RefCell<Vec<Nest>>,
    /// The fields of the arguments that its parameters are.
    params: Vec<usize>,
    /// The parameters that the arguments do not have.
    missing: Vec<String>,
    has: String,
    columns: Vec<String>,
    layout: RefCell<Layout>,
    row: Option<Schema>,
}

pub(crate) struct Nest {
    pub name: String,
    pub on: String,
    pub child: &'static Statement,
    pub column: String,
}

impl Statement {
    pub(crate) fn new<A: Record, R: Row>(index: u32, text: &str, writes: bool, policy: bool) -> Statement {
        let (mut params, mut missing) = (Vec::new(), Vec::new());
        let has = A::plan(|plan| {
            for name in sql::parameters(text) {
                match plan.fields.iter().position(|f| f.name == name) {
                    Some(i) => params.push(i),
                    None => missing.push(name),
                }
            }
            names(plan).join(", ")
        });
        Statement {
            index,
            sql: text.to_string(),
            writes,
            policy,
            key: RefCell::default(),
            nests: RefCell::default(),
            params,
            missing,
            has,
            columns: R::columns(),
            layout: RefCell::default(),
            row: R::schema(),
        }
    }

    /// What is wrong with it, told when the plugin is described.
    pub(crate) fn problem(&self) -> Option<String> {
        let name = self.missing.first()?;
        Some(format!("{} uses ${}, but its arguments have no field of that name ({})", self.title(), name, self.has))
    }

    /// The schema of the rows, with those of nested statements.
    pub(crate) fn result(&self) -> Option<Schema> {
        let mut row = self.row.clone()?;
        for nest in self.nests.borrow().iter() {
            let mut child = nest.child.result().unwrap_or_else(|| Schema::of("array", ""));
            match row.fields.iter_mut().find(|f| f.0 == nest.name) {
                Some(field) => {
                    child.doc = std::mem::take(&mut field.1.doc);
                    field.1 = child;
                }
                None => row.fields.push((nest.name.clone(), child)),
            }
        }
        Some(Schema::list(row))
    }

    /// The statement's first words, for messages.
    pub(crate) fn title(&self) -> String {
        let words = self.sql.split_whitespace().collect::<Vec<_>>().join(" ");
        if words.len() > 60 {
            return format!("`{}...`", cut(&words, 57));
        }
        format!("`{}`", words)
    }

    /// Where a column of a row stands, nested ones left out.
    pub(crate) fn column(&self, name: &str) -> Result<u32> {
        let nests = self.nests.borrow();
        let columns = self.columns.iter().filter(|c| nests.iter().all(|n| &n.name != *c));
        match columns.clone().position(|c| c == name) {
            Some(i) => Ok(i as u32),
            None => Err(internal(format!("{} has no column {}", self.title(), name))),
        }
    }

    pub(crate) fn layout(&self) -> std::cell::Ref<'_, Layout> {
        self.layout.borrow()
    }

    fn nest(&'static self, nest: Nest) {
        self.nests.borrow_mut().push(nest);
        let nests = self.nests.borrow();
        let absent = self.columns.iter().map(|c| nests.iter().any(|n| &n.name == c)).collect();
        *self.layout.borrow_mut() = Layout::without(absent);
    }

    pub(crate) fn arguments<A: Record>(&self, args: &A) -> Vec<u8> {
        let mut e = Encoder::for_arguments();
        e.array(self.params.len());
        self.params.iter().for_each(|i| args.write_field(*i, &mut e));
        e.into_bytes()
    }
}

fn names(plan: &Plan) -> Vec<String> {
    plan.fields.iter().map(|f| f.name.clone()).collect()
}

/// The statement that rows are of.
#[derive(Clone)]
pub(crate) enum Origin {
    Declared(&'static Statement),
    /// Made up during the call.
    Made(Rc<Statement>),
}

impl Deref for Origin {
    type Target = Statement;
    fn deref(&self) -> &Statement {
        match self {
            Origin::Declared(s) => s,
            Origin::Made(s) => s,
        }
    }
}

/// Asks for SQL that is made up during the call.
pub(crate) fn made<A: Record, R: Record>(text: &str, args: &A) -> Result<Rows<R>> {
    let s = Statement::new::<A, R>(0, text, false, false);
    if let Some(problem) = s.problem() {
        return Err(internal(problem));
    }
    let handle = host::query_sql(text, &s.arguments(args));
    if handle < 0 {
        return Err(Error::refused(handle, &s.title()));
    }
    Ok(Rows::new(handle, Origin::Made(Rc::new(s))))
}

/// What a statement returns: a [`Record`], or () for nothing.
pub trait Row {
    #[doc(hidden)]
    fn columns() -> Vec<String>;
    #[doc(hidden)]
    fn schema() -> Option<Schema>;
}

impl<R: Record> Row for R {
    fn columns() -> Vec<String> {
        R::plan(names)
    }
    fn schema() -> Option<Schema> {
        Some(crate::record::schema_of::<R>())
    }
}

impl Row for () {
    fn columns() -> Vec<String> {
        Vec::new()
    }
    fn schema() -> Option<Schema> {
        None
    }
}

/// A statement of any types.
pub trait AnyStatement {
    #[doc(hidden)]
    fn statement(&self) -> &'static Statement;
}

macro_rules! statements {
    ($($(#[$doc:meta])* $name:ident;)*) => {$(
        $(#[$doc])*
        pub struct $name<A, R> {
            pub(crate) s: &'static Statement,
            of: PhantomData<fn(A) -> R>,
        }

        impl<A, R> Clone for $name<A, R> {
            fn clone(&self) -> Self { *self }
        }
        impl<A, R> Copy for $name<A, R> {}

        impl<A, R> AnyStatement for $name<A, R> {
            fn statement(&self) -> &'static Statement { self.s }
        }

        impl<A: Record, R> $name<A, R> {
            pub(crate) fn new(s: &'static Statement) -> Self {
                $name { s, of: PhantomData }
            }
        }

        impl<A: Record, R: Record> $name<A, R> {
            /// All rows.
            pub fn all(&self, c: &Call, args: &A) -> Result<Vec<R>> {
                self.rows(c, args)?.all()
            }

            /// The only row; no row, or more than one, is an error.
            pub fn one(&self, c: &Call, args: &A) -> Result<R> {
                self.rows(c, args)?.one()
            }

            /// The first row, if there is one.
            pub fn first(&self, c: &Call, args: &A) -> Result<Option<R>> {
                self.rows(c, args)?.first()
            }

            /// Calls f for each row, a page in memory at a time. An error of f ends it.
            pub fn each(&self, c: &Call, args: &A, f: impl FnMut(R) -> Result<()>) -> Result<()> {
                self.rows(c, args)?.each(f)
            }
        }
    )*};
}

statements! {
    /// A SELECT with arguments A and rows R; [`Plugin::select`](crate::Plugin::select) makes it. Given to
    /// [`Plugin::query`](crate::Plugin::query) it is the whole function. It may be copied into handlers.
    Select;
    /// An INSERT, UPDATE, DELETE or MERGE with arguments A and returned rows R;
    /// [`Plugin::exec`](crate::Plugin::exec) makes it. Only mutations may run it.
    Exec;
}

impl<A: Record, R> Select<A, R> {
    /// Names the columns that tell rows apart, separated by commas. With it clients
    /// get only the rows that changed.
    pub fn key(self, columns: &str) -> Self {
        *self.s.key.borrow_mut() = columns.split(',').map(|c| c.trim().to_string()).collect();
        self
    }

    /// Puts the rows of child into each row, under name: those whose column equals
    /// the row's on. The only parameter of child is the set of them. A handler that
    /// reads rows gets none of the nested ones.
    pub fn nest(self, name: &str, on: &str, child: &dyn AnyStatement, column: &str) -> Self {
        self.s.nest(Nest { name: name.into(), on: on.into(), child: child.statement(), column: column.into() });
        self
    }

    /// Asks for the rows and reads none.
    pub fn rows(&self, _: &Call, args: &A) -> Result<Rows<R>> {
        opened(self.s, host::query(self.s.index, &self.s.arguments(args)))
    }
}

impl<A: Record, R> Exec<A, R> {
    /// Runs the statement, and gives the rows of its RETURNING.
    pub fn rows(&self, _: &Call, args: &A) -> Result<Rows<R>> {
        opened(self.s, host::exec(self.s.index, &self.s.arguments(args)))
    }

    /// Runs the statement, and says how many rows it touched.
    pub fn run(&self, c: &Call, args: &A) -> Result<u64> {
        let n = host::rows_affected(self.rows(c, args)?.handle);
        if n < 0 {
            return Err(Error::refused(n as i32, &self.s.title()));
        }
        Ok(n as u64)
    }
}

fn opened<R>(s: &'static Statement, handle: i32) -> Result<Rows<R>> {
    if handle < 0 {
        return Err(Error::refused(handle, &s.title()));
    }
    Ok(Rows::new(handle, Origin::Declared(s)))
}
