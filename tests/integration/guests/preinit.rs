//! A function whose preparation costs much more than its answer.
use std::io::{stdin, stdout, Read, Write};

static mut TABLE: [u32; 4096] = [0; 4096];
static mut WORDS: Vec<String> = Vec::new();
static mut IS_READY: bool = false;

fn prepare() {
    unsafe {
        let mut x = 1u32;
        for i in 0..2_000_000usize {
            x = x.wrapping_mul(1664525).wrapping_add(1013904223);
            TABLE[i % 4096] ^= x;
        }
        WORDS = (0..100).map(|i| format!("word-{}", TABLE[i])).collect();
        IS_READY = true;
    }
}

#[no_mangle]
pub extern "C" fn warm_up() {
    prepare();
}

#[no_mangle]
pub extern "C" fn too_early() {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    unsafe { TABLE[0] = now.as_secs() as u32 };
}

#[no_mangle]
#[allow(static_mut_refs)]
pub extern "C" fn handle_event() {
    let mut input = String::new();
    stdin().read_to_string(&mut input).unwrap();
    unsafe {
        if !IS_READY {
            prepare();
        }
        let i: usize = input.trim().parse().unwrap();
        WORDS.push(format!("{} of {}", WORDS[i], WORDS.len()));
        write!(stdout(), "{}", WORDS.last().unwrap()).unwrap();
    }
}
