//! Folders of operator cases.

use std::path::Path;

use ferrotape::backend::{DType, Device};
use ferrotape_gradcheck::fixtures::{self, Folder};

use crate::{Outcome, Unreadable, Verdict};

pub(crate) fn check(
    path: &Path,
    device: &Device,
    dtype: DType,
) -> Result<Vec<Outcome>, Unreadable> {
    let folder = Folder::read(path)?;
    let outcome = |case: &fixtures::Case| {
        let verdict = match fixtures::run(&folder, case, device, dtype) {
            Ok(fixtures::Verdict::Passed(ratio)) => Verdict::Passed(ratio),
            Ok(fixtures::Verdict::Failed { tensor, error, tolerance }) => {
                Verdict::Differs { tensor, error, tolerance }
            }
            Ok(fixtures::Verdict::Unknown) => {
                let attrs = serde_json::Value::Object(case.attrs.clone());
                let op = &case.op;
                Verdict::Impossible(format!("there is no operator {op} with attributes {attrs}"))
            }
            Err(error) => Verdict::Impossible(error.to_string()),
        };
        Outcome { id: case.id.clone(), verdict }
    };
    Ok(folder.cases().iter().map(outcome).collect())
}
