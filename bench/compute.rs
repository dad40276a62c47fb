//! What compute_bench measures: no imports, so that nothing but compiled code takes time.
#![no_std]

#[panic_handler]
fn panic(_: &core::panic::PanicInfo) -> ! {
    core::arch::wasm32::unreachable()
}

const CELLS: usize = 4096;
static mut INTEGERS: [u64; CELLS] = [0; CELLS];
static mut FLOATS: [f64; CELLS] = [0.0; CELLS];

fn xorshift(mut x: u64) -> u64 {
    x ^= x << 13;
    x ^= x >> 7;
    x ^ (x << 17)
}

/// xorshift, and one read and one write of an array for each number.
#[no_mangle]
pub extern "C" fn integers(iterations: u32) -> u64 {
    let cells = unsafe { &mut *core::ptr::addr_of_mut!(INTEGERS) };
    let (mut x, mut sum) = (88172645463325252u64, 0u64);
    for _ in 0..iterations {
        x = xorshift(x);
        let at = (x >> 32) as usize % CELLS;
        sum = sum.wrapping_add(cells[at]);
        cells[at] = x;
    }
    sum
}

/// The same with floating-point numbers: a multiplication, an addition and a division for each.
#[no_mangle]
pub extern "C" fn floats(iterations: u32) -> u64 {
    let cells = unsafe { &mut *core::ptr::addr_of_mut!(FLOATS) };
    let (mut x, mut sum) = (88172645463325252u64, 0f64);
    for _ in 0..iterations {
        x = xorshift(x);
        let at = (x >> 32) as usize % CELLS;
        sum = sum * 0.75 + cells[at];
        cells[at] = 1.0 / ((x & 0xffff) as f64 + 1.0);
    }
    sum.to_bits()
}
