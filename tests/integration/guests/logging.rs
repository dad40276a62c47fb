use std::io::{stdin, stdout, Read, Write};

#[no_mangle]
pub extern "C" fn handle_event() {
    let mut input = Vec::new();
    stdin().read_to_end(&mut input).unwrap();
    eprintln!("Processing user event");
    stdout().write_all(b"done").unwrap();
}
