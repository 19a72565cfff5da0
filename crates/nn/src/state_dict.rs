//! Arrays by name, and their files in the safetensors format.

use std::collections::HashMap;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io::Write;
use std::path::Path as FilePath;

use ferrotape_backend::{Array, DType, Device, Error, Layout, Result, Shape};
use safetensors::tensor::{Dtype, SafeTensors, TensorView};

/// Named arrays in an order: the parameters and states of a model, or those of an optimizer.
///
/// Files are in the safetensors format, which PyTorch's and others' tools read. The same contents
/// give the same bytes. An order is not part of the format: what is read is ordered by name.
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
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Array> {
        self.index.get(name).map(|&at| &self.entries[at].1)
    }

    /// The names, in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.entries.iter().map(|(name, _)| name.as_str())
    }

    /// Names and arrays, in order.
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
    /// # Errors
    /// The device failed; more names than the format's header holds.
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        let mut data = Vec::with_capacity(self.len());
        for (name, array) in &self.entries {
            let array = array.contiguous()?;
            let mut bytes = vec![0; array.bytes()];
            array.device().backend().download(&array, &mut bytes)?;
            data.push((name, file_dtype(array.dtype()), array.shape().to_vec(), bytes));
        }
        let views = data.iter().map(|(name, dtype, shape, bytes)| {
            let view = TensorView::new(*dtype, shape.clone(), bytes);
            view.map(|view| (name.as_str(), view))
        });
        views
            .collect::<Result<Vec<_>, _>>()
            .and_then(|views| safetensors::serialize(views, None))
            .map_err(|e| Error::state(format!("cannot write the state dict: {e}")))
    }

    /// Reads the safetensors format. The bytes may be anything: all sizes are checked before
    /// memory is asked for.
    ///
    /// # Errors
    /// Not the format, truncated, or a data type that arrays do not have; out of memory.
    pub fn from_bytes(device: &Device, bytes: &[u8]) -> Result<Self> {
        let file = SafeTensors::deserialize(bytes).map_err(|e| {
            Error::state(format!("this is no safetensors file, or a damaged one: {e}"))
        })?;
        let mut tensors = file.tensors();
        tensors.sort_by(|a, b| a.0.cmp(&b.0));
        let mut dict = StateDict::new();
        for (name, view) in tensors {
            let array = read(device, &view).map_err(|e| e.at(name.as_str()))?;
            dict.insert(name, array);
        }
        Ok(dict)
    }

    /// Writes a safetensors file: first under another name, so that nobody ever sees half of it.
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

    /// Reads a safetensors file.
    ///
    /// # Errors
    /// As [`StateDict::from_bytes`]; the file cannot be read.
    pub fn load(device: &Device, file: impl AsRef<FilePath>) -> Result<Self> {
        let file = file.as_ref();
        let place = || file.display().to_string();
        let bytes = fs::read(file)
            .map_err(|e| Error::state(format!("cannot read the state dict: {e}")).at(place()))?;
        Self::from_bytes(device, &bytes).map_err(|e| e.at(place()))
    }
}

impl<S: Into<String>> FromIterator<(S, Array)> for StateDict {
    fn from_iter<I: IntoIterator<Item = (S, Array)>>(entries: I) -> Self {
        let mut dict = StateDict::new();
        entries.into_iter().for_each(|(name, array)| dict.insert(name, array));
        dict
    }
}

fn file_dtype(dtype: DType) -> Dtype {
    match dtype {
        DType::F32 => Dtype::F32,
        DType::F64 => Dtype::F64,
        DType::BF16 => Dtype::BF16,
        DType::F16 => Dtype::F16,
        DType::I64 => Dtype::I64,
        DType::U8 => Dtype::U8,
    }
}

fn read(device: &Device, view: &TensorView<'_>) -> Result<Array> {
    let known = DType::ALL.into_iter().find(|&dtype| file_dtype(dtype) == view.dtype());
    let dtype = known.ok_or_else(|| {
        Error::dtype(format!(
            "it holds {:?}; f32, f64, bf16, f16, i64 and u8 can be read",
            view.dtype()
        ))
    })?;
    let shape = Shape::new(view.shape())?;
    let mut array = Array::empty(device, dtype, Layout::contiguous(shape))?;
    device.backend().upload(view.data(), &mut array)?;
    Ok(array)
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
    use ferrotape_backend::reference::Reference;

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
        let huge = br#"{"a":{"dtype":"F32","shape":[4611686018427387904,4],"data_offsets":[0,0]}}"#;
        let mut file = (huge.len() as u64).to_le_bytes().to_vec();
        file.extend_from_slice(huge);
        assert!(StateDict::from_bytes(&device, &file).is_err());
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
