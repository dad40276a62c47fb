//! Does what its event says, by host calls: "count KEY", "get STORE KEY", "put KEY VALUE EXPECTED", "emit TYPE N", "fail TYPE", "http URL", "reads N", "fill KEY KIB", "sum KEY N", "loop", "clock".
#[path = "../../../sdk/rust/src/lib.rs"]
mod nexus_sdk;

use nexus_sdk::{answer, emit, input, Event, Expect, Request, Store};
use std::time::SystemTime;

fn micros() -> u128 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |d| d.as_micros())
}

fn count(key: &str) -> nexus_sdk::Result<String> {
    let mut n = 0u64;
    Store::default().update(key, |now| {
        n = now.and_then(|v| std::str::from_utf8(v).ok()?.parse().ok()).unwrap_or(0) + 1;
        n.to_string().into_bytes()
    })?;
    Ok(n.to_string())
}

fn work(words: &[&str]) -> nexus_sdk::Result<String> {
    match words {
        ["count", key] => count(key),
        ["get", store, key] => Ok(match Store::open(*store).get(key)? {
            Some(e) => format!("{} {}", e.revision, String::from_utf8_lossy(&e.value)),
            None => "none".to_string(),
        }),
        ["put", key, value, expected] => {
            let expect = match *expected {
                "any" => Expect::Any,
                "absent" => Expect::Absent,
                n => Expect::Revision(n.parse().unwrap_or(1)),
            };
            Store::default().put(key, value, expect).map(|r| r.to_string())
        }
        ["delete", key] => Store::default().delete(key).map(|_| "deleted".to_string()),
        ["emit", kind, n] => {
            for i in 0..n.parse().unwrap_or(1u32) {
                Event::new(kind).subject(&format!("s/{}", i)).data(format!("{{\"i\": {}}}", i)).emit()?;
            }
            Ok(format!("emitted {}", n))
        }
        ["fail", kind] => {
            emit(kind, "never seen")?;
            panic!("after an event");
        }
        ["http", url] => Request::get(url).send().map(|r| format!("{} {}", r.status, r.text())),
        ["fill", key, kib] => Store::default().put(key, vec![b'x'; kib.parse().unwrap_or(1) * 1024], Expect::Any).map(|r| r.to_string()),
        ["loop"] => emit("looped", "loop").map(|_| "again".to_string()),
        ["reads", n] => {
            for _ in 0..n.parse().unwrap_or(1u32) {
                Store::default().get("some")?;
            }
            Ok("read".to_string())
        }
        ["sum", key, n] => {
            let mut bytes = 0;
            for _ in 0..n.parse().unwrap_or(1u32) {
                bytes += Store::default().get(key)?.map_or(0, |e| e.value.len());
            }
            Ok(bytes.to_string())
        }
        ["clock"] => {
            let before = micros();
            Store::default().get("some")?;
            Ok(format!("{}", micros() - before))
        }
        _ => Ok("?".to_string()),
    }
}

#[no_mangle]
pub extern "C" fn handle_event() {
    let text = String::from_utf8(input().unwrap()).unwrap();
    let words: Vec<&str> = text.split_whitespace().collect();
    let out = work(&words).unwrap_or_else(|e| format!("{:?}: {}", e.kind, e.message));
    answer(out).unwrap();
}
