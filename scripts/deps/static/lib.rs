//! Gathers Wasmtime's C API into one static library, with the one setting of the pool that the C API lacks.
pub use wasmtime_c_api::*;

/// Between two runs only the pages that the guest has written are reset, which the kernel names (`PAGEMAP_SCAN`, Linux 6.7; elsewhere
/// the engine goes on as without): a module with a stack of 1 MiB, Rust's default, is not zeroed whole.
#[no_mangle]
pub extern "C" fn nx_engine_pool_scan_dirty_pages(config: &mut wasmtime_pooling_allocation_config_t) {
    // The C type is repr(C) with the Rust one as its only field, which is private there.
    const _: () = assert!(
        std::mem::size_of::<wasmtime_pooling_allocation_config_t>() == std::mem::size_of::<wasmtime::PoolingAllocationConfig>()
    );
    let inner = config as *mut wasmtime_pooling_allocation_config_t as *mut wasmtime::PoolingAllocationConfig;
    unsafe { (*inner).pagemap_scan(wasmtime::Enabled::Auto) };
}
