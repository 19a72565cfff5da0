//! What is said where memory or open files run out, and what a small file may take of them.

use std::env;
use std::fs::{self, File};
use std::io::Write;
use std::process::Command;
use std::sync::Arc;

use allocation_counter::measure;
use ferrotape_data::{Error, ImageFolder, InMemory, Loader, LoaderOptions, Picture, Result};
use flate2::write::ZlibEncoder;
use flate2::{Compression, Crc};

/// Says to a test that it is the process of its own that it had started.
const ALONE: &str = "FERROTAPE_DATA_ALONE";

fn take(bytes: usize) -> Option<Vec<u8>> {
    let mut memory = Vec::new();
    memory.try_reserve_exact(bytes).ok().map(|()| memory)
}

/// Whether this is the process that a test runs in alone, with a limit of the shell's `ulimit`. If not, it
/// starts that one and says what became of it.
fn alone(name: &str, limit: &str) -> bool {
    if env::var_os(ALONE).is_some() {
        return true;
    }
    let output = Command::new("sh")
        .args(["-c", &format!("ulimit {limit} && exec \"$0\" --exact \"$1\" --nocapture")])
        .arg(env::current_exe().unwrap())
        .arg(format!("shortage::{name}"))
        .env(ALONE, "1")
        // Printing one takes memory, and without it the process could wait for itself.
        .env("RUST_BACKTRACE", "0")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {said}", output.status);
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(said.contains("1 passed"), "{said}");
    false
}

#[test]
fn a_worker_that_finds_no_memory_for_its_thread_is_an_error() {
    if alone("a_worker_that_finds_no_memory_for_its_thread_is_an_error", "-v 2000000") {
        start_workers_with_little_memory();
    }
}

/// Starts epochs with nothing free, with a little, and so on until there is enough for one.
fn start_workers_with_little_memory() {
    let data = InMemory::new(vec![0; 8], [1, 1, 1], vec![0; 8], InMemory::numbered_classes(1));
    let options = LoaderOptions { batch_size: 1, workers: 3, ..Default::default() };
    let loader = Loader::new(Arc::new(data.unwrap()), options).unwrap();
    let epoch = || loader.epoch(0).collect::<Result<Vec<_>>>();
    // The system keeps the stacks of threads that ended for the next ones.
    epoch().unwrap();
    let step = 1 << 14;
    let most = (0..1 << 31).step_by(step).rev().find(|&bytes| take(bytes).is_some()).unwrap();
    let mut refused = 0;
    for taken in (0..=most).rev().step_by(step) {
        let Some(_memory) = take(taken) else { continue };
        match epoch() {
            Ok(batches) => {
                assert_eq!(batches.len(), 8);
                assert!(refused > 0, "there was memory from the first");
                return;
            }
            Err(error @ Error::Spawn { .. }) => {
                let error = error.to_string();
                assert!(error.contains("there is no room for its stack in memory"), "{error}");
                refused += 1;
            }
            Err(error) => panic!("{error}"),
        }
    }
    panic!("there was never enough memory");
}

#[test]
fn a_picture_is_not_broken_because_too_many_files_are_open() {
    if !alone("a_picture_is_not_broken_because_too_many_files_are_open", "-n 64") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    for class in ["day", "night"] {
        let class = folder.path().join(class);
        fs::create_dir(&class).unwrap();
        image::GrayImage::new(9, 9).save(class.join("1.png")).unwrap();
        image::GrayImage::new(9, 9).save(class.join("2.png")).unwrap();
    }
    fs::write(folder.path().join("day/3.png"), "no picture").unwrap();
    let pictures = ImageFolder::open(folder.path(), [1, 8, 8]).unwrap();
    let open: Vec<File> = (0..).map_while(|_| File::open("/dev/null").ok()).collect();
    let error = pictures.clone().without_broken().unwrap_err().to_string();
    assert!(error.ends_with("more of them (ulimit -n), or close other programs"), "{error}");
    drop(open);
    assert_eq!(pictures.without_broken().unwrap().1.len(), 1);
}

#[test]
fn a_profile_of_colours_cannot_blow_up_a_png() {
    fn chunk(png: &mut Vec<u8>, name: &[u8; 4], data: &[u8]) {
        png.extend((data.len() as u32).to_be_bytes());
        let mut crc = Crc::new();
        for part in [&name[..], data] {
            png.extend(part);
            crc.update(part);
        }
        png.extend(crc.sum().to_be_bytes());
    }
    let packed = |data: &[u8]| {
        let mut encoder = ZlibEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(data).unwrap();
        encoder.finish().unwrap()
    };
    let mut png = b"\x89PNG\r\n\x1a\n".to_vec();
    // A grey pixel with 8 bits, and before it a profile of 160 MiB.
    chunk(&mut png, b"IHDR", &[0, 0, 0, 1, 0, 0, 0, 1, 8, 0, 0, 0, 0]);
    chunk(&mut png, b"iCCP", &[b"name\0\0", &packed(&vec![0; 160 << 20])[..]].concat());
    chunk(&mut png, b"IDAT", &packed(&[0, 77]));
    chunk(&mut png, b"IEND", &[]);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("profile.png");
    fs::write(&path, png).unwrap();
    let mut read = None;
    let taken = measure(|| read = Some(Picture::read(&path)));
    assert_eq!(read.unwrap().unwrap().grey().pixels(), [77]);
    assert!(taken.bytes_max < 140 << 20, "{} bytes", taken.bytes_max);
}
