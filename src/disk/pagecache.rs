//! How much of a file the page cache holds. `mincore` has no safe wrapper, and kernel 6.1 lacks `cachestat`:
//! this is the library's one use of `unsafe`.

use rustix::mm::{MapFlags, ProtFlags};
use std::fs::File;
use std::io;

/// True when any page of `[offset, offset + len)` is in the page cache. `offset` must be a multiple of the page size.
pub fn any_cached(file: &File, offset: u64, len: u64) -> io::Result<bool> {
    const PAGE: u64 = 4096;
    const WINDOW: u64 = 1 << 30;
    let mut at = offset;
    while at < offset + len {
        let span = WINDOW.min(offset + len - at) as usize;
        // SAFETY: a fresh private mapping that nothing reads through; the kernel chooses the address.
        let map =
            unsafe { rustix::mm::mmap(std::ptr::null_mut(), span, ProtFlags::empty(), MapFlags::SHARED, file, at)? };
        let mut pages = vec![0u8; (span as u64).div_ceil(PAGE) as usize];
        // SAFETY: `map` spans `span` bytes and `pages` holds one byte for each of its pages.
        let asked = unsafe { libc::mincore(map, span, pages.as_mut_ptr()) };
        let error = io::Error::last_os_error();
        // SAFETY: exactly the mapping made above; no reference into it exists.
        unsafe { rustix::mm::munmap(map, span)? };
        if asked != 0 {
            return Err(error);
        }
        if pages.iter().any(|p| p & 1 != 0) {
            return Ok(true);
        }
        at += span as u64;
    }
    Ok(false)
}
