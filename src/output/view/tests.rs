mod pages;
mod summary;

use std::io::Cursor as Bytes;
use std::ops::Range;

use proptest::prelude::*;

use super::*;
use crate::output::lines::Item;
use crate::output::pieces::{dropped, gone};

type Memory = Stream<Bytes<Vec<u8>>>;

fn stream(bytes: impl Into<Vec<u8>>, ended: bool) -> Memory {
    let bytes = bytes.into();
    let end = bytes.len() as u64;
    Stream {
        reader: Bytes::new(bytes),
        regions: std::iter::once(0..end).collect(),
        end,
        ended,
    }
}

fn empty() -> Memory {
    stream("", true)
}

/// Everything there is, and what of it is finished.
fn rendering(stream: &mut Memory) -> (String, String) {
    let (mut all, mut finished_part) = (String::new(), String::new());
    let mut lines = stream.lines(0);
    while let Some(item) = lines.next() {
        let (text, finished) = match item {
            Item::Line {
                text,
                finished,
                breaks,
                ..
            } => (text.into_owned() + if breaks { "\n" } else { "" }, finished),
            Item::Hole { bytes, .. } => (dropped(bytes) + "\n", true),
            Item::Gone { bytes, .. } => (gone(bytes) + "\n", true),
        };
        all += &text;
        if finished {
            finished_part += &text;
        }
    }
    (all, finished_part)
}

/// Reads pages to the end of what there is, holding each to what pages promise.
fn read_on(out: &mut Memory, err: &mut Memory, from: &mut Cursor, max: usize) -> (String, String) {
    let (mut output, mut error) = (String::new(), String::new());
    loop {
        let page = page(out, err, *from, max);
        let chars = count(&page.output) + count(&page.error);
        assert!(chars <= max.max(1), "{chars} characters on a page of {max}");
        output += &page.output;
        error += &page.error;
        *from = page.next;
        if !page.more {
            return (output, error);
        }
        assert!(chars > 0, "an empty page, and more to come");
    }
}

fn count(text: &str) -> usize {
    text.chars().count()
}

fn numbered(lines: Range<usize>) -> String {
    lines.map(|number| format!("line {number:06}\n")).collect()
}

fn output() -> impl Strategy<Value = Vec<u8>> {
    let part = prop_oneof![
        5 => "[a-z ]{0,20}".prop_map(String::into_bytes),
        4 => Just(b"\n".to_vec()),
        1 => Just(b"\r\n".to_vec()),
        1 => "[a-z]{1,8}\r".prop_map(String::into_bytes),
        2 => "\x1b\\[[0-9;]{0,4}[mKCDP]".prop_map(String::into_bytes),
        1 => "\x1b\\]8;;[a-z/:]{0,9}(\x07|\x1b\\\\)?".prop_map(String::into_bytes),
        1 => "[é世🦀\u{301}]{1,4}".prop_map(String::into_bytes),
        1 => prop::collection::vec(any::<u8>(), 0..6),
        1 => "[a-z]".prop_map(|letter| letter.repeat(150).into_bytes()),
    ];
    prop::collection::vec(part, 0..60).prop_map(|parts| parts.concat())
}

/// A stream with some of its bytes dropped.
fn retained() -> impl Strategy<Value = Memory> {
    (
        output(),
        prop::collection::btree_set(0..900u64, 0..6),
        any::<bool>(),
    )
        .prop_map(|(bytes, bounds, first_dropped)| {
            let mut stream = stream(bytes, false);
            let end = stream.end;
            let mut bounds: Vec<u64> = bounds.into_iter().filter(|&bound| bound < end).collect();
            bounds.insert(0, 0);
            bounds.push(end);
            let ranges = bounds.windows(2).map(|pair| pair[0]..pair[1]);
            stream.regions = ranges.skip(usize::from(first_dropped)).step_by(2).collect();
            stream
        })
}

/// The same stream when it had only `end` bytes, or some more: its holes are there as a whole or not yet.
fn earlier(full: &Memory, end: u64) -> Memory {
    let mut stream = stream(full.reader.get_ref().clone(), false);
    stream.end = end.min(full.end);
    if !full
        .regions
        .iter()
        .any(|region| region.contains(&stream.end))
    {
        let starts = full.regions.iter().map(|region| region.start);
        stream.end = starts
            .filter(|&start| start >= stream.end)
            .min()
            .unwrap_or(full.end);
    }
    let clipped = full
        .regions
        .iter()
        .map(|region| region.start..region.end.min(stream.end));
    stream.regions = clipped.filter(|region| !region.is_empty()).collect();
    stream
}
