//! Gathers Wasmtime's C API into one static library, with what the C API lacks: a setting of the pool, tables without a
//! garbage collector, and whether it was the system that refused a guest memory.
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

/// The limits of a store, and what became of them; the caller's, who keeps it until the store is deleted.
#[repr(C)]
pub struct nx_engine_growth {
    memory_bytes: u64,
    table_elements: u64,
    is_refused: bool,
}

/// Decides as `wasmtime_store_limiter()` does.
impl wasmtime::ResourceLimiter for nx_engine_growth {
    fn memory_growing(&mut self, _current: usize, desired: usize, maximum: Option<usize>) -> wasmtime::Result<bool> {
        Ok(desired as u64 <= self.memory_bytes && maximum.is_none_or(|m| desired <= m))
    }

    /// The engine calls this for bounds of its own too (4 GiB, the pool's), with errors of its own; the system's are of `std::io`. A guest that the
    /// system refused memory ends there: what it would do next depends on this machine.
    fn memory_grow_failed(&mut self, error: wasmtime::Error) -> wasmtime::Result<()> {
        if !error.is::<std::io::Error>() {
            return Ok(());
        }
        self.is_refused = true;
        Err(error)
    }

    fn table_growing(&mut self, _current: usize, desired: usize, maximum: Option<usize>) -> wasmtime::Result<bool> {
        Ok(desired as u64 <= self.table_elements && maximum.is_none_or(|m| desired <= m))
    }

    fn instances(&self) -> usize {
        1
    }

    fn tables(&self) -> usize {
        4
    }

    fn memories(&self) -> usize {
        1
    }
}

#[no_mangle]
pub extern "C" fn nx_engine_limit_growth(store: &mut wasmtime_store_t, growth: *mut nx_engine_growth) {
    struct Lent(*mut nx_engine_growth);
    unsafe impl Send for Lent {}
    unsafe impl Sync for Lent {}
    // The C type is repr(C) with the Rust one as its only field, which is private there.
    const _: () = assert!(std::mem::size_of::<wasmtime_store_t>() == std::mem::size_of::<WasmtimeStore>());
    let lent = Lent(growth);
    let inner = store as *mut wasmtime_store_t as *mut WasmtimeStore;
    unsafe {
        (*inner).limiter(move |_| {
            let Lent(growth) = &lent;
            &mut **growth
        })
    };
}
