//! Says which version it is: the number that it was compiled with (--cfg n1, n2, n3) and the one that the platform tells it. Input "sleep MS" takes so long.
use std::io::{Read, Write};

fn built() -> &'static str {
    if cfg!(n1) {
        "v1"
    } else if cfg!(n2) {
        "v2"
    } else if cfg!(n3) {
        "v3"
    } else {
        "?"
    }
}

#[no_mangle]
pub extern "C" fn handle_event() {
    let mut input = String::new();
    std::io::stdin().read_to_string(&mut input).unwrap();
    if let Some(ms) = input.strip_prefix("sleep ") {
        std::thread::sleep(std::time::Duration::from_millis(ms.trim().parse().unwrap()));
    }
    if input == "fail" && cfg!(n1) {
        panic!("not in this version");
    }
    let told = std::env::var("NEXUS_VERSION").unwrap_or_default();
    std::io::stdout().write_all(format!("{} {}", built(), told).as_bytes()).unwrap();
}
