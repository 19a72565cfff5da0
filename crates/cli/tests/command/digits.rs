//! Pictures of digits, which `eval` and `predict` show a model in one and the same form.

use std::fs;

use image::{GrayImage, Luma};

use crate::support::trained;

/// A bright page with a dark stroke, whose place and length depend on the number.
fn page(number: u32) -> GrayImage {
    let mut page = GrayImage::from_pixel(90, 120, Luma([245]));
    for y in 20..40 + 6 * number {
        for x in 15 + 4 * number..25 + 4 * number {
            page.put_pixel(x, y, Luma([10]));
        }
    }
    page
}

#[test]
fn a_folder_of_pages_is_evaluated_as_each_page_is_predicted() {
    let run = trained();
    let place = run.place.path();
    let mut pages = Vec::new();
    for part in ["train", "test"] {
        for class in 0..10 {
            let file = format!("pages/{part}/{class}/1.png");
            fs::create_dir_all(place.join(&file).parent().unwrap()).unwrap();
            page(class).save(place.join(&file)).unwrap();
            if part == "test" {
                pages.push(file);
            }
        }
    }
    let pages: Vec<&str> = pages.iter().map(String::as_str).collect();
    let predicted = run.ferrotape(&[&["predict", "run", "--json"], &pages[..]].concat());
    let probabilities = predicted
        .json_lines()
        .into_iter()
        .enumerate()
        .map(|(class, line)| line["probabilities"][class].as_f64().unwrap());
    let loss = probabilities.map(|p| -p.max(1e-30).ln()).sum::<f64>() / 10.0;

    let weights =
        ["eval", "lenet5", "--weights", "run/model.safetensors", "--data", "pages", "--json"];
    for arguments in [&["eval", "run", "--data", "pages", "--json"][..], &weights] {
        let line = &run.ferrotape(arguments).json_lines()[0];
        let found = line["test_loss"].as_f64().unwrap();
        assert!((found - loss).abs() < 1e-3 * (1.0 + loss), "{found} {loss}");
    }
}
