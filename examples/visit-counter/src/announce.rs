//! Says which page is popular.
use std::io::Read;

#[no_mangle]
pub extern "C" fn handle_event() {
    let mut event = String::new();
    if std::io::stdin().read_to_string(&mut event).is_ok() {
        eprintln!("popular: {}", event);
    }
}
