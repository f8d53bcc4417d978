// A guest that computes, with Rust's standard library: built with
// rustc -O --crate-type=cdylib --target wasm32-unknown-unknown
use std::collections::HashMap;
use std::fmt::Write;

fn numbers() -> Vec<u32> {
    let mut seed = 1u32;
    (0..4000)
        .map(|_| {
            seed = seed.wrapping_mul(1664525).wrapping_add(1013904223);
            seed >> 8
        })
        .collect()
}

fn sort_numbers() -> u32 {
    let mut list = numbers();
    list.sort_unstable();
    list[7]
}

fn sort_strings() -> u32 {
    let mut list: Vec<String> = numbers().iter().take(1000).map(|n| format!("w{}", n)).collect();
    list.sort();
    list[7].len() as u32
}

fn map() -> u32 {
    let mut m: HashMap<u32, usize> = HashMap::new();
    for (i, n) in numbers().iter().enumerate() {
        *m.entry(n >> 4).or_insert(0) += i;
    }
    m.len() as u32
}

fn build() -> u32 {
    let mut s = String::new();
    for (i, n) in numbers().iter().take(1000).enumerate() {
        write!(s, "{{\"id\":{},\"score\":{:.2},\"body\":{:?}}},", i, *n as f64 / 8.0, "some words").unwrap();
    }
    s.len() as u32
}

#[inline(never)]
fn fibonacci(n: u32) -> u32 {
    if n < 2 {
        n
    } else {
        fibonacci(n - 1) + fibonacci(n - 2)
    }
}

#[no_mangle]
pub extern "C" fn work(kind: u32) -> u32 {
    match kind {
        0 => sort_numbers(),
        1 => sort_strings(),
        2 => map(),
        3 => build(),
        _ => fibonacci(20),
    }
}
