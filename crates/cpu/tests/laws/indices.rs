//! An index that is the same list everywhere, into tables of its own sizes and of larger ones.

use ferrotape_backend::reference::Reference;
use ferrotape_backend::{Array, Device, Layout, Result, Shape};

use crate::devices;

/// The list 1, 0 along `dim`, seen in every place of a shape.
fn list(device: &Device, shape: &[usize], dim: usize) -> Result<Array> {
    let mut line = vec![1; shape.len()];
    line[dim] = 2;
    let list = Array::from_slice(device, &[1i64, 0], Shape::new(&line)?)?;
    list.with_layout(Layout::contiguous(Shape::new(&line)?).broadcast_to(Shape::new(shape)?)?)
}

/// What is gathered from a table of such sizes, and the table after as much was added to it.
fn by_list(device: &Device, table: &[usize], index: &[usize], dim: usize) -> Result<[Vec<f64>; 2]> {
    let count: usize = table.iter().product();
    let values: Vec<f64> = (0..count).map(|at| at as f64).collect();
    let mut table = Array::from_slice(device, &values, Shape::new(table)?)?;
    let index = list(device, index, dim)?;
    let mut chosen = Array::zeros(device, table.dtype(), *index.shape())?;
    device.backend().gather(&table, dim, &index, &mut chosen)?;
    device.backend().scatter_add(&chosen, dim, &index, &mut table)?;
    Ok([chosen.to_vec()?, table.to_vec()?])
}

#[test]
fn one_list_everywhere_is_followed_in_tables_that_are_larger_than_it_too() {
    let reference = Device::new(Reference::new());
    for (table, index, dim) in [
        (&[3, 4][..], &[3, 2][..], 1),
        (&[3, 4], &[2, 2], 1),
        (&[1, 2, 2, 1, 2], &[1, 2, 1, 1, 2], 4),
        (&[2, 3, 3, 5], &[2, 2, 3, 2], 3),
        (&[2, 5, 3, 5], &[1, 2, 2, 4], 1),
    ] {
        let expected = by_list(&reference, table, index, dim).unwrap();
        for (level, device) in devices(2) {
            assert_eq!(by_list(&device, table, index, dim).unwrap(), expected, "{level} {table:?}");
        }
    }
}
