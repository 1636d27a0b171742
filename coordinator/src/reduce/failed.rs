//! The table of the items that gave no output: `failed.csv`.
//!
//! It has the same columns whatever the job, so that a script can rely on them: an item's own fields
//! are one column, a JSON object.

use gleaner_protocol::Splitter;

use super::csv::{read_fields, write_text};
use super::messagepack::{Reader, Token};
use super::{OutputFault, json};

/// The header.
const COLUMNS: &[u8] = b"stage,item,unit,outcome,message,parameters\r\n";

/// The most bytes of a text among the parameters.
const TEXT_BYTES_MAX: usize = 256;

/// The most bytes of all the parameters of an item, about.
const PARAMETERS_BYTES_MAX: usize = 16 * 1024;

/// A row of the table.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FailedRow<'a> {
    pub(crate) stage: &'a str,
    pub(crate) item: u64,
    pub(crate) unit: &'a str,
    pub(crate) outcome: &'a str,
    pub(crate) message: &'a str,
    /// As [`parameters`] gives them.
    pub(crate) parameters: &'a str,
}

/// What a table begins with.
pub(crate) fn failed_header() -> &'static [u8] {
    COLUMNS
}

impl FailedRow<'_> {
    /// Appends the row to `text`.
    pub(crate) fn write(&self, text: &mut Vec<u8>) {
        write_text(self.stage, text);
        text.push(b',');
        text.extend_from_slice(self.item.to_string().as_bytes());
        for cell in [self.unit, self.outcome, self.message, self.parameters] {
            text.push(b',');
            write_text(cell, text);
        }
        text.extend_from_slice(b"\r\n");
    }
}

/// Whether the items of a stage have fields that can be told without reading them for long.
pub(crate) fn has_parameters(splitter: &Splitter) -> bool {
    // What is bytes alone would be left out anyway, however long it is.
    !matches!(splitter, Splitter::After { .. } | Splitter::EachFile { .. })
}

/// The fields of an item, of its MessagePack map, as a JSON object: numbers and truth values, and
/// the beginning of each text. Bytes, lists and records are left out.
pub(crate) fn parameters(fields: &[u8]) -> Result<String, OutputFault> {
    let mut reader = Reader::new(fields);
    let Token::Map(count) = reader.next()? else { return Err(OutputFault::Malformed) };
    let mut text = vec![b'{'];
    for (name, value) in read_fields(&mut reader, count)? {
        if text.len() > PARAMETERS_BYTES_MAX {
            break;
        }
        let mut token = Vec::new();
        match Reader::new(value).next()? {
            Token::Bytes(_) | Token::List(_) | Token::Map(_) | Token::Extension(_) => continue,
            Token::Text(value) => json::write_string(&shortened(value), &mut token),
            Token::Float(value) => json::write_float(value, &mut token),
            plain => token.extend_from_slice(json::plain(plain).as_bytes()),
        }
        if text.len() > 1 {
            text.push(b',');
        }
        json::write_string(name, &mut text);
        text.push(b':');
        text.extend_from_slice(&token);
    }
    text.push(b'}');
    Ok(String::from_utf8(text).expect("JSON is UTF-8"))
}

fn shortened(text: &str) -> String {
    match text.floor_char_boundary(TEXT_BYTES_MAX) {
        end if end < text.len() => format!("{}…", &text[..end]),
        _ => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;
    use gleaner_protocol::wire;
    use serde_bytes::Bytes;

    use super::*;

    #[test]
    fn a_row_has_its_quotes_where_it_must() {
        let mut text = failed_header().to_vec();
        let row = FailedRow {
            stage: "search",
            item: 7,
            unit: "unit-1.3",
            outcome: "failed",
            message: "no \"star\",\nhere",
            parameters: "{\"n\":7,\"name\":\"x\"}",
        };
        row.write(&mut text);
        FailedRow { parameters: "", message: "", ..row }.write(&mut text);
        let text = String::from_utf8(text).expect("text").replace('\r', "");
        expect![[r#"
            stage,item,unit,outcome,message,parameters
            search,7,unit-1.3,failed,"no ""star"",
            here","{""n"":7,""name"":""x""}"
            search,7,unit-1.3,failed,,
        "#]]
        .assert_eq(&text);
    }

    #[test]
    fn parameters_are_what_is_short_and_text() {
        #[derive(serde::Serialize)]
        struct Fields<'a> {
            n: i64,
            x: f64,
            is_far: bool,
            none: Option<u8>,
            name: &'a str,
            bytes: &'a Bytes,
            list: [u8; 2],
        }
        let name = "é".repeat(200);
        let (bytes, list) = (Bytes::new(b"abc"), [1, 2]);
        let fields =
            Fields { n: -3, x: f64::NAN, is_far: true, none: None, name: &name, bytes, list };
        let told = parameters(&wire::encode(&fields)).expect("a map");
        let name = "é".repeat(128);
        let expected = format!(
            "{{\"n\":-3,\"x\":\"NaN\",\"is_far\":true,\"none\":null,\"name\":\"{name}…\"}}"
        );
        assert_eq!(told, expected);
        assert_eq!(parameters(&wire::encode(&1)), Err(OutputFault::Malformed));
    }
}
