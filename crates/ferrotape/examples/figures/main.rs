//! Draws the figures of the book's question pages, each from a run of this library, and writes the tables
//! that those runs give into the pages.
//!
//! `cargo xtask figures` calls it. Names of pages as arguments draw those alone.

mod activations;
mod dense_or_convolutional;
mod depth_of_a_layer;
mod dilated_convolution;
mod experiment;
mod feature_maps;
mod how_convolution_works;
mod local_response_normalization;
mod material;
mod overfitting;
mod page;
mod paper;
mod parameter_sharing;
mod pooling;
mod raster;
mod receptive_fields;
mod stride_and_output_size;
mod typical_architecture;
mod what_is_a_cnn;
mod why_images;

use std::process::ExitCode;
use std::time::Instant;

use ferrotape::prelude::*;

use material::Digits;

/// Everything that can go wrong, as a sentence.
pub(crate) type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

/// What all figures are made with.
pub(crate) struct Studio {
    pub(crate) device: Device,
    pub(crate) train: Digits,
    pub(crate) test: Digits,
}

type Draw = fn(&Studio) -> Result<()>;

/// The pages that have figures, in the order of the book.
const PAGES: &[(&str, Draw)] = &[
    ("what-is-a-cnn", what_is_a_cnn::draw),
    ("typical-architecture", typical_architecture::draw),
    ("how-convolution-works", how_convolution_works::draw),
    ("pooling", pooling::draw),
    ("activations", activations::draw),
    ("depth-of-a-layer", depth_of_a_layer::draw),
    ("overfitting", overfitting::draw),
    ("dense-or-convolutional", dense_or_convolutional::draw),
    ("feature-maps", feature_maps::draw),
    ("parameter-sharing", parameter_sharing::draw),
    ("why-images", why_images::draw),
    ("receptive-fields", receptive_fields::draw),
    ("local-response-normalization", local_response_normalization::draw),
    ("stride-and-output-size", stride_and_output_size::draw),
    ("dilated-convolution", dilated_convolution::draw),
];

fn main() -> ExitCode {
    let wanted: Vec<String> = std::env::args().skip(1).collect();
    match draw(&wanted) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn draw(wanted: &[String]) -> Result<()> {
    let known = |name: &String| PAGES.iter().any(|(page, _)| page == name);
    if let Some(name) = wanted.iter().find(|name| !known(name)) {
        let names: Vec<&str> = PAGES.iter().map(|(page, _)| *page).collect();
        return Err(format!("no page {name} has figures; these have: {}", names.join(", ")).into());
    }
    let [train, test] = material::digits()?;
    let studio = Studio { device: Device::open("cpu")?, train, test };
    for (page, draw) in PAGES {
        if wanted.is_empty() || wanted.iter().any(|name| name == page) {
            let began = Instant::now();
            draw(&studio).map_err(|error| format!("{page}: {error}"))?;
            println!("{page}: {:.1} s", began.elapsed().as_secs_f64());
        }
    }
    Ok(())
}
