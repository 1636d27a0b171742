use super::significance::{FalseAlarm, power_at_level};
use super::summary::rounded;
use super::*;
use crate::Search;
use crate::search::search;

const STAR: &[u8] = include_bytes!("../../data/hd164922.csv");

fn search_csv(resamplings: u64) -> String {
    let mut csv = String::from("resampling,period_days,power\n");
    for resampling in 0..=resamplings {
        let input = Search {
            resampling,
            period_min_days: 100.0,
            period_max_days: 4000.0,
            oversampling: 5.0,
        };
        let context = Context::for_test().with_seed(resampling).with_file("star", STAR);
        for row in search(input, &context).expect("a periodogram") {
            csv += &format!("{},{},{}\n", row.resampling, row.period_days, row.power);
        }
    }
    csv
}

fn reported(csv: &str, star: &[u8]) -> Result<Files, Error> {
    let input = Report { search: Bytes::from(csv.as_bytes()), title: "A <star>".into() };
    report(input, &Context::for_test().with_file("star", star))
}

fn text<'a>(files: &'a Files, name: &str) -> &'a str {
    std::str::from_utf8(files.content(name).expect("a file")).expect("text")
}

#[test]
fn the_planet_is_found_and_drawn() {
    let files = reported(&search_csv(39), STAR).expect("a report");
    let names: Vec<&str> = files.iter().map(|(name, _)| name).collect();
    assert_eq!(
        names,
        [
            "folded.png",
            "folded.svg",
            "peaks.csv",
            "periodogram.png",
            "periodogram.svg",
            "summary.txt"
        ]
    );
    let first: Vec<f64> = text(&files, "peaks.csv")
        .lines()
        .nth(1)
        .expect("a peak")
        .split(',')
        .map(|value| value.parse().expect("a number"))
        .collect();
    assert!((first[1] - 1187.2).abs() < 0.1, "{first:?}");
    assert!((first[3] - 0.6438).abs() < 1e-4, "{first:?}");
    assert_eq!(first[4], 0.025);
    assert!((first[7] - 7.0).abs() < 0.5, "{first:?}");
    assert!(first[8] < 0.001, "nothing of the first peak is left: {first:?}");
    assert!(text(&files, "periodogram.svg").contains("A &lt;star&gt;"));
    assert!(text(&files, "summary.txt").contains("instrument k: 52 points"));
}

#[test]
fn another_stars_search_is_refused() {
    let other = STAR.iter().map(|&byte| if byte == b'7' { b'8' } else { byte }).collect::<Vec<_>>();
    let error = reported(&search_csv(0), &other).expect_err("another star");
    assert!(error.to_string().contains("another star"), "{error}");
}

#[test]
fn a_damaged_search_is_refused_by_line() {
    for (csv, words) in [
        ("", "no column `resampling`"),
        ("resampling,period_days,power\n0,x,1\n", "line 2: \"0,x,1\" is no row"),
        ("resampling,period_days,power\n0,1.0\n", "line 2"),
        ("power,resampling,period_days\n0.5,1,2.0\n", "lacks resampling 0"),
    ] {
        let error = reported(csv, STAR).expect_err("damaged").to_string();
        assert!(error.contains(words), "{error}");
    }
}

#[test]
fn false_alarms_count_the_observation_and_say_their_resolution() {
    let maxima: Vec<f64> = (1..=2000).rev().map(|place| f64::from(place) / 10_000.0).collect();
    let words = |power| FalseAlarm::of(power, &maxima).words();
    assert_eq!(words(0.5), "< 0.0005");
    assert_eq!(FalseAlarm::of(0.5, &maxima).probability(), 1.0 / 2001.0);
    assert_eq!(words(0.2), "0.001");
    assert_eq!(words(0.1), "0.50");
    assert_eq!(FalseAlarm::of(0.5, &maxima[..300]).words(), "< 0.004");
}

#[test]
fn a_level_is_the_power_that_few_enough_resamplings_reach() {
    let maxima: Vec<f64> = (1..=2000).rev().map(f64::from).collect();
    for level in [0.1, 0.01, 0.001] {
        let power = power_at_level(level, &maxima).expect("enough resamplings");
        assert!(FalseAlarm::of(power, &maxima).probability() > level);
        assert!(FalseAlarm::of(power + 0.5, &maxima).probability() <= level);
    }
    assert_eq!(power_at_level(0.001, &maxima[..500]), None);
}

#[test]
fn values_are_rounded_to_what_they_mean() {
    assert_eq!([1.1, 8000.0, 0.1, 1187.196, 10.0].map(rounded).join(" "), "1.1 8000 0.1 1187 10");
}
