//! Computes for about as many milliseconds as its input says.
use std::io::{stdin, Read};

#[no_mangle]
pub extern "C" fn handle_event() {
    let mut input = String::new();
    stdin().read_to_string(&mut input).unwrap();
    let ms: u64 = input.trim().parse().unwrap_or(0);
    let mut x: u64 = 88172645463325252;
    for _ in 0..ms * 400_000 {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
    }
    print!("{}", x);
}
