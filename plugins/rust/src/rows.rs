use std::cell::RefCell;
use std::marker::PhantomData;

use crate::cbor::Decoder;
use crate::error::{contract, internal, Error, Result};
use crate::host;
use crate::record::{self, Layout, Record};
use crate::statement::Origin;

/// The rows of a statement, still at the host. They are read only when asked for: a
/// handler that returns them as they are never moves a row. They end with their call.
pub struct Rows<R> {
    pub(crate) handle: i32,
    s: Origin,
    /// What project left over of the statement's columns, by name.
    projected: Option<Vec<String>>,
    of: PhantomData<fn() -> R>,
}

thread_local! {
    /// The page that is not in use. It is taken out while it is, so that rows can be
    /// read while others are.
    static PAGE: RefCell<Vec<u8>> = RefCell::new(Vec::new());
}

const PAGE_BYTES: usize = 64 << 10;

impl<R> Rows<R> {
    pub(crate) fn new(handle: i32, s: Origin) -> Rows<R> {
        Rows { handle, s, projected: None, of: PhantomData }
    }

    fn refused<T>(&self, n: i32) -> Result<T> {
        Err(Error::refused(n, &self.s.title()))
    }

    fn derived<Q>(&self, handle: i32, projected: Option<Vec<String>>) -> Result<Rows<Q>> {
        if handle < 0 {
            return self.refused(handle);
        }
        Ok(Rows { handle, s: self.s.clone(), projected, of: PhantomData })
    }

    /// How many rows there are. It runs the statement if nothing did yet.
    pub fn len(&self) -> Result<usize> {
        match host::rows_len(self.handle) {
            n if n < 0 => self.refused(n),
            n => Ok(n as usize),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> Result<bool> {
        Ok(self.len()? == 0)
    }

    /// The rows with these indexes, in this order, without reading them.
    pub fn pick(&self, indexes: &[u32]) -> Result<Rows<R>> {
        self.derived(host::rows_pick(self.handle, indexes), self.projected.clone())
    }

    /// The rows with the columns of Q only, which are among those of R by name.
    pub fn project<Q: Record>(&self) -> Result<Rows<Q>> {
        let names: Vec<String> = Q::plan(|plan| plan.fields.iter().map(|f| f.name.clone()).collect());
        let columns = names.iter().map(|name| self.column(name)).collect::<Result<Vec<u32>>>()?;
        self.derived(host::rows_project(self.handle, &columns), Some(names))
    }

    /// The rows with those of child under name, whose column equals the row's on.
    pub fn nest<C>(&self, name: &str, on: &str, child: &Rows<C>, column: &str) -> Result<Rows<R>> {
        let handle = host::rows_nest(self.handle, name, child.handle, self.column(on)?, child.column(column)?);
        self.derived(handle, self.projected.clone())
    }

    /// Gives the rows up before the call ends.
    pub fn close(self) -> Result<()> {
        match host::close(self.handle) {
            n if n < 0 => self.refused(n),
            _ => Ok(()),
        }
    }

    fn column(&self, name: &str) -> Result<u32> {
        match &self.projected {
            None => self.s.column(name),
            Some(names) => match names.iter().position(|n| n == name) {
                Some(i) => Ok(i as u32),
                None => Err(internal(format!("the projected rows have no column {}", name))),
            },
        }
    }
}

impl<R: Record> Rows<R> {
    /// All rows.
    pub fn all(&self) -> Result<Vec<R>> {
        let mut rows = Vec::with_capacity(self.len()?);
        self.each(|row| {
            rows.push(row);
            Ok(())
        })?;
        Ok(rows)
    }

    /// The only row; no row, or more than one, is an error.
    pub fn one(&self) -> Result<R> {
        match self.len()? {
            1 => self.first()?.ok_or_else(short),
            0 => Err(internal(format!("{}: no row", self.s.title()))),
            _ => Err(internal(format!("{}: more than one row", self.s.title()))),
        }
    }

    /// The first row, if there is one.
    pub fn first(&self) -> Result<Option<R>> {
        let mut first = None;
        let n = self.len()?.min(1);
        self.read(n, |row| {
            first = Some(row);
            Ok(())
        })?;
        Ok(first)
    }

    /// Calls f for each row, a page in memory at a time. An error of f ends it.
    pub fn each(&self, f: impl FnMut(R) -> Result<()>) -> Result<()> {
        self.read(self.len()?, f)
    }

    fn read(&self, n: usize, mut f: impl FnMut(R) -> Result<()>) -> Result<()> {
        if n == 0 {
            return Ok(());
        }
        let mut page = PAGE.with(|p| p.take());
        page.resize(page.len().max(PAGE_BYTES), 0);
        let result = self.pages(n, &mut page, &mut f);
        PAGE.with(|p| p.replace(page));
        result
    }

    fn pages(&self, n: usize, page: &mut Vec<u8>, f: &mut impl FnMut(R) -> Result<()>) -> Result<()> {
        let mut read = 0;
        while read < n {
            let size = self.page(read as u32, page)?;
            let mut d = Decoder::new(&page[..size]);
            while d.offset() < size && read < n {
                let row = if self.projected.is_some() {
                    record::read(&mut d, &Layout::default())
                } else {
                    record::read(&mut d, &self.s.layout())
                };
                f(row?)?;
                read += 1;
            }
        }
        Ok(())
    }

    /// Fills the page with whole rows. When not one fits, the host says how much it
    /// needs: -64 and below is a size.
    fn page(&self, from: u32, page: &mut Vec<u8>) -> Result<usize> {
        for _ in 0..2 {
            let size = host::rows_read(self.handle, from, page);
            match size {
                1.. => return Ok(size as usize),
                0 => return Err(short()),
                -63..=-1 => return self.refused(size),
                _ => page.resize(size.unsigned_abs() as usize, 0),
            }
        }
        Err(short())
    }
}

fn short() -> Error {
    contract("the host gave fewer rows than it promised")
}
