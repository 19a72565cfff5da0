//! The folder of a run: its records, its configuration, what it writes for TensorBoard.

use std::fs;
use std::path::Path;

use ferrotape_train::tensorboard::EventFile;
use ferrotape_train::{Record, RunFolder};

use crate::config::holds;
use crate::draw::Draw;
use crate::place::{Place, said};

/// The first byte says how many times thirty-two bytes are the configuration; what follows are the records, and
/// numbers for TensorBoard.
pub fn run_folder(bytes: &[u8]) {
    let Some((&length, rest)) = bytes.split_first() else { return };
    let (config, records) = rest.split_at((usize::from(length) * 32).min(rest.len()));
    let place = Place::new();
    place.write("config.toml", config);
    place.write("metrics.jsonl", records);
    let mut folder = match RunFolder::open(place.path()) {
        Ok(folder) => folder,
        Err(error) => return said(&error),
    };
    match folder.read_config() {
        Ok(config) => {
            holds(&config);
            folder.write_config(&config).expect("what was read can be written");
            assert_eq!(folder.read_config().expect("what was written can be read"), config);
        }
        Err(error) => said(&error),
    }
    match folder.read_records() {
        Ok(records) => {
            let finished = folder.finished().expect("the records were read before");
            assert_eq!(finished.is_some(), matches!(records.last(), Some(Record::Final(_))));
            let written: Vec<String> = records.iter().map(Record::to_json).collect();
            let again = Place::new();
            let mut copy = RunFolder::create(Some(again.path()), "copy").expect("it is empty");
            for record in &records {
                copy.append(record).expect("a record can be written");
            }
            // A loss that is no number is not equal to itself, so the texts are compared.
            let read = copy.read_records().expect("what was written can be read");
            assert_eq!(read.iter().map(Record::to_json).collect::<Vec<_>>(), written);
        }
        Err(error) => said(&error),
    }
    events(place.path(), records);
}

/// Writes events, and finds each with its checksums.
fn events(folder: &Path, bytes: &[u8]) {
    let mut draw = Draw::new(bytes);
    let folder = folder.join("events");
    let step = draw.count(3) as u64;
    let mut file = EventFile::create(&folder, step).expect("the folder can be written");
    let mut expected = 1 + usize::from(step > 0);
    for at in 0..draw.count(6) as u64 {
        let tag = String::from_utf8_lossy(draw.bytes(5)).into_owned();
        let numbers: Vec<f32> =
            (0..draw.count(9)).map(|_| f32::from_bits(draw.bits() as u32)).collect();
        match draw.count(3) {
            0 => file.scalar(&tag, at, f64::from_bits(draw.bits())),
            1 => file.histogram(&tag, at, &numbers),
            2 => file.picture(&tag, at, [1, 1, 3], draw.bytes(9)),
            _ => file.graph(draw.bytes(9)),
        }
        expected += 1;
    }
    file.flush().expect("the folder can be written");
    drop(file);
    let mut files = fs::read_dir(&folder).expect("the folder was made");
    let path = files.next().expect("one file was made").expect("the folder can be read").path();
    assert!(files.next().is_none());
    assert_eq!(records(&fs::read(path).expect("the file was written")), expected);
}

/// How many records a file has, each of them whole.
fn records(mut rest: &[u8]) -> usize {
    let mut count = 0;
    while !rest.is_empty() {
        let (length, after) = checked(rest, 8);
        let length = u64::from_le_bytes(length.try_into().expect("eight bytes were asked for"));
        let (event, after) = checked(after, length as usize);
        // The first field of an event is its time.
        assert_eq!(event[0], 1 << 3 | 1);
        (rest, count) = (after, count + 1);
    }
    count
}

/// So many bytes, whose checksum follows them, and what follows that.
fn checked(bytes: &[u8], length: usize) -> (&[u8], &[u8]) {
    let (part, rest) = bytes.split_at(length);
    let (checksum, rest) = rest.split_first_chunk::<4>().expect("a checksum follows");
    let masked = crc32c::crc32c(part).rotate_right(15).wrapping_add(0xa282_ead8);
    assert_eq!(u32::from_le_bytes(*checksum), masked);
    (part, rest)
}
