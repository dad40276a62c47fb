//! Prepared ahead of time, and reads files in its runs.
use std::fs;

static mut GREETING: String = String::new();

#[no_mangle]
pub extern "C" fn warm_up() {
    unsafe { GREETING = "prepared".to_string() };
}

#[no_mangle]
pub extern "C" fn too_early() {
    unsafe { GREETING = fs::read_to_string("/words.txt").unwrap_or_default() };
}

#[no_mangle]
pub extern "C" fn by_argument(x: i32) -> i32 {
    x
}

#[no_mangle]
#[allow(static_mut_refs)]
pub extern "C" fn handle_event() {
    fs::write("/tmp/scratch", "x").unwrap();
    let words = fs::read_to_string("/words.txt").unwrap();
    unsafe { println!("{} {}", GREETING, words) };
}
