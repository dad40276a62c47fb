//! Shows the file, or the folder, that its input names.
use std::io::{stdin, Read, Write};

fn show(path: &str) -> std::io::Result<Vec<u8>> {
    if std::fs::metadata(path)?.is_file() {
        return std::fs::read(path);
    }
    let mut names: Vec<String> = std::fs::read_dir(path)?.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    Ok(names.join(" ").into_bytes())
}

#[no_mangle]
pub extern "C" fn handle_event() {
    let mut input = String::new();
    stdin().read_to_string(&mut input).unwrap();
    let answer = match input.strip_prefix("change ") {
        Some(path) => std::fs::write(path, "mine now").map(|_| b"changed".to_vec()),
        None => show(&input),
    };
    let text = answer.unwrap_or_else(|e| format!("error {}", e.raw_os_error().unwrap_or(-1)).into_bytes());
    std::io::stdout().write_all(&text).unwrap();
}
