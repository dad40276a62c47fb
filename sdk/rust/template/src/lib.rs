use std::io::{stdin, stdout, Read, Write};

/// Called for every event: its data on stdin, the answer on stdout, log lines on stderr.
#[no_mangle]
pub extern "C" fn handle_event() {
    let mut input = Vec::new();
    stdin().read_to_end(&mut input).unwrap();

    eprintln!("Processing user event");

    let response = format!("Processed: {}", String::from_utf8_lossy(&input));
    stdout().write_all(response.as_bytes()).unwrap();
}
