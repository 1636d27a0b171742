//! Frames over a pipe in memory: whole, cut, too long, garbage, slow, cancelled.

use futures::FutureExt;
use tokio::io::{DuplexStream, duplex};

use super::*;

const MAX: usize = 1 << 20;

fn reader(io: DuplexStream) -> FrameReader<DuplexStream> {
    FrameReader::new(io, MAX)
}

#[tokio::test]
async fn messages_arrive_in_order_and_then_the_end() {
    let (here, there) = duplex(64);
    let write = async move {
        let mut writer = FrameWriter::new(here, MAX);
        for number in 0..1000_u32 {
            writer.feed(&number).await.unwrap();
        }
        writer.feed(&vec![7_u8; 300_000]).await.unwrap();
        writer.close().await.unwrap();
    };
    let read = async move {
        let mut reader = reader(there);
        for number in 0..1000_u32 {
            assert_eq!(reader.read::<u32>().await.unwrap(), Some(number));
        }
        assert_eq!(reader.read::<Vec<u8>>().await.unwrap(), Some(vec![7; 300_000]));
        assert!(reader.buffer.capacity() <= BUFFER_BYTES_KEPT, "a long frame's memory is given up");
        assert_eq!(reader.read::<u32>().await.unwrap(), None);
        assert_eq!(reader.read::<u32>().await.unwrap(), None);
    };
    tokio::join!(write, read);
}

#[tokio::test]
async fn what_breaks_the_protocol_is_a_violation() {
    let too_long = u32::try_from(MAX + 1).unwrap().to_be_bytes();
    for (bytes, expected) in [
        (too_long.as_slice(), "a frame of 1048577 bytes is over the limit of 1048576"),
        (b"GET / HTTP/1.1\r\n\r\n", "a frame of 1195725856 bytes is over the limit of 1048576"),
        (&[0, 0, 0, 2, 0xc1, 0xc1], "not a valid message"),
        (&[0, 0, 0, 2, 7, 7], "1 bytes follow the message"),
    ] {
        let (mut here, there) = duplex(1024);
        here.write_all(bytes).await.unwrap();
        let mut reader = reader(there);
        let error = reader.read::<u32>().await.unwrap_err();
        assert!(matches!(error, ReceiveError::Violation(_)), "{error}");
        assert!(error.to_string().contains(expected), "{error}");
        assert!(reader.buffer.capacity() < 1 << 16, "nothing was allocated for it");
        assert_eq!(reader.read::<u32>().await.unwrap(), None, "nothing after a violation");
    }
}

#[tokio::test]
async fn a_stream_that_ends_without_a_word_was_lost() {
    for bytes in [[].as_slice(), &[0, 0], &[0, 0, 0, 1], &[0, 0, 0, 2, 7]] {
        let (mut here, there) = duplex(1024);
        here.write_all(bytes).await.unwrap();
        drop(here);
        let error = reader(there).read::<u32>().await.unwrap_err();
        assert!(matches!(error, ReceiveError::Lost(_)), "{error}");
    }
}

#[tokio::test]
async fn a_peer_may_be_silent_but_not_in_the_middle_of_a_message() {
    let (mut here, there) = duplex(1024);
    let mut reader = reader(there);
    reader.time_max = |_| Duration::from_millis(1);
    here.write_all(&[0, 0, 0, 1, 7, 0]).await.unwrap();
    assert_eq!(reader.read::<u32>().await.unwrap(), Some(7));
    let error = reader.read::<u32>().await.unwrap_err();
    assert!(matches!(error, ReceiveError::Stalled), "{error}");
}

#[tokio::test]
async fn a_peer_that_takes_nothing_is_given_up() {
    let (here, _there) = duplex(16);
    let mut writer = FrameWriter::new(here, MAX);
    writer.time_max = |_| Duration::from_millis(1);
    writer.feed(&vec![0_u8; 100]).await.unwrap();
    let error = writer.flush().await.unwrap_err();
    assert!(matches!(error, SendError::Stalled), "{error}");
}

#[tokio::test]
async fn a_message_too_long_is_refused_and_the_stream_goes_on() {
    let (here, there) = duplex(1024);
    let mut writer = FrameWriter::new(here, 10);
    let error = writer.feed("longer than ten").await.unwrap_err();
    assert!(matches!(error, SendError::TooLong { bytes: 16, max: 10 }), "{error}");
    writer.feed("short").await.unwrap();
    writer.flush().await.unwrap();
    assert_eq!(reader(there).read::<String>().await.unwrap().as_deref(), Some("short"));
}

#[tokio::test]
async fn futures_dropped_at_any_point_tear_no_frame() {
    let (here, there) = duplex(3);
    let (mut writer, mut reader) = (FrameWriter::new(here, MAX), reader(there));
    let mut received = Vec::new();
    for number in 0..100_u32 {
        let message = vec![number; 5];
        writer.feed(&message).now_or_never().expect("little is unflushed").unwrap();
        // Polled once and dropped, over and over.
        while writer.flush().now_or_never().is_none() {
            if let Some(message) = reader.read::<Vec<u32>>().now_or_never() {
                received.push(message.unwrap().unwrap());
            }
            tokio::task::yield_now().await;
        }
    }
    drop(writer);
    while let Ok(Some(message)) = reader.read::<Vec<u32>>().await {
        received.push(message);
    }
    assert_eq!(received, (0..100).map(|number| vec![number; 5]).collect::<Vec<_>>());
}
