//! What a figure belongs to: threads, processor, revision.

use std::fmt;
use std::fs;
use std::path::Path;

use super::line::Line;
use crate::Result;
use crate::shell::Call;

/// What the rows of a run have in common.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Machine {
    /// The threads that each row may use.
    pub(super) threads: usize,
    /// The processor's name.
    pub(super) cpu: String,
    /// The short hash of the commit, with `-dirty` where tracked files differ from it.
    pub(super) revision: String,
    /// The device, where it is not the processor.
    pub(super) device: Option<String>,
    /// Whether fewer samples are taken than usual.
    pub(super) quick: bool,
}

impl Machine {
    /// This machine and the checkout in `root`.
    ///
    /// # Errors
    /// The number of processors is not known.
    pub(super) fn here(
        root: &Path,
        threads: Option<usize>,
        device: &str,
        quick: bool,
    ) -> Result<Self> {
        let threads = match threads {
            Some(threads) => threads,
            None => std::thread::available_parallelism()?.get(),
        };
        let device = (device != "cpu").then(|| device.to_owned());
        Ok(Self { threads, cpu: processor(), revision: revision(root), device, quick })
    }

    /// The machine of lines that were measured earlier: what the first of ours says.
    pub(super) fn of(lines: &[Line]) -> Self {
        let ours = lines.iter().find(|line| line.is_ours());
        let line = ours.or(lines.first()).cloned().unwrap_or_default();
        let unknown = || "unknown".to_owned();
        Self {
            threads: line.threads.unwrap_or(0),
            cpu: line.cpu.unwrap_or_else(unknown),
            revision: line.revision.unwrap_or_else(unknown),
            device: line.device,
            quick: line.quick,
        }
    }

    /// Checks that what a file holds can be continued here.
    ///
    /// # Errors
    /// A line of ours comes from another machine, revision, number of threads or kind of run.
    pub(super) fn can_continue(&self, lines: &[Line], path: &Path) -> Result<()> {
        if !lines.iter().any(Line::is_ours) || Self::of(lines) == *self {
            return Ok(());
        }
        Err(format!(
            "{} holds rows of {}, and this is {self}; name another --json, or delete it",
            path.display(),
            Self::of(lines)
        )
        .into())
    }
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let threads = if self.threads == 1 { "thread" } else { "threads" };
        write!(f, "{} {threads} of {}, revision {}", self.threads, self.cpu, self.revision)?;
        if let Some(device) = &self.device {
            write!(f, ", device {device}")?;
        }
        if self.quick {
            f.write_str(", few samples (--quick)")?;
        }
        Ok(())
    }
}

fn processor() -> String {
    let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let name = info.lines().find_map(|line| line.strip_prefix("model name")?.split_once(':'));
    name.map_or(std::env::consts::ARCH, |(_, name)| name.trim()).to_owned()
}

/// A tree that is no checkout has no revision.
fn revision(root: &Path) -> String {
    let Ok(hash) = Call::new("git", "rev-parse --short HEAD").read(root) else {
        return "unknown".to_owned();
    };
    let status = Call::new("git", "status --porcelain --untracked-files=no").read(root);
    let dirty = status.is_ok_and(|status| !status.trim().is_empty());
    format!("{}{}", hash.trim(), if dirty { "-dirty" } else { "" })
}

#[cfg(test)]
mod tests {
    use super::super::line::tests::line;
    use super::*;

    fn machine() -> Machine {
        Machine {
            threads: 2,
            cpu: "A Processor".to_owned(),
            revision: "abc1234".to_owned(),
            device: None,
            quick: false,
        }
    }

    #[test]
    fn a_machine_says_what_a_figure_belongs_to() {
        assert_eq!(machine().to_string(), "2 threads of A Processor, revision abc1234");
        let other =
            Machine { threads: 1, device: Some("cuda:0".to_owned()), quick: true, ..machine() };
        assert_eq!(
            other.to_string(),
            "1 thread of A Processor, revision abc1234, device cuda:0, few samples (--quick)"
        );
    }

    #[test]
    fn a_file_of_another_revision_is_not_continued() {
        let path = Path::new("a.jsonl");
        let mut ours = line("ferrotape", "default", "x", 1.0);
        ours.threads = Some(2);
        ours.cpu = Some("A Processor".to_owned());
        ours.revision = Some("abc1234".to_owned());
        let peer = line("torch", "contiguous", "x", 1.0);
        let lines = [peer, ours.clone()];
        assert!(machine().can_continue(&lines, path).is_ok());
        assert!(machine().can_continue(&[], path).is_ok());
        ours.revision = Some("def5678".to_owned());
        let error = machine().can_continue(&[ours], path).unwrap_err().to_string();
        assert!(error.contains("def5678") && error.contains("a.jsonl"), "{error}");
    }
}
