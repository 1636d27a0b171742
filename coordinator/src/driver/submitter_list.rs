//! Changes of the list of submitters: in the store, then in the core and at the door.
//!
//! Invariant: one change at a time, and each to its end even when whoever asked for it has gone, so
//! that the running coordinator holds what the store says.

use std::sync::Arc;

use gleaner_coordinator_core::Event;
use gleaner_protocol::{SubmitterId, SubmitterTerms, Timestamp};
use tokio::sync::Mutex;

use super::engine::{Engine, Input};
use super::submitters::Submitters;
use crate::store::{AddSubmitterError, Store, StoreError, StoredSubmitter};

/// Where a change begins. Clones share the turns.
#[derive(Clone)]
pub(crate) struct SubmitterList(Arc<Parts>);

struct Parts {
    store: Store,
    engine: Engine,
    submitters: Arc<Submitters>,
    turn: Mutex<()>,
}

impl SubmitterList {
    pub(crate) fn new(store: Store, engine: Engine, submitters: Arc<Submitters>) -> Self {
        Self(Arc::new(Parts { store, engine, submitters, turn: Mutex::default() }))
    }

    /// Puts a submitter on the list, or gives the one that is there these terms.
    ///
    /// # Errors
    /// [`AddSubmitterError`]; nothing is changed.
    pub(crate) async fn add(
        &self,
        submitter: SubmitterId,
        name: String,
        terms: SubmitterTerms,
        now: Timestamp,
    ) -> Result<StoredSubmitter, AddSubmitterError> {
        let add = async move |parts: Arc<Parts>| {
            let stored = parts.store.add_submitter(submitter, name, terms, now).await?;
            let set = Event::SubmitterSet { submitter, terms: stored.terms };
            parts.engine.send(Input::Event(set)).await;
            parts.submitters.set(stored.clone());
            Ok(stored)
        };
        self.change(add).await
    }

    /// Takes the submitter called `name` off the list; none when there is none.
    ///
    /// # Errors
    /// [`StoreError`]; nothing is changed.
    pub(crate) async fn remove(
        &self,
        name: String,
        now: Timestamp,
    ) -> Result<Option<StoredSubmitter>, StoreError> {
        let remove = async move |parts: Arc<Parts>| {
            let removed = parts.store.remove_submitter(name, now).await?;
            removed.iter().for_each(|stored| parts.submitters.set(stored.clone()));
            Ok(removed)
        };
        self.change(remove).await
    }

    async fn change<T, C>(&self, change: impl FnOnce(Arc<Parts>) -> C + Send + 'static) -> T
    where
        T: Send + 'static,
        C: Future<Output = T> + Send,
    {
        let parts = Arc::clone(&self.0);
        let changing = async move {
            let _turn = parts.turn.lock().await;
            change(Arc::clone(&parts)).await
        };
        tokio::spawn(changing).await.expect("changes of the list do not panic")
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use gleaner_network::ApiGate;
    use gleaner_protocol::WorkerId;
    use tokio::sync::mpsc;

    use super::*;

    const ADA: SubmitterId = SubmitterId([1; 32]);
    const NOW: Timestamp = Timestamp::ZERO;

    struct Fixture {
        _folder: tempfile::TempDir,
        list: SubmitterList,
        inbox: mpsc::Receiver<Input>,
    }

    fn fixture() -> Fixture {
        let folder = tempfile::tempdir().expect("a folder");
        let (store, _commits) = Store::open(folder.path()).expect("opens");
        let (engine, inbox) = Engine::channel();
        let list = SubmitterList::new(store, engine, Arc::default());
        Fixture { _folder: folder, list, inbox }
    }

    impl Fixture {
        fn add(
            &self,
        ) -> impl Future<Output = Result<StoredSubmitter, AddSubmitterError>> + 'static {
            let list = self.list.clone();
            async move { list.add(ADA, "ada".into(), SubmitterTerms::default(), NOW).await }
        }

        /// Nothing more fits into the engine's inbox.
        async fn block_engine(&self) {
            let set = Event::SubmitterSet { submitter: ADA, terms: SubmitterTerms::default() };
            let send = async || self.list.0.engine.send(Input::Event(set.clone())).await;
            while tokio::time::timeout(Duration::ZERO, send()).await.is_ok() {
                tokio::task::yield_now().await;
            }
        }

        async fn stored(&self) -> Vec<StoredSubmitter> {
            self.list.0.store.submitters().await.expect("reads")
        }

        fn is_listed(&self) -> bool {
            self.list.0.submitters.admits(WorkerId(ADA.0))
        }
    }

    #[tokio::test]
    async fn a_change_goes_on_when_whoever_asked_has_gone() {
        let mut fixture = fixture();
        fixture.block_engine().await;
        let asking = tokio::spawn(fixture.add());
        while fixture.stored().await.is_empty() {
            tokio::task::yield_now().await;
        }
        asking.abort();
        assert!(asking.await.expect_err("it was ended").is_cancelled());
        while !fixture.is_listed() {
            fixture.inbox.recv().await.expect("the list has an engine");
        }
    }

    #[tokio::test]
    async fn a_change_begins_when_the_one_before_has_ended() {
        let mut fixture = fixture();
        fixture.block_engine().await;
        let adding = tokio::spawn(fixture.add());
        while fixture.stored().await.is_empty() {
            tokio::task::yield_now().await;
        }
        let list = fixture.list.clone();
        let removing = tokio::spawn(async move { list.remove("ada".into(), NOW).await });
        for _ in 0..8 {
            tokio::task::yield_now().await;
        }
        // Written after whatever was on its way to the store.
        let nobody = fixture.list.0.store.remove_submitter("nobody".into(), NOW).await;
        assert_eq!(nobody.expect("told"), None);
        assert_eq!(fixture.stored().await[0].removed_at, None, "it did not wait for its turn");
        while !adding.is_finished() {
            fixture.inbox.recv().await.expect("the list has an engine");
        }
        removing.await.expect("no panic").expect("durable").expect("it was there");
        assert!(fixture.stored().await[0].removed_at.is_some() && !fixture.is_listed());
    }
}
