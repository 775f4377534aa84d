#[path = "all/media.rs"]
mod media;
