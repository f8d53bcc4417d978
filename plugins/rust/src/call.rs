use crate::error::{Error, Result};
use crate::host;
use crate::record::Record;
use crate::rows::Rows;
use crate::statement;
use crate::time::Time;

/// One run of a function: the door to the host. It ends with the handler.
pub struct Call(pub(crate) ());

const NO_SUCH_KEY: i32 = -8;

impl Call {
    /// The time of the call, the same while it runs. A query that uses it is not run
    /// again when time passes: see [`Call::wake_at`].
    pub fn now(&self) -> Time {
        Time::from_micros(host::now())
    }

    /// Asks for the function to be run again at that time, even if nothing that it
    /// read has changed. Of several times the earliest counts.
    pub fn wake_at(&self, time: Time) -> Result<()> {
        done(host::wake_at(time.micros))
    }

    /// What the operator set for a key in `[plugin.NAME.config]` of weir.toml.
    pub fn config(&self, key: &str) -> Result<Option<String>> {
        let mut buf = vec![0; 256];
        let mut n = host::config(key, &mut buf);
        if n > buf.len() as i32 {
            buf.resize(n as usize, 0);
            n = host::config(key, &mut buf);
        }
        if n == NO_SUCH_KEY {
            return Ok(None);
        }
        done(n)?;
        buf.truncate(n as usize);
        Ok(Some(String::from_utf8_lossy(&buf).into_owned()))
    }

    /// Asks for SQL that is made up during the call, which needs the capability
    /// "sql.dynamic". In a mutation it may write, and returns what RETURNING gives.
    pub fn query_sql<A: Record, R: Record>(&self, sql: &str, args: &A) -> Result<Rows<R>> {
        statement::made(sql, args)
    }

    /// Fills buf with randomness: the same for each run of a query or policy with
    /// equal input, unpredictable in mutations.
    pub fn random(&self, buf: &mut [u8]) -> Result<()> {
        done(host::random(buf))
    }

    /// Writes to the operator's log.
    pub fn debug(&self, text: &str) {
        host::log(0, text);
    }

    /// Writes to the operator's log.
    pub fn info(&self, text: &str) {
        host::log(1, text);
    }

    /// Writes to the operator's log.
    pub fn warn(&self, text: &str) {
        host::log(2, text);
    }

    /// Writes to the operator's log.
    pub fn error(&self, text: &str) {
        host::log(3, text);
    }
}

fn done(n: i32) -> Result<()> {
    if n < 0 {
        return Err(Error::refused(n, ""));
    }
    Ok(())
}
