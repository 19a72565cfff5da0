//! What a machine says that has no GPU, no driver or no compiler.

use ferrotape_backend::ErrorKind;
use ferrotape_cuda::{Cuda, CudaOptions, probe};

#[test]
fn a_machine_without_a_gpu_says_what_is_missing() {
    let report = probe();
    let is_present = |file| report.libraries.iter().any(|l| l.file == file && l.is_present);
    let gpus = report.gpus.as_ref().map_or(0, Vec::len);
    for ordinal in [0, gpus] {
        let error = match Cuda::new(CudaOptions { ordinal, ..CudaOptions::default() }) {
            Ok(_) => {
                assert!(ordinal < gpus && is_present("libcuda.so") && is_present("libnvrtc.so"));
                continue;
            }
            Err(error) => error,
        };
        let text = error.to_string();
        let expected = match () {
            () if !is_present("libcuda.so") => "libcuda.so was not found in LD_LIBRARY_PATH",
            () if !is_present("libnvrtc.so") => "libnvrtc.so of CUDA 12 or 13 was not found",
            () => "GPU",
        };
        if !is_present("libcuda.so") || !is_present("libnvrtc.so") {
            assert_eq!(error.kind(), ErrorKind::Unsupported, "{text}");
        }
        assert!(
            text.starts_with(&format!("cuda:{ordinal}: ")) && text.contains(expected),
            "{text}"
        );
    }
    let shown = report.to_string();
    for file in ["libcuda.so", "libnvrtc.so", "libcudnn.so", "libcublasLt.so"] {
        assert!(shown.contains(file), "{shown}");
    }
}
