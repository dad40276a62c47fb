//! Uses files as programs do: what it finds and makes in the folder of its first argument, or in /tmp.
use std::fs;
use std::io::{Read, Seek, SeekFrom, Write};

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let dir = arguments.get(1).map_or("/tmp", |a| a.as_str());
    let mut input = String::new();
    std::io::stdin().read_to_string(&mut input).unwrap();
    let mut names: Vec<_> = fs::read_dir(dir).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    println!("found {}", names.join(" "));
    fs::create_dir_all(format!("{}/made/deep", dir)).unwrap();
    let path = format!("{}/made/deep/note", dir);
    let mut file = fs::OpenOptions::new().create(true).read(true).write(true).open(&path).unwrap();
    file.write_all(input.as_bytes()).unwrap();
    file.seek(SeekFrom::Start(1)).unwrap();
    let mut back = String::new();
    file.read_to_string(&mut back).unwrap();
    println!("read {}", back);
    fs::rename(&path, format!("{}/moved", dir)).unwrap();
    println!("old place {:?}", fs::metadata(&path).map_err(|e| e.kind()).map(|m| m.len()));
    println!("size {}", fs::metadata(format!("{}/moved", dir)).unwrap().len());
    println!("outside {:?}", fs::read_to_string("/etc/passwd").map_err(|_| "no"));
    if names.iter().any(|n| n == "remove-me") {
        fs::remove_dir_all(format!("{}/remove-me", dir)).unwrap();
        fs::remove_dir_all(format!("{}/made", dir)).unwrap();
    }
    if let Some(size) = input.strip_prefix("fill ") {
        let block = vec![b'x'; 1 << 20];
        let mut big = fs::File::create(format!("{}/big", dir)).unwrap();
        for _ in 0..size.trim().parse::<u32>().unwrap() {
            if let Err(e) = big.write_all(&block) {
                println!("full {:?}", e.raw_os_error());
                break;
            }
        }
    }
    std::process::exit(arguments.get(2).map_or(0, |code| code.parse().unwrap()));
}
