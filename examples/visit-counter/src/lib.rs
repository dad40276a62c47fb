//! Counts visits of pages in a key-value store, and emits an event at every third one.
mod nexus_sdk;

use nexus_sdk::{answer, emit, input, Store};

#[no_mangle]
pub extern "C" fn handle_event() -> i32 {
    match count() {
        Ok(visits) => {
            answer(format!("{}\n", visits)).map_or(1, |_| 0)
        }
        Err(e) => {
            eprintln!("{}", e);
            1
        }
    }
}

fn count() -> Result<u64, Box<dyn std::error::Error>> {
    let page = String::from_utf8(input()?)?;
    let page = page.trim();
    let mut visits = 0;
    // Two visits at the same time: the later one reads again what the earlier one wrote.
    Store::default().update(&format!("visits/{}", page), |now| {
        visits = now.and_then(|v| std::str::from_utf8(v).ok()).and_then(|v| v.parse().ok()).unwrap_or(0) + 1;
        visits.to_string().into_bytes()
    })?;
    eprintln!("visit {} of {}", visits, page);
    if visits % 3 == 0 {
        emit("page.popular", format!("{{\"page\": \"{}\", \"visits\": {}}}", page, visits))?;
    }
    Ok(visits)
}
