//! Arrays by name, and their files: safetensors, and those of `torch.save`.

mod mapped;
mod safetensors;
mod torch;

use std::collections::HashMap;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io::Write;
use std::path::Path as FilePath;

use ferrotape_backend::{Array, Context, Device, Error, Result};

/// Named arrays in an order: the parameters and states of a model, or those of an optimizer.
///
/// Files are written in the safetensors format, which PyTorch's and others' tools read. The same
/// contents give the same bytes. An order is not part of the format: what is read is ordered by
/// name.
///
/// Read are safetensors and the `.pth` and `.pt` files of `torch.save`, told apart by what is in
/// them and not by their name; see [`StateDict::from_bytes`].
///
/// ```
/// use ferrotape_backend::{Array, Device, reference::Reference};
/// use ferrotape_nn::StateDict;
///
/// let device = Device::new(Reference::new());
/// let mut dict = StateDict::new();
/// dict.insert("fc.bias", Array::from_slice(&device, &[1.0f32, 2.0], [2])?);
/// let bytes = dict.to_bytes()?;
/// let read = StateDict::from_bytes(&device, &bytes)?;
/// assert_eq!(read.get("fc.bias").map(|a| a.to_vec::<f32>()).transpose()?, Some(vec![1.0, 2.0]));
/// assert_eq!(read.names().collect::<Vec<_>>(), ["fc.bias"]);
/// assert_eq!((read.len(), read.is_empty(), StateDict::new().is_empty()), (1, false, true));
/// # Ok::<(), ferrotape_backend::Error>(())
/// ```
#[derive(Debug, Clone, Default)]
pub struct StateDict {
    entries: Vec<(String, Array)>,
    index: HashMap<String, usize>,
}

impl StateDict {
    /// Nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Puts an array at the end, or in the place of the one of that name.
    ///
    /// ```
    /// use ferrotape_backend::{Array, DType, Device, reference::Reference};
    /// use ferrotape_nn::StateDict;
    ///
    /// let device = Device::new(Reference::new());
    /// let mut dict = StateDict::new();
    /// for (name, value) in [("a", 1.0), ("b", 2.0), ("a", 3.0)] {
    ///     dict.insert(name, Array::full(&device, DType::F32, [1], value)?);
    /// }
    /// assert_eq!(dict.names().collect::<Vec<_>>(), ["a", "b"]);
    /// assert_eq!(dict.get("a").map(|a| a.item()).transpose()?, Some(3.0));
    /// # Ok::<(), ferrotape_backend::Error>(())
    /// ```
    pub fn insert(&mut self, name: impl Into<String>, array: Array) {
        let name = name.into();
        match self.index.get(&name) {
            Some(&at) => self.entries[at].1 = array,
            None => {
                self.index.insert(name.clone(), self.entries.len());
                self.entries.push((name, array));
            }
        }
    }

    /// The array of that name.
    ///
    /// ```
    /// use ferrotape_backend::{Array, DType, Device, Error, reference::Reference};
    /// use ferrotape_nn::StateDict;
    ///
    /// let device = Device::new(Reference::new());
    /// let mut dict = StateDict::new();
    /// dict.insert("fc.weight", Array::zeros(&device, DType::F32, [10, 84])?);
    /// let weight = dict.get("fc.weight").ok_or(Error::state("it was put there"))?;
    /// assert_eq!(weight.shape().dims(), [10, 84]);
    /// assert!(dict.get("fc.bias").is_none());
    /// # Ok::<(), ferrotape_backend::Error>(())
    /// ```
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Array> {
        self.index.get(name).map(|&at| &self.entries[at].1)
    }

    /// The names, in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.entries.iter().map(|(name, _)| name.as_str())
    }

    /// Names and arrays, in order.
    ///
    /// ```
    /// use ferrotape_backend::{Device, Rng, reference::Reference};
    /// use ferrotape_nn::{Init, Linear, LinearConfig, Module};
    ///
    /// let device = Device::new(Reference::new());
    /// let init = Init::new(&device, Rng::new(42));
    /// let fc = Linear::new(&init, LinearConfig::new(3, 2))?;
    /// let dict = fc.state_dict()?;
    /// let sizes: Vec<_> = dict.iter().map(|(name, array)| (name, array.shape().numel())).collect();
    /// assert_eq!(sizes, [("weight", 6), ("bias", 2)]);
    /// # Ok::<(), ferrotape_backend::Error>(())
    /// ```
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Array)> {
        self.entries.iter().map(|(name, array)| (name.as_str(), array))
    }

    /// How many arrays there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The arrays in the safetensors format: little-endian, row-major (a convolution's weight is
    /// OIHW), sorted by data type and name.
    ///
    /// ```
    /// use ferrotape_backend::{Array, Device, reference::Reference};
    /// use ferrotape_nn::StateDict;
    ///
    /// let device = Device::new(Reference::new());
    /// let array = Array::from_slice(&device, &[1.0f32, 2.0], [2])?;
    /// let dict: StateDict = [("b", array.clone()), ("a", array.clone())].into_iter().collect();
    /// let turned: StateDict = [("a", array.clone()), ("b", array)].into_iter().collect();
    /// assert_eq!(dict.to_bytes()?, turned.to_bytes()?);
    /// # Ok::<(), ferrotape_backend::Error>(())
    /// ```
    ///
    /// # Errors
    /// The device failed; more names than the format's header holds, or one that it keeps for itself,
    /// `__metadata__`.
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        safetensors::write(self, None)
    }

    /// As [`StateDict::to_bytes`], with a text in the header that [`StateDict::note`] finds again. Other
    /// readers pass over it.
    ///
    /// ```
    /// use ferrotape_backend::{Array, Device, reference::Reference};
    /// use ferrotape_nn::StateDict;
    ///
    /// let device = Device::new(Reference::new());
    /// let bytes = StateDict::new().to_bytes_with_note("step 7")?;
    /// assert_eq!(StateDict::note(&bytes)?.as_deref(), Some("step 7"));
    /// assert!(StateDict::from_bytes(&device, &bytes)?.is_empty());
    /// # Ok::<(), ferrotape_backend::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`StateDict::to_bytes`].
    pub fn to_bytes_with_note(&self, note: &str) -> Result<Vec<u8>> {
        safetensors::write(self, Some(note))
    }

    /// The text that [`StateDict::to_bytes_with_note`] put into the header, if it did.
    ///
    /// ```
    /// use ferrotape_nn::StateDict;
    ///
    /// assert_eq!(StateDict::note(&StateDict::new().to_bytes()?)?, None);
    /// assert!(StateDict::note(b"PK, but no archive").is_err());
    /// # Ok::<(), ferrotape_backend::Error>(())
    /// ```
    ///
    /// # Errors
    /// Not the safetensors format.
    pub fn note(bytes: &[u8]) -> Result<Option<String>> {
        safetensors::note(bytes)
    }

    /// Reads the safetensors format, or what `torch.save` wrote. The bytes may be anything: all
    /// sizes are checked before memory is asked for, and nothing in them is ever run.
    ///
    /// Of `torch.save` both formats are read, the zip archive and the older one, if they hold a
    /// state dict (`torch.save(model.state_dict(), FILE)`), or a checkpoint with one under a usual
    /// name such as `state_dict` or `model`. Tensors may be views of shared memory with any strides;
    /// each becomes an array of its own, in the order of the file. The types f32, f64, bf16, f16,
    /// i64 and u8 stay; i32, i16 and i8 become i64, and bool u8.
    ///
    /// ```
    /// use ferrotape_backend::{Array, DType, Device, reference::Reference};
    /// use ferrotape_nn::StateDict;
    ///
    /// let device = Device::new(Reference::new());
    /// let error = StateDict::from_bytes(&device, b"<!DOCTYPE html>").unwrap_err().to_string();
    /// assert!(error.contains("no safetensors file"), "{error}");
    ///
    /// let mut dict = StateDict::new();
    /// dict.insert("weight", Array::zeros(&device, DType::BF16, [2, 3])?);
    /// let read = StateDict::from_bytes(&device, &dict.to_bytes()?)?;
    /// assert_eq!(read.get("weight").map(|a| a.dtype()), Some(DType::BF16));
    /// # Ok::<(), ferrotape_backend::Error>(())
    /// ```
    ///
    /// # Errors
    /// Neither format, truncated or damaged, or a data type that arrays do not have; a pickle that
    /// names a class, function or instruction that state dicts do not need, or one with more than
    /// one state dict or none; a big-endian, compressed or TorchScript file; out of memory.
    pub fn from_bytes(device: &Device, bytes: &[u8]) -> Result<Self> {
        // The byte after the header's length is the header's first, as in none of the others.
        let is_safetensors = bytes.get(8) == Some(&b'{');
        if !is_safetensors && torch::is_torch(bytes) {
            return torch::read(device, bytes);
        }
        if bytes.starts_with(b"version https://git-lfs") {
            return Err(Error::state(
                "this is the pointer of Git LFS to a file and not the file; fetch it with git lfs \
                 pull",
            ));
        }
        safetensors::read(device, bytes)
    }

    /// Writes a safetensors file: first under another name, so that nobody ever sees half of it.
    ///
    /// ```
    /// use ferrotape_backend::{Device, Rng, reference::Reference};
    /// use ferrotape_nn::{Init, Linear, LinearConfig, Module, StateDict};
    ///
    /// let device = Device::new(Reference::new());
    /// let fc = Linear::new(&Init::new(&device, Rng::new(42)), LinearConfig::new(3, 2))?;
    /// let file = std::env::temp_dir().join(format!("save-{}.safetensors", std::process::id()));
    /// fc.state_dict()?.save(&file)?;
    /// let read = StateDict::load(&device, &file)?;
    /// assert_eq!(read.names().collect::<Vec<_>>(), ["bias", "weight"]);
    /// fc.load_state_dict(&read, true)?;
    /// # std::fs::remove_file(&file).expect("it was written above");
    /// # Ok::<(), ferrotape_backend::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`StateDict::to_bytes`]; the file cannot be written.
    pub fn save(&self, file: impl AsRef<FilePath>) -> Result<()> {
        let file = file.as_ref();
        let bytes = self.to_bytes()?;
        write_whole(file, &bytes).map_err(|e| {
            Error::state(format!(
                "cannot write {}: {e}; is the folder there, writable, and with space left?",
                file.display()
            ))
        })
    }

    /// Reads a file of weights in any of the forms that [`StateDict::from_bytes`] knows, whatever its
    /// name is.
    ///
    /// The file is mapped into memory for as long as this takes, so each array is copied once.
    /// Nobody may write into it meanwhile; replacing it by another, as [`StateDict::save`] does, is
    /// fine.
    ///
    /// ```
    /// use ferrotape_backend::{Device, reference::Reference};
    /// use ferrotape_nn::{StateDict};
    ///
    /// let device = Device::new(Reference::new());
    /// let error = StateDict::load(&device, "no/such.pth").unwrap_err().to_string();
    /// assert!(error.starts_with("no/such.pth: cannot read the state dict"), "{error}");
    /// # Ok::<(), ferrotape_backend::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`StateDict::from_bytes`]; the file cannot be read.
    pub fn load(device: &Device, file: impl AsRef<FilePath>) -> Result<Self> {
        let file = file.as_ref();
        let place = || file.display().to_string();
        let bytes = mapped::map(file).map_err(|e| {
            Error::state(format!("cannot read the state dict: {e}; check the path")).at(place())
        })?;
        Self::from_bytes(device, &bytes).at(place)
    }
}

impl<S: Into<String>> FromIterator<(S, Array)> for StateDict {
    fn from_iter<I: IntoIterator<Item = (S, Array)>>(entries: I) -> Self {
        let mut dict = StateDict::new();
        entries.into_iter().for_each(|(name, array)| dict.insert(name, array));
        dict
    }
}

fn write_whole(file: &FilePath, bytes: &[u8]) -> std::io::Result<()> {
    let mut name = OsString::from(".");
    name.push(file.file_name().ok_or(std::io::ErrorKind::IsADirectory)?);
    name.push(format!(".{}.part", std::process::id()));
    let part = file.with_file_name(name);
    let written = File::create(&part)
        .and_then(|mut handle| {
            handle.write_all(bytes)?;
            handle.sync_all()
        })
        .and_then(|()| fs::rename(&part, file));
    if written.is_err() {
        // The first failure is the one to report.
        let _ = fs::remove_file(&part);
    }
    written
}

#[cfg(test)]
mod tests {
    use ferrotape_backend::{DType, reference::Reference};

    use super::*;

    fn device() -> Device {
        Device::new(Reference::new())
    }

    fn every_type(device: &Device) -> StateDict {
        DType::ALL
            .into_iter()
            .map(|dtype| {
                let array = Array::from_f64(device, &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0], dtype, [2, 3]);
                (format!("of {dtype}"), array.unwrap().permute(&[1, 0]).unwrap())
            })
            .collect()
    }

    #[test]
    fn every_data_type_survives_the_round_trip() {
        let device = device();
        let dict = every_type(&device);
        let read = StateDict::from_bytes(&device, &dict.to_bytes().unwrap()).unwrap();
        assert_eq!(read.len(), 6);
        for (name, array) in dict.iter() {
            let found = read.get(name).unwrap();
            assert_eq!((found.dtype(), found.shape()), (array.dtype(), array.shape()));
            assert_eq!(found.to_f64_vec().unwrap(), [1.0, 4.0, 2.0, 5.0, 3.0, 6.0]);
        }
    }

    #[test]
    fn the_bytes_do_not_depend_on_the_order_of_insertion() {
        let device = device();
        let dict = every_type(&device);
        let mut reversed: Vec<_> = dict.iter().map(|(n, a)| (n.to_owned(), a.clone())).collect();
        reversed.reverse();
        let reversed: StateDict = reversed.into_iter().collect();
        assert_eq!(dict.to_bytes().unwrap(), reversed.to_bytes().unwrap());
    }

    #[test]
    fn truncated_and_altered_bytes_are_errors_and_no_panics() {
        let device = device();
        let bytes = every_type(&device).to_bytes().unwrap();
        for length in 0..bytes.len() {
            assert!(StateDict::from_bytes(&device, &bytes[..length]).is_err(), "{length} bytes");
        }
        for at in 0..bytes.len() {
            for bit in 0..8 {
                let mut altered = bytes.clone();
                altered[at] ^= 1 << bit;
                // Some changes are still a valid file; none may panic.
                let _ = StateDict::from_bytes(&device, &altered);
            }
        }
    }

    #[test]
    fn headers_that_lie_are_refused() {
        let file = |header: &str, data: usize| {
            let mut file = (header.len() as u64).to_le_bytes().to_vec();
            file.extend_from_slice(header.as_bytes());
            file.resize(file.len() + data, 0);
            file
        };
        let entry = |name: &str, shape: &str, from: u64, to: u64| {
            format!(r#""{name}":{{"dtype":"F32","shape":[{shape}],"data_offsets":[{from},{to}]}}"#)
        };
        let both = |a: String, b: String| format!("{{{a},{b}}}");
        let one = |a: String| format!("{{{a}}}");
        let device = device();
        assert!(StateDict::from_bytes(&device, &file(&one(entry("a", "2", 0, 8)), 8)).is_ok());
        for (what, header) in [
            ("overflow", one(entry("a", "4611686018427387904,4", 0, 0))),
            ("beyond the end", one(entry("a", "4", 0, 16))),
            ("backwards", one(entry("a", "2", 8, 0))),
            ("far", one(entry("a", "2", u64::MAX - 8, u64::MAX))),
            ("overlap", both(entry("a", "2", 0, 8), entry("b", "1", 4, 8))),
            ("hole", one(entry("a", "1", 4, 8))),
            ("size", one(entry("a", "1", 0, 8))),
            ("rest", one(entry("a", "1", 0, 4))),
            ("twice at two places", both(entry("a", "1", 0, 4), entry("a", "1", 4, 8))),
            ("twice at one place", both(entry("a", "2", 0, 8), entry("a", "2", 0, 8))),
            ("no offsets", r#"{"a":{"dtype":"F32","shape":[2]}}"#.into()),
            ("deep", "[".repeat(100_000)),
        ] {
            assert!(StateDict::from_bytes(&device, &file(&header, 8)).is_err(), "{what}");
        }
        let error = both(entry("a", "2", 0, 8), entry("a", "2", 0, 8));
        let error = StateDict::from_bytes(&device, &file(&error, 8)).unwrap_err().to_string();
        assert!(error.contains("names \"a\" twice"), "{error}");
        // A length of the header that no memory holds.
        assert!(StateDict::from_bytes(&device, &[0xff; 100]).is_err());
    }

    #[test]
    fn a_name_that_the_format_keeps_for_itself_is_not_written() {
        let array = Array::from_slice(&device(), &[1.0f32], [1]).unwrap();
        let named = |name: &str| StateDict::from_iter([(name, array.clone())]).to_bytes();
        assert!(named("metadata").is_ok());
        let error = named("__metadata__").unwrap_err().to_string();
        assert!(error.contains("an array has the name __metadata__"), "{error}");
    }

    #[test]
    fn what_is_no_file_of_weights_says_so() {
        let device = device();
        let said = |bytes: &[u8]| StateDict::from_bytes(&device, bytes).unwrap_err().to_string();
        assert!(said(b"").contains("no safetensors file"));
        assert!(said(b"<!DOCTYPE html>").contains("no safetensors file"));
        assert!(said(b"version https://git-lfs.github.com/spec/v1").contains("git lfs pull"));
        assert!(said(b"\x80\x02}.").contains("none of torch.save"));
        let mut tar = [0; 512];
        tar[257..262].copy_from_slice(b"ustar");
        assert!(said(&tar).contains("before version 0.2"));
        let folder = StateDict::load(&device, std::env::temp_dir()).unwrap_err().to_string();
        assert!(folder.contains("no regular file"), "{folder}");
        assert!(StateDict::load(&device, "no/such/file").is_err());
    }

    #[test]
    fn a_failed_save_leaves_nothing_behind() {
        let folder = std::env::temp_dir().join(format!("ferrotape-state-{}", std::process::id()));
        fs::create_dir_all(folder.join("taken")).unwrap();
        let device = device();
        let dict = every_type(&device);
        // A folder stands where the file should go.
        assert!(dict.save(folder.join("taken")).is_err());
        assert!(dict.save(folder.join("absent").join("model.safetensors")).is_err());
        let left: Vec<_> = fs::read_dir(&folder).unwrap().map(|e| e.unwrap().file_name()).collect();
        assert_eq!(left, ["taken"]);

        let file = folder.join("model.safetensors");
        dict.save(&file).unwrap();
        assert_eq!(StateDict::load(&device, &file).unwrap().len(), 6);
        fs::remove_dir_all(&folder).unwrap();
    }
}
