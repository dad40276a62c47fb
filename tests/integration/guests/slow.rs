//! Takes two seconds for each event, whatever it is.
use std::io::Read;

#[no_mangle]
pub extern "C" fn handle_event() {
    let mut input = Vec::new();
    std::io::stdin().read_to_end(&mut input).unwrap();
    std::thread::sleep(std::time::Duration::from_secs(2));
    print!("{}", input.len());
}
