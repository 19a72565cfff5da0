//! State dicts in files of `torch.save`.

use crate::state;

/// What stands before the contents in the older format: magic number, version, byte order.
const BEFORE: &[u8] = b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.\
    \x80\x02M\xe9\x03.\x80\x02}U\x0dlittle_endian\x88s.";

/// The bytes of the storage "0" that a bare pickle may refer to.
const STORAGE: usize = 64;

/// What a file may become, however short it is: views of one storage may overlap.
const OVERLAPPING: usize = 2 * (16 << 20);

/// The first byte says what the rest is: a file, the pickle of a file of the older format, or that of an archive,
/// where no checksum stands between it and the reader.
pub fn pth(bytes: &[u8]) {
    let Some((first, rest)) = bytes.split_first() else { return };
    let file = match first % 3 {
        0 => rest.to_vec(),
        1 => [BEFORE, rest, &after()].concat(),
        _ => archive(rest),
    };
    state::read(&file, OVERLAPPING);
}

/// What stands after the contents of the older format: the list of storages, and each of them.
fn after() -> Vec<u8> {
    let elements = (STORAGE as u64 / 4).to_le_bytes();
    [b"\x80\x02]U\x010a.".as_slice(), &elements, &[0; STORAGE]].concat()
}

/// The archive of a pickle and one storage.
fn archive(pickle: &[u8]) -> Vec<u8> {
    let entries: [(&str, &[u8]); 3] =
        [("a/data.pkl", pickle), ("a/byteorder", b"little"), ("a/data/0", &[7; STORAGE])];
    let (mut file, mut directory) = (Vec::new(), Vec::new());
    for (name, data) in entries {
        let (length, start) =
            ((data.len() as u32).to_le_bytes(), (file.len() as u32).to_le_bytes());
        let name_length = (name.len() as u16).to_le_bytes();
        // From the flags to the length of the extra field: stored, at no time.
        let facts = [
            &[0; 8][..],
            &crc32fast::hash(data).to_le_bytes(),
            &length,
            &length,
            &name_length,
            &[0; 2],
        ]
        .concat();
        file.extend([b"PK\x03\x04\x0a\0".as_slice(), &facts[..], name.as_bytes(), data].concat());
        let record =
            [b"PK\x01\x02\x0a\0\x0a\0".as_slice(), &facts[..], &[0; 10], &start, name.as_bytes()];
        directory.extend(record.concat());
    }
    let (size, start) = ((directory.len() as u32).to_le_bytes(), (file.len() as u32).to_le_bytes());
    let count = (entries.len() as u16).to_le_bytes();
    let end = [b"PK\x05\x06\0\0\0\0".as_slice(), &count, &count, &size, &start, &[0; 2]].concat();
    [file, directory, end].concat()
}

#[cfg(test)]
mod tests {
    use ferrotape_nn::StateDict;

    use super::*;
    use crate::verdict::reference;

    #[test]
    fn the_archive_reaches_the_reader_of_pickles() {
        // An empty dictionary.
        let dict = StateDict::from_bytes(&reference(), &archive(b"\x80\x02}.")).unwrap();
        assert!(dict.is_empty());
        let older = [BEFORE, b"\x80\x02}.", b"\x80\x02]."].concat();
        assert!(StateDict::from_bytes(&reference(), &older).unwrap().is_empty());
    }
}
