//! A command module: `main`, so the entry point is `_start`.
use std::io::Read;

fn main() {
    let mut input = String::new();
    std::io::stdin().read_to_string(&mut input).unwrap();
    eprintln!("a command reads {} bytes", input.len());
    print!("command:{}", input);
}
