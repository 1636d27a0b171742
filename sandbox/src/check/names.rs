//! The names of a module's functions, where its author has left them in.

use gleaner_protocol::limits::NAME_BYTES_MAX;
use wasmparser::{KnownCustom, Name, Parser, Payload};

/// The name of function `function` by the module's own account (its section `name`), cut to the
/// length of a name. None when it has none, as in a module that was stripped.
pub fn function_name(wasm: &[u8], function: u32) -> Option<String> {
    // A module that is refused may well be broken further on.
    let payloads = Parser::new(0).parse_all(wasm).map_while(Result::ok);
    let sections = payloads.filter_map(|payload| match payload {
        Payload::CustomSection(section) => Some(section),
        _ => None,
    });
    for section in sections {
        let KnownCustom::Name(names) = section.as_known() else { continue };
        for name in names.into_iter().map_while(Result::ok) {
            let Name::Function(map) = name else { continue };
            let mut named = map.into_iter().map_while(Result::ok);
            if let Some(naming) = named.find(|naming| naming.index == function) {
                return Some(naming.name.chars().take(NAME_BYTES_MAX).collect());
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_function_is_named_where_the_module_says_how() {
        let wasm = wat::parse_str("(module (func $first) (func) (func $third))");
        let wasm = wasm.expect("the text is a module");
        assert_eq!(function_name(&wasm, 0).as_deref(), Some("first"));
        assert_eq!(function_name(&wasm, 1), None);
        assert_eq!(function_name(&wasm, 2).as_deref(), Some("third"));
        assert_eq!(function_name(b"no module", 0), None);
    }
}
