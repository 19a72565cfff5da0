//! Descriptors of cuDNN's graph interface: objects with attributes, which are finalized before they are used.

use std::ffi::c_void;

use cudarc::cudnn::sys::{
    self, cudnnBackendAttributeName_t as Name, cudnnBackendAttributeType_t as Type,
    cudnnBackendDescriptorType_t as Kind, cudnnStatus_t as Status,
};
use ferrotape_backend::{Error, ErrorKind, Result};

/// An error where the library did not succeed: `Unsupported` where it says that it cannot.
pub(super) fn check(what: &str, status: Status) -> Result<()> {
    if status == Status::CUDNN_STATUS_SUCCESS {
        return Ok(());
    }
    let mut text = [0u8; 512];
    // SAFETY: the buffer has the size that is given; the library writes a text that ends within it.
    unsafe { sys::cudnnGetLastErrorString(text.as_mut_ptr().cast(), text.len()) };
    let end = text.iter().position(|&byte| byte == 0).unwrap_or(text.len());
    let text = String::from_utf8_lossy(&text[..end]);
    // The statuses from 3000 to 3999 say that something is not supported.
    let kind = match status as u32 / 1000 {
        3 => ErrorKind::Unsupported,
        _ => ErrorKind::Device,
    };
    Err(Error::new(kind, format!("{what}: cuDNN says {status:?} {text}")))
}

/// A descriptor, which it destroys.
#[derive(Debug)]
pub(super) struct Descriptor {
    raw: sys::cudnnBackendDescriptor_t,
}

// SAFETY: a descriptor is not bound to a thread; this crate uses each by one thread at a time, under the lock
// of the library's handle.
unsafe impl Send for Descriptor {}
// SAFETY: as above.
unsafe impl Sync for Descriptor {}

/// A type of numbers that attributes hold, and what the library calls it.
///
/// # Safety
/// The library reads and writes so many bytes for the type as the Rust type has.
pub(super) unsafe trait Attribute: Copy {
    const TYPE: Type;
}

/// # Safety
/// The types are those of the header `cudnn_graph.h`.
macro_rules! attributes {
    ($($rust:ty => $name:ident),* $(,)?) => {
        $(
            // SAFETY: as the library's header has it.
            unsafe impl Attribute for $rust {
                const TYPE: Type = Type::$name;
            }
        )*
    };
}

attributes! {
    sys::cudnnHandle_t => CUDNN_TYPE_HANDLE,
    sys::cudnnDataType_t => CUDNN_TYPE_DATA_TYPE,
    bool => CUDNN_TYPE_BOOLEAN,
    i64 => CUDNN_TYPE_INT64,
    f32 => CUDNN_TYPE_FLOAT,
    f64 => CUDNN_TYPE_DOUBLE,
    *mut c_void => CUDNN_TYPE_VOID_PTR,
    sys::cudnnConvolutionMode_t => CUDNN_TYPE_CONVOLUTION_MODE,
    sys::cudnnBackendHeurMode_t => CUDNN_TYPE_HEUR_MODE,
    sys::cudnnPointwiseMode_t => CUDNN_TYPE_POINTWISE_MODE,
    sys::cudnnNanPropagation_t => CUDNN_TYPE_NAN_PROPOGATION,
}

impl Descriptor {
    /// An empty one.
    pub(super) fn new(kind: Kind) -> Result<Self> {
        let mut raw = std::ptr::null_mut();
        // SAFETY: `raw` is where the descriptor is to be written.
        check("making a descriptor", unsafe { sys::cudnnBackendCreateDescriptor(kind, &mut raw) })?;
        Ok(Descriptor { raw })
    }

    /// Sets an attribute.
    pub(super) fn set<T: Attribute>(&self, name: Name, values: &[T]) -> Result<()> {
        self.set_raw(name, T::TYPE, values.len(), values.as_ptr().cast())
    }

    /// Sets an attribute to other descriptors, which must outlive this one.
    pub(super) fn set_descriptors(&self, name: Name, list: &[&Descriptor]) -> Result<()> {
        let raw: Vec<_> = list.iter().map(|descriptor| descriptor.raw).collect();
        let kind = Type::CUDNN_TYPE_BACKEND_DESCRIPTOR;
        self.set_raw(name, kind, raw.len(), raw.as_ptr().cast())
    }

    fn set_raw(&self, name: Name, kind: Type, count: usize, values: *const c_void) -> Result<()> {
        // SAFETY: the descriptor is alive, and `values` points to so many values of the type; the library
        // copies them.
        let status =
            unsafe { sys::cudnnBackendSetAttribute(self.raw, name, kind, count as i64, values) };
        if status == Status::CUDNN_STATUS_SUCCESS {
            return Ok(());
        }
        check(&format!("{name:?}"), status)
    }

    /// Ends the setting of attributes.
    pub(super) fn finalize(self, what: &str) -> Result<Self> {
        // SAFETY: the descriptor is alive.
        check(what, unsafe { sys::cudnnBackendFinalize(self.raw) })?;
        Ok(self)
    }

    /// A number.
    pub(super) fn get_i64(&self, name: Name) -> Result<i64> {
        let (mut value, mut count) = (0i64, 0i64);
        let to = std::ptr::from_mut(&mut value).cast();
        // SAFETY: there is room for the one value that is asked for.
        let status = unsafe {
            sys::cudnnBackendGetAttribute(self.raw, name, Type::CUDNN_TYPE_INT64, 1, &mut count, to)
        };
        check(&format!("{name:?}"), status)?;
        Ok(value)
    }

    /// A list of at most 64 numbers of an enumeration.
    pub(super) fn get_numbers(&self, name: Name, kind: Type) -> Result<Vec<u32>> {
        let (mut values, mut count) = ([0u32; 64], 0i64);
        let to = values.as_mut_ptr().cast();
        // SAFETY: there is room for as many values as are asked for; enumerations of C are of this size.
        let status = unsafe {
            sys::cudnnBackendGetAttribute(self.raw, name, kind, values.len() as i64, &mut count, to)
        };
        check(&format!("{name:?}"), status)?;
        Ok(values[..(count.max(0) as usize).min(values.len())].to_vec())
    }

    /// Descriptors of a kind, at most so many.
    pub(super) fn get_descriptors(
        &self,
        name: Name,
        kind: Kind,
        most: usize,
    ) -> Result<Vec<Descriptor>> {
        let list = (0..most).map(|_| Descriptor::new(kind)).collect::<Result<Vec<_>>>()?;
        let mut raw: Vec<_> = list.iter().map(|descriptor| descriptor.raw).collect();
        let (mut count, asked) = (0i64, raw.len() as i64);
        let to = raw.as_mut_ptr().cast();
        let of = Type::CUDNN_TYPE_BACKEND_DESCRIPTOR;
        // SAFETY: the list holds so many descriptors of the kind, which the library fills.
        let status =
            unsafe { sys::cudnnBackendGetAttribute(self.raw, name, of, asked, &mut count, to) };
        check(&format!("{name:?}"), status)?;
        Ok(list.into_iter().take(count.max(0) as usize).collect())
    }

    /// For calls that take it.
    pub(super) fn raw(&self) -> sys::cudnnBackendDescriptor_t {
        self.raw
    }
}

impl Drop for Descriptor {
    fn drop(&mut self) {
        // SAFETY: the descriptor is this one's own. What the library answers changes nothing.
        let _ = unsafe { sys::cudnnBackendDestroyDescriptor(self.raw) };
    }
}
