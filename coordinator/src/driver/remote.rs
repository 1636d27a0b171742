//! Submitters from elsewhere come in: each stream is greeted, and served when its key is on the
//! list.

use std::sync::Arc;
use std::time::Duration;

use gleaner_network::{ApiStream, IncomingApiStreams, ReceiveError, SendError};
use gleaner_protocol::{
    API_STREAM_VERSION, ApiGreeting, ApiHello, ApiRefusal, ProjectId, SignedProjectRecord,
    SubmitterId,
};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use super::submitters::Submitters;
use crate::http::RemoteDoor;

/// How long a new stream may take to say who is wanted.
const HELLO_TIME_MAX: Duration = Duration::from_secs(10);

/// What every stream is greeted with.
pub(crate) struct RemoteApi {
    pub(crate) project: ProjectId,
    pub(crate) record: SignedProjectRecord,
    pub(crate) submitters: Arc<Submitters>,
    pub(crate) door: RemoteDoor,
}

/// Why a stream was not served.
#[derive(Debug, thiserror::Error)]
enum GreetError {
    #[error("it did not say whom it wants in {} s", HELLO_TIME_MAX.as_secs())]
    NoHello,
    #[error("it closed the stream without a word")]
    Silent,
    #[error("it was refused: {0}")]
    Refused(ApiRefusal),
    #[error(transparent)]
    Receive(#[from] ReceiveError),
    #[error(transparent)]
    Send(#[from] SendError),
}

/// Takes streams until the coordinator stops.
pub(crate) async fn accept(
    api: Arc<RemoteApi>,
    mut streams: IncomingApiStreams,
    stop: CancellationToken,
) {
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            stream = streams.next() => match stream {
                Some(stream) => drop(tokio::spawn(serve(Arc::clone(&api), stream))),
                None => return,
            },
        }
    }
}

async fn serve(api: Arc<RemoteApi>, stream: ApiStream) {
    let submitter = SubmitterId(stream.peer().0);
    match api.greet(submitter, stream).await {
        Ok((stream, removed)) => {
            debug!(%submitter, "a submitter's stream is served");
            api.door.serve(submitter, stream.into_bytes(), removed).await;
        }
        Err(GreetError::Receive(ReceiveError::Violation(violation))) => {
            warn!(%submitter, %violation, "a peer broke the protocol of the API stream");
        }
        Err(GreetError::Refused(reason)) => {
            info!(%submitter, %reason, "a peer was refused the control API");
        }
        Err(error) => debug!(%submitter, %error, "an API stream ended at its greeting"),
    }
}

impl RemoteApi {
    /// The stream after a welcome, and what is cancelled when its submitter is removed.
    async fn greet(
        &self,
        submitter: SubmitterId,
        mut stream: ApiStream,
    ) -> Result<(ApiStream, CancellationToken), GreetError> {
        let hello = tokio::time::timeout(HELLO_TIME_MAX, stream.receive::<ApiHello>()).await;
        let hello = hello.map_err(|_| GreetError::NoHello)??.ok_or(GreetError::Silent)?;
        match self.admit(submitter, hello) {
            Ok(removed) => {
                let (version, record) = (API_STREAM_VERSION, self.record.clone());
                stream.send(&ApiGreeting::Welcome { version, record }).await?;
                Ok((stream, removed))
            }
            Err(refusal) => {
                stream.send(&ApiGreeting::Refused(refusal.clone())).await?;
                stream.close().await?;
                Err(GreetError::Refused(refusal))
            }
        }
    }

    fn admit(
        &self,
        submitter: SubmitterId,
        hello: ApiHello,
    ) -> Result<CancellationToken, ApiRefusal> {
        if hello.project != self.project {
            return Err(ApiRefusal::WrongProject);
        }
        if hello.version < API_STREAM_VERSION {
            let (oldest, newest) = (API_STREAM_VERSION, API_STREAM_VERSION);
            return Err(ApiRefusal::Version { oldest, newest });
        }
        self.submitters.admission(submitter).ok_or(ApiRefusal::NotASubmitter)
    }
}
