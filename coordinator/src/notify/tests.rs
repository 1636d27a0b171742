use super::*;

#[test]
fn tries_are_ever_further_apart_and_end() {
    let pauses: Vec<_> = (1..TRIES_MAX).map(|tries| retry_pause(tries).as_secs()).collect();
    assert_eq!(pauses, [1, 4, 16, 64, 256, 1024, 3600, 3600, 3600]);
    assert_eq!(retry_pause(u32::MAX), RETRY_PAUSE_MAX);
}
