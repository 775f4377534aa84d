//! Many hashers over one buffer, and the block digests. The only rayon in the program; its closures touch no disk,
//! lock, channel or catalog.
//!
//! BLAKE3 is a tree (BLAKE3 paper, section 2.1): each aligned 1 MiB block is hashed as a subtree, and the merge of
//! those values is the file's ordinary digest. One pass gives both.

use crate::digest::{BLOCK_BYTES, BlockDigests, Digest, Digests, HashFormat};
use blake3::hazmat::{HasherExt, Mode, merge_subtrees_non_root, merge_subtrees_root};
use md5::Digest as _;
use rayon::prelude::*;
use xxhash_rust::{xxh3::Xxh3, xxh32::Xxh32, xxh64::Xxh64};

/// Hashes one file fed in order. Every part but the last must be a multiple of [`BLOCK_BYTES`].
pub struct Hasher {
    blocks: Vec<[u8; 32]>,
    /// The plain digest of the first part, should the file end within one block.
    first: blake3::Hash,
    len: u64,
    others: Vec<Other>,
}

enum Other {
    C4(sha2::Sha512),
    Md5(md5::Md5),
    Sha1(sha1::Sha1),
    /// XXH3 in 64 and 128 bits are two ends of one state.
    Xxh3(Box<Xxh3>, HashFormat),
    Xxh64(Xxh64),
    Xxh32(Xxh32),
}

impl Other {
    fn new(format: HashFormat) -> Option<Self> {
        Some(match format {
            HashFormat::C4 => Self::C4(sha2::Sha512::new()),
            HashFormat::Md5 => Self::Md5(md5::Md5::new()),
            HashFormat::Sha1 => Self::Sha1(sha1::Sha1::new()),
            HashFormat::Xxh3 | HashFormat::Xxh128 => Self::Xxh3(Box::default(), format),
            HashFormat::Xxh64 => Self::Xxh64(Xxh64::new(0)),
            HashFormat::Xxh32 => Self::Xxh32(Xxh32::new(0)),
            HashFormat::Blake3 => return None,
        })
    }

    fn update(&mut self, data: &[u8]) {
        match self {
            Self::C4(h) => h.update(data),
            Self::Md5(h) => h.update(data),
            Self::Sha1(h) => h.update(data),
            Self::Xxh3(h, _) => h.update(data),
            Self::Xxh64(h) => h.update(data),
            Self::Xxh32(h) => h.update(data),
        }
    }

    fn finish(self) -> Digest {
        let (format, bytes) = match self {
            Self::C4(h) => (HashFormat::C4, h.finalize().to_vec()),
            Self::Md5(h) => (HashFormat::Md5, h.finalize().to_vec()),
            Self::Sha1(h) => (HashFormat::Sha1, h.finalize().to_vec()),
            Self::Xxh3(h, HashFormat::Xxh128) => (HashFormat::Xxh128, h.digest128().to_be_bytes().to_vec()),
            Self::Xxh3(h, _) => (HashFormat::Xxh3, h.digest().to_be_bytes().to_vec()),
            Self::Xxh64(h) => (HashFormat::Xxh64, h.digest().to_be_bytes().to_vec()),
            Self::Xxh32(h) => (HashFormat::Xxh32, h.digest().to_be_bytes().to_vec()),
        };
        Digest::new(format, bytes).expect("each format has the length of its hasher")
    }
}

impl Hasher {
    /// BLAKE3 is always computed; `formats` are those of the manifest.
    pub fn new(formats: &[HashFormat]) -> Self {
        let mut formats = formats.to_vec();
        formats.sort();
        formats.dedup();
        Hasher {
            blocks: Vec::new(),
            first: blake3::hash(b""),
            len: 0,
            others: formats.into_iter().filter_map(Other::new).collect(),
        }
    }

    pub fn update(&mut self, data: &[u8]) {
        if data.is_empty() {
            return;
        }
        assert!(self.len.is_multiple_of(BLOCK_BYTES), "only the last part may end inside a block");
        let start = self.len;
        self.len += data.len() as u64;
        if data.len() as u64 <= BLOCK_BYTES {
            // Not worth a second thread.
            self.others.iter_mut().for_each(|h| h.update(data));
            if start == 0 {
                self.first = blake3::hash(data);
            }
            if start > 0 || data.len() as u64 == BLOCK_BYTES {
                self.blocks.push(block_digest(start, data));
            }
            return;
        }
        let (blocks, ()) =
            rayon::join(|| block_digests(start, data), || self.others.par_iter_mut().for_each(|h| h.update(data)));
        self.blocks.extend(blocks);
    }

    pub fn finish(self) -> (Digests, BlockDigests) {
        let (blake3, blocks) = match self.blocks.len() {
            0 | 1 => (*self.first.as_bytes(), BlockDigests::default()),
            _ => (root(&self.blocks), BlockDigests(self.blocks)),
        };
        (Digests { blake3, mhl: self.others.into_iter().map(Other::finish).collect() }, blocks)
    }
}

/// The digest of what lies in memory whole.
pub fn digest_of(format: HashFormat, bytes: &[u8]) -> Digest {
    use xxhash_rust::{xxh3, xxh32, xxh64};
    let raw: Vec<u8> = match format {
        HashFormat::C4 => sha2::Sha512::digest(bytes).to_vec(),
        HashFormat::Md5 => md5::Md5::digest(bytes).to_vec(),
        HashFormat::Sha1 => sha1::Sha1::digest(bytes).to_vec(),
        HashFormat::Xxh128 => xxh3::xxh3_128(bytes).to_be_bytes().to_vec(),
        HashFormat::Xxh3 => xxh3::xxh3_64(bytes).to_be_bytes().to_vec(),
        HashFormat::Xxh64 => xxh64::xxh64(bytes, 0).to_be_bytes().to_vec(),
        HashFormat::Xxh32 => xxh32::xxh32(bytes, 0).to_be_bytes().to_vec(),
        HashFormat::Blake3 => blake3::hash(bytes).as_bytes().to_vec(),
    };
    Digest::new(format, raw).expect("each hasher gives the length of its format")
}

/// The value of one block of a file of several: `offset` is a multiple of [`BLOCK_BYTES`], `block` not empty.
pub fn block_digest(offset: u64, block: &[u8]) -> [u8; 32] {
    let mut h = blake3::Hasher::new();
    h.set_input_offset(offset);
    h.update(block).finalize_non_root()
}

/// The values of all blocks in `data`, which begins at `start`, a multiple of [`BLOCK_BYTES`], in a file of several.
pub fn block_digests(start: u64, data: &[u8]) -> Vec<[u8; 32]> {
    let block = |(i, block): (usize, &[u8])| block_digest(start + i as u64 * BLOCK_BYTES, block);
    data.par_chunks(BLOCK_BYTES as usize).enumerate().map(block).collect()
}

/// The plain BLAKE3 digest of a file of several blocks from their values.
pub fn digest_of_blocks(blocks: &[[u8; 32]]) -> Option<[u8; 32]> {
    (blocks.len() > 1).then(|| root(blocks))
}

/// Of two blocks at least.
fn root(blocks: &[[u8; 32]]) -> [u8; 32] {
    let (left, right) = blocks.split_at(left_len(blocks.len()));
    *merge_subtrees_root(&subtree(left), &subtree(right), Mode::Hash).as_bytes()
}

fn subtree(blocks: &[[u8; 32]]) -> [u8; 32] {
    match blocks {
        [one] => *one,
        _ => {
            let (left, right) = blocks.split_at(left_len(blocks.len()));
            merge_subtrees_non_root(&subtree(left), &subtree(right), Mode::Hash)
        }
    }
}

/// The left subtree of BLAKE3 is the largest power of two that leaves something for the right.
fn left_len(blocks: usize) -> usize {
    blocks.next_power_of_two() / 2
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(len: usize) -> Vec<u8> {
        (0..len).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8).collect()
    }

    #[test]
    fn merged_blocks_give_the_plain_blake3() {
        let mib = BLOCK_BYTES as usize;
        for len in [0, 1, 1024, mib - 1, mib, mib + 1, 2 * mib, 3 * mib, 5 * mib + 7, 8 * mib, 9 * mib + 1024] {
            let data = sample(len);
            for part in [mib, 4 * mib] {
                let mut h = Hasher::new(&[]);
                data.chunks(part).for_each(|p| h.update(p));
                let (digests, blocks) = h.finish();
                assert_eq!(digests.blake3, *blake3::hash(&data).as_bytes(), "{len} by {part}");
                assert_eq!(blocks.0.len(), if len <= mib { 0 } else { len.div_ceil(mib) });
            }
        }
    }

    #[test]
    fn the_worked_example_of_every_format_holds() {
        let mut h = Hasher::new(&HashFormat::MHL);
        h.update(b"hello");
        let (digests, _) = h.finish();
        for (format, text) in [
            (HashFormat::Md5, "5d41402abc4b2a76b9719d911017c592"),
            (HashFormat::Sha1, "aaf4c61ddcc5e8a2dabede0f3b482cd9aea9434d"),
            (HashFormat::Xxh64, "26c7827d889f6da3"),
            (HashFormat::Xxh3, "9555e8555c62dcfd"),
            (HashFormat::Xxh128, "b5e9c1ad071b3e7fc779cfaa5e523818"),
            (
                HashFormat::C4,
                "c447Fm3BJZQ62765jMZJH4m28hrDM7Szbj9CUmj4F4gnvyDYXYz4WfnK2nYRhFvRgYEectEXYBYWLDpLo6XGNAfKdt",
            ),
            (HashFormat::Blake3, "ea8f163db38682925e4491c5e58d4bb3506ef8c14eb78a86e908c5624a67200f"),
        ] {
            assert_eq!(digests.get(format).unwrap().text(), text);
        }
    }

    #[test]
    fn a_flipped_byte_is_located_to_its_block() {
        let mut data = sample(5 * BLOCK_BYTES as usize + 9);
        let blocks = |data: &[u8]| {
            let mut h = Hasher::new(&[]);
            h.update(data);
            h.finish().1
        };
        let good = blocks(&data);
        data[3 * BLOCK_BYTES as usize + 17] ^= 1;
        data[5 * BLOCK_BYTES as usize + 1] ^= 1;
        let bad = good.differing(&blocks(&data), data.len() as u64);
        assert_eq!(bad, [(3 * BLOCK_BYTES, BLOCK_BYTES), (5 * BLOCK_BYTES, 9)]);
    }
}
