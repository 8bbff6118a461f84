//! An allocator that knows how much memory a thread has in use.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

thread_local! {
    /// Bytes in use by this thread since [`start`], which may be less than none, and the most there were.
    static USE: Cell<(isize, isize)> = const { Cell::new((0, 0)) };
}

pub struct Counting;

/// Begins to count anew.
pub fn start() {
    USE.with(|u| u.set((0, 0)));
}

/// The most bytes in use at a time since [`start`].
pub fn peak() -> usize {
    USE.with(|u| u.get().1.max(0) as usize)
}

fn count(bytes: isize) {
    // A thread that is ending has no counter any more.
    let _ = USE.try_with(|u| {
        let (now, most) = u.get();
        let now = now.saturating_add(bytes);
        u.set((now, most.max(now)));
    });
}

// SAFETY: every call is passed on to the system's allocator as it is; the counter allocates nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as isize);
        // SAFETY: the caller's promise.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as isize);
        // SAFETY: the caller's promise.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, ptr: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // Both blocks may exist for a moment.
        count(size as isize);
        // SAFETY: the caller's promise.
        let moved = unsafe { System.realloc(ptr, layout, size) };
        count(-(if moved.is_null() { size } else { layout.size() } as isize));
        moved
    }

    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        count(-(layout.size() as isize));
        // SAFETY: the caller's promise.
        unsafe { System.dealloc(ptr, layout) }
    }
}
