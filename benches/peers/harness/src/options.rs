//! The command line of a peer's program.

use super::Result;

const USAGE: &str = "options: [--list] [--row NAME] [--mode MODE] [--model MODEL] \
                     [--phase infer|train|gemm] [--threads N] [--quick] [--json FILE]";

/// A row's name, such as `train/resnet18/b16/f32`, in its parts.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Row {
    /// `train`, `infer` or `gemm`.
    pub phase: String,
    /// The network, or nothing for a matrix product.
    pub model: String,
    /// The images of a step, or the rows of a matrix.
    pub size: usize,
    /// `f32` is the only one that the Rust peers have.
    pub dtype: String,
}

impl Row {
    /// Reads `phase/model/bBATCH/dtype` or `gemm/nN/dtype`.
    pub fn parse(name: &str) -> Result<Self> {
        let bad = || format!("{name} is no row; one is train/resnet18/b16/f32 or gemm/n1024/f32");
        let parts: Vec<&str> = name.split('/').collect();
        let (phase, model, size, dtype) = match parts[..] {
            [phase, model, size, dtype] => (phase, model, size.strip_prefix('b'), dtype),
            ["gemm", size, dtype] => ("gemm", "", size.strip_prefix('n'), dtype),
            _ => return Err(bad().into()),
        };
        let size = size.and_then(|size| size.parse().ok()).filter(|&size| size > 0);
        Ok(Self {
            phase: phase.to_owned(),
            model: model.to_owned(),
            size: size.ok_or_else(bad)?,
            dtype: dtype.to_owned(),
        })
    }

    /// The name that [`Row::parse`] reads.
    pub fn name(&self) -> String {
        let Self { phase, model, size, dtype } = self;
        if model.is_empty() {
            return format!("{phase}/n{size}/{dtype}");
        }
        format!("{phase}/{model}/b{size}/{dtype}")
    }
}

/// What the command line asks for.
#[derive(Clone, Debug)]
pub struct Options {
    /// Name the rows and modes, a line each, and measure nothing.
    pub list: bool,
    /// Measure this row in this process.
    pub row: Option<Row>,
    /// This mode alone.
    pub mode: Option<String>,
    /// This network alone.
    pub model: Option<String>,
    /// This phase alone.
    pub phase: Option<String>,
    /// How many threads the peer has; each pool is told by its variable.
    pub threads: usize,
    /// Fewer samples and no second attempt.
    pub quick: bool,
    /// Append the lines to this file as well.
    pub json: Option<String>,
}

impl Options {
    /// Reads the arguments after the program's name.
    pub fn read(mut args: impl Iterator<Item = String>) -> Result<Self> {
        let mut options = Self {
            list: false,
            row: None,
            mode: None,
            model: None,
            phase: None,
            threads: std::thread::available_parallelism()?.get(),
            quick: false,
            json: None,
        };
        while let Some(option) = args.next() {
            let mut value = || args.next().ok_or_else(|| format!("{option} needs a value"));
            match option.as_str() {
                "--list" => options.list = true,
                "--row" => options.row = Some(Row::parse(&value()?)?),
                "--mode" => options.mode = Some(value()?),
                "--model" => options.model = Some(value()?),
                "--phase" => options.phase = Some(value()?),
                "--threads" => options.threads = threads(&value()?)?,
                "--quick" => options.quick = true,
                "--json" => options.json = Some(value()?),
                _ => return Err(format!("there is no option {option}; {USAGE}").into()),
            }
        }
        Ok(options)
    }

    /// Whether `--model` and `--phase` leave the row in.
    pub fn selects(&self, row: &Row) -> bool {
        let fits = |wanted: &Option<String>, is: &str| wanted.as_deref().is_none_or(|w| w == is);
        fits(&self.model, &row.model) && fits(&self.phase, &row.phase)
    }
}

fn threads(value: &str) -> Result<usize> {
    match value.parse() {
        Ok(threads) if threads > 0 => Ok(threads),
        _ => Err(format!("--threads takes a number above 0, not {value}").into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_read_and_written_again() {
        for name in ["train/resnet18/b16/f32", "gemm/n1024/f32"] {
            assert_eq!(Row::parse(name).unwrap().name(), name);
        }
        for bad in ["", "train", "train/lenet5/64/f32", "train/lenet5/b0/f32", "gemm/b8/f32"] {
            assert!(Row::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_wrong_option_is_named() {
        let read = |line: &str| Options::read(line.split(' ').map(str::to_owned));
        assert!(read("--threads 2 --quick").is_ok());
        for (line, said) in [("--x", "--x"), ("--threads 0", "above 0"), ("--mode", "a value")] {
            assert!(read(line).unwrap_err().to_string().contains(said), "{line}");
        }
    }
}
