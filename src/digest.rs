//! Digests and the block digests that locate damage.

use std::fmt;

/// Size of a block of [`BlockDigests`] in bytes; the unit in which damage is named.
pub const BLOCK_BYTES: u64 = 1 << 20;

/// The hash formats of ASC MHL v2.0 (its XSD), plus BLAKE3, which lives only in the catalog, and XXH32, which only
/// legacy MHL knows and nothing of ours writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum HashFormat {
    C4,
    Md5,
    Sha1,
    Xxh128,
    Xxh3,
    Xxh64,
    Blake3,
    Xxh32,
}

impl HashFormat {
    /// All formats that a manifest may hold, in the order of the schema.
    pub const MHL: [HashFormat; 6] = [Self::C4, Self::Md5, Self::Sha1, Self::Xxh128, Self::Xxh3, Self::Xxh64];

    /// Element name in ASC MHL and key in config and catalog.
    pub fn name(self) -> &'static str {
        match self {
            Self::C4 => "c4",
            Self::Md5 => "md5",
            Self::Sha1 => "sha1",
            Self::Xxh128 => "xxh128",
            Self::Xxh3 => "xxh3",
            Self::Xxh64 => "xxh64",
            Self::Blake3 => "blake3",
            Self::Xxh32 => "xxh32",
        }
    }

    pub fn from_name(name: &str) -> Option<Self> {
        Self::MHL.into_iter().chain([Self::Blake3, Self::Xxh32]).find(|f| f.name() == name)
    }

    /// Length of the raw digest in bytes.
    pub fn len_bytes(self) -> usize {
        match self {
            Self::C4 => 64,
            Self::Md5 | Self::Xxh128 => 16,
            Self::Sha1 => 20,
            Self::Xxh3 | Self::Xxh64 => 8,
            Self::Blake3 => 32,
            Self::Xxh32 => 4,
        }
    }
}

impl fmt::Display for HashFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// One value of one format; raw bytes, big-endian for the XXH family (their canonical form).
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest {
    pub format: HashFormat,
    bytes: Vec<u8>,
}

impl Digest {
    /// `None` when the length does not fit the format.
    pub fn new(format: HashFormat, bytes: impl Into<Vec<u8>>) -> Option<Self> {
        let bytes = bytes.into();
        (bytes.len() == format.len_bytes()).then_some(Digest { format, bytes })
    }

    /// Reads the text form: hex in either case, or a C4 id (case matters there).
    pub fn parse(format: HashFormat, text: &str) -> Option<Self> {
        if format == HashFormat::C4 {
            let raw = bs58::decode(text.strip_prefix("c4")?).into_vec().ok()?;
            if text.len() != 90 || raw.len() < 64 {
                return None;
            }
            // Leading '1's pad the number to 88 characters; base58 reads each as one zero byte.
            let (zeros, value) = raw.split_at(raw.len() - 64);
            return zeros.iter().all(|b| *b == 0).then(|| Self::new(format, value)).flatten();
        }
        Self::new(format, unhex(text)?)
    }

    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The text that ASC MHL writes: lower-case hex; for C4 `c4` and 88 characters of base58.
    pub fn text(&self) -> String {
        if self.format == HashFormat::C4 {
            let number: &[u8] = {
                let lead = self.bytes.iter().take_while(|b| **b == 0).count();
                &self.bytes[lead..]
            };
            return format!("c4{:1>88}", bs58::encode(number).into_string());
        }
        hex(&self.bytes)
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.format, self.text())
    }
}

pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

/// `None` for odd length or a character that is no hex digit.
pub fn unhex(text: &str) -> Option<Vec<u8>> {
    let digits = text.as_bytes();
    if !digits.len().is_multiple_of(2) {
        return None;
    }
    let value = |b: u8| (b as char).to_digit(16).map(|d| d as u8);
    digits.chunks(2).map(|pair| Some(value(pair[0])? << 4 | value(pair[1])?)).collect()
}

/// What one read of one file gave: at most one value a format, BLAKE3 always among them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Digests {
    pub blake3: [u8; 32],
    /// The manifest's formats, in schema order.
    pub mhl: Vec<Digest>,
}

impl Digests {
    pub fn get(&self, format: HashFormat) -> Option<Digest> {
        if format == HashFormat::Blake3 {
            return Digest::new(format, self.blake3);
        }
        self.mhl.iter().find(|d| d.format == format).cloned()
    }
}

/// The BLAKE3 values of each aligned 1 MiB block (non-root chaining values); empty for a file of at most 1 MiB,
/// whose one block is the file: its BLAKE3 digest locates as well.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BlockDigests(pub Vec<[u8; 32]>);

impl BlockDigests {
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (blocks, rest) = bytes.as_chunks::<32>();
        rest.is_empty().then(|| BlockDigests(blocks.to_vec()))
    }

    pub fn to_bytes(&self) -> Vec<u8> {
        self.0.concat()
    }

    /// Byte ranges `[offset, length]` of a file of `size_bytes` in which `found` differs; adjacent blocks joined,
    /// the last one cut at the end. `None` entries of `found` are blocks that could not be read.
    pub fn differing(&self, found: &BlockDigests, size_bytes: u64) -> Vec<(u64, u64)> {
        let blocks = self.0.len().max(found.0.len()) as u64;
        let bad = (0..blocks).filter(|i| self.0.get(*i as usize) != found.0.get(*i as usize));
        join_blocks(bad, size_bytes)
    }
}

/// Joins ascending block numbers into byte ranges, cut at `size_bytes`.
pub fn join_blocks(blocks: impl IntoIterator<Item = u64>, size_bytes: u64) -> Vec<(u64, u64)> {
    let mut out: Vec<(u64, u64)> = Vec::new();
    for block in blocks {
        let start = block * BLOCK_BYTES;
        if start >= size_bytes {
            break;
        }
        let len = BLOCK_BYTES.min(size_bytes - start);
        match out.last_mut() {
            Some((o, l)) if *o + *l == start => *l += len,
            _ => out.push((start, len)),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn c4_of_nothing_has_its_published_text() {
        use sha2::Digest as _;
        let d = Digest::new(HashFormat::C4, sha2::Sha512::digest(b"").to_vec()).unwrap();
        let text = "c459dsjfscH38cYeXXYogktxf4Cd9ibshE3BHUo6a58hBXmRQdZrAkZzsWcbWtDg5oQstpDuni4Hirj75GEmTc1sFT";
        assert_eq!(d.text(), text);
        assert_eq!(Digest::parse(HashFormat::C4, text), Some(d));
    }

    #[test]
    fn c4_pads_leading_zeros_and_reads_them_back() {
        let mut raw = [0u8; 64];
        raw[63] = 5;
        let d = Digest::new(HashFormat::C4, raw).unwrap();
        assert_eq!(d.text().len(), 90);
        assert_eq!(Digest::parse(HashFormat::C4, &d.text()), Some(d));
    }

    #[test]
    fn hex_is_read_in_either_case_and_length_is_checked() {
        assert!(Digest::parse(HashFormat::Xxh64, "26C7827D889F6DA3").is_some());
        for bad in ["26c7827d889f6d", "26c7827d889f6da3ff", "26c7827d889f6dag", "", "é6c7827d889f6d"] {
            assert!(Digest::parse(HashFormat::Xxh64, bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn adjacent_blocks_join_and_the_last_is_cut() {
        let size = 3 * BLOCK_BYTES + 10;
        assert_eq!(join_blocks([0, 2, 3], size), vec![(0, BLOCK_BYTES), (2 * BLOCK_BYTES, BLOCK_BYTES + 10)]);
    }
}
