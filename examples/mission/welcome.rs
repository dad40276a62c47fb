use std::io::{stdin, stdout, Read, Write};

#[no_mangle]
pub extern "C" fn handle_event() {
    let mut input = Vec::new();
    stdin().read_to_end(&mut input).unwrap();

    let response = format!("Processed: {}", String::from_utf8_lossy(&input));
    stdout().write_all(response.as_bytes()).unwrap();
}
