//! The optimizers of a model: one for each way in which parameters are treated.

use ferrotape_autograd::Gradients;
use ferrotape_nn::optim::{
    Adadelta, AdadeltaConfig, Adagrad, AdagradConfig, Adam, AdamConfig, AdamW, AdamWConfig, Adamax,
    AdamaxConfig, NAdam, NAdamConfig, Optimizer, RAdam, RAdamConfig, RmsProp, RmsPropConfig, Sgd,
    SgdConfig,
};
use ferrotape_nn::{Classifier, Parameter, Path, StateDict};

use crate::config::{OptimizerName, RunConfig};
use crate::{Error, Result};

/// All parameters, in groups.
#[derive(Debug)]
pub(super) struct Groups(Vec<Group>);

/// Parameters with one weight decay and one factor of the learning rate.
#[derive(Debug)]
struct Group {
    optimizer: Box<dyn Optimizer>,
    factor: f64,
}

impl Groups {
    /// The groups that the patterns of a configuration make.
    ///
    /// # Errors
    /// A pattern that fits no name; options that the optimizer refuses.
    pub(super) fn of(model: &dyn Classifier, config: &RunConfig) -> Result<Self> {
        let factors = config.lr_factors()?;
        let named = model.named_parameters();
        let patterns = config.no_decay.iter().map(String::as_str);
        for pattern in patterns.chain(factors.iter().map(|(pattern, _)| *pattern)) {
            if !named.iter().any(|(name, _)| Path::new(name).matches(pattern)) {
                return Err(Error::Config {
                    path: None,
                    message: format!(
                        "'{pattern}' fits no parameter of {}, such as {}; mend the pattern, or leave it away",
                        config.model,
                        named.first().map_or("none", |(name, _)| name)
                    ),
                });
            }
        }
        let mut groups: Vec<((bool, f64), Vec<Parameter>)> = Vec::new();
        for (name, parameter) in named {
            let path = Path::new(&name);
            let decays = !config.no_decay.iter().any(|pattern| path.matches(pattern));
            let fits = |(pattern, _): &&(&str, f64)| path.matches(pattern);
            let factor = factors.iter().rev().find(fits).map_or(1.0, |(_, factor)| *factor);
            match groups.iter_mut().find(|(key, _)| *key == (decays, factor)) {
                Some((_, parameters)) => parameters.push(parameter),
                None => groups.push(((decays, factor), vec![parameter])),
            }
        }
        let groups = groups.into_iter().map(|((decays, factor), parameters)| {
            let weight_decay = if decays { config.weight_decay } else { 0.0 };
            Ok(Group { optimizer: optimizer(parameters, weight_decay, config)?, factor })
        });
        Ok(Groups(groups.collect::<Result<_>>()?))
    }

    /// Steps every parameter that has a gradient.
    ///
    /// # Errors
    /// A trainable parameter without a gradient.
    pub(super) fn step(&mut self, gradients: &Gradients, lr: f64) -> Result<()> {
        for Group { optimizer, factor } in &mut self.0 {
            optimizer.set_lr(lr * *factor);
            optimizer.step(gradients)?;
            if let Some(path) = optimizer.missing().first() {
                return Err(Error::Untrained { path: path.to_string() });
            }
        }
        Ok(())
    }

    /// Everything that a step depends on, named by group and parameter.
    pub(super) fn state_dict(&self) -> Result<StateDict> {
        let mut all = StateDict::new();
        for (index, group) in self.0.iter().enumerate() {
            for (name, array) in group.optimizer.state_dict()?.iter() {
                all.insert(format!("{index}.{name}"), array.clone());
            }
        }
        Ok(all)
    }

    /// Goes on from what [`Groups::state_dict`] gave.
    pub(super) fn load_state_dict(&mut self, all: &StateDict) -> Result<()> {
        let mut used = 0;
        for (index, group) in self.0.iter_mut().enumerate() {
            let prefix = format!("{index}.");
            let own = all.iter().filter_map(|(name, array)| {
                name.strip_prefix(&prefix).map(|name| (name.to_owned(), array.clone()))
            });
            let own: StateDict = own.collect();
            used += own.len();
            group.optimizer.load_state_dict(&own)?;
        }
        if used != all.len() {
            return Err(Error::Figures(
                "its optimizer's state is of other groups of parameters; restore the configuration"
                    .into(),
            ));
        }
        Ok(())
    }
}

fn optimizer(
    parameters: Vec<Parameter>,
    weight_decay: f64,
    config: &RunConfig,
) -> Result<Box<dyn Optimizer>> {
    let (lr, momentum, nesterov) = (config.learning_rate, config.momentum, config.nesterov);
    Ok(match config.optimizer {
        OptimizerName::Sgd => {
            let options = SgdConfig { lr, momentum, nesterov, weight_decay, ..Default::default() };
            Box::new(Sgd::new(parameters, options)?)
        }
        OptimizerName::Adam => {
            let options = AdamConfig { lr, weight_decay, ..Default::default() };
            Box::new(Adam::new(parameters, options)?)
        }
        OptimizerName::AdamW => {
            let options = AdamWConfig(AdamConfig { lr, weight_decay, ..Default::default() });
            Box::new(AdamW::new(parameters, options)?)
        }
        OptimizerName::RmsProp => {
            let options = RmsPropConfig { lr, momentum, weight_decay, ..Default::default() };
            Box::new(RmsProp::new(parameters, options)?)
        }
        OptimizerName::Adagrad => {
            let options = AdagradConfig { lr, weight_decay, ..Default::default() };
            Box::new(Adagrad::new(parameters, options)?)
        }
        OptimizerName::Adadelta => {
            let options = AdadeltaConfig { lr, weight_decay, ..Default::default() };
            Box::new(Adadelta::new(parameters, options)?)
        }
        OptimizerName::Adamax => {
            let options = AdamaxConfig { lr, weight_decay, ..Default::default() };
            Box::new(Adamax::new(parameters, options)?)
        }
        OptimizerName::NAdam => {
            let options = NAdamConfig { lr, weight_decay, ..Default::default() };
            Box::new(NAdam::new(parameters, options)?)
        }
        OptimizerName::RAdam => {
            let options = RAdamConfig { lr, weight_decay, ..Default::default() };
            Box::new(RAdam::new(parameters, options)?)
        }
    })
}
