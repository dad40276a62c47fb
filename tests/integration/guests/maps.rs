//! Counts the bytes of its input in a HashMap, whose order comes from random numbers, keeps them in a file, and answers in that order, with times and
//! a float for each. A third of all inputs ends it otherwise.
use std::collections::{HashMap, HashSet};
use std::io::{stdin, stdout, Read, Write};
use std::time::{Instant, SystemTime};

#[no_mangle]
pub extern "C" fn handle_event() {
    let (began, mut input, mut counts) = (Instant::now(), Vec::new(), HashMap::new());
    stdin().read_to_end(&mut input).unwrap();
    for b in &input {
        *counts.entry(*b).or_insert(0u64) += 1;
    }
    let mut file = std::fs::File::create("/tmp/counts").unwrap();
    for (b, n) in &counts {
        writeln!(file, "{} {} {:?}", b, n, (*n as f64).sqrt() / (*b as f64 - 1.0)).unwrap();
    }
    let text = std::fs::read_to_string("/tmp/counts").unwrap();
    let lines: HashSet<&str> = text.lines().collect();
    for line in &lines {
        writeln!(stdout(), "{} {:?}", line, SystemTime::now()).unwrap();
    }
    match input.first().map_or(0, |b| b % 9) {
        1 => panic!("{} of {:?}", lines.len(), lines.iter().next()),
        2 => std::process::exit(lines.len() as i32),
        3 => eprintln!("{:?} after {:?}", counts, began.elapsed()),
        _ => {}
    }
}
