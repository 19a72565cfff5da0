//! The reader of IDX, the format in which MNIST and its relatives are published.
//!
//! An IDX file is a header of two zero bytes, a byte that names the element type, a byte that
//! counts the dimensions and one big-endian 32-bit size for each, then the elements in row-major
//! order, big-endian. Source: the description on LeCun's page of the MNIST database.
//!
//! Files are read as hostile: nothing is allocated for a size in a header before that size has
//! been held against the size of the file.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use flate2::bufread::MultiGzDecoder;

use crate::error::{Error, IdxProblem, Result};

/// Deflate cannot pack more than this many bytes into one (258 bytes for two bits).
const DEFLATE_MAX_RATIO: u64 = 1032;
/// What is set aside for a compressed file before its contents prove that it needs more.
const GZIP_FIRST_RATIO: u64 = 8;

/// The type of the elements of an IDX file.
///
/// ```
/// use ferrotape_data::idx::Element;
///
/// assert_eq!(Element::F32.size(), 4);
/// assert_eq!(Element::U8.name(), "u8");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Element {
    /// Unsigned bytes, code 0x08.
    U8,
    /// Signed bytes, code 0x09.
    I8,
    /// 16-bit signed integers, code 0x0b.
    I16,
    /// 32-bit signed integers, code 0x0c.
    I32,
    /// 32-bit floating-point numbers, code 0x0d.
    F32,
    /// 64-bit floating-point numbers, code 0x0e.
    F64,
}

impl Element {
    fn from_code(code: u8) -> Option<Self> {
        Some(match code {
            0x08 => Self::U8,
            0x09 => Self::I8,
            0x0b => Self::I16,
            0x0c => Self::I32,
            0x0d => Self::F32,
            0x0e => Self::F64,
            _ => return None,
        })
    }

    fn code(self) -> u8 {
        match self {
            Self::U8 => 0x08,
            Self::I8 => 0x09,
            Self::I16 => 0x0b,
            Self::I32 => 0x0c,
            Self::F32 => 0x0d,
            Self::F64 => 0x0e,
        }
    }

    /// The size of one element in bytes.
    ///
    /// ```
    /// assert_eq!(ferrotape_data::idx::Element::I16.size(), 2);
    /// ```
    #[must_use]
    pub fn size(self) -> usize {
        match self {
            Self::U8 | Self::I8 => 1,
            Self::I16 => 2,
            Self::I32 | Self::F32 => 4,
            Self::F64 => 8,
        }
    }

    /// The name of the type, as Rust writes it.
    ///
    /// ```
    /// assert_eq!(ferrotape_data::idx::Element::I16.name(), "i16");
    /// ```
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::U8 => "u8",
            Self::I8 => "i8",
            Self::I16 => "i16",
            Self::I32 => "i32",
            Self::F32 => "f32",
            Self::F64 => "f64",
        }
    }
}

/// The contents of one IDX file.
///
/// `data` has exactly the length that `element` and `dims` give when it comes from a reader here.
///
/// ```
/// use ferrotape_data::idx::{Element, Idx};
///
/// let labels = Idx { file: "labels".into(), element: Element::U8, dims: vec![3], data: vec![7, 2, 1] };
/// assert_eq!(Idx::from_bytes("labels", &labels.to_bytes())?, labels);
/// # Ok::<(), ferrotape_data::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Idx {
    /// The name of the file, for messages.
    pub file: PathBuf,
    /// The type of the elements.
    pub element: Element,
    /// The shape of the array, outermost dimension first.
    pub dims: Vec<usize>,
    /// The elements in row-major order, each in big-endian bytes.
    pub data: Vec<u8>,
}

impl Idx {
    /// Reads a file, plain or compressed by gzip: its contents tell which, not its name.
    ///
    /// # Errors
    ///
    /// If the file cannot be read, or is not exactly one IDX array: see [`IdxProblem`].
    ///
    /// ```
    /// # let folder = tempfile::tempdir()?;
    /// # let path = folder.path().join("labels");
    /// use ferrotape_data::idx::Idx;
    ///
    /// std::fs::write(&path, [0, 0, 8, 1, 0, 0, 0, 2, 4, 5])?;
    /// assert_eq!(Idx::read(&path)?.data, [4, 5]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn read(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let failed = |source| Error::Read { file: path.to_owned(), source };
        // Opening a named pipe would wait for a writer, so the kind of file is looked at first.
        if !fs::metadata(path).map_err(failed)?.is_file() {
            return Err(Error::Idx { file: path.to_owned(), problem: IdxProblem::NotAFile });
        }
        let file = File::open(path).map_err(failed)?;
        let stored = file.metadata().map_err(failed)?.len();
        Source { name: path, stored }.decode(BufReader::with_capacity(64 * 1024, file))
    }

    /// Reads an IDX array, plain or compressed by gzip, from memory. `name` is for messages.
    ///
    /// # Errors
    ///
    /// If the bytes are not exactly one IDX array: see [`IdxProblem`].
    ///
    /// ```
    /// use ferrotape_data::idx::Idx;
    ///
    /// let array = Idx::from_bytes("grid", &[0, 0, 8, 2, 0, 0, 0, 1, 0, 0, 0, 2, 4, 5])?;
    /// assert_eq!(array.dims, [1, 2]);
    /// # Ok::<(), ferrotape_data::Error>(())
    /// ```
    pub fn from_bytes(name: impl AsRef<Path>, bytes: &[u8]) -> Result<Self> {
        Source { name: name.as_ref(), stored: bytes.len() as u64 }.decode(bytes)
    }

    /// [`from_bytes`](Idx::from_bytes) that keeps the memory of a plain array instead of copying it.
    ///
    /// # Errors
    ///
    /// Those of [`from_bytes`](Idx::from_bytes).
    ///
    /// ```
    /// use ferrotape_data::idx::Idx;
    ///
    /// let array = Idx::from_vec("labels", vec![0, 0, 8, 1, 0, 0, 0, 2, 4, 5])?;
    /// assert_eq!(array.data, [4, 5]);
    /// # Ok::<(), ferrotape_data::Error>(())
    /// ```
    pub fn from_vec(name: impl AsRef<Path>, mut bytes: Vec<u8>) -> Result<Self> {
        if is_gzip(&bytes) {
            return Self::from_bytes(name, &bytes);
        }
        let source = Source { name: name.as_ref(), stored: bytes.len() as u64 };
        let header = source.header(&mut bytes.as_slice(), false)?;
        source.check_plain(&header)?;
        bytes.drain(..header.len);
        Ok(Self {
            file: source.name.into(),
            element: header.element,
            dims: header.dims,
            data: bytes,
        })
    }

    /// The bytes of a plain IDX file with this array.
    ///
    /// The format has room for 255 dimensions below 2³² each; larger ones are cut to what fits,
    /// and the result is then no valid file.
    ///
    /// ```
    /// use ferrotape_data::idx::{Element, Idx};
    ///
    /// let array = Idx { file: "a".into(), element: Element::U8, dims: vec![2], data: vec![4, 5] };
    /// assert_eq!(array.to_bytes(), [0, 0, 8, 1, 0, 0, 0, 2, 4, 5]);
    /// ```
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = vec![0, 0, self.element.code(), self.dims.len() as u8];
        bytes.extend(self.dims.iter().flat_map(|&size| (size as u32).to_be_bytes()));
        bytes.extend_from_slice(&self.data);
        bytes
    }
}

struct Header {
    element: Element,
    dims: Vec<usize>,
    /// The length of the header itself.
    len: usize,
    /// The length of the data that must follow.
    expected: usize,
}

/// Where the bytes come from: what a message calls it and how many bytes it has.
struct Source<'a> {
    name: &'a Path,
    stored: u64,
}

impl Source<'_> {
    fn problem(&self, problem: IdxProblem) -> Error {
        Error::Idx { file: self.name.into(), problem }
    }

    fn failed(&self, source: io::Error, gzip: bool) -> Error {
        use io::ErrorKind::{InvalidData, InvalidInput, UnexpectedEof};
        if gzip && matches!(source.kind(), InvalidData | InvalidInput | UnexpectedEof) {
            return self.problem(IdxProblem::Gzip { source });
        }
        Error::Read { file: self.name.into(), source }
    }

    fn decode(&self, mut reader: impl BufRead) -> Result<Idx> {
        let gzip = is_gzip(reader.fill_buf().map_err(|source| self.failed(source, false))?);
        if gzip {
            self.decode_gzip(MultiGzDecoder::new(reader))
        } else {
            let header = self.header(&mut reader, false)?;
            self.check_plain(&header)?;
            let data = Vec::with_capacity(header.expected);
            self.body(reader, header, data, false)
        }
    }

    fn decode_gzip(&self, mut reader: impl Read) -> Result<Idx> {
        let header = self.header(&mut reader, true)?;
        let expected = header.expected as u64;
        if expected > self.stored.saturating_mul(DEFLATE_MAX_RATIO) {
            return Err(self.problem(IdxProblem::Implausible { expected, stored: self.stored }));
        }
        // A small file may still claim a thousand times its size, so that much is only set aside
        // as the data arrives.
        let first = expected.min(self.stored.saturating_mul(GZIP_FIRST_RATIO));
        self.body(reader, header, Vec::with_capacity(first as usize), true)
    }

    fn header(&self, reader: &mut impl Read, gzip: bool) -> Result<Header> {
        let mut start = [0; 4];
        let found = read_full(reader, &mut start).map_err(|source| self.failed(source, gzip))?;
        if found == 4 && start[..2] != [0, 0] {
            return Err(self.problem(IdxProblem::Magic { found: start }));
        }
        if found < 4 {
            return Err(self.problem(IdxProblem::HeaderTruncated { found: found as u64 }));
        }
        let Some(element) = Element::from_code(start[2]) else {
            return Err(self.problem(IdxProblem::ElementType { code: start[2] }));
        };
        let mut sizes = [0; 4 * u8::MAX as usize];
        let sizes = &mut sizes[..4 * usize::from(start[3])];
        let found = read_full(reader, sizes).map_err(|source| self.failed(source, gzip))?;
        if found < sizes.len() {
            let found = 4 + found as u64;
            return Err(self.problem(IdxProblem::HeaderTruncated { found }));
        }
        let dims: Vec<usize> = sizes
            .as_chunks::<4>()
            .0
            .iter()
            .map(|&size| u32::from_be_bytes(size) as usize)
            .collect();
        let expected = dims
            .iter()
            .try_fold(element.size(), |product, &size| product.checked_mul(size))
            .filter(|&expected| expected <= isize::MAX as usize);
        match expected {
            Some(expected) => Ok(Header { element, dims, len: 4 + sizes.len(), expected }),
            None => Err(self.problem(IdxProblem::TooLarge { dims })),
        }
    }

    /// Holds the size in the header against the size of a plain file.
    fn check_plain(&self, header: &Header) -> Result<()> {
        let expected = header.expected as u64;
        let found = self.stored.saturating_sub(header.len as u64);
        match found.cmp(&expected) {
            std::cmp::Ordering::Less => {
                Err(self.problem(IdxProblem::Truncated { expected, found }))
            }
            std::cmp::Ordering::Equal => Ok(()),
            std::cmp::Ordering::Greater => Err(self.problem(IdxProblem::Trailing { expected })),
        }
    }

    fn body(
        &self,
        mut reader: impl Read,
        header: Header,
        mut data: Vec<u8>,
        gzip: bool,
    ) -> Result<Idx> {
        let expected = header.expected as u64;
        let found = (&mut reader)
            .take(expected)
            .read_to_end(&mut data)
            .map_err(|source| self.failed(source, gzip))? as u64;
        if found < expected {
            return Err(self.problem(IdxProblem::Truncated { expected, found }));
        }
        // Asking for one byte more also makes the decompressor check its checksum.
        if read_full(&mut reader, &mut [0]).map_err(|source| self.failed(source, gzip))? > 0 {
            return Err(self.problem(IdxProblem::Trailing { expected }));
        }
        Ok(Idx { file: self.name.into(), element: header.element, dims: header.dims, data })
    }
}

fn is_gzip(bytes: &[u8]) -> bool {
    bytes.starts_with(&[0x1f, 0x8b])
}

/// Fills `buffer` and returns how much of it could be filled before the end.
fn read_full(reader: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match reader.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::{Compression, write::GzEncoder};
    use std::io::Write;

    const GRID: [u8; 14] = [0, 0, 8, 2, 0, 0, 0, 1, 0, 0, 0, 2, 4, 5];

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(bytes).expect("writing to memory cannot fail");
        encoder.finish().expect("writing to memory cannot fail")
    }

    fn problem(bytes: &[u8]) -> IdxProblem {
        let from_bytes = Idx::from_bytes("file", bytes).unwrap_err();
        let from_vec = Idx::from_vec("file", bytes.to_vec()).unwrap_err();
        assert_eq!(from_bytes.to_string(), from_vec.to_string());
        assert!(from_bytes.to_string().starts_with("file cannot be used: it"), "{from_bytes}");
        match from_bytes {
            Error::Idx { problem, .. } => problem,
            other => panic!("not a problem of the file: {other}"),
        }
    }

    #[test]
    fn the_contents_and_not_the_name_tell_whether_a_file_is_compressed() {
        let folder = tempfile::tempdir().unwrap();
        for bytes in [GRID.to_vec(), gzip(&GRID)] {
            for name in ["grid", "grid.gz"] {
                let path = folder.path().join(name);
                fs::write(&path, &bytes).unwrap();
                let read = Idx::read(&path).unwrap();
                assert_eq!((read.dims, read.data), (vec![1, 2], vec![4, 5]));
            }
        }
    }

    #[test]
    fn a_compressed_file_in_several_members_is_read_whole() {
        let bytes = [gzip(&GRID[..5]), gzip(&[]), gzip(&GRID[5..])].concat();
        assert_eq!(Idx::from_bytes("file", &bytes).unwrap().data, [4, 5]);
    }

    #[test]
    fn every_cut_is_found_whether_plain_or_compressed() {
        for length in 0..GRID.len() {
            let cut = problem(&GRID[..length]);
            if length < 12 {
                assert!(
                    matches!(cut, IdxProblem::HeaderTruncated { found } if found == length as u64)
                );
            } else {
                assert!(matches!(cut, IdxProblem::Truncated { expected: 2, .. }));
            }
            assert_eq!(problem(&gzip(&GRID[..length])).to_string(), cut.to_string());
        }
        let compressed = gzip(&GRID);
        for length in 2..compressed.len() {
            assert!(matches!(problem(&compressed[..length]), IdxProblem::Gzip { .. }), "{length}");
        }
    }

    #[test]
    fn what_follows_the_data_is_an_error() {
        let longer = [&GRID[..], &[0]].concat();
        assert!(matches!(problem(&longer), IdxProblem::Trailing { expected: 2 }));
        assert!(matches!(problem(&gzip(&longer)), IdxProblem::Trailing { expected: 2 }));
        let appended = [&gzip(&GRID)[..], b"more"].concat();
        assert!(matches!(problem(&appended), IdxProblem::Gzip { .. }));
    }

    #[test]
    fn a_header_that_is_none_is_told_from_one_with_a_wrong_type() {
        assert!(matches!(problem(b"\x89PNG\r\n"), IdxProblem::Magic { found: [0x89, ..] }));
        assert!(matches!(problem(&[0, 0, 10, 1]), IdxProblem::ElementType { code: 10 }));
    }

    #[test]
    fn sizes_are_held_against_the_file_before_anything_is_allocated() {
        let most = [0xff; 4];
        let overflow = [&[0, 0, 14, 3][..], &most, &most, &most].concat();
        assert!(matches!(problem(&overflow), IdxProblem::TooLarge { .. }));
        let claim = [&[0, 0, 8, 1][..], &most].concat();
        assert!(matches!(problem(&claim), IdxProblem::Truncated { found: 0, .. }));
        assert!(matches!(problem(&gzip(&claim)), IdxProblem::Implausible { .. }));
    }

    #[test]
    fn a_changed_bit_in_compressed_data_is_found() {
        let mut bytes = gzip(&[&[0, 0, 8, 1, 0, 0, 0x10, 0][..], &[7; 0x1000]].concat());
        let checksum = bytes.len() - 8;
        bytes[checksum] ^= 1;
        assert!(matches!(problem(&bytes), IdxProblem::Gzip { .. }));
    }

    #[test]
    fn folders_and_missing_files_are_told_apart() {
        let folder = tempfile::tempdir().unwrap();
        let error = Idx::read(folder.path()).unwrap_err();
        assert!(matches!(error, Error::Idx { problem: IdxProblem::NotAFile, .. }));
        let error = Idx::read(folder.path().join("none")).unwrap_err();
        assert!(matches!(error, Error::Read { .. }));
    }
}
