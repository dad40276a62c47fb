// Writes what is on stdin into the files that its arguments name; the last argument is a folder to make.
use std::io::Read;

fn main() {
    let mut args: Vec<String> = std::env::args().skip(1).collect();
    let folder = args.pop().unwrap();
    let mut data = Vec::new();
    std::io::stdin().read_to_end(&mut data).unwrap();
    for path in args {
        std::fs::write(path, &data).unwrap();
    }
    std::fs::create_dir(folder).unwrap();
}
