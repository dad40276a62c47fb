//! Fails as often as its input says: "<attempts that fail> [exit|trap|spin]", then answers with the number of the attempt.
use std::io::{stdin, stdout, Read, Write};

#[no_mangle]
pub extern "C" fn handle_event() {
    let mut text = String::new();
    stdin().read_to_string(&mut text).unwrap();
    let mut words = text.split_whitespace();
    let fails: u32 = words.next().and_then(|w| w.parse().ok()).unwrap_or(0);
    let attempt: u32 = std::env::var("NEXUS_ATTEMPT").unwrap().parse().unwrap();
    if attempt <= fails {
        match words.next().unwrap_or("exit") {
            "trap" => core::arch::wasm32::unreachable(),
            "spin" => loop {
                std::thread::yield_now()
            },
            _ => std::process::exit(3),
        }
    }
    write!(stdout(), "attempt {}", attempt).unwrap();
}
