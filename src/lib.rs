//! goodgate: camera cards copied with proof, clips catalogued, copies proven again for years.
//!
//! "Good gate!" is what the camera assistant calls after checking the camera's film gate for dirt: the take is safe,
//! the set may move on. The program says it of a card.
//!
//! # One clip's way
//! The types are the stages; each is made in one place and consumed by the next.
//! ```text
//! card or dump --card::recognise--> Card          roll, layout, files, folders, clips
//!   --offload::plan-->     OffloadPlan            pure: refuses clashes, missing space, unsafe paths first
//!   --offload::offload-->  FileRecord             ONE read of the card feeds all hashers and all destinations
//!   --verify::prove-->     VerifiedFile           each copy synced, re-read from the device, compared, then named
//!   --mhl::seal-->         Generation             a manifest of what was proven; an unproven one does not compile
//!   ==> verdict::judge:    SAFE or NOT SAFE       computed from evidence each time it is shown, never stored
//!   --media, read, sidecar--> ClipMetadata, proxy, poster     from a proven copy, never from the card; the camera's own
//!                                                 proxy instead of ours, where it agrees
//!   --catalog-->           a row and its search text          editors see the clip
//! ```
//! After the verdict the catalog itself is copied to the destinations. `restore` and `rebuild` put a lost one back; what
//! was proven before that counts again only when it was read again.
//!
//! `register` enters at the manifest: footage that lies in its place already is read and compared there, not copied.
//! [`verdict`] is the heart: read it first, then `ingest`, which tells the whole story top to bottom.
//!
//! # Floors: who may know whom
//! | floor | modules | may use | never |
//! |---|---|---|---|
//! | 0 words | relpath digest timecode frames fact clip copy finding evidence verdict progress job query preset config | those to their left | I/O, clock, threads |
//! | 1 hands | disk hash read verify notify | 0, those to their left | names of rooms; SQL |
//! | 2 rooms | card offload mhl media sidecar catalog export | 0, 1 | another room; printing; tokio |
//! | 3 stories | ingest patrol repair eject | 0-2, those to their left (the station is described in ingest) | tokio, SQL text, XML, argument parsing |
//! | 4 services | web, then daemon (which starts it) | 0-3, daemon also web | card bytes; web never uses daemon |
//! | 5 door | cli, main | 0-4 | decisions: it parses, calls, prints |
//! | apart | bin/goodgate-media | words, `media::protocol` | catalog, config, card roots |
//!
//! Rooms are blind to each other, so no circle can form and each is testable alone; what two rooms share moves down.
//! Every heavy crate has one home. `tests/all/floors.rs` reads each path in the sources and fails where this table
//! is broken; change both together.
//!
//! # Never
//! - A final name without a proof: a copy gets its name after it was read back from the device and found equal.
//! - SAFE as a stored value, or as anything but what [`verdict::judge`] made of evidence. What is not known is bad.
//! - A write to a card; a symlink followed; a file left out because no camera layout knows it.
//! - Overwriting or deleting what we did not write. Damaged bytes are set aside, not thrown away.
//! - `std::fs::copy` or `copy_file_range`: the kernel may clone, and then nothing was hashed and nothing is a second copy.
//!   A repair begins with a clone of the damaged file, which it takes the place of, and reads all of it back.
//! - A repeated fsync after one that failed; a mismatch retried in silence.
//! - The copy or the verdict waiting for metadata or proxies; libav in this process.
//! - An absolute path in the catalog: a place is (volume, relative path).
//! - `unsafe` outside `disk/pagecache.rs` and the child program.
#![deny(unsafe_code)]

pub mod card;
pub mod catalog;
pub mod clip;
pub mod config;
pub mod copy;
pub mod daemon;
pub mod digest;
pub mod disk;
pub mod eject;
pub mod evidence;
pub mod fact;
pub mod finding;
pub mod frames;
pub mod hash;
pub mod ingest;
pub mod job;
pub mod media;
pub mod mhl;
pub mod notify;
pub mod offload;
pub mod patrol;
pub mod preset;
pub mod progress;
pub mod query;
pub mod read;
pub mod relpath;
pub mod repair;
pub mod sidecar;
pub mod timecode;
pub mod verdict;
pub mod verify;
