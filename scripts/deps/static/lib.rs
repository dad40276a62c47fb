//! Gathers Wasmtime's C API into one static library, with what the C API lacks: a setting of the pool, and tables without a garbage collector.
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

/// A table's element; false where it is none of a function. An empty one is all zeros. `wasmtime_table_get()` ends the process in a build
/// without the engine's garbage collector.
#[no_mangle]
pub extern "C" fn nx_engine_table_func(
    mut store: WasmtimeStoreContextMut<'_>,
    table: &wasmtime::Table,
    index: u64,
    ret: &mut std::mem::MaybeUninit<wasmtime_func_t>,
) -> bool {
    match table.get(&mut store, index) {
        Some(wasmtime::Ref::Func(f)) => {
            *ret = if f.is_some() { std::mem::MaybeUninit::new(f.into()) } else { std::mem::MaybeUninit::zeroed() };
            true
        }
        _ => false,
    }
}
