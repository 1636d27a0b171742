use std::fmt::Write as _;

use gleaner_sdk::Error;

use super::svg::escaped;
use super::*;

#[test]
fn ticks_are_round_and_cover_the_range() {
    let labels = |ticks: Vec<(f64, String)>| {
        ticks.into_iter().map(|(_, label)| label).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(labels(linear_ticks(0.0, 0.72, 6.0)), "0.0 0.2 0.4 0.6");
    assert_eq!(labels(linear_ticks(-12.0, 12.0, 6.0)), "−10 −5 0 5 10");
    assert_eq!(labels(linear_ticks(0.0, 0.06, 6.0)), "0.00 0.01 0.02 0.03 0.04 0.05 0.06");
    assert_eq!(
        labels(log_ticks(1.1, 8000.0)).split_whitespace().collect::<Vec<_>>().join(" "),
        "2 5 10 20 50 100 200 500 1,000 2,000 5,000"
    );
    assert_eq!(labels(log_ticks(0.5, 2.0)).split_whitespace().count(), 3);
}

#[test]
fn numbers_are_written_as_people_write_them() {
    let mut text = String::new();
    for value in [0.05, 0.5, 1.0, 20.0, 1000.0, 7016.7, 1_234_567.0] {
        write!(text, "{} ", number(value)).expect("a string");
    }
    assert_eq!(text, "0.05 0.5 1 20 1,000 7,017 1,234,567 ");
}

#[test]
fn words_from_files_cannot_leave_their_element() {
    assert_eq!(escaped("a<b>&\"c\u{0}\n"), "a&lt;b&gt;&amp;&quot;c");
}

#[test]
fn a_picture_becomes_a_png_of_twice_its_size() -> Result<(), Error> {
    let mut svg = Svg::new(20.0, 10.0, "a dot & more");
    svg.dot((10.0, 5.0), 3.0, colour::ACCENT);
    svg.text((2.0, 8.0), Text::new(4.0, colour::INK, Anchor::Start).bold(), "π < 4");
    let png = png(&svg.finish())?;
    assert_eq!(png[..8], *b"\x89PNG\r\n\x1a\n");
    assert_eq!(png[16..24], [0, 0, 0, 40, 0, 0, 0, 20]);
    Ok(())
}
