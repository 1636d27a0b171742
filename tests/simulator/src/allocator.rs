//! Counts the memory of the coordinator's core: what is allocated while it is called, until that is
//! freed, whoever does it.
//!
//! Nothing can be forgotten that way, as it could be in a sum over containers, and slack counts. Each
//! piece of memory is marked in front with whose it is. What the core gives to its driver counts
//! until the driver drops it; what comes in with an event never does. Counts are for each thread: a
//! world lives in one.
#![allow(unsafe_code, reason = "an allocator is unsafe; all that it does is to pass calls on")]

use std::alloc::{GlobalAlloc, Layout};
use std::cell::Cell;

use mimalloc::MiMalloc;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// In front of each piece of memory, as long as pieces are aligned.
const MARK_BYTES: usize = 16;

thread_local! {
    static OWNER: Cell<Owner> = const { Cell::new(Owner::Other) };
    static CORE_BYTES: Cell<usize> = const { Cell::new(0) };
}

/// Whose memory it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
enum Owner {
    Other = 0,
    Core = 1,
}

/// What is allocated meanwhile is the core's.
pub(crate) fn as_core<T>(work: impl FnOnce() -> T) -> T {
    let before = OWNER.replace(Owner::Core);
    let done = work();
    OWNER.set(before);
    done
}

/// How much memory of this thread is the core's now.
pub(crate) fn core_bytes() -> usize {
    CORE_BYTES.get()
}

struct Counting;

impl Counting {
    /// How far behind its mark a piece of memory begins.
    fn offset(layout: Layout) -> usize {
        layout.align().max(MARK_BYTES)
    }

    fn with_mark(layout: Layout) -> Option<Layout> {
        let bytes = layout.size().checked_add(Self::offset(layout))?;
        Layout::from_size_align(bytes, Self::offset(layout)).ok()
    }

    /// Marks what was allocated as its owner's.
    ///
    /// # Safety
    /// `marked` is null, or memory of the layout that [`Counting::with_mark`] made of `layout`.
    unsafe fn mark(marked: *mut u8, layout: Layout) -> *mut u8 {
        if marked.is_null() {
            return marked;
        }
        let owner = OWNER.get();
        count(owner, 0, layout.size());
        // SAFETY: the memory is longer than the mark, and aligned for it.
        unsafe { marked.cast::<usize>().write(owner as usize) };
        // SAFETY: the memory has `offset` more bytes than `layout` asks for.
        unsafe { marked.add(Self::offset(layout)) }
    }
}

/// A piece of memory had so many bytes and has so many now.
fn count(owner: Owner, before: usize, after: usize) {
    if owner == Owner::Core {
        CORE_BYTES.set(CORE_BYTES.get().wrapping_sub(before).wrapping_add(after));
    }
}

// SAFETY: every call is passed on to mimalloc, with a layout that is longer in front.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let Some(with_mark) = Self::with_mark(layout) else { return std::ptr::null_mut() };
        // SAFETY: the layout is not empty, and the memory is of it.
        unsafe { Self::mark(MiMalloc.alloc(with_mark), layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        let Some(with_mark) = Self::with_mark(layout) else { return std::ptr::null_mut() };
        // SAFETY: the layout is not empty, and the memory is of it.
        unsafe { Self::mark(MiMalloc.alloc_zeroed(with_mark), layout) }
    }

    unsafe fn dealloc(&self, piece: *mut u8, layout: Layout) {
        let with_mark = Self::with_mark(layout).expect("what was allocated had such a layout");
        // SAFETY: the piece came from here, so its mark lies so far in front of it.
        let (marked, owner) = unsafe {
            let marked = piece.sub(Self::offset(layout));
            (marked, owner_of(marked))
        };
        count(owner, layout.size(), 0);
        // SAFETY: this is what mimalloc gave for this layout.
        unsafe { MiMalloc.dealloc(marked, with_mark) }
    }

    unsafe fn realloc(&self, piece: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        let with_mark = Self::with_mark(layout).expect("what was allocated had such a layout");
        let offset = Self::offset(layout);
        let Some(new_bytes) = new_size.checked_add(offset) else { return std::ptr::null_mut() };
        // SAFETY: the piece came from here, so its mark lies so far in front of it.
        let (marked, owner) = unsafe {
            let marked = piece.sub(offset);
            (marked, owner_of(marked))
        };
        // SAFETY: this is what mimalloc gave for this layout; the new size is larger
        // than the mark.
        let moved = unsafe { MiMalloc.realloc(marked, with_mark, new_bytes) };
        if moved.is_null() {
            return moved;
        }
        count(owner, layout.size(), new_size);
        // SAFETY: the memory has `offset` more bytes than were asked for, and its mark moved with it.
        unsafe { moved.add(offset) }
    }
}

/// # Safety
/// `marked` begins with a mark.
unsafe fn owner_of(marked: *mut u8) -> Owner {
    // SAFETY: a mark was written there.
    match unsafe { marked.cast::<usize>().read() } {
        0 => Owner::Other,
        _ => Owner::Core,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_core_allocates_counts_until_it_is_freed() {
        let before = core_bytes();
        let mut kept = as_core(|| vec![0_u8; 1_000]);
        assert_eq!(core_bytes() - before, 1_000);
        let other = vec![0_u8; 500];
        kept.reserve_exact(2_000);
        assert_eq!(core_bytes() - before, 3_000);
        drop(as_core(|| other));
        assert_eq!(core_bytes() - before, 3_000);
        drop(kept);
        assert_eq!(core_bytes(), before);
    }
}
