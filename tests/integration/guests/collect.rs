//! Gives its input back; fails where "poison" is in it, and at the first attempt where "flaky" is.
use std::io::{stdin, Read};

#[no_mangle]
pub extern "C" fn handle_event() {
    let mut input = String::new();
    stdin().read_to_string(&mut input).unwrap();
    let is_first = std::env::var("NEXUS_ATTEMPT").unwrap_or_default() == "1";
    if input.contains("poison") || (is_first && input.contains("flaky")) {
        std::process::exit(3);
    }
    print!("{}", input);
}
