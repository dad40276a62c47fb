//! Does what the first word of its input says: one guest for the outcomes and the world that tests want to see.
use std::collections::hash_map::RandomState;
use std::collections::HashMap;
use std::hash::{BuildHasher, Hasher};
use std::io::{stdin, stdout, Read, Write};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Hides a value from the optimizer (std::hint::black_box needs Rust 1.66).
fn keep<T>(value: T) -> T {
    let copy = unsafe { std::ptr::read_volatile(&value) };
    std::mem::forget(value);
    copy
}

fn spin() {
    let mut x = 0u64;
    loop {
        x = keep(x + 1);
    }
}

fn grow(mib: usize) -> String {
    let mut blocks: Vec<Vec<u8>> = Vec::new();
    for i in 0..mib {
        let mut block = vec![0u8; 1 << 20];
        block[i % 4096] = 1;
        blocks.push(block);
    }
    format!("held {} MiB", keep(&blocks).len())
}

/// All that a guest can find out about where and when it runs.
fn world() -> String {
    let mut text = String::new();
    let t0 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let i0 = Instant::now();
    let mut map = HashMap::new();
    for i in 0..64u32 {
        map.insert(i * 7919, i);
    }
    let order: Vec<String> = map.keys().map(|k| k.to_string()).collect();
    let mut hasher = RandomState::new().build_hasher();
    hasher.write(b"nexus");
    text.push_str(&format!("order {}\nhash {:016x}\n", order.join(","), hasher.finish()));
    for _ in 0..1000 {
        keep(Instant::now());
    }
    let t1 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    text.push_str(&format!("began {}\nended {}\nelapsed {}\n", t0.as_nanos(), t1.as_nanos(), i0.elapsed().as_nanos()));
    text.push_str(&format!("arguments {}\n", std::env::args().count()));
    text
}

fn number(word: Option<&str>) -> u64 {
    word.and_then(|w| w.parse().ok()).unwrap_or(0)
}

#[no_mangle]
pub extern "C" fn handle_event() {
    let mut input = Vec::new();
    stdin().read_to_end(&mut input).unwrap();
    let text = String::from_utf8_lossy(&input).into_owned();
    let mut words = text.split_whitespace();
    let mut out = Vec::new();
    match words.next().unwrap_or("") {
        "env" => {
            for (key, value) in std::env::vars_os() {
                out.extend(format!("{}={}\n", key.to_string_lossy(), value.to_string_lossy()).into_bytes());
            }
        }
        "exit" => std::process::exit(number(words.next()) as i32),
        "trap" => core::arch::wasm32::unreachable(),
        "panic" => panic!("the guest gives up"),
        "spin" => spin(),
        "grow" => out.extend(grow(number(words.next()) as usize).into_bytes()),
        "output" => {
            let n = number(words.next());
            let block = [b'x'; 65536];
            let mut left = n;
            while left > 0 {
                let k = left.min(block.len() as u64);
                stdout().write_all(&block[..k as usize]).unwrap();
                left -= k;
            }
        }
        "partial" => {
            stdout().write_all(b"half an answer").unwrap();
            stdout().flush().unwrap();
            core::arch::wasm32::unreachable()
        }
        "sleep" => {
            let ms = number(words.next());
            let begin = Instant::now();
            std::thread::sleep(Duration::from_millis(ms));
            out.extend(format!("slept {}", begin.elapsed().as_millis()).into_bytes());
        }
        "log" => {
            for i in 0..number(words.next()) {
                eprintln!("line {}", i);
            }
        }
        "gasp" => {
            for i in 0..number(words.next()) {
                eprintln!("line {}", i);
            }
            keep(Vec::<u8>::with_capacity(1 << 30));
        }
        "say" => eprintln!("{}", words.collect::<Vec<_>>().join(" ")),
        "binary" => out.extend((0..=255u8).collect::<Vec<_>>()),
        "world" => out.extend(world().into_bytes()),
        "file" => {
            let read = std::fs::read_to_string(words.next().unwrap_or("/etc/passwd"));
            out.extend(format!("{:?}", read.map_err(|e| e.kind())).into_bytes());
        }
        _ => out.extend(input),
    }
    stdout().write_all(&out).unwrap();
}
