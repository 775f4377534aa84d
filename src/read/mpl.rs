//! AVCHD's playlists (`PLAYLIST/00000.MPL`; Blu-ray calls them `.mpls`): which streams play one after the other.
//!
//! `MPLS`, version, u32 start of the play list; there u32 length, two bytes, u16 count of play items, u16 sub-paths; then
//! the items: u16 length, five characters that name the stream, `M2TS`, sixteen bits of which the last four say how the
//! item joins the one before it. All big-endian.

use super::window::{array_at, be16, be32};

/// One stream of a playlist.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// `00000` for `STREAM/00000.MTS`.
    pub stream: String,
    /// It goes on without a break where the item before it ends: the file limit cut one recording.
    pub continues: bool,
}

/// Joins with a break: another recording. 5 and 6 join without one; no camera writes anything else.
const BREAK: u16 = 1;

/// `None` for what is no playlist or ends before its items do.
pub fn items(bytes: &[u8]) -> Option<Vec<Item>> {
    if !bytes.starts_with(b"MPLS") {
        return None;
    }
    let list = be32(bytes, 8)? as usize;
    let count = be16(bytes, list.checked_add(6)?)?;
    let mut at = list.checked_add(10)?;
    let mut out = Vec::new();
    for n in 0..count {
        let len = be16(bytes, at)? as usize;
        let name: [u8; 5] = array_at(bytes, at + 2)?;
        let joins = be16(bytes, at + 11)? & 0x000f;
        if len < 11 || !name.iter().all(u8::is_ascii_alphanumeric) {
            return None;
        }
        let stream = name.iter().map(|b| char::from(*b)).collect();
        out.push(Item { stream, continues: n > 0 && joins != BREAK });
        at = at.checked_add(2 + len)?;
    }
    (at <= bytes.len()).then_some(out)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A playlist of these streams and how each joins the one before.
    pub(crate) fn playlist(items: &[(&str, u16)]) -> Vec<u8> {
        let mut list = vec![0, 0];
        list.extend((items.len() as u16).to_be_bytes());
        list.extend([0, 0]);
        for (stream, joins) in items {
            let rest = [stream.as_bytes(), b"M2TS", &joins.to_be_bytes(), &[0; 9]].concat();
            list.extend((rest.len() as u16).to_be_bytes());
            list.extend(rest);
        }
        let mut out = b"MPLS0100".to_vec();
        out.extend(40u32.to_be_bytes());
        out.resize(40, 0);
        out.extend((list.len() as u32).to_be_bytes());
        out.extend(list);
        out
    }

    #[test]
    fn streams_stand_in_their_order_and_say_whether_they_go_on() {
        let items = items(&playlist(&[("00003", 6), ("00001", 6), ("00002", 5), ("00007", 1)])).unwrap();
        let seen: Vec<_> = items.iter().map(|i| (i.stream.as_str(), i.continues)).collect();
        assert_eq!(seen, [("00003", false), ("00001", true), ("00002", true), ("00007", false)]);
        assert_eq!(super::items(&playlist(&[])), Some(Vec::new()));
    }

    #[test]
    fn a_playlist_that_is_cut_is_refused() {
        let whole = playlist(&[("00000", 1), ("00001", 6)]);
        for at in 0..whole.len() {
            assert_eq!(items(&whole[..at]), None, "cut at {at}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200), at in 0..80usize) {
            items(&[b"MPLS0100", &bytes[..]].concat());
            let mut whole = playlist(&[("00000", 1), ("00001", 6)]);
            let at = at.min(whole.len() - 1);
            whole.splice(at..at + 1, bytes);
            items(&whole);
        }
    }
}
