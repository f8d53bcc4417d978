//! The SDK for plugins of weir in Rust: declare SQL statements and functions over
//! them, say who may call, and weir keeps every result live.
//!
//! ```ignore
//! use weir::{record, Plugin};
//!
//! record! {
//!     struct ListArgs {
//!         room: i64,
//!         author: Option<String>,
//!         #[weir(min = 1, max = 200, default = 50)]
//!         limit: i64,
//!     }
//!     struct Message { id: i64, author: String, body: String }
//!     struct MemberArgs {
//!         room: i64,
//!         #[weir(claim = "sub")]
//!         me: String,
//!     }
//! }
//!
//! fn chat(p: &mut Plugin) {
//!     let member = p.allow_if::<MemberArgs>("member",
//!         "select 1 from members where room_id = $room and user_id = $me");
//!     let list = p.select::<ListArgs, Message>(
//!         "select id, author, body from messages
//!          where room_id = $room {and author = $author} order by id desc limit $limit").key("id");
//!     p.query("messages.list", list).require(&member);
//! }
//!
//! weir::plugin!("chat", "1.0.0", chat);
//! ```
//!
//! # Promises
//!
//! - R1: a function sees of its caller the fields of its record, and nothing else.
//! - R2: a function that is one statement never enters the guest; a handler that
//!   returns [`Rows`] never receives them.
//! - R3: what is written is core deterministic CBOR; what is read is refused unless
//!   the contract allows it.
//! - R4: a panic is a line in the operator's log, and then a trap.
//! - R5: mistakes in names and statements are told when the plugin loads, all at once.
//!
//! # Ownership
//!
//! Statements and handlers live as long as the module. A [`Call`] and the rows that
//! it opened end with the call; what a plugin keeps in statics may be there in the
//! next call or not.
//!
//! # What it does not do
//!
//! It has no dependencies, no network, no files and no clock but the call's. It does
//! not check arguments: the host did, by the schemas that come from the records.
#![deny(unsafe_code)]
#![warn(missing_docs)]

mod call;
mod cbor;
mod decision;
#[doc(hidden)]
pub mod entry;
mod error;
mod field;
mod function;
#[allow(unsafe_code)]
mod host;
mod manifest;
mod plugin;
mod record;
mod rows;
mod scalar;
mod schema;
mod sql;
mod statement;
#[cfg(test)]
mod tests;
mod time;
mod value;

pub use call::Call;
pub use cbor::{Decoder, Encoder};
pub use decision::{allow, deny, Decision};
pub use error::{fail, internal, Error, Result};
pub use field::{Field, FieldSpec, Spec};
pub use function::{func, Body, Function, Output};
pub use plugin::{Plugin, Policy};
pub use record::{Layout, Plan, Record};
pub use rows::Rows;
pub use scalar::{Bytes, Date, Decimal, Json, Uuid};
pub use schema::Schema;
pub use statement::{AnyStatement, Exec, Select};
pub use time::Time;
pub use value::Value;

/// Makes the module's exports: the plugin's name and version, and the function that
/// declares what it has.
///
/// ```ignore
/// weir::plugin!("chat", "1.0.0", chat);
/// ```
#[macro_export]
macro_rules! plugin {
    ($name:expr, $version:expr, $declare:expr) => {
        #[no_mangle]
        extern "C" fn weir_describe() -> i64 {
            $crate::entry::describe($name, $version, $declare)
        }
        #[no_mangle]
        extern "C" fn weir_buf(min: i32) -> i32 {
            $crate::entry::buffer(min)
        }
        #[no_mangle]
        extern "C" fn weir_call(function: i32, length: i32) -> i64 {
            $crate::entry::call(function, length)
        }
    };
}
