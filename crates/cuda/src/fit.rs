//! Whether what was found fits together: driver, compiler, libraries and GPU, each in its version.
//!
//! Where it does not, the driver fails late, at the first kernel, and says nothing of why. Each function answers what is
//! wrong and what to do about it.

/// A version of CUDA: major and minor.
pub(crate) type Version = (i32, i32);

/// The first versions that are supported.
const FIRST: Version = (12, 0);
const FIRST_CAPABILITY: (i32, i32) = (8, 0);
const FIRST_DNN: usize = 90_000;

/// What is wrong with a driver that supports up to this version of CUDA.
pub(crate) fn driver((major, minor): Version) -> Option<String> {
    ((major, minor) < FIRST).then(|| {
        format!(
            "the driver is one of CUDA {major}.{minor}, and {}.{} is the first that is supported; install a newer \
             driver, or use the device cpu",
            FIRST.0, FIRST.1
        )
    })
}

/// What is wrong with a run-time compiler beside a driver. A driver loads what compilers of its own major version made,
/// also those of a later minor one.
pub(crate) fn compiler((major, minor): Version, driver: Option<Version>) -> Option<String> {
    if (major, minor) < FIRST {
        return Some(format!(
            "NVRTC is of CUDA {major}.{minor}, and {}.{} is the first that is supported; install the package \
             nvidia-cuda-nvrtc",
            FIRST.0, FIRST.1
        ));
    }
    let (driver, driver_minor) = driver?;
    (major > driver).then(|| {
        format!(
            "NVRTC is of CUDA {major}.{minor}, and the driver is one of CUDA {driver}.{driver_minor}, which does not load \
             what a compiler of a later major version makes; install a newer driver, or the package \
             nvidia-cuda-nvrtc-cu{driver} and name its folder in LD_LIBRARY_PATH in place of the other's"
        )
    })
}

/// What is wrong with a GPU of this compute capability, with a compiler that knows these architectures, such as 90.
pub(crate) fn gpu(
    (major, minor): (i32, i32),
    compiler: Option<(Version, &[i32])>,
) -> Option<String> {
    if (major, minor) < FIRST_CAPABILITY {
        return Some(format!(
            "the GPU has compute capability {major}.{minor}, and {}.{} (Ampere) is the least that is supported",
            FIRST_CAPABILITY.0, FIRST_CAPABILITY.1
        ));
    }
    let ((compiler, compiler_minor), known) = compiler?;
    let most = known.iter().max()?;
    (!known.contains(&(10 * major + minor))).then(|| {
        format!(
            "the GPU has compute capability {major}.{minor}, for which NVRTC of CUDA {compiler}.{compiler_minor} does not \
             compile: the latest that it knows is {}.{}; install a newer NVRTC (and a newer driver if that is of an \
             earlier major version)",
            most / 10,
            most % 10
        )
    })
}

/// What is wrong with a cuDNN of this version, as the library counts.
pub(crate) fn dnn(version: usize) -> Option<String> {
    (version < FIRST_DNN).then(|| {
        format!(
            "cuDNN {} is too old, version 9 is the first that is supported; install the package nvidia-cudnn-cu13, or \
             nvidia-cudnn-cu12 beside CUDA 12",
            dnn_version(version)
        )
    })
}

/// The version as it is written. Before version 9 the library counted otherwise.
pub(crate) fn dnn_version(version: usize) -> String {
    let unit = if version < FIRST_DNN { 1000 } else { 10_000 };
    format!("{}.{}.{}", version / unit, version % unit / 100, version % 100)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_compiler_fits_a_driver_of_its_own_major_version_or_a_later_one() {
        for (nvrtc, of) in
            [((12, 0), (12, 0)), ((12, 9), (12, 2)), ((12, 4), (13, 0)), ((13, 1), (13, 0))]
        {
            assert_eq!(compiler(nvrtc, Some(of)), None, "{nvrtc:?} {of:?}");
        }
        assert_eq!(compiler((13, 0), None), None, "a driver that says nothing is given a try");
        let text = compiler((13, 1), Some((12, 4))).unwrap();
        for word in ["13.1", "12.4", "nvidia-cuda-nvrtc-cu12", "LD_LIBRARY_PATH"] {
            assert!(text.contains(word), "{text}");
        }
        let text = compiler((11, 8), Some((12, 4))).unwrap();
        assert!(text.contains("11.8") && text.contains("12.0"), "{text}");
    }

    #[test]
    fn a_driver_before_cuda_12_is_too_old() {
        assert!(driver((11, 8)).is_some_and(|text| text.contains("11.8") && text.contains("12.0")));
        assert_eq!((driver((12, 0)), driver((13, 0))), (None, None));
    }

    #[test]
    fn a_gpu_is_one_that_the_compiler_knows() {
        let known: &[i32] = &[80, 86, 89, 90];
        assert_eq!(gpu((8, 0), Some(((12, 0), known))), None);
        assert_eq!(gpu((9, 0), Some(((12, 0), known))), None);
        assert_eq!(gpu((12, 0), None), None);
        assert_eq!(
            gpu((12, 0), Some(((12, 0), &[]))),
            None,
            "a compiler that lists none is given a try"
        );
        let text = gpu((12, 0), Some(((12, 3), known))).unwrap();
        assert!(text.contains("12.0") && text.contains("12.3") && text.contains("9.0"), "{text}");
        let text = gpu((7, 5), Some(((12, 3), known))).unwrap();
        assert!(text.contains("7.5") && text.contains("8.0"), "{text}");
    }

    #[test]
    fn cudnn_counts_its_versions_in_two_ways() {
        assert_eq!([8907, 90_100, 91_402].map(dnn_version), ["8.9.7", "9.1.0", "9.14.2"]);
        assert!(dnn(8907).is_some_and(|text| text.contains("8.9.7") && text.contains("version 9")));
        assert_eq!(dnn(90_000), None);
    }
}
