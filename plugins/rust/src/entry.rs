//! What the exports do.

use std::cell::RefCell;
use std::sync::Once;

use crate::call::Call;
use crate::error::{contract, Error};
use crate::function::Reply;
use crate::host;
use crate::plugin::Plugin;
pub use crate::record::{read_field, read_record, schema_of, write_record};

const INPUT_BYTES: usize = 64 << 10;

thread_local! {
    static PLUGIN: RefCell<Option<Plugin>> = RefCell::new(None);
    /// What the host writes into. Its address stays, so that it is part of the image.
    static INPUT: RefCell<Vec<u8>> = RefCell::new(Vec::new());
    /// The last result, until the host has copied it.
    static OUTPUT: RefCell<Vec<u8>> = RefCell::new(Vec::new());
}

static HOOK: Once = Once::new();

/// A panic is logged, then the module traps.
fn hook() {
    HOOK.call_once(|| std::panic::set_hook(Box::new(|info| host::log(3, &info.to_string()))));
}

pub fn describe(name: &str, version: &str, declare: fn(&mut Plugin)) -> i64 {
    hook();
    let mut plugin = Plugin::new(name, version);
    declare(&mut plugin);
    plugin.seal();
    let manifest = plugin.manifest();
    PLUGIN.with(|p| p.replace(Some(plugin)));
    packed(match manifest {
        Ok(bytes) => Reply::Value(bytes),
        Err(problems) => {
            host::log(3, &problems);
            Reply::Error(Error { public: true, ..contract(problems) }.encode())
        }
    })
}

pub fn buffer(min: i32) -> i32 {
    INPUT.with(|input| {
        let mut input = input.borrow_mut();
        let size = (min.max(0) as usize).max(INPUT_BYTES);
        if input.len() < size {
            *input = vec![0; size];
        }
        input.as_ptr() as usize as i32
    })
}

pub fn call(function: i32, length: i32) -> i64 {
    packed(PLUGIN.with(|plugin| INPUT.with(|input| {
        let (plugin, input) = (plugin.borrow(), input.borrow());
        let f = plugin.as_ref().and_then(|p| p.functions.get(function as usize));
        match (f.and_then(|f| f.body.run.as_ref()), input.get(..length as usize)) {
            (Some(run), Some(bytes)) => run(&Call(()), bytes),
            _ => Reply::Error(contract("the host called a function that is not the guest's").encode()),
        }
    })))
}

/// A result as an i64: a tag, an address or a handle, a length.
fn packed(reply: Reply) -> i64 {
    let (tag, bytes) = match reply {
        Reply::Value(bytes) => (0, bytes),
        Reply::Rows(handle) => return 1 << 60 | i64::from(handle) << 30,
        Reply::Error(bytes) => (2, bytes),
        Reply::Nothing => return 3 << 60,
    };
    OUTPUT.with(|output| {
        output.replace(bytes);
        let output = output.borrow();
        tag << 60 | (output.as_ptr() as usize as i64) << 30 | output.len() as i64
    })
}
