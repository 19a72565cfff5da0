//! Layouts against lists of positions that are cut, turned and stretched one by one.

use ferrotape_backend::{Format, Layout, Shape};
use proptest::prelude::*;

/// A view, with a number below 2^16 for each choice it needs.
#[derive(Debug, Clone, Copy)]
enum View {
    Permute(u16),
    Narrow(u16, u16, u16),
    Step(u16, u16, u16),
    Flip(u16),
    Broadcast(u16, u16),
    Reshape(u16),
}

fn view() -> impl Strategy<Value = View> {
    let n = any::<u16>;
    prop_oneof![
        n().prop_map(View::Permute),
        (n(), n(), n()).prop_map(|(a, b, c)| View::Narrow(a, b, c)),
        (n(), n(), n()).prop_map(|(a, b, c)| View::Step(a, b, c)),
        n().prop_map(View::Flip),
        (n(), n()).prop_map(|(a, b)| View::Broadcast(a, b)),
        n().prop_map(View::Reshape),
    ]
}

/// Sizes and the position of each element in row-major order.
#[derive(Debug, Clone)]
struct Model {
    sizes: Vec<usize>,
    positions: Vec<usize>,
}

impl Model {
    fn position(&self, index: &[usize]) -> usize {
        let at = index.iter().zip(&self.sizes).fold(0, |at, (i, size)| at * size + i);
        self.positions[at]
    }

    /// The model of other sizes whose element at an index is this one's at another.
    fn seen(&self, sizes: Vec<usize>, from: impl Fn(&[usize]) -> Vec<usize>) -> Model {
        let count: usize = sizes.iter().product();
        let index = |mut nth: usize| {
            let mut index = vec![0; sizes.len()];
            for (place, &size) in index.iter_mut().zip(&sizes).rev() {
                *place = nth % size;
                nth /= size;
            }
            index
        };
        let positions = (0..count).map(|nth| self.position(&from(&index(nth)))).collect();
        Model { sizes, positions }
    }
}

/// Applies a view to both, if the shape allows it.
fn apply(view: View, layout: Layout, model: Model) -> (Layout, Model) {
    let rank = model.sizes.len();
    let pick = |n: u16, count: usize| usize::from(n) % count.max(1);
    let fits = "the arguments fit the shape";
    let with = |dim: usize, size: usize| {
        let mut sizes = model.sizes.clone();
        sizes[dim] = size;
        sizes
    };
    let moved = |dim: usize, to: &dyn Fn(usize) -> usize, index: &[usize]| {
        let mut index = index.to_vec();
        index[dim] = to(index[dim]);
        index
    };
    match view {
        _ if rank == 0 => (layout, model),
        View::Permute(n) => {
            let mut order: Vec<usize> = (0..rank).collect();
            order.rotate_left(pick(n, rank));
            order.swap(0, pick(n >> 8, rank));
            let sizes = order.iter().map(|&dim| model.sizes[dim]).collect();
            let seen = model.seen(sizes, |index| {
                let mut source = vec![0; rank];
                order.iter().zip(index).for_each(|(&dim, &i)| source[dim] = i);
                source
            });
            (layout.permute(&order).expect(fits), seen)
        }
        View::Narrow(dim, start, length) => {
            let dim = pick(dim, rank);
            let start = pick(start, model.sizes[dim] + 1);
            let length = pick(length, model.sizes[dim] - start + 1);
            let seen = model.seen(with(dim, length), |index| moved(dim, &|i| i + start, index));
            (layout.narrow(dim, start, length).expect(fits), seen)
        }
        View::Step(dim, start, step) => {
            let dim = pick(dim, rank);
            let start = pick(start, model.sizes[dim] + 1);
            let step = 1 + pick(step, 3);
            let size = (model.sizes[dim] - start).div_ceil(step);
            let seen =
                model.seen(with(dim, size), |index| moved(dim, &|i| i * step + start, index));
            (layout.step(dim, start, step).expect(fits), seen)
        }
        View::Flip(dim) => {
            let dim = pick(dim, rank);
            let size = model.sizes[dim];
            let seen = model.seen(with(dim, size), |index| moved(dim, &|i| size - 1 - i, index));
            (layout.flip(dim).expect(fits), seen)
        }
        View::Broadcast(dim, size) => {
            let (dim, size) = (pick(dim, rank), pick(size, 4));
            if model.sizes[dim] != 1 {
                return (layout, model);
            }
            let sizes = with(dim, size);
            let target = Shape::new(&sizes).expect(fits);
            let seen = model.seen(sizes, |index| moved(dim, &|_| 0, index));
            (layout.broadcast_to(target).expect(fits), seen)
        }
        View::Reshape(n) => {
            // Two neighbours become one, or one dimension is split.
            let dim = pick(n, rank);
            let mut sizes = model.sizes.clone();
            match sizes.get(dim + 1).copied() {
                Some(next) if n & 256 == 0 => {
                    sizes[dim] *= next;
                    sizes.remove(dim + 1);
                }
                _ if sizes[dim].is_multiple_of(2) && rank < 6 => {
                    sizes[dim] /= 2;
                    sizes.insert(dim + 1, 2);
                }
                _ => return (layout, model),
            }
            match layout.reshape(Shape::new(&sizes).expect(fits)).expect(fits) {
                Some(layout) => (layout, Model { sizes, positions: model.positions }),
                None => (layout, model),
            }
        }
    }
}

fn start(sizes: [usize; 4], channels_last: bool) -> (Layout, Model) {
    let shape = Shape::new(&sizes).expect("the sizes are small");
    let [n, c, h, w] = sizes;
    let count = n * c * h * w;
    if !channels_last {
        let model = Model { sizes: sizes.to_vec(), positions: (0..count).collect() };
        return (Layout::contiguous(shape), model);
    }
    let stored = Model { sizes: vec![n, h, w, c], positions: (0..count).collect() };
    let model = stored.seen(sizes.to_vec(), |i| vec![i[0], i[2], i[3], i[1]]);
    (Layout::channels_last(shape).expect("there are four sizes"), model)
}

fn size() -> impl Strategy<Value = usize> {
    prop_oneof![20 => 1..5usize, 1 => Just(0)]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_chain_of_views_finds_the_elements(
        sizes in prop::array::uniform4(size()),
        channels_last: bool,
        views in prop::collection::vec(view(), 0..6),
    ) {
        let (mut layout, mut model) = start(sizes, channels_last);
        for view in views {
            (layout, model) = apply(view, layout, model);
            prop_assert_eq!(layout.shape().dims(), &model.sizes[..]);
            prop_assert_eq!(layout.positions().collect::<Vec<_>>(), model.positions.clone());
            let (low, high) = (model.positions.iter().min(), model.positions.iter().max());
            prop_assert_eq!(layout.span(), low.copied().zip(high.copied()));
            let mut distinct = model.positions.clone();
            distinct.sort_unstable();
            distinct.dedup();
            prop_assert_eq!(layout.is_overlapping(), distinct.len() < model.positions.len());
            let first = model.positions.first().copied().unwrap_or(0);
            let dense = model.positions.iter().enumerate().all(|(i, &at)| at == first + i);
            prop_assert!(dense || !layout.is_contiguous());
        }
    }

    #[test]
    fn channels_last_keeps_its_promise(
        sizes in prop::array::uniform4(size()),
        channels_last: bool,
        views in prop::collection::vec(view(), 0..4),
    ) {
        let (mut layout, mut model) = start(sizes, channels_last);
        for view in views {
            (layout, model) = apply(view, layout, model);
        }
        for layout in [Some(layout), layout.as_channels_last()].into_iter().flatten() {
            prop_assert_eq!(layout.positions().collect::<Vec<_>>(), model.positions.clone());
            let Format::ChannelsLast { pixel_pitch } = layout.format() else { continue };
            let [n, c, h, w] = layout.shape().nchw().expect("channels-last is of images");
            let pixels = (0..n).flat_map(|n| (0..c).flat_map(move |c| {
                (0..h * w).map(move |pixel| (n * h * w + pixel) * pixel_pitch + c)
            }));
            let promised: Vec<usize> = pixels.map(|at| layout.offset() + at).collect();
            prop_assert_eq!(promised, model.positions.clone());
        }
    }
}
