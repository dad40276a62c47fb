//! Asks for as many MiB of memory as its input says, and says whether it got them.
use std::io::{stdin, Read};

#[no_mangle]
pub extern "C" fn handle_event() {
    let mut input = String::new();
    stdin().read_to_string(&mut input).unwrap();
    let mib: usize = input.trim().parse().unwrap();
    let is_refused = core::arch::wasm32::memory_grow(0, mib << 4) == usize::MAX;
    print!("{} {}", if is_refused { "refused" } else { "got" }, mib);
}
