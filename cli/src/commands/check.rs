//! `gleaner check`: what a module or a whole job offers, or why it is refused. Nothing is run.

use std::path::{Path, PathBuf};

use anyhow::Result;
use clap::Args;
use gleaner_protocol::JobSpec;
use serde_json::{Value, json};

use super::Context;
use super::prepare::{Checked, Source, check, check_module_file};
use crate::failure::{Exit, Hinted};
use crate::words;

/// What `gleaner check` is told.
#[derive(Debug, Args)]
pub struct Arguments {
    /// A module, a job's manifest, or a folder with a job.toml
    #[arg(value_name = "PATH", default_value = ".")]
    pub path: PathBuf,
}

/// Checks a module, or a job with its modules and files.
pub fn run(context: &Context, arguments: Arguments) -> Result<Exit> {
    let path = arguments.path;
    if path.extension().is_some_and(|end| end == "wasm") {
        let info = check_module_file(&path)?;
        let value = json!({ "module": path.display().to_string(), "info": info });
        context.printer.result(&value, || words::module::whole(&path, &info))?;
        return Ok(Exit::Done);
    }
    let manifest = manifest_at(&path)?;
    let source = Source { manifest: manifest.clone(), settings: Vec::new(), name: None };
    let checked = check(context, &source)?;
    let job = &checked.job.spec;
    context.printer.result(&as_json(&checked), || {
        let mut lines = vec![format!("{}  the job {}", manifest.display(), job.name)];
        lines.extend(words::table(&stages(job)).iter().map(|line| format!("  {line}")));
        for (path, info) in &checked.modules {
            lines.push(String::new());
            lines.extend(words::module::whole(path, info));
        }
        lines
    })?;
    Ok(Exit::Done)
}

/// The manifest that a path means: itself, or the job.toml of a folder.
///
/// # Errors
/// When a folder has none.
pub fn manifest_at(path: &Path) -> Result<PathBuf> {
    if !path.is_dir() {
        return Ok(path.to_owned());
    }
    let manifest = if path == Path::new(".") { "job.toml".into() } else { path.join("job.toml") };
    if manifest.is_file() {
        return Ok(manifest);
    }
    let line = format!("there is no job.toml in the folder {path:?}");
    let hint = "give the path of a manifest, or make a crate with one by `gleaner new NAME`";
    Err(Hinted::new(line, hint.into()).into())
}

fn stages(job: &JobSpec) -> Vec<Vec<String>> {
    let head = ["stage", "function", "items"].map(String::from).to_vec();
    let rows = job.stages.iter().map(|stage| {
        let earlier = stage.splitter.earlier_stage();
        let items = match (stage.item_count(), earlier) {
            (Some(items), _) => items.to_string(),
            (None, Some(earlier)) => words::items_after(&job.stages[earlier.0 as usize].name),
            (None, None) => "?".to_owned(),
        };
        vec![stage.name.clone(), stage.task.function.clone(), items]
    });
    [head].into_iter().chain(rows).collect()
}

fn as_json(checked: &Checked) -> Value {
    let stage = |stage: &gleaner_protocol::StageSpec| {
        let (function, items) = (&stage.task.function, stage.item_count());
        json!({ "name": stage.name, "function": function, "items": items })
    };
    let module =
        |(path, info): &(PathBuf, _)| json!({ "module": path.display().to_string(), "info": info });
    json!({
        "job": checked.job.spec.name,
        "stages": checked.job.spec.stages.iter().map(stage).collect::<Vec<_>>(),
        "modules": checked.modules.iter().map(module).collect::<Vec<_>>(),
    })
}
