//! Random numbers.

use ferrotape_backend::{Array, Element, Random, Result, Rng, check};

use crate::Cpu;
use crate::kernels::dispatch::Available;
use crate::kernels::normal::{Normals, PAIRS};
use crate::kernels::pointwise::for_dtype;
use crate::kernels::split::{Chunks, for_each_part};
use crate::memory::{Before, Form, nothing_to_write, open, output};

/// Draws of a task; a multiple of the four draws of a block.
const TASK_DRAWS: usize = 1 << 12;

/// See [`ferrotape_backend::Backend::random`].
pub(crate) fn random(cpu: &Cpu, kind: Random, rng: Rng, dst: &mut Array) -> Result<()> {
    check::random(dst)?;
    if nothing_to_write(&[dst])? {
        return Ok(());
    }
    let dtype = dst.dtype();
    output(dst, dtype, Form::Contiguous, Before::Ignored, |dst| {
        open([], [&*dst], |[], [mut dst]| {
            for_dtype!(dtype, T => {
                let data = dst.span::<T>()?;
                let team = cpu.team_for(data.len() * 16);
                for_each_part(team, &Chunks::new(data, TASK_DRAWS), |index, part| {
                    draw(cpu.level, kind, rng, (index * TASK_DRAWS) as u64, part);
                    Ok(())
                })
            })
        })
    })
}

fn draw<T: Element>(level: Available, kind: Random, rng: Rng, first: u64, part: &mut [T]) {
    match kind {
        Random::Uniform { low, high } => {
            pairs(first, part, |pair| rng.uniform_pair(pair).map(|u| low + (high - low) * u));
        }
        Random::Normal { mean, std } => {
            let (mut even, mut odd) = ([0.0; PAIRS], [0.0; PAIRS]);
            for (values, block) in part.chunks_mut(2 * PAIRS).zip(0..) {
                let first = first / 2 + block * PAIRS as u64;
                level.run(Normals { rng, first, even: &mut even, odd: &mut odd });
                for (values, drawn) in values.chunks_mut(2).zip(even.iter().zip(&odd)) {
                    for (value, drawn) in values.iter_mut().zip([drawn.0, drawn.1]) {
                        *value = T::from_f64(mean + std * drawn);
                    }
                }
            }
        }
        Random::TruncatedNormal(distribution) => {
            pairs(first, part, |pair| rng.uniform_pair(pair).map(|u| distribution.at(u)));
        }
        Random::Bernoulli { p, value } => {
            let (hit, miss) = (T::from_f64(value), T::from_f64(0.0));
            for (value, index) in part.iter_mut().zip(first..) {
                *value = if f64::from(rng.uniform_f32(index)) < p { hit } else { miss };
            }
        }
    }
}

/// Draws two at a time, as they share their random bits. `first` is even.
fn pairs<T: Element>(first: u64, part: &mut [T], draw: impl Fn(u64) -> [f64; 2]) {
    for (values, pair) in part.chunks_mut(2).zip(first / 2..) {
        for (value, drawn) in values.iter_mut().zip(draw(pair)) {
            *value = T::from_f64(drawn);
        }
    }
}
