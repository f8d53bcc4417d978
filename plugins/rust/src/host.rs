//! The host functions of the contract: the only unsafe code of the SDK. Every
//! function passes memory that it borrows, which the host reads or writes before it
//! returns.

#[cfg(target_arch = "wasm32")]
mod imports {
    #[link(wasm_import_module = "weir_1")]
    extern "C" {
        pub fn query(statement: i32, args: *const u8, len: i32) -> i32;
        pub fn query_sql(sql: *const u8, sql_len: i32, args: *const u8, len: i32) -> i32;
        pub fn exec(statement: i32, args: *const u8, len: i32) -> i32;
        pub fn rows_affected(handle: i32) -> i64;
        pub fn rows_len(handle: i32) -> i32;
        pub fn rows_read(handle: i32, from: i32, buf: *mut u8, cap: i32) -> i32;
        pub fn rows_pick(handle: i32, indexes: *const u32, n: i32) -> i32;
        pub fn rows_project(handle: i32, columns: *const u32, n: i32) -> i32;
        pub fn rows_nest(handle: i32, name: *const u8, len: i32, child: i32, on: i32, column: i32) -> i32;
        pub fn close(handle: i32) -> i32;
        pub fn now() -> i64;
        pub fn wake_at(micros: i64) -> i32;
        pub fn random(buf: *mut u8, len: i32) -> i32;
        pub fn log(level: i32, text: *const u8, len: i32) -> i32;
        pub fn config(key: *const u8, key_len: i32, buf: *mut u8, cap: i32) -> i32;
        pub fn error(buf: *mut u8, cap: i32) -> i32;
    }
}

/// Outside of WebAssembly there is no host: everything is "not allowed here".
#[cfg(not(target_arch = "wasm32"))]
#[allow(clippy::missing_safety_doc)]
mod imports {
    macro_rules! absent {
        ($($name:ident($($arg:ty),*) -> $result:ty;)*) => {
            $(pub unsafe fn $name($(_: $arg),*) -> $result { -4 })*
        };
    }
    absent! {
        query(i32, *const u8, i32) -> i32;
        query_sql(*const u8, i32, *const u8, i32) -> i32;
        exec(i32, *const u8, i32) -> i32;
        rows_affected(i32) -> i64;
        rows_len(i32) -> i32;
        rows_read(i32, i32, *mut u8, i32) -> i32;
        rows_pick(i32, *const u32, i32) -> i32;
        rows_project(i32, *const u32, i32) -> i32;
        close(i32) -> i32;
        now() -> i64;
        wake_at(i64) -> i32;
        random(*mut u8, i32) -> i32;
        log(i32, *const u8, i32) -> i32;
        config(*const u8, i32, *mut u8, i32) -> i32;
        error(*mut u8, i32) -> i32;
    }
    pub unsafe fn rows_nest(_: i32, _: *const u8, _: i32, _: i32, _: i32, _: i32) -> i32 {
        -4
    }
}

pub fn query(statement: u32, args: &[u8]) -> i32 {
    unsafe { imports::query(statement as i32, args.as_ptr(), args.len() as i32) }
}

pub fn query_sql(sql: &str, args: &[u8]) -> i32 {
    unsafe { imports::query_sql(sql.as_ptr(), sql.len() as i32, args.as_ptr(), args.len() as i32) }
}

pub fn exec(statement: u32, args: &[u8]) -> i32 {
    unsafe { imports::exec(statement as i32, args.as_ptr(), args.len() as i32) }
}

pub fn rows_affected(handle: i32) -> i64 {
    unsafe { imports::rows_affected(handle) }
}

pub fn rows_len(handle: i32) -> i32 {
    unsafe { imports::rows_len(handle) }
}

pub fn rows_read(handle: i32, from: u32, buf: &mut [u8]) -> i32 {
    unsafe { imports::rows_read(handle, from as i32, buf.as_mut_ptr(), buf.len() as i32) }
}

pub fn rows_pick(handle: i32, indexes: &[u32]) -> i32 {
    unsafe { imports::rows_pick(handle, indexes.as_ptr(), indexes.len() as i32) }
}

pub fn rows_project(handle: i32, columns: &[u32]) -> i32 {
    unsafe { imports::rows_project(handle, columns.as_ptr(), columns.len() as i32) }
}

pub fn rows_nest(handle: i32, name: &str, child: i32, on: u32, column: u32) -> i32 {
    unsafe { imports::rows_nest(handle, name.as_ptr(), name.len() as i32, child, on as i32, column as i32) }
}

pub fn close(handle: i32) -> i32 {
    unsafe { imports::close(handle) }
}

pub fn now() -> i64 {
    unsafe { imports::now() }
}

pub fn wake_at(micros: i64) -> i32 {
    unsafe { imports::wake_at(micros) }
}

pub fn random(buf: &mut [u8]) -> i32 {
    unsafe { imports::random(buf.as_mut_ptr(), buf.len() as i32) }
}

pub fn log(level: i32, text: &str) {
    // A line that the host does not take has nowhere else to go.
    let _ = unsafe { imports::log(level, text.as_ptr(), text.len() as i32) };
}

pub fn config(key: &str, buf: &mut [u8]) -> i32 {
    unsafe { imports::config(key.as_ptr(), key.len() as i32, buf.as_mut_ptr(), buf.len() as i32) }
}

pub fn error(buf: &mut [u8]) -> i32 {
    unsafe { imports::error(buf.as_mut_ptr(), buf.len() as i32) }
}
