//! Softmax and cross entropy of the networks' logits, forward and backward, by the device's verbs.

use ferrotape::Result;
use ferrotape::backend::CrossEntropy;
use ferrotape::prelude::*;
use ferrotape_benches::zoo::NETWORKS;
use ferrotape_benches::{Session, Work, device};

fn main() -> Result<()> {
    let device = device::open()?;
    let mut session = Session::from_args();
    // One of each size of logits: [64, 10], [16, 1000], [4, 1000].
    for network in &NETWORKS[..3] {
        rows(&mut session, &device, network.name, [network.batch, network.classes]);
    }
    session.finish();
    Ok(())
}

fn rows(session: &mut Session, device: &Device, network: &str, shape: [usize; 2]) {
    let [n, classes] = shape;
    // Logits are brought to f32 before the loss, under autocast too.
    let name = format!("softmax/{network}/b{n}/f32");
    let backend = device.backend();
    let params = CrossEntropy::default();
    let bytes = n * classes * DType::F32.size();
    let numbers = || device::numbers(device, DType::F32, shape);
    let blank = || device::blank(device, DType::F32, shape);
    let labels = || device::labels(device, n, classes);
    session.row(
        &format!("{name}/softmax"),
        Work::bytes(2 * bytes),
        || Ok((numbers()?, blank()?)),
        |(x, y)| backend.softmax(x, y, 1, false),
    );
    session.row(
        &format!("{name}/softmax_grad"),
        Work::bytes(3 * bytes),
        || {
            let mut y = blank()?;
            backend.softmax(&numbers()?, &mut y, 1, false)?;
            Ok((numbers()?, y, blank()?))
        },
        |(gy, y, gx)| backend.softmax_grad(gy, y, gx, 1, false),
    );
    session.row(
        &format!("{name}/cross_entropy"),
        Work::bytes(bytes),
        || Ok((numbers()?, labels()?, device::blank(device, DType::F32, [n])?)),
        |(logits, labels, loss)| backend.cross_entropy(logits, labels, loss, &params),
    );
    session.row(
        &format!("{name}/cross_entropy_grad"),
        Work::bytes(2 * bytes),
        || Ok((device::numbers(device, DType::F32, [n])?, numbers()?, labels()?, blank()?)),
        |(gloss, logits, labels, gx)| {
            backend.cross_entropy_grad(gloss, logits, labels, gx, &params)
        },
    );
}
