//! Batches from datasets in memory: an epoch at a time, by the image.

use std::sync::Arc;

use ferrotape::data::{InMemory, RandomAffine, Transform};
use ferrotape::prelude::*;
use ferrotape::{Error, Result};
use ferrotape_benches::{Session, Work};

fn main() -> Result<()> {
    let mut session = Session::from_args();
    let affine: Arc<dyn Transform> =
        Arc::new(RandomAffine { degrees: 10.0, scale: (0.9, 1.1), ..RandomAffine::default() });
    let digits = Data { name: "1x28x28", shape: [1, 28, 28], images: 4096, batch: 64 };
    let photos = Data { name: "3x224x224", shape: [3, 224, 224], images: 64, batch: 16 };
    for data in [digits, photos] {
        for (change, transform) in [("plain", None), ("affine", Some(&affine))] {
            for workers in [0, 2] {
                data.row(&mut session, change, transform, workers);
            }
        }
    }
    session.finish();
    Ok(())
}

/// Images that lie in memory.
struct Data {
    name: &'static str,
    shape: [usize; 3],
    images: usize,
    batch: usize,
}

impl Data {
    fn row(
        &self,
        session: &mut Session,
        change: &str,
        transform: Option<&Arc<dyn Transform>>,
        workers: usize,
    ) {
        let name = format!("loader/{}/b{}/{change}/workers{workers}", self.name, self.batch);
        let setup = || {
            let options = LoaderOptions {
                batch_size: self.batch,
                shuffle: true,
                workers,
                transform: transform.cloned(),
                ..LoaderOptions::default()
            };
            let loader = Loader::new(Arc::new(self.dataset()?), options).map_err(unusable)?;
            Ok((loader, 0))
        };
        session.row(&name, Work::items(self.images), setup, |(loader, epoch)| {
            *epoch += 1;
            let mut images = 0;
            for batch in loader.epoch(*epoch) {
                images += batch.map_err(unusable)?.labels.len();
            }
            Ok(images)
        });
    }

    fn dataset(&self) -> Result<InMemory> {
        let bytes = self.images * self.shape.iter().product::<usize>();
        let pixels = (0..bytes).map(|index| (index * 31 % 251) as u8).collect();
        let labels = (0..self.images).map(|index| index % 10).collect();
        InMemory::new(pixels, self.shape, labels, InMemory::numbered_classes(10)).map_err(unusable)
    }
}

fn unusable(error: ferrotape::data::Error) -> Error {
    Error::argument(error.to_string())
}
