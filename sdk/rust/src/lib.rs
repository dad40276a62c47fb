//! nexus-sdk: what a function may do to the world outside, by the host calls of module `nexus` (ABI 1).
//!
//! Each call needs a grant in `nexus.yaml`; without it, it fails with [`Kind::Denied`] and says which key is missing. Answers are recorded: a replay
//! gets the very same ones, and touches nothing. All of it is safe to call; nothing is executed twice.
//!
//! As a crate (`nexus-sdk = { path = "…" }`), or as a module of your own: `nexus sdk rust > src/nexus_sdk.rs`, `mod nexus_sdk;`.
#![allow(dead_code)] // as a module, a program uses a part of it

use std::fmt;
use std::io::{self, Read, Write};

// ---- the event and the answer

/// The event's data, as it stands on stdin.
pub fn input() -> io::Result<Vec<u8>> {
    let mut data = Vec::new();
    io::stdin().read_to_end(&mut data)?;
    Ok(data)
}

/// Writes to stdout, which is the answer, and flushes it.
pub fn answer(data: impl AsRef<[u8]>) -> io::Result<()> {
    let mut out = io::stdout();
    out.write_all(data.as_ref())?;
    out.flush()
}

// ---- errors

/// Why a host call failed. The numbers are the ABI's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Kind {
    /// It is not granted in nexus.yaml, or the replay denies it.
    Denied,
    /// No such key, no such secret.
    NotFound,
    /// Compare-and-set: another revision is there.
    Conflict,
    /// The request is malformed.
    Invalid,
    /// Request or answer is too large.
    Limit,
    /// The other side took too long.
    Timeout,
    /// The other side can't be reached.
    Unavailable,
    /// Something else: a newer node, or a mistake of this library.
    Other(i32),
}

impl Kind {
    fn of(status: i32) -> Kind {
        match status {
            1 => Kind::Denied,
            2 => Kind::NotFound,
            3 => Kind::Conflict,
            4 => Kind::Invalid,
            5 => Kind::Limit,
            6 => Kind::Timeout,
            7 => Kind::Unavailable,
            other => Kind::Other(other),
        }
    }
}

/// A host call that failed: why, and in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    pub kind: Kind,
    pub message: String,
}

impl Error {
    fn new(kind: Kind, message: impl Into<String>) -> Error {
        Error { kind, message: message.into() }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.kind, self.message)
    }
}

impl std::error::Error for Error {}

pub type Result<T> = std::result::Result<T, Error>;

// ---- key-value stores

/// A key-value store of the namespace; `key_value_stores: [NAME]` grants it.
#[derive(Clone, Debug)]
pub struct Store {
    name: String,
}

/// A value, and its revision for compare-and-set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub revision: u64,
    pub value: Vec<u8>,
}

/// What has to be there for a write to happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expect {
    /// Whatever is there.
    Any,
    /// Nothing is.
    Absent,
    /// This revision is.
    Revision(u64),
}

impl Expect {
    fn number(self) -> Result<i64> {
        match self {
            Expect::Any => Ok(-1),
            Expect::Absent => Ok(0),
            Expect::Revision(r) if r > 0 && r <= i64::MAX as u64 => Ok(r as i64),
            Expect::Revision(r) => Err(Error::new(Kind::Invalid, format!("{} is no revision", r))),
        }
    }
}

impl Default for Store {
    fn default() -> Store {
        Store::open("default")
    }
}

impl Store {
    /// Asks nobody: a store that is not granted fails at its first use.
    pub fn open(name: impl Into<String>) -> Store {
        Store { name: name.into() }
    }

    /// `None`: there is no such key.
    pub fn get(&self, key: &str) -> Result<Option<Entry>> {
        match host::kv_get(&self.name, key) {
            Ok(answer) => split_revision(answer).map(Some),
            Err(e) if e.kind == Kind::NotFound => Ok(None),
            Err(e) => Err(e),
        }
    }

    /// Gives the new revision. [`Kind::Conflict`]: something else is there than was expected.
    pub fn put(&self, key: &str, value: impl AsRef<[u8]>, expect: Expect) -> Result<u64> {
        let answer = host::kv_put(&self.name, key, value.as_ref(), expect.number()?)?;
        split_revision(answer).map(|entry| entry.revision)
    }

    /// What is not there is deleted with success.
    pub fn delete(&self, key: &str) -> Result<()> {
        host::kv_delete(&self.name, key, -1)
    }

    pub fn delete_revision(&self, key: &str, revision: u64) -> Result<()> {
        host::kv_delete(&self.name, key, Expect::Revision(revision).number()?)
    }

    /// Reads, changes and writes until nobody was faster; `change` gets the value that is there, and may be called several times.
    pub fn update<F>(&self, key: &str, mut change: F) -> Result<u64>
    where
        F: FnMut(Option<&[u8]>) -> Vec<u8>,
    {
        let mut last = Error::new(Kind::Conflict, "others keep changing it");
        for _ in 0..32 {
            let entry = self.get(key)?;
            let expect = entry.as_ref().map_or(Expect::Absent, |e| Expect::Revision(e.revision));
            let value = change(entry.as_ref().map(|e| e.value.as_slice()));
            match self.put(key, value, expect) {
                Err(e) if e.kind == Kind::Conflict => last = e,
                other => return other,
            }
        }
        Err(last)
    }
}

/// "REVISION\n" and the value.
fn split_revision(answer: Vec<u8>) -> Result<Entry> {
    let end = answer.iter().position(|&b| b == b'\n');
    let revision = end.and_then(|n| std::str::from_utf8(&answer[..n]).ok()).and_then(|s| s.parse().ok());
    match (end, revision) {
        (Some(n), Some(revision)) => Ok(Entry { revision, value: answer[n + 1..].to_vec() }),
        _ => Err(Error::new(Kind::Other(0), "the answer holds no revision")),
    }
}

// ---- events

/// An event to emit; `emit: [TYPE]` grants it. It is published when the run has ended well, with all others of the run.
#[derive(Clone, Debug, Default)]
pub struct Event {
    head: String,
    data: Vec<u8>,
}

impl Event {
    pub fn new(event_type: &str) -> Event {
        Event { head: one_line(event_type) + "\n", data: Vec::new() }
    }

    pub fn subject(self, subject: &str) -> Event {
        self.attribute("subject", subject)
    }

    /// Events of one key are handled in order, where a function asks for that. Without one, the handled event's is taken over.
    pub fn partition_key(self, key: &str) -> Event {
        self.attribute("partitionkey", key)
    }

    /// Without one, the data is looked at: JSON, text, or bytes.
    pub fn content_type(self, content_type: &str) -> Event {
        self.attribute("content-type", content_type)
    }

    pub fn data(mut self, data: impl AsRef<[u8]>) -> Event {
        self.data = data.as_ref().to_vec();
        self
    }

    fn attribute(mut self, name: &str, value: &str) -> Event {
        self.head += &format!("{}: {}\n", name, one_line(value));
        self
    }

    pub fn emit(&self) -> Result<()> {
        host::emit(&join(&self.head, &self.data))
    }
}

/// Emits an event of this type with this data.
pub fn emit(event_type: &str, data: impl AsRef<[u8]>) -> Result<()> {
    Event::new(event_type).data(data).emit()
}

/// A line break would begin another attribute or header; the host refuses the character that stands for it.
fn one_line(s: &str) -> String {
    s.replace('\n', "\r")
}

fn join(head: &str, data: &[u8]) -> Vec<u8> {
    let mut message = Vec::with_capacity(head.len() + 1 + data.len());
    message.extend_from_slice(head.as_bytes());
    message.push(b'\n');
    message.extend_from_slice(data);
    message
}

// ---- HTTP

/// An HTTP request; `allowed_outbound_hosts: ["https://api.example.com"]` grants its host.
#[derive(Clone, Debug)]
pub struct Request {
    head: String,
    body: Vec<u8>,
}

/// An HTTP answer of any status.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Response {
    pub status: u16,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Request {
    pub fn new(method: &str, url: &str) -> Request {
        Request { head: format!("{} {}\n", one_line(method), one_line(url)), body: Vec::new() }
    }

    pub fn get(url: &str) -> Request {
        Request::new("GET", url)
    }

    pub fn post(url: &str, body: impl AsRef<[u8]>) -> Request {
        Request::new("POST", url).body(body)
    }

    pub fn header(mut self, name: &str, value: &str) -> Request {
        self.head += &format!("{}: {}\n", one_line(name), one_line(value));
        self
    }

    pub fn body(mut self, body: impl AsRef<[u8]>) -> Request {
        self.body = body.as_ref().to_vec();
        self
    }

    /// Redirects are followed as far as they are granted.
    pub fn send(&self) -> Result<Response> {
        Response::parse(host::http_request(&join(&self.head, &self.body))?)
    }
}

impl Response {
    /// The first header of that name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v.as_str())
    }

    pub fn text(&self) -> std::borrow::Cow<'_, str> {
        String::from_utf8_lossy(&self.body)
    }

    /// STATUS, then headers, one a line, an empty line, the body.
    fn parse(answer: Vec<u8>) -> Result<Response> {
        let bad = || Error::new(Kind::Other(0), "the answer is not one of HTTP");
        let mut response = Response::default();
        let mut rest = answer.as_slice();
        let mut is_first = true;
        loop {
            let end = rest.iter().position(|&b| b == b'\n').ok_or_else(bad)?;
            let line = String::from_utf8_lossy(&rest[..end]).into_owned();
            rest = &rest[end + 1..];
            if is_first {
                response.status = line.trim().parse().map_err(|_| bad())?;
            } else if line.is_empty() {
                response.body = rest.to_vec();
                return Ok(response);
            } else {
                let (name, value) = line.split_once(':').ok_or_else(bad)?;
                response.headers.push((name.to_ascii_lowercase(), value.trim().to_string()));
            }
            is_first = false;
        }
    }
}

// ---- secrets

/// The value of a secret; `secrets: [NAME]` grants it. It is never recorded.
pub fn secret(name: &str) -> Result<String> {
    String::from_utf8(host::secret_get(name)?).map_err(|_| Error::new(Kind::Other(0), format!("secret {} is not text", name)))
}

// ---- the boundary: all that is unsafe

mod host {
    use super::{Error, Kind, Result};

    #[cfg(target_arch = "wasm32")]
    mod sys {
        #[link(wasm_import_module = "nexus")]
        extern "C" {
            pub fn http_request(message: *const u8, message_len: usize) -> i32;
            pub fn kv_get(store: *const u8, store_len: usize, key: *const u8, key_len: usize) -> i32;
            pub fn kv_put(store: *const u8, store_len: usize, key: *const u8, key_len: usize, value: *const u8, value_len: usize, expected: i64) -> i32;
            pub fn kv_delete(store: *const u8, store_len: usize, key: *const u8, key_len: usize, expected: i64) -> i32;
            pub fn emit(message: *const u8, message_len: usize) -> i32;
            pub fn secret_get(name: *const u8, name_len: usize) -> i32;
            pub fn answer_size() -> usize;
            pub fn answer_read(to: *mut u8, offset: usize, len: usize) -> i32;
        }
    }

    /// Outside of WebAssembly there is no node: functions still compile, for their unit tests.
    #[cfg(not(target_arch = "wasm32"))]
    mod sys {
        const UNAVAILABLE: i32 = 7;
        pub unsafe fn http_request(_: *const u8, _: usize) -> i32 {
            UNAVAILABLE
        }
        pub unsafe fn kv_get(_: *const u8, _: usize, _: *const u8, _: usize) -> i32 {
            UNAVAILABLE
        }
        pub unsafe fn kv_put(_: *const u8, _: usize, _: *const u8, _: usize, _: *const u8, _: usize, _: i64) -> i32 {
            UNAVAILABLE
        }
        pub unsafe fn kv_delete(_: *const u8, _: usize, _: *const u8, _: usize, _: i64) -> i32 {
            UNAVAILABLE
        }
        pub unsafe fn emit(_: *const u8, _: usize) -> i32 {
            UNAVAILABLE
        }
        pub unsafe fn secret_get(_: *const u8, _: usize) -> i32 {
            UNAVAILABLE
        }
        pub unsafe fn answer_size() -> usize {
            0
        }
        pub unsafe fn answer_read(_: *mut u8, _: usize, _: usize) -> i32 {
            0
        }
    }

    /// What the last call left to read: its answer, or why it failed.
    fn take_answer() -> Vec<u8> {
        // SAFETY: the host writes at most `len` bytes to `to`, which has room for them, and says so by 0.
        unsafe {
            let mut answer = vec![0; sys::answer_size()];
            if sys::answer_read(answer.as_mut_ptr(), 0, answer.len()) != 0 {
                answer.clear();
            }
            answer
        }
    }

    fn result_of(status: i32) -> Result<Vec<u8>> {
        let answer = take_answer();
        if status == 0 {
            return Ok(answer);
        }
        Err(Error::new(Kind::of(status), String::from_utf8_lossy(&answer)))
    }

    // SAFETY of all below: pointer and length come from one slice, and the host only reads from it.

    pub fn http_request(message: &[u8]) -> Result<Vec<u8>> {
        result_of(unsafe { sys::http_request(message.as_ptr(), message.len()) })
    }

    pub fn kv_get(store: &str, key: &str) -> Result<Vec<u8>> {
        result_of(unsafe { sys::kv_get(store.as_ptr(), store.len(), key.as_ptr(), key.len()) })
    }

    pub fn kv_put(store: &str, key: &str, value: &[u8], expected: i64) -> Result<Vec<u8>> {
        result_of(unsafe { sys::kv_put(store.as_ptr(), store.len(), key.as_ptr(), key.len(), value.as_ptr(), value.len(), expected) })
    }

    pub fn kv_delete(store: &str, key: &str, expected: i64) -> Result<()> {
        result_of(unsafe { sys::kv_delete(store.as_ptr(), store.len(), key.as_ptr(), key.len(), expected) }).map(|_| ())
    }

    pub fn emit(message: &[u8]) -> Result<()> {
        result_of(unsafe { sys::emit(message.as_ptr(), message.len()) }).map(|_| ())
    }

    pub fn secret_get(name: &str) -> Result<Vec<u8>> {
        result_of(unsafe { sys::secret_get(name.as_ptr(), name.len()) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_taken_apart() {
        let entry = split_revision(b"42\nhello\nworld".to_vec()).unwrap();
        assert_eq!((entry.revision, entry.value.as_slice()), (42, &b"hello\nworld"[..]));
        assert!(split_revision(b"42".to_vec()).is_err());
        assert!(split_revision(b"x\n".to_vec()).is_err());
        let r = Response::parse(b"404\nContent-Type: text/plain\nx: a:b\n\nnot\n\nhere".to_vec()).unwrap();
        assert_eq!((r.status, r.header("content-type"), r.header("X")), (404, Some("text/plain"), Some("a:b")));
        assert_eq!(r.body, b"not\n\nhere");
        assert!(Response::parse(b"200\nno end".to_vec()).is_err());
        assert!(Response::parse(b"abc\n\n".to_vec()).is_err());
    }

    #[test]
    fn messages_have_no_further_lines() {
        let event = Event::new("a\nb").subject("x\nsubject: y").data("d");
        assert_eq!(join(&event.head, &event.data), b"a\rb\nsubject: x\rsubject: y\n\nd");
        assert_eq!(Request::get("https://x/\n").header("a", "b\nc").head, "GET https://x/\r\na: b\rc\n");
    }

    #[test]
    fn without_a_node_nothing_is_there() {
        assert_eq!(Store::default().get("x").unwrap_err().kind, Kind::Unavailable);
        assert_eq!(emit("t", "x").unwrap_err().kind, Kind::Unavailable);
        assert_eq!(Store::default().put("x", "y", Expect::Revision(0)).unwrap_err().kind, Kind::Invalid);
    }
}
