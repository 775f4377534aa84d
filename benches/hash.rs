//! What hashing costs: processor seconds for each GB of a stream, on data in memory. Its own threads' time counts in
//! full, waiting ones included. `cargo bench --bench hash`, or at the end of scripts/bench.sh.

use goodgate::digest::HashFormat;
use goodgate::hash::Hasher;
use rustix::time::{ClockId, clock_gettime};
use std::time::Instant;

/// Far more than any processor's cache, so that the data come from memory as they do behind a disk.
const DATA_BYTES: usize = 512 << 20;
/// What is hashed at once of a large file.
const PART_BYTES: usize = 4 << 20;
const FRAME_BYTES: usize = 200_000;
const ROUNDS: usize = 5;
/// Half a core for a stream of one GB/s.
const BAR: f64 = 0.5;

fn main() {
    let data = noise(DATA_BYTES);
    let read = [HashFormat::Xxh64];
    println!(
        "Hash cost (median of {ROUNDS} passes over {} MiB in memory; bar: under {BAR} core-s/GB):",
        DATA_BYTES >> 20
    );
    for (name, formats, file_bytes) in [
        ("first read (BLAKE3 with block digests + XXH64), one large file", &read[..], DATA_BYTES),
        ("read-back (BLAKE3 with block digests), one large file", &[], DATA_BYTES),
        ("first read, files of 200 KB", &read[..], FRAME_BYTES),
        ("read-back, files of 200 KB", &[], FRAME_BYTES),
    ] {
        let (mut cpu, mut wall) = (Vec::new(), Vec::new());
        // The first pass starts the threads and does not count.
        for round in 0..=ROUNDS {
            let (from, began) = (cpu_secs(), Instant::now());
            for file in data.chunks(file_bytes) {
                let mut hasher = Hasher::new(formats);
                file.chunks(PART_BYTES).for_each(|part| hasher.update(part));
                std::hint::black_box(hasher.finish());
            }
            if round > 0 {
                cpu.push(cpu_secs() - from);
                wall.push(began.elapsed().as_secs_f64());
            }
        }
        let gb = DATA_BYTES as f64 / 1e9;
        let (cost, speed) = (median(cpu) / gb, gb / median(wall));
        let verdict = if cost < BAR { "met" } else { "MISSED" };
        println!("{cost:.3} core-s/GB, {speed:.1} GB/s, {verdict}: {name}");
    }
}

/// Of all threads of this process, in user and kernel.
fn cpu_secs() -> f64 {
    let t = clock_gettime(ClockId::ProcessCPUTime);
    t.tv_sec as f64 + t.tv_nsec as f64 / 1e9
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn noise(len: usize) -> Vec<u8> {
    let mut x = 0x9e37_79b9_7f4a_7c15_u64;
    let mut step = || {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        x.to_le_bytes()
    };
    (0..len / 8).flat_map(|_| step()).collect()
}
