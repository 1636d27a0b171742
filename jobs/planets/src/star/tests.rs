use super::*;

const GOOD: &str = "time,rv,err,instrument\n1,10,1,a\n2,12,1,a\n3,5,1,b\n4,9,1,b\n6,8,2,b\n";

fn error(file: &str) -> String {
    Star::read(file.as_bytes()).expect_err("a file that cannot be used").to_string()
}

#[test]
fn each_instruments_weighted_mean_is_subtracted() {
    let star = Star::read(GOOD.as_bytes()).expect("a star");
    assert!((star.velocities[0] + 1.0).abs() < 1e-12);
    assert!((star.velocities[1] - 1.0).abs() < 1e-12);
    let zero_point = (5.0 + 9.0 + 8.0 / 4.0) / 2.25;
    assert!((star.instruments[1].zero_point - zero_point).abs() < 1e-12);
    assert!((star.velocities[2] - (5.0 - zero_point)).abs() < 1e-12);
    assert_eq!(star.instrument_of, [0, 0, 1, 1, 1]);
    assert_eq!(star.baseline_days(), 5.0);
}

#[test]
fn columns_comments_blank_lines_and_line_ends_may_differ() {
    let other = "\u{feff}# a comment, with commas\r\n\r\n instrument , note,err,rv,time\r\n\
                 a,x,1,10,1\r\na,,1.0,1.2e1,2\r\n# another\r\nb,x,1,5,3\r\nb,x,1,9,4\r\n  \r\n\
                 b,x,2,8,6";
    assert_eq!(Star::read(other.as_bytes()), Star::read(GOOD.as_bytes()));
}

#[test]
fn what_cannot_be_used_is_named_with_its_line_and_column() {
    let with = |row: &str| format!("# x\n\n{GOOD}{row}\n");
    for (file, words) in [
        (String::new(), "no header"),
        ("# only a comment\n".into(), "no header"),
        ("time,rv,error,instrument\n".into(), "line 1: the header has no column `err`"),
        ("time,rv,rv,err,instrument\n".into(), "line 1: the header has the column `rv` twice"),
        (with("7,x,1,a"), "line 9, column `rv`: \"x\" is not a number"),
        (with("7,1,NaN,a"), "line 9, column `err`: \"NaN\" is not finite"),
        (with("inf,1,1,a"), "line 9, column `time`: \"inf\" is not finite"),
        (with("7,1,0,a"), "line 9, column `err`: \"0\" is not over 0"),
        (with("7,1,-1,a"), "line 9, column `err`: \"-1\" is not over 0"),
        (with("7,1"), "line 9: no value in column `err`"),
        (with("7,,1,a"), "line 9: no value in column `rv`"),
        (with("7,1,1"), "line 9: no value in column `instrument`"),
        (with("7,1,1, "), "line 9, column `instrument`: no name"),
        ("time,rv,err,instrument\n1,1,1,a\n".into(), "1 points; at least 5 are needed"),
        (
            GOOD.replace("\n2,", "\n1,")
                .replace("\n3,", "\n1,")
                .replace("\n4,", "\n1,")
                .replace("\n6,", "\n1,"),
            "all points have the time 1",
        ),
        (
            GOOD.replace(",12,", ",10,").replace(",9,", ",5,").replace(",8,", ",5,"),
            "the velocities of each instrument are all the same",
        ),
    ] {
        assert!(error(&file).contains(words), "{file:?}: {}", error(&file));
    }
    let latin = [GOOD.as_bytes(), b"7,1,1,\xe4\n"].concat();
    assert_eq!(Star::read(&latin), Err(StarError::Encoding { line: 7 }));
}
