//! What lies in a folder of results besides the outputs themselves, which are in a folder for each
//! stage.

use crate::RelativeName;

/// The table of the items that gave no output.
pub const FAILED_FILE: &str = "failed.csv";

/// What made the outputs.
pub const PROVENANCE_FILE: &str = "provenance.json";

/// The table of the items that previews lack.
pub const GAPS_FILE: &str = "gaps.csv";

/// What stands in the name of a preview, so that nobody takes it for the output.
const PARTIAL: &str = ".partial";

/// Whether a name is one of the files that tell of a job: no stage and no output can have it, in
/// whatever case, as there are file systems that tell no cases apart.
pub fn is_reserved(name: &str) -> bool {
    let reports = [FAILED_FILE, PROVENANCE_FILE, GAPS_FILE];
    reports.iter().any(|report| report.eq_ignore_ascii_case(name))
}

/// The name of the preview of an output: `table.partial.csv` of `table.csv`. One that would be too
/// long has a shorter stem.
pub fn partial_name(output: &RelativeName) -> RelativeName {
    let name = output.as_str();
    let last = name.rfind('/').map_or(0, |slash| slash + 1);
    let extension = name[last..].rfind('.').filter(|dot| *dot > 0).map(|dot| last + dot);
    let (stem, extension) = name.split_at(extension.unwrap_or(name.len()));
    let room = RelativeName::BYTES_MAX.saturating_sub(PARTIAL.len() + extension.len());
    let stem = &stem[..stem.floor_char_boundary(room)];
    let partial = format!("{stem}{PARTIAL}{extension}").parse();
    // A name that is all folders and extension has no room for more.
    partial.unwrap_or_else(|_| "output.partial".parse().expect("a plain name"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_reports_are_reserved_in_any_case() {
        assert!(is_reserved("failed.csv") && is_reserved("Provenance.JSON"));
        assert!(is_reserved("GAPS.csv") && !is_reserved("gaps.tsv") && !is_reserved("a/gaps.csv"));
    }

    #[test]
    fn a_preview_is_called_after_its_output() {
        let check = |output: &str, expected: &str| {
            let partial = partial_name(&output.parse().expect("a name"));
            assert_eq!(partial.as_str(), expected, "{output}");
        };
        check("table.csv", "table.partial.csv");
        check("plots.d/a", "plots.d/a.partial");
        check("a/b.tar.gz", "a/b.tar.partial.gz");
        check(".hidden", ".hidden.partial");
        check("a.partial", "a.partial.partial");
        let long = format!("{}.csv", "é".repeat(125));
        let partial = partial_name(&long.parse().expect("a name"));
        assert!(partial.as_str().len() <= RelativeName::BYTES_MAX, "{partial}");
        assert!(partial.as_str().ends_with("é.partial.csv"), "{partial}");
    }
}
