use std::fmt;

use crate::cbor::Encoder;
use crate::host;

/// The result of what can fail in a plugin.
pub type Result<T> = std::result::Result<T, Error>;

/// A failure that knows its code. [`fail`] makes one that the client sees; what is
/// not public reaches the client as "internal", and its message only the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    /// For programs, at most 128 bytes.
    pub code: String,
    /// For people.
    pub message: String,
    /// Whether the client may see code and message.
    pub public: bool,
    /// Whether a repeat may succeed.
    pub retryable: bool,
    pub(crate) errno: i32,
}

/// An error that the client sees: code for programs, message for people.
///
/// ```ignore
/// return Err(fail("empty", "write something first"));
/// ```
pub fn fail(code: &str, message: &str) -> Error {
    Error { code: code.into(), message: message.into(), public: true, retryable: false, errno: 0 }
}

/// An error for the log: the client sees "internal".
pub fn internal(message: impl Into<String>) -> Error {
    Error { code: "internal".into(), message: message.into(), public: false, retryable: false, errno: 0 }
}

/// An error of the contract itself.
pub(crate) fn contract(message: impl Into<String>) -> Error {
    Error { code: "guest_contract".into(), ..internal(message) }
}

const ERRNO_SQL: i32 = 7;
const MAX_CODE: usize = 128;
const MAX_MESSAGE: usize = (8 << 10) - 512;

impl Error {
    /// Says that the same call may succeed later.
    pub fn retryable(mut self) -> Error {
        self.retryable = true;
        self
    }

    /// Whether PostgreSQL refused a statement: a constraint, a privilege, a division
    /// by zero.
    pub fn is_sql(&self) -> bool {
        self.errno == ERRNO_SQL
    }

    /// The number of the host's refusal, 0 if it was none.
    pub fn errno(&self) -> i32 {
        self.errno
    }

    /// What the host said when it returned a negated errno; about names a statement.
    pub(crate) fn refused(n: i32, about: &str) -> Error {
        let mut buf = [0; 1024];
        let said = match host::error(&mut buf) {
            size if size > 0 && size as usize <= buf.len() => String::from_utf8_lossy(&buf[..size as usize]).into_owned(),
            _ => format!("errno {}", -n),
        };
        let message = if about.is_empty() { said } else { format!("{}: {}", about, said) };
        let code = if -n == ERRNO_SQL { "sql_error" } else { "internal" };
        Error { code: code.into(), errno: -n, ..internal(message) }
    }

    /// The error value of the contract, at most 8 KiB.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let code = if self.code.is_empty() { "internal" } else { cut(&self.code, MAX_CODE) };
        let mut e = Encoder::new();
        e.map(4);
        e.text("code").text(code);
        e.text("public").bool(self.public);
        e.text("message").text(cut(&self.message, MAX_MESSAGE));
        e.text("retryable").bool(self.retryable);
        e.into_bytes()
    }
}

/// The beginning of a text, at most n bytes of whole characters.
pub(crate) fn cut(text: &str, mut n: usize) -> &str {
    if text.len() <= n {
        return text;
    }
    while !text.is_char_boundary(n) {
        n -= 1;
    }
    &text[..n]
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.message)
    }
}

impl std::error::Error for Error {}

impl From<&str> for Error {
    fn from(message: &str) -> Error {
        internal(message)
    }
}

impl From<String> for Error {
    fn from(message: String) -> Error {
        internal(message)
    }
}
