//! Misbehaves as the variable DOES says.
use std::env::var;
use std::io::{stdout, Write};

fn panics(index: usize) -> u8 {
    let three = [1, 2, 3];
    three[index]
}

fn loops() {
    let mut n = 0u64;
    // Volatile, or the compiler would see the end of it at once.
    while unsafe { std::ptr::read_volatile(&n) } < u64::MAX {
        n += 1;
    }
}

fn hoards() {
    let mut hoard = Vec::new();
    loop {
        hoard.push(vec![7u8; 1 << 20]);
        eprintln!("{} MiB", hoard.len());
    }
}

fn floods() {
    let line = [b'x'; 1024];
    loop {
        stdout().write_all(&line).unwrap();
    }
}

#[no_mangle]
pub extern "C" fn handle_event() {
    match var("DOES").as_deref() {
        Ok("panic") => drop(panics(var("DOES").map_or(0, |text| text.len()))),
        Ok("loop") => loops(),
        Ok("hoard") => hoards(),
        Ok("flood") => floods(),
        other => eprintln!("DOES is {:?}", other),
    }
}
