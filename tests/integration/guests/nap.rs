//! Sleeps for as many milliseconds as "ms" of its JSON input says.
use std::io::{stdin, Read};

#[no_mangle]
pub extern "C" fn handle_event() {
    let mut input = String::new();
    stdin().read_to_string(&mut input).unwrap();
    let digits: String = input.split("\"ms\":").nth(1).unwrap_or("").trim().chars().take_while(|c| c.is_ascii_digit()).collect();
    let ms: u64 = digits.parse().unwrap_or(0);
    if ms > 0 {
        std::thread::sleep(std::time::Duration::from_millis(ms));
    }
    print!("{}", ms);
}
