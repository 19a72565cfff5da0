//! Event files that TensorBoard opens: scalars, histograms, pictures and the graph of a run.
//!
//! An event file is a list of records of the TFRecord format: eight bytes of length, their checksum, the
//! record, its checksum (CRC-32C, masked). A record is an `Event` in the wire format of protocol buffers;
//! the field numbers are those of TensorFlow's `event.proto`, `summary.proto`, `histogram.proto`,
//! `graph.proto` and `node_def.proto`.

mod graph;
mod message;

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

pub use graph::graph;
use message::Message;

use crate::{Error, Result};

/// An event file that is being written.
///
/// ```
/// use ferrotape_train::tensorboard::EventFile;
///
/// let place = tempfile::tempdir()?;
/// let mut events = EventFile::create(place.path(), 0)?;
/// events.scalar("train/loss", 1, 0.5);
/// events.histogram("conv1.weight", 1, &[0.1, 0.2, -0.3]);
/// events.flush()?;
/// assert_eq!(std::fs::read_dir(place.path())?.count(), 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct EventFile {
    path: PathBuf,
    out: BufWriter<File>,
    /// The first failure to write, which [`EventFile::flush`] tells.
    failed: Option<std::io::Error>,
}

/// Bars of a histogram.
const BARS: usize = 30;

impl EventFile {
    /// A new file in a folder, which is made if it is not there, of a run that has taken so many steps. What
    /// other files of the folder have for later steps is done again, and TensorBoard forgets it.
    ///
    /// ```
    /// use ferrotape_train::tensorboard::EventFile;
    ///
    /// let place = tempfile::tempdir()?;
    /// // A run that goes on at step 100 writes a file beside the one that it wrote before.
    /// EventFile::create(&place.path().join("events"), 0)?.flush()?;
    /// EventFile::create(&place.path().join("events"), 100)?.flush()?;
    /// assert_eq!(std::fs::read_dir(place.path().join("events"))?.count(), 2);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// The folder or the file cannot be made.
    pub fn create(folder: &Path, step: u64) -> Result<Self> {
        fs::create_dir_all(folder).map_err(|e| Error::io("create the folder", folder, e))?;
        let seconds = wall_time() as u64;
        let (mut number, process) = (0, std::process::id());
        let (path, file) = loop {
            let name = format!("events.out.tfevents.{seconds:010}.ferrotape.{process}.{number}");
            let path = folder.join(name);
            match File::options().write(true).create_new(true).open(&path) {
                Ok(file) => break (path, file),
                Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => number += 1,
                Err(e) => return Err(Error::io("write", path, e)),
            }
        };
        let mut events = EventFile { path, out: BufWriter::new(file), failed: None };
        let mut version = Message::default();
        version.double(1, wall_time()).bytes(3, b"brain.Event:2");
        events.record(&version);
        if step > 0 {
            const START: u64 = 1;
            let mut log = Message::default();
            log.integer(1, START);
            events.event(step + 1, 7, &log);
        }
        Ok(events)
    }

    /// One number.
    pub fn scalar(&mut self, tag: &str, step: u64, value: f64) {
        self.value(step, Message::default().bytes(1, tag.as_bytes()).float(2, value as f32));
    }

    /// How some numbers are distributed; those that are not finite are left out.
    pub fn histogram(&mut self, tag: &str, step: u64, values: &[f32]) {
        let histogram = histogram(values);
        self.value(step, Message::default().bytes(1, tag.as_bytes()).message(5, &histogram));
    }

    /// A picture as PNG, with its height, width and channels.
    ///
    /// ```
    /// use ferrotape_train::{insight::Picture, tensorboard::EventFile};
    ///
    /// let place = tempfile::tempdir()?;
    /// let mut events = EventFile::create(place.path(), 0)?;
    /// let grey = Picture::of(&[128; 4], [1, 2, 2])?;
    /// events.picture("test/digit", 1, [2, 2, 3], &grey.png()?);
    /// events.flush()?;
    /// let file = std::fs::read_dir(place.path())?.next().expect("one file")?;
    /// assert!(std::fs::read(file.path())?.windows(10).any(|bytes| bytes == b"test/digit"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn picture(
        &mut self,
        tag: &str,
        step: u64,
        [height, width, channels]: [usize; 3],
        png: &[u8],
    ) {
        let mut image = Message::default();
        image
            .integer(1, height as u64)
            .integer(2, width as u64)
            .integer(3, channels as u64)
            .bytes(4, png);
        self.value(step, Message::default().bytes(1, tag.as_bytes()).message(4, &image));
    }

    /// The graph of a model, as [`graph`] makes it.
    ///
    /// ```
    /// use ferrotape_backend::{Array, DType, Device, Rng, reference::Reference};
    /// use ferrotape_nn::{Init, LinearConfig, Sequential};
    /// use ferrotape_train::tensorboard::EventFile;
    /// use ferrotape_train::tensorboard::graph;
    ///
    /// let device = Device::new(Reference::new());
    /// let init = Init::new(&device, Rng::new(42));
    /// let place = tempfile::tempdir()?;
    /// let model = Sequential::new(&init).named("fc", LinearConfig::new(4, 3))?;
    /// let mut events = EventFile::create(place.path(), 0)?;
    /// events.graph(&graph(&model, &device, Array::zeros(&device, DType::F32, [1, 4])?)?);
    /// events.flush()?;
    /// let file = std::fs::read_dir(place.path())?.next().expect("one file")?;
    /// assert!(std::fs::read(file.path())?.windows(9).any(|bytes| bytes == b"fc/linear"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn graph(&mut self, graph: &[u8]) {
        let mut event = Message::default();
        event.double(1, wall_time()).bytes(4, graph);
        self.record(&event);
    }

    /// Brings what was written to the disk.
    ///
    /// # Errors
    /// It could not be written, now or before.
    pub fn flush(&mut self) -> Result<()> {
        let flushed = self.out.flush();
        match self.failed.take().map_or(flushed, Err) {
            Ok(()) => Ok(()),
            Err(e) => Err(Error::io("write", &self.path, e)),
        }
    }

    fn value(&mut self, step: u64, value: &Message) {
        let mut summary = Message::default();
        summary.message(1, value);
        self.event(step, 5, &summary);
    }

    fn event(&mut self, step: u64, field: u32, content: &Message) {
        let mut event = Message::default();
        event.double(1, wall_time()).integer(2, step).message(field, content);
        self.record(&event);
    }

    fn record(&mut self, event: &Message) {
        let bytes = event.as_bytes();
        let length = (bytes.len() as u64).to_le_bytes();
        let written = [&length[..], &masked(&length), bytes, &masked(bytes)]
            .into_iter()
            .try_for_each(|part| self.out.write_all(part));
        if let Err(error) = written {
            self.failed.get_or_insert(error);
        }
    }
}

/// The checksum as TFRecord has it, so that a checksum of checksums is not one.
fn masked(bytes: &[u8]) -> [u8; 4] {
    crc32c::crc32c(bytes).rotate_right(15).wrapping_add(0xa282_ead8).to_le_bytes()
}

/// Seconds since 1970.
fn wall_time() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64())
}

/// Bars of equal width from the least to the greatest value.
fn histogram(values: &[f32]) -> Message {
    let finite = || values.iter().copied().filter(|value| value.is_finite()).map(f64::from);
    let (low, high) = finite().fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| {
        (low.min(value), high.max(value))
    });
    let mut message = Message::default();
    let count = finite().count();
    if count == 0 {
        return message;
    }
    let width = (high - low) / BARS as f64;
    let (limits, counts): (Vec<f64>, Vec<f64>) = if width > 0.0 {
        let mut counts = vec![0.0; BARS];
        finite().for_each(|value| counts[(((value - low) / width) as usize).min(BARS - 1)] += 1.0);
        ((1..=BARS).map(|bar| low + width * bar as f64).collect(), counts)
    } else {
        (vec![high], vec![count as f64])
    };
    message
        .double(1, low)
        .double(2, high)
        .double(3, count as f64)
        .double(4, finite().sum())
        .double(5, finite().map(|value| value * value).sum())
        .doubles(6, &limits)
        .doubles(7, &counts);
    message
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The records of a file, with every checksum checked.
    fn records(path: &Path) -> Vec<Vec<u8>> {
        let bytes = fs::read(path).unwrap();
        let (mut rest, mut records) = (&bytes[..], Vec::new());
        while !rest.is_empty() {
            let length = u64::from_le_bytes(rest[..8].try_into().unwrap()) as usize;
            assert_eq!(rest[8..12], masked(&rest[..8]));
            let record = &rest[12..12 + length];
            assert_eq!(rest[12 + length..16 + length], masked(record));
            records.push(record.to_vec());
            rest = &rest[16 + length..];
        }
        records
    }

    #[test]
    fn checksums_are_those_of_the_format() {
        // RFC 3720, B.4: 32 bytes of zeros.
        assert_eq!(crc32c::crc32c(&[0; 32]), 0x8a91_36aa);
        assert_eq!(masked(&[]), 0xa282_ead8u32.to_le_bytes());
    }

    #[test]
    fn a_file_holds_its_version_and_what_was_written() {
        let place = tempfile::tempdir().unwrap();
        let mut events = EventFile::create(place.path(), 7).unwrap();
        events.scalar("loss", 8, 0.25);
        events.flush().unwrap();
        let records = records(&events.path);
        assert_eq!(records.len(), 3);
        let holds = |record: &[u8], part: &[u8]| record.windows(part.len()).any(|w| w == part);
        assert!(holds(&records[0], b"brain.Event:2"));
        // Field 7, two bytes: field 1 is 1.
        assert!(holds(&records[1], &[0x10, 8, 0x3a, 2, 0x08, 1]));
        assert!(holds(&records[2], b"\x0a\x04loss\x15\x00\x00\x80\x3e"), "{:?}", records[2]);
        let second = EventFile::create(place.path(), 0).unwrap();
        assert_ne!(second.path, events.path);
    }

    #[test]
    fn histograms_count_every_finite_value_once() {
        for values in [vec![], vec![f32::NAN], vec![1.0; 5], (0..1000).map(|i| i as f32).collect()]
        {
            let message = histogram(&values);
            let finite = values.iter().filter(|value| value.is_finite()).count();
            let counted = message.clone_doubles(7).iter().sum::<f64>();
            assert_eq!(counted, finite as f64);
            let limits = message.clone_doubles(6);
            assert!(limits.windows(2).all(|pair| pair[0] < pair[1]), "{limits:?}");
        }
    }
}
