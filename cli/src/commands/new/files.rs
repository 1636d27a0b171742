//! The files of a new task crate: templates with a few words filled in, and the SDK.

use super::sdk;

/// The templates: where a file goes, and its text. What git and Cargo would take for their own in
/// this repository has another name there.
const TEMPLATES: [(&str, &str); 6] = [
    ("Cargo.toml", include_str!("../../../../sdk/templates/rust/Cargo.toml.template")),
    ("src/lib.rs", include_str!("../../../../sdk/templates/rust/lib.rs")),
    ("job.toml", include_str!("../../../../sdk/templates/rust/job.toml")),
    ("README.md", include_str!("../../../../sdk/templates/rust/README.md")),
    (".gitignore", include_str!("../../../../sdk/templates/rust/gitignore")),
    (".cargo/config.toml", include_str!("../../../../sdk/templates/rust/cargo-config.toml")),
];

/// Every file of a task crate of this name: its path within the crate, and its text.
pub(super) fn of(name: &str) -> Vec<(String, String)> {
    // What Cargo calls the library, and so the module.
    let module = name.replace('-', "_");
    let words = [
        ("{{name}}", name),
        ("{{module}}", &module),
        ("{{version}}", env!("CARGO_PKG_VERSION")),
        ("{{rust}}", env!("CARGO_PKG_RUST_VERSION")),
    ];
    let fill = |text: &str| {
        words.iter().fold(text.to_owned(), |text, (place, word)| text.replace(place, word))
    };
    let templates = TEMPLATES.iter().map(|(path, text)| ((*path).to_owned(), fill(text)));
    let sdk = sdk::files().into_iter().map(|(path, text)| (format!("vendor/{path}"), text));
    templates.chain(sdk).collect()
}

#[cfg(test)]
mod tests {
    use gleaner_protocol::manifest::Manifest;

    use super::*;

    #[test]
    fn no_place_is_left_unfilled() {
        for (path, text) in of("my-task") {
            assert!(!text.contains("{{") || path.starts_with("vendor/"), "{path}: {text}");
        }
    }

    #[test]
    fn the_manifest_is_sound_and_names_the_module_that_cargo_makes() {
        let files = of("my-task");
        let (_, text) = files.iter().find(|(path, _)| path == "job.toml").expect("a manifest");
        let manifest = Manifest::parse(text).expect("a sound manifest");
        assert_eq!(manifest.name(), "my-task");
        let module = manifest.functions().next().expect("a function").module;
        assert_eq!(module.to_string(), "my_task.wasm");
    }
}
