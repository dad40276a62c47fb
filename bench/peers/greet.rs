//! The function of the comparison: the event parsed, a greeting answered. greet.mjs is the same for the others.
//! It takes any JSON object of strings: a parser for just what the load generator sends would be unfair to the others.
use std::collections::HashMap;
use std::io::{stdin, stdout, Read, Write};
use std::iter::Peekable;
use std::str::Chars;

fn space(text: &mut Peekable<Chars>) {
    while text.peek().map_or(false, |c| c.is_ascii_whitespace()) {
        text.next();
    }
}

fn expect(text: &mut Peekable<Chars>, wanted: char) {
    space(text);
    let found = text.next();
    assert!(found == Some(wanted), "expected '{}', found {:?}", wanted, found);
}

fn hex4(text: &mut Peekable<Chars>) -> u32 {
    (0..4).fold(0, |value, _| value * 16 + text.next().and_then(|c| c.to_digit(16)).expect("four hexadecimal digits"))
}

fn string(text: &mut Peekable<Chars>) -> String {
    expect(text, '"');
    let mut value = String::new();
    loop {
        match text.next().expect("a closing quote") {
            '"' => return value,
            '\\' => value.push(match text.next().expect("a character behind the backslash") {
                'n' => '\n',
                't' => '\t',
                'r' => '\r',
                'b' => '\u{8}',
                'f' => '\u{c}',
                'u' => match hex4(text) {
                    high @ 0xd800..=0xdbff => {
                        assert!(text.next() == Some('\\') && text.next() == Some('u'), "half a surrogate pair");
                        let low = hex4(text);
                        char::from_u32(0x10000 + ((high - 0xd800) << 10) + low.wrapping_sub(0xdc00)).expect("a character")
                    }
                    code => char::from_u32(code).expect("a character"),
                },
                other => other,
            }),
            c => value.push(c),
        }
    }
}

fn object(input: &str) -> HashMap<String, String> {
    let text = &mut input.chars().peekable();
    let mut members = HashMap::new();
    expect(text, '{');
    loop {
        let name = string(text);
        expect(text, ':');
        space(text);
        members.insert(name, string(text));
        space(text);
        match text.next() {
            Some(',') => space(text),
            Some('}') => return members,
            other => panic!("expected ',' or a closing brace, found {:?}", other),
        }
    }
}

fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            c if c < ' ' => out.push_str(&format!("\\u{:04x}", c as u32)),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

#[no_mangle]
pub extern "C" fn handle_event() {
    let mut input = String::new();
    stdin().read_to_string(&mut input).expect("the event's data as UTF-8");
    let event = object(&input);
    let greeting = format!("Hello, {}!", event["email"]);
    let answer = format!("{{\"greeting\":{},\"id\":{}}}", quoted(&greeting), quoted(&event["id"]));
    stdout().write_all(answer.as_bytes()).expect("standard output");
}
