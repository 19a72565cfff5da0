//! A step of each optimizer over the parameters of ResNet-18.

use ferrotape::Result;
use ferrotape::nn::optim::{Rule, Stepper};
use ferrotape::prelude::*;
use ferrotape_benches::zoo::{NETWORKS, Network};
use ferrotape_benches::{Session, Work, device};

fn main() -> Result<()> {
    let device = device::open()?;
    let mut session = Session::from_args();
    let sgd = SgdConfig { lr: 1e-3, momentum: 0.9, ..SgdConfig::default() };
    for network in NETWORKS.iter().filter(|network| network.name == "resnet18") {
        // Read: parameter, gradient and state. Written: parameter and state.
        row(&mut session, &device, network, "sgd_momentum", sgd, 5)?;
        row(&mut session, &device, network, "adam", AdamConfig::default(), 7)?;
    }
    session.finish();
    Ok(())
}

/// Steps by the gradient of the sum of all parameters' squares; `passes` is how many arrays as large
/// as the parameters a step reads or writes.
fn row(
    session: &mut Session,
    device: &Device,
    network: &Network,
    name: &str,
    rule: impl Rule,
    passes: usize,
) -> Result<()> {
    let parameters = network.summary(1)?.parameters;
    let setup = || {
        let model = network.build(device)?;
        let cx = Pass::eval(device).with_grad();
        let mut sum: Option<Tensor> = None;
        for parameter in model.parameters() {
            let squares = cx.param(&parameter)?.square()?.sum_all()?;
            sum = Some(match sum {
                Some(sum) => sum.add(&squares)?,
                None => squares,
            });
        }
        let sum = sum.ok_or_else(|| ferrotape::Error::argument("the model has no parameters"))?;
        Ok((Stepper::new(model.parameters(), rule)?, sum.backward()?))
    };
    session.row(
        &format!("optim/{name}/{}", network.name),
        Work::bytes(passes * parameters * DType::F32.size()),
        setup,
        |(optimizer, gradients)| optimizer.step(gradients),
    );
    Ok(())
}
