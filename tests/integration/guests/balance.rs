//! Answers with what the store holds; fails where it holds nothing or may not be asked.
#[path = "../../../sdk/rust/src/lib.rs"]
mod nexus_sdk;

use nexus_sdk::{answer, Store};

#[no_mangle]
pub extern "C" fn handle_event() {
    match Store::default().get("balance") {
        Ok(Some(entry)) => answer(String::from_utf8_lossy(&entry.value).into_owned()).unwrap(),
        Ok(None) => std::process::exit(3),
        Err(_) => std::process::exit(4),
    }
}
