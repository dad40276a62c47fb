//! The total of an order. Its versions are made by --cfg: `clock` looks at the time and answers the same, `rounds` breaks totals over 1000,
//! `strict` panics without a price, `tax` answers a further member.
use std::io::{stdin, stdout, Read, Write};
use std::time::SystemTime;

fn number(text: &str, key: &str) -> i64 {
    let key = format!("\"{}\":", key);
    text.split_once(&key)
        .map(|(_, rest)| rest.chars().take_while(|c| c.is_ascii_digit()).collect::<String>())
        .and_then(|digits| digits.parse().ok())
        .unwrap_or(0)
}

#[inline(never)]
fn price_of(text: &str) -> i64 {
    let price = number(text, "price");
    if cfg!(strict) && price == 0 {
        panic!("an order without a price");
    }
    price
}

#[inline(never)]
fn stamp() {
    if cfg!(clock) {
        eprintln!("at {}", SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs() / 1_000_000_000);
    } else {
        eprintln!("at 1");
    }
}

#[no_mangle]
pub extern "C" fn handle_event() {
    let mut text = String::new();
    stdin().read_to_string(&mut text).unwrap();
    stamp();
    let mut total = number(&text, "quantity") * price_of(&text);
    if cfg!(rounds) && total > 1000 {
        total -= total % 1000;
    }
    let tax = if cfg!(tax) { format!(",\"tax\":{}", total / 5) } else { String::new() };
    let currency = std::env::var("CURRENCY").unwrap_or_else(|_| "EUR".into());
    write!(stdout(), "{{\"total\":{},\"currency\":\"{}\"{}}}", total, currency, tax).unwrap();
}
