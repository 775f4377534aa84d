//! Memory for direct I/O.

use memmap2::{Advice, MmapMut};
use std::alloc::{Layout, handle_alloc_error};
use std::ops::{Deref, DerefMut};

/// Alignment of buffers, offsets and lengths for direct I/O, in bytes.
pub const ALIGN: usize = 4096;

/// From this size on the kernel may back memory with huge pages (of this size on x86-64 and most ARM).
const HUGE_PAGE_BYTES: usize = 2 << 20;

/// Zeroed bytes whose start fits direct I/O. Of huge pages where the kernel has them: a request to a device holds only
/// so many pieces of memory, so that scattered small pages cut a read of 4 MiB into requests of less than 1 MiB.
#[derive(Debug)]
pub struct Buffer(MmapMut);

impl Buffer {
    pub fn new(bytes: usize) -> Self {
        let Ok(map) = MmapMut::map_anon(bytes) else {
            handle_alloc_error(Layout::array::<u8>(bytes).unwrap_or(Layout::new::<u8>()))
        };
        if bytes >= HUGE_PAGE_BYTES {
            // A kernel without huge pages says no, and the buffer serves all the same.
            let _ = map.advise(Advice::HugePage);
        }
        Buffer(map)
    }
}

impl Deref for Buffer {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_is_of_zeros_that_start_where_direct_io_may() {
        for bytes in [0, 1, ALIGN, 2 * HUGE_PAGE_BYTES, HUGE_PAGE_BYTES + 1] {
            let mut buf = Buffer::new(bytes);
            assert!(buf.iter().all(|b| *b == 0) && buf.len() == bytes);
            assert_eq!(buf.as_ptr() as usize % ALIGN, 0);
            buf.fill(7);
        }
    }
}
