//! Decodes the bundled files on several threads and checks that they are whole.

use std::io::{self, Read};
use std::sync::{Mutex, PoisonError};
use std::thread;

use ferrotape_data::{Error, Result};
use lzma_rust2::XzReader;

/// A file, cut into parts of equal length of which each is an xz stream.
pub(crate) struct Packed {
    pub(crate) name: &'static str,
    pub(crate) parts: &'static [&'static [u8]],
    /// The length of the whole file, a multiple of the number of parts.
    pub(crate) len: usize,
    /// The CRC-32 of the whole file. The streams have no checksums of their own, as those cost
    /// their decoder a noticeable share of its time.
    pub(crate) crc32: u32,
}

fn damaged(name: &str, problem: impl std::fmt::Display) -> Error {
    Error::Dataset(format!(
        "the bundled file {name} is damaged ({problem}); build the program again from a fresh copy \
         of its source"
    ))
}

fn no_room(name: &str, len: usize) -> Error {
    Error::Dataset(format!(
        "there is no room in memory for the {len} bytes of the bundled file {name}; give the program more \
         memory"
    ))
}

/// Why the decoder of a file stopped: where it could not have memory, the file is not to blame.
fn undecoded(name: &str, len: usize, problem: io::Error) -> Error {
    if problem.kind() == io::ErrorKind::OutOfMemory {
        no_room(name, len)
    } else {
        damaged(name, problem)
    }
}

/// As many zeros as a file has bytes.
fn zeros(file: &Packed) -> Result<Vec<u8>> {
    let mut zeros = Vec::new();
    zeros.try_reserve_exact(file.len).map_err(|_| no_room(file.name, file.len))?;
    zeros.resize(file.len, 0);
    Ok(zeros)
}

/// The names and contents of some files.
pub(crate) fn unpack<const N: usize>(files: [&Packed; N]) -> Result<[(&'static str, Vec<u8>); N]> {
    let mut contents = Vec::with_capacity(N);
    for file in files {
        contents.push(zeros(file)?);
    }
    let mut jobs = Vec::new();
    for (file, content) in files.iter().zip(&mut contents) {
        let part_len = file.len / file.parts.len();
        for (packed, unpacked) in file.parts.iter().zip(content.chunks_exact_mut(part_len)) {
            jobs.push((*file, *packed, unpacked));
        }
    }
    // The longest are begun first, so that no thread is left with one at the end.
    jobs.sort_by_key(|job| std::cmp::Reverse(job.1.len()));
    let others = thread::available_parallelism().map_or(0, |count| count.get() - 1);
    let others = others.min(jobs.len() - 1);
    let jobs = Mutex::new(jobs.into_iter());
    let next = || jobs.lock().unwrap_or_else(PoisonError::into_inner).next();
    let work = || -> Result<()> {
        while let Some((file, packed, unpacked)) = next() {
            decode(packed, unpacked).map_err(|problem| undecoded(file.name, file.len, problem))?;
        }
        Ok(())
    };
    thread::scope(|scope| {
        let helpers: Vec<_> = (0..others)
            // Where no thread can be had, this one does the work alone.
            .map_while(|_| thread::Builder::new().spawn_scoped(scope, work).ok())
            .collect();
        let mine = work();
        helpers.into_iter().map(|helper| helper.join()).fold(mine, |result, theirs| {
            let theirs =
                theirs.unwrap_or_else(|_| Err(damaged("of digits", "its decoder panicked")));
            result.and(theirs)
        })
    })?;
    for (file, content) in files.iter().zip(&contents) {
        let found = crc32fast::hash(content);
        if found != file.crc32 {
            let expected = file.crc32;
            return Err(damaged(
                file.name,
                format!("its checksum is {found:08x} and should be {expected:08x}"),
            ));
        }
    }
    let mut contents = contents.into_iter();
    Ok(files.map(|file| (file.name, contents.next().expect("every file has contents"))))
}

/// Decodes a stream that must fill `unpacked` exactly.
fn decode(packed: &[u8], unpacked: &mut [u8]) -> io::Result<()> {
    let mut reader = XzReader::new(packed, false);
    reader.read_exact(unpacked)?;
    // This reads the end of the stream as well, with the lengths that it states.
    if reader.read(&mut [0])? != 0 {
        return Err(io::Error::other("it is longer than it should be"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const WHOLE: &[u8] = include_bytes!("../data/t10k-labels-idx1-ubyte.xz");

    fn file(part: Vec<u8>, len: usize) -> Packed {
        // A test may leak a few kilobytes for the sake of constants that live as long as a program.
        let parts = Vec::leak(vec![&*Vec::leak(part)]);
        Packed { name: "labels", parts, len, crc32: 0x4ab9_eff9 }
    }

    #[test]
    fn the_whole_file_passes() {
        let [(name, bytes)] = unpack([&file(WHOLE.to_vec(), 10_008)]).unwrap();
        assert_eq!((name, bytes.len()), ("labels", 10_008));
    }

    #[test]
    fn no_cut_flipped_bit_or_wrong_length_passes() {
        let mut damaged = vec![
            file(WHOLE.to_vec(), 10_007),
            file(WHOLE.to_vec(), 10_009),
            file(WHOLE[..WHOLE.len() / 2].to_vec(), 10_008),
            file(Vec::new(), 10_008),
        ];
        for position in (0..WHOLE.len()).step_by(97) {
            let mut bytes = WHOLE.to_vec();
            bytes[position] ^= 0x10;
            damaged.push(file(bytes, 10_008));
        }
        for damaged in &damaged {
            let message = unpack([damaged]).unwrap_err().to_string();
            assert!(message.contains("the bundled file labels is damaged"), "{message}");
        }
    }

    #[test]
    fn a_lack_of_memory_is_not_told_as_damage() {
        let len = isize::MAX as usize;
        let asked = unpack([&file(WHOLE.to_vec(), len)]).unwrap_err().to_string();
        let expected =
            format!("there is no room in memory for the {len} bytes of the bundled file labels");
        assert!(asked.contains(&expected), "{asked}");
        // As lzma-rust2 says it.
        let error = io::Error::new(io::ErrorKind::OutOfMemory, "dictionary allocation too large");
        assert_eq!(undecoded("labels", len, error).to_string(), asked);
    }
}
