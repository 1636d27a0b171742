//! Modules in words.

use std::path::Path;

use gleaner_sandbox::ModuleInfo;

use super::{bytes, table};

/// What a module offers: its path, size and functions.
pub fn summary(path: &Path, module: &ModuleInfo) -> Vec<String> {
    indented(path, module, offers(module))
}

/// All that is known of a module.
pub fn whole(path: &Path, module: &ModuleInfo) -> Vec<String> {
    let imports = match module.imports.as_slice() {
        [] => "nothing".to_owned(),
        names => list(names),
    };
    let most = match module.memory_bytes_max {
        Some(most) => format!("at most {}", bytes(most)),
        None => "no limit of its own".to_owned(),
    };
    let memory = format!("{} at the start, {most}", bytes(module.memory_bytes_min));
    let using = |count: u32| {
        if count == 0 {
            "none".into()
        } else {
            format!("in {count} of {} functions", module.functions)
        }
    };
    let rows = [
        row("imports", imports),
        row("memory", memory),
        row("functions", module.functions.to_string()),
        row("floats", using(module.functions_with_floats)),
        row("vectors", using(module.functions_with_vectors)),
    ];
    indented(path, module, offers(module).into_iter().chain(rows).collect())
}

fn offers(module: &ModuleInfo) -> Vec<Vec<String>> {
    let mut rows = vec![row("tasks", list(&module.tasks))];
    if !module.merges.is_empty() {
        rows.push(row("merges", list(&module.merges)));
    }
    if !module.splits.is_empty() {
        rows.push(row("splits", list(&module.splits)));
    }
    rows
}

fn indented(path: &Path, module: &ModuleInfo, rows: Vec<Vec<String>>) -> Vec<String> {
    let mut lines = vec![format!("{}  {}", path.display(), bytes(module.bytes))];
    lines.extend(table(&rows).iter().map(|line| format!("  {line}")));
    lines
}

fn row(name: &str, value: String) -> Vec<String> {
    vec![name.to_owned(), value]
}

fn list(names: &[String]) -> String {
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;

    #[test]
    fn a_module_is_told_whole() {
        let module = ModuleInfo {
            tasks: vec!["search".into(), "report".into()],
            imports: vec!["seed".into(), "output_write".into()],
            bytes: 14_541,
            memory_bytes_min: 1_114_112,
            memory_bytes_max: Some(4 << 30),
            functions: 31,
            functions_with_floats: 3,
            ..ModuleInfo::default()
        };
        expect![[r#"
            a/b.wasm  14.5 kB
              tasks      search, report
              imports    seed, output_write
              memory     1.1 MB at the start, at most 4.3 GB
              functions  31
              floats     in 3 of 31 functions
              vectors    none"#]]
        .assert_eq(&whole(Path::new("a/b.wasm"), &module).join("\n"));
        expect![[r#"
            a/b.wasm  14.5 kB
              tasks  search, report"#]]
        .assert_eq(&summary(Path::new("a/b.wasm"), &module).join("\n"));
    }
}
