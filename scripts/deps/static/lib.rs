//! Gathers Wasmtime's C API into one static library.
pub use wasmtime_c_api::*;
