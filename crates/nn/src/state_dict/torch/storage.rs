//! The memory that tensors of a file are views of.

use std::borrow::Cow;

use ferrotape_backend::DType;

/// The element type of a storage in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum StorageKind {
    /// A type that arrays have too.
    Same(DType),
    /// `torch.BoolStorage`: bytes of 0 and 1, read as u8.
    Bool,
    /// A signed integer of so many bytes, read as i64.
    Signed(usize),
}

impl StorageKind {
    /// The type of a class such as `FloatStorage`.
    pub(super) fn named(class: &str) -> Option<Self> {
        Some(match class {
            "FloatStorage" => StorageKind::Same(DType::F32),
            "DoubleStorage" => StorageKind::Same(DType::F64),
            "HalfStorage" => StorageKind::Same(DType::F16),
            "BFloat16Storage" => StorageKind::Same(DType::BF16),
            "LongStorage" => StorageKind::Same(DType::I64),
            "ByteStorage" => StorageKind::Same(DType::U8),
            "BoolStorage" => StorageKind::Bool,
            "IntStorage" => StorageKind::Signed(4),
            "ShortStorage" => StorageKind::Signed(2),
            "CharStorage" => StorageKind::Signed(1),
            _ => return None,
        })
    }

    /// Bytes of an element in the file.
    pub(super) const fn size(self) -> usize {
        match self {
            StorageKind::Same(dtype) => dtype.size(),
            StorageKind::Bool => 1,
            StorageKind::Signed(size) => size,
        }
    }

    /// The type of the array that it is read into.
    pub(super) const fn dtype(self) -> DType {
        match self {
            StorageKind::Same(dtype) => dtype,
            StorageKind::Bool => DType::U8,
            StorageKind::Signed(_) => DType::I64,
        }
    }

    /// Elements of the file as those of the array.
    pub(super) fn widen(self, data: Cow<'_, [u8]>) -> Cow<'_, [u8]> {
        let StorageKind::Signed(size) = self else { return data };
        let widened = data.chunks_exact(size).flat_map(|element| {
            let sign = if element[size - 1] & 0x80 == 0 { 0 } else { 0xff };
            let mut wide = [sign; 8];
            wide[..size].copy_from_slice(element);
            wide
        });
        Cow::Owned(widened.collect())
    }
}

/// A storage as a pickle names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Storage<'a> {
    pub(super) kind: StorageKind,
    /// What the file calls it.
    pub(super) key: &'a str,
    /// How many elements the pickle says it has.
    pub(super) elements: usize,
}
